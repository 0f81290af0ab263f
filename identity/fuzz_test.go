package identity_test

import (
	"net/http"
	"net/url"
	"testing"
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
		w.root().get("/v1/tenants?limit=1&after="+url.QueryEscape(cursor)).want(http.StatusBadRequest, "unknown_cursor")
	})
}
