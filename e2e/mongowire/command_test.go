package main

import (
	"errors"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/writeconcern"
)

func TestStableAPI(t *testing.T) {
	r := dial(t, start(t))
	strict := d("apiVersion", "1", "apiStrict", true, "apiDeprecationErrors", true)
	r.ok("buildInfo", 1)
	r.api = strict
	r.ok("ping", 1)
	r.ok("hello", 1)
	for _, name := range []string{"buildInfo", "isMaster", "distinct", "mapReduce", "serverStatus", "getParameter"} {
		if reply := r.refused(323, name, 1); reply["codeName"] != "APIStrictError" {
			t.Error(reply)
		}
	}
	r.refused(238, "aggregate", "users", "pipeline", bson.A{}, "cursor", d())
	r.refused(238, "noSuchCommand", 1)
	r.api = d("apiVersion", "1")
	r.ok("buildInfo", 1)
	r.refused(238, "distinct", "users", "key", "a")
	r.api = d("apiVersion", "2")
	r.refused(322, "ping", 1)
	r.api = d("apiStrict", true)
	r.refused(4886600, "ping", 1)
}

func TestEverythingUnknownIsRefusedByName(t *testing.T) {
	r := dial(t, start(t))
	r.ok("insert", "users", "documents", bson.A{d("_id", "a", "n", 1)})
	change := func(u any, more ...any) []any {
		return []any{"update", "users", "updates", bson.A{append(d("q", d(), "u", u), d(more...)...)}}
	}
	where := func(filter bson.D) []any { return []any{"find", "users", "filter", filter} }
	index := func(key bson.D, more ...any) []any {
		return []any{"createIndexes", "users", "indexes", bson.A{append(d("key", key, "name", "x"), d(more...)...)}}
	}
	for _, c := range []struct {
		names   string // in the message
		command []any
	}{
		{"aggregate", []any{"aggregate", "users", "pipeline", bson.A{d("$lookup", d())}, "cursor", d()}},
		{"mapReduce", []any{"mapReduce", "users"}},
		{"distinct", []any{"distinct", "users", "key", "a"}},
		{"count", []any{"count", "users"}},
		{"explain", []any{"explain", d("find", "users")}},
		{"collMod", []any{"collMod", "users"}},
		{"listDatabases", []any{"listDatabases", 1}},
		{"bulkWrite", []any{"bulkWrite", 1}},
		{"refreshSessions", []any{"refreshSessions", bson.A{}}},
		{"renameCollection", []any{"renameCollection", "a.b"}},
		{"saslContinue", []any{"saslContinue", 1}},
		{"authentication", []any{"saslStart", 1, "mechanism", "SCRAM-SHA-256", "payload", bson.Binary{}}},

		{"$where", where(d("$where", "true"))},
		{"$expr", where(d("$expr", d("$eq", bson.A{1, 1})))},
		{"$text", where(d("$text", d("$search", "a")))},
		{"$nor", where(d("$nor", bson.A{d("a", 1)}))},
		{"$jsonSchema", where(d("$jsonSchema", d()))},
		{"$comment", where(d("$comment", "a"))},
		{"$where", where(d("$and", bson.A{d("$or", bson.A{d("$where", "true")})}))},
		{"$regex", where(d("a", d("$regex", "a")))},
		{"regular expressions", where(d("a", bson.Regex{Pattern: "a"}))},
		{"regular expressions", where(d("a", d("$in", bson.A{bson.Regex{Pattern: "a"}})))},
		{"$elemMatch", where(d("a", d("$elemMatch", d("b", 1))))},
		{"$not", where(d("a", d("$not", d("$gt", 1))))},
		{"$size", where(d("a", d("$size", 1)))},
		{"$all", where(d("a", d("$all", bson.A{1})))},
		{"$type", where(d("a", d("$type", "string")))},
		{"$mod", where(d("a", d("$mod", bson.A{1, 1})))},
		{"$near", where(d("a", d("$near", bson.A{1, 1})))},
		{"$exists", where(d("a", d("$exists", 1)))},

		{"hint", []any{"find", "users", "hint", "_id_"}},
		{"collation", []any{"find", "users", "collation", d("locale", "en")}},
		{"tailable", []any{"find", "users", "tailable", true}},
		{"allowDiskUse", []any{"find", "users", "allowDiskUse", true}},
		{"let", []any{"find", "users", "let", d()}},
		{"noSuchField", []any{"ping", 1, "noSuchField", 1}},
		{"a.b", []any{"find", "users", "projection", d("a.b", 1)}},
		{"$slice", []any{"find", "users", "projection", d("a", d("$slice", 1))}},
		{"includes and excludes", []any{"find", "users", "projection", d("a", 1, "b", 0)}},
		{"$meta", []any{"find", "users", "sort", d("a", d("$meta", "textScore"))}},
		{"$natural", []any{"find", "users", "sort", d("$natural", 1)}},
		{"linearizable", []any{"find", "users", "readConcern", d("level", "linearizable")}},
		{"afterClusterTime", []any{"find", "users", "readConcern", d("level", "majority", "afterClusterTime", bson.Timestamp{T: 1})}},
		{"maxStalenessSeconds", []any{"find", "users", "$readPreference", d("mode", "primary", "maxStalenessSeconds", 90)}},
		{"preference secondary", []any{"find", "users", "$readPreference", d("mode", "secondary")}},

		{"bypassDocumentValidation", []any{"insert", "users", "documents", bson.A{d("_id", 1)}, "bypassDocumentValidation", true}},
		{"unacknowledged", []any{"insert", "users", "documents", bson.A{d("_id", 1)}, "writeConcern", d("w", 0)}},
		{"write concern tag", []any{"insert", "users", "documents", bson.A{d("_id", 1)}, "writeConcern", d("w", "tag")}},
		{"fsync", []any{"insert", "users", "documents", bson.A{d("_id", 1)}, "writeConcern", d("w", 1, "fsync", true)}},
		{"$x", []any{"insert", "users", "documents", bson.A{d("_id", 1, "$x", 1)}}},
		{"readConcern", []any{"insert", "users", "documents", bson.A{d("_id", 1)}, "readConcern", d("level", "local")}},
		{"$push", change(d("$push", d("a", 1)))},
		{"$currentDate", change(d("$currentDate", d("a", true)))},
		{"$rename", change(d("$set", d("b", 1), "$rename", d("a", "b")))},
		{"a.$", change(d("$set", d("a.$", 1)))},
		{"a.$[]", change(d("$set", d("a.$[]", 1)))},
		{"pipeline", change(bson.A{d("$set", d("a", 1))})},
		{"upsert", change(d("a", 1), "upsert", true)},
		{"multi", change(d("$set", d("a", 1)), "multi", true)},
		{"arrayFilters", change(d("a", 1), "arrayFilters", bson.A{})},
		{"hint", change(d("a", 1), "hint", "_id_")},
		{"collation", []any{"delete", "users", "deletes", bson.A{d("q", d(), "limit", 1, "collation", d("locale", "en"))}}},
		{"upsert", []any{"findAndModify", "users", "query", d(), "update", d("a", 1), "upsert", true}},
		{"let", []any{"findAndModify", "users", "query", d(), "update", d("a", 1), "let", d()}},

		{"sparse", index(d("a", 1), "sparse", true)},
		{"expireAfterSeconds", index(d("a", 1), "expireAfterSeconds", 0)},
		{"partialFilterExpression", index(d("a", 1), "partialFilterExpression", d())},
		{"collation", index(d("a", 1), "collation", d("locale", "en"))},
		{"text", index(d("a", "text"))},
		{"$**", index(d("$**", 1))},
		{"version 1", index(d("a", 1), "v", 1)},
		{"commitQuorum", append(index(d("a", 1)), "commitQuorum", 1)},
		{"capped", []any{"create", "c", "capped", true, "size", 1}},
		{"validator", []any{"create", "c", "validator", d()}},
		{"dropIndexes by", []any{"dropIndexes", "users", "index", d("a", 1)}},
		{"uid", []any{"ping", 1, "lsid", append(lsid(1), bson.E{Key: "uid", Value: "a"})}},
	} {
		reply := r.refused(238, c.command...)
		if message, _ := reply["errmsg"].(string); !strings.Contains(message, c.names) {
			t.Errorf("%v: the message %q does not name %s", c.command, message, c.names)
		}
	}
	// Nothing of it has had an effect.
	reply := r.ok("find", "users")
	if batch := reply["cursor"].(bson.D)[0].Value.(bson.A); len(batch) != 1 || len(batch[0].(bson.D)) != 2 {
		t.Error(batch)
	}
}

func TestMalformedCommands(t *testing.T) {
	r := dial(t, start(t))
	for _, c := range []struct {
		code    int32
		command []any
	}{
		{73, []any{"find", ""}},
		{73, []any{"find", "a$b"}},
		{73, []any{"insert", "system.users", "documents", bson.A{d()}}},
		{73, []any{"find", "users", "$db", "a.b"}},
		{14, []any{"find", 1}},
		{14, []any{"find", "users", "filter", "a"}},
		{14, []any{"find", "users", "limit", "a"}},
		{2, []any{"find", "users", "limit", -1}},
		{2, []any{"find", "users", "filter", d("a", d("$gt", 1, "b", 2))}},
		{2, []any{"find", "users", "filter", d("$or", bson.A{})}},
		{2, []any{"find", "users", "filter", d("a", d("$in", 1))}},
		{72, []any{"insert", "users", "documents", bson.A{}}},
		{14, []any{"insert", "users", "documents", bson.A{1}}},
		{100, []any{"insert", "users", "documents", bson.A{d("a", 1)}, "writeConcern", d("w", 2)}},
		{9, []any{"update", "users", "updates", bson.A{d("q", d())}}},
		{9, []any{"delete", "users", "deletes", bson.A{d("q", d(), "limit", 2)}}},
		{2, []any{"delete", "users", "deletes", bson.A{d("q", d())}}},
		{13, in(1, 1, "commitTransaction", 1)},
		{72, []any{"find", "users", "lsid", lsid(1), "txnNumber", int64(1)}},
		{72, []any{"find", "users", "lsid", lsid(1), "startTransaction", true}},
		{72, []any{"insert", "users", "documents", bson.A{d("a", 1)}, "txnNumber", int64(1)}},
		{72, []any{"commitTransaction", 1, "$db", "admin", "lsid", lsid(1), "txnNumber", int64(1)}},
		{14, []any{"ping", 1, "lsid", d("id", "a")}},
	} {
		r.refused(c.code, c.command...)
	}
}

func TestDeny(t *testing.T) {
	n := start(t, "--deny", "createIndexes,dropDatabase")
	users := connect(t, n).Database("db").Collection("users")
	_, err := users.Indexes().CreateOne(t.Context(), mongo.IndexModel{Keys: d("a", 1)})
	wantCode(t, err, 13)
	wantCode(t, users.Database().Drop(t.Context()), 13)
	must[*mongo.InsertOneResult](t)(users.InsertOne(t.Context(), d("a", 1)))
	var out output
	if code := run(t.Context(), []string{"--deny", "creatIndexes"}, &out, &out); code != 1 || !strings.Contains(out.String(), "creatIndexes") {
		t.Errorf("a misspelt name: code %d, %s", code, out.String())
	}
}

func TestAuthFail(t *testing.T) {
	n := start(t, "--auth-fail")
	client := connect(t, n, func(o *options.ClientOptions) {
		o.SetAuth(options.Credential{Username: "a", Password: "b"}).SetServerSelectionTimeout(5 * time.Second)
	})
	err := client.Ping(t.Context(), nil)
	var command mongo.CommandError
	if !errors.As(err, &command) || command.Code != 18 {
		t.Errorf("got %v", err)
	}
}

func TestStandalone(t *testing.T) {
	n := start(t, "--standalone")
	r := dial(t, n)
	if reply := r.ok("hello", 1); reply["setName"] != nil || reply["hosts"] != nil {
		t.Error(reply)
	}
	r.refused(20, append(in(1, 1, "find", "users"), "startTransaction", true)...)
	r.refused(20, "insert", "users", "documents", bson.A{d("a", 1)}, "lsid", lsid(1), "txnNumber", int64(1))
	r.refused(20, "find", "users", "readConcern", d("level", "snapshot"))
	client, err := mongo.Connect(options.Client().ApplyURI("mongodb://" + n.address).SetWriteConcern(writeconcern.Majority()))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Disconnect(t.Context()) }()
	must[*mongo.InsertOneResult](t)(client.Database("db").Collection("users").InsertOne(t.Context(), d("_id", "a")))
}

func TestWireVersionTooOld(t *testing.T) {
	n := start(t, "--wire-version", "5")
	client := connect(t, n, func(o *options.ClientOptions) { o.SetServerSelectionTimeout(5 * time.Second) })
	if err := client.Ping(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "wire version 5") {
		t.Errorf("got %v", err)
	}
}

func TestWrongSetName(t *testing.T) {
	n := start(t, "--set-name", "other")
	client := connect(t, n, func(o *options.ClientOptions) { o.SetServerSelectionTimeout(200 * time.Millisecond) })
	if err := client.Ping(t.Context(), nil); err == nil {
		t.Error("a client of another replica set was served")
	}
}

func TestPingCommand(t *testing.T) {
	n := start(t)
	var out output
	if code := run(t.Context(), []string{"ping", "--address", n.address}, &out, &out); code != 0 {
		t.Errorf("code %d: %s", code, out.String())
	}
	n.stop()
	if code := run(t.Context(), []string{"ping", "--address", n.address}, &out, &out); code != 1 {
		t.Errorf("code %d of a server that has ended", code)
	}
}

func TestItSaysWhatItIs(t *testing.T) {
	n := start(t)
	poll(t, "the notice at start", func() bool {
		return strings.Contains(n.output.String(), "no database") && strings.Contains(n.output.String(), "memory only")
	})
	var out output
	if code := run(t.Context(), []string{"--help"}, &out, &out); code != 0 || !strings.Contains(out.String(), "no database") {
		t.Errorf("code %d: %s", code, out.String())
	}
	if code := run(t.Context(), []string{"--set-name", ""}, &out, &out); code != 1 {
		t.Errorf("code %d of an empty set name", code)
	}
	if code := run(t.Context(), []string{"--no-such-flag"}, &out, &out); code != 2 {
		t.Errorf("code %d of an unknown flag", code)
	}
}

func TestTermination(t *testing.T) {
	n := startProcess(t, "--data", t.TempDir())
	users := connect(t, n).Database("db").Collection("users")
	must[*mongo.InsertOneResult](t)(users.InsertOne(t.Context(), d("_id", "a")))
	// A command that waits must not keep the server.
	r := dial(t, n)
	r.ok(append(in(1, 1, "insert", "users", "documents", bson.A{d("_id", "b")}), "startTransaction", true)...)
	waiting := dial(t, n)
	waiting.send("insert", "users", "documents", bson.A{d("_id", "b")})
	n.stop()
	if reply := waiting.read(); reply != nil && reply["ok"] == float64(1) {
		t.Errorf("acknowledged %v", reply)
	}
}
