package identity

import (
	"crypto/hmac"
	"crypto/sha256"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/writ-authz/writ/policies/enforce"
)

// The limits of guessing (requirements: failures count, and nothing else; nobody is locked out by strangers).
const (
	// freeGuesses is how many distinct failures of a name from one network cost nothing. Then each doubles the delay, from
	// firstDelay to maxDelay.
	freeGuesses = 5
	firstDelay  = time.Second
	maxDelay    = 15 * time.Minute
	// forgetAfter is how long after the last failure a count is kept.
	forgetAfter = 24 * time.Hour
	// manyFailures is how many failures in a row, wherever they come from, close a name to networks that have not had a success
	// within provenFor.
	manyFailures = 100
	provenFor    = 30 * 24 * time.Hour
	// networkBurst and networkRefill bound the failures of one network over all names, networkRefill being the time for one more.
	networkBurst  = 500
	networkRefill = 100 * time.Millisecond
	// keptGuesses is how many guesses are remembered per name and network to know a repeated one.
	keptGuesses = 16
	// maxCounts bounds the counts of names, and those of names from a network.
	maxCounts = 100_000
	// maxOwners leaves room for failures: what owners leave behind by logging in must not crowd out those who guess.
	maxOwners = maxCounts / 2
	sweepStep = 1024
	// ownerStep is how often at most a success of a name from a network is noted while nothing failed.
	ownerStep = 24 * time.Hour
)

// network is the part of an address that one customer of a provider can choose from: /24, or /64 of IPv6. An unknown address is one
// network.
func network(peer netip.Addr) netip.Prefix {
	peer = peer.Unmap()
	bits := 64
	if peer.Is4() {
		bits = 24
	}
	prefix, err := peer.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return prefix
}

// digest stands for a name, a name from a network, or a guess. It is keyed, so that what is kept is no list of users.
type digest [16]byte

// throttle slows guessing down. Only failures count, and of one guess only the first: a client that is set up wrongly, or a
// library that tries twice, does not throttle itself. A name under attack stays open to the networks from which its owner comes.
type throttle struct {
	title string // of its records
	now   func() time.Time
	key   []byte
	// owners says that networks from which a name succeeded are remembered, and stay open to it.
	owners bool
	// refused is how many attempts were told to wait.
	refused atomic.Int64
	// counts is how many networks, places and names are counted. While it is 0, nothing is looked up.
	counts atomic.Int64

	mu       sync.Mutex
	networks map[netip.Prefix]*bucket
	// places counts failures per name and network, names per name alone.
	places, names map[digest]*count
	steps         int
}

type bucket struct {
	failures float64
	at       time.Time
}

// count is what is known of a name, or of a name from one network.
type count struct {
	failures int
	last     time.Time // of the last failure
	success  time.Time // of the last success
	guesses  []digest
	// fresh are the failures that the store does not have yet; forgiven says that a success came before them.
	fresh    int
	forgiven bool
	// name is that of a place; reset says that it is another identity's by now, and what the store has of it means nothing.
	name  digest
	reset bool
}

func newThrottle(title string, now func() time.Time, key []byte, owners bool) *throttle {
	return &throttle{
		title: title, now: now, key: key, owners: owners, networks: map[netip.Prefix]*bucket{}, places: map[digest]*count{}, names: map[digest]*count{},
	}
}

func (t *throttle) digest(parts ...string) digest {
	mac := hmac.New(sha256.New, t.key)
	for _, part := range parts {
		var length [8]byte
		for i, n := 0, len(part); i < len(length); i++ {
			length[i] = byte(n >> (8 * i))
		}
		mac.Write(length[:]) // so that no two lists of parts are one text
		mac.Write([]byte(part))
	}
	return digest(mac.Sum(nil)[:len(digest{})])
}

// delay is the pause after so many distinct failures.
func delay(failures int) time.Duration {
	if failures < freeGuesses {
		return 0
	}
	doublings := failures - freeGuesses
	if doublings > 20 {
		return maxDelay
	}
	return min(firstDelay<<doublings, maxDelay)
}

// wait is how long a name must wait before it may be tried from a network, 0 where it may be now.
func (t *throttle) wait(name, place digest, from netip.Prefix, now time.Time) time.Duration {
	var wait time.Duration
	if b := t.networks[from]; b != nil {
		if over := b.level(now) - networkBurst; over > -1 {
			wait = max(wait, time.Duration((over+1)*float64(networkRefill)))
		}
	}
	here := t.places[place]
	if here != nil && here.failures > 0 {
		wait = max(wait, here.last.Add(delay(here.failures)).Sub(now))
	}
	if all := t.names[name]; t.owners && all != nil && all.failures >= manyFailures && now.Sub(all.last) < maxDelay {
		if here == nil || here.success.IsZero() || now.Sub(here.success) > provenFor {
			wait = max(wait, all.last.Add(maxDelay).Sub(now))
		}
	}
	return wait
}

// level is how many failures of a network are still to be forgotten.
func (b *bucket) level(now time.Time) float64 {
	return max(0, b.failures-float64(now.Sub(b.at))/float64(networkRefill))
}

// attempt is one try to prove who one is, begun by admit and ended by failed or succeeded.
type attempt struct {
	throttle *throttle
	from     netip.Prefix
	// text and guess are what was presented; they go no further than into digests.
	text, guess string
}

func (a attempt) name() digest  { return a.throttle.digest("name", a.text) }
func (a attempt) place() digest { return a.throttle.digest("place", a.text, a.from.String()) }

// admit begins an attempt, or refuses it before anything is looked up or hashed: alike for a right, a wrong and an unknown one. The
// refusal is a 429 that says how long to wait.
func (t *throttle) admit(name, guess string, peer netip.Addr) (attempt, error) {
	a := attempt{throttle: t, from: network(peer), text: name, guess: guess}
	if t.counts.Load() == 0 {
		return a, nil
	}
	who, place := a.name(), a.place()
	t.mu.Lock()
	defer t.mu.Unlock()
	if wait := t.wait(who, place, a.from, t.now()); wait > 0 {
		t.refused.Add(1)
		return a, throttled(wait)
	}
	return a, nil
}

// throttled says nothing of who was tried or how often.
func throttled(wait time.Duration) error {
	seconds := int64((wait + time.Second - 1) / time.Second)
	return &enforce.ProtocolError{
		Status: http.StatusTooManyRequests, Code: "throttled", Detail: "Too many failed attempts. Try again later.",
		Header: http.Header{"Retry-After": {strconv.FormatInt(seconds, 10)}},
	}
}

// failed counts the attempt, unless the same guess was counted before, and says whether it did.
func (a attempt) failed() bool {
	t := a.throttle
	who, where, what := a.name(), a.place(), t.digest("guess", a.text, a.guess)
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	t.sweep(now)
	place := t.places[where]
	if place != nil && slices.Contains(place.guesses, what) {
		return false
	}
	b := t.networks[a.from]
	if b == nil {
		b = &bucket{}
		t.networks[a.from] = b
	}
	b.failures, b.at = b.level(now)+1, now
	// Where there is no room the network pays alone: one name never pushes out another that is under attack.
	if place = room(t.places, where); place != nil {
		place.name = who
		place.add(now)
		if place.guesses = append(place.guesses, what); len(place.guesses) > keptGuesses {
			place.guesses = slices.Delete(place.guesses, 0, 1)
		}
	}
	if name := room(t.names, who); name != nil {
		name.add(now)
	}
	t.recount()
	return true
}

// succeeded forgets the failures of the name from this network, and remembers that it is its owner's.
func (a attempt) succeeded() {
	t := a.throttle
	if !t.owners && t.counts.Load() == 0 {
		return
	}
	who, where := a.name(), a.place()
	t.mu.Lock()
	defer t.mu.Unlock()
	if name := t.names[who]; name != nil && name.failures > 0 {
		name.forgive(time.Time{})
	}
	place := t.places[where]
	if place == nil && t.owners && len(t.places) < maxOwners {
		place = room(t.places, where)
		place.name = who
	}
	if now := t.now(); place != nil && (place.failures > 0 || now.Sub(place.success) > ownerStep) {
		place.forgive(now)
	}
	t.recount()
}

// forget drops what is known of a name whose identity is gone: the next one of that name inherits neither failures nor networks. Other
// nodes learn of it with the next failure at that name, or when the wait that they know of is over.
func (t *throttle) forget(text string) {
	if t.counts.Load() == 0 {
		return
	}
	who := t.digest("name", text)
	t.mu.Lock()
	defer t.mu.Unlock()
	if name := t.names[who]; name != nil {
		name.clear()
	}
	for _, place := range t.places {
		if place.name == who {
			place.clear()
		}
	}
}

func (t *throttle) recount() { t.counts.Store(int64(len(t.networks) + len(t.places) + len(t.names))) }

func (c *count) add(now time.Time) { c.failures, c.fresh, c.last = c.failures+1, c.fresh+1, now }

func (c *count) forgive(success time.Time) {
	c.failures, c.fresh, c.guesses, c.forgiven = 0, 0, nil, true
	if !success.IsZero() {
		c.success = success
	}
}

func (c *count) clear() { *c = count{last: c.last, name: c.name, reset: true} }

// room returns the count of a digest, a new one while there is room, or nil.
func room(in map[digest]*count, of digest) *count {
	c := in[of]
	if c == nil && len(in) < maxCounts {
		c = &count{}
		in[of] = c
	}
	return c
}

// sweep forgets, every now and then, what no longer matters.
func (t *throttle) sweep(now time.Time) {
	if t.steps++; t.steps%sweepStep != 0 {
		return
	}
	for from, b := range t.networks {
		if b.level(now) == 0 {
			delete(t.networks, from)
		}
	}
	for _, in := range []map[digest]*count{t.places, t.names} {
		for of, c := range in {
			if now.Sub(c.last) > forgetAfter && now.Sub(c.success) > provenFor {
				delete(in, of)
			}
		}
	}
}
