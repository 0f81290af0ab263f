package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/writ-authz/writ/policies"
)

// policyRevision is a revision as the admin API lists it.
type policyRevision struct {
	Revision  string     `json:"revision"`
	Active    bool       `json:"active"`
	Author    string     `json:"author"`
	Note      string     `json:"note,omitempty"`
	Files     int        `json:"files"`
	Bytes     int64      `json:"bytes"`
	Apps      []string   `json:"apps"`
	Core      bool       `json:"core"`
	Settings  bool       `json:"settings"`
	SignedBy  string     `json:"signed_by,omitempty"`
	CreatedAt *time.Time `json:"created_at,omitempty"`
}

// policyActivation is one line of the log of activations.
type policyActivation struct {
	Number       int64            `json:"number"`
	Revision     string           `json:"revision"`
	Replaced     string           `json:"replaced"`
	Time         time.Time        `json:"time"`
	Actor        string           `json:"actor"`
	Reason       string           `json:"reason"`
	Rollback     bool             `json:"rollback"`
	Acknowledged bool             `json:"acknowledged"`
	Impact       *policies.Impact `json:"impact,omitempty"`
	DecisionID   string           `json:"decision_id"`
}

func (c *cli) policyPushCommand() *cobra.Command {
	var source func([]string) (policies.Source, error)
	var server func() (*remote, error)
	var print printer
	var note, keyFile, keyID, algorithm string
	cmd := c.command(cobra.Command{
		Use: "push [DIR]", Args: cobra.MaximumNArgs(1),
		Short: "Bring a policy set to a running server, which keeps it and does not serve it yet",
		Long: `Send what DIR holds, and a core directory, to a running server. The server compiles it and keeps it under the hash of its files: its
revision, which writ policy activate takes. Pushing the same files again changes nothing. With --signing-key it is signed, for servers
that take signed sets alone. Needs policies:write.`,
		Example: "  writ policy push ./my-policies --note 'invoices up to 500'\n" +
			"  writ policy push ./my-policies --signing-key release.pem --key-id release",
	}, func(cmd *cobra.Command, args []string) error {
		from, err := source(args)
		if err != nil {
			return err
		}
		bundle, err := policies.ReadBundle(from)
		if err != nil {
			return uncompiled(err)
		}
		if keyFile != "" {
			key, err := os.ReadFile(keyFile)
			if err != nil {
				return usage("--signing-key: %s", plain(err))
			}
			if err := bundle.Sign(string(key), algorithm, keyID); err != nil {
				return usage("--signing-key: %s", err)
			}
		}
		r, err := server()
		if err != nil {
			return err
		}
		body := map[string]any{"files": filesOf(bundle)}
		for name, value := range map[string]string{"note": note, "signature": bundle.Signature()} {
			if value != "" {
				body[name] = value
			}
		}
		var made policyRevision
		if err := c.managePolicies(cmd.Context(), r, "/v1/policies", body, &made); err != nil {
			return err
		}
		return print(made, func(w io.Writer) {
			fmt.Fprintf(w, "REVISION\tFILES\tAPPS\tCORE\tSIGNED BY\n%s\t%d\t%s\t%t\t%s\n",
				made.Revision, made.Files, strings.Join(made.Apps, ","), made.Core, orDash(made.SignedBy))
		})
	})
	cmd.Flags().StringVar(&note, "note", "", "what is new in it")
	cmd.Flags().StringVar(&keyFile, "signing-key", "", "private key in PEM to sign it with")
	cmd.Flags().StringVar(&keyID, "key-id", "", "id under which servers know the public half of the key")
	cmd.Flags().StringVar(&algorithm, "algorithm", "ES256", "of the signature: ES256, ES384, ES512, RS256, PS256, ...")
	source, server, print = sourceFlags(cmd), c.adminFlags(cmd), c.outputFlag(cmd)
	return cmd
}

func filesOf(bundle *policies.Bundle) map[string]string {
	files := map[string]string{}
	for _, f := range bundle.Files() {
		files[f.Path] = string(f.Body)
	}
	return files
}

func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

func (c *cli) policyActivateCommand() *cobra.Command {
	cmd := c.activation(cobra.Command{
		Use: "activate REVISION", Args: cobra.ExactArgs(1),
		Short: "Make a revision serve on every node, if it passes the whole gate",
		Long: `Make a revision that was pushed serve on every node. The server runs its tests, golden decisions and invariants before, and refuses a
revision that allows recent decisions that were denied, unless that is acknowledged. The beginning of a revision is enough where no
other begins so; own stands for the policies that each node was started with. Needs policies:activate, and a full administrator where the
core or its settings change.`,
		Example: "  writ policy activate 4f1c --reason 'invoices up to 500'\n" +
			"  writ policy activate own --reason 'back to the shipped set'",
	}, func(ctx context.Context, r *remote, args []string) (string, error) {
		revision, err := r.fullRevision(ctx, args[0])
		return "/v1/policies/" + revision + "/activate", err
	})
	return cmd
}

func (c *cli) policyRollbackCommand() *cobra.Command {
	return c.activation(cobra.Command{
		Use: "rollback", Args: cobra.NoArgs,
		Short: "Make the revision serve again that served before",
		Long: `Take the last activation back. It goes through the same gate. Rolled back again, it goes one activation further back. Needs
policies:activate, and a full administrator where the core or its settings change.`,
		Example: "  writ policy rollback --reason 'invoices were refused'",
	}, func(context.Context, *remote, []string) (string, error) { return "/v1/policies/rollback", nil })
}

// activation makes a command that changes what serves.
func (c *cli) activation(cmd cobra.Command, path func(context.Context, *remote, []string) (string, error)) *cobra.Command {
	var server func() (*remote, error)
	var print printer
	var reason string
	var acknowledge bool
	made := c.command(cmd, func(cmd *cobra.Command, args []string) error {
		if strings.TrimSpace(reason) == "" {
			return usage("--reason says why; it stands in the log of activations")
		}
		r, err := server()
		if err != nil {
			return err
		}
		at, err := path(cmd.Context(), r, args)
		if err != nil {
			return err
		}
		body := map[string]any{"reason": reason}
		if acknowledge {
			body["acknowledge_newly_allowed"] = true
		}
		var done policyActivation
		if err := c.managePolicies(cmd.Context(), r, at, body, &done); err != nil {
			return err
		}
		return print(done, func(w io.Writer) { tableOfActivations(w, []policyActivation{done}) })
	})
	made.Flags().StringVar(&reason, "reason", "", "why; it stands in the log of activations")
	made.Flags().BoolVar(&acknowledge, "acknowledge-newly-allowed", false,
		"take on that recent decisions that were denied would be allowed")
	server, print = c.adminFlags(made), c.outputFlag(made)
	return made
}

func (c *cli) policyLogCommand() *cobra.Command {
	var server func() (*remote, error)
	var print printer
	cmd := c.command(cobra.Command{
		Use: "log", Short: "Show which policies served when, by whom and why, the newest first",
		Long:    "Show the activations of a running server, the newest first. Needs policies:read.",
		Example: "  writ policy log\n  writ policy log --output json",
	}, func(cmd *cobra.Command, _ []string) error {
		r, err := server()
		if err != nil {
			return err
		}
		all := []policyActivation{}
		err = r.each(cmd.Context(), "/v1/policy-activations", nil, func(item json.RawMessage) error {
			var a policyActivation
			err := json.Unmarshal(item, &a)
			all = append(all, a)
			return err
		})
		if err != nil {
			return err
		}
		return print(all, func(w io.Writer) { tableOfActivations(w, all) })
	})
	server, print = c.adminFlags(cmd), c.outputFlag(cmd)
	return cmd
}

func tableOfActivations(w io.Writer, all []policyActivation) {
	fmt.Fprintln(w, "NUMBER\tREVISION\tTIME\tACTOR\tNEWLY ALLOWED\tREASON")
	for _, a := range all {
		reason, allowed := a.Reason, "-"
		if a.Rollback {
			reason = "rollback: " + reason
		}
		if a.Impact != nil {
			allowed = fmt.Sprint(a.Impact.NewlyAllowed)
		}
		if a.Acknowledged {
			allowed += " acknowledged"
		}
		fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%s\t%s\n", a.Number, short(a.Revision), a.Time.UTC().Format(time.RFC3339), a.Actor, allowed, reason)
	}
}

// short is as much of a revision as people compare.
func short(revision string) string { return revision[:min(len(revision), 12)] }

// fullRevision finds the one revision that begins so.
func (r *remote) fullRevision(ctx context.Context, given string) (string, error) {
	if given == "own" || len(given) == 64 {
		return url.PathEscape(given), nil
	}
	var listed struct {
		Items []policyRevision `json:"items"`
	}
	if err := r.manage(ctx, http.MethodGet, "/v1/policies", nil, &listed); err != nil {
		return "", err
	}
	var found []string
	for _, p := range listed.Items {
		if given != "" && strings.HasPrefix(p.Revision, given) {
			found = append(found, p.Revision)
		}
	}
	switch len(found) {
	case 0:
		return "", fmt.Errorf("no revision begins with %q; see what was pushed with writ policy push", given)
	case 1:
		return found[0], nil
	}
	return "", fmt.Errorf("%d revisions begin with %q; give more of it", len(found), given)
}

// managePolicies posts to the admin API and shows what a refusal says about the policy set.
func (c *cli) managePolicies(ctx context.Context, r *remote, path string, body, into any) error {
	reply, err := r.exchange(ctx, http.MethodPost, path, nil, body)
	if err != nil {
		return err
	}
	if err := reply.err(); err != nil {
		return c.refusedPolicies(reply.body, err)
	}
	if err := json.Unmarshal(reply.body, into); err != nil {
		return fmt.Errorf("%s does not answer as Writ does; is --admin-url right?", r.adminURL)
	}
	return nil
}

// refusedPolicies prints findings and differences, one a line, and gives the error its exit code.
func (c *cli) refusedPolicies(body []byte, err error) error {
	var said struct {
		Problems []policies.Problem `json:"problems"`
		Impact   *policies.Impact   `json:"impact"`
	}
	_ = json.Unmarshal(body, &said) // what is no problem says nothing
	code := 0
	for _, p := range said.Problems {
		fmt.Fprintln(c.stderr, p)
		switch {
		case p.Rule != "test" && p.Rule != "golden":
			code = exitCompile
		case code == 0:
			code = exitTests
		}
	}
	if said.Impact != nil {
		for _, d := range said.Impact.Samples {
			fmt.Fprintf(c.stderr, "%s: %s %s (%s), decision %s\n", d.Kind, d.Action, d.ResourceType, d.Entrypoint, d.DecisionID)
		}
	}
	if code == 0 {
		return err
	}
	return &exitError{code: code, err: errors.New(strings.TrimSpace(err.Error()))}
}
