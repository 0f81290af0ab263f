package identity

import (
	"net/netip"
	"strconv"
	"testing"
	"time"

	"github.com/writ-authz/writ/storage"
)

// TestOwnersLeaveRoomForThoseWhoGuess lets more people log in than are remembered, and then guesses at a name that nobody has tried.
func TestOwnersLeaveRoomForThoseWhoGuess(t *testing.T) {
	at := time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
	limits := newThrottle("people", func() time.Time { return at }, []byte("key"), true)
	peer := netip.MustParseAddr("192.0.2.1")
	for n := range maxCounts + 1 {
		a, err := limits.admit("user"+strconv.Itoa(n), "right", peer)
		if err != nil {
			t.Fatal(err)
		}
		a.succeeded()
		a.done()
	}
	for n := range freeGuesses {
		a, err := limits.admit("victim", "wrong "+strconv.Itoa(n), peer)
		if err != nil {
			t.Fatal(err)
		}
		a.failed()
		a.done()
	}
	if _, err := limits.admit("victim", "right", peer); err == nil {
		t.Error("nobody counts the guesses any more")
	}
}

// NIST SP 800-63B-4, 3.2.2: no more than 100 consecutive failures at an account. Only networks from which its owner came within 30 days
// stay open.
func TestASuccessProvesANetworkForThirtyDays(t *testing.T) {
	at := time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
	limits := newThrottle("people", func() time.Time { return at }, []byte("key"), true)
	home, strange := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("203.0.113.1")
	a, err := limits.admit("ada", "right", home)
	if err != nil {
		t.Fatal(err)
	}
	a.succeeded()
	a.done()
	fail := func(times int) {
		for n := range times {
			// From ever other networks, none of which has failed before.
			from := netip.AddrFrom4([4]byte{10, byte(n), byte(at.Day()), 1})
			a, err := limits.admit("ada", "guess "+strconv.Itoa(n)+at.String(), from)
			if err != nil {
				t.Fatalf("failure %d: %v", n, err)
			}
			if !a.failed() {
				t.Fatal("a distinct guess is not counted")
			}
			a.done()
		}
	}
	open := func(peer netip.Addr) bool {
		a, err := limits.admit("ada", "right", peer)
		a.done()
		return err == nil
	}
	fail(manyFailures - 1)
	if !open(strange) {
		t.Error("a network is closed before 100 failures")
	}
	at = at.Add(provenFor - time.Minute)
	fail(1)
	if open(strange) || !open(home) {
		t.Error("after 100 failures only the owner's network stays open")
	}
	at = at.Add(2 * time.Minute)
	if open(home) {
		t.Error("a success of 30 days ago proves a network")
	}
	at = at.Add(maxDelay)
	if !open(strange) || !open(home) {
		t.Error("nobody is locked out for good")
	}
}

// other is the n-th of ever other networks.
func other(n int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)})
}

func flooded(t *testing.T, title string, proves bool, at *time.Time) *throttle {
	t.Helper()
	limits := newThrottle(title, func() time.Time { return *at }, []byte("key"), proves)
	for n := range maxCounts {
		a, err := limits.admit("flood "+strconv.Itoa(n), "wrong", netip.AddrFrom4([4]byte{10, byte(n / 100), byte(n / 25600), 1}))
		if err != nil {
			t.Fatal(err)
		}
		a.failed()
		a.done()
	}
	return limits
}

func TestSP7WhoFindsNoRoomIsDelayedAllTheSame(t *testing.T) {
	at := time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
	limits := flooded(t, "people", true, &at)
	peer, home := netip.MustParseAddr("203.0.113.1"), netip.MustParseAddr("192.0.2.1")
	login := func(name, password string, peer netip.Addr, right bool) error {
		a, err := limits.admit(name, password, peer)
		if err != nil {
			return err
		}
		defer a.done()
		if right {
			a.succeeded()
		} else {
			a.failed()
		}
		return nil
	}
	if len(limits.places) != maxCounts || len(limits.names) != maxCounts {
		t.Fatalf("%d places and %d names are counted", len(limits.places), len(limits.names))
	}
	t.Log("owners are remembered in the flood")
	if err := login("victim", "right", home, true); err != nil {
		t.Fatal(err)
	}
	passed := 0
	for n := range 100 {
		if login("victim", "guess "+strconv.Itoa(n), peer, false) == nil {
			passed++
		}
	}
	if passed != freeGuesses {
		t.Errorf("%d guesses passed at once, not %d", passed, freeGuesses)
	}
	at = at.Add(delay(freeGuesses))
	if err := login("victim", "guess later", peer, false); err != nil {
		t.Errorf("the wait does not end: %v", err)
	}
	if login("victim", "guess later still", peer, false) == nil {
		t.Error("the wait does not grow")
	}
	t.Log("from ever other networks")
	passed = 0
	for n := range 1000 {
		if login("victim", "guess from "+strconv.Itoa(n), netip.AddrFrom4([4]byte{172, 16, byte(n), byte(n >> 8)}), false) == nil {
			passed++
		}
	}
	if passed > manyFailures {
		t.Errorf("%d guesses from ever other networks passed", passed)
	}
	if err := login("victim", "right", home, true); err != nil {
		t.Errorf("the owner is kept out: %v", err)
	}
	at = at.Add(sharedDelay)
	if err := login("victim", "right", netip.MustParseAddr("198.51.100.1"), true); err != nil {
		t.Errorf("whoever comes from elsewhere waits longer than %s: %v", sharedDelay, err)
	}
	for _, name := range []string{"flood 0", "flood 99999"} {
		if c := limits.names[limits.digest("name", name)]; c == nil || c.failures != 1 {
			t.Errorf("the count of %s was pushed out", name)
		}
	}
}

func TestOwnersAreRememberedHoweverManyCome(t *testing.T) {
	at := time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
	limits := newThrottle("people", func() time.Time { return at }, []byte("key"), true)
	peer := netip.MustParseAddr("192.0.2.1")
	come := func(name string, peer netip.Addr) digest {
		a, err := limits.admit(name, "right", peer)
		if err != nil {
			t.Fatal(err)
		}
		a.succeeded()
		a.done()
		return a.where
	}
	for n := range maxOwners + 10 {
		if where := come("user"+strconv.Itoa(n), peer); !limits.proven(where, at) {
			t.Fatalf("owner %d is not remembered", n)
		}
	}
	for n := range 3 * maxHomes {
		at = at.Add(time.Minute)
		if where := come("traveller", other(n<<8)); !limits.proven(where, at) {
			t.Fatalf("network %d of an owner is not remembered", n)
		}
	}
	if homes := limits.homes[limits.digest("name", "traveller")]; len(homes) != maxHomes || len(limits.homes) > maxOwners {
		t.Errorf("%d networks of a name, %d names", len(homes), len(limits.homes))
	}
	if len(limits.owners) > maxOwners+maxHomes {
		t.Errorf("%d owners", len(limits.owners))
	}
}

func TestTheSameGuessAgainIsNotFreeForItsNetwork(t *testing.T) {
	at := time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
	limits := newThrottle("people", func() time.Time { return at }, []byte("key"), true)
	peer := netip.MustParseAddr("203.0.113.1")
	tried := 0
	for range 10 * networkBurst {
		a, err := limits.admit("ada", "the same mistake", peer)
		if err != nil {
			break
		}
		a.failed()
		a.done()
		tried++
	}
	if want := int((networkBurst-1)/repeatCost) + 1; tried < want-2 || tried > want+2 {
		t.Errorf("%d times the same guess passed, want about %d", tried, want)
	}
	if _, err := limits.admit("eve", "right", netip.MustParseAddr("198.51.100.1")); err != nil {
		t.Errorf("another network waits: %v", err)
	}
}

func TestOfGuessesSentTogetherOnePassesAtTheEndOfADelay(t *testing.T) {
	at := time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
	limits := newThrottle("people", func() time.Time { return at }, []byte("key"), true)
	peer := netip.MustParseAddr("203.0.113.1")
	together := func(n int, guess func(int) string) (passed []*attempt) {
		for i := range n {
			if a, err := limits.admit("ada", guess(i), peer); err == nil {
				passed = append(passed, a)
			}
		}
		return passed
	}
	distinct := func(i int) string { return at.String() + strconv.Itoa(i) }
	cold := together(50, distinct)
	if len(cold) != freeGuesses {
		t.Fatalf("%d guesses passed at first, not %d", len(cold), freeGuesses)
	}
	for _, a := range cold {
		a.failed()
		a.done()
	}
	at = at.Add(delay(freeGuesses))
	first := together(50, distinct)
	if len(first) != 1 {
		t.Fatalf("%d guesses passed when the delay ended", len(first))
	}
	first[0].done() // an error: nothing was told, and nothing stays reserved
	if again := together(50, distinct); len(again) != 1 {
		t.Fatalf("%d guesses passed after an error", len(again))
	} else {
		again[0].succeeded()
		again[0].done()
	}
	if right := together(50, func(int) string { return "right" }); len(right) != 50 {
		t.Errorf("of 50 logins of one person at once %d passed", len(right))
	} else {
		for _, a := range right {
			a.succeeded()
			a.done()
		}
	}
	if len(limits.flights) != 0 {
		t.Errorf("%d reservations are left", len(limits.flights))
	}
}

// Secrets that somebody chose can be guessed, and are hashed: those of machines are no exception.
func TestT25AColdBurstAtAChosenSecretIsNoLongerThanAnother(t *testing.T) {
	at := time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
	limits := newThrottle("machines", func() time.Time { return at }, []byte("key"), false)
	peer := netip.MustParseAddr("203.0.113.1")
	burst := func(prefix string) (passed []*attempt) {
		for n := range 50 {
			if a, err := limits.admit("one", prefix+strconv.Itoa(n), peer); err == nil {
				passed = append(passed, a)
			}
		}
		return passed
	}
	if made := burst(secretPrefix); len(made) != 50 || len(limits.flights) != 0 {
		t.Errorf("of 50 that cannot be guessed %d passed, and %d are counted", len(made), len(limits.flights))
	}
	chosen := burst("chosen ")
	if len(chosen) != freeGuesses {
		t.Errorf("%d guesses passed at once, not %d", len(chosen), freeGuesses)
	}
	for _, a := range chosen {
		a.done()
	}
	if len(limits.flights) != 0 {
		t.Errorf("%d reservations are left", len(limits.flights))
	}
}

// Who imports many users fills neither the memory nor the way to the store that failures take.
func TestManyNewNamesAreBoundedAndComeAfterFailures(t *testing.T) {
	at := time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
	limits := newThrottle("people", func() time.Time { return at }, []byte("key"), true)
	for n := range maxWelcomed + 100 {
		limits.welcome("new " + strconv.Itoa(n))
	}
	if len(limits.names) != maxWelcomed {
		t.Errorf("%d new names are remembered", len(limits.names))
	}
	a, err := limits.admit("ada", "wrong", netip.MustParseAddr("203.0.113.1"))
	if err != nil {
		t.Fatal(err)
	}
	a.failed()
	a.done()
	first := map[digest]bool{}
	for _, u := range limits.unwritten() {
		first[u.of] = true
	}
	if len(first) != mergeMost || !first[a.who] || !first[a.where] {
		t.Errorf("of %d that are written first the failure is none", len(first))
	}
}

// A name that begins anew for the second time while the first is being written down.
func TestSP9ANameThatBeginsAnewTwiceIsWrittenTwice(t *testing.T) {
	at := time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
	limits := newThrottle("people", func() time.Time { return at }, []byte("key"), true)
	limits.forget("ada")
	first := limits.unwritten()
	at = at.Add(time.Second)
	limits.forget("ada")
	limits.settle(&first[0], &storage.Guesses{Meta: storage.Meta{Version: 1}, ResetAt: first[0].resetAt})
	second := limits.unwritten()
	if len(second) != 1 || second[0].looks || !second[0].resetAt.Equal(at) {
		t.Errorf("the second time is not written down: %+v", second)
	}
}

// A place may find room where its name found none; it begins anew with the name all the same.
func TestSP9ANameThatFoundNoRoomBeginsAnewToo(t *testing.T) {
	at := time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
	limits := flooded(t, "people", true, &at)
	clear(limits.places)
	peer := netip.MustParseAddr("203.0.113.1")
	for n := range freeGuesses {
		a, err := limits.admit("victim", "guess "+strconv.Itoa(n), peer)
		if err != nil {
			t.Fatal(err)
		}
		a.failed()
		a.done()
	}
	if _, err := limits.admit("victim", "right", peer); err == nil {
		t.Fatal("nobody waits")
	}
	limits.forget("victim")
	a, err := limits.admit("victim", "right", peer)
	if err != nil {
		t.Errorf("the next of the name: %v", err)
	}
	a.done()
}

// S-P7: under a flood of names, each tried once, the count of somebody who is guessed at reaches the other nodes all the same.
func TestSP7WhoMustWaitIsWrittenFirst(t *testing.T) {
	at := time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
	limits := newThrottle("people", func() time.Time { return at }, []byte("key"), true)
	guess := func(name string, n int, from netip.Addr) *attempt {
		a, err := limits.admit(name, "wrong "+strconv.Itoa(n), from)
		if err != nil {
			t.Fatal(err)
		}
		a.failed()
		a.done()
		return a
	}
	for n := range 20 * mergeMost {
		guess("user"+strconv.Itoa(n), n, netip.AddrFrom4([4]byte{10, byte(n >> 8), byte(n), 1}))
	}
	var victim *attempt
	for n := range freeGuesses {
		victim = guess("victim", n, netip.MustParseAddr("192.0.2.1"))
	}
	for _, u := range limits.unwritten() {
		if u.of == victim.where {
			return
		}
	}
	t.Error("the count of who must wait stands behind those of the flood")
}
