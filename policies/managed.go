package policies

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
)

const sourceManaged = "managed"

// gateTimeout bounds what the tests of a pushed set may take altogether: a request waits for them.
const gateTimeout = 25 * time.Second

// ErrGateBusy says that another candidate is on trial and takes long.
var ErrGateBusy = errors.New("another policy set is on trial")

// Managed is what is brought in while the server runs, beside what the node was started with.
type Managed struct {
	// Bundle stands in the place of the node's own directories. Nil: they serve.
	Bundle *Bundle
	// Documents are laid over the data of the applications.
	Documents []Document
}

// Document is data for application policies. Its path is that below data, with slashes: apps/<type> or a place below it. It takes the
// place of what the application's folder has there.
type Document struct {
	Path string
	Body json.RawMessage
}

// tests are those that a set must pass that is to serve now. That of a bundle were run when it was activated.
func (m Managed) tests() testTier {
	if m.Bundle != nil {
		return noTests
	}
	return changedTests
}

// testTier says which tests a candidate must pass.
type testTier int

const (
	changedTests testTier = iota // of the packages that changed and of what depends on them
	allTests                     // but those that passed when this was built, see unproven
	noTests
)

// Candidate is a set that passed the gate and does not serve.
type Candidate struct {
	PolicyRevision string
	DataRevision   string

	snapshot *snapshot
	deadline time.Duration
}

// ReplaySet is the candidate for Replay.
func (c *Candidate) ReplaySet() *ReplaySet { return c.snapshot.replaySet("candidate") }

func (p *PDP) layers(m Managed) (layers, error) {
	if m.Bundle == nil {
		return newLayers(shipped(), Source{Dir: p.config.Dir, CoreDir: p.config.CoreDir})
	}
	if _, err := m.Bundle.Verify(p.config.Keys); err != nil {
		return layers{}, err
	}
	return layers{shipped: shipped(), coreDir: coreFolder, bundle: m.Bundle}, nil
}

// known returns the set with this content that went through the gate already: the one that serves, one that was tried or prepared, or one that
// served before.
func (p *PDP) known(base *snapshot, content string, tests testTier) *snapshot {
	candidates := []*snapshot{base, p.staged.Load()}
	if kept := p.kept.Load(); kept != nil {
		candidates = append(candidates, *kept...)
	}
	for _, sn := range candidates {
		if sn != nil && sn.gated.content == content && (tests != allTests || sn.gated.proven) {
			return sn
		}
	}
	return nil
}

// finish lays the documents over a set that went through the gate, and pins it to this server.
func (p *PDP) finish(ctx context.Context, gated *snapshot, documents []Document) (*snapshot, error) {
	sn := gated
	if len(documents) > 0 {
		s, err := gated.gated.mounted(documents)
		if err != nil {
			return nil, err
		}
		hidden := ast.CheckPathConflicts(gated.compiler, func(path []string) (bool, error) { return exists(s.data, path), nil })
		if len(hidden) > 0 {
			return nil, &problemError{astProblems("", "data", hidden)}
		}
		if err := s.checkData(ctx, gated.compiler); err != nil {
			return nil, err
		}
		if sn, err = newSnapshot(ctx, s, gated.compiler); err != nil {
			return nil, err
		}
		sn.gated, sn.documents = gated.gated, hashDocuments(documents)
		if err := sn.holdInvariants(ctx); err != nil {
			return nil, err
		}
	} else if sn.queries == nil {
		var err error
		if sn, err = newSnapshot(ctx, gated.gated, gated.compiler); err != nil {
			return nil, err
		}
	}
	return sn.pin(ctx, p.config.Audiences)
}

func hashDocuments(documents []Document) string {
	if len(documents) == 0 {
		return ""
	}
	files := make([]file, len(documents))
	for i, d := range documents {
		files[i] = file{path: d.Path, body: d.Body}
	}
	slices.SortFunc(files, func(a, b file) int { return strings.Compare(a.path, b.path) })
	return contentHash(files)
}

// mounted returns the set with documents laid over the data of its applications, the deeper ones last.
func (s *set) mounted(documents []Document) (*set, error) {
	c := *s
	apps := map[string]any{}
	for name, object := range s.apps {
		apps[name] = object
	}
	sorted := slices.SortedFunc(slices.Values(documents), func(a, b Document) int { return strings.Compare(a.Path, b.Path) })
	for _, d := range sorted {
		value, err := decodeDocument(d.Body)
		if err != nil {
			return nil, refused(d.Path, "data", "%v", err)
		}
		parts := strings.Split(d.Path, "/")
		if len(parts) < 2 || parts[0] != "apps" {
			return nil, refused(d.Path, "layout", "a document stands at apps/<type> or below it")
		}
		if _, object := value.(map[string]any); len(parts) == 2 && !object {
			return nil, refused(d.Path, "data", "the data of an application is an object")
		}
		if apps, err = placed(apps, parts[1:], value); err != nil {
			return nil, refused(d.Path, "data", "%v", err)
		}
	}
	c.apps = make(map[string]map[string]any, len(apps))
	for name, object := range apps {
		c.apps[name] = object.(map[string]any)
	}
	c.data = maps.Clone(s.data)
	c.data["apps"] = apps
	c.dataRev = hashJSON(c.data)
	return &c, nil
}

// placed returns in with value at a path, sharing what it does not touch.
func placed(in map[string]any, path []string, value any) (map[string]any, error) {
	out := maps.Clone(in)
	if out == nil {
		out = map[string]any{}
	}
	if len(path) == 1 {
		out[path[0]] = value
		return out, nil
	}
	inner := map[string]any{}
	if old, there := in[path[0]]; there {
		object, ok := old.(map[string]any)
		if !ok {
			return nil, fmt.Errorf("%q is no object, so that nothing can stand below it", path[0])
		}
		inner = object
	}
	inner, err := placed(inner, path[1:], value)
	out[path[0]] = inner
	return out, err
}

func decodeDocument(body []byte) (any, error) {
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		return nil, err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("more than one document")
	}
	return value, finite(value)
}

// finite refuses numbers beyond IEEE 754, which no two readers take alike.
func finite(value any) error {
	switch v := value.(type) {
	case json.Number:
		if _, err := strconv.ParseFloat(string(v), 64); err != nil {
			return errors.New("a number is too large")
		}
	case []any:
		for _, item := range v {
			if err := finite(item); err != nil {
				return err
			}
		}
	case map[string]any:
		for _, item := range v {
			if err := finite(item); err != nil {
				return err
			}
		}
	}
	return nil
}

// CheckDocumentPath says what is wrong with a path for a document: it is apps/<type>, where <type> is an application of the set that
// serves, or a place below it.
func (p *PDP) CheckDocumentPath(path string) error {
	parts := strings.Split(path, "/")
	switch {
	case !validPath(path) || slices.Contains(parts, ".") || slices.Contains(parts, ".."):
		return errors.New("a path is made of segments of A-Z a-z 0-9 . _ -, joined by /")
	case len(parts) < 2 || parts[0] != "apps":
		return errors.New("a document stands at apps/<type> or below it")
	case len(parts) > maxDepth:
		return fmt.Errorf("more than %d segments", maxDepth)
	}
	return nil
}

// Application reports whether the set that serves has a folder for the application.
func (p *PDP) Application(name string) bool { return p.active.Load().gated.apps[name] != nil }

// OwnParts are those of the node's own directories, whether or not they serve.
func (p *PDP) OwnParts() (Parts, error) {
	l, err := p.layers(Managed{})
	if err != nil {
		return Parts{}, err
	}
	core, dir, err := l.own()
	return partsOf(core, dir), err
}

// Refuse says in Status why what is wanted cannot even be tried, and that the set that serves does so on.
func (p *PDP) Refuse(ctx context.Context, why error) {
	p.reload.Lock()
	defer p.reload.Unlock()
	p.keep(ctx, p.active.Load(), why)
}

// try takes a candidate that may never serve through the gate, one at a time.
func (p *PDP) try(ctx context.Context, m Managed, tests testTier) (*snapshot, error) {
	ctx, cancel := context.WithTimeout(ctx, gateTimeout)
	defer cancel()
	select {
	case p.gate <- struct{}{}:
		defer func() { <-p.gate }()
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: %w", ErrGateBusy, ctx.Err())
	}
	sn, err := p.candidate(ctx, p.active.Load(), m, tests)
	if err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return nil, refused("", "test", "the tests took longer than %s", gateTimeout)
	}
	return sn, err
}

// Check takes a bundle through what can be told without its tests: signature, layout, compilation, entrypoints, reason codes,
// invariants. It returns the id of the key that signed it.
func (p *PDP) Check(ctx context.Context, b *Bundle) (signedBy string, err error) {
	if signedBy, err = b.Verify(p.config.Keys); err != nil {
		return "", err
	}
	return signedBy, p.Prepare(ctx, Managed{Bundle: b})
}

// Prepare compiles what Manage may be asked for later, so that it need not then. Nothing else changes by it.
func (p *PDP) Prepare(ctx context.Context, m Managed) error {
	sn, err := p.try(ctx, m, noTests)
	if err == nil && sn.gated != p.active.Load().gated {
		p.hold(sn)
	}
	return err
}

// maxSets is how many compiled sets are kept beside the one that serves.
const maxSets = 3

// hold keeps a compiled set, in the place of the oldest one.
func (p *PDP) hold(sn *snapshot) {
	p.keeping.Lock()
	defer p.keeping.Unlock()
	kept := []*snapshot{sn.unbound()}
	if old := p.kept.Load(); old != nil {
		for _, o := range *old {
			if o.gated.content != sn.gated.content && len(kept) < maxSets {
				kept = append(kept, o)
			}
		}
	}
	p.kept.Store(&kept)
}

// unbound is what outlives the documents and the pins of a snapshot.
func (s *snapshot) unbound() *snapshot {
	return &snapshot{set: s.gated, gated: s.gated, compiler: s.compiler}
}

// Stage takes what is wanted through the whole gate, with all tests. Nothing changes by it; if Manage is asked for the same next, it
// need not be compiled again.
func (p *PDP) Stage(ctx context.Context, m Managed) (*Candidate, error) {
	sn, err := p.try(ctx, m, allTests)
	if err != nil {
		return nil, err
	}
	p.staged.Store(sn)
	return p.candidateOf(sn), nil
}

// StageDocuments tells whether documents could be laid over the set that serves. They change no rule, so no test is run: tests are
// about the rules under the data that their author wrote.
func (p *PDP) StageDocuments(ctx context.Context, documents []Document) error {
	base := p.active.Load()
	_, err := p.finish(ctx, base.unbound(), documents)
	return err
}

func (p *PDP) candidateOf(sn *snapshot) *Candidate {
	return &Candidate{PolicyRevision: sn.set.revision, DataRevision: sn.set.dataRev, snapshot: sn, deadline: p.config.Deadline}
}

// Manage makes the set that m asks for and swaps it in, or keeps the one that serves and says why in Status.
func (p *PDP) Manage(ctx context.Context, m Managed) error {
	p.reload.Lock()
	defer p.reload.Unlock()
	p.managed = m
	base := p.active.Load()
	if p.swap(ctx) {
		p.staged.Store(nil)
		if now := p.active.Load(); now.gated != base.gated {
			p.hold(base) // who rolls back is in a hurry
		}
		return nil
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if why := p.degraded.Load(); why != nil {
		return errors.New(*why)
	}
	return nil
}
