package main

import (
	"bytes"
	"slices"

	"github.com/256dpi/lungo/bsonkit"
	"github.com/256dpi/lungo/mongokit"
	"github.com/tidwall/btree"
	"go.mongodb.org/mongo-driver/bson"
)

// document is a stored document. It is never changed: an update stores another one under the same id.
type document struct {
	id  any
	doc *bson.D
	raw []byte
}

func newDocument(doc bson.D) *document {
	id, _ := lookup(doc, "_id")
	return &document{id: id, doc: &doc, raw: appendDocument(nil, doc)}
}

// collection is one version of a collection. Once published it is read by anybody and changed by nobody; clone costs a few pointers,
// because the trees copy what they change.
type collection struct {
	ns          string
	incarnation uint64 // another number after each change of the catalogue: a transaction must not write across one
	docs        *btree.BTreeG[*document]
	indexes     []*index
}

func newCollection(ns string, incarnation uint64) *collection {
	less := func(a, b *document) bool { return compare(a.id, b.id) < 0 }
	return &collection{ns: ns, incarnation: incarnation, docs: btree.NewBTreeGOptions(less, btree.Options{NoLocks: true})}
}

// clone must be called under the writer lock: a tree marks itself as shared when it is copied.
func (c *collection) clone() *collection {
	clone := &collection{ns: c.ns, incarnation: c.incarnation, docs: c.docs.Copy(), indexes: make([]*index, len(c.indexes))}
	for i, x := range c.indexes {
		clone.indexes[i] = &index{spec: x.spec, columns: x.columns, multikey: slices.Clone(x.multikey), entries: x.entries.Copy()}
	}
	return clone
}

func (c *collection) get(id any) *document {
	found, _ := c.docs.Get(&document{id: id})
	return found
}

func (c *collection) index(name string) *index {
	for _, x := range c.indexes {
		if x.spec.name == name {
			return x
		}
	}
	return nil
}

// replace stores next in place of old; either may be nil. Uniqueness is the caller's business.
func (c *collection) replace(old, next *document) error {
	for _, x := range c.indexes {
		before, after, err := x.changes(old, next)
		if err != nil {
			return err
		}
		for _, key := range before {
			x.entries.Delete(entry{key: key, id: old.id})
		}
		for _, key := range after {
			x.entries.Set(entry{key: key, id: next.id})
		}
	}
	if next != nil {
		c.docs.Set(next)
	} else {
		c.docs.Delete(old)
	}
	return nil
}

type indexSpec struct {
	name   string
	key    bson.D
	unique bool
}

func (s indexSpec) document() bson.D {
	doc := bson.D{{Key: "v", Value: int32(2)}, {Key: "key", Value: s.key}, {Key: "name", Value: s.name}}
	if s.unique {
		doc = append(doc, bson.E{Key: "unique", Value: true})
	}
	return doc
}

// entry is one key of one document. An edge is no entry but a place to start from: before or behind all entries that begin alike.
type entry struct {
	key  []any
	id   any
	edge int
}

type index struct {
	spec     indexSpec
	columns  []bsonkit.Column
	multikey []bool // by column: some document had, at some time, an array there
	entries  *btree.BTreeG[entry]
}

func newIndex(spec indexSpec) (*index, error) {
	columns, err := mongokit.Columns(&spec.key)
	if err != nil {
		return nil, refuse("an index on %v: %s", spec.key, err)
	}
	less := func(a, b entry) bool {
		if order := compareKeys(a.key, b.key, columns); order != 0 {
			return order < 0
		}
		if a.edge != 0 || b.edge != 0 {
			return a.edge < b.edge
		}
		return compare(a.id, b.id) < 0
	}
	return &index{
		spec: spec, columns: columns, multikey: make([]bool, len(columns)),
		entries: btree.NewBTreeGOptions(less, btree.Options{NoLocks: true}),
	}, nil
}

// keys returns what a document is found by: one key, or one per element of an array. A missing field is indexed as null.
func (x *index) keys(d *document) ([][]any, error) {
	if d == nil {
		return nil, nil
	}
	keys, arrays := [][]any{nil}, 0
	for i, column := range x.columns {
		value, _ := bsonkit.All(d.doc, column.Path, true, true)
		values := bson.A{value}
		if array, ok := value.(bson.A); ok {
			arrays++
			x.multikey[i] = true
			if len(array) > 0 {
				values = array
			}
		}
		extended := make([][]any, 0, len(keys)*len(values))
		for _, key := range keys {
			for _, value := range values {
				extended = append(extended, append(slices.Clone(key), value))
			}
		}
		keys = extended
	}
	if arrays > 1 {
		return nil, fail(codeParallelArrays, "cannot index parallel arrays in %s", x.spec.name)
	}
	if len(keys) > 1 {
		slices.SortFunc(keys, func(a, b []any) int { return compareKeys(a, b, nil) })
		keys = slices.CompactFunc(keys, func(a, b []any) bool { return compareKeys(a, b, nil) == 0 })
	}
	return keys, nil
}

// changes returns the keys that only old has and those that only next has.
func (x *index) changes(old, next *document) (before, after [][]any, err error) {
	if before, err = x.keys(old); err != nil {
		return nil, nil, err
	}
	if after, err = x.keys(next); err != nil {
		return nil, nil, err
	}
	without := func(keys, others [][]any) [][]any {
		return slices.DeleteFunc(slices.Clone(keys), func(key []any) bool {
			return slices.ContainsFunc(others, func(other []any) bool { return compareKeys(key, other, nil) == 0 })
		})
	}
	return without(before, after), without(after, before), nil
}

// holder returns the id of a document with this key.
func (x *index) holder(key []any) (id any, found bool) {
	x.entries.Ascend(entry{key: key, edge: -1}, func(e entry) bool {
		if found = compareKeys(e.key, key, nil) == 0; found {
			id = e.id
		}
		return false
	})
	return id, found
}

// build fills a new index and returns the duplicate that forbids it, if any.
func (x *index) build(c *collection) error {
	var failed error
	c.docs.Scan(func(d *document) bool {
		keys, err := x.keys(d)
		if err != nil {
			failed = err
			return false
		}
		for _, key := range keys {
			if _, taken := x.holder(key); taken && x.spec.unique {
				failed = duplicate(c.ns, x.spec, key)
				return false
			}
		}
		for _, key := range keys {
			x.entries.Set(entry{key: key, id: d.id})
		}
		return true
	})
	return failed
}

func duplicate(ns string, spec indexSpec, key []any) *failure {
	var text bytes.Buffer
	values := bson.D{}
	for i, e := range spec.key {
		if i > 0 {
			text.WriteString(", ")
		}
		value := key[i]
		if value == bsonkit.Missing {
			value = nil
		}
		text.WriteString(e.Key + ": " + shell(value))
		values = append(values, bson.E{Key: e.Key, Value: value})
	}
	f := fail(codeDuplicateKey, "E11000 duplicate key error collection: %s index: %s dup key: { %s }", ns, spec.name, text.String())
	f.details = bson.D{{Key: "keyPattern", Value: spec.key}, {Key: "keyValue", Value: values}}
	return f
}

// idIndex is the index that every collection has.
func idIndex() indexSpec {
	return indexSpec{name: "_id_", key: bson.D{{Key: "_id", Value: int32(1)}}, unique: true}
}
