package e2e

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestHostileInputBesideOthers sends what is meant to tie a server up: connections that say nothing, bodies that come a byte at a time, bodies
// that are too large, too deep, of too many keys, or packed. Each is refused as what it is, memory stays bounded, and whoever asks
// something meanwhile is served.
func TestHostileInputBesideOthers(t *testing.T) {
	s := fresh(t, Options{Strict: true})
	idle, slow, hostile := 100, 40, 5
	if long() {
		idle, slow, hostile = 1000, 400, 30
	}
	c := story(t, s).root()
	u := c.newUser(object{"grants": grants("ledger:read")})
	root := c.auth
	c.done()
	before := c.metric("process_resident_memory_bytes")
	c.done()
	address := strings.TrimPrefix(s.Public, "http://")
	over := make(chan struct{})
	var all sync.WaitGroup
	dial := func() net.Conn {
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", address)
		if err != nil {
			t.Errorf("a connection is refused: %v", err)
		}
		return conn
	}
	for range idle {
		if conn := dial(); conn != nil {
			defer conn.Close()
		}
	}
	for i := range slow {
		conn := dial()
		if conn == nil {
			continue
		}
		all.Go(func() {
			defer conn.Close()
			head := "POST /access/v1/evaluation HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n"
			if i%2 == 0 { // not even the headers come to an end
				head = strings.TrimSuffix(head, "\r\n")
			} else {
				head += "\r\n"
			}
			if _, err := io.WriteString(conn, head); err != nil {
				return
			}
			for {
				select {
				case <-over:
					return
				case <-time.After(100 * time.Millisecond):
				}
				if _, err := conn.Write([]byte("1")); err != nil {
					return // the server has had enough
				}
			}
		})
	}
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, _ = z.Write(make([]byte, 8<<20))
	_ = z.Close()
	q := `{"subject":{"type":"user","id":"` + u.ID + `"},"action":{"name":"read"},"resource":{"type":"ledger","id":"1"},"context":`
	var keys strings.Builder
	for i := range 40_000 {
		fmt.Fprintf(&keys, `"k%d":1,`, i)
	}
	var refused atomic.Int64
	for name, row := range map[string]struct {
		body   []byte
		packed bool
		want   []int
	}{
		"a body of 20 MB":            {append([]byte(q+`"`), append(bytes.Repeat([]byte("x"), 20<<20), `"}`...)...), false, []int{413}},
		"ten thousand deep":          {[]byte(q + strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000) + "}"), false, []int{400}},
		"a million brackets":         {[]byte(q + strings.Repeat("[", 1_000_000)), false, []int{400}},
		"forty thousand keys":        {[]byte(q + "{" + keys.String() + `"z":1}}`), false, []int{200, 400}},
		"packed":                     {packed.Bytes(), true, []int{400, 415}},
		"the same key over and over": {[]byte(q + "{" + strings.Repeat(`"k":1,`, 100_000) + `"k":1}}`), false, []int{400}},
	} {
		all.Go(func() {
			for range hostile {
				header := http.Header{"Authorization": {root}, "Content-Type": {"application/json"}}
				if row.packed {
					header.Set("Content-Encoding", "gzip")
				}
				r, err := exchange(t.Context(), s, http.MethodPost, s.Public+"/access/v1/evaluation", header, row.body)
				if err != nil && len(row.body) > 1<<20 {
					refused.Add(1) // the reply came before the body was sent, and the connection was closed
					continue
				}
				ok := false
				for _, status := range row.want {
					ok = ok || r.status == status
				}
				if err != nil || !ok {
					t.Errorf("%s: status %d, want one of %v: %v", name, r.status, row.want, err)
					return
				}
				refused.Add(1)
			}
		})
	}
	done := make(chan struct{})
	go func() {
		for refused.Load() < int64(6*hostile) && !t.Failed() {
			time.Sleep(pollEvery)
		}
		close(done)
	}()
	var took []time.Duration
	most := before
	for asking := true; asking; {
		for what, attempt := range map[string]func(w *scenario){
			"/livez":     func(w *scenario) { w.get("/livez").wantStatus(200) },
			"JWKS":       func(w *scenario) { w.get("/.well-known/jwks.json").wantStatus(200) },
			"a decision": func(w *scenario) { w.as(root).decides(question("user", u.ID, "read", "ledger", "1"), true) },
		} {
			w := &scenario{t: t, s: s, next: http.Header{}}
			began := time.Now()
			attempt(w)
			took = append(took, time.Since(began))
			w.expect(what + " beside what is hostile")
		}
		w := &scenario{t: t, s: s, next: http.Header{}}
		most = max(most, w.metric("process_resident_memory_bytes"))
		select {
		case <-done:
			asking = false
		default:
		}
	}
	close(over)
	all.Wait()
	s.guests = true // some replies came to somebody who had been cut off while sending
	const mebi = 1 << 20
	if most-before > 1024*mebi {
		t.Errorf("memory grew from %.0f to %.0f MiB", before/mebi, most/mebi)
	}
	figure(t, "hostile input", "%d silent connections, %d slow ones, %d hostile bodies, all refused; %d requests beside them, all served, in %s; memory "+
		"%.0f MiB before, %.0f MiB at the most", idle, slow, refused.Load(), len(took), spread(took), before/mebi, most/mebi)
}

// TestOverloadIsBounded finds out how many decisions the node takes in a second, then sends twice as many, whether or not they are answered,
// and looks at what becomes of them and how soon all is as before. What is promised of it is what the statuses and the memory are; times
// are printed. At full length server and sender have a core each, where there are two.
func TestOverloadIsBounded(t *testing.T) {
	measured, flooded := 500*time.Millisecond, time.Second
	o, pinned := Options{Strict: true, Env: map[string]string{"WRIT_POLICY_DEADLINE": "200ms"}}, "not pinned" // the default
	if long() {
		measured, flooded = 10*time.Second, 60*time.Second
		if mine, servers, ok := twoCores(); ok {
			o.Cores, pinned = servers, "server on core "+servers+", sender on "+mine
			pin(t, mine)
		}
	}
	s := fresh(t, o)
	c := story(t, s).root()
	u := c.newUser(object{"grants": grants("ledger:read")})
	root := c.auth
	c.done()
	s.guests = true // nobody notes the ids of these decisions
	const hands = 256
	body := `{"subject":{"type":"user","id":"` + u.ID + `"},"action":{"name":"read"},"resource":{"type":"ledger","id":"1"}}`
	l := &flooder{
		t: t, address: strings.TrimPrefix(s.Public, "http://"),
		request: []byte(fmt.Sprintf("POST /access/v1/evaluation HTTP/1.1\r\nHost: x\r\nAuthorization: %s\r\nContent-Type: application/json\r\n"+
			"Content-Length: %d\r\n\r\n%s", root, len(body), body)),
	}
	l.closed(16, measured/5) // what comes first is slower than what follows
	alone := l.closed(1, measured)
	full := l.closed(16, measured)
	rate := float64(len(full.served)) / measured.Seconds()

	var livez []time.Duration
	most := 0.0
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		w := &scenario{t: t, s: s, next: http.Header{}}
		for began := time.Now(); time.Since(began) < flooded; time.Sleep(100 * time.Millisecond) {
			asked := time.Now()
			w.onPublic().get("/livez").wantStatus(200)
			livez = append(livez, time.Since(asked))
			most = max(most, w.metric("process_resident_memory_bytes"))
			w.expect("/livez and the metrics in an overload")
		}
	}()
	f := l.open(hands, 2*rate, flooded)
	<-watched
	// Half of what it takes, as before: when was the last of it refused?
	after := l.open(hands, rate/2, min(flooded, 5*time.Second))
	c.decides(question("user", u.ID, "read", "ledger", "1"), true).done()
	if l.wrong != "" {
		t.Errorf("neither an answer nor an outage: %s", l.wrong)
	}
	const mebi = 1 << 20
	if most > 1024*mebi {
		t.Errorf("the node takes %.0f MiB", most/mebi)
	}
	if len(f.served) == 0 {
		t.Error("nothing is answered in an overload")
	}
	sent := len(f.served) + len(f.refused) + f.lost
	figure(t, "overload by decisions", "%s; alone %s; sustained %.0f/s; %.0f/s sent for %s by %d connections: %.0f/s served (%.0f%% of that) in %s; %.0f%% of what "+
		"was sent refused, in %s; %d lost, %d not sent because the sender had no connection free; /livez %s; memory %.0f MiB at the most; then at half the "+
		"rate: %s, %d refused, the last one after %s", pinned, spread(alone.served), rate, float64(sent)/flooded.Seconds(), flooded, hands,
		float64(len(f.served))/flooded.Seconds(), 100*float64(len(f.served))/flooded.Seconds()/rate, spread(f.served),
		100*float64(len(f.refused))/float64(max(1, sent)), spread(f.refused), f.lost, f.unsent, spread(livez), most/mebi, spread(after.served),
		len(after.refused), after.lastRefused.Round(time.Millisecond))
}

// flooder sends one request over and over, and spends as little on each as it can: what it takes, the server on the same machine lacks.
type flooder struct {
	t       *testing.T
	address string
	request []byte
	mu      sync.Mutex
	wrong   string // a reply that is neither an answer nor an outage
}

// received is what became of the requests of a time. What took how long counts from when it was due.
type received struct {
	served, refused []time.Duration
	lost, unsent    int
	lastRefused     time.Duration // after the beginning
}

func (o *received) note(status int, took, at time.Duration) {
	switch status {
	case http.StatusOK:
		o.served = append(o.served, took)
	case 0:
		o.lost++
	default:
		o.refused = append(o.refused, took)
		o.lastRefused = max(o.lastRefused, at)
	}
}

// hand is one connection.
type hand struct {
	l    *flooder
	conn net.Conn
	read *bufio.Reader
}

// send sends the request and returns the status of the reply, or 0 where there is none within ten seconds.
func (h *hand) send() int {
	status, err := h.exchange()
	if err != nil {
		h.close()
		return 0
	}
	return status
}

func (h *hand) exchange() (int, error) {
	if h.conn == nil {
		conn, err := new(net.Dialer).DialContext(h.l.t.Context(), "tcp", h.l.address)
		if err != nil {
			return 0, err
		}
		h.conn, h.read = conn, bufio.NewReader(conn)
	}
	if err := h.conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return 0, err
	}
	if _, err := h.conn.Write(h.l.request); err != nil {
		return 0, err
	}
	status, length := 0, 0
	for {
		line, err := h.read.ReadSlice('\n')
		if err != nil {
			return 0, err
		}
		if status == 0 {
			if _, err := fmt.Sscanf(string(line), "HTTP/1.1 %d", &status); err != nil {
				return 0, err
			}
		}
		if value, found := bytes.CutPrefix(line, []byte("Content-Length: ")); found {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				return 0, err
			}
		}
		if len(line) <= len("\r\n") {
			break
		}
	}
	text, err := h.read.Peek(length)
	if err != nil {
		return 0, err
	}
	good := status == http.StatusOK && bytes.Contains(text, []byte(`"decision":true`))
	if !good && status != http.StatusTooManyRequests && status != http.StatusServiceUnavailable {
		h.l.mu.Lock()
		h.l.wrong = fmt.Sprintf("%d %s", status, text)
		h.l.mu.Unlock()
	}
	_, err = h.read.Discard(length)
	return status, err
}

func (h *hand) close() {
	if h.conn != nil {
		h.conn.Close()
		h.conn = nil
	}
}

// closed has each hand send its next request when the one before is answered.
func (l *flooder) closed(hands int, within time.Duration) received {
	began := time.Now()
	return l.work(hands, func() (time.Time, bool) { return time.Now(), time.Since(began) < within })
}

// open has a clock send, and not those who wait for an answer. When no hand is free, what is due is not sent.
func (l *flooder) open(hands int, rate float64, within time.Duration) received {
	due, unsent := make(chan time.Time, hands/4), 0
	go func() {
		defer close(due)
		sent := 0
		for began := time.Now(); time.Since(began) < within; time.Sleep(500 * time.Microsecond) {
			for now := int(rate * time.Since(began).Seconds()); sent < now; sent++ {
				select {
				case due <- time.Now():
				default:
					unsent++
				}
			}
		}
	}()
	o := l.work(hands, func() (time.Time, bool) { at, more := <-due; return at, more })
	o.unsent = unsent // the channel is closed by now
	return o
}

// work has hands take requests until there are no more.
func (l *flooder) work(hands int, next func() (time.Time, bool)) received {
	var all sync.WaitGroup
	parts := make([]received, hands)
	began := time.Now()
	for i := range parts {
		all.Go(func() {
			h := hand{l: l}
			defer h.close()
			for at, more := next(); more; at, more = next() {
				status := h.send()
				parts[i].note(status, time.Since(at), time.Since(began))
			}
		})
	}
	all.Wait()
	var sum received
	for _, part := range parts {
		sum.served, sum.refused = append(sum.served, part.served...), append(sum.refused, part.refused...)
		sum.lost += part.lost
		sum.lastRefused = max(sum.lastRefused, part.lastRefused)
	}
	return sum
}

// twoCores are one for the tests and one for the server, as taskset names them, where it is there and so are they.
func twoCores() (mine, servers string, ok bool) {
	n := runtime.NumCPU()
	mine, servers = strconv.Itoa(n-2), strconv.Itoa(n-1)
	there := func(core string) bool { return exec.Command("taskset", "-c", core, "taskset", "-V").Run() == nil }
	return mine, servers, n >= 2 && suite.runner.Name() == "process" && there(mine) && there(servers)
}

// pin gives the threads of this process a core, until the test ends.
func pin(t *testing.T, core string) {
	t.Helper()
	set := func(cores string) {
		out, err := exec.Command("taskset", "-a", "-c", "-p", cores, strconv.Itoa(os.Getpid())).CombinedOutput()
		if err != nil {
			t.Errorf("taskset: %v\n%s", err, out)
		}
	}
	all := fmt.Sprintf("0-%d", runtime.NumCPU()-1)
	t.Cleanup(func() { set(all) })
	set(core)
}
