package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/stillmark/stillmark/cmd/stillmark/internal/trial"
	"github.com/stillmark/stillmark/probe/ledger"
)

func (a *app) doctorCalibrateCommand() *cobra.Command {
	c := trial.Calibration{
		Innocents: trial.InnocentRivals, Positives: trial.PositiveRivals, Worlds: trial.ScriptedWorlds, Canaries: trial.CanaryAudits,
	}
	var quick bool
	var outputs calibrationFiles
	command := &cobra.Command{
		Use:   "calibrate",
		Short: "audit rivals whose history is known: innocents must not be flagged, students be found",
		Long: fmt.Sprintf(`Makes rivals inside the program and audits each of them through the code that a real
target gets: key, timestamped commitment, plan, requests over HTTP on 127.0.0.1, ledger,
analysis with %s. Innocents (reference models of other corpora, sizes and
temperatures, one that repeats itself, one that answers from templates, one of five
languages) have each their own random key, which they never met: none may be flagged, and
their p-values and decoy ranks must be uniform. Students learned from replies of which
1, 5, 20 or 100 %% were marked; how many are found is stated with its interval. They are
n-gram models, and exercise E1.

The other families are tried on scripted models that answer their prompts. C1 to C8 rank
rivals among %d controls in --worlds: innocents (some claim to be ours, are stronger and
share our right answers, write from templates or answer in French whatever is asked) and
students that answer as we do on a share of the items. E3 to E6 audit students of a
service that plants, prefers, is forwarded to and changes keys, in --canaries: a share of
the items is learned, a share of the requests passed on to it. How many are found stands
beside the planned power.

The full run takes about an hour on two cores; --state FILE keeps every finished trial,
and the same command goes on after an interruption. --quick audits %d innocents, one
world and one such service. It ends with 10 where an innocent is flagged, a p-value is not
uniform, innocents rank too high, or students are found otherwise than planned.

What carries over is the calibration, not the strength.`, "199 decoy keys", ledger.MinControls, trial.QuickRivals),
		Example: "  stillmark doctor calibrate --quick\n  stillmark doctor calibrate --state calibrate.jsonl -o calibrate.md",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := outputs.check(); err != nil {
				return err
			}
			if quick {
				c.Innocents, c.Positives, c.Worlds, c.Canaries = trial.QuickRivals, 0, trial.QuickWorlds, trial.QuickCanaries
			}
			if c.Innocents < 2 || c.Positives < 0 || c.Worlds < 0 || c.Canaries < 0 {
				return usageError(errors.New("at least two --innocents, and no negative number of --positives, --worlds or --canaries"))
			}
			m := a.newMeter()
			defer m.clear()
			c.Progress = func(done, total int) { m.count("auditing rivals", done, total) }
			r, err := c.Run(cmd.Context(), build())
			m.clear()
			if err != nil {
				if cmd.Context().Err() != nil && c.State != "" {
					return fmt.Errorf("interrupted: finished trials are kept in %s, the same command goes on: %w", c.State, err)
				}
				return err
			}
			if err := outputs.write(a, r.Markdown, func() ([]byte, error) {
				data, err := json.MarshalIndent(r, "", "  ")
				return append(data, '\n'), err
			}); err != nil {
				return err
			}
			if a.asJSON {
				err = a.printJSON(r)
			} else {
				err = r.Markdown(a.out)
				fmt.Fprintf(a.err, "%d rivals in %s\n", r.Rivals(), r.Elapsed.Round(time.Second))
			}
			if err == nil && len(r.Failures) > 0 {
				err = &codedError{codeGateFailed, errors.New(strings.Join(r.Failures, "; "))}
			}
			return err
		},
	}
	f := command.Flags()
	f.BoolVar(&quick, "quick", false, "audit a few innocents of every kind only")
	f.Uint64Var(&c.Seed, "seed", 1, "seed of everything that is drawn")
	f.IntVar(&c.Innocents, "innocents", c.Innocents, "innocent rivals")
	f.IntVar(&c.Positives, "positives", c.Positives, "students at every share of marked text")
	f.IntVar(&c.Worlds, "worlds", c.Worlds, "audits of scripted rivals by the comparative families")
	f.IntVar(&c.Canaries, "canaries", c.Canaries, "audits of scripted rivals of a service that plants, by E3 to E6")
	f.StringVar(&c.State, "state", "", "file that keeps finished trials")
	outputs.bind(f)
	return command
}
