package storage

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Encode returns the JSON in which a store keeps r: every time in it is as Time gives. It does not change r.
func Encode(r Record) ([]byte, error) {
	if !eachTime(reflect.ValueOf(r), func(t *time.Time) bool { return t.Location() == time.UTC && t.Equal(Time(*t)) }) {
		body, err := json.Marshal(r)
		if err != nil {
			return nil, fmt.Errorf("encode %s: %w", r.Kind().Name, err)
		}
		r = r.Kind().New()
		if err := Decode(body, r); err != nil {
			return nil, err
		}
		eachTime(reflect.ValueOf(r), func(t *time.Time) bool { *t = Time(*t); return true })
	}
	body, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", r.Kind().Name, err)
	}
	return body, nil
}

// Decode replaces into, whole, by the record that Encode encoded. The result shares nothing with body.
func Decode(body []byte, into Record) error {
	reflect.ValueOf(into).Elem().SetZero()
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("decode %s: %w", into.Kind().Name, err)
	}
	return nil
}

// Indexed returns r's look-up values, or an error if the id cannot be one, or a value stands under an index that the kind
// does not declare.
func Indexed(r Record) (Index, error) {
	kind, id, index := r.Kind(), r.RecordMeta().ID, r.Index()
	if id == "" || !utf8.ValidString(id) {
		return Index{}, fmt.Errorf("%s: %w", kind.Name, errID)
	}
	for name := range index.Unique {
		if !slices.Contains(kind.Unique, name) {
			return Index{}, kind.undeclared(name)
		}
	}
	for name := range index.Filters {
		if !slices.Contains(kind.Filters, name) {
			return Index{}, kind.undeclared(name)
		}
	}
	return index, nil
}

// Check returns an error if q names a filter that kind does not declare, goes both ways, or has no positive limit.
func (q Query) Check(kind Kind) error {
	for name := range q.Equal {
		if !slices.Contains(kind.Filters, name) {
			return kind.undeclared(name)
		}
	}
	for name := range q.Prefix {
		if !slices.Contains(kind.Filters, name) {
			return kind.undeclared(name)
		}
	}
	if q.After != "" && q.Before != "" {
		return fmt.Errorf("list %s: a page is behind one id or in front of one, not both", kind.Name)
	}
	if q.Limit <= 0 {
		return fmt.Errorf("list %s: limit %d is not positive", kind.Name, q.Limit)
	}
	return nil
}

// Selects says whether a record with this index meets every filter of q. After, Before and Limit are not looked at.
func (q Query) Selects(index Index) bool {
	for name, values := range q.Equal {
		if !slices.ContainsFunc(index.Filters[name], func(v string) bool { return slices.Contains(values, v) }) {
			return false
		}
	}
	for name, prefix := range q.Prefix {
		if !slices.ContainsFunc(index.Filters[name], func(v string) bool { return strings.HasPrefix(v, prefix) }) {
			return false
		}
	}
	return true
}

var errID = errors.New("an id must be a non-empty UTF-8 string")

func (k Kind) undeclared(index string) error {
	return fmt.Errorf("%s declares no index %q", k.Name, index)
}

// eachTime calls visit for every time reachable through the exported fields of v until one call returns false, and then
// returns false.
func eachTime(v reflect.Value, visit func(*time.Time) bool) bool {
	switch v.Kind() {
	case reflect.Pointer:
		return v.IsNil() || eachTime(v.Elem(), visit)
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 || v.Type().Elem().Kind() == reflect.String {
			return true
		}
		for i := range v.Len() {
			if !eachTime(v.Index(i), visit) {
				return false
			}
		}
	case reflect.Struct:
		if t, ok := v.Addr().Interface().(*time.Time); ok {
			return visit(t)
		}
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() && !eachTime(v.Field(i), visit) {
				return false
			}
		}
	}
	return true
}
