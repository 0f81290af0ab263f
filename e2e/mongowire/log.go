package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/tidwall/btree"
	"go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/bson/primitive"
)

// The log is a header and then frames: length, CRC-32C, records. One frame is what one fsync covered, so a broken last frame was never
// acknowledged and is cut, and a broken frame before the last is damage. A record is one document: what one commit changed.
// The snapshot has the same form; its last record says that it is whole.
const (
	logHeader      = "mwlog\x00\x00\x01"
	snapshotHeader = "mwsnap\x00\x01"
	logName        = "log"
	snapshotName   = "snapshot"
)

// log writes behind the committers' back: what comes in while one fsync runs shares the next.
type log struct {
	file    stable
	lock    io.Closer // of the directory
	durable *atomic.Pointer[state]
	failed  func(error) // called once, when nothing more can be written

	mu      sync.Mutex
	arrived *sync.Cond // something to write, or the end
	moved   *sync.Cond // durable has moved, or the end
	pending []byte
	newest  *state
	closing bool
	err     error
	done    chan struct{}
}

// stable is a file that can be told to reach the disk.
type stable interface {
	io.WriteCloser
	Sync() error
}

var errLogClosed = errors.New("the log is closed")

func newLog(file stable, lock io.Closer, durable *atomic.Pointer[state], failed func(error)) *log {
	l := &log{file: file, lock: lock, durable: durable, failed: failed, done: make(chan struct{})}
	l.arrived, l.moved = sync.NewCond(&l.mu), sync.NewCond(&l.mu)
	return l
}

// append takes a record whose order the writer lock has given.
func (l *log) append(record []byte, next *state) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pending, l.newest = append(l.pending, record...), next
	l.arrived.Signal()
}

func (l *log) wait(sequence uint64) error {
	if l.durable.Load().sequence >= sequence {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.durable.Load().sequence < sequence {
		if l.err != nil {
			return l.err
		}
		l.moved.Wait()
	}
	return nil
}

func (l *log) run() {
	defer close(l.done)
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		for len(l.pending) == 0 && !l.closing {
			l.arrived.Wait()
		}
		if len(l.pending) == 0 {
			l.err = errLogClosed
			l.moved.Broadcast()
			return
		}
		records, newest := l.pending, l.newest
		l.pending = nil
		l.mu.Unlock()
		_, err := l.file.Write(frame(records))
		if err == nil {
			err = l.file.Sync()
		}
		l.mu.Lock()
		if err != nil {
			l.err = fmt.Errorf("write the log: %w", err)
			l.moved.Broadcast()
			l.failed(l.err)
			return
		}
		l.durable.Store(newest)
		l.moved.Broadcast()
	}
}

// close writes what is pending and lets the directory go.
func (l *log) close() error {
	l.mu.Lock()
	l.closing = true
	l.arrived.Signal()
	l.mu.Unlock()
	<-l.done
	return errors.Join(l.file.Close(), l.lock.Close())
}

func sum(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }

func frame(records []byte) []byte {
	dst := make([]byte, 8, 8+len(records))
	binary.LittleEndian.PutUint32(dst, uint32(len(records)))
	binary.LittleEndian.PutUint32(dst[4:], sum(records))
	return append(dst, records...)
}

// readFrames calls each for every record and returns the length of the whole part.
func readFrames(content []byte, header string, each func(bson.D) error) (whole int, err error) {
	if !bytes.HasPrefix(content, []byte(header)) {
		return 0, fmt.Errorf("does not begin with %q", header)
	}
	whole = len(header)
	for whole < len(content) {
		rest := content[whole:]
		if len(rest) < 8 || uint64(binary.LittleEndian.Uint32(rest)) > uint64(len(rest)-8) {
			return whole, nil // torn
		}
		length := int(binary.LittleEndian.Uint32(rest))
		records := rest[8 : 8+length]
		if sum(records) != binary.LittleEndian.Uint32(rest[4:]) {
			if 8+length == len(rest) {
				return whole, nil
			}
			return whole, fmt.Errorf("damaged at byte %d, before its end", whole)
		}
		for len(records) > 0 {
			piece, more, err := sized(records, 0, 5)
			if err != nil {
				return whole, fmt.Errorf("record at byte %d: %w", whole, err)
			}
			record, err := (&decoder{values: 1 << 40}).document(piece, -10) // deeper by the record around it
			if err == nil {
				err = each(record)
			}
			if err != nil {
				return whole, fmt.Errorf("record at byte %d: %w", whole, err)
			}
			records = more
		}
		whole += 8 + length
	}
	return whole, nil
}

func encodeRecord(s *state, ops []op, o *outcome) []byte {
	list := make(bson.A, 0, len(ops))
	for _, op := range ops {
		doc := bson.D{{Key: "k", Value: op.kind}, {Key: "c", Value: op.ns}}
		switch op.kind {
		case "put":
			doc = append(doc, bson.E{Key: "d", Value: bson.Raw(op.doc.raw)})
		case "remove":
			doc = append(doc, bson.E{Key: "d", Value: bson.D{{Key: "_id", Value: op.doc.id}}})
		case "index", "unindex":
			doc = append(doc, bson.E{Key: "d", Value: op.spec.document()})
		}
		list = append(list, doc)
	}
	record := bson.D{{Key: "q", Value: int64(s.sequence)}, {Key: "t", Value: s.time}, {Key: "o", Value: list}}
	if o != nil {
		record = append(record, bson.E{Key: "s", Value: encodeOutcome(o)})
	}
	return appendDocument(nil, record)
}

func encodeOutcome(o *outcome) bson.D {
	return bson.D{
		{Key: "i", Value: primitive.Binary{Data: []byte(o.session)}},
		{Key: "n", Value: o.number},
		{Key: "c", Value: o.command},
		{Key: "r", Value: o.reply},
	}
}

// text and its like read what encodeRecord has written; a frame's checksum has vouched for it.
func text(doc bson.D, key string) string { v, _ := lookup(doc, key); s, _ := v.(string); return s }

func number(doc bson.D, key string) int64 { v, _ := lookup(doc, key); n, _ := integer(v); return n }

func child(doc bson.D, key string) bson.D { v, _ := lookup(doc, key); d, _ := v.(bson.D); return d }

// replay applies a record to the newest state, unless that has it already.
func (e *engine) replay(record bson.D) error {
	sequence := uint64(number(record, "q"))
	value, _ := lookup(record, "t")
	at, ok := value.(primitive.Timestamp)
	if !ok {
		return errors.New("a record without a time")
	}
	if sequence <= e.head.sequence {
		return nil
	}
	d := e.edit(nil)
	list, _ := lookup(record, "o")
	changes, _ := list.(bson.A)
	for _, change := range changes {
		change, _ := change.(bson.D)
		if err := d.redo(change); err != nil {
			return err
		}
	}
	e.head = &state{sequence: sequence, time: at, collections: d.collections}
	if s := child(record, "s"); s != nil {
		e.sessions.remember(decodeOutcome(s), time.Unix(int64(at.T), 0))
	}
	return nil
}

func (d *edit) redo(change bson.D) error {
	o, doc := op{kind: text(change, "k"), ns: text(change, "c")}, child(change, "d")
	switch o.kind {
	case "put", "remove":
		o.doc = newDocument(doc)
	case "index", "unindex":
		_, unique := lookup(doc, "unique")
		o.spec = indexSpec{name: text(doc, "name"), key: child(doc, "key"), unique: unique}
	case "create", "drop":
	default:
		return fmt.Errorf("a change of kind %q", o.kind)
	}
	if o.kind != "create" && d.collection(o.ns) == nil {
		return fmt.Errorf("a change of %s, which is not there", o.ns)
	}
	return d.apply(o)
}

func decodeOutcome(s bson.D) *outcome {
	id, _ := lookup(s, "i")
	binary, _ := id.(primitive.Binary)
	return &outcome{session: string(binary.Data), number: number(s, "n"), command: text(s, "c"), reply: child(s, "r")}
}

// openLog reads a directory into the engine and goes on writing there. It says what it found in report.
func (e *engine) openLog(dir string, compactAt int64, report io.Writer, failed func(error)) (err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, lock.Close())
		}
	}()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return fmt.Errorf("another process uses %s: %w", dir, err)
	}
	if err := e.readSnapshot(filepath.Join(dir, snapshotName)); err != nil {
		return err
	}
	file, size, err := e.readLog(filepath.Join(dir, logName), report)
	if err != nil {
		return err
	}
	if size > compactAt {
		if err := e.compact(dir, file); err != nil {
			return errors.Join(err, file.Close())
		}
		_, _ = fmt.Fprintf(report, "log of %d bytes compacted\n", size)
	}
	_, _ = fmt.Fprintf(report, "data at sequence %d\n", e.head.sequence)
	e.durable.Store(e.head)
	e.log = newLog(file, lock, &e.durable, failed)
	go e.log.run()
	return nil
}

func (e *engine) readLog(name string, report io.Writer) (*os.File, int64, error) {
	file, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, 0, err
	}
	content, err := io.ReadAll(file)
	if err != nil {
		return nil, 0, errors.Join(err, file.Close())
	}
	whole := 0
	if len(content) >= len(logHeader) {
		if whole, err = readFrames(content, logHeader, e.replay); err != nil {
			return nil, 0, errors.Join(fmt.Errorf("%s: %w", name, err), file.Close())
		}
	}
	if cut := len(content) - whole; cut > 0 {
		_, _ = fmt.Fprintf(report, "log: cut a torn tail of %d bytes, never acknowledged\n", cut)
	}
	if err := file.Truncate(int64(whole)); err != nil {
		return nil, 0, errors.Join(err, file.Close())
	}
	_, err = file.Seek(int64(whole), io.SeekStart)
	if err == nil && whole == 0 {
		_, err = file.WriteString(logHeader)
	}
	if err == nil {
		err = errors.Join(file.Sync(), syncDirectory(filepath.Dir(name)))
	}
	if err != nil {
		return nil, 0, errors.Join(err, file.Close())
	}
	return file, int64(whole), nil
}

func (e *engine) readSnapshot(name string) error {
	content, err := os.ReadFile(name)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	d, end := e.edit(nil), bson.D(nil)
	_, err = readFrames(content, snapshotHeader, func(record bson.D) error {
		end = nil
		if s := child(record, "s"); s != nil {
			e.sessions.remember(decodeOutcome(s), time.Now())
			return nil
		}
		if _, isEnd := lookup(record, "q"); isEnd {
			end = record
			return nil
		}
		return d.redo(record)
	})
	if err == nil && end == nil {
		err = errors.New("has no end")
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	at, _ := lookup(end, "t")
	moment, _ := at.(primitive.Timestamp)
	e.head = &state{sequence: uint64(number(end, "q")), time: moment, collections: d.collections}
	return nil
}

// compact writes all that there is into a new snapshot and empties the log. A crash between the two is harmless: the log's records
// are older than the snapshot and are passed over.
func (e *engine) compact(dir string, file *os.File) error {
	temporary := filepath.Join(dir, snapshotName+".new")
	snapshot, err := os.OpenFile(temporary, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	err = errors.Join(e.writeSnapshot(snapshot), snapshot.Sync(), snapshot.Close())
	if err == nil {
		err = os.Rename(temporary, filepath.Join(dir, snapshotName))
	}
	if err == nil {
		err = syncDirectory(dir)
	}
	if err != nil {
		return fmt.Errorf("write a snapshot: %w", err)
	}
	if _, err := file.Seek(int64(len(logHeader)), io.SeekStart); err != nil {
		return err
	}
	return errors.Join(file.Truncate(int64(len(logHeader))), file.Sync())
}

func (e *engine) writeSnapshot(w io.Writer) error {
	var (
		records []byte
		failed  error
	)
	if _, err := io.WriteString(w, snapshotHeader); err != nil {
		return err
	}
	flush := func() bool {
		if len(records) > 0 {
			_, failed = w.Write(frame(records))
			records = records[:0]
		}
		return failed == nil
	}
	write := func(kind, ns string, doc any) bool {
		records = appendDocument(records, bson.D{{Key: "k", Value: kind}, {Key: "c", Value: ns}, {Key: "d", Value: doc}})
		return len(records) < 1<<20 || flush()
	}
	collections(e.head.collections, func(c *collection) bool {
		ok := write("create", c.ns, nil)
		for _, x := range c.indexes {
			ok = ok && write("index", c.ns, x.spec.document())
		}
		c.docs.Scan(func(d *document) bool {
			ok = ok && write("put", c.ns, bson.Raw(d.raw))
			return ok
		})
		return ok
	})
	for _, o := range e.sessions.outcomes() {
		records = appendDocument(records, bson.D{{Key: "s", Value: encodeOutcome(o)}})
	}
	records = appendDocument(records, bson.D{{Key: "q", Value: int64(e.head.sequence)}, {Key: "t", Value: e.head.time}})
	flush()
	return failed
}

func collections(m *btree.Map[string, *collection], visit func(*collection) bool) {
	m.Scan(func(_ string, c *collection) bool { return visit(c) })
}

func syncDirectory(name string) error {
	dir, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
