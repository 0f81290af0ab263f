package storagetest

import (
	"context"
	"time"

	"github.com/writ-authz/writ/storage"
)

// recorder notes each call of a store. A method added to the contract is promoted unrecorded, so the accounting demands it.
type recorder struct {
	storage.Store
	calls *calls
}

func (r *recorder) Get(ctx context.Context, into storage.Record, id string) error {
	r.calls.note("Store.Get")
	return r.Store.Get(ctx, into, id)
}

func (r *recorder) Lookup(ctx context.Context, into storage.Record, index, value string) error {
	r.calls.note("Store.Lookup")
	return r.Store.Lookup(ctx, into, index, value)
}

func (r *recorder) List(ctx context.Context, kind storage.Kind, q storage.Query) ([]storage.Record, error) {
	r.calls.note("Store.List")
	return r.Store.List(ctx, kind, q)
}

func (r *recorder) Sequence(ctx context.Context) (int64, error) {
	r.calls.note("Store.Sequence")
	return r.Store.Sequence(ctx)
}

func (r *recorder) Insert(ctx context.Context, record storage.Record) error {
	r.calls.note("Store.Insert")
	return r.Store.Insert(ctx, record)
}

func (r *recorder) Update(ctx context.Context, record storage.Record) error {
	r.calls.note("Store.Update")
	return r.Store.Update(ctx, record)
}

func (r *recorder) Delete(ctx context.Context, kind storage.Kind, id string, version int64) error {
	r.calls.note("Store.Delete")
	return r.Store.Delete(ctx, kind, id, version)
}

func (r *recorder) Txn(ctx context.Context, fn func(ctx context.Context, tx storage.Tx) error) error {
	r.calls.note("Store.Txn")
	return r.Store.Txn(ctx, func(ctx context.Context, tx storage.Tx) error {
		return fn(ctx, &txRecorder{Tx: tx, calls: r.calls})
	})
}

func (r *recorder) Changes(ctx context.Context, after int64, limit int) ([]storage.Change, error) {
	r.calls.note("Store.Changes")
	return r.Store.Changes(ctx, after, limit)
}

func (r *recorder) Restore(ctx context.Context, records []storage.Record, sequence int64) error {
	r.calls.note("Store.Restore")
	return r.Store.Restore(ctx, records, sequence)
}

func (r *recorder) Purge(ctx context.Context, now time.Time) (int, error) {
	r.calls.note("Store.Purge")
	return r.Store.Purge(ctx, now)
}

func (r *recorder) Ping(ctx context.Context) error {
	r.calls.note("Store.Ping")
	return r.Store.Ping(ctx)
}

func (r *recorder) Describe() string {
	r.calls.note("Store.Describe")
	return r.Store.Describe()
}

func (r *recorder) Close() error {
	r.calls.note("Store.Close")
	return r.Store.Close()
}

// txRecorder notes each call of a transaction.
type txRecorder struct {
	storage.Tx
	calls *calls
}

func (r *txRecorder) Get(ctx context.Context, into storage.Record, id string) error {
	r.calls.note("Tx.Get")
	return r.Tx.Get(ctx, into, id)
}

func (r *txRecorder) Lookup(ctx context.Context, into storage.Record, index, value string) error {
	r.calls.note("Tx.Lookup")
	return r.Tx.Lookup(ctx, into, index, value)
}

func (r *txRecorder) List(ctx context.Context, kind storage.Kind, q storage.Query) ([]storage.Record, error) {
	r.calls.note("Tx.List")
	return r.Tx.List(ctx, kind, q)
}

func (r *txRecorder) Sequence(ctx context.Context) (int64, error) {
	r.calls.note("Tx.Sequence")
	return r.Tx.Sequence(ctx)
}

func (r *txRecorder) Insert(ctx context.Context, record storage.Record) error {
	r.calls.note("Tx.Insert")
	return r.Tx.Insert(ctx, record)
}

func (r *txRecorder) Update(ctx context.Context, record storage.Record) error {
	r.calls.note("Tx.Update")
	return r.Tx.Update(ctx, record)
}

func (r *txRecorder) Delete(ctx context.Context, kind storage.Kind, id string, version int64) error {
	r.calls.note("Tx.Delete")
	return r.Tx.Delete(ctx, kind, id, version)
}

func (r *txRecorder) Advance(ctx context.Context, from int64) error {
	r.calls.note("Tx.Advance")
	return r.Tx.Advance(ctx, from)
}
