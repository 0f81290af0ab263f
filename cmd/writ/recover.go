package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"
)

func (c *cli) recoverCommand() *cobra.Command {
	var read func() sources
	var print func(any, func(io.Writer)) error
	cmd := c.command(cobra.Command{
		Use: "recover", Short: "Give the application root a new secret, on this machine, audited",
		Long: `Give the application root a new secret and print it once. It works on the store itself. The embedded store is for one
process, so the server must be stopped; beside nodes on MongoDB it runs as it is, with their mongodb_uri and kek_file. The old secrets of
root end.`,
		Example: "  writ recover --data-dir /var/lib/writ",
	}, func(cmd *cobra.Command, _ []string) error {
		config, _, err := loadConfig(read())
		if err != nil {
			return err
		}
		config.DecisionLog, config.DecisionLogRequired = "off", false // nothing is decided here, and standard output is the secret's
		ctx := cmd.Context()
		config.bound(config.Listen) // no token is issued here
		n, err := c.openNode(ctx, config, newLogger(config, c.stderr))
		if err != nil {
			return err
		}
		defer n.close(context.WithoutCancel(ctx))
		secret, err := n.room.RecoverRoot(ctx)
		if err != nil {
			return fmt.Errorf("recover: %w", err)
		}
		return print(map[string]string{"client_id": "root", "client_secret": secret}, func(w io.Writer) {
			fmt.Fprintf(w, "client_id\troot\nclient_secret\t%s\n", secret)
		})
	})
	read, print = c.configFlags(cmd), c.outputFlag(cmd)
	return cmd
}
