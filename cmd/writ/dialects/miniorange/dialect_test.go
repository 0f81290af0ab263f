package miniorange_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/writ-authz/writ/cmd/writ/dialects"
	"github.com/writ-authz/writ/cmd/writ/dialects/miniorange"
)

// native is what the native routes do that this dialect calls, and what they were asked.
type native struct {
	form      url.Values
	asked     []string
	authorize string
}

func (n *native) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n.authorize = r.Header.Get("Authorization")
	problem := func(status int, code string) {
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, `{"code":"`+code+`","reasons":[{"code":"`+code+`"}]}`)
	}
	switch r.URL.Path {
	case "/oauth2/token":
		_ = r.ParseForm()
		n.form = r.PostForm
		if r.PostForm.Get("client_secret") != "right" {
			w.WriteHeader(401)
			_, _ = io.WriteString(w, `{"error":"invalid_client"}`)
			return
		}
		_, _ = io.WriteString(w, `{"access_token":"t","token_type":"Bearer","expires_in":3600,"scope":"a:b"}`)
	case "/forward-auth":
		method, uri := r.Header.Get("X-Forwarded-Method"), r.Header.Get("X-Forwarded-Uri")
		n.asked = append(n.asked, method+" "+uri)
		switch {
		case n.authorize == "":
			problem(401, "unauthenticated")
		case uri == "/pam/apps/down":
			problem(503, "unavailable")
		case uri == "/pam/apps/ticket/ticket/" && method == "GET":
			w.Header().Set("X-Auth-Client", "app")
		case uri == "/pam/apps/users/user/" && method == "GET":
			problem(403, "not_granted")
		default:
			problem(403, "unmapped_route")
		}
	default:
		problem(404, "not_found")
	}
}

func ask(t *testing.T, n *native, method, path, body string, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	m := &dialects.Mounted{Dialect: miniorange.New(), Base: "/miniorange", Native: map[dialects.Plane]http.Handler{dialects.Public: n}}
	r := httptest.NewRequest(method, "http://x/miniorange"+path, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	m.ServeHTTP(w, r)
	return w
}

const request = `{"grant_type":"client_credentials","client_id":"id","client_secret":"right","customer":"10001"}`

func TestATokenRequestBecomesAForm(t *testing.T) {
	for _, path := range []string{
		"//pam/apps/autheticate/oauth/token-generation/", "/pam/apps/autheticate/oauth/token-generation/", "//pam/apps/autheticate/oauth/token-generation",
		"/pam/apps/authenticate/oauth/token-generation/", "//pam/apps/authenticate/oauth/token-generation",
	} {
		n := &native{}
		w := ask(t, n, "POST", path, strings.Replace(request, `"10001"`, "10001", 1), "Authorization", "Basic x")
		var got map[string]any
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != 200 {
			t.Fatalf("%s: %d %s", path, w.Code, w.Body)
		}
		if got["access_token"] != "t" || got["token_type"] != "Bearer" || got["expires_in"] != 3600.0 || got["expires_in_minutes"] != 60.0 {
			t.Errorf("%s: %v", path, got)
		}
		if n.form.Get("tenant") != "10001" || n.form.Get("client_id") != "id" || n.authorize != "" {
			t.Errorf("%s: %v, Authorization %q", path, n.form, n.authorize)
		}
	}
}

func TestABadTokenRequest(t *testing.T) {
	for name, row := range map[string]struct {
		method, path, body string
		status             int
		part               string
	}{
		"a wrong secret":   {"POST", "", strings.Replace(request, "right", "wrong", 1), 401, `"invalid_client"`},
		"a password":       {"POST", "", strings.Replace(request, `"client_credentials"`, `"password"`, 1), 400, `"unsupported_grant_type"`},
		"no secret":        {"POST", "", strings.Replace(request, `"client_secret":"right",`, "", 1), 400, `"invalid_request"`},
		"an empty secret":  {"POST", "", strings.Replace(request, "right", "", 1), 400, `"invalid_request"`},
		"no customer":      {"POST", "", strings.Replace(request, `,"customer":"10001"`, "", 1), 400, `"invalid_request"`},
		"no grant type":    {"POST", "", strings.Replace(request, `"grant_type":"client_credentials",`, "", 1), 400, `"invalid_request"`},
		"an unknown key":   {"POST", "", strings.Replace(request, `}`, `,"scope":"a"}`, 1), 400, `"invalid_request"`},
		"a key twice":      {"POST", "", strings.Replace(request, `}`, `,"customer":"2"}`, 1), 400, `"invalid_request"`},
		"a number":         {"POST", "", strings.Replace(request, `"id"`, `1`, 1), 400, `"invalid_request"`},
		"a fraction":       {"POST", "", strings.Replace(request, `"10001"`, `1.5`, 1), 400, `"invalid_request"`},
		"nesting":          {"POST", "", strings.Replace(request, `"10001"`, `["10001"]`, 1), 400, `"invalid_request"`},
		"no JSON":          {"POST", "", "grant_type=client_credentials", 400, `"invalid_request"`},
		"GET":              {"GET", "", "", 405, "no_method"},
		"DELETE":           {"DELETE", "", "", 405, "no_method"},
		"a third slash":    {"POST", "///pam/apps/autheticate/oauth/token-generation/", request, 404, "no_route"},
		"another word":     {"POST", "/pam/apps/authenticat/oauth/token-generation/", request, 401, ""},
		"another path":     {"POST", "/pam/token", request, 404, "no_route"},
		"a query":          {"POST", "/pam/apps/autheticate/oauth/token-generation/?customer=1", request, 400, `"invalid_request"`},
		"slashes inside":   {"POST", "/pam//apps/autheticate/oauth/token-generation/", request, 404, "no_route"},
		"an escaped slash": {"POST", "/pam%2Fapps/autheticate/oauth/token-generation/", request, 404, "no_route"},
	} {
		path := row.path
		if path == "" {
			path = "//pam/apps/autheticate/oauth/token-generation/"
		}
		w := ask(t, &native{}, row.method, path, row.body)
		if w.Code != row.status || !strings.Contains(w.Body.String(), row.part) {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
		if row.status == 405 && w.Header().Get("Allow") != "POST" {
			t.Errorf("%s: Allow %q", name, w.Header().Get("Allow"))
		}
	}
}

func TestAProtectedPathIsAskedAbout(t *testing.T) {
	for name, row := range map[string]struct {
		method, path string
		header       []string
		status       int
		allow        string
	}{
		"by Authorize":             {"GET", "/pam/apps/ticket/ticket/", []string{"Authorize", "Bearer t"}, 200, ""},
		"by Authorization":         {"GET", "/pam/apps/ticket/ticket/?page=2", []string{"Authorization", "Bearer t"}, 200, ""},
		"by both, the same":        {"GET", "//pam/apps/ticket/ticket/", []string{"Authorization", "Bearer t", "Authorize", "Bearer t"}, 200, ""},
		"by two that differ":       {"GET", "/pam/apps/ticket/ticket/", []string{"Authorization", "Bearer t", "Authorize", "Bearer u"}, 400, ""},
		"by two Authorize":         {"GET", "/pam/apps/ticket/ticket/", []string{"Authorize", "Bearer t", "Authorize", "Bearer u"}, 400, ""},
		"by nothing":               {"GET", "/pam/apps/ticket/ticket/", nil, 401, ""},
		"by a query":               {"GET", "/pam/apps/ticket/ticket/?access_token=t", nil, 401, ""},
		"a method without a row":   {"POST", "/pam/apps/ticket/ticket/", []string{"Authorize", "Bearer t"}, 405, "GET"},
		"without the right":        {"GET", "/pam/apps/users/user/", []string{"Authorize", "Bearer t"}, 403, ""},
		"whatever the right":       {"DELETE", "/pam/apps/users/user/", []string{"Authorize", "Bearer t"}, 405, "GET"},
		"a path without a row":     {"GET", "/pam/apps/other/", []string{"Authorize", "Bearer t"}, 403, ""},
		"an outage stays one":      {"GET", "/pam/apps/down", []string{"Authorize", "Bearer t"}, 503, ""},
		"below another path":       {"GET", "/users/user/", []string{"Authorize", "Bearer t"}, 404, ""},
		"double slashes inside":    {"GET", "/pam/apps/ticket//ticket/", []string{"Authorize", "Bearer t"}, 404, ""},
		"the client's own headers": {"GET", "/pam/apps/other/", []string{"Authorize", "Bearer t", "X-Forwarded-Uri", "/pam/apps/ticket/ticket/"}, 403, ""},
	} {
		n := &native{}
		w := ask(t, n, row.method, row.path, "", row.header...)
		if w.Code != row.status || w.Header().Get("Allow") != row.allow {
			t.Errorf("%s: %d %q %s", name, w.Code, w.Header().Get("Allow"), w.Body)
		}
		if row.status == 200 && (w.Header().Get("X-Auth-Client") != "app" || n.authorize != "Bearer t") {
			t.Errorf("%s: %v, asked as %q", name, w.Header(), n.authorize)
		}
	}
}
