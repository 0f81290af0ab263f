package identity

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/writ-authz/writ/storage"
)

// auditKeyID is the setting that holds the key of checkpoints.
const auditKeyID = "audit_key"

// auditKeyContext binds the sealed key to its place.
const auditKeyContext = "setting|" + auditKeyID

// Anchor keeps checkpoints where whoever may write to the store may not: without it a chain whose tail was cut looks whole.
type Anchor interface {
	// Write must have the line, a checkpoint as JSON, in its place for good when it returns nil.
	Write(ctx context.Context, line []byte) error
}

// Checkpoint is a checkpoint as anchors keep it and as it is told to others.
type Checkpoint struct {
	Chain  string `json:"chain"`
	Number int64  `json:"number"`
	// Seq and Hash are of the chain, HeadSeq and Head of the authority chain.
	Seq     int64     `json:"seq"`
	Hash    string    `json:"hash"`
	HeadSeq int64     `json:"head_seq"`
	Head    string    `json:"head"`
	Time    time.Time `json:"time"`
	// Key is the public key that signed it. It proves nothing by itself.
	Key       []byte `json:"key,omitempty"`
	Signature []byte `json:"signature"`
}

func checkpointOf(c *storage.AuditCheckpoint, key ed25519.PublicKey) Checkpoint {
	return Checkpoint{
		Chain: c.Chain, Number: c.Number, Seq: c.Seq, Hash: c.Hash, HeadSeq: c.HeadSeq, Head: c.Head, Time: storage.Time(c.Time), Key: key,
		Signature: c.Signature,
	}
}

// signed is what the signature covers: a fixed line, so that the key signs nothing else by the same bytes, and all fields but the last
// two, as JSON in their order.
func (c Checkpoint) signed() ([]byte, error) {
	c.Key, c.Signature, c.Time = nil, nil, storage.Time(c.Time)
	body, err := json.Marshal(c)
	return append([]byte("writ audit checkpoint\n"), body...), err
}

// SignedBy says whether the holder of the key made the checkpoint.
func (c Checkpoint) SignedBy(key ed25519.PublicKey) bool {
	body, err := c.signed()
	return err == nil && len(key) == ed25519.PublicKeySize && ed25519.Verify(key, body, c.Signature)
}

// witness writes the checkpoints of this node: to the store, and then to the anchor.
type witness struct {
	anchor Anchor
	most   int64 // entries behind which a checkpoint is due at once
	fresh  atomic.Int64
	due    chan struct{}

	made, failures atomic.Int64

	mu   sync.Mutex
	key  ed25519.PrivateKey // nil until SignAudit
	last storage.AuditCheckpoint
	// unanchored is the last line that the anchor does not have, or nil. Those before it say nothing that it does not.
	unanchored []byte
}

func newWitness(c Config) *witness {
	return &witness{anchor: c.Anchor, most: int64(c.CheckpointEntries), due: make(chan struct{}, 1)}
}

// saw counts entries, and calls for a checkpoint when there are enough.
func (w *witness) saw(entries int64) {
	if w.fresh.Add(entries) < w.most {
		return
	}
	select {
	case w.due <- struct{}{}:
	default: // called for already
	}
}

// storedAuditKey is the value of the setting.
type storedAuditKey struct {
	Public []byte `json:"public"`
	Sealed []byte `json:"sealed"`
}

// SignAudit opens the key of this installation's checkpoints, making it at the first start, and returns its public half. From then on
// Checkpoint writes.
func (r *Room) SignAudit(ctx context.Context) (ed25519.PublicKey, error) {
	err := r.atStart(ctx, "audit:key", "settings/"+auditKeyID, func() (func(context.Context, storage.Tx) error, error) {
		_, err := storage.Get[storage.Setting](ctx, r.store, auditKeyID)
		if !errors.Is(err, storage.ErrNotFound) {
			return nil, err
		}
		setting, err := newAuditKey(r.config.Rand, r.config.Sealer)
		if err != nil {
			return nil, err
		}
		return func(ctx context.Context, tx storage.Tx) error { return tx.Insert(ctx, setting) }, nil
	})
	if err != nil {
		return nil, fmt.Errorf("make the key of the audit: %w", err)
	}
	key, err := openAuditKey(ctx, r.store, r.config.Sealer)
	if err != nil {
		return nil, err
	}
	w := r.audit.witness
	w.mu.Lock()
	defer w.mu.Unlock()
	w.key = key
	return publicHalf(key), nil
}

func newAuditKey(rand io.Reader, sealer Sealer) (*storage.Setting, error) {
	seed := make([]byte, ed25519.SeedSize)
	if _, err := io.ReadFull(rand, seed); err != nil {
		return nil, err
	}
	sealed, err := sealer.Seal(seed, auditKeyContext)
	if err != nil {
		return nil, err
	}
	value, err := json.Marshal(storedAuditKey{Public: publicHalf(ed25519.NewKeyFromSeed(seed)), Sealed: sealed})
	setting := &storage.Setting{Value: value}
	setting.ID = auditKeyID
	return setting, err
}

func openAuditKey(ctx context.Context, store storage.Reader, sealer Sealer) (ed25519.PrivateKey, error) {
	setting, err := storage.Get[storage.Setting](ctx, store, auditKeyID)
	if err != nil {
		return nil, fmt.Errorf("read the key of the audit: %w", err)
	}
	var stored storedAuditKey
	if err := json.Unmarshal(setting.Value, &stored); err != nil {
		return nil, fmt.Errorf("read the key of the audit: %w", err)
	}
	seed, err := sealer.Open(stored.Sealed, auditKeyContext)
	if err != nil {
		return nil, fmt.Errorf("open the key of the audit: %w", err)
	}
	if len(seed) != ed25519.SeedSize {
		return nil, errors.New("open the key of the audit: it is no Ed25519 key")
	}
	return ed25519.NewKeyFromSeed(seed), nil
}

// AuditKey returns the public half of the key of checkpoints. It is worked out from the sealed one: what lies beside that in the store
// is as good as the store.
func AuditKey(ctx context.Context, store storage.Reader, sealer Sealer) (ed25519.PublicKey, error) {
	key, err := openAuditKey(ctx, store, sealer)
	if err != nil {
		return nil, err
	}
	return publicHalf(key), nil
}

func publicHalf(key ed25519.PrivateKey) ed25519.PublicKey {
	return ed25519.PublicKey(key[ed25519.SeedSize:])
}

// ParseAuditKey reads a public key from its text, 32 bytes in base64.
func ParseAuditKey(text string) (ed25519.PublicKey, error) {
	key, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(key) != ed25519.PublicKeySize {
		return nil, fmt.Errorf("a public key of the audit is %d bytes in base64, as `writ audit key` prints it", ed25519.PublicKeySize)
	}
	return key, nil
}

// RunCheckpoints writes a checkpoint at once, so that the beginning of the run is witnessed, then every so often, and whenever enough entries came together, until ctx is done. What failed is tried
// again the next time.
func (r *Room) RunCheckpoints(ctx context.Context, every time.Duration) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		if err := r.Checkpoint(ctx); err != nil && ctx.Err() == nil {
			r.config.Logger.ErrorContext(ctx, "no checkpoint of the audit was written", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		case <-r.audit.witness.due:
		}
	}
}

// Checkpoint signs how far the chains are and writes that to the store and to the anchor, if anything was audited since the last time.
// A checkpoint is evidence and no permission: where it fails, the node serves on, says so and tries again. Refusals that were only
// counted are written down first, so that no count is older than the last checkpoint.
func (r *Room) Checkpoint(ctx context.Context) error {
	if err := r.audit.tellRefusals(ctx, false); err != nil {
		return err
	}
	w := r.audit.witness
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.key == nil {
		return nil
	}
	err := r.audit.checkpoint(ctx)
	if err == nil {
		err = w.anchored(ctx)
	}
	if err != nil {
		w.failures.Add(1)
		return fmt.Errorf("write a checkpoint of the audit: %w", err)
	}
	return nil
}

// checkpoint writes to the store; the witness is held.
func (a *audit) checkpoint(ctx context.Context) error {
	w := a.witness
	fresh := w.fresh.Load()
	c, err := a.tip(ctx)
	if err != nil {
		return err
	}
	if c.Seq == w.last.Seq && c.HeadSeq == w.last.HeadSeq {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	for {
		c.Number = w.last.Number + 1
		c.ID = storage.AuditID(c.Chain, c.Number)
		body, err := checkpointOf(c, nil).signed()
		if err != nil {
			return err
		}
		c.Signature = ed25519.Sign(w.key, body)
		err = a.store.Insert(ctx, c)
		if err == nil {
			break
		}
		if !errors.Is(err, storage.ErrConflict) {
			return err
		}
		// An earlier write was reported as failed and was not: the next one goes on behind it.
		written, err := storage.Get[storage.AuditCheckpoint](ctx, a.store, c.ID)
		if err != nil {
			return err
		}
		w.last = *written
	}
	line, err := json.Marshal(checkpointOf(c, publicHalf(w.key)))
	if err != nil {
		return err
	}
	w.last, w.unanchored = *c, line
	w.made.Add(1)
	w.fresh.Add(-fresh)
	return nil
}

// tip is how far the chains are.
func (a *audit) tip(ctx context.Context) (*storage.AuditCheckpoint, error) {
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	select {
	case a.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	c := &storage.AuditCheckpoint{Chain: a.chain, Seq: a.seq, Time: storage.Time(a.now())}
	if a.seq > 0 {
		c.Hash = a.prev
	}
	<-a.turn
	sequence, err := a.store.Sequence(ctx)
	if err != nil {
		return nil, err
	}
	head, err := a.head(ctx, a.store, sequence)
	if err != nil {
		return nil, err
	}
	c.HeadSeq, c.Head = head.Seq, head.Hash
	return c, nil
}

// anchored brings the anchor up to the last checkpoint.
func (w *witness) anchored(ctx context.Context) error {
	if w.anchor == nil || w.unanchored == nil {
		return nil
	}
	if err := w.anchor.Write(ctx, w.unanchored); err != nil {
		return fmt.Errorf("anchor: %w", err)
	}
	w.unanchored = nil
	return nil
}
