package main

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/stillmark/stillmark/cmd/stillmark/internal/config"
	"github.com/stillmark/stillmark/probe/endpoint"
	"github.com/stillmark/stillmark/probe/ledger"
)

func (a *app) targetCommand() *cobra.Command {
	return holder("target", "the models that are probed: list, show, test",
		"  stillmark target test acme-nova-1",
		a.targetListCommand(), a.targetShowCommand(), a.targetTestCommand())
}

// didYouMean names the nearest candidate, or lists them when few.
func didYouMean(name string, candidates []string) string {
	best, distance := "", 1+len(name)/2
	for _, c := range candidates {
		if d := config.EditDistance(name, c); d < distance {
			best, distance = c, d
		}
	}
	switch {
	case best != "":
		return fmt.Sprintf("; did you mean %q?", best)
	case len(candidates) > 0 && len(candidates) <= 20:
		return "; known: " + strings.Join(candidates, ", ")
	}
	return ""
}

func (a *app) targetListCommand() *cobra.Command {
	var output outputFiles
	c := &cobra.Command{
		Use:     "list",
		Short:   "list the configured targets and the presets of known providers",
		Example: "  stillmark target list\n  stillmark target list -o targets.csv",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if err := output.check(); err != nil {
				return err
			}
			f, err := config.Load(a.config)
			if err != nil {
				return err
			}
			targets, rows := []ledger.Target{}, [][]string{{"name", "role", "model", "base_url"}}
			for _, c := range f.Targets {
				t, err := resolve(f, c.Name)
				if err != nil {
					return err
				}
				targets, rows = append(targets, t), append(rows, []string{t.Name, string(t.Role), t.Model, t.BaseURL})
			}
			if err := output.write(targets, rows); err != nil {
				return err
			}
			if a.asJSON {
				for i := range targets {
					if err := a.printJSON(targets[i]); err != nil {
						return err
					}
				}
				return nil
			}
			w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
			for _, row := range rows[1:] {
				fmt.Fprintln(w, printable(strings.Join(row, "\t")))
			}
			if len(targets) == 0 {
				fmt.Fprintln(w, "no target is configured (stillmark config init)")
			}
			fmt.Fprintln(w, "\npreset\tkey from\taddress\t")
			for _, p := range endpoint.Presets() {
				fmt.Fprintf(w, "%s\t%s\t%s\t\n", p.Name, p.APIKeyEnv, p.BaseURL)
			}
			return w.Flush()
		},
	}
	output.bind(c.Flags())
	return c
}

func (a *app) targetShowCommand() *cobra.Command {
	var output outputFiles
	c := &cobra.Command{
		Use:     "show NAME",
		Short:   "print a target as a plan would record it",
		Example: "  stillmark target show acme-nova-1",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if err := output.check(); err != nil {
				return err
			}
			f, err := config.Load(a.config)
			if err != nil {
				return err
			}
			t, err := resolve(f, args[0])
			if err != nil {
				return err
			}
			if err := output.writeRecord(t); err != nil {
				return err
			}
			return a.printJSON(t)
		},
	}
	output.bind(c.Flags())
	return c
}

// adHoc adds the flags that name a target without a configuration file.
type adHoc struct{ baseURL, model, keyEnv string }

func (h *adHoc) flags(c *cobra.Command) {
	c.Flags().StringVar(&h.baseURL, "base-url", "", "address up to and including /v1, instead of a configured target (default $OPENAI_BASE_URL)")
	c.Flags().StringVar(&h.model, "model", "", "model to ask for, with --base-url")
	c.Flags().StringVar(&h.keyEnv, "api-key-env", "", "name of the environment variable that holds the API key, with --base-url")
}

// target is the ad-hoc target, or the configured one that args name.
func (h *adHoc) target(a *app, args []string) (ledger.Target, error) {
	if len(args) == 1 {
		if h.baseURL != "" || h.model != "" {
			return ledger.Target{}, usageError(errors.New("name a configured target, or give --base-url and --model, not both"))
		}
		f, err := config.Load(a.config)
		if err != nil {
			return ledger.Target{}, err
		}
		return resolve(f, args[0])
	}
	if h.baseURL == "" {
		h.baseURL = os.Getenv("OPENAI_BASE_URL")
	}
	if h.baseURL == "" || h.model == "" {
		return ledger.Target{}, usageError(errors.New("name a configured target, or give --base-url and --model"))
	}
	if h.keyEnv == "" && os.Getenv("OPENAI_API_KEY") != "" {
		h.keyEnv = "OPENAI_API_KEY"
	}
	return ledger.Target{Name: "ad-hoc", Role: ledger.Rival, BaseURL: h.baseURL, Model: h.model, APIKeyEnv: h.keyEnv}, nil
}

func (a *app) targetTestCommand() *cobra.Command {
	var ad adHoc
	var output outputFiles
	c := &cobra.Command{
		Use:   "test [NAME]",
		Short: "ask a target a dozen small questions and print what it can do",
		Long: `Sends about a dozen short requests and prints the capability matrix: chat, streams,
usage, seeds, temperature 0, token limits, log-probabilities, completions, echo,
system prompts. The matrix of every target is sealed in the plan.

A target is a name of the configuration, or PROVIDER/MODEL, where PROVIDER is a preset
or a name of yours whose address and key are in the environment: labs/nova takes
LABS_BASE_URL and LABS_API_KEY.`,
		Example: "  stillmark target test acme-nova-1\n  stillmark target test --base-url http://127.0.0.1:8000/v1 --model nova",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			t, err := ad.target(a, args)
			if err != nil {
				return err
			}
			if err := output.check(); err != nil {
				return err
			}
			caps, err := endpoint.Test(c.Context(), t, endpoint.Options{})
			if err != nil {
				return err
			}
			rows := [][]string{{"capability", "state", "detail"}}
			for _, name := range slices.Sorted(maps.Keys(caps.Support)) {
				rows = append(rows, []string{name, caps.Support[name].State, caps.Support[name].Detail})
			}
			if err := output.write(caps, rows); err != nil {
				return err
			}
			if a.asJSON {
				return a.printJSON(caps)
			}
			fmt.Fprintf(a.out, "target   %s (%s at %s)\nanswers  as %s, median latency %.0f ms\n", t.Name, printable(t.Model), t.BaseURL, printable(caps.Model), caps.LatencyMS)
			return a.table(rows[1:])
		},
	}
	ad.flags(c)
	output.bind(c.Flags())
	return c
}
