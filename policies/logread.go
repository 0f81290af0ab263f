package policies

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"
	"unicode/utf8"
)

// maxLine bounds a line of the decision log, in bytes. Ours stay far below it: what an asker brings is bounded.
const maxLine = 8 << 20

// Record is a line of the decision log.
type Record struct {
	DecisionID string     `json:"decision_id"`
	RequestID  string     `json:"request_id"`
	ParentID   string     `json:"parent_id,omitempty"`
	Time       time.Time  `json:"time"`
	Entrypoint Entrypoint `json:"entrypoint"`
	Route      string     `json:"route"`
	// Input is what was evaluated, after masking; null where all of it is masked, or where the question was bad in itself.
	Input json.RawMessage `json:"input" schema:"null"`
	// Brief says that the input has only who, what and on what.
	Brief bool `json:"brief,omitempty"`
	// Masked are the JSON pointers of what is hidden. MaskError says why all is: the author's rules failed.
	Masked      []string        `json:"masked,omitempty"`
	MaskError   string          `json:"mask_error,omitempty"`
	Allow       bool            `json:"allow"`
	Reasons     []Reason        `json:"reasons"`
	Obligations json.RawMessage `json:"obligations"`

	PolicyRevision string `json:"policy_revision"`
	DataRevision   string `json:"data_revision"`
	// Error says why there is no decision.
	Error string `json:"error,omitempty"`
}

// LineError is a line that is none of a decision log. What comes after it can be read.
type LineError struct {
	Line int // 0 where lines are not counted
	// What is fixed text, and repeats nothing of the line.
	What string
}

func (e *LineError) Error() string {
	if e.Line == 0 {
		return e.What
	}
	return fmt.Sprintf("line %d: %s", e.Line, e.What)
}

// The ways in which a line can be none.
const (
	lineTooLong  = "longer than a line of the decision log can be"
	lineNoUTF8   = "not UTF-8"
	lineNoJSON   = "not one JSON object of the right types"
	lineCutOff   = "cut off"
	lineNoRecord = "no line of a decision log: it lacks decision_id, entrypoint, allow or the revisions"
)

// ReadRecord reads one line, which it keeps no part of. An error is a *LineError. The input is read no further than to where it ends.
func ReadRecord(line []byte) (Record, error) {
	if !utf8.Valid(line) {
		return Record{}, &LineError{What: lineNoUTF8}
	}
	var rec Record
	var allow *bool
	var seen []string
	if !eachMember(line, func(name string, value []byte) error {
		field := rec.field(name)
		switch {
		case slices.Contains(seen, name):
			return errJSON
		case name == "input":
			rec.Input = bytes.Clone(value)
		case name == "allow":
			field = &allow
		}
		if seen = append(seen, name); field == nil {
			return nil
		}
		return json.Unmarshal(value, field)
	}) {
		return Record{}, &LineError{What: lineNoJSON}
	}
	if allow == nil || rec.DecisionID == "" || rec.Entrypoint == "" || rec.PolicyRevision == "" || rec.DataRevision == "" {
		return Record{}, &LineError{What: lineNoRecord}
	}
	if rec.Allow = *allow; rec.Allow && rec.Error != "" {
		return Record{}, &LineError{What: lineNoRecord} // what is beside an error permits nothing
	}
	if rec.Reasons == nil {
		rec.Reasons = []Reason{}
	}
	return rec, nil
}

// field is where a member goes; nil for one that is not known, as of a later version.
func (r *Record) field(name string) any {
	switch name {
	case "decision_id":
		return &r.DecisionID
	case "request_id":
		return &r.RequestID
	case "parent_id":
		return &r.ParentID
	case "time":
		return &r.Time
	case "entrypoint":
		return &r.Entrypoint
	case "route":
		return &r.Route
	case "brief":
		return &r.Brief
	case "masked":
		return &r.Masked
	case "mask_error":
		return &r.MaskError
	case "reasons":
		return &r.Reasons
	case "obligations":
		return &r.Obligations
	case "policy_revision":
		return &r.PolicyRevision
	case "data_revision":
		return &r.DataRevision
	case "error":
		return &r.Error
	}
	return nil
}

// LogReader reads a decision log.
type LogReader struct {
	in   *bufio.Reader
	line int
	kept []byte
}

// NewLogReader reads from in.
func NewLogReader(in io.Reader) *LogReader { return &LogReader{in: bufio.NewReaderSize(in, 64<<10)} }

// Next returns the next line, io.EOF after the last. After a *LineError it can be called again; empty lines are passed over.
func (l *LogReader) Next() (Record, error) {
	for {
		line, err := l.read()
		switch {
		case errors.Is(err, bufio.ErrTooLong):
			return Record{}, &LineError{Line: l.line, What: lineTooLong}
		case err != nil && !errors.Is(err, io.EOF):
			return Record{}, fmt.Errorf("decision log: %w", err)
		case err != nil && len(line) == 0:
			return Record{}, io.EOF
		}
		text := bytes.TrimSpace(line)
		if len(text) == 0 {
			continue
		}
		rec, bad := ReadRecord(text)
		if wrong := (*LineError)(nil); errors.As(bad, &wrong) {
			wrong.Line = l.line
			if err != nil && wrong.What == lineNoJSON {
				wrong.What = lineCutOff // a last line without an end: the writer was stopped
			}
			return Record{}, wrong
		}
		return rec, nil
	}
}

// read returns a line with its end. One that is too long is passed over.
func (l *LogReader) read() ([]byte, error) {
	l.kept = l.kept[:0]
	l.line++
	tooLong := false
	for {
		part, err := l.in.ReadSlice('\n')
		if tooLong = tooLong || len(l.kept)+len(part) > maxLine; !tooLong {
			if err == nil && len(l.kept) == 0 {
				return part, nil
			}
			l.kept = append(l.kept, part...)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
		case tooLong && (err == nil || errors.Is(err, io.EOF)):
			return nil, bufio.ErrTooLong
		default:
			return l.kept, err
		}
	}
}
