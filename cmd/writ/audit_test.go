package main_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/writ-authz/writ/storage"
	"github.com/writ-authz/writ/storage/mongo"
	"github.com/writ-authz/writ/storage/sqlite"
)

// trail is what an audit test edits: a store that no server has open.
type trail struct {
	env, args []string
	open      func() (storage.Store, error)
}

// trails are a store in a directory, and a MongoDB where one is named.
func trails(t *testing.T) map[string]trail {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "data")
	all := map[string]trail{"sqlite": {
		args: []string{"--data-dir", dir},
		open: func() (storage.Store, error) {
			return sqlite.Open(t.Context(), sqlite.Config{Dir: dir, Now: time.Now})
		},
	}}
	server := os.Getenv("WRIT_TEST_MONGODB_URI")
	if server == "" {
		t.Log("no WRIT_TEST_MONGODB_URI: on the embedded store alone")
		return all
	}
	kek := filepath.Join(t.TempDir(), "kek")
	if err := os.WriteFile(kek, []byte("MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	uri := server + "/audit" + strconv.FormatInt(time.Now().UnixNano(), 36)
	all["mongo"] = trail{
		env: []string{"WRIT_MONGODB_URI=" + uri, "WRIT_KEK_FILE=" + kek},
		open: func() (storage.Store, error) {
			return mongo.Open(t.Context(), mongo.Config{URI: uri, Now: time.Now})
		},
	}
	return all
}

// auditOf returns the audit of a store: the entries of its one node, and its checkpoints.
func auditOf(t *testing.T, s storage.Store) (node []*storage.AuditEntry, checkpoints []*storage.AuditCheckpoint) {
	t.Helper()
	entries, err := storage.List[storage.AuditEntry](t.Context(), s, storage.Query{Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Chain != "authority" {
			node = append(node, e)
		}
	}
	if checkpoints, err = storage.List[storage.AuditCheckpoint](t.Context(), s, storage.Query{Limit: 1000}); err != nil {
		t.Fatal(err)
	}
	if len(node) < 4 || len(checkpoints) == 0 {
		t.Fatalf("a start left %d entries and %d checkpoints", len(node), len(checkpoints))
	}
	return node, checkpoints
}

func TestAuditVerifyNamesWhatWasDoneToAStore(t *testing.T) {
	remove := func(ctx context.Context, s storage.Store, r storage.Record) error {
		return s.Delete(ctx, r.Kind(), r.RecordMeta().ID, r.RecordMeta().Version)
	}
	type edit struct {
		name string
		do   func(ctx context.Context, s storage.Store, node []*storage.AuditEntry, checkpoints []*storage.AuditCheckpoint) error
		says string
		// blind says that the anchor alone tells.
		blind bool
	}
	edits := []edit{
		{"an entry is edited", func(ctx context.Context, s storage.Store, node []*storage.AuditEntry, _ []*storage.AuditCheckpoint) error {
			node[1].Actor = "application:innocent"
			return s.Update(ctx, node[1])
		}, "entry 2: the entry was changed", false},
		{"an entry is deleted", func(ctx context.Context, s storage.Store, node []*storage.AuditEntry, _ []*storage.AuditCheckpoint) error {
			return remove(ctx, s, node[1])
		}, "entry 3: an entry before it is missing", false},
		{"two entries change places", func(ctx context.Context, s storage.Store, node []*storage.AuditEntry, _ []*storage.AuditCheckpoint) error {
			first, second := *node[1], *node[2]
			first.Meta, second.Meta = node[2].Meta, node[1].Meta
			if err := s.Update(ctx, &first); err != nil {
				return err
			}
			return s.Update(ctx, &second)
		}, "the entry was moved", false},
		{"the end is cut off", func(ctx context.Context, s storage.Store, node []*storage.AuditEntry, _ []*storage.AuditCheckpoint) error {
			return remove(ctx, s, node[len(node)-1])
		}, "tells of it, and it is missing", false},
		{"a checkpoint is forged", func(ctx context.Context, s storage.Store, _ []*storage.AuditEntry, checkpoints []*storage.AuditCheckpoint) error {
			c := checkpoints[len(checkpoints)-1]
			c.Hash = strings.Repeat("0", 64)
			return s.Update(ctx, c)
		}, "has no good signature", false},
		{"the end is cut off with the checkpoints", func(ctx context.Context, s storage.Store, node []*storage.AuditEntry, checkpoints []*storage.AuditCheckpoint) error {
			for _, c := range checkpoints {
				if err := remove(ctx, s, c); err != nil {
					return err
				}
			}
			return remove(ctx, s, node[len(node)-1])
		}, "of the anchor is not in the store", true},
	}
	for name, where := range trails(t) {
		t.Run(name, func(t *testing.T) {
			anchor := filepath.Join(t.TempDir(), "anchor")
			args := []string{"serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--decision-log", "off", "--audit-anchor", anchor}
			p := start(t, append(rootEnv(), where.env...), append(args, where.args...)...)
			if code := p.end(); code != 0 {
				t.Fatalf("exit code %d: %s", code, p.stderr.String())
			}
			verify := func(more ...string) (int, string) {
				code, stdout, stderr := shell(t, where.env, slices.Concat([]string{"audit", "verify"}, where.args, more)...)
				return code, stdout + stderr
			}
			if code, out := verify("--anchor", anchor); code != 0 {
				t.Fatalf("a whole audit: exit code %d: %s", code, out)
			}
			for _, e := range edits {
				whole := tamper(t, where, func(s storage.Store) error {
					node, checkpoints := auditOf(t, s)
					return e.do(t.Context(), s, node, checkpoints)
				})
				if code, out := verify("--anchor", anchor); code != 1 || !strings.Contains(out, e.says) {
					t.Errorf("%s: exit code %d, want 1 and %q:\n%s", e.name, code, e.says, out)
				}
				if code, out := verify(); (code == 0) != e.blind {
					t.Errorf("%s, without the anchor: exit code %d:\n%s", e.name, code, out)
				}
				mend(t, where, whole)
			}
			if code, out := verify("--anchor", anchor); code != 0 {
				t.Fatalf("the mended audit: exit code %d: %s", code, out)
			}
			for _, bad := range [][]string{{"--from", "2"}, {"--key", "short"}, {"--anchor", filepath.Join(t.TempDir(), "none")}} {
				if code, out := verify(bad...); code == 0 {
					t.Errorf("writ audit verify %v: exit code 0:\n%s", bad, out)
				}
			}
		})
	}
	if code, _, stderr := shell(t, nil, "audit", "verify", "--data-dir", filepath.Join(t.TempDir(), "none")); code != 1 || !strings.Contains(stderr, "data_dir") {
		t.Errorf("a store that is not there: exit code %d: %s", code, stderr)
	}
}

// tamper edits a store and returns everything that its audit was before.
func tamper(t *testing.T, where trail, edit func(storage.Store) error) (whole []storage.Record) {
	t.Helper()
	s, err := where.open()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, kind := range []storage.Kind{storage.AuditKind, storage.AuditCheckpointKind} {
		records, err := s.List(t.Context(), kind, storage.Query{Limit: 1000})
		if err != nil {
			t.Fatal(err)
		}
		whole = append(whole, records...)
	}
	if err := edit(s); err != nil {
		t.Fatal(err)
	}
	return whole
}

// mend puts back what the audit was.
func mend(t *testing.T, where trail, whole []storage.Record) {
	t.Helper()
	tamper(t, where, func(s storage.Store) error {
		for _, r := range whole {
			now := r.Kind().New()
			if err := s.Get(t.Context(), now, r.RecordMeta().ID); err == nil {
				if err := s.Delete(t.Context(), r.Kind(), r.RecordMeta().ID, now.RecordMeta().Version); err != nil {
					return err
				}
			}
			if err := s.Insert(t.Context(), r); err != nil {
				return err
			}
		}
		return nil
	})
}

// A checkpoint is found in a file of its own, and in the log in either form.
func TestCheckpointsAreFoundInLogs(t *testing.T) {
	for _, format := range []string{"json", "text"} {
		dir := filepath.Join(t.TempDir(), "data")
		args := []string{
			"serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--decision-log", "off", "--data-dir", dir, "--log-format", format,
		}
		p := start(t, rootEnv(), args...)
		p.end()
		logged := filepath.Join(t.TempDir(), "log")
		var anchored int
		// Lines that cannot be read are no reason to believe less of the rest, and are counted.
		for unread, torn := range []string{"", "{\"chain\":\"node/a\",\"number\":7,\"se\n", "\n{\"audit_checkpoint\":{\"cha\"}\nnode/a\n"} {
			if err := os.WriteFile(logged, []byte(torn+p.stderr.String()), 0o600); err != nil {
				t.Fatal(err)
			}
			code, stdout, stderr := shell(t, nil, "audit", "verify", "--data-dir", dir, "--anchor", logged, "--output", "json")
			var report struct{ Checkpoints, Anchored, Unread int }
			err := json.Unmarshal([]byte(stdout), &report)
			if anchored = report.Anchored; err != nil || code != 0 || anchored == 0 || anchored != report.Checkpoints || report.Unread != unread {
				t.Errorf("%s: exit code %d, %+v, %v, want %d unread\n%s\n%s", format, code, report, err, unread, stderr, p.stderr.String())
			}
		}
		code, stdout, _ := shell(t, nil, "audit", "verify", "--data-dir", dir, "--anchor", logged)
		if want := fmt.Sprintf("anchored %d unread 2", anchored); code != 0 || !strings.Contains(strings.Join(strings.Fields(stdout), " "), want) {
			t.Errorf("%s: exit code %d, the table says nothing of the unread lines:\n%s", format, code, stdout)
		}
	}
}
