package identity_test

import (
	"crypto/sha1"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/writ-authz/writ/identity"
	"github.com/writ-authz/writ/storage"
)

// ASVS 5.0, 6.3.8; for the time of replies the work stands, which is counted.
func TestP02AndSP2UnknownWrongAndUnusableCostTheSameAndSayTheSame(t *testing.T) {
	w := newChosenWorld(t)
	w.user("ada", "")
	w.user("bob", `,"suspended_at":"2026-06-01T11:00:00Z"`)
	w.user("eve", `,"not_before":"2026-07-01T00:00:00Z"`)
	w.root().put("/v1/tenants/acme", `{"name":"Acme"}`).is(201)
	w.user("tom", `,"tenant":"acme"`)
	w.root().patch("/v1/tenants/acme", `{"enabled":false}`).is(200)
	cases := map[string][2]string{
		"unknown user":               {"nobody", goodPassword},
		"a name that cannot be":      {"a b", goodPassword},
		"an empty name":              {"", goodPassword},
		"wrong password":             {"ada", goodPassword + "x"},
		"empty password":             {"ada", ""},
		"password of a megabyte":     {"ada", strings.Repeat("x", 1<<20)},
		"password with a control":    {"ada", goodPassword + "\x00"},
		"suspended, right password":  {"bob", goodPassword},
		"outside the window":         {"eve", goodPassword},
		"in a disabled tenant":       {"tom", goodPassword},
		"an application's id":        {"root", rootSecret},
		"the user's id as its name,": {"0193d4c2-7f00-7000-8000-000000000001", goodPassword},
	}
	for name, c := range cases {
		hashes, calls := w.room.PasswordHashes(), w.store.calls.Load()
		id, _, err := w.room.Check(t.Context(), home, c[0], c[1])
		if !errors.Is(err, storage.ErrNotFound) || id != "" {
			t.Errorf("%s: got %q, %v", name, id, err)
		}
		equal(t, "hashes of "+name, w.room.PasswordHashes()-hashes, 1)
		equal(t, "store calls of "+name, w.store.calls.Load()-calls, 1)
	}
	hashes, calls := w.room.PasswordHashes(), w.store.calls.Load()
	if _, _, err := w.room.Check(t.Context(), home, "ADA", goodPassword); err != nil {
		t.Fatal(err)
	}
	equal(t, "hashes of the right password", w.room.PasswordHashes()-hashes, 1)
	equal(t, "store calls of the right password", w.store.calls.Load()-calls, 1)
}

func TestP05PasswordsOfNinetyBytesDifferBehindTheSeventySecond(t *testing.T) {
	w := newWorld(t)
	common := strings.Repeat("correct-lantern-", 5)[:72]
	first, second := common+"the-first-ending-x", common+"the-other-ending-x"
	equal(t, "bytes", len(first), 90)
	w.root().post("/v1/users", `{"username":"ada","email":"a@example.com","password":"`+first+`"}`).is(201)
	if _, _, err := w.room.Check(t.Context(), home, "ada", first); err != nil {
		t.Fatal(err)
	}
	for _, wrong := range []string{second, common} {
		if _, _, err := w.room.Check(t.Context(), home, "ada", wrong); !errors.Is(err, storage.ErrNotFound) {
			t.Fatalf("%q: got %v", wrong, err)
		}
	}
}

func TestP07IDsOfUsersAndApplicationsAreDisjoint(t *testing.T) {
	w := newWorld(t)
	id := w.user("ada", "")
	w.root().put("/v1/applications/"+id, `{"name":"x"}`).want(400, "malformed_id")
	w.root().put("/v1/applications/"+strings.ToUpper(id), `{"name":"x"}`).want(400, "malformed_id")
	w.application("billing", "")
	w.root().put("/v1/users/billing", `{"username":"b","email":"b@example.com"}`).want(400, "malformed_id")
	w.root().put("/v1/users/"+strings.ToUpper(id), `{"username":"b","email":"b@example.com"}`).want(400, "malformed_id")
	for _, name := range []string{id, strings.ToUpper(id), "urn:uuid:" + id, strings.ReplaceAll(id, "-", ""), "app_x", "APP_x"} {
		w.root().post("/v1/users", `{"username":"`+name+`","email":"c@example.com"}`).want(400, "malformed_username").at("/username")
	}
	made := w.root().post("/v1/applications", `{"name":"x"}`).is(201).text("id")
	if !strings.HasPrefix(made, "app_") {
		t.Fatalf("the id of a new application is %q", made)
	}
}

func TestAStoreThatIsAwayIsNoWrongPassword(t *testing.T) {
	w := newWorld(t)
	w.store.away.Store(true)
	if _, _, err := w.room.Check(t.Context(), home, "ada", goodPassword); !errors.Is(err, storage.ErrUnavailable) {
		t.Fatalf("got %v", err)
	}
}

// ASVS 5.0, 6.4.1: what an administrator hands out is random and does not last.
func TestTemporaryPasswordsEnd(t *testing.T) {
	w := newWorld(t)
	r := w.root().post("/v1/users", `{"username":"ada","email":"a@example.com"}`).is(201)
	temporary, id := r.text("temporary_password"), r.text("id")
	if w.root().get("/v1/users/"+id).is(200).value("temporary_password") != nil {
		t.Fatal("the temporary password is in one reply only")
	}
	got, _, err := w.room.Check(t.Context(), home, "ada", temporary)
	must(t, err)
	equal(t, "id", got, id)
	w.pass(24*time.Hour - time.Millisecond)
	must(t, w.check(home, "ada", temporary))
	w.pass(time.Millisecond)
	if _, _, err := w.room.Check(t.Context(), home, "ada", temporary); !errors.Is(err, storage.ErrNotFound) {
		t.Fatalf("got %v", err)
	}
	w = newWorldWith(t, func(c *config) { c.TemporaryPasswordLife = time.Hour })
	r = w.root().post("/v1/users", `{"username":"ada","email":"a@example.com"}`).is(201)
	equal(t, "the end that is configured", r.text("password", "expires_at"), "2026-06-01T13:00:00Z")
	r = w.root().post("/v1/users/"+r.text("id")+"/password/reset", "").is(200)
	equal(t, "the end after a reset", r.text("expires_at"), "2026-06-01T13:00:00Z")
}

func TestCommonPasswordsAreRefused(t *testing.T) {
	for _, bad := range []string{
		"password1234", "Password2026!", "P@ssw0rd1234", "qwertyuiop12", "qwertyuiopasdfghjkl", "111111111111", "123456789012",
		"abcdefghijklm", "abababababab", "letmeinplease", "welcome12345", "ada12345678901", "Ada.Lovelace1", "writ-writ-1234",
		"iloveyou12345", "trustno1trustno1", "correcthorsebatterystaple", "passwordpassword",
	} {
		if !identity.Guessable(bad, "ada", "ada@example.com", "Ada Lovelace") {
			t.Errorf("%q is not refused", bad)
		}
	}
	for _, good := range []string{goodPassword, "violet tram umbrella", "j7#kQ9vLx2mR", "zwölf Boxkämpfer jagen", "mellow-gravel-4711-otter"} {
		if identity.Guessable(good, "ada", "ada@example.com", "Ada Lovelace") {
			t.Errorf("%q is refused", good)
		}
	}
}

// ASVS 5.0, 6.2.4: the 3,000 most common passwords of the least length that can be configured, and all known ones of the default.
func TestTheMostCommonPasswordsAreRefused(t *testing.T) {
	literal := 0
	for password := range identity.CommonPasswords() {
		if len(password) < 8 {
			continue
		}
		literal++
		for _, dressed := range []string{password, strings.ToUpper(password), password + "!", password + "2026"} {
			if literal%50 == 0 && !identity.Guessable(dressed) {
				t.Errorf("%q is not refused", dressed)
			}
		}
	}
	if literal < 5000 {
		t.Errorf("the list has %d passwords of 8 characters and more", literal)
	}
	w := newWorld(t)
	for _, password := range []string{"1qaz2wsx3edc", "motherfucker", "sonyericsson", "Peanutbutter", "devilmaycry4", "residentevil99"} {
		w.root().post("/v1/users", `{"username":"ada","email":"a@example.com","password":"`+password+`"}`).
			want(400, "password_too_common").at("/password")
	}
}

func TestNamesAroundAUserAreNoPasswords(t *testing.T) {
	w := newWorld(t)
	w.root().put("/v1/tenants/zarquon", `{"name":"Vogsphere Heavy Industries"}`).is(201)
	w.root().put("/v1/applications/portal", `{"name":"Slartibart"}`).is(201)
	create := func(password string) *reply {
		return w.root().post("/v1/users", `{"username":"trillian","email":"mcmillan@example.com","tenant":"zarquon","password":"`+password+`"}`)
	}
	for _, password := range []string{
		"writ-2026-writ", "Zarquon-2026!", "Vogsphere2026", "vogsphereheavy1", "Trillian2026!", "McMillan-2026",
	} {
		create(password).want(400, "password_too_common").at("/password")
	}
	create("Slartibart99").is(201) // root's own requests do not come through the portal
	id := w.user("ford", "")
	w.as("user:"+id).post("/v1/me/password", `{"current_password":"`+goodPassword+`","new_password":"Slartibart99"}`).
		want(400, "password_too_common").at("/new_password")
}

// breaches is a list of leaked passwords that may be away.
type breaches struct {
	leaked string
	err    error
}

func (b *breaches) Contains(sum [sha1.Size]byte) (bool, error) {
	return sum == sha1.Sum([]byte(b.leaked)), b.err
}

// ASVS 5.0, 6.2.12.
func TestLeakedPasswordsAreRefused(t *testing.T) {
	list := &breaches{leaked: "zwölf Boxkämpfer jagen"}
	w := newWorldWith(t, func(c *config) { c.Breaches = list })
	create := func(name, password string) *reply {
		return w.root().post("/v1/users", `{"username":"`+name+`","email":"`+name+`@example.com","password":"`+password+`"}`)
	}
	create("ada", list.leaked).want(400, "password_breached").at("/password")
	create("ada", "zwo\u0308lf Boxka\u0308mpfer jagen").want(400, "password_breached") // the same, spelt otherwise
	id := create("ada", goodPassword).is(201).text("id")
	change := `{"current_password":"` + goodPassword + `","new_password":"` + list.leaked + `"}`
	w.as("user:"+id).post("/v1/me/password", change).want(400, "password_breached").at("/new_password")

	t.Log("a list that cannot be read is an outage; logins do not need it")
	list.err = errors.New("the disk is gone")
	create("bob", goodPassword).is(503)
	must(t, w.check(home, "ada", goodPassword))
}

func TestPasswordRules(t *testing.T) {
	w := newWorld(t)
	for password, code := range map[string]string{
		"short-8":                  "password_too_short",
		"elevenchars":              "password_too_short",
		"":                         "malformed_password",
		"password1234":             "password_too_common",
		strings.Repeat("xy", 513):  "malformed_password",
		"with a tab\\tinside here": "malformed_password",
	} {
		w.root().post("/v1/users", `{"username":"ada","email":"a@example.com","password":"`+password+`"}`).want(400, code).at("/password")
	}
	equal(t, "users", w.root().get("/v1/users").ids("username"), "")

	t.Log("ASVS 5.0, 6.2.5, 6.2.8 and 6.2.9: no rules of composition, nothing cut or folded, any length that somebody types")
	for name, password := range map[string]string{
		"one": "violet tram umbrella", "two": strings.Repeat("violet tram umbrella ", 48) + "violet tram umbr", "three": "Zwölf Böxkämpfer 🥊",
	} {
		w.root().post("/v1/users", `{"username":"`+name+`","email":"`+name+`@example.com","password":"`+password+`"}`).is(201)
		must(t, w.check(home, name, password))
		for _, wrong := range []string{strings.ToUpper(password), password[:len(password)-1], password + " "} {
			if err := w.check(home, name, wrong); !errors.Is(err, storage.ErrNotFound) {
				t.Errorf("%.40q for %.40q: %v", wrong, password, err)
			}
		}
	}
}

func TestSP4UsernamesThatLookAlikeAreRefusedOrEqual(t *testing.T) {
	key, err := identity.CheckUsername("admin", "")
	must(t, err)
	for _, same := range []string{"ADMIN", "Admin", "ａｄｍｉｎ"} {
		got, err := identity.CheckUsername(same, "")
		must(t, err)
		equal(t, same, got, key)
	}
	for _, bad := range []string{
		"аdmin", "admin\u200b", "admin ", " admin", "ad min", "", "admin\x00", "pаypаl", "αdmin", strings.Repeat("x", 257),
	} {
		if _, err := identity.CheckUsername(bad, ""); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
	w := newWorld(t)
	id := w.user("admin", "")
	for name, status := range map[string]int{
		"ADMIN": 409, "ａｄｍｉｎ": 409, "аdmin": 400, "admin\u200b": 400, "admin ": 400, "app_x": 400, someID: 400,
	} {
		w.root().post("/v1/users", `{"username":"`+name+`","email":"other@example.com"}`).is(status).at("/username")
	}
	for _, same := range []string{"ADMIN", "ａｄｍｉｎ"} {
		got, _, err := w.room.Check(t.Context(), home, same, goodPassword)
		must(t, err)
		equal(t, "who logs in as "+same, got, id)
	}
	for _, good := range []string{"иван", "山田たろう", "José", "müller-2", "ada@example.com", "김철수"} {
		if _, err := identity.CheckUsername(good, ""); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
}
