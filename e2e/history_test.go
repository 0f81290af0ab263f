package e2e

import (
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"
)

// registerState is an object as its history has it: its version and what was written last.
type registerState struct {
	version int64
	value   string
}

// registerInput is one request about an object. A write of no value changes something else, and so tells the value; one at a version
// is a compare-and-swap; a look changes nothing.
type registerInput struct {
	look  bool
	at    int64 // the version in If-Match, or 0
	value string
}

// registerOutput is what came back: the object after it, a lost compare-and-swap, or nothing that says whether it took place.
type registerOutput struct {
	unknown, stale bool
	after          registerState
}

// register is the sequential object that a history must look like: a version that grows by one with each write, and a value.
func register(first registerState) porcupine.Model {
	return (&porcupine.NondeterministicModel{
		Init: func() []any { return []any{first} },
		Step: func(state, input, output any) []any {
			s, in, out := state.(registerState), input.(registerInput), output.(registerOutput)
			next := registerState{s.version + 1, in.value}
			if in.value == "" {
				next.value = s.value
			}
			applies := in.at == 0 || in.at == s.version
			switch {
			case in.look:
				next, applies = s, true
			case out.unknown && applies:
				return []any{s, next}
			case out.unknown:
				return []any{s}
			case out.stale && !applies:
				return []any{s}
			case out.stale:
				return nil
			}
			if applies && out.after == next {
				return []any{next}
			}
			return nil
		},
		DescribeOperation: func(input, output any) string { return fmt.Sprintf("%+v -> %+v", input, output) },
		DescribeState:     func(state any) string { return fmt.Sprintf("%+v", state) },
	}).ToModel()
}

// history is what was asked about one object, and when.
type history struct {
	id    string
	tag   string // what the object's ETags begin with
	first registerState

	mu         sync.Mutex
	operations []porcupine.Operation
	known      int64 // the highest version that somebody was told
	unknown    int
}

func newHistory(id string, first registerState) *history {
	return &history{id: id, first: first, known: first.version}
}

// version is one that was current a moment ago.
func (h *history) version() int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.known
}

// size is the number of operations.
func (h *history) size() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.operations)
}

// note adds an operation. One of unknown outcome may take place at any time after its call.
func (h *history) note(client int, called, returned time.Duration, in registerInput, out registerOutput) {
	h.mu.Lock()
	defer h.mu.Unlock()
	o := porcupine.Operation{ClientId: client, Input: in, Output: out, Call: int64(called), Return: int64(returned)}
	if out.unknown {
		o.Return = math.MaxInt64
		h.unknown++
	}
	h.operations = append(h.operations, o)
	h.known = max(h.known, out.after.version)
}

// judge says whether the history is one of a single object that does one thing at a time.
func (h *history) judge(within time.Duration) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch porcupine.CheckOperationsTimeout(register(h.first), slices.Clone(h.operations), within) {
	case porcupine.Ok:
		return nil
	case porcupine.Illegal:
		var told string
		for _, o := range h.operations {
			told += fmt.Sprintf("\n  %d..%d %+v -> %+v", o.Call, o.Return, o.Input, o.Output)
		}
		return fmt.Errorf("the history of %s, which began as %+v, is not linearizable:%s", h.id, h.first, told)
	}
	return fmt.Errorf("the history of %s could not be judged within %s", h.id, within)
}
