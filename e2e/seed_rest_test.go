package e2e

import (
	"slices"
	"strings"
	"testing"
)

// TestSeedL01AndL08AndL09WhatElseTheySay are the parts of these statements that their first tests do not tell.
func TestSeedL01AndL08AndL09WhatElseTheySay(t *testing.T) {
	c := story(t, shared(t)).root()
	c.step("L-01: a group has a description, in the list too")
	group := unique("g")
	c.put("/v1/groups/"+group, object{"name": group, "description": "who reads books"}).wantStatus(201)
	c.get("/v1/groups?name_prefix="+group).wantStatus(200).wantItems("description", "who reads books")

	c.step("L-08: bad input stores no application")
	name := unique("bad")
	for pointer, body := range map[string]object{
		"/grant_types/0": {"name": name, "grant_types": list{"telepathy"}},
		"/name":          {"name": ""},
		"/scopes/0":      {"name": name, "scopes": list{"no scope"}},
	} {
		c.post("/v1/applications", body).wantProblem(400, pointer)
		c.expect(pointer)
	}
	c.get("/v1/applications?count=true&name_prefix="+name).wantStatus(200).want("/total", 0)

	c.step("L-09: tokens of a deleted application are inactive in introspection")
	asker := c.newApp(object{"grants": grants("tokens:introspect")})
	a := c.newApp(object{})
	token := c.token(a)
	c.introspect(asker, token).want("/active", true)
	c.delete("/v1/applications/" + a.ID).wantStatus(204)
	c.introspect(asker, token).want("", object{"active": false})

	c.step("L-13: the refresh token of an ended session is refused at once")
	front, u := c.refreshing(), c.newUser(object{})
	c.askLogin(front, u).wantStatus(200)
	access, refresh := c.text("/access_token"), c.text("/refresh_token")
	c.as(bearer(access)).post("/oauth2/sessions/end", nil).wantStatus(204)
	c.dead(access).askRefresh(front, refresh).wantOAuthError(400, "invalid_grant")

	c.step("L-19: a token that dominates one's whole identity needs no current password")
	next := password()
	c.as(bearer(c.login(front, u))).post("/v1/me/password", object{"new_password": next}).wantStatus(204)
	c.askLogin(front, u).wantOAuthError(400, "invalid_grant")
	u.Password = next
	c.login(front, u)
}

// TestSeedM01AndM05AndM07AndM08WhatElseTheySay likewise.
func TestSeedM01AndM05AndM07AndM08WhatElseTheySay(t *testing.T) {
	c := story(t, shared(t)).root()
	role := c.newRole("ledger:read")
	group := c.newGroup(role)
	a := c.newApp(object{"scopes": list{"ledger:read"}})
	path := "/v1/applications/" + a.ID
	writer := c.newApp(object{"grants": grants("iam/applications:read", "iam/applications:write", "ledger:read")})
	scoper := c.newApp(object{"grants": grants("iam/applications:read", "iam/applications:write_scopes", "ledger:read")})

	c.step("M-05: roles and groups that there are need write_scopes too; and write_scopes alone is not enough")
	etag := c.get(path).wantStatus(200).header("ETag")
	c.as(bearer(c.token(writer)))
	c.patch(path, object{"name": "sneaky", "roles": list{role}}).wantDenied("not_granted")
	c.patch(path, object{"name": "sneaky", "groups": list{group}}).wantDenied("not_granted")
	c.as(bearer(c.token(scoper)))
	c.put(path+"/scopes", object{"scopes": list{"ledger:read", "jobs:read"}}).wantDenied("not_granted")
	c.patch(path, object{"name": "sneaky"}).wantDenied("not_granted")

	c.step("M-08: what was refused leaves no trace")
	c.root().get(path).wantHeader("ETag", etag).want("/scopes", list{"ledger:read"})
	c.get(path+"/scopes").wantHeader("ETag", etag).want("/scopes", list{"ledger:read"})

	c.step("M-07: titles and groups, searched and chosen")
	c.get("/v1/catalogue").wantStatus(200)
	v, _ := at(c.last.value(), "/groups")
	groups, _ := v.([]any)
	if c.err == nil && (!slices.Contains(groups, any("Identity")) || !slices.Contains(groups, any("System"))) {
		c.fail("the groups are %v", groups)
	}
	kinds := func(query string) []string {
		c.get("/v1/catalogue"+query).wantStatus(200).want("/groups", groups)
		v, _ := at(c.last.value(), "/types")
		array, _ := v.([]any)
		out := []string{}
		for _, item := range array {
			o := item.(object)
			out = append(out, o["type"].(string))
			if o["title"] == "" || o["group"] == "" {
				c.fail("%v has no title or group", o["type"])
			}
		}
		return out
	}
	for query, want := range map[string]string{
		"?group=Identity&q=TENANT": "iam/tenants", "?q=reset_pass": "iam/users", "?group=Identity&q=self-service": "", "?q=.*": "",
		"?group=self-service": "", "?group=Self-service": "me",
	} {
		if got := strings.Join(kinds(query), " "); c.err == nil && got != want {
			c.fail("%s found %q, want %q", query, got, want)
		}
		c.expect(query)
	}
	c.get("/v1/catalogue?q=").wantProblem(400, "").want("/parameter", "q")
	c.get("/v1/catalogue?group=").wantProblem(400, "").want("/parameter", "group")

	c.step("M-14: a token in a form is none")
	token := c.token(c.newApp(object{"grants": grants("decisions:ask")}))
	c.as("").form("/access/v1/evaluation", fields("access_token", token)).wantStatus(401)
	c.form("/v1/users", fields("access_token", token)).wantStatus(401)
}

// TestSeedG03AndM07TheCatalogueMayBeClosed switches the policy data on.
func TestSeedG03AndM07TheCatalogueMayBeClosed(t *testing.T) {
	dir := policyDir(t, map[string]string{"settings/data.yaml": "catalogue: {closed: true}\n"})
	c := story(t, fresh(t, Options{Args: []string{"--policies", dir}})).root()
	body := object{"name": "x", "grant_types": list{"client_credentials"}}
	c.post("/v1/applications", merge(body, object{"scopes": list{"iam/users:read", "payroll:read"}})).wantProblem(400, "/scopes/1").
		wantNaming("payroll")
	c.post("/v1/applications", merge(body, object{"grants": grants("payroll:read")})).wantProblem(400, "/grants/0/resource")
	c.put("/v1/roles/e2e:closed", object{"grants": grants("iam/users:read", "payroll:read")}).wantProblem(400, "/grants/1/resource")
	c.get("/v1/roles/e2e:closed").wantStatus(404)
	c.post("/v1/applications", merge(body, object{"scopes": list{"iam/users:read"}})).wantStatus(201)
}

// TestSeedH02AndH07AndH08AndH09WhatElseTheySay likewise.
func TestSeedH02AndH07AndH08AndH09WhatElseTheySay(t *testing.T) {
	c := story(t, shared(t)).root()
	space := unique("s")
	key := space + ":agent"
	c.put("/v1/roles/"+key, object{"grants": grants("ledger:read")}).wantStatus(201)
	a, u := c.newApp(object{"roles": list{key}}), c.newUser(object{"roles": list{key}})

	c.step("H-02: keys outside the grammar")
	for _, bad := range []string{"", "Agent", "a b:c", "support", "support:", "$where"} {
		c.patch("/v1/users/"+u.ID, object{"roles": list{key, bad}}).wantProblem(400, "/roles/1")
		c.patch("/v1/applications/"+a.ID, object{"roles": list{key, bad}}).wantProblem(400, "/roles/1")
		c.expect(bad)
	}
	c.get("/v1/users/"+u.ID).want("/roles", list{key})

	c.step("H-08: applications by the prefix, too")
	c.get("/v1/applications?role_prefix="+space+":").wantStatus(200).wantItems("id", a.ID)
	c.get("/v1/roles?key_prefix="+space).wantStatus(200).wantItems("key", key)
	c.get("/v1/roles?key_prefix=" + space + ".").wantStatus(200).wantItems("key")

	c.step("H-07: with force, dominance is still checked")
	clerk := c.newApp(object{"grants": grants("iam/roles:*")})
	c.as(bearer(c.token(clerk))).delete("/v1/roles/" + key + "?force=true").wantDenied("delegation_exceeds_actor")
	c.root().get("/v1/roles/" + key).wantStatus(200)
	c.delete("/v1/roles/"+key+"?force=maybe").wantProblem(400, "").want("/parameter", "force")

	c.step("H-09: no wildcard covers an explicit action")
	all := c.newApp(object{"grants": grants("*:*@*", "iam:*")})
	named := c.newApp(object{"grants": grants("iam/applications:reveal")})
	c.decides(question("application", all.ID, "write", "iam/applications", "x"), true)
	c.decides(question("application", all.ID, "reveal", "iam/applications", "x"), false)
	c.decides(question("application", named.ID, "reveal", "iam/applications", "x"), true)
}

// TestSeedG16ADisabledTenantOnEveryRow walks what belongs to a disabled tenant, from outside.
func TestSeedG16ADisabledTenantOnEveryRow(t *testing.T) {
	c := story(t, shared(t)).root()
	tenant := c.newTenant()
	there := c.placed(tenant)
	member := c.newUser(object{"tenant": tenant, "grants": grants("jobs:read@" + tenant)})
	ask := question("user", member.ID, "read", "jobs", "1")
	ask["resource"].(object)["tenant"] = tenant
	c.decides(ask, true)
	c.patch("/v1/tenants/"+tenant, object{"enabled": false}).wantStatus(200)
	for _, kind := range []string{"users", "groups", "roles", "applications"} {
		for _, r := range hiding()[kind] {
			var body any
			if r.body != nil {
				body = r.body
			}
			switch c.send(r.method, strings.ReplaceAll(r.path, "{x}", there[kind]), body); {
			case strings.HasSuffix(r.path, "/reveal"):
				c.wantDenied("admin_only")
			case r.method == "GET":
				c.wantStatus(200)
			default:
				c.wantRefused(409, "tenant_disabled")
			}
			c.expect(r.method + " " + r.path)
		}
		c.get("/v1/" + kind + "?tenant=" + tenant).wantStatus(200)
		if v, _ := at(c.last.value(), "/items/0"); c.err == nil && v == nil {
			c.fail("the list is empty")
		}
		c.expect("the list of " + kind)
	}
	c.post("/v1/applications", object{"name": "x", "tenant": tenant}).wantRefused(409, "tenant_disabled")
	c.decides(ask, false)
	c.askLogin(c.front(), member).wantOAuthError(400, "invalid_grant")
	c.get("/v1/tenants/" + tenant).wantStatus(200)
	c.get("/v1/tenants/"+upper(tenant)).wantProblem(404, "")
}
