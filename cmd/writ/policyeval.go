package main

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/writ-authz/writ/policies"
)

func (c *cli) policyEvalCommand() *cobra.Command {
	var source func([]string) (policies.Source, error)
	var question func() (policies.Entrypoint, io.ReadCloser, error)
	var print func(any, func(io.Writer)) error
	cmd := c.command(cobra.Command{
		Use: "eval [DIR]", Args: cobra.MaximumNArgs(1),
		Short: "Evaluate a policy set on an input, without a server",
		Long: `Evaluate an entrypoint on an input document, JSON or YAML, that may leave out whatever is empty. What the rules see in full is
described by the input schema (writ policy eject, schemas/input.json).`,
		Example: "  echo '{subject: {type: user, id: ada}, action: {name: read}, resource: {type: ledger/accounts, id: \"1\"}}' | writ policy eval",
	}, func(cmd *cobra.Command, args []string) error {
		from, err := source(args)
		if err != nil {
			return err
		}
		entrypoint, document, err := question()
		if err != nil {
			return err
		}
		defer document.Close()
		result, err := policies.Eval(cmd.Context(), from, entrypoint, document)
		if err != nil {
			return uncompiled(err)
		}
		return print(result, func(w io.Writer) { evalTable(w, result) })
	})
	source, question, print = sourceFlags(cmd), c.questionFlags(cmd), c.outputFlag(cmd)
	return cmd
}

func evalTable(w io.Writer, result policies.Evaluation) {
	verdict := "denied"
	if result.Allow {
		verdict = "allowed"
	}
	fmt.Fprintln(w, verdict)
	for _, reason := range result.Reasons {
		fmt.Fprintf(w, "reason\t%s\t%s\n", reason.Code, reason.Rule)
	}
	if len(result.Obligations) > 0 {
		raw, err := json.Marshal(result.Obligations)
		if err == nil { // it came from JSON
			fmt.Fprintf(w, "obligations\t%s\n", raw)
		}
	}
	fmt.Fprintf(w, "policy\t%s\ndata\t%s\n", result.PolicyRevision, result.DataRevision)
}
