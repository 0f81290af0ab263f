package dialects

import (
	"bytes"
	"encoding"
	"encoding/json"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxDepth bounds nesting.
const maxDepth = 32

// Field is a member of which it matters whether it is there, and whether it is null.
type Field[T any] struct {
	Set, Null bool
	Value     T
}

// bind implements binder.
func (f *Field[T]) bind(raw json.RawMessage, at string) error {
	f.Set = true
	if bytes.Equal(raw, []byte("null")) {
		f.Null = true
		return nil
	}
	return bind(raw, reflect.ValueOf(&f.Value).Elem(), at)
}

type binder interface {
	bind(raw json.RawMessage, at string) error
}

// Decode reads the body as one JSON document into a value. A key twice, one that the value has not (also in other letters), a value of
// another type, and anything behind the document are faults with their place.
func (c *Call) Decode(into any) error { return Decode(c.Body, into) }

// Decode is Call.Decode of any text.
func Decode(body []byte, into any) error {
	if err := check(body); err != nil {
		return err
	}
	return bind(bytes.TrimSpace(body), reflect.ValueOf(into).Elem(), "")
}

// Members reads the body as one JSON object, whose members are decoded later.
func (c *Call) Members() (map[string]json.RawMessage, error) {
	var members map[string]json.RawMessage
	return members, c.Decode(&members)
}

// check refuses what is not one JSON document without repeated keys.
func check(body []byte) error {
	if !utf8.Valid(body) {
		return &Fault{Kind: Malformed, Detail: "the body is not UTF-8"}
	}
	if json.Valid(body) {
		w := walker{body: body}
		if _, fault := w.value(0, 0); fault != nil {
			return fault
		}
		return nil
	}
	if json.NewDecoder(bytes.NewReader(body)).Decode(new(json.RawMessage)) == nil {
		return &Fault{Kind: Malformed, Detail: "there is more than one JSON document"}
	}
	return &Fault{Kind: Malformed, Detail: "the body is not JSON"}
}

// walker goes through a document that is known to be JSON, and finds what is nested too deep and keys that are repeated. Every request with
// a body pays for it.
type walker struct {
	body []byte
	path []step
}

// step is a member of an object, or an item of a list where there is no name.
type step struct {
	name []byte
	n    int
}

func (w *walker) fault(kind Kind, detail string) *Fault {
	at := ""
	for _, s := range w.path {
		if s.name == nil {
			at += "/" + strconv.Itoa(s.n)
		} else {
			at += "/" + escape(string(s.name))
		}
	}
	return &Fault{Kind: kind, At: at, Detail: detail}
}

// value walks over the value at an offset, and returns the offset behind it.
func (w *walker) value(i, depth int) (int, *Fault) {
	i = w.space(i)
	switch w.body[i] {
	case '"':
		return w.text(i), nil
	case '{', '[':
		if depth == maxDepth {
			return i, w.fault(Malformed, "there are more than "+strconv.Itoa(maxDepth)+" levels")
		}
		return w.nested(i, depth)
	}
	for i < len(w.body) && bytes.IndexByte([]byte(",]} \t\r\n"), w.body[i]) < 0 {
		i++
	}
	return i, nil
}

// nested walks over an object or a list.
func (w *walker) nested(i, depth int) (int, *Fault) {
	object := w.body[i] == '{'
	var seen names
	i = w.space(i + 1)
	for n := 0; w.body[i] != '}' && w.body[i] != ']'; n++ {
		at := step{n: n}
		if object {
			end := w.text(i)
			at.name = unquoted(w.body[i:end])
			i = w.space(end) + 1 // behind the colon
		}
		w.path = append(w.path, at)
		if object && seen.again(at.name) {
			return i, w.fault(Duplicate, "the key is given twice")
		}
		next, fault := w.value(i, depth+1)
		if fault != nil {
			return i, fault
		}
		w.path = w.path[:len(w.path)-1]
		if i = w.space(next); w.body[i] == ',' {
			i = w.space(i + 1)
		}
	}
	return i + 1, nil
}

// space is the offset of what follows the white space at an offset.
func (w *walker) space(i int) int {
	for i < len(w.body) && (w.body[i] == ' ' || w.body[i] == '\t' || w.body[i] == '\r' || w.body[i] == '\n') {
		i++
	}
	return i
}

// text is the offset behind the string at an offset.
func (w *walker) text(i int) int {
	for i++; w.body[i] != '"'; i++ {
		if w.body[i] == '\\' {
			i++
		}
	}
	return i + 1
}

// unquoted is the text of a string; it may share the bytes.
func unquoted(quoted []byte) []byte {
	if bytes.IndexByte(quoted, '\\') < 0 {
		return quoted[1 : len(quoted)-1]
	}
	var text string
	_ = json.Unmarshal(quoted, &text) // it is known to be JSON
	return []byte(text)
}

// names are the keys of an object that were seen.
type names struct {
	few  [8][]byte
	n    int
	many map[string]bool
}

// again adds a name, and reports whether it was there.
func (s *names) again(name []byte) bool {
	for _, one := range s.few[:s.n] {
		if bytes.Equal(one, name) {
			return true
		}
	}
	if s.n < len(s.few) {
		s.few[s.n] = name
		s.n++
		return false
	}
	if s.many == nil {
		s.many = map[string]bool{}
	}
	if s.many[string(name)] {
		return true
	}
	s.many[string(name)] = true
	return false
}

// escape is a name in a JSON pointer (RFC 6901).
func escape(name string) string {
	return strings.ReplaceAll(strings.ReplaceAll(name, "~", "~0"), "/", "~1")
}

// bind reads one value that is known to be JSON.
func bind(raw json.RawMessage, v reflect.Value, at string) error {
	if b, ok := v.Addr().Interface().(binder); ok {
		return b.bind(raw, at)
	}
	if v.Type() == reflect.TypeFor[json.RawMessage]() {
		v.SetBytes(slices.Clone(raw))
		return nil
	}
	null := bytes.Equal(raw, []byte("null"))
	if v.Kind() == reflect.Pointer {
		if null {
			v.SetZero()
			return nil
		}
		v.Set(reflect.New(v.Type().Elem()))
		return bind(raw, v.Elem(), at)
	}
	_, text := v.Addr().Interface().(encoding.TextUnmarshaler)
	switch {
	case null:
		return wrongType(at, v)
	case v.Kind() == reflect.Struct && !text:
		return bindStruct(raw, v, at)
	case v.Kind() == reflect.Slice:
		var items []json.RawMessage
		if json.Unmarshal(raw, &items) != nil {
			return wrongType(at, v)
		}
		list := reflect.MakeSlice(v.Type(), len(items), len(items))
		for i, item := range items {
			if err := bind(item, list.Index(i), at+"/"+strconv.Itoa(i)); err != nil {
				return err
			}
		}
		v.Set(list)
	case v.Kind() == reflect.Map:
		var items map[string]json.RawMessage
		if json.Unmarshal(raw, &items) != nil {
			return wrongType(at, v)
		}
		if v.Type() == reflect.TypeOf(items) {
			v.Set(reflect.ValueOf(items))
			return nil
		}
		made := reflect.MakeMapWithSize(v.Type(), len(items))
		for _, name := range slices.Sorted(keys(items)) {
			element := reflect.New(v.Type().Elem()).Elem()
			if err := bind(items[name], element, at+"/"+escape(name)); err != nil {
				return err
			}
			made.SetMapIndex(reflect.ValueOf(name), element)
		}
		v.Set(made)
	case v.Kind() == reflect.String && !text && raw[0] == '"':
		v.SetString(string(unquoted(raw)))
	default:
		if json.Unmarshal(raw, v.Addr().Interface()) != nil {
			return wrongType(at, v)
		}
	}
	return nil
}

func bindStruct(raw json.RawMessage, v reflect.Value, at string) error {
	var items map[string]json.RawMessage
	if json.Unmarshal(raw, &items) != nil {
		return wrongType(at, v)
	}
	for i := range v.NumField() {
		field := v.Type().Field(i)
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if !field.IsExported() || name == "-" || name == "" {
			continue
		}
		if item, ok := items[name]; ok {
			if err := bind(item, v.Field(i), at+"/"+escape(name)); err != nil {
				return err
			}
			delete(items, name)
		}
	}
	for _, name := range slices.Sorted(keys(items)) {
		return &Fault{Kind: UnknownKey, At: at + "/" + escape(printable(name)), Detail: "no such key here"}
	}
	return nil
}

func wrongType(at string, v reflect.Value) error {
	want := map[reflect.Kind]string{
		reflect.String: "a string", reflect.Bool: "true or false", reflect.Slice: "a list", reflect.Map: "an object", reflect.Struct: "an object",
		reflect.Int: "a whole number", reflect.Int64: "a whole number",
	}[v.Kind()]
	if _, text := v.Addr().Interface().(encoding.TextUnmarshaler); text || want == "" {
		want = "a value of another form"
	}
	return &Fault{Kind: WrongType, At: at, Detail: "want " + want}
}

// Require is a fault for the first of the members that is empty: names and values, by turns.
func Require(pairs ...string) error {
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] == "" {
			return &Fault{Kind: Missing, At: "/" + pairs[i], Detail: "the member is missing or empty"}
		}
	}
	return nil
}

// Member is how a member of a token body is called in the form of the token endpoint.
type Member struct {
	Name string
	// Number says that a whole number counts as its digits.
	Number bool
}

// TokenForm turns a JSON token body into a form (D-06): a flat object of strings, each key known and once.
func (c *Call) TokenForm(members map[string]Member) (url.Values, error) {
	given, err := c.Members()
	if err != nil {
		return nil, err
	}
	form := url.Values{}
	for _, name := range slices.Sorted(keys(given)) {
		at := "/" + escape(printable(name))
		member, ok := members[name]
		if !ok {
			return nil, &Fault{Kind: UnknownKey, At: at, Detail: "no such key here"}
		}
		text := given[name]
		if text[0] == '"' {
			text = unquoted(text)
		} else if _, err := strconv.ParseInt(string(text), 10, 64); !member.Number || err != nil {
			return nil, &Fault{Kind: WrongType, At: at, Detail: "want a string"}
		}
		form.Set(member.Name, string(text))
	}
	return form, nil
}
