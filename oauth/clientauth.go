package oauth

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/ory/fosite"

	"github.com/writ-authz/writ/policies"
	"github.com/writ-authz/writ/policies/enforce"
	"github.com/writ-authz/writ/storage"
)

// The client authentication methods; private_key_jwt is in assertion.go.
const (
	methodBasic = "client_secret_basic"
	methodPost  = "client_secret_post"
	methodNone  = "none"
)

// maxClientID bounds what is looked up. No id is longer.
const maxClientID = 128

// credentials are what a request presents, before anyone believes it.
type credentials struct {
	id, secret string
	// assertion is there for private_key_jwt, in the place of a secret; id may be empty then.
	assertion string
	method    string
	peer      netip.Addr
}

// client is an application that has authenticated. To fosite it is a fosite.Client.
type client struct {
	app *storage.Application
	// subject holds the application's facts, read after app.
	subject *enforce.Subject
	// secret is the one that was presented; nil for the methods none and private_key_jwt.
	secret *storage.Secret
}

var _ fosite.Client = (*client)(nil)

func (c *client) GetID() string                      { return c.app.ID }
func (c *client) GetHashedSecret() []byte            { return nil } // verified by the Secrets port (F-07, F-08)
func (c *client) GetRedirectURIs() []string          { return c.app.RedirectURIs }
func (c *client) GetGrantTypes() fosite.Arguments    { return c.app.GrantTypes }
func (c *client) GetResponseTypes() fosite.Arguments { return nil }
func (c *client) GetScopes() fosite.Arguments        { return c.app.Scopes }
func (c *client) IsPublic() bool                     { return c.app.TokenEndpointAuthMethod == methodNone }
func (c *client) GetAudience() fosite.Arguments      { return c.subject.Facts.Identity().Audiences }

// authenticateClient is fosite's ClientAuthenticationStrategy, replaced (F-03 to F-10): basic, post, private_key_jwt and
// none, each only where the application takes it; one refusal for every cause; a backend that cannot tell is an outage.
func (s *Server) authenticateClient(ctx context.Context, r *http.Request, form url.Values) (fosite.Client, error) {
	presented, err := readCredentials(r.Header.Values("Authorization"), form)
	if err != nil {
		return nil, err
	}
	presented.peer = remote(r)
	found, err := s.verifyClient(ctx, presented)
	if err != nil {
		return nil, err
	}
	return found, nil
}

// verifyClient finds and verifies the application. Whatever is wrong, a request that presents a secret costs one look-up
// and one verification, and the reply is the same.
func (s *Server) verifyClient(ctx context.Context, presented credentials) (*client, error) {
	if presented.method == methodPrivateKeyJWT {
		return s.assertedClient(ctx, presented)
	}
	app, err := s.application(presented.id)
	if err != nil {
		return nil, err
	}
	if presented.method == methodNone {
		if app == nil || !takes(app, methodNone) {
			return nil, refusal(codeInvalidClient)
		}
		return s.usableClient(ctx, app, nil)
	}
	id, ok, err := s.secrets.Verify(ctx, presented.peer, presented.id, app, presented.secret)
	switch {
	case err != nil:
		return nil, fmt.Errorf("verify secret: %w", err)
	case !ok || app == nil || !takes(app, presented.method):
		return nil, refusal(codeInvalidClient)
	}
	at := slices.IndexFunc(app.Secrets, func(secret storage.Secret) bool { return secret.ID == id })
	if at < 0 {
		return nil, fmt.Errorf("verify secret: application %s has no secret %s", app.ID, id)
	}
	return s.usableClient(ctx, app, &app.Secrets[at])
}

// application returns the record, or nil where there is none.
func (s *Server) application(id string) (*storage.Application, error) {
	if id == "" || len(id) > maxClientID {
		return nil, nil
	}
	app, err := s.directory.Application(id)
	if errors.Is(err, storage.ErrNotFound) {
		return nil, nil
	}
	return app, err
}

// takes reports whether the application proves itself this way. An absent method is basic or post; a set one is enforced exactly
// (F-06).
func takes(app *storage.Application, method string) bool {
	registered := app.TokenEndpointAuthMethod
	return registered == method || registered == "" && (method == methodBasic || method == methodPost)
}

// usableClient adds the facts and refuses an application that may not act now, as if its secret were wrong. Where it
// calls from is for the policy to judge.
func (s *Server) usableClient(ctx context.Context, app *storage.Application, secret *storage.Secret) (*client, error) {
	subject, err := s.directory.Subject(ctx, typeApplication, app.ID)
	if err != nil {
		return nil, fmt.Errorf("facts of application %s: %w", app.ID, err)
	}
	if !subject.Facts.Identity().Usable(s.now(), policies.AddressAllowed) {
		return nil, refusal(codeInvalidClient)
	}
	return &client{app: app, subject: subject, secret: secret}, nil
}

// readCredentials finds the one place in which a request presents its credentials. Two places, or two different ids, are
// 400 (F-05).
func readCredentials(authorization []string, form url.Values) (credentials, error) {
	inBody := credentials{id: form.Get("client_id"), secret: form.Get("client_secret"), method: methodNone}
	if inBody.secret != "" {
		inBody.method = methodPost
	}
	asserts := form.Has("client_assertion") || form.Has("client_assertion_type")
	switch {
	case len(authorization) > 1:
		return credentials{}, refusalOf(codeInvalidRequest, "Send one Authorization header.")
	case asserts && (len(authorization) > 0 || inBody.method == methodPost),
		len(authorization) > 0 && inBody.method == methodPost:
		return credentials{}, refusalOf(codeInvalidRequest, "Use one way of client authentication in one request.")
	case asserts:
		if form.Get("client_assertion_type") != assertionType || !form.Has("client_assertion") {
			return credentials{}, refusal(codeInvalidClient)
		}
		return credentials{id: inBody.id, assertion: form.Get("client_assertion"), method: methodPrivateKeyJWT}, nil
	case len(authorization) == 0:
		if inBody.id == "" {
			return credentials{}, refusal(codeInvalidClient) // F-03
		}
		return inBody, nil
	}
	basic, ok := parseBasic(authorization[0])
	switch {
	case !ok:
		return credentials{}, refusal(codeInvalidClient)
	case inBody.id != "" && inBody.id != basic.id:
		return credentials{}, refusalOf(codeInvalidRequest, "The client_id in the body is not the one in the Authorization header.")
	}
	return basic, nil
}

// parseBasic reads a Basic header whose halves are form-encoded (RFC 6749, section 2.3.1). An empty secret is none.
func parseBasic(header string) (credentials, bool) {
	encoded, ok := scheme(header, "Basic")
	if !ok || strings.ContainsAny(encoded, "\r\n") { // which encoding/base64 would skip
		return credentials{}, false
	}
	raw, err := base64.StdEncoding.Strict().DecodeString(encoded)
	if err != nil {
		return credentials{}, false
	}
	id, secret, ok := strings.Cut(string(raw), ":")
	if !ok {
		return credentials{}, false
	}
	id, idErr := url.QueryUnescape(id)
	secret, secretErr := url.QueryUnescape(secret)
	if idErr != nil || secretErr != nil || id == "" || secret == "" || !utf8.ValidString(id) || !utf8.ValidString(secret) {
		return credentials{}, false
	}
	return credentials{id: id, secret: secret, method: methodBasic}, true
}

// scheme returns what follows an authentication scheme, whose name has no case (RFC 9110, section 11.1).
func scheme(header, name string) (string, bool) {
	given, rest, ok := strings.Cut(header, " ")
	return strings.TrimLeft(rest, " "), ok && strings.EqualFold(given, name)
}
