package identity_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/writ-authz/writ/identity"
	"github.com/writ-authz/writ/policies"
	"github.com/writ-authz/writ/storage"
)

// policyPort stands in for the policy set: it takes everything but what it is told to refuse, and remembers what it is to serve.
type policyPort struct {
	mu      sync.Mutex
	refuses error
	served  policies.Managed
	told    error
	shadow  policies.ShadowReport
	// prepared, if not nil, gets what is made ready.
	prepared chan string
}

func (p *policyPort) Check(context.Context, *policies.Bundle) (string, error) { return "", p.refuses }

func (p *policyPort) Stage(context.Context, policies.Managed) (*policies.Candidate, error) {
	return &policies.Candidate{}, p.refuses
}

func (p *policyPort) StageShadow(context.Context, policies.Managed) (*policies.Candidate, error) {
	return &policies.Candidate{}, p.refuses
}

func (p *policyPort) StageDocuments(context.Context, []policies.Document) error { return p.refuses }

func (p *policyPort) Manage(_ context.Context, m policies.Managed) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.served = m
	return nil
}

func (p *policyPort) Prepare(_ context.Context, m policies.Managed) error {
	if p.prepared != nil {
		p.prepared <- m.Bundle.Revision()
	}
	return p.refuses
}

func (p *policyPort) Refuse(_ context.Context, why error) { p.told = why }
func (p *policyPort) OwnParts() (policies.Parts, error)   { return policies.Parts{}, nil }
func (p *policyPort) Application(name string) bool        { return name == "route" }
func (p *policyPort) CheckDocumentPath(path string) error {
	return new(policies.PDP).CheckDocumentPath(path)
}

func (p *policyPort) EndShadow() { p.shadow = policies.ShadowReport{} }

func (p *policyPort) ShadowReport() (policies.ShadowReport, bool) {
	return p.shadow, p.shadow.Revision != ""
}

func (p *policyPort) Shadow(_ context.Context, _ *policies.Candidate, revision string, share float64) {
	p.shadow = policies.ShadowReport{Revision: revision, Share: share, Impact: policies.Impact{Samples: []policies.ImpactSample{}}}
}

func (p *policyPort) serves() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.served.Bundle == nil {
		return "own"
	}
	return p.served.Bundle.Revision()
}

func bundleFiles(name string) map[string]string {
	return map[string]string{"apps/" + name + "/data.yaml": "a: 1\n"}
}

// pushed is the body that pushes a bundle of one application.
func pushed(name string) string {
	body, _ := json.Marshal(map[string]any{"files": bundleFiles(name)})
	return string(body)
}

func revisionOf(name string) string {
	var files []policies.BundleFile
	for path, text := range bundleFiles(name) {
		files = append(files, policies.BundleFile{Path: path, Body: []byte(text)})
	}
	b, err := policies.NewBundle(files, "")
	if err != nil {
		panic(err)
	}
	return b.Revision()
}

func activate(w *world, name, reason string) *reply {
	return w.root().post("/v1/policies/"+revisionOf(name)+"/activate", fmt.Sprintf(`{"reason":%q}`, reason))
}

// TestWhatIsPushedIsMadeReadyOnEveryNode: a node that follows compiles it before it is activated, and serves it no sooner.
func TestWhatIsPushedIsMadeReadyOnEveryNode(t *testing.T) {
	w := newWorld(t)
	w.sets.prepared = make(chan string)
	ctx, cancel := context.WithCancel(t.Context())
	var following sync.WaitGroup
	following.Go(func() { w.room.RunPolicies(ctx) })
	defer func() { cancel(); following.Wait() }()
	for _, name := range []string{"one", "two"} {
		w.root().post("/v1/policies", pushed(name)).is(201)
		equal(t, "made ready", <-w.sets.prepared, revisionOf(name))
		equal(t, "served", w.sets.serves(), "own")
	}
}

func TestARevisionIsPushedOnceAndServesNothing(t *testing.T) {
	w := newWorld(t)
	made := w.root().post("/v1/policies", pushed("one")).is(201)
	equal(t, "revision", made.text("revision"), revisionOf("one"))
	equal(t, "Location", made.header.Get("Location"), "/v1/policies/"+revisionOf("one"))
	equal(t, "author", made.text("author"), "application:root")
	w.root().post("/v1/policies", pushed("one")).is(200)
	equal(t, "served", w.sets.serves(), "own")
	one := w.root().get("/v1/policies/" + revisionOf("one")).is(200)
	equal(t, "content", one.text("content", "0", "path"), "apps/one/data.yaml")
	equal(t, "text", one.text("content", "0", "text"), "a: 1\n")
	equal(t, "active", w.root().get("/v1/policies").is(200).text("active"), "")
	w.root().get("/v1/policies/" + strings.Repeat("0", 64)).is(404)
	w.root().get("/v1/policies/" + strings.ToUpper(revisionOf("one"))).is(400)
	w.audited("policies:push", "policies/"+revisionOf("one"))
}

func TestWhatIsNoBundleIsRefusedWithItsPlace(t *testing.T) {
	w := newWorld(t)
	for body, pointer := range map[string]string{
		`{}`:                                      "",
		`{"files":{}}`:                            "/files",
		`{"files":{"../x.rego":""}}`:              "/files/..~1x.rego",
		`{"files":{"apps/x/.hidden.yaml":""}}`:    "/files/apps~1x~1.hidden.yaml",
		`{"files":{"apps/x/a.txt":""}}`:           "/files/apps~1x~1a.txt",
		`{"files":{"apps/x/signatures.json":""}}`: "/files/apps~1x~1signatures.json",
		`{"files":{"patch.json":""}}`:             "/files/patch.json",
		`{"files":{"a.rego":1}}`:                  "/files/a.rego",
		`{"files":{"a.rego":"","a.rego":""}}`:     "/files/a.rego",
		`{"bundle":"%"}`:                          "/bundle",
		`{"bundle":"AAAA"}`:                       "/bundle",
		`{"bundle":"AAAA","signature":"x"}`:       "/signature",
		`{"bundle":"AAAA","files":{"a.rego":""}}`: "",
	} {
		w.root().post("/v1/policies", body).is(400).at(pointer)
	}
	w.sets.refuses = fmt.Errorf("%w: not signed", policies.ErrSignature)
	w.root().post("/v1/policies", pushed("one")).want(400, "signature_refused")
	equal(t, "revisions", w.root().get("/v1/policies").is(200).ids("revision"), "")
}

func TestRevisionsAreActivatedAndRolledBack(t *testing.T) {
	w := newWorld(t)
	for _, name := range []string{"one", "two", "three"} {
		w.root().post("/v1/policies", pushed(name)).is(201)
	}
	w.root().post("/v1/policies/rollback", `{"reason":"r"}`).conflict("nothing_to_roll_back")
	w.root().post("/v1/policies/"+revisionOf("one")+"/activate", `{"reason":" "}`).bad("/reason")
	for _, name := range []string{"one", "two", "three"} {
		activate(w, name, "because of "+name).is(200)
		equal(t, "served", w.sets.serves(), revisionOf(name))
	}
	activate(w, "three", "again").conflict("already_active")
	w.root().del("/v1/policies/" + revisionOf("three")).conflict("revision_in_use")

	// A rollback leads on from where the one before it led to, and ends at the beginning.
	for _, want := range []string{revisionOf("two"), revisionOf("one"), "own"} {
		equal(t, "rolled back to", w.root().post("/v1/policies/rollback", `{"reason":"no"}`).is(200).text("revision"), want)
		equal(t, "served", w.sets.serves(), want)
	}
	w.root().post("/v1/policies/rollback", `{"reason":"r"}`).conflict("nothing_to_roll_back")
	activate(w, "one", "anew").is(200)
	w.root().post("/v1/policies/own/activate", `{"reason":"home"}`).is(200)
	equal(t, "served", w.sets.serves(), "own")

	first := w.root().get("/v1/policy-activations?limit=3").is(200)
	equal(t, "numbers", first.ids("reason"), "home anew no")
	equal(t, "next", first.text("next"), "6")
	last := w.root().get("/v1/policy-activations?after=4").is(200)
	equal(t, "reasons", last.ids("reason"), "because of three because of two because of one")
	equal(t, "actor", last.text("items", "0", "actor"), "application:root")
	w.root().get("/v1/policy-activations?after=x").is(400)
	w.audited("policies:rollback", "policies/own")
}

func TestWhatTheGateRefusesIsNotActivated(t *testing.T) {
	w := newWorld(t)
	w.root().post("/v1/policies", pushed("one")).is(201)
	_, w.sets.refuses = policies.NewBundle(nil, "") // a finding
	refused := activate(w, "one", "r").conflict("policy_refused")
	equal(t, "problem", refused.text("problems", "0", "message"), "the bundle is empty")
	equal(t, "served", w.sets.serves(), "own")
	equal(t, "log", w.root().get("/v1/policy-activations").is(200).ids("reason"), "")
}

func TestNewlyAllowedDecisionsMustBeAcknowledged(t *testing.T) {
	impact := policies.Impact{Decisions: 10, NewlyAllowed: 3, Samples: []policies.ImpactSample{}}
	var broken error
	w := newWorldWith(t, func(c *config) {
		c.NewlyAllowed = 2
		c.Replay = func(context.Context, *policies.Candidate) (policies.Impact, error) { return impact, broken }
	})
	w.root().post("/v1/policies", pushed("one")).is(201)
	refused := activate(w, "one", "r").conflict("impact_refused").at("/acknowledge_newly_allowed")
	equal(t, "impact", fmt.Sprint(refused.value("impact", "newly_allowed")), "3")
	equal(t, "served", w.sets.serves(), "own")
	taken := w.root().post("/v1/policies/"+revisionOf("one")+"/activate", `{"reason":"wanted","acknowledge_newly_allowed":true}`).is(200)
	equal(t, "acknowledged", fmt.Sprint(taken.value("acknowledged")), "true")
	logged := w.root().get("/v1/policy-activations").is(200)
	equal(t, "impact in the log", fmt.Sprint(logged.value("items", "0", "impact", "newly_allowed")), "3")

	impact = policies.Impact{Decisions: 10, Errors: 1, Samples: []policies.ImpactSample{}}
	w.root().post("/v1/policies/rollback", `{"reason":"r","acknowledge_newly_allowed":true}`).conflict("impact_refused")
	broken = storage.ErrUnavailable
	w.root().post("/v1/policies/rollback", `{"reason":"r"}`).is(503)
	equal(t, "served", w.sets.serves(), revisionOf("one"))
}

// Of activations at once, one wins; whoever decided on what no longer serves is told so.
func TestOfActivationsAtOnceOneWins(t *testing.T) {
	names := []string{"one", "two", "three", "four"}
	var here atomic.Int64
	all := make(chan struct{})
	w := newWorldWith(t, func(c *config) {
		c.Replay = func(ctx context.Context, _ *policies.Candidate) (policies.Impact, error) {
			if here.Add(1) == int64(len(names)) {
				close(all) // each has looked at what serves, and none has committed
			}
			select {
			case <-all:
			case <-ctx.Done():
			}
			return policies.Impact{}, nil
		}
	})
	for _, name := range names {
		w.root().post("/v1/policies", pushed(name)).is(201)
	}
	codes := make([]string, len(names))
	var done sync.WaitGroup
	for i, name := range names {
		done.Go(func() {
			r := activate(w, name, name)
			codes[i] = fmt.Sprint(r.status)
			if r.status != 200 {
				codes[i] += " " + r.text("code")
			}
		})
	}
	done.Wait()
	won := w.root().get("/v1/policy-activations").is(200).ids("reason")
	equal(t, "served", w.sets.serves(), revisionOf(won))
	slices.Sort(codes)
	equal(t, "replies", strings.Join(codes, ", "), "200, 409 activation_lost, 409 activation_lost, 409 activation_lost")
}

func TestDocumentsOfPolicies(t *testing.T) {
	w := newWorld(t)
	const path = "/v1/policy-data/apps/route/table"
	w.root().get(path).is(404)
	made := w.root().put(path, `{"GET /":"public"}`).is(201)
	tag := made.header.Get("Etag")
	equal(t, "Location", made.header.Get("Location"), path)
	equal(t, "document", string(w.sets.served.Documents[0].Body), `{"GET /":"public"}`)
	got := w.root().get(path).is(200)
	equal(t, "body", strings.TrimSpace(got.body), `{"GET /":"public"}`)
	equal(t, "ETag", got.header.Get("Etag"), tag)
	equal(t, "paths", w.root().get("/v1/policy-data").is(200).ids("path"), "apps/route/table")

	changed := w.root().with("If-Match", tag).put(path, `[1,2]`).is(200)
	w.root().with("If-Match", tag).put(path, `[3]`).is(412)
	w.root().with("If-None-Match", "*").put(path, `[3]`).is(412)
	w.root().with("If-None-Match", changed.header.Get("Etag")).get(path).is(304)
	w.root().put("/v1/policy-data/apps/rout/table", `1`).conflict("no_such_application")
	for _, bad := range []string{"apps", "apps/", "apps/route/", "writ/x", "settings/x", "apps/../x", "apps/./x", "apps/route/%20", "apps/route/a%22b"} {
		w.root().put("/v1/policy-data/"+bad, `1`).is(400)
	}
	for _, bad := range []string{"apps//route", "apps/route%2ftable", "apps/route/%5c"} {
		w.root().put("/v1/policy-data/"+bad, `1`).is(404)
	}
	w.root().put(path, `{"a":1,"a":2}`).bad("/a")
	w.root().put(path, strings.Repeat("[", 40)+strings.Repeat("]", 40)).want(400, "too_deep")
	_, w.sets.refuses = policies.NewBundle(nil, "")
	w.root().put(path, `{}`).want(400, "policy_refused")
	w.sets.refuses = nil
	equal(t, "unchanged", strings.TrimSpace(w.root().get(path).is(200).body), `[1,2]`)

	w.root().with("If-Match", tag).del(path).is(412)
	w.root().del(path).is(204)
	w.root().del(path).is(404)
	equal(t, "documents", len(w.sets.served.Documents), 0)
	w.audited("policy-data:put", "policy-data/apps/route/table")
	w.audited("policy-data:delete", "policy-data/apps/route/table")
}

// A right to a place is one to what stands below it, and to nothing beside it.
func TestARightToAPlaceOfPolicyData(t *testing.T) {
	w := newWorld(t)
	w.application("keeper", `,"grants":[{"resource":"policies/data/apps/route","action":"*"}]`)
	keeper := w.as("application:keeper")
	keeper.put("/v1/policy-data/apps/route/table", `{}`).is(201)
	keeper.put("/v1/policy-data/apps/route", `{}`).is(201)
	keeper.put("/v1/policy-data/apps/routes", `{}`).refused("not_granted")
	keeper.put("/v1/policy-data/apps/other/route", `{}`).refused("not_granted")
	keeper.get("/v1/policy-data").refused("not_granted")
	keeper.del("/v1/policy-data/apps/route/table").is(204)
}

// What replaces the core, or has settings, says what everybody may do here.
func TestAnotherCoreTakesAFullAdministrator(t *testing.T) {
	w := newWorld(t)
	w.application("operator", `,"grants":[{"resource":"policies","action":"*"}]`)
	operator := w.as("application:operator")
	revisions := map[string]string{}
	for name, path := range map[string]string{"rules": "apps/x/data.yaml", "core": "core/writ/x.rego", "settings": "settings/data.yaml"} {
		body, _ := json.Marshal(map[string]any{"files": map[string]string{path: "x: 1"}})
		revisions[name] = operator.post("/v1/policies", string(body)).is(201).text("revision")
	}
	on := func(name string) string { return "/v1/policies/" + revisions[name] + "/activate" }
	operator.post(on("rules"), `{"reason":"r"}`).is(200)
	operator.post(on("core"), `{"reason":"r"}`).refused("root_only")
	operator.post(on("settings"), `{"reason":"r"}`).refused("root_only")
	w.root().post(on("core"), `{"reason":"r"}`).is(200)
	operator.post("/v1/policies/rollback", `{"reason":"r"}`).refused("root_only")
	operator.post(on("rules"), `{"reason":"r"}`).refused("root_only")
}

func TestAShadowIsStartedAndEnded(t *testing.T) {
	w := newWorld(t)
	w.root().post("/v1/policies", pushed("one")).is(201)
	on := "/v1/policies/" + revisionOf("one") + "/shadow"
	w.root().get(on).is(404)
	for _, share := range []string{`0`, `1.1`, `-1`, `null`, `"1"`} {
		w.root().post(on, `{"share":`+share+`}`).bad("/share")
	}
	w.root().post(on, `{"share":0.25}`).is(200)
	equal(t, "share", fmt.Sprint(w.root().get(on).is(200).value("share")), "0.25")
	w.root().del("/v1/policies/" + revisionOf("one")).conflict("revision_in_use")
	equal(t, "served", w.sets.serves(), "own")
	w.root().del(on).is(204)
	w.root().del(on).is(404)
	w.root().get(on).is(404)
	w.root().post("/v1/policies/"+strings.Repeat("0", 64)+"/shadow", `{"share":1}`).is(404)
	w.audited("policies:end_shadow", "policies/"+revisionOf("one"))
}

// A node that is told to serve what is not what its name says keeps what serves and says why.
func TestContentThatIsNotItsHashIsRefused(t *testing.T) {
	w := newWorld(t)
	w.root().post("/v1/policies", pushed("one")).is(201)
	activate(w, "one", "r").is(200)
	forged, err := storage.Get[storage.PolicyContent](t.Context(), w.store, revisionOf("one"))
	must(t, err)
	forged.Files[0].Body = []byte("a: 2\n")
	must(t, w.store.Txn(t.Context(), func(ctx context.Context, tx storage.Tx) error {
		sequence, err := tx.Sequence(ctx)
		must(t, err)
		must(t, tx.Advance(ctx, sequence))
		return tx.Update(ctx, forged)
	}))
	w.open() // another node
	if err := w.room.LoadPolicies(t.Context()); err == nil || w.sets.told == nil {
		t.Errorf("got %v, told %v", err, w.sets.told)
	}
	equal(t, "served", w.sets.serves(), "own")
}

func TestWithoutManagementNothingIsChangedButBackToOnesOwn(t *testing.T) {
	w := newWorld(t)
	w.root().post("/v1/policies", pushed("one")).is(201)
	activate(w, "one", "r").is(200)
	w.adjust = func(c *config) { c.Policies = nil }
	w.open()
	must(t, w.room.LoadPolicies(t.Context()))
	w.root().post("/v1/policies", pushed("two")).conflict("policies_not_managed")
	w.root().put("/v1/policy-data/apps/route/table", `1`).conflict("policies_not_managed")
	w.root().post("/v1/policies/own/activate", `{"reason":"out of it"}`).is(200)
	w.adjust = func(*config) {}
	w.open()
	must(t, w.room.LoadPolicies(t.Context()))
	equal(t, "served", w.sets.serves(), "own")
}

var _ identity.PolicySets = (*policyPort)(nil)
