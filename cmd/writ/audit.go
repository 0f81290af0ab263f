package main

import (
	"bufio"
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/writ-authz/writ/identity"
	"github.com/writ-authz/writ/storage"
	"github.com/writ-authz/writ/storage/seal"
)

func (c *cli) auditCommand() *cobra.Command {
	return c.parent("audit", "Export and verify the audit", c.auditVerifyCommand(), c.auditExportCommand(), c.auditKeyCommand())
}

// auditInput are the flags of audit verify.
type auditInput struct {
	anchor, file, key, chain string
	from, to                 int64
}

func (c *cli) auditVerifyCommand() *cobra.Command {
	var read func() sources
	var print func(any, func(io.Writer)) error
	var in auditInput
	cmd := c.command(cobra.Command{
		Use: "verify", Short: "Say whether the audit is what was written, and name the first entry that is not",
		Long: `Walk every chain of the audit, and hold it against the signed checkpoints, the changes that the store remembers and, with --anchor, the
checkpoints that were kept outside: an anchor file, or the log of the server. Only an anchor shows that the end of a chain, with its
checkpoints, was cut off; lines of it that cannot be read are counted as unread. Edited, deleted, moved and reordered entries are named by
chain and sequence; the exit code is then 1.

It works on the store itself. The embedded store is for one process, so the server must be stopped; beside nodes on MongoDB it runs as
it is, with their mongodb_uri and kek_file. With --file it works on lines of writ audit export instead, anywhere: give it the public key
that writ audit key prints, and the anchor. --from and --to are sequences of the chain that --chain names.`,
		Example: "  writ audit verify --data-dir /var/lib/writ --anchor /var/log/writ/anchor.jsonl\n" +
			"  writ audit verify --file audit.jsonl --anchor anchor.jsonl --key \"$AUDIT_KEY\"",
	}, func(cmd *cobra.Command, _ []string) error {
		if in.chain == "" && (in.from != 0 || in.to != 0) {
			return usage("--from and --to are sequences of one chain: name it with --chain")
		}
		report, err := c.verifyAudit(cmd.Context(), in, read)
		if err != nil {
			return err
		}
		if err := print(report, func(w io.Writer) { tableOfChains(w, report) }); err != nil {
			return err
		}
		if len(report.Broken) > 0 {
			return fmt.Errorf("the audit is not what was written: %w", report.Broken[0])
		}
		return nil
	})
	read, print = c.configFlags(cmd), c.outputFlag(cmd)
	cmd.Flags().StringVar(&in.anchor, "anchor", "", "checkpoints that were kept outside the store: an anchor file, or a log")
	cmd.Flags().StringVar(&in.file, "file", "", "lines of writ audit export, instead of a store")
	cmd.Flags().StringVar(&in.key, "key", "", "public key of the checkpoints; absent: the one that the store has sealed")
	cmd.Flags().StringVar(&in.chain, "chain", "", "look at this chain alone")
	cmd.Flags().Int64Var(&in.from, "from", 0, "first sequence to look at")
	cmd.Flags().Int64Var(&in.to, "to", 0, "last sequence to look at")
	return cmd
}

func (c *cli) verifyAudit(ctx context.Context, in auditInput, read func() sources) (*identity.AuditReport, error) {
	evidence := identity.AuditEvidence{Chain: in.chain, From: in.from, To: in.to}
	var err error
	if in.key != "" {
		if evidence.Key, err = identity.ParseAuditKey(in.key); err != nil {
			return nil, usage("--key: %s", err)
		}
	}
	if in.anchor != "" {
		if evidence.Anchored, evidence.Unread, err = readAnchor(in.anchor); err != nil {
			return nil, err
		}
	}
	if in.file != "" {
		if in.anchor != "" && in.key == "" {
			return nil, usage("the checkpoints of --anchor prove nothing without --key, the public key that `writ audit key` prints")
		}
		return identity.VerifyTrail(ctx, exported{in.file}, evidence)
	}
	store, sealer, err := c.openAudited(ctx, read())
	if err != nil {
		return nil, err
	}
	defer store.Close()
	if evidence.Key == nil {
		if evidence.Key, err = identity.AuditKey(ctx, store, sealer); err != nil {
			return nil, err
		}
	}
	if evidence.Stored, err = identity.StoredCheckpoints(ctx, store); err != nil {
		return nil, err
	}
	evidence.Changes = store.Changes
	return identity.VerifyTrail(ctx, identity.StoredTrail{Reader: store}, evidence)
}

// openAudited opens a store that is there, and its seal. It makes nothing: what it would make, it could not verify.
func (c *cli) openAudited(ctx context.Context, src sources) (storage.Store, *seal.Sealer, error) {
	config, _, err := loadConfig(src)
	if err != nil {
		return nil, nil, err
	}
	store, err := c.openFilled(ctx, config)
	if err != nil {
		return nil, nil, err
	}
	sealer, err := openSealer(ctx, store, config)
	if err != nil {
		return nil, nil, errors.Join(err, store.Close())
	}
	return store, sealer, nil
}

// openFilled opens a store on which a server has run, and makes none.
func (c *cli) openFilled(ctx context.Context, config *Config) (storage.Store, error) {
	if config.MongoDBURI == "" {
		if _, err := os.Stat(config.DataDir); err != nil {
			return nil, fmt.Errorf("data_dir: %w; name the directory of the store", plain(err))
		}
	}
	store, err := openStore(ctx, config, c.now, c.say)
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	if _, err = storage.Get[storage.Setting](ctx, store, keysetID); errors.Is(err, storage.ErrNotFound) {
		err = errors.New("the store is empty: no server has run on it")
	}
	if err != nil {
		return nil, errors.Join(err, store.Close())
	}
	return store, nil
}

func tableOfChains(w io.Writer, report *identity.AuditReport) {
	fmt.Fprintln(w, "CHAIN\tENTRIES\tLAST\tUNTIL")
	for _, chain := range report.Chains {
		fmt.Fprintf(w, "%s\t%d\t%d\t%s\n", chain.Chain, chain.Entries, chain.Last, chain.Until.Format(time.RFC3339))
	}
	fmt.Fprintf(w, "checkpoints\t%d\nanchored\t%d\n", report.Checkpoints, report.Anchored)
	if report.Unread > 0 {
		fmt.Fprintf(w, "unread\t%d\n", report.Unread)
	}
	for _, e := range report.Broken {
		fmt.Fprintf(w, "broken\t%s\t%d\t%s\n", e.Chain, e.Seq, e.Why)
	}
}

// exported is a file of lines that audit export wrote.
type exported struct{ path string }

// Walk implements identity.AuditTrail.
func (f exported) Walk(_ context.Context, chain string, visit func(*storage.AuditEntry) error) error {
	file, err := os.Open(f.path)
	if err != nil {
		return fmt.Errorf("--file: %w", plain(err))
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, longestLine)
	for number := 1; lines.Scan(); number++ {
		var line identity.AuditLine
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			return fmt.Errorf("--file: line %d of %s is no line of `writ audit export`", number, f.path)
		}
		if chain != "" && line.Chain != chain {
			continue
		}
		if err := visit(line.Entry()); err != nil {
			return err
		}
	}
	return lines.Err()
}

func (c *cli) auditExportCommand() *cobra.Command {
	var server func() (*remote, error)
	filters := url.Values{}
	given := map[string]*string{}
	cmd := c.command(cobra.Command{
		Use: "export", Short: "Print the audit of a running server, one JSON line for each entry",
		Long: `Print the entries of the audit that the caller may read, by chain and within it by sequence. Without a filter the lines are whole
chains, which writ audit verify --file verifies. Needs audit:read; a caller who has it for single tenants gets their entries, which are no
whole chains.`,
		Example: "  writ audit export > audit.jsonl\n  writ audit export --target applications/billing --since 2026-06-01T00:00:00Z",
	}, func(cmd *cobra.Command, _ []string) error {
		r, err := server()
		if err != nil {
			return err
		}
		for name, value := range given {
			if *value != "" {
				filters.Set(name, *value)
			}
		}
		return r.exportAudit(cmd.Context(), filters, c.stdout)
	})
	server = c.adminFlags(cmd)
	for name, about := range map[string]string{
		"actor": "only what this actor did, such as user:ID", "target": "only what was done to this target, such as applications/billing",
		"action": "only this action", "outcome": "ok, refused or failed", "event": "intent or outcome", "chain": "only this chain",
		"since": "only from this time on", "until": "only before this time",
	} {
		given[name] = cmd.Flags().String(name, "", about)
	}
	return cmd
}

// exportAudit writes all pages.
func (r *remote) exportAudit(ctx context.Context, filters url.Values, into io.Writer) error {
	filters.Set("limit", "100")
	out := bufio.NewWriter(into)
	for {
		var page struct {
			Items []json.RawMessage `json:"items"`
			Next  string            `json:"next"`
		}
		if err := r.manage(ctx, http.MethodGet, "/v1/audit?"+filters.Encode(), nil, &page); err != nil {
			return errors.Join(err, out.Flush())
		}
		for _, line := range page.Items {
			if _, err := out.Write(append(line, '\n')); err != nil {
				return err
			}
		}
		if page.Next == "" {
			return out.Flush()
		}
		filters.Set("after", page.Next)
	}
}

func (c *cli) auditKeyCommand() *cobra.Command {
	var read func() sources
	var print func(any, func(io.Writer)) error
	cmd := c.command(cobra.Command{
		Use: "key", Short: "Print the public key of the checkpoints, for a verifier elsewhere",
		Long: `Print the Ed25519 public key that signs the checkpoints of the audit, in base64. Its private half is sealed in the store with the key
encryption key. Keep the public half where you will verify: a key that comes from the store together with the entries proves nothing.
A running server also says it in its log when it starts (audit_key). It works on the store itself, as writ audit verify does.`,
		Example: "  writ audit key --data-dir /var/lib/writ",
	}, func(cmd *cobra.Command, _ []string) error {
		store, sealer, err := c.openAudited(cmd.Context(), read())
		if err != nil {
			return err
		}
		defer store.Close()
		key, err := identity.AuditKey(cmd.Context(), store, sealer)
		if err != nil {
			return err
		}
		text := encodeKey(key)
		return print(map[string]string{"audit_key": text}, func(w io.Writer) { fmt.Fprintln(w, text) })
	})
	read, print = c.configFlags(cmd), c.outputFlag(cmd)
	return cmd
}

func encodeKey(key ed25519.PublicKey) string { return base64.StdEncoding.EncodeToString(key) }
