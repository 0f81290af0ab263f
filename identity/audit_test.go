package identity_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/writ-authz/writ/identity"
	"github.com/writ-authz/writ/storage"
)

func (w *world) chain(name string) []*storage.AuditEntry {
	w.t.Helper()
	entries, err := storage.List[storage.AuditEntry](w.t.Context(), w.store.Store, storage.Query{
		Equal: map[string][]string{"chain": {name}}, Limit: 1000,
	})
	must(w.t, err)
	return entries
}

func TestEveryChangeHasAnIntentBeforeAndAnOutcomeInItsTransaction(t *testing.T) {
	w := newWorld(t)
	r := w.root().put("/v1/groups/g1", `{"name":"One"}`).is(201)
	decision := r.header.Get("Decision-Id")
	own := w.chain(w.room.Chain())
	intent := own[len(own)-1]
	equal(t, "intent", intent.Event+" "+intent.Action+" "+intent.Target+" "+intent.Actor, "intent iam/groups:put groups/g1 application:root")
	equal(t, "decision of the intent", intent.DecisionID, decision)
	equal(t, "request", intent.RequestID, "request")
	common := w.chain(identity.AuthorityChain)
	outcome := common[len(common)-1]
	equal(t, "outcome", outcome.Event+" "+outcome.Outcome+" "+outcome.Target, "outcome ok groups/g1")
	equal(t, "decision of the outcome", outcome.DecisionID, decision)
	sequence, err := w.store.Sequence(t.Context())
	must(t, err)
	equal(t, "sequence", outcome.Seq, sequence)
	equal(t, "versions", [2]int64{outcome.FromVersion, outcome.ToVersion}, [2]int64{0, 1})
	if outcome.PolicyRevision == "" {
		t.Fatal("the outcome has no policy revision")
	}
}

func TestRefusalsAreAuditedInTheNodesChain(t *testing.T) {
	w := newWorld(t)
	w.application("nobody", "")
	w.as("application:nobody").post("/v1/groups", `{"name":"x"}`).is(403)
	own := w.chain(w.room.Chain())
	last := own[len(own)-1]
	equal(t, "entry", last.Event+" "+last.Outcome+" "+last.Reason+" "+last.Actor, "outcome refused not_granted application:nobody")
}

func TestTheChainsHold(t *testing.T) {
	w := newWorld(t)
	for _, id := range []string{"a", "b", "c"} {
		w.root().put("/v1/groups/"+id, `{"name":"x"}`).is(201)
	}
	first := w.room.Chain()
	w.open()
	w.root().put("/v1/groups/d", `{"name":"x"}`).is(201)
	if w.room.Chain() == first {
		t.Fatal("a restart begins a chain of its own")
	}
	for chain, want := range map[string]int64{identity.AuthorityChain: 5, first: 4, w.room.Chain(): 1} {
		n, err := identity.VerifyAudit(t.Context(), w.store, chain)
		must(t, err)
		equal(t, "entries of "+chain, n, want)
	}
	equal(t, "what the new chain stands on", w.chain(w.room.Chain())[0].Prev, w.chain(identity.AuthorityChain)[3].Hash)
}

func TestTamperingWithAChainIsSeen(t *testing.T) {
	tampering := map[string]func([]*storage.AuditEntry) []*storage.AuditEntry{
		"edited": func(es []*storage.AuditEntry) []*storage.AuditEntry {
			es[1].Actor = "application:innocent"
			return es
		},
		"edited with a fitting hash": func(es []*storage.AuditEntry) []*storage.AuditEntry {
			es[1].Actor = "application:innocent"
			identity.Rehash(es[1])
			return es
		},
		"outcome edited": func(es []*storage.AuditEntry) []*storage.AuditEntry {
			es[2].Outcome = "refused"
			return es
		},
		"deleted": func(es []*storage.AuditEntry) []*storage.AuditEntry { return slices.Delete(es, 1, 2) },
		"reordered": func(es []*storage.AuditEntry) []*storage.AuditEntry {
			es[1].Seq, es[2].Seq = es[2].Seq, es[1].Seq
			es[1].ID, es[2].ID = es[2].ID, es[1].ID
			identity.Rehash(es[1])
			identity.Rehash(es[2])
			es[1], es[2] = es[2], es[1]
			return es
		},
		"moved": func(es []*storage.AuditEntry) []*storage.AuditEntry {
			es[3].ID = storage.AuditID(es[3].Chain, es[3].Seq+7)
			return es
		},
	}
	w := newWorld(t)
	for _, id := range []string{"a", "b", "c", "d"} {
		w.root().put("/v1/groups/"+id, `{"name":"x"}`).is(201)
	}
	for _, chain := range []string{identity.AuthorityChain, w.room.Chain()} {
		for name, tamper := range tampering {
			t.Run(name+" in "+strings.SplitN(chain, "/", 2)[0], func(t *testing.T) {
				entries := tamper(w.chain(chain))
				_, err := identity.VerifyAudit(t.Context(), forged{w.store.Store, entries}, chain)
				var broken *identity.ChainError
				if !errors.As(err, &broken) {
					t.Fatalf("got %v, want a ChainError", err)
				}
			})
		}
	}
}

// forged is a store whose audit entries are others.
type forged struct {
	storage.Reader
	entries []*storage.AuditEntry
}

func (f forged) List(_ context.Context, _ storage.Kind, q storage.Query) ([]storage.Record, error) {
	var out []storage.Record
	for _, e := range f.entries {
		if e.ID > q.After {
			out = append(out, e)
		}
	}
	return out, nil
}

func TestAChainGoesOnBehindAWriteThatOnlySeemedToFail(t *testing.T) {
	w := newWorld(t)
	lost := &losing{Store: w.store.Store}
	w.store.Store = lost
	w.root().put("/v1/groups/a", `{"name":"x"}`).is(201)
	lost.next.Store(true)
	w.root().put("/v1/groups/b", `{"name":"x"}`).is(503)
	w.root().get("/v1/groups/b").is(404)
	w.root().put("/v1/groups/b", `{"name":"x"}`).is(201)
	n, err := identity.VerifyAudit(t.Context(), w.store, w.room.Chain())
	must(t, err)
	equal(t, "entries", n, 4) // of the bootstrap, of a, the lost one of b, and of b
}

// losing is a store that loses the reply of one audit write.
type losing struct {
	storage.Store
	next atomic.Bool
}

func (l *losing) Insert(ctx context.Context, r storage.Record) error {
	err := l.Store.Insert(ctx, r)
	if err == nil && r.Kind().Name == storage.AuditKind.Name && l.next.CompareAndSwap(true, false) {
		return storage.ErrUnavailable
	}
	return err
}
