package e2e

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
)

// canaries are the secrets that the tests made or were given. None may appear in anything that a server writes.
var canaries = struct {
	sync.Mutex
	known map[string]bool
}{known: map[string]bool{}}

// canary remembers a secret in the forms in which it could be written. Of a JWT only the signature is secret.
func canary(secret string) string {
	if len(secret) < 12 {
		return secret
	}
	canaries.Lock()
	defer canaries.Unlock()
	if parts := strings.Split(secret, "."); len(parts) == 3 && strings.HasPrefix(secret, "ey") {
		if len(parts[2]) >= 12 {
			canaries.known[parts[2]] = true
		}
		return secret
	}
	quoted, _ := json.Marshal(secret)
	for _, form := range []string{secret, url.QueryEscape(secret), strings.Trim(string(quoted), `"`)} {
		canaries.known[form] = true
	}
	return secret
}

// canaryBasic remembers the credential of an Authorization header too.
func canaryBasic(id, secret string) {
	if canary(secret); len(secret) < 12 {
		return
	}
	canaries.Lock()
	defer canaries.Unlock()
	canaries.known[base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(id)+":"+url.QueryEscape(secret)))] = true
}

func knownCanaries() []string {
	canaries.Lock()
	defer canaries.Unlock()
	return slices.Sorted(maps.Keys(canaries.known))
}

// finder looks for many secrets in one pass: by their first bytes, and only where those are found by all of them.
type finder map[[prefixBytes]byte][]string

// prefixBytes is less than the length of any canary.
const prefixBytes = 8

func newFinder(secrets []string) finder {
	f := finder{}
	for _, s := range secrets {
		key := [prefixBytes]byte([]byte(s[:prefixBytes]))
		f[key] = append(f[key], s)
	}
	return f
}

// in returns the secrets that occur in b, each with the place where it does first.
func (f finder) in(b []byte) map[string]int {
	found := map[string]int{}
	for i := 0; i+prefixBytes <= len(b); i++ {
		for _, s := range f[[prefixBytes]byte(b[i:])] {
			if _, known := found[s]; !known && bytes.HasPrefix(b[i:], []byte(s)) {
				found[s] = i
			}
		}
	}
	return found
}

// secretKeys are the JSON members and form fields whose text is secret, in requests and in replies.
var secretKeys = map[string]bool{
	"password": true, "temporary_password": true, "current_password": true, "new_password": true, "value": true,
	"client_secret": true, "access_token": true, "refresh_token": true, "current": true, "new": true, "secret": true,
	"current_secret": true,
}

// harvest remembers the secrets in a JSON value.
func harvest(v any) {
	switch v := v.(type) {
	case map[string]any:
		_, filter := v["op"] // whose value is no secret, but what is looked for
		for k, member := range v {
			if text, ok := member.(string); ok && secretKeys[k] && !filter {
				canary(text)
			}
			harvest(member)
		}
	case []any:
		for _, item := range v {
			harvest(item)
		}
	}
}

var counter atomic.Int64

// unique makes a name that no other test uses.
func unique(prefix string) string {
	return prefix + "-" + strconv.FormatInt(counter.Add(1), 36) + strings.ToLower(rand.Text()[:5])
}

// password makes a password that follows every rule and is a canary.
func password() string { return canary("pw-" + strings.ToLower(rand.Text()) + " é") }

// bootstrapSecret holds every character that a careless decoder trips over.
func bootstrapSecret() string { return "e2e:boot+strap%2F secret/é=" + rand.Text() }

// newKEK is the text of a key encryption key's file. It is a canary: nothing may show it.
func newKEK() string {
	key := make([]byte, 32)
	_, _ = rand.Read(key)
	return canary(base64.StdEncoding.EncodeToString(key)) + "\n"
}

func uuid() string {
	const hex = "0123456789abcdef"
	b := make([]byte, 32)
	_, _ = rand.Read(b)
	for i := range b {
		b[i] = hex[b[i]&15]
	}
	b[12], b[16] = '4', 'a'
	s := string(b)
	return s[:8] + "-" + s[8:12] + "-" + s[12:16] + "-" + s[16:20] + "-" + s[20:]
}
