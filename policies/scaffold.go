package policies

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// ErrScaffold says that a folder cannot be made as it was asked for.
var ErrScaffold = errors.New("no new application")

// Scaffold writes the folder of a new application below the policy directory dir, with rules, data, catalogue, tests and golden
// decisions that pass. It overwrites nothing and returns the names of the files.
func Scaffold(dir, name string) ([]string, error) {
	// A segment of a resource may hold what a package name may not.
	if !validSegment(name) || strings.ContainsAny(name, ".-") || name[0] >= '0' && name[0] <= '9' {
		return nil, fmt.Errorf("%w: %q is no name of letters, digits and _", ErrScaffold, name)
	}
	if reserved, err := shippedNames(); err != nil {
		return nil, err
	} else if reserved[name] {
		return nil, fmt.Errorf("%w: %q is Writ's own, or a shipped example", ErrScaffold, name)
	}
	folder := filepath.Join(dir, "apps", name)
	if _, err := os.Stat(folder); !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%w: %s is there already", ErrScaffold, folder)
	}
	fill := strings.NewReplacer("NAME", name)
	var written []string
	for _, f := range scaffold() {
		path := filepath.Join(dir, filepath.FromSlash(fill.Replace(f.path)))
		if err := writeNew(path, []byte(fill.Replace(string(f.body)))); err != nil {
			return written, err
		}
		written = append(written, path)
	}
	return written, nil
}

// shippedNames are the first segments that the shipped set uses.
func shippedNames() (map[string]bool, error) {
	l, err := newLayers(shipped(), Source{})
	if err != nil {
		return nil, err
	}
	s, err := load(l, false, nil)
	if err != nil {
		return nil, err
	}
	names := map[string]bool{"writ": true}
	for name := range s.apps {
		names[name] = true
	}
	for name := range s.catalogue.closed {
		names[name] = true
	}
	return names, nil
}

// writeNew writes a file that is not there yet, and its folders.
func writeNew(name string, body []byte) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil { //nolint:gosec // rules are no secret
		return fmt.Errorf("write: %w", err)
	}
	out, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644) //nolint:gosec // rules are no secret
	if err != nil {
		return fmt.Errorf("write: %w", err)
	}
	_, err = out.Write(body)
	if err := errors.Join(err, out.Close()); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	return nil
}

// scaffold is a small application that shows each part at work.
func scaffold() []file {
	return []file{
		{path: "apps/NAME/catalogue.yaml", body: []byte(`# What there is to decide on, and what the reasons mean. A type or action that is not here does not exist.
types:
  NAME:
    title: NAME
    group: Applications
    actions:
      read: {title: Read}
      write: {title: Change}
reasons:
  NAME.owner:
    title: Owner
    administrator: The subject owns the object.
    user: It is yours.
  NAME.granted:
    title: Granted
    administrator: A grant of the subject covers the action.
    user: You have the right to do this.
  NAME.frozen:
    title: Frozen
    administrator: The object is frozen, or the question does not say that it is not.
    user: This cannot be changed now.
`)},
		{path: "apps/NAME/data.yaml", body: []byte(`# What the rules read as data.apps.NAME: figures and lists that change more often than rules do.
owner_actions:
  read: true
  write: true
`)},
		{path: "apps/NAME/permit.rego", body: []byte(`# METADATA
# title: NAME
# description: |
#   Who may do what with NAME. The asker sends "owner" and "frozen" as properties of the resource.
# schemas:
#   - input: schema.input
package apps.NAME

# METADATA
# title: Permit
# description: |
#   The reasons to permit. A question without what a rule needs is not permitted by it.
# labels:
#   rule: NAME.permit
# scope: document
permit contains "NAME.owner" if {
	input.subject.exists
	input.resource.properties.owner == input.subject.id
	data.apps.NAME.owner_actions[input.action.name]
}

permit contains "NAME.granted" if data.writ.decision.granted
`)},
		{path: "apps/NAME/permit_test.rego", body: []byte(`package apps.NAME_test

import data.apps.NAME

# ada asks about an object of bob.
base := {
	"subject": {"type": "user", "id": "ada", "exists": true, "grants": {}},
	"action": {"name": "read"},
	"resource": {
		"type": "NAME", "id": "1", "tenant": "", "covers": ["NAME/1", "NAME", "*"],
		"properties": {"owner": "bob", "frozen": false},
	},
	"now": 1000,
}

# Each row is the base question with a change; its name is told when it fails.
test_permit[note] if {
	some note, tc in {
		"somebody else's": {"given": {}, "want": set()},
		"one's own": {"given": {"resource": {"properties": {"owner": "ada"}}}, "want": {"NAME.owner"}},
		"one's own, another action": {
			"given": {"action": {"name": "burn"}, "resource": {"properties": {"owner": "ada"}}},
			"want": set(),
		},
		"nobody's account": {
			"given": {"subject": {"exists": false}, "resource": {"properties": {"owner": "ada"}}},
			"want": set(),
		},
		"by a grant": {
			"given": {"subject": {"grants": {"": {"NAME": {"read": {"own": {"not_before": 0, "not_after": 2000}}}}}}},
			"want": {"NAME.granted"},
		},
	}
	permit := NAME.permit with input as object.union(base, tc.given)
	permit == tc.want
}

# What is not there must not open anything.
test_permit_nothing_without[note] if {
	some note, path in {
		"an owner": "resource/properties/owner",
		"properties": "resource/properties",
		"an id": "subject/id",
	}
	permit := NAME.permit with input as json.remove(base, [path])
	permit == set()
}
`)},
		{path: "apps/NAME/deny.rego", body: []byte(`package apps.NAME

# METADATA
# title: Deny
# description: |
#   The reasons to deny, which beat every permit. A deny that is undefined would open, so each asks for what must be known.
# labels:
#   rule: NAME.deny
# scope: document
deny contains "NAME.frozen" if {
	input.action.name == "write"
	not thawed
}

# METADATA
# title: Thawed
# description: |
#   The asker says that the object is not frozen.
# labels:
#   rule: NAME.thawed
thawed if input.resource.properties.frozen == false
`)},
		{path: "apps/NAME/deny_test.rego", body: []byte(`package apps.NAME_test

import data.apps.NAME

test_deny[note] if {
	some note, tc in {
		"not frozen": {"action": "write", "properties": {"frozen": false}, "want": set()},
		"frozen": {"action": "write", "properties": {"frozen": true}, "want": {"NAME.frozen"}},
		"frozen, reading": {"action": "read", "properties": {"frozen": true}, "want": set()},
		"not said": {"action": "write", "properties": {}, "want": {"NAME.frozen"}},
		"malformed": {"action": "write", "properties": {"frozen": "no"}, "want": {"NAME.frozen"}},
	}
	deny := NAME.deny with input as {"action": {"name": tc.action}, "resource": {"properties": tc.properties}}
	deny == tc.want
}
`)},
		{path: "decisions/NAME.yaml", body: []byte(`# Golden decisions: whole questions with the answers that they must get, the guards of the core included.
- name: an owner changes what is not frozen
  why: owners may read and write
  entrypoint: writ/decision
  input:
    subject: {type: user, id: ada, exists: true, active: true, tenant_enabled: true}
    action: {name: write}
    resource: {type: NAME, id: "1", exists: true, properties: {owner: ada, frozen: false}}
    caller: {address: allowed}
  allow: true
  reasons: [NAME.owner]
- name: nobody changes what is frozen
  why: a deny beats every permit
  entrypoint: writ/decision
  input:
    subject: {type: user, id: ada, exists: true, active: true, tenant_enabled: true}
    action: {name: write}
    resource: {type: NAME, id: "1", exists: true, properties: {owner: ada, frozen: true}}
    caller: {address: allowed}
  allow: false
  reasons: [NAME.frozen]
`)},
	}
}
