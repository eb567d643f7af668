package main

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/stillmark/stillmark/probe/ledger"
)

func (a *app) caseEventsCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "events CASE",
		Short:   "print the ledger's events",
		Example: "  stillmark case events case | tail",
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
