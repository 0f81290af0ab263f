package identity_test

import (
	"strings"
	"testing"

	"github.com/writ-authz/writ/storage"
)

// User passwords are kept as verifiers alone: nothing that the server answers, stores, audits or logs has one.
func TestSL02NoRouteRecordOrEntryHasAPassword(t *testing.T) {
	w := newRowWorld(t)
	const first, second = "canary-amber-lattice-91", "canary-cobalt-lattice-92"
	id := w.root().post("/v1/users", `{"username":"cara","email":"cara@example.com","roles":["system:owner"],"password":"`+first+`"}`).is(201).text("id")
	_, _, err := w.room.Check(t.Context(), home, "cara", first)
	must(t, err)
	if _, _, err := w.room.Check(t.Context(), home, "cara", second); err == nil {
		t.Fatal("a wrong password is right")
	}
	if _, _, err := w.room.Check(t.Context(), home, second, first); err == nil { // typed into the wrong field
		t.Fatal("nobody has that name")
	}
	cara := w.as("user:cara,fresh")
	cara.post("/v1/me/password", `{"current_password":"`+second+`","new_password":"`+second+`"}`)
	cara.post("/v1/me/password", `{"current_password":"`+first+`","new_password":"`+second+`"}`).is(204)
	w.root().patch("/v1/users/"+id, `{"password":"`+first+`","surplus":1}`)
	temporary := w.root().post("/v1/users/"+id+"/password/reset", "").is(200).text("temporary_password")
	if temporary == "" {
		t.Fatal("no temporary password")
	}
	w.room.Close()

	canaries := []string{first, second, temporary}
	look := func(where, text string) {
		for _, canary := range canaries {
			if strings.Contains(text, canary) {
				t.Errorf("%s has a password", where)
			}
		}
	}
	user := w.user
	for _, known := range []string{user, id} {
		w.user = known
		for name, row := range rows() {
			if strings.HasPrefix(name, "GET ") && !strings.Contains(name, "/me") {
				look(name, row.permit(w).is(row.permitStatus).body)
			}
		}
	}
	for after := ""; ; {
		r := w.root().get("/v1/audit?limit=100" + after).is(200)
		look("GET /v1/audit", r.body)
		if r.text("next") == "" {
			break
		}
		after = "&after=" + r.text("next")
	}
	for _, sid := range []string{w.sid, id, "password"} { // there is nothing to reveal but an application's secret
		w.as("user:cara,fresh").post("/v1/applications/"+id+"/secrets/"+sid+"/reveal", `{"reason":"x"}`).is(400)
	}
	for _, kind := range storage.Kinds() {
		records, err := w.store.Store.List(t.Context(), kind, storage.Query{Limit: 1000})
		must(t, err)
		for _, r := range records {
			body, err := storage.Encode(r)
			must(t, err)
			look("a record of "+kind.Name, string(body))
		}
	}
	look("the log", w.log.String())
}
