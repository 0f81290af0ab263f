package policies

import (
	"cmp"
	"encoding/binary"
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
	rights   *Rights
	value    atomic.Pointer[ast.Term]
}

// NewFacts prepares an identity, which must not be modified afterwards.
func NewFacts(identity Identity) *Facts {
	return NewSharedFacts(identity, NewRights(identity.Grants, nil))
}

// NewSharedFacts prepares an identity whose grants are these, which others may have as well.
func NewSharedFacts(identity Identity, rights *Rights) *Facts {
	identity.Grants = rights.grants
	return &Facts{identity: identity, rights: rights}
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
		pair{key.grants, f.rights.term()},
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

type window struct{ from, to int64 }

// right is a grant on its way into a grantMap.
type right struct {
	tenant, resource, action, via string
	window
}

// grantMap is {tenant: {resource: {action: {via: {"not_before", "not_after"}}}}}. A role gives the same actions on many resources, to
// many; what is the same is one term.
func grantMap(grants []Grant, shared *Names) *ast.Term {
	if len(grants) == 0 {
		return key.object
	}
	sorted := rights(grants)
	names, end := shared.begin()
	defer end()
	return names.grouped(sorted, func(r *right) string { return r.tenant }, func(resources []right) *ast.Term {
		return names.grouped(resources, func(r *right) string { return r.resource }, names.actions)
	})
}

// rights sorts the grants. What one source gives in several windows has a number behind the source's name, from the second on.
func rights(grants []Grant) []right {
	list := make([]right, len(grants))
	for i, g := range grants {
		list[i] = right{g.Tenant, g.Resource, g.Action, g.Via, window{0, math.MaxInt64}}
		if !g.NotBefore.IsZero() {
			list[i].from = g.NotBefore.UnixNano()
		}
		if !g.NotAfter.IsZero() {
			list[i].to = g.NotAfter.UnixNano()
		}
	}
	slices.SortFunc(list, func(a, b right) int {
		return cmp.Or(
			strings.Compare(a.tenant, b.tenant), strings.Compare(a.resource, b.resource), strings.Compare(a.action, b.action),
			strings.Compare(a.via, b.via), cmp.Compare(a.from, b.from), cmp.Compare(a.to, b.to),
		)
	})
	return union(list)
}

// union joins windows of the same right that overlap or touch.
func union(sorted []right) []right {
	joined := sorted[:1]
	via, again := sorted[0].via, 1
	for _, r := range sorted[1:] {
		last := &joined[len(joined)-1]
		same := r.tenant == last.tenant && r.resource == last.resource && r.action == last.action && r.via == via
		if same && r.from <= last.to {
			last.to = max(last.to, r.to)
			continue
		}
		if again++; !same {
			via, again = r.via, 1
		}
		if again > 1 {
			r.via += "#" + strconv.Itoa(again)
		}
		joined = append(joined, r)
	}
	return joined
}

// grouped is an object with one member for each run of rights of one name.
func (n *Names) grouped(list []right, name func(*right) string, build func([]right) *ast.Term) *ast.Term {
	var pairs []pair
	for len(list) > 0 {
		same := 1
		for same < len(list) && name(&list[same]) == name(&list[0]) {
			same++
		}
		pairs = append(pairs, pair{n.text(name(&list[0])), build(list[:same])})
		list = list[same:]
	}
	return object(pairs...)
}

// parts are the terms of grants below a resource, by what they say.
type parts map[string]*ast.Term

func (n *Names) actions(list []right) *ast.Term {
	var buffer [256]byte
	k := buffer[:0]
	for i := range list {
		k = appendName(appendName(k, list[i].action), list[i].via)
		k = binary.AppendVarint(binary.AppendVarint(k, list[i].from), list[i].to)
	}
	if term := n.parts[string(k)]; term != nil {
		return term
	}
	term := n.grouped(list, func(r *right) string { return r.action }, func(vias []right) *ast.Term {
		return n.grouped(vias, func(r *right) string { return r.via }, func(one []right) *ast.Term { return one[0].term() })
	})
	settle(term.Value) // before another identity has it
	n.parts[string(k)] = term
	return term
}

func (w window) term() *ast.Term {
	if w == (window{0, math.MaxInt64}) {
		return key.always
	}
	return object(pair{key.notAfter, bound(w.to)}, pair{key.notBefore, bound(w.from)})
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
