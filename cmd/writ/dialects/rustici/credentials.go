package rustici

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/writ-authz/writ/cmd/writ/dialects"
)

const nativePath = "/v1/applications"

// credential is what this system shows of an application.
type credential struct {
	ID       string            `json:"id"`
	IsActive bool              `json:"is_active"`
	Tenants  map[string][]pair `json:"tenants"`
	Scopes   []pair            `json:"scopes"`
}

// native is what is read of an application, or of the user that calls.
type native struct {
	ID          string  `json:"id"`
	IsActive    *bool   `json:"is_active"`
	SuspendedAt *string `json:"suspended_at"`
	Grants      []grant `json:"grants"`
}

func (n *native) credential() credential {
	c := credential{ID: n.ID, IsActive: n.SuspendedAt == nil}
	if n.IsActive != nil {
		c.IsActive = *n.IsActive
	}
	c.Scopes, c.Tenants = shown(n.Grants)
	return c
}

// wanted is the body of a request that makes or changes a credential.
type wanted struct {
	ID       dialects.Field[string]            `json:"id"`
	Password dialects.Field[string]            `json:"password"`
	IsActive dialects.Field[bool]              `json:"is_active"`
	Tenants  dialects.Field[map[string][]pair] `json:"tenants"`
	Scopes   dialects.Field[[]pair]            `json:"scopes"`
}

// fields are the native ones that were named, beside the id; whole says that rights are among them even if none are named.
func (w *wanted) fields(whole bool) (map[string]any, *rights, error) {
	named := map[string]any{}
	if w.Password.Set {
		named["secret"] = orNull(w.Password)
	}
	if w.IsActive.Set {
		named["is_active"] = orNull(w.IsActive)
	}
	given := &rights{grants: []grant{}}
	if !whole && !w.Scopes.Set && !w.Tenants.Set {
		return named, given, nil
	}
	if w.Scopes.Null {
		return nil, nil, &dialects.Fault{Kind: dialects.WrongType, At: "/scopes", Detail: "want a list"}
	}
	if w.Tenants.Null {
		return nil, nil, &dialects.Fault{Kind: dialects.WrongType, At: "/tenants", Detail: "want an object"}
	}
	if err := given.add(w.Scopes.Value, anyTenant, "/scopes"); err != nil {
		return nil, nil, err
	}
	for _, tenant := range sorted(w.Tenants.Value) {
		place := "/tenants/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(tenant)
		if tenant == "" || tenant == anyTenant {
			return nil, nil, &dialects.Fault{Kind: dialects.Invalid, At: place, Detail: "want the id of a tenant"}
		}
		if err := given.add(w.Tenants.Value[tenant], tenant, place); err != nil {
			return nil, nil, err
		}
	}
	named["grants"] = given.grants
	return named, given, nil
}

func orNull[T any](f dialects.Field[T]) any {
	if f.Null {
		return nil
	}
	return f.Value
}

func sorted[V any](m map[string]V) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func number(n int) string { return strconv.Itoa(n) }

// where puts the place in this system's body into a native refusal.
func (r *rights) where(err error) error {
	var refusal *dialects.Refusal
	if !errors.As(err, &refusal) || refusal.Pointer == "" {
		return err
	}
	at := refusal.Pointer
	if rest, ok := strings.CutPrefix(at, "/grants/"); ok {
		index, _, _ := strings.Cut(rest, "/")
		if n, err := strconv.Atoi(index); err == nil && n < len(r.places) {
			at = r.places[n]
		}
	}
	if at == "/secret" {
		at = "/password"
	}
	return restated(refusal, map[string]any{"pointer": at})
}

// answered renders the one native application of a reply.
func answered(answer *dialects.Answer, err error) (dialects.Reply, error) {
	if err != nil {
		return dialects.Reply{}, err
	}
	var n native
	if err := answer.Decode(&n); err != nil {
		return dialects.Reply{}, err
	}
	return dialects.Reply{Status: answer.Status, Body: n.credential()}, nil
}

func listCredentials(c *dialects.Call) (dialects.Reply, error) {
	var page struct {
		Items []native `json:"items"`
		Next  string   `json:"next"`
	}
	if _, err := c.Get(nativePath, asked(c), &page); err != nil {
		return dialects.Reply{}, err
	}
	items := make([]credential, len(page.Items))
	for i := range page.Items {
		items[i] = page.Items[i].credential()
	}
	return listed(items, page.Next), nil
}

// asked is the native query of the parameters that a list was given.
func asked(c *dialects.Call) url.Values {
	query := url.Values{}
	for name, value := range c.Query {
		query.Set(name, value)
	}
	return query
}

func listed[T any](items []T, next string) dialects.Reply {
	page := map[string]any{"items": items}
	if next != "" {
		page["next"] = next
	}
	return dialects.Reply{Status: http.StatusOK, Body: page}
}

// postCredential makes an application of the id in the body, unless there is one.
func postCredential(c *dialects.Call) (dialects.Reply, error) {
	var in wanted
	if err := c.Decode(&in); err != nil {
		return dialects.Reply{}, err
	}
	if err := checkID(in.ID.Value); err != nil {
		return dialects.Reply{}, err
	}
	if err := dialects.Require("password", in.Password.Value); err != nil {
		return dialects.Reply{}, err
	}
	fields, given, err := in.fields(true)
	if err != nil {
		return dialects.Reply{}, err
	}
	id := in.ID.Value
	fields["name"], fields["grant_types"], fields["scopes"], fields["retrievable"] = id, []string{"client_credentials"}, []string{"*:*"}, false
	if tenant, ok := c.Query["tenant"]; ok {
		fields["tenant"] = tenant
	}
	c.Header.Set("If-None-Match", "*")
	reply, err := answered(c.JSON(http.MethodPut, nativePath+dialects.Path(id), nil, fields))
	return created(c, reply, credentialsPath+dialects.Path(id), taken(given.where(err)))
}

// checkID keeps an id from being read as a path. All else about ids is natively said.
func checkID(id string) error {
	if id == "" {
		return &dialects.Fault{Kind: dialects.Missing, At: "/id", Detail: "the member is missing or empty"}
	}
	if strings.ContainsAny(id, `/\`) {
		return &dialects.Fault{Kind: dialects.Invalid, At: "/id", Detail: "an id has no slashes"}
	}
	return nil
}

// created adds the place of what was made.
func created(c *dialects.Call, reply dialects.Reply, path string, err error) (dialects.Reply, error) {
	if err != nil {
		return dialects.Reply{}, err
	}
	reply.Header = http.Header{"Location": {c.Base + path}}
	return reply, nil
}

// taken renders the refusals of making something under an id of one's own choice. Natively that is a PUT on the id: where there is
// something already, its precondition fails; where the caller may not, nothing is said about the id. Here it is a POST on the collection.
func taken(err error) error {
	var refusal *dialects.Refusal
	switch {
	case !errors.As(err, &refusal):
		return err
	case refusal.Status == http.StatusPreconditionFailed:
		return restated(refusal, map[string]any{
			"status": http.StatusConflict, "code": "conflict", "title": "Conflict", "type": "urn:writ:problem:conflict", "pointer": "/id",
			"detail": "the id is taken", "message": "the id is taken",
		})
	case refusal.Status == http.StatusNotFound:
		return restated(refusal, map[string]any{
			"status": http.StatusForbidden, "code": "denied", "title": "Denied", "type": "urn:writ:problem:denied",
			"detail": "the decision was no", "message": "the decision was no",
		})
	}
	return err
}

func getCredential(c *dialects.Call) (dialects.Reply, error) {
	return answered(c.JSON(http.MethodGet, nativePath+dialects.Path(c.Params["id"]), nil, nil))
}

// putCredential changes what is there. Natively that is a PATCH: a PUT would make what is missing.
func putCredential(c *dialects.Call) (dialects.Reply, error) {
	var in wanted
	if err := c.Decode(&in); err != nil {
		return dialects.Reply{}, err
	}
	if err := same(in.ID, c.Params["id"]); err != nil {
		return dialects.Reply{}, err
	}
	fields, given, err := in.fields(false)
	if err != nil {
		return dialects.Reply{}, err
	}
	reply, err := answered(c.JSON(http.MethodPatch, nativePath+dialects.Path(c.Params["id"]), nil, fields))
	return reply, given.where(err)
}

// same refuses a body that is about something else than its path.
func same(id dialects.Field[string], path string) error {
	if id.Set && id.Value != path {
		return &dialects.Fault{Kind: dialects.Invalid, At: "/id", Detail: "the id is not the one in the path"}
	}
	return nil
}

func deleteCredential(c *dialects.Call) (dialects.Reply, error) {
	return gone(c.JSON(http.MethodDelete, nativePath+dialects.Path(c.Params["id"]), nil, nil))
}

func gone(answer *dialects.Answer, err error) (dialects.Reply, error) {
	if err != nil {
		return dialects.Reply{}, err
	}
	return dialects.Reply{Status: answer.Status}, nil
}
