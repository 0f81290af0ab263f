package oauth

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
)

// document is a public JSON document that changes rarely.
type document struct {
	body                    []byte
	etag, media, cacheUntil string
}

func newDocument(body []byte, media, cacheControl string) document {
	sum := sha256.Sum256(body)
	etag := `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`
	return document{body: body, etag: etag, media: media, cacheUntil: cacheControl}
}

func (d document) serve(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("ETag", d.etag)
	h.Set("Cache-Control", d.cacheUntil)
	h.Set("X-Content-Type-Options", "nosniff")
	if known(r.Header.Values("If-None-Match"), d.etag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	h.Set("Content-Type", d.media)
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(d.body) // the client is gone if this fails; there is nobody to tell
}

// known reports whether If-None-Match names the tag (RFC 9110, section 13.1.2: weak comparison).
func known(given []string, etag string) bool {
	for _, line := range given {
		for tag := range strings.SplitSeq(line, ",") {
			if tag = strings.TrimSpace(tag); tag == "*" || strings.TrimPrefix(tag, "W/") == etag {
				return true
			}
		}
	}
	return false
}

// metadata is RFC 8414, section 2. It lists what exists and nothing else; an empty array is not allowed there.
type metadata struct {
	Issuer        string   `json:"issuer"`
	TokenEndpoint string   `json:"token_endpoint"`
	JWKSURI       string   `json:"jwks_uri"`
	GrantTypes    []string `json:"grant_types_supported"`
	// ResponseTypes is required and must not be empty; there is no authorization endpoint, and "none" says so.
	ResponseTypes []string `json:"response_types_supported"`
	AuthMethods   []string `json:"token_endpoint_auth_methods_supported"`

	IntrospectionEndpoint    string   `json:"introspection_endpoint"`
	IntrospectionAuthMethods []string `json:"introspection_endpoint_auth_methods_supported"`
	IntrospectionAlgorithms  []string `json:"introspection_signing_alg_values_supported"` // RFC 9701, section 7
	RevocationEndpoint       string   `json:"revocation_endpoint"`
	RevocationAuthMethods    []string `json:"revocation_endpoint_auth_methods_supported"`
}

// describe makes the metadata from the configuration alone. The routes are at the root of the issuer's host, whatever
// its path.
func (s *Server) describe() (document, error) {
	raw, err := json.Marshal(metadata{
		Issuer: s.issuer, TokenEndpoint: s.origin + tokenPath, JWKSURI: s.origin + jwksPath,
		GrantTypes: []string{grantClientCredentials, grantPassword, grantRefreshToken}, ResponseTypes: []string{"none"},
		AuthMethods:           []string{methodBasic, methodPost, methodNone},
		IntrospectionEndpoint: s.origin + introspectPath, IntrospectionAuthMethods: []string{methodBasic, methodPost},
		IntrospectionAlgorithms: []string{algES256},
		RevocationEndpoint:      s.origin + revokePath, RevocationAuthMethods: []string{methodBasic, methodPost, methodNone},
	})
	if err != nil {
		return document{}, fmt.Errorf("describe the server: %w", err)
	}
	return newDocument(raw, "application/json", jwksMaxAge), nil
}
