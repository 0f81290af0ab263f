package main_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	writ "github.com/writ-authz/writ/cmd/writ"
	"github.com/writ-authz/writ/storage"
	"github.com/writ-authz/writ/storage/sqlite"
)

// seeded runs writ seed with the profile demo and returns what it printed.
func seeded(t *testing.T, dir string, more ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs output
	args := append([]string{"seed", "--profile", "demo", "--data-dir", dir, "--output", "json"}, more...)
	code = writ.Run(t.Context(), args, nil, strings.NewReader(""), &out, &errs)
	return code, out.String(), errs.String()
}

// stored are all of a store that a seeding writes, by kind.
func stored(t *testing.T, dir string) map[string][]storage.Record {
	t.Helper()
	store, err := sqlite.Open(t.Context(), sqlite.Config{Dir: dir, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	all := map[string][]storage.Record{}
	for _, kind := range storage.Kinds() {
		found, err := store.List(t.Context(), kind, storage.Query{Limit: 10_000})
		if err != nil {
			t.Fatal(err)
		}
		if len(found) > 0 {
			all[kind.Name] = found
		}
	}
	return all
}

func TestSeedingMakesTheSameDirectoryEachTime(t *testing.T) {
	first, second, other := t.TempDir(), t.TempDir(), t.TempDir()
	for dir, seed := range map[string]string{first: "1", second: "1", other: "2"} {
		if code, _, errs := seeded(t, dir, "--seed", seed); code != 0 {
			t.Fatalf("exit code %d: %s", code, errs)
		}
	}
	made := stored(t, first)
	counts := map[string]int{}
	for kind, found := range made {
		counts[kind] = len(found)
	}
	want := map[string]int{"tenants": 2, "roles": 20, "groups": 10, "applications": 20, "users": 200}
	if diff := cmp.Diff(want, counts); diff != "" {
		t.Fatal(diff)
	}
	if diff := cmp.Diff(made, stored(t, second)); diff != "" {
		t.Fatalf("the same seed made another directory: %s", diff)
	}
	if cmp.Equal(made, stored(t, other)) {
		t.Fatal("another seed made the same directory")
	}
	// What users name is there, and some have the role that many have.
	roles, common := map[storage.RoleKey]bool{}, 0
	for _, record := range made["roles"] {
		roles[storage.RoleKey(record.RecordMeta().ID)] = true
	}
	for _, record := range made["users"] {
		for _, key := range record.(*storage.User).Roles {
			if !roles[key] {
				t.Fatalf("user %s has the role %s, which is not there", record.RecordMeta().ID, key)
			}
			if key == "seed:common" {
				common++
			}
		}
	}
	if common != 20 {
		t.Fatalf("%d users have the common role, want 20", common)
	}
}

func TestSeedingRefusesAStoreThatWasWrittenTo(t *testing.T) {
	dir := t.TempDir()
	if code, _, errs := seeded(t, dir); code != 0 {
		t.Fatalf("exit code %d: %s", code, errs)
	}
	before := stored(t, dir)
	code, _, errs := seeded(t, dir)
	if code != 1 || !strings.Contains(errs, "the store is not empty") {
		t.Fatalf("exit code %d, stderr %q", code, errs)
	}
	if diff := cmp.Diff(before, stored(t, dir)); diff != "" {
		t.Fatalf("the refused seeding changed the store: %s", diff)
	}
}

func TestSeedingTellsItsProgressAsEventsWhereNobodyWatches(t *testing.T) {
	code, out, errs := seeded(t, t.TempDir())
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, errs)
	}
	done := map[string]int{}
	for line := range strings.Lines(errs) {
		var event struct {
			Event, Phase string
			Done, Total  int
		}
		if err := json.Unmarshal([]byte(line), &event); err != nil {
			t.Fatalf("%q is no event: %v", line, err)
		}
		if event.Event == "done" && event.Done == event.Total {
			done[event.Phase] = event.Total
		}
	}
	var printed map[string]int
	if err := json.Unmarshal([]byte(out), &printed); err != nil {
		t.Fatalf("%q: %v", out, err)
	}
	if diff := cmp.Diff(printed, done); diff != "" || printed["users"] != 200 {
		t.Fatalf("printed %v: %s", printed, diff)
	}
}
