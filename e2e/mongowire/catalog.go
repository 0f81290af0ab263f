package main

import (
	"strings"

	"github.com/256dpi/lungo/mongokit"
	"go.mongodb.org/mongo-driver/bson"
)

func create(c *call) (bson.D, error) {
	return c.write(func(d *edit) (bson.D, error) {
		if err := d.busy(c.ns); err != nil {
			return nil, err
		}
		if d.collection(c.ns) != nil {
			return nil, fail(codeNamespaceExists, "Collection %s already exists.", c.ns)
		}
		return nil, d.create(c.ns)
	})
}

// drop of what is not there is no error, as since MongoDB 7.0.
func drop(c *call) (bson.D, error) {
	return c.write(func(d *edit) (bson.D, error) {
		if err := d.busy(c.ns); err != nil {
			return nil, err
		}
		found := d.collection(c.ns)
		if found == nil {
			return nil, nil
		}
		reply := bson.D{{Key: "nIndexesWas", Value: int32(1 + len(found.indexes))}, {Key: "ns", Value: c.ns}}
		return reply, d.apply(op{kind: "drop", ns: c.ns})
	})
}

func dropDatabase(c *call) (bson.D, error) {
	return c.write(func(d *edit) (bson.D, error) {
		names := namesOf(d, c.db)
		for _, name := range names {
			if err := d.busy(c.db + "." + name); err != nil {
				return nil, err
			}
		}
		for _, name := range names {
			if err := d.apply(op{kind: "drop", ns: c.db + "." + name}); err != nil {
				return nil, err
			}
		}
		return bson.D{{Key: "dropped", Value: c.db}}, nil
	})
}

// namesOf returns the collections of a database.
func namesOf(d *edit, db string) []string {
	var names []string
	d.collections.Ascend(db+".", func(ns string, _ *collection) bool {
		name, ok := strings.CutPrefix(ns, db+".")
		if ok {
			names = append(names, name)
		}
		return ok
	})
	return names
}

func listCollections(c *call) (bson.D, error) {
	filter, only := c.args.filter("filter"), c.args.flag("nameOnly", false)
	c.args.flag("authorizedCollections", false) // everybody may see everything
	count := cursorSize(&c.args)
	if c.args.err != nil {
		return nil, c.args.err
	}
	made := &cursor{ns: c.db + ".$cmd.listCollections", session: c.session}
	s := c.server.engine.durable.Load()
	for _, name := range namesOf(&edit{collections: s.collections}, c.db) {
		doc := bson.D{{Key: "name", Value: name}, {Key: "type", Value: "collection"}}
		if !only {
			doc = append(
				doc, bson.E{Key: "options", Value: bson.D{}}, bson.E{Key: "info", Value: bson.D{{Key: "readOnly", Value: false}}},
				bson.E{Key: "idIndex", Value: idIndex().document()},
			)
		}
		ok, err := mongokit.Match(&doc, &filter)
		if err != nil {
			return nil, fail(codeBadValue, "%s", err)
		}
		if ok {
			made.rest = append(made.rest, newDocument(doc))
		}
	}
	return c.server.cursors.reply(made, "firstBatch", count, false)
}

// cursorSize reads the field cursor: {batchSize}.
func cursorSize(a *args) int {
	options := args{where: a.where + ".cursor", doc: a.document("cursor")}
	options.only("batchSize")
	count := options.count("batchSize", firstBatch)
	a.failed(options.err)
	return count
}

func listIndexes(c *call) (bson.D, error) {
	count := cursorSize(&c.args)
	if c.args.err != nil {
		return nil, c.args.err
	}
	found := c.server.engine.durable.Load().collection(c.ns)
	if found == nil {
		return nil, fail(codeNamespaceNotFound, "ns does not exist: %s", c.ns)
	}
	made := &cursor{ns: c.ns, session: c.session, rest: []*document{newDocument(idIndex().document())}}
	for _, x := range found.indexes {
		made.rest = append(made.rest, newDocument(x.spec.document()))
	}
	return c.server.cursors.reply(made, "firstBatch", count, false)
}

func createIndexes(c *call) (bson.D, error) {
	var specs []indexSpec
	for _, doc := range c.args.documents("indexes") {
		specs = append(specs, readSpec(&c.args, doc))
	}
	if len(specs) == 0 {
		c.args.failed(fail(codeBadValue, "Must specify at least one index to create"))
	}
	if c.args.err != nil {
		return nil, c.args.err
	}
	return c.write(func(d *edit) (bson.D, error) {
		if err := d.busy(c.ns); err != nil {
			return nil, err
		}
		before, made := 1, false
		if found := d.collection(c.ns); found == nil {
			if err := d.create(c.ns); err != nil {
				return nil, err
			}
			made = true
		} else {
			before += len(found.indexes)
		}
		for _, spec := range specs {
			exists, err := compareSpecs(d.collection(c.ns), spec)
			if err == nil && !exists {
				err = d.apply(op{kind: "index", ns: c.ns, spec: spec})
			}
			if err != nil {
				return nil, err
			}
		}
		after := 1 + len(d.collection(c.ns).indexes)
		reply := bson.D{
			{Key: "numIndexesBefore", Value: int32(before)},
			{Key: "numIndexesAfter", Value: int32(after)},
			{Key: "createdCollectionAutomatically", Value: made},
		}
		if before == after {
			reply = append(reply, bson.E{Key: "note", Value: "all indexes already exist"})
		}
		return reply, nil
	})
}

func readSpec(a *args, doc bson.D) indexSpec {
	s := args{where: "createIndexes.indexes", doc: doc}
	s.only("v", "key", "name", "unique")
	spec := indexSpec{name: s.text("name"), key: s.document("key"), unique: s.flag("unique", false)}
	if s.integer("v", 2) != 2 {
		s.failed(refuse("indexes of version %d", s.integer("v", 2)))
	}
	if len(spec.key) == 0 || spec.name == "" {
		s.failed(fail(codeCannotCreateIndex, "an index needs a key and a name"))
	}
	for _, e := range spec.key {
		if strings.Contains(e.Key, "$") || e.Key == "" {
			s.failed(refuse("an index on the path %q", e.Key))
		}
	}
	if _, err := mongokit.Columns(&spec.key); err != nil {
		s.failed(refuse("an index on %v: %s", spec.key, err))
	}
	a.failed(s.err)
	return spec
}

// compareSpecs says whether an index is there already, or that another is in its way. As since MongoDB 5.0, key and uniqueness together
// tell indexes apart.
func compareSpecs(c *collection, spec indexSpec) (exists bool, err error) {
	all := []indexSpec{idIndex()}
	for _, x := range c.indexes {
		all = append(all, x.spec)
	}
	for _, other := range all {
		sameKey := compare(other.key, spec.key) == 0
		same := sameKey && (other.unique == spec.unique || other.name == "_id_")
		switch {
		case other.name == spec.name && same:
			return true, nil
		case other.name == spec.name:
			return false, fail(codeIndexKeySpecsConflict, "An existing index has the same name as the requested index: %s", spec.name)
		}
		if same {
			return false, fail(codeIndexOptionsConflict, "Index already exists with a different name: %s", other.name)
		}
	}
	return false, nil
}

func dropIndexes(c *call) (bson.D, error) {
	if value, _ := lookup(c.args.doc, "index"); value != nil {
		if _, byName := value.(string); !byName {
			return nil, refuse("dropIndexes by %T instead of a name", value)
		}
	}
	name := c.args.text("index")
	return c.write(func(d *edit) (bson.D, error) {
		if err := d.busy(c.ns); err != nil {
			return nil, err
		}
		found := d.collection(c.ns)
		switch {
		case found == nil:
			return nil, fail(codeNamespaceNotFound, "ns not found %s", c.ns)
		case name == "_id_":
			return nil, fail(codeInvalidOptions, "cannot drop _id index")
		case name != "*" && found.index(name) == nil:
			return nil, fail(codeIndexNotFound, "index not found with name [%s]", name)
		}
		for _, x := range found.indexes {
			if name == "*" || name == x.spec.name {
				if err := d.apply(op{kind: "unindex", ns: c.ns, spec: x.spec}); err != nil {
					return nil, err
				}
			}
		}
		return bson.D{{Key: "nIndexesWas", Value: int32(1 + len(found.indexes))}}, nil
	})
}
