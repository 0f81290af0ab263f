package identity_test

import (
	"strings"
	"testing"
)

func TestH06SystemRolesAndLookAlikesAreRefused(t *testing.T) {
	w := newWorld(t)
	w.root().put("/v1/roles/system:new", `{}`).refused("system_protected")
	w.root().post("/v1/roles", `{"key":"system:new"}`).refused("system_protected")
	w.root().patch("/v1/roles/system:owner", `{"description":"mine"}`).refused("system_protected")
	w.root().del("/v1/roles/system:owner").refused("system_protected")
	for _, key := range []string{"System:x", "%20system:x", "system", "system:", ":x", "ｓystem:x", "a:b:", "a::b", "a:b%00", "a:B", "a:."} {
		if r := w.root().put("/v1/roles/"+key, `{}`); r.status != 400 && r.status != 404 {
			t.Errorf("%s: %d %s", key, r.status, r.body)
		}
	}
	w.root().post("/v1/roles", `{"key":"ѕystem:x"}`).bad("/key")
	w.root().post("/v1/roles", `{}`).bad("/key")
}

func TestH02RolesInheritWithoutCycles(t *testing.T) {
	w := newWorld(t)
	w.role("r:a", `[{"resource":"x","action":"read"}]`)
	w.root().put("/v1/roles/r:b", `{"inherits":["r:a"]}`).is(201)
	w.root().patch("/v1/roles/r:a", `{"inherits":["r:b"]}`).bad("/inherits/0")
	w.root().patch("/v1/roles/r:a", `{"inherits":["r:a"]}`).bad("/inherits/0")
	w.root().put("/v1/roles/r:new", `{"inherits":["r:new"]}`).is(400)
	w.root().patch("/v1/roles/r:b", `{"inherits":["r:a","r:none"]}`).bad("/inherits/1")
	if body := w.root().get("/v1/roles/r:b").body; !strings.Contains(body, `"permissions":[{"resource":"x","action":"read","via":"role:r:a"}]`) {
		t.Fatal(body)
	}
}

func TestH07ARoleInUseIsDeletedByForceAlone(t *testing.T) {
	w := newWorld(t)
	w.role("ops:viewer", `[{"resource":"ledger","action":"read"}]`)
	w.root().put("/v1/roles/ops:heir", `{"inherits":["ops:viewer"]}`).is(201)
	w.root().put("/v1/groups/g1", `{"name":"One","roles":["ops:viewer"]}`).is(201)
	id := w.user("ada", `,"roles":["ops:viewer"]`)
	w.application("a", `,"roles":["ops:viewer"]`)
	r := w.root().del("/v1/roles/ops:viewer").conflict("role_in_use")
	if !strings.HasPrefix(r.text("detail"), "4 objects") {
		t.Fatal(r.text("detail"))
	}
	w.root().del("/v1/roles/ops:viewer?force=yes").is(400)
	w.root().del("/v1/roles/ops:viewer?force=true").is(204)
	equal(t, "rights of ada", len(w.flat("user", id)), 0)
	equal(t, "rights of a", len(w.flat("application", "a")), 0)
	for _, path := range []string{"/v1/users/" + id, "/v1/applications/a", "/v1/groups/g1", "/v1/roles/ops:heir"} {
		if body := w.root().get(path).is(200).body; strings.Contains(body, "ops:viewer") {
			t.Fatal(body)
		}
	}
	w.root().del("/v1/roles/ops:viewer?force=true").is(404)
}

func TestAGroupInUseIsDeletedByForceAlone(t *testing.T) {
	w := newWorld(t)
	w.root().put("/v1/groups/g1", `{"name":"One"}`).is(201)
	id := w.user("ada", `,"groups":["g1"]`)
	w.root().del("/v1/groups/g1").conflict("group_in_use")
	w.root().del("/v1/groups/g1?force=true").is(204)
	if body := w.root().get("/v1/users/" + id).body; !strings.Contains(body, `"groups":[]`) {
		t.Fatal(body)
	}
}

func TestG03GrantsAreHeldAgainstCatalogueAndTenants(t *testing.T) {
	w := newWorld(t)
	w.root().put("/v1/tenants/T1", `{"name":"x"}`).is(201)
	for grant, pointer := range map[string]string{
		`{"resource":"iam/nonsense","action":"read"}`:      "/grants/0/resource",
		`{"resource":"iam/users","action":"fly"}`:          "/grants/0/action",
		`{"resource":"a//b","action":"read"}`:              "/grants/0/resource",
		`{"resource":"/a","action":"read"}`:                "/grants/0/resource",
		`{"resource":"a/","action":"read"}`:                "/grants/0/resource",
		`{"resource":"a","action":"re/ad"}`:                "/grants/0/action",
		`{"resource":"a","action":"read","tenant":"t1"}`:   "/grants/0/tenant",
		`{"resource":"a","action":"read","not_after":"x"}`: "/grants/0/not_after",
		`{"resource":"a","action":"read","extra":1}`:       "/grants/0/extra",
		`{"resource":"a"}`:                                 "/grants/0/action",
		`{"resource":{"$gt":""},"action":"read"}`:          "/grants/0/resource",
		`{"resource":"a","action":"b","not_before":"2027-01-01T00:00:00Z","not_after":"2026-01-01T00:00:00Z"}`: "/grants/0/not_after",
	} {
		w.root().put("/v1/roles/r:a", `{"grants":[`+grant+`]}`).bad(pointer)
	}
	r := w.root().put("/v1/roles/r:a", `{"grants":[{"resource":"a","action":"read","tenant":"T1"},{"resource":"a","action":"read","tenant":"T1"},{"resource":"a","action":"read"}]}`).is(201)
	equal(t, "grants", len(r.value("grants").([]any)), 2)
}

func TestH09CoverIsOnSegmentBorders(t *testing.T) {
	w := newWorld(t)
	id := w.user("ada", "")
	for grant, statuses := range map[string][3]int{
		`{"resource":"iam/users","action":"read"}`: {200, 403, 403},
		`{"resource":"iam/users","action":"*"}`:    {200, 200, 204},
		`{"resource":"iam","action":"*"}`:          {200, 200, 204},
		`{"resource":"iamx","action":"*"}`:         {404, 404, 404},
	} {
		w.root().put("/v1/applications/a", `{"name":"a","grants":[`+grant+`]}`)
		a, target := w.as("application:a"), "/v1/users/"+w.user("t", "")
		a.get("/v1/users/" + id).is(statuses[0])
		a.patch("/v1/users/"+id, `{"name":"x"}`).is(statuses[1])
		a.del(target).is(statuses[2])
		w.root().del(target)
	}
}

func TestG16ADisabledTenantIsReadAndNotWritten(t *testing.T) {
	w := newWorld(t)
	w.root().put("/v1/tenants/acme", `{"name":"Acme"}`).is(201)
	id := w.user("ada", `,"tenant":"acme"`)
	w.root().patch("/v1/tenants/acme", `{"enabled":false}`).is(200)
	w.root().get("/v1/users/" + id).is(200)
	w.root().patch("/v1/users/"+id, `{"name":"x"}`).conflict("tenant_disabled")
	w.root().del("/v1/users/" + id).conflict("tenant_disabled")
	w.root().put("/v1/groups/g", `{"name":"x","tenant":"acme"}`).conflict("tenant_disabled")
	w.as("user:ada").get("/v1/me").is(401)
	w.root().patch("/v1/tenants/acme", `{"enabled":true}`).is(200)
	w.as("user:ada").get("/v1/me").is(200)
	w.root().del("/v1/tenants/acme").conflict("tenant_in_use")
	w.root().del("/v1/users/" + id).is(204)
	w.application("a", `,"grants":[{"resource":"x","action":"y","tenant":"acme"}]`)
	w.root().del("/v1/tenants/acme").conflict("tenant_in_use")
	w.root().del("/v1/applications/a").is(204)
	w.root().del("/v1/tenants/acme").is(204)
	w.root().del("/v1/tenants/acme").is(404)
}

func TestP13ATenantsAdministratorReadsSystemRolesAndChangesItsOwn(t *testing.T) {
	w := newWorld(t)
	for _, id := range []string{"acme", "globex"} {
		w.root().put("/v1/tenants/"+id, `{"name":"x"}`).is(201)
		w.root().put("/v1/roles/"+id+":role", `{"tenant":"`+id+`"}`).is(201)
	}
	w.role("any:role", `[]`)
	w.application("admin", `,"tenant":"acme","grants":[{"tenant":"acme","resource":"iam/roles","action":"*"}]`)
	a := w.as("application:admin")
	a.put("/v1/roles/acme:new", `{"tenant":"acme"}`).is(201)
	a.get("/v1/roles/any:role").is(200)
	a.patch("/v1/roles/any:role", `{"description":"x"}`).refused("system_level_readonly")
	a.get("/v1/roles/globex:role").is(404)
	a.patch("/v1/roles/globex:role", `{}`).is(404)
	equal(t, "visible roles", a.get("/v1/roles").is(200).ids("key"), "acme:new acme:role any:role system:owner")
}
