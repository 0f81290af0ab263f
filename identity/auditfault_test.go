package identity_test

import (
	"encoding/json"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/writ-authz/writ/identity"
	"github.com/writ-authz/writ/storage"
)

// mutating lists the rows that change something, with the calls of rows(): all but the reads.
func mutating(t *testing.T, w *rowWorld) map[string]rowCase {
	t.Helper()
	cases := rows()
	cases["POST /v1/applications/{id}/secrets/{sid}/reveal"] = rowCase{
		permit: func(w *rowWorld) *reply {
			return w.as("user:boss,fresh").post(w.call("/v1/applications/billing/secrets/{sid}/reveal"), `{"reason":"migration"}`)
		},
		deny: func(w *rowWorld) *reply {
			return w.root().post(w.call("/v1/applications/billing/secrets/{sid}/reveal"), `{"reason":"migration"}`)
		},
	}
	cases["POST /v1/me/password"] = rowCase{
		permit: cases["POST /v1/me/password"].permit,
		deny: func(w *rowWorld) *reply {
			return w.as("user:owner,scope=me:password").post("/v1/me/password", `{"new_password":"another-lantern-43"}`)
		},
	}
	found := map[string]rowCase{}
	for _, route := range append(append(w.room.Routes(), w.room.MeRoutes()...), w.room.RevealRoutes()...) {
		if route.Method == "GET" {
			continue
		}
		name := route.Method + " " + route.Path
		row, ok := cases[name]
		if !ok {
			t.Fatalf("the route %s has no case", name)
		}
		found[name] = row
	}
	if len(found) < 30 {
		t.Fatalf("%d rows change something, want more", len(found))
	}
	return found
}

// state is everything that is stored beside the audit, and what was asked of the ports.
func (w *rowWorld) state() string {
	w.t.Helper()
	var all strings.Builder
	for _, kind := range storage.Kinds() {
		if slices.Contains([]string{storage.AuditKind.Name, storage.SecretUseKind.Name}, kind.Name) {
			continue
		}
		records, err := w.store.Store.List(w.t.Context(), kind, storage.Query{Limit: 1000})
		must(w.t, err)
		for _, r := range records {
			raw, err := json.Marshal(r)
			must(w.t, err)
			all.Write(append(raw, '\n'))
		}
	}
	return all.String() + w.sessions.list()
}

// soon is how long an audit that hangs is waited for. Where nothing hangs the bound is the one that ships: a busy machine is no fault.
const soon = 100 * time.Millisecond

func newFaultWorld(t *testing.T, bound time.Duration) *rowWorld {
	w := &rowWorld{world: newWorldWith(t, func(c *config) { c.AuditTimeout = bound })}
	w.furnish(t)
	w.world.user("boss", `,"roles":["system:owner"]`)
	w.world.user("owner", `,"grants":[{"resource":"ledger","action":"read"}]`)
	return w
}

// Where the audit fails or hangs, every row that changes something answers 503 and nothing is changed: not at the intent, and for a
// change of authority not at the outcome either. A denial that cannot be written down is an outage, too.
func TestWithoutTheAuditNoRowChangesAnything(t *testing.T) {
	w := newFaultWorld(t, soon)
	cases := mutating(t, w)
	kind := storage.AuditKind.Name
	before := w.state()
	for fault, set := range map[string]func(bool){
		"fails": func(on bool) {
			if w.store.refuse.Store(nil); on {
				w.store.spare.Store(0)
				w.store.refuse.Store(&kind)
			}
		},
		"hangs": w.store.hang.Store,
	} {
		for name, row := range cases {
			for which, call := range map[string]func(*rowWorld) *reply{"permitted": row.permit, "denied": row.deny} {
				t.Run(fault+"/"+which+" "+name, func(t *testing.T) {
					set(true)
					r := call(w)
					set(false)
					if r.status != 503 || r.header.Get("Retry-After") == "" {
						t.Fatalf("%s\n got %d %s, Retry-After %q\nwant 503", r.call, r.status, r.body, r.header.Get("Retry-After"))
					}
					if after := w.state(); after != before {
						t.Fatalf("%s changed something:\n%s\nbefore:\n%s", r.call, after, before)
					}
					w.pass(time.Minute) // reveals are counted by the minute
				})
			}
		}
	}
}

// outsideTransactions are the rows whose change is none of authority: their outcome is written after it.
func outsideTransactions() []string {
	return []string{
		"DELETE /v1/sessions", "DELETE /v1/sessions/{sid}", "DELETE /v1/me/sessions", "DELETE /v1/me/sessions/{sid}",
		"POST /v1/applications/{id}/secrets/{sid}/reveal", "POST /v1/export/verifiers",
	}
}

func TestAnAuthorityChangeIsLostWithItsOutcome(t *testing.T) {
	w := newFaultWorld(t, 0)
	before := w.state()
	for name, row := range mutating(t, w) {
		if slices.Contains(outsideTransactions(), name) {
			continue
		}
		t.Run(name, func(t *testing.T) {
			w.store.abort.Store(true)
			r := row.permit(w)
			w.store.abort.Store(false)
			if r.status != 503 || r.header.Get("Retry-After") == "" {
				t.Fatalf("%s\n got %d %s\nwant 503", r.call, r.status, r.body)
			}
			if after := w.state(); after != before {
				t.Fatalf("%s changed something:\n%s\nbefore:\n%s", r.call, after, before)
			}
		})
	}
}

// What was done and cannot be told of is no success either.
func TestAnOutcomeThatIsNotWrittenIsNoSuccess(t *testing.T) {
	kind := storage.AuditKind.Name
	for name, row := range mutating(t, newFaultWorld(t, 0)) {
		if !slices.Contains(outsideTransactions(), name) {
			continue
		}
		t.Run(name, func(t *testing.T) {
			w := newFaultWorld(t, 0)
			secret := w.root().post("/v1/applications/billing/secrets", `{}`).is(201)
			w.sid = secret.text("id")
			w.store.spare.Store(1)
			w.store.refuse.Store(&kind)
			r := row.permit(w)
			w.store.refuse.Store(nil)
			if r.status != 503 || r.header.Get("Retry-After") == "" || strings.Contains(r.body, secret.text("value")) {
				t.Fatalf("%s\n got %d %s\nwant 503", r.call, r.status, r.body)
			}
			chain := w.chain(w.room.Chain())
			equal(t, "last entry", chain[len(chain)-1].Event, "intent")
		})
	}
}

// watched is a sealer that counts what it opens.
type watched struct {
	identity.Sealer
	opened atomic.Int64
}

func (s *watched) Open(sealed []byte, associated string) ([]byte, error) {
	s.opened.Add(1)
	return s.Sealer.Open(sealed, associated)
}

// The order of reveal: decided, written down, decrypted, written down, sent.
func TestSeedL11NothingIsDecryptedBeforeItIsWrittenDown(t *testing.T) {
	var sealing *watched
	w := &rowWorld{world: newWorldWith(t, func(c *config) {
		sealing = &watched{Sealer: c.Sealer}
		c.Sealer, c.AuditTimeout = sealing, soon
	})}
	w.furnish(t)
	w.world.user("boss", `,"roles":["system:owner"]`)
	path, kind := w.call("/v1/applications/billing/secrets/{sid}/reveal"), storage.AuditKind.Name
	reveal := func() *reply { return w.as("user:boss,fresh").post(path, `{"reason":"migration"}`) }
	sealing.opened.Store(0)

	w.store.refuse.Store(&kind)
	reveal().is(503)
	w.store.refuse.Store(nil)
	equal(t, "opened while the audit fails", sealing.opened.Load(), 0)
	w.store.hang.Store(true)
	reveal().is(503)
	w.store.hang.Store(false)
	equal(t, "opened while the audit hangs", sealing.opened.Load(), 0)
	w.root().post(path, `{"reason":"migration"}`).is(403)
	equal(t, "opened for a denial", sealing.opened.Load(), 0)
	value := reveal().is(200).text("value")
	equal(t, "opened", sealing.opened.Load(), 1)
	w.works("billing", value, true)
	figures := w.room.Figures().Reveals
	equal(t, "failed", figures["failed"], 2)
	equal(t, "refused", figures["refused"], 1)
	equal(t, "ok", figures["ok"], 1)
	chain := w.chain(w.room.Chain())
	intent, outcome := chain[len(chain)-2], chain[len(chain)-1]
	equal(t, "entries", intent.Event+" "+outcome.Event+" "+outcome.Outcome+" "+intent.Reason, "intent outcome ok migration")
	for _, e := range chain {
		if raw, _ := json.Marshal(e); strings.Contains(string(raw), value) {
			t.Fatalf("the value is in the audit: %s", raw)
		}
	}
}

// Trying counts: whoever is refused, or asks for what cannot be read, has no more attempts than who succeeds.
func TestRefusedRevealsCountToo(t *testing.T) {
	w := newRowWorld(t)
	w.world.user("boss", `,"roles":["system:owner"]`)
	path := w.call("/v1/applications/billing/secrets/{sid}/reveal")
	stale, fresh := w.as("user:boss,stale"), w.as("user:boss,fresh")
	for range 5 {
		stale.post(path, `{"reason":"x"}`).is(403)
		fresh.post("/v1/applications/billing/secrets/none/reveal", `{"reason":"x"}`).is(404)
	}
	equal(t, "Retry-After", stale.post(path, `{"reason":"x"}`).is(429).header.Get("Retry-After"), "60")
	fresh.post(path, `{"reason":"x"}`).is(429)
	w.root().post(path, `{"reason":"x"}`).is(403) // each has an own count
	chain := w.chain(w.room.Chain())
	refused := 0
	for _, e := range chain {
		if e.Action == "iam/applications:reveal" && e.Outcome == "refused" {
			refused++
		}
	}
	equal(t, "refusals in the audit", refused, 7)
	equal(t, "limited", w.room.Figures().Reveals["limited"], 1)
	w.pass(time.Minute)
	fresh.post(path, `{"reason":"x"}`).is(200)
}
