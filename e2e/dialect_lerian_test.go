package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// lerian tells a story at the dialect. Its paths are below the base of the dialect.
type lerian struct{ *scenario }

func speakLerian(t *testing.T) lerian { return lerian{story(t, spoken(t))} }

// auth sends a request to the plugin of that name, which is on the public listener.
func (l lerian) auth(method, path string, body any) *scenario {
	return l.onPublic().send(method, "/lerian"+path, body)
}

// wantError demands an error as the plugins write it: code, title and message, and nothing else.
func (l lerian) wantError(status int, code string) *scenario {
	l.wantStatus(status)
	if l.err != nil {
		return l.scenario
	}
	body, ok := l.last.value().(map[string]any)
	if !ok || len(body) != 3 || body["code"] != code || body["title"] == "" || body["message"] == "" {
		return l.fail("the error is %s, want %s", l.last.body, code)
	}
	if status == http.StatusUnauthorized && l.last.header.Get("WWW-Authenticate") == "" {
		return l.fail("a 401 without a challenge")
	}
	return l.scenario
}

func TestDialectL05AndL07AndL08Tokens(t *testing.T) {
	l := speakLerian(t)
	l.root()
	role := l.newRole("ledger/accounts:get")
	u := l.newUser(object{"roles": list{role}})
	machine := l.newApp(object{"grants": grants("ledger/accounts:get"), "grant_types": list{"client_credentials", "refresh_token"}})
	l.as("")
	const path = "/v1/login/oauth/access_token"

	l.step("a person signs in without naming a client")
	l.auth("POST", path, object{"grantType": "password", "username": u.Username, "password": u.Password}).wantStatus(200).
		want("/tokenType", "Bearer").want("/expiresIn", 3600).want("/scope", "ledger/accounts:get").wantAbsent("/code")
	if l.text("/idToken") == "" || l.text("/refreshToken") == "" || l.header("Decision-Id") == "" {
		l.fail("the reply lacks something")
	}
	l.wantHeader("Cache-Control", "no-store")
	claims := l.claims(l.text("/accessToken"))
	for name, want := range map[string]any{"type": "normal-user", "owner": "lerian", "sub": u.ID, "client_id": "dialect-lerian"} {
		if claims[name] != want {
			l.fail("claim %s is %v, want %v", name, claims[name], want)
		}
	}
	if header := l.jose(l.text("/accessToken")); header["alg"] != "RS256" {
		l.fail("signed with %v", header["alg"])
	}

	l.step("an application signs in")
	l.auth("POST", path, object{"grantType": "client_credentials", "clientId": machine.ID, "clientSecret": machine.Secret}).wantStatus(200).
		wantAbsent("/refreshToken").wantAbsent("/idToken").want("/tokenType", "Bearer")
	if claims := l.claims(l.text("/accessToken")); claims["type"] != "application" || claims["owner"] != "lerian" {
		l.fail("claims %v", claims)
	}

	l.step("what does not fit")
	wrong := password()
	for name, c := range map[string]struct {
		body   any
		status int
		code   string
	}{
		"no password":              {object{"grantType": "password", "username": u.Username}, 400, "AUT-0014"},
		"an empty password":        {object{"grantType": "password", "username": u.Username, "password": ""}, 400, "AUT-0014"},
		"no username":              {object{"grantType": "password", "password": wrong}, 400, "AUT-0014"},
		"an application's fields":  {object{"grantType": "password", "clientId": machine.ID, "clientSecret": machine.Secret}, 400, "AUT-0014"},
		"both, for a person":       {object{"grantType": "password", "username": u.Username, "password": u.Password, "clientId": machine.ID, "clientSecret": machine.Secret}, 400, "AUT-0014"},
		"both, for an application": {object{"grantType": "client_credentials", "username": u.Username, "password": u.Password, "clientId": machine.ID, "clientSecret": machine.Secret}, 400, "AUT-0014"},
		"no secret":                {object{"grantType": "client_credentials", "clientId": machine.ID}, 400, "AUT-0014"},
		"another grant":            {object{"grantType": "implicit", "username": u.Username, "password": u.Password}, 400, "AUT-0013"},
		"no grant":                 {object{"username": u.Username, "password": u.Password}, 400, "AUT-0001"},
		"a wrong password":         {object{"grantType": "password", "username": u.Username, "password": wrong}, 401, "AUT-1002"},
		"an unknown user":          {object{"grantType": "password", "username": unique("nobody"), "password": wrong}, 401, "AUT-1002"},
		"a wrong secret":           {object{"grantType": "client_credentials", "clientId": machine.ID, "clientSecret": "x"}, 401, "AUT-1004"},
		"an unknown application":   {object{"grantType": "client_credentials", "clientId": unique("app_"), "clientSecret": "x"}, 401, "AUT-1004"},
		"people's application":     {object{"grantType": "client_credentials", "clientId": "dialect-lerian", "clientSecret": "x"}, 401, "AUT-1004"},
		"a number":                 {`{"grantType":"password","username":1,"password":"x"}`, 400, "AUT-0001"},
		"a list":                   {`{"grantType":["password"],"username":"a","password":"x"}`, 400, "AUT-0001"},
		"a key twice":              {`{"grantType":"password","username":"a","password":"x","password":"y"}`, 400, "AUT-0001"},
		"an unknown key":           {object{"grantType": "password", "username": "a", "password": wrong, "tenant": "x"}, 400, "AUT-0001"},
		"no JSON":                  {`grantType=password`, 400, "AUT-0001"},
		"more than one document":   {`{"grantType":"password","username":"a","password":"x"}{}`, 400, "AUT-0001"},
	} {
		l.auth("POST", path, c.body)
		l.wantError(c.status, c.code)
		l.expect(name)
	}

	l.step("refusals of a login are the same bytes")
	l.auth("POST", path, object{"grantType": "password", "username": u.Username, "password": wrong})
	known := l.last
	l.auth("POST", path, object{"grantType": "password", "username": unique("nobody"), "password": wrong}).wantSame(known)

	l.step("natively the same application does not sign in")
	l.form("/oauth2/token", fields("grant_type", "password", "client_id", "dialect-lerian", "username", u.Username, "password", u.Password)).
		wantOAuthError(http.StatusBadRequest, "unauthorized_client")
	l.form("/oauth2/token", fields("grant_type", "password", "username", u.Username, "password", u.Password)).
		wantOAuthError(http.StatusUnauthorized, "invalid_client")
}

// identity sends a request to the Identity plugin, which is on the admin listener.
func (l lerian) identity(method, path string, body any) *scenario {
	return l.onAdmin().send(method, "/lerian"+path, body)
}

// login asks for the tokens of a person who names no client.
func (l lerian) login(u user) (access, refresh string) {
	l.auth("POST", "/v1/login/oauth/access_token", object{"grantType": "password", "username": u.Username, "password": u.Password}).wantStatus(200)
	return canary(l.text("/accessToken")), canary(l.text("/refreshToken"))
}

// administrator acts as a person who is a full administrator and has just logged in by the dialect.
func (l lerian) administrator() user {
	return once(l.scenario, "lerian administrator", func() user {
		was := l.presented()
		l.as(basic("root", l.s.Secret))
		u := l.newUser(object{"roles": list{"system:owner"}})
		l.as(was)
		return u
	})
}

// presented is the credential that requests carry now.
func (l lerian) presented() string { return l.scenario.auth }

func (l lerian) asAdministrator() lerian {
	u := l.administrator()
	l.as("")
	access, _ := l.login(u)
	l.as(bearer(access))
	return l
}

// product makes the role of a product, and so its name one of the enumeration.
func (l lerian) product(permissions ...string) string {
	name := unique("product")
	l.root().put("/v1/roles/lerian:"+name, object{"description": "What " + name + " reaches", "grants": grants(permissions...)}).wantStatus(201)
	return name
}

func TestDialectL02AndL01GroupsAndPages(t *testing.T) {
	l := speakLerian(t)
	l.root()
	group := l.newGroup()
	u := l.newUser(object{"groups": list{group}})
	reader := l.newUser(object{"grants": grants("iam/groups:read")})
	l.asAdministrator()

	l.step("pages with numbers")
	l.identity("GET", "/v1/groups?page=1&limit=1", nil).wantStatus(200).want("/page", 1).want("/limit", 1)
	total := int(l.number("/total"))
	if items := l.items("id"); len(items) != 1 || total < 1 {
		l.fail("%d items of %d", len(items), total)
	}
	l.identity("GET", "/v1/groups", nil).wantStatus(200).want("/limit", 10)
	seen := map[string]bool{}
	for n := 1; n <= total; n++ {
		l.identity("GET", fmt.Sprintf("/v1/groups?page=%d&limit=1", n), nil).wantStatus(200)
		for _, id := range l.items("id") {
			if seen[id] {
				l.fail("%s is on two pages", id)
			}
			seen[id] = true
		}
	}
	if !seen[group] {
		l.fail("no page has %s", group)
	}

	l.step("past the end")
	for _, list := range []string{"groups", "users", "applications"} {
		l.identity("GET", "/v1/"+list+"?page=9999&limit=100", nil).wantStatus(200).want("/items", []any{})
		for _, query := range []string{"page=0", "page=-1", "page=one", "page=", "limit=0", "limit=101", "limit=-1", "limit=ten", "page=1&page=2", "cursor=x"} {
			l.identity("GET", "/v1/"+list+"?"+query, nil)
			l.wantError(400, "AUT-0004")
			l.expect(list + " " + query)
		}
	}

	l.step("one group with its members")
	l.identity("GET", "/v1/groups/"+group, nil).wantStatus(200).want("/id", group).want("/name", group).want("/users", list{u.ID}).wantAbsent("/created_at")
	if l.text("/createdAt") == "" || l.header("Decision-Id") == "" || l.header("ETag") == "" {
		l.fail("the reply lacks something")
	}
	l.identity("GET", "/v1/groups/"+unique("none"), nil)
	l.wantError(404, "IDE-1006")
	for _, method := range []string{"POST", "PUT", "PATCH", "DELETE"} {
		l.identity(method, "/v1/groups/"+group, object{})
		l.wantError(405, "405")
	}

	l.step("who may not list users sees no members")
	l.as("")
	access, _ := l.login(reader)
	l.as(bearer(access)).get("/v1/groups/" + group).wantStatus(200)
	l.identity("GET", "/v1/groups/"+group, nil).wantStatus(200).wantAbsent("/users")

	l.step("the right is the native one")
	l.as(bearer(access))
	l.identity("GET", "/v1/users", nil)
	l.wantError(403, "403")
	l.as("")
	l.identity("GET", "/v1/groups", nil)
	l.wantError(401, "IDE-0008")
	l.as("Bearer x")
	l.identity("GET", "/v1/groups", nil)
	l.wantError(401, "IDE-0009")
	l.onPublic().get("/lerian/v1/groups").wantStatus(404)
}

func TestDialectL03AndL04AndL20AndL22Users(t *testing.T) {
	l := speakLerian(t)
	l.root()
	group := l.newGroup(l.newRole("accounts:get"))
	admin := l.administrator()
	l.asAdministrator()

	l.step("a user with a group has its rights at once")
	name, secret := unique("grace"), password()
	body := object{"firstName": "Grace", "lastName": "Hopper", "username": name, "email": name + "@example.com", "password": secret, "groups": list{group}}
	l.identity("POST", "/v1/users", body).wantStatus(201).want("/firstName", "Grace").want("/lastName", "Hopper").want("/groups", list{group}).
		want("/username", name).wantNoSecret(secret).wantAbsent("/temporaryPassword")
	u := user{ID: l.text("/id"), Username: name, Password: secret}
	if l.header("Location") != "/lerian/v1/users/"+u.ID {
		l.fail("Location %s", l.header("Location"))
	}
	l.get("/v1/users/"+u.ID).wantStatus(200).want("/name", "Grace Hopper").want("/properties", object{"first_name": "Grace", "last_name": "Hopper"})
	auth := l.presented()
	l.as("")
	access, _ := l.login(u)
	if claims := l.claims(access); claims["scope"] != "accounts:get" {
		l.fail("scope %v", claims["scope"])
	}
	l.as(auth)

	l.step("bad input, and no user")
	for title, c := range map[string]struct {
		change object
		status int
		code   string
	}{
		"an unknown group":      {object{"groups": list{group, unique("none")}}, 404, "IDE-1006"},
		"a short password":      {object{"password": "short"}, 400, "IDE-0020"},
		"a malformed e-mail":    {object{"email": "nobody"}, 400, "IDE-0002"},
		"a tenant":              {object{"tenant": "acme"}, 400, "IDE-0004"},
		"a tenant of the other": {object{"tenantId": "acme"}, 400, "IDE-0004"},
		"no first name":         {object{"firstName": ""}, 400, "IDE-0001"},
		"a name that is a list": {object{"lastName": list{"x"}}, 400, "IDE-0002"},
	} {
		other := unique("nobody")
		bad := object{"firstName": "No", "lastName": "Body", "username": other, "email": other + "@example.com", "password": password(), "groups": list{}}
		for k, v := range c.change {
			bad[k] = v
		}
		l.identity("POST", "/v1/users", bad)
		l.wantError(c.status, c.code)
		l.expect(title)
		l.get("/v1/users?name_prefix="+other).wantStatus(200).want("/items", []any{})
		l.expect(title + ": no user")
	}
	l.identity("POST", "/v1/users", body)
	l.wantError(409, "409")

	l.step("changes")
	l.identity("PATCH", "/v1/users/"+u.ID, object{"lastName": "Murray Hopper"}).wantStatus(200).want("/firstName", "Grace").want("/lastName", "Murray Hopper")
	l.get("/v1/users/"+u.ID).wantStatus(200).want("/name", "Grace Murray Hopper")
	l.identity("PATCH", "/v1/users/"+u.ID, object{"groups": list{}}).wantStatus(200).want("/groups", []any{})
	l.identity("GET", "/v1/users/"+u.ID, nil).wantStatus(200).want("/lastName", "Murray Hopper")
	etag := l.header("ETag")
	l.with("If-Match", `"0"`)
	l.identity("PATCH", "/v1/users/"+u.ID, object{"firstName": "G"})
	l.wantError(412, "412")
	l.with("If-Match", etag)
	l.identity("PATCH", "/v1/users/"+u.ID, object{"firstName": "G"}).wantStatus(200).want("/firstName", "G")
	for member, code := range map[string]string{"id": "IDE-0010", "createdAt": "IDE-0010", "tenant": "IDE-0004", "roles": "IDE-0004"} {
		l.identity("PATCH", "/v1/users/"+u.ID, object{member: "x"})
		l.wantError(400, code)
		l.expect(member)
	}
	l.identity("PATCH", "/v1/users/"+uuid(), object{"firstName": "x"})
	l.wantError(404, "IDE-1003")
	l.identity("GET", "/v1/users/"+uuid(), nil)
	l.wantError(404, "IDE-1003")

	l.step("nobody deletes himself")
	l.identity("DELETE", "/v1/users/"+admin.ID, nil)
	l.wantError(403, "403")
	l.identity("DELETE", "/v1/users/"+u.ID, nil).wantStatus(204)
	if len(l.last.body) > 0 {
		l.fail("a body: %s", l.last.body)
	}
	l.identity("DELETE", "/v1/users/"+u.ID, nil)
	l.wantError(404, "IDE-1003")

	l.step("a user without a password gets a temporary one")
	name = unique("temp")
	l.identity("POST", "/v1/users", object{"firstName": "T", "lastName": "P", "email": name + "@example.com"}).wantStatus(201).want("/username", name+"@example.com")
	canary(l.text("/temporaryPassword"))
}

func TestDialectL08AndL09AndL10AndL11Applications(t *testing.T) {
	l := speakLerian(t)
	product := l.product("accounts:get")
	l.as("")
	l.asAdministrator()
	admin := l.presented()
	create := func() app {
		l.identity("POST", "/v1/applications", object{"name": product, "description": "For a test"}).wantStatus(201).want("/name", product).
			want("/description", "For a test").wantAbsent("/secret")
		a := app{ID: l.text("/clientId"), Secret: canary(l.text("/clientSecret")), ETag: l.header("ETag")}
		if l.text("/id") != a.ID || l.text("/createdAt") == "" || l.header("Location") != "/lerian/v1/applications/"+a.ID {
			l.fail("the reply is %s", l.last.body)
		}
		return a
	}
	login := func(a app) *scenario {
		l.as("")
		defer l.as(admin)
		return l.auth("POST", "/v1/login/oauth/access_token", object{"grantType": "client_credentials", "clientId": a.ID, "clientSecret": a.Secret})
	}

	l.step("an application reaches what its product does")
	one, two := create(), create()
	login(one).wantStatus(200).want("/scope", "accounts:get")
	first := canary(l.text("/accessToken"))
	login(two).wantStatus(200)
	second := canary(l.text("/accessToken"))
	if l.jose(first)["alg"] != "RS256" {
		l.fail("signed with %v", l.jose(first))
	}

	l.step("names and fields")
	for title, c := range map[string]struct {
		body any
		code string
	}{
		"a name outside the enumeration": {object{"name": unique("none"), "description": "x"}, "IDE-0012"},
		"a name that is none":            {object{"name": "No Such:Thing", "description": "x"}, "IDE-0012"},
		"no name":                        {object{"description": "x"}, "IDE-0001"},
		"no description":                 {object{"name": product}, "IDE-0001"},
		"another field":                  {object{"name": product, "description": "x", "roles": list{"system:owner"}}, "IDE-0004"},
		"a key twice":                    {`{"name":"a","name":"b","description":"x"}`, "IDE-0002"},
	} {
		l.identity("POST", "/v1/applications", c.body)
		l.wantError(400, c.code)
		l.expect(title)
	}
	l.identity("PATCH", "/v1/applications/"+one.ID, object{"name": "x"})
	l.wantError(405, "405")

	l.step("the secret is shown where it may be revealed: to an administrator with a fresh login, through an application with credentials")
	l.owner()
	l.identity("GET", "/v1/applications/"+one.ID, nil).wantStatus(200).want("/clientSecret", one.Secret).wantHeader("Cache-Control", "no-store").
		wantHeader("ETag", one.ETag)
	decision := l.header("Decision-Id")
	l.get("/v1/audit?action=iam/applications:reveal&target=applications/" + one.ID).wantStatus(200)
	l.identity("GET", "/v1/applications?limit=100", nil).wantStatus(200).wantNoSecret(one.Secret, two.Secret)
	l.eventually(stopWithin, func() {
		lines, err := l.s.decisionLog()
		found := false
		for _, line := range lines {
			found = found || line.ParentID == decision && line.Allow != nil && *line.Allow && strings.Contains(line.Route, "/reveal")
		}
		if err != nil || !found {
			l.fail("no reveal was decided below %s: %v", decision, err)
		}
	})

	l.step("and masked everywhere else")
	l.as(admin)
	l.identity("GET", "/v1/applications/"+one.ID, nil).wantStatus(200).want("/clientSecret", "********").wantNoSecret(one.Secret)
	l.root()
	l.identity("GET", "/v1/applications/"+one.ID, nil).wantStatus(200).want("/clientSecret", "********").wantNoSecret(one.Secret)
	reader := l.newUser(object{"grants": grants("iam/applications:read")})
	l.as("")
	access, _ := l.login(reader)
	l.as(bearer(access))
	l.identity("GET", "/v1/applications/"+one.ID, nil).wantStatus(200).want("/clientSecret", "********").wantNoSecret(one.Secret)
	l.onPublic().get("/lerian/v1/applications/" + one.ID).wantStatus(404)
	l.as(admin).onPublic().get("/lerian/v1/applications/" + one.ID).wantStatus(404)

	l.step("deleting one leaves the other")
	l.with("If-Match", `"0"`)
	l.identity("DELETE", "/v1/applications/"+one.ID, nil)
	l.wantError(412, "412")
	login(one).wantStatus(200)
	l.identity("DELETE", "/v1/applications/"+one.ID, nil).wantStatus(204)
	l.identity("DELETE", "/v1/applications/"+one.ID, nil)
	l.wantError(404, "IDE-1001")
	l.identity("GET", "/v1/applications/"+one.ID, nil)
	l.wantError(404, "IDE-1001")
	login(one)
	l.wantError(401, "AUT-1004")
	l.as(bearer(first))
	l.auth("POST", "/v1/authorize", object{"sub": "admin/ledger-editor-role", "resource": "accounts", "action": "get"})
	l.wantError(401, "AUT-0007")
	l.as(bearer(second))
	l.auth("POST", "/v1/authorize", object{"sub": "admin/ledger-editor-role", "resource": "accounts", "action": "get"}).wantStatus(200).want("/authorized", true)
	l.as(admin)
	l.identity("DELETE", "/v1/applications/dialect-lerian", nil)
	l.wantError(403, "403")
	l.identity("GET", "/v1/applications/dialect-lerian", nil).wantStatus(200).want("/clientSecret", "********")
}

// TestDialectL11OnMergedListeners: both planes are below one path there, and no secret is shown unless the configuration says so.
func TestDialectL11OnMergedListeners(t *testing.T) {
	for allowed, want := range map[string]func(app) string{
		"false": func(app) string { return "********" }, "true": func(a app) string { return a.Secret },
	} {
		set := dialectSettings("lerian")
		set["WRIT_ALLOW_REVEAL_ON_PUBLIC"] = allowed
		l := lerian{story(t, fresh(t, Options{Env: set, Merged: true}))}
		l.auth("GET", "/health", nil).wantStatus(200)
		l.root()
		a := l.newApp(object{})
		l.owner()
		l.identity("GET", "/v1/applications/"+a.ID, nil).wantStatus(200).want("/clientSecret", want(a))
		l.expect("allow_reveal_on_public " + allowed)
	}
}

func TestDialectL13AndL14AndL21SessionsEnd(t *testing.T) {
	l := speakLerian(t)
	l.root()
	u, other := l.newUser(nil), l.newUser(nil)
	l.as("")
	refresh := func(token string) *scenario {
		return l.auth("POST", "/v1/login/oauth/refresh_token", object{"refreshToken": token})
	}
	logout := func(pairs ...string) *scenario {
		return l.onPublic().form("/lerian/v1/logout", fields(pairs...))
	}

	l.step("refreshing")
	_, first := l.login(u)
	refresh(first).wantStatus(200).want("/tokenType", "Bearer").want("/expiresIn", 3600)
	access, second := canary(l.text("/accessToken")), canary(l.text("/refreshToken"))
	if l.claims(access)["type"] != "normal-user" || second == first {
		l.fail("the second token is %v", l.claims(access))
	}
	refresh(second).wantStatus(200)
	third := canary(l.text("/refreshToken"))
	refresh(first) // its successor was used, so this is a reuse
	l.wantError(400, "AUT-1005")
	refresh(third) // and has ended the session
	l.wantError(400, "AUT-1005")
	refresh("writ_rt_garbage")
	l.wantError(400, "AUT-1005")
	for name, body := range map[string]any{"none": object{}, "empty": object{"refreshToken": ""}, "a number": `{"refreshToken":1}`} {
		l.auth("POST", "/v1/login/oauth/refresh_token", body)
		l.wantError(400, "AUT-0001")
		l.expect(name)
	}

	l.step("another client's refresh token")
	l.root()
	refreshing := l.newApp(object{"name": "another front end", "grant_types": list{"password", "refresh_token"}})
	l.as("")
	l.askLogin(refreshing, u).wantStatus(200)
	foreign := l.text("/refresh_token")
	refresh(foreign)
	l.wantError(400, "AUT-1005")
	l.ask(refreshing, "grant_type", "refresh_token", "refresh_token", foreign).wantStatus(200)

	l.step("logging out")
	one, oneRefresh := l.login(u)
	two, _ := l.login(u)
	strangers, _ := l.login(other)
	logout("id_token_hint", one).wantStatus(204)
	if len(l.last.body) != 0 {
		l.fail("a body: %s", l.last.body)
	}
	refresh(oneRefresh)
	l.wantError(400, "AUT-1005")
	l.as(bearer(one))
	l.auth("GET", "/v1/permissions", nil)
	l.wantError(401, "AUT-0007")
	l.as(bearer(two))
	l.auth("GET", "/v1/permissions", nil).wantStatus(200)

	l.step("never a silent no-op")
	l.as("")
	for name, pairs := range map[string][]string{
		"no hint": nil, "an empty hint": {"id_token_hint", ""}, "garbage": {"id_token_hint", "garbage"}, "dead": {"id_token_hint", one},
		"two hints": {"id_token_hint", two, "id_token_hint", two}, "by another name": {"token", two},
	} {
		logout(pairs...)
		l.wantError(400, "AUT-0001")
		l.expect(name)
	}
	l.as(bearer(strangers))
	logout("id_token_hint", two)
	l.wantError(400, "AUT-0001")
	l.as("Bearer garbage")
	logout("id_token_hint", two)
	l.wantError(401, "AUT-0007")
	l.as("")
	l.auth("POST", "/v1/logout", object{"id_token_hint": two})
	l.wantError(415, "415")
	l.as(bearer(two))
	l.auth("GET", "/v1/permissions", nil).wantStatus(200)

	l.step("a second factor is not offered")
	l.as("")
	for _, body := range []any{
		object{"mfaToken": "x", "passcode": "123456", "mfaType": "app", "rememberDevice": true}, object{"mfaToken": "x", "recoveryCode": "y", "mfaType": "sms"},
	} {
		l.auth("POST", "/v1/login/mfa/verify", body)
		l.wantError(400, "AUT-1001")
	}
	l.auth("POST", "/v1/login/mfa/verify", object{"mfaToken": 1})
	l.wantError(400, "AUT-0001")
}

func TestDialectL16AndL17AndL18Authorize(t *testing.T) {
	l := speakLerian(t)
	l.root()
	u := l.newUser(object{"grants": grants("accounts:get", "accounts:post", "users.password:patch", "ledger/entries:get")})
	tenant := unique("tenant")
	// In containers the tests come from one of the private networks.
	l.put("/v1/tenants/"+tenant, object{"name": tenant, "enabled": true, "addresses": list{"127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "::1/128"}}).wantStatus(201)
	inside := l.newUser(object{"tenant": tenant, "grants": grants("accounts:get@" + tenant)})
	powerless := l.newUser(nil)
	asker := l.newApp(object{"grants": grants("decisions:ask")})
	machine := l.newApp(object{"grants": grants("accounts:get")})
	askerToken, machineToken := l.token(asker), l.token(machine)
	l.as("")
	access, _ := l.login(u)
	insideAccess, _ := l.login(inside)
	powerlessAccess, _ := l.login(powerless)
	ask := func(auth, sub, resource, action string, more object) *scenario {
		body := object{"sub": sub, "resource": resource, "action": action}
		for k, v := range more {
			body[k] = v
		}
		return l.as(auth).onPublic().send("POST", "/lerian/v1/authorize", body)
	}

	l.step("about oneself")
	for _, c := range []struct {
		resource, action string
		authorized       bool
	}{
		{"accounts", "get", true},
		{"accounts", "post", true},
		{"accounts", "delete", false},
		{"accounts", "GET", false},
		{"users/password", "patch", true},
		{"users", "patch", false},
		{"accounts/x", "get", false},
		{"ledger/entries", "get", false},
		{"ledger", "get", false},
	} {
		ask(bearer(access), "lerian/"+u.ID, c.resource, c.action, nil).wantStatus(200).want("/authorized", c.authorized).wantAbsent("/code")
		if at, err := time.Parse(time.RFC3339, l.text("/timestamp")); err != nil || time.Since(at) > time.Minute {
			l.fail("timestamp %v, %v", at, err)
		}
		l.expect(c.resource + " " + c.action)
	}
	ask(bearer(machineToken), "admin/ledger-editor-role", "accounts", "get", nil).wantStatus(200).want("/authorized", true)
	ask(bearer(machineToken), machine.ID, "accounts", "get", nil).wantStatus(200).want("/authorized", true)

	l.step("a right to users is none to users/password")
	ask(bearer(access), "lerian/"+u.ID, "users", "patch", nil).wantStatus(200).want("/authorized", false)

	l.step("about others")
	ask(bearer(askerToken), "lerian/"+u.ID, "accounts", "get", nil).wantStatus(200).want("/authorized", true)
	ask(bearer(askerToken), "lerian/"+u.ID, "accounts", "delete", nil).wantStatus(200).want("/authorized", false)
	ask(bearer(askerToken), "lerian/"+uuid(), "accounts", "get", nil)
	l.wantError(404, "AUT-1015")
	ask(bearer(askerToken), unique("app_"), "accounts", "get", nil)
	l.wantError(404, "AUT-1015")
	for _, sub := range []string{"lerian/" + u.ID, "lerian/" + uuid()} {
		ask(bearer(powerlessAccess), sub, "accounts", "get", nil)
		l.wantError(403, "403")
	}

	l.step("who asks, and how")
	ask("", "lerian/"+u.ID, "accounts", "get", nil)
	l.wantError(401, "AUT-0006")
	ask("Bearer garbage", "lerian/"+u.ID, "accounts", "get", nil)
	l.wantError(401, "AUT-0007")
	for name, body := range map[string]any{
		"no JSON": "{", "no sub": object{"resource": "a", "action": "b"}, "no resource": object{"sub": "a", "action": "b"}, "no action": object{"sub": "a", "resource": "b"},
		"an unknown member": object{"sub": "a", "resource": "b", "action": "c", "tenant": "x"}, "a list": object{"sub": list{"a"}, "resource": "b", "action": "c"},
		"attributes that are a list":    object{"sub": "a", "resource": "b", "action": "c", "attributes": list{}},
		"an attribute that is a number": object{"sub": "a", "resource": "b", "action": "c", "attributes": object{"ledgerId": 1}},
		"an address that is none":       object{"sub": "a", "resource": "b", "action": "c", "clientIp": "here"},
	} {
		l.as(bearer(access)).onPublic().send("POST", "/lerian/v1/authorize", body)
		l.wantError(400, "AUT-0001")
		l.expect(name)
	}

	l.step("the address of the client")
	for ip, authorized := range map[string]bool{"10.1.2.3": true, "192.0.2.1": false} {
		ask(bearer(insideAccess), "lerian/"+inside.ID, "accounts", "get", object{"clientIp": ip}).wantStatus(200).want("/authorized", authorized)
		l.expect("oneself from " + ip)
	}
	ask(bearer(insideAccess), "lerian/"+inside.ID, "accounts", "get", nil).wantStatus(200).want("/authorized", true)

	l.step("the map is what is answered")
	for _, c := range []struct {
		auth, sub string
		want      object
	}{
		{bearer(access), "lerian/" + u.ID, object{"accounts": list{"get", "post"}, "users/password": list{"patch"}}},
		{bearer(insideAccess), "lerian/" + inside.ID, object{"accounts": list{"get"}}},
		{bearer(powerlessAccess), "lerian/" + powerless.ID, object{}},
		{bearer(machineToken), machine.ID, object{"accounts": list{"get"}}},
	} {
		l.as(c.auth)
		l.auth("GET", "/v1/permissions", nil).wantStatus(200).want("", c.want)
		held, _ := l.last.value().(map[string]any)
		for _, resource := range []string{"accounts", "users/password", "users", "ledger", "ledger/entries", "organizations"} {
			for _, action := range []string{"get", "post", "patch", "delete"} {
				actions, _ := held[resource].([]any)
				ask(c.auth, c.sub, resource, action, nil).wantStatus(200).want("/authorized", slices.Contains(actions, any(action)))
				l.expect(c.sub + " " + resource + " " + action)
			}
		}
	}
	l.as("")
	l.auth("GET", "/v1/permissions", nil)
	l.wantError(401, "AUT-0006")
}

// TestDialectL16InstanceScope holds each declared dimension by itself: what a policy demands and the request does not name denies.
func TestDialectL16InstanceScope(t *testing.T) {
	dir := policyDir(t, documentPolicy("transactions", "transactions.within", `{
	every dimension in ["organizationId", "ledgerId"] {
		input.resource.properties[dimension] in input.subject.attributes.instances[dimension]
	}
}`))
	l := lerian{story(t, fresh(t, Options{Args: []string{"--policies", dir}, Env: dialectSettings("lerian")}))}
	l.root()
	u := l.newUser(object{"grants": grants("transactions:write"), "attributes": object{"instances": object{"organizationId": list{"acme"}, "ledgerId": list{"sales", "wages"}}}})
	l.as("")
	access, _ := l.login(u)
	l.as(bearer(access))
	for name, c := range map[string]struct {
		attributes any
		authorized bool
	}{
		"every dimension is allowed":  {object{"organizationId": "acme", "ledgerId": "wages"}, true},
		"one more that none declares": {object{"organizationId": "acme", "ledgerId": "wages", "portfolioId": "x"}, true},
		"another ledger":              {object{"organizationId": "acme", "ledgerId": "loans"}, false},
		"another organisation":        {object{"organizationId": "globex", "ledgerId": "sales"}, false},
		"a dimension is missing":      {object{"organizationId": "acme"}, false},
		"none is named":               {object{}, false},
	} {
		l.auth("POST", "/v1/authorize", object{"sub": "lerian/" + u.ID, "resource": "transactions", "action": "write", "attributes": c.attributes}).
			wantStatus(200).want("/authorized", c.authorized)
		l.expect(name)
	}
	l.auth("POST", "/v1/authorize", object{"sub": "lerian/" + u.ID, "resource": "transactions", "action": "write"}).wantStatus(200).want("/authorized", false)
	l.auth("POST", "/v1/authorize", object{"sub": "lerian/" + u.ID, "resource": "transactions", "action": "write", "attributes": "acme"})
	l.wantError(400, "AUT-0001")
}

func TestDialectL19Passwords(t *testing.T) {
	l := speakLerian(t)
	l.root()
	u, other := l.newUser(object{"grants": grants("accounts:get")}), l.newUser(nil)
	strong := l.administrator()
	l.as("")
	access, _ := l.login(u)
	change := func(id, old, to string) *scenario {
		return l.identity("PATCH", "/v1/users/"+id+"/update-password", object{"oldPassword": old, "newPassword": to})
	}
	reset := func(id, to string) *scenario {
		return l.identity("PATCH", "/v1/users/"+id+"/reset-password", object{"newPassword": to})
	}

	l.step("one's own")
	l.as(bearer(access))
	next := password()
	change(other.ID, u.Password, next)
	l.wantError(403, "IDE-0013")
	change(u.ID, password(), next)
	l.wantError(400, "IDE-0002")
	change(u.ID, u.Password, "short")
	l.wantError(400, "IDE-0020")
	change(u.ID, u.Password, "")
	l.wantError(400, "IDE-0001")
	change(u.ID, u.Password, next).wantStatus(204)
	change(u.ID, next, password()) // the change has ended the session
	l.wantError(401, "IDE-0009")
	l.as("")
	l.auth("POST", "/v1/login/oauth/access_token", object{"grantType": "password", "username": u.Username, "password": u.Password})
	l.wantError(401, "AUT-1002")
	u.Password = next
	access, _ = l.login(u)

	l.step("another's takes the right, and dominance")
	l.as(bearer(access))
	reset(other.ID, password())
	l.wantError(404, "IDE-1003") // who may not read the user does not see it
	l.root()
	helper := l.newUser(object{"grants": grants("iam/users:read", "iam/users:reset_password")})
	l.as("")
	helperAccess, _ := l.login(helper)
	l.as(bearer(helperAccess))
	reset(strong.ID, password())
	l.wantError(403, "403")
	reset(other.ID, "short")
	l.wantError(400, "IDE-0020")
	reset(uuid(), password())
	l.wantError(404, "IDE-1003")
	chosen := password()
	reset(other.ID, chosen).wantStatus(204).wantNoSecret(chosen)

	l.step("what an administrator chose is temporary")
	l.as("")
	l.auth("POST", "/v1/login/oauth/access_token", object{"grantType": "password", "username": other.Username, "password": other.Password})
	l.wantError(401, "AUT-1002")
	l.auth("POST", "/v1/login/oauth/access_token", object{"grantType": "password", "username": other.Username, "password": chosen}).wantStatus(200).
		want("/scope", "me:password").wantAbsent("/refreshToken")
	l.as(bearer(l.text("/accessToken")))
	change(other.ID, chosen, password()).wantStatus(204)
}

// TestDialectL23TheClientOfTheVendor makes the calls that github.com/LerianStudio/lib-auth/v2 v2.5.0 makes, as it makes them, and reads the
// replies as it does: NewAuthClient, GetApplicationToken and checkAuthorization of auth/middleware/middleware.go, on both stores. The library
// itself is run in e2e/judges.
func TestDialectL23TheClientOfTheVendor(t *testing.T) {
	l := speakLerian(t)
	product := l.product("accounts:get")
	l.asAdministrator()
	l.identity("POST", "/v1/applications", object{"name": product, "description": "For a test"}).wantStatus(201)
	machine := app{ID: l.text("/clientId"), Secret: canary(l.text("/clientSecret"))}
	l.root()
	u := l.newUser(object{"grants": grants("accounts:get")})
	l.as("")

	l.step("NewAuthClient asks for the health")
	l.onPublic().get("/lerian/health").wantStatus(200)
	if string(l.last.body) != "healthy" {
		l.fail("the body is %q", l.last.body)
	}

	// applicationToken is GetApplicationToken: a reply with a code is an error, of whatever status but 500.
	applicationToken := func(id, secret string) (token, code string) {
		l.auth("POST", "/v1/login/oauth/access_token", object{"grantType": "client_credentials", "clientId": id, "clientSecret": secret})
		var failed struct {
			Code, Title, Message string
		}
		var read struct {
			AccessToken  string  `json:"accessToken"`
			IDToken      *string `json:"idToken,omitempty"`
			TokenType    string  `json:"tokenType"`
			ExpiresIn    int     `json:"expiresIn"`
			RefreshToken string  `json:"refreshToken"`
			Scope        *string `json:"scope,omitempty"`
		}
		if err := errors.Join(json.Unmarshal(l.last.body, &failed), json.Unmarshal(l.last.body, &read)); err != nil {
			l.fail("unparsable: %v", err)
		}
		return canary(read.AccessToken), failed.Code
	}
	// authorize is checkAuthorization: the token unverified, its type and owner, and the token as it is in the header.
	authorize := func(token, service, resource, action string) (authorized bool, status int, code string) {
		claims := l.claims(token)
		sub := "admin/" + service + "-editor-role"
		if claims["type"] == "normal-user" {
			owner, _ := claims["owner"].(string)
			if owner == "" {
				l.fail("no owner in the token")
			}
			sub = fmt.Sprintf("%s/%s", owner, claims["sub"])
		}
		l.with("Authorization", canary(token))
		l.auth("POST", "/v1/authorize", map[string]string{"sub": sub, "resource": resource, "action": action})
		var failed struct{ Code string }
		var read struct {
			Authorized bool      `json:"authorized"`
			Timestamp  time.Time `json:"timestamp"`
		}
		if err := json.Unmarshal(l.last.body, &failed); err != nil {
			l.fail("unparsable: %v", err)
		}
		if failed.Code != "" && l.last.status != http.StatusInternalServerError {
			return false, l.last.status, failed.Code
		}
		if err := json.Unmarshal(l.last.body, &read); err != nil {
			l.fail("unparsable: %v", err)
		}
		return read.Authorized, l.last.status, ""
	}

	l.step("GetApplicationToken")
	token, code := applicationToken(machine.ID, machine.Secret)
	if token == "" || code != "" {
		l.fail("token %q, code %q", token, code)
	}
	if none, code := applicationToken(machine.ID, "wrong"); none != "" || code != "AUT-1004" {
		l.fail("a wrong secret: code %q", code)
	}

	l.step("checkAuthorization")
	access, _ := l.login(u)
	for _, c := range []struct {
		token, resource, action string
		authorized              bool
	}{{token, "accounts", "get", true}, {token, "accounts", "delete", false}, {access, "accounts", "get", true}, {access, "accounts", "post", false}} {
		authorized, status, code := authorize(c.token, "midaz", c.resource, c.action)
		if authorized != c.authorized || status != 200 || code != "" {
			l.fail("%s %s: %t, %d, %q", c.resource, c.action, authorized, status, code)
		}
	}

	l.step("a dead token is a verdict on the caller, with a code")
	l.root().post("/v1/applications/"+machine.ID+"/secrets", object{}).wantStatus(201)
	l.delete("/v1/applications/" + machine.ID).wantStatus(204)
	l.as("")
	if authorized, status, code := authorize(token, "midaz", "accounts", "get"); authorized || status != 401 || code != "AUT-0007" {
		l.fail("%t, %d, %q", authorized, status, code)
	}
}
