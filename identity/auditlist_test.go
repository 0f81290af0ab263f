package identity_test

import (
	"context"
	"encoding/json"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/writ-authz/writ/identity"
	"github.com/writ-authz/writ/storage"
)

// audited lists what a caller sees, over all pages, as "event action target".
func audited(a as, query string) (lines []string) {
	a.w.t.Helper()
	for after := ""; ; {
		r := a.get("/v1/audit?limit=3&" + query + after).is(200)
		items, _ := r.value("items").([]any)
		for _, item := range items {
			e := item.(map[string]any)
			lines = append(lines, e["event"].(string)+" "+e["action"].(string)+" "+e["target"].(string))
		}
		next := r.text("next")
		if next == "" {
			return lines
		}
		after = "&after=" + url.QueryEscape(next)
	}
}

func TestTheAuditIsListedByEachFilter(t *testing.T) {
	w := newWorld(t)
	w.application("billing", "")
	w.application("nobody", "")
	w.pass(time.Hour)
	decision := w.root().patch("/v1/applications/billing", `{"name":"B"}`).is(200).header.Get("Decision-Id")
	w.as("application:nobody").post("/v1/groups", `{"name":"x"}`).is(403)
	w.pass(48 * time.Hour)
	w.root().post("/v1/applications/bulk-delete", `{"ids":["billing","nobody"]}`).is(204)
	own := url.QueryEscape(w.room.Chain())
	bulk := []string{"outcome iam/applications:bulk_delete applications/billing,nobody", "intent iam/applications:bulk_delete applications/billing,nobody"}
	patched := []string{"outcome iam/applications:patch applications/billing", "intent iam/applications:patch applications/billing"}
	made := []string{"outcome iam/applications:put applications/billing", "intent iam/applications:put applications/billing"}
	refusal := "outcome iam/groups:create groups"
	for query, want := range map[string][]string{
		"decision_id=" + decision:                                   patched,
		"actor=application:nobody":                                  {refusal},
		"outcome=refused":                                           {refusal},
		"target=applications/billing":                               {made[0], patched[0], bulk[0], made[1], patched[1], bulk[1]},
		"target=applications/billing&event=outcome&chain=authority": {made[0], patched[0], bulk[0]},
		"target=applications/billing&chain=" + own:                  {made[1], patched[1], bulk[1]},
		"since=2026-06-01T13:00:00Z":                                {patched[0], bulk[0], patched[1], refusal, bulk[1]},
		"since=2026-06-01T13:00:00Z&until=2026-06-03T13:00:00Z":     {patched[0], patched[1], refusal},
		"since=2026-06-01T13:00:00.001Z&event=intent":               {bulk[1]},
		"since=2020-06-01T13:00:00Z&action=iam/applications:patch":  patched,
		"until=2026-06-01T13:00:00Z&target=applications/billing":    made,
		"since=2027-06-01T13:00:00Z":                                nil,
		"action=none":                                               nil,
		"tenant=acme":                                               nil,
	} {
		got := audited(w.root(), query)
		for i := range got {
			got[i] = strings.ReplaceAll(got[i], "groups/"+path(got[i]), "groups")
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s:\n got %q\nwant %q", query, got, want)
		}
	}
	for query, parameter := range map[string]string{
		"outcome=good": "outcome", "event=x": "event", "since=yesterday": "since", "until=1": "until", "limit=0": "limit", "after=x": "after", "x=1": "x",
	} {
		r := w.root().get("/v1/audit?" + query).is(400)
		if !strings.Contains(r.body, parameter) {
			t.Errorf("%s: %s", query, r.body)
		}
	}
	next := w.root().get("/v1/audit?limit=1").is(200).text("next")
	w.root().get("/v1/audit?limit=1&outcome=ok&after=" + url.QueryEscape(next)).is(400)
}

func path(line string) string {
	_, id, _ := strings.Cut(line, " groups/")
	return id
}

// A reader sees the entries of the tenants that it reads the audit of; those of no tenant are seen by whoever is bound to none.
func TestTheAuditOfATenantIsItsReaders(t *testing.T) {
	w := newWorld(t)
	for _, tenant := range []string{"acme", "globex"} {
		w.root().put("/v1/tenants/"+tenant, `{"name":"x"}`).is(201)
		w.root().put("/v1/groups/of-"+tenant, `{"name":"x","tenant":"`+tenant+`"}`).is(201)
	}
	w.root().put("/v1/groups/of-none", `{"name":"x"}`).is(201)
	reader := func(name, tenant, more string) as {
		w.application(name, `,"grants":[{"tenant":"`+tenant+`","resource":"audit","action":"read"}]`+more)
		return w.as("application:" + name)
	}
	groups := func(a as) (seen string) {
		for _, line := range audited(a, "event=outcome&outcome=ok") {
			if _, group, ok := strings.Cut(line, "groups/of-"); ok {
				seen += group + " "
			}
		}
		return strings.TrimSpace(seen)
	}
	equal(t, "root", groups(w.root()), "acme globex none")
	equal(t, "a reader of everything", groups(reader("all", "*", "")), "acme globex none")
	equal(t, "a reader of acme", groups(reader("acme-reader", "acme", "")), "acme")
	equal(t, "a reader of everything, of a tenant", groups(reader("bound", "*", `,"tenant":"globex"`)), "globex")
	equal(t, "a token of a tenant", groups(w.as("application:root,tenant=acme")), "acme")
	w.as("application:acme-reader").get("/v1/audit?tenant=globex").refused("not_granted")
	equal(t, "the tenant named", len(audited(w.as("application:acme-reader"), "tenant=acme")), len(audited(w.as("application:acme-reader"), "")))
	for _, line := range audited(w.as("application:acme-reader"), "") {
		if strings.Contains(line, "root") || strings.Contains(line, "globex") {
			t.Errorf("a reader of acme sees %q", line)
		}
	}
}

// A long stretch of what is not shown is looked at in pieces.
func TestALongAuditIsListedInPieces(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	must(t, w.store.Store.Txn(ctx, func(ctx context.Context, tx storage.Tx) error {
		for n := range 5100 {
			e := &storage.AuditEntry{Chain: "node/x/y", Seq: int64(n + 1), Time: start(), Event: "outcome", Actor: "a", Action: "b", Target: "c"}
			e.ID = storage.AuditID(e.Chain, e.Seq)
			if err := tx.Insert(ctx, e); err != nil {
				return err
			}
		}
		return nil
	}))
	first := w.root().get("/v1/audit?chain=node/x/y&event=intent").is(200)
	equal(t, "items", first.ids("chain"), "")
	second := w.root().get("/v1/audit?chain=node/x/y&event=intent&after=" + url.QueryEscape(first.text("next"))).is(200)
	equal(t, "rest", second.text("next"), "")
}

// A line is the whole entry, and the entry is what was written.
func TestALineOfTheAuditIsTheEntry(t *testing.T) {
	e := &storage.AuditEntry{}
	n := 0
	v := reflect.ValueOf(e).Elem()
	for i := range v.NumField() {
		n++
		switch f := v.Field(i); f.Kind() {
		case reflect.String:
			f.SetString("text" + strconv.Itoa(n))
		case reflect.Int64:
			f.SetInt(int64(n))
		}
	}
	e.Time = start()
	raw, err := json.Marshal(identity.ViewAudit(e))
	must(t, err)
	var line identity.AuditLine
	must(t, json.Unmarshal(raw, &line))
	e.ID = storage.AuditID(e.Chain, e.Seq)
	if got := line.Entry(); !reflect.DeepEqual(got, e) {
		t.Fatalf("got %+v\nwant %+v", got, e)
	}
	var members map[string]any
	must(t, json.Unmarshal(raw, &members))
	allowed := []string{
		"chain", "seq", "time", "event", "actor", "on_behalf_of", "action", "target", "tenant", "outcome", "reason", "decision_id",
		"policy_revision", "request_id", "from_version", "to_version", "left_out", "prev", "hash",
	}
	for name := range members {
		if !slices.Contains(allowed, name) {
			t.Errorf("an entry has %s: is that never a secret?", name)
		}
	}
	equal(t, "members", len(members), len(allowed))
}
