package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/writ-authz/writ/policies"
)

func (c *cli) policyFmtCommand() *cobra.Command {
	var write, check, diff *bool
	cmd := c.command(cobra.Command{
		Use: "fmt DIR", Args: cobra.ExactArgs(1),
		Short: "List the Rego files that are not formatted, or format them with --write",
		Example: `  writ policy fmt --diff ./my-policies
  writ policy fmt --write ./my-policies
  writ policy fmt --check ./my-policies`,
	}, func(_ *cobra.Command, args []string) error {
		if *write && *check {
			return usage("--check and --write exclude each other: one of them changes nothing")
		}
		changed, err := policies.Format(args[0], *write)
		for _, file := range changed {
			fmt.Fprintln(c.stdout, file.File)
			if *diff {
				fmt.Fprint(c.stdout, file.Diff)
			}
		}
		if problems := policies.Problems(err); problems != nil {
			checkTable(c.stdout, policies.Report{Problems: problems})
		}
		if err != nil {
			return uncompiled(err)
		}
		if len(changed) > 0 && !*write {
			return errors.New("not formatted; run again with --write")
		}
		return nil
	})
	write = cmd.Flags().BoolP("write", "w", false, "write the files")
	check = cmd.Flags().Bool("check", false, "write nothing, and fail if a file is not formatted; so it is without --write too")
	diff = cmd.Flags().BoolP("diff", "d", false, "show what differs")
	return cmd
}
