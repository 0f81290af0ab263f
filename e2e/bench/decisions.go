//go:build linux

package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// What is asked of each directory: so many questions of each kind, one after the other, about so many people in turn, whose rights the
// server has at hand then.
const (
	decisionRepeats = 3000
	hotUsers        = 200
)

// What the decisions are called in the report, of which rows are made.
const (
	floorDecided  = "floor, one after the other"
	permitDecided = "evaluation, permit by a role"
	searchDecided = "subject search, a page of 10"
)

// decisions measures what questions cost in a directory, as operations does for its objects.
func (w *sizeWorld) decisions(ctx context.Context) error {
	subject := func(i int) object {
		return object{"type": "user", "id": seededUser(i % hotUsers * commonEvery % w.Users)}
	}
	question := func(i int, kind, id string) object {
		return object{"subject": subject(i), "action": object{"name": "read"}, "resource": object{"type": kind, "id": id}}
	}
	const held, other = "shop/r00000/g01", "shop/nobody/g01"
	gateway := http.Header{
		"X-Forwarded-Method": {"GET"}, "X-Forwarded-Uri": {"/pam/apps/users/user/"}, "X-Forwarded-Host": {"pam.example.com"},
		"X-Forwarded-Proto": {"https"}, "X-Forwarded-For": {"203.0.113.7"},
	}
	for _, d := range []struct {
		name, path string
		n, units   int
		body       func(i int) object
		holds      string
	}{
		{floorDecided, "/bench/floor", decisionRepeats, 1, func(i int) object {
			return object{"subject": seededUser(i), "action": "read", "resource": held}
		}, `"decision":true`},
		{permitDecided, "/access/v1/evaluation", decisionRepeats, 1, func(i int) object { return question(i, held, "42") }, `"decision":true`},
		{"evaluation, deny", "/access/v1/evaluation", decisionRepeats, 1, func(i int) object { return question(i, other, "42") }, `"decision":false`},
		{"evaluation, deny with reasons", "/access/v1/evaluation", decisionRepeats, 1, func(i int) object {
			q := question(i, other, "42")
			q["options"] = object{"reasons": true}
			return q
		}, `"not_granted"`},
		{"evaluation, permit by an application policy", "/access/v1/evaluation", decisionRepeats, 1, func(i int) object {
			q := question(i, "document", "7")
			q["resource"].(object)["properties"] = object{"owner": subject(i)["id"]}
			return q
		}, `"decision":true`},
		{"batch of 100, each", "/access/v1/evaluations", decisionRepeats / batchSize, batchSize, func(i int) object {
			items := make([]object, batchSize)
			for n := range items {
				items[n] = object{"resource": object{"type": held, "id": strconv.Itoa(n)}}
			}
			return object{"subject": subject(i), "action": object{"name": "read"}, "evaluations": items}
		}, `{"evaluations":[{"decision":true}`},
		{searchDecided, "/access/v1/search/subject", sizeRepeats, 1, func(int) object {
			return object{
				"subject": object{"type": "user"}, "action": object{"name": "read"}, "resource": object{"type": held, "id": "42"},
				"page": object{"limit": 10},
			}
		}, `"results":[{"type":"user","id":"`},
		{"forward-auth, permit", "/forward-auth", decisionRepeats, 1, nil, ""},
	} {
		ask := func(i int) error {
			if d.body == nil {
				_, err := w.send(ctx, http.MethodGet, w.public, d.path, gateway, nil, http.StatusOK)
				return err
			}
			reply, err := w.call(ctx, http.MethodPost, w.public, d.path, d.body(i), http.StatusOK)
			if err == nil && !strings.Contains(string(reply), d.holds) {
				err = fmt.Errorf("%s: %.300s holds no %s", d.path, reply, d.holds)
			}
			return err
		}
		for i := range min(d.n, hotUsers) { // so that the rights are at hand
			if err := ask(i); err != nil {
				return fmt.Errorf("%s: %w", d.name, err)
			}
		}
		cpu, err := w.timed(ctx, d.n, ask)
		if err != nil {
			return fmt.Errorf("%s: %w", d.name, err)
		}
		w.Decisions = append(w.Decisions, sizedTiming{d.name, cpu / float64(d.units)})
	}
	return nil
}

// logging measures evaluations with the decision log, as usual to a file, and without it, by turns, and keeps the least of each.
func (b *bench) logging(ctx context.Context, p program, secret string, m *sized) error {
	least := map[string]float64{}
	for range 3 {
		for log, env := range map[string][]string{"on": nil, "off": {"WRIT_DECISION_LOG=off", "WRIT_DECISION_LOG_RECENT=0"}} {
			with := p
			with.env = append(append([]string{}, p.env...), env...)
			cpu, err := b.evaluated(ctx, with, secret, m.Users)
			if err != nil {
				return fmt.Errorf("decision log %s: %w", log, err)
			}
			if was, seen := least[log]; !seen || cpu < was {
				least[log] = cpu
			}
		}
	}
	m.Logged, m.Unlogged = least["on"], least["off"]
	return nil
}

// evaluated is the CPU time of an evaluation on a server of its own.
func (b *bench) evaluated(ctx context.Context, p program, secret string, users int) (float64, error) {
	s, err := p.start(ctx, b.cores.load)
	if err != nil {
		return 0, err
	}
	defer s.stop()
	w := &sizeWorld{world: &world{server: s}, sized: &sized{Users: users}}
	if w.root, err = w.token(ctx, basic("root", secret)); err != nil {
		return 0, err
	}
	ask := func(i int) error {
		granted, err := w.evaluate(ctx, seededUser(i%(users/commonEvery)*commonEvery), "shop/r00000/g01")
		if err == nil && !granted {
			err = fmt.Errorf("user %d is denied", i)
		}
		return err
	}
	for i := range hotUsers {
		if err := ask(i); err != nil {
			return 0, err
		}
	}
	return w.timed(ctx, decisionRepeats, ask)
}

// savedEdit measures, in a directory of 200 rules, each with a test, how long after a save of one rule a decision is by the new one.
func (b *bench) savedEdit(ctx context.Context, r *results) error {
	if !b.wants("PD-07") {
		return nil
	}
	const edits = 9
	b.say("%d edits of a policy directory of %d rules", edits, editedRules)
	dir := filepath.Join(b.dir, "edited")
	app := filepath.Join(dir, "policies", "apps", "edited")
	if err := os.MkdirAll(app, 0o700); err != nil {
		return err
	}
	for name, text := range map[string]string{
		"catalogue.yaml": "types:\n  edited: {title: Edited, group: Bench, actions: {read: {title: Read}, write: {title: Write}}}\n" +
			"reasons:\n  edited.may: {title: May, administrator: A rule permits it., user: You may.}\n",
		"edited.rego": editedPolicy("read"), "edited_test.rego": editedTests(),
	} {
		if err := os.WriteFile(filepath.Join(app, name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	secret, env, err := environment(dir, "")
	if err != nil {
		return err
	}
	p := program{binary: b.shipped, args: []string{"serve", "--policies", filepath.Join(dir, "policies")}, env: env, dir: dir, on: b.cores.all}
	s, err := p.start(ctx, b.cores.load)
	if err != nil {
		return err
	}
	defer s.stop()
	w := &sizeWorld{world: &world{server: s}}
	if w.root, err = w.token(ctx, basic("root", secret)); err != nil {
		return err
	}
	var took []float64
	for n := range edits {
		action := []string{"write", "read"}[n%2] // what the edit begins to permit
		if err := save(filepath.Join(app, "edited.rego"), editedPolicy(action)); err != nil {
			return err
		}
		saved := time.Now()
		for {
			reply, err := w.call(ctx, http.MethodPost, w.public, "/access/v1/evaluation", object{
				"subject": object{"type": "visitor", "id": "1"}, "action": object{"name": action}, "resource": object{"type": "edited", "id": "1"},
			}, http.StatusOK)
			if err != nil {
				return err
			}
			if strings.Contains(string(reply), `"decision":true`) {
				break
			}
			if time.Since(saved) > readyWithin {
				return fmt.Errorf("edit %d does not decide: %s", n, reply)
			}
			if err := sleep(ctx, pollEvery); err != nil {
				return err
			}
		}
		took = append(took, float64(time.Since(saved))/float64(time.Millisecond))
		if err := sleep(ctx, time.Second); err != nil { // as an author would, who looks at what it did
			return err
		}
	}
	r.Singles["edit to decision"] = median(took)
	return nil
}

// save writes a file as editors do: whole, under its name.
func save(name, text string) error {
	if err := os.WriteFile(name+".new", []byte(text), 0o600); err != nil {
		return err
	}
	return os.Rename(name+".new", name)
}

const editedRules = 200

// editedPolicy is a policy of many rules, of which the first permits the action, and the others what nobody asks.
func editedPolicy(action string) string {
	var b strings.Builder
	b.WriteString("# METADATA\n# schemas:\n#   - input: schema.input\npackage apps.edited\n")
	for n := range editedRules {
		fmt.Fprintf(&b, "\n# METADATA\n# title: Rule %d\n# labels:\n#   rule: edited.may\npermit contains \"edited.may\" if {\n", n)
		if n == 0 {
			fmt.Fprintf(&b, "\tinput.action.name == %q\n}\n", action)
		} else {
			fmt.Fprintf(&b, "\tinput.action.name == \"write\"\n\tinput.resource.properties.number == %d\n}\n", n)
		}
	}
	return b.String()
}

// editedTests are a test of each rule, all of which hold before and after an edit.
func editedTests() string {
	var b strings.Builder
	b.WriteString("package apps.edited_test\n\nimport data.apps.edited\n\n")
	b.WriteString("test_rule_0 if edited.permit == set() with input as {\"action\": {\"name\": \"neither\"}}\n")
	for n := 1; n < editedRules; n++ {
		fmt.Fprintf(&b, "\ntest_rule_%d if edited.permit == {\"edited.may\"} with input as "+
			"{\"action\": {\"name\": \"write\"}, \"resource\": {\"properties\": {\"number\": %d}}}\n", n, n)
	}
	return b.String()
}
