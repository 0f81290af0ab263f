package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/writ-authz/writ/policies"
)

func (c *cli) policyDiffCommand() *cobra.Command {
	var source func([]string) (policies.Source, error)
	var print func(any, func(io.Writer)) error
	var against, againstCore *string
	cmd := c.command(cobra.Command{
		Use: "diff [DIR]", Args: cobra.MaximumNArgs(1),
		Short: "Say what differs between two policy sets: rules, catalogue, settings, data, and whose answers may change",
		Example: `  writ policy diff --against ./yesterday ./my-policies
  writ policy diff ./my-policies`,
	}, func(cmd *cobra.Command, args []string) error {
		next, err := source(args)
		if err != nil {
			return err
		}
		old := policies.Source{Dir: *against, CoreDir: *againstCore}
		if err := directories(old); err != nil {
			return err
		}
		difference, err := policies.Diff(cmd.Context(), old, next)
		if err != nil {
			return uncompiled(err)
		}
		return print(difference, func(w io.Writer) { diffTable(w, difference) })
	})
	against = cmd.Flags().String("against", "", "the policy directory to compare with; absent: the shipped set alone")
	againstCore = cmd.Flags().String("against-core", "", "the core directory to compare with")
	source, print = sourceFlags(cmd), c.outputFlag(cmd)
	return cmd
}

func diffTable(w io.Writer, d policies.Difference) {
	for _, c := range d.Changes {
		place := ""
		if c.File != "" {
			place = fmt.Sprintf("%s:%d", c.File, c.Line)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", c.How, c.What, c.Name, place)
		for line := range strings.Lines(c.Diff) {
			fmt.Fprint(w, "    "+strings.ReplaceAll(line, "\t", "    "))
		}
		switch {
		case c.Old != nil && c.New != nil:
			fmt.Fprintf(w, "    %s, now %s\n", c.Old, c.New)
		case c.New != nil:
			fmt.Fprintf(w, "    %s\n", c.New)
		case c.Old != nil:
			fmt.Fprintf(w, "    was %s\n", c.Old)
		}
	}
	if len(d.Changes) == 0 {
		fmt.Fprintln(w, "nothing differs")
		return
	}
	fmt.Fprintf(w, "answers may change: %s\n", strings.Join(d.Entrypoints, ", "))
}
