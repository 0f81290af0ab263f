package identity

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

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
	named, ok := d.Obligations.Filter["tenants"]
	if !ok || len(d.Obligations.Filter) != 1 {
		return nil, false, fmt.Errorf("%w: the filter of a list names tenants and nothing else", policies.ErrUndecided)
	}
	tenants, err = filtered(named)
	return tenants, true, err
}

// filtered reads the strings of a filter, in order.
func filtered(named any) (texts []string, err error) {
	list, ok := named.([]any)
	if !ok {
		return nil, fmt.Errorf("%w: a filter has lists of strings", policies.ErrUndecided)
	}
	for _, value := range list {
		text, ok := value.(string)
		if !ok {
			return nil, fmt.Errorf("%w: a filter has lists of strings", policies.ErrUndecided)
		}
		texts = append(texts, text)
	}
	slices.Sort(texts)
	return texts, nil
}

// visibility is what a decision lets the caller see of a list: rows of these tenants and, by their ids, single objects of others.
type visibility struct {
	tenants  []string
	narrowed bool
	// objects are the tenants in which the caller reads an object, by its id; "*" is any tenant.
	objects map[string][]string
}

// visibleRows reads a filter that may name single objects beside the tenants.
func visibleRows(d policies.Decision) (see visibility, err error) {
	named, given := d.Obligations.Filter["objects"]
	if !given {
		see.tenants, see.narrowed, err = visible(d)
		return see, err
	}
	byTenant, ok := named.(map[string]any)
	if !ok || len(d.Obligations.Filter) != 2 {
		return see, fmt.Errorf("%w: the filter of a list names tenants and objects by tenant", policies.ErrUndecided)
	}
	see.narrowed, see.objects = true, map[string][]string{}
	if see.tenants, err = filtered(d.Obligations.Filter["tenants"]); err != nil {
		return see, err
	}
	for tenant, ids := range byTenant {
		list, err := filtered(ids)
		if err != nil {
			return see, err
		}
		for _, id := range list {
			see.objects[id] = append(see.objects[id], tenant)
		}
	}
	return see, nil
}

// names is what a cursor is bound to: the tenants, and who else is seen in which.
func (v visibility) names() (tenants, objects []string) {
	for _, id := range slices.Sorted(maps.Keys(v.objects)) {
		for _, tenant := range slices.Sorted(slices.Values(v.objects[id])) {
			objects = append(objects, id, tenant)
		}
	}
	return v.tenants, objects
}

// resolveList asks to read the collection and answers with a page of the rows that the caller may read.
func resolveList[T any, P storage.Pointer[T], V any](r *Room, l *listing, show func(P) V) (enforce.Resolved, error) {
	return enforce.Resolved{
		Question: policies.Question{Resource: resource(standing{r.directory}, "", l.tenant, true)},
		Respond: func(ctx context.Context, d policies.Decision) (enforce.Reply, error) {
			see, err := visibleRows(d)
			if err != nil {
				return enforce.Reply{}, err
			}
			b := binding{list: l.list, filters: l.bound}
			b.visible, b.objects = see.names()
			query := l.query
			if l.after != "" {
				if query.After, err = r.cursors.open(b, l.after); err != nil {
					return enforce.Reply{}, err
				}
			}
			query.Limit = l.limit + 1 // one more tells whether there is a next page
			records, err := rows[T, P](ctx, r.store, l.kind, see, query)
			if err != nil {
				return enforce.Reply{}, fmt.Errorf("list %s: %w", l.list, err)
			}
			reply := page[V]{Items: make([]V, 0, len(records))}
			if l.counted {
				query.After, query.Limit = "", maxCounted+1
				all, err := rows[T, P](ctx, r.store, l.kind, see, query)
				if err != nil {
					return enforce.Reply{}, fmt.Errorf("count %s: %w", l.list, err)
				}
				if n := len(all); n <= maxCounted {
					reply.Total = &n
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

// rows are the records that a query selects of what is seen, in order: those of the tenants, and between them the single ones.
func rows[T any, P storage.Pointer[T]](
	ctx context.Context, store storage.Reader, kind storage.Kind, see visibility, query storage.Query,
) (records []P, err error) {
	whole, none := query, false
	switch {
	case see.narrowed && slices.Contains(kind.Filters, "tenant"):
		whole.Equal = maps.Clone(query.Equal)
		if named, given := query.Equal["tenant"]; given { // whoever sees all of it is not narrowed
			whole.Equal["tenant"] = slices.DeleteFunc(slices.Clone(named), func(t string) bool { return !slices.Contains(see.tenants, t) })
		} else {
			whole.Equal["tenant"] = see.tenants
		}
		none = len(whole.Equal["tenant"]) == 0
	case see.narrowed: // objects of this kind belong to no tenant
		none = !slices.Contains(see.tenants, "")
	}
	if !none {
		if records, err = storage.List[T, P](ctx, store, whole); err != nil {
			return nil, err
		}
	}
	// Of the single objects, those behind the last record of a full page are of another page.
	full := len(records) == query.Limit
	var between []P
	for _, id := range slices.Sorted(maps.Keys(see.objects)) {
		if id <= query.After {
			continue
		}
		if len(between) == query.Limit || full && id > records[len(records)-1].RecordMeta().ID {
			break
		}
		record, err := storage.Get[T, P](ctx, store, id)
		if errors.Is(err, storage.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		index := record.Index()
		if tenants := see.objects[id]; query.Selects(index) && (slices.Contains(tenants, "*") || slices.Contains(tenants, tenantIn(index))) {
			between = append(between, record)
		}
	}
	if len(between) == 0 {
		return records, nil
	}
	records = append(records, between...)
	slices.SortFunc(records, func(a, b P) int { return strings.Compare(a.RecordMeta().ID, b.RecordMeta().ID) })
	records = slices.CompactFunc(records, func(a, b P) bool { return a.RecordMeta().ID == b.RecordMeta().ID })
	return records[:min(len(records), query.Limit)], nil
}

// tenantIn is the tenant by which an index files a record, empty where there is none.
func tenantIn(index storage.Index) string {
	if tenants := index.Filters["tenant"]; len(tenants) > 0 {
		return tenants[0]
	}
	return ""
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
