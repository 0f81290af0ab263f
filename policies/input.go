package policies

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"maps"
	"math"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
)

// ErrQuestion says that a question's own JSON is no object of the JSON data model. It always comes with ErrUndecided.
var ErrQuestion = errors.New("bad question")

// maxJSONDepth bounds what an asker may nest in properties and context.
const maxJSONDepth = 64

// key holds the terms of the input's fixed keys and values. It is never modified.
var key = newKeys()

type keys struct {
	entrypoint, subject, action, resource, context, caller, client, token, now                      *ast.Term
	name, properties, typ, id, exists, tenant, tenantEnabled, path, covers, self, before, after     *ast.Term
	changes, otherOwners, ownersBefore, proof, reason, detail                                       *ast.Term
	clientID, scoped, scopes, audiences, sid, authTime, userToken, external, public, plane, address *ast.Term
	basic                                                                                           *ast.Term
	active, notBefore, notAfter, protected, temporaryPassword, groups, roles, grants, grantTypes    *ast.Term
	retrievable, attributes, grantType, named, candidates, lifetime, refresh, format                *ast.Term
	audiencesNamed, down, nonce                                                                     *ast.Term
	allow, reasons, obligations, code, rule                                                         *ast.Term
	dialect, native                                                                                 *ast.Term
	any, empty, forever, zero, yes, no, null, object, array, always                                 *ast.Term
}

func newKeys() *keys {
	s := ast.StringTerm
	k := &keys{
		entrypoint: s("entrypoint"), subject: s("subject"), action: s("action"), resource: s("resource"), context: s("context"),
		caller: s("caller"), client: s("client"), token: s("token"), now: s("now"),

		name: s("name"), properties: s("properties"), typ: s("type"), id: s("id"), exists: s("exists"), tenant: s("tenant"),
		tenantEnabled: s("tenant_enabled"), path: s("path"), covers: s("covers"), self: s("self"), before: s("before"),
		after: s("after"), changes: s("changes"), otherOwners: s("other_owners"), ownersBefore: s("owners_before"),
		proof: s("proof"), reason: s("reason"), detail: s("detail"),

		clientID: s("client_id"), scoped: s("scoped"), scopes: s("scopes"), audiences: s("audiences"), sid: s("sid"),
		authTime: s("auth_time"), userToken: s("user_token"), external: s("external"), basic: s("basic"), public: s("public"), plane: s("plane"),
		address: s("address"),

		active: s("active"), notBefore: s("not_before"), notAfter: s("not_after"), protected: s("protected"),
		temporaryPassword: s("temporary_password"), groups: s("groups"), roles: s("roles"), grants: s("grants"),
		grantTypes: s("grant_types"), retrievable: s("retrievable"), attributes: s("attributes"), grantType: s("grant_type"),
		named: s("named"), candidates: s("candidates"), lifetime: s("lifetime"), refresh: s("refresh"), format: s("format"),
		audiencesNamed: s("audiences_named"), down: s("down"), nonce: s("nonce"),

		allow: s("allow"), reasons: s("reasons"), obligations: s("obligations"), code: s("code"), rule: s("rule"),
		dialect: s("dialect"),

		any: s("*"), empty: ast.InternedEmptyString, forever: number(Forever), zero: number(0), yes: ast.InternedBooleanTrue,
		no: ast.InternedBooleanFalse, null: ast.InternedNullTerm, object: ast.InternedEmptyObject, array: ast.InternedEmptyArray,
	}
	k.always = object(pair{k.notAfter, k.forever}, pair{k.notBefore, k.zero})
	settle(k.always.Value)
	k.native = object(pair{k.dialect, k.empty})
	settle(k.native.Value)
	return k
}

func number(n int64) *ast.Term { return ast.InternedTerm(n) }

func flag(b bool) *ast.Term {
	if b {
		return key.yes
	}
	return key.no
}

// text returns a term of a string that differs from question to question.
func text(s string) *ast.Term {
	if s == "" {
		return key.empty
	}
	return ast.StringTerm(s)
}

func nanoseconds(t time.Time, zero *ast.Term) *ast.Term {
	if t.IsZero() {
		return zero
	}
	return number(t.UnixNano())
}

type pair = [2]*ast.Term

func object(pairs ...pair) *ast.Term {
	return ast.NewTerm(ast.NewObject(pairs...))
}

// nameSet is {name: true}.
func nameSet(names []string) *ast.Term {
	if len(names) == 0 {
		return key.object
	}
	seen := make(map[string]bool, len(names))
	pairs := make([]pair, 0, len(names))
	for _, name := range names {
		if !seen[name] {
			seen[name] = true
			pairs = append(pairs, pair{ast.StringTerm(name), key.yes})
		}
	}
	return object(pairs...)
}

func textArray(list []string) *ast.Term {
	if len(list) == 0 {
		return key.array
	}
	terms := make([]*ast.Term, len(list))
	for i, s := range list {
		terms[i] = text(s)
	}
	return ast.ArrayTerm(terms...)
}

// settle sorts the keys of all objects inside, which OPA does on first use, so that a shared value is never written to.
func settle(v ast.Value) {
	switch v := v.(type) {
	case ast.Object:
		v.Foreach(func(_, item *ast.Term) { settle(item.Value) })
	case *ast.Array:
		v.Foreach(func(item *ast.Term) { settle(item.Value) })
	}
}

// jsonObject turns a JSON object (or nothing) into a term. Numbers beyond IEEE 754, duplicate keys and trailing data are
// refused.
func jsonObject(raw json.RawMessage) (*ast.Term, error) {
	if len(raw) == 0 {
		return key.object, nil
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	v, err := jsonValue(d, 0)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrQuestion, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%w: data after the object", ErrQuestion)
	}
	if _, ok := v.Value.(ast.Object); !ok {
		return nil, fmt.Errorf("%w: not an object", ErrQuestion)
	}
	return v, nil
}

func jsonValue(d *json.Decoder, depth int) (*ast.Term, error) {
	token, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch t := token.(type) {
	case json.Delim:
		if depth == maxJSONDepth {
			return nil, fmt.Errorf("more than %d levels", maxJSONDepth)
		}
		if t == '{' {
			return jsonMembers(d, depth)
		}
		return jsonItems(d, depth)
	case string:
		return text(t), nil
	case bool:
		return flag(t), nil
	case json.Number:
		if f, err := strconv.ParseFloat(string(t), 64); err != nil || math.IsInf(f, 0) || len(t) > 64 {
			return nil, fmt.Errorf("number %.80s is out of range", string(t))
		}
		return ast.NewTerm(ast.Number(t)), nil
	}
	return key.null, nil
}

func jsonMembers(d *json.Decoder, depth int) (*ast.Term, error) {
	var pairs []pair
	seen := map[string]bool{}
	for d.More() {
		token, err := d.Token()
		if err != nil {
			return nil, err
		}
		name, ok := token.(string)
		if !ok || seen[name] {
			return nil, fmt.Errorf("key %v stands twice", token)
		}
		seen[name] = true
		v, err := jsonValue(d, depth+1)
		if err != nil {
			return nil, err
		}
		pairs = append(pairs, pair{text(name), v})
	}
	_, err := d.Token()
	return object(pairs...), err
}

func jsonItems(d *json.Decoder, depth int) (*ast.Term, error) {
	var items []*ast.Term
	for d.More() {
		v, err := jsonValue(d, depth+1)
		if err != nil {
			return nil, err
		}
		items = append(items, v)
	}
	_, err := d.Token()
	return ast.ArrayTerm(items...), err
}

// terms remembers the prepared terms of strings that recur from question to question: types, actions, tenants, audiences.
type terms struct {
	texts, sets, actions, covers, contexts cache
	callers                                [maxCallers]atomic.Pointer[recentCaller]
}

// cache is bounded, and what does not fit is made anew, so that nobody can fill it to any harm. Reading it takes no lock.
type cache struct {
	mu      sync.Mutex
	entries atomic.Pointer[map[string]*ast.Term]
}

const maxTerms = 1024

// find takes bytes so that a key made on the stack stays there.
func (c *cache) find(k []byte) *ast.Term {
	if entries := c.entries.Load(); entries != nil {
		return (*entries)[string(k)]
	}
	return nil
}

func (c *cache) add(k string, term *ast.Term) *ast.Term {
	if entries := c.entries.Load(); entries != nil && len(*entries) >= maxTerms {
		return term
	}
	settle(term.Value)
	c.mu.Lock()
	defer c.mu.Unlock()
	next := map[string]*ast.Term{}
	if entries := c.entries.Load(); entries != nil {
		next = maps.Clone(*entries)
	}
	next[k] = term
	c.entries.Store(&next)
	return term
}

func (t *terms) text(s string) *ast.Term {
	if s == "" {
		return key.empty
	}
	if entries := t.texts.entries.Load(); entries != nil {
		if term := (*entries)[s]; term != nil {
			return term
		}
	}
	return t.texts.add(s, ast.StringTerm(s))
}

// names is a name set that recurs.
func (t *terms) names(list []string) *ast.Term {
	if len(list) == 0 {
		return key.object
	}
	var buffer [256]byte
	k := buffer[:0]
	for _, name := range list {
		k = appendName(k, name)
	}
	if term := t.sets.find(k); term != nil {
		return term
	}
	return t.sets.add(string(k), nameSet(list))
}

// appendName appends a name so that no two lists of names look alike.
func appendName(k []byte, name string) []byte {
	return append(binary.AppendUvarint(k, uint64(len(name))), name...)
}

// action without properties recurs.
func (t *terms) action(name string) *ast.Term {
	if entries := t.actions.entries.Load(); entries != nil {
		if term := (*entries)[name]; term != nil {
			return term
		}
	}
	return t.actions.add(name, object(pair{key.name, text(name)}, pair{key.properties, key.object}))
}

// context without anything of the asker's recurs with each dialect.
func (t *terms) context(dialect string) *ast.Term {
	if dialect == "" {
		return key.native
	}
	if entries := t.contexts.entries.Load(); entries != nil {
		if term := (*entries)[dialect]; term != nil {
			return term
		}
	}
	return t.contexts.add(dialect, object(pair{key.dialect, text(dialect)}))
}

// covering returns what covers an object of a type: the type, what stands above it, and "*"; an array from the type on.
func (t *terms) covering(resourceType string) *ast.Term {
	if entries := t.covers.entries.Load(); entries != nil {
		if term := (*entries)[resourceType]; term != nil {
			return term
		}
	}
	var list []*ast.Term
	if validPath(resourceType) {
		for at := len(resourceType); at > 0; at = strings.LastIndexByte(resourceType[:at], '/') {
			list = append(list, ast.StringTerm(resourceType[:at]))
		}
	}
	return t.covers.add(resourceType, ast.ArrayTerm(append(list, key.any)...))
}

// build assembles the input document of a question. Every key is always there; here and below they stand in their order, so that
// the log, which wants them sorted, finds them so. The dialect is that of the request, whatever the asker's context says.
func (q *Question) build(t *terms, dialect string) (ast.Value, error) {
	if q.Subject == nil {
		return nil, fmt.Errorf("%w: it has no subject", ErrQuestion)
	}
	subject, err := q.subject()
	if err != nil {
		return nil, err
	}
	action := t.action(q.Action)
	if len(q.ActionProperties) > 0 {
		properties, err := jsonObject(q.ActionProperties)
		if err != nil {
			return nil, err
		}
		action = object(pair{key.name, text(q.Action)}, pair{key.properties, properties})
	}
	resource, err := q.Resource.build(t)
	if err != nil {
		return nil, err
	}
	context, err := q.context(t, dialect)
	if err != nil {
		return nil, err
	}
	client, token := key.null, key.null
	if q.Client != nil {
		client = q.Client.term()
	}
	if q.Token != nil {
		token = q.Token.build(t)
	}
	return ast.NewObject(
		pair{key.action, action},
		pair{key.caller, q.Caller.build(t)},
		pair{key.client, client},
		pair{key.context, context},
		pair{key.entrypoint, t.text(string(q.Entrypoint))},
		pair{key.now, number(q.Now.UnixNano())},
		pair{key.resource, resource},
		pair{key.subject, subject},
		pair{key.token, token},
	), nil
}

// context is the asker's, and the dialect.
func (q *Question) context(t *terms, dialect string) (*ast.Term, error) {
	if len(q.Context) == 0 {
		return t.context(dialect), nil
	}
	given, err := jsonObject(q.Context)
	if err != nil {
		return nil, err
	}
	asked := given.Value.(ast.Object)
	pairs := make([]pair, 0, asked.Len()+1)
	asked.Foreach(func(name, value *ast.Term) {
		if name.Value.Compare(key.dialect.Value) != 0 {
			pairs = append(pairs, pair{name, value})
		}
	})
	return object(append(pairs, pair{key.dialect, t.text(dialect)})...), nil
}

// subject is the prepared facts and the asker's properties, without those that a stored attribute of the same name beats.
func (q *Question) subject() (*ast.Term, error) {
	facts := q.Subject.term()
	if len(q.SubjectProperties) == 0 {
		return facts, nil
	}
	given, err := jsonObject(q.SubjectProperties)
	if err != nil {
		return nil, err
	}
	stored := facts.Value.(ast.Object)
	attributes := stored.Get(key.attributes).Value.(ast.Object)
	var added []pair
	given.Value.(ast.Object).Foreach(func(name, value *ast.Term) {
		if attributes.Get(name) == nil {
			added = append(added, pair{name, value})
		}
	})
	pairs := make([]pair, 0, stored.Len())
	stored.Foreach(func(name, value *ast.Term) {
		if name.Value == key.properties.Value {
			value = object(added...)
		}
		pairs = append(pairs, pair{name, value})
	})
	return object(pairs...), nil
}

func (r *Resource) build(t *terms) (*ast.Term, error) {
	properties, err := jsonObject(r.Properties)
	if err != nil {
		return nil, err
	}
	detail, err := jsonObject(r.AfterDetail)
	if err != nil {
		return nil, err
	}
	path, covers := r.paths(t)
	before, after := key.null, key.null
	if r.Before != nil {
		before = r.Before.term()
	}
	if r.After != nil {
		after = r.After.term()
	}
	return object(
		pair{key.after, after},
		pair{key.before, before},
		pair{key.changes, t.names(r.Changes)},
		pair{key.covers, covers},
		pair{key.detail, detail},
		pair{key.exists, flag(r.Exists)},
		pair{key.id, text(r.ID)},
		pair{key.otherOwners, number(int64(r.OtherOwners))},
		pair{key.ownersBefore, number(int64(r.OwnersBefore))},
		pair{key.path, path},
		pair{key.proof, t.text(r.Proof)},
		pair{key.properties, properties},
		pair{key.reason, flag(r.Reason)},
		pair{key.self, flag(r.Self)},
		pair{key.tenant, t.text(r.Tenant)},
		pair{key.tenantEnabled, flag(r.TenantEnabled)},
		pair{key.typ, t.text(r.Type)},
	), nil
}

// paths returns the path of the object and all that covers it. An id outside the grammar is not spliced into a path: then
// only what covers the type covers the object.
func (r *Resource) paths(t *terms) (path, covers *ast.Term) {
	above := t.covering(r.Type)
	if r.ID == "" || !validSegment(r.ID) && !(r.Below && validPath(r.ID)) || !validPath(r.Type) {
		return t.text(r.Type), above
	}
	path = ast.StringTerm(r.Type + "/" + r.ID)
	array := above.Value.(*ast.Array)
	list := make([]*ast.Term, 1, array.Len()+1+strings.Count(r.ID, "/"))
	list[0] = path
	for at := strings.LastIndexByte(r.ID, '/'); at > 0; at = strings.LastIndexByte(r.ID[:at], '/') {
		list = append(list, ast.StringTerm(r.Type+"/"+r.ID[:at]))
	}
	array.Foreach(func(term *ast.Term) { list = append(list, term) })
	return path, ast.ArrayTerm(list...)
}

// callerFacts are what a caller's term is made of.
type callerFacts struct {
	clientID, tenant, sid, plane, address            string
	scoped, userToken, external, basic, public, self bool
	scopes                                           *Scopes
	audiences                                        *ast.Term
	authTime                                         int64
}

// recentCaller is never modified.
type recentCaller struct {
	facts callerFacts
	term  *ast.Term
}

// maxCallers bounds what is remembered. Callers that share a place push each other out.
const maxCallers = 1024

var callerSeed = maphash.MakeSeed()

// build remembers recent callers: a token comes with many requests and says the same in all of them.
func (c *Caller) build(t *terms) *ast.Term {
	facts := callerFacts{
		clientID: c.ClientID, tenant: c.Tenant, sid: c.SID, plane: c.Plane, address: c.Address,
		scoped: c.Scoped, userToken: c.UserToken, external: c.External, basic: c.Basic, public: c.Public, self: c.Self,
		scopes: c.Scopes, audiences: t.names(c.Audiences),
	}
	if !c.AuthTime.IsZero() {
		facts.authTime = c.AuthTime.UnixNano()
	}
	place := &t.callers[facts.hash()%maxCallers]
	if recent := place.Load(); recent != nil && recent.facts == facts {
		return recent.term
	}
	term := facts.term(t)
	settle(term.Value)
	place.Store(&recentCaller{facts, term})
	return term
}

// hash keeps apart what one request has side by side: its token on the plane, and who a question is about.
func (c *callerFacts) hash() uint64 {
	h := maphash.String(callerSeed, c.clientID)
	for _, part := range [...]string{c.sid, c.plane, c.address} {
		h = h*31 + maphash.String(callerSeed, part)
	}
	return h
}

func (c *callerFacts) term(t *terms) *ast.Term {
	return object(
		pair{key.address, t.text(c.address)},
		pair{key.audiences, c.audiences},
		pair{key.authTime, number(c.authTime)},
		pair{key.basic, flag(c.basic)},
		pair{key.clientID, text(c.clientID)},
		pair{key.external, flag(c.external)},
		pair{key.plane, t.text(c.plane)},
		pair{key.public, flag(c.public)},
		pair{key.scoped, flag(c.scoped)},
		pair{key.scopes, c.scopes.term()},
		pair{key.self, flag(c.self)},
		pair{key.sid, text(c.sid)},
		pair{key.tenant, t.text(c.tenant)},
		pair{key.userToken, flag(c.userToken)},
	)
}

func (r *TokenRequest) build(t *terms) *ast.Term {
	nonce := key.null
	if r.Nonce != nil {
		nonce = number(*r.Nonce)
	}
	return object(
		pair{key.audiences, textArray(r.Audiences)},
		pair{key.audiencesNamed, flag(r.AudiencesNamed)},
		pair{key.candidates, textArray(r.Candidates)},
		pair{key.down, t.names(r.Down)},
		pair{key.format, t.text(r.Format)},
		pair{key.grantType, t.text(r.GrantType)},
		pair{key.lifetime, number(r.Lifetime)},
		pair{key.named, flag(r.Named)},
		pair{key.nonce, nonce},
		pair{key.refresh, flag(r.Refresh)},
		pair{key.tenant, t.text(r.Tenant)},
	)
}
