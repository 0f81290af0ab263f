package identity_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/writ-authz/writ/storage"
)

func (w *world) sealedCopies() int {
	w.t.Helper()
	all, err := storage.List[storage.SealedSecret](w.t.Context(), w.store.Store, storage.Query{Limit: 1000})
	must(w.t, err)
	return len(all)
}

func TestHashOnlyRemovesEverySealedCopyForGood(t *testing.T) {
	w := newWorld(t)
	w.user("boss", `,"roles":["system:owner"]`)
	secrets := map[string]string{}
	for n := range 3 {
		id := fmt.Sprint("app-", n)
		secrets[id] = w.application(id, "")
	}
	for range 49 { // more than one batch, and one application in two
		w.root().post("/v1/applications/app-1/secrets", `{}`).is(201)
		w.root().post("/v1/applications/app-2/secrets", `{}`).is(201)
	}
	equal(t, "copies", w.sealedCopies(), 101)
	reveal := func(id string) *reply {
		sid := strings.Fields(w.root().get("/v1/applications/" + id + "/secrets").ids("id"))[0]
		return w.as("user:boss,fresh").post("/v1/applications/"+id+"/secrets/"+sid+"/reveal", `{"reason":"x"}`)
	}
	equal(t, "value", reveal("app-0").is(200).text("value"), secrets["app-0"])

	t.Log("the mode alone refuses, before anything is removed")
	w.adjust = func(c *config) { c.HashOnly = true }
	w.open()
	reveal("app-0").conflict("not_retrievable")

	t.Log("a cut-off removal is taken up again")
	sequence, err := w.store.Sequence(t.Context())
	must(t, err)
	removed, err := w.room.ForgetSealed(t.Context())
	must(t, err)
	equal(t, "removed", removed, 101)
	equal(t, "copies", w.sealedCopies(), 0)
	entries := w.chain("authority")
	batches := 0
	for _, e := range entries {
		if e.Action == "secrets:forget" && e.Outcome == "ok" && e.Seq > sequence {
			batches++
		}
	}
	equal(t, "audited batches", batches, 2)
	removed, err = w.room.ForgetSealed(t.Context())
	must(t, err)
	equal(t, "removed again", removed, 0)
	for id, secret := range secrets {
		w.works(id, secret, true)
		reveal(id).conflict("not_retrievable")
		if body := w.root().get("/v1/applications/" + id + "/secrets").body; strings.Contains(body, `"retrievable":true`) {
			t.Fatalf("%s is said to be retrievable: %s", id, body)
		}
	}

	t.Log("new secrets have no copy")
	w.application("late", `,"retrievable":true`)
	w.root().post("/v1/applications/app-0/secrets", `{}`).is(201)
	equal(t, "copies", w.sealedCopies(), 0)
	reveal("late").conflict("not_retrievable")

	t.Log("switching back brings nothing back")
	w.pass(60_000_000_000)
	w.adjust = func(*config) {}
	w.open()
	reveal("app-0").conflict("not_retrievable")
	reveal("late").conflict("not_retrievable")
	w.application("new", "")
	reveal("new").is(200)
}
