package clients

import (
	"net/http"
	"slices"
	"testing"

	"github.com/zitadel/oidc/v3/pkg/client"
	"github.com/zitadel/oidc/v3/pkg/client/rs"
	"github.com/zitadel/oidc/v3/pkg/oidc"
)

func TestZitadelDiscovers(t *testing.T) {
	found, err := client.Discover(t.Context(), server.public, http.DefaultClient)
	if err != nil {
		t.Fatal(err)
	}
	if m := discovered(t); found.TokenEndpoint != m.Token || found.JwksURI != m.JWKS || found.Issuer != m.Issuer {
		t.Errorf("token endpoint %s, keys %s, issuer %s", found.TokenEndpoint, found.JwksURI, found.Issuer)
	}
	if _, err := client.Discover(t.Context(), server.public+"/other", http.DefaultClient); err == nil {
		t.Error("an issuer that is not ours is discovered")
	}
}

// TestZitadelIntrospects is a resource server that knows the issuer, its own name and its secret, and nothing else.
func TestZitadelIntrospects(t *testing.T) {
	needs(t, "introspection_endpoint", discovered(t).Introspection != "")
	// A resource server may introspect the tokens for an audience that it serves. Neither application says how its secret
	// travels, or the caller does: then golang.org/x/oauth2 finds it out.
	resource := newApplication(t, object{"serves": list{audience}})
	provider, err := rs.NewResourceServerClientCredentials(t.Context(), server.public, resource.ID, resource.Secret)
	if err != nil {
		t.Fatal(err)
	}
	var caller application
	var token string
	for _, method := range []any{"client_secret_post", "client_secret_basic", nil} {
		caller = newApplication(t, object{"audiences": list{audience}, "token_endpoint_auth_method": method})
		token = caller.token(t, audience)
		said, err := rs.Introspect[*oidc.IntrospectionResponse](t.Context(), provider, token)
		if err != nil {
			t.Fatal(err)
		}
		if !said.Active || said.Subject != caller.ID || said.ClientID != caller.ID || !slices.Contains(said.Audience, audience) {
			t.Errorf("%v: active %t, subject %s, client %s, for %s", method, said.Active, said.Subject, said.ClientID, said.Audience)
		}
	}
	caller.revoke(t, token)
	said, err := rs.Introspect[*oidc.IntrospectionResponse](t.Context(), provider, token)
	if err != nil {
		t.Fatal(err)
	}
	if said.Active {
		t.Error("a revoked token is active")
	}
	said, err = rs.Introspect[*oidc.IntrospectionResponse](t.Context(), provider, "no token")
	if err != nil {
		t.Fatal(err)
	}
	if said.Active || said.Subject != "" {
		t.Errorf("of no token: %+v", said)
	}
	stranger, err := rs.NewResourceServerClientCredentials(t.Context(), server.public, resource.ID, "wrong "+resource.Secret)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := rs.Introspect[*oidc.IntrospectionResponse](t.Context(), stranger, token); err == nil {
		t.Error("a wrong secret may introspect")
	}
}
