package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// foreign is a document of another system on its way into objects. What is read of it is asked for by name, so that a key that nobody
// knows is a fault; the first fault stays, and what is read after it is empty.
type foreign struct {
	gathered
	file   string
	places map[string]place // by pointer
	fault  *fileFault
}

// part is a value of the document, with its pointer.
type part struct {
	doc     *foreign
	pointer string
	value   any
}

// readForeign reads one document of JSON, or of YAML, of which JSON is a part.
func readForeign(file string, content []byte) (part, error) {
	var root yaml.Node
	if err := yaml.Unmarshal(content, &root); err != nil {
		return part{}, &fileFault{file: file, text: strings.TrimPrefix(err.Error(), "yaml: ")}
	}
	if root.Kind == 0 {
		return part{}, &fileFault{file: file, text: "the file is empty"}
	}
	r := &fileReader{file: file, places: map[string]place{}}
	value, err := r.value(root.Content[0], "", 0)
	if err != nil {
		return part{}, err
	}
	doc := &foreign{file: file, places: r.places}
	return part{doc: doc, value: value}, nil
}

// objects are what was made of the document, or its fault.
func (f *foreign) objects() ([]*object, []string, error) {
	if f.fault != nil {
		return nil, nil, f.fault
	}
	all, leftOut, err := f.sorted(f.file)
	if err != nil {
		return nil, nil, err
	}
	if len(all) == 0 && len(leftOut) == 0 {
		return nil, nil, &fileFault{file: f.file, text: "there is nothing in it to import"}
	}
	if err := distinctObjects(f.file, all); err != nil {
		return nil, nil, err
	}
	return all, leftOut, nil
}

func (p part) at() place { return p.doc.places[p.pointer] }

func (p part) given() bool { return p.value != nil }

func (p part) fail(format string, args ...any) {
	if p.doc.fault == nil {
		p.doc.fault = &fileFault{file: p.doc.file, at: p.at(), pointer: p.pointer, text: fmt.Sprintf(format, args...)}
	}
}

func (p part) left(format string, args ...any) { p.doc.left(p.at(), format, args...) }

// member is the value of a key, nothing where it is absent or null.
func (p part) member(key string) part {
	fields, _ := p.value.(map[string]any)
	return part{doc: p.doc, pointer: p.pointer + "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(key), value: fields[key]}
}

// oneOf is the member that has one of several names; two of them are a fault.
func (p part) oneOf(keys ...string) part {
	found := p.member(keys[0])
	for _, key := range keys[1:] {
		next := p.member(key)
		switch {
		case !next.given():
		case found.given():
			next.fail("says again what %s says", found.pointer)
		default:
			found = next
		}
	}
	return found
}

// known demands an object that has no other keys than these.
func (p part) known(keys ...string) bool {
	fields, ok := p.value.(map[string]any)
	if !ok {
		p.fail("want an object with %s", strings.Join(keys, ", "))
		return false
	}
	for _, key := range slices.Sorted(maps.Keys(fields)) {
		if !slices.Contains(keys, key) {
			p.member(key).fail("unknown key; want %s", strings.Join(keys, ", "))
			return false
		}
	}
	return true
}

func (p part) has(key string) bool {
	fields, _ := p.value.(map[string]any)
	_, ok := fields[key]
	return ok
}

// keys are the names of an object's members, in order.
func (p part) keys() []string {
	fields, ok := p.value.(map[string]any)
	if !ok && p.given() {
		p.fail("want an object")
	}
	return slices.Sorted(maps.Keys(fields))
}

// items are the parts of a list; none where there is none.
func (p part) items() []part {
	list, ok := p.value.([]any)
	if !ok && p.given() {
		p.fail("want a list")
	}
	parts := make([]part, 0, len(list))
	for i, item := range list {
		parts = append(parts, part{doc: p.doc, pointer: fmt.Sprintf("%s/%d", p.pointer, i), value: item})
	}
	return parts
}

// text is a string, "" where there is none.
func (p part) text() string {
	s, ok := p.value.(string)
	if !ok && p.given() {
		p.fail("want a text")
	}
	return s
}

// label is a name that is written as a text or as a number.
func (p part) label() string {
	if n, ok := p.value.(json.Number); ok {
		return n.String()
	}
	return p.text()
}

func (p part) truth() bool {
	b, ok := p.value.(bool)
	if !ok && p.given() {
		p.fail("want true or false")
	}
	return b
}

// oneOrMore are the texts of a list, or the one text that stands in its place.
func (p part) oneOrMore() []part {
	if _, ok := p.value.(string); ok {
		return []part{p}
	}
	return p.items()
}

// id is a text that can be the id of an object.
func (p part) id() string {
	id := p.label()
	if !segment.MatchString(id) {
		p.fail("an id is missing, or has other characters than A-Z a-z 0-9 . _ -")
	}
	return id
}

// once makes an object that the document may name once.
func (p part) once(section, name string, fields map[string]any) *object {
	if other := p.doc.byName[section+" "+name]; other != nil {
		p.fail("%q is there twice", name)
	}
	return p.doc.object(section, name, p.at(), fields)
}

// take puts a value of the document into a field of the object, with its place.
func (o *object) take(field string, from part, value any) {
	o.fields[field], o.places["/"+field] = value, from.at()
}

// copied puts the members that are given into fields of the object.
func (o *object) copied(from part, fields ...[2]string) {
	for _, f := range fields {
		if m := from.member(f[0]); m.given() {
			o.take(f[1], m, m.value)
		}
	}
}
