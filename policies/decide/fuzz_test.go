package decide_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/writ-authz/writ/policies"
)

// FuzzEvaluation puts any body to the AuthZEN route. The caller may ask, and nobody it can ask about has a right: whatever
// arrives is refused as a request or answered with a denial, and never a permit.
func FuzzEvaluation(f *testing.F) {
	w := newWorld(f, nil)
	delete(w.subjects, "user/ada")
	delete(w.subjects, "application/asker")
	for _, seed := range []string{
		about("user", "ada", "", "read"), about("application", "meek", "acme", "*"), `{}`, `[]`, `null`, `{"subject":`,
		`{"subject":{"type":"user","id":"*"},"action":{"name":"*"},"resource":{"type":"*","id":"*"}}`,
		`{"subject":{},"subject":{}}`, "\xff",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, body string) {
		w.tb = t // fuzz targets of one process run one after another
		reply := w.ask("asker", "/access/v1/evaluation", body)
		if reply.Code != http.StatusOK {
			if reply.Code < 400 || reply.Code > 499 {
				t.Fatalf("%d %s", reply.Code, reply.Body)
			}
			return
		}
		var answer struct{ Decision *bool }
		if err := json.Unmarshal(reply.Body.Bytes(), &answer); err != nil || answer.Decision == nil || *answer.Decision {
			t.Fatalf("%q: %s, %v", body, reply.Body, err)
		}
	})
}

// FuzzCompile puts any body to the compile API. Nobody it can ask about has a right or an attribute: whatever arrives is refused as a
// request or answered with a filter that selects nothing, or one's own tickets, and never with one that selects everything.
func FuzzCompile(f *testing.F) {
	w := newWorld(f, nil)
	delete(w.subjects, "user/ada")
	delete(w.subjects, "application/asker")
	for _, seed := range []string{
		`{"input":{"subject":{"type":"user","id":"ada"},"action":{"name":"read"},"resource":{"type":"helpdesk/ticket"}}}`,
		`{"input":{"subject":{"type":"application","id":"meek"},"action":{"name":"answer"},"resource":{"properties":{"state":"new"}}},
			"unknowns":["input.resource.properties.state"],"options":{"mappings":{"state":"s"}}}`,
		`{"input":{"subject":{"type":"user","id":"ada","properties":{"teams":["a"]}},"context":{"ip":"::1"}},"unknowns":[]}`,
		`{"input":{"subject":{"type":"token","id":"asker"}},"unknowns":["input.resource.properties[\"$where\"]"]}`, `{}`, `[]`, `null`, "\xff",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, body string) {
		w.tb = t // fuzz targets of one process run one after another
		reply := w.ask("asker", "/v1/compile/apps/helpdesk/permit", body)
		if reply.Code != http.StatusOK {
			if reply.Code < 400 || strings.Contains(reply.Body.String(), policies.ErrUndecided.Error()) {
				t.Fatalf("%d %s", reply.Code, reply.Body)
			}
			return
		}
		var answer struct {
			Result struct{ Query *map[string]any }
		}
		if err := json.Unmarshal(reply.Body.Bytes(), &answer); err != nil || answer.Result.Query != nil && len(*answer.Result.Query) == 0 {
			t.Fatalf("%q: %s, %v", body, reply.Body, err)
		}
	})
}

// FuzzBatchesAndSearches puts any body to the routes that ask many questions. Nobody it can ask about has a right, but for those in the
// shipped examples: whatever else arrives is refused as a request, or has denials and no results.
func FuzzBatchesAndSearches(f *testing.F) {
	w := newWorld(f, nil)
	delete(w.subjects, "user/ada")
	delete(w.subjects, "application/asker")
	paths := []string{
		"/access/v1/evaluations", "/access/v1/search/subject", "/access/v1/search/resource", "/access/v1/search/action",
	}
	for _, seed := range []string{
		about("user", "ada", "", "read"), batchOf("deny_on_first_deny", "read", "write"), `{"evaluations":[{},{"subject":null}]}`,
		`{"evaluations":[{"subject":{"type":"user","id":"a"},"action":{"name":"*"},"resource":{"type":"*","id":"*"}}]}`,
		`{"subject":{"type":"user"},"action":{"name":"read"},"resource":{"type":"ledger","id":"1"},"page":{"limit":1,"token":"AA"}}`,
		searching("application", "", "*", "*", "*", "*"), `{"evaluations":[[]]}`, `{"page":null}`, "\xff", `{"evaluations":{}}`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, body string) {
		w.tb = t // fuzz targets of one process run one after another
		for _, path := range paths {
			reply := w.ask("asker", path, body)
			if reply.Code != http.StatusOK {
				if reply.Code < 400 || reply.Code > 499 {
					t.Fatalf("%s: %d %s", path, reply.Code, reply.Body)
				}
				continue
			}
			var answer struct {
				Decision    *bool
				Evaluations []struct{ Decision *bool }
				Results     []struct{ Type, ID string }
			}
			if err := json.Unmarshal(reply.Body.Bytes(), &answer); err != nil {
				t.Fatalf("%s: %v", path, err)
			}
			if example(body) {
				continue
			}
			for _, e := range answer.Evaluations {
				if e.Decision == nil || *e.Decision {
					t.Fatalf("%s %q: %s", path, body, reply.Body)
				}
			}
			if answer.Decision != nil && *answer.Decision || len(answer.Results) > 0 {
				t.Fatalf("%s %q: %s", path, body, reply.Body)
			}
		}
	})
}

// example reports whether a body may be about the shipped examples, which know a few subjects that Writ does not store.
func example(body string) bool {
	return strings.Contains(body, `\`) || strings.Contains(body, "record") || strings.Contains(body, "todo") || strings.Contains(body, "can_read_user")
}
