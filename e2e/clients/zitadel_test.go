package clients

import (
	"net/http"
	"testing"

	"github.com/zitadel/oidc/v3/pkg/client"
	"github.com/zitadel/oidc/v3/pkg/client/rs"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"golang.org/x/oauth2/clientcredentials"
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
	// A resource server may introspect the tokens that name it as audience.
	resource := newApplication(t, object{"grants": list{grant("tokens", "introspect")}})
	caller := newApplication(t, object{"audiences": list{resource.ID}})
	config := clientcredentials.Config{
		ClientID: caller.ID, ClientSecret: caller.Secret, TokenURL: discovered(t).Token,
		EndpointParams: map[string][]string{"audience": {resource.ID}},
	}
	token, err := config.Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	provider, err := rs.NewResourceServerClientCredentials(t.Context(), server.public, resource.ID, resource.Secret)
	if err != nil {
		t.Fatal(err)
	}
	said, err := rs.Introspect[*oidc.IntrospectionResponse](t.Context(), provider, token.AccessToken)
	if err != nil {
		t.Fatal(err)
	}
	if !said.Active || said.Subject != caller.ID || said.ClientID != caller.ID {
		t.Errorf("active %t, subject %s, client %s", said.Active, said.Subject, said.ClientID)
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
	if _, err := rs.Introspect[*oidc.IntrospectionResponse](t.Context(), stranger, token.AccessToken); err == nil {
		t.Error("a wrong secret may introspect")
	}
}
