package main

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/writ-authz/writ/policies"
)

func (c *cli) policyNewCommand() *cobra.Command {
	return c.command(cobra.Command{
		Use: "new [DIR/]apps/NAME", Args: cobra.ExactArgs(1),
		Short: "Write the folder of a new application: rules, data, catalogue, tests and golden decisions",
		Long: `Write rules with a permit and a deny, their tests, the data that they read, the catalogue and golden decisions for questions about the type NAME.
What is written passes writ policy check and writ policy test as it is, and each part says what it is for. Nothing is overwritten.`,
		Example: "  writ policy new my-policies/apps/leave\n  writ policy test my-policies",
	}, func(_ *cobra.Command, args []string) error {
		dir, name, ok := applicationPath(args[0])
		if !ok {
			return usage("%s is not of the form [DIR/]apps/NAME", args[0])
		}
		written, err := policies.Scaffold(dir, name)
		for _, file := range written {
			fmt.Fprintln(c.stdout, file)
		}
		if errors.Is(err, policies.ErrScaffold) {
			return usage("%s", err)
		}
		return err
	})
}

// applicationPath takes a path apart into the policy directory and the application's name.
func applicationPath(path string) (dir, name string, ok bool) {
	path = filepath.Clean(path)
	folder, name := filepath.Split(path)
	folder = filepath.Clean(folder)
	if filepath.Base(folder) != "apps" {
		return "", "", false
	}
	return filepath.Dir(folder), name, true
}
