package policies

import (
	"bytes"
	"io"
	"slices"
	"sync"
)

// Recent keeps the last lines of the decision log in memory, as they were written. It is one fixed block, so that it costs a copy
// per line and nothing to the garbage collector; a line is read only when somebody asks. It is safe for concurrent use; nil keeps
// nothing.
type Recent struct {
	mu    sync.Mutex
	block []byte
	lines []place // in order of their numbers, without gaps
	next  uint64  // number of the next line; the first is 1
	end   int     // where the next line goes
	large int64
}

// place is where a line stands in the block.
type place struct{ from, to int }

// Kept is a line with its number, which grows by one from line to line.
type Kept struct {
	Number uint64
	Line   []byte
}

// NewRecent makes room for so many bytes of lines.
func NewRecent(size int) *Recent { return &Recent{block: make([]byte, size), next: 1} }

// add keeps a line in place of the oldest ones. One that would push out more than a quarter of them is not kept.
func (r *Recent) add(line []byte) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(line) > len(r.block)/4 {
		r.large++
		return
	}
	if r.end+len(line) > len(r.block) {
		r.forget(place{r.end, len(r.block)})
		r.end = 0
	}
	at := place{r.end, r.end + len(line)}
	r.forget(at)
	copy(r.block[at.from:], line)
	r.lines = append(r.lines, at)
	r.end = at.to
	r.next++
}

// forget drops the oldest lines for as long as they stand in the way.
func (r *Recent) forget(way place) {
	n := 0
	for n < len(r.lines) && r.lines[n].from < way.to && way.from < r.lines[n].to {
		n++
	}
	if n == 0 {
		return
	}
	r.lines = r.lines[n:]
	if cap(r.lines) > 4*len(r.lines)+1024 {
		r.lines = slices.Clone(r.lines)
	}
}

// readAtOnce is how many lines are copied under one lock, so that whoever reads does not hold up who writes.
const readAtOnce = 64

// Before returns up to limit lines with numbers below a number, the newest first; 0 stands for all. None: there are no older ones.
func (r *Recent) Before(number uint64, limit int) []Kept {
	if r == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if number == 0 || number > r.next {
		number = r.next
	}
	first := r.next - uint64(len(r.lines))
	var found []Kept
	for number > first && len(found) < min(limit, readAtOnce) {
		number--
		found = append(found, Kept{number, r.copy(number - first)})
	}
	return found
}

func (r *Recent) copy(index uint64) []byte {
	at := r.lines[index]
	return bytes.Clone(r.block[at.from:at.to])
}

// Find returns the line of a decision.
func (r *Recent) Find(id string) ([]byte, bool) {
	begins := append(appendText([]byte(`{"decision_id":`), id), ',')
	for number := uint64(0); ; {
		kept := r.Before(number, readAtOnce)
		if len(kept) == 0 {
			return nil, false
		}
		for _, k := range kept {
			if bytes.HasPrefix(k.Line, begins) {
				return k.Line, true
			}
		}
		number = kept[len(kept)-1].Number
	}
}

// Records reads the lines that are kept, the oldest first, for Replay. Lines that come meanwhile are not read, and those that go are
// left out.
func (r *Recent) Records() func() (Record, error) {
	var from, to uint64
	if r != nil {
		r.mu.Lock()
		from, to = r.next-uint64(len(r.lines)), r.next
		r.mu.Unlock()
	}
	return func() (Record, error) {
		if from >= to {
			return Record{}, io.EOF
		}
		line, number := r.from(from)
		if line == nil || number >= to {
			return Record{}, io.EOF
		}
		from = number + 1
		return ReadRecord(line)
	}
}

// from returns the oldest line with at least this number.
func (r *Recent) from(number uint64) ([]byte, uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	first := r.next - uint64(len(r.lines))
	if number = max(number, first); number >= r.next {
		return nil, number
	}
	return r.copy(number - first), number
}
