package dialects_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/writ-authz/writ/cmd/writ/dialects"
)

type contextKey struct{}

// native is what stands behind a dialect: it notes what it was asked and answers what it is told to.
type native struct {
	asked []*http.Request
	sent  []string
	reply func(w http.ResponseWriter, r *http.Request)
}

func (n *native) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	n.asked, n.sent = append(n.asked, r), append(n.sent, string(body))
	n.reply(w, r)
}

// speaker is a dialect of one row per thing that a row does.
func speaker(do func(*dialects.Call) (dialects.Reply, error)) *dialects.Dialect {
	return &dialects.Dialect{
		Name: "speaker", Failure: dialects.Native(dialects.Statuses{"stale": http.StatusConflict}),
		Routes: []dialects.Route{
			{Method: http.MethodGet, Path: "/things/{id}", Plane: dialects.Admin, Query: []string{"page"}, Do: do},
			{Method: http.MethodDelete, Path: "/things/{id}", Plane: dialects.Admin, Do: do},
			{Method: http.MethodGet, Path: "/things/all", Plane: dialects.Admin, Do: func(*dialects.Call) (dialects.Reply, error) {
				return dialects.Reply{Status: http.StatusOK, Body: "all"}, nil
			}},
			{Method: http.MethodPost, Path: "/things", Plane: dialects.Admin, Body: dialects.JSON, Do: do},
			{Method: http.MethodPost, Path: "/form", Plane: dialects.Public, Body: dialects.Form, Do: do},
		},
	}
}

func mounted(d *dialects.Dialect, n http.Handler, planes ...dialects.Plane) *dialects.Mounted {
	m := &dialects.Mounted{Dialect: d, Base: "/speaker", Native: map[dialects.Plane]http.Handler{}}
	for _, plane := range planes {
		m.Native[plane] = n
	}
	return m
}

func ok(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{}`) }

func TestTheNativeCallIsTheCallers(t *testing.T) {
	n := &native{reply: func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Decision-Id", "d1")
		w.Header().Set("ETag", `"7"`)
		w.Header().Set("Set-Cookie", "a=b")
		w.WriteHeader(http.StatusCreated)
		_, _ = io.WriteString(w, `{"id":"x/y"}`)
	}}
	m := mounted(speaker(func(c *dialects.Call) (dialects.Reply, error) {
		var made struct {
			ID string `json:"id"`
		}
		answer, err := c.JSON(http.MethodPut, dialects.Path("v1", "things", c.Params["id"]), url.Values{"a": {"b c"}}, map[string]any{"n": 1})
		if err != nil {
			return dialects.Reply{}, err
		}
		return dialects.Reply{Status: http.StatusOK, Body: made}, answer.Decode(&made)
	}), n, dialects.Admin)
	r := httptest.NewRequest(http.MethodGet, "/speaker/things/a%20b?page=1", nil)
	r = r.WithContext(context.WithValue(r.Context(), contextKey{}, "mine"))
	r.RemoteAddr = "192.0.2.7:1234"
	for name, value := range map[string]string{
		"Authorization": "Bearer t", "If-Match": `"6"`, "Cookie": "c=d", "X-Forwarded-For": "203.0.113.1", "Content-Encoding": "gzip",
	} {
		r.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	m.ServeHTTP(w, r)
	if w.Code != http.StatusOK || w.Header().Get("Decision-Id") != "d1" || w.Header().Get("ETag") != `"7"` || w.Header().Get("Set-Cookie") != "" {
		t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
	}
	got := n.asked[0]
	if got.URL.EscapedPath() != "/v1/things/a%20b" || got.URL.RawQuery != "a=b+c" || n.sent[0] != `{"n":1}` || got.Method != http.MethodPut {
		t.Errorf("the native request is %s %s %s", got.Method, got.URL, n.sent[0])
	}
	if got.Context().Value(contextKey{}) != "mine" || got.RemoteAddr != "192.0.2.7:1234" {
		t.Errorf("context or address are not the caller's: %s", got.RemoteAddr)
	}
	if diff := cmp.Diff(http.Header{
		"Authorization": {"Bearer t"}, "If-Match": {`"6"`}, "Content-Type": {"application/json"},
	}, got.Header); diff != "" {
		t.Error(diff)
	}
}

func TestWhatHasNoRow(t *testing.T) {
	n := &native{reply: ok}
	d := speaker(func(*dialects.Call) (dialects.Reply, error) { return dialects.Reply{Status: http.StatusOK}, nil })
	for _, c := range []struct {
		method, path string
		planes       []dialects.Plane
		status       int
		allow        string
	}{
		{http.MethodGet, "/speaker/things/1", []dialects.Plane{dialects.Admin}, 200, ""},
		{http.MethodHead, "/speaker/things/1", []dialects.Plane{dialects.Admin}, 200, ""},
		{http.MethodGet, "/speaker/things/all", []dialects.Plane{dialects.Admin}, 200, ""},
		{http.MethodGet, "/speaker/things/1", []dialects.Plane{dialects.Public}, 404, ""},
		{http.MethodGet, "/speaker/things/1", nil, 404, ""},
		{http.MethodPatch, "/speaker/things/1", []dialects.Plane{dialects.Admin}, 405, "DELETE, GET, HEAD"},
		{http.MethodPatch, "/speaker/things/1", []dialects.Plane{dialects.Public}, 404, ""},
		{http.MethodGet, "/speaker/things", []dialects.Plane{dialects.Admin}, 405, "POST"},
		{http.MethodGet, "/speaker/things/", []dialects.Plane{dialects.Admin}, 404, ""},
		{http.MethodGet, "/speaker/things/1/", []dialects.Plane{dialects.Admin}, 404, ""},
		{http.MethodGet, "/speaker/things/1%2f2", []dialects.Plane{dialects.Admin}, 404, ""},
		{http.MethodGet, "/speaker/things%2f1", []dialects.Plane{dialects.Admin}, 404, ""},
		{http.MethodGet, "/speaker//things/1", []dialects.Plane{dialects.Admin}, 404, ""},
		{http.MethodGet, "/speakers/things/1", []dialects.Plane{dialects.Admin}, 404, ""},
		{http.MethodGet, "/speaker", []dialects.Plane{dialects.Admin}, 404, ""},
	} {
		w := httptest.NewRecorder()
		mounted(d, n, c.planes...).ServeHTTP(w, httptest.NewRequest(c.method, c.path, nil))
		if w.Code != c.status || w.Header().Get("Allow") != c.allow {
			t.Errorf("%s %s on %v: %d, Allow %q, want %d, %q", c.method, c.path, c.planes, w.Code, w.Header().Get("Allow"), c.status, c.allow)
		}
	}
}

func TestOneMoreSlashWhereThatIsLoose(t *testing.T) {
	d := speaker(func(*dialects.Call) (dialects.Reply, error) { return dialects.Reply{Status: http.StatusOK}, nil })
	d.LooseSlashes = true
	for path, status := range map[string]int{
		"/speaker/things/1": 200, "/speaker//things/1": 200, "/speaker/things/1/": 200, "/speaker//things/1/": 200,
		"/speaker///things/1": 404, "/speaker/things//1": 404, "/speaker/things/1//": 404, "/speaker/things/1%2f": 404,
	} {
		for _, base := range []string{"/speaker", ""} {
			m := mounted(d, &native{reply: ok}, dialects.Admin)
			m.Base = base
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			r.URL, _ = url.Parse("http://x" + strings.Replace(path, "/speaker", base, 1))
			w := httptest.NewRecorder()
			if m.ServeHTTP(w, r); w.Code != status {
				t.Errorf("%s below %q: %d, want %d", path, base, w.Code, status)
			}
		}
	}
}

func TestWhatIsRefusedBeforeTheRow(t *testing.T) {
	called := false
	m := mounted(speaker(func(c *dialects.Call) (dialects.Reply, error) {
		called = true
		return dialects.Reply{Status: http.StatusOK}, nil
	}), &native{reply: ok}, dialects.Admin, dialects.Public)
	for name, c := range map[string]struct {
		method, path, kind, body string
		status                   int
		says                     string
	}{
		"another media type":  {"POST", "/speaker/things", "text/plain", "{}", 415, "application/json"},
		"no media type":       {"POST", "/speaker/things", "", "{}", 415, "media_type"},
		"another charset":     {"POST", "/speaker/things", "application/json; charset=latin1", "{}", 415, "media_type"},
		"JSON for a form":     {"POST", "/speaker/form", "application/json", "{}", 415, "x-www-form-urlencoded"},
		"too large":           {"POST", "/speaker/things", "application/json", strings.Repeat(" ", 1<<20+1), 413, "too_large"},
		"an unknown query":    {"GET", "/speaker/things/1?pages=1", "", "", 400, `"pointer":"pages"`},
		"a repeated query":    {"GET", "/speaker/things/1?page=1&page=2", "", "", 400, `"pointer":"page"`},
		"an unreadable query": {"GET", "/speaker/things/1?page=%zz", "", "", 400, "bad_parameter"},
		"a query with a name": {"GET", "/speaker/things/1?%3Cb%3E%0A=1", "", "", 400, "b"},
	} {
		r := httptest.NewRequest(c.method, c.path, strings.NewReader(c.body))
		if c.kind != "" {
			r.Header.Set("Content-Type", c.kind)
		}
		w := httptest.NewRecorder()
		m.ServeHTTP(w, r)
		if w.Code != c.status || !strings.Contains(w.Body.String(), c.says) || called {
			t.Errorf("%s: %d %s, called %t", name, w.Code, w.Body, called)
		}
	}
}

func TestHowRefusalsComeBack(t *testing.T) {
	problem := func(status int, body string, headers ...string) func(http.ResponseWriter, *http.Request) {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/problem+json")
			for i := 0; i+1 < len(headers); i += 2 {
				w.Header().Set(headers[i], headers[i+1])
			}
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		}
	}
	for name, c := range map[string]struct {
		reply   func(http.ResponseWriter, *http.Request)
		failure func(*dialects.Call, error) dialects.Reply
		status  int
		header  string
	}{
		"as it is":                    {problem(403, `{"code":"forbidden"}`, "Decision-Id", "d"), nil, 403, "Decision-Id"},
		"with the dialect's status":   {problem(412, `{"code":"stale"}`), nil, 409, "Content-Type"},
		"of a reason":                 {problem(403, `{"code":"denied","reasons":[{"code":"stale"}]}`), nil, 409, ""},
		"a challenge":                 {problem(401, `{"code":"unauthenticated"}`, "WWW-Authenticate", "Bearer"), nil, 401, "WWW-Authenticate"},
		"an outage":                   {problem(503, `{"code":"stale"}`, "Retry-After", "1"), nil, 503, "Retry-After"},
		"unchanged":                   {problem(304, ``, "ETag", `"1"`), nil, 304, "ETag"},
		"a refusal told as a success": {problem(403, `{}`), func(*dialects.Call, error) dialects.Reply { return dialects.Reply{Status: 200} }, 500, ""},
		"an outage told as a denial":  {problem(503, `{}`, "Retry-After", "1"), func(*dialects.Call, error) dialects.Reply { return dialects.Reply{Status: 403} }, 503, "Retry-After"},
	} {
		d := speaker(func(c *dialects.Call) (dialects.Reply, error) {
			_, err := c.JSON(http.MethodGet, "/v1/things", nil, nil)
			return dialects.Reply{Status: http.StatusOK}, err
		})
		if c.failure != nil {
			d.Failure = c.failure
		}
		w := httptest.NewRecorder()
		mounted(d, &native{reply: c.reply}, dialects.Admin).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/speaker/things/1", nil))
		if w.Code != c.status || c.header != "" && w.Header().Get(c.header) == "" {
			t.Errorf("%s: %d %v, want %d and %s", name, w.Code, w.Header(), c.status, c.header)
		}
	}
}

func TestAnErrorOfTheRowIsOneOfTheServer(t *testing.T) {
	d := speaker(func(*dialects.Call) (dialects.Reply, error) {
		return dialects.Reply{}, errors.New("a secret of the inside")
	})
	w := httptest.NewRecorder()
	mounted(d, &native{reply: ok}, dialects.Admin).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/speaker/things/1", nil))
	if w.Code != http.StatusInternalServerError || strings.Contains(w.Body.String(), "inside") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// Of several native calls the first decision is that of the reply, and the last object's version.
func TestSeveralNativeCalls(t *testing.T) {
	n := &native{}
	n.reply = func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Decision-Id", []string{"", "first", "second"}[len(n.asked)])
		w.Header().Set("ETag", []string{"", "1", "2"}[len(n.asked)])
	}
	d := speaker(func(c *dialects.Call) (dialects.Reply, error) {
		for range 2 {
			if _, err := c.JSON(http.MethodGet, "/v1/things", nil, nil); err != nil {
				return dialects.Reply{}, err
			}
		}
		return dialects.Reply{Status: http.StatusOK}, nil
	})
	w := httptest.NewRecorder()
	mounted(d, n, dialects.Admin).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/speaker/things/1", nil))
	if w.Header().Get("Decision-Id") != "first" || w.Header().Get("ETag") != "2" {
		t.Errorf("%v", w.Header())
	}
}

func TestPages(t *testing.T) {
	n := &native{reply: func(w http.ResponseWriter, r *http.Request) {
		switch after := r.URL.Query().Get("after"); {
		case r.URL.Query().Get("limit") != "100" || r.URL.Query().Get("role") != "x":
			w.WriteHeader(http.StatusBadRequest)
		case after == "" && r.URL.Query().Get("count") == "true":
			_, _ = io.WriteString(w, `{"items":[1,2,3],"next":"n","total":5}`)
		case after == "n" && !r.URL.Query().Has("count"):
			_, _ = io.WriteString(w, `{"items":[4,5]}`)
		default:
			w.WriteHeader(http.StatusBadRequest)
		}
	}}
	for _, c := range []struct {
		skip, limit int
		want        string
	}{{0, 2, "1 2"}, {2, 2, "3 4"}, {4, 2, "5"}, {6, 2, ""}, {0, 9, "1 2 3 4 5"}} {
		d := speaker(func(call *dialects.Call) (dialects.Reply, error) {
			page, err := call.Page("/v1/things", url.Values{"role": {"x"}}, c.skip, c.limit)
			if err != nil {
				return dialects.Reply{}, err
			}
			var got []string
			for _, item := range page.Items {
				got = append(got, string(item))
			}
			if joined := strings.Join(got, " "); joined != c.want || page.Total != 5 {
				t.Errorf("behind %d: %q of %d, want %q of 5", c.skip, joined, page.Total, c.want)
			}
			return dialects.Reply{Status: http.StatusOK}, nil
		})
		w := httptest.NewRecorder()
		mounted(d, n, dialects.Admin).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/speaker/things/1", nil))
		if w.Code != http.StatusOK {
			t.Errorf("behind %d: %d %s", c.skip, w.Code, w.Body)
		}
	}
}

func TestParameters(t *testing.T) {
	for query, want := range map[string]bool{
		"": true, "page=1": true, "page=100": true, "page=0": false, "page=101": false, "page=-1": false, "page=x": false, "page=": false,
		"page=01": false, "page=%2B1": false, "page=1.0": false,
	} {
		d := speaker(func(c *dialects.Call) (dialects.Reply, error) {
			n, err := c.Number("page", 1, 100, 7)
			if query == "" && n != 7 {
				t.Errorf("absent is %d", n)
			}
			return dialects.Reply{Status: http.StatusOK}, err
		})
		w := httptest.NewRecorder()
		mounted(d, &native{reply: ok}, dialects.Admin).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/speaker/things/1?"+query, nil))
		if (w.Code == http.StatusOK) != want {
			t.Errorf("%q: %d", query, w.Code)
		}
	}
}

// A row at the end of which {name...} stands takes what no other row has, with its slash at the end.
func TestTheRestOfAPath(t *testing.T) {
	told := func(c *dialects.Call) (dialects.Reply, error) {
		return dialects.Reply{Status: http.StatusOK, Body: c.Params["path"]}, nil
	}
	d := &dialects.Dialect{Name: "speaker", Failure: dialects.Native(nil), Routes: []dialects.Route{
		{Method: http.MethodGet, Path: "/files/{path...}", Plane: dialects.Admin, AnyQuery: true, Do: told},
		{Method: http.MethodPost, Path: "/files/index", Plane: dialects.Admin, Do: told},
	}}
	for path, want := range map[string]string{
		"/files/a": `"a"`, "/files/a/b/c": `"a/b/c"`, "/files/a/": `"a/"`, "/files/a?x=1&x=2": `"a"`, "/files/index/x": `"index/x"`,
		"/files/index": "405", "/files/": "404", "/files": "404", "/files/a//b": "404", "/other/a": "404",
	} {
		w := httptest.NewRecorder()
		mounted(d, &native{reply: ok}, dialects.Admin).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/speaker"+path, nil))
		if got := w.Body.String(); got != want && !strings.Contains(got, `"status":`+want) {
			t.Errorf("%s: %d %s, want %s", path, w.Code, got, want)
		}
	}
}

// Forward hands the body on as it came. The reply has the first decision, also where a later one refuses.
func TestForward(t *testing.T) {
	n := &native{reply: func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Decision-Id", r.URL.Path)
		if r.URL.Path == "/second" {
			w.WriteHeader(http.StatusForbidden)
		}
	}}
	d := &dialects.Dialect{Name: "speaker", Failure: dialects.Native(nil), Routes: []dialects.Route{{
		Method: http.MethodPost, Path: "/both", Plane: dialects.Admin, Body: dialects.Raw, Do: func(c *dialects.Call) (dialects.Reply, error) {
			if _, err := c.Forward(http.MethodPost, "/first"); err != nil {
				return dialects.Reply{}, err
			}
			_, err := c.Forward(http.MethodPut, "/second")
			return dialects.Reply{Status: http.StatusOK}, err
		},
	}}}
	r := httptest.NewRequest(http.MethodPost, "/speaker/both", strings.NewReader("a=1&a=2"))
	r.Header.Set("Content-Type", "text/odd")
	w := httptest.NewRecorder()
	mounted(d, n, dialects.Admin).ServeHTTP(w, r)
	if w.Code != http.StatusForbidden || w.Header().Get("Decision-Id") != "/first" || len(w.Header().Values("Decision-Id")) != 1 {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	for i, method := range []string{http.MethodPost, http.MethodPut} {
		if n.asked[i].Method != method || n.sent[i] != "a=1&a=2" || n.asked[i].Header.Get("Content-Type") != "text/odd" {
			t.Errorf("%s %q %v", n.asked[i].Method, n.sent[i], n.asked[i].Header)
		}
	}
}
