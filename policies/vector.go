package policies

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
)

// vector is a question with the answer it must get: a golden decision, or an invariant.
type vector struct {
	name, why  string
	entrypoint Entrypoint
	input      ast.Value
	allow      bool
	reasons    []Reason // nil: any; an empty rule: any rule of that code
	// obligations nil: any.
	obligations map[string]any
	file        string
}

// parseVectors reads a list of vectors. Inputs may leave out whatever is empty; unknown keys are refused everywhere.
func parseVectors(f file) ([]vector, error) {
	value, err := decodeYAML(f.body)
	if err != nil {
		return nil, refused(f.name, "golden", "%v", err)
	}
	list, ok := value.([]any)
	if !ok && value != nil {
		return nil, refused(f.name, "golden", "not a list")
	}
	c, err := newCompleter()
	if err != nil {
		return nil, err
	}
	vectors := make([]vector, 0, len(list))
	seen := map[string]bool{}
	for i, item := range list {
		v, err := c.vector(item)
		if err == nil && seen[v.name] {
			err = errors.New("the name stands twice")
		}
		if err != nil {
			return nil, refused(f.name, "golden", "vector %d %q: %v", i+1, v.name, err)
		}
		seen[v.name], v.file = true, f.name
		vectors = append(vectors, v)
	}
	return vectors, nil
}

func (c *completer) vector(item any) (v vector, err error) {
	fields, ok := item.(map[string]any)
	if !ok {
		return v, errors.New("not an object")
	}
	v.name, _ = fields["name"].(string)
	v.why, _ = fields["why"].(string)
	entrypoint, _ := fields["entrypoint"].(string)
	v.entrypoint = Entrypoint(entrypoint)
	if v.name == "" || v.why == "" || !slices.Contains(entrypoints(), v.entrypoint) {
		return v, errors.New("it needs name, why and an entrypoint")
	}
	if v.allow, ok = fields["allow"].(bool); !ok {
		return v, errors.New("allow is true or false")
	}
	input, ok := fields["input"].(map[string]any)
	if !ok {
		return v, errors.New("input is an object")
	}
	if v.input, err = c.complete(v.entrypoint, input); err != nil {
		return v, err
	}
	if v.reasons, err = parseReasons(fields["reasons"]); err != nil {
		return v, err
	}
	if given, present := fields["obligations"]; present {
		if v.obligations, ok = given.(map[string]any); !ok {
			return v, errors.New("obligations are an object")
		}
	}
	for name := range fields {
		if !slices.Contains([]string{"name", "why", "entrypoint", "input", "allow", "reasons", "obligations"}, name) {
			return v, fmt.Errorf("unknown field %q", name)
		}
	}
	return v, nil
}

// parseReasons takes codes, or objects {code, rule}.
func parseReasons(given any) ([]Reason, error) {
	if given == nil {
		return nil, nil
	}
	list, ok := given.([]any)
	if !ok {
		return nil, errors.New("reasons are a list")
	}
	reasons := []Reason{}
	for _, item := range list {
		switch item := item.(type) {
		case string:
			reasons = append(reasons, Reason{Code: item})
		case map[string]any:
			code, okCode := item["code"].(string)
			rule, okRule := item["rule"].(string)
			if !okCode || !okRule || len(item) != 2 {
				return nil, errors.New("a reason is a code, or exactly code and rule")
			}
			reasons = append(reasons, Reason{Code: code, Rule: rule})
		default:
			return nil, errors.New("a reason is a code, or exactly code and rule")
		}
	}
	return reasons, nil
}

// completer fills what a written input leaves out with what the zero question has there, so that vectors say only what they are
// about. It also works out resource.path and resource.covers, and opens windows that do not say when they begin or end.
type completer struct {
	zero, facts, token map[string]any
	terms              terms
}

func newCompleter() (*completer, error) {
	c := &completer{}
	zero := Question{Subject: Nobody("", "")}
	input, err := zero.build(&c.terms, "")
	if err != nil {
		return nil, err
	}
	for value, to := range map[ast.Value]*map[string]any{
		input: &c.zero, zero.Subject.term().Value: &c.facts, new(TokenRequest).build(&c.terms).Value: &c.token,
	} {
		if *to, err = document(value); err != nil {
			return nil, err
		}
	}
	c.zero["now"] = json.Number("0")
	return c, nil
}

func (c *completer) complete(e Entrypoint, given map[string]any) (ast.Value, error) {
	input := maps.Clone(c.zero)
	for _, name := range []string{"subject", "action", "resource", "caller"} {
		input[name] = maps.Clone(input[name].(map[string]any))
	}
	input["entrypoint"] = string(e)
	var asked Resource
	resource, _ := given["resource"].(map[string]any)
	asked.Type, _ = resource["type"].(string)
	asked.ID, _ = resource["id"].(string)
	path, covers := asked.paths(&c.terms)
	for name, term := range map[string]*ast.Term{"path": path, "covers": covers} {
		plain, err := ast.JSON(term.Value)
		if err != nil {
			return nil, err
		}
		input["resource"].(map[string]any)[name] = plain
	}
	if err := c.fill(input, given, ""); err != nil {
		return nil, err
	}
	if context, ok := input["context"].(map[string]any); ok && context["dialect"] == nil {
		context = maps.Clone(context)
		context["dialect"] = ""
		input["context"] = context
	}
	value, err := ast.InterfaceToValue(input)
	if err != nil {
		return nil, err
	}
	settle(value)
	return value, nil
}

// fill writes what is given over the defaults. Only the objects that the contract names are closed.
func (c *completer) fill(into, given map[string]any, at string) error {
	for _, name := range slices.Sorted(maps.Keys(given)) {
		here, value := strings.TrimPrefix(at+"."+name, "."), given[name]
		old, known := into[name]
		if !known {
			return fmt.Errorf("input.%s does not exist%s", here, nearest(name, slices.Sorted(maps.Keys(into))))
		}
		inner, isObject := value.(map[string]any)
		switch here {
		case "subject", "action", "resource", "caller":
			if !isObject {
				return fmt.Errorf("input.%s is an object", here)
			}
			if err := c.fill(old.(map[string]any), inner, here); err != nil {
				return err
			}
			continue
		case "client", "resource.before", "resource.after", "token":
			if isObject {
				template := maps.Clone(c.facts)
				if here == "token" {
					template = maps.Clone(c.token)
				}
				if err := c.fill(template, inner, here); err != nil {
					return err
				}
				value = template
			}
		default:
			if name == "grants" && isObject {
				openWindows(inner, 4)
			}
			if _, number := old.(fmt.Stringer); old != nil && !number && value != nil && reflect.TypeOf(old) != reflect.TypeOf(value) {
				return fmt.Errorf("input.%s is of another type", here)
			}
		}
		into[name] = value
	}
	return nil
}

// openWindows gives the windows at the leaves of a grant map their open ends.
func openWindows(tree map[string]any, depth int) {
	for _, branch := range tree {
		inner, ok := branch.(map[string]any)
		if !ok {
			continue
		}
		if depth > 1 {
			openWindows(inner, depth-1)
			continue
		}
		if _, given := inner["not_before"]; !given {
			inner["not_before"] = 0
		}
		if _, given := inner["not_after"]; !given {
			inner["not_after"] = int64(Forever)
		}
	}
}

// run puts the vector's question to a snapshot and says how the answer differs, or nothing. Reasons are compared by code
// alone where byRule is false: a replaced core names its rules as it likes.
func (v *vector) run(ctx context.Context, s *snapshot, byRule bool) (string, error) {
	result, err := s.once(ctx, v.entrypoint, v.input)
	if err != nil {
		return "", err
	}
	var d Decision
	if err := d.decode(result, s.set.catalogue); err != nil {
		return "", err
	}
	if !d.Allow {
		result, err := s.once(ctx, EntryWhy, v.input)
		if err != nil {
			return "", fmt.Errorf("why: %w", err)
		}
		if d.Reasons, err = decodeWhy(result, s.set.catalogue); err != nil {
			return "", fmt.Errorf("why: %w", err)
		}
	}
	if d.Allow != v.allow {
		return fmt.Sprintf("allow is %t, want %t; reasons %v", d.Allow, v.allow, d.Reasons), nil
	}
	if v.reasons != nil && !sameReasons(d.Reasons, v.reasons, byRule) {
		return fmt.Sprintf("reasons are %v, want %v", d.Reasons, v.reasons), nil
	}
	return v.compareObligations(result)
}

func (v *vector) compareObligations(result ast.Value) (string, error) {
	if v.obligations == nil {
		return "", nil
	}
	got := result.(ast.Object).Get(key.obligations).Value
	plain, err := document(got)
	if err != nil {
		return "", err
	}
	got, err = ast.InterfaceToValue(plain) // sets became arrays
	if err != nil {
		return "", err
	}
	want, err := ast.InterfaceToValue(v.obligations)
	if err != nil {
		return "", err
	}
	if got.Compare(want) != 0 {
		return fmt.Sprintf("obligations are %v, want %v", got, want), nil
	}
	return "", nil
}

// sameReasons compares as sets.
func sameReasons(got, want []Reason, byRule bool) bool {
	matches := func(g, w Reason) bool { return g.Code == w.Code && (!byRule || w.Rule == "" || g.Rule == w.Rule) }
	for _, g := range got {
		if !slices.ContainsFunc(want, func(w Reason) bool { return matches(g, w) }) {
			return false
		}
	}
	for _, w := range want {
		if !slices.ContainsFunc(got, func(g Reason) bool { return matches(g, w) }) {
			return false
		}
	}
	return true
}

// readVectors reads all golden decisions of a directory, in order of the files' names.
func readVectors(dir string) ([]vector, error) {
	layer, err := newLayers(nil, Source{Dir: dir})
	if err != nil {
		return nil, err
	}
	files, err := readTree(layer.dir, dir)
	if err != nil {
		return nil, err
	}
	return vectorsOf(slices.DeleteFunc(files, func(f file) bool { return filepath.Ext(f.path) != ".yaml" }))
}

func vectorsOf(files []file) ([]vector, error) {
	var all []vector
	for _, f := range files {
		vectors, err := parseVectors(f)
		if err != nil {
			return nil, err
		}
		all = append(all, vectors...)
	}
	return all, nil
}
