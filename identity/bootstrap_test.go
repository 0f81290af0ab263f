package identity_test

import (
	"strings"
	"testing"
)

const declared = `
tenants:
  - {id: acme, name: Acme}
roles:
  - key: ledger:keeper
    inherits: [ledger:reader]
    grants: [{resource: ledger, action: write}]
  - {key: "ledger:reader", grants: [{tenant: acme, resource: ledger, action: read}]}
groups:
  - {id: keeping, name: Keeping, roles: ["ledger:keeper"]}
users:
  - {username: ada, email: ada@example.com, password: tin-lantern-orbit-42, groups: [keeping], not_after: 2027-01-01T00:00:00Z}
  - {username: bob, email: bob@example.com, tenant: acme}
  - username: eve
    email: eve@example.com
    id: 0193d4c2-7f00-7000-8000-0000000000aa
    password_hash: $argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA
applications:
  - {id: portal, name: Portal, grant_types: [password], scopes: ["ledger:*"], secret: a secret of the portal that is long}
  - {id: worker, name: Worker, protected: true, grants: [{resource: ledger, action: read}]}
`

func TestBootstrapHappensOnce(t *testing.T) {
	w := newChosenWorld(t) // which has done it
	w.works("root", rootSecret, true)
	sequence, err := w.store.Sequence(t.Context())
	must(t, err)
	for _, secret := range []string{"", "another secret with more than 32 characters"} {
		made, err := w.room.Bootstrap(t.Context(), secret)
		must(t, err)
		equal(t, "made", made, "")
	}
	w.open()
	if _, err := w.room.Bootstrap(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	after, err := w.store.Sequence(t.Context())
	must(t, err)
	equal(t, "sequence", after, sequence)
	w.works("root", rootSecret, true)
	root := w.root().get("/v1/applications/root").is(200)
	equal(t, "root", root.body[strings.Index(root.body, `"roles"`):][:26], `"roles":["system:owner"],"`)
	if role := w.root().get("/v1/roles/system:owner").body; !strings.Contains(role, `"action":"reveal"`) {
		t.Fatal("the owner role names the explicit actions: ", role)
	}
}

// A node whose first start falls together with that of another one knows root before it is ready.
func TestANodeKnowsTheRootThatAnotherNodeHasJustMade(t *testing.T) {
	w := unstarted(t, func(*config) {})
	other := w.room
	w.open()
	w.store.marked = func() {
		_, err := other.Bootstrap(t.Context(), rootSecret)
		must(t, err)
	}
	made, err := w.room.Bootstrap(t.Context(), rootSecret)
	must(t, err)
	equal(t, "made", made, "")
	w.works("root", rootSecret, true)
}

// What a start makes is found by its name like what the API makes.
func TestWhatTheBootstrapMakesIsFoundByName(t *testing.T) {
	w := newWorld(t)
	_, err := w.room.BootstrapFile(t.Context(), []byte(declared))
	must(t, err)
	must(t, w.follow())
	for query, want := range map[string]string{
		"applications?name_prefix=ROO": "root", "applications?name_prefix=port": "portal", "applications?name_prefix=work": "worker",
		"groups?name_prefix=keep": "keeping", "applications?name_prefix=none": "",
	} {
		equal(t, query, w.root().get("/v1/"+query).is(200).ids("id"), want)
	}
	equal(t, "users", w.root().get("/v1/users?name_prefix=AD").is(200).ids("username"), "ada")
}

func TestBootstrapMakesASecretOrRefusesAShortOne(t *testing.T) {
	fresh := unstarted(t, func(*config) {})
	if _, err := fresh.room.Bootstrap(t.Context(), "too short"); err == nil {
		t.Fatal("a short secret is refused")
	}
	made, err := fresh.room.Bootstrap(t.Context(), "")
	must(t, err)
	fresh.works("root", made, true)
	recovered, err := fresh.room.RecoverRoot(t.Context())
	must(t, err)
	fresh.works("root", made, false)
	fresh.works("root", recovered, true)
}

func TestABootstrapFileAppliedTwiceChangesNothing(t *testing.T) {
	w := newWorld(t)
	made, err := w.room.BootstrapFile(t.Context(), []byte(declared))
	must(t, err)
	secrets := map[string]string{}
	var ids []string
	for _, m := range made {
		ids = append(ids, m.Kind+":"+m.Name)
		secrets[m.Name] = m.Secret
	}
	equal(t, "made", strings.Join(ids, " "), "tenant:Acme role:ledger:keeper role:ledger:reader group:Keeping user:ada user:bob user:eve "+
		"application:Portal application:Worker")
	equal(t, "named secrets are not returned", secrets["ada"]+secrets["eve"]+secrets["Portal"], "")
	w.works("portal", "a secret of the portal that is long", true)
	w.works("worker", secrets["Worker"], true)
	if _, _, err := w.room.Check(t.Context(), home, "ada", goodPassword); err != nil {
		t.Fatal(err)
	}
	if _, _, err := w.room.Check(t.Context(), home, "bob", secrets["bob"]); err != nil {
		t.Fatal(err)
	}
	equal(t, "rights of ada", strings.Join(w.flat("user", "ada"), "|"),
		" ledger write via group:keeping [0,1798761600)|acme ledger read via group:keeping [0,1798761600)")
	w.root().patch("/v1/applications/worker", `{"name":"x"}`).refused("system_protected")
	w.root().patch("/v1/groups/keeping", `{"name":"Renamed"}`).is(200)
	w.root().del("/v1/applications/portal").is(204)

	sequence, err := w.store.Sequence(t.Context())
	must(t, err)
	made, err = w.room.BootstrapFile(t.Context(), []byte(declared))
	must(t, err)
	equal(t, "made the second time", len(made), 0)
	after, err := w.store.Sequence(t.Context())
	must(t, err)
	equal(t, "sequence", after, sequence)
	equal(t, "group", w.root().get("/v1/groups/keeping").text("name"), "Renamed")
	w.root().get("/v1/applications/portal").is(404)
}

func TestABadBootstrapFileChangesNothingAndNamesItsFault(t *testing.T) {
	w := newWorld(t)
	sequence, err := w.store.Sequence(t.Context())
	must(t, err)
	for content, fault := range map[string]string{
		"nonsense: []": "/nonsense",
		"users: [{username: ada, email: a@example.com, passwort: x}]":            "/users/0/passwort",
		"users: [{username: ada}]":                                               "/users/0/email",
		"users: [{username: ada, email: a@example.com, roles: [ops:none]}]":      "/users/0/roles/0",
		"users: [{username: ada, email: a@example.com, password_hash: md5}]":     "/users/0/password_hash",
		"users: [{username: ada, email: a@example.com, password: password1234}]": "/users/0/password",
		"groups: [{id: g, name: G}, {id: h, name: H, roles: [a:b]}]":             "/groups/1/roles/0",
		"groups: [{id: g, name: G, tenant: nowhere}]":                            "/groups/0/tenant",
		"roles: [{key: a:b, inherits: [a:c]}, {key: a:c, inherits: [a:b]}]":      "/roles/1/inherits",
		"roles: [{key: ab}]":                              "/roles/0/key",
		"applications: [{id: me, name: x}]":               "/applications/0/id",
		"applications: [{id: a, name: x, secret: short}]": "/applications/0/secret",
		"applications: [{id: a, name: x, token_endpoint_auth_method: none, secret: " + rootSecret + "}]": "/applications/0/secret",
		"tenants: [{id: a, name: x}, {id: a, name: x}]\ntenants: []":                                     "already defined",
		"- a": "",
	} {
		_, err := w.room.BootstrapFile(t.Context(), []byte(content))
		if err == nil || !strings.Contains(err.Error(), fault) {
			t.Errorf("%s: got %v, want %q", content, err, fault)
		}
		if err != nil && strings.Contains(err.Error(), rootSecret) {
			t.Error("the error repeats a secret")
		}
	}
	after, err := w.store.Sequence(t.Context())
	must(t, err)
	equal(t, "sequence", after, sequence)
	if _, err := w.room.BootstrapFile(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
}
