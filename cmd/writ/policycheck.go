package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/writ-authz/writ/policies"
)

func (c *cli) policyCheckCommand() *cobra.Command {
	var source func([]string) (policies.Source, error)
	var print func(any, func(io.Writer)) error
	cmd := c.command(cobra.Command{
		Use: "check [DIR]", Args: cobra.MaximumNArgs(1),
		Short: "Compile a policy set strictly and hold it to the conventions and the invariants",
		Long: `Parse and compile all rules and tests strictly, with the schemas of input and data and without what rules may not use, and hold them to the
format and the conventions; one of these is that each permit and deny of an application is seen to hold, and not to hold, by its tests, which run for
that. Every problem is told at once, with its line; for editors with --output json.`,
		Example: "  writ policy check ./my-policies\n  writ policy check --output json",
	}, func(cmd *cobra.Command, args []string) error {
		from, err := source(args)
		if err != nil {
			return err
		}
		report, err := policies.Check(cmd.Context(), from)
		if err != nil {
			return err
		}
		if err := print(report, func(w io.Writer) { checkTable(w, report) }); err != nil {
			return err
		}
		if len(report.Problems) == 0 {
			return nil
		}
		// What a server would refuse has an exit code of its own; the rest are conventions.
		_, err = policies.Open(cmd.Context(), policies.Config{Dir: from.Dir, CoreDir: from.CoreDir, Now: c.now})
		if policies.Problems(err) != nil {
			return &exitError{code: exitCompile, err: fmt.Errorf("%d problems; a server would refuse this set", len(report.Problems))}
		}
		return fmt.Errorf("%d problems; a server would take this set", len(report.Problems))
	})
	source, print = sourceFlags(cmd), c.outputFlag(cmd)
	return cmd
}

func checkTable(w io.Writer, report policies.Report) {
	for _, p := range report.Problems {
		fmt.Fprintln(w, p)
		if p.Text != "" {
			fmt.Fprintln(w, marked(p.Text, p.Column))
		}
	}
	if len(report.Problems) == 0 {
		fmt.Fprintf(w, "ok\trevision %s\tdata %s\n", report.Revision, report.DataRevision)
	}
}

// marked is a line with a caret below its column.
func marked(line string, column int) string {
	plain := func(text string) string { return strings.ReplaceAll(text, "\t", "    ") }
	runes := []rune(line)
	before := plain(string(runes[:min(max(column-1, 0), len(runes))]))
	return "    " + plain(line) + "\n    " + strings.Repeat(" ", len([]rune(before))) + "^"
}
