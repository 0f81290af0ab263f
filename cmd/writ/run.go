package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/writ-authz/writ/identity"
	"github.com/writ-authz/writ/oauth"
	"github.com/writ-authz/writ/policies"
	"github.com/writ-authz/writ/policies/decide"
	"github.com/writ-authz/writ/policies/enforce"
	"github.com/writ-authz/writ/storage"
	"github.com/writ-authz/writ/storage/mongo"
	"github.com/writ-authz/writ/storage/seal"
	"github.com/writ-authz/writ/storage/sqlite"
)

// node is one server, wired and not yet listening.
type node struct {
	config    *Config
	logger    *slog.Logger
	now       func() time.Time
	metrics   *metrics
	traces    *traces // nil where none are wanted
	pdp       *policies.PDP
	decisions *policies.Log
	recent    *policies.Recent
	store     storage.Store
	breaker   *storage.Breaker // in front of a store that can be away; nil on the embedded one
	room      *identity.Room
	auth      *oauth.Server
	api       *decide.API
	follower  *storage.Follower
	auditKey  ed25519.PublicKey
	gate      *gate
	warm      warm
	gaveWay   atomic.Int64 // connections that were closed because there were too many
	accepting atomic.Bool
	closers   []closer
}

// closer ends one part; parts are closed in the reverse order of their opening.
type closer struct {
	name  string
	close func(context.Context) error
}

// openNode builds a node, each part from the ones before it. Any error is fatal, and what was opened by then is closed.
func (c *cli) openNode(ctx context.Context, config *Config, logger *slog.Logger) (_ *node, err error) {
	now := c.now
	n := &node{config: config, logger: logger, now: now, metrics: newMetrics(), gate: newGate(config.OverloadQueue, now, logger)}
	defer func() {
		if err != nil {
			n.close(context.WithoutCancel(ctx))
		}
	}()
	if err = n.openTraces(ctx); err != nil {
		return nil, err
	}
	keys, err := openPolicyKeys(config.PolicyKeysFile)
	if err != nil {
		return nil, err
	}
	if n.pdp, err = policies.Open(ctx, policies.Config{
		Dir: config.Policies, CoreDir: config.PoliciesCore, Now: now, Deadline: config.PolicyDeadline, Logger: logger, Keys: keys,
		Audiences: map[string][]string{
			policies.PlaneRuntime:    {config.Issuer + "/" + policies.PlaneRuntime},
			policies.PlaneManagement: {config.Issuer + "/" + policies.PlaneManagement},
		},
	}); err != nil {
		return nil, fmt.Errorf("policies: %w", uncompiled(err))
	}
	if err = n.openDecisionLog(c.stdout, c.stderr); err != nil {
		return nil, err
	}
	if n.store, err = openStore(ctx, config, now, func(text string) { logger.Warn(text) }); err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	if remote, can := n.store.(storage.Remote); can {
		n.breaker = n.guardStore(ctx, remote)
		n.store = n.breaker
	}
	if n.traces != nil {
		n.store = tracedStore{n.store, n.traces}
	}
	n.closers = append(n.closers, closer{"store", func(context.Context) error { return n.store.Close() }})
	if err = config.whole(ctx, n.store); err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	sealer, err := openSealer(ctx, n.store, config)
	if err != nil {
		return nil, err
	}
	breaches, err := n.openBreaches()
	if err != nil {
		return nil, err
	}
	anchor, err := n.openAnchor()
	if err != nil {
		return nil, err
	}
	if n.room, err = identity.Open(ctx, identity.Config{
		Store: n.store, Sealer: sealer, PDP: n.pdp, Now: now, Rand: rand.Reader, Logger: logger, Node: uuid.NewString(),
		Audiences:    []string{config.Issuer + "/" + policies.PlaneRuntime, config.Issuer + "/" + policies.PlaneManagement},
		MaxStaleness: config.MaxStaleness, PasswordMinimum: config.PasswordMinimum,
		TemporaryPasswordLife: config.TemporaryPasswordLifetime, Breaches: breaches, Hashed: n.metrics.hashed, HashProcess: c.hashProcess,
		Local: localIssuer(config.Issuer), Anchor: anchor, CheckpointEntries: config.AuditCheckpointEntries,
		HashOnly: config.SecretsMode == "hash_only", Policies: n.managedSets(), NewlyAllowed: int64(config.PolicyNewlyAllowed),
		Replay: n.replay(),
	}); err != nil {
		return nil, fmt.Errorf("identity: %w", err)
	}
	// The last checkpoint is behind the last entry.
	n.closers = append(n.closers, closer{"identity", func(ctx context.Context) error {
		n.room.Close()
		return errors.Join(n.room.TellMissing(ctx), n.room.Checkpoint(ctx))
	}})
	if n.auth, err = oauth.Open(ctx, oauth.Config{
		Issuer: config.Issuer, Store: n.store, Sealer: sealer, Directory: n.room, Passwords: n.room, Secrets: n.room, Auditor: n.room,
		PDP: n.pdp, Now: now, Logger: logger, AccessTokenLifetime: config.AccessTokenLifetime,
		RefreshTokenLifetime: config.RefreshTokenLifetime, SessionLifetime: config.SessionLifetime, RefreshGrace: config.RefreshGrace,
		AssertionAudienceTokenEndpoint: config.AssertionAudienceTokenEndpoint, AssertionMaxAge: config.AssertionMaxAge,
		KeyRotation:     config.KeyRotation,
		ExternalIssuers: config.ExternalIssuers, FetchPrivate: config.AllowPrivateJWKS,
	}); err != nil {
		return nil, fmt.Errorf("oauth: %w", err)
	}
	n.follower = storage.Follow(n.store, now, n.room.Sequence(), n.room, n.auth)
	n.room.Join(n.follower, n.auth)
	n.room.JoinKeys(n.auth)
	if n.api, err = decide.New(decide.Config{
		BaseURL: config.Issuer, PDP: n.counted(), Documents: n.counted(), Log: n.decisions, Directory: n.room, Holders: n.room, Pages: n.room,
		Tokens: n.auth, Logger: logger,
	}); err != nil {
		return nil, err
	}
	if err = n.room.LoadPolicies(ctx); err != nil {
		return nil, managedRefused(err)
	}
	n.metrics.observe(n)
	if err = n.follower.CatchUp(ctx); err != nil {
		return nil, err
	}
	if n.auditKey, err = n.room.SignAudit(ctx); err != nil {
		return nil, err
	}
	return n, nil
}

// handlers mounts the tables of the rooms: one handler per listener, or one for both where the listeners are merged. They are what the
// dialects stand in front of.
func (n *node) handlers() (public, admin *enforce.Listener, err error) {
	problems := enforce.Plane{
		WriteError: identity.WriteProblem, WriteDenial: identity.WriteDenial, Errors: identity.Errors(), Schemes: []string{"bearer"},
	}
	runtime, management := problems, problems
	runtime.Name, runtime.Authenticator = policies.PlaneRuntime, n.auth.Authenticator(false)
	management.Name = policies.PlaneManagement
	management.Authenticator = n.auth.Authenticator(n.config.AdminBasic)
	if n.config.AdminBasic {
		management.Schemes = []string{"bearer", "basic"}
	}
	me := enforce.Group{Plane: runtime, Routes: n.room.MeRoutes()}
	publicGroups := []enforce.Group{
		{Plane: n.auth.Plane(), Routes: n.auth.Routes()},
		{Plane: n.api.Plane(runtime.Authenticator), Routes: n.api.AuthZENRoutes()},
		{Plane: runtime, Routes: n.api.Routes()},
		{Plane: n.api.ForwardPlane(problems), Routes: n.api.ForwardRoutes(runtime.Authenticator)},
		me,
	}
	records := &decide.Records{Node: uuid.NewString(), Recent: n.recent, PDP: n.pdp}
	adminGroups := []enforce.Group{{Plane: management, Routes: n.room.Routes()}, {Plane: management, Routes: records.Routes()}}
	if !n.config.merged() || n.config.AllowRevealOnPublic {
		adminGroups = append(adminGroups, enforce.Group{Plane: management, Routes: n.room.RevealRoutes()})
	}
	live := enforce.OpenRoute{Method: http.MethodGet, Path: "/livez", Handler: livez, Shape: textShape("Does the process run")}
	publicOpen := append(append([]enforce.OpenRoute{live}, n.auth.OpenRoutes()...), n.api.OpenRoutes()...)
	adminOpen := []enforce.OpenRoute{
		{Method: http.MethodGet, Path: "/readyz", Handler: n.readyz, Shape: readyShape()},
		{Method: http.MethodGet, Path: "/metrics", Handler: n.metrics.handler(), Shape: textShape("What the node counts, for Prometheus")},
	}
	if n.config.merged() {
		public, err = n.mount("public", problems, append(publicGroups, adminGroups...), append(publicOpen, adminOpen...))
		return public, nil, err
	}
	if public, err = n.mount("public", problems, publicGroups, publicOpen); err != nil {
		return nil, nil, err
	}
	me.Plane = management
	admin, err = n.mount("admin", problems, append(adminGroups, me), append(adminOpen, live))
	return public, admin, err
}

func (n *node) mount(listener string, fallback enforce.Plane, groups []enforce.Group, open []enforce.OpenRoute) (*enforce.Listener, error) {
	open, err := documented(listener, groups, open)
	if err != nil {
		return nil, fmt.Errorf("%s listener: %w", listener, err)
	}
	handler, err := enforce.Mount(enforce.Config{
		PDP: n.counted(), Log: n.decisions, Now: n.now, Groups: groups, Open: open, Fallback: fallback,
	})
	if err != nil {
		return nil, fmt.Errorf("%s listener: %w", listener, err)
	}
	return handler, nil
}

// framed puts a frame around what a listener serves.
func (n *node) framed(listener string, next refuser) (*frame, error) {
	trusted, err := parseProxies(n.config.TrustedProxies)
	if err != nil {
		return nil, fmt.Errorf("trusted_proxies: %w", err)
	}
	return &frame{
		listener: listener, next: next, gate: n.gate, warm: &n.warm, logger: n.logger, metrics: n.metrics, traces: n.traces, now: n.now, proxies: trusted,
	}, nil
}

func (n *node) counted() countedPDP {
	return countedPDP{PDP: n.pdp, metrics: n.metrics, traces: n.traces, now: n.now}
}

// openDecisionLog begins the decision log at its destination.
func (n *node) openDecisionLog(stdout, stderr io.Writer) error {
	var into io.Writer
	switch n.config.DecisionLog {
	case "off":
		into = io.Discard
	case "stdout":
		into = stdout
	case "stderr":
		into = stderr
	default:
		file, torn, err := openLines(n.config.DecisionLog)
		if err != nil {
			return fmt.Errorf("decision_log: %w; name a file that this user can write", plain(err))
		}
		n.closers = append(n.closers, closer{"decision log file", func(context.Context) error { return file.Close() }})
		if torn {
			if _, err := file.WriteString("\n"); err != nil {
				return fmt.Errorf("decision_log: end the line that was left torn: %w", plain(err))
			}
		}
		into = file
	}
	if n.config.DecisionLogRecent > 0 {
		n.recent = policies.NewRecent(n.config.DecisionLogRecent << 20)
	}
	n.decisions = policies.NewLog(policies.LogConfig{
		Writer: into, Queue: n.config.DecisionLogQueue, Required: n.config.DecisionLogRequired, Now: n.now,
		Brief: float64(n.config.DecisionLogBrief) / 100, Recent: n.recent,
	})
	n.closers = append(n.closers, closer{"decision log", n.decisions.Close})
	return nil
}

// openBreaches opens the file of leaked passwords, if there is one.
func (n *node) openBreaches() (identity.Breaches, error) {
	if n.config.BreachedPasswordsFile == "" {
		return nil, nil
	}
	list, file, err := openBreached(n.config.BreachedPasswordsFile)
	if err != nil {
		return nil, fmt.Errorf("breached_passwords_file: %s %w; see docs/operations.md for its form", n.config.BreachedPasswordsFile, err)
	}
	n.closers = append(n.closers, closer{"breached passwords", func(context.Context) error { return file.Close() }})
	return list, nil
}

// openStore opens the one store that the configuration names, and tells waiting if that takes long.
func openStore(ctx context.Context, config *Config, now func() time.Time, waiting func(text string)) (storage.Store, error) {
	if config.MongoDBURI != "" {
		return mongo.Open(ctx, mongo.Config{URI: config.MongoDBURI, Now: now, Waiting: waiting})
	}
	return sqlite.Open(ctx, sqlite.Config{Dir: config.DataDir, Now: now})
}

// A call of the database that takes longer than storePatience makes the node ask whether the database is there, and no answer within
// storeProbe means that it is not: together they are the two seconds that an operation may take. It is asked again after storePause.
const (
	storePatience = 300 * time.Millisecond
	storeProbe    = 1700 * time.Millisecond
	storePause    = 100 * time.Millisecond
)

// guardStore puts a breaker in front of a store that can be away, so that requests are answered at once while it is.
func (n *node) guardStore(ctx context.Context, store storage.Remote) *storage.Breaker {
	ctx = context.WithoutCancel(ctx)
	return storage.NewBreaker(ctx, store, storage.BreakerConfig{
		Patience: storePatience, Probe: storeProbe, Pause: storePause,
		Report: func(serves storage.Serves) {
			switch serves {
			case storage.ServesNothing:
				n.logger.ErrorContext(ctx, "the store does not answer; what needs it is answered 503 at once until it does")
			case storage.ServesReads:
				n.logger.ErrorContext(ctx, "the store answers and takes no writes; what needs one is answered 503 at once until it does")
			case storage.ServesAll:
				n.logger.InfoContext(ctx, "the store answers again")
			}
		},
	})
}

// keysetID is the setting that holds the keyset, encrypted with the key encryption key.
const keysetID = "keyset"

// openSealer opens the keyset, making it and, at its default place, the key encryption key on the first start. A keyset whose
// key is gone is an error and never replaced: what it sealed would be lost.
func openSealer(ctx context.Context, store storage.Store, config *Config) (*seal.Sealer, error) {
	setting, err := storage.Get[storage.Setting](ctx, store, keysetID)
	first := errors.Is(err, storage.ErrNotFound)
	if err != nil && !first {
		return nil, fmt.Errorf("read the keyset: %w", err)
	}
	kek, key, err := config.loadKEK(first)
	if err != nil {
		return nil, err
	}
	if first {
		if setting, err = firstKeyset(ctx, store, kek); err != nil {
			return nil, fmt.Errorf("make the keyset: %w", err)
		}
	}
	sealer, err := seal.Open(kek, setting.Value)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	return sealer, nil
}

// A node that starts beside others asks so often, with this pause, whether one of them made the keyset.
const (
	keysetAttempts = 100
	keysetPause    = 50 * time.Millisecond
)

// firstKeyset makes the keyset or takes the one that another node makes at the same moment. That one may be there only a while after
// it was in the way: a store may tell of a conflict before the other transaction commits, and that may fail.
func firstKeyset(ctx context.Context, store storage.Store, kek seal.KEK) (*storage.Setting, error) {
	var err error
	for range keysetAttempts {
		var setting *storage.Setting
		setting, err = makeKeyset(ctx, store, kek)
		if !errors.Is(err, storage.ErrStale) && !errors.Is(err, storage.ErrConflict) {
			return setting, err
		}
		setting, err = storage.Get[storage.Setting](ctx, store, keysetID)
		if !errors.Is(err, storage.ErrNotFound) {
			return setting, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(keysetPause):
		}
	}
	return nil, err
}

func makeKeyset(ctx context.Context, store storage.Store, kek seal.KEK) (*storage.Setting, error) {
	encrypted, err := seal.NewKeyset(kek)
	if err != nil {
		return nil, err
	}
	setting := &storage.Setting{Meta: storage.Meta{ID: keysetID}, Value: encrypted}
	err = store.Txn(ctx, func(ctx context.Context, tx storage.Tx) error {
		sequence, err := tx.Sequence(ctx)
		if err != nil {
			return err
		}
		if err := tx.Advance(ctx, sequence); err != nil {
			return err
		}
		return tx.Insert(ctx, setting)
	})
	return setting, err
}

// close ends the parts in reverse order and logs what fails; there is nobody left to return it to. A part that waits for something else
// after ctx ended is left as kill -9 would leave it, with those that come after it.
func (n *node) close(ctx context.Context) {
	parts := n.closers
	n.closers = nil
	var now atomic.Pointer[string]
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		for _, part := range slices.Backward(parts) {
			now.Store(&part.name)
			if err := part.close(ctx); err != nil {
				n.logger.ErrorContext(ctx, "close", "part", part.name, "error", err)
			}
		}
	}()
	select {
	case <-closed:
		return
	case <-ctx.Done():
	}
	late := time.NewTimer(endLimit)
	defer late.Stop()
	select {
	case <-closed:
	case <-late.C:
		n.logger.ErrorContext(ctx, "not everything was closed in time", "part", *now.Load())
	}
}

// newLogger writes events to w.
func newLogger(config *Config, w io.Writer) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(strings.ToUpper(config.LogLevel))) // validated with the configuration
	options := &slog.HandlerOptions{Level: level}
	if config.LogFormat == "text" {
		return slog.New(slog.NewTextHandler(w, options))
	}
	return slog.New(slog.NewJSONHandler(w, options))
}
