package policies_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/writ-authz/writ/policies"
)

func TestUnknownTypesAndActionsBelowAClosedSegmentAreNamed(t *testing.T) {
	c := catalogue(t)
	for _, p := range []string{
		"app:read", "app/doc:read", "app/doc/7:write", "app/doc:*", "app:*", "*:*", "*:fly", "open/x:fly", "open:*", "app/doc/page/9:read",
	} {
		resource, action, _ := policies.ParsePermission(p)
		if err := c.Check(resource, action); err != nil {
			t.Errorf("%s: %v", p, err)
		}
	}
	for p, names := range map[string]string{"app/docs:read": "app/docs", "app/doc:fly": "fly", "app:fly": "fly", "app/x/y:*": "app/x/y"} {
		resource, action, _ := policies.ParsePermission(p)
		if err := c.Check(resource, action); !errors.Is(err, policies.ErrUnknownPermission) || !strings.Contains(err.Error(), names) {
			t.Errorf("%s: %v", p, err)
		}
	}
	if err := c.Check("app/", "read"); !errors.Is(err, policies.ErrPermission) {
		t.Errorf("an ill-formed resource: %v", err)
	}
	if !c.Known("app/doc", "read") || c.Known("app/doc/1", "read") || c.Known("app/doc", "fly") {
		t.Error("Known is about declared types and actions")
	}
	if !c.Closed("app/anything") || c.Closed("open") {
		t.Error("Closed is about declared first segments")
	}
}

func TestACatalogueThatContradictsItselfIsRefused(t *testing.T) {
	for name, text := range map[string]string{
		"implies an unknown action":  "types: {a/b: {title: T, actions: {x: {title: X, implies: [y]}}}}",
		"implies an explicit action": "types: {a/b: {title: T, actions: {x: {title: X, implies: [y]}, y: {title: Y, explicit: true}}}}",
		"an unknown field":           "types: {a/b: {title: T, colour: red, actions: {x: {title: X}}}}",
		"no title":                   "types: {a/b: {actions: {x: {title: X}}}}",
		"no actions":                 "types: {a/b: {title: T}}",
		"a bad type":                 "types: {'a//b': {title: T, actions: {x: {title: X}}}}",
		"a bad action":               "types: {a/b: {title: T, actions: {'*': {title: X}}}}",
		"a key twice":                "types: {a/b: {title: T, title: U, actions: {x: {title: X}}}}",
		"a reason without text":      "reasons: {a.b: {title: T}}",
	} {
		if _, err := policies.ParseCatalogue(text); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}

func TestTheShippedCatalogueKnowsWritsOwnActions(t *testing.T) {
	c := open(t, policies.Config{}).Catalogue()
	for permission, explicit := range map[string]bool{
		"iam/users:read": false, "iam/users:reset_password": false, "iam/applications:reveal": true, "iam/applications:write_scopes": false,
		"me:password": false, "decisions:ask": false, "tokens:issue": false, "policies:activate": false, "catalogue:read": false,
		"audit:read": false, "keys:write": false,
	} {
		resource, action, _ := policies.ParsePermission(permission)
		if !c.Known(resource, action) || !c.Closed(resource) || c.Explicit(resource, action) != explicit {
			t.Errorf("%s: known %t, closed %t, explicit %t", permission, c.Known(resource, action), c.Closed(resource), c.Explicit(resource, action))
		}
	}
	for code, text := range c.Reasons() {
		if text.Title == "" || text.Administrator == "" || text.User == "" {
			t.Errorf("reason %s has no text", code)
		}
	}
	if _, ok := c.Reasons()["granted"]; !ok || len(c.Types()) == 0 {
		t.Error("reasons or types are missing")
	}
}
