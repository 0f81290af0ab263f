package e2e

import (
	"sync"
	"testing"
)

// refreshing is an application whose people's logins are refreshed.
func (c *scenario) refreshing() app {
	return c.newApp(object{"grant_types": list{"password", "refresh_token"}})
}

func (c *scenario) askRefresh(a app, token string, more ...string) *scenario {
	return c.ask(a, append([]string{"grant_type", "refresh_token", "refresh_token", token}, more...)...)
}

// TestRefreshJourney is rows R01 to R07 and R09 as they are seen from outside.
func TestRefreshJourney(t *testing.T) {
	c := story(t, shared(t)).root()
	front, other := c.refreshing(), c.refreshing()
	role := c.newRole("ledger:read", "ledger:write")
	u := c.newUser(object{"roles": list{role}})

	c.step("P01: a login brings a refresh token")
	c.askLogin(front, u).wantStatus(200).want("/scope", "ledger:read ledger:write")
	first, token := c.text("/refresh_token"), c.text("/access_token")

	c.step("R03, R06, R07: wider, foreign and forged ones are refused, and the session lives")
	c.askRefresh(front, first, "scope", "payroll:read").wantOAuthError(400, "invalid_scope")
	c.askRefresh(other, first).wantOAuthError(400, "invalid_grant")
	c.askRefresh(front, first+"A").wantOAuthError(400, "invalid_grant")
	c.askRefresh(front, first[:len(first)-1]).wantOAuthError(400, "invalid_grant")
	c.live(token)

	c.step("R01, R02: it rotates, and narrows this access token alone")
	c.askRefresh(front, first, "scope", "ledger:read").wantStatus(200).want("/scope", "ledger:read")
	second := c.text("/refresh_token")

	c.step("R05: a retry gets the same successor")
	c.askRefresh(front, first).wantStatus(200).want("/refresh_token", second)

	c.step("R09: a role that loses a grant is seen at the next refresh")
	c.put("/v1/roles/"+role, object{"grants": grants("ledger:read")}).wantStatus(200)
	c.askRefresh(front, second).wantStatus(200).want("/scope", "ledger:read")
	third, last := c.text("/refresh_token"), c.text("/access_token")
	c.live(last)

	c.step("R04: the first one again, whose successor was used, ends the session")
	c.askRefresh(front, first).wantOAuthError(400, "invalid_grant")
	c.askRefresh(front, third).wantOAuthError(400, "invalid_grant")
	c.dead(token).dead(last)

	c.step("R09: a suspended user refreshes nothing")
	c.askLogin(front, u).wantStatus(200)
	token = c.text("/refresh_token")
	c.patch("/v1/users/"+u.ID, object{"suspended_at": "2020-01-01T00:00:00Z"}).wantStatus(200)
	c.askRefresh(front, token).wantOAuthError(400, "invalid_grant")
}

// TestR08ParallelRefreshesGiveOneSuccessor is the row on the store of this run.
func TestR08ParallelRefreshesGiveOneSuccessor(t *testing.T) {
	s := shared(t)
	c := story(t, s).root()
	front, u := c.refreshing(), c.newUser(object{})
	c.askLogin(front, u).wantStatus(200)
	token := c.text("/refresh_token")
	c.done()
	got := make([]string, 50)
	var all sync.WaitGroup
	for n := range got {
		all.Go(func() {
			one := &scenario{t: t, s: s, next: map[string][]string{}}
			one.askRefresh(front, token).wantStatus(200)
			got[n] = one.text("/refresh_token")
			if one.err != nil {
				t.Errorf("refresh %d: %v", n, one.err)
			}
		})
	}
	all.Wait()
	for _, successor := range got {
		if successor == "" || successor != got[0] {
			t.Fatal("the successors differ")
		}
	}
	c.step("the one successor is good")
	c.askRefresh(front, got[0]).wantStatus(200)
}

// TestR04ReuseAfterTheGraceEndsTheSessionAndIsAudited is the row on the store of this run, with a grace that a test can wait for.
func TestR04ReuseAfterTheGraceEndsTheSessionAndIsAudited(t *testing.T) {
	t.Parallel()
	c := story(t, fresh(t, Options{Env: map[string]string{"WRIT_REFRESH_GRACE": "1s"}})).root()
	front, u := c.refreshing(), c.newUser(object{"grants": grants("ledger:read")})
	c.askLogin(front, u).wantStatus(200)
	bystander, elsewhere := c.text("/refresh_token"), c.text("/access_token")
	c.askLogin(front, u).wantStatus(200)
	first, token := c.text("/refresh_token"), c.text("/access_token")
	c.done()
	claims, err := part(token, 1)
	sid, _ := claims["sid"].(string)
	if err != nil || sid == "" {
		t.Fatalf("claims %v: %v", claims, err)
	}
	reuses := "/v1/audit?action=tokens:reuse&target=sessions/" + sid

	c.step("a use is none")
	c.askRefresh(front, first).wantStatus(200)
	second, last := c.text("/refresh_token"), c.text("/access_token")
	c.live(token).live(last)
	c.get(reuses).wantStatus(200).wantItems("event")

	c.step("after the grace the first one again ends the session")
	c.eventually(bindsWithin, func() { c.askRefresh(front, first).wantOAuthError(400, "invalid_grant") })
	c.dead(token).dead(last)
	c.askRefresh(front, second).wantOAuthError(400, "invalid_grant")
	c.askRefresh(front, first).wantOAuthError(400, "invalid_grant")
	c.get("/v1/sessions?subject=" + u.ID).wantStatus(200)
	if ended := c.itemWith("id", sid); c.err == nil && ended["ended_by"] != "reuse" {
		c.fail("the session is %v, want it ended by reuse", ended)
	}

	c.step("which is in the audit, once")
	c.get(reuses).wantStatus(200).wantItems("event", "intent", "outcome").wantItems("actor", "application:"+front.ID, "application:"+front.ID).
		wantItems("on_behalf_of", "user:"+u.ID, "user:"+u.ID)
	if done := c.itemWith("event", "outcome"); c.err == nil && (done["outcome"] != "ok" || done["reason"] == nil) {
		c.fail("the outcome is %v", done)
	}
	c.wantNoSecret(first, second, token, last)

	c.step("the user's other session lives")
	c.live(elsewhere)
	c.askRefresh(front, bystander).wantStatus(200)
}
