package identity

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/writ-authz/writ/policies"
	"github.com/writ-authz/writ/policies/enforce"
	"github.com/writ-authz/writ/storage"
)

const groupsPath = "/v1/groups/"

type groupFields struct {
	Name        enforce.Field[string]   `json:"name"`
	Description enforce.Field[string]   `json:"description"`
	Roles       enforce.Field[[]string] `json:"roles"`
	Tenant      enforce.Field[string]   `json:"tenant"`
	Protected   enforce.Field[bool]     `json:"protected"`
}

type groupPut struct {
	ID enforce.Field[string] `json:"id"`
	groupFields
}

type groupView struct {
	ID          string            `json:"id"`
	Name        string            `json:"name"`
	Description string            `json:"description"`
	Roles       []storage.RoleKey `json:"roles"`
	Tenant      storage.TenantID  `json:"tenant,omitempty"`
	Protected   bool              `json:"protected"`
	CreatedAt   time.Time         `json:"created_at"`
	UpdatedAt   time.Time         `json:"updated_at"`
	Version     int64             `json:"version"`
	// Permissions are flattened over the roles; lists leave them out.
	Permissions []permissionView `json:"permissions,omitempty"`
}

// permissionView is one flattened right.
type permissionView struct {
	Tenant    string     `json:"tenant,omitempty"`
	Resource  string     `json:"resource"`
	Action    string     `json:"action"`
	Via       string     `json:"via"`
	NotBefore *time.Time `json:"not_before,omitempty"`
	NotAfter  *time.Time `json:"not_after,omitempty"`
}

func viewPermissions(grants []policies.Grant) []permissionView {
	views := make([]permissionView, len(grants))
	for i, g := range grants {
		views[i] = permissionView{Tenant: g.Tenant, Resource: g.Resource, Action: g.Action, Via: g.Via}
		if !g.NotBefore.IsZero() {
			views[i].NotBefore = &grants[i].NotBefore
		}
		if !g.NotAfter.IsZero() {
			views[i].NotAfter = &grants[i].NotAfter
		}
	}
	return views
}

func viewGroup(g *storage.Group) groupView {
	return groupView{
		ID: g.ID, Name: g.Name, Description: g.Description, Roles: present(g.Roles), Tenant: g.Tenant, Protected: g.Protected,
		CreatedAt: g.CreatedAt, UpdatedAt: g.UpdatedAt, Version: g.Version,
	}
}

func (r *Room) listGroups(_ context.Context, req *enforce.Request) (enforce.Resolved, error) {
	query, err := r.listing(req, "groups", storage.GroupKind, "tenant", "role", "name_prefix")
	if err != nil {
		return enforce.Resolved{}, err
	}
	return resolveList(r, req, query, r.askToReadGroup, viewGroup)
}

// askToReadGroup is the question whether a group may be read.
func (r *Room) askToReadGroup(g *storage.Group) policies.Question {
	v := standing{r.directory}
	q := policies.Question{Resource: resource(v, g.ID, g.Tenant, true)}
	q.Resource.Before = policies.NewFacts(groupFacts(v, g))
	return q
}

func (r *Room) getGroup(_ context.Context, req *enforce.Request) (enforce.Resolved, error) {
	id := req.Params["id"]
	if err := checkObjectID(id, ""); err != nil {
		return enforce.Resolved{}, err
	}
	v := standing{r.directory}
	g := v.group(storage.GroupID(id))
	if g == nil {
		return r.readMissing(req, v, id)
	}
	q := r.askToReadGroup(g)
	return readObject(req, q, g.Meta, func() any {
		shown := viewGroup(g)
		shown.Permissions = viewPermissions(q.Resource.Before.Identity().Grants)
		return shown
	})
}

func (r *Room) postGroup(ctx context.Context, req *enforce.Request) (enforce.Resolved, error) {
	var in groupFields
	if err := req.Decode(&in); err != nil {
		return enforce.Resolved{}, err
	}
	id, err := uuid.NewV7FromReader(r.config.Rand)
	if err != nil {
		return enforce.Resolved{}, fmt.Errorf("make an id: %w", err)
	}
	return r.saveGroup(ctx, req, id.String(), &in, saving{creates: true, only: true, unnamed: true, action: "create"})
}

func (r *Room) putGroup(ctx context.Context, req *enforce.Request) (enforce.Resolved, error) {
	var in groupPut
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
	return r.saveGroup(ctx, req, id, &in.groupFields, saving{creates: true, action: "put"})
}

func (r *Room) patchGroup(ctx context.Context, req *enforce.Request) (enforce.Resolved, error) {
	var in groupFields
	id := req.Params["id"]
	if err := checkObjectID(id, ""); err != nil {
		return enforce.Resolved{}, err
	}
	if err := req.Decode(&in); err != nil {
		return enforce.Resolved{}, err
	}
	return r.saveGroup(ctx, req, id, &in, saving{merge: true, action: "patch"})
}

func (c *checker) group(f *groupFields, g *storage.Group) {
	c.required(f.Name, "/name", &g.Name)
	g.NameKey, _ = searchKey(g.Name)
	c.text(f.Description, "/description", maxText, &g.Description)
	c.roles(f.Roles, "/roles", &g.Roles)
	c.tenant(f.Tenant, &g.Tenant)
	c.flag(f.Protected, "/protected", &g.Protected)
}

func (r *Room) saveGroup(ctx context.Context, req *enforce.Request, id string, in *groupFields, mode saving) (enforce.Resolved, error) {
	w, v, err := r.beginBundle(ctx, req, "groups", id, mode)
	if err != nil {
		return enforce.Resolved{}, err
	}
	current := v.group(storage.GroupID(id))
	next := &storage.Group{}
	if current != nil {
		copied := *current
		next = &copied
		w.version, w.meta = current.Version, current.Meta
	}
	next.ID = id
	check := r.checker(v, req.Now, mode, current == nil && mode.creates)
	check.group(in, next)
	if check.err != nil {
		return enforce.Resolved{}, check.err
	}
	w.late, w.detail.NamedTenant, w.denied = check.late, in.Tenant.Value, tenantDenied(in.Tenant)
	if current == nil && !mode.creates {
		w.question.Resource = resource(v, id, "", false)
		return r.change(req, w), nil
	}
	if err := r.askGroup(ctx, req, w, v, current, next); err != nil {
		return enforce.Resolved{}, err
	}
	var roles []storage.RoleKey
	if current != nil {
		roles = current.Roles
	}
	w.detail.refer(v, roles, next.Roles, nil, nil)
	w.apply = func(ctx context.Context, tx storage.Tx) error { return saveRecord(ctx, tx, next, current == nil, nil) }
	w.reply = func() enforce.Reply {
		if current == nil {
			return created(groupsPath+id, next.Meta, viewGroup(next))
		}
		return saved(next.Meta, viewGroup(next))
	}
	return r.change(req, w), nil
}

// beginBundle begins a change of a group, role or tenant.
func (r *Room) beginBundle(ctx context.Context, req *enforce.Request, noun, id string, mode saving) (*write, view, error) {
	condition, err := preconditionOf(req.HTTP.Header)
	if err != nil {
		return nil, nil, err
	}
	sequence, err := r.begin(ctx, req)
	if err != nil {
		return nil, nil, err
	}
	return &write{
		sequence: sequence, creates: mode.creates, unnamed: mode.unnamed, condition: condition,
		action: "iam/" + noun + ":" + mode.action, target: noun + "/" + id,
	}, standing{r.directory}, nil
}

// askGroup fills the question of a change from one state of a group to another, either of which may be none.
func (r *Room) askGroup(ctx context.Context, req *enforce.Request, w *write, v view, before, after *storage.Group) error {
	at := before
	if at == nil {
		at = after
	}
	changed := overlay{view: v, groups: map[storage.GroupID]*storage.Group{storage.GroupID(at.ID): after}}
	w.groupQuestion(v, changed, before, after)
	if after != nil && w.version == 0 {
		return nil
	}
	return r.countOwners(ctx, &w.question, v, changed, req.Now)
}

// groupQuestion is askGroup without the count of owners; is is the view with the change.
func (w *write) groupQuestion(was, is view, before, after *storage.Group) {
	at := before
	if at == nil {
		at = after
	}
	q := &w.question
	q.Resource = resource(was, at.ID, at.Tenant, before != nil)
	var d difference
	if before != nil {
		q.Resource.Before = policies.NewFacts(groupFacts(was, before))
	} else {
		d.add("create", true)
		before = &storage.Group{}
	}
	if after == nil {
		q.Resource.Changes = []string{"delete"}
		return
	}
	q.Resource.After = policies.NewFacts(groupFacts(imagined(is, after.Tenant), after))
	d.add("name", before.Name != after.Name)
	d.add("description", before.Description != after.Description)
	d.add("roles", !sameSet(before.Roles, after.Roles))
	d.add("tenant", before.Tenant != after.Tenant)
	d.add("protected", before.Protected != after.Protected)
	q.Resource.Changes = d.names
}

func (r *Room) deleteGroup(ctx context.Context, req *enforce.Request) (enforce.Resolved, error) {
	id := req.Params["id"]
	if err := checkObjectID(id, ""); err != nil {
		return enforce.Resolved{}, err
	}
	force, err := forced(req)
	if err != nil {
		return enforce.Resolved{}, err
	}
	w, v, err := r.beginBundle(ctx, req, "groups", id, saving{action: "delete"})
	if err != nil {
		return enforce.Resolved{}, err
	}
	w.deletes = true
	current := v.group(storage.GroupID(id))
	if current == nil {
		w.question.Resource = resource(v, id, "", false)
		return r.change(req, w), nil
	}
	w.version, w.meta = current.Version, current.Meta
	if err := r.askGroup(ctx, req, w, v, current, nil); err != nil {
		return enforce.Resolved{}, err
	}
	holders, err := r.holders(ctx, storage.Query{Equal: map[string][]string{"group": {id}}}, storage.UserKind, storage.ApplicationKind)
	if err != nil {
		return enforce.Resolved{}, err
	}
	w.late = inUse("group_in_use", "group", holders, force)
	if force {
		w.detail.Holders = aboutHolders(v, holders)
	}
	w.apply = func(ctx context.Context, tx storage.Tx) error {
		for _, holder := range holders {
			if err := release(ctx, tx, holder, "", storage.GroupID(id)); err != nil {
				return err
			}
		}
		return tx.Delete(ctx, storage.GroupKind, id, current.Version)
	}
	w.reply = noContent
	return r.change(req, w), nil
}

// maxHolders bounds how many objects one transaction changes when a bundle is taken from its holders.
const maxHolders = 1000

// holders returns the records that a query finds, over several kinds, one more than maxHolders at most.
func (r *Room) holders(ctx context.Context, q storage.Query, kinds ...storage.Kind) ([]storage.Record, error) {
	var found []storage.Record
	for _, kind := range kinds {
		q.Limit = maxHolders + 1
		records, err := r.store.List(ctx, kind, q)
		if err != nil {
			return nil, fmt.Errorf("look for holders: %w", err)
		}
		found = append(found, records...)
	}
	return found, nil
}

// inUse is the fault of deleting what others hold, unless it is to be taken from them.
func inUse(code, noun string, holders []storage.Record, force bool) error {
	n := len(holders)
	switch {
	case n == 0:
		return nil
	case n > maxHolders:
		return conflictError(code, "", "more than "+strconv.Itoa(maxHolders)+" objects hold this "+noun+"; take it from some of them first")
	case !force:
		detail := strconv.Itoa(n) + " objects hold this " + noun + "; with force=true they lose it"
		return conflictError(code, "", detail)
	}
	return nil
}

// aboutHolders is what the rules want to know of the objects that lose a role or a group.
func aboutHolders(v view, holders []storage.Record) *holdersDetail {
	about := &holdersDetail{}
	for _, holder := range holders {
		var protected bool
		var tenant storage.TenantID
		switch holder := holder.(type) {
		case *storage.User:
			protected, tenant = holder.Protected, holder.Tenant
		case *storage.Application:
			protected, tenant = holder.Protected, holder.Tenant
		case *storage.Group:
			protected, tenant = holder.Protected, holder.Tenant
		case *storage.Role:
			protected, tenant = holder.Protected, holder.Tenant
		}
		about.Protected = about.Protected || protected
		about.Disabled = about.Disabled || !tenantEnabled(v, tenant)
	}
	return about
}

func forced(req *enforce.Request) (bool, error) { return flag(req, "force") }

// flag reads a query parameter that is true or false; without it, it is false.
func flag(req *enforce.Request, name string) (bool, error) {
	switch req.Query[name] {
	case "":
		if _, given := req.Query[name]; !given {
			return false, nil
		}
	case "true":
		return true, nil
	case "false":
		return false, nil
	}
	return false, enforce.BadParameter("bad_parameter", name, "want true or false")
}

// release takes a role or a group from whoever holds it.
func release(ctx context.Context, tx storage.Tx, holder storage.Record, role storage.RoleKey, group storage.GroupID) error {
	switch holder := holder.(type) {
	case *storage.User:
		holder.Roles, holder.Groups = without(holder.Roles, role), without(holder.Groups, group)
	case *storage.Application:
		holder.Roles, holder.Groups = without(holder.Roles, role), without(holder.Groups, group)
	case *storage.Group:
		holder.Roles = without(holder.Roles, role)
	case *storage.Role:
		holder.Inherits = without(holder.Inherits, role)
	}
	return tx.Update(ctx, holder)
}

func without[T comparable](values []T, gone T) []T {
	kept := make([]T, 0, len(values))
	for _, v := range values {
		if v != gone {
			kept = append(kept, v)
		}
	}
	return kept
}
