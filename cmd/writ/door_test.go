package main_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	writ "github.com/writ-authz/writ/cmd/writ"
)

// doored is a server in an overload, whose one place for decisions is taken while held.
type doored struct {
	t       *testing.T
	address string
	gate    *writ.Gate
	server  *http.Server
	yields  atomic.Int64
	others  func()             // happens while a request lets others go first
	slow    chan chan struct{} // takes who is served at /v1/slow, until what it is given is closed
}

func newDoored(t *testing.T, held, native bool) *doored {
	d := &doored{t: t, slow: make(chan chan struct{}), others: func() {}}
	release, taken := make(chan struct{}), make(chan struct{})
	var holding atomic.Bool
	d.gate = writ.NewGate(1, func() (int64, int64) { return 100, 1 }, func() {
		d.yields.Add(1)
		if held && holding.CompareAndSwap(false, true) {
			close(taken)
			<-release
		}
		d.others()
	}, slog.New(slog.DiscardHandler))
	d.gate.Look(t.Context(), 1)
	for range 4 {
		d.gate.Admit(writ.Decisions)
	}
	d.gate.Look(t.Context(), 10)
	if !d.gate.Overloaded() {
		t.Fatal("there is no overload")
	}
	if held {
		done := make(chan struct{})
		go func() {
			defer close(done)
			d.gate.Admit(writ.Decisions)
		}()
		<-taken
		t.Cleanup(func() { close(release); <-done })
	}
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d.address = listener.Addr().String()
	d.server = writ.ServeGated(t, listener, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Errorf("read the body of %s: %v", r.URL.Path, err)
		}
		if r.URL.Path == "/v1/slow" {
			<-<-d.slow
		}
		fmt.Fprintf(w, "served %s %s %s", r.Method, r.URL.Path, body)
	}), d.gate, native)
	return d
}

// visitor is one connection.
type visitor struct {
	t    *testing.T
	conn net.Conn
	read *bufio.Reader
}

func (d *doored) visit() *visitor {
	d.t.Helper()
	conn, err := new(net.Dialer).DialContext(d.t.Context(), "tcp", d.address)
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		d.t.Fatal(err)
	}
	return &visitor{t: d.t, conn: conn, read: bufio.NewReader(conn)}
}

func (v *visitor) write(part string) {
	v.t.Helper()
	if _, err := io.WriteString(v.conn, part); err != nil {
		v.t.Fatalf("send %q: %v", part, err)
	}
}

// reply is the next reply to a request of this method.
func (v *visitor) reply(method string) (*http.Response, string) {
	v.t.Helper()
	reply, err := http.ReadResponse(v.read, &http.Request{Method: method})
	if err != nil {
		v.t.Fatalf("no reply: %v", err)
	}
	body, err := io.ReadAll(reply.Body)
	if err != nil {
		v.t.Fatalf("half a reply: %v", err)
	}
	reply.Body.Close()
	text := strings.TrimSpace(string(body))
	if reply.StatusCode == http.StatusServiceUnavailable && method != http.MethodHead { // it ends with the id of the request
		id := reply.Header.Get("X-Request-ID")
		refusal, found := strings.CutSuffix(text, " "+id)
		if !found || id == "" || reply.ContentLength != int64(len(body)) {
			v.t.Errorf("%q of %d bytes is the reply to %q", text, reply.ContentLength, id)
		}
		text = refusal
	}
	return reply, text
}

func (v *visitor) want(status int, body string) {
	v.t.Helper()
	if reply, got := v.reply(http.MethodGet); reply.StatusCode != status || got != body {
		v.t.Errorf("%d %q, want %d %q", reply.StatusCode, got, status, body)
	}
}

// atDoor sends a request until it is turned away at the door. It may have to pass once more after a request that net/http had, which reads a
// byte to see whether its client is still there.
func (v *visitor) atDoor(request, refused string) *http.Response {
	v.t.Helper()
	for range 50 {
		v.write(request)
		reply, body := v.reply(http.MethodGet)
		if reply.StatusCode != 503 || body != "door "+refused && body != "frame "+refused {
			v.t.Fatalf("%d %q", reply.StatusCode, body)
		}
		if strings.HasPrefix(body, "door") {
			return reply
		}
	}
	v.t.Fatalf("%s is never turned away at the door", refused)
	return nil
}

const (
	livez = "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
	plain = "POST /access/v1/evaluation HTTP/1.1\r\nHost: x\r\nX-Request-ID: mine-1\r\nContent-Length: 4\r\n\r\nbody"
)

func TestADoorTurnsAwayAndKeepsTheConnection(t *testing.T) {
	for _, native := range []bool{true, false} {
		t.Run(fmt.Sprintf("native %v", native), func(t *testing.T) { turnsAwayAndKeepsTheConnection(t, newDoored(t, true, native).visit()) })
	}
}

func turnsAwayAndKeepsTheConnection(t *testing.T, v *visitor) {
	v.write(plain)
	v.want(503, "frame POST /access/v1/evaluation") // the first of a connection
	for range 3 {
		reply := v.atDoor(plain, "POST /access/v1/evaluation")
		for name, want := range map[string]string{
			"X-Request-Id": "mine-1", "X-Content-Type-Options": "nosniff", "Cache-Control": "no-store", "Content-Type": "text/plain; charset=utf-8",
		} {
			if got := reply.Header.Get(name); got != want {
				t.Errorf("%s: %q, want %q", name, got, want)
			}
		}
		if at, err := http.ParseTime(reply.Header.Get("Date")); err != nil || time.Since(at) > time.Hour {
			t.Errorf("Date: %q: %v", reply.Header.Get("Date"), err)
		}
		v.write(strings.Replace(plain, "mine-1", "a/b==", 1)) // an id that AuthZEN gives back, and the log does not take
		v.want(503, "frame POST /access/v1/evaluation")
		v.atDoor("GET /access/v1/x?y=z HTTP/1.1\r\nHost: x\r\nconnection: Keep-Alive\r\n\r\n", "GET /access/v1/x")
		v.write(livez)
		v.want(200, "served GET /livez")
		v.write("GET /v1/users HTTP/1.1\r\nHost: x\r\n\r\n") // of another class, whose place is free
		v.want(200, "served GET /v1/users")
	}
}

// TestADoorLeavesWhatIsNotPlain sends what the door must not answer on a connection that it knows, and looks whether what follows is
// answered, each request once, by whom it should be.
func TestADoorLeavesWhatIsNotPlain(t *testing.T) {
	d := newDoored(t, true, true)
	const at = "/access/v1/evaluation"
	for name, row := range map[string]struct {
		parts  []string
		want   []string // the bodies of the replies
		method string
		after  string // who turns away a plain request that follows; "": the connection is closed
	}{
		"two at once":               {[]string{plain + plain}, []string{"frame POST " + at, "frame POST " + at}, "POST", "frame"},
		"one and a half":            {[]string{plain + plain[:20], plain[20:]}, []string{"frame POST " + at, "frame POST " + at}, "POST", "frame"},
		"half a head":               {[]string{plain[:30], plain[30:]}, []string{"frame POST " + at}, "POST", "frame"},
		"a body that comes later":   {[]string{plain[:len(plain)-4], "body"}, []string{"frame POST " + at}, "POST", "door"},
		"half a body":               {[]string{plain[:len(plain)-2], "dy"}, []string{"frame POST " + at}, "POST", "door"},
		"chunks":                    {[]string{"POST " + at + " HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"}, []string{"frame POST " + at}, "POST", "frame"},
		"HEAD":                      {[]string{"HEAD " + at + " HTTP/1.1\r\nHost: x\r\n\r\n"}, []string{""}, "HEAD", "frame"},
		"a path in another form":    {[]string{"GET /access/v1/%65valuation HTTP/1.1\r\nHost: x\r\n\r\n"}, []string{"frame GET " + at}, "GET", "frame"},
		"a target with a host":      {[]string{"GET http://x" + at + " HTTP/1.1\r\nHost: x\r\n\r\n"}, []string{"frame GET " + at}, "GET", "frame"},
		"lines that end otherwise":  {[]string{"GET " + at + " HTTP/1.1\nHost: x\n\n"}, []string{"frame GET " + at}, "GET", "frame"},
		"a connection to be closed": {[]string{"GET " + at + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"}, []string{"frame GET " + at}, "GET", ""},
		"an old version":            {[]string{"GET " + at + " HTTP/1.0\r\nHost: x\r\n\r\n"}, []string{"frame GET " + at}, "GET", ""},
		"no HTTP":                   {[]string{"HELO there\r\n\r\n"}, []string{"400 Bad Request"}, "GET", ""},
		"two lengths":               {[]string{"POST " + at + " HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"}, []string{"400 Bad Request"}, "GET", ""},
	} {
		t.Run(name, func(t *testing.T) {
			v := d.visit()
			v.t = t
			v.write(livez)
			v.want(200, "served GET /livez")
			for i, part := range row.parts {
				if i > 0 {
					time.Sleep(20 * time.Millisecond) // parts that arrive together are another row; both are answered the same
				}
				v.write(part)
			}
			for _, want := range row.want {
				if reply, got := v.reply(row.method); got != want {
					t.Errorf("%d %q, want %q", reply.StatusCode, got, want)
				}
			}
			if row.after == "" {
				if _, err := v.read.ReadByte(); err == nil {
					t.Error("the connection is open, and something comes")
				}
				return
			}
			if row.after == "door" {
				v.atDoor(plain, "POST "+at)
				return
			}
			for range 3 {
				v.write(plain)
				v.want(503, "frame POST "+at)
			}
		})
	}
}

// TestAByteThatComesEarlyIsNotLost has the next request begin while one is served: net/http then reads one byte, to see whether the client
// is still there.
func TestAByteThatComesEarlyIsNotLost(t *testing.T) {
	d := newDoored(t, true, true)
	again := false
	for try := 0; try < 50 && !again; try++ {
		v := d.visit()
		v.write(livez)
		v.want(200, "served GET /livez")
		v.write("GET /v1/slow HTTP/1.1\r\nHost: x\r\n\r\n")
		release := make(chan struct{})
		d.slow <- release
		v.write(plain[:1])
		time.Sleep(time.Duration(try) * time.Millisecond) // when it is read in time is not for us to see
		close(release)
		v.want(200, "served GET /v1/slow")
		v.write(plain[1:])
		if reply, body := v.reply(http.MethodPost); reply.StatusCode != 503 || !strings.HasSuffix(body, " POST /access/v1/evaluation") {
			t.Fatalf("%d %q", reply.StatusCode, body)
		}
		v.write(plain)
		_, body := v.reply(http.MethodPost)
		again = body == "door POST /access/v1/evaluation"
	}
	if !again {
		t.Error("a connection with a request that began early is never turned away at the door again")
	}
}

func TestWhoIsAdmittedAtTheDoorStandsInLineOnce(t *testing.T) {
	d := newDoored(t, false, true)
	v := d.visit()
	v.write(livez)
	v.want(200, "served GET /livez")
	for range 5 {
		before := d.yields.Load()
		v.write(plain)
		v.want(200, "served POST /access/v1/evaluation body")
		if n := d.yields.Load() - before; n != 1 {
			t.Errorf("a request let others go first %d times, want 1", n)
		}
	}
}

// TestWhoStandsInLineIsInFlight shuts the server down while a request that was admitted at the door lets others go first.
func TestWhoStandsInLineIsInFlight(t *testing.T) {
	d := newDoored(t, false, true)
	v := d.visit()
	v.write(livez)
	v.want(200, "served GET /livez")
	idle := d.visit()
	idle.write(livez)
	idle.want(200, "served GET /livez")
	ended := make(chan error, 1)
	d.others = func() {
		go func() { ended <- d.server.Shutdown(t.Context()) }()
		// It closes all that it takes for idle under a lock that this waits for, once one is closed that it is right about.
		if _, err := idle.read.ReadByte(); !errors.Is(err, io.EOF) {
			t.Errorf("an idle connection ended with %v, want %v", err, io.EOF)
		}
		d.server.RegisterOnShutdown(func() {})
	}
	v.write(plain)
	v.want(200, "served POST /access/v1/evaluation body")
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// TestEachRequestHasItsOwnReply sends from many connections at once, through overloads that come and go.
func TestEachRequestHasItsOwnReply(t *testing.T) {
	var runnable atomic.Int64
	gate := writ.NewGate(1, func() (int64, int64) { return runnable.Load(), 1 }, func() { time.Sleep(100 * time.Microsecond) },
		slog.New(slog.DiscardHandler))
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	writ.ServeGated(t, listener, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body) // all of it first: net/http takes no body once it has begun to reply
		if err != nil {
			t.Errorf("read a body: %v", err)
		}
		_, _ = w.Write(body)
	}), gate, true)
	over := make(chan struct{})
	var looks sync.WaitGroup
	looks.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-over:
				return
			case <-time.After(200 * time.Microsecond):
				runnable.Store(int64(100 * (i / 100 % 2)))
				gate.Look(t.Context(), 1)
			}
		}
	})
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 16}}
	defer client.CloseIdleConnections()
	var served, atDoor, byFrame atomic.Int64
	var all sync.WaitGroup
	for hand := range 16 {
		all.Go(func() {
			for i := range 300 {
				text := strings.Repeat(fmt.Sprintf("%d-%d ", hand, i), 1+i%5*200) // some are larger than what comes at once
				id := fmt.Sprintf("id-%d-%d", hand, i)
				r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+listener.Addr().String()+"/access/v1/evaluation", strings.NewReader(text))
				if err != nil {
					t.Error(err)
					return
				}
				r.Header.Set("X-Request-ID", id)
				reply, err := client.Do(r)
				if err != nil {
					t.Errorf("no reply: %v", err)
					return
				}
				body, err := io.ReadAll(reply.Body)
				reply.Body.Close()
				if got := reply.Header.Get("X-Request-ID"); err != nil || got != id {
					t.Errorf("the reply to %s is that to %s: %v", id, got, err)
				}
				switch {
				case reply.StatusCode == 200 && string(body) == text:
					served.Add(1)
				case reply.StatusCode == 503 && strings.HasPrefix(string(body), "door") && strings.HasSuffix(string(body), " "+id+"\n"):
					atDoor.Add(1)
				case reply.StatusCode == 503 && strings.HasPrefix(string(body), "frame"):
					byFrame.Add(1)
				default:
					t.Errorf("%s: %d %.100q", id, reply.StatusCode, body)
				}
			}
		})
	}
	all.Wait()
	close(over)
	looks.Wait()
	if served.Load() == 0 || atDoor.Load() == 0 || byFrame.Load() == 0 {
		t.Errorf("%d served, %d turned away at the door and %d behind it: not all of it was tried", served.Load(), atDoor.Load(), byFrame.Load())
	}
}

// FuzzParseHead holds what the door takes for a plain request to what net/http sees in the same bytes.
func FuzzParseHead(f *testing.F) {
	for _, seed := range []string{
		plain, livez, plain[:len(plain)-1], "GET /a?b HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: x\r\nA: b\n\nGET / HTTP/1.1\r\n\r\n", "GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n Content-Length: 3\r\n\r\n",
		"PUT /x HTTP/1.1\r\nHost: x\r\nContent-Length : 3\r\n\r\nabc", "DELETE //x/y HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: x\r\nX-Request-ID:\r\nX-Request-ID: y\r\n\r\n", "GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, given []byte) {
		method, path, id, size, length, ok := writ.ParseHead(given)
		if !ok {
			return
		}
		from := bytes.NewReader(given)
		in := bufio.NewReaderSize(from, 16)
		r, err := http.ReadRequest(in)
		if err != nil {
			return // net/http answers it 400 and closes; that it ends where it seems to is all the same
		}
		if left := in.Buffered() + from.Len(); len(given)-left != size {
			t.Errorf("the head is %d bytes, and for net/http %d", size, len(given)-left)
		}
		if r.Method != method || r.URL.Path != path || r.ContentLength != length || r.Header.Get("X-Request-ID") != id {
			t.Errorf("%s %s %q with %d bytes, and for net/http %s %s %q with %d", method, path, id, length, r.Method, r.URL.Path,
				r.Header.Get("X-Request-ID"), r.ContentLength)
		}
		if r.Close || len(r.TransferEncoding) > 0 || len(r.Trailer) > 0 || !r.ProtoAtLeast(1, 1) || r.Header.Get("Expect") != "" {
			t.Errorf("not plain: %+v", r)
		}
	})
}
