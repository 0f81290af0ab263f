package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

// TestC02BadInputIsRefusedAndStoresNothing spoils one thing at a time in a good request of every row, as a full
// administrator.
func TestC02BadInputIsRefusedAndStoresNothing(t *testing.T) {
	s := fresh(t, Options{})
	c := story(t, s).root()
	replace := c.furniture()
	before := c.everything()
	c.done()
	admin, public := apiRows()
	for i, rows := range [][]row{admin, public} {
		for _, r := range rows {
			c.on(i == 1)
			host := c.host
			send := func(query string, body any, headers ...string) *scenario {
				c.host = host
				for h := 0; h < len(headers); h += 2 {
					c.with(headers[h], headers[h+1])
				}
				return c.send(r.method, replace.Replace(r.path)+query, body)
			}
			name := func(what string) string { return what + ": " + r.method + " " + r.path }
			var body any
			if r.body != nil {
				body = r.body
			}

			send("?surprise=1", body).wantStatus(400)
			if !strings.HasPrefix(r.path, "/access/v1/") {
				c.wantProblem(400, "").wantNaming("surprise")
			}
			c.expect(name("an unknown query parameter"))
			if r.query != "" {
				key, _, _ := strings.Cut(r.query, "=")
				send("?"+r.query+"&"+r.query, body).wantProblem(400, "").wantNaming(key)
				c.expect(name("a query parameter twice"))
			}
			send("?%zz", body).wantStatus(400)
			c.expect(name("a malformed query"))
			if r.body != nil && !strings.HasPrefix(r.path, "/v1/policy-data/") { // any JSON is a document: see managed_test.go
				c.badBodies(r, send, name)
			}
		}
	}
	after := c.everything()
	c.done()
	for path, was := range before { // but for keys, which are made ahead of time by themselves
		if !strings.HasPrefix(path, "/v1/keys") && !bytes.Equal(was, after[path]) {
			t.Errorf("GET %s changed:\nbefore %s\nafter  %s", path, was, after[path])
		}
	}
}

// badBodies spoils the body of a row that has one.
func (c *scenario) badBodies(r row, send func(string, any, ...string) *scenario, name func(string) string) {
	authzen := strings.HasPrefix(r.path, "/access/v1/")
	// What clients of OPA send beside the question is not read, as OPA does not read it.
	opa := strings.HasPrefix(r.path, "/v1/data/") || strings.HasPrefix(r.path, "/v1/batch/data/") || strings.HasPrefix(r.path, "/v1/compile/")
	good, _ := json.Marshal(r.body)
	inner := strings.TrimSuffix(strings.TrimPrefix(string(good), "{"), "}")
	key := slices.Sorted(maps.Keys(r.body))[0]
	first, _ := json.Marshal(r.body[key])
	pair := `"` + key + `":` + string(first)
	cased := `"` + strings.ToUpper(key[:1]) + key[1:] + `":` + string(first)
	deep := strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000)
	deepObject := strings.Repeat(`{"a":`, 10_000) + "1" + strings.Repeat("}", 10_000)

	refused := func(what, body, pointer string) {
		send("", body, "Content-Type", "application/json").wantStatus(400)
		if !authzen {
			c.wantProblem(400, pointer)
		}
		c.wantNoEcho()
		c.expect(name(what))
	}
	if !authzen && !opa {
		refused("an unknown key", `{`+inner+`,"surprise":1}`, "/surprise")
		refused("an operator for a key", `{`+inner+`,"$where":"1"}`, "/$where")
		refused("a key with a slash", `{`+inner+`,"a/b~c":"1"}`, "/a~1b~0c")
	}
	if !authzen {
		refused("a wrongly-cased key beside the right one", `{`+inner+`,`+cased+`}`, "/"+strings.ToUpper(key[:1])+key[1:])
	}
	refused("a duplicate key", `{`+inner+`,`+pair+`}`, "/"+key)
	if !authzen {
		refused("a wrongly-cased key", strings.Replace(string(good), pair, cased, 1), "/"+strings.ToUpper(key[:1])+key[1:])
	}
	operator := "/" + key
	if _, structured := r.body[key].(object); structured {
		operator += "/$ne"
	}
	if opa && key == "input" {
		operator = "/input/subject" // which is missing
	}
	refused("an operator where a value belongs", `{"`+key+`":{"$ne":"e2e-marker"}}`, operator)
	refused("a number where a value belongs", `{"`+key+`":1e999}`, "")
	refused("trailing data", string(good)+` {"a":1}`, "")
	refused("a trailing brace", string(good)+`}`, "")
	refused("an array", "["+string(good)+"]", "")
	refused("a string", `"x"`, "")
	refused("null", "null", "")
	refused("nothing", "", "")
	refused("half of it", string(good[:len(good)-1]), "")
	refused("a comment", string(good[:len(good)-1])+"/* c */}", "")
	refused("bytes that are no UTF-8", `{"`+key+"\":\"\xff\xfe\"}", "")
	refused("arrays 10,000 deep", `{"`+key+`":`+deep+`}`, "")
	refused("objects 10,000 deep", `{"`+key+`":`+deepObject+`}`, "")

	status := 415
	if authzen {
		status = 400
	}
	for _, kind := range []string{"text/plain", "application/x-www-form-urlencoded", "application/xml"} {
		send("", string(good), "Content-Type", kind).wantStatus(status)
		c.expect(name("content type " + kind))
	}
	send("", string(good), "Content-Type", "application/json", "Content-Encoding", "gzip").wantStatus(status)
	c.expect(name("content encoding gzip"))
	size := 2
	if r.path == "/v1/policies" {
		size = 8 // it takes a whole policy set
	}
	send("", `{"`+key+`":"`+strings.Repeat("x", size<<20)+`"}`, "Content-Type", "application/json").wantStatus(413)
	c.expect(name("a body that is too large"))
}

// wantNoEcho demands that an error repeats no value that was sent.
func (c *scenario) wantNoEcho() *scenario {
	if c.err == nil && (bytes.Contains(c.last.body, []byte("e2e-marker")) || len(c.last.body) > 4096) {
		return c.fail("the error repeats what was sent")
	}
	return c
}

// everything reads all that is stored, as far as the admin API shows it.
func (c *scenario) everything() map[string][]byte {
	out := map[string][]byte{}
	for _, path := range []string{"/v1/users", "/v1/groups", "/v1/roles", "/v1/applications", "/v1/tenants", "/v1/keys"} {
		c.get(path + "?limit=100").wantStatus(200)
		out[path] = c.last.body
		for _, id := range c.items("id") {
			if path == "/v1/applications" && id != "" {
				c.get(path + "/" + id + "/secrets").wantStatus(200)
				// When a secret was last used is no part of what a request writes.
				v, _ := c.last.value().(map[string]any)
				array, _ := v["items"].([]any)
				for _, item := range array {
					delete(item.(map[string]any), "last_used_at")
				}
				out[path+"/"+id+"/secrets"], _ = json.Marshal(v)
			}
		}
	}
	return out
}

// TestC07AndSS01AndSS02OperatorsAreInert stores what looks like an operator or code where free data belongs, and refuses it elsewhere.
func TestC07AndSS01AndSS02OperatorsAreInert(t *testing.T) {
	c := story(t, shared(t)).root()
	u := c.newUser(object{})
	path := "/v1/users/" + u.ID
	c.patch(path, object{"properties": object{"role": "data.x", "text": "{{ $where }}"}}).wantStatus(200)
	c.get(path).want("/properties", object{"role": "data.x", "text": "{{ $where }}"})
	for _, member := range []string{"properties", "attributes"} {
		for _, key := range []string{"$where", "$set", "$", "a.b", ".", "a.$", "nul\x00byte", "\x00"} {
			c.patch(path, object{member: object{key: 1}}).wantProblem(400, "/"+member+"/"+key)
			c.patch(path, object{member: object{"in": list{object{key: 1}}}}).wantProblem(400, "/"+member+"/in/0/"+key)
			c.expect(member + " " + key)
		}
	}
	c.get(path).want("/properties", object{"role": "data.x", "text": "{{ $where }}"})
	for _, member := range []string{"username", "email", "name", "tenant"} {
		for _, value := range []any{object{"$ne": nil}, object{"$gt": ""}, list{"x"}, object{"$regex": ".*"}} {
			c.post("/v1/users", merge(object{"username": unique("x"), "email": unique("x") + "@example.com"}, object{member: value})).wantProblem(400, "/"+member)
			c.expect(fmt.Sprint(member, " ", value))
		}
	}
	front := c.front()
	c.ask(front, "grant_type", "password", "username[$ne]", "x", "password[$ne]", "x").wantOAuthError(400, "invalid_request")
	c.ask(front, "grant_type", "password", "username", `{"$ne":null}`, "password", `{"$ne":null}`).wantOAuthError(400, "invalid_grant")
	c.ask(front, "grant_type", "password", "username", ".*", "password", u.Password).wantOAuthError(400, "invalid_grant")
	for _, search := range []string{".*", "^", "a.a", "%25", "_", "*", "%2Fada%2F"} {
		c.get("/v1/users?name_prefix=" + search).wantStatus(200).wantItems("id")
		c.expect("a search for " + search)
	}
	for _, query := range []string{"filter[$where]=1", "sort=$natural", "username[$ne]=x", "name_prefix[$regex]=.*", "limit[$gt]=1"} {
		c.get("/v1/users?" + query).wantStatus(400)
		c.expect(query)
	}
	c.get("/v1/users?group=" + "%24where").wantStatus(200).wantItems("id")
	for _, resource := range []string{"$where", "a.b/$x", "x\"]; allow := true; y := [\"", "../secrets"} {
		c.decides(question("user", u.ID, "read", "ledger", resource), false)
		c.expect(resource)
	}
	for _, kind := range []string{"data.writ", "../x", `a"]; x := 1`} {
		c.post("/access/v1/evaluation", question("user", u.ID, "read", kind, "1"))
		if c.err == nil && c.last.status != 400 {
			c.wantStatus(200).want("/decision", false)
		}
		c.expect(kind)
	}
}

// TestBadFormsOnTheTokenEndpoint spoils token requests.
func TestBadFormsOnTheTokenEndpoint(t *testing.T) {
	c := story(t, shared(t)).root()
	a := c.newApp(object{})
	c.as(basic(a.ID, a.Secret))
	form := "application/x-www-form-urlencoded"
	for name, body := range map[string]string{
		"a malformed escape": "grant_type=%zz", "a semicolon": "grant_type=client_credentials;scope=x",
		"bytes": "grant_type=\xff",
	} {
		c.with("Content-Type", form).post("/oauth2/token", body)
		if c.err == nil && c.last.status != 400 {
			c.fail("status %d, want 400", c.last.status)
		}
		c.expect(name)
	}
	c.with("Content-Type", form).post("/oauth2/token", "grant_type=client_credentials&scope="+strings.Repeat("x", 2<<20))
	if c.err == nil && c.last.status != 413 && c.last.status != 400 {
		c.fail("2 MiB: status %d", c.last.status)
	}
	c.with("Content-Type", form).with("Content-Encoding", "gzip").post("/oauth2/token", "grant_type=client_credentials")
	if c.err == nil && c.last.status/100 != 4 {
		c.fail("gzip: status %d", c.last.status)
	}
	c.with("Content-Type", "").post("/oauth2/token", "grant_type=client_credentials").wantOAuthError(400, "invalid_request")
	for name, header := range map[string]string{
		"20 KB of dots":        "Bearer " + strings.Repeat(".", 20_000),
		"a kid that is a path": "Bearer " + unsigned(object{"alg": "ES256", "kid": "../../x"}, object{}) + "AAAA",
		"a JWE":                "Bearer a.b.c.d.e",
	} {
		c.as(header).get("/v1/me")
		if c.err == nil && c.last.status != 401 {
			c.fail("status %d, want 401", c.last.status)
		}
		c.expect(name)
	}
}
