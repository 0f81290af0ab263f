package identity_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/writ-authz/writ/identity"
	"github.com/writ-authz/writ/storage"
	"github.com/writ-authz/writ/storage/sqlite"
)

// anchored is an anchor in memory, which can fail.
type anchored struct {
	lines [][]byte
	fail  error
}

func (a *anchored) Write(_ context.Context, line []byte) error {
	if a.fail == nil {
		a.lines = append(a.lines, slices.Clone(line))
	}
	return a.fail
}

func (a *anchored) checkpoints(t *testing.T) []identity.Checkpoint {
	t.Helper()
	all := []identity.Checkpoint{}
	for _, line := range a.lines {
		var c identity.Checkpoint
		must(t, json.Unmarshal(line, &c))
		all = append(all, c)
	}
	return all
}

// auditTrail is an audit with two runs of a node: 5 and 4 entries beside those of the authority, with a checkpoint behind each.
type auditTrail struct {
	dir           string
	key           ed25519.PublicKey
	anchor        *anchored
	first, second string // the chains of the two runs
	last          int64  // sequence of the authority chain
}

func writeAudit(t *testing.T) *auditTrail {
	t.Helper()
	needFiles(t)
	a := &auditTrail{anchor: &anchored{}}
	w := unstarted(t, func(c *config) { c.Anchor = a.anchor })
	a.dir = w.dir
	run := func(groups ...string) string {
		var err error
		a.key, err = w.room.SignAudit(t.Context())
		must(t, err)
		_, err = w.room.Bootstrap(t.Context(), rootSecret)
		must(t, err)
		for _, id := range groups {
			w.root().put("/v1/groups/"+id, `{"name":"x"}`).is(201)
			must(t, w.room.Checkpoint(t.Context()))
		}
		w.room.Close()
		return w.room.Chain()
	}
	a.first = run("a", "b", "c")
	w.open()
	a.second = run("d", "e", "f", "g")
	var err error
	a.last, err = w.store.Sequence(t.Context())
	must(t, err)
	must(t, w.store.Close())
	return a
}

// edited is a copy of the database after statements of somebody who may write to its file.
func (a *auditTrail) edited(t *testing.T, edit func(*sql.DB)) storage.Store {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "data")
	must(t, os.CopyFS(dir, os.DirFS(a.dir)))
	must(t, os.Chmod(dir, 0o700))
	db, err := sql.Open("sqlite", filepath.Join(dir, "writ.db"))
	must(t, err)
	edit(db)
	must(t, db.Close())
	store, err := sqlite.Open(t.Context(), sqlite.Config{Dir: dir, Now: start})
	must(t, err)
	t.Cleanup(func() { _ = store.Close() })
	return store
}

func verify(t *testing.T, store storage.Store, key ed25519.PublicKey, anchor []identity.Checkpoint) *identity.AuditReport {
	t.Helper()
	stored, err := identity.StoredCheckpoints(t.Context(), store)
	must(t, err)
	report, err := identity.VerifyTrail(t.Context(), identity.StoredTrail{Reader: store}, identity.AuditEvidence{
		Key: key, Stored: stored, Anchored: anchor, Changes: store.Changes,
	})
	must(t, err)
	return report
}

// exec runs statements; %[1]s and %[2]s are the chains of the two runs.
func (a *auditTrail) exec(t *testing.T, db *sql.DB, statements ...string) {
	t.Helper()
	for _, s := range statements {
		s = strings.NewReplacer("{first}", a.first, "{second}", a.second, "{last}", fmt.Sprintf("authority/%016d", a.last)).Replace(s)
		done, err := db.Exec(s)
		must(t, err)
		if n, err := done.RowsAffected(); err != nil || n == 0 {
			t.Fatalf("%s changed %d rows: %v", s, n, err)
		}
	}
}

const (
	ofAudit       = "kind = (SELECT kind FROM kinds WHERE name = 'audit')"
	ofCheckpoints = "kind = (SELECT kind FROM kinds WHERE name = 'audit_checkpoints')"
	unindexed     = "DELETE FROM filters WHERE doc NOT IN (SELECT doc FROM documents)"
)

func TestTheAuditVerifiesAndAnyEditOfTheDatabaseFileIsNamed(t *testing.T) {
	a := writeAudit(t)
	whole := verify(t, a.edited(t, func(*sql.DB) {}), a.key, a.anchor.checkpoints(t))
	equal(t, "broken", fmt.Sprint(whole.Broken), "[]")
	equal(t, "checkpoints", whole.Checkpoints, 7)
	equal(t, "anchored", whole.Anchored, 7)
	counted := map[string]int64{}
	for _, c := range whole.Chains {
		counted[c.Chain] = c.Entries
	}
	if want := map[string]int64{"authority": 9, a.first: 5, a.second: 4}; !maps.Equal(counted, want) {
		t.Fatalf("entries %v, want %v", counted, want)
	}
	replaceIn := func(id, was, is string) string {
		return "UPDATE documents SET body = CAST(replace(CAST(body AS TEXT), '" + was + "', '" + is + "') AS BLOB) WHERE " + ofAudit +
			" AND id = '" + id + "'"
	}
	rename := func(was, is string) string {
		return "UPDATE documents SET id = replace(id, '" + was + "', '" + is + "'), body = CAST(replace(CAST(body AS TEXT), '" + was + "', '" + is +
			"') AS BLOB) WHERE " + ofAudit + " AND id LIKE '" + was + "/%'"
	}
	behind := func(chain, seq string) []string {
		return []string{"DELETE FROM documents WHERE " + ofAudit + " AND id LIKE '" + chain + "/%' AND id > '" + chain + "/" + seq + "'", unindexed}
	}
	noCheckpoints := func(more ...string) []string {
		return append(more, "DELETE FROM documents WHERE "+ofCheckpoints, unindexed)
	}
	for name, c := range map[string]struct {
		edit  []string
		chain string
		seq   int64
		why   string
		blind bool // without the anchor nothing is seen
	}{
		"an entry of a node is edited": {
			edit: []string{replaceIn("{first}/0000000000000003", "application:root", "application:evil")}, chain: a.first, seq: 3, why: "changed",
		},
		"an outcome is edited": {
			edit: []string{replaceIn("authority/0000000000000004", `"ok"`, `"no"`)}, chain: "authority", seq: 4, why: "changed",
		},
		"the tenant of an entry is edited": {
			edit: []string{replaceIn("{second}/0000000000000002", `"action"`, `"tenant":"acme","action"`)}, chain: a.second, seq: 2, why: "changed",
		},
		"an entry of a node is deleted": {
			edit: []string{"DELETE FROM documents WHERE id = '{first}/0000000000000003'", unindexed}, chain: a.first, seq: 3, why: "tells of it, and it is missing",
		},
		"an entry of the authority is deleted": {
			edit:  []string{"DELETE FROM documents WHERE id = 'authority/0000000000000004'", unindexed},
			chain: "authority", seq: 4, why: "missing",
		},
		"the first entry of a node is deleted": {
			edit: []string{"DELETE FROM documents WHERE " + ofAudit + " AND id = '{second}/0000000000000001'", unindexed}, chain: a.second, seq: 1, why: "tells of it, and it is missing",
		},
		"two entries change places": {
			edit: []string{
				"UPDATE documents SET id = 'aside' WHERE id = '{first}/0000000000000002' AND " + ofAudit,
				"UPDATE documents SET id = '{first}/0000000000000002' WHERE id = '{first}/0000000000000003' AND " + ofAudit,
				"UPDATE documents SET id = '{first}/0000000000000003' WHERE id = 'aside'",
			}, chain: a.first, seq: 3, why: "an entry before it is missing",
		},
		"two chains change places": {
			edit: []string{
				rename("{first}", "aside"), rename("{second}", "{first}"), rename("aside", "{second}"),
			}, chain: a.first, seq: 1, why: "changed",
		},
		"the end of a node's chain is cut off": {
			edit: behind("{second}", "0000000000000002"), chain: a.second, seq: 3, why: "tells of it, and it is missing",
		},
		"the end is cut off together with the checkpoints": {
			edit: noCheckpoints(behind("{second}", "0000000000000002")...), chain: a.second, seq: 1, why: "anchor is not in the store", blind: true,
		},
		"a whole run is deleted, with its checkpoints": {
			edit:  []string{"DELETE FROM documents WHERE id LIKE '{first}/%'", unindexed},
			chain: a.first, seq: 3, why: "anchor is not in the store", blind: true,
		},
		"the end of the authority chain is cut off": {
			edit: behind("authority", "0000000000000006"), chain: "authority", seq: 7, why: "missing",
		},
		"the end of the authority chain is cut off together with the checkpoints": {
			edit: noCheckpoints(behind("authority", "0000000000000006")...), chain: "authority", seq: 7, why: "missing",
		},
		"and with the changes": {
			edit:  noCheckpoints(append(behind("authority", "0000000000000006"), "DELETE FROM changes WHERE sequence > 6")...),
			chain: "authority", seq: 7, why: "tells of it, and it is missing", blind: true,
		},
		"a checkpoint is forged": {
			edit: []string{
				"UPDATE documents SET body = CAST(replace(CAST(body AS TEXT), '\"seq\":3', '\"seq\":2') AS BLOB) WHERE id = '{first}/0000000000000001' AND " +
					ofCheckpoints,
			}, chain: a.first, seq: 2, why: "no good signature",
		},
		"a checkpoint is deleted": {
			edit: []string{"DELETE FROM documents WHERE id = '{first}/0000000000000002' AND " + ofCheckpoints, unindexed}, chain: a.first, seq: 4, why: "anchor is not in the store",
		},
		"the authority chain begins anew": {
			edit:  []string{"DELETE FROM documents WHERE id < 'authority/0000000000000003' AND " + ofAudit, unindexed},
			chain: "authority", seq: 2, why: "has no entry",
		},
	} {
		t.Run(name, func(t *testing.T) {
			store := a.edited(t, func(db *sql.DB) { a.exec(t, db, c.edit...) })
			report := verify(t, store, a.key, a.anchor.checkpoints(t))
			i := slices.IndexFunc(report.Broken, func(e *identity.ChainError) bool { return e.Chain == c.chain })
			if i < 0 {
				t.Fatalf("broken: %v, want %s", report.Broken, c.chain)
			}
			if got := report.Broken[i]; got.Seq != c.seq || !strings.Contains(got.Why, c.why) {
				t.Errorf("got %v, want entry %d: %s", got, c.seq, c.why)
			}
			alone := verify(t, store, a.key, nil)
			if blind := len(alone.Broken) == 0; blind != c.blind {
				t.Errorf("without the anchor: %v", alone.Broken)
			}
		})
	}
}

// A forger who rewrites an entry and everything behind it leaves a whole chain: the checkpoints and the anchor tell, and they alone.
func TestARewrittenChainIsSeenByItsCheckpoints(t *testing.T) {
	a := writeAudit(t)
	store := a.edited(t, func(*sql.DB) {})
	entries, err := storage.List[storage.AuditEntry](t.Context(), store, storage.Query{Equal: map[string][]string{"chain": {a.second}}, Limit: 100})
	must(t, err)
	for i, e := range entries {
		if i >= 1 {
			e.Actor, e.Prev = "application:innocent", entries[i-1].Hash
			identity.Rehash(e)
			must(t, store.Update(t.Context(), e))
		}
	}
	report := verify(t, store, a.key, nil)
	equal(t, "broken", len(report.Broken), 1)
	equal(t, "where", report.Broken[0].Chain+fmt.Sprint(report.Broken[0].Seq), a.second+"2")
	checkpoints, err := storage.List[storage.AuditCheckpoint](t.Context(), store, storage.Query{Limit: 100})
	must(t, err)
	for _, c := range checkpoints {
		must(t, store.Delete(t.Context(), storage.AuditCheckpointKind, c.ID, c.Version))
	}
	equal(t, "broken without checkpoints", len(verify(t, store, a.key, nil).Broken), 0)
	report = verify(t, store, a.key, a.anchor.checkpoints(t))
	if len(report.Broken) == 0 {
		t.Fatal("the anchor saw nothing")
	}
}

// Only the key's holder makes checkpoints: those of another are none, whatever public key they carry.
func TestACheckpointOfAnotherKeyIsNone(t *testing.T) {
	a := writeAudit(t)
	public, private, err := ed25519.GenerateKey(bytes.NewReader(bytes.Repeat([]byte{7}, 64)))
	must(t, err)
	anchor := a.anchor.checkpoints(t)
	if !anchor[0].SignedBy(a.key) || anchor[0].SignedBy(public) {
		t.Fatal("a signature is good by the key that made it, and by no other")
	}
	forged := anchor[3]
	forged.Key, forged.Signature = public, ed25519.Sign(private, []byte("writ audit checkpoint\n"))
	anchor[3] = forged
	report := verify(t, a.edited(t, func(*sql.DB) {}), a.key, anchor)
	equal(t, "broken", len(report.Broken), 1)
	if !strings.Contains(report.Broken[0].Why, "checkpoint 1 of the anchor has no good signature") {
		t.Fatal(report.Broken[0])
	}
	slices.Reverse(anchor)
	anchor = slices.DeleteFunc(anchor, func(c identity.Checkpoint) bool { return !c.SignedBy(a.key) })
	report = verify(t, a.edited(t, func(*sql.DB) {}), a.key, anchor)
	if len(report.Broken) == 0 || !strings.Contains(report.Broken[0].Why, "out of order") {
		t.Fatalf("a turned-round anchor: %v", report.Broken)
	}
}

func TestAPartOfOneChainIsVerifiedByItself(t *testing.T) {
	a := writeAudit(t)
	store := a.edited(t, func(db *sql.DB) {
		a.exec(t, db, "DELETE FROM documents WHERE id = '{first}/0000000000000002' AND "+ofAudit, unindexed)
	})
	look := func(from, to int64) (entries int64, broken string) {
		report, err := identity.VerifyTrail(t.Context(), identity.StoredTrail{Reader: store}, identity.AuditEvidence{
			Key: a.key, Chain: a.first, From: from, To: to, Anchored: a.anchor.checkpoints(t),
		})
		must(t, err)
		for _, e := range report.Broken {
			broken += fmt.Sprint(e.Seq)
		}
		return report.Chains[0].Entries, broken
	}
	for _, c := range []struct {
		from, to, entries int64
		broken            string
	}{{0, 0, 1, "3"}, {3, 0, 3, ""}, {3, 4, 2, ""}, {2, 4, 0, "3"}, {1, 1, 1, ""}} {
		entries, broken := look(c.from, c.to)
		if entries != c.entries || broken != c.broken {
			t.Errorf("%d to %d: %d entries, broken %q, want %d and %q", c.from, c.to, entries, broken, c.entries, c.broken)
		}
	}
}

func TestCheckpointsAreWrittenWhenThereIsSomethingNew(t *testing.T) {
	anchor := &anchored{}
	w := newWorldWith(t, func(c *config) { c.Anchor, c.CheckpointEntries = anchor, 4 })
	must(t, w.room.Checkpoint(t.Context()))
	equal(t, "without a key", len(anchor.lines), 0)
	key, err := w.room.SignAudit(t.Context())
	must(t, err)
	must(t, w.room.Checkpoint(t.Context()))
	must(t, w.room.Checkpoint(t.Context()))
	equal(t, "with nothing new behind it", len(anchor.lines), 1)
	again, err := w.room.SignAudit(t.Context())
	must(t, err)
	if !key.Equal(again) {
		t.Fatal("the key was made twice")
	}

	t.Log("the anchor fails: the store has the checkpoint, and the anchor gets it later")
	anchor.fail = errors.New("disk full")
	w.root().put("/v1/groups/a", `{"name":"x"}`).is(201)
	if err := w.room.Checkpoint(t.Context()); err == nil {
		t.Fatal("a failed anchor is not told of")
	}
	w.root().put("/v1/groups/b", `{"name":"x"}`).is(201) // a checkpoint is evidence and no permission
	anchor.fail = nil
	must(t, w.room.Checkpoint(t.Context()))
	must(t, w.room.Checkpoint(t.Context()))
	equal(t, "lines", len(anchor.lines), 2)
	equal(t, "number", anchor.checkpoints(t)[1].Number, 3)
	equal(t, "failures", w.room.Figures().CheckpointFailures, 1)
	equal(t, "made", w.room.Figures().Checkpoints, 3)

	t.Log("the store fails: nothing is anchored that it does not have")
	kind := storage.AuditCheckpointKind.Name
	w.root().put("/v1/groups/c", `{"name":"x"}`).is(201)
	w.store.refuse.Store(&kind)
	if err := w.room.Checkpoint(t.Context()); err == nil {
		t.Fatal("a failed store is not told of")
	}
	equal(t, "lines", len(anchor.lines), 2)
	w.store.refuse.Store(nil)
	must(t, w.room.Checkpoint(t.Context()))
	equal(t, "lines", len(anchor.lines), 3)
	report := verify(t, w.store, key, anchor.checkpoints(t))
	equal(t, "broken", fmt.Sprint(report.Broken), "[]")
}

// Enough entries call for a checkpoint without a wait for the time.
func TestEnoughEntriesCallForACheckpoint(t *testing.T) {
	anchor := make(told, 10)
	w := newWorldWith(t, func(c *config) { c.Anchor, c.CheckpointEntries = anchor, 4 })
	_, err := w.room.SignAudit(t.Context())
	must(t, err)
	must(t, w.room.Checkpoint(t.Context()))
	<-anchor
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); w.room.RunCheckpoints(ctx, time.Hour) }()
	for _, id := range []string{"a", "b", "c"} {
		w.root().put("/v1/groups/"+id, `{"name":"x"}`).is(201)
	}
	var c identity.Checkpoint
	must(t, json.Unmarshal(<-anchor, &c))
	if c.Seq < 3 {
		t.Fatalf("the checkpoint is of entry %d", c.Seq)
	}
	cancel()
	<-done
}

// told is an anchor that somebody waits for.
type told chan []byte

func (a told) Write(_ context.Context, line []byte) error { a <- slices.Clone(line); return nil }

// The key of checkpoints is sealed: neither the store nor an anchor has what signs.
func TestTheKeyOfCheckpointsIsSealed(t *testing.T) {
	w := newWorld(t)
	key, err := w.room.SignAudit(t.Context())
	must(t, err)
	setting, err := storage.Get[storage.Setting](t.Context(), w.store, "audit_key")
	must(t, err)
	var stored map[string][]byte
	must(t, json.Unmarshal(setting.Value, &stored))
	if !key.Equal(ed25519.PublicKey(stored["public"])) || len(stored) != 2 {
		t.Fatalf("stored: %v", slices.Sorted(maps.Keys(stored)))
	}
	seed, err := w.sealer.Open(stored["sealed"], "setting|audit_key")
	must(t, err)
	if bytes.Contains(setting.Value, seed) || bytes.Contains(stored["sealed"], seed) {
		t.Fatal("the private half is in the store")
	}
	found, err := identity.AuditKey(t.Context(), w.store, w.sealer)
	must(t, err)
	if !key.Equal(found) {
		t.Fatal("the public half is that of the sealed one")
	}
	if _, err := identity.AuditKey(t.Context(), w.store, sealer(t)); err == nil {
		t.Fatal("another key encryption key opens it")
	}
}
