package miniorange

import (
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/writ-authz/writ/cmd/writ/dialects"
)

// New is the dialect.
func New() *dialects.Dialect {
	d := &dialects.Dialect{Name: "miniorange", LooseSlashes: true, Failure: failure}
	for _, word := range []string{"autheticate", "authenticate"} { // the documented spelling, and the one that was meant
		d.Routes = append(d.Routes, dialects.Route{
			Method: "POST", Path: "/pam/apps/" + word + "/oauth/token-generation", Plane: dialects.Public, Body: dialects.JSON, Do: token,
		})
	}
	for _, method := range methods() {
		d.Routes = append(d.Routes, dialects.Route{Method: method, Path: "/pam/apps/{path...}", Plane: dialects.Public, Do: protected, AnyQuery: true})
	}
	return d
}

// methods are those of the protected paths. HEAD comes as GET, and PATCH counts as PUT in the table.
func methods() []string { return []string{"GET", "POST", "PUT", "PATCH", "DELETE"} }

// tokenMembers are the members of a token request, all of them required.
func tokenMembers() map[string]dialects.Member {
	return map[string]dialects.Member{
		"grant_type": {Name: "grant_type"}, "client_id": {Name: "client_id"}, "client_secret": {Name: "client_secret"},
		"customer": {Name: "tenant", Number: true},
	}
}

func token(c *dialects.Call) (dialects.Reply, error) {
	form, err := c.TokenForm(tokenMembers())
	if err != nil {
		return dialects.Reply{}, err
	}
	if err := dialects.Require("grant_type", form.Get("grant_type"), "client_id", form.Get("client_id"),
		"client_secret", form.Get("client_secret"), "customer", form.Get("tenant")); err != nil {
		return dialects.Reply{}, err
	}
	if form.Get("grant_type") != "client_credentials" { // this endpoint has no other
		return oauthError("unsupported_grant_type", "The grant type is client_credentials."), nil
	}
	c.Header.Del("Authorization") // the credential is in the body
	answer, err := c.Form("/oauth2/token", form)
	if err != nil {
		return dialects.Reply{}, err
	}
	var granted map[string]json.RawMessage
	var lifetime struct {
		Seconds int64 `json:"expires_in"`
	}
	if err := errors.Join(answer.Decode(&granted), answer.Decode(&lifetime)); err != nil {
		return dialects.Reply{}, err
	}
	body := map[string]any{"expires_in_minutes": lifetime.Seconds / 60}
	for name, value := range granted {
		body[name] = value
	}
	return dialects.Reply{Status: http.StatusOK, Header: http.Header{"Pragma": {"no-cache"}}, Body: body}, nil
}

// protected answers for a path of the API: who may pass is what the native forward-auth says of the method and of the path below the base.
func protected(c *dialects.Call) (dialects.Reply, error) {
	if err := authorize(c); err != nil {
		return dialects.Reply{}, err
	}
	uri, _ := strings.CutPrefix(c.Request.URL.EscapedPath(), c.Base)
	c.Header.Set("X-Forwarded-Uri", "/"+strings.TrimLeft(uri, "/"))
	answer, err := ask(c, c.Request.Method)
	var refusal *dialects.Refusal
	if errors.As(err, &refusal) && refusal.Has("unmapped_route") {
		return dialects.Reply{}, unmapped(c, err)
	}
	if err != nil {
		return dialects.Reply{}, err
	}
	reply := dialects.Reply{Status: answer.Status, Header: http.Header{}}
	for name, values := range answer.Header {
		if strings.HasPrefix(name, "X-Auth-") {
			reply.Header[name] = values
		}
	}
	return reply, nil
}

func ask(c *dialects.Call, method string) (*dialects.Answer, error) {
	c.Header.Set("X-Forwarded-Method", method)
	return c.JSON(http.MethodGet, "/forward-auth", nil, nil)
}

// unmapped says which methods the path has, found by asking about them; where it has none, it is refused as it was.
func unmapped(c *dialects.Call, refused error) error {
	var allow []string
	for _, method := range methods() {
		_, err := ask(c, method)
		var refusal *dialects.Refusal
		switch errors.As(err, &refusal); {
		case err == nil, refusal != nil && refusal.Status < 500 && !refusal.Has("unmapped_route"):
			allow = append(allow, method)
		case refusal == nil || refusal.Status >= 500:
			return err
		}
	}
	if allow == nil {
		return refused
	}
	return &dialects.Fault{Kind: dialects.NoMethod, Allow: allow, Detail: "the path is not there for this method"}
}

// authorize puts the header Authorize in the place of Authorization. Two headers that differ are refused, because two readers could take
// one each.
func authorize(c *dialects.Call) error {
	given := c.Request.Header.Values("Authorize")
	if len(given) == 0 {
		return nil
	}
	both := append(slices.Clone(given), c.Header.Values("Authorization")...)
	if len(slices.Compact(both)) > 1 {
		return &dialects.Fault{Kind: dialects.BadParameter, At: "Authorize", Detail: "there is more than one token; send one"}
	}
	c.Header.Set("Authorization", given[0])
	return nil
}

// failure renders faults of a token request as OAuth 2.0 does (RFC 6749, section 5.2), and all else as natively.
func failure(c *dialects.Call, err error) dialects.Reply {
	var fault *dialects.Fault
	if errors.As(err, &fault) && strings.Contains(c.Request.URL.Path, "/oauth/token-generation") && fault.Kind != dialects.NoMethod && fault.Kind != dialects.NoRoute {
		return oauthError("invalid_request", fault.Error())
	}
	return dialects.Native(nil)(c, err)
}

func oauthError(code, description string) dialects.Reply {
	return dialects.Reply{Status: http.StatusBadRequest, Body: map[string]string{"error": code, "error_description": description}}
}
