package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"
)

func (c *cli) configCommand() *cobra.Command {
	return c.parent("config", "Check and show the configuration of `writ serve`", c.configValidateCommand(), c.configShowCommand())
}

func (c *cli) configValidateCommand() *cobra.Command {
	var read func() sources
	cmd := c.command(cobra.Command{
		Use: "validate", Short: "Say whether `writ serve` could start with this configuration, and what is wrong",
		Example: "  writ config validate --config /etc/writ/writ.yaml",
	}, func(*cobra.Command, []string) error {
		_, _, err := loadConfig(read())
		var problems configError
		if errors.As(err, &problems) {
			for _, problem := range problems {
				fmt.Fprintln(c.stderr, "writ: "+problem)
			}
			return &exitError{code: exitFailure, err: errors.New("")}
		}
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(c.stdout, "configuration ok")
		return err
	})
	read = c.configFlags(cmd)
	return cmd
}

func (c *cli) configShowCommand() *cobra.Command {
	var read func() sources
	var print func(any, func(io.Writer)) error
	cmd := c.command(cobra.Command{
		Use: "show", Short: "Show every value and where it comes from; secrets are hidden",
		Example: "  WRIT_LISTEN=127.0.0.1:9000 writ config show\n  writ config show --output json",
	}, func(*cobra.Command, []string) error {
		_, settings, loadErr := loadConfig(read())
		if err := print(settings, func(w io.Writer) {
			fmt.Fprintln(w, "KEY\tVALUE\tORIGIN")
			for _, s := range settings {
				fmt.Fprintf(w, "%s\t%s\t%s\n", s.Key, s.Value, s.Origin)
			}
		}); err != nil {
			return err
		}
		return loadErr
	})
	read, print = c.configFlags(cmd), c.outputFlag(cmd)
	return cmd
}
