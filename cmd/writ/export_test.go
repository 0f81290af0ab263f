package main

import (
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/spf13/cobra"
)

// Run is run, for the tests of this package, which see the program as the shell does.
var Run = run

// Commands is the tree of commands.
func Commands() *cobra.Command { return (&cli{}).root() }

// Frame puts what every listener has around a handler.
func Frame(next http.Handler, logger *slog.Logger, now func() time.Time) http.Handler {
	return &frame{listener: "public", next: next, logger: logger, metrics: newMetrics(), now: now}
}

// OpenBreached opens a file of leaked passwords, and Breached is one that is open.
var OpenBreached = openBreached

func Breached(file io.ReaderAt, size int64) *breachedFile {
	return &breachedFile{file: file, size: size}
}

// The pace of the collector.
var (
	NextRoom      = nextRoom
	PaceFor       = paceFor
	MemoryLimit   = memoryLimit
	RoomWithin    = roomWithin
	PaceCollector = paceCollector
)
