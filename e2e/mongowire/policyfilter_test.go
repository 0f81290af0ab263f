package main

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/256dpi/lungo/bsonkit"
	"github.com/256dpi/lungo/mongokit"
	bson1 "go.mongodb.org/mongo-driver/bson"
)

// TestPolicyFilters runs the filters that policies become, on documents of any JSON, through the engine of the stand-in, which nobody of
// Writ wrote. It knows no regular expressions, so filters that search are left to the evaluator beside the policies.
func TestPolicyFilters(t *testing.T) {
	text, err := os.ReadFile("../../policies/testdata/filters/mongodb.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		Rules   string
		Filter  json.RawMessage
		Objects []struct {
			Object   json.RawMessage
			Selected bool
		}
	}
	if err := json.Unmarshal(text, &cases); err != nil {
		t.Fatal(err)
	}
	ran, searching := 0, 0
	for _, c := range cases {
		if strings.Contains(string(c.Filter), "$regex") {
			searching++
			continue
		}
		for _, o := range c.Objects {
			ran++
			got, err := mongokit.Match(parsed(t, o.Object), parsed(t, c.Filter))
			if err != nil || got != o.Selected {
				t.Errorf("%s selects %s: %t, want %t (%v) of\n%s", c.Filter, o.Object, got, o.Selected, err, c.Rules)
			}
		}
	}
	t.Logf("%d documents; %d filters with searches were left out", ran, searching)
	if ran < 200 {
		t.Errorf("%d documents prove little", ran)
	}
}

func parsed(t *testing.T, text []byte) bsonkit.Doc {
	t.Helper()
	var d bson1.D
	if err := bson1.UnmarshalExtJSON(text, false, &d); err != nil {
		t.Fatal(err)
	}
	return &d
}
