package main

import (
	"errors"
	"slices"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/bson/primitive"
)

// command is one row of what the stand-in knows.
type command struct {
	run        func(*call) (bson.D, error)
	fields     []string // besides its own name and what every command may carry
	unstable   bool     // outside Stable API v1
	collection bool     // its own value is the name of a collection
	admin      bool     // on the database admin only
	inside     bool     // allowed in a transaction
	reads      bool     // takes a readConcern
	writes     bool     // takes a writeConcern
	retryable  bool     // may carry a txnNumber outside a transaction
}

func commands() map[string]command {
	return map[string]command{
		"hello":     {run: hello, fields: helloFields()},
		"isMaster":  {run: hello, fields: helloFields(), unstable: true},
		"ismaster":  {run: hello, fields: helloFields(), unstable: true},
		"ping":      {run: func(*call) (bson.D, error) { return nil, nil }},
		"buildInfo": {run: buildInfo, unstable: true},
		"saslStart": {run: saslStart, fields: []string{"mechanism", "payload", "options", "autoAuthorize"}},

		"find": {
			run: findCommand, collection: true, inside: true, reads: true,
			fields: []string{"filter", "sort", "projection", "skip", "limit", "batchSize", "singleBatch"},
		},
		"getMore":     {run: getMore, inside: true, fields: []string{"collection", "batchSize", "readConcern"}},
		"killCursors": {run: killCursors, inside: true, collection: true, fields: []string{"cursors", "readConcern"}},

		"insert": {run: insert, collection: true, inside: true, writes: true, retryable: true, fields: []string{"documents", "ordered"}},
		"update": {run: update, collection: true, inside: true, writes: true, retryable: true, fields: []string{"updates", "ordered"}},
		"delete": {run: remove, collection: true, inside: true, writes: true, retryable: true, fields: []string{"deletes", "ordered"}},
		"findAndModify": {
			run: findAndModify, collection: true, inside: true, writes: true, retryable: true,
			fields: []string{"query", "sort", "remove", "update", "new", "fields", "upsert"},
		},

		"commitTransaction": {run: commitTransaction, admin: true, inside: true, writes: true},
		"abortTransaction":  {run: abortTransaction, admin: true, inside: true, writes: true},
		"endSessions":       {run: endSessions},

		"configureFailPoint": {run: configureFailPoint, unstable: true, fields: []string{"mode", "data"}},

		"create":          {run: create, collection: true, writes: true},
		"drop":            {run: drop, collection: true, writes: true},
		"dropDatabase":    {run: dropDatabase, writes: true},
		"listCollections": {run: listCollections, fields: []string{"filter", "nameOnly", "authorizedCollections", "cursor"}},
		"createIndexes":   {run: createIndexes, collection: true, writes: true, fields: []string{"indexes"}},
		"dropIndexes":     {run: dropIndexes, collection: true, writes: true, fields: []string{"index"}},
		"listIndexes":     {run: listIndexes, collection: true, fields: []string{"cursor"}},
	}
}

// outsideStableAPI are commands of a real server that Stable API v1 leaves out; in strict mode they are refused as there, else as unknown.
func outsideStableAPI(name string) bool {
	return slices.Contains([]string{
		"applyOps", "cloneCollectionAsCapped", "collStats", "compact", "connectionStatus", "convertToCapped", "createRole", "createUser",
		"currentOp", "dataSize", "dbHash", "dbStats", "distinct", "dropUser", "filemd5", "fsync", "fsyncUnlock", "getCmdLineOpts",
		"getLog", "getParameter", "hostInfo", "invalidateUserCache", "killAllSessions", "killOp", "killSessions", "listCommands",
		"lockInfo", "logRotate", "mapReduce", "planCacheClear", "profile", "reIndex", "renameCollection", "replSetGetConfig",
		"replSetGetStatus", "replSetInitiate", "replSetStepDown", "serverStatus", "setParameter", "shutdown", "startSession", "top",
		"usersInfo", "validate", "whatsmyuri",
	}, name)
}

// call is one command on its way.
type call struct {
	server *server
	conn   *connection
	name   string
	kind   command
	db     string
	ns     string // of commands on a collection
	args   args

	session     *session
	number      int64 // txnNumber, -1: none
	transaction *transaction
	snapshot    *state // what a snapshot read outside a transaction sees
	maxTime     time.Duration
}

// dispatch answers one command.
func (s *server) dispatch(conn *connection, body bson.D) (bson.D, error) {
	name := body[0].Key
	c := &call{server: s, conn: conn, name: name, number: -1, args: args{where: name, doc: body}}
	if c.db = c.args.text("$db"); c.db == "" {
		return nil, fail(codeBadValue, "the command %s names no $db", name)
	}
	kind, known := s.commands[name]
	if err := checkAPI(name, kind, known, &c.args); err != nil {
		return nil, err
	}
	if s.denied[name] {
		return nil, fail(codeUnauthorized, "not authorized on %s to execute command %s", c.db, name)
	}
	if !known {
		return nil, refuse("the command %s", name)
	}
	c.kind = kind
	if err := c.check(); err != nil {
		return nil, err
	}
	if err := c.hang(); err != nil {
		return nil, err
	}
	if c.session == nil {
		return kind.run(c)
	}
	c.session.busy.Lock()
	defer c.session.busy.Unlock()
	return c.inSession()
}

func checkAPI(name string, kind command, known bool, a *args) error {
	version, strict := a.text("apiVersion"), a.flag("apiStrict", false)
	a.flag("apiDeprecationErrors", false)
	switch {
	case a.err != nil:
		return a.err
	case version == "" && (a.has("apiStrict") || a.has("apiDeprecationErrors")):
		return fail(4886600, "Provided apiStrict or apiDeprecationErrors without passing apiVersion")
	case version != "" && version != "1":
		return fail(codeAPIVersion, "API version must be \"1\"")
	case strict && (known && kind.unstable || outsideStableAPI(name)):
		return fail(codeAPIStrict, "Provided apiStrict:true, but the command %s is not in API Version 1", name)
	}
	return nil
}

// check reads what every command may carry, and refuses what this one may not.
func (c *call) check() error {
	a, kind := &c.args, c.kind
	allowed := append([]string{
		c.name, "$db", "$readPreference", "$clusterTime", "lsid", "txnNumber", "autocommit", "startTransaction",
		"apiVersion", "apiStrict", "apiDeprecationErrors", "maxTimeMS", "comment",
	}, kind.fields...)
	if kind.writes {
		allowed = append(allowed, "writeConcern")
	}
	if kind.reads || a.flag("startTransaction", false) {
		allowed = append(allowed, "readConcern")
	}
	a.only(allowed...)
	if kind.admin && c.db != "admin" {
		a.failed(fail(codeUnauthorized, "%s may only be run against the admin database.", c.name))
	}
	if kind.collection {
		c.ns = c.namespace(a.text(c.name))
	}
	c.maxTime = time.Duration(a.count("maxTimeMS", 0)) * time.Millisecond
	c.checkPreference(a.document("$readPreference"))
	c.checkWriteConcern(a.document("writeConcern"))
	c.checkSession()
	return a.err
}

func (c *call) namespace(collection string) string {
	if c.args.err == nil && (collection == "" || strings.ContainsAny(collection, "$\x00") || strings.HasPrefix(collection, "system.") ||
		strings.ContainsAny(c.db, "./\\ \"$\x00")) {
		c.args.failed(fail(codeInvalidNamespace, "Invalid namespace specified '%s.%s'", c.db, collection))
	}
	return c.db + "." + collection
}

func (c *call) checkPreference(doc bson.D) {
	p := args{where: "$readPreference", doc: doc}
	p.only("mode")
	switch mode := p.text("mode"); mode {
	case "", "primary", "primaryPreferred", "secondaryPreferred", "nearest": // the one node is all of them
	default:
		p.failed(refuse("the read preference %s", mode))
	}
	c.args.failed(p.err)
}

func (c *call) checkWriteConcern(doc bson.D) {
	w := args{where: "writeConcern", doc: doc}
	w.only("w", "j", "wtimeout")
	w.flag("j", true)
	w.count("wtimeout", 0)
	if value, ok := lookup(doc, "w"); ok && value != "majority" {
		nodes, isNumber := integer(value)
		switch {
		case !isNumber:
			w.failed(refuse("the write concern %v", value))
		case nodes == 0:
			w.failed(refuse("unacknowledged writes"))
		case nodes != 1:
			w.failed(fail(codeUnsatisfiable, "Not enough data-bearing nodes"))
		}
	}
	c.args.failed(w.err)
}

// checkSession finds the session and the transaction number; nothing is begun here.
func (c *call) checkSession() {
	a := &c.args
	if a.has("lsid") {
		lsid := args{where: "lsid", doc: a.document("lsid")}
		lsid.only("id")
		value, _ := lookup(lsid.doc, "id")
		id, ok := value.(primitive.Binary)
		if !ok || id.Subtype != 4 || len(id.Data) != 16 {
			lsid.wrongType("id", "a UUID", value)
		}
		a.failed(lsid.err)
		if a.err == nil {
			c.session = c.server.engine.sessions.get(string(id.Data))
		}
	}
	inTransaction, starts := a.has("autocommit"), a.flag("startTransaction", false)
	if a.has("txnNumber") {
		c.number = a.integer("txnNumber", -1)
	}
	switch {
	case a.err != nil:
	case a.flag("autocommit", false):
		a.failed(fail(codeInvalidOptions, "autocommit may only be false"))
	case (inTransaction || starts) && c.number < 0, starts && !inTransaction, c.number >= 0 && c.session == nil:
		a.failed(fail(codeInvalidOptions, "lsid, txnNumber, autocommit and startTransaction do not fit together"))
	case c.number >= 0 && c.server.setName == "":
		a.failed(fail(codeIllegalOperation, "Transaction numbers are only allowed on a replica set member or mongos"))
	case inTransaction && !c.kind.inside:
		a.failed(fail(codeNotInTransaction, "Cannot run '%s' in a multi-document transaction.", c.name))
	case c.number >= 0 && !inTransaction && !c.kind.retryable:
		a.failed(fail(codeInvalidOptions, "txnNumber may only be provided for transactions and retryable writes; %s is neither", c.name))
	case c.kind.admin && !inTransaction:
		a.failed(fail(codeInvalidOptions, "%s may only be run with autocommit: false", c.name))
	case inTransaction && !c.kind.admin && a.has("writeConcern"):
		a.failed(fail(codeInvalidOptions, "writeConcern is not allowed within a multi-statement transaction"))
	}
}

// inSession runs a command whose session is busy with it.
func (c *call) inSession() (bson.D, error) {
	e, s := c.server.engine, c.session
	starts := c.args.flag("startTransaction", false)
	switch {
	case c.number < 0:
		return c.kind.run(c)
	case c.number < s.number:
		return nil, fail(codeTransactionTooOld, "txnNumber %d is older than %d, the newest of this session", c.number, s.number)
	case !c.args.has("autocommit"):
		return c.retryable()
	case starts && c.number == s.number:
		return nil, fail(codeConflictingOperation, "txnNumber %d has been used in this session", c.number)
	case starts && c.kind.admin:
		return nil, fail(codeInvalidOptions, "%s cannot start a transaction", c.name)
	case starts:
		e.advance(s, c.number)
		s.transaction = e.begin(c.number)
	case c.number != s.number || s.transaction == nil:
		return nil, noTransaction(c.number)
	}
	c.transaction = s.transaction
	if c.kind.admin {
		return c.kind.run(c)
	}
	fine := false
	defer func() { // also after a panic
		if !fine {
			e.abort(c.transaction)
		}
	}()
	reply, err := c.inTransaction()
	_, failed := lookup(reply, "writeErrors")
	fine = err == nil && !failed
	return reply, err
}

func (c *call) inTransaction() (bson.D, error) {
	if err := c.server.engine.alive(c.transaction); err != nil {
		return nil, err
	}
	if level := c.args.document("readConcern"); level != nil {
		r := args{where: "readConcern", doc: level}
		r.only("level")
		checkLevel(&r)
		if r.err != nil {
			return nil, r.err
		}
	}
	return c.kind.run(c)
}

func checkLevel(r *args) string {
	level := r.text("level")
	if !slices.Contains([]string{"", "local", "majority", "snapshot"}, level) {
		r.failed(refuse("the read concern %q", level))
	}
	return level
}

// retryable runs a write outside transactions, or answers what it was answered the first time.
func (c *call) retryable() (bson.D, error) {
	e, s := c.server.engine, c.session
	if c.number > s.number {
		e.advance(s, c.number)
	}
	if s.transaction != nil {
		return nil, fail(codeIncompleteHistory, "txnNumber %d belongs to a transaction", c.number)
	}
	if o := s.outcome; o != nil {
		if o.command != c.name {
			return nil, fail(codeIncompleteHistory, "txnNumber %d belongs to another command, %s", c.number, o.command)
		}
		return o.reply, e.settle(o.sequence)
	}
	return c.kind.run(c)
}

// write lets change make an edit and makes that the newest state; in a transaction, it only adds to that. change must not have effects of
// its own: where another transaction is in the way, it runs again when that has ended.
func (c *call) write(change func(*edit) (bson.D, error)) (bson.D, error) {
	e := c.server.engine
	deadline := make(<-chan time.Time)
	if c.maxTime > 0 {
		timer := time.NewTimer(c.maxTime)
		defer timer.Stop()
		deadline = timer.C
	}
	for {
		reply, sequence, err := c.attempt(change)
		var b *blocked
		if !errors.As(err, &b) {
			if err != nil {
				return nil, err
			}
			return reply, e.settle(sequence)
		}
		select {
		case <-b.by.done:
		case <-deadline:
			return nil, fail(codeMaxTimeMSExpired, "operation exceeded time limit")
		case <-c.conn.gone:
			return nil, errGone
		case <-c.server.stopping:
			return nil, fail(codeShutdownInProgress, "the server is shutting down")
		}
	}
}

func (c *call) attempt(change func(*edit) (bson.D, error)) (bson.D, uint64, error) {
	e := c.server.engine
	e.mu.Lock()
	defer e.mu.Unlock()
	if t := c.transaction; t != nil {
		if err := t.ended(); err != nil {
			return nil, 0, err
		}
		reply, err := change(t.edit)
		return reply, 0, err
	}
	d := e.edit(nil)
	reply, err := change(d)
	if err != nil {
		return nil, 0, err
	}
	if c.number < 0 {
		return reply, e.commit(d, nil), nil
	}
	o := &outcome{session: c.session.id, number: c.number, command: c.name, reply: reply}
	o.sequence = e.commit(d, o)
	c.session.outcome = o
	return reply, o.sequence, nil
}

var errGone = errors.New("the client has gone")

func commitTransaction(c *call) (bson.D, error) {
	e := c.server.engine
	if delay := c.server.delayCommit; delay > 0 && e.alive(c.transaction) == nil {
		select {
		case <-time.After(delay):
		case <-c.server.stopping:
		}
	}
	return nil, e.commitTransaction(c.transaction, c.session)
}

func abortTransaction(c *call) (bson.D, error) {
	e := c.server.engine
	if err := e.alive(c.transaction); err != nil {
		return nil, err
	}
	e.abort(c.transaction)
	return nil, nil
}

func endSessions(c *call) (bson.D, error) {
	list := c.args.documents("endSessions")
	if c.args.err != nil {
		return nil, c.args.err
	}
	for _, lsid := range list {
		value, _ := lookup(lsid, "id")
		id, ok := value.(primitive.Binary)
		if !ok {
			return nil, fail(codeTypeMismatch, "endSessions needs documents with a UUID as id")
		}
		c.server.engine.endSession(string(id.Data), c.session)
	}
	return nil, nil
}
