package identity

import (
	"encoding/binary"
	"slices"
	"time"
)

// The levels of counts, as the ids of their records have them.
const (
	levelPlace = "place"
	levelName  = "name"
	levelOwner = "owner"
)

// counted names a count.
type counted struct {
	level string
	of    digest
}

// count is what is known of a name, or of a name from one network.
type count struct {
	failures    int
	since, last time.Time // of the first and of the last failure
	success     time.Time // of the last success
	guesses     []digest
	// fresh are the failures that the store does not have yet; forgiven says that a success came before them.
	fresh    int
	forgiven bool
	// name is that of a place.
	name digest
	// places are those of a name.
	places []digest
	// reset says that the name is another identity's by now, since resetAt, and what the store has from before means nothing. Where
	// it is faint and the store has nothing, there is nothing to write.
	reset, faint bool
	resetAt      time.Time
}

func (c *count) add(now time.Time) {
	if c.failures == 0 {
		c.since = now
	}
	c.failures, c.fresh, c.last = c.failures+1, c.fresh+1, now
}

func (c *count) forgive() { c.failures, c.fresh, c.guesses, c.forgiven = 0, 0, nil, true }

// clear begins anew.
func (c *count) clear(at time.Time) {
	*c = count{last: c.last, name: c.name, places: c.places, reset: true, resetAt: at}
}

// room returns the count of a digest, a new one while there is room, or nil.
func room(in map[digest]*count, of digest) *count {
	c := in[of]
	if c == nil && len(in) < maxCounts {
		c = &count{}
		in[of] = c
	}
	return c
}

func (t *throttle) level(level string) map[digest]*count {
	return map[string]map[digest]*count{levelPlace: t.places, levelName: t.names, levelOwner: t.owners}[level]
}

func (t *throttle) change(level string, of digest) { t.changed[counted{level, of}] = struct{}{} }

// ask notes that somebody was told to wait: another node may know that it is over.
func (t *throttle) ask(a *attempt) {
	if len(t.asked) >= mergeMost {
		return
	}
	t.asked[counted{levelName, a.who}] = struct{}{}
	t.asked[counted{levelPlace, a.where}] = struct{}{}
}

// shared are the counts of those who find no room: a flood of names makes others wait with it, for a while, and nobody guess freely.
type shared [sharedCounts]sharedCount

type sharedCount struct {
	failures int
	last     time.Time
}

func (s *shared) of(d digest) *sharedCount { return &s[binary.BigEndian.Uint16(d[:])%sharedCounts] }

func (c *sharedCount) lately(now time.Time) bool { return c.failures > 0 && now.Sub(c.last) < maxDelay }

func (c *sharedCount) add(now time.Time) {
	if !c.lately(now) {
		c.failures = 0
	}
	c.failures, c.last = c.failures+1, now
}

// flight is what is guessed at one name or place at one moment, and how many times each.
type flight map[digest]int

// others is how many guesses other than this one are under way. The same one is the same guess, and owners come twice at once.
func (f flight) others(guess digest) int {
	if f[guess] > 0 {
		return len(f) - 1
	}
	return len(f)
}

func (t *throttle) take(of, guess digest) {
	if t.flights[of] == nil {
		t.flights[of] = flight{}
	}
	t.flights[of][guess]++
}

func (t *throttle) land(of, guess digest) {
	f := t.flights[of]
	if f[guess]--; f[guess] <= 0 {
		delete(f, guess)
	}
	if len(f) == 0 {
		delete(t.flights, of)
	}
}

// proven says whether a name had a success from a network within provenFor.
func (t *throttle) proven(place digest, now time.Time) bool {
	o := t.owners[place]
	return o != nil && now.Sub(o.success) <= provenFor
}

// prove notes a success.
func (t *throttle) prove(who, where digest, now time.Time) {
	o := t.owners[where]
	if o == nil {
		o = t.admitOwner(who, where)
	}
	if now.Sub(o.success) > ownerStep {
		o.success = now
		t.change(levelOwner, where)
	}
}

// admitOwner makes room for a network of an owner: in the place of the oldest of the name, or of those of a name that has not come for
// long. Only owners get here, so no flood of failures pushes one out.
func (t *throttle) admitOwner(who, where digest) *count {
	homes, known := t.homes[who]
	if len(homes) >= maxHomes {
		oldest := slices.MinFunc(homes, func(a, b digest) int { return t.owners[a].success.Compare(t.owners[b].success) })
		delete(t.owners, oldest)
		homes = slices.DeleteFunc(homes, func(d digest) bool { return d == oldest })
	}
	if !known && len(t.homes) >= maxOwners {
		t.disown(t.longGone())
	}
	o := &count{name: who}
	t.owners[where], t.homes[who] = o, append(homes, where)
	return o
}

// longGone is the name, of a few that chance names, whose owner has not come for longest.
func (t *throttle) longGone() digest {
	const few = 16
	var found digest
	var since time.Time
	seen := 0
	for who, homes := range t.homes {
		last := time.Time{}
		for _, where := range homes {
			if at := t.owners[where].success; at.After(last) {
				last = at
			}
		}
		if seen == 0 || last.Before(since) {
			found, since = who, last
		}
		if seen++; seen == few {
			break
		}
	}
	return found
}

func (t *throttle) disown(who digest) {
	for _, where := range t.homes[who] {
		delete(t.owners, where)
	}
	delete(t.homes, who)
}

// forget drops what is known of a name whose identity is gone, or begins anew: the next one of that name inherits neither failures nor
// networks. Other nodes learn of it when they next count a failure at that name, or make somebody wait for it.
func (t *throttle) forget(text string) { t.reset(text, false) }

// welcome is forget for a name that nobody had. Mostly there is nothing to forget.
func (t *throttle) welcome(text string) { t.reset(text, true) }

func (t *throttle) reset(text string, faint bool) {
	who := t.digest("name", text)
	t.mu.Lock()
	defer t.mu.Unlock()
	name := t.names[who]
	if name == nil { // also where failures find no room: identities do not go in floods, and those that come are bounded
		if faint && len(t.welcomed) >= maxWelcomed {
			return
		}
		name = &count{}
		if !faint && len(t.names) >= maxCounts { // its failures may be counted without it
			for where, place := range t.places {
				if place.name == who {
					name.places = append(name.places, where)
				}
			}
		}
		t.names[who] = name
	} else {
		faint = faint && name.faint
	}
	t.begin(who, name, t.now(), true)
	name.clear(t.now())
	if name.faint = faint; faint {
		t.welcomed[counted{levelName, who}] = struct{}{}
		return
	}
	t.change(levelName, who)
}

// begin clears what is known of a name from before an instant, or everything.
func (t *throttle) begin(who digest, name *count, at time.Time, everything bool) {
	for _, where := range name.places {
		place := t.places[where]
		if place != nil && place.name == who && (everything || place.since.Before(at)) {
			place.clear(at)
			t.change(levelPlace, where)
		}
	}
	t.homes[who] = slices.DeleteFunc(t.homes[who], func(where digest) bool {
		gone := everything || t.owners[where].success.Before(at)
		if gone {
			delete(t.owners, where)
		}
		return gone
	})
	if len(t.homes[who]) == 0 {
		delete(t.homes, who)
	}
}

// sweep forgets, every now and then, what no longer matters.
func (t *throttle) sweep(now time.Time) {
	if t.steps++; t.steps < sweepStep || now.Sub(t.swept) < sweepTime {
		return
	}
	t.steps, t.swept = 0, now
	for from, b := range t.networks {
		if b.level(now) == 0 {
			delete(t.networks, from)
		}
	}
	for of, c := range t.places {
		if now.Sub(c.last) > forgetAfter {
			delete(t.places, of)
		}
	}
	for of, c := range t.names {
		c.places = slices.DeleteFunc(c.places, func(where digest) bool { return t.places[where] == nil })
		if len(c.places) == 0 && now.Sub(c.last) > forgetAfter && now.Sub(c.resetAt) > forgetAfter {
			delete(t.names, of)
		}
	}
	for who, homes := range t.homes {
		if !slices.ContainsFunc(homes, func(where digest) bool { return t.proven(where, now) }) {
			t.disown(who)
		}
	}
}
