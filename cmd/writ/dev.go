package main

import (
	"crypto/rand"
	_ "embed"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/writ-authz/writ/identity"
)

// demoFile is the bootstrap document of the demonstration; ${NAME} stands for a credential that is made at each start.
//
//go:embed demo/bootstrap.yaml
var demoFile string

func (c *cli) devCommand() *cobra.Command {
	var read func() sources
	cmd := c.command(cobra.Command{
		Use: "dev", Short: "Try it: demo data in a temporary directory, with curl lines to paste",
		Long: `Run a server with demo tenants, roles, groups, users and applications in a temporary directory, which is removed at the end,
and print lines to paste. Not for production: its credentials are on your screen.`,
		Example: "  writ dev\n  writ dev --policies ./my-policies --listen 127.0.0.1:9080 --admin-listen 127.0.0.1:9081",
	}, func(cmd *cobra.Command, _ []string) error {
		dir, err := os.MkdirTemp("", "writ-dev-")
		if err != nil {
			return err
		}
		defer func() { _ = os.RemoveAll(dir) }() // a leftover in the temporary directory hurts nobody
		src := read()
		src.name = "default of writ dev"
		src.base = map[string]string{
			"data_dir": filepath.Join(dir, "data"), "decision_log": filepath.Join(dir, "decisions.jsonl"), "log_format": "text",
			"audit_anchor": anchorOff,
		}
		if slices.ContainsFunc(src.env, func(v string) bool { return strings.HasPrefix(v, "WRIT_MONGODB_URI") }) {
			return usage("writ dev keeps its data in a temporary directory; unset WRIT_MONGODB_URI, or use writ serve with it")
		}
		if src.flags["data_dir"] != "" {
			return usage("writ dev keeps its data in a temporary directory; use writ serve to keep it")
		}
		src.flags["data_dir"] = src.base["data_dir"]
		config, _, err := loadConfig(src)
		if err != nil {
			return err
		}
		config.BootstrapSecret = "" // a fresh store: the server makes root's, as it makes those of the other applications
		d := newDemo()
		return c.serve(cmd.Context(), config, []byte(d.fill(demoFile)), func(at *endpoints, made []identity.Made) error {
			for _, m := range made {
				d[strings.ToUpper(m.ID)+"_SECRET"] = m.Secret
			}
			return d.print(c.stdout, config, at)
		})
	})
	read = c.configFlags(cmd)
	return cmd
}

// demo holds the credentials of one demonstration by their placeholders. They are random: no default secret exists anywhere.
type demo map[string]string

func newDemo() demo {
	return demo{"ADA_PASSWORD": rand.Text(), "GRACE_PASSWORD": rand.Text(), "TOM_PASSWORD": rand.Text()}
}

func (d demo) fill(text string) string {
	for name, value := range d {
		text = strings.ReplaceAll(text, "${"+name+"}", value)
	}
	return text
}

// print shows what the demonstration is, and lines that run in order in one shell.
func (d demo) print(w io.Writer, config *Config, at *endpoints) error {
	admin := "http://"
	if config.AdminTLSCertFile != "" {
		admin = "https://"
	}
	text := d.fill(strings.NewReplacer(
		"${PUBLIC}", config.Issuer, "${ADMIN}", admin+at.adminAddress(), "${DECISIONS}", config.DecisionLog,
		"${TOKEN_OF}", `| sed 's/.*"access_token":"\([^"]*\)".*/\1/')`,
	).Replace(demoText))
	_, err := fmt.Fprint(w, text)
	return err
}

//go:embed demo/banner.txt
var demoText string
