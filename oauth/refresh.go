package oauth

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/ory/fosite"

	"github.com/writ-authz/writ/policies"
	"github.com/writ-authz/writ/policies/enforce"
	"github.com/writ-authz/writ/storage"
)

// A refresh token is
//
//	writ_rt_<key id>.<base64url(session id, 32 random bytes)>.<base64url(HMAC of the middle part)>
//
// so it names its session, and one that this server did not make costs no read (F-30). The store has only hashes of it.
const (
	refreshPrefix = "writ_rt_"
	sidSize       = 16
	refreshRandom = 32
	// maxRefresh is the longest text that is looked at.
	maxRefresh = 256
)

// family is the session of a refresh token on its way through a token request.
type family struct {
	record    *storage.Session
	presented string
	// successor is what the presented token was exchanged for a moment ago, if this is a retry; empty otherwise.
	successor string
}

// resume finds the session that a refresh token goes on with: MAC, read, client, state, in this order, so that a forged token costs
// no read and a token in the wrong hands does its owner no harm (F-16). What is wrong with the token is invalid_grant; a token that
// was exchanged already, and is no retry, ends the session.
func (s *Server) resume(ctx context.Context, i *issue, raw string) error {
	if raw == "" {
		return refusalOf(codeInvalidRequest, "The parameter refresh_token is missing.")
	}
	f, err := s.familyOf(ctx, raw)
	if err != nil {
		return refuseDead(err)
	}
	if string(f.record.Client) != i.client.app.ID {
		return refusal(codeInvalidGrant)
	}
	subject, err := s.bearerOf(ctx, f.record, i.client.app)
	if err != nil {
		return refuseDead(err)
	}
	if err := s.place(f); err != nil {
		if errors.Is(err, errReused) {
			return s.endReused(ctx, i, f.record)
		}
		return refuseDead(err)
	}
	i.family, i.sid, i.subject, i.tenant = f, f.record.ID, subject, string(f.record.Tenant)
	if i.tenant != "" && !s.directory.TenantEnabled(i.tenant) {
		return refusal(codeInvalidGrant)
	}
	return nil
}

// refuseDead says invalid_grant of a token that is dead; an outage stays one.
func refuseDead(err error) error {
	if errors.Is(err, enforce.ErrUnauthenticated) {
		return refusal(codeInvalidGrant)
	}
	return err
}

// familyOf reads the session that a genuine refresh token names, if it lives; otherwise it returns errDead.
func (s *Server) familyOf(ctx context.Context, raw string) (*family, error) {
	sid, ok := s.refreshSID(raw)
	if !ok {
		return nil, errDead
	}
	record, err := storage.Get[storage.Session](ctx, s.store, sid)
	if errors.Is(err, storage.ErrNotFound) || (err == nil && record.EndedAt != nil) {
		return nil, errDead
	}
	if err != nil {
		return nil, fmt.Errorf("session of the refresh token: %w", err)
	}
	return &family{record: record, presented: raw}, nil
}

// bearerOf returns the subject of a session whose epochs nothing has raised since the login; otherwise it returns errDead. Whether
// the subject is usable is not asked.
func (s *Server) bearerOf(ctx context.Context, record *storage.Session, app *storage.Application) (*enforce.Subject, error) {
	subject, err := s.directory.Subject(ctx, typeUser, record.Subject)
	if err != nil {
		return nil, fmt.Errorf("facts of user %s: %w", record.Subject, err)
	}
	since := epochs{Global: record.Since.Global, Application: record.Since.Application, Identity: record.Since.Identity}
	current := epochs{Global: s.directory.GlobalEpoch(), Application: app.Epoch, Identity: subject.Epoch}
	if subject.ID != record.Subject || !subject.Facts.Identity().Exists || !since.reaches(current) {
		return nil, errDead
	}
	return subject, nil
}

// errReused says that a refresh token was exchanged already and that this is no retry.
var errReused = fmt.Errorf("%w: the refresh token was used before", errDead)

// place finds where a token stands in its family: it is the head, or the one before it while the grace is open and its successor was
// not used, which then is the successor again. Anything else that this server signed is errReused.
func (s *Server) place(f *family) error {
	record, hash := f.record, hashRefresh(f.presented)
	switch {
	case record.Head == hash:
		return nil
	case record.Prev != hash || len(record.SealedSuccessor) == 0 || record.PrevUsedAt == nil,
		!s.now().Before(record.PrevUsedAt.Add(s.grace)):
		return errReused
	}
	plain, err := s.sealer.Open(record.SealedSuccessor, sealedAsSuccessor(record))
	if err != nil {
		return fmt.Errorf("successor of session %s: %w", record.ID, err)
	}
	if f.successor = string(plain); hashRefresh(f.successor) != record.Head {
		return fmt.Errorf("successor of session %s: it is not the head", record.ID)
	}
	return nil
}

// endReused ends a session whose refresh token was used twice: one of the two users is a thief, and nobody knows which
// (RFC 9700, section 4.14).
func (s *Server) endReused(ctx context.Context, i *issue, record *storage.Session) error {
	done, err := s.auditor.Intent(ctx, storage.AuditEntry{
		Actor: typeApplication + ":" + i.client.app.ID, OnBehalf: onBehalf(record.Subject), Action: "tokens:reuse",
		Target: "sessions/" + record.ID, RequestID: i.request.ID,
	})
	if err != nil {
		return fmt.Errorf("audit: %w: %w", storage.ErrUnavailable, err)
	}
	if err := s.EndSession(ctx, record.ID, storage.EndReuse); err != nil && !errors.Is(err, ErrNoSession) {
		return errors.Join(err, done(ctx, "failed", "not ended"))
	}
	if err := done(ctx, "ok", "the refresh token was used before; the session is ended"); err != nil {
		return fmt.Errorf("audit: %w: %w", storage.ErrUnavailable, err)
	}
	return refusal(codeInvalidGrant)
}

// refreshSession returns the live session that a refresh token names, if the token is its head, or the one before it inside an open
// grace. A dead one is errDead; other errors say that it cannot be told now. It changes nothing.
func (s *Server) refreshSession(ctx context.Context, raw string) (*storage.Session, error) {
	if err := s.directory.Fresh(); err != nil {
		return nil, fmt.Errorf("refresh token: %w", err)
	}
	f, err := s.familyOf(ctx, raw)
	if err != nil {
		return nil, err
	}
	app, err := s.application(string(f.record.Client))
	if err != nil {
		return nil, fmt.Errorf("refresh token: %w", err)
	}
	if app == nil {
		return nil, errDead
	}
	client, err := s.directory.Subject(ctx, typeApplication, app.ID)
	if err != nil {
		return nil, fmt.Errorf("facts of application %s: %w", app.ID, err)
	}
	subject, err := s.bearerOf(ctx, f.record, app)
	if err != nil {
		return nil, err
	}
	for _, side := range []*enforce.Subject{client, subject} {
		if !side.Facts.Identity().Usable(s.now(), policies.AddressAllowed) {
			return nil, errDead
		}
	}
	return f.record, s.place(f)
}

// authTime is when the session's password was given.
func (i *issue) authTime() time.Time {
	if i.family != nil {
		return i.family.record.AuthTime
	}
	return i.request.Now
}

// keepSession begins the session of a login, or goes on with that of a refresh token, and returns the refresh token that the reply
// carries, if the decision gives one. The access token is cut so that it does not outlive the session.
func (i *issue) keepSession(ctx context.Context, given *granted, wanted *bool) (string, error) {
	s := i.server
	grants := wanted != nil && *wanted && contains(i.client.app.GrantTypes, grantRefreshToken)
	if i.family == nil {
		token := ""
		if grants {
			var err error
			if token, err = s.newRefresh(i.sid); err != nil {
				return "", err
			}
		}
		return token, s.beginSession(ctx, i, given, token)
	}
	if !grants {
		return "", refusal(codeInvalidGrant) // the policy refreshes no more
	}
	token, err := s.rotate(ctx, i, given)
	if err != nil {
		return "", err
	}
	if given.lifetime = cut(given.lifetime, i.family.record.ExpiresAt, i.request.Now); given.lifetime < 1 {
		return "", refusal(codeInvalidGrant)
	}
	return token, nil
}

// rotate exchanges the head for its successor: one compare-and-swap of the session's document, outside the authority. One that is
// lost resolves anew and finds the winner's successor. A retry inside the grace writes nothing.
func (s *Server) rotate(ctx context.Context, i *issue, given *granted) (string, error) {
	f := i.family
	if f.successor != "" {
		return f.successor, nil
	}
	now := storage.Time(s.now())
	record := *f.record
	record.LastUsedAt = now
	until := earlier(now.Add(max(s.refreshLife, time.Duration(given.lifetime)*time.Second)), record.AbsoluteExpiresAt)
	if until.After(record.ExpiresAt) {
		record.ExpiresAt = until
	}
	token := f.presented
	if rotates(i.client.app) {
		var err error
		if token, err = s.newRefresh(record.ID); err != nil {
			return "", err
		}
		record.Head, record.Prev, record.PrevUsedAt, record.SealedSuccessor = hashRefresh(token), record.Head, &now, nil
		record.Generation++
		if s.grace > 0 {
			if record.SealedSuccessor, err = s.sealer.Seal([]byte(token), sealedAsSuccessor(&record)); err != nil {
				return "", fmt.Errorf("successor of session %s: %w", record.ID, err)
			}
		}
	}
	switch err := s.store.Update(ctx, &record); {
	case err == nil:
		i.family.record = &record
		return token, nil
	case errors.Is(err, storage.ErrStale):
		return s.lost(ctx, i)
	case errors.Is(err, storage.ErrNotFound):
		return "", refusal(codeInvalidGrant) // it expired meanwhile
	default:
		return "", fmt.Errorf("rotate: %w", err)
	}
}

// lost is a swap that another request won. Where tokens rotate the request resolves anew; where they do not, the winner has done what
// this one wanted, if the session still lives.
func (s *Server) lost(ctx context.Context, i *issue) (string, error) {
	if rotates(i.client.app) {
		return "", fmt.Errorf("rotate: %w", enforce.ErrRetry)
	}
	f, err := s.familyOf(ctx, i.family.presented)
	if err != nil {
		return "", refuseDead(err)
	}
	if f.record.Head != i.family.record.Head {
		return "", fmt.Errorf("rotate: %w", enforce.ErrRetry)
	}
	i.family = f
	return f.presented, nil
}

// rotates reports whether the refresh tokens of an application change with each use: unless it is said otherwise, and always for a
// public client.
func rotates(app *storage.Application) bool {
	return app.RefreshRotation == nil || *app.RefreshRotation || app.TokenEndpointAuthMethod == methodNone
}

// newRefresh makes a refresh token of a session.
func (s *Server) newRefresh(sid string) (string, error) {
	id, err := base64.RawURLEncoding.Strict().DecodeString(sid)
	if err != nil || len(id) != sidSize {
		return "", fmt.Errorf("refresh token: %q is not the id of a session", sid)
	}
	body := append(id, make([]byte, refreshRandom)...)
	if _, err := io.ReadFull(s.rand, body[sidSize:]); err != nil {
		return "", fmt.Errorf("read randomness: %w", err)
	}
	kid, sum := s.keys.current.Load().mac(body)
	return refreshPrefix + kid + "." + base64.RawURLEncoding.EncodeToString(body) + "." + base64.RawURLEncoding.EncodeToString(sum), nil
}

// refreshSID returns the session that a refresh token names, if this server made the token. It reads no store.
func (s *Server) refreshSID(raw string) (string, bool) {
	rest, ok := strings.CutPrefix(raw, refreshPrefix)
	if !ok || len(raw) > maxRefresh {
		return "", false
	}
	parts := strings.Split(rest, ".")
	if len(parts) != 3 {
		return "", false
	}
	body, bodyErr := decode(parts[1])
	sum, sumErr := decode(parts[2])
	if bodyErr != nil || sumErr != nil || len(body) != sidSize+refreshRandom || !s.keys.current.Load().check(parts[0], body, sum) {
		return "", false
	}
	return base64.RawURLEncoding.EncodeToString(body[:sidSize]), true
}

// hashRefresh is what is stored of a refresh token. It has 256 random bits, so a plain hash tells nothing.
func hashRefresh(token string) string {
	sum := sha256.Sum256([]byte(token))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// sealedAsSuccessor binds a sealed successor to its session and generation.
func sealedAsSuccessor(record *storage.Session) string {
	return "refresh-successor|" + record.ID + "|" + strconv.FormatInt(record.Generation, 10)
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// refreshGrant is fosite's refresh handler, replaced (F-15, F-16): it has nothing to judge, for what it would is done between
// fosite's two phases.
type refreshGrant struct{ strategy accessTokens }

var _ fosite.TokenEndpointHandler = refreshGrant{}

func (refreshGrant) CanSkipClientAuth(context.Context, fosite.AccessRequester) bool { return false }

func (refreshGrant) CanHandleTokenEndpointRequest(_ context.Context, request fosite.AccessRequester) bool {
	return request.GetGrantTypes().ExactOne(grantRefreshToken)
}

func (refreshGrant) HandleTokenEndpointRequest(context.Context, fosite.AccessRequester) error {
	return nil
}

// PopulateTokenEndpointResponse issues the access token.
func (r refreshGrant) PopulateTokenEndpointResponse(
	ctx context.Context, request fosite.AccessRequester, response fosite.AccessResponder,
) error {
	token, _, err := r.strategy.GenerateAccessToken(ctx, request)
	if err != nil {
		return err
	}
	response.SetAccessToken(token)
	response.SetTokenType("bearer")
	return nil
}
