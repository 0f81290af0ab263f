package main_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/writ-authz/writ/policies"
)

// recordedWiki is a log of two questions that were decided with the wiki's rules: anybody reads, nobody writes.
func recordedWiki(t *testing.T, dir string) string {
	t.Helper()
	now := func() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) }
	pdp, err := policies.Open(t.Context(), policies.Config{Dir: dir, Now: now, Deadline: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	log := policies.NewLog(policies.LogConfig{Writer: &out, Now: now})
	for _, action := range []string{"read", "write"} {
		q := &policies.Question{
			Entrypoint: policies.EntryDecision, Action: action, Now: now(),
			Subject:  policies.NewFacts(policies.Identity{Type: "user", ID: "<b>a\tda</b>", Exists: true, Active: true, TenantEnabled: true}),
			Resource: policies.Resource{Type: "wiki/pages", ID: "1", TenantEnabled: true, Exists: true},
			Caller:   policies.Caller{Address: policies.AddressAllowed},
		}
		d, err := pdp.Decide(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		slot, err := log.Reserve()
		if err != nil {
			t.Fatal(err)
		}
		slot.Write(policies.LogLine{Decision: d, Entrypoint: q.Entrypoint})
	}
	if err := log.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	return file(t, "decisions.jsonl", out.String())
}

func TestPolicyReplayAndItsExitCodes(t *testing.T) {
	good := author(t, wikiRules, wikiTests)
	writing := author(t, strings.ReplaceAll(wikiRules, `== "read"`, `== "write"`), strings.ReplaceAll(wikiTests, `"name": "read"`, `"name": "write"`))
	broken := author(t, "package apps.wiki\n\nthis does not parse\n", wikiTests)
	log := recordedWiki(t, good)
	torn := file(t, "torn.jsonl", "{\"decision_id\":\"x\n")
	for _, c := range []struct {
		args []string
		want int
		says []string
	}{
		{[]string{"--log", log, "--against", good}, 0, []string{"the same                    2", "compared with               recorded"}},
		{
			[]string{"--log", log, "--against", writing},
			0,
			[]string{"denied, would be allowed    1", "allowed, would be denied    1", "action        wiki/pages:write", "deny_to_allow  2", "<b>a da</b>"},
		},
		{[]string{"--log", log, "--against", writing, "--max-newly-allowed", "1"}, 0, nil},
		{[]string{"--log", log, "--against", writing, "--max-newly-allowed", "0"}, 1, []string{"denied, would be allowed    1"}},
		{[]string{"--log", log, "--against", writing, "--base", good, "--issuer", "https://writ.example"}, 0, []string{"denied, would be allowed    1", "p50"}},
		{[]string{"--log", log, "--base", "shipped", "--against", writing}, 0, []string{"denied, would be allowed    1", "allowed, would be denied    0"}},
		{[]string{"--log", log, "--log", torn, "--against", good}, 0, []string{"3, of which 1 are broken", "not one JSON object"}},
		{[]string{"--log", log, "--revision", "none", "--against", good}, 0, []string{"not replayable              2", "another policy revision"}},
		{[]string{"--log", log, "--against", broken}, 3, nil},
		{[]string{"--log", log, "--base", broken}, 3, nil},
		{[]string{"--log", "absent", "--against", good}, 2, nil},
		{[]string{"--against", good}, 2, nil},
		{[]string{"--log", log, "--server"}, 2, nil},
		{[]string{"--log", log, "--samples", "0"}, 2, nil},
		{[]string{"--log", log, "--against", good, "--html", filepath.Join(good, "no", "such")}, 1, nil},
		{[]string{"--server", "--url", "http://127.0.0.1:1", "--admin-url", "http://127.0.0.1:1"}, 1, nil},
	} {
		code, stdout, stderr := shell(t, nil, append([]string{"policy", "replay"}, c.args...)...)
		if code != c.want {
			t.Errorf("%s: exit code %d, want %d\n%s%s", strings.Join(c.args, " "), code, c.want, stdout, stderr)
		}
		for _, says := range c.says {
			if !strings.Contains(stdout, says) {
				t.Errorf("%s does not say %q:\n%s", strings.Join(c.args, " "), says, stdout)
			}
		}
	}
}

func TestPolicyReplayAsJSONAndAsAPage(t *testing.T) {
	good := author(t, wikiRules, wikiTests)
	writing := author(t, strings.ReplaceAll(wikiRules, `== "read"`, `== "write"`), strings.ReplaceAll(wikiTests, `"name": "read"`, `"name": "write"`))
	page := filepath.Join(t.TempDir(), "impact.html")
	code, stdout, stderr := shell(t, nil, "policy", "replay", "--log", recordedWiki(t, good), "--base", good, "--against", writing, "--html", page, "-o", "json")
	var report struct {
		NewlyAllowed int   `json:"deny_to_allow"`
		NewlyDenied  int   `json:"allow_to_deny"`
		Samples      []any `json:"samples"`
		Candidate    struct{ Name string }
	}
	if err := json.Unmarshal([]byte(stdout), &report); err != nil || code != 0 || report.NewlyAllowed != 1 || report.NewlyDenied != 1 || len(report.Samples) != 2 ||
		report.Candidate.Name != writing {
		t.Fatalf("exit code %d, %v: %s%s", code, err, stdout, stderr)
	}
	if strings.Index(stdout, "deny_to_allow") > strings.Index(stdout, "allow_to_deny") || !strings.Contains(stderr, `"phase":"replay","done":2,"total":2`) {
		t.Errorf("what somebody must look at does not come first, or no progress is told:\n%s%s", stdout, stderr)
	}
	raw, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	html := string(raw)
	for _, wanted := range []string{"<svg", "<rect class=\"deny_to_allow\"", "wiki/pages:write", "apps.wiki.permit wiki.anybody", "&lt;b&gt;", "default-src 'none'", "p50"} {
		if !strings.Contains(html, wanted) {
			t.Errorf("the page has no %s", wanted)
		}
	}
	if found := regexp.MustCompile(`(?i)<script|<b>|https?://|ZgotmplZ|src=|@import|url\(`).FindString(html); found != "" {
		t.Errorf("the page is not whole in itself, or has %q", found)
	}
	if opened := strings.Count(html, "<svg") - strings.Count(html, "</svg>"); opened != 0 {
		t.Errorf("%d charts are not closed", opened)
	}
}
