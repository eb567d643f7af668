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
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/stillmark/stillmark/cmd/stillmark/internal/trial"
	"github.com/stillmark/stillmark/watermark"
)

func (a *app) watermarkCommand() *cobra.Command {
	return holder("watermark", "embed and detect the mark: generate, detect, serve, monitor, scan, identify, power, windows, schemes, strength",
		"  stillmark watermark detect --key key.json reply.txt",
		a.generateCommand(), a.detectCommand(), a.serveCommand(), a.monitorCommand(), a.scanCommand(), a.identifyCommand(), a.powerCommand(), a.windowsCommand(), a.schemesCommand(), a.strengthCommand())
}

func (a *app) schemesCommand() *cobra.Command {
	var output outputFiles
	c := &cobra.Command{
		Use:   "schemes [NAME]",
		Short: "list the schemes with their parameters, null laws and how they were checked",
		Long: `Lists the native schemes and the presets of other stacks, or one of them in full: its
parameters with defaults and limits, what must be as at the marking side, how it was
checked, and from which set its decoy keys are drawn.`,
		Example: "  stillmark watermark schemes\n  stillmark watermark schemes hf-synthid",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if err := output.check(); err != nil {
				return err
			}
			rows := schemeRows()
			if len(args) == 1 {
				i := slices.IndexFunc(rows, func(r schemeRow) bool { return r.Scheme == args[0] })
				if i < 0 {
					return usageError(fmt.Errorf("scheme %q is not known%s", args[0], didYouMean(args[0], watermark.SchemeNames())))
				}
				if err := output.writeRecord(rows[i]); err != nil {
					return err
				}
				if a.asJSON {
					return a.printJSON(rows[i])
				}
				return writeScheme(a.out, &rows[i])
			}
			table := [][]string{{"scheme", "prf", "parameters", "weights", "null law of a unit", "checked"}}
			for _, s := range rows {
				table = append(table, []string{s.Scheme, strings.Join(s.PRFs, ", "), s.Parameters, s.Weights, s.Law, s.Checked})
			}
			if err := output.write(rows, table); err != nil {
				return err
			}
			if !a.asJSON {
				return a.table(table)
			}
			for _, s := range rows {
				if err := a.printJSON(s); err != nil {
					return err
				}
			}
			return nil
		},
	}
	output.bind(c.Flags())
	return c
}

type schemeRow struct {
	Scheme     string            `json:"scheme"`
	PRFs       []string          `json:"prfs"`
	Parameters string            `json:"parameters"`
	Weights    string            `json:"weights"`
	Law        string            `json:"law"`
	Statistic  string            `json:"statistic"`
	Checked    string            `json:"checked"`
	Exact      string            `json:"exact"` // what the p-value rests on
	Decoys     string            `json:"decoys"`
	Match      []string          `json:"match,omitempty"`
	Params     []watermark.Param `json:"params,omitempty"`
}

// The three ways in which a scheme was checked.
const (
	checkedPeer   = "against the peer's numbers"
	checkedSecond = "not run against the peer"
	checkedNative = "native"
	// derivedCUDA is said of the device parameter of presets that have one.
	derivedCUDA = "device=cuda:T: derived, not run on hardware"
)

// nativeRows say in words what package watermark defines.
func nativeRows() []schemeRow {
	const (
		exact  = "exact under aes-ctr-v1; under philox-v1 exact if the generator behaves as random"
		decoys = "drawn as the key was, from the master down"
	)
	rows := []schemeRow{
		{Scheme: watermark.Gumbel, Parameters: "window=2", Weights: watermark.WeightsMin8, Law: "exponential, mean 1", Statistic: "sum of -ln(1-u); on philox-v1 vLLM's, byte for byte"},
		{Scheme: watermark.GumbelDual, Parameters: "window=2, alpha=0.1", Weights: watermark.WeightsNone, Law: "(1-alpha)A + alpha B, both exponential", Statistic: "sum over two keys"},
		{Scheme: watermark.KGW, Parameters: "window=2, gamma=0.25, delta=2, seeding left or self", Weights: watermark.WeightsNone, Law: "Bernoulli(gamma)", Statistic: "number of green tokens"},
		{Scheme: watermark.Tournament, Parameters: "window=2, leaves=2", Weights: watermark.WeightsMin8, Law: "30 fair bits", Statistic: "number of ones"},
	}
	for i := range rows {
		rows[i].PRFs, rows[i].Checked, rows[i].Exact, rows[i].Decoys = watermark.PRFs(), checkedNative, exact, decoys
	}
	return rows
}

// schemeRows are the native schemes and all presets.
func schemeRows() []schemeRow {
	rows := nativeRows()
	for _, p := range watermark.Presets() {
		r := schemeRow{
			Scheme: p.Name, PRFs: []string{p.PRF}, Checked: checkedSecond, Exact: "exact if the generator behaves as random",
			Decoys: p.Decoys, Match: p.Match, Params: p.Params, Statistic: "sum of the units' scores",
		}
		if p.RunAgainstPeer {
			r.Checked = checkedPeer
		}
		var params []string
		for _, x := range p.Params {
			if !slices.Contains(p.ParamNames(), x.Name) {
				continue
			}
			value := x.Default
			switch {
			case x.Secret && value != "":
				value = "published default"
			case value == "":
				value = "…"
			}
			params = append(params, x.Name+"="+value)
			if x.Name == "device" {
				r.Checked += "; " + derivedCUDA
			}
		}
		r.Parameters = strings.Join(params, ", ")
		r.Weights, r.Law = p.Weights(), p.LawText()
		switch {
		case p.DecoysOnly:
			r.Exact = "rank among decoys only"
		case p.Approximate != "":
			r.Exact = "approximate: " + p.Approximate
		}
		rows = append(rows, r)
	}
	return rows
}

func writeScheme(w io.Writer, r *schemeRow) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "scheme\t%s on %s\nchecked\t%s\nlaw\t%s, weights %s\np-value\t%s\ndecoys\t%s\n", r.Scheme, strings.Join(r.PRFs, " or "), r.Checked, r.Law, r.Weights, r.Exact, r.Decoys)
	for _, m := range r.Match {
		fmt.Fprintf(t, "must match\t%s\n", m)
	}
	for _, x := range r.Params {
		fmt.Fprintf(t, "%s\t%s", x.Name, x.Doc)
		switch {
		case x.Secret && x.Default != "":
			fmt.Fprint(t, " (secret; default published)")
		case x.Secret:
			fmt.Fprint(t, " (secret, required)")
		case x.Default != "":
			fmt.Fprintf(t, " (default %s)", x.Default)
		}
		if len(x.Choices) > 1 {
			fmt.Fprintf(t, ": %s", strings.Join(x.Choices, ", "))
		}
		if x.Max != 0 && !x.Secret {
			fmt.Fprintf(t, ", from %v to %v", x.Min, x.Max)
		}
		fmt.Fprintln(t)
	}
	if r.Params == nil {
		fmt.Fprintf(t, "parameters\t%s\n", r.Parameters)
	}
	return t.Flush()
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
			if g.Account != "" && keyPath == "" {
				return usageError(errors.New("--account needs --key, a master key with two channels"))
			}
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
	f.StringVar(&g.Account, "account", "", "whose text it is, under a master key with two channels (without: the provenance channel alone)")
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
	switch info, err := os.Stat(path); {
	case err != nil: // not there yet
	case info.IsDir():
		return usageError(fmt.Errorf("%s is a folder; name a file in it", path))
	case !info.Mode().IsRegular(): // a device or a pipe is written to, not replaced
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		defer f.Close()
		w := bufio.NewWriter(f)
		if err := write(w); err != nil {
			return err
		}
		return w.Flush()
	default:
		if path, err = filepath.EvalSymlinks(path); err != nil { // the link stays
			return err
		}
	}
	temporary, err := os.CreateTemp(filepath.Dir(path), ".stillmark-*")
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
