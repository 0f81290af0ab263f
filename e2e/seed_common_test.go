package e2e

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

// hiding are the rows about one object of a kind, as its path and id: {x} stands for the id. A body that names a password or a name is
// good for whoever may.
func hiding() map[string][]row {
	rows := map[string][]row{}
	add := func(kind string, more ...row) {
		rows[kind] = append([]row{
			{"GET", "/v1/" + kind + "/{x}", nil, ""},
			{"PATCH", "/v1/" + kind + "/{x}", object{}, ""},
			{"DELETE", "/v1/" + kind + "/{x}", nil, ""},
		}, more...)
	}
	add("users", row{"POST", "/v1/users/{x}/password/reset", nil, ""}, row{"DELETE", "/v1/users/{x}/tokens", nil, ""})
	add("groups")
	add("roles")
	add("applications", row{"GET", "/v1/applications/{x}/scopes", nil, ""}, row{"PUT", "/v1/applications/{x}/scopes", object{"scopes": list{}}, ""},
		row{"GET", "/v1/applications/{x}/secrets", nil, ""}, row{"POST", "/v1/applications/{x}/secrets", object{"label": "l"}, ""},
		row{"DELETE", "/v1/applications/{x}/secrets/none", nil, ""},
		row{"POST", "/v1/applications/{x}/secrets/none/reveal", object{"reason": "r"}, ""},
		row{"DELETE", "/v1/applications/{x}/tokens", nil, ""})
	return rows
}

// TestSeedHidingCoversTheTable holds the rows above against all rows: a row with an id of these kinds that is not walked fails.
func TestSeedHidingCoversTheTable(t *testing.T) {
	walked := map[string]bool{}
	for kind, rows := range hiding() {
		for _, r := range rows {
			walked[r.method+" "+strings.Replace(r.path, "/v1/"+kind+"/{x}", "/v1/"+kind+"/", 1)] = true
		}
		walked["PUT /v1/"+kind+"/"] = true // it creates what is missing, and has tests of its own
	}
	admin, _ := apiRows()
	replace := strings.NewReplacer("{u}", "", "{g}", "", "{r}", "", "{a}", "", "{s}", "none")
	for _, r := range admin {
		path := replace.Replace(r.path)
		if strings.ContainsAny(r.path, "{") && !strings.Contains(r.path, "{t}") && !walked[r.method+" "+path] {
			t.Errorf("%s %s is not walked by the tests of what is hidden", r.method, r.path)
		}
	}
}

// placed makes one object of each kind in a tenant, or in none, and returns their ids by kind.
func (c *scenario) placed(tenant string) map[string]string {
	in := inTenant(tenant)
	ids := map[string]string{"groups": unique("g"), "roles": "e2e:" + unique("r")}
	c.put("/v1/groups/"+ids["groups"], merge(object{"name": "g"}, in)).wantStatus(201)
	c.put("/v1/roles/"+ids["roles"], merge(object{"grants": list{}}, in)).wantStatus(201)
	ids["users"], ids["applications"] = c.newUser(in).ID, c.newApp(in).ID
	return ids
}

func missing(kind string) string {
	switch kind {
	case "users":
		return uuid()
	case "roles":
		return "e2e:" + unique("none")
	}
	return unique("none")
}

// TestC04AndSeedP13TenantsFromInside stands inside a tenant, with all rights in it and at system level, and goes to each row that has
// an id: with an object of the tenant, of another one, of none, and one that is not there.
func TestC04AndSeedP13TenantsFromInside(t *testing.T) {
	c := story(t, shared(t)).root()
	one, two := c.newTenant(), c.newTenant()
	rights := grants("iam:*@"+one, "iam:*", "iam/applications:reveal@"+one)
	callers := map[string]string{
		"an identity of the tenant":       c.token(c.newApp(object{"tenant": one, "grants": rights})),
		"a token narrowed to the tenant":  c.token(c.newApp(object{"grants": rights}), "tenant", one),
		"one that may all, and is inside": c.token(c.newApp(object{"tenant": one, "roles": list{"system:owner"}})),
	}
	for _, name := range slices.Sorted(maps.Keys(callers)) {
		c.root()
		foreign, system := c.placed(two), c.placed("")
		for _, kind := range slices.Sorted(maps.Keys(hiding())) {
			for _, r := range hiding()[kind] {
				at := func(id string) *scenario {
					var body any
					if r.body != nil {
						body = r.body
					}
					return c.as(bearer(callers[name])).send(r.method, strings.ReplaceAll(r.path, "{x}", id), body)
				}
				step := fmt.Sprintf("%s: %s %s", name, r.method, r.path)

				at(foreign[kind]).wantProblem(404, "")
				hidden := c.last
				at(missing(kind)).wantProblem(404, "").wantSame(hidden)
				c.expect(step + " of another tenant")

				reading := r.method == "GET"
				switch at(system[kind]); {
				case reading:
					c.wantStatus(200)
				default:
					c.wantDenied("system_level_readonly")
				}
				c.expect(step + " of no tenant")

				c.root()
				own := c.placed(one)
				switch at(own[kind]); {
				case strings.HasSuffix(r.path, "/reveal"):
					c.wantDenied("admin_only") // an application reveals nothing
				case strings.HasSuffix(r.path, "/secrets/none"):
					c.wantProblem(404, "")
				case c.err == nil && c.last.status/100 != 2:
					c.fail("status %d, want success", c.last.status)
				}
				c.expect(step + " of the tenant")
			}
		}
		c.root()
		for kind, id := range system {
			c.get("/v1/" + kind + "/" + id).wantStatus(200)
		}
		for kind, id := range foreign {
			c.get("/v1/" + kind + "/" + id).wantStatus(200)
		}
		c.expect(name + ": what was refused changed nothing")
	}
}

// TestC04AndSA05HiddenAndMissingAreTheSame goes to each row with an id without any right, and with a right to something else.
func TestC04AndSA05HiddenAndMissingAreTheSame(t *testing.T) {
	c := story(t, shared(t)).root()
	there := c.placed("")
	nobody, other := c.newApp(object{}), c.newApp(object{"grants": grants("jobs:*@*", "decisions:ask")})
	reader := c.newApp(object{"grants": grants("iam:read")})
	for _, credential := range []string{c.token(nobody), c.token(other)} {
		c.as(bearer(credential))
		for _, kind := range slices.Sorted(maps.Keys(hiding())) {
			for _, r := range hiding()[kind] {
				var body any
				if r.body != nil {
					body = r.body
				}
				c.send(r.method, strings.ReplaceAll(r.path, "{x}", there[kind]), body).wantProblem(404, "")
				hidden := c.last
				c.send(r.method, strings.ReplaceAll(r.path, "{x}", missing(kind)), body).wantProblem(404, "").wantSame(hidden)
				c.expect(r.method + " " + r.path)
			}
			c.get("/v1/" + kind).wantDenied("not_granted")
			c.expect("the list of " + kind)
		}
	}

	c.step("who may list them is told what is refused, and what is missing")
	c.as(bearer(c.token(reader)))
	for _, kind := range slices.Sorted(maps.Keys(hiding())) {
		for _, r := range hiding()[kind] {
			if r.method == "GET" || strings.HasSuffix(r.path, "/reveal") {
				continue
			}
			var body any
			if r.body != nil {
				body = r.body
			}
			c.send(r.method, strings.ReplaceAll(r.path, "{x}", there[kind]), body).wantDenied("not_granted")
			c.expect(r.method + " " + r.path)
		}
		c.get("/v1/"+kind+"/"+missing(kind)).wantProblem(404, "")
		c.expect(kind)
	}
}

// TestC06EveryDecidedReplyHasADecision walks every row as a full administrator and as nobody in particular. That the log has exactly
// one line for each is checked of every server of every test when it ends; the reasons of a denial are looked at here.
func TestC06EveryDecidedReplyHasADecision(t *testing.T) {
	s := fresh(t, Options{})
	c := story(t, s).root()
	known := map[string]bool{}
	c.get("/v1/catalogue").wantStatus(200)
	v, _ := at(c.last.value(), "/reasons")
	codes, _ := v.(map[string]any)
	for code := range codes {
		known[code] = true
	}
	replace := c.furniture()
	nobody := c.token(c.newApp(object{}))
	c.done()
	denied := map[string]int{}
	admin, public := apiRows()
	for i, rows := range [][]row{admin, public} {
		for _, r := range rows {
			var body any
			if r.body != nil {
				body = r.body
			}
			query := ""
			if r.query != "" {
				query = "?" + r.query
			}
			c.as(bearer(nobody)).on(i == 1).send(r.method, replace.Replace(r.path)+query, body)
			if c.last.status == 400 {
				continue // it did not come to a decision
			}
			c.header("Decision-Id")
			v, _ := at(c.last.value(), "/reasons")
			array, _ := v.([]any)
			for _, reason := range array {
				code, _ := reason.(map[string]any)["code"].(string)
				if denied[code]++; !known[code] {
					c.fail("the catalogue has no reason %q", code)
				}
			}
			if c.last.status == 403 && len(array) == 0 && !strings.HasPrefix(r.path, "/access/") && !strings.HasPrefix(r.path, "/v1/permissions") {
				c.fail("a denial without a reason")
			}
			c.expect(r.method + " " + r.path)
		}
	}
	if len(denied) == 0 {
		t.Error("nothing was denied")
	}
	lines, err := s.decisionLog()
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range lines {
		if line.Allow != nil && !*line.Allow && len(line.Reasons) == 0 {
			t.Errorf("the denial %s of %s is logged without a reason", line.DecisionID, line.Route)
		}
	}
}

// TestC02TheTokenEndpointIgnoresWhatItDoesNotKnow, as RFC 6749 has it, and AuthZEN likewise.
func TestC02TheTokenEndpointIgnoresWhatItDoesNotKnow(t *testing.T) {
	c := story(t, shared(t)).root()
	a := c.newApp(object{})
	c.ask(a, "grant_type", "client_credentials", "surprise", "1", "$where", "1", "a.b", "x").wantStatus(200)
	q := question("application", "root", "read", "ledger", "1")
	q["surprise"], q["$where"] = 1, object{"a.b": "data.x"}
	c.post("/access/v1/evaluation", q).wantStatus(200)
}
