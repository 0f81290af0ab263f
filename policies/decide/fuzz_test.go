package decide_test

import (
	"encoding/json"
	"net/http"
	"testing"
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
