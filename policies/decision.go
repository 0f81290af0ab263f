package policies

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"
	"github.com/open-policy-agent/opa/v1/ast"
)

// errResult says that an entrypoint answered, but not with a decision.
var errResult = errors.New("malformed result")

// NewDecisionID returns a fresh id for a decision: it is unguessable and unique everywhere.
func NewDecisionID() string { return uuid.NewString() }

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: %s", errResult, fmt.Sprintf(format, args...))
}

// decode reads {allow, reasons, obligations} strictly: every field there, none besides, all of the right type, and only
// reason codes that the catalogue has.
func (d *Decision) decode(result ast.Value, catalogue *Catalogue) error {
	fields, ok := result.(ast.Object)
	if !ok {
		return malformed("not an object")
	}
	if fields.Len() != 3 {
		return malformed("not exactly allow, reasons and obligations")
	}
	allow, reasons, obligations := fields.Get(key.allow), fields.Get(key.reasons), fields.Get(key.obligations)
	if allow == nil || reasons == nil || obligations == nil {
		return malformed("not exactly allow, reasons and obligations")
	}
	allowed, ok := allow.Value.(ast.Boolean)
	if !ok {
		return malformed("allow is not true or false")
	}
	list, err := decodeReasons(reasons.Value, catalogue)
	if err != nil {
		return err
	}
	if allowed && len(list) == 0 {
		return malformed("a permit without a reason")
	}
	o, err := decodeObligations(obligations.Value)
	if err != nil {
		return err
	}
	d.Allow, d.Reasons, d.Obligations = bool(allowed), list, o
	return nil
}

// decodeReasons takes an array or a set of {code, rule}. A set comes out in order of codes and rules.
func decodeReasons(v ast.Value, catalogue *Catalogue) ([]Reason, error) {
	n, each, ok := elements(v)
	if !ok {
		return nil, malformed("reasons are no list")
	}
	if n == 0 {
		return nil, nil
	}
	list := make([]Reason, 0, n)
	err := each(func(term *ast.Term) error {
		fields, ok := term.Value.(ast.Object)
		if !ok || fields.Len() != 2 {
			return malformed("a reason is not exactly code and rule")
		}
		code, okCode := textOf(fields.Get(key.code))
		rule, okRule := textOf(fields.Get(key.rule))
		if !okCode || !okRule {
			return malformed("a reason is not exactly code and rule")
		}
		if _, known := catalogue.reasons[code]; !known {
			return malformed("reason %q is not in the catalogue", code)
		}
		list = append(list, Reason{Code: code, Rule: rule})
		return nil
	})
	if _, isSet := v.(ast.Set); isSet {
		slices.SortFunc(list, compareReasons)
	}
	return list, err
}

func compareReasons(a, b Reason) int {
	if c := strings.Compare(a.Code, b.Code); c != 0 {
		return c
	}
	return strings.Compare(a.Rule, b.Rule)
}

func elements(v ast.Value) (n int, each func(func(*ast.Term) error) error, ok bool) {
	switch v := v.(type) {
	case *ast.Array:
		return v.Len(), v.Iter, true
	case ast.Set:
		return v.Len(), v.Iter, true
	}
	return 0, nil, false
}

func textOf(term *ast.Term) (string, bool) {
	if term == nil {
		return "", false
	}
	s, ok := term.Value.(ast.String)
	return string(s), ok
}

func decodeObligations(v ast.Value) (Obligations, error) {
	var o Obligations
	fields, ok := v.(ast.Object)
	if !ok {
		return o, malformed("obligations are no object")
	}
	if fields.Len() == 0 {
		return o, nil
	}
	err := fields.Iter(func(k, v *ast.Term) error {
		name, ok := textOf(k)
		if !ok {
			return malformed("an obligation's name is no string")
		}
		if err := o.decode(name, v.Value); err != nil {
			return malformed("obligation %q: %v", name, err)
		}
		return nil
	})
	return o, err
}

func (o *Obligations) decode(name string, v ast.Value) (err error) {
	switch name {
	case "scopes":
		o.Scopes, err = texts(v)
	case "audience":
		o.Audience, err = texts(v)
	case "redact":
		o.Redact, err = texts(v)
	case "lifetime":
		o.Lifetime, err = seconds(v)
	case "format":
		s, ok := v.(ast.String)
		if !ok || s != "jwt" && s != "opaque" {
			return errors.New(`neither "jwt" nor "opaque"`)
		}
		o.Format = string(s)
	case "refresh":
		b, ok := v.(ast.Boolean)
		if !ok {
			return errors.New("not true or false")
		}
		refresh := bool(b)
		o.Refresh = &refresh
	case "conceal":
		b, ok := v.(ast.Boolean)
		if !ok {
			return errors.New("not true or false")
		}
		o.Conceal = bool(b)
	case "claims":
		o.Claims, err = document(v)
	case "filter":
		o.Filter, err = document(v)
	default:
		return errors.New("unknown")
	}
	return err
}

// texts takes an array or a set of strings. It is never nil: an empty list is not an absent one.
func texts(v ast.Value) ([]string, error) {
	n, each, ok := elements(v)
	if !ok {
		return nil, errors.New("not a list")
	}
	list := make([]string, 0, n)
	err := each(func(term *ast.Term) error {
		s, ok := term.Value.(ast.String)
		if !ok {
			return errors.New("not a list of strings")
		}
		list = append(list, string(s))
		return nil
	})
	return list, err
}

func seconds(v ast.Value) (*int64, error) {
	n, ok := v.(ast.Number)
	if !ok {
		return nil, errors.New("not a number")
	}
	i, err := strconv.ParseInt(string(n), 10, 64)
	if err != nil {
		f, ok := n.Float64()
		if !ok || f != math.Trunc(f) || math.Abs(f) > math.MaxInt32 {
			return nil, errors.New("not whole seconds")
		}
		i = int64(f)
	}
	if i < 0 {
		return nil, errors.New("negative")
	}
	return &i, nil
}

func document(v ast.Value) (map[string]any, error) {
	plain, err := ast.JSONWithOpt(v, ast.JSONOpt{SortSets: true, CopyMaps: true})
	if err != nil {
		return nil, err
	}
	object, ok := plain.(map[string]any)
	if !ok {
		return nil, errors.New("not an object")
	}
	return object, nil
}
