package main

import (
	"fmt"
	"io"
	"regexp"
	"strings"

	"github.com/spf13/cobra"

	"github.com/writ-authz/writ/policies"
)

func (c *cli) policyMutateCommand() *cobra.Command {
	var source func([]string) (policies.Source, error)
	var print func(any, func(io.Writer)) error
	var begin func() *progress
	var rules, golden *string
	var every *int
	cmd := c.command(cobra.Command{
		Use: "mutate [DIR]", Args: cobra.MaximumNArgs(1),
		Short: "Put mistakes into the rules, one at a time, and say which of them no test notices",
		Long: `Negate, drop and widen conditions, exchange operators, change constants, drop rules and defaults, one at a time, and run the tests and golden
decisions that evaluate the changed rule. What no test notices is a survivor: a test is missing, or the mistake makes no difference. The latter
are listed with a reason in mutants.yaml at the top of the directory; an entry there must survive.

Without a directory the shipped rules are mutated; their golden decisions are those of the source tree (--golden policies/testdata/decisions).`,
		Example: "  writ policy mutate ./my-policies\n  writ policy mutate ./my-policies --rules 'apps.invoice.deny'",
	}, func(cmd *cobra.Command, args []string) error {
		from, err := source(args)
		if err != nil {
			return err
		}
		from.Golden = *golden
		if err := directories(from); err != nil {
			return err
		}
		var mutation policies.Mutation
		if *rules != "" {
			if mutation.Rules, err = regexp.Compile(*rules); err != nil {
				return usage("--rules: %s", err)
			}
		}
		if mutation.Every = *every; mutation.Every < 1 {
			return usage("--every is 1 or more")
		}
		told := begin()
		mutation.Progress = func(n int) {
			if n < 0 {
				told.begin("mutants", -n)
				return
			}
			told.add(n)
		}
		report, err := policies.Mutate(cmd.Context(), from, mutation)
		told.end()
		if err != nil {
			return uncompiled(err)
		}
		if err := print(report, func(w io.Writer) { mutateTable(w, report) }); err != nil {
			return err
		}
		if left := len(report.Survivors) + len(report.Stale); left > 0 {
			return fmt.Errorf("%d mutants survive, %d entries of mutants.yaml are stale", len(report.Survivors), len(report.Stale))
		}
		return nil
	})
	rules = cmd.Flags().String("rules", "", "mutate only rules whose name, such as apps.invoice.permit, matches this regular expression")
	golden = cmd.Flags().String("golden", "", "a further directory of golden decisions")
	every = cmd.Flags().Int("every", 1, "take each n-th mutant only: a sample that is the same each time")
	source, print, begin = sourceFlags(cmd), c.outputFlag(cmd), c.progressFlag(cmd)
	return cmd
}

func mutateTable(w io.Writer, report policies.MutationReport) {
	for _, m := range report.Survivors {
		fmt.Fprintf(w, "%s:%d:%d: %s: %s (%d tests evaluate the rule)\n", m.File, m.Line, m.Column, m.Rule, m.Change, m.Tests)
		for line := range strings.Lines(m.Diff) {
			fmt.Fprint(w, "    "+strings.ReplaceAll(line, "\t", "    "))
		}
	}
	for _, p := range report.Stale {
		fmt.Fprintln(w, p)
	}
	fmt.Fprintf(w, "%d mutants: %d killed, %d refused by check, %d accepted, %d survive\n",
		report.Mutants, report.Killed, report.Refused, report.Accepted, len(report.Survivors))
}
