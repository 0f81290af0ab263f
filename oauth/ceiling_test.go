package oauth_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/writ-authz/writ/policies"
	"github.com/writ-authz/writ/storage"
)

// names are few, so that random rights meet often.
var (
	resources = []string{"*", "ledger", "ledger/accounts", "ledger/accounts/7", "ledgerx", "iam/applications", "iam", "me"}
	actions   = []string{"*", "read", "write", "reveal"}
	tenants   = []string{"", "*", "acme", "globex"}
)

func permission(t *rapid.T, label string) string {
	return rapid.SampledFrom(resources).Draw(t, label+" resource") + ":" + rapid.SampledFrom(actions).Draw(t, label+" action")
}

func permissionsOf(t *rapid.T, label string) []string {
	n := rapid.IntRange(0, 4).Draw(t, label)
	list := make([]string, n)
	for i := range list {
		list[i] = permission(t, label)
	}
	return list
}

// concrete is everything that a pattern could mean in the small world of these names.
func concrete() (all [][2]string) {
	for _, resource := range resources[1:] {
		for _, action := range actions[1:] {
			all = append(all, [2]string{resource, action})
		}
	}
	return all
}

func covered(c *policies.Catalogue, by []string, p [2]string) bool {
	return slices.ContainsFunc(by, func(scope string) bool {
		resource, action, err := policies.ParsePermission(scope)
		return err == nil && c.Covers(resource, action, p[0], p[1])
	})
}

// Whatever a policy answers, a token never says more than requested ∩ registered ∩ held, its audience and lifetime stay
// within their caps, and reserved claims stay ours.
func TestCeilingsHoldAgainstAnyPolicy(t *testing.T) {
	var obligations policies.Obligations
	w := newWorld(t, decider(func(d *policies.Decision) error { d.Obligations = obligations; return nil }))
	catalogue := rules(t).Catalogue()
	audiences := []string{issuer + "/runtime", issuer + "/management", "https://evil.example"}
	issued := 0
	rapid.Check(t, func(t *rapid.T) {
		held := permissionsOf(t, "held")
		grants := make([]string, len(held))
		var carried []string
		tenant := rapid.SampledFrom([]string{"", "acme"}).Draw(t, "tenant of the token")
		ends := map[string]time.Duration{} // of what is carried: the latest end, 0 for none
		windowed := rapid.SampledFrom([]time.Duration{0, time.Minute, time.Hour, 48 * time.Hour}).Draw(t, "window of the first")
		for i, p := range held {
			bound := rapid.SampledFrom(tenants).Draw(t, "tenant of the grant")
			grants[i] = strings.TrimSpace(bound + " " + p)
			if bound == "" || bound == "*" || bound == tenant {
				carried = append(carried, p)
				end, seen := ends[p]
				switch {
				case i > 0 || windowed == 0:
					ends[p] = 0
				case !seen || end != 0:
					ends[p] = windowed
				}
			}
		}
		var registered []string
		if rapid.Bool().Draw(t, "has a ceiling") {
			registered = append([]string{}, permissionsOf(t, "registered")...)
		}
		requested := permissionsOf(t, "requested")
		lifetime := rapid.Int64Range(-1, 1<<40).Draw(t, "lifetime granted")
		w.application("app", grants, func(a *storage.Application) {
			a.Scopes = registered
			a.TokenLifetime = 7200
			if windowed > 0 && len(a.Grants) > 0 {
				a.Grants[0].NotAfter = w.at(windowed)
			}
		})
		obligations = policies.Obligations{}
		if rapid.Bool().Draw(t, "scopes granted") {
			obligations.Scopes = append([]string{}, permissionsOf(t, "granted")...)
		}
		if rapid.Bool().Draw(t, "audience granted") {
			obligations.Audience = rapid.SliceOf(rapid.SampledFrom(audiences)).Draw(t, "audience")
		}
		if rapid.Bool().Draw(t, "lifetime granted") {
			obligations.Lifetime = &lifetime
		}
		if rapid.Bool().Draw(t, "claims granted") {
			claim := rapid.SampledFrom([]string{"department", "sub", "Scope", "EXP", "writ", "act", "aud", "cnf", "\u017fub", "\u017fcope"}).Draw(t, "claim")
			obligations.Claims = map[string]any{claim: "evil"}
		}
		r := w.machine("app", "scope", strings.Join(requested, " "), "tenant", tenant)
		if r.Code != http.StatusOK {
			if r.Code >= 500 && r.Code != http.StatusServiceUnavailable {
				t.Fatalf("%d %s", r.Code, r.Body)
			}
			return
		}
		issued++
		claims := part(w.tb, r.text("access_token"), 1)
		scopes := strings.Fields(r.text("scope"))
		for _, p := range concrete() {
			if !covered(catalogue, scopes, p) {
				continue
			}
			if p[0] == "me" && !covered(catalogue, []string{"*:*", "*:" + p[1]}, p) {
				t.Fatalf("lists %v", p)
			}
			if !covered(catalogue, carried, p) || (registered != nil && !covered(catalogue, registered, p)) ||
				(len(requested) > 0 && !covered(catalogue, requested, p)) ||
				(obligations.Scopes != nil && !covered(catalogue, obligations.Scopes, p)) {
				t.Fatalf("scope %q gives %v: held %v, registered %v, requested %v", scopes, p, carried, registered, requested)
			}
		}
		for _, scope := range scopes {
			if strings.HasPrefix(scope, "me:") {
				t.Fatalf("lists %q", scope)
			}
		}
		for _, audience := range texts(claims["aud"]) {
			if audience == "https://evil.example" || (obligations.Audience != nil && !slices.Contains(obligations.Audience, audience)) {
				t.Fatalf("aud %v", claims["aud"])
			}
		}
		life := int64(claims["exp"].(float64) - claims["iat"].(float64))
		if life < 1 || life > 7200 || (obligations.Lifetime != nil && life > lifetime) ||
			claims["sub"] != "app" || claims["scope"] != r.text("scope") {
			t.Fatalf("life %d, claims %v", life, claims)
		}
		for _, scope := range scopes {
			resource, action, err := policies.ParsePermission(scope)
			if err != nil {
				t.Fatal(err)
			}
			latest, carriers, open := time.Duration(0), 0, false
			for p, end := range ends {
				if above, act, _ := policies.ParsePermission(p); catalogue.Covers(above, act, resource, action) {
					carriers, latest, open = carriers+1, max(latest, end), open || end == 0
				}
			}
			if carriers == 0 || (!open && life > int64(latest/time.Second)) {
				t.Fatalf("lives %ds with %s, which %d grants carry until %s", life, scope, carriers, latest)
			}
		}
	})
	if issued == 0 {
		t.Fatal("no token was issued: the property proves nothing")
	}
	t.Logf("%d tokens issued", issued)
}

func TestPolicyClaims(t *testing.T) {
	var claims map[string]any
	w := newWorld(t, decider(func(d *policies.Decision) error { d.Obligations.Claims = claims; return nil }))
	w.application("app", []string{"ledger:read"})
	claims = map[string]any{"department": "finance", "level": 3}
	r := w.want(w.machine("app"), http.StatusOK, "")
	if got := part(t, r.text("access_token"), 1); got["department"] != "finance" || got["level"] != float64(3) || got["sub"] != "app" {
		t.Fatalf("%v", got)
	}
	if !w.live(r.text("access_token")) {
		t.Fatal("not accepted")
	}
	for _, reserved := range []string{
		"iss", "sub", "aud", "exp", "iat", "nbf", "jti", "client_id", "scope", "sid", "tenant", "roles", "groups", "cnf", "act", "writ", "SUB", "\u017fub",
	} {
		claims = map[string]any{reserved: "x"}
		w.want(w.machine("app"), http.StatusServiceUnavailable, "temporarily_unavailable")
	}
}

// S-T15: whoever disables a resource server ends what is issued for it, and a refresh brings nothing back.
func TestST15AudienceOfAServerThatIsOutOfUse(t *testing.T) {
	const both, one = "both", "one"
	w := newWorld(t)
	for id, audiences := range map[string][]string{both: {issuer + "/runtime", "urn:ledger"}, one: {"urn:ledger"}} {
		w.application(id, nil, meantFor(audiences...), func(a *storage.Application) {
			a.GrantTypes = []string{"client_credentials", "password", "refresh_token"}
		})
	}
	w.user(ada, "ada", nil)
	named := w.want(w.person(both, "ada", "audience", "urn:ledger"), http.StatusOK, "").text("refresh_token")
	all := w.want(w.person(both, "ada"), http.StatusOK, "").text("refresh_token")
	only := w.want(w.person(one, "ada"), http.StatusOK, "").text("refresh_token")

	w.directory.down = map[string]bool{"urn:ledger": true}
	for name, r := range map[string]reply{
		"refresh of a session for it":  w.refresh(both, named),
		"refresh of the application's": w.refresh(one, only),
		"named at the refresh":         w.refresh(both, all, "audience", "urn:ledger"),
		"client_credentials":           w.machine(one),
		"client_credentials, named":    w.machine(both, "audience", "urn:ledger"),
		"named beside one that is up":  w.machine(both, "audience", "urn:ledger", "audience", issuer+"/runtime"),
		"password":                     w.person(one, "ada"),
		"password, named":              w.person(both, "ada", "audience", "urn:ledger"),
	} {
		t.Run(name, func(t *testing.T) {
			w.tb = t
			w.want(r, http.StatusBadRequest, "invalid_target")
		})
	}
	w.tb = t
	for _, r := range []reply{w.refresh(both, all), w.machine(both), w.person(both, "ada")} {
		token := w.want(r, http.StatusOK, "").text("access_token")
		if diff := cmp.Diff([]any{issuer + "/runtime"}, part(t, token, 1)["aud"]); diff != "" {
			t.Errorf("the audience that is left (-want +got)\n%s", diff)
		}
	}

	w.directory.down = nil
	for id, token := range map[string]string{both: named, one: only} {
		w.want(w.refresh(id, token), http.StatusOK, "") // nothing was rotated, and nothing ended
	}
}
