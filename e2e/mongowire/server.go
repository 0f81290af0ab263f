package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"go.mongodb.org/mongo-driver/bson"
)

// server answers on one listener. Its first fields are fixed before it serves.
type server struct {
	engine      *engine
	commands    map[string]command
	setName     string // empty: standalone
	advertise   string
	wireVersion int32
	denied      map[string]bool
	authFail    bool
	delayCommit time.Duration
	report      io.Writer // complaints, one line each

	cursors   cursors
	failPoint failPoint
	stopping  chan struct{}
	requests  atomic.Int32

	mu    sync.Mutex
	conns map[*connection]struct{}
	busy  sync.WaitGroup
}

type connection struct {
	id     int32
	socket net.Conn
	gone   chan struct{} // closed when nothing more can be read
}

// serve accepts until stop.
func (s *server) serve(l net.Listener) error {
	s.busy.Go(s.sweep)
	for id := int32(1); ; id++ {
		socket, err := l.Accept()
		if err != nil {
			if closed(s.stopping) {
				return nil
			}
			return err
		}
		c := &connection{id: id, socket: socket, gone: make(chan struct{})}
		if !s.admit(c) {
			_ = socket.Close()
			return nil
		}
	}
}

func (s *server) admit(c *connection) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if closed(s.stopping) {
		return false
	}
	s.conns[c] = struct{}{}
	s.busy.Go(func() { s.converse(c) })
	return true
}

// stop ends all conversations and returns when they have ended.
func (s *server) stop(l net.Listener) {
	s.mu.Lock()
	close(s.stopping)
	_ = l.Close()
	for c := range s.conns {
		_ = c.socket.Close()
	}
	s.mu.Unlock()
	s.busy.Wait()
}

func (s *server) sweep() {
	ticker := time.NewTicker(min(time.Second, s.engine.lifetime/4+time.Millisecond))
	defer ticker.Stop()
	for {
		select {
		case <-s.stopping:
			return
		case now := <-ticker.C:
			s.engine.sweep(now)
			s.cursors.sweep(now)
		}
	}
}

// converse reads on one side, so that a client that leaves is noticed while its command waits, and answers on the other.
func (s *server) converse(c *connection) {
	messages := make(chan message)
	s.busy.Go(func() { s.listen(c, messages) })
	writer := bufio.NewWriter(c.socket)
	for m := range messages {
		reply := s.answer(c, m)
		if reply == nil {
			break
		}
		if _, err := writer.Write(reply); err != nil {
			break
		}
		if err := writer.Flush(); err != nil {
			break
		}
	}
	_ = c.socket.Close()
	for range messages { // lets listen end
	}
	s.mu.Lock()
	delete(s.conns, c)
	s.mu.Unlock()
}

func (s *server) listen(c *connection, messages chan<- message) {
	defer close(messages)
	defer close(c.gone)
	reader := bufio.NewReader(c.socket)
	for {
		m, err := readMessage(reader)
		if err != nil {
			if !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) {
				s.complain(c, err)
			}
			return
		}
		messages <- m
	}
}

func (s *server) complain(c *connection, err error) {
	_, _ = fmt.Fprintf(s.report, "connection %d from %s: %s\n", c.id, c.socket.RemoteAddr(), err)
}

// answer returns the bytes of a reply, or nil where the connection has to be closed.
func (s *server) answer(c *connection, m message) []byte {
	var (
		body bson.D
		more bool
		err  error
	)
	switch m.op {
	case opMsg:
		body, more, err = decodeMsg(m.body)
	case opQuery:
		body, err = decodeQuery(m.body)
	default:
		s.complain(c, fmt.Errorf("opcode %d is not offered", m.op))
		return nil
	}
	if more {
		s.complain(c, errors.New("a request without reply (moreToCome) is not offered"))
		return nil
	}
	var f *failure
	if err != nil && !errors.As(err, &f) {
		s.complain(c, err)
		return nil
	}
	var reply bson.D
	if err == nil {
		reply, err = s.run(c, body)
	}
	if err != nil && !errors.As(err, &f) {
		s.complain(c, err)
		return nil
	}
	if err != nil {
		reply = encodeFailure(f)
	} else {
		reply = append(reply[:len(reply):len(reply)], bson.E{Key: "ok", Value: float64(1)})
	}
	return encodeReply(m, s.requests.Add(1), reply)
}

func encodeFailure(f *failure) bson.D {
	doc := bson.D{
		{Key: "ok", Value: float64(0)},
		{Key: "errmsg", Value: f.message},
		{Key: "code", Value: f.code},
		{Key: "codeName", Value: codeName(f.code)},
	}
	doc = append(doc, f.details...)
	if len(f.labels) > 0 {
		labels := bson.A{}
		for _, label := range f.labels {
			labels = append(labels, label)
		}
		doc = append(doc, bson.E{Key: "errorLabels", Value: labels})
	}
	return doc
}

// run turns a panic, which would be a mistake here or in lungo, into an answer and a stack in the report.
func (s *server) run(c *connection, body bson.D) (reply bson.D, err error) {
	defer func() {
		if p := recover(); p != nil {
			s.complain(c, fmt.Errorf("panic in %s: %v\n%s", body[0].Key, p, debug.Stack()))
			reply, err = nil, fail(codeInternalError, "panic: %v", p)
		}
	}()
	return s.dispatch(c, body)
}
