package identity_test

import (
	"strings"
	"testing"

	"github.com/writ-authz/writ/identity"
)

func TestAnApplicationThatTheServerBringsAlong(t *testing.T) {
	w := newWorld(t)
	b := identity.BuiltIn{ID: "dialect-x", Description: "For x", SigningAlg: "RS256"}
	must(t, w.room.BuiltIn(t.Context(), b))
	must(t, w.follow())
	sequence, err := w.store.Sequence(t.Context())
	must(t, err)
	must(t, w.room.BuiltIn(t.Context(), b)) // a later start changes nothing
	after, err := w.store.Sequence(t.Context())
	must(t, err)
	equal(t, "sequence", after, sequence)

	made := w.root().get("/v1/applications/dialect-x").is(200).body
	for _, wanted := range []string{
		`"token_endpoint_auth_method":"none"`, `"grant_types":["password","refresh_token"]`, `"token_signing_alg":"RS256"`, `"roles":[]`,
		`"grants":[]`, `"protected":true`, `"is_active":true`,
	} {
		if !strings.Contains(made, wanted) {
			t.Errorf("the application has no %s: %s", wanted, made)
		}
	}
	if strings.Contains(made, "writ_cs_") {
		t.Error("it has a secret")
	}
	w.root().del("/v1/applications/dialect-x").is(403)
}

// An application of that id that somebody made is not turned into one without credentials.
func TestAnApplicationOfTheSameIDIsInTheWay(t *testing.T) {
	w := newWorld(t)
	w.root().put("/v1/applications/dialect-x", `{"name":"mine","grant_types":["client_credentials"]}`).is(201)
	must(t, w.follow())
	err := w.room.BuiltIn(t.Context(), identity.BuiltIn{ID: "dialect-x"})
	if err == nil || !strings.Contains(err.Error(), "delete it first") {
		t.Fatalf("got %v", err)
	}
	// What was deleted comes back with a later epoch, so that no token of it lives on.
	w.root().del("/v1/applications/dialect-x").is(204)
	must(t, w.follow())
	must(t, w.room.BuiltIn(t.Context(), identity.BuiltIn{ID: "dialect-x"}))
	must(t, w.follow())
	w.root().get("/v1/applications/dialect-x").is(200)
}
