package oauth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strings"

	"github.com/writ-authz/writ/policies"
	"github.com/writ-authz/writ/policies/enforce"
	"github.com/writ-authz/writ/storage"
)

// resolveSessionsEnd finds the session that is to end: that of the bearer token, or of the token in the form field
// "token", which may have expired but must be genuine and not revoked. Ending a session is never a silent no-op: a bearer token that is
// dead is 401, and a form token whose session does not live is 400.
func (s *Server) resolveSessionsEnd(ctx context.Context, r *enforce.Request) (enforce.Resolved, error) {
	form, err := readForm(r.Body)
	if err != nil {
		return enforce.Resolved{}, err
	}
	peer := remote(r.HTTP)
	hint := form.Get("token")
	var caller *enforce.Caller
	if len(r.HTTP.Header.Values("Authorization")) > 0 {
		if caller, err = s.Authenticator(false).Authenticate(ctx, r.HTTP); err != nil {
			return enforce.Resolved{}, err
		}
	}
	if hint != "" {
		named, err := s.hinted(ctx, hint, peer)
		if err != nil {
			return enforce.Resolved{}, err
		}
		if caller != nil && caller.ID != named.ID {
			return enforce.Resolved{}, refusalOf(codeInvalidRequest, "The token in the form is another subject's.")
		}
		caller = named
	}
	switch {
	case caller == nil:
		return enforce.Resolved{}, refusalOf(codeInvalidRequest, "Send a token of the session as bearer or in the form field token.")
	case caller.SID == "":
		return enforce.Resolved{}, refusalOf(codeInvalidRequest, "The token belongs to no session.")
	}
	session, err := storage.Get[storage.Session](ctx, s.store, caller.SID)
	switch {
	case errors.Is(err, storage.ErrNotFound):
		return enforce.Resolved{}, ended(hint)
	case err != nil:
		return enforce.Resolved{}, fmt.Errorf("session of the token: %w", err)
	case session.EndedAt != nil:
		return enforce.Resolved{}, ended(hint)
	}
	return enforce.Resolved{
		Question: policies.Question{
			Subject: caller.Facts, Caller: caller.Policy(""),
			Resource: policies.Resource{
				ID: caller.SID, Tenant: caller.Tenant, TenantEnabled: true, Exists: true, Self: true, OtherOwners: -1, OwnersBefore: -1,
			},
		},
		Respond: func(ctx context.Context, d policies.Decision) (enforce.Reply, error) {
			return s.endAudited(ctx, r, caller, hint, d)
		},
	}, nil
}

// hinted is the holder of a genuine access token, expired or not, or of a refresh token. Everything that is wrong with it is 400. What was
// revoked, the token or the secret that it was had with, proves nothing any more, also after it has expired; what only expired does (L-14).
func (s *Server) hinted(ctx context.Context, raw string, peer netip.Addr) (*enforce.Caller, error) {
	if strings.HasPrefix(raw, refreshPrefix) {
		caller, err := s.refreshHolder(ctx, raw, peer)
		if errors.Is(err, enforce.ErrUnauthenticated) {
			return nil, ended(raw)
		}
		return caller, err
	}
	token, err := s.genuine(raw)
	if err == nil {
		var caller *enforce.Caller
		if caller, err = s.holder(ctx, token, peer, secretKept); err == nil {
			var revoked bool
			if revoked, err = s.everDenied(ctx, token.claims.ID); err == nil && !revoked {
				return caller, nil
			}
			if err == nil {
				err = errDead
			}
		}
	}
	if errors.Is(err, enforce.ErrUnauthenticated) {
		return nil, ended(raw)
	}
	return nil, err
}

// refreshHolder is whom a live refresh token stands for.
func (s *Server) refreshHolder(ctx context.Context, raw string, peer netip.Addr) (*enforce.Caller, error) {
	session, err := s.refreshSession(ctx, raw)
	if err != nil {
		return nil, err
	}
	subject, err := s.directory.Subject(ctx, typeUser, session.Subject)
	if err != nil {
		return nil, fmt.Errorf("facts of user %s: %w", session.Subject, err)
	}
	return &enforce.Caller{
		Type: subject.Type, ID: subject.ID, Facts: subject.Facts, ClientID: string(session.Client), SID: session.ID, Tenant: string(session.Tenant),
		UserToken: true, Address: peer, AddressFact: s.directory.AddressFact(subject, peer),
	}, nil
}

// ended is the reply where no session lives: 400 to a form token, 401 to a bearer.
func ended(hint string) error {
	if hint != "" {
		return refusalOf(codeInvalidRequest, "The token is not that of a live session.")
	}
	e := refusal(codeInvalidToken)
	e.Header = http.Header{"Www-Authenticate": {bearerChallenge + `, error="invalid_token"`}}
	return e
}

// endAudited ends the session between intent and outcome: without the first nothing ends.
func (s *Server) endAudited(
	ctx context.Context, r *enforce.Request, caller *enforce.Caller, hint string, d policies.Decision,
) (enforce.Reply, error) {
	done, err := s.auditor.Intent(ctx, storage.AuditEntry{
		Actor: caller.Type + ":" + caller.ID, Action: "tokens:end", Target: "sessions/" + caller.SID, DecisionID: d.ID, PolicyRevision: d.PolicyRevision,
		RequestID: r.ID,
	})
	if err != nil {
		return enforce.Reply{}, fmt.Errorf("audit: %w: %w", storage.ErrUnavailable, err)
	}
	if err := s.EndSession(ctx, caller.SID, storage.EndSignOut); err != nil {
		err = errors.Join(err, done(ctx, "failed", "not ended"))
		if errors.Is(err, ErrNoSession) {
			return enforce.Reply{}, ended(hint)
		}
		return enforce.Reply{}, err
	}
	if err := done(ctx, "ok", ""); err != nil {
		return enforce.Reply{}, fmt.Errorf("audit: %w: %w", storage.ErrUnavailable, err)
	}
	header := http.Header{}
	noStore(header)
	return enforce.Reply{Status: http.StatusNoContent, Header: header}, nil
}
