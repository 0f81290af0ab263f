package main

import (
	"bytes"
	"errors"
	"slices"
	"strings"

	"github.com/256dpi/lungo/bsonkit"
	"github.com/256dpi/lungo/mongokit"
	"go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/bson/primitive"
)

// statements runs one part of a write command after the other. What is wrong with one of them goes into writeErrors, in order; what is wrong
// with the whole is returned.
func statements(count int, ordered bool, one func(i int) error) (bson.A, error) {
	var writeErrors bson.A
	for i := range count {
		err := one(i)
		var f *failure
		if err == nil {
			continue
		}
		if !errors.As(err, &f) || f.code == codeWriteConflict || f.code == codeNotImplemented {
			return nil, err
		}
		entry := bson.D{{Key: "index", Value: int32(i)}, {Key: "code", Value: f.code}}
		entry = append(append(entry, f.details...), bson.E{Key: "errmsg", Value: f.message})
		writeErrors = append(writeErrors, entry)
		if ordered {
			break
		}
	}
	return writeErrors, nil
}

func written(reply bson.D, writeErrors bson.A) bson.D {
	if len(writeErrors) > 0 {
		reply = append(reply, bson.E{Key: "writeErrors", Value: writeErrors})
	}
	return reply
}

func checkCount(a *args, count int) {
	if count == 0 || count > maxBatch {
		a.failed(fail(codeInvalidOptions, "Write batch sizes must be between 1 and %d. Got %d operations.", maxBatch, count))
	}
}

func insert(c *call) (bson.D, error) {
	docs, ordered := c.args.documents("documents"), c.args.flag("ordered", true)
	checkCount(&c.args, len(docs))
	if c.args.err != nil {
		return nil, c.args.err
	}
	for i, doc := range docs {
		docs[i] = withID(doc)
	}
	return c.write(func(d *edit) (bson.D, error) {
		n := int32(0)
		writeErrors, err := statements(len(docs), ordered, func(i int) error {
			next, err := storable(docs[i])
			if err == nil {
				err = d.replace(c.ns, nil, next)
			}
			if err == nil {
				n++
			}
			return err
		})
		return written(bson.D{{Key: "n", Value: n}}, writeErrors), err
	})
}

// withID puts _id first, and makes one where there is none.
func withID(doc bson.D) bson.D {
	at := slices.IndexFunc(doc, func(e bson.E) bool { return e.Key == "_id" })
	switch at {
	case 0:
		return doc
	case -1:
		return append(bson.D{{Key: "_id", Value: primitive.NewObjectID()}}, doc...)
	}
	return append(append(bson.D{doc[at]}, doc[:at]...), doc[at+1:]...)
}

// storable judges a document whose _id is its first field.
func storable(doc bson.D) (*document, error) {
	switch id := doc[0].Value.(type) {
	case bson.A, primitive.Regex:
		return nil, fail(codeInvalidIDField, "The '_id' value cannot be of type %T", id)
	}
	for _, e := range doc {
		if strings.HasPrefix(e.Key, "$") {
			return nil, refuse("the stored field %q", e.Key)
		}
	}
	next := newDocument(doc)
	if len(next.raw) > maxDocument {
		return nil, fail(codeObjectTooLarge, "object to insert too large. size in bytes: %d, max size: %d", len(next.raw), maxDocument)
	}
	return next, nil
}

type updateStatement struct{ filter, change bson.D }

func update(c *call) (bson.D, error) {
	list, ordered := c.args.documents("updates"), c.args.flag("ordered", true)
	checkCount(&c.args, len(list))
	var all []updateStatement
	for _, doc := range list {
		a := args{where: "update.updates", doc: doc}
		a.only("q", "u", "multi", "upsert")
		all = append(all, updateStatement{filter: a.filter("q"), change: changeOf(&a, "u")})
		for _, flag := range []string{"multi", "upsert"} {
			if a.flag(flag, false) {
				a.failed(refuse("updates with %s: true", flag))
			}
		}
		c.args.failed(a.err)
	}
	if c.args.err != nil {
		return nil, c.args.err
	}
	return c.write(func(d *edit) (bson.D, error) {
		n, modified := int32(0), int32(0)
		writeErrors, err := statements(len(all), ordered, func(i int) error {
			old, next, err := d.modify(c.ns, query{filter: all[i].filter, limit: 1}, all[i].change)
			if err == nil && old != nil {
				n++
				if old != next {
					modified++
				}
			}
			return err
		})
		return written(bson.D{{Key: "n", Value: n}, {Key: "nModified", Value: modified}}, writeErrors), err
	})
}

// changeOf reads a replacement or a document of update operators.
func changeOf(a *args, key string) bson.D {
	value, _ := lookup(a.doc, key)
	if _, pipeline := value.(bson.A); pipeline {
		a.failed(refuse("an update by pipeline"))
		return nil
	}
	change := a.document(key)
	if change == nil {
		a.failed(fail(codeFailedToParse, "BSON field '%s.%s' is missing but a required field", a.where, key))
	}
	if _, operators := isOperators(change); !operators {
		return change
	}
	for _, e := range change {
		if !slices.Contains([]string{"$set", "$unset", "$inc"}, e.Key) {
			a.failed(refuse("the update operator %s", e.Key))
		}
		fields, ok := e.Value.(bson.D)
		if !ok {
			a.failed(fail(codeFailedToParse, "Modifiers operate on fields but we found %T", e.Value))
		}
		for _, field := range fields {
			if strings.Contains(field.Key, "$") || field.Key == "" {
				a.failed(refuse("an update of the path %q", field.Key))
			}
		}
	}
	return change
}

// modify changes the first document that a query selects. old is nil where there is none; next is old where nothing changes.
func (d *edit) modify(ns string, q query, change bson.D) (old, next *document, err error) {
	found, err := d.find(ns, q)
	if err != nil || len(found) == 0 {
		return nil, nil, err
	}
	old = found[0]
	changed, err := changedDocument(old, change)
	if err != nil {
		return nil, nil, err
	}
	if next, err = storable(changed); err != nil {
		return nil, nil, err
	}
	if bytes.Equal(next.raw, old.raw) {
		return old, old, nil
	}
	if err := d.replace(ns, old, next); err != nil {
		return nil, nil, err
	}
	return old, next, nil
}

func changedDocument(old *document, change bson.D) (bson.D, error) {
	immutable := fail(codeImmutableField, "Performing an update on the path '_id' would modify the immutable field '_id'")
	if _, operators := isOperators(change); !operators {
		next := bson.D{{Key: "_id", Value: old.id}}
		for _, e := range change {
			if e.Key != "_id" {
				next = append(next, e)
			} else if compare(e.Value, old.id) != 0 {
				return nil, immutable
			}
		}
		return next, nil
	}
	next := bsonkit.Clone(old.doc)
	if _, err := mongokit.Apply(next, nil, &change, false, nil); err != nil {
		code := int32(codePathNotViable)
		if strings.Contains(err.Error(), "conflicting key") {
			code = codeConflictingOperators
		} else if strings.Contains(err.Error(), "not a number") {
			code = codeTypeMismatch
		}
		return nil, fail(code, "%s", err)
	}
	if id, ok := lookup(*next, "_id"); !ok || compare(id, old.id) != 0 {
		return nil, immutable
	}
	return withID(*next), nil
}

type deleteStatement struct {
	filter bson.D
	limit  int
}

func remove(c *call) (bson.D, error) {
	list, ordered := c.args.documents("deletes"), c.args.flag("ordered", true)
	checkCount(&c.args, len(list))
	var all []deleteStatement
	for _, doc := range list {
		a := args{where: "delete.deletes", doc: doc}
		a.only("q", "limit")
		statement := deleteStatement{filter: a.filter("q"), limit: a.count("limit", -1)}
		if statement.limit > 1 {
			a.failed(fail(codeFailedToParse, "The limit field in delete objects must be 0 or 1. Got %d", statement.limit))
		}
		all = append(all, statement)
		c.args.failed(a.err)
	}
	if c.args.err != nil {
		return nil, c.args.err
	}
	return c.write(func(d *edit) (bson.D, error) {
		n := int32(0)
		writeErrors, err := statements(len(all), ordered, func(i int) error {
			found, err := d.find(c.ns, query{filter: all[i].filter, limit: all[i].limit})
			for _, old := range found {
				if err == nil {
					err = d.replace(c.ns, old, nil)
				}
				if err == nil {
					n++
				}
			}
			return err
		})
		return written(bson.D{{Key: "n", Value: n}}, writeErrors), err
	})
}

func findAndModify(c *call) (bson.D, error) {
	a := &c.args
	q := query{filter: a.filter("query"), sort: a.sort("sort"), limit: 1}
	fields, removes, after := a.projection("fields"), a.flag("remove", false), a.flag("new", false)
	if a.flag("upsert", false) {
		a.failed(refuse("findAndModify with upsert: true"))
	}
	var change bson.D
	if removes && (a.has("update") || after) {
		a.failed(fail(codeFailedToParse, "Cannot specify both an update, or new, and remove=true"))
	} else if !removes {
		change = changeOf(a, "update")
	}
	if a.err != nil {
		return nil, a.err
	}
	return c.write(func(d *edit) (bson.D, error) {
		old, next, err := d.modifyOrRemove(c.ns, q, change, removes)
		if err != nil {
			return nil, err
		}
		shown, n := old, int32(0)
		if after {
			shown = next
		}
		var value any
		if old != nil {
			n = 1
			if value, err = project(shown, fields); err != nil {
				return nil, err
			}
		}
		last := bson.D{{Key: "n", Value: n}}
		if !removes {
			last = append(last, bson.E{Key: "updatedExisting", Value: old != nil})
		}
		return bson.D{{Key: "lastErrorObject", Value: last}, {Key: "value", Value: value}}, nil
	})
}

func (d *edit) modifyOrRemove(ns string, q query, change bson.D, removes bool) (old, next *document, err error) {
	if !removes {
		return d.modify(ns, q, change)
	}
	found, err := d.find(ns, q)
	if err != nil || len(found) == 0 {
		return nil, nil, err
	}
	return found[0], nil, d.replace(ns, found[0], nil)
}
