package oauth_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

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
				w.tryMethods(r)
			}
		})
	}
}

// tryMethods authenticates at each endpoint in each way and with each algorithm that the metadata lists for it.
func (w *world) tryMethods(metadata reply) {
	w.tb.Helper()
	w.application("secret", nil)
	w.application("public", nil, method("none"))
	for _, endpoint := range []string{"token", "introspection", "revocation"} {
		path := strings.TrimPrefix(metadata.text(endpoint+"_endpoint"), "https://auth.example.com")
		path = strings.TrimPrefix(path, "http://127.0.0.1:8080")
		form := "grant_type=client_credentials&token=x"
		for _, name := range texts(metadata.JSON[endpoint+"_endpoint_auth_methods_supported"]) {
			switch name {
			case "client_secret_basic":
				w.want(w.send(path, form, "Authorization", basic("secret", "secret of secret")), http.StatusOK, "")
			case "client_secret_post":
				w.want(w.send(path, form+"&client_id=secret&client_secret=secret+of+secret"), http.StatusOK, "")
			case "private_key_jwt":
				for _, algorithm := range texts(metadata.JSON[endpoint+"_endpoint_auth_signing_alg_values_supported"]) {
					k := newProof(w.tb, jose.SignatureAlgorithm(algorithm), "")
					w.application("proven", nil, provenBy(w.tb, k))
					assertion := k.sign(w.tb, w.payload("proven", doc{"aud": metadata.text("issuer")}), nil)
					w.want(w.assert(path, assertion, "token", "x"), http.StatusOK, "")
				}
			case "none":
				if r := w.send(path, form+"&client_id=public"); r.text("error") == "invalid_client" {
					w.tb.Errorf("%s does not take a public client: %s", path, r.Body)
				}
			default:
				w.tb.Errorf("method %s is listed and does not exist", name)
			}
		}
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
		"assertions too old": func(c *oauth.Config) { c.AssertionMaxAge = 2 * time.Hour },
		"assertions too new": func(c *oauth.Config) { c.AssertionMaxAge = 1 },
		"lifetime too short": func(c *oauth.Config) { c.AccessTokenLifetime = 1 },
	} {
		config := whole
		spoil(&config)
		if _, err := oauth.Open(t.Context(), config); err == nil {
			t.Errorf("%s: opened", name)
		}
	}
}
