package identity

import (
	"context"
	"fmt"
	"net/http"

	"github.com/writ-authz/writ/policies/enforce"
	"github.com/writ-authz/writ/storage"
)

// scanned bounds how many records one page of a list looks at that no index narrows enough. Such a page may be empty and have a next.
const scanned = 5000

// scan answers with a page of the records for which show holds, beside what the query selects.
func scan[T any, P storage.Pointer[T], V any](
	ctx context.Context, r *Room, l *listing, tenants []string, view func(P) V, show func(P) (bool, error),
) (enforce.Reply, error) {
	b := binding{list: l.list, filters: l.bound, visible: tenants}
	query := l.query
	if l.after != "" {
		var err error
		if query.After, err = r.cursors.open(b, "after", l.after); err != nil {
			return enforce.Reply{}, err
		}
	}
	reply := page[V]{Items: []V{}}
	query.Limit = loadPage
	for looked := 0; ; {
		records, err := storage.List[T, P](ctx, r.store, query)
		if err != nil {
			return enforce.Reply{}, fmt.Errorf("list %s: %w", l.list, err)
		}
		for _, record := range records {
			if len(reply.Items) == l.limit || looked == scanned {
				reply.Next = r.cursors.seal(b, query.After)
				return enforce.Reply{Status: http.StatusOK, Body: reply}, nil
			}
			shown, err := show(record)
			if err != nil {
				return enforce.Reply{}, err
			}
			if shown {
				reply.Items = append(reply.Items, view(record))
			}
			query.After = record.RecordMeta().ID
			looked++
		}
		if len(records) < loadPage {
			return enforce.Reply{Status: http.StatusOK, Body: reply}, nil
		}
	}
}
