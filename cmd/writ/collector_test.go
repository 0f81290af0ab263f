package main_test

import (
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"testing"
	"time"

	writ "github.com/writ-authz/writ/cmd/writ"
)

func TestGarbageGetsRoomWhileCollectionsAreFrequentAndGivesItBack(t *testing.T) {
	const mebi = 1 << 20
	var room int64
	for _, step := range []struct {
		after time.Duration
		want  int64
	}{
		{time.Minute, 0}, // at rest
		{time.Millisecond, 16 * mebi},
		{time.Millisecond, 32 * mebi}, // busy
		{2 * time.Second, 32 * mebi},  // neither
		{0, 64 * mebi},
		{0, 100 * mebi},
		{0, 100 * mebi}, // the most there is
		{2 * time.Minute, 50 * mebi},
		{2 * time.Minute, 25 * mebi},
		{2 * time.Minute, 0}, // at rest again
	} {
		if room = writ.NextRoom(room, 100*mebi, step.after); room != step.want {
			t.Fatalf("%s after the last collection the room is %d MiB, want %d", step.after, room/mebi, step.want/mebi)
		}
	}
	for _, c := range []struct {
		room, live int64
		want       int
	}{
		{0, 50 * mebi, 100}, {256 * mebi, 64 * mebi, 400}, {256 * mebi, 1024 * mebi, 100}, {256 * mebi, 0, 10_000},
	} {
		if got := writ.PaceFor(c.room, c.live); got != c.want {
			t.Errorf("room %d beside %d MiB: got %d, want %d", c.room/mebi, c.live/mebi, got, c.want)
		}
	}
}

func TestRoomFitsWhatTheContainerMayHave(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	absent := filepath.Join(dir, "absent")
	for _, c := range []struct {
		files []string
		limit int64
		room  int64
	}{
		{[]string{absent}, 0, 256 << 20},
		{[]string{write("max", "max\n")}, 0, 256 << 20},
		{[]string{absent, write("old", "9223372036854771712\n")}, 0, 256 << 20},
		{[]string{write("small", "268435456\n")}, 256 << 20, 64 << 20},
		{[]string{write("large", "4294967296\n")}, 4 << 30, 256 << 20},
	} {
		limit := writ.MemoryLimit(c.files...)
		if room := writ.RoomWithin(limit); limit != c.limit || room != c.room {
			t.Errorf("%v: limit %d, room %d; want %d, %d", c.files, limit, room, c.limit, c.room)
		}
	}
}

// pace reads GOGC, which can only be read by setting it.
func pace() int {
	now := debug.SetGCPercent(100)
	debug.SetGCPercent(now)
	return now
}

func TestCollectionsArePacedUnlessTheEnvironmentPacesThem(t *testing.T) {
	defer debug.SetGCPercent(pace())
	stop := writ.PaceCollector(nil, time.Now)
	for deadline := time.Now().Add(patience); pace() <= 100; runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatal("many collections, and no room")
		}
		runtime.GC()
	}
	stop()
	if got := pace(); got != 100 {
		t.Fatalf("GOGC is %d afterwards", got)
	}
	debug.SetGCPercent(70)
	defer writ.PaceCollector([]string{"GOGC=70"}, time.Now)()
	for range 5 {
		runtime.GC()
	}
	if got := pace(); got != 70 {
		t.Fatalf("GOGC is %d, and the environment said 70", got)
	}
}
