package main

import (
	"context"
	"errors"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

type ctxT = context.Context

func asError(err error, target any) bool { return errors.As(err, target) }

func TestSmoke(t *testing.T) {
	users := fresh(t, "--data", t.TempDir())
	ctx := t.Context()
	must[*mongo.InsertOneResult](t)(users.InsertOne(ctx, d("_id", "a", "version", int64(1), "unique", d("username", "=ada"))))
	must[string](t)(users.Indexes().CreateOne(ctx, mongo.IndexModel{Keys: d("unique.username", 1), Options: options.Index().SetName("u").SetUnique(true)}))
	_, err := users.InsertOne(ctx, d("_id", "b", "version", int64(1), "unique", d("username", "=ada")))
	wantCode(t, err, 11000)
	res := must[*mongo.UpdateResult](t)(users.ReplaceOne(ctx, d("_id", "a", "version", int64(1)), d("_id", "a", "version", int64(2), "unique", d("username", "=ada"))))
	if res.MatchedCount != 1 || res.ModifiedCount != 1 {
		t.Fatal(res)
	}
	var got bson.D
	if err := users.FindOne(ctx, d("unique.username", "=ada")).Decode(&got); err != nil {
		t.Fatal(err)
	}
	t.Log(got)
	session := must[*mongo.Session](t)(users.Database().Client().StartSession())
	_, err = session.WithTransaction(ctx, func(ctx2 ctxT) (any, error) {
		if _, err := users.InsertOne(ctx2, d("_id", "c", "unique", d("username", "=c"))); err != nil {
			return nil, err
		}
		if n := users.FindOne(ctx, d("_id", "c")).Err(); !errors.Is(n, mongo.ErrNoDocuments) {
			t.Error(n)
		}
		return users.DeleteOne(ctx2, d("_id", "a"))
	})
	if err != nil {
		t.Fatal(err)
	}
	cur := must[*mongo.Cursor](t)(users.Find(ctx, d(), options.Find().SetSort(d("_id", 1))))
	var all []bson.D
	if err := cur.All(ctx, &all); err != nil {
		t.Fatal(err)
	}
	t.Log(all)
	if len(all) != 1 {
		t.Fatal(all)
	}
}
