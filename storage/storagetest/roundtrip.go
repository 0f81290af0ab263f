package storagetest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/writ-authz/writ/storage"
)

func roundTrips() []property {
	properties := []property{
		{"nil and empty lists of an application stay apart", func(t *testing.T, s *suite) {
			store := s.store(t)
			for id, scopes := range map[string][]string{"nil": nil, "empty": {}, "one": {"iam:read"}} {
				app := &storage.Application{Meta: storage.Meta{ID: id}, Scopes: scopes, Audiences: scopes}
				must(t, change(t.Context(), store, func(tx storage.Tx) error { return tx.Insert(t.Context(), app) }))
				got, err := storage.Get[storage.Application](t.Context(), store, id)
				must(t, err)
				if diff := cmp.Diff(app, got); diff != "" {
					t.Errorf("%s: %s", id, diff)
				}
			}
		}},
	}
	for _, kind := range storage.Kinds() {
		properties = append(properties,
			property{kind.Name + " come back as they were stored, full", func(t *testing.T, s *suite) {
				r := kind.New()
				(&filler{}).fill(reflect.ValueOf(r).Elem())
				*r.RecordMeta() = storage.Meta{ID: "app/é☃"}
				roundTrip(t, s, r)
			}},
			property{kind.Name + " come back as they were stored, empty", func(t *testing.T, s *suite) {
				r := kind.New()
				r.RecordMeta().ID = "a"
				roundTrip(t, s, r)
			}})
	}
	return properties
}

// roundTrip stores r and wants it back by each way to read it.
func roundTrip(t *testing.T, s *suite, r storage.Record) {
	t.Helper()
	store := s.store(t)
	if r.Kind().Authority {
		must(t, change(t.Context(), store, func(tx storage.Tx) error { return tx.Insert(t.Context(), r) }))
	} else {
		must(t, store.Insert(t.Context(), r))
	}
	want := normalised(r)
	check := func(way string, got storage.Record, err error) {
		t.Helper()
		if err != nil {
			t.Errorf("%s: %v", way, err)
		} else if diff := cmp.Diff(want, got, sameJSON(), sameTime()); diff != "" {
			t.Errorf("%s: %s", way, diff)
		}
	}
	kind, id := r.Kind(), r.RecordMeta().ID
	got := kind.New()
	check("get", got, store.Get(t.Context(), got, id))
	index := r.Index()
	for name, value := range index.Unique {
		check("look up by "+name, got, store.Lookup(t.Context(), got, name, value))
	}
	for name, values := range index.Filters {
		for _, value := range values {
			records, err := store.List(t.Context(), kind, storage.Query{Equal: map[string][]string{name: {value}}, Limit: 2})
			must(t, err)
			if len(records) != 1 {
				t.Fatalf("list by %s %q: got %d records", name, value, len(records))
			}
			check("list by "+name, records[0], nil)
		}
	}
}

// filler sets every exported field to a value of its own.
type filler struct{ n int }

func (f *filler) fill(v reflect.Value) {
	f.n++
	switch value := v.Addr().Interface().(type) {
	case *time.Time:
		// Later than any clock of the suite, in another zone and more precise than a store keeps.
		*value = time.Date(2140, 1, 1, 0, 0, f.n, 123_456_789, time.FixedZone("", 5400))
		return
	case *json.RawMessage:
		*value = fmt.Appendf(nil, `{"key %d":["<&>",12345678901234567890,null]}`, f.n)
		return
	case *[]byte:
		*value = []byte{0, 0xff, byte(f.n)}
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(fmt.Sprintf("text %d é☃ \u2028 \" ' \\ %%", f.n))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(1<<53 + int64(f.n))
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		f.fill(v.Elem())
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range v.Len() {
			f.fill(v.Index(i))
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				f.fill(v.Field(i))
			}
		}
	default:
		panic(fmt.Sprintf("records have no fields of type %s so far; teach filler (and both stores) about it", v.Type()))
	}
}

// normalised returns a copy of r in which the times are as a store keeps them.
func normalised(r storage.Record) storage.Record {
	v := reflect.New(reflect.TypeOf(r).Elem())
	v.Elem().Set(reflect.ValueOf(r).Elem())
	normalise(v.Elem())
	return v.Interface().(storage.Record)
}

// normalise copies what it descends into, so that it changes nothing that v shares.
func normalise(v reflect.Value) {
	if t, ok := v.Addr().Interface().(*time.Time); ok {
		*t = storage.Time(*t)
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			copied := reflect.New(v.Type().Elem())
			copied.Elem().Set(v.Elem())
			v.Set(copied)
			normalise(v.Elem())
		}
	case reflect.Slice:
		if !v.IsNil() {
			copied := reflect.MakeSlice(v.Type(), v.Len(), v.Len())
			reflect.Copy(copied, v)
			v.Set(copied)
		}
		for i := range v.Len() {
			normalise(v.Index(i))
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				normalise(v.Field(i))
			}
		}
	}
}

// sameTime compares times as values, zone included.
func sameTime() cmp.Option { return cmp.Comparer(func(a, b time.Time) bool { return a == b }) }

// sameJSON compares raw JSON by what it says: a store may write it anew.
func sameJSON() cmp.Option {
	return cmp.Comparer(func(a, b json.RawMessage) bool {
		if len(a) == 0 || len(b) == 0 {
			return len(a) == len(b)
		}
		return cmp.Equal(decoded(a), decoded(b))
	})
}

func decoded(raw json.RawMessage) any {
	var value any
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	if err := decoder.Decode(&value); err != nil {
		return err.Error()
	}
	return value
}
