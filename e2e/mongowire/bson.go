package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/256dpi/lungo/bsonkit"
	"go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/bson/primitive"
	"go.mongodb.org/mongo-driver/x/bsonx/bsoncore"
)

const (
	maxDepth    = 200       // of nested documents and arrays, as in MongoDB
	maxValues   = 2_000_000 // in one message: three bytes of BSON are some fifty in memory
	maxDocument = 16 << 20
)

var errMalformed = errors.New("malformed BSON")

// decoder turns BSON into the types that lungo works with. It never reads outside its input, and values bounds what it may make.
type decoder struct{ values int }

func (d *decoder) document(src []byte, depth int) (bson.D, error) {
	doc := bson.D{}
	err := d.elements(src, depth, func(key string, value any) { doc = append(doc, bson.E{Key: key, Value: value}) })
	return doc, err
}

func (d *decoder) elements(src []byte, depth int, add func(string, any)) error {
	if len(src) < 5 || int(binary.LittleEndian.Uint32(src)) != len(src) || src[len(src)-1] != 0 {
		return errMalformed
	}
	if depth > maxDepth {
		return fmt.Errorf("nested deeper than %d levels", maxDepth)
	}
	src = src[4 : len(src)-1]
	for len(src) > 0 {
		end := bytes.IndexByte(src[1:], 0)
		if end < 0 {
			return errMalformed
		}
		kind, key := src[0], string(src[1:1+end])
		if d.values--; d.values < 0 {
			return errors.New("too many values in one message")
		}
		value, rest, err := d.value(kind, key, src[2+end:], depth)
		if err != nil {
			return err
		}
		add(key, value)
		src = rest
	}
	return nil
}

// sized cuts a piece whose length is told by its first four bytes, plus extra.
func sized(src []byte, extra, least int) (piece, rest []byte, err error) {
	if len(src) < 4 {
		return nil, nil, errMalformed
	}
	n := int64(int32(binary.LittleEndian.Uint32(src))) + int64(extra)
	if n < int64(least) || n > int64(len(src)) {
		return nil, nil, errMalformed
	}
	return src[:n], src[n:], nil
}

// width is the size of a value of a type of fixed size.
func width(kind byte) int {
	switch kind {
	case 0x08:
		return 1
	case 0x10:
		return 4
	case 0x01, 0x09, 0x11, 0x12:
		return 8
	case 0x07:
		return 12
	case 0x13:
		return 16
	}
	return 0
}

func (d *decoder) value(kind byte, key string, src []byte, depth int) (any, []byte, error) {
	if len(src) < width(kind) {
		return nil, nil, errMalformed
	}
	switch kind {
	case 0x01:
		return math.Float64frombits(binary.LittleEndian.Uint64(src)), src[8:], nil
	case 0x02:
		piece, rest, err := sized(src, 4, 5)
		if err != nil || piece[len(piece)-1] != 0 {
			return nil, nil, errMalformed
		}
		return string(piece[4 : len(piece)-1]), rest, nil
	case 0x03:
		piece, rest, err := sized(src, 0, 5)
		if err != nil {
			return nil, nil, err
		}
		doc, err := d.document(piece, depth+1)
		return doc, rest, err
	case 0x04:
		piece, rest, err := sized(src, 0, 5)
		if err != nil {
			return nil, nil, err
		}
		array := bson.A{}
		err = d.elements(piece, depth+1, func(_ string, value any) { array = append(array, value) })
		return array, rest, err
	case 0x05:
		piece, rest, err := sized(src, 5, 5)
		if err != nil {
			return nil, nil, err
		}
		return primitive.Binary{Subtype: piece[4], Data: bytes.Clone(piece[5:])}, rest, nil
	case 0x07:
		return primitive.ObjectID(src[:12]), src[12:], nil
	case 0x08:
		if src[0] > 1 {
			return nil, nil, errMalformed
		}
		return src[0] == 1, src[1:], nil
	case 0x09:
		return primitive.DateTime(binary.LittleEndian.Uint64(src)), src[8:], nil
	case 0x0A:
		return nil, src, nil
	case 0x0B:
		parts := bytes.SplitN(src, []byte{0}, 3)
		if len(parts) != 3 {
			return nil, nil, errMalformed
		}
		return primitive.Regex{Pattern: string(parts[0]), Options: string(parts[1])}, parts[2], nil
	case 0x10:
		return int32(binary.LittleEndian.Uint32(src)), src[4:], nil
	case 0x11:
		return primitive.Timestamp{I: binary.LittleEndian.Uint32(src), T: binary.LittleEndian.Uint32(src[4:])}, src[8:], nil
	case 0x12:
		return int64(binary.LittleEndian.Uint64(src)), src[8:], nil
	case 0x13:
		return primitive.NewDecimal128(binary.LittleEndian.Uint64(src[8:]), binary.LittleEndian.Uint64(src)), src[16:], nil
	}
	return nil, nil, refuse("BSON type 0x%02x (field %q)", kind, key)
}

func appendDocument(dst []byte, doc bson.D) []byte {
	start, dst := bsoncore.AppendDocumentStart(dst)
	for _, e := range doc {
		dst = appendElement(dst, e.Key, e.Value)
	}
	dst, _ = bsoncore.AppendDocumentEnd(dst, start)
	return dst
}

func appendElement(dst []byte, key string, value any) []byte {
	switch v := value.(type) {
	case nil:
		return bsoncore.AppendNullElement(dst, key)
	case float64:
		return bsoncore.AppendDoubleElement(dst, key, v)
	case string:
		return bsoncore.AppendStringElement(dst, key, v)
	case bson.D:
		return appendDocument(bsoncore.AppendHeader(dst, bson.TypeEmbeddedDocument, key), v)
	case bson.Raw:
		return bsoncore.AppendDocumentElement(dst, key, v)
	case bson.A:
		start, dst := bsoncore.AppendArrayElementStart(dst, key)
		for i, item := range v {
			dst = appendElement(dst, strconv.Itoa(i), item)
		}
		dst, _ = bsoncore.AppendArrayEnd(dst, start)
		return dst
	case primitive.Binary: // not bsoncore's, which changes subtype 2
		dst = bsoncore.AppendHeader(dst, bson.TypeBinary, key)
		dst = bsoncore.AppendInt32(dst, int32(len(v.Data)))
		return append(append(dst, v.Subtype), v.Data...)
	case primitive.ObjectID:
		return bsoncore.AppendObjectIDElement(dst, key, v)
	case bool:
		return bsoncore.AppendBooleanElement(dst, key, v)
	case primitive.DateTime:
		return bsoncore.AppendDateTimeElement(dst, key, int64(v))
	case primitive.Regex: // not bsoncore's, which sorts the options
		dst = bsoncore.AppendHeader(dst, bson.TypeRegex, key)
		return append(append(append(append(dst, v.Pattern...), 0), v.Options...), 0)
	case int32:
		return bsoncore.AppendInt32Element(dst, key, v)
	case primitive.Timestamp:
		return bsoncore.AppendTimestampElement(dst, key, v.T, v.I)
	case int64:
		return bsoncore.AppendInt64Element(dst, key, v)
	case primitive.Decimal128:
		return bsoncore.AppendDecimal128Element(dst, key, v)
	}
	panic(fmt.Sprintf("cannot encode %T", value))
}

// compare is bsonkit.Compare with a short way for the keys that there are most of.
func compare(a, b any) int {
	if a, ok := a.(string); ok {
		if b, ok := b.(string); ok {
			return strings.Compare(a, b)
		}
	}
	return bsonkit.Compare(a, b)
}

// compareKeys compares what two keys have in common, column by column.
func compareKeys(a, b []any, columns []bsonkit.Column) int {
	for i := range min(len(a), len(b)) {
		order := compare(a[i], b[i])
		if order != 0 && i < len(columns) && columns[i].Reverse {
			return -order
		}
		if order != 0 {
			return order
		}
	}
	return 0
}

func lookup(doc bson.D, key string) (any, bool) {
	for _, e := range doc {
		if e.Key == key {
			return e.Value, true
		}
	}
	return nil, false
}

// integer reads a whole number of any numeric type.
func integer(value any) (int64, bool) {
	switch v := value.(type) {
	case int32:
		return int64(v), true
	case int64:
		return v, true
	case float64:
		if v == math.Trunc(v) && math.Abs(v) < 1<<53 {
			return int64(v), true
		}
	}
	return 0, false
}

// shell writes a value as MongoDB does in its messages.
func shell(value any) string {
	switch v := value.(type) {
	case nil, bsonkit.MissingType:
		return "null"
	case string:
		return strconv.Quote(v)
	case primitive.ObjectID:
		return "ObjectId('" + v.Hex() + "')"
	case primitive.DateTime:
		return fmt.Sprintf("new Date(%d)", int64(v))
	}
	return fmt.Sprint(value)
}
