package e2e

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// atHantera sends the next request to a route of the dialect below /resources.
func (c *scenario) atHantera(method, path string, body any) *scenario {
	return c.onAdmin().send(method, "/hantera/resources"+path, body)
}

func TestDialectH01AndH02Principals(t *testing.T) {
	c := story(t, spoken(t)).root()
	id, role := uuid(), c.newRole("ledger:read")
	path, email := "/iam/principals/"+id, unique("john")+"@example.com"

	c.step("wrapped and flat")
	c.atHantera("PUT", path, object{"properties": object{"name": "John", "email": email, "team": "a"}, "roles": list{role}}).wantStatus(201).
		want("/properties/name", "John").want("/properties/team", "a").want("/roles", list{role})
	canary(c.text("/temporaryPassword"))
	c.atHantera("PUT", path, object{"name": "John Admin", "phone": "+1"}).wantStatus(200).want("/name", "John Admin").want("/roles", list{role}).
		want("/properties/phone", "+1").want("/email", email)
	c.get("/v1/users/"+id).want("/username", email).want("/name", "John Admin")
	c.atHantera("GET", path, nil).wantStatus(200).wantAbsent("/temporaryPassword").want("/type", "principal")

	c.step("a property that is not named keeps its value, also one without a native name; null takes it away")
	c.atHantera("PUT", path, object{"picture": "p.jpg", "settings": object{"theme": "dark"}}).wantStatus(200).
		want("/phone", "+1").want("/properties/team", "a").want("/settings/theme", "dark").want("/name", "John Admin")
	c.atHantera("PUT", path, object{"properties": object{"team": nil, "settings": object{"language": "en"}}}).wantStatus(200).
		wantAbsent("/properties/team").want("/settings", object{"theme": "dark", "language": "en"}).want("/picture", "p.jpg")
	tag := c.header("ETag")
	c.with("If-Match", tag).atHantera("PUT", path, object{"properties": object{"phone": "+2"}}).wantStatus(200).want("/phone", "+2").want("/picture", "p.jpg")
	c.with("If-Match", tag).atHantera("PUT", path, object{"properties": object{"phone": "+3"}}).wantProblem(409, "")
	c.with("If-None-Match", "*").atHantera("PUT", path, object{"properties": object{"phone": "+3"}}).wantProblem(409, "")
	c.atHantera("GET", path, nil).want("/phone", "+2")
	c.atHantera("PUT", "/iam/principals/"+uuid(), object{"properties": object{"phone": "+3"}}).wantStatus(400) // a new one has an address

	c.step("rights")
	entries := list{object{"resource": "iam/principals", "permission": "write"}, object{"resource": list{"actors", "graph"}, "permission": list{"*"}}}
	c.atHantera("PUT", path, object{"acl": object{"entries": entries}}).wantStatus(200).want("/acl/entries", list{
		object{"resource": "iam/principals", "permission": "write"}, object{"resource": "actors", "permission": "*"}, object{"resource": "graph", "permission": "*"},
	})
	c.get("/v1/users/"+id).want("/grants/1", object{"resource": "iam/users", "action": "reset_password"})

	c.step("absent keeps, [] clears")
	c.atHantera("PUT", path, object{"roles": list{}}).wantStatus(200).want("/roles", list{})
	c.atHantera("PUT", path+"/roles", list{role}).wantStatus(200).want("/roles", list{role})
	c.atHantera("PUT", path+"/roles", object{"roles": list{}}).wantStatus(200).want("/roles", list{})

	c.step("bad")
	for name, bad := range map[string]object{
		"both shapes":   {"properties": object{"name": "x"}, "name": "x"},
		"attributeKeys": {"acl": object{"entries": list{object{"resource": "a", "permission": "b", "attributeKeys": list{"k"}}}}},
		"unknown role":  {"roles": list{"no:role"}},
		"unknown key":   {"suspended": true},
		"no permission": {"acl": object{"entries": list{object{"resource": "a"}}}},
		"attributes":    {"accessAttributes": object{"a": list{"b"}}},
		"a property":    {"properties": object{"roles": list{}}, "roles": list{}},
		"another id":    {"id": uuid(), "name": "x"},
		"no object":     {"properties": list{}},
		"a null":        {"properties": nil},
	} {
		c.atHantera("PUT", path, bad).wantStatus(400)
		c.expect(name)
	}
	c.atHantera("PUT", "/iam/principals/john", object{"name": "x"}).wantStatus(400)
	c.atHantera("DELETE", path, nil).wantStatus(204)
	c.atHantera("GET", path, nil).wantProblem(404, "")
}

func TestDialectH04StaleIsAConflict(t *testing.T) {
	c := story(t, spoken(t)).root()
	path := "/iam/principals/" + c.newUser(object{}).ID
	c.atHantera("GET", path, nil)
	tag, inBody := c.header("ETag"), c.text("/eTag")
	c.with("If-Match", tag).atHantera("PUT", path, object{"name": "one"}).wantStatus(200)
	c.with("If-Match", tag).atHantera("PUT", path, object{"name": "two"}).wantProblem(409, "")
	c.atHantera("PUT", path, object{"name": "two", "etag": inBody}).wantProblem(409, "")
	c.with("If-None-Match", "*").atHantera("PUT", path, object{"name": "two"}).wantProblem(409, "")
	c.atHantera("GET", path, nil).want("/name", "one")
	fresh := c.text("/eTag")
	c.with("If-Match", tag).atHantera("PUT", path, object{"name": "two", "etag": fresh}).wantProblem(400, "/etag")
	c.atHantera("PUT", path, object{"name": "two", "etag": fresh}).wantStatus(200)
}

func TestDialectH11AndH12Clients(t *testing.T) {
	c := story(t, spoken(t)).root()
	id := unique("client")
	path := "/iam/clients/" + id
	c.atHantera("PUT", path, object{"properties": object{"name": "Mobile App", "redirectUris": list{"myapp://callback"}, "grantTypes": list{"authorization_code", "refresh_token"}}, "roles": list{}}).
		wantStatus(201).want("/properties/redirectUris", list{"myapp://callback"}).want("/grantTypes", list{"authorization_code", "refresh_token"})
	first := canary(c.text("/secret/value"))
	c.atHantera("GET", path, nil).wantStatus(200).wantNoSecret(first)
	c.atHantera("POST", path+"/secrets", object{"label": "blue", "expiresAt": "2099-01-01T00:00:00Z"}).wantStatus(201).want("/label", "blue").wantInstant("/expiresAt", "2099-01-01T00:00:00Z")
	second := canary(c.text("/value"))
	c.atHantera("POST", path+"/secrets", object{"expiresAt": "2001-01-01T00:00:00Z"}).wantStatus(400)
	c.atHantera("PUT", path, object{"grantTypes": list{"client_credentials"}}).wantStatus(200)
	for _, secret := range []string{first, second} {
		c.onPublic().with("Authorization", basic(id, secret)).form("/hantera/oauth/token", fields("grant_type", "client_credentials")).wantStatus(200)
	}

	c.step("scopes are renamed, in a body, in a reply and at the token endpoint")
	c.atHantera("PUT", path, object{"properties": object{"scopes": list{"iam/principals:write", "iam/clients:read", "actors:*"}}, "acl": object{"entries": list{
		object{"resource": "iam/principals", "permission": "write"}, object{"resource": "actors/order", "permission": "*"},
	}}}).wantStatus(200).want("/scopes", list{"iam/principals:write", "iam/clients:read", "actors:*"}).want("/properties/scopes/1", "iam/clients:read").
		want("/redirectUris", list{"myapp://callback"})
	c.get("/v1/applications/"+id).want("/scopes", list{"iam/users:write", "iam/users:reset_password", "iam/applications:read", "actors:*"})
	c.onPublic().with("Authorization", basic(id, second)).form("/hantera/oauth/token", fields("grant_type", "client_credentials", "scope", "iam/principals:write actors/order:* me:*")).
		wantStatus(200)
	if got := strings.Fields(c.text("/scope")); !slices.Contains(got, "iam/principals:write") || !slices.Contains(got, "actors/order:*") || strings.Contains(c.text("/scope"), "iam/users") {
		c.fail("the scope is %v", got)
	}
	c.as(bearer(c.text("/access_token"))).onPublic().send("GET", "/hantera/resources/me", nil).wantStatus(200).want("/type", "client").want("/id", id).want("/name", "Mobile App")
	c.root()
	c.onPublic().with("Authorization", basic(id, second)).form("/hantera/oauth/token", fields("grant_type", "client_credentials", "scope", "iam/roles:read")).wantOAuthError(400, "invalid_scope")

	c.step("secrets are listed and revoked one by one, and a token dies with its own")
	tokens := map[string]string{}
	for _, secret := range []string{first, second} {
		c.onPublic().with("Authorization", basic(id, secret)).form("/hantera/oauth/token", fields("grant_type", "client_credentials")).wantStatus(200)
		tokens[secret] = bearer(c.text("/access_token"))
	}
	c.atHantera("GET", path+"/secrets", nil).wantStatus(200).wantNoSecret(first, second).want("/secrets/1/label", "blue").wantInstant("/secrets/1/expiresAt", "2099-01-01T00:00:00Z").
		wantAbsent("/secrets/0/revokedAt")
	c.text("/secrets/0/createdAt")
	old, blue := c.text("/secrets/0/id"), c.text("/secrets/1/id")
	c.atHantera("DELETE", path+"/secrets/"+old, nil).wantStatus(204)
	c.as(tokens[first]).onPublic().send("GET", "/hantera/resources/me", nil).wantStatus(401)
	c.as(tokens[second]).onPublic().send("GET", "/hantera/resources/me", nil).wantStatus(200)
	c.root()
	c.onPublic().with("Authorization", basic(id, first)).form("/hantera/oauth/token", fields("grant_type", "client_credentials")).wantOAuthError(401, "invalid_client")
	c.onPublic().with("Authorization", basic(id, second)).form("/hantera/oauth/token", fields("grant_type", "client_credentials")).wantStatus(200)
	c.atHantera("GET", path+"/secrets", nil).wantStatus(200)
	c.text("/secrets/0/revokedAt")
	c.eventually(stopWithin, func() {
		c.atHantera("GET", path+"/secrets", nil).wantStatus(200)
		c.text("/secrets/1/lastUsedAt")
	})
	c.atHantera("DELETE", path+"/secrets/"+unique("s"), nil).wantProblem(404, "")
	c.atHantera("DELETE", "/iam/clients/"+unique("nobody")+"/secrets/"+blue, nil).wantProblem(404, "")
	c.atHantera("GET", "/iam/clients/"+unique("nobody")+"/secrets", nil).wantProblem(404, "")
	c.atHantera("POST", path+"/secrets", object{"label": "x", "notBefore": "2099-01-01T00:00:00Z", "expiresAt": "2098-01-01T00:00:00Z"}).wantStatus(400)
	c.atHantera("POST", path+"/secrets", object{"not_before": "2099-01-01T00:00:00Z"}).wantProblem(400, "/not_before")
	c.atHantera("PUT", path+"/secrets/"+blue, object{}).wantProblem(405, "")

	c.step("system clients")
	c.atHantera("PUT", "/iam/clients/root", object{"name": "x"}).wantDenied("system_protected")
	c.atHantera("PUT", "/iam/clients/root/roles", list{}).wantStatus(403)
	c.atHantera("DELETE", "/iam/clients/root", nil).wantDenied("system_protected")
	c.atHantera("PUT", "/iam/clients/root", object{"properties": object{"note": "x"}}).wantDenied("system_protected")
	c.atHantera("GET", "/iam/clients?limit=100", nil).wantStatus(200)
	c.wantNone("root").wantNone("dialect-lerian")
	c.atHantera("GET", "/iam/clients?role=system:owner", nil).wantStatus(200)
	c.wantNone("root")
}

// wantNone demands that no client of a list has an id.
func (c *scenario) wantNone(id string) *scenario {
	v, _ := at(c.last.value(), "/clients")
	clients, ok := v.([]any)
	if !ok {
		return c.fail("there is no list of clients")
	}
	for _, client := range clients {
		if got, _ := at(client, "/id"); got == id {
			return c.fail("%s is in the list", id)
		}
	}
	return c
}

func TestDialectH14AndH15SuspensionAndPasswords(t *testing.T) {
	c := story(t, spoken(t)).root()
	role := c.newRole("ledger:read")
	gone := c.newUser(object{"roles": list{role}, "suspended_at": "2020-01-01T00:00:00Z"})
	here := c.newUser(object{"roles": list{role}})
	query := "/iam/principals?rolePrefix=" + role
	c.atHantera("GET", query, nil).wantStatus(200).want("/totalCount", 1).want("/principals/0/id", here.ID)
	c.atHantera("GET", query+"&includeSuspended=true", nil).wantStatus(200).want("/totalCount", 2)
	c.atHantera("GET", query+"&includeSuspended=yes", nil).wantStatus(400)
	c.atHantera("GET", query+"&limit=101", nil).wantStatus(400)
	c.atHantera("GET", query+"&after=x", nil).wantStatus(400)
	c.atHantera("GET", "/iam/principals/"+gone.ID, nil).wantStatus(200)

	c.step("reset, first login, change")
	front := c.front()
	c.atHantera("POST", "/iam/principals/"+here.ID+"/password/reset", nil).wantStatus(200)
	temporary := canary(c.text("/temporaryPassword"))
	login := func(password string) *scenario {
		return c.with("Authorization", basic(front.ID, front.Secret)).onPublic().form("/hantera/oauth/token", fields("grant_type", "password", "username", here.Username, "password", password))
	}
	login(temporary).wantStatus(200).want("/scope", "me:password")
	c.as(bearer(c.text("/access_token")))
	next := password()
	c.atHantera("POST", "/me/password", object{"currentPassword": "wrong " + temporary, "newPassword": next}).wantStatus(400)
	c.atHantera("POST", "/me/password", object{"currentPassword": temporary, "newPassword": next}).wantStatus(204)
	login(temporary).wantOAuthError(400, "invalid_grant")
	login(next).wantStatus(200)
	c.root().atHantera("POST", "/iam/principals/"+uuid()+"/password/reset", nil).wantProblem(404, "")

	c.step("roles")
	key := "support:" + unique("agent")
	c.atHantera("PUT", "/iam/roles/"+key, object{"key": key, "description": "Support", "acl": object{"entries": list{object{"resource": "registry", "permission": "read"}}}}).
		wantStatus(201).want("/acl/entries", list{object{"resource": "registry", "permission": "read"}})
	c.atHantera("PUT", "/iam/roles/system:x", object{"description": "x"}).wantStatus(403)
	c.atHantera("GET", "/iam/roles?limit=100", nil).wantStatus(200)
	c.atHantera("DELETE", "/iam/roles/"+key, nil).wantStatus(204)
}

// listed are the ids of a list of the dialect.
func (c *scenario) listed(name string) []string {
	v, _ := at(c.last.value(), "/"+name)
	array, ok := v.([]any)
	if !ok {
		c.fail("there is no list of %s", name)
	}
	ids := []string{}
	for _, item := range array {
		id, _ := at(item, "/id")
		if id == nil {
			id, _ = at(item, "/key")
		}
		ids = append(ids, fmt.Sprint(id))
	}
	return ids
}

func (c *scenario) wantListed(name string, want ...string) *scenario {
	if got := c.listed(name); c.err == nil && !slices.Equal(got, append([]string{}, want...)) {
		return c.fail("%s are %v, want %v", name, got, want)
	}
	return c
}

func TestDialectH17PagesForthAndBack(t *testing.T) {
	c := story(t, spoken(t)).root()
	role, other := c.newRole("ledger:read"), c.newRole("ledger:read")
	var ids []string
	for range 5 {
		ids = append(ids, c.newUser(object{"roles": list{role}, "name": "Paged " + role}).ID)
	}
	slices.Sort(ids)
	path := "/iam/principals?limit=2&role=" + role

	c.step("the cursors are those of the first and the last one, and the total is of all pages")
	c.atHantera("GET", path, nil).wantStatus(200).wantListed("principals", ids[0], ids[1]).want("/totalCount", 5)
	first := c.text("/firstCursor")
	c.atHantera("GET", path+"&after="+c.text("/lastCursor"), nil).wantListed("principals", ids[2], ids[3]).want("/totalCount", 5)
	second := c.text("/firstCursor")
	c.atHantera("GET", path+"&after="+c.text("/lastCursor"), nil).wantListed("principals", ids[4])
	third := c.text("/firstCursor")
	c.atHantera("GET", path+"&after="+c.text("/lastCursor"), nil).wantStatus(200).wantListed("principals").want("/firstCursor", nil).want("/lastCursor", nil)
	c.atHantera("GET", path+"&before="+third, nil).wantStatus(200).wantListed("principals", ids[2], ids[3]).want("/totalCount", 5)
	c.atHantera("GET", path+"&before="+c.text("/firstCursor"), nil).wantListed("principals", ids[0], ids[1])
	c.atHantera("GET", path+"&before="+first, nil).wantStatus(200).wantListed("principals")
	c.atHantera("GET", "/iam/principals?limit=1&orderBy=id&role="+role+"&before="+second, nil).wantStatus(200).wantListed("principals", ids[1])

	c.step("who comes or goes meanwhile moves nobody else")
	c.put("/v1/users/00000000-0000-4000-8000-"+uuid()[24:], object{"username": unique("a"), "email": unique("a") + "@example.com", "roles": list{role}}).wantStatus(201)
	c.newUser(object{"roles": list{role}})
	c.atHantera("DELETE", "/iam/principals/"+ids[2], nil).wantStatus(204)
	c.atHantera("GET", path+"&before="+second, nil).wantStatus(200).wantListed("principals", ids[0], ids[1])

	c.step("clients and roles, too")
	a := c.newApp(object{"roles": list{other}})
	b := c.newApp(object{"roles": list{other}})
	pair := []string{a.ID, b.ID}
	slices.Sort(pair)
	c.atHantera("GET", "/iam/clients?limit=1&role="+other, nil).wantStatus(200).wantListed("clients", pair[0]).want("/totalCount", 2)
	c.atHantera("GET", "/iam/clients?limit=1&role="+other+"&after="+c.text("/lastCursor"), nil).wantListed("clients", pair[1])
	c.atHantera("GET", "/iam/clients?limit=1&role="+other+"&before="+c.text("/firstCursor"), nil).wantListed("clients", pair[0])
	c.atHantera("GET", "/iam/roles?limit=2", nil).wantStatus(200)
	keys := c.listed("roles")
	c.atHantera("GET", "/iam/roles?limit=2&after="+c.text("/lastCursor"), nil).wantStatus(200)
	c.atHantera("GET", "/iam/roles?limit=2&before="+c.text("/firstCursor"), nil).wantStatus(200).wantListed("roles", keys...)

	c.step("bad")
	for _, bad := range []string{
		"after=" + first + "&before=" + first, "limit=101", "limit=0", "limit=x", "after=x", "before=x", "after=", "before=", "before=" + first, "after=" + first,
		"offset=1", "limit=1&limit=2", "rolePrefix=", "role=a&role=b", "page=1",
	} {
		c.atHantera("GET", "/iam/principals?"+bad, nil).wantProblem(400, "") // a cursor is good with its filters alone
		c.expect(bad)
	}
	for _, bad := range []string{"before=x", "limit=101", "orderBy=id", "email=a"} {
		c.atHantera("GET", "/iam/clients?"+bad, nil).wantProblem(400, "")
		c.expect("clients " + bad)
	}
	c.atHantera("GET", "/iam/roles?before=x", nil).wantProblem(400, "")
	c.atHantera("GET", "/iam/roles?name=x", nil).wantProblem(400, "").want("/pointer", "name")
	c.atHantera("GET", "/iam/principals?rolePrefix=", nil).wantProblem(400, "").want("/parameter", "rolePrefix")

	c.step("filters")
	x := unique("needle")
	one := c.newUser(object{"name": "Ada " + x, "email": x + "@example.com", "roles": list{role, other}})
	query := func(q string) string { return "/iam/principals?" + q }
	c.atHantera("GET", query("name=ada+"+x), nil).wantStatus(200).wantListed("principals", one.ID)
	c.atHantera("GET", query("email="+strings.ToUpper(x)+"%40example.com"), nil).wantStatus(200).wantListed("principals", one.ID)
	c.atHantera("GET", query("email="+x+"&name=zz"), nil).wantStatus(200).wantListed("principals")
	c.atHantera("GET", query("roles="+other), nil).wantStatus(200).wantListed("principals", one.ID)
	c.atHantera("GET", query("roles="+other+"&roles=no:role"), nil).wantStatus(200).wantListed("principals", one.ID)
	c.atHantera("GET", query("limit=100&roles="+role+","+other), nil).wantStatus(200).want("/totalCount", 7)
	c.atHantera("GET", query("orderBy=id&email="+x), nil).wantStatus(200).wantListed("principals", one.ID)
	for _, bad := range []string{"orderBy=name", "orderBy=-id", "roles=" + role + "&role=" + role, "name=", "email=", "name=a&name=b", "phone=1", "suspended=true", "filter=x", "Name=a"} {
		c.atHantera("GET", query(bad), nil).wantProblem(400, "")
		c.expect(bad)
	}
}

// identities asks the graph for who has roles.
func (c *scenario) identities(limit int, roles ...string) *scenario {
	filters := list{}
	for _, role := range roles {
		filters = append(filters, object{"field": "roles", "op": "contains", "value": role})
	}
	return c.atHantera("POST", "/graph/query", object{"resource": "identity", "filters": filters, "limit": limit})
}

func TestDialectH18TheGraphReadsWhatCouldBeReadOneByOne(t *testing.T) {
	c := story(t, spoken(t)).root()
	role, also := c.newRole("ledger:read"), c.newRole("ledger:write")
	tenant := c.newTenant()
	var users, apps []string
	for n := range 3 {
		in := object{"roles": list{role}}
		if n == 1 {
			in = object{"roles": list{role, also}, "tenant": tenant}
		}
		users = append(users, c.newUser(in).ID)
		apps = append(apps, c.newApp(in).ID)
	}
	gone := c.newUser(object{"roles": list{role}})
	c.patch("/v1/users/"+gone.ID, object{"suspended_at": "2020-01-01T00:00:00Z"}).wantStatus(200)
	users = append(users, gone.ID)
	slices.Sort(users)
	slices.Sort(apps)

	c.step("principals before clients, as they are read one by one")
	c.identities(50, role).wantStatus(200).wantListed("identities", append(slices.Clone(users), apps...)...).want("/totalCount", 7)
	c.header("Decision-Id")
	shown, _ := at(c.last.value(), "/identities")
	for _, item := range shown.([]any) {
		said := maps.Clone(item.(map[string]any))
		path := map[any]string{"principal": "/iam/principals/", "client": "/iam/clients/"}[said["type"]]
		c.atHantera("GET", path+said["id"].(string), nil).wantStatus(200)
		alone := maps.Clone(c.last.value().(map[string]any))
		delete(alone, "eTag")
		if c.err == nil && fmt.Sprint(alone) != fmt.Sprint(said) {
			c.fail("in the graph it is %v, and alone %v", said, alone)
		}
	}
	person, machine := c.one(users, also), c.one(apps, also)
	c.identities(50, role, also).wantStatus(200).wantListed("identities", person, machine).want("/totalCount", 2)
	c.identities(50, also, role, also).wantStatus(200).want("/totalCount", 2)
	c.identities(3, role).wantStatus(200).wantListed("identities", users[:3]...).want("/totalCount", 7)
	c.identities(5, role).wantStatus(200).wantListed("identities", append(slices.Clone(users), apps[0])...)
	c.identities(1, role, also).wantStatus(200).want("/totalCount", nil) // there are more, which nobody counted
	c.identities(50, "no:role").wantStatus(200).wantListed("identities").want("/totalCount", 0)
	c.atHantera("POST", "/graph/query", object{"resource": "identity", "limit": 1}).wantStatus(200)
	c.atHantera("POST", "/graph/query", object{"resource": "identity"}).wantStatus(200)
	if n := len(c.listed("identities")); c.err == nil && (n < 10 || n > 50) {
		c.fail("%d identities where no limit is named", n)
	}

	c.step("system clients are absent, also where a filter names what they have")
	c.identities(100, "system:owner").wantStatus(200)
	if slices.Contains(c.listed("identities"), "root") {
		c.fail("root is there")
	}
	c.identities(100).wantStatus(200)
	if ids := c.listed("identities"); slices.ContainsFunc(ids, func(id string) bool { return id == "root" || strings.HasPrefix(id, "dialect-") }) {
		c.fail("a system client is there: %v", ids)
	}

	c.step("each sees what it could read one by one")
	all := append(slices.Clone(users), apps...)
	for name, held := range map[string][]string{
		"principals": {"iam/users:read"}, "clients": {"iam/applications:read"}, "both": {"iam:read"}, "everywhere": {"iam:read@*"}, "of a tenant": {"iam:read@" + tenant},
		"one principal": {"iam/users/" + users[0] + ":read"}, "one of each": {"iam/users/" + users[1] + ":read@*", "iam/applications/" + apps[2] + ":read@*"},
		"one and all clients": {"iam/users/" + users[1] + ":read@*", "iam/applications:read"}, "the graph": {"graph:*"}, "nothing": {},
	} {
		in := object{"grants": grants(held...)}
		if name == "of a tenant" {
			in["tenant"] = tenant
		}
		reader := c.root().newApp(in)
		c.as(bearer(c.token(reader)))
		want := []string{}
		for i, id := range all {
			path := "/iam/principals/"
			if i >= len(users) {
				path = "/iam/clients/"
			}
			if c.atHantera("GET", path+id, nil); c.last.status == 200 {
				want = append(want, id)
			}
		}
		for _, limit := range []int{100, 2} {
			c.identities(limit, role)
			if len(want) == 0 && slices.Contains([]string{"the graph", "nothing"}, name) {
				c.wantDenied("not_granted")
				continue
			}
			c.wantStatus(200).wantListed("identities", want[:min(limit, len(want))]...).want("/totalCount", len(want))
		}
		c.expect(name)
	}
	c.as("").identities(1).wantStatus(401)
	c.root()

	c.step("bad")
	filter := func(field, op string, value any) object {
		return object{"resource": "identity", "filters": list{object{"field": field, "op": op, "value": value}}}
	}
	for pointer, bad := range map[string]object{
		"/resource 1": {"resource": "order"}, "/resource 2": {}, "/resource 3": {"resource": "Identity"}, "/resource 4": {"resource": list{"identity"}},
		"/filters/0/field": filter("email", "contains", "x"), "/filters/0/op 1": filter("roles", "equals", "x"), "/filters/0/op 2": filter("roles", "", "x"),
		"/filters/0/value 1": filter("roles", "contains", ""), "/filters/0/value 2": filter("roles", "contains", list{"x"}), "/filters/0/value 3": filter("roles", "contains", object{"$ne": 1}),
		"/filters 1": {"resource": "identity", "filters": object{}}, "/filters 2": {"resource": "identity", "filters": nil}, "/filters/0/and": {"resource": "identity", "filters": list{object{"and": list{}}}},
		"/limit 1": {"resource": "identity", "limit": 101}, "/limit 2": {"resource": "identity", "limit": 0}, "/limit 3": {"resource": "identity", "limit": nil}, "/limit 4": {"resource": "identity", "limit": "9"},
		"/limit 5": {"resource": "identity", "limit": 1.5}, "/after": {"resource": "identity", "after": "x"}, "/delete": {"resource": "identity", "delete": true},
	} {
		at, _, _ := strings.Cut(pointer, " ")
		c.atHantera("POST", "/graph/query", bad).wantProblem(400, at)
		c.expect(pointer)
	}
	c.atHantera("POST", "/graph/query?limit=1", object{"resource": "identity"}).wantProblem(400, "")

	c.step("there is nothing that writes")
	for _, method := range []string{"GET", "PUT", "PATCH", "DELETE"} {
		c.atHantera(method, "/graph/query", nil).wantProblem(405, "").wantHeader("Allow", "POST")
	}
	for _, path := range []string{"/graph", "/graph/mutate", "/graph/query/identity"} {
		c.atHantera("POST", path, object{"resource": "identity"}).wantProblem(404, "")
	}
	c.onPublic().send("POST", "/hantera/resources/graph/query", object{"resource": "identity"}).wantProblem(404, "")
}

// one is the id, of a list, of who has a role.
func (c *scenario) one(ids []string, role string) string {
	for _, kind := range []string{"users", "applications"} {
		c.get("/v1/" + kind + "?role=" + url.QueryEscape(role)).wantStatus(200)
		for _, id := range c.items("id") {
			if slices.Contains(ids, id) {
				return id
			}
		}
	}
	c.fail("nobody has %s", role)
	return ids[0]
}
