// Package log stands in for a package of lib-commons; see commons.
package log

import "context"

// Level is how bad something is.
type Level int

// The levels that are used.
const (
	LevelError Level = iota
	LevelInfo
)

// Field is one attribute of a line.
type Field struct {
	Key   string
	Value any
}

// Logger writes lines.
type Logger interface {
	Log(ctx context.Context, level Level, message string, fields ...Field)
	With(fields ...Field) Logger
	WithGroup(name string) Logger
	Enabled(level Level) bool
	Sync(ctx context.Context) error
}

type nop struct{}

// NewNop returns a logger that writes nothing.
func NewNop() Logger { return nop{} }

func (nop) Log(context.Context, Level, string, ...Field) {}
func (n nop) With(...Field) Logger                       { return n }
func (n nop) WithGroup(string) Logger                    { return n }
func (nop) Enabled(Level) bool                           { return false }
func (nop) Sync(context.Context) error                   { return nil }
