package rustici

import (
	"slices"

	"github.com/writ-authz/writ/cmd/writ/dialects"
)

// pair is a right as this system writes it.
type pair struct {
	Verb    string `json:"verb"`
	Subject string `json:"subject"`
}

// grant is a native one, without the window that this system does not know.
type grant struct {
	Tenant   string `json:"tenant,omitempty"`
	Resource string `json:"resource"`
	Action   string `json:"action"`
	// NotBefore and NotAfter are read only: a grant with a window is no right of this system.
	NotBefore *string `json:"not_before,omitempty"`
	NotAfter  *string `json:"not_after,omitempty"`
}

// anyTenant is where the scopes of a credential are.
const anyTenant = "*"

// known is a row of the table: a right, and the resource and the actions that it stands for.
type known struct {
	pair
	resource string
	actions  []string
}

// table is closed: there are no other rights here, in this order.
func table() []known {
	return []known{
		{pair{"READ", "JOBS"}, "jobs", []string{"read"}},
		{pair{"WRITE", "JOBS"}, "jobs", []string{"write"}},
		{pair{"READ", "CONTENT"}, "content", []string{"read"}},
		{pair{"WRITE", "CONTENT"}, "content", []string{"write"}},
		{pair{"READ", "CREDENTIALS"}, "iam/applications", []string{"read"}},
		{pair{"WRITE", "CREDENTIALS"}, "iam/applications", []string{"write", "write_scopes"}},
		{pair{"READ", "APP_MANAGEMENT"}, "iam/tenants", []string{"read"}},
		{pair{"WRITE", "APP_MANAGEMENT"}, "iam/tenants", []string{"write", "delete"}},
	}
}

// rights collects grants, and where in the body each of them comes from.
type rights struct {
	grants []grant
	places []string
}

// add gives what pairs stand for, in a tenant.
func (r *rights) add(pairs []pair, tenant, place string) error {
	for i, given := range pairs {
		at := place + "/" + number(i)
		row := slices.IndexFunc(table(), func(k known) bool { return k.pair == given })
		if row < 0 {
			return &dialects.Fault{Kind: dialects.Invalid, At: at, Detail: "there is no right of this verb and subject"}
		}
		k := table()[row]
		for _, action := range k.actions {
			r.grants = append(r.grants, grant{Tenant: tenant, Resource: k.resource, Action: action})
			r.places = append(r.places, at)
		}
	}
	return nil
}

// shown are the rights that grants amount to: in every tenant, and in one each.
func shown(grants []grant) (scopes []pair, tenants map[string][]pair) {
	held := map[string]map[grant]bool{}
	for _, g := range grants {
		if g.Tenant == "" {
			continue // of no tenant: this system does not know that
		}
		if held[g.Tenant] == nil {
			held[g.Tenant] = map[grant]bool{}
		}
		held[g.Tenant][g] = true
	}
	scopes, tenants = []pair{}, map[string][]pair{}
	for tenant, here := range held {
		pairs := []pair{}
		for _, k := range table() {
			if !slices.ContainsFunc(k.actions, func(action string) bool {
				return !here[grant{Tenant: tenant, Resource: k.resource, Action: action}]
			}) {
				pairs = append(pairs, k.pair)
			}
		}
		switch {
		case tenant == anyTenant:
			scopes = pairs
		case len(pairs) > 0:
			tenants[tenant] = pairs
		}
	}
	return scopes, tenants
}
