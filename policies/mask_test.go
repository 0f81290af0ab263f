package policies_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/writ-authz/writ/policies"
)

// masking is a directory whose masks are these rules.
func masking(rules string) map[string]string {
	dir := zoo()
	dir["system/log/mask.rego"] = "package system.log\n\n" + strings.ReplaceAll(rules, "\nmask", "\n# METADATA\n# title: Masks\n# labels:\n#   rule: log.mask\nmask")
	dir["system/log/mask_test.rego"] = "package system.log_test\n\nimport data.system.log\n\ntest_mask if is_set(log.mask) with input as {\"input\": {\"context\": {}}}\n"
	return dir
}

// logged is the line of a question under the rules of a directory.
func logged(t *testing.T, dir map[string]string, q *policies.Question) (line map[string]any, text string) {
	t.Helper()
	pdp := open(t, policies.Config{Dir: write(t, dir)})
	var out gate
	l := policies.NewLog(policies.LogConfig{Writer: &out, Now: now})
	d, err := pdp.Decide(t.Context(), q)
	reserve(t, l).Write(policies.LogLine{Decision: d, Entrypoint: q.Entrypoint, Err: err})
	if err := l.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	return out.lines(t)[0], out.buffer.String()
}

func maskedIn(line map[string]any) []string {
	var masked []string
	list, _ := line["masked"].([]any)
	for _, p := range list {
		masked = append(masked, p.(string))
	}
	slices.Sort(masked)
	return masked
}

func TestMasksArePolicy(t *testing.T) {
	q := zooQuestion("ada", "false")
	q.Context = json.RawMessage(`{"closed":false,"ssn":"canary1","list":["canary2","kept"],"deep":{"a":{"b":"canary3"}},"mail":"canary4","password":"canary5","word":"kept"}`)
	rules := `
mask contains "/input/context/ssn"

mask contains "/input/context/list/0"

mask contains {"op": "remove", "path": "/input/context/deep/a"}

mask contains {"op": "upsert", "path": "/input/context/mail", "value": {"domain": "example.com"}}

mask contains "/input/subject/id" if {
	input.path == "writ/decision/result"
	input.result.allow
	input.input.context.word == "kept"
}

mask contains "/input/caller/client_id" if input.input.context.word == "other"

mask contains "/input/nowhere/x"
`
	line, text := logged(t, masking(rules), q)
	if strings.Contains(text, "canary") || !strings.Contains(text, `"mail":{"domain":"example.com"}`) || !strings.Contains(text, `["**MASKED**","kept"]`) ||
		!strings.Contains(text, `"app_asker"`) {
		t.Errorf("masked to %s", text)
	}
	want := []string{
		"/input/context/deep/a", "/input/context/list/0", "/input/context/mail", "/input/context/password", "/input/context/ssn", "/input/subject/id",
	}
	if got := maskedIn(line); !slices.Equal(got, want) {
		t.Errorf("masked are %q", got)
	}
	q.Context = json.RawMessage(`{"word":"other"}`)
	if line, _ = logged(t, masking(rules), q); !slices.Equal(maskedIn(line), []string{"/input/caller/client_id"}) {
		t.Errorf("the condition of a mask counts for nothing: %v", line["masked"])
	}
}

func TestGrantsAreMaskedThoughTheirTextsAreKept(t *testing.T) {
	for pointer, hides := range map[string]bool{"/input/subject/grants": true, "/input/subject/grants//ledger~1kind7": true, "/input/context/x": false} {
		line, text := logged(t, masking("\nmask contains \""+pointer+"\"\n"), question(person(), "read"))
		if strings.Contains(text, `"ledger/kind7":{"read"`) == hides || (maskedIn(line) != nil) != hides {
			t.Errorf("%s: masked %v in %s", pointer, line["masked"], text)
		}
	}
}

func TestMasksThatFailHideEverything(t *testing.T) {
	for name, rules := range map[string]string{
		"a failed builtin":    "\nmask contains \"/input/context/x\" if to_number(input.input.context.pin) > 1\n",
		"no pointer":          "\nmask contains input.input.context.pin\n",
		"no pointer to input": "\nmask contains concat(\"\", [\"/result/\", input.input.context.pin])\n",
		"another operation":   "\nmask contains {\"op\": input.input.context.pin, \"path\": \"/input/x\"}\n",
	} {
		q := zooQuestion("ada", "false")
		q.Context = json.RawMessage(`{"closed":false,"pin":"canary"}`)
		line, text := logged(t, masking(rules), q)
		if strings.Contains(text, "canary") || line["input"] != nil || !slices.Equal(maskedIn(line), []string{"/input"}) || line["mask_error"] == nil || line["allow"] != true {
			t.Errorf("%s: %s", name, text)
		}
	}
	line, _ := logged(t, masking("\nmask contains \"/input\"\n"), zooQuestion("ada", "false"))
	if line["input"] != nil || !slices.Equal(maskedIn(line), []string{"/input"}) || line["mask_error"] != nil {
		t.Errorf("all is masked as the author wants it: %v", line)
	}
}

func TestMasksThatCannotBeAreRefusedWhenTheyLoad(t *testing.T) {
	for name, c := range map[string]struct{ rules, says string }{
		"no set":               {"\nmask := [\"/input/context/x\"]\n", "masks are a set"},
		"no pointer":           {"\nmask contains \"context\"\n", "begins with /input"},
		"a bad escape":         {"\nmask contains \"/input/a~2\"\n", "begins with /input"},
		"an unknown operation": {"\nmask contains {\"op\": \"drop\", \"path\": \"/input/a\"}\n", "op"},
		"too little":           {"\nmask contains {\"op\": \"upsert\", \"path\": \"/input/a\"}\n", "op"},
		"no text":              {"\nmask contains 7\n", "a pointer or an object"},
	} {
		dir := masking(c.rules)
		dir["system/log/mask_test.rego"] = "package system.log_test\n\ntest_nothing if true\n"
		_, err := policies.Open(t.Context(), policies.Config{Dir: write(t, dir), Now: now})
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
	dir := zoo()
	dir["settings/data.yaml"] = "decision_log: {mask: [context/ssn]}\n"
	if _, err := policies.Open(t.Context(), policies.Config{Dir: write(t, dir), Now: now}); err == nil || !strings.Contains(err.Error(), "decision_log.mask") {
		t.Errorf("a setting that masks nothing: %v", err)
	}
	dir = zoo()
	dir["system/authz/x.rego"] = "package system.authz\n"
	if _, err := policies.Open(t.Context(), policies.Config{Dir: write(t, dir), Now: now}); err == nil || !strings.Contains(err.Error(), "no effect") {
		t.Errorf("another folder of system: %v", err)
	}
}

// A failed builtin repeats its arguments, which are the asker's.
func TestErrorsInTheLogRepeatNothingOfTheInput(t *testing.T) {
	dir := zoo()
	dir["apps/zoo/zoo.rego"] = strings.ReplaceAll(dir["apps/zoo/zoo.rego"], "if input.context.closed", "if to_number(input.context.closed) == 1")
	dir["apps/zoo/zoo_test.rego"] = strings.ReplaceAll(dir["apps/zoo/zoo_test.rego"], `{"closed": true}`, `{"closed": "1"}`)
	line, text := logged(t, dir, zooQuestion("ada", `"canary"`))
	failed, _ := line["error"].(string)
	if strings.Contains(failed, "canary") || !strings.Contains(failed, "zoo.rego:17: eval_builtin_error: to_number") || !strings.Contains(text, `"closed":"canary"`) {
		t.Errorf("the error is %q", failed)
	}
	line, text = logged(t, zoo(), zooQuestion("ada", `1,"canary":1,"canary":2`))
	if strings.Contains(text, "canary") || line["error"] != "no decision: bad question" || line["input"] != nil {
		t.Errorf("a bad question is %s", text)
	}
}

// Whoever gets the error may log it: it repeats nothing of the input either.
func TestErrorsOfTheDecisionPointRepeatNothingOfTheInput(t *testing.T) {
	dir := zoo()
	dir["apps/zoo/zoo.rego"] = strings.ReplaceAll(dir["apps/zoo/zoo.rego"], "if input.context.closed", "if to_number(input.context.closed) == 1")
	dir["apps/zoo/zoo_test.rego"] = strings.ReplaceAll(dir["apps/zoo/zoo_test.rego"], `{"closed": true}`, `{"closed": "1"}`)
	_, err := open(t, policies.Config{Dir: write(t, dir)}).Decide(t.Context(), zooQuestion("ada", `"canary"`))
	if !errors.Is(err, policies.ErrUndecided) || strings.Contains(err.Error(), "canary") || !strings.Contains(err.Error(), "to_number") {
		t.Errorf("the error is %v", err)
	}
}

func TestBriefLinesSayOnlyWhoWhatAndOnWhat(t *testing.T) {
	pdp := open(t, policies.Config{})
	var out gate
	l := policies.NewLog(policies.LogConfig{Writer: &out, Now: now, Brief: 0.5, Queue: 1 << 12})
	q := question(person(), "read")
	q.Context = json.RawMessage(`{"secret":"canary"}`)
	q.Resource.Tenant = "acme"
	const n = 1000
	for range n {
		d, err := pdp.Decide(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		reserve(t, l).Write(policies.LogLine{Decision: d, Entrypoint: q.Entrypoint})
	}
	d, _ := pdp.Decide(t.Context(), q)
	for range 64 { // whatever its id, a question without an answer is whole
		d.ID = policies.NewDecisionID()
		reserve(t, l).Write(policies.LogLine{Decision: d, Entrypoint: q.Entrypoint, Err: policies.ErrUndecided})
	}
	if err := l.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	brief := 0
	for _, line := range out.lines(t) {
		input := line["input"].(map[string]any)
		if line["brief"] == nil {
			if len(input) != 9 {
				t.Fatalf("a whole line has %d members", len(input))
			}
			continue
		}
		brief++
		text, _ := json.Marshal(input)
		if want := `{"action":{"name":"read"},"resource":{"id":"123","tenant":"acme","type":"ledger/kind42"},"subject":{"id":"0198f0a4-7b1e-7c3a-9a51-3f6f1c2d4e5f","tenant":"","type":"user"}}`; string(text) != want || line["error"] != nil {
			t.Fatalf("a brief line has %s", text)
		}
	}
	if brief < n/3 || brief > n*2/3 {
		t.Errorf("%d of %d lines are brief, want about half", brief, n)
	}
}
