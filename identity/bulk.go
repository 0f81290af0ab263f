package identity

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/writ-authz/writ/policies"
	"github.com/writ-authz/writ/policies/enforce"
	"github.com/writ-authz/writ/storage"
)

const maxBulk = 100

// bulkFields names what is to be deleted.
type bulkFields struct {
	IDs []string `json:"ids"`
}

// bulkDelete deletes many applications in one transaction, all or none. It is one decision on all of them together: the target
// is the sum of them, in their tenant, or in every tenant if they are of several.
func (r *Room) bulkDelete(ctx context.Context, req *enforce.Request) (enforce.Resolved, error) {
	var in bulkFields
	if err := req.Decode(&in); err != nil {
		return enforce.Resolved{}, err
	}
	if len(in.IDs) == 0 || len(in.IDs) > maxBulk {
		return enforce.Resolved{}, enforce.BadRequest("bad_count", "/ids", "name 1 to 100 applications")
	}
	for i, id := range in.IDs {
		if err := checkApplicationID(id, "/ids/"+strconv.Itoa(i)); err != nil {
			return enforce.Resolved{}, err
		}
	}
	ids := distinct(in.IDs)
	w, v, err := r.beginBundle(ctx, req, "applications", "bulk", saving{action: "bulk_delete"})
	if err != nil {
		return enforce.Resolved{}, err
	}
	w.target = "applications/" + strings.Join(ids, ",")
	w.many, w.deletes = true, true
	found := make([]*storage.Application, 0, len(ids))
	named := &namedDetail{Tenants: map[string]bool{}}
	for _, id := range ids {
		if e := r.directory.application(id); e != nil {
			found = append(found, e.application)
			named.Tenants[string(e.application.Tenant)] = true
		}
	}
	named.Missing = len(found) < len(ids)
	w.question.Resource = r.sum(req, v, found)
	w.detail.Named = named
	w.late = r.unknownID(in.IDs, slices.Collect(maps.Keys(named.Tenants)))
	w.denied = func(d policies.Decision) error { return r.bulkDenied(req, d, in.IDs, found) }
	w.apply = func(ctx context.Context, tx storage.Tx) error {
		for _, a := range found {
			copied := *a
			if err := buryApplication(ctx, tx, &copied); err != nil {
				return err
			}
		}
		return nil
	}
	w.after = func(ctx context.Context) error {
		for _, a := range found {
			r.machines.forget(a.ID)
			r.endSessions(ctx, a.ID, "")
		}
		return nil
	}
	w.reply = noContent
	return r.change(req, w), nil
}

// sum is many applications as one target: it has the rights of all of them, and what is true of one is true of it.
func (r *Room) sum(req *enforce.Request, v view, applications []*storage.Application) policies.Resource {
	total := policies.Identity{Type: kindApplication, Exists: true, TenantEnabled: true}
	target := resource(v, "", "", true)
	for i, a := range applications {
		facts := applicationFacts(v, a, r.config.Audiences)
		total.Grants = append(total.Grants, prefixed(facts.Grants, a.ID)...)
		total.Roles = distinct(append(total.Roles, facts.Roles...))
		total.Groups = distinct(append(total.Groups, facts.Groups...))
		total.GrantTypes = distinct(append(total.GrantTypes, facts.GrantTypes...))
		total.Audiences = distinct(append(total.Audiences, facts.Audiences...))
		total.Active = total.Active || facts.Active
		total.Protected = total.Protected || facts.Protected
		total.Scopes = joinCeilings(total.Scopes, facts.Scopes, i == 0)
		target.Self = target.Self || isCaller(req, kindApplication, a.ID)
		of := resource(v, "", a.Tenant, true)
		if i == 0 {
			target.Tenant, target.TenantEnabled = of.Tenant, of.TenantEnabled
		} else if target.Tenant != of.Tenant {
			target.Tenant = string(storage.AnyTenant)
		}
		target.TenantEnabled = target.TenantEnabled && of.TenantEnabled
	}
	total.Tenant = target.Tenant
	target.Before = policies.NewFacts(total)
	target.Changes = []string{"delete"}
	return target
}

// joinCeilings is the ceiling of a sum: none as soon as one has none.
func joinCeilings(a, b []string, first bool) []string {
	if first {
		return b
	}
	if a == nil || b == nil {
		return nil
	}
	return distinct(append(slices.Clone(a), b...))
}

// prefixed keeps the sources of the grants of several identities apart.
func prefixed(grants []policies.Grant, id string) []policies.Grant {
	apart := slices.Clone(grants)
	for i := range apart {
		apart[i].Via = id + "/" + apart[i].Via
	}
	return apart
}

// unknownID is the reply that names the first application that is not there, or not in one of the tenants: the two look alike. It is
// nil where there is none.
func (r *Room) unknownID(ids, tenants []string) error {
	for i, id := range ids {
		if e := r.directory.application(id); e != nil && slices.Contains(tenants, string(e.application.Tenant)) {
			continue
		}
		return &enforce.ProtocolError{
			Status: http.StatusNotFound, Code: "unknown_id", Pointer: "/ids/" + strconv.Itoa(i),
			Detail: "there is no application " + id + ", or none for you to see; nothing was deleted",
		}
	}
	return nil
}

// bulkDenied names the application that stands in the way, where one does by itself. Of what the caller does not see, the decision
// says in which tenants the rest is.
func (r *Room) bulkDenied(req *enforce.Request, d policies.Decision, ids []string, found []*storage.Application) error {
	if d.Obligations.Conceal {
		shown, _, err := visible(d)
		if err != nil {
			return err
		}
		return r.unknownID(ids, shown)
	}
	for _, reason := range d.Reasons {
		for _, a := range found {
			blocks := reason.Code == "system_protected" && a.Protected ||
				reason.Code == "self_lockout" && isCaller(req, kindApplication, a.ID) ||
				reason.Code == "must_be_inactive" && a.IsActive
			if blocks {
				return &denial{
					decision: d, reasons: d.Reasons, pointer: "/ids/" + strconv.Itoa(slices.Index(ids, a.ID)),
					detail: "the application " + a.ID + " cannot be deleted; nothing was deleted",
				}
			}
		}
	}
	return nil
}
