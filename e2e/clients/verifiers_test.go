package clients

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/MicahParks/keyfunc/v3"
	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/golang-jwt/jwt/v5"
	"github.com/lestrrat-go/jwx/v3/jwk"
	"github.com/lestrrat-go/jwx/v3/jws"
	jwxt "github.com/lestrrat-go/jwx/v3/jwt"
)

// audience is a resource server outside of Writ.
const audience = "https://ledger.example.com"

// outside is an access token for that resource server, the application that got it, and the same token damaged: one character
// in the middle of its signature is another one.
func outside(t *testing.T) (token, damaged string, app application) {
	t.Helper()
	app = newApplication(t, object{"audiences": list{audience}})
	token = app.token(t, audience)
	raw := []byte(token)
	at := strings.LastIndexByte(token, '.') + 20
	raw[at] = map[bool]byte{true: 'B', false: 'A'}[raw[at] == 'A']
	return token, string(raw), app
}

// keyID is the one in the token's header.
func keyID(t *testing.T, token string) string {
	t.Helper()
	message, err := jws.ParseString(token)
	if err != nil {
		t.Fatal(err)
	}
	kid, _ := message.Signatures()[0].ProtectedHeaders().KeyID()
	return kid
}

// algorithm is the one in the token's header. Verifiers are told which they may accept, as RFC 9068 section 4 demands.
func algorithm(t *testing.T, token string) string {
	t.Helper()
	message, err := jws.ParseString(token)
	if err != nil {
		t.Fatal(err)
	}
	alg, ok := message.Signatures()[0].ProtectedHeaders().Algorithm()
	if !ok || !slices.Contains([]string{"ES256", "RS256", "EdDSA"}, alg.String()) {
		t.Fatalf("algorithm %s", alg)
	}
	return alg.String()
}

func TestGoOIDCVerifiesAnAccessToken(t *testing.T) {
	token, damaged, app := outside(t)
	provider, err := oidc.NewProvider(t.Context(), server.public) // reads /.well-known/openid-configuration
	if err != nil {
		t.Fatal(err)
	}
	if provider.Endpoint().TokenURL != discovered(t).Token {
		t.Errorf("token endpoint %s", provider.Endpoint().TokenURL)
	}
	// Its default is RS256 alone where no id_token algorithm is listed, and Writ lists none: it issues no id_token.
	config := oidc.Config{ClientID: audience, SupportedSigningAlgs: []string{algorithm(t, token)}}
	verified, err := provider.Verifier(&config).Verify(t.Context(), token)
	if err != nil {
		t.Fatal(err)
	}
	if verified.Subject != app.ID || verified.Issuer != server.public || !slices.Equal(verified.Audience, []string{audience}) {
		t.Errorf("subject %s, issuer %s, audience %s", verified.Subject, verified.Issuer, verified.Audience)
	}
	if _, err := provider.Verifier(&config).Verify(t.Context(), damaged); err == nil {
		t.Error("a damaged token is accepted")
	}
	config.ClientID = "https://other.example.com"
	if _, err := provider.Verifier(&config).Verify(t.Context(), token); err == nil {
		t.Error("a token for somebody else is accepted")
	}
	// The same without discovery.
	keys := oidc.NewRemoteKeySet(t.Context(), discovered(t).JWKS)
	if _, err := keys.VerifySignature(t.Context(), token); err != nil {
		t.Error(err)
	}
	if _, err := keys.VerifySignature(t.Context(), damaged); err == nil {
		t.Error("the key set accepts a damaged token")
	}
}

// TestJWXValidatesByRFC9068 takes section 4 step by step: the type, the issuer, the audience, the signature, the times, and
// the claims that section 2.2 demands.
func TestJWXValidatesByRFC9068(t *testing.T) {
	token, damaged, app := outside(t)
	keys, err := jwk.Fetch(t.Context(), discovered(t).JWKS)
	if err != nil {
		t.Fatal(err)
	}
	message, err := jws.ParseString(token)
	if err != nil {
		t.Fatal(err)
	}
	if kind, _ := message.Signatures()[0].ProtectedHeaders().Type(); kind != "at+jwt" {
		t.Errorf("typ %q", kind)
	}
	check := func(raw, audience string) (jwxt.Token, error) {
		return jwxt.ParseString(raw, jwxt.WithKeySet(keys), jwxt.WithIssuer(server.public), jwxt.WithAudience(audience),
			jwxt.WithRequiredClaim("exp"), jwxt.WithRequiredClaim("sub"), jwxt.WithRequiredClaim("client_id"),
			jwxt.WithRequiredClaim("iat"), jwxt.WithRequiredClaim("jti"))
	}
	verified, err := check(token, audience)
	if err != nil {
		t.Fatal(err)
	}
	var client, scope string
	if err := verified.Get("client_id", &client); err != nil || client != app.ID {
		t.Errorf("client_id %q, %v", client, err)
	}
	if err := verified.Get("scope", &scope); err != nil || scope != "ledger:read" {
		t.Errorf("scope %q, %v", scope, err)
	}
	if _, err := check(damaged, audience); err == nil {
		t.Error("a damaged token is accepted")
	}
	if _, err := check(token, "https://other.example.com"); err == nil {
		t.Error("a token for somebody else is accepted")
	}
}

func TestGolangJWTWithKeyfunc(t *testing.T) {
	token, damaged, app := outside(t)
	ctx, cancel := context.WithCancel(t.Context()) // ends the refreshing of the keys
	defer cancel()
	keys, err := keyfunc.NewDefaultCtx(ctx, []string{discovered(t).JWKS})
	if err != nil {
		t.Fatal(err)
	}
	parser := jwt.NewParser(jwt.WithValidMethods([]string{algorithm(t, token)}), jwt.WithIssuer(server.public),
		jwt.WithAudience(audience), jwt.WithExpirationRequired(), jwt.WithIssuedAt())
	parsed, err := parser.Parse(token, keys.Keyfunc)
	if err != nil {
		t.Fatal(err)
	}
	if subject, err := parsed.Claims.GetSubject(); err != nil || subject != app.ID {
		t.Errorf("subject %q, %v", subject, err)
	}
	if _, err := parser.Parse(damaged, keys.Keyfunc); err == nil {
		t.Error("a damaged token is accepted")
	}
	// The header's key id is what the set is searched for.
	parts := strings.Split(token, ".")
	if _, err := parser.Parse("eyJhbGciOiJub25lIn0."+parts[1]+".", keys.Keyfunc); err == nil {
		t.Error("a token without a signature is accepted")
	}
}

// TestATokenForOutsideIsNoneHere: what the verifiers above accept is for another resource server, so Writ's own API does not.
func TestATokenForOutsideIsNoneHere(t *testing.T) {
	token, _, _ := outside(t)
	call(t, http.MethodGet, server.public+"/v1/me", "Bearer "+token, nil, http.StatusUnauthorized, nil)
}
