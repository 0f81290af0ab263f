package policyserver_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/writ-authz/writ/cmd/writ/dialects"
	"github.com/writ-authz/writ/cmd/writ/dialects/policyserver"
)

// store is what the native route for one document of policy data does, with the conditions of a request.
type store struct {
	document string
	version  int
	// race is done once between a read and the write after it.
	race func(*store)
}

func (s *store) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/v1/policy-data/apps/policytree/nodes" {
		http.Error(w, `{"code":"elsewhere"}`, http.StatusTeapot)
		return
	}
	tag := fmt.Sprintf(`"%d"`, s.version)
	switch {
	case r.Header.Get("Authorization") != "Bearer good":
		w.Header().Add("WWW-Authenticate", "Bearer")
		w.Header().Add("WWW-Authenticate", "Basic")
		w.WriteHeader(http.StatusUnauthorized)
	case r.Method == http.MethodGet && s.document == "":
		w.WriteHeader(http.StatusNotFound)
	case r.Method == http.MethodGet:
		w.Header().Set("ETag", tag)
		_, _ = io.WriteString(w, s.document)
		if s.race != nil {
			s.race(s)
			s.race = nil
		}
	case s.document == "" && r.Header.Get("If-None-Match") != "*", s.document != "" && r.Header.Get("If-Match") != tag:
		w.WriteHeader(http.StatusPreconditionFailed)
	default:
		body, _ := io.ReadAll(r.Body)
		s.document, s.version = string(body), s.version+1
		w.WriteHeader(http.StatusOK)
	}
}

// world is the dialect in front of a store.
type world struct {
	t     *testing.T
	store *store
	*dialects.Mounted
}

func newWorld(t *testing.T, document string) *world {
	w := &world{t: t, store: &store{document: document}}
	w.Mounted = &dialects.Mounted{
		Dialect: policyserver.New(), Base: "/policyserver",
		Native: map[dialects.Plane]http.Handler{dialects.Admin: w.store, dialects.Public: w.store},
	}
	return w
}

// ask sends a request; header are names and values by turns.
func (w *world) ask(method, path, body string, header ...string) *httptest.ResponseRecorder {
	w.t.Helper()
	r := httptest.NewRequest(method, "/policyserver"+path, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer good")
	r.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	rec := httptest.NewRecorder()
	w.ServeHTTP(rec, r)
	return rec
}

// want sends a request and compares status and a part of the body.
func (w *world) want(method, path, body string, status int, part string) {
	w.t.Helper()
	rec := w.ask(method, path, body)
	if rec.Code != status || !strings.Contains(rec.Body.String(), part) {
		w.t.Errorf("%s %s %s: %d %s, want %d %s", method, path, body, rec.Code, rec.Body, status, part)
	}
}

const firm = `{"firm":{"roles":{"boss":{"subjects":{"ada":true,"eve":false}}},"permissions":{"fire":{"boss":true}}},` +
	`"firm/sales":{"roles":{"clerk":{"claims":{"team":{"sales":true}}}},"permissions":{"sell":{"boss":true,"clerk":true}}},"firm/sales/north":{}}`

func TestPoliciesAreReadAndWritten(t *testing.T) {
	w := newWorld(t, "")
	w.want("GET", "/management/policies", "", 200, "[]")
	w.want("POST", "/management/policies", `{"name":"firm"}`, 201, `{"id":"firm","name":"firm","path":"firm"}`)
	if at := w.ask("POST", "/management/policies/firm/policies", `{"name":"sales"}`).Header().Get("Location"); at != "/policyserver/management/policies/firm~sales" {
		t.Errorf("Location %q", at)
	}
	w.want("POST", "/management/policies", `{"name":"audit","parentId":"firm"}`, 201, `"parentId":"firm"`)
	w.want("GET", "/management/policies/firm/policies", "", 200, `"path":"firm/audit"`)
	w.want("POST", "/management/policies/firm~sales/roles", `{"name":"clerk","subjects":["ada"],"identityRoles":["x"],"claims":{"team":["a","b"]}}`, 201, `"id":"firm~sales:clerk"`)
	w.want("POST", "/management/policies/firm~sales/permissions", `{"name":"sell","roles":["clerk"]}`, 201, `"id":"firm~sales:sell"`)
	w.want("GET", "/management/roles/firm~sales:clerk", "", 200, `"claims":{"team":["a","b"]}`)
	w.want("PUT", "/management/roles/firm~sales:clerk", `{"identityRoles":[]}`, 200, `"subjects":["ada"],"identityRoles":[]`)
	w.want("POST", "/management/roles/firm~sales:clerk/subjects", `{"subject":"bob"}`, 201, "bob")
	w.want("GET", "/management/roles/firm~sales:clerk/subjects", "", 200, `[{"subject":"ada"},{"subject":"bob"}]`)
	w.want("DELETE", "/management/roles/firm~sales:clerk/subjects/ada", "", 204, "")
	w.want("GET", "/management/permissions/firm~sales:sell", "", 200, `"roles":["clerk"]`)
	w.want("PUT", "/management/permissions/firm~sales:sell", `{"roles":[]}`, 200, `"roles":[]`)
	w.want("GET", "/management/policies/firm~sales/permissions", "", 200, `"name":"sell"`)
	w.want("GET", "/management/policies/firm~sales/roles", "", 200, `"name":"clerk"`)
	w.want("PUT", "/management/policies/firm~sales", `{"name":"trade"}`, 200, `"path":"firm/trade"`)
	w.want("GET", "/management/roles/firm~trade:clerk", "", 200, "bob")
	w.want("PUT", "/management/policies/firm~trade", `{"parentId":""}`, 200, `"path":"trade"`)
	w.want("DELETE", "/management/permissions/trade:sell", "", 204, "")
	w.want("DELETE", "/management/roles/trade:clerk", "", 204, "")
	w.want("DELETE", "/management/policies/trade", "", 204, "")
	if want := `{"firm":{},"firm/audit":{}}`; w.store.document != want {
		t.Errorf("the document is %s, want %s", w.store.document, want)
	}
}

func TestBadWritesChangeNothing(t *testing.T) {
	w := newWorld(t, firm)
	for _, row := range []struct {
		method, path, body string
		status             int
		part               string
	}{
		{"POST", "/management/policies", `{"name":"firm"}`, 409, `"errors"`},
		{"POST", "/management/policies", `{"name":"a/b"}`, 400, `"errors"`},
		{"POST", "/management/policies", `{"name":""}`, 400, `"errors"`},
		{"POST", "/management/policies", `{}`, 400, "has a name"},
		{"POST", "/management/policies", `{"name":"a","parentId":"none"}`, 404, "no policy none"},
		{"POST", "/management/policies/firm/policies", `{"name":"a","parentId":"none"}`, 400, "parentId"},
		{"POST", "/management/policies", `{"name":"a","name":"b"}`, 400, `"errors"`},
		{"POST", "/management/policies", `{"Name":"a"}`, 400, `"errors"`},
		{"POST", "/management/policies", `[]`, 400, `"errors"`},
		{"POST", "/management/policies", `{"name":"a"`, 400, `"errors"`},
		{"PUT", "/management/policies/firm", `{"parentId":"firm~sales"}`, 400, "below itself"},
		{"PUT", "/management/policies/firm", `{"parentId":"firm"}`, 400, "below itself"},
		{"PUT", "/management/policies/firm~sales~north", `{"name":"sales","parentId":"firm"}`, 409, "already"},
		{"PUT", "/management/policies/none", `{"name":"a"}`, 404, "no policy"},
		{"PUT", "/management/policies/firm~sales", `{"parentId":"none"}`, 404, "no policy"},
		{"DELETE", "/management/policies/firm", "", 409, `"count":3`},
		{"DELETE", "/management/policies/firm?confirm=yes", "", 409, `"count":3`},
		{"DELETE", "/management/policies/firm?sure=true", "", 400, `"errors"`},
		{"DELETE", "/management/policies/none", "", 404, ""},
		{"POST", "/management/policies/firm/roles", `{"name":"boss"}`, 409, "already"},
		{"POST", "/management/policies/firm/roles", `{"name":"a b"}`, 400, "name of a role"},
		{"POST", "/management/policies/firm/roles", `{"name":"a","claims":{"team":[]}}`, 400, "no value"},
		{"POST", "/management/policies/firm/roles", `{"name":"a","subjects":[""]}`, 400, "is empty"},
		{"PUT", "/management/roles/firm:boss", `{"name":"chief"}`, 400, "keeps its name"},
		{"PUT", "/management/roles/firm:none", `{}`, 404, "no role"},
		{"DELETE", "/management/roles/firm~sales:boss", "", 404, "no role"},
		{"POST", "/management/roles/firm:boss/subjects", `{"subject":"ada"}`, 409, "already"},
		{"POST", "/management/roles/firm:boss/subjects", `{"subject":""}`, 400, "name the subject"},
		{"DELETE", "/management/roles/firm:boss/subjects/eve", "", 404, "no subject"},
		{"POST", "/management/policies/firm/permissions", `{"name":"fire"}`, 409, "already"},
		{"POST", "/management/policies/firm/permissions", `{"name":"x","roles":["clerk"]}`, 400, "no role"},
		{"PUT", "/management/permissions/firm:fire", `{"roles":["none"]}`, 400, "no role"},
		{"PUT", "/management/permissions/firm:fire", `{"name":"hire"}`, 400, "keeps its name"},
		{"DELETE", "/management/permissions/firm:none", "", 404, "no permission"},
		{"GET", "/management/policies/firm~none", "", 404, "no policy"},
		{"GET", "/management/nothing", "", 404, ""},
		{"PATCH", "/management/policies/firm", "", 405, ""},
	} {
		w.want(row.method, row.path, row.body, row.status, row.part)
		if w.store.document != firm {
			t.Fatalf("%s %s %s changes the tree", row.method, row.path, row.body)
		}
	}
}

func TestARoleThatGoesIsHeldByNoPermission(t *testing.T) {
	w := newWorld(t, firm)
	w.want("DELETE", "/management/roles/firm:boss", "", 204, "")
	var left map[string]struct {
		Permissions map[string]map[string]bool `json:"permissions"`
	}
	if err := json.Unmarshal([]byte(w.store.document), &left); err != nil {
		t.Fatal(err)
	}
	if len(left["firm"].Permissions["fire"]) != 0 || !left["firm/sales"].Permissions["sell"]["clerk"] || left["firm/sales"].Permissions["sell"]["boss"] {
		t.Errorf("%s", w.store.document)
	}
	w.want("DELETE", "/management/policies/firm?confirm=true", "", 200, `{"deleted":3}`)
	if w.store.document != "{}" {
		t.Errorf("%s", w.store.document)
	}
}

func TestAWriteIsMadeAgainForTheNextVersion(t *testing.T) {
	w := newWorld(t, firm)
	w.store.race = func(s *store) { s.document, s.version = `{"other":{}}`, s.version+1 }
	w.want("POST", "/management/policies", `{"name":"mine"}`, 201, "mine")
	if want := `{"mine":{},"other":{}}`; w.store.document != want {
		t.Errorf("%s, want %s", w.store.document, want)
	}
	w.store.race = func(s *store) { s.version++ }
	if rec := w.ask("POST", "/management/policies", `{"name":"late"}`, "If-Match", `"1"`); rec.Code != 412 {
		t.Errorf("a write for a version that is gone: %d", rec.Code)
	}
}

func TestATreeThatSaysMoreIsLeftAlone(t *testing.T) {
	for _, document := range []string{`{"a":{"policies":{}}}`, `{"a":null}`, `{"a":{"roles":{"r":null}}}`, `{"a":{"roles":{"r":{"owner":"x"}}}}`} {
		w := newWorld(t, document)
		w.want("GET", "/management/policies", "", 409, "/v1/policy-data")
		w.want("POST", "/management/policies", `{"name":"x"}`, 409, `"errors"`)
		if w.store.document != document {
			t.Errorf("%s became %s", document, w.store.document)
		}
	}
}

// Whoever comes with anything but a bearer token comes as nobody, and is told of bearer tokens alone.
func TestOnlyBearerTokensAreHandedOn(t *testing.T) {
	w := newWorld(t, firm)
	for _, header := range []string{"Basic cm9vdDpzZWNyZXQ=", "Digest x", "good", ""} {
		rec := w.ask("GET", "/management/policies", "", "Authorization", header)
		if got := rec.Header().Values("WWW-Authenticate"); rec.Code != 401 || len(got) != 1 || got[0] != "Bearer" {
			t.Errorf("%q: %d %q", header, rec.Code, got)
		}
	}
	if rec := w.ask("GET", "/management/policies", "", "Authorization", "bearer good"); rec.Code != 401 {
		t.Errorf("the native route judges what is handed on, and this one knows Bearer alone: %d", rec.Code)
	}
}
