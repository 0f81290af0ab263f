package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/writ-authz/writ/cmd/writ/dialects"
	"github.com/writ-authz/writ/identity"
	"github.com/writ-authz/writ/policies/enforce"
)

// Limits of the HTTP servers: a slow or greedy peer holds a connection for so long and no longer.
const (
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 20 * time.Second
	writeTimeout      = 30 * time.Second
	idleTimeout       = 90 * time.Second
	maxHeaderBytes    = 32 << 10
	// drainLimit is how long requests in flight may take after the listeners close, flushLimit how long what is queued may be written after
	// that, and endLimit how long a part that does not heed it holds up the end of the process. Together they are less than the 30 s after
	// which Kubernetes kills where nothing else is said; docs/operations.md and deploy rely on the sum.
	drainLimit    = 25 * time.Second
	flushLimit    = 3 * time.Second
	endLimit      = time.Second
	purgeInterval = time.Minute
	// settleAfter is how long the first requests have the cores to themselves.
	settleAfter = time.Second
	// maintainInterval is how often keys are looked at, on average.
	maintainInterval = time.Minute
)

func (c *cli) serveCommand() *cobra.Command {
	var read func() sources
	cmd := c.command(cobra.Command{
		Use: "serve", Short: "Run the server",
		Long: `Run the server until SIGTERM or SIGINT. Every value can be a flag, a WRIT_* variable or a key of writ.yaml, in that order;
writ config show tells what each is and where it comes from. Logs go to standard error, decisions to standard output.`,
		Example: "  WRIT_BOOTSTRAP_SECRET_FILE=/run/secrets/root writ serve --issuer https://auth.example.com --config /etc/writ/writ.yaml",
	}, func(cmd *cobra.Command, _ []string) error {
		config, _, err := loadConfig(read())
		if err != nil {
			return err
		}
		return c.serve(cmd.Context(), config, nil, c.announce)
	})
	read = c.configFlags(cmd)
	return cmd
}

// endpoints are the bound listeners and where they can be reached.
type endpoints struct {
	public, admin net.Listener // admin is nil where the listeners are merged
	dialects      []ownListener
}

func (e *endpoints) publicAddress() string { return e.public.Addr().String() }

func (e *endpoints) adminAddress() string {
	if e.admin == nil {
		return e.publicAddress()
	}
	return e.admin.Addr().String()
}

func (e *endpoints) close() {
	_ = e.public.Close() // closed already if it served
	if e.admin != nil {
		_ = e.admin.Close()
	}
	for _, own := range e.dialects {
		_ = own.listener.Close()
	}
}

// bind takes the addresses before anything is opened: the issuer of an ephemeral port is known only then, and a taken port
// leaves no store behind.
func bind(ctx context.Context, config *Config) (*endpoints, error) {
	var listen net.ListenConfig
	public, err := listen.Listen(ctx, "tcp", config.Listen)
	if err != nil {
		return nil, fmt.Errorf("listen: %w; stop what uses it, or choose another address with --listen or WRIT_LISTEN", err)
	}
	e := &endpoints{public: public}
	if err := e.bindDialects(ctx, config); err != nil {
		e.close()
		return nil, err
	}
	if config.merged() {
		return e, nil
	}
	if e.admin, err = listen.Listen(ctx, "tcp", config.AdminListen); err != nil {
		e.close()
		return nil, fmt.Errorf("admin_listen: %w; stop what uses it, or choose another address with --admin-listen or "+
			"WRIT_ADMIN_LISTEN", err)
	}
	return e, nil
}

// serve runs a node until ctx ends. demo is a bootstrap document beside the configured one, or nil. announce is told what was made
// at the first start, with the secrets that exist nowhere else; the listeners are bound by then, so that whoever reads it may ask.
func (c *cli) serve(ctx context.Context, config *Config, demo []byte, announce func(*endpoints, []identity.Made) error) error {
	defer paceCollector(c.env, c.now)()
	logger := newLogger(config, c.stderr)
	at, err := bind(ctx, config)
	if err != nil {
		return err
	}
	defer at.close()
	config.bound(at.publicAddress())
	n, err := c.openNode(ctx, config, logger)
	if err != nil {
		return err
	}
	shutdown := context.WithoutCancel(ctx) // what ends the server must not cancel the requests that it drains
	defer func() {
		limited, cancel := context.WithTimeout(shutdown, flushLimit)
		defer cancel()
		n.close(limited)
	}()
	made, err := n.bootstrap(ctx, demo)
	if err == nil {
		err = announce(at, made)
	}
	if err != nil {
		return err
	}
	servers, err := n.servers(at)
	if err != nil {
		return err
	}
	working, stopWork := context.WithCancel(shutdown)
	work := n.background(working)
	n.closers = append(n.closers, closer{"work beside requests", func(context.Context) error { stopWork(); work.Wait(); return nil }})

	failed := make(chan error, len(servers))
	for _, s := range servers {
		go func() { failed <- s.serve() }()
	}
	n.accepting.Store(true)
	n.tellDialects(ctx, at)
	logger.InfoContext(ctx, "serving", "public", at.publicAddress(), "admin", at.adminAddress(), "issuer", config.Issuer,
		"store", n.store.Describe(), "policy_revision", n.pdp.Status().Revision,
		"audit_key", encodeKey(n.auditKey))
	select {
	case err = <-failed:
		err = fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	n.drain(shutdown, servers)
	return err
}

// bootstrap makes root on the first start and applies the declared objects. It returns what it made.
func (n *node) bootstrap(ctx context.Context, demo []byte) ([]identity.Made, error) {
	secret, err := n.room.Bootstrap(ctx, n.config.BootstrapSecret)
	if err != nil {
		return nil, fmt.Errorf("bootstrap: %w", err)
	}
	if n.config.SecretsMode == "hash_only" {
		if _, err := n.room.ForgetSealed(ctx); err != nil {
			return nil, fmt.Errorf("secrets_mode: %w", err)
		}
	}
	if err := n.bootstrapDialects(ctx); err != nil {
		return nil, err
	}
	made := []identity.Made{{Kind: "application", ID: "root", Name: "root", Secret: secret}}
	if n.config.BootstrapFile != "" {
		content, err := os.ReadFile(n.config.BootstrapFile)
		if err != nil {
			return nil, fmt.Errorf("bootstrap_file: %w", err)
		}
		declared, err := n.room.BootstrapFile(ctx, content)
		if err != nil {
			return nil, fmt.Errorf("bootstrap_file %s: %w", n.config.BootstrapFile, err)
		}
		made = append(made, declared...)
	}
	if demo == nil {
		return made, nil
	}
	declared, err := n.room.BootstrapFile(ctx, demo)
	if err != nil {
		return nil, fmt.Errorf("demo data: %w", err)
	}
	return append(made, declared...), nil
}

// announce prints the secrets that the first start made, once, to standard error: never into the log.
func (c *cli) announce(_ *endpoints, made []identity.Made) error {
	for _, m := range made {
		if m.Secret == "" {
			continue
		}
		if _, err := fmt.Fprintf(c.stderr, "Made %s %s (%s). This is shown once: %s\n", m.Kind, m.ID, m.Name, m.Secret); err != nil {
			return fmt.Errorf("show the secret of %s: %w", m.ID, err)
		}
	}
	return nil
}

// listening is one HTTP server with its listener.
type listening struct {
	server   *http.Server
	listener net.Listener
	tls      bool
}

func (l listening) serve() error {
	if l.tls {
		return l.server.ServeTLS(l.listener, "", "")
	}
	return l.server.Serve(l.listener)
}

// servers returns what serves each listener.
func (n *node) servers(at *endpoints) ([]listening, error) {
	nativePublic, nativeAdmin, err := n.handlers()
	if err != nil {
		return nil, err
	}
	if nativeAdmin == nil {
		nativeAdmin = nativePublic
	}
	front := n.dialects(nativePublic, nativeAdmin)
	public, err := n.framed("public", front.listener(dialects.Public, at.admin == nil, nativePublic))
	if err != nil {
		return nil, err
	}
	handler, err := n.withBench(public)
	if err != nil {
		return nil, err
	}
	served, err := n.server(handler, public, at.public, n.config.TLSCertFile, n.config.TLSKeyFile)
	all := []listening{served}
	if err != nil {
		return nil, err
	}
	if at.admin != nil {
		admin, err := n.framed("admin", front.listener(dialects.Admin, false, nativeAdmin))
		if err != nil {
			return nil, err
		}
		if served, err = n.server(admin, admin, at.admin, n.config.AdminTLSCertFile, n.config.AdminTLSKeyFile); err != nil {
			return nil, err
		}
		all = append(all, served)
	}
	own, err := front.own(at.dialects)
	return append(all, own...), err
}

func (n *node) server(handler http.Handler, front *frame, listener net.Listener, certFile, keyFile string) (listening, error) {
	open := newConnections(n.config.MaxConnections, &n.gaveWay)
	l := listening{listener: listener, server: &http.Server{
		Handler: handler, ReadHeaderTimeout: readHeaderTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout,
		IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeaderBytes,
		ConnContext: withCaller, ConnState: func(conn net.Conn, state http.ConnState) {
			if c, ok := conn.(*caller); ok {
				c.changed(state)
			}
			open.changed(conn, state)
		},
		ErrorLog: slog.NewLogLogger(n.logger.Handler(), slog.LevelDebug), // peers that hang up and bad handshakes
	}}
	if certFile == "" {
		_, native := front.next.(*enforce.Listener)
		l.listener = &door{
			Listener: listener, frame: front, native: native, quiet: func(conn net.Conn) { open.changed(conn, http.StateIdle) },
		}
		return l, nil
	}
	pair, err := newCertificate(certFile, keyFile, n.logger)
	if err != nil {
		return l, err
	}
	l.tls, l.server.TLSConfig = true, pair.config()
	return l, nil
}

// background starts what runs beside requests until ctx ends.
func (n *node) background(ctx context.Context) *sync.WaitGroup {
	var work sync.WaitGroup
	work.Go(func() { n.settle(ctx) })
	work.Go(func() { n.gate.run(ctx) })
	work.Go(func() { n.pdp.Watch(ctx) })
	work.Go(func() { n.room.Run(ctx) })
	work.Go(func() { n.room.RunPolicies(ctx) })
	work.Go(func() { n.room.RunCheckpoints(ctx, n.config.AuditCheckpointInterval) })
	work.Go(func() {
		n.follower.Run(ctx, n.config.PollInterval, func(err error) {
			if err != nil {
				n.logger.ErrorContext(ctx, "change feed", "error", err, "age", n.follower.Age().String())
				return
			}
			n.logger.InfoContext(ctx, "change feed is current again")
		})
	})
	work.Go(func() { n.maintain(ctx) })
	work.Go(func() {
		ticker := time.NewTicker(purgeInterval)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
			if _, err := n.store.Purge(ctx, n.now()); err != nil && !errors.Is(err, context.Canceled) {
				n.logger.WarnContext(ctx, "purge", "error", err)
			}
		}
	})
	return &work
}

// settle measures the password pool, a moment after the start so that it is not in the way of the first requests, and gives back
// the memory that this, compiling the policies and hashing at the start leave behind.
func (n *node) settle(ctx context.Context) {
	debug.FreeOSMemory()
	pause := time.NewTimer(settleAfter)
	defer pause.Stop()
	select {
	case <-ctx.Done():
		return
	case <-pause.C:
	}
	if err := n.room.Calibrate(ctx); err != nil && ctx.Err() == nil {
		n.logger.WarnContext(ctx, "the password pool was not measured; its queue stays short", "error", err)
	}
	debug.FreeOSMemory()
}

// maintain keeps the keys in the state that is due until ctx ends. Nodes that start together do not ask together.
func (n *node) maintain(ctx context.Context) {
	for {
		if err := n.auth.Maintain(ctx); err != nil && ctx.Err() == nil {
			n.logger.WarnContext(ctx, "keys were not maintained", "error", err)
		}
		pause := time.NewTimer(maintainInterval/2 + rand.N(maintainInterval))
		select {
		case <-ctx.Done():
			pause.Stop()
			return
		case <-pause.C:
		}
	}
}

// drain takes readiness back, waits for the probes to notice, and lets the requests in flight end.
func (n *node) drain(ctx context.Context, servers []listening) {
	n.accepting.Store(false)
	n.logger.InfoContext(ctx, "shutting down", "delay", n.config.ShutdownDelay.String())
	if n.config.ShutdownDelay > 0 {
		time.Sleep(n.config.ShutdownDelay)
	}
	ctx, cancel := context.WithTimeout(ctx, drainLimit)
	defer cancel()
	var drained sync.WaitGroup
	for _, s := range servers {
		drained.Go(func() {
			if err := s.server.Shutdown(ctx); err != nil {
				n.logger.WarnContext(ctx, "requests were cut off", "error", err)
				_ = s.server.Close() // whatever is left is closed hard
			}
		})
	}
	drained.Wait()
}
