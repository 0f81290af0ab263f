package e2e

import (
	"regexp"
	"strings"
	"testing"
)

// TestJ01I01EveryTokenFormatServesAndEnds takes an access token of each format and algorithm to every place that reads one, and ends
// it.
func TestJ01I01EveryTokenFormatServesAndEnds(t *testing.T) {
	for name, f := range map[string]struct{ format, algorithm string }{
		"ES256": {"jwt", "ES256"}, "RS256": {"jwt", "RS256"}, "EdDSA": {"jwt", "EdDSA"}, "opaque": {"opaque", "ES256"},
	} {
		t.Run(name, func(t *testing.T) {
			c := story(t, shared(t)).root()
			c.step("an application chooses")
			a := c.newApp(object{
				"token_format": f.format, "token_signing_alg": f.algorithm, "grants": grants("ledger:read", "iam/applications:read"),
				"scopes": list{"ledger:read", "iam/applications:read"},
			})
			c.get("/v1/applications/"+a.ID).wantStatus(200).want("/token_format", f.format).want("/token_signing_alg", f.algorithm)
			token := c.token(a)
			c.wantHeader("Cache-Control", "no-store").want("/token_type", "Bearer")

			c.step("its form")
			if f.format == "jwt" {
				header, err := part(token, 0)
				if err != nil || header["alg"] != f.algorithm || header["typ"] != "at+jwt" || len(header) != 3 {
					c.fail("header %v: %v", header, err)
				}
				c.as("").get("/.well-known/jwks.json").wantStatus(200)
				claims, err := verify(token, c.last.value())
				if err != nil || claims["sub"] != a.ID || claims["client_id"] != a.ID {
					c.fail("claims %v: %v", claims, err)
				}
				if _, err := verify(forge(token), c.last.value()); err == nil {
					c.fail("the verifier of this test accepts a forged signature")
				}
			} else if !regexp.MustCompile(`^sat_[0-9a-f]{8}_[A-Za-z0-9_-]{64,}$`).MatchString(token) {
				c.fail("the form of %s", token)
			}

			c.step("it is read everywhere")
			c.live(token)
			c.as(bearer(token)).decides(question("application", a.ID, "read", "ledger", "1"), true)
			c.decides(question("application", a.ID, "write", "ledger", "1"), false)
			c.get("/v1/applications").wantStatus(200)
			c.get("/v1/users").wantDenied("not_granted")
			c.root().decides(question("token", token, "read", "ledger", "1"), true)

			c.step("and described")
			c.introspects(a, token).want("/active", true).want("/client_id", a.ID).want("/sub", a.ID).want("/iss", c.s.Public).
				want("/token_type", "Bearer").want("/scope", "iam/applications:read ledger:read")
			jti := c.text("/jti")
			c.introspects(a, token).want("/jti", jti)

			c.step("a changed one is not")
			cut := token[:len(token)-2]
			for name, changed := range map[string]string{"cut": cut, "longer": token + "AA", "lower case": strings.ToLower(token)} {
				c.dead(changed)
				c.introspects(a, changed).want("", object{"active": false})
				c.expect(name)
			}

			c.step("revoked, it is dead everywhere; its sister lives")
			sister := c.token(a)
			c.with("Authorization", basic(a.ID, a.Secret)).form("/oauth2/revoke", fields("token", token)).wantStatus(200)
			c.dead(token).live(sister)
			c.as(bearer(token)).post("/access/v1/evaluation", question("application", a.ID, "read", "ledger", "1")).wantUnauthorized()
			c.get("/v1/applications").wantUnauthorized()
			c.introspects(a, token).want("", object{"active": false})
			c.introspects(a, sister).want("/active", true)

			c.step("disabled, so is its sister")
			c.root().patch("/v1/applications/"+a.ID, object{"is_active": false}).wantStatus(200)
			c.dead(sister)
		})
	}
}

// TestJ01RefreshedTokensFollowTheApplicationsChoice changes the choice while a person is logged in.
func TestJ01RefreshedTokensFollowTheApplicationsChoice(t *testing.T) {
	c := story(t, shared(t)).root()
	ada := c.newUser(object{"grants": grants("ledger:read")})
	front := c.newApp(object{
		"grant_types": list{"password", "refresh_token"}, "scopes": list{"ledger:read"}, "token_format": "opaque",
	})
	c.askLogin(front, ada).wantStatus(200)
	first, refresh := c.text("/access_token"), c.text("/refresh_token")
	if !strings.HasPrefix(first, "sat_") {
		c.fail("an opaque token is %s", first)
	}
	c.live(first)
	c.introspects(front, first).want("/active", true).want("/sub", ada.ID).want("/username", ada.Username)
	for _, algorithm := range []string{"EdDSA", "RS256", "ES256"} {
		c.step("refreshed for " + algorithm)
		c.root().patch("/v1/applications/"+front.ID, object{"token_format": "jwt", "token_signing_alg": algorithm}).wantStatus(200)
		c.ask(front, "grant_type", "refresh_token", "refresh_token", refresh).wantStatus(200)
		token := c.text("/access_token")
		refresh = c.text("/refresh_token")
		if header, err := part(token, 0); err != nil || header["alg"] != algorithm {
			c.fail("header %v: %v", header, err)
		}
		c.live(token).live(first)
	}
	c.step("S-J5: the refresh token is no access token")
	c.dead(refresh)
	c.step("the session's end is the end of all of them")
	c.with("Authorization", bearer(first)).form("/oauth2/sessions/end", nil).wantStatus(204)
	c.dead(first)
}

// introspects asks what a token is, as an application.
func (c *scenario) introspects(a app, token string) *scenario {
	return c.with("Authorization", basic(a.ID, a.Secret)).form("/oauth2/introspect", fields("token", token)).wantStatus(200)
}
