package main

import (
	"math/rand/v2"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/bson/primitive"
)

const (
	firstBatch    = 101
	cursorTimeout = 10 * time.Minute
	unlimited     = 1 << 31
)

// cursor holds what a find has selected and not yet handed out. It sees the state that the find saw.
type cursor struct {
	id          int64
	ns          string
	rest        []*document
	projection  bson.D
	session     *session
	transaction *transaction
	snapshot    *primitive.Timestamp
	used        time.Time
}

type cursors struct {
	mu   sync.Mutex
	byID map[int64]*cursor
}

// take removes a cursor, so that nobody else uses it meanwhile.
func (s *cursors) take(id int64) *cursor {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := s.byID[id]
	delete(s.byID, id)
	return found
}

func (s *cursors) put(c *cursor) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c.id == 0 || s.byID[c.id] != nil {
		c.id = rand.Int64()
	}
	c.used = time.Now()
	s.byID[c.id] = c
}

func (s *cursors) sweep(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, c := range s.byID {
		if now.Sub(c.used) > cursorTimeout || c.transaction != nil && closed(c.transaction.done) {
			delete(s.byID, id)
		}
	}
}

func closed(done <-chan struct{}) bool {
	select {
	case <-done:
		return true
	default:
		return false
	}
}

// batch hands out the next documents: at most count, and no more than a reply can hold.
func (c *cursor) batch(count int) (bson.A, error) {
	batch, size := bson.A{}, 0
	for len(c.rest) > 0 && len(batch) < count {
		raw, err := project(c.rest[0], c.projection)
		if err != nil {
			return nil, err
		}
		if size += len(raw) + 16; size > maxDocument && len(batch) > 0 {
			break
		}
		batch, c.rest = append(batch, raw), c.rest[1:]
	}
	return batch, nil
}

// reply hands out a batch and keeps the cursor if something is left.
func (s *cursors) reply(c *cursor, name string, count int, single bool) (bson.D, error) {
	batch, err := c.batch(count)
	if err != nil {
		return nil, err
	}
	id := int64(0)
	if len(c.rest) > 0 && !single {
		s.put(c)
		id = c.id
	}
	doc := bson.D{{Key: name, Value: batch}, {Key: "id", Value: id}, {Key: "ns", Value: c.ns}}
	if c.snapshot != nil {
		doc = append(doc, bson.E{Key: "atClusterTime", Value: *c.snapshot})
	}
	return bson.D{{Key: "cursor", Value: doc}}, nil
}

func findCommand(c *call) (bson.D, error) {
	a := &c.args
	q := query{filter: a.filter("filter"), sort: a.sort("sort"), skip: a.count("skip", 0), limit: a.count("limit", 0)}
	projection, count, single := a.projection("projection"), a.count("batchSize", firstBatch), a.flag("singleBatch", false)
	at := c.readState()
	if a.err != nil {
		return nil, a.err
	}
	found, err := find(at(c.ns), q)
	if err != nil {
		return nil, err
	}
	made := &cursor{ns: c.ns, rest: found, projection: projection, session: c.session, transaction: c.transaction}
	if c.snapshot != nil {
		made.snapshot = &c.snapshot.time
	}
	return c.server.cursors.reply(made, "firstBatch", count, single)
}

// readState says what a read sees: its transaction, the snapshot that it names or begins, or what is on disk now.
func (c *call) readState() func(ns string) *collection {
	if c.transaction != nil {
		return c.transaction.edit.collection
	}
	e := c.server.engine
	r := args{where: "readConcern", doc: c.args.document("readConcern")}
	r.only("level", "atClusterTime")
	level := checkLevel(&r)
	value, named := lookup(r.doc, "atClusterTime")
	at, isTime := value.(primitive.Timestamp)
	switch {
	case r.err != nil:
	case named && (!isTime || level != "snapshot"):
		r.failed(fail(codeInvalidOptions, "atClusterTime needs a timestamp and the level snapshot"))
	case named:
		var err error
		if c.snapshot, err = e.pinned(at); err != nil {
			r.failed(err)
		}
	case level == "snapshot" && c.server.setName == "":
		r.failed(fail(codeIllegalOperation, "read concern level snapshot needs a replica set"))
	case level == "snapshot":
		c.snapshot = e.pin()
	}
	c.args.failed(r.err)
	if c.snapshot != nil {
		return c.snapshot.collection
	}
	return e.durable.Load().collection
}

func getMore(c *call) (bson.D, error) {
	id, ns := c.args.integer("getMore", 0), c.namespace(c.args.text("collection"))
	count := c.args.count("batchSize", unlimited)
	if count == 0 {
		c.args.failed(fail(codeBadValue, "batchSize of getMore must be positive"))
	}
	at := c.repeatedSnapshot()
	if c.args.err != nil {
		return nil, c.args.err
	}
	found := c.server.cursors.take(id)
	if found == nil || found.transaction != nil && closed(found.transaction.done) {
		return nil, fail(codeCursorNotFound, "cursor id %d not found", id)
	}
	if found.ns != ns || found.session != c.session || found.transaction != c.transaction ||
		at != nil && (found.snapshot == nil || *found.snapshot != *at) {
		c.server.cursors.put(found)
		return nil, fail(codeUnauthorized, "cursor id %d belongs to another collection, session, transaction or snapshot", id)
	}
	return c.server.cursors.reply(found, "nextBatch", count, false)
}

// repeatedSnapshot reads the readConcern that the Go driver repeats in every command of a snapshot session, also where a cursor has its
// own already.
func (c *call) repeatedSnapshot() *primitive.Timestamp {
	if !c.args.has("readConcern") {
		return nil
	}
	r := args{where: "readConcern", doc: c.args.document("readConcern")}
	r.only("level", "atClusterTime")
	value, _ := lookup(r.doc, "atClusterTime")
	at, ok := value.(primitive.Timestamp)
	if r.text("level") != "snapshot" || !ok {
		r.failed(refuse("the read concern %v of %s", r.doc, c.name))
	}
	c.args.failed(r.err)
	return &at
}

func killCursors(c *call) (bson.D, error) {
	if c.repeatedSnapshot(); c.args.err != nil {
		return nil, c.args.err
	}
	value, _ := lookup(c.args.doc, "cursors")
	list, ok := value.(bson.A)
	if !ok {
		return nil, fail(codeTypeMismatch, "killCursors.cursors must be an array")
	}
	killed, missing := bson.A{}, bson.A{}
	for _, item := range list {
		id, _ := integer(item)
		if found := c.server.cursors.take(id); found != nil && found.ns == c.ns {
			killed = append(killed, id)
		} else {
			missing = append(missing, id)
			if found != nil {
				c.server.cursors.put(found)
			}
		}
	}
	return bson.D{
		{Key: "cursorsKilled", Value: killed},
		{Key: "cursorsNotFound", Value: missing},
		{Key: "cursorsAlive", Value: bson.A{}},
		{Key: "cursorsUnknown", Value: bson.A{}},
	}, nil
}
