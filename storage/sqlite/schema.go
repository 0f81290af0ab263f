package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/writ-authz/writ/storage"
)

// schemaVersion is kept in SQLite's user_version.
const schemaVersion = 1

// Documents are an ordinary table, because bodies are large and would spoil the fan-out of a primary-key tree; the index
// tables are WITHOUT ROWID, because they are their own index. Numbers stand for the names of kinds and indexes so that rows
// are small. expires is in Unix milliseconds and never where a record has no end; keys is what the document has in uniques
// and filters, so that an update touches only what changed.
const schema = `
CREATE TABLE kinds (kind INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, declared TEXT NOT NULL);
CREATE TABLE indexes (name INTEGER PRIMARY KEY, title TEXT NOT NULL UNIQUE);
CREATE TABLE documents (
	doc INTEGER PRIMARY KEY, kind INTEGER NOT NULL, id TEXT NOT NULL, version INTEGER NOT NULL, expires INTEGER NOT NULL,
	keys BLOB NOT NULL, body BLOB NOT NULL
);
CREATE UNIQUE INDEX document_ids ON documents (kind, id);
CREATE INDEX document_ends ON documents (expires) WHERE expires < 9223372036854775807;
CREATE TABLE uniques (name INTEGER, value TEXT, doc INTEGER NOT NULL, PRIMARY KEY (name, value)) WITHOUT ROWID;
CREATE TABLE filters (
	name INTEGER, value TEXT, id TEXT, doc INTEGER NOT NULL, PRIMARY KEY (name, value, id)
) WITHOUT ROWID;
CREATE TABLE authority (one INTEGER PRIMARY KEY CHECK (one = 1), sequence INTEGER NOT NULL);
INSERT INTO authority VALUES (1, 0);
CREATE TABLE changes (sequence INTEGER PRIMARY KEY, items BLOB NOT NULL);
`

// collection is a storage.Kind with the numbers that stand for it and its indexes.
type collection struct {
	kind   storage.Kind
	number int64
	// indexes holds the unique indexes and the filters; their names are distinct within a kind.
	indexes map[string]int64
}

// declared is kept beside the kind's number: when it differs, the kind is indexed anew.
func (c *collection) declared() (string, error) {
	text, err := json.Marshal([][]string{c.kind.Unique, c.kind.Filters})
	return string(text), err
}

// prepareSchema creates or checks the tables and sets s.kinds and s.unique.
func (s *Store) prepareSchema(ctx context.Context, kinds []storage.Kind) error {
	var mode string
	if err := s.writer.QueryRowContext(ctx, "PRAGMA journal_mode").Scan(&mode); err != nil {
		return fmt.Errorf("%w; is %s a database of Writ?", err, databaseFile)
	}
	if mode != "wal" {
		return fmt.Errorf("journal mode is %q instead of wal; the data directory must be on a local file system", mode)
	}
	tx, err := s.writer.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() // of no effect after Commit
	var version int
	if err := tx.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil {
		return err
	}
	switch {
	case version > schemaVersion:
		return fmt.Errorf("a newer version of Writ wrote it (schema %d, this one knows %d); start that version, "+
			"or restore a backup", version, schemaVersion)
	case version == 0:
		if _, err := tx.ExecContext(ctx, schema+fmt.Sprintf("PRAGMA user_version = %d", schemaVersion)); err != nil {
			return fmt.Errorf("create schema: %w", err)
		}
	}
	s.kinds, s.unique = map[string]*collection{}, map[int64]bool{}
	for _, kind := range kinds {
		c, err := openCollection(ctx, tx, kind)
		if err != nil {
			return fmt.Errorf("open collection %s: %w", kind.Name, err)
		}
		s.kinds[kind.Name] = c
		for _, name := range kind.Unique {
			s.unique[c.indexes[name]] = true
		}
	}
	return tx.Commit()
}

func openCollection(ctx context.Context, tx *sql.Tx, kind storage.Kind) (*collection, error) {
	c := &collection{kind: kind, indexes: map[string]int64{}}
	for _, name := range slices.Concat(kind.Unique, kind.Filters) {
		title := kind.Name + "." + name
		if _, err := tx.ExecContext(ctx, "INSERT OR IGNORE INTO indexes (title) VALUES (?)", title); err != nil {
			return nil, err
		}
		var number int64
		if err := tx.QueryRowContext(ctx, "SELECT name FROM indexes WHERE title = ?", title).Scan(&number); err != nil {
			return nil, err
		}
		c.indexes[name] = number
	}
	declared, err := c.declared()
	if err != nil {
		return nil, err
	}
	_, err = tx.ExecContext(ctx, "INSERT OR IGNORE INTO kinds (name, declared) VALUES (?, ?)", kind.Name, declared)
	if err != nil {
		return nil, err
	}
	var before string
	row := tx.QueryRowContext(ctx, "SELECT kind, declared FROM kinds WHERE name = ?", kind.Name)
	if err := row.Scan(&c.number, &before); err != nil {
		return nil, err
	}
	if before == declared {
		return c, nil
	}
	if err := c.reindex(ctx, tx); err != nil {
		return nil, fmt.Errorf("index anew: %w", err)
	}
	_, err = tx.ExecContext(ctx, "UPDATE kinds SET declared = ? WHERE kind = ?", declared, c.number)
	return c, err
}

// reindex replaces the look-up values of all documents of the kind by those that the records give now.
func (c *collection) reindex(ctx context.Context, tx *sql.Tx) error {
	for _, table := range []string{"uniques", "filters"} {
		_, err := tx.ExecContext(ctx, "DELETE FROM "+table+" WHERE doc IN (SELECT doc FROM documents WHERE kind = ?)",
			c.number)
		if err != nil {
			return err
		}
	}
	for after := int64(0); ; {
		var body []byte
		err := tx.QueryRowContext(ctx, "SELECT doc, body FROM documents WHERE kind = ? AND doc > ? ORDER BY doc LIMIT 1",
			c.number, after).Scan(&after, &body)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		record := c.kind.New()
		if err := storage.Decode(body, record); err != nil {
			return err
		}
		index, err := storage.Indexed(record)
		if err != nil {
			return err
		}
		k := c.keys(index)
		if _, err := tx.ExecContext(ctx, "UPDATE documents SET keys = ? WHERE doc = ?", k.encode(), after); err != nil {
			return err
		}
		for _, key := range k.without(nil) {
			if slices.ContainsFunc(c.kind.Unique, func(u string) bool { return c.indexes[u] == key.name }) {
				_, err = tx.ExecContext(ctx, addUnique, key.name, key.value, after)
			} else {
				_, err = tx.ExecContext(ctx, addFilter, key.name, key.value, record.RecordMeta().ID, after)
			}
			if err != nil {
				return err
			}
		}
	}
}

// keys are a document's look-up values: index number to values, ascending and each once.
type keys map[int64][]string

func (c *collection) keys(index storage.Index) keys {
	k := keys{}
	for name, value := range index.Unique {
		k[c.indexes[name]] = []string{value}
	}
	for name, values := range index.Filters {
		if len(values) > 0 {
			k[c.indexes[name]] = slices.Compact(slices.Sorted(slices.Values(values)))
		}
	}
	return k
}

func (k keys) encode() []byte {
	text, err := json.Marshal(k)
	if err != nil {
		panic(err) // a map of numbers to strings always encodes
	}
	return text
}

// without returns the values of k that other does not have, in a stable order.
func (k keys) without(other keys) []key {
	var rest []key
	for _, name := range slices.Sorted(maps.Keys(k)) {
		for _, value := range k[name] {
			if _, found := slices.BinarySearch(other[name], value); !found {
				rest = append(rest, key{name, value})
			}
		}
	}
	return rest
}

type key struct {
	name  int64
	value string
}
