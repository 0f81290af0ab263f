package identity

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/writ-authz/writ/policies"
	"github.com/writ-authz/writ/policies/enforce"
	"github.com/writ-authz/writ/storage"
)

const keysPath = "/v1/keys/"

// Keys is the life of the server's keys; oauth gives it. Both methods read through r and store nothing: the records that they return,
// of which the first is the key that the request is about, are to be written in one transaction at the sequence before the reading.
// One without a version is new. An *enforce.ProtocolError says that the request cannot be met.
type Keys interface {
	// RotateKey gives a ring another key of an algorithm, to be used once it was published for long enough; now makes it, or the one
	// that waits, the active one at once.
	RotateKey(ctx context.Context, r storage.Reader, ring, algorithm string, now bool) ([]*storage.Key, error)
	// RetireKey ends a key and all that it made. An active one is succeeded by the next, or by a new one.
	RetireKey(ctx context.Context, r storage.Reader, kid string) ([]*storage.Key, error)
}

// noKeys stands in until JoinKeys.
type noKeys struct{}

func (noKeys) RotateKey(context.Context, storage.Reader, string, string, bool) ([]*storage.Key, error) {
	return nil, fmt.Errorf("no keys are joined: %w", storage.ErrUnavailable)
}

func (noKeys) RetireKey(context.Context, storage.Reader, string) ([]*storage.Key, error) {
	return nil, fmt.Errorf("no keys are joined: %w", storage.ErrUnavailable)
}

// JoinKeys gives the room the port by which keys are changed.
func (r *Room) JoinKeys(keys Keys) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.keys = keys
}

func (r *Room) keyring() Keys {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.keys
}

// keyView is a key as replies show it: what is public of it, and nothing of its secret half, sealed or not.
type keyView struct {
	KID       string     `json:"kid"`
	Ring      string     `json:"ring"`
	Algorithm string     `json:"alg"`
	State     string     `json:"state"`
	CreatedAt time.Time  `json:"created_at"`
	ActiveAt  *time.Time `json:"active_at,omitempty"`
	// RetireAt is when a retiring key ends, or when a retired one did.
	RetireAt *time.Time      `json:"retire_at,omitempty"`
	Public   json.RawMessage `json:"public,omitempty"`
	Version  int64           `json:"version"`
}

func viewKey(k *storage.Key) keyView {
	return keyView{
		KID: k.ID, Ring: k.Ring, Algorithm: k.Algorithm, State: k.State, CreatedAt: k.CreatedAt, ActiveAt: k.ActiveAt, RetireAt: k.RetireAt,
		Public: k.Public, Version: k.Version,
	}
}

func (r *Room) listKeys(_ context.Context, req *enforce.Request) (enforce.Resolved, error) {
	l, err := r.listing(req, "keys", storage.KeyKind, "ring")
	if err != nil {
		return enforce.Resolved{}, err
	}
	return resolveList(r, req, l, r.askToReadKey, viewKey)
}

// askToReadKey is the question whether a key may be read.
func (r *Room) askToReadKey(k *storage.Key) policies.Question {
	return policies.Question{Resource: resource(standing{r.directory}, k.ID, "", true)}
}

func (r *Room) getKey(ctx context.Context, req *enforce.Request) (enforce.Resolved, error) {
	kid := req.Params["kid"]
	k, err := r.key(ctx, kid)
	if err != nil {
		return enforce.Resolved{}, err
	}
	v := standing{r.directory}
	if k == nil {
		return r.readMissing(req, v, kid)
	}
	return readObject(req, r.askToReadKey(k), k.Meta, func() any { return viewKey(k) })
}

// key returns a record, or nil if there is none.
func (r *Room) key(ctx context.Context, kid string) (*storage.Key, error) {
	if err := checkObjectID(kid, ""); err != nil {
		return nil, err
	}
	k, err := storage.Get[storage.Key](ctx, r.store, kid)
	if errors.Is(err, storage.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the key: %w", err)
	}
	return k, nil
}

type keyFields struct {
	Ring      enforce.Field[string] `json:"ring"`
	Algorithm enforce.Field[string] `json:"alg"`
	Now       enforce.Field[bool]   `json:"now"`
}

// postKey rotates: it makes the next key of a ring, or promotes it.
func (r *Room) postKey(ctx context.Context, req *enforce.Request) (enforce.Resolved, error) {
	var in keyFields
	if err := req.Decode(&in); err != nil {
		return enforce.Resolved{}, err
	}
	var ring, algorithm string
	var now bool
	check := checker{creating: true}
	check.required(in.Ring, "/ring", &ring)
	check.text(in.Algorithm, "/alg", maxName, &algorithm)
	check.flag(in.Now, "/now", &now)
	if check.err != nil {
		return enforce.Resolved{}, check.err
	}
	w, err := r.beginKey(ctx, req, "rotate")
	if err != nil {
		return enforce.Resolved{}, err
	}
	w.creates, w.unnamed, w.target = true, true, "keys"
	w.question.Resource = resource(standing{r.directory}, "", "", true)
	return r.changeKeys(req, w, func(ctx context.Context) ([]*storage.Key, error) {
		return r.keyring().RotateKey(ctx, r.store, ring, algorithm, now)
	}, func(k *storage.Key, made bool) enforce.Reply {
		if made {
			return created(keysPath+k.ID, k.Meta, viewKey(k))
		}
		return saved(k.Meta, viewKey(k))
	}), nil
}

// deleteKey ends a key at once. Its record stays, so that it is known what it was.
func (r *Room) deleteKey(ctx context.Context, req *enforce.Request) (enforce.Resolved, error) {
	kid := req.Params["kid"]
	w, err := r.beginKey(ctx, req, "retire")
	if err != nil {
		return enforce.Resolved{}, err
	}
	k, err := r.key(ctx, kid)
	if err != nil {
		return enforce.Resolved{}, err
	}
	w.target = "keys/" + kid
	w.question.Resource = resource(standing{r.directory}, kid, "", k != nil)
	if k == nil {
		return r.change(req, w), nil
	}
	w.version, w.meta = k.Version, k.Meta
	w.question.Resource.Changes = []string{"delete"}
	return r.changeKeys(req, w, func(ctx context.Context) ([]*storage.Key, error) {
		return r.keyring().RetireKey(ctx, r.store, kid)
	}, func(*storage.Key, bool) enforce.Reply { return noContent() }), nil
}

func (r *Room) beginKey(ctx context.Context, req *enforce.Request, action string) (*write, error) {
	condition, err := preconditionOf(req.HTTP.Header)
	if err != nil {
		return nil, err
	}
	sequence, err := r.begin(ctx, req)
	if err != nil {
		return nil, err
	}
	return &write{sequence: sequence, condition: condition, action: "keys:" + action}, nil
}

// changeKeys is a change whose records are worked out once it is permitted: making a key takes a while, and nobody may cause that
// who may not have it. They are those of the sequence that was decided on, or are not stored.
func (r *Room) changeKeys(
	req *enforce.Request, w *write, work func(context.Context) ([]*storage.Key, error), reply func(k *storage.Key, made bool) enforce.Reply,
) enforce.Resolved {
	resolved := r.change(req, w)
	commit := resolved.Respond
	resolved.Respond = func(ctx context.Context, d policies.Decision) (enforce.Reply, error) {
		if err := w.condition.check(w.meta); err != nil {
			return enforce.Reply{}, err
		}
		records, err := work(ctx)
		if err != nil {
			return enforce.Reply{}, err
		}
		first := records[0]
		made := first.Version == 0
		w.target = "keys/" + first.ID
		w.apply = func(ctx context.Context, tx storage.Tx) error {
			for _, k := range records {
				if err := saveRecord(ctx, tx, k, k.Version == 0, nil); err != nil {
					return err
				}
			}
			return nil
		}
		w.reply = func() enforce.Reply { return reply(first, made) }
		return commit(ctx, d)
	}
	return resolved
}
