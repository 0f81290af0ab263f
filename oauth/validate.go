package oauth

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/writ-authz/writ/policies"
	"github.com/writ-authz/writ/policies/enforce"
	"github.com/writ-authz/writ/storage"
)

const (
	// maxToken is the longest credential that is looked at, in bytes; it is checked before anything is split.
	maxToken = 16 << 10
	// skew is how far the clock of the node that issued a token may be ahead of this one's.
	skew = 5 * time.Second
	// verifiedLimit is how many verified tokens each of two generations remembers.
	verifiedLimit = 8192
)

// errDead is any token that is not accepted. Why is for nobody to see.
var errDead = fmt.Errorf("%w: the token is malformed, expired or revoked", enforce.ErrUnauthenticated)

// verifiedToken is a token whose signature or seal is good. Whether it lives is asked each time.
type verifiedToken struct {
	kid    string
	claims *claims
	scopes *policies.Scopes
}

// verifiedTokens remembers that signatures and seals were good, and nothing else, by the SHA-256 of the whole token. It is bounded:
// when one generation is full, the one before it is forgotten.
type verifiedTokens struct {
	mu         sync.RWMutex
	young, old map[[sha256.Size]byte]*verifiedToken
}

func (v *verifiedTokens) get(id [sha256.Size]byte) *verifiedToken {
	v.mu.RLock()
	defer v.mu.RUnlock()
	if found := v.young[id]; found != nil {
		return found
	}
	return v.old[id]
}

func (v *verifiedTokens) put(id [sha256.Size]byte, token *verifiedToken) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.young) >= verifiedLimit || v.young == nil {
		v.old, v.young = v.young, map[[sha256.Size]byte]*verifiedToken{}
	}
	v.young[id] = token
}

// genuine returns a token, of either format, that this server made for Writ's own use and that says well-formed things. It asks no clock
// and no state.
func (s *Server) genuine(raw string) (*verifiedToken, error) {
	if raw == "" || len(raw) > maxToken {
		return nil, errDead
	}
	// Whatever arrives is held to a signature or a seal before anything else is done with it, and without any read (F-30).
	key := s.keys.current.Load().tokenKey(raw)
	if key == nil {
		return nil, errDead
	}
	id := sha256.Sum256([]byte(raw))
	if found := s.verified.get(id); found != nil && found.kid == key.id() {
		return found, nil
	}
	body, err := key.open(raw)
	if err != nil {
		return nil, errDead
	}
	c, err := parseClaims(body)
	if err != nil || c.Issuer != s.issuer || c.Subject == "" || c.ClientID == "" || c.ID == "" || len(c.Audience) == 0 ||
		c.IssuedAt <= 0 || c.NotBefore <= 0 || c.ExpiresAt <= c.NotBefore {
		return nil, errDead
	}
	scopes, err := policies.NewScopes(strings.Fields(c.Scope))
	if err != nil {
		return nil, errDead
	}
	token := &verifiedToken{kid: key.id(), claims: c, scopes: scopes}
	s.verified.put(id, token)
	return token, nil
}

// inTime reports whether now lies between the token's times.
func (c *claims) inTime(now time.Time) bool {
	latest := now.Add(skew).Unix()
	return now.Unix() < c.ExpiresAt && c.NotBefore <= latest && c.IssuedAt <= latest
}

// holder returns the caller that a genuine token stands for, if nothing has ended it since: revocation, epochs, application, secret,
// user, session. It does not ask whether the token has expired; good says what is asked of the secret that the token was had with.
func (s *Server) holder(ctx context.Context, token *verifiedToken, peer netip.Addr, good secretCheck) (*enforce.Caller, error) {
	if err := s.directory.Fresh(); err != nil {
		return nil, fmt.Errorf("validate token: %w", err)
	}
	c, now := token.claims, s.now()
	if s.denied.denied(c.ID) {
		return nil, errDead
	}
	app, err := s.application(c.ClientID)
	if err != nil {
		return nil, fmt.Errorf("validate token: %w", err)
	}
	if app == nil || !secretOf(app, c.Epochs.Secret, now, good) {
		return nil, errDead
	}
	subject, err := s.directory.Subject(ctx, typeApplication, app.ID)
	if err != nil {
		return nil, fmt.Errorf("validate token: %w", err)
	}
	if !subject.Facts.Identity().Usable(now, policies.AddressAllowed) {
		return nil, errDead
	}
	current := epochs{Global: s.directory.GlobalEpoch(), Application: app.Epoch, Identity: app.Epoch}
	person := c.Subject != c.ClientID
	if person {
		if subject, err = s.directory.Subject(ctx, typeUser, c.Subject); err != nil {
			return nil, fmt.Errorf("validate token: %w", err)
		}
		// Where the user may come from is for the policy to judge.
		if subject.ID != c.Subject || !subject.Facts.Identity().Usable(now, policies.AddressAllowed) {
			return nil, errDead
		}
		current.Identity = subject.Epoch
	}
	if c.SID != "" {
		current.Session = s.ended.epoch(c.SID)
	}
	if !c.Epochs.reaches(current) {
		return nil, errDead
	}
	caller := &enforce.Caller{
		Type: subject.Type, ID: subject.ID, Facts: subject.Facts, ClientID: app.ID, SecretID: c.Epochs.Secret,
		Scoped: true, Scopes: token.scopes, Scope: c.Scope, Tenant: c.Tenant, Audiences: c.Audience, SID: c.SID, JTI: c.ID,
		ExpiresAt: time.Unix(c.ExpiresAt, 0).UTC(), UserToken: person, Public: app.TokenEndpointAuthMethod == methodNone,
		Address: peer, AddressFact: s.directory.AddressFact(subject, peer),
	}
	if c.Epochs.AuthTime > 0 {
		caller.AuthTime = time.Unix(c.Epochs.AuthTime, 0).UTC()
	}
	return caller, nil
}

// secretCheck is what is asked of the secret that a token was had with.
type secretCheck func(secret *storage.Secret, now time.Time) bool

// secretOf reports whether the secret that a token names still is one of the application's, and good. A token that names none was had
// without one.
func secretOf(app *storage.Application, id string, now time.Time, good secretCheck) bool {
	if id == "" {
		return true
	}
	at := slices.IndexFunc(app.Secrets, func(secret storage.Secret) bool { return secret.ID == id })
	return at >= 0 && good(&app.Secrets[at], now)
}

// secretLives is true of a secret that is good now.
func secretLives(secret *storage.Secret, now time.Time) bool {
	return secretKept(secret, now) && (secret.NotBefore == nil || !now.Before(*secret.NotBefore)) &&
		(secret.ExpiresAt == nil || now.Before(*secret.ExpiresAt))
}

// secretKept is true of a secret that nobody revoked. Time alone may have ended it, as it may the token.
func secretKept(secret *storage.Secret, _ time.Time) bool { return secret.RevokedAt == nil }

// live is a genuine token that has not expired and that nothing has ended, or one of an external issuer.
func (s *Server) live(ctx context.Context, raw string, peer netip.Addr) (*enforce.Caller, error) {
	token, err := s.genuine(raw)
	if errors.Is(err, enforce.ErrUnauthenticated) {
		return s.external(ctx, raw, peer)
	}
	if err != nil {
		return nil, err
	}
	if !token.claims.inTime(s.now()) {
		return nil, errDead
	}
	return s.holder(ctx, token, peer, secretLives)
}

// Token returns the caller that a live access token stands for. A dead one is enforce.ErrUnauthenticated; other errors
// say that it cannot be told now. Where the holder is, nobody knows here.
func (s *Server) Token(ctx context.Context, raw string) (*enforce.Caller, error) {
	return s.live(ctx, raw, netip.Addr{})
}

// Authenticator returns what finds the caller on an API: a bearer token, and with basic also HTTP Basic with an
// application's id and secret. Which audience the API wants (wrong_audience) and whether the application could have a token by itself
// (basic_not_accepted) are rules, and not asked here.
func (s *Server) Authenticator(basic bool) enforce.Authenticator {
	a := &authenticator{server: s, challenges: []string{bearerChallenge}, basic: basic}
	if basic {
		a.challenges = append(a.challenges, basicChallenge)
	}
	return a
}

type authenticator struct {
	server     *Server
	challenges []string
	basic      bool // is taken, too
}

// Authenticate reads the Authorization header and nothing else: a token in the query is none, and beside a header it is
// a second transport, which is 400 (RFC 6750, section 2).
func (a *authenticator) Authenticate(ctx context.Context, r *http.Request) (*enforce.Caller, error) {
	given := r.Header.Values("Authorization")
	switch {
	case len(given) > 1:
		return nil, refusalOf(codeInvalidRequest, "Send one Authorization header.")
	case len(given) == 1 && queryToken(r.URL):
		return nil, refusalOf(codeInvalidRequest, "Send the access token in the Authorization header only.")
	case len(given) == 0:
		detail := "Send an access token in the Authorization header."
		return nil, &enforce.AuthenticationError{Detail: detail, Challenges: a.challenges}
	}
	if raw, ok := scheme(given[0], "Bearer"); ok {
		caller, err := a.server.live(ctx, raw, remote(r))
		return caller, a.explain(err)
	}
	if presented, ok := parseBasic(given[0]); ok && a.basic {
		caller, err := a.server.basicCaller(ctx, presented, remote(r))
		return caller, a.explain(err)
	}
	return nil, a.unknown(codeInvalidToken, description(codeInvalidToken))
}

// explain turns a refusal into the API's own: 401 with challenges. An outage stays one.
func (a *authenticator) explain(err error) error {
	var refused *enforce.ProtocolError
	switch {
	case errors.Is(err, enforce.ErrUnauthenticated):
		return a.unknown(codeInvalidToken, description(codeInvalidToken))
	case errors.As(err, &refused) && refused.Status != http.StatusTooManyRequests:
		return a.unknown(refused.Code, refused.Detail)
	default:
		return err
	}
}

func (a *authenticator) unknown(code, detail string) error {
	challenges := slices.Clone(a.challenges)
	if code == codeInvalidToken {
		challenges[0] += `, error="invalid_token", error_description="` + detail + `"`
	}
	return &enforce.AuthenticationError{Code: code, Detail: detail, Challenges: challenges}
}

// queryToken reports whether the query names an access token (RFC 6750, section 2.3), whose value nobody reads.
func queryToken(u *url.URL) bool {
	return strings.Contains(u.RawQuery, "access_token") && u.Query().Has("access_token")
}

// basicCaller is an application that comes with its id and secret instead of a token. It counts as if it had one with all its
// registered scopes and its audiences.
func (s *Server) basicCaller(ctx context.Context, presented credentials, peer netip.Addr) (*enforce.Caller, error) {
	if err := s.directory.Fresh(); err != nil {
		return nil, fmt.Errorf("authenticate: %w", err)
	}
	presented.peer = peer
	found, err := s.verifyClient(ctx, presented)
	if err != nil {
		return nil, err
	}
	identity := found.subject.Facts.Identity()
	caller := &enforce.Caller{
		Type: typeApplication, ID: found.app.ID, Facts: found.subject.Facts, ClientID: found.app.ID, SecretID: found.secret.ID,
		Scope: strings.Join(found.app.Scopes, " "), Tenant: identity.Tenant, Audiences: identity.Audiences, Basic: true,
		Address: peer, AddressFact: s.directory.AddressFact(found.subject, peer),
	}
	if found.app.Scopes != nil {
		if caller.Scopes, err = policies.NewScopes(found.app.Scopes); err != nil {
			return nil, fmt.Errorf("scopes of application %s: %w", found.app.ID, err)
		}
		caller.Scoped = true
	}
	return caller, nil
}
