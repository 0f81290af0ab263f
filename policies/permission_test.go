package policies_test

import (
	"errors"
	"testing"

	"github.com/writ-authz/writ/policies"
)

func TestPermissionsAreParsedAtTheLastColon(t *testing.T) {
	for text, want := range map[string][2]string{
		"iam/users:read":              {"iam/users", "read"},
		"*:*":                         {"*", "*"},
		"*:read":                      {"*", "read"},
		"ledger:*":                    {"ledger", "*"},
		"ledger/accounts/12.3_-A:x-1": {"ledger/accounts/12.3_-A", "x-1"},
	} {
		resource, action, err := policies.ParsePermission(text)
		if err != nil || resource != want[0] || action != want[1] {
			t.Errorf("%s: %s %s %v", text, resource, action, err)
		}
	}
	for _, text := range []string{
		"", ":", "a", "a:", ":a", "a/:b", "/a:b", "a//b:c", "a:b:c", "a/*:b", "**:a", "a:*b", "a b:c", "ä:b", "a:b/c", "a\x00:b", "a:b\n", "*/a:b",
	} {
		if _, _, err := policies.ParsePermission(text); !errors.Is(err, policies.ErrPermission) {
			t.Errorf("%q is taken for a permission", text)
		}
	}
}

const testCatalogue = `
types:
  app/doc:
    title: Documents
    group: Test
    actions:
      read: {title: Read}
      list: {title: List, implies: [read]}
      write: {title: Write, implies: [list]}
      secret: {title: Secret, explicit: true}
  app/doc/page:
    title: Pages
    group: Test
    actions:
      read: {title: Read}
      write: {title: Write, implies: [read]}
  app/other:
    title: Others
    group: Test
    actions:
      write: {title: Write}
      both: {title: Both, implies: [write]}
reasons:
  granted: {title: T, administrator: A, user: U}
`

func catalogue(tb testing.TB) *policies.Catalogue {
	tb.Helper()
	c, err := policies.ParseCatalogue(testCatalogue)
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

type permission struct{ resource, action string }

// all is every permission that can matter for the test catalogue.
func all() []permission {
	var list []permission
	for _, resource := range []string{
		"*", "app", "app/doc", "app/doc/1", "app/doc/page", "app/doc/page/7", "app/other", "app/other/3", "open", "open/x", "open/x/1", "appx",
	} {
		for _, action := range []string{"*", "read", "list", "write", "secret", "both", "fly"} {
			list = append(list, permission{resource, action})
		}
	}
	return list
}

func TestCoversIsReflexiveAndTransitive(t *testing.T) {
	c := catalogue(t)
	list := all()
	for _, h := range list {
		if !c.Covers(h.resource, h.action, h.resource, h.action) {
			t.Errorf("%v does not cover itself", h)
		}
		for _, w := range list {
			if !c.Covers(h.resource, h.action, w.resource, w.action) {
				continue
			}
			for _, r := range list {
				if c.Covers(w.resource, w.action, r.resource, r.action) && !c.Covers(h.resource, h.action, r.resource, r.action) {
					t.Errorf("%v covers %v covers %v, but the first does not cover the last", h, w, r)
				}
			}
		}
	}
}

func TestIntersectIsWhatBothCover(t *testing.T) {
	c := catalogue(t)
	list := all()
	for _, a := range list {
		for _, b := range list {
			resource, action, ok := c.Intersect(a.resource, a.action, b.resource, b.action)
			for _, r := range list {
				both := c.Covers(a.resource, a.action, r.resource, r.action) && c.Covers(b.resource, b.action, r.resource, r.action)
				got := ok && c.Covers(resource, action, r.resource, r.action)
				if got && !both {
					t.Errorf("%v and %v give %s:%s, which covers %v; they do not", a, b, resource, action, r)
				}
				// One permission cannot say all that two have in common above types that disagree, as app/doc/page does with app/doc.
				leaf := a.resource != "app/doc" && b.resource != "app/doc"
				if both && !got && leaf && c.Known(a.resource, a.action) && c.Known(b.resource, b.action) {
					t.Errorf("%v and %v both cover %v, their intersection %s:%s (%t) does not", a, b, r, resource, action, ok)
				}
			}
		}
	}
}

func TestCoverageFollowsSegmentsImplicationsAndExplicitActions(t *testing.T) {
	c := catalogue(t)
	for _, x := range []struct {
		held, wanted string
		want         bool
	}{
		{"app:read", "app/doc:read", true},
		{"app:read", "appx:read", false},
		{"app/doc:read", "app:read", false},
		{"*:*", "anything/at/all:fly", true},
		{"*:*", "app/doc/1:secret", false},
		{"app/doc:*", "app/doc/1:secret", false},
		{"*:*", "app:secret", false},
		{"*:*", "*:secret", false},
		{"app/doc:secret", "app/doc/1:secret", true},
		{"*:secret", "app/doc/1:secret", true},
		{"app/doc/1:write", "app/doc/1:read", true},
		{"app:write", "app/doc/1:read", true},
		{"app:write", "app:read", false}, // not for every type below
		{"app/other:write", "app/other:read", false},
		{"*:read", "*:*", false},
		{"app:*", "*:*", false},
		{"*:*", "*:*", true},
		{"open:write", "open/x:read", false},
	} {
		hr, ha, _ := policies.ParsePermission(x.held)
		wr, wa, _ := policies.ParsePermission(x.wanted)
		if got := c.Covers(hr, ha, wr, wa); got != x.want {
			t.Errorf("%s covers %s: %t", x.held, x.wanted, got)
		}
	}
}
