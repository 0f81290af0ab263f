package policies_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/writ-authz/writ/policies"
)

const zooHead = `# METADATA
# compile:
#   unknowns: [input.resource.properties]
package apps.zoo

`

func policyOf(tb testing.TB, rules string) *policies.Policy {
	tb.Helper()
	p, err := policies.NewPolicy(tb.Context(), zooHead+rules, map[string]any{
		"table": map[string]any{"a": true, "b": true, "ab": false, "deep": map[string]any{"a": true}},
	})
	if err != nil {
		tb.Fatalf("%v\n%s", err, rules)
	}
	return p
}

// listing is what a filter is asked for: about objects of which nothing is known.
func listing(properties map[string]any) map[string]any {
	return map[string]any{
		"subject":  map[string]any{"id": "ada", "teams": []any{"a", "b"}, "level": json.Number("1"), "groups": map[string]any{"a": true, "ab": true}},
		"action":   map[string]any{"name": "read"},
		"context":  map[string]any{"name": "$where"},
		"resource": map[string]any{"type": "zoo", "id": "7", "properties": properties},
	}
}

func rendered(tb interface{ Fatal(...any) }, f *policies.Filter, form policies.FilterForm) (filter map[string]any, nobody bool) {
	made, err := f.Render(form, nil)
	if err != nil {
		tb.Fatal(err)
	}
	text, err := json.Marshal(made) // as a client gets it
	if err != nil || made == nil {
		return nil, true
	}
	if err := json.Unmarshal(text, &filter); err != nil {
		tb.Fatal(err)
	}
	return filter, false
}

// TestFilters says what comes of single policies; {} selects everything, "nobody" nothing.
func TestFilters(t *testing.T) {
	for name, c := range map[string]struct{ rules, ucast, mongo string }{
		"equal": {
			`permit contains "x" if input.resource.properties.owner == input.subject.id`,
			`{"field":"owner","operator":"eq","type":"field","value":"ada"}`,
			`{"owner":{"$eq":"ada","$not":{"$type":"array"}}}`,
		},
		"known": {`permit contains "x" if input.subject.id == "ada"`, `{}`, `{}`},
		"no":    {`permit contains "x" if input.subject.id == "bob"`, `nobody`, `nobody`},
		"denied": {
			"permit contains \"x\"\ndeny contains \"y\" if input.action.name == \"read\"", `nobody`, `nobody`,
		},
		"one of the groups is one test": {
			`permit contains "x" if {
				some group, _ in input.subject.groups
				input.resource.properties.group == group
			}`,
			`{"field":"group","operator":"in","type":"field","value":["a","ab"]}`,
			`{"group":{"$in":["a","ab"],"$not":{"$type":"array"}}}`,
		},
		"a key of known data": {
			`permit contains "x" if input.subject.groups[input.resource.properties.group]`,
			`{"field":"group","operator":"in","type":"field","value":["a","ab"]}`,
			`{"group":{"$in":["a","ab"],"$not":{"$type":"array"}}}`,
		},
		"different": {
			`permit contains "x" if input.resource.properties.owner != "bob"`,
			`{"field":"owner","operator":"ne","type":"field","value":"bob"}`,
			`{"$nor":[{"owner":{"$eq":"bob","$not":{"$type":"array"}}}],"owner":{"$exists":true}}`,
		},
		"not": {
			`permit contains "x" if not input.resource.properties.owner == "bob"`,
			`{"operator":"or","type":"compound","value":[{"field":"owner","operator":"eq","type":"field","value":null},` +
				`{"field":"owner","operator":"ne","type":"field","value":"bob"}]}`,
			`{"$nor":[{"owner":{"$eq":"bob","$not":{"$type":"array"}}}]}`,
		},
		"mirrored": {
			`permit contains "x" if 5 > input.resource.properties.n`,
			`{"field":"n","operator":"lt","type":"field","value":5}`,
			`{"$or":[{"n":{"$lt":5,"$not":{"$type":"array"}}},{"n":{"$exists":true,"$not":{"$type":"array"},"$type":["null","bool"]}}]}`,
		},
		"null": {
			`permit contains "x" if input.resource.properties.n == null`, `nobody`,
			`{"n":{"$eq":null,"$exists":true,"$not":{"$type":"array"}}}`,
		},
		"nothing is special in a search": {
			`permit contains "x" if startswith(input.resource.properties.path, "a.*$\u0000")`,
			`{"field":"path","operator":"startswith","type":"field","value":"a.*$\u0000"}`,
			`{"$and":[{"path":{"$not":{"$type":"array"},"$regex":"^a\\.\\*\\$\\x00"}},` +
				`{"$or":[{"$nor":[{"path":{"$exists":true}}]},{"path":{"$not":{"$type":"array"},"$type":"string"}}]}]}`,
		},
		"the id": {
			`permit contains "x" if input.resource.id in {"1", "2"}`,
			`{"field":"id","operator":"in","type":"field","value":["1","2"]}`, `{"id":{"$in":["1","2"]}}`,
		},
		"a field on its own": {
			`permit contains "x" if input.resource.properties.public`,
			`{"field":"public","operator":"ne","type":"field","value":false}`,
			`{"$nor":[{"public":{"$eq":false,"$not":{"$type":"array"}}}],"public":{"$exists":true}}`,
		},
		"a helper with a default": {
			"default mine := false\nmine if input.resource.properties.owner == \"ada\"\npermit contains \"x\" if mine",
			`{"field":"owner","operator":"eq","type":"field","value":"ada"}`, `{"owner":{"$eq":"ada","$not":{"$type":"array"}}}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := policyOf(t, c.rules)
			if problems, err := p.Problems(t.Context()); err != nil || len(problems) > 0 {
				t.Fatal(problems, err)
			}
			f, err := p.Filter(t.Context(), listing(nil))
			if err != nil {
				t.Fatal(err)
			}
			for form, want := range map[policies.FilterForm]string{policies.FilterAll: c.ucast, policies.FilterMongoDB: c.mongo} {
				got := "nobody"
				if filter, nobody := rendered(t, f, form); !nobody {
					text, _ := json.Marshal(filter)
					got = string(text)
				}
				if !sameJSON(got, want) {
					t.Errorf("%s: %s\nwant %s", form, got, want)
				}
			}
		})
	}
}

func sameJSON(a, b string) bool {
	var x, y any
	if json.Unmarshal([]byte(a), &x) != nil || json.Unmarshal([]byte(b), &y) != nil {
		return a == b
	}
	return reflect.DeepEqual(x, y)
}

// TestFormsDiffer: what the readers of a form do not know is not written in it.
func TestFormsDiffer(t *testing.T) {
	forms := []policies.FilterForm{
		policies.FilterAll, policies.FilterPrisma, policies.FilterLINQ, policies.FilterMinimal, policies.FilterMongoDB,
	}
	for rule, refused := range map[string][]policies.FilterForm{
		`input.resource.properties.a == "x"`:                                 nil,
		`input.resource.properties.a in {"x", "y"}`:                          nil,
		`not input.resource.properties.a in {"x", "y"}`:                      nil,
		`startswith(input.resource.properties.a, "x")`:                       {policies.FilterLINQ, policies.FilterMinimal},
		`not endswith(input.resource.properties.a, "x")`:                     {policies.FilterLINQ, policies.FilterMinimal},
		`input.resource.properties.a == input.resource.properties.b`:         forms[1:],
		`not input.resource.properties.a <= input.resource.properties.b`:     forms[1:],
		`x := input.resource.properties.a; x != input.resource.properties.b`: forms[1:],
	} {
		f, err := policyOf(t, "permit contains \"x\" if {\n"+rule+"\n}").Filter(t.Context(), listing(nil))
		if err != nil {
			t.Fatal(rule, err)
		}
		for _, form := range forms {
			if _, err := f.Render(form, nil); errors.Is(err, policies.ErrFilterForm) != slices.Contains(refused, form) {
				t.Errorf("%s as %s: %v", rule, form, err)
			}
		}
		text, _ := json.Marshal(must(f.Render(policies.FilterAll, map[string]string{"a": "owner_id"})))
		if !strings.Contains(string(text), `"owner_id"`) || strings.Contains(string(text), `"a"`) {
			t.Errorf("%s: the field is not renamed in %s", rule, text)
		}
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// TestWhatIsNoFilterIsToldWhenItIsLoaded, with its place.
func TestWhatIsNoFilterIsToldWhenItIsLoaded(t *testing.T) {
	for rule, want := range map[string]string{
		`count(input.resource.properties.tags) > 1`:                      "count",
		`"x" in input.resource.properties.tags`:                          "right of in must be known",
		`upper(input.resource.properties.a) == "X"`:                      "upper",
		`input.resource.properties.a.b == 1`:                             "inside of a field",
		`input.resource.properties[input.context.name] == 1`:             "name is not known",
		`input.resource.properties["$where"] == 1`:                       "no filter takes",
		`input.resource.properties["a.b"] == 1`:                          "no filter takes",
		`input.resource.properties["a\u0000"] == 1`:                      "no filter takes",
		`input.resource.properties["a\"; DROP TABLE x"] == 1`:            "no filter takes",
		`input.resource.properties.id == 1`:                              "no filter takes",
		`input.resource.path == "zoo/1"`:                                 "compare input.resource.id",
		`object.get(input.resource.properties, "a", 1) == 1`:             "more than one field",
		`object.get(input, ["resource", "properties", "a"], 1) == 1`:     "more than one field",
		`input.resource == {"type": "zoo"}`:                              "more than one field",
		`some x in input.resource.properties.tags; x == 1`:               "inside of a field",
		`every x in input.resource.properties.tags { x == 1 }`:           "every",
		`startswith("abc", input.resource.properties.a)`:                 "",
		`input.resource.properties.a == input.resource.properties.b + 1`: "plus",
		`chosen == "x"`:                                         "computed",
		`f(input.resource.properties.a)`:                        "",
		`[input.resource.properties.a] == [1]`:                  "",
		`{x | some x in input.resource.properties.tags} == {1}`: "computed",
	} {
		p := policyOf(t, `chosen := "x" if {
	input.resource.properties.a == 1
} else := "y"

default f(_) := false

f(x) if x == 1

permit contains "x" if {
	input.subject.id == "ada"
	`+rule+`
}`)
		problems, err := p.Problems(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.Filter(t.Context(), listing(nil)); err == nil && want != "" {
			t.Errorf("%s: a filter was made", rule)
		}
		if want == "" && len(problems) == 0 { // the engine wrote it as what can be said
			continue
		}
		if len(problems) == 0 || problems[0].File != "zoo.rego" || problems[0].Line < 5 || problems[0].Rule != "filter" ||
			!strings.Contains(problems[0].Message, want) {
			t.Errorf("%s: %v, want %q", rule, problems, want)
		}
	}
}

// TestWhatIsKnownNeedNotBeTranslatable: only what the object takes part in must be.
func TestWhatIsKnownNeedNotBeTranslatable(t *testing.T) {
	p := policyOf(t, `default rank := 0

rank := 2 if {
	count(input.subject.teams) > 1
} else := 1

every_team if every team in input.subject.teams { startswith(team, input.subject.prefix) }

permit contains "x" if {
	not every_team
	upper(input.subject.id) == "ADA"
	input.resource.properties.n <= rank * 10
}`)
	if problems, err := p.Problems(t.Context()); err != nil || len(problems) > 0 {
		t.Fatal(problems, err)
	}
	f, err := p.Filter(t.Context(), listing(nil))
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := rendered(t, f, policies.FilterAll); got["value"] != 20.0 || got["operator"] != "lte" {
		t.Error(got)
	}
}

// policyText draws rules over four fields. Typed: each field is compared with values of its own type, and there is no null.
func policyText(typed bool) *rapid.Generator[string] {
	fields := []string{"a", "b", "c", "d"}
	values := map[string][]string{
		"a": {"0", "1", "2"}, "d": {"0", "1", "2", "input.subject.level"}, "b": {`"a"`, `"b"`, `"ab"`, `""`, "input.subject.id"}, "c": {"true", "false"},
	}
	lists := map[string][]string{
		"a": {"{0, 1}", "[2]"}, "d": {"[1, 2]"}, "b": {"input.subject.teams", `{"ab", "b"}`, "input.subject.groups"}, "c": {"[true, false]"},
	}
	expression := func(t *rapid.T, helpers int) string {
		field := rapid.SampledFrom(fields).Draw(t, "field")
		ref := "input.resource.properties." + field
		from := field
		if !typed {
			from = rapid.SampledFrom(fields).Draw(t, "from")
		}
		value := rapid.SampledFrom(values[from]).Draw(t, "value")
		if !typed && rapid.IntRange(0, 9).Draw(t, "null") == 0 {
			value = "null"
		}
		op := rapid.SampledFrom([]string{"==", "!=", "<", "<=", ">", ">="}).Draw(t, "op")
		var e string
		switch kind := rapid.IntRange(0, 11).Draw(t, "kind"); {
		case kind < 3:
			e = fmt.Sprintf("%s %s %s", ref, op, value)
		case kind == 3:
			e = fmt.Sprintf("%s %s %s", value, op, ref)
		case kind < 6:
			e = fmt.Sprintf("%s in %s", ref, rapid.SampledFrom(lists[from]).Draw(t, "list"))
		case kind == 6 && (!typed || field == "c"):
			e = ref
		case kind == 7 && (!typed || field == "b"):
			e = fmt.Sprintf("%s(%s, %q)", rapid.SampledFrom([]string{"startswith", "endswith", "contains"}).Draw(t, "search"), ref,
				rapid.SampledFrom([]string{"a", "b", "."}).Draw(t, "text"))
		case kind == 8 && helpers > 0:
			e = fmt.Sprintf("h%d", rapid.IntRange(0, helpers-1).Draw(t, "helper"))
		case kind == 9 && (!typed || field == "b"):
			e = fmt.Sprintf("data.table[%s]", ref)
		case kind == 10:
			return fmt.Sprintf("v%s := %s\n\tv%s %s %s", field, ref, field, op, value)
		default:
			e = fmt.Sprintf("%s == %s", ref, value)
		}
		if rapid.IntRange(0, 3).Draw(t, "not") == 0 {
			return "not " + e
		}
		return e
	}
	return rapid.Custom(func(t *rapid.T) string {
		var b strings.Builder
		rule := func(head string, helpers int) {
			body := map[string]bool{}
			var lines []string
			for range rapid.IntRange(1, 3).Draw(t, "expressions") {
				e := expression(t, helpers)
				name, _, _ := strings.Cut(e, " := ")
				if !body[name] {
					lines = append(lines, e)
				}
				body[name] = true
			}
			fmt.Fprintf(&b, "%s if {\n\t%s\n}\n\n", head, strings.Join(lines, "\n\t"))
		}
		helpers := rapid.IntRange(0, 2).Draw(t, "helpers")
		for h := range helpers {
			if rapid.Bool().Draw(t, "default") {
				fmt.Fprintf(&b, "default h%d := false\n\n", h)
			}
			for range rapid.IntRange(1, 2).Draw(t, "bodies") {
				rule(fmt.Sprintf("h%d", h), h)
			}
		}
		for range rapid.IntRange(1, 3).Draw(t, "permits") {
			rule(fmt.Sprintf("permit contains %q", rapid.SampledFrom([]string{"x", "y"}).Draw(t, "code")), helpers)
		}
		for range rapid.IntRange(0, 2).Draw(t, "denials") {
			rule(`deny contains "z"`, helpers)
		}
		return b.String()
	})
}

// anyObject draws what a document may hold: fields that are missing, null, of any type, lists of what would fit.
func anyObject() *rapid.Generator[map[string]any] {
	value := rapid.SampledFrom([]any{
		nil, true, false, 0.0, 1.0, 2.0, 1.5, "", "a", "b", "ab", "a.b", "ada",
		[]any{},
		[]any{"a"},
		[]any{1.0, "ab"},
		[]any{nil},
		[]any{0.0, 2.0},
		[]any{false},
		map[string]any{},
		map[string]any{"a": "a"},
		map[string]any{"0": 1.0},
	})
	return objectOf(func(string) *rapid.Generator[any] { return value })
}

// typedObject draws rows of a table: fields that are missing or of their own type.
func typedObject() *rapid.Generator[map[string]any] {
	return objectOf(func(field string) *rapid.Generator[any] {
		switch field {
		case "b":
			return rapid.SampledFrom([]any{"", "a", "b", "ab", "a.b", "ada"})
		case "c":
			return rapid.SampledFrom([]any{true, false})
		}
		return rapid.SampledFrom([]any{0.0, 1.0, 2.0, 3.0})
	})
}

func objectOf(value func(field string) *rapid.Generator[any]) *rapid.Generator[map[string]any] {
	return rapid.Custom(func(t *rapid.T) map[string]any {
		o := map[string]any{}
		for _, field := range []string{"a", "b", "c", "d"} {
			if rapid.IntRange(0, 3).Draw(t, "there") > 0 {
				o[field] = value(field).Draw(t, field)
			}
		}
		return o
	})
}

// one object and what a filter does with it.
type selected struct {
	Object   map[string]any `json:"object"`
	Selected bool           `json:"selected"`
}

// drawnFilter is a policy, a filter of it, and objects with what is decided on each.
func drawnFilter(t *rapid.T, typed bool, each func(f *policies.Filter, object map[string]any, permitted bool, err error)) string {
	rules := policyText(typed).Draw(t, "rules")
	p, err := policies.NewPolicy(t.Context(), zooHead+rules, map[string]any{
		"table": map[string]any{"a": true, "b": true, "ab": false, "deep": map[string]any{"a": true}},
	})
	if err != nil {
		t.Fatalf("%v\n%s", err, rules)
	}
	if problems, err := p.Problems(t.Context()); err != nil || len(problems) > 0 {
		t.Fatalf("%v %v\n%s", problems, err, rules)
	}
	f, err := p.Filter(t.Context(), listing(nil))
	if err != nil {
		t.Fatalf("%v\n%s", err, rules)
	}
	objects := anyObject()
	if typed {
		objects = typedObject()
	}
	for range 12 {
		o := objects.Draw(t, "object")
		permitted, err := p.Permits(t.Context(), listing(o))
		each(f, o, permitted && err == nil, err)
	}
	return rules
}

// TestADenialIsNotMadeOfThePermit: what partial evaluation leaves of permit and of deny is named alike, and is not the same.
func TestADenialIsNotMadeOfThePermit(t *testing.T) {
	p, err := policies.NewPolicy(t.Context(), zooHead+`permit contains "x" if {
	not input.resource.properties.c
}

permit contains "x" if {
	not input.resource.properties.a == null
}

deny contains "z" if {
	not input.resource.properties.a
}
`, nil)
	if err != nil {
		t.Fatal(err)
	}
	f, err := p.Filter(t.Context(), listing(nil))
	if err != nil {
		t.Fatal(err)
	}
	filter, _ := rendered(t, f, policies.FilterMongoDB)
	for _, o := range []map[string]any{{"c": nil}, {"c": 1.0}, {"a": false}, {"a": 1.0}, {"a": nil}, {}} {
		permitted, err := p.Permits(t.Context(), listing(o))
		if err != nil {
			t.Fatal(err)
		}
		if got := mongoMatches(filter, o); got != permitted {
			t.Errorf("%v: selected %t, permitted %t", o, got, permitted)
		}
	}
}

// TestFiltersSelectWhatIsPermitted: of random policies and random objects, the filter selects exactly what the decision on each permits.
func TestFiltersSelectWhatIsPermitted(t *testing.T) {
	t.Run("MongoDB", func(t *testing.T) {
		selects, leaves := 0, 0
		rapid.Check(t, func(t *rapid.T) {
			drawnFilter(t, false, func(f *policies.Filter, o map[string]any, permitted bool, err error) {
				filter, nobody := rendered(t, f, policies.FilterMongoDB)
				got := !nobody && mongoMatches(filter, o)
				// What is searched must be a string. Where it is not, the decision may be an error, and nothing is selected.
				searchable := !slices.ContainsFunc(f.Texts(), func(field string) bool {
					v, there := o[field]
					_, text := v.(string)
					return there && !text
				})
				if got != permitted && (got || searchable) {
					t.Fatalf("%v: selected %t, permitted %t (%v) by\n%v", o, got, permitted, err, must(json.Marshal(filter)))
				}
				if got {
					selects++
				} else {
					leaves++
				}
			})
		})
		if selects < 100 || leaves < 100 {
			t.Errorf("%d selected and %d left prove little", selects, leaves)
		}
	})
	t.Run("UCAST", func(t *testing.T) {
		selects, leaves := 0, 0
		rapid.Check(t, func(t *rapid.T) {
			drawnFilter(t, true, func(f *policies.Filter, o map[string]any, permitted bool, err error) {
				filter, nobody := rendered(t, f, policies.FilterAll)
				got, sql := !nobody && ucastMatches(filter, o), !nobody && ucastInSQL(filter, o) == yes
				if got != permitted || sql != permitted {
					t.Fatalf("%v: selected %t, in SQL %t, permitted %t (%v) by\n%s", o, got, sql, permitted, err, must(json.Marshal(filter)))
				}
				if got {
					selects++
				} else {
					leaves++
				}
			})
		})
		if selects < 100 || leaves < 100 {
			t.Errorf("%d selected and %d left prove little", selects, leaves)
		}
	})
}

// ucastMatches is how a program reads UCAST: what is missing is null, null equals itself, and is otherwise nothing to compare with.
func ucastMatches(filter, o map[string]any) bool {
	if len(filter) == 0 {
		return true
	}
	op, _ := filter["operator"].(string)
	if filter["type"] == "compound" {
		parts, _ := filter["value"].([]any)
		switch op {
		case "and":
			return !slices.ContainsFunc(parts, func(p any) bool { return !ucastMatches(p.(map[string]any), o) })
		case "or":
			return slices.ContainsFunc(parts, func(p any) bool { return ucastMatches(p.(map[string]any), o) })
		}
		return !ucastMatches(parts[0].(map[string]any), o)
	}
	have, want := o[filter["field"].(string)], filter["value"]
	if other, ok := want.(map[string]any); ok {
		want = o[other["field"].(string)]
	}
	switch {
	case op == "eq":
		return have == want
	case op == "ne":
		return have != want && (have != nil || want == nil)
	case op == "in":
		return slices.Contains(want.([]any), have)
	case have == nil || want == nil:
		return false
	}
	return ordered(op, have, want)
}

func ordered(op string, have, want any) bool {
	switch h := have.(type) {
	case string:
		w, _ := want.(string)
		switch op {
		case "startswith":
			return strings.HasPrefix(h, w)
		case "endswith":
			return strings.HasSuffix(h, w)
		case "contains":
			return strings.Contains(h, w)
		}
		return byOrder(op, strings.Compare(h, w))
	case float64:
		w, _ := want.(float64)
		return byOrder(op, int(2*h-2*w))
	case bool:
		w, _ := want.(bool)
		return byOrder(op, rank(h)-rank(w))
	}
	return false
}

func rank(b bool) int {
	if b {
		return 1
	}
	return 0
}

func byOrder(op string, c int) bool {
	return op == "lt" && c < 0 || op == "lte" && c <= 0 || op == "gt" && c > 0 || op == "gte" && c >= 0
}

// truth has three values, as in SQL.
type truth int

const (
	no truth = iota
	unknown
	yes
)

// ucastInSQL is how SQL reads UCAST: a comparison with null is unknown, but for IS NULL, and unknown stays so under NOT.
func ucastInSQL(filter, o map[string]any) truth {
	if len(filter) == 0 {
		return yes
	}
	op, _ := filter["operator"].(string)
	if filter["type"] == "compound" {
		parts, _ := filter["value"].([]any)
		lowest, highest := yes, no
		for _, p := range parts {
			v := ucastInSQL(p.(map[string]any), o)
			lowest, highest = min(lowest, v), max(highest, v)
		}
		switch op {
		case "and":
			return lowest
		case "or":
			return highest
		}
		return yes - highest
	}
	have, null := o[filter["field"].(string)], filter["value"] == nil
	switch {
	case null && op == "eq":
		return map[bool]truth{true: yes, false: no}[have == nil]
	case null && op == "ne":
		return map[bool]truth{true: yes, false: no}[have != nil]
	case have == nil:
		return unknown
	}
	return map[bool]truth{true: yes, false: no}[ucastMatches(filter, o)]
}

// mongoMatches is what MongoDB's manual says of the operators that a filter has.
func mongoMatches(filter, o map[string]any) bool {
	for name, tests := range filter {
		switch name {
		case "$and", "$or", "$nor":
			parts := tests.([]any)
			matches := 0
			for _, p := range parts {
				if mongoMatches(p.(map[string]any), o) {
					matches++
				}
			}
			if name == "$and" && matches < len(parts) || name == "$or" && matches == 0 || name == "$nor" && matches > 0 {
				return false
			}
		default:
			value, there := o[name]
			for op, want := range tests.(map[string]any) {
				if !mongoHolds(op, want, value, there) {
					return false
				}
			}
		}
	}
	return true
}

func mongoHolds(op string, want, value any, there bool) bool {
	if op == "$exists" {
		return there == want.(bool)
	}
	if op == "$not" {
		for inner, w := range want.(map[string]any) {
			if mongoHolds(inner, w, value, there) {
				return false
			}
		}
		return true
	}
	candidates := []any{value}
	if list, ok := value.([]any); ok { // a test holds of a list if it does of the list or of an element
		candidates = append(candidates, list...)
	}
	return slices.ContainsFunc(candidates, func(v any) bool { return mongoHoldsOf(op, want, v, there) })
}

func mongoHoldsOf(op string, want, v any, there bool) bool {
	switch op {
	case "$eq":
		return reflect.DeepEqual(v, want) // what is missing is null
	case "$in":
		return slices.ContainsFunc(want.([]any), func(w any) bool { return reflect.DeepEqual(v, w) })
	case "$type":
		types, many := want.([]any)
		if !many {
			types = []any{want}
		}
		return there && slices.Contains(types, any(mongoType(v)))
	case "$regex":
		text, ok := v.(string)
		return ok && regexp.MustCompile(want.(string)).MatchString(text)
	}
	return v != nil && mongoType(v) == mongoType(want) && ordered(strings.TrimPrefix(op, "$"), v, want)
}

func mongoType(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case bool:
		return "bool"
	case float64:
		return "number"
	case string:
		return "string"
	case []any:
		return "array"
	}
	return "object"
}

// corpus is a file of filters and of what they select, for a reader of MongoDB filters that nobody here wrote: e2e/mongowire runs it.
const corpus = "testdata/filters/mongodb.json"

type corpusCase struct {
	Rules   string         `json:"rules"`
	Filter  map[string]any `json:"filter"`
	Objects []selected     `json:"objects"`
}

// TestFiltersForTheStandIn holds the file to what filters are now. With -update it is written anew.
func TestFiltersForTheStandIn(t *testing.T) {
	var cases []corpusCase
	for seed := range 60 {
		rapidExample(seed, func(t *rapid.T) {
			c := corpusCase{}
			c.Rules = drawnFilter(t, false, func(f *policies.Filter, o map[string]any, _ bool, _ error) {
				filter, nobody := rendered(t, f, policies.FilterMongoDB)
				if !nobody {
					c.Filter = filter
					c.Objects = append(c.Objects, selected{o, mongoMatches(filter, o)})
				}
			})
			if c.Filter != nil {
				cases = append(cases, c)
			}
		})
	}
	lines := make([]string, len(cases)) // one a line
	for i, c := range cases {
		lines[i] = string(must(json.Marshal(c)))
	}
	text := "[\n" + strings.Join(lines, ",\n") + "\n]\n"
	if *update {
		if err := errors.Join(os.MkdirAll(filepath.Dir(corpus), 0o755), os.WriteFile(corpus, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	kept, err := os.ReadFile(corpus)
	if err != nil {
		t.Fatal(err)
	}
	if len(cases) < 30 || string(kept) != text {
		t.Errorf("%d cases; the file differs: go test ./policies -run StandIn -update", len(cases))
	}
}

// rapidExample draws the same for the same seed.
func rapidExample(seed int, f func(*rapid.T)) {
	rapid.Custom(func(t *rapid.T) int { f(t); return 0 }).Example(seed)
}
