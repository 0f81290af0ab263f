package policies

import (
	"sync"
	"sync/atomic"

	"github.com/open-policy-agent/opa/v1/ast"
)

// Rights are prepared grants. All who hold the same share one, because the grants are most of what is known of an identity, and
// identities are many. They are immutable and safe for concurrent use.
type Rights struct {
	grants []Grant
	names  *Names
	value  atomic.Pointer[ast.Term]
}

// NewRights prepares grants, which must not be modified afterwards. What they have in common with other rights of these names, which
// may be nil, is kept once.
func NewRights(grants []Grant, names *Names) *Rights {
	return &Rights{grants: grants, names: names}
}

// Grants returns what the rights were made of. It must not be modified.
func (r *Rights) Grants() []Grant { return r.grants }

// term returns the grants as the rules see them. All callers get the same term, by which the log knows it again.
func (r *Rights) term() *ast.Term {
	if term := r.value.Load(); term != nil {
		return term
	}
	term := grantMap(r.grants, r.names)
	settle(term.Value)
	if !r.value.CompareAndSwap(nil, term) {
		return r.value.Load()
	}
	return term
}

// maxNames bounds Names. When it is reached they begin anew: what is in use stays with those who use it.
const maxNames = 1 << 17

// Names keeps the terms that recur in rights: the texts of tenants, resources, actions and sources, and what a role gives on a
// resource. The zero value is ready for use.
type Names struct {
	mu    sync.Mutex
	texts map[string]*ast.Term
	parts parts
}

func (n *Names) text(s string) *ast.Term {
	if s == "" {
		return key.empty
	}
	if term := n.texts[s]; term != nil {
		return term
	}
	term := ast.StringTerm(s)
	n.texts[s] = term
	return term
}

// begin takes the names for one grantMap. Without shared ones it has its own.
func (n *Names) begin() (names *Names, end func()) {
	if n == nil {
		return &Names{texts: map[string]*ast.Term{}, parts: parts{}}, func() {}
	}
	n.mu.Lock()
	if n.texts == nil || len(n.texts)+len(n.parts) > maxNames {
		n.texts, n.parts = map[string]*ast.Term{}, parts{}
	}
	return n, n.mu.Unlock
}
