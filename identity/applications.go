package identity

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/writ-authz/writ/policies"
	"github.com/writ-authz/writ/policies/enforce"
	"github.com/writ-authz/writ/storage"
)

const applicationsPath = "/v1/applications/"

// applicationFields is what may be written of an application; its secrets have routes of their own.
type applicationFields struct {
	identityFields
	Description                 enforce.Field[string]          `json:"description"`
	GrantTypes                  enforce.Field[[]string]        `json:"grant_types"`
	Scopes                      enforce.Field[[]string]        `json:"scopes"`
	Audiences                   enforce.Field[[]string]        `json:"audiences"`
	Serves                      enforce.Field[[]string]        `json:"serves"`
	TokenEndpointAuthMethod     enforce.Field[string]          `json:"token_endpoint_auth_method"`
	TokenEndpointAuthSigningAlg enforce.Field[string]          `json:"token_endpoint_auth_signing_alg"`
	JWKS                        enforce.Field[json.RawMessage] `json:"jwks"`
	JWKSURI                     enforce.Field[string]          `json:"jwks_uri"`
	TokenFormat                 enforce.Field[string]          `json:"token_format"`
	TokenSigningAlg             enforce.Field[string]          `json:"token_signing_alg"`
	TokenLifetime               enforce.Field[int64]           `json:"token_lifetime"`
	RefreshRotation             enforce.Field[bool]            `json:"refresh_rotation"`
	RedirectURIs                enforce.Field[[]string]        `json:"redirect_uris"`
	IsActive                    enforce.Field[bool]            `json:"is_active"`
	Retrievable                 enforce.Field[bool]            `json:"retrievable"`
	// Secret is one that the caller chooses, in the place of all others. Where that is taken is said in policy data.
	Secret enforce.Field[string] `json:"secret"`
}

type applicationPut struct {
	ID enforce.Field[string] `json:"id"`
	applicationFields
}

// scopesFields is the ceiling of an application's scopes, as it is set; scopesView as it is shown. null is no ceiling.
type scopesFields struct {
	Scopes enforce.Field[[]string] `json:"scopes"`
}

type scopesView struct {
	Scopes []string `json:"scopes" schema:"null"`
}

// applicationView is an application as replies show it.
type applicationView struct {
	ID                          string            `json:"id"`
	Name                        string            `json:"name"`
	Description                 string            `json:"description"`
	Tenant                      storage.TenantID  `json:"tenant,omitempty"`
	Groups                      []storage.GroupID `json:"groups"`
	Roles                       []storage.RoleKey `json:"roles"`
	Grants                      []grantFields     `json:"grants"`
	GrantTypes                  []string          `json:"grant_types"`
	Scopes                      []string          `json:"scopes" schema:"null"`    // null is no ceiling
	Audiences                   []string          `json:"audiences" schema:"null"` // null is both of Writ's
	Serves                      []string          `json:"serves"`
	TokenEndpointAuthMethod     string            `json:"token_endpoint_auth_method,omitempty"`
	TokenEndpointAuthSigningAlg string            `json:"token_endpoint_auth_signing_alg,omitempty"`
	JWKS                        json.RawMessage   `json:"jwks,omitempty"`
	JWKSURI                     string            `json:"jwks_uri,omitempty"`
	TokenFormat                 string            `json:"token_format"`
	TokenSigningAlg             string            `json:"token_signing_alg"` // of the format jwt
	TokenLifetime               int64             `json:"token_lifetime,omitempty"`
	RefreshRotation             bool              `json:"refresh_rotation"`
	RedirectURIs                []string          `json:"redirect_uris"`
	IsActive                    bool              `json:"is_active"`
	Retrievable                 bool              `json:"retrievable"`
	NotBefore                   *time.Time        `json:"not_before,omitempty"`
	NotAfter                    *time.Time        `json:"not_after,omitempty"`
	Addresses                   []string          `json:"addresses,omitempty"`
	Properties                  json.RawMessage   `json:"properties"`
	Attributes                  json.RawMessage   `json:"attributes"`
	Protected                   bool              `json:"protected"`
	CreatedAt                   time.Time         `json:"created_at"`
	UpdatedAt                   time.Time         `json:"updated_at"`
	Version                     int64             `json:"version"`
	// Secret is in the one reply that made the application.
	Secret *secretValue `json:"secret,omitempty"`
}

func viewApplication(a *storage.Application) applicationView {
	return applicationView{
		ID: a.ID, Name: a.Name, Description: a.Description, Tenant: a.Tenant, Groups: present(a.Groups), Roles: present(a.Roles),
		Grants: grantViews(a.Grants), GrantTypes: present(a.GrantTypes), Scopes: a.Scopes, Audiences: a.Audiences, Serves: present(a.Serves),
		TokenEndpointAuthMethod: a.TokenEndpointAuthMethod, TokenEndpointAuthSigningAlg: a.TokenEndpointAuthSigningAlg,
		JWKS: a.JWKS, JWKSURI: a.JWKSURI, TokenFormat: cmp.Or(a.TokenFormat, "jwt"), TokenSigningAlg: cmp.Or(a.TokenSigningAlg, "ES256"),
		TokenLifetime: a.TokenLifetime, RefreshRotation: rotates(a), RedirectURIs: present(a.RedirectURIs), IsActive: a.IsActive,
		Retrievable: a.Retrievable, NotBefore: a.NotBefore, NotAfter: a.NotAfter, Addresses: a.Addresses,
		Properties: free(a.Properties), Attributes: free(a.Attributes), Protected: a.Protected, CreatedAt: a.CreatedAt,
		UpdatedAt: a.UpdatedAt, Version: a.Version,
	}
}

// rotates: refresh tokens rotate unless it is said otherwise, and always for public clients.
func rotates(a *storage.Application) bool {
	return a.RefreshRotation == nil || *a.RefreshRotation || a.TokenEndpointAuthMethod == byNothing
}

func (r *Room) listApplications(_ context.Context, req *enforce.Request) (enforce.Resolved, error) {
	query, err := r.listing(req, "applications", storage.ApplicationKind,
		"role", "role_prefix", "group", "tenant", "protected", "active", "name_prefix")
	if err != nil {
		return enforce.Resolved{}, err
	}
	return resolveList(r, req, query, func(a *storage.Application) policies.Question {
		return r.askToRead(req, standing{r.directory}, a)
	}, viewApplication)
}

// askToRead is the question of reading an application that is there.
func (r *Room) askToRead(req *enforce.Request, v view, a *storage.Application) policies.Question {
	q := policies.Question{Resource: resource(v, a.ID, a.Tenant, true)}
	q.Resource.Self = isCaller(req, kindApplication, a.ID)
	q.Resource.Before = policies.NewFacts(applicationFacts(v, a, r.config.Audiences))
	return q
}

// readApplication answers a GET of an application, or of a part of it.
func (r *Room) readApplication(req *enforce.Request, show func(*storage.Application) any) (enforce.Resolved, error) {
	id := req.Params["id"]
	if err := checkApplicationID(id, ""); err != nil {
		return enforce.Resolved{}, err
	}
	v := standing{r.directory}
	e := r.directory.application(id)
	if e == nil {
		return r.readMissing(req, v, id)
	}
	a := e.application
	return readObject(req, r.askToRead(req, v, a), a.Meta, func() any { return show(a) })
}

func (r *Room) getApplication(_ context.Context, req *enforce.Request) (enforce.Resolved, error) {
	return r.readApplication(req, func(a *storage.Application) any { return viewApplication(a) })
}

func (r *Room) getScopes(_ context.Context, req *enforce.Request) (enforce.Resolved, error) {
	return r.readApplication(req, func(a *storage.Application) any { return scopesView{Scopes: a.Scopes} })
}

func (r *Room) postApplication(ctx context.Context, req *enforce.Request) (enforce.Resolved, error) {
	var in applicationFields
	if err := req.Decode(&in); err != nil {
		return enforce.Resolved{}, err
	}
	id, err := uuid.NewV7FromReader(r.config.Rand)
	if err != nil {
		return enforce.Resolved{}, fmt.Errorf("make an id: %w", err)
	}
	made := "app_" + strings.ReplaceAll(id.String(), "-", "")
	return r.saveApplication(ctx, req, made, &in, saving{creates: true, only: true, unnamed: true, action: "create"})
}

func (r *Room) putApplication(ctx context.Context, req *enforce.Request) (enforce.Resolved, error) {
	var in applicationPut
	id := req.Params["id"]
	if err := checkApplicationID(id, ""); err != nil {
		return enforce.Resolved{}, err
	}
	if err := req.Decode(&in); err != nil {
		return enforce.Resolved{}, err
	}
	if err := sameID(in.ID, id, "/id"); err != nil {
		return enforce.Resolved{}, err
	}
	return r.saveApplication(ctx, req, id, &in.applicationFields, saving{creates: true, action: "put"})
}

func (r *Room) patchApplication(ctx context.Context, req *enforce.Request) (enforce.Resolved, error) {
	var in applicationFields
	id := req.Params["id"]
	if err := checkApplicationID(id, ""); err != nil {
		return enforce.Resolved{}, err
	}
	if err := req.Decode(&in); err != nil {
		return enforce.Resolved{}, err
	}
	return r.saveApplication(ctx, req, id, &in, saving{merge: true, action: "patch"})
}

func (r *Room) putScopes(ctx context.Context, req *enforce.Request) (enforce.Resolved, error) {
	var in scopesFields
	id := req.Params["id"]
	if err := checkApplicationID(id, ""); err != nil {
		return enforce.Resolved{}, err
	}
	if err := req.Decode(&in); err != nil {
		return enforce.Resolved{}, err
	}
	if !in.Scopes.Set {
		return enforce.Resolved{}, enforce.BadRequest("missing", "/scopes", "name the scopes: [] is nothing, null is no ceiling")
	}
	resolved, err := r.saveApplication(ctx, req, id, &applicationFields{Scopes: in.Scopes}, saving{action: "write_scopes"})
	if err != nil {
		return enforce.Resolved{}, err
	}
	respond := resolved.Respond
	resolved.Respond = func(ctx context.Context, d policies.Decision) (enforce.Reply, error) {
		reply, err := respond(ctx, d)
		if shown, ok := reply.Body.(applicationView); ok {
			reply.Body = scopesView{Scopes: shown.Scopes}
		}
		return reply, err
	}
	return resolved, nil
}

// grantTypes and authMethods are those that are stored; which of them the token endpoint serves is said in its metadata.
func grantTypes() []string {
	return []string{"client_credentials", "password", "refresh_token", "authorization_code"}
}

func authMethods() []string {
	return []string{"client_secret_basic", "client_secret_post", byKeys, byNothing}
}

// hasSecret reports whether the application proves itself with a secret.
func hasSecret(a *storage.Application) bool {
	return a.TokenEndpointAuthMethod != byNothing && a.TokenEndpointAuthMethod != byKeys
}

// application carries fields into a record. A new application is active, retrievable, and gets tokens for itself.
func (c *checker) application(f *applicationFields, a *storage.Application, longest time.Duration) {
	if c.creating {
		a.IsActive, a.Retrievable, a.GrantTypes = true, true, []string{"client_credentials"}
	}
	c.required(f.Name, "/name", &a.Name)
	c.text(f.Description, "/description", maxText, &a.Description)
	c.identity(&f.identityFields, &a.Identity)
	if f.GrantTypes.Set {
		c.words(f.GrantTypes, "/grant_types", grantTypes(), &a.GrantTypes)
		a.GrantTypes = present(a.GrantTypes)
	}
	c.scopes(f.Scopes, "/scopes", &a.Scopes)
	c.words(f.Audiences, "/audiences", nil, &a.Audiences)
	if f.Audiences.Set && !f.Audiences.Null && len(f.Audiences.Value) == 0 {
		c.bad("missing", "/audiences", "an application has an audience; null stands for both of Writ's own")
	}
	c.words(f.Serves, "/serves", nil, &a.Serves)
	c.choice(f.TokenEndpointAuthMethod, "/token_endpoint_auth_method", authMethods(), &a.TokenEndpointAuthMethod)
	c.choice(f.TokenFormat, "/token_format", []string{"jwt", "opaque"}, &a.TokenFormat)
	c.choice(f.TokenSigningAlg, "/token_signing_alg", []string{"ES256", "RS256", "EdDSA"}, &a.TokenSigningAlg)
	c.keys(f, a)
	if f.TokenLifetime.Set {
		if most := int64(longest / time.Second); !f.TokenLifetime.Null && (f.TokenLifetime.Value < 1 || f.TokenLifetime.Value > most) {
			c.bad("out_of_range", "/token_lifetime", fmt.Sprintf("want 1 to %d seconds", most))
		}
		a.TokenLifetime = f.TokenLifetime.Value
	}
	if f.RefreshRotation.Set {
		a.RefreshRotation = nil
		if !f.RefreshRotation.Null {
			a.RefreshRotation = &f.RefreshRotation.Value
		}
	}
	c.words(f.RedirectURIs, "/redirect_uris", nil, &a.RedirectURIs)
	for i, redirect := range f.RedirectURIs.Value {
		if !uri(redirect) {
			c.bad("malformed_uri", fmt.Sprintf("/redirect_uris/%d", i), "want an absolute URI without a fragment")
		}
	}
	c.flag(f.IsActive, "/is_active", &a.IsActive)
	c.flag(f.Retrievable, "/retrievable", &a.Retrievable)
}

// choice carries one of a few words; null is the default.
func (c *checker) choice(f enforce.Field[string], pointer string, allowed []string, into *string) {
	if !f.Set {
		return
	}
	if !f.Null && !slices.Contains(allowed, f.Value) {
		c.bad("unknown_value", pointer, "want one of "+strings.Join(allowed, ", "))
	}
	*into = f.Value
}

func (r *Room) saveApplication(
	ctx context.Context, req *enforce.Request, id string, in *applicationFields, mode saving,
) (enforce.Resolved, error) {
	w, v, err := r.beginBundle(ctx, req, "applications", id, mode)
	if err != nil {
		return enforce.Resolved{}, err
	}
	var current *storage.Application
	next := &storage.Application{}
	if e := r.directory.application(id); e != nil {
		current = e.application
		copied := *current
		next = &copied
		w.version, w.meta = current.Version, current.Meta
	}
	creating := current == nil && mode.creates
	next.ID = id
	check := r.checker(v, req.Now, mode, creating)
	check.application(in, next, r.config.MaxTokenLifetime)
	if check.err != nil {
		return enforce.Resolved{}, check.err
	}
	w.late, w.detail.NamedTenant, w.denied = check.late, in.Tenant.Value, tenantDenied(in.Tenant)
	if current == nil && !creating {
		w.question.Resource = resource(v, id, "", false)
		return r.change(req, w), nil
	}
	var tombstone *storage.Tombstone
	var first *newSecret
	if creating {
		if tombstone, err = r.tombstone(ctx, w.target); err != nil {
			return enforce.Resolved{}, err
		}
		if tombstone != nil {
			next.Epoch = tombstone.Epoch + 1
		}
		if hasSecret(next) && !in.Secret.Set {
			if first, err = r.newSecret(id, next.Retrievable, secretFields{}, req.Now); err != nil {
				return enforce.Resolved{}, err
			}
			next.Secrets = []storage.Secret{first.record}
		}
	} else {
		raiseApplicationEpoch(current, next)
	}
	chosen, err := r.choose(req, w, in.Secret, next)
	if err != nil {
		return enforce.Resolved{}, err
	}
	r.askApplication(req, w, v, current, next, tombstone != nil)
	if chosen {
		r.askChosen(req, w, current, next)
	}
	w.apply = func(ctx context.Context, tx storage.Tx) error {
		if first != nil {
			if err := first.keep(ctx, tx); err != nil {
				return err
			}
		}
		unsealed := current != nil && current.Retrievable && !next.Retrievable
		if unsealed || chosen {
			dead := func(s storage.Secret) bool { return unsealed || s.RevokedAt != nil }
			if err := dropSealed(ctx, tx, next, dead); err != nil {
				return err
			}
		}
		return saveRecord(ctx, tx, next, creating, tombstone)
	}
	w.after = func(context.Context) error {
		if creating {
			r.machines.welcome(id)
		}
		return nil
	}
	w.reply = func() enforce.Reply {
		shown := viewApplication(next)
		if !creating {
			return saved(next.Meta, shown)
		}
		if first != nil {
			shown.Secret = &secretValue{ID: first.record.ID, Value: first.value}
		}
		return noStore(created(applicationsPath+id, next.Meta, shown))
	}
	return r.change(req, w), nil
}

// raiseApplicationEpoch kills the tokens of an application that is deactivated, moves to another tenant, or disowns what it proved
// itself with.
func raiseApplicationEpoch(before, after *storage.Application) {
	if before.IsActive && !after.IsActive || before.Tenant != after.Tenant || disowns(before, after) {
		after.Epoch++
	}
}

// askApplication fills the question of a change from one state of an application to another, either of which may be none.
func (r *Room) askApplication(req *enforce.Request, w *write, v view, before, after *storage.Application, tombstone bool) {
	r.applicationQuestion(req, w, v, v, before, after, tombstone)
}

// applicationQuestion is askApplication over two views, of before and of after the change.
func (r *Room) applicationQuestion(
	req *enforce.Request, w *write, was, is view, before, after *storage.Application, tombstone bool,
) {
	at := before
	if at == nil {
		at = after
	}
	q := &w.question
	q.Resource = resource(was, at.ID, at.Tenant, before != nil)
	q.Resource.Self = isCaller(req, kindApplication, at.ID)
	serves := map[string]bool{}
	if before != nil {
		q.Resource.Before = policies.NewFacts(applicationFacts(was, before, r.config.Audiences))
	}
	if after != nil {
		q.Resource.After = policies.NewFacts(applicationFacts(imagined(is, after.Tenant), after, r.config.Audiences))
		for _, audience := range after.Serves {
			serves[audience] = true
		}
	}
	q.Resource.Changes = applicationChanges(before, after)
	w.detail.Tombstone, w.detail.Serves = tombstone, serves
	w.detail.Anywhere = after != nil && len(after.Addresses) == 0
	w.detail.Public = after != nil && after.TokenEndpointAuthMethod == byNothing
	old, made := storage.Application{}, storage.Application{}
	if before != nil {
		old = *before
	}
	if after != nil {
		made = *after
	}
	w.detail.disable(was, old.Grants)
	w.detail.disable(is, made.Grants)
	w.detail.refer(is, old.Roles, made.Roles, old.Groups, made.Groups)
}

func applicationChanges(before, after *storage.Application) []string {
	var d difference
	switch {
	case after == nil:
		return []string{"delete"}
	case before == nil:
		d.add("create", true)
		before = &storage.Application{IsActive: true, Retrievable: true}
	}
	d.identity(&before.Identity, &after.Identity)
	d.add("description", before.Description != after.Description)
	d.add("grant_types", !sameSet(before.GrantTypes, after.GrantTypes))
	d.add("scopes", (before.Scopes == nil) != (after.Scopes == nil) || !sameSet(before.Scopes, after.Scopes))
	d.add("audiences", (before.Audiences == nil) != (after.Audiences == nil) || !sameSet(before.Audiences, after.Audiences))
	d.add("serves", !sameSet(before.Serves, after.Serves))
	d.add("auth_method", before.TokenEndpointAuthMethod != after.TokenEndpointAuthMethod || before.JWKSURI != after.JWKSURI ||
		before.TokenEndpointAuthSigningAlg != after.TokenEndpointAuthSigningAlg || !bytes.Equal(before.JWKS, after.JWKS))
	d.add("token", before.TokenFormat != after.TokenFormat || before.TokenLifetime != after.TokenLifetime ||
		before.TokenSigningAlg != after.TokenSigningAlg || rotates(before) != rotates(after))
	d.add("redirect_uris", !sameSet(before.RedirectURIs, after.RedirectURIs))
	d.add("status", before.IsActive != after.IsActive)
	d.add("retrievable", before.Retrievable != after.Retrievable)
	return d.names
}

// presentApplication begins a change of an application that must be there, and refers to it in the question if it is not.
func (r *Room) presentApplication(
	ctx context.Context, req *enforce.Request, id, action string,
) (*write, view, *storage.Application, error) {
	if err := checkApplicationID(id, ""); err != nil {
		return nil, nil, nil, err
	}
	w, v, err := r.beginBundle(ctx, req, "applications", id, saving{action: action})
	if err != nil {
		return nil, nil, nil, err
	}
	e := r.directory.application(id)
	if e == nil {
		w.question.Resource = resource(v, id, "", false)
		return w, v, nil, nil
	}
	w.version, w.meta = e.application.Version, e.application.Meta
	return w, v, e.application, nil
}

func (r *Room) deleteApplication(ctx context.Context, req *enforce.Request) (enforce.Resolved, error) {
	id := req.Params["id"]
	w, v, current, err := r.presentApplication(ctx, req, id, "delete")
	if err != nil || current == nil {
		return r.changeOr(req, w, err)
	}
	w.deletes = true
	r.askApplication(req, w, v, current, nil, false)
	w.apply = func(ctx context.Context, tx storage.Tx) error { return buryApplication(ctx, tx, current) }
	w.after = func(ctx context.Context) error {
		r.machines.forget(id)
		r.endSessions(ctx, id, "")
		return nil
	}
	w.reply = noContent
	return r.change(req, w), nil
}

func buryApplication(ctx context.Context, tx storage.Tx, a *storage.Application) error {
	if err := dropSealed(ctx, tx, a, func(storage.Secret) bool { return true }); err != nil {
		return err
	}
	return bury(ctx, tx, storage.ApplicationKind, "applications/"+a.ID, a.Meta, a.Epoch)
}
