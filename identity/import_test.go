package identity_test

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/writ-authz/writ/identity"
	"github.com/writ-authz/writ/storage"
)

// hashed is a verifier as another system has it, of no password that matters here.
const hashed = "$2b$04$abcdefghijklmnopqrstuuWz0nX4bYzQ0qk1mGmB5mS0n7qkq6q1q"

// verdicts are "kind id outcome code" of every object of a reply.
func (r *reply) verdicts() string {
	r.t.Helper()
	var in struct {
		Items []struct {
			Kind, ID, Outcome string
			Problem           *struct{ Code, Pointer string }
		}
	}
	must(r.t, json.Unmarshal([]byte(r.body), &in))
	var lines []string
	for _, i := range in.Items {
		line := i.Kind + " " + i.ID + " " + i.Outcome
		if i.Problem != nil {
			line += " " + i.Problem.Code + " " + i.Problem.Pointer
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

func (r *reply) says(want ...string) *reply {
	r.t.Helper()
	if got := r.is(200).verdicts(); got != strings.Join(want, "\n") {
		r.t.Fatalf("%s\n got %s\nwant %s", r.call, got, strings.Join(want, "\n"))
	}
	return r
}

const (
	adaID  = "0193d4c2-7f00-7000-8000-0000000000aa"
	office = `"tenants":[{"id":"acme","name":"Acme"}],
		"roles":[{"key":"ops:lead","inherits":["ops:viewer"],"grants":[{"tenant":"acme","resource":"ledger","action":"write"}]},
			{"key":"ops:viewer","grants":[{"resource":"ledger","action":"read"}]}],
		"groups":[{"id":"desk","name":"Desk","roles":["ops:lead"]}],
		"users":[{"id":"` + adaID + `","username":"ada","email":"ada@example.com","groups":["desk"],"password_hash":"` + hashed + `"}],
		"applications":[{"id":"billing","name":"Billing","roles":["ops:viewer"]}]`
)

func TestB10AnImportTellsFirstWhatItWouldDoAndDoesItOnce(t *testing.T) {
	w := newWorld(t)
	created := []string{
		"tenant acme create", "role ops:lead create", "role ops:viewer create", "group desk create", "user " + adaID + " create",
		"application billing create",
	}
	w.root().post("/v1/import", `{"dry_run":true,`+office+`}`).says(created...)
	for _, path := range []string{"/v1/tenants/acme", "/v1/roles/ops:lead", "/v1/groups/desk", "/v1/users/" + adaID, "/v1/applications/billing"} {
		w.root().get(path).is(404)
	}
	w.root().post("/v1/import", `{`+office+`}`).says(created...)
	unchanged := strings.ReplaceAll(strings.Join(created, "\n"), "create", "unchanged")
	for _, dry := range []string{`{"dry_run":true,`, `{`} {
		w.root().post("/v1/import", dry+office+`}`).says(strings.Split(unchanged, "\n")...)
	}
	equal(t, "version", fmt.Sprint(w.root().get("/v1/users/"+adaID).is(200).value("version")), "1")

	// A plan shows what changes, field by field, and an absent field keeps its value.
	change := `"users":[{"username":"ADA","name":"Ada","add_roles":["ops:viewer"],"password_hash":"` + hashed + `"}]}`
	plan := w.root().post("/v1/import", `{"dry_run":true,`+change).says("user " + adaID + " change")
	var shown struct {
		Items []struct {
			Kept    []string
			Changes []struct {
				Field    string
				From, To json.RawMessage
			}
		}
	}
	must(t, json.Unmarshal([]byte(plan.body), &shown))
	equal(t, "changes", fmt.Sprintf("%s %s", shown.Items[0].Kept, shown.Items[0].Changes),
		`[password_hash] [{name "" "Ada"} {roles [] ["ops:viewer"]} {username "ada" "ADA"}]`)
	w.root().post("/v1/import", `{`+change).says("user " + adaID + " change")
	ada := w.root().get("/v1/users/" + adaID).is(200)
	equal(t, "ada", ada.text("name")+ada.text("email")+fmt.Sprint(ada.value("groups"), ada.value("roles")), "Adaada@example.com[desk] [ops:viewer]")
	w.root().post("/v1/import", `{`+change).says("user " + adaID + " unchanged")
}

// Everything is decided before anything is written, and a batch is one transaction: one refused object refuses all of them.
func TestSA12AnImportGivesNoMoreThanTheImporterHas(t *testing.T) {
	w := newWorld(t)
	w.role("ops:strong", `[{"resource":"ledger","action":"delete"}]`)
	w.root().put("/v1/groups/strong", `{"name":"Strong","roles":["ops:strong"]}`).is(201)
	w.user("boss", `,"roles":["system:owner"]`)
	w.application("clerk", `,"grants":[{"resource":"iam","action":"*"},{"resource":"ledger","action":"read"}]`)
	clerk := w.as("application:clerk")
	good := `{"username":"bob","email":"bob@example.com","grants":[{"resource":"ledger","action":"read"}]}`
	for name, c := range map[string]struct{ body, code, pointer string }{
		"an owner":           {`"users":[` + good + `,{"username":"eve","email":"eve@example.com","roles":["system:owner"]}]`, "delegation_exceeds_actor", "/users/1"},
		"by a role":          {`"users":[` + good + `,{"username":"eve","email":"eve@example.com","roles":["ops:strong"]}]`, "delegation_exceeds_actor", "/users/1"},
		"by a group":         {`"users":[` + good + `,{"username":"eve","email":"eve@example.com","groups":["strong"]}]`, "delegation_exceeds_actor", "/users/1"},
		"by an addition":     {`"users":[` + good + `,{"username":"eve","email":"eve@example.com","add_groups":["strong"]}]`, "delegation_exceeds_actor", "/users/1"},
		"by a role made now": {`"roles":[{"key":"ops:new","grants":[{"resource":"ledger","action":"write"}]}],"users":[` + good + `]`, "delegation_exceeds_actor", "/roles/0"},
		"by a role that grows in the same batch": {
			`"roles":[{"key":"ops:a","inherits":["ops:b"]},{"key":"ops:b","grants":[{"resource":"*","action":"*"}]}],"users":[` + good + `]`,
			"delegation_exceeds_actor", "/roles/0",
		},
		"an application":       {`"users":[` + good + `],"applications":[{"id":"x","name":"X","grants":[{"tenant":"*","resource":"ledger","action":"read"}]}]`, "delegation_exceeds_actor", "/applications/0"},
		"somebody stronger":    {`"users":[` + good + `,{"username":"boss","name":"Fool"}]`, "delegation_exceeds_actor", "/users/1"},
		"protected":            {`"users":[` + good + `],"roles":[{"key":"system:owner","description":"mine"}]`, "system_protected", "/roles/0"},
		"itself, wider":        {`"applications":[{"id":"clerk","add_grants":[{"resource":"ledger","action":"write"}]}]`, "delegation_exceeds_actor", "/applications/0"},
		"itself, switched off": {`"users":[` + good + `],"applications":[{"id":"clerk","is_active":false}]`, "self_lockout", "/applications/0"},
	} {
		t.Run(name, func(t *testing.T) {
			plan := clerk.post("/v1/import", `{"dry_run":true,`+c.body+`}`).is(200).verdicts()
			if !strings.Contains(plan, "refused "+c.code+" "+c.pointer) {
				t.Errorf("the plan says\n%s", plan)
			}
			clerk.post("/v1/import", `{`+c.body+`}`).want(403, c.code).at(c.pointer)
		})
	}
	if users := w.root().get("/v1/users").is(200).body; strings.Contains(users, "bob") || strings.Contains(users, "Fool") {
		t.Errorf("something was written: %s", users)
	}
	clerk.post("/v1/import", `{"users":[`+good+`]}`).is(200)
	w.as("application:clerk,scope=iam/users:write").post("/v1/import", `{"users":[`+good+`]}`).refused("insufficient_scope")
	w.as("application:clerk,scope=iam/imports:write").post("/v1/import", `{"users":[`+good+`]}`).refused("not_granted")
}

// The owners are counted as the whole batch leaves them.
func TestAnImportLeavesAnOwner(t *testing.T) {
	w := newWorld(t)
	w.user("one", `,"roles":["system:owner"]`)
	w.user("two", `,"roles":["system:owner"]`)
	off := `{"username":"one","roles":[]},{"username":"two","suspended_at":"2026-06-01T11:00:00Z"}`
	w.root().post("/v1/import", `{"users":[`+off+`]}`).conflict("last_owner")
	w.root().post("/v1/import", `{"users":[`+off+`,{"username":"three","email":"three@example.com","roles":["system:owner"]}]}`).is(200)
	w.root().post("/v1/import", `{"users":[{"username":"three","not_after":"2026-06-02T00:00:00Z"}]}`).conflict("last_owner")
}

// Of two groups that give the caller everything, each is sure to go on giving it only where the other alone changes.
func TestAnImportDoesNotTakeEverythingFromTheImporterByParts(t *testing.T) {
	w := newWorld(t)
	w.role("ops:all", `[{"tenant":"*","resource":"*","action":"*"}]`)
	w.role("ops:each", `[{"tenant":"*","resource":"*","action":"*"}]`)
	w.root().put("/v1/groups/a", `{"name":"A","roles":["ops:each"]}`).is(201)
	w.root().put("/v1/groups/b", `{"name":"B","roles":["ops:all"]}`).is(201)
	w.application("boss", `,"groups":["a","b"]`)
	boss := w.as("application:boss")
	a, b, role := `{"id":"a","roles":[]}`, `{"id":"b","roles":[]}`, `{"key":"ops:all","grants":[]}`
	for name, body := range map[string]string{
		"both groups":                   `"groups":[` + a + `,` + b + `]`,
		"one, and what the other gives": `"groups":[` + a + `],"roles":[` + role + `]`,
	} {
		if plan := boss.post("/v1/import", `{"dry_run":true,`+body+`}`).is(200).verdicts(); !strings.Contains(plan, "refused self_lockout") {
			t.Errorf("%s: the plan says\n%s", name, plan)
		}
		boss.post("/v1/import", `{`+body+`}`).refused("self_lockout")
	}
	w.root().post("/v1/import", `{"dry_run":true,"groups":[`+a+`,`+b+`]}`).is(200)
	boss.post("/v1/import", `{"groups":[`+a+`]}`).is(200)
	boss.post("/v1/import", `{"groups":[`+b+`]}`).refused("self_lockout")
	boss.post("/v1/import", `{"roles":[`+role+`]}`).refused("self_lockout")
}

func TestWhatIsWrongWithAnImportIsNamed(t *testing.T) {
	w := newWorld(t)
	w.user("ada", "")
	w.application("there", "")
	for _, c := range []struct{ body, verdict string }{
		{`"users":[{"username":"ada lovelace"}]`, "user  faulty malformed_username /users/0/username"},
		{`"users":[{"name":"nobody"}]`, "user  faulty missing /users/0/username"},
		{`"users":[{"username":"bob"}]`, "user  faulty missing /users/0/email"},
		{`"users":[{"username":"bob","email":"ada@example.com"}]`, "user  faulty conflict /users/0/email"},
		{`"users":[{"username":"bob","email":"b@example.com","password":"tin-lantern-orbit-42"}]`, "user  faulty not_here /users/0/password"},
		{`"users":[{"username":"bob","email":"b@example.com","password_hash":"plain"}]`, "user  faulty malformed_hash /users/0/password_hash"},
		{`"users":[{"username":"bob","email":"b@example.com","roles":["a:b"]}]`, "user  faulty unknown_role /users/0/roles/0"},
		{`"users":[{"username":"bob","add_roles":["system:owner"]}]`, "user  missing"},
		{`"roles":[{"key":"a:b","inherits":["a:c"]},{"key":"a:c","inherits":["a:b"]}]`, "role a:b faulty role_cycle /roles/0/inherits/0\nrole a:c faulty role_cycle /roles/1/inherits/0"},
		{`"roles":[{"key":"a:b"},{"key":"a:b"}]`, "role a:b create\nrole a:b faulty named_twice /roles/1"},
		{`"roles":[{"key":"a:b","grants":[{"resource":"iam/nonsense","action":"read"}]}]`, "role a:b faulty unknown_permission /roles/0/grants/0/resource"},
		{`"applications":[{"id":"there","add_grants":[{"tenant":"none","resource":"a","action":"b"}]}]`, "application there faulty unknown_tenant /applications/0/add_grants/0/tenant"},
		{`"applications":[{"id":"x","name":"X","secrets":[{"id":"s1","verifier":"sha256:abc"}]}]`, "application x faulty malformed_hash /applications/0/secrets/0/verifier"},
		{`"applications":[{"id":"there","name":"T","version":7}]`, "application there faulty moved /applications/0"},
	} {
		got := w.root().post("/v1/import", `{"dry_run":true,`+c.body+`}`).is(200).verdicts()
		if got != c.verdict {
			t.Errorf("%s\n got %s\nwant %s", c.body, got, c.verdict)
		}
		if r := w.root().post("/v1/import", `{`+c.body+`}`); r.status == 200 && r.verdicts() != c.verdict || r.status >= 500 {
			t.Errorf("%s\n applied: %d %s", c.body, r.status, r.body)
		}
	}
	for _, body := range []string{
		`{}`, `{"users":[{"username":"a","admin":true}]}`, `{"users":[{"username":1}]}`, `{"beside":{"roles":[{"key":"a:b"}]},"roles":[{"key":"a:c"}]}`,
		`{"roles":[` + strings.TrimSuffix(strings.Repeat(`{"key":"a:b"},`, 101), ",") + `]}`,
	} {
		w.root().post("/v1/import", body).is(400)
	}
	// Roles of another batch of the file are seen by a plan.
	w.root().post("/v1/import", `{"dry_run":true,"users":[{"username":"bob","email":"b@example.com","roles":["a:b"]}],
		"beside":{"roles":[{"key":"a:b","inherits":["a:c"]},{"key":"a:c"}]}}`).says("user  create")
}

// Who may import, but not see an object, learns nothing of it.
var decisionIDs = regexp.MustCompile(`"decision_id":"[^"]*"`)

func TestAnImportConceals(t *testing.T) {
	w := newWorld(t)
	w.role("ops:viewer", "[]")
	someID := w.user("ada", `,"roles":["ops:viewer"]`)
	w.application("hidden", "")
	var names []string
	for n := range 1000 {
		names = append(names, fmt.Sprintf("%q", fmt.Sprintf("no:role%d", n)))
	}
	manyRoles := strings.Join(names, ",")
	w.application("porter", `,"grants":[{"resource":"iam/imports","action":"write"}]`)
	porter := w.as("application:porter")
	for _, pair := range [][2]string{
		{`"applications":[{"id":"hidden","name":"X"}]`, `"applications":[{"id":"absent","name":"X"}]`},
		{`"users":[{"username":"ada","email":"x@example.com"}]`, `"users":[{"username":"eve","email":"x@example.com"}]`},
		{`"users":[{"username":"ada"}]`, `"users":[{"username":"eve"}]`},
		{`"applications":[{"id":"hidden"}]`, `"applications":[{"id":"absent"}]`},
		{`"applications":[{"id":"hidden","name":"X","not_after":"2001-01-01T00:00:00Z"}]`, `"applications":[{"id":"absent","name":"X","not_after":"2001-01-01T00:00:00Z"}]`},
		// What is wrong whoever asks is told to whoever may import, and nothing of the object beside it.
		{`"users":[{"username":"ada","email":"x@example.com","grants":[{"resource":"!","action":"x"}]}]`, `"users":[{"username":"eve","email":"x@example.com","grants":[{"resource":"!","action":"x"}]}]`},
		{`"applications":[{"id":"hidden","name":"X","grants":[{"resource":"!","action":"x"}]}]`, `"applications":[{"id":"absent","name":"X","grants":[{"resource":"!","action":"x"}]}]`},
		// An address that somebody has already is not named twice by naming him.
		{`"users":[{"id":"` + someID + `","name":"A"},{"username":"zz","email":"ada@example.com"}]`, `"users":[{"id":"` + someID + `","name":"A"},{"username":"zz","email":"eve@example.com"}]`},
		// Nor is how many roles he has told by how many fit beside them.
		{`"users":[{"username":"ada","email":"x@example.com","add_roles":[` + manyRoles + `]}]`, `"users":[{"username":"eve","email":"x@example.com","add_roles":[` + manyRoles + `]}]`},
	} {
		var seen []string
		for _, body := range pair {
			r := porter.post("/v1/import", `{"dry_run":true,`+body+`}`).is(200)
			seen = append(seen, strings.NewReplacer("hidden", "x", "absent", "x").Replace(decisionIDs.ReplaceAllString(r.body, "")))
		}
		if seen[0] != seen[1] {
			t.Errorf("told apart:\n%s\n%s", seen[0], seen[1])
		}
	}
}

// without drops the value behind a mark, up to the next quote.
func without(text, mark string) string {
	before, after, found := strings.Cut(text, mark)
	if !found {
		return text
	}
	_, rest, _ := strings.Cut(after, `"`)
	return before + rest
}

func TestAnImportIsOneTransactionWithOneAuditPair(t *testing.T) {
	w := newWorld(t)
	sequence := w.room.Sequence()
	w.root().post("/v1/import", `{`+office+`}`).is(200)
	equal(t, "sequence", w.room.Sequence(), sequence+1)
	w.audited("iam/imports:write", "tenants/acme,roles/ops:lead,roles/ops:viewer,groups/desk,users/"+adaID+",applications/billing")

	// A name that is taken, seen only by the store, takes the whole batch back.
	w.root().post("/v1/import", `{"groups":[{"id":"late","name":"L"}],"users":[{"username":"x","email":"ada@example.com"}]}`).
		conflict("conflict").at("/users/0/email")
	w.root().get("/v1/groups/late").is(404)

	// Where the audit does not take the intent, nothing is changed.
	kind := storage.AuditKind.Name
	w.store.refuse.Store(&kind)
	w.root().post("/v1/import", `{"groups":[{"id":"late","name":"L"}]}`).is(503)
	w.store.refuse.Store(nil)
	w.root().get("/v1/groups/late").is(404)
}

// The auditors of each tenant see what an import changes there, or was not allowed to, and nothing of the other.
func TestAnImportIsAuditedInEachTenant(t *testing.T) {
	w := newWorld(t)
	for _, id := range []string{"acme", "globex"} {
		w.root().put("/v1/tenants/"+id, `{"name":"T"}`).is(201)
	}
	w.application("auditor", `,"grants":[{"tenant":"acme","resource":"audit","action":"read"}]`)
	const groups = `"groups":[{"id":"plain","name":"P"},{"id":"a1","name":"A","tenant":"acme"},{"id":"b1","name":"B","tenant":"globex"},{"id":"a2","name":"A","tenant":"acme"}]`
	entries := func(chain string) (texts []string) {
		for _, e := range w.chain(chain) {
			if e.Action == "iam/imports:write" {
				texts = append(texts, strings.TrimSpace(fmt.Sprintf("%s %s @%s %s", e.Event, e.Target, e.Tenant, e.Outcome)))
			}
		}
		return texts
	}
	w.application("porter", `,"grants":[{"resource":"iam/imports","action":"write"}]`)
	porter := w.as("application:porter")
	plan := porter.post("/v1/import", `{"dry_run":true,`+groups+`}`).is(200)
	equal(t, "refused by the plan", strings.Count(plan.verdicts(), "refused not_granted"), 4)
	refused := []string{"outcome groups/plain @ refused", "outcome groups/a1,groups/a2 @acme refused", "outcome groups/b1 @globex refused"}
	equal(t, "the audit of the plan", strings.Join(entries(w.room.Chain()), "\n"), strings.Join(refused, "\n"))
	porter.post("/v1/import", `{`+groups+`}`).is(403)
	equal(t, "and of trying it", strings.Join(entries(w.room.Chain()), "\n"), strings.Join(append(refused, refused...), "\n"))

	w.root().post("/v1/import", `{`+groups+`}`).is(200)
	equal(t, "what was done, in each", strings.Join(entries(w.room.Chain())[6:], "\n"), strings.Join([]string{
		"intent groups/plain,groups/a1,groups/b1,groups/a2 @*", "intent groups/plain @", "intent groups/a1,groups/a2 @acme", "intent groups/b1 @globex",
		"outcome groups/plain @ ok", "outcome groups/a1,groups/a2 @acme ok", "outcome groups/b1 @globex ok",
	}, "\n"))
	equal(t, "the outcome of all", strings.Join(entries(identity.AuthorityChain), "\n"), "outcome groups/plain,groups/a1,groups/b1,groups/a2 @* ok")
	seen := w.as("application:auditor").get("/v1/audit?action=iam/imports:write&target=groups/a2").is(200)
	if n := strings.Count(seen.body, `"tenant":"acme"`); n != 4 || strings.Contains(seen.body, "groups/b1") {
		t.Errorf("the auditor of a tenant sees %d entries of it: %s", n, seen.body)
	}
	if all := w.root().get("/v1/audit?target=groups/b1").is(200).body; !strings.Contains(all, `"tenant":"*"`) {
		t.Errorf("the entry of all is not found under each of what it names: %s", all)
	}

	// Of a change that fails, each tenant's auditors are told so.
	w.root().post("/v1/import", `{"groups":[{"id":"a3","name":"A","tenant":"acme"},{"id":"b3","name":"B","tenant":"globex"}],
		"users":[{"username":"x","email":"x@example.com"},{"username":"y","email":"x@example.com"}]}`).is(400)
	w.user("ada", "")
	w.root().post("/v1/import", `{"groups":[{"id":"a3","name":"A","tenant":"acme"},{"id":"b3","name":"B","tenant":"globex"}],
		"users":[{"username":"x","email":"ada@example.com"}]}`).conflict("conflict")
	got := entries(w.room.Chain())
	equal(t, "the last entry", got[len(got)-1], "outcome groups/b3 @globex failed")
}

// A right that is taken away meanwhile is seen: the batch is decided on the state that it is committed on.
func TestAnImportIsDecidedOnTheStateItChanges(t *testing.T) {
	w := newWorld(t)
	w.application("clerk", `,"grants":[{"resource":"iam","action":"*"},{"resource":"ledger","action":"read"}]`)
	w.store.inTxn = func() {
		w.store.inTxn = nil
		w.root().patch("/v1/applications/clerk", `{"grants":[{"resource":"iam","action":"*"}]}`).is(200)
	}
	w.as("application:clerk").post("/v1/import",
		`{"users":[{"username":"bob","email":"b@example.com","grants":[{"resource":"ledger","action":"read"}]}]}`).refused("delegation_exceeds_actor")
}

func TestVerifiersLeaveAndComeBack(t *testing.T) {
	w := newWorld(t)
	secret := w.application("billing", "")
	id := w.user("ada", "")
	w.application("almost", `,"grants":[{"tenant":"*","resource":"iam","action":"*"}]`)
	w.as("application:almost").post("/v1/export/verifiers", `{"kind":"user"}`).refused("root_only")
	w.root().post("/v1/export/verifiers", `{"kind":"role"}`).bad("/kind")

	users := w.root().post("/v1/export/verifiers", `{"kind":"user"}`).is(200)
	apps := w.root().post("/v1/export/verifiers", `{"kind":"application"}`).is(200)
	var audited []string
	for _, e := range w.chain(w.room.Chain()) {
		if e.Action == "iam/verifiers:export" {
			audited = append(audited, e.Actor+" "+e.Event+" "+e.Outcome)
		}
	}
	equal(t, "audit", strings.Join(audited, "; "), "application:almost outcome refused; application:root intent ; "+
		"application:root outcome ok; application:root intent ; application:root outcome ok")
	if strings.Contains(apps.body, `"root"`) || strings.Contains(apps.body, secret) || users.header.Get("Cache-Control") != "no-store" {
		t.Errorf("protected, plain or cached: %s", apps.body)
	}
	var in struct{ Items []map[string]any }
	must(t, json.Unmarshal([]byte(users.body), &in))
	hash, _ := in.Items[0]["password_hash"].(string)
	must(t, json.Unmarshal([]byte(apps.body), &in))
	secrets, err := json.Marshal(in.Items[len(in.Items)-1]["secrets"])
	must(t, err)

	other := newWorld(t)
	other.root().post("/v1/import", `{"users":[{"id":"`+id+`","username":"ada","email":"ada@example.com","password_hash":"`+hash+`"}],
		"applications":[{"id":"billing","name":"B","secrets":`+string(secrets)+`}]}`).is(200)
	app, err := other.room.Application("billing")
	must(t, err)
	if _, ok, err := other.room.Verify(t.Context(), home, "billing", app, secret); !ok || err != nil {
		t.Errorf("the secret does not fit any more: %v", err)
	}
	if _, ok, _ := other.room.Verify(t.Context(), home, "billing", app, secret[:len(secret)-1]); ok {
		t.Error("another secret fits")
	}
	other.as("user:ada").post("/v1/me/password", `{"current_password":"`+goodPassword+`","new_password":"another-lantern-43"}`).is(204)

	// The verifier is written down before it is read.
	kind := storage.AuditKind.Name
	w.store.refuse.Store(&kind)
	w.root().post("/v1/export/verifiers", `{"kind":"user"}`).is(503)
}

// TestImportsAreIdempotent: whatever a document says, what was imported is unchanged the second time, and a plan says what comes to pass.
func TestImportsAreIdempotent(t *testing.T) {
	w := newWorld(t)
	w.root().put("/v1/tenants/acme", `{"name":"Acme"}`).is(201)
	outcomes := map[string]int{}
	rapid.Check(t, func(t *rapid.T) {
		text := func(label string, of ...string) string { return rapid.SampledFrom(of).Draw(t, label) }
		some := func(label string, of ...string) []string {
			return rapid.SliceOfNDistinct(rapid.SampledFrom(of), 0, len(of), rapid.ID[string]).Draw(t, label)
		}
		grants := []any{}
		for _, resource := range some("resources", "ledger", "ledger/accounts", "docs", "iam/users", "iam/nothing") {
			grants = append(grants, map[string]any{"tenant": text("tenant", "", "acme", "*"), "resource": resource, "action": text("action", "read", "*")})
		}
		user := map[string]any{"username": text("username", "ada", "ADA", "bob"), "roles": some("roles", "a:a", "a:b", "a:c"), "add_grants": grants}
		if rapid.Bool().Draw(t, "email") {
			user["email"] = text("email", "ada@example.com", "bob@example.com")
		}
		if rapid.Bool().Draw(t, "properties") {
			user["properties"] = map[string]any{"n": rapid.IntRange(0, 2).Draw(t, "n")}
		}
		body := map[string]any{
			"roles": []any{
				map[string]any{"key": "a:a", "grants": grants, "inherits": some("inherits", "a:b", "a:c")},
				map[string]any{"key": "a:b", "inherits": some("inherits too", "a:c", "a:a")},
				map[string]any{"key": "a:c"},
			},
			"users": []any{user},
			"applications": []any{map[string]any{
				"id": text("id", "x", "y"), "name": "N", "token_format": text("format", "jwt", "opaque"), "roles": some("more", "a:a", "a:c"),
				"scopes": some("scopes", "ledger:read", "docs:*"), "is_active": rapid.Bool().Draw(t, "active"),
			}},
		}
		send := func(dry bool) *reply {
			body["dry_run"] = dry
			raw, err := json.Marshal(body)
			if err != nil {
				t.Fatal(err)
			}
			return w.root().post("/v1/import", string(raw))
		}
		plan, done, again := send(true), send(false), send(true)
		switch faulty := strings.Contains(plan.verdicts(), "faulty") || strings.Contains(plan.verdicts(), "missing"); {
		case faulty && done.status != 400 && done.status != 409, !faulty && done.status != 200:
			t.Fatalf("%s\nthe plan said\n%s\nand then %d %s", plan.call, plan.verdicts(), done.status, done.body)
		case faulty && again.verdicts() != plan.verdicts():
			t.Fatalf("a refused import changed something:\n%s\n%s", plan.verdicts(), again.verdicts())
		case !faulty && strings.Contains(strings.NewReplacer("unchanged", "").Replace(again.verdicts()), "change"),
			!faulty && strings.Contains(again.verdicts(), "create"):
			t.Fatalf("%s\nthe second time\n%s", plan.call, again.verdicts())
		case faulty:
			outcomes["faulty"]++
		default:
			outcomes["good"]++
		}
	})
	if outcomes["good"] == 0 || outcomes["faulty"] == 0 {
		t.Errorf("only one kind was tried: %v", outcomes)
	}
}

// Inside a tenant one imports into the tenant, and nothing else.
func TestAnImportInsideATenant(t *testing.T) {
	w := newWorld(t)
	w.root().put("/v1/tenants/acme", `{"name":"Acme"}`).is(201)
	w.root().put("/v1/tenants/globex", `{"name":"Globex"}`).is(201)
	w.application("inside", `,"tenant":"acme","grants":[{"tenant":"acme","resource":"iam","action":"*"}]`)
	inside := w.as("application:inside")
	into := func(name, tenant string) string {
		return `{"users":[{"username":"` + name + `","email":"` + name + `@example.com"` + tenant + `}]}`
	}
	inside.post("/v1/import", into("amy", `,"tenant":"acme"`)).is(200)
	inside.post("/v1/import", into("bob", "")).refused("system_level_readonly")
	foreign := inside.post("/v1/import", into("bob", `,"tenant":"globex"`))
	absent := inside.post("/v1/import", into("bob", `,"tenant":"none"`))
	if foreign.status == 200 || without(foreign.body, `"decision_id":"`) != without(absent.body, `"decision_id":"`) {
		t.Errorf("a foreign tenant and none are told apart:\n%d %s\n%d %s", foreign.status, foreign.body, absent.status, absent.body)
	}
	inside.post("/v1/import", `{"tenants":[{"id":"mine","name":"M"}]}`).refused("not_granted")
	w.root().patch("/v1/tenants/acme", `{"enabled":false}`).is(200)
	w.root().post("/v1/import", `{"groups":[{"id":"g","name":"G","tenant":"acme"}]}`).conflict("tenant_disabled")
}
