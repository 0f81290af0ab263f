package main

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/writ-authz/writ/policies"
)

func (c *cli) policyBenchCommand() *cobra.Command {
	var source func([]string) (policies.Source, error)
	var question func() (policies.Entrypoint, io.ReadCloser, error)
	var print func(any, func(io.Writer)) error
	var budget *time.Duration
	cmd := c.command(cobra.Command{
		Use: "bench [DIR]", Args: cobra.MaximumNArgs(1),
		Short: "Measure what an evaluation costs on this machine",
		Long: `Evaluate an entrypoint on an input for about a second, as the server does, and say what one evaluation takes: time and allocations, and for a
denial what its reasons take besides. With --budget a longer one is a failure.`,
		Example: "  writ policy bench ./my-policies --input question.yaml --budget 100us",
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
		timing, err := policies.Bench(cmd.Context(), from, entrypoint, document)
		if err != nil {
			return uncompiled(err)
		}
		if err := print(timing, func(w io.Writer) { benchTable(w, timing) }); err != nil {
			return err
		}
		if took := time.Duration(timing.NsPerOp); *budget > 0 && took > *budget {
			return fmt.Errorf("an evaluation takes %s, which is more than %s", took, *budget)
		}
		return nil
	})
	budget = cmd.Flags().Duration("budget", 0, "fail if an evaluation takes longer, such as 100us; 0: no budget")
	source, question, print = sourceFlags(cmd), c.questionFlags(cmd), c.outputFlag(cmd)
	return cmd
}

func benchTable(w io.Writer, t policies.Timing) {
	answer := "denied"
	if t.Allow {
		answer = "allowed"
	}
	fmt.Fprintf(w, "entrypoint\t%s, %s\n", t.Entrypoint, answer)
	fmt.Fprintf(w, "evaluation\t%s\t%d allocations, %d bytes\t%d runs\n", time.Duration(t.NsPerOp), t.Allocs, t.Bytes, t.Runs)
	if t.WhyNsPerOp > 0 {
		fmt.Fprintf(w, "reasons\t%s\n", time.Duration(t.WhyNsPerOp))
	}
}
