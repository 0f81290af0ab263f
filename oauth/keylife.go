package oauth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/writ-authz/writ/policies/enforce"
	"github.com/writ-authz/writ/storage"
)

// A key is next, active, retiring and retired, in this order. The next key of a place is published and not used until everybody who
// keeps a copy of the JWKS can have seen it; the active one signs; a retiring one verifies what it signed until the last of that has
// expired; a retired one is a record of what was, without its secret half. All of it is a function of the records and the clock, so
// nodes differ for as long as they read different records, and for no longer.
const (
	// DefaultKeyRotation is what cmd/writ sets where nothing is said.
	DefaultKeyRotation = 30 * 24 * time.Hour
	// MinKeyRotation bounds how many keys are published at once.
	MinKeyRotation = time.Hour

	// keyLead is how long a key is published before it is used: a JWKS is kept for its max-age, and may come from a node that lags.
	keyLead = jwksLife + time.Minute
	// keyMargin is added to the longest life of a token: clocks differ, and a node that lags signs with the key before.
	keyMargin = 5 * time.Minute
	// maintainTimeout bounds one maintenance: requests that need a new key wait for it.
	maintainTimeout = 20 * time.Second
	// maintainAttempts bounds how often maintenance begins anew because something else was changed meanwhile.
	maintainAttempts = 5
)

// keyLife says how long keys are in each state.
type keyLife struct {
	// rotation is how long a key is active; 0 means until somebody rotates.
	rotation time.Duration
	// tokens and sessions are the longest lives of access tokens and of refresh tokens.
	tokens, sessions time.Duration
}

// after is how long a key of a ring is needed once it makes nothing any more. A signed introspection reply may be kept and shown for
// as long as the token that it is about.
func (l keyLife) after(ring string) time.Duration {
	if ring == ringRefresh {
		return max(l.sessions, l.tokens) + keyMargin // no session ends before the access token that began it
	}
	return l.tokens + keyMargin
}

// keyChange is a change of keys that is being worked out on copies of all records.
type keyChange struct {
	life    keyLife
	now     time.Time
	keys    []*storage.Key
	changed []*storage.Key
	told    []string // what becomes of which key, for the audit log
	// young says that the oldest key is younger than keyLead: no copy of a key set is older than it.
	young bool
}

func (l keyLife) change(records []*storage.Key, now time.Time) *keyChange {
	c := &keyChange{life: l, now: storage.Time(now), young: true}
	for _, record := range records {
		c.young = c.young && c.now.Before(record.CreatedAt.Add(keyLead))
		copied := *record
		c.keys = append(c.keys, &copied)
	}
	return c
}

// in returns the keys of a place in a state, the newest first.
func (c *keyChange) in(p slot, state string) []*storage.Key {
	var found []*storage.Key
	for _, key := range c.keys {
		if key.State == state && (slot{key.Ring, key.Algorithm}) == p {
			found = append(found, key)
		}
	}
	slices.SortStableFunc(found, func(a, b *storage.Key) int { return activeAt(b).Compare(activeAt(a)) })
	return found
}

// put gives a key its next state and notes the change.
func (c *keyChange) put(key *storage.Key, state string) {
	key.State = state
	if !slices.Contains(c.changed, key) {
		c.changed = append(c.changed, key)
	}
	c.told = append(c.told, strings.Join([]string{key.Ring, key.Algorithm, key.ID, state}, " "))
}

// add takes in a new key, which is next, and is to be used when it was published for long enough.
func (c *keyChange) add(key *storage.Key) {
	at := c.now.Add(keyLead)
	key.ActiveAt = &at
	c.keys = append(c.keys, key)
	c.put(key, stateNext)
}

// first takes in the first key of a place. A young installation uses it at once: only a key set from its first seconds lacks it, and
// whoever read that had no token of the algorithm to verify. In an older one it is next, as any other.
func (c *keyChange) first(key *storage.Key) {
	if !c.young {
		c.add(key)
		return
	}
	c.keys = append(c.keys, key)
	c.promote(key)
}

// promote makes a key the active one of its place. The one before it makes nothing any more, so what only serves to make is dropped.
func (c *keyChange) promote(key *storage.Key) {
	for _, before := range c.in(slot{key.Ring, key.Algorithm}, stateActive) {
		c.succeed(before)
	}
	at := c.now
	key.ActiveAt = &at
	c.put(key, stateActive)
}

func (c *keyChange) succeed(key *storage.Key) {
	at := c.now.Add(c.life.after(key.Ring))
	key.RetireAt = &at
	if key.Ring == ringAccess || key.Ring == ringIntrospection {
		key.Sealed = nil // the public half verifies
	}
	c.put(key, stateRetiring)
}

func (c *keyChange) retire(key *storage.Key) {
	at := c.now
	key.RetireAt, key.Sealed = &at, nil
	c.put(key, stateRetired)
}

// due does what the clock demands, and returns the places that want a next key.
func (c *keyChange) due() []slot {
	var wanting []slot
	for _, p := range places(c.keys) {
		for _, key := range c.in(p, stateRetiring) {
			if key.RetireAt != nil && !key.RetireAt.After(c.now) {
				c.retire(key)
			}
		}
		for _, key := range c.in(p, stateNext) {
			if !activeAt(key).After(c.now) {
				c.promote(key)
				break
			}
		}
		active := c.in(p, stateActive)
		if len(active) == 0 {
			if len(c.in(p, stateNext)) == 0 {
				wanting = append(wanting, p)
			}
			continue
		}
		for _, older := range active[1:] {
			c.succeed(older)
		}
		if c.life.rotation > 0 && len(c.in(p, stateNext)) == 0 && !activeAt(active[0]).Add(c.life.rotation-keyLead).After(c.now) {
			wanting = append(wanting, p)
		}
	}
	return wanting
}

// places returns those of access tokens, which have keys before anybody asks for one, and any others that have keys.
func places(records []*storage.Key) []slot {
	found := []slot{{ringAccess, algES256}, {ringAccess, algEdDSA}, {ringAccess, algRS256}}
	for _, key := range records {
		if p := (slot{key.Ring, key.Algorithm}); !slices.Contains(found, p) {
			found = append(found, p)
		}
	}
	return found
}

// begin reads the keys and begins a change of them. The change may be stored at the sequence that was read before, and at no other.
func (k *keys) begin(ctx context.Context, r storage.Reader) (*keyChange, error) {
	records, err := listKeys(ctx, r)
	if err != nil {
		return nil, err
	}
	return k.life.change(records, k.now()), nil
}

// prove refuses a change after which this node could not work, before it is stored: every other would fail on it, too.
func (k *keys) prove(c *keyChange) error {
	if missing := without(c.keys, firstSlots()); len(missing) > 0 {
		return fmt.Errorf("no key would be active for %s of the ring %s", missing[0].algorithm, missing[0].ring)
	}
	if _, err := newRings(c.keys, k.sealer); err != nil {
		return fmt.Errorf("the keys would not be usable: %w", err)
	}
	return nil
}

// maintain does what is due, in one transaction, and returns what that was. Of several nodes one does it: the authority sequence is
// the lease, and who comes second finds nothing left to do.
func (k *keys) maintain(ctx context.Context) ([]string, error) {
	release, err := hold(ctx, k.making)
	if err != nil {
		return nil, err
	}
	defer release()
	var done []string
	made := map[slot]*storage.Key{}
	for range maintainAttempts {
		if done, err = k.advance(ctx, made); !errors.Is(err, storage.ErrStale) {
			break
		}
	}
	return done, err
}

// advance is one attempt. What it made and could not store is in made, for the next: a key takes longer to make than to store.
func (k *keys) advance(ctx context.Context, made map[slot]*storage.Key) ([]string, error) {
	sequence, err := k.store.Sequence(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the authority sequence: %w", err)
	}
	c, err := k.begin(ctx, k.store)
	if err != nil {
		return nil, err
	}
	for _, p := range c.due() {
		if made[p] == nil {
			if made[p], err = k.newKeyRecord(p.ring, p.algorithm, stateNext); err != nil {
				return nil, err
			}
		}
		key := *made[p]
		if len(c.in(p, stateActive)) == 0 {
			c.first(&key)
		} else {
			c.add(&key)
		}
	}
	if len(c.changed) == 0 {
		return nil, nil
	}
	if err := k.prove(c); err != nil {
		return nil, err
	}
	target := "keys"
	if len(c.changed) == 1 {
		target += "/" + c.changed[0].ID
	}
	done, err := k.auditor.Intent(ctx, storage.AuditEntry{Actor: "system", Action: "keys:write", Target: target})
	if err != nil {
		return nil, fmt.Errorf("audit: %w: %w", storage.ErrUnavailable, err)
	}
	err = k.store.Txn(ctx, func(ctx context.Context, tx storage.Tx) error {
		if err := tx.Advance(ctx, sequence); err != nil {
			return err
		}
		for _, key := range c.changed {
			write := tx.Update
			if key.Version == 0 {
				write = tx.Insert
			}
			if err := write(ctx, key); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, errors.Join(err, done(ctx, "failed", "not stored"))
	}
	return c.told, errors.Join(done(ctx, "ok", strings.Join(c.told, ", ")), k.load(ctx, k.store))
}

// Maintain brings the keys to the state that is due: it makes next keys, promotes those that were published for long enough, and
// retires those whose last token has expired. It is to be called about once a minute, on any number of nodes.
func (s *Server) Maintain(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, maintainTimeout)
	defer cancel()
	done, err := s.keys.maintain(ctx)
	if len(done) > 0 {
		s.logger.InfoContext(ctx, "keys changed", "keys", done)
	}
	if err != nil {
		return fmt.Errorf("maintain keys: %w", err)
	}
	return nil
}

// RotateKey works out another key for a ring: a next one, to be used once it was published for long enough, or with now the active
// one. It stores nothing: the records returned are to be written at the sequence before r was read, and those without a version are
// new. The first is the key that was asked for.
func (s *Server) RotateKey(ctx context.Context, r storage.Reader, ring, algorithm string, now bool) ([]*storage.Key, error) {
	p, err := namedSlot(ring, algorithm)
	if err != nil {
		return nil, err
	}
	c, err := s.keys.begin(ctx, r)
	if err != nil {
		return nil, err
	}
	var key *storage.Key
	if waiting := c.in(p, stateNext); len(waiting) > 0 {
		key = waiting[0]
		if !now {
			return nil, &enforce.ProtocolError{
				Status: http.StatusConflict, Code: "key_waiting", Pointer: "/ring",
				Detail: "the next key, " + key.ID + ", is published already and becomes active at " + activeAt(key).Format(time.RFC3339) +
					"; with now it does at once",
			}
		}
	} else {
		if key, err = s.keys.newKeyRecord(p.ring, p.algorithm, stateNext); err != nil {
			return nil, err
		}
		c.add(key)
	}
	if now {
		c.promote(key)
	}
	return c.records(key), s.keys.prove(c)
}

// RetireKey works out the end of a key, as RotateKey does its work. What the key made is dead then. An active one is succeeded at once
// by the next, or by a new one where none waits.
func (s *Server) RetireKey(ctx context.Context, r storage.Reader, kid string) ([]*storage.Key, error) {
	c, err := s.keys.begin(ctx, r)
	if err != nil {
		return nil, err
	}
	at := slices.IndexFunc(c.keys, func(key *storage.Key) bool { return key.ID == kid })
	if at < 0 {
		return nil, fmt.Errorf("key %s: %w", kid, storage.ErrNotFound)
	}
	key := c.keys[at]
	if key.State == stateRetired {
		return nil, &enforce.ProtocolError{Status: http.StatusConflict, Code: "key_retired", Detail: "the key is retired already"}
	}
	active := key.State == stateActive
	c.retire(key)
	if p := (slot{key.Ring, key.Algorithm}); active && len(c.in(p, stateActive)) == 0 {
		if len(c.in(p, stateNext)) == 0 {
			made, err := s.keys.newKeyRecord(p.ring, p.algorithm, stateNext)
			if err != nil {
				return nil, err
			}
			c.add(made)
		}
		c.promote(c.in(p, stateNext)[0])
	}
	return c.records(key), s.keys.prove(c)
}

// records returns what is to be written, first before the rest.
func (c *keyChange) records(first *storage.Key) []*storage.Key {
	rest := slices.DeleteFunc(slices.Clone(c.changed), func(key *storage.Key) bool { return key == first })
	return append([]*storage.Key{first}, rest...)
}

// namedSlot finds the place that a request names. A ring of one algorithm needs no other name.
func namedSlot(ring, algorithm string) (slot, error) {
	var only []string
	for _, candidate := range []string{algES256, algRS256, algEdDSA, algXChaCha, algHMAC} {
		if (slot{ring, candidate}).offered() {
			only = append(only, candidate)
		}
	}
	switch {
	case len(only) == 0:
		return slot{}, enforce.BadRequest("unknown_ring", "/ring", "the rings are access, introspection, opaque and refresh")
	case algorithm == "" && len(only) == 1:
		return slot{ring, only[0]}, nil
	case !slices.Contains(only, algorithm):
		return slot{}, enforce.BadRequest("unknown_algorithm", "/alg", "the algorithms of this ring are "+strings.Join(only, ", "))
	}
	return slot{ring, algorithm}, nil
}
