package storage_test

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/writ-authz/writ/storage"
)

func TestKindsAreDeclaredOnceAndWhole(t *testing.T) {
	seen := map[string]bool{}
	for _, kind := range storage.Kinds() {
		if !regexp.MustCompile(`^[a-z][a-z_]*$`).MatchString(kind.Name) || seen[kind.Name] {
			t.Errorf("%q is not a name or stands twice", kind.Name)
		}
		seen[kind.Name] = true
		indexes := slices.Sorted(slices.Values(slices.Concat(kind.Unique, kind.Filters)))
		if len(slices.Compact(slices.Clone(indexes))) != len(indexes) {
			t.Errorf("%s declares an index twice: %v", kind.Name, indexes)
		}
		r := kind.New()
		if got := r.Kind(); got.Name != kind.Name || got.Authority != kind.Authority {
			t.Errorf("%s: New makes a record of kind %s", kind.Name, got.Name)
		}
		if reflect.ValueOf(kind.New()).Pointer() == reflect.ValueOf(r).Pointer() {
			t.Errorf("%s: New returns the same record twice", kind.Name)
		}
		r.RecordMeta().ID = "x"
		if r.RecordMeta().ID != "x" {
			t.Errorf("%s: RecordMeta returns a copy", kind.Name)
		}
	}
}

func TestIndexFillsDeclaredNamesOnly(t *testing.T) {
	for _, kind := range storage.Kinds() {
		for _, fill := range []bool{false, true} {
			r := kind.New()
			if fill {
				n := 0
				fillStrings(reflect.ValueOf(r).Elem(), &n)
			}
			r.RecordMeta().ID = "a/b"
			index, err := storage.Indexed(r)
			if err != nil {
				t.Errorf("filled %v: %v", fill, err)
			}
			if !fill {
				continue
			}
			for _, name := range kind.Unique {
				if index.Unique[name] == "" {
					t.Errorf("%s: a full record has nothing under the unique index %s", kind.Name, name)
				}
			}
			for _, name := range kind.Filters {
				if len(index.Filters[name]) == 0 || slices.Contains(index.Filters[name], "") {
					t.Errorf("%s: a full record has %q under the filter %s", kind.Name, index.Filters[name], name)
				}
			}
		}
	}
}

func TestIndexedRefusesBadIDs(t *testing.T) {
	for _, id := range []string{"", "\xff", "a\xc0\x80"} {
		if _, err := storage.Indexed(&storage.Tenant{Meta: storage.Meta{ID: id}}); err == nil {
			t.Errorf("%q was accepted", id)
		}
	}
}

func TestEncodeNormalisesTimesAndLeavesTheRecordAlone(t *testing.T) {
	given := time.Date(2026, 1, 2, 3, 4, 5, 678_999_999, time.FixedZone("", 3600))
	app := &storage.Application{Meta: storage.Meta{ID: "a", CreatedAt: given}, Secrets: []storage.Secret{{ExpiresAt: &given}}}
	app.Grants = []storage.Grant{{NotBefore: &given}}
	body, err := storage.Encode(app)
	if err != nil {
		t.Fatal(err)
	}
	got := &storage.Application{Description: "left over"}
	if err := storage.Decode(body, got); err != nil {
		t.Fatal(err)
	}
	for _, at := range []time.Time{got.CreatedAt, *got.Grants[0].NotBefore, *got.Secrets[0].ExpiresAt} {
		if at != storage.Time(given) {
			t.Errorf("got %v, want %v", at, storage.Time(given))
		}
	}
	if got.Description != "" {
		t.Error("Decode left something over")
	}
	if given.Nanosecond() != 678_999_999 || !app.CreatedAt.Equal(given) || app.CreatedAt.Location() == time.UTC {
		t.Error("Encode changed the record")
	}
}

// fillStrings fills texts, and lists by two entries.
func fillStrings(v reflect.Value, n *int) {
	*n++
	switch v.Kind() {
	case reflect.String:
		v.SetString(fmt.Sprint("text", *n))
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return
		}
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range v.Len() {
			fillStrings(v.Index(i), n)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				fillStrings(v.Field(i), n)
			}
		}
	}
}
