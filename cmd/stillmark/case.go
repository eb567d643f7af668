package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/stillmark/stillmark/probe/ledger"
)

func (a *app) caseCommand() *cobra.Command {
	return holder("case", "look into a case, and hand it over: show, events, log, fsck, redact, prove, export",
		"  stillmark case show case\n  stillmark case log case",
		a.caseShowCommand(), a.caseEventsCommand(), a.caseLogCommand(), a.caseFsckCommand(), a.caseRedactCommand(), a.caseProveCommand(), a.caseExportCommand())
}

func (a *app) caseShowCommand() *cobra.Command {
	var output outputFiles
	command := &cobra.Command{
		Use:     "show CASE",
		Short:   "print what a case is about and where collection stands",
		Example: "  stillmark case show case --json",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if err := output.check(); err != nil {
				return err
			}
			c, err := ledger.Open(args[0])
			if err != nil {
				return usageError(err)
			}
			state, err := c.State()
			if err != nil {
				return err
			}
			plan := c.Plan()
			total, settled := 0, state.SettledItems()
			for i := range plan.Targets {
				if t := &plan.Targets[i]; t.Cached == nil {
					total += plan.Count(t)
				}
			}
			record := struct {
				ID         string      `json:"id"`
				Demo       bool        `json:"demo"`
				PlanSHA256 string      `json:"plan_sha256"`
				Items      int         `json:"items"`
				Settled    int         `json:"settled"`
				Labels     int         `json:"labels,omitempty"` // that the judge gave
				Tests      int         `json:"tests"`
				Sealed     bool        `json:"sealed"`
				Head       ledger.Head `json:"head"`
			}{plan.CaseID, plan.Demo, c.PlanSHA256(), total, settled, state.SettledLabels(), len(plan.Tests), state.Sealed, state.Head}
			if err := output.writeRecord(record); err != nil {
				return err
			}
			if a.asJSON {
				return a.printJSON(record)
			}
			fmt.Fprintf(a.out, "case     %s\nplan     sha256 %s, %d targets, %d tests\nitems    %d of %d settled\nledger   %d events, root %s\nsealed   %v\n",
				plan.CaseID, c.PlanSHA256(), len(plan.Targets), len(plan.Tests), settled, total, state.Head.Events, state.Head.Root, state.Sealed)
			if plan.Judge != nil {
				fmt.Fprintf(a.out, "judge    %s, %d labels\n", plan.Judge.Target.Name, state.SettledLabels())
			}
			return nil
		},
	}
	output.bind(command.Flags())
	return command
}
