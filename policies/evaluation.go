package policies

import (
	"context"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/storage"
)

// evaluation is what one evaluation needs and the next can use again: a deadline that ends it, the engine's cache of rule
// results, and the options that name them.
type evaluation struct {
	over  atomic.Bool
	timer *time.Timer
	ctx   context.Context //nolint:containedctx // of the running evaluation; the engine's Cancel takes none
	done  bool            // ctx can end
	asked uint
	cache ruleCache
	// options of this evaluation follow those of the snapshot.
	cancel, caching rego.EvalOption
	options         []rego.EvalOption
}

func newEvaluation() *evaluation {
	v := &evaluation{}
	v.timer = time.AfterFunc(time.Hour, v.Cancel)
	v.timer.Stop()
	v.cancel, v.caching = rego.EvalExternalCancel(v), rego.EvalVirtualCache(&v.cache)
	return v
}

// Cancel ends the evaluation.
func (v *evaluation) Cancel() { v.over.Store(true) }

// Cancelled is asked by the engine before every expression, so the context, which is dearer to ask, is asked now and then.
func (v *evaluation) Cancelled() bool {
	if v.asked++; v.done && v.asked%64 == 0 && v.ctx.Err() != nil {
		return true
	}
	return v.over.Load()
}

// evaluate runs an entrypoint under the deadline.
func (p *PDP) evaluate(ctx context.Context, s *snapshot, e Entrypoint, input ast.Value) (ast.Value, error) {
	return p.evaluateWith(ctx, s, e, input)
}

// evaluateWith is evaluate with further options, which are stronger than the usual ones.
func (p *PDP) evaluateWith(
	ctx context.Context, s *snapshot, e Entrypoint, input ast.Value, further ...rego.EvalOption,
) (ast.Value, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	v, _ := p.evaluations.Get().(*evaluation)
	if v == nil {
		v = newEvaluation()
	}
	v.ctx, v.done = ctx, ctx.Done() != nil
	v.cache.reset()
	v.timer.Reset(p.config.Deadline)
	v.options = append(append(v.options[:0], s.options...), rego.EvalParsedInput(input), v.cancel, v.caching)
	v.options = append(v.options, further...)
	value, err := s.eval(ctx, e, v.options)
	if v.timer.Stop() && !v.over.Load() { // else its timer may yet fire, into somebody else's evaluation
		v.ctx = nil
		p.evaluations.Put(v)
	}
	return value, err
}

// ruleCache is the engine's cache of rule and function results for one evaluation. It does what the engine's own does, on
// memory that the next evaluation uses again.
type ruleCache struct {
	frames  []cacheFrame
	depth   int
	entries []cacheEntry
	terms   []*ast.Term // the refs of the entries, one after the other
}

const cacheBuckets = 64

// cacheFrame is a stack frame: the entries from its start on. Buckets hold the last entry of a chain, plus one.
type cacheFrame struct {
	start, terms int
	buckets      [cacheBuckets]int32
}

type cacheEntry struct {
	hash     int
	from, to int32 // its ref, in terms
	next     int32 // plus one
	value    *ast.Term
}

// maxKept bounds what is kept for the next evaluation.
const maxKept = 4096

func (c *ruleCache) reset() {
	clear(c.entries)
	clear(c.terms)
	if cap(c.entries) > maxKept || cap(c.terms) > 8*maxKept {
		c.entries, c.terms = nil, nil
	}
	c.entries, c.terms, c.depth = c.entries[:0], c.terms[:0], 0
	c.Push()
}

// Push begins an empty frame.
func (c *ruleCache) Push() {
	if c.depth == len(c.frames) {
		c.frames = append(c.frames, cacheFrame{})
	}
	f := &c.frames[c.depth]
	f.start, f.terms = len(c.entries), len(c.terms)
	clear(f.buckets[:])
	c.depth++
}

// Pop ends the top frame.
func (c *ruleCache) Pop() {
	c.depth--
	f := &c.frames[c.depth]
	c.entries, c.terms = c.entries[:f.start], c.terms[:f.terms]
}

func hashRef(ref ast.Ref) int {
	h := len(ref)
	for _, term := range ref {
		h = h*31 + term.Hash()
	}
	return h
}

func (c *ruleCache) find(ref ast.Ref, h int) *cacheEntry {
	f := &c.frames[c.depth-1]
	for at := f.buckets[uint(h)%cacheBuckets]; at > 0; {
		e := &c.entries[at-1]
		if e.hash == h && c.same(e, ref) {
			return e
		}
		at = e.next
	}
	return nil
}

func (c *ruleCache) same(e *cacheEntry, ref ast.Ref) bool {
	terms := c.terms[e.from:e.to]
	if len(terms) != len(ref) {
		return false
	}
	for i := len(ref) - 1; i >= 0; i-- { // what differs stands last
		if terms[i] != ref[i] && !terms[i].Equal(ref[i]) {
			return false
		}
	}
	return true
}

// Get returns the result of a rule, or true if it is known to be undefined.
func (c *ruleCache) Get(ref ast.Ref) (*ast.Term, bool) {
	if e := c.find(ref, hashRef(ref)); e != nil {
		return e.value, e.value == nil
	}
	return nil, false
}

// Put notes the result of a rule; nil says that it is undefined.
func (c *ruleCache) Put(ref ast.Ref, value *ast.Term) {
	h := hashRef(ref)
	if e := c.find(ref, h); e != nil {
		if value != nil {
			e.value = value
		}
		return
	}
	bucket := &c.frames[c.depth-1].buckets[uint(h)%cacheBuckets]
	from := int32(len(c.terms))
	c.terms = append(c.terms, ref...)
	c.entries = append(c.entries, cacheEntry{hash: h, from: from, to: int32(len(c.terms)), next: *bucket, value: value})
	*bucket = int32(len(c.entries))
}

// Keys lists the refs of the top frame that have a result.
func (c *ruleCache) Keys() []ast.Ref {
	var refs []ast.Ref
	for _, e := range c.entries[c.frames[c.depth-1].start:] {
		if e.value != nil {
			refs = append(refs, append(ast.Ref{}, c.terms[e.from:e.to]...))
		}
	}
	return refs
}

// dataCache gives the engine the data document itself. It is read-only, so one serves all evaluations of a snapshot; what
// it does not find, the engine asks of a wholeStore.
type dataCache struct{ root ast.Object }

// Get returns the base document that ref names, or nil. As in the engine's own stores, a number names the member of an object that is
// called so, and a text the place in an array.
func (c dataCache) Get(ref ast.Ref) ast.Value {
	var value ast.Value = c.root
	for _, term := range ref[1:] {
		var next *ast.Term
		switch v := value.(type) {
		case ast.Object:
			if number, ok := term.Value.(ast.Number); ok {
				term = ast.StringTerm(number.String())
			}
			next = v.Get(term)
		case *ast.Array:
			if text, ok := term.Value.(ast.String); ok {
				at, err := strconv.Atoi(string(text))
				if err != nil {
					return nil
				}
				term = ast.InternedTerm(at)
			}
			next = v.Get(term)
		}
		if next == nil {
			return nil
		}
		value = next.Value
	}
	return value
}

// Put does nothing: everything is there.
func (dataCache) Put(ast.Ref, ast.Value) {}

// wholeStore is a store whose whole document is a dataCache: what is read from it is not there, and is not looked for again.
type wholeStore struct{ storage.Store }

var errNoData = &storage.Error{Code: storage.NotFoundErr, Message: "no such data"}

// Read finds nothing.
func (wholeStore) Read(context.Context, storage.Transaction, storage.Path) (any, error) {
	return nil, errNoData
}
