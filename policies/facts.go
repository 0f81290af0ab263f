package policies

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
)

// Facts are the prepared facts about one identity. They are immutable and safe for concurrent use; whoever caches identities
// caches their facts. The Rego value is built on first use, so that a mirror of many identities stays small.
type Facts struct {
	identity Identity
	value    atomic.Pointer[ast.Term]
	// rendered is the value as JSON, made for the first log line that has it.
	rendered atomic.Pointer[[]byte]
}

// NewFacts prepares an identity, which must not be modified afterwards.
func NewFacts(identity Identity) *Facts {
	return &Facts{identity: identity}
}

// Nobody returns the facts about a subject or target that is not there.
func Nobody(kind, id string) *Facts {
	return NewFacts(Identity{Type: kind, ID: id})
}

// Identity returns what the facts were made of. It must not be modified.
func (f *Facts) Identity() *Identity {
	return &f.identity
}

// Usable is the one computation of DESIGN section 3: it exists, is active, its tenant is enabled, now is inside its window
// and the address is not refused. The rules state the same; a test holds the two together.
func (i *Identity) Usable(now time.Time, address string) bool {
	return i.Exists && i.Active && i.TenantEnabled && address != AddressRefused &&
		!now.Before(i.NotBefore) && (i.NotAfter.IsZero() || now.Before(i.NotAfter))
}

// term returns the facts as the rules see them. Attributes that are no JSON object are left out, which is fewer facts: the
// room that stores them admits none.
func (f *Facts) term() *ast.Term {
	if term := f.value.Load(); term != nil {
		return term
	}
	i := &f.identity
	attributes, err := jsonObject(i.Attributes)
	if err != nil {
		attributes = key.object
	}
	scopes := key.null
	if i.Scopes != nil {
		scopes = scopeMap(i.Scopes)
	}
	term := object(
		pair{key.typ, text(i.Type)},
		pair{key.id, text(i.ID)},
		pair{key.exists, flag(i.Exists)},
		pair{key.tenant, text(i.Tenant)},
		pair{key.tenantEnabled, flag(i.TenantEnabled)},
		pair{key.active, flag(i.Active)},
		pair{key.notBefore, nanoseconds(i.NotBefore, key.zero)},
		pair{key.notAfter, nanoseconds(i.NotAfter, key.forever)},
		pair{key.protected, flag(i.Protected)},
		pair{key.temporaryPassword, flag(i.TemporaryPassword)},
		pair{key.groups, nameSet(i.Groups)},
		pair{key.roles, nameSet(i.Roles)},
		pair{key.grants, grantMap(i.Grants)},
		pair{key.scopes, scopes},
		pair{key.audiences, nameSet(i.Audiences)},
		pair{key.grantTypes, nameSet(i.GrantTypes)},
		pair{key.retrievable, flag(i.Retrievable)},
		pair{key.attributes, attributes},
		pair{key.properties, key.object},
	)
	settle(term.Value)
	f.value.Store(term)
	return term
}

// json returns the facts as the log shows them.
func (f *Facts) json() []byte {
	if text := f.rendered.Load(); text != nil {
		return *text
	}
	var r renderer
	r.value(f.term().Value, false)
	f.rendered.Store(&r.out)
	return r.out
}

type window struct{ from, to int64 }

// grantMap is {tenant: {resource: {action: {via: {"not_before", "not_after"}}}}}.
func grantMap(grants []Grant) *ast.Term {
	if len(grants) == 0 {
		return key.object
	}
	type place struct{ tenant, resource, action, via string }
	windows := make(map[place][]window, len(grants))
	for _, g := range grants {
		w := window{0, math.MaxInt64}
		if !g.NotBefore.IsZero() {
			w.from = g.NotBefore.UnixNano()
		}
		if !g.NotAfter.IsZero() {
			w.to = g.NotAfter.UnixNano()
		}
		at := place{g.Tenant, g.Resource, g.Action, g.Via}
		windows[at] = append(windows[at], w)
	}
	tree := map[string]map[string]map[string]map[string]window{}
	for at, list := range windows {
		actions := branch(branch(tree, at.tenant), at.resource)
		for n, w := range union(list) {
			via := at.via
			if n > 0 { // one source may give a right in several windows
				via += "#" + strconv.Itoa(n+1)
			}
			branch(actions, at.action)[via] = w
		}
	}
	shared := interned{}
	return tier(tree, func(resources map[string]map[string]map[string]window) *ast.Term {
		return tier(resources, shared.actions)
	})
}

// interned holds the parts of one grant map by what they say. The grants of a role differ in their resource and little else, so
// that one value stands below many of them: a mirror of many identities stays small, and the collector has little to walk.
type interned map[string]*ast.Term

func (in interned) actions(actions map[string]map[string]window) *ast.Term {
	said := make([]string, 0, len(actions))
	for action, vias := range actions {
		said = append(said, strconv.Quote(action)+describeWindows(vias))
	}
	return in.once("a", said, func() *ast.Term { return tier(actions, in.windows) })
}

func (in interned) windows(vias map[string]window) *ast.Term {
	return in.once("v", []string{describeWindows(vias)}, func() *ast.Term {
		return tier(vias, func(w window) *ast.Term {
			return in.once("w", []string{describeWindow(w)}, func() *ast.Term {
				return object(pair{key.notBefore, bound(w.from)}, pair{key.notAfter, bound(w.to)})
			})
		})
	})
}

// once builds the value that is said to be this the first time, and returns it each time.
func (in interned) once(level string, said []string, build func() *ast.Term) *ast.Term {
	slices.Sort(said)
	name := level + strings.Join(said, ",")
	term := in[name]
	if term == nil {
		term = build()
		in[name] = term
	}
	return term
}

func describeWindows(vias map[string]window) string {
	said := make([]string, 0, len(vias))
	for via, w := range vias {
		said = append(said, strconv.Quote(via)+describeWindow(w))
	}
	slices.Sort(said)
	return "{" + strings.Join(said, ",") + "}"
}

func describeWindow(w window) string {
	return strconv.FormatInt(w.from, 36) + ":" + strconv.FormatInt(w.to, 36)
}

func bound(n int64) *ast.Term {
	switch n {
	case 0:
		return key.zero
	case math.MaxInt64:
		return key.forever
	}
	return number(n)
}

func branch[V any](m map[string]map[string]V, k string) map[string]V {
	if m[k] == nil {
		m[k] = map[string]V{}
	}
	return m[k]
}

func tier[V any](m map[string]V, build func(V) *ast.Term) *ast.Term {
	pairs := make([]pair, 0, len(m))
	for k, v := range m {
		pairs = append(pairs, pair{text(k), build(v)})
	}
	return object(pairs...)
}

// union joins windows that overlap or touch.
func union(list []window) []window {
	if len(list) == 1 {
		return list
	}
	slices.SortFunc(list, func(a, b window) int {
		if a.from != b.from {
			return cmp.Compare(a.from, b.from)
		}
		return cmp.Compare(a.to, b.to)
	})
	joined := list[:1]
	for _, w := range list[1:] {
		if last := &joined[len(joined)-1]; w.from <= last.to {
			last.to = max(last.to, w.to)
		} else {
			joined = append(joined, w)
		}
	}
	return joined
}

// Scopes is a prepared list of permissions that limits rights. It is immutable and safe for concurrent use; nil limits to
// nothing.
type Scopes struct {
	list  []string
	value atomic.Pointer[ast.Term]
}

// NewScopes prepares permissions. An ill-formed one is an error that wraps ErrPermission.
func NewScopes(permissions []string) (*Scopes, error) {
	for _, p := range permissions {
		if _, _, err := ParsePermission(p); err != nil {
			return nil, fmt.Errorf("scope: %w", err)
		}
	}
	return &Scopes{list: slices.Clone(permissions)}, nil
}

// List returns the permissions in the order given. It must not be modified.
func (s *Scopes) List() []string {
	if s == nil {
		return nil
	}
	return s.list
}

func (s *Scopes) term() *ast.Term {
	if s == nil {
		return key.object
	}
	if term := s.value.Load(); term != nil {
		return term
	}
	term := scopeMap(s.list)
	settle(term.Value)
	s.value.Store(term)
	return term
}

// scopeMap is {resource: {action: true}}. What is no permission limits to nothing and is left out.
func scopeMap(permissions []string) *ast.Term {
	tree := map[string]map[string]bool{}
	for _, p := range permissions {
		if resource, action, err := ParsePermission(p); err == nil {
			branch(tree, resource)[action] = true
		}
	}
	if len(tree) == 0 {
		return key.object
	}
	return tier(tree, func(actions map[string]bool) *ast.Term {
		return nameSet(slices.Collect(maps.Keys(actions)))
	})
}
