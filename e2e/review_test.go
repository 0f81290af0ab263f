package e2e

import (
	"encoding/csv"
	"encoding/json"
	"strings"
	"testing"
)

// TestSeedB08AccessReviewAsTheGuideHasIt runs the commands of the operations guide about reviews and the API document.
func TestSeedB08AccessReviewAsTheGuideHasIt(t *testing.T) {
	s := fresh(t, Options{})
	s.guests = true
	c := story(t, s).root()
	billing := c.put("/v1/applications/billing", object{"name": "billing"}).wantStatus(201).text("/secret/id")
	group := c.newGroup(c.newRole("iam/users:write", "ledger:read"))
	ada := c.newUser(object{"groups": list{group}, "name": "=1+1"})
	owner := c.newUser(object{"roles": list{"system:owner"}})
	token := c.token(app{ID: "root", Secret: s.Secret})
	c.done()
	text, _ := guide(t, "docs/operations.md")
	section := func(title string) string {
		_, from, found := strings.Cut(text, "\n## "+title+"\n")
		if !found {
			t.Fatalf("the guide has no section %s", title)
		}
		whole, _, _ := strings.Cut(from, "\n## ")
		script := ""
		for _, block := range shellBlock.FindAllStringSubmatch(whole, -1) {
			script += block[1]
		}
		return strings.NewReplacer("http://127.0.0.1:8081", s.Admin, "http://127.0.0.1:8080", s.Public).Replace(script)
	}
	env := []string{"WRIT_TOKEN=" + token, "TOKEN=" + token, "WRIT_URL=" + s.Public, "WRIT_ADMIN_URL=" + s.Admin}
	out := runScript(t, section("Reviewing access")+"\necho; echo CSV; cat unused.csv\n", env...)
	for _, wanted := range []string{
		ada.ID, "iam/users:write", "group:" + group, `"application": "billing"`, `"` + billing + `"`, owner.ID, `"via":["group:` + group + `"]`,
	} {
		if !strings.Contains(out, wanted) {
			t.Errorf("the review has no %s:\n%s", wanted, out)
		}
	}
	_, sheet, _ := strings.Cut(out, "\nCSV\n")
	if rows, err := csv.NewReader(strings.NewReader(sheet)).ReadAll(); err != nil || len(rows) != 1 {
		t.Errorf("nothing is 90 days old, and the sheet is %q (%v)", sheet, err)
	}
	runScript(t, section("The API document")+"\ngrep -q '\"openapi\":\"3.1' admin.json\ngrep -q /oauth2/token public.json\n"+
		"grep -q access-review admin.html\n", env...)
}

// TestAccessReviewAgreesWithTheDecisionEndpoint holds the review to what /access/v1/evaluation says, over the wire.
func TestAccessReviewAgreesWithTheDecisionEndpoint(t *testing.T) {
	c := story(t, shared(t)).root()
	tenant := c.newTenant()
	role := c.newRole("ledger:read", "iam/users:*@"+tenant, "iam/applications:reveal@"+tenant)
	u := c.newUser(object{"groups": list{c.newGroup(role)}, "tenant": tenant, "grants": grants("*:read@*")})
	a := c.newApp(object{"roles": list{role}})
	c.get("/v1/catalogue").wantStatus(200)
	var catalogue struct {
		Types []struct {
			Type    string
			Actions []struct {
				Name     string
				Explicit bool
			}
		}
	}
	if err := json.Unmarshal(c.last.body, &catalogue); err != nil {
		t.Fatal(err)
	}
	permitted, denied := 0, 0
	for _, who := range []struct{ kind, id, query string }{
		{"user", u.ID, "/v1/access-review?type=user&tenant=" + tenant}, {"application", a.ID, "/v1/access-review?type=application&limit=100&role=" + role},
	} {
		c.get(who.query).wantStatus(200).want("/items/0/id", who.id)
		var page struct {
			Items []struct {
				Permissions []struct{ Tenant, Resource, Action string }
			}
			Apps []string
		}
		if err := json.Unmarshal(c.last.body, &page); err != nil || len(page.Items) != 1 {
			t.Fatal(err, len(page.Items))
		}
		for _, kind := range catalogue.Types {
			first, _, _ := strings.Cut(kind.Type, "/")
			if kind.Type == "me" || strings.Contains(" "+strings.Join(page.Apps, " ")+" ", " "+first+" ") {
				continue // the one needs no right, of the others their own rules decide
			}
			for _, action := range kind.Actions {
				for _, in := range []string{"", tenant} {
					want := false
					for _, p := range page.Items[0].Permissions {
						inside := p.Resource == "*" || p.Resource == kind.Type || strings.HasPrefix(kind.Type, p.Resource+"/")
						want = want || (p.Tenant == "*" || p.Tenant == in) && inside && (p.Action == action.Name || p.Action == "*" && !action.Explicit)
					}
					q := question(who.kind, who.id, action.Name, kind.Type, "1")
					if in != "" {
						q["resource"].(object)["tenant"] = in
					}
					c.decides(q, want).expect(who.kind + " " + kind.Type + ":" + action.Name + " in " + in)
					if want {
						permitted++
					} else {
						denied++
					}
				}
			}
		}
	}
	if permitted < 10 || denied < 10 {
		t.Errorf("%d permits and %d denials prove little", permitted, denied)
	}
}
