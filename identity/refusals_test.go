package identity_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/writ-authz/writ/identity"
	"github.com/writ-authz/writ/storage"
)

// refusedEntries are the refusals of an actor in the node's chain.
func (w *world) refusedEntries(actor string) (entries []*storage.AuditEntry) {
	w.t.Helper()
	for _, e := range w.chain(w.room.Chain()) {
		if e.Actor == actor && e.Outcome == "refused" {
			entries = append(entries, e)
		}
	}
	return entries
}

// tellOf is how many refusals the entries tell of: themselves, and those that they count.
func tellOf(entries []*storage.AuditEntry) (n int64) {
	for _, e := range entries {
		n += 1 + e.LeftOut
	}
	return n
}

func TestAFloodOfRefusalsIsCountedAndNoneIsForgotten(t *testing.T) {
	w := newWorld(t)
	w.application("nobody", "")
	w.application("other", "")
	const flood, actor = identity.RefusalBurst + 140, "application:nobody"
	for range flood {
		w.as(actor).post("/v1/groups", `{"name":"x"}`).refused("not_granted")
	}
	equal(t, "entries of the flood", len(w.refusedEntries(actor)), identity.RefusalBurst)
	equal(t, "left out", w.room.Figures().RefusalsLeftOut, flood-identity.RefusalBurst)

	// Nobody else is held up or counted by it, and what is permitted has both halves as before.
	w.as("application:other").post("/v1/groups", `{"name":"x"}`).refused("not_granted")
	equal(t, "entries of another", tellOf(w.refusedEntries("application:other")), 1)
	w.root().put("/v1/groups/g1", `{"name":"One"}`).is(201)
	w.audited("iam/groups:put", "groups/g1")

	// The next one that has room counts them.
	w.pass(time.Second)
	w.as(actor).post("/v1/groups", `{"name":"x"}`).refused("not_granted")
	entries := w.refusedEntries(actor)
	equal(t, "what the next entry counts", entries[len(entries)-1].LeftOut, flood-identity.RefusalBurst)
	equal(t, "refusals that the audit tells of", tellOf(entries), flood+1)
	_, err := identity.VerifyAudit(t.Context(), w.store, w.room.Chain())
	must(t, err)
	page := w.root().get("/v1/audit?outcome=refused&limit=100&actor=" + actor).is(200).body
	if !strings.Contains(page, fmt.Sprintf(`"left_out":%d`, flood-identity.RefusalBurst)) {
		t.Errorf("the list does not show the count: %s", page)
	}
}

// What was left out is written down by the next checkpoint, or at the end, also where nobody asks any more. It is told in the tenant
// in which it was tried.
func TestWhatWasLeftOutIsToldWithoutAnotherRefusal(t *testing.T) {
	for name, tell := range map[string]func(w *world) error{
		"a checkpoint": func(w *world) error { w.pass(time.Minute); return w.room.Checkpoint(t.Context()) },
		"the end":      func(w *world) error { return w.room.TellMissing(t.Context()) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			for _, id := range []string{"acme", "globex"} {
				w.root().put("/v1/tenants/"+id, `{"name":"T"}`).is(201)
			}
			w.application("nobody", "")
			const actor = "application:nobody"
			try := func(tenant string, times int) {
				for range times {
					w.as(actor).post("/v1/groups", `{"name":"x","tenant":"`+tenant+`"}`).refused("not_granted")
				}
			}
			try("acme", identity.RefusalBurst+3)
			try("globex", 2)
			if name == "a checkpoint" { // there is no room for entries yet
				must(t, w.room.Checkpoint(t.Context()))
				equal(t, "entries", len(w.refusedEntries(actor)), identity.RefusalBurst)
			}

			// A store that takes nothing loses no count.
			kind := storage.AuditKind.Name
			w.store.refuse.Store(&kind)
			if err := tell(w); err == nil {
				t.Error("the audit is away, and nobody says so")
			}
			w.store.refuse.Store(nil)
			must(t, tell(w))
			must(t, tell(w))
			counts := map[storage.TenantID]int64{}
			entries := w.refusedEntries(actor)
			for _, e := range entries[identity.RefusalBurst:] {
				counts[e.Tenant] += 1 + e.LeftOut
			}
			equal(t, "told", fmt.Sprint(counts, len(entries)-identity.RefusalBurst), "map[acme:3 globex:2] 2")
		})
	}
}

// Which secret somebody was after is not hidden behind other refusals.
func TestAttemptsToReadSecretsHaveAPaceOfTheirOwn(t *testing.T) {
	w := newWorld(t)
	w.application("nobody", "")
	const actor = "application:nobody"
	for range identity.RefusalBurst + 1 {
		w.as(actor).post("/v1/groups", `{"name":"x"}`).refused("not_granted")
	}
	w.as(actor).post("/v1/export/verifiers", `{"kind":"user"}`).is(403)
	entries := w.refusedEntries(actor)
	equal(t, "the last entry", entries[len(entries)-1].Action, "iam/verifiers:export")
}

// Who finds no room shares a pace with others, and tenants beyond a number are counted together.
func TestPacesOfRefusalsAreBounded(t *testing.T) {
	w := newWorld(t)
	written, told := identity.FloodOfRefusals(w.now(), 3*identity.MaxRefusedCallers, 1)
	equal(t, "callers", written, identity.MaxRefusedCallers+identity.RefusalBurst)
	equal(t, "told of them", told, 3*identity.MaxRefusedCallers)
	written, told = identity.FloodOfRefusals(w.now(), 1, 1000)
	equal(t, "of one caller in many tenants", written, identity.RefusalBurst)
	equal(t, "told of it", told, 1000)
}
