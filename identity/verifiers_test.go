package identity_test

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/bcrypt"

	"github.com/writ-authz/writ/identity"
	"github.com/writ-authz/writ/storage"
)

// bcryptOf is a verifier as another system made it, at the least cost.
func bcryptOf(t testing.TB, password string) string {
	t.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	must(t, err)
	return string(hash)
}

// imported makes a user with a verifier of another system.
func (w *world) imported(name, verifier string) string {
	w.t.Helper()
	body := fmt.Sprintf(`{"username":%q,"email":"%s@example.com","password_hash":%q}`, name, name, verifier)
	r := w.root().post("/v1/users", body).is(201)
	if strings.Contains(r.body, "temporary_password\"") || strings.Contains(r.body, verifier) {
		w.t.Fatal(r.body)
	}
	return r.text("id")
}

func (w *world) stored(id string) *storage.User {
	w.t.Helper()
	u, err := storage.Get[storage.User](w.t.Context(), w.store.Store, id)
	must(w.t, err)
	return u
}

func TestVerifiersOfOtherSystemsAreReadWithinBounds(t *testing.T) {
	const salt, hash = "AAAAAAAAAAAAAAAAAAAAAA", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
	const rest = "CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"
	for s, want := range map[string]bool{
		"$argon2id$v=19$m=19456,t=2,p=1$" + salt + "$" + hash:       true,
		"$argon2i$v=19$m=19456,t=2,p=1$" + salt + "$" + hash:        true,
		"$argon2d$v=19$m=19456,t=2,p=1$" + salt + "$" + hash:        false,
		"$argon2id$v=16$m=19456,t=2,p=1$" + salt + "$" + hash:       false,
		"$argon2id$v=19$m=99999999,t=2,p=1$" + salt + "$" + hash:    false,
		"$argon2id$v=19$m=19456,t=999,p=1$" + salt + "$" + hash:     false,
		"$argon2id$v=19$m=65536,t=3,p=4$" + salt + "$" + hash:       true, // RFC 9106, second choice
		"$argon2id$v=19$m=65536,t=3,p=5$" + salt + "$" + hash:       false,
		"$argon2id$v=19$m=262144,t=1,p=1$" + salt + "$" + hash:      true,
		"$argon2id$v=19$m=262144,t=2,p=1$" + salt + "$" + hash:      false, // either within bounds, both together not
		"$argon2id$v=19$m=19456,t=2$" + salt + "$" + hash:           false,
		"$argon2id$v=19$m=19456,t=2,p=1$" + salt + "$":              false,
		"$argon2id$v=19$m=19456,t=2,p=1$" + salt + "$" + hash + "$": false,
		"$argon2id$v=19$m=19456,t=2,p=1$!$" + hash:                  false,

		"$2a$05$" + rest:       true,
		"$2b$05$" + rest:       true,
		"$2y$13$" + rest:       true,
		"$2y$14$" + rest:       false,
		"$2x$05$" + rest:       false,
		"$2a$03$" + rest:       false,
		"$2a$15$" + rest:       false,
		"$2a$05$" + rest + "x": false,
		"$2a$5$" + rest:        false,
		"$2a$05$" + rest[1:]:   false,

		"$pbkdf2-sha256$i=600000$" + salt + "$" + hash:   true,
		"$pbkdf2-sha512$i=2000000$" + salt + "$" + hash:  true,
		"$pbkdf2-sha1$i=600000$" + salt + "$" + hash:     false,
		"$pbkdf2-sha256$i=999$" + salt + "$" + hash:      false,
		"$pbkdf2-sha256$i=2000001$" + salt + "$" + hash:  false,
		"$pbkdf2-sha256$600000$" + salt + "$" + hash:     false,
		"$pbkdf2-sha256$i=600000$" + salt + "$":          false,
		"$pbkdf2-sha256$i=600000$AAAA$" + hash:           false,
		"$pbkdf2-sha256$i=600000$" + salt + "$" + "AAAA": false,

		"":             false,
		"sha256:00":    false,
		"{SSHA}AAAA":   false,
		"plain secret": false,
	} {
		equal(t, s, identity.ValidVerifier(s), want)
	}
}

func TestTheVectorsOfOthersVerify(t *testing.T) {
	raw := func(text string) string {
		sum, err := hex.DecodeString(text)
		must(t, err)
		return base64.RawStdEncoding.EncodeToString(sum)
	}
	salt := base64.RawStdEncoding.EncodeToString([]byte("saltSALTsaltSALTsaltSALTsaltSALTsalt"))
	for _, c := range []struct{ verifier, password string }{
		{"$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", "U*U"}, // of crypt_blowfish
		{"$2b$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", "U*U"},
		{"$2y$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", "U*U"},
		{ // of the tests that RFC 6070 has for SHA-1, with SHA-256
			"$pbkdf2-sha256$i=4096$" + salt + "$" + raw("348c89dbcbd32b2f32d814b8116e84cf2b17347ebc1800181c4e2a1fb8dd53e1c635518c7dac47e9"),
			"passwordPASSWORDpassword",
		},
	} {
		fits, weak := identity.Fits(c.verifier, c.password)
		if wrong, _ := identity.Fits(c.verifier, c.password+"x"); !fits || !weak || wrong {
			t.Errorf("%s: fits %v, a wrong one %v, weak %v", c.verifier, fits, wrong, weak)
		}
	}
}

func TestVerifiersThatAreAsGoodAsOursStay(t *testing.T) {
	hash := strings.Repeat("A", 43)
	for s, want := range map[string]bool{
		"$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$" + hash: false,
		"$argon2id$v=19$m=47104,t=1,p=1$AAAAAAAAAAAAAAAAAAAAAA$" + hash: false,
		"$argon2id$v=19$m=65536,t=3,p=4$AAAAAAAAAAAAAAAAAAAAAA$" + hash: false,
		"$argon2id$v=19$m=19456,t=1,p=1$AAAAAAAAAAAAAAAAAAAAAA$" + hash: true,
		"$argon2id$v=19$m=4096,t=3,p=1$AAAAAAAAAAAAAAAAAAAAAA$" + hash:  true,
		"$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAA$" + hash:            true,
		"$argon2i$v=19$m=65536,t=3,p=1$AAAAAAAAAAAAAAAAAAAAAA$" + hash:  true,
	} {
		equal(t, s, identity.Weak(s), want)
	}
}

func TestF28AWeakVerifierIsReplacedByTheFirstLogin(t *testing.T) {
	w := newWorld(t)
	salt := []byte("a salt of before")
	b64 := base64.RawStdEncoding.EncodeToString
	for name, verifier := range map[string]string{
		"bcrypt":  bcryptOf(t, goodPassword),
		"argon2i": "$argon2i$v=19$m=64,t=1,p=1$" + b64(salt) + "$" + b64(argon2.Key([]byte(goodPassword), salt, 1, 64, 1, 32)),
		"small":   "$argon2id$v=19$m=64,t=1,p=1$" + b64(salt) + "$" + b64(argon2.IDKey([]byte(goodPassword), salt, 1, 64, 1, 32)),
		"pbkdf2": "$pbkdf2-sha256$i=1000$" + b64(salt) + "$" +
			b64(identity.PBKDF2SHA256(goodPassword, salt, 1000, 32)),
	} {
		id := w.imported(name, verifier)
		before := w.stored(id)
		w.pass(time.Hour)
		if err := w.check(home, name, "a wrong password"); !errors.Is(err, storage.ErrNotFound) {
			t.Fatal(name, err)
		}
		w.room.Close()
		equal(t, name+" after a wrong password", w.stored(id).Password.Verifier, verifier)

		hashes := w.room.PasswordHashes()
		must(t, w.check(home, name, goodPassword))
		w.room.Close()
		after := w.stored(id)
		if !strings.HasPrefix(after.Password.Verifier, "$argon2id$v=19$m=19456,t=2,p=1$") {
			t.Fatalf("%s: the verifier is %q", name, after.Password.Verifier)
		}
		equal(t, name+": hashes of the login and of the new verifier", w.room.PasswordHashes()-hashes, 2)
		equal(t, name+": epoch", after.Epoch, before.Epoch)
		equal(t, name+": date of the password", *after.Password.ChangedAt, *before.Password.ChangedAt)
		equal(t, name+": version", after.Version, before.Version+1)
		equal(t, name+": sessions that ended", w.sessions.list(), "")

		hashes = w.room.PasswordHashes()
		must(t, w.check(home, name, goodPassword))
		w.room.Close()
		equal(t, name+": hashes of the next login", w.room.PasswordHashes()-hashes, 1)
		equal(t, name+": version after it", w.stored(id).Version, after.Version)
	}
	if n := w.actions(identity.AuthorityChain, "iam/users:rehash"); n != 4 {
		t.Errorf("%d of 4 new verifiers are audited", n)
	}
}

func TestANewVerifierNeverOverwritesANewPassword(t *testing.T) {
	w := newWorld(t)
	id := w.imported("ada", bcryptOf(t, goodPassword))
	var temporary string
	release := w.room.HoldPool()
	var group sync.WaitGroup
	group.Go(func() { _ = w.check(home, "ada", goodPassword) })
	waitFor(t, func() bool { return w.room.Inside() == 1 })
	release()
	group.Wait()
	temporary = w.root().post("/v1/users/"+id+"/password/reset", "").is(200).text("temporary_password")
	w.room.Close()
	must(t, w.check(home, "ada", temporary))
	if err := w.check(home, "ada", goodPassword); !errors.Is(err, storage.ErrNotFound) {
		t.Fatal("the old password lives on:", err)
	}
}

func TestSP3APasswordBeyondBcryptsReachNeverVerifies(t *testing.T) {
	w := newWorld(t)
	long := strings.Repeat("correct-lantern-", 6)[:90]
	w.imported("ada", bcryptOf(t, long[:72]))
	for _, wrong := range []string{long, long[:73], long[:71]} {
		if err := w.check(home, "ada", wrong); !errors.Is(err, storage.ErrNotFound) {
			t.Errorf("a password of %d bytes: %v", len(wrong), err)
		}
	}
	must(t, w.check(home, "ada", long[:72]))

	t.Log("and one that was set here is whole")
	w.root().post("/v1/users", `{"username":"bob","email":"b@example.com","password":"`+long+`"}`).is(201)
	if err := w.check(home, "bob", long[:72]); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("its first 72 bytes: %v", err)
	}
	must(t, w.check(home, "bob", long))
}

func TestAVerifierIsGivenAtCreationAlone(t *testing.T) {
	w := newWorld(t)
	hash := bcryptOf(t, goodPassword)
	user := func(more string) string { return `{"username":"ada","email":"ada@example.com"` + more + `}` }
	for _, bad := range []string{
		`,"password_hash":""`, `,"password_hash":"$1$abc$def"`, `,"password_hash":"$2a$15$` + hash[7:] + `"`,
		`,"password_hash":"` + hash + `","password":"` + goodPassword + `"`,
	} {
		w.root().post("/v1/users", user(bad)).want(400, "malformed_hash").at("/password_hash")
	}
	id := w.root().post("/v1/users", user(`,"password_hash":"`+hash+`"`)).is(201).text("id")
	w.root().patch("/v1/users/"+id, `{"password_hash":"`+hash+`"}`).want(400, "not_here").at("/password_hash")
	w.root().put("/v1/users/"+id, user(`,"password_hash":"`+hash+`"`)).want(400, "not_here").at("/password_hash")
	w.application("nobody", "")
	w.as("application:nobody").post("/v1/users", user(`,"password_hash":"`+hash+`"`)).is(403)
}

// waitFor yields until something holds that another goroutine is about to bring about.
func waitFor(t testing.TB, holds func() bool) {
	t.Helper()
	for !holds() {
		if t.Context().Err() != nil {
			t.Fatal("it never comes about")
		}
		runtime.Gosched()
	}
}

func TestSP8TheHashPoolIsBounded(t *testing.T) {
	var hashed atomic.Int64
	w := newWorldWith(t, func(c *config) { c.Hashed = func(time.Duration) { hashed.Add(1) } })
	w.user("ada", "")
	secret := w.application("machine", "")
	hashed.Store(0)
	before := w.room.PasswordHashes()
	w.room.HoldBack(0)
	release := w.room.HoldPool()
	places := w.room.Places()
	var group sync.WaitGroup
	var fine, full atomic.Int64
	login := func() {
		switch err := w.check(home, "ada", goodPassword); {
		case err == nil:
			fine.Add(1)
		case errors.Is(err, storage.ErrUnavailable):
			full.Add(1)
		default:
			t.Error(err)
		}
	}
	for range places {
		group.Go(login)
	}
	waitFor(t, func() bool { return w.room.Inside() == places })
	for range 500 - places {
		login()
	}
	equal(t, "refused at once", full.Load(), 500-places)
	equal(t, "hashes while the pool is held", w.room.PasswordHashes()-before, 0)
	equal(t, "refusals that the figures show", w.room.Figures().PoolFull, 500-places)
	for range 100 { // machines do not come this way
		w.works("machine", secret, true)
	}
	w.root().get("/v1/users").is(200)
	w.root().post("/v1/users", `{"username":"bob","email":"b@example.com","password":"`+goodPassword+`"}`).is(503)
	release()
	group.Wait()
	equal(t, "those who had a place", fine.Load(), places)
	equal(t, "hashes", w.room.PasswordHashes()-before, places)
	equal(t, "hashes that were told", hashed.Load(), places)
	must(t, w.check(home, "ada", goodPassword))
}

// Who finds the pool full is held back, so that a flood of refusals costs no time of a core; how many are held is bounded, too.
func TestSP8AFloodOfRefusalsIsHeldBack(t *testing.T) {
	w := newWorld(t)
	w.user("ada", "")
	w.room.HoldBack(time.Hour)
	release := w.room.HoldPool()
	ctx, cancel := context.WithCancel(t.Context())
	var logins sync.WaitGroup
	for range w.room.Places() {
		logins.Go(func() {
			if err := w.check(home, "ada", goodPassword); err != nil {
				t.Error(err)
			}
		})
	}
	waitFor(t, func() bool { return w.room.Inside() == w.room.Places() })
	var refused atomic.Int64
	for range identity.MostHeld {
		logins.Go(func() {
			if _, _, err := w.room.Check(ctx, home, "ada", goodPassword); errors.Is(err, storage.ErrUnavailable) {
				refused.Add(1)
			}
		})
	}
	waitFor(t, func() bool { return w.room.Held() == identity.MostHeld })
	if err := w.check(home, "ada", goodPassword); !errors.Is(err, storage.ErrUnavailable) {
		t.Fatalf("one too many to be held: %v, want a refusal at once", err)
	}
	equal(t, "refusals that wait", refused.Load(), 0)
	cancel()
	release()
	logins.Wait()
	equal(t, "refused when they went away", refused.Load(), identity.MostHeld)
	equal(t, "held", w.room.Held(), 0)
}

func TestTheQueueIsCutToWhatAHashTakes(t *testing.T) {
	for took, want := range map[time.Duration]int64{
		0: 4, time.Millisecond: 16, 25 * time.Millisecond: 14, 70 * time.Millisecond: 5, 76 * time.Millisecond: 4, time.Minute: 4,
	} {
		equal(t, "the queue of hashes of "+took.String(), identity.QueueFor(took), want)
	}
	w := newWorld(t)
	must(t, w.room.Calibrate(t.Context()))
	if line := w.log.String(); !strings.Contains(line, `"msg":"password pool"`) || !strings.Contains(line, `"memory_mib"`) {
		t.Errorf("the log holds %s", line)
	}
}
