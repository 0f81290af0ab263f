package identity_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/writ-authz/writ/storage"
)

const someID = "0193d4c2-7f00-7000-8000-0000000000aa"

func TestH01PutCreatesThenReplaces(t *testing.T) {
	w := newWorld(t)
	path := "/v1/users/" + someID
	body := `{"username":"ada","email":"ada@example.com","password":"` + goodPassword + `"}`
	first := w.root().put(path, body).is(201)
	equal(t, "location", first.header.Get("Location"), path)
	equal(t, "etag", strings.HasSuffix(first.header.Get("ETag"), `-1"`), true)
	again := w.root().put(path, `{"id":"`+someID+`","name":"Ada"}`).is(200)
	equal(t, "etag", strings.HasSuffix(again.header.Get("ETag"), `-2"`), true)
	equal(t, "username", again.text("username"), "ada")
	w.root().put(path, `{"id":"0193d4c2-7f00-7000-8000-0000000000bb"}`).bad("/id")
	w.root().put("/v1/users/not-a-uuid", body).want(400, "malformed_id")
	w.root().put(path, `{"password":"`+goodPassword+`"}`).bad("/password")
}

func TestH02AbsentKeepsEmptyClearsAndPatchMerges(t *testing.T) {
	w := newWorld(t)
	w.role("ops:viewer", `[]`)
	id := w.user("ada", `,"name":"Ada","roles":["ops:viewer"],"properties":{"a":1,"b":{"c":2,"d":3.50}},"not_after":"2027-01-01T00:00:00Z"`)
	path := "/v1/users/" + id
	r := w.root().put(path, `{"email":"new@example.com"}`).is(200)
	equal(t, "name", r.text("name"), "Ada")
	if !strings.Contains(r.body, `"roles":["ops:viewer"]`) || !strings.Contains(r.body, `"d":3.50`) {
		t.Fatal(r.body)
	}
	r = w.root().patch(path, `{"properties":{"a":null,"b":{"c":5}},"not_after":null}`).is(200)
	if !strings.Contains(r.body, `"properties":{"b":{"c":5,"d":3.50}}`) || strings.Contains(r.body, "not_after") {
		t.Fatal(r.body)
	}
	if r = w.root().put(path, `{"roles":[],"properties":{}}`).is(200); !strings.Contains(r.body, `"roles":[]`) || !strings.Contains(r.body, `"properties":{}`) {
		t.Fatal(r.body)
	}
	w.root().patch(path, `{"roles":["ops:viewer","ops:none"]}`).bad("/roles/1")
	w.root().patch(path, `{"roles":null}`).is(200)
}

func TestL03GroupsCountFromTheFirstTokenAndUnknownOnesStoreNothing(t *testing.T) {
	w := newWorld(t)
	w.role("ops:viewer", `[{"resource":"ledger","action":"read"}]`)
	w.root().put("/v1/groups/g1", `{"name":"One","roles":["ops:viewer"]}`).is(201)
	w.root().post("/v1/users", `{"username":"x","email":"x@example.com","groups":["g1","none"]}`).bad("/groups/1")
	w.application("admin", `,"grants":[{"resource":"iam/users","action":"*"}]`)
	w.as("application:admin").post("/v1/users", `{"username":"x","email":"x@example.com","groups":["g1"]}`).refused("delegation_exceeds_actor")
	equal(t, "users", w.root().get("/v1/users").ids("username"), "")
	id := w.user("ada", `,"groups":["g1"]`)
	equal(t, "rights", strings.Join(w.flat("user", id), "|"), " ledger read via group:g1 [0,0)")
}

func TestL04UsernamesAndAddressesAreUnique(t *testing.T) {
	w := newWorld(t)
	w.user("ada", "")
	w.root().post("/v1/users", `{"username":"ADA","email":"other@example.com"}`).conflict("conflict").at("/username")
	w.root().post("/v1/users", `{"username":"eve","email":"Ada@Example.com"}`).conflict("conflict").at("/email")
	for body, pointer := range map[string]string{
		`{"email":"x@example.com"}`:                                      "/username",
		`{"username":"x"}`:                                               "/email",
		`{"username":"x","email":"nonsense"}`:                            "/email",
		`{"username":"x","email":"X <x@example.com>"}`:                   "/email",
		`{"username":"","email":"x@example.com"}`:                        "/username",
		`{"username":null,"email":"x@example.com"}`:                      "/username",
		`{"username":{"$ne":null},"email":"x@example.com"}`:              "/username",
		`{"Username":"x","email":"x@example.com"}`:                       "/Username",
		`{"username":"x","username":"y","email":"x@example.com"}`:        "/username",
		`{"username":"x","email":"x@example.com","id":"` + someID + `"}`: "/id",
		`{"username":"x","email":"x@example.com","version":3}`:           "/version",
		`{"username":"x","email":"x@example.com"} {}`:                    "",
	} {
		w.root().post("/v1/users", body).bad(pointer)
	}
	equal(t, "users", w.root().get("/v1/users").ids("username"), "ada")
}

func TestL15SuspensionEndsTokensForGood(t *testing.T) {
	w := newWorld(t)
	id := w.user("ada", "")
	path := "/v1/users/" + id
	epoch := func() int64 {
		s, err := w.room.Subject(t.Context(), "user", id)
		must(t, err)
		return s.Epoch
	}
	w.root().patch(path, `{"suspended_at":"2026-06-01T12:00:01Z"}`).bad("/suspended_at")
	w.root().patch(path, `{"suspended_at":"2026-06-01T11:00:00Z"}`).is(200)
	equal(t, "epoch", epoch(), 1)
	equal(t, "ended", w.sessions.list(), "all of "+id)
	w.root().patch(path, `{"suspended_at":null}`).is(200)
	equal(t, "epoch", epoch(), 1)
	if _, _, err := w.room.Check(t.Context(), home, "ada", goodPassword); err != nil {
		t.Fatal(err)
	}
	w.user("boss", `,"roles":["system:owner"]`)
	boss := w.as("user:boss")
	me := boss.get("/v1/me").text("id")
	boss.patch("/v1/users/"+me, `{"suspended_at":"2026-06-01T11:00:00Z"}`).refused("self_lockout")
	boss.del("/v1/users/" + me).refused("self_lockout")
}

func TestM02WindowsAreHeldAgainstTheRules(t *testing.T) {
	w := newWorld(t)
	for more, pointer := range map[string]string{
		`,"not_before":"2026-07-02T00:00:00Z","not_after":"2026-07-01T00:00:00Z"`: "/not_after",
		`,"not_before":"2026-07-02T00:00:00Z","not_after":"2026-07-02T00:00:00Z"`: "/not_after",
		`,"not_after":"2026-05-01T00:00:00Z"`:                                     "/not_after",
		`,"not_after":"soon"`:                                                     "/not_after",
		`,"not_after":"2026-07-01T00:00:00"`:                                      "/not_after",
	} {
		w.root().post("/v1/users", `{"username":"x","email":"x@example.com"`+more+`}`).bad(pointer)
		w.root().post("/v1/applications", `{"name":"x"`+more+`}`).bad(pointer)
	}
	id := w.user("ada", `,"not_after":"2026-07-01T02:00:00+02:00"`)
	equal(t, "in UTC", w.root().get("/v1/users/"+id).text("not_after"), "2026-07-01T00:00:00Z")
	w.root().patch("/v1/users/"+id, `{"not_before":"2026-08-01T00:00:00Z"}`).bad("/not_before")
	w.root().patch("/v1/users/"+id, `{"not_after":"2026-05-01T00:00:00Z"}`).is(200) // expiring someone is a change like any other
}

func TestH04Preconditions(t *testing.T) {
	w := newWorld(t)
	id := w.user("ada", "")
	path := "/v1/users/" + id
	first := w.root().get(path).header.Get("ETag")
	for _, c := range []struct {
		header, value string
		status        int
	}{
		{"If-Match", `"2"`, 412},
		{"If-Match", `W/` + first, 412},
		{"If-Match", `1`, 400},
		{"If-Match", `"1`, 400},
		{"If-Match", ``, 400},
		{"If-Match", first + ` "2"`, 400},
		{"If-None-Match", `*`, 412},
		{"If-None-Match", `W/` + first, 412},
		{"If-Match", `"7", ` + first, 200},
		{"If-Match", `*`, 200},
		{"If-None-Match", first, 200},
	} {
		w.root().with(c.header, c.value).patch(path, `{"name":"x"}`).is(c.status)
	}
	w.root().with("If-Match", "*").put("/v1/users/"+someID, `{"username":"x","email":"x@example.com"}`).is(412)
	w.root().with("If-Match", first).del(path).is(412)
	w.root().with("If-None-Match", "*").put("/v1/users/"+someID, `{"username":"x","email":"x@example.com"}`).is(201)
	tag := w.root().get(path).header.Get("ETag")
	r := w.root().with("If-None-Match", tag).get(path).is(304)
	equal(t, "body", r.body, "")
	// A precondition tells nothing to who may not see the object.
	w.application("nobody", "")
	equal(t, "hidden", w.as("application:nobody").with("If-Match", `"99"`).patch(path, `{}`).status, 404)
}

func TestH15ResetGivesATemporaryPasswordOnceAndEndsSessions(t *testing.T) {
	w := newWorld(t)
	id := w.user("ada", "")
	r := w.root().post("/v1/users/"+id+"/password/reset", "").is(200)
	equal(t, "cache", r.header.Get("Cache-Control"), "no-store")
	temporary := r.text("temporary_password")
	if _, _, err := w.room.Check(t.Context(), home, "ada", goodPassword); err == nil {
		t.Fatal("the old password works")
	}
	if _, _, err := w.room.Check(t.Context(), home, "ada", temporary); err != nil {
		t.Fatal(err)
	}
	equal(t, "ended", w.sessions.list(), "all of "+id)
	ada := w.as("user:ada,scope=me:password")
	ada.get("/v1/me").refused("password_change_required")
	ada.post("/v1/me/password", `{"current_password":"`+temporary+`","new_password":"`+temporary+`"}`).bad("/new_password")
	ada.post("/v1/me/password", `{"current_password":"wrong-wrong-wrong","new_password":"quiet-harbor-9981"}`).bad("/current_password")
	ada.post("/v1/me/password", `{"current_password":"`+temporary+`","new_password":"quiet-harbor-9981"}`).is(204)
	if _, _, err := w.room.Check(t.Context(), home, "ada", temporary); err == nil {
		t.Fatal("the temporary password works")
	}
	if _, _, err := w.room.Check(t.Context(), home, "ada", "quiet-harbor-9981"); err != nil {
		t.Fatal(err)
	}
	w.root().post("/v1/users/"+someID+"/password/reset", "").is(404)
	w.user("boss", `,"roles":["system:owner"]`)
	w.application("desk", `,"grants":[{"resource":"iam/users","action":"read"},{"resource":"iam/users","action":"reset_password"}]`)
	w.as("application:desk").post("/v1/users/"+w.root().get("/v1/users?role=system:owner").ids("id")+"/password/reset", "").
		refused("delegation_exceeds_actor")
	w.as("application:desk").post("/v1/users/"+id+"/password/reset", "").is(200)
}

// A temporary password ends by itself, at the moment that its life says and not before, and looks like a wrong one then.
func TestSeedH15ATemporaryPasswordExpires(t *testing.T) {
	const life = 90 * time.Minute
	w := newWorldWith(t, func(c *config) { c.TemporaryPasswordLife = life })
	made := w.root().post("/v1/users", `{"username":"ada","email":"ada@example.com"}`).is(201)
	id, first := made.text("id"), made.text("temporary_password")
	enters := func(password string) bool {
		_, _, err := w.room.Check(t.Context(), home, "ada", password)
		if err != nil && !errors.Is(err, storage.ErrNotFound) {
			t.Fatal(err)
		}
		return err == nil
	}
	w.pass(life - time.Millisecond)
	equal(t, "a moment before its end", enters(first), true)
	w.pass(time.Millisecond)
	equal(t, "at its end", enters(first), false)

	second := w.root().post("/v1/users/"+id+"/password/reset", "").is(200).text("temporary_password")
	equal(t, "the one of a reset", enters(second), true)
	equal(t, "the one before it", enters(first), false)
	w.pass(life)
	equal(t, "the one of a reset at its end", enters(second), false)

	third := w.root().post("/v1/users/"+id+"/password/reset", "").is(200).text("temporary_password")
	w.as("user:ada,scope=me:password").post("/v1/me/password", `{"current_password":"`+third+`","new_password":"quiet-harbor-9981"}`).is(204)
	w.pass(life)
	equal(t, "one that its owner chose", enters("quiet-harbor-9981"), true)
}

func TestH13TheLastOwnerStays(t *testing.T) {
	w := newWorld(t)
	id := w.user("boss", `,"roles":["system:owner"]`)
	path := "/v1/users/" + id
	for _, body := range []string{`{"roles":[]}`, `{"suspended_at":"2026-06-01T11:00:00Z"}`, `{"not_after":"2026-12-01T00:00:00Z"}`} {
		w.root().patch(path, body).conflict("last_owner")
	}
	w.root().del(path).conflict("last_owner")
	other := w.user("other", `,"groups":[]`)
	w.role("ops:owners", `[{"tenant":"*","resource":"*","action":"*"}]`)
	w.root().put("/v1/groups/owners", `{"name":"Owners","roles":["ops:owners"]}`).is(201)
	w.root().patch("/v1/users/"+other, `{"groups":["owners"]}`).is(200)
	w.root().patch(path, `{"roles":[]}`).is(200)
	w.root().patch("/v1/groups/owners", `{"roles":[]}`).conflict("last_owner")
	w.root().patch("/v1/roles/ops:owners", `{"grants":[]}`).conflict("last_owner")
	w.root().do("DELETE", "/v1/roles/ops:owners?force=true", "").conflict("last_owner")
	w.root().do("DELETE", "/v1/groups/owners?force=true", "").conflict("last_owner")
}

func TestSP9ADeletedIDComesBackOnlyByAFullAdministratorAndItsEpochGoesOn(t *testing.T) {
	w := newWorld(t)
	id := w.user("ada", "")
	path := "/v1/users/" + id
	w.root().patch(path, `{"suspended_at":"2026-06-01T11:00:00Z"}`).is(200)
	w.root().del(path).is(204)
	w.root().del(path).is(404)
	w.root().get(path).is(404)
	w.application("admin", `,"grants":[{"resource":"iam/users","action":"*"}]`)
	body := `{"username":"ada","email":"ada@example.com"}`
	w.as("application:admin").put(path, body).refused("root_only")
	w.as("application:admin").put("/v1/users/"+someID, body).is(201)
	w.root().put(path, `{"username":"ada2","email":"ada2@example.com"}`).is(201)
	s, err := w.room.Subject(t.Context(), "user", id)
	must(t, err)
	equal(t, "epoch", s.Epoch, 2)
	w.root().del(path).is(204)
	w.root().put(path, `{"username":"ada2","email":"ada2@example.com"}`).is(201)
}

func TestL22TenantsThatAreUnknownAndThatAreHiddenLookTheSame(t *testing.T) {
	w := newWorld(t)
	for _, id := range []string{"acme", "globex"} {
		w.root().put("/v1/tenants/"+id, `{"name":"x"}`).is(201)
	}
	w.application("admin", `,"tenant":"acme","grants":[{"tenant":"acme","resource":"iam/users","action":"*"}]`)
	in := func(tenant string) *reply {
		return w.as("application:admin").post("/v1/users", `{"username":"x-`+tenant+`","email":"`+tenant+`@example.com","tenant":"`+tenant+`"}`)
	}
	in("acme").is(201)
	hidden, unknown := in("globex").bad("/tenant"), in("nowhere").bad("/tenant")
	equal(t, "details", hidden.text("detail"), unknown.text("detail"))
	equal(t, "codes", hidden.text("code"), unknown.text("code"))
	w.root().post("/v1/users", `{"username":"y","email":"y@example.com","tenant":"nowhere"}`).bad("/tenant")
}

func TestSS02FreeDataKeepsItsNumbersAndRefusesOperators(t *testing.T) {
	w := newWorld(t)
	id := w.user("ada", `,"properties":{"n":12345678901234567890,"x":1.10,"nested":[{"k":"v"}]},"attributes":{"level":3}`)
	body := w.root().get("/v1/users/" + id).is(200).body
	if !strings.Contains(body, `12345678901234567890`) || !strings.Contains(body, `1.10`) {
		t.Fatal(body)
	}
	for more, pointer := range map[string]string{
		`{"$where":1}`: "/properties/$where", `{"a.b":1}`: "/properties/a.b", `{"a":[{"$ne":1}]}`: "/properties/a/0/$ne",
		`{"a\u0000":1}`: "/properties/a\x00", `5`: "/properties", `[]`: "/properties",
	} {
		w.root().patch("/v1/users/"+id, `{"properties":`+more+`}`).bad(pointer)
	}
}

func TestAtNotAfterTheLoginIsOver(t *testing.T) {
	w := newWorld(t)
	w.user("ada", `,"not_after":"2026-06-01T13:00:00Z"`)
	if _, _, err := w.room.Check(t.Context(), home, "ada", goodPassword); err != nil {
		t.Fatal(err)
	}
	w.pass(time.Hour)
	if _, _, err := w.room.Check(t.Context(), home, "ada", goodPassword); err == nil {
		t.Fatal("at not_after it is over")
	}
}
