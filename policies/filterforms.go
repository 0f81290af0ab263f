package policies

import (
	"encoding/json"
	"errors"
	"regexp"
	"strings"
)

// FilterForm is a language of filters.
type FilterForm string

// The forms of a filter. The four of UCAST are those of OPA, and differ in what their readers understand.
const (
	FilterAll     FilterForm = "ucast.all"
	FilterMinimal FilterForm = "ucast.minimal"
	FilterPrisma  FilterForm = "ucast.prisma"
	FilterLINQ    FilterForm = "ucast.linq"
	FilterMongoDB FilterForm = "mongodb"
)

// ErrFilterForm says that a filter needs what its form does not have.
var ErrFilterForm = errors.New("the form has no such test")

// Filter selects the objects for which a decision permits. It is immutable.
type Filter struct {
	condition *condition
	texts     []string // fields that no object may have as anything but a string
	// Masks is what the policy's mask rule says about the fields, as JSON; nil if it has none.
	Masks json.RawMessage
}

// Nobody says that no object is selected. It is not the same as a filter that says nothing, which selects every object.
func (f *Filter) Nobody() bool { return f.condition.never() }

// Render writes the filter in a form, with the names that fields have where it is used, if they are others. Of a filter that selects
// nothing it is nil; of one that selects everything an empty object.
func (f *Filter) Render(form FilterForm, names map[string]string) (map[string]any, error) {
	c := f.condition
	if form != FilterMongoDB {
		c = positive(c, false)
	}
	switch {
	case c.never():
		return nil, nil
	case form == FilterMongoDB:
		return mongoFilter{names}.render(f.guarded())
	case c.always():
		return map[string]any{}, nil
	}
	return ucast{form, names}.render(c)
}

// guarded adds that fields which are searched are strings where they are there: of another one, the decision is an error.
func (f *Filter) guarded() *condition {
	parts := []*condition{f.condition}
	for _, field := range f.texts {
		parts = append(parts, either(not(fieldTest(field, testPresent, nil)), fieldTest(field, testText, nil)))
	}
	return all(parts...)
}

func renamed(names map[string]string, field string) string {
	if name, ok := names[field]; ok {
		return name
	}
	return field
}

// The tests that only UCAST has: it says by comparing with null whether a field is there.
const testMissing test = "missing"

// positive moves negations down to the fields, for readers whose null is neither equal nor different from anything: they would not select
// what has no such field, where a negation does. UCAST has no test for presence; a null stands for a field that is not there.
func positive(c *condition, negated bool) *condition {
	switch c.test {
	case testNot:
		return positive(c.parts[0], !negated)
	case testAll, testAny:
		parts := make([]*condition, len(c.parts))
		for i, part := range c.parts {
			parts[i] = positive(part, negated)
		}
		if (c.test == testAll) != negated {
			return all(parts...)
		}
		return either(parts...)
	}
	plain := withoutNull(c)
	if !negated {
		return plain
	}
	return complement(plain)
}

// withoutNull leaves null out: no field is null here.
func withoutNull(c *condition) *condition {
	switch {
	case c.test == testAmong:
		var list []any
		for _, v := range c.list {
			if v != nil {
				list = append(list, v)
			}
		}
		return among(c.field, list)
	case c.test == testEqual && c.value == nil && c.other == "":
		return nothing()
	case c.test == testDiffers && c.value == nil && c.other == "":
		return fieldTest(c.field, testPresent, nil)
	}
	return c
}

// complement of a test about one field: the field is not there, or the opposite holds.
func complement(c *condition) *condition {
	opposite := map[test]test{
		testEqual: testDiffers, testDiffers: testEqual, testLess: testLeast, testLeast: testLess, testMost: testMore, testMore: testMost,
	}
	switch c.test {
	case testAll, testAny:
		return not(c)
	case testPresent:
		return fieldTest(c.field, testMissing, nil)
	}
	var parts []*condition
	if c.field != idField { // every object has one
		parts = append(parts, fieldTest(c.field, testMissing, nil))
	}
	if c.other != "" {
		parts = append(parts, fieldTest(c.other, testMissing, nil))
	}
	if other, ok := opposite[c.test]; ok {
		return either(append(parts, &condition{test: other, field: c.field, other: c.other, value: c.value})...)
	}
	return either(append(parts, &condition{test: testNot, parts: []*condition{c}})...)
}

// ucast writes UCAST.
type ucast struct {
	form  FilterForm
	names map[string]string
}

func (u ucast) render(c *condition) (map[string]any, error) {
	switch c.test {
	case testAll, testAny, testNot:
		if c.test == testNot && c.parts[0].test == testAmong && !u.has(testNot) {
			return u.each(testAll, testDiffers, c.parts[0])
		}
		if c.test == testNot && !u.has(testNot) {
			return nil, ErrFilterForm
		}
		parts := make([]any, len(c.parts))
		for i, part := range c.parts {
			var err error
			if parts[i], err = u.render(part); err != nil {
				return nil, err
			}
		}
		return map[string]any{"type": "compound", "operator": string(c.test), "value": parts}, nil
	case testPresent:
		return u.leaf(testDiffers, c.field, nil), nil
	case testMissing:
		return u.leaf(testEqual, c.field, nil), nil
	case testAmong:
		if !u.has(testAmong) {
			return u.each(testAny, testEqual, c)
		}
		return u.leaf(testAmong, c.field, c.list), nil
	}
	switch {
	case !u.has(c.test):
		return nil, ErrFilterForm
	case c.other == "":
		return u.leaf(c.test, c.field, c.value), nil
	case u.form != FilterAll:
		return nil, ErrFilterForm
	}
	return u.leaf(c.test, c.field, map[string]any{"field": renamed(u.names, c.other)}), nil
}

// has says whether readers of the form know a test.
func (u ucast) has(t test) bool {
	switch t {
	case testNot, testBegins, testEnds, testHas:
		return u.form == FilterAll || u.form == FilterPrisma
	case testAmong:
		return u.form != FilterMinimal
	}
	return true
}

// each says the same of a list value by value.
func (u ucast) each(compound, single test, c *condition) (map[string]any, error) {
	parts := make([]any, len(c.list))
	for i, v := range c.list {
		parts[i] = u.leaf(single, c.field, v)
	}
	return map[string]any{"type": "compound", "operator": string(compound), "value": parts}, nil
}

func (u ucast) leaf(t test, field string, value any) map[string]any {
	return map[string]any{"type": "field", "operator": string(t), "field": renamed(u.names, field), "value": value}
}

// mongoFilter writes filter documents of MongoDB, which select exactly what the condition does, whatever JSON the fields hold. Four habits
// of MongoDB stand in the way: negations select what has no such field, null is equal to what is not there, a test about a
// field holds of a list if it does of one of its elements, and values of different types are neither less nor more than each other.
type mongoFilter struct{ names map[string]string }

func (m mongoFilter) render(c *condition) (map[string]any, error) {
	switch c.test {
	case testAll, testAny, testNot:
		parts := make([]any, len(c.parts))
		for i, part := range c.parts {
			var err error
			if parts[i], err = m.render(part); err != nil {
				return nil, err
			}
		}
		if len(parts) == 0 {
			return map[string]any{}, nil // nothing does not come here
		}
		return map[string]any{map[test]string{testAll: "$and", testAny: "$or", testNot: "$nor"}[c.test]: parts}, nil
	}
	if c.other != "" {
		return nil, ErrFilterForm
	}
	return m.leaf(c), nil
}

func (m mongoFilter) leaf(c *condition) map[string]any {
	field := renamed(m.names, c.field)
	on := func(tests map[string]any) map[string]any { return map[string]any{field: tests} }
	single := func(operator string, value any) map[string]any {
		if c.field == idField { // never a list
			return on(map[string]any{operator: value})
		}
		return on(map[string]any{operator: value, "$not": map[string]any{"$type": "array"}})
	}
	switch c.test {
	case testPresent:
		return on(map[string]any{"$exists": true})
	case testText:
		return single("$type", "string")
	case testEqual:
		equal := single("$eq", c.value)
		if c.value == nil {
			equal[field].(map[string]any)["$exists"] = true
		}
		return equal
	case testDiffers:
		differs := on(map[string]any{"$exists": true})
		differs["$nor"] = []any{m.leaf(fieldTest(c.field, testEqual, c.value))}
		return differs
	case testAmong:
		among := single("$in", c.list)
		for _, v := range c.list {
			if v == nil {
				among[field].(map[string]any)["$exists"] = true
			}
		}
		return among
	case testLess, testMost:
		lower := single("$type", typesBeside(c.value, true))
		lower[field].(map[string]any)["$exists"] = true // there are readers to whom what is missing is of the type null
		return map[string]any{"$or": []any{single("$"+string(c.test), c.value), lower}}
	case testMore, testLeast:
		higher := on(map[string]any{"$type": typesBeside(c.value, false)})
		return map[string]any{"$or": []any{on(map[string]any{"$" + string(c.test): c.value}), higher}}
	}
	return single("$regex", pattern(c))
}

// typesBeside are the types whose values are all less, or all more, than a value is, in the order that Rego has.
func typesBeside(value any, less bool) []any {
	switch value.(type) {
	case bool:
		if less {
			return []any{"null"}
		}
		return []any{"number", "string", "array", "object"}
	case string:
		if less {
			return []any{"null", "bool", "number"}
		}
		return []any{"array", "object"}
	}
	if less {
		return []any{"null", "bool"}
	}
	return []any{"string", "array", "object"}
}

// pattern is the anchored regular expression of a search, in which nothing that was given is special.
func pattern(c *condition) string {
	text, _ := c.value.(string)
	quoted := strings.ReplaceAll(regexp.QuoteMeta(text), "\x00", `\x00`)
	switch c.test {
	case testBegins:
		return "^" + quoted
	case testEnds:
		return quoted + `\z`
	}
	return quoted
}
