package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// auditReport is what writ audit verify prints.
type auditReport struct {
	Chains []struct {
		Chain   string `json:"chain"`
		Entries int64  `json:"entries"`
	} `json:"chains"`
	Checkpoints int `json:"checkpoints"`
	Anchored    int `json:"anchored"`
	Broken      []struct {
		Chain string `json:"chain"`
		Seq   int64  `json:"seq"`
		Why   string `json:"why"`
	} `json:"broken"`
}

// audit runs a command of writ audit that prints JSON.
func audit(t *testing.T, env map[string]string, code int, into any, args ...string) Output {
	t.Helper()
	out := suite.runner.Command(t.Context(), Options{Env: env}, append([]string{"audit"}, append(args, "--output", "json")...)...)
	if out.Code != code {
		t.Fatalf("writ audit %s: exit code %d, want %d\n%s%s", strings.Join(args, " "), out.Code, code, out.Stdout, out.Stderr)
	}
	if err := json.Unmarshal([]byte(out.Stdout), into); err != nil {
		t.Fatalf("writ audit %s: %v\n%s", strings.Join(args, " "), err, out.Stdout)
	}
	return out
}

// TestTheAuditIsListedExportedAndVerified follows one change through all that tells of it: the API, the export, the verifier on the
// store, and the verifier of somebody who has the lines, the anchor and the public key alone.
func TestTheAuditIsListedExportedAndVerified(t *testing.T) {
	leftOut(t, suite.runner.Name() != "process", "its anchor is a file of this machine: E2E_RUNNER=process runs it")
	work := t.TempDir()
	anchor := filepath.Join(work, "anchor.jsonl")
	s := fresh(t, Options{Env: map[string]string{"WRIT_AUDIT_ANCHOR": anchor, "WRIT_AUDIT_CHECKPOINT_ENTRIES": "2"}})
	c := story(t, s).root()
	a := c.newApp(object{"name": "audited"})
	decision := c.patch("/v1/applications/"+a.ID, object{"description": "audited"}).wantStatus(200).header("Decision-Id")
	for _, query := range []string{"decision_id=" + decision, "target=applications/" + a.ID + "&action=iam/applications:patch"} {
		c.get("/v1/audit?"+query+"&event=outcome").wantItems("outcome", "ok")
		// An attempt that lost the authority's sequence to another change, such as a key that the server makes, leaves its intent.
		if c.get("/v1/audit?" + query + "&event=intent"); len(c.items("event")) == 0 {
			c.fail("no intent with %s", query)
		}
		if c.get("/v1/audit?" + query); len(c.items("event")) < 2 {
			c.fail("fewer than two entries with %s", query)
		}
	}
	c.as(bearer(c.token(a))).get("/v1/audit").wantDenied("not_granted")
	c.root().get("/v1/audit?outcome=refused&actor=application:" + a.ID).wantItems("action") // reading is decided, and is no act
	c.onPublic().get("/v1/audit").wantStatus(404)
	c.done()
	s.guests = true // the export asks too
	out := suite.runner.Command(t.Context(), Options{Env: map[string]string{
		"WRIT_URL": s.Public, "WRIT_ADMIN_URL": s.Admin, "WRIT_CLIENT_ID": "root", "WRIT_CLIENT_SECRET": s.Secret,
	}}, "audit", "export")
	if out.Code != 0 || !strings.Contains(out.Stdout, decision) {
		t.Fatalf("writ audit export: exit code %d\n%s%s", out.Code, out.Stdout, out.Stderr)
	}
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}

	var key struct {
		Key string `json:"audit_key"`
	}
	audit(t, s.storeEnv(), 0, &key, "key")
	if !strings.Contains(s.text(s.stderr()), `"audit_key":"`+key.Key+`"`) {
		t.Error("the server did not say its audit key at the start")
	}
	if info, err := os.Stat(anchor); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the anchor: %v %v", info, err)
	}
	var report auditReport
	audit(t, s.storeEnv(), 0, &report, "verify", "--anchor", anchor)
	if len(report.Chains) != 2 || report.Checkpoints == 0 || report.Anchored != report.Checkpoints {
		t.Errorf("the report of the store: %+v", report)
	}

	lines := filepath.Join(work, "audit.jsonl")
	forge := func(edit func([]string) []string) int {
		text := strings.Join(edit(strings.SplitAfter(out.Stdout, "\n")), "")
		if err := os.WriteFile(lines, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return len(text)
	}
	elsewhere := []string{"verify", "--file", lines, "--key", key.Key}
	forge(func(l []string) []string { return l })
	audit(t, nil, 0, &report, elsewhere...)
	for name, edit := range map[string]func([]string) []string{
		"edited":    func(l []string) []string { l[1] = strings.Replace(l[1], `"ok"`, `"no"`, 1); return l },
		"deleted":   func(l []string) []string { return append(l[:1:1], l[2:]...) },
		"reordered": func(l []string) []string { l[1], l[2] = l[2], l[1]; return l },
	} {
		forge(edit)
		if out := audit(t, nil, 1, &report, elsewhere...); !strings.Contains(out.Stderr, "audit chain authority, entry") || len(report.Broken) == 0 {
			t.Errorf("%s: %s", name, out.Stderr)
		}
	}
	t.Log("the anchor knows what was exported before it was cut")
	forge(func(l []string) []string { return l[:len(l)-3] })
	audit(t, nil, 0, &report, elsewhere...)
	audit(t, nil, 1, &report, append(elsewhere, "--anchor", anchor)...)
	if out := suite.runner.Command(t.Context(), Options{}, "audit", "verify", "--file", lines, "--anchor", anchor); out.Code != 2 {
		t.Errorf("an anchor without a key: exit code %d: %s", out.Code, out.Stderr)
	}

	if s.shares.db != nil {
		return // its files are the database's
	}
	t.Log("the database file is edited")
	file := filepath.Join(s.data(), "writ.db")
	body, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	was, is := []byte(`"action":"iam/applications:patch","target":"applications/`+a.ID), []byte(`"action":"iam/applications:grant","target":"applications/`+a.ID)
	if !bytes.Contains(body, was) {
		t.Fatal("the entry is not in the database file")
	}
	if err := os.WriteFile(file, bytes.ReplaceAll(body, was, is), 0o600); err != nil {
		t.Fatal(err)
	}
	out = audit(t, s.storeEnv(), 1, &report, "verify")
	if len(report.Broken) != 2 || report.Broken[0].Why != "the entry was changed" || !strings.Contains(out.Stderr, report.Broken[0].Chain) {
		t.Errorf("after an edit of the database file: %+v\n%s", report.Broken, out.Stderr)
	}
	if err := os.WriteFile(file, body, 0o600); err != nil { // the server is looked at once more at the end
		t.Fatal(err)
	}
}

// TestSeedL11ASecretThatLeftHasItsEntry reveals secrets while the server is killed at random points, over and over. Every value that a
// client got has an intent before it, every chain verifies, and what was acknowledged is whole.
func TestSeedL11ASecretThatLeftHasItsEntry(t *testing.T) {
	reveals, every := 30, 15
	if os.Getenv(longVariable) == "1" {
		reveals, every = 1000, 40 // all that four hands may in a minute
	}
	t.Logf("%d retrievals; %s=1 makes it 1000", reveals, longVariable)
	s := fresh(t, Options{})
	got := map[string]bool{} // decision ids of replies with a value
	kills := 0
	for len(got) < reveals {
		values := revealUntilKilled(t, s, every)
		kills++
		for id := range values {
			got[id] = true
		}
		s = fresh(t, Options{From: s})
		s.guests = true // requests that were decided and cut off
	}
	c := story(t, s).root()
	intents := map[string]bool{}
	for after := ""; ; {
		c.get("/v1/audit?action=iam/applications:reveal&event=intent&limit=100" + after).wantStatus(200)
		for _, id := range c.items("decision_id") {
			intents[id] = true
		}
		next, _ := at(c.last.value(), "/next")
		c.done()
		if next == nil {
			break
		}
		after = "&after=" + url.QueryEscape(next.(string))
	}
	for id := range got {
		if !intents[id] {
			t.Errorf("the value of decision %s left without an entry before it", id)
		}
	}
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	var report auditReport
	audit(t, s.storeEnv(), 0, &report, "verify")
	if len(report.Chains) < kills+1 {
		t.Errorf("%d chains after %d kills", len(report.Chains), kills)
	}
	figure(t, "kill -9 while secrets are read", "%d secrets left in %d runs, each with its audit entry before it; %d chains verify", len(got), kills,
		len(report.Chains))
}

// revealUntilKilled reveals from several hands, kills the server after some replies, and returns the decisions of the values that came.
func revealUntilKilled(t *testing.T, s *Server, every int) map[string]bool {
	t.Helper()
	c := story(t, s).root()
	a := c.newApp(object{})
	path := s.Admin + "/v1/applications/" + a.ID + "/secrets/" + a.SecretID + "/reveal"
	front := c.front()
	var owners []string
	for range 4 { // ten in a minute is what one may
		owners = append(owners, bearer(c.login(front, c.newUser(object{"roles": list{"system:owner"}}))))
	}
	c.done()
	var mu sync.Mutex
	got := map[string]bool{}
	stop := 1 + rand.IntN(every)
	kill := make(chan struct{})
	var once sync.Once
	var hands sync.WaitGroup
	for _, owner := range owners {
		hands.Go(func() {
			for range 10 {
				header := http.Header{"Authorization": {owner}, "Content-Type": {"application/json"}}
				r, err := exchange(t.Context(), s, http.MethodPost, path, header, []byte(`{"reason":"drill"}`))
				if err != nil {
					return // the server is gone
				}
				if r.status != http.StatusOK {
					t.Errorf("a reveal was answered %s", r)
					return
				}
				if value, _ := at(r.value(), "/value"); value != a.Secret {
					t.Errorf("another value came: %s", r)
				}
				mu.Lock()
				got[r.header.Get("Decision-Id")] = true
				if len(got) >= stop {
					once.Do(func() { close(kill) })
				}
				mu.Unlock()
			}
		})
	}
	select {
	case <-kill:
	case <-time.After(readyWithin):
		t.Error("the server did not answer enough")
	}
	s.Kill()
	hands.Wait()
	if t.Failed() {
		t.FailNow()
	}
	return got
}

// TestSeedL11RevealTakesAConfidentialClient: a person who came through an application that proves nothing reads no secret.
func TestSeedL11RevealTakesAConfidentialClient(t *testing.T) {
	c := story(t, shared(t)).root()
	a := c.newApp(object{})
	path := "/v1/applications/" + a.ID + "/secrets/" + a.SecretID + "/reveal"
	boss := c.newUser(object{"roles": list{"system:owner"}})
	open := c.post("/v1/applications", object{
		"name": unique("open"), "grant_types": list{"password"}, "token_endpoint_auth_method": "none",
	}).wantStatus(201).text("/id")
	c.as("").form("/oauth2/token", fields("grant_type", "password", "client_id", open, "username", boss.Username, "password", boss.Password)).
		wantStatus(200)
	c.as(bearer(c.text("/access_token"))).post(path, object{"reason": "x"}).wantDenied("admin_only").wantNoSecret(a.Secret)
	c.want("/reasons/0/rule", "credential.confidential")
	c.root()
	c.as(bearer(c.login(c.front(), boss))).post(path, object{"reason": "x"}).wantStatus(200).want("/value", a.Secret)
	c.get("/metrics").wantStatus(200)
	if !strings.Contains(string(c.last.body), `writ_secret_reveals_total{outcome="refused"}`) {
		c.fail("the metrics count no refused reveal")
	}
}

// TestHashOnlyKeepsNoSecret switches retrieval off and on again: the copies are gone for good, and the verifiers stay.
func TestHashOnlyKeepsNoSecret(t *testing.T) {
	s := fresh(t, Options{})
	c := story(t, s).root()
	a := c.newApp(object{})
	path := "/v1/applications/" + a.ID + "/secrets/" + a.SecretID + "/reveal"
	c.owner().post(path, object{"reason": "x"}).wantStatus(200).want("/value", a.Secret)
	c.done()
	for _, mode := range []string{"hash_only", "retrievable"} {
		if err := s.Stop(); err != nil {
			t.Fatal(err)
		}
		s = fresh(t, Options{From: s, Env: map[string]string{"WRIT_SECRETS_MODE": mode}})
		c = story(t, s).root()
		c.step(mode)
		c.token(a)
		c.owner().post(path, object{"reason": "x"}).wantProblem(409, "").wantNoSecret(a.Secret)
		b := c.root().newApp(object{})
		status := map[string]int{"hash_only": 409, "retrievable": 200}[mode]
		c.owner().post("/v1/applications/"+b.ID+"/secrets/"+b.SecretID+"/reveal", object{"reason": "x"}).wantStatus(status)
		c.root().get("/v1/audit?action=secrets:forget&event=outcome").wantItems("outcome", "ok")
		c.done()
	}
	out := suite.runner.Command(t.Context(), Options{Env: startEnv(t, map[string]string{"WRIT_SECRETS_MODE": "plain"})}, "serve")
	wantStartError(t, out, 0, "secrets_mode", "hash_only")
	for _, bad := range []map[string]string{
		{"WRIT_AUDIT_CHECKPOINT_INTERVAL": "0s"},
		{"WRIT_AUDIT_CHECKPOINT_INTERVAL": "2h"},
		{"WRIT_AUDIT_CHECKPOINT_ENTRIES": "0"},
		{"WRIT_AUDIT_ANCHOR": filepath.Join(t.TempDir(), "absent", "anchor")},
	} {
		out := suite.runner.Command(t.Context(), Options{Env: startEnv(t, bad)}, "serve")
		wantStartError(t, out, 0, "audit_")
	}
	loose := filepath.Join(t.TempDir(), "anchor")
	if err := os.WriteFile(loose, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	out = suite.runner.Command(t.Context(), Options{Env: startEnv(t, map[string]string{"WRIT_AUDIT_ANCHOR": loose})}, "serve")
	wantStartError(t, out, 0, "audit_anchor", fmt.Sprintf("chmod 600 %s", loose))
}
