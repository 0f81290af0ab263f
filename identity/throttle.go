package identity

import (
	"crypto/hmac"
	"crypto/sha256"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
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
	// repeatCost is what the same guess again costs its network, in failures: it takes a hash like any other.
	repeatCost = 0.5
	// keptGuesses is how many guesses are remembered per name and network to know a repeated one.
	keptGuesses = 16
	// maxCounts bounds the counts of names, and those of names from a network. Those that find no room share sharedCounts, where no
	// wait is longer than sharedDelay, because who waits there may have failed never.
	maxCounts    = 100_000
	sharedCounts = 4096
	sharedDelay  = 30 * time.Second
	// maxOwners bounds the names of which it is known from where their owners come, maxHomes the networks of one.
	maxOwners = 100_000
	maxHomes  = 8
	// maxWelcomed bounds the new names for which the store is still to be asked.
	maxWelcomed = 10_000
	sweepStep   = 1024
	sweepTime   = time.Second
	// ownerStep is how often at most a success of a name from a network is noted.
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
	// proves says that networks from which a name succeeded are remembered, and stay open to it.
	proves bool
	// refused is how many attempts were told to wait.
	refused atomic.Int64
	// counts is how many networks and places are counted.
	counts atomic.Int64

	mu       sync.Mutex
	networks map[netip.Prefix]*bucket
	// places counts failures per name and network, names per name alone; owners has the successes per name and network. They are
	// apart, so that neither crowds out the other.
	places, names, owners map[digest]*count
	// homes are the keys of owners, by name.
	homes map[digest][]digest
	// flights are the guesses that are being checked now, per name and network and per name alone.
	flights map[digest]flight
	// sharedPlaces and sharedNames count for those who find no room.
	sharedPlaces, sharedNames shared
	// changed is what the store does not have yet; asked is what somebody was told to wait for, and what the store may know better.
	changed, asked map[counted]struct{}
	// welcomed are names that nobody had, of which the store may know something all the same.
	welcomed map[counted]struct{}
	steps    int
	swept    time.Time
}

type bucket struct {
	failures float64
	at       time.Time
}

func newThrottle(title string, now func() time.Time, key []byte, proves bool) *throttle {
	return &throttle{
		title: title, now: now, key: key, proves: proves, networks: map[netip.Prefix]*bucket{},
		places: map[digest]*count{}, names: map[digest]*count{}, owners: map[digest]*count{}, homes: map[digest][]digest{},
		flights: map[digest]flight{}, changed: map[counted]struct{}{}, asked: map[counted]struct{}{}, welcomed: map[counted]struct{}{},
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

// wait is how long an attempt must wait before it may be made, 0 where it may be now.
func (t *throttle) wait(a *attempt, now time.Time) time.Duration {
	var wait time.Duration
	if b := t.networks[a.from]; b != nil {
		if over := b.level(now) - networkBurst; over > -1 {
			wait = max(wait, time.Duration((over+1)*float64(networkRefill)))
		}
	}
	owner, failures := t.proven(a.where, now), 0
	switch here := t.places[a.where]; {
	case here != nil && here.failures > 0:
		failures = here.failures
		wait = max(wait, here.last.Add(delay(failures)).Sub(now))
	case here == nil && !owner:
		if crowd := t.sharedPlaces.of(a.where); crowd.lately(now) {
			failures = crowd.failures
			wait = max(wait, crowd.last.Add(min(delay(failures), sharedDelay)).Sub(now))
		}
	}
	// Guesses that are being checked may all fail, so they count as if they had: else those sent together would pass together.
	if flying := t.flights[a.where].others(a.what); flying > 0 && failures+flying >= freeGuesses {
		wait = max(wait, firstDelay)
	}
	if t.proves && !owner {
		wait = max(wait, t.closed(a, now))
	}
	return wait
}

// closed is how long a name that was guessed at too often is closed to whom it does not know.
func (t *throttle) closed(a *attempt, now time.Time) time.Duration {
	failures, last, most := 0, time.Time{}, maxDelay
	if all := t.names[a.who]; all != nil {
		failures, last = all.failures, all.last
	} else if crowd := t.sharedNames.of(a.who); crowd.lately(now) {
		failures, last, most = crowd.failures, crowd.last, sharedDelay
	}
	if failures < manyFailures {
		return 0
	}
	wait := max(0, last.Add(most).Sub(now))
	if t.flights[a.who].others(a.what) > 0 {
		wait = max(wait, firstDelay)
	}
	return wait
}

// level is how many failures of a network are still to be forgotten.
func (b *bucket) level(now time.Time) float64 {
	return max(0, b.failures-float64(now.Sub(b.at))/float64(networkRefill))
}

// attempt is one try to prove who one is, begun by admit, ended by failed, succeeded or neither, and then by done.
type attempt struct {
	throttle *throttle
	from     netip.Prefix
	// text and guess are what was presented; they go no further than into digests.
	text, guess string
	// who, where and what are the digests of the name, of the name from this network, and of the guess, once they are known.
	who, where, what digest
	known, flying    bool
}

func (a *attempt) name() digest { return a.throttle.digest("name", a.text) }

func (a *attempt) recognise() {
	if a.known {
		return
	}
	a.who, a.where = a.name(), a.throttle.digest("place", a.text, a.from.String())
	a.what, a.known = a.throttle.digest("guess", a.text, a.guess), true
}

// admit begins an attempt, or refuses it before anything is looked up or hashed: alike for a right, a wrong and an unknown one. The
// refusal is a 429 that says how long to wait. Who was admitted must call done, whatever comes of it.
func (t *throttle) admit(name, guess string, peer netip.Addr) (*attempt, error) {
	a := &attempt{throttle: t, from: network(peer), text: name, guess: guess}
	// Secrets that the server made cannot be guessed, and cost so little that digests would be most of it.
	if !t.proves && t.counts.Load() == 0 && strings.HasPrefix(guess, secretPrefix) {
		return a, nil
	}
	a.recognise()
	t.mu.Lock()
	defer t.mu.Unlock()
	if wait := t.wait(a, t.now()); wait > 0 {
		t.refused.Add(1)
		t.ask(a)
		return a, throttled(wait)
	}
	a.flying = true
	t.take(a.where, a.what)
	t.take(a.who, a.what)
	return a, nil
}

// done says that nothing is checked any more. A failure must have been counted before.
func (a *attempt) done() {
	if !a.flying {
		return
	}
	t := a.throttle
	t.mu.Lock()
	defer t.mu.Unlock()
	a.flying = false
	t.land(a.where, a.what)
	t.land(a.who, a.what)
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
func (a *attempt) failed() bool {
	t := a.throttle
	a.recognise()
	t.mu.Lock()
	defer t.mu.Unlock()
	defer t.recount()
	now := t.now()
	t.sweep(now)
	place := t.places[a.where]
	if place != nil && slices.Contains(place.guesses, a.what) {
		t.charge(a.from, repeatCost, now)
		return false
	}
	t.charge(a.from, 1, now)
	name := room(t.names, a.who)
	if name == nil {
		t.sharedNames.of(a.who).add(now)
	} else {
		name.add(now)
		t.change(levelName, a.who)
	}
	// Where there is no room, one name never pushes out another that is under attack.
	if place = room(t.places, a.where); place == nil {
		t.sharedPlaces.of(a.where).add(now)
		return true
	}
	if place.name = a.who; name != nil && !slices.Contains(name.places, a.where) {
		name.places = append(name.places, a.where)
	}
	place.add(now)
	if place.guesses = append(place.guesses, a.what); len(place.guesses) > keptGuesses {
		place.guesses = slices.Delete(place.guesses, 0, 1)
	}
	t.change(levelPlace, a.where)
	return true
}

// charge counts against the network.
func (t *throttle) charge(from netip.Prefix, failures float64, now time.Time) {
	b := t.networks[from]
	if b == nil {
		b = &bucket{}
		t.networks[from] = b
	}
	b.failures, b.at = b.level(now)+failures, now
}

// succeeded forgets the failures of the name from this network, and remembers that it is its owner's.
func (a *attempt) succeeded() {
	t := a.throttle
	if !t.proves && t.counts.Load() == 0 {
		return
	}
	a.recognise()
	t.mu.Lock()
	defer t.mu.Unlock()
	if name := t.names[a.who]; name != nil && name.failures > 0 {
		name.forgive()
		t.change(levelName, a.who)
	}
	if place := t.places[a.where]; place != nil && place.failures > 0 {
		place.forgive()
		t.change(levelPlace, a.where)
	}
	if t.proves {
		t.prove(a.who, a.where, t.now())
	}
}

func (t *throttle) recount() { t.counts.Store(int64(len(t.networks) + len(t.places))) }
