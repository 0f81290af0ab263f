package e2e

import (
	"encoding/json"
	"testing"
)

// introspect asks about a token as an application.
func (c *scenario) introspect(a app, token string, more ...string) *scenario {
	return c.with("Authorization", basic(a.ID, a.Secret)).
		form("/oauth2/introspect", fields(append([]string{"token", token}, more...)...)).wantStatus(200)
}

// number is the whole number at a pointer.
func (c *scenario) number(pointer string) int64 {
	if c.err != nil {
		return 0
	}
	v, _ := at(c.last.value(), pointer)
	number, _ := v.(json.Number)
	n, err := number.Int64()
	if err != nil {
		c.fail("at %s: %v is no whole number", pointer, v)
	}
	return n
}

func (c *scenario) revoke(a app, token string) *scenario {
	return c.with("Authorization", basic(a.ID, a.Secret)).form("/oauth2/revoke", fields("token", token))
}

// TestI07V01RefreshTokens introspects and revokes refresh tokens.
func TestI07V01RefreshTokens(t *testing.T) {
	c := story(t, shared(t)).root()
	front, other := c.refreshing(), c.refreshing()
	asker := c.newApp(object{"grants": grants("tokens:introspect")})
	u := c.newUser(object{"grants": grants("ledger:read")})
	bystander := c.login(front, u)
	c.askLogin(front, u).wantStatus(200)
	token, refresh := c.text("/access_token"), c.text("/refresh_token")

	c.step("I07: its client, and who may introspect the tokens of others")
	c.introspect(front, refresh, "token_type_hint", "refresh_token").want("/active", true).want("/client_id", front.ID).want("/sub", u.ID).
		want("/username", u.Username).want("/scope", "ledger:read").wantAbsent("/aud").wantAbsent("/token_type")
	long := c.number("/exp")
	c.introspect(front, token)
	if short := c.number("/exp"); c.err == nil && long < short+3600 {
		c.fail("the refresh token ends at %d, the access token at %d", long, short)
	}
	c.introspect(asker, refresh).want("/active", true)
	c.introspect(other, refresh).want("", object{"active": false})
	c.introspect(front, refresh[:len(refresh)-1]).want("", object{"active": false})

	c.step("V03: another client revokes nothing")
	c.revoke(other, refresh).wantOAuthError(400, "unauthorized_client")
	c.live(token)

	c.step("V01: its client ends the session with it, and no other")
	c.revoke(front, refresh).wantStatus(200)
	c.dead(token).live(bystander)
	c.introspect(front, refresh).want("", object{"active": false})
	c.introspect(asker, token).want("", object{"active": false})
	c.askRefresh(front, refresh).wantOAuthError(400, "invalid_grant")
	c.revoke(front, refresh).wantStatus(200)
	c.root().get("/v1/sessions?ended=true&subject="+u.ID).wantStatus(200).wantItems("ended_by", "revocation")
}

// TestANewPasswordEndsTheOtherSessions is ASVS 7.4.3.
func TestANewPasswordEndsTheOtherSessions(t *testing.T) {
	c := story(t, shared(t)).root()
	front, u := c.refreshing(), c.newUser(object{})
	c.askLogin(front, u).wantStatus(200)
	otherToken, otherRefresh := c.text("/access_token"), c.text("/refresh_token")
	plain := c.login(c.front(), u)
	c.askLogin(front, u).wantStatus(200)
	token, refresh := c.text("/access_token"), c.text("/refresh_token")

	c.step("one's own")
	fresh := password()
	c.as(bearer(token)).post("/v1/me/password", object{"current_password": u.Password, "new_password": fresh}).wantStatus(204)
	c.dead(otherToken).dead(plain).dead(token)
	c.askRefresh(front, otherRefresh).wantOAuthError(400, "invalid_grant")
	c.askRefresh(front, refresh).wantStatus(200)
	token, refresh = c.text("/access_token"), c.text("/refresh_token")
	c.live(token)
	c.as(bearer(token)).get("/v1/me/sessions?ended=false").wantStatus(200)
	if ids := c.items("id"); c.err == nil && len(ids) != 1 {
		c.fail("%d sessions live on", len(ids))
	}

	c.step("by an administrator: all of them")
	c.root().post("/v1/users/"+u.ID+"/password/reset", nil).wantStatus(200)
	c.get("/v1/sessions?subject="+u.ID).wantStatus(200).wantItems("ended_by", "identity", "identity", "identity")
	c.dead(token)
	c.askRefresh(front, refresh).wantOAuthError(400, "invalid_grant")
}

// TestOnesOwnSessions lists and ends one's own sessions.
func TestOnesOwnSessions(t *testing.T) {
	c := story(t, shared(t)).root()
	front, u := c.refreshing(), c.newUser(object{})
	var tokens, refreshes []string
	for range 3 {
		c.askLogin(front, u).wantStatus(200)
		tokens, refreshes = append(tokens, c.text("/access_token")), append(refreshes, c.text("/refresh_token"))
	}
	foreign := c.login(front, c.newUser(object{}))
	claims, _ := part(tokens[0], 1)
	first, _ := claims["sid"].(string)
	claims, _ = part(foreign, 1)
	theirs, _ := claims["sid"].(string)

	c.step("one of one's own, and none of another's")
	c.as(bearer(tokens[2])).get("/v1/me/sessions?ended=false").wantStatus(200)
	if ids := c.items("id"); c.err == nil && len(ids) != 3 {
		c.fail("%d sessions", len(ids))
	}
	c.delete("/v1/me/sessions/"+theirs).wantProblem(404, "")
	c.delete("/v1/sessions/"+theirs).wantProblem(404, "")
	c.delete("/v1/me/sessions/" + first).wantStatus(204)
	c.delete("/v1/me/sessions/"+first).wantProblem(404, "")
	c.dead(tokens[0]).live(tokens[1]).live(foreign)
	c.askRefresh(front, refreshes[0]).wantOAuthError(400, "invalid_grant")

	c.step("all others")
	c.delete("/v1/me/sessions?others=true").wantStatus(204)
	c.dead(tokens[1]).live(tokens[2])
	c.as(bearer(tokens[2])).get("/v1/me/sessions?ended=true").wantStatus(200).wantItems("ended_by", "sign_out", "sign_out")
	c.askRefresh(front, refreshes[1]).wantOAuthError(400, "invalid_grant")

	c.step("L-13: a refresh token ends its session, and L-14: not twice")
	c.as("").form("/oauth2/sessions/end", fields("token", refreshes[2])).wantStatus(204)
	c.dead(tokens[2])
	c.form("/oauth2/sessions/end", fields("token", refreshes[2])).wantOAuthError(400, "invalid_request")

	c.step("another's, by the right to it")
	ender := c.root().newApp(object{"grants": grants("iam/sessions:delete")})
	c.as(bearer(c.token(ender))).delete("/v1/sessions/" + theirs).wantStatus(204)
	c.dead(foreign)
}

// TestAllTokensOfAnIdentityAreRevoked is a sign-out everywhere, of a person and of an application.
func TestAllTokensOfAnIdentityAreRevoked(t *testing.T) {
	c := story(t, shared(t)).root()
	front, other, u := c.refreshing(), c.refreshing(), c.newUser(object{})
	guard := c.newApp(object{"grants": grants("iam/users:revoke_tokens", "iam/applications:revoke_tokens")})
	guarding := bearer(c.token(guard))

	c.step("of a person, whatever the application")
	bystander := c.login(front, c.newUser(object{}))
	token := c.login(other, u)
	c.askLogin(front, u).wantStatus(200)
	refresh := c.text("/refresh_token")
	c.as(guarding).delete("/v1/users/" + u.ID + "/tokens").wantStatus(204)
	c.dead(token).live(bystander)
	c.askRefresh(front, refresh).wantOAuthError(400, "invalid_grant")
	c.live(c.login(front, u))

	c.step("of an application, whoever came through it")
	machine := c.root().newApp(object{"grant_types": list{"client_credentials", "password", "refresh_token"}, "scopes": list{}})
	own, through := c.token(machine), c.login(machine, u)
	c.askLogin(machine, u).wantStatus(200)
	refresh = c.text("/refresh_token")
	elsewhere := c.login(front, u)
	c.root().delete("/v1/applications/" + machine.ID + "/tokens").wantStatus(204)
	c.dead(own).dead(through).live(elsewhere)
	c.askRefresh(machine, refresh).wantOAuthError(400, "invalid_grant")
	c.live(c.token(machine))

	c.step("not of who holds more, and not without the right")
	c.as(guarding).delete("/v1/applications/root/tokens").wantDenied("delegation_exceeds_actor")
	c.as(bearer(c.token(machine))).delete("/v1/users/"+u.ID+"/tokens").wantProblem(404, "")
	c.delete("/v1/tokens").wantDenied("not_granted")
}

// TestSJ10TheStricterNotBeforeWins raises the epochs of everybody and of one application in both orders: whatever came before either is
// dead, and what came after both lives.
func TestSJ10TheStricterNotBeforeWins(t *testing.T) {
	s := fresh(t, Options{})
	everybody := func(c *scenario) { c.as(basic("root", s.Secret)).delete("/v1/tokens").wantStatus(204) }
	for name, inOrder := range map[string]func(c *scenario, one func(), between func()){
		"everybody first": func(c *scenario, one, between func()) { everybody(c); between(); one() },
		"the one first":   func(c *scenario, one, between func()) { one(); between(); everybody(c) },
	} {
		c := story(t, s).as(basic("root", s.Secret))
		c.step(name)
		front, u := c.refreshing(), c.newUser(object{})
		bystander := c.refreshing()
		login := func(a app) (string, string) {
			c.askLogin(a, u).wantStatus(200)
			return c.text("/access_token"), c.text("/refresh_token")
		}
		before, refreshBefore := login(front)
		var between, refreshBetween string
		inOrder(c, func() {
			c.as(basic("root", s.Secret)).delete("/v1/applications/" + front.ID + "/tokens").wantStatus(204)
		}, func() { between, refreshBetween = login(front) })
		after, refreshAfter := login(front)
		c.dead(before).dead(between).live(after)
		c.askRefresh(front, refreshBefore).wantOAuthError(400, "invalid_grant")
		c.askRefresh(front, refreshBetween).wantOAuthError(400, "invalid_grant")
		c.askRefresh(front, refreshAfter).wantStatus(200)
		c.live(c.login(bystander, u))
		c.done()
	}
}
