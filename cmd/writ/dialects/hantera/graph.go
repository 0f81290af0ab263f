package hantera

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"github.com/writ-authz/writ/cmd/writ/dialects"
)

const (
	defaultLimit = 50
	maxLimit     = 100
)

// graphQuery is a question to the graph, of which one resource is served: identities.
type graphQuery struct {
	Resource string                `json:"resource"`
	Filters  []graphFilter         `json:"filters"`
	Limit    dialects.Field[int64] `json:"limit"`
}

type graphFilter struct {
	Field string `json:"field"`
	Op    string `json:"op"`
	Value string `json:"value"`
}

// roles are those that an identity must have.
func (q *graphQuery) roles() (keys []string, err error) {
	if q.Resource != "identity" {
		return nil, &dialects.Fault{Kind: dialects.Invalid, At: "/resource", Detail: "the one resource is identity"}
	}
	for i, f := range q.Filters {
		at := "/filters/" + strconv.Itoa(i)
		switch {
		case f.Field != "roles":
			return nil, &dialects.Fault{Kind: dialects.Invalid, At: at + "/field", Detail: "the one field to filter by is roles"}
		case f.Op != "contains":
			return nil, &dialects.Fault{Kind: dialects.Invalid, At: at + "/op", Detail: "the one operator of roles is contains"}
		case f.Value == "":
			return nil, &dialects.Fault{Kind: dialects.Missing, At: at + "/value", Detail: "want the key of a role"}
		}
		keys = append(keys, f.Value)
	}
	slices.Sort(keys)
	return slices.Compact(keys), nil
}

// found is what a question has found so far. Total is nil where it is not known.
type found struct {
	roles      []string
	limit      int
	identities []object
	total      *int
}

// postGraph answers a question by the two native lists, principals before clients. Who may read one of the two sees that one.
func postGraph(c *dialects.Call) (dialects.Reply, error) {
	q := graphQuery{Limit: dialects.Field[int64]{Value: defaultLimit}}
	if err := c.Decode(&q); err != nil {
		return dialects.Reply{}, err
	}
	roles, err := q.roles()
	if err != nil {
		return dialects.Reply{}, err
	}
	if q.Limit.Null || q.Limit.Value < 1 || q.Limit.Value > maxLimit {
		return dialects.Reply{}, &dialects.Fault{Kind: dialects.Invalid, At: "/limit", Detail: "want a whole number from 1 to 100"}
	}
	f := &found{roles: roles, limit: int(q.Limit.Value), identities: []object{}, total: new(int)}
	principals := f.read(c, "/v1/users", principal, nil)
	if principals != nil && !forbidden(principals) {
		return dialects.Reply{}, principals
	}
	clients := f.read(c, "/v1/applications", client, notProtected())
	switch {
	case clients != nil && !forbidden(clients):
		return dialects.Reply{}, clients
	case principals != nil && clients != nil:
		return dialects.Reply{}, principals
	}
	f.identities = f.identities[:min(len(f.identities), f.limit)]
	return dialects.Reply{Status: http.StatusOK, Body: object{"identities": f.identities, "totalCount": f.total}}, nil
}

func forbidden(err error) bool {
	refusal := refused(err)
	return refusal != nil && refusal.Status == http.StatusForbidden
}

// read adds what a native list has. That list knows one role at a time; of several, the others are looked for in each row.
func (f *found) read(c *dialects.Call, path string, as show, add url.Values) error {
	query := url.Values{"count": {"true"}, "limit": {strconv.Itoa(f.limit)}}
	maps.Copy(query, add)
	if len(f.roles) > 0 {
		query.Set("role", f.roles[0])
	}
	if len(f.roles) < 2 {
		var page nativePage
		if _, err := c.Get(path, query, &page); err != nil {
			return err
		}
		f.identities = append(f.identities, page.shown(as)...)
		if page.Total == nil {
			f.total = nil
		} else if f.total != nil {
			*f.total += *page.Total
		}
		return nil
	}
	var broken error
	err := c.Walk(path, query, func(item json.RawMessage) bool {
		native := object{}
		if broken = json.Unmarshal(item, &native); broken != nil {
			return false
		}
		held, _ := native["roles"].([]any)
		for _, role := range f.roles {
			if !slices.Contains(held, any(role)) {
				return true
			}
		}
		if len(f.identities) == f.limit {
			f.total = nil // there are more, and nobody counts them
			return false
		}
		f.identities = append(f.identities, as(native, ""))
		if f.total != nil {
			*f.total++
		}
		return true
	})
	if broken != nil {
		return broken
	}
	return err
}
