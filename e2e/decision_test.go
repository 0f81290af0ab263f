package e2e

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
)

func TestSeedL16Evaluation(t *testing.T) {
	c := story(t, shared(t)).root()
	u := c.newUser(object{"grants": grants("ledger/accounts:read")})
	tenant := c.newTenant()

	c.step("permit and deny are both 200")
	c.decides(question("user", u.ID, "read", "ledger/accounts", "123"), true)
	c.decides(question("user", u.Username, "read", "ledger/accounts", "123"), true)
	c.decides(question("user", u.ID, "read", "ledger/accounts/123", "x"), true)
	c.decides(question("user", u.ID, "write", "ledger/accounts", "123"), false)
	c.decides(question("user", u.ID, "read", "ledger", "123"), false)
	c.decides(question("user", u.ID, "read", "ledger/accountsx", "123"), false)
	in := question("user", u.ID, "read", "ledger/accounts", "123")
	in["resource"].(object)["tenant"] = tenant
	c.decides(in, false)

	c.step("an id outside the grammar is covered from the type upwards only")
	exact := c.newUser(object{"grants": grants("ledger/accounts/a:read")})
	c.decides(question("user", u.ID, "read", "ledger/accounts", "a/../b"), true)
	c.decides(question("user", exact.ID, "read", "ledger/accounts", "a"), true)
	c.decides(question("user", exact.ID, "read", "ledger/accounts", "a/b"), false)

	c.step("reasons when asked for, and only then")
	c.post("/access/v1/evaluation", question("user", u.ID, "write", "ledger/accounts", "1")).wantAbsent("/context")
	c.post("/access/v1/evaluation", withReasons(question("user", u.ID, "write", "ledger/accounts", "1"))).wantStatus(200).
		want("/decision", false).want("/context/reasons/0/code", "not_granted")
	c.text("/context/decision_id")
	c.text("/context/policy_revision")
	c.post("/access/v1/evaluation", withReasons(question("user", u.ID, "read", "ledger/accounts", "1"))).
		want("/decision", true)

	c.step("an unknown subject is a deny")
	for _, subject := range [][2]string{
		{"user", uuid()},
		{"user", "nobody-of-that-name"},
		{"application", "app_none"},
		{"robot", "r2"},
	} {
		c.post("/access/v1/evaluation", withReasons(question(subject[0], subject[1], "read", "ledger/accounts", "1"))).
			wantStatus(200).
			want("/decision", false).want("/context/reasons/0/code", "no_such_subject")
		c.expect(subject[0] + " " + subject[1])
	}

	c.step("unknown members are ignored, the request id is echoed")
	extra := question("user", u.ID, "read", "ledger/accounts", "1")
	extra["surprise"] = object{"a": 1}
	c.with("X-Request-ID", "e2e-request-1").post("/access/v1/evaluation", extra).wantStatus(200).
		want("/decision", true).wantHeader("X-Request-ID", "e2e-request-1")

	c.step("malformed")
	for _, missing := range []string{"subject", "action", "resource"} {
		q := question("user", u.ID, "read", "ledger/accounts", "1")
		delete(q, missing)
		c.post("/access/v1/evaluation", q).wantStatus(400)
		c.expect(missing)
	}
	for _, bad := range []string{
		"", "{", "[]", "null", `"x"`,
		`{"subject":1,"action":{"name":"a"},"resource":{"type":"t","id":"i"}}`,
	} {
		c.post("/access/v1/evaluation", bad).wantStatus(400)
		c.expect(bad)
	}
	c.with("Content-Type", "text/plain").post("/access/v1/evaluation", "{}").wantStatus(400)
}

func TestSeedL17AskingAboutOthersIsARight(t *testing.T) {
	c := story(t, shared(t)).root()
	u := c.newUser(object{"grants": grants("ledger:read")})
	plain, asker := c.newApp(object{}), c.newApp(object{"grants": grants("decisions:ask")})
	tenant := c.newTenant()
	inTenant := c.newApp(object{"grants": grants("decisions:ask@" + tenant)})

	c.as(bearer(c.token(plain)))
	for _, subject := range [][2]string{{"user", u.ID}, {"user", uuid()}, {"application", "root"}, {"robot", "r2"}} {
		c.post("/access/v1/evaluation", question(subject[0], subject[1], "read", "ledger", "1")).wantStatus(403)
		c.header("Decision-Id")
		c.expect(fmt.Sprint(subject))
	}
	c.decides(question("application", plain.ID, "read", "ledger", "1"), false)
	c.as(bearer(c.token(asker))).decides(question("user", u.ID, "read", "ledger", "1"), true)
	c.as(bearer(c.token(inTenant, "tenant", tenant))).
		post("/access/v1/evaluation", question("user", u.ID, "read", "ledger", "1")).wantStatus(403)
	q := question("user", u.ID, "read", "ledger", "1")
	q["resource"].(object)["tenant"] = tenant
	c.decides(q, false)
}

// describedType is a type of the catalogue with its actions.
type describedType struct {
	Type    string
	Group   string
	Actions []struct {
		Name     string
		Explicit bool
	}
}

// catalogue is every type that rights decide about, as the server lists them; what concerns oneself needs no right, and the shipped
// examples decide alone below their first segment, on what these questions do not say.
func (c *scenario) catalogue() []describedType {
	c.get("/v1/catalogue").wantStatus(200)
	var listed struct{ Types []describedType }
	if err := json.Unmarshal(c.last.body, &listed); c.err == nil && err != nil {
		c.fail("%v", err)
	}
	return slices.DeleteFunc(listed.Types, func(d describedType) bool { return d.Type == "me" || d.Group == "Example" })
}

// TestSeedL18PermissionsEqualEvaluation asks each pair of the whole catalogue, and of types that it does not have, both ways.
func TestSeedL18PermissionsEqualEvaluation(t *testing.T) {
	c := story(t, shared(t)).root()
	one, two := c.newTenant(), c.newTenant()
	role := c.newRole("ledger/books:*", "jobs:read@"+one)
	u := c.newUser(object{"groups": list{c.newGroup(role)}, "grants": grants("ledger/accounts:read", "content:read@*",
		"jobs:write@"+two, "iam:*@"+one, "iam/applications:reveal@"+two, "*:read@"+two)})
	a := c.newApp(object{"scopes": list{"ledger:*"}, "grants": grants("ledger/accounts:read", "jobs:read", "iam/users:*", "tokens:*@*")})
	kinds := c.catalogue()
	for _, free := range []string{"ledger", "ledger/books", "ledger/accounts", "jobs", "content", "payroll"} {
		d := describedType{Type: free}
		for _, name := range []string{"read", "write", "delete"} {
			d.Actions = append(d.Actions, struct {
				Name     string
				Explicit bool
			}{Name: name})
		}
		kinds = append(kinds, d)
	}
	for _, subject := range []object{{"type": "user", "id": u.ID}, {"type": "application", "id": a.ID}} {
		c.post("/v1/permissions", object{"subject": subject}).wantStatus(200)
		c.done()
		v, _ := at(c.last.value(), "/permissions")
		listed, ok := v.([]any)
		if !ok || len(listed) == 0 {
			t.Fatalf("no permissions\n%s", c.last)
		}
		if via, _ := at(listed[0], "/via/0"); via == nil {
			t.Errorf("no via in %v", listed[0])
		}
		permitted, denied := 0, 0
		for _, tenant := range []string{"", one, two} {
			for _, kind := range kinds {
				for _, action := range kind.Actions {
					q := question(subject["type"].(string), subject["id"].(string), action.Name, kind.Type, "1")
					if tenant != "" {
						q["resource"].(object)["tenant"] = tenant
					}
					want := covered(listed, tenant, kind.Type+"/1", action.Name, action.Explicit)
					c.decides(q, want)
					c.expect(fmt.Sprintf("%s:%s in %q of %v", kind.Type, action.Name, tenant, subject))
					if want {
						permitted++
					} else {
						denied++
					}
				}
			}
		}
		if permitted < 10 || denied < 10 {
			t.Errorf("%v: %d permits and %d denials prove little", subject, permitted, denied)
		}
	}

	c.step("others, and nobody")
	plain := c.newApp(object{"grants": grants("ledger:read")})
	c.post("/v1/permissions", object{"subject": object{"type": "user", "id": uuid()}}).wantStatus(200).
		want("/permissions", list{})
	c.as(bearer(c.token(plain))).post("/v1/permissions", object{"subject": object{"type": "user", "id": u.ID}}).
		wantStatus(403)
	c.post("/v1/permissions", object{"subject": object{"type": "application", "id": plain.ID}}).wantStatus(200).
		want("/permissions/0/resource", "ledger")
}

// covered is section 3 of the design in a few lines: one of the listed permissions covers the wanted one. What is explicit is
// covered by its name alone.
func covered(listed []any, tenant, resource, action string, explicit bool) bool {
	for _, p := range listed {
		permission, _ := p.(map[string]any)
		t, _ := permission["tenant"].(string)
		r, _ := permission["resource"].(string)
		a, _ := permission["action"].(string)
		if (t == "*" || t == tenant) && (a == action || a == "*" && !explicit) &&
			(r == "*" || r == resource || len(resource) > len(r) && resource[:len(r)+1] == r+"/") {
			return true
		}
	}
	return false
}

func TestQuestionAboutATokenIsAnsweredWithinItsScopes(t *testing.T) {
	c := story(t, shared(t)).root()
	u := c.newUser(object{"grants": grants("ledger:read", "jobs:read")})
	token := c.login(c.front(), u, "scope", "ledger:read")
	c.decides(question("token", token, "read", "ledger", "1"), true)
	c.decides(question("token", token, "read", "jobs", "1"), false)
	c.decides(question("user", u.ID, "read", "jobs", "1"), true)
	c.as(bearer(token)).decides(question("user", u.ID, "read", "jobs", "1"), false)
	c.root().post("/access/v1/evaluation", withReasons(question("token", "garbage", "read", "ledger", "1"))).
		wantStatus(200).want("/decision", false)
	c.post("/access/v1/evaluation", question("token", forge(token), "read", "ledger", "1")).wantStatus(200).
		want("/decision", false)
	c.patch("/v1/users/"+u.ID, object{"suspended_at": "2020-01-01T00:00:00Z"}).wantStatus(200)
	c.decides(question("token", token, "read", "ledger", "1"), false)
	c.decides(question("user", u.ID, "read", "ledger", "1"), false)
}

func TestAuthZENMetadata(t *testing.T) {
	s := shared(t)
	story(t, s).get("/.well-known/authzen-configuration").wantStatus(200).want("/policy_decision_point", s.Public).
		want("/access_evaluation_endpoint", s.Public+"/access/v1/evaluation")
}
