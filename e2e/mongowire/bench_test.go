package main

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	bson1 "go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// user is a document as Writ's store writes them.
func user(i int) bson.D {
	return d(
		"_id", fmt.Sprintf("%08d", i), "version", int64(1), "expires", bson.DateTime(253402214400000), "unique", d("username", fmt.Sprint("=u", i)),
		"filters", d("role", bson.A{fmt.Sprint("r", i%50), "all"}), "body", fmt.Sprintf(`{"id":"%d","text":%0500d}`, i, i),
	)
}

const population = 10_000

func benchmarked(b *testing.B) *mongo.Collection {
	b.Helper()
	n := startProcess(b, "--data", b.TempDir())
	client, err := mongo.Connect(options.Client().ApplyURI("mongodb://" + n.address + "/?replicaSet=mongowire").SetMaxPoolSize(64))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = client.Disconnect(context.Background()) })
	users := client.Database("db").Collection("users")
	_, err = users.Indexes().CreateMany(b.Context(), []mongo.IndexModel{
		{Keys: d("unique.username", 1), Options: options.Index().SetName("username").SetUnique(true)},
		{Keys: d("filters.role", 1, "_id", 1), Options: options.Index().SetName("role")},
		{Keys: d("expires", 1), Options: options.Index().SetName("expires")},
	})
	if err != nil {
		b.Fatal(err)
	}
	docs := make([]bson.D, population)
	for i := range docs {
		docs[i] = user(i)
	}
	if _, err := users.InsertMany(b.Context(), docs); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.ResetTimer()
	b.SetParallelism(16)
	return users
}

func report(b *testing.B) { b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "ops/s") }

// BenchmarkFindByID and its like include the driver, which costs more than the server.
func BenchmarkFindByID(b *testing.B) {
	users := benchmarked(b)
	var next atomic.Int64
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := users.FindOne(b.Context(), d("_id", fmt.Sprintf("%08d", next.Add(1)%population))).Err(); err != nil {
				b.Error(err)
			}
		}
	})
	report(b)
}

func BenchmarkFindByUniqueKey(b *testing.B) {
	users := benchmarked(b)
	var next atomic.Int64
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := users.FindOne(b.Context(), d("unique.username", fmt.Sprint("=u", next.Add(1)%population))).Err(); err != nil {
				b.Error(err)
			}
		}
	})
	report(b)
}

func BenchmarkPageByRole(b *testing.B) {
	users := benchmarked(b)
	page := options.Find().SetSort(d("_id", 1)).SetLimit(50)
	var next atomic.Int64
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			i := next.Add(1) % 50
			cursor, err := users.Find(b.Context(), d("filters.role", fmt.Sprint("r", i), "_id", d("$gt", fmt.Sprintf("%08d", i*100))), page)
			if err != nil {
				b.Error(err)
			} else if cursor.RemainingBatchLength() != 50 {
				b.Error(cursor.RemainingBatchLength())
			}
		}
	})
	report(b)
}

func BenchmarkReplace(b *testing.B) {
	users := benchmarked(b)
	var next atomic.Int64
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			doc := append(user(int(next.Add(1)%population)), bson.E{Key: "n", Value: next.Load()})
			if _, err := users.ReplaceOne(b.Context(), doc[:1], doc); err != nil {
				b.Error(err)
			}
		}
	})
	report(b)
}

func BenchmarkInsert(b *testing.B) {
	users := benchmarked(b)
	var next atomic.Int64
	next.Store(population)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := users.InsertOne(b.Context(), user(int(next.Add(1)))); err != nil {
				b.Error(err)
			}
		}
	})
	report(b)
}

// BenchmarkEngineFindByID is the server's part alone, without wire and driver.
func BenchmarkEngineFindByID(b *testing.B) {
	c := newCollection("db.c", 1)
	for i := range population {
		content, err := bson.Marshal(user(i))
		if err != nil {
			b.Fatal(err)
		}
		doc, err := (&decoder{values: maxValues}).document(content, 1)
		if err != nil {
			b.Fatal(err)
		}
		if err := c.replace(nil, newDocument(doc)); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		found, err := find(c, query{filter: bson1.D{{Key: "_id", Value: fmt.Sprintf("%08d", i%population)}}, limit: 1})
		if err != nil || len(found) != 1 {
			b.Fatal(found, err)
		}
	}
}
