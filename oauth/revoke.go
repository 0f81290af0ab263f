package oauth

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/writ-authz/writ/policies"
	"github.com/writ-authz/writ/policies/enforce"
	"github.com/writ-authz/writ/storage"
)

// resolveRevoke is RFC 7009 up to the decision. With a refresh token goes its session, and with that its access tokens (section 2.1). A token that is dead already, or that nobody knows, is anybody's to revoke: there is
// nothing to do (section 2.2). A live one is its client's.
func (s *Server) resolveRevoke(ctx context.Context, r *enforce.Request) (enforce.Resolved, error) {
	form, err := readForm(r.Body)
	if err != nil {
		return enforce.Resolved{}, err
	}
	if err := s.directory.Fresh(); err != nil {
		return enforce.Resolved{}, fmt.Errorf("revocation: %w", err)
	}
	c, err := s.endpointClient(ctx, r, form)
	if err != nil {
		return enforce.Resolved{}, err
	}
	raw, err := presentedToken(form)
	if err != nil {
		return enforce.Resolved{}, err
	}
	caller, err := s.clientCaller(r, c)
	if err != nil {
		return enforce.Resolved{}, err
	}
	token, err := s.revocable(ctx, raw)
	if err != nil {
		return enforce.Resolved{}, fmt.Errorf("revocation: %w", err)
	}
	return enforce.Resolved{
		Question: policies.Question{Subject: c.subject.Facts, Caller: caller, Resource: token.resource(c.app.ID, true)},
		Respond: func(ctx context.Context, d policies.Decision) (enforce.Reply, error) {
			if token != nil {
				if err := s.revokeAudited(ctx, r, c, token, d); err != nil {
					return enforce.Reply{}, err
				}
			}
			header := http.Header{}
			noStore(header)
			return enforce.Reply{Status: http.StatusOK, Header: header}, nil
		},
	}, nil
}

// onBehalf names a user as the audit does; nobody is nobody there too.
func onBehalf(user string) string {
	if user == "" {
		return ""
	}
	return typeUser + ":" + user
}

// revokeAudited kills the token between intent and outcome: without the first nothing is revoked, and only what was written is
// acknowledged (F-17).
func (s *Server) revokeAudited(ctx context.Context, r *enforce.Request, c *client, token *liveToken, d policies.Decision) error {
	done, err := s.auditor.Intent(ctx, storage.AuditEntry{
		Actor: typeApplication + ":" + c.app.ID, OnBehalf: onBehalf(token.user), Action: "tokens:revoke", Target: token.target(), DecisionID: d.ID,
		PolicyRevision: d.PolicyRevision, RequestID: r.ID,
	})
	if err != nil {
		return fmt.Errorf("audit: %w: %w", storage.ErrUnavailable, err)
	}
	if err := s.kill(ctx, token); err != nil {
		return errors.Join(err, done(ctx, "failed", "not revoked"))
	}
	if err := done(ctx, "ok", ""); err != nil {
		return fmt.Errorf("audit: %w: %w", storage.ErrUnavailable, err)
	}
	return nil
}

// foreign is the reply where a client may not revoke a token (RFC 7009, section 2.1).
func foreign(reasons []policies.Reason) error {
	if clientRefused(reasons) {
		return refusal(codeInvalidClient)
	}
	return refusalOf(codeUnauthorized, "The token was not issued to this client.")
}
