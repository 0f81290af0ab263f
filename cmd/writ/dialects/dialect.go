package dialects

import (
	"net/http"
	"slices"
	"strings"
	"time"
)

// Plane is the listener that a row is served on.
type Plane string

// Tokens, decisions and what concerns oneself are public; management is not.
const (
	Public Plane = "public"
	Admin  Plane = "admin"
)

// Body says what a route reads.
type Body int

// NoBody reads nothing, the others refuse every other media type.
const (
	NoBody Body = iota
	JSON
	Form
	// Raw is for routes that take more than one media type, and judge it themselves.
	Raw
)

// Dialect is one system's wire shape: a table of routes, and how it says that something went wrong.
type Dialect struct {
	// Name is that of the configuration, and what rules see as input.context.dialect.
	Name string
	// Application is the id of the public application that people sign in with where their client names none; empty where each must name
	// one.
	Application string
	// SigningAlg is what the tokens of that application are signed with; empty is the server's usual algorithm.
	SigningAlg string
	Routes     []Route
	// LooseSlashes says that one more slash before a path, and one behind it, count for nothing.
	LooseSlashes bool
	// Failure renders what a route returned as an error: a *Fault of the request, a *Refusal of a native route, or anything else, which is
	// an internal error. Status and headers of an outage are kept whatever it says.
	Failure func(*Call, error) Reply
}

// Route is one row: decode, rename, call, render.
type Route struct {
	Method string
	// Path is a template below the base path; {name} stands for one segment, and {name...} at its end for one or more, which are those of
	// no other row.
	Path  string
	Plane Plane
	Body  Body
	// Query are the parameters that the row knows; any other, and one given twice, is a fault.
	Query []string
	// Lists are those of them that may be given several times; the values count as one, with commas between.
	Lists []string
	// AnyQuery says that the query is not for the row to judge.
	AnyQuery bool
	Do       func(*Call) (Reply, error)
}

// Reply is what a row answers. A body of []byte is written as it is, any other as JSON; nil is none.
type Reply struct {
	Status int
	Header http.Header
	Body   any
}

// Mounted is a dialect at its place.
type Mounted struct {
	*Dialect
	// Base is the path that the routes are below; empty for an own listener.
	Base string
	// Native are the handlers of Writ's own routes by plane. A row whose plane is not there does not exist.
	Native map[Plane]http.Handler
	// Now is the clock of those systems whose replies tell the time.
	Now func() time.Time
}

// maxBody is the largest body, as natively.
const maxBody = 1 << 20

// ServeHTTP implements http.Handler.
func (m *Mounted) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	call := newCall(m, r)
	call.requestID = w.Header().Get("X-Request-Id")
	reply, err := m.answer(call, w)
	if err != nil {
		reply = m.failed(call, err)
	}
	call.write(w, reply)
}

// Refuse answers a request as if the native route had refused it so, and reads nothing of it.
func (m *Mounted) Refuse(w http.ResponseWriter, r *http.Request, native func(http.ResponseWriter)) {
	call := newCall(m, r)
	call.requestID = w.Header().Get("X-Request-Id")
	_, err := m.match(call)
	if err == nil {
		refusal := NewRecorder()
		native(refusal)
		_, err = call.answered(refusal)
	}
	call.write(w, m.failed(call, err))
}

// failed renders an error, and holds what is rendered to what went wrong.
func (m *Mounted) failed(c *Call, err error) Reply {
	refusal := refusalOf(err)
	if refusal != nil && refusal.Status == http.StatusNotModified {
		return Reply{Status: http.StatusNotModified}
	}
	reply := m.Failure(c, err)
	least := http.StatusBadRequest
	if refusal != nil && refusal.Status >= http.StatusInternalServerError {
		reply.Status = refusal.Status // an outage stays one (D-05)
		least = refusal.Status
	}
	if reply.Status < least {
		reply.Status = http.StatusInternalServerError
	}
	if fault := faultOf(err); fault != nil && len(fault.Allow) > 0 {
		if reply.Header == nil {
			reply.Header = http.Header{}
		}
		reply.Header.Set("Allow", strings.Join(fault.Allow, ", "))
	}
	return reply
}

func (m *Mounted) answer(c *Call, w http.ResponseWriter) (Reply, error) {
	row, err := m.match(c)
	if err != nil {
		return Reply{}, err
	}
	if err := c.admit(w, row); err != nil {
		return Reply{}, err
	}
	return row.Do(c)
}

// match finds the row of a request. Paths that could be read in two ways have none.
func (m *Mounted) match(c *Call) (*Route, error) {
	path, below := Below(m.Base, c.Request.URL.Path)
	raw := strings.ToLower(c.Request.URL.EscapedPath())
	if m.LooseSlashes {
		path, raw = strings.TrimSuffix(strings.TrimPrefix(path, "/"), "/"), strings.Replace(raw, m.Base+"//", m.Base+"/", 1)
		path = "/" + strings.TrimPrefix(path, "/")
	}
	ambiguous := slices.ContainsFunc([]string{"%2f", "%5c", "\\", "//"}, func(bad string) bool { return strings.Contains(raw, bad) })
	if !below || ambiguous {
		return nil, &Fault{Kind: NoRoute}
	}
	method := c.Request.Method
	if method == http.MethodHead {
		method = http.MethodGet // RFC 9110, section 9.1
	}
	segments := strings.Split(path, "/")
	best, allow := m.row(method, segments, false)
	if best == nil && allow == nil {
		best, allow = m.row(method, segments, true)
	}
	if best == nil && allow == nil {
		return nil, &Fault{Kind: NoRoute}
	}
	if best == nil {
		slices.Sort(allow)
		return nil, &Fault{Kind: NoMethod, Allow: slices.Compact(allow)}
	}
	c.native, c.Plane, c.Params = m.Native[best.Plane], best.Plane, params(best.Path, segments)
	return best, nil
}

// row finds the row for a method of a path, or the methods that the path has; open rows are those of any length.
func (m *Mounted) row(method string, segments []string, open bool) (best *Route, allow []string) {
	for i := range m.Routes {
		row := &m.Routes[i]
		if m.Native[row.Plane] == nil || open != strings.HasSuffix(row.Path, "...}") || !fits(row.Path, segments) {
			continue
		}
		if row.Method != method {
			allow = append(allow, row.Method)
			if row.Method == http.MethodGet {
				allow = append(allow, http.MethodHead)
			}
			continue
		}
		if best == nil || strings.Count(row.Path, "{") < strings.Count(best.Path, "{") {
			best = row
		}
	}
	return best, allow
}

// fits reports whether a path has the shape of a template. It is asked of every row for every request.
func fits(template string, segments []string) bool {
	for i := 0; ; i++ {
		want, rest, more := strings.Cut(template, "/")
		switch {
		case i == len(segments):
			return false
		case strings.HasSuffix(want, "...}"):
			return segments[i] != ""
		case want != segments[i] && (!strings.HasPrefix(want, "{") || segments[i] == ""):
			return false
		case !more:
			return i == len(segments)-1
		}
		template = rest
	}
}

func params(template string, segments []string) map[string]string {
	named := map[string]string{}
	for i, segment := range strings.Split(template, "/") {
		if name, ok := strings.CutPrefix(segment, "{"); ok {
			name = strings.TrimSuffix(name, "}")
			if rest, ok := strings.CutSuffix(name, "..."); ok {
				named[rest] = strings.Join(segments[i:], "/")
				continue
			}
			named[name] = segments[i]
		}
	}
	return named
}

// Below returns the rest of a path below a base, with its slash, and whether it is below it, on the border of a segment.
func Below(base, path string) (string, bool) {
	rest, ok := strings.CutPrefix(path, base)
	if !ok || rest != "" && rest[0] != '/' {
		return "", false
	}
	return rest, true
}
