package main_test

import (
	"net"
	"net/http"
	"testing"

	writ "github.com/writ-authz/writ/cmd/writ"
)

type line struct {
	net.Conn
	name   string
	closed bool
}

func (l *line) Close() error { l.closed = true; return nil }

func TestTheConnectionThatWasQuietForLongestGivesWay(t *testing.T) {
	changed, closed := writ.Connections(3)
	lines := map[string]*line{}
	to := func(name string, states ...http.ConnState) {
		if lines[name] == nil {
			lines[name] = &line{name: name}
		}
		for _, state := range states {
			changed(lines[name], state)
		}
	}
	want := func(when string, names ...string) {
		t.Helper()
		for _, name := range names {
			if !lines[name].closed {
				t.Errorf("%s is open %s", name, when)
			}
		}
		gone := 0
		for _, l := range lines {
			if l.closed {
				gone++
			}
		}
		if gone != len(names) || closed() != int64(len(names)) {
			t.Errorf("%d are closed and %d counted %s, want %d", gone, closed(), when, len(names))
		}
	}
	to("working", http.StateNew, http.StateActive)
	to("silent", http.StateNew)
	to("idle", http.StateNew, http.StateActive, http.StateIdle)
	want("while there is room")
	to("fourth", http.StateNew, http.StateActive)
	want("when one more came", "silent")
	to("silent", http.StateClosed)
	to("fifth", http.StateNew, http.StateActive)
	want("when the silent one was gone", "silent", "idle")
	to("idle", http.StateClosed)
	to("sixth", http.StateNew)
	want("when all work", "silent", "idle", "sixth")
	to("sixth", http.StateClosed)
	to("working", http.StateIdle, http.StateClosed)
	to("seventh", http.StateNew, http.StateActive, http.StateIdle)
	to("seventh", http.StateActive)
	want("when one ended by itself", "silent", "idle", "sixth")
	to("eighth", http.StateNew)
	want("when the idle one works again", "silent", "idle", "sixth", "eighth")
}

func TestConnectionsWithoutABound(t *testing.T) {
	changed, closed := writ.Connections(0)
	for range 1000 {
		changed(&line{}, http.StateNew)
	}
	if closed() != 0 {
		t.Errorf("%d are closed", closed())
	}
}
