package identity

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/writ-authz/writ/storage"
	"github.com/writ-authz/writ/storage/sqlite"
)

// BenchmarkPI04Load fills the mirror from the embedded store, with applications, roles and groups a tenth as many as PI-04 has.
func BenchmarkPI04Load(b *testing.B) {
	store, err := sqlite.Open(b.Context(), sqlite.Config{Dir: b.TempDir(), Now: time.Now})
	if err != nil {
		b.Fatal(err)
	}
	defer store.Close()
	const applications, roles = 10_000, 1_000
	err = store.Txn(b.Context(), func(ctx context.Context, tx storage.Tx) error {
		if err := tx.Advance(ctx, 0); err != nil {
			return err
		}
		for i := range applications {
			a := &storage.Application{
				Meta: storage.Meta{ID: fmt.Sprintf("app_seed%06d", i)}, GrantTypes: []string{"client_credentials"}, IsActive: true,
				Secrets: []storage.Secret{}, Scopes: []string{"shop:read"},
			}
			a.Name, a.Roles = fmt.Sprintf("Application %d", i), []storage.RoleKey{storage.RoleKey(fmt.Sprintf("seed:r%05d", i%roles))}
			if err := tx.Insert(ctx, a); err != nil {
				return err
			}
		}
		for i := range roles {
			r := &storage.Role{Meta: storage.Meta{ID: fmt.Sprintf("seed:r%05d", i)}}
			for n := range 8 {
				r.Grants = append(r.Grants, storage.Grant{Resource: fmt.Sprintf("shop/r%05d", i*8+n), Action: "read"})
			}
			if err := tx.Insert(ctx, r); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		d := newDirectory(store, nil, 1)
		if _, err := d.load(b.Context()); err != nil {
			b.Fatal(err)
		}
		if len(d.applications) != applications || len(d.roles) != roles {
			b.Fatalf("%d applications and %d roles", len(d.applications), len(d.roles))
		}
	}
}
