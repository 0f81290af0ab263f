package identity

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/writ-authz/writ/storage"
)

const (
	secretPrefix = "writ_cs_"
	shaVerifier  = "sha256:"
	// usePeriod is how often at most the last use of a secret is written down.
	usePeriod  = time.Minute
	useTimeout = 5 * time.Second
	// maxSecrets and keptRevoked bound the secrets of one application.
	maxSecrets  = 50
	keptRevoked = 20
)

// makeSecret returns a new secret of 256 random bits: prefix, base64url, and a checksum for those who search for leaked secrets.
func makeSecret(rand io.Reader) (string, error) {
	raw := make([]byte, 32)
	if _, err := io.ReadFull(rand, raw); err != nil {
		return "", fmt.Errorf("make a secret: %w", err)
	}
	body := base64.RawURLEncoding.EncodeToString(raw)
	return secretPrefix + body + checksum(body), nil
}

func checksum(body string) string {
	sum := binary.BigEndian.AppendUint32(nil, crc32.ChecksumIEEE([]byte(body)))
	return base64.RawURLEncoding.EncodeToString(sum)
}

// serverMade reports whether a secret has the form of those made here; then a fast hash is enough for it. docs/operations.md tells the
// form to those who search for leaked secrets.
func serverMade(secret string) bool {
	body, ok := strings.CutPrefix(secret, secretPrefix)
	return ok && len(body) == 43+6 && body[43:] == checksum(body[:43])
}

func shaOf(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return shaVerifier + hex.EncodeToString(sum[:])
}

// secrets verifies what applications prove themselves with.
type secrets struct {
	hasher *hasher
	store  storage.Store
	now    func() time.Time
	logger *slog.Logger
	key    []byte // of the HMACs below; made at start, never stored

	mu sync.Mutex
	// known remembers caller-chosen secrets that were verified, as HMACs, until their application changes.
	known map[string]map[string]knownSecret // by application, then secret
	used  map[string]time.Time              // when a use was last written down, by SecretUse id

	writers sync.WaitGroup
}

type knownSecret struct {
	verifier string
	mac      []byte
}

func newSecrets(c Config, h *hasher) (*secrets, error) {
	key := make([]byte, 32)
	if _, err := io.ReadFull(c.Rand, key); err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	return &secrets{
		hasher: h, store: c.Store, now: c.Now, logger: c.Logger, key: key,
		known: map[string]map[string]knownSecret{}, used: map[string]time.Time{},
	}, nil
}

// wait returns when no use is being written down any more.
func (s *secrets) wait() { s.writers.Wait() }

// forget drops what is remembered about an application that changed.
func (s *secrets) forget(application string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.known, application)
}

// Verify says which live secret of the application was presented. A nil application, an unknown secret and a dead one cost the
// same: a fast hash for what begins like a server-made secret, mistyped ones included, else one slow one as well. A full pool is
// storage.ErrUnavailable. client is the id that was presented, also where there is no such application; guessing at it from peer is
// slowed down by a *enforce.ProtocolError of status 429, before anything is hashed.
func (r *Room) Verify(
	ctx context.Context, peer netip.Addr, client string, app *storage.Application, presented string,
) (string, bool, error) {
	attempt, err := r.machines.admit(client, presented, peer)
	if err != nil {
		return "", false, err
	}
	defer attempt.done()
	id, err := r.secrets.match(ctx, app, presented)
	if err != nil {
		return "", false, err
	}
	if id == "" || !r.secrets.live(app, id) {
		attempt.failed()
		return "", false, nil
	}
	attempt.succeeded()
	r.secrets.use(ctx, app.ID+"/"+id)
	return id, true, nil
}

// match returns the id of the secret that was presented, whether or not it is live, or "".
func (s *secrets) match(ctx context.Context, app *storage.Application, presented string) (string, error) {
	presentedHash := []byte(shaOf(presented))
	found := ""
	var chosen []storage.Secret
	if app != nil {
		for _, secret := range app.Secrets {
			if !strings.HasPrefix(secret.Verifier, shaVerifier) {
				chosen = append(chosen, secret)
			} else if subtle.ConstantTimeCompare(presentedHash, []byte(secret.Verifier)) == 1 {
				found = secret.ID
			}
		}
	}
	if strings.HasPrefix(presented, secretPrefix) {
		return found, nil // no caller-chosen secret is stored under a slow hash if it begins so
	}
	if len(presented) > maxPasswordBytes {
		presented, chosen = "", nil
	}
	if id := s.remembered(app, chosen, presented); id != "" {
		return id, nil
	}
	if len(chosen) == 0 {
		_, err := s.hasher.verify(ctx, "", presented)
		return "", err
	}
	for _, secret := range chosen {
		ok, err := s.hasher.verify(ctx, secret.Verifier, presented)
		if err != nil {
			return "", err
		}
		if ok {
			s.remember(app.ID, secret, presented)
			return secret.ID, nil
		}
	}
	return "", nil
}

func (s *secrets) mac(application, secret, presented string) []byte {
	h := hmac.New(sha256.New, s.key)
	h.Write([]byte(application + "/" + secret + "/"))
	h.Write([]byte(presented))
	return h.Sum(nil)
}

func (s *secrets) remembered(app *storage.Application, chosen []storage.Secret, presented string) string {
	for _, secret := range chosen {
		s.mu.Lock()
		known, ok := s.known[app.ID][secret.ID]
		s.mu.Unlock()
		if ok && known.verifier == secret.Verifier && hmac.Equal(known.mac, s.mac(app.ID, secret.ID, presented)) {
			return secret.ID
		}
	}
	return ""
}

func (s *secrets) remember(application string, secret storage.Secret, presented string) {
	mac := s.mac(application, secret.ID, presented)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.known[application] == nil {
		s.known[application] = map[string]knownSecret{}
	}
	s.known[application][secret.ID] = knownSecret{verifier: secret.Verifier, mac: mac}
}

// live reports whether a secret is neither revoked nor outside its window.
func (s *secrets) live(app *storage.Application, id string) bool {
	now := s.now()
	for _, secret := range app.Secrets {
		if secret.ID == id {
			return secretLive(secret, now)
		}
	}
	return false
}

func secretLive(s storage.Secret, now time.Time) bool {
	return s.RevokedAt == nil && (s.NotBefore == nil || !now.Before(*s.NotBefore)) && (s.ExpiresAt == nil || now.Before(*s.ExpiresAt))
}

// use writes down, beside the request and at most once a minute, that a secret was used. What is lost is a date.
func (s *secrets) use(ctx context.Context, id string) {
	now := storage.Time(s.now())
	s.mu.Lock()
	last, known := s.used[id]
	if known && now.Sub(last) < usePeriod {
		s.mu.Unlock()
		return
	}
	s.used[id] = now
	s.mu.Unlock()
	s.writers.Go(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), useTimeout)
		defer cancel()
		if err := s.writeUse(ctx, id, now); err != nil {
			s.logger.WarnContext(ctx, "the last use of a secret was not written down", "secret", id, "error", err)
		}
	})
}

func (s *secrets) writeUse(ctx context.Context, id string, at time.Time) error {
	use, err := storage.Get[storage.SecretUse](ctx, s.store, id)
	if errors.Is(err, storage.ErrNotFound) {
		use = &storage.SecretUse{LastUsedAt: at}
		use.ID = id
		err = s.store.Insert(ctx, use)
	} else if err == nil && at.After(use.LastUsedAt) {
		use.LastUsedAt = at
		err = s.store.Update(ctx, use)
	}
	if errors.Is(err, storage.ErrConflict) || errors.Is(err, storage.ErrStale) {
		return nil // another node wrote down a use of the same minute
	}
	return err
}

// sealedContext binds a sealed copy to its secret, so that it opens nowhere else.
func sealedContext(application, secret string) string { return "secret|" + application + "|" + secret }
