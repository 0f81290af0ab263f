package clienttest

import (
	"crypto/rand"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/writ-authz/writ/oauth/client"
)

func join(scopes []string) string { return strings.Join(scopes, " ") }

func write(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the client is gone if this fails
}

func unavailable(w http.ResponseWriter) {
	w.Header().Set("Retry-After", "1")
	write(w, http.StatusServiceUnavailable, "no decision can be taken now")
}

func (w *Writ) serveKeys(rw http.ResponseWriter, _ *http.Request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	rw.Header().Set("Cache-Control", "public, max-age=300")
	write(rw, http.StatusOK, jose.JSONWebKeySet{Keys: w.keys})
}

// isService authenticates the service by its id and secret.
func (w *Writ) isService(rw http.ResponseWriter, r *http.Request) bool {
	id, secret, _ := r.BasicAuth()
	id, errID := url.QueryUnescape(id)
	secret, errSecret := url.QueryUnescape(secret)
	if errID == nil && errSecret == nil && id == clientID && secret == w.secret {
		return true
	}
	rw.Header().Set("WWW-Authenticate", `Basic realm="writ"`)
	write(rw, http.StatusUnauthorized, map[string]string{"error": "invalid_client"})
	return false
}

func (w *Writ) serveToken(rw http.ResponseWriter, r *http.Request) {
	if !w.isService(rw, r) {
		return
	}
	if r.PostFormValue("grant_type") != "client_credentials" {
		write(rw, http.StatusBadRequest, map[string]string{"error": "unsupported_grant_type"})
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	raw := "sat_" + rand.Text()
	w.own[raw] = true
	write(rw, http.StatusOK, map[string]any{"access_token": raw, "token_type": "Bearer", "expires_in": 3600, "scope": ""})
}

// live returns what a token says, if it has not ended.
func (w *Writ) live(raw string) (map[string]any, bool) {
	token, ok := w.issued[raw]
	return token.claims, ok && !token.revoked && time.Now().Before(token.expires)
}

func (w *Writ) serveIntrospection(rw http.ResponseWriter, r *http.Request) {
	if !w.isService(rw, r) {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	claims, ok := w.live(r.PostFormValue("token"))
	if !ok {
		write(rw, http.StatusOK, map[string]bool{"active": false})
		return
	}
	said := map[string]any{"active": true, "token_type": "Bearer"}
	for name, value := range claims {
		said[name] = value
	}
	write(rw, http.StatusOK, said)
}

// read decodes a question of the service, which comes with a token of its own.
func (w *Writ) read(rw http.ResponseWriter, r *http.Request, into any) bool {
	raw, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	w.mu.Lock()
	known := w.own[raw]
	w.mu.Unlock()
	if !known {
		rw.Header().Set("WWW-Authenticate", `Bearer realm="writ", error="invalid_token"`)
		write(rw, http.StatusUnauthorized, "the access token is malformed, expired or revoked")
		return false
	}
	if err := json.NewDecoder(r.Body).Decode(into); err != nil || r.Header.Get("Content-Type") != "application/json" {
		w.t.Errorf("clienttest: %s: this is no question in JSON: %v", r.URL.Path, err)
		write(rw, http.StatusBadRequest, "the body is not one JSON document")
		return false
	}
	return true
}

// reply is an answer on the wire; nil: the table has none.
func (w *Writ) reply(q client.Question, reasons bool) map[string]any {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked = append(w.asked, q)
	subject := q.Subject.ID
	if q.Subject.Type == "token" {
		claims, ok := w.live(q.Subject.ID)
		if !ok {
			return map[string]any{"decision": false} // as the server answers about a token that is dead, or none
		}
		subject, _ = claims["sub"].(string)
	}
	key := asked{subject, q.Action.Name, q.Resource.Type, q.Resource.ID, q.Resource.Tenant}
	found, ok := w.answers[key]
	if !ok {
		w.t.Errorf("clienttest: unexpected question: %s Answer it with Allow or Deny.", key)
		return nil
	}
	said := map[string]any{"decision": found.allowed}
	if reasons {
		list := []client.Reason{}
		for _, code := range found.codes {
			list = append(list, client.Reason{Code: code, Rule: "clienttest"})
		}
		said["context"] = map[string]any{"reasons": list, "decision_id": rand.Text(), "policy_revision": "clienttest"}
	}
	return said
}

func complete(q client.Question) bool {
	return q.Subject.Type != "" && q.Subject.ID != "" && q.Action.Name != "" && q.Resource.Type != "" && q.Resource.ID != ""
}

type evaluations struct {
	client.Question
	Evaluations []client.Question `json:"evaluations"`
	Options     struct {
		Reasons  bool            `json:"reasons"`
		Semantic client.Semantic `json:"evaluations_semantic"`
	} `json:"options"`
}

func (w *Writ) serveEvaluation(rw http.ResponseWriter, r *http.Request) {
	var in evaluations
	if !w.read(rw, r, &in) {
		return
	}
	if !complete(in.Question) {
		w.t.Errorf("clienttest: the question lacks a part: %+v", in.Question)
		write(rw, http.StatusBadRequest, "the member is required and must not be empty")
		return
	}
	said := w.reply(in.Question, in.Options.Reasons)
	if said == nil {
		unavailable(rw)
		return
	}
	write(rw, http.StatusOK, said)
}

// serveEvaluations is AuthZEN 1.0, section 7.
func (w *Writ) serveEvaluations(rw http.ResponseWriter, r *http.Request) {
	var in evaluations
	if !w.read(rw, r, &in) {
		return
	}
	said := []map[string]any{}
	for _, item := range in.Evaluations {
		whole := in.Question
		if item.Subject.Type != "" || item.Subject.ID != "" {
			whole.Subject = item.Subject
		}
		if item.Action.Name != "" {
			whole.Action = item.Action
		}
		if item.Resource.Type != "" || item.Resource.ID != "" {
			whole.Resource = item.Resource
		}
		if item.Context != nil {
			whole.Context = item.Context
		}
		one := w.reply(whole, in.Options.Reasons)
		if one == nil {
			one = map[string]any{
				"decision": false, "context": map[string]any{"error": map[string]any{"status": 503, "message": "unexpected question"}},
			}
		}
		said = append(said, one)
		if ends(in.Options.Semantic, one["decision"] == true) {
			break
		}
	}
	write(rw, http.StatusOK, map[string]any{"evaluations": said})
}

func ends(semantic client.Semantic, allowed bool) bool {
	return semantic == client.DenyOnFirstDeny && !allowed || semantic == client.PermitOnFirstPermit && allowed
}

func (w *Writ) servePermissions(rw http.ResponseWriter, r *http.Request) {
	var in struct {
		Subject client.Subject `json:"subject"`
	}
	if !w.read(rw, r, &in) {
		return
	}
	w.mu.Lock()
	held, ok := w.held[in.Subject.ID]
	w.mu.Unlock()
	if !ok {
		w.t.Errorf("clienttest: unexpected question: what may %s do? Answer it with Hold.", in.Subject.ID)
		unavailable(rw)
		return
	}
	if held == nil {
		held = []client.Permission{}
	}
	write(rw, http.StatusOK, map[string]any{"permissions": held})
}
