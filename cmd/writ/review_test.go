package main_test

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// reviewServer answers as the admin API does, in two pages, of people with names that are meant for spreadsheets and terminals.
func reviewServer(t *testing.T, asked *[]string) *httptest.Server {
	t.Helper()
	item := func(id, name, more string) string {
		quoted, _ := json.Marshal(name)
		return fmt.Sprintf(`{"type":"user","id":%q,"name":%s,"usable":true,"created_at":"2026-01-01T00:00:00Z","unused":true,"permissions":[],
			"reveals":[],"secrets":[]%s}`, id, quoted, more)
	}
	names := []string{`=HYPERLINK("http://x","y")`, "+1", "-1", "@SUM(A1)", "\t=1", " =1", "Ada, the \"first\"", "＝1", "esc\u001b[2J"}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		*asked = append(*asked, r.URL.RawQuery)
		if r.URL.Query().Get("after") == "" {
			var items []string
			for i, name := range names {
				items = append(items, item(fmt.Sprintf("u%d", i), name, ""))
			}
			fmt.Fprintf(w, `{"items":[%s],"next":"cursor","apps":[]}`, strings.Join(items, ","))
			return
		}
		fmt.Fprintf(w, `{"items":[%s],"apps":[]}`, item("last", "last", `,"tenant":"t1","last_used_at":"2026-02-03T04:05:06Z","permissions":[
			{"tenant":"t1","resource":"ledger","action":"read","via":["group:g","own"],"not_after":"2027-01-01T00:00:00Z"}],
			"reveals":[{"application":"billing","name":"Billing","secrets":["s1","s2"]}],"reveals_incomplete":true,
			"secrets":[{"id":"s9","label":"=x","created_at":"2026-01-01T00:00:00Z","unused":true}]`))
	}))
	t.Cleanup(s.Close)
	return s
}

func TestReviewAsCSVIsSafeForSpreadsheets(t *testing.T) {
	var asked []string
	env := []string{"WRIT_TOKEN=x", "WRIT_ADMIN_URL=" + reviewServer(t, &asked).URL}
	code, stdout, stderr := shell(t, env, "review", "--unused-for", "90d", "--permission", "ledger:read", "--output", "csv")
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	if len(asked) != 2 || asked[0] != "limit=100&permission=ledger%3Aread&unused_for=90" || !strings.Contains(asked[1], "after=cursor") {
		t.Errorf("asked %q", asked)
	}
	rows, err := csv.NewReader(strings.NewReader(stdout)).ReadAll()
	if err != nil {
		t.Fatalf("%v\n%s", err, stdout)
	}
	var names []string
	for _, row := range rows[1:10] {
		names = append(names, row[3])
	}
	want := []string{
		`'=HYPERLINK("http://x","y")`, "'+1", "'-1", "'@SUM(A1)", "'\t=1", "' =1", "Ada, the \"first\"", "'＝1", "esc\u001b[2J",
	}
	if fmt.Sprintf("%q", names) != fmt.Sprintf("%q", want) {
		t.Errorf("the names are %q, want %q", names, want)
	}
	got := ""
	for _, row := range rows[10:] {
		got += strings.Join(row, "|") + "\n"
	}
	if want := `identity|user|last|last|t1|true||||2026-02-03T04:05:06Z|true|
permission|user|last|last|t1|true|ledger:read|t1|group:g own||false|2027-01-01T00:00:00Z
reveal|user|last|last|t1|true|billing/s1||||false|
reveal|user|last|last|t1|true|billing/s2||||false|
reveal|user|last|last|t1|true|there are more; ask with --application||||false|
secret|user|last|last|t1|true|s9 =x||||true|
`; got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

func TestReviewAsTableAndJSON(t *testing.T) {
	var asked []string
	env := []string{"WRIT_TOKEN=x", "WRIT_ADMIN_URL=" + reviewServer(t, &asked).URL}
	code, table, stderr := shell(t, env, "review")
	if code != 0 || strings.Contains(table, "\u001b") {
		t.Errorf("exit code %d: %s\n%q", code, stderr, table)
	}
	for _, wanted := range []string{"esc?[2J", "ledger:read", "group:g own", "billing/s2", "s9 =x (unused)", "2026-02-03T04:05:06Z"} {
		if !strings.Contains(table, wanted) {
			t.Errorf("the table has no %q:\n%s", wanted, table)
		}
	}
	code, raw, stderr := shell(t, env, "review", "--output", "json")
	var all []struct {
		ID          string
		Permissions []struct{ Via []string }
	}
	if err := json.Unmarshal([]byte(raw), &all); code != 0 || err != nil || len(all) != 10 || len(all[9].Permissions[0].Via) != 2 {
		t.Errorf("exit code %d, %v: %s\n%s", code, err, stderr, raw)
	}
}

func TestReviewRefusesWhatItCannotRead(t *testing.T) {
	var asked []string
	env := []string{"WRIT_TOKEN=x", "WRIT_ADMIN_URL=" + reviewServer(t, &asked).URL}
	for _, args := range [][]string{{"--unused-for", "soon"}, {"--unused-for", "0d"}, {"--unused-for", "-5"}, {"--output", "xml"}, {"more"}} {
		if code, _, stderr := shell(t, env, append([]string{"review"}, args...)...); code != 2 || stderr == "" {
			t.Errorf("%v: exit code %d: %s", args, code, stderr)
		}
	}
}
