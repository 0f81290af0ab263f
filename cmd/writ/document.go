package main

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"fmt"
	"html/template"
	"net/http"
	"strings"

	"github.com/writ-authz/writ/policies/enforce"
)

// What a listener says of itself: its OpenAPI document, and the pages that are made of it when the server starts. They are whole in the
// binary, load nothing from elsewhere and run no script.
const (
	documentPath = "/openapi.json"
	docsPath     = "/docs"
	docsStyle    = "/docs/style.css"
)

var (
	//go:embed pages/docs.html
	docsPage string
	//go:embed pages/style.css
	styleSheet []byte
)

// documented adds to the open rows of a listener those that describe all of its rows, themselves too.
func documented(listener string, groups []enforce.Group, open []enforce.OpenRoute) ([]enforce.OpenRoute, error) {
	media := func(summary, kind string) *enforce.Shape {
		return &enforce.Shape{
			Summary: summary, Replies: []enforce.ReplyShape{{Status: http.StatusOK, Media: kind}}, Errors: []int{http.StatusNotModified},
		}
	}
	first := len(open)
	all := append(open[:first:first],
		enforce.OpenRoute{Method: http.MethodGet, Path: documentPath, Shape: &enforce.Shape{
			Summary: "This document", Replies: []enforce.ReplyShape{enforce.OK[map[string]any]()}, Errors: []int{http.StatusNotModified},
		}},
		enforce.OpenRoute{Method: http.MethodGet, Path: docsPath, Shape: media("This document for people", "text/html")},
		enforce.OpenRoute{Method: http.MethodGet, Path: docsStyle, Shape: media("How the pages look", "text/css")},
	)
	d, err := enforce.Describe("Writ, "+listener+" listener", readBuild().Version, groups, all)
	if err != nil {
		return nil, err
	}
	page, err := renderDocs(listener, d)
	if err != nil {
		return nil, err
	}
	all[first].Handler = static{body: d.JSON, etag: d.ETag, media: "application/json"}.serve
	all[first+1].Handler = static{body: page, etag: tagFor(page), media: "text/html; charset=utf-8", page: true}.serve
	all[first+2].Handler = static{body: styleSheet, etag: tagFor(styleSheet), media: "text/css; charset=utf-8"}.serve
	return all, nil
}

func tagFor(body []byte) string {
	sum := sha256.Sum256(body)
	return `"` + hex.EncodeToString(sum[:16]) + `"`
}

// renderDocs makes the one page of a listener.
func renderDocs(listener string, d *enforce.Document) ([]byte, error) {
	page, err := template.New("docs").Parse(docsPage)
	if err != nil {
		return nil, fmt.Errorf("docs: %w", err)
	}
	var b bytes.Buffer
	if err := page.Execute(&b, map[string]any{"Listener": listener, "Version": readBuild().Version, "Document": d}); err != nil {
		return nil, fmt.Errorf("docs: %w", err)
	}
	return b.Bytes(), nil
}

// static is a document that does not change while the server runs.
type static struct {
	body        []byte
	etag, media string
	page        bool
}

// pagePolicy lets a page load the style sheet of its own server and nothing else.
const pagePolicy = "default-src 'self'; script-src 'none'; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

func (s static) serve(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("ETag", s.etag)
	h.Set("Cache-Control", "no-cache")
	if s.page {
		h.Set("Content-Security-Policy", pagePolicy)
	}
	for _, line := range r.Header.Values("If-None-Match") {
		for tag := range strings.SplitSeq(line, ",") {
			if tag = strings.TrimSpace(tag); tag == "*" || strings.TrimPrefix(tag, "W/") == s.etag {
				w.WriteHeader(http.StatusNotModified)
				return
			}
		}
	}
	h.Set("Content-Type", s.media)
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(s.body) // the reader is gone if this fails
}

func textShape(summary string) *enforce.Shape {
	return &enforce.Shape{Summary: summary, Replies: []enforce.ReplyShape{{Status: http.StatusOK, Media: "text/plain"}}}
}

func readyShape() *enforce.Shape {
	return &enforce.Shape{
		Summary: "Should the node get requests",
		Query:   map[string]enforce.Parameter{"verbose": {Description: "Say of every check how it is."}},
		Replies: []enforce.ReplyShape{enforce.OK[report](), enforce.Answer[report](http.StatusServiceUnavailable)},
	}
}
