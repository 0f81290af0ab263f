package identity_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/writ-authz/writ/identity"
	"github.com/writ-authz/writ/policies"
	"github.com/writ-authz/writ/policies/enforce"
	"github.com/writ-authz/writ/storage"
)

func written(write func(w http.ResponseWriter, r *enforce.Request)) (*httptest.ResponseRecorder, identity.Problem) {
	recorder := httptest.NewRecorder()
	recorder.Header().Set("Decision-Id", "decision")
	write(recorder, &enforce.Request{ID: "request"})
	var p identity.Problem
	_ = json.Unmarshal(recorder.Body.Bytes(), &p)
	return recorder, p
}

func TestEveryReasonCodeOfTheCatalogueHasItsStatus(t *testing.T) {
	engine, err := pdp()
	must(t, err)
	wanted := map[string]int{
		"wrong_audience": 401, "basic_not_accepted": 401, "outside_validity": 401, "not_usable": 401, "tenant_mismatch": 404, "no_such_subject": 404,
		"precondition_required": 428, "last_owner": 409, "last_secret": 409, "must_be_inactive": 409, "tenant_disabled": 409,
		"not_granted": 403, "insufficient_scope": 403, "delegation_exceeds_actor": 403, "self_lockout": 403, "system_protected": 403,
		"replayed": 400, "secret_not_chosen": 400, "tenant_required": 400, "admin_only": 403, "not_administrator": 403, "root_only": 403, "system_level_readonly": 403, "unauthorized_client": 403,
		"audience_down":            403,
		"password_change_required": 403, "not_owner": 403, "proof_required": 403, "address_not_allowed": 403,
		"outside_instance_scope": 403, "unknown_path": 403, "unmapped_route": 403, // of shipped applications
	}
	permits := map[string]bool{"granted": true, "own": true}
	for code := range engine.Catalogue().Reasons() {
		if permits[code] {
			continue
		}
		want, ok := wanted[code]
		if !ok {
			want = http.StatusForbidden // an application's own code
			if !strings.Contains(code, ".") {
				t.Errorf("the code %s has no row here", code)
			}
		}
		recorder, p := written(func(w http.ResponseWriter, r *enforce.Request) {
			identity.WriteDenial(w, r, policies.Decision{}, []policies.Reason{{Code: code, Rule: "rule"}})
		})
		equal(t, code, recorder.Code, want)
		equal(t, "status in the body of "+code, p.Status, want)
		if want != 404 {
			equal(t, "code in the body", p.Code, code)
		}
		equal(t, "challenge of "+code, recorder.Header().Get("WWW-Authenticate") != "", want == 401 || code == "insufficient_scope")
		equal(t, "ids", p.DecisionID+" "+p.RequestID, "decision request")
	}
}

func TestEverySentinelHasItsStatus(t *testing.T) {
	for name, c := range map[string]struct {
		err    error
		status int
		code   string
	}{
		"not found":       {storage.ErrNotFound, 404, "not_found"},
		"conflict":        {&storage.ConflictError{Kind: "users", Index: "email"}, 409, "conflict"},
		"stale":           {storage.ErrStale, 503, "unavailable"},
		"unavailable":     {storage.ErrUnavailable, 503, "unavailable"},
		"authority":       {storage.ErrAuthority, 500, "internal"},
		"unauthenticated": {enforce.ErrUnauthenticated, 401, "unauthenticated"},
		"bad token":       {&enforce.AuthenticationError{Code: "invalid_token", Detail: "x"}, 401, "invalid_token"},
		"retry":           {enforce.ErrRetry, 503, "unavailable"},
		"busy":            {enforce.ErrBusy, 503, "unavailable"},
		"overloaded":      {enforce.ErrOverloaded, 503, "overloaded"},
		"no route":        {enforce.ErrNotFound, 404, "no_such_route"},
		"method":          {enforce.ErrMethod, 405, "method_not_allowed"},
		"undecided":       {policies.ErrUndecided, 503, "unavailable"},
		"log full":        {policies.ErrLogFull, 503, "unavailable"},
		"time out":        {context.DeadlineExceeded, 503, "unavailable"},
		"gone":            {context.Canceled, 503, "unavailable"},
		"bad request":     {enforce.BadRequest("unknown_key", "/x", "no"), 400, "unknown_key"},
		"anything":        {errors.New("secret detail"), 500, "internal"},
	} {
		recorder, p := written(func(w http.ResponseWriter, r *enforce.Request) {
			identity.WriteProblem(w, r, fmt.Errorf("wrapped: %w", c.err))
		})
		equal(t, name, recorder.Code, c.status)
		equal(t, name, p.Code, c.code)
		equal(t, "type of "+name, p.Type, "urn:writ:problem:"+c.code)
		equal(t, "content type", recorder.Header().Get("Content-Type"), "application/problem+json")
		equal(t, "Retry-After of "+name, recorder.Header().Get("Retry-After") != "", c.status == 503)
		equal(t, "challenge of "+name, recorder.Header().Get("WWW-Authenticate") != "", c.status == 401)
		if strings.Contains(recorder.Body.String(), "secret detail") || strings.Contains(recorder.Body.String(), "wrapped") {
			t.Fatal(recorder.Body)
		}
	}
}

func TestC04MissingAndHiddenLookTheSame(t *testing.T) {
	w := newWorld(t)
	id := w.user("ada", "")
	w.role("ops:viewer", `[]`)
	w.root().put("/v1/groups/g1", `{"name":"x"}`).is(201)
	w.root().put("/v1/tenants/t1", `{"name":"x"}`).is(201)
	w.application("a", "")
	w.application("nobody", "")
	sid := w.root().get("/v1/applications/a/secrets").ids("id")
	nobody := w.as("application:nobody")
	for there, missing := range map[string]string{
		"/v1/users/" + id: "/v1/users/" + someID, "/v1/roles/ops:viewer": "/v1/roles/ops:none", "/v1/groups/g1": "/v1/groups/g2",
		"/v1/tenants/t1": "/v1/tenants/t2", "/v1/applications/a": "/v1/applications/b",
		"/v1/applications/a/scopes": "/v1/applications/b/scopes", "/v1/applications/a/secrets": "/v1/applications/b/secrets",
		"/v1/applications/a/secrets/" + sid: "/v1/applications/b/secrets/" + sid,
	} {
		for method, body := range map[string]string{"GET": "", "PATCH": "{}", "PUT": `{"name":"x","username":"x","email":"x@example.com"}`, "DELETE": ""} {
			got, want := nobody.do(method, there, body), nobody.do(method, missing, body)
			if got.status == 405 || got.status == 400 {
				continue
			}
			equal(t, method+" "+there, got.status, 404)
			if diff := cmp.Diff(anonymous(want), anonymous(got)); diff != "" {
				t.Errorf("%s %s: %s", method, there, diff)
			}
		}
	}
}

// anonymous is a reply without what is new in each.
func anonymous(r *reply) map[string]any {
	var body map[string]any
	_ = json.Unmarshal([]byte(r.body), &body)
	delete(body, "decision_id")
	names := []string{}
	for _, name := range []string{"Content-Type", "Cache-Control", "Etag", "Www-Authenticate", "Decision-Id", "Allow", "Location"} {
		if r.header.Get(name) != "" {
			names = append(names, name)
		}
	}
	return map[string]any{"status": r.status, "body": body, "headers": names, "count": len(r.header)}
}

func TestC03PathsMethodsAndTypes(t *testing.T) {
	w := newWorld(t)
	w.root().get("/v1/nothing").want(404, "no_such_route")
	r := w.root().do("POST", "/v1/me", "{}").want(405, "method_not_allowed")
	if !strings.Contains(r.header.Get("Allow"), "PUT") {
		t.Fatal(r.header)
	}
	w.root().with("Content-Type", "text/plain").post("/v1/groups", `{"name":"x"}`).is(415)
	w.root().with("Content-Type", "application/merge-patch+json").patch("/v1/tenants/t", `{}`).is(404)
	w.root().get("/v1/users?colour=red").is(400)
	w.root().get("/v1/users?limit=1&limit=2").is(400)
	w.root().post("/v1/groups", `{"name":"`+strings.Repeat("x", 1<<20)+`"}`).is(413)
	w.root().post("/v1/groups", strings.Repeat(`{"a":`, 100)+"1"+strings.Repeat("}", 100)).is(400)
}
