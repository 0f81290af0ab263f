package decide

import (
	"context"

	"github.com/writ-authz/writ/policies"
	"github.com/writ-authz/writ/policies/enforce"
)

// explaining says why the answers of one request came out as they did, as far as the caller may see it.
type explaining struct {
	api     *API
	request *enforce.Request
	parent  policies.Decision
	// allowed remembers by tenant whether the caller may see more than codes.
	allowed map[string]bool
}

// context is what stands beside an answer. Without the right to explain there are codes and nothing else.
func (e *explaining) context(ctx context.Context, tenant string, d policies.Decision) (*evaluationContext, error) {
	c := &evaluationContext{DecisionID: d.ID, PolicyRevision: d.PolicyRevision}
	more, err := e.may(ctx, tenant)
	if err != nil {
		return nil, err
	}
	for _, reason := range d.Reasons {
		given := givenReason{Code: reason.Code}
		if more {
			given.Rule, given.Text = reason.Rule, e.api.PDP.Catalogue().Reason(reason.Code).Administrator
		}
		c.Reasons = append(c.Reasons, given)
	}
	if more && !d.Allow {
		if c.Detail, err = e.api.PDP.Detail(ctx, d); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// may asks, once for a tenant, whether the caller may see what is behind an answer there.
func (e *explaining) may(ctx context.Context, tenant string) (bool, error) {
	if known, ok := e.allowed[tenant]; ok {
		return known, nil
	}
	d, err := e.request.Ask(ctx, e.parent, &policies.Question{Action: explainAction, Resource: asking(tenant)})
	if err != nil {
		return false, err
	}
	if e.allowed == nil {
		e.allowed = map[string]bool{}
	}
	e.allowed[tenant] = d.Allow
	return d.Allow, nil
}
