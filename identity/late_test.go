package identity_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/writ-authz/writ/storage"
)

// Who may not set a password causes no hash, and does not hear from its rules which ids are free.
func TestL19AndH16DeniedRequestsHashNothingAndTellNothing(t *testing.T) {
	w := newWorld(t)
	taken := w.user("ada", "")
	w.application("reader", `,"grants":[{"resource":"iam/users","action":"read"}]`)
	w.application("nobody", "")
	w.user("bob", "")
	for _, caller := range []string{"application:reader", "application:nobody", "user:bob"} {
		a := w.as(caller)
		hashes := w.room.PasswordHashes()
		for _, fields := range []string{
			`"password":"short"`, `"password":"` + goodPassword + `"`, `"password_hash":"no such thing"`, `"name":"E"`,
		} {
			body := `{"username":"eve","email":"eve@example.com",` + fields + `}`
			texts := map[string]bool{}
			for _, id := range []string{someID, taken} {
				r := a.put("/v1/users/"+id, body)
				if r.status != 403 && r.status != 404 {
					t.Fatalf("%s: %d %s", r.call, r.status, r.body)
				}
				texts[fmt.Sprint(r.status, " ", strings.ReplaceAll(strings.ReplaceAll(r.body, id, "ID"), r.text("decision_id"), "D"))] = true
			}
			if len(texts) != 1 && caller != "application:reader" { // who may read users may know which there are
				t.Errorf("%s: %s: a free id is told from one that is taken: %v", caller, fields, texts)
			}
			if r := a.post("/v1/users", body); r.status != 403 && r.status != 404 {
				t.Fatalf("%s: %d %s", r.call, r.status, r.body)
			}
		}
		for _, id := range []string{someID, taken} {
			if r := a.post("/v1/users/"+id+"/password/reset", ""); r.status != 403 && r.status != 404 {
				t.Fatalf("%s: %d %s", r.call, r.status, r.body)
			}
		}
		equal(t, "hashes for "+caller, w.room.PasswordHashes()-hashes, 0)
	}
	w.root().put("/v1/users/"+someID, `{"username":"eve","email":"eve@example.com","password":"short"}`).bad("/password")
	hashes := w.room.PasswordHashes()
	w.root().put("/v1/users/"+someID, `{"username":"eve","email":"eve@example.com","password":"`+goodPassword+`"}`).is(201)
	must(t, w.check(home, "eve", goodPassword))
	equal(t, "hashes of a creation and a login", w.room.PasswordHashes()-hashes, 2)
}

// A change that loses against others is decided anew, and hashed once.
func TestManyUsersMadeAtOnceAreHashedOnceEach(t *testing.T) {
	w := newWorld(t)
	const many = 4
	hashes := w.room.PasswordHashes()
	var all sync.WaitGroup
	for n := range many {
		all.Go(func() {
			body := fmt.Sprintf(`{"username":"u%d","email":"u%d@example.com","password":"%s"}`, n, n, goodPassword)
			if r := w.root().post("/v1/users", body); r.status != 201 {
				t.Errorf("%d: %s", r.status, r.body)
			}
		})
	}
	all.Wait()
	equal(t, "hashes", w.room.PasswordHashes()-hashes, many)
	for n := range many {
		must(t, w.check(home, fmt.Sprint("u", n), goodPassword))
	}
}

// Wrong guesses that arrive together when a delay ends: one is hashed.
func TestP04OfParallelGuessesOneIsHashed(t *testing.T) {
	w := newWorld(t)
	w.user("ada", "")
	w.guess(strangers, "ada", 5)
	w.pass(time.Second)
	hashes, waited := w.room.PasswordHashes(), w.room.Figures().ThrottledPeople
	release := w.room.HoldPool()
	var all sync.WaitGroup
	const many = 20
	for n := range many {
		all.Go(func() { _ = w.check(strangers, "ada", fmt.Sprint("one of many ", n)) })
	}
	// All are told to wait, or are in the pool where they should not be.
	for w.room.Figures().ThrottledPeople-waited+w.room.Inside() < many && w.room.Figures().PoolFull == 0 {
		time.Sleep(time.Millisecond)
	}
	release()
	all.Wait()
	equal(t, "hashes", w.room.PasswordHashes()-hashes, 1)
	equal(t, "the next wait", wait(t, w.check(strangers, "ada", goodPassword)), 2*time.Second)
}

// Two nodes on one store: what one forgets of a name the other forgets, also what only the other has counted.
func TestSP9AnotherNodeForgetsTheCountsOfANameThatBeginsAnew(t *testing.T) {
	for name, begin := range map[string]func(w *world, id string){
		"reset": func(w *world, id string) {
			w.root().post("/v1/users/"+id+"/password/reset", "").is(200)
		},
		"renamed and taken": func(w *world, id string) {
			w.root().patch("/v1/users/"+id, `{"username":"eve","email":"eve@example.com"}`).is(200)
			w.user("ada", "")
		},
		"deleted and made": func(w *world, id string) {
			w.root().del("/v1/users/" + id).is(204)
			w.user("ada", "")
		},
		"another takes the name": func(w *world, id string) {
			w.root().patch("/v1/users/"+id, `{"username":"eve","email":"eve@example.com"}`).is(200)
			other := w.user("zoe", "")
			w.root().patch("/v1/users/"+other, `{"username":"ada","email":"a@example.com"}`).is(200)
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			id := w.user("ada", "")
			here, handler := w.room, w.handler
			w.open()
			there := w.room
			w.guess(strangers, "ada", 7) // there, and here nobody knows
			there.MergeGuesses(t.Context())
			if wait(t, w.check(strangers, "ada", goodPassword)) == 0 {
				t.Fatal("nobody waits")
			}
			w.pass(time.Millisecond)
			w.room, w.handler = here, handler
			begin(w, id)
			here.MergeGuesses(t.Context())
			w.room = there
			must(t, w.follow())
			if wait(t, w.check(strangers, "ada", goodPassword)) == 0 {
				t.Fatal("the other node learned of it before it looked")
			}
			there.MergeGuesses(t.Context())
			if pause := wait(t, w.check(strangers, "ada", "a wrong one")); pause > 0 {
				t.Errorf("the other node waits %s for who is gone", pause)
			}
			there.MergeGuesses(t.Context())
			w.open()
			if pause := wait(t, w.check(strangers, "ada", "another wrong one")); pause > 0 {
				t.Errorf("after a restart the wait is %s", pause)
			}
			records, err := storage.List[storage.Guesses](t.Context(), w.store, storage.Query{Limit: 50})
			must(t, err)
			for _, r := range records {
				if r.Failures > 2 {
					t.Errorf("%s still counts %d failures", r.ID, r.Failures)
				}
			}
		})
	}
}
