package sqlite

import (
	"context"
	"database/sql"
	"fmt"
)

// The statements. Every text that varies is a parameter; a list of values is one parameter, a JSON array.
const (
	getRecord = "SELECT body FROM documents WHERE kind = ? AND id = ? AND expires > ?"
	lookup    = "SELECT d.body FROM uniques u CROSS JOIN documents d ON d.doc = u.doc " +
		"WHERE u.name = ? AND u.value = ? AND d.expires > ?"

	// Lists in ascending order of the id: of all documents of a kind, of those with one filter value (streamed along the
	// index), and of those with any of several values or with a value in a range (sorted).
	listAll   = "SELECT body FROM documents WHERE kind = ? AND id > ? AND expires > ? ORDER BY id LIMIT ?"
	listEqual = "SELECT d.body FROM filters f CROSS JOIN documents d ON d.doc = f.doc " +
		"WHERE f.name = ? AND f.value = ? AND f.id > ? AND d.expires > ? ORDER BY f.id"
	listAny = "SELECT body FROM documents WHERE doc IN (SELECT doc FROM filters WHERE name = ? " +
		"AND value IN (SELECT value FROM json_each(?)) AND id > ?) AND expires > ? ORDER BY id"
	listRange = "SELECT body FROM documents WHERE doc IN (SELECT doc FROM filters WHERE name = ? " +
		"AND value >= ? AND value < ? AND id > ?) AND expires > ? ORDER BY id"
	// The same from an id down, for pages that end in front of it.
	listAllBefore   = "SELECT body FROM documents WHERE kind = ? AND id < ? AND expires > ? ORDER BY id DESC LIMIT ?"
	listEqualBefore = "SELECT d.body FROM filters f CROSS JOIN documents d ON d.doc = f.doc " +
		"WHERE f.name = ? AND f.value = ? AND f.id < ? AND d.expires > ? ORDER BY f.id DESC"
	listAnyBefore = "SELECT body FROM documents WHERE doc IN (SELECT doc FROM filters WHERE name = ? " +
		"AND value IN (SELECT value FROM json_each(?)) AND id < ?) AND expires > ? ORDER BY id DESC"
	listRangeBefore = "SELECT body FROM documents WHERE doc IN (SELECT doc FROM filters WHERE name = ? " +
		"AND value >= ? AND value < ? AND id < ?) AND expires > ? ORDER BY id DESC"
	countAnyBefore = "SELECT count(*) FROM (SELECT 1 FROM filters WHERE name = ? " +
		"AND value IN (SELECT value FROM json_each(?)) AND id < ? LIMIT ?)"

	countAny = "SELECT count(*) FROM (SELECT 1 FROM filters WHERE name = ? " +
		"AND value IN (SELECT value FROM json_each(?)) AND id > ? LIMIT ?)"
	// A range is counted from its start: to look for what is behind the cursor would walk all of it.
	countRange = "SELECT count(*) FROM (SELECT 1 FROM filters WHERE name = ? AND value >= ? AND value < ? LIMIT ?)"

	getSequence = "SELECT sequence FROM authority"
	getChanges  = "SELECT sequence, items FROM changes WHERE sequence > ? ORDER BY sequence LIMIT ?"

	findID     = "SELECT doc, id, version, expires, keys FROM documents WHERE kind = ? AND id = ?"
	findUnique = "SELECT d.doc, d.id, d.version, d.expires, d.keys FROM uniques u CROSS JOIN documents d ON d.doc = u.doc " +
		"WHERE u.name = ? AND u.value = ?"
	findExpired = "SELECT doc, id, version, expires, keys FROM documents " +
		"WHERE expires <= ? AND expires < 9223372036854775807 LIMIT ?"

	addDocument     = "INSERT INTO documents (kind, id, version, expires, keys, body) VALUES (?, ?, ?, ?, ?, ?)"
	replaceDocument = "UPDATE documents SET version = ?, expires = ?, keys = ?, body = ? WHERE doc = ?"
	removeDocument  = "DELETE FROM documents WHERE doc = ?"
	addUnique       = "INSERT INTO uniques (name, value, doc) VALUES (?, ?, ?)"
	removeUnique    = "DELETE FROM uniques WHERE name = ? AND value = ?"
	addFilter       = "INSERT INTO filters (name, value, id, doc) VALUES (?, ?, ?, ?)"
	removeFilter    = "DELETE FROM filters WHERE name = ? AND value = ? AND id = ?"
	setSequence     = "UPDATE authority SET sequence = ?"
	advance         = "UPDATE authority SET sequence = sequence + 1 WHERE sequence = ?"
	addChange       = "INSERT INTO changes (sequence, items) VALUES (?, ?)"
)

// statements are the prepared statements of one pool of connections.
type statements map[string]*sql.Stmt

func prepare(ctx context.Context, db *sql.DB, texts ...string) (statements, error) {
	prepared := statements{}
	for _, text := range texts {
		stmt, err := db.PrepareContext(ctx, text)
		if err != nil {
			return nil, fmt.Errorf("prepare %q: %w", text, err)
		}
		prepared[text] = stmt
	}
	return prepared, nil
}

func readStatements() []string {
	return []string{
		getRecord, lookup, listAll, listEqual, listAny, listRange, listAllBefore, listEqualBefore, listAnyBefore, listRangeBefore,
		countAny, countAnyBefore, countRange, getSequence, getChanges,
	}
}

func writeStatements() []string {
	return append(readStatements(),
		findID, findUnique, findExpired, addDocument, replaceDocument, removeDocument, addUnique, removeUnique, addFilter,
		removeFilter, setSequence, advance, addChange)
}
