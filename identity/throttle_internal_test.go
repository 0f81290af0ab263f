package identity

import (
	"net/netip"
	"strconv"
	"testing"
	"time"
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
	}
	for n := range freeGuesses {
		a, err := limits.admit("victim", "wrong "+strconv.Itoa(n), peer)
		if err != nil {
			t.Fatal(err)
		}
		a.failed()
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
		}
	}
	open := func(peer netip.Addr) bool {
		_, err := limits.admit("ada", "right", peer)
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
