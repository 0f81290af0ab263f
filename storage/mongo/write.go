package mongo

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/writ-authz/writ/storage"
)

// attempts bounds how often a single write starts anew because expired documents stood in its way.
const attempts = 5

// Insert implements storage.Writer.
func (s *Store) Insert(ctx context.Context, r storage.Record) (err error) {
	c, index, err := s.writable(ctx, r)
	if err != nil {
		return err
	}
	meta := r.RecordMeta()
	defer restore(meta, *meta, &err)
	document, err := s.created(r, index)
	if err != nil {
		return err
	}
	return s.clearing(ctx, c, index, meta.ID, true, func() error {
		_, err := c.documents.InsertOne(ctx, document)
		return err
	})
}

// Update implements storage.Writer.
func (s *Store) Update(ctx context.Context, r storage.Record) (err error) {
	c, index, err := s.writable(ctx, r)
	if err != nil {
		return err
	}
	meta := r.RecordMeta()
	before := *meta
	defer restore(meta, before, &err)
	document, err := s.replaced(r, index)
	if err != nil {
		return err
	}
	var matched int64
	err = s.clearing(ctx, c, index, meta.ID, false, func() error {
		result, err := c.documents.ReplaceOne(ctx, s.exactly(meta.ID, before.Version), document)
		if err == nil {
			matched = result.MatchedCount
		}
		return err
	})
	if err == nil && matched == 0 {
		err = s.missed(ctx, c, meta.ID, before.Version)
	}
	return err
}

// Delete implements storage.Writer.
func (s *Store) Delete(ctx context.Context, kind storage.Kind, id string, version int64) error {
	c, err := s.free(ctx, kind)
	if err != nil {
		return err
	}
	result, err := c.documents.DeleteOne(ctx, s.exactly(id, version))
	switch {
	case err != nil:
		return failed(ctx, err)
	case result.DeletedCount == 1:
		return nil
	}
	return s.missed(ctx, c, id, version)
}

// Restore implements storage.Store.
func (s *Store) Restore(ctx context.Context, records []storage.Record, sequence int64) error {
	return s.Txn(ctx, func(ctx context.Context, begun storage.Tx) error {
		t := begun.(*tx)
		for _, r := range records {
			if err := t.add(ctx, r); err != nil {
				return err
			}
		}
		_, err := s.authority.ReplaceOne(t.within(ctx), authorityAt(0)[:1], authorityAt(sequence))
		return t.outcome(ctx, err)
	})
}

// Purge implements storage.Store.
func (s *Store) Purge(ctx context.Context, now time.Time) (int, error) {
	if err := s.ready(ctx); err != nil {
		return 0, err
	}
	total := 0
	for _, c := range s.kinds {
		expired := bson.D{{Key: "expires", Value: bson.D{{Key: "$lte", Value: bson.NewDateTimeFromTime(now)}}}}
		result, err := c.documents.DeleteMany(ctx, expired)
		if err != nil {
			return total, fmt.Errorf("purge %s: %w", c.kind.Name, failed(ctx, err))
		}
		total += int(result.DeletedCount)
	}
	return total, nil
}

// free returns the collection of a kind that may be written outside a transaction.
func (s *Store) free(ctx context.Context, kind storage.Kind) (*collection, error) {
	if err := s.ready(ctx); err != nil {
		return nil, err
	}
	if kind.Authority {
		return nil, fmt.Errorf("%s: %w", kind.Name, storage.ErrAuthority)
	}
	return s.collection(kind)
}

func (s *Store) writable(ctx context.Context, r storage.Record) (*collection, storage.Index, error) {
	c, err := s.free(ctx, r.Kind())
	if err != nil {
		return nil, storage.Index{}, err
	}
	index, err := storage.Indexed(r)
	return c, index, err
}

// clearing runs a write of one document, which is atomic by itself. The server's unique indexes know nothing of expiry: where they
// refuse it because of an expired document, that one is removed and the write runs again.
func (s *Store) clearing(ctx context.Context, c *collection, index storage.Index, id string, inserts bool, write func() error) error {
	for range attempts {
		err := write()
		switch {
		case err == nil:
			return nil
		case !mongo.IsDuplicateKeyError(err):
			return failed(ctx, err)
		}
		dead, err := s.holders(ctx, c, index, id, inserts)
		if err != nil {
			return err
		}
		if err := s.bury(ctx, c, dead); err != nil {
			return err
		}
	}
	return fmt.Errorf("mongodb: %s: a unique value was taken and let go %d times in a row: %w", c.kind.Name, attempts,
		storage.ErrUnavailable)
}

// holder is an expired document that has an id or a unique value which another wants.
type holder struct {
	ID      string        `bson:"_id"`
	Version int64         `bson:"version"`
	Expires bson.DateTime `bson:"expires"`
}

// holders returns the expired documents that have the id (if it is to be inserted) or a unique value of index, or a
// *storage.ConflictError for the first of these that a live document has.
func (s *Store) holders(ctx context.Context, c *collection, index storage.Index, id string, inserts bool) ([]holder, error) {
	now := bson.NewDateTimeFromTime(s.now())
	var dead []holder
	ask := func(name string, filter bson.D) error {
		var found holder
		err := c.documents.FindOne(ctx, filter, options.FindOne().SetProjection(
			bson.D{{Key: "version", Value: 1}, {Key: "expires", Value: 1}})).Decode(&found)
		switch {
		case errors.Is(err, mongo.ErrNoDocuments):
		case err != nil:
			return failed(ctx, err)
		case name != "id" && found.ID == id:
		case found.Expires > now:
			return &storage.ConflictError{Kind: c.kind.Name, Index: name}
		default:
			dead = append(dead, found)
		}
		return nil
	}
	if inserts {
		if err := ask("id", bson.D{{Key: "_id", Value: id}}); err != nil {
			return nil, err
		}
	}
	for _, name := range c.kind.Unique {
		value, ok := index.Unique[name]
		if !ok {
			continue
		}
		if err := ask(name, bson.D{{Key: "unique." + name, Value: taken + value}}); err != nil {
			return nil, err
		}
	}
	return dead, nil
}

// bury removes expired documents, each unless it has changed since.
func (s *Store) bury(ctx context.Context, c *collection, dead []holder) error {
	for _, d := range dead {
		filter := bson.D{{Key: "_id", Value: d.ID}, {Key: "version", Value: d.Version}, {Key: "expires", Value: d.Expires}}
		if _, err := c.documents.DeleteOne(ctx, filter); err != nil {
			return failed(ctx, err)
		}
	}
	return nil
}

// exactly is the condition of a compare-and-swap.
func (s *Store) exactly(id string, version int64) bson.D {
	return bson.D{{Key: "_id", Value: id}, {Key: "version", Value: version}, s.live()}
}

// missed says why no live document has this id and version. One that has them by now was written in between, so it was stale.
func (s *Store) missed(ctx context.Context, c *collection, id string, version int64) error {
	var found holder
	err := c.documents.FindOne(ctx, bson.D{{Key: "_id", Value: id}, s.live()},
		options.FindOne().SetProjection(bson.D{{Key: "version", Value: 1}})).Decode(&found)
	switch {
	case errors.Is(err, mongo.ErrNoDocuments):
		return fmt.Errorf("%s: %w", c.kind.Name, storage.ErrNotFound)
	case err != nil:
		return failed(ctx, err)
	}
	return fmt.Errorf("%s: version is %d, not %d: %w", c.kind.Name, found.Version, version, storage.ErrStale)
}

// created is the document of a new record, whose Meta it sets.
func (s *Store) created(r storage.Record, index storage.Index) (bson.D, error) {
	meta, now := r.RecordMeta(), storage.Time(s.now())
	meta.Version = 1
	meta.CreatedAt, meta.UpdatedAt = orNow(meta.CreatedAt, now), orNow(meta.UpdatedAt, now)
	return document(r, index)
}

// replaced is the document of the next version of a record, whose Meta it sets.
func (s *Store) replaced(r storage.Record, index storage.Index) (bson.D, error) {
	meta := r.RecordMeta()
	meta.Version++
	meta.UpdatedAt = storage.Time(s.now())
	return document(r, index)
}

// restore gives a record its Meta back where *err says that the write failed.
func restore(meta *storage.Meta, before storage.Meta, err *error) {
	if *err != nil {
		*meta = before
	}
}

func orNow(t, now time.Time) time.Time {
	if t.IsZero() {
		return now
	}
	return storage.Time(t)
}
