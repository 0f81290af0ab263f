package main

import (
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/writ-authz/writ/policies"
)

func (c *cli) policyWhyCommand() *cobra.Command {
	var source func([]string) (policies.Source, error)
	var question func() (policies.Entrypoint, io.ReadCloser, error)
	var print func(any, func(io.Writer)) error
	cmd := c.command(cobra.Command{
		Use: "why [DIR]", Args: cobra.MaximumNArgs(1),
		Short: "Say how a policy set comes to its answer on an input, without a server",
		Long: `Evaluate an entrypoint on an input, as writ policy eval does, and say which guards held, at which line the others failed, which grants were
looked up, and which grant would have sufficed.`,
		Example: "  echo '{subject: {type: user, id: ada}, action: {name: read}, resource: {type: ledger/accounts, id: \"1\"}}' | writ policy why",
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
		trace, err := policies.Explain(cmd.Context(), from, entrypoint, document)
		if err != nil {
			return uncompiled(err)
		}
		return print(trace, func(w io.Writer) { whyTable(w, trace) })
	})
	source, question, print = sourceFlags(cmd), c.questionFlags(cmd), c.outputFlag(cmd)
	return cmd
}

func whyTable(w io.Writer, trace policies.Trace) {
	evalTable(w, trace.Evaluation)
	fmt.Fprintln(w, "\nguards")
	for _, g := range trace.Guards {
		fmt.Fprintf(w, "  %s\t%s\t%s\t%s\n", verdict(g.Held), g.Rule, g.Code, placed(g))
		placesTable(w, g.Places, 2)
	}
	if len(trace.Grants) > 0 {
		fmt.Fprintln(w, "\ngrants looked up")
	}
	for _, g := range trace.Grants {
		word := "does not give it"
		switch {
		case g.Counts:
			word = "gives it"
		case g.Closed:
			word = "would give it, but counts only " + window(g.NotBefore, g.NotAfter)
		}
		fmt.Fprintf(w, "  %s:%s\t%s\tvia %s\t%s\n", g.Resource, g.Action, inTenant(g.Tenant), g.Via, word)
	}
	switch {
	case len(trace.Suffices) > 0:
		fmt.Fprintln(w, "\na grant that is missing")
	case !trace.Allow:
		fmt.Fprintln(w, "\nno grant would change this")
	}
	for _, r := range trace.Suffices {
		word := "suffices"
		if !r.Allow {
			var codes []string
			for _, left := range r.Left {
				codes = append(codes, left.Code)
			}
			word = "leaves " + strings.Join(codes, ", ")
		}
		fmt.Fprintf(w, "  %s:%s\t%s\t%s\n", r.Resource, r.Action, inTenant(r.Tenant), word)
	}
}

func placed(g policies.Guard) string {
	if g.File == "" {
		return g.Title
	}
	return fmt.Sprintf("%s (%s:%d)", g.Title, g.File, g.Line)
}

// placesTable writes conditions that did not hold, each with those that it asked below it.
func placesTable(w io.Writer, places []policies.Place, depth int) {
	for _, p := range places {
		fmt.Fprintf(w, "%s%s:%d:%d: %s\n", strings.Repeat("    ", depth), p.File, p.Line, p.Column, p.Text)
		placesTable(w, p.Because, depth+1)
	}
}

func inTenant(tenant string) string {
	switch tenant {
	case "":
		return "in no tenant"
	case "*":
		return "in every tenant"
	}
	return "in tenant " + tenant
}

// window says in words when a grant counts; its ends are nanoseconds.
func window(from, till string) string {
	var words []string
	if n, err := strconv.ParseInt(from, 10, 64); err == nil && n > 0 {
		words = append(words, "from "+nanoseconds(n))
	}
	if n, err := strconv.ParseInt(till, 10, 64); err == nil && n < math.MaxInt64 {
		words = append(words, "until "+nanoseconds(n))
	}
	return strings.Join(words, " ")
}

func nanoseconds(ns int64) string { return time.Unix(0, ns).UTC().Format(time.RFC3339Nano) }
