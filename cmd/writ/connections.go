package main

import (
	"container/list"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
)

// connections bounds how many connections a listener has. When there are too many, the one that has been without a request for longest
// is closed, and if all of them have one, the newest. Those that say nothing thereby keep nobody out.
type connections struct {
	most   int           // 0: any number
	closed *atomic.Int64 // of all listeners

	mu    sync.Mutex
	open  int
	quiet *list.List // of net.Conn, without a request, the longest first
	at    map[net.Conn]*list.Element
}

func newConnections(most int, closed *atomic.Int64) *connections {
	return &connections{most: most, closed: closed, quiet: list.New(), at: map[net.Conn]*list.Element{}}
}

// changed is the ConnState of an http.Server.
func (c *connections) changed(conn net.Conn, state http.ConnState) {
	if c.most == 0 {
		return
	}
	if over := c.track(conn, state); over != nil {
		c.closed.Add(1)
		_ = over.Close() // whoever serves it finds out, and says that it is closed
	}
}

// track follows a connection, and returns the one that is to be closed, if there is one.
func (c *connections) track(conn net.Conn, state http.ConnState) (over net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if place := c.at[conn]; place != nil {
		c.quiet.Remove(place)
		delete(c.at, conn)
	}
	switch state {
	case http.StateNew:
		if c.open++; c.open > c.most {
			if longest := c.quiet.Front(); longest != nil {
				over = c.quiet.Remove(longest).(net.Conn)
				delete(c.at, over)
			} else {
				return conn
			}
		}
		fallthrough
	case http.StateIdle:
		c.at[conn] = c.quiet.PushBack(conn)
	case http.StateHijacked, http.StateClosed:
		c.open--
	case http.StateActive:
	}
	return over
}
