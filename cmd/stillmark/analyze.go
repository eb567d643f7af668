package main

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/stillmark/stillmark/probe/family"
	"github.com/stillmark/stillmark/probe/ledger"
	"github.com/stillmark/stillmark/watermark"
)

func (a *app) analyzeCommand() *cobra.Command {
	var keyPaths []string
	var withheld bool
	var tokenizers tokenizerFiles
	var output outputFiles
	c := &cobra.Command{
		Use:   "analyze CASE --key FILE",
		Short: "run every declared test on the replies of a case",
		Long: `Runs the tests that the sealed plan declares, on the raw replies in the ledger, and
writes analysis/<id>/findings.json into the case. It is a pure function of ledger,
keys and plan: the same input gives the same bytes under the same id. Tests whose
key is not given are reported as withheld; giving none at all takes --withheld. A
sealed case is analysed without writing anything. Millions of scored tokens go to a
temporary file in $TMPDIR, which is gone when the command ends.`,
		Example: "  stillmark analyze case --key key.json\n  stillmark analyze case --key key.json -o findings.csv",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if err := output.check(); err != nil {
				return err
			}
			keys, err := loadKeys(keyPaths)
			if err != nil {
				return err
			}
			open, err := tokenizers.opener()
			if err != nil {
				return err
			}
			kase, err := ledger.Open(args[0])
			if err != nil {
				return usageError(err)
			}
			if err := planned(kase.Plan(), keys, withheld); err != nil {
				return err
			}
			state, err := kase.State()
			if err != nil {
				return err
			}
			m := a.newMeter()
			findings, err := family.Analyze(c.Context(), kase, keys, family.Options{Tokenizer: open, Progress: func(p family.Progress) {
				what := "reading"
				if p.Index > 0 {
					what = fmt.Sprintf("test %d of %d, %s:", p.Index, p.Tests, p.Test)
				}
				m.share(float64(p.Done)/float64(max(1, p.Of)), fmt.Sprintf("%s %s %d/%d", what, p.Step, p.Done, p.Of))
			}})
			m.clear()
			if err != nil {
				return err
			}
			id := "(the case is sealed: nothing was written)"
			if !state.Sealed {
				encoded, err := family.Encode(findings)
				if err != nil {
					return err
				}
				if id, err = ledger.SaveAnalysis(args[0], encoded); err != nil {
					return err
				}
			}
			if err := output.write(findings, verdictRows(kase.Plan(), findings)); err != nil {
				return err
			}
			if a.asJSON {
				return a.printJSON(findings)
			}
			fmt.Fprintf(a.out, "analysis  %s\n\n", id)
			return writeFindings(a.out, kase.Plan(), findings)
		},
	}
	c.Flags().StringArrayVar(&keyPaths, "key", nil, "key file (repeatable)")
	c.Flags().BoolVar(&withheld, "withheld", false, "analyse without any key: counts only")
	tokenizers.bind(c.Flags())
	output.bind(c.Flags())
	return c
}

// planned refuses keys that the plan does not name, and no key at all unless
// that is wanted: an analysis under the wrong key would hide the result.
func planned(plan *ledger.Plan, keys []*watermark.Key, withheld bool) error {
	var ids []string
	for _, k := range plan.Keys {
		ids = append(ids, k.ID)
	}
	for _, k := range keys {
		if !slices.Contains(ids, k.ID) {
			return usageError(fmt.Errorf("key %s is none of the plan's (%s)", k.ID, strings.Join(ids, ", ")))
		}
	}
	if len(keys) == 0 && !withheld && len(ids) > 0 {
		return usageError(fmt.Errorf("name the plan's keys (%s) with --key, or give --withheld to count only", strings.Join(ids, ", ")))
	}
	return nil
}

// writeVerdicts prints one line per finding.
func writeVerdicts(w io.Writer, plan *ledger.Plan, f *ledger.Findings) error {
	if len(f.Findings) == 0 {
		fmt.Fprintln(w, "The plan declares no test: it collects controls.")
		for _, a := range f.Accounting {
			fmt.Fprintf(w, "%s: %d of %d replies enter, %d are missing\n", a.Target, a.Analysed, a.Planned, a.Missing)
		}
		return nil
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, row := range verdictRows(plan, f) {
		fmt.Fprintln(t, strings.Join(row, "\t"))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "\nHolm over %s; threshold log10 p %.0f, fixed beforehand; effects are %s.\n",
		declared(plan), math.Log10(plan.Alpha), effectUnits(f))
	return err
}

// declared counts the primary tests by tier: each tier is corrected by itself, and
// secondary tests stand outside.
func declared(plan *ledger.Plan) string {
	var exact, comparative, secondary int
	for i := range plan.Tests {
		t := &plan.Tests[i]
		switch fam, _ := family.ByID(t.Family); {
		case !t.Primary:
			secondary++
		case fam.Tier == ledger.Comparative:
			comparative++
		default:
			exact++
		}
	}
	said := fmt.Sprintf("%d declared tests", exact+comparative)
	if exact > 0 && comparative > 0 {
		said = fmt.Sprintf("%d exact and %d comparative declared tests, each kind by itself", exact, comparative)
	}
	if secondary > 0 {
		said += fmt.Sprintf(" (%d secondary ones outside)", secondary)
	}
	return said
}

// verdictRows is the table of findings, a row each. What was not measured is a dash.
func verdictRows(plan *ledger.Plan, f *ledger.Findings) [][]string {
	rows := [][]string{{"target", "role", "test", "n", "effect [95 %]", "log10 p", "Holm", "log10 e", "decoys", "power 0.9 at", "key", "text", "verdict"}}
	for i := range f.Findings {
		x := &f.Findings[i]
		effect, power := "-", "-"
		if x.N > 0 {
			effect = fmt.Sprintf("%+.4f [%+.4f, %+.4f]", x.Effect, x.EffectLo, x.EffectHi)
		}
		if x.Power.Effect > 0 {
			power = fmt.Sprintf("%+.4f", x.Power.Effect)
		}
		rows = append(rows, []string{
			x.Target, string(x.Role), testName(x), strconv.FormatInt(x.N, 10), effect,
			number(x.Log10P), number(x.HolmLog10P), number(x.Log10E), decoyCell(plan, x.Decoys), power, cmp.Or(x.Key, "-"), textRead(plan, x), string(x.Verdict),
		})
	}
	return rows
}

// textRead says what a test read of the replies.
func textRead(plan *ledger.Plan, x *ledger.Finding) string {
	for i := range plan.Tests {
		t := &plan.Tests[i]
		if t.ID != x.Test {
			continue
		}
		if t.Family != family.Radioactivity {
			break
		}
		text := cmp.Or(family.TextOf(t), "answer")
		if t.Filter != "" {
			text += ", served windows"
		}
		return text
	}
	return "-"
}

// testName is the scheme of a watermark's test, the family of any other, and who read
// the replies where that is not the rules.
func testName(f *ledger.Finding) string {
	switch {
	case f.Family == family.Radioactivity:
		return f.Scheme
	case f.Judge != nil:
		return f.Family + " judge"
	}
	return f.Family
}

// effectUnits says what the effects of each scheme count.
func effectUnits(f *ledger.Findings) string {
	var parts []string
	for _, x := range f.Findings {
		part := x.EffectUnit + " (" + testName(&x) + ")"
		if !slices.Contains(parts, part) {
			parts = append(parts, part)
		}
	}
	return strings.Join(parts, ", ")
}

// writeFindings prints the verdict table and what each finding means.
func writeFindings(w io.Writer, plan *ledger.Plan, f *ledger.Findings) error {
	if err := writeVerdicts(w, plan, f); err != nil {
		return err
	}
	for _, x := range f.Ladder {
		fmt.Fprintf(w, "\n%s\n", printable(x.Headline))
		for _, why := range x.Why {
			fmt.Fprintf(w, "  %s\n", printable(why.Sentence))
		}
	}
	var notes []string // each once, however many findings it limits
	for i := range f.Findings {
		s := family.Say(&f.Findings[i], math.Log10(plan.Alpha))
		fmt.Fprintf(w, "\n%s\n  %s\n", printable(s.Headline), printable(s.Meaning))
		for _, said := range new(family.Book).SayJudge(&f.Findings[i]) {
			fmt.Fprintf(w, "  %s\n", printable(said))
		}
		if x := &f.Findings[i]; x.Epochs > 1 {
			for _, part := range x.Parts {
				fmt.Fprintf(w, "  %s: n %d, effect %+.4f [%+.4f, %+.4f], log10 p %s, uncorrected\n", printable(part.Name), part.N, part.Effect, part.Lo, part.Hi, number(part.Log10P))
			}
		}
		for _, warning := range s.Warnings {
			if !slices.Contains(notes, warning) {
				notes = append(notes, warning)
			}
		}
	}
	if len(notes) > 0 {
		fmt.Fprintln(w)
	}
	for _, note := range notes {
		fmt.Fprintf(w, "note: %s\n", printable(note))
	}
	for _, d := range f.Deviations {
		fmt.Fprintf(w, "\ndeviation from the plan: %s\n", printable(d))
	}
	return nil
}

func number(v *float64) string {
	if v == nil {
		return "-"
	}
	return fmt.Sprintf("%.2f", *v)
}

// decoyCell says how many decoys there were and what became of the plan's gate.
func decoyCell(plan *ledger.Plan, d *ledger.DecoyFinding) string {
	if d == nil {
		return "not checked"
	}
	state := "not as planned"
	switch family.GateOf(plan, d) {
	case family.GatePassed:
		state = "ok"
	case family.GateFailed:
		state = "FAILED"
	}
	return fmt.Sprintf("%d %s, rank p %.3g", d.N, state, d.RankP)
}
