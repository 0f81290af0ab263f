package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const pamToken = "/miniorange//pam/apps/autheticate/oauth/token-generation/"

// pam is a server that speaks as miniOrange PAM does.
func pam(t *testing.T, o Options) *Server {
	t.Helper()
	env := map[string]string{"WRIT_DIALECTS_MINIORANGE_ENABLED": "true"}
	for name, value := range o.Env {
		env[name] = value
	}
	o.Env = env
	return fresh(t, o)
}

// pamRequest is a token request as the document has it.
func pamRequest(a app, customer any) object {
	return object{"grant_type": "client_credentials", "client_id": a.ID, "client_secret": a.Secret, "customer": customer}
}

// pamApp creates a client credential of a customer that holds capabilities, as permissions.
func (c *scenario) pamApp(customer string, permissions ...string) app {
	if c.err == nil {
		c.put("/v1/tenants/"+customer, object{"name": customer, "enabled": true})
	}
	held := list{}
	for _, p := range permissions {
		held = append(held, p)
	}
	a := c.newApp(object{"tenant": customer, "scopes": held, "grants": func() list {
		all := list{}
		for _, p := range permissions {
			all = append(all, grants(p+"@"+customer)...)
		}
		return all
	}()})
	return a
}

// pamToken is a token by the dialect.
func (c *scenario) pamToken(a app, customer any) string {
	was := c.auth
	defer func() { c.auth = was }()
	c.as("").onPublic().post(pamToken, pamRequest(a, customer)).wantStatus(200)
	return canary(c.text("/access_token"))
}

// TestDialectM09TheSSHKeyIsNotDeleted: the two default credentials come from the bootstrap file, and one of them stays.
func TestDialectM09TheSSHKeyIsNotDeleted(t *testing.T) {
	file := filepath.Join(t.TempDir(), "bootstrap.yaml")
	write(t, file, "applications:\n  - {id: default-client-credential, name: Default Client Credential, grant_types: [client_credentials]}\n"+
		"  - {id: mo-ssh-microservice-communication-key, name: mo-ssh-microservice-communication-key, grant_types: [client_credentials], protected: true}\n")
	if err := os.Chmod(file, 0o600); err != nil {
		t.Fatal(err)
	}
	c := story(t, pam(t, Options{Env: map[string]string{"WRIT_BOOTSTRAP_FILE": file}})).root()
	const key, other = "mo-ssh-microservice-communication-key", "default-client-credential"
	c.delete("/v1/applications/"+key).wantRefused(403, "system_protected")
	c.post("/v1/applications/bulk-delete", object{"ids": list{other, key}}).wantRefused(403, "system_protected").wantNaming(key)
	c.owner().delete("/v1/applications/"+key).wantRefused(403, "system_protected")
	for _, id := range []string{key, other} {
		c.get("/v1/applications/" + id).wantStatus(200)
	}
	c.delete("/v1/applications/" + other).wantStatus(204)
}

// TestDialectM11TheTokenReply has what the document says of it, and what OAuth demands.
func TestDialectM11TheTokenReply(t *testing.T) {
	c := story(t, pam(t, Options{})).root()
	a := c.pamApp("10001", "users/user:view")
	short := c.newApp(object{"tenant": "10001", "token_lifetime": 90})
	c.as("").onPublic().post(pamToken, pamRequest(a, "10001")).wantStatus(200).want("/token_type", "Bearer").want("/expires_in", 3600).
		want("/expires_in_minutes", 60).want("/scope", "users/user:view").wantAbsent("/refresh_token").wantHeader("Cache-Control", "no-store").
		wantHeader("Pragma", "no-cache")
	c.header("Decision-Id")
	token := c.text("/access_token")
	c.live(token)
	c.onPublic().post(pamToken, pamRequest(short, "10001")).wantStatus(200).want("/expires_in", 90).want("/expires_in_minutes", 1)

	good := pamRequest(a, "10001")
	for name, row := range map[string]struct {
		body   any
		status int
		code   string
	}{
		"another grant type":  {merge(good, object{"grant_type": "password"}), 400, "unsupported_grant_type"},
		"implicit":            {merge(good, object{"grant_type": "implicit"}), 400, "unsupported_grant_type"},
		"no grant type":       {without(good, "grant_type"), 400, "invalid_request"},
		"no client_id":        {without(good, "client_id"), 400, "invalid_request"},
		"no client_secret":    {without(good, "client_secret"), 400, "invalid_request"},
		"no customer":         {without(good, "customer"), 400, "invalid_request"},
		"an unknown member":   {merge(good, object{"scope": "a:b"}), 400, "invalid_request"},
		"a member in a list":  {merge(good, object{"client_id": list{a.ID}}), 400, "invalid_request"},
		"a member that nests": {merge(good, object{"client_secret": object{"$ne": ""}}), 400, "invalid_request"},
		"a member twice":      {`{"grant_type":"client_credentials","client_id":"a","client_id":"b","client_secret":"c","customer":"d"}`, 400, "invalid_request"},
		"a form":              {fields("grant_type", "client_credentials"), 400, "invalid_request"},
		"no JSON":             {"{", 400, "invalid_request"},
		"an unknown client":   {merge(good, object{"client_id": "nobody"}), 401, "invalid_client"},
	} {
		c.onPublic().post(pamToken, row.body).wantStatus(row.status).want("/error", row.code)
		c.expect(name)
	}
	c.onPublic().get("/v1/me").wantUnauthorized()
}

func without(o object, name string) object {
	rest := merge(o, nil)
	delete(rest, name)
	return rest
}

// TestDialectM12CustomerIsTheTenant: a number counts as its digits, and a wrong one looks like a wrong secret.
func TestDialectM12CustomerIsTheTenant(t *testing.T) {
	c := story(t, pam(t, Options{})).root()
	a := c.pamApp("10001", "users/user:view")
	c.put("/v1/tenants/10002", object{"name": "another", "enabled": true}).wantStatus(201)
	for _, customer := range []any{"10001", 10001} {
		token := c.pamToken(a, customer)
		c.as(bearer(token)).onPublic().get("/v1/me").wantStatus(200).want("/token_tenant", "10001")
	}
	c.as("").onPublic().post(pamToken, pamRequest(app{ID: a.ID, Secret: a.Secret + "x"}, "10001")).wantStatus(401).want("/error", "invalid_client")
	wrong := c.last
	for _, customer := range []any{"10002", 10002, "none", "10001 ", "010001", 7} {
		c.onPublic().post(pamToken, pamRequest(a, customer)).wantStatus(401).wantSame(wrong)
		c.expect(fmt.Sprint("customer ", customer))
	}
	for _, customer := range []any{1.5, 1e30, true, nil, list{"10001"}} {
		c.onPublic().post(pamToken, pamRequest(a, customer)).wantStatus(400).want("/error", "invalid_request")
		c.expect(fmt.Sprint("customer ", customer))
	}
}

// TestDialectM13SpellingsOfTheTokenEndpoint: as it is written, as it was meant, with slashes and without.
func TestDialectM13SpellingsOfTheTokenEndpoint(t *testing.T) {
	s := pam(t, Options{})
	c := story(t, s).root()
	a := c.pamApp("10001", "users/user:view")
	c.as("")
	for _, word := range []string{"autheticate", "authenticate"} {
		for _, slashes := range []string{"/", "//"} {
			for _, end := range []string{"", "/"} {
				path := "/miniorange" + slashes + "pam/apps/" + word + "/oauth/token-generation" + end
				c.onPublic().post(path, pamRequest(a, "10001")).wantStatus(200)
				c.expect(path)
				for _, method := range []string{"GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"} {
					c.onPublic().send(method, path, nil).wantStatus(405).wantHeader("Allow", "POST")
					c.expect(method + " " + path)
				}
			}
		}
	}
	for _, path := range []string{
		"/miniorange///pam/apps/autheticate/oauth/token-generation/", "/miniorange/pam//apps/autheticate/oauth/token-generation/",
		"/miniorange/PAM/apps/autheticate/oauth/token-generation/", "/miniorange/pam%2Fapps/autheticate/oauth/token-generation/",
		"/pam/apps/autheticate/oauth/token-generation/", "/miniorangex/pam/apps/autheticate/oauth/token-generation/",
	} {
		c.onPublic().post(path, pamRequest(a, "10001")).wantStatus(404)
		c.expect(path)
	}
	c.onAdmin().post(pamToken, pamRequest(a, "10001")).wantStatus(404)
	off := story(t, shared(t))
	off.onPublic().post(pamToken, pamRequest(a, "10001")).wantStatus(404)
}

// TestDialectM14TheHeaderAuthorize counts where this dialect is on and below its path, and nowhere else.
func TestDialectM14TheHeaderAuthorize(t *testing.T) {
	c := story(t, pam(t, Options{})).root()
	a := c.pamApp("10001", "users/user:view")
	b := c.pamApp("10001", "users/user:view")
	token, other := c.pamToken(a, "10001"), c.pamToken(b, "10001")
	const path = "/miniorange/pam/apps/users/user/"
	c.as("")
	c.onPublic().with("Authorize", bearer(token)).get(path).wantStatus(200).wantHeader("X-Auth-Client", a.ID).wantHeader("X-Auth-Tenant", "10001")
	c.onPublic().with("Authorization", bearer(token)).get(path).wantStatus(200).wantHeader("X-Auth-Client", a.ID)
	c.onPublic().with("Authorize", bearer(token)).with("Authorization", bearer(token)).get(path).wantStatus(200)
	c.onPublic().with("Authorize", bearer(token)).get("/miniorange//pam/apps/users/user/").wantStatus(200)

	c.step("bad: two tokens")
	c.onPublic().with("Authorize", bearer(token)).with("Authorization", bearer(other)).get(path).wantStatus(400)
	c.onPublic().with("Authorize", bearer(token)).with("Authorize", bearer(other)).get(path).wantStatus(400)

	c.step("bad: no token, one that is none, one that is ended, one in another place")
	c.onPublic().get(path).wantUnauthorized()
	c.onPublic().with("Authorize", "Bearer nonsense").get(path).wantUnauthorized()
	c.onPublic().with("Authorize", basic(a.ID, a.Secret)).get(path).wantUnauthorized()
	c.onPublic().get(path + "?access_token=" + token).wantUnauthorized()
	c.as(basic("root", c.s.Secret)).delete("/v1/applications/" + b.ID).wantStatus(204)
	c.as("").onPublic().with("Authorize", bearer(other)).get(path).wantUnauthorized()

	c.step("bad: elsewhere it is no header of ours")
	c.onPublic().with("Authorize", bearer(token)).get("/v1/me").wantUnauthorized()
	c.onPublic().with("Authorize", bearer(token)).with("X-Forwarded-Method", "GET").with("X-Forwarded-Uri", "/pam/apps/users/user/").
		get("/forward-auth").wantUnauthorized()
	c.onPublic().with("Authorization", bearer(token)).get("/v1/me").wantStatus(200)
	off := story(t, shared(t))
	off.onPublic().with("Authorize", bearer(token)).get(path).wantStatus(404)
}

// pamTable is the table of the document: path, method, permission.
func pamTable() [][3]string {
	table := [][3]string{{"ticket/ticket/", "GET", "miscellaneous/ticket:view_ticket"}}
	for path, resource := range map[string]string{
		"users/user/": "users/user", "roles/role/": "users/roles", "assets/asset/": "assets", "assets/systemuser/": "system_user",
		"groups/group/": "groups", "apps/app/": "apps",
	} {
		for method, action := range map[string]string{"GET": "view", "POST": "add", "PUT": "edit", "DELETE": "delete"} {
			table = append(table, [3]string{path, method, resource + ":" + action})
		}
	}
	return table
}

// TestDialectM15TheTableHoldsPerMethod walks the table with a token for each permission, at the path itself and at the gateway's question.
func TestDialectM15TheTableHoldsPerMethod(t *testing.T) {
	c := story(t, pam(t, Options{})).root()
	table := pamTable()
	for _, held := range table {
		token := c.root().pamToken(c.pamApp("10001", held[2]), "10001")
		c.as("")
		for _, row := range table {
			want := 403
			if row == held {
				want = 200
			}
			name := held[2] + " at " + row[1] + " " + row[0]
			c.onPublic().with("Authorize", bearer(token)).send(row[1], "/miniorange/pam/apps/"+row[0], nil).wantStatus(want)
			c.header("Decision-Id")
			if want == 403 {
				c.wantNaming(row[2])
			}
			c.expect(name)
			if row[0] == held[0] {
				c.with("Authorization", bearer(token)).forward(row[1], "/pam/apps/"+row[0]).wantStatus(want)
				c.expect(name + ", forwarded")
			}
		}
	}
	c.step("a token without any scope")
	none := c.root().pamToken(c.pamApp("10001"), "10001")
	for _, row := range table {
		c.as("").onPublic().with("Authorize", bearer(none)).send(row[1], "/miniorange/pam/apps/"+row[0], nil).wantStatus(403)
		c.expect(row[1] + " " + row[0])
	}
	c.step("HEAD counts as GET and PATCH as PUT")
	token := c.root().pamToken(c.pamApp("10001", "users/user:view", "users/roles:edit"), "10001")
	c.as("")
	for _, row := range []struct {
		method, path string
		want         int
	}{
		{"HEAD", "users/user/", 200},
		{"PATCH", "users/user/", 403},
		{"PATCH", "roles/role/", 200},
		{"HEAD", "roles/role/", 403},
		{"GET", "users/user", 200},
		{"GET", "users/user/?page=1", 200},
		{"GET", "other/", 403},
		{"GET", "users/user/../../roles/role/", 403},
		{"GET", "users//user/", 404},
		{"GET", "users%2Fuser/", 404},
	} {
		c.onPublic().with("Authorize", bearer(token)).send(row.method, "/miniorange/pam/apps/"+row.path, nil).wantStatus(row.want)
		c.expect(row.method + " " + row.path)
	}
}

// TestDialectM17AMethodWithoutARow is 405 where Writ serves the path itself, and 403 where a gateway asks about it.
func TestDialectM17AMethodWithoutARow(t *testing.T) {
	c := story(t, pam(t, Options{})).root()
	for name, held := range map[string][]string{
		"with the right": {"miscellaneous/ticket:view_ticket", "miscellaneous/ticket:add"}, "with another": {"users/user:view"}, "with none": nil,
		"with rotate_password": {"system_user:rotate_password"},
	} {
		token := c.root().pamToken(c.pamApp("10001", held...), "10001")
		c.as("")
		for _, method := range []string{"POST", "PUT", "PATCH", "DELETE"} {
			c.onPublic().with("Authorize", bearer(token)).send(method, "/miniorange/pam/apps/ticket/ticket/", nil).wantStatus(405).wantHeader("Allow", "GET")
			c.expect(name + " " + method)
			c.with("Authorization", bearer(token)).forward(method, "/pam/apps/ticket/ticket/").wantRefused(403, "unmapped_route")
			c.expect(name + " " + method + ", forwarded")
		}
		c.onPublic().with("Authorize", bearer(token)).send("PUT", "/miniorange/pam/apps/assets/systemuser/", nil).wantStatus(403)
		c.expect(name + ": rotating is not editing")
	}
	c.onPublic().post("/miniorange/pam/apps/ticket/ticket/", nil).wantUnauthorized()
}

// TestDialectD07ClaimsOfMiniOrange are those of the document's sample that are no fault of it: times stay numbers, and the algorithm
// is one of Writ's.
func TestDialectD07ClaimsOfMiniOrange(t *testing.T) {
	c := story(t, pam(t, Options{})).root()
	a := c.pamApp("10001", "users/user:view")
	c.patch("/v1/applications/"+a.ID, object{"attributes": object{"client_name": "My Application"}}).wantStatus(200)
	claims := c.claims(c.pamToken(a, "10001"))
	for name, want := range map[string]any{
		"customer_id": "10001", "client_id": a.ID, "client_name": "My Application", "grant_type": "client_credentials", "scope": "users/user:view",
	} {
		if claims[name] != want {
			t.Errorf("claim %s is %v, want %v", name, claims[name], want)
		}
	}
	for _, name := range []string{"iat", "exp"} {
		if _, number := claims[name].(float64); !number {
			t.Errorf("claim %s is %v, want a number", name, claims[name])
		}
	}
	native := c.claims(c.token(a))
	for _, name := range []string{"customer_id", "client_name", "grant_type"} {
		if _, there := native[name]; there {
			t.Errorf("a native token has the claim %s", name)
		}
	}
}

// TestDialectTranscriptMiniOrange is written from the product document alone: each request that it shows, in its words, in its order. The
// host is where this dialect is; the fields of the reply are those that it lists.
func TestDialectTranscriptMiniOrange(t *testing.T) {
	s := pam(t, Options{})
	c := story(t, s).root()
	a := c.pamApp("10001", "users/user:view", "users/user:add")
	base := s.Public + "/miniorange"
	do := func(method, url string, body string, header ...string) *scenario {
		c.host = ""
		for i := 0; i < len(header); i += 2 {
			c.with(header[i], header[i+1])
		}
		var sent any
		if body != "" {
			sent = body
		}
		c.host = strings.ReplaceAll(strings.SplitAfterN(url, "}", 2)[0], "https://{base_url}", base)
		return c.send(method, strings.SplitAfterN(url, "}", 2)[1], sent)
	}
	c.as("")

	c.step("Step 2: Request Access Token")
	do("POST", "https://{base_url}//pam/apps/autheticate/oauth/token-generation/", `{
                        "grant_type": "client_credentials",
                        "client_id": "`+a.ID+`",
                        "client_secret": "`+a.Secret+`",
                        "customer": "10001"

                    }`, "Content-Type", "application/json").wantStatus(200).want("/token_type", "Bearer").want("/expires_in_minutes", 60)
	token := bearer(c.text("/access_token"))

	c.step("Step 3: Use Access Token for API Calls")
	do("GET", "https://{base_url}/pam/apps/users/user/", "", "Authorize", token).wantStatus(200)
	do("POST", "https://{base_url}/pam/apps/users/user/", `{
                    "username": "newuser",
                    "email": "user@example.com",
                    "first_name": "John",
                    "last_name": "Doe"
                    }`, "Authorize", token, "Content-Type", "application/json").wantStatus(200)
	do("PUT", "https://{base_url}/pam/apps/users/user/", "", "Authorize", token).wantStatus(403)
	do("DELETE", "https://{base_url}/pam/apps/users/user/", "", "Authorize", token).wantStatus(403)

	c.step("Step 4: Handle Token Expiry")
	c.as(basic("root", s.Secret)).patch("/v1/applications/"+a.ID, object{"not_after": time.Now().Add(2 * time.Second).UTC()}).wantStatus(200)
	c.as("").eventually(20*time.Second, func() {
		do("GET", "https://{base_url}/pam/apps/users/user/", "", "Authorize", token).wantUnauthorized()
	})
	c.as(basic("root", s.Secret)).patch("/v1/applications/"+a.ID, object{"not_after": nil}).wantStatus(200)
	c.as("")
	token = bearer(c.pamToken(a, "10001"))
	do("GET", "https://{base_url}/pam/apps/users/user/", "", "Authorize", token).wantStatus(200)
}
