package e2e

import (
	"strings"
	"testing"
)

// capability is a row of the capability table: a path, and what each method takes there.
type capability struct {
	path, resource string
	actions        map[string]string
}

func capabilities() []capability {
	all := map[string]string{"GET": "view", "POST": "add", "PUT": "edit", "DELETE": "delete"}
	return []capability{
		{"/pam/apps/users/user/", "users/user", all},
		{"/pam/apps/roles/role/", "users/roles", all},
		{"/pam/apps/assets/asset/", "assets", all},
		{"/pam/apps/assets/systemuser/", "system_user", all},
		{"/pam/apps/groups/group/", "groups", all},
		{"/pam/apps/apps/app/", "apps", all},
		{"/pam/apps/ticket/ticket/", "miscellaneous/ticket", map[string]string{"GET": "view_ticket"}},
	}
}

// TestSeedM15ExactlyThePermissionOfTheRowPasses has one application for each permission of the table, and each goes to all methods of
// the permission's path.
func TestSeedM15ExactlyThePermissionOfTheRowPasses(t *testing.T) {
	c := story(t, shared(t)).root()
	for _, row := range capabilities() {
		for held, action := range row.actions {
			c.root()
			permission := row.resource + ":" + action
			a := c.newApp(object{"scopes": list{permission}, "grants": grants(permission)})
			c.as(bearer(c.token(a)))
			for method, taken := range row.actions {
				switch c.forward(method, row.path); {
				case method == held:
					c.wantStatus(200)
				default:
					c.wantStatus(403).wantNaming(row.resource + ":" + taken)
				}
				c.expect(permission + ": " + method + " " + row.path)
			}
		}
	}

	c.step("bad: a token without any scope")
	c.root()
	a := c.newApp(object{"grants": grants("users:*", "assets:*", "miscellaneous:*"), "scopes": list{}})
	token := c.token(a)
	for _, row := range capabilities() {
		for method := range row.actions {
			c.as(bearer(token)).forward(method, row.path).wantStatus(403)
			c.expect("no scope: " + method + " " + row.path)
		}
	}
}

func TestSeedM16PermissionsAreApartAndWhatHasNoRowIsRefused(t *testing.T) {
	c := story(t, shared(t)).root()
	viewer := c.newApp(object{"grants": grants("users/user:view")})
	c.as(bearer(c.token(viewer)))
	c.forward("GET", "/pam/apps/users/user/").wantStatus(200)
	c.forward("GET", "/pam/apps/roles/role/").wantDenied("not_granted").wantNaming("users/roles:view")

	c.step("HEAD counts as GET, PATCH as PUT")
	c.forward("HEAD", "/pam/apps/users/user/").wantStatus(200)
	c.forward("PATCH", "/pam/apps/users/user/").wantDenied("not_granted").wantNaming("users/user:edit")
	c.root()
	editor := c.newApp(object{"grants": grants("users/user:edit")})
	c.as(bearer(c.token(editor)))
	c.forward("PATCH", "/pam/apps/users/user/").wantStatus(200)
	c.forward("HEAD", "/pam/apps/users/user/").wantDenied("not_granted").wantNaming("users/user:view")

	c.step("bad: no row, for who holds everything too")
	c.root()
	for _, ask := range []string{
		"POST /pam/apps/ticket/ticket/", "OPTIONS /pam/apps/users/user/", "TRACE /pam/apps/users/user/", "GET /pam/apps/users/",
		"GET /pam/apps/users/user/42", "GET /PAM/apps/users/user/", "GET /",
	} {
		method, uri, _ := strings.Cut(ask, " ")
		c.forward(method, uri).wantDenied("unmapped_route")
		c.expect(ask)
	}

	c.step("bad: a path that is written in another way never becomes a match")
	for _, uri := range []string{
		"/pam/apps/roles/../users/user/", "//pam/apps/users/user/", "/pam/apps/users//user/", "/pam/apps/users%2Fuser/", "/pam/apps/users%2fuser/",
		"/pam/apps/./users/user/", "/pam/apps/%2e/users/user/",
	} {
		c.forward("GET", uri).wantStatus(403)
		c.expect(uri)
		service := question("application", viewer.ID, "GET", "route", uri)
		c.post("/access/v1/evaluation", withReasons(service)).wantStatus(200).want("/decision", false).
			want("/context/reasons/0/code", "unmapped_route")
		c.expect("asked by a service: " + uri)
	}
	c.post("/access/v1/evaluation", question("application", viewer.ID, "GET", "route", "/pam/apps/users/user/")).want("/decision", true)
}

// TestSeedP12AMalformedTreeIsRefused gives the shipped example trees that are none.
func TestSeedP12AMalformedTreeIsRefused(t *testing.T) {
	for name, tc := range map[string]struct {
		nodes string
		code  int
		says  string
	}{
		"a good one":                  {"{a: {roles: {x: {}}, permissions: {see: {x: true}}}, a/b: {}}", 0, ""},
		"two siblings of one name":    {"{a: {}, a: {}}", 3, "a"},
		"a name with a slash":         {"{a: {}, 'a//b': {}}", 3, "a//b"},
		"a name outside the alphabet": {"{'a b': {}}", 3, "a b"},
		"a cycle":                     {"{a: &a {roles: {x: *a}}}", 3, "a"},
		"a node without its parent":   {"{a/b: {}}", 3, "there is no a"},
		"no object":                   {"[a]", 3, "nodes"},
	} {
		dir := policyDir(t, map[string]string{"apps/policytree/data.yaml": "nodes: " + tc.nodes + "\n"})
		out := suite.runner.Command(t.Context(), Options{}, "policy", "check", dir)
		if out.Code != tc.code || !strings.Contains(out.Stdout+out.Stderr, tc.says) {
			t.Errorf("%s: exit code %d, want %d: %s%s", name, out.Code, tc.code, out.Stdout, out.Stderr)
		}
	}
}

// TestSeedP16OwnDepartmentAndHospital asks about schedules with and without what the rules need.
func TestSeedP16OwnDepartmentAndHospital(t *testing.T) {
	dir := policyDir(t, map[string]string{"apps/schedule/data.yaml": "own: {read: true}\nroles:\n" +
		"  \"e2e:nurse\": {read: department}\n  \"e2e:head\": {read: hospital, write: department}\n"})
	c := story(t, fresh(t, Options{Args: []string{"--policies", dir}})).root()
	for _, role := range []string{"e2e:nurse", "e2e:head"} {
		c.put("/v1/roles/"+role, object{"description": role, "grants": list{}}).wantStatus(201)
	}
	works := object{"department": "surgery", "hospital": "north"}
	plain := c.newUser(object{"attributes": works})
	nurse := c.newUser(object{"attributes": works, "roles": list{"e2e:nurse"}})
	head := c.newUser(object{"attributes": works, "roles": list{"e2e:head"}})
	homeless := c.newUser(object{"roles": list{"e2e:head"}})
	for _, tc := range []struct {
		name       string
		who        user
		action     string
		properties object
		want       bool
		code       string
	}{
		{"own", plain, "read", object{"owner": plain.ID, "department": "x", "hospital": "y"}, true, "schedule.own"},
		{"own, writing", plain, "write", object{"owner": plain.ID}, false, "not_granted"},
		{"a colleague's", plain, "read", object{"owner": "x", "department": "surgery", "hospital": "north"}, false, "not_granted"},
		{"nurse, a colleague's", nurse, "read", object{"owner": "x", "department": "surgery", "hospital": "north"}, true, "schedule.department"},
		{"nurse, another department", nurse, "read", object{"owner": "x", "department": "pharmacy", "hospital": "north"}, false, "not_granted"},
		{"head, another department", head, "read", object{"owner": "x", "department": "pharmacy", "hospital": "north"}, true, "schedule.hospital"},
		{"head, another hospital", head, "read", object{"owner": "x", "department": "surgery", "hospital": "south"}, false, "not_granted"},
		{"head, writing in the department", head, "write", object{"department": "surgery", "hospital": "north"}, true, "schedule.department"},
		{"head, writing in the hospital", head, "write", object{"department": "pharmacy", "hospital": "north"}, false, "not_granted"},
		{"bad: no hospital", head, "read", object{"owner": "x", "department": "surgery"}, false, "not_granted"},
		{"bad: no department", nurse, "read", object{"owner": "x", "hospital": "north"}, false, "not_granted"},
		{"bad: nothing", head, "read", object{}, false, "not_granted"},
		{"bad: an attribute that the subject lacks", homeless, "read", object{"department": "surgery", "hospital": "north"}, false, "not_granted"},
		{"bad: null where the subject has none", homeless, "read", object{"department": nil, "hospital": nil}, false, "not_granted"},
	} {
		q := question("user", tc.who.ID, tc.action, "schedule", "1")
		q["resource"].(object)["properties"] = tc.properties
		c.post("/access/v1/evaluation", withReasons(q)).wantStatus(200).want("/decision", tc.want).want("/context/reasons/0/code", tc.code)
		c.expect(tc.name)
	}
}

// TestInstanceScope: a partner may touch the organisations and ledgers of its instances, and every dimension by itself.
func TestInstanceScope(t *testing.T) {
	c := story(t, shared(t)).root()
	partner := func(instances any, permissions ...string) app {
		body := object{"grants": grants(permissions...)}
		if instances != nil {
			body["attributes"] = object{"instances": instances}
		}
		return c.newApp(body)
	}
	sales := object{"organization": list{"acme"}, "ledger": list{"sales"}}
	own := partner(sales, "partner:*")
	all := partner(object{"organization": list{"acme"}, "ledger": list{"*"}}, "partner:*")
	none, powerless := partner(nil, "partner:*"), partner(sales)
	for _, tc := range []struct {
		name, kind string
		who        app
		action     string
		properties object
		want       bool
		code       string
	}{
		{"own ledger", "partner/ledgers", own, "post", object{"organization": "acme", "ledger": "sales"}, true, "partner.granted"},
		{"own organisation", "partner/organizations", own, "read", object{"organization": "acme"}, true, "partner.granted"},
		{"another ledger", "partner/ledgers", own, "post", object{"organization": "acme", "ledger": "wages"}, false, "outside_instance_scope"},
		{"another organisation", "partner/ledgers", own, "post", object{"organization": "globex", "ledger": "sales"}, false, "outside_instance_scope"},
		{"every ledger", "partner/ledgers", all, "post", object{"organization": "acme", "ledger": "wages"}, true, "partner.granted"},
		{"every ledger of another organisation", "partner/ledgers", all, "post", object{"organization": "globex", "ledger": "wages"}, false, "outside_instance_scope"},
		{"no grant", "partner/ledgers", powerless, "post", object{"organization": "acme", "ledger": "sales"}, false, "not_granted"},
		{"bad: no instances", "partner/ledgers", none, "post", object{"organization": "acme", "ledger": "sales"}, false, "outside_instance_scope"},
		{"bad: a dimension that is not named", "partner/ledgers", own, "post", object{"organization": "acme"}, false, "outside_instance_scope"},
		{"bad: a list for a name", "partner/ledgers", own, "post", object{"organization": "acme", "ledger": list{"sales"}}, false, "outside_instance_scope"},
		{"bad: an unknown type below", "partner/safes", own, "read", object{"organization": "acme"}, false, "outside_instance_scope"},
	} {
		q := question("application", tc.who.ID, tc.action, tc.kind, "1")
		q["resource"].(object)["properties"] = tc.properties
		c.post("/access/v1/evaluation", withReasons(q)).wantStatus(200).want("/decision", tc.want).want("/context/reasons/0/code", tc.code)
		c.expect(tc.name)
	}
}

// TestPostingLimits: who may book is a grant in the tenant; up to which amount, an attribute and a table say.
func TestPostingLimits(t *testing.T) {
	c := story(t, shared(t)).root()
	u := c.newUser(object{"grants": grants("posting:*"), "attributes": object{"posting_limit": object{"EUR": 500}}})
	rich := c.newUser(object{"grants": grants("posting:*"), "attributes": object{"posting_limit": object{"EUR": 1000000}}})
	for _, tc := range []struct {
		name, action string
		who          user
		properties   object
		want         bool
		code         string
	}{
		{"within", "book", u, object{"amount": 500, "currency": "EUR"}, true, "posting.granted"},
		{"over the subject's", "book", u, object{"amount": 500.01, "currency": "EUR"}, false, "posting.over_limit"},
		{"over the table's", "book", rich, object{"amount": 10001, "currency": "EUR"}, false, "posting.over_limit"},
		{"reading", "read", u, object{"amount": 10001, "currency": "EUR"}, true, "posting.granted"},
		{"approving somebody else's", "approve", u, object{"amount": 1, "currency": "EUR", "booked_by": "bob"}, true, "posting.granted"},
		{"approving the own", "approve", u, object{"amount": 1, "currency": "EUR", "booked_by": u.ID}, false, "posting.own"},
		{"bad: a text", "book", u, object{"amount": "1", "currency": "EUR"}, false, "posting.over_limit"},
		{"bad: negative", "book", u, object{"amount": -1, "currency": "EUR"}, false, "posting.over_limit"},
		{"bad: no currency", "book", u, object{"amount": 1}, false, "posting.over_limit"},
		{"bad: nothing", "book", u, object{}, false, "posting.over_limit"},
	} {
		q := question("user", tc.who.ID, tc.action, "posting", "1")
		q["resource"].(object)["properties"] = tc.properties
		c.post("/access/v1/evaluation", withReasons(q)).wantStatus(200).want("/decision", tc.want).want("/context/reasons/0/code", tc.code)
		c.expect(tc.name)
	}
}
