package identity_test

import (
	"testing"
	"time"
)

// An owner who is moved into a tenant is confined to it: that costs the administration, and the last one is not moved.
func TestH13TheLastOwnerIsNotMovedIntoATenant(t *testing.T) {
	w := newWorld(t)
	w.root().put("/v1/tenants/ta", `{"name":"A","enabled":true}`).is(201)
	id := w.user("olga", `,"roles":["system:owner"]`)
	w.as("user:"+id).patch("/v1/users/"+id, `{"tenant":"ta"}`).refused("self_lockout")
	w.root().patch("/v1/users/"+id, `{"tenant":"ta"}`).conflict("last_owner")
	other := w.user("otto", `,"roles":["system:owner"]`)
	w.root().patch("/v1/users/"+id, `{"tenant":"ta"}`).is(200)
	w.root().del("/v1/users/" + other).conflict("last_owner") // who was moved does not count
}

// An administrator of one tenant does not refer to roles and groups of another, whatever they hold today.
func TestATenantsAdministratorRefersToItsOwnRolesAndGroups(t *testing.T) {
	w := newWorld(t)
	for _, tenant := range []string{"ta", "tb"} {
		w.root().put("/v1/tenants/"+tenant, `{"name":"T","enabled":true}`).is(201)
		w.root().put("/v1/roles/"+tenant+":empty", `{"tenant":"`+tenant+`","grants":[]}`).is(201)
		w.root().put("/v1/groups/g"+tenant, `{"name":"G","tenant":"`+tenant+`"}`).is(201)
	}
	w.application("local", `,"tenant":"ta","grants":[{"tenant":"ta","resource":"iam","action":"*"}]`)
	admin := w.as("application:local")
	user := w.user("uma", `,"tenant":"ta"`)
	admin.patch("/v1/users/"+user, `{"roles":["tb:empty"]}`).refused("delegation_exceeds_actor")
	admin.patch("/v1/users/"+user, `{"groups":["gtb"]}`).refused("delegation_exceeds_actor")
	admin.post("/v1/roles", `{"key":"ta:heir","tenant":"ta","grants":[],"inherits":["tb:empty"]}`).refused("delegation_exceeds_actor")
	admin.patch("/v1/groups/gta", `{"roles":["tb:empty"]}`).refused("delegation_exceeds_actor")
	admin.patch("/v1/users/"+user, `{"roles":["ta:empty"],"groups":["gta"]}`).is(200)
}

// Who may do nothing learns nothing from what it names: neither roles, groups and tenants, nor what inherits from what.
func TestC04NamesTellNothingToWhoMayNot(t *testing.T) {
	w := newWorld(t)
	w.root().put("/v1/tenants/tb", `{"name":"B","enabled":true}`).is(201)
	w.role("x:parent", `[]`)
	w.root().put("/v1/roles/x:child", `{"grants":[],"inherits":["x:parent"]}`).is(201)
	w.root().put("/v1/groups/gb", `{"name":"B"}`).is(201)
	user := w.user("uma", "")
	w.application("nobody", "")
	nobody := w.as("application:nobody")
	for path, bodies := range map[string][]string{
		"/v1/users/" + user: {
			`{"roles":["x:parent"]}`, `{"roles":["x:none"]}`, `{"groups":["gb"]}`, `{"groups":["gz"]}`,
			`{"grants":[{"tenant":"tb","resource":"a","action":"b"}]}`, `{"grants":[{"tenant":"tz","resource":"a","action":"b"}]}`,
		},
		"/v1/roles/x:parent": {`{"inherits":["x:child"]}`, `{"inherits":["x:none"]}`, `{"inherits":["x:parent"]}`},
	} {
		for _, body := range bodies {
			nobody.patch(path, body).is(404)
		}
	}
	w.root().patch("/v1/users/"+user, `{"roles":["x:none"]}`).bad("/roles/0")
}

// An id that is used anew begins at version 1 again; the tag of the object that had it before must not fit.
func TestH04ATagOfADeletedObjectDoesNotFitTheNext(t *testing.T) {
	w := newWorld(t)
	old := w.root().put("/v1/roles/x:again", `{"grants":[]}`).is(201).header.Get("ETag")
	w.root().del("/v1/roles/x:again").is(204)
	w.pass(time.Second)
	w.root().put("/v1/roles/x:again", `{"grants":[]}`).is(201)
	w.root().with("If-Match", old).patch("/v1/roles/x:again", `{"description":"d"}`).is(412)
}
