package identity

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/writ-authz/writ/policies"
	"github.com/writ-authz/writ/policies/enforce"
	"github.com/writ-authz/writ/storage"
)

// MaxBeside is how many objects a plan may name beside those that it is about.
const MaxBeside = 1000

// ImportBatch is how many objects one import changes, in one transaction.
const ImportBatch = maxBulk

// What an import does with an object.
const (
	ImportCreate    = "create"
	ImportChange    = "change"
	ImportUnchanged = "unchanged"
	ImportRefused   = "refused" // a rule says no
	ImportFaulty    = "faulty"  // a value is wrong, or the state does not fit
	ImportMissing   = "missing" // something is to be added to an identity that is not there
)

// importObjects are objects as an import names them: the fields of the admin API. An absent field keeps its value.
type importObjects struct {
	Tenants      []importTenant      `json:"tenants"`
	Roles        []importRole        `json:"roles"`
	Groups       []importGroup       `json:"groups"`
	Users        []importUser        `json:"users"`
	Applications []importApplication `json:"applications"`
}

func (o *importObjects) count() int {
	return len(o.Tenants) + len(o.Roles) + len(o.Groups) + len(o.Users) + len(o.Applications)
}

// expected is the version that the object must still have, 0 for one that must not be there yet: what a plan was made for.
type expected struct {
	Version enforce.Field[int64] `json:"version"`
}

// additions are put to what an identity has, where the plain fields replace it.
type additions struct {
	AddRoles  enforce.Field[[]string]      `json:"add_roles"`
	AddGroups enforce.Field[[]string]      `json:"add_groups"`
	AddGrants enforce.Field[[]grantFields] `json:"add_grants"`
}

func (a *additions) given() bool { return a.AddRoles.Set || a.AddGroups.Set || a.AddGrants.Set }

type importTenant struct {
	tenantPut
	expected
}

type importRole struct {
	roleKeyed
	expected
}

type importGroup struct {
	groupPut
	expected
}

type importUser struct {
	userPut
	additions
	expected
}

type importApplication struct {
	applicationPut
	additions
	expected
	Secrets enforce.Field[[]importSecret] `json:"secrets"`
}

// importSecret is a secret that comes along by its verifier; nobody here ever sees its value.
type importSecret struct {
	ID        string     `json:"id"`
	Verifier  string     `json:"verifier"`
	Label     string     `json:"label,omitempty"`
	CreatedAt *time.Time `json:"created_at,omitempty"`
	NotBefore *time.Time `json:"not_before,omitempty"`
	ExpiresAt *time.Time `json:"expires_at,omitempty"`
	RevokedAt *time.Time `json:"revoked_at,omitempty"`
}

type importBody struct {
	DryRun bool `json:"dry_run"`
	importObjects
	// Beside are objects of the same file that other batches bring, so that a plan sees them.
	Beside importObjects `json:"beside"`
}

// importVerdict is what was, or would be, done with one object.
type importVerdict struct {
	Pointer string `json:"pointer"`
	Kind    string `json:"kind"`
	ID      string `json:"id,omitempty"`
	Outcome string `json:"outcome"`
	// Version is the object's now; 0 where it is not there.
	Version int64         `json:"version"`
	Changes []fieldChange `json:"changes,omitempty"`
	// Kept names what the file has of credentials and the object keeps its own of.
	Kept    []string       `json:"kept,omitempty"`
	Problem *importProblem `json:"problem,omitempty"`
}

// fieldChange is a field with its two values, JSON of any kind, null where it has none.
type fieldChange struct {
	Field string `json:"field"`
	From  any    `json:"from"`
	To    any    `json:"to"`
}

type importProblem struct {
	Code       string            `json:"code"`
	Pointer    string            `json:"pointer,omitempty"`
	Detail     string            `json:"detail,omitempty"`
	Reasons    []policies.Reason `json:"reasons,omitempty"`
	DecisionID string            `json:"decision_id,omitempty"`
}

type importReply struct {
	DryRun bool            `json:"dry_run"`
	Items  []importVerdict `json:"items"`
}

// importItem is one object on its way.
type importItem struct {
	importVerdict
	w *write
	// fault is told to whoever may import, late only to who may change the object.
	fault, late error
	tenant      enforce.Field[string] // as it is named
	named       string                // the id that the caller gave
	decision    policies.Decision
	// before and after are what replies show of the object.
	before, after any
	target        string
	save          func(ctx context.Context, tx storage.Tx) error
	done          func(ctx context.Context)
}

// importing is one batch. It is judged as the transaction that it is: was is the state now, is the state that all of it leaves.
type importing struct {
	room  *Room
	req   *enforce.Request
	was   view
	is    overlay
	dry   bool
	items []*importItem
	// users are those that the batch touches, as it leaves them; names finds what the batch names twice.
	users map[string]*storage.User
	names map[string]string
}

// importMany answers POST /v1/import. It takes one decision on the right to import, and then one for each object: the same question as a
// PUT of it would ask. One transaction takes all of them or none.
func (r *Room) importMany(ctx context.Context, req *enforce.Request) (enforce.Resolved, error) {
	var in importBody
	if err := req.Decode(&in); err != nil {
		return enforce.Resolved{}, err
	}
	switch n := in.count(); {
	case n == 0 || n > ImportBatch:
		return enforce.Resolved{}, enforce.BadRequest("bad_count", "", "name 1 to "+strconv.Itoa(ImportBatch)+" objects")
	case in.Beside.count() > MaxBeside:
		return enforce.Resolved{}, enforce.BadRequest("bad_count", "/beside", "name at most "+strconv.Itoa(MaxBeside)+" objects")
	case in.Beside.count() > 0 && !in.DryRun:
		return enforce.Resolved{}, enforce.BadRequest("not_here", "/beside", "objects beside those that change are for a dry run")
	}
	sequence, err := r.begin(ctx, req)
	if err != nil {
		return enforce.Resolved{}, err
	}
	v := standing{r.directory}
	b := &importing{
		room: r, req: req, was: v, dry: in.DryRun, users: map[string]*storage.User{}, names: map[string]string{},
		is: overlay{
			view: v, roles: map[storage.RoleKey]*storage.Role{}, groups: map[storage.GroupID]*storage.Group{},
			tenants: map[storage.TenantID]*storage.Tenant{},
		},
	}
	w := &write{sequence: sequence, action: "iam/imports:write", target: "import", many: true}
	caller := req.Caller.Facts.Identity()
	w.question.Resource = resource(v, "", storage.TenantID(cmp.Or(req.Caller.Tenant, caller.Tenant)), true)
	return enforce.Resolved{
		Question: w.question,
		Respond: func(ctx context.Context, d policies.Decision) (enforce.Reply, error) {
			// Laying it all out is work, which is done for those who may import.
			if err := b.build(ctx, &in); err != nil {
				return enforce.Reply{}, err
			}
			if err := b.judge(ctx, d); err != nil {
				return enforce.Reply{}, err
			}
			if err := b.tellRefused(ctx, d, w); err != nil {
				return enforce.Reply{}, err
			}
			if !in.DryRun {
				if err := b.apply(ctx, d, w); err != nil {
					return enforce.Reply{}, err
				}
			}
			return noStore(enforce.Reply{Status: http.StatusOK, Body: b.reply()}), nil
		},
		Denied: func(ctx context.Context, d policies.Decision) error { return r.refuse(ctx, entryOf(req, d, w), d) },
	}, nil
}

// build goes through the kinds in the order in which they name each other. What stands beside is put into the view and nothing else.
func (b *importing) build(ctx context.Context, in *importBody) error {
	beside := &importing{room: b.room, req: b.req, was: b.was, is: b.is, dry: true, users: map[string]*storage.User{}, names: map[string]string{}}
	for i := range in.Beside.Tenants {
		beside.tenant(&in.Beside.Tenants[i], "")
	}
	for i := range in.Tenants {
		b.tenant(&in.Tenants[i], "/tenants/"+strconv.Itoa(i))
	}
	// Roles inherit from one another in any order, so all are laid out before any is looked at.
	for range 2 {
		beside.items, b.items = nil, slices.DeleteFunc(b.items, func(i *importItem) bool { return i.Kind == kindRole })
		clear(b.names)
		clear(beside.names)
		for i := range in.Beside.Roles {
			beside.role(&in.Beside.Roles[i], "")
		}
		for i := range in.Roles {
			b.role(&in.Roles[i], "/roles/"+strconv.Itoa(i))
		}
	}
	for i := range in.Beside.Groups {
		beside.group(&in.Beside.Groups[i], "")
	}
	for i := range in.Groups {
		b.group(&in.Groups[i], "/groups/"+strconv.Itoa(i))
	}
	for i := range in.Users {
		if err := b.user(ctx, &in.Users[i], "/users/"+strconv.Itoa(i)); err != nil {
			return err
		}
	}
	for i := range in.Applications {
		if err := b.application(ctx, &in.Applications[i], "/applications/"+strconv.Itoa(i)); err != nil {
			return err
		}
	}
	b.tellGroups()
	return b.countOwners(ctx)
}

// item begins one object.
func (b *importing) item(kind, base string) *importItem {
	i := &importItem{importVerdict: importVerdict{Pointer: base, Kind: kind, Outcome: ImportFaulty}, w: &write{}}
	b.items = append(b.items, i)
	return i
}

// once notes a name that a batch may have once.
func (b *importing) once(i *importItem, pointer, name string) {
	if other, taken := b.names[name]; taken && i.fault == nil {
		i.fault = enforce.BadRequest("named_twice", pointer, "the same as at "+other)
	}
	b.names[name] = pointer
}

func (b *importing) checker(base string, creating bool) *checker {
	c := b.room.checker(b.is, b.req.Now, saving{}, creating)
	c.base = base
	return c
}

// settle completes an object whose fields were checked and whose question was asked.
func (b *importing) settle(i *importItem, c *checker, typ string, version int64, want expected) {
	if i.fault == nil {
		i.fault = c.err
	}
	if i.late == nil {
		i.late = c.late
	}
	i.Version = version
	q := &i.w.question
	q.Action, q.Resource.Type = "write", typ
	i.w.detail.Conditional, i.w.detail.NamedTenant = want.Version.Set || version == 0, i.tenant.Value
	q.Resource.AfterDetail = i.w.detail.json()
	switch {
	case version == 0:
		i.Outcome = ImportCreate
	case len(q.Resource.Changes) > 0:
		i.Outcome = ImportChange
	default:
		i.Outcome = ImportUnchanged
	}
	if want.Version.Set && want.Version.Value != version && i.Outcome != ImportUnchanged && i.late == nil {
		i.late = conflictError("moved", c.base, "the object is not the one that the plan was made for; plan again")
	}
}

// absent asks about an identity that is not there.
func (b *importing) absent(i *importItem, typ string) {
	i.Outcome, i.w.detail.Conditional = ImportMissing, true
	q := &i.w.question
	q.Resource = resource(b.was, i.ID, "", false)
	q.Action, q.Resource.Type, q.Resource.AfterDetail = "write", typ, i.w.detail.json()
}

func (b *importing) tenant(in *importTenant, base string) {
	i := b.item(kindTenant, base)
	id := in.ID.Value
	i.ID, i.named, i.target = id, id, "tenants/"+id
	if i.fault = checkObjectID(id, base+"/id"); i.fault != nil {
		return
	}
	b.once(i, base, i.target)
	current, next := b.was.tenant(storage.TenantID(id)), &storage.Tenant{}
	if current != nil {
		*next = *current
		i.before = viewTenant(current)
	}
	next.ID = id
	c := b.checker(base, current == nil)
	c.tenantRecord(&in.tenantFields, next)
	b.is.tenants[storage.TenantID(id)] = next
	i.after = viewTenant(next)
	i.w.tenantQuestion(b.was, current, next)
	i.save = func(ctx context.Context, tx storage.Tx) error { return saveRecord(ctx, tx, next, current == nil, nil) }
	b.settle(i, c, "iam/tenants", versionOf(current), in.expected)
}

func (b *importing) role(in *importRole, base string) {
	i := b.item(kindRole, base)
	key := in.Key.Value
	i.ID, i.named, i.target, i.tenant = key, key, "roles/"+key, in.Tenant
	if i.fault = checkRoleKey(key, base+"/key"); i.fault != nil {
		return
	}
	b.once(i, base, i.target)
	current, next := b.was.role(storage.RoleKey(key)), &storage.Role{}
	if current != nil {
		*next = *current
		i.before = viewRole(current)
	}
	next.ID = key
	c := b.checker(base, current == nil)
	c.role(&in.roleFields, next)
	b.is.roles[storage.RoleKey(key)] = next
	i.after = viewRole(next)
	i.w.roleQuestion(b.was, b.is, current, next)
	var inherits []storage.RoleKey
	if current != nil {
		inherits = current.Inherits
	}
	i.w.detail.refer(b.is, inherits, next.Inherits, nil, nil)
	i.save = func(ctx context.Context, tx storage.Tx) error { return saveRecord(ctx, tx, next, current == nil, nil) }
	b.settle(i, c, "iam/roles", versionOf(current), in.expected)
}

func (b *importing) group(in *importGroup, base string) {
	i := b.item(kindGroup, base)
	id := in.ID.Value
	i.ID, i.named, i.target, i.tenant = id, id, "groups/"+id, in.Tenant
	if i.fault = checkObjectID(id, base+"/id"); i.fault != nil {
		return
	}
	b.once(i, base, i.target)
	current, next := b.was.group(storage.GroupID(id)), &storage.Group{}
	if current != nil {
		*next = *current
		i.before = viewGroup(current)
	}
	next.ID = id
	c := b.checker(base, current == nil)
	c.group(&in.groupFields, next)
	b.is.groups[storage.GroupID(id)] = next
	i.after = viewGroup(next)
	i.w.groupQuestion(b.was, b.is, current, next)
	var roles []storage.RoleKey
	if current != nil {
		roles = current.Roles
	}
	i.w.detail.refer(b.is, roles, next.Roles, nil, nil)
	i.save = func(ctx context.Context, tx storage.Tx) error { return saveRecord(ctx, tx, next, current == nil, nil) }
	b.settle(i, c, "iam/groups", versionOf(current), in.expected)
}

// versionOf is 0 for what is not there.
func versionOf[T any, P storage.Pointer[T]](record P) int64 {
	if record == nil {
		return 0
	}
	return record.RecordMeta().Version
}

// findUser is the user that an entry names: by its id, or by its username where it has none.
func (b *importing) findUser(ctx context.Context, in *importUser) (*storage.User, error) {
	if in.ID.Set {
		return b.room.storedUser(ctx, in.ID.Value)
	}
	key, _ := nameKey(in.Username.Value)
	found, err := storage.Lookup[storage.User](ctx, b.room.store, "username", key)
	if errors.Is(err, storage.ErrNotFound) {
		return nil, nil
	}
	return found, err
}

func (b *importing) user(ctx context.Context, in *importUser, base string) error {
	i := b.item(kindUser, base)
	switch {
	case in.ID.Set:
		i.ID, i.named = in.ID.Value, in.ID.Value
		i.fault = checkUserID(i.ID, base+"/id")
	case !in.Username.Set:
		i.fault = enforce.BadRequest("missing", base+"/username", "a user is named by its id or its username")
	default:
		_, i.fault = checkUsername(in.Username.Value, base+"/username")
	}
	if in.Password.Set && i.fault == nil {
		i.fault = enforce.BadRequest("not_here", base+"/password", "an import takes a verifier (password_hash), never a password")
	}
	if i.fault != nil {
		return nil
	}
	current, err := b.findUser(ctx, in)
	if err != nil {
		return fmt.Errorf("read the user: %w", err)
	}
	if current == nil && in.additions.given() && !in.Email.Set {
		i.Outcome = ImportMissing
		b.absent(i, "iam/users")
		return nil
	}
	next, unnamed := &storage.User{}, false
	switch {
	case current != nil:
		*next = *current
		i.before, i.ID = viewUser(current), current.ID
	case in.ID.Set:
		next.ID = in.ID.Value
	default:
		id, err := uuid.NewV7FromReader(b.room.config.Rand)
		if err != nil {
			return fmt.Errorf("make an id: %w", err)
		}
		next.ID, unnamed = id.String(), true
	}
	i.target, i.tenant = "users/"+next.ID, in.Tenant
	c := b.checker(base, current == nil)
	c.user(&in.userFields, next)
	c.add(&in.additions, &next.Identity)
	if err := b.password(i, in, base, current, next); err != nil {
		return err
	}
	var stone *storage.Tombstone
	if current == nil && in.ID.Set {
		if stone, err = b.room.tombstone(ctx, i.target); err != nil {
			return err
		}
		if stone != nil {
			next.Epoch = stone.Epoch + 1
		}
	}
	b.once(i, base, i.target)
	// The names that a user has already are not the caller's, so they are no reason to tell him anything.
	if in.Username.Set {
		b.once(i, base+"/username", "username "+next.UsernameKey)
	}
	if in.Email.Set {
		b.once(i, base+"/email", "email "+next.EmailKey)
	}
	if current != nil {
		raiseUserEpoch(current, next)
	}
	b.users[next.ID] = next
	i.after = viewUser(next)
	b.room.userQuestion(b.req, i.w, b.was, b.is, current, next, stone != nil)
	if unnamed {
		i.w.question.Resource.ID = ""
	}
	i.save = func(ctx context.Context, tx storage.Tx) error {
		return saveRecord(ctx, tx, next, current == nil, stone)
	}
	i.done = func(ctx context.Context) {
		if current == nil {
			b.room.people.welcome(next.UsernameKey)
			return
		}
		if next.UsernameKey != current.UsernameKey {
			b.room.people.forget(current.UsernameKey)
			b.room.people.welcome(next.UsernameKey)
		}
		if next.Epoch != current.Epoch {
			b.room.endSessions(ctx, next.ID, "")
		}
	}
	b.settle(i, c, "iam/users", versionOf(current), in.expected)
	return b.taken(ctx, i, base, current, next)
}

// password takes the verifier of a new user. One that is there keeps its own: what it had at the export may long be another.
func (b *importing) password(i *importItem, in *importUser, base string, current, next *storage.User) error {
	if !in.PasswordHash.Set || in.PasswordHash.Null {
		return nil
	}
	state, err := importedPassword(&in.userFields, base, chosenState(b.req.Now))
	switch {
	case err != nil:
		i.fault = err
	case current != nil:
		i.Kept = append(i.Kept, "password_hash")
	default:
		next.Password = state
	}
	return nil
}

// taken tells in a plan that a name is another's. When the batch is applied the store says so.
func (b *importing) taken(ctx context.Context, i *importItem, base string, current, next *storage.User) error {
	if !b.dry || i.fault != nil || i.late != nil {
		return nil
	}
	keys := map[string][2]string{"username": {next.UsernameKey}, "email": {next.EmailKey}}
	for index, key := range keys {
		if current != nil && (index == "username" && current.UsernameKey == key[0] || index == "email" && current.EmailKey == key[0]) {
			continue
		}
		other, err := storage.Lookup[storage.User](ctx, b.room.store, index, key[0])
		switch {
		case errors.Is(err, storage.ErrNotFound):
		case err != nil:
			return fmt.Errorf("look for the %s: %w", index, err)
		case other.ID != next.ID:
			i.late = conflictError("conflict", base+"/"+index, "the "+index+" is taken")
		}
	}
	return nil
}

// add puts roles, groups and grants to those that are there.
func (c *checker) add(f *additions, into *storage.Identity) {
	roles, groups, grants := into.Roles, into.Groups, into.Grants
	var moreRoles []storage.RoleKey
	var moreGroups []storage.GroupID
	var moreGrants []storage.Grant
	c.roles(f.AddRoles, "/add_roles", &moreRoles)
	c.groups(f.AddGroups, "/add_groups", &moreGroups)
	c.grants(f.AddGrants, "/add_grants", &moreGrants)
	into.Roles = distinct(append(slices.Clone(roles), moreRoles...))
	into.Groups = distinct(append(slices.Clone(groups), moreGroups...))
	for _, g := range moreGrants {
		if !slices.Contains(grantKeys(grants), grantKey(g)) {
			grants = append(slices.Clone(grants), g)
		}
	}
	into.Grants = grants
	// Told late: how many there are already is not everybody's to know.
	for pointer, n := range map[string]int{"/add_roles": len(into.Roles), "/add_groups": len(into.Groups), "/add_grants": len(into.Grants)} {
		if n > maxItems {
			c.lateBad("too_many", pointer, tooMany)
		}
	}
}

func (b *importing) application(ctx context.Context, in *importApplication, base string) error {
	i := b.item(kindApplication, base)
	id := in.ID.Value
	i.ID, i.named, i.target, i.tenant = id, id, "applications/"+id, in.Tenant
	if i.fault = checkApplicationID(id, base+"/id"); i.fault != nil {
		return nil
	}
	b.once(i, base, i.target)
	var current *storage.Application
	next := &storage.Application{}
	if e := b.room.directory.application(id); e != nil {
		current = e.application
		*next = *current
		i.before = viewApplication(current)
	}
	if current == nil && in.additions.given() && !in.Name.Set {
		i.Outcome = ImportMissing
		b.absent(i, "iam/applications")
		return nil
	}
	next.ID = id
	c := b.checker(base, current == nil)
	c.application(&in.applicationFields, next, b.room.config.MaxTokenLifetime)
	if in.Secret.Set {
		c.bad("not_here", "/secret", "an import has the verifiers of secrets, under /secrets, and no secret")
	}
	plainly(current, next)
	c.add(&in.additions, &next.Identity)
	var stone *storage.Tombstone
	if current == nil {
		var err error
		if stone, err = b.room.tombstone(ctx, i.target); err != nil {
			return err
		}
		if stone != nil {
			next.Epoch = stone.Epoch + 1
		}
		next.Secrets = c.verifiers(in.Secrets, next)
	} else {
		raiseApplicationEpoch(current, next)
		if in.Secrets.Set {
			i.Kept = append(i.Kept, "secrets")
		}
	}
	i.after = viewApplication(next)
	b.room.applicationQuestion(b.req, i.w, b.was, b.is, current, next, stone != nil)
	i.save = func(ctx context.Context, tx storage.Tx) error {
		if current != nil && current.Retrievable && !next.Retrievable {
			if err := dropSealed(ctx, tx, next, func(storage.Secret) bool { return true }); err != nil {
				return err
			}
		}
		return saveRecord(ctx, tx, next, current == nil, stone)
	}
	i.done = func(context.Context) {
		if current == nil {
			b.room.machines.welcome(id)
		}
	}
	b.settle(i, c, "iam/applications", versionOf(current), in.expected)
	return nil
}

// plainly keeps a default that is written out, as replies and exports have it, from being a change.
func plainly(current, next *storage.Application) {
	if next.TokenFormat == "jwt" && (current == nil || current.TokenFormat == "") {
		next.TokenFormat = ""
	}
	if next.TokenSigningAlg == "ES256" && (current == nil || current.TokenSigningAlg == "") {
		next.TokenSigningAlg = ""
	}
}

// verifiers are the secrets that a new application brings along.
func (c *checker) verifiers(f enforce.Field[[]importSecret], a *storage.Application) []storage.Secret {
	if len(f.Value) > 0 && !hasSecret(a) {
		c.bad("bad_secret", "/secrets", "this application does not prove itself with a secret")
	}
	if !c.count(len(f.Value), "/secrets") {
		return nil
	}
	kept := make([]storage.Secret, 0, len(f.Value))
	seen := map[string]bool{}
	for n, given := range f.Value {
		at := "/secrets/" + strconv.Itoa(n)
		if err := checkObjectID(given.ID, c.base+at+"/id"); err != nil {
			c.fail(err)
		}
		if seen[given.ID] {
			c.bad("named_twice", at+"/id", "another secret of the application has this id")
		}
		seen[given.ID] = true
		if !secretVerifier(given.Verifier) {
			c.bad("malformed_hash", at+"/verifier", "want sha256:<hex> of a secret that the server made, or a verifier of the kinds that passwords have")
		}
		if err := checkText(given.Label, c.base+at+"/label", maxName); err != nil {
			c.fail(err)
		}
		if given.NotBefore != nil && given.ExpiresAt != nil && !given.ExpiresAt.After(*given.NotBefore) {
			c.bad("bad_window", at+"/expires_at", "expires_at must be later than not_before")
		}
		record := storage.Secret{
			ID: given.ID, Verifier: given.Verifier, Label: given.Label, CreatedAt: c.now, NotBefore: asStored(given.NotBefore),
			ExpiresAt: asStored(given.ExpiresAt), RevokedAt: asStored(given.RevokedAt),
		}
		if given.CreatedAt != nil {
			record.CreatedAt = storage.Time(*given.CreatedAt)
		}
		kept = append(kept, record)
	}
	return kept
}

func asStored(t *time.Time) *time.Time {
	if t == nil {
		return nil
	}
	at := storage.Time(*t)
	return &at
}

func secretVerifier(text string) bool {
	if digits, ok := strings.CutPrefix(text, shaVerifier); ok {
		return len(digits) == 64 && strings.Trim(digits, "0123456789abcdef") == ""
	}
	_, err := parseVerifier(text)
	return err == nil
}

// tellGroups tells the question about a group which others change with it: none of them is sure to give what this one takes.
func (b *importing) tellGroups() {
	together := map[string]bool{}
	for _, i := range b.items {
		if i.Kind == kindGroup && i.Version > 0 {
			together["group:"+i.ID] = true
		}
	}
	for _, i := range b.items {
		if i.Kind == kindGroup && i.Version > 0 {
			i.w.detail.Together = together
			i.w.question.Resource.AfterDetail = i.w.detail.json()
		}
	}
}

// countOwners tells every question that could cost a full administrator how many there are now, and how many the whole batch leaves.
func (b *importing) countOwners(ctx context.Context) error {
	counts := slices.ContainsFunc(b.items, func(i *importItem) bool { return i.Version > 0 && i.Kind != kindApplication })
	if !counts {
		return nil
	}
	before, err := b.room.owners(ctx, b.was, b.req.Now)
	if err != nil {
		return err
	}
	after, err := b.room.owners(ctx, b.is, b.req.Now)
	if err != nil {
		return err
	}
	left := map[string]bool{}
	for _, id := range after {
		left[id] = true
	}
	for id, u := range b.users {
		facts := userFacts(b.is, u)
		left[id] = u.Tenant == "" && facts.Usable(b.req.Now, policies.AddressUnknown) && slices.ContainsFunc(facts.Grants, givesEverything)
	}
	for _, i := range b.items {
		if i.Version == 0 || i.Kind == kindApplication {
			continue
		}
		others := 0
		for id, owns := range left {
			if owns && !(i.Kind == kindUser && id == i.ID) {
				others++
			}
		}
		i.w.question.Resource.OwnersBefore, i.w.question.Resource.OtherOwners = len(before), others
	}
	return nil
}

// askers is how many questions of a batch are asked at once.
const askers = 2

// decide asks about every object that has no fault.
func (b *importing) decide(ctx context.Context, parent policies.Decision) error {
	var next atomic.Int64
	var failed [askers]error
	var wait sync.WaitGroup
	for n := range askers {
		wait.Go(func() {
			for failed[n] == nil {
				at := int(next.Add(1)) - 1
				if at >= len(b.items) {
					return
				}
				if i := b.items[at]; i.fault == nil {
					i.decision, failed[n] = b.req.Ask(ctx, parent, &i.w.question)
				}
			}
		})
	}
	wait.Wait()
	return errors.Join(failed[:]...)
}

// judge takes the decision on every object and fills its verdict. What the caller may not change tells nothing else.
func (b *importing) judge(ctx context.Context, parent policies.Decision) error {
	if err := b.decide(ctx, parent); err != nil {
		return err
	}
	for _, i := range b.items {
		switch {
		case i.fault != nil: // nobody decided whether the caller may know the object
			i.ID, i.Version, i.Kept = i.named, 0, nil
			i.spoil(i.fault)
		case !i.decision.Allow:
			b.refused(i, i.decision)
		case i.late != nil:
			i.spoil(i.late)
		case b.dry && i.Outcome == ImportChange:
			i.Changes = changesOf(i.before, i.after)
		}
	}
	return nil
}

// spoil puts a fault into a verdict. A fault is a protocol error, whose texts repeat no value.
func (i *importItem) spoil(err error) {
	i.Outcome, i.Changes, i.late = ImportFaulty, nil, err
	var fault *enforce.ProtocolError
	if errors.As(err, &fault) {
		i.Problem = &importProblem{Code: fault.Code, Pointer: fault.Pointer, Detail: fault.Detail}
	}
}

// refused puts a denial into a verdict. One that conceals looks the same whether the object is there or not.
func (b *importing) refused(i *importItem, d policies.Decision) {
	if err := tenantDenied(i.tenant)(d); err != nil {
		i.spoil(err)
		i.Problem.Pointer = i.Pointer + i.Problem.Pointer
		i.late = &enforce.ProtocolError{
			Status: http.StatusBadRequest, Code: i.Problem.Code, Pointer: i.Problem.Pointer, Detail: i.Problem.Detail,
		}
		return
	}
	if d.Obligations.Conceal {
		d.Obligations = policies.Obligations{}
		d.Reasons = []policies.Reason{{Code: "not_granted", Rule: "admin.granted"}}
	}
	i.ID, i.Outcome, i.Version, i.Kept = i.named, ImportRefused, 0, nil
	detail := "you may not do this to the " + i.Kind + "; nothing was changed"
	i.Problem = &importProblem{Code: "denied", Pointer: i.Pointer, Detail: detail, Reasons: d.Reasons, DecisionID: d.ID}
	if len(d.Reasons) > 0 {
		i.Problem.Code = d.Reasons[0].Code
	}
	i.late = &denial{decision: d, reasons: d.Reasons, pointer: i.Pointer, detail: detail}
}

// byTenant are the targets of items by the tenants that they are in.
func byTenant(items []*importItem, otherwise string) map[storage.TenantID][]string {
	targets := map[storage.TenantID][]string{}
	for _, i := range items {
		tenant := storage.TenantID(i.w.question.Resource.Tenant)
		targets[tenant] = append(targets[tenant], orElse(i.target, otherwise))
	}
	return targets
}

// tellRefused writes down what the caller may not change, in each tenant, also where it was only a plan.
func (b *importing) tellRefused(ctx context.Context, d policies.Decision, w *write) error {
	var items []*importItem
	first := map[storage.TenantID]*denial{}
	for _, i := range b.items {
		var refusal *denial
		if !errors.As(i.late, &refusal) {
			continue
		}
		items = append(items, i)
		if tenant := storage.TenantID(i.w.question.Resource.Tenant); first[tenant] == nil {
			first[tenant] = refusal
		}
	}
	targets := byTenant(items, w.target)
	for _, tenant := range slices.Sorted(maps.Keys(targets)) {
		entry := entryOf(b.req, d, &write{action: w.action, target: strings.Join(targets[tenant], ","), many: true})
		entry.Tenant = tenant
		if err := b.room.refuse(ctx, entry, first[tenant].decision); err != nil {
			return err
		}
	}
	return nil
}

// apply commits what changes, or fails with the first object that stands in the way.
func (b *importing) apply(ctx context.Context, d policies.Decision, w *write) error {
	var changing []*importItem
	var targets []string
	for _, i := range b.items {
		switch {
		case i.late != nil:
			return i.late
		case i.Outcome == ImportMissing:
			return enforce.BadRequest("missing", i.Pointer, "there is no such "+i.Kind+" to add something to")
		case i.Outcome == ImportUnchanged:
			continue
		}
		changing = append(changing, i)
		targets = append(targets, i.target)
	}
	if len(changing) == 0 {
		return nil
	}
	w.target = strings.Join(targets, ",")
	w.apply = func(ctx context.Context, tx storage.Tx) error {
		for _, i := range changing {
			if err := i.save(ctx, tx); err != nil {
				return b.clash(i, err)
			}
		}
		return nil
	}
	entry := entryOf(b.req, d, w)
	tenants := byTenant(changing, w.target)
	if entry.Tenant = storage.AnyTenant; len(tenants) == 1 { // whose auditors see it then
		entry.Tenant = storage.TenantID(changing[0].w.question.Resource.Tenant)
	}
	w.parts = partsOf(tenants)
	if err := b.room.commit(ctx, entry, w); err != nil {
		return err
	}
	for _, i := range changing {
		i.Version++
		if i.done != nil {
			i.done(ctx)
		}
	}
	return nil
}

// clash names the place of a unique name that is another's.
func (b *importing) clash(i *importItem, err error) error {
	var conflict *storage.ConflictError
	if !errors.As(err, &conflict) {
		return err
	}
	return errors.Join(conflictError("conflict", i.Pointer+"/"+conflict.Index, "the "+conflict.Index+" is taken; nothing was changed"), err)
}

func (b *importing) reply() importReply {
	reply := importReply{DryRun: b.dry, Items: make([]importVerdict, len(b.items))}
	for n, i := range b.items {
		reply.Items[n] = i.importVerdict
	}
	slices.SortFunc(reply.Items, func(x, y importVerdict) int {
		return cmp.Compare(slices.Index(importOrder(), x.Kind), slices.Index(importOrder(), y.Kind))
	})
	return reply
}

// importOrder is that in which the kinds name each other.
func importOrder() []string {
	return []string{kindTenant, kindRole, kindGroup, kindUser, kindApplication}
}

// changesOf compares what replies show of an object before and after, field by field.
func changesOf(before, after any) []fieldChange {
	was, is := fieldsOf(before), fieldsOf(after)
	var names []string
	for name := range is {
		names = append(names, name)
	}
	for name := range was {
		if _, there := is[name]; !there {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	var changes []fieldChange
	for _, name := range names {
		if !slices.Contains([]string{"version", "created_at", "updated_at", "password"}, name) && !bytes.Equal(was[name], is[name]) {
			changes = append(changes, fieldChange{Field: name, From: orNull(was[name]), To: orNull(is[name])})
		}
	}
	return changes
}

func orNull(raw json.RawMessage) json.RawMessage {
	if raw == nil {
		return json.RawMessage("null")
	}
	return raw
}

func fieldsOf(object any) map[string]json.RawMessage {
	fields := map[string]json.RawMessage{}
	raw, err := json.Marshal(object)
	if err != nil || json.Unmarshal(raw, &fields) != nil {
		return nil // unreachable: views are plain
	}
	return fields
}

// NewVerifier returns the verifier of a secret that is brought along, so that the secret itself need not be.
func NewVerifier(secret string) (string, error) {
	p := emptyPHC()
	if _, err := rand.Read(p.salt); err != nil {
		return "", fmt.Errorf("make a salt: %w", err)
	}
	p.hash = p.of(secret)
	return p.String(), nil
}
