package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/spf13/cobra"
)

// question is an AuthZEN evaluation request.
type question struct {
	Subject  entity          `json:"subject"`
	Action   named           `json:"action"`
	Resource entity          `json:"resource"`
	Context  json.RawMessage `json:"context,omitempty"`
	Options  struct {
		Reasons bool `json:"reasons"`
	} `json:"options"`
}

type entity struct {
	Type   string `json:"type"`
	ID     string `json:"id"`
	Tenant string `json:"tenant,omitempty"`
}

type named struct {
	Name string `json:"name"`
}

// answer is an AuthZEN evaluation reply with Writ's reasons.
type answer struct {
	Decision bool `json:"decision"`
	Context  struct {
		Reasons []struct {
			Code string `json:"code"`
			Rule string `json:"rule"`
		} `json:"reasons"`
		DecisionID     string `json:"decision_id"`
		PolicyRevision string `json:"policy_revision"`
	} `json:"context"`
}

func (c *cli) decideCommand() *cobra.Command {
	var server func() (*remote, error)
	var print func(any, func(io.Writer)) error
	var tenant, extra *string
	var strict *bool
	cmd := c.command(cobra.Command{
		Use: "decide SUBJECT ACTION RESOURCE", Args: cobra.ExactArgs(3),
		Short: "Ask a running server whether a subject may do something, and why",
		Long: `Ask "may SUBJECT do ACTION on RESOURCE?". SUBJECT and RESOURCE are written type:id. Asking about somebody else needs
the permission decisions:ask.`,
		Example: "  writ decide user:ada read ledger/accounts:123\n" +
			"  writ decide application:billing write ledger/accounts:123 --tenant acme --exit-code",
	}, func(cmd *cobra.Command, args []string) error {
		q, err := ask(args, *tenant, *extra)
		if err != nil {
			return err
		}
		r, err := server()
		if err != nil {
			return err
		}
		var a answer
		if err := r.ask(cmd.Context(), http.MethodPost, "/access/v1/evaluation", q, &a); err != nil {
			return err
		}
		if err := print(a, a.table); err != nil {
			return err
		}
		if *strict && !a.Decision {
			return &exitError{code: exitFailure, err: errors.New("")}
		}
		return nil
	})
	tenant = cmd.Flags().String("tenant", "", "tenant of the resource")
	extra = cmd.Flags().String("context", "", "context of the question, a JSON object")
	strict = cmd.Flags().Bool("exit-code", false, "exit with 1 on a denial")
	server, print = c.remoteFlags(cmd), c.outputFlag(cmd)
	return cmd
}

func ask(args []string, tenant, extra string) (*question, error) {
	q := &question{Action: named{Name: args[1]}}
	for i, into := range map[int]*entity{0: &q.Subject, 2: &q.Resource} {
		kind, id, ok := strings.Cut(args[i], ":")
		if !ok || kind == "" || id == "" {
			return nil, usage("%q is not type:id, such as user:ada or ledger/accounts:123", args[i])
		}
		*into = entity{Type: kind, ID: id}
	}
	q.Resource.Tenant = tenant
	q.Options.Reasons = true
	if extra != "" {
		if !json.Valid([]byte(extra)) || !strings.HasPrefix(strings.TrimSpace(extra), "{") {
			return nil, usage("--context is not a JSON object")
		}
		q.Context = json.RawMessage(extra)
	}
	return q, nil
}

func (a *answer) table(w io.Writer) {
	verdict := "denied"
	if a.Decision {
		verdict = "allowed"
	}
	fmt.Fprintln(w, verdict)
	for _, reason := range a.Context.Reasons {
		fmt.Fprintf(w, "reason\t%s\t%s\n", reason.Code, reason.Rule)
	}
	fmt.Fprintf(w, "decision\t%s\npolicy\t%s\n", a.Context.DecisionID, a.Context.PolicyRevision)
}
