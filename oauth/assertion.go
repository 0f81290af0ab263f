package oauth

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/writ-authz/writ/policies/enforce"
	"github.com/writ-authz/writ/storage"
)

const (
	methodPrivateKeyJWT = "private_key_jwt"
	// assertionType is RFC 7523, section 2.2.
	assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

	maxAssertionID = 256
	// maxAssertionKeys is how many keys are tried where the assertion does not say which one it was signed with.
	maxAssertionKeys = 16
	// usedMargin is how much longer than the assertion its use is remembered: no node's clock, and no store's, is further ahead of
	// that of the node which takes the assertion.
	usedMargin = 5 * time.Minute
)

// assertionAlgorithms are those that an assertion may be signed with. Neither "none" nor a symmetric one is among them.
func assertionAlgorithms() []string {
	return []string{string(jose.ES256), string(jose.EdDSA), string(jose.PS256), string(jose.RS256)}
}

// assertion is a client assertion (RFC 7523, section 3), before anyone believes it.
type assertion struct {
	raw, algorithm, kid   string
	client, audience, jti string
	expires, notBefore    int64  // not before is 0 where it says nothing
	issued                *int64 // nil where it says nothing
}

// parseAssertion reads what must be there and ignores what has no bearing: of the header no key and no address of one is ever looked
// at (RFC 8725, section 3.10). Anything that is not as it should be is no assertion.
func parseAssertion(raw string) (*assertion, bool) {
	if len(raw) > maxToken {
		return nil, false
	}
	first, rest, _ := strings.Cut(raw, ".")
	second, third, ok := strings.Cut(rest, ".")
	if !ok || !canonical(third) {
		return nil, false
	}
	header, headed := readMembers(first)
	payload, there := readMembers(second)
	if !headed || !there {
		return nil, false
	}
	a := &assertion{raw: raw}
	var kind, issuer string
	good := header.read("alg", &a.algorithm, true) && header.read("kid", &a.kid, false) && header.read("typ", &kind, false) &&
		payload.read("iss", &issuer, true) && payload.read("sub", &a.client, true) && payload.read("jti", &a.jti, true) &&
		payload.read("exp", &a.expires, true) && payload.read("nbf", &a.notBefore, false) && payload.read("iat", &a.issued, false)
	if !good || issuer != a.client || a.jti == "" || len(a.jti) > maxAssertionID || header["crit"] != nil ||
		!contains(assertionAlgorithms(), a.algorithm) || !assertionKind(kind) {
		return nil, false
	}
	a.audience, ok = payload.audience()
	return a, ok
}

// assertionKind reports whether a typ is that of a client assertion: the one of draft-ietf-oauth-rfc7523bis, the common one, or none.
// So no token of another kind that the client's key may have signed is one (RFC 8725, section 3.11).
func assertionKind(kind string) bool {
	return kind == "" || strings.EqualFold(kind, "JWT") || strings.EqualFold(kind, "client-authentication+jwt")
}

// members are those of a JSON object. Their names have a case.
type members map[string]json.RawMessage

func readMembers(part string) (members, bool) {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(part)
	if err != nil {
		return nil, false
	}
	var m members
	err = json.Unmarshal(raw, &m)
	return m, err == nil && m != nil
}

// read reports whether the member is of the wanted type, or absent where it may be. A time must be a whole number.
func (m members) read(name string, into any, required bool) bool {
	raw, there := m[name]
	if !there {
		return !required
	}
	return string(raw) != "null" && json.Unmarshal(raw, into) == nil
}

// audience is the one audience. An assertion for several could be used at any of them by any other (draft-ietf-oauth-rfc7523bis).
func (m members) audience() (string, bool) {
	var one string
	if m.read("aud", &one, true) {
		return one, true
	}
	var several []string
	if !m.read("aud", &several, true) || len(several) != 1 {
		return "", false
	}
	return several[0], true
}

// inTime reports whether now lies between the assertion's times, which another clock gave it, and they are within age of now.
func (a *assertion) inTime(now time.Time, age time.Duration) bool {
	earliest, latest := now.Add(-skew).Unix(), now.Add(skew).Unix()
	oldest, furthest := now.Add(-skew-age).Unix(), now.Add(skew+age).Unix()
	return a.expires > earliest && a.expires <= furthest && a.notBefore <= latest &&
		(a.issued == nil || *a.issued >= oldest && *a.issued <= latest)
}

// signedBy reports whether one of the keys made the signature. Those that the algorithm does not fit are passed over.
func (a *assertion) signedBy(keys []jose.JSONWebKey) bool {
	parsed, err := jose.ParseSignedCompact(a.raw, []jose.SignatureAlgorithm{jose.SignatureAlgorithm(a.algorithm)})
	if err != nil {
		return false
	}
	tried := 0
	for i := range keys {
		if (keys[i].Algorithm != "" && keys[i].Algorithm != a.algorithm) || !verifiesWith(keys[i].Key, a.algorithm) {
			continue
		}
		if tried++; tried > maxAssertionKeys {
			return false
		}
		if _, err := parsed.Verify(keys[i].Key); err == nil {
			return true
		}
	}
	return false
}

// verifiesWith reports whether a key is of the type that the algorithm takes. Its strength was judged when it was read.
func verifiesWith(key any, algorithm string) (ok bool) {
	switch jose.SignatureAlgorithm(algorithm) {
	case jose.RS256, jose.PS256:
		_, ok = key.(*rsa.PublicKey)
	case jose.ES256:
		_, ok = key.(*ecdsa.PublicKey)
	case jose.EdDSA:
		_, ok = key.(ed25519.PublicKey)
	}
	return ok
}

// assertedClient finds the application that an assertion proves, for the request that is under way. What costs nothing is judged
// first, then the signature, and last the one thing that changes anything: the assertion is used up (F-09). An unknown application
// costs one look-up and no fetch; whatever is wrong with an assertion, the reply is that to a wrong secret.
func (s *Server) assertedClient(ctx context.Context, presented credentials) (*client, error) {
	a, ok := parseAssertion(presented.assertion)
	if !ok || (presented.id != "" && presented.id != a.client) || !contains(s.assertionAudiences, a.audience) ||
		!a.inTime(s.now(), s.assertionAge) {
		return nil, refusal(codeInvalidClient)
	}
	app, err := s.application(a.client)
	if err != nil {
		return nil, err
	}
	if app == nil || !takes(app, methodPrivateKeyJWT) ||
		(app.TokenEndpointAuthSigningAlg != "" && app.TokenEndpointAuthSigningAlg != a.algorithm) {
		return nil, refusal(codeInvalidClient)
	}
	keys, err := s.clientKeys(ctx, app, a.kid)
	if err != nil {
		return nil, fmt.Errorf("keys of application %s: %w", app.ID, err)
	}
	if !a.signedBy(keys) {
		return nil, refusal(codeInvalidClient)
	}
	found, err := s.usableClient(ctx, app, nil)
	if err != nil {
		return nil, err
	}
	if err := s.useUp(ctx, a); err != nil {
		return nil, err
	}
	return found, nil
}

// clientKeys are the keys that an application has registered, by value or by reference, and that may be the one of a key id. Whether
// there is a new one is asked only where none may be.
func (s *Server) clientKeys(ctx context.Context, app *storage.Application, kid string) ([]jose.JSONWebKey, error) {
	if app.JWKSURI == "" {
		if len(app.JWKS) == 0 {
			return nil, nil
		}
		keys, err := parseKeySet(app.JWKS)
		return named(keys, kid), err
	}
	keys, err := s.fetcher.keys(ctx, app.JWKSURI, "")
	if err != nil {
		return nil, err
	}
	if found := named(keys, kid); len(found) > 0 || kid == "" {
		return found, nil
	}
	return s.fetcher.keys(ctx, app.JWKSURI, kid)
}

// named are the keys of this id and those without one, or all where there is no id to look for.
func named(keys []jose.JSONWebKey, kid string) []jose.JSONWebKey {
	if kid == "" {
		return keys
	}
	var found []jose.JSONWebKey
	for _, key := range keys {
		if key.KeyID == kid || key.KeyID == "" {
			found = append(found, key)
		}
	}
	return found
}

// presentedKey is the context key of the request that presents an assertion.
type presentedKey struct{}

// presenting carries the request past fosite to where its assertion is used up. Others need nothing carried.
func presenting(ctx context.Context, r *enforce.Request, form url.Values) context.Context {
	if !form.Has("client_assertion") {
		return ctx
	}
	return context.WithValue(ctx, presentedKey{}, r)
}

// useUp sees to it that an assertion is taken once, on any node: the insert is the check (S-T8). It is the same jti only if it is the
// same application's. A request that lost a compare-and-swap comes back with what it has used up itself.
func (s *Server) useUp(ctx context.Context, a *assertion) error {
	r, ok := ctx.Value(presentedKey{}).(*enforce.Request)
	if !ok || r.DecisionID == "" {
		return errors.New("client assertion outside a request")
	}
	first, err := s.spend(ctx, r, a.client+"\x00"+a.jti, time.Unix(a.expires, 0).Add(skew+usedMargin)) // no id has a zero byte
	switch {
	case err != nil:
		return fmt.Errorf("use up a client assertion: %w", err)
	case !first:
		return refusal(codeInvalidClient)
	}
	return nil
}

// spend reports whether this request is the first that brings what, which it remembers until then.
func (s *Server) spend(ctx context.Context, r *enforce.Request, what string, until time.Time) (bool, error) {
	sum := sha256.Sum256([]byte(what))
	use := &storage.AssertionUse{DecisionID: r.DecisionID, ExpiresAt: storage.Time(until)}
	use.ID = base64.RawURLEncoding.EncodeToString(sum[:])
	err := s.store.Insert(ctx, use)
	if errors.Is(err, storage.ErrConflict) && r.Attempt > 0 {
		var used *storage.AssertionUse
		if used, err = storage.Get[storage.AssertionUse](ctx, s.store, use.ID); err == nil && used.DecisionID != r.DecisionID {
			err = storage.ErrConflict
		}
	}
	if errors.Is(err, storage.ErrConflict) || errors.Is(err, storage.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}
