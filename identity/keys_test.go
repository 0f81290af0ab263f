package identity_test

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/writ-authz/writ/policies/enforce"
	"github.com/writ-authz/writ/storage"
)

// keyring stands in for the port of oauth: it makes keys of the ring "access" and retires them, without cryptography.
type keyring struct{ asked []string }

const sealedHalf = "sealed-private-half"

func (k *keyring) RotateKey(_ context.Context, _ storage.Reader, ring, algorithm string, now bool) ([]*storage.Key, error) {
	k.asked = append(k.asked, ring+" "+algorithm)
	if ring != "access" {
		return nil, enforce.BadRequest("unknown_ring", "/ring", "there is no such ring")
	}
	made := &storage.Key{
		Ring: ring, Algorithm: algorithm, State: "next", Public: json.RawMessage(`{"kty":"EC"}`), Sealed: []byte(sealedHalf),
	}
	made.ID = "key-" + strings.Repeat("x", len(k.asked))
	if now {
		made.State = "active"
	}
	return []*storage.Key{made}, nil
}

func (k *keyring) RetireKey(ctx context.Context, r storage.Reader, kid string) ([]*storage.Key, error) {
	k.asked = append(k.asked, kid)
	record, err := storage.Get[storage.Key](ctx, r, kid)
	if err != nil {
		return nil, err
	}
	if record.State == "retired" {
		return nil, &enforce.ProtocolError{Status: http.StatusConflict, Code: "key_retired", Detail: "the key is retired"}
	}
	record.State, record.Sealed = "retired", nil
	return []*storage.Key{record}, nil
}

func TestKeysAreMadeShownAndRetired(t *testing.T) {
	w := newWorld(t)
	made := w.root().post("/v1/keys", `{"ring":"access","alg":"ES256"}`).is(201)
	kid := made.text("kid")
	equal(t, "Location", made.header.Get("Location"), "/v1/keys/"+kid)
	equal(t, "state", made.text("state"), "next")
	w.root().post("/v1/keys", `{"ring":"access","alg":"RS256","now":true}`).is(201)
	list := w.root().get("/v1/keys?ring=access").is(200)
	equal(t, "kids", list.ids("kid"), "key-x key-xx")
	equal(t, "states", list.ids("state"), "next active")
	first := w.root().get("/v1/keys?limit=1").is(200)
	equal(t, "second page", w.root().get("/v1/keys?limit=1&after="+first.text("next")).is(200).ids("kid"), "key-xx")
	equal(t, "another ring", w.root().get("/v1/keys?ring=refresh").is(200).ids("kid"), "")
	one := w.root().get("/v1/keys/" + kid).is(200)
	equal(t, "public half", one.text("public", "kty"), "EC")
	for _, r := range []*reply{made, list, one} {
		if strings.Contains(r.body, "seal") || strings.Contains(r.body, sealedHalf) || strings.Contains(r.body, "c2VhbGVk") {
			t.Fatalf("the secret half is shown: %s", r.body)
		}
	}
	tag := one.header.Get("Etag")
	w.root().with("If-Match", `"1-7"`).del("/v1/keys/"+kid).want(412, "precondition_failed")
	w.root().with("If-Match", tag).del("/v1/keys/" + kid).is(204)
	equal(t, "state", w.root().get("/v1/keys/"+kid).is(200).text("state"), "retired")
	w.root().del("/v1/keys/" + kid).conflict("key_retired")
	w.root().del("/v1/keys/none").is(404)
	w.root().get("/v1/keys/none").is(404)
	w.root().post("/v1/keys", `{"ring":"nothing"}`).bad("/ring")
	w.root().post("/v1/keys", `{}`).bad("/ring")
	w.root().post("/v1/keys", `{"ring":"access","now":null}`).bad("/now")
	w.root().post("/v1/keys", `{"ring":"access","kid":"mine"}`).is(400)
}

// A caller who may not has no key made for it, and the refusal is written down.
func TestWhoMayNotChangeKeysMakesNone(t *testing.T) {
	w := newWorld(t)
	w.root().post("/v1/keys", `{"ring":"access","alg":"ES256"}`).is(201)
	w.application("reader", `,"grants":[{"resource":"keys","action":"read"}]`)
	w.keys.asked = nil
	reader := w.as("application:reader")
	reader.get("/v1/keys").is(200)
	reader.post("/v1/keys", `{"ring":"access","alg":"ES256"}`).refused("not_granted")
	reader.del("/v1/keys/key-x").refused("not_granted")
	w.as("application:root,scope=keys:read").del("/v1/keys/key-x").refused("insufficient_scope")
	w.application("keeper", `,"grants":[{"resource":"keys","action":"*"}]`)
	w.as("application:keeper").del("/v1/keys/key-x").refused("root_only") // it would end tokens of everybody
	if w.keys.asked != nil {
		t.Fatalf("keys were worked on: %v", w.keys.asked)
	}
	equal(t, "state", w.root().get("/v1/keys/key-x").is(200).text("state"), "next")
	entries := w.chain(w.room.Chain())
	refused := slices.ContainsFunc(entries, func(e *storage.AuditEntry) bool {
		return e.Action == "keys:retire" && e.Target == "keys/key-x" && e.Outcome == "refused" && e.Reason == "not_granted"
	})
	if !refused {
		t.Fatal("the refusal is not in the audit log")
	}
}

// TestSL4KeysAreNotChangedAnonymously is S-L4: nobody changes keys without saying who it is, and a second bootstrap gives no second root.
func TestSL4KeysAreNotChangedAnonymously(t *testing.T) {
	w := newWorld(t)
	for _, call := range []string{"GET /v1/keys", "POST /v1/keys", "GET /v1/keys/x", "DELETE /v1/keys/x"} {
		method, path, _ := strings.Cut(call, " ")
		w.as("").do(method, path, "").is(401)
	}
	if w.keys.asked != nil {
		t.Fatalf("keys were worked on: %v", w.keys.asked)
	}
	again, err := w.room.Bootstrap(t.Context(), strings.Repeat("another secret ", 3))
	must(t, err)
	equal(t, "the secret of a second bootstrap", again, "")
}

// The change of a key is lost with its audit entry, and bound to the sequence that it was decided at.
func TestAKeyThatCannotBeAuditedIsNotMade(t *testing.T) {
	w := newWorld(t)
	kind := storage.AuditKind.Name
	w.store.refuse.Store(&kind)
	w.root().post("/v1/keys", `{"ring":"access","alg":"ES256"}`).is(503)
	w.store.refuse.Store(nil)
	equal(t, "kids", w.root().get("/v1/keys").is(200).ids("kid"), "")
}
