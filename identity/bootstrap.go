package identity

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"go.yaml.in/yaml/v3"

	"github.com/writ-authz/writ/policies/enforce"
	"github.com/writ-authz/writ/storage"
)

const (
	rootID    = "root"
	ownerRole = "system:owner"
	// bootstrapMark is the id of the setting that says that the first start is over.
	bootstrapMark = "bootstrap"
	// leastSecret is the least number of characters of a secret that a caller chooses.
	leastSecret = 32
	// bootAttempts bounds how often a start-up change is tried against a moving authority sequence, bootPause apart: what is in the
	// way may be a transaction of another node that has not committed yet.
	bootAttempts = 100
	bootPause    = 50 * time.Millisecond
)

// atStart runs one start-up change: prepare reads the state and says what to write, nothing being nil.
func (r *Room) atStart(
	ctx context.Context, action, target string, prepare func() (func(context.Context, storage.Tx) error, error),
) error {
	for range bootAttempts {
		feed := r.follower()
		if err := feed.CatchUp(ctx); err != nil {
			return fmt.Errorf("read the authority sequence: %w", err)
		}
		sequence := feed.Sequence()
		apply, err := prepare()
		if err != nil || apply == nil {
			return err
		}
		entry := storage.AuditEntry{Actor: "system:" + r.config.Node, Action: action, Target: target}
		err = r.commit(ctx, entry, &write{sequence: sequence, action: action, target: target, apply: apply})
		if !errors.Is(err, enforce.ErrRetry) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(bootPause):
		}
	}
	return fmt.Errorf("%s: the store keeps changing: %w", action, enforce.ErrBusy)
}

// Bootstrap makes the role system:owner and the protected application root on the first start. On a later one it only adds to the role
// the explicit actions that the catalogue has learned since: without them no owner could ever give them. An empty secret stands for a
// random one, which is returned; what was given is not.
func (r *Room) Bootstrap(ctx context.Context, secret string) (made string, err error) {
	err = r.atStart(ctx, "bootstrap", "applications/"+rootID, func() (func(context.Context, storage.Tx) error, error) {
		made = "" // of an attempt that another node was faster than
		_, err := storage.Get[storage.Setting](ctx, r.store, bootstrapMark)
		if err == nil {
			// The first start of another node may have been committed after the feed was read, and whoever is ready knows root.
			if err := r.follower().CatchUp(ctx); err != nil {
				return nil, fmt.Errorf("read the authority sequence: %w", err)
			}
			return r.completeOwner(), nil
		}
		if !errors.Is(err, storage.ErrNotFound) {
			return nil, err
		}
		if secret == "" {
			if made, err = makeSecret(r.config.Rand); err != nil {
				return nil, err
			}
		}
		record, err := r.chosenSecret(ctx, orElse(made, secret), "bootstrap")
		if err != nil {
			return nil, err
		}
		role := r.ownerRole()
		root := &storage.Application{
			Description: "The first administrator, made at the first start", GrantTypes: []string{"client_credentials"}, IsActive: true,
			Secrets: []storage.Secret{record},
		}
		root.ID, root.Name, root.Protected, root.Roles = rootID, rootID, true, []storage.RoleKey{ownerRole}
		root.NameKey, _ = searchKey(root.Name)
		mark := &storage.Setting{}
		mark.ID = bootstrapMark
		return func(ctx context.Context, tx storage.Tx) error {
			return errors.Join(tx.Insert(ctx, role), tx.Insert(ctx, root), tx.Insert(ctx, mark))
		}, nil
	})
	if err != nil {
		return "", fmt.Errorf("bootstrap: %w", err)
	}
	return made, nil
}

// completeOwner returns what adds to the stored owner role the grants that it lacks, or nil. It takes none away: another node may have
// loaded a policy that declares more.
func (r *Room) completeOwner() func(context.Context, storage.Tx) error {
	stored := standing{r.directory}.role(ownerRole)
	if stored == nil {
		return nil
	}
	next := *stored
	next.Grants = slices.Clone(stored.Grants)
	for _, wanted := range r.ownerRole().Grants {
		if !slices.ContainsFunc(next.Grants, func(g storage.Grant) bool {
			return g.Tenant == wanted.Tenant && g.Resource == wanted.Resource && g.Action == wanted.Action
		}) {
			next.Grants = append(next.Grants, wanted)
		}
	}
	if len(next.Grants) == len(stored.Grants) {
		return nil
	}
	return func(ctx context.Context, tx storage.Tx) error { return tx.Update(ctx, &next) }
}

// ownerRole holds everything everywhere, and the explicit actions by name, so that an owner can give them.
func (r *Room) ownerRole() *storage.Role {
	role := &storage.Role{
		Description: "Full administrator", Protected: true, Inherits: []storage.RoleKey{},
		Grants: []storage.Grant{{Tenant: storage.AnyTenant, Resource: "*", Action: "*"}},
	}
	role.ID = ownerRole
	for _, t := range r.config.PDP.Catalogue().Types() {
		for _, a := range t.Actions {
			if a.Explicit {
				role.Grants = append(role.Grants, storage.Grant{Tenant: storage.AnyTenant, Resource: t.Type, Action: a.Name})
			}
		}
	}
	return role
}

// chosenSecret is the record of a secret that a caller chose. It is never retrievable. One in the form of a server-made secret
// has its entropy and gets the fast verifier.
func (r *Room) chosenSecret(ctx context.Context, secret, label string) (storage.Secret, error) {
	id, err := secretID(r.config.Rand)
	if err != nil {
		return storage.Secret{}, err
	}
	record := storage.Secret{ID: id, Label: label, CreatedAt: storage.Time(r.config.Now())}
	if serverMade(secret) {
		record.Verifier = shaOf(secret)
		return record, nil
	}
	if strings.HasPrefix(secret, secretPrefix) {
		return storage.Secret{}, fmt.Errorf("a secret that begins with %s is one that the server made, and this one is mistyped", secretPrefix)
	}
	if len(secret) < leastSecret || len(secret) > maxPasswordBytes {
		return storage.Secret{}, fmt.Errorf("a secret that you choose has %d to %d characters", leastSecret, maxPasswordBytes)
	}
	record.Verifier, err = r.passwords.make(ctx, secret)
	return record, err
}

// RecoverRoot gives root a new secret, which is returned, and revokes all others.
func (r *Room) RecoverRoot(ctx context.Context) (string, error) {
	var value string
	err := r.atStart(ctx, "recover", "applications/"+rootID, func() (func(context.Context, storage.Tx) error, error) {
		e := r.directory.application(rootID)
		if e == nil {
			return nil, errors.New("there is no application root yet; start writ serve once first")
		}
		var err error
		if value, err = makeSecret(r.config.Rand); err != nil {
			return nil, err
		}
		record, err := r.chosenSecret(ctx, value, "recovered")
		if err != nil {
			return nil, err
		}
		next := *e.application
		for _, s := range e.application.Secrets {
			revoke(&next, s.ID, storage.Time(r.config.Now()))
		}
		next.Secrets = append(next.Secrets, record)
		return func(ctx context.Context, tx storage.Tx) error { return tx.Update(ctx, &next) }, nil
	})
	if err != nil {
		return "", fmt.Errorf("recover root: %w", err)
	}
	return value, nil
}

// declaration is a bootstrap file: YAML with the fields of the admin API.
type declaration struct {
	Tenants      []tenantPut           `json:"tenants"`
	Roles        []roleKeyed           `json:"roles"`
	Groups       []groupPut            `json:"groups"`
	Users        []userPut             `json:"users"`
	Applications []declaredApplication `json:"applications"`
}

type declaredApplication struct {
	applicationPut
	// Secret is chosen by whoever wrote the file; without one the server makes one, which is returned.
	Secret string `json:"secret"`
}

// Made is an object that a bootstrap file brought into being, with the secret that exists nowhere else.
type Made struct {
	Kind string `json:"kind"`
	ID   string `json:"id"`
	Name string `json:"name"`
	// Secret is a generated secret or temporary password, empty where the file names it.
	Secret string `json:"secret,omitempty"`
}

// BootstrapFile makes what the file declares and what is not there yet, all or nothing, and returns what it made. It changes
// nothing that exists and brings back nothing that was deleted, so applying it twice changes nothing.
func (r *Room) BootstrapFile(ctx context.Context, content []byte) (made []Made, err error) {
	wanted, err := readDeclaration(content)
	if err != nil {
		return nil, fmt.Errorf("bootstrap file: %w", err)
	}
	hashes := map[string]string{} // a retry does not hash again
	err = r.atStart(ctx, "bootstrap_file", "bootstrap", func() (func(context.Context, storage.Tx) error, error) {
		d := &declaring{
			room: r, wanted: wanted, hashes: hashes,
			view: overlay{
				view: standing{r.directory}, roles: map[storage.RoleKey]*storage.Role{}, groups: map[storage.GroupID]*storage.Group{},
				tenants: map[storage.TenantID]*storage.Tenant{},
			},
		}
		if err := d.all(ctx); err != nil {
			return nil, err
		}
		made = d.made
		if len(d.writes) == 0 {
			return nil, nil
		}
		return func(ctx context.Context, tx storage.Tx) error {
			for _, write := range d.writes {
				if err := write(ctx, tx); err != nil {
					return err
				}
			}
			return nil
		}, nil
	})
	if err != nil {
		return nil, fmt.Errorf("bootstrap file: %w", err)
	}
	return made, nil
}

// readDeclaration reads YAML as strictly as the API reads JSON: an unknown or repeated key is an error that names its place.
func readDeclaration(content []byte) (*declaration, error) {
	var tree map[string]any
	if err := yaml.Unmarshal(content, &tree); err != nil {
		return nil, err
	}
	if tree == nil {
		return &declaration{}, nil
	}
	document, err := json.Marshal(tree)
	if err != nil {
		return nil, err
	}
	var d declaration
	if err := enforce.DecodeJSON(document, &d); err != nil {
		return nil, err
	}
	return &d, nil
}

// declaring collects the writes of one application of a file. What it declares is visible to what comes after it.
type declaring struct {
	room   *Room
	wanted *declaration
	view   overlay
	hashes map[string]string
	writes []func(context.Context, storage.Tx) error
	made   []Made
}

func (d *declaring) checker(base string) *checker {
	c := d.room.checker(d.view, d.room.config.Now(), saving{}, true)
	c.base = base
	return c
}

func (d *declaring) insert(record storage.Record, made Made) {
	d.writes = append(d.writes, func(ctx context.Context, tx storage.Tx) error { return tx.Insert(ctx, record) })
	d.made = append(d.made, made)
}

// all goes through the kinds in the order in which they name each other.
func (d *declaring) all(ctx context.Context) error {
	for i := range d.wanted.Tenants {
		if err := d.tenant(&d.wanted.Tenants[i], "/tenants/"+strconv.Itoa(i)); err != nil {
			return err
		}
	}
	if err := d.roles(); err != nil {
		return err
	}
	for i := range d.wanted.Groups {
		if err := d.group(&d.wanted.Groups[i], "/groups/"+strconv.Itoa(i)); err != nil {
			return err
		}
	}
	for i := range d.wanted.Users {
		if err := d.user(ctx, &d.wanted.Users[i], "/users/"+strconv.Itoa(i)); err != nil {
			return err
		}
	}
	for i := range d.wanted.Applications {
		if err := d.application(ctx, &d.wanted.Applications[i], "/applications/"+strconv.Itoa(i)); err != nil {
			return err
		}
	}
	return nil
}

func (c *checker) fault() error { return errors.Join(c.err, c.late) }

func (d *declaring) tenant(in *tenantPut, base string) error {
	id := in.ID.Value
	if err := checkObjectID(id, base+"/id"); err != nil || d.view.tenant(storage.TenantID(id)) != nil {
		return err
	}
	t := &storage.Tenant{}
	t.ID = id
	c := d.checker(base)
	c.tenantRecord(&in.tenantFields, t)
	d.view.tenants[storage.TenantID(id)] = t
	d.insert(t, Made{Kind: kindTenant, ID: id, Name: t.Name})
	return c.fault()
}

// roles may inherit from one another in any order, so all of them are named before any is looked at.
func (d *declaring) roles() error {
	fresh := map[int]*storage.Role{}
	for i := range d.wanted.Roles {
		key := d.wanted.Roles[i].Key.Value
		if err := checkRoleKey(key, "/roles/"+strconv.Itoa(i)+"/key"); err != nil {
			return err
		}
		if d.view.role(storage.RoleKey(key)) != nil {
			continue
		}
		fresh[i] = &storage.Role{}
		fresh[i].ID = key
		d.view.roles[storage.RoleKey(key)] = fresh[i]
	}
	for i := range d.wanted.Roles {
		role := fresh[i]
		if role == nil {
			continue
		}
		c := d.checker("/roles/" + strconv.Itoa(i))
		c.role(&d.wanted.Roles[i].roleFields, role)
		if err := c.fault(); err != nil {
			return err
		}
		d.insert(role, Made{Kind: kindRole, ID: role.ID, Name: role.ID})
	}
	return nil
}

func (d *declaring) group(in *groupPut, base string) error {
	id := in.ID.Value
	if err := checkObjectID(id, base+"/id"); err != nil || d.view.group(storage.GroupID(id)) != nil {
		return err
	}
	g := &storage.Group{}
	g.ID = id
	c := d.checker(base)
	c.group(&in.groupFields, g)
	d.view.groups[storage.GroupID(id)] = g
	d.insert(g, Made{Kind: kindGroup, ID: id, Name: g.Name})
	return c.fault()
}

// user is known by its username; an id is optional.
func (d *declaring) user(ctx context.Context, in *userPut, base string) error {
	u := &storage.User{}
	c := d.checker(base)
	c.user(&in.userFields, u)
	if err := c.fault(); err != nil {
		return err
	}
	_, err := storage.Lookup[storage.User](ctx, d.room.store, "username", u.UsernameKey)
	if !errors.Is(err, storage.ErrNotFound) {
		return err
	}
	if u.ID = in.ID.Value; in.ID.Set {
		if err := checkUserID(u.ID, base+"/id"); err != nil {
			return err
		}
		if there, err := d.there(ctx, &storage.User{}, "users/"+u.ID, u.ID); there || err != nil {
			return err
		}
	} else {
		id, err := uuid.NewV7FromReader(d.room.config.Rand)
		if err != nil {
			return fmt.Errorf("make an id: %w", err)
		}
		u.ID = id.String()
	}
	made := Made{Kind: kindUser, ID: u.ID, Name: u.Username}
	if u.Password, made.Secret, err = d.password(ctx, in, u, base); err != nil {
		return err
	}
	d.insert(u, made)
	return nil
}

// there reports whether an id is taken, or was and is not to come back.
func (d *declaring) there(ctx context.Context, into storage.Record, target, id string) (bool, error) {
	stone, err := d.room.tombstone(ctx, target)
	if stone != nil || err != nil {
		return true, err
	}
	err = d.room.store.Get(ctx, into, id)
	if errors.Is(err, storage.ErrNotFound) {
		return false, nil
	}
	return true, err
}

func (d *declaring) password(ctx context.Context, in *userPut, u *storage.User, base string) (storage.Password, string, error) {
	at := storage.Time(d.room.config.Now())
	switch {
	case given(in.PasswordHash):
		state, err := importedPassword(&in.userFields, base, chosenState(at))
		return state, "", err
	case given(in.Password):
		normal, err := d.room.acceptPassword(in.Password.Value, base+"/password", u, "")
		if err != nil {
			return storage.Password{}, "", err
		}
		verifier, ok := d.hashes[base]
		if !ok {
			if verifier, err = d.room.passwords.make(ctx, normal); err != nil {
				return storage.Password{}, "", err
			}
			d.hashes[base] = verifier
		}
		return storage.Password{Verifier: verifier, ChangedAt: &at}, "", nil
	default:
		made, err := d.room.makeTemporary(ctx, d.room.temporaryState(at))
		return made.state, made.temporary, err
	}
}

func (d *declaring) application(ctx context.Context, in *declaredApplication, base string) error {
	id := in.ID.Value
	if err := checkApplicationID(id, base+"/id"); err != nil {
		return err
	}
	if there, err := d.there(ctx, &storage.Application{}, "applications/"+id, id); there || err != nil {
		return err
	}
	a := &storage.Application{}
	a.ID = id
	c := d.checker(base)
	c.application(&in.applicationFields, a, d.room.config.MaxTokenLifetime)
	if err := c.fault(); err != nil {
		return err
	}
	made := Made{Kind: kindApplication, ID: id, Name: a.Name}
	switch {
	case in.Secret != "" && !hasSecret(a):
		return enforce.BadRequest("bad_secret", base+"/secret", "this application does not prove itself with a secret")
	case in.Secret != "":
		record, err := d.room.chosenSecret(ctx, in.Secret, "bootstrap")
		if err != nil {
			return enforce.BadRequest("bad_secret", base+"/secret", err.Error())
		}
		a.Secrets = []storage.Secret{record}
	case hasSecret(a):
		fresh, err := d.room.newSecret(id, a.Retrievable, secretFields{Label: "bootstrap"}, d.room.config.Now())
		if err != nil {
			return err
		}
		a.Secrets, made.Secret = []storage.Secret{fresh.record}, fresh.value
		d.writes = append(d.writes, fresh.keep)
	}
	d.insert(a, made)
	return nil
}
