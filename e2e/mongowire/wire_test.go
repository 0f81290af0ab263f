package main

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"io"
	"math"
	"runtime"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	bson1 "go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/bson/primitive"
	"go.mongodb.org/mongo-driver/v2/bson"
)

func TestLegacyHandshake(t *testing.T) {
	r := dial(t, start(t))
	query := func(collection string, command bson.D) []byte {
		body := append(make([]byte, 4), collection+"\x00"...)
		body = append(body, 0, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF)
		return packet(2004, append(body, section(t, command)[1:]...))
	}
	for _, name := range []string{"isMaster", "ismaster", "hello"} {
		r.write(query("admin.$cmd", d(name, 1, "helloOk", true)))
		reply := r.read()
		if reply["ok"] != float64(1) || reply["helloOk"] != true || reply["setName"] != "mongowire" {
			t.Errorf("%s: %v", name, reply)
		}
	}
	r.write(query("admin.$cmd", d("ping", 1)))
	if reply := r.read(); reply["code"] != int32(352) {
		t.Errorf("ping by OP_QUERY: %v", reply)
	}
	r.write(query("db.users", d("_id", 1)))
	if reply := r.read(); reply["code"] != int32(352) {
		t.Errorf("a query by OP_QUERY: %v", reply)
	}
}

func TestHello(t *testing.T) {
	n := start(t, "--set-name", "rs9", "--advertise", "example:27017", "--wire-version", "17")
	reply := dial(t, n).ok("hello", 1, "$db", "admin")
	for key, want := range map[string]any{
		"setName": "rs9", "me": "example:27017", "primary": "example:27017", "hosts": bson.A{"example:27017"}, "isWritablePrimary": true,
		"secondary": false, "maxWireVersion": int32(17), "logicalSessionTimeoutMinutes": int32(30), "maxBsonObjectSize": int32(16 << 20),
	} {
		if diff := cmp.Diff(want, reply[key]); diff != "" {
			t.Errorf("%s: %s", key, diff)
		}
	}
}

func TestDocumentSequenceAndChecksum(t *testing.T) {
	r := dial(t, start(t))
	message := func(sum uint32) []byte {
		body := append([]byte{1, 0, 0, 0}, section(t, d("insert", "users", "$db", "db"))...)
		docs := append(section(t, d("_id", "a"))[1:], section(t, d("_id", "b"))[1:]...)
		body = append(body, 1)
		body = binary.LittleEndian.AppendUint32(body, uint32(4+len("documents\x00")+len(docs)))
		body = append(append(body, "documents\x00"...), docs...)
		whole := packet(2013, append(body, 0, 0, 0, 0))
		right := crc32.Checksum(whole[:len(whole)-4], crc32.MakeTable(crc32.Castagnoli))
		binary.LittleEndian.PutUint32(whole[len(whole)-4:], right+sum)
		return whole
	}
	r.write(message(0))
	if reply := r.read(); reply["n"] != int32(2) {
		t.Fatal(reply)
	}
	if batch := r.ok("find", "users", "filter", d())["cursor"].(bson.D); len(batch[0].Value.(bson.A)) != 2 {
		t.Fatal(batch)
	}
	r.write(message(1))
	if reply := r.read(); reply != nil {
		t.Fatalf("a wrong checksum was answered: %v", reply)
	}
}

func TestWhatIsNotOfferedHangsUp(t *testing.T) {
	n := start(t)
	ping := section(t, d("ping", 1, "$db", "db"))
	withFlags := func(flags byte) []byte { return packet(2013, append([]byte{flags, 0, 0, 0}, ping...)) }
	exhaust := packet(2013, append([]byte{0, 0, 1, 0}, ping...))
	huge := packet(2013, nil)
	binary.LittleEndian.PutUint32(huge, maxMessage+1)
	for name, c := range map[string]struct {
		message  []byte
		answered bool
	}{
		"a plain message":           {withFlags(0), true},
		"exhaust allowed":           {exhaust, true}, // and not made use of
		"more to come":              {withFlags(2), false},
		"an unknown required flag":  {withFlags(4), false},
		"a compressed message":      {packet(2012, make([]byte, 20)), false},
		"a message above the limit": {huge, false},
		"a message below a header":  {[]byte{15, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xDD, 7, 0, 0}, false},
		"two commands":              {packet(2013, append(append(make([]byte, 4), ping...), ping...)), false},
	} {
		t.Run(name, func(t *testing.T) {
			r := dial(t, n)
			r.write(c.message)
			if reply := r.read(); (reply != nil) != c.answered {
				t.Errorf("got %v", reply)
			}
		})
	}
	dial(t, n).ok("ping", 1)
}

func TestMessageMemoryFollowsWhatArrives(t *testing.T) {
	header := packet(2013, nil)
	binary.LittleEndian.PutUint32(header, maxMessage)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, err := readMessage(bytes.NewReader(header)); err == nil {
		t.Fatal("read a message that never came")
	}
	runtime.ReadMemStats(&after)
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 1<<20 {
		t.Errorf("%d bytes for a message that never came", grown)
	}
}

// everyType has a value of each type that may be stored.
func everyType() bson1.D {
	return bson1.D{
		{Key: "double", Value: math.Pi},
		{Key: "string", Value: "a\x00b\U0001F600"},
		{Key: "doc", Value: bson1.D{{Key: "", Value: nil}}},
		{Key: "array", Value: bson1.A{int32(1), bson1.A{}, bson1.D{}}},
		{Key: "binary", Value: primitive.Binary{Subtype: 2, Data: []byte{1, 0, 0, 0, 9}}},
		{Key: "id", Value: primitive.ObjectID{1, 2, 3}},
		{Key: "bool", Value: true},
		{Key: "date", Value: primitive.DateTime(-5)},
		{Key: "regex", Value: primitive.Regex{Pattern: "a", Options: "xi"}},
		{Key: "int", Value: int32(-1)},
		{Key: "timestamp", Value: primitive.Timestamp{T: 1, I: 2}},
		{Key: "long", Value: int64(math.MinInt64)},
		{Key: "decimal", Value: primitive.NewDecimal128(3, 4)},
	}
}

func TestEveryTypeComesBack(t *testing.T) {
	encoded := appendDocument(nil, everyType())
	decoded, err := (&decoder{values: maxValues}).document(encoded, 1)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(everyType(), decoded, cmp.AllowUnexported(primitive.Decimal128{})); diff != "" {
		t.Error(diff)
	}
	if !bytes.Equal(encoded, appendDocument(nil, decoded)) {
		t.Error("the bytes are not the same")
	}
}

func TestUnknownTypeIsRefusedByName(t *testing.T) {
	r := dial(t, start(t))
	for _, value := range []any{bson.JavaScript("x"), bson.Symbol("x"), bson.MinKey{}, bson.MaxKey{}, bson.Undefined{}} {
		reply := r.refused(238, "find", "users", "filter", d("a", value))
		if message, _ := reply["errmsg"].(string); !bytes.Contains([]byte(message), []byte(`"a"`)) {
			t.Errorf("%T: %q does not name the field", value, message)
		}
	}
}

// TestBrokenMessages cuts a message everywhere, and puts a wrong byte everywhere.
func TestBrokenMessages(t *testing.T) {
	command := appendDocument(nil, bson1.D{{Key: "insert", Value: "users"}, {Key: "x", Value: everyType()}})
	whole := append([]byte{0, 0, 0, 0, 0}, command...)
	sequence := append([]byte("documents\x00"), appendDocument(nil, everyType())...)
	whole = binary.LittleEndian.AppendUint32(append(whole, 1), uint32(4+len(sequence)))
	whole = append(whole, sequence...)
	if _, _, err := decodeMsg(whole); err != nil {
		t.Fatal(err)
	}
	for i := range whole {
		cut := slices.Clip(slices.Clone(whole[:i]))
		if _, _, err := decodeMsg(cut); err == nil && i != 5+len(command) {
			t.Errorf("a message cut at %d was read", i)
		}
		for _, wrong := range []byte{0, 1, 0x7F, 0x80, 0xFF} {
			broken := slices.Clip(slices.Clone(whole))
			broken[i] = wrong
			_, _, _ = decodeMsg(broken) // must not panic
			_, _ = decodeQuery(broken)
		}
	}
}

func FuzzMessage(f *testing.F) {
	command := appendDocument(nil, bson1.D{{Key: "insert", Value: "users"}, {Key: "$db", Value: "db"}, {Key: "x", Value: everyType()}})
	f.Add(append([]byte{0, 0, 0, 0, 0}, command...))
	sequence := append([]byte("documents\x00"), appendDocument(nil, everyType())...)
	body := append([]byte{0, 0, 0, 0, 0}, command...)
	body = binary.LittleEndian.AppendUint32(append(body, 1), uint32(4+len(sequence)))
	f.Add(append(body, sequence...))
	var deep []byte = []byte{5, 0, 0, 0, 0}
	for range 300 {
		deep = appendDocument(nil, bson1.D{{Key: "a", Value: bson1.Raw(deep)}})
	}
	f.Add(append([]byte{0, 0, 0, 0, 0}, deep...))
	f.Fuzz(func(t *testing.T, body []byte) {
		command, _, err := decodeMsg(body)
		if err == nil {
			// Whatever is decoded can be encoded, and is the same when it is decoded again.
			again, err := (&decoder{values: maxValues}).document(appendDocument(nil, command), 1)
			if err != nil {
				t.Fatalf("%v: %s", command, err)
			}
			if !bytes.Equal(appendDocument(nil, command), appendDocument(nil, again)) {
				t.Fatalf("%v became %v", command, again)
			}
			if depth(command) > maxDepth+1 {
				t.Fatalf("depth %d", depth(command))
			}
		}
		_, _ = decodeQuery(body)
		_, _ = readMessage(io.MultiReader(bytes.NewReader(packet(2013, body))))
	})
}

func depth(value any) int {
	deepest := 0
	switch v := value.(type) {
	case bson1.D:
		for _, e := range v {
			deepest = max(deepest, depth(e.Value))
		}
	case bson1.A:
		for _, item := range v {
			deepest = max(deepest, depth(item))
		}
	default:
		return 0
	}
	return 1 + deepest
}

func TestDepthAndNumberOfValuesAreBounded(t *testing.T) {
	doc := bson1.D{}
	for range maxDepth + 1 {
		doc = bson1.D{{Key: "a", Value: doc}}
	}
	if _, err := (&decoder{values: maxValues}).document(appendDocument(nil, doc), 1); err == nil {
		t.Error("a document deeper than the limit was read")
	}
	many := bson1.D{{Key: "a", Value: make(bson1.A, 11)}}
	if _, err := (&decoder{values: 11}).document(appendDocument(nil, many), 1); err == nil {
		t.Error("more values than the limit were read")
	}
}
