package identity

import (
	"context"
	"fmt"
	"net/http"
	"slices"

	"github.com/writ-authz/writ/policies"
	"github.com/writ-authz/writ/policies/enforce"
	"github.com/writ-authz/writ/storage"
)

// listing is a list request: what the query selects and what its cursor is bound to.
type listing struct {
	list   string
	kind   storage.Kind
	limit  int
	after  string // the cursor, sealed
	query  storage.Query
	bound  map[string]string
	tenant storage.TenantID
	// counted says that the reply is to tell how many rows there are.
	counted bool
}

// maxCounted is how many rows are counted at most. Counting more would cost what there is, not what is asked for.
const maxCounted = 1000

// page is the reply of a list.
type page[T any] struct {
	Items []T    `json:"items"`
	Next  string `json:"next,omitempty"`
	// Total is how many rows there are on all pages, if that was asked for and they are not too many to count.
	Total *int `json:"total,omitempty"`
}

// listing reads the query of a list with these filters.
func (r *Room) listing(req *enforce.Request, name string, kind storage.Kind, filters ...string) (*listing, error) {
	limit, err := limitOf(req.Query)
	if err != nil {
		return nil, err
	}
	l := &listing{list: name, kind: kind, limit: limit, after: req.Query["after"], bound: map[string]string{}}
	l.query = storage.Query{Equal: map[string][]string{}, Prefix: map[string]string{}}
	if _, given := req.Query["after"]; given && l.after == "" {
		return nil, enforce.BadParameter("unknown_cursor", "after", "the cursor is not one of this list with these filters")
	}
	if l.counted, err = flag(req, "count"); err != nil {
		return nil, err
	}
	for _, filter := range filters {
		value, given := req.Query[filter]
		if !given {
			continue
		}
		l.bound[filter] = value
		switch filter {
		case "role_prefix":
			if value == "" {
				return nil, enforce.BadParameter("bad_filter", filter, "an empty prefix selects nothing")
			}
			l.query.Prefix["role"] = value
		case "key_prefix":
			if value == "" {
				return nil, enforce.BadParameter("bad_filter", filter, "an empty prefix selects nothing")
			}
			l.query.Prefix["key"] = value
		case "name_prefix", "email_prefix":
			folded, ok := searchKey(value)
			if !ok {
				return nil, enforce.BadParameter("bad_filter", filter, "want the begin of a name")
			}
			l.query.Prefix[map[string]string{"name_prefix": "name", "email_prefix": "mail"}[filter]] = folded
		case "suspended", "protected", "active", "ended":
			if value != "true" && value != "false" {
				return nil, enforce.BadParameter("bad_filter", filter, "want true or false")
			}
			l.query.Equal[filter] = []string{value}
		case "tenant":
			l.tenant = storage.TenantID(value)
			l.query.Equal[filter] = []string{value}
		default:
			l.query.Equal[filter] = []string{value}
		}
	}
	return l, nil
}

// visible narrows a list to the tenants that the decision lets the caller see. An obligation that is not understood is no permit.
func visible(d policies.Decision) (tenants []string, narrowed bool, err error) {
	if d.Obligations.Filter == nil {
		return nil, false, nil
	}
	named, ok := d.Obligations.Filter["tenants"].([]any)
	if !ok || len(d.Obligations.Filter) != 1 {
		return nil, false, fmt.Errorf("%w: the filter of a list names tenants and nothing else", policies.ErrUndecided)
	}
	for _, value := range named {
		tenant, ok := value.(string)
		if !ok {
			return nil, false, fmt.Errorf("%w: a tenant of a filter is a string", policies.ErrUndecided)
		}
		tenants = append(tenants, tenant)
	}
	slices.Sort(tenants)
	return tenants, true, nil
}

// resolveList asks to read the collection and answers with a page of the rows that the caller may read.
func resolveList[T any, P storage.Pointer[T], V any](r *Room, l *listing, show func(P) V) (enforce.Resolved, error) {
	return enforce.Resolved{
		Question: policies.Question{Resource: resource(standing{r.directory}, "", l.tenant, true)},
		Respond: func(ctx context.Context, d policies.Decision) (enforce.Reply, error) {
			tenants, narrowed, err := visible(d)
			if err != nil {
				return enforce.Reply{}, err
			}
			query := l.query
			none := narrowed && len(tenants) == 0
			switch {
			case narrowed && slices.Contains(l.kind.Filters, "tenant"):
				query.Equal["tenant"] = tenants
			case narrowed: // objects of this kind belong to no tenant
				none = !slices.Contains(tenants, "")
			}
			b := binding{list: l.list, filters: l.bound, visible: tenants}
			if l.after != "" {
				if query.After, err = r.cursors.open(b, l.after); err != nil {
					return enforce.Reply{}, err
				}
			}
			if none {
				reply := page[V]{Items: []V{}}
				if l.counted {
					reply.Total = new(int)
				}
				return enforce.Reply{Status: http.StatusOK, Body: reply}, nil
			}
			query.Limit = l.limit + 1 // one more tells whether there is a next page
			records, err := storage.List[T, P](ctx, r.store, query)
			if err != nil {
				return enforce.Reply{}, fmt.Errorf("list %s: %w", l.list, err)
			}
			reply := page[V]{Items: make([]V, 0, len(records))}
			if l.counted {
				if reply.Total, err = r.count(ctx, l.kind, query); err != nil {
					return enforce.Reply{}, fmt.Errorf("count %s: %w", l.list, err)
				}
			}
			for i, record := range records {
				if i == l.limit {
					reply.Next = r.cursors.seal(b, records[i-1].RecordMeta().ID)
					break
				}
				reply.Items = append(reply.Items, show(record))
			}
			return enforce.Reply{Status: http.StatusOK, Body: reply}, nil
		},
	}, nil
}

// count is how many rows a query selects on all its pages, nil where they are too many.
func (r *Room) count(ctx context.Context, kind storage.Kind, query storage.Query) (*int, error) {
	query.After, query.Limit = "", maxCounted+1
	records, err := r.store.List(ctx, kind, query)
	n := len(records)
	if err != nil || n > maxCounted {
		return nil, err
	}
	return &n, nil
}

// readObject answers a GET of one object that is there.
func readObject(req *enforce.Request, q policies.Question, m storage.Meta, show func() any) (enforce.Resolved, error) {
	condition, err := preconditionOf(req.HTTP.Header)
	if err != nil {
		return enforce.Resolved{}, err
	}
	return enforce.Resolved{
		Question: q,
		Respond: func(context.Context, policies.Decision) (enforce.Reply, error) {
			return condition.read(m, show())
		},
	}, nil
}

// readMissing asks about an object that is not there.
func (r *Room) readMissing(req *enforce.Request, v view, id string) (enforce.Resolved, error) {
	if _, err := preconditionOf(req.HTTP.Header); err != nil {
		return enforce.Resolved{}, err
	}
	return enforce.Resolved{
		Question: policies.Question{Resource: resource(v, id, "", false)},
		Respond: func(context.Context, policies.Decision) (enforce.Reply, error) {
			return enforce.Reply{}, notFound()
		},
	}, nil
}
