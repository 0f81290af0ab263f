package enforce_test

import (
	"context"
	"encoding/json"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/writ-authz/writ/policies"
	"github.com/writ-authz/writ/policies/enforce"
)

// What one row reads and replies here: a member of every kind.
type thingFields struct {
	Name  enforce.Field[string]          `json:"name"`
	Until enforce.Field[time.Time]       `json:"until"`
	Free  enforce.Field[json.RawMessage] `json:"free"`
	Parts []partFields                   `json:"parts"`
	At    *time.Time                     `json:"at"`
}

type partFields struct {
	Count int  `json:"count"`
	Sure  bool `json:"sure,omitempty"`
}

type thingView struct {
	ID      string          `json:"id"`
	Free    json.RawMessage `json:"free"`
	Parts   []partFields    `json:"parts"`
	Limit   []string        `json:"limit" schema:"null"`
	Scope   *string         `json:"scope"`
	Until   *time.Time      `json:"until,omitempty"`
	Labels  map[string]int  `json:"labels,omitempty"`
	Ratio   float64         `json:"ratio"`
	hidden  string
	Ignored string `json:"-"`
}

type list[T any] struct {
	Items []T `json:"items"`
}

func things(t *testing.T) (map[string]any, *enforce.Document) {
	t.Helper()
	_ = thingView{hidden: ""}
	resolve := func(context.Context, *enforce.Request) (enforce.Resolved, error) { return enforce.Resolved{}, nil }
	group := enforce.Group{Plane: enforce.Plane{
		Schemes: []string{"bearer", ""}, Errors: enforce.ErrorShape{
			Type: reflect.TypeFor[partFields](), Media: "application/problem+json", Statuses: []int{400, 401}, WrongMedia: 415,
		},
	}, Routes: []enforce.Route{
		{
			Method: "GET", Path: "/v1/things", Type: "iam/users", Action: "read", Query: []string{"limit"}, Resolve: resolve,
			Shape: &enforce.Shape{
				Summary: "List things", Query: map[string]enforce.Parameter{"limit": {Description: "How many.", Type: reflect.TypeFor[int](), Min: 1, Max: 9}},
				Replies: []enforce.ReplyShape{enforce.OK[list[thingView]]()},
			},
		},
		{
			Method: "PATCH", Path: "/v1/things/{id}", Type: "iam/users", Action: "write", Body: enforce.JSONBody, Resolve: resolve,
			Shape: &enforce.Shape{
				Summary: "Change a thing", Requests: enforce.Reads[thingFields](), Required: []string{"name"}, Versioned: true, Errors: []int{409},
				Example: map[string]any{"name": "x"}, Replies: []enforce.ReplyShape{enforce.OK[thingView](), enforce.NoContent()},
			},
		},
		{Method: "DELETE", Path: "/v1/bare", Type: "iam/users", Action: "delete", Resolve: resolve},
	}}
	open := []enforce.OpenRoute{{
		Method: "GET", Path: "/livez", Shape: &enforce.Shape{Summary: "Alive", Replies: []enforce.ReplyShape{{Status: 200, Media: "text/plain"}}},
	}}
	d, err := enforce.Describe("Things", "1", []enforce.Group{group}, open)
	if err != nil {
		t.Fatal(err)
	}
	var whole map[string]any
	if err := json.Unmarshal(d.JSON, &whole); err != nil {
		t.Fatal(err)
	}
	return whole, d
}

// at walks into a document.
func at(t *testing.T, v any, path ...string) any {
	t.Helper()
	for _, key := range path {
		object, ok := v.(map[string]any)
		if !ok || object[key] == nil {
			t.Fatalf("nothing at %s of %s in %v", key, strings.Join(path, " > "), v)
		}
		v = object[key]
	}
	return v
}

func TestSchemasAreThoseOfTheTypes(t *testing.T) {
	whole, _ := things(t)
	for name, want := range map[string]string{
		"ThingFields": `{"type":"object","additionalProperties":false,"properties":{
			"name":{"type":["string","null"]},"until":{"type":["string","null"],"format":"date-time"},"free":{"type":["object","null"]},
			"parts":{"type":"array","items":{"$ref":"#/components/schemas/PartFields"}},"at":{"type":["string","null"],"format":"date-time"}}}`,
		"PartFields": `{"type":"object","additionalProperties":false,"properties":{"count":{"type":"integer"},"sure":{"type":"boolean"}}}`,
		"Part":       `{"type":"object","required":["count"],"properties":{"count":{"type":"integer"},"sure":{"type":"boolean"}}}`,
		"Thing": `{"type":"object","required":["id","free","parts","limit","scope","ratio"],"properties":{
			"id":{"type":"string"},"free":{"type":"object"},"parts":{"type":"array","items":{"$ref":"#/components/schemas/Part"}},
			"limit":{"type":["array","null"],"items":{"type":"string"}},"scope":{"type":["string","null"]},
			"until":{"type":"string","format":"date-time"},"labels":{"type":"object","additionalProperties":{"type":"integer"}},
			"ratio":{"type":"number"}}}`,
		"ThingList": `{"type":"object","required":["items"],"properties":{
			"items":{"type":"array","items":{"$ref":"#/components/schemas/Thing"}}}}`,
	} {
		var wanted any
		if err := json.Unmarshal([]byte(want), &wanted); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(wanted, at(t, whole, "components", "schemas", name)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestOperationsSayWhatTheTableSays(t *testing.T) {
	whole, d := things(t)
	patch := at(t, whole, "paths", "/v1/things/{id}", "patch")
	for _, status := range []string{"200", "204", "400", "401", "408", "409", "412", "413", "415", "428"} {
		at(t, patch, "responses", status)
	}
	if _, there := at(t, patch, "responses").(map[string]any)["404"]; there {
		t.Error("a status is listed that no table names")
	}
	at(t, patch, "responses", "409", "content", "application/problem+json", "schema", "$ref")
	at(t, patch, "requestBody", "content", "application/merge-patch+json", "example", "name")
	if got := at(t, patch, "x-writ-permission"); got != "iam/users:write" {
		t.Errorf("the permission is %v", got)
	}
	want := []any{map[string]any{"bearer": []any{}}, map[string]any{}}
	if diff := cmp.Diff(want, at(t, patch, "security")); diff != "" {
		t.Error(diff)
	}
	var places []string
	for _, o := range d.Operations {
		for _, p := range o.Parameters {
			places = append(places, o.ID+" "+p.In+" "+p.Name)
		}
	}
	if diff := cmp.Diff([]string{
		"getV1Things query limit", "patchV1ThingsById path id", "patchV1ThingsById header If-Match", "patchV1ThingsById header If-None-Match",
	}, places); diff != "" {
		t.Error(diff)
	}
	at(t, whole, "paths", "/v1/bare", "delete", "responses", "401") // without a shape it is in the document all the same
	at(t, whole, "paths", "/livez", "get", "responses", "200", "content", "text/plain")
}

// twice is the name of two types: the one here, and the one in the function below.
type twice struct{ A int }

func TestTwoTypesOfOneNameAreRefused(t *testing.T) {
	open := []enforce.OpenRoute{
		{Method: "GET", Path: "/livez", Shape: &enforce.Shape{Replies: []enforce.ReplyShape{enforce.OK[twice]()}}},
		{Method: "GET", Path: "/readyz", Shape: &enforce.Shape{Replies: []enforce.ReplyShape{enforce.OK[twiceView]()}}},
	}
	if _, err := enforce.Describe("Things", "1", nil, open[:1]); err != nil {
		t.Fatal(err)
	}
	if _, err := enforce.Describe("Things", "1", nil, open); err == nil || !strings.Contains(err.Error(), "Twice") {
		t.Errorf("got %v", err)
	}
	type channel struct{ C chan int }
	open[0].Shape.Replies = []enforce.ReplyShape{enforce.OK[channel]()}
	if _, err := enforce.Describe("Things", "1", nil, open[:1]); err == nil {
		t.Error("a type that is no JSON was described")
	}
}

type twiceView struct{ B int }

// TestARowDecodesWhatItsShapeNames: what the document says of a body cannot differ from what the row reads.
func TestARowDecodesWhatItsShapeNames(t *testing.T) {
	for name, c := range map[string]struct {
		shape  *enforce.Shape
		body   string
		status int
	}{
		"named":              {&enforce.Shape{Requests: enforce.Reads[partFields]()}, `{"count":1}`, http.StatusNoContent},
		"another":            {&enforce.Shape{Requests: enforce.Reads[thingFields]()}, `{"count":1}`, http.StatusServiceUnavailable},
		"none":               {&enforce.Shape{}, `{"count":1}`, http.StatusServiceUnavailable},
		"no shape":           {nil, `{"count":1}`, http.StatusNoContent},
		"strict":             {&enforce.Shape{Requests: enforce.Reads[partFields]()}, `{"other":1}`, http.StatusBadRequest},
		"open":               {&enforce.Shape{Requests: enforce.Reads[partFields](), Open: true}, `{"other":1}`, http.StatusNoContent},
		"open, another case": {&enforce.Shape{Requests: enforce.Reads[partFields](), Open: true}, `{"Count":1}`, http.StatusBadRequest},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, &fakePDP{allow: true}, enforce.Route{
				Method: "POST", Path: "/v1/things", Type: "iam/users", Action: "write", Entrypoint: policies.EntryAdmin, Body: enforce.JSONBody, Shape: c.shape,
				Resolve: func(_ context.Context, r *enforce.Request) (enforce.Resolved, error) {
					var in partFields
					if err := r.Decode(&in); err != nil {
						return enforce.Resolved{}, err
					}
					return enforce.Resolved{
						Question: policies.Question{Subject: policies.Nobody("user", "ada")},
						Respond: func(context.Context, policies.Decision) (enforce.Reply, error) {
							return enforce.Reply{Status: http.StatusNoContent}, nil
						},
					}, nil
				},
			})
			if got := w.do(http.MethodPost, "/v1/things", "application/json", c.body); got.Code != c.status {
				t.Errorf("status %d, want %d: %s", got.Code, c.status, got.Body)
			}
		})
	}
}
