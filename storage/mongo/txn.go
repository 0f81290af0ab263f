package mongo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/readconcern"

	"github.com/writ-authz/writ/storage"
)

// commits and aborts bound how often the end of a transaction is asked for while its caller waits.
const (
	commits = 3
	aborts  = 2
)

// tx is one transaction of the server. It reads the state at its first operation and its own writes; one that another transaction
// changed since is refused to it, so what was read cannot have changed once a commit of authority succeeds: all of those write
// the one authority document.
type tx struct {
	store   *Store
	session *mongo.Session
	// advanced is the authority sequence after Advance, 0 before.
	advanced int64
	items    []storage.ChangeItem
	// noted maps a record to its place in items.
	noted map[storage.ChangeItem]int
	// begun says that the server may have heard of it.
	begun bool
	// broken is the first error after which the server has aborted the transaction, or may have: no commit then.
	broken error
}

var _ storage.Tx = (*tx)(nil)

// Txn implements storage.Store.
func (s *Store) Txn(ctx context.Context, fn func(ctx context.Context, tx storage.Tx) error) error {
	if err := s.ready(ctx); err != nil {
		return err
	}
	session, err := s.client.StartSession(options.Session().SetDefaultTransactionOptions(
		options.Transaction().SetReadConcern(readconcern.Snapshot())))
	if err != nil {
		return failed(ctx, err)
	}
	t := &tx{store: s, session: session, noted: map[storage.ChangeItem]int{}}
	committing := false
	defer func() { // gives up what was not committed, also when fn panics
		switch {
		case committing:
		case !t.begun: // the server knows nothing of it
			session.EndSession(ctx)
		default:
			_ = s.finish(ctx, session, func(ctx context.Context) error { return abort(ctx, session) }, aborted)
		}
	}()
	if err := session.StartTransaction(); err != nil {
		return failed(ctx, err)
	}
	defer func() { t.broken = errOver }()
	if err := fn(ctx, t); err != nil {
		return err
	}
	if t.broken != nil {
		return t.broken
	}
	if ctx.Err() != nil {
		return ended(ctx)
	}
	if err := t.publish(ctx); err != nil {
		return err
	}
	committing = true
	return s.finish(ctx, session, func(ctx context.Context) error { return commit(ctx, session) }, committed)
}

// publish appends what the transaction changed to the feed.
func (t *tx) publish(ctx context.Context) error {
	if t.advanced == 0 {
		return nil
	}
	items, err := json.Marshal(t.items)
	if err != nil {
		return fmt.Errorf("encode change: %w", err)
	}
	_, err = t.store.changes.InsertOne(t.within(ctx), bson.D{
		{Key: "_id", Value: changeID(t.advanced)}, {Key: "sequence", Value: t.advanced}, {Key: "items", Value: string(items)},
	})
	return t.outcome(ctx, err)
}

// Advance implements storage.Tx.
func (t *tx) Advance(ctx context.Context, from int64) error {
	if err := t.usable(ctx); err != nil {
		return err
	}
	if t.advanced != 0 {
		return fmt.Errorf("advance from %d: the transaction has advanced already: %w", from, storage.ErrAuthority)
	}
	result, err := t.store.authority.ReplaceOne(t.within(ctx),
		bson.D{{Key: "_id", Value: authorityID}, {Key: "sequence", Value: from}}, authorityAt(from+1))
	if err := t.outcome(ctx, err); err != nil {
		return fmt.Errorf("advance from %d: %w", from, err)
	}
	if result.MatchedCount == 0 {
		return fmt.Errorf("advance from %d: the authority sequence is another: %w", from, storage.ErrStale)
	}
	t.advanced = from + 1
	return nil
}

// Get implements storage.Reader.
func (t *tx) Get(ctx context.Context, into storage.Record, id string) error {
	return t.read(ctx, func(ctx context.Context) error { return t.store.Get(ctx, into, id) })
}

// Lookup implements storage.Reader.
func (t *tx) Lookup(ctx context.Context, into storage.Record, index, value string) error {
	return t.read(ctx, func(ctx context.Context) error { return t.store.Lookup(ctx, into, index, value) })
}

// List implements storage.Reader.
func (t *tx) List(ctx context.Context, kind storage.Kind, q storage.Query) (records []storage.Record, err error) {
	err = t.read(ctx, func(ctx context.Context) error { records, err = t.store.list(ctx, kind, q); return err })
	return records, err
}

// Sequence implements storage.Reader.
func (t *tx) Sequence(ctx context.Context) (sequence int64, err error) {
	err = t.read(ctx, func(ctx context.Context) error { sequence, err = t.store.sequence(ctx); return err })
	return sequence, err
}

func (t *tx) read(ctx context.Context, read func(ctx context.Context) error) error {
	if err := t.usable(ctx); err != nil {
		return err
	}
	return t.heed(read(t.within(ctx)))
}

// Insert implements storage.Writer.
func (t *tx) Insert(ctx context.Context, r storage.Record) (err error) {
	c, index, err := t.writable(ctx, r)
	if err != nil {
		return err
	}
	meta := r.RecordMeta()
	defer restore(meta, *meta, &err)
	document, err := t.store.created(r, index)
	if err != nil {
		return err
	}
	if err := t.place(ctx, c, index, meta.ID, document); err != nil {
		return err
	}
	t.note(c.kind, meta.ID, false)
	return nil
}

// add stores a record that was one of another store.
func (t *tx) add(ctx context.Context, r storage.Record) error {
	if err := t.usable(ctx); err != nil {
		return err
	}
	c, err := t.store.collection(r.Kind())
	if err != nil {
		return err
	}
	index, err := storage.Indexed(r)
	if err != nil {
		return err
	}
	document, err := document(r, index)
	if err != nil {
		return err
	}
	return t.place(ctx, c, index, r.RecordMeta().ID, document)
}

// place inserts a document.
func (t *tx) place(ctx context.Context, c *collection, index storage.Index, id string, document bson.D) error {
	if err := t.claim(ctx, c, index, id, true); err != nil {
		return err
	}
	_, err := c.documents.InsertOne(t.within(ctx), document)
	return t.outcome(ctx, err)
}

// Update implements storage.Writer.
func (t *tx) Update(ctx context.Context, r storage.Record) (err error) {
	c, index, err := t.writable(ctx, r)
	if err != nil {
		return err
	}
	meta := r.RecordMeta()
	before := *meta
	if err := t.current(ctx, c, meta.ID, before.Version); err != nil {
		return err
	}
	defer restore(meta, before, &err)
	document, err := t.store.replaced(r, index)
	if err != nil {
		return err
	}
	if err := t.claim(ctx, c, index, meta.ID, false); err != nil {
		return err
	}
	_, err = c.documents.ReplaceOne(t.within(ctx), t.store.exactly(meta.ID, before.Version), document)
	if err := t.outcome(ctx, err); err != nil {
		return err
	}
	t.note(c.kind, meta.ID, false)
	return nil
}

// Delete implements storage.Writer.
func (t *tx) Delete(ctx context.Context, kind storage.Kind, id string, version int64) error {
	c, err := t.changeable(ctx, kind)
	if err != nil {
		return err
	}
	result, err := c.documents.DeleteOne(t.within(ctx), t.store.exactly(id, version))
	if err := t.outcome(ctx, err); err != nil {
		return err
	}
	if result.DeletedCount == 0 {
		return t.heed(t.store.missed(t.within(ctx), c, id, version))
	}
	t.note(kind, id, true)
	return nil
}

// changeable returns the collection of a kind that the transaction may write to now.
func (t *tx) changeable(ctx context.Context, kind storage.Kind) (*collection, error) {
	if err := t.usable(ctx); err != nil {
		return nil, err
	}
	if kind.Authority && t.advanced == 0 {
		return nil, fmt.Errorf("%s: %w", kind.Name, storage.ErrAuthority)
	}
	return t.store.collection(kind)
}

func (t *tx) writable(ctx context.Context, r storage.Record) (*collection, storage.Index, error) {
	c, err := t.changeable(ctx, r.Kind())
	if err != nil {
		return nil, storage.Index{}, err
	}
	index, err := storage.Indexed(r)
	return c, index, err
}

// claim finds conflicts by reading, because a write that the server refuses aborts the transaction, and removes the expired
// documents that are in the way.
func (t *tx) claim(ctx context.Context, c *collection, index storage.Index, id string, inserts bool) error {
	dead, err := t.store.holders(t.within(ctx), c, index, id, inserts)
	if err != nil {
		return t.heed(err)
	}
	return t.heed(t.store.bury(t.within(ctx), c, dead))
}

// current demands a live document with this id and version.
func (t *tx) current(ctx context.Context, c *collection, id string, version int64) error {
	err := c.documents.FindOne(t.within(ctx), t.store.exactly(id, version),
		options.FindOne().SetProjection(bson.D{{Key: "_id", Value: 1}})).Err()
	if errors.Is(err, mongo.ErrNoDocuments) {
		return t.heed(t.store.missed(t.within(ctx), c, id, version))
	}
	return t.outcome(ctx, err)
}

func (t *tx) usable(ctx context.Context) error {
	if t.broken != nil {
		return t.broken
	}
	return t.store.ready(ctx)
}

func (t *tx) within(ctx context.Context) context.Context {
	t.begun = true
	return mongo.NewSessionContext(ctx, t.session)
}

// outcome maps an error of the driver in this transaction. A unique value that was free when it was looked for was taken by
// another since.
func (t *tx) outcome(ctx context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case mongo.IsDuplicateKeyError(err):
		t.broken = errLost
	default:
		t.broken = failed(ctx, err)
	}
	return t.broken
}

// heed remembers an error after which there can be no commit. An answer about the data is none.
func (t *tx) heed(err error) error {
	if errors.Is(err, storage.ErrUnavailable) || errors.Is(err, errLost) {
		t.broken = err
	}
	return err
}

// note remembers a write of an authority kind for the feed: each record once, in the order of the first write.
func (t *tx) note(kind storage.Kind, id string, deleted bool) {
	if !kind.Authority {
		return
	}
	item := storage.ChangeItem{Kind: kind.Name, ID: id}
	at, known := t.noted[item]
	if !known {
		at = len(t.items)
		t.noted[item] = at
		t.items = append(t.items, item)
	}
	t.items[at].Deleted = deleted
}
