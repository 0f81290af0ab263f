package identity_test

import (
	"strconv"
	"strings"
	"testing"

	"github.com/writ-authz/writ/storage"
)

func TestG11OneChangesOnlyWhatIsOnesOwn(t *testing.T) {
	w := newWorld(t)
	w.application("a", `,"grants":[{"resource":"ledger","action":"read"},{"resource":"ledger","action":"write"}]`)
	a := w.as("application:a,scope=me:write")
	r := a.put("/v1/me", `{"name":"New","description":"d","properties":{"color":"blue"}}`).is(200)
	equal(t, "name", r.text("application", "name"), "New")
	a.put("/v1/me", `{"grants":[{"resource":"ledger","action":"read"}]}`).is(200)
	a.put("/v1/me", `{"grants":[{"resource":"ledger","action":"*"}]}`).is(403)
	a.put("/v1/me", `{"is_active":false}`).refused("self_lockout")
	a.put("/v1/me", `{"is_active":true}`).refused("not_owner") // not even as it is
	a.put("/v1/me", `{"not_after":"2026-07-01T00:00:00Z"}`).refused("self_lockout")
	a.put("/v1/me", `{"name":"New"}`).is(200)
	for _, key := range []string{"roles", "attributes", "verified", "tenant", "_id", "passwordHash", "createdAt", "id", "scopes", "protected"} {
		a.put("/v1/me", `{"`+key+`":[]}`).bad("/" + key)
	}
	w.user("ada", "")
	w.as("user:ada").put("/v1/me", `{"suspended_at":"2026-06-01T11:00:00Z"}`).refused("self_lockout")
	w.as("user:ada").put("/v1/me", `{"name":"Ada L."}`).is(200)
	w.as("user:ada").put("/v1/me", `{"description":"x"}`).bad("/description")
}

func TestL19OnesOwnPassword(t *testing.T) {
	w := newWorld(t)
	id := w.user("ada", `,"grants":[{"resource":"ledger","action":"read"}]`)
	const fresh = "quiet-harbor-9981"
	narrow := w.as("user:ada,scope=me:password")
	for _, guess := range []string{fresh, goodPassword} { // it does not tell which one is right
		hashes := w.room.PasswordHashes()
		narrow.post("/v1/me/password", `{"new_password":"`+guess+`"}`).refused("proof_required")
		equal(t, "hashes", w.room.PasswordHashes()-hashes, 0)
	}
	narrow.post("/v1/me/password", `{"current_password":"wrong-wrong-wrong","new_password":"`+fresh+`"}`).bad("/current_password")
	narrow.post("/v1/me/password", `{"current_password":"`+goodPassword+`","new_password":"short"}`).bad("/new_password")
	narrow.post("/v1/me/password", `{"current_password":"`+goodPassword+`","new_password":"`+goodPassword+`"}`).bad("/new_password")
	w.as("user:ada").post("/v1/me/password", `{"new_password":"`+goodPassword+`"}`).bad("/new_password")
	narrow.post("/v1/me/password", `{"current_password":"`+goodPassword+`","new_password":"`+fresh+`"}`).is(204)
	if _, _, err := w.room.Check(t.Context(), home, "ada", fresh); err != nil {
		t.Fatal(err)
	}
	equal(t, "ended", w.sessions.list(), "all of "+id)
	w.as("user:ada").post("/v1/me/password", `{"new_password":"`+goodPassword+`"}`).is(204) // a token that carries every right
}

// ASVS 7.4.3. What the session still accepts is oauth's: it goes by the epochs that are stored here.
func TestANewPasswordEndsTheOtherSessions(t *testing.T) {
	ended := storage.Time(start())
	for name, c := range map[string]struct {
		adjust func(*storage.Session)
		goesOn bool
	}{
		"refreshed":       {func(*storage.Session) {}, true},
		"not refreshed":   {func(s *storage.Session) { s.Head = "" }, false},
		"ended":           {func(s *storage.Session) { s.EndedAt = &ended }, false},
		"of someone else": {func(s *storage.Session) { s.Subject = someID }, false},
		"of before":       {func(s *storage.Session) { s.Since.Identity = -1 }, false},
		"expired":         {func(s *storage.Session) { s.ExpiresAt = start() }, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			id := w.user("ada", "")
			s := &storage.Session{Subject: id, Client: "portal", LastUsedAt: start(), ExpiresAt: start().AddDate(0, 0, 1), Head: "hash"}
			s.ID = "current"
			c.adjust(s)
			must(t, w.store.Insert(t.Context(), s))
			w.as("user:ada").post("/v1/me/password", `{"current_password":"`+goodPassword+`","new_password":"quiet-harbor-9981"}`).is(204)
			equal(t, "epoch", w.epochOf("user", id), 1)
			if !c.goesOn {
				equal(t, "ended", w.sessions.list(), "all of "+id)
				return
			}
			equal(t, "ended", w.sessions.list(), "all of "+id+" but current")
			kept, err := storage.Get[storage.Session](t.Context(), w.store, "current")
			must(t, err)
			equal(t, "epoch of the session", kept.Since.Identity, 1)
		})
	}
}

func TestNothingOfASessionChangesIfThePasswordDoesNot(t *testing.T) {
	w := newWorld(t)
	s := &storage.Session{Subject: w.user("ada", ""), Client: "portal", LastUsedAt: start(), ExpiresAt: start().AddDate(0, 0, 1), Head: "hash"}
	s.ID = "current"
	must(t, w.store.Insert(t.Context(), s))
	const change = `{"current_password":"` + goodPassword + `","new_password":"quiet-harbor-9981"}`
	w.store.inTxn = func() { // a refresh of the session is faster: the change is decided anew and keeps what the refresh wrote
		rotated, err := storage.Get[storage.Session](t.Context(), w.store.Store, "current")
		must(t, err)
		rotated.Head = "next"
		must(t, w.store.Store.Update(t.Context(), rotated))
	}
	w.as("user:ada").post("/v1/me/password", change).is(204)
	kept, err := storage.Get[storage.Session](t.Context(), w.store, "current")
	must(t, err)
	equal(t, "head and epoch", kept.Head+" "+strconv.FormatInt(kept.Since.Identity, 10), "next 1")
}

func TestOthersOfOnesOwnSessionsEnd(t *testing.T) {
	w := newWorld(t)
	ada := w.user("ada", "")
	w.as("user:ada").del("/v1/me/sessions?others=true").is(204)
	w.as("user:ada").del("/v1/me/sessions?others=false").is(204)
	w.as("user:ada").del("/v1/me/sessions?others=").is(400)
	w.as("user:ada").del("/v1/me/sessions?others=yes").is(400)
	equal(t, "ended", w.sessions.list(), "all of "+ada+" but current all of "+ada)
}

func TestG11AnApplicationReplacesItsOwnSecret(t *testing.T) {
	w := newChosenWorld(t)
	secret := w.application("a", `,"grants":[{"resource":"ledger","action":"read"}]`)
	narrow := w.as("application:a,scope=me:password")
	narrow.post("/v1/me/password", `{}`).refused("proof_required")
	narrow.post("/v1/me/password", `{"current_secret":"wrong"}`).bad("/current_secret")
	r := narrow.post("/v1/me/password", `{"current_secret":"`+secret+`"}`).is(200)
	equal(t, "cache", r.header.Get("Cache-Control"), "no-store")
	w.works("a", secret, false)
	w.works("a", r.text("value"), true)
	second := w.as("application:a,scope=me:password,basic").post("/v1/me/password", `{}`).is(200).text("value")
	w.works("a", second, true)
	root := w.as("application:root,basic").post("/v1/me/password", `{}`).is(200).text("value")
	w.works("root", rootSecret, false)
	w.works("root", root, true)
}

// Who limited a secret limited what its holder can make of it.
func TestAReplacedSecretKeepsItsExpiry(t *testing.T) {
	w := newWorld(t)
	w.application("a", "")
	brief := w.root().post("/v1/applications/a/secrets", `{"label":"brief","expires_at":"2026-06-08T00:00:00.000Z"}`).is(201).text("value")
	r := w.as("application:a,scope=me:password").post("/v1/me/password", `{"current_secret":"`+brief+`"}`).is(200)
	equal(t, "expiry and label", r.text("expires_at")+" "+r.text("label"), "2026-06-08T00:00:00Z brief")
	w.works("a", r.text("value"), true)
	w.root().patch("/v1/applications/a", `{"token_endpoint_auth_method":"none"}`).is(200)
	equal(t, "code", w.as("application:a").post("/v1/me/password", `{}`).is(409).text("code"), "no_secret")
}

func TestP05ACallerOfAnotherIssuerIsWhomWritKnows(t *testing.T) {
	w := newWorld(t)
	boss := w.user("boss", `,"roles":["system:owner"]`)
	w.user("second", `,"roles":["system:owner"]`)
	w.application("a", `,"grants":[{"resource":"iam/groups","action":"read"}]`)
	external := w.as("user:boss,external")
	equal(t, "id", external.get("/v1/me").is(200).text("user", "id"), boss)
	external.put("/v1/me", `{"name":"B."}`).is(200)
	external.patch("/v1/users/"+boss, `{"suspended_at":"2026-06-01T11:00:00Z"}`).refused("self_lockout")
	external.put("/v1/me", `{"suspended_at":"2026-06-01T11:00:00Z"}`).refused("self_lockout")
	external.del("/v1/users/" + boss).refused("self_lockout")
	external.put("/v1/groups/g1", `{"name":"g"}`).is(201)
	external.del("/v1/me/sessions").is(204)
	equal(t, "ended", w.sessions.list(), "all of "+boss)
	w.as("application:a,external").get("/v1/groups").is(200)
	w.as("application:a,external").put("/v1/me", `{"is_active":false}`).refused("self_lockout")

	// A name that the issuer gave and that is nobody's here gets no rights by being looked up again, whichever way it is spelt.
	hashes := w.room.PasswordHashes()
	for _, name := range []string{"BOSS", "boss", boss, "auth0|1"} {
		nobody := w.as("user:" + name + ",external,nobody")
		for _, r := range []*reply{
			nobody.get("/v1/me"), nobody.put("/v1/me", `{"name":"x"}`), nobody.post("/v1/me/password", `{"new_password":"quiet-harbor-9981"}`),
			nobody.post("/v1/me/password", `{"current_password":"`+goodPassword+`","new_password":"quiet-harbor-9981"}`),
			nobody.post("/v1/me/password", `{"current_password":"a wrong one","new_password":"quiet-harbor-9981"}`),
			nobody.get("/v1/me/sessions"), nobody.del("/v1/me/sessions"), nobody.get("/v1/groups"), nobody.put("/v1/groups/g2", `{"name":"g"}`),
			nobody.patch("/v1/users/"+boss, `{"name":"x"}`),
		} {
			if r.is(401); !strings.Contains(r.body, `"not_usable"`) {
				t.Errorf("%s: %s", r.call, r.body)
			}
		}
	}
	equal(t, "hashes for nobody", w.room.PasswordHashes()-hashes, 0)
	equal(t, "name", w.root().get("/v1/users/"+boss).is(200).text("name"), "B.")
}

func TestH19Sessions(t *testing.T) {
	w := newWorld(t)
	ada, bob := w.user("ada", ""), w.user("bob", "")
	for _, s := range [][2]string{{"s1", ada}, {"s2", ada}, {"s3", bob}} {
		record := &storage.Session{Subject: s[1], Client: "portal", LastUsedAt: start(), ExpiresAt: start().AddDate(0, 0, 1), IP: "192.0.2.1"}
		record.ID = s[0]
		must(t, w.store.Insert(t.Context(), record))
	}
	equal(t, "own", w.as("user:ada").get("/v1/me/sessions").is(200).ids("id"), "s1 s2")
	equal(t, "all", w.root().get("/v1/sessions").is(200).ids("id"), "s1 s2 s3")
	equal(t, "of bob", w.root().get("/v1/sessions?subject="+bob).is(200).ids("id"), "s3")
	w.as("user:ada").get("/v1/sessions").is(403)
	w.as("user:ada").del("/v1/sessions/s3").is(404)
	w.as("user:ada").del("/v1/me/sessions/s3").is(404)
	w.as("user:ada").del("/v1/me/sessions/s1").is(204)
	w.as("user:ada").del("/v1/me/sessions/s1").is(404)
	w.root().del("/v1/sessions/s3").is(204)
	equal(t, "ended by", w.root().get("/v1/sessions?ended=true").is(200).ids("ended_by"), "sign_out administrator")
	w.root().del("/v1/sessions/s3").is(404)
	w.root().del("/v1/sessions/none").is(404)
	w.root().del("/v1/sessions?subject=" + ada).is(204)
	w.root().del("/v1/sessions").is(400)
	w.root().del("/v1/sessions?subject=" + someID).is(404)
	equal(t, "ended", w.sessions.list(), "s1 s3 all of "+ada)
	first := w.root().get("/v1/sessions?limit=2").is(200)
	equal(t, "a page", first.ids("id"), "s1 s2")
	equal(t, "the next", w.root().get("/v1/sessions?limit=2&after="+first.text("next")).is(200).ids("id"), "s3")
}

func TestSessionsAreSeenInTheTenantOfTheirSubject(t *testing.T) {
	w := newWorld(t)
	for _, id := range []string{"acme", "globex"} {
		w.root().put("/v1/tenants/"+id, `{"name":"x"}`).is(201)
		record := &storage.Session{Subject: w.user(id+"-user", `,"tenant":"`+id+`"`), ExpiresAt: start().AddDate(0, 0, 1)}
		record.ID = "of-" + id
		must(t, w.store.Insert(t.Context(), record))
	}
	w.application("admin", `,"tenant":"acme","grants":[{"tenant":"acme","resource":"iam/sessions","action":"*"}]`)
	a := w.as("application:admin")
	equal(t, "visible", a.get("/v1/sessions").is(200).ids("id"), "of-acme")
	a.del("/v1/sessions/of-globex").is(404)
	a.del("/v1/sessions/of-acme").is(204)
}

func TestTheCatalogueIsSearched(t *testing.T) {
	w := newWorld(t)
	all := w.root().get("/v1/catalogue").is(200).body
	found := w.root().get("/v1/catalogue?q=REVEAL").is(200).body
	if !strings.Contains(found, `"name":"reveal"`) || strings.Contains(found, `"type":"iam/users"`) || len(found) >= len(all) {
		t.Fatal(found)
	}
	if body := w.root().get("/v1/catalogue?q=.*").is(200).body; !strings.Contains(body, `"types":[]`) {
		t.Fatal(body)
	}
	w.root().get("/v1/catalogue?q=").is(400)
	if body := w.root().get("/v1/policies").is(200).body; !strings.Contains(body, `"policy_revision":"`) {
		t.Fatal(body)
	}
}
