package identity_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"testing"

	"github.com/writ-authz/writ/storage"
)

// FuzzCursor: no text but the cursor that a list gave opens a page.
func FuzzCursor(f *testing.F) {
	w := newWorld(f)
	for _, id := range []string{"a", "b", "c"} {
		w.root().put("/v1/tenants/"+id, `{"name":"T","enabled":true}`).is(http.StatusCreated)
	}
	good := w.root().get("/v1/tenants?limit=1").is(http.StatusOK).text("next")
	if good == "" {
		f.Fatal("the list gave no cursor")
	}
	for _, seed := range []string{good + "=", good[:len(good)-1], "A" + good, "", "!", "AAAAAAAAAAAAAAAAAAAAAAAA", "\x00"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, cursor string) {
		w.t = t // fuzz targets of one process run one after another
		if cursor == good || cursor == "" {
			return
		}
		for _, parameter := range []string{"after", "before"} {
			w.root().get("/v1/tenants?limit=1&"+parameter+"="+url.QueryEscape(cursor)).want(http.StatusBadRequest, "unknown_cursor")
		}
	})
}

// FuzzBootstrap: a bootstrap file is applied whole or changes nothing; applied again it makes nothing; and whatever it says, the
// application root and the role system:owner are as they were.
func FuzzBootstrap(f *testing.F) {
	w := newWorld(f)
	state := func() (sequence int64, protected string) {
		sequence, err := w.store.Sequence(w.t.Context())
		must(w.t, err)
		root, err := storage.Get[storage.Application](w.t.Context(), w.store, "root")
		must(w.t, err)
		owner, err := storage.Get[storage.Role](w.t.Context(), w.store, "system:owner")
		must(w.t, err)
		text, err := json.Marshal([]any{root, owner})
		must(w.t, err)
		return sequence, string(text)
	}
	_, want := state()
	f.Fuzz(func(t *testing.T, content []byte) {
		w.t = t // fuzz targets of one process run one after another
		before, _ := state()
		made, err := w.room.BootstrapFile(t.Context(), content)
		after, protected := state()
		equal(t, "root and system:owner", protected, want)
		if err != nil || len(made) == 0 {
			equal(t, "sequence", after, before)
			equal(t, "made", len(made), 0)
			return
		}
		again, err := w.room.BootstrapFile(t.Context(), content)
		must(t, err)
		equal(t, "made the second time", len(again), 0)
		last, _ := state()
		equal(t, "sequence after the second time", last, after)
	})
}
