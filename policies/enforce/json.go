package enforce

import (
	"bytes"
	"encoding"
	"encoding/json"
	"errors"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"
)

// Limits of every JSON body, whatever it is decoded into.
const (
	maxDepth   = 32
	maxMembers = 20_000
)

// Field is a JSON member of which the reader must know whether it was there, and whether it was null. Decode refuses null
// everywhere else but in pointers and raw messages.
type Field[T any] struct {
	Set   bool
	Null  bool
	Value T
}

// UnmarshalJSON implements json.Unmarshaler.
func (f *Field[T]) UnmarshalJSON(data []byte) error {
	f.Set = true
	if string(data) == "null" {
		f.Null = true
		return nil
	}
	return json.Unmarshal(data, &f.Value)
}

// fieldValue lets the walker see through a Field.
func (f *Field[T]) fieldValue() reflect.Type { return reflect.TypeFor[T]() }

// DecodeJSON reads one JSON document into a pointer, strictly: a key that is unknown, repeated or differs in case, trailing
// data, a wrong type, bad UTF-8, and what is too deep or too large are a *ProtocolError of status 400 that names the place by
// its JSON pointer and repeats no value. (encoding/json accepts all but the type errors.)
func DecodeJSON(body []byte, into any) error { return decodeJSON(body, into, false) }

// DecodeOpenJSON is DecodeJSON for formats whose readers must ignore unknown keys, such as AuthZEN. A repeated key is still
// refused, and so is one that differs from a known key only in case, because parsers disagree about what either means.
func DecodeOpenJSON(body []byte, into any) error { return decodeJSON(body, into, true) }

func decodeJSON(body []byte, into any, open bool) error {
	if !utf8.Valid(body) {
		return BadRequest("malformed_json", "", "the body is not valid UTF-8")
	}
	if !json.Valid(body) {
		return malformed(body)
	}
	w := &walker{data: body, open: open}
	if err := w.value(reflect.TypeOf(into).Elem(), 1); err != nil {
		return err
	}
	if err := json.Unmarshal(body, into); err != nil {
		return BadRequest("wrong_type", "", "the document does not have the wanted shape")
	}
	return nil
}

// malformed says where a document stops being JSON.
func malformed(body []byte) error {
	if len(bytes.TrimSpace(body)) == 0 {
		return BadRequest("malformed_json", "", "the body is empty; a JSON document is wanted")
	}
	var sink any
	var syntax *json.SyntaxError
	if errors.As(json.Unmarshal(body, &sink), &syntax) {
		at := strconv.FormatInt(syntax.Offset, 10)
		return BadRequest("malformed_json", "", "the body is not one JSON document: it goes wrong at byte "+at)
	}
	return BadRequest("malformed_json", "", "the body is not one JSON document")
}

// walker checks a document that is known to be valid JSON against a Go type.
type walker struct {
	data    []byte
	at      int
	open    bool
	path    []string
	members int
}

func (w *walker) fail(code, detail string) error { return BadRequest(code, w.pointer(), detail) }

func (w *walker) pointer() string {
	var b strings.Builder
	for _, step := range w.path {
		b.WriteByte('/')
		b.WriteString(strings.ReplaceAll(strings.ReplaceAll(step, "~", "~0"), "/", "~1"))
	}
	return b.String()
}

func (w *walker) space() {
	for w.at < len(w.data) {
		switch w.data[w.at] {
		case ' ', '\t', '\r', '\n':
			w.at++
		default:
			return
		}
	}
}

// value checks the next value against t; a nil t accepts anything.
func (w *walker) value(t reflect.Type, depth int) error {
	if depth > maxDepth {
		return w.fail("too_deep", "at most "+strconv.Itoa(maxDepth)+" levels of nesting are accepted")
	}
	w.space()
	nullable := t == nil
	t, nullable = settle(t, nullable)
	switch c := w.data[w.at]; c {
	case 'n':
		w.at += len("null")
		if !nullable {
			return w.fail("wrong_type", "null is not accepted here; want "+describe(t))
		}
		return nil
	case 't', 'f':
		w.at += len("true")
		if c == 'f' {
			w.at++
		}
		return w.want(t, reflect.Bool, "a boolean")
	case '"':
		text := w.text()
		return w.wantText(t, text)
	case '[':
		return w.array(t, depth)
	case '{':
		return w.object(t, depth)
	default:
		return w.number(t)
	}
}

// settle looks through pointers and Fields, and drops types that decode themselves from anything.
func settle(t reflect.Type, nullable bool) (reflect.Type, bool) {
	for t != nil {
		if f, ok := reflect.New(t).Interface().(interface{ fieldValue() reflect.Type }); ok {
			t, nullable = f.fieldValue(), true
			continue
		}
		if t.Kind() == reflect.Pointer {
			t, nullable = t.Elem(), true
			continue
		}
		if t == reflect.TypeFor[json.RawMessage]() || t.Kind() == reflect.Interface {
			return nil, true
		}
		break
	}
	return t, nullable
}

func describe(t reflect.Type) string {
	if t == nil {
		return "a value"
	}
	switch t.Kind() {
	case reflect.Bool:
		return "a boolean"
	case reflect.String:
		return "a string"
	case reflect.Slice, reflect.Array:
		return "an array"
	case reflect.Map:
		return "an object"
	case reflect.Struct:
		if isText(t) {
			return "a string"
		}
		return "an object"
	default:
		return "a number"
	}
}

func isText(t reflect.Type) bool {
	return reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
}

func (w *walker) want(t reflect.Type, kind reflect.Kind, got string) error {
	if t == nil || t.Kind() == kind {
		return nil
	}
	return w.fail("wrong_type", "want "+describe(t)+", got "+got)
}

func (w *walker) wantText(t reflect.Type, text string) error {
	if t == nil {
		return nil
	}
	if t.Kind() != reflect.String && isText(t) {
		into := reflect.New(t).Interface().(encoding.TextUnmarshaler)
		if into.UnmarshalText([]byte(text)) != nil {
			if t.PkgPath() == "time" {
				return w.fail("malformed_time", "want a time with its zone, as in RFC 3339: 2026-01-31T12:00:00Z")
			}
			return w.fail("malformed_value", "the text does not have the wanted form")
		}
		return nil
	}
	return w.want(t, reflect.String, "a string")
}

func (w *walker) number(t reflect.Type) error {
	start := w.at
	for w.at < len(w.data) && strings.IndexByte("+-.eE0123456789", w.data[w.at]) >= 0 {
		w.at++
	}
	if t == nil {
		return nil
	}
	literal := string(w.data[start:w.at])
	switch t.Kind() {
	case reflect.Int, reflect.Int64, reflect.Int32:
		if _, err := strconv.ParseInt(literal, 10, t.Bits()); err != nil {
			return w.fail("wrong_type", "want a whole number within range")
		}
		return nil
	case reflect.Float64:
		return nil
	default:
		return w.fail("wrong_type", "want "+describe(t)+", got a number")
	}
}

// text reads the string at the cursor, unescaped.
func (w *walker) text() string {
	start := w.at
	escaped := false
	for w.at++; w.data[w.at] != '"'; w.at++ {
		if w.data[w.at] == '\\' {
			escaped = true
			w.at++
		}
	}
	w.at++
	if !escaped {
		return string(w.data[start+1 : w.at-1])
	}
	var text string
	_ = json.Unmarshal(w.data[start:w.at], &text) // cannot fail: the document is valid
	return text
}

func (w *walker) array(t reflect.Type, depth int) error {
	var element reflect.Type
	if t != nil {
		if t.Kind() != reflect.Slice {
			return w.fail("wrong_type", "want "+describe(t)+", got an array")
		}
		element = t.Elem()
	}
	w.at++
	for n := 0; ; n++ {
		w.space()
		if w.data[w.at] == ']' {
			w.at++
			return nil
		}
		if w.data[w.at] == ',' {
			w.at++
		}
		if err := w.count(); err != nil {
			return err
		}
		w.path = append(w.path, strconv.Itoa(n))
		if err := w.value(element, depth+1); err != nil {
			return err
		}
		w.path = w.path[:len(w.path)-1]
	}
}

func (w *walker) count() error {
	if w.members++; w.members > maxMembers {
		return w.fail("too_large", "at most "+strconv.Itoa(maxMembers)+" members are accepted")
	}
	return nil
}

func (w *walker) object(t reflect.Type, depth int) error {
	var known map[string]reflect.Type
	var element reflect.Type
	switch {
	case t == nil:
	case t.Kind() == reflect.Map:
		element = t.Elem()
	case t.Kind() == reflect.Struct && !isText(t):
		known = members(t)
	default:
		return w.fail("wrong_type", "want "+describe(t)+", got an object")
	}
	seen := map[string]bool{}
	w.at++
	for {
		w.space()
		if w.data[w.at] == '}' {
			w.at++
			return nil
		}
		if w.data[w.at] == ',' {
			w.at++
			w.space()
		}
		key := w.text()
		w.path = append(w.path, key)
		if seen[key] {
			return w.fail("duplicate_key", "the key is given twice")
		}
		seen[key] = true
		if err := w.count(); err != nil {
			return err
		}
		next := element
		if known != nil {
			var ok bool
			if next, ok = known[key]; !ok {
				if err := w.unknown(known, key); err != nil {
					return err
				}
			}
		}
		w.space()
		w.at++ // the colon
		if err := w.value(next, depth+1); err != nil {
			return err
		}
		w.path = w.path[:len(w.path)-1]
	}
}

// unknown refuses a key that no member has, unless the document is open and the key is not a known one in other letters.
func (w *walker) unknown(known map[string]reflect.Type, key string) error {
	for name := range known {
		if strings.EqualFold(name, key) {
			return w.fail("unknown_key", "the key differs in case from "+strconv.Quote(name))
		}
	}
	if w.open {
		return nil
	}
	return w.fail("unknown_key", "no such key here")
}

// shapes remembers the members of each struct type, as encoding/json does: types are few, never change and hold no state.
var shapes sync.Map

// members returns the JSON members of a struct type.
func members(t reflect.Type) map[string]reflect.Type {
	if found, ok := shapes.Load(t); ok {
		return found.(map[string]reflect.Type)
	}
	known := map[string]reflect.Type{}
	for _, field := range reflect.VisibleFields(t) {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if field.Anonymous && name == "" || !field.IsExported() || name == "-" {
			continue
		}
		if name == "" {
			name = field.Name
		}
		known[name] = field.Type
	}
	shapes.Store(t, known)
	return known
}
