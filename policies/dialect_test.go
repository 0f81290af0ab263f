package policies_test

import (
	"encoding/json"
	"testing"

	"github.com/writ-authz/writ/policies"
)

// The dialect of a question is that of its context, whatever the asker says.
func TestNobodyButTheServerSaysTheDialect(t *testing.T) {
	files := zoo()
	files["apps/zoo/dialect.rego"] = "package apps.zoo\n\n# METADATA\n# title: Spoken\n# labels:\n#   rule: zoo.spoken\n" +
		"deny contains \"zoo.closed\" if input.context.dialect == \"lerian\"\n"
	files["apps/zoo/dialect_test.rego"] = "package apps.zoo_test\n\nimport data.apps.zoo\n\n" +
		"test_spoken if zoo.deny == {\"zoo.closed\"} with input as {\"context\": {\"dialect\": \"lerian\"}}\n"
	pdp := open(t, policies.Config{Dir: write(t, files)})
	for _, c := range []struct {
		dialect, context string
		denied           bool
	}{
		{"", ``, false}, {"", `{"dialect":"lerian"}`, false}, {"lerian", ``, true}, {"lerian", `{"dialect":"other","a":1}`, true}, {"other", `{}`, false},
	} {
		q := zooQuestion("ada", "false")
		q.Context = json.RawMessage(c.context)
		d, err := pdp.Decide(policies.WithDialect(t.Context(), c.dialect), q)
		if err != nil {
			t.Fatal(err)
		}
		if d.Allow == c.denied {
			t.Errorf("by %q with %s: allow is %t", c.dialect, c.context, d.Allow)
		}
		if d.Allow {
			continue
		}
		reasons, err := pdp.Why(t.Context(), q, d)
		if err != nil {
			t.Fatal(err)
		}
		found := false
		for _, r := range reasons {
			found = found || r.Code == "zoo.closed"
		}
		if found != c.denied {
			t.Errorf("by %q with %s: %t %v", c.dialect, c.context, d.Allow, reasons)
		}
	}
}
