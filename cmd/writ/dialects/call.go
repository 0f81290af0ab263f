package dialects

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Call is one request of a dialect on its way.
type Call struct {
	// Dialect is the name of the dialect, Base the path it is below, Plane the listener that the row serves on.
	Dialect, Base string
	Plane         Plane
	Request       *http.Request
	Params        map[string]string
	// Query holds the parameters that were given.
	Query map[string]string
	Body  []byte
	// Header goes with every native call: who asks, on which version. A dialect may rename into it.
	Header http.Header
	Now    func() time.Time

	native    http.Handler
	requestID string
	passed    http.Header
}

// handedOn are the headers of a request that the native routes read.
func handedOn() []string {
	return []string{"Authorization", "If-Match", "If-None-Match", "User-Agent", "X-Request-Id", "Traceparent", "Tracestate"}
}

// passedBack are the headers of a native reply that are the dialect's, too (D-05).
func passedBack() []string {
	return []string{"Decision-Id", "Etag", "Retry-After", "Cache-Control", "Www-Authenticate"}
}

func newCall(m *Mounted, r *http.Request) *Call {
	c := &Call{Dialect: m.Name, Base: m.Base, Now: m.Now, Request: r, Query: map[string]string{}, Header: http.Header{}, passed: http.Header{}}
	for _, name := range handedOn() {
		if values := r.Header[name]; values != nil {
			c.Header[name] = values[:len(values):len(values)]
		}
	}
	return c
}

// RequestID is the id of the request, where whoever serves it gave it one.
func (c *Call) RequestID() string { return c.requestID }

// Passed is a header of the last native reply, where it is one that passes through.
func (c *Call) Passed(name string) string { return c.passed.Get(name) }

// admit reads query and body as the row says.
func (c *Call) admit(w http.ResponseWriter, row *Route) error {
	if err := c.readQuery(row); err != nil || row.Body == NoBody {
		return err
	}
	if encoding := c.Request.Header.Get("Content-Encoding"); encoding != "" && encoding != "identity" {
		return &Fault{Kind: MediaType, Detail: "send the body without a content encoding"}
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, c.Request.Body, maxBody))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return &Fault{Kind: TooLarge, Detail: fmt.Sprintf("the body may have at most %d bytes", maxBody)}
	case err != nil:
		return &Fault{Kind: Unreadable, Detail: "the body could not be read to its end"}
	}
	c.Body = body
	wanted := ""
	switch row.Body {
	case JSON:
		wanted = "application/json"
	case Form:
		wanted = "application/x-www-form-urlencoded"
	case NoBody, Raw:
	}
	if wanted != "" && c.MediaType() != wanted {
		return &Fault{Kind: MediaType, Detail: "send the body as " + wanted}
	}
	return nil
}

// MediaType is that of the body, in UTF-8; empty where it is none, another charset, or said twice.
func (c *Call) MediaType() string {
	given := c.Request.Header.Values("Content-Type")
	if len(given) != 1 {
		return ""
	}
	kind, parameters, err := mime.ParseMediaType(given[0])
	if charset := parameters["charset"]; err != nil || charset != "" && !strings.EqualFold(charset, "utf-8") {
		return ""
	}
	return kind
}

func (c *Call) readQuery(row *Route) error {
	if row.AnyQuery {
		return nil
	}
	values, err := url.ParseQuery(c.Request.URL.RawQuery)
	if err != nil {
		return &Fault{Kind: BadParameter, Detail: "the query string cannot be read"}
	}
	for _, name := range slices.Sorted(keys(values)) {
		switch {
		case !slices.Contains(row.Query, name):
			return &Fault{Kind: BadParameter, At: printable(name), Detail: "no such query parameter here"}
		case len(values[name]) > 1 && !slices.Contains(row.Lists, name):
			return &Fault{Kind: BadParameter, At: name, Detail: "the parameter is given twice"}
		}
		c.Query[name] = strings.Join(values[name], ",")
	}
	return nil
}

func keys[V any](m map[string]V) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// printable keeps a caller's own name from carrying anything but plain characters into a reply.
func printable(name string) string {
	clean := strings.Map(func(r rune) rune {
		if r < 0x21 || r > 0x7e {
			return '?'
		}
		return r
	}, name)
	return clean[:min(len(clean), 64)]
}

// Number is a parameter that is a whole number between two others, or what it is where it is not given.
func (c *Call) Number(name string, least, most, absent int) (int, error) {
	text, ok := c.Query[name]
	if !ok {
		return absent, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < least || n > most || text != strconv.Itoa(n) {
		return 0, &Fault{Kind: BadParameter, At: name, Detail: fmt.Sprintf("want a whole number from %d to %d", least, most)}
	}
	return n, nil
}

// Choice is a parameter that is one of some words, or what it is where it is not given.
func (c *Call) Choice(name, absent string, words ...string) (string, error) {
	text, ok := c.Query[name]
	if !ok {
		return absent, nil
	}
	if !slices.Contains(words, text) {
		return "", &Fault{Kind: BadParameter, At: name, Detail: "want one of " + strings.Join(words, ", ")}
	}
	return text, nil
}

// Path joins segments, each of which stays one, whatever it holds.
func Path(segments ...string) string {
	var b strings.Builder
	for _, segment := range segments {
		b.WriteByte('/')
		b.WriteString(url.PathEscape(segment))
	}
	return b.String()
}

// Answer is a native reply.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// Decode reads the reply of a native route. It is as open as a client should be, and keeps every number as it is written: free properties
// have numbers that no float holds.
func (a *Answer) Decode(into any) error {
	decoder := json.NewDecoder(bytes.NewReader(a.Body))
	decoder.UseNumber()
	if err := decoder.Decode(into); err != nil {
		return fmt.Errorf("read the native reply: %w", err)
	}
	return nil
}

// JSON calls a native route with a body as JSON, or without one where it is nil. A reply that is no success is a *Refusal.
func (c *Call) JSON(method, path string, query url.Values, body any) (*Answer, error) {
	var sent []byte
	kind := ""
	if body != nil {
		var err error
		if sent, err = json.Marshal(body); err != nil {
			return nil, fmt.Errorf("write the native request: %w", err)
		}
		kind = "application/json"
	}
	return c.send(method, path, query, kind, sent)
}

// Get reads a native object into a value.
func (c *Call) Get(path string, query url.Values, into any) (*Answer, error) {
	answer, err := c.JSON(http.MethodGet, path, query, nil)
	if err != nil {
		return nil, err
	}
	return answer, answer.Decode(into)
}

// Form calls a native route with a form.
func (c *Call) Form(path string, form url.Values) (*Answer, error) {
	return c.send(http.MethodPost, path, nil, "application/x-www-form-urlencoded", []byte(form.Encode()))
}

// Forward calls a native route with the body as it came, whatever it is: the route itself says what it takes.
func (c *Call) Forward(method, path string) (*Answer, error) {
	return c.send(method, path, nil, c.Request.Header.Get("Content-Type"), c.Body)
}

// send calls the native route in process, as the caller, in the caller's context.
func (c *Call) send(method, path string, query url.Values, kind string, body []byte) (*Answer, error) {
	target, err := url.Parse(path)
	if err != nil {
		return nil, fmt.Errorf("write the native request: %w", err)
	}
	target.RawQuery = query.Encode()
	given := c.Request
	header := c.Header.Clone()
	if kind != "" {
		header.Set("Content-Type", kind)
	}
	request := (&http.Request{
		Method: method, URL: target, Proto: given.Proto, ProtoMajor: given.ProtoMajor, ProtoMinor: given.ProtoMinor, Header: header,
		Body: io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body)), Host: given.Host, RemoteAddr: given.RemoteAddr,
		RequestURI: target.RequestURI(), TLS: given.TLS,
	}).WithContext(given.Context())
	w := NewRecorder()
	c.native.ServeHTTP(w, request)
	return c.answered(w)
}

// answered takes in a native reply.
func (c *Call) answered(w *Recorder) (*Answer, error) {
	answer := &Answer{Status: w.Status, Header: w.header, Body: w.Body.Bytes()}
	if answer.Status == 0 {
		answer.Status = http.StatusOK
	}
	// Those of the last call count: it is the one that the reply is about. Of several decisions the first is the one that the others have as
	// parent in the decision log.
	first := c.passed["Decision-Id"]
	c.passed = http.Header{}
	for _, name := range passedBack() {
		if values := w.header[name]; values != nil {
			c.passed[name] = values
		}
	}
	if first != nil {
		c.passed["Decision-Id"] = first
	}
	if answer.Status < http.StatusOK || answer.Status >= http.StatusMultipleChoices {
		return nil, newRefusal(answer)
	}
	return answer, nil
}

// write sends the reply of the dialect, with what passes through of the native one.
func (c *Call) write(w http.ResponseWriter, reply Reply) {
	body, raw := reply.Body.([]byte)
	if !raw && reply.Body != nil {
		var err error
		if body, err = json.Marshal(reply.Body); err != nil {
			reply, body = Reply{Status: http.StatusInternalServerError}, nil
		}
	}
	header := w.Header()
	for name, values := range c.passed {
		header[name] = values
	}
	for name, values := range reply.Header {
		header[name] = values
	}
	if body != nil && header.Get("Content-Type") == "" {
		header.Set("Content-Type", "application/json")
	}
	w.WriteHeader(reply.Status)
	_, _ = w.Write(body) // the client is gone if this fails; there is nobody to tell
}

// Recorder is an http.ResponseWriter that keeps a reply in memory.
type Recorder struct {
	Status int // 0 until there is one
	Body   bytes.Buffer
	header http.Header
}

// NewRecorder keeps nothing yet.
func NewRecorder() *Recorder { return &Recorder{header: http.Header{}} }

// Header implements http.ResponseWriter.
func (w *Recorder) Header() http.Header { return w.header }

// WriteHeader implements http.ResponseWriter.
func (w *Recorder) WriteHeader(status int) {
	if w.Status == 0 && status >= http.StatusOK {
		w.Status = status
	}
}

// Write implements http.ResponseWriter.
func (w *Recorder) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.Body.Write(p)
}
