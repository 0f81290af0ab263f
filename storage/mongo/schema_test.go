package mongo_test

import (
	"context"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/x/mongo/driver/connstring"

	"github.com/writ-authz/writ/storage"
	writmongo "github.com/writ-authz/writ/storage/mongo"
)

// plain is the database of a connection string, without the store in between.
func plain(t *testing.T, uri string) *mongo.Database {
	t.Helper()
	parsed, err := connstring.ParseAndValidate(uri)
	if err != nil {
		t.Fatal(err)
	}
	return connect(t, uri).Database(parsed.Database)
}

// indexed returns the indexes of a collection but the server's own as text, by name.
func indexed(t *testing.T, c *mongo.Collection) map[string]string {
	t.Helper()
	cursor, err := c.Indexes().List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var found []struct {
		Name   string
		Key    bson.D
		Unique bool
	}
	if err := cursor.All(t.Context(), &found); err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, i := range found {
		if i.Name == "_id_" { // the server's own
			continue
		}
		var keys []string
		for _, e := range i.Key {
			keys = append(keys, e.Key)
		}
		all[i.Name] = strings.Join(keys, " ")
		if i.Unique {
			all[i.Name] += " unique"
		}
	}
	return all
}

// TestIndexesAreExactlyTheDeclaredOnes asserts the whole list, kind by kind.
func TestIndexesAreExactlyTheDeclaredOnes(t *testing.T) {
	uri := database(t)
	open(t, writmongo.Config{URI: uri})
	for _, kind := range storage.Kinds() {
		want := map[string]string{"expires": "expires"}
		for _, name := range kind.Unique {
			want["unique_"+name] = "unique." + name + " unique"
		}
		for _, name := range kind.Filters {
			want["filter_"+name] = "filters." + name + " _id"
		}
		if diff := cmp.Diff(want, indexed(t, plain(t, uri).Collection(kind.Name))); diff != "" {
			t.Errorf("%s: %s", kind.Name, diff)
		}
	}
}

func TestIndexesAreAssertedAtEveryStart(t *testing.T) {
	uri := database(t)
	store := open(t, writmongo.Config{URI: uri})
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	users := plain(t, uri).Collection("users")
	replace := func(name string, key bson.D, unique bool) {
		t.Helper()
		_ = users.Indexes().DropOne(t.Context(), name) // it may not be there
		model := mongo.IndexModel{Keys: key, Options: options.Index().SetName(name).SetUnique(unique)}
		if _, err := users.Indexes().CreateOne(t.Context(), model); err != nil {
			t.Fatal(err)
		}
	}
	before := indexed(t, users)

	replace("filter_gone", bson.D{{Key: "filters.gone", Value: 1}}, false)
	replace("by_somebody_else", bson.D{{Key: "body", Value: 1}}, false)
	if err := users.Indexes().DropOne(t.Context(), "filter_role"); err != nil {
		t.Fatal(err)
	}
	open(t, writmongo.Config{URI: uri})
	want := maps.Clone(before)
	want["by_somebody_else"] = "body"
	if diff := cmp.Diff(want, indexed(t, users)); diff != "" {
		t.Errorf("what is missing comes back, what Writ no longer declares goes, and what is not Writ's stays: %s", diff)
	}

	for name, key := range map[string]bson.D{
		"unique_email": {{Key: "unique.email", Value: 1}},                                 // no longer unique
		"filter_role":  {{Key: "filters.role", Value: 1}, {Key: "_id", Value: int64(-1)}}, // another order
	} {
		replace(name, key, false)
		_, err := writmongo.Open(t.Context(), writmongo.Config{URI: uri, Now: time.Now})
		if err == nil || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), "drop it") {
			t.Errorf("%s: got error %v", name, err)
		}
		if err := users.Indexes().DropOne(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
}

// TestANewDeclarationIndexesAnew opens a database whose documents were written under fewer indexes.
func TestANewDeclarationIndexesAnew(t *testing.T) {
	uri := database(t)
	old := plain(t, uri)
	store := open(t, writmongo.Config{URI: uri})
	err := store.Txn(t.Context(), func(ctx context.Context, tx storage.Tx) error {
		if err := tx.Advance(ctx, 0); err != nil {
			return err
		}
		for _, name := range []string{"ada", "bob", "eve"} {
			u := &storage.User{Username: name, UsernameKey: name, Email: name, EmailKey: name}
			u.ID, u.Roles = "id-"+name, []storage.RoleKey{"ops:viewer"}
			if err := tx.Insert(ctx, u); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	// What an older Writ that knew no look-ups would have left: no indexes, no fields, another declaration.
	users := old.Collection("users")
	for _, name := range slices.Sorted(maps.Keys(indexed(t, users))) {
		if err := users.Indexes().DropOne(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	for _, id := range []string{"id-ada", "id-bob", "id-eve"} {
		var doc bson.M
		if err := users.FindOne(t.Context(), bson.D{{Key: "_id", Value: id}}).Decode(&doc); err != nil {
			t.Fatal(err)
		}
		delete(doc, "unique")
		delete(doc, "filters")
		if _, err := users.ReplaceOne(t.Context(), bson.D{{Key: "_id", Value: id}}, doc); err != nil {
			t.Fatal(err)
		}
	}
	declared := bson.D{{Key: "_id", Value: "users"}, {Key: "declared", Value: "[[],[]]"}}
	if _, err := old.Collection("declarations").ReplaceOne(t.Context(), declared[:1], declared); err != nil {
		t.Fatal(err)
	}

	again := open(t, writmongo.Config{URI: uri})
	found, err := storage.Lookup[storage.User](t.Context(), again, "username", "bob")
	if err != nil || found.ID != "id-bob" || found.Version != 1 {
		t.Errorf("got %+v, %v", found, err)
	}
	listed, err := storage.List[storage.User](t.Context(), again, storage.Query{
		Equal: map[string][]string{"role": {"ops:viewer"}}, Limit: 9,
	})
	if err != nil || len(listed) != 3 {
		t.Errorf("got %v, %v", listed, err)
	}
}

func TestANewerSchemaIsRefused(t *testing.T) {
	uri := database(t)
	open(t, writmongo.Config{URI: uri})
	newer := bson.D{{Key: "_id", Value: "(schema)"}, {Key: "version", Value: 99}}
	if _, err := plain(t, uri).Collection("declarations").ReplaceOne(t.Context(), newer[:1], newer); err != nil {
		t.Fatal(err)
	}
	_, err := writmongo.Open(t.Context(), writmongo.Config{URI: uri, Now: time.Now})
	if err == nil || !strings.Contains(err.Error(), "a newer version of Writ") {
		t.Errorf("got %v", err)
	}
}

// TestDocumentsAreReadable shows what an operator finds with a shell of MongoDB: the record as JSON text, its look-up values beside.
func TestDocumentsAreReadable(t *testing.T) {
	uri := database(t)
	store := open(t, writmongo.Config{URI: uri, Now: func() time.Time { return time.Unix(1_700_000_000, 0) }})
	session := &storage.Session{Subject: "u", Client: "app_1", ExpiresAt: time.Unix(1_800_000_000, 0)}
	session.ID = "sid"
	if err := store.Insert(t.Context(), session); err != nil {
		t.Fatal(err)
	}
	raw, err := plain(t, uri).Collection("sessions").FindOne(t.Context(), bson.D{{Key: "_id", Value: "sid"}}).Raw()
	if err != nil {
		t.Fatal(err)
	}
	if body := raw.Lookup("body").StringValue(); !strings.Contains(body, `"subject":"u"`) {
		t.Errorf("the body is %s", body)
	}
	if got := raw.Lookup("filters", "client", "0").StringValue(); got != "app_1" {
		t.Errorf("filters.client is %q", got)
	}
	if got := raw.Lookup("expires").Time(); !got.Equal(session.ExpiresAt) {
		t.Errorf("expires is %v", got)
	}
}

// TestOpenDoesNotWaitForTheTransactionOfADeadNode opens while a change is under way that nobody will end.
func TestOpenDoesNotWaitForTheTransactionOfADeadNode(t *testing.T) {
	uri := database(t)
	open(t, writmongo.Config{URI: uri})
	authority := plain(t, uri).Collection("authority")
	session, err := authority.Database().Client().StartSession()
	if err != nil {
		t.Fatal(err)
	}
	defer session.EndSession(context.Background())
	if err := session.StartTransaction(); err != nil {
		t.Fatal(err)
	}
	under := mongo.NewSessionContext(t.Context(), session)
	change := bson.D{{Key: "$set", Value: bson.D{{Key: "sequence", Value: int64(7)}}}}
	if _, err := authority.UpdateOne(under, bson.D{{Key: "_id", Value: "authority"}}, change); err != nil {
		t.Fatal(err)
	}
	again := open(t, writmongo.Config{URI: uri})
	if sequence, err := again.Sequence(t.Context()); err != nil || sequence != 0 {
		t.Errorf("the sequence is %d (%v), want 0", sequence, err)
	}
	if err := session.AbortTransaction(t.Context()); err != nil {
		t.Error(err)
	}
}
