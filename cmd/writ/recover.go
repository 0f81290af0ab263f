package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"
)

func (c *cli) recoverCommand() *cobra.Command {
	var read func() sources
	var revoke bool
	var print func(any, func(io.Writer)) error
	cmd := c.command(cobra.Command{
		Use: "recover", Short: "Give the application root a new secret, or end every token after a restore; on this machine, audited",
		Long: `Give the application root a new secret and print it once. It works on the store itself. The embedded store is for one
process, so the server must be stopped; beside nodes on MongoDB it runs as it is, with their mongodb_uri and kek_file. The old secrets of
root end.

With --revoke-tokens it ends every token and session instead. A database that was restored from a copy has forgotten what was revoked since
the copy was made: run it before the first node serves.`,
		Example: "  writ recover --data-dir /var/lib/writ\n  writ recover --data-dir /var/lib/writ --revoke-tokens",
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
		if revoke {
			if err := n.room.RevokeRestored(ctx); err != nil {
				return fmt.Errorf("recover: %w", err)
			}
			return print(map[string]string{"revoked": "tokens"}, func(w io.Writer) { fmt.Fprintf(w, "revoked\tevery token\n") })
		}
		secret, err := n.room.RecoverRoot(ctx)
		if err != nil {
			return fmt.Errorf("recover: %w", err)
		}
		return print(map[string]string{"client_id": "root", "client_secret": secret}, func(w io.Writer) {
			fmt.Fprintf(w, "client_id\troot\nclient_secret\t%s\n", secret)
		})
	})
	read, print = c.configFlags(cmd), c.outputFlag(cmd)
	cmd.Flags().BoolVar(&revoke, "revoke-tokens", false, "end every token and session from before, after a restore")
	return cmd
}
