package oauth

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/ory/fosite"

	"github.com/writ-authz/writ/policies"
	"github.com/writ-authz/writ/policies/enforce"
	"github.com/writ-authz/writ/storage"
)

// The grant types that exist now.
const (
	grantClientCredentials = "client_credentials"
	grantPassword          = "password"
	grantRefreshToken      = "refresh_token"
)

// The token formats: one that resource servers read themselves, and one that only this server does.
const (
	formatJWT    = "jwt"
	formatOpaque = "opaque"
)

// maxTenantID is the longest id of a tenant.
const maxTenantID = 128

// maxAudiences bounds the one parameter that may be repeated.
const maxAudiences = 32

// issue is one token request on its way from resolve to respond.
type issue struct {
	server    *Server
	requester fosite.AccessRequester
	session   *session
	grant     string
	// front is who asks, client whose token it is: the same, unless an application came by the password grant through another.
	front, client *client
	subject       *enforce.Subject
	// global is the global epoch from before any fact was read, so that a token never outlives a raise that it did not see.
	global int64
	tenant string
	// nonce is the form's timestamp_nonce, nil where it has none.
	nonce *int64
	sid   string
	// family is the session that a refresh token names; nil for other grant types.
	family  *family
	ceiling ceiling
	request *enforce.Request
}

// resolveToken is the token endpoint up to the decision: front filter, client authentication, fosite's first phase
// (which checks the password), and the most that may be granted.
func (s *Server) resolveToken(ctx context.Context, r *enforce.Request) (enforce.Resolved, error) {
	form, err := readForm(r.Body)
	if err != nil {
		return enforce.Resolved{}, err
	}
	grant, err := readGrantType(form)
	if err != nil {
		return enforce.Resolved{}, err
	}
	nonce, err := readNonce(form)
	if err != nil {
		return enforce.Resolved{}, err
	}
	if err := s.directory.Fresh(); err != nil {
		return enforce.Resolved{}, fmt.Errorf("token request: %w", err)
	}
	i := &issue{server: s, session: &session{}, grant: grant, global: s.directory.GlobalEpoch(), request: r, nonce: nonce}
	if i.requester, err = s.provider.NewAccessRequest(presenting(ctx, r, form), fositeRequest(r.HTTP, form), i.session); err != nil {
		return enforce.Resolved{}, fromFosite(err)
	}
	i.front = i.requester.GetClient().(*client)
	i.client = i.front
	i.subject = i.client.subject
	switch grant {
	case grantPassword:
		err = s.resourceOwner(ctx, i)
	case grantRefreshToken:
		err = s.resume(ctx, i, form.Get("refresh_token"))
	}
	if err != nil {
		return enforce.Resolved{}, err
	}
	if i.family == nil {
		i.tenant = i.subject.Facts.Identity().Tenant
	}
	if narrowed := form.Get("tenant"); narrowed != "" {
		if !tenantID(narrowed) || !s.directory.TenantEnabled(narrowed) || (i.family != nil && narrowed != i.tenant) {
			return enforce.Resolved{}, refusal(refused(grant)) // like a tenant that is not the identity's
		}
		i.tenant = narrowed
	}
	event := enforce.EventFrom(ctx)
	event.Client, event.Subject, event.Tenant = i.client.app.ID, i.subject.ID, i.tenant
	if i.ceiling, err = s.ceilingOf(i); err != nil {
		return enforce.Resolved{}, err
	}
	return enforce.Resolved{Question: i.question(), Respond: i.respond}, nil
}

// question is put to writ/token between fosite's two phases.
func (i *issue) question() policies.Question {
	app := i.client.app
	caller := policies.Caller{
		ClientID: i.front.app.ID, Tenant: i.tenant, Audiences: i.ceiling.audiences, SID: i.sid, UserToken: i.subject.Type == typeUser,
		Public: i.front.IsPublic(), Address: i.address(),
	}
	if i.sid != "" {
		caller.AuthTime = i.authTime()
	}
	return policies.Question{
		Subject: i.subject.Facts, Client: i.front.subject.Facts, Caller: caller, Now: i.request.Now,
		Resource: policies.Resource{Tenant: i.tenant, TenantEnabled: true, Exists: true},
		Token: &policies.TokenRequest{
			GrantType: i.grant, Named: i.ceiling.named, Candidates: i.ceiling.scopes(), Audiences: i.ceiling.audiences,
			Lifetime: i.ceiling.lifetime, Tenant: i.tenant, Nonce: i.nonce, Refresh: contains(app.GrantTypes, grantRefreshToken),
			Format: i.ceiling.format, AudiencesNamed: len(i.requester.GetRequestedAudience()) > 0, Down: i.down(),
		},
	}
}

// down are the audiences of the request whose resource servers are all out of use.
func (i *issue) down() (names []string) {
	for _, audience := range i.ceiling.audiences {
		if i.server.directory.AudienceDown(audience, i.request.Now) {
			names = append(names, audience)
		}
	}
	return names
}

// address says what the peer's address means: it must be good for the subject and for the client.
func (i *issue) address() string {
	peer := remote(i.request.HTTP)
	if i.server.directory.AddressFact(i.front.subject, peer) == policies.AddressRefused {
		return policies.AddressRefused
	}
	return i.server.directory.AddressFact(i.subject, peer)
}

// tokenReply is RFC 6749, section 5.1. Scope is always there: what was granted may differ from what was asked for.
type tokenReply struct {
	AccessToken string `json:"access_token"`
	TokenType   string `json:"token_type"`
	ExpiresIn   int64  `json:"expires_in"`
	Scope       string `json:"scope"`
	// RefreshToken is there if the decision says so.
	RefreshToken string `json:"refresh_token,omitempty"`
}

// respond issues what the decision grants, cut at the ceilings.
func (i *issue) respond(ctx context.Context, d policies.Decision) (enforce.Reply, error) {
	s := i.server
	given, err := i.ceiling.apply(d.Obligations, i.request.Now)
	if err != nil {
		return enforce.Reply{}, err
	}
	if given.lifetime < 1 {
		return enforce.Reply{}, refusal(refused(i.grant)) // a window ends within this second
	}
	// A key that is missing is missed before a nonce or a refresh token is spent.
	if given.format == formatJWT {
		if err := s.signing(ctx, i.ceiling.algorithm); err != nil {
			return enforce.Reply{}, fmt.Errorf("issue token: %w", err)
		}
	}
	if err := i.spendNonce(ctx); err != nil {
		return enforce.Reply{}, err
	}
	refresh := ""
	jti, err := s.randomID()
	if err != nil {
		return enforce.Reply{}, err
	}
	if i.sid != "" {
		// The session is there before the token that names it.
		if refresh, err = i.keepSession(ctx, &given, d.Obligations.Refresh); err != nil {
			return enforce.Reply{}, err
		}
	}
	i.session.claims, i.session.format, i.session.algorithm = i.claims(jti, given), given.format, i.ceiling.algorithm
	for _, scope := range given.scopes {
		i.requester.GrantScope(scope)
	}
	for _, audience := range given.audience {
		i.requester.GrantAudience(audience)
	}
	response, err := s.provider.NewAccessResponse(ctx, i.requester)
	if err != nil {
		return enforce.Reply{}, fmt.Errorf("issue token: %w", fromFosite(err))
	}
	header := http.Header{}
	noStore(header)
	return enforce.Reply{Status: http.StatusOK, Header: header, Body: tokenReply{
		AccessToken: response.GetAccessToken(), TokenType: "Bearer", ExpiresIn: given.lifetime, Scope: given.scope,
		RefreshToken: refresh,
	}}, nil
}

// claims are those of RFC 9068, section 2.2, and the epochs.
func (i *issue) claims(jti string, given granted) *claims {
	identity := i.subject.Facts.Identity()
	now := i.request.Now.Unix()
	c := &claims{
		Issuer: i.server.issuer, Subject: i.subject.ID, Audience: given.audience, ClientID: i.client.app.ID,
		IssuedAt: now, NotBefore: now, ExpiresAt: now + given.lifetime, ID: jti, Scope: given.scope,
		SID: i.sid, Tenant: i.tenant, extra: given.claims,
		Epochs: epochs{Global: i.global, Application: i.client.app.Epoch},
	}
	if size(identity.Roles)+size(identity.Groups) <= maxScope {
		c.Roles, c.Groups = identity.Roles, identity.Groups
	}
	if i.client.secret != nil {
		c.Epochs.Secret = i.client.secret.ID
	}
	switch i.grant {
	case grantClientCredentials:
		c.Epochs.Identity = i.client.app.Epoch
	case grantPassword:
		if i.session.machine != nil {
			c.Epochs.Identity = i.client.app.Epoch
			break // and no AuthTime: no person signed in
		}
		// As it was before the password was checked, so that a change made meanwhile kills this token too.
		c.Epochs.Identity = i.session.epoch
		c.Epochs.AuthTime = now
	case grantRefreshToken:
		// As they were at the login: one that is raised meanwhile kills this token too.
		since := i.family.record.Since
		c.Epochs.Global, c.Epochs.Application, c.Epochs.Identity = since.Global, since.Application, since.Identity
		c.Epochs.Session, c.Epochs.AuthTime = i.family.record.Epoch, i.family.record.AuthTime.Unix()
	}
	return c
}

func size(names []string) (n int) {
	for _, name := range names {
		n += len(name)
	}
	return n
}

// denial turns the reasons of a denial into the reply.
func denial(grant string, reasons []policies.Reason) error {
	for _, reason := range reasons {
		switch reason.Code {
		case "replayed":
			return replayed()
		case "tenant_required":
			return refusalOf(codeInvalidRequest, "All rights are in single tenants: name one of them in the parameter tenant.")
		}
		if code := denialCode(grant, reason.Code); code != "" {
			return refusal(code)
		}
	}
	return refusal(codeUnauthorized) // the codes are all of a core that is not ours
}

// denialCode is the one table from reason code to reply: what is wrong with the identity looks like a wrong credential
// of its grant type. It has a row for every code that writ/token refuses with; a code that is not here gives "".
func denialCode(grant, reason string) string {
	switch reason {
	case "not_usable", "outside_validity", "no_such_subject", "tenant_mismatch", "tenant_disabled", "address_not_allowed",
		"password_change_required":
		return refused(grant)
	case "not_granted", "insufficient_scope":
		return codeInvalidScope
	case "wrong_audience", "audience_down":
		return codeInvalidTarget
	case "unauthorized_client":
		return codeUnauthorized
	case "replayed", "tenant_required":
		return codeInvalidRequest
	default:
		return ""
	}
}

// refused is the reply to a credential that is not good, per grant type.
func refused(grant string) string {
	if grant == grantClientCredentials {
		return codeInvalidClient
	}
	return codeInvalidGrant
}

// readForm is the front filter on the body: one well-formed form, no parameter twice but audience (F-12), and what is
// sent without a value counts as omitted (RFC 6749, section 3.2). Method, media type and size are enforce's (F-11).
func readForm(body []byte) (url.Values, error) {
	if !utf8.Valid(body) {
		return nil, refusal(codeInvalidRequest)
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, refusalOf(codeInvalidRequest, "The body is not a well-formed form.")
	}
	for name, values := range form {
		if len(values) > 1 && name != "audience" {
			return nil, refusalOf(codeInvalidRequest, "A parameter is given twice.")
		}
		for _, value := range values {
			if !utf8.ValidString(value) {
				return nil, refusalOf(codeInvalidRequest, "A parameter is not valid UTF-8.")
			}
		}
		if name == "scope" && len(values[0]) > maxScope {
			return nil, refusalOf(codeInvalidScope, adviceToName)
		}
		if len(values) > maxAudiences {
			return nil, refusal(codeInvalidTarget)
		}
		if values = slices.DeleteFunc(values, func(value string) bool { return value == "" }); len(values) == 0 {
			delete(form, name)
		} else {
			form[name] = values
		}
	}
	return form, nil
}

// readGrantType knows the grant types by their exact names (F-01).
func readGrantType(form url.Values) (string, error) {
	switch grant := form.Get("grant_type"); grant {
	case grantClientCredentials, grantPassword, grantRefreshToken:
		return grant, nil
	case "":
		return "", refusalOf(codeInvalidRequest, "The parameter grant_type is missing.")
	default:
		return "", refusal(codeUnsupported)
	}
}

// tenantID reports whether text could be the id of a tenant.
func tenantID(text string) bool {
	return len(text) <= maxTenantID && text != string(storage.AnyTenant) && policies.ValidAction(text)
}

// fositeRequest hands fosite the form that was read and nothing else to read: no body, no query.
func fositeRequest(r *http.Request, form url.Values) *http.Request {
	return &http.Request{
		Method: http.MethodPost, URL: &url.URL{Path: r.URL.Path}, Header: r.Header, Body: http.NoBody, Form: form, PostForm: form,
		RemoteAddr: r.RemoteAddr,
	}
}

// session is what fosite carries through a request for us. It is never stored.
type session struct {
	subject string
	epoch   int64   // of the resource owner, from before the password was checked
	machine *client // the application that came by the password grant; nil for a person
	expires time.Time
	claims  *claims
	// format and algorithm are those of the access token.
	format, algorithm string
}

var _ fosite.Session = (*session)(nil)

// SetExpiresAt is told fosite's idea of the expiry, by its own clock; the claims' is the one that counts.
func (s *session) SetExpiresAt(_ fosite.TokenType, at time.Time) { s.expires = at }
func (s *session) GetExpiresAt(fosite.TokenType) time.Time       { return s.expires }
func (s *session) GetUsername() string                           { return "" }
func (s *session) GetSubject() string                            { return s.subject }
func (s *session) SetSubject(subject string)                     { s.subject = subject }
func (s *session) Clone() fosite.Session                         { c := *s; return &c }

func contains(list []string, wanted string) bool { return slices.Contains(list, wanted) }
