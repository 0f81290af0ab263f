package sqlite

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/writ-authz/writ/storage"
)

// Changes implements storage.Store.
func (s *Store) Changes(ctx context.Context, after int64, limit int) (changes []storage.Change, err error) {
	if limit <= 0 {
		return nil, fmt.Errorf("changes: limit %d is not positive", limit)
	}
	err = s.reader(ctx, func(v view) error { changes, err = v.changes(ctx, after, limit); return err })
	return changes, err
}

func (v view) changes(ctx context.Context, after int64, limit int) ([]storage.Change, error) {
	rows, err := v.stmts[getChanges].QueryContext(ctx, after, limit)
	if err != nil {
		return nil, v.failed(ctx, err)
	}
	defer rows.Close()
	changes := []storage.Change{}
	for rows.Next() {
		var change storage.Change
		var items []byte
		if err := rows.Scan(&change.Sequence, &items); err != nil {
			return nil, v.failed(ctx, err)
		}
		if err := json.Unmarshal(items, &change.Items); err != nil {
			return nil, fmt.Errorf("decode change %d: %w", change.Sequence, err)
		}
		changes = append(changes, change)
	}
	if err := rows.Err(); err != nil {
		return nil, v.failed(ctx, err)
	}
	return changes, nil
}
