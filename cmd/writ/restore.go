package main

import (
	"bufio"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"

	"filippo.io/age"
	"github.com/spf13/cobra"

	"github.com/writ-authz/writ/identity"
	"github.com/writ-authz/writ/storage"
	"github.com/writ-authz/writ/storage/seal"
)

const (
	// restoringID is the setting that is in a store from the first record of a restore until everything is there. No node serves it.
	restoringID = "restoring"
	// Records go into the store so many, or so many bytes of them, at a time.
	restoreRecords = 500
	restoreBytes   = 4 << 20
)

var errHalf = errors.New("it is half restored: empty it and run writ restore again")

// whole returns an error for a store that a restore has not finished with, unless this is that restore.
func (c *Config) whole(ctx context.Context, store storage.Store) error {
	_, err := storage.Get[storage.Setting](ctx, store, restoringID)
	switch {
	case errors.Is(err, storage.ErrNotFound) || err == nil && c.restoring:
		return nil
	case err == nil:
		return errHalf
	}
	return err
}

// restored is what a restore did.
type restored struct {
	Manifest *backupManifest `json:"manifest"`
	Head     *backupHead     `json:"head"`
	// Audit is what its verification saw.
	Audit *identity.AuditReport `json:"audit"`
	// Revoked says that every token from before was, which it is in a store that will serve.
	Revoked bool `json:"revoked"`
}

func (r *restored) table(w io.Writer) {
	fmt.Fprintf(w, "made at\t%s\n", r.Head.MadeAt.Format("2006-01-02T15:04:05Z07:00"))
	r.Manifest.table(w)
	for _, chain := range r.Audit.Chains {
		fmt.Fprintf(w, "audit %s\t%d entries\n", chain.Chain, chain.Entries)
	}
	if r.Revoked {
		fmt.Fprintln(w, "revoked\tevery token")
	}
}

func (c *cli) restoreCommand() *cobra.Command {
	var read func() sources
	var begin func() *progress
	var print func(any, func(io.Writer)) error
	cmd := c.command(cobra.Command{
		Use: "restore FILE", Short: "Fill an empty store from a backup, or prove with --verify that one can be restored", Args: cobra.ExactArgs(1),
		Long: `Fill an empty store with what writ backup wrote, on whichever of the two stores it was made: an absent data_dir, or an empty database of
MongoDB. Everything is as it was, versions and sequences included, but for tokens and sessions: a copy has forgotten what was revoked since it was
made, so all of them end.

The file is read and held against its manifest before anything is written, and the key encryption key must open what it holds (kek_file,
WRIT_KEK or a credential). Then the records are written, and the audit is verified as writ audit verify does. A store in which that did
not come to its end serves nobody.

With --verify it does all that in a temporary directory, which is removed, and changes nothing.`,
		Example: "  writ restore writ.backup --identity key.txt --data-dir /var/lib/writ --kek-file /etc/writ/kek\n" +
			"  writ restore writ.backup --identity key.txt --kek-file /etc/writ/kek --verify",
	}, func(cmd *cobra.Command, args []string) error {
		name, _ := cmd.Flags().GetString("identity")
		verify, _ := cmd.Flags().GetBool("verify")
		if name == "" {
			return usage("name the file of the age identity with --identity")
		}
		identities, err := readIdentities(name)
		if err != nil {
			return err
		}
		config, _, err := loadConfig(read())
		if err != nil {
			return err
		}
		b := &backup{file: args[0], identities: identities}
		done, err := c.restore(cmd.Context(), config, b, verify, begin())
		if err != nil {
			return fmt.Errorf("restore: %w", err)
		}
		if err := print(done, done.table); err != nil {
			return err
		}
		if len(done.Audit.Broken) > 0 {
			return fmt.Errorf("restore: the audit is not what was written: %w", done.Audit.Broken[0])
		}
		return nil
	})
	cmd.Flags().String("identity", "", "file of the age identity that can read it")
	cmd.Flags().Bool("verify", false, "restore into a temporary directory and remove it")
	read, print, begin = c.configFlags(cmd), c.outputFlag(cmd), c.progressFlag(cmd)
	return cmd
}

func (c *cli) restore(ctx context.Context, config *Config, b *backup, verify bool, p *progress) (*restored, error) {
	p.begin("read", 0)
	var keyset []byte
	manifest, err := b.each(func(r storage.Record) error {
		if s, ok := r.(*storage.Setting); ok && s.ID == keysetID {
			keyset = s.Value
		}
		p.add(1)
		return ctx.Err()
	})
	if err != nil {
		return nil, err
	}
	p.end()
	kek, key, err := config.loadKEK(false)
	if err != nil {
		return nil, err
	}
	sealer, err := seal.Open(kek, keyset)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	into := *config
	if verify {
		if into.DataDir, err = os.MkdirTemp("", "writ-restore-"); err != nil {
			return nil, err
		}
		defer os.RemoveAll(into.DataDir)
		into.MongoDBURI = ""
	}
	report, err := c.fill(ctx, &into, b, manifest, sealer, p)
	if err != nil {
		return nil, err
	}
	done := &restored{Manifest: manifest, Head: b.head, Audit: report}
	if verify || len(report.Broken) > 0 {
		return done, nil
	}
	done.Revoked = true
	return done, c.finish(ctx, &into)
}

// fill puts the records into an empty store and verifies the audit there. The mark stays.
func (c *cli) fill(
	ctx context.Context, config *Config, b *backup, manifest *backupManifest, sealer *seal.Sealer, p *progress,
) (*identity.AuditReport, error) {
	store, err := openStore(ctx, config, c.now, c.say)
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	defer store.Close()
	if err := empty(ctx, store); err != nil {
		return nil, err
	}
	now := storage.Time(c.now())
	mark := &storage.Setting{Meta: storage.Meta{ID: restoringID, Version: 1, CreatedAt: now, UpdatedAt: now}}
	batch, size, total := []storage.Record{mark}, 0, 0
	for _, n := range manifest.Records {
		total += n
	}
	p.begin("restore", total)
	flush := func(sequence int64) error {
		if err := store.Restore(ctx, batch, sequence); err != nil {
			return fmt.Errorf("the store is left half restored: %w", err)
		}
		p.add(len(batch))
		batch, size = batch[:0], 0
		return nil
	}
	if err := flush(0); err != nil {
		return nil, err
	}
	if _, err := b.each(func(r storage.Record) error {
		batch = append(batch, r)
		if size += b.size; len(batch) < restoreRecords && size < restoreBytes {
			return nil
		}
		return flush(0)
	}); err != nil {
		return nil, err
	}
	if err := flush(manifest.Sequence); err != nil {
		return nil, err
	}
	p.end()
	evidence := identity.AuditEvidence{}
	if evidence.Key, err = identity.AuditKey(ctx, store, sealer); err != nil {
		return nil, err
	}
	if evidence.Stored, err = identity.StoredCheckpoints(ctx, store); err != nil {
		return nil, err
	}
	return identity.VerifyTrail(ctx, identity.StoredTrail{Reader: store}, evidence)
}

// empty demands that nothing is in a store.
func empty(ctx context.Context, store storage.Store) error {
	if _, err := storage.Get[storage.Setting](ctx, store, restoringID); err == nil {
		return errHalf
	}
	for _, kind := range storage.Kinds() {
		some, err := store.List(ctx, kind, storage.Query{Limit: 1})
		if err != nil {
			return err
		}
		if len(some) > 0 {
			return fmt.Errorf("the store is not empty: it has %s. Name another directory or database", kind.Name)
		}
	}
	return nil
}

// finish ends every token and takes the mark away.
func (c *cli) finish(ctx context.Context, config *Config) error {
	config.restoring = true
	config.DecisionLog, config.DecisionLogRequired = "off", false // nothing is decided here
	config.bound(config.Listen)                                   // no token is issued here
	n, err := c.openNode(ctx, config, newLogger(config, c.stderr))
	if err != nil {
		return err
	}
	defer n.close(context.WithoutCancel(ctx))
	if err := n.room.RevokeRestored(ctx); err != nil {
		return err
	}
	return n.store.Txn(ctx, func(ctx context.Context, tx storage.Tx) error {
		sequence, err := tx.Sequence(ctx)
		if err != nil {
			return err
		}
		mark, err := storage.Get[storage.Setting](ctx, tx, restoringID)
		if err != nil {
			return err
		}
		if err := tx.Advance(ctx, sequence); err != nil {
			return err
		}
		return tx.Delete(ctx, storage.SettingKind, restoringID, mark.Version)
	})
}

// backup is a file that writ backup wrote.
type backup struct {
	file       string
	identities []age.Identity
	head       *backupHead
	// size is that of the record which is visited, in bytes.
	size int
}

// each visits the records from the first to the last. It returns an error for a file that is not whole, or not what was written.
func (b *backup) each(visit func(storage.Record) error) (*backupManifest, error) {
	file, err := os.Open(b.file)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	plain, err := age.Decrypt(bufio.NewReader(file), b.identities...)
	if err != nil {
		return nil, fmt.Errorf("decrypt %s: %w", b.file, err)
	}
	packed, err := gzip.NewReader(plain)
	if err != nil {
		return nil, b.notOne(err)
	}
	lines := json.NewDecoder(packed)
	lines.DisallowUnknownFields()
	var first backupLine
	if err := lines.Decode(&first); err != nil || first.Head == nil {
		return nil, b.notOne(err)
	}
	if first.Head.Format != backupFormat {
		return nil, fmt.Errorf("%s has format %d, and this version reads %d", b.file, first.Head.Format, backupFormat)
	}
	b.head = first.Head
	kinds := map[string]storage.Kind{}
	for _, kind := range storage.Kinds() {
		kinds[kind.Name] = kind
	}
	t := newTallyman()
	for {
		var line backupLine
		if err := lines.Decode(&line); err != nil {
			return nil, b.notOne(err)
		}
		if line.Manifest != nil {
			var more backupLine
			if err := lines.Decode(&more); !errors.Is(err, io.EOF) {
				return nil, b.notOne(err)
			}
			return line.Manifest, b.compare(t.sum(line.Manifest.Sequence), line.Manifest)
		}
		kind, known := kinds[line.Kind]
		if !known {
			return nil, fmt.Errorf("%s holds %q, which this version does not know; restore it with the version that made it (%s)", b.file, line.Kind, b.head.Writ)
		}
		r := kind.New()
		if err := storage.Decode(line.Record, r); err != nil {
			return nil, fmt.Errorf("%s: %w", b.file, err)
		}
		t.count(r, line.Record)
		b.size = len(line.Record)
		if err := visit(r); err != nil {
			return nil, err
		}
	}
}

func (b *backup) notOne(err error) error {
	switch {
	case err == nil:
		return fmt.Errorf("%s is no backup of writ", b.file)
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("%s ends too early: %w", b.file, io.ErrUnexpectedEOF)
	}
	return fmt.Errorf("%s is no backup of writ: %w", b.file, err)
}

// compare holds what was read against what the manifest says.
func (b *backup) compare(is, said *backupManifest) error {
	for _, kind := range storage.Kinds() {
		switch name := kind.Name; {
		case is.Records[name] != said.Records[name]:
			return fmt.Errorf("%s holds %d %s and says %d", b.file, is.Records[name], name, said.Records[name])
		case is.Hashes[name] != said.Hashes[name]:
			return fmt.Errorf("%s: the %s are not those that it was made with", b.file, name)
		}
	}
	if !maps.Equal(is.Chains, said.Chains) || is.PolicyRevision != said.PolicyRevision {
		return fmt.Errorf("%s: its manifest is of something else", b.file)
	}
	return nil
}
