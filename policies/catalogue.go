package policies

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// ErrUnknownPermission says that a resource or action below a closed first segment is not in the catalogue.
var ErrUnknownPermission = errors.New("not in the catalogue")

// Catalogue is the known resource types and actions and the texts of the reason codes. It is immutable.
//
// A closed first segment is one that a type of the catalogue begins with; below it only what is declared exists. A resource
// stands for a type when the type is a prefix of it (an object of the type), and is above a type when it is a prefix of the
// type.
type Catalogue struct {
	types     []CatalogueType
	index     map[string]*catalogueType
	closed    map[string]bool
	allClosed bool
	reasons   map[string]ReasonText
	// explicit holds the names of actions that are explicit anywhere, and implying those that imply any: most calls end
	// there.
	explicit, implying map[string]bool
}

// CatalogueType is one resource type.
type CatalogueType struct {
	Type    string            `json:"type"`
	Title   string            `json:"title"`
	Group   string            `json:"group"`
	Closed  bool              `json:"closed"` // that is, below its first segment nothing undeclared exists
	Actions []CatalogueAction `json:"actions"`
}

// CatalogueAction is one action of a type.
type CatalogueAction struct {
	Name     string `json:"name"`
	Title    string `json:"title"`
	Explicit bool   `json:"explicit"` // no wildcard covers it
	// Implies names every other action that comes with this one, directly or not.
	Implies []string `json:"implies"`
}

// ReasonText is what a reason code means, for two kinds of readers.
type ReasonText struct {
	Title         string `json:"title" yaml:"title"`
	Administrator string `json:"administrator" yaml:"administrator"`
	User          string `json:"user" yaml:"user"`
}

type catalogueType struct {
	name    string
	actions map[string]*CatalogueAction
}

// cataloguePart is a catalogue file: catalogue/data.yaml or apps/<type>/catalogue.yaml.
type cataloguePart struct {
	Types map[string]struct {
		Title   string `yaml:"title"`
		Group   string `yaml:"group"`
		Actions map[string]struct {
			Title    string   `yaml:"title"`
			Explicit bool     `yaml:"explicit"`
			Implies  []string `yaml:"implies"`
		} `yaml:"actions"`
	} `yaml:"types"`
	Reasons map[string]ReasonText `yaml:"reasons"`
}

// merge adds a part. Owner, if not empty, is the only first segment that the part may declare types below.
func (c *Catalogue) merge(part *cataloguePart, owner string) error {
	for _, name := range slices.Sorted(maps.Keys(part.Types)) {
		declared := part.Types[name]
		switch {
		case !validPath(name):
			return fmt.Errorf("type %q is not a path of segments", name)
		case owner != "" && firstSegment(name) != owner:
			return fmt.Errorf("type %q does not begin with %q, the name of its folder", name, owner)
		case c.index[name] != nil:
			return fmt.Errorf("type %q is declared twice", name)
		case declared.Title == "":
			return fmt.Errorf("type %q has no title", name)
		case len(declared.Actions) == 0:
			return fmt.Errorf("type %q has no actions", name)
		}
		t := &catalogueType{name: name, actions: make(map[string]*CatalogueAction, len(declared.Actions))}
		for action, a := range declared.Actions {
			if !validSegment(action) {
				return fmt.Errorf("action %q of type %q is not a segment", action, name)
			}
			if a.Title == "" {
				return fmt.Errorf("action %q of type %q has no title", action, name)
			}
			t.actions[action] = &CatalogueAction{Name: action, Title: a.Title, Explicit: a.Explicit, Implies: a.Implies}
		}
		if err := t.close(); err != nil {
			return fmt.Errorf("type %q: %w", name, err)
		}
		c.index[name] = t
		c.closed[firstSegment(name)] = true
		for action, a := range t.actions {
			c.explicit[action] = c.explicit[action] || a.Explicit
			c.implying[action] = c.implying[action] || len(a.Implies) > 0
		}
		c.types = append(c.types, CatalogueType{
			Type: name, Title: declared.Title, Group: declared.Group, Closed: true, Actions: t.sorted(),
		})
	}
	slices.SortFunc(c.types, func(a, b CatalogueType) int { return strings.Compare(a.Type, b.Type) })
	for _, code := range slices.Sorted(maps.Keys(part.Reasons)) {
		text := part.Reasons[code]
		if _, twice := c.reasons[code]; twice {
			return fmt.Errorf("reason %q is declared twice", code)
		}
		if text.Title == "" || text.Administrator == "" || text.User == "" {
			return fmt.Errorf("reason %q needs title, administrator and user", code)
		}
		c.reasons[code] = text
	}
	return nil
}

// close replaces each action's implications by their transitive closure and refuses those that cannot be.
func (t *catalogueType) close() error {
	direct := make(map[string][]string, len(t.actions))
	for name, a := range t.actions {
		for _, implied := range a.Implies {
			switch target := t.actions[implied]; {
			case target == nil:
				return fmt.Errorf("action %q implies %q, which the type does not have", name, implied)
			case target.Explicit:
				return fmt.Errorf("action %q implies %q, which is explicit and cannot be implied", name, implied)
			}
		}
		direct[name] = a.Implies
	}
	for name, a := range t.actions {
		seen := map[string]bool{name: true}
		var all []string
		for queue := slices.Clone(direct[name]); len(queue) > 0; queue = queue[1:] {
			if next := queue[0]; !seen[next] {
				seen[next] = true
				all = append(all, next)
				queue = append(queue, direct[next]...)
			}
		}
		slices.Sort(all)
		a.Implies = all
	}
	return nil
}

func (t *catalogueType) sorted() []CatalogueAction {
	actions := make([]CatalogueAction, 0, len(t.actions))
	for _, name := range slices.Sorted(maps.Keys(t.actions)) {
		a := *t.actions[name]
		if a.Implies == nil {
			a.Implies = []string{}
		}
		actions = append(actions, a)
	}
	return actions
}

// data is the document data.catalogue: as written, with every optional field present and the implications closed.
func (c *Catalogue) data() map[string]any {
	types := make(map[string]any, len(c.types))
	for _, t := range c.types {
		actions := make(map[string]any, len(t.Actions))
		for _, a := range t.Actions {
			actions[a.Name] = map[string]any{"title": a.Title, "explicit": a.Explicit, "implies": a.Implies}
		}
		types[t.Type] = map[string]any{"title": t.Title, "group": t.Group, "actions": actions}
	}
	reasons := make(map[string]any, len(c.reasons))
	for code, text := range c.reasons {
		reasons[code] = map[string]any{"title": text.Title, "administrator": text.Administrator, "user": text.User}
	}
	return map[string]any{"types": types, "reasons": reasons}
}

// Known reports whether the catalogue declares the type and, for it, the action.
func (c *Catalogue) Known(resourceType, action string) bool {
	t := c.index[resourceType]
	return t != nil && t.actions[action] != nil
}

// Closed reports whether nothing undeclared exists below the first segment of a resource.
func (c *Catalogue) Closed(resource string) bool {
	return c.allClosed || c.closed[firstSegment(resource)]
}

// Explicit reports whether no wildcard covers the action on the resource: some type that the resource is of, or above, has
// it as an explicit one.
func (c *Catalogue) Explicit(resource, action string) bool {
	if !c.explicit[action] {
		return false
	}
	for name := range c.related(resource) {
		if a := c.index[name].actions[action]; a != nil && a.Explicit {
			return true
		}
	}
	return false
}

// related yields the declared types that the resource is of, or above.
func (c *Catalogue) related(resource string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for i := range c.types {
			name := c.types[i].Type
			if (resourceCovers(resource, name) || resourceCovers(name, resource)) && !yield(name) {
				return
			}
		}
	}
}

// Check returns an error that names the resource or action if it is ill-formed, or not declared below a closed first
// segment.
func (c *Catalogue) Check(resource, action string) error {
	if !ValidResource(resource) {
		return fmt.Errorf("%w: %q is not a resource", ErrPermission, resource)
	}
	if !ValidAction(action) {
		return fmt.Errorf("%w: %q is not an action", ErrPermission, action)
	}
	if resource == "*" && !c.allClosed || resource != "*" && !c.Closed(resource) {
		return nil
	}
	known := resource == "*"
	for name := range c.related(resource) {
		known = true
		if action == "*" || c.index[name].actions[action] != nil {
			return nil
		}
	}
	if !known {
		return fmt.Errorf("%w: resource type %q", ErrUnknownPermission, resource)
	}
	return fmt.Errorf("%w: action %q of %q", ErrUnknownPermission, action, resource)
}

// Covers reports whether a granted permission covers another, which may be a pattern itself: a resource covers what is
// below it, an action what it implies, "*" every resource and every action but the explicit ones. "*" is covered by "*"
// alone. It is transitive.
func (c *Catalogue) Covers(grantedResource, grantedAction, resource, action string) bool {
	return resourceCovers(grantedResource, resource) && c.actionCovers(grantedAction, resource, action)
}

func (c *Catalogue) actionCovers(granted, resource, action string) bool {
	switch {
	case granted == action:
		return true
	case action == "*":
		return false
	case granted == "*":
		return !c.Explicit(resource, action)
	}
	return c.implies(resource, granted, action)
}

// implies holds where the resource is of a declared type, and every type from there down agrees.
func (c *Catalogue) implies(resource, granted, action string) bool {
	if !c.implying[granted] {
		return false
	}
	own := c.typeOf(resource)
	if own == nil || !own.implies(granted, action) {
		return false
	}
	for i := range c.types {
		name := c.types[i].Type
		if resourceCovers(resource, name) && !c.index[name].implies(granted, action) {
			return false
		}
	}
	return true
}

func (t *catalogueType) implies(granted, action string) bool {
	a := t.actions[granted]
	return a != nil && slices.Contains(a.Implies, action)
}

// typeOf returns the longest declared type that the resource is of, or nil.
func (c *Catalogue) typeOf(resource string) *catalogueType {
	for at := len(resource); at > 0; at = strings.LastIndexByte(resource[:at], '/') {
		if t := c.index[resource[:at]]; t != nil {
			return t
		}
	}
	return nil
}

// Intersect returns the permission that two permissions have in common. Where they have several in common (two actions that
// imply the same ones) it returns the first that implies the most: never more than both cover.
func (c *Catalogue) Intersect(aRes, aAct, bRes, bAct string) (resource, action string, ok bool) {
	switch {
	case resourceCovers(aRes, bRes):
		resource = bRes
	case resourceCovers(bRes, aRes):
		resource = aRes
	default:
		return "", "", false
	}
	switch {
	case c.actionCovers(aAct, resource, bAct):
		return resource, bAct, true
	case c.actionCovers(bAct, resource, aAct):
		return resource, aAct, true
	}
	return c.common(resource, aAct, bAct)
}

func (c *Catalogue) common(resource, aAct, bAct string) (string, string, bool) {
	if !c.implying[aAct] || !c.implying[bAct] {
		return "", "", false
	}
	t := c.typeOf(resource)
	if t == nil || t.actions[aAct] == nil || t.actions[bAct] == nil {
		return "", "", false
	}
	best, found := "", false
	for _, shared := range t.actions[aAct].Implies {
		if !c.implies(resource, aAct, shared) || !c.implies(resource, bAct, shared) {
			continue
		}
		if !found || len(t.actions[shared].Implies) > len(t.actions[best].Implies) {
			best, found = shared, true
		}
	}
	if !found {
		return "", "", false
	}
	return resource, best, true
}

// Types returns the declared types in order of their names. The result is the caller's.
func (c *Catalogue) Types() []CatalogueType {
	types := slices.Clone(c.types)
	for i := range types {
		types[i].Actions = slices.Clone(types[i].Actions)
	}
	return types
}

// Reasons returns the texts of all reason codes. The result is the caller's.
func (c *Catalogue) Reasons() map[string]ReasonText {
	return maps.Clone(c.reasons)
}

// Reason returns the texts of a reason code.
func (c *Catalogue) Reason(code string) ReasonText { return c.reasons[code] }

func newCatalogue() *Catalogue {
	return &Catalogue{
		index: map[string]*catalogueType{}, closed: map[string]bool{}, reasons: map[string]ReasonText{},
		explicit: map[string]bool{}, implying: map[string]bool{},
	}
}
