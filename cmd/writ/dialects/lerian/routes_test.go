package lerian_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/writ-authz/writ/cmd/writ/dialects"
	"github.com/writ-authz/writ/cmd/writ/dialects/lerian"
)

// bodies are good ones, by path.
func bodies() map[string]string {
	return map[string]string{
		"POST /v1/login/oauth/access_token":       `{"grantType":"password","username":"a","password":"b"}`,
		"POST /v1/login/oauth/refresh_token":      `{"refreshToken":"x"}`,
		"POST /v1/login/mfa/verify":               `{"mfaToken":"x"}`,
		"POST /v1/logout":                         "id_token_hint=x",
		"POST /v1/authorize":                      `{"sub":"lerian/a","resource":"b","action":"c"}`,
		"POST /v1/applications":                   `{"name":"a","description":"b"}`,
		"POST /v1/users":                          `{"firstName":"a","lastName":"b","email":"c"}`,
		"PATCH /v1/users/{id}":                    `{"firstName":"a"}`,
		"PATCH /v1/users/{id}/update-password":    `{"oldPassword":"a","newPassword":"b"}`,
		"PATCH /v1/users/{id}/reset-password":     `{"newPassword":"b"}`,
		"POST /v1/login/oauth/access_token again": `{"grantType":"client_credentials","clientId":"a","clientSecret":"b"}`,
	}
}

// without are the rows that ask nothing natively.
func without(path string) bool { return path == "/health" || path == "/v1/login/mfa/verify" }

// Whatever the native routes answer, each row says no better: an outage is one, and a refusal is no success and has a code.
func TestEveryRowKeepsWhatIsAnswered(t *testing.T) {
	for _, c := range []struct {
		status int
		body   string
		codes  []string
	}{
		{503, `{"code":"unavailable"}`, []string{"AUT-0008", "503"}},
		{500, `{"code":"internal"}`, []string{"AUT-0005", "500"}},
		{401, `{"code":"unauthenticated"}`, []string{"AUT-0007", "IDE-0009", "AUT-0006"}},
		{403, `{"code":"denied","reasons":[{"code":"not_granted"}]}`, []string{"403"}},
		{404, `{"code":"not_found"}`, []string{"404", "IDE-1001", "IDE-1003", "IDE-1006"}},
		{409, `{"code":"conflict"}`, []string{"409"}},
		{412, `{"code":"precondition_failed"}`, []string{"412"}},
		{429, `{"code":"too_many"}`, []string{"429", "AUT-1002", "AUT-1004", "AUT-1005"}},
		{400, `{"code":"unknown_group"}`, []string{"AUT-0001", "IDE-1006"}},
		{400, `{"code":"password_too_short"}`, []string{"AUT-0001", "IDE-0020"}},
		{400, `not JSON`, []string{"AUT-0001", "IDE-0002"}},
	} {
		native := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(c.status)
			_, _ = io.WriteString(w, c.body)
		})
		for _, row := range lerian.New().Routes {
			for name, body := range bodies() {
				key := strings.TrimSuffix(name, " again")
				if key != row.Method+" "+row.Path {
					continue
				}
				hold(t, native, row, body, c.status, c.codes)
			}
			if row.Body == dialects.NoBody {
				hold(t, native, row, "", c.status, c.codes)
			}
		}
	}
}

func hold(t *testing.T, native http.Handler, row dialects.Route, body string, status int, codes []string) {
	t.Helper()
	if without(row.Path) {
		return
	}
	m := &dialects.Mounted{
		Dialect: lerian.New(), Native: map[dialects.Plane]http.Handler{dialects.Public: native, dialects.Admin: native}, Now: time.Now,
	}
	r := httptest.NewRequest(row.Method, strings.Replace(row.Path, "{id}", "x", 1), strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer x")
	if row.Body == dialects.JSON {
		r.Header.Set("Content-Type", "application/json")
	}
	if row.Body == dialects.Form {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	w := httptest.NewRecorder()
	m.ServeHTTP(w, r)
	var said struct{ Code, Title, Message string }
	if err := json.Unmarshal(w.Body.Bytes(), &said); err != nil {
		t.Errorf("%s %s after %d: %s", row.Method, row.Path, status, w.Body)
		return
	}
	known := false
	for _, code := range codes {
		known = known || said.Code == code
	}
	group := said.Code == "IDE-1006" && status == 400 // a group that is unknown is not found
	if !known || said.Title == "" || said.Message == "" || w.Code != status && !group {
		t.Errorf("%s %s after %d: %d %s, want one of %v", row.Method, row.Path, status, w.Code, w.Body, codes)
	}
	if status == 503 && w.Header().Get("Retry-After") != "1" {
		t.Errorf("%s %s: an outage without Retry-After", row.Method, row.Path)
	}
	if w.Code == 401 && w.Header().Get("WWW-Authenticate") == "" {
		t.Errorf("%s %s: a 401 without a challenge", row.Method, row.Path)
	}
}

// Every row that reads a body has a good one above, so that none is left out.
func TestEveryRowWithABodyIsHeld(t *testing.T) {
	for _, row := range lerian.New().Routes {
		if row.Body != dialects.NoBody && bodies()[row.Method+" "+row.Path] == "" {
			t.Errorf("%s %s has no body in this test", row.Method, row.Path)
		}
	}
}
