package enforce_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/writ-authz/writ/policies/enforce"
)

type base struct {
	Name string `json:"name"`
}

type document struct {
	base
	Roles      []string                 `json:"roles"`
	Count      int64                    `json:"count"`
	Active     bool                     `json:"active"`
	Until      *time.Time               `json:"until"`
	Properties json.RawMessage          `json:"properties"`
	Patch      enforce.Field[string]    `json:"patch"`
	Nested     []struct{ X string }     `json:"nested"`
	Free       map[string]int           `json:"free"`
	Window     enforce.Field[time.Time] `json:"window"`
	Hidden     string                   `json:"-"`
	Grants     enforce.Field[[]struct {
		A string `json:"a"`
	}] `json:"grants"`
}

func TestDecodeJSONAcceptsWhatIsMeant(t *testing.T) {
	var got document
	body := `{"name":"n","roles":["a","b"],"count":3,"active":true,"until":"2026-01-01T00:00:00Z",
		"properties":{"any":[1,null,{"deep":true}]},"patch":null,"nested":[{"X":"\u00e9\""}],"free":{"k":1},
		"window":"2026-01-01T00:00:00+02:00","grants":[{"a":"x"}]}`
	if err := enforce.DecodeJSON([]byte(body), &got); err != nil {
		t.Fatal(err)
	}
	if got.Name != "n" || got.Count != 3 || !got.Patch.Set || !got.Patch.Null || got.Nested[0].X != `é"` || len(got.Grants.Value) != 1 {
		t.Errorf("decoded %+v", got)
	}
	if diff := cmp.Diff([]string{"a", "b"}, got.Roles); diff != "" {
		t.Error(diff)
	}
}

func TestDecodeJSONRefusesWithAPointer(t *testing.T) {
	deep := strings.Repeat("[", 40) + strings.Repeat("]", 40)
	for _, tc := range []struct{ name, body, code, pointer string }{
		{"unknown key", `{"nope":1}`, "unknown_key", "/nope"},
		{"unknown nested key", `{"grants":[{"a":"x"},{"b":1}]}`, "unknown_key", "/grants/1/b"},
		{"key in other letters", `{"Roles":[]}`, "unknown_key", "/Roles"},
		{"duplicate key", `{"name":"a","name":"b"}`, "duplicate_key", "/name"},
		{"duplicate key, escaped", `{"name":"a","n\u0061me":"b"}`, "duplicate_key", "/name"},
		{"duplicate key in free data", `{"properties":{"a":1,"a":2}}`, "duplicate_key", "/properties/a"},
		{"trailing document", `{"name":"a"} {"roles":[]}`, "malformed_json", ""},
		{"empty", " \n", "malformed_json", ""},
		{"not JSON", `{"name":`, "malformed_json", ""},
		{"bad UTF-8", "{\"name\":\"\xff\"}", "malformed_json", ""},
		{"string for list", `{"roles":"a"}`, "wrong_type", "/roles"},
		{"number for string", `{"name":1}`, "wrong_type", "/name"},
		{"operator for string", `{"name":{"$ne":null}}`, "wrong_type", "/name"},
		{"list for string", `{"roles":["a",["b"]]}`, "wrong_type", "/roles/1"},
		{"string for boolean", `{"active":"true"}`, "wrong_type", "/active"},
		{"null for boolean", `{"active":null}`, "wrong_type", "/active"},
		{"fraction for whole number", `{"count":1.5}`, "wrong_type", "/count"},
		{"too large a number", `{"count":99999999999999999999}`, "wrong_type", "/count"},
		{"time without zone", `{"until":"2026-01-01T00:00:00"}`, "malformed_time", "/until"},
		{"time in a field without zone", `{"window":"2026-01-01"}`, "malformed_time", "/window"},
		{"too deep", `{"properties":` + deep + `}`, "too_deep", ""},
		{"array for object", `[]`, "wrong_type", ""},
		{"pointer is escaped", `{"a/b~c":1}`, "unknown_key", "/a~1b~0c"},
		{"a hidden field is no key", `{"Hidden":"x"}`, "unknown_key", "/Hidden"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var into document
			err := enforce.DecodeJSON([]byte(tc.body), &into)
			var got *enforce.ProtocolError
			if !errors.As(err, &got) {
				t.Fatalf("got %v, want a protocol error", err)
			}
			if got.Status != 400 || got.Code != tc.code || (tc.code != "too_deep" && got.Pointer != tc.pointer) {
				t.Errorf("got %d %s at %q, want 400 %s at %q", got.Status, got.Code, got.Pointer, tc.code, tc.pointer)
			}
		})
	}
}

func TestDecodeJSONNeverRepeatsAValue(t *testing.T) {
	const canary = "s3cr3t-canary"
	for _, body := range []string{
		`{"name":{"x":"` + canary + `"}}`, `{"count":"` + canary + `"}`, `{"until":"` + canary + `"}`, `{"roles":["` + canary,
	} {
		var into document
		err := enforce.DecodeJSON([]byte(body), &into)
		if err == nil || strings.Contains(err.Error(), canary) {
			t.Errorf("%s: %v", body, err)
		}
	}
}

func TestDecodeOpenJSONIgnoresUnknownKeysOnly(t *testing.T) {
	var got document
	if err := enforce.DecodeOpenJSON([]byte(`{"name":"n","future":{"x":[1]}}`), &got); err != nil || got.Name != "n" {
		t.Fatalf("%+v, %v", got, err)
	}
	for _, body := range []string{`{"x":1,"x":2}`, `{"name":"a","Name":"b"}`, `{"future":{"a":1,"a":2}}`} {
		if err := enforce.DecodeOpenJSON([]byte(body), &got); err == nil {
			t.Errorf("%s was accepted", body)
		}
	}
}

// FuzzDecodeJSON holds the walker to encoding/json: what it lets through decodes, and it never panics.
func FuzzDecodeJSON(f *testing.F) {
	for _, seed := range []string{`{"name":"a"}`, `{"properties":{"a":[{}]}}`, `{"name":"\ud800"}`, `[]`, `null`, `{"a":`, `"x"`, `1e9`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var strict, loose document
		if enforce.DecodeJSON(body, &strict) != nil {
			return
		}
		if err := json.Unmarshal(body, &loose); err != nil {
			t.Fatalf("accepted what encoding/json refuses: %v", err)
		}
		if diff := cmp.Diff(loose, strict, cmp.AllowUnexported(document{}, base{})); diff != "" {
			t.Fatal(diff)
		}
	})
}
