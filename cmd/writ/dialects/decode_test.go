package dialects_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/writ-authz/writ/cmd/writ/dialects"
)

type document struct {
	Name   string                 `json:"name"`
	Roles  []string               `json:"roles"`
	Count  int                    `json:"count"`
	Active *bool                  `json:"active"`
	Until  *time.Time             `json:"until"`
	Free   json.RawMessage        `json:"free"`
	Patch  dialects.Field[string] `json:"patch"`
	Inner  struct {
		A string `json:"a"`
	} `json:"inner"`
	Map    map[string]dialects.Field[[]string] `json:"map"`
	hidden string
}

func TestDecodeReadsWhatIsMeant(t *testing.T) {
	var got document
	body := `{"name":"n\u00e9","roles":["a"],"count":3,"active":false,"until":"2026-01-01T00:00:00Z","free":{"x":[1.50,null]},"patch":null,
		"inner":{"a":"b"},"map":{"k":["v"]}}`
	if err := dialects.Decode([]byte(body), &got); err != nil {
		t.Fatal(err)
	}
	if got.Name != "né" || got.Count != 3 || *got.Active || got.Until == nil || string(got.Free) != `{"x":[1.50,null]}` ||
		!got.Patch.Set || !got.Patch.Null || got.Inner.A != "b" || got.Map["k"].Value[0] != "v" || got.hidden != "" {
		t.Errorf("decoded %+v", got)
	}
	if diff := cmp.Diff([]string{"a"}, got.Roles); diff != "" {
		t.Error(diff)
	}
}

func TestDecodeRefuses(t *testing.T) {
	for _, c := range []struct {
		body string
		kind dialects.Kind
		at   string
	}{
		{``, dialects.Malformed, ""},
		{`{"name":`, dialects.Malformed, ""},
		{`{"name":"a"} {}`, dialects.Malformed, ""},
		{`{"name":"a"}x`, dialects.Malformed, ""},
		{"{\"name\":\"\xff\"}", dialects.Malformed, ""},
		{strings.Repeat("[", 40) + strings.Repeat("]", 40), dialects.Malformed, strings.Repeat("/0", 32)},
		{`[]`, dialects.WrongType, ""},
		{`null`, dialects.WrongType, ""},
		{`{"name":"a","name":"b"}`, dialects.Duplicate, "/name"},
		{`{"name":"a","n\u0061me":"b"}`, dialects.Duplicate, "/name"},
		{`{"free":[{"a/b":1,"a/b":2}]}`, dialects.Duplicate, "/free/0/a~1b"},
		{`{"Name":"a"}`, dialects.UnknownKey, "/Name"},
		{`{"hidden":"a"}`, dialects.UnknownKey, "/hidden"},
		{`{"inner":{"b":1}}`, dialects.UnknownKey, "/inner/b"},
		{"{\"a\\n\":1}", dialects.UnknownKey, "/a?"},
		{`{"name":1}`, dialects.WrongType, "/name"},
		{`{"name":null}`, dialects.WrongType, "/name"},
		{`{"name":{"$ne":null}}`, dialects.WrongType, "/name"},
		{`{"roles":"a"}`, dialects.WrongType, "/roles"},
		{`{"roles":["a",1]}`, dialects.WrongType, "/roles/1"},
		{`{"count":1.5}`, dialects.WrongType, "/count"},
		{`{"count":"1"}`, dialects.WrongType, "/count"},
		{`{"active":"true"}`, dialects.WrongType, "/active"},
		{`{"until":"tomorrow"}`, dialects.WrongType, "/until"},
		{`{"patch":1}`, dialects.WrongType, "/patch"},
		{`{"map":{"k":{}}}`, dialects.WrongType, "/map/k"},
	} {
		var into document
		err := dialects.Decode([]byte(c.body), &into)
		var fault *dialects.Fault
		if !errors.As(err, &fault) || fault.Kind != c.kind || fault.At != c.at || fault.Status() != 400 {
			t.Errorf("%.60s: %v, want %s at %q", c.body, err, c.kind, c.at)
		}
	}
}

func TestATokenBodyBecomesAForm(t *testing.T) {
	members := map[string]dialects.Member{"grantType": {Name: "grant_type"}, "customer": {Name: "tenant", Number: true}}
	for _, c := range []struct {
		body, form string
		kind       dialects.Kind
	}{
		{`{"grantType":"a b&c=d"}`, "grant_type=a+b%26c%3Dd", ""},
		{`{"grantType":"x","customer":10001}`, "grant_type=x&tenant=10001", ""},
		{`{"grantType":"x","customer":"10001"}`, "grant_type=x&tenant=10001", ""},
		{`{}`, "", ""},
		{`{"grantType":1}`, "", dialects.WrongType},
		{`{"grantType":null}`, "", dialects.WrongType},
		{`{"grantType":["a"]}`, "", dialects.WrongType},
		{`{"grantType":{"a":"b"}}`, "", dialects.WrongType},
		{`{"customer":1.5}`, "", dialects.WrongType},
		{`{"customer":true}`, "", dialects.WrongType},
		{`{"grant_type":"x"}`, "", dialects.UnknownKey},
		{`{"grantType":"x","grantType":"x"}`, "", dialects.Duplicate},
		{`["grantType"]`, "", dialects.WrongType},
		{`"x"`, "", dialects.WrongType},
	} {
		call := &dialects.Call{Body: []byte(c.body)}
		form, err := call.TokenForm(members)
		var fault *dialects.Fault
		if errors.As(err, &fault) != (c.kind != "") || fault != nil && fault.Kind != c.kind || err == nil && form.Encode() != c.form {
			t.Errorf("%s: %q, %v", c.body, form.Encode(), err)
		}
	}
}

func TestRequire(t *testing.T) {
	if err := dialects.Require("a", "x", "b", "y"); err != nil {
		t.Error(err)
	}
	var fault *dialects.Fault
	if err := dialects.Require("a", "x", "b", ""); !errors.As(err, &fault) || fault.At != "/b" || fault.Kind != dialects.Missing {
		t.Errorf("%v", err)
	}
}

// FuzzDecode holds the decoder to encoding/json: what it lets through decodes there, and it never panics.
func FuzzDecode(f *testing.F) {
	for _, seed := range []string{`{"name":"a"}`, `{"map":{"a":[]}}`, `{"name":"\ud800"}`, `[]`, `null`, `{"a":`, `"x"`, `1e9`, `{"free":{"a":[{}]}}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var strict document
		if dialects.Decode(body, &strict) != nil {
			return
		}
		var loose struct {
			Name  string   `json:"name"`
			Count int      `json:"count"`
			Roles []string `json:"roles"`
		}
		if err := json.Unmarshal(body, &loose); err != nil {
			t.Fatalf("accepted what encoding/json refuses: %v", err)
		}
		if loose.Name != strict.Name || loose.Count != strict.Count || len(loose.Roles) != len(strict.Roles) {
			t.Fatalf("%+v and %+v", loose, strict)
		}
	})
}
