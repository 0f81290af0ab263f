package e2e

import (
	"strings"
	"testing"
)

// TestSeedG06DetoursAroundDominance: what changes what a stronger identity can do is refused by every route, also where no grant changes.
func TestSeedG06DetoursAroundDominance(t *testing.T) {
	c := story(t, fresh(t, Options{})).root()
	tenant := c.newTenant()
	weak, stronger := c.newUser(object{}), c.newUser(object{"grants": grants("ledger:read")})
	clerk := c.newApp(object{"grants": grants("iam/sessions:*", "iam/tenants:*", "iam/users:read")})
	governor := c.newApp(object{"grants": grants("*:*@*", "iam/applications:reveal@*", "tokens:revoke_all@*")})
	front := c.front()

	c.step("sessions")
	token := c.login(front, stronger)
	c.get("/v1/sessions?subject=" + stronger.ID).wantStatus(200)
	sid := c.items("id")[0]
	c.as(basic(clerk.ID, clerk.Secret))
	c.delete("/v1/sessions?subject=" + stronger.ID).wantDenied("delegation_exceeds_actor")
	c.delete("/v1/sessions/" + sid).wantDenied("delegation_exceeds_actor")
	c.live(token)
	theirs := c.login(front, weak)
	c.delete("/v1/sessions?subject=" + weak.ID).wantStatus(204)
	c.dead(theirs)
	c.root().delete("/v1/sessions/" + sid).wantStatus(204)
	c.dead(token)

	c.step("the status of a tenant")
	path := "/v1/tenants/" + tenant
	c.as(basic(clerk.ID, clerk.Secret))
	c.patch(path, object{"name": "renamed"}).wantStatus(200)
	c.patch(path, object{"enabled": false}).wantDenied("delegation_exceeds_actor")
	c.patch(path, object{"addresses": list{"192.0.2.0/24"}}).wantDenied("delegation_exceeds_actor")
	c.root().patch(path, object{"enabled": false}).wantStatus(200)
	c.as(basic(clerk.ID, clerk.Secret)).patch(path, object{"enabled": true}).wantDenied("delegation_exceeds_actor")
	c.as(basic(governor.ID, governor.Secret)).patch(path, object{"enabled": true}).wantStatus(200)

	c.step("by force")
	c.root()
	role := c.newRole("ledger:read")
	holder := c.newApp(object{"tenant": tenant, "roles": list{role}})
	c.patch(path, object{"enabled": false}).wantStatus(200)
	c.delete("/v1/roles/"+role+"?force=true").wantRefused(409, "tenant_disabled")
	c.get("/v1/applications/"+holder.ID).want("/roles", list{role})
	c.patch(path, object{"enabled": true}).wantStatus(200)
	c.delete("/v1/roles/" + role + "?force=true").wantStatus(204)
}

// TestSeedG08NobodyEndsItselfByItsCredentials: an application neither revokes its last secret nor becomes a public client. Another that
// dominates it does either.
func TestSeedG08NobodyEndsItselfByItsCredentials(t *testing.T) {
	c := story(t, shared(t)).root()
	a := c.newApp(object{"grants": grants("iam/applications:*")})
	path := "/v1/applications/" + a.ID
	c.as(basic(a.ID, a.Secret))
	c.delete(path + "/secrets/" + a.SecretID + "?force=true").wantDenied("self_lockout")
	c.delete(path + "/secrets/" + a.SecretID).wantDenied("self_lockout")
	c.patch(path, object{"token_endpoint_auth_method": "none"}).wantDenied("self_lockout")
	c.patch(path, object{"grant_types": list{}}).wantDenied("self_lockout")
	c.get(path).wantStatus(200)
	c.post(path+"/secrets", object{"label": "second"}).wantStatus(201)
	c.delete(path + "/secrets/" + a.SecretID).wantStatus(204)
	c.root().get(path + "/secrets").wantStatus(200)
	for _, sid := range c.items("id") {
		if sid != a.SecretID {
			c.delete(path + "/secrets/" + sid + "?force=true").wantStatus(204)
		}
	}
}

// TestSeedH13TheLastOwnerIsNotLimitedToAddresses: nobody knows whether anybody comes from there.
func TestSeedH13TheLastOwnerIsNotLimitedToAddresses(t *testing.T) {
	s := fresh(t, Options{})
	c := story(t, s).as(basic("root", s.Secret))
	a := c.newUser(object{"roles": list{"system:owner"}})
	limited := object{"addresses": list{"192.0.2.0/24"}}
	c.patch("/v1/users/"+a.ID, limited).wantRefused(409, "last_owner")
	b := c.newUser(object{"roles": list{"system:owner"}})
	c.patch("/v1/users/"+a.ID, limited).wantStatus(200)
	c.delete("/v1/users/" + b.ID).wantStatus(204)
	c.patch("/v1/users/"+a.ID, object{"addresses": list{"198.51.100.0/24"}}).wantRefused(409, "last_owner")
	c.patch("/v1/users/"+a.ID, object{"addresses": nil}).wantStatus(200)
}

// TestC04ABulkTellsNothingOfOtherTenants: an application of another tenant and one that is not there give the same reply, whatever stands
// beside them.
func TestC04ABulkTellsNothingOfOtherTenants(t *testing.T) {
	c := story(t, shared(t)).root()
	mine, other := c.newTenant(), c.newTenant()
	clerk := c.newApp(object{"tenant": mine, "grants": grants("iam/applications:read@"+mine, "iam/applications:delete@"+mine)})
	own := c.newApp(object{"tenant": mine})
	stronger := c.newApp(object{"tenant": mine, "grants": grants("ledger:read@" + mine)})
	foreign := c.newApp(object{"tenant": other})
	missing := "app_" + strings.Repeat("0", len(foreign.ID)-len("app_"))
	c.as(basic(clerk.ID, clerk.Secret))
	for name, beside := range map[string]list{
		"alone": {}, "beside the own": {own.ID}, "beside a stronger one": {stronger.ID}, "beside oneself": {clerk.ID},
	} {
		ask := func(id string) {
			c.post("/v1/applications/bulk-delete", object{"ids": append(append(list{}, beside...), id)}).wantProblem(404, "").wantNaming(id)
			c.last.body = []byte(strings.ReplaceAll(string(c.last.body), id, "the id"))
		}
		ask(missing)
		absent := c.last
		ask(foreign.ID)
		c.wantSame(absent).expect(name)
	}
	c.post("/v1/applications/bulk-delete", object{"ids": list{own.ID, stronger.ID}}).wantDenied("delegation_exceeds_actor")
	c.post("/v1/applications/bulk-delete", object{"ids": list{own.ID}}).wantStatus(204)
	c.root().get("/v1/applications/" + foreign.ID).wantStatus(200)
}
