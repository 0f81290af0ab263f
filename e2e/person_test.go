package e2e

import (
	"net/http"
	"testing"
)

// TestSeed000PersonJourney is seed 000's human access: look at the groups, create the user in them, request a token with the
// password, use it, end the session.
func TestSeed000PersonJourney(t *testing.T) {
	c := story(t, shared(t)).root()

	c.step("step 1: check the group permissions")
	books := c.newGroup(c.newRole("ledger/books:read"))
	accounts := c.newGroup(c.newRole("ledger/accounts:read", "ledger/accounts:write"))
	other := c.newGroup(c.newRole("payroll:read"))
	c.get("/v1/groups?limit=100").wantStatus(200)
	c.get("/v1/groups/"+accounts).wantStatus(200).want("/id", accounts)

	c.step("step 2: create the user in the right groups")
	front := c.front()
	ada := c.newUser(object{"groups": list{books, accounts}})
	c.get("/v1/users/"+ada.ID).wantStatus(200).want("/groups", list{books, accounts}).wantNoSecret(ada.Password)
	c.get("/v1/users?group="+accounts).wantStatus(200).wantItems("id", ada.ID)

	c.step("step 3: request a token using password")
	c.askLogin(front, ada).wantStatus(200).want("/token_type", "Bearer").want("/expires_in", 3600).
		wantHeader("Cache-Control", "no-store")
	token := c.text("/access_token")

	c.step("use it: the first token already carries what the groups give")
	c.as(bearer(token))
	c.decides(question("user", ada.ID, "read", "ledger/books", "1"), true)
	c.decides(question("user", ada.ID, "write", "ledger/accounts", "1"), true)
	c.decides(question("user", ada.ID, "write", "ledger/books", "1"), false)
	c.decides(question("user", ada.ID, "read", "payroll", "1"), false)
	c.get("/v1/me").wantStatus(200).want("/type", "user").want("/id", ada.ID).want("/user/username", ada.Username)

	c.step("manage: into another group, out of it, and the rights follow")
	c.root().patch("/v1/users/"+ada.ID, object{"groups": list{books, accounts, other}}).wantStatus(200)
	c.decides(question("user", ada.ID, "read", "payroll", "1"), true)
	c.patch("/v1/users/"+ada.ID, object{"groups": list{books}}).wantStatus(200)
	c.decides(question("user", ada.ID, "read", "payroll", "1"), false)
	c.decides(question("user", ada.ID, "read", "ledger/accounts", "1"), false)

	c.step("end the session: its token is refused at once, another session of the user lives")
	second := c.login(front, ada)
	c.as(bearer(token)).post("/oauth2/sessions/end", nil).wantStatus(204)
	c.dead(token).live(second)

	c.step("block the user: the password no longer works, the live token is dead")
	c.root().patch("/v1/users/"+ada.ID, object{"suspended_at": "2020-01-01T00:00:00Z"}).wantStatus(200)
	c.dead(second)
	c.askLogin(front, ada).wantOAuthError(400, "invalid_grant")

	c.step("remove the user")
	c.delete("/v1/users/" + ada.ID).wantStatus(204)
	c.get("/v1/users/"+ada.ID).wantProblem(404, "")
	c.askLogin(front, ada).wantOAuthError(400, "invalid_grant")
}

func TestSeedL01GroupsShowRolesPermissionsAndMembers(t *testing.T) {
	c := story(t, shared(t)).root()
	role := c.newRole("ledger/accounts:read")
	group := c.newGroup(role)
	member := c.newUser(object{"groups": list{group}})
	machine := c.newApp(object{"groups": list{group}})
	reader := c.newApp(object{"grants": grants("iam/groups:read")})
	nobody := c.newApp(object{})
	userReader := c.newApp(object{"grants": grants("iam/users:read", "iam/applications:read")})

	c.step("with iam/groups:read")
	c.as(bearer(c.token(reader)))
	c.get("/v1/groups/"+group).wantStatus(200).want("/id", group).want("/name", group).want("/roles", list{role})
	c.want("/permissions/0/resource", "ledger/accounts").want("/permissions/0/action", "read")
	for c.get("/v1/groups?limit=100").wantStatus(200); c.err == nil; {
		if found := len(c.itemWith("id", group)) > 0; found {
			item := c.itemWith("id", group)
			for _, member := range []string{"id", "name", "roles"} {
				if _, ok := item[member]; !ok {
					c.fail("the listed group has no %s", member)
				}
			}
			break
		}
		next := c.text("/next")
		c.get("/v1/groups?limit=100&after=" + next).wantStatus(200)
	}
	c.get("/v1/groups/"+unique("none")).wantProblem(404, "")

	c.step("members")
	c.as(bearer(c.token(userReader)))
	c.get("/v1/users?group="+group).wantStatus(200).wantItems("id", member.ID)
	c.get("/v1/applications?group="+group).wantStatus(200).wantItems("id", machine.ID)

	c.step("without the right")
	c.as(bearer(c.token(nobody))).get("/v1/groups").wantDenied("not_granted")
}

func TestSeedL03UserIsCreatedInItsGroups(t *testing.T) {
	c := story(t, shared(t)).root()
	a, b := c.newGroup(c.newRole("ledger/a:read")), c.newGroup(c.newRole("ledger/b:read"))
	front := c.front()

	c.step("the first token carries both groups")
	u := c.newUser(object{"groups": list{a, b}})
	c.as(bearer(c.login(front, u)))
	c.decides(question("user", u.ID, "read", "ledger/a", "1"), true)
	c.decides(question("user", u.ID, "read", "ledger/b", "1"), true)

	c.step("an unknown group is refused by name and no user is stored")
	name := unique("eve")
	body := object{"username": name, "email": name + "@example.com", "name": "Eve", "password": password()}
	body["groups"] = list{a, "no-such-group"}
	c.root().post("/v1/users", body).wantProblem(400, "/groups/1")

	c.step("a group that the actor does not cover")
	body["groups"] = list{a, b}
	actor := c.newApp(object{"grants": grants("iam/users:write", "ledger/a:read")})
	c.as(bearer(c.token(actor))).post("/v1/users", body).wantDenied("delegation_exceeds_actor")

	c.step("neither left a user behind: the name is free")
	body["groups"] = list{a}
	c.post("/v1/users", body).wantStatus(201)
}

func TestSeedL04NamesAreUniqueWhateverTheirCase(t *testing.T) {
	c := story(t, shared(t)).root()
	u := c.newUser(object{})
	body := func(username, email string) object {
		return object{"username": username, "email": email, "name": "x", "password": password()}
	}
	fresh := func() string { return unique("name") }

	c.post("/v1/users", body(upper(u.Username), fresh()+"@example.com")).wantProblem(409, "").wantNaming("username")
	c.post("/v1/users", body(fresh(), upper(u.Username)+"@EXAMPLE.com")).wantProblem(409, "").wantNaming("email")

	c.step("bad input")
	name := fresh()
	c.post("/v1/users", object{"email": name + "@example.com", "password": password()}).wantProblem(400, "/username")
	c.post("/v1/users", object{"username": name, "password": password()}).wantProblem(400, "/email")
	c.post("/v1/users", body(name, "not-an-address")).wantProblem(400, "/email")
	short := body(name, name+"@example.com")
	short["password"] = "elevenchars"
	c.post("/v1/users", short).wantProblem(400, "/password").wantNoSecret("elevenchars")
	c.post("/v1/users", body(uuid(), name+"@example.com")).wantProblem(400, "/username")
	c.post("/v1/users", body("app_"+name, name+"@example.com")).wantProblem(400, "/username")
	c.post("/v1/users", body(name, name+"@example.com")).wantStatus(201)
}

func TestSeedL06LoginFailuresCannotBeToldApart(t *testing.T) {
	t.Parallel()
	c := story(t, shared(t)).root()
	front := c.front()
	good := c.newUser(object{})
	suspended := c.newUser(object{})
	c.patch("/v1/users/"+suspended.ID, object{"suspended_at": "2020-01-01T00:00:00Z"}).wantStatus(200)
	outside := c.newUser(object{"not_before": "2090-01-01T00:00:00Z"})

	c.askLogin(front, user{Username: good.Username, Password: password()}).wantOAuthError(400, "invalid_grant")
	wrong := c.last
	c.askLogin(front, user{Username: unique("nobody"), Password: password()}).wantOAuthError(400, "invalid_grant").
		wantSame(wrong)
	c.askLogin(front, suspended).wantOAuthError(400, "invalid_grant").wantSame(wrong)
	c.askLogin(front, outside).wantOAuthError(400, "invalid_grant").wantSame(wrong)
	c.ask(front, "grant_type", "implicit").wantOAuthError(400, "unsupported_grant_type")

	c.step("inside the delay the right password gets what a wrong one gets: the delay's own 429")
	login := func(guess string) func() string {
		return func() string {
			return c.raw(front, "grant_type", "password", "username", good.Username, "password", guess)
		}
	}
	c.throttled(map[string]func() string{good.Username: func() string { return login("a wrong guess " + unique(""))() }})
	c.wantRaw(http.StatusTooManyRequests, map[string]func() string{"right": login(good.Password), "wrong": login("one more wrong guess")})
	c.askLogin(front, good).wantOAuthError(429, "temporarily_unavailable")
	c.login(front, c.newUser(object{}))
}

func TestSeedL13EndingASessionEndsItsTokensOnly(t *testing.T) {
	c := story(t, shared(t)).root()
	front, u := c.front(), c.newUser(object{})
	one, two, three := c.login(front, u), c.login(front, u), c.login(front, u)

	c.step("with the bearer")
	c.as(bearer(one)).post("/oauth2/sessions/end", nil).wantStatus(204)
	if len(c.last.body) != 0 {
		c.fail("the reply has a body")
	}
	c.dead(one).live(two).live(three)
	c.post("/oauth2/sessions/end", nil).wantStatus(401)

	c.step("with the token in the form")
	c.as("").form("/oauth2/sessions/end", fields("token", two)).wantStatus(204)
	c.dead(two).live(three)
	c.form("/oauth2/sessions/end", fields("token", two)).wantStatus(400)
}

func TestSeedL14EndingASessionIsNeverASilentNoOp(t *testing.T) {
	c := story(t, shared(t)).root()
	front := c.front()
	mine, theirs := c.login(front, c.newUser(object{})), c.login(front, c.newUser(object{}))

	c.as("").post("/oauth2/sessions/end", nil).wantStatus(400)
	c.form("/oauth2/sessions/end", fields()).wantStatus(400)
	c.form("/oauth2/sessions/end", fields("token", "garbage")).wantStatus(400)
	c.form("/oauth2/sessions/end", fields("token", forge(mine))).wantStatus(400)
	c.as(bearer(mine)).form("/oauth2/sessions/end", fields("token", theirs)).wantStatus(400)
	c.live(mine).live(theirs)
}

func TestSeedL15SuspensionBindsAtOnce(t *testing.T) {
	c := story(t, shared(t)).root()
	front, u := c.front(), c.newUser(object{})
	token := c.login(front, u)

	c.step("suspended")
	c.patch("/v1/users/"+u.ID, object{"suspended_at": "2020-01-01T00:00:00Z"}).wantStatus(200)
	c.dead(token)
	c.askLogin(front, u).wantOAuthError(400, "invalid_grant")

	c.step("restored: login works, the old token stays dead")
	c.patch("/v1/users/"+u.ID, object{"suspended_at": nil}).wantStatus(200)
	c.live(c.login(front, u)).dead(token)

	c.step("bad: in the future, and oneself")
	c.patch("/v1/users/"+u.ID, object{"suspended_at": "2090-01-01T00:00:00Z"}).wantProblem(400, "/suspended_at")
	self := c.newUser(object{"grants": grants("iam/users:*")})
	c.as(bearer(c.login(front, self)))
	c.patch("/v1/users/"+self.ID, object{"suspended_at": "2020-01-01T00:00:00Z"}).wantDenied("self_lockout")
}

func TestSeedL20NobodyDeletesHimself(t *testing.T) {
	c := story(t, shared(t)).root()
	u := c.newUser(object{"grants": grants("iam/users:*")})
	machine := c.newApp(object{"grants": grants("iam/applications:*")})
	victim := c.newApp(object{})
	stamped := c.newUser(object{})

	c.step("a person and a machine")
	c.as(bearer(c.login(c.front(), u))).delete("/v1/users/" + u.ID).wantDenied("self_lockout")
	c.as(bearer(c.token(machine))).delete("/v1/applications/" + machine.ID).wantDenied("self_lockout")
	c.post("/v1/applications/bulk-delete", object{"ids": list{victim.ID, machine.ID}}).wantDenied("self_lockout")
	c.root().get("/v1/applications/" + victim.ID).wantStatus(200)

	c.step("bad: members that nobody sets")
	for member, value := range (object{"id": uuid(), "created_at": "2020-01-01T00:00:00Z", "version": 7}) {
		c.patch("/v1/users/"+stamped.ID, object{member: value}).wantProblem(400, "/"+member)
	}
}
