package identity_test

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestL08ANewApplicationShowsItsSecretOnce(t *testing.T) {
	w := newWorld(t)
	r := w.root().post("/v1/applications", `{"name":"billing","grant_types":["client_credentials"],"scopes":["ledger/accounts:read"],
		"grants":[{"resource":"ledger/accounts","action":"read"}]}`).is(201)
	id, secret := r.text("id"), r.text("secret", "value")
	equal(t, "location", r.header.Get("Location"), "/v1/applications/"+id)
	equal(t, "etag", strings.HasSuffix(r.header.Get("ETag"), `-1"`), true)
	equal(t, "cache", r.header.Get("Cache-Control"), "no-store")
	w.works(id, secret, true)
	for _, path := range []string{"/v1/applications/" + id, "/v1/applications", "/v1/applications/" + id + "/secrets", "/v1/applications/" + id + "/scopes"} {
		if body := w.root().get(path).is(200).body; strings.Contains(body, secret) || strings.Contains(body, "verifier") {
			t.Fatal(body)
		}
	}
	for body, pointer := range map[string]string{
		`{}`:          "/name",
		`{"name":""}`: "/name",
		`{"name":"x","grant_types":["implicit"]}`:               "/grant_types/0",
		`{"name":"x","scopes":"a:b"}`:                           "/scopes",
		`{"name":"x","scopes":["nonsense"]}`:                    "/scopes/0",
		`{"name":"x","scopes":["iam/users:fly"]}`:               "/scopes/0",
		`{"name":"x","token_lifetime":0}`:                       "/token_lifetime",
		`{"name":"x","token_lifetime":864000}`:                  "/token_lifetime",
		`{"name":"x","token_lifetime":1.5}`:                     "/token_lifetime",
		`{"name":"x","token_format":"paseto"}`:                  "/token_format",
		`{"name":"x","token_signing_alg":"HS256"}`:              "/token_signing_alg",
		`{"name":"x","token_signing_alg":"es256"}`:              "/token_signing_alg",
		`{"name":"x","token_signing_alg":["RS256"]}`:            "/token_signing_alg",
		`{"name":"x","token_endpoint_auth_method":"mtls"}`:      "/token_endpoint_auth_method",
		`{"name":"x","audiences":[]}`:                           "/audiences",
		`{"name":"x","redirect_uris":["/relative"]}`:            "/redirect_uris/0",
		`{"name":"x","jwks_uri":"http://x.example/"}`:           "/jwks_uri",
		`{"name":"x","jwks":{"keys":[{"kty":"oct","k":"AA"}]}}`: "/jwks/keys/0/k",
		`{"name":"x","addresses":["192.0.2.1"]}`:                "/addresses/0",
		`{"name":"x","is_active":null}`:                         "/is_active",
		`{"name":"x","secret":"chosen"}`:                        "/secret",
		`{"name":"x","SCOPES":[]}`:                              "/SCOPES",
	} {
		w.root().post("/v1/applications", body).bad(pointer)
	}
	equal(t, "public clients have no secret",
		w.root().post("/v1/applications", `{"name":"x","token_endpoint_auth_method":"none"}`).is(201).value("secret") == nil, true)
}

// J01: what an application's tokens are, is set and shown by all the ways of writing it; opaque tokens keep the algorithm for later.
func TestJ01ApplicationsChooseFormatAndAlgorithm(t *testing.T) {
	w := newWorld(t)
	shows := func(r *reply, format, algorithm string) {
		t.Helper()
		equal(t, "format", r.text("token_format"), format)
		equal(t, "algorithm", r.text("token_signing_alg"), algorithm)
	}
	id := w.root().post("/v1/applications", `{"name":"x","token_signing_alg":"RS256"}`).is(201).text("id")
	path := "/v1/applications/" + id
	shows(w.root().get(path).is(200), "jwt", "RS256")
	shows(w.root().patch(path, `{"token_format":"opaque"}`).is(200), "opaque", "RS256")
	shows(w.root().put(path, `{"token_signing_alg":"EdDSA","token_format":"jwt"}`).is(200), "jwt", "EdDSA")
	shows(w.root().patch(path, `{"token_signing_alg":null}`).is(200), "jwt", "ES256")
	shows(w.root().put("/v1/applications/named", `{"name":"y"}`).is(201), "jwt", "ES256")
	w.root().patch(path, `{"token_signing_alg":"none"}`).bad("/token_signing_alg")
	app, err := w.room.Application(id)
	if err != nil || app.TokenSigningAlg != "" {
		t.Fatalf("stored as %q, %v", app.TokenSigningAlg, err)
	}
	// It takes the right to write applications.
	w.application("reader", `,"grants":[{"resource":"iam/applications","action":"read"}]`)
	w.as("application:reader").patch(path, `{"token_signing_alg":"RS256"}`).is(403)
}

func TestG02ApplicationIDs(t *testing.T) {
	w := newWorld(t)
	for _, id := range []string{"me", "ME", "a:b", "a b", strings.Repeat("x", 129), "a%01b", "ä", ".."} {
		if r := w.root().put("/v1/applications/"+strings.ReplaceAll(id, " ", "%20"), `{"name":"x"}`); r.status != 400 && r.status != 404 {
			t.Errorf("%q: %d", id, r.status)
		}
	}
	w.root().put("/v1/applications/a%2Fb", `{"name":"x"}`).is(404)
	w.root().put("/v1/applications/"+strings.Repeat("x", 128), `{"name":"x"}`).is(201)
	w.root().with("If-None-Match", "*").put("/v1/applications/root", `{"name":"x"}`).refused("system_protected")
	w.application("a", "")
	w.root().with("If-None-Match", "*").put("/v1/applications/a", `{"name":"x"}`).is(412)
}

func TestL09DeletingIsOnceAndForGood(t *testing.T) {
	w := newWorld(t)
	w.application("a", "")
	secret := w.application("b", "")
	w.root().with("If-Match", `"9"`).del("/v1/applications/a").is(412)
	w.root().del("/v1/applications/a").is(204)
	w.root().del("/v1/applications/a").is(404)
	if _, err := w.room.Application("a"); err == nil {
		t.Fatal("the application is still in the mirror")
	}
	w.works("b", secret, true)
	w.root().del("/v1/applications/root").refused("system_protected")
	w.root().patch("/v1/applications/root", `{"protected":false}`).refused("system_protected")
	w.root().put("/v1/applications/root/scopes", `{"scopes":[]}`).refused("system_protected")
	w.root().post("/v1/applications/bulk-delete", `{"ids":["b","root"]}`).refused("system_protected").at("/ids/1")
	w.works("b", secret, true)
}

func TestM05ScopesAndTheRestAreEditedApart(t *testing.T) {
	w := newWorld(t)
	w.application("a", `,"scopes":["ledger:read","ledger:read"],"not_after":"2027-01-01T00:00:00Z"`)
	w.application("writer", `,"grants":[{"resource":"iam/applications","action":"read"},{"resource":"iam/applications","action":"write"}]`)
	writer := w.as("application:writer")
	writer.patch("/v1/applications/a", `{"name":"renamed"}`).is(200)
	writer.put("/v1/applications/a/scopes", `{"scopes":[]}`).is(403)
	for _, body := range []string{`{"scopes":["ledger:write"]}`, `{"grants":[{"resource":"x","action":"y"}]}`} {
		writer.patch("/v1/applications/a", body).is(403)
	}
	writer.post("/v1/applications", `{"name":"bare"}`).is(201)
	writer.post("/v1/applications", `{"name":"x","scopes":["ledger:read"]}`).is(403)
	scopes := w.root().get("/v1/applications/a/scopes").is(200)
	equal(t, "scopes", strings.TrimSpace(scopes.body), `{"scopes":["ledger:read"]}`)
	w.root().with("If-Match", `"1"`).put("/v1/applications/a/scopes", `{"scopes":["ledger:write"]}`).is(412)
	r := w.root().with("If-Match", scopes.header.Get("ETag")).put("/v1/applications/a/scopes", `{"scopes":["ledger:write"]}`).is(200)
	equal(t, "scopes", strings.TrimSpace(r.body), `{"scopes":["ledger:write"]}`)
	after := w.root().get("/v1/applications/a").is(200)
	equal(t, "name and window", after.text("name")+after.text("not_after"), "renamed2027-01-01T00:00:00Z")
	w.root().put("/v1/applications/a/scopes", `{"scopes":null}`).is(200)
	w.root().put("/v1/applications/a/scopes", `{}`).bad("/scopes")
}

func TestM10BulkDeletionIsAllOrNothing(t *testing.T) {
	w := newWorld(t)
	for _, id := range []string{"a", "b", "c"} {
		w.application(id, "")
	}
	w.root().post("/v1/applications/bulk-delete", `{"ids":[]}`).bad("/ids")
	w.root().post("/v1/applications/bulk-delete", `{"ids":["a"`+strings.Repeat(`,"x"`, 100)+`]}`).bad("/ids")
	r := w.root().post("/v1/applications/bulk-delete", `{"ids":["a","none","b"]}`).is(404).at("/ids/1")
	if !strings.Contains(r.text("detail"), "none") {
		t.Fatal(r.body)
	}
	equal(t, "applications", w.root().get("/v1/applications").ids("id"), "a b c root")
	before := len(w.chain("authority"))
	w.root().post("/v1/applications/bulk-delete", `{"ids":["a","b","a"]}`).is(204)
	equal(t, "applications", w.root().get("/v1/applications").ids("id"), "c root")
	equal(t, "outcomes", len(w.chain("authority"))-before, 1)
	w.application("self", `,"grants":[{"resource":"iam/applications","action":"*"}]`)
	w.as("application:self").post("/v1/applications/bulk-delete", `{"ids":["c","self"]}`).refused("self_lockout").at("/ids/1")
	w.root().get("/v1/applications/c").is(200)
	w.as("application:self").post("/v1/applications/bulk-delete", `{"ids":["c"]}`).is(204)
}

// The database goes away after each of the writes of a bulk: nothing of it is done, and nobody is told that it was.
func TestSA16ABulkThatIsCutMidwayDoesNothing(t *testing.T) {
	w := newWorld(t)
	var ids []string
	for n := range 10 {
		id := fmt.Sprintf("bulk%d", n)
		w.application(id, "")
		ids = append(ids, `"`+id+`"`)
	}
	body := `{"ids":[` + strings.Join(ids, ",") + `]}`
	before := w.root().get("/v1/applications?limit=100").is(200).body
	n := int64(1)
	for ; ; n++ {
		w.store.cut.Store(n)
		r := w.root().post("/v1/applications/bulk-delete", body)
		w.store.cut.Store(0)
		if r.status == 204 {
			break
		}
		if r.status != 503 || r.header.Get("Retry-After") == "" {
			t.Fatalf("after %d writes: %d %s", n, r.status, r.body)
		}
		equal(t, fmt.Sprintf("the applications after %d writes", n), w.root().get("/v1/applications?limit=100").is(200).body, before)
	}
	if n <= int64(len(ids)) {
		t.Errorf("%d applications were deleted in %d writes, so it was not cut midway", len(ids), n)
	}
	equal(t, "applications", w.root().get("/v1/applications").ids("id"), "root")
}

func TestM10EveryRuleOfASingleDeleteHoldsInABulk(t *testing.T) {
	w := newWorld(t)
	w.root().put("/v1/tenants/acme", `{"name":"x"}`).is(201)
	w.application("strong", `,"grants":[{"resource":"ledger","action":"write"}]`)
	w.application("weak", "")
	w.application("other", `,"tenant":"acme"`)
	w.application("actor", `,"grants":[{"resource":"iam/applications","action":"*"}]`)
	actor := w.as("application:actor")
	actor.post("/v1/applications/bulk-delete", `{"ids":["weak","strong"]}`).refused("delegation_exceeds_actor")
	// An application of a tenant of which the actor sees nothing looks like one that is not there, whatever else is wrong.
	for _, ids := range []string{`"weak","%s"`, `"%s"`, `"strong","%s"`, `"%s","strong","none"`} {
		foreign := actor.post("/v1/applications/bulk-delete", `{"ids":[`+fmt.Sprintf(ids, "other")+`]}`).is(404)
		missing := actor.post("/v1/applications/bulk-delete", `{"ids":[`+fmt.Sprintf(ids, "absen")+`]}`).is(404)
		equal(t, ids, strings.ReplaceAll(foreign.text("detail"), "other", "absen"), missing.text("detail"))
		equal(t, ids, foreign.text("pointer"), missing.text("pointer"))
	}
	equal(t, "applications", w.root().get("/v1/applications").ids("id"), "actor other root strong weak")
	w.root().post("/v1/applications/bulk-delete", `{"ids":["weak","other","strong"]}`).is(204)
}

func TestG04DelegationOnPostPutAndPatch(t *testing.T) {
	w := newWorld(t)
	w.application("target", "")
	const iam = `{"resource":"iam/applications","action":"write"},{"resource":"iam/applications","action":"write_scopes"}`
	w.application("actor", `,"grants":[{"resource":"iam/applications","action":"read"},`+iam+`]`)
	actor := w.as("application:actor")
	for grants, ok := range map[string]bool{
		`{"resource":"content","action":"read"}`:                        false,
		`{"resource":"*","action":"*"}`:                                 false,
		`{"resource":"iam/applications","action":"reveal"}`:             false,
		`{"tenant":"*","resource":"iam/applications","action":"write"}`: false,
		`{"resource":"iam/applications","action":"write"}`:              true,
		`{"resource":"iam/applications","action":"write_scopes"}`:       true,
		iam: true,
		``:  true,
	} {
		for _, r := range []*reply{
			actor.post("/v1/applications", `{"name":"x","grants":[`+grants+`]}`),
			actor.put("/v1/applications/target", `{"name":"x","grants":[`+grants+`]}`),
			actor.patch("/v1/applications/target", `{"grants":[`+grants+`]}`),
		} {
			if ok && r.status >= 300 {
				t.Errorf("%s\n%d %s", r.call, r.status, r.body)
			}
			if !ok {
				r.refused("delegation_exceeds_actor")
			}
		}
	}
}

func TestG09ToG10DeactivationEndsTokensForGood(t *testing.T) {
	w := newWorld(t)
	w.application("a", "")
	epoch := func() int64 {
		app, err := w.room.Application("a")
		must(t, err)
		return app.Epoch
	}
	w.root().patch("/v1/applications/a", `{"is_active":false}`).is(200)
	equal(t, "epoch", epoch(), 1)
	w.as("application:a").get("/v1/me").is(401)
	w.root().patch("/v1/applications/a", `{"is_active":true}`).is(200)
	equal(t, "epoch", epoch(), 1)
	w.as("application:a").get("/v1/me").is(200)
}

// S-T15: an audience is down when all that serve it are out of use, and neither for Writ's own nor where nobody serves it.
func TestAnAudienceIsDownWithItsServers(t *testing.T) {
	w := newWorld(t)
	down := func(audience string) bool { return w.room.AudienceDown(audience, w.now()) }
	want := func(what string, is bool) {
		t.Helper()
		equal(t, what, down("urn:ledger"), is)
	}
	want("served by nobody", false)
	w.root().put("/v1/tenants/acme", `{"name":"Acme"}`).is(201)
	w.application("one", `,"serves":["urn:ledger","https://writ.test/runtime"]`)
	want("served", false)
	w.root().patch("/v1/applications/one", `{"is_active":false}`).is(200)
	want("its server inactive", true)
	equal(t, "Writ's own", down("https://writ.test/runtime"), false)
	w.application("two", `,"tenant":"acme","serves":["urn:ledger"]`)
	want("another serves", false)
	w.root().patch("/v1/tenants/acme", `{"enabled":false}`).is(200)
	want("the other's tenant disabled", true)
	w.open()
	want("after a restart", true)
	w.root().patch("/v1/applications/one", `{"is_active":true,"not_after":"2026-06-01T12:00:01Z"}`).is(200)
	want("active again", false)
	w.pass(time.Second)
	want("after its window", true)
	w.root().patch("/v1/applications/one", `{"serves":[]}`).is(200)
	w.root().patch("/v1/tenants/acme", `{"enabled":true}`).is(200)
	want("one less, one back", false)
	w.root().del("/v1/applications/two").is(204)
	want("its last server gone", false)
}
