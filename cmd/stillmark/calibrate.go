package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/stillmark/stillmark/watermark"
	"github.com/stillmark/stillmark/watermark/strength"
)

func (a *app) calibrateCommand() *cobra.Command {
	var (
		schemes, without []string
		outputs          calibrationFiles
		state            string
		config           strength.CalibrationConfig
	)
	c := &cobra.Command{
		Use:   "calibrate",
		Short: "put random keys to unmarked text and see whether their p-values are uniform",
		Long: `Draws random keys for every native scheme, option and generator (a million each, on
texts of 200 distinct pairs) and for the presets of other stacks (100,000 at a
vocabulary of 1,000, on texts of 50; 2,000 where a key costs a table of a million
entries), and holds their p-values against the uniform law: Kolmogorov and Smirnov's
test at 1e-3, and the number of keys below 1e-2 … 1e-5 against its 99.9 % interval.
p-values of discrete scores are randomised. Texts are words by Zipf's law, drawn anew
for every few thousand keys.

It ends with 10 where a null law is wrong that p-values rest on. Schemes that get a
rank among decoys and no p stand in the table as "withheld".

All of it takes an hour of one core. With -o FILE what was drawn is kept in the folder
FILE.state until the table is whole, and the same command goes on after an
interruption; --state names another folder, which stays.`,
		Example: `  stillmark watermark strength calibrate --keys 10000
  stillmark watermark strength calibrate -o calibration.json -o calibration.md`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := outputs.check(); err != nil {
				return err
			}
			if c.Flags().Changed("keys") && config.Keys < 1 {
				return usageError(fmt.Errorf("--keys %d is not above 0", config.Keys))
			}
			config.Cases = strength.Cases()
			for _, name := range slices.Concat(schemes, without) {
				if !slices.Contains(watermark.SchemeNames(), name) {
					return usageError(fmt.Errorf("scheme %q is not known%s", name, didYouMean(name, watermark.SchemeNames())))
				}
			}
			config.Cases = slices.DeleteFunc(config.Cases, func(x strength.Case) bool {
				return len(schemes) > 0 && !slices.Contains(schemes, x.Spec.Scheme) || slices.Contains(without, x.Spec.Scheme)
			})
			if len(config.Cases) == 0 {
				return usageError(errors.New("--without leaves no scheme"))
			}
			config.State = state
			if state == "" && len(outputs) > 0 {
				config.State = outputs[0] + ".state"
			}
			m := a.newMeter()
			defer m.clear()
			config.Progress = m.share
			table, err := strength.Calibrate(c.Context(), config)
			if err != nil {
				if c.Context().Err() != nil && config.State != "" {
					return fmt.Errorf("interrupted: the keys drawn so far are kept in %s, the same command goes on: %w", config.State, err)
				}
				return err
			}
			m.clear()
			table.Date = time.Now().UTC().Format(time.DateOnly)
			table.Command = "stillmark " + strings.Join(os.Args[1:], " ")
			if err := outputs.write(a, table.WriteMarkdown, table.Encode); err != nil {
				return err
			}
			if state == "" && config.State != "" {
				if err := os.RemoveAll(config.State); err != nil {
					return err
				}
			}
			if a.asJSON {
				err = a.printJSON(table)
			} else {
				err = table.WriteTable(a.out)
			}
			if bad := table.NotUniform(); err == nil && len(bad) > 0 {
				return &codedError{codeGateFailed, errors.New("p-values are not uniform under the null: " + strings.Join(bad, ", "))}
			}
			return err
		},
	}
	f := c.Flags()
	f.StringArrayVar(&schemes, "scheme", nil, "scheme to calibrate, native or a preset (repeatable; default all)")
	f.StringArrayVar(&without, "without", nil, "scheme to leave out (repeatable)")
	f.IntVar(&config.Keys, "keys", 0, "keys of a case at most (default: as many as a release takes)")
	f.Uint64Var(&config.Seed, "seed", 1, "seed of keys and texts")
	f.StringVar(&state, "state", "", "folder that keeps what was drawn (default FILE.state of the first -o FILE)")
	outputs.bind(f)
	return c
}

// calibrationFiles are the files that the tables of a calibration are written to.
type calibrationFiles []string

func (o *calibrationFiles) bind(f *pflag.FlagSet) {
	f.StringArrayVarP((*[]string)(o), "output", "o", nil, "table to write, .json or .md (repeatable)")
}

// check refuses other endings, before any work is done.
func (o calibrationFiles) check() error {
	for _, path := range o {
		if ext := filepath.Ext(path); ext != ".json" && ext != ".md" {
			return usageError(fmt.Errorf("-o %s: a calibration is written as .json or .md", path))
		}
	}
	return nil
}

func (o calibrationFiles) write(a *app, markdown func(io.Writer) error, encode func() ([]byte, error)) error {
	for _, path := range o {
		err := a.writeTo(path, func(w *bufio.Writer) error {
			if filepath.Ext(path) == ".md" {
				return markdown(w)
			}
			data, err := encode()
			if err != nil {
				return err
			}
			_, err = w.Write(data)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}
