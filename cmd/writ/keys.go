package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/spf13/cobra"
)

// keyRecord is a key as the admin API shows it.
type keyRecord struct {
	KID       string          `json:"kid"`
	Ring      string          `json:"ring"`
	Algorithm string          `json:"alg"`
	State     string          `json:"state"`
	CreatedAt *time.Time      `json:"created_at,omitempty"`
	ActiveAt  *time.Time      `json:"active_at,omitempty"`
	RetireAt  *time.Time      `json:"retire_at,omitempty"`
	Public    json.RawMessage `json:"public,omitempty"`
}

func (c *cli) keysCommand() *cobra.Command {
	return c.parent("keys", "See, rotate and retire the keys of a running server",
		c.keysListCommand(), c.keysRotateCommand(), c.keysRetireCommand())
}

func (c *cli) keysListCommand() *cobra.Command {
	var server func() (*remote, error)
	var print func(any, func(io.Writer)) error
	cmd := c.command(cobra.Command{
		Use: "list", Short: "List the keys of all rings, with their states",
		Long: `List the keys. The rings are access (JSON Web Tokens), introspection (signed replies), opaque (sealed tokens) and refresh. A key
is next (published, not used yet), active (it signs), retiring (what it signed is still good) or retired (nothing of it is). ACTIVE is
when it became active, or will; RETIRES is when a retiring key ends, or when a retired one did. Needs keys:read.`,
		Example: "  writ keys list\n  writ keys list --ring access --output json",
	}, func(cmd *cobra.Command, _ []string) error {
		r, err := server()
		if err != nil {
			return err
		}
		ring, err := cmd.Flags().GetString("ring")
		if err != nil {
			return err
		}
		keys, err := r.keys(cmd.Context(), ring)
		if err != nil {
			return err
		}
		return print(keys, func(w io.Writer) { tableOfKeys(w, keys) })
	})
	cmd.Flags().String("ring", "", "only the keys of this ring")
	server, print = c.adminFlags(cmd), c.outputFlag(cmd)
	return cmd
}

// keys reads all pages of the list.
func (r *remote) keys(ctx context.Context, ring string) ([]keyRecord, error) {
	all := []keyRecord{}
	query := url.Values{"limit": {"100"}}
	if ring != "" {
		query.Set("ring", ring)
	}
	for {
		var page struct {
			Items []keyRecord `json:"items"`
			Next  string      `json:"next"`
		}
		if err := r.manage(ctx, http.MethodGet, "/v1/keys?"+query.Encode(), nil, &page); err != nil {
			return nil, err
		}
		all = append(all, page.Items...)
		if page.Next == "" {
			return all, nil
		}
		query.Set("after", page.Next)
	}
}

func (c *cli) keysRotateCommand() *cobra.Command {
	var server func() (*remote, error)
	var print func(any, func(io.Writer)) error
	var ring, algorithm string
	var now bool
	cmd := c.command(cobra.Command{
		Use: "rotate", Short: "Give a ring another key, once it was published for long enough or now",
		Long: `Make the next key of a ring. It is published at once and becomes active by itself when every copy of the JWKS that somebody may
keep has it, some minutes later; until then the active key signs on, and afterwards what it signed is good until it expires.

With --now the next key, made here if none waits, becomes active at once. A resource server that has an old copy of the JWKS then meets
a key id that it does not know, and must fetch the JWKS again before it is due; those that do not refuse good tokens for up to five
minutes. To end a key that got known, use writ keys retire. Needs keys:write.`,
		Example: "  writ keys rotate\n  writ keys rotate --ring access --alg EdDSA\n  writ keys rotate --ring refresh --now",
	}, func(cmd *cobra.Command, _ []string) error {
		r, err := server()
		if err != nil {
			return err
		}
		if algorithm == "" && ring == "access" {
			algorithm = "ES256"
		}
		ask := map[string]any{"ring": ring, "now": now}
		if algorithm != "" {
			ask["alg"] = algorithm
		}
		var key keyRecord
		if err := r.manage(cmd.Context(), http.MethodPost, "/v1/keys", ask, &key); err != nil {
			return err
		}
		return print(key, func(w io.Writer) { tableOfKeys(w, []keyRecord{key}) })
	})
	cmd.Flags().StringVar(&ring, "ring", "access", "access, introspection, opaque or refresh")
	cmd.Flags().StringVar(&algorithm, "alg", "", "in the ring access: ES256, RS256 or EdDSA; absent: ES256. The other rings have one each")
	cmd.Flags().BoolVar(&now, "now", false, "make it the active key at once; see above who notices")
	server, print = c.adminFlags(cmd), c.outputFlag(cmd)
	return cmd
}

func (c *cli) keysRetireCommand() *cobra.Command {
	var server func() (*remote, error)
	var print func(any, func(io.Writer)) error
	cmd := c.command(cobra.Command{
		Use: "retire KID", Args: cobra.ExactArgs(1),
		Short: "End a key at once, and all that it made",
		Long: `End a key that must not be trusted any longer. Every token that it made is refused from now on, here at once, and by resource
servers that verify tokens themselves when they next fetch the JWKS. The secret half is deleted. If the key is the active one, the next
one succeeds it, or a new one where none waits. A KID that begins with a hyphen, as new ones do not, goes after --. Needs keys:write.`,
		Example: "  writ keys retire 5m4Yp2Gf0sXqJxv1mF2bqkq2r6dVZ5yqkW8Q8b0uQ9E\n  writ keys retire -- -m4Yp2Gf0sXqJxv1mF2bqkq2r6dVZ5yqkW8Q8b0uQ9E",
	}, func(cmd *cobra.Command, args []string) error {
		r, err := server()
		if err != nil {
			return err
		}
		if err := r.manage(cmd.Context(), http.MethodDelete, "/v1/keys/"+url.PathEscape(args[0]), nil, nil); err != nil {
			return err
		}
		return print(map[string]string{"kid": args[0], "state": "retired"}, func(w io.Writer) { fmt.Fprintf(w, "%s\tretired\n", args[0]) })
	})
	server, print = c.adminFlags(cmd), c.outputFlag(cmd)
	return cmd
}

func tableOfKeys(w io.Writer, keys []keyRecord) {
	at := func(t *time.Time) string {
		if t == nil {
			return "-"
		}
		return t.UTC().Format(time.RFC3339)
	}
	fmt.Fprintln(w, "KID\tRING\tALG\tSTATE\tACTIVE\tRETIRES")
	for _, k := range keys {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", k.KID, k.Ring, k.Algorithm, k.State, at(k.ActiveAt), at(k.RetireAt))
	}
}
