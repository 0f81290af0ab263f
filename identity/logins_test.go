package identity_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/writ-authz/writ/identity"
	"github.com/writ-authz/writ/policies/enforce"
	"github.com/writ-authz/writ/storage"
)

// actions counts the entries of a chain with this action.
func (w *world) actions(chain, action string) (n int) {
	w.t.Helper()
	for _, e := range w.chain(chain) {
		if e.Action == action {
			n++
		}
	}
	return n
}

// logins are the entries about logins on the node's chain, once they are written.
func (w *world) logins() (entries []*storage.AuditEntry) {
	w.t.Helper()
	w.room.Close()
	for _, e := range w.chain(w.room.Chain()) {
		if strings.HasPrefix(e.Action, "login:") {
			entries = append(entries, e)
		}
	}
	return entries
}

func TestLoginsAreAudited(t *testing.T) {
	w := newWorld(t)
	ada := w.user("ada", "")
	bob := w.user("bob", `,"suspended_at":"2026-06-01T11:00:00Z"`)
	r := w.root().post("/v1/users", `{"username":"tim","email":"t@example.com"}`).is(201)
	tim, temporary := r.text("id"), r.text("temporary_password")
	w.pass(25 * time.Hour)

	ctx := enforce.WithEvent(t.Context(), &enforce.Event{RequestID: "r1", Client: "portal"})
	for _, c := range [][2]string{
		{"ada", goodPassword}, {"ada", "wrong"}, {"ada", "wrong"}, {"bob", goodPassword}, {"tim", temporary}, {"nobody-there", goodPassword},
	} {
		if _, _, err := w.room.Check(ctx, home, c[0], c[1]); err != nil && !errors.Is(err, storage.ErrNotFound) {
			t.Fatal(err)
		}
	}
	var got []string
	for _, e := range w.logins() {
		got = append(got, strings.Join([]string{e.Event, e.Actor, e.OnBehalf, e.Action, e.Outcome, e.Reason, e.RequestID, e.Target}, " "))
		if text := fmt.Sprintf("%+v", *e); strings.Contains(text, "nobody-there") || strings.Contains(text, goodPassword) {
			t.Errorf("an entry tells what was typed: %s", text)
		}
	}
	want := []string{
		"outcome application:portal user:" + ada + " login:password ok  r1 users/" + ada,
		"outcome application:portal  login:password refused wrong_password r1 users/" + ada, // the same guess again is none
		"outcome application:portal  login:password refused not_usable r1 users/" + bob,
		"outcome application:portal  login:password refused password_expired r1 users/" + tim,
		"outcome application:portal  login:password refused unknown_user r1 names/",
	}
	equal(t, "entries", len(got), len(want))
	for i := range want {
		if !strings.HasPrefix(got[i], want[i]) {
			t.Errorf("entry %d:\n got %s\nwant %s", i, got[i], want[i])
		}
	}
	n, err := identity.VerifyAudit(t.Context(), w.store, w.room.Chain())
	must(t, err)
	equal(t, "entries of the chain", n, int64(len(w.chain(w.room.Chain()))))
	figures := w.room.Figures()
	equal(t, "figures", fmt.Sprint(figures.Logins), "map[not_usable:1 ok:1 password_expired:1 unknown_user:1 wrong_password:1]")
	equal(t, "unwritten", figures.UnwrittenLogins, 0)
}

func TestWhoMustWaitIsCountedAndNotAudited(t *testing.T) {
	w := newWorld(t)
	w.user("ada", "")
	w.guess(strangers, "ada", 5)
	equal(t, "entries of counted failures", len(w.logins()), 5)
	for range 50 {
		if wait(t, w.check(strangers, "ada", goodPassword)) == 0 {
			t.Fatal("nobody waits")
		}
	}
	equal(t, "entries", len(w.logins()), 5)
	equal(t, "told to wait", w.room.Figures().ThrottledPeople, 50)
	t.Log("one entry for each step of the delay")
	for pause := time.Second; pause <= 4*time.Second; pause *= 2 {
		w.pass(pause)
		for n := range 3 {
			_ = w.check(strangers, "ada", fmt.Sprint("guess ", n, " after ", pause))
		}
	}
	equal(t, "entries three steps later", len(w.logins()), 8)
}

func TestAFloodOfFailuresIsCountedAndDoesNotFillTheStore(t *testing.T) {
	w := newWorld(t)
	for range 2000 {
		w.room.FailLogin(t.Context())
		w.room.Close() // so that the queue is never what is short
	}
	equal(t, "entries", len(w.logins()), identity.FailureBurst)
	equal(t, "unwritten", w.room.Figures().UnwrittenLogins, 2000-identity.FailureBurst)
	equal(t, "counted", w.room.Figures().Logins["wrong_password"], 2000)
	w.pass(time.Second)
	w.room.FailLogin(t.Context())
	entries := w.logins()
	equal(t, "entries a second later", len(entries), identity.FailureBurst+2)
	note := entries[len(entries)-2]
	equal(t, "the chain says how many are missing", note.Action+" "+note.Target, fmt.Sprintf("login:unwritten logins/%d", 2000-identity.FailureBurst))
	_, err := identity.VerifyAudit(t.Context(), w.store, w.room.Chain())
	must(t, err)
}

func TestLoginsThatCannotBeWrittenAreMissed(t *testing.T) {
	w := newWorld(t)
	w.user("ada", "")
	kind := storage.AuditKind.Name
	w.store.refuse.Store(&kind)
	must(t, w.check(home, "ada", goodPassword))
	must(t, w.check(home, "ada", goodPassword))
	equal(t, "entries", len(w.logins()), 0)
	w.store.refuse.Store(nil)
	must(t, w.check(home, "ada", goodPassword))
	entries := w.logins()
	equal(t, "entries", len(entries), 2)
	equal(t, "the first", entries[0].Action+" "+entries[0].Target, "login:unwritten logins/2")
	equal(t, "the second", entries[1].Outcome, "ok")
	equal(t, "unwritten", w.room.Figures().UnwrittenLogins, 2)
	if !strings.Contains(w.log.String(), "a login was not audited") {
		t.Error("nothing is logged")
	}
}

func TestAWrongPresentPasswordIsAudited(t *testing.T) {
	w := newWorld(t)
	id := w.user("ada", "")
	w.as("user:"+id).post("/v1/me/password", `{"current_password":"wrong","new_password":"another lantern 71"}`).want(400, "wrong_password")
	w.room.Close()
	entries := w.chain(w.room.Chain())
	last := entries[len(entries)-1]
	equal(t, "entry", last.Action+" "+last.Reason+" "+last.Target, "me:password wrong_password users/"+id)
}

func TestAFloodOfNamesHidesNoFailureOfAUserAndNoLogin(t *testing.T) {
	w := newWorld(t)
	w.user("ada", "")
	for range 2000 {
		w.room.FailUnknown(t.Context())
		w.room.Close()
	}
	equal(t, "entries of the flood", len(w.logins()), identity.UnknownBurst)
	equal(t, "unwritten", w.room.Figures().UnwrittenLogins, 2000-identity.UnknownBurst)
	_ = w.check(strangers, "ada", "wrong")
	must(t, w.check(home, "ada", goodPassword))
	entries := w.logins()
	got := entries[len(entries)-2].Reason + " " + entries[len(entries)-1].Outcome
	equal(t, "the last two entries", got, "wrong_password ok")
	for range 3 {
		w.room.FailUnknown(t.Context())
	}
	w.room.Close()
	must(t, w.room.TellMissing(t.Context()))
	must(t, w.room.TellMissing(t.Context()))
	entries = w.logins()
	last := entries[len(entries)-1]
	equal(t, "what the end tells", last.Action+" "+last.Target, "login:unwritten logins/3")
}
