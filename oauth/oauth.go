package oauth

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/ory/fosite"

	"github.com/writ-authz/writ/policies"
	"github.com/writ-authz/writ/policies/enforce"
	"github.com/writ-authz/writ/storage"
)

// Defaults of Config.
const (
	DefaultAccessTokenLifetime = time.Hour
	// DefaultRefreshTokenLifetime is how long a session lasts that is not used.
	DefaultRefreshTokenLifetime = 24 * time.Hour
	// DefaultSessionLifetime is how long a session lasts at most.
	DefaultSessionLifetime = 30 * 24 * time.Hour
	// DefaultRefreshGrace is what cmd/writ sets where nothing is said.
	DefaultRefreshGrace = 10 * time.Second
	// MaxRefreshGrace caps the grace: for so long a stolen refresh token may be used beside its owner.
	MaxRefreshGrace = 5 * time.Minute
	// DefaultAssertionMaxAge is how far off the end of a client assertion may be, and how long ago it was made.
	DefaultAssertionMaxAge = 5 * time.Minute
	// MaxAssertionMaxAge caps what may be configured.
	MaxAssertionMaxAge = time.Hour
	// MaxAccessTokenLifetime caps what an application or a policy may ask for.
	MaxAccessTokenLifetime = 24 * time.Hour
)

// Subject types of the ports.
const (
	typeUser        = "user"
	typeApplication = "application"
)

// Directory gives facts about identities from memory. The applications among them must be had without touching the store.
type Directory interface {
	enforce.Directory
	// Application returns the mirrored record, which must not be modified, or storage.ErrNotFound.
	Application(id string) (*storage.Application, error)
	// TenantEnabled says whether there is a tenant of this id and it is enabled.
	TenantEnabled(id string) bool
	// AudienceDown says whether applications serve this audience and none of them is usable at now. It must not touch the store.
	AudienceDown(audience string, now time.Time) bool
	// GlobalEpoch is the epoch below which every token is dead.
	GlobalEpoch() int64
	// Fresh returns nil, or an error that wraps storage.ErrUnavailable when the mirror is older than the staleness bound.
	Fresh() error
}

// Passwords checks people's passwords.
type Passwords interface {
	// Check returns the id of the user whose username and password these are, and the user's epoch as it was when the verifier
	// was read: a password that is changed while its hash is computed must not yield a live token. It must return
	// storage.ErrNotFound alike, after equal work, for an unknown user, a wrong password, and a user who is suspended or outside
	// the window; storage.ErrUnavailable when it cannot tell now. It may slow down guessing from peer: an *enforce.ProtocolError
	// of status 429, alike for all of these.
	Check(ctx context.Context, peer netip.Addr, username, password string) (userID string, epoch int64, err error)
}

// Secrets verifies applications' secrets.
type Secrets interface {
	// Verify reports which of the application's secrets was presented: one that is neither revoked nor outside its
	// window. A nil application is an unknown id and must cost the same work. An error says that it cannot tell now, or is an
	// *enforce.ProtocolError of status 429 where guessing at client, the id that was presented, is slowed down for peer.
	Verify(ctx context.Context, peer netip.Addr, client string, app *storage.Application, presented string) (secretID string, ok bool, err error)
}

// Auditor records what is done around the doing.
type Auditor interface {
	// Intent must be durable before it returns; without it nothing may be done. done records the outcome ("ok", "refused" or
	// "failed") and must be called once.
	Intent(ctx context.Context, entry storage.AuditEntry) (done func(ctx context.Context, outcome, reason string) error, err error)
}

// Sealer encrypts what must not lie in the store in the clear. The associated text must be the same on both sides.
type Sealer interface {
	Seal(plain []byte, associated string) ([]byte, error)
	Open(sealed []byte, associated string) ([]byte, error)
}

// Store is what this package needs of a storage.Store.
type Store interface {
	storage.Reader
	storage.Writer
	Txn(ctx context.Context, fn func(ctx context.Context, tx storage.Tx) error) error
}

// Catalogue gives the catalogue of the active policy snapshot; *policies.PDP is the one that serves.
type Catalogue interface {
	Catalogue() *policies.Catalogue
}

// Config is what Open needs. All fields without a stated default are required.
type Config struct {
	// Issuer is the absolute URL that tokens name as their origin: no query, no fragment, no trailing slash.
	Issuer    string
	Store     Store
	Sealer    Sealer
	Directory Directory
	Passwords Passwords
	Secrets   Secrets
	Auditor   Auditor
	PDP       Catalogue
	Now       func() time.Time
	// Rand is the source of token ids, session ids and keys; nil is crypto/rand.
	Rand   io.Reader
	Logger *slog.Logger
	// AccessTokenLifetime applies where an application names none; 0 is DefaultAccessTokenLifetime.
	AccessTokenLifetime time.Duration
	// RefreshTokenLifetime is how long a session from a password login lasts after its last use; 0 is DefaultRefreshTokenLifetime.
	RefreshTokenLifetime time.Duration
	// SessionLifetime is how long a session lasts however much it is used; 0 is DefaultSessionLifetime.
	SessionLifetime time.Duration
	// RefreshGrace is how long a refresh token that was exchanged still gives the same successor; 0 is no grace: every second use
	// is a reuse.
	RefreshGrace time.Duration
	// AssertionAudienceTokenEndpoint takes client assertions whose audience is the token endpoint, beside those for the issuer: what
	// RFC 7523 said before draft-ietf-oauth-rfc7523bis. False is the issuer only.
	AssertionAudienceTokenEndpoint bool
	// AssertionMaxAge is how far off the end of a client assertion may be, and how long ago it was made; 0 is DefaultAssertionMaxAge.
	AssertionMaxAge time.Duration
	// KeyRotation is how long a key signs before the next one does; 0 means until somebody rotates. At least MinKeyRotation.
	KeyRotation time.Duration
	// ExternalIssuers are other authorization servers whose access tokens the APIs take; nil is none.
	ExternalIssuers []ExternalIssuer
	// FetchPrivate lets documents of other servers be fetched from private networks.
	FetchPrivate bool
}

// Server is the authorization server of one node.
type Server struct {
	issuer      string
	origin      string // scheme and host of the issuer, where the routes are
	issuerPath  string // path of the issuer, empty or with a leading slash
	store       Store
	directory   Directory
	passwords   Passwords
	secrets     Secrets
	auditor     Auditor
	pdp         Catalogue
	now         func() time.Time
	rand        io.Reader
	logger      *slog.Logger
	lifetime    time.Duration
	refreshLife time.Duration
	sessionLife time.Duration
	grace       time.Duration
	sealer      Sealer
	// assertionAudiences are those that a client assertion may be for.
	assertionAudiences []string
	assertionAge       time.Duration

	keys      *keys
	ended     endedSessions
	heard     heard
	denied    deniedTokens
	verified  verifiedTokens
	held      heldRights
	fetcher   *fetcher
	externals *externals
	provider  *fosite.Fosite
	metadata  document
}

// Open loads the keys of the four rings, making the first ones where there are none, the ended sessions and the revoked tokens. It refuses a
// configuration with anything missing.
func Open(ctx context.Context, c Config) (*Server, error) {
	issuer, err := parseIssuer(c.Issuer)
	if err != nil {
		return nil, err
	}
	for name, missing := range map[string]bool{
		"Store": c.Store == nil, "Sealer": c.Sealer == nil, "Directory": c.Directory == nil, "Passwords": c.Passwords == nil,
		"Secrets": c.Secrets == nil, "Auditor": c.Auditor == nil, "PDP": c.PDP == nil, "Now": c.Now == nil,
		"Logger": c.Logger == nil,
	} {
		if missing {
			return nil, fmt.Errorf("open oauth: Config.%s is missing", name)
		}
	}
	if c.Rand == nil {
		c.Rand = rand.Reader
	}
	if c.AccessTokenLifetime == 0 {
		c.AccessTokenLifetime = DefaultAccessTokenLifetime
	}
	if c.SessionLifetime == 0 {
		c.SessionLifetime = DefaultSessionLifetime
	}
	if c.RefreshTokenLifetime == 0 {
		c.RefreshTokenLifetime = DefaultRefreshTokenLifetime
	}
	if c.RefreshTokenLifetime < time.Second || c.SessionLifetime < c.RefreshTokenLifetime {
		return nil, errors.New("open oauth: the refresh token lifetime must lie between 1s and the session lifetime")
	}
	if c.RefreshGrace < 0 || c.RefreshGrace > MaxRefreshGrace {
		return nil, fmt.Errorf("open oauth: the refresh grace must lie between 0s and %s", MaxRefreshGrace)
	}
	if c.AssertionMaxAge == 0 {
		c.AssertionMaxAge = DefaultAssertionMaxAge
	}
	if c.AssertionMaxAge < time.Second || c.AssertionMaxAge > MaxAssertionMaxAge {
		return nil, fmt.Errorf("open oauth: the age of client assertions must lie between 1s and %s", MaxAssertionMaxAge)
	}
	if c.KeyRotation != 0 && c.KeyRotation < MinKeyRotation {
		return nil, fmt.Errorf("open oauth: the key rotation must be 0s or at least %s", MinKeyRotation)
	}
	if c.AccessTokenLifetime < time.Second || c.AccessTokenLifetime > MaxAccessTokenLifetime {
		return nil, fmt.Errorf("open oauth: the access token lifetime must lie between 1s and %s", MaxAccessTokenLifetime)
	}
	if err := CheckExternalIssuers(c.Issuer, c.ExternalIssuers); err != nil {
		return nil, fmt.Errorf("open oauth: external issuers: %w", err)
	}
	s := &Server{
		issuer: c.Issuer, origin: issuer.Scheme + "://" + issuer.Host, issuerPath: issuer.EscapedPath(),
		store: c.Store, directory: c.Directory, passwords: c.Passwords, secrets: c.Secrets, auditor: c.Auditor, pdp: c.PDP,
		now: c.Now, rand: c.Rand, logger: c.Logger, lifetime: c.AccessTokenLifetime,
		refreshLife: c.RefreshTokenLifetime, sessionLife: c.SessionLifetime, grace: c.RefreshGrace, sealer: c.Sealer,
	}
	s.assertionAudiences, s.assertionAge = []string{s.issuer}, c.AssertionMaxAge
	if c.AssertionAudienceTokenEndpoint {
		s.assertionAudiences = append(s.assertionAudiences, s.origin+tokenPath)
	}
	s.fetcher = newFetcher(c.Now, c.Logger, c.FetchPrivate)
	s.externals = newExternals(c.Now, s.fetcher, c.ExternalIssuers)
	s.keys = &keys{
		store: c.Store, sealer: c.Sealer, auditor: c.Auditor, now: c.Now, rand: c.Rand, making: make(chan struct{}, 1),
		loading: make(chan struct{}, 1),
		life:    keyLife{rotation: c.KeyRotation, tokens: MaxAccessTokenLifetime, sessions: c.SessionLifetime},
	}
	if err := s.keys.open(ctx); err != nil {
		return nil, fmt.Errorf("open oauth: %w", err)
	}
	if err := s.listen(ctx); err != nil {
		return nil, fmt.Errorf("open oauth: %w", err)
	}
	if err := s.loadEnded(ctx); err != nil {
		return nil, fmt.Errorf("open oauth: %w", err)
	}
	if err := s.loadDenied(ctx); err != nil {
		return nil, fmt.Errorf("open oauth: %w", err)
	}
	if s.metadata, err = s.describe(); err != nil {
		return nil, fmt.Errorf("open oauth: %w", err)
	}
	if s.provider, err = s.newProvider(); err != nil {
		return nil, fmt.Errorf("open oauth: %w", err)
	}
	if err := s.openExternals(ctx); err != nil {
		return nil, fmt.Errorf("open oauth: %w", err)
	}
	s.tellKeys(ctx)
	return s, nil
}

func (s *Server) tellKeys(ctx context.Context) {
	s.logger.InfoContext(ctx, "signing keys loaded", "active", s.keys.current.Load().kids())
}

var _ storage.Subscriber = (*Server)(nil)

// Apply follows the change feed: keys are read anew, and what was remembered of a changed application is dropped.
func (s *Server) Apply(ctx context.Context, r storage.Reader, change storage.Change) error {
	reload := false
	for _, item := range change.Items {
		switch item.Kind {
		case storage.KeyKind.Name:
			reload = true
		case storage.ApplicationKind.Name:
			s.held.drop(item.ID)
		}
	}
	if !reload {
		return nil
	}
	before := s.keys.current.Load()
	if err := s.keys.load(ctx, r); err != nil {
		return err
	}
	if now := s.keys.current.Load(); !maps.Equal(now.active, before.active) || now.jwks.etag != before.jwks.etag {
		s.tellKeys(ctx)
	}
	return nil
}

// parseIssuer holds the issuer to RFC 8414, section 2. Plain http is judged by cmd/writ, which knows the listener.
func parseIssuer(issuer string) (*url.URL, error) {
	parsed, err := url.Parse(issuer)
	if err != nil || parsed.Host == "" || (parsed.Scheme != "https" && parsed.Scheme != "http") || parsed.User != nil ||
		parsed.RawQuery != "" || parsed.ForceQuery || parsed.Fragment != "" || strings.HasSuffix(issuer, "/") {
		return nil, errors.New("the issuer must be an http or https URL without user, query, fragment and trailing slash, " +
			"such as https://auth.example.com")
	}
	return parsed, nil
}

// randomID returns 128 random bits as text.
func (s *Server) randomID() (string, error) {
	var raw [16]byte
	if _, err := io.ReadFull(s.rand, raw[:]); err != nil {
		return "", fmt.Errorf("read randomness: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(raw[:]), nil
}

// remote is the peer's address, or the zero address where it cannot be told. Forwarded headers are cmd/writ's business.
func remote(r *http.Request) netip.Addr {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return peer.Addr().Unmap()
}
