package policies

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
)

// test is what a condition asks of an object.
type test string

// The compound tests, and those about one field. Each test about a field but missing holds only of an object that has the field, as an
// expression of Rego holds only where it is defined; so every condition either holds or does not, and its negation is the complement.
const (
	testAll     test = "and"
	testAny     test = "or"
	testNot     test = "not"
	testPresent test = "present" // the field is there, even if it is null
	testText    test = "text"    // the field is there and a string
	testEqual   test = "eq"
	testDiffers test = "ne"
	testLess    test = "lt"
	testMost    test = "lte" // at most
	testMore    test = "gt"
	testLeast   test = "gte" // at least
	testAmong   test = "in"
	testBegins  test = "startswith"
	testEnds    test = "endswith"
	testHas     test = "contains"
)

// condition is what an object must fulfil. It is never modified.
type condition struct {
	test  test
	parts []*condition // of and, or, not
	field string
	other string // compared with, in standing of value, where it is not empty
	value any    // nil, bool, string or json.Number
	list  []any  // of in: such values
}

// everything and nothing are the empty conjunction and disjunction.
func everything() *condition { return &condition{test: testAll} }

func nothing() *condition { return &condition{test: testAny} }

func (c *condition) always() bool { return c.test == testAll && len(c.parts) == 0 }

func (c *condition) never() bool { return c.test == testAny && len(c.parts) == 0 }

func fieldTest(field string, t test, value any) *condition {
	return &condition{test: t, field: field, value: value}
}

// among is the shortest condition that a field is one of these values.
func among(field string, values []any) *condition {
	unique := map[string]any{}
	for _, v := range values {
		unique[canonical(v)] = v
	}
	names := make([]string, 0, len(unique))
	for name := range unique {
		names = append(names, name)
	}
	slices.Sort(names)
	switch len(names) {
	case 0:
		return nothing()
	case 1:
		return fieldTest(field, testEqual, unique[names[0]])
	}
	list := make([]any, len(names))
	for i, name := range names {
		list[i] = unique[name]
	}
	return &condition{test: testAmong, field: field, list: list}
}

func canonical(v any) string {
	text, err := json.Marshal(v)
	if err != nil { // values are scalars, or lists of them
		return ""
	}
	return string(text)
}

// text is the same for conditions that say the same in the same order.
func (c *condition) text() string {
	var b strings.Builder
	c.write(&b)
	return b.String()
}

func (c *condition) write(b *strings.Builder) {
	b.WriteString(string(c.test))
	b.WriteByte('(')
	for _, part := range c.parts {
		part.write(b)
		b.WriteByte(' ')
	}
	if c.field != "" {
		b.WriteString(canonical([]any{c.field, c.other, c.value, c.list}))
	}
	b.WriteByte(')')
}

// leaves counts the tests about fields.
func (c *condition) leaves() int {
	if c.field != "" {
		return 1
	}
	n := 0
	for _, part := range c.parts {
		n += part.leaves()
	}
	return n
}

// not is the complement.
func not(c *condition) *condition {
	switch {
	case c.always():
		return nothing()
	case c.never():
		return everything()
	case c.test == testNot:
		return c.parts[0]
	}
	return &condition{test: testNot, parts: []*condition{c}}
}

// all holds where each of them does.
func all(parts ...*condition) *condition { return joined(testAll, parts) }

// either holds where any of them does.
func either(parts ...*condition) *condition {
	c := joined(testAny, parts)
	if c.test != testAny || len(c.parts) < 2 {
		return c
	}
	return joined(testAny, shorter(c.parts))
}

// joined flattens, drops what is said twice and what says nothing, and ends where one part settles the whole.
func joined(t test, parts []*condition) *condition {
	kept, seen := []*condition{}, map[string]bool{}
	for _, part := range flat(t, parts) {
		switch text := part.text(); {
		case t == testAll && part.never():
			return nothing()
		case t == testAny && part.always():
			return everything()
		case !seen[text]:
			seen[text] = true
			kept = append(kept, part)
		}
	}
	if t == testAll {
		kept = withoutImplied(kept)
	}
	if len(kept) == 1 {
		return kept[0]
	}
	return &condition{test: t, parts: kept}
}

// withoutImplied leaves out that a field is there where the rest says it already. Every object has an id.
func withoutImplied(parts []*condition) []*condition {
	implied := func(c *condition) bool {
		return c.test == testPresent && (c.field == idField || slices.ContainsFunc(parts, func(other *condition) bool {
			return other != c && other.implies(c.field)
		}))
	}
	kept := make([]*condition, 0, len(parts))
	for _, part := range parts {
		if !implied(part) {
			kept = append(kept, part)
		}
	}
	return kept
}

// implies reports whether a condition holds only of objects that have the field.
func (c *condition) implies(field string) bool {
	switch c.test {
	case testAll:
		return slices.ContainsFunc(c.parts, func(part *condition) bool { return part.implies(field) })
	case testAny:
		return len(c.parts) > 0 && !slices.ContainsFunc(c.parts, func(part *condition) bool { return !part.implies(field) })
	case testNot, testMissing:
		return false
	}
	return c.field == field || c.other == field
}

func flat(t test, parts []*condition) []*condition {
	var out []*condition
	for _, part := range parts {
		if part.test == t {
			out = append(out, flat(t, part.parts)...)
			continue
		}
		out = append(out, part)
	}
	return out
}

// shorter joins alternatives that differ only in the value of one field: a policy that asks for one of many groups leaves one alternative
// for each, and what comes of it must stay as small as the question. It also drops an alternative that another one includes.
func shorter(alternatives []*condition) []*condition {
	for again := true; again; {
		again = false
		for _, field := range fieldsOf(alternatives) {
			if fewer := joinOn(field, alternatives); len(fewer) < len(alternatives) {
				alternatives, again = fewer, true
			}
		}
	}
	return withoutIncluded(alternatives)
}

func fieldsOf(alternatives []*condition) []string {
	seen := map[string]bool{}
	var names []string
	for _, a := range alternatives {
		for _, part := range conjuncts(a) {
			if (part.test == testEqual || part.test == testAmong) && part.other == "" && !seen[part.field] {
				seen[part.field] = true
				names = append(names, part.field)
			}
		}
	}
	return names
}

func conjuncts(c *condition) []*condition {
	if c.test == testAll {
		return c.parts
	}
	return []*condition{c}
}

// joinOn joins the alternatives that say the same but for which values of the field they take.
func joinOn(field string, alternatives []*condition) []*condition {
	type group struct {
		rest   []*condition
		values []any
	}
	groups := map[string]*group{}
	var order []string
	var apart []*condition
	for _, a := range alternatives {
		var rest []*condition
		var values []any
		found := 0
		for _, part := range conjuncts(a) {
			switch {
			case part.field == field && part.other == "" && part.test == testEqual:
				values, found = append(values, part.value), found+1
			case part.field == field && part.test == testAmong:
				values, found = append(values, part.list...), found+1
			default:
				rest = append(rest, part)
			}
		}
		if found != 1 {
			apart = append(apart, a)
			continue
		}
		name := (&condition{test: testAll, parts: rest}).text()
		if groups[name] == nil {
			groups[name] = &group{rest: rest}
			order = append(order, name)
		}
		groups[name].values = append(groups[name].values, values...)
	}
	out := make([]*condition, 0, len(order)+len(apart))
	for _, name := range order {
		g := groups[name]
		out = append(out, all(append(slices.Clone(g.rest), among(field, g.values))...))
	}
	return append(out, apart...)
}

// maxCompared bounds how many alternatives are compared with each other.
const maxCompared = 64

func withoutIncluded(alternatives []*condition) []*condition {
	if len(alternatives) > maxCompared {
		return alternatives
	}
	said := make([]map[string]bool, len(alternatives))
	for i, a := range alternatives {
		said[i] = map[string]bool{}
		for _, part := range conjuncts(a) {
			said[i][part.text()] = true
		}
	}
	included := func(i int) bool { // in one that asks less
		for j := range said {
			if j == i || len(said[j]) > len(said[i]) || len(said[j]) == len(said[i]) && j > i {
				continue
			}
			within := true
			for text := range said[j] {
				within = within && said[i][text]
			}
			if within {
				return true
			}
		}
		return false
	}
	var kept []*condition
	for i, a := range alternatives {
		if !included(i) {
			kept = append(kept, a)
		}
	}
	return kept
}

// at is the condition where one field is known.
func (c *condition) at(field string, value ast.Value) *condition {
	switch c.test {
	case testNot:
		return not(c.parts[0].at(field, value))
	case testAll, testAny:
		parts := make([]*condition, len(c.parts))
		for i, part := range c.parts {
			parts[i] = part.at(field, value)
		}
		if c.test == testAll {
			return all(parts...)
		}
		return either(parts...)
	}
	if c.field != field && c.other != field {
		return c
	}
	switch {
	case c.field != field:
		return &condition{test: c.test, field: c.field, value: plainScalar(value)}
	case c.other != "" && c.other != field:
		return &condition{test: mirroredTests()[c.test], field: c.other, value: plainScalar(value)}
	}
	if c.holds(func(string) ast.Value { return value }) {
		return everything()
	}
	return nothing()
}

func mirroredTests() map[test]test {
	return map[test]test{
		testEqual: testEqual, testDiffers: testDiffers, testLess: testMore, testMore: testLess, testMost: testLeast, testLeast: testMost,
	}
}

func plainScalar(v ast.Value) any {
	switch v := v.(type) {
	case ast.String:
		return string(v)
	case ast.Boolean:
		return bool(v)
	case ast.Number:
		return json.Number(v)
	}
	return nil
}

func scalarValue(v any) ast.Value {
	switch v := v.(type) {
	case string:
		return ast.String(v)
	case bool:
		return ast.Boolean(v)
	case json.Number:
		return ast.Number(v)
	}
	return ast.Null{}
}

// holds evaluates a condition on an object that has all of its fields.
func (c *condition) holds(of func(field string) ast.Value) bool {
	holds := func(part *condition) bool { return part.holds(of) }
	switch c.test {
	case testAll:
		return !slices.ContainsFunc(c.parts, func(part *condition) bool { return !part.holds(of) })
	case testAny:
		return slices.ContainsFunc(c.parts, holds)
	case testNot:
		return !holds(c.parts[0])
	case testPresent:
		return true
	case testMissing:
		return false
	}
	value := of(c.field)
	text, isText := value.(ast.String)
	wanted, _ := c.value.(string)
	switch c.test {
	case testText:
		return isText
	case testAmong:
		return slices.ContainsFunc(c.list, func(v any) bool { return equalTo(value, v) })
	case testBegins:
		return strings.HasPrefix(string(text), wanted)
	case testEnds:
		return strings.HasSuffix(string(text), wanted)
	case testHas:
		return strings.Contains(string(text), wanted)
	}
	other := scalarValue(c.value)
	if c.other != "" {
		other = of(c.other)
	}
	order := ast.Compare(value, other)
	switch c.test {
	case testEqual:
		return order == 0
	case testDiffers:
		return order != 0
	case testLess:
		return order < 0
	case testMost:
		return order <= 0
	case testMore:
		return order > 0
	}
	return order >= 0
}

// equalTo is quick for texts, of which there may be many.
func equalTo(value ast.Value, v any) bool {
	text, is := value.(ast.String)
	if wanted, both := v.(string); is && both {
		return string(text) == wanted
	}
	return ast.Compare(value, scalarValue(v)) == 0
}
