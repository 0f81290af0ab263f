package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/writ-authz/writ/policies"
)

func (c *cli) policyCommand() *cobra.Command {
	return c.parent("policy", "Write and test rules: check, test, fmt, eval, replay, eject",
		c.policyCheckCommand(), c.policyTestCommand(), c.policyFmtCommand(), c.policyEvalCommand(), c.policyReplayCommand(),
		c.policyEjectCommand())
}

// sourceFlags adds the flags that name a policy set and returns what reads them. A first argument is the policy directory too.
func sourceFlags(cmd *cobra.Command) func(args []string) (policies.Source, error) {
	dir := cmd.Flags().String("policies", "", "directory with apps/*, catalogue parts and settings; absent: the shipped set alone")
	core := cmd.Flags().String("policies-core", "", "directory that replaces the core rules")
	return func(args []string) (policies.Source, error) {
		source := policies.Source{Dir: *dir, CoreDir: *core}
		if len(args) == 1 {
			if source.Dir != "" {
				return source, usage("the directory is given twice, as --policies and as an argument")
			}
			source.Dir = args[0]
		}
		for _, name := range []string{source.Dir, source.CoreDir} {
			if name == "" {
				continue
			}
			if info, err := os.Stat(name); err != nil || !info.IsDir() {
				return source, usage("%s is not a directory", name)
			}
		}
		return source, nil
	}
}

func (c *cli) policyCheckCommand() *cobra.Command {
	var source func([]string) (policies.Source, error)
	var print func(any, func(io.Writer)) error
	cmd := c.command(cobra.Command{
		Use: "check [DIR]", Args: cobra.MaximumNArgs(1),
		Short:   "Compile a policy set strictly and hold it to the conventions and the invariants",
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
		place := p.File
		if p.Line > 0 {
			place = fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\n", place, p.Rule, p.Message)
	}
	if len(report.Problems) == 0 {
		fmt.Fprintf(w, "ok\trevision %s\tdata %s\n", report.Revision, report.DataRevision)
	}
}

func (c *cli) policyTestCommand() *cobra.Command {
	var source func([]string) (policies.Source, error)
	var print func(any, func(io.Writer)) error
	var verbose *bool
	cmd := c.command(cobra.Command{
		Use: "test [DIR]", Args: cobra.MaximumNArgs(1),
		Short:   "Run the Rego tests and golden decisions of a policy set, with coverage",
		Example: "  writ policy test ./my-policies --verbose",
	}, func(cmd *cobra.Command, args []string) error {
		from, err := source(args)
		if err != nil {
			return err
		}
		report, err := policies.Test(cmd.Context(), from)
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
		if err := print(report, func(w io.Writer) { testTable(w, report, *verbose) }); err != nil {
			return err
		}
		if failed := report.Failed(); failed > 0 {
			return &exitError{code: exitTests, err: fmt.Errorf("%d of %d tests failed", failed, len(report.Tests))}
		}
		return nil
	})
	verbose = cmd.Flags().BoolP("verbose", "v", false, "list the tests that passed, and full coverage too")
	source, print = sourceFlags(cmd), c.outputFlag(cmd)
	return cmd
}

func testTable(w io.Writer, report policies.TestReport, verbose bool) {
	passed := 0
	for _, result := range report.Tests {
		word := "FAIL"
		if result.Pass {
			word = "ok"
			passed++
		}
		if !result.Pass || verbose {
			fmt.Fprintf(w, "%s\t%s:%d\t%s\t%s\n", word, result.File, result.Line, result.Name, result.Message)
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

// uncompiled gives an error that consists of findings in the rules its exit code.
func uncompiled(err error) error {
	if policies.Problems(err) != nil {
		return &exitError{code: exitCompile, err: err}
	}
	return err
}

func (c *cli) policyEvalCommand() *cobra.Command {
	var source func([]string) (policies.Source, error)
	var print func(any, func(io.Writer)) error
	var entrypoint, input *string
	cmd := c.command(cobra.Command{
		Use: "eval [DIR]", Args: cobra.MaximumNArgs(1),
		Short: "Evaluate a policy set on an input, without a server",
		Long: `Evaluate an entrypoint on an input document, JSON or YAML, that may leave out whatever is empty. What the rules see in full is
described by the input schema (writ policy eject, schemas/input.json).`,
		Example: "  echo '{subject: {type: user, id: ada}, action: {name: read}, resource: {type: ledger/accounts, id: \"1\"}}' | writ policy eval",
	}, func(cmd *cobra.Command, args []string) error {
		from, err := source(args)
		if err != nil {
			return err
		}
		document := c.stdin
		if *input != "-" {
			file, err := os.Open(*input)
			if err != nil {
				return usage("--input: %s", err)
			}
			defer file.Close()
			document = file
		}
		result, err := policies.Eval(cmd.Context(), from, policies.Entrypoint(*entrypoint), document)
		if err != nil {
			return uncompiled(err)
		}
		return print(result, func(w io.Writer) { evalTable(w, result) })
	})
	entrypoint = cmd.Flags().String("entrypoint", string(policies.EntryDecision), "entrypoint to put the question to")
	input = cmd.Flags().String("input", "-", "file with the input; - is standard input")
	source, print = sourceFlags(cmd), c.outputFlag(cmd)
	return cmd
}

func evalTable(w io.Writer, result policies.Evaluation) {
	verdict := "denied"
	if result.Allow {
		verdict = "allowed"
	}
	fmt.Fprintln(w, verdict)
	for _, reason := range result.Reasons {
		fmt.Fprintf(w, "reason\t%s\t%s\n", reason.Code, reason.Rule)
	}
	if len(result.Obligations) > 0 {
		raw, err := json.Marshal(result.Obligations)
		if err == nil { // it came from JSON
			fmt.Fprintf(w, "obligations\t%s\n", raw)
		}
	}
	fmt.Fprintf(w, "policy\t%s\ndata\t%s\n", result.PolicyRevision, result.DataRevision)
}

func (c *cli) policyFmtCommand() *cobra.Command {
	var write *bool
	cmd := c.command(cobra.Command{
		Use: "fmt DIR", Args: cobra.ExactArgs(1),
		Short:   "List the Rego files that are not formatted, or format them with --write",
		Example: "  writ policy fmt --write ./my-policies",
	}, func(_ *cobra.Command, args []string) error {
		changed, err := policies.Format(args[0], *write)
		if err != nil {
			return uncompiled(err)
		}
		for _, file := range changed {
			fmt.Fprintln(c.stdout, file)
		}
		if len(changed) > 0 && !*write {
			return errors.New("not formatted; run again with --write")
		}
		return nil
	})
	write = cmd.Flags().BoolP("write", "w", false, "write the files")
	return cmd
}

func (c *cli) policyEjectCommand() *cobra.Command {
	return c.command(cobra.Command{
		Use: "eject DIR", Args: cobra.ExactArgs(1),
		Short:   "Write the shipped core rules into a directory, for --policies-core",
		Example: "  writ policy eject ./core && writ policy check --policies-core ./core",
	}, func(_ *cobra.Command, args []string) error {
		if err := policies.Eject(args[0]); err != nil {
			return err
		}
		_, err := fmt.Fprintln(c.stdout, args[0])
		return err
	})
}
