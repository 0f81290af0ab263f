package main

import (
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/writ-authz/writ/policies"
)

func (c *cli) policyCommand() *cobra.Command {
	return c.parent("policy", "Write, test and activate rules: new, check, test, fmt, eval, why, bench, diff, mutate, replay, eject, push, activate, rollback, log",
		c.policyNewCommand(), c.policyCheckCommand(), c.policyTestCommand(), c.policyFmtCommand(), c.policyEvalCommand(),
		c.policyWhyCommand(), c.policyBenchCommand(), c.policyDiffCommand(), c.policyMutateCommand(), c.policyReplayCommand(),
		c.policyEjectCommand(), c.policyPushCommand(), c.policyActivateCommand(), c.policyRollbackCommand(), c.policyLogCommand())
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
		return source, directories(source)
	}
}

func directories(source policies.Source) error {
	for _, name := range []string{source.Dir, source.CoreDir, source.Golden} {
		if name == "" {
			continue
		}
		if info, err := os.Stat(name); err != nil || !info.IsDir() {
			return usage("%s is not a directory", name)
		}
	}
	return nil
}

// questionFlags adds the flags that name a question and returns what opens its document.
func (c *cli) questionFlags(cmd *cobra.Command) func() (policies.Entrypoint, io.ReadCloser, error) {
	entrypoint := cmd.Flags().String("entrypoint", string(policies.EntryDecision), "entrypoint to put the question to")
	input := cmd.Flags().String("input", "-", "file with the input, JSON or YAML, that may leave out whatever is empty; - is standard input")
	return func() (policies.Entrypoint, io.ReadCloser, error) {
		if *input == "-" {
			return policies.Entrypoint(*entrypoint), io.NopCloser(c.stdin), nil
		}
		file, err := os.Open(*input)
		if err != nil {
			return "", nil, usage("--input: %s", err)
		}
		return policies.Entrypoint(*entrypoint), file, nil
	}
}

// uncompiled gives an error that consists of findings in the rules its exit code.
func uncompiled(err error) error {
	if policies.Problems(err) != nil {
		return &exitError{code: exitCompile, err: err}
	}
	return err
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
