package policies

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
)

// Detail is what stands behind the reasons of a denial: what would have sufficed, and what was there but not at this time.
type Detail struct {
	// MissingGrant would have been enough by itself or, where MissingScope is set too, together with it. Nil where none would be.
	MissingGrant *WantedGrant `json:"missing_grant,omitempty"`
	// MissingScope is the scope that the token would have needed.
	MissingScope string `json:"missing_scope,omitempty"`
	// Closed are the windows that were not open: the subject's own, and those of grants that cover the request.
	Closed []ClosedWindow `json:"closed_windows,omitempty"`
}

// WantedGrant is a grant as the management API takes it.
type WantedGrant struct {
	Tenant   string `json:"tenant,omitempty"`
	Resource string `json:"resource"`
	Action   string `json:"action"`
}

// ClosedWindow is a window that was not open. Via is "subject" for the subject's own; else it says where the grant comes from.
type ClosedWindow struct {
	Via       string     `json:"via"`
	Tenant    string     `json:"tenant,omitempty"`
	Resource  string     `json:"resource,omitempty"`
	Action    string     `json:"action,omitempty"`
	NotBefore *time.Time `json:"not_before,omitempty"`
	NotAfter  *time.Time `json:"not_after,omitempty"`
}

// Detail explains a denial further than Why: on the snapshot and the input that it was taken on. What it says would suffice was
// tried: the entrypoint permits the same input with it. It costs several decisions, so ask where somebody reads the answer. The
// error, if any, wraps ErrUndecided.
func (p *PDP) Detail(ctx context.Context, d Decision) (Detail, error) {
	input, ok := d.input.(ast.Object)
	if d.snapshot == nil || !ok {
		return Detail{}, fmt.Errorf("%w: the decision was not taken here", ErrUndecided)
	}
	result, err := p.evaluate(ctx, d.snapshot, EntryDetail, input)
	if err != nil {
		return Detail{}, p.undecided(ctx, EntryDetail, err)
	}
	var detail Detail
	wanted, err := detail.decode(result)
	if err == nil {
		err = p.trySufficing(ctx, d.snapshot, input, wanted, &detail)
	}
	if err != nil {
		return Detail{}, p.undecided(ctx, EntryDetail, err)
	}
	return detail, nil
}

// trySufficing adds to the input the grant that is wanted, then the scope, then both, and notes the first of them that is permitted.
func (p *PDP) trySufficing(ctx context.Context, s *snapshot, input ast.Object, wanted WantedGrant, detail *Detail) error {
	tenant, resource, action := ast.StringTerm(wanted.Tenant), ast.StringTerm(wanted.Resource), ast.StringTerm(wanted.Action)
	granted := graft(input, key.always, key.subject, key.grants, tenant, resource, action, ast.StringTerm("missing"))
	scope := func(in ast.Object) ast.Object { return graft(in, key.yes, key.caller, key.scopes, resource, action) }
	for _, try := range []struct {
		input        ast.Object
		grant, scope bool
	}{{granted, true, false}, {scope(input), false, true}, {scope(granted), true, true}} {
		permitted, err := p.permits(ctx, s, try.input)
		if err != nil {
			return err
		}
		if !permitted {
			continue
		}
		if try.grant {
			detail.MissingGrant = &wanted
		}
		if try.scope {
			detail.MissingScope = wanted.Resource + ":" + wanted.Action
		}
		return nil
	}
	return nil
}

// permits evaluates the entrypoint that an input names. It is a question that nobody asked: no decision, and in no log.
func (p *PDP) permits(ctx context.Context, s *snapshot, input ast.Object) (bool, error) {
	name, ok := textOf(input.Get(key.entrypoint))
	if !ok {
		return false, malformed("an input without an entrypoint")
	}
	result, err := p.evaluate(ctx, s, Entrypoint(name), input)
	if err != nil {
		return false, err
	}
	var d Decision
	if err := d.decode(result, s.set.catalogue); err != nil {
		return false, err
	}
	return d.Allow, nil
}

// graft returns a copy of an object in which a path leads to a leaf. What the path goes through and is no object is replaced by one.
func graft(o ast.Object, leaf *ast.Term, path ...*ast.Term) ast.Object {
	pairs := make([]pair, 0, o.Len()+1)
	o.Foreach(func(name, value *ast.Term) {
		if !name.Equal(path[0]) {
			pairs = append(pairs, pair{name, value})
		}
	})
	if len(path) > 1 {
		below, ok := ast.Object(nil), false
		if at := o.Get(path[0]); at != nil {
			below, ok = at.Value.(ast.Object)
		}
		if !ok {
			below = ast.NewObject()
		}
		leaf = ast.NewTerm(graft(below, leaf, path[1:]...))
	}
	return ast.NewObject(append(pairs, pair{path[0], leaf})...)
}

// decode reads {wanted, closed} and returns what was wanted.
func (d *Detail) decode(result ast.Value) (WantedGrant, error) {
	document, err := document(result)
	if err != nil {
		return WantedGrant{}, malformed("%v", err)
	}
	wanted, ok := document["wanted"].(map[string]any)
	closed, list := document["closed"].([]any)
	if !ok || !list || len(document) != 2 {
		return WantedGrant{}, malformed("not exactly wanted and closed")
	}
	for _, item := range closed {
		fields, ok := item.(map[string]any)
		if !ok {
			return WantedGrant{}, malformed("a closed window is no object")
		}
		d.Closed = append(d.Closed, ClosedWindow{
			Via: member(fields, "via"), Tenant: member(fields, "tenant"), Resource: member(fields, "resource"),
			Action: member(fields, "action"), NotBefore: instant(fields["not_before"]), NotAfter: instant(fields["not_after"]),
		})
	}
	return WantedGrant{Tenant: member(wanted, "tenant"), Resource: member(wanted, "resource"), Action: member(wanted, "action")}, nil
}

func member(fields map[string]any, name string) string {
	text, _ := fields[name].(string)
	return text
}

// instant turns nanoseconds into a time; an open end is none.
func instant(v any) *time.Time {
	n, err := strconv.ParseInt(fmt.Sprint(v), 10, 64)
	if err != nil || n == 0 || n == math.MaxInt64 {
		return nil
	}
	at := time.Unix(0, n).UTC()
	return &at
}
