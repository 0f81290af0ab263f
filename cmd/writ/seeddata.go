package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/writ-authz/writ/storage"
)

// seedProfile says how large a directory is made.
type seedProfile struct {
	name                                        string
	users, applications, roles, groups, tenants int
}

// seedProfiles are the sizes; all are of one shape, so that what differs between two of them is their size alone.
func seedProfiles() []seedProfile {
	return []seedProfile{
		{name: "demo", users: 200, applications: 20, roles: 20, groups: 10, tenants: 2},
		{name: "1k", users: 1_000, applications: 100, roles: 50, groups: 50, tenants: 4},
		{name: "10k", users: 10_000, applications: 1_000, roles: 100, groups: 500, tenants: 10},
		{name: "100k", users: 100_000, applications: 10_000, roles: 1_000, groups: 5_000, tenants: 20},
		{name: "large", users: 1_000_000, applications: 100_000, roles: 10_000, groups: 50_000, tenants: 50},
	}
}

// What a directory is like: each role gives so many grants, each user and application has so many roles, and every so many-eth user is
// in a tenant, a group, and has the role seed:common. Roles and groups are those of a department, whose people come one after the other:
// rows that are spread over a whole index make a store write a page for each.
const (
	seedGrants     = 20
	seedRolesEach  = 3
	seedTogether   = 50 // roles of a department
	seedTenantOf   = 4
	seedGroupOf    = 2
	seedCommonOf   = 10
	seedCommonRole = storage.RoleKey("seed:common")
	seedBegan      = 1_767_225_600_000 // 2026-01-01, in Unix milliseconds: when the first record was made
)

// seedKind makes the records of one kind; record i is a function of i and the seed alone.
type seedKind struct {
	name   string
	count  int
	record func(i int) storage.Record
}

// seeding makes the records of a profile.
type seeding struct {
	seedProfile
	seed uint64
}

// kinds are the records in the order in which they are written: what is named before what names it.
func (s seeding) kinds() []seedKind {
	return []seedKind{
		{"tenants", s.tenants, func(i int) storage.Record {
			return &storage.Tenant{Meta: s.meta(string(seedTenant(i)), i), Name: fmt.Sprintf("Tenant %d", i), Enabled: true}
		}},
		{"roles", s.roles, s.role},
		{"groups", s.groups, s.group},
		{"applications", s.applications, s.application},
		{"users", s.users, s.user},
	}
}

// chance is the random source of one record.
func (s seeding) chance(kind, i int) *rand.Rand {
	return rand.New(rand.NewPCG(s.seed, uint64(kind)<<32|uint64(i))) //nolint:gosec // the same data each time is the purpose
}

// meta dates a record a millisecond behind the one before it.
func (s seeding) meta(id string, i int) storage.Meta {
	at := time.UnixMilli(seedBegan + int64(i)).UTC()
	return storage.Meta{ID: id, CreatedAt: at, UpdatedAt: at}
}

func seedTenant(i int) storage.TenantID { return storage.TenantID(fmt.Sprintf("tenant-%03d", i)) }

// seedRoleKey is the key of a role; the first is the one that many have.
func seedRoleKey(i int) storage.RoleKey {
	if i == 0 {
		return seedCommonRole
	}
	return storage.RoleKey(fmt.Sprintf("seed:r%05d", i))
}

func seedGroupID(i int) storage.GroupID { return storage.GroupID(fmt.Sprintf("group-%05d", i)) }

// seedUserID is a UUIDv7 of the time at which meta says that the user was made.
func seedUserID(i int) string {
	at := uint64(seedBegan + i)
	return fmt.Sprintf("%08x-%04x-7000-8000-%012x", at>>16, at&0xffff, i)
}

func (s seeding) role(i int) storage.Record {
	r := &storage.Role{
		Meta: s.meta(string(seedRoleKey(i)), i), Description: fmt.Sprintf("Role %d", i), Inherits: []storage.RoleKey{},
	}
	for g := range seedGrants {
		r.Grants = append(r.Grants, storage.Grant{Resource: fmt.Sprintf("shop/r%05d/g%02d", i, g), Action: "read"})
	}
	return r
}

// department is the range of things, of which there are n, that are of the department of member i of count.
func (s seeding) department(i, count, n int) (first, size int) {
	departments := max(1, s.roles/seedTogether)
	d := i * departments / count
	first = d * n / departments
	return first, (d+1)*n/departments - first
}

// someRoles are n different roles of the department of member i of count, none of them the common one.
func (s seeding) someRoles(chance *rand.Rand, n, i, count int) []storage.RoleKey {
	first, size := s.department(i, count, s.roles)
	var some []storage.RoleKey
	for len(some) < n {
		if key := seedRoleKey(first + chance.IntN(size)); key != seedCommonRole && !slices.Contains(some, key) {
			some = append(some, key)
		}
	}
	return some
}

func (s seeding) group(i int) storage.Record {
	return &storage.Group{
		Meta: s.meta(string(seedGroupID(i)), i), Name: fmt.Sprintf("Group %d", i), NameKey: fmt.Sprintf("group %d", i),
		Roles: s.someRoles(s.chance(1, i), 1, i, s.groups),
	}
}

// identity is what users and applications have in common. Of the names made here, the lower case is the key that searches look for.
func (s seeding) identity(name string, i, count int, chance *rand.Rand) storage.Identity {
	identity := storage.Identity{
		Name: name, NameKey: strings.ToLower(name), Roles: s.someRoles(chance, seedRolesEach, i, count), Groups: []storage.GroupID{}, Grants: []storage.Grant{},
	}
	if i%seedTenantOf == 0 {
		identity.Tenant = seedTenant(chance.IntN(s.tenants))
	}
	if i%seedGroupOf == 0 {
		first, size := s.department(i, count, s.groups)
		identity.Groups = append(identity.Groups, seedGroupID(first+chance.IntN(size)))
	}
	return identity
}

// application makes one without a secret: nothing proves itself with seeded data.
func (s seeding) application(i int) storage.Record {
	a := &storage.Application{
		Meta: s.meta(fmt.Sprintf("app_seed%06d", i), i), Identity: s.identity(fmt.Sprintf("Application %d", i), i, s.applications, s.chance(2, i)),
		GrantTypes: []string{"client_credentials"}, IsActive: true, Secrets: []storage.Secret{},
	}
	a.Scopes = []string{fmt.Sprintf("shop/r%05d:read", i%s.roles)}
	return a
}

// user makes one without a password: nobody logs in with seeded data.
func (s seeding) user(i int) storage.Record {
	name := fmt.Sprintf("user%07d", i)
	u := &storage.User{
		Meta: s.meta(seedUserID(i), i), Identity: s.identity(fmt.Sprintf("User %d", i), i, s.users, s.chance(3, i)),
		Username: name, UsernameKey: name, Email: name + "@example.com", EmailKey: name + "@example.com",
	}
	if i%seedCommonOf == 0 {
		u.Roles = append(u.Roles, seedCommonRole)
	}
	return u
}
