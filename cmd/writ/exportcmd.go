package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"

	"filippo.io/age"
	"filippo.io/age/armor"
	"github.com/spf13/cobra"
)

func (c *cli) exportCommand() *cobra.Command {
	var server func() (*remote, error)
	var begin func() *progress
	cmd := c.command(cobra.Command{
		Use: "export", Short: "Write the tenants, roles, groups, users and applications of a running server to a file",
		Long: `Write all objects that the caller may read, in the form that writ import takes. Protected objects, such as root, belong to their server
and are left out; a message on standard error counts them.

With --with-secrets the verifiers of passwords and secrets come along: never a password or a secret itself, but enough to guess at them for
as long as one likes. So the file is encrypted with age for each --recipient, the caller must be a full administrator, and the audit log
has it. Without, users and applications arrive elsewhere without a password or secret.`,
		Example: `  writ export > objects.yaml
  writ export --output json --file objects.json
  writ export --with-secrets --recipient age1... --file backup.age`,
	}, func(cmd *cobra.Command, _ []string) error {
		r, err := server()
		if err != nil {
			return err
		}
		flags := cmd.Flags()
		run := &exportRun{server: r, progress: begin()}
		run.format, _ = flags.GetString("output")
		run.secrets, _ = flags.GetBool("with-secrets")
		names, _ := flags.GetStringArray("recipient")
		file, _ := flags.GetString("file")
		if run.format != "yaml" && run.format != "json" {
			return usage("--output %q is none of yaml, json", run.format)
		}
		if run.secrets != (len(names) > 0) {
			return usage("--with-secrets and --recipient go together: what is in the file can be read by whom you name")
		}
		recipients, err := parseRecipients(names)
		if err != nil {
			return err
		}
		return run.to(cmd.Context(), c, file, recipients)
	})
	flags := cmd.Flags()
	flags.StringP("output", "o", "yaml", "yaml or json")
	flags.String("file", "", "file to write, with mode 0600; absent: standard output")
	flags.Bool("with-secrets", false, "with the verifiers of passwords and secrets, encrypted")
	flags.StringArray("recipient", nil, "age recipient (age1...) of an encrypted file; may be repeated")
	server, begin = c.adminFlags(cmd), c.progressFlag(cmd)
	return cmd
}

// exportRun is one run of the command.
type exportRun struct {
	server   *remote
	progress *progress
	format   string
	secrets  bool
	// protected counts what is left out.
	protected int
}

// to writes to a file, or to standard output.
func (run *exportRun) to(ctx context.Context, c *cli, file string, recipients []age.Recipient) error {
	write := func(out io.Writer) error {
		if err := run.encrypted(ctx, out, recipients); err != nil {
			return err
		}
		if run.protected > 0 {
			fmt.Fprintf(c.stderr, "%d protected objects were left out\n", run.protected)
		}
		return nil
	}
	if file == "" {
		return write(c.stdout)
	}
	return writeWhole(file, write)
}

// writeWhole writes a file of mode 0600, which appears whole or not at all.
func writeWhole(file string, write func(io.Writer) error) error {
	temporary, err := os.CreateTemp(filepath.Dir(file), filepath.Base(file)+".part*")
	if err != nil {
		return err
	}
	defer os.Remove(temporary.Name())
	defer temporary.Close()
	if err := write(temporary); err != nil {
		return err
	}
	if err := errors.Join(temporary.Sync(), temporary.Close()); err != nil {
		return err
	}
	return os.Rename(temporary.Name(), file)
}

func parseRecipients(names []string) ([]age.Recipient, error) {
	var recipients []age.Recipient
	for _, name := range names {
		recipient, err := age.ParseX25519Recipient(name)
		if err != nil {
			return nil, usage("--recipient %q is no age recipient (age1...)", name)
		}
		recipients = append(recipients, recipient)
	}
	return recipients, nil
}

func (run *exportRun) encrypted(ctx context.Context, out io.Writer, recipients []age.Recipient) error {
	if len(recipients) == 0 {
		return run.write(ctx, out)
	}
	text := armor.NewWriter(out)
	sealed, err := age.Encrypt(text, recipients...)
	if err != nil {
		return err
	}
	if err := run.write(ctx, sealed); err != nil {
		return err
	}
	return errors.Join(sealed.Close(), text.Close())
}

// write writes section by section, object by object.
func (run *exportRun) write(ctx context.Context, out io.Writer) error {
	if run.format == "json" {
		if _, err := io.WriteString(out, "{"); err != nil {
			return err
		}
	}
	for n, s := range sections() {
		verifiers, err := run.verifiers(ctx, s[1])
		if err != nil {
			return err
		}
		w := &sectionWriter{out: out, format: run.format, section: s[0], first: n == 0}
		run.progress.begin("export "+s[0], 0)
		err = run.server.each(ctx, "/v1/"+s[0], nil, func(item json.RawMessage) error {
			run.progress.add(1)
			fields, err := writable(item)
			if err != nil {
				return fmt.Errorf("%s does not answer as Writ does; is --admin-url right?", run.server.adminURL)
			}
			if fields == nil {
				run.protected++
				return nil
			}
			id, _ := fields["id"].(string)
			for name, value := range verifiers[id] {
				fields[name] = value
			}
			return w.item(fields)
		})
		if err != nil {
			return fmt.Errorf("export %s: %w", s[0], err)
		}
		run.progress.end()
		if err := w.close(); err != nil {
			return err
		}
	}
	if run.format == "json" {
		_, err := io.WriteString(out, "\n}\n")
		return err
	}
	return nil
}

// verifiers are those of a kind, by id.
func (run *exportRun) verifiers(ctx context.Context, kind string) (map[string]map[string]any, error) {
	found := map[string]map[string]any{}
	if !run.secrets || kind != "user" && kind != "application" {
		return found, nil
	}
	for after := ""; ; {
		reply, err := run.server.exchange(ctx, http.MethodPost, "/v1/export/verifiers", nil, map[string]string{"kind": kind, "after": after})
		if err != nil {
			return nil, err
		}
		if err := reply.err(); err != nil {
			return nil, err
		}
		var page struct {
			Items []map[string]any `json:"items"`
			Next  string           `json:"next"`
		}
		if err := json.Unmarshal(reply.body, &page); err != nil {
			return nil, fmt.Errorf("%s does not answer as Writ does; is --admin-url right?", run.server.adminURL)
		}
		for _, item := range page.Items {
			id, _ := item["id"].(string)
			delete(item, "id")
			found[id] = item
		}
		if after = page.Next; after == "" {
			return found, nil
		}
	}
}

// writable are the fields of an object that an import takes; nil for one that is protected.
func writable(item json.RawMessage) (map[string]any, error) {
	d := json.NewDecoder(bytes.NewReader(item))
	d.UseNumber()
	var fields map[string]any
	if err := d.Decode(&fields); err != nil {
		return nil, err
	}
	if fields["protected"] == true {
		return nil, nil
	}
	for _, name := range readOnly() {
		delete(fields, name)
	}
	return fields, nil
}

// readOnly are the fields of replies that nobody writes.
func readOnly() []string {
	return []string{"protected", "created_at", "updated_at", "version", "password", "permissions", "secret", "temporary_password"}
}

// sectionWriter writes the objects of one section.
type sectionWriter struct {
	out     io.Writer
	format  string
	section string
	first   bool // of the document
	begun   bool
}

func (s *sectionWriter) item(fields map[string]any) error {
	if s.format == "json" {
		before := ",\n    "
		if !s.begun {
			before = s.head() + "[\n    "
		}
		s.begun = true
		raw, err := json.Marshal(fields)
		if err != nil {
			return err
		}
		_, err = io.WriteString(s.out, before+string(raw))
		return err
	}
	if !s.begun {
		if _, err := io.WriteString(s.out, s.section+":\n"); err != nil {
			return err
		}
	}
	s.begun = true
	text, err := yamlOf([]any{fields})
	if err != nil {
		return err
	}
	_, err = s.out.Write(text)
	return err
}

func (s *sectionWriter) head() string {
	if s.first {
		return "\n  " + quoted(s.section) + ": "
	}
	return ",\n  " + quoted(s.section) + ": "
}

func quoted(s string) string { return `"` + s + `"` }

func (s *sectionWriter) close() error {
	text := ""
	switch {
	case s.format == "json" && s.begun:
		text = "\n  ]"
	case s.format == "json":
		text = s.head() + "[]"
	case !s.begun:
		text = s.section + ": []\n"
	}
	_, err := io.WriteString(s.out, text)
	return err
}

// yamlOf is the YAML of a value with the member names that JSON has.
func yamlOf(value any) ([]byte, error) {
	var out bytes.Buffer
	if err := writeYAML(&out, value); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}
