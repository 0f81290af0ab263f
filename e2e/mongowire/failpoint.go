package main

import (
	"slices"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/bson"
)

// failPoint makes commands hang, as the fail point failCommand of a real server that has its test commands enabled.
type failPoint struct {
	mu       sync.Mutex
	commands []string
	hold     time.Duration
	off      chan struct{} // closed when it is switched off
}

func (f *failPoint) set(commands []string, hold time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.off != nil {
		close(f.off)
	}
	f.commands, f.hold, f.off = commands, hold, nil
	if len(commands) > 0 {
		f.off = make(chan struct{})
	}
}

// hang holds a command up that the fail point names.
func (c *call) hang() error {
	f := &c.server.failPoint
	f.mu.Lock()
	meets, hold, off := slices.Contains(f.commands, c.name), f.hold, f.off
	f.mu.Unlock()
	if !meets {
		return nil
	}
	if c.maxTime > 0 {
		hold = min(hold, c.maxTime)
	}
	select {
	case <-time.After(hold):
	case <-off:
		return nil
	case <-c.conn.gone:
		return errGone
	case <-c.server.stopping:
		return fail(codeShutdownInProgress, "the server is shutting down")
	}
	if hold == c.maxTime {
		return fail(codeMaxTimeMSExpired, "operation exceeded time limit")
	}
	return nil
}

// configureFailPoint knows failCommand with blockConnection, which is on until it is off.
func configureFailPoint(c *call) (bson.D, error) {
	a := &c.args
	if name := a.text(c.name); name != "failCommand" {
		a.failed(refuse("the fail point %q", name))
	}
	if c.db != "admin" {
		a.failed(fail(codeUnauthorized, "%s may only be run against the admin database.", c.name))
	}
	mode := a.text("mode")
	if mode == "off" && a.err == nil {
		c.server.failPoint.set(nil, 0)
		return nil, nil
	}
	data := args{where: "data", doc: a.document("data")}
	data.only("failCommands", "blockConnection", "blockTimeMS")
	list, _ := lookup(data.doc, "failCommands")
	names, _ := list.(bson.A)
	var commands []string
	for _, item := range names {
		name, _ := item.(string)
		if _, known := c.server.commands[name]; !known {
			data.failed(refuse("failing the command %v", item))
		}
		commands = append(commands, name)
	}
	hold := time.Duration(data.count("blockTimeMS", 0)) * time.Millisecond
	if mode != "alwaysOn" || len(commands) == 0 || hold == 0 || !data.flag("blockConnection", false) {
		data.failed(refuse("a fail point that does not hold commands up until it is off"))
	}
	a.failed(data.err)
	if a.err != nil {
		return nil, a.err
	}
	c.server.failPoint.set(commands, hold)
	return nil, nil
}
