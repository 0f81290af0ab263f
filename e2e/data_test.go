package e2e

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

const (
	ucastAll = "application/vnd.opa.ucast.all+json"
	mongoDB  = "application/vnd.writ.mongodb+json"
)

// ticket is an input of the data API about a ticket of the help desk.
func ticket(u user, properties object) object {
	return object{
		"subject": object{"type": "user", "id": u.ID}, "action": object{"name": "read"},
		"resource": object{"type": "helpdesk/ticket", "id": "1", "properties": properties},
	}
}

// TestDataAPI asks for decisions and documents as clients of OPA do.
func TestDataAPI(t *testing.T) {
	c := story(t, shared(t)).root()
	agent := c.newUser(object{"attributes": object{"teams": list{"network"}, "clearance": 2}})
	guest := c.newUser(object{})
	plain := c.newApp(object{})

	c.step("a decision, and a document of an application")
	c.post("/v1/data/writ/decision/result", object{"input": ticket(agent, object{"team": "network"})}).wantStatus(200).
		want("/result/allow", true).want("/result/reasons/0/code", "helpdesk.team")
	c.text("/decision_id")
	c.post("/v1/data/writ/decision/result", object{"input": ticket(guest, object{"team": "network"})}).wantStatus(200).want("/result/allow", false)
	c.post("/v1/data/apps/helpdesk/role", object{"input": object{"subject": object{"type": "user", "id": agent.Username}}}).wantStatus(200).
		want("/result", "agent")
	c.post("/v1/data/apps/helpdesk/role", object{"input": object{"subject": object{"type": "user", "id": guest.ID}}}).want("/result", "guest")

	c.step("many at once")
	c.post("/v1/batch/data/writ/decision/result", object{
		"common_input": ticket(agent, object{"team": "mail", "confidential": false}),
		"inputs":       object{"1": object{}, "2": object{"resource": object{"properties": object{"team": "network"}}}},
	}).wantStatus(200).want("/responses/1/result/allow", false).want("/responses/2/result/allow", true)
	c.text("/batch_decision_id")

	c.step("what is not published, and what is no request")
	for _, path := range []string{
		"/v1/data/apps/helpdesk/deny", "/v1/data/writ/admin/result", "/v1/compile/apps/helpdesk/role", "/v1/batch/data/writ/why/result",
	} {
		c.post(path, object{"input": ticket(agent, nil), "inputs": object{"1": ticket(agent, nil)}}).wantProblem(404, "").want("/code", "not_published")
		c.expect(path)
	}
	for _, path := range []string{"/v1/data/writ%2fdecision%2fresult", "/v1/data/writ/decision/..", "/v1/data//writ/decision/result", "/v1/data/x"} {
		c.post(path, object{"input": ticket(agent, nil)}).wantStatus(404)
		c.expect(path)
	}
	c.with("Content-Encoding", "gzip").post("/v1/data/writ/decision/result", object{"input": ticket(agent, nil)}).wantStatus(415)
	c.post("/v1/data/writ/decision/result", object{"input": object{}}).wantProblem(400, "/input/subject").want("/code", "missing_key")
	c.text("/message")

	c.step("asking about others is a right")
	c.as(bearer(c.token(plain))).post("/v1/data/apps/helpdesk/role", object{"input": object{"subject": object{"type": "user", "id": agent.ID}}}).
		wantStatus(403)
	c.post("/v1/compile/apps/helpdesk/permit", object{"input": object{"subject": object{"type": "user", "id": agent.ID}, "action": object{"name": "read"}}}).
		wantStatus(403)
	c.post("/v1/data/apps/helpdesk/role", object{"input": object{"subject": object{"type": "application", "id": plain.ID}}}).wantStatus(200)
}

// TestCompileAPI asks for filters, and decides one by one what they select.
func TestCompileAPI(t *testing.T) {
	c := story(t, shared(t)).root()
	agent := c.newUser(object{"attributes": object{"teams": list{"network", "storage"}, "clearance": 2}})
	nobody := uuid()
	listing := func(id string) object {
		return object{"input": object{
			"subject": object{"type": "user", "id": id}, "action": object{"name": "answer"}, "resource": object{"type": "helpdesk/ticket"},
		}}
	}

	c.step("nobody has no query")
	c.with("Accept", ucastAll).post("/v1/compile/apps/helpdesk/permit", listing(nobody)).wantStatus(200).wantAbsent("/result/query").
		wantHeader("Content-Type", ucastAll)

	c.step("as MongoDB's, under the caller's names")
	body := listing(agent.ID)
	body["options"] = object{"mappings": object{"team": "with_team"}}
	c.with("Accept", mongoDB).post("/v1/compile/apps/helpdesk/permit", body).wantStatus(200).wantHeader("Content-Type", mongoDB)
	if text := string(c.last.body); c.err == nil && (!strings.Contains(text, `"with_team"`) || !strings.Contains(text, `"$in"`)) {
		c.fail("the filter is %s", text)
	}

	c.step("UCAST selects what is permitted one by one")
	c.with("Accept", ucastAll).post("/v1/compile/apps/helpdesk/permit", listing(agent.ID)).wantStatus(200)
	var reply struct {
		Result struct{ Query map[string]any }
	}
	if err := json.Unmarshal(c.last.body, &reply); err != nil {
		c.fail("%v", err)
	}
	filter := reply.Result.Query
	selected, left := 0, 0
	for _, team := range []any{nil, "mail", "network"} {
		for _, state := range []any{nil, "new", "open"} {
			for _, confidential := range []any{nil, false, true} {
				for _, priority := range []any{nil, 2, 3} {
					row := object{}
					for name, value := range map[string]any{"team": team, "state": state, "confidential": confidential, "priority": priority} {
						if value != nil {
							row[name] = value
						}
					}
					in := ticket(agent, row)
					in["action"] = object{"name": "answer"}
					permitted := holds(filter, row)
					c.post("/v1/data/writ/decision/result", object{"input": in}).wantStatus(200).want("/result/allow", permitted)
					if permitted {
						selected++
					} else {
						left++
					}
				}
			}
		}
	}
	if c.err == nil && (selected < 10 || left < 10) {
		c.fail("%d selected and %d left prove little", selected, left)
	}

	c.step("forms that are not there")
	c.with("Accept", "application/json").post("/v1/compile/apps/helpdesk/permit", listing(agent.ID)).wantStatus(406)
	c.with("Accept", "application/vnd.opa.sql.postgresql+json").post("/v1/compile/apps/helpdesk/permit", listing(agent.ID)).wantStatus(406)
	body = listing(agent.ID)
	body["unknowns"] = list{"input.subject"}
	c.post("/v1/compile/apps/helpdesk/permit", body).wantProblem(400, "/unknowns")
}

// holds reads UCAST as a program does: what is missing is null.
func holds(filter, row map[string]any) bool {
	op, _ := filter["operator"].(string)
	if filter["type"] == "compound" {
		parts, _ := filter["value"].([]any)
		one := func(p any) bool { return holds(p.(map[string]any), row) }
		if op == "or" {
			return slices.ContainsFunc(parts, one)
		}
		return !slices.ContainsFunc(parts, func(p any) bool { return !one(p) })
	}
	have := row[filter["field"].(string)]
	if n, ok := have.(int); ok {
		have = float64(n)
	}
	switch want := filter["value"]; op {
	case "eq":
		return have == want
	case "in":
		return slices.Contains(want.([]any), have)
	case "lte":
		n, ok := have.(float64)
		return ok && n <= want.(float64)
	}
	return false
}

// TestTheDataGuideRuns runs every command of the guide, in order.
func TestTheDataGuideRuns(t *testing.T) {
	binaryOnly(t)
	_, blocks := guide(t, "docs/data-api.md")
	public, admin, err := freePorts()
	if err != nil {
		t.Fatal(err)
	}
	script := strings.NewReplacer(
		"127.0.0.1:8080", public, "127.0.0.1:8081", admin, "writ dev ", "writ dev --listen "+public+" --admin-listen "+admin+" ",
	).Replace(strings.Join(blocks, "\n"))
	out := runScript(t, script)
	for _, wanted := range []string{`"allow":true`, `"result":"agent"`, `"batch_decision_id"`, `"operator":"in"`, `"$in"`} {
		if !strings.Contains(out, wanted) {
			t.Errorf("the guide printed no %s:\n%s", wanted, out)
		}
	}
}
