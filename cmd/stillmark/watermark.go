package main

import (
	"bufio"
	"fmt"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/stillmark/stillmark/cmd/stillmark/internal/trial"
	"github.com/stillmark/stillmark/watermark"
)

func (a *app) watermarkCommand() *cobra.Command {
	return holder("watermark", "embed and detect the mark: generate, detect, schemes",
		"  stillmark watermark detect --key key.json reply.txt",
		a.generateCommand(), a.detectCommand(), a.schemesCommand())
}

func (a *app) schemesCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "schemes",
		Short:   "list the schemes with their null laws and parameters",
		Example: "  stillmark watermark schemes --json",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
			fmt.Fprintln(w, "scheme\tprf\tparameters\tweights\tnull law of a unit\tstatistic")
			for _, s := range schemeTable {
				if a.asJSON {
					if err := a.printJSON(s); err != nil {
						return err
					}
					continue
				}
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", s.Scheme, strings.Join(s.PRFs, ", "), s.Parameters, s.Weights, s.Law, s.Statistic)
			}
			if a.asJSON {
				return nil
			}
			return w.Flush()
		},
	}
}

type schemeRow struct {
	Scheme     string   `json:"scheme"`
	PRFs       []string `json:"prfs"`
	Parameters string   `json:"parameters"`
	Weights    string   `json:"weights"`
	Law        string   `json:"law"`
	Statistic  string   `json:"statistic"`
}

// schemeTable says in words what package watermark defines.
var schemeTable = []schemeRow{
	{watermark.Gumbel, watermark.PRFs(), "window 2", watermark.WeightsMin8, "exponential, mean 1", "sum of -ln(1-u)"},
	{watermark.KGW, watermark.PRFs(), "window 2, gamma 0.25, delta 2", watermark.WeightsNone, "Bernoulli(gamma)", "number of green tokens"},
	{watermark.Tournament, watermark.PRFs(), "window 2", watermark.WeightsMin8, "30 fair bits", "number of ones"},
}

func (a *app) generateCommand() *cobra.Command {
	var (
		keyPath, output, prompt string
		g                       trial.Generation
	)
	c := &cobra.Command{
		Use:   "generate [--key FILE]",
		Short: "write texts of the embedded reference model, marked under a key",
		Long: `Trains the reference n-gram model (under a second) and lets it answer prompts of the
suite longform-en, or one given prompt, marked under the key; without --key the
texts are unmarked. Writes JSON lines with id, prompt, text, prompt_tokens and
tokens, which "watermark detect" reads.`,
		Example: "  stillmark watermark generate --key key.json -n 3 --max-tokens 200 -o replies.jsonl",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if keyPath != "" {
				k, err := loadKey(keyPath)
				if err != nil {
					return err
				}
				g.Key = k
			}
			g.Prompt = prompt
			return a.writeTo(output, func(w *bufio.Writer) error {
				m := a.newMeter()
				defer m.clear()
				return trial.Generate(c.Context(), g, w, func(done int) { m.count("texts", done, g.N) })
			})
		},
	}
	f := c.Flags()
	f.StringVar(&keyPath, "key", "", "key file; without it the texts are unmarked")
	f.StringVarP(&output, "output", "o", "-", "file to write, - for standard output")
	f.StringVar(&prompt, "prompt", "", "one prompt for all texts instead of the suite's")
	f.IntVarP(&g.N, "number", "n", 1, "number of texts")
	f.IntVar(&g.MaxTokens, "max-tokens", 200, "tokens per text")
	f.Float64Var(&g.Temperature, "temperature", 1, "sampling temperature")
	f.Float64Var(&g.TopP, "top-p", 1, "nucleus: smallest set of candidates with this share of the probability")
	f.Uint64Var(&g.Seed, "seed", 1, "seed of the model, the prompts and the sampling")
	return c
}

// writeTo gives write a buffered file that appears under its name only when it
// is whole, or standard output for "-".
func (a *app) writeTo(path string, write func(*bufio.Writer) error) error {
	if path == "-" {
		w := bufio.NewWriter(a.out)
		if err := write(w); err != nil {
			return err
		}
		return w.Flush()
	}
	temporary, err := os.CreateTemp(dirOf(path), ".stillmark-*")
	if err != nil {
		return fmt.Errorf("%s cannot be written: %w", path, err)
	}
	defer os.Remove(temporary.Name())
	defer temporary.Close()
	w := bufio.NewWriter(temporary)
	if err := write(w); err != nil {
		return err
	}
	if err := w.Flush(); err != nil {
		return &codedError{codeStorage, fmt.Errorf("%s was not written: %w", path, err)}
	}
	if err := temporary.Sync(); err != nil {
		return &codedError{codeStorage, fmt.Errorf("%s was not written: %w", path, err)}
	}
	return os.Rename(temporary.Name(), path)
}

func dirOf(path string) string {
	if i := strings.LastIndexByte(path, os.PathSeparator); i > 0 {
		return path[:i]
	}
	return "."
}
