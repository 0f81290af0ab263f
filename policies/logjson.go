package policies

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"

	"github.com/open-policy-agent/opa/v1/ast"
)

const (
	// maxRecalled bounds the texts that a parser recalls, and recalledBytes each of those that are objects.
	maxRecalled   = 1 << 16
	recalledBytes = 512
)

// errJSON says that a text is not of the JSON data model, or that a key stands twice in it.
var errJSON = errors.New("malformed JSON")

// inputParser reads inputs as jsonObject does, and recalls the terms of what it read before: names recur from line to line, and what a role
// gives recurs with everybody who has it. It is for one goroutine. Its texts must be UTF-8.
type inputParser struct {
	texts, objects map[string]*ast.Term
	b              []byte
	at, depth      int
}

// object reads a whole text, which must be an object.
func (p *inputParser) object(b []byte) (ast.Value, error) {
	if p.texts == nil || len(p.texts)+len(p.objects) > maxRecalled {
		p.texts, p.objects = map[string]*ast.Term{}, map[string]*ast.Term{}
	}
	p.b, p.at, p.depth = b, 0, 0
	p.space()
	if p.at == len(b) || b[p.at] != '{' {
		return nil, errJSON
	}
	term, err := p.value()
	if err != nil {
		return nil, err
	}
	if p.space(); p.at != len(b) {
		return nil, errJSON
	}
	return term.Value, nil
}

func (p *inputParser) space() {
	for p.at < len(p.b) && (p.b[p.at] == ' ' || p.b[p.at] == '\n' || p.b[p.at] == '\t' || p.b[p.at] == '\r') {
		p.at++
	}
}

// next passes over white space and takes c if it comes next.
func (p *inputParser) next(c byte) bool {
	p.space()
	if p.at < len(p.b) && p.b[p.at] == c {
		p.at++
		return true
	}
	return false
}

func (p *inputParser) value() (*ast.Term, error) {
	p.space()
	if p.at == len(p.b) {
		return nil, errJSON
	}
	switch c := p.b[p.at]; {
	case c == '{':
		return p.recalled()
	case c == '[':
		return p.array()
	case c == '"':
		return p.text()
	case c == '-' || c >= '0' && c <= '9':
		return p.number()
	}
	return p.word()
}

func (p *inputParser) word() (*ast.Term, error) {
	for _, w := range [...]struct {
		text string
		term *ast.Term
	}{{"true", key.yes}, {"false", key.no}, {"null", key.null}} {
		if bytes.HasPrefix(p.b[p.at:], []byte(w.text)) {
			p.at += len(w.text)
			return w.term, nil
		}
	}
	return nil, errJSON
}

// recalled is an object, which is read only where its text is long or new.
func (p *inputParser) recalled() (*ast.Term, error) {
	from := p.at
	text := p.b[from:min(len(p.b), from+recalledBytes)]
	n := valueEnd(text)
	if n == 0 {
		return p.members()
	}
	if term := p.objects[string(text[:n])]; term != nil {
		p.at += n
		return term, nil
	}
	term, err := p.members()
	if err != nil {
		return nil, err
	}
	settle(term.Value) // others will have it
	p.objects[string(p.b[from:p.at])] = term
	return term, nil
}

// valueEnd is where the value that b begins with ends, or 0 where b has no end of it. It looks at brackets and texts alone.
func valueEnd(b []byte) int {
	depth, inText := 0, false
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case inText:
			if c == '\\' {
				i++
			} else if c == '"' {
				if inText = false; depth == 0 {
					return i + 1
				}
			}
		case c == '"':
			inText = true
		case c == '{' || c == '[':
			depth++
		case c == '}' || c == ']':
			if depth--; depth <= 0 {
				return i + 1 + depth // a bracket too many ends what is before it
			}
		case c == ',' && depth == 0:
			return i
		}
	}
	return 0
}

func (p *inputParser) enter() error {
	p.at++
	if p.depth++; p.depth > maxJSONDepth {
		return fmt.Errorf("%w: more than %d levels", errJSON, maxJSONDepth)
	}
	return nil
}

func (p *inputParser) members() (*ast.Term, error) {
	if err := p.enter(); err != nil {
		return nil, err
	}
	defer func() { p.depth-- }()
	if p.next('}') {
		return key.object, nil
	}
	pairs := make([]pair, 0, 16)
	for {
		if p.space(); p.at == len(p.b) || p.b[p.at] != '"' {
			return nil, errJSON
		}
		name, err := p.text()
		if err != nil {
			return nil, err
		}
		if !p.next(':') {
			return nil, errJSON
		}
		value, err := p.value()
		if err != nil {
			return nil, err
		}
		pairs = append(pairs, pair{name, value})
		if p.next('}') {
			break
		}
		if !p.next(',') {
			return nil, errJSON
		}
	}
	o := ast.NewObject(pairs...)
	var last *ast.Term
	twice := false
	o.Foreach(func(name, _ *ast.Term) { // in order
		twice = twice || last != nil && last.Value.Compare(name.Value) == 0
		last = name
	})
	if twice {
		return nil, fmt.Errorf("%w: a key stands twice", errJSON)
	}
	return ast.NewTerm(o), nil
}

func (p *inputParser) array() (*ast.Term, error) {
	if err := p.enter(); err != nil {
		return nil, err
	}
	defer func() { p.depth-- }()
	if p.next(']') {
		return key.array, nil
	}
	var items []*ast.Term
	for {
		item, err := p.value()
		if err != nil {
			return nil, err
		}
		items = append(items, item)
		if p.next(']') {
			return ast.ArrayTerm(items...), nil
		}
		if !p.next(',') {
			return nil, errJSON
		}
	}
}

// text is a string, which begins here.
func (p *inputParser) text() (*ast.Term, error) {
	from, plain := p.at, true
	for p.at++; p.at < len(p.b); p.at++ {
		switch c := p.b[p.at]; {
		case c == '"':
			p.at++
			return p.named(p.b[from:p.at], plain)
		case c == '\\':
			plain = false
			p.at++
		case c < 0x20:
			return nil, errJSON
		}
	}
	p.at = len(p.b)
	return nil, errJSON
}

func (p *inputParser) named(quoted []byte, plain bool) (*ast.Term, error) {
	if term := p.texts[string(quoted)]; term != nil {
		return term, nil
	}
	s := string(quoted[1 : len(quoted)-1])
	if !plain {
		if err := json.Unmarshal(quoted, &s); err != nil {
			return nil, errJSON
		}
	}
	term := text(s)
	p.texts[string(quoted)] = term
	return term, nil
}

func (p *inputParser) number() (*ast.Term, error) {
	from := p.at
	for p.at < len(p.b) && bytes.IndexByte([]byte("+-.0123456789eE"), p.b[p.at]) >= 0 {
		p.at++
	}
	digits := p.b[from:p.at]
	if term := p.texts[string(digits)]; term != nil {
		return term, nil
	}
	f, err := strconv.ParseFloat(string(digits), 64)
	if err != nil || math.IsInf(f, 0) || len(digits) > 64 || !json.Valid(digits) {
		return nil, errJSON
	}
	term := ast.NewTerm(ast.Number(digits))
	p.texts[string(digits)] = term
	return term, nil
}

// eachMember hands the members of the object that is the whole text to take, unread. It returns false where that is no object, or where take
// fails.
func eachMember(b []byte, take func(name string, value []byte) error) bool {
	p := inputParser{b: b}
	if !p.next('{') {
		return false
	}
	if p.next('}') {
		return p.ended()
	}
	for {
		var name string
		quoted := p.unread()
		if len(quoted) == 0 || json.Unmarshal(quoted, &name) != nil || !p.next(':') {
			return false
		}
		value := p.unread()
		if len(value) == 0 || take(name, value) != nil {
			return false
		}
		if p.next('}') {
			return p.ended()
		}
		if !p.next(',') {
			return false
		}
	}
}

func (p *inputParser) ended() bool {
	p.space()
	return p.at == len(p.b)
}

// unread passes over a value.
func (p *inputParser) unread() []byte {
	p.space()
	n := valueEnd(p.b[p.at:])
	p.at += n
	return bytes.TrimRight(p.b[p.at-n:p.at], " \t\r\n")
}
