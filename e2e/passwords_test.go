package e2e

import (
	"crypto/sha1"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestUsersBringTheirPasswordsAlong(t *testing.T) {
	c := story(t, shared(t)).root()
	front := c.front()
	// Of the tests of crypt_blowfish; rules for passwords are for those that are chosen here.
	const hash, known = "$2y$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", "U*U"
	ada := c.newUser(object{"password": nil, "password_hash": hash})
	ada.Password = known

	c.step("the first login replaces the verifier, and ends nothing")
	wrong := ada
	wrong.Password = known + "x"
	c.askLogin(front, wrong).wantOAuthError(400, "invalid_grant")
	c.get("/v1/users/"+ada.ID).wantHeader("ETag", ada.ETag)
	token := c.login(front, ada)
	c.eventually(10e9, func() {
		if c.get("/v1/users/" + ada.ID).wantStatus(200); c.header("ETag") == ada.ETag {
			c.fail("the user is as it was")
		}
	})
	version := c.header("ETag")
	c.live(token).live(c.login(front, ada))
	c.askLogin(front, wrong).wantOAuthError(400, "invalid_grant")
	c.get("/v1/users/"+ada.ID).wantHeader("ETag", version)

	c.step("bad")
	body := func(hash string) object {
		name := unique("ada")
		return object{"username": name, "email": name + "@example.com", "password_hash": hash}
	}
	for _, bad := range []string{"", "U*U", "$2y$31$" + hash[7:], "$pbkdf2-sha256$i=1$c2FsdHNhbHQ$" + strings.Repeat("A", 43)} {
		c.post("/v1/users", body(bad)).wantProblem(400, "/password_hash").want("/code", "malformed_hash")
	}
	c.patch("/v1/users/"+ada.ID, object{"password_hash": hash}).wantProblem(400, "/password_hash")
}

func TestTheFiguresOfPasswordsAreTold(t *testing.T) {
	c := story(t, shared(t)).root()
	front, ada := c.front(), c.newUser(object{})
	c.login(front, ada)
	ada.Password += "x"
	c.askLogin(front, ada).wantOAuthError(400, "invalid_grant")
	c.onAdmin().get("/metrics").wantStatus(200)
	for _, name := range []string{
		`writ_logins_total{outcome="ok"}`, `writ_logins_total{outcome="wrong_password"}`, `writ_token_decisions_total{grant_type="password",result="permit"}`,
		"writ_password_hash_seconds_count",
	} {
		if _, rest, found := strings.Cut(string(c.last.body), "\n"+name+" "); !found || strings.HasPrefix(rest, "0\n") {
			c.fail("%s is not there, or 0", name)
		}
	}
	for _, name := range []string{
		`writ_throttled_total{of="people"}`, `writ_throttled_total{of="machines"}`, "writ_password_pool", "writ_password_pool_full_total",
		"writ_logins_unwritten_total", `writ_logins_total{outcome="unknown_user"}`,
	} {
		if !strings.Contains(string(c.last.body), "\n"+name+" ") {
			c.fail("%s is not there", name)
		}
	}
}

func TestLeakedPasswordsAreRefused(t *testing.T) {
	binaryOnly(t)
	leaked := password()
	lines := []string{}
	for _, text := range []string{leaked, "another one", "a third"} {
		lines = append(lines, fmt.Sprintf("%X:%d\r\n", sha1.Sum([]byte(text)), len(text)))
	}
	slices.Sort(lines)
	path := filepath.Join(t.TempDir(), "leaked.txt")
	if err := os.WriteFile(path, []byte(strings.Join(lines, "")), 0o600); err != nil {
		t.Fatal(err)
	}
	c := story(t, fresh(t, Options{Env: map[string]string{"WRIT_BREACHED_PASSWORDS_FILE": path}})).root()
	name := unique("ada")
	c.post("/v1/users", object{"username": name, "email": name + "@example.com", "password": leaked}).
		wantProblem(400, "/password").want("/code", "password_breached")
	c.newUser(object{})

	c.step("one's own")
	c.post("/v1/users", object{"username": name, "email": name + "@example.com"}).wantStatus(201)
	ada := user{ID: c.text("/id"), Username: name, Password: c.text("/temporary_password")}
	token := c.login(c.front(), ada)
	change := func(fresh string) *scenario {
		return c.as(bearer(token)).post("/v1/me/password", object{"current_password": ada.Password, "new_password": fresh})
	}
	change(leaked).wantProblem(400, "/new_password").want("/code", "password_breached")
	change(password()).wantStatus(204)
}
