package e2e

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var client = &http.Client{
	Timeout:       20 * time.Second,
	Transport:     exchanges,
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// A scenario is a linear story told over HTTP. The first thing that goes wrong sticks: what follows does nothing, and the
// end of
// the step reports it with the request and the reply. Every scenario is checked when its test ends.
type scenario struct {
	t    *testing.T
	s    *Server
	auth string // value of the Authorization header, or empty
	next http.Header
	host string // of the next request, or empty for the one that the path belongs to
	last reply
	name string // of the step
	err  error

	again func() (reply, error) // sends the request once more that last is the reply to, if sent is what it says
	sent  string
	waits bool // an outage is asked again, see patient
}

// reply is what came back, and what it came back to.
type reply struct {
	request string
	status  int
	header  http.Header
	body    []byte
}

func story(t *testing.T, s *Server) *scenario {
	t.Helper()
	c := &scenario{t: t, s: s, next: http.Header{}, waits: true}
	t.Cleanup(c.done)
	return c
}

// step ends the step before, which must have gone well, and names the next one.
func (c *scenario) step(name string) {
	c.t.Helper()
	c.done()
	c.name = name
}

// done ends the story's present step.
func (c *scenario) done() {
	c.t.Helper()
	if err := c.err; err != nil {
		c.err = nil
		c.t.Fatalf("%s: %v\n%s%s", c.name, err, c.last, c.said())
	}
}

// expect ends the step without ending the test: a table goes on with its next row.
func (c *scenario) expect(name string) {
	c.t.Helper()
	if err := c.err; err != nil {
		c.err = nil
		c.t.Errorf("%s: %v\n%s%s", name, err, c.last, c.said())
	}
}

// said is what the server has in its log of an outage that the last reply tells, and the last of what it warned of.
func (c *scenario) said() string {
	if c.last.status != http.StatusServiceUnavailable {
		return ""
	}
	var of, warned []string
	id := c.last.header.Get("X-Request-Id")
	for line := range strings.SplitSeq(c.s.text(c.s.stderr()), "\n") {
		switch {
		case id != "" && strings.Contains(line, id):
			of = append(of, line)
		case strings.Contains(line, `"level":"ERROR"`), strings.Contains(line, `"level":"WARN"`):
			warned = append(warned, line)
		}
	}
	return "\n  log: " + strings.Join(append(of, warned[max(0, len(warned)-3):]...), "\n       ")
}

// once computes a value that all stories of a server share, such as a token of root. A failure is not kept.
func once[T any](c *scenario, key string, compute func() T) T {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	if v, ok := c.s.cache[key]; ok {
		return v.(T)
	}
	v := compute()
	if c.err == nil {
		c.s.cache[key] = v
	}
	return v
}

func (r reply) String() string {
	body := r.body
	if len(body) > 1500 {
		body = append(slices.Clone(body[:1500]), "…"...)
	}
	return fmt.Sprintf("  request: %s\n  reply: %d %s", r.request, r.status, body)
}

func (c *scenario) fail(format string, args ...any) *scenario {
	if c.err == nil {
		c.err = fmt.Errorf(format, args...)
	}
	return c
}

// as sets whose credential the requests carry from now on: an Authorization header, or "" for nobody.
func (c *scenario) as(authorization string) *scenario { c.auth = authorization; return c }

func bearer(token string) string { return "Bearer " + canary(token) }

// basic form-encodes id and secret before it joins them, as RFC 6749 section 2.3.1 demands.
func basic(id, secret string) string {
	canaryBasic(id, secret)
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(id)+":"+url.QueryEscape(secret)))
}

// with adds a header to the next request.
func (c *scenario) with(name, value string) *scenario { c.next.Add(name, value); return c }

// onPublic and onAdmin send the next request to that listener, wherever its path belongs.
func (c *scenario) onPublic() *scenario { c.host = c.s.Public; return c }
func (c *scenario) onAdmin() *scenario  { c.host = c.s.Admin; return c }

// publicPaths begin the paths that belong to the public listener; all others belong to the admin listener.
var publicPaths = []string{"/oauth2/", "/connect/", "/token", "/access/", "/v1/permissions", "/v1/data/", "/v1/batch/", "/v1/compile/", "/.well-known/", "/forward-auth"}

func (c *scenario) url(path string) string {
	host := c.s.Admin
	for _, p := range publicPaths {
		if strings.HasPrefix(path, p) {
			host = c.s.Public
		}
	}
	if c.host != "" {
		host = c.host
	}
	return host + path
}

func (c *scenario) get(path string) *scenario          { return c.send(http.MethodGet, path, nil) }
func (c *scenario) post(path string, b any) *scenario  { return c.send(http.MethodPost, path, b) }
func (c *scenario) put(path string, b any) *scenario   { return c.send(http.MethodPut, path, b) }
func (c *scenario) patch(path string, b any) *scenario { return c.send(http.MethodPatch, path, b) }
func (c *scenario) delete(path string) *scenario       { return c.send(http.MethodDelete, path, nil) }

func (c *scenario) form(path string, f url.Values) *scenario { return c.send(http.MethodPost, path, f) }

// object is a JSON object written in a test.
type object = map[string]any

// list is a JSON array written in a test.
type list = []any

// send sends a request. A body of type string or []byte goes as it is, url.Values as a form, anything else as JSON; nil
// is none.
func (c *scenario) send(method, path string, body any) *scenario {
	target, header := c.url(path), c.next
	c.next, c.host = http.Header{}, ""
	if c.err != nil {
		return c
	}
	var data []byte
	kind := "application/json"
	switch b := body.(type) {
	case nil:
		kind = ""
	case string:
		data = []byte(b)
	case []byte:
		data = b
	case url.Values:
		for k, vs := range b {
			if secretKeys[k] {
				for _, v := range vs {
					canary(v)
				}
			}
		}
		data, kind = []byte(b.Encode()), "application/x-www-form-urlencoded"
	default:
		harvest(normal(b))
		var err error
		if data, err = json.Marshal(b); err != nil {
			return c.fail("marshal the body: %v", err)
		}
	}
	if kind != "" && header.Get("Content-Type") == "" {
		header.Set("Content-Type", kind)
	}
	if c.auth != "" && header.Get("Authorization") == "" {
		header.Set("Authorization", c.auth)
	}
	c.again = func() (reply, error) { return exchange(c.t.Context(), c.s, method, target, header.Clone(), data) }
	return c.request(method + " " + target)
}

// request sends the request that c.again sends.
func (c *scenario) request(what string) *scenario {
	r, err := c.again()
	if err != nil {
		return c.fail("%s: %v", what, err)
	}
	c.last, c.sent = r, r.request
	harvest(r.value())
	return c
}

// outages are requests of tests about something else that were answered 503 and sent again.
var outages struct {
	sync.Mutex
	requests []string
}

// outagesAllowed is how many of them a busy machine explains: at a load of 17 on two cores there were none. More are a fault of the server.
const outagesAllowed = 10

// patient sends a request that is answered with an outage again, as the reply asks for: a machine whose disk or cores are busy with something
// else for seconds makes limits of time run out. It is for stories, which ask one thing after the other. What many ask at once counts as it is
// answered, and so does everything on a server with Options.Strict, for tests whose subject are outages.
func (c *scenario) patient(wanted int) {
	for range 3 {
		if c.err != nil || !c.waits || c.s.strict || c.last.request != c.sent || c.last.status != http.StatusServiceUnavailable ||
			wanted == http.StatusServiceUnavailable {
			return
		}
		seconds, err := strconv.Atoi(c.last.header.Get("Retry-After"))
		if err != nil || seconds > 5 {
			return
		}
		outages.Lock()
		outages.requests = append(outages.requests, c.t.Name()+": "+c.last.request+c.said())
		outages.Unlock()
		time.Sleep(time.Duration(seconds) * time.Second)
		c.request("once more")
	}
}

// outagesTold says which requests were sent again, and fails if they are too many.
func outagesTold() []error {
	if len(outages.requests) == 0 {
		return nil
	}
	fmt.Fprintf(os.Stdout, "e2e: %d requests were answered 503 by servers that had no outage to prove, and sent again:\n%s\n", len(outages.requests),
		strings.Join(outages.requests, "\n"))
	if len(outages.requests) > outagesAllowed {
		return []error{fmt.Errorf("outages: %d requests were answered 503, more than a busy machine explains", len(outages.requests))}
	}
	return nil
}

// exchange does one request and notes its Decision-Id.
func exchange(ctx context.Context, s *Server, method, target string, header http.Header, body []byte) (reply, error) {
	if ctx.Err() != nil { // a clean-up
		ctx = context.WithoutCancel(ctx)
	}
	req, err := http.NewRequestWithContext(ctx, method, target, bytes.NewReader(body))
	if err != nil {
		return reply{}, err
	}
	if body == nil {
		req.Body = http.NoBody
	}
	req.Header = header
	sent := body
	if len(sent) > 400 {
		sent = sent[:400]
	}
	r := reply{request: fmt.Sprintf("%s %s %s", method, target, sent)}
	resp, err := client.Do(req)
	if err != nil {
		return r, err
	}
	defer resp.Body.Close()
	if r.body, err = io.ReadAll(resp.Body); err != nil {
		return r, err
	}
	r.status, r.header = resp.StatusCode, resp.Header
	if ids := resp.Header.Values("Decision-Id"); len(ids) > 1 {
		return r, fmt.Errorf("%d Decision-Id headers", len(ids))
	} else if len(ids) == 1 {
		if err := s.Log.note(ids[0], method+" "+target); err != nil {
			return r, err
		}
	}
	return r, nil
}

// value is the body as JSON, or nil.
func (r reply) value() any {
	var v any
	decoder := json.NewDecoder(bytes.NewReader(r.body))
	decoder.UseNumber()
	if decoder.Decode(&v) != nil {
		return nil
	}
	return v
}

// normal turns a Go value into what JSON makes of it.
func normal(v any) any {
	b, err := json.Marshal(v)
	if err != nil {
		return v
	}
	return reply{body: b}.value()
}

// at finds the value that a JSON pointer names.
func at(v any, pointer string) (any, bool) {
	if pointer == "" {
		return v, v != nil
	}
	for _, part := range strings.Split(strings.TrimPrefix(pointer, "/"), "/") {
		part = strings.NewReplacer("~1", "/", "~0", "~").Replace(part)
		switch in := v.(type) {
		case map[string]any:
			member, ok := in[part]
			if !ok {
				return nil, false
			}
			v = member
		case []any:
			i, err := strconv.Atoi(part)
			if err != nil || i < 0 || i >= len(in) {
				return nil, false
			}
			v = in[i]
		default:
			return nil, false
		}
	}
	return v, true
}

// text takes a string out of the reply; its absence is an error.
func (c *scenario) text(pointer string) string {
	if c.err != nil {
		return ""
	}
	v, ok := at(c.last.value(), pointer)
	s, isText := v.(string)
	if !ok || !isText || s == "" {
		c.fail("the reply has no text at %s", pointer)
	}
	return s
}

// header takes a header out of the reply; its absence is an error.
func (c *scenario) header(name string) string {
	if c.err != nil {
		return ""
	}
	v := c.last.header.Get(name)
	if v == "" {
		c.fail("the reply has no header %s", name)
	}
	return v
}

func (c *scenario) wantStatus(status int) *scenario {
	c.patient(status)
	if c.err == nil && c.last.status != status {
		c.fail("status %d, want %d", c.last.status, status)
	}
	return c
}

func (c *scenario) wantHeader(name, value string) *scenario {
	if c.err == nil && c.last.header.Get(name) != value {
		c.fail("header %s is %q, want %q", name, c.last.header.Get(name), value)
	}
	return c
}

// want compares the value at a JSON pointer with what a Go value is as JSON.
func (c *scenario) want(pointer string, value any) *scenario {
	if c.err != nil {
		return c
	}
	got, ok := at(c.last.value(), pointer)
	if !ok {
		return c.fail("nothing at %q, want %v", pointer, value)
	}
	if diff := cmp.Diff(normal(value), got); diff != "" {
		return c.fail("at %q (-want +got):\n%s", pointer, diff)
	}
	return c
}

// wantAbsent demands that nothing, or null, is at a JSON pointer.
func (c *scenario) wantAbsent(pointer string) *scenario {
	if c.err != nil {
		return c
	}
	if v, ok := at(c.last.value(), pointer); ok && v != nil {
		return c.fail("%v at %q, want nothing", v, pointer)
	}
	return c
}

// wantNoSecret demands that the reply shows none of the secrets.
func (c *scenario) wantNoSecret(secrets ...string) *scenario {
	for _, s := range secrets {
		if c.err == nil && s != "" && bytes.Contains(c.last.body, []byte(s)) {
			c.fail("the reply shows a secret")
		}
	}
	return c
}

// wantItems compares the members of the given name of a list's items, in any order.
func (c *scenario) wantItems(member string, want ...string) *scenario {
	if c.err != nil {
		return c
	}
	got := c.items(member)
	slices.Sort(got)
	slices.Sort(want)
	if c.err == nil && !slices.Equal(got, want) {
		c.fail("items have %s %v, want %v", member, got, want)
	}
	return c
}

// items returns a text member of each of the reply's items.
func (c *scenario) items(member string) []string {
	v, _ := at(c.last.value(), "/items")
	array, ok := v.([]any)
	if !ok {
		c.fail("the reply has no items")
		return nil
	}
	out := []string{}
	for _, item := range array {
		v, _ := at(item, "/"+member)
		s, _ := v.(string)
		out = append(out, s)
	}
	return out
}

// wantProblem demands an RFC 9457 problem with its stable members; a pointer of "" is not looked at.
func (c *scenario) wantProblem(status int, pointer string) *scenario {
	c.wantStatus(status)
	if c.err != nil {
		return c
	}
	if kind := c.last.header.Get("Content-Type"); !strings.HasPrefix(kind, "application/problem+json") {
		return c.fail("Content-Type %q, want application/problem+json", kind)
	}
	v := c.last.value()
	for _, member := range []string{"type", "code", "title", "request_id"} {
		if text, _ := at(v, "/"+member); text == nil || text == "" {
			return c.fail("the problem has no %s", member)
		}
	}
	if got, _ := at(v, "/status"); got != json.Number(strconv.Itoa(status)) {
		return c.fail("the problem's status is %v, want %d", got, status)
	}
	if pointer != "" {
		if got, _ := at(v, "/pointer"); got != pointer {
			return c.fail("the problem's pointer is %v, want %q", got, pointer)
		}
	}
	return c
}

// wantNaming demands that the problem names something, such as a query parameter or a refused id.
func (c *scenario) wantNaming(name string) *scenario {
	if c.err == nil && !bytes.Contains(c.last.body, []byte(name)) {
		return c.fail("the problem does not name %q", name)
	}
	return c
}

// wantDenied demands a denial by the policy: 403, a Decision-Id, and the reason code.
func (c *scenario) wantDenied(code string) *scenario {
	return c.wantRefused(http.StatusForbidden, code)
}

// wantRefused is wantDenied for the reasons that have another status.
func (c *scenario) wantRefused(status int, code string) *scenario {
	c.wantProblem(status, "")
	if c.err != nil {
		return c
	}
	if c.header("Decision-Id") == "" {
		return c
	}
	if got, _ := at(c.last.value(), "/decision_id"); got != c.last.header.Get("Decision-Id") {
		return c.fail("the problem's decision_id is %v, the header's %s", got, c.last.header.Get("Decision-Id"))
	}
	reasons, _ := at(c.last.value(), "/reasons")
	array, _ := reasons.([]any)
	for _, r := range array {
		if got, _ := at(r, "/code"); got == code {
			return c
		}
	}
	return c.fail("the reasons %v do not have %s", reasons, code)
}

// wantOAuthError demands an RFC 6749 section 5.2 error.
func (c *scenario) wantOAuthError(status int, code string) *scenario {
	c.wantStatus(status)
	if c.err != nil {
		return c
	}
	body, ok := c.last.value().(map[string]any)
	if !ok {
		return c.fail("the body is not a JSON object")
	}
	for k := range body {
		if k != "error" && k != "error_description" && k != "error_uri" {
			return c.fail("an OAuth error has no member %s", k)
		}
	}
	description, _ := body["error_description"].(string)
	for _, b := range []byte(description) {
		if b < 0x20 || b > 0x7e || b == '"' || b == '\\' {
			return c.fail("error_description holds byte %#x", b)
		}
	}
	if body["error"] != code {
		return c.fail("error is %v, want %s", body["error"], code)
	}
	c.wantHeader("Cache-Control", "no-store")
	if status == http.StatusUnauthorized && c.err == nil {
		if challenge := c.last.header.Get("WWW-Authenticate"); !strings.HasPrefix(challenge, "Basic") {
			return c.fail("WWW-Authenticate is %q, want Basic first", challenge)
		}
	}
	return c
}

// wantUnauthorized demands the 401 of an API.
func (c *scenario) wantUnauthorized() *scenario {
	c.wantStatus(http.StatusUnauthorized)
	if c.err == nil && !strings.HasPrefix(c.last.header.Get("WWW-Authenticate"), "Bearer") {
		return c.fail("WWW-Authenticate is %q, want Bearer first", c.last.header.Get("WWW-Authenticate"))
	}
	return c
}

// wantSame demands that two replies cannot be told apart, but for ids of the request.
func (c *scenario) wantSame(other reply) *scenario {
	if c.err != nil {
		return c
	}
	a, b := visible(c.last), visible(other)
	if !reflect.DeepEqual(a, b) {
		return c.fail("the replies can be told apart (-other +this):\n%s", cmp.Diff(b, a))
	}
	return c
}

func visible(r reply) object {
	header := r.header.Clone()
	for _, h := range []string{"Date", "Decision-Id", "X-Request-Id", "Content-Length"} {
		header.Del(h)
	}
	body := r.value()
	if m, ok := body.(map[string]any); ok {
		for _, k := range []string{"decision_id", "request_id", "instance"} {
			delete(m, k)
		}
	}
	return object{"status": r.status, "header": map[string][]string(header), "body": body, "raw": len(r.body)}
}

// eventually repeats an attempt until it succeeds; its last error is the scenario's.
func (c *scenario) eventually(within time.Duration, attempt func()) {
	if c.err != nil {
		return
	}
	defer func(before bool) { c.waits = before }(c.waits)
	c.waits = false // a 503 is one more attempt
	deadline := time.Now().Add(within)
	for {
		attempt()
		if c.err == nil || time.Now().After(deadline) {
			return
		}
		c.err = nil
		time.Sleep(pollEvery)
	}
}

// itemWith returns the item of a list whose member has the given text, or nil.
func (c *scenario) itemWith(member, text string) object {
	v, _ := at(c.last.value(), "/items")
	array, _ := v.([]any)
	for _, item := range array {
		if o, ok := item.(map[string]any); ok && o[member] == text {
			return o
		}
	}
	return nil
}
