package identity

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/writ-authz/writ/policies"
	"github.com/writ-authz/writ/policies/enforce"
	"github.com/writ-authz/writ/storage"
)

// The types of subjects and targets, as questions name them.
const (
	kindUser        = "user"
	kindApplication = "application"
	kindRole        = "role"
	kindGroup       = "group"
	kindTenant      = "tenant"
)

const loadPage = 500

// globalEpoch is the id of the setting that holds the epoch of every token.
const globalEpoch = "epoch"

// directory mirrors applications, roles, groups and tenants in memory and keeps the users asked for last. Records in it are
// never modified; a change puts a new one in the place of the old.
type directory struct {
	store     storage.Reader
	audiences []string
	users     *userCache
	epoch     atomic.Int64

	mu           sync.RWMutex
	applications map[string]*entry
	roles        map[storage.RoleKey]*storage.Role
	groups       map[storage.GroupID]*storage.Group
	tenants      map[storage.TenantID]*storage.Tenant
	// servers holds the ids of the applications that serve an audience.
	servers map[string][]string
	// generation moves with every role, group and tenant: facts flattened before are flattened anew when they are wanted.
	generation uint64
	shared     sharedRights
	givers     givers
}

// entry is one identity with its facts, which are made when they are first wanted in a generation.
type entry struct {
	user        *storage.User
	application *storage.Application
	addresses   []netip.Prefix
	facts       atomic.Pointer[factsAt]
}

type factsAt struct {
	generation uint64
	subject    *enforce.Subject
	rights     *rightsSet // which only those who have it keep
}

func newDirectory(store storage.Reader, audiences []string, users int) *directory {
	return &directory{
		store: store, audiences: audiences, users: newUserCache(users),
		applications: map[string]*entry{}, roles: map[storage.RoleKey]*storage.Role{},
		groups: map[storage.GroupID]*storage.Group{}, tenants: map[storage.TenantID]*storage.Tenant{},
		servers: map[string][]string{}, givers: newGivers(),
	}
}

// load fills the mirror and returns the authority sequence that it is at least current with.
func (d *directory) load(ctx context.Context) (int64, error) {
	sequence, err := d.store.Sequence(ctx)
	if err != nil {
		return 0, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return sequence, atOnce(
		func() error { return each(ctx, d.store, func(a *storage.Application) { d.putApplication(a.ID, a) }) },
		func() error { return each(ctx, d.store, func(r *storage.Role) { d.putRole(storage.RoleKey(r.ID), r) }) },
		func() error {
			return each(ctx, d.store, func(g *storage.Group) { d.putGroup(storage.GroupID(g.ID), g) })
		},
		func() error {
			return each(ctx, d.store, func(t *storage.Tenant) { d.tenants[storage.TenantID(t.ID)] = t })
		},
		func() error { return d.loadEpoch(ctx, d.store) },
	)
}

// atOnce runs the loads of several kinds, no two of which touch the same map.
func atOnce(loads ...func() error) error {
	failed := make([]error, len(loads))
	var wait sync.WaitGroup
	for n, load := range loads {
		wait.Go(func() { failed[n] = load() })
	}
	wait.Wait()
	return errors.Join(failed...)
}

// each hands every record of one kind to f.
func each[T any, P storage.Pointer[T]](ctx context.Context, r storage.Reader, f func(P)) error {
	for after := ""; ; {
		page, err := storage.List[T, P](ctx, r, storage.Query{After: after, Limit: loadPage})
		if err != nil {
			return err
		}
		for _, record := range page {
			f(record)
			after = record.RecordMeta().ID
		}
		if len(page) < loadPage {
			return nil
		}
	}
}

func (d *directory) loadEpoch(ctx context.Context, r storage.Reader) error {
	setting, err := storage.Get[storage.Setting](ctx, r, globalEpoch)
	if errors.Is(err, storage.ErrNotFound) {
		return nil
	}
	if err == nil {
		d.epoch.Store(setting.Epoch)
	}
	return err
}

// apply brings one changed record into the mirror.
func (d *directory) apply(ctx context.Context, r storage.Reader, item storage.ChangeItem) error {
	switch item.Kind {
	case storage.UserKind.Name:
		d.users.drop(item.ID)
	case storage.ApplicationKind.Name:
		return reload(ctx, r, item.ID, func(a *storage.Application) {
			d.mu.Lock()
			defer d.mu.Unlock()
			d.putApplication(item.ID, a)
		})
	case storage.RoleKind.Name:
		return reload(ctx, r, item.ID, func(record *storage.Role) {
			d.change(func() { d.putRole(storage.RoleKey(item.ID), record) })
		})
	case storage.GroupKind.Name:
		return reload(ctx, r, item.ID, func(record *storage.Group) {
			d.change(func() { d.putGroup(storage.GroupID(item.ID), record) })
		})
	case storage.TenantKind.Name:
		return reload(ctx, r, item.ID, func(record *storage.Tenant) {
			d.change(func() { put(d.tenants, storage.TenantID(item.ID), record, record == nil) })
		})
	case storage.SettingKind.Name:
		if item.ID == globalEpoch {
			return d.loadEpoch(ctx, r)
		}
	}
	return nil
}

// reload hands the record's present state to set, nil if it is gone.
func reload[T any, P storage.Pointer[T]](ctx context.Context, r storage.Reader, id string, set func(P)) error {
	record, err := storage.Get[T, P](ctx, r, id)
	if err != nil && !errors.Is(err, storage.ErrNotFound) {
		return err
	}
	set(record)
	return nil
}

func put[K comparable, V any](in map[K]V, key K, value V, gone bool) {
	if gone {
		delete(in, key)
		return
	}
	in[key] = value
}

// putRole puts a role, nil if it is gone, in the place of the one before it; d.mu is held.
func (d *directory) putRole(key storage.RoleKey, role *storage.Role) {
	d.givers.role(key, d.roles[key], role)
	put(d.roles, key, role, role == nil)
}

// putGroup is the same for a group.
func (d *directory) putGroup(id storage.GroupID, group *storage.Group) {
	d.givers.group(id, d.groups[id], group)
	put(d.groups, id, group, group == nil)
}

// putApplication puts an application, nil if it is gone, in the place of the one before it; d.mu is held.
func (d *directory) putApplication(id string, a *storage.Application) {
	if before := d.applications[id]; before != nil {
		for _, audience := range before.application.Serves {
			left := slices.DeleteFunc(slices.Clone(d.servers[audience]), func(server string) bool { return server == id })
			put(d.servers, audience, left, len(left) == 0)
		}
	}
	put(d.applications, id, applicationEntry(a), a == nil)
	if a == nil {
		return
	}
	for _, audience := range a.Serves {
		d.servers[audience] = append(slices.Clip(d.servers[audience]), id)
	}
}

// serversOf returns the applications that serve an audience.
func (d *directory) serversOf(audience string) []*entry {
	d.mu.RLock()
	defer d.mu.RUnlock()
	ids := d.servers[audience]
	if len(ids) == 0 {
		return nil
	}
	found := make([]*entry, len(ids))
	for n, id := range ids {
		found[n] = d.applications[id]
	}
	return found
}

func (d *directory) change(f func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f()
	d.generation++
	d.shared.forget()
}

// mirror is the directory as a view; d.mu is held while it is used.
type mirror struct{ d *directory }

func (m mirror) role(key storage.RoleKey) *storage.Role     { return m.d.roles[key] }
func (m mirror) group(id storage.GroupID) *storage.Group    { return m.d.groups[id] }
func (m mirror) tenant(id storage.TenantID) *storage.Tenant { return m.d.tenants[id] }

// standing is the directory as a view that may change between two look-ups. Where that matters, the authority sequence tells.
type standing struct{ d *directory }

func (s standing) role(key storage.RoleKey) (found *storage.Role) {
	s.d.read(func(v view) { found = v.role(key) })
	return found
}

func (s standing) group(id storage.GroupID) (found *storage.Group) {
	s.d.read(func(v view) { found = v.group(id) })
	return found
}

func (s standing) tenant(id storage.TenantID) (found *storage.Tenant) {
	s.d.read(func(v view) { found = v.tenant(id) })
	return found
}

// read runs f over the mirror, which stands still meanwhile.
func (d *directory) read(f func(view)) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	f(mirror{d})
}

func applicationEntry(a *storage.Application) *entry {
	if a == nil {
		return nil
	}
	return &entry{application: a, addresses: prefixes(a.Addresses)}
}

// prefixes parses what was checked when it was stored. What cannot be read allows nothing.
func prefixes(cidrs []string) []netip.Prefix {
	if cidrs == nil {
		return nil
	}
	parsed := make([]netip.Prefix, 0, len(cidrs))
	for _, cidr := range cidrs {
		if p, err := netip.ParsePrefix(cidr); err == nil {
			parsed = append(parsed, p)
		}
	}
	return parsed
}

// subject returns the entry's facts, flattened over the present roles, groups and tenants.
func (d *directory) subject(e *entry) *enforce.Subject {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if cached := e.facts.Load(); cached != nil && cached.generation == d.generation {
		return cached.subject
	}
	s := &enforce.Subject{}
	var facts policies.Identity
	var rights *rightsSet
	var tenant storage.TenantID
	if u := e.user; u != nil {
		rights = d.shared.of(mirror{d}, &u.Identity)
		facts = userFactsOf(mirror{d}, u, rights.flattened)
		s.Name, s.Epoch, tenant = u.Username, u.Epoch, u.Tenant
	} else {
		a := e.application
		rights = d.shared.of(mirror{d}, &a.Identity)
		facts = applicationFactsOf(mirror{d}, a, d.audiences, rights.flattened)
		s.Name, s.Epoch, tenant = a.Name, a.Epoch, a.Tenant
	}
	s.Type, s.ID, s.Facts = facts.Type, facts.ID, policies.NewSharedFacts(facts, rights.rights)
	if e.addresses != nil {
		s.Allowed = append(s.Allowed, e.addresses)
	}
	if t := d.tenants[tenant]; t != nil && t.Addresses != nil {
		s.Allowed = append(s.Allowed, prefixes(t.Addresses))
	}
	e.facts.Store(&factsAt{generation: d.generation, subject: s, rights: rights})
	return s
}

func (d *directory) application(id string) *entry {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.applications[id]
}

// user returns the user with this id, from memory or the store.
func (d *directory) user(ctx context.Context, id string) (*entry, error) {
	if e := d.users.id(id); e != nil {
		return e, nil
	}
	mark := d.users.mark()
	u, err := storage.Get[storage.User](ctx, d.store, id)
	if err != nil {
		return nil, err
	}
	return d.keep(mark, u), nil
}

// userByName returns the user with this normalised username.
func (d *directory) userByName(ctx context.Context, key string) (*entry, error) {
	if e := d.users.name(key); e != nil {
		return e, nil
	}
	mark := d.users.mark()
	u, err := storage.Lookup[storage.User](ctx, d.store, "username", key)
	if err != nil {
		return nil, err
	}
	return d.keep(mark, u), nil
}

func (d *directory) keep(mark uint64, u *storage.User) *entry {
	e := &entry{user: u, addresses: prefixes(u.Addresses)}
	d.users.add(mark, e)
	return e
}

// find returns the identity of this kind, or storage.ErrNotFound. A user is named by id or username; an id wins, because no
// username has the shape of one.
func (d *directory) find(ctx context.Context, kind, id string) (*entry, error) {
	switch kind {
	case kindApplication:
		if e := d.application(id); e != nil {
			return e, nil
		}
	case kindUser:
		if isUUID(id) {
			return d.user(ctx, id)
		}
		if key, ok := nameKey(id); ok {
			return d.userByName(ctx, key)
		}
	}
	return nil, storage.ErrNotFound
}

// Subject implements enforce.Directory.
func (r *Room) Subject(ctx context.Context, kind, id string) (*enforce.Subject, error) {
	e, err := r.directory.find(ctx, kind, id)
	if errors.Is(err, storage.ErrNotFound) {
		return &enforce.Subject{Type: kind, ID: id, Facts: policies.Nobody(kind, id)}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("find %s: %w", kind, err)
	}
	return r.directory.subject(e), nil
}

// AddressFact implements enforce.Directory.
func (r *Room) AddressFact(s *enforce.Subject, address netip.Addr) string {
	address = address.Unmap()
	for _, list := range s.Allowed {
		if !address.IsValid() {
			return policies.AddressUnknown
		}
		inside := false
		for _, prefix := range list {
			inside = inside || prefix.Contains(address)
		}
		if !inside {
			return policies.AddressRefused
		}
	}
	return policies.AddressAllowed
}

// Application returns the application as the mirror has it, or storage.ErrNotFound. It never touches the store. The record must
// not be modified.
func (r *Room) Application(id string) (*storage.Application, error) {
	if e := r.directory.application(id); e != nil {
		return e.application, nil
	}
	return nil, storage.ErrNotFound
}

// TenantEnabled says whether there is a tenant of this id and it is enabled.
func (r *Room) TenantEnabled(id string) bool {
	t := standing{r.directory}.tenant(storage.TenantID(id))
	return t != nil && t.Enabled
}

// AudienceDown says whether applications serve an audience and none of them is usable at now. Writ's own are never down: Writ serves them.
func (r *Room) AudienceDown(audience string, now time.Time) bool {
	servers := r.directory.serversOf(audience)
	if len(servers) == 0 || slices.Contains(r.config.Audiences, audience) {
		return false
	}
	return !slices.ContainsFunc(servers, func(e *entry) bool {
		return r.directory.subject(e).Facts.Identity().Usable(now, policies.AddressAllowed)
	})
}

// GlobalEpoch is compared with the one in every token.
func (r *Room) GlobalEpoch() int64 { return r.directory.epoch.Load() }

// Fresh returns nil, or an error that wraps storage.ErrUnavailable when the mirror is older than the bound.
func (r *Room) Fresh() error {
	if r.config.Fresh != nil {
		return r.config.Fresh()
	}
	if age := r.follower().Age(); age > r.config.MaxStaleness {
		return fmt.Errorf("the mirror has not been confirmed for %s: %w", age, storage.ErrUnavailable)
	}
	return nil
}

// Apply implements storage.Subscriber.
func (r *Room) Apply(ctx context.Context, reader storage.Reader, change storage.Change) error {
	for _, item := range change.Items {
		if err := r.directory.apply(ctx, reader, item); err != nil {
			return fmt.Errorf("mirror %s: %w", item.Kind, err)
		}
		if item.Kind == storage.ApplicationKind.Name {
			r.secrets.forget(item.ID)
		}
		r.sets.changed(item)
	}
	return nil
}
