//go:build linux

package main

import (
	"context"
	"encoding/json"
	"slices"
	"sync/atomic"
	"time"
)

// supply is access tokens that nobody has shown yet, for what can be done with a token once.
type supply struct {
	issue       load
	connections int
	tokens      []string
	next        atomic.Int64
}

// take is the next token, each once; false if there are no more.
func (s *supply) take() (string, bool) {
	n := int(s.next.Add(1) - 1)
	if n >= len(s.tokens) {
		return "", false
	}
	return s.tokens[n], true
}

// fill issues tokens until there are as many as wanted. Nothing may take one meanwhile.
func (s *supply) fill(ctx context.Context, wanted int) error {
	s.tokens = slices.Clone(s.tokens[min(int(s.next.Load()), len(s.tokens)):])
	s.next.Store(0)
	missing := int64(wanted - len(s.tokens))
	if missing <= 0 {
		return nil
	}
	issued := make([][]string, s.connections)
	l := s.issue
	l.script = func(connection, connections int) script {
		ask := s.issue.script(connection, connections)
		return func(last *reply) []byte {
			if token := member(last, "access_token"); token != "" {
				issued[connection] = append(issued[connection], token)
			}
			return ask(last)
		}
	}
	var asked atomic.Int64
	_, err := drive(ctx, &l, s.connections, time.Now(), func(*outcome) (due time.Time, more bool) {
		return time.Now(), asked.Add(1) <= missing
	})
	s.tokens = append(s.tokens, slices.Concat(issued...)...)
	return err
}

// member is a text in the JSON of a reply; empty if it is not there.
func member(r *reply, name string) string {
	if r == nil {
		return ""
	}
	var body map[string]any
	if json.Unmarshal(r.body, &body) != nil {
		return ""
	}
	value, _ := body[name].(string)
	return value
}
