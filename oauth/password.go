package oauth

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/writ-authz/writ/policies"
	"github.com/writ-authz/writ/storage"
)

// What tells a secret made by the server from one chosen by the caller: how it begins, and how its verifier does.
const (
	madeSecret   = "writ_cs_"
	madeVerifier = "sha256:"
)

// machine finds the application whose own id and secret stand in the place of a username and a password (G-14); nil where they do not,
// and the name is then a person's. It is looked for only where the text can be a secret of it, and where it lists the grant type or a
// dialect may do without that, so that a person of the same name is not taken for one who guesses at a secret. Whether it may come
// this way is the policy's to say.
func (s *Server) machine(ctx context.Context, peer netip.Addr, username, password string) (*client, error) {
	app, err := s.application(username)
	if app == nil || err != nil || !contains(app.GrantTypes, grantPassword) && policies.Dialect(ctx) == "" {
		return nil, err
	}
	chosen := func(secret storage.Secret) bool { return !strings.HasPrefix(secret.Verifier, madeVerifier) }
	if !strings.HasPrefix(password, madeSecret) && !slices.ContainsFunc(app.Secrets, chosen) {
		return nil, nil
	}
	id, ok, err := s.secrets.Verify(ctx, peer, app.ID, app, password)
	if err != nil {
		return nil, fmt.Errorf("verify secret: %w", err)
	}
	at := slices.IndexFunc(app.Secrets, func(secret storage.Secret) bool { return secret.ID == id })
	if !ok || at < 0 {
		return nil, nil
	}
	subject, err := s.directory.Subject(ctx, typeApplication, app.ID)
	if err != nil {
		return nil, fmt.Errorf("facts of application %s: %w", app.ID, err)
	}
	return &client{app: app, subject: subject, secret: &app.Secrets[at]}, nil
}

// resourceOwner finds the user whose password fosite has checked, and gives the session an id. A user who is gone since
// then looks like a wrong password. An application gets what it would get by client_credentials.
func (s *Server) resourceOwner(ctx context.Context, i *issue) error {
	if machine := i.session.machine; machine != nil {
		for _, audience := range i.requester.GetRequestedAudience() {
			if !contains(machine.GetAudience(), audience) {
				return refusal(codeInvalidTarget)
			}
		}
		i.client, i.subject = machine, machine.subject // its own token, without a session
		return nil
	}
	id := i.session.GetSubject()
	subject, err := s.directory.Subject(ctx, typeUser, id)
	if err != nil {
		return fmt.Errorf("facts of user %s: %w", id, err)
	}
	if !subject.Facts.Identity().Exists || subject.ID != id {
		return refusal(codeInvalidGrant)
	}
	i.subject = subject
	i.sid, err = s.randomID()
	return err
}
