package identity

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/writ-authz/writ/policies"
	"github.com/writ-authz/writ/policies/enforce"
	"github.com/writ-authz/writ/storage"
)

// PolicySets is the policy set as it is brought in while the server runs; *policies.PDP is one.
type PolicySets interface {
	// Check, Stage, StageDocuments and StageShadow try what may never serve; see there what each holds it to.
	Check(ctx context.Context, b *policies.Bundle) (signedBy string, err error)
	Stage(ctx context.Context, m policies.Managed) (*policies.Candidate, error)
	StageDocuments(ctx context.Context, documents []policies.Document) error
	StageShadow(ctx context.Context, m policies.Managed) (*policies.Candidate, error)
	// Manage puts a set into use, or keeps the one that serves and says why, as Refuse does.
	Manage(ctx context.Context, m policies.Managed) error
	// Prepare makes ready what may be put into use later.
	Prepare(ctx context.Context, m policies.Managed) error
	Refuse(ctx context.Context, why error)
	OwnParts() (policies.Parts, error)
	Application(name string) bool
	CheckDocumentPath(path string) error
	Shadow(ctx context.Context, c *policies.Candidate, revision string, share float64)
	EndShadow()
	ShadowReport() (policies.ShadowReport, bool)
}

// The settings that say which revision serves, and which one is asked beside it.
const (
	activeSetting = "policies"
	shadowSetting = "policy_shadow"
)

// retryPolicies is the pause after the store did not tell what is to serve.
const retryPolicies = time.Second

// errRefusedSet says that this node cannot serve what is active.
var errRefusedSet = errors.New("the active policies are refused here")

// policySets puts into use what the store says about policies.
type policySets struct {
	set    PolicySets
	store  storage.Reader
	logger *slog.Logger
	// wake has one place: who comes second is served by the same round.
	wake chan struct{}
	// pushed are the last revisions that were pushed and are not prepared yet; pushing is held to change them.
	pushed  []string
	pushing sync.Mutex

	mu sync.Mutex // held while what is stored is read and put into use
	// bundle is the last one that was read, revision its name.
	bundle   *policies.Bundle
	revision string
	shadowed shadowed
}

// shadowed is what the shadow of this node was started with.
type shadowed struct {
	Revision  string  `json:"revision"`
	Share     float64 `json:"share"`
	documents []policies.Document
}

func newPolicySets(c Config) *policySets {
	return &policySets{set: c.Policies, store: c.Store, logger: c.Logger, wake: make(chan struct{}, 1)}
}

// changed notes a change that is about policies. Compiling takes longer than the feed may wait.
func (p *policySets) changed(item storage.ChangeItem) {
	if item.Kind == storage.PolicyContentKind.Name && !item.Deleted {
		p.pushing.Lock()
		p.pushed = append(p.pushed, item.ID)
		p.pushed = p.pushed[max(0, len(p.pushed)-maxPushed):]
		p.pushing.Unlock()
		p.wakeUp()
	}
	if item.Kind != storage.PolicyDataKind.Name &&
		(item.Kind != storage.SettingKind.Name || item.ID != activeSetting && item.ID != shadowSetting) {
		return
	}
	p.wakeUp()
}

func (p *policySets) wakeUp() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// LoadPolicies puts into use what is active, before the server listens.
func (r *Room) LoadPolicies(ctx context.Context) error { return r.sets.load(ctx) }

// RunPolicies follows what other nodes activate and change, until ctx is done.
func (r *Room) RunPolicies(ctx context.Context) {
	if r.sets.set == nil {
		return
	}
	defer r.sets.set.EndShadow()
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.sets.wake:
		}
		for {
			err := r.sets.load(ctx)
			if err == nil || errors.Is(err, errRefusedSet) || ctx.Err() != nil {
				break // what is refused has been told, and is tried again when it changes
			}
			r.config.Logger.WarnContext(ctx, "the active policies could not be read", "error", err)
			pause := time.NewTimer(retryPolicies)
			select {
			case <-ctx.Done():
			case <-pause.C:
			}
			pause.Stop()
		}
		r.sets.prepare(ctx)
	}
}

// maxPushed is how many revisions are made ready at once, of many that are pushed.
const maxPushed = 2

// prepare makes ready what was pushed, so that this node is not the last to serve it when it is activated. What comes of it is told by whoever
// activates it.
func (p *policySets) prepare(ctx context.Context) {
	p.pushing.Lock()
	revisions := p.pushed
	p.pushed = nil
	p.pushing.Unlock()
	for _, revision := range revisions {
		if bundle, err := readBundle(ctx, p.store, revision); err == nil {
			_ = p.set.Prepare(ctx, policies.Managed{Bundle: bundle})
		}
	}
}

// load reads what is stored and puts it into use.
func (p *policySets) load(ctx context.Context) error {
	if p.set == nil {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	now, err := activeNow(ctx, p.store)
	if err != nil {
		return err
	}
	documents, err := documentsNow(ctx, p.store)
	if err != nil {
		return err
	}
	bundle, err := p.read(ctx, now.revision)
	if err != nil {
		return err
	}
	if err := p.set.Manage(ctx, policies.Managed{Bundle: bundle, Documents: documents}); err != nil {
		return errors.Join(errRefusedSet, err)
	}
	return p.loadShadow(ctx, documents)
}

// read returns the bundle of a revision, nil for the node's own policies.
func (p *policySets) read(ctx context.Context, revision string) (*policies.Bundle, error) {
	if revision == "" {
		return nil, nil
	}
	if revision == p.revision {
		return p.bundle, nil
	}
	bundle, err := readBundle(ctx, p.store, revision)
	if errors.Is(err, errRefusedSet) {
		p.set.Refuse(ctx, err)
	}
	if err == nil {
		p.bundle, p.revision = bundle, revision
	}
	return bundle, err
}

// readBundle reads a revision, and wants it to be what its name says.
func readBundle(ctx context.Context, store storage.Reader, revision string) (*policies.Bundle, error) {
	content, err := storage.Get[storage.PolicyContent](ctx, store, revision)
	if errors.Is(err, storage.ErrNotFound) {
		return nil, fmt.Errorf("%w: revision %s is not stored", errRefusedSet, revision)
	}
	if err != nil {
		return nil, fmt.Errorf("read policy revision %s: %w", revision, err)
	}
	files := make([]policies.BundleFile, len(content.Files))
	for i, f := range content.Files {
		files[i] = policies.BundleFile{Path: f.Path, Body: f.Body}
	}
	bundle, err := policies.NewBundle(files, content.Signature)
	if err != nil {
		return nil, fmt.Errorf("%w: revision %s: %w", errRefusedSet, revision, err)
	}
	if got := bundle.Revision(); got != revision {
		return nil, fmt.Errorf("%w: the files that are stored as revision %s are revision %s", errRefusedSet, revision, got)
	}
	return bundle, nil
}

// loadShadow begins, changes or ends the shadow. One that cannot be made is told and is no reason not to serve.
func (p *policySets) loadShadow(ctx context.Context, documents []policies.Document) error {
	wanted, _, err := shadowNow(ctx, p.store)
	if err != nil {
		return err
	}
	wanted.documents = documents
	if same(wanted, p.shadowed) {
		return nil
	}
	p.shadowed = wanted
	if wanted.Revision == "" {
		p.set.EndShadow()
		return nil
	}
	bundle, err := readBundle(ctx, p.store, wanted.Revision)
	if err == nil {
		var candidate *policies.Candidate
		if candidate, err = p.set.StageShadow(ctx, policies.Managed{Bundle: bundle, Documents: documents}); err == nil {
			p.set.Shadow(ctx, candidate, wanted.Revision, wanted.Share)
			return nil
		}
	}
	p.set.EndShadow()
	p.logger.WarnContext(ctx, "no shadow is asked", "revision", wanted.Revision, "error", err)
	return nil
}

func same(a, b shadowed) bool {
	if a.Revision != b.Revision || a.Share != b.Share || a.Revision != "" && len(a.documents) != len(b.documents) {
		return false
	}
	if a.Revision == "" {
		return true
	}
	for i, d := range a.documents {
		if d.Path != b.documents[i].Path || string(d.Body) != string(b.documents[i].Body) {
			return false
		}
	}
	return true
}

// active is which activation is the last, and what serves by it; number 0 is the state before the first.
type active struct {
	number   int64
	revision string
	setting  *storage.Setting // nil before the first
}

func activeNow(ctx context.Context, store storage.Reader) (active, error) {
	setting, err := storage.Get[storage.Setting](ctx, store, activeSetting)
	switch {
	case errors.Is(err, storage.ErrNotFound):
		return active{}, nil
	case err != nil:
		return active{}, fmt.Errorf("read which policies are active: %w", err)
	}
	return active{number: setting.Epoch, revision: string(setting.Value), setting: setting}, nil
}

// ActiveRevision is the managed policy set that a setting says is active, where it is the one that says so; empty is none.
func ActiveRevision(s *storage.Setting) (revision string, ok bool) {
	return string(s.Value), s.ID == activeSetting
}

func shadowNow(ctx context.Context, store storage.Reader) (shadowed, *storage.Setting, error) {
	setting, err := storage.Get[storage.Setting](ctx, store, shadowSetting)
	switch {
	case errors.Is(err, storage.ErrNotFound):
		return shadowed{}, nil, nil
	case err != nil:
		return shadowed{}, nil, fmt.Errorf("read which policies are in the shadow: %w", err)
	}
	var wanted shadowed
	if err := json.Unmarshal(setting.Value, &wanted); err != nil {
		return shadowed{}, nil, fmt.Errorf("read which policies are in the shadow: %w", err)
	}
	return wanted, setting, nil
}

// documentsNow are all documents, in order of their paths.
func documentsNow(ctx context.Context, store storage.Reader) ([]policies.Document, error) {
	var documents []policies.Document
	err := each(ctx, store, func(d *storage.PolicyData) {
		documents = append(documents, policies.Document{Path: d.ID, Body: d.Document})
	})
	if err != nil {
		return nil, fmt.Errorf("read policy data: %w", err)
	}
	return documents, nil
}

// managed is what routes about managed policies need; without it nothing is changed.
func (r *Room) managed() (PolicySets, error) {
	if r.sets.set == nil {
		return nil, conflictError("policies_not_managed", "", "this server takes its policies from its own directories alone")
	}
	return r.sets.set, nil
}

// refusedSet turns what is wrong with a policy set into a reply of this status.
func refusedSet(err error, status int, pointer string) error {
	problem := Problem{Status: status, Code: "policy_refused", Pointer: pointer}
	for _, found := range policies.Problems(err) {
		problem.Problems = append(problem.Problems, PolicyFinding(found))
	}
	switch {
	case errors.Is(err, policies.ErrGateBusy):
		return errors.Join(err, enforce.ErrBusy)
	case errors.Is(err, policies.ErrSignature):
		problem.Code, problem.Detail = "signature_refused", err.Error()
	case errors.Is(err, errRefusedSet):
		problem.Detail = err.Error()
	case problem.Problems != nil:
		problem.Detail = "the policy set is refused; problems says where and why"
		problem.Problems = problem.Problems[:min(len(problem.Problems), maxProblems)]
	default:
		return err
	}
	return &itemsError{problem: problem}
}

// maxProblems bounds how many findings a reply shows.
const maxProblems = 50
