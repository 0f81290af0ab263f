package main

import (
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"time"

	"filippo.io/age"
	"github.com/spf13/cobra"

	"github.com/writ-authz/writ/identity"
	"github.com/writ-authz/writ/storage"
)

// backupFormat is the number in the first line of a backup. Who reads another gives up.
const backupFormat = 1

// backupLine is one line of a backup: the head, a record, or the manifest, which is the last.
type backupLine struct {
	Head     *backupHead     `json:"head,omitempty"`
	Kind     string          `json:"kind,omitempty"`
	Record   json.RawMessage `json:"record,omitempty"`
	Manifest *backupManifest `json:"manifest,omitempty"`
}

type backupHead struct {
	Format int       `json:"format"`
	MadeAt time.Time `json:"made_at"`
	Writ   string    `json:"writ"`
	Store  string    `json:"store"`
}

// backupManifest says what a backup holds, so that what is missing or changed shows.
type backupManifest struct {
	// Sequence is the authority sequence of the instant that the backup is of.
	Sequence int64 `json:"sequence"`
	// Records counts the records of each kind, and Hashes has the hexadecimal SHA-256 over them, each as its JSON and a newline.
	Records map[string]int    `json:"records"`
	Hashes  map[string]string `json:"sha256"`
	// PolicyRevision is the managed policy set that is active, empty for what the binary or a directory holds.
	PolicyRevision string `json:"policy_revision,omitempty"`
	// Chains are the last entries of the audit.
	Chains map[string]chainHead `json:"chains"`
}

type chainHead struct {
	Seq  int64  `json:"seq"`
	Hash string `json:"hash"`
}

// tallyman makes the manifest of what goes by.
type tallyman struct {
	manifest backupManifest
	hashes   map[string]hash.Hash
}

func newTallyman() *tallyman {
	return &tallyman{
		manifest: backupManifest{Records: map[string]int{}, Hashes: map[string]string{}, Chains: map[string]chainHead{}}, hashes: map[string]hash.Hash{},
	}
}

func (t *tallyman) count(r storage.Record, body []byte) {
	kind := r.Kind().Name
	t.manifest.Records[kind]++
	if t.hashes[kind] == nil {
		t.hashes[kind] = sha256.New()
	}
	t.hashes[kind].Write(body)
	t.hashes[kind].Write([]byte("\n"))
	switch r := r.(type) {
	case *storage.AuditEntry:
		if r.Seq > t.manifest.Chains[r.Chain].Seq {
			t.manifest.Chains[r.Chain] = chainHead{Seq: r.Seq, Hash: r.Hash}
		}
	case *storage.Setting:
		if revision, ok := identity.ActiveRevision(r); ok {
			t.manifest.PolicyRevision = revision
		}
	}
}

func (t *tallyman) sum(sequence int64) *backupManifest {
	t.manifest.Sequence = sequence
	for kind, h := range t.hashes {
		t.manifest.Hashes[kind] = hex.EncodeToString(h.Sum(nil))
	}
	return &t.manifest
}

func (c *cli) backupCommand() *cobra.Command {
	var read func() sources
	var begin func() *progress
	var print func(any, func(io.Writer)) error
	cmd := c.command(cobra.Command{
		Use: "backup", Short: "Write everything that the store holds to an encrypted file, for writ restore",
		Long: `Write everything that the store holds, as it was at one instant, to a file that is encrypted with age for each --recipient: users,
applications, their verifiers and sealed secrets, sessions, keys, policies and the audit. The key encryption key is not in it; keep a copy of that apart, without
which a backup is of no use.

It works on the store itself. The embedded store is for one process, so the server must be stopped; beside nodes on MongoDB it runs as it
is, with their mongodb_uri. It prints the manifest: what there is of each kind, the authority sequence, and the last entry of each chain of the audit.`,
		Example: "  writ backup --data-dir /var/lib/writ --recipient age1... --file writ.backup",
	}, func(cmd *cobra.Command, _ []string) error {
		names, _ := cmd.Flags().GetStringArray("recipient")
		file, _ := cmd.Flags().GetString("file")
		recipients, err := parseRecipients(names)
		if err != nil {
			return err
		}
		if len(recipients) == 0 || file == "" {
			return usage("name the file with --file, and with --recipient who can read it")
		}
		config, _, err := loadConfig(read())
		if err != nil {
			return err
		}
		store, err := c.openFilled(cmd.Context(), config)
		if err != nil {
			return err
		}
		defer store.Close()
		var manifest *backupManifest
		if err := writeWhole(file, func(out io.Writer) (err error) {
			manifest, err = c.backup(cmd.Context(), store, out, recipients, begin())
			return err
		}); err != nil {
			return fmt.Errorf("backup: %w", err)
		}
		return print(manifest, manifest.table)
	})
	cmd.Flags().String("file", "", "file to write, with mode 0600")
	cmd.Flags().StringArray("recipient", nil, "age recipient (age1...) who can read it; may be repeated")
	read, print, begin = c.configFlags(cmd), c.outputFlag(cmd), c.progressFlag(cmd)
	return cmd
}

// backup writes gzipped lines, encrypted.
func (c *cli) backup(ctx context.Context, store storage.Store, out io.Writer, recipients []age.Recipient, p *progress) (*backupManifest, error) {
	sealed, err := age.Encrypt(out, recipients...)
	if err != nil {
		return nil, err
	}
	packed := gzip.NewWriter(sealed)
	lines := json.NewEncoder(packed)
	lines.SetEscapeHTML(false)
	head := backupHead{Format: backupFormat, MadeAt: storage.Time(c.now()), Writ: readBuild().Version, Store: store.Describe()}
	if err := lines.Encode(backupLine{Head: &head}); err != nil {
		return nil, err
	}
	t := newTallyman()
	p.begin("backup", 0)
	sequence, err := storage.Dump(ctx, store, func(r storage.Record) error {
		body, err := storage.Encode(r)
		if err != nil {
			return err
		}
		t.count(r, body)
		p.add(1)
		return lines.Encode(backupLine{Kind: r.Kind().Name, Record: body})
	})
	if err != nil {
		return nil, err
	}
	p.end()
	manifest := t.sum(sequence)
	if err := lines.Encode(backupLine{Manifest: manifest}); err != nil {
		return nil, err
	}
	return manifest, errors.Join(packed.Close(), sealed.Close())
}

// table is the manifest for people.
func (m *backupManifest) table(w io.Writer) {
	for _, kind := range storage.Kinds() {
		if n := m.Records[kind.Name]; n > 0 {
			fmt.Fprintf(w, "%s\t%d\n", kind.Name, n)
		}
	}
	fmt.Fprintf(w, "sequence\t%d\n", m.Sequence)
	if m.PolicyRevision != "" {
		fmt.Fprintf(w, "policy revision\t%s\n", m.PolicyRevision)
	}
}
