package oauth

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strings"

	"github.com/writ-authz/writ/policies"
	"github.com/writ-authz/writ/policies/enforce"
	"github.com/writ-authz/writ/storage"
)

// liveToken is a token of this server that a client asks about or revokes, and that is not dead: an access token, which has claims,
// or a refresh token, which has a session.
type liveToken struct {
	claims  *claims
	session *storage.Session
	// user is the id of the user whose token it is; empty for an application's own.
	user string
}

func (t *liveToken) clientID() string {
	if t.session != nil {
		return string(t.session.Client)
	}
	return t.claims.ClientID
}

// resource is the token as the object of a question; self says of a token that is not there whether it is the caller's.
func (t *liveToken) resource(clientID string, self bool) policies.Resource {
	r := policies.Resource{TenantEnabled: true, Self: self, OtherOwners: -1, OwnersBefore: -1}
	switch {
	case t == nil:
		return r
	case t.session != nil:
		r.ID, r.Tenant = t.session.ID, string(t.session.Tenant)
	default:
		r.ID, r.Tenant = t.claims.ID, t.claims.Tenant
	}
	r.Exists, r.Self = true, t.clientID() == clientID
	return r
}

// presentedToken is the parameter token, which must be there (F-18). A wrong token_type_hint loses nothing: it is not read.
func presentedToken(form url.Values) (string, error) {
	if raw := form.Get("token"); raw != "" {
		return raw, nil
	}
	return "", refusalOf(codeInvalidRequest, "The parameter token is missing.")
}

// alive turns what validation found dead into no token. Other errors stay: it cannot be told now.
func alive(t *liveToken, err error) (*liveToken, error) {
	if errors.Is(err, enforce.ErrUnauthenticated) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return t, nil
}

// living returns a token that would be accepted now, or nil.
func (s *Server) living(ctx context.Context, raw string) (*liveToken, error) {
	if strings.HasPrefix(raw, refreshPrefix) {
		return alive(s.livingRefresh(ctx, raw))
	}
	return alive(s.livingAccess(ctx, raw))
}

// revocable returns a token that can be revoked, or nil. This asks less than living. An access token that is not accepted now may be
// accepted later, when a window begins or a tenant is enabled again, so only one that has expired or is revoked already needs nothing.
// Any refresh token that this server made stands for its session, so one that was exchanged already ends the session too: whoever
// presents it wants the session to be over.
func (s *Server) revocable(ctx context.Context, raw string) (*liveToken, error) {
	if !strings.HasPrefix(raw, refreshPrefix) {
		token, err := s.genuine(raw)
		if err != nil {
			return alive(nil, err)
		}
		if s.now().Unix() >= token.claims.ExpiresAt || s.denied.denied(token.claims.ID) {
			return nil, nil
		}
		return accessOf(token.claims), nil
	}
	f, err := s.familyOf(ctx, raw)
	if err != nil {
		return alive(nil, err)
	}
	return &liveToken{session: f.record, user: f.record.Subject}, nil
}

func (s *Server) livingAccess(ctx context.Context, raw string) (*liveToken, error) {
	token, err := s.genuine(raw)
	if err != nil {
		return nil, err
	}
	if !token.claims.inTime(s.now()) {
		return nil, errDead
	}
	// Where the holder is, nobody knows here.
	if _, err := s.holder(ctx, token, netip.Addr{}, secretLives); err != nil {
		return nil, err
	}
	return accessOf(token.claims), nil
}

// accessOf is an access token; the user is its subject, unless that is the client itself.
func accessOf(c *claims) *liveToken {
	t := &liveToken{claims: c}
	if c.Subject != c.ClientID {
		t.user = c.Subject
	}
	return t
}

// livingRefresh is a refresh token that could be exchanged now.
func (s *Server) livingRefresh(ctx context.Context, raw string) (*liveToken, error) {
	session, err := s.refreshSession(ctx, raw)
	if err != nil {
		return nil, err
	}
	app, err := s.application(string(session.Client))
	if err != nil {
		return nil, fmt.Errorf("refresh token: %w", err)
	}
	if app == nil || !contains(app.GrantTypes, grantRefreshToken) {
		return nil, errDead
	}
	if session.Tenant != "" && !s.directory.TenantEnabled(string(session.Tenant)) {
		return nil, errDead
	}
	return &liveToken{session: session, user: session.Subject}, nil
}

// introspection is RFC 7662, section 2.2, of a live token (F-20). Of a refresh token it has neither aud nor token_type: it is good for
// nothing but this server's token endpoint.
type introspection struct {
	Active    bool     `json:"active"`
	ClientID  string   `json:"client_id"`
	Subject   string   `json:"sub"`
	Username  string   `json:"username,omitempty"`
	Scope     string   `json:"scope"`
	Audience  []string `json:"aud,omitempty"`
	Issuer    string   `json:"iss"`
	IssuedAt  int64    `json:"iat,omitempty"`
	NotBefore int64    `json:"nbf,omitempty"`
	ExpiresAt int64    `json:"exp"`
	ID        string   `json:"jti,omitempty"`
	TokenType string   `json:"token_type,omitempty"`
	SID       string   `json:"sid,omitempty"`
	Tenant    string   `json:"tenant,omitempty"`
}

// described is what is said of a live token to a caller who may know it.
func (s *Server) described(ctx context.Context, t *liveToken) (introspection, error) {
	body := introspection{Active: true, Issuer: s.issuer}
	if session := t.session; session != nil {
		body.ClientID, body.Subject, body.Scope = string(session.Client), session.Subject, strings.Join(session.Scopes, " ")
		body.ExpiresAt, body.SID, body.Tenant = session.ExpiresAt.Unix(), session.ID, string(session.Tenant)
	} else {
		c := t.claims
		body.ClientID, body.Subject, body.Scope, body.Audience = c.ClientID, c.Subject, c.Scope, c.Audience
		body.IssuedAt, body.NotBefore, body.ExpiresAt, body.ID = c.IssuedAt, c.NotBefore, c.ExpiresAt, c.ID
		body.TokenType, body.SID, body.Tenant = "Bearer", c.SID, c.Tenant
	}
	if t.user != "" {
		user, err := s.directory.Subject(ctx, typeUser, t.user)
		if err != nil {
			return introspection{}, fmt.Errorf("facts of user %s: %w", t.user, err)
		}
		body.Username = user.Name
	}
	return body, nil
}

// kill makes a token dead everywhere: an access token by its id, a refresh token with its session and all that came of it.
func (s *Server) kill(ctx context.Context, t *liveToken) error {
	if t.session == nil {
		return s.deny(ctx, t.claims)
	}
	if err := s.EndSession(ctx, t.session.ID, storage.EndRevocation); err != nil && !errors.Is(err, ErrNoSession) {
		return err
	}
	return nil
}

// target names a token in the audit log.
func (t *liveToken) target() string {
	if t.session != nil {
		return "sessions/" + t.session.ID
	}
	return "tokens/" + t.claims.ID
}
