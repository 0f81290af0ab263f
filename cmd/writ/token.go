package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"
)

func (c *cli) tokenCommand() *cobra.Command {
	var server func() (*remote, error)
	var print func(any, func(io.Writer)) error
	cmd := c.command(cobra.Command{
		Use: "token", Short: "Get an access token from a running server",
		Long: `Get an access token and print it, and nothing else; with --output json or yaml print the whole reply.
With a username it is a person's token (grant type password), else the application's own (client_credentials).`,
		Example: "  TOKEN=$(WRIT_CLIENT_SECRET_FILE=billing.secret writ token --client-id billing)\n" +
			"  WRIT_PASSWORD_FILE=ada.password writ token --client-id portal --username ada --output json",
	}, func(cmd *cobra.Command, _ []string) error {
		r, err := server()
		if err != nil {
			return err
		}
		issued, err := r.issue(cmd.Context())
		if err != nil {
			return err
		}
		return print(issued, func(w io.Writer) { fmt.Fprintln(w, issued.AccessToken) })
	})
	server, print = c.remoteFlags(cmd), c.outputFlag(cmd)
	return cmd
}
