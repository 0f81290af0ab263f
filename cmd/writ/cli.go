package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"
)

// The exit codes.
const (
	exitOK      = 0
	exitFailure = 1
	exitUsage   = 2
	exitCompile = 3 // a policy does not compile
	exitTests   = 4 // policy tests fail
)

// exitError is an error with an exit code of its own.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

func usage(format string, args ...any) error {
	return &exitError{code: exitUsage, err: fmt.Errorf(format, args...)}
}

// cli is what commands share: the process around them, and nothing of the server.
type cli struct {
	env            []string
	stdin          io.Reader
	stdout, stderr io.Writer
	now            func() time.Time
	// hashProcess starts the process that a node hashes passwords in; nil is to hash in its own.
	hashProcess func() (io.ReadWriteCloser, error)
	// began says that a command's own code has run: errors before that are usage errors.
	began bool
}

// run is the whole program but for what a node does in another process; it returns the exit code.
func run(ctx context.Context, args, env []string, stdin io.Reader, stdout, stderr io.Writer) int {
	return (&cli{env: env, stdin: stdin, stdout: stdout, stderr: stderr, now: time.Now}).run(ctx, args)
}

func (c *cli) run(ctx context.Context, args []string) int {
	root := c.root()
	root.SetArgs(args)
	root.SetIn(c.stdin)
	root.SetOut(c.stdout)
	root.SetErr(c.stderr)
	err := root.ExecuteContext(ctx)
	var own *exitError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &own):
		c.complain(err)
		return own.code
	case !c.began:
		c.complain(fmt.Errorf("%w; see `writ --help`", err))
		return exitUsage
	default:
		c.complain(err)
		return exitFailure
	}
}

// complain prints an error as one line.
func (c *cli) complain(err error) {
	if text := err.Error(); text != "" {
		c.say(strings.Join(strings.Fields(text), " "))
	}
}

// say prints a line beside what the command prints.
func (c *cli) say(text string) { fmt.Fprintln(c.stderr, "writ: "+text) }

func (c *cli) root() *cobra.Command {
	root := c.parent("writ", "Authorization server: OAuth tokens, identities, and decisions by policy", c.commands()...)
	root.Long = `Writ issues OAuth 2.0 tokens, keeps identities and roles, and takes every permission decision by evaluating Rego.

  writ dev      try it: demo data in a temporary directory, with curl lines to paste
  writ serve    run it
  writ policy   write and test rules

Exit codes: 0 ok, 1 failure, 2 usage, 3 policy does not compile, 4 policy tests fail.`
	root.SilenceErrors, root.SilenceUsage = true, true
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usage("%s; see `%s --help`", err, cmd.CommandPath())
	})
	return root
}

func (c *cli) commands() []*cobra.Command {
	return append(c.objectCommands(),
		c.devCommand(), c.serveCommand(), c.configCommand(), c.healthcheckCommand(), c.recoverCommand(), c.seedCommand(), c.policyCommand(),
		c.tokenCommand(), c.decideCommand(), c.whoamiCommand(), c.keysCommand(), c.reviewCommand(), c.auditCommand(),
		c.importCommand(), c.exportCommand(), c.backupCommand(), c.restoreCommand(), c.versionCommand(), c.hashPasswordsCommand(),
	)
}

// parent is a command that only holds others; without one of them it shows its help, with an unknown one it says so.
func (c *cli) parent(use, short string, children ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: short, Args: cobra.ArbitraryArgs}
	cmd.AddCommand(children...)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return cmd.Help()
		}
		var names []string
		for _, child := range cmd.Commands() {
			names = append(names, child.Name())
		}
		return usage("unknown command %q for %q; the nearest is %q", args[0], cmd.CommandPath(), nearest(args[0], names))
	}
	return cmd
}

// command makes a command whose errors are failures once it runs.
func (c *cli) command(cmd cobra.Command, do func(cmd *cobra.Command, args []string) error) *cobra.Command {
	if cmd.Args == nil {
		cmd.Args = cobra.NoArgs
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c.began = true
		return do(cmd, args)
	}
	return &cmd
}

// configFlags adds --config and one flag per key that is not secret, and returns what reads them.
func (c *cli) configFlags(cmd *cobra.Command) func() sources {
	file := cmd.Flags().String("config", "", "configuration file (WRIT_CONFIG; ./writ.yaml if it is there)")
	config := defaults()
	given := map[string]*string{}
	for _, row := range options(&config) {
		if row.secret {
			continue
		}
		given[row.key] = cmd.Flags().String(row.flag(), "", fmt.Sprintf("%s (%s)", row.usage, row.env()))
		if _, ok := row.field.(*bool); ok {
			cmd.Flags().Lookup(row.flag()).NoOptDefVal = "true"
		}
	}
	return func() sources {
		src := sources{env: c.env, file: *file, flags: map[string]string{}}
		for key, value := range given {
			if cmd.Flags().Changed(strings.ReplaceAll(key, "_", "-")) {
				src.flags[key] = *value
			}
		}
		return src
	}
}

// outputFlag adds --output and returns what prints a value in the wanted form. table writes the value for people.
func (c *cli) outputFlag(cmd *cobra.Command) printer {
	format := cmd.Flags().StringP("output", "o", "table", "table, json or yaml")
	return func(value any, table func(w io.Writer)) error {
		switch *format {
		case "table":
			var cells bytes.Buffer
			table(&cells)
			w := tabwriter.NewWriter(c.stdout, 0, 4, 2, ' ', 0)
			if _, err := w.Write(bytes.Map(plainRune, cells.Bytes())); err != nil {
				return err
			}
			return w.Flush()
		case "json":
			encoder := json.NewEncoder(c.stdout)
			encoder.SetEscapeHTML(false)
			encoder.SetIndent("", "  ")
			return encoder.Encode(value)
		case "yaml":
			return writeYAML(c.stdout, value)
		}
		return usage("--output %q is none of table, json, yaml", *format)
	}
}

// printer prints a value in the form that was asked for, as a table by table.
type printer = func(value any, table func(w io.Writer)) error

// plainRune keeps what a table shows from moving the cursor and from turning the direction of text, whoever wrote it.
func plainRune(r rune) rune {
	if unicode.IsControl(r) && r != '\n' && r != '\t' || unicode.Is(unicode.Cf, r) {
		return '?'
	}
	return r
}

// writeYAML writes a value with the member names that JSON has.
func writeYAML(w io.Writer, value any) error {
	raw, err := json.Marshal(value)
	if err != nil {
		return err
	}
	var tree any
	if err := yaml.Unmarshal(raw, &tree); err != nil { // JSON is YAML; this keeps whole numbers whole
		return err
	}
	encoder := yaml.NewEncoder(w)
	encoder.SetIndent(2)
	if err := encoder.Encode(tree); err != nil {
		return err
	}
	return encoder.Close()
}

// variable returns an environment variable, or what the file in its _FILE counterpart holds.
func (c *cli) variable(name string) (string, error) {
	for _, entry := range slices.Backward(c.env) {
		if value, ok := strings.CutPrefix(entry, name+"="); ok && value != "" {
			return value, nil
		}
		if path, ok := strings.CutPrefix(entry, name+"_FILE="); ok && path != "" {
			return readSecret(path)
		}
	}
	return "", nil
}
