package policies

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"maps"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
)

// Writ's own lists show what their reader could read one by one. What that is, partial evaluation of the reading of one object says, as it
// does for the filters of services: the object is not known, the rest of the question is that of the list.

// rowTypes are the types whose objects are listed and read one by one.
func rowTypes() []string {
	return []string{"iam/applications", "iam/groups", "iam/roles", "iam/tenants", "iam/users", "keys"}
}

// The fields of an object of Writ's own. Every object has all of them, so a test of one and its negation are complements in Rego as well, and
// rules can be written out. The clock is one, so that a condition outlives the moment it is made in.
const (
	tenantField = "tenant"
	selfField   = "self"
	nowField    = "now"
)

var (
	selfRef = ast.MustParseRef("input.resource.self")
	nowRef  = ast.MustParseRef("input.now")
)

func rowFields() map[string]string {
	return map[string]string{
		"input.resource.id": idField, "input.resource.tenant": tenantField, "input.resource.self": selfField, "input.now": nowField,
	}
}

// objectRefs are what of a question is about the one object. What has no field cannot be part of a list's condition.
func objectRefs() []ast.Ref {
	return []ast.Ref{
		idRef, pathRef, selfRef, ast.MustParseRef("input.resource.tenant"), ast.MustParseRef("input.resource.tenant_enabled"),
		ast.MustParseRef("input.resource.before"),
	}
}

// rowSource is the document of the admin entrypoint, as alternatives in their order: what permits is permitted, unless what denies comes before.
type rowSource struct{ steps []rowStep }

type rowStep struct {
	allow bool
	body  ast.Body
	query rego.PreparedPartialQuery
}

// newRowSource reads the result of the admin entrypoint.
func newRowSource(ctx context.Context, s *set, options []func(*rego.Rego)) (*rowSource, error) {
	m, first, err := s.adminResult()
	if err != nil {
		return nil, err
	}
	source := &rowSource{}
	last := 0
	for rule := first; rule != nil; rule = rule.Else {
		allow, ok := allowOf(rule)
		if !ok {
			return nil, unfollowed(rule, "lists cannot follow a result whose allow is not simply true or false")
		}
		query, err := rego.New(append(slices.Clone(options), rego.ParsedPackage(m.Package), rego.ParsedImports(m.Imports),
			rego.ParsedQuery(rule.Body))...).PrepareForPartial(ctx)
		if err != nil {
			return nil, fmt.Errorf("the lists of Writ's own objects: %w", err)
		}
		source.steps = append(source.steps, rowStep{allow, rule.Body, query})
		if allow {
			last = len(source.steps)
		}
	}
	source.steps = withoutImpliedSteps(source.steps[:last])
	return source, nil
}

// withoutImpliedSteps leaves out a step that asks for all that the next one asks for, and more, and says the same: what is granted explicitly and
// what is granted at all.
func withoutImpliedSteps(steps []rowStep) []rowStep {
	var kept []rowStep
	for i, step := range steps {
		if i+1 < len(steps) && steps[i+1].allow == step.allow && !slices.ContainsFunc(steps[i+1].body, func(e *ast.Expr) bool {
			return !step.body.Contains(e)
		}) {
			continue
		}
		kept = append(kept, step)
	}
	return kept
}

// adminResult finds the one rule that answers, with the module it stands in.
func (s *set) adminResult() (*ast.Module, *ast.Rule, error) {
	var module *ast.Module
	var found *ast.Rule
	for _, m := range s.modules {
		if m.test || m.pkg() != "writ.admin" {
			continue
		}
		for _, rule := range m.parsed.Rules {
			switch allow, constant := allowOf(rule); {
			case rule.Head.Name != "result" || rule.Default && constant && !allow:
			case found != nil || rule.Default:
				return nil, nil, unfollowed(rule, "lists can follow one rule result with else, and a default that denies")
			default:
				module, found = m.parsed, rule
			}
		}
	}
	if found == nil {
		return nil, nil, refused("writ/admin", ruleFilter, "there is no rule result")
	}
	return module, found, nil
}

func unfollowed(rule *ast.Rule, why string) error {
	return &problemError{[]Problem{problemAt(rule.Location, ruleFilter, "%s", why)}}
}

// allowOf is what an alternative answers, if that is plain to see.
func allowOf(rule *ast.Rule) (allow, ok bool) {
	if rule.Head.Value == nil {
		return false, false
	}
	value, ok := rule.Head.Value.Value.(ast.Object)
	if !ok {
		return false, false
	}
	term := value.Get(key.allow)
	if term == nil {
		return false, false
	}
	constant, ok := term.Value.(ast.Boolean)
	return bool(constant), ok
}

// condition is what must hold of an object for the reading of it to be permitted.
func (r *rowSource) condition(ctx context.Context, s *snapshot, input ast.Value, unknown []ast.Ref, t *translation) (*condition, error) {
	terms := make([]*ast.Term, len(unknown))
	for i, ref := range unknown {
		terms[i] = ast.NewTerm(ref)
	}
	whole, denied := nothing(), nothing()
	for _, step := range r.steps {
		var left *rego.PartialQueries
		_, err := s.partly(ctx, func(options []rego.EvalOption) (ast.Value, error) {
			var err error
			options = append(options, rego.EvalParsedUnknowns(terms), rego.EvalRuleIndexing(false), rego.EvalParsedInput(input))
			left, err = step.query.Partial(ctx, options...)
			return nil, err
		})
		if err != nil {
			return nil, err
		}
		c := t.queries(left)
		if !step.allow {
			denied = either(denied, c)
			continue
		}
		if whole = either(whole, all(not(denied), c)); whole.always() && !t.abstract {
			break
		}
	}
	return whole, nil
}

// checkRows looks at the reading of one object of each type by readers who hold what it takes: what then depends on the object must be
// translatable. Their names, roles, groups and attributes are not known, so what rules make of these is looked at as well.
func (s *snapshot) checkRows(ctx context.Context) error {
	unknown := objectRefs()
	for _, name := range []string{"subject.id", "subject.roles", "subject.groups", "subject.attributes", "caller.client_id", "caller.audiences"} {
		unknown = append(unknown, ast.MustParseRef("input."+name))
	}
	var problems []Problem
	for _, kind := range rowTypes() {
		for _, tenant := range []string{"", "t"} {
			input, err := rowReader(kind, tenant).build(&terms{}, "")
			if err != nil {
				return err
			}
			t := newTranslation(s.compiler, objectRefs(), true)
			t.fields = rowFields()
			within, done := context.WithTimeout(ctx, loadDeadline)
			_, err = s.rows.condition(within, s, input, unknown, t)
			done()
			if err != nil {
				return fmt.Errorf("the list of %s: %w", kind, err)
			}
			for _, p := range t.problems {
				if !slices.Contains(problems, p) {
					problems = append(problems, p)
				}
			}
		}
	}
	if len(problems) == 0 {
		return nil
	}
	slices.SortStableFunc(problems, compareProblems)
	return &problemError{problems}
}

// rowReader asks for the objects of a type with a right to all of them, in one tenant or in every one.
func rowReader(kind, tenant string) *Question {
	grant := Grant{Tenant: tenant, Resource: kind, Action: "read", Via: "own"}
	if tenant == "" {
		grant.Tenant = "*"
	}
	return &Question{
		Entrypoint: EntryAdmin, Action: "read",
		Subject:  NewFacts(Identity{Type: "application", Exists: true, TenantEnabled: true, Active: true, Grants: []Grant{grant}}),
		Caller:   Caller{Tenant: tenant, Plane: PlaneManagement, Address: AddressAllowed},
		Resource: Resource{Type: kind, Exists: true, TenantEnabled: true, OtherOwners: -1, OwnersBefore: -1, Proof: "none"},
	}
}

// Rows says which objects of a list its reader sees. It is immutable.
type Rows struct {
	condition *condition
	named     map[string]bool
	self      string
}

// rowsKept is how many conditions a snapshot remembers; those that share a place push each other out.
const rowsKept = 256

// rowsDeadline ends the making of a condition, which takes longer than a decision, and is done once for many of them.
const rowsDeadline = loadDeadline

// rowsOf is what a condition was made of: everything that the lists of one caller have in common, but for the clock.
type rowsOf struct {
	kind, context   string
	subject, caller *ast.Term
}

// recentRows is a condition that is remembered. Of one that is nil, the clock takes part in a way that no condition can say.
type recentRows struct {
	of        rowsOf
	condition *condition
}

var rowsSeed = maphash.MakeSeed()

// Rows says which objects the caller of a permitted list sees: of those that no right of the caller names, the condition that is left of the
// question whether one of them may be read, and by name those for which that must be asked one by one, because rights name them. It
// fails with an error that wraps ErrUndecided.
func (p *PDP) Rows(ctx context.Context, d Decision) (*Rows, error) {
	rows, err := p.rows(ctx, d)
	if problem := (*FilterError)(nil); errors.As(err, &problem) {
		places := make([]string, len(problem.Problems)) // what is said about them repeats what the rules were given
		for i, at := range problem.Problems {
			places[i] = fmt.Sprintf("%s:%d:%d", at.File, at.Line, at.Column)
		}
		err = fmt.Errorf("lists cannot follow what the rules ask at %s", strings.Join(places, ", "))
	}
	if err != nil {
		return nil, p.undecided(ctx, EntryAdmin, err)
	}
	return rows, nil
}

func (p *PDP) rows(ctx context.Context, d Decision) (*Rows, error) {
	input, ok := d.input.(ast.Object)
	if !ok || d.facts[0] == nil || !d.Allow {
		return nil, malformed("rows are those of a permitted list")
	}
	kind := textAt(input, key.resource, key.typ)
	if entryOf(input) != string(EntryAdmin) || !slices.Contains(rowTypes(), kind) {
		return nil, malformed("rows are those of a permitted list")
	}
	ctx, done := context.WithTimeout(ctx, max(p.config.Deadline, rowsDeadline))
	defer done()
	c, err := d.snapshot.rowCondition(ctx, input, kind)
	if err != nil {
		return nil, err
	}
	subject := d.facts[0].Identity()
	rows := &Rows{condition: c.at(nowField, input.Get(key.now).Value), named: map[string]bool{}}
	if subject.Type == "user" && kind == "iam/users" || subject.Type == "application" && kind == "iam/applications" {
		rows.self = subject.ID
	}
	note := func(resource string) {
		if id, ok := objectOf(kind, resource); ok {
			rows.named[id] = true
		}
	}
	for _, g := range subject.Grants {
		note(g.Resource)
	}
	if scopes, ok := input.Get(key.caller).Value.(ast.Object).Get(key.scopes).Value.(ast.Object); ok {
		scopes.Foreach(func(resource, _ *ast.Term) {
			if text, ok := textOf(resource); ok {
				note(text)
			}
		})
	}
	return rows, nil
}

// objectOf is the id of the one object of a type that a resource names.
func objectOf(kind, resource string) (id string, ok bool) {
	id, ok = strings.CutPrefix(resource, kind+"/")
	return id, ok && !strings.Contains(id, "/")
}

// withoutObjects is the input without the grants on single objects of a type. Of the objects that a condition is about they say nothing, unless
// a rule of somebody's own takes one as a sign about others (ADR 0046), and the engine would follow each, as far as it can without an object.
func withoutObjects(input ast.Object, kind string) ast.Object {
	subject, ok := input.Get(key.subject).Value.(ast.Object)
	if !ok {
		return input
	}
	tenants, ok := subject.Get(key.grants).Value.(ast.Object)
	if !ok {
		return input
	}
	grants := ast.NewObject()
	tenants.Foreach(func(tenant, resources *ast.Term) {
		rest := ast.NewObject()
		if all, ok := resources.Value.(ast.Object); ok {
			all.Foreach(func(resource, actions *ast.Term) {
				text, _ := textOf(resource)
				if _, single := objectOf(kind, text); !single {
					rest.Insert(resource, actions)
				}
			})
		}
		if rest.Len() > 0 {
			grants.Insert(tenant, ast.NewTerm(rest))
		}
	})
	return replacing(input, key.subject, replacing(subject, key.grants, grants))
}

// replacing is an object with another value of a key.
func replacing(object ast.Object, name *ast.Term, value ast.Value) ast.Object {
	other := ast.NewObject()
	object.Foreach(func(k, v *ast.Term) { other.Insert(k, v) })
	other.Insert(name, ast.NewTerm(value))
	return other
}

func entryOf(input ast.Object) string {
	text, _ := textOf(input.Get(key.entrypoint))
	return text
}

// rowCondition makes or remembers the condition of a caller's lists of one type. The clock is a field of it.
func (s *snapshot) rowCondition(ctx context.Context, input ast.Object, kind string) (*condition, error) {
	of := rowsOf{kind: kind, context: input.Get(key.context).String(), subject: input.Get(key.subject), caller: input.Get(key.caller)}
	place := &s.recentRows[maphash.Comparable(rowsSeed, of)%rowsKept]
	recent := place.Load()
	if recent == nil || recent.of != of {
		c, err := s.newRowCondition(ctx, input, kind, append(objectRefs(), nowRef))
		if problem := (*FilterError)(nil); err != nil && !errors.As(err, &problem) {
			return nil, err
		}
		recent = &recentRows{of, c}
		place.Store(recent)
	}
	if recent.condition == nil {
		return s.newRowCondition(ctx, input, kind, objectRefs())
	}
	return recent.condition, nil
}

func (s *snapshot) newRowCondition(ctx context.Context, input ast.Object, kind string, unknown []ast.Ref) (*condition, error) {
	t := newTranslation(s.compiler, unknown, false)
	t.fields = rowFields()
	c, err := s.rows.condition(ctx, s, withoutObjects(input, kind), unknown, t)
	if err == nil && len(t.problems) > 0 {
		return nil, &FilterError{t.problems}
	}
	return c, err
}

// Named are the ids of the objects that rights of the reader name, in order. Each is seen if the reading of it is permitted.
func (r *Rows) Named() []string { return slices.Sorted(maps.Keys(r.named)) }

// IsNamed reports whether an id is one of Named.
func (r *Rows) IsNamed(id string) bool { return r.named[id] }

// Selects reports whether an object that is not named is seen.
func (r *Rows) Selects(tenant, id string) bool {
	return r.condition.holds(func(field string) ast.Value {
		switch field {
		case tenantField:
			return ast.String(tenant)
		case selfField:
			return ast.Boolean(id == r.self)
		}
		return ast.String(id)
	})
}

// Text is the same for rows that are the same, and differs for others.
func (r *Rows) Text() string { return canonical([]any{r.condition.text(), r.self, r.Named()}) }

// Within says where to look for the objects that are not named: in these tenants, and for these ids. Everywhere says that it may be any.
func (r *Rows) Within() (tenants, ids []string, everywhere bool) {
	tests, everywhere := r.condition.narrowest()
	for _, test := range tests {
		for _, value := range append(slices.Clone(test.list), test.value) {
			switch text, is := value.(string); {
			case test.field == tenantField && is:
				tenants = append(tenants, text)
			case is:
				ids = append(ids, text)
			case value == true:
				ids = append(ids, r.self)
			}
		}
	}
	slices.Sort(tenants)
	slices.Sort(ids)
	return slices.Compact(tenants), slices.Compact(ids), everywhere
}

// narrowest are tests for equality of which one holds wherever the condition does, or everywhere where there are no such tests.
func (c *condition) narrowest() (tests []*condition, everywhere bool) {
	switch c.test {
	case testEqual, testAmong:
		if c.other == "" && c.value != false {
			return []*condition{c}, false
		}
	case testAny:
		for _, part := range c.parts {
			found, all := part.narrowest()
			if all {
				return nil, true
			}
			tests = append(tests, found...)
		}
		return tests, false
	case testAll:
		everywhere, size := true, 0
		for _, part := range c.parts {
			found, all := part.narrowest()
			n := 0
			for _, test := range found {
				n += max(1, len(test.list))
			}
			if !all && (everywhere || n < size) {
				tests, everywhere, size = found, false, n
			}
		}
		return tests, everywhere
	}
	return nil, true
}
