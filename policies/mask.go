package policies

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/topdown"
)

// entryMask is what authors may bring to say what the decision log hides: the document data.system.log.mask, as in OPA.
const entryMask Entrypoint = "system/log/mask"

// maskFolder is where a directory has it.
const maskFolder = "system/log/"

// maxMasks bounds what a rule may name for one line.
const maxMasks = 1024

// errMask says that the author's rules gave something else than masks.
var errMask = errors.New("not a set of masks")

// masks are what the author's rules hide of one decision. The zero value hides nothing.
type masks struct {
	pointers []string
	// values stand in place of what is masked, by pointer; where there is none, the usual text does.
	values map[string]ast.Value
	// all says why everything is hidden: the rules failed, and what they would have hidden is not known.
	all string
}

func maskRef() ast.Ref { return ast.MustParseRef("data.system.log.mask") }

// masks asks the author's rules, if there are any, what of the decision the log must not show. They see what OPA's see: input is
// {input, path, result}, where result is null for a question without an answer.
func (p *PDP) masks(ctx context.Context, s *snapshot, e Entrypoint, d *Decision, decided bool) masks {
	if _, has := s.queries[entryMask]; !has || d.input == nil {
		return masks{}
	}
	result := key.null
	if decided {
		result = object(pair{key.allow, flag(d.Allow)})
	}
	value, err := p.evaluate(ctx, s, entryMask, maskEvent(d.input, e, result))
	if err == nil {
		var m masks
		if m, err = readMasks(value); err == nil {
			return m
		}
	}
	return masks{all: told(err)}
}

func maskEvent(input ast.Value, e Entrypoint, result *ast.Term) ast.Value {
	return ast.NewObject(
		pair{ast.StringTerm("input"), ast.NewTerm(input)}, pair{key.path, ast.StringTerm(string(e) + "/result")},
		pair{ast.StringTerm("result"), result},
	)
}

// readMasks takes a set of pointers, or of {op, path, value} as OPA has them.
func readMasks(v ast.Value) (m masks, err error) {
	set, ok := v.(ast.Set)
	if !ok || set.Len() > maxMasks {
		return m, errMask
	}
	err = set.Iter(func(term *ast.Term) error {
		pointer, value, err := readMask(term.Value)
		if err != nil {
			return err
		}
		m.pointers = append(m.pointers, pointer)
		if value != nil {
			if m.values == nil {
				m.values = map[string]ast.Value{}
			}
			m.values[pointer] = value
		}
		return nil
	})
	if err != nil {
		return masks{}, err
	}
	slices.Sort(m.pointers) // of two masks of one place, that without a value may come first or last
	m.pointers = slices.Compact(m.pointers)
	return m, nil
}

func readMask(v ast.Value) (pointer string, value ast.Value, err error) {
	switch v := v.(type) {
	case ast.String:
		pointer = string(v)
	case ast.Object:
		op, _ := textOf(v.Get(ast.StringTerm("op")))
		pointer, _ = textOf(v.Get(key.path))
		given := v.Get(ast.StringTerm("value"))
		switch {
		case op == "upsert" && given != nil && v.Len() == 3:
			value = given.Value
		case op != "remove" || v.Len() != 2:
			return "", nil, fmt.Errorf("%w: want {op: remove, path} or {op: upsert, path, value}", errMask)
		}
	default:
		return "", nil, fmt.Errorf("%w: a mask is a pointer or an object", errMask)
	}
	if !inputPointer(pointer) {
		return "", nil, fmt.Errorf("%w: a pointer begins with /input", errMask)
	}
	return pointer, value, nil
}

// inputPointer reports whether a text is a JSON pointer (RFC 6901) to the input or into it.
func inputPointer(s string) bool {
	if s != "/input" && !strings.HasPrefix(s, "/input/") {
		return false
	}
	for rest := s; ; {
		at := strings.IndexByte(rest, '~')
		if at < 0 {
			return true
		}
		if rest = rest[at+1:]; rest == "" || rest[0] != '0' && rest[0] != '1' {
			return false
		}
	}
}

// settingMasks are the pointers of settings decision_log.mask.
func (s *set) settingMasks() ([]string, error) {
	block, _ := s.settings["decision_log"].(map[string]any)
	list, _ := block["mask"].([]any)
	var pointers []string
	for _, item := range list {
		pointer, ok := item.(string)
		if !ok || !inputPointer(pointer) {
			return nil, refused("settings", "mask", "decision_log.mask: %v is no JSON pointer that begins with /input", item)
		}
		pointers = append(pointers, pointer)
	}
	return pointers, nil
}

// checkMask holds the author's masks to their form before anything relies on them: a set of rules, which for a question without any
// facts gives masks.
func (s *snapshot) checkMask(ctx context.Context) error {
	if _, has := s.queries[entryMask]; !has {
		return nil
	}
	rules := s.compiler.GetRules(maskRef())
	for _, rule := range rules {
		if rule.Head.RuleKind() != ast.MultiValue || rule.Head.Key == nil || rule.Default {
			return &problemError{[]Problem{problemAt(rule.Location, "mask", "masks are a set: mask contains \"/input/...\" if ...")}}
		}
	}
	nobody := Question{Subject: Nobody("", "")}
	input, err := nobody.build(&terms{}, "")
	if err != nil {
		return err
	}
	value, err := s.once(ctx, entryMask, maskEvent(input, EntryDecision, object(pair{key.allow, key.no})))
	if err == nil {
		_, err = readMasks(value)
	}
	if err != nil {
		return &problemError{[]Problem{problemAt(rules[0].Location, "mask", "%v", err)}}
	}
	return nil
}

// told is what may be said of an error where people read it who may not read the input: a failed builtin repeats its arguments, and what
// is wrong with a question repeats a part of it.
func told(err error) string {
	var failed *topdown.Error
	switch {
	case errors.Is(err, ErrQuestion):
		return ErrUndecided.Error() + ": " + ErrQuestion.Error()
	case errors.As(err, &failed) && failed.Code == topdown.BuiltinErr:
		what := failed.Code
		if name, _, _ := strings.Cut(failed.Message, ":"); slices.Contains(allowedBuiltins(), name) {
			what += ": " + name
		}
		if failed.Location != nil {
			what = fmt.Sprintf("%s:%d: %s", failed.Location.File, failed.Location.Row, what)
		}
		return ErrUndecided.Error() + ": " + what
	}
	return err.Error()
}
