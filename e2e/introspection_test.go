package e2e

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
)

// TestI08ST14SignedIntrospection verifies the signed form with nothing but the published keys: it says what the JSON form says, and of a
// token that is not the caller's business as little.
func TestI08ST14SignedIntrospection(t *testing.T) {
	c := story(t, shared(t)).root()
	owner, stranger := c.newApp(object{"grants": grants("ledger:read")}), c.newApp(object{})
	token := c.token(owner)
	const media = "application/token-introspection+jwt"
	signed := func(a app, asked string) (header, claims object) {
		c.with("Accept", media).introspect(a, asked).wantHeader("Content-Type", media).wantHeader("Cache-Control", "no-store")
		raw := string(c.last.body)
		c.get("/.well-known/jwks.json").wantStatus(200)
		if c.err != nil {
			return nil, nil
		}
		header, err := part(raw, 0)
		if err != nil {
			c.fail("header: %v", err)
		}
		end := strings.LastIndexByte(raw, '.')
		signature, err := b64.DecodeString(raw[end+1:])
		jwk := keyNamed(c.last.value(), header["kid"])
		if err != nil || jwk == nil || jwk["use"] != "sig" || jwk["alg"] != header["alg"] || !signedBy(jwk, []byte(raw[:end]), signature) {
			c.fail("%v is not signed by the published key %v", header, jwk)
		}
		claims, err = part(raw, 1)
		if err != nil {
			c.fail("claims: %v", err)
		}
		return header, claims
	}

	c.step("I08: one's own token")
	header, claims := signed(owner, token)
	c.introspect(owner, token).want("/active", true)
	if said, _ := c.last.value().(map[string]any); c.err == nil && (header["typ"] != "token-introspection+jwt" ||
		claims["iss"] != c.s.Public || !same(claims["aud"], list{owner.ID}) || len(claims) != 4 || claims["iat"] == nil ||
		!same(claims["token_introspection"], said)) {
		c.fail("header %v, claims %v", header, claims)
	}

	c.step("S-T14: a foreign one and one that is none")
	for _, asked := range []string{token, "garbage", token[:len(token)-1]} {
		_, claims = signed(stranger, asked)
		if c.err == nil && (len(claims) != 4 || !same(claims["aud"], list{stranger.ID}) || !same(claims["token_introspection"], object{"active": false})) {
			c.fail("claims %v", claims)
		}
	}

	c.step("the reply is no token")
	c.with("Accept", media).introspect(owner, token)
	c.dead(string(c.last.body))
	c.as("").with("Accept", media).form("/oauth2/introspect", fields("token", token)).wantOAuthError(http.StatusUnauthorized, "invalid_client")
}

// same compares what two values are as JSON.
func same(a, b any) bool {
	one, errOne := json.Marshal(a)
	two, errTwo := json.Marshal(b)
	return errOne == nil && errTwo == nil && bytes.Equal(one, two)
}
