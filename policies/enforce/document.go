package enforce

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// Document is what a listener serves, as an OpenAPI 3.1 document and as what pages for people are made of.
type Document struct {
	JSON []byte
	// ETag is that of JSON, strong and quoted.
	ETag       string
	Operations []Operation
	Schemas    []Schema
}

// Operation is one row for people.
type Operation struct {
	ID, Method, Path, Summary, Tag string
	// Permission is what the row takes; empty for a row that takes no decision.
	Permission string
	Parameters []Place
	// Requests name the schemas of the body; Example is a good one.
	Requests []string
	Example  string
	Replies  []OperationReply
}

// Place is a parameter and where it is: "path", "query", "header" or "form".
type Place struct {
	Parameter
	In string
}

// OperationReply is one answer of a row and the schemas of its body.
type OperationReply struct {
	Status  int
	Text    string
	Media   string
	Schemas []string
}

// Schema is a component of the document.
type Schema struct{ Name, JSON string }

// Describe makes the document of the rows of one listener. A row without a shape is in it with what its table says.
func Describe(title, version string, groups []Group, open []OpenRoute) (*Document, error) {
	b := &describer{schemas: newSchemas(), paths: map[string]any{}}
	for _, group := range groups {
		for _, row := range group.Routes {
			b.decided(group.Plane, row)
		}
	}
	for _, row := range open {
		b.open(row)
	}
	if b.schemas.err != nil {
		return nil, fmt.Errorf("describe the routes: %w", b.schemas.err)
	}
	whole := map[string]any{
		"openapi": "3.1.1",
		"info": map[string]any{
			"title": title, "version": version,
			"description": "Made from the table of routes of this server. Objects in replies may get more members in later versions.",
		},
		"paths": b.paths,
		"components": map[string]any{
			"schemas": b.schemas.components,
			"securitySchemes": map[string]any{
				"bearer": map[string]any{"type": "http", "scheme": "bearer", "description": "An access token of the token endpoint."},
				"basic":  map[string]any{"type": "http", "scheme": "basic", "description": "The id and a secret of an application."},
			},
		},
	}
	raw, err := json.Marshal(whole)
	if err != nil {
		return nil, fmt.Errorf("describe the routes: %w", err)
	}
	sum := sha256.Sum256(raw)
	d := &Document{JSON: raw, ETag: `"` + hex.EncodeToString(sum[:16]) + `"`, Operations: b.operations}
	for name, schema := range b.schemas.components {
		d.Schemas = append(d.Schemas, Schema{Name: name, JSON: pretty(schema)})
	}
	slices.SortFunc(d.Schemas, func(x, y Schema) int { return cmp.Compare(x.Name, y.Name) })
	slices.SortStableFunc(d.Operations, func(x, y Operation) int {
		return cmp.Or(cmp.Compare(x.Tag, y.Tag), cmp.Compare(x.Path, y.Path))
	})
	return d, nil
}

// pretty is a value as JSON for people. Writing <, > and & as escapes would only be in their way: the page escapes by itself.
func pretty(v any) string {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if encoder.Encode(v) != nil { // cannot happen: the values are made of maps and strings
		return ""
	}
	return strings.TrimSpace(b.String())
}

type describer struct {
	schemas    *schemas
	paths      map[string]any
	operations []Operation
}

// draft is one operation in both forms.
type draft struct {
	*describer
	o       Operation
	raw     map[string]any
	shape   *Shape
	replies map[string]any
}

func (b *describer) begin(method, path string, shape *Shape) *draft {
	if shape == nil {
		shape = &Shape{}
	}
	path, rest := strings.CutSuffix(path, restMark+"}")
	if rest {
		path += "}"
	}
	d := &draft{
		describer: b, shape: shape, replies: map[string]any{},
		o: Operation{ID: operationID(method, path), Method: method, Path: path, Summary: shape.Summary, Tag: tagOf(path)},
	}
	d.raw = map[string]any{"operationId": d.o.ID, "summary": shape.Summary, "tags": []any{d.o.Tag}}
	if rest {
		d.raw["x-writ-rest"] = true // OpenAPI has no parameter that stands for several segments
	}
	return d
}

func (d *draft) end() {
	d.raw["responses"] = d.replies
	if len(d.o.Parameters) > 0 {
		parameters := []any{}
		for _, p := range d.o.Parameters {
			if p.In != "form" {
				parameters = append(parameters, map[string]any{
					"name": p.Name, "in": p.In, "required": p.Required, "description": p.Description, "schema": d.parameterSchema(p.Parameter),
				})
			}
		}
		d.raw["parameters"] = parameters
	}
	item, ok := d.paths[d.o.Path].(map[string]any)
	if !ok {
		item = map[string]any{}
		d.paths[d.o.Path] = item
	}
	item[strings.ToLower(d.o.Method)] = d.raw
	d.operations = append(d.operations, d.o)
}

func (b *describer) decided(plane Plane, row Route) {
	d := b.begin(row.Method, row.Path, row.Shape)
	d.o.Permission = row.Type + ":" + row.Action
	d.raw["x-writ-permission"] = d.o.Permission
	security := []any{}
	for _, scheme := range plane.Schemes {
		requirement := map[string]any{}
		if scheme != "" {
			requirement[scheme] = []any{}
		}
		security = append(security, requirement)
	}
	d.raw["security"] = security
	d.parameters(row)
	d.body(row)
	for _, reply := range d.shape.Replies {
		d.reply(reply, true)
	}
	for _, status := range errorStatuses(plane, row, d.shape) {
		shape := ReplyShape{Status: status, Media: plane.Errors.Media}
		if plane.Errors.Type != nil {
			shape.Types = []reflect.Type{plane.Errors.Type}
		}
		if status == http.StatusNotModified {
			shape = ReplyShape{Status: status}
		}
		d.reply(shape, true)
	}
	d.end()
}

func (b *describer) open(row OpenRoute) {
	d := b.begin(row.Method, row.Path, row.Shape)
	d.raw["security"] = []any{}
	for _, name := range sortedNames(d.shape.Query) {
		d.o.Parameters = append(d.o.Parameters, Place{Parameter: named(d.shape.Query[name], name), In: "query"})
	}
	for _, reply := range d.shape.Replies {
		d.reply(reply, false)
	}
	for _, status := range d.shape.Errors {
		d.reply(ReplyShape{Status: status}, false)
	}
	d.end()
}

func sortedNames(parameters map[string]Parameter) []string {
	names := make([]string, 0, len(parameters))
	for name := range parameters {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func named(p Parameter, name string) Parameter {
	p.Name = name
	return p
}

// parameters are those of the path, the query that the table lists, and the two headers of rows that have versions.
func (d *draft) parameters(row Route) {
	for segment := range strings.SplitSeq(row.Path, "/") {
		if name, ok := strings.CutPrefix(segment, "{"); ok {
			name = strings.TrimSuffix(strings.TrimSuffix(name, "}"), restMark)
			d.o.Parameters = append(d.o.Parameters, Place{Parameter: Parameter{Name: name, Required: true}, In: "path"})
		}
	}
	for _, name := range row.Query {
		d.o.Parameters = append(d.o.Parameters, Place{Parameter: named(d.shape.Query[name], name), In: "query"})
	}
	if d.shape.Versioned {
		for _, p := range []Parameter{
			{Name: "If-Match", Description: "The ETag of the version that is meant; another one is 412."},
			{Name: "If-None-Match", Description: "An ETag, or * for an object that must not exist."},
		} {
			d.o.Parameters = append(d.o.Parameters, Place{Parameter: p, In: "header"})
		}
	}
}

func (d *draft) parameterSchema(p Parameter) map[string]any {
	schema := map[string]any{"type": "string"}
	if p.Type != nil {
		schema = d.schemas.of(p.Type, replied)
	}
	if len(p.Values) > 0 {
		schema["enum"] = p.Values
	}
	if p.Min != 0 || p.Max != 0 {
		schema["minimum"], schema["maximum"] = p.Min, p.Max
	}
	if p.Repeated {
		return map[string]any{"type": "array", "items": schema}
	}
	return schema
}

func (d *draft) body(row Route) {
	switch row.Body {
	case JSONBody, OptionalJSON:
		media := []string{"application/json"}
		if row.Method == http.MethodPatch {
			media = append(media, "application/merge-patch+json")
		}
		content := map[string]any{}
		for _, kind := range media {
			entry := map[string]any{"schema": d.bodySchema()}
			if d.shape.Example != nil {
				entry["example"] = d.shape.Example
				d.o.Example = pretty(d.shape.Example)
			}
			content[kind] = entry
		}
		d.raw["requestBody"] = map[string]any{"required": row.Body == JSONBody, "content": content}
	case FormBody, OptionalForm:
		properties, required := map[string]any{}, []any{}
		for _, p := range d.shape.Form {
			properties[p.Name] = d.parameterSchema(p)
			if p.Required {
				required = append(required, p.Name)
			}
			d.o.Parameters = append(d.o.Parameters, Place{Parameter: p, In: "form"})
		}
		schema := map[string]any{"type": "object", "properties": properties}
		if len(required) > 0 {
			schema["required"] = required
		}
		d.raw["requestBody"] = map[string]any{
			"required": row.Body == FormBody, "content": map[string]any{"application/x-www-form-urlencoded": map[string]any{"schema": schema}},
		}
	case NoBody:
	}
}

func (d *draft) bodySchema() map[string]any {
	how := readStrictly
	if d.shape.Open {
		how = readLoosely
	}
	var all []any
	for _, t := range d.shape.Requests {
		all = append(all, d.schemas.of(t, how))
	}
	d.o.Requests = references(all)
	if len(all) == 0 {
		return map[string]any{"type": "object"}
	}
	schema := all[0].(map[string]any)
	if len(all) > 1 {
		schema = map[string]any{"anyOf": all}
	}
	if len(d.shape.Required) > 0 {
		return map[string]any{"allOf": []any{schema, map[string]any{"required": d.shape.Required}}}
	}
	return schema
}

// references lists the components that schemas name.
func references(all []any) (names []string) {
	for _, schema := range all {
		if ref, ok := schema.(map[string]any)["$ref"].(string); ok {
			names = append(names, strings.TrimPrefix(ref, "#/components/schemas/"))
		}
	}
	return names
}

// reply adds one answer; a second one of the same status adds a media type.
func (d *draft) reply(r ReplyShape, decided bool) {
	key := strconv.Itoa(r.Status)
	response, there := d.replies[key].(map[string]any)
	if !there {
		response = map[string]any{"description": statusName(r.Status)}
		d.replies[key] = response
		if headers := d.headers(r, decided); len(headers) > 0 {
			response["headers"] = headers
		}
	}
	shown := OperationReply{Status: r.Status, Text: statusName(r.Status), Media: r.Media}
	media := cmp.Or(r.Media, "application/json")
	var schema map[string]any
	switch {
	case len(r.Types) == 0 && r.Media == "":
	case len(r.Types) == 0:
		schema = map[string]any{"type": "string"}
	default:
		var all []any
		for _, t := range r.Types {
			all = append(all, d.schemas.of(t, replied))
		}
		shown.Schemas = references(all)
		schema = all[0].(map[string]any)
		if len(all) > 1 {
			schema = map[string]any{"anyOf": all}
		}
	}
	if schema != nil {
		content, ok := response["content"].(map[string]any)
		if !ok {
			content = map[string]any{}
			response["content"] = content
		}
		content[media] = map[string]any{"schema": schema}
	}
	d.o.Replies = append(d.o.Replies, shown)
}

func (d *draft) headers(r ReplyShape, decided bool) map[string]any {
	headers := map[string]any{}
	add := func(name, description string) {
		headers[name] = map[string]any{"description": description, "schema": map[string]any{"type": "string"}}
	}
	if decided && r.Status < http.StatusMultipleChoices {
		add("Decision-Id", "The id of the decision, as it is in the decision log.")
	}
	if d.shape.Versioned && r.Status < http.StatusBadRequest && r.Status != http.StatusNoContent {
		add("ETag", "The version of the object.")
	}
	switch r.Status {
	case http.StatusCreated:
		add("Location", "Where the object is.")
	case http.StatusUnauthorized:
		add("WWW-Authenticate", "How to authenticate.")
	case http.StatusServiceUnavailable, http.StatusTooManyRequests:
		add("Retry-After", "Seconds after which to try again.")
	}
	return headers
}

// errorStatuses are those that a row can have: of its plane, of its kind, and its own.
func errorStatuses(plane Plane, row Route, shape *Shape) []int {
	statuses := slices.Concat(plane.Errors.Statuses, shape.Errors)
	if row.Body != NoBody {
		statuses = append(statuses, http.StatusBadRequest, http.StatusRequestTimeout, http.StatusRequestEntityTooLarge)
		if plane.Errors.WrongMedia != 0 {
			statuses = append(statuses, plane.Errors.WrongMedia)
		}
	}
	if shape.Versioned {
		statuses = append(statuses, http.StatusPreconditionFailed)
		if row.Method == http.MethodGet {
			statuses = append(statuses, http.StatusNotModified)
		} else {
			statuses = append(statuses, http.StatusPreconditionRequired)
		}
	}
	slices.Sort(statuses)
	return slices.Compact(statuses)
}

// operationID is the method and the path in one word: getV1UsersById.
func operationID(method, path string) string {
	id := strings.ToLower(method)
	for _, segment := range strings.FieldsFunc(path, func(r rune) bool { return strings.ContainsRune("/-._", r) }) {
		if name, ok := strings.CutPrefix(segment, "{"); ok {
			segment = "by" + upperFirst(strings.TrimSuffix(name, "}"))
		}
		id += upperFirst(segment)
	}
	return id
}

// tagOf groups rows by the first word of their path.
func tagOf(path string) string {
	words := strings.Split(strings.Trim(path, "/"), "/")
	switch {
	case words[0] == "v1" && len(words) > 1:
		return words[1]
	case strings.HasPrefix(words[0], "oauth2") || words[0] == "token" || words[0] == "connect":
		return "oauth2"
	case len(words) == 1:
		return "server"
	default:
		return strings.TrimPrefix(words[0], ".")
	}
}
