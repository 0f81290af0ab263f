package policies_test

import (
	"encoding/json"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/writ-authz/writ/policies"
)

// FuzzInputParser: an input is read from the log as one is read from an asker: what one takes the other takes, as the same value, however
// often it came before.
func FuzzInputParser(f *testing.F) {
	for _, text := range []string{
		`{}`, `{"a":1}`, `{"a":1,"a":2}`, ` { "a" : [ 1 , "x" , null , true , { } ] } `, `{"a":"\u00e9\n\ud800"}`, `{"a":-0.5e3}`, `{"a":01}`,
		`{"a":1e999}`, `{"a":nul}`, `{"a":[1,]}`, `{"a":{"b":1}}}`, `[]`, `"x"`, `{"a":"\x"}`, `{"a":"`, `{"a":]}`, "{\"a\":\"\t\"}", `{"a":truex}`,
		`{"a":9223372036854775807,"b":{"not_after":9223372036854775807}}`, `{"a":-}`, `{"a":1.}`, `{"\"":"\\"}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if len(text) == 0 || !utf8.Valid(text) { // nothing is an empty object where an asker leaves it out
			return
		}
		want, wantErr := policies.ReadAsked(text)
		read := policies.InputReader()
		for range 2 {
			got, err := read(text)
			if (err == nil) != (wantErr == nil) {
				t.Fatalf("%v, and an asker's: %v", err, wantErr)
			}
			if err == nil && got.Compare(want) != 0 {
				t.Fatalf("%v, want %v", got, want)
			}
		}
	})
}

func TestInputsAreReadAsTheyWereWritten(t *testing.T) {
	read := policies.InputReader()
	rapid.Check(t, func(t *rapid.T) {
		text, err := json.Marshal(map[string]any{"a": drawn(t, 4)})
		if err != nil {
			t.Fatal(err)
		}
		want, err := policies.ReadAsked(text)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := read(text); err != nil || got.Compare(want) != 0 {
			t.Fatalf("%v of %s, %v", got, text, err)
		}
	})
}

func drawn(t *rapid.T, depth int) any {
	kinds := 5
	if depth > 0 {
		kinds = 7
	}
	switch rapid.IntRange(0, kinds-1).Draw(t, "kind") {
	case 0:
		return rapid.String().Draw(t, "text")
	case 1:
		return rapid.Float64().Draw(t, "number")
	case 2:
		return rapid.Int64().Draw(t, "whole")
	case 3:
		return rapid.Bool().Draw(t, "flag")
	case 4:
		return nil
	case 5:
		list := []any{}
		for range rapid.IntRange(0, 4).Draw(t, "items") {
			list = append(list, drawn(t, depth-1))
		}
		return list
	}
	members := map[string]any{}
	for range rapid.IntRange(0, 4).Draw(t, "members") {
		members[rapid.StringN(0, 3, 12).Draw(t, "name")] = drawn(t, depth-1)
	}
	return members
}
