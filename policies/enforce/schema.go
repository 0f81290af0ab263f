package enforce

import (
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"time"
	"unicode"
)

// schemas makes JSON Schemas (2020-12) of Go types. A named struct becomes a component, once as it is read and once as it is replied:
// what is read has no required members of itself and refuses unknown ones, what is replied has all members that are never left out.
type schemas struct {
	components map[string]any
	owners     map[string]string // component -> the Go type and direction that it is of
	err        error
}

// direction is whether a value is read or replied, and whether unknown members are ignored where it is read.
type direction int

const (
	replied direction = iota
	readStrictly
	readLoosely
)

func newSchemas() *schemas {
	return &schemas{components: map[string]any{}, owners: map[string]string{}}
}

// of is the schema of a type.
func (s *schemas) of(t reflect.Type, d direction) map[string]any {
	nullable := false
	if d == replied {
		for t.Kind() == reflect.Pointer {
			t = t.Elem()
		}
	} else {
		var settled reflect.Type
		if settled, nullable = settle(t, false); settled == nil { // raw JSON, which is an object wherever we read it, or anything
			if raw := unwrapped(t); raw != reflect.TypeFor[json.RawMessage]() {
				return map[string]any{}
			}
			settled = reflect.TypeFor[json.RawMessage]()
		}
		t = settled
	}
	schema := s.plain(t, d)
	if nullable {
		return orNull(schema)
	}
	return schema
}

// unwrapped looks through pointers and Fields alone.
func unwrapped(t reflect.Type) reflect.Type {
	for {
		if f, ok := reflect.New(t).Interface().(interface{ fieldValue() reflect.Type }); ok {
			t = f.fieldValue()
			continue
		}
		if t.Kind() != reflect.Pointer {
			return t
		}
		t = t.Elem()
	}
}

func orNull(schema map[string]any) map[string]any {
	if kind, ok := schema["type"].(string); ok {
		schema["type"] = []any{kind, "null"}
		return schema
	}
	if len(schema) == 0 {
		return schema
	}
	return map[string]any{"oneOf": []any{schema, map[string]any{"type": "null"}}}
}

func (s *schemas) plain(t reflect.Type, d direction) map[string]any {
	switch {
	case t == reflect.TypeFor[json.RawMessage]():
		return map[string]any{"type": "object"}
	case t == reflect.TypeFor[time.Time]():
		return map[string]any{"type": "string", "format": "date-time"}
	case t.Kind() != reflect.String && isText(t):
		return map[string]any{"type": "string"}
	}
	switch t.Kind() {
	case reflect.Bool:
		return map[string]any{"type": "boolean"}
	case reflect.String:
		return map[string]any{"type": "string"}
	case reflect.Int, reflect.Int32, reflect.Int64, reflect.Uint64:
		return map[string]any{"type": "integer"}
	case reflect.Float64:
		return map[string]any{"type": "number"}
	case reflect.Interface:
		return map[string]any{}
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return map[string]any{"type": "string", "contentEncoding": "base64"}
		}
		return map[string]any{"type": "array", "items": s.of(t.Elem(), d)}
	case reflect.Map:
		return map[string]any{"type": "object", "additionalProperties": s.of(t.Elem(), d)}
	case reflect.Struct:
		return s.object(t, d)
	default:
		s.fail(fmt.Errorf("no schema for the Go type %s", t))
		return map[string]any{}
	}
}

func (s *schemas) fail(err error) {
	if s.err == nil {
		s.err = err
	}
}

// object is a struct: in its place if it has no name, and a component otherwise.
func (s *schemas) object(t reflect.Type, d direction) map[string]any {
	name := componentName(t, d)
	if name == "" {
		return s.members(t, d)
	}
	owner := fmt.Sprintf("%s.%s (%d)", t.PkgPath(), t.Name(), d)
	if other, there := s.owners[name]; there && other != owner {
		s.fail(fmt.Errorf("two types are called %s in the document: %s and %s", name, owner, other))
	} else if !there {
		s.owners[name] = owner // before its members, which may name it again
		s.components[name] = s.members(t, d)
	}
	return map[string]any{"$ref": "#/components/schemas/" + name}
}

func (s *schemas) members(t reflect.Type, d direction) map[string]any {
	properties, required := map[string]any{}, []any{}
	for _, field := range reflect.VisibleFields(t) {
		name, options, _ := strings.Cut(field.Tag.Get("json"), ",")
		if field.Anonymous && name == "" || !field.IsExported() || name == "-" {
			continue
		}
		if name == "" {
			name = field.Name
		}
		schema := s.of(field.Type, d)
		if d == replied && options == "" {
			required = append(required, name)
			if field.Type.Kind() == reflect.Pointer || field.Tag.Get("schema") == "null" {
				schema = orNull(schema)
			}
		}
		properties[name] = schema
	}
	object := map[string]any{"type": "object", "properties": properties}
	if len(required) > 0 {
		object["required"] = required
	}
	if d == readStrictly {
		object["additionalProperties"] = false
	}
	return object
}

// componentName is the name of a type without what only we need to tell things apart: a userView is a User, a page of them a UserPage.
func componentName(t reflect.Type, d direction) string {
	name := t.Name()
	if generic, argument, ok := strings.Cut(name, "["); ok {
		argument = strings.TrimSuffix(argument, "]")
		name = trimmed(argument[strings.LastIndexAny(argument, "./")+1:]) + upperFirst(generic)
	}
	if d == replied {
		name = trimmed(name)
	}
	return upperFirst(name)
}

func trimmed(name string) string {
	for _, suffix := range []string{"View", "Fields"} {
		if short, ok := strings.CutSuffix(name, suffix); ok && short != "" {
			return short
		}
	}
	return name
}

func upperFirst(name string) string {
	if name == "" {
		return ""
	}
	return string(unicode.ToUpper(rune(name[0]))) + name[1:]
}

// statusName is the description of a reply.
func statusName(status int) string {
	if status == http.StatusNotModified {
		return "The version that If-None-Match names"
	}
	return http.StatusText(status)
}
