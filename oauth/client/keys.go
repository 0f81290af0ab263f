package client

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/json"
)

const (
	jwksPath  = "/.well-known/jwks.json"
	mediaJWKS = "application/jwk-set+json"
	mediaJSON = "application/json"
	// keysFresh is how long keys are used before they are fetched anew, if the server does not say, and the most that it may say.
	keysFresh    = 5 * time.Minute
	maxKeysFresh = time.Hour
	// unknownPause is how often, at most, the keys are fetched because a token names one that is not among them.
	unknownPause = 10 * time.Second
	// maxWrong bounds the key ids that are remembered to be none of the server's.
	maxWrong = 100
)

// publicKey is a key that a token may be signed with.
type publicKey struct {
	algorithm string
	key       any
}

// keySet are the server's keys by their ids.
type keySet map[string]publicKey

// keys are the server's, as fetched last.
type keys struct {
	held held[keySet]
	now  func() time.Time

	mu    sync.Mutex
	wrong map[string]time.Time // key ids that a fetch did not bring, and when
}

// find returns the key with an id. An unknown id has the keys fetched once more, but not by everybody who invents one: an id that a fetch
// made for it did not bring is wrong, and one for which none may be made yet may be new, so it cannot be told.
func (k *keys) find(ctx context.Context, id string) (publicKey, error) {
	set, err := k.held.get(ctx)
	if err != nil {
		return publicKey{}, err
	}
	if key, ok := set[id]; ok {
		return key, nil
	}
	if k.known(id) {
		return publicKey{}, invalid("it names a key that the issuer does not have")
	}
	set, since, err := k.held.newer(ctx, unknownPause)
	if err != nil {
		return publicKey{}, err
	}
	if key, ok := set[id]; ok {
		return key, nil
	}
	if !since {
		return publicKey{}, unavailable("the token names a key that may be new, and the keys were fetched a moment ago")
	}
	k.remember(id)
	return publicKey{}, invalid("it names a key that the issuer does not have")
}

// known reports whether an id is known to be wrong.
func (k *keys) known(id string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	at, ok := k.wrong[id]
	return ok && k.now().Sub(at) < unknownPause
}

func (k *keys) remember(id string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.wrong) >= maxWrong {
		clear(k.wrong)
	}
	k.wrong[id] = k.now()
}

// fetchKeys reads the server's key set (RFC 7517, section 5).
func (c *Client) fetchKeys(ctx context.Context) (lease[keySet], error) {
	got, err := c.send(ctx, http.MethodGet, jwksPath, "", "", "")
	if err != nil {
		return lease[keySet]{}, err
	}
	if !got.is(mediaJWKS) && !got.is(mediaJSON) {
		return lease[keySet]{}, unavailable("the keys: %s", got)
	}
	set, err := readKeys(got.body)
	if err != nil {
		return lease[keySet]{}, unavailable("the keys: %w", err)
	}
	now := c.config.Now()
	return lease[keySet]{value: set, fresh: now.Add(maxAge(got.header)), good: now.Add(c.config.KeysFor)}, nil
}

// readKeys takes the keys that a token may be signed with. Others are passed over, as RFC 7517 advises, and so is an id that several have.
func readKeys(body []byte) (keySet, error) {
	var document struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(body, &document); err != nil {
		return nil, err
	}
	set, seen := keySet{}, map[string]bool{}
	for _, raw := range document.Keys {
		var key jose.JSONWebKey
		if err := json.Unmarshal(raw, &key); err != nil || key.KeyID == "" {
			continue
		}
		if seen[key.KeyID] {
			delete(set, key.KeyID)
			continue
		}
		seen[key.KeyID] = true
		if usable(&key) {
			set[key.KeyID] = publicKey{algorithm: key.Algorithm, key: key.Key}
		}
	}
	return set, nil
}

// usable reports whether a key is for signatures of its algorithm and strong enough for it (RFC 7518, section 3.3).
func usable(key *jose.JSONWebKey) bool {
	if key.Use != "" && key.Use != "sig" {
		return false
	}
	switch public := key.Key.(type) {
	case *ecdsa.PublicKey:
		return key.Algorithm == string(jose.ES256) && public.Curve.Params().BitSize == 256
	case *rsa.PublicKey:
		return key.Algorithm == string(jose.RS256) && public.N.BitLen() >= 2048
	case ed25519.PublicKey:
		return key.Algorithm == string(jose.EdDSA)
	default:
		return false
	}
}

// maxAge is how long the server says that its keys may be used.
func maxAge(header http.Header) time.Duration {
	for directive := range strings.SplitSeq(header.Get("Cache-Control"), ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(directive), "=")
		if seconds, err := strconv.ParseInt(value, 10, 32); strings.EqualFold(name, "max-age") && err == nil && seconds > 0 {
			return min(time.Duration(seconds)*time.Second, maxKeysFresh)
		}
	}
	return keysFresh
}
