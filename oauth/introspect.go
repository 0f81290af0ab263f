package oauth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"

	"github.com/writ-authz/writ/policies"
	"github.com/writ-authz/writ/policies/enforce"
)

// endpointClient authenticates the client of a request about a token, in the ways of the token endpoint (F-19).
func (s *Server) endpointClient(ctx context.Context, r *enforce.Request, form url.Values) (*client, error) {
	authenticated, err := s.authenticateClient(presenting(ctx, r, form), r.HTTP, form)
	if err != nil {
		return nil, err
	}
	found, ok := authenticated.(*client)
	if !ok {
		return nil, errors.New("client authentication found no client")
	}
	event := enforce.EventFrom(ctx)
	event.Client, event.Subject, event.Tenant = found.app.ID, found.app.ID, string(found.app.Tenant)
	return found, nil
}

// clientCaller is an authenticated client as the rules see it: its rights are those of the application within its registered scopes.
func (s *Server) clientCaller(r *enforce.Request, c *client) (policies.Caller, error) {
	identity := c.subject.Facts.Identity()
	caller := policies.Caller{
		ClientID: c.app.ID, Tenant: identity.Tenant, Audiences: identity.Audiences, Public: c.IsPublic(),
		Address: s.directory.AddressFact(c.subject, remote(r.HTTP)),
	}
	if c.app.Scopes != nil {
		scopes, err := policies.NewScopes(c.app.Scopes)
		if err != nil {
			return policies.Caller{}, fmt.Errorf("scopes of application %s: %w", c.app.ID, err)
		}
		caller.Scoped, caller.Scopes = true, scopes
	}
	return caller, nil
}

// presentedToken is the parameter token, which must be there (F-18). A wrong token_type_hint loses nothing: it is not read.
func presentedToken(form url.Values) (string, error) {
	if raw := form.Get("token"); raw != "" {
		return raw, nil
	}
	return "", refusalOf(codeInvalidRequest, "The parameter token is missing.")
}

// living returns the claims and the holder of a live access token, or no claims for anything else. An error says that it
// cannot be told now.
func (s *Server) living(ctx context.Context, raw string) (*claims, *enforce.Caller, error) {
	token, err := s.genuine(raw)
	if err == nil && token.claims.inTime(s.now()) {
		var holder *enforce.Caller
		// Where the holder is, nobody knows here.
		if holder, err = s.holder(ctx, token, netip.Addr{}); err == nil {
			return token.claims, holder, nil
		}
	}
	if err == nil || errors.Is(err, enforce.ErrUnauthenticated) {
		return nil, nil, nil
	}
	return nil, nil, err
}

// entitlement is what writ/introspection asks of a token beside whose it is.
type entitlement struct {
	Audiences map[string]bool `json:"audiences"`
	Serves    map[string]bool `json:"serves"`
}

func nameSet(names []string) map[string]bool {
	set := make(map[string]bool, len(names))
	for _, name := range names {
		set[name] = true
	}
	return set
}

// resolveIntrospect is RFC 7662 up to the decision. A dead token is put to the decision too, as one that is nobody's: so a caller
// who may not see a token and a token that is not there look the same.
func (s *Server) resolveIntrospect(ctx context.Context, r *enforce.Request) (enforce.Resolved, error) {
	form, err := readForm(r.Body)
	if err != nil {
		return enforce.Resolved{}, err
	}
	if err := s.directory.Fresh(); err != nil {
		return enforce.Resolved{}, fmt.Errorf("introspection: %w", err)
	}
	c, err := s.endpointClient(ctx, r, form)
	if err != nil {
		return enforce.Resolved{}, err
	}
	if c.IsPublic() {
		return enforce.Resolved{}, refusal(codeInvalidClient) // it proved nothing
	}
	raw, err := presentedToken(form)
	if err != nil {
		return enforce.Resolved{}, err
	}
	caller, err := s.clientCaller(r, c)
	if err != nil {
		return enforce.Resolved{}, err
	}
	token, holder, err := s.living(ctx, raw)
	if err != nil {
		return enforce.Resolved{}, fmt.Errorf("introspection: %w", err)
	}
	resource := policies.Resource{TenantEnabled: true, OtherOwners: -1, OwnersBefore: -1}
	entitled := entitlement{Audiences: map[string]bool{}, Serves: nameSet(c.app.Serves)}
	if token != nil {
		resource.ID, resource.Tenant, resource.Exists, resource.Self = token.ID, token.Tenant, true, token.ClientID == c.app.ID
		entitled.Audiences = nameSet(token.Audience)
	}
	if resource.AfterDetail, err = json.Marshal(entitled); err != nil {
		return enforce.Resolved{}, fmt.Errorf("introspection: %w", err)
	}
	return enforce.Resolved{
		Question: policies.Question{Subject: c.subject.Facts, Caller: caller, Resource: resource},
		Respond: func(ctx context.Context, _ policies.Decision) (enforce.Reply, error) {
			return s.introspected(ctx, token, holder)
		},
	}, nil
}

// inactive is all that is said of a token that is dead, or that the caller may not see (RFC 7662, section 2.2).
type inactive struct {
	Active bool `json:"active"`
}

// introspection is RFC 7662, section 2.2, of a live access token (F-20).
type introspection struct {
	Active    bool     `json:"active"`
	ClientID  string   `json:"client_id"`
	Subject   string   `json:"sub"`
	Username  string   `json:"username,omitempty"`
	Scope     string   `json:"scope"`
	Audience  []string `json:"aud"`
	Issuer    string   `json:"iss"`
	IssuedAt  int64    `json:"iat"`
	NotBefore int64    `json:"nbf"`
	ExpiresAt int64    `json:"exp"`
	ID        string   `json:"jti"`
	TokenType string   `json:"token_type"`
	SID       string   `json:"sid,omitempty"`
	Tenant    string   `json:"tenant,omitempty"`
}

func (s *Server) introspected(ctx context.Context, token *claims, holder *enforce.Caller) (enforce.Reply, error) {
	header := http.Header{}
	noStore(header)
	if token == nil {
		return enforce.Reply{Status: http.StatusOK, Header: header, Body: inactive{}}, nil
	}
	body := introspection{
		Active: true, ClientID: token.ClientID, Subject: token.Subject, Scope: token.Scope, Audience: token.Audience, Issuer: token.Issuer,
		IssuedAt: token.IssuedAt, NotBefore: token.NotBefore, ExpiresAt: token.ExpiresAt, ID: token.ID, TokenType: "Bearer",
		SID: token.SID, Tenant: token.Tenant,
	}
	if holder.UserToken {
		user, err := s.directory.Subject(ctx, typeUser, token.Subject)
		if err != nil {
			return enforce.Reply{}, fmt.Errorf("introspection: %w", err)
		}
		body.Username = user.Name
	}
	return enforce.Reply{Status: http.StatusOK, Header: header, Body: body}, nil
}

// writeUnseen writes a denial of introspection: a client that may not act here at all is refused as by its secret, and for any other
// the token is inactive.
func (s *Server) writeUnseen(w http.ResponseWriter, r *enforce.Request, reasons []policies.Reason) {
	if clientRefused(reasons) {
		s.writeError(w, r, refusal(codeInvalidClient))
		return
	}
	writeJSON(w, http.StatusOK, inactive{})
}

// clientRefused reports whether what is wrong is the client itself, whatever it asks for.
func clientRefused(reasons []policies.Reason) bool {
	for _, reason := range reasons {
		if denialCode(grantClientCredentials, reason.Code) == codeInvalidClient {
			return true
		}
	}
	return false
}
