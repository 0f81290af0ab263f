package storage

import (
	"context"
	"fmt"
)

// dumpPage is how many records a dump reads at a time.
const dumpPage = 500

// Dump gives visit every record of a store as it was at one instant, kind by kind and by id, and returns the authority sequence of that
// instant. What is appended to and never changed is read before it, up to its end then, and the rest of it with everything else in one
// transaction; so nodes that share the store go on, but where the store takes turns (the embedded one), writers wait. The error of visit ends it.
func Dump(ctx context.Context, s Store, visit func(Record) error) (sequence int64, err error) {
	ends := map[string]map[string]string{AuditKind.Name: {}, AuditCheckpointKind.Name: {}} // the last id of each chain
	for _, kind := range []Kind{AuditKind, AuditCheckpointKind} {
		if err := each(ctx, s, kind, Query{}, func(r Record) error {
			ends[kind.Name][chainOf(r)] = r.RecordMeta().ID
			return visit(r)
		}); err != nil {
			return 0, err
		}
	}
	err = s.Txn(ctx, func(ctx context.Context, tx Tx) (err error) {
		if sequence, err = tx.Sequence(ctx); err != nil {
			return err
		}
		for _, kind := range Kinds() {
			if known, ok := ends[kind.Name]; ok {
				err = eachChain(ctx, tx, kind, known, visit)
			} else {
				err = each(ctx, tx, kind, Query{}, visit)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	return sequence, err
}

// each visits what q selects, from q.After on.
func each(ctx context.Context, r Reader, kind Kind, q Query, visit func(Record) error) error {
	q.Limit = dumpPage
	for {
		page, err := r.List(ctx, kind, q)
		if err != nil {
			return fmt.Errorf("read %s: %w", kind.Name, err)
		}
		for _, record := range page {
			if err := visit(record); err != nil {
				return err
			}
			q.After = record.RecordMeta().ID
		}
		if len(page) < q.Limit {
			return nil
		}
	}
}

// eachChain visits what is in the chains behind the ids that are known of them.
func eachChain(ctx context.Context, r Reader, kind Kind, known map[string]string, visit func(Record) error) error {
	for after := ""; ; {
		next, err := r.List(ctx, kind, Query{After: after, Limit: 1})
		if err != nil {
			return fmt.Errorf("read %s: %w", kind.Name, err)
		}
		if len(next) == 0 {
			return nil
		}
		chain := chainOf(next[0])
		q := Query{Equal: map[string][]string{"chain": {chain}}, After: known[chain]}
		if err := each(ctx, r, kind, q, visit); err != nil {
			return err
		}
		after = chain + "0" // the first string behind all ids of the chain: they go on with "/"
	}
}

func chainOf(r Record) string {
	if entry, ok := r.(*AuditEntry); ok {
		return entry.Chain
	}
	return r.(*AuditCheckpoint).Chain
}
