package identity

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/writ-authz/writ/policies"
	"github.com/writ-authz/writ/storage"
)

// Sealer encrypts what must be readable again; *seal.Sealer is one.
type Sealer interface {
	Seal(plain []byte, associated string) ([]byte, error)
	Open(sealed []byte, associated string) ([]byte, error)
	// Derive returns a key for one purpose, the same on every node.
	Derive(purpose string) []byte
}

// PDP is what this room asks of the policy set beside decisions, which enforce takes.
type PDP interface {
	// Decide answers the questions that a review puts about others.
	Decide(ctx context.Context, q *policies.Question) (policies.Decision, error)
	Catalogue() *policies.Catalogue
	Describe() policies.Description
	// Explain says what would be answered to a question that nobody asked.
	Explain(ctx context.Context, q *policies.Question) (policies.Decision, error)
	// Rows says what the caller of a list sees of it.
	Rows(ctx context.Context, d policies.Decision) (*policies.Rows, error)
}

// Sessions ends sessions; oauth gives it.
type Sessions interface {
	EndSession(ctx context.Context, sid string, by storage.SessionEnd) error
	// EndSessions ends every session of a subject but the one named except, which may be empty, and returns how many.
	EndSessions(ctx context.Context, subject, except string, by storage.SessionEnd) (int, error)
}

// Feed tells how current the mirror is; *storage.Follower is one.
type Feed interface {
	CatchUp(ctx context.Context) error
	Sequence() int64
	Age() time.Duration
}

// Config is what a Room is made of.
type Config struct {
	Store  storage.Store
	Sealer Sealer
	PDP    PDP
	Now    func() time.Time
	// Rand is the source of secrets, salts and ids.
	Rand   io.Reader
	Logger *slog.Logger
	// Node names this process in the audit chain.
	Node string
	// Audiences are the two of Writ's own, which an application without audiences has.
	Audiences []string
	// Fresh says whether the mirror may serve; nil means: while the feed is younger than MaxStaleness.
	Fresh func() error
	// MaxStaleness is used without Fresh; 0 means 5 s.
	MaxStaleness time.Duration
	// PasswordMinimum is the least number of characters of a password; 0 means 12.
	PasswordMinimum int
	// Breaches are passwords that nobody may choose, because they have leaked; nil is none.
	Breaches Breaches
	// Hashed is told what each slow hash took; nil is nobody.
	Hashed func(time.Duration)
	// HashProcess starts a process that runs [ServeHashes], with which it connects; nil is to hash in this one. The room closes what it
	// returns, after a while without work too, and starts the next when there is some.
	HashProcess func() (io.ReadWriteCloser, error)
	// TemporaryPasswordLife is how long a temporary password may be used to log in; 0 means 24 h.
	TemporaryPasswordLife time.Duration
	// MaxTokenLifetime caps an application's token_lifetime; 0 means 24 h.
	MaxTokenLifetime time.Duration
	// Local says that the issuer is a loopback address: then an application's jwks_uri may be one, too.
	Local bool
	// AuditTimeout bounds the write of one audit entry; 0 means 2 s.
	AuditTimeout time.Duration
	// Anchor is told of each checkpoint of the audit, outside the store; nil is nobody.
	Anchor Anchor
	// CheckpointEntries is how many audit entries of this node are followed by a checkpoint at once; 0 means 1,000.
	CheckpointEntries int
	// HashOnly keeps no sealed copy of any secret: none can be read again.
	HashOnly bool
	// UserCache is how many users are kept in memory; 0 means 20,000.
	UserCache int
	// Policies is what managed policies are brought into; nil leaves what is stored of them alone.
	Policies PolicySets
	// Replay tells what a candidate would have answered otherwise to what was asked lately; nil tells nothing.
	Replay func(ctx context.Context, candidate *policies.Candidate) (policies.Impact, error)
	// NewlyAllowed is how many decisions of those an activation may turn from denied to allowed without being acknowledged.
	NewlyAllowed int64
}

func (c *Config) complete() error {
	switch {
	case c.Store == nil:
		return errors.New("a store is needed")
	case c.Sealer == nil:
		return errors.New("a sealer is needed")
	case c.PDP == nil:
		return errors.New("a policy decision point is needed")
	case c.Now == nil || c.Rand == nil || c.Logger == nil:
		return errors.New("a clock, a random source and a logger are needed")
	case c.Node == "":
		return errors.New("a node name is needed")
	case len(c.Audiences) == 0:
		return errors.New("the default audiences are needed")
	}
	c.MaxStaleness = orElse(c.MaxStaleness, 5*time.Second)
	c.PasswordMinimum = orElse(c.PasswordMinimum, 12)
	c.TemporaryPasswordLife = orElse(c.TemporaryPasswordLife, 24*time.Hour)
	c.MaxTokenLifetime = orElse(c.MaxTokenLifetime, 24*time.Hour)
	c.AuditTimeout = orElse(c.AuditTimeout, auditTimeout)
	c.CheckpointEntries = orElse(c.CheckpointEntries, 1000)
	c.UserCache = orElse(c.UserCache, 20_000)
	return nil
}

func orElse[T comparable](value, fallback T) T {
	var zero T
	if value == zero {
		return fallback
	}
	return value
}

// Room is the identity room of one node. It is safe for concurrent use.
type Room struct {
	config    Config
	store     storage.Store
	directory *directory
	passwords *hasher
	words     wordlist
	secrets   *secrets
	audit     *audit
	cursors   cursors
	reveals   *pace
	revealed  tally
	// people and machines slow down guessing at passwords and at secrets.
	people, machines *throttle
	logins           *logins
	sets             *policySets
	// rehashing is held while a verifier is made stronger, background counts what goes on beside requests.
	rehashing  sync.Mutex
	background sync.WaitGroup

	mu       sync.RWMutex
	feed     Feed
	sessions Sessions
	keys     Keys
}

// Open loads the mirror and returns a room that serves. It follows the change feed by itself until Join.
func Open(ctx context.Context, c Config) (*Room, error) {
	if err := c.complete(); err != nil {
		return nil, fmt.Errorf("open identity: %w", err)
	}
	hasher, err := newHasher(c)
	if err != nil {
		return nil, fmt.Errorf("open identity: %w", err)
	}
	r := &Room{
		config:    c,
		store:     c.Store,
		directory: newDirectory(c.Store, c.Audiences, c.UserCache),
		passwords: hasher,
		words:     newWordlist(),
		cursors:   cursors{key: c.Sealer.Derive("identity/cursor")},
		reveals:   newPace(revealsPerMinute, time.Minute),
		sessions:  noSessions{},
		keys:      noKeys{},
		people:    newThrottle("people", c.Now, c.Sealer.Derive("identity/throttle/people"), true),
		machines:  newThrottle("machines", c.Now, c.Sealer.Derive("identity/throttle/machines"), false),
		sets:      newPolicySets(c),
	}
	if r.secrets, err = newSecrets(c, hasher); err != nil {
		return nil, fmt.Errorf("open identity: %w", err)
	}
	sequence, err := r.directory.load(ctx)
	if err != nil {
		return nil, fmt.Errorf("load the directory: %w", err)
	}
	for _, t := range []*throttle{r.people, r.machines} {
		if err := t.load(ctx, c.Store); err != nil {
			return nil, fmt.Errorf("load the counts of failed attempts: %w", err)
		}
	}
	if r.audit, err = newAudit(ctx, c, sequence); err != nil {
		return nil, fmt.Errorf("open the audit chain: %w", err)
	}
	r.logins = newLogins(r.audit, c.Store, c.Now, c.Logger)
	r.feed = storage.Follow(c.Store, c.Now, sequence, r)
	return r, nil
}

// Join gives the room the node's follower, to which the room must be subscribed, and the port by which sessions end.
func (r *Room) Join(feed Feed, sessions Sessions) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.feed, r.sessions = feed, sessions
}

// Calibrate measures what a password hash takes, and sets by it how many may wait for one. Until then few may.
func (r *Room) Calibrate(ctx context.Context) error {
	return r.passwords.calibrate(ctx, r.config.Logger)
}

// Run merges the counts of failed attempts with those of other nodes, once a second until ctx is done, and then once more.
func (r *Room) Run(ctx context.Context) {
	ticker := time.NewTicker(mergeEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), mergeEvery)
			defer cancel()
			r.MergeGuesses(limited)
			return
		case <-ticker.C:
		}
		r.MergeGuesses(ctx)
	}
}

// MergeGuesses writes down the failed attempts that were counted since the last time, and takes in those of other nodes at the same
// names. What cannot be written stays for the next time: it is needed most during the flood that it counts.
func (r *Room) MergeGuesses(ctx context.Context) {
	for _, t := range []*throttle{r.people, r.machines} {
		if err := t.merge(ctx, r.store); err != nil && ctx.Err() == nil {
			r.config.Logger.WarnContext(ctx, "failed attempts were not written down", "of", t.title, "error", err)
		}
	}
}

// Close waits for what is still to be written down.
func (r *Room) Close() {
	r.secrets.wait()
	r.background.Wait()
	r.logins.wait()
	r.passwords.elsewhere.close()
}

// TellMissing writes down, once nobody asks for anything any more, how many logins and refusals the audit does not have.
func (r *Room) TellMissing(ctx context.Context) error {
	return errors.Join(r.logins.tellMissing(ctx), r.audit.tellRefusals(ctx, true))
}

// Sequence is the authority sequence of the mirror as it was loaded or last followed.
func (r *Room) Sequence() int64 { return r.follower().Sequence() }

func (r *Room) follower() Feed {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.feed
}

func (r *Room) ender() Sessions {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.sessions
}

// noSessions stands in until Join.
type noSessions struct{}

func (noSessions) EndSession(context.Context, string, storage.SessionEnd) error {
	return fmt.Errorf("no session store is joined: %w", storage.ErrUnavailable)
}

func (noSessions) EndSessions(context.Context, string, string, storage.SessionEnd) (int, error) {
	return 0, fmt.Errorf("no session store is joined: %w", storage.ErrUnavailable)
}
