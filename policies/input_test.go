package policies_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/open-policy-agent/opa/v1/ast"
	"pgregory.net/rapid"

	"github.com/writ-authz/writ/policies"
)

type object = map[string]any

func names(list []string) object {
	o := object{}
	for _, name := range list {
		o[name] = true
	}
	return o
}

func scopes(list []string) object {
	o := object{}
	for _, p := range list {
		resource, action, err := policies.ParsePermission(p)
		if err != nil {
			continue
		}
		if o[resource] == nil {
			o[resource] = object{}
		}
		o[resource].(object)[action] = true
	}
	return o
}

func ns(t time.Time, zero int64) int64 {
	if t.IsZero() {
		return zero
	}
	return t.UnixNano()
}

func orEmpty(raw json.RawMessage) any {
	if raw == nil {
		return object{}
	}
	return raw
}

// naiveFacts states FACTS of the input contract once more, the slow way. Windows of one place do not overlap in these tests.
func naiveFacts(f *policies.Facts) any {
	if f == nil {
		return nil
	}
	i := f.Identity()
	grants := object{}
	at := func(o object, k string) object {
		if o[k] == nil {
			o[k] = object{}
		}
		return o[k].(object)
	}
	for _, g := range i.Grants {
		at(at(at(grants, g.Tenant), g.Resource), g.Action)[g.Via] = object{
			"not_before": ns(g.NotBefore, 0), "not_after": ns(g.NotAfter, policies.Forever),
		}
	}
	var ceiling any
	if i.Scopes != nil {
		ceiling = scopes(i.Scopes)
	}
	return object{
		"type": i.Type, "id": i.ID, "exists": i.Exists, "tenant": i.Tenant, "tenant_enabled": i.TenantEnabled, "active": i.Active,
		"not_before": ns(i.NotBefore, 0), "not_after": ns(i.NotAfter, policies.Forever), "protected": i.Protected,
		"temporary_password": i.TemporaryPassword, "groups": names(i.Groups), "roles": names(i.Roles), "grants": grants,
		"scopes": ceiling, "audiences": names(i.Audiences), "grant_types": names(i.GrantTypes), "retrievable": i.Retrievable,
		"attributes": orEmpty(i.Attributes), "properties": object{},
	}
}

// plain decodes a document with its numbers as written.
func plain(raw json.RawMessage) (o object) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	_ = d.Decode(&o)
	return o
}

// spokenIn is an asker's context with the dialect that the request came by.
func spokenIn(raw json.RawMessage, dialect string) object {
	context := plain(raw)
	if context == nil {
		context = object{}
	}
	context["dialect"] = dialect
	return context
}

func naive(q *policies.Question, dialect string) object {
	subject := naiveFacts(q.Subject).(object)
	if q.SubjectProperties != nil {
		stored, given := plain(q.Subject.Identity().Attributes), plain(q.SubjectProperties)
		for name := range stored {
			delete(given, name)
		}
		subject["properties"] = given
	}
	r := q.Resource
	path, covers := r.Type, []string{}
	segments := strings.Split(r.Type, "/")
	if policies.ValidResource(r.Type) {
		if r.ID != "" && !strings.Contains(r.ID, "/") && policies.ValidResource(r.ID) && r.ID != "*" {
			path = r.Type + "/" + r.ID
			covers = append(covers, path)
		}
		for n := len(segments); n > 0; n-- {
			covers = append(covers, strings.Join(segments[:n], "/"))
		}
	}
	resource := object{
		"type": r.Type, "id": r.ID, "tenant": r.Tenant, "tenant_enabled": r.TenantEnabled, "exists": r.Exists, "path": path,
		"covers": append(covers, "*"), "properties": orEmpty(r.Properties), "self": r.Self, "before": naiveFacts(r.Before),
		"after": naiveFacts(r.After), "changes": names(r.Changes), "other_owners": r.OtherOwners, "owners_before": r.OwnersBefore,
		"proof": r.Proof, "reason": r.Reason, "detail": orEmpty(r.AfterDetail),
	}
	c := q.Caller
	caller := object{
		"client_id": c.ClientID, "scoped": c.Scoped, "scopes": scopes(c.Scopes.List()), "tenant": c.Tenant,
		"audiences": names(c.Audiences), "sid": c.SID, "auth_time": ns(c.AuthTime, 0), "user_token": c.UserToken, "external": c.External,
		"public": c.Public, "basic": c.Basic, "plane": c.Plane, "address": c.Address, "self": c.Self,
	}
	var token any
	if t := q.Token; t != nil {
		token = object{
			"grant_type": t.GrantType, "named": t.Named, "candidates": append([]string{}, t.Candidates...),
			"audiences": append([]string{}, t.Audiences...), "lifetime": t.Lifetime, "nonce": t.Nonce, "tenant": t.Tenant, "refresh": t.Refresh, "format": t.Format,
			"audiences_named": t.AudiencesNamed, "down": names(t.Down),
		}
	}
	return object{
		"entrypoint": q.Entrypoint, "subject": subject, "action": object{"name": q.Action, "properties": orEmpty(q.ActionProperties)},
		"resource": resource, "context": spokenIn(q.Context, dialect), "caller": caller, "client": naiveFacts(q.Client), "token": token,
		"now": q.Now.UnixNano(),
	}
}

var (
	word  = rapid.StringOfN(rapid.RuneFrom([]rune("ab.-_9")), 1, 6, -1)
	any8  = rapid.StringOfN(rapid.RuneFrom([]rune("ab/:*\x00\"\\é \u2028")), 0, 8, -1)
	paths = rapid.Custom(func(t *rapid.T) string { return strings.Join(rapid.SliceOfN(word, 1, 4).Draw(t, "path"), "/") })
	times = rapid.Custom(func(t *rapid.T) time.Time {
		if rapid.Bool().Draw(t, "open") {
			return time.Time{}
		}
		return time.Unix(0, rapid.Int64Range(1, math.MaxInt64).Draw(t, "ns")).UTC()
	})
	documents = rapid.Custom(func(t *rapid.T) json.RawMessage {
		return rapid.SampledFrom([]json.RawMessage{
			nil, json.RawMessage(`{}`), json.RawMessage(`{"a":{"b":[1,2.50,-3e2,null,true,"x\u0000"]},"n":9007199254740993}`),
			json.RawMessage(`{"role":"admin","é":[[]]}`), json.RawMessage(`{"dialect":"rustici","a":1}`),
		}).Draw(t, "document")
	})
)

func drawFacts(t *rapid.T, label string) *policies.Facts {
	seen := map[policies.Grant]bool{}
	i := policies.Identity{
		Type: any8.Draw(t, label), ID: any8.Draw(t, label), Exists: rapid.Bool().Draw(t, label), Tenant: word.Draw(t, label),
		TenantEnabled: rapid.Bool().Draw(t, label), Active: rapid.Bool().Draw(t, label), NotBefore: times.Draw(t, label),
		NotAfter: times.Draw(t, label), Protected: rapid.Bool().Draw(t, label), TemporaryPassword: rapid.Bool().Draw(t, label),
		Groups: rapid.SliceOfN(word, 0, 3).Draw(t, label), Roles: rapid.SliceOfN(any8, 0, 3).Draw(t, label),
		Audiences: rapid.SliceOfN(any8, 0, 3).Draw(t, label), GrantTypes: rapid.SliceOfN(word, 0, 3).Draw(t, label),
		Retrievable: rapid.Bool().Draw(t, label), Attributes: documents.Draw(t, label),
	}
	if rapid.Bool().Draw(t, label) {
		i.Scopes = []string{"a/b:c", "*:*", "a/b:*"}[:rapid.IntRange(0, 3).Draw(t, label)]
	}
	for range rapid.IntRange(0, 5).Draw(t, label) {
		g := policies.Grant{
			Tenant: rapid.SampledFrom([]string{"", "*", "t1"}).Draw(t, label), Resource: paths.Draw(t, label), Action: word.Draw(t, label),
			Via: rapid.SampledFrom([]string{"own", "role:a:b", "group:g"}).Draw(t, label),
		}
		if !seen[g] {
			seen[g] = true
			g.NotBefore, g.NotAfter = times.Draw(t, label), times.Draw(t, label)
			i.Grants = append(i.Grants, g)
		}
	}
	if rapid.Bool().Draw(t, label+" shares") {
		return policies.NewSharedFacts(i, policies.NewRights(i.Grants, &sharedNames))
	}
	return policies.NewFacts(i)
}

// sharedNames are used by all questions of all runs: what one leaves in them must be right for another.
var sharedNames policies.Names

func drawQuestion(t *rapid.T) *policies.Question {
	q := &policies.Question{
		Entrypoint:        rapid.SampledFrom([]policies.Entrypoint{policies.EntryDecision, policies.EntryAdmin, policies.EntryToken}).Draw(t, "entrypoint"),
		Subject:           drawFacts(t, "subject"),
		SubjectProperties: documents.Draw(t, "subject properties"),
		Action:            any8.Draw(t, "action"), ActionProperties: documents.Draw(t, "action properties"),
		Context: documents.Draw(t, "context"), Now: time.Unix(0, rapid.Int64().Draw(t, "now")),
		Resource: policies.Resource{
			Type: rapid.OneOf(paths, any8.Filter(func(s string) bool { return s != "*" })).Draw(t, "type"), ID: rapid.OneOf(word, any8).Draw(t, "id"),
			Tenant: any8.Draw(t, "tenant"), TenantEnabled: rapid.Bool().Draw(t, "enabled"), Exists: rapid.Bool().Draw(t, "exists"),
			Properties: documents.Draw(t, "resource properties"), Self: rapid.Bool().Draw(t, "self"),
			Changes: rapid.SliceOfN(any8, 0, 4).Draw(t, "changes"), OtherOwners: rapid.IntRange(-1, 3).Draw(t, "others"),
			OwnersBefore: rapid.IntRange(-1, 1000).Draw(t, "before"), Proof: word.Draw(t, "proof"), Reason: rapid.Bool().Draw(t, "reason"),
			AfterDetail: documents.Draw(t, "detail"),
		},
		Caller: policies.Caller{
			ClientID: any8.Draw(t, "client"), Scoped: rapid.Bool().Draw(t, "scoped"), Tenant: word.Draw(t, "tenant"),
			Audiences: rapid.SliceOfN(any8, 0, 3).Draw(t, "audiences"), SID: word.Draw(t, "sid"), AuthTime: times.Draw(t, "auth time"),
			UserToken: rapid.Bool().Draw(t, "user"), External: rapid.Bool().Draw(t, "external"), Public: rapid.Bool().Draw(t, "public"),
			Basic: rapid.Bool().Draw(t, "basic"), Plane: policies.PlaneRuntime, Address: policies.AddressAllowed, Self: rapid.Bool().Draw(t, "self"),
		},
	}
	if rapid.Bool().Draw(t, "has") {
		q.Caller.Scopes, _ = policies.NewScopes([]string{"x/y:read", "x/y:write", "*:*"})
		q.Client = drawFacts(t, "client")
		q.Resource.Before = drawFacts(t, "before")
		q.Resource.After = drawFacts(t, "after")
		q.Token = &policies.TokenRequest{
			GrantType: word.Draw(t, "grant type"), Named: rapid.Bool().Draw(t, "named"), Candidates: rapid.SliceOfN(any8, 0, 3).Draw(t, "candidates"),
			Audiences: rapid.SliceOfN(any8, 0, 3).Draw(t, "audiences"), Lifetime: rapid.Int64().Draw(t, "lifetime"), Nonce: rapid.Ptr(rapid.Int64(), true).Draw(t, "nonce"), Tenant: word.Draw(t, "tenant"),
			Refresh: rapid.Bool().Draw(t, "refresh"), Format: "jwt", AudiencesNamed: rapid.Bool().Draw(t, "audiences named"),
			Down: rapid.SliceOfN(any8, 0, 3).Draw(t, "down"),
		}
	}
	return q
}

func TestTheInputIsWhatItsJSONWouldBe(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q := drawQuestion(t)
		dialect := rapid.SampledFrom([]string{"", "lerian"}).Draw(t, "dialect")
		got, err := policies.InputOfDialect(q, dialect)
		if err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(naive(q, dialect))
		if err != nil {
			t.Fatal(err)
		}
		want, err := ast.ValueFromReader(bytes.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		if got.Compare(want) != 0 {
			t.Fatalf("input differs:\n%s", cmp.Diff(ast.MustJSON(want), ast.MustJSON(got)))
		}
	})
}

func TestWindowsOfOneSourceAreJoinedOrKeptApart(t *testing.T) {
	at := func(n int64) time.Time { return time.Unix(0, n) }
	grant := func(from, to int64) policies.Grant {
		return policies.Grant{Resource: "a", Action: "b", Via: "own", NotBefore: at(from), NotAfter: at(to)}
	}
	facts := policies.NewFacts(policies.Identity{Grants: []policies.Grant{grant(10, 20), grant(40, 50), grant(15, 30), grant(30, 35)}})
	input, err := policies.InputDocument(&policies.Question{Subject: facts, Now: now()})
	if err != nil {
		t.Fatal(err)
	}
	got, err := input.Find(ast.MustParseRef(`input.subject.grants[""].a.b`)[1:])
	if err != nil {
		t.Fatal(err)
	}
	want := ast.MustParseTerm(`{"own": {"not_before": 10, "not_after": 35}, "own#2": {"not_before": 40, "not_after": 50}}`).Value
	if got.Compare(want) != 0 {
		t.Fatalf("got %v, want %v", got, want)
	}
}

func TestAQuestionWithBadJSONIsNotDecided(t *testing.T) {
	pdp := open(t, policies.Config{})
	for _, raw := range []string{
		`[]`, `1`, `null`, `{`, `{"a":1}{"b":2}`, `{"a":1,"a":2}`, `{"a":1e999}`, `{"a":1E+400}`, `{"a":` + strings.Repeat("9", 70) + `}`,
		strings.Repeat(`{"a":`, 200) + "1" + strings.Repeat("}", 200),
	} {
		for _, set := range []func(q *policies.Question, raw json.RawMessage){
			func(q *policies.Question, raw json.RawMessage) { q.Context = raw },
			func(q *policies.Question, raw json.RawMessage) { q.SubjectProperties = raw },
			func(q *policies.Question, raw json.RawMessage) { q.ActionProperties = raw },
			func(q *policies.Question, raw json.RawMessage) { q.Resource.Properties = raw },
		} {
			q := question(person(), "read")
			set(q, json.RawMessage(raw))
			d, err := pdp.Decide(t.Context(), q)
			if !errors.Is(err, policies.ErrUndecided) || !errors.Is(err, policies.ErrQuestion) || d.Allow || d.ID == "" {
				t.Errorf("%.40s: %v %v", raw, d.Allow, err)
			}
		}
	}
}

func TestWrittenInputsAreCompletedAndTheirMistakesNamed(t *testing.T) {
	got, err := policies.CompleteInput(policies.EntryAdmin, object{
		"subject":  object{"id": "u1", "grants": object{"*": object{"*": object{"*": object{"own": object{}}}}}},
		"resource": object{"type": "iam/users", "id": "u2", "before": object{"exists": true}},
	})
	if err != nil {
		t.Fatal(err)
	}
	q := &policies.Question{
		Entrypoint: policies.EntryAdmin,
		Subject: policies.NewFacts(policies.Identity{
			ID: "u1", Grants: []policies.Grant{{Tenant: "*", Resource: "*", Action: "*", Via: "own"}},
		}),
		Resource: policies.Resource{Type: "iam/users", ID: "u2", Before: policies.NewFacts(policies.Identity{Exists: true})},
		Now:      time.Unix(0, 0),
	}
	want, err := policies.InputDocument(q)
	if err != nil {
		t.Fatal(err)
	}
	if got.Compare(want) != 0 {
		t.Fatalf("input differs:\n%s", cmp.Diff(ast.MustJSON(want), ast.MustJSON(got)))
	}
	for name, bad := range map[string]object{
		"did you mean subject":     {"sbject": object{}},
		"input.subject.tennant":    {"subject": object{"tennant": "x"}},
		"input.resource.before.x":  {"resource": object{"before": object{"x": 1}}},
		"input.token.scope":        {"token": object{"scope": "x"}},
		"input.subject is an obje": {"subject": "ada"},
		"of another type":          {"subject": object{"exists": "yes"}},
	} {
		if _, err := policies.CompleteInput(policies.EntryAdmin, bad); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestUsableIsOneComputation(t *testing.T) {
	base := policies.Identity{Type: "user", ID: "u", Exists: true, Active: true, TenantEnabled: true}
	with := func(change func(i *policies.Identity)) policies.Identity {
		i := base
		change(&i)
		return i
	}
	instant := now()
	pdp := open(t, policies.Config{})
	for name, c := range map[string]struct {
		identity policies.Identity
		address  string
		want     bool
	}{
		"as it should be":       {base, policies.AddressAllowed, true},
		"an unknown address":    {base, policies.AddressUnknown, true},
		"a refused address":     {base, policies.AddressRefused, false},
		"not there":             {with(func(i *policies.Identity) { i.Exists = false; i.Grants = nil }), policies.AddressAllowed, false},
		"inactive":              {with(func(i *policies.Identity) { i.Active = false }), policies.AddressAllowed, false},
		"a disabled tenant":     {with(func(i *policies.Identity) { i.Tenant, i.TenantEnabled = "t", false }), policies.AddressAllowed, false},
		"the window begins now": {with(func(i *policies.Identity) { i.NotBefore = instant }), policies.AddressAllowed, true},
		"the window begins after now": {
			with(func(i *policies.Identity) { i.NotBefore = instant.Add(1) }), policies.AddressAllowed, false,
		},
		"the window ends now":       {with(func(i *policies.Identity) { i.NotAfter = instant }), policies.AddressAllowed, false},
		"the window ends after now": {with(func(i *policies.Identity) { i.NotAfter = instant.Add(1) }), policies.AddressAllowed, true},
	} {
		identity := c.identity
		if got := identity.Usable(instant, c.address); got != c.want {
			t.Errorf("%s: Usable is %t", name, got)
		}
		identity.Grants = []policies.Grant{{Resource: "open", Action: "read", Via: "own"}}
		q := question(policies.NewFacts(identity), "read")
		q.Resource.Type, q.Caller.Address, q.Now = "open/thing", c.address, instant
		d, err := pdp.Decide(t.Context(), q)
		if err != nil || d.Allow != c.want {
			t.Errorf("%s: the rules say %t, %v", name, d.Allow, err)
		}
	}
}

func TestBuiltinsAreASortedPositiveList(t *testing.T) {
	list := policies.AllowedBuiltins()
	if !slices.IsSorted(list) || len(slices.Compact(slices.Clone(list))) != len(list) {
		t.Error("the list is not sorted, or has something twice")
	}
	known := map[string]bool{}
	for _, b := range ast.CapabilitiesForThisVersion().Builtins {
		known[b.Name] = true
	}
	for _, name := range list {
		if !known[name] {
			t.Errorf("there is no builtin %s", name)
		}
		for _, family := range []string{"http.", "net.", "opa.", "rego.", "io.", "crypto.x509", "crypto.parse", "graphql.", "rand.", "uuid.", "providers."} {
			if strings.HasPrefix(name, family) {
				t.Errorf("%s is allowed", name)
			}
		}
	}
	for _, name := range []string{"time.now_ns", "walk", "trace", "regex.replace", "numbers.range", "strings.replace_n", "strings.render_template", "bits.lsh"} {
		if slices.Contains(list, name) {
			t.Errorf("%s is allowed", name)
		}
	}
}
