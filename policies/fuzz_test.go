package policies_test

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/writ-authz/writ/policies"
)

// FuzzDecide puts junk questions about somebody without any right, and about nobody. Nothing panics, and nothing but a
// permit code that needs no grant permits.
func FuzzDecide(f *testing.F) {
	f.Add("writ/decision", "user", "u1", "read", "ledger/accounts", "1", "", []byte(`{"a":1}`), int64(1), "unknown", true)
	f.Add("writ/admin", "application", "app_x", "write", "iam/users", "../..", "*", []byte(`{"admin":true}`), int64(-1), "allowed", false)
	f.Add("writ/token", "", "", "issue", "tokens", "", "t", []byte(`null`), int64(0), "", true)
	f.Add("writ/credential", "user", "*", "reveal", "iam/applications", "x/y", "", []byte(`{"context":{}}`), int64(1<<62), "refused", true)
	f.Add("writ/introspection", "user", "\x00", "introspect", "tokens", "\xff", "\"", []byte(`{`), int64(7), "allowed", false)
	f.Add("writ/decision", "data.x", "]; x := 1", "*", "*", "%22", "..", []byte(`{"":{"":[]}}`), int64(7), "allowed", true)
	pdp := open(f, policies.Config{})
	f.Fuzz(func(t *testing.T, entrypoint, kind, id, action, resource, object, tenant string, document []byte, instant int64, address string, exists bool) {
		subject := policies.NewFacts(policies.Identity{
			Type: kind, ID: id, Exists: exists, Active: exists, TenantEnabled: true, Tenant: tenant, Attributes: json.RawMessage(document),
		})
		q := &policies.Question{
			Entrypoint: policies.Entrypoint(entrypoint), Subject: subject, SubjectProperties: document, Action: action, ActionProperties: document,
			Resource: policies.Resource{
				Type: resource, ID: object, Tenant: tenant, TenantEnabled: exists, Exists: exists, Properties: document, AfterDetail: document,
			},
			Context: document, Now: time.Unix(0, instant),
			Caller: policies.Caller{ClientID: id, Scoped: !exists, Tenant: tenant, Plane: policies.PlaneRuntime, Address: address},
		}
		d, err := pdp.Decide(t.Context(), q)
		switch {
		case err != nil:
			if !errors.Is(err, policies.ErrUndecided) || d.Allow {
				t.Fatalf("%t %v", d.Allow, err)
			}
		case d.Allow:
			for _, r := range d.Reasons {
				if r.Code == "granted" {
					t.Fatalf("junk is permitted: %v", d.Reasons)
				}
			}
		default:
			if _, err := pdp.Why(t.Context(), q, d); err != nil {
				t.Fatal(err)
			}
		}
	})
}
