package decide

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/writ-authz/writ/policies"
	"github.com/writ-authz/writ/policies/enforce"
)

// routeType is the type of what a gateway asks about; the path is its id, the method the action.
const routeType = "route"

// anonymousType is the type of the subject of a request that brought no token.
const anonymousType = "anonymous"

// Limits of what a gateway forwards.
const (
	maxForwardedPath = 4096
	maxForwardedHost = 255
)

// The headers in which a gateway tells of the request that it asks about. X-Forwarded-For is read where proxies are trusted.
const (
	forwardedMethod = "X-Forwarded-Method"
	forwardedURI    = "X-Forwarded-Uri"
	forwardedHost   = "X-Forwarded-Host"
	forwardedProto  = "X-Forwarded-Proto"
	forwardedFor    = "X-Forwarded-For"
)

// identityHeaders are what the service behind the gateway learns of the caller. All of them are in every reply, empty where there is
// nothing to tell, so that a gateway that copies them overwrites what the client sent.
func identityHeaders() []string {
	return []string{"X-Auth-Subject", "X-Auth-Subject-Type", "X-Auth-User", "X-Auth-Client", "X-Auth-Tenant", "X-Auth-Scope"}
}

// ForwardRoutes are the rows that gateways ask. The caller is the one of the request that the gateway holds; it may be nobody, which is
// for the rules to judge, so it is found in resolve.
func (a *API) ForwardRoutes(authenticator enforce.Authenticator) []enforce.Route {
	f := forward{api: a, authenticator: authenticator}
	row := enforce.Route{
		Path: "/forward-auth", Entrypoint: policies.EntryDecision, Type: askType, Action: askAction, Resolve: f.resolve, Shape: forwardShape(),
	}
	get, post := row, row
	get.Method, post.Method = http.MethodGet, http.MethodPost
	return []enforce.Route{get, post}
}

// ForwardPlane is the plane of ForwardRoutes. Its errors are those of under, with the statuses that gateways understand: a denial is 401
// where nobody is known, or known well enough, and else 403.
func (a *API) ForwardPlane(under enforce.Plane) enforce.Plane {
	plane := under
	plane.Name, plane.Authenticator, plane.Schemes = policies.PlaneRuntime, nil, []string{"bearer", ""}
	plane.WriteError = func(w http.ResponseWriter, r *enforce.Request, err error) {
		tell(w.Header(), nil)
		under.WriteError(w, r, err)
	}
	plane.WriteDenial = func(w http.ResponseWriter, r *enforce.Request, d policies.Decision, reasons []policies.Reason) {
		plane.WriteError(w, r, refusal(r, d, reasons))
	}
	return plane
}

// forward answers /forward-auth.
type forward struct {
	api           *API
	authenticator enforce.Authenticator
}

func (f forward) resolve(ctx context.Context, r *enforce.Request) (enforce.Resolved, error) {
	resource, method, err := forwarded(r.HTTP.Header)
	if err != nil {
		return enforce.Resolved{}, err
	}
	if r.Caller, err = f.caller(ctx, r.HTTP); err != nil {
		return enforce.Resolved{}, err
	}
	question := policies.Question{Action: method, Resource: resource, Caller: policies.Caller{Self: true}}
	if r.Caller == nil {
		question.Subject = policies.Nobody(anonymousType, "")
		question.Caller = policies.Caller{Plane: policies.PlaneRuntime, Address: policies.AddressUnknown}
	} else {
		question.Resource.Tenant = r.Caller.Tenant
		event := enforce.EventFrom(ctx)
		event.Subject, event.Client, event.Tenant = r.Caller.ID, r.Caller.ClientID, r.Caller.Tenant
	}
	return enforce.Resolved{
		Question: question,
		Respond: func(context.Context, policies.Decision) (enforce.Reply, error) {
			header := http.Header{}
			tell(header, r.Caller)
			return enforce.Reply{Status: http.StatusOK, Header: header}, nil
		},
	}, nil
}

// caller is who makes the request that the gateway holds, or nil where it brings no credential. A bad credential is no missing one.
func (f forward) caller(ctx context.Context, r *http.Request) (*enforce.Caller, error) {
	switch len(r.Header.Values("Authorization")) {
	case 0:
		return nil, nil
	case 1:
		return f.authenticator.Authenticate(ctx, r)
	default:
		return nil, ambiguous("Authorization", "is there more than once")
	}
}

// forwarded is the request that the gateway holds: the resource and the method. Whatever two servers could read in two ways is refused:
// the gateway, Writ and the service behind must mean the same. A client can cause that, so it is 403, which gateways pass on; a
// header that is not there is a mistake of the gateway's, and 400.
func forwarded(header http.Header) (policies.Resource, string, error) {
	if err := unmistakable(header); err != nil {
		return policies.Resource{}, "", err
	}
	method, uri := header.Get(forwardedMethod), header.Get(forwardedURI)
	for name, value := range map[string]string{forwardedMethod: method, forwardedURI: uri} {
		if value == "" {
			return policies.Resource{}, "", enforce.BadParameter("missing_header", name, "a gateway sends this header; see docs/forward-auth.md")
		}
	}
	if len(method) > 32 || strings.Trim(method, "ABCDEFGHIJKLMNOPQRSTUVWXYZ-") != "" {
		return policies.Resource{}, "", ambiguous(forwardedMethod, "is no method in capitals")
	}
	path, err := plainPath(uri)
	if err != nil {
		return policies.Resource{}, "", ambiguous(forwardedURI, err.Error())
	}
	host, err := plainHost(header.Get(forwardedHost))
	if err != nil {
		return policies.Resource{}, "", ambiguous(forwardedHost, err.Error())
	}
	proto := header.Get(forwardedProto)
	if !slices.Contains([]string{"", "http", "https", "ws", "wss"}, proto) {
		return policies.Resource{}, "", ambiguous(forwardedProto, "is none of http, https, ws and wss")
	}
	properties, err := json.Marshal(map[string]string{"host": host, "proto": proto})
	if err != nil {
		return policies.Resource{}, "", fmt.Errorf("forward-auth: %w", err)
	}
	return policies.Resource{
		Type: routeType, ID: path, TenantEnabled: true, Exists: true, Properties: properties, OtherOwners: -1, OwnersBefore: -1,
	}, method, nil
}

// unmistakable refuses headers that are there twice, and those that become one of ours in a server that takes underscores for hyphens.
func unmistakable(header http.Header) error {
	for name, values := range header {
		if strings.Contains(name, "_") && ours(http.CanonicalHeaderKey(strings.ReplaceAll(name, "_", "-"))) {
			return ambiguous(printable(name), "has an underscore in place of a hyphen")
		}
		if len(values) > 1 && ours(name) && !strings.HasPrefix(name, "X-Auth-") {
			return ambiguous(name, "is there more than once")
		}
	}
	return nil
}

// ours reports whether a header says something to us, or to the service behind the gateway in our name. What the client sends under the
// latter is not read, and overwritten.
func ours(name string) bool {
	switch name {
	case "Authorization", forwardedMethod, forwardedURI, forwardedHost, forwardedProto, forwardedFor:
		return true
	default:
		return slices.Contains(identityHeaders(), name)
	}
}

func ambiguous(header, what string) error {
	return &enforce.ProtocolError{
		Status: http.StatusForbidden, Code: "ambiguous_request", Parameter: header, Detail: "the header " + what,
	}
}

// printable keeps what the client wrote out of a reply, but for its plain characters.
func printable(name string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x21 || r > 0x7e {
			return '?'
		}
		return r
	}, name[:min(len(name), 64)])
}

var errAmbiguousPath = errors.New("has a path that can be read in two ways")

// plainPath is the path of a request target, decoded once. The query is not looked at, and goes no further.
func plainPath(uri string) (string, error) {
	if len(uri) > maxForwardedPath {
		return "", errors.New("is too long")
	}
	raw, _, _ := strings.Cut(uri, "?")
	if !strings.HasPrefix(raw, "/") || strings.ContainsAny(raw, "#;\\") {
		return "", errAmbiguousPath
	}
	for _, c := range []byte(raw) {
		if c <= 0x20 || c >= 0x7f {
			return "", errAmbiguousPath
		}
	}
	path, err := url.PathUnescape(raw)
	if err != nil || !utf8.ValidString(path) {
		return "", errAmbiguousPath
	}
	if len(path) != len(raw) && encodesMeaning(raw) {
		return "", errAmbiguousPath
	}
	segments := strings.Split(path, "/")
	if inner := segments[1 : len(segments)-1]; slices.Contains(inner, "") || slices.Contains(segments, ".") || slices.Contains(segments, "..") {
		return "", errAmbiguousPath
	}
	return path, nil
}

// encodesMeaning reports whether an escape hides a character that means something in a path, or a control character.
func encodesMeaning(raw string) bool {
	for at := strings.IndexByte(raw, '%'); at >= 0 && at+2 < len(raw); {
		c, err := url.PathUnescape(raw[at : at+3])
		if err != nil || c[0] < 0x20 || c[0] == 0x7f || strings.ContainsAny(c, `/\.%;?#`) {
			return true
		}
		next := strings.IndexByte(raw[at+3:], '%')
		if next < 0 {
			return false
		}
		at += 3 + next
	}
	return false
}

// plainHost is a host in lower case and without its port.
func plainHost(given string) (string, error) {
	host := strings.ToLower(given)
	if name, port, err := net.SplitHostPort(host); err == nil && strings.Trim(port, "0123456789") == "" {
		host = name
	}
	if len(host) > maxForwardedHost || strings.Trim(host, "abcdefghijklmnopqrstuvwxyz0123456789.-_:[]") != "" {
		return "", errors.New("is no host")
	}
	return strings.TrimSuffix(host, "."), nil
}

// tell sets the identity headers, empty for nobody.
func tell(header http.Header, caller *enforce.Caller) {
	for _, name := range identityHeaders() {
		header.Set(name, "")
	}
	if caller == nil {
		return
	}
	header.Set("X-Auth-Subject", plainValue(caller.ID))
	header.Set("X-Auth-Subject-Type", plainValue(caller.Type))
	header.Set("X-Auth-Client", plainValue(caller.ClientID))
	header.Set("X-Auth-Tenant", plainValue(caller.Tenant))
	header.Set("X-Auth-Scope", caller.Scope)
	if caller.UserToken {
		header.Set("X-Auth-User", plainValue(caller.ID))
	}
}

// plainValue escapes what a header cannot carry as it is: an external issuer calls people what it likes.
func plainValue(text string) string {
	var b strings.Builder
	for _, c := range []byte(text) {
		if c < 0x21 || c > 0x7e || c == '%' {
			fmt.Fprintf(&b, "%%%02X", c)
			continue
		}
		b.WriteByte(c)
	}
	return b.String()
}

// refusal is a denial as a gateway's client sees it. It names what the request takes, as far as the policy says so.
func refusal(r *enforce.Request, d policies.Decision, reasons []policies.Reason) error {
	const realm = `Bearer realm="writ"`
	if r.Caller == nil {
		return &enforce.AuthenticationError{Detail: "Send an access token in the Authorization header.", Challenges: []string{realm}}
	}
	p := &enforce.ProtocolError{Status: http.StatusForbidden, Code: "denied", Detail: "the decision was no; the reasons say why", Reasons: reasons}
	if len(reasons) > 0 {
		p.Code = reasons[0].Code
	}
	taken := strings.Join(d.Obligations.Scopes, " ")
	if taken != "" {
		p.Detail = "the request takes " + taken
	}
	switch p.Code {
	case "wrong_audience", "not_usable", "outside_validity":
		p.Status, p.Header = http.StatusUnauthorized, http.Header{"Www-Authenticate": {realm + `, error="invalid_token"`}}
	case "insufficient_scope":
		p.Header = http.Header{"Www-Authenticate": {realm + `, error="insufficient_scope", scope="` + taken + `"`}}
	}
	return p
}

// forwardShape is what a gateway gets: a status, and headers.
func forwardShape() *enforce.Shape {
	return &enforce.Shape{
		Summary: "May this request pass the gateway?",
		Replies: []enforce.ReplyShape{{Status: http.StatusOK}},
	}
}
