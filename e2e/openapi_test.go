package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// contract holds every exchange with a server of ours to the OpenAPI document of the listener that it went to. A reply must be one
// that the document lists, with the body that it says. A request that was accepted must be one that the document allows; those that
// are refused may be anything.
type contract struct {
	under http.RoundTripper

	mu        sync.Mutex
	hosts     map[string]*described // of the listeners of our servers; nil until the document was fetched
	documents map[string]*described // by ETag
	held      int
	unread    int                       // exchanges with a server that had no document to give
	seen      map[string]map[string]int // operation -> status -> exchanges
	problems  []error
}

// exchanges is the contract of this run.
var exchanges = &contract{
	under: &http.Transport{MaxIdleConnsPerHost: 64}, hosts: map[string]*described{}, documents: map[string]*described{},
	seen: map[string]map[string]int{},
}

// serves says that a listener of ours is at a base address. A server that starts there anew may have another document.
func (k *contract) serves(base string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.hosts[strings.TrimPrefix(base, "http://")] = nil
}

// knows reports whether a listener of ours is or was at an address.
func (k *contract) knows(address string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	_, ours := k.hosts[address]
	return ours
}

// RoundTrip implements http.RoundTripper. What breaks the contract is an error of the exchange, and of the whole run.
func (k *contract) RoundTrip(r *http.Request) (*http.Response, error) {
	var sent []byte
	if r.Body != nil {
		var err error
		if sent, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
		r.Body.Close()
		r = r.Clone(r.Context())
		r.Body = io.NopCloser(bytes.NewReader(sent))
	}
	reply, err := k.under.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	k.mu.Lock()
	_, ours := k.hosts[r.URL.Host]
	k.mu.Unlock()
	if !ours {
		return reply, nil
	}
	body, err := io.ReadAll(reply.Body)
	reply.Body.Close()
	if err != nil {
		return nil, err
	}
	reply.Body = io.NopCloser(bytes.NewReader(body))
	if err := k.hold(r, sent, reply, body); err != nil {
		err = fmt.Errorf("OpenAPI: %s %s, %d: %w", r.Method, r.URL.Path, reply.StatusCode, err)
		k.mu.Lock()
		k.problems = append(k.problems, err)
		k.mu.Unlock()
		return nil, err
	}
	return reply, nil
}

func (k *contract) hold(r *http.Request, sent []byte, reply *http.Response, body []byte) error {
	d, err := k.document(r.URL)
	if err != nil {
		return err
	}
	k.mu.Lock()
	if d == nil {
		k.unread++
	} else {
		k.held++
	}
	k.mu.Unlock()
	if d == nil {
		return nil
	}
	o, err := d.find(r)
	switch {
	case err != nil:
		return err
	case o == nil && dialectPath(r.URL.Path):
		return nil // the words of another system are not Writ's API
	case o == nil && reply.StatusCode != http.StatusNotFound && reply.StatusCode != http.StatusMethodNotAllowed:
		return errors.New("the document has no such operation, and the reply is neither 404 nor 405")
	case o == nil:
		return nil
	case reply.StatusCode < http.StatusBadRequest:
		if err := o.accepts(r, sent); err != nil {
			return fmt.Errorf("the request was accepted and should not have been: %w", err)
		}
	}
	k.mu.Lock()
	counts, ok := k.seen[o.name]
	if !ok {
		counts = map[string]int{}
		k.seen[o.name] = counts
	}
	counts[strconv.Itoa(reply.StatusCode)]++
	k.mu.Unlock()
	return o.replies(r.Method, reply, body)
}

// dialectPath says whether a path is below the default one of a dialect.
func dialectPath(path string) bool {
	return slices.ContainsFunc([]string{"/hantera/", "/lerian/", "/miniorange/", "/policyserver/", "/rustici/"}, func(base string) bool {
		return strings.HasPrefix(path, base)
	})
}

// document returns that of the listener an exchange went to, or nil if the server went away meanwhile.
func (k *contract) document(u *url.URL) (*described, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if d := k.hosts[u.Host]; d != nil {
		return d, nil
	}
	r, err := http.NewRequestWithContext(context.Background(), http.MethodGet, u.Scheme+"://"+u.Host+"/openapi.json", nil)
	if err != nil {
		return nil, err
	}
	reply, err := k.under.RoundTrip(r)
	if err != nil {
		return nil, nil //nolint:nilerr // it is counted
	}
	defer reply.Body.Close()
	raw, err := io.ReadAll(reply.Body)
	if err != nil {
		return nil, nil //nolint:nilerr // it is counted
	}
	if reply.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("/openapi.json is %d", reply.StatusCode)
	}
	tag := reply.Header.Get("ETag")
	d, ok := k.documents[tag]
	if !ok {
		if d, err = describe(raw); err != nil {
			return nil, err
		}
		k.documents[tag] = d
	}
	k.hosts[u.Host] = d
	return d, nil
}

// finish says how much was held, and returns what broke the contract.
func (k *contract) finish() []error {
	k.mu.Lock()
	defer k.mu.Unlock()
	total, pairs := map[string]bool{}, 0
	for _, d := range k.documents {
		for _, o := range d.operations {
			total[o.name] = true
		}
	}
	for _, statuses := range k.seen {
		pairs += len(statuses)
	}
	fmt.Fprintf(os.Stdout, "e2e: %d exchanges held to %d OpenAPI documents: %d of %d operations, %d pairs of operation and status; "+
		"%d with servers that had gone\n", k.held, len(k.documents), len(k.seen), len(total), pairs, k.unread)
	if left := len(total) - len(k.seen); left > 0 && left < 10 {
		for name := range total {
			if k.seen[name] == nil {
				fmt.Fprintln(os.Stdout, "e2e: never asked:", name)
			}
		}
	}
	problems := k.problems
	if k.held > 0 && k.unread > k.held/10 {
		problems = append(problems, fmt.Errorf("OpenAPI: %d of %d exchanges were held to no document", k.unread, k.held+k.unread))
	}
	const shown = 20
	if len(problems) > shown {
		problems = append(problems[:shown:shown], fmt.Errorf("OpenAPI: and %d more", len(problems)-shown))
	}
	return problems
}

// described is a document that is ready to hold exchanges to.
type described struct{ operations []*operation }

// operation is one of a document, with the schemas of what it reads and replies.
type operation struct {
	name, method string
	segments     []string
	rest         bool // the last segment stands for all that follow
	query        []string
	requests     map[string]*jsonschema.Schema            // by media type
	answers      map[string]map[string]*jsonschema.Schema // by status and media type
}

// describe reads a document, which must be a good one by the judgement of others.
func describe(raw []byte) (*described, error) {
	loaded, err := openapi3.NewLoader().LoadFromData(raw)
	if err != nil {
		return nil, err
	}
	if err := loaded.Validate(context.Background()); err != nil {
		return nil, err
	}
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	// What is replied is held to the letter: a member that the document does not have is a mistake in it. A client takes it as it comes.
	for name, strict := range map[string]bool{"read": false, "replied": true} {
		document, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
		if err != nil {
			return nil, err
		}
		if strict {
			closeObjects(document)
		}
		if err := compiler.AddResource("https://e2e.test/"+name, document); err != nil {
			return nil, err
		}
	}
	d := &described{}
	for path, item := range loaded.Paths.Map() {
		for method, op := range item.Operations() {
			o := &operation{
				name: method + " " + path, method: method, segments: strings.Split(path, "/"),
				requests: map[string]*jsonschema.Schema{}, answers: map[string]map[string]*jsonschema.Schema{},
			}
			o.rest, _ = op.Extensions["x-writ-rest"].(bool)
			for _, p := range op.Parameters {
				if p.Value.In == "query" {
					o.query = append(o.query, p.Value.Name)
				}
			}
			at := "#/paths/" + escaped(path) + "/" + strings.ToLower(method)
			if op.RequestBody != nil {
				for media := range op.RequestBody.Value.Content {
					if o.requests[media], err = compiler.Compile("https://e2e.test/read" + at + "/requestBody/content/" + escaped(media) + "/schema"); err != nil {
						return nil, err
					}
				}
			}
			for status, response := range op.Responses.Map() {
				o.answers[status] = map[string]*jsonschema.Schema{}
				for media := range response.Value.Content {
					where := "https://e2e.test/replied" + at + "/responses/" + status + "/content/" + escaped(media) + "/schema"
					if o.answers[status][media], err = compiler.Compile(where); err != nil {
						return nil, err
					}
				}
			}
			d.operations = append(d.operations, o)
		}
	}
	return d, nil
}

// escaped is a JSON pointer's step in a URL.
func escaped(step string) string {
	return url.PathEscape(strings.NewReplacer("~", "~0", "/", "~1").Replace(step))
}

// closeObjects lets no object have members that it does not name.
func closeObjects(v any) {
	switch v := v.(type) {
	case map[string]any:
		_, named := v["properties"].(map[string]any)
		if _, said := v["additionalProperties"]; named && !said && v["type"] == "object" {
			v["additionalProperties"] = false
		}
		for _, member := range v {
			closeObjects(member)
		}
	case []any:
		for _, item := range v {
			closeObjects(item)
		}
	}
}

// find returns the operation of a request: of those that fit the one with the fewest parameters. nil is none.
func (d *described) find(r *http.Request) (*operation, error) {
	raw := strings.ToLower(r.URL.EscapedPath())
	for _, bad := range []string{"%2f", "%5c", "//"} {
		if strings.Contains(raw, bad) {
			return nil, nil
		}
	}
	method := r.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	segments := strings.Split(r.URL.Path, "/")
	var found *operation
	for _, o := range d.operations {
		given := segments
		if o.rest && len(given) > len(o.segments) {
			given = given[:len(o.segments)]
		}
		fits := o.method == method && slices.EqualFunc(o.segments, given, func(template, segment string) bool {
			return template == segment || strings.HasPrefix(template, "{") && segment != ""
		})
		if fits && (found == nil || o.parameters() < found.parameters()) {
			found = o
		}
	}
	return found, nil
}

func (o *operation) parameters() (n int) {
	for _, segment := range o.segments {
		if strings.HasPrefix(segment, "{") {
			n++
		}
	}
	return n
}

// accepts says why the document does not allow a request.
func (o *operation) accepts(r *http.Request, sent []byte) error {
	if !strings.HasPrefix(r.URL.Path, "/oauth2/") && !slices.Contains([]string{"/token", "/connect/token"}, r.URL.Path) {
		for name := range r.URL.Query() { // the OAuth endpoints never read it
			if !slices.Contains(o.query, name) && len(o.requests) > 0 {
				return fmt.Errorf("there is no query parameter %s", name)
			}
		}
	}
	if len(o.requests) == 0 || len(sent) == 0 {
		return nil // rows that read no body ignore one
	}
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil {
		return err
	}
	schema, ok := o.requests[kind]
	switch {
	case !ok:
		return fmt.Errorf("there is no request of type %s", kind)
	case kind != "application/x-www-form-urlencoded":
		return judge(schema, sent)
	}
	form, err := url.ParseQuery(string(sent))
	if err != nil {
		return err
	}
	body := map[string]any{}
	for name, values := range form {
		values = slices.DeleteFunc(values, func(v string) bool { return v == "" }) // it counts as omitted
		if len(values) == 0 {
			continue
		}
		body[name] = values[0]
		if name == "audience" {
			items := []any{}
			for _, v := range values {
				items = append(items, v)
			}
			body[name] = items
		}
	}
	return schema.Validate(body)
}

// replies says why a reply is not one of the operation's.
func (o *operation) replies(method string, reply *http.Response, body []byte) error {
	answer, ok := o.answers[strconv.Itoa(reply.StatusCode)]
	if !ok {
		return errors.New("the document does not list the status")
	}
	if method == http.MethodHead {
		return nil
	}
	if len(answer) == 0 {
		if len(body) > 0 {
			return errors.New("there is a body, and the document has none")
		}
		return nil
	}
	given := reply.Header.Get("Content-Type")
	kind, _, err := mime.ParseMediaType(given)
	if err != nil {
		return fmt.Errorf("the Content-Type is %q", given)
	}
	schema, ok := answer[kind]
	if !ok {
		return fmt.Errorf("the document has no body of type %s", kind)
	}
	if !strings.HasSuffix(kind, "json") {
		return nil // text
	}
	return judge(schema, body)
}

func judge(schema *jsonschema.Schema, raw []byte) error {
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		return err
	}
	return schema.Validate(value)
}

// TestTheContractFindsWhatItLooksFor spoils an exchange in each way.
func TestTheContractFindsWhatItLooksFor(t *testing.T) {
	s := shared(t)
	raw := story(t, s).onAdmin().get("/openapi.json").wantStatus(200).last.body
	d, err := describe(raw)
	if err != nil {
		t.Fatal(err)
	}
	request := func(method, path string) *http.Request {
		r, err := http.NewRequestWithContext(t.Context(), method, s.Admin+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		return r
	}
	held := func(r *http.Request, sent string, status int, kind, body string) error {
		o, err := d.find(r)
		if err != nil || o == nil {
			t.Fatalf("%s %s is not in the document", r.Method, r.URL)
		}
		if err := o.accepts(r, []byte(sent)); err != nil {
			return err
		}
		return o.replies(r.Method, &http.Response{StatusCode: status, Header: http.Header{"Content-Type": {kind}}}, []byte(body))
	}
	const problem = `{"type":"t","title":"T","status":404,"code":"c"}`
	for name, c := range map[string]struct {
		method, path, sent string
		status             int
		kind, body         string
		good               bool
	}{
		"a good page":              {"GET", "/v1/groups", "", 200, "application/json", `{"items":[],"next":"x"}`, true},
		"a good problem":           {"GET", "/v1/groups/x", "", 404, "application/problem+json", problem, true},
		"a good request":           {"POST", "/v1/groups", `{"name":"g","roles":null}`, 404, "application/problem+json", problem, true},
		"a member too many":        {"GET", "/v1/groups", "", 200, "application/json", `{"items":[],"more":true}`, false},
		"a member that is missing": {"GET", "/v1/groups", "", 200, "application/json", `{}`, false},
		"a wrong type":             {"GET", "/v1/groups", "", 200, "application/json", `{"items":{}}`, false},
		"an unlisted status":       {"GET", "/v1/groups", "", 418, "application/problem+json", problem, false},
		"another media type":       {"GET", "/v1/groups", "", 404, "application/json", problem, false},
		"a body of a 204":          {"DELETE", "/v1/groups/x", "", 204, "application/json", `{}`, false},
		"no JSON":                  {"GET", "/v1/groups", "", 200, "application/json", `{`, false},
		"an unknown key":           {"POST", "/v1/groups", `{"name":"g","x":1}`, 201, "application/json", `{}`, false},
		"a required key":           {"POST", "/v1/groups", `{}`, 404, "application/problem+json", problem, false},
		"a malformed time":         {"PUT", "/v1/users/x", `{"not_after":"soon"}`, 404, "application/problem+json", problem, false},
	} {
		if err := held(request(c.method, c.path), c.sent, c.status, c.kind, c.body); (err == nil) != c.good {
			t.Errorf("%s: %v", name, err)
		}
	}
	if o, _ := d.find(request("GET", "/v1/nothing")); o != nil {
		t.Error("an unknown path was found")
	}
	if o, _ := d.find(request("TRACE", "/v1/groups")); o != nil {
		t.Error("an unknown method was found")
	}
	if o, _ := d.find(request("POST", "/v1/applications/bulk-delete")); o == nil || o.parameters() != 0 {
		t.Error("a path that fits better was not found")
	}
}

// TestEachListenerServesItsDocument compares the documents with the rows that a client knows, and looks at how they are served.
func TestEachListenerServesItsDocument(t *testing.T) {
	s := shared(t)
	c := story(t, s).as("")
	admin, public := apiRows()
	for i, rows := range [][]row{admin, public} {
		c.on(i == 1).get("/openapi.json").wantStatus(200).wantHeader("Content-Type", "application/json").want("/openapi", "3.1.1")
		tag := c.header("ETag")
		var document struct {
			Paths map[string]map[string]json.RawMessage `json:"paths"`
		}
		if err := json.Unmarshal(c.last.body, &document); err != nil {
			t.Fatal(err)
		}
		listed := 0
		for path, methods := range document.Paths {
			if strings.HasPrefix(path, "/v1/") || strings.HasPrefix(path, "/access/") {
				listed += len(methods)
			}
		}
		if listed != len(rows) {
			t.Errorf("listener %d: the document has %d API rows, want %d", i, listed, len(rows))
		}
		d, err := describe(c.last.body)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range rows {
			request, _ := http.NewRequestWithContext(t.Context(), r.method, s.Admin+strings.NewReplacer("{", "", "}", "").Replace(r.path), nil)
			if o, _ := d.find(request); o == nil {
				t.Errorf("listener %d: %s %s is not in the document", i, r.method, r.path)
			}
		}
		c.on(i == 1).with("If-None-Match", tag).get("/openapi.json").wantStatus(304)
		c.on(i == 1).send("HEAD", "/openapi.json", nil).wantStatus(200).wantHeader("ETag", tag)
		for _, path := range []string{"/livez", "/openapi.json", "/docs", "/docs/style.css"} {
			if _, ok := document.Paths[path]; !ok {
				t.Errorf("listener %d: %s is not in the document", i, path)
			}
		}
		_, token := document.Paths["/oauth2/token"]
		_, users := document.Paths["/v1/users"]
		if public := i == 1; token != public || users == public {
			t.Errorf("listener %d has the rows of the other one", i)
		}
	}
}
