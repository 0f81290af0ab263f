package e2e

import (
	"encoding/base64"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestSO01PathsAreNoRego names documents of the data API by what would be Rego elsewhere, as one who may ask about everybody.
func TestSO01PathsAreNoRego(t *testing.T) {
	c := story(t, shared(t)).root()
	body := object{"input": object{"subject": object{"type": "application", "id": "root"}}}
	for _, path := range []string{
		`a"]; x := 1`, "../system", "..", "system/main", "writ/decision/../../system", `writ["decision"].result`, "writ/decision/result/allow", "apps/helpdesk/role[_]",
		"apps/*/role", "apps/helpdesk/deny", "writ/why/result", "writ/admin/result", "writ", "x := 1", "apps/helpdesk/role; true", "apps/helpdesk/role\n", "_",
	} {
		escaped := strings.NewReplacer("%", "%25", `"`, "%22", " ", "%20", "[", "%5B", "]", "%5D", ";", "%3B", "\n", "%0A", "*", "%2A").Replace(path)
		for _, api := range []string{"/v1/data/", "/v1/batch/data/", "/v1/compile/"} {
			c.post(api+escaped, merge(body, object{"inputs": object{"1": body["input"]}})).wantProblem(404, "")
			c.expect(api + path)
		}
	}
	c.post("/v1/data/apps/helpdesk/role", body).wantStatus(200)
}

// TestSO07QuestionsThatLookAlikeAreAnsweredApart asks by turns what a key of a cache could take for the same.
func TestSO07QuestionsThatLookAlikeAreAnsweredApart(t *testing.T) {
	c := story(t, shared(t)).root()
	one := c.newTenant()
	agent := c.newUser(object{"attributes": object{"teams": list{"network"}, "clearance": 2}})
	holder := c.newUser(object{"grants": grants("ledger/a:read", "jobs:read@"+one)})
	in := func(q object, tenant string) object {
		if tenant != "" {
			q["resource"].(object)["tenant"] = tenant
		}
		return q
	}
	for range 3 {
		for _, row := range []struct {
			name string
			q    object
			want bool
		}{
			{"its resource", question("user", holder.ID, "read", "ledger", "a"), true},
			{"a delimiter in the id", question("user", holder.ID, "read", "ledger", "a:read"), false},
			{"a delimiter in the action", question("user", holder.ID, "read:a", "ledger", "a"), false},
			{"letters that move from one to the other", question("user", holder.ID, "aread", "ledger", ""), false},
			{"a neighbour", question("user", holder.ID, "read", "ledgera", "a"), false},
			{"its tenant", in(question("user", holder.ID, "read", "jobs", "1"), one), true},
			{"another tenant", in(question("user", holder.ID, "read", "jobs", "1"), one+"x"), false},
			{"no tenant", question("user", holder.ID, "read", "jobs", "1"), false},
			{"the tenant in the id", question("user", holder.ID, "read", "jobs", one+"/1"), false},
			{"the id as an application's", question("application", holder.ID, "read", "ledger", "a"), false},
		} {
			c.post("/access/v1/evaluation", row.q)
			if c.err == nil && c.last.status == 400 && !row.want {
				c.expect(row.name) // it is no question at all
				continue
			}
			c.wantStatus(200).want("/decision", row.want)
			c.expect(row.name)
		}
		for _, row := range []struct {
			team any
			want bool
		}{{"network", true}, {list{"network"}, false}, {"mail", false}, {`["network"]`, false}, {object{"0": "network"}, false}, {"network ", false}} {
			c.post("/v1/data/writ/decision/result", object{"input": ticket(agent, object{"team": row.team})}).wantStatus(200).want("/result/allow", row.want)
			c.expect(fmt.Sprintf("team %#v", row.team))
		}
	}

	c.step("the same question, within another token")
	narrow := c.newApp(object{"grants": grants("ledger/a:read", "jobs:read"), "scopes": list{"jobs:read"}})
	wide := c.newApp(object{"grants": grants("ledger/a:read", "jobs:read")})
	for range 2 {
		c.decidesAs(c.token(narrow), question("application", narrow.ID, "read", "ledger", "a"), false)
		c.decidesAs(c.token(wide), question("application", wide.ID, "read", "ledger", "a"), true)
		c.decidesAs(c.token(wide, "scope", "jobs:read"), question("application", wide.ID, "read", "ledger", "a"), false)
	}
}

// TestSS03IdsGiveNoAccess looks at how ids and secrets are made, and at the neighbours of an id.
func TestSS03IdsGiveNoAccess(t *testing.T) {
	c := story(t, shared(t)).root()
	v7 := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	nobody := bearer(c.token(c.newApp(object{})))
	seen := map[string]bool{}
	for range 8 {
		u, a := c.newUser(object{"password": nil}), c.newApp(object{})
		hex := strings.TrimPrefix(a.ID, "app_")
		if c.err == nil && (!v7.MatchString(u.ID) || len(hex) != 32 || hex[12] != '7') {
			c.fail("ids %s and %s are of no UUIDv7", u.ID, a.ID)
		}
		if c.done(); len(a.Secret) != len("writ_cs_")+43+6 { // and a checksum
			t.Fatalf("a secret has %d characters", len(a.Secret))
		}
		if random, err := base64.RawURLEncoding.DecodeString(a.Secret[len("writ_cs_"):][:43]); err != nil || len(random) != 32 {
			c.fail("the secret holds %d random bytes, %v", len(random), err)
		}
		for _, part := range []string{u.ID, a.ID, a.Secret, a.Secret[:len("writ_cs_")+8], u.ID[24:], a.ID[len(a.ID)-12:]} {
			if seen[part] {
				c.fail("%s is there twice", part)
			}
			seen[part] = true
		}
		last := u.ID[len(u.ID)-1]
		for _, other := range "0123456789abcdef" {
			if byte(other) == last {
				continue
			}
			c.root().get("/v1/users/"+u.ID[:len(u.ID)-1]+string(other)).wantProblem(404, "")
		}
		c.as(nobody).get("/v1/users/"+u.ID).wantProblem(404, "")
		c.get("/v1/applications/"+a.ID).wantProblem(404, "")
		c.root().expect(u.ID)
	}
}

// TestSS05WhatIsTooLargeIsRefused sends documents and bulks beyond their bounds, and those within: no write is dropped in silence.
func TestSS05WhatIsTooLargeIsRefused(t *testing.T) {
	c := story(t, shared(t)).root()
	u := c.newUser(object{})
	large := strings.Repeat("x", 16<<20)
	many := func(n int) list {
		out := make(list, n)
		for i := range out {
			out[i] = fmt.Sprintf("app_%d", i)
		}
		return out
	}
	people := func(n int) list {
		out := make(list, n)
		for i := range out {
			out[i] = object{"username": unique("ss5"), "email": unique("ss5") + "@example.com"}
		}
		return out
	}
	for name, row := range map[string]struct {
		method, path string
		body         any
		status       int
	}{
		"16 MB of properties":        {"PATCH", "/v1/users/" + u.ID, object{"properties": object{"x": large}}, 413},
		"16 MB of a name":            {"PATCH", "/v1/users/" + u.ID, object{"name": large}, 413},
		"half a MB of a name":        {"PATCH", "/v1/users/" + u.ID, object{"name": large[:1<<19]}, 400},
		"16 MB of policy data":       {"PUT", "/v1/policy-data/apps/route/x", object{"x": large}, 413},
		"16 MB to import":            {"POST", "/v1/import", object{"tenants": list{object{"id": "x", "name": large}}}, 413},
		"100,000 ids":                {"POST", "/v1/applications/bulk-delete", object{"ids": many(100_000)}, 413},
		"101 ids":                    {"POST", "/v1/applications/bulk-delete", object{"ids": many(101)}, 400},
		"101 people":                 {"POST", "/v1/import", object{"users": people(101)}, 400},
		"a batch of 100,000":         {"POST", "/access/v1/evaluations", object{"evaluations": make(list, 300_000)}, 413},
		"a batch of 10,000":          {"POST", "/access/v1/evaluations", object{"evaluations": many(10_000)}, 400},
		"16 MB of a question's text": {"POST", "/access/v1/evaluation", question("user", large, "read", "ledger", "1"), 413},
	} {
		c.send(row.method, row.path, row.body).wantStatus(row.status)
		c.expect(name)
	}
	c.get("/v1/users/"+u.ID).wantHeader("ETag", u.ETag).want("/name", "Ada")

	c.step("what is within the bounds is there, all of it")
	all := people(100)
	c.post("/v1/import", object{"users": all}).wantStatus(200)
	for _, i := range []int{0, 50, 99} {
		c.get("/v1/users?name_prefix="+all[i].(object)["username"].(string)).wantStatus(200).wantItems("username", all[i].(object)["username"].(string))
	}
	text := large[:1<<19]
	c.patch("/v1/users/"+u.ID, object{"properties": object{"x": text}}).wantStatus(200).want("/properties/x", text)
	c.get("/v1/users/"+u.ID).want("/properties/x", text)
}

// TestSL01TheConnectionStringIsInNoLog starts the server with a database that it cannot reach or read, and looks for the password.
func TestSL01TheConnectionStringIsInNoLog(t *testing.T) {
	t.Parallel() // it waits for a database that does not come
	kek := filepath.Join(t.TempDir(), "kek")
	for name, uri := range map[string]string{
		"nobody there":   "mongodb://writ:PASSWORD@127.0.0.1:1/writ?serverSelectionTimeoutMS=200",
		"a bad option":   "mongodb://writ:PASSWORD@127.0.0.1:1/writ?w=x&readConcernLevel=y&maxPoolSize=z",
		"a bad port":     "mongodb://writ:PASSWORD@127.0.0.1:port/writ",
		"no scheme":      "writ:PASSWORD@127.0.0.1/writ",
		"a wrong escape": "mongodb://writ:PASSWORD%zz@127.0.0.1/writ",
		"an at too many": "mongodb://writ:PASSWORD@x@127.0.0.1/writ",
	} {
		secret := canary("pw" + strings.ReplaceAll(uuid(), "-", ""))
		write(t, kek, newKEK())
		out := suite.runner.Command(t.Context(), Options{Env: startEnv(t, map[string]string{
			"WRIT_MONGODB_URI": strings.ReplaceAll(uri, "PASSWORD", secret), "WRIT_DATA_DIR": "", "WRIT_KEK_FILE": kek,
		})}, "serve")
		if out.Code == 0 || strings.Contains(out.Stdout+out.Stderr, secret) || !strings.Contains(out.Stderr, "MongoDB") && !strings.Contains(out.Stderr, "mongodb") {
			t.Errorf("%s: exit code %d, or the password is told: %s%s", name, out.Code, out.Stdout, out.Stderr)
		}
	}
}

// TestSL02TheAuditSaysWhatChangedAndNotTo writes canaries into every field of an object and looks for them in the audit.
func TestSL02TheAuditSaysWhatChangedAndNotTo(t *testing.T) {
	c := story(t, shared(t)).root()
	mark := strings.ReplaceAll(uuid(), "-", "")
	u, front := c.newUser(object{}), c.front()
	c.patch("/v1/users/"+u.ID, object{
		"name": "n" + mark, "email": "e" + mark + "@example.com", "properties": object{"p" + mark: "v" + mark}, "attributes": object{"a" + mark: list{"w" + mark}},
	}).wantStatus(200)
	a := c.newApp(object{"name": "app" + mark, "description": "d" + mark, "properties": object{"p" + mark: "v" + mark}})
	c.post("/v1/applications/"+a.ID+"/secrets", object{"label": "l" + mark}).wantStatus(201)
	c.put("/v1/policy-data/apps/route/"+mark[:8], object{"x": "doc" + mark})
	token := c.login(front, u)
	c.as(bearer(token)).onPublic().put("/v1/me", object{"name": "me" + mark}).wantStatus(200)
	c.onPublic().post("/v1/me/password", object{"current_password": u.Password, "new_password": password()}).wantStatus(204)
	c.askLogin(front, user{Username: "typed" + mark, Password: "x"}).wantStatus(400) // a password in the wrong field
	c.root()
	entries := 0
	for _, target := range []string{"users/" + u.ID, "applications/" + a.ID} {
		c.get("/v1/audit?limit=100&target=" + target).wantStatus(200)
		entries += len(c.items("event"))
		c.wantNoSecret(mark, a.Secret, u.Password, token)
		c.expect(target)
	}
	if entries < 6 {
		c.fail("%d entries prove nothing", entries)
	}
	c.expect("the audit")
	for _, entry := range []string{"/v1/audit?limit=100&action=token", "/v1/audit?limit=100"} {
		c.get(entry)
		if c.err == nil && c.last.status == 200 {
			c.wantNoSecret("n"+mark, "e"+mark, "v"+mark, "w"+mark, "d"+mark, "doc"+mark, "typed"+mark, a.Secret, u.Password, token)
		}
		c.expect(entry)
	}
}
