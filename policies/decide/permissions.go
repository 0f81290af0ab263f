package decide

import (
	"cmp"
	"context"
	"net/http"
	"net/netip"
	"slices"
	"time"

	"github.com/writ-authz/writ/policies"
	"github.com/writ-authz/writ/policies/enforce"
)

// permissionsRequest names a subject and the tenant that is asked about: an id, "" for objects of no tenant, or "*" for all of
// them, which takes the right to ask in every tenant. Absence is "*". A question about oneself is about all of them.
type permissionsRequest struct {
	Subject struct {
		Type   string  `json:"type"`
		ID     string  `json:"id"`
		Tenant *string `json:"tenant"`
	} `json:"subject"`
}

func (in *permissionsRequest) tenant() string {
	if in.Subject.Tenant == nil {
		return anyTenant
	}
	return *in.Subject.Tenant
}

// anyTenant is the tenant of grants, and of questions, that are about every tenant and none.
const anyTenant = "*"

// heldPermission is one pair that the subject holds now, and where it comes from. Tenant is empty for objects of no tenant.
type heldPermission struct {
	Tenant   string   `json:"tenant"`
	Resource string   `json:"resource"`
	Action   string   `json:"action"`
	Via      []string `json:"via"`
}

// permissionsReply is all that the subject holds.
type permissionsReply struct {
	Permissions []heldPermission `json:"permissions"`
}

// permissions answers POST /v1/permissions: the pairs, wildcards as they are, for which an evaluation permits.
func (a *API) permissions(ctx context.Context, r *enforce.Request) (enforce.Resolved, error) {
	var in permissionsRequest
	if err := r.Decode(&in); err != nil {
		return enforce.Resolved{}, err
	}
	switch {
	case in.Subject.Type == "":
		return enforce.Resolved{}, missing("/subject/type")
	case in.Subject.ID == "":
		return enforce.Resolved{}, missing("/subject/id")
	}
	found, err := a.find(ctx, r, entity{Type: in.Subject.Type, ID: in.Subject.ID}, netip.Addr{})
	if err != nil {
		return enforce.Resolved{}, err
	}
	return enforce.Resolved{
		Question: right(found, in.tenant()),
		Respond: func(ctx context.Context, parent policies.Decision) (enforce.Reply, error) {
			held, err := a.effective(ctx, r, parent, found, in.tenant())
			if err != nil {
				return enforce.Reply{}, err
			}
			return enforce.Reply{Status: http.StatusOK, Body: permissionsReply{Permissions: held}}, nil
		},
	}, nil
}

// effective puts every candidate pair, wildcards included, to the PDP and keeps what it permits. The candidates are the grants
// within the token's scopes that matter in the tenant asked about: preparing them decides nothing. Each is a question of its own.
func (a *API) effective(
	ctx context.Context, r *enforce.Request, parent policies.Decision, found asked, tenant string,
) ([]heldPermission, error) {
	candidates := a.candidates(found, r.Now)
	if !found.caller.Self && tenant != anyTenant {
		candidates = slices.DeleteFunc(candidates, func(p heldPermission) bool { return p.Tenant != tenant && p.Tenant != anyTenant })
	}
	held := make([]heldPermission, 0, len(candidates))
	for _, candidate := range candidates {
		question := policies.Question{
			Entrypoint: policies.EntryDecision, Subject: found.facts, Action: candidate.Action,
			Resource: policies.Resource{
				Type: candidate.Resource, Tenant: candidate.Tenant, TenantEnabled: true, Exists: true, OtherOwners: -1, OwnersBefore: -1,
			},
			Caller: found.caller, Now: r.Now,
		}
		decision, err := a.answer(ctx, r, parent, &question, false)
		if err != nil {
			return nil, err
		}
		if decision.Allow {
			held = append(held, candidate)
		}
	}
	return held, nil
}

// candidates are the pairs of grants whose window is open. One whose window is not must not be asked about: as a pattern, it could
// be covered by another grant that does not give all that it says (an explicit action under a wildcard).
func (a *API) candidates(found asked, now time.Time) []heldPermission {
	type pair struct{ tenant, resource, action string }
	sources := map[pair][]string{}
	// A subject that is confined to a tenant holds a grant for every tenant there, and in none.
	confined := cmp.Or(found.caller.Tenant, found.facts.Identity().Tenant)
	add := func(tenant, resource, action, via string) {
		tenants := []string{tenant}
		if tenant == anyTenant && confined != "" {
			tenants = append(tenants, confined, "")
		}
		for _, tenant := range tenants {
			key := pair{tenant, resource, action}
			if !slices.Contains(sources[key], via) {
				sources[key] = append(sources[key], via)
			}
		}
	}
	catalogue := a.PDP.Catalogue()
	for _, grant := range found.facts.Identity().Grants {
		if now.Before(grant.NotBefore) || !grant.NotAfter.IsZero() && !now.Before(grant.NotAfter) {
			continue
		}
		if !found.caller.Scoped {
			add(grant.Tenant, grant.Resource, grant.Action, grant.Via)
			continue
		}
		for _, scope := range found.caller.Scopes.List() {
			resource, action, err := policies.ParsePermission(scope)
			if err != nil {
				continue
			}
			if resource, action, ok := catalogue.Intersect(grant.Resource, grant.Action, resource, action); ok {
				add(grant.Tenant, resource, action, grant.Via)
			}
		}
	}
	pairs := make([]heldPermission, 0, len(sources))
	for key, via := range sources {
		slices.Sort(via)
		pairs = append(pairs, heldPermission{Tenant: key.tenant, Resource: key.resource, Action: key.action, Via: via})
	}
	slices.SortFunc(pairs, func(x, y heldPermission) int {
		return cmp.Or(cmp.Compare(x.Tenant, y.Tenant), cmp.Compare(x.Resource, y.Resource), cmp.Compare(x.Action, y.Action))
	})
	return pairs
}
