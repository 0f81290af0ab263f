package main_test

import (
	"regexp"
	"strings"
	"testing"

	writ "github.com/writ-authz/writ/cmd/writ"
)

// verifiers differ each time, because each has a salt of its own.
var verifiers = regexp.MustCompile(`\$argon2id\$[^"]*`)

func TestAnotherSystemsFileBecomesObjects(t *testing.T) {
	for name, row := range map[string]struct {
		from, text string
		want, left []string
	}{
		"groups with users": {
			from: "lerian", text: `[{"id": "midaz-viewer-group", "name": "Viewers", "createdAt": "2024-01-15T10:30:00Z",
				"users": ["lerian/ada", {"id": "x", "username": "lin"}, {"email": "bob@example.com"}, "0197a9a0-0000-7000-8000-00000000000A"]}]`,
			want: []string{
				`groups /groups/0 {"id":"midaz-viewer-group","name":"Viewers"}`,
				`users /users/0 {"add_groups":["midaz-viewer-group"],"username":"ada"}`,
				`users /users/1 {"add_groups":["midaz-viewer-group"],"username":"lin"}`,
				`users /users/2 {"add_groups":["midaz-viewer-group"],"username":"bob@example.com"}`,
				`users /users/3 {"add_groups":["midaz-viewer-group"],"id":"0197a9a0-0000-7000-8000-00000000000a"}`,
			},
		},
		"a page of groups": {
			from: "lerian", text: `{"items": [{"id": "g"}], "page": 1, "limit": 10, "total": 1}`, want: []string{`groups /groups/0 {"id":"g","name":"g"}`},
		},
		"groups, and rows in every form": {
			from: "lerian", text: `{"groups": [{"id": "g", "users": ["ada"]}], "policies": [
				"p, viewer, users/password, patch", ["p", "viewer", "users", "get"], {"id": 3, "ptype": "g", "v0": "g", "v1": "viewer", "v2": ""},
				["p", "g", "ledgers", "get"], ["g", "lerian/lin", "g"], ["p", "viewer", "a b", "get"]]}`,
			want: []string{
				`roles /roles/0 {"description":"Casbin: viewer","grants":[{"action":"patch","resource":"users.password"},{"action":"get","resource":"users"}],"key":"lerian:viewer"}`,
				`roles /roles/1 {"description":"Casbin: g","grants":[{"action":"get","resource":"ledgers"}],"key":"lerian:g"}`,
				`groups /groups/0 {"id":"g","name":"g","roles":["lerian:viewer","lerian:g"]}`,
				`users /users/0 {"add_groups":["g"],"username":"ada"}`,
				`users /users/1 {"add_groups":["g"],"username":"lin"}`,
			},
			left: []string{"line 3: get on a b is a pattern"},
		},
		"rows alone": {
			from: "lerian", text: "p, viewer, users/password, patch\ng, lerian/ada, viewer\n",
			want: []string{
				`roles /roles/0 {"description":"Casbin: viewer","grants":[{"action":"patch","resource":"users.password"}],"key":"lerian:viewer"}`,
				`users /users/0 {"add_roles":["lerian:viewer"],"username":"ada"}`,
			},
		},
		"client credentials": {
			from: "miniorange", text: `[{"client_name": "My Application", "client_id": 1, "client_secret": "a secret of theirs", "customer_id": "10001",
				"valid_from": "2026-01-01T00:00:00Z", "valid_till": "2027-01-01T00:00:00Z", "capabilities": ["users.user.view", "assets.view", "assets.view"]}]`,
			want: []string{
				`tenants /tenants/0 {"id":"10001","name":"10001"}`,
				`applications /applications/0 {"grant_types":["client_credentials"],` +
					`"grants":[{"action":"view","resource":"users/user","tenant":"10001"},{"action":"view","resource":"assets","tenant":"10001"}],` +
					`"id":"1","name":"My Application","not_after":"2027-01-01T00:00:00Z","not_before":"2026-01-01T00:00:00Z","retrievable":false,` +
					`"scopes":["users/user:view","assets:view"],"secrets":[{"id":"imported","label":"imported","verifier":"VERIFIER"}],"tenant":"10001"}`,
			},
		},
		"capabilities as a claim has them": {
			from: "miniorange", text: `{"client_credentials": [{"id": "a", "grant_type": "client_credentials",
				"scopes": {"miscellaneous": {"ticket": {"view_ticket": true}}, "system_user.rotate_password": true, "apps": {"add": false}}},
				{"client_name": "mo-ssh-microservice-communication-key", "client_id": "ssh"}]}`,
			want: []string{
				`applications /applications/0 {"grant_types":["client_credentials"],` +
					`"grants":[{"action":"view_ticket","resource":"miscellaneous/ticket"},{"action":"rotate_password","resource":"system_user"}],` +
					`"id":"a","name":"a","retrievable":false,"scopes":["miscellaneous/ticket:view_ticket","system_user:rotate_password"]}`,
			},
			left: []string{"credential a: the list has no secret", "line 3: the credential mo-ssh-microservice-communication-key"},
		},
		"a credential without capabilities": {
			from: "miniorange", text: `[{"id": "a"}]`,
			want: []string{`applications /applications/0 {"grant_types":["client_credentials"],"grants":[],"id":"a","name":"a","retrievable":false,"scopes":[]}`},
			left: []string{"no secret"},
		},
		"principals, clients and roles": {
			from: "hantera", text: `{
				"roles": [
					{"key": "support:agent", "description": "Support", "acl": {"entries": [{"resource": "actors", "permission": "*"},
						{"resource": ["iam/principals", "iam/clients"], "permission": ["read", "write"]}, {"resource": "a", "permission": "b", "attributeKeys": ["c"]}]}},
					{"key": "system:portal:full", "acl": {"entries": []}},
					{"key": "system:owner"}
				],
				"principals": [
					{"id": "0197A9A0-0000-7000-8000-000000000001", "properties": {"name": "John Admin", "email": "john@example.com", "phone": "1"},
						"roles": ["system:portal:full", "system:owner", "system:other", "store:manager"]},
					{"id": "0197a9a0-0000-7000-8000-000000000002", "name": "Lin", "email": "lin@example.com", "picture": "p", "settings": {"a": 1}, "eTag": "x",
						"suspendedAt": "2025-01-01T00:00:00Z", "acl": [{"resource": "me2", "permission": "read"}], "accessAttributes": {"a": ["b"]}, "passwordLogin": false}
				],
				"clients": [
					{"id": "mobile", "properties": {"name": "Mobile App", "redirectUris": ["myapp://callback"], "grantTypes": ["authorization_code", "implicit"], "x": 1}, "roles": []},
					{"id": "flat", "name": "Flat", "scopes": ["iam/principals:write", "me:*"], "tokenEndpointAuthMethod": "none"}
				]}`,
			want: []string{
				`roles /roles/0 {"description":"Support","grants":[{"action":"*","resource":"actors"},{"action":"read","resource":"iam/users"},` +
					`{"action":"write","resource":"iam/users"},{"action":"reset_password","resource":"iam/users"},{"action":"read","resource":"iam/applications"},` +
					`{"action":"write","resource":"iam/applications"},{"action":"write_scopes","resource":"iam/applications"}],"key":"support:agent"}`,
				`roles /roles/1 {"grants":[],"key":"hantera:portal:full"}`,
				`users /users/0 {"email":"john@example.com","id":"0197a9a0-0000-7000-8000-000000000001","name":"John Admin","properties":{"phone":"1"},` +
					`"roles":["hantera:portal:full","system:owner","store:manager"],"username":"john@example.com"}`,
				`users /users/1 {"email":"lin@example.com","grants":[{"action":"read","resource":"me2"}],"id":"0197a9a0-0000-7000-8000-000000000002","name":"Lin",` +
					`"properties":{"picture":"p","settings":{"a":1}},"suspended_at":"2025-01-01T00:00:00Z","username":"lin@example.com"}`,
				`applications /applications/0 {"grant_types":["authorization_code"],"id":"mobile","name":"Mobile App","properties":{"x":1},` +
					`"redirect_uris":["myapp://callback"],"roles":[]}`,
				`applications /applications/1 {"id":"flat","name":"Flat","scopes":["iam/users:write","iam/users:reset_password"],"token_endpoint_auth_method":"none"}`,
			},
			left: []string{
				"line 5: the role system:portal:full becomes hantera:portal:full", "line 4: an entry with attributeKeys", "line 6: system:owner is built in",
				"line 10: the role system:other is not in the file", "line 12: lin@example.com logs in without a password", "line 12: the access attributes",
				"line 15: there is no grant type implicit", "line 15: there is no secret of the client mobile",
			},
		},
		"credentials": {
			from: "credentials", text: `{"credentials": [{"id": "lms", "password": "twelve or more", "is_active": false,
				"scopes": [{"verb": "WRITE", "subject": "CREDENTIALS"}], "tenants": {"T1": [{"verb": "READ", "subject": "JOBS"}]}}]}`,
			want: []string{
				`tenants /tenants/0 {"id":"T1","name":"T1"}`,
				`applications /applications/0 {"grant_types":["client_credentials"],"grants":[{"action":"write","resource":"iam/applications","tenant":"*"},` +
					`{"action":"write_scopes","resource":"iam/applications","tenant":"*"},{"action":"read","resource":"jobs","tenant":"T1"}],"id":"lms","is_active":false,` +
					`"name":"lms","retrievable":false,"scopes":["*:*"],"secrets":[{"id":"imported","label":"imported","verifier":"VERIFIER"}]}`,
			},
		},
	} {
		got, left, err := writ.ReadFrom(row.from, "f", []byte(row.text))
		got = verifiers.ReplaceAllString(got, "VERIFIER")
		if want := strings.Join(row.want, "\n"); err != nil || got != want {
			t.Errorf("%s: %v\n got %s\nwant %s", name, err, got, want)
		}
		if len(left) != len(row.left) {
			t.Errorf("%s: left out %q", name, left)
			continue
		}
		for i, want := range row.left {
			if !strings.Contains(left[i], want) {
				t.Errorf("%s: left out %q, want %q", name, left[i], want)
			}
		}
	}
}

func TestAFaultOfAnotherSystemsFileHasItsPlace(t *testing.T) {
	for _, row := range [][3]string{
		{"lerian", `[]`, "f: there is nothing in it to import"},
		{"lerian", `{}`, "f:1:1: want a list"},
		{"lerian", `{"groups": []}`, "f: there is nothing in it to import"},
		{"lerian", `[`, "f: line 1"},
		{"lerian", `[1]`, "f:1:2: /0: want an object with id"},
		{"lerian", `[{"id": "g", "role": 1}]`, "f:1:14: /0/role: unknown key"},
		{"lerian", `[{"name": "g"}]`, "/0/id: an id is missing"},
		{"lerian", `[{"id": "a/b"}]`, "f:1:3: /0/id: an id is missing, or has other characters"},
		{"lerian", "[{\"id\": \"g\"},\n{\"id\": \"g\"}]", `f:2:1: /1: "g" is there twice`},
		{"lerian", `[{"id": "g", "users": "ada"}]`, "/0/users: want a list"},
		{"lerian", `[{"id": "g", "users": [{"id": 1}]}]`, "/0/users/0/id: want a text"},
		{"lerian", `[{"id": "g", "users": [{}]}]`, "/0/users/0: want the name of a user"},
		{"lerian", `{"groups": [], "rules": []}`, "/rules: unknown key"},
		{"lerian", `{"policies": ["p, a, b"]}`, "f:1:15: /policies/0: want p, subject"},
		{"lerian", `{"policies": [[]]}`, "/policies/0: want p, subject"},
		{"lerian", `{"policies": [{"ptype": "p", "v0": "", "v1": "b", "v2": "c"}]}`, "/policies/0: a field is empty"},
		{"lerian", `{"policies": [{"ptype": "p", "v9": "c"}]}`, "/policies/0/v9: unknown key"},
		{"lerian", "# nothing\n", "f: there is no p or g row"},
		{"lerian", "p, a\n", "f:1:1: want p, subject"},
		{"lerian", "", "f: the file is empty"},
		{"miniorange", `[]`, "f: there is nothing in it"},
		{"miniorange", ``, "f: the file is empty"},
		{"miniorange", `{"clients": []}`, "f:1:1: want a list"},
		{"miniorange", `[{"client_id": "a", "id": "b"}]`, "/0/id: says again what /0/client_id says"},
		{"miniorange", `[{"client_id": "me/you"}]`, "f:1:3: /0/client_id: an id is missing"},
		{"miniorange", `[{"client_id": "a"}, {"client_id": "a"}]`, `/1: "a" is there twice`},
		{"miniorange", `[{"client_id": "a", "client_id": "b"}]`, "the key stands twice"},
		{"miniorange", `[{"client_id": "a", "admin": true}]`, "/0/admin: unknown key"},
		{"miniorange", `[{"client_id": "a", "client_secret": "short"}]`, "/0/client_secret: at least 12 characters"},
		{"miniorange", `[{"client_id": "a", "capabilities": "users.user.view"}]`, "/0/capabilities: want an object"},
		{"miniorange", `[{"client_id": "a", "capabilities": ["view"]}]`, `/0/capabilities/0: "view" is no capability`},
		{"miniorange", `[{"client_id": "a", "capabilities": ["users..view"]}]`, `"users..view" is no capability`},
		{"miniorange", `[{"client_id": "a", "capabilities": {"users": {"view": "yes"}}}]`, "/0/capabilities/users/view: want true or false"},
		{"miniorange", `[{"client_id": "a", "grant_type": "password"}]`, "/0/grant_type: a client credential has"},
		{"miniorange", `[{"client_id": "a", "customer_id": "a b"}]`, "/0/customer_id: an id is missing"},
		{"hantera", `[]`, "f:1:1: want an object with roles, principals, clients"},
		{"hantera", `{"users": []}`, "/users: unknown key"},
		{"hantera", `{"roles": [{"key": "a:b"}, {"key": "a:b"}]}`, `/roles/1/key: "a:b" is there twice`},
		{"hantera", `{"roles": [{"description": "x"}]}`, "/roles/0: a role has a key"},
		{"hantera", `{"roles": [{"key": "a:b", "acl": {"entries": [{"resource": "a"}]}}]}`, "/roles/0/acl/entries/0: an entry has a resource and a permission"},
		{"hantera", `{"roles": [{"key": "a:b", "acl": {"rules": []}}]}`, "/roles/0/acl/rules: unknown key"},
		{"hantera", `{"roles": [{"key": "a:b", "acl": [{"resource": 1, "permission": "x"}]}]}`, "/resource: want a list"},
		{"hantera", `{"principals": [{"id": "ada"}]}`, "f:1:18: /principals/0/id: a principal has a UUID"},
		{"hantera", `{"principals": [{"id": "0197a9a0-0000-7000-8000-000000000001"}]}`, "/principals/0: a principal has an e-mail address"},
		{"hantera", `{"principals": [{"id": "0197a9a0-0000-7000-8000-000000000001", "email": "a@b.c", "properties": {"name": "a"}}]}`, "/email: stands beside properties"},
		{"hantera", `{"principals": [{"id": "0197a9a0-0000-7000-8000-000000000001", "email": "a@b.c"}, {"id": "0197a9a0-0000-7000-8000-000000000002", "email": "A@b.c"}]}`, "the same"},
		{"hantera", `{"clients": [{"id": "a b"}]}`, "/clients/0/id: an id is missing"},
		{"hantera", `{"clients": [{"id": "a", "scopes": ["read"]}]}`, `/clients/0/scopes/0: "read" is no scope`},
		{"hantera", `{"clients": [{"id": "a", "properties": []}]}`, "/clients/0/properties: want an object"},
		{"credentials", `[{"id": "a", "scopes": [{"verb": "OWN", "subject": "JOBS"}]}]`, `/0/scopes/0: "OWN" "JOBS" is no verb`},
		{"credentials", `[{"id": "a", "is_active": "no"}]`, "/0/is_active: want true or false"},
		{"credentials", `[{"id": "a", "tenants": {"a b": []}}]`, `/0/tenants/a b: "a b" cannot be the id of a tenant`},
		{"credentials", `[{"id": "a", "tenants": []}]`, "/0/tenants: want an object"},
	} {
		objects, left, err := writ.ReadFrom(row[0], "f", []byte(row[1]))
		if err == nil || !strings.Contains(err.Error(), row[2]) || !strings.HasPrefix(err.Error(), "f:") {
			t.Errorf("%s %s\n got %v\nwant %s", row[0], row[1], err, row[2])
		}
		if objects != "" || left != nil {
			t.Errorf("%s %s: a fault leaves objects", row[0], row[1])
		}
	}
}
