package main

import (
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/bson"
)

const sessionTimeout = 30 * time.Minute

// session serves one command at a time: whoever uses one holds busy.
type session struct {
	id   string
	busy sync.Mutex

	number      int64 // the highest txnNumber seen, -1 before the first
	outcome     *outcome
	transaction *transaction

	used time.Time // under the lock of sessions
}

// outcome is what a retryable write or a commit was answered, so that a retry gets the same.
type outcome struct {
	session  string
	number   int64
	command  string
	reply    bson.D
	sequence uint64 // what the first answer waited for
}

type sessions struct {
	mu   sync.Mutex
	byID map[string]*session
}

func (s *sessions) get(id string) *session {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := s.byID[id]
	if found == nil {
		found = &session{id: id, number: -1}
		s.byID[id] = found
	}
	found.used = time.Now()
	return found
}

func (s *sessions) remove(id string) *session {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := s.byID[id]
	delete(s.byID, id)
	return found
}

func (s *sessions) sweep(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, session := range s.byID {
		if now.Sub(session.used) > sessionTimeout {
			delete(s.byID, id)
		}
	}
}

// remember puts back what the log says that a session has done.
func (s *sessions) remember(o *outcome, at time.Time) {
	session := s.get(o.session)
	session.used = at
	session.number = o.number
	session.outcome, session.transaction = o, nil
	if o.command == "commitTransaction" {
		session.outcome, session.transaction = nil, &transaction{number: o.number, phase: committed}
	}
}

// outcomes returns what a snapshot of the log has to keep.
func (s *sessions) outcomes() []*outcome {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []*outcome
	for _, session := range s.byID {
		switch {
		case session.outcome != nil:
			all = append(all, session.outcome)
		case session.transaction != nil && session.transaction.phase == committed:
			all = append(all, &outcome{session: session.id, number: session.number, command: "commitTransaction"})
		}
	}
	return all
}

// endSession aborts the open transaction of a session and forgets the session, which may be the caller's own.
func (e *engine) endSession(id string, own *session) {
	s := e.sessions.remove(id)
	if s == nil {
		return
	}
	if s != own {
		s.busy.Lock()
		defer s.busy.Unlock()
	}
	e.abort(s.transaction)
}

// advance moves a session to a new txnNumber, which ends its open transaction. The session is busy with the caller.
func (e *engine) advance(s *session, number int64) {
	e.abort(s.transaction)
	s.number, s.outcome, s.transaction = number, nil, nil
}
