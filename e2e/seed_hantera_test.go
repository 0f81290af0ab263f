package e2e

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestSeedH03NamesFoldAndPropertiesComeBack(t *testing.T) {
	c := story(t, shared(t)).root()
	u, other := c.newUser(object{}), c.newUser(object{})

	c.step("an e-mail address that differs in case only is taken")
	name := unique("n")
	taken := upper(u.Username) + "@Example.COM"
	c.post("/v1/users", object{"username": name, "email": taken, "password": password()}).wantProblem(409, "/email")
	c.put("/v1/users/"+uuid(), object{"username": name, "email": taken, "password": password()}).wantProblem(409, "/email")
	c.patch("/v1/users/"+other.ID, object{"email": taken}).wantProblem(409, "/email")
	c.patch("/v1/users/"+u.ID, object{"email": taken}).wantStatus(200).want("/email", taken)

	c.step("properties come back as they were sent")
	sent := object{
		"text": "é \u2028 <b> \"q\"", "n": json.Number("12345678901234567890"), "f": json.Number("1.50"), "deep": object{"a": list{1, "b", nil, true}},
		"empty": object{}, "none": list{},
	}
	c.put("/v1/users/"+u.ID, object{"properties": sent}).wantStatus(200).want("/properties", sent)
	c.get("/v1/users/"+u.ID).want("/properties", sent)

	c.step("bad: a malformed address, and a megabyte of properties")
	c.patch("/v1/users/"+u.ID, object{"email": "not an address"}).wantProblem(400, "/email")
	c.patch("/v1/users/"+u.ID, object{"properties": object{"big": strings.Repeat("x", 1<<20)}}).wantProblem(413, "")
	c.patch("/v1/users/"+u.ID, object{"properties": "text"}).wantProblem(400, "/properties")
	c.get("/v1/users/"+u.ID).want("/properties", sent)
}

// TestSeedH04AndSA15PreconditionsMayBeDemanded switches the policy data on.
func TestSeedH04AndSA15PreconditionsMayBeDemanded(t *testing.T) {
	dir := policyDir(t, map[string]string{"settings/data.yaml": "require_if_match: true\n"})
	c := story(t, fresh(t, Options{Args: []string{"--policies", dir}})).root()
	id := unique("app")
	path := "/v1/applications/" + id
	etag := c.put(path, object{"name": "x"}).wantStatus(201).header("ETag")

	c.step("without, 428 and nothing changed")
	c.patch(path, object{"name": "y"}).wantRefused(428, "precondition_required")
	c.put(path, object{"name": "y"}).wantRefused(428, "precondition_required")
	c.put(path+"/scopes", object{"scopes": list{}}).wantRefused(428, "precondition_required")
	c.delete(path).wantRefused(428, "precondition_required")
	c.with("If-Match", "*").patch(path, object{"name": "y"}).wantRefused(428, "precondition_required") // it names no version
	c.get(path).want("/name", "x").wantHeader("ETag", etag)

	c.step("with it, the change is made once")
	newer := c.with("If-Match", etag).patch(path, object{"name": "y"}).wantStatus(200).header("ETag")
	c.with("If-Match", etag).patch(path, object{"name": "z"}).wantProblem(412, "")
	c.with("If-Match", newer).delete(path).wantStatus(204)
}

// TestSeedH11ProtectedRefusesEveryWrite goes to a protected application by every route that writes.
func TestSeedH11ProtectedRefusesEveryWrite(t *testing.T) {
	c := story(t, shared(t)).root()
	role, group := c.newRole("ledger:read"), ""
	group = c.newGroup(role)
	a := c.newApp(object{"scopes": list{"ledger:read"}})
	path := "/v1/applications/" + a.ID
	c.delete("/v1/roles/" + c.newRole()).wantStatus(204)

	c.step("nobody makes one through the API")
	c.patch(path, object{"protected": true}).wantDenied("system_protected")
	c.put("/v1/applications/"+unique("p"), object{"name": "x", "protected": true}).wantDenied("system_protected")
	c.post("/v1/applications", object{"name": "x", "protected": true}).wantDenied("system_protected")

	c.step("root is one")
	const root = "/v1/applications/root"
	etag := c.get(root).wantStatus(200).want("/protected", true).header("ETag")
	for name, attempt := range map[string]func(){
		"PUT":             func() { c.put(root, object{"name": "x"}) },
		"PATCH":           func() { c.patch(root, object{"description": "x"}) },
		"scopes":          func() { c.put(root+"/scopes", object{"scopes": list{}}) },
		"groups":          func() { c.patch(root, object{"groups": list{group}}) },
		"roles":           func() { c.patch(root, object{"roles": list{}}) },
		"grants":          func() { c.patch(root, object{"grants": list{}}) },
		"window":          func() { c.patch(root, object{"not_after": "2090-01-01T00:00:00Z"}) },
		"attributes":      func() { c.patch(root, object{"attributes": object{"a": 1}}) },
		"properties":      func() { c.patch(root, object{"properties": object{"a": 1}}) },
		"status":          func() { c.patch(root, object{"is_active": false}) },
		"retrievable":     func() { c.patch(root, object{"retrievable": true}) },
		"clearing":        func() { c.patch(root, object{"protected": false}) },
		"clearing by PUT": func() { c.put(root, object{"name": "root", "protected": false}) },
		"DELETE":          func() { c.delete(root) },
		"a bulk":          func() { c.post("/v1/applications/bulk-delete", object{"ids": list{a.ID, "root"}}) },
		"oneself":         func() { c.put("/v1/me", object{"name": "x"}) },
	} {
		attempt()
		c.wantDenied("system_protected")
		c.expect(name)
	}
	c.get(root).wantHeader("ETag", etag)
	c.get(path).wantStatus(200)

	c.step("its secrets are rotated by a full administrator, and by nobody else")
	c.post(root+"/secrets", object{"label": "second"}).wantStatus(201)
	second := c.text("/id")
	c.token(app{ID: "root", Secret: c.text("/value")})
	c.delete(root + "/secrets/" + second).wantStatus(204)
	clerk := c.newApp(object{"grants": grants("iam/applications:*@*")})
	c.as(bearer(c.token(clerk))).post(root+"/secrets", object{"label": "third"})
	if c.err == nil && c.last.status != 403 {
		c.fail("status %d, want 403", c.last.status)
	}

	c.step("protected roles, groups, users and tenants")
	c.root().put("/v1/roles/system:owner", object{"grants": list{}}).wantDenied("system_protected")
	c.delete("/v1/roles/system:owner?force=true").wantDenied("system_protected")
}
