package e2e

import (
	"encoding/base64"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// push pushes a directory's files and returns the revision.
func (c *scenario) push(files map[string]string) string {
	all := object{}
	for path, text := range files {
		all[path] = text
	}
	c.post("/v1/policies", object{"files": all})
	if c.err == nil && c.last.status != 200 {
		c.wantStatus(201)
	}
	return c.text("/revision")
}

func (c *scenario) activate(revision string) *scenario {
	return c.post("/v1/policies/"+revision+"/activate", object{"reason": "a test", "acknowledge_newly_allowed": true})
}

// limited is an application policy with a limit that is data.
func limited(folder string) map[string]string {
	files := documentPolicy(folder, folder+".within", "input.context.amount <= data.apps."+folder+".limit")
	files["apps/"+folder+"/data.yaml"] = "limit: 5\n"
	files["apps/"+folder+"/policy_test.rego"] += `
test_within_is_permitted if count(` + folder + `.permit) == 1 with input as {"context": {"amount": 5}}
`
	return files
}

func amount(u user, folder string, of int) object {
	q := question("user", u.ID, "read", folder, "1")
	q["context"] = object{"amount": of}
	return q
}

// TestManagedPolicies follows a revision from the push over its activation to the rollback, and policy data beside it.
func TestManagedPolicies(t *testing.T) {
	s := fresh(t, Options{})
	c := story(t, s).root()
	u := c.newUser(object{})

	c.step("a push serves nothing")
	revision := c.push(limited("e2elimit"))
	c.push(limited("e2elimit"))
	c.decides(amount(u, "e2elimit", 5), false)
	c.get("/v1/policies/"+revision).wantStatus(200).want("/active", false).wantNaming("data.apps.e2elimit.limit")

	c.step("a revision that allows what was denied a moment ago must be acknowledged")
	c.post("/v1/policies/"+revision+"/activate", object{"reason": "a test"}).
		wantProblem(409, "/acknowledge_newly_allowed").want("/code", "impact_refused").want("/impact/newly_allowed", 1)
	c.decides(amount(u, "e2elimit", 5), false)

	c.step("an activated revision decides at once")
	c.activate(revision).wantStatus(200).want("/number", 1)
	c.decides(amount(u, "e2elimit", 5), true).decides(amount(u, "e2elimit", 6), false)
	c.get("/v1/policies").wantStatus(200).want("/source", "managed").want("/active", revision)
	c.activate(revision).wantProblem(409, "").want("/code", "already_active")

	c.step("policy data takes the place of the folder's")
	c.put("/v1/policy-data/apps/e2elimit/limit", 10).wantStatus(201)
	tag := c.header("ETag")
	c.decides(amount(u, "e2elimit", 10), true).decides(amount(u, "e2elimit", 11), false)
	c.with("If-Match", tag).put("/v1/policy-data/apps/e2elimit/limit", 20).wantStatus(200)
	c.with("If-Match", tag).put("/v1/policy-data/apps/e2elimit/limit", 30).wantStatus(412)
	c.decides(amount(u, "e2elimit", 20), true).decides(amount(u, "e2elimit", 21), false)
	c.get("/v1/policy-data/apps/e2elimit/limit").wantStatus(200)
	c.get("/v1/policy-data").wantStatus(200).wantItems("path", "apps/e2elimit/limit")

	c.step("what hides a rule, is no JSON, or is of no application is refused and changes nothing")
	c.put("/v1/policy-data/apps/e2elimit/permit", list{}).wantProblem(400, "").want("/code", "policy_refused")
	c.put("/v1/policy-data/apps/e2elimit", list{}).wantProblem(400, "").want("/code", "policy_refused")
	c.put("/v1/policy-data/apps/nobody/x", object{}).wantProblem(409, "").want("/code", "no_such_application")
	c.put("/v1/policy-data/writ/x", object{}).wantProblem(400, "")
	c.with("Content-Type", "application/json").put("/v1/policy-data/apps/e2elimit/limit", `{"a":1,"a":2}`).wantProblem(400, "/a")
	c.with("Content-Type", "application/json").put("/v1/policy-data/apps/e2elimit/limit", `1e999`).wantProblem(400, "")
	c.decides(amount(u, "e2elimit", 20), true)

	c.step("a revision whose test fails is kept and not activated")
	failing := limited("e2elimit")
	failing["apps/e2elimit/policy_test.rego"] += "\ntest_never if false\n"
	bad := c.push(failing)
	c.activate(bad).wantProblem(409, "").want("/code", "policy_refused").wantNaming("test_never")
	broken := limited("e2elimit")
	broken["apps/e2elimit/policy.rego"] = "package apps.e2elimit\n\npermit contains"
	all := object{}
	for path, text := range broken {
		all[path] = text
	}
	c.post("/v1/policies", object{"files": all}).wantProblem(400, "").want("/code", "policy_refused").wantNaming("policy.rego")
	c.decides(amount(u, "e2elimit", 20), true)
	c.delete("/v1/policies/"+revision).wantProblem(409, "")
	c.delete("/v1/policies/" + bad).wantStatus(204)

	c.step("a restart serves what was active")
	c.done()
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	s = fresh(t, Options{From: s})
	c = story(t, s).root()
	c.decides(amount(u, "e2elimit", 20), true).decides(amount(u, "e2elimit", 21), false)

	c.step("rolled back, each node's own policies serve; the log and the audit say by whom")
	c.post("/v1/policies/rollback", object{"reason": "enough", "acknowledge_newly_allowed": true}).wantStatus(200).want("/revision", "own").want("/rollback", true)
	c.decides(amount(u, "e2elimit", 1), false)
	c.get("/v1/policies").wantStatus(200).want("/source", "embedded").want("/active", "")
	c.get("/v1/policy-activations").wantStatus(200).wantItems("reason", "enough", "a test")
	c.get("/v1/audit?action=policies:rollback").wantStatus(200).wantNaming("enough")
	c.get("/readyz").wantStatus(200).want("/status", "ready") // data of an application that is gone is in nobody's way
}

// TestManagedCoreTakesAFullAdministrator lets an operator of policies bring rules of applications, and no rule of the core.
func TestManagedCoreTakesAFullAdministrator(t *testing.T) {
	s := fresh(t, Options{})
	c := story(t, s).root()
	operator := c.token(c.newApp(object{"grants": grants("policies:*")}))
	c.as(bearer(operator))
	plain := c.push(limited("e2elimit"))
	settings := limited("e2elimit")
	settings["settings/data.yaml"] = "delete_requires_inactive: true\n"
	withSettings := c.push(settings)
	c.activate(plain).wantStatus(200)
	c.activate(withSettings).wantDenied("root_only")
	c.root().activate(withSettings).wantStatus(200)
	c.as(bearer(operator)).activate(plain).wantDenied("root_only")
	c.post("/v1/policies/rollback", object{"reason": "r", "acknowledge_newly_allowed": true}).wantDenied("root_only")

	c.step("the setting binds")
	c.root()
	made := c.newApp(object{})
	c.delete("/v1/applications/"+made.ID).wantRefused(409, "must_be_inactive")
}

// TestManagedPoliciesOnEveryNode activates on one node and asks on the other.
func TestManagedPoliciesOnEveryNode(t *testing.T) {
	onMongoDB(t)
	nodes := startTogether(t, newCluster(suite.db), Options{}, Options{})
	a, b := story(t, nodes[0]).root(), story(t, nodes[1]).root()
	u := a.newUser(object{})
	one, two := a.push(limited("e2elimit")), a.push(document("read"))
	follows := func(name string, change, after func()) {
		t.Helper()
		change()
		a.done()
		changed := time.Now()
		b.eventually(bindsWithin, after)
		b.done()
		report(t, name, []time.Duration{time.Since(changed)})
	}
	follows("a revision is activated", func() { a.activate(one).wantStatus(200) },
		func() { b.decides(amount(u, "e2elimit", 5), true) })
	follows("policy data is changed", func() { a.put("/v1/policy-data/apps/e2elimit/limit", 3).wantStatus(201) },
		func() { b.decides(amount(u, "e2elimit", 5), false) })
	follows("policy data is deleted", func() { a.delete("/v1/policy-data/apps/e2elimit/limit").wantStatus(204) },
		func() { b.decides(amount(u, "e2elimit", 5), true) })

	a.step("a shadow begins on every node")
	follows("a shadow begins", func() { a.post("/v1/policies/"+two+"/shadow", object{"share": 1}).wantStatus(200) },
		func() { b.get("/v1/policies/" + two + "/shadow").wantStatus(200) })
	b.decides(amount(u, "e2elimit", 5), true)
	b.eventually(bindsWithin, func() {
		b.get("/v1/policies/"+two+"/shadow").wantStatus(200).want("/newly_denied", 1).wantNaming("e2elimit")
	})
	follows("the shadow ends", func() { a.delete("/v1/policies/" + two + "/shadow").wantStatus(204) },
		func() { b.get("/v1/policies/" + two + "/shadow").wantStatus(404) })

	a.step("of activations at once, one wins")
	var statuses [2]int
	var both sync.WaitGroup
	for i, c := range []*scenario{a, b} {
		both.Go(func() {
			revision := []string{two, "own"}[i]
			statuses[i] = c.activate(revision).last.status
		})
	}
	both.Wait()
	if statuses != [2]int{200, 409} && statuses != [2]int{409, 200} && statuses != [2]int{200, 200} {
		t.Errorf("got %v", statuses)
	}
	a.done()
	b.done()
	agree := func() {
		t.Helper()
		b.eventually(bindsWithin, func() { // also the one that lost the race has to follow first
			a.get("/v1/policies").wantStatus(200)
			b.get("/v1/policies").wantStatus(200).want("/policy_revision", a.text("/policy_revision"))
		})
		a.done()
		b.done()
	}
	agree()
	a.post("/v1/policies/rollback", object{"reason": "r", "acknowledge_newly_allowed": true}).wantStatus(200)
	agree()
}

// TestSignedPolicies lets a server take what the key of its configuration signed, and nothing else.
func TestSignedPolicies(t *testing.T) {
	binaryOnly(t)
	dir := t.TempDir()
	runScript(t, `openssl ecparam -name prime256v1 -genkey -noout | openssl pkcs8 -topk8 -nocrypt -out `+dir+`/key.pem 2>/dev/null
openssl ec -in `+dir+`/key.pem -pubout -out `+dir+`/public.pem 2>/dev/null`)
	public, err := os.ReadFile(filepath.Join(dir, "public.pem"))
	if err != nil {
		t.Fatal(err)
	}
	keys := "release:\n  algorithm: ES256\n  key: |\n    " + strings.ReplaceAll(strings.TrimSpace(string(public)), "\n", "\n    ") + "\n"
	write(t, filepath.Join(dir, "keys.yaml"), keys)
	s := fresh(t, Options{Env: map[string]string{"WRIT_POLICY_KEYS_FILE": filepath.Join(dir, "keys.yaml")}})
	c := story(t, s).root()
	files := limited("e2elimit")
	all := object{}
	for path, text := range files {
		all[path] = text
	}
	c.post("/v1/policies", object{"files": all}).wantProblem(400, "").want("/code", "signature_refused")
	c.post("/v1/policies", object{"files": all, "signature": "e30.e30.e30"}).wantProblem(400, "").want("/code", "signature_refused")
	c.post("/v1/policies", object{"bundle": base64.StdEncoding.EncodeToString([]byte("no archive"))}).wantProblem(400, "/bundle")
	c.done()
	set := policyDir(t, files)
	s.guests = true // the commands below speak to it, too
	env := []string{"WRIT_URL=" + s.Public, "WRIT_ADMIN_URL=" + s.Admin, "WRIT_CLIENT_ID=root", "WRIT_CLIENT_SECRET=" + s.Secret}
	out := runScript(t, `writ policy push `+set+` && exit 1
writ policy push `+set+` --signing-key `+dir+`/key.pem --key-id somebody && exit 1
writ policy push `+set+` --signing-key `+dir+`/key.pem --key-id release --output json > pushed.json
REVISION=$(sed -n 's/.*"revision": "\(.*\)".*/\1/p' pushed.json)
writ policy activate $(echo "$REVISION" | cut -c1-8) --reason 'signed'
writ policy log`, env...)
	if !strings.Contains(out, "signature") || !strings.Contains(out, "signed") {
		t.Errorf("got %s", out)
	}
	c.get("/v1/policies").wantStatus(200).want("/source", "managed").want("/items/0/signed_by", "release")
}

// TestManagedPoliciesAreLeftAloneWhereTheyAreOff starts a node that serves its own policies, which is the way out of a revision that no
// node can serve.
func TestManagedPoliciesAreLeftAloneWhereTheyAreOff(t *testing.T) {
	s := fresh(t, Options{})
	c := story(t, s).root()
	c.activate(c.push(limited("e2elimit"))).wantStatus(200)
	c.done()
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	off := fresh(t, Options{From: s, Env: map[string]string{"WRIT_POLICIES_MANAGED": "false"}})
	c = story(t, off).root()
	c.get("/v1/policies").wantStatus(200).want("/source", "embedded")
	c.put("/v1/policy-data/apps/document/x", object{}).wantProblem(409, "").want("/code", "policies_not_managed")
	c.send(http.MethodPost, "/v1/policies/own/activate", object{"reason": "out of it"}).wantStatus(200)
	c.done()
	if err := off.Stop(); err != nil {
		t.Fatal(err)
	}
	c = story(t, fresh(t, Options{From: off})).root()
	c.get("/v1/policies").wantStatus(200).want("/source", "embedded").want("/active", "")
}
