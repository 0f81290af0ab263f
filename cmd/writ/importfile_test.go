package main_test

import (
	"strings"
	"testing"

	writ "github.com/writ-authz/writ/cmd/writ"
)

func TestAFileOfObjectsIsReadAsJSONHasIt(t *testing.T) {
	for name, row := range map[string]struct{ text, want string }{
		"every kind of value": {
			"users:\n- username: ada\n  n: 12\n  f: 1.5\n  b: true\n  z: null\n  at: 2026-06-01T12:00:00Z\n  list: [a, '1']\n",
			`users /users/0 {"at":"2026-06-01T12:00:00Z","b":true,"f":1.5,"list":["a","1"],"n":12,"username":"ada","z":null}`,
		},
		"JSON is YAML":               {`{"tenants": [{"id": "acme"}]}`, `tenants /tenants/0 {"id":"acme"}`},
		"JSON with tabs":             {"{\n\t\"tenants\": [\n\t\t{\"id\": \"acme\"}\n\t]\n}", `tenants /tenants/0 {"id":"acme"}`},
		"kinds in order of use":      {"users: [{username: a}]\ntenants: [{id: t}]\n", "tenants /tenants/0 {\"id\":\"t\"}\nusers /users/0 {\"username\":\"a\"}"},
		"roles behind what they are": {"roles: [{key: 'a:a', inherits: ['a:b']}, {key: 'a:b'}]", "roles /roles/1 {\"key\":\"a:b\"}\nroles /roles/0 {\"inherits\":[\"a:b\"],\"key\":\"a:a\"}"},
		"nothing in a section":       {"users:\ngroups: []\n", ""},
	} {
		got, err := writ.ReadObjects("f.yaml", []byte(row.text))
		if err != nil || got != row.want {
			t.Errorf("%s: %v\n got %s\nwant %s", name, err, got, row.want)
		}
	}
}

func TestAFaultOfAFileHasItsPlace(t *testing.T) {
	for text, want := range map[string]string{
		"":                               "f.yaml: the file is empty",
		"- a\n":                          "f.yaml:1:1: want a mapping",
		"people: []\n":                   "f.yaml:1:1: /people: unknown section",
		"users: {}\n":                    "f.yaml:1:8: /users: want a list",
		"users: []\nusers: []\n":         "f.yaml:2:1: /users: the section stands twice",
		"users:\n- ada\n":                "f.yaml:2:3: /users/0: want a mapping",
		"users:\n- {a: 1, a: 2}\n":       "f.yaml:2:10: /users/0/a: the key stands twice",
		"users:\n- {a: .inf}\n":          "f.yaml:2:7: /users/0/a: cannot be read",
		"users:\n- {a: 0x10}\n":          "f.yaml:2:7: /users/0/a: cannot be read",
		"users:\n- {a: !!binary aaaa}\n": "f.yaml:2:7: /users/0/a: cannot be read",
		"users:\n- &a {b: c}\n- *a\n":    "f.yaml:3:3: /users/1: aliases are not accepted",
		"users:\n- {<<: {a: 1}}\n":       "f.yaml:2:4: /users/0: want a plain key",
		"users:\n- {[a]: 1}\n":           "f.yaml:2:4: /users/0: want a plain key",
		"users:\n- a: [b\n":              "f.yaml: line",
		"roles: [{key: 'a:a', inherits: ['a:b']}, {key: 'a:b', inherits: ['a:a']}]": "/inherits/0: by way of",
		"users:\n- {id: x, username: a}\n- {id: y, username: A}\n":                  "f.yaml:3:11: /users/1/username: the same username as at /users/0",
		"users:\n- " + strings.Repeat("{a: ", 40) + "1" + strings.Repeat("}", 40):   "too many levels",
	} {
		_, err := writ.ReadObjects("f.yaml", []byte(text))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q\n got %v\nwant %s", text, err, want)
		}
	}
}

// FuzzReadObjects: whatever arrives, a file is the same objects each time, all of which JSON can say, or a fault of that file.
func FuzzReadObjects(f *testing.F) {
	for _, text := range []string{
		"users:\n- {username: ada, email: ada@example.com}\n", `{"roles": [{"key": "a:b", "inherits": ["a:b"]}]}`, "a: &a [*a]", "users: [", "? {a: b}\n: c",
		"p, a, b, c\ng, a, b\n", `{"Policy": {"roles": [{"name": "a", "subjects": ["1"]}], "permissions": [{"name": "P", "roles": ["a"]}]}}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		if len(content) > 1<<16 {
			return
		}
		text, err := writ.ReadObjects("f", content)
		again, _ := writ.ReadObjects("f", content)
		if text != again || err != nil && (text != "" || !strings.HasPrefix(err.Error(), "f:")) {
			t.Errorf("%q, then %q (%v)", text, again, err)
		}
		for _, from := range []string{"casbin", "policyserver", "credentials", "lerian", "miniorange", "hantera"} {
			if _, _, err := writ.ReadFrom(from, "f", content); err != nil && !strings.HasPrefix(err.Error(), "f:") {
				t.Errorf("a fault without its file: %v", err)
			}
		}
	})
}

func TestAPatchIsWhatWasChanged(t *testing.T) {
	for _, row := range []struct{ was, is, want string }{
		{`a: 1`, `a: 1`, `{}`},
		{`a: 1`, `a: 2`, `{"a":2}`},
		{`a: 1`, `b: 1`, `{"a":null,"b":1}`},
		{`a: null`, `b: 1`, `{"b":1}`},
		{`a: {b: 1, c: 2}`, `a: {b: 1}`, `{"a":{"c":null}}`},
		{`a: [1, 2]`, `a: [2]`, `{"a":[2]}`},
		{`a: {b: 1}`, `a: text`, `{"a":"text"}`},
	} {
		if got := writ.Patch(t, row.was, row.is); got != row.want {
			t.Errorf("%s -> %s: %s, want %s", row.was, row.is, got, row.want)
		}
	}
}
