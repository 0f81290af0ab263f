package e2e

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A fault is what happens to one command on its way to the database, or to the reply on its way back.
type fault string

const (
	noFault     fault = ""
	cutCommand  fault = "cut before the command"    // the database never has it
	cutReply    fault = "cut before the reply"      // the database has done it
	resetReply  fault = "reset in the reply"        // half of the reply comes, then a reset
	lateCommand fault = "delay of the command"      //
	lateReply   fault = "delay of the reply"        //
	halfOpen    fault = "half-open"                 // the database has done it; the connection stays and is silent for good
	cutAll      fault = "cut of all connections"    // of the node at once; the command is not sent
	refusal     fault = "cut, and dialling refused" // so are the next connections, a few of them
)

// faultPlan says which commands meet which faults: the same seed gives the same faults at the same numbers of commands. Which command
// of which worker has a number is up to the scheduler.
type faultPlan struct {
	mu     sync.Mutex
	random *rand.Rand
	every  int // points between two faults, on average
	points int // until the next fault
	deck   []fault
	done   map[fault]int
	struck map[string]int // faults by command
}

func newFaultPlan(seed uint64, every int) *faultPlan {
	p := &faultPlan{random: rand.New(rand.NewPCG(seed, 0)), every: every, done: map[fault]int{}, struck: map[string]int{}}
	p.points = p.gap()
	return p
}

func (p *faultPlan) gap() int { return 1 + p.random.IntN(2*p.every) }

// shuffled is a deck of faults: one of each kind, and then more of those that leave in doubt what took place.
func (p *faultPlan) shuffled() []fault {
	kinds := []fault{cutCommand, cutReply, resetReply, lateCommand, lateReply, halfOpen, cutAll, refusal}
	more := []fault{cutCommand, cutReply, cutReply, resetReply, lateReply}
	for _, part := range [][]fault{kinds, more} {
		p.random.Shuffle(len(part), func(i, j int) { part[i], part[j] = part[j], part[i] })
	}
	return append(kinds, more...)
}

// weight makes faults meet what matters: commits are few and decide everything, and a handshake is no command of a node.
func weight(command string) int {
	switch command {
	case "commitTransaction":
		return 8
	case "insert", "update", "delete", "find":
		return 1
	}
	return 0
}

// next is the fault that this command meets, and how long a delay is.
func (p *faultPlan) next(command string) (fault, time.Duration) {
	points := weight(command)
	if points == 0 {
		return noFault, 0
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.points -= points; p.points > 0 {
		return noFault, 0
	}
	p.points = p.gap()
	if len(p.deck) == 0 {
		p.deck = p.shuffled()
	}
	f := p.deck[0]
	p.deck = p.deck[1:]
	delay := time.Duration(20+p.random.IntN(200)) * time.Millisecond
	p.done[f]++
	p.struck[command]++
	return f, delay
}

// count is how many faults there were.
func (p *faultPlan) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	total := 0
	for _, n := range p.done {
		total += n
	}
	return total
}

// told adds the faults by kind and by command to those of other plans.
func (p *faultPlan) told(kinds map[fault]int, commands map[string]int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for f, n := range p.done {
		kinds[f] += n
	}
	for c, n := range p.struck {
		commands[c] += n
	}
}

// counted writes numbers by name, in the order of the names.
func counted[K ~string](of map[K]int) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(of)) {
		parts = append(parts, fmt.Sprintf("%d %s", of[name], name))
	}
	return strings.Join(parts, ", ")
}

// A faultProxy stands between one node and the database. It passes whole messages of MongoDB's protocol, so that a fault falls in a
// place that has a name. Without a plan it changes nothing.
type faultProxy struct {
	address, target string
	plan            atomic.Pointer[faultPlan]
	rules           atomic.Pointer[[]faultRule]
	listener        net.Listener
	busy            sync.WaitGroup

	mu       sync.Mutex
	open     map[*passage]bool
	severed  bool // dialling is refused
	silent   bool // whatever is sent is swallowed, in both directions
	refusals int  // how many connections more are refused
}

// newFaultProxy listens until the test and everything that was registered after this ends.
func newFaultProxy(t *testing.T, target string) *faultProxy {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &faultProxy{address: l.Addr().String(), target: target, listener: l, open: map[*passage]bool{}}
	t.Cleanup(func() {
		l.Close()
		p.cutAll()
		p.busy.Wait()
	})
	p.busy.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			p.busy.Go(func() { p.pass(in) })
		}
	})
	return p
}

// anything is every collection, in a faultRule.
const anything = "*"

// faultRule is a fault that meets every command of a name on a collection; one that is about none, such as the end of a transaction, has "".
type faultRule struct {
	command, collection string
	fault               fault
}

// always makes faults meet all such commands, until it is called with other rules or none.
func (p *faultProxy) always(rules ...faultRule) { p.rules.Store(&rules) }

// decide is the fault that a message meets.
func (p *faultProxy) decide(message []byte) (fault, time.Duration) {
	command, collection := commandOf(message)
	if rules := p.rules.Load(); rules != nil {
		for _, rule := range *rules {
			if rule.command == command && (rule.collection == collection || rule.collection == anything) {
				return rule.fault, 0
			}
		}
	}
	if plan := p.plan.Load(); plan != nil {
		return plan.next(command)
	}
	return noFault, 0
}

// arm makes the faults of a plan begin; nil ends them.
func (p *faultProxy) arm(plan *faultPlan) { p.plan.Store(plan) }

// sever ends all connections and refuses new ones, as a firewall does that answers; silence swallows everything and answers nothing, as
// one does that drops. heal ends both.
func (p *faultProxy) sever() {
	p.mu.Lock()
	p.severed = true
	p.mu.Unlock()
	p.cutAll()
}

func (p *faultProxy) silence() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.silent = true
}

// heal ends what a silence swallowed the connections of, too: they would never answer again.
func (p *faultProxy) heal() {
	p.mu.Lock()
	was := p.silent
	p.severed, p.silent, p.refusals = false, false, 0
	p.mu.Unlock()
	if was {
		p.cutAll()
	}
}

func (p *faultProxy) cutAll() {
	p.mu.Lock()
	passages := slices.Collect(maps.Keys(p.open))
	p.mu.Unlock()
	for _, c := range passages {
		c.close()
	}
}

func (p *faultProxy) swallows() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.silent
}

// enter takes a connection in, or says that it is refused.
func (p *faultProxy) enter(c *passage) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.refusals > 0 {
		p.refusals--
		return false
	}
	if p.severed {
		return false
	}
	p.open[c] = true
	return true
}

func (p *faultProxy) leave(c *passage) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.open, c)
}

// passage is one connection of the node and the one to the database behind it.
type passage struct {
	proxy   *faultProxy
	in, out net.Conn
	closed  chan struct{}
	once    sync.Once
	dead    atomic.Bool // half-open: nothing comes through any more

	mu      sync.Mutex
	replies map[uint32]reaction // what happens to the reply to a request
}

type reaction struct {
	fault fault
	delay time.Duration
}

func (c *passage) close() {
	c.once.Do(func() {
		close(c.closed)
		c.in.Close()
		c.out.Close()
	})
}

// wait holds a message up, until the connection ends.
func (c *passage) wait(d time.Duration) {
	select {
	case <-time.After(d):
	case <-c.closed:
	}
}

func (p *faultProxy) pass(in net.Conn) {
	out, err := new(net.Dialer).DialContext(context.Background(), "tcp", p.target)
	if err != nil { // the database is away
		in.Close()
		return
	}
	c := &passage{proxy: p, in: in, out: out, closed: make(chan struct{}), replies: map[uint32]reaction{}}
	defer c.close()
	if !p.enter(c) {
		return
	}
	defer p.leave(c)
	p.busy.Go(func() { defer c.close(); c.back() })
	c.forth()
}

// forth passes commands.
func (c *passage) forth() {
	for {
		message, err := readMessage(c.in)
		if err != nil {
			return
		}
		if c.dead.Load() || c.proxy.swallows() {
			continue
		}
		switch f, delay := c.proxy.decide(message); f {
		case cutCommand:
			return
		case cutAll, refusal:
			if f == refusal {
				c.proxy.mu.Lock()
				c.proxy.refusals = 3
				c.proxy.mu.Unlock()
			}
			c.proxy.cutAll()
			return
		case lateCommand:
			c.wait(delay)
		case halfOpen:
			c.dead.Store(true)
		case noFault:
		default:
			c.mu.Lock()
			c.replies[binary.LittleEndian.Uint32(message[4:])] = reaction{f, delay}
			c.mu.Unlock()
		}
		if _, err := c.out.Write(message); err != nil {
			return
		}
	}
}

// back passes replies.
func (c *passage) back() {
	for {
		message, err := readMessage(c.out)
		if err != nil {
			if c.dead.Load() {
				<-c.closed // the node does not hear of it
			}
			return
		}
		if c.dead.Load() || c.proxy.swallows() {
			continue
		}
		to := binary.LittleEndian.Uint32(message[8:])
		c.mu.Lock()
		r := c.replies[to]
		delete(c.replies, to)
		c.mu.Unlock()
		switch r.fault {
		case cutReply:
			return
		case resetReply:
			_, _ = c.in.Write(message[:len(message)/2])
			_ = c.in.(*net.TCPConn).SetLinger(0) // closing sends a reset then
			return
		case lateReply:
			c.wait(r.delay)
		}
		if _, err := c.in.Write(message); err != nil {
			return
		}
	}
}

const (
	headerSize = 16
	opMsg      = 2013
)

// readMessage reads one message with its header (length, request, response to, opcode).
func readMessage(from io.Reader) ([]byte, error) {
	header := make([]byte, headerSize)
	if _, err := io.ReadFull(from, header); err != nil {
		return nil, err
	}
	size := binary.LittleEndian.Uint32(header)
	if size < headerSize || size > 64<<20 {
		return nil, errors.New("this is no message of MongoDB's protocol")
	}
	message := make([]byte, size)
	copy(message, header)
	_, err := io.ReadFull(from, message[headerSize:])
	return message, err
}

// commandOf is the name of a command and what it is about, a collection mostly: the first key and value of the first document, which stands
// behind the flags and the kind of the section.
func commandOf(message []byte) (command, about string) {
	const name, text = headerSize + 4 + 1 + 4 + 1, 0x02
	if len(message) <= name || binary.LittleEndian.Uint32(message[12:]) != opMsg || message[headerSize+4] != 0 {
		return "", ""
	}
	key, rest, found := bytes.Cut(message[name:], []byte{0})
	if !found {
		return "", ""
	}
	if message[name-1] == text && len(rest) > 4 {
		value, _, _ := bytes.Cut(rest[4:], []byte{0})
		about = string(value)
	}
	return string(key), about
}

// through is a database behind a proxy. The node is told to look for no other member of the replica set.
type through struct {
	database
	proxy *faultProxy
}

func (d through) uri(name string) string {
	u, err := url.Parse(d.database.uri(name))
	if err != nil {
		return ""
	}
	query := u.Query()
	query.Del("replicaSet")
	query.Set("directConnection", "true")
	u.Host, u.RawQuery = d.proxy.address, query.Encode()
	return u.String()
}

// behindProxies starts nodes on one database, each through a proxy of its own.
func behindProxies(t *testing.T, shares *cluster, n int, o Options) ([]*Server, []*faultProxy) {
	t.Helper()
	leftOut(t, suite.runner.Name() != "process", "the proxy is on this machine: E2E_RUNNER=process runs it")
	u, err := url.Parse(shares.db.local(shares.name))
	if err != nil {
		t.Fatal(err)
	}
	leftOut(t, u.Query().Get("tls") == "true" || u.Scheme != "mongodb", "the proxy reads what is sent: a connection string without TLS runs it")
	host, _, _ := strings.Cut(u.Host, ",")
	nodes, proxies := make([]*Server, n), make([]*faultProxy, n)
	for i := range n {
		proxies[i] = newFaultProxy(t, host)
	}
	var all sync.WaitGroup
	errs := make([]error, n)
	for i := range n {
		each := *shares
		each.db = through{shares.db, proxies[i]}
		with := o
		with.Among, with.Strict = &each, true
		all.Go(func() { nodes[i], errs[i] = suite.runner.Start(t.Context(), with) })
	}
	all.Wait()
	for i, s := range nodes {
		if errs[i] == nil {
			held(t, s)
		}
	}
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	return nodes, proxies
}
