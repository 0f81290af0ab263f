package e2e

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// TestDialectRoundTrips makes random objects natively and by each dialect that can, reads them by every other one and natively, changes by
// one dialect what it knows, and looks at all the rest: nothing is lost, ETags agree, secrets are where their dialect shows them and
// nowhere else, and each Decision-Id is that of the native call.
func TestDialectRoundTrips(t *testing.T) {
	j := travel(t)
	j.each("people", 20, (*trip).person)
	j.each("applications", 15, (*trip).application)
	j.each("roles", 10, (*trip).role)
	j.each("groups", 10, (*trip).group)
	j.each("tenants", 10, (*trip).tenant)
	j.each("trees", 4, (*trip).tree)
	j.account()
}

// person is one user.
func (p *trip) person() {
	id, native := p.newPerson()
	path := "/v1/users/" + id
	readers := func() {
		got := p.native(path, native)
		etag := p.header("ETag")
		p.say("GET", "/lerian"+path, nil, id, "GET /v1/users/{id}").tagged(etag).exactly(http.StatusOK, lerianUser(id, native, got))
		p.say("GET", "/lerian/v1/users?limit=100", nil, "", "GET /v1/users")
		p.want(p.listed("/items", "id", id), lerianUser(id, native, got))
		p.say("GET", "/hantera/resources/iam/principals/"+id, nil, id, "GET /v1/users/{id}").tagged(etag).
			having(http.StatusOK, "", hanteraPrincipal(id, native, got)).want("/eTag", strings.Trim(etag, `"`))
		p.say("GET", "/hantera/resources/iam/principals?limit=100&includeSuspended=true", nil, "", "GET /v1/users")
		p.having(http.StatusOK, p.listed("/principals", "id", id), hanteraPrincipal(id, native, got))
		p.say("GET", "/policyserver/management/administrators", nil, "", "GET /v1/users").wantStatus(http.StatusOK)
		if roles, _ := native["roles"].(list); len(roles) > 0 && roles[len(roles)-1] == psAdministrator {
			p.want(p.listed("", "subject", id), object{"subject": id, "username": native["username"]})
		} else if p.chance("an unchanged object is 304", 30) {
			p.scenario.with("If-None-Match", etag)
			p.say("GET", among(p, "reader", "/lerian"+path, "/hantera/resources/iam/principals/"+id), nil, id, "GET /v1/users/{id}").
				tagged(etag).wantStatus(http.StatusNotModified)
		}
		p.ok()
	}
	readers()
	for range rapid.IntRange(1, 3).Draw(p.rt, "changes") {
		p.changePerson(id, native)
		readers()
	}
	p.signIn(id, native)
	switch among(p, "deleted by", "", "lerian", "hantera") {
	case "lerian":
		p.say("DELETE", "/lerian"+path, nil, id, "DELETE /v1/users/{id}")
	case "hantera":
		p.say("DELETE", "/hantera/resources/iam/principals/"+id, nil, id, "DELETE /v1/users/{id}")
	default:
		p.natively("DELETE", path, nil)
	}
	p.wantStatus(http.StatusNoContent)
	p.gone([2]string{path, ""}, [2]string{"/lerian" + path, "GET /v1/users/{id}"}, [2]string{"/hantera/resources/iam/principals/" + id, "GET /v1/users/{id}"})
}

// newPerson makes a user by one of the ways, and says what it is natively.
func (p *trip) newPerson() (id string, native object) {
	name := unique("ada") + among(p, "username", "", "É", ".ß", "-ÜNÏ")
	email := unique("mail") + among(p, "email", "@example.com", "@EXAMPLE.org")
	switch among(p, "made by", "", "lerian", "hantera") {
	case "lerian":
		first, last := p.words("first name", 1), p.words("last name", 1)
		body := object{"firstName": first, "lastName": last, "email": email}
		native = object{
			"username": email, "email": email, "name": strings.TrimSpace(first + " " + last), "properties": object{"first_name": first, "last_name": last},
		}
		if p.chance("a username", 50) {
			body["username"], native["username"] = name, name
		}
		if p.chance("groups", 50) {
			body["groups"] = toList(some(p, "groups", p.groups))
			native["groups"] = body["groups"]
		}
		chosen := p.chance("a password", 30)
		if chosen {
			body["password"] = p.hidden("the chosen password", password())
		}
		p.say("POST", "/lerian/v1/users", body, "", "POST /v1/users").wantStatus(http.StatusCreated)
		id = p.text("/id")
		p.wantHeader("Location", "/lerian/v1/users/"+id)
		if !chosen {
			p.made("the temporary password", "/temporaryPassword", 1)
		}
	case "hantera":
		id = uuid()
		inner := object{"name": p.words("name", 0), "email": email}
		native = object{"username": email, "email": email, "name": inner["name"]}
		outer := object{}
		if p.chance("roles", 50) {
			outer["roles"] = toList(some(p, "roles", p.roles))
			native["roles"] = outer["roles"]
		}
		body := outer
		if p.chance("wrapped", 50) {
			properties := p.free("properties", "first_name", "phone", "settings")
			native["properties"] = properties
			body["properties"] = merge(properties, inner)
		} else {
			properties := p.partly(object{"phone": p.words("phone", 0), "picture": "https://example.com/é", "settings": p.value("settings", 2)})
			native["properties"] = properties
			body = merge(body, merge(properties, inner))
		}
		p.say("PUT", "/hantera/resources/iam/principals/"+id, body, id, "PUT /v1/users/{id}").wantStatus(http.StatusCreated)
		p.made("the temporary password", "/temporaryPassword", 1)
	default:
		native = merge(p.anyway("first_name", "last_name", "phone", "picture", "settings"), object{"username": name, "email": email})
		if p.chance("a name", 80) {
			native["name"] = p.words("name", 0)
		}
		if p.chance("the halves of the name", 30) {
			first, last := p.words("first name", 0), p.words("last name", 0)
			native["name"] = strings.TrimSpace(first + " " + last)
			native["properties"] = object{"first_name": first, "last_name": last, "team": "a"}
		}
		if p.chance("suspended", 20) {
			native["suspended_at"] = "2024-02-03T04:05:06.7Z"
		}
		body := native
		if p.chance("a known password", 80) { // hashing is not what this is about
			body = merge(native, object{"password_hash": worldHash})
		}
		p.natively("POST", "/v1/users", body).wantStatus(http.StatusCreated)
		id = p.text("/id")
		if body["password_hash"] == nil {
			p.made("the temporary password", "/temporary_password", 1)
		}
	}
	p.ok()
	return id, wholeUser(native)
}

// change is a request that changes an object by a dialect, and the native calls that it takes.
type change struct {
	method, path string
	body         any
	about        string
	routes       []string
	status       int
}

// changed makes a change of what is at a native path, for the version that is there, or first for one that is not. Asked for that one, the
// dialect makes the first of the native calls, or those that are named.
func (p *trip) changed(native string, c change, stale ...string) {
	if len(stale) == 0 {
		stale = c.routes[:1]
	}
	etag := ""
	conditional := p.chance("for a version", 40)
	if conditional {
		p.natively("GET", native, nil)
		etag = p.header("ETag")
		refused := http.StatusPreconditionFailed
		if strings.HasPrefix(c.path, "/hantera/") {
			refused = http.StatusConflict
		}
		p.scenario.with("If-Match", `"0"`)
		p.say(c.method, c.path, c.body, c.about, stale...).wantStatus(refused)
		p.ok()
		p.natively("GET", native, nil).wantHeader("ETag", etag)
		p.scenario.with("If-Match", etag)
	}
	p.say(c.method, c.path, c.body, c.about, c.routes...).wantStatus(c.status)
	if now := p.last.header.Get("ETag"); c.status == http.StatusOK {
		p.natively("GET", native, nil).wantHeader("ETag", now)
	}
	p.ok()
}

// changePerson changes by a dialect what it knows; native is what then is to be.
func (p *trip) changePerson(id string, native object) {
	lerian, hantera, administrators := "/lerian/v1/users/"+id, "/hantera/resources/iam/principals/"+id, "/policyserver/management/administrators"
	const get, put, patch = "GET /v1/users/{id}", "PUT /v1/users/{id}", "PATCH /v1/users/{id}"
	properties := maps.Clone(native["properties"].(object))
	email := unique("other") + "@example.com"
	switch among(p, "change", "lerian", "lerian name", "hantera", "hantera whole", "hantera free", "hantera roles", "administrator") {
	case "lerian":
		body := p.partly(object{"email": email, "groups": toList(some(p, "groups", p.groups))})
		maps.Copy(native, body)
		p.changed("/v1/users/"+id, change{"PATCH", lerian, body, id, []string{patch}, http.StatusOK})
	case "lerian name":
		body := p.partly(object{"firstName": p.words("first name", 0), "lastName": p.words("last name", 0)})
		routes := []string{patch}
		if len(body) > 0 {
			after := merge(lerianUser(id, native, object{}), body)
			first, last := after["firstName"].(string), after["lastName"].(string)
			native["name"] = strings.TrimSpace(first + " " + last)
			native["properties"] = merge(properties, object{"first_name": first, "last_name": last})
			routes = []string{get, patch}
		}
		p.changed("/v1/users/"+id, change{"PATCH", lerian, body, id, routes, http.StatusOK})
	case "hantera":
		body := p.partly(object{"name": p.words("name", 0), "roles": toList(some(p, "roles", p.roles)), "email": email})
		maps.Copy(native, body)
		if body["email"] != nil {
			native["username"] = email
		}
		if p.chance("rights", 30) {
			body["acl"] = object{"entries": list{object{"resource": list{"iam/principals", "ledger/a"}, "permission": list{"write", "read"}}}}
			native["grants"] = grants("iam/users:write", "iam/users:reset_password", "iam/users:read", "ledger/a:write", "ledger/a:read")
		}
		p.changed("/v1/users/"+id, change{"PUT", hantera, body, id, []string{put}, http.StatusOK})
	case "hantera whole": // as it was read, with another name
		p.say("GET", hantera, nil, id, get)
		shown, _ := at(p.last.value(), "/properties")
		name := p.words("name", 0)
		body := object{"properties": merge(shown.(object), object{"name": name}), "roles": native["roles"]}
		native["name"], native["username"] = name, native["email"]
		if len(properties) == 0 {
			p.changed("/v1/users/"+id, change{"PUT", hantera, body, id, []string{put}, http.StatusOK})
			return
		}
		// Properties without a native name are merged, once a PUT has said that the object is there; null takes one away.
		native["properties"] = withoutNulls(properties)
		p.say("PUT", hantera, body, id, put, patch).wantStatus(http.StatusOK)
		p.ok()
	case "hantera free": // flat, and some of what the properties hold
		body, routes := p.partly(object{"phone": p.words("phone", 0), "picture": p.words("picture", 0)}), []string{put}
		if len(body) > 0 {
			native["properties"], routes = merge(properties, body), []string{put, patch}
		}
		p.say("PUT", hantera, body, id, routes...).wantStatus(http.StatusOK)
		p.ok()
	case "hantera roles":
		roles := toList(some(p, "roles", p.roles))
		native["roles"] = roles
		body := among[any](p, "the list", roles, object{"roles": roles})
		p.changed("/v1/users/"+id, change{"PUT", hantera + "/roles", body, id, []string{patch}, http.StatusOK})
	case "administrator":
		roles := native["roles"].(list)
		if len(roles) > 0 && roles[len(roles)-1] == psAdministrator {
			native["roles"] = append(list{}, roles[:len(roles)-1]...)
			p.say("DELETE", administrators+"/"+id, nil, id, get, patch).wantStatus(http.StatusNoContent)
		} else {
			native["roles"] = append(append(list{}, roles...), psAdministrator)
			p.say("POST", administrators, object{"subject": id}, id, get, patch).wantStatus(http.StatusCreated).
				want("", object{"subject": id, "username": native["username"]})
		}
		p.ok()
	}
}

// signIn lets a person whose password is known sign in by each dialect that people sign in with, and look at itself.
func (p *trip) signIn(id string, native object) {
	path := "/v1/users/" + id
	if !p.chance("signs in", 20) {
		return
	}
	p.natively("PATCH", path, object{"suspended_at": nil, "not_before": nil, "not_after": nil, "addresses": nil, "tenant": nil, "grants": grants("jobs:read@*", "content:write@"+p.tenants[0])}).
		wantStatus(http.StatusOK)
	native["grants"] = grants("jobs:read@*", "content:write@"+p.tenants[0])
	for _, name := range []string{"suspended_at", "not_before", "not_after", "addresses", "tenant"} {
		delete(native, name)
	}
	chosen := p.hidden("the password of a reset", password())
	p.say("PATCH", "/lerian"+path+"/reset-password", object{"newPassword": chosen}, id, "POST /v1/users/{id}/password/reset").
		wantStatus(http.StatusNoContent)
	p.say("POST", "/hantera/resources/iam/principals/"+id+"/password/reset", nil, id, "POST /v1/users/{id}/password/reset").wantStatus(http.StatusOK)
	temporary := p.made("the password of a reset", "/temporaryPassword", 1)
	p.as("")
	p.say("POST", "/lerian/v1/login/oauth/access_token", object{"grantType": "password", "username": native["username"], "password": temporary}, "",
		"POST /oauth2/token").wantStatus(http.StatusOK)
	next := p.hidden("the own password", password())
	p.as(bearer(p.made("a token", "/accessToken", 2)))
	p.say("PATCH", "/lerian"+path+"/update-password", object{"oldPassword": temporary, "newPassword": next}, "", "POST /v1/me/password").
		wantStatus(http.StatusNoContent)
	p.as("")
	login := fields("grant_type", "password", "username", native["username"].(string), "password", next)
	switch among(p, "signs in by", "lerian", "rustici", "hantera") {
	case "lerian":
		p.say("POST", "/lerian/v1/login/oauth/access_token", object{"grantType": "password", "username": native["username"], "password": next}, "",
			"POST /oauth2/token").wantStatus(http.StatusOK)
		p.made("a refresh token", "/refreshToken", 1)
		p.as(bearer(p.made("a token", "/accessToken", 2)))
	case "rustici":
		p.say("POST", "/rustici/api/v1/login/access_token", login, "", "POST /oauth2/token").wantStatus(http.StatusOK)
		p.made("a refresh token", "/refresh_token", 1)
		p.as(bearer(p.made("a token", "/access_token", 1)))
	case "hantera":
		p.scenario.with("Authorization", basic(p.front().ID, p.front().Secret))
		p.say("POST", "/hantera/oauth/token", login, "", "POST /oauth2/token").wantStatus(http.StatusOK)
		p.as(bearer(p.made("a token", "/access_token", 1)))
	}
	p.say("GET", "/rustici/api/v1/credentials/me", nil, id, "GET /v1/me").exactly(http.StatusOK, p.rusticiCredential(id, native))
	p.as(p.rootAuth)
	p.native(path, native)
}

// application is one application: a client, a credential.
func (p *trip) application() {
	id, native, secret := p.newApplication()
	path := "/v1/applications/" + id
	hantera, rustici := "/hantera/resources/iam/clients/"+id, "/rustici/api/v1/credentials/"+id
	const get, list = "GET /v1/applications/{id}", "GET /v1/applications"
	readers := func() {
		got := p.native(path, native)
		etag := p.header("ETag")
		p.readByLerian(id, native, got, secret)
		p.say("GET", "/lerian/v1/applications?limit=100", nil, "", list)
		p.want(p.listed("/items", "id", id), lerianApplication(id, native, got, "********"))
		p.say("GET", hantera, nil, id, get).tagged(etag).having(http.StatusOK, "", hanteraClient(id, native, got)).want("/eTag", strings.Trim(etag, `"`))
		p.say("GET", "/hantera/resources/iam/clients?limit=100", nil, "", list)
		p.having(http.StatusOK, p.listed("/clients", "id", id), hanteraClient(id, native, got))
		p.say("GET", rustici, nil, id, get).tagged(etag).exactly(http.StatusOK, p.rusticiCredential(id, native))
		p.say("GET", "/rustici/api/v1/credentials?limit=100", nil, "", list)
		p.want(p.listed("/items", "id", id), p.rusticiCredential(id, native))
		p.ok()
	}
	readers()
	for range rapid.IntRange(1, 3).Draw(p.rt, "changes") {
		secret = p.changeApplication(id, native, secret)
		readers()
	}
	p.tokens(id, native, secret)
	switch by := among(p, "deleted by", "", "lerian", "hantera", "rustici"); {
	case by == "rustici" && native["is_active"] == false:
		p.say("DELETE", rustici, nil, id, "DELETE /v1/applications/{id}")
	case by == "hantera":
		p.say("DELETE", hantera, nil, id, "DELETE /v1/applications/{id}")
	case by == "lerian":
		p.say("DELETE", "/lerian"+path, nil, id, "DELETE /v1/applications/{id}")
	default:
		p.natively("DELETE", path, nil)
	}
	p.wantStatus(http.StatusNoContent)
	p.gone([2]string{path, ""}, [2]string{"/lerian" + path, get}, [2]string{hantera, get}, [2]string{rustici, get})
}

// readByLerian reads an application as somebody to whom secrets are revealed, and as root, to whom they are not.
func (p *trip) readByLerian(id string, native, got object, secret string) {
	path := "/lerian/v1/applications/" + id
	etag := p.last.header.Get("ETag")
	const get, secrets, reveal = "GET /v1/applications/{id}", "GET /v1/applications/{id}/secrets", "POST /v1/applications/{id}/secrets/{sid}/reveal"
	shown, routes := "********", []string{get, secrets}
	if secret != "" && native["retrievable"] == true {
		routes = append(routes, reveal)
	}
	p.say("GET", path, nil, id, routes...).tagged(etag).exactly(http.StatusOK, lerianApplication(id, native, got, shown))
	if p.chance("a fresh login", 30) {
		if p.revealed%8 == 0 {
			p.boss = user{Username: unique("boss"), Password: p.hidden("the password of an administrator", password())}
			p.natively("POST", "/v1/users", object{
				"username": p.boss.Username, "email": p.boss.Username + "@example.com", "password": p.boss.Password, "roles": toList([]string{"system:owner"}),
			}).wantStatus(http.StatusCreated)
		}
		p.revealed++
		p.scenario.with("Authorization", basic(p.front().ID, p.front().Secret))
		p.natively("POST", "/oauth2/token", fields("grant_type", "password", "username", p.boss.Username, "password", p.boss.Password))
		p.as(bearer(p.made("a token", "/access_token", 1)))
		if len(routes) == 3 {
			shown = secret
			p.may(secret, 1)
		}
		p.say("GET", path, nil, id, routes...).tagged(etag).exactly(http.StatusOK, lerianApplication(id, native, got, shown))
		p.as(p.rootAuth)
	}
}

// newApplication makes an application by one of the ways, and says what it is natively and which secret it has.
func (p *trip) newApplication() (id string, native object, secret string) {
	const put = "PUT /v1/applications/{id}"
	switch among(p, "made by", "", "", "lerian", "hantera", "rustici") {
	case "lerian":
		name, description := among(p, "product", p.products...), p.words("description", 1)
		native = object{"name": name, "description": description, "token_signing_alg": "RS256", "roles": list{"lerian:" + name}}
		p.say("POST", "/lerian/v1/applications", object{"name": name, "description": description}, "", "POST /v1/applications").
			wantStatus(http.StatusCreated)
		id = p.text("/clientId")
		secret = p.made("the secret", "/clientSecret", 1)
	case "hantera":
		id = unique("client")
		inner := merge(p.partly(object{
			"description": p.words("description", 0), "redirectUris": list{"myapp://callback", "https://example.com/é?a=b&c"},
			"grantTypes": toList(some(p, "grant types", []string{"client_credentials", "password", "refresh_token"})),
		}), object{"name": p.words("name", 1)})
		outer := p.partly(object{
			"roles": toList(some(p, "roles", p.roles)), "scopes": list{"ledger:read", "jobs:*"}, "tokenEndpointAuthMethod": "client_secret_basic",
			"acl": object{"entries": list{object{"resource": "iam/clients", "permission": list{"read", "write"}}}},
		})
		native = object{}
		for from, to := range map[string]string{
			"name": "name", "description": "description", "redirectUris": "redirect_uris", "grantTypes": "grant_types", "roles": "roles",
			"scopes": "scopes", "tokenEndpointAuthMethod": "token_endpoint_auth_method",
		} {
			if value, ok := merge(inner, outer)[from]; ok {
				native[to] = value
			}
		}
		if outer["acl"] != nil {
			native["grants"] = grants("iam/applications:read", "iam/applications:write", "iam/applications:write_scopes")
		}
		body := merge(inner, outer)
		if p.chance("wrapped", 50) {
			properties := p.free("properties", "phone")
			native["properties"] = properties
			body = merge(outer, object{"properties": merge(properties, inner)})
		}
		p.say("PUT", "/hantera/resources/iam/clients/"+id, body, id, put).wantStatus(http.StatusCreated)
		secret = p.made("the secret", "/secret/value", 1)
	case "rustici":
		id = unique("cred")
		everywhere, inOne := some(p, "scopes", rusticiNames()), some(p, "rights in a tenant", rusticiNames())
		native = object{
			"name": id, "scopes": list{"*:*"}, "retrievable": false,
			"grants": append(rusticiGrants(everywhere, "*"), rusticiGrants(inOne, p.tenants[0])...),
		}
		body := object{
			"id": id, "password": p.hidden("the password", password()), "scopes": pairs(everywhere...),
			"tenants": object{p.tenants[0]: pairs(inOne...)},
		}
		if p.chance("says whether it is active", 50) {
			native["is_active"] = rapid.Bool().Draw(p.rt, "active")
			body["is_active"] = native["is_active"]
		}
		query := ""
		if p.chance("of a tenant", 30) {
			native["tenant"], query = p.tenants[1], "?tenant="+p.tenants[1]
		}
		p.say("POST", "/rustici/api/v1/credentials"+query, body, id, put).wantStatus(http.StatusCreated).
			wantHeader("Location", "/rustici/api/v1/credentials/"+id)
	default:
		id = unique("app")
		native = merge(p.anyway(), merge(p.partly(object{
			"description": p.words("description", 0), "scopes": list{"ledger:read", "jobs:*", "iam:*"}, "audiences": list{"urn:elsewhere"},
			"grant_types": toList(some(p, "grant types", []string{"client_credentials", "password", "refresh_token"})), "serves": list{"urn:" + id},
			"token_endpoint_auth_method": among(p, "method", "client_secret_basic", "client_secret_post"), "token_format": "opaque",
			"token_signing_alg": "EdDSA", "token_lifetime": 600, "refresh_rotation": false, "redirect_uris": list{"https://example.com/back"},
			"is_active": rapid.Bool().Draw(p.rt, "active"), "retrievable": rapid.Bool().Draw(p.rt, "retrievable"),
		}), object{"name": p.words("name", 1)}))
		p.natively("PUT", "/v1/applications/"+id, native).wantStatus(http.StatusCreated)
		secret = p.made("the secret", "/secret/value", 1)
	}
	p.ok()
	return id, wholeApplication(native), secret
}

// rusticiNames are all rights of the table.
func rusticiNames() (names []string) {
	for _, row := range rusticiRights() {
		names = append(names, row[0])
	}
	return names
}

// changeApplication changes by a dialect what it knows, and returns the newest secret, if it is one that the server made.
func (p *trip) changeApplication(id string, native object, secret string) string {
	path, hantera, rustici := "/v1/applications/"+id, "/hantera/resources/iam/clients/"+id, "/rustici/api/v1/credentials/"+id
	const put, patch, made = "PUT /v1/applications/{id}", "PATCH /v1/applications/{id}", "POST /v1/applications/{id}/secrets"
	switch among(p, "change", "hantera", "hantera roles", "hantera secret", "secret", "rustici active", "rustici rights", "rustici password") {
	case "hantera":
		body := p.partly(object{
			"name": p.words("name", 1), "description": p.words("description", 0), "roles": toList(some(p, "roles", p.roles)),
			"redirectUris": list{"https://example.com/other"}, "grantTypes": list{"client_credentials"}, "scopes": list{"jobs:read"},
		})
		for from, to := range map[string]string{
			"name": "name", "description": "description", "redirectUris": "redirect_uris", "grantTypes": "grant_types", "roles": "roles", "scopes": "scopes",
		} {
			if value, ok := body[from]; ok {
				native[to] = value
			}
		}
		p.changed(path, change{"PUT", hantera, body, id, []string{put}, http.StatusOK})
	case "hantera roles":
		native["roles"] = toList(some(p, "roles", p.roles))
		p.changed(path, change{"PUT", hantera + "/roles", object{"roles": native["roles"]}, id, []string{patch}, http.StatusOK})
	case "hantera secret":
		p.say("POST", hantera+"/secrets", object{"label": "blue"}, id, made).wantStatus(http.StatusCreated).want("/label", "blue")
		return p.made("another secret", "/value", 1)
	case "secret":
		p.natively("POST", path+"/secrets", object{"label": "green"}).wantStatus(http.StatusCreated)
		return p.made("another secret", "/value", 1)
	case "rustici active":
		native["is_active"] = !native["is_active"].(bool)
		p.changed(path, change{"PUT", rustici, object{"id": id, "is_active": native["is_active"]}, id, []string{patch}, http.StatusOK})
	case "rustici rights":
		everywhere, inOne := some(p, "scopes", rusticiNames()), some(p, "rights in a tenant", rusticiNames())
		native["grants"] = append(rusticiGrants(everywhere, "*"), rusticiGrants(inOne, p.tenants[1])...)
		body := object{"scopes": pairs(everywhere...), "tenants": object{p.tenants[1]: pairs(inOne...)}}
		p.changed(path, change{"PUT", rustici, body, id, []string{patch}, http.StatusOK})
	case "rustici password":
		chosen := p.hidden("the password", password())
		p.changed(path, change{"PUT", rustici, object{"password": chosen}, id, []string{patch}, http.StatusOK})
		return ""
	}
	p.ok()
	return secret
}

// tokens asks for a token natively and by every dialect: each is for the same rights, and in its own reply alone.
func (p *trip) tokens(id string, native object, secret string) {
	if secret == "" || !p.chance("asks for tokens", 50) {
		return
	}
	path := "/v1/applications/" + id
	p.natively("PATCH", path, object{
		"is_active": true, "not_before": nil, "not_after": nil, "addresses": nil, "grant_types": list{"client_credentials"}, "token_endpoint_auth_method": nil,
		"tenant": p.tenants[0], "audiences": nil, "token_format": nil,
	}).wantStatus(http.StatusOK)
	native["is_active"] = true
	p.as("")
	form := fields("grant_type", "client_credentials", "client_id", id, "client_secret", secret)
	p.natively("POST", "/oauth2/token", form).wantStatus(http.StatusOK)
	claims := p.claims(p.made("a token", "/access_token", 1))
	scope, _ := claims["scope"].(string)
	same := func(dialect, pointer string, times int) {
		p.wantStatus(http.StatusOK)
		token := p.made("a token of "+dialect, pointer, times)
		got := p.claims(token)
		for _, name := range []string{"sub", "client_id", "scope", "tenant", "iss"} {
			if got[name] != claims[name] {
				p.fail("the token of %s has %s %v, natively %v", dialect, name, got[name], claims[name])
			}
		}
		p.ok()
	}
	p.say("POST", "/lerian/v1/login/oauth/access_token", object{"grantType": "client_credentials", "clientId": id, "clientSecret": secret}, "",
		"POST /oauth2/token").want("/scope", scope)
	same("lerian", "/accessToken", 1)
	p.say("POST", "/miniorange/pam/apps/autheticate/oauth/token-generation/", object{
		"grant_type": "client_credentials", "client_id": id, "client_secret": secret, "customer": p.tenants[0],
	}, "", "POST /oauth2/token").want("/scope", scope)
	same("miniorange", "/access_token", 1)
	p.say("POST", "/policyserver/connect/token", form, "", "POST /connect/token").want("/scope", scope)
	same("policyserver", "/access_token", 1)
	p.say("POST", "/rustici/api/v1/login/access_token", form, "", "POST /oauth2/token").want("/scope", scope)
	same("rustici", "/access_token", 1)
	var renamed []string
	for _, permission := range hanteraScopes(toList(strings.Fields(scope))).(list) {
		renamed = append(renamed, permission.(string))
	}
	p.say("POST", "/hantera/oauth/token", form, "", "POST /oauth2/token").want("/scope", strings.Join(renamed, " "))
	same("hantera", "/access_token", 1)
	p.as(p.rootAuth)
}

// role is one role.
func (p *trip) role() {
	key := "trip:" + unique("role")
	path, hantera := "/v1/roles/"+key, "/hantera/resources/iam/roles/"+key
	native := object{"description": p.words("description", 0)}
	if p.chance("made by hantera", 40) {
		native["grants"] = grants("iam/users:write", "iam/users:reset_password", "ledger/a:read")
		p.say("PUT", hantera, object{"key": key, "description": native["description"], "acl": object{"entries": list{
			object{"resource": "iam/principals", "permission": "write"}, object{"resource": list{"ledger/a"}, "permission": list{"read"}},
		}}}, key, "PUT /v1/roles/{key}")
	} else {
		native = merge(native, p.partly(object{"grants": p.rights("grants"), "inherits": toList(some(p, "inherits", p.roles))}))
		p.natively("PUT", path, native)
	}
	p.wantStatus(http.StatusCreated)
	native = merge(object{"grants": list{}, "inherits": list{}, "protected": false}, native)
	readers := func() {
		p.native(path, native)
		etag := p.header("ETag")
		shown := object{"key": key, "description": native["description"], "acl": object{"entries": hanteraEntries(native["grants"])}}
		p.say("GET", hantera, nil, key, "GET /v1/roles/{key}").tagged(etag).having(http.StatusOK, "", shown).want("/eTag", strings.Trim(etag, `"`))
		p.say("GET", "/hantera/resources/iam/roles?limit=100", nil, "", "GET /v1/roles")
		p.having(http.StatusOK, p.listed("/roles", "key", key), shown)
	}
	readers()
	body := p.partly(object{"description": p.words("description", 0), "acl": object{"entries": list{object{"resource": "iam/clients", "permission": "write"}}}})
	if body["description"] != nil {
		native["description"] = body["description"]
	}
	if body["acl"] != nil {
		native["grants"] = grants("iam/applications:write", "iam/applications:write_scopes")
	}
	p.changed(path, change{"PUT", hantera, body, key, []string{"PUT /v1/roles/{key}"}, http.StatusOK})
	readers()
	p.say("DELETE", hantera, nil, key, "DELETE /v1/roles/{key}").wantStatus(http.StatusNoContent)
	p.gone([2]string{path, ""}, [2]string{hantera, "GET /v1/roles/{key}"})
}

// group is one group with members.
func (p *trip) group() {
	id := unique("group")
	path := "/v1/groups/" + id
	native := object{"name": p.words("name", 1), "roles": toList(some(p, "roles", p.roles))}
	native = merge(native, p.partly(object{"description": p.words("description", 0), "tenant": p.tenants[0]}))
	p.natively("PUT", path, native).wantStatus(http.StatusCreated)
	native = merge(object{"description": "", "protected": false}, native)
	members := list{}
	for range rapid.IntRange(0, 3).Draw(p.rt, "members") {
		name := unique("member")
		p.natively("POST", "/v1/users", object{"username": name, "email": name + "@example.com", "groups": list{id}, "password_hash": worldHash})
		members = append(members, p.text("/id"))
	}
	got := p.native(path, native)
	etag := p.header("ETag")
	shown := object{"id": id, "name": native["name"], "createdAt": got["created_at"], "users": members}
	p.say("GET", "/lerian"+path, nil, id, "GET /v1/groups/{id}", "GET /v1/users").tagged(etag).exactly(http.StatusOK, shown)
	p.natively("GET", "/v1/groups?limit=100", nil)
	routes := []string{"GET /v1/groups"}
	for range p.items("id") {
		routes = append(routes, "GET /v1/users")
	}
	p.say("GET", "/lerian/v1/groups?limit=100", nil, "", routes...)
	p.want(p.listed("/items", "id", id), shown)
	for _, member := range members {
		p.natively("DELETE", "/v1/users/"+member.(string), nil)
	}
	p.natively("DELETE", path, nil).wantStatus(http.StatusNoContent)
	p.gone([2]string{path, ""}, [2]string{"/lerian" + path, "GET /v1/groups/{id}"})
}

// tenant is one tenant.
func (p *trip) tenant() {
	id := unique("tenant")
	path, rustici, policyserver := "/v1/tenants/"+id, "/rustici/api/v1/app_management/tenants", "/policyserver/management/tenants"
	const get, put, patch, remove = "GET /v1/tenants/{id}", "PUT /v1/tenants/{id}", "PATCH /v1/tenants/{id}", "DELETE /v1/tenants/{id}"
	native := object{"name": id, "enabled": true, "protected": false}
	said := p.partly(object{"enabled": rapid.Bool().Draw(p.rt, "enabled")})
	switch among(p, "made by", "", "rustici", "policyserver") {
	case "rustici":
		p.say("POST", rustici, merge(said, object{"id": id}), id, put)
	case "policyserver":
		said = merge(said, p.partly(object{"name": p.words("name", 1)}))
		p.say("POST", policyserver, merge(said, object{"id": id}), id, put).wantHeader("Location", policyserver+"/"+id)
	default:
		said = merge(said, merge(object{"name": p.words("name", 1)}, p.partly(object{"addresses": list{"192.0.2.0/24"}})))
		p.natively("PUT", path, said)
	}
	p.wantStatus(http.StatusCreated)
	maps.Copy(native, said)
	readers := func() {
		p.native(path, native)
		etag := p.header("ETag")
		short, long := object{"id": id, "enabled": native["enabled"]}, object{"id": id, "enabled": native["enabled"], "name": native["name"]}
		p.say("GET", rustici+"/"+id, nil, id, get).tagged(etag).exactly(http.StatusOK, short)
		p.say("GET", rustici+"?limit=100", nil, "", "GET /v1/tenants")
		p.want(p.listed("/items", "id", id), short)
		p.say("GET", policyserver+"/"+id, nil, id, get).tagged(etag).exactly(http.StatusOK, long)
		p.say("GET", policyserver, nil, "", "GET /v1/tenants")
		p.want(p.listed("", "id", id), long)
	}
	readers()
	body := p.partly(object{"enabled": rapid.Bool().Draw(p.rt, "enabled"), "name": p.words("name", 1)})
	by := among(p, "changed by", rustici, policyserver)
	if by == rustici {
		delete(body, "name")
	}
	maps.Copy(native, body)
	p.changed(path, change{"PUT", by + "/" + id, body, id, []string{patch}, http.StatusOK})
	readers()
	p.natively("PATCH", path, object{"enabled": true})
	by = among(p, "deleted by", rustici, policyserver)
	p.say("DELETE", by+"/"+id, nil, id, remove).wantStatus(http.StatusNoContent)
	p.gone([2]string{path, ""}, [2]string{rustici + "/" + id, get}, [2]string{policyserver + "/" + id, get})
}

// node is a node of the tree of policies as its document has it: sets of names, some of them taken out.
func (p *trip) node() object {
	roles, permissions := object{}, object{}
	for _, name := range some(p, "roles", []string{"boss", "clerk", "Lead.2"}) {
		role := object{}
		for _, kind := range some(p, "members", []string{"subjects", "identity_roles"}) {
			role[kind] = p.set(kind, "ada", "issuer:clerk", "dé/x ~y")
		}
		if p.chance("claims", 40) {
			role["claims"] = object{"team": p.set("values", "sales", "R&D")}
		}
		roles[name] = role
	}
	if len(roles) > 0 {
		for _, name := range some(p, "permissions", []string{"see", "fire"}) {
			permissions[name] = p.set("holders", slices.Sorted(maps.Keys(roles))...)
		}
	}
	return filled(object{"roles": roles, "permissions": permissions})
}

func (p *trip) set(label string, names ...string) object {
	o := object{}
	for _, name := range some(p, label, names) {
		o[name] = !p.chance("taken out", 20)
	}
	if len(o) == 0 {
		o[names[0]] = true
	}
	return o
}

// filled leaves out what is empty.
func filled(o object) object {
	maps.DeleteFunc(o, func(_ string, value any) bool { inner, ok := value.(object); return ok && len(inner) == 0 })
	return o
}

// names are those of a set that are not taken out.
func names(set any) list {
	o, _ := set.(object)
	out := list{}
	for _, name := range slices.Sorted(maps.Keys(o)) {
		if o[name] == true {
			out = append(out, name)
		}
	}
	return out
}

// tree is the document of the tree of policies, which policyserver shows by parts and edits.
func (p *trip) tree() {
	const document, management = "/v1/policy-data/apps/policytree/nodes", "/policyserver/management"
	const get, put = "GET /v1/policy-data/{path...}", "PUT /v1/policy-data/{path...}"
	native := object{"firm": p.node()}
	for _, path := range some(p, "paths", []string{"firm/sales", "firm/Audit.1", "other"}) {
		native[path] = p.node()
	}
	p.natively("PUT", document, native)
	if p.err == nil && p.last.status/100 != 2 {
		p.fail("the document is refused")
	}
	read := func(path string, etag string, want any) {
		p.say("GET", management+path, nil, "", get).tagged(etag).exactly(http.StatusOK, want)
	}
	policy := func(path string) object {
		parts := strings.Split(path, "/")
		o := object{"id": strings.ReplaceAll(path, "/", "~"), "name": parts[len(parts)-1], "path": path}
		if len(parts) > 1 {
			o["parentId"] = strings.Join(parts[:len(parts)-1], "~")
		}
		return o
	}
	readers := func() {
		p.natively("GET", document, nil).want("", native)
		etag := p.header("ETag")
		below := map[string]list{"": {}}
		for _, path := range slices.Sorted(maps.Keys(native)) {
			parent, _ := policy(path)["parentId"].(string)
			below[parent] = append(below[parent], policy(path))
		}
		read("/policies", etag, below[""])
		for path, node := range native {
			id, roles, permissions := policy(path)["id"].(string), list{}, list{}
			held, _ := node.(object)["roles"].(object)
			for _, name := range slices.Sorted(maps.Keys(held)) {
				role := held[name].(object)
				claims := object{}
				for claim, values := range inner(role, "claims") {
					claims[claim] = names(values)
				}
				shown := object{
					"id": id + ":" + name, "policyId": id, "name": name, "subjects": names(role["subjects"]),
					"identityRoles": names(role["identity_roles"]), "claims": claims,
				}
				roles = append(roles, shown)
				read("/roles/"+id+":"+name, etag, shown)
			}
			for _, name := range slices.Sorted(maps.Keys(inner(node.(object), "permissions"))) {
				shown := object{
					"id": id + ":" + name, "policyId": id, "name": name, "roles": names(inner(node.(object), "permissions")[name]),
				}
				permissions = append(permissions, shown)
				read("/permissions/"+id+":"+name, etag, shown)
			}
			read("/policies/"+id, etag, policy(path))
			read("/policies/"+id+"/policies", etag, append(list{}, below[id]...))
			read("/policies/"+id+"/roles", etag, roles)
			read("/policies/"+id+"/permissions", etag, permissions)
		}
	}
	readers()

	firm := native["firm"].(object)
	switch among(p, "change", "policy", "role", "within a role") {
	case "policy":
		p.say("POST", management+"/policies/firm/policies", object{"name": "new"}, "", get, put).wantStatus(http.StatusCreated)
		native["firm/new"] = object{}
	case "role":
		body := object{"name": "fresh", "subjects": list{"ada"}, "claims": object{"team": list{"sales"}}}
		p.say("POST", management+"/policies/firm/roles", body, "", get, put).wantStatus(http.StatusCreated)
		firm["roles"] = merge(inner(firm, "roles"), object{"fresh": object{"subjects": object{"ada": true}, "claims": object{"team": object{"sales": true}}}})
	case "within a role":
		boss, there := inner(firm, "roles")["boss"].(object)
		if !there {
			p.say("POST", management+"/policies/firm/roles", object{"name": "boss"}, "", get, put).wantStatus(http.StatusCreated)
			boss = object{}
			firm["roles"] = merge(inner(firm, "roles"), object{"boss": boss})
			readers()
		}
		switch among(p, "which", "identityRoles", "subject", "permission") {
		case "identityRoles":
			p.changed(document, change{"PUT", management + "/roles/firm:boss", object{"identityRoles": list{"issuer:boss"}}, "", []string{get, put}, http.StatusOK}, get, put)
			boss["identity_roles"] = object{"issuer:boss": true}
		case "subject":
			p.say("POST", management+"/roles/firm:boss/subjects", object{"subject": "grace/é"}, "", get, put).wantStatus(http.StatusCreated)
			boss["subjects"] = merge(inner(boss, "subjects"), object{"grace/é": true})
		case "permission":
			p.say("POST", management+"/policies/firm/permissions", object{"name": "hire", "roles": list{"boss"}}, "", get, put).wantStatus(http.StatusCreated)
			firm["permissions"] = merge(inner(firm, "permissions"), object{"hire": object{"boss": true}})
		}
	}
	p.ok()
	readers()
}

// inner is a member that is an object, or an empty one.
func inner(o object, name string) object {
	found, ok := o[name].(object)
	if !ok {
		return object{}
	}
	return found
}

// TestDialectRoundTripOfNumbersThatNoFloatHolds: free properties come back by a dialect as they were sent.
func TestDialectRoundTripOfNumbersThatNoFloatHolds(t *testing.T) {
	c := story(t, spoken(t)).root()
	body := `{"a": 12345678901234567890, "b": 1.50, "c": 1e400}`
	kept := reply{body: []byte(body)}.value()
	u := c.newUser(object{"properties": json.RawMessage(body)})
	c.atHantera("GET", "/iam/principals/"+u.ID, nil).wantStatus(http.StatusOK)
	shown, _ := at(c.last.value(), "/properties")
	c.atHantera("PUT", "/iam/principals/"+u.ID, object{"properties": shown}).wantStatus(http.StatusOK)
	c.get("/v1/users/"+u.ID).want("/properties", kept)
}

// TestDialectRoundTripOfANameThatIsChangedElsewhere: what lerian keeps of a name counts as long as it makes up the name, whatever its owner
// puts in its place.
func TestDialectRoundTripOfANameThatIsChangedElsewhere(t *testing.T) {
	l := speakLerian(t)
	l.root()
	email := unique("grace") + "@example.com"
	l.identity("POST", "/v1/users", object{"firstName": "Grace Brewster", "lastName": "Murray Hopper", "email": email}).wantStatus(http.StatusCreated)
	canary(l.text("/temporaryPassword"))
	path := "/v1/users/" + l.text("/id")
	l.identity("GET", path, nil).want("/firstName", "Grace Brewster").want("/lastName", "Murray Hopper")
	l.patch(path, object{"name": "Grace Hopper"}).wantStatus(http.StatusOK)
	l.identity("GET", path, nil).want("/firstName", "Grace").want("/lastName", "Hopper")
	l.identity("PATCH", path, object{"lastName": "Murray Hopper"}).want("/firstName", "Grace").want("/lastName", "Murray Hopper")
	l.get(path).want("/name", "Grace Murray Hopper").want("/properties", object{"first_name": "Grace", "last_name": "Murray Hopper"})
	l.patch(path, object{"properties": object{"first_name": json.Number("1e400"), "last_name": list{}}}).wantStatus(http.StatusOK)
	l.identity("GET", path, nil).wantStatus(http.StatusOK).want("/firstName", "Grace Murray").want("/lastName", "Hopper")
	l.identity("GET", "/v1/users?limit=100", nil).wantStatus(http.StatusOK)
}
