package e2e

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// TestTheHarnessFindsWhatItLooksFor plants what the checks at the end of every server are for.
func TestTheHarnessFindsWhatItLooksFor(t *testing.T) {
	secret := canary("a planted canary é+" + unique(""))
	token := "eyJ0.eyJ1.planted-signature" + unique("")
	canary(token)
	for name, text := range map[string]string{
		"a secret in a data file": "\x00\x01" + secret + "\x02", "a secret in a URL": "?x=" + url.QueryEscape(secret),
		"a secret in JSON": `{"x":"` + secret + `"}`, "a token": "Bearer " + token,
	} {
		s := &Server{Dir: t.TempDir(), Log: new(recorder)}
		if err := os.MkdirAll(s.data(), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(s.data(), "db"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if len(s.leaks()) != 1 {
			t.Errorf("%s was not found", name)
		}
	}
	line := func(id, parent string) string {
		return `{"decision_id":"` + id + `","parent_id":"` + parent + `","allow":true}` + "\n"
	}
	for name, text := range map[string]string{
		"a line missing": "", "a line twice": line("one", "") + line("one", ""), "a line of nobody": line("one",
			"") + line("two", ""),
		"a question of nobody": line("one", "") + line("two", "three"), "no JSON": "{",
	} {
		s := &Server{Dir: t.TempDir(), Log: new(recorder)}
		if err := s.Log.note("one", "GET /"); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(s.decisions(), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if len(s.account()) == 0 {
			t.Errorf("%s was not found", name)
		}
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "log"), []byte("e2e-database-one: "+secret), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, names := range [][]string{{"e2e-database-one"}, {"e2e-database-one", "e2e-database-two"}} {
		k := &kept{names: names}
		if found := len(k.search(dir)); found != len(names) {
			t.Errorf("%d findings in what the databases %v keep, want %d", found, names, len(names))
		}
	}
	r := new(recorder)
	if r.note("one", "a") != nil || r.note("one", "b") == nil {
		t.Error("a Decision-Id given twice was not found")
	}
}

// TestTheFirstErrorOfAScenarioSticks holds the runner to its word.
func TestTheFirstErrorOfAScenarioSticks(t *testing.T) {
	c := &scenario{t: t, s: shared(t), next: map[string][]string{}}
	c.get("/livez").wantStatus(201).wantStatus(202)
	last := c.last.request
	c.post("/v1/users", object{}).text("/id")
	if c.err == nil || !strings.Contains(c.err.Error(), "want 201") || c.last.request != last {
		t.Errorf("the error is %v and the last request %s", c.err, c.last.request)
	}
}

// TestAnOutageIsAskedAgainWhereItIsNoSubject holds the runner to sending again what a busy machine explains, and nothing else.
func TestAnOutageIsAskedAgainWhereItIsNoSubject(t *testing.T) {
	for name, try := range map[string]struct {
		strict      bool
		racing      bool
		status      int
		wants       func(c *scenario)
		fails       bool
		asked, told int
	}{
		"usual":       {status: 503, wants: func(c *scenario) { c.get("/").wantStatus(200) }, asked: 2, told: 1},
		"its subject": {strict: true, status: 503, wants: func(c *scenario) { c.get("/").wantStatus(200) }, fails: true, asked: 1},
		"one of many": {racing: true, status: 503, wants: func(c *scenario) { c.get("/").wantStatus(200) }, fails: true, asked: 1},
		"wanted":      {status: 503, wants: func(c *scenario) { c.get("/").wantStatus(503) }, asked: 1},
		"a denial":    {status: 403, wants: func(c *scenario) { c.get("/").wantStatus(200) }, fails: true, asked: 1},
		"tried until it is there": {status: 503, wants: func(c *scenario) {
			c.eventually(time.Minute, func() { c.get("/").wantStatus(200) })
		}, asked: 2},
		"the reply to something else": {status: 503, wants: func(c *scenario) {
			c.get("/")
			c.last = reply{request: "by hand", status: 503, header: c.last.header}
			c.wantStatus(200)
		}, fails: true, asked: 1},
	} {
		t.Run(name, func(t *testing.T) {
			var asked atomic.Int64
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				if asked.Add(1) == 1 {
					w.Header().Set("Retry-After", "1")
					w.WriteHeader(try.status)
				}
			}))
			defer server.Close()
			c := &scenario{t: t, s: &Server{Public: server.URL, Admin: server.URL, Dir: t.TempDir(), Log: new(recorder), strict: try.strict}, next: http.Header{}, waits: !try.racing}
			before := len(outages.requests)
			try.wants(c)
			told := len(outages.requests) - before
			outages.requests = outages.requests[:before]
			if (c.err != nil) != try.fails || asked.Load() != int64(try.asked) || told != try.told {
				t.Errorf("%v; asked %d times, %d of them told", c.err, asked.Load(), told)
			}
		})
	}
}
