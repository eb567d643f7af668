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
		Innocents: trial.InnocentRivals, Positives: trial.PositiveRivals, Readings: trial.InnocentRivals,
		Styles: trial.StyleAudits, Worlds: trial.ScriptedWorlds, Canaries: trial.CanaryAudits,
	}
	var quick bool
	var outputs calibrationFiles
	command := &cobra.Command{
		Use:   "calibrate",
		Short: "audit rivals whose history is known: innocents must not be flagged, students be found",
		Long: fmt.Sprintf(`Makes rivals inside the program and audits each of them through the code that a real
target gets: key, timestamped commitment, plan, requests over HTTP on 127.0.0.1, ledger,
analysis with %d decoy keys.

N-gram models exercise E1, E2 and C6. Innocents (reference models of other corpora, sizes
and temperatures, one that repeats itself, one that answers from templates, one of five
languages) have each their own random key, which they never met: none may be flagged, and
their p-values and decoy ranks must be uniform. Students learned from replies of which a
share was marked: 1, 5, 20 or 100 %% for E1; for E2, which has them read on passages of
their teacher, 0, 20, 50 or 100 %%. How many are found stands with its interval beside the
plan's power at the effect that is seen, of units that count once; of the declared
statistic of E1, which weights them, that is the least. Students of marked text alone must
be found besides, since a test that sees no mark sees no effect. For C6 every audit trains %d controls of its own;
innocents are drawn as they are and must rank anywhere among them.

The other families are tried on scripted models that answer their prompts. C1 to C8 rank
rivals among %d controls in --worlds: innocents (some claim to be ours, are stronger and
share our right answers, write from templates or answer in French whatever is asked) and
students that answer as we do on a share of the items. E3 to E6 audit students of a
service that plants, prefers, is forwarded to and changes keys, in --canaries: a share of
the items is learned, a share of the requests passed on to it. How many are found stands
beside the planned power.

It says how long it will take before it starts: some ten minutes for the whole on two cores
that do nothing else. --state FILE keeps every finished trial, and the same command goes on
after an interruption. --quick audits %d innocents by E1 and a few rivals of each other
kind, in about 30 s of CPU. It ends with 10 where an innocent is flagged, a p-value is not
uniform, innocents rank too high, or students are found otherwise than planned, or hardly
where all they copied was marked.

What carries over is the calibration, not the strength.`, trial.CalibrationDecoys, ledger.MinControls, ledger.MinControls, trial.QuickRivals),
		Example: "  stillmark doctor calibrate --quick\n  stillmark doctor calibrate --state calibrate.jsonl -o calibrate.md",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := outputs.check(); err != nil {
				return err
			}
			if quick {
				c.Innocents, c.Positives, c.Readings = trial.QuickRivals, 0, trial.QuickReadings
				c.Styles, c.Worlds, c.Canaries = trial.QuickStyles, trial.QuickWorlds, trial.QuickCanaries
			}
			if min(c.Innocents, c.Positives, c.Readings, c.Styles, c.Worlds, c.Canaries) < 0 {
				return usageError(errors.New("there is no negative number of audits"))
			}
			if max(c.Innocents, c.Positives, c.Readings, c.Styles, c.Worlds, c.Canaries) == 0 {
				return usageError(errors.New("every number of audits is 0: nothing would be tried"))
			}
			c.Begin = func(left, total int, about time.Duration) {
				kept := ""
				if left < total {
					kept = fmt.Sprintf(", %d are in %s already", total-left, c.State)
				}
				fmt.Fprintf(a.err, "%d audits to do%s: about %s on two cores that do nothing else\n", left, kept, about.Round(time.Second))
			}
			m := a.newMeter()
			defer m.clear()
			c.Progress = func(done, left int) { m.count("auditing rivals", done, left) }
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
	f.IntVar(&c.Innocents, "innocents", c.Innocents, "innocent n-gram rivals that are audited by E1")
	f.IntVar(&c.Positives, "positives", c.Positives, "students at every share of marked text, by E1")
	f.IntVar(&c.Readings, "readings", c.Readings, "innocent n-gram rivals that are audited by E2, and a quarter as many students at every share")
	f.IntVar(&c.Styles, "styles", c.Styles, "audits of n-gram rivals by C6")
	f.IntVar(&c.Worlds, "worlds", c.Worlds, "audits of scripted rivals by the comparative families")
	f.IntVar(&c.Canaries, "canaries", c.Canaries, "audits of scripted rivals of a service that plants, by E3 to E6")
	f.StringVar(&c.State, "state", "", "file that keeps finished trials")
	outputs.bind(f)
	return command
}
