package policies

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"hash/fnv"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
)

// ErrLogFull says that the decision log is required and has no room for a line, or is closed.
var ErrLogFull = errors.New("decision log is full")

const (
	defaultQueue = 8192
	retryEvery   = 100 * time.Millisecond
	// gatherFor is how long a line may wait for others that are written with it: a write costs as much as a decision.
	gatherFor   = 2 * time.Millisecond
	maskedValue = "**MASKED**"
)

// LogConfig configures the decision log.
type LogConfig struct {
	// Writer takes whole lines. Nil: lines go nowhere and count as written.
	Writer io.Writer
	// Queue is how many lines may wait. Zero: 8192.
	Queue int
	// Required makes Reserve fail where a line would otherwise be dropped, and holds lines back while the writer fails.
	Required bool
	// Brief is the share of lines, from 0 to 1, that say only what was asked about and not the whole input. They cannot be replayed.
	// A question without an answer always has its whole input.
	Brief float64
	// Recent keeps the last lines as they were written. Nil: nobody does.
	Recent *Recent
	// Now stamps the lines.
	Now func() time.Time
}

// LogLine is what a line says.
type LogLine struct {
	// Decision as Decide returned it, also beside an error.
	Decision Decision
	// Reasons of a denial, where they were asked for; a permit's are in Decision.
	Reasons    []Reason
	Entrypoint Entrypoint
	RequestID  string
	ParentID   string // the request's decision id, for asked questions
	Route      string // the route template
	Err        error  // of Decide
}

// Log writes one JSON line per decision, in the background. It is safe for concurrent use.
type Log struct {
	config  LogConfig
	queue   chan entry
	room    atomic.Int64
	dropped atomic.Int64
	mu      sync.RWMutex // held for writing to close
	closed  bool
	done    chan struct{}
	// abandon ends the retries of a required log that is closed under a deadline.
	abandon chan struct{}
	once    sync.Once
	// torn says that a line was left without its end. It is run's own.
	torn bool
}

type entry struct {
	line LogLine
	time time.Time
}

// Slot is room for one line. Exactly one of Write and Release is to be called; whatever comes second does nothing.
type Slot struct {
	log  *Log
	none bool // there was no room: Write is a drop
	used atomic.Bool
}

// NewLog starts a log.
func NewLog(config LogConfig) *Log {
	if config.Queue <= 0 {
		config.Queue = defaultQueue
	}
	if config.Writer == nil {
		config.Writer = io.Discard
	}
	l := &Log{
		config: config, queue: make(chan entry, config.Queue), done: make(chan struct{}), abandon: make(chan struct{}),
	}
	l.room.Store(int64(config.Queue))
	go l.run()
	return l
}

// Reserve makes room for one line, before the work that the line is about. It fails with ErrLogFull only where the log is
// required.
func (l *Log) Reserve() (*Slot, error) {
	if l.room.Add(-1) >= 0 {
		return &Slot{log: l}, nil
	}
	l.room.Add(1)
	if l.config.Required {
		return nil, ErrLogFull
	}
	return &Slot{log: l, none: true}, nil
}

// Dropped counts the lines that were lost.
func (l *Log) Dropped() int64 { return l.dropped.Load() }

// Write hands the line over.
func (s *Slot) Write(line LogLine) {
	if s == nil || s.used.Swap(true) {
		return
	}
	l := s.log
	if s.none {
		l.dropped.Add(1)
		return
	}
	e := entry{line: line}
	if l.config.Now != nil {
		e.time = l.config.Now()
	}
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.closed {
		l.dropped.Add(1)
		return
	}
	l.queue <- e // never waits: the slot is room in it
}

// Release gives the room back unused.
func (s *Slot) Release() {
	if s != nil && !s.used.Swap(true) && !s.none {
		s.log.room.Add(1)
	}
}

// Close writes what waits and ends the log; further lines count as dropped. When ctx ends first, what still waits is lost,
// counted.
func (l *Log) Close(ctx context.Context) error {
	l.mu.Lock()
	if !l.closed {
		l.closed = true
		close(l.queue)
	}
	l.mu.Unlock()
	select {
	case <-l.done:
		return nil
	case <-ctx.Done():
		l.once.Do(func() { close(l.abandon) })
		<-l.done
		return ctx.Err()
	}
}

// run writes lines as they come, several at once where several come within a moment.
func (l *Log) run() {
	defer close(l.done)
	const batchBytes = 64 << 10
	buffer := make([]byte, 0, batchBytes)
	known := renderings{}
	lines, gathered := int64(0), false
	for e := range l.queue {
		from := len(buffer)
		buffer = e.append(buffer, &known, l.config.Brief)
		l.config.Recent.add(buffer[from:])
		lines++
		if len(l.queue) == 0 && !gathered {
			time.Sleep(gatherFor)
			gathered = true
		}
		if len(buffer) < batchBytes && len(l.queue) > 0 {
			continue
		}
		l.flush(buffer, lines)
		l.room.Add(lines)
		lines, gathered = 0, false
		if buffer = buffer[:0]; cap(buffer) > 16*batchBytes {
			buffer = make([]byte, 0, batchBytes)
		}
	}
}

// flush writes whole lines. A required log tries again until it can, so that the queue fills and Reserve refuses.
func (l *Log) flush(buffer []byte, lines int64) {
	if l.torn { // nothing may be glued to what was left of the line before
		if _, err := l.config.Writer.Write([]byte{'\n'}); err != nil {
			l.dropped.Add(lines)
			return
		}
		l.torn = false
	}
	for {
		n, err := l.config.Writer.Write(buffer)
		if err == nil {
			return
		}
		n = min(n, len(buffer))
		lines -= int64(bytes.Count(buffer[:n], []byte{'\n'}))
		if !l.config.Required {
			l.torn = n > 0 && buffer[n-1] != '\n'
			l.dropped.Add(lines)
			return
		}
		buffer = buffer[n:]
		retry := time.NewTimer(retryEvery)
		select {
		case <-retry.C:
		case <-l.abandon:
			retry.Stop()
			l.dropped.Add(lines)
			return
		}
	}
}

// append renders the line. The input is rendered here, in the background, from the very value that was evaluated; what the author's
// rules hide of it was worked out before the line was queued.
func (e *entry) append(b []byte, known *renderings, brief float64) []byte {
	d := &e.line.Decision
	b = append(b, `{"decision_id":`...)
	b = appendText(b, d.ID)
	b = appendField(b, "request_id", e.line.RequestID)
	if e.line.ParentID != "" {
		b = appendField(b, "parent_id", e.line.ParentID)
	}
	b = appendField(b, "time", e.time.UTC().Format(time.RFC3339Nano))
	b = appendField(b, "entrypoint", string(e.line.Entrypoint))
	b = appendField(b, "route", e.line.Route)
	b = e.appendInput(b, known, e.line.Err == nil && left(d.ID, brief))
	b = append(b, `,"allow":`...)
	b = strconv.AppendBool(b, d.Allow)
	reasons := e.line.Reasons
	if len(reasons) == 0 {
		reasons = d.Reasons
	}
	if reasons == nil {
		reasons = []Reason{}
	}
	b = append(b, `,"reasons":`...)
	b = appendJSON(b, reasons)
	b = append(b, `,"obligations":`...)
	b = appendJSON(b, d.Obligations)
	b = appendField(b, "policy_revision", d.PolicyRevision)
	b = appendField(b, "data_revision", d.DataRevision)
	if e.line.Err != nil {
		b = appendField(b, "error", told(e.line.Err))
	}
	return append(b, '}', '\n')
}

// appendInput appends the input and what of it is masked. Where the author's rules failed, all of it is.
func (e *entry) appendInput(b []byte, known *renderings, brief bool) []byte {
	d := &e.line.Decision
	b = append(b, `,"input":`...)
	switch {
	case d.input == nil:
		return append(b, "null"...)
	case d.masks.all != "":
		return appendField(append(b, `null,"masked":["/input"]`...), "mask_error", d.masks.all)
	}
	r := renderer{out: b, facts: d.facts, rendered: known, masks: &d.masks, brief: brief}
	if d.snapshot != nil {
		r.pointers = d.snapshot.masks
	}
	if len(d.masks.pointers) > 0 {
		r.pointers = slices.Concat(d.masks.pointers, r.pointers)
	}
	if slices.Contains(r.pointers, "/input") {
		return append(b, `null,"masked":["/input"]`...)
	}
	r.value(d.input, false)
	b = r.out
	if brief {
		b = append(b, `,"brief":true`...)
	}
	if len(r.masked) > 0 {
		b = append(b, `,"masked":`...)
		b = appendJSON(b, r.masked)
	}
	return b
}

// left says whether the input of a decision is left out of the share of lines that are brief. It depends on the id alone, so that all
// who have the id know.
func left(id string, share float64) bool {
	if share <= 0 {
		return false
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(id)) // it never fails
	return float64(h.Sum32()) < share*(1<<32)
}

func appendField(b []byte, name, value string) []byte {
	b = append(append(append(b, ',', '"'), name...), '"', ':')
	return appendText(b, value)
}

func appendJSON(b []byte, v any) []byte {
	text, err := json.Marshal(v)
	if err != nil { // claims and filters come from the engine's own JSON
		return append(b, "null"...)
	}
	return append(b, text...)
}

// appendText appends a JSON string, without an allocation for the usual ones.
func appendText(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c == '"' || c == '\\' || c >= 0x7f {
			return appendJSON(b, s)
		}
	}
	return append(append(append(b, '"'), s...), '"')
}

// renderer writes a value as JSON and masks what must not be read in a log: what the asker brought under a telling name or in the
// shape of a credential, and what the author names. It holds what it writes to: a line is rendered for every decision, and
// a buffer that closures capture would be allocated anew for every value.
type renderer struct {
	out      []byte
	pointers []string // the author's, of the settings and of the rules
	masks    *masks
	facts    [3]*Facts // known to stand in the value
	rendered *renderings
	path     []string
	masked   []string // pointers of what was replaced; a line is replayed only where the rules read none of it
	brief    bool     // only who, what and on what
}

// value renders v; inside says that it is part of what the asker brought.
func (r *renderer) value(v ast.Value, inside bool) {
	switch v := v.(type) {
	case ast.Null:
		r.out = append(r.out, "null"...)
	case ast.Boolean:
		r.out = strconv.AppendBool(r.out, bool(v))
	case ast.Number:
		r.out = append(r.out, v...)
	case ast.String:
		if inside && credential(string(v)) {
			r.mask(nil)
			return
		}
		r.out = appendText(r.out, string(v))
	case ast.Object:
		r.object(v, inside)
	default:
		r.array(v, inside)
	}
}

// mask renders what stands in place of a value: a value of the author's, or the text that says that there was one.
func (r *renderer) mask(instead ast.Value) {
	r.masked = append(r.masked, r.pointer())
	if instead == nil {
		r.out = appendText(r.out, maskedValue)
		return
	}
	pointers := r.pointers
	r.pointers = nil // the author's own text needs no mask of the author's
	r.value(instead, false)
	r.pointers = pointers
}

// hide renders the mask of the value at the path, if the author has one.
func (r *renderer) hide() bool {
	if len(r.pointers) == 0 || !slices.Contains(r.pointers, r.pointer()) {
		return false
	}
	r.mask(r.masks.values[r.pointer()])
	return true
}

// array renders arrays and sets; anything else is an empty one.
func (r *renderer) array(v ast.Value, inside bool) {
	r.out = append(r.out, '[')
	if n, each, ok := elements(v); ok && n > 0 {
		index := 0
		_ = each(func(item *ast.Term) error {
			if index > 0 {
				r.out = append(r.out, ',')
			}
			r.path = append(r.path, strconv.Itoa(index))
			if !r.hide() {
				r.value(item.Value, inside)
			}
			r.path = r.path[:len(r.path)-1]
			index++
			return nil
		})
	}
	r.out = append(r.out, ']')
}

func (r *renderer) object(v ast.Object, inside bool) {
	r.out = append(r.out, '{')
	v.Foreach(func(k, item *ast.Term) { r.member(k, item, inside) })
	if last := len(r.out) - 1; r.out[last] == ',' {
		r.out = r.out[:last]
	}
	r.out = append(r.out, '}')
}

// member renders one member and a comma. A key that is no string does not exist: the input comes from JSON.
func (r *renderer) member(k, item *ast.Term, inside bool) {
	name, ok := textOf(k)
	if !ok || r.brief && !r.needed(name) {
		return
	}
	r.out = append(appendText(r.out, name), ':')
	r.path = append(r.path, name)
	if rights := r.known(name, item); rights != nil {
		r.rights(rights)
	} else if inside && secretName(name) {
		r.mask(nil)
	} else if !r.hide() {
		r.value(item.Value, inside || r.asked())
	}
	r.path = r.path[:len(r.path)-1]
	r.out = append(r.out, ',')
}

// needed says whether a member stands in a brief line: who, what and on what.
func (r *renderer) needed(name string) bool {
	switch len(r.path) {
	case 0:
		return name == "subject" || name == "action" || name == "resource"
	case 1:
		return name == "type" || name == "id" || name == "name" || name == "tenant"
	}
	return true
}

// known returns the rights that a member is, if they are known to stand there and no pointer leads into them or above them.
func (r *renderer) known(name string, item *ast.Term) *Rights {
	if name != "grants" || len(r.path) > 3 {
		return nil
	}
	for _, f := range r.facts {
		if f == nil || f.rights.value.Load() != item {
			continue
		}
		if len(r.pointers) > 0 {
			here := r.pointer()
			if slices.ContainsFunc(r.pointers, func(p string) bool { return p == here || strings.HasPrefix(p, here+"/") }) {
				return nil
			}
		}
		return f.rights
	}
	return nil
}

// rights renders grants, {tenant: {resource: part}}, which are most of a line. The parts recur with everybody who has the role that they
// come from, while few have all of the same roles; so it is the parts whose texts are kept.
func (r *renderer) rights(rights *Rights) {
	r.members(rights.term().Value, func(resources *ast.Term) { r.members(resources.Value, r.part) })
}

// members renders an object whose members are rendered by each.
func (r *renderer) members(v ast.Value, each func(item *ast.Term)) {
	r.out = append(r.out, '{')
	if o, ok := v.(ast.Object); ok {
		o.Foreach(func(k, item *ast.Term) {
			name, _ := textOf(k)
			r.out = append(appendText(r.out, name), ':')
			each(item)
			r.out = append(r.out, ',')
		})
	}
	if last := len(r.out) - 1; r.out[last] == ',' {
		r.out = r.out[:last]
	}
	r.out = append(r.out, '}')
}

func (r *renderer) part(item *ast.Term) {
	text, ok := r.rendered.texts[item]
	if !ok {
		from := len(r.out)
		r.value(item.Value, false)
		r.rendered.add(item, r.out[from:])
		return
	}
	r.out = append(r.out, text...)
}

// maxRendered bounds the texts that are kept, in bytes.
const maxRendered = 8 << 20

// renderings are the texts of parts of rights that were rendered of late.
type renderings struct {
	texts map[*ast.Term][]byte
	bytes int
}

// add keeps a text. Where there is no room, what was kept makes it: what recurs comes again.
func (k *renderings) add(part *ast.Term, text []byte) {
	if k.texts == nil || k.bytes+len(text) > maxRendered {
		k.texts, k.bytes = map[*ast.Term][]byte{}, 0
	}
	if len(text) > maxRendered {
		return
	}
	k.texts[part] = slices.Clone(text)
	k.bytes += len(text)
}

// asked says whether the path leads to what the asker brought.
func (r *renderer) asked() bool {
	return len(r.path) == 1 && r.path[0] == "context" || len(r.path) == 2 && r.path[1] == "properties"
}

func (r *renderer) pointer() string {
	var b strings.Builder
	b.WriteString("/input")
	for _, part := range r.path {
		b.WriteByte('/')
		b.WriteString(escaped(part))
	}
	return b.String()
}

// escaped is a name as it stands in a JSON pointer (RFC 6901).
func escaped(name string) string {
	if !strings.ContainsAny(name, "~/") {
		return name
	}
	return pointerEscapes.Replace(name)
}

// Replacers are made once: the first use of one builds tables that are larger than a line of the log.
var (
	pointerEscapes = strings.NewReplacer("~", "~0", "/", "~1")
	separators     = strings.NewReplacer("-", "", "_", "", " ", "")
)

// secretName says whether a name tells of a credential.
func secretName(name string) bool {
	name = strings.ToLower(separators.Replace(name))
	for _, part := range []string{
		"password", "passwd", "passphrase", "secret", "token", "authorization", "cookie", "credential", "apikey", "privatekey",
		"assertion", "otp",
	} {
		if strings.Contains(name, part) {
			return true
		}
	}
	return false
}

// credential says whether a text has the shape of a token or a secret.
func credential(s string) bool {
	scheme, _, spaced := strings.Cut(s, " ")
	if strings.HasPrefix(s, "writ_") || spaced && (strings.EqualFold(scheme, "bearer") || strings.EqualFold(scheme, "basic")) {
		return true
	}
	return strings.HasPrefix(s, "eyJ") && strings.Count(s, ".") >= 2 // a JWT or JWE
}
