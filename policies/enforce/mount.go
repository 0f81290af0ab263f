package enforce

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"mime"
	"net/http"
	"net/url"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/writ-authz/writ/policies"
)

// maxAttempts bounds how often one request resolves and decides anew.
const maxAttempts = 16

// maxPause bounds the pause between two attempts.
const maxPause = 64 * time.Millisecond

// DefaultMaxBody is the largest body, in bytes, where Config.MaxBody is 0.
const DefaultMaxBody = 1 << 20

// Decider takes decisions; *policies.PDP is the one that serves.
type Decider interface {
	Decide(ctx context.Context, q *policies.Question) (policies.Decision, error)
	Why(ctx context.Context, q *policies.Question, d policies.Decision) ([]policies.Reason, error)
	Catalogue() *policies.Catalogue
}

// Config is everything that one listener serves.
type Config struct {
	PDP    Decider
	Log    *policies.Log
	Now    func() time.Time
	Groups []Group
	Open   []OpenRoute
	// Fallback writes errors of paths that belong to no group.
	Fallback Plane
	// MaxBody is the largest body in bytes; 0 means DefaultMaxBody.
	MaxBody int64
}

// Mount mounts every row and returns the handler of one listener. It is the only caller of gin registration. It refuses a
// nil PDP, log or clock, a row twice, a malformed path, an action or type that the catalogue lacks, and an open route that the
// closed list does not name.
func Mount(c Config) (*Listener, error) {
	if isNil(c.PDP) || c.Log == nil || c.Now == nil {
		return nil, errors.New("mount routes: a PDP, a decision log and a clock are needed")
	}
	if c.MaxBody == 0 {
		c.MaxBody = DefaultMaxBody
	}
	gin.SetMode(gin.ReleaseMode)
	engine := gin.New()
	engine.HandleMethodNotAllowed = true
	engine.RedirectTrailingSlash = false
	engine.RedirectFixedPath = false
	engine.RemoveExtraSlash = false
	engine.ContextWithFallback = false
	if err := engine.SetTrustedProxies(nil); err != nil {
		return nil, fmt.Errorf("mount routes: %w", err)
	}
	m := &mount{config: c, engine: engine, rows: map[string]bool{}}
	for _, group := range c.Groups {
		if group.Plane.WriteError == nil || group.Plane.WriteDenial == nil {
			return nil, fmt.Errorf("mount routes: plane %q has no error writer", group.Plane.Name)
		}
		for _, row := range group.Routes {
			if err := m.decided(group.Plane, row); err != nil {
				return nil, fmt.Errorf("mount %s %s: %w", row.Method, row.Path, err)
			}
		}
	}
	for _, row := range c.Open {
		if err := m.open(row); err != nil {
			return nil, fmt.Errorf("mount %s %s: %w", row.Method, row.Path, err)
		}
	}
	engine.NoRoute(m.refuse(ErrNotFound))
	engine.NoMethod(m.refuse(ErrMethod))
	return &Listener{mount: m, serve: unambiguous(engine, m.refuseHTTP)}, nil
}

// Listener is the handler of one listener.
type Listener struct {
	mount *mount
	serve http.Handler
}

// ServeHTTP implements http.Handler.
func (l *Listener) ServeHTTP(w http.ResponseWriter, r *http.Request) { l.serve.ServeHTTP(w, r) }

// Refuse answers a request with an error, in the language of the plane that its path belongs to, and reads nothing of it.
func (l *Listener) Refuse(w http.ResponseWriter, r *http.Request, err error) {
	l.mount.refuseHTTP(w, r, err)
}

func isNil(v any) bool {
	if v == nil {
		return true
	}
	value := reflect.ValueOf(v)
	return value.Kind() == reflect.Pointer && value.IsNil()
}

type mount struct {
	config Config
	engine *gin.Engine
	rows   map[string]bool
	planes []planePath
}

// planePath remembers which plane a template belongs to, so that a 405 is written in its language.
type planePath struct {
	segments []string
	plane    Plane
}

// decided registers one row that takes a decision.
func (m *mount) decided(plane Plane, row Route) error {
	if row.Resolve == nil || row.Entrypoint == "" {
		return errors.New("a route needs an entrypoint and a resolve step")
	}
	if !m.config.PDP.Catalogue().Known(row.Type, row.Action) {
		return fmt.Errorf("the catalogue has no action %s:%s", row.Type, row.Action)
	}
	if openPath(row.Path) {
		return errors.New("the path is on the list of undecided routes")
	}
	return m.register(row.Method, row.Path, plane, func(c *gin.Context) { m.serve(c, plane, row) })
}

// open registers one row that takes none.
func (m *mount) open(row OpenRoute) error {
	if !openPath(row.Path) {
		return errors.New("only the routes listed in openroutes.go may be undecided")
	}
	return m.register(row.Method, row.Path, m.config.Fallback, func(c *gin.Context) {
		EventFrom(c.Request.Context()).Route = row.Method + " " + row.Path
		row.Handler(c.Writer, c.Request)
	})
}

// register hands a template to gin. GET rows serve HEAD too (RFC 9110, 9.1).
func (m *mount) register(method, path string, plane Plane, handler gin.HandlerFunc) error {
	native, err := ginPath(path)
	if err != nil {
		return err
	}
	methods := []string{method}
	if method == http.MethodGet {
		methods = append(methods, http.MethodHead)
	}
	for _, method := range methods {
		if key := method + " " + native; m.rows[key] {
			return errors.New("the route is there already")
		} else {
			m.rows[key] = true
		}
		m.engine.Handle(method, native, handler)
	}
	m.planes = append(m.planes, planePath{segments: strings.Split(path, "/"), plane: plane})
	return nil
}

// ginPath turns {id} into :id and a last {path...} into *path. gin allows one wildcard per segment and lets it begin at any colon, so a
// template must not have one.
func ginPath(path string) (string, error) {
	if !strings.HasPrefix(path, "/") || strings.ContainsAny(path, ":*") {
		return "", errors.New("a path begins with a slash and has neither ':' nor '*'")
	}
	segments := strings.Split(path, "/")
	for i, segment := range segments {
		inner, opened := strings.CutPrefix(segment, "{")
		name, closed := strings.CutSuffix(inner, "}")
		switch {
		case opened && closed && i == len(segments)-1 && isRest(name):
			segments[i] = "*" + strings.TrimSuffix(name, restMark)
		case opened && closed && name != "" && !strings.ContainsAny(name, "{}."):
			segments[i] = ":" + name
		case strings.ContainsAny(segment, "{}"):
			return "", errors.New("a parameter is a whole segment: /{name}")
		}
	}
	return strings.Join(segments, "/"), nil
}

// restMark ends the name of a parameter that stands for all segments that follow.
const restMark = "..."

func isRest(name string) bool {
	name, rest := strings.CutSuffix(name, restMark)
	return rest && name != "" && !strings.ContainsAny(name, "{}.")
}

// unambiguous refuses paths that a router and a rule could read in two ways, before anything is matched: encoded slashes and
// backslashes, and empty segments.
func unambiguous(next http.Handler, refuse func(http.ResponseWriter, *http.Request, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		raw := strings.ToLower(r.URL.EscapedPath())
		for _, bad := range []string{"%2f", "%5c", "\\", "//"} {
			if strings.Contains(raw, bad) {
				refuse(w, r, ErrNotFound)
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

func (m *mount) refuse(err error) gin.HandlerFunc {
	return func(c *gin.Context) {
		m.refuseHTTP(c.Writer, c.Request, err)
		c.Abort()
	}
}

func (m *mount) refuseHTTP(w http.ResponseWriter, r *http.Request, err error) {
	event := EventFrom(r.Context())
	m.planeOf(r.URL.Path).WriteError(w, &Request{HTTP: r, ID: event.RequestID, Now: m.config.Now()}, err)
}

func (m *mount) planeOf(path string) Plane {
	segments := strings.Split(path, "/")
	for _, p := range m.planes {
		given := segments
		if last := len(p.segments) - 1; strings.HasSuffix(p.segments[last], restMark+"}") && len(given) > last {
			given = given[:last+1]
		}
		if slices.EqualFunc(p.segments, given, func(template, segment string) bool {
			return template == segment || strings.HasPrefix(template, "{")
		}) {
			return p.plane
		}
	}
	return m.config.Fallback
}

// serve takes one request through its route.
func (m *mount) serve(c *gin.Context, plane Plane, row Route) {
	ctx := c.Request.Context()
	event := EventFrom(ctx)
	event.Route, event.Entrypoint = row.Method+" "+row.Path, string(row.Entrypoint)
	req := &Request{HTTP: c.Request, ID: event.RequestID, Now: m.config.Now(), Params: params(c), Permission: row.Type + ":" + row.Action, shape: row.Shape}
	if err := m.admit(ctx, c.Writer, req, plane, row); err != nil {
		m.fail(c.Writer, req, plane, err)
		return
	}
	if req.Caller != nil {
		event.Subject, event.Client, event.Tenant = req.Caller.ID, req.Caller.ClientID, req.Caller.Tenant
	}
	// The place in the decision log is taken before the work, so that a full log can still refuse (decision_log.required).
	slot, err := m.config.Log.Reserve()
	if err != nil {
		m.fail(c.Writer, req, plane, err)
		return
	}
	defer slot.Release()
	req.DecisionID = policies.NewDecisionID()
	req.asking = asking{mount: m, plane: plane, row: row, mu: new(sync.Mutex)}
	for req.Attempt = 0; req.Attempt < maxAttempts; req.Attempt++ {
		event.Attempts = req.Attempt + 1
		if m.attempt(ctx, c.Writer, req, plane, row, slot) {
			return
		}
		if err := part(ctx, req.Attempt); err != nil {
			m.fail(c.Writer, req, plane, fmt.Errorf("%w: %w", ErrBusy, err))
			return
		}
		req.Now = m.config.Now()
	}
	m.fail(c.Writer, req, plane, ErrBusy)
}

// part waits before the next attempt, at random and longer from one to the next. A store with concurrent transactions tells of a
// conflict at once, while the other transaction is still under way: rivals that came back at once would meet again.
func part(ctx context.Context, attempt int) error {
	timer := time.NewTimer(rand.N(min(time.Millisecond<<attempt, maxPause)))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

func (m *mount) fail(w http.ResponseWriter, req *Request, plane Plane, err error) {
	event := EventFrom(req.HTTP.Context())
	event.Err = err
	plane.WriteError(w, req, err)
}

func params(c *gin.Context) map[string]string {
	if len(c.Params) == 0 {
		return nil
	}
	named := make(map[string]string, len(c.Params))
	for _, p := range c.Params {
		named[p.Key] = strings.TrimPrefix(p.Value, "/") // gin begins the rest of a path with its slash
	}
	return named
}

// admit checks, in this order, who asks, the query and the body. A request without a good credential learns nothing else.
func (m *mount) admit(ctx context.Context, w http.ResponseWriter, req *Request, plane Plane, row Route) error {
	if plane.Authenticator != nil {
		caller, err := plane.Authenticator.Authenticate(ctx, req.HTTP)
		if err != nil {
			return err
		}
		req.Caller = caller
	}
	if err := readQuery(req, plane, row); err != nil {
		return err
	}
	limit := m.config.MaxBody
	if row.MaxBody > 0 {
		limit = row.MaxBody
	}
	return readBody(w, req, row, limit)
}

func readQuery(req *Request, plane Plane, row Route) error {
	if req.HTTP.URL.RawQuery == "" {
		return nil
	}
	values, err := url.ParseQuery(req.HTTP.URL.RawQuery)
	if err != nil && !plane.LooseQuery {
		return &ProtocolError{Status: http.StatusBadRequest, Code: "malformed_query", Detail: "the query string cannot be read"}
	}
	req.Query = map[string]string{}
	for name, given := range values {
		switch {
		case !slices.Contains(row.Query, name):
			if !plane.LooseQuery {
				return BadParameter("unknown_parameter", printable(name), "no such query parameter here")
			}
		case len(given) > 1:
			return BadParameter("repeated_parameter", name, "the parameter is given twice")
		default:
			req.Query[name] = given[0]
		}
	}
	return nil
}

// printable keeps a caller's own parameter name from carrying anything but plain characters into a reply.
func printable(name string) string {
	clean := strings.Map(func(r rune) rune {
		if r < 0x21 || r > 0x7e {
			return '?'
		}
		return r
	}, name)
	return clean[:min(len(clean), 64)]
}

func readBody(w http.ResponseWriter, req *Request, row Route, limit int64) error {
	if row.Body == NoBody {
		return nil
	}
	if encoding := req.HTTP.Header.Get("Content-Encoding"); encoding != "" && encoding != "identity" {
		return &ProtocolError{
			Status: http.StatusUnsupportedMediaType, Code: "unsupported_encoding", Detail: "send the body without a content encoding",
		}
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, req.HTTP.Body, limit))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return &ProtocolError{
			Status: http.StatusRequestEntityTooLarge, Code: "body_too_large",
			Detail: fmt.Sprintf("the body may have at most %d bytes", limit),
		}
	case errors.Is(err, os.ErrDeadlineExceeded):
		return &ProtocolError{Status: http.StatusRequestTimeout, Code: "slow_body", Detail: "the body did not arrive in time; send it again"}
	case err != nil:
		return &ProtocolError{Status: http.StatusBadRequest, Code: "unreadable_body", Detail: "the body could not be read to its end"}
	}
	req.Body = body
	if (row.Body == OptionalForm || row.Body == OptionalJSON) && len(body) == 0 {
		return nil
	}
	return checkType(req.HTTP.Header.Values("Content-Type"), row)
}

func checkType(given []string, row Route) error {
	wanted := []string{"application/json"}
	switch {
	case row.Body != JSONBody && row.Body != OptionalJSON:
		wanted = []string{"application/x-www-form-urlencoded"}
	case row.Method == http.MethodPatch:
		wanted = append(wanted, "application/merge-patch+json")
	}
	if len(given) == 1 {
		if kind, parameters, err := mime.ParseMediaType(given[0]); err == nil && slices.Contains(wanted, kind) {
			if charset := parameters["charset"]; charset == "" || strings.EqualFold(charset, "utf-8") {
				return nil
			}
		}
	}
	return &ProtocolError{
		Status: http.StatusUnsupportedMediaType, Code: "unsupported_media_type", Detail: "send the body as " + strings.Join(wanted, " or "),
	}
}

// attempt resolves, decides and responds once. It returns false if a compare-and-swap was lost and nothing was written.
func (m *mount) attempt(
	ctx context.Context, w http.ResponseWriter, req *Request, plane Plane, row Route, slot *policies.Slot,
) bool {
	resolved, err := row.Resolve(ctx, req)
	if err != nil {
		if errors.Is(err, ErrRetry) {
			return false
		}
		m.fail(w, req, plane, err)
		return true
	}
	question := &resolved.Question
	complete(question, req, plane, row)
	decision, err := m.config.PDP.Decide(ctx, question)
	event := EventFrom(ctx)
	line := policies.LogLine{
		Decision: decision, Entrypoint: question.Entrypoint, RequestID: req.ID, ParentID: event.ParentID,
		Route: row.Method + " " + row.Path, Err: err,
	}
	event.decided(decision.ID)
	w.Header().Set("Decision-Id", decision.ID)
	if err == nil && decision.Allow {
		err = declared(decision.Obligations, row)
	}
	switch {
	case err != nil:
		event.Outcome = "error"
		line.Err = err
		slot.Write(line)
		m.fail(w, req, plane, err)
	case !decision.Allow:
		event.Outcome = "deny"
		m.deny(ctx, w, req, plane, &resolved, line, slot)
	default:
		reply, err := resolved.Respond(ctx, decision)
		if errors.Is(err, ErrRetry) {
			req.asking.settle(false)
			w.Header().Del("Decision-Id")
			return false
		}
		event.Outcome = "permit"
		slot.Write(line)
		req.asking.settle(true)
		if err != nil {
			m.fail(w, req, plane, err)
			return true
		}
		m.write(w, req, plane, reply)
	}
	return true
}

// complete fills what the row and the caller already say.
func complete(q *policies.Question, req *Request, plane Plane, row Route) {
	q.ID = req.DecisionID
	if q.Entrypoint == "" {
		q.Entrypoint = row.Entrypoint
	}
	if q.Action == "" {
		q.Action = row.Action
	}
	if q.Resource.Type == "" {
		q.Resource.Type = row.Type
	}
	if q.Now.IsZero() {
		q.Now = req.Now
	}
	if req.Caller != nil && q.Subject == nil {
		self := q.Caller.Self
		q.Subject = req.Caller.Facts
		q.Caller = req.Caller.Policy(plane.Name)
		q.Caller.Self = self
	}
}

// declared holds a permit to the obligations that the row says it obeys.
func declared(o policies.Obligations, row Route) error {
	for _, name := range o.Names() {
		if !slices.Contains(row.Obligations, name) {
			return fmt.Errorf("%w: the permit carries the obligation %q, which this route does not know", policies.ErrUndecided, name)
		}
	}
	return nil
}

func (m *mount) deny(
	ctx context.Context, w http.ResponseWriter, req *Request, plane Plane, resolved *Resolved, line policies.LogLine, slot *policies.Slot,
) {
	reasons, err := m.config.PDP.Why(ctx, &resolved.Question, line.Decision)
	if err != nil {
		line.Err = err
		slot.Write(line)
		EventFrom(ctx).Outcome = "error"
		m.fail(w, req, plane, err)
		return
	}
	line.Reasons = reasons
	slot.Write(line)
	event := EventFrom(ctx)
	for _, reason := range reasons {
		event.Reasons = append(event.Reasons, reason.Code)
	}
	if resolved.Denied != nil {
		refusal := line.Decision
		refusal.Reasons = reasons
		if err := resolved.Denied(ctx, refusal); err != nil {
			m.fail(w, req, plane, err)
			return
		}
	}
	plane.WriteDenial(w, req, line.Decision, reasons)
}

func (m *mount) write(w http.ResponseWriter, req *Request, plane Plane, reply Reply) {
	body, raw := reply.Body.([]byte)
	if !raw && reply.Body != nil {
		var err error
		if body, err = json.Marshal(reply.Body); err != nil {
			m.fail(w, req, plane, fmt.Errorf("write the reply: %w", err))
			return
		}
	}
	for name, values := range reply.Header {
		w.Header()[name] = values
	}
	if body != nil && w.Header().Get("Content-Type") == "" {
		w.Header().Set("Content-Type", "application/json")
	}
	w.WriteHeader(reply.Status)
	_, _ = w.Write(body) // the client is gone if this fails; there is nobody to tell
}
