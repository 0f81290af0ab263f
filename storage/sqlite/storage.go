package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	_ "modernc.org/sqlite" // registers the driver "sqlite"

	"github.com/writ-authz/writ/storage"
)

const (
	databaseFile = "writ.db"
	lockFile     = "writ.lock"
	// busyTimeout covers the moments in which a checkpoint or a recovery excludes a reader.
	busyTimeout = "2000" // milliseconds
	cacheKiB    = "16384"
	minReaders  = 4
)

// Config says where the store lives.
type Config struct {
	// Dir is the data directory, made with mode 0700 if it is absent. It must be on a local file system.
	Dir string
	// Now is the clock for expiry and the times of records; it must be set.
	Now func() time.Time
	// Kinds are the collections to keep; nil is storage.Kinds().
	Kinds []storage.Kind
}

// Store is a storage.Store in one SQLite file.
type Store struct {
	dir     string
	version string
	now     func() time.Time
	lock    *os.File
	kinds   map[string]*collection
	// unique holds the numbers of the unique indexes; the other numbers are filters.
	unique map[int64]bool

	readers, writer *sql.DB
	read, write     statements
	// reading and writing hold a token for each connection in use: the one place where callers wait.
	reading, writing chan struct{}

	closing sync.Once
	closed  atomic.Bool
}

var _ storage.Store = (*Store)(nil)

// Open opens the store in cfg.Dir and locks the directory until Close. It is an error if another process has it open, or if
// a newer version of Writ wrote it.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	if cfg.Dir == "" || cfg.Now == nil {
		return nil, errors.New("open store: no directory or no clock given")
	}
	dir, err := filepath.Abs(cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("data directory %s: %w", cfg.Dir, err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make data directory: %w", err)
	}
	lock, err := lockDir(dir)
	if err != nil {
		return nil, err
	}
	readers := max(minReaders, runtime.GOMAXPROCS(0))
	s := &Store{
		dir: dir, now: cfg.Now, lock: lock,
		reading: make(chan struct{}, readers), writing: make(chan struct{}, 1),
	}
	kinds := cfg.Kinds
	if kinds == nil {
		kinds = storage.Kinds()
	}
	if err := s.open(ctx, kinds); err != nil {
		return nil, errors.Join(fmt.Errorf("open store in %s: %w", dir, err), s.release())
	}
	return s, nil
}

func (s *Store) open(ctx context.Context, kinds []storage.Kind) error {
	path := filepath.Join(s.dir, databaseFile)
	// Made here so that it and the files beside it, which take over its mode, are nobody else's to read.
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	if err := file.Close(); err != nil {
		return err
	}
	if s.writer, err = connect(path, 1, url.Values{"_txlock": {"immediate"}}); err != nil {
		return err
	}
	if err := s.prepareSchema(ctx, kinds); err != nil {
		return err
	}
	if s.readers, err = connect(path, cap(s.reading), url.Values{"_query_only": {"1"}}); err != nil {
		return err
	}
	if s.write, err = prepare(ctx, s.writer, writeStatements()...); err != nil {
		return err
	}
	if s.read, err = prepare(ctx, s.readers, readStatements()...); err != nil {
		return err
	}
	return s.writer.QueryRowContext(ctx, "SELECT sqlite_version()").Scan(&s.version)
}

func connect(path string, connections int, options url.Values) (*sql.DB, error) {
	options["_pragma"] = []string{
		"busy_timeout(" + busyTimeout + ")", "journal_mode(WAL)", "synchronous(FULL)", "temp_store(MEMORY)",
		"cache_size(-" + cacheKiB + ")",
	}
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Path: path, RawQuery: options.Encode()}).String())
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(connections)
	db.SetMaxIdleConns(connections)
	return db, nil
}

// acquire waits for one of slots. The caller must call release once it no longer uses a connection.
func (s *Store) acquire(ctx context.Context, slots chan struct{}) (release func(), err error) {
	if ctx.Err() != nil {
		return nil, ended(ctx)
	}
	select {
	case slots <- struct{}{}:
	case <-ctx.Done():
		return nil, ended(ctx)
	}
	if s.closed.Load() {
		<-slots
		return nil, errClosed
	}
	return func() { <-slots }, nil
}

// Ping implements storage.Store.
func (s *Store) Ping(ctx context.Context) error {
	_, err := s.Sequence(ctx)
	return err
}

// Describe implements storage.Store.
func (s *Store) Describe() string { return "SQLite " + s.version + " (embedded) in " + s.dir }

// Close waits for the calls under way, closes the file and unlocks the directory. Later calls return ErrUnavailable.
func (s *Store) Close() (err error) {
	s.closing.Do(func() {
		s.closed.Store(true)
		for _, slots := range []chan struct{}{s.writing, s.reading} {
			for range cap(slots) {
				slots <- struct{}{}
			}
			defer func() {
				for range cap(slots) {
					<-slots
				}
			}()
		}
		err = s.release()
	})
	return err
}

// release closes what open opened, readers first so that the writer's connection is the last and checkpoints the log.
func (s *Store) release() error {
	var errs []error
	for _, db := range []*sql.DB{s.readers, s.writer} {
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	return errors.Join(append(errs, s.lock.Close())...)
}
