package main

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/stillmark/stillmark/corpora"
)

func (a *app) corporaCommand() *cobra.Command {
	return holder("corpora", "prompt suites: list, show, lint, expand; plant canaries, cut passages; the schema of a suite",
		"  stillmark corpora list\n  stillmark corpora expand longform-en -n 5",
		a.corporaListCommand(), a.corporaShowCommand(), a.corporaLintCommand(), a.corporaExpandCommand(), a.corporaPlantCommand(), a.corporaPassagesCommand(), a.corporaSchemaCommand())
}

func (a *app) corporaSchemaCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "schema",
		Short:   "print the JSON schema of a suite in YAML",
		Example: "  stillmark corpora schema > suite.schema.json",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := a.out.Write(corpora.Schema)
			return err
		},
	}
}

func (a *app) corporaListCommand() *cobra.Command {
	var output outputFiles
	c := &cobra.Command{
		Use:   "list",
		Short: "list the embedded suites and the sets that are made of them",
		Long: `Lists the embedded suites with the family of tests that each serves, its items (the
units of analysis: one question in all its languages), its prompts, the replies to
each that the family needs, and its languages; then the sets of suites. With --json
a record for each suite and each set.`,
		Example: "  stillmark corpora list\n  stillmark corpora list -o suites.csv",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if err := output.check(); err != nil {
				return err
			}
			cards, sets := corpora.List(), corpora.Sets()
			suites := suiteRows(cards)
			if err := output.write(struct {
				Suites []corpora.Info `json:"suites"`
				Sets   []corpora.Set  `json:"sets"`
			}{cards, sets}, suites); err != nil {
				return err
			}
			if a.asJSON {
				for _, card := range cards {
					if err := a.printJSON(card); err != nil {
						return err
					}
				}
				for _, set := range sets {
					if err := a.printJSON(set); err != nil {
						return err
					}
				}
				return nil
			}
			if err := a.table(suites); err != nil {
				return err
			}
			w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
			fmt.Fprintln(w, "\nset\trequests\truns\tsuites")
			for _, s := range sets {
				fmt.Fprintf(w, "%s\t%d\t%d\t%d\n", s.Name, s.Requests, s.Runs, len(s.Members))
			}
			return w.Flush()
		},
	}
	output.bind(c.Flags())
	return c
}

// suiteRows are a table of cards.
func suiteRows(cards []corpora.Info) [][]string {
	rows := [][]string{{"suite", "family", "version", "items", "prompts", "samples", "languages"}}
	for i := range cards {
		c := &cards[i]
		rows = append(rows, []string{
			c.Name, c.Family, c.Version, strconv.Itoa(c.Items), strconv.Itoa(c.Prompts), strconv.Itoa(max(1, c.Samples)), strings.Join(c.Languages, " "),
		})
	}
	return rows
}

func (a *app) corporaShowCommand() *cobra.Command {
	var output outputFiles
	c := &cobra.Command{
		Use:     "show SUITE|FOLDER|SET",
		Short:   "print a card: purpose, family, counts, languages, what it must never be used for",
		Example: "  stillmark corpora show free-choice\n  stillmark corpora show evidential\n  stillmark corpora show my-suites/",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if err := output.check(); err != nil {
				return err
			}
			if set, err := corpora.SetByName(args[0]); err == nil {
				if err := output.writeRecord(set); err != nil {
					return err
				}
				return a.showSet(set)
			}
			suites, err := loadSuites(args[0])
			if err != nil {
				return err
			}
			var cards []corpora.Info
			for _, s := range suites {
				cards = append(cards, s.Info())
			}
			if len(cards) == 1 {
				err = output.writeRecord(cards[0])
			} else {
				err = output.write(cards, suiteRows(cards))
			}
			if err != nil {
				return err
			}
			for i, card := range cards {
				if i > 0 && !a.asJSON {
					fmt.Fprintln(a.out)
				}
				if err := a.showSuite(card); err != nil {
					return err
				}
			}
			return nil
		},
	}
	output.bind(c.Flags())
	return c
}

func (a *app) showSuite(c corpora.Info) error {
	if a.asJSON {
		return a.printJSON(c)
	}
	line := func(name, format string, args ...any) {
		fmt.Fprintf(a.out, "%-11s%s\n", name, printable(fmt.Sprintf(format, args...)))
	}
	line("suite", "%s, version %s", c.Name, c.Version)
	line("family", "%s", c.Family)
	line("purpose", "%s", c.Purpose)
	line("never use", "%s", c.NeverUse)
	line("languages", "%s", strings.Join(c.Languages, " "))
	line("items", "%d, %d of them placebos", c.Items, c.Placebos)
	line("prompts", "%d from %d templates", c.Prompts, c.Templates)
	line("replies", "%d to each prompt", max(1, c.Samples))
	if c.ReplyTokens > 0 {
		line("length", "up to %d tokens a reply", c.ReplyTokens)
	}
	if c.Draws > 0 {
		line("key", "a canary key draws or fills %d items", c.Draws)
	}
	if c.Slots > 0 {
		line("slots", "%d, over which the prompts are spread", c.Slots)
	}
	line("origin", "%s", c.Origin)
	line("sha256", "%s", c.SHA256)
	for _, category := range c.Categories {
		fmt.Fprintf(a.out, "  %-13s %d\n", cmp.Or(printable(category.Category), "no category"), category.Prompts)
	}
	return nil
}

func (a *app) showSet(s *corpora.Set) error {
	if a.asJSON {
		return a.printJSON(s)
	}
	verdict := "its results may support a verdict"
	if !s.Verdict {
		verdict = "never for a verdict"
	}
	fmt.Fprintf(a.out, "set        %s: %s\npurpose    %s\nnever use  %s\nrequests   %d to each target in one run\n", s.Name, verdict, s.Purpose, s.NeverUse, s.Requests)
	if s.Runs > 1 {
		fmt.Fprintf(a.out, "runs       %d, at least %d days apart\n", s.Runs, s.DaysApart)
	}
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "\nsuite\tfamily\tprompts\tsamples\tkey")
	for _, m := range s.Members {
		key := "-"
		if m.Keyed {
			key = "canary"
		}
		fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%s\n", m.Suite, m.Family, m.Prompts, m.Samples, key)
	}
	for _, id := range s.Brought {
		fmt.Fprintf(w, "passages of yours\t%s\t-\t-\twatermark\n", id)
	}
	return w.Flush()
}

func (a *app) corporaExpandCommand() *cobra.Command {
	var seed uint64
	var n int
	var key string
	c := &cobra.Command{
		Use:   "expand SUITE|FOLDER",
		Short: "print the prompts of a suite, drawn by a seed",
		Long: `Prints the prompts of a suite in the order of a seed; the first n are the first
of every larger number. With --json each comes with what its family needs to read
the reply, which is sealed with a plan and never sent. Of a folder all suites are
printed, each with its name and so many prompts.

Suites of E4 and E5 are drawn or filled by a canary key: with --key its prompts are
printed, which are as secret as the key until they are sent.`,
		Example: "  stillmark corpora expand longform-en -n 5 --seed 7 --json\n  stillmark corpora expand canary-en --key canary.json -n 5",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			suites, err := loadSuites(args[0])
			if err != nil {
				return err
			}
			for _, s := range suites {
				prompts, err := expandSuite(s, key, seed, n)
				if err != nil {
					return usageError(err)
				}
				named := expandedPrompt{}
				if len(suites) > 1 {
					named.Suite = s.Name
				}
				for _, named.Prompt = range prompts {
					if err := a.showPrompt(named); err != nil {
						return err
					}
				}
			}
			return nil
		},
	}
	c.Flags().Uint64Var(&seed, "seed", 1, "seed of the draw")
	c.Flags().IntVarP(&n, "number", "n", 0, "how many prompts, 0 for all")
	c.Flags().StringVar(&key, "key", "", "canary key file, for suites that a key draws or fills")
	return c
}

// expandedPrompt is a prompt, with its suite where there are several.
type expandedPrompt struct {
	Suite string `json:"suite,omitempty"`
	corpora.Prompt
}

func (a *app) showPrompt(p expandedPrompt) error {
	if a.asJSON {
		return a.printJSON(p)
	}
	if p.Suite != "" {
		p.Suite += "\t"
	}
	_, err := fmt.Fprintf(a.out, "%s%s\t%s\n", p.Suite, p.ID, printable(p.Text))
	return err
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
