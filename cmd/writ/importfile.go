package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// place is where something stands in a file, from 1.
type place struct{ line, column int }

// fileFault is what is wrong with a file, and where.
type fileFault struct {
	file    string
	at      place
	pointer string
	text    string
}

func (f *fileFault) Error() string {
	text := f.file
	if f.at.line > 0 {
		text += fmt.Sprintf(":%d:%d", f.at.line, f.at.column)
	}
	if f.pointer != "" {
		text += ": " + f.pointer
	}
	return text + ": " + f.text
}

// sections are the kinds of objects of a file, in the order in which they name each other, with the kind that verdicts call them.
func sections() [][2]string {
	return [][2]string{{"tenants", "tenant"}, {"roles", "role"}, {"groups", "group"}, {"users", "user"}, {"applications", "application"}}
}

// object is one object of a file, with the places of what stands in it.
type object struct {
	section string
	index   int // in its section of the file
	fields  map[string]any
	places  map[string]place // by pointer within the object; "" is itself
}

// pointer is the object's, or that of something in it, in the file.
func (o *object) pointer(inner string) string {
	return "/" + o.section + "/" + strconv.Itoa(o.index) + inner
}

// at is the place of a pointer within the object, or of the nearest thing around it.
func (o *object) at(inner string) place {
	for {
		if found, ok := o.places[inner]; ok || inner == "" {
			return found
		}
		inner = inner[:strings.LastIndexByte(inner, '/')]
	}
}

func (o *object) fault(file, inner, text string) error {
	return &fileFault{file: file, at: o.at(inner), pointer: o.pointer(inner), text: text}
}

// text is a field that is a string, or "".
func (o *object) text(field string) string {
	s, _ := o.fields[field].(string)
	return s
}

// name is how people know the object.
func (o *object) name() string {
	for _, field := range []string{"key", "id", "username"} {
		if s := o.text(field); s != "" {
			return s
		}
	}
	return o.pointer("")
}

// names are what no two objects of a file share.
func (o *object) names() map[string]string {
	names := map[string]string{}
	for _, field := range []string{"key", "id", "username", "email"} {
		if s := o.text(field); s != "" && (o.section == "users" || field == "key" || field == "id") {
			names[field] = strings.ToLower(s)
			if field == "id" {
				names[field] = s
			}
		}
	}
	return names
}

// readObjects reads a file of objects: YAML, of which JSON is a part. Roles come after those that they inherit from.
func readObjects(file string, content []byte) ([]*object, error) {
	var root yaml.Node
	if err := yaml.Unmarshal(content, &root); err != nil {
		return nil, &fileFault{file: file, text: strings.TrimPrefix(err.Error(), "yaml: ")}
	}
	if root.Kind == 0 {
		return nil, &fileFault{file: file, text: "the file is empty"}
	}
	top := root.Content[0]
	if top.Kind != yaml.MappingNode {
		return nil, &fileFault{file: file, at: placeOf(top), text: "want a mapping with tenants, roles, groups, users and applications"}
	}
	r := &fileReader{file: file}
	found := map[string][]*object{}
	for i := 0; i < len(top.Content); i += 2 {
		key, list := top.Content[i], top.Content[i+1]
		known := slices.ContainsFunc(sections(), func(s [2]string) bool { return s[0] == key.Value })
		switch _, twice := found[key.Value]; {
		case !known:
			return nil, &fileFault{
				file: file, at: placeOf(key), pointer: "/" + key.Value, text: "unknown section; want tenants, roles, groups, users, applications",
			}
		case twice:
			return nil, &fileFault{file: file, at: placeOf(key), pointer: "/" + key.Value, text: "the section stands twice"}
		case list.Kind != yaml.SequenceNode && list.Tag != "!!null":
			return nil, &fileFault{file: file, at: placeOf(list), pointer: "/" + key.Value, text: "want a list"}
		}
		objects, err := r.objects(key.Value, list)
		if err != nil {
			return nil, err
		}
		found[key.Value] = objects
	}
	roles, err := inherited(file, found["roles"])
	if err != nil {
		return nil, err
	}
	found["roles"] = roles
	var all []*object
	for _, s := range sections() {
		all = append(all, found[s[0]]...)
	}
	return all, distinctObjects(file, all)
}

func placeOf(n *yaml.Node) place { return place{n.Line, n.Column} }

// distinctObjects refuses a file that names something twice.
func distinctObjects(file string, objects []*object) error {
	seen := map[string]*object{}
	for _, o := range objects {
		for field, name := range o.names() {
			key := o.section + " " + field + " " + name
			if other := seen[key]; other != nil {
				return o.fault(file, "/"+field, "the same "+field+" as at "+other.pointer(""))
			}
			seen[key] = o
		}
	}
	return nil
}

// inherited puts roles behind those that they inherit from.
func inherited(file string, roles []*object) ([]*object, error) {
	byKey := map[string]*object{}
	for _, o := range roles {
		byKey[o.text("key")] = o
	}
	var sorted []*object
	state := map[*object]int{} // 1: on the way, 2: done
	var walk func(o *object) error
	walk = func(o *object) error {
		state[o] = 1
		for n, key := range texts(o.fields["inherits"]) {
			next := byKey[key]
			if next == nil || state[next] == 2 {
				continue
			}
			if state[next] == 1 {
				return o.fault(file, "/inherits/"+strconv.Itoa(n), "by way of "+strconv.Quote(key)+" the role would inherit itself")
			}
			if err := walk(next); err != nil {
				return err
			}
		}
		state[o] = 2
		sorted = append(sorted, o)
		return nil
	}
	for _, o := range roles {
		if state[o] == 0 {
			if err := walk(o); err != nil {
				return nil, err
			}
		}
	}
	return sorted, nil
}

// texts are the strings of a list.
func texts(value any) []string {
	list, _ := value.([]any)
	found := make([]string, 0, len(list))
	for _, item := range list {
		s, _ := item.(string)
		found = append(found, s)
	}
	return found
}

type fileReader struct {
	file   string
	places map[string]place
	base   string
}

func (r *fileReader) objects(section string, list *yaml.Node) ([]*object, error) {
	var found []*object
	for i, node := range list.Content {
		r.places, r.base = map[string]place{}, "/"+section+"/"+strconv.Itoa(i)
		value, err := r.value(node, "", 0)
		if err != nil {
			return nil, err
		}
		fields, ok := value.(map[string]any)
		if !ok {
			return nil, r.fail(node, "", "want a mapping")
		}
		found = append(found, &object{section: section, index: i, fields: fields, places: r.places})
	}
	return found, nil
}

func (r *fileReader) fail(n *yaml.Node, pointer, text string) error {
	return &fileFault{file: r.file, at: placeOf(n), pointer: r.base + pointer, text: text}
}

// maxFileDepth is that of the API's bodies.
const maxFileDepth = 30

// value turns a node into what JSON has. Aliases are refused: a few lines of them stand for any number of objects.
func (r *fileReader) value(n *yaml.Node, pointer string, depth int) (any, error) {
	r.places[pointer] = placeOf(n)
	if depth > maxFileDepth {
		return nil, r.fail(n, pointer, "too many levels of nesting")
	}
	switch n.Kind {
	case yaml.MappingNode:
		fields := make(map[string]any, len(n.Content)/2)
		for i := 0; i < len(n.Content); i += 2 {
			key := n.Content[i]
			inner := pointer + "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(key.Value)
			if key.Kind != yaml.ScalarNode || key.Tag == "!!merge" {
				return nil, r.fail(key, pointer, "want a plain key")
			}
			if _, twice := fields[key.Value]; twice {
				return nil, r.fail(key, inner, "the key stands twice")
			}
			value, err := r.value(n.Content[i+1], inner, depth+1)
			if err != nil {
				return nil, err
			}
			fields[key.Value] = value
			r.places[inner] = placeOf(key)
		}
		return fields, nil
	case yaml.SequenceNode:
		items := make([]any, len(n.Content))
		for i, item := range n.Content {
			var err error
			if items[i], err = r.value(item, pointer+"/"+strconv.Itoa(i), depth+1); err != nil {
				return nil, err
			}
		}
		return items, nil
	case yaml.ScalarNode:
		return r.scalar(n, pointer)
	}
	return nil, r.fail(n, pointer, "aliases are not accepted")
}

func (r *fileReader) scalar(n *yaml.Node, pointer string) (any, error) {
	switch n.Tag {
	case "!!str", "!!timestamp": // JSON has times as strings
		return n.Value, nil
	case "!!null":
		return nil, nil
	case "!!int", "!!float":
		if json.Valid([]byte(n.Value)) {
			return json.Number(n.Value), nil
		}
	case "!!bool":
		var b bool
		if err := n.Decode(&b); err == nil {
			return b, nil
		}
	}
	return nil, r.fail(n, pointer, "cannot be read as text, a number, true, false or null; put it into quotes if it is a text")
}
