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
	before string // the cursor that a page ends in front of, sealed; after is empty then
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

// turningPage is a page of a list that goes both ways. First and Last are the cursors of its first and its last item, for before and
// after; an empty page has neither. Where rules hide too much for a page to be filled, Next or, on the way back, First is how far it looked.
type turningPage[T any] struct {
	page[T]
	First string `json:"first,omitempty"`
	Last  string `json:"last,omitempty"`
}

// listing reads the query of a list with these filters.
func (r *Room) listing(req *enforce.Request, name string, kind storage.Kind, filters ...string) (*listing, error) {
	limit, err := limitOf(req.Query)
	if err != nil {
		return nil, err
	}
	l := &listing{list: name, kind: kind, limit: limit, after: req.Query["after"], before: req.Query["before"], bound: map[string]string{}}
	l.query = storage.Query{Equal: map[string][]string{}, Prefix: map[string]string{}}
	_, forth := req.Query["after"]
	_, back := req.Query["before"]
	switch {
	case forth && back:
		return nil, enforce.BadParameter("two_cursors", "before", "a page is behind one cursor or in front of one, not both")
	case forth && l.after == "":
		return nil, unknownCursor("after")
	case back && l.before == "":
		return nil, unknownCursor("before")
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
		case "role": // a key has no comma
			l.query.Equal[filter] = strings.Split(value, ",")
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

// reader reads a list for one caller.
type reader[T any, P storage.Pointer[T]] struct {
	room *Room
	req  *enforce.Request
	list *listing
	// rows says what is seen; ask is the question whether one record may be read.
	rows *policies.Rows
	ask  func(P) policies.Question
	// tenants are those that an obligation narrows the list to besides, if narrowed.
	tenants  []string
	narrowed bool
}

// resolveList asks to read the collection and answers with a page of the rows that the caller may read one by one, which ask asks about.
func resolveList[T any, P storage.Pointer[T], V any](
	r *Room, req *enforce.Request, l *listing, ask func(P) policies.Question, show func(P) V,
) (enforce.Resolved, error) {
	return enforce.Resolved{
		Question: policies.Question{Resource: resource(standing{r.directory}, "", l.tenant, true)},
		Respond: func(ctx context.Context, d policies.Decision) (enforce.Reply, error) {
			list := reader[T, P]{room: r, req: req, list: l, ask: ask}
			var err error
			if list.tenants, list.narrowed, err = visible(d); err != nil {
				return enforce.Reply{}, err
			}
			if list.rows, err = r.config.PDP.Rows(ctx, d); err != nil {
				return enforce.Reply{}, fmt.Errorf("list %s: %w", l.list, err)
			}
			b := binding{list: l.list, filters: l.bound, visible: append([]string{list.rows.Text()}, list.tenants...)}
			query := l.query
			switch {
			case l.before != "":
				query.Before, err = r.cursors.open(b, "before", l.before)
				query.Limit = l.limit
			case l.after != "":
				query.After, err = r.cursors.open(b, "after", l.after)
				query.Limit = l.limit + 1 // one more tells whether there is a next page
			default:
				query.Limit = l.limit + 1
			}
			if err != nil {
				return enforce.Reply{}, err
			}
			records, reached, err := list.read(ctx, query)
			if err != nil {
				return enforce.Reply{}, fmt.Errorf("list %s: %w", l.list, err)
			}
			reply := turningPage[V]{page: page[V]{Items: make([]V, 0, len(records))}}
			if l.counted {
				query.After, query.Before, query.Limit = "", "", maxCounted+1
				all, more, err := list.read(ctx, query)
				if err != nil {
					return enforce.Reply{}, fmt.Errorf("count %s: %w", l.list, err)
				}
				if n := len(all); n <= maxCounted && more == "" {
					reply.Total = &n
				}
			}
			if len(records) > l.limit {
				records = records[:l.limit]
				reached = records[l.limit-1].RecordMeta().ID
			}
			for _, record := range records {
				reply.Items = append(reply.Items, show(record))
			}
			if n := len(records); n > 0 {
				reply.First, reply.Last = r.cursors.seal(b, records[0].RecordMeta().ID), r.cursors.seal(b, records[n-1].RecordMeta().ID)
			}
			switch {
			case l.before != "": // what the cursor was made of is behind
				reply.Next = reply.Last
				if reached != "" {
					reply.First = r.cursors.seal(b, reached)
				}
			case reached != "":
				reply.Next = r.cursors.seal(b, reached)
			}
			return enforce.Reply{Status: http.StatusOK, Body: reply}, nil
		},
	}, nil
}

// read returns the records that a query selects of what is seen, in order: those that the store finds where the rows lie, and between
// them those that are looked up by their ids. Reached is the id farthest from the cursor that was looked at, empty at the end of the list:
// there are fewer records than were asked for, and more to come, only where too many that are not seen lie between.
func (l *reader[T, P]) read(ctx context.Context, query storage.Query) (records []P, reached string, err error) {
	tenants, ids, everywhere := l.rows.Within()
	whole, none, back := query, false, query.Before != ""
	switch {
	case everywhere:
	case slices.Contains(l.list.kind.Filters, "tenant"):
		whole.Equal = maps.Clone(query.Equal)
		if named, given := query.Equal["tenant"]; given {
			tenants = slices.DeleteFunc(slices.Clone(named), func(t string) bool { return !slices.Contains(tenants, t) })
		}
		whole.Equal["tenant"] = tenants
		none = len(tenants) == 0
	default: // objects of this kind belong to no tenant
		none = !slices.Contains(tenants, "")
	}
	for looked := 0; !none && len(records) < query.Limit && looked < scanned; looked += whole.Limit {
		found, err := storage.List[T, P](ctx, l.room.store, whole)
		if err != nil {
			return nil, "", err
		}
		var seen []P
		for _, record := range found {
			visible, err := l.sees(ctx, record)
			if err != nil {
				return nil, "", err
			}
			if visible {
				seen = append(seen, record)
			}
		}
		reached, none = "", len(found) < whole.Limit
		switch {
		case back:
			records = append(seen, records...)
			if !none {
				reached = found[0].RecordMeta().ID
				whole.Before = reached
			}
		default:
			records = append(records, seen...)
			if !none {
				reached = found[len(found)-1].RecordMeta().ID
				whole.After = reached
			}
		}
	}
	return l.between(ctx, query, records, reached, append(ids, l.rows.Named()...))
}

// between adds the records of these ids. Those beyond what was reached are of another page.
func (l *reader[T, P]) between(ctx context.Context, query storage.Query, records []P, reached string, ids []string) ([]P, string, error) {
	slices.Sort(ids)
	ids = slices.Compact(ids)
	back := query.Before != ""
	if back {
		slices.Reverse(ids)
	}
	beyond := func(id string) bool {
		if back {
			return id < reached
		}
		return id > reached
	}
	var single []P
	for _, id := range ids {
		if id <= query.After || back && id >= query.Before {
			continue
		}
		if len(single) == query.Limit || reached != "" && beyond(id) {
			break
		}
		record, err := storage.Get[T, P](ctx, l.room.store, id)
		if errors.Is(err, storage.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, "", err
		}
		if !query.Selects(record.Index()) {
			continue
		}
		seen, err := l.sees(ctx, record)
		if err != nil {
			return nil, "", err
		}
		if seen {
			single = append(single, record)
		}
	}
	if len(single) > 0 {
		records = append(records, single...)
		slices.SortFunc(records, func(a, b P) int { return strings.Compare(a.RecordMeta().ID, b.RecordMeta().ID) })
		records = slices.CompactFunc(records, func(a, b P) bool { return a.RecordMeta().ID == b.RecordMeta().ID })
	}
	switch over := len(records) - query.Limit; {
	case over < 0:
	case back:
		records = records[over:]
		reached = records[0].RecordMeta().ID
	default:
		records = records[:query.Limit]
		reached = records[query.Limit-1].RecordMeta().ID
	}
	return records, reached, nil
}

// sees reports whether a record is a row of the list. About one that rights of the caller name, the question is asked that a GET would ask; of
// all others the condition says the same.
func (l *reader[T, P]) sees(ctx context.Context, record P) (bool, error) {
	id, tenant := record.RecordMeta().ID, tenantIn(record.Index())
	if l.narrowed && !slices.Contains(l.tenants, tenant) {
		return false, nil
	}
	if !l.rows.IsNamed(id) {
		return l.rows.Selects(tenant, id), nil
	}
	q := l.ask(record)
	q.Entrypoint, q.Action, q.Now = policies.EntryAdmin, "read", l.req.Now
	q.Resource.Type, _, _ = strings.Cut(l.req.Permission, ":")
	q.Subject, q.Caller = l.req.Caller.Facts, l.req.Caller.Policy(policies.PlaneManagement)
	d, err := l.room.config.PDP.Decide(ctx, &q)
	return d.Allow, err
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
