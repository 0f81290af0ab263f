package oauth_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/writ-authz/writ/oauth"
	"github.com/writ-authz/writ/policies/enforce"
)

func withIssuer(issuer string) change {
	return func(_ *enforce.Config, o *oauth.Config) { o.Issuer = issuer }
}

func TestM01Metadata(t *testing.T) {
	for name, c := range map[string]struct{ issuer, suffix string }{
		"host":      {"https://auth.example.com", ""},
		"with path": {"https://auth.example.com/tenants/one", "/tenants/one"},
		"loopback":  {"http://127.0.0.1:8080", ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, withIssuer(c.issuer))
			for _, path := range []string{"/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"} {
				r := w.get(path + c.suffix)
				if r.Code != http.StatusOK || r.text("issuer") != c.issuer || !strings.Contains(r.Header().Get("Cache-Control"), "max-age=") {
					t.Fatalf("%s: %d %s", path, r.Code, r.Body)
				}
				for _, name := range []string{"token_endpoint", "introspection_endpoint", "revocation_endpoint", "jwks_uri"} {
					u, err := url.Parse(r.text(name))
					if err != nil || !strings.HasPrefix(c.issuer, u.Scheme+"://"+u.Host) {
						t.Fatalf("%s: %s %v", name, u, err)
					}
					if got := w.get(u.Path); got.Code == http.StatusNotFound {
						t.Errorf("%s is not reachable", u)
					}
				}
				for _, grant := range texts(r.JSON["grant_types_supported"]) {
					if got := w.token("nobody", "grant_type", grant); got.text("error") != "invalid_client" {
						t.Errorf("grant type %s is listed and answers %s", grant, got.Body)
					}
				}
				for _, method := range texts(r.JSON["token_endpoint_auth_methods_supported"]) {
					if method != "client_secret_basic" && method != "client_secret_post" && method != "none" {
						t.Errorf("method %s is listed and does not exist", method)
					}
				}
			}
		})
	}
}

func TestM02NoEmptyArray(t *testing.T) {
	w := newWorld(t)
	r := w.get("/.well-known/oauth-authorization-server")
	for name, value := range r.JSON {
		if list, ok := value.([]any); ok && len(list) == 0 {
			t.Errorf("%s is empty", name)
		}
	}
	if got := texts(r.JSON["response_types_supported"]); len(got) != 1 || got[0] != "none" {
		t.Errorf("response types: %v", got)
	}
	if r.JSON["authorization_endpoint"] != nil {
		t.Error("there is no authorization endpoint")
	}
}

func TestOpenRefusesHalfAConfiguration(t *testing.T) {
	w := newWorld(t)
	whole := oauth.Config{
		Issuer: issuer, Store: w.store, Sealer: sealer{}, Directory: w.directory, Passwords: w.passwords, Secrets: w.secrets,
		Auditor: w.auditor, PDP: rules(t), Now: w.now, Logger: discard(),
	}
	if _, err := oauth.Open(t.Context(), whole); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*oauth.Config){
		"no issuer":          func(c *oauth.Config) { c.Issuer = "" },
		"relative issuer":    func(c *oauth.Config) { c.Issuer = "auth.example.com" },
		"issuer with query":  func(c *oauth.Config) { c.Issuer += "?x=1" },
		"issuer with slash":  func(c *oauth.Config) { c.Issuer += "/" },
		"issuer with user":   func(c *oauth.Config) { c.Issuer = "https://u@auth.example.com" },
		"issuer of no web":   func(c *oauth.Config) { c.Issuer = "urn:writ" },
		"no store":           func(c *oauth.Config) { c.Store = nil },
		"no sealer":          func(c *oauth.Config) { c.Sealer = nil },
		"no directory":       func(c *oauth.Config) { c.Directory = nil },
		"no passwords":       func(c *oauth.Config) { c.Passwords = nil },
		"no secrets":         func(c *oauth.Config) { c.Secrets = nil },
		"no auditor":         func(c *oauth.Config) { c.Auditor = nil },
		"no PDP":             func(c *oauth.Config) { c.PDP = nil },
		"no clock":           func(c *oauth.Config) { c.Now = nil },
		"no logger":          func(c *oauth.Config) { c.Logger = nil },
		"lifetime too long":  func(c *oauth.Config) { c.AccessTokenLifetime = 48 * oauth.DefaultSessionLifetime },
		"lifetime too short": func(c *oauth.Config) { c.AccessTokenLifetime = 1 },
	} {
		config := whole
		spoil(&config)
		if _, err := oauth.Open(t.Context(), config); err == nil {
			t.Errorf("%s: opened", name)
		}
	}
}
