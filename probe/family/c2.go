package family

import (
	"context"
	"slices"
	"strconv"

	"github.com/stillmark/stillmark/corpora/reading"
	"github.com/stillmark/stillmark/probe/ledger"
	"github.com/stillmark/stillmark/watermark/evidence"
)

// RandomChoice is the family of this file: C2. Asked to pick at random, a model has
// preferences that nothing in the prompt decides, and a student inherits its
// teacher's. Each prompt gives a distribution per model; two of them agree as far as
// their Jensen-Shannon divergence is below its maximum.
const RandomChoice = "C2"

// pickExtractor names the version of what reads a pick.
const pickExtractor = "pick-1: numbers in range, first mention of a known option, else the short answer as it stands"

var pickKinds = []reading.Kind{reading.KindNumber, reading.KindPick, reading.KindCoin}

func c2Family() Family {
	return Family{
		ID: RandomChoice, Name: "random choice", Tier: ledger.Comparative,
		Rung:  "H_any: trained on, or otherwise dependent on, some text of ours",
		Needs: []string{"chat"}, run: together(alone(runC2)), power: func(t *PlannedTest) (ledger.PowerRow, error) {
			return plannedRank(t, pickUnit, pickSpread, pickKinds...)
		},
		null:        "Where nothing decides, the picks of {target} are no more like those of our model, beyond their likeness to other teachers', than a control's.",
		alternative: "The picks of {target} are more like those of our model than any control's.",
	}
}

const pickUnit = "agreement of distributions (1 minus the divergence in bits)"

// pickSpread is that of scripted models with 15 to 40 samples.
var pickSpread = spread{between: .03, within: .145}

// runC2 compares distributions per prompt.
func runC2(ctx context.Context, in *Input) (*Output, error) {
	s := &say{
		statistic: "the double-centred mean over prompts of 1 minus the Jensen-Shannon divergence of the target's picks from ours: what is left is the divergence from other teachers' picks minus that from ours",
		unit:      pickUnit, extractor: pickExtractor,
		hi: 1,
	}
	sd, err := in.sides()
	if err != nil {
		return nil, err
	}
	r, err := in.readings(pickKinds...)
	if err != nil {
		return nil, err
	}
	picks, err := countReadings(ctx, in, sd, r, s, func(x *reading.Reading, a *Answer) string {
		return pick(x, a.Reply.Text)
	})
	if err != nil {
		return nil, err
	}
	g := newAgreement(sd)
	for _, p := range in.Prompts() {
		if r.of[p] == nil {
			continue
		}
		c := g.cell(r.item[p], p.Category, p)
		for i, row := range g.rows {
			for j, column := range g.teachers {
				a, b := picks[row][p], picks[column][p]
				// A handful of picks is no distribution: its divergence from
				// everybody is a matter of their number.
				if need := in.SamplesOf(p); row != column && 2*total(a) >= float64(need) && 2*total(b) >= float64(need) {
					g.set(c, i, j, 1-divergence(a, b), 1)
				}
			}
		}
	}
	return in.compare(sd, g, s), nil
}

func total(counts map[string]float64) float64 {
	n := 0.
	for _, c := range counts {
		n += c // whole numbers: any order gives the same sum
	}
	return n
}

// divergence is the Jensen-Shannon divergence of two tables of counts, in bits.
func divergence(a, b map[string]float64) float64 {
	keys := make([]string, 0, len(a)+len(b))
	for k := range a {
		keys = append(keys, k)
	}
	for k := range b {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	keys = slices.Compact(keys)
	p, q := make([]float64, len(keys)), make([]float64, len(keys))
	for i, k := range keys {
		p[i], q[i] = a[k], b[k]
	}
	return evidence.JensenShannon(p, q)
}

// pick reads what a reply picked: "" where that cannot be told.
func pick(x *reading.Reading, text string) string {
	answer := plain(text)
	if x.Kind == reading.KindNumber {
		return pickNumber(x, answer, text)
	}
	if len(x.Options) > 0 {
		// What is set in bold was picked, whatever is weighed around it.
		for _, part := range []string{emphasised(text), answer} {
			options := x.Mentions(part)
			if len(options) == 1 || len(options) > 1 && x.Kind == reading.KindPick {
				return "option " + strconv.Itoa(options[0])
			}
		}
		if x.Kind == reading.KindCoin {
			return ""
		}
	}
	if n := emphasised(text); n != "" {
		return n
	}
	return name(answer)
}

// pickNumber takes the number in range that a reply sets in bold, else its only one,
// else the first that does not just repeat the bounds.
func pickNumber(x *reading.Reading, answer, text string) string {
	for _, part := range []string{emphasised(text), answer} {
		var found []int
		for _, n := range numbers(part) {
			if n >= x.Low && n <= x.High && !slices.Contains(found, n) {
				found = append(found, n)
			}
		}
		if len(found) > 1 {
			inner := slices.DeleteFunc(slices.Clone(found), func(n int) bool { return n == x.Low || n == x.High })
			if len(inner) > 0 {
				found = inner
			}
		}
		if len(found) > 0 {
			return strconv.Itoa(found[0])
		}
	}
	return ""
}
