package identity

import (
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/writ-authz/writ/policies"
	"github.com/writ-authz/writ/policies/enforce"
	"github.com/writ-authz/writ/storage"
)

const rolesPath = "/v1/roles/"

type roleFields struct {
	Description enforce.Field[string]        `json:"description"`
	Grants      enforce.Field[[]grantFields] `json:"grants"`
	Inherits    enforce.Field[[]string]      `json:"inherits"`
	Tenant      enforce.Field[string]        `json:"tenant"`
	Protected   enforce.Field[bool]          `json:"protected"`
}

type roleKeyed struct {
	Key enforce.Field[string] `json:"key"`
	roleFields
}

type roleView struct {
	Key         string            `json:"key"`
	Description string            `json:"description"`
	Grants      []grantFields     `json:"grants"`
	Inherits    []storage.RoleKey `json:"inherits"`
	Tenant      storage.TenantID  `json:"tenant,omitempty"`
	Protected   bool              `json:"protected"`
	CreatedAt   time.Time         `json:"created_at"`
	UpdatedAt   time.Time         `json:"updated_at"`
	Version     int64             `json:"version"`
	// Permissions are flattened over what is inherited; lists leave them out.
	Permissions []permissionView `json:"permissions,omitempty"`
}

func viewRole(r *storage.Role) roleView {
	return roleView{
		Key: r.ID, Description: r.Description, Grants: grantViews(r.Grants), Inherits: present(r.Inherits), Tenant: r.Tenant,
		Protected: r.Protected, CreatedAt: r.CreatedAt, UpdatedAt: r.UpdatedAt, Version: r.Version,
	}
}

func (r *Room) listRoles(_ context.Context, req *enforce.Request) (enforce.Resolved, error) {
	query, err := r.listing(req, "roles", storage.RoleKind, "tenant", "inherits", "key_prefix")
	if err != nil {
		return enforce.Resolved{}, err
	}
	return resolveList(r, req, query, r.askToReadRole, viewRole)
}

// askToReadRole is the question whether a role may be read.
func (r *Room) askToReadRole(role *storage.Role) policies.Question {
	v := standing{r.directory}
	q := policies.Question{Resource: resource(v, role.ID, role.Tenant, true)}
	q.Resource.Before = policies.NewFacts(roleFacts(v, role))
	return q
}

func (r *Room) getRole(_ context.Context, req *enforce.Request) (enforce.Resolved, error) {
	key := req.Params["key"]
	if err := checkRoleKey(key, ""); err != nil {
		return enforce.Resolved{}, err
	}
	v := standing{r.directory}
	role := v.role(storage.RoleKey(key))
	if role == nil {
		return r.readMissing(req, v, key)
	}
	q := r.askToReadRole(role)
	return readObject(req, q, role.Meta, func() any {
		shown := viewRole(role)
		shown.Permissions = viewPermissions(q.Resource.Before.Identity().Grants)
		return shown
	})
}

// postRole takes the key from the body: a role has no other id.
func (r *Room) postRole(ctx context.Context, req *enforce.Request) (enforce.Resolved, error) {
	var in roleKeyed
	if err := req.Decode(&in); err != nil {
		return enforce.Resolved{}, err
	}
	if err := checkRoleKey(in.Key.Value, "/key"); err != nil {
		return enforce.Resolved{}, err
	}
	return r.saveRole(ctx, req, in.Key.Value, &in.roleFields, saving{creates: true, only: true, action: "create"})
}

func (r *Room) putRole(ctx context.Context, req *enforce.Request) (enforce.Resolved, error) {
	var in roleKeyed
	key := req.Params["key"]
	if err := checkRoleKey(key, ""); err != nil {
		return enforce.Resolved{}, err
	}
	if err := req.Decode(&in); err != nil {
		return enforce.Resolved{}, err
	}
	if err := sameID(in.Key, key, "/key"); err != nil {
		return enforce.Resolved{}, err
	}
	return r.saveRole(ctx, req, key, &in.roleFields, saving{creates: true, action: "put"})
}

func (r *Room) patchRole(ctx context.Context, req *enforce.Request) (enforce.Resolved, error) {
	var in roleFields
	key := req.Params["key"]
	if err := checkRoleKey(key, ""); err != nil {
		return enforce.Resolved{}, err
	}
	if err := req.Decode(&in); err != nil {
		return enforce.Resolved{}, err
	}
	return r.saveRole(ctx, req, key, &in, saving{merge: true, action: "patch"})
}

func (c *checker) role(f *roleFields, role *storage.Role) {
	c.text(f.Description, "/description", maxText, &role.Description)
	c.grants(f.Grants, "/grants", &role.Grants)
	c.roles(f.Inherits, "/inherits", &role.Inherits)
	c.tenant(f.Tenant, &role.Tenant)
	c.flag(f.Protected, "/protected", &role.Protected)
	if !f.Inherits.Set {
		return
	}
	for i, key := range f.Inherits.Value {
		if leadsTo(c.view, storage.RoleKey(key), storage.RoleKey(role.ID), map[storage.RoleKey]bool{}) {
			c.lateBad("role_cycle", "/inherits/"+strconv.Itoa(i), "by way of "+named(key)+" the role would inherit itself")
		}
	}
}

// leadsTo reports whether a role is the target, or inherits from it over any number of others.
func leadsTo(v view, from, target storage.RoleKey, visited map[storage.RoleKey]bool) bool {
	if from == target {
		return true
	}
	next := v.role(from)
	if visited[from] || next == nil {
		return false
	}
	visited[from] = true
	return slices.ContainsFunc(next.Inherits, func(key storage.RoleKey) bool { return leadsTo(v, key, target, visited) })
}

func (r *Room) saveRole(ctx context.Context, req *enforce.Request, key string, in *roleFields, mode saving) (enforce.Resolved, error) {
	w, v, err := r.beginBundle(ctx, req, "roles", key, mode)
	if err != nil {
		return enforce.Resolved{}, err
	}
	current := v.role(storage.RoleKey(key))
	next := &storage.Role{}
	if current != nil {
		copied := *current
		next = &copied
		w.version, w.meta = current.Version, current.Meta
	}
	next.ID = key
	check := r.checker(v, req.Now, mode, current == nil && mode.creates)
	check.role(in, next)
	if check.err != nil {
		return enforce.Resolved{}, check.err
	}
	w.late, w.detail.NamedTenant, w.denied = check.late, in.Tenant.Value, tenantDenied(in.Tenant)
	if current == nil && !mode.creates {
		w.question.Resource = resource(v, key, "", false)
		return r.change(req, w), nil
	}
	if current != nil && mode.only {
		w.late = conflictError("conflict", "/key", "the key is taken")
	}
	if err := r.askRole(ctx, req, w, v, current, next); err != nil {
		return enforce.Resolved{}, err
	}
	var inherits []storage.RoleKey
	if current != nil {
		inherits = current.Inherits
	}
	w.detail.refer(v, inherits, next.Inherits, nil, nil)
	w.apply = func(ctx context.Context, tx storage.Tx) error { return saveRecord(ctx, tx, next, current == nil, nil) }
	w.reply = func() enforce.Reply {
		if current == nil {
			return created(rolesPath+key, next.Meta, viewRole(next))
		}
		return saved(next.Meta, viewRole(next))
	}
	return r.change(req, w), nil
}

// askRole fills the question of a change from one state of a role to another, either of which may be none.
func (r *Room) askRole(ctx context.Context, req *enforce.Request, w *write, v view, before, after *storage.Role) error {
	at := before
	if at == nil {
		at = after
	}
	changed := overlay{view: v, roles: map[storage.RoleKey]*storage.Role{storage.RoleKey(at.ID): after}}
	w.roleQuestion(v, changed, before, after)
	if after != nil && w.version == 0 {
		return nil
	}
	return r.countOwners(ctx, &w.question, v, changed, req.Now)
}

// roleQuestion is askRole without the count of owners; is is the view with the change.
func (w *write) roleQuestion(was, is view, before, after *storage.Role) {
	at := before
	if at == nil {
		at = after
	}
	q := &w.question
	q.Resource = resource(was, at.ID, at.Tenant, before != nil)
	var d difference
	if before != nil {
		q.Resource.Before = policies.NewFacts(roleFacts(was, before))
	} else {
		d.add("create", true)
		before = &storage.Role{}
	}
	if after == nil {
		q.Resource.Changes = []string{"delete"}
		return
	}
	q.Resource.After = policies.NewFacts(roleFacts(imagined(is, after.Tenant), after))
	d.add("description", before.Description != after.Description)
	d.add("grants", !sameSet(grantKeys(before.Grants), grantKeys(after.Grants)))
	d.add("inherits", !sameSet(before.Inherits, after.Inherits))
	d.add("tenant", before.Tenant != after.Tenant)
	d.add("protected", before.Protected != after.Protected)
	q.Resource.Changes = d.names
}

func (r *Room) deleteRole(ctx context.Context, req *enforce.Request) (enforce.Resolved, error) {
	key := req.Params["key"]
	if err := checkRoleKey(key, ""); err != nil {
		return enforce.Resolved{}, err
	}
	force, err := forced(req)
	if err != nil {
		return enforce.Resolved{}, err
	}
	w, v, err := r.beginBundle(ctx, req, "roles", key, saving{action: "delete"})
	if err != nil {
		return enforce.Resolved{}, err
	}
	w.deletes = true
	current := v.role(storage.RoleKey(key))
	if current == nil {
		w.question.Resource = resource(v, key, "", false)
		return r.change(req, w), nil
	}
	w.version, w.meta = current.Version, current.Meta
	if err := r.askRole(ctx, req, w, v, current, nil); err != nil {
		return enforce.Resolved{}, err
	}
	holders, err := r.holders(ctx, storage.Query{Equal: map[string][]string{"role": {key}}},
		storage.UserKind, storage.ApplicationKind, storage.GroupKind)
	if err != nil {
		return enforce.Resolved{}, err
	}
	heirs, err := r.holders(ctx, storage.Query{Equal: map[string][]string{"inherits": {key}}}, storage.RoleKind)
	if err != nil {
		return enforce.Resolved{}, err
	}
	holders = append(holders, heirs...)
	w.late = inUse("role_in_use", "role", holders, force)
	if force {
		w.detail.Holders = aboutHolders(v, holders)
	}
	w.apply = func(ctx context.Context, tx storage.Tx) error {
		for _, holder := range holders {
			if err := release(ctx, tx, holder, storage.RoleKey(key), ""); err != nil {
				return err
			}
		}
		return tx.Delete(ctx, storage.RoleKind, key, current.Version)
	}
	w.reply = noContent
	return r.change(req, w), nil
}
