package identity_test

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/writ-authz/writ/identity"
	"github.com/writ-authz/writ/storage"
)

func (w *world) verify(id, presented string) (string, bool) {
	w.t.Helper()
	app, err := w.room.Application(id)
	if err != nil {
		app = nil
	}
	sid, ok, err := w.room.Verify(w.t.Context(), home, id, app, presented)
	must(w.t, err)
	return sid, ok
}

func (w *world) works(id, presented string, want bool) {
	w.t.Helper()
	if _, ok := w.verify(id, presented); ok != want {
		w.t.Fatalf("the secret of %s works: %v, want %v", id, ok, want)
	}
}

func TestServerMadeSecretsHaveAFormThatScannersFind(t *testing.T) {
	guide, err := os.ReadFile("../docs/operations.md")
	must(t, err)
	pattern := regexp.MustCompile("`(writ_cs_\\[[^`]+)`").FindSubmatch(guide)
	if pattern == nil {
		t.Fatal("docs/operations.md has no pattern of secrets")
	}
	form := regexp.MustCompile(`(?:^|[^A-Za-z0-9_-])(` + string(pattern[1]) + `)(?:[^A-Za-z0-9_-]|$)`)
	w := newWorld(t)
	for n := range 50 {
		secret := w.application("app-"+strconv.Itoa(n), "")
		found := form.FindStringSubmatch("CLIENT_SECRET=" + secret + "\n")
		if len(found) != 2 || found[1] != secret {
			t.Fatalf("the pattern of the guide does not find %q", secret)
		}
		// As the guide says: CRC-32 of the 43 characters behind the prefix, big-endian, base64url without padding.
		sum, err := base64.RawURLEncoding.DecodeString(secret[51:])
		must(t, err)
		equal(t, "checksum", binary.BigEndian.Uint32(sum), crc32.ChecksumIEEE([]byte(secret[8:51])))
		if !identity.ServerMade(secret) || identity.ServerMade(secret[:20]+"~"+secret[21:]) {
			t.Fatalf("the checksum of %q checks nothing", secret)
		}
	}
}

func TestF28AServerMadeSecretTakesNoSlowHashAndNoStoreCall(t *testing.T) {
	w := newWorld(t)
	secret, other := w.application("a", ""), w.application("b", "")
	w.works("a", secret, true) // the first use of the minute is written down beside
	w.room.Close()
	hashes, calls := w.room.PasswordHashes(), w.store.calls.Load()
	w.works("a", secret, true)
	w.works("a", other, false)
	w.works("nobody", secret, false)
	other20 := "x"
	if secret[20:21] == other20 {
		other20 = "y"
	}
	for _, mistyped := range []string{secret[:len(secret)-1], secret + "x", secret[:20] + other20 + secret[21:], "writ_cs_"} {
		w.works("a", mistyped, false)
		w.works("root", mistyped, false)
		w.works("nobody", mistyped, false)
	}
	equal(t, "hashes", w.room.PasswordHashes()-hashes, 0)
	equal(t, "store calls", w.store.calls.Load()-calls, 0)
}

// PO-05: what the token and the introspection endpoints ask of the directory is in memory once it was asked.
func TestPO05AWarmDirectoryCostsNoStoreCall(t *testing.T) {
	w := newWorld(t)
	id, secret := w.user("ada", ""), w.application("billing", "")
	ask := func() {
		w.works("billing", secret, true)
		for kind, name := range map[string]string{"user": id, "application": "billing"} {
			_, err := w.room.Subject(t.Context(), kind, name)
			must(t, err)
		}
		_, err := w.room.Application("billing")
		must(t, err)
		must(t, w.room.Fresh())
	}
	ask()
	w.room.Close() // when the secret was used last is written beside
	before := w.store.calls.Load()
	ask()
	equal(t, "store calls", w.store.calls.Load()-before, 0)
}

func TestF08UnknownApplicationsAndWrongSecretsCostTheSame(t *testing.T) {
	w := newWorld(t)
	w.application("a", "")
	for _, c := range [][2]string{{"a", "a wrong secret"}, {"nobody", "a wrong secret"}, {"root", "a wrong secret"}, {"root", ""}, {"a", ""}, {"root", strings.Repeat("x", 1<<16)}} {
		hashes := w.room.PasswordHashes()
		w.works(c[0], c[1], false)
		equal(t, "hashes of "+c[0], w.room.PasswordHashes()-hashes, 1)
	}
}

// An application that proves itself otherwise has no verifier, which an empty secret must not match.
func TestF07AnEmptySecretMatchesNothing(t *testing.T) {
	w := newWorld(t)
	for name, secrets := range map[string][]storage.Secret{
		"no secret": nil, "no verifier": {{ID: "s"}}, "a prefix": {{ID: "s", Verifier: "sha256:"}}, "half a PHC": {{ID: "s", Verifier: "$argon2id$"}},
	} {
		for _, presented := range []string{"", "sha256:", "x"} {
			app := &storage.Application{Meta: storage.Meta{ID: "app_x"}, IsActive: true, Secrets: secrets}
			if sid, ok, err := w.room.Verify(t.Context(), home, "app_x", app, presented); ok || sid != "" || err != nil {
				t.Errorf("%s, %q presented: %q %v %v", name, presented, sid, ok, err)
			}
		}
	}
}

func TestAChosenSecretIsHashedOnceUntilItsApplicationChanges(t *testing.T) {
	w := newChosenWorld(t)
	w.works("root", rootSecret, true)
	hashes := w.room.PasswordHashes()
	w.works("root", rootSecret, true)
	equal(t, "hashes of a remembered secret", w.room.PasswordHashes()-hashes, 0)
	w.works("root", rootSecret+"x", false)
	equal(t, "hashes of a wrong one", w.room.PasswordHashes()-hashes, 1)
	if _, err := w.room.RecoverRoot(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.works("root", rootSecret, false)
	if body := string(w.log.String()); strings.Contains(body, rootSecret) {
		t.Fatal("the secret is in the log")
	}
}

func TestSecretsHaveWindowsAndEndOneByOne(t *testing.T) {
	w := newWorld(t)
	first := w.application("a", "")
	later := w.root().post("/v1/applications/a/secrets", `{"label":"blue","not_before":"2026-06-02T00:00:00Z","expires_at":"2026-06-03T00:00:00Z"}`).is(201)
	equal(t, "location", later.header.Get("Location"), "/v1/applications/a/secrets/"+later.text("id"))
	equal(t, "cache", later.header.Get("Cache-Control"), "no-store")
	second := later.text("value")
	w.works("a", second, false)
	w.pass(12 * time.Hour)
	w.works("a", second, true)
	w.works("a", first, true)
	sid, _ := w.verify("a", second)
	equal(t, "secret id", sid, later.text("id"))
	w.root().del("/v1/applications/a/secrets/" + sid).is(204)
	w.works("a", second, false)
	w.works("a", first, true)
	w.root().del("/v1/applications/a/secrets/" + sid).is(404)
	w.root().del("/v1/applications/a/secrets/none").is(404)
	for body, pointer := range map[string]string{
		`{"expires_at":"2026-01-01T00:00:00Z"}`:                                     "/expires_at",
		`{"expires_at":"2026-08-01T00:00:00Z","not_before":"2026-08-02T00:00:00Z"}`: "/expires_at",
		`{"expires_at":"2026-08-01T00:00:00"}`:                                      "/expires_at",
		`{"label":5}`:                                                               "/label",
		`{"value":"chosen"}`:                                                        "/value",
	} {
		w.root().post("/v1/applications/a/secrets", body).bad(pointer)
	}
	list := w.root().get("/v1/applications/a/secrets").is(200)
	if strings.Contains(list.body, first) || strings.Contains(list.body, "sha256") || strings.Contains(list.body, "value") {
		t.Fatal("a list shows a secret:", list.body)
	}
	if !strings.Contains(list.body, `"revoked_at"`) || !strings.Contains(list.body, `"label":"blue"`) {
		t.Fatal(list.body)
	}
}

func TestTheLastUseIsWrittenDownAtMostOnceAMinute(t *testing.T) {
	w := newWorld(t)
	secret := w.application("a", "")
	sid := w.root().get("/v1/applications/a/secrets").ids("id")
	used := func() time.Time {
		w.room.Close()
		use, err := storage.Get[storage.SecretUse](t.Context(), w.store, "a/"+sid)
		if errors.Is(err, storage.ErrNotFound) {
			return time.Time{}
		}
		must(t, err)
		return use.LastUsedAt
	}
	w.works("a", secret+"x", false)
	equal(t, "after a wrong secret", used(), time.Time{})
	w.works("a", secret, true)
	equal(t, "after the first use", used(), start())
	w.pass(30 * time.Second)
	w.works("a", secret, true)
	equal(t, "within the minute", used(), start())
	w.pass(30 * time.Second)
	w.works("a", secret, true)
	equal(t, "after a minute", used(), start().Add(time.Minute))
	if !strings.Contains(w.root().get("/v1/applications/a/secrets").body, `"last_used_at":"2026-06-01T12:01:00Z"`) {
		t.Fatal("the list shows the last use")
	}
}

func TestTheLastUsableSecretOfAnActiveApplicationGoesByForceAlone(t *testing.T) {
	w := newWorld(t)
	first := w.application("a", "")
	path := "/v1/applications/a/secrets/"
	sid := w.root().get("/v1/applications/a/secrets").ids("id")
	later := w.root().post("/v1/applications/a/secrets", `{"not_before":"2026-06-02T00:00:00Z"}`).is(201).text("id")
	for _, query := range []string{"", "?force=false"} {
		w.root().del(path + sid + query).conflict("last_secret")
	}
	w.works("a", first, true)
	w.root().del(path+sid+"?force=yes").want(400, "bad_parameter")
	w.root().del(path + "none").is(404)
	w.application("nobody", "")
	w.as("application:nobody").del(path + sid).is(404)

	t.Log("another one that works, a revoked one, an inactive application, force")
	w.pass(12 * time.Hour)
	w.root().del(path + sid).is(204)
	w.root().del(path + later).conflict("last_secret")
	w.root().patch("/v1/applications/a", `{"is_active":false}`).is(200)
	w.root().del(path + later).is(204)
	w.application("b", "")
	w.root().del("/v1/applications/b/secrets/" + w.root().get("/v1/applications/b/secrets").ids("id") + "?force=true").is(204)
	w.application("c", "")
	w.root().patch("/v1/applications/c", `{"token_endpoint_auth_method":"none"}`).is(200)
	w.root().del("/v1/applications/c/secrets/" + w.root().get("/v1/applications/c/secrets").ids("id")).is(204)
}

func TestSecretsOfAnApplicationAreBounded(t *testing.T) {
	w := newWorld(t)
	w.application("a", "")
	for range 49 {
		w.root().post("/v1/applications/a/secrets", `{}`).is(201)
	}
	w.root().post("/v1/applications/a/secrets", `{}`).conflict("too_many_secrets")
	for _, sid := range strings.Fields(w.root().get("/v1/applications/a/secrets").ids("id"))[:30] {
		w.root().del("/v1/applications/a/secrets/" + sid).is(204)
	}
	app, err := w.room.Application("a")
	must(t, err)
	if n := len(app.Secrets); n > 42 {
		t.Fatalf("%d secrets are kept", n)
	}
}

func TestReveal(t *testing.T) {
	w := newWorld(t)
	w.user("boss", `,"roles":["system:owner"]`)
	w.user("clerk", `,"grants":[{"resource":"iam/applications","action":"read"}]`)
	secret := w.application("a", "")
	sid := w.root().get("/v1/applications/a/secrets").ids("id")
	path := "/v1/applications/a/secrets/" + sid + "/reveal"
	boss := w.as("user:boss,fresh")
	r := boss.post(path, `{"reason":"migration"}`).is(200)
	equal(t, "value", r.text("value"), secret)
	equal(t, "cache", r.header.Get("Cache-Control"), "no-store")

	boss.post(path, `{}`).refused("admin_only")
	boss.post(path, `{"reason":""}`).refused("admin_only")
	w.as("user:boss,stale").post(path, `{"reason":"x"}`).refused("admin_only")
	w.root().post(path, `{"reason":"x"}`).refused("admin_only")
	w.as("user:clerk,fresh").post(path, `{"reason":"x"}`).is(403)
	w.application("nobody", "")
	w.as("application:nobody").post(path, `{"reason":"x"}`).is(404)
	w.as("application:nobody").post("/v1/applications/none/secrets/"+sid+"/reveal", `{"reason":"x"}`).is(404)
	boss.post("/v1/applications/none/secrets/"+sid+"/reveal", `{"reason":"x"}`).is(404)
	boss.post("/v1/applications/a/secrets/none/reveal", `{"reason":"x"}`).is(404)

	rootSID := w.root().get("/v1/applications/root/secrets").ids("id")
	boss.post("/v1/applications/root/secrets/"+rootSID+"/reveal", `{"reason":"x"}`).conflict("not_retrievable")
	w.application("b", `,"retrievable":false`)
	bSID := w.root().get("/v1/applications/b/secrets").ids("id")
	boss.post("/v1/applications/b/secrets/"+bSID+"/reveal", `{"reason":"x"}`).conflict("not_retrievable")
	w.root().del("/v1/applications/a/secrets/" + sid + "?force=true").is(204)
	boss.post(path, `{"reason":"x"}`).conflict("secret_revoked")
}

func TestNoAuditNoSecret(t *testing.T) {
	w := newWorld(t)
	w.user("boss", `,"roles":["system:owner"]`)
	secret := w.application("a", "")
	sid := w.root().get("/v1/applications/a/secrets").ids("id")
	kind := storage.AuditKind.Name
	w.store.refuse.Store(&kind)
	r := w.as("user:boss,fresh").post("/v1/applications/a/secrets/"+sid+"/reveal", `{"reason":"migration"}`).is(503)
	if strings.Contains(r.body, secret) || r.header.Get("Retry-After") == "" {
		t.Fatal(r.body)
	}
	w.root().post("/v1/applications/a/secrets", `{}`).is(503)
	w.root().del("/v1/applications/a").is(503)
	w.store.refuse.Store(nil)
	w.works("a", secret, true)
	equal(t, "secrets", w.root().get("/v1/applications/a/secrets").ids("id"), sid)
}

func TestRevealsAreRareEnoughToBeSeen(t *testing.T) {
	w := newWorld(t)
	w.user("boss", `,"roles":["system:owner"]`)
	w.application("a", "")
	sid := w.root().get("/v1/applications/a/secrets").ids("id")
	reveal := func() *reply {
		return w.as("user:boss,fresh").post("/v1/applications/a/secrets/"+sid+"/reveal", `{"reason":"migration"}`)
	}
	for range 10 {
		reveal().is(200)
	}
	equal(t, "Retry-After", reveal().is(429).header.Get("Retry-After"), "60")
	w.pass(time.Minute)
	reveal().is(200)
}

func TestASealedCopyOpensNowhereElse(t *testing.T) {
	w := newWorld(t)
	w.user("boss", `,"roles":["system:owner"]`)
	w.application("a", "")
	w.application("b", "")
	aSID, bSID := w.root().get("/v1/applications/a/secrets").ids("id"), w.root().get("/v1/applications/b/secrets").ids("id")
	sealed, err := storage.Get[storage.SealedSecret](t.Context(), w.store, "a/"+aSID)
	must(t, err)
	moved := &storage.SealedSecret{Sealed: sealed.Sealed}
	moved.ID = "b/" + bSID
	w.write(moved)
	w.as("user:boss,fresh").post("/v1/applications/b/secrets/"+bSID+"/reveal", `{"reason":"x"}`).want(500, "internal")
}
