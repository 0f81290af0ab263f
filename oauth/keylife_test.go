package oauth_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/writ-authz/writ/oauth"
	"github.com/writ-authz/writ/policies/enforce"
	"github.com/writ-authz/writ/storage"
)

const (
	rotation = 30 * 24 * time.Hour
	// lead is how long a key is published before it is used: the max-age of the JWKS and a minute.
	lead = 6 * time.Minute
	// left is how long a key outlives its last access token's issue.
	left = 24*time.Hour + 5*time.Minute
)

func rotating(_ *enforce.Config, c *oauth.Config) { c.KeyRotation = rotation }

// maintain is one round of a node.
func (w *world) maintain() {
	w.tb.Helper()
	if err := w.server.Maintain(w.tb.Context()); err != nil {
		w.tb.Fatal(err)
	}
}

// ring returns the records of a ring by state, the newest first; states "" are all. Of the access ring they are those of ES256.
func (w *world) ring(name, state string) []*storage.Key {
	w.tb.Helper()
	records, err := storage.List[storage.Key](w.tb.Context(), w.store.Store, storage.Query{Equal: map[string][]string{"ring": {name}}, Limit: 100})
	if err != nil {
		w.tb.Fatal(err)
	}
	records = slices.DeleteFunc(records, func(k *storage.Key) bool {
		return (state != "" && k.State != state) || (k.Ring == "access" && k.Algorithm != "ES256")
	})
	slices.SortFunc(records, func(a, b *storage.Key) int { return b.CreatedAt.Compare(a.CreatedAt) })
	return records
}

// one returns the only key of a ring in a state.
func (w *world) one(name, state string) *storage.Key {
	w.tb.Helper()
	records := w.ring(name, state)
	if len(records) != 1 {
		w.tb.Fatalf("%d keys of the ring %s are %s, want one", len(records), name, state)
	}
	return records[0]
}

func (w *world) published(kid string) bool {
	w.tb.Helper()
	set := w.jwks()
	return len(set.Key(kid)) == 1
}

func (w *world) kid(token string) string {
	w.tb.Helper()
	kid, _ := part(w.tb, token, 0)["kid"].(string)
	return kid
}

// write stores planned records as the admin API does.
func (w *world) write(records []*storage.Key, err error) []*storage.Key {
	w.tb.Helper()
	if err != nil {
		w.tb.Fatal(err)
	}
	err = w.store.Txn(w.tb.Context(), writeAuthority(func(ctx context.Context, tx storage.Tx) error {
		for _, k := range records {
			write := tx.Update
			if k.Version == 0 {
				write = tx.Insert
			}
			if err := write(ctx, k); err != nil {
				return err
			}
		}
		return nil
	}))
	if err != nil {
		w.tb.Fatal(err)
	}
	w.apply()
	return records
}

// apply is the change feed's word that keys changed.
func (w *world) apply() {
	w.tb.Helper()
	change := storage.Change{Items: []storage.ChangeItem{{Kind: "keys", ID: "any"}}}
	if err := w.server.Apply(w.tb.Context(), w.store, change); err != nil {
		w.tb.Fatal(err)
	}
}

// TestJ05RotateTheKey follows one key of the access ring through its life: published before use, then used, then only verifying until
// the last of its tokens has expired, then gone.
func TestJ05RotateTheKey(t *testing.T) {
	w := newWorld(t, rotating)
	w.application("app", []string{"ledger:read"}, func(a *storage.Application) { a.TokenLifetime = int64(oauth.MaxAccessTokenLifetime / time.Second) })
	old := w.one("access", "active").ID
	w.maintain() // makes the other algorithms
	before := w.store.calls.Load()
	w.maintain()
	if w.one("access", "").State != "active" || len(w.auditor.entries) != 4 || w.store.calls.Load()-before > 2 {
		t.Fatal("a fresh key is at work already")
	}

	w.advance(rotation - lead - time.Second)
	w.maintain()
	if len(w.ring("access", "next")) != 0 {
		t.Fatal("the next key came too early")
	}
	w.advance(time.Second)
	w.maintain()
	next := w.one("access", "next").ID
	if !w.published(next) || !w.published(old) {
		t.Fatal("the next key is not published beside the active one")
	}
	if kid := w.kid(w.machine("app").text("access_token")); kid != old {
		t.Fatalf("%s signs before it was published for long enough", kid)
	}

	w.advance(lead - time.Second)
	w.maintain()
	last := w.machine("app").text("access_token")
	if w.kid(last) != old {
		t.Fatal("the next key signs a second too early")
	}
	w.advance(time.Second)
	w.maintain()
	fresh := w.machine("app").text("access_token")
	if w.kid(fresh) != next || w.one("access", "active").ID != next {
		t.Fatal("the next key does not sign")
	}
	retiring := w.one("access", "retiring")
	if retiring.ID != old || retiring.Sealed != nil {
		t.Fatal("the old key is not retiring, or its private half is kept though it signs nothing")
	}

	w.build(rotating) // the states are the store's, not the process's
	w.advance(oauth.MaxAccessTokenLifetime - 2*time.Second)
	w.maintain()
	if !w.live(last) || w.want(w.introspect("app", last), http.StatusOK, "").JSON["active"] != true || !w.published(old) {
		t.Fatal("a token of the old key is dead before it expires")
	}
	w.advance(time.Second)
	if w.live(last) || !w.live(fresh) {
		t.Fatal("expiry is not that of the token")
	}
	w.advance(left - oauth.MaxAccessTokenLifetime)
	w.maintain()
	w.advance(2 * time.Second)
	w.maintain()
	retired := w.one("access", "retired")
	if retired.ID != old || retired.Sealed != nil || w.published(old) || !w.published(next) {
		t.Fatal("the old key is not gone once its last token has expired")
	}
	if log := w.logged.String(); !strings.Contains(log, "access ES256 "+old+" retired") {
		t.Fatal("the log does not tell")
	}
}

// What the secret keys made outlives their rotation, too: sealed tokens, and refresh tokens for as long as a session may last.
func TestJ05SecretKeysRotate(t *testing.T) {
	w := newWorld(t, rotating)
	w.application("app", []string{"ledger:read"}, opaque)
	w.application("portal", []string{"ledger:read"}, func(a *storage.Application) { a.GrantTypes = []string{"password", "refresh_token"} })
	w.user("u1", "ada", []string{"ledger:read"})
	w.advance(rotation - lead)
	w.maintain()
	w.advance(lead)
	sealed := w.machine("app").text("access_token")
	refresh := w.want(w.person("portal", "ada"), http.StatusOK, "").text("refresh_token")
	oldSeal, oldMAC := w.one("opaque", "active").ID, w.one("refresh", "active").ID
	w.maintain()
	again := w.machine("app").text("access_token")
	if !strings.HasPrefix(sealed, "sat_"+oldSeal+"_") || strings.HasPrefix(again, "sat_"+oldSeal+"_") || !w.live(sealed) || !w.live(again) {
		t.Fatal("the seal did not rotate, or its tokens did not live on")
	}
	successor := w.want(w.refresh("portal", refresh), http.StatusOK, "").text("refresh_token")
	if strings.Contains(successor, oldMAC) {
		t.Fatal("a refresh token of the old key was made")
	}
	w.advance(left)
	w.maintain()
	if w.one("opaque", "retired").ID != oldSeal || w.one("opaque", "retired").Sealed != nil {
		t.Fatal("the old seal is not retired")
	}
	if w.one("refresh", "retiring").ID != oldMAC {
		t.Fatal("a key of refresh tokens ends before the sessions do")
	}
	w.advance(oauth.DefaultSessionLifetime - left + 5*time.Minute)
	w.maintain()
	if retired := w.ring("refresh", "retired"); len(retired) != 1 || retired[0].ID != oldMAC {
		t.Fatal("the old key of refresh tokens is not retired when no session can have one of its tokens")
	}
}

// count returns how many keys of access tokens are in a state, of all algorithms.
func (w *world) count(state string) int {
	w.tb.Helper()
	n := 0
	for _, record := range w.keyRecords("access") {
		if record.State == state {
			n++
		}
	}
	return n
}

// Every algorithm rotates by itself, in use or not: who begins to use one finds a key that has been published for long.
func TestKeysOfEveryAlgorithmRotate(t *testing.T) {
	w := newWorld(t, rotating)
	w.maintain()
	w.advance(rotation)
	w.maintain()
	if w.count("active") != 3 || w.count("next") != 3 {
		t.Fatalf("%d active and %d next keys, want one of each algorithm", w.count("active"), w.count("next"))
	}
	w.advance(lead)
	w.maintain()
	if w.count("active") != 3 || w.count("retiring") != 3 {
		t.Fatalf("%d active and %d retiring keys", w.count("active"), w.count("retiring"))
	}
}

// The first key of an algorithm is published before anybody needs it. In an installation that has lived for longer than a key set is
// kept, it is next as any other, and until its time comes its tokens are an outage, of nobody else.
func TestJ05TheFirstKeyOfAnAlgorithmIsPublishedBeforeItIsUsed(t *testing.T) {
	for _, algorithm := range []string{"EdDSA", "RS256"} {
		t.Run("young, "+algorithm, func(t *testing.T) {
			w := newWorld(t)
			w.maintain()
			published := w.jwks()
			w.application("app", nil, func(a *storage.Application) { a.TokenSigningAlg = algorithm })
			before := len(w.auditor.entries)
			token := w.want(w.machine("app"), http.StatusOK, "").text("access_token")
			if len(published.Key(w.kid(token))) != 1 || part(t, token, 0)["alg"] != algorithm {
				t.Error("signed with a key that was not published when the server was ready")
			}
			if len(w.auditor.entries) != before {
				t.Errorf("the request made keys: %v", w.auditor.entries)
			}
		})
		t.Run("old, "+algorithm, func(t *testing.T) {
			w := newWorld(t)
			w.advance(lead)
			w.application("plain", nil)
			w.application("app", nil, func(a *storage.Application) { a.TokenSigningAlg = algorithm })
			other := w.peer()
			for range 2 {
				w.want(w.machine("app"), http.StatusServiceUnavailable, "temporarily_unavailable")
			}
			other.want(other.machine("app"), http.StatusServiceUnavailable, "temporarily_unavailable")
			w.want(w.machine("plain"), http.StatusOK, "")
			published := w.jwks()
			if w.count("next") != 2 || w.count("active") != 1 {
				t.Fatalf("%d next and %d active keys", w.count("next"), w.count("active"))
			}
			w.advance(lead)
			token := w.want(w.machine("app"), http.StatusOK, "").text("access_token")
			if len(published.Key(w.kid(token))) != 1 {
				t.Error("signed with a key that was not published before")
			}
			other.advance(lead)
			if got := other.want(other.machine("app"), http.StatusOK, "").text("access_token"); w.kid(got) != w.kid(token) {
				t.Error("two nodes sign with two keys")
			}
		})
	}
}

// Whoever waits for keys that another request reads from a slow store gives up in time.
func TestASlowStoreHoldsUpNoRequestBeyondItsDeadline(t *testing.T) {
	w := newWorld(t)
	w.application("edwards", nil, func(a *storage.Application) { a.TokenSigningAlg = "EdDSA" })
	reading, release := make(chan struct{}), make(chan struct{})
	slow := &slowReader{Reader: w.store, reading: reading, release: release}
	applied := make(chan error, 1)
	go func() {
		applied <- w.server.Apply(context.Background(), slow, storage.Change{Items: []storage.ChangeItem{{Kind: "keys", ID: "any"}}})
	}()
	<-reading
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	answered := make(chan reply, 1)
	go func() {
		request := httptest.NewRequestWithContext(ctx, http.MethodPost, "/oauth2/token", strings.NewReader("grant_type=client_credentials"))
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		request.Header.Set("Authorization", basic("edwards", "secret of edwards"))
		answered <- w.do(request)
	}()
	select {
	case r := <-answered:
		w.want(r, http.StatusServiceUnavailable, "temporarily_unavailable")
	case <-time.After(10 * time.Second):
		t.Error("the request waits for the store beyond its deadline")
	}
	close(release)
	if err := <-applied; err != nil {
		t.Fatal(err)
	}
	w.want(w.machine("edwards"), http.StatusOK, "")
}

// slowReader tells when it is asked for a list, and answers when it may.
type slowReader struct {
	storage.Reader
	reading, release chan struct{}
}

func (s *slowReader) List(ctx context.Context, kind storage.Kind, q storage.Query) ([]storage.Record, error) {
	close(s.reading)
	<-s.release
	return s.Reader.List(ctx, kind, q)
}

func TestWithoutARotationKeysStay(t *testing.T) {
	w := newWorld(t)
	w.maintain()
	w.advance(10 * rotation)
	w.maintain()
	if len(w.auditor.entries) != 4 {
		t.Fatalf("keys were changed: %v", w.auditor.entries)
	}
}

func TestKeyRotationIsBounded(t *testing.T) {
	w := newWorld(t)
	for _, d := range []time.Duration{-time.Hour, time.Second, oauth.MinKeyRotation - 1} {
		_, err := oauth.Open(t.Context(), oauth.Config{
			Issuer: issuer, Store: w.store, Sealer: sealer{}, Directory: w.directory, Passwords: w.passwords, Secrets: w.secrets,
			Auditor: w.auditor, PDP: rules(t), Now: w.now, Logger: discard(), KeyRotation: d,
		})
		if err == nil || !strings.Contains(err.Error(), "1h") {
			t.Errorf("%s: %v", d, err)
		}
	}
}

// peer is another node on the store of w.
func (w *world) peer(changes ...change) *world {
	w.tb.Helper()
	other := &world{
		tb: w.tb, store: w.store, directory: w.directory, passwords: w.passwords, secrets: w.secrets, auditor: &auditor{}, logged: &lockedBuffer{},
	}
	other.clock.Store(w.clock.Load())
	other.build(changes...)
	return other
}

// Of two nodes that both find a change due one makes it, and as soon as the other has read it both sign with the same key. Until then
// each takes what the other signs, because the next key was known to both.
func TestJ05TwoNodesHaveOneActiveKey(t *testing.T) {
	a := newWorld(t, rotating)
	b := a.peer(rotating)
	a.application("app", nil)
	nodes := []*world{a, b}
	together := func() {
		var all sync.WaitGroup
		errs := make([]error, len(nodes))
		for n, w := range nodes {
			all.Go(func() { errs[n] = w.server.Maintain(t.Context()) })
		}
		all.Wait()
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
	}
	together() // makes the keys of the other algorithms
	for _, w := range nodes {
		w.apply()
		w.advance(rotation - lead)
	}
	together()
	if next := a.ring("access", "next"); len(next) != 1 {
		t.Fatalf("%d next keys were made, want one", len(next))
	}
	for _, w := range nodes {
		w.apply()
		w.advance(lead)
	}
	a.maintain()
	fresh, stale := a.machine("app").text("access_token"), b.machine("app").text("access_token")
	if a.kid(fresh) == b.kid(stale) {
		t.Fatal("the other node rotated without reading the store: this proves nothing")
	}
	if !a.live(stale) || !b.live(fresh) {
		t.Fatal("while the feed lags, one node does not take what the other signs")
	}
	b.apply()
	if a.kid(a.machine("app").text("access_token")) != b.kid(b.machine("app").text("access_token")) {
		t.Fatal("the nodes differ with the same records")
	}
	together()
	if len(a.ring("access", "active")) != 1 || len(a.ring("access", "")) != 2 {
		t.Fatal("the second round rotated once more")
	}
	made := 0
	for _, entry := range append(a.auditor.entries, b.auditor.entries...) {
		if strings.HasPrefix(entry, "ok ") {
			made++
		}
	}
	if made != 4 {
		t.Fatalf("%d changes, want the first keys twice, the next ones, and one promotion: %v %v", made, a.auditor.entries, b.auditor.entries)
	}
}

// Rotation by hand goes the same way, only sooner; with now it is at once.
func TestRotationByHand(t *testing.T) {
	w := newWorld(t)
	w.maintain()
	w.application("app", nil)
	first := w.one("access", "active").ID
	next := w.write(w.server.RotateKey(t.Context(), w.store, "access", "ES256", false))[0]
	if next.State != "next" || !next.ActiveAt.Equal(w.now().Add(lead)) || !w.published(next.ID) || w.kid(w.machine("app").text("access_token")) != first {
		t.Fatalf("%+v", next)
	}
	var refused *enforce.ProtocolError
	if _, err := w.server.RotateKey(t.Context(), w.store, "access", "ES256", false); !errors.As(err, &refused) || refused.Code != "key_waiting" {
		t.Fatalf("a second next key: %v", err)
	}
	w.advance(lead)
	w.maintain() // promoted although nothing rotates by itself
	token := w.machine("app").text("access_token")
	if w.kid(token) != next.ID {
		t.Fatal("the next key was not promoted")
	}
	third := w.write(w.server.RotateKey(t.Context(), w.store, "access", "ES256", true))
	if len(third) != 2 || third[0].State != "active" || w.kid(w.machine("app").text("access_token")) != third[0].ID || !w.live(token) {
		t.Fatal("now is not now, or ended what was there")
	}
	fourth := w.write(w.server.RotateKey(t.Context(), w.store, "access", "ES256", false))[0]
	promoted := w.write(w.server.RotateKey(t.Context(), w.store, "access", "ES256", true))[0]
	if promoted.ID != fourth.ID || promoted.State != "active" {
		t.Fatal("now made another key beside the one that waited")
	}
	for _, ring := range []string{"introspection", "opaque", "refresh"} {
		if made := w.write(w.server.RotateKey(t.Context(), w.store, ring, "", true)); made[0].State != "active" || len(made) != 2 {
			t.Errorf("%s: %d records", ring, len(made))
		}
	}
	w.write(w.server.RotateKey(t.Context(), w.store, "access", "EdDSA", false))
	for _, bad := range [][2]string{{"", ""}, {"signing", ""}, {"access", ""}, {"access", "HS256"}, {"access", "none"}, {"refresh", "ES256"}} {
		if _, err := w.server.RotateKey(t.Context(), w.store, bad[0], bad[1], true); !errors.As(err, &refused) || refused.Status != http.StatusBadRequest {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// Retiring ends what the key made, at once, and never leaves a ring without a key.
func TestRetiringEndsWhatTheKeyMade(t *testing.T) {
	w := newWorld(t)
	w.application("app", nil)
	w.application("sealing", nil, opaque)
	token, sealed := w.machine("app").text("access_token"), w.machine("sealing").text("access_token")
	for name, dead := range map[string]string{"access": token, "opaque": sealed} {
		if !w.live(dead) {
			t.Fatal("not live before: this proves nothing")
		}
		key := w.one(name, "active")
		ended := w.write(w.server.RetireKey(t.Context(), w.store, key.ID))
		if ended[0].ID != key.ID || ended[0].State != "retired" || ended[0].Sealed != nil || !ended[0].RetireAt.Equal(w.now()) {
			t.Fatalf("%+v", ended[0])
		}
		if w.live(dead) || w.published(key.ID) {
			t.Fatalf("%s: a token of the retired key lives, or it is published", name)
		}
		if w.one(name, "active").ID == key.ID {
			t.Fatal("it has no successor")
		}
	}
	if !w.live(w.machine("app").text("access_token")) || !w.live(w.machine("sealing").text("access_token")) {
		t.Fatal("the successor does not work")
	}
	var refused *enforce.ProtocolError
	if _, err := w.server.RetireKey(t.Context(), w.store, w.one("access", "retired").ID); !errors.As(err, &refused) || refused.Code != "key_retired" {
		t.Fatalf("twice: %v", err)
	}
	if _, err := w.server.RetireKey(t.Context(), w.store, "none"); !errors.Is(err, storage.ErrNotFound) {
		t.Fatalf("an unknown key: %v", err)
	}
	t.Run("the next key is the successor of a retired one", func(t *testing.T) {
		next := w.write(w.server.RotateKey(t.Context(), w.store, "access", "ES256", false))[0]
		w.write(w.server.RetireKey(t.Context(), w.store, w.one("access", "active").ID))
		if w.one("access", "active").ID != next.ID {
			t.Fatal("another key succeeded")
		}
	})
	t.Run("a next key is retired without a successor", func(t *testing.T) {
		next := w.write(w.server.RotateKey(t.Context(), w.store, "access", "ES256", false))[0]
		if ended := w.write(w.server.RetireKey(t.Context(), w.store, next.ID)); len(ended) != 1 {
			t.Fatalf("%d records", len(ended))
		}
	})
}

// What cannot be audited or stored is not done, and is told as an outage; a key that would not open is never promoted.
func TestMaintenanceFailsClosed(t *testing.T) {
	w := newWorld(t, rotating)
	w.maintain()
	w.application("app", nil)
	old := w.one("access", "active").ID
	w.advance(rotation)
	w.auditor.down = errors.New("no audit")
	if err := w.server.Maintain(t.Context()); !errors.Is(err, storage.ErrUnavailable) || len(w.ring("access", "")) != 1 {
		t.Fatalf("without an audit log: %v", err)
	}
	w.auditor.down = nil
	w.store.down.Store(true)
	if err := w.server.Maintain(t.Context()); !errors.Is(err, storage.ErrUnavailable) {
		t.Fatalf("without a store: %v", err)
	}
	w.store.down.Store(false)
	w.maintain()
	next := w.one("access", "next")
	next.Sealed = json.RawMessage(`{"plain":"e30=","associated":"key|access|` + next.ID + `"}`)
	if err := w.store.Txn(t.Context(), updateAuthority(next)); err != nil {
		t.Fatal(err)
	}
	w.advance(lead)
	if err := w.server.Maintain(t.Context()); err == nil || !strings.Contains(err.Error(), "would not be usable") {
		t.Fatalf("a key that is none was promoted: %v", err)
	}
	if w.one("access", "active").ID != old || w.kid(w.machine("app").text("access_token")) != old {
		t.Fatal("the old key does not sign on")
	}
	w.write(w.server.RetireKey(t.Context(), w.store, next.ID)) // the way out
	w.maintain()
	if w.one("access", "next").ID == next.ID {
		t.Fatal("no other next key was made")
	}
}
