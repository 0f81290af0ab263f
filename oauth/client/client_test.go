package client_test

import (
	"strings"
	"testing"
	"time"

	"github.com/writ-authz/writ/oauth/client"
)

func TestHalfAConfigurationIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*client.Config)
		says   string
	}{
		"no issuer":             {func(c *client.Config) { c.Issuer = "" }, "Issuer"},
		"an issuer with query":  {func(c *client.Config) { c.Issuer += "?x" }, "Issuer"},
		"an issuer with user":   {func(c *client.Config) { c.Issuer = "https://a:b@writ.example" }, "Issuer"},
		"plain HTTP":            {func(c *client.Config) { c.Issuer = "http://writ.example" }, "InsecureHTTP"},
		"plain HTTP to the URL": {func(c *client.Config) { c.URL = "http://writ:8080" }, "InsecureHTTP"},
		"another scheme":        {func(c *client.Config) { c.Issuer = "ftp://writ.example" }, "https"},
		"no audience":           {func(c *client.Config) { c.Audience = "" }, "Audience"},
		"a quote in it":         {func(c *client.Config) { c.Audience = `a"b` }, "Audience"},
		"an id alone":           {func(c *client.Config) { c.ClientSecret = "" }, "together"},
		"a secret alone":        {func(c *client.Config) { c.ClientID = "" }, "together"},
		"two secrets":           {func(c *client.Config) { c.ClientSecretFile = "f" }, "not both"},
		"introspection without": {func(c *client.Config) { c.Introspect, c.ClientID, c.ClientSecret = true, "", "" }, "introspect"},
		"algorithm none":        {func(c *client.Config) { c.Algorithms = []string{"none"} }, "none"},
		"algorithm HS256":       {func(c *client.Config) { c.Algorithms = []string{"ES256", "HS256"} }, "HS256"},
		"a negative time":       {func(c *client.Config) { c.Timeout = -time.Second }, "negative"},
	} {
		config := client.Config{Issuer: issuer, Audience: ledger, ClientID: "service", ClientSecret: "the secret"}
		c.change(&config)
		if _, err := client.New(config); err == nil || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "the secret") {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, config := range map[string]client.Config{
		"verification alone":    {Issuer: issuer, Audience: ledger},
		"loopback":              {Issuer: "http://127.0.0.1:8080", Audience: ledger},
		"localhost":             {Issuer: "http://localhost:8080", Audience: ledger},
		"an inner address":      {Issuer: issuer, URL: "http://writ:8080/", InsecureHTTP: true, Audience: ledger},
		"an issuer with a path": {Issuer: issuer + "/tenants", Audience: ledger},
	} {
		if _, err := client.New(config); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestTheServerIsAskedWhereItIs: at the root of the issuer's host, or where the configuration says.
func TestTheServerIsAskedWhereItIs(t *testing.T) {
	s := newServer(t)
	for url, want := range map[string]string{"": "https://writ.example", "http://127.0.0.1:8080/": "http://127.0.0.1:8080"} {
		c := s.client(func(c *client.Config) { c.Issuer, c.URL = issuer+"/tenants", url })
		s.tell(jwks, nil)
		s.mu.Lock()
		s.seen = nil
		s.mu.Unlock()
		if _, err := c.Verify(t.Context(), s.token("es", s.claims(object{"iss": issuer + "/tenants"}))); err != nil {
			t.Error(err)
		}
		if len(s.seen) != 1 || s.seen[0] != want+jwks {
			t.Errorf("asked %q", s.seen)
		}
	}
}
