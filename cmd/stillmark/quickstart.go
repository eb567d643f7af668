package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/stillmark/stillmark/cmd/stillmark/internal/trial"
)

func (a *app) quickstartCommand() *cobra.Command {
	var q trial.Quickstart
	c := &cobra.Command{
		Use:   "quickstart",
		Short: "the whole way on embedded models: key, mark, probe, p-value, report, verification",
		Long: `Trains a reference teacher inside the program, watermarks its replies under three
schemes, trains rivals on them (suspects; mixes with a tenth; a control on unmarked
replies; an innocent on none), serves them on 127.0.0.1, audits them over HTTP
with two injected faults, writes the report, seals the case and verifies it.
No key and no network are needed; it takes well under a minute on two cores.

It is a real experiment, but its students are n-gram models, which memorise: the
strengths predict nothing about large models.`,
		Example: "  stillmark quickstart --seed 7 --dir demo",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if q.Dir == "" {
				dir, err := os.MkdirTemp("", "stillmark-quickstart-")
				if err != nil {
					return err
				}
				q.Dir = dir
			}
			dir, err := filepath.Abs(q.Dir)
			if err != nil {
				return err
			}
			q.Dir = dir
			m := a.newMeter()
			q.Said = func(line string) { fmt.Fprintln(a.err, line) }
			q.Progress = func(text string) {
				if text == "" {
					m.clear()
					return
				}
				m.set(text)
			}
			q.Program = build()
			outcome, err := q.Run(c.Context())
			m.clear()
			if stopped := c.Context().Err(); stopped != nil {
				return fmt.Errorf("interrupted (%w); what was made so far is kept in %s, begin again with another --dir", stopped, q.Dir)
			}
			if err != nil {
				return err
			}
			if a.asJSON {
				return a.printJSON(outcome)
			}
			fmt.Fprintln(a.err)
			if err := outcome.WriteSummary(a.out, writeVerdicts); err != nil {
				return err
			}
			fmt.Fprintf(a.err, "\ndone in %.1f s\n", outcome.Elapsed.Seconds())
			return nil
		},
	}
	c.Flags().Uint64Var(&q.Seed, "seed", 1, "seed of the experiment: the same seed gives the same numbers")
	c.Flags().StringVar(&q.Dir, "dir", "", "folder for the case (default a new temporary one)")
	return c
}
