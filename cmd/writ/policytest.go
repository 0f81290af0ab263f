package main

import (
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/writ-authz/writ/policies"
)

// watchPoll is how often --watch looks at the directories where the file system tells nothing.
const watchPoll = 2 * time.Second

func (c *cli) policyTestCommand() *cobra.Command {
	var source func([]string) (policies.Source, error)
	var print func(any, func(io.Writer)) error
	var verbose, watch *bool
	var only *string
	cmd := c.command(cobra.Command{
		Use: "test [DIR]", Args: cobra.MaximumNArgs(1),
		Short: "Run the Rego tests and golden decisions of a policy set, with coverage",
		Long: `Run the tests beside the rules, each row of a table test for itself, and the golden decisions (decisions/*.yaml), and say which lines no test
evaluates. With --watch they run again on every save, those of what changed and of what depends on it, until ctrl-C.`,
		Example: "  writ policy test ./my-policies --verbose\n  writ policy test ./my-policies --run 'invoice_test.*limit'\n  writ policy test ./my-policies --watch",
	}, func(cmd *cobra.Command, args []string) error {
		from, err := source(args)
		if err != nil {
			return err
		}
		if *only != "" {
			if from.Run, err = regexp.Compile(*only); err != nil {
				return usage("--run: %s", err)
			}
		}
		if !*watch {
			report, err := policies.Test(cmd.Context(), from)
			if err == nil && *only != "" && len(report.Tests) == 0 {
				return &exitError{code: exitTests, err: fmt.Errorf("no test and no golden decision has a name that matches %q", *only)}
			}
			return c.tested(print, report, err, *verbose)
		}
		if from.Dir == "" && from.CoreDir == "" {
			return usage("--watch needs a directory: the shipped set does not change")
		}
		policies.Retest(cmd.Context(), from, watchPoll, func(report policies.TestReport, err error) {
			if err := c.tested(print, report, err, *verbose); err != nil {
				c.complain(err)
			}
		})
		return nil
	})
	verbose = cmd.Flags().BoolP("verbose", "v", false, "list the tests that passed, and full coverage too")
	watch = cmd.Flags().BoolP("watch", "w", false, "run again on every save")
	only = cmd.Flags().String("run", "", "run only tests and golden decisions whose name matches this regular expression, without coverage")
	source, print = sourceFlags(cmd), c.outputFlag(cmd)
	return cmd
}

// tested prints the outcome of a run and turns it into an error with its exit code.
func (c *cli) tested(print printer, report policies.TestReport, err error, verbose bool) error {
	if problems := policies.Problems(err); problems != nil {
		checked := policies.Report{Problems: problems}
		if err := print(checked, func(w io.Writer) { checkTable(w, checked) }); err != nil {
			return err
		}
		return &exitError{code: exitCompile, err: fmt.Errorf("%d problems; see above", len(problems))}
	}
	if err != nil {
		return err
	}
	if err := print(report, func(w io.Writer) { testTable(w, report, verbose) }); err != nil {
		return err
	}
	if failed := report.Failed(); failed > 0 {
		return &exitError{code: exitTests, err: fmt.Errorf("%d of %d tests failed", failed, len(report.Tests))}
	}
	return nil
}

func testTable(w io.Writer, report policies.TestReport, verbose bool) {
	passed := 0
	for _, result := range report.Tests {
		if result.Pass {
			passed++
		}
		if result.Pass && !verbose {
			continue
		}
		fmt.Fprintf(w, "%s\t%s:%d\t%s\t%s\n", verdict(result.Pass), result.File, result.Line, result.Name, result.Message)
		for _, row := range result.Cases {
			if !row.Pass || verbose {
				fmt.Fprintf(w, "%s\t\t%s[%q]\t\n", verdict(row.Pass), result.Name, row.Name)
			}
		}
	}
	for _, file := range report.Coverage {
		switch {
		case len(file.Uncovered) > 0:
			fmt.Fprintf(w, "cover\t%s\t%.1f%%\tnot evaluated: lines %s\n", file.File, file.Percent, lines(file.Uncovered))
		case verbose:
			fmt.Fprintf(w, "cover\t%s\t%.1f%%\t\n", file.File, file.Percent)
		}
	}
	fmt.Fprintf(w, "%d of %d tests passed\n", passed, len(report.Tests))
}

func verdict(pass bool) string {
	if pass {
		return "ok"
	}
	return "FAIL"
}

func lines(ranges []policies.Uncovers) string {
	places := make([]string, len(ranges))
	for i, r := range ranges {
		places[i] = strconv.Itoa(r.From)
		if r.To > r.From {
			places[i] += "-" + strconv.Itoa(r.To)
		}
	}
	return strings.Join(places, ", ")
}
