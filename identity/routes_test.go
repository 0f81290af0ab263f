package identity_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/writ-authz/writ/policies"
	"github.com/writ-authz/writ/storage"
)

// rowCase is one call of a route that is permitted and one that is denied.
type rowCase struct {
	permit, deny func(*rowWorld) *reply
	// prepare makes what the permitted call needs beside the furniture.
	prepare      func(*rowWorld)
	permitStatus int
	denyStatus   int
}

// rowWorld has one object of each kind and two callers: root, and an application without any right.
type rowWorld struct {
	*world
	user string
	sid  string
}

func (w *rowWorld) nobody() as { return w.as("application:nobody") }

func (w *rowWorld) call(path string) string {
	return strings.NewReplacer("{user}", w.user, "{sid}", w.sid).Replace(path)
}

// both makes the same call as root and as nobody.
func both(method, path, body string, permitted, denied int) rowCase {
	return rowCase{
		permit: func(w *rowWorld) *reply { return w.root().do(method, w.call(path), body) }, permitStatus: permitted,
		deny: func(w *rowWorld) *reply { return w.nobody().do(method, w.call(path), body) }, denyStatus: denied,
	}
}

// mine makes a call that everybody may make about oneself, but with a temporary password.
func mine(method, path, body string, permitted int) rowCase {
	return rowCase{
		permit: func(w *rowWorld) *reply { return w.as("user:ada").do(method, w.call(path), body) }, permitStatus: permitted,
		deny: func(w *rowWorld) *reply { return w.as("user:temp").do(method, w.call(path), body) }, denyStatus: 403,
	}
}

func rows() map[string]rowCase {
	const user = `{"username":"new","email":"new@example.com","password":"` + goodPassword + `"}`
	const fresh = "0193d4c2-7f00-7000-8000-000000000001"
	return map[string]rowCase{
		"GET /v1/users":                      both("GET", "/v1/users", "", 200, 403),
		"POST /v1/users":                     both("POST", "/v1/users", user, 201, 403),
		"GET /v1/users/{id}":                 both("GET", "/v1/users/{user}", "", 200, 404),
		"PUT /v1/users/{id}":                 both("PUT", "/v1/users/"+fresh, user, 201, 404),
		"PATCH /v1/users/{id}":               both("PATCH", "/v1/users/{user}", `{"name":"Ada L."}`, 200, 404),
		"DELETE /v1/users/{id}":              both("DELETE", "/v1/users/{user}", "", 204, 404),
		"POST /v1/users/{id}/password/reset": both("POST", "/v1/users/{user}/password/reset", "", 200, 404),
		"DELETE /v1/users/{id}/tokens":       both("DELETE", "/v1/users/{user}/tokens", "", 204, 404),

		"GET /v1/groups":         both("GET", "/v1/groups", "", 200, 403),
		"POST /v1/groups":        both("POST", "/v1/groups", `{"name":"G"}`, 201, 403),
		"GET /v1/groups/{id}":    both("GET", "/v1/groups/g1", "", 200, 404),
		"PUT /v1/groups/{id}":    both("PUT", "/v1/groups/g1", `{"name":"G"}`, 200, 404),
		"PATCH /v1/groups/{id}":  both("PATCH", "/v1/groups/g1", `{"name":"G"}`, 200, 404),
		"DELETE /v1/groups/{id}": both("DELETE", "/v1/groups/g1", "", 204, 404),

		"GET /v1/roles":          both("GET", "/v1/roles", "", 200, 403),
		"POST /v1/roles":         both("POST", "/v1/roles", `{"key":"ops:new"}`, 201, 404),
		"GET /v1/roles/{key}":    both("GET", "/v1/roles/ops:viewer", "", 200, 404),
		"PUT /v1/roles/{key}":    both("PUT", "/v1/roles/ops:viewer", `{}`, 200, 404),
		"PATCH /v1/roles/{key}":  both("PATCH", "/v1/roles/ops:viewer", `{}`, 200, 404),
		"DELETE /v1/roles/{key}": both("DELETE", "/v1/roles/ops:viewer", "", 204, 404),

		"GET /v1/tenants":         both("GET", "/v1/tenants", "", 200, 403),
		"POST /v1/tenants":        both("POST", "/v1/tenants", `{"name":"T"}`, 201, 403),
		"GET /v1/tenants/{id}":    both("GET", "/v1/tenants/acme", "", 200, 404),
		"PUT /v1/tenants/{id}":    both("PUT", "/v1/tenants/acme", `{"name":"A"}`, 200, 404),
		"PATCH /v1/tenants/{id}":  both("PATCH", "/v1/tenants/acme", `{"enabled":false}`, 200, 404),
		"DELETE /v1/tenants/{id}": both("DELETE", "/v1/tenants/acme", "", 204, 404),

		"GET /v1/applications":                       both("GET", "/v1/applications", "", 200, 403),
		"POST /v1/applications":                      both("POST", "/v1/applications", `{"name":"n"}`, 201, 403),
		"POST /v1/applications/bulk-delete":          both("POST", "/v1/applications/bulk-delete", `{"ids":["billing"]}`, 204, 403),
		"GET /v1/applications/{id}":                  both("GET", "/v1/applications/billing", "", 200, 404),
		"PUT /v1/applications/{id}":                  both("PUT", "/v1/applications/billing", `{"name":"b"}`, 200, 404),
		"PATCH /v1/applications/{id}":                both("PATCH", "/v1/applications/billing", `{"name":"b"}`, 200, 404),
		"DELETE /v1/applications/{id}":               both("DELETE", "/v1/applications/billing", "", 204, 404),
		"GET /v1/applications/{id}/scopes":           both("GET", "/v1/applications/billing/scopes", "", 200, 404),
		"PUT /v1/applications/{id}/scopes":           both("PUT", "/v1/applications/billing/scopes", `{"scopes":[]}`, 200, 404),
		"GET /v1/applications/{id}/secrets":          both("GET", "/v1/applications/billing/secrets", "", 200, 404),
		"POST /v1/applications/{id}/secrets":         both("POST", "/v1/applications/billing/secrets", `{}`, 201, 404),
		"DELETE /v1/applications/{id}/secrets/{sid}": both("DELETE", "/v1/applications/billing/secrets/{sid}?force=true", "", 204, 404),
		"DELETE /v1/applications/{id}/tokens":        both("DELETE", "/v1/applications/billing/tokens", "", 204, 404),
		"POST /v1/applications/{id}/secrets/{sid}/reveal": {
			prepare: func(w *rowWorld) { w.world.user("boss", `,"roles":["system:owner"]`) },
			permit: func(w *rowWorld) *reply {
				return w.as("user:boss,fresh").post(w.call("/v1/applications/billing/secrets/{sid}/reveal"), `{"reason":"migration"}`)
			},
			permitStatus: 200,
			deny: func(w *rowWorld) *reply {
				return w.root().post(w.call("/v1/applications/billing/secrets/{sid}/reveal"), `{"reason":"migration"}`)
			},
			denyStatus: 403,
		},

		"GET /v1/access-review": both("GET", "/v1/access-review", "", 200, 403),

		"GET /v1/sessions":          both("GET", "/v1/sessions", "", 200, 403),
		"DELETE /v1/sessions":       both("DELETE", "/v1/sessions?subject={user}", "", 204, 404),
		"DELETE /v1/sessions/{sid}": both("DELETE", "/v1/sessions/session-1", "", 204, 404),
		"DELETE /v1/tokens":         both("DELETE", "/v1/tokens", "", 204, 403),

		"POST /v1/import":           both("POST", "/v1/import", `{"tenants":[{"id":"globex","name":"Globex"}]}`, 200, 403),
		"POST /v1/export/verifiers": both("POST", "/v1/export/verifiers", `{"kind":"user"}`, 200, 403),

		"GET /v1/catalogue": both("GET", "/v1/catalogue", "", 200, 403),

		"GET /v1/policies":                      both("GET", "/v1/policies", "", 200, 403),
		"POST /v1/policies":                     both("POST", "/v1/policies", pushed("three"), 201, 403),
		"POST /v1/policies/rollback":            both("POST", "/v1/policies/rollback", `{"reason":"r"}`, 200, 403),
		"GET /v1/policies/{revision}":           both("GET", "/v1/policies/"+revisionOf("one"), "", 200, 403),
		"DELETE /v1/policies/{revision}":        both("DELETE", "/v1/policies/"+revisionOf("two"), "", 204, 403),
		"POST /v1/policies/{revision}/activate": both("POST", "/v1/policies/"+revisionOf("two")+"/activate", `{"reason":"r"}`, 200, 403),
		"GET /v1/policies/{revision}/shadow":    both("GET", "/v1/policies/"+revisionOf("one")+"/shadow", "", 200, 403),
		"POST /v1/policies/{revision}/shadow":   both("POST", "/v1/policies/"+revisionOf("two")+"/shadow", `{"share":0.5}`, 200, 403),
		"DELETE /v1/policies/{revision}/shadow": both("DELETE", "/v1/policies/"+revisionOf("one")+"/shadow", "", 204, 403),
		"GET /v1/policy-activations":            both("GET", "/v1/policy-activations", "", 200, 403),
		"GET /v1/policy-data":                   both("GET", "/v1/policy-data", "", 200, 403),
		"GET /v1/policy-data/{path...}":         both("GET", "/v1/policy-data/apps/route/table", "", 200, 403),
		"PUT /v1/policy-data/{path...}":         both("PUT", "/v1/policy-data/apps/route/table", `{"a":1}`, 200, 403),
		"DELETE /v1/policy-data/{path...}":      both("DELETE", "/v1/policy-data/apps/route/table", "", 204, 403),

		"GET /v1/audit": both("GET", "/v1/audit", "", 200, 403),

		"GET /v1/keys":          both("GET", "/v1/keys", "", 200, 403),
		"POST /v1/keys":         both("POST", "/v1/keys", `{"ring":"access","alg":"ES256"}`, 201, 403),
		"GET /v1/keys/{kid}":    both("GET", "/v1/keys/key-x", "", 200, 403),
		"DELETE /v1/keys/{kid}": both("DELETE", "/v1/keys/key-x", "", 204, 403),

		"GET /v1/me":                   mine("GET", "/v1/me", "", 200),
		"PUT /v1/me":                   mine("PUT", "/v1/me", `{"name":"Ada L."}`, 200),
		"GET /v1/me/sessions":          mine("GET", "/v1/me/sessions", "", 200),
		"DELETE /v1/me/sessions":       mine("DELETE", "/v1/me/sessions", "", 204),
		"DELETE /v1/me/sessions/{sid}": mine("DELETE", "/v1/me/sessions/session-1", "", 204),
		"POST /v1/me/password": {
			permit: func(w *rowWorld) *reply {
				return w.as("user:ada").post("/v1/me/password", `{"current_password":"`+goodPassword+`","new_password":"another-lantern-43"}`)
			},
			permitStatus: 204,
			deny: func(w *rowWorld) *reply {
				w.root().patch("/v1/users/"+w.user, `{"grants":[{"resource":"ledger","action":"read"}]}`).is(200)
				return w.as("user:ada,scope=me:password").post("/v1/me/password", `{"new_password":"another-lantern-43"}`)
			},
			denyStatus: 403,
		},
	}
}

func TestEveryRouteHasAPermitAndADeny(t *testing.T) {
	cases := rows()
	w := newWorld(t)
	mounted := append(append(w.room.Routes(), w.room.MeRoutes()...), w.room.RevealRoutes()...)
	denied := newRowWorld(t) // denials change nothing
	for _, route := range mounted {
		name := route.Method + " " + route.Path
		row, ok := cases[name]
		if !ok {
			t.Errorf("the route %s has no case here", name)
			continue
		}
		delete(cases, name)
		t.Run(name, func(t *testing.T) {
			denied.check(t, "deny", row.deny(denied), row.denyStatus)
			permitted := newRowWorld(t)
			if row.prepare != nil {
				row.prepare(permitted)
			}
			permitted.check(t, "permit", row.permit(permitted), row.permitStatus)
		})
	}
	for name := range cases {
		t.Errorf("the case %s has no route", name)
	}
}

// kept is everything that the store holds, by kind and id.
func (w *world) kept() map[string]storage.Record {
	w.t.Helper()
	all := map[string]storage.Record{}
	for _, kind := range storage.Kinds() {
		for after := ""; ; {
			page, err := w.store.List(w.t.Context(), kind, storage.Query{Limit: 100, After: after})
			must(w.t, err)
			if len(page) == 0 {
				break
			}
			for _, record := range page {
				after = record.RecordMeta().ID
				all[kind.Name+"/"+after] = record
			}
		}
	}
	return all
}

// TestC05ADecisionThatErrsIs503OnEveryRow makes the permitted call of each row while the rules have no answer.
func TestC05ADecisionThatErrsIs503OnEveryRow(t *testing.T) {
	w := newRowWorld(t)
	cases := rows()
	for _, row := range cases {
		if row.prepare != nil {
			row.prepare(w)
		}
	}
	w.room.Close() // whatever was still to be written is
	before := w.kept()
	w.undecided.Store(true)
	mounted := append(append(w.room.Routes(), w.room.MeRoutes()...), w.room.RevealRoutes()...)
	for _, route := range mounted {
		name := route.Method + " " + route.Path
		t.Run(name, func(t *testing.T) {
			r := cases[name].permit(w)
			if r.status != 503 || r.header.Get("Retry-After") == "" || r.header.Get("Decision-Id") == "" || !errors.Is(r.err, policies.ErrUndecided) {
				t.Errorf("%s\n got %d %v %s (%v)\nwant 503 of a decision that erred", r.call, r.status, r.header, r.body, r.err)
			}
			if diff := cmp.Diff(before, w.kept()); diff != "" {
				t.Fatalf("%s changed (-before +after):\n%s", r.call, diff)
			}
		})
	}
	w.undecided.Store(false)
	row := cases["DELETE /v1/groups/{id}"]
	w.check(t, "once they answer again", row.permit(w), row.permitStatus)
	if cmp.Equal(before, w.kept()) {
		t.Error("a change is not seen, so nothing above was")
	}
}

func newRowWorld(t *testing.T) *rowWorld {
	w := &rowWorld{world: newWorld(t)}
	w.furnish(t)
	return w
}

// furnish makes one object of each kind.
func (w *rowWorld) furnish(t *testing.T) {
	w.role("ops:viewer", `[{"resource":"ledger","action":"read"}]`)
	w.root().put("/v1/groups/g1", `{"name":"One"}`).is(201)
	w.root().put("/v1/tenants/acme", `{"name":"Acme"}`).is(201)
	w.user = w.world.user("ada", "")
	w.root().post("/v1/users", `{"username":"temp","email":"temp@example.com"}`).is(201)
	w.application("billing", "")
	w.application("nobody", "")
	w.root().post("/v1/keys", `{"ring":"access","alg":"ES256"}`).is(201)
	w.root().post("/v1/policies", pushed("one")).is(201)
	w.root().post("/v1/policies", pushed("two")).is(201)
	w.root().post("/v1/policies/"+revisionOf("one")+"/activate", `{"reason":"the first"}`).is(200)
	w.root().post("/v1/policies/"+revisionOf("one")+"/shadow", `{"share":1}`).is(200)
	w.root().put("/v1/policy-data/apps/route/table", `{"GET /":"public"}`).is(201)
	secrets := w.root().get("/v1/applications/billing/secrets").is(200)
	w.sid = secrets.ids("id")
	s := &storage.Session{Subject: w.user, Client: "portal", LastUsedAt: start(), ExpiresAt: start().AddDate(1, 0, 0)}
	s.ID = "session-1"
	must(t, w.store.Insert(t.Context(), s))
}

func (w *rowWorld) check(t *testing.T, what string, r *reply, status int) {
	t.Helper()
	if r.status != status {
		t.Errorf("%s: %s\n got %d %s (%v)\nwant %d", what, r.call, r.status, r.body, r.err, status)
	}
	if r.header.Get("Decision-Id") == "" {
		t.Errorf("%s: %s has no Decision-Id", what, r.call)
	}
}

func TestEveryRouteWantsACredential(t *testing.T) {
	w := newWorld(t)
	for _, route := range append(append(w.room.Routes(), w.room.MeRoutes()...), w.room.RevealRoutes()...) {
		path := strings.NewReplacer("{id}", "x", "{sid}", "x", "{kid}", "x", "{key}", "a:b").Replace(route.Path)
		for _, caller := range []string{"", "user:nobody"} {
			r := w.as(caller).do(route.Method, path, "").want(401, "")
			if !strings.HasPrefix(r.header.Get("Www-Authenticate"), "Bearer") {
				t.Errorf("%s: challenge %q", r.call, r.header.Get("Www-Authenticate"))
			}
		}
	}
}
