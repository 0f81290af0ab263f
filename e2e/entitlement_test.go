package e2e

import (
	"net/http"
	"os"
	"strings"
	"testing"
)

// longVariable, set to 1, runs what takes minutes at full length.
const longVariable = "WRIT_TEST_LONG"

// TestST15ADisabledResourceServerGetsNoTokens: who disables the application that serves an audience ends what is issued for it.
func TestST15ADisabledResourceServerGetsNoTokens(t *testing.T) {
	c := story(t, shared(t)).as(basic("root", shared(t).Secret))
	audience := "urn:" + unique("ledger")
	server := c.newApp(object{"serves": list{audience}})
	front := c.newApp(object{"grant_types": list{"client_credentials", "password", "refresh_token"}, "audiences": list{audience}})
	u := c.newUser(object{})
	token := c.token(front)
	c.introspect(server, token).want("/active", true)
	c.askLogin(front, u).wantStatus(200)
	refresh := c.text("/refresh_token")

	c.step("disabled")
	c.patch("/v1/applications/"+server.ID, object{"is_active": false}).wantStatus(200)
	c.askRefresh(front, refresh).wantOAuthError(400, "invalid_target")
	c.askLogin(front, u).wantOAuthError(400, "invalid_target")
	c.ask(front, "grant_type", "client_credentials").wantOAuthError(400, "invalid_target")

	c.step("enabled: the session was not touched")
	c.patch("/v1/applications/"+server.ID, object{"is_active": true}).wantStatus(200)
	c.askRefresh(front, refresh).wantStatus(200)
	c.token(front)
}

// TestST17ARightThatWasTakenIsInNoNewToken takes a role, a group and a grant away, and asks on every path.
func TestST17ARightThatWasTakenIsInNoNewToken(t *testing.T) {
	c := story(t, shared(t)).root()
	role := c.newRole("ledger:read")
	group := c.newGroup(c.newRole("ledger:write"))
	all := object{"roles": list{role}, "groups": list{group}, "grants": grants("payroll:read")}
	u := c.newUser(all)
	front := c.refreshing()
	machine := c.newApp(all)
	const before = "ledger:read ledger:write payroll:read"
	c.askLogin(front, u).wantStatus(200).want("/scope", before)
	refresh := c.text("/refresh_token")
	c.ask(machine, "grant_type", "client_credentials").wantStatus(200).want("/scope", before)
	for what, left := range map[string]string{
		"roles": "ledger:write payroll:read", "groups": "ledger:read payroll:read", "grants": "ledger:read ledger:write",
	} {
		c.step("without its " + what)
		for path, a := range map[string]string{"/v1/users/": u.ID, "/v1/applications/": machine.ID} {
			c.patch(path+a, merge(all, object{what: list{}})).wantStatus(200)
		}
		c.askRefresh(front, refresh).wantStatus(200).want("/scope", left)
		refresh = c.text("/refresh_token")
		c.askLogin(front, u).wantStatus(200).want("/scope", left)
		c.ask(machine, "grant_type", "client_credentials").wantStatus(200).want("/scope", left)
	}
}

// TestST18ALoginReEnablesNobody: nothing that a suspended user sends ends the suspension.
func TestST18ALoginReEnablesNobody(t *testing.T) {
	c := story(t, shared(t)).root()
	front, u := c.refreshing(), c.newUser(object{})
	c.askLogin(front, u).wantStatus(200)
	token, refresh := c.text("/access_token"), c.text("/refresh_token")
	c.patch("/v1/users/"+u.ID, object{"suspended_at": "2020-01-01T00:00:00Z"}).wantStatus(200)
	c.askLogin(front, u).wantOAuthError(400, "invalid_grant")
	c.askRefresh(front, refresh).wantOAuthError(400, "invalid_grant")
	c.dead(token)
	c.askLogin(front, u).wantOAuthError(400, "invalid_grant")
	c.get("/v1/users/"+u.ID).wantStatus(200).want("/suspended_at", "2020-01-01T00:00:00Z")
	c.get("/v1/sessions?ended=false&subject=" + u.ID).wantStatus(200).wantItems("id")
}

// TestSA13NoTokenCarriesARightAfterItsRevocation races the taking of a right with tokens that are asked for all the while: one that was
// asked for after the acknowledgement does not carry it.
func TestSA13NoTokenCarriesARightAfterItsRevocation(t *testing.T) {
	rounds := 20
	if os.Getenv(longVariable) == "1" {
		rounds = 1000
	}
	t.Logf("%d rounds; %s=1 makes it 1000", rounds, longVariable)
	s := shared(t)
	c := story(t, s).as(basic("root", s.Secret))
	a := c.newApp(object{})
	c.done()
	for round := range rounds {
		c.patch("/v1/applications/"+a.ID, object{"grants": grants("ledger:read")}).wantStatus(200)
		c.ask(a, "grant_type", "client_credentials").wantStatus(200).want("/scope", "ledger:read")
		c.done()
		acknowledged, stopped := make(chan struct{}), make(chan struct{})
		carried, asked := 0, 0
		go func() {
			defer close(stopped)
			w := &scenario{t: t, s: s, next: http.Header{}}
			for late := 0; late < 3 && w.err == nil; {
				select {
				case <-acknowledged:
					late++
				default:
				}
				w.ask(a, "grant_type", "client_credentials").wantStatus(200)
				if w.err == nil && late > 0 {
					scope, _ := at(w.last.value(), "/scope")
					text, ok := scope.(string)
					if asked++; !ok || strings.Contains(text, "ledger") {
						carried++
					}
				}
			}
			if w.err != nil {
				t.Errorf("round %d: %v", round, w.err)
			}
		}()
		c.patch("/v1/applications/"+a.ID, object{"grants": list{}}).wantStatus(200)
		close(acknowledged)
		<-stopped
		c.done()
		if carried > 0 || asked == 0 {
			t.Fatalf("round %d: %d of %d tokens that were asked for after the revocation carry the right", round, carried, asked)
		}
	}
}
