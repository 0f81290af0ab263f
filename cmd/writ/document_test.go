package main_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
)

// fetch gets a document of a listener.
func fetch(t *testing.T, url string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	reply, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer reply.Body.Close()
	body, err := io.ReadAll(reply.Body)
	if err != nil {
		t.Fatal(err)
	}
	return reply, string(body)
}

// listeners starts a server and returns the addresses of its listeners by name.
func listeners(t *testing.T) map[string]string {
	t.Helper()
	separate := start(t, []string{
		"WRIT_LISTEN=127.0.0.1:0", "WRIT_ADMIN_LISTEN=127.0.0.1:0", "WRIT_DATA_DIR=" + t.TempDir(),
	}, "serve")
	return map[string]string{"public": "http://" + separate.public, "admin": "http://" + separate.admin}
}

// TestTheDocumentDescribesEveryRow: no row is in it with what its table says alone, and others than we find it good.
func TestTheDocumentDescribesEveryRow(t *testing.T) {
	for name, base := range listeners(t) {
		_, raw := fetch(t, base+"/openapi.json")
		d, err := openapi3.NewLoader().LoadFromData([]byte(raw))
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Validate(context.Background()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if !d.IsOpenAPI31OrLater() || d.Paths.Len() < 10 {
			t.Errorf("%s: version %s, %d paths", name, d.OpenAPI, d.Paths.Len())
		}
		for path, item := range d.Paths.Map() {
			for method, o := range item.Operations() {
				for _, fault := range faults(method, o) {
					t.Errorf("%s: %s %s: %s", name, method, path, fault)
				}
			}
		}
	}
}

// faults says what is missing in the description of one operation.
func faults(method string, o *openapi3.Operation) (found []string) {
	if o.Summary == "" {
		found = append(found, "it has no summary; give the row a shape")
	}
	for _, p := range o.Parameters {
		if p.Value.In == "query" && p.Value.Description == "" {
			found = append(found, "nothing is said of the query parameter "+p.Value.Name)
		}
	}
	if o.RequestBody != nil {
		for kind, media := range o.RequestBody.Value.Content {
			whole, err := json.Marshal(media.Schema)
			if media.Example != nil && err == nil {
				continue // a body of any form is shown by one
			}
			if err != nil || !strings.Contains(string(whole), "$ref") && !strings.Contains(string(whole), `"properties"`) {
				found = append(found, "nothing is said of the body of type "+kind)
			}
		}
	}
	good := 0
	for status, response := range o.Responses.Map() {
		switch {
		case status < "300":
			good++
			if status == "204" && len(response.Value.Content) > 0 || status == "201" && len(response.Value.Content) == 0 {
				found = append(found, "the reply "+status+" has a body where it cannot, or none where it must")
			}
		case status != "304" && len(response.Value.Content) == 0:
			found = append(found, "nothing is said of the body of "+status)
		}
	}
	if good == 0 {
		found = append(found, "no reply is a good one")
	}
	if _, decided := o.Extensions["x-writ-permission"]; decided && o.Responses.Value("401") == nil {
		found = append(found, "nobody is refused")
	}
	return found
}

func TestADescriptionThatIsMissingIsFound(t *testing.T) {
	d, err := openapi3.NewLoader().LoadFromData([]byte(`{"openapi":"3.1.1","info":{"title":"T","version":"1"},"paths":{"/x":{"post":{
		"x-writ-permission":"a:b","parameters":[{"name":"q","in":"query","schema":{}}],
		"requestBody":{"content":{"application/json":{"schema":{"type":"object"}}}},"responses":{"400":{"description":"Bad"}}}}}}`))
	if err != nil {
		t.Fatal(err)
	}
	if found := faults("POST", d.Paths.Value("/x").Post); len(found) != 6 {
		t.Errorf("found %q", found)
	}
}

// TestHandlersDecodeThroughTheirShapes: whoever decoded a body by other means could read what the document does not say.
func TestHandlersDecodeThroughTheirShapes(t *testing.T) {
	through, past := 0, regexp.MustCompile(`Decode(Open)?JSON\(r(eq)?\.Body|json\.Unmarshal\(r(eq)?\.Body`)
	for _, dir := range []string{"../../identity", "../../oauth", "../../policies/decide"} {
		for name, source := range sources(t, dir) {
			through += strings.Count(source, "req.Decode(") + strings.Count(source, "r.Decode(")
			if found := past.FindString(source); found != "" {
				t.Errorf("%s: %s…: read the body with Request.Decode", name, found)
			}
		}
	}
	if through < 20 {
		t.Errorf("%d handlers decode bodies; the test looks for the wrong thing", through)
	}
}

// sources are the Go files of a directory but for tests.
func sources(t *testing.T, dir string) map[string]string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		raw, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		found[name] = string(raw)
	}
	return found
}

// TestFormsNameWhatIsRead holds the forms of the OAuth endpoints to the parameters that our code asks a form for. What fosite reads
// (scope, audience, username, password) is in them besides.
func TestFormsNameWhatIsRead(t *testing.T) {
	_, raw := fetch(t, listeners(t)["public"]+"/openapi.json")
	d, err := openapi3.NewLoader().LoadFromData([]byte(raw))
	if err != nil {
		t.Fatal(err)
	}
	named := map[string]bool{}
	for _, path := range []string{"/oauth2/token", "/oauth2/introspect", "/oauth2/revoke", "/oauth2/sessions/end"} {
		for name := range d.Paths.Value(path).Post.RequestBody.Value.Content["application/x-www-form-urlencoded"].Schema.Value.Properties {
			named[name] = true
		}
	}
	read := 0
	for name, source := range sources(t, "../../oauth") {
		for _, match := range regexp.MustCompile(`form\.(?:Get|Has)\("([a-z_]+)"\)`).FindAllStringSubmatch(source, -1) {
			read++
			if !named[match[1]] {
				t.Errorf("%s reads the form parameter %s, and no form in the document has it", name, match[1])
			}
		}
	}
	for _, name := range []string{"scope", "audience", "username", "password"} {
		if !named[name] {
			t.Errorf("no form in the document has %s", name)
		}
	}
	if read < 8 {
		t.Errorf("%d parameters are read; the test looks for the wrong thing", read)
	}
}

// TestDocsArePagesOfTheBinaryAlone: every row is on the page, and it needs neither another host nor a script.
func TestDocsArePagesOfTheBinaryAlone(t *testing.T) {
	for name, base := range listeners(t) {
		_, raw := fetch(t, base+"/openapi.json")
		var document struct {
			Paths      map[string]map[string]struct{ Summary string }
			Components struct{ Schemas map[string]any }
		}
		if err := json.Unmarshal([]byte(raw), &document); err != nil {
			t.Fatal(err)
		}
		reply, page := fetch(t, base+"/docs")
		if reply.StatusCode != http.StatusOK || reply.Header.Get("Content-Type") != "text/html; charset=utf-8" {
			t.Fatalf("%s: %d %s", name, reply.StatusCode, reply.Header.Get("Content-Type"))
		}
		policy := reply.Header.Get("Content-Security-Policy")
		for _, wanted := range []string{"default-src 'self'", "script-src 'none'", "frame-ancestors 'none'"} {
			if !strings.Contains(policy, wanted) {
				t.Errorf("%s: the policy is %q", name, policy)
			}
		}
		for path, methods := range document.Paths {
			for method, o := range methods {
				line := `<span class="method">` + strings.ToUpper(method) + `</span> ` + path + `</code>`
				if !strings.Contains(page, line) || o.Summary == "" {
					t.Errorf("%s: the page has no %s %s", name, method, path)
				}
			}
		}
		for schema := range document.Components.Schemas {
			if !strings.Contains(page, `id="schema-`+schema+`"`) {
				t.Errorf("%s: the page has no schema %s", name, schema)
			}
		}
		if found := regexp.MustCompile(`(?i)https?://|//[a-z0-9.-]+\.[a-z]+/|<script|javascript:| on[a-z]+=|@import|url\(`).FindString(page); found != "" {
			t.Errorf("%s: the page has %q", name, found)
		}
		links := regexp.MustCompile(`(?:href|src)="([^"]*)"`).FindAllStringSubmatch(page, -1)
		for _, link := range links {
			if anchor, ok := strings.CutPrefix(link[1], "#"); ok {
				if !strings.Contains(page, `id="`+anchor+`"`) {
					t.Errorf("%s: a link leads to %s, which is nowhere", name, link[1])
				}
			} else if !slices.Contains([]string{"/openapi.json", "/docs/style.css"}, link[1]) {
				t.Errorf("%s: the page loads or links %s", name, link[1])
			}
		}
		style, sheet := fetch(t, base+"/docs/style.css")
		if style.Header.Get("Content-Type") != "text/css; charset=utf-8" || strings.Contains(sheet, "url(") || strings.Contains(sheet, "@import") {
			t.Errorf("%s: the style sheet is %s", name, style.Header.Get("Content-Type"))
		}
	}
}
