package main

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/stillmark/stillmark/probe/ledger"
)

func (a *app) caseCommand() *cobra.Command {
	return holder("case", "look into a case folder: show, log, fsck",
		"  stillmark case show case\n  stillmark case log case",
		a.caseShowCommand(), a.caseLogCommand(), a.caseFsckCommand())
}

func (a *app) caseShowCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "show CASE",
		Short:   "print what a case is about and where collection stands",
		Example: "  stillmark case show case --json",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
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
			if a.asJSON {
				return a.printJSON(struct {
					ID         string      `json:"id"`
					Demo       bool        `json:"demo"`
					PlanSHA256 string      `json:"plan_sha256"`
					Items      int         `json:"items"`
					Settled    int         `json:"settled"`
					Tests      int         `json:"tests"`
					Sealed     bool        `json:"sealed"`
					Head       ledger.Head `json:"head"`
				}{plan.CaseID, plan.Demo, c.PlanSHA256(), total, settled, len(plan.Tests), state.Sealed, state.Head})
			}
			fmt.Fprintf(a.out, "case     %s\nplan     sha256 %s, %d targets, %d tests\nitems    %d of %d settled\nledger   %d events, root %s\nsealed   %v\n",
				plan.CaseID, c.PlanSHA256(), len(plan.Targets), len(plan.Tests), settled, total, state.Head.Events, state.Head.Root, state.Sealed)
			return nil
		},
	}
}

func (a *app) caseLogCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "log CASE",
		Short:   "print the ledger's events",
		Example: "  stillmark case log case | tail",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			c, err := ledger.Open(args[0])
			if err != nil {
				return usageError(err)
			}
			for e, err := range c.Events() {
				if err != nil {
					return err
				}
				if a.asJSON {
					if err := a.printJSON(e); err != nil {
						return err
					}
					continue
				}
				var data struct {
					Outcome ledger.Outcome `json:"outcome"`
					Detail  string         `json:"detail"`
				}
				if len(e.Data) > 0 {
					json.Unmarshal(e.Data, &data) // other events have neither member
				}
				fmt.Fprintf(a.out, "%8d  %s  %-14s %s", e.Seq, e.Time.Format(time.RFC3339), e.Type, printable(e.Item))
				if e.Attempt > 1 {
					fmt.Fprintf(a.out, " attempt %d", e.Attempt)
				}
				if data.Outcome != "" {
					fmt.Fprintf(a.out, " %s", data.Outcome)
				}
				if data.Detail != "" {
					fmt.Fprintf(a.out, " (%s)", printable(data.Detail))
				}
				fmt.Fprintln(a.out)
			}
			return nil
		},
	}
}

func (a *app) caseFsckCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "fsck CASE",
		Short:   "read the whole ledger and every stored reply and check their hashes",
		Example: "  stillmark case fsck case",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			c, err := ledger.Open(args[0])
			if err != nil {
				return usageError(err)
			}
			replies := 0
			if err := c.Replies(func(ledger.ReplyRecord) error { replies++; return nil }); err != nil {
				return &codedError{codeAltered, err}
			}
			head, err := c.LedgerHead()
			if err != nil {
				return &codedError{codeAltered, err}
			}
			fmt.Fprintf(a.err, "%s: %d events and %d replies are whole\n", args[0], head.Events, replies)
			return nil
		},
	}
}
