package decide_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/writ-authz/writ/policies"
	"github.com/writ-authz/writ/policies/enforce"
)

// gateway is /forward-auth over the same subjects, with errors that show their code and parameter.
func (w *world) gateway() http.Handler {
	w.tb.Helper()
	pdp, err := loaded()
	if err != nil {
		w.tb.Fatal(err)
	}
	under := enforce.Plane{
		WriteError: writeCode,
		WriteDenial: func(rw http.ResponseWriter, _ *enforce.Request, _ policies.Decision, _ []policies.Reason) {
			w.tb.Error("a denial went past the plane")
		},
	}
	handler, err := enforce.Mount(enforce.Config{
		PDP: gate{pdp, w}, Log: w.log, Now: now, Fallback: under,
		Groups: []enforce.Group{{Plane: w.api.ForwardPlane(under), Routes: w.api.ForwardRoutes(w)}},
	})
	if err != nil {
		w.tb.Fatal(err)
	}
	return handler
}

func writeCode(rw http.ResponseWriter, _ *enforce.Request, err error) {
	switch e := err.(type) { //nolint:errorlint // those of the room are not wrapped
	case *enforce.ProtocolError:
		for name, values := range e.Header {
			rw.Header()[name] = values
		}
		rw.WriteHeader(e.Status)
		fmt.Fprintf(rw, "%s %s %s", e.Code, e.Parameter, e.Detail)
	case *enforce.AuthenticationError:
		rw.WriteHeader(http.StatusUnauthorized)
		fmt.Fprint(rw, e.Code)
	default:
		rw.WriteHeader(http.StatusServiceUnavailable)
		fmt.Fprint(rw, err)
	}
}

// forward asks whether a request may pass; headers are pairs, of which an empty value is left out.
func forward(handler http.Handler, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, "/forward-auth", nil)
	for i := 0; i < len(headers); i += 2 {
		if headers[i+1] != "" {
			r.Header[headers[i]] = append(r.Header[headers[i]], headers[i+1])
		}
	}
	reply := httptest.NewRecorder()
	handler.ServeHTTP(reply, r)
	return reply
}

func of(token, method, uri string, more ...string) []string {
	if token != "" {
		token = "Bearer " + token
	}
	return append([]string{"Authorization", token, "X-Forwarded-Method", method, "X-Forwarded-Uri", uri}, more...)
}

// routeUser may view users in the shipped table, and everything of assets in the tenant acme.
func (w *world) routeUser() *enforce.Subject {
	return w.identity("user", "eve", []policies.Grant{
		{Resource: "users/user", Action: "view", Via: "own"}, {Tenant: "acme", Resource: "assets", Action: "*", Via: "own"},
	})
}

func TestForwardAuth(t *testing.T) {
	w := newWorld(t, nil)
	eve := w.routeUser()
	w.caller("narrow", eve, "assets:*")
	w.caller("wide", eve, "users:*")
	inAcme := w.caller("acme", eve, "assets:*")
	inAcme.Tenant = "acme"
	elsewhere := w.caller("elsewhere", eve)
	elsewhere.Audiences = []string{"https://other.example"}
	gateway := w.gateway()
	const users, shop = "/pam/apps/users/user/", "shop.example.com"
	for _, tc := range []struct {
		name    string
		headers []string
		status  int
		says    string
	}{
		{"a permission that is held", of("eve", "GET", users), 200, ""},
		{"with a query", of("eve", "GET", users+"?a=..//"), 200, ""},
		{"HEAD is GET", of("eve", "HEAD", users), 200, ""},
		{"one that is not", of("eve", "POST", users), 403, "not_granted  the request takes users/user:add"},
		{"within the token's scopes", of("wide", "GET", users), 200, ""},
		{"outside of them", of("narrow", "GET", users), 403, "insufficient_scope  the request takes users/user:view"},
		{"in the token's tenant", of("acme", "GET", "/pam/apps/assets/asset"), 200, ""},
		{"in another", of("narrow", "GET", "/pam/apps/assets/asset"), 403, "not_granted"},
		{"a path without a row", of("eve", "GET", "/pam/apps/users"), 403, "unmapped_route"},
		{"a method without a row", of("eve", "OPTIONS", users), 403, "unmapped_route"},
		{"nobody", of("", "GET", users), 401, ""},
		{"nobody, without a row", of("", "GET", "/none"), 401, ""},
		{"nobody at a public route", of("", "GET", "/status", "X-Forwarded-Host", shop), 200, ""},
		{"at a port of the host", of("", "GET", "/status", "X-Forwarded-Host", "SHOP.example.com.:8443"), 200, ""},
		{"nobody where one must be signed in", of("", "GET", "/profile", "X-Forwarded-Host", shop), 401, ""},
		{"somebody there", of("eve", "GET", "/profile", "X-Forwarded-Host", shop), 200, ""},
		{"a bad token, even at a public route", of("dead", "GET", "/status", "X-Forwarded-Host", shop), 401, "invalid_token"},
		{"a token for somebody else", of("elsewhere", "GET", users), 401, "wrong_audience"},
		{"the user agent of a prober", of("", "GET", users, "User-Agent", "kube-probe/1.31"), 401, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			reply := forward(gateway, tc.headers...)
			if reply.Code != tc.status || !strings.HasPrefix(reply.Body.String(), tc.says) {
				t.Fatalf("got %d %s", reply.Code, reply.Body)
			}
			if reply.Header().Get("Decision-Id") == "" && tc.says != "invalid_token" {
				t.Error("no Decision-Id")
			}
			known := tc.status == http.StatusOK && tc.headers[1] != ""
			for _, name := range identityHeaders() {
				if values := reply.Header().Values(name); len(values) != 1 || values[0] != "" && !known {
					t.Errorf("%s is %q", name, values)
				}
			}
			if known && reply.Header().Get("X-Auth-Subject") != "eve" {
				t.Errorf("it does not say who is calling: %v", reply.Header())
			}
		})
	}
}

func identityHeaders() []string {
	return []string{"X-Auth-Subject", "X-Auth-Subject-Type", "X-Auth-User", "X-Auth-Client", "X-Auth-Tenant", "X-Auth-Scope"}
}

func TestSH08ForwardAuthTellsWhoItIs(t *testing.T) {
	w := newWorld(t, nil)
	person := w.caller("person", w.routeUser(), "users/user:view")
	person.Tenant, person.Scope = "acme", "users/user:view"
	person.Facts = policies.NewFacts(policies.Identity{
		Type: "user", ID: "eve", Exists: true, Active: true, TenantEnabled: true,
		Grants: []policies.Grant{{Tenant: "*", Resource: "users", Action: "*", Via: "own"}},
	})
	machine := *person
	machine.Type, machine.ID, machine.UserToken, machine.Tenant = "application", "app_x", false, ""
	w.callers["machine"] = &machine
	strange := *person
	strange.ID = "auth0|é 1%\r\nX-Auth-Tenant: globex"
	w.callers["strange"] = &strange
	for token, want := range map[string][]string{
		"person":  {"eve", "user", "eve", "asker", "acme", "users/user:view"},
		"machine": {"app_x", "application", "", "asker", "", "users/user:view"},
		"strange": {
			"auth0|%C3%A9%201%25%0D%0AX-Auth-Tenant:%20globex", "user", "auth0|%C3%A9%201%25%0D%0AX-Auth-Tenant:%20globex", "asker", "acme",
			"users/user:view",
		},
	} {
		reply := forward(w.gateway(), of(token, "GET", "/pam/apps/users/user", "X-Auth-User", "admin", "X-Auth-Tenant", "globex")...)
		if reply.Code != http.StatusOK {
			t.Fatalf("%s: %d %s", token, reply.Code, reply.Body)
		}
		for i, name := range identityHeaders() {
			if values := reply.Header().Values(name); len(values) != 1 || values[0] != want[i] {
				t.Errorf("%s: %s is %q, want %q", token, name, values, want[i])
			}
		}
	}
}

// What two servers could read in two ways passes nowhere, whoever asks.
func TestSH7ForwardAuthRefusesWhatIsAmbiguous(t *testing.T) {
	w := newWorld(t, nil)
	w.identity("user", "owner", []policies.Grant{{Tenant: "*", Resource: "*", Action: "*", Via: "own"}})
	gateway := w.gateway()
	const users = "/pam/apps/users/user/"
	for _, uri := range []string{
		"//pam/apps/users/user/", "/pam//apps/users/user/", users + "/", "/pam/./apps/users/user/", "/pam/x/../apps/users/user/", "/..", "/.",
		"/pam/apps/users/user/..", "/pam/%2e%2e/pam", "/pam/%2E/apps", "/pam/apps%2fusers/user/", "/pam/apps%2Fusers", "/pam/apps%5cusers",
		`/pam\apps`, "/pam/apps/users/user/;x=1", "/pam/..;/apps", "/pam/%3b", "/pam/%252e", "/pam/%", "/pam/%zz", "/pam/%00", "/pam/%0a", "/pam/%7f",
		"/pam/\x01", "/pam/é", "/pam/%ff", "/pam/a b", "/pam/#x", "/pam/%23", "/pam/%3f", "pam/apps", "http://x/pam", "*", "?",
		"/" + strings.Repeat("a", 4096),
	} {
		reply := forward(gateway, of("owner", "GET", uri)...)
		if reply.Code != http.StatusForbidden || !strings.HasPrefix(reply.Body.String(), "ambiguous_request X-Forwarded-Uri") {
			t.Errorf("%q: %d %.100s", uri, reply.Code, reply.Body)
		}
	}
	for name, tc := range map[string]struct {
		headers []string
		status  int
		says    string
	}{
		"two paths":                         {of("owner", "GET", users, "X-Forwarded-Uri", "/"), 403, "ambiguous_request X-Forwarded-Uri"},
		"two methods":                       {of("owner", "GET", users, "X-Forwarded-Method", "GET"), 403, "ambiguous_request X-Forwarded-Method"},
		"two hosts":                         {of("owner", "GET", users, "X-Forwarded-Host", "a", "X-Forwarded-Host", "b"), 403, "ambiguous_request X-Forwarded-Host"},
		"two lists of addresses":            {of("owner", "GET", users, "X-Forwarded-For", "a", "X-Forwarded-For", "b"), 403, "ambiguous_request X-Forwarded-For"},
		"two tokens":                        {of("owner", "GET", users, "Authorization", "Bearer eve"), 403, "ambiguous_request Authorization"},
		"underscores":                       {of("owner", "GET", users, "X_Forwarded_Uri", "/"), 403, "ambiguous_request X_Forwarded_Uri"},
		"an underscore":                     {of("owner", "GET", users, "X-Forwarded_method", "DELETE"), 403, "ambiguous_request X-Forwarded_method"},
		"underscores of an identity header": {of("owner", "GET", users, "X_auth_user", "admin"), 403, "ambiguous_request X_auth_user"},
		"a list of hosts":                   {of("owner", "GET", users, "X-Forwarded-Host", "a, b"), 403, "ambiguous_request X-Forwarded-Host"},
		"a host with a path":                {of("owner", "GET", users, "X-Forwarded-Host", "a/b"), 403, "ambiguous_request X-Forwarded-Host"},
		"a long host":                       {of("owner", "GET", users, "X-Forwarded-Host", strings.Repeat("a", 256)), 403, "ambiguous_request X-Forwarded-Host"},
		"a list of protocols":               {of("owner", "GET", users, "X-Forwarded-Proto", "https,http"), 403, "ambiguous_request X-Forwarded-Proto"},
		"a method in small letters":         {of("owner", "get", users), 403, "ambiguous_request X-Forwarded-Method"},
		"a list of methods":                 {of("owner", "GET, POST", users), 403, "ambiguous_request X-Forwarded-Method"},
		"a long method":                     {of("owner", strings.Repeat("A", 33), users), 403, "ambiguous_request X-Forwarded-Method"},
		"no method":                         {of("owner", "", users), 400, "missing_header X-Forwarded-Method"},
		"no path":                           {of("owner", "GET", ""), 400, "missing_header X-Forwarded-Uri"},
	} {
		reply := forward(gateway, tc.headers...)
		if reply.Code != tc.status || !strings.HasPrefix(reply.Body.String(), tc.says) {
			t.Errorf("%s: %d %.100s", name, reply.Code, reply.Body)
		}
		if reply.Header().Get("X-Auth-Subject") != "" {
			t.Errorf("%s: it says who is calling", name)
		}
	}
}

// An outage is no denial: neither of who is calling nor of the decision.
func TestForwardAuthInAnOutage(t *testing.T) {
	w := newWorld(t, nil)
	w.routeUser()
	w.undecided = true
	if reply := forward(w.gateway(), of("eve", "GET", "/pam/apps/users/user")...); reply.Code != http.StatusServiceUnavailable {
		t.Errorf("the decision is not to be had: %d %s", reply.Code, reply.Body)
	}
	w.undecided, w.tokensDown = false, true
	for _, token := range []string{"eve", "dead"} {
		if reply := forward(w.gateway(), of(token, "GET", "/pam/apps/users/user")...); reply.Code != http.StatusServiceUnavailable {
			t.Errorf("who is calling is not to be told: %d %s", reply.Code, reply.Body)
		}
	}
}

// Each request has one line, which says the path and the method and holds no query.
func TestForwardAuthHasALine(t *testing.T) {
	w := newWorld(t, nil)
	w.routeUser()
	reply := forward(w.gateway(), of("eve", "DELETE", "/pam/apps/users/user?token=canary")...)
	if err := w.log.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	var line struct {
		DecisionID  string `json:"decision_id"`
		Route       string
		Allow       bool
		Input       struct{ Action, Resource map[string]any }
		Obligations map[string]any
	}
	if err := json.Unmarshal(w.lines.Bytes(), &line); err != nil {
		t.Fatalf("%v in %s", err, w.lines.String())
	}
	if line.DecisionID != reply.Header().Get("Decision-Id") || line.Route != "GET /forward-auth" || line.Allow ||
		line.Input.Action["name"] != "DELETE" || line.Input.Resource["id"] != "/pam/apps/users/user" ||
		fmt.Sprint(line.Obligations["scopes"]) != "[users/user:delete]" || strings.Contains(w.lines.String(), "canary") {
		t.Errorf("the line is %s", w.lines.String())
	}
}

// What gateways of others send, as they send it.
func TestForwardAuthContracts(t *testing.T) {
	w := newWorld(t, nil)
	w.routeUser()
	for name, headers := range map[string][]string{
		// forwardAuth of Traefik 3: the headers of the request, and its own.
		"Traefik": {
			"Accept", "*/*", "Authorization", "Bearer eve", "User-Agent", "curl/8.5.0", "X-Forwarded-For", "203.0.113.7", "X-Forwarded-Host",
			"pam.example.com", "X-Forwarded-Method", "GET", "X-Forwarded-Port", "443", "X-Forwarded-Proto", "https", "X-Forwarded-Server",
			"traefik-0", "X-Forwarded-Uri", "/pam/apps/users/user/?page=2", "X-Real-Ip", "203.0.113.7",
		},
		// A WebSocket through Traefik.
		"Traefik, WebSocket": {
			"Authorization", "Bearer eve", "X-Forwarded-For", "203.0.113.7", "X-Forwarded-Host", "pam.example.com", "X-Forwarded-Method", "GET",
			"X-Forwarded-Proto", "wss", "X-Forwarded-Uri", "/pam/apps/users/user/",
		},
		// forward_auth of Caddy 2: GET without a body, whatever the request was.
		"Caddy": {
			"Accept-Encoding", "gzip", "Authorization", "Bearer eve", "User-Agent", "curl/8.5.0", "X-Forwarded-For", "203.0.113.7",
			"X-Forwarded-Host", "pam.example.com:8443", "X-Forwarded-Method", "GET", "X-Forwarded-Proto", "https", "X-Forwarded-Uri",
			"/pam/apps/users/user/", "Via", "1.1 Caddy",
		},
	} {
		if reply := forward(w.gateway(), headers...); reply.Code != http.StatusOK || reply.Header().Get("X-Auth-User") != "eve" {
			t.Errorf("%s: %d %s", name, reply.Code, reply.Body)
		}
	}
}

// FuzzForwardAuth puts any headers to the route. The caller holds everything, and the one path that passes is that of a row.
func FuzzForwardAuth(f *testing.F) {
	w := newWorld(f, nil)
	w.identity("user", "owner", []policies.Grant{{Tenant: "*", Resource: "*", Action: "*", Via: "own"}})
	gateway := w.gateway()
	for _, uri := range []string{
		"/pam/apps/users/user/", "/pam/apps/users/user", "/pam/apps/users/user/?x", "//pam", "/pam/..%2f", "/%70am/apps/users/user/", "/%", "",
	} {
		f.Add("GET", uri, "", "https")
	}
	f.Add("PATCH", "/pam/apps/users/user/", "shop.example.com", "ws")
	f.Fuzz(func(t *testing.T, method, uri, host, proto string) {
		w.tb = t
		reply := forward(gateway, of("owner", method, uri, "X-Forwarded-Host", host, "X-Forwarded-Proto", proto)...)
		switch reply.Code {
		case http.StatusBadRequest, http.StatusForbidden:
		case http.StatusOK:
			raw, _, _ := strings.Cut(uri, "?")
			for _, bad := range []string{"//", "..", "%2e", "%2f", "%5c", "\\", ";"} {
				if strings.Contains(strings.ToLower(raw), bad) {
					t.Fatalf("%q passed", uri)
				}
			}
		default:
			t.Fatalf("%d %s", reply.Code, reply.Body)
		}
	})
}
