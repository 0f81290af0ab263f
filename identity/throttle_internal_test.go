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
