package e2e

import (
	"strings"
	"testing"
)

// TestB01NoTokenIsAskedForWithBothChallenges: the admin API takes bearer tokens and an application's id and secret.
func TestB01NoTokenIsAskedForWithBothChallenges(t *testing.T) {
	c := story(t, shared(t)).as("")
	for _, path := range []string{"/v1/users", "/v1/applications/root", "/v1/me"} {
		c.onAdmin().get(path).wantUnauthorized()
		challenges := c.last.header.Values("WWW-Authenticate")
		if c.err == nil && (len(challenges) != 2 || !strings.HasPrefix(challenges[0], "Bearer ") || !strings.HasPrefix(challenges[1], "Basic ") ||
			strings.Contains(strings.Join(challenges, " "), "error")) {
			c.fail("the challenges are %q", challenges)
		}
		c.expect(path)
	}
	c.step("the public listener takes bearer tokens alone")
	c.onPublic().get("/v1/me").wantUnauthorized().wantHeader("WWW-Authenticate", `Bearer realm="writ"`)
	if c.err == nil && len(c.last.header.Values("WWW-Authenticate")) != 1 {
		c.fail("the challenges are %q", c.last.header.Values("WWW-Authenticate"))
	}
}

// TestB02ABadTokenAndTooLittleScopeAreToldApart: 401 invalid_token, and 403 insufficient_scope with the scope that is missing.
func TestB02ABadTokenAndTooLittleScopeAreToldApart(t *testing.T) {
	c := story(t, shared(t)).root()
	a := c.newApp(object{"grants": grants("iam/users:read", "iam/groups:read", "iam/applications:*")})
	target := c.newApp(object{})
	narrow, writing := c.token(a, "scope", "iam/groups:read"), c.token(a, "scope", "iam/applications:read iam/applications:write")

	c.step("bad ones")
	for _, bad := range []string{"garbage", forge(narrow), narrow[:len(narrow)-1], ""} {
		c.as(bearer(bad)).get("/v1/users").wantUnauthorized()
		if challenge := c.last.header.Get("WWW-Authenticate"); c.err == nil && !strings.Contains(challenge, `error="invalid_token"`) {
			c.fail("the challenge is %q", challenge)
		}
		c.expect(bad)
	}

	c.step("too little scope")
	challenge := `Bearer realm="writ", error="insufficient_scope", scope="`
	c.as(bearer(narrow)).get("/v1/groups").wantStatus(200)
	c.get("/v1/users").wantDenied("insufficient_scope").wantHeader("WWW-Authenticate", challenge+`iam/users:read"`)
	c.as(bearer(writing)).put("/v1/applications/"+target.ID+"/scopes", object{"scopes": list{}}).wantDenied("insufficient_scope").
		wantHeader("WWW-Authenticate", challenge+`iam/applications:write_scopes"`)
	c.patch("/v1/applications/"+target.ID, object{"grants": grants("iam/users:read")}).wantDenied("insufficient_scope").
		wantHeader("WWW-Authenticate", challenge+`iam/applications:write iam/applications:write_scopes"`)

	c.step("too little right is no matter of scopes")
	c.as(bearer(narrow)).get("/v1/roles").wantDenied("not_granted").wantHeader("WWW-Authenticate", "")
}

// TestB03ATokenHasOneTransport: not the query, and not two at once.
func TestB03ATokenHasOneTransport(t *testing.T) {
	c := story(t, shared(t)).root()
	token := c.token(c.newApp(object{"grants": grants("iam/users:read")}))
	a := c.newApp(object{"grants": grants("iam/users:read")})
	for _, public := range []bool{false, true} {
		c.on(public).as("").get("/v1/me?access_token=" + token).wantUnauthorized()
		c.as(bearer(token)).get("/v1/me?access_token="+token).wantProblem(400, "")
		c.as(bearer(token)).with("Authorization", bearer(token)).get("/v1/me").wantStatus(200)
		c.as("").with("Authorization", bearer(token)).with("Authorization", basic(a.ID, a.Secret)).get("/v1/me").wantProblem(400, "")
		c.as("").with("Authorization", "Bearer "+token+", Bearer "+token).get("/v1/me").wantUnauthorized()
		c.as("").with("X-Access-Token", token).with("Cookie", "access_token="+token).get("/v1/me").wantUnauthorized()
	}
	c.step("nor the body")
	c.as("").onPublic().form("/access/v1/evaluation", fields("access_token", token)).wantUnauthorized()
	c.onAdmin().post("/v1/users", object{"access_token": token}).wantUnauthorized()
}
