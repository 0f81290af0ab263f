package e2e

import (
	"strings"
	"testing"
	"time"
)

// soon is an instant some seconds from now, with the fraction that stores keep.
func soon(d time.Duration) string {
	return time.Now().Add(d).UTC().Format("2006-01-02T15:04:05.000Z07:00")
}

// TestSeedM03WindowsAreHalfOpen lives through both ends of a window of an application and of a person; that the ends are exact is
// proven beside the rule, where the clock is a number.
func TestSeedM03WindowsAreHalfOpen(t *testing.T) {
	t.Parallel()
	c := story(t, shared(t)).root()
	front := c.front()

	c.step("before it begins")
	opens := instant(time.Hour)
	a, u := c.newApp(object{"not_before": opens}), c.newUser(object{"not_before": opens})
	c.ask(a, "grant_type", "client_credentials").wantOAuthError(401, "invalid_client")
	c.askLogin(front, u).wantOAuthError(400, "invalid_grant")

	c.step("it begins, and then ends")
	window := object{"not_before": soon(-time.Second), "not_after": soon(4 * time.Second)}
	c.patch("/v1/applications/"+a.ID, window).wantStatus(200)
	c.patch("/v1/users/"+u.ID, window).wantStatus(200)
	token, person := c.token(a), c.login(front, u)
	c.live(token).live(person)
	c.eventually(20e9, func() {
		c.ask(a, "grant_type", "client_credentials").wantOAuthError(401, "invalid_client")
		c.askLogin(front, u).wantOAuthError(400, "invalid_grant")
	})
	c.dead(token).dead(person)

	c.step("a grant's own window binds in the same way")
	holder := c.newApp(object{"grants": list{
		object{"resource": "ledger", "action": "read", "not_before": soon(-time.Second), "not_after": soon(3 * time.Second)},
		object{"resource": "jobs", "action": "read", "not_before": instant(time.Hour)},
	}})
	c.decides(question("application", holder.ID, "read", "jobs", "1"), false)
	c.eventually(20e9, func() { c.decides(question("application", holder.ID, "read", "ledger", "1"), false) })

	c.step("bad: a time without zone, or none at all")
	for _, bad := range []any{"2090-01-01T00:00:00", "2090-01-01", "2090-01-01 00:00:00Z", "next week", 4070908800, "", true} {
		for _, member := range []string{"not_before", "not_after"} {
			c.post("/v1/applications", object{"name": "x", member: bad}).wantProblem(400, "/"+member)
			c.patch("/v1/users/"+u.ID, object{member: bad}).wantProblem(400, "/"+member)
			c.expect(member)
		}
	}
}

func TestSeedM17ActionsAreTheirOwn(t *testing.T) {
	c := story(t, shared(t)).root()
	editor := c.newApp(object{"grants": grants("system_user:edit", "system_user:view")})
	rotator := c.newApp(object{"grants": grants("system_user:rotate_password")})
	for who, may := range map[string]bool{editor.ID: false, rotator.ID: true} {
		c.decides(question("application", who, "rotate_password", "system_user", "1"), may)
		c.decides(question("application", who, "edit", "system_user", "1"), !may)
		c.expect(who)
	}

	c.step("bad: a method without a row is 405 with Allow, whatever the rights are")
	nobody := c.newApp(object{})
	for _, credential := range []string{c.auth, bearer(c.token(nobody))} {
		c.as(credential).send("PATCH", "/v1/users", object{}).wantProblem(405, "")
		got := map[string]bool{}
		for _, value := range c.last.header.Values("Allow") {
			for m := range strings.SplitSeq(value, ",") {
				got[strings.TrimSpace(m)] = true
			}
		}
		if c.err == nil && (!got["GET"] || !got["POST"] || got["PATCH"] || got["DELETE"]) {
			c.fail("Allow is %v", got)
		}
	}
}

func TestSeedM18ExpiredTokensRecover(t *testing.T) {
	t.Parallel()
	s := shared(t)
	c := story(t, s).root()
	a := c.newApp(object{"token_lifetime": 1, "grants": grants("iam/groups:read")})
	token := c.token(a)
	c.as(bearer(token))
	c.eventually(20e9, func() { c.get("/v1/groups").wantUnauthorized() })
	challenge := c.header("WWW-Authenticate")
	if c.err == nil && !(strings.HasPrefix(challenge, "Bearer ") && strings.Contains(challenge, `error="invalid_token"`)) {
		c.fail("WWW-Authenticate is %q", challenge)
	}
	c.step("a new token, and it goes on")
	c.as(bearer(c.token(a))).get("/v1/groups").wantStatus(200)
}

// TestSeedM18AndM19TokensOutOfTheirTime has tokens signed by somebody whose keys the test has.
func TestSeedM18AndM19TokensOutOfTheirTime(t *testing.T) {
	issuersOnLoopback(t)
	o := newOutsider(t)
	c := story(t, fresh(t, Options{Config: o.trusting()})).root()
	u := c.newUser(object{"grants": grants("ledger:read")})
	now := time.Now()
	ask := func(set object) *scenario {
		return c.as("Bearer "+o.token(merge(object{"sub": u.ID}, set))).
			post("/access/v1/evaluation", question("user", u.ID, "read", "ledger", "1"))
	}
	ask(nil).wantStatus(200).want("/decision", true)
	for name, set := range map[string]object{
		"expired":       {"exp": now.Add(-time.Hour).Unix(), "iat": now.Add(-2 * time.Hour).Unix()},
		"not yet valid": {"nbf": now.Add(time.Hour).Unix()},
		"issued later":  {"iat": now.Add(time.Hour).Unix(), "exp": now.Add(2 * time.Hour).Unix()},
		"a text as exp": {"exp": "4000000000"},
		"a text as nbf": {"nbf": "soon"},
		"no exp":        {"exp": nil},
	} {
		ask(set).wantUnauthorized()
		if challenge := c.last.header.Get("WWW-Authenticate"); c.err == nil && !strings.Contains(challenge, `error="invalid_token"`) {
			c.fail("WWW-Authenticate is %q", challenge)
		}
		c.expect(name)
	}
}

// TestSeedM09AndM10ABulkNamesAllThatStandsInTheWay with what a single delete of each would be refused for.
func TestSeedM09AndM10ABulkNamesAllThatStandsInTheWay(t *testing.T) {
	c := story(t, shared(t)).root()
	fine, strong, stronger := c.newApp(object{}), c.newApp(object{"grants": grants("ledger:read")}), c.newApp(object{"grants": grants("jobs:*")})
	actor := c.newApp(object{"grants": grants("iam/applications:delete", "iam/applications:read")})
	const path = "/v1/applications/bulk-delete"
	all := func(ids ...string) {
		want := []any{}
		for i := 0; i < len(ids); i += 2 {
			want = append(want, ids[i]+" "+ids[i+1])
		}
		got := []any{}
		v, _ := at(c.last.value(), "/items")
		array, _ := v.([]any)
		for _, item := range array {
			o := item.(object)
			got = append(got, o["id"].(string)+" "+o["code"].(string))
		}
		if c.err == nil && strings.Join(words(got), ", ") != strings.Join(words(want), ", ") {
			c.fail("named are %v, want %v", got, want)
		}
	}

	c.step("the protected one, the actor itself, and those that are stronger")
	c.as(bearer(c.token(actor)))
	c.post(path, object{"ids": list{fine.ID, "root", strong.ID, actor.ID, stronger.ID}})
	if c.err == nil && c.last.status != 403 {
		c.fail("status %d, want 403", c.last.status)
	}
	for _, id := range []string{"root", strong.ID, actor.ID, stronger.ID} {
		c.wantNaming(id)
	}
	c.want("/pointer", "/ids/1").want("/items/0/pointer", "/ids/1").want("/items/0/code", "system_protected")

	c.step("all that is not there, each once")
	one, two := unique("app_none"), unique("app_none")
	c.post(path, object{"ids": list{one, fine.ID, two, one}}).wantProblem(404, "/ids/0")
	all(one, "unknown_id", two, "unknown_id")
	c.step("bad input, and nothing was deleted")
	for pointer, ids := range map[string]any{"/ids": "x", "/ids/1": list{fine.ID, 1}, "/ids/0": list{"me"}} {
		c.post(path, object{"ids": ids}).wantProblem(400, pointer)
		c.expect(pointer)
	}
	for _, a := range []app{fine, strong, stronger, actor} {
		c.get("/v1/applications/" + a.ID).wantStatus(200)
	}
}

func words(values []any) []string {
	out := make([]string, len(values))
	for i, v := range values {
		out[i], _ = v.(string)
	}
	return out
}
