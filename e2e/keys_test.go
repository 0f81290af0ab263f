package e2e

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

// activeKey is the id of the active key of a ring for an algorithm, as the caller may list it.
func (c *scenario) activeKey(ring, algorithm string) string {
	c.get("/v1/keys?limit=100&ring=" + ring).wantStatus(200)
	found := c.keysIn(algorithm, "active")
	if c.err == nil && len(found) != 1 {
		c.fail("%d keys of the ring %s are active for %s, want one", len(found), ring, algorithm)
		return ""
	}
	return strings.Join(found, "")
}

// keysIn are the ids in the list that was got last, of an algorithm and in a state.
func (c *scenario) keysIn(algorithm, state string) []string {
	if c.err != nil {
		return nil
	}
	var page struct {
		Items []struct{ KID, Alg, State string }
	}
	if err := json.Unmarshal(c.last.body, &page); err != nil {
		c.fail("%v", err)
	}
	var found []string
	for _, k := range page.Items {
		if k.Alg == algorithm && k.State == state {
			found = append(found, k.KID)
		}
	}
	return found
}

// signedBy demands that the next token of an application is one of this key.
func (c *scenario) signedBy(a app, kid string) string {
	token := c.token(a)
	header, err := part(token, 0)
	if c.err == nil && (err != nil || header["kid"] != kid) {
		c.fail("the token is of the key %v (%v), want %s", header["kid"], err, kid)
	}
	return token
}

// verified demands that a token verifies with the published keys alone.
func (c *scenario) verified(token string) {
	c.get("/.well-known/jwks.json").wantStatus(200)
	if _, err := verify(token, c.last.value()); c.err == nil && err != nil {
		c.fail("%v", err)
	}
}

// TestJ05KeysAreRotatedAndRetired follows keys through the admin API: the next one is published before it signs, what the old one
// signed lives on, and dies with it when it is retired.
func TestJ05KeysAreRotatedAndRetired(t *testing.T) {
	s := fresh(t, Options{})
	c := story(t, s).as(basic("root", s.Secret)) // a token of root would die with its key
	a := c.newApp(object{})
	first := c.activeKey("access", "ES256")
	old := c.signedBy(a, first)

	c.step("the next key is published, and does not sign")
	c.post("/v1/keys", object{"ring": "access", "alg": "ES256"}).wantStatus(201).want("/state", "next")
	next := c.text("/kid")
	c.wantHeader("Location", "/v1/keys/"+next)
	c.get("/v1/keys/"+next).wantStatus(200).want("/public/kid", next).wantAbsent("/public/d").wantAbsent("/sealed")
	c.get("/.well-known/jwks.json").wantStatus(200)
	if !strings.Contains(string(c.last.body), `"`+next+`"`) {
		c.fail("the next key is not published")
	}
	c.signedBy(a, first)
	c.post("/v1/keys", object{"ring": "access", "alg": "ES256"}).wantProblem(409, "/ring").want("/code", "key_waiting")

	c.step("promoted by hand, it signs; what the old one signed is good")
	c.post("/v1/keys", object{"ring": "access", "alg": "ES256", "now": true}).wantStatus(200).want("/kid", next).want("/state", "active")
	fresh := c.signedBy(a, next)
	c.live(old).live(fresh)
	c.verified(old)
	c.verified(fresh)
	c.with("Authorization", basic(a.ID, a.Secret)).form("/oauth2/introspect", fields("token", old)).wantStatus(200).want("/active", true)
	c.get("/v1/keys/"+first).wantStatus(200).want("/state", "retiring")

	c.step("retired, it takes its tokens along and nothing else")
	c.delete("/v1/keys/" + first).wantStatus(204)
	c.dead(old).live(fresh)
	c.with("Authorization", basic(a.ID, a.Secret)).form("/oauth2/introspect", fields("token", old)).wantStatus(200).want("/active", false)
	c.get("/.well-known/jwks.json").wantStatus(200)
	if strings.Contains(string(c.last.body), `"`+first+`"`) {
		c.fail("a retired key is published")
	}
	c.delete("/v1/keys/"+first).wantStatus(409).want("/code", "key_retired")

	c.step("the active key has a successor at once")
	c.delete("/v1/keys/" + next).wantStatus(204)
	c.dead(fresh)
	c.live(c.signedBy(a, c.activeKey("access", "ES256")))

	c.step("who may not, may not")
	reader := c.newApp(object{"grants": grants("keys:read")})
	c.as(bearer(c.token(reader)))
	c.get("/v1/keys").wantStatus(200)
	c.post("/v1/keys", object{"ring": "access", "alg": "ES256"}).wantDenied("not_granted")
	c.delete("/v1/keys/" + next).wantDenied("not_granted")
	c.as("").post("/v1/keys", object{"ring": "access", "alg": "ES256"}).wantUnauthorized()
	c.done()
}

// TestKeysCommands rotates and retires with the binary's own client.
func TestKeysCommands(t *testing.T) {
	s := fresh(t, Options{})
	s.guests = true
	c := story(t, s).as(basic("root", s.Secret))
	nobody := c.newApp(object{})
	c.done()
	root := map[string]string{
		"WRIT_URL": s.Public, "WRIT_ADMIN_URL": s.Admin, "WRIT_CLIENT_ID": "root", "WRIT_CLIENT_SECRET": s.Secret,
	}
	run := func(env map[string]string, code int, args ...string) (stdout, stderr string) {
		t.Helper()
		out := suite.runner.Command(t.Context(), Options{Env: env}, append([]string{"keys"}, args...)...)
		if out.Code != code {
			t.Fatalf("writ keys %s: exit code %d, want %d\n%s%s", strings.Join(args, " "), out.Code, code, out.Stdout, out.Stderr)
		}
		return out.Stdout, out.Stderr
	}
	type key struct{ KID, Ring, Alg, State string }
	list := func(ring string) (keys []key) {
		t.Helper()
		out, _ := run(root, 0, "list", "--ring", ring, "--output", "json")
		if err := json.Unmarshal([]byte(out), &keys); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		// Those of EdDSA and RS256 come a moment after the start.
		return slices.DeleteFunc(keys, func(k key) bool { return k.Ring == "access" && k.Alg != "ES256" })
	}
	table, _ := run(root, 0, "list")
	for _, ring := range []string{"access", "introspection", "opaque", "refresh"} {
		if !strings.Contains(table, " "+ring+" ") || len(list(ring)) != 1 || list(ring)[0].State != "active" {
			t.Errorf("the ring %s has not one active key:\n%s", ring, table)
		}
	}
	first := list("access")[0]
	var next, promoted key
	out, _ := run(root, 0, "rotate", "--output", "json")
	if err := json.Unmarshal([]byte(out), &next); err != nil || next.State != "next" || next.Alg != "ES256" {
		t.Fatalf("writ keys rotate: %v %s", err, out)
	}
	if _, said := run(root, 1, "rotate"); !strings.Contains(said, "key_waiting") || !strings.Contains(said, "becomes active at") {
		t.Errorf("a second next key: %s", said)
	}
	out, _ = run(root, 0, "rotate", "--now", "--output", "json")
	if err := json.Unmarshal([]byte(out), &promoted); err != nil || promoted.KID != next.KID || promoted.State != "active" {
		t.Errorf("writ keys rotate --now: %v %s", err, out)
	}
	if out, _ = run(root, 0, "rotate", "--ring", "refresh", "--now", "--output", "yaml"); !strings.Contains(out, "state: active") {
		t.Errorf("writ keys rotate --ring refresh: %s", out)
	}
	if out, _ = run(root, 0, "retire", first.KID); !strings.Contains(out, "retired") {
		t.Errorf("writ keys retire: %s", out)
	}
	states := map[string]string{}
	for _, k := range list("access") {
		states[k.KID] = k.State
	}
	if states[first.KID] != "retired" || states[next.KID] != "active" || len(states) != 2 {
		t.Errorf("the keys are %v", states)
	}
	if _, said := run(root, 1, "retire", first.KID); !strings.Contains(said, "key_retired") {
		t.Errorf("retired twice: %s", said)
	}
	run(root, 1, "retire", "none")
	run(root, 1, "retire", "--", "-none") // asked for, and not found
	run(root, 1, "rotate", "--ring", "signing")
	run(root, 2, "retire")
	run(root, 2, "list", "--output", "xml")
	other := map[string]string{"WRIT_URL": s.Public, "WRIT_ADMIN_URL": s.Admin, "WRIT_CLIENT_ID": nobody.ID, "WRIT_CLIENT_SECRET": nobody.Secret}
	if _, said := run(other, 1, "list"); !strings.Contains(said, "403") {
		t.Errorf("somebody without the right: %s", said)
	}
}
