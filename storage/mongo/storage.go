package mongo

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/readconcern"
	"go.mongodb.org/mongo-driver/v2/mongo/readpref"
	"go.mongodb.org/mongo-driver/v2/mongo/writeconcern"
	"go.mongodb.org/mongo-driver/v2/x/mongo/driver/connstring"
	"go.mongodb.org/mongo-driver/v2/x/mongo/driver/topology"

	"github.com/writ-authz/writ/storage"
)

const (
	defaultDatabase = "writ"
	// selectWithin is how long a call waits for a primary before it is an outage; callTimeout bounds one that has found it.
	// Both give way to what the connection string says.
	selectWithin = 2 * time.Second
	callTimeout  = 5 * time.Second
	// startWithin is how long Open waits, unless it is told: an election alone may take twelve seconds with MongoDB's defaults
	// (https://www.mongodb.com/docs/manual/core/replica-set-elections/), and a node that gives up is started in vain until it is over.
	startWithin = 30 * time.Second
	// leastWire is the wire version of MongoDB 6.0, the oldest release whose snapshots and index limits the store counts on.
	leastWire = 17
)

// Config says where the store lives.
type Config struct {
	// URI is the connection string. Its database is the one that is used, "writ" where it names none. It is a secret.
	URI string
	// Now is the clock for expiry and the times of records; it must be set.
	Now func() time.Time
	// Kinds are the collections to keep; nil is storage.Kinds().
	Kinds []storage.Kind
	// StartWithin is how long Open waits for a primary, of servers that are just starting too or elect one; 0 is 30 seconds.
	StartWithin time.Duration
	// Waiting is told once, in words for whoever runs it, if Open has to wait; it may be nil.
	Waiting func(text string)
}

// Store is a storage.Store in one database of a replica set.
type Store struct {
	now       func() time.Time
	client    *mongo.Client
	database  *mongo.Database
	kinds     map[string]*collection
	authority *mongo.Collection
	changes   *mongo.Collection
	// declarations is what prepareSchema says of it, and holds the beat.
	declarations *mongo.Collection
	primary      *primary
	endings      *endings
	// described is what Describe returns; disconnect ends the client.
	described  string
	disconnect func() error

	closing sync.Once
	closed  atomic.Bool
}

var _ storage.Remote = (*Store)(nil)

// Open connects to the replica set and creates or asserts collections and indexes. It is an error if the server is not a member
// of a replica set, is too old, or does not let the user do what the store does; the error says what to change and holds no
// credentials.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	if cfg.URI == "" || cfg.Now == nil {
		return nil, errors.New("open store: no connection string or no clock given")
	}
	kinds := cfg.Kinds
	if kinds == nil {
		kinds = storage.Kinds()
	}
	parsed, err := connstring.ParseAndValidate(cfg.URI)
	if err != nil {
		return nil, errors.New("the connection string cannot be read: " + unparsed(cfg.URI, err))
	}
	seen := newPrimary()
	client, err := mongo.Connect(clientOptions(cfg.URI).SetServerMonitor(seen.monitor()))
	if err != nil {
		return nil, errors.New("the connection string cannot be used: " + unparsed(cfg.URI, err))
	}
	name := parsed.Database
	if name == "" {
		name = defaultDatabase
	}
	s := &Store{now: cfg.Now, client: client, database: client.Database(name), primary: seen, endings: newEndings(ctx)}
	s.authority, s.changes = s.database.Collection(authorityName), s.database.Collection(changesName)
	s.declarations = s.database.Collection(declarationsName)
	lasting := context.WithoutCancel(ctx)
	s.disconnect = func() error {
		ctx, cancel := context.WithTimeout(lasting, callTimeout)
		defer cancel()
		return client.Disconnect(ctx)
	}
	hosts := strings.Join(parsed.Hosts, ",")
	patience := cmp.Or(cfg.StartWithin, startWithin)
	wait := sync.OnceFunc(func() {
		if cfg.Waiting != nil {
			cfg.Waiting(fmt.Sprintf("no primary of MongoDB at %s answers yet; waiting for one up to %s", hosts, patience))
		}
	})
	if err := s.open(ctx, kinds, patience, wait); err != nil {
		return nil, errors.Join(fmt.Errorf("open MongoDB at %s: %w", hosts, err), s.disconnect())
	}
	return s, nil
}

// clientOptions are those of the connection string with everything fixed that the contract stands on.
func clientOptions(uri string) *options.ClientOptions {
	o := options.Client().ApplyURI(uri)
	if o.ServerSelectionTimeout == nil {
		o.SetServerSelectionTimeout(selectWithin)
	}
	if o.ConnectTimeout == nil {
		o.SetConnectTimeout(selectWithin)
	}
	if o.Timeout == nil {
		o.SetTimeout(callTimeout)
	}
	if o.AppName == nil {
		o.SetAppName("writ")
	}
	journal := true
	return o.
		SetServerAPIOptions(options.ServerAPI(options.ServerAPIVersion1).SetStrict(true).SetDeprecationErrors(true)).
		SetWriteConcern(&writeconcern.WriteConcern{W: "majority", Journal: &journal}).
		SetReadConcern(readconcern.Majority()).
		SetReadPreference(readpref.Primary()).
		SetRetryWrites(true).
		SetRetryReads(true)
}

func (s *Store) open(ctx context.Context, kinds []storage.Kind, patience time.Duration, wait func()) error {
	if err := s.greet(ctx, patience, wait); err != nil {
		return err
	}
	return s.prepareSchema(ctx, kinds)
}

// greet asks the server what it is. It calls wait whenever it goes on waiting for one that is not up yet.
func (s *Store) greet(ctx context.Context, patience time.Duration, wait func()) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var hello struct {
		SetName string `bson:"setName"`
		Message string `bson:"msg"`
		MaxWire int    `bson:"maxWireVersion"`
	}
	for {
		err := s.client.Database("admin").RunCommand(ctx, bson.D{{Key: "hello", Value: 1}}).Decode(&hello)
		if err == nil {
			break
		}
		if waiting := new(topology.ServerSelectionError); !errors.As(err, waiting) || ctx.Err() != nil {
			return unreachable(err, patience)
		}
		wait()
	}
	switch {
	case hello.Message == "isdbgrid":
		return errors.New("this is a router of a sharded cluster; connect to a replica set")
	case hello.SetName == "":
		return errors.New("this server is not a member of a replica set, so it has no transactions; start it with --replSet and run " +
			"rs.initiate() once")
	case hello.MaxWire < leastWire:
		return fmt.Errorf("this server speaks wire version %d; MongoDB 6.0 (wire version %d) or later is needed", hello.MaxWire,
			leastWire)
	}
	s.described = fmt.Sprintf("MongoDB (replica set %s, wire version %d), database %s", hello.SetName, hello.MaxWire,
		s.database.Name())
	return nil
}

// ready refuses a call on a closed store or with a context that is done.
func (s *Store) ready(ctx context.Context) error {
	switch {
	case ctx.Err() != nil:
		return ended(ctx)
	case s.closed.Load():
		return errClosed
	}
	return nil
}

// Ping implements storage.Store. It asks the server, which also makes the driver look for one, and does not wait for a primary as long as
// other calls do.
func (s *Store) Ping(ctx context.Context) error {
	return s.unlessUnled(ctx, func(ctx context.Context) error { _, err := s.Sequence(ctx); return err })
}

// Beat implements storage.Remote. It gives up as soon as Ping does.
func (s *Store) Beat(ctx context.Context) error {
	return s.unlessUnled(ctx, func(ctx context.Context) error {
		if err := s.ready(ctx); err != nil {
			return err
		}
		// Another value each time: what changes nothing is not waited for.
		beat := bson.D{{Key: "_id", Value: beatID}, {Key: "at", Value: bson.NewObjectID().Hex()}}
		result, err := s.declarations.ReplaceOne(ctx, beat[:1], beat)
		if err == nil && result.MatchedCount == 0 {
			_, err = s.declarations.InsertOne(ctx, beat)
		}
		if err != nil && !mongo.IsDuplicateKeyError(err) {
			return failed(ctx, err)
		}
		return nil
	})
}

// unlessUnled runs a call that ends where no primary is known for a while.
func (s *Store) unlessUnled(ctx context.Context, call func(ctx context.Context) error) error {
	within, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		if !s.primary.await(within) {
			cancel(errNoPrimary)
		}
	}()
	err := call(within)
	if err != nil && ctx.Err() == nil && errors.Is(context.Cause(within), errNoPrimary) {
		return errNoPrimary
	}
	return err
}

// Describe implements storage.Store.
func (s *Store) Describe() string { return s.described }

// Close ends all connections. Later calls return ErrUnavailable.
func (s *Store) Close() (err error) {
	s.closing.Do(func() {
		s.closed.Store(true)
		s.endings.close()
		err = s.disconnect()
	})
	return err
}
