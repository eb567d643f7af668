package main

import (
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/stillmark/stillmark/corpora"
)

func (a *app) corporaCommand() *cobra.Command {
	return holder("corpora", "prompt suites: list, show, lint, expand, plant canaries",
		"  stillmark corpora list\n  stillmark corpora expand longform-en -n 5",
		a.corporaListCommand(), a.corporaShowCommand(), a.corporaLintCommand(), a.corporaExpandCommand(), a.corporaPlantCommand())
}

func (a *app) corporaListCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "list the embedded suites",
		Example: "  stillmark corpora list --json",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
			for _, s := range corpora.List() {
				if a.asJSON {
					if err := a.printJSON(s); err != nil {
						return err
					}
					continue
				}
				fmt.Fprintf(w, "%s\t%s\tv%s\t%d prompts\t%s\n", s.Name, s.Family, s.Version, s.Prompts, s.Purpose)
			}
			return w.Flush()
		},
	}
}

// loadSuite reads a suite by name or path.
func loadSuite(name string) (*corpora.Suite, error) {
	s, err := corpora.Load(name)
	if err != nil {
		return nil, usageError(err)
	}
	return s, nil
}

func (a *app) corporaShowCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "show SUITE",
		Short:   "print a suite's card: purpose, family, counts, what it must never be used for",
		Example: "  stillmark corpora show longform-en",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			s, err := loadSuite(args[0])
			if err != nil {
				return err
			}
			info := s.Info()
			if a.asJSON {
				return a.printJSON(info)
			}
			fmt.Fprintf(a.out, "suite      %s, version %s\nfamily     %s\npurpose    %s\nnever use  %s\nlanguages  %v\nprompts    %d from %d templates\nsha256     %s\n",
				info.Name, info.Version, info.Family, info.Purpose, info.NeverUse, info.Languages, info.Prompts, info.Templates, info.SHA256)
			for _, c := range info.Categories {
				fmt.Fprintf(a.out, "  %-12s %d\n", c.Category, c.Prompts)
			}
			return nil
		},
	}
}

func (a *app) corporaLintCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "lint SUITE",
		Short:   "look for duplicates, vendor names, over-long prompts and unfilled slots",
		Example: "  stillmark corpora lint my-suite.yaml",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			s, err := loadSuite(args[0])
			if err != nil {
				return err
			}
			problems := s.Lint()
			for _, p := range problems {
				if a.asJSON {
					if err := a.printJSON(p); err != nil {
						return err
					}
					continue
				}
				fmt.Fprintf(a.out, "%s: %s: %s\n", p.ID, p.Rule, printable(p.Detail))
			}
			if len(problems) > 0 {
				return usageError(fmt.Errorf("%s has %d problems", args[0], len(problems)))
			}
			fmt.Fprintf(a.err, "%s: no problem found\n", args[0])
			return nil
		},
	}
}

func (a *app) corporaExpandCommand() *cobra.Command {
	var seed uint64
	var n int
	var key string
	c := &cobra.Command{
		Use:   "expand SUITE",
		Short: "print the prompts of a suite, drawn by a seed",
		Long: `Prints the prompts of a suite in the order of a seed; the first n are the first
of every larger number. With --json each comes with what its family needs to read
the reply, which is sealed with a plan and never sent.

Suites of E4 and E5 are drawn or filled by a canary key: with --key its prompts are
printed, which are as secret as the key until they are sent.`,
		Example: "  stillmark corpora expand longform-en -n 5 --seed 7 --json\n  stillmark corpora expand canary-en --key canary.json -n 5",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			s, err := loadSuite(args[0])
			if err != nil {
				return err
			}
			prompts, err := expandSuite(s, key, seed, n)
			if err != nil {
				return usageError(err)
			}
			for _, p := range prompts {
				if a.asJSON {
					if err := a.printJSON(p); err != nil {
						return err
					}
					continue
				}
				fmt.Fprintf(a.out, "%s\t%s\n", p.ID, printable(p.Text))
			}
			return nil
		},
	}
	c.Flags().Uint64Var(&seed, "seed", 1, "seed of the draw")
	c.Flags().IntVarP(&n, "number", "n", 0, "how many prompts, 0 for all")
	c.Flags().StringVar(&key, "key", "", "canary key file, for suites that a key draws or fills")
	return c
}

// expandSuite draws n prompts of a suite, under a canary key if it needs one.
func expandSuite(s *corpora.Suite, keyPath string, seed uint64, n int) ([]corpora.Prompt, error) {
	use := s.Use()
	if use == "" || keyPath == "" {
		return s.Expand(seed, n)
	}
	k, err := loadKey(keyPath)
	if err != nil {
		return nil, err
	}
	secret, err := k.CanarySecret(use)
	if err != nil {
		return nil, err
	}
	return s.ExpandUnder(secret, seed, n)
}
