package policies

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
)

// Difference is what distinguishes one policy set from another.
type Difference struct {
	Old         Revisions `json:"old"`
	New         Revisions `json:"new"`
	Entrypoints []string  `json:"entrypoints"` // whose answers may differ
	Changes     []Change  `json:"changes"`
}

// Revisions name a set exactly.
type Revisions struct {
	Policy string `json:"policy_revision"`
	Data   string `json:"data_revision"`
}

// Change is one thing that was added, removed or changed.
type Change struct {
	What string `json:"what"` // "rule", "type", "action", "reason", "setting", "data"
	How  string `json:"how"`  // "added", "removed", "changed"
	Name string `json:"name"`
	File string `json:"file,omitempty"`
	Line int    `json:"line,omitempty"`
	// Diff shows a rule line by line; Old and New are the values of a setting or of data.
	Diff string          `json:"diff,omitempty"`
	Old  json.RawMessage `json:"old,omitempty"`
	New  json.RawMessage `json:"new,omitempty"`
}

// Diff compares two sets, both of which must compile.
func Diff(ctx context.Context, old, next Source) (Difference, error) {
	sets := [2]*set{}
	for i, source := range []Source{old, next} {
		l, err := newLayers(shipped(), source)
		if err != nil {
			return Difference{}, err
		}
		if sets[i], err = load(l, false, nil); err != nil {
			return Difference{}, err
		}
		if _, err := sets[i].admit(ctx); err != nil {
			return Difference{}, err
		}
	}
	return compareSets(sets[0], sets[1])
}

func compareSets(old, next *set) (Difference, error) {
	d := Difference{
		Old: Revisions{old.revision, old.dataRev}, New: Revisions{next.revision, next.dataRev}, Entrypoints: []string{}, Changes: []Change{},
	}
	rules, touched, err := changedRules(old, next)
	if err != nil {
		return d, err
	}
	d.Changes = append(d.Changes, rules...)
	for _, c := range append(changedCatalogue(old.catalogue, next.catalogue), changedData(old, next)...) {
		d.Changes = append(d.Changes, c)
		switch c.What {
		case "setting":
			touched["settings"] = true
		case "data":
			touched[strings.Join(strings.SplitN(c.Name, ".", 3)[:2], ".")] = true
		default:
			touched["catalogue"] = true
		}
	}
	next.spread(touched)
	old.spread(touched)
	applications := slices.ContainsFunc(slices.Collect(maps.Keys(touched)), func(name string) bool { return strings.HasPrefix(name, "apps.") })
	for _, e := range entrypoints() {
		own := e == EntryDecision || e == EntryWhy // which find an application by the type of the question
		if touched[strings.ReplaceAll(string(e), "/", ".")] || own && applications {
			d.Entrypoints = append(d.Entrypoints, string(e))
		}
	}
	return d, nil
}

// ruleText is a document's rules as written, one after the other.
type ruleText struct {
	file string
	line int
	text string
}

// ruleTexts are the rules of a set by their names, as the formatter writes them, without comments.
func (s *set) ruleTexts() (map[string]ruleText, error) {
	texts := map[string]ruleText{}
	for _, m := range s.modules {
		if m.test {
			continue
		}
		for _, rule := range m.parsed.Rules {
			bare := rule.Copy()
			bare.Annotations = nil
			body, err := formattedRule(m.parsed, bare)
			if err != nil {
				return nil, fmt.Errorf("%s:%d: %w", m.name, rule.Location.Row, err)
			}
			name := documentOf(rule)
			t, known := texts[name]
			if !known {
				t = ruleText{file: m.name, line: rule.Location.Row}
			}
			t.text += string(body)
			texts[name] = t
		}
	}
	return texts, nil
}

// formattedRule writes a rule as the only one of its module.
func formattedRule(m *ast.Module, rule *ast.Rule) ([]byte, error) {
	alone := &ast.Module{Package: m.Package, Rules: []*ast.Rule{rule}}
	text, err := formattedModule(alone)
	if err != nil {
		return nil, err
	}
	_, body, _ := bytes.Cut(text, []byte("\n"))
	return append(bytes.TrimSpace(body), '\n', '\n'), nil
}

// changedRules compares rules by name, and names the packages of those that differ.
func changedRules(old, next *set) ([]Change, map[string]bool, error) {
	before, err := old.ruleTexts()
	if err != nil {
		return nil, nil, err
	}
	after, err := next.ruleTexts()
	if err != nil {
		return nil, nil, err
	}
	packages := map[string]bool{}
	for _, s := range []*set{old, next} {
		for _, m := range s.modules {
			packages[m.pkg()] = true
		}
	}
	var changes []Change
	touched := map[string]bool{}
	for name, how := range compareKeys(before, after) {
		c := Change{What: "rule", How: how, Name: name, File: after[name].file, Line: after[name].line}
		if how == "removed" {
			c.File, c.Line = before[name].file, before[name].line
		}
		c.Diff = strings.ReplaceAll(lineDiff(before[name].text, after[name].text), "\n+      \n", "\n")
		changes = append(changes, c)
		touched[packageOf(name, packages)] = true
	}
	sortChanges(changes)
	return changes, touched, nil
}

// packageOf is the longest package that a rule's name begins with.
func packageOf(name string, packages map[string]bool) string {
	for at := len(name); at > 0; at = strings.LastIndexByte(name[:at], '.') {
		if packages[name[:at]] {
			return name[:at]
		}
	}
	return name
}

func compareKeys[V any](before, after map[string]V) map[string]string {
	how := map[string]string{}
	for name, old := range before {
		if now, kept := after[name]; !kept {
			how[name] = "removed"
		} else if !reflect.DeepEqual(textOnly(old), textOnly(now)) {
			how[name] = "changed"
		}
	}
	for name := range after {
		if _, known := before[name]; !known {
			how[name] = "added"
		}
	}
	return how
}

// textOnly leaves out where a rule stands: it may move.
func textOnly(v any) any {
	if t, ok := v.(ruleText); ok {
		return t.text
	}
	return v
}

func sortChanges(changes []Change) {
	slices.SortFunc(changes, func(a, b Change) int { return cmp.Or(cmp.Compare(a.What, b.What), cmp.Compare(a.Name, b.Name)) })
}

// changedCatalogue compares the entries of two catalogues: types, their actions, and reason codes.
func changedCatalogue(old, next *Catalogue) []Change {
	var changes []Change
	entries := func(c *Catalogue) map[string]map[string]any {
		all := map[string]map[string]any{"type": {}, "action": {}, "reason": {}}
		for _, t := range c.Types() {
			all["type"][t.Type] = [2]string{t.Title, t.Group}
			for _, a := range t.Actions {
				all["action"][t.Type+":"+a.Name] = a
			}
		}
		for code, text := range c.reasons {
			all["reason"][code] = text
		}
		return all
	}
	before, after := entries(old), entries(next)
	for _, what := range []string{"type", "action", "reason"} {
		for name, how := range compareKeys(before[what], after[what]) {
			changes = append(changes, Change{What: what, How: how, Name: name})
		}
	}
	sortChanges(changes)
	return changes
}

// changedData compares settings and the data of applications, leaf by leaf.
func changedData(old, next *set) []Change {
	var changes []Change
	add := func(what string, before, after map[string]any) {
		for name, how := range compareKeys(before, after) {
			c := Change{What: what, How: how, Name: name}
			c.Old, c.New = asJSON(before[name]), asJSON(after[name])
			changes = append(changes, c)
		}
	}
	add("setting", leaves(old.settings, ""), leaves(next.settings, ""))
	apps := func(s *set) map[string]any {
		all := map[string]any{}
		for name, data := range s.apps {
			maps.Copy(all, leaves(data, "apps."+name+"."))
		}
		return all
	}
	add("data", apps(old), apps(next))
	sortChanges(changes)
	return changes
}

func asJSON(value any) json.RawMessage {
	if value == nil {
		return nil
	}
	text, err := json.Marshal(value)
	if err != nil { // it came from JSON
		return nil
	}
	return text
}

// leaves are the values of a document that are no objects, by their dotted names.
func leaves(document map[string]any, at string) map[string]any {
	all := map[string]any{}
	for name, value := range document {
		if inner, ok := value.(map[string]any); ok && len(inner) > 0 {
			maps.Copy(all, leaves(inner, at+name+"."))
			continue
		}
		all[at+name] = value
	}
	return all
}
