package mongo

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"unicode/utf8"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/writ-authz/writ/storage"
)

const (
	// judgedPage is how many documents are fetched at once where the filter that the server knows is too wide.
	judgedPage = 200
	// wholeReply is a size of reply, in bytes, below which the server has left nothing out; it cuts at 16 MiB.
	wholeReply = 8 << 20
)

// Get implements storage.Reader.
func (s *Store) Get(ctx context.Context, into storage.Record, id string) error {
	if err := s.ready(ctx); err != nil {
		return err
	}
	kind := into.Kind()
	c, err := s.collection(kind)
	if err != nil {
		return err
	}
	if err := s.one(ctx, c, into, bson.D{{Key: "_id", Value: id}, s.live()}); err != nil {
		return fmt.Errorf("%s: %w", kind.Name, err)
	}
	return nil
}

// Lookup implements storage.Reader.
func (s *Store) Lookup(ctx context.Context, into storage.Record, index, value string) error {
	if err := s.ready(ctx); err != nil {
		return err
	}
	kind := into.Kind()
	c, err := s.collection(kind)
	if err != nil {
		return err
	}
	if !slices.Contains(kind.Unique, index) {
		return fmt.Errorf("%s declares no unique index %q", kind.Name, index)
	}
	if err := s.one(ctx, c, into, bson.D{{Key: "unique." + index, Value: taken + value}, s.live()}); err != nil {
		return fmt.Errorf("%s by %s: %w", kind.Name, index, err)
	}
	return nil
}

// List implements storage.Reader.
func (s *Store) List(ctx context.Context, kind storage.Kind, q storage.Query) (records []storage.Record, err error) {
	if err := s.ready(ctx); err != nil {
		return nil, err
	}
	err = s.instant(ctx, func(ctx context.Context) error { records, err = s.list(ctx, kind, q); return err })
	return records, err
}

// Sequence implements storage.Reader.
func (s *Store) Sequence(ctx context.Context) (int64, error) {
	if err := s.ready(ctx); err != nil {
		return 0, err
	}
	return s.sequence(ctx)
}

// instant runs read in a session whose reads all see the state of the first one.
func (s *Store) instant(ctx context.Context, read func(ctx context.Context) error) error {
	session, err := s.client.StartSession(options.Session().SetSnapshot(true))
	if err != nil {
		return failed(ctx, err)
	}
	defer session.EndSession(ctx)
	return read(mongo.NewSessionContext(ctx, session))
}

func (s *Store) collection(kind storage.Kind) (*collection, error) {
	c, ok := s.kinds[kind.Name]
	if !ok {
		return nil, fmt.Errorf("the store keeps no collection %q", kind.Name)
	}
	return c, nil
}

// live is the condition that a document has not expired.
func (s *Store) live() bson.E {
	return bson.E{Key: "expires", Value: bson.D{{Key: "$gt", Value: bson.NewDateTimeFromTime(s.now())}}}
}

func byID() bson.D { return bson.D{{Key: "_id", Value: 1}} }

func backByID() bson.D { return bson.D{{Key: "_id", Value: -1}} }

// bodyOnly leaves out what is there for look-ups.
func bodyOnly() bson.D { return bson.D{{Key: "_id", Value: 0}, {Key: "body", Value: 1}} }

func (s *Store) one(ctx context.Context, c *collection, into storage.Record, filter bson.D) error {
	raw, err := c.documents.FindOne(ctx, filter, options.FindOne().SetProjection(bodyOnly())).Raw()
	if errors.Is(err, mongo.ErrNoDocuments) {
		return storage.ErrNotFound
	}
	if err != nil {
		return failed(ctx, err)
	}
	return decode(raw, into)
}

func decode(raw bson.Raw, into storage.Record) error {
	body, ok := raw.Lookup("body").StringValueOK()
	if !ok {
		return fmt.Errorf("a document of %s has no body", into.Kind().Name)
	}
	return storage.Decode([]byte(body), into)
}

func (s *Store) sequence(ctx context.Context) (int64, error) {
	var stored struct {
		Sequence int64 `bson:"sequence"`
	}
	if err := s.authority.FindOne(ctx, bson.D{{Key: "_id", Value: authorityID}}).Decode(&stored); err != nil {
		return 0, failed(ctx, err)
	}
	return stored.Sequence, nil
}

func (s *Store) list(ctx context.Context, kind storage.Kind, q storage.Query) ([]storage.Record, error) {
	c, err := s.collection(kind)
	if err != nil {
		return nil, err
	}
	if err := q.Check(kind); err != nil {
		return nil, err
	}
	records, sort, at := []storage.Record{}, byID(), &q.After
	if q.Before != "" {
		sort, at = backByID(), &q.Before
	}
	size := q.Limit
	if len(q.Prefix) > 0 { // the server's answer is too wide, and judged here
		size = max(size, judgedPage)
	}
	for {
		read, bytes := 0, 0
		err := s.page(ctx, c.documents, s.selection(q), bodyOnly(), sort, size, func(raw bson.Raw) error {
			record := kind.New()
			if err := decode(raw, record); err != nil {
				return err
			}
			read, bytes, *at = read+1, bytes+len(raw), record.RecordMeta().ID
			if len(records) < q.Limit && q.Selects(record.Index()) {
				records = append(records, record)
			}
			return nil
		})
		// A page that is not full is the last, unless the server cut it at the largest size of a reply.
		if err != nil || len(records) == q.Limit || read < size && bytes < wholeReply || read == 0 {
			if q.Before != "" {
				slices.Reverse(records)
			}
			return records, err
		}
	}
}

// page reads the first documents, in the order of sort, that a filter finds, in one reply without a cursor: in a session that reads an instant
// the driver names the instant in getMore too, where it has no place.
func (s *Store) page(
	ctx context.Context, documents *mongo.Collection, filter, fields, sort bson.D, size int, each func(bson.Raw) error,
) error {
	o := options.Find().SetSort(sort).SetProjection(fields).SetBatchSize(int32(size)).SetLimit(-int64(size)) // negative: one batch
	cursor, err := documents.Find(ctx, filter, o)
	if err != nil {
		return failed(ctx, err)
	}
	defer cursor.Close(ctx)
	for cursor.Next(ctx) {
		if err := each(cursor.Current); err != nil {
			return err
		}
	}
	if err := cursor.Err(); err != nil {
		return failed(ctx, err)
	}
	return nil
}

// selection is the filter that finds at least what q selects. A prefix is a range, and of two bounds on a list of values each may be
// met by another value, so a document that is found need not be selected.
func (s *Store) selection(q storage.Query) bson.D {
	filter := bson.D{s.live()}
	if q.After != "" {
		filter = append(filter, bson.E{Key: "_id", Value: bson.D{{Key: "$gt", Value: q.After}}})
	}
	if q.Before != "" {
		filter = append(filter, bson.E{Key: "_id", Value: bson.D{{Key: "$lt", Value: q.Before}}})
	}
	for _, name := range slices.Sorted(maps.Keys(q.Equal)) {
		values := append([]string{}, q.Equal[name]...)
		filter = append(filter, bson.E{Key: "filters." + name, Value: bson.D{{Key: "$in", Value: values}}})
	}
	for _, name := range slices.Sorted(maps.Keys(q.Prefix)) {
		prefix := q.Prefix[name]
		bounds := bson.D{{Key: "$gte", Value: prefix}}
		if end := behind(prefix); end != "" {
			bounds = append(bounds, bson.E{Key: "$lt", Value: end})
		}
		filter = append(filter, bson.E{Key: "filters." + name, Value: bounds})
	}
	// One field may have both an equality and a prefix.
	return conjunction(filter)
}

// conjunction joins conditions on the same field, which a filter may name only once.
func conjunction(filter bson.D) bson.D {
	var joined bson.D
	for _, condition := range filter {
		same := slices.IndexFunc(joined, func(e bson.E) bool { return e.Key == condition.Key })
		if same < 0 {
			joined = append(joined, condition)
			continue
		}
		joined[same].Value = append(slices.Clone(joined[same].Value.(bson.D)), condition.Value.(bson.D)...)
	}
	return joined
}

// behind returns the least text that is greater than every text with this prefix, or "" where there is none.
func behind(prefix string) string {
	for prefix != "" {
		last, size := utf8.DecodeLastRuneInString(prefix)
		prefix = prefix[:len(prefix)-size]
		switch {
		case last == utf8.RuneError && size == 1:
			return "" // no stored text has it; the range stays open
		case last == 0xD7FF: // the code points behind it are surrogates and in no text
			return prefix + "\uE000"
		case last < utf8.MaxRune:
			return prefix + string(last+1)
		}
	}
	return ""
}
