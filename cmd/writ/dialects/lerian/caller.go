package lerian

import (
	"encoding/base64"
	"encoding/json"
	"strings"

	"github.com/writ-authz/writ/cmd/writ/dialects"
)

// claims are what a question needs of the caller's own token: whom it is about, and in which tenant. They are read and not trusted: the
// native route judges the token, and a token that says something else of itself is refused there.
type claims struct {
	Subject string `json:"sub"`
	Tenant  string `json:"tenant"`
}

// said are the claims of the token that the request brought; empty where it is none that says any.
func said(c *dialects.Call) (read claims) {
	parts := strings.Split(token(c), ".")
	if len(parts) != 3 {
		return claims{}
	}
	raw, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil || json.Unmarshal(raw, &read) != nil {
		return claims{}
	}
	return read
}

// token is the one that the request brought, without its scheme.
func token(c *dialects.Call) string {
	scheme, token, found := strings.Cut(c.Header.Get("Authorization"), " ")
	if !found || !strings.EqualFold(scheme, "bearer") {
		return ""
	}
	return token
}

// bearing puts the scheme in front of a token that came without one, as the vendor's client sends it, before a row is done.
func bearing(do func(*dialects.Call) (dialects.Reply, error)) func(*dialects.Call) (dialects.Reply, error) {
	return func(c *dialects.Call) (dialects.Reply, error) {
		given := c.Header.Values("Authorization")
		if len(given) == 1 && given[0] != "" && !strings.ContainsAny(given[0], " \t") {
			c.Header.Set("Authorization", "Bearer "+given[0])
		}
		return do(c)
	}
}
