package policies_test

import (
	"testing"

	"github.com/writ-authz/writ/policies"
)

// BenchmarkDecideRoute is what /forward-auth decides, with the token's scopes, on the shipped table.
func BenchmarkDecideRoute(b *testing.B) {
	pdp := open(b, policies.Config{})
	scopes, err := policies.NewScopes([]string{"users/user:view"})
	if err != nil {
		b.Fatal(err)
	}
	subject := policies.NewFacts(policies.Identity{
		Type: "user", ID: "ada", Exists: true, TenantEnabled: true, Active: true,
		Grants: []policies.Grant{{Resource: "users/user", Action: "view", Via: "own"}},
	})
	for name, path := range map[string]string{"permit": "/pam/apps/users/user/", "unmapped": "/pam/apps/users/user/42/more"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			before := cpu(b)
			for b.Loop() {
				d, err := pdp.Decide(b.Context(), &policies.Question{
					Entrypoint: policies.EntryDecision, Subject: subject, Action: "GET", Now: now(),
					Resource: policies.Resource{
						Type: "route", ID: path, TenantEnabled: true, Exists: true, Properties: []byte(`{"host":"pam.example.com","proto":"https"}`),
					},
					Caller: policies.Caller{
						ClientID: "portal", Scoped: true, Scopes: scopes, Audiences: []string{"https://writ.example/runtime"},
						Plane: policies.PlaneRuntime, Address: policies.AddressAllowed, Self: true,
					},
				})
				if err != nil || d.Allow != (name == "permit") {
					b.Fatal(d, err)
				}
			}
			b.ReportMetric(float64(cpu(b)-before)/float64(b.N)/1e3, "cpu-us/op")
		})
	}
}
