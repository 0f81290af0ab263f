package e2e

import (
	"bytes"
	"strings"
	"testing"
)

// everyRow sends the good request of every row, and of the token endpoint for the given application, and demands 503 of each.
func (c *scenario) everyRow(credential string, replace *strings.Replacer) {
	admin, public := apiRows()
	for i, rows := range [][]row{admin, public} {
		for _, r := range rows {
			var body any
			if r.body != nil {
				body = r.body
			}
			query := ""
			if r.query != "" {
				query = "?" + r.query
			}
			c.as(credential).on(i == 1).send(r.method, replace.Replace(r.path)+query, body).wantStatus(503)
			c.header("Retry-After")
			c.expect(r.method + " " + r.path)
		}
	}
}

// TestC05AStoreThatIsDownIs503OnEveryRow stops the database under a node and goes to every row: neither denied nor served.
func TestC05AStoreThatIsDownIs503OnEveryRow(t *testing.T) {
	onMongoDB(t)
	t.Parallel()
	db := ownStandIn(t)
	s := startTogether(t, newCluster(db), Options{Strict: true, Env: map[string]string{"WRIT_MAX_STALENESS": "2s"}})[0]
	c := story(t, s).root()
	replace := c.furniture()
	before := c.everything()
	root := c.auth
	c.done()
	if err := db.stop(); err != nil {
		t.Fatal(err)
	}
	c.as("").eventually(bindsWithin, func() { c.get("/readyz").wantStatus(503) })
	c.everyRow(root, replace)
	c.ask(app{ID: "root", Secret: s.Secret}, "grant_type", "client_credentials").wantOAuthError(503, "temporarily_unavailable")
	c.header("Retry-After")
	if err := db.start(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.as(root).eventually(bindsWithin, func() { c.get("/v1/users").wantStatus(200) })
	after := c.everything()
	c.done()
	for path, was := range before { // but for keys, which are made ahead of time by themselves
		if !strings.HasPrefix(path, "/v1/keys") && !bytes.Equal(was, after[path]) {
			t.Errorf("GET %s changed:\nbefore %s\nafter  %s", path, was, after[path])
		}
	}
}
