package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/stillmark/stillmark/corpora"
	"github.com/stillmark/stillmark/watermark"
)

func (a *app) corporaLintCommand() *cobra.Command {
	var keyPath string
	var tokenizers tokenizerFiles
	var output outputFiles
	c := &cobra.Command{
		Use:   "lint SUITE|FOLDER…",
		Short: "look for what makes a suite unfit as evidence",
		Long: `Looks for prompts that are there twice or nearly so, names of vendors and models
outside C3, prompts over the suite's limit, slots that nothing fills, missing
languages, readings that make no sense for their kind, options that cannot be told
apart in a reply, missing placebos, choices that two items share, texts of the
watermarked model outside E2, and prompts of one suite that are nearly those of
another. Without an argument the embedded suites are examined.

Equal prompts are looked for among all fillings of all templates; nearly equal ones among
the templates, with their slots left open: fillings of one template are alike by design.

With --key the prompts of each suite are scored under a watermark key as one
stream: prompts that were written for this purpose show nothing of it, and where
they do (log10 p <= -6) the key could come in through the prompt.`,
		Example: "  stillmark corpora lint my-suite.yaml\n  stillmark corpora lint suites/ --key key.json",
		RunE: func(c *cobra.Command, args []string) error {
			if err := output.check(); err != nil {
				return err
			}
			var suites []*corpora.Suite
			if len(args) == 0 {
				for _, card := range corpora.List() {
					args = append(args, card.Name)
				}
			}
			for _, name := range args {
				found, err := loadSuites(name)
				if err != nil {
					return err
				}
				suites = append(suites, found...)
			}
			mark, err := a.promptScorer(keyPath, &tokenizers)
			if err != nil {
				return err
			}
			total := 0
			rows, record := [][]string{{"suite", "rule", "prompt", "problem"}}, []lintProblem{}
			note := func(suite string, p corpora.Problem) error {
				rows, record = append(rows, []string{suite, p.Rule, p.ID, p.Detail}), append(record, lintProblem{suite, p})
				return a.showProblem(suite, p)
			}
			m := a.newMeter()
			defer m.clear()
			for i, s := range suites {
				m.count("examining "+s.Name, i, len(suites))
				problems := s.Lint()
				if mark != nil {
					found, err := mark(s)
					if err != nil {
						return err
					}
					problems = append(problems, found...)
				}
				total += len(problems)
				for _, p := range problems {
					if err := note(s.Name, p); err != nil {
						return err
					}
				}
			}
			across := corpora.LintAcross(suites)
			total += len(across)
			for _, p := range across {
				if err := note("", p); err != nil {
					return err
				}
			}
			if err := output.write(record, rows); err != nil {
				return err
			}
			if total > 0 {
				return usageError(fmt.Errorf("%s in %s", howMany(total, "problem"), howMany(len(suites), "suite")))
			}
			m.clear()
			if a.asJSON {
				return a.printJSON(struct {
					Suites   int `json:"suites"`
					Problems int `json:"problems"`
				}{len(suites), 0})
			}
			fmt.Fprintf(a.out, "%s: no problem found\n", howMany(len(suites), "suite"))
			return nil
		},
	}
	c.Flags().StringVar(&keyPath, "key", "", "watermark key file: look for its mark in the prompts, too")
	tokenizers.bind(c.Flags())
	output.bind(c.Flags())
	return c
}

// howMany is a number of things: 1 suite, 2 suites.
func howMany(n int, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return fmt.Sprintf("%d %s", n, noun)
}

// lintProblem is a problem with its suite, which is empty if it lies between two.
type lintProblem struct {
	Suite string `json:"suite,omitempty"`
	corpora.Problem
}

// showProblem prints one problem.
func (a *app) showProblem(suite string, p corpora.Problem) error {
	if a.asJSON {
		return a.printJSON(lintProblem{suite, p})
	}
	if suite != "" {
		suite += ": "
	}
	fmt.Fprintln(a.out, printable(suite+p.String()))
	return nil
}

// markedPrompts is the log10 p at which prompts count as carrying a mark: a suite
// that was written by people reaches it once in a million keys.
const markedPrompts = -6

// promptScorer returns what looks for a key's mark in a suite's prompts; nil
// without a key.
func (a *app) promptScorer(keyPath string, files *tokenizerFiles) (func(*corpora.Suite) ([]corpora.Problem, error), error) {
	if keyPath == "" {
		return nil, nil
	}
	k, err := loadKey(keyPath)
	if err != nil {
		return nil, err
	}
	mark, err := k.Mark()
	if err != nil {
		return nil, usageError(err)
	}
	enc, err := tokenizerOf(k.Spec, files)
	if err != nil {
		return nil, err
	}
	return func(s *corpora.Suite) ([]corpora.Problem, error) {
		texts, err := s.Texts()
		if err != nil {
			return nil, nil // reported already
		}
		d := watermark.NewDetector(mark, watermark.Options{Weights: watermark.WeightsNone})
		for _, text := range texts {
			ids, err := enc.Encode(text)
			if err != nil {
				return nil, usageError(fmt.Errorf("suite %s: %w", s.Name, err))
			}
			d.Add(watermark.Item{Tokens: ids})
		}
		found := d.Result()
		if !(found.Tail.Log10P <= markedPrompts) {
			return nil, nil
		}
		return []corpora.Problem{{Rule: "marked", Detail: fmt.Sprintf(
			"the prompts depend on key %s (log10 p %.1f over %d units): they hold text that was written under it", k.ID, found.Tail.Log10P, found.N)}}, nil
	}, nil
}
