package mongo

import (
	"context"
	"encoding/json"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

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
	page := options.Find().SetSort(byID()).SetLimit(int64(limit))
	cursor, err := s.changes.Find(ctx, bson.D{{Key: "_id", Value: bson.D{{Key: "$gt", Value: changeID(after)}}}}, page)
	if err != nil {
		return nil, failed(ctx, err)
	}
	defer cursor.Close(ctx)
	changes := []storage.Change{}
	for cursor.Next(ctx) {
		var stored struct {
			Sequence int64  `bson:"sequence"`
			Items    string `bson:"items"`
		}
		if err := cursor.Decode(&stored); err != nil {
			return nil, fmt.Errorf("decode change: %w", err)
		}
		change := storage.Change{Sequence: stored.Sequence}
		if err := json.Unmarshal([]byte(stored.Items), &change.Items); err != nil {
			return nil, fmt.Errorf("decode change %d: %w", change.Sequence, err)
		}
		changes = append(changes, change)
	}
	if err := cursor.Err(); err != nil {
		return nil, failed(ctx, err)
	}
	return changes, nil
}
