package mongo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/writ-authz/writ/storage"
)

// Collections beside those of the kinds. authority holds one document; changes the feed, by sequence; declarations what each kind
// was indexed by, the schema version, and a document that says nothing, which Beat writes.
const (
	authorityName    = "authority"
	authorityID      = "authority"
	changesName      = "changes"
	declarationsName = "declarations"
	schemaID         = "(schema)"
	beatID           = "(beat)"
	schemaVersion    = 1
	reindexPage      = 200
)

// A value under unique begins with taken. A record that an index does not hold has vacant and its id there, so that the field is
// always present and never collides: the store relies on neither sparse indexes nor the treatment of null.
const (
	taken  = "="
	vacant = "!"
)

// never stands in expires for a record without an end.
const never = bson.DateTime(253402300799999) // 9999-12-31T23:59:59.999Z

// collection is a storage.Kind with its documents.
type collection struct {
	kind      storage.Kind
	documents *mongo.Collection
}

// document is a record as it is stored. The body is the same text as in the embedded store; what can be looked up stands beside it.
func document(r storage.Record, index storage.Index) (bson.D, error) {
	body, err := storage.Encode(r)
	if err != nil {
		return nil, err
	}
	kind, meta := r.Kind(), r.RecordMeta()
	unique, filters := bson.D{}, bson.D{}
	for _, name := range kind.Unique {
		value := vacant + meta.ID
		if held, ok := index.Unique[name]; ok {
			value = taken + held
		}
		unique = append(unique, bson.E{Key: name, Value: value})
	}
	for _, name := range kind.Filters {
		values := slices.Compact(slices.Sorted(slices.Values(index.Filters[name])))
		filters = append(filters, bson.E{Key: name, Value: append([]string{}, values...)})
	}
	return bson.D{
		{Key: "_id", Value: meta.ID},
		{Key: "version", Value: meta.Version},
		{Key: "expires", Value: ends(index.ExpiresAt)},
		{Key: "unique", Value: unique},
		{Key: "filters", Value: filters},
		{Key: "body", Value: string(body)},
	}, nil
}

func ends(at time.Time) bson.DateTime {
	if at.IsZero() {
		return never
	}
	return min(bson.NewDateTimeFromTime(at), never)
}

func authorityAt(sequence int64) bson.D {
	return bson.D{{Key: "_id", Value: authorityID}, {Key: "sequence", Value: sequence}}
}

// index is one index as it is declared and as the server reports it.
type index struct {
	Name   string `bson:"name"`
	Key    bson.D `bson:"key"`
	Unique bool   `bson:"unique"`
}

// indexes are exactly those that a kind declares, and one for expiry.
func indexes(kind storage.Kind) []index {
	all := []index{{Name: "expires", Key: bson.D{{Key: "expires", Value: int32(1)}}}}
	for _, name := range kind.Unique {
		all = append(all, index{Name: uniquePrefix + name, Key: bson.D{{Key: "unique." + name, Value: int32(1)}}, Unique: true})
	}
	for _, name := range kind.Filters {
		key := bson.D{{Key: "filters." + name, Value: int32(1)}, {Key: "_id", Value: int32(1)}}
		all = append(all, index{Name: filterPrefix + name, Key: key})
	}
	return all
}

const (
	uniquePrefix = "unique_"
	filterPrefix = "filter_"
)

// prepareSchema creates or asserts collections and indexes and sets s.kinds. Several nodes may do so at once.
func (s *Store) prepareSchema(ctx context.Context, kinds []storage.Kind) error {
	if err := s.claimSchema(ctx); err != nil {
		return err
	}
	// Read before it is written: a write would wait for a transaction on it, and the node of that one may have been killed.
	err := s.authority.FindOne(ctx, authorityAt(0)[:1]).Err()
	switch {
	case errors.Is(err, mongo.ErrNoDocuments):
		err = s.ensure(ctx, s.authority, authorityAt(0))
	case err != nil:
		err = s.refused(ctx, err)
	}
	if err != nil {
		return fmt.Errorf("create %s: %w", authorityName, err)
	}
	s.kinds = map[string]*collection{}
	for _, kind := range kinds {
		c := &collection{kind: kind, documents: s.database.Collection(kind.Name)}
		if err := s.prepareCollection(ctx, c); err != nil {
			return fmt.Errorf("prepare collection %s: %w", kind.Name, err)
		}
		s.kinds[kind.Name] = c
	}
	return nil
}

// claimSchema notes the schema version in a new database and refuses one that a newer Writ wrote. On the way it uses every right
// that the store needs, so that a missing one is told at the start.
func (s *Store) claimSchema(ctx context.Context) error {
	version := bson.D{{Key: "_id", Value: schemaID}, {Key: "version", Value: schemaVersion}}
	if err := s.ensure(ctx, s.declarations, version); err != nil {
		return fmt.Errorf("write to the database %s: %w", s.database.Name(), err)
	}
	var stored struct {
		Version int `bson:"version"`
	}
	filter := bson.D{{Key: "_id", Value: schemaID}}
	if err := s.declarations.FindOne(ctx, filter).Decode(&stored); err != nil {
		return fmt.Errorf("read the database %s: %w", s.database.Name(), s.refused(ctx, err))
	}
	if stored.Version > schemaVersion {
		return fmt.Errorf("a newer version of Writ wrote the database %s (schema %d, this one knows %d); start that version, or "+
			"restore a backup", s.database.Name(), stored.Version, schemaVersion)
	}
	absent := bson.D{{Key: "_id", Value: "(absent)"}}
	if _, err := s.declarations.ReplaceOne(ctx, absent, absent); err != nil {
		return fmt.Errorf("update in the database %s: %w", s.database.Name(), s.refused(ctx, err))
	}
	if _, err := s.declarations.DeleteOne(ctx, absent); err != nil {
		return fmt.Errorf("remove from the database %s: %w", s.database.Name(), s.refused(ctx, err))
	}
	return nil
}

// ensure inserts a document unless its id is there.
func (s *Store) ensure(ctx context.Context, into *mongo.Collection, document bson.D) error {
	_, err := into.InsertOne(ctx, document)
	if err == nil || mongo.IsDuplicateKeyError(err) {
		return nil
	}
	return s.refused(ctx, err)
}

func (s *Store) refused(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ended(ctx)
	}
	return forbidden(err, s.database.Name())
}

func (s *Store) prepareCollection(ctx context.Context, c *collection) error {
	text, err := json.Marshal([][]string{c.kind.Unique, c.kind.Filters})
	if err != nil {
		return err
	}
	declared := bson.D{{Key: "_id", Value: c.kind.Name}, {Key: "declared", Value: string(text)}}
	var before struct {
		Declared string `bson:"declared"`
	}
	err = s.declarations.FindOne(ctx, declared[:1]).Decode(&before)
	if err != nil && !errors.Is(err, mongo.ErrNoDocuments) {
		return s.refused(ctx, err)
	}
	changed := before.Declared != string(text)
	if changed { // before the indexes: a document without the field would collide with the next one
		if err := s.reindex(ctx, c); err != nil {
			return fmt.Errorf("index anew: %w", err)
		}
	}
	if err := s.prepareIndexes(ctx, c); err != nil {
		return err
	}
	if !changed {
		return nil
	}
	if err := s.ensure(ctx, s.declarations, declared); err != nil {
		return err
	}
	if _, err := s.declarations.ReplaceOne(ctx, declared[:1], declared); err != nil {
		return s.refused(ctx, err)
	}
	return nil
}

// prepareIndexes creates the indexes that are missing, drops those that are no longer declared, and refuses one that has the name
// of a declared index and is another. Indexes that somebody else made are left alone.
func (s *Store) prepareIndexes(ctx context.Context, c *collection) error {
	present, err := s.listIndexes(ctx, c)
	if err != nil {
		return err
	}
	declared := indexes(c.kind)
	for _, have := range present {
		at := slices.IndexFunc(declared, func(i index) bool { return i.Name == have.Name })
		switch {
		case at < 0 && (strings.HasPrefix(have.Name, uniquePrefix) || strings.HasPrefix(have.Name, filterPrefix)):
			if err := c.documents.Indexes().DropOne(ctx, have.Name); err != nil {
				return fmt.Errorf("drop index %s: %w", have.Name, s.refused(ctx, err))
			}
		case at < 0:
		case !have.equal(declared[at]):
			return fmt.Errorf("the index %s is not the one that Writ declares; drop it, and Writ creates it again", have.Name)
		default:
			declared = slices.Delete(declared, at, at+1)
		}
	}
	if len(declared) == 0 {
		return nil
	}
	models := make([]mongo.IndexModel, len(declared))
	for n, missing := range declared {
		models[n] = mongo.IndexModel{Keys: missing.Key, Options: options.Index().SetName(missing.Name).SetUnique(missing.Unique)}
	}
	if _, err := c.documents.Indexes().CreateMany(ctx, models); err != nil {
		return fmt.Errorf("create indexes: %w", s.refused(ctx, err))
	}
	return nil
}

func (s *Store) listIndexes(ctx context.Context, c *collection) ([]index, error) {
	cursor, err := c.documents.Indexes().List(ctx)
	if err != nil {
		if answer := refusal(err); answer != nil && answer.HasErrorCode(codeNamespaceNotFound) {
			return nil, nil
		}
		return nil, fmt.Errorf("list indexes: %w", s.refused(ctx, err))
	}
	var present []index
	if err := cursor.All(ctx, &present); err != nil {
		return nil, fmt.Errorf("list indexes: %w", s.refused(ctx, err))
	}
	return present, nil
}

func (i index) equal(other index) bool {
	return i.Unique == other.Unique && slices.EqualFunc(i.Key, other.Key, func(a, b bson.E) bool {
		return a.Key == b.Key && fmt.Sprint(a.Value) == fmt.Sprint(b.Value)
	})
}

// reindex gives all documents of the kind the look-up values that their records have now. A document that changes meanwhile is
// taken again.
func (s *Store) reindex(ctx context.Context, c *collection) error {
	for after := ""; ; {
		page := options.Find().SetSort(byID()).SetLimit(reindexPage)
		cursor, err := c.documents.Find(ctx, bson.D{{Key: "_id", Value: bson.D{{Key: "$gt", Value: after}}}}, page)
		if err != nil {
			return s.refused(ctx, err)
		}
		var stored []bson.Raw
		if err := cursor.All(ctx, &stored); err != nil {
			return s.refused(ctx, err)
		}
		if len(stored) == 0 {
			return nil
		}
		for _, raw := range stored {
			record := c.kind.New()
			if err := decode(raw, record); err != nil {
				return err
			}
			again, err := s.rekey(ctx, c, record)
			if err != nil {
				return err
			}
			if again {
				break
			}
			after = record.RecordMeta().ID
		}
	}
}

// rekey stores a record as it is, with the look-up values that it has now, and says whether it must be read again.
func (s *Store) rekey(ctx context.Context, c *collection, r storage.Record) (again bool, err error) {
	found, err := storage.Indexed(r)
	if err != nil {
		return false, err
	}
	keyed, err := document(r, found)
	if err != nil {
		return false, err
	}
	meta := r.RecordMeta()
	result, err := c.documents.ReplaceOne(ctx, bson.D{{Key: "_id", Value: meta.ID}, {Key: "version", Value: meta.Version}}, keyed)
	if err != nil {
		return false, s.refused(ctx, err)
	}
	return result.MatchedCount == 0, nil
}
