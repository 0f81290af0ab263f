package main

import (
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// TestAFailPointHoldsCommandsUp: those that it names, until it is off, and no others.
func TestAFailPointHoldsCommandsUp(t *testing.T) {
	n := start(t)
	r, w := dial(t, n), dial(t, n)
	point := func(mode string, data ...any) []any {
		return append([]any{"configureFailPoint", "failCommand", "mode", mode, "$db", "admin"}, data...)
	}
	day := d("failCommands", bson.A{"insert", "commitTransaction"}, "blockConnection", true, "blockTimeMS", 24*3600*1000)
	r.ok(point("alwaysOn", "data", day)...)
	r.refused(50, "insert", "users", "documents", bson.A{d("_id", "a")}, "maxTimeMS", 20)
	if _, batch := cursorOf(r.ok("find", "users")); len(batch) != 0 {
		t.Error(batch)
	}
	r.ok("update", "users", "updates", bson.A{d("q", d("_id", "a"), "u", d("n", 1))})
	w.send("insert", "users", "documents", bson.A{d("_id", "b")})
	r.ok(point("off")...)
	if reply := w.read(); reply["ok"] != float64(1) || reply["n"] != int32(1) {
		t.Error(reply)
	}
	r.ok(point("alwaysOn", "data", d("failCommands", bson.A{"insert"}, "blockConnection", true, "blockTimeMS", 1))...)
	r.ok("insert", "users", "documents", bson.A{d("_id", "c")})
	for _, wrong := range [][]any{
		{"configureFailPoint", "somethingElse", "mode", "off", "$db", "admin"},
		point("once", "data", day), point("alwaysOn"),
		point("alwaysOn", "data", d("failCommands", bson.A{"insert"}, "errorCode", 91)),
		point("alwaysOn", "data", d("failCommands", bson.A{"nothing"}, "blockConnection", true, "blockTimeMS", 1)),
	} {
		r.refused(238, wrong...)
	}
	r.refused(13, "configureFailPoint", "failCommand", "mode", "off", "$db", "users")
	r.refused(323, point("off", "apiVersion", "1", "apiStrict", true)...)
}
