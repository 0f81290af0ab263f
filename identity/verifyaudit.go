package identity

import (
	"bytes"
	"cmp"
	"context"
	"crypto/ed25519"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/writ-authz/writ/storage"
)

// ChainError names the first entry of a chain that is not what it was.
type ChainError struct {
	Chain string `json:"chain"`
	Seq   int64  `json:"seq"`
	Why   string `json:"why"`
}

func (e *ChainError) Error() string {
	return fmt.Sprintf("audit chain %s, entry %d: %s", e.Chain, e.Seq, e.Why)
}

// AuditTrail is where a verifier reads entries from: a store, or what was exported from one.
type AuditTrail interface {
	// Walk must give every entry of one chain, or of all chains where it is empty, by chain and within it by sequence.
	Walk(ctx context.Context, chain string, visit func(*storage.AuditEntry) error) error
}

// AuditEvidence is what the entries are held against beside themselves.
type AuditEvidence struct {
	// Key is the public half of the key of checkpoints. Without it no checkpoint is believed, and none may be given.
	Key ed25519.PublicKey
	// Stored are the checkpoints beside the entries, in the order of the store; nil where they are not at hand.
	Stored []Checkpoint
	// Anchored are those of the anchor, in its order; Unread is how many of its lines could not be read and may have been checkpoints.
	Anchored []Checkpoint
	Unread   int
	// Changes tells, where the store is at hand, what each authority sequence changed; nil where it is not.
	Changes func(ctx context.Context, after int64, limit int) ([]storage.Change, error)
	// Chain, From and To narrow what is looked at: one chain, and its entries from and to these sequences; 0 is the end.
	Chain    string
	From, To int64
}

// AuditReport is what a verifier saw.
type AuditReport struct {
	Chains []ChainReport `json:"chains"`
	// Checkpoints and Anchored are how many of them were held against the chains.
	Checkpoints int `json:"checkpoints"`
	Anchored    int `json:"anchored"`
	// Unread is that of the evidence.
	Unread int `json:"unread"`
	// Broken has the first broken entry of each chain that is not whole, the authority chain first.
	Broken []*ChainError `json:"broken"`
}

// ChainReport is one chain of a report.
type ChainReport struct {
	Chain   string    `json:"chain"`
	Entries int64     `json:"entries"`
	Last    int64     `json:"last"`
	Until   time.Time `json:"until"`
}

// mark is what a chain must have at a sequence.
type mark struct {
	hash, why string
}

// auditor walks chains.
type auditor struct {
	trail    AuditTrail
	evidence AuditEvidence
	report   *AuditReport
	// marks are what checkpoints say, by chain and sequence.
	marks map[string]map[int64]mark
	// starts are the first entries of the nodes' chains by what they stand on in the authority chain.
	starts map[string]*ChainError
	broken map[string]*ChainError
	chain  *ChainReport
	prev   string
}

// VerifyTrail holds a trail against itself and against the evidence. The error is of reading; what is broken is in the report.
func VerifyTrail(ctx context.Context, trail AuditTrail, evidence AuditEvidence) (*AuditReport, error) {
	v := &auditor{
		trail: trail, evidence: evidence, report: &AuditReport{Chains: []ChainReport{}, Broken: []*ChainError{}, Unread: evidence.Unread},
		marks: map[string]map[int64]mark{}, starts: map[string]*ChainError{}, broken: map[string]*ChainError{},
	}
	v.believe()
	if err := trail.Walk(ctx, evidence.Chain, v.visit); err != nil {
		return nil, fmt.Errorf("read the audit: %w", err)
	}
	v.end()
	v.missing()
	if err := v.grounded(ctx); err != nil {
		return nil, fmt.Errorf("read the audit: %w", err)
	}
	if err := v.gaps(ctx); err != nil {
		return nil, fmt.Errorf("read the changes: %w", err)
	}
	for _, e := range v.broken {
		v.report.Broken = append(v.report.Broken, e)
	}
	slices.SortFunc(v.report.Broken, func(a, b *ChainError) int { return cmp.Compare(a.Chain, b.Chain) })
	return v.report, nil
}

// fault notes the first break of a chain.
func (v *auditor) fault(chain string, seq int64, why string) {
	if v.evidence.Chain != "" && chain != v.evidence.Chain {
		return
	}
	if known := v.broken[chain]; known == nil || seq < known.Seq {
		v.broken[chain] = &ChainError{Chain: chain, Seq: seq, Why: why}
	}
}

// believe takes what signed checkpoints say. The store's are numbered without a gap, and those of the anchor are in the store.
func (v *auditor) believe() {
	stored := map[string]Checkpoint{}
	last := map[string]Checkpoint{}
	for _, c := range v.evidence.Stored {
		before := last[c.Chain]
		switch {
		case !c.SignedBy(v.evidence.Key):
			v.fault(c.Chain, c.Seq, fmt.Sprintf("checkpoint %d of the store has no good signature", c.Number))
			continue
		case c.Number != before.Number+1:
			v.fault(c.Chain, c.Seq, fmt.Sprintf("checkpoint %d of the store is missing", before.Number+1))
		case c.Seq < before.Seq || c.HeadSeq < before.HeadSeq:
			v.fault(c.Chain, c.Seq, fmt.Sprintf("checkpoint %d of the store goes back", c.Number))
		}
		last[c.Chain], stored[storage.AuditID(c.Chain, c.Number)] = c, c
		v.report.Checkpoints++
		v.expect(c, "a checkpoint of the store")
	}
	numbers := map[string]int64{}
	for _, c := range v.evidence.Anchored {
		known, have := stored[storage.AuditID(c.Chain, c.Number)]
		switch {
		case !c.SignedBy(v.evidence.Key):
			v.fault(c.Chain, c.Seq, fmt.Sprintf("checkpoint %d of the anchor has no good signature", c.Number))
			continue
		case c.Number <= numbers[c.Chain]:
			v.fault(c.Chain, c.Seq, fmt.Sprintf("checkpoint %d of the anchor is out of order", c.Number))
		case v.evidence.Stored != nil && (!have || !bytes.Equal(known.Signature, c.Signature)):
			v.fault(c.Chain, c.Seq, fmt.Sprintf("checkpoint %d of the anchor is not in the store", c.Number))
		}
		numbers[c.Chain] = c.Number
		v.report.Anchored++
		v.expect(c, "the anchor")
	}
}

// expect notes what a checkpoint says of both chains.
func (v *auditor) expect(c Checkpoint, who string) {
	for _, at := range []struct {
		chain string
		seq   int64
		hash  string
	}{{c.Chain, c.Seq, c.Hash}, {authorityChain, c.HeadSeq, c.Head}} {
		if at.seq == 0 || v.outside(at.seq) {
			continue
		}
		if v.marks[at.chain] == nil {
			v.marks[at.chain] = map[int64]mark{}
		}
		if known, ok := v.marks[at.chain][at.seq]; ok && known.hash != at.hash {
			v.fault(at.chain, at.seq, "two checkpoints tell of different entries")
			continue
		}
		v.marks[at.chain][at.seq] = mark{hash: at.hash, why: fmt.Sprintf("%s of %s", who, c.Time.Format(time.RFC3339))}
	}
}

func (v *auditor) outside(seq int64) bool {
	return v.evidence.From > 0 && seq < v.evidence.From || v.evidence.To > 0 && seq > v.evidence.To
}

// visit looks at one entry.
func (v *auditor) visit(e *storage.AuditEntry) error {
	chain, _ := chainOf(e.ID)
	if v.chain == nil || v.chain.Chain != chain {
		v.end()
		v.chain, v.prev = &ChainReport{Chain: chain}, ""
	}
	if v.outside(e.Seq) || v.broken[chain] != nil && v.broken[chain].Seq <= e.Seq {
		return nil // what is behind a break says nothing
	}
	first := v.chain.Entries == 0
	seq := v.chain.Last
	if first && (v.evidence.From > 1 || chain != authorityChain) {
		v.prev = e.Prev // of what is not looked at, or the head of the authority chain when the node started
	}
	if first && v.evidence.From > 1 {
		seq = v.evidence.From - 1
		if chain == authorityChain {
			seq = e.Seq - 1
		}
	}
	if why := broken(e, chain, seq, v.prev); why != "" {
		v.fault(chain, e.Seq, why)
		return nil
	}
	if first && chain != authorityChain && v.evidence.From <= 1 && e.Prev != "" {
		v.starts[e.Prev] = &ChainError{Chain: chain, Seq: e.Seq, Why: "the entry of the authority chain that it stands on is missing"}
	}
	if m, ok := v.marks[chain][e.Seq]; ok {
		if m.hash != e.Hash {
			v.fault(chain, e.Seq, "it is another entry than "+m.why+" says")
			return nil
		}
		delete(v.marks[chain], e.Seq)
	}
	v.chain.Entries++
	v.chain.Last, v.chain.Until, v.prev = e.Seq, storage.Time(e.Time), e.Hash
	return nil
}

// chainOf takes an id of an entry apart.
func chainOf(id string) (chain, seq string) {
	at := strings.LastIndexByte(id, '/')
	return id[:max(at, 0)], id[at+1:]
}

// end closes the chain that was walked.
func (v *auditor) end() {
	if v.chain != nil {
		v.report.Chains = append(v.report.Chains, *v.chain)
	}
	v.chain = nil
}

// missing finds the entries that checkpoints tell of and that no chain has.
func (v *auditor) missing() {
	for chain, marks := range v.marks {
		for seq, m := range marks {
			if v.broken[chain] == nil || seq < v.broken[chain].Seq {
				v.fault(chain, seq, m.why+" tells of it, and it is missing")
			}
		}
	}
}

// grounded finds the authority entries that the nodes' chains begin on.
func (v *auditor) grounded(ctx context.Context) error {
	if len(v.starts) == 0 || v.evidence.Chain != "" {
		return nil
	}
	if err := v.trail.Walk(ctx, authorityChain, func(e *storage.AuditEntry) error {
		delete(v.starts, e.Hash)
		return nil
	}); err != nil {
		return err
	}
	for _, e := range v.starts {
		v.fault(e.Chain, e.Seq, e.Why)
	}
	return nil
}

// gaps finds changes of authority that have no entry. Those of the server's own keys are no one's act, and have none.
func (v *auditor) gaps(ctx context.Context) error {
	if v.evidence.Changes == nil || v.evidence.Chain != "" && v.evidence.Chain != authorityChain {
		return nil
	}
	// The changes are read first: what a server that runs meanwhile changes later is not looked for.
	lacking := map[int64]bool{}
	for after := max(0, v.evidence.From-1); ; {
		changes, err := v.evidence.Changes(ctx, after, loadPage)
		if err != nil {
			return err
		}
		for _, c := range changes {
			after = c.Sequence
			if !v.outside(c.Sequence) && !unaudited(c) {
				lacking[c.Sequence] = true
			}
		}
		if len(changes) < loadPage {
			break
		}
	}
	if err := v.trail.Walk(ctx, authorityChain, func(e *storage.AuditEntry) error {
		delete(lacking, e.Seq)
		return nil
	}); err != nil {
		return err
	}
	if len(lacking) > 0 {
		v.fault(authorityChain, slices.Min(slices.Collect(maps.Keys(lacking))), "the change of this sequence has no entry")
	}
	return nil
}

// unaudited says that a change is of the server's own keys alone.
func unaudited(c storage.Change) bool {
	return !slices.ContainsFunc(c.Items, func(i storage.ChangeItem) bool {
		return i.Kind != storage.KeyKind.Name && i.Kind != storage.SettingKind.Name
	})
}

// StoredTrail is the trail of a store.
type StoredTrail struct{ Reader storage.Reader }

// Walk implements AuditTrail.
func (s StoredTrail) Walk(ctx context.Context, chain string, visit func(*storage.AuditEntry) error) error {
	q := storage.Query{Limit: loadPage}
	if chain != "" {
		q.Equal = map[string][]string{"chain": {chain}}
	}
	for {
		page, err := storage.List[storage.AuditEntry](ctx, s.Reader, q)
		if err != nil {
			return err
		}
		for _, e := range page {
			if err := visit(e); err != nil {
				return err
			}
			q.After = e.ID
		}
		if len(page) < loadPage {
			return nil
		}
	}
}

// StoredCheckpoints reads the checkpoints of a store.
func StoredCheckpoints(ctx context.Context, r storage.Reader) ([]Checkpoint, error) {
	all := []Checkpoint{}
	for after := ""; ; {
		page, err := storage.List[storage.AuditCheckpoint](ctx, r, storage.Query{After: after, Limit: loadPage})
		if err != nil {
			return nil, fmt.Errorf("read the checkpoints: %w", err)
		}
		for _, c := range page {
			all, after = append(all, checkpointOf(c, nil)), c.ID
		}
		if len(page) < loadPage {
			return all, nil
		}
	}
}

// VerifyAudit walks a chain from its beginning and returns how many entries it has. A *ChainError says where it was edited, cut
// or reordered; a cut tail cannot be seen from the chain alone.
func VerifyAudit(ctx context.Context, r storage.Reader, chain string) (int64, error) {
	report, err := VerifyTrail(ctx, StoredTrail{r}, AuditEvidence{Chain: chain})
	if err != nil {
		return 0, err
	}
	var entries int64
	for _, c := range report.Chains {
		entries += c.Entries
	}
	if len(report.Broken) > 0 {
		return entries, report.Broken[0]
	}
	return entries, nil
}

// broken says what is wrong with e as the entry behind (seq, prev), or "".
func broken(e *storage.AuditEntry, chain string, seq int64, prev string) string {
	hash, err := hashOf(e)
	switch {
	case err != nil || hash != e.Hash:
		return "the entry was changed"
	case e.Chain != chain || e.ID != storage.AuditID(chain, e.Seq):
		return "the entry was moved"
	case chain != authorityChain && e.Seq != seq+1 || e.Seq <= seq:
		return "an entry before it is missing"
	case e.Prev != prev:
		return "it does not follow the entry before it"
	}
	return ""
}
