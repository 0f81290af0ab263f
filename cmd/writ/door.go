package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/writ-authz/writ/cmd/writ/dialects"
	"github.com/writ-authz/writ/policies/enforce"
)

// renewEvery is how often a connection that is turned away again and again has its deadlines set anew.
const renewEvery = time.Second

// knownPaths is for how many paths a reply is kept. Then all of them go, so that made-up paths cost no more than being made.
const knownPaths = 256

// door is a listener whose connections turn requests away before net/http has seen them. What net/http does for each request costs
// more than all else of a refusal, and in an overload it is taken from those who are served. A door knows small and plain requests that
// come in one piece on a connection that has had one before; all others are turned away by the frame, and so is what comes over TLS.
type door struct {
	net.Listener
	frame  *frame
	native bool           // no dialect is served here
	quiet  func(net.Conn) // told of a connection that has been turned away, and now waits for its next request

	mu    sync.Mutex
	known map[string]*refused // by path
}

// Accept implements net.Listener.
func (d *door) Accept() (net.Conn, error) {
	accepted, err := d.Listener.Accept()
	if tcp, ok := accepted.(*net.TCPConn); ok && err == nil {
		return &caller{TCPConn: tcp, door: d, between: true}, nil
	}
	return accepted, err
}

// caller is a connection of a door. It counts what net/http has been given, and so knows where a request begins: no byte is answered here
// that may belong to another request. net/http makes one call of Read at a time, and between requests nothing else touches the connection.
type caller struct {
	*net.TCPConn
	door *door

	between bool   // net/http has nothing yet of the request that it waits for
	reused  bool   // the connection has had a request: for the first net/http has set deadlines that nobody else may move
	owed    int64  // bytes of the last request's body that have not come
	begun   []byte // the first byte of the next request, if net/http has it: it reads one to see whether its client is still there
	lost    bool   // where requests begin is not known, from here on
	place   class  // of the request that net/http has been given, or exempt
	renewed time.Time
}

type callerKey struct{}

// withCaller is the ConnContext of a server behind a door.
func withCaller(ctx context.Context, conn net.Conn) context.Context {
	if c, ok := conn.(*caller); ok {
		return context.WithValue(ctx, callerKey{}, c)
	}
	return ctx
}

// placeAtDoor is, once, the place that the request of this context was given at the door, or exempt.
func placeAtDoor(ctx context.Context) class {
	c, ok := ctx.Value(callerKey{}).(*caller)
	if !ok {
		return exempt
	}
	place := c.place
	c.place = exempt
	return place
}

// changed is told, as ConnState of the server, what net/http does with the connection.
func (c *caller) changed(state http.ConnState) {
	switch state {
	case http.StateIdle:
		c.between, c.reused = true, true
		c.renewed = time.Time{} // net/http has lifted its write deadline
	case http.StateClosed:
	case http.StateNew, http.StateActive, http.StateHijacked:
		return
	}
	if c.place != exempt { // it never came to the frame: it was no request after all, or the server is shutting down
		c.door.frame.gate.release(c.place)
		c.place = exempt
	}
}

// Read implements net.Conn.
func (c *caller) Read(p []byte) (int, error) {
	for {
		n, err := c.TCPConn.Read(p)
		if n == 0 || c.lost {
			return n, err
		}
		if !c.between {
			c.within(p[:n])
			return n, err
		}
		if c.owed > 0 { // the last request was answered before it was whole
			c.lost = true
			return n, err
		}
		c.between = false
		given := p[:n]
		if c.begun != nil {
			given = append(c.begun, given...)
		}
		h, plain := parseHead(given)
		c.owed = h.length - int64(len(given)-h.size)
		c.lost = !plain || c.owed < 0
		whole := c.begun == nil && c.owed == 0 && !c.lost && !h.strangeID
		c.begun = nil
		if !whole || !c.reused || !c.door.frame.gate.overloaded() {
			return n, err
		}
		class := classOf(c.door.frame.listener, string(h.path))
		if class == exempt {
			return n, err
		}
		if c.door.frame.gate.reserve(class) {
			c.place = class // and stands in line when net/http knows that there is a request
			return n, err
		}
		if err := c.turnAway(h, p[:n]); err != nil {
			return 0, err
		}
		c.between = true
	}
}

// within counts what comes while net/http has a request.
func (c *caller) within(p []byte) {
	switch n := int64(len(p)); {
	case n <= c.owed:
		c.owed -= n
	case c.owed == 0 && n == 1 && c.begun == nil:
		c.begun = []byte{p[0]}
	default:
		c.lost = true
	}
}

// turnAway answers a request that finds no place, and leaves the connection to the next.
func (c *caller) turnAway(h head, request []byte) error {
	f := c.door.frame
	now, id := f.now(), requestID(string(h.id))
	if err := c.renew(now); err != nil {
		return err
	}
	reply, err := c.door.refusal(h, id, request)
	if err != nil {
		return err
	}
	c.door.quiet(c)
	out := sending.Get().(*[]byte)
	defer sending.Put(out)
	*out = reply.render((*out)[:0], now, id)
	_, err = c.Write(*out)
	f.turnedAway(context.Background(), id, now)
	return err
}

var sending = sync.Pool{New: func() any { return new([]byte) }}

// refusal is the reply to a request that is turned away. A native one depends on the path and, where it is not strange, the id of the
// request alone, and is made once for each path.
func (d *door) refusal(h head, id string, request []byte) (*refused, error) {
	if !d.native { // a dialect may answer in the language of any header
		r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(request)))
		if err != nil {
			return nil, err
		}
		return d.refuse(r, id), nil
	}
	path := string(h.path)
	d.mu.Lock()
	known := d.known[path]
	d.mu.Unlock()
	if known != nil {
		return known, nil
	}
	known = d.refuse(&http.Request{Method: string(h.method), URL: &url.URL{Path: path}, Header: http.Header{}}, placeholder)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.known == nil || len(d.known) == knownPaths {
		d.known = map[string]*refused{}
	}
	d.known[path] = known
	return known, nil
}

// placeholder is the request id in replies that are made for many.
var placeholder = rand.Text()

// refuse has the frame refuse a request of this id.
func (d *door) refuse(r *http.Request, id string) *refused {
	w := dialects.NewRecorder()
	d.frame.refuse(w, r, &enforce.Event{RequestID: id})
	reply := &refused{status: w.Status, length: w.Body.Len(), ids: bytes.Count(w.Body.Bytes(), []byte(id)), idLength: len(id)}
	var rest bytes.Buffer
	_ = w.Header().WriteSubset(&rest, ownFields) // into memory
	rest.Write(crlf)
	rest.Write(w.Body.Bytes())
	reply.rest = bytes.Split(rest.Bytes(), []byte(id))
	return reply
}

// renew sets the deadlines that net/http would have set.
func (c *caller) renew(now time.Time) error {
	if now.Sub(c.renewed) < renewEvery {
		return nil
	}
	c.renewed = now
	if err := c.SetReadDeadline(time.Now().Add(idleTimeout)); err != nil {
		return err
	}
	return c.SetWriteDeadline(time.Now().Add(writeTimeout))
}

// head is what is to be known of a request without its headers.
type head struct {
	method, path []byte
	id           []byte // X-Request-ID, or nil
	strangeID    bool   // it is none that is kept; AuthZEN gives back even such a one
	size         int    // bytes of the head, with the empty line
	length       int64  // bytes of the body
}

var (
	crlf    = []byte("\r\n")
	methods = [][]byte{[]byte("GET"), []byte("POST"), []byte("PUT"), []byte("PATCH"), []byte("DELETE")}
	// What these say of a request is more than its length, or may be read in more than one way (RFC 9112, section 6.3).
	intricate = [][]byte{[]byte("Transfer-Encoding"), []byte("Trailer"), []byte("Expect"), []byte("Upgrade")}
)

// parseHead reads the head of an HTTP/1.1 request (RFC 9112) that is plain: nobody could see another path in it or another end. What is not
// plain, or not whole, is not ok.
func parseHead(p []byte) (h head, ok bool) {
	end := bytes.Index(p, []byte("\r\n\r\n"))
	if end < 0 {
		return h, false
	}
	h.size = end + len("\r\n\r\n")
	line, fields, _ := bytes.Cut(p[:end+len(crlf)], crlf)
	method, rest, _ := bytes.Cut(line, []byte(" "))
	target, version, _ := bytes.Cut(rest, []byte(" "))
	h.method = method
	h.path, _, _ = bytes.Cut(target, []byte("?"))
	if string(version) != "HTTP/1.1" || !slices.ContainsFunc(methods, func(m []byte) bool { return bytes.Equal(m, method) }) ||
		!bytes.HasPrefix(target, []byte("/")) || bytes.HasPrefix(target, []byte("//")) || !visible(target) || bytes.ContainsAny(target, "%#") {
		return h, false
	}
	return h, h.readFields(fields)
}

// visible says whether all is visible ASCII.
func visible(p []byte) bool {
	for _, b := range p {
		if b <= ' ' || b >= 0x7f {
			return false
		}
	}
	return true
}

func (h *head) readFields(fields []byte) (ok bool) {
	measured, hosts := false, 0
	for len(fields) > 0 {
		var line []byte
		line, fields, _ = bytes.Cut(fields, crlf)
		name, value, found := bytes.Cut(line, []byte(":"))
		value = bytes.Trim(value, " \t")
		if !found || !token(name) || bytes.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) {
			return false
		}
		switch {
		case bytes.EqualFold(name, []byte("Content-Length")):
			length, err := strconv.ParseUint(string(value), 10, 31)
			if err != nil || measured {
				return false
			}
			h.length, measured = int64(length), true
		case bytes.EqualFold(name, []byte("Host")):
			if hosts++; len(value) == 0 || bytes.ContainsFunc(value, func(r rune) bool { return !alphanumeric(r) && !strings.ContainsRune(".-_:[]", r) }) {
				return false
			}
		case bytes.EqualFold(name, []byte("X-Request-ID")):
			if h.id == nil && !h.strangeID { // the first, as http.Header.Get has it
				h.id, h.strangeID = value, requestID(string(value)) != string(value)
			}
		case bytes.EqualFold(name, []byte("Connection")):
			if !bytes.EqualFold(value, []byte("keep-alive")) {
				return false
			}
		case slices.ContainsFunc(intricate, func(i []byte) bool { return bytes.EqualFold(name, i) }):
			return false
		}
	}
	return hosts == 1
}

// token says whether a name is one (RFC 9110, section 5.6.2).
func token(name []byte) bool {
	return len(name) > 0 && !bytes.ContainsFunc(name, func(r rune) bool { return !alphanumeric(r) && !strings.ContainsRune("!#$%&'*+-.^_`|~", r) })
}

func alphanumeric(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9'
}

// refused is a reply without its date and the id of its request.
type refused struct {
	status   int
	length   int      // of the body
	ids      int      // how often the id is in the body,
	idLength int      // and how long it is there
	rest     [][]byte // what follows Content-Length, with the id between each two
}

// ownFields are the header fields that a reply is given here, as net/http gives them to its own.
var ownFields = map[string]bool{"Date": true, "Content-Length": true}

// render appends the reply to a request of this id.
func (r *refused) render(to []byte, now time.Time, id string) []byte {
	to = strconv.AppendInt(append(to, "HTTP/1.1 "...), int64(r.status), 10)
	to = append(append(to, ' '), http.StatusText(r.status)...)
	to = now.UTC().AppendFormat(append(to, "\r\nDate: "...), http.TimeFormat)
	to = strconv.AppendInt(append(to, "\r\nContent-Length: "...), int64(r.length+r.ids*(len(id)-r.idLength)), 10)
	to = append(to, crlf...)
	for i, part := range r.rest {
		if i > 0 {
			to = append(to, id...)
		}
		to = append(to, part...)
	}
	return to
}
