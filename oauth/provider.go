package oauth

import (
	"context"
	"crypto/sha512"
	"errors"
	"fmt"
	"html/template"
	"io"
	"net/http"
	"net/url"
	"time"

	josev3 "github.com/go-jose/go-jose/v3"
	"github.com/hashicorp/go-retryablehttp"
	"github.com/ory/fosite"
	fositeoauth2 "github.com/ory/fosite/handler/oauth2"
	fositejwt "github.com/ory/fosite/token/jwt"
	"golang.org/x/text/language"

	"github.com/writ-authz/writ/policies/enforce"
)

// newProvider builds fosite with the two handlers that are kept and our own for refresh_token.
func (s *Server) newProvider() (*fosite.Fosite, error) {
	config, err := s.fositeConfig()
	if err != nil {
		return nil, err
	}
	store := fositeStore{server: s}
	helper := &fositeoauth2.HandleHelper{AccessTokenStrategy: accessTokens{server: s}, AccessTokenStorage: store, Config: config}
	config.TokenEndpointHandlers = fosite.TokenEndpointHandlers{
		listed{grantClientCredentials, &fositeoauth2.ClientCredentialsGrantHandler{HandleHelper: helper, Config: config}},
		//lint:ignore SA1019 the grant is discouraged, not gone: it is off for an application unless its grant_types lists it
		listed{grantPassword, &fositeoauth2.ResourceOwnerPasswordCredentialsGrantHandler{
			HandleHelper: helper, ResourceOwnerPasswordCredentialsGrantStorage: store,
			RefreshTokenStrategy: refreshTokens{}, Config: config,
		}},
		listed{grantRefreshToken, refreshGrant{strategy: accessTokens{server: s}}},
	}
	return &fosite.Fosite{Store: store, Config: config}, nil
}

// listed asks the one question that must be answered before a handler works, and before a password is hashed: does the
// application list the grant type at all? Fosite asks it of client_credentials only after the decision, and calls a
// public client's attempt invalid_grant (F-14).
type listed struct {
	grant string
	fosite.TokenEndpointHandler
}

func (l listed) HandleTokenEndpointRequest(ctx context.Context, request fosite.AccessRequester) error {
	c, ok := request.GetClient().(*client)
	if !ok {
		return errors.New("token request without an authenticated client")
	}
	if !contains(c.app.GrantTypes, l.grant) || (l.grant == grantClientCredentials && c.IsPublic()) {
		return refusal(codeUnauthorized)
	}
	return l.TokenEndpointHandler.HandleTokenEndpointRequest(ctx, request)
}

// PopulateTokenEndpointResponse is asked of each handler in turn. It says that a request is of another grant type without the stack
// trace that fosite takes to say so.
func (l listed) PopulateTokenEndpointResponse(
	ctx context.Context, request fosite.AccessRequester, response fosite.AccessResponder,
) error {
	if !request.GetGrantTypes().ExactOne(l.grant) {
		return fosite.ErrUnknownRequest
	}
	return l.TokenEndpointHandler.PopulateTokenEndpointResponse(ctx, request, response)
}

// fositeConfig sets every field: what is left empty, fosite fills without a lock on the first request (F-27), or with a
// default that is not ours. A test walks the fields.
func (s *Server) fositeConfig() (*fosite.Config, error) {
	// F-29: exactly 32 bytes. No handler that is kept uses it.
	secret := make([]byte, 32)
	if _, err := io.ReadFull(s.rand, secret); err != nil {
		return nil, fmt.Errorf("read randomness: %w", err)
	}
	page, err := template.New("form_post").Parse("")
	if err != nil {
		return nil, fmt.Errorf("form_post template: %w", err)
	}
	return &fosite.Config{
		AccessTokenLifespan:                s.lifetime,
		VerifiableCredentialsNonceLifespan: time.Minute,
		RefreshTokenLifespan:               s.refreshLife,
		AuthorizeCodeLifespan:              time.Minute,
		IDTokenLifespan:                    time.Minute,
		IDTokenIssuer:                      s.issuer,
		HashCost:                           12,
		DisableRefreshTokenValidation:      true,
		SendDebugMessagesToClients:         false,
		// What is registered, and nothing tighter: what is held is decided by writ/token, and cut in ceiling.go (F-25,
		// F-26).
		ScopeStrategy:                        s.registeredScope,
		AudienceMatchingStrategy:             registeredAudience,
		EnforcePKCE:                          true,
		EnforcePKCEForPublicClients:          true,
		EnablePKCEPlainChallengeMethod:       false,
		AllowedPromptValues:                  []string{},
		TokenURL:                             s.origin + tokenPath,
		JWKSFetcherStrategy:                  noFetch{},
		TokenEntropy:                         32,
		RedirectSecureChecker:                func(context.Context, *url.URL) bool { return false },
		RefreshTokenScopes:                   []string{},
		MinParameterEntropy:                  fosite.MinParameterEntropy,
		UseLegacyErrorFormat:                 false,
		GrantTypeJWTBearerCanSkipClientAuth:  false,
		GrantTypeJWTBearerIDOptional:         false,
		GrantTypeJWTBearerIssuedDateOptional: false,
		GrantTypeJWTBearerMaxDuration:        time.Minute,
		ClientAuthenticationStrategy:         s.authenticateClient,
		ResponseModeHandlerExtension:         &fosite.DefaultResponseModeHandler{},
		MessageCatalog:                       plainEnglish{},
		FormPostHTMLTemplate:                 page,
		OmitRedirectScopeParam:               true,
		SanitationWhiteList:                  []string{},
		JWTScopeClaimKey:                     fositejwt.JWTScopeFieldString,
		AccessTokenIssuer:                    s.issuer,
		ClientSecretsHasher:                  noHasher{},
		HTTPClient:                           &retryablehttp.Client{HTTPClient: &http.Client{Transport: noTransport{}}},
		AuthorizeEndpointHandlers:            fosite.AuthorizeEndpointHandlers{},
		TokenEndpointHandlers:                fosite.TokenEndpointHandlers{},
		TokenIntrospectionHandlers:           fosite.TokenIntrospectionHandlers{},
		RevocationHandlers:                   fosite.RevocationHandlers{},
		PushedAuthorizeEndpointHandlers:      fosite.PushedAuthorizeEndpointHandlers{},
		GlobalSecret:                         secret,
		RotatedGlobalSecrets:                 [][]byte{},
		HMACHasher:                           sha512.New512_256,
		PushedAuthorizeRequestURIPrefix:      "urn:ietf:params:oauth:request_uri:",
		PushedAuthorizeContextLifespan:       time.Minute,
		IsPushedAuthorizeEnforced:            false,
	}, nil
}

var (
	errNoFetch = errors.New("fosite fetches nothing")
	errNoHash  = errors.New("fosite verifies no secrets")
)

// noFetch is fosite's JWKS fetcher, replaced (F-10).
type noFetch struct{}

func (noFetch) Resolve(context.Context, string, bool) (*josev3.JSONWebKeySet, error) {
	return nil, errNoFetch
}

// noTransport is fosite's way out of the house: there is none.
type noTransport struct{}

func (noTransport) RoundTrip(*http.Request) (*http.Response, error) { return nil, errNoFetch }

// noHasher is fosite's secret hasher, replaced by the Secrets port (F-07, F-28). It refuses everything.
type noHasher struct{}

func (noHasher) Compare(context.Context, []byte, []byte) error { return errNoHash }
func (noHasher) Hash(context.Context, []byte) ([]byte, error)  { return nil, errNoHash }

// plainEnglish is fosite's message catalogue: its messages never reach a caller.
type plainEnglish struct{}

func (plainEnglish) GetMessage(id string, _ language.Tag, _ ...any) string { return id }
func (plainEnglish) GetLangFromRequest(*http.Request) language.Tag         { return language.English }

// refreshTokens makes none: fosite's password handler asks for one before the session is there that it names. Ours come in respond
// (refresh.go).
type refreshTokens struct{}

var _ fositeoauth2.RefreshTokenStrategy = refreshTokens{}

func (refreshTokens) RefreshTokenSignature(context.Context, string) string { return "" }
func (refreshTokens) GenerateRefreshToken(context.Context, fosite.Requester) (string, string, error) {
	return "", "", nil
}

func (refreshTokens) ValidateRefreshToken(context.Context, fosite.Requester, string) error {
	return fosite.ErrInvalidGrant
}

// registeredAudience holds a requested audience to the registered ones by exact comparison (F-25).
func registeredAudience(registered, requested []string) error {
	for _, audience := range requested {
		if !contains(registered, audience) {
			return refusal(codeInvalidTarget)
		}
	}
	return nil
}

// accessTokens is fosite's AccessTokenStrategy, replaced (F-21 to F-24).
type accessTokens struct{ server *Server }

var _ fositeoauth2.AccessTokenStrategy = accessTokens{}

// AccessTokenSignature would name a row; there is none.
func (accessTokens) AccessTokenSignature(context.Context, string) string { return "" }

// GenerateAccessToken signs or seals what respond prepared in the session.
func (a accessTokens) GenerateAccessToken(_ context.Context, requester fosite.Requester) (string, string, error) {
	sess, ok := requester.GetSession().(*session)
	if !ok || sess.claims == nil {
		return "", "", errors.New("token request without claims")
	}
	token, err := a.server.write(sess)
	return token, "", err
}

// ValidateAccessToken is not how tokens are validated; see validate.go (F-22, F-23).
func (accessTokens) ValidateAccessToken(context.Context, fosite.Requester, string) error {
	return enforce.ErrUnauthenticated
}
