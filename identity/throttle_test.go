package identity_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/writ-authz/writ/policies/enforce"
	"github.com/writ-authz/writ/storage"
)

var (
	strangers = netip.MustParseAddr("203.0.113.7")
	neighbour = netip.MustParseAddr("203.0.113.99") // in the network of the strangers
	elsewhere = netip.MustParseAddr("198.51.100.1")
)

// wait is the Retry-After of a refusal, 0 for any other answer.
func wait(t testing.TB, err error) time.Duration {
	t.Helper()
	var refused *enforce.ProtocolError
	if !errors.As(err, &refused) || refused.Status != http.StatusTooManyRequests {
		return 0
	}
	seconds, bad := strconv.Atoi(refused.Header.Get("Retry-After"))
	must(t, bad)
	if seconds < 1 {
		t.Fatalf("Retry-After is %d", seconds)
	}
	return time.Duration(seconds) * time.Second
}

func (w *world) check(peer netip.Addr, name, password string) error {
	_, _, err := w.room.Check(w.t.Context(), peer, name, password)
	return err
}

// guess tries so many distinct wrong passwords, each as soon as it may be tried.
func (w *world) guess(peer netip.Addr, name string, times int) {
	w.t.Helper()
	for n := range times {
		err := w.check(peer, name, fmt.Sprint("a wrong guess ", n))
		if pause := wait(w.t, err); pause > 0 {
			w.clock.Add(int64(pause))
			err = w.check(peer, name, fmt.Sprint("a wrong guess ", n))
		}
		if !errors.Is(err, storage.ErrNotFound) {
			w.t.Fatalf("guess %d: %v", n, err)
		}
	}
}

func TestP04AndSP1GuessingIsSlowedDownAlikeForRightWrongAndUnknown(t *testing.T) {
	w := newWorld(t)
	w.user("ada", "")
	for _, name := range []string{"ada", "nobody"} {
		w.guess(strangers, name, 5)
	}
	for pause := time.Second; pause <= 16*time.Second; pause *= 2 {
		texts := map[string]bool{}
		hashes, calls := w.room.PasswordHashes(), w.store.calls.Load()
		for _, c := range [][2]string{{"ada", goodPassword}, {"ada", "wrong"}, {"nobody", goodPassword}} {
			err := w.check(neighbour, c[0], c[1])
			equal(t, fmt.Sprintf("the wait of %q", c), wait(t, err), pause)
			texts[err.Error()] = true
		}
		if len(texts) != 1 || w.room.PasswordHashes() != hashes || w.store.calls.Load() != calls {
			t.Errorf("the refusals differ or cost something: %v", texts)
		}
		w.clock.Add(int64(pause))
		for _, name := range []string{"ada", "nobody"} {
			if err := w.check(strangers, name, "guess after "+pause.String()); !errors.Is(err, storage.ErrNotFound) {
				t.Fatalf("after the wait: %v", err)
			}
		}
	}
	w.clock.Add(int64(32 * time.Second))
	must(t, w.check(strangers, "ada", goodPassword))
	must(t, w.check(strangers, "ada", goodPassword))
	if err := w.check(strangers, "ada", "wrong again"); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("a success forgets the failures: %v", err)
	}
}

func TestP04TheWaitIsBounded(t *testing.T) {
	w := newWorld(t)
	w.user("ada", "")
	w.guess(strangers, "ada", 40)
	err := w.check(strangers, "ada", goodPassword)
	equal(t, "the wait after 40 failures", wait(t, err), 15*time.Minute)
	w.clock.Add(int64(15 * time.Minute))
	must(t, w.check(strangers, "ada", goodPassword))
}

func TestNoteEOfOneGuessOnlyTheFirstFailureCounts(t *testing.T) {
	w := newWorld(t)
	w.user("ada", "")
	for range 60 {
		if err := w.check(strangers, "ada", "the same mistake"); !errors.Is(err, storage.ErrNotFound) {
			t.Fatal(err)
		}
	}
	must(t, w.check(strangers, "ada", goodPassword))
}

func TestSP5SpellingsOfANameShareOneCount(t *testing.T) {
	w := newWorld(t)
	w.user("ada", "")
	for n, name := range []string{"ada", "ADA", "Ada", "ａｄａ", "aDa"} {
		if err := w.check(strangers, name, fmt.Sprint("guess ", n)); !errors.Is(err, storage.ErrNotFound) {
			t.Fatal(err)
		}
	}
	equal(t, "the wait of the sixth spelling", wait(t, w.check(strangers, "adA", goodPassword)), time.Second)
}

func TestSP6StrangersLockNobodyOut(t *testing.T) {
	w := newWorld(t)
	w.user("ada", "")
	must(t, w.check(home, "ada", goodPassword))
	w.guess(strangers, "ada", 150)
	must(t, w.check(home, "ada", goodPassword))
	// The success ended the row of failures; a new one closes the name to networks that never had a success.
	w.guess(strangers, "ada", 120)
	if wait(t, w.check(elsewhere, "ada", goodPassword)) == 0 {
		t.Error("after a hundred failures in a row an unknown network may still try")
	}
	must(t, w.check(home, "ada", goodPassword))
}

// The names are those of applications, whose secrets cost no slow hash; people's are counted by the same code.
func TestSP7AFloodOfNamesForgetsNobodyAndEndsAtTheNetwork(t *testing.T) {
	w := newWorld(t)
	secret := w.application("one", "")
	try := func(peer netip.Addr, id, secret string) error {
		app, _ := w.room.Application(id)
		_, _, err := w.room.Verify(t.Context(), peer, id, app, secret)
		return err
	}
	for n := range 5 {
		must(t, try(strangers, "one", "wrong "+strconv.Itoa(n)))
	}
	counted := 0
	for n := range 100_000 {
		if wait(t, try(elsewhere, "app_"+strconv.Itoa(n), secret)) == 0 {
			counted++
		}
	}
	equal(t, "names that one network may try at one instant", counted, 500)
	if wait(t, try(strangers, "one", secret)) == 0 {
		t.Error("the flood pushed the count of the application out")
	}
	must(t, try(home, "one", secret))
}

func TestT25GuessingAtASecretIsSlowedDownAndRightOnesNever(t *testing.T) {
	w := newWorld(t)
	first, second := w.application("one", ""), w.application("two", "")
	verify := func(id, secret string) (bool, error) {
		app, err := w.room.Application(id)
		must(t, err)
		_, ok, err := w.room.Verify(t.Context(), strangers, id, app, secret)
		return ok, err
	}
	for range 1000 {
		if ok, err := verify("one", first); !ok || err != nil {
			t.Fatal(ok, err)
		}
	}
	throttled := 0
	for n := range 1000 {
		ok, err := verify("one", first+strconv.Itoa(n))
		if wait(t, err) > 0 {
			throttled++
		} else if ok || err != nil {
			t.Fatal(ok, err)
		}
	}
	equal(t, "refused before a look", throttled, 995)
	if _, err := verify("one", first); wait(t, err) == 0 {
		t.Error("the right secret is told from wrong ones while they wait")
	}
	if ok, err := verify("two", second); !ok || err != nil {
		t.Errorf("another application is affected: %v, %v", ok, err)
	}
	w.clock.Add(int64(time.Second))
	if ok, err := verify("one", first); !ok || err != nil {
		t.Errorf("after the wait: %v, %v", ok, err)
	}
}

func TestGuessingAtTheOwnPasswordIsSlowedDown(t *testing.T) {
	w := newWorld(t)
	id := w.user("ada", "")
	for n := range 6 {
		r := w.as("user:"+id).post("/v1/me/password",
			fmt.Sprintf(`{"current_password":"wrong %d","new_password":"another lantern 71"}`, n))
		if n < 5 {
			r.want(400, "wrong_password")
			continue
		}
		r.want(429, "throttled")
	}
}

func TestP04CountsSurviveARestartAndAddUpAcrossNodes(t *testing.T) {
	w := newWorld(t)
	w.user("ada", "")
	must(t, w.check(home, "ada", goodPassword))
	first := w.room
	w.guess(strangers, "ada", 3)
	first.MergeGuesses(t.Context())

	w.open()
	for n := range 2 { // by the other node, which has read what the first one counted
		if err := w.check(strangers, "ada", fmt.Sprint("guess at the second node ", n)); !errors.Is(err, storage.ErrNotFound) {
			t.Fatal(err)
		}
	}
	w.room.MergeGuesses(t.Context())
	equal(t, "the wait at the second node", wait(t, w.check(strangers, "ada", goodPassword)), time.Second)

	w.room = first
	if err := w.check(strangers, "ada", "one more at the first node"); !errors.Is(err, storage.ErrNotFound) {
		t.Fatalf("the first node has counted three: %v", err)
	}
	first.MergeGuesses(t.Context())
	equal(t, "the wait at the first node, of six in all", wait(t, w.check(strangers, "ada", goodPassword)), 2*time.Second)

	w.open()
	equal(t, "the wait after a restart", wait(t, w.check(strangers, "ada", goodPassword)), 2*time.Second)
	w.clock.Add(int64(2 * time.Second))
	must(t, w.check(strangers, "ada", goodPassword))
	w.room.MergeGuesses(t.Context())
	w.open()
	must(t, w.check(strangers, "ada", goodPassword))
	w.guess(strangers, "ada", 4)
}

func TestSP9TheNextOfANameInheritsNoCounts(t *testing.T) {
	w := newWorld(t)
	id := w.user("ada", "")
	w.application("one", "")
	try := func(secret string) error {
		app, _ := w.room.Application("one")
		_, _, err := w.room.Verify(t.Context(), strangers, "one", app, secret)
		return err
	}
	fail := func() {
		t.Helper()
		w.guess(strangers, "ada", 6)
		for n := range 5 {
			_ = try("wrong " + strconv.Itoa(n)) // the last may have to wait already
		}
		if wait(t, w.check(strangers, "ada", goodPassword)) == 0 || wait(t, try("x")) == 0 {
			t.Fatal("nobody waits")
		}
		w.room.MergeGuesses(t.Context())
	}
	free := func(what string) {
		t.Helper()
		must(t, w.check(strangers, "ada", goodPassword))
		if pause := wait(t, try("still wrong")); pause > 0 {
			t.Fatalf("%s: the application waits %s", what, pause)
		}
	}
	fail()
	w.root().del("/v1/users/" + id).is(204)
	w.root().del("/v1/applications/one").is(204)
	if wait(t, w.check(strangers, "ada", goodPassword)) > 0 {
		t.Error("the name of who is gone waits")
	}
	id = w.user("ada", "")
	w.application("one", "")
	free("at once")
	w.room.MergeGuesses(t.Context())
	w.open()
	free("after a restart")

	t.Log("a restart between failures and end; a name that is given up; many at once")
	fail()
	w.open()
	w.root().patch("/v1/users/"+id, `{"username":"eve","email":"eve@example.com"}`).is(200)
	w.root().post("/v1/applications/bulk-delete", `{"ids":["one"]}`).is(204)
	w.user("ada", "")
	w.application("one", "")
	free("after all")
}

func TestCountsThatCannotBeWrittenWaitForTheNextTime(t *testing.T) {
	w := newWorld(t)
	const name = "grace" // of letters that no digest in hexadecimal has
	w.user(name, "")
	w.guess(strangers, name, 5)
	w.store.away.Store(true)
	w.room.MergeGuesses(t.Context())
	w.store.away.Store(false)
	equal(t, "the wait", wait(t, w.check(strangers, name, goodPassword)), time.Second)
	w.room.MergeGuesses(t.Context())
	w.open()
	equal(t, "the wait after a restart", wait(t, w.check(strangers, name, goodPassword)), time.Second)
	records, err := storage.List[storage.Guesses](t.Context(), w.store, storage.Query{Limit: 10})
	must(t, err)
	for _, r := range records {
		if strings.Contains(r.ID, name) {
			t.Errorf("a record names the user: %s", r.ID)
		}
	}
	if len(records) == 0 {
		t.Error("nothing was written")
	}
}

func TestSP9WhatIsImportedInheritsNoCounts(t *testing.T) {
	w := newWorld(t)
	w.guess(strangers, "ada", 6) // nobody has the name yet
	try := func() error {
		app, _ := w.room.Application("billing")
		_, _, err := w.room.Verify(t.Context(), strangers, "billing", app, "wrong")
		return err
	}
	for n := range 5 {
		_, _, err := w.room.Verify(t.Context(), strangers, "billing", nil, "wrong "+strconv.Itoa(n))
		must(t, err)
	}
	if wait(t, w.check(strangers, "ada", goodPassword)) == 0 || wait(t, try()) == 0 {
		t.Fatal("nobody waits")
	}
	w.root().post("/v1/import", `{"users":[{"id":"`+adaID+`","username":"ada","email":"ada@example.com","password_hash":"`+hashed+`"}],
		"applications":[{"id":"billing","name":"Billing"}]}`).is(200)
	if pause := wait(t, w.check(strangers, "ada", "wrong")); pause > 0 {
		t.Errorf("the user waits %s for whoever was tried before", pause)
	}
	if pause := wait(t, try()); pause > 0 {
		t.Errorf("the application waits %s for whoever was tried before", pause)
	}
	w.guess(strangers, "eve", 6)
	w.root().post("/v1/import", `{"users":[{"id":"`+adaID+`","username":"eve","email":"ada@example.com"}]}`).is(200)
	if pause := wait(t, w.check(strangers, "eve", "wrong")); pause > 0 {
		t.Errorf("the user of another name waits %s for whoever was tried before", pause)
	}
}

// A success ends the failures of a name, and leaves those of the networks of others: they are the name's all the same, after a restart too.
func TestSP9WhatOneNetworkFailedIsForgottenWithTheName(t *testing.T) {
	w := newWorld(t)
	id := w.user("ada", "")
	w.guess(strangers, "ada", 6)
	must(t, w.check(home, "ada", goodPassword))
	w.room.MergeGuesses(t.Context())
	w.open()
	if wait(t, w.check(strangers, "ada", goodPassword)) == 0 {
		t.Fatal("nobody waits")
	}
	w.root().del("/v1/users/" + id).is(204)
	w.user("ada", "")
	if pause := wait(t, w.check(strangers, "ada", "wrong")); pause > 0 {
		t.Errorf("the next of the name waits %s", pause)
	}
}
