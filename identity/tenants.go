package identity

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/writ-authz/writ/policies"
	"github.com/writ-authz/writ/policies/enforce"
	"github.com/writ-authz/writ/storage"
)

const tenantsPath = "/v1/tenants/"

type tenantFields struct {
	Name      enforce.Field[string]   `json:"name"`
	Enabled   enforce.Field[bool]     `json:"enabled"`
	Addresses enforce.Field[[]string] `json:"addresses"`
	Protected enforce.Field[bool]     `json:"protected"`
}

type tenantPut struct {
	ID enforce.Field[string] `json:"id"`
	tenantFields
}

type tenantView struct {
	ID        string    `json:"id"`
	Name      string    `json:"name"`
	Enabled   bool      `json:"enabled"`
	Addresses []string  `json:"addresses,omitempty"`
	Protected bool      `json:"protected"`
	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
	Version   int64     `json:"version"`
}

func viewTenant(t *storage.Tenant) tenantView {
	return tenantView{
		ID: t.ID, Name: t.Name, Enabled: t.Enabled, Addresses: t.Addresses, Protected: t.Protected, CreatedAt: t.CreatedAt,
		UpdatedAt: t.UpdatedAt, Version: t.Version,
	}
}

func (r *Room) listTenants(_ context.Context, req *enforce.Request) (enforce.Resolved, error) {
	query, err := r.listing(req, "tenants", storage.TenantKind)
	if err != nil {
		return enforce.Resolved{}, err
	}
	return resolveList(r, req, query, r.askToReadTenant, viewTenant)
}

// askToReadTenant is the question whether a tenant may be read.
func (r *Room) askToReadTenant(t *storage.Tenant) policies.Question {
	q := policies.Question{Resource: resource(standing{r.directory}, t.ID, "", true)}
	q.Resource.Before = policies.NewFacts(tenantFacts(t))
	return q
}

func (r *Room) getTenant(_ context.Context, req *enforce.Request) (enforce.Resolved, error) {
	id := req.Params["id"]
	if err := checkObjectID(id, ""); err != nil {
		return enforce.Resolved{}, err
	}
	v := standing{r.directory}
	t := v.tenant(storage.TenantID(id))
	if t == nil {
		return r.readMissing(req, v, id)
	}
	return readObject(req, r.askToReadTenant(t), t.Meta, func() any { return viewTenant(t) })
}

func (r *Room) postTenant(ctx context.Context, req *enforce.Request) (enforce.Resolved, error) {
	var in tenantFields
	if err := req.Decode(&in); err != nil {
		return enforce.Resolved{}, err
	}
	id, err := uuid.NewV7FromReader(r.config.Rand)
	if err != nil {
		return enforce.Resolved{}, fmt.Errorf("make an id: %w", err)
	}
	return r.saveTenant(ctx, req, id.String(), &in, saving{creates: true, only: true, unnamed: true, action: "create"})
}

func (r *Room) putTenant(ctx context.Context, req *enforce.Request) (enforce.Resolved, error) {
	var in tenantPut
	id := req.Params["id"]
	if err := checkObjectID(id, ""); err != nil {
		return enforce.Resolved{}, err
	}
	if err := req.Decode(&in); err != nil {
		return enforce.Resolved{}, err
	}
	if err := sameID(in.ID, id, "/id"); err != nil {
		return enforce.Resolved{}, err
	}
	return r.saveTenant(ctx, req, id, &in.tenantFields, saving{creates: true, action: "put"})
}

func (r *Room) patchTenant(ctx context.Context, req *enforce.Request) (enforce.Resolved, error) {
	var in tenantFields
	id := req.Params["id"]
	if err := checkObjectID(id, ""); err != nil {
		return enforce.Resolved{}, err
	}
	if err := req.Decode(&in); err != nil {
		return enforce.Resolved{}, err
	}
	return r.saveTenant(ctx, req, id, &in, saving{merge: true, action: "patch"})
}

// tenantRecord carries fields into a record; a tenant is enabled unless it is said otherwise.
func (c *checker) tenantRecord(f *tenantFields, t *storage.Tenant) {
	c.required(f.Name, "/name", &t.Name)
	if c.creating {
		t.Enabled = true
	}
	c.flag(f.Enabled, "/enabled", &t.Enabled)
	c.addresses(f.Addresses, &t.Addresses)
	c.flag(f.Protected, "/protected", &t.Protected)
}

func (r *Room) saveTenant(ctx context.Context, req *enforce.Request, id string, in *tenantFields, mode saving) (enforce.Resolved, error) {
	w, v, err := r.beginBundle(ctx, req, "tenants", id, mode)
	if err != nil {
		return enforce.Resolved{}, err
	}
	current := v.tenant(storage.TenantID(id))
	next := &storage.Tenant{}
	if current != nil {
		copied := *current
		next = &copied
		w.version, w.meta = current.Version, current.Meta
	}
	next.ID = id
	check := r.checker(v, req.Now, mode, current == nil && mode.creates)
	check.tenantRecord(in, next)
	if check.err != nil {
		return enforce.Resolved{}, check.err
	}
	w.late = check.late
	if current == nil && !mode.creates {
		w.question.Resource = resource(v, id, "", false)
		return r.change(req, w), nil
	}
	if err := r.askTenant(ctx, req, w, v, current, next); err != nil {
		return enforce.Resolved{}, err
	}
	w.apply = func(ctx context.Context, tx storage.Tx) error { return saveRecord(ctx, tx, next, current == nil, nil) }
	w.reply = func() enforce.Reply {
		if current == nil {
			return created(tenantsPath+id, next.Meta, viewTenant(next))
		}
		return saved(next.Meta, viewTenant(next))
	}
	return r.change(req, w), nil
}

// askTenant fills the question of a change from one state of a tenant to another, either of which may be none. A tenant is an
// object of no tenant: its own administrators do not enable it again.
func (r *Room) askTenant(ctx context.Context, req *enforce.Request, w *write, v view, before, after *storage.Tenant) error {
	at := before
	if at == nil {
		at = after
	}
	changed := overlay{view: v, tenants: map[storage.TenantID]*storage.Tenant{storage.TenantID(at.ID): after}}
	w.tenantQuestion(v, before, after)
	if after != nil && w.version == 0 {
		return nil
	}
	return r.countOwners(ctx, &w.question, v, changed, req.Now)
}

// tenantQuestion is askTenant without the count of owners.
func (w *write) tenantQuestion(v view, before, after *storage.Tenant) {
	at := before
	if at == nil {
		at = after
	}
	q := &w.question
	q.Resource = resource(v, at.ID, "", before != nil)
	var d difference
	if before != nil {
		q.Resource.Before = policies.NewFacts(tenantFacts(before))
	} else {
		d.add("create", true)
		before = &storage.Tenant{Enabled: true}
	}
	if after == nil {
		q.Resource.Changes = []string{"delete"}
		return
	}
	q.Resource.After = policies.NewFacts(tenantFacts(after))
	d.add("name", before.Name != after.Name)
	d.add("enabled", before.Enabled != after.Enabled)
	d.add("addresses", !sameSet(before.Addresses, after.Addresses))
	d.add("protected", before.Protected != after.Protected)
	q.Resource.Changes = d.names
}

func (r *Room) deleteTenant(ctx context.Context, req *enforce.Request) (enforce.Resolved, error) {
	id := req.Params["id"]
	if err := checkObjectID(id, ""); err != nil {
		return enforce.Resolved{}, err
	}
	w, v, err := r.beginBundle(ctx, req, "tenants", id, saving{action: "delete"})
	if err != nil {
		return enforce.Resolved{}, err
	}
	w.deletes = true
	current := v.tenant(storage.TenantID(id))
	if current == nil {
		w.question.Resource = resource(v, id, "", false)
		return r.change(req, w), nil
	}
	w.version, w.meta = current.Version, current.Meta
	if err := r.askTenant(ctx, req, w, v, current, nil); err != nil {
		return enforce.Resolved{}, err
	}
	used, err := r.tenantUsed(ctx, id)
	if err != nil {
		return enforce.Resolved{}, err
	}
	if used {
		w.late = conflictError("tenant_in_use", "", "identities, roles, groups or grants belong to this tenant; delete or move them first")
	}
	w.apply = func(ctx context.Context, tx storage.Tx) error {
		return tx.Delete(ctx, storage.TenantKind, id, current.Version)
	}
	w.reply = noContent
	return r.change(req, w), nil
}

// tenantUsed reports whether anything names the tenant: a grant that outlived it would be a right in the next one of that name.
func (r *Room) tenantUsed(ctx context.Context, id string) (bool, error) {
	owned := storage.Query{Equal: map[string][]string{"tenant": {id}}, Limit: 1}
	granted := storage.Query{Prefix: map[string]string{"grant": id + " "}, Limit: 1}
	for _, look := range []struct {
		kind  storage.Kind
		query storage.Query
	}{
		{storage.UserKind, owned},
		{storage.ApplicationKind, owned},
		{storage.GroupKind, owned},
		{storage.RoleKind, owned},
		{storage.UserKind, granted},
		{storage.ApplicationKind, granted},
	} {
		found, err := r.store.List(ctx, look.kind, look.query)
		if err != nil {
			return false, fmt.Errorf("look for objects of the tenant: %w", err)
		}
		if len(found) > 0 {
			return true, nil
		}
	}
	used := false
	r.directory.read(func(view) {
		for _, role := range r.directory.roles {
			for _, g := range role.Grants {
				used = used || string(g.Tenant) == id
			}
		}
	})
	return used, nil
}
