package mongo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/writ-authz/writ/storage"
)

// changeID is the id of a change; ids sort by sequence.
func changeID(sequence int64) string { return fmt.Sprintf("%016d", sequence) }

// Changes implements storage.Store. It reads one instant: in a page that was read while others commit, a change could stand
// without the one before it.
func (s *Store) Changes(ctx context.Context, after int64, limit int) (changes []storage.Change, err error) {
	if err := s.ready(ctx); err != nil {
		return nil, err
	}
	if limit <= 0 {
		return nil, fmt.Errorf("changes: limit %d is not positive", limit)
	}
	err = s.instant(ctx, func(ctx context.Context) error { changes, err = s.feed(ctx, after, limit); return err })
	return changes, err
}

func (s *Store) feed(ctx context.Context, after int64, limit int) ([]storage.Change, error) {
	changes := []storage.Change{}
	filter := bson.D{{Key: "_id", Value: bson.D{{Key: "$gt", Value: changeID(after)}}}}
	fields := bson.D{{Key: "sequence", Value: 1}, {Key: "items", Value: 1}}
	err := s.page(ctx, s.changes, filter, fields, byID(), limit, func(raw bson.Raw) error {
		sequence, ok := raw.Lookup("sequence").AsInt64OK()
		items, text := raw.Lookup("items").StringValueOK()
		if !ok || !text {
			return errors.New("a document of the feed has no sequence or no items")
		}
		change := storage.Change{Sequence: sequence}
		if err := json.Unmarshal([]byte(items), &change.Items); err != nil {
			return fmt.Errorf("decode change %d: %w", sequence, err)
		}
		changes = append(changes, change)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return changes, nil
}
