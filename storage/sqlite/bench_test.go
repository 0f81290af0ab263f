package sqlite_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/writ-authz/writ/storage"
	"github.com/writ-authz/writ/storage/sqlite"
)

const benchUsers = 20_000

func BenchmarkGet(b *testing.B) {
	store := filled(b)
	n := 0
	for b.Loop() {
		n++
		if _, err := storage.Get[storage.User](b.Context(), store, id(n*7919%benchUsers)); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkGetParallel(b *testing.B) {
	store := filled(b)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for n := 0; pb.Next(); n++ {
			if _, err := storage.Get[storage.User](b.Context(), store, id(n*7919%benchUsers)); err != nil {
				b.Error(err)
			}
		}
	})
}

func BenchmarkLookup(b *testing.B) {
	store := filled(b)
	n := 0
	for b.Loop() {
		n++
		if _, err := storage.Lookup[storage.User](b.Context(), store, "username", "user "+id(n*7919%benchUsers)); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkListPageOf50(b *testing.B) {
	store := filled(b)
	for name, q := range map[string]storage.Query{
		"all": {}, "role": {Equal: map[string][]string{"role": {"ops:viewer"}}},
		"prefix": {Prefix: map[string]string{"role": "ops:"}},
		"rare":   {Equal: map[string][]string{"role": {"ops:rare"}, "suspended": {"false"}}},
	} {
		b.Run(name, func(b *testing.B) {
			q.Limit = 50
			n := 0
			for b.Loop() {
				n++
				q.After = id(n * 7919 % benchUsers)
				if _, err := storage.List[storage.User](b.Context(), store, q); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkInsert(b *testing.B) {
	store := filled(b)
	n := 0
	for b.Loop() {
		n++
		if err := store.Insert(b.Context(), session(n)); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkInsertParallel(b *testing.B) {
	store := filled(b)
	next := make(chan int)
	go func() {
		for n := 0; ; n++ {
			select {
			case next <- n:
			case <-b.Context().Done():
				return
			}
		}
	}()
	b.SetParallelism(8)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := store.Insert(b.Context(), session(<-next)); err != nil {
				b.Error(err)
			}
		}
	})
}

func BenchmarkUpdate(b *testing.B) {
	store := filled(b)
	s := session(0)
	if err := store.Insert(b.Context(), s); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if err := store.Update(b.Context(), s); err != nil {
			b.Fatal(err)
		}
	}
}

func filled(b *testing.B) storage.Store {
	b.Helper()
	store := open(b, sqlite.Config{Dir: b.TempDir(), Now: time.Now})
	if err := store.Txn(b.Context(), func(ctx context.Context, tx storage.Tx) error {
		if err := tx.Advance(ctx, 0); err != nil {
			return err
		}
		for n := range benchUsers {
			if err := tx.Insert(ctx, user(n)); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	return store
}

func id(n int) string { return fmt.Sprintf("01890a5d-ac96-774b-bcce-%012d", n) }

func user(n int) *storage.User {
	u := &storage.User{
		Meta: storage.Meta{ID: id(n)}, Username: "User " + id(n), UsernameKey: "user " + id(n),
		Email: id(n) + "@example.com", EmailKey: id(n) + "@example.com",
		Password: storage.Password{Verifier: "$argon2id$v=19$m=19456,t=2,p=1$" + strings.Repeat("x", 66)},
	}
	u.Name, u.Tenant = "Ada Lovelace", "acme"
	u.Groups, u.Roles = []storage.GroupID{"engineers"}, []storage.RoleKey{"ops:viewer"}
	if n%1000 == 0 {
		u.Roles = append(u.Roles, "ops:rare")
	}
	u.Grants = []storage.Grant{{Tenant: "acme", Resource: "ledger/accounts", Action: "read"}}
	return u
}

func session(n int) *storage.Session {
	return &storage.Session{
		Meta: storage.Meta{ID: id(n)}, Subject: id(n % 100), Client: "app_portal", IP: "192.0.2.1", UserAgent: "curl/8",
		ExpiresAt: time.Now().Add(time.Hour),
	}
}
