package identity

import (
	"context"
	"fmt"
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
	targets := map[storage.TenantID][]string{}
	named := &namedDetail{Tenants: map[string]bool{}}
	for _, id := range ids {
		if e := r.directory.application(id); e != nil {
			found = append(found, e.application)
			named.Tenants[string(e.application.Tenant)] = true
			targets[e.application.Tenant] = append(targets[e.application.Tenant], "applications/"+id)
		}
	}
	w.parts = partsOf(targets)
	named.Missing = len(found) < len(ids)
	w.question.Resource = r.sum(req, v, found)
	w.detail.Named = named
	w.late = r.unknownID(in.IDs, slices.Collect(maps.Keys(named.Tenants)))
	w.denied = func(d policies.Decision) error { return r.bulkDenied(ctx, req, d, in.IDs, found) }
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

// unknownID is the reply that names the applications that are not there, or not in one of the tenants: the two look alike. It is
// nil where there are none.
func (r *Room) unknownID(ids, tenants []string) error {
	var items []ProblemItem
	for i, id := range ids {
		e := r.directory.application(id)
		if slices.Index(ids, id) < i || e != nil && slices.Contains(tenants, string(e.application.Tenant)) {
			continue
		}
		items = append(items, ProblemItem{Pointer: "/ids/" + strconv.Itoa(i), ID: id, Code: "unknown_id"})
	}
	if items == nil {
		return nil
	}
	return inTheWay(http.StatusNotFound, items, "there is no such application, or none for you to see")
}

// inTheWay is a refusal of a bulk. The first item is named as that of a single refusal would be.
func inTheWay(status int, items []ProblemItem, detail string) error {
	first := items[0]
	return &itemsError{Problem{
		Status: status, Code: first.Code, Pointer: first.Pointer, Reasons: first.Reasons, Items: items,
		Detail: detail + ": " + first.ID + "; nothing was deleted",
	}}
}

// bulkDenied names the applications that stand in the way, each with what a single delete of it would be refused for. Of what the
// caller does not see, the decision says in which tenants the rest is. Where none stands in the way by itself, it is the sum that does.
func (r *Room) bulkDenied(ctx context.Context, req *enforce.Request, d policies.Decision, ids []string, found []*storage.Application) error {
	if d.Obligations.Conceal {
		shown, _, err := visible(d)
		if err != nil {
			return err
		}
		return r.unknownID(ids, shown)
	}
	v := standing{r.directory}
	var items []ProblemItem
	status := 0
	for _, a := range found {
		q := policies.Question{
			Entrypoint: policies.EntryAdmin, Subject: req.Caller.Facts, Caller: req.Caller.Policy(policies.PlaneManagement),
			Action: "delete", Now: req.Now,
		}
		w := &write{version: a.Version}
		w.question.Resource.Type = "iam/applications"
		r.askApplication(req, w, v, a, nil, false)
		w.detail.Conditional = true // a bulk names no versions
		q.Resource = w.question.Resource
		q.Resource.Type, q.Resource.AfterDetail = "iam/applications", w.detail.json()
		alone, err := r.config.PDP.Explain(ctx, &q)
		if err != nil {
			return fmt.Errorf("why %s is not deleted: %w", a.ID, err)
		}
		if alone.Allow || len(alone.Reasons) == 0 || alone.Obligations.Conceal {
			continue // what a single delete would tell of as missing is not named: the reply would say that it is there
		}
		item := ProblemItem{Pointer: "/ids/" + strconv.Itoa(slices.Index(ids, a.ID)), ID: a.ID, Reasons: alone.Reasons}
		worst := 0
		for n, reason := range alone.Reasons {
			if of := denialStatus(reason.Code); n == 0 || denialRank(of) < denialRank(worst) {
				worst, item.Code = of, reason.Code
			}
		}
		if status == 0 || denialRank(worst) < denialRank(status) {
			status = worst
		}
		items = append(items, item)
	}
	if items == nil {
		return nil
	}
	slices.SortStableFunc(items, func(a, b ProblemItem) int {
		return denialRank(denialStatus(a.Code)) - denialRank(denialStatus(b.Code))
	})
	return inTheWay(status, items, "this application cannot be deleted")
}
