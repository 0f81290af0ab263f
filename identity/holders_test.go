package identity_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/writ-authz/writ/policies/enforce"
	"github.com/writ-authz/writ/storage"
)

// holders are the ids behind after.
func (w *world) holders(h enforce.Holding, after string, limit int) []string {
	w.t.Helper()
	found, err := w.room.Holders(w.t.Context(), h, after, limit)
	must(w.t, err)
	ids := make([]string, len(found))
	for n, s := range found {
		ids[n] = s.ID
	}
	return ids
}

// The look-up goes backwards over grants, roles, what inherits them, and groups; so each must be found, and who has none must not.
func TestHoldersAreThoseWhoHold(t *testing.T) {
	w := newWorld(t)
	w.role("x:reader", `[{"resource":"ledger","action":"read"}]`)
	w.root().put("/v1/roles/x:heir", `{"grants":[],"inherits":["x:reader"]}`).is(201)
	w.role("x:writer", `[{"resource":"ledger","action":"write"}]`)
	w.root().put("/v1/groups/readers", `{"name":"R","roles":["x:heir"]}`).is(201)
	var want []string
	for name, more := range map[string]string{
		"own": `,"grants":[{"resource":"ledger/accounts","action":"*"}]`, "role": `,"roles":["x:reader"]`,
		"heir": `,"roles":["x:heir"]`, "group": `,"groups":["readers"]`, "twice": `,"roles":["x:reader"],"groups":["readers"]`,
	} {
		want = append(want, w.user(name, more))
	}
	slices.Sort(want)
	w.user("writer", `,"roles":["x:writer"]`)
	w.user("elsewhere", `,"grants":[{"resource":"payroll","action":"read"}]`)
	w.application("app", `,"roles":["x:reader"]`)
	h := enforce.Holding{
		Type: "user", Tenants: []string{"", "*"}, Resources: []string{"ledger/accounts", "ledger", "*"}, Actions: []string{"read", "*"},
	}
	if found := w.holders(h, "", 100); !slices.Equal(found, want) {
		t.Errorf("found %v, want %v", found, want)
	}
	for limit := 1; limit <= len(want)+1; limit++ {
		var paged []string
		for after := ""; ; after = paged[len(paged)-1] {
			page := w.holders(h, after, limit)
			if paged = append(paged, page...); len(page) < limit {
				break
			}
		}
		if !slices.Equal(paged, want) {
			t.Errorf("pages of %d: %v", limit, paged)
		}
	}
	h.Type = "application"
	equal(t, "applications", strings.Join(w.holders(h, "", 100), " "), "app root")
	h.Type = "robot"
	equal(t, "robots", len(w.holders(h, "", 100)), 0)

	h.Type = "user"
	w.root().patch("/v1/roles/x:reader", `{"grants":[]}`).is(200)
	equal(t, "holders when the role gives nothing", len(w.holders(h, "", 100)), 1)
}

// Many roles give the same: then the index is asked for all of them at once, and finds the same as going through everybody.
func TestHoldersOfManyRoles(t *testing.T) {
	w := newWorld(t)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	for n := range 40 {
		w.role(fmt.Sprintf("x:r%d", n), []string{`[]`, `[{"resource":"ledger","action":"read"}]`}[n%2])
	}
	var want []string
	for n := range 12 {
		role := r.IntN(40)
		if id := w.user(fmt.Sprintf("user%d", n), fmt.Sprintf(`,"roles":["x:r%d"]`, role)); role%2 == 1 {
			want = append(want, id)
		}
	}
	slices.Sort(want)
	h := enforce.Holding{Type: "user", Tenants: []string{""}, Resources: []string{"ledger"}, Actions: []string{"read"}}
	if found := w.holders(h, "", 100); !slices.Equal(found, want) {
		t.Errorf("found %v, want %v", found, want)
	}
	w.store.away.Store(true)
	if _, err := w.room.Holders(t.Context(), h, "", 10); !isUnavailable(err) {
		t.Errorf("with the store away: %v", err)
	}
}

func isUnavailable(err error) bool {
	return err != nil && strings.Contains(err.Error(), storage.ErrUnavailable.Error())
}

// A page token is good for its own search.
func TestPageTokens(t *testing.T) {
	w := newWorld(t)
	token := w.room.SealPage("one", "0 place")
	if place, ok := w.room.OpenPage("one", token); !ok || place != "0 place" {
		t.Errorf("got %q %t", place, ok)
	}
	for _, other := range []string{"", "two"} {
		if _, ok := w.room.OpenPage(other, token); ok {
			t.Errorf("the token opened for %q", other)
		}
	}
	if _, ok := w.room.OpenPage("one", changedToken(token)); ok {
		t.Error("a token that was changed opened")
	}
}

// changedToken is the token with another first character, whatever that was.
func changedToken(token string) string {
	if changed := "A" + token[1:]; changed != token {
		return changed
	}
	return "B" + token[1:]
}
