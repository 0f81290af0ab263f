package e2e

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// atRustici sends the next request to a management route of the dialect, whose paths are those of Rustici Generatoc.
func (c *scenario) atRustici(method, path string, body any) *scenario {
	return c.onAdmin().send(method, "/rustici/api/v1"+path, body)
}

// loginRustici asks for a token as the clients of the system do: by a form that names no client but the credential, if any.
func (c *scenario) loginRustici(pairs ...string) *scenario {
	was := c.auth
	defer func() { c.auth = was }()
	return c.as("").onPublic().form("/rustici/api/v1/login/access_token", fields(pairs...))
}

// pairs writes rights as the system does: "READ JOBS".
func pairs(rights ...string) list {
	out := list{}
	for _, right := range rights {
		verb, subject, _ := strings.Cut(right, " ")
		out = append(out, object{"verb": verb, "subject": subject})
	}
	return out
}

// cred is a credential as its maker knows it.
type cred struct{ ID, Password string }

func (c cred) basic() string { return basic(c.ID, c.Password) }

// newCred makes an active credential with rights everywhere.
func (c *scenario) newCred(rights ...string) cred {
	return c.makeCred(object{"scopes": pairs(rights...)})
}

func (c *scenario) makeCred(body object) cred {
	made := cred{unique("cred"), password()}
	c.atRustici("POST", "/credentials", merge(object{"id": made.ID, "password": made.Password}, body)).wantStatus(201)
	return made
}

// bearerOf is the Authorization header of a token of the credential, by the password grant.
func (c *scenario) bearerOf(who cred, more ...string) string {
	c.loginRustici(append([]string{"grant_type", "password", "username", who.ID, "password", who.Password}, more...)...).wantStatus(200)
	return bearer(c.text("/access_token"))
}

func TestDialectG01CredentialsAreMade(t *testing.T) {
	c := story(t, spoken(t))
	c.root()
	id, secret := unique("cred"), password()
	path := "/credentials/" + id
	tenant := c.newTenant()

	c.step("made as the documents say")
	body := object{
		"id": id, "password": secret, "is_active": true, "scopes": pairs("READ JOBS", "WRITE CREDENTIALS", "READ JOBS"),
		"tenants": object{tenant: pairs("READ CONTENT", "WRITE CONTENT")},
	}
	want := object{
		"id": id, "is_active": true, "scopes": pairs("READ JOBS", "WRITE CREDENTIALS"), "tenants": object{tenant: pairs("READ CONTENT", "WRITE CONTENT")},
	}
	c.atRustici("POST", "/credentials", body).wantStatus(201).want("", want).wantHeader("Location", "/rustici/api/v1/credentials/"+id)
	if c.header("ETag") == "" || c.header("Decision-Id") == "" {
		c.fail("the reply lacks a header")
	}
	c.atRustici("GET", path, nil).wantStatus(200).want("", want)

	c.step("natively it is an application with a secret that nobody reads")
	c.get("/v1/applications/"+id).wantStatus(200).want("/grant_types", list{"client_credentials"}).want("/scopes", list{"*:*"}).
		want("/retrievable", false).want("/name", id)
	c.get("/v1/applications/"+id+"/secrets").wantStatus(200).want("/items/0/retrievable", false).wantAbsent("/items/1").wantNoSecret(secret)
	chosen := c.text("/items/0/id")
	c.owner().post("/v1/applications/"+id+"/secrets/"+chosen+"/reveal", object{"reason": "curious"}).wantStatus(409)
	c.root()

	c.step("the same id again")
	c.atRustici("POST", "/credentials", merge(body, object{"password": password(), "scopes": list{}})).wantProblem(409, "/id")
	c.atRustici("GET", path, nil).want("", want)
	c.loginRustici("grant_type", "password", "username", id, "password", secret).wantStatus(200)

	c.step("no GET shows the password")
	for _, look := range []string{path, "/credentials?limit=100"} {
		c.atRustici("GET", look, nil).wantStatus(200).wantNoSecret(secret).wantAbsent("/password").wantAbsent("/secret")
		c.expect(look)
	}

	c.step("what is wrong with a body")
	for name, bad := range map[string]struct {
		change  object
		pointer string
	}{
		"empty password":       {object{"password": ""}, "/password"},
		"short password":       {object{"password": "short"}, "/password"},
		"common password":      {object{"password": "password1234"}, "/password"},
		"password of a secret": {object{"password": "writ_cs_" + strings.Repeat("a", 49)}, "/password"},
		"password of a number": {object{"password": 123456789012}, "/password"},
		"active of a text":     {object{"is_active": "yes"}, "/is_active"},
		"active of null":       {object{"is_active": nil}, "/is_active"},
		"unknown key":          {object{"name": "x"}, "/name"},
		"key in other letters": {object{"Scopes": list{}}, "/Scopes"},
		"scopes of null":       {object{"scopes": nil}, "/scopes"},
		"scopes of a text":     {object{"scopes": "READ JOBS"}, "/scopes"},
		"tenants of a list":    {object{"tenants": list{}}, "/tenants"},
		"a pair with more":     {object{"scopes": list{object{"verb": "READ", "subject": "JOBS", "tenant": tenant}}}, "/scopes/0/tenant"},
	} {
		fresh := unique("cred")
		c.atRustici("POST", "/credentials", merge(object{"id": fresh, "password": password()}, bad.change)).wantProblem(400, bad.pointer)
		c.atRustici("GET", "/credentials/"+fresh, nil).wantProblem(404, "")
		c.expect(name)
	}
	c.atRustici("POST", "/credentials", object{"id": unique("cred")}).wantProblem(400, "/password")
	c.atRustici("POST", "/credentials", object{"password": password()}).wantProblem(400, "/id")
	c.atRustici("POST", "/credentials", `{"id": "a", "id": "b", "password": "x"}`).wantProblem(400, "/id")
	c.with("Content-Type", "text/plain").atRustici("POST", "/credentials", "{}").wantStatus(415)

	c.step("a password is changed by who may, and the old one is dead with its tokens")
	c.loginRustici("grant_type", "password", "username", id, "password", secret).wantStatus(200)
	old, next := c.text("/access_token"), password()
	c.live(old)
	c.atRustici("PUT", path, object{"password": next}).wantStatus(200).want("", want).wantNoSecret(next)
	c.dead(old)
	c.loginRustici("grant_type", "password", "username", id, "password", secret).wantOAuthError(400, "invalid_grant")
	c.loginRustici("grant_type", "password", "username", id, "password", next).wantStatus(200)
	c.atRustici("PUT", path, object{"password": "short"}).wantProblem(400, "/password")
	c.atRustici("PUT", path, object{"id": "another"}).wantProblem(400, "/id")
	c.atRustici("PUT", "/credentials/"+unique("none"), object{"is_active": true}).wantProblem(404, "")

	c.step("natively nobody chooses one")
	c.put("/v1/applications/"+unique("cred"), object{"name": "x", "secret": password()}).wantRefused(400, "secret_not_chosen")
	c.patch("/v1/applications/"+id, object{"secret": password()}).wantRefused(400, "secret_not_chosen")
	c.loginRustici("grant_type", "password", "username", id, "password", next).wantStatus(200)
}

func TestDialectG02ReservedIds(t *testing.T) {
	c := story(t, spoken(t))
	c.root()
	for _, id := range []string{"me", "ME", "Me", "", "a/b", `a\b`, "a:b", "a b", "a\x00b", "é", strings.Repeat("a", 129), uuid()} {
		c.atRustici("POST", "/credentials", object{"id": id, "password": password()}).wantStatus(400)
		c.expect(fmt.Sprintf("%q", id))
	}
	c.atRustici("PUT", "/credentials/ME", object{"is_active": true}).wantStatus(400)
	c.atRustici("DELETE", "/credentials/me", nil).wantStatus(400)
	c.atRustici("POST", "/credentials", object{"id": strings.Repeat("a", 119) + unique("z"), "password": password()})
	if got := c.last.status; got != 201 && got != 400 {
		c.fail("status %d", got)
	}
}

func TestDialectG03TheTableIsClosed(t *testing.T) {
	c := story(t, spoken(t))
	c.root()
	tenant := c.newTenant()
	for name, bad := range map[string]struct {
		change  object
		pointer string
	}{
		"unknown subject":             {object{"scopes": pairs("READ JOBS", "READ ORDERS")}, "/scopes/1"},
		"unknown verb":                {object{"scopes": pairs("FLY JOBS")}, "/scopes/0"},
		"in other letters":            {object{"scopes": pairs("read jobs")}, "/scopes/0"},
		"everything":                  {object{"scopes": pairs("* *")}, "/scopes/0"},
		"no verb":                     {object{"scopes": list{object{"subject": "JOBS"}}}, "/scopes/0"},
		"unknown subject in a tenant": {object{"tenants": object{tenant: pairs("READ ORDERS")}}, "/tenants/" + tenant + "/0"},
		"unknown tenant":              {object{"tenants": object{unique("none"): pairs("READ JOBS")}}, ""},
		"every tenant as one":         {object{"tenants": object{"*": pairs("READ JOBS")}}, "/tenants/*"},
		"no tenant as one":            {object{"tenants": object{"": pairs("READ JOBS")}}, "/tenants/"},
		"a tenant in other letters":   {object{"tenants": object{upper(tenant): pairs("READ JOBS")}}, "/tenants/" + upper(tenant) + "/0"},
	} {
		id := unique("cred")
		c.atRustici("POST", "/credentials", merge(object{"id": id, "password": password()}, bad.change)).wantProblem(400, bad.pointer)
		c.atRustici("GET", "/credentials/"+id, nil).wantProblem(404, "")
		c.expect(name)
	}

	c.step("what is natively there and has no pair is not shown, and a pair is shown where all of it is held")
	id := c.newApp(object{"grants": grants("ledger:read", "jobs:read", "jobs:write@*", "iam/applications:write@*", "content:read@"+tenant)}).ID
	c.atRustici("GET", "/credentials/"+id, nil).wantStatus(200).want("/scopes", pairs("WRITE JOBS")).want("/tenants", object{tenant: pairs("READ CONTENT")})

	c.step("rights are set whole; what is not about them leaves them")
	made := c.makeCred(object{"scopes": pairs("READ JOBS"), "tenants": object{tenant: pairs("READ CONTENT")}})
	path := "/credentials/" + made.ID
	c.atRustici("PUT", path, object{"is_active": false}).wantStatus(200).want("/scopes", pairs("READ JOBS")).want("/is_active", false)
	c.atRustici("PUT", path, object{"scopes": pairs("WRITE JOBS"), "tenants": object{}}).wantStatus(200).want("/scopes", pairs("WRITE JOBS")).want("/tenants", object{})
	c.atRustici("PUT", path, object{"scopes": pairs("READ NOTHING")}).wantProblem(400, "/scopes/0")
	c.atRustici("GET", path, nil).want("/scopes", pairs("WRITE JOBS")).want("/is_active", false)
}

func TestDialectG04NobodyGivesMoreThanIsHeld(t *testing.T) {
	c := story(t, spoken(t))
	c.root()
	tenant := c.newTenant()
	writer := c.newCred("WRITE CREDENTIALS")
	mixed := c.newCred("WRITE CREDENTIALS", "READ CONTENT")
	inside := c.makeCred(object{"scopes": pairs("WRITE CREDENTIALS"), "tenants": object{tenant: pairs("READ JOBS")}})
	target := c.newCred()
	c.atRustici("GET", "/credentials/"+target.ID, nil)
	before := c.last
	c.done()
	for _, tc := range []struct {
		name  string
		actor cred
		gives object
		works bool
	}{
		{"READ CONTENT of a writer of credentials", writer, object{"scopes": pairs("READ CONTENT")}, false},
		{"WRITE CONTENT of a writer of credentials", writer, object{"scopes": pairs("WRITE CONTENT")}, false},
		{"READ CREDENTIALS of a writer of credentials", writer, object{"scopes": pairs("READ CREDENTIALS")}, false},
		{"WRITE CREDENTIALS of a writer of credentials", writer, object{"scopes": pairs("WRITE CREDENTIALS")}, true},
		{"WRITE CREDENTIALS in a tenant", writer, object{"tenants": object{tenant: pairs("WRITE CREDENTIALS")}}, true},
		{"nothing", writer, object{"scopes": list{}}, true},
		{"what is held", mixed, object{"scopes": pairs("READ CONTENT", "WRITE CREDENTIALS")}, true},
		{"more beside what is held", mixed, object{"scopes": pairs("READ CONTENT", "WRITE CONTENT")}, false},
		{"what is held in the tenant", inside, object{"tenants": object{tenant: pairs("READ JOBS")}}, true},
		{"what is held in the tenant, everywhere", inside, object{"scopes": pairs("READ JOBS")}, false},
	} {
		for how, who := range map[string]string{"token": c.bearerOf(tc.actor), "Basic": tc.actor.basic()} {
			if tc.actor == inside && how == "token" {
				continue // the token names no tenant, so nothing that is held in one is in it
			}
			c.as(who)
			id := unique("cred")
			c.atRustici("POST", "/credentials", merge(object{"id": id, "password": password()}, tc.gives))
			if tc.works {
				c.wantStatus(201)
			} else {
				c.wantDenied("delegation_exceeds_actor")
				c.root().atRustici("GET", "/credentials/"+id, nil).wantProblem(404, "")
			}
			c.expect("POST " + tc.name + " by " + how)
			c.as(who).atRustici("PUT", "/credentials/"+target.ID, tc.gives)
			if tc.works {
				c.wantStatus(200)
				c.root().atRustici("PUT", "/credentials/"+target.ID, object{"scopes": list{}}).wantStatus(200)
			} else {
				c.wantDenied("delegation_exceeds_actor")
				c.root().atRustici("GET", "/credentials/"+target.ID, nil)
				if c.err == nil && string(c.last.body) != string(before.body) {
					c.fail("the refused update changed %s to %s", before.body, c.last.body)
				}
			}
			c.expect("PUT " + tc.name + " by " + how)
		}
	}

	c.step("nor takes a stronger one's password")
	c.root()
	stronger := c.newCred("READ CONTENT")
	c.as(writer.basic()).atRustici("PUT", "/credentials/"+stronger.ID, object{"password": password()}).wantDenied("delegation_exceeds_actor")
	c.atRustici("PUT", "/credentials/"+stronger.ID, object{"is_active": false}).wantDenied("delegation_exceeds_actor")
	c.loginRustici("grant_type", "password", "username", stronger.ID, "password", stronger.Password).wantStatus(200)
}

func TestDialectG08NobodyDeactivatesItself(t *testing.T) {
	c := story(t, spoken(t))
	c.root()
	own := c.newCred("READ CREDENTIALS", "WRITE CREDENTIALS")
	for _, who := range []string{c.bearerOf(own), own.basic()} {
		c.as(who)
		c.atRustici("PUT", "/credentials/me", object{"is_active": false}).wantDenied("self_lockout")
		c.atRustici("PUT", "/credentials/"+own.ID, object{"is_active": false}).wantDenied("self_lockout")
		c.atRustici("DELETE", "/credentials/"+own.ID, nil).wantDenied("self_lockout")
		c.atRustici("PUT", "/credentials/me", object{"is_active": nil}).wantStatus(400)
		c.atRustici("PUT", "/credentials/me", object{"is_active": true}).wantStatus(200).want("/is_active", true)
		c.atRustici("PUT", "/credentials/"+own.ID, object{"is_active": true}).wantStatus(200).want("/is_active", true)
	}
	c.step("another may")
	c.root().atRustici("PUT", "/credentials/"+own.ID, object{"is_active": false}).wantStatus(200).want("/is_active", false)
	c.loginRustici("grant_type", "password", "username", own.ID, "password", own.Password).wantOAuthError(400, "invalid_grant")
}

func TestDialectG09InactiveBeforeDeletion(t *testing.T) {
	c := story(t, spoken(t))
	c.root()
	admin := c.newCred("READ CREDENTIALS", "WRITE CREDENTIALS")
	for name, who := range map[string]string{"root": c.auth, "a writer": c.bearerOf(admin), "a writer with Basic": admin.basic()} {
		c.root()
		path := "/credentials/" + c.newCred().ID
		c.as(who)
		c.atRustici("DELETE", path, nil).wantRefused(409, "must_be_inactive")
		c.atRustici("GET", path, nil).wantStatus(200).want("/is_active", true)
		c.with("If-Match", `"stale-1"`).atRustici("PUT", path, object{"is_active": false}).wantProblem(412, "")
		c.atRustici("PUT", path, object{"is_active": false}).wantStatus(200)
		c.atRustici("DELETE", path, nil).wantStatus(204)
		if len(c.last.body) > 0 {
			c.fail("the body is %q", c.last.body)
		}
		c.atRustici("GET", path, nil).wantProblem(404, "")
		c.atRustici("DELETE", path, nil).wantProblem(404, "")
		c.expect(name)
	}

	c.step("natively an active one is deleted, and a writer without the right of deleting deletes nothing")
	c.root()
	made := c.newCred()
	c.as(c.bearerOf(admin)).delete("/v1/applications/" + made.ID).wantDenied("not_granted")
	c.root().delete("/v1/applications/" + made.ID).wantStatus(204)

	c.step("the protected ones stay")
	c.atRustici("DELETE", "/credentials/root", nil).wantStatus(403)
	c.atRustici("PUT", "/credentials/dialect-rustici", object{"password": password()}).wantDenied("system_protected")
	c.atRustici("DELETE", "/credentials/dialect-rustici", nil).wantStatus(403)
}

func TestDialectG11OneselfAndMe(t *testing.T) {
	c := story(t, spoken(t))
	c.root()
	tenant := c.newTenant()
	plain := c.newCred()
	holder := c.makeCred(object{"scopes": pairs("READ JOBS", "READ CONTENT"), "tenants": object{tenant: pairs("WRITE JOBS")}})

	c.step("seen by token on either listener, and with Basic")
	want := object{
		"id": holder.ID, "is_active": true, "scopes": pairs("READ JOBS", "READ CONTENT"), "tenants": object{tenant: pairs("WRITE JOBS")},
	}
	c.as(c.bearerOf(holder)).atRustici("GET", "/credentials/me", nil).wantStatus(200).want("", want)
	c.onPublic().get("/rustici/api/v1/credentials/me").wantStatus(200).want("", want)
	c.as(holder.basic()).atRustici("GET", "/credentials/me", nil).wantStatus(200).want("", want)
	c.onPublic().get("/rustici/api/v1/credentials/me").wantUnauthorized()

	c.step("a new password without any scope, proved by the present one")
	next := password()
	token := c.bearerOf(plain)
	c.as(plain.basic()).atRustici("PUT", "/credentials/me", object{"password": next}).wantStatus(200).want("/id", plain.ID).wantNoSecret(next)
	c.atRustici("GET", "/credentials/me", nil).wantUnauthorized()
	c.as(token).atRustici("GET", "/credentials/me", nil).wantUnauthorized()
	plain.Password = next
	c.as(plain.basic()).atRustici("GET", "/credentials/me", nil).wantStatus(200)
	c.atRustici("PUT", "/credentials/me", object{"password": "short"}).wantProblem(400, "/password")
	c.atRustici("PUT", "/credentials/me", object{"password": ""}).wantStatus(400)

	c.step("by a token that carries everything, and not by a narrow one")
	c.as(c.bearerOf(holder, "scope", "jobs:read")).atRustici("PUT", "/credentials/me", object{"password": password()}).wantDenied("proof_required")
	whole := c.root().newCred("READ JOBS")
	next = password()
	c.as(c.bearerOf(whole)).atRustici("PUT", "/credentials/me", object{"password": next}).wantStatus(200)
	c.as(basic(whole.ID, next)).atRustici("GET", "/credentials/me", nil).wantStatus(200)

	c.step("narrowing works, widening does not, and a refusal changes nothing")
	c.as(holder.basic())
	for name, wider := range map[string]object{
		"another right":                 {"scopes": pairs("READ JOBS", "READ CONTENT", "WRITE CONTENT")},
		"the tenant's right everywhere": {"scopes": pairs("WRITE JOBS")},
		"with a new password":           {"scopes": pairs("WRITE CREDENTIALS"), "password": password()},
	} {
		c.atRustici("PUT", "/credentials/me", wider).wantDenied("delegation_exceeds_actor")
		c.atRustici("GET", "/credentials/me", nil).want("", want)
		c.expect(name)
	}
	c.atRustici("PUT", "/credentials/me", object{"scopes": pairs("READ JOBS"), "tenants": object{tenant: pairs("WRITE JOBS")}}).wantStatus(200).
		want("/scopes", pairs("READ JOBS"))

	c.step("what was read is sent back; another's id is not")
	c.atRustici("GET", "/credentials/me", nil)
	whole2, _ := c.last.value().(object)
	c.atRustici("PUT", "/credentials/me", merge(whole2, object{"password": holder.Password + " more"})).wantStatus(200)
	c.as(basic(holder.ID, holder.Password+" more")).atRustici("PUT", "/credentials/me", object{"id": plain.ID}).wantProblem(400, "/id")
	c.atRustici("PUT", "/credentials/me", object{"name": "x"}).wantProblem(400, "/name")
}

func TestDialectG12WhatMayNotBeSeen(t *testing.T) {
	c := story(t, spoken(t))
	c.root()
	other := c.newCred("READ JOBS")
	nobody := c.newCred("READ JOBS", "WRITE JOBS")
	for how, who := range map[string]string{"token": c.bearerOf(nobody), "Basic": nobody.basic()} {
		c.as(who)
		for method, body := range map[string]any{"GET": nil, "PUT": object{"is_active": false}, "DELETE": nil} {
			c.atRustici(method, "/credentials/"+unique("none"), body).wantProblem(404, "")
			missing := c.last
			c.atRustici(method, "/credentials/"+other.ID, body).wantProblem(404, "").wantSame(missing)
			c.expect(method + " by " + how)
		}
		c.atRustici("GET", "/credentials", nil).wantDenied("not_granted")
		c.atRustici("POST", "/credentials", object{"id": other.ID, "password": password()}).wantProblem(403, "")
		taken := c.last
		c.atRustici("POST", "/credentials", object{"id": unique("cred"), "password": password()}).wantProblem(403, "").wantSame(taken)
		c.atRustici("GET", "/app_management/tenants", nil).wantDenied("not_granted")
		c.expect(how)
	}
	c.step("WRITE does not imply READ")
	c.root()
	w := c.newCred("WRITE CREDENTIALS")
	c.as(w.basic()).atRustici("GET", "/credentials", nil).wantDenied("not_granted")
	c.atRustici("GET", "/credentials/"+other.ID, nil).wantProblem(404, "")

	c.step("READ lists, and changes nothing")
	c.root()
	rd := c.newCred("READ CREDENTIALS")
	c.as(rd.basic()).atRustici("GET", "/credentials?limit=2", nil).wantStatus(200)
	if ids := c.items("id"); len(ids) != 2 || c.text("/next") == "" {
		c.fail("the page is %s", c.last.body)
	}
	c.atRustici("GET", "/credentials?limit=2&after="+url.QueryEscape(c.text("/next")), nil).wantStatus(200)
	c.atRustici("GET", "/credentials?limit=0", nil).wantStatus(400)
	c.atRustici("GET", "/credentials?after=x", nil).wantStatus(400)
	c.atRustici("GET", "/credentials?page=1", nil).wantStatus(400)
	c.atRustici("PUT", "/credentials/"+other.ID, object{"is_active": false}).wantDenied("not_granted")

	c.step("without a credential, or with a wrong one")
	for _, who := range []string{"", bearer("x.y.z"), basic(nobody.ID, password()), "Basic bm9jb2xvbg=="} {
		for _, path := range []string{"/credentials", "/credentials/me", "/credentials/" + other.ID, "/app_management/tenants"} {
			c.as(who).atRustici("GET", path, nil).wantUnauthorized()
			c.expect(path)
		}
	}
	c.as("").atRustici("PATCH", "/credentials/me", object{}).wantStatus(405)
	c.atRustici("GET", "/nothing", nil).wantStatus(404)
	c.onPublic().get("/rustici/api/v1/credentials").wantStatus(404)
}

func TestDialectG13TenantsOfACredential(t *testing.T) {
	c := story(t, spoken(t))
	c.root()
	one, two := c.newTenant(), c.newTenant()
	there := c.newApp(object{"tenant": one}).ID
	elsewhere := c.newApp(object{"tenant": two}).ID
	inside := c.makeCred(object{"tenants": object{one: pairs("READ CREDENTIALS", "WRITE CREDENTIALS", "READ JOBS")}})

	c.step("names no tenant: 400")
	c.as(inside.basic()).atRustici("GET", "/credentials", nil).wantRefused(400, "tenant_required")
	c.loginRustici("grant_type", "password", "username", inside.ID, "password", inside.Password).wantOAuthError(400, "invalid_request").wantNaming("tenant")
	c.loginRustici("grant_type", "client_credentials", "client_id", inside.ID, "client_secret", inside.Password).wantOAuthError(400, "invalid_request")

	c.step("names its own: works there")
	c.atRustici("GET", "/credentials?tenant="+one, nil).wantStatus(200).wantItems("id", there)
	token := c.bearerOf(inside, "tenant", one)
	c.as(token).atRustici("GET", "/credentials?tenant="+one, nil).wantStatus(200).wantItems("id", there)
	c.atRustici("GET", "/credentials", nil).wantStatus(200).wantItems("id", there)
	c.decides(questionIn(question("application", inside.ID, "read", "jobs", "1"), one), true)
	c.decides(questionIn(question("application", inside.ID, "write", "jobs", "1"), one), false)
	c.decides(questionIn(question("application", inside.ID, "read", "jobs", "1"), two), false)
	c.decides(question("application", inside.ID, "read", "jobs", "1"), false)

	c.step("names another, or one that is not there: 404, and the same")
	c.as(inside.basic()).atRustici("GET", "/credentials?tenant="+two, nil).wantProblem(404, "")
	other := c.last
	c.atRustici("GET", "/credentials?tenant="+unique("none"), nil).wantProblem(404, "").wantSame(other)
	c.atRustici("GET", "/credentials/"+there, nil).wantStatus(200)
	c.atRustici("GET", "/credentials/"+elsewhere, nil).wantProblem(404, "")
	c.atRustici("GET", "/credentials/root", nil).wantProblem(404, "")
	c.loginRustici("grant_type", "password", "username", inside.ID, "password", inside.Password, "tenant", two).wantOAuthError(400, "invalid_grant")

	c.step("a credential of the tenant is made there, with rights of there")
	id := unique("cred")
	body := object{"id": id, "password": password(), "tenants": object{one: pairs("READ JOBS")}}
	c.atRustici("POST", "/credentials?tenant="+two, body).wantStatus(403)
	c.atRustici("POST", "/credentials", body).wantProblem(403, "")
	c.atRustici("POST", "/credentials?tenant="+one, merge(body, object{"tenants": object{two: pairs("READ JOBS")}})).wantStatus(403)
	c.atRustici("POST", "/credentials?tenant="+one, body).wantStatus(201)
	c.root().get("/v1/applications/"+id).want("/tenant", one)
	c.atRustici("POST", "/credentials?tenant="+unique("none"), merge(body, object{"id": unique("cred")})).wantStatus(400)

	c.step("one with rights everywhere names none")
	wide := c.newCred("READ JOBS")
	c.loginRustici("grant_type", "password", "username", wide.ID, "password", wide.Password).wantStatus(200).want("/scope", "jobs:read")
}

// questionIn puts the resource of a question into a tenant.
func questionIn(q object, tenant string) object {
	resource, _ := q["resource"].(object)
	return merge(q, object{"resource": merge(resource, object{"tenant": tenant})})
}

func TestDialectG14BothGrants(t *testing.T) {
	c := story(t, spoken(t))
	c.root()
	made := c.newCred("READ JOBS")
	byPassword := func(password string) *scenario {
		return c.loginRustici("grant_type", "password", "username", made.ID, "password", password)
	}
	byClient := func(password string) *scenario {
		return c.loginRustici("grant_type", "client_credentials", "client_id", made.ID, "client_secret", password)
	}
	c.step("the same id and password for both")
	for name, ask := range map[string]func(string) *scenario{"password": byPassword, "client_credentials": byClient, "Basic": func(password string) *scenario {
		return c.with("Authorization", basic(made.ID, password)).loginRustici("grant_type", "client_credentials")
	}} {
		ask(made.Password).wantStatus(200).want("/token_type", "Bearer").want("/expires_in", 3600).want("/scope", "jobs:read").wantAbsent("/refresh_token").
			wantHeader("Cache-Control", "no-store")
		token := c.text("/access_token")
		claims := c.claims(token)
		if c.err == nil && (claims["sub"] != made.ID || claims["client_id"] != made.ID || claims["sid"] != nil) {
			c.fail("the claims are %v", claims)
		}
		c.as(bearer(token)).decides(question("application", made.ID, "read", "jobs", "1"), true)
		c.decides(question("application", made.ID, "write", "jobs", "1"), false)
		c.root()
		c.expect(name)
	}

	c.step("the error is that of the grant")
	byPassword(password()).wantOAuthError(400, "invalid_grant")
	wrong := c.last
	c.loginRustici("grant_type", "password", "username", unique("none"), "password", password()).wantOAuthError(400, "invalid_grant").wantSame(wrong)
	byClient(password()).wantOAuthError(401, "invalid_client")
	c.loginRustici("grant_type", "implicit").wantOAuthError(400, "unsupported_grant_type")
	c.loginRustici("grant_type", "password", "username", made.ID).wantOAuthError(400, "invalid_request")
	c.loginRustici("username", made.ID, "password", made.Password).wantOAuthError(400, "invalid_request")
	c.loginRustici("grant_type", "client_credentials").wantOAuthError(401, "invalid_client")
	c.loginRustici("grant_type", "password", "username", made.ID, "password", made.Password, "password", "again").wantOAuthError(400, "invalid_request")
	c.as("").onPublic().post("/rustici/api/v1/login/access_token", object{"grant_type": "password"}).wantOAuthError(400, "invalid_request")
	c.onPublic().get("/rustici/api/v1/login/access_token").wantStatus(405).wantHeader("Allow", "POST")
	c.onAdmin().form("/rustici/api/v1/login/access_token", fields("grant_type", "password")).wantStatus(404)
	c.onPublic().form("/rustici/api/v1/login/access_token?client_secret=x", fields("grant_type", "password")).wantOAuthError(400, "invalid_request")

	c.step("inactive")
	c.root().atRustici("PUT", "/credentials/"+made.ID, object{"is_active": false}).wantStatus(200)
	byPassword(made.Password).wantOAuthError(400, "invalid_grant")
	byClient(made.Password).wantOAuthError(401, "invalid_client")
	c.atRustici("PUT", "/credentials/"+made.ID, object{"is_active": true}).wantStatus(200)
	byPassword(made.Password).wantStatus(200)

	c.step("natively the password grant wants a client, and is not for applications")
	c.as("")
	c.form("/oauth2/token", fields("grant_type", "password", "username", made.ID, "password", made.Password)).wantOAuthError(401, "invalid_client")
	c.form("/oauth2/token", fields("grant_type", "password", "username", made.ID, "password", made.Password, "client_id", "dialect-rustici")).
		wantOAuthError(400, "invalid_grant")
	c.ask(c.front(), "grant_type", "password", "username", made.ID, "password", made.Password).wantOAuthError(400, "invalid_grant")

	c.step("people sign in here, too")
	c.root()
	u := c.newUser(object{"grants": grants("jobs:read@*")})
	c.loginRustici("grant_type", "password", "username", u.Username, "password", u.Password).wantStatus(200).want("/scope", "jobs:read")
	c.as(bearer(c.text("/access_token"))).atRustici("GET", "/credentials/me", nil).wantStatus(200).want("/id", u.ID).want("/scopes", pairs("READ JOBS"))

	c.step("an application that does not take client_credentials does not sign in")
	front := c.root().newApp(object{"grant_types": list{"refresh_token"}, "grants": grants("jobs:read")})
	c.loginRustici("grant_type", "password", "username", front.ID, "password", front.Secret).wantOAuthError(400, "unauthorized_client")
}

func TestDialectG15Nonce(t *testing.T) {
	c := story(t, spoken(t))
	c.root()
	a, b := c.newCred("READ JOBS"), c.newCred("READ JOBS")
	now := time.Now().Unix()
	ask := func(who cred, nonce string) *scenario {
		return c.loginRustici("grant_type", "password", "username", who.ID, "password", who.Password, "timestamp_nonce", nonce)
	}
	text := func(n int64) string { return strconv.FormatInt(n, 10) }
	ask(a, text(now)).wantStatus(200)
	ask(a, text(now)).wantOAuthError(400, "invalid_request").wantNaming("replayed")
	c.loginRustici("grant_type", "client_credentials", "client_id", a.ID, "client_secret", a.Password, "timestamp_nonce", text(now)).
		wantOAuthError(400, "invalid_request").wantNaming("replayed")
	ask(b, text(now)).wantStatus(200)
	ask(a, text(now+1)).wantStatus(200)
	ask(a, text(now-3600)).wantOAuthError(400, "invalid_request").wantNaming("replayed")
	ask(a, text(now+3600)).wantOAuthError(400, "invalid_request").wantNaming("replayed")
	for _, bad := range []string{"soon", "1.5", "-1", "0x1"} {
		ask(a, bad).wantOAuthError(400, "invalid_request")
		c.expect(bad)
	}
	c.done()

	c.step("of two at once one wins")
	status := make([]int, 8)
	var all sync.WaitGroup
	for i := range status {
		all.Go(func() {
			w := &scenario{t: t, s: c.s, next: map[string][]string{}}
			w.loginRustici("grant_type", "password", "username", a.ID, "password", a.Password, "timestamp_nonce", text(now-2))
			status[i] = w.last.status
		})
	}
	all.Wait()
	won := 0
	for _, got := range status {
		if got == http.StatusOK {
			won++
		} else if got != http.StatusBadRequest {
			c.fail("status %d", got)
		}
	}
	if won != 1 {
		c.fail("%d won, want one", won)
	}
}

func TestDialectG16DisabledTenants(t *testing.T) {
	c := story(t, spoken(t))
	c.root()

	c.step("tenants are made, seen and disabled")
	id := unique("tenant")
	c.atRustici("POST", "/app_management/tenants", object{"id": id}).wantStatus(201).want("", object{"id": id, "enabled": true}).
		wantHeader("Location", "/rustici/api/v1/app_management/tenants/"+id)
	c.atRustici("POST", "/app_management/tenants", object{"id": id, "enabled": false}).wantProblem(409, "/id")
	c.atRustici("POST", "/app_management/tenants", object{"enabled": true}).wantProblem(400, "/id")
	c.atRustici("POST", "/app_management/tenants", object{"id": "a/b"}).wantProblem(400, "/id")
	c.atRustici("POST", "/app_management/tenants", object{"id": unique("t"), "name": "x"}).wantProblem(400, "/name")
	c.atRustici("GET", "/app_management/tenants/"+id, nil).wantStatus(200).want("/enabled", true)
	c.atRustici("GET", "/app_management/tenants?limit=100", nil).wantStatus(200)
	closed, gone := c.newTenant(), c.newTenant()
	there := c.newApp(object{"tenant": closed}).ID
	tied := c.makeCred(object{"tenants": object{closed: pairs("READ JOBS")}})
	loose := c.makeCred(object{"scopes": pairs("READ JOBS"), "tenants": object{closed: pairs("READ JOBS")}})
	c.atRustici("PUT", "/credentials/"+tied.ID, object{"is_active": false}).wantStatus(200)
	c.patch("/v1/applications/"+there, object{"is_active": false}).wantStatus(200)
	c.atRustici("PUT", "/app_management/tenants/"+closed, object{"enabled": false}).wantStatus(200).want("", object{"id": closed, "enabled": false})

	c.step("writes of what is there are refused, reads go on")
	for _, object := range []string{there, tied.ID} {
		path := "/credentials/" + object
		c.atRustici("PUT", path, map[string]any{"is_active": true}).wantRefused(409, "tenant_disabled")
		c.atRustici("DELETE", path, nil).wantRefused(409, "tenant_disabled")
		c.atRustici("GET", path, nil).wantStatus(200).want("/is_active", false)
		c.expect(object)
	}
	fresh := unique("cred")
	c.atRustici("POST", "/credentials", object{"id": fresh, "password": password(), "tenants": object{closed: pairs("READ JOBS")}}).
		wantRefused(409, "tenant_disabled")
	c.atRustici("POST", "/credentials?tenant="+closed, object{"id": fresh, "password": password()}).wantRefused(409, "tenant_disabled")
	c.atRustici("GET", "/credentials/"+fresh, nil).wantProblem(404, "")
	c.atRustici("GET", "/credentials?tenant="+closed, nil).wantStatus(200).wantItems("id", there)

	c.step("who has rights elsewhere is changed, and loses what is there, but gets nothing there")
	c.atRustici("PUT", "/credentials/"+loose.ID, object{"is_active": false}).wantStatus(200)
	c.atRustici("PUT", "/credentials/"+loose.ID, object{"scopes": pairs("READ JOBS")}).wantStatus(200).want("/tenants", object{})
	c.atRustici("PUT", "/credentials/"+loose.ID, object{"scopes": pairs("READ JOBS"), "tenants": object{closed: pairs("READ JOBS")}}).
		wantRefused(409, "tenant_disabled")

	c.step("enabled again")
	c.atRustici("PUT", "/app_management/tenants/"+closed, object{"enabled": true}).wantStatus(200)
	c.atRustici("DELETE", "/credentials/"+tied.ID, nil).wantStatus(204)

	c.step("unknown, wrong, deleted")
	c.atRustici("PUT", "/app_management/tenants/"+unique("none"), object{"enabled": false}).wantProblem(404, "")
	c.atRustici("GET", "/app_management/tenants/"+unique("none"), nil).wantProblem(404, "")
	c.atRustici("PUT", "/app_management/tenants/"+id, object{"enabled": nil}).wantProblem(400, "/enabled")
	c.atRustici("PUT", "/app_management/tenants/"+id, object{"id": gone}).wantProblem(400, "/id")
	c.atRustici("DELETE", "/app_management/tenants/"+gone, nil).wantStatus(204)
	c.atRustici("GET", "/app_management/tenants/"+gone, nil).wantProblem(404, "")

	c.step("by who may")
	manager := c.newCred("READ APP_MANAGEMENT", "WRITE APP_MANAGEMENT")
	viewer := c.newCred("READ APP_MANAGEMENT")
	mine := unique("tenant")
	c.as(manager.basic()).atRustici("POST", "/app_management/tenants", object{"id": mine}).wantStatus(201)
	c.as(viewer.basic()).atRustici("GET", "/app_management/tenants/"+mine, nil).wantStatus(200)
	c.atRustici("PUT", "/app_management/tenants/"+mine, object{"enabled": false}).wantDenied("not_granted")
	c.atRustici("POST", "/app_management/tenants", object{"id": unique("tenant")}).wantStatus(403)
}

// TestDialectRusticiTranscript runs the transcript of the guide, which has each request line and each field of the product document.
func TestDialectRusticiTranscript(t *testing.T) {
	leftOut(t, suite.runner.Name() != "process", "curl of this machine speaks to a process: E2E_RUNNER=process runs it")
	s := fresh(t, Options{Env: dialectSettings("rustici")})
	defer s.Kill() // what curl did is nobody's account
	text, blocks := guide(t, "docs/dialects/rustici.md")
	for _, said := range []string{
		"POST /api/v1/credentials", "GET /api/v1/credentials", "DELETE /api/v1/credentials/{id}", "GET and PUT /api/v1/credentials/me",
		`"id"`, `"password"`, `"is_active"`, `"tenants"`, `"scopes"`, `"verb": "WRITE"`, `"subject": "CONTENT"`,
	} {
		if !strings.Contains(blocks[0], said) {
			t.Errorf("the transcript lacks %s", said)
		}
	}
	for _, said := range []string{"READ CREDENTIALS", "WRITE CREDENTIALS"} {
		if !strings.Contains(text, said) {
			t.Errorf("the guide lacks %s", said)
		}
	}
	printed := runScript(t, blocks[0], "PUBLIC="+s.Public, "ADMIN="+s.Admin, "SECRET="+s.Secret)
	for _, want := range []string{
		`{"id":"tenant1","enabled":true}`,
		`{"id":"importer","is_active":true,"tenants":{"tenant1":[{"verb":"WRITE","subject":"JOBS"}]},"scopes":[{"verb":"READ","subject":"JOBS"}]}`,
		`"token_type":"Bearer"`, "403 self", "403 more", "409 active", "204 inactive",
	} {
		if !strings.Contains(printed, want) {
			t.Errorf("the transcript printed no %s:\n%s", want, printed)
		}
	}
	if strings.Contains(printed, "horse") {
		t.Error("the transcript printed a password")
	}
}
