package oauth

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/go-jose/go-jose/v4"
	josejson "github.com/go-jose/go-jose/v4/json"

	"github.com/writ-authz/writ/policies"
	"github.com/writ-authz/writ/policies/enforce"
)

const (
	maxExternalIssuers = 32
	// maxKeyID bounds what is looked for in a key set.
	maxKeyID = 256
	// maxSubject is the longest sub (OpenID Connect Core, section 2).
	maxSubject = 255
	// latestTime is where the times of a token end: they are dates, in seconds.
	latestTime = 1 << 40
)

// ExternalIssuer is another authorization server whose access tokens Writ's APIs take beside its own. Whoever it vouches for is
// the user or the application that Writ knows by the same name: it is trusted with all of them.
type ExternalIssuer struct {
	// Issuer is what its tokens say in iss, to the letter, and where its metadata is found.
	Issuer string `json:"issuer"`
	// RuntimeAudience and ManagementAudience are what its tokens say in aud for each of the two APIs.
	RuntimeAudience    string `json:"runtime_audience"`
	ManagementAudience string `json:"management_audience"`
}

// CheckExternalIssuers returns what is wrong with a list of external issuers beside our own.
func CheckExternalIssuers(own string, issuers []ExternalIssuer) error {
	if len(issuers) > maxExternalIssuers {
		return fmt.Errorf("more than %d issuers", maxExternalIssuers)
	}
	seen := map[string]bool{own: true}
	for _, issuer := range issuers {
		parsed, err := parseRemote(issuer.Issuer)
		switch {
		case issuer.Issuer == "":
			return errors.New("an entry has no issuer")
		case err != nil:
			return fmt.Errorf("issuer %q: %w", redacted(issuer.Issuer), err)
		case parsed.RawQuery != "" || parsed.ForceQuery:
			return fmt.Errorf("issuer %q must have no query (RFC 8414 section 2)", redacted(issuer.Issuer))
		case seen[issuer.Issuer]:
			return fmt.Errorf("issuer %q is there twice, or is this server's own", issuer.Issuer)
		case issuer.RuntimeAudience == "" || issuer.ManagementAudience == "":
			// Without one, a token for anything at all would do (GO-2026-5423).
			return fmt.Errorf("issuer %q needs a runtime_audience and a management_audience", issuer.Issuer)
		case issuer.RuntimeAudience == issuer.ManagementAudience:
			return fmt.Errorf("issuer %q has one audience for both APIs; a token for decisions must not administer", issuer.Issuer)
		}
		seen[issuer.Issuer] = true
	}
	return nil
}

// redacted is a URL without what may be a password.
func redacted(raw string) string {
	parsed, err := url.Parse(raw)
	if err != nil {
		return "(no URL)"
	}
	parsed.User, parsed.RawQuery = nil, ""
	return parsed.String()
}

// externals are the external issuers of a server. Their tokens are verified each time: there is no cache that could confuse two
// issuers or outlive a key.
type externals struct {
	byName map[string]ExternalIssuer
	// described finds an issuer's jwks_uri in its metadata.
	described *shelf[string]
}

func newExternals(now func() time.Time, f *fetcher, issuers []ExternalIssuer) *externals {
	e := &externals{byName: map[string]ExternalIssuer{}, described: newShelf(now, f.discover)}
	for _, issuer := range issuers {
		e.byName[issuer.Issuer] = issuer
	}
	return e
}

// errMisdescribed is metadata that will not do, however often it is fetched.
var errMisdescribed = errors.New("the metadata of the issuer is not usable")

// discover returns where an issuer's keys are, from the metadata of OpenID Connect Discovery 1.0, section 4, or of RFC 8414.
func (f *fetcher) discover(ctx context.Context, issuer string) (string, time.Duration, error) {
	locations, err := metadataURLs(issuer)
	if err != nil {
		return "", 0, err
	}
	for _, location := range locations {
		body, age, err := f.fetch(ctx, location)
		var status statusError
		switch {
		case errors.As(err, &status) && (status == http.StatusNotFound || status == http.StatusGone):
			continue
		case err != nil:
			return "", 0, err
		}
		keys, err := readMetadata(issuer, body)
		return keys, age, err
	}
	return "", 0, fmt.Errorf("%w: there is none at %s", errMisdescribed, strings.Join(locations, " and "))
}

func metadataURLs(issuer string) ([]string, error) {
	base, err := parseRemote(issuer)
	if err != nil {
		return nil, err
	}
	path := strings.TrimSuffix(base.EscapedPath(), "/")
	origin := base.Scheme + "://" + base.Host
	return []string{origin + path + openidPath, origin + metadataPath + path}, nil
}

// readMetadata holds the metadata to its issuer (RFC 8414, section 3.3). The keys of one on the Internet are on the Internet.
func readMetadata(issuer string, body []byte) (string, error) {
	var metadata struct {
		Issuer string `json:"issuer"`
		Keys   string `json:"jwks_uri"`
	}
	if err := josejson.Unmarshal(body, &metadata); err != nil {
		return "", errors.New("the document is no metadata")
	}
	base, err := parseRemote(issuer)
	if err != nil {
		return "", err
	}
	keys, err := parseRemote(metadata.Keys)
	switch {
	case metadata.Issuer != issuer:
		return "", fmt.Errorf("%w: it is another issuer's", errMisdescribed)
	case metadata.Keys == "":
		return "", fmt.Errorf("%w: it has no jwks_uri", errMisdescribed)
	case err != nil:
		return "", fmt.Errorf("%w: jwks_uri: %w", errMisdescribed, err)
	case loopbackHost(base.Hostname()) != loopbackHost(keys.Hostname()):
		return "", fmt.Errorf("%w: jwks_uri leads from or to loopback", errMisdescribed)
	}
	return metadata.Keys, nil
}

// openExternals asks each issuer once. One that is down is none of our faults: the server starts, and its tokens are 503 until it
// answers. One that says that it cannot be used is an error of the configuration.
func (s *Server) openExternals(ctx context.Context) error {
	issuers := slices.Sorted(maps.Keys(s.externals.byName))
	failures := make([]error, len(issuers))
	var asking sync.WaitGroup
	for n, issuer := range issuers {
		asking.Go(func() {
			if err := s.askExternal(ctx, issuer); err != nil {
				failures[n] = fmt.Errorf("external_issuers: %s: %w", issuer, err)
			}
		})
	}
	asking.Wait()
	return errors.Join(failures...)
}

func (s *Server) askExternal(ctx context.Context, issuer string) error {
	location, err := s.externals.described.get(ctx, issuer, false)
	if err == nil {
		_, err = s.fetcher.keys(ctx, location.value, "")
	}
	switch {
	case errors.Is(err, errMisdescribed):
		return err
	case err != nil:
		s.logger.WarnContext(ctx, "external issuer cannot be asked; its tokens are refused with 503 until it can", "issuer", issuer, "error", err)
	}
	return nil
}

// ExternalIssuersDown names the external issuers whose metadata or keys could not be had when last asked for. It waits for
// nobody, and sees to it that what is due is asked for again.
func (s *Server) ExternalIssuersDown(ctx context.Context) []string {
	var down []string
	for issuer := range s.externals.byName {
		location, err := s.externals.described.peek(ctx, issuer)
		if err == nil {
			_, err = s.fetcher.sets.peek(ctx, location)
		}
		if err != nil {
			down = append(down, issuer)
		}
	}
	slices.Sort(down)
	return down
}

// Fetches counts the documents of other servers that were fetched, and those that could not be.
func (s *Server) Fetches() (succeeded, failed int64) {
	return s.fetcher.succeeded.Load(), s.fetcher.failed.Load()
}

// externalAlgorithms are the signatures that are accepted; what verifies with a shared secret is not among them.
var externalAlgorithms = []jose.SignatureAlgorithm{jose.RS256, jose.PS256, jose.ES256, jose.EdDSA}

// oneOrMore is one string or an array of them.
type oneOrMore []string

// UnmarshalJSON implements json.Unmarshaler.
func (o *oneOrMore) UnmarshalJSON(raw []byte) error {
	if len(raw) > 0 && raw[0] == '[' {
		return josejson.Unmarshal(raw, (*[]string)(o))
	}
	var one string
	if err := josejson.Unmarshal(raw, &one); err != nil {
		return err
	}
	*o = oneOrMore{one}
	return nil
}

// externalClaims are what is read of an external token. A nil is a claim that is not there.
type externalClaims struct {
	Issuer          string               `json:"iss"`
	Subject         *string              `json:"sub"`
	Audience        oneOrMore            `json:"aud"`
	ClientID        *string              `json:"client_id"`
	AuthorizedParty *string              `json:"azp"` // where there is no client_id
	ExpiresAt       *float64             `json:"exp"`
	NotBefore       *float64             `json:"nbf"`
	IssuedAt        *float64             `json:"iat"`
	Scope           *string              `json:"scope"`
	SCP             *oneOrMore           `json:"scp"` // what some write in place of scope
	Nonce           *josejson.RawMessage `json:"nonce"`
	TokenHash       *josejson.RawMessage `json:"at_hash"`
	CodeHash        *josejson.RawMessage `json:"c_hash"`
	Events          *josejson.RawMessage `json:"events"`
	Confirmation    *josejson.RawMessage `json:"cnf"`
}

// external returns the caller that an access token of an external issuer stands for. A token that is none of theirs, or is not
// as it must be, is errDead. Its issuer's keys, and nothing that the token names, say whether its signature is good: jku, x5u,
// jwk and x5c are not looked at (RFC 8725, section 3.10).
func (s *Server) external(ctx context.Context, raw string, peer netip.Addr) (*enforce.Caller, error) {
	if len(s.externals.byName) == 0 || raw == "" || len(raw) > maxToken {
		return nil, errDead
	}
	for part := range strings.SplitSeq(raw, ".") {
		if !canonical(part) {
			return nil, errDead
		}
	}
	token, err := jose.ParseSignedCompact(raw, externalAlgorithms)
	if err != nil {
		return nil, errDead
	}
	c := new(externalClaims)
	// Duplicate names and names of another case are refused or passed over, so that nobody reads another token in it.
	if err := josejson.Unmarshal(token.UnsafePayloadWithoutVerification(), c); err != nil {
		return nil, errDead
	}
	issuer, ok := s.externals.byName[c.Issuer]
	header := token.Signatures[0].Protected
	if !ok || !accessToken(header, c) || !c.inTime(s.now()) {
		return nil, errDead
	}
	audiences := s.externalAudiences(issuer, c)
	if len(audiences) == 0 {
		return nil, errDead
	}
	if err := s.verifyExternal(ctx, issuer, token, header); err != nil {
		return nil, err
	}
	return s.externalCaller(ctx, raw, c, audiences, peer)
}

// accessToken reports whether a token can be an access token that is good for whoever bears it. ID tokens, logout tokens and
// other assertions of the same issuer are signed with the same keys (RFC 8725, section 3.12), and cnf binds a token to a key
// that nobody proved here (RFC 7800).
func accessToken(header jose.Header, c *externalClaims) bool {
	_, critical := header.ExtraHeaders["crit"]
	_, encoding := header.ExtraHeaders["b64"]
	if critical || encoding || len(header.KeyID) > maxKeyID {
		return false
	}
	if typ, given := header.ExtraHeaders[jose.HeaderType]; given {
		name, _ := typ.(string)
		name = strings.TrimPrefix(strings.ToLower(name), "application/")
		if name != typeAccessToken && name != "jwt" {
			return false
		}
	}
	return c.Nonce == nil && c.TokenHash == nil && c.CodeHash == nil && c.Events == nil && c.Confirmation == nil
}

// inTime reports whether now lies between the times. Only exp must be there.
func (c *externalClaims) inTime(now time.Time) bool {
	seconds := float64(now.UnixMilli()) / 1000
	latest := seconds + skew.Seconds()
	begun := func(t *float64) bool { return t == nil || (*t >= 0 && *t <= latest) }
	return c.ExpiresAt != nil && seconds < *c.ExpiresAt && *c.ExpiresAt < latestTime && begun(c.NotBefore) && begun(c.IssuedAt)
}

// externalAudiences are the audiences of Writ's APIs that the issuer's own stand for, so that the rule about them
// (wrong_audience) judges both alike. Those of the token's that mean no API of Writ's are left out.
func (s *Server) externalAudiences(issuer ExternalIssuer, c *externalClaims) []string {
	var audiences []string
	if slices.Contains(c.Audience, issuer.RuntimeAudience) {
		audiences = append(audiences, s.issuer+"/"+policies.PlaneRuntime, issuer.RuntimeAudience)
	}
	if slices.Contains(c.Audience, issuer.ManagementAudience) {
		audiences = append(audiences, s.issuer+"/"+policies.PlaneManagement, issuer.ManagementAudience)
	}
	return audiences
}

// verifyExternal holds the signature to the keys of the issuer. That they cannot be had is an outage.
func (s *Server) verifyExternal(ctx context.Context, issuer ExternalIssuer, token *jose.JSONWebSignature, header jose.Header) error {
	location, err := s.externals.described.get(ctx, issuer.Issuer, false)
	if err != nil {
		return fmt.Errorf("metadata of issuer %s: %w", issuer.Issuer, err)
	}
	keys, err := s.fetcher.keys(ctx, location.value, header.KeyID)
	if err != nil {
		return fmt.Errorf("keys of issuer %s: %w", issuer.Issuer, err)
	}
	fitting := slices.DeleteFunc(slices.Clone(keys), func(key jose.JSONWebKey) bool { return !signs(&key, header.Algorithm) })
	// Without a key id, one key alone can be meant.
	if len(fitting) != 1 {
		return errDead
	}
	if _, err := token.Verify(fitting[0].Key); err != nil {
		return errDead
	}
	return nil
}

// signs reports whether a key is one of this algorithm (RFC 8725, section 3.1).
func signs(key *jose.JSONWebKey, algorithm string) bool {
	if key.Algorithm != "" && key.Algorithm != algorithm {
		return false
	}
	switch key.Key.(type) {
	case *rsa.PublicKey:
		return algorithm == string(jose.RS256) || algorithm == string(jose.PS256)
	case *ecdsa.PublicKey:
		return algorithm == string(jose.ES256)
	case ed25519.PublicKey:
		return algorithm == string(jose.EdDSA)
	}
	return false
}

// externalCaller is the identity that a verified token stands for, with its rights within the token's scopes. Whether it exists
// and is usable is for the rules to judge, as it is whether a user's token may administer.
func (s *Server) externalCaller(
	ctx context.Context, raw string, c *externalClaims, audiences []string, peer netip.Addr,
) (*enforce.Caller, error) {
	if err := s.directory.Fresh(); err != nil {
		return nil, fmt.Errorf("validate token: %w", err)
	}
	client, ok := c.client()
	if !ok {
		return nil, errDead
	}
	// Any sub is a user's, even one that equals the client's id: what names an issuer gives to whom is not known here.
	kind, name := typeApplication, client
	if c.Subject != nil {
		kind, name = typeUser, *c.Subject
	}
	if !plainName(name) {
		return nil, errDead
	}
	subject, err := s.directory.Subject(ctx, kind, name)
	if err != nil {
		return nil, fmt.Errorf("validate token: %w", err)
	}
	identity := subject.Facts.Identity()
	// The directory finds usernames without regard to case; two subjects of an issuer may differ by just that. And nobody but
	// Writ vouches for an application that is protected, which root is.
	if (subject.ID != name && subject.Name != name) || (kind == typeApplication && identity.Protected) {
		subject = &enforce.Subject{Type: kind, ID: name, Facts: policies.Nobody(kind, name)}
		identity = subject.Facts.Identity()
	}
	// Its jti is unique to its issuer only.
	sum := sha256.Sum256([]byte(raw))
	caller := &enforce.Caller{
		Type: subject.Type, ID: subject.ID, Facts: subject.Facts, ClientID: client, Tenant: identity.Tenant, Audiences: audiences,
		JTI: base64.RawURLEncoding.EncodeToString(sum[:]), ExpiresAt: time.UnixMilli(int64(*c.ExpiresAt * 1000)).UTC(),
		UserToken: c.Subject != nil, External: true, Address: peer, AddressFact: s.directory.AddressFact(subject, peer),
	}
	if names, limited := c.scopes(); limited {
		caller.Scoped, caller.Scope = true, strings.Join(names, " ")
		if caller.Scopes, err = policies.NewScopes(names); err != nil {
			return nil, fmt.Errorf("scopes of an external token: %w", err)
		}
	}
	return caller, nil
}

// client is the id of the client, empty where the token has none. A token that names two is not understood.
func (c *externalClaims) client() (id string, ok bool) {
	switch {
	case c.ClientID != nil && c.AuthorizedParty != nil && *c.ClientID != *c.AuthorizedParty:
		return "", false
	case c.ClientID != nil:
		id, ok = *c.ClientID, plainName(*c.ClientID)
	case c.AuthorizedParty != nil:
		id, ok = *c.AuthorizedParty, plainName(*c.AuthorizedParty)
	default:
		ok = true
	}
	return id, ok
}

// plainName reports whether a name can be looked up and logged.
func plainName(name string) bool {
	return name != "" && len(name) <= maxSubject && utf8.ValidString(name) && !strings.ContainsFunc(name, unicode.IsControl)
}

// scopes are the permissions that the token is limited to. A token without a scope is limited by its audience alone. Of one with a
// scope, what is no permission of ours gives nothing; where both claims are there, each limits.
func (c *externalClaims) scopes() (names []string, limited bool) {
	var lists [][]string
	if c.Scope != nil {
		lists = append(lists, strings.Fields(*c.Scope))
	}
	if c.SCP != nil {
		lists = append(lists, strings.Fields(strings.Join(*c.SCP, " ")))
	}
	if len(lists) == 0 {
		return nil, false
	}
	for _, name := range lists[0] {
		if _, _, err := policies.ParsePermission(name); err == nil && slices.Contains(lists[len(lists)-1], name) {
			names = append(names, name)
		}
	}
	return names, true
}
