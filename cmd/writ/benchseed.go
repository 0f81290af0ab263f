//go:build bench

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"

	"github.com/writ-authz/writ/storage"
)

// seed is a number of records of one kind, as they are stored.
type seed struct {
	Kind    string            `json:"kind"`
	Records []json.RawMessage `json:"records"`
}

// seedRecords inserts records as they are, in one transaction, and replies when this node knows them. It spares a benchmark the
// hashing and the checks of ten thousand users; what it writes is not audited.
func (n *node) seedRecords(w http.ResponseWriter, r *http.Request) {
	var in seed
	err := json.NewDecoder(r.Body).Decode(&in)
	if err == nil {
		err = n.insert(r.Context(), in)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (n *node) insert(ctx context.Context, in seed) error {
	at := slices.IndexFunc(storage.Kinds(), func(k storage.Kind) bool { return k.Name == in.Kind })
	if at < 0 {
		return fmt.Errorf("there is no kind %q", in.Kind)
	}
	kind := storage.Kinds()[at]
	records := make([]storage.Record, len(in.Records))
	for i, body := range in.Records {
		records[i] = kind.New()
		if err := storage.Decode(body, records[i]); err != nil {
			return err
		}
	}
	sequence, err := n.store.Sequence(ctx)
	if err == nil {
		err = insertRecords(ctx, n.store, sequence, records)
	}
	if err != nil {
		return fmt.Errorf("seed %s: %w", in.Kind, err)
	}
	return n.follower.CatchUp(ctx)
}
