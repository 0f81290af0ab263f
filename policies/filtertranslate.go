package policies

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
)

// fieldName is what a field may be called: nothing that a database gives a meaning to (a dot, a dollar sign, NUL).
var fieldName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_-]{0,63}$`)

const ruleFilter = "filter"

// translation turns what partial evaluation leaves of a policy into a condition on the fields of an object. What cannot be said as one is
// a problem, with its place in the policy.
type translation struct {
	compiler *ast.Compiler
	unknown  []ast.Ref
	// known says that the rest of the input is not known either: the policy is looked at when it is loaded, and what does not depend
	// on the object will be settled when somebody asks.
	abstract bool
	// fields are those of Writ's own objects, by what names them in the input; nil where objects are a service's.
	fields   map[string]string
	support  map[string][]*ast.Rule
	within   []string // the rules that are being translated
	reaches  map[string]bool
	bound    bindings        // of the body that is being translated
	texts    map[string]bool // fields that must be strings, where they are there
	problems []Problem
}

func newTranslation(c *ast.Compiler, unknown []ast.Ref, abstract bool) *translation {
	return &translation{
		compiler: c, unknown: unknown, abstract: abstract, texts: map[string]bool{},
	}
}

// queries translates the alternatives that one partial evaluation left. The rules that it made are its own: another one, as of the denials
// beside the permits, gives the same names to others.
func (t *translation) queries(left *rego.PartialQueries) *condition {
	t.support, t.reaches = map[string][]*ast.Rule{}, map[string]bool{}
	for _, module := range left.Support {
		for _, rule := range module.Rules {
			path := rule.Ref().GroundPrefix().String()
			t.support[path] = append(t.support[path], rule)
		}
	}
	parts := make([]*condition, 0, len(left.Queries))
	for _, body := range left.Queries {
		parts = append(parts, t.body(body, nil))
	}
	return either(parts...)
}

func (t *translation) problem(at *ast.Location, format string, args ...any) *condition {
	p := Problem{Rule: ruleFilter, Message: fmt.Sprintf(format, args...)}
	if at != nil {
		p.File, p.Line, p.Column = at.File, at.Row, at.Col
	}
	if !slices.Contains(t.problems, p) {
		t.problems = append(t.problems, p)
	}
	return nothing()
}

// bindings are variables that stand for a field or a value.
type bindings map[ast.Var]*ast.Term

// body is the conjunction of its expressions. A variable that an expression binds to a field stands for it in the others; given are those
// that stand for the arguments of a function.
func (t *translation) body(b ast.Body, given bindings) *condition {
	outer := t.bound
	t.bound = bindings{}
	maps.Copy(t.bound, given)
	defer func() { t.bound = outer }()
	var parts []*condition
	var rest []*ast.Expr
	for _, e := range b {
		if part, ok := t.bind(e, b); ok {
			parts = append(parts, part)
			continue
		}
		rest = append(rest, e)
	}
	for _, e := range rest {
		part := t.expression(e)
		if e.Negated {
			part = not(part)
		}
		parts = append(parts, part)
	}
	return all(parts...)
}

// bind takes an expression that gives a variable a field, a value, or a rule that the body then states.
func (t *translation) bind(e *ast.Expr, body ast.Body) (*condition, bool) {
	if e.Negated || len(e.With) > 0 || !e.IsCall() || e.Operator().String() != ast.Equality.Name || len(e.Operands()) != 2 {
		return nil, false
	}
	for i := range 2 {
		v, ok := e.Operand(i).Value.(ast.Var)
		if !ok || t.bound[v] != nil {
			continue
		}
		other := e.Operand(1 - i)
		ref, isRef := other.Value.(ast.Ref)
		switch field, at := t.field(other); {
		case at == isField:
			t.bound[v] = other
			if t.fields != nil { // every object has it
				return everything(), true
			}
			return fieldTest(field, testPresent, nil), true
		case ast.IsConstant(other.Value):
			t.bound[v] = other
			return everything(), true
		case isRef && ref.HasPrefix(ast.DefaultRootRef) && states(body, v):
			t.bound[v] = other
			return everything(), true
		}
	}
	return nil, false
}

// states reports whether a body has a variable as a statement.
func states(body ast.Body, v ast.Var) bool {
	return slices.ContainsFunc(body, func(e *ast.Expr) bool {
		term, ok := e.Terms.(*ast.Term)
		return ok && !e.Negated && len(e.With) == 0 && term.Value.Compare(v) == 0
	})
}

func (t *translation) expression(e *ast.Expr) *condition {
	if !t.touches(e) && !t.supported(e) {
		return t.known(e)
	}
	if len(e.With) > 0 {
		return t.problem(e.Location, "with cannot be part of a filter")
	}
	switch terms := e.Terms.(type) {
	case *ast.Term:
		return t.statement(e, terms)
	case []*ast.Term:
		return t.call(e)
	case *ast.Every:
		return t.problem(e.Location, "every over what is not known cannot be part of a filter")
	}
	return t.problem(e.Location, "this cannot be part of a filter")
}

// supported says that an expression states a rule that partial evaluation made: what it comes to stands in its bodies.
func (t *translation) supported(e *ast.Expr) bool {
	term, ok := e.Terms.(*ast.Term)
	if !ok || t.fields == nil || len(e.With) > 0 {
		return false
	}
	ref, ok := term.Value.(ast.Ref)
	return ok && len(t.support[ref.String()]) > 0
}

// known is an expression that no field takes part in.
func (t *translation) known(e *ast.Expr) *condition {
	if t.abstract {
		return everything()
	}
	if term, ok := e.Terms.(*ast.Term); ok && ast.IsConstant(term.Value) && !e.Negated {
		if term.Equal(ast.InternedBooleanFalse) {
			return nothing()
		}
		return everything()
	}
	return t.problem(e.Location, "%v was not evaluated", e)
}

// statement is a term on its own: it holds if it is defined and not false.
func (t *translation) statement(e *ast.Expr, term *ast.Term) *condition {
	term = t.resolve(term)
	if ref, ok := term.Value.(ast.Ref); ok && ref.HasPrefix(ast.DefaultRootRef) {
		return t.rule(e, ref, nil)
	}
	field, at := t.field(term)
	switch {
	case at == isKnown && t.abstract:
		return everything()
	case at != isField:
		return t.refuse(e, term, at)
	}
	return fieldTest(field, testDiffers, false)
}

// maxNested bounds how deep rules call rules in what is left.
const maxNested = 32

// rule is a reference to a rule that partial evaluation could not write out, because it has a default: it holds where one of its
// bodies does.
func (t *translation) rule(e *ast.Expr, ref ast.Ref, arguments []*ast.Term) *condition {
	path, member := ref.String(), (*ast.Term)(nil)
	if len(t.support[path]) == 0 && len(ref) > 1 {
		path, member = ref[:len(ref)-1].String(), ref[len(ref)-1]
	}
	rules := t.support[path]
	if len(rules) == 0 {
		return t.problem(e.Location, "%v cannot be part of a filter: only rules without else that are true or false can", ref)
	}
	if slices.Contains(t.within, path) || len(t.within) == maxNested {
		return t.problem(e.Location, "rules are nested too deep for a filter")
	}
	t.within = append(t.within, path)
	defer func() { t.within = t.within[:len(t.within)-1] }()
	var parts []*condition
	for _, r := range rules {
		given, ok := t.arguments(r, arguments)
		switch {
		case !ok:
			return t.problem(at(e, r), "%v cannot be part of a filter: its arguments are more than names", original(r))
		case r.Default && r.Head.Value.Equal(ast.InternedBooleanFalse):
		case r.Else != nil:
			return t.problem(at(e, r), "a rule with else cannot be part of a filter")
		case r.Default:
			return t.problem(at(e, r), "%v cannot be part of a filter: only rules that are true or false can", original(r))
		case member != nil && r.Head.Key != nil:
			if !t.names(r.Head.Key, member) {
				return t.problem(at(e, r), "%v cannot be part of a filter: its members are not known", original(r))
			}
			if same(r.Head.Key, member) {
				parts = append(parts, t.body(r.Body, given))
			}
		case member != nil || r.Head.Value == nil || !r.Head.Value.Equal(ast.InternedBooleanTrue):
			return t.problem(at(e, r), "%v cannot be part of a filter: only rules that are true or false can", original(r))
		default:
			parts = append(parts, t.body(r.Body, given))
		}
	}
	return either(parts...)
}

// arguments are what the arguments of a function stand for.
func (t *translation) arguments(r *ast.Rule, values []*ast.Term) (bindings, bool) {
	if len(r.Head.Args) != len(values) {
		return nil, false
	}
	given := bindings{}
	for i, arg := range r.Head.Args {
		v, ok := arg.Value.(ast.Var)
		if !ok || given[v] != nil {
			return nil, false
		}
		given[v] = t.resolve(values[i])
	}
	return given, true
}

// names says that a key is a value, and that what is asked for is one too, or any.
func (t *translation) names(key, member *ast.Term) bool {
	_, any := member.Value.(ast.Var)
	return ast.IsConstant(key.Value) && (any || ast.IsConstant(member.Value))
}

func same(key, member *ast.Term) bool {
	_, any := member.Value.(ast.Var)
	return any || key.Equal(member)
}

// at is the place of a rule that partial evaluation made, or else of the expression that names it.
func at(e *ast.Expr, r *ast.Rule) *ast.Location {
	if r.Location != nil && r.Location.File != "" {
		return r.Location
	}
	if ref := e.Terms; ref != nil && e.Location != nil && e.Location.File != "" {
		return e.Location
	}
	for _, inner := range r.Body {
		if inner.Location != nil && inner.Location.File != "" {
			return inner.Location
		}
	}
	return e.Location
}

// original is the name of a rule as it is written, without the prefix that partial evaluation gives it.
func original(r *ast.Rule) ast.Ref {
	ref := r.Ref().GroundPrefix()
	if len(ref) > 2 && ref[1].Equal(ast.StringTerm("partial")) {
		return append(ast.Ref{ref[0]}, ref[2:]...)
	}
	return ref
}

// call is a comparison.
func (t *translation) call(e *ast.Expr) *condition {
	name := e.Operator().String()
	if e.Operator().HasPrefix(ast.DefaultRootRef) {
		return t.rule(e, e.Operator(), e.Operands())
	}
	if len(e.Operands()) != 2 {
		return t.problem(e.Location, "%v cannot be part of a filter: compare the field itself, without computing", operator(e))
	}
	left, right := t.resolve(e.Operand(0)), t.resolve(e.Operand(1))
	switch name {
	case ast.Equality.Name, ast.Equal.Name:
		return t.compare(e, testEqual, testEqual, left, right)
	case ast.NotEqual.Name:
		return t.compare(e, testDiffers, testDiffers, left, right)
	case ast.LessThan.Name:
		return t.compare(e, testLess, testMore, left, right)
	case ast.LessThanEq.Name:
		return t.compare(e, testMost, testLeast, left, right)
	case ast.GreaterThan.Name:
		return t.compare(e, testMore, testLess, left, right)
	case ast.GreaterThanEq.Name:
		return t.compare(e, testLeast, testMost, left, right)
	case ast.Member.Name:
		return t.member(e, left, right)
	case ast.StartsWith.Name:
		return t.search(e, testBegins, left, right)
	case ast.EndsWith.Name:
		return t.search(e, testEnds, left, right)
	case ast.Contains.Name:
		return t.search(e, testHas, left, right)
	}
	return t.problem(e.Location, "%v cannot be part of a filter: compare the field itself, without computing", operator(e))
}

func operator(e *ast.Expr) string {
	if name := e.Operator().String(); name != ast.Member.Name && name != ast.MemberWithKey.Name {
		return name
	}
	return "in"
}

// compare compares a field with a value or another field. Mirrored is the test with its sides exchanged.
func (t *translation) compare(e *ast.Expr, straight, mirrored test, left, right *ast.Term) *condition {
	if c, ok := t.truth(e, straight, left, right); ok {
		return c
	}
	one, atLeft := t.field(left)
	two, atRight := t.field(right)
	switch {
	case atLeft == isKnown && atRight == isKnown && t.abstract:
		return everything()
	case atLeft == isField && atRight == isField:
		return &condition{test: straight, field: one, other: two}
	case atLeft == isField && atRight == isKnown:
		return t.with(e, straight, one, right)
	case atRight == isField && atLeft == isKnown:
		return t.with(e, mirrored, two, left)
	case atLeft != isField && atLeft != isKnown:
		return t.refuse(e, left, atLeft)
	}
	return t.refuse(e, right, atRight)
}

// truth is a comparison of a rule with true: the rule.
func (t *translation) truth(e *ast.Expr, straight test, left, right *ast.Term) (*condition, bool) {
	for _, pair := range [][2]*ast.Term{{left, right}, {right, left}} {
		ref, ok := pair[0].Value.(ast.Ref)
		if ok && straight == testEqual && ref.HasPrefix(ast.DefaultRootRef) && pair[1].Equal(ast.InternedBooleanTrue) {
			return t.rule(e, ref, nil), true
		}
	}
	return nil, false
}

func (t *translation) with(e *ast.Expr, s test, field string, known *ast.Term) *condition {
	if t.abstract && !ast.IsConstant(known.Value) {
		return fieldTest(field, s, nil)
	}
	value, ok := scalar(known.Value)
	if number, is := known.Value.(ast.Number); is && t.fields != nil { // the clock's are larger than what JSON readers agree on
		value, ok = json.Number(number), true
	}
	if value == "" && field == idField && t.fields != nil { // an object has one, a list has none
		switch s {
		case testEqual:
			return nothing()
		case testDiffers:
			return everything()
		}
	}
	switch {
	case !ok:
		return t.problem(e.Location, "%s is compared with what is no string, number, boolean or null", field)
	case value != nil:
		return fieldTest(field, s, value)
	}
	switch s { // nothing is less than null
	case testLess:
		return nothing()
	case testMost:
		return fieldTest(field, testEqual, nil)
	case testMore:
		return fieldTest(field, testDiffers, nil)
	case testLeast:
		return fieldTest(field, testPresent, nil)
	}
	return fieldTest(field, s, nil)
}

func (t *translation) member(e *ast.Expr, left, right *ast.Term) *condition {
	field, at := t.field(left)
	if at != isField {
		if _, inside := t.field(right); inside != isKnown {
			return t.problem(e.Location, "what stands right of in must be known: a field that is a list cannot be part of a filter")
		}
		return t.refuse(e, left, at)
	}
	if _, at := t.field(right); at != isKnown {
		return t.refuse(e, right, at)
	}
	if t.abstract && !ast.IsConstant(right.Value) {
		return fieldTest(field, testAmong, nil)
	}
	values, ok := members(right.Value)
	if !ok {
		return t.problem(e.Location, "%s is looked for among what is no string, number, boolean or null", field)
	}
	return among(field, values)
}

// members are the values of a collection, as in looks for them. What is no collection has none.
func members(v ast.Value) (values []any, ok bool) {
	ok = true
	add := func(term *ast.Term) {
		value, is := scalar(term.Value)
		values, ok = append(values, value), ok && is
	}
	switch v := v.(type) {
	case *ast.Array:
		v.Foreach(add)
	case ast.Set:
		v.Foreach(add)
	case ast.Object:
		v.Foreach(func(_, item *ast.Term) { add(item) })
	}
	return values, ok
}

// search looks into a text. A field that is no string makes the decision an error, which permits nothing, so no object with such a field is
// selected, whatever else holds of it.
func (t *translation) search(e *ast.Expr, s test, left, right *ast.Term) *condition {
	field, at := t.field(left)
	if at != isField {
		return t.refuse(e, left, at)
	}
	if _, at := t.field(right); at != isKnown {
		return t.refuse(e, right, at)
	}
	t.texts[field] = true
	if t.abstract && !ast.IsConstant(right.Value) {
		return fieldTest(field, s, nil)
	}
	wanted, ok := right.Value.(ast.String)
	if !ok {
		return t.problem(e.Location, "%s is searched for what is no string", field)
	}
	return fieldTest(field, s, string(wanted))
}

// scalar is a value that a filter can name. Numbers beyond what JSON readers agree on are none.
func scalar(v ast.Value) (any, bool) {
	switch v := v.(type) {
	case ast.Null:
		return nil, true
	case ast.Boolean:
		return bool(v), true
	case ast.String:
		return string(v), true
	case ast.Number:
		f, err := strconv.ParseFloat(string(v), 64)
		if err != nil || math.IsInf(f, 0) {
			return nil, false
		}
		const exact = 1 << 53
		if i, err := strconv.ParseInt(string(v), 10, 64); err == nil {
			return json.Number(v), -exact <= i && i <= exact
		}
		return json.Number(v), true
	}
	return nil, false
}

// standing says what a term is, to an object that is not known.
type standing int

const (
	isKnown    standing = iota
	isField             // one field of it
	isWhole             // more than one field
	isNested            // something inside of a field
	isDynamic           // a field whose name is not known
	isNamed             // a field whose name no filter takes
	isReserved          // what a filter cannot name
	isComputed          // made of it
	isUnlisted          // of one of Writ's own objects, and nothing that its list is narrowed by
)

// field says which field a term is, if it is one.
func (t *translation) field(term *ast.Term) (string, standing) {
	ref, ok := term.Value.(ast.Ref)
	if !ok {
		if t.touches(term) {
			return "", isComputed
		}
		return "", isKnown
	}
	for _, root := range t.unknown {
		if name, at := t.below(root, ref); at != isKnown {
			return name, at
		}
	}
	if t.touches(term) && !t.lookup(ref) {
		return "", isComputed
	}
	return "", isKnown
}

// lookup reports whether what is known is looked up by a field. When somebody asks, that is a choice among known keys.
func (t *translation) lookup(ref ast.Ref) bool {
	if !t.abstract || !ref.HasPrefix(ast.InputRootRef) {
		return false
	}
	for _, term := range ref[1:] {
		if _, at := t.field(t.resolve(term)); at != isField && at != isKnown {
			return false
		}
	}
	return true
}

// below matches a reference with a part of the input that is not known.
func (t *translation) below(root, ref ast.Ref) (string, standing) {
	name, named := t.fields[root.String()]
	switch {
	case t.fields == nil:
		return fieldBelow(root, ref)
	case named && ref.Equal(root):
		return name, isField
	case ref.HasPrefix(root):
		return "", isUnlisted
	case root.HasPrefix(ref):
		return "", isWhole
	}
	return "", isKnown
}

// fieldBelow matches a reference with a part of the input that is not known. The properties of the object are its fields; its id is
// the field "id".
func fieldBelow(root, ref ast.Ref) (string, standing) {
	if !ref[0].Equal(root[0]) {
		return "", isKnown
	}
	for i := range min(len(root), len(ref)) {
		if ref[i].Equal(root[i]) {
			continue
		}
		if ast.IsConstant(ref[i].Value) {
			return "", isKnown
		}
		return "", isDynamic
	}
	switch {
	case root.Equal(pathRef) && len(ref) >= len(root):
		return "", isReserved
	case len(ref) < len(root) || len(ref) == len(propertiesRef) && root.Equal(propertiesRef):
		return "", isWhole
	case root.Equal(idRef):
		if len(ref) > len(root) {
			return "", isNested
		}
		return idField, isField
	case len(ref) > len(propertiesRef)+1:
		return "", isNested
	}
	last := ref[len(propertiesRef)]
	name, ok := last.Value.(ast.String)
	switch {
	case !ok:
		return "", isDynamic
	case string(name) == idField || !fieldName.MatchString(string(name)):
		return string(name), isNamed
	}
	return string(name), isField
}

// refuse says why a term cannot be in a filter.
func (t *translation) refuse(e *ast.Expr, term *ast.Term, at standing) *condition {
	why := map[standing]string{
		isKnown:    "is not compared with a field",
		isField:    "stands where only what is known can",
		isWhole:    "is more than one field",
		isNested:   "is inside of a field; only whole properties can be compared",
		isDynamic:  "is a field whose name is not known",
		isNamed:    "has a name that no filter takes; names are letters, digits, _ and -, and id is the object's own",
		isReserved: "is not known where objects are listed; compare input.resource.id",
		isComputed: "is computed of the object; compare its fields themselves",
		isUnlisted: "is not known where Writ's own objects are listed; compare input.resource.tenant and input.resource.id",
	}[at]
	return t.problem(e.Location, "%v %s", term, why)
}

// touches looks for what is not known anywhere inside of an expression, a term or a rule.
func (t *translation) touches(x any) bool {
	found := false
	ast.NewGenericVisitor(func(x any) bool {
		switch x := x.(type) {
		case ast.Ref:
			found = found || t.reachesObject(x)
		case ast.Var:
			if term := t.bound[x]; term != nil && !ast.IsConstant(term.Value) {
				found = true
			}
		}
		return found
	}).Walk(x)
	return found
}

func (t *translation) reachesObject(ref ast.Ref) bool {
	if ref.HasPrefix(ast.InputRootRef) {
		return slices.ContainsFunc(t.unknown, func(root ast.Ref) bool {
			_, at := t.below(root, ref)
			return at != isKnown
		})
	}
	prefix := ref.GroundPrefix()
	for n := len(prefix); n > 1; n-- {
		path := prefix[:n].String()
		rules := t.support[path]
		if len(rules) == 0 {
			continue
		}
		if known, done := t.reaches[path]; done {
			return known
		}
		t.reaches[path] = false // where a rule leads back to itself
		t.reaches[path] = slices.ContainsFunc(rules, func(r *ast.Rule) bool { return t.touches(r) })
		return t.reaches[path]
	}
	return t.ruleReaches(ref)
}

// ruleReaches looks at rules that partial evaluation left as they are.
func (t *translation) ruleReaches(ref ast.Ref) bool {
	if !ref.HasPrefix(ast.DefaultRootRef) || ref.HasPrefix(partialRef) {
		return false
	}
	path := ref.GroundPrefix().String()
	if known, done := t.reaches[path]; done {
		return known
	}
	t.reaches[path] = false
	t.reaches[path] = slices.ContainsFunc(t.compiler.GetRulesDynamicWithOpts(ref, ast.RulesOptions{IncludeHiddenModules: true}), func(r *ast.Rule) bool { return t.touches(r) })
	return t.reaches[path]
}

// partialRef is where partial evaluation puts the rules that it makes.
var partialRef = ast.MustParseRef("data.partial")

// resolve replaces a variable by what it stands for.
func (t *translation) resolve(term *ast.Term) *ast.Term {
	if v, ok := term.Value.(ast.Var); ok && t.bound[v] != nil {
		return t.bound[v]
	}
	return term
}
