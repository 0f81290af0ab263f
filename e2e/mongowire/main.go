package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"go.mongodb.org/mongo-driver/bson"
)

const notice = "mongowire is a stand-in for MongoDB in tests. It is no database: do not keep anything in it."

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

type settings struct {
	listen, data, setName, advertise, deny string
	standalone, authFail                   bool
	wireVersion                            int
	delayCommit, lifetime                  time.Duration
	compactAt                              int64
}

// run returns the exit code: 0, 1 for what went wrong, 2 for a wrong command line.
func run(ctx context.Context, arguments []string, stdout, stderr io.Writer) int {
	if len(arguments) > 0 && arguments[0] == "ping" {
		return runPing(arguments[1:], stderr)
	}
	var o settings
	flags := flag.NewFlagSet("mongowire", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() {
		_, _ = fmt.Fprintf(stderr, "%s\n\nmongowire [flags]                     serve until SIGTERM\n"+
			"mongowire ping --address HOST:PORT    exit 0 if a server answers there, else 1\n\n", notice)
		flags.PrintDefaults()
	}
	flags.StringVar(&o.listen, "listen", "127.0.0.1:27017", "`address`; port 0 takes a free one, the first line of output names it")
	flags.StringVar(&o.data, "data", "", "`directory` of log and snapshot; empty: memory only")
	flags.StringVar(&o.setName, "set-name", "mongowire", "`name` of the replica set")
	flags.StringVar(&o.advertise, "advertise", "", "`host:port` that hello names as its own; empty: the listen address")
	flags.BoolVar(&o.standalone, "standalone", false, "no replica set, and therefore no transactions")
	flags.IntVar(&o.wireVersion, "wire-version", 21, "highest wire `version` in hello")
	flags.StringVar(&o.deny, "deny", "", "`commands`, joined by commas, that are answered with code 13, Unauthorized")
	flags.BoolVar(&o.authFail, "auth-fail", false, "answer authentication with code 18, AuthenticationFailed")
	flags.DurationVar(&o.delayCommit, "delay-commit", 0, "hold each commitTransaction for so long before it applies")
	flags.DurationVar(&o.lifetime, "transaction-lifetime", time.Minute, "abort transactions that are older")
	flags.Int64Var(&o.compactAt, "compact-at", 64<<20, "`bytes` of log from which on it is compacted at start")
	if err := flags.Parse(arguments); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return 0
		}
		return 2
	}
	if flags.NArg() > 0 {
		_, _ = fmt.Fprintf(stderr, "mongowire: unknown argument %q\n", flags.Arg(0))
		return 2
	}
	if err := serve(ctx, o, stdout, stderr); err != nil {
		_, _ = fmt.Fprintf(stderr, "mongowire: %s\n", err)
		return 1
	}
	return 0
}

// serve runs a server until the context ends or its log cannot be written.
func serve(ctx context.Context, o settings, stdout, stderr io.Writer) error {
	s := &server{
		engine: newEngine(o.lifetime), commands: commands(), setName: o.setName, advertise: o.advertise, wireVersion: int32(o.wireVersion),
		denied: map[string]bool{}, authFail: o.authFail, delayCommit: o.delayCommit, report: stderr,
		cursors: cursors{byID: map[int64]*cursor{}}, stopping: make(chan struct{}), conns: map[*connection]struct{}{},
	}
	if o.standalone {
		s.setName = ""
	} else if o.setName == "" {
		return errors.New("--set-name is empty; --standalone is a server without one")
	}
	for name := range strings.SplitSeq(o.deny, ",") {
		if _, known := s.commands[name]; !known && name != "" {
			return fmt.Errorf("--deny: there is no command %s", name)
		}
		s.denied[name] = true
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var found bytes.Buffer
	storage := "memory only, nothing survives\n"
	if o.data != "" {
		if err := s.engine.openLog(o.data, o.compactAt, &found, cancel); err != nil {
			return err
		}
		storage = o.data + ": " + strings.ReplaceAll(strings.TrimSpace(found.String()), "\n", "; ") + "\n"
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", o.listen)
	if err != nil {
		return err
	}
	if s.advertise == "" {
		s.advertise = listener.Addr().String()
	}
	_, _ = fmt.Fprintf(stdout, "mongowire listening on %s\n%s\nstorage: %s", listener.Addr(), notice, storage)
	stopped := context.AfterFunc(ctx, func() { s.stop(listener) })
	err = s.serve(listener)
	if stopped() {
		s.stop(listener)
	}
	s.busy.Wait()
	if s.engine.log != nil {
		err = errors.Join(err, s.engine.log.close())
	}
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		err = errors.Join(err, cause)
	}
	return err
}

func runPing(arguments []string, stderr io.Writer) int {
	flags := flag.NewFlagSet("mongowire ping", flag.ContinueOnError)
	flags.SetOutput(stderr)
	address := flags.String("address", "127.0.0.1:27017", "`host:port` to ask")
	if err := flags.Parse(arguments); err != nil {
		return 2
	}
	if err := ping(*address); err != nil {
		_, _ = fmt.Fprintf(stderr, "mongowire ping: %s\n", err)
		return 1
	}
	return 0
}

func ping(address string) error {
	socket, err := net.DialTimeout("tcp", address, 5*time.Second)
	if err != nil {
		return err
	}
	defer func() { _ = socket.Close() }()
	if err := socket.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return err
	}
	command := bson.D{{Key: "ping", Value: int32(1)}, {Key: "$db", Value: "admin"}}
	if _, err := socket.Write(encodeReply(message{op: opMsg}, 1, command)); err != nil {
		return err
	}
	m, err := readMessage(socket)
	if err != nil {
		return err
	}
	reply, _, err := decodeMsg(m.body)
	if err != nil {
		return err
	}
	if ok, _ := lookup(reply, "ok"); ok != float64(1) {
		return fmt.Errorf("answered %v", reply)
	}
	return nil
}
