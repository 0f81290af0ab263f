package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"

	"github.com/spf13/cobra"
)

func (c *cli) whoamiCommand() *cobra.Command {
	var server func() (*remote, error)
	var print func(any, func(io.Writer)) error
	cmd := c.command(cobra.Command{
		Use: "whoami", Short: "Show the identity behind a token",
		Long:    "Show the identity behind WRIT_TOKEN, or behind the token that the credentials given would get.",
		Example: "  WRIT_TOKEN=$TOKEN writ whoami --output json",
	}, func(cmd *cobra.Command, _ []string) error {
		r, err := server()
		if err != nil {
			return err
		}
		var me map[string]any
		if err := r.ask(cmd.Context(), http.MethodGet, "/v1/me", nil, &me); err != nil {
			return err
		}
		return print(me, func(w io.Writer) {
			var keys []string
			for key := range me {
				keys = append(keys, key)
			}
			slices.Sort(keys)
			for _, key := range keys {
				value, ok := me[key].(string)
				if !ok {
					raw, err := json.Marshal(me[key])
					if err != nil {
						continue // it came from JSON
					}
					value = string(raw)
				}
				fmt.Fprintf(w, "%s\t%s\n", key, value)
			}
		})
	})
	server, print = c.remoteFlags(cmd), c.outputFlag(cmd)
	return cmd
}
