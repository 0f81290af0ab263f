package e2e

import (
	"strings"
	"testing"
)

// TestRecordedDecisionsAreForWhoMayReadThem: what a node decided of late, by list and by id, with why; by right, tenant and listener.
func TestRecordedDecisionsAreForWhoMayReadThem(t *testing.T) {
	c := story(t, fresh(t, Options{})).root()
	tenant := c.newTenant()
	u := c.newUser(object{"grants": grants("ledger:read")})
	of := c.newUser(object{"tenant": tenant})
	reader, clerk := c.newApp(object{"grants": list{object{"tenant": "*", "resource": "decisions", "action": "read"}}}),
		c.newApp(object{"grants": list{object{"tenant": tenant, "resource": "decisions", "action": "read"}}})
	nobody := c.newApp(object{"grants": grants("decisions:ask")})
	secret := canary("canary-in-a-context")
	ask := withReasons(question("user", u.ID, "write", "ledger", "1"))
	ask["context"] = object{"password": secret, "word": "kept"}
	c.post("/access/v1/evaluation", ask).wantStatus(200)
	id, parent := c.text("/context/decision_id"), c.header("Decision-Id")
	inside := question("user", of.ID, "read", "ledger", "1")
	inside["resource"].(object)["tenant"] = tenant
	c.post("/access/v1/evaluation", withReasons(inside)).wantStatus(200)
	told := c.text("/context/decision_id")

	c.step("who may")
	c.as(bearer(c.token(reader))).eventually(swapWithin, func() { c.get("/v1/decisions/" + told).wantStatus(200) })
	c.get("/v1/decisions/"+id).wantStatus(200).want("/decision_id", id).want("/parent_id", parent).want("/allow", false).
		want("/entrypoint", "writ/decision").want("/reasons/0/code", "not_granted").want("/input/context/word", "kept").
		want("/input/context/password", "**MASKED**").want("/masked/0", "/input/context/password").
		want("/why/allow", false).want("/why/reasons/0/code", "not_granted")
	if c.text("/why/policy_revision") != c.text("/policy_revision") {
		c.fail("why is of another revision")
	}
	c.get("/v1/decisions?subject=user:"+u.ID+"&allow=false&action=write&resource_type=ledger").wantStatus(200).want("/items/0/decision_id", id)
	if n := len(c.items("decision_id")); c.err == nil && n != 1 {
		c.fail("%d decisions, want 1", n)
	}
	c.get("/v1/decisions?limit=1").wantStatus(200)
	next := c.text("/next")
	c.get("/v1/decisions?limit=1&after=" + next).wantStatus(200)

	c.step("a tenant's own")
	c.as(bearer(c.token(clerk, "tenant", tenant))).get("/v1/decisions/"+told).wantStatus(200).want("/decision_id", told)
	c.get("/v1/decisions/" + id).wantStatus(404)
	c.get("/v1/decisions?entrypoint=writ/decision").wantStatus(200).want("/items/0/decision_id", told)
	if n := len(c.items("decision_id")); c.err == nil && n != 1 {
		c.fail("%d decisions of the tenant, want 1", n)
	}

	c.step("who may not, and what is none")
	c.as(bearer(c.token(nobody))).get("/v1/decisions").wantDenied("not_granted")
	c.get("/v1/decisions/" + id).wantDenied("not_granted")
	c.get("/v1/decisions/" + uuid()).wantDenied("not_granted")
	c.as(bearer(c.token(reader))).get("/v1/decisions/"+uuid()).wantStatus(404).want("/code", "not_found")
	c.onPublic().get("/v1/decisions").wantStatus(404)
	for _, query := range []string{"limit=0", "allow=maybe", "since=now", "after=" + strings.Repeat("A", 40), "subject="} {
		c.onAdmin().get("/v1/decisions?"+query).wantStatus(400).want("/parameter", strings.SplitN(query, "=", 2)[0])
	}
	c.done()
}
