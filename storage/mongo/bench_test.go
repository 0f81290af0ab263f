package mongo_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/writ-authz/writ/storage"
	writmongo "github.com/writ-authz/writ/storage/mongo"
)

// The benchmarks run against whatever server the tests run against; figures of the stand-in say nothing of MongoDB.

func BenchmarkGet(b *testing.B) {
	store := open(b, writmongo.Config{URI: database(b)})
	fill(b, store, 1000)
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		if _, err := storage.Get[storage.Session](b.Context(), store, fmt.Sprint(n%1000)); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkUpdate(b *testing.B) {
	store := open(b, writmongo.Config{URI: database(b)})
	fill(b, store, 1)
	session, err := storage.Get[storage.Session](b.Context(), store, "0")
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := store.Update(b.Context(), session); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAuthorityTransaction(b *testing.B) {
	store := open(b, writmongo.Config{URI: database(b)})
	b.ReportAllocs()
	for n := int64(0); b.Loop(); n++ {
		if err := addTenant(b.Context(), store, fmt.Sprint(n), n); err != nil {
			b.Fatal(err)
		}
	}
}

func fill(b *testing.B, store storage.Store, count int) {
	b.Helper()
	for n := range count {
		session := &storage.Session{Subject: "u", Client: "app_1", ExpiresAt: time.Now().Add(time.Hour)}
		session.ID = fmt.Sprint(n)
		if err := store.Insert(context.Background(), session); err != nil {
			b.Fatal(err)
		}
	}
}
