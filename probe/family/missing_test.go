package family

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stillmark/stillmark/corpora/reading"
	"github.com/stillmark/stillmark/probe/endpoint/mock/persona"
	"github.com/stillmark/stillmark/probe/ledger"
)

// withheld holds back a scripted rival's replies.
type withheld struct {
	p       *population
	samples int
	all     []attempt
}

func newWithheld(p *population) *withheld {
	return &withheld{p, p.plan.Samples, slices.Clone(p.targets["rival"].attempts)}
}

// without runs the family while so many replies to each of some prompts are missing.
func (w *withheld) without(t *testing.T, prompts []int, each int) *Output {
	t.Helper()
	attempts := w.p.targets["rival"].attempts
	for _, i := range prompts {
		clear(attempts[i*w.samples:][:each])
	}
	defer copy(attempts, w.all)
	return w.p.rank(t, 1)
}

// lead is the rival's over the controls' mean, 0 where nothing is compared.
func lead(f *ledger.Finding) float64 {
	if f.Comparison == nil {
		return 0
	}
	return f.Comparison.Rival - f.Mean
}

// A rival that holds back just the replies that speak most against it, or for it, does
// not leave the bounds: the lead and the rank of all its replies lie within them. Without
// missing replies there are none.
func TestMissingBounds(t *testing.T) {
	t.Parallel()
	for family, q := range map[string][]ledger.Prompt{
		SharedErrors:    trapPrompts(t, 60),
		RandomChoice:    randomPrompts(t, 12),
		Identity:        identityPrompts(t, 4),
		RefusalBoundary: ladderPrompts(t, 2),
		Wrapper:         stylePrompts(t, 8, reading.KindProtocol),
	} {
		if testing.Short() && family != SharedErrors && family != Wrapper {
			continue
		}
		samples := map[string]int{SharedErrors: 1, RandomChoice: 6, Identity: 2, RefusalBoundary: 2, Wrapper: 4}[family]
		for seed, rate := range []float64{.4, 0} {
			if testing.Short() && seed > 0 {
				break
			}
			t.Run(family, func(t *testing.T) {
				t.Parallel()
				sc := scenery{controls: 19, rate: rate, ours: func(tr *persona.Traits) { tr.Ability = .55 }}
				escapes(t, newWithheld(scripted(t, newPopulation(family, samples, q), 5+uint64(seed), sc)), len(q))
			})
		}
	}
}

// escapes tries to leave the bounds.
func escapes(t *testing.T, w *withheld, n int) {
	whole := w.without(t, nil, 0)
	f := &whole.Finding
	if f.Comparison.Missing != nil || slices.Contains(whole.Warnings, WarnUnbounded) {
		t.Fatalf("nothing is missing: %+v, %v", f.Comparison.Missing, whole.Warnings)
	}
	order, moved := make([]int, n), make([]float64, n)
	for i := range n {
		order[i] = i
		moved[i] = lead(&w.without(t, []int{i}, w.samples).Finding)
	}
	slices.SortStableFunc(order, func(a, b int) int {
		switch {
		case moved[a] < moved[b]:
			return -1
		case moved[a] > moved[b]:
			return 1
		}
		return a - b
	})
	bounded := 0
	for _, amount := range []int{1, max(2, n/20), max(1, n/5), n / 2, n - 1} {
		for _, gone := range [][]int{order[:amount], order[n-amount:]} {
			for _, each := range []int{1, w.samples} {
				out := w.without(t, gone, each)
				c := out.Finding.Comparison
				if c == nil {
					continue // nothing is said
				}
				b := c.Missing
				if (b == nil) != slices.Contains(out.Warnings, WarnUnbounded) {
					t.Fatalf("%d of %d prompts: bounds %+v, warnings %v", amount, n, b, out.Warnings)
				}
				if b == nil {
					continue
				}
				bounded++
				const hair = 1e-9
				if b.Replies != int64(amount*each) || math.Abs(b.Lead-lead(&out.Finding)) > hair {
					t.Errorf("%d of %d prompts, %d replies each: %+v", amount, n, each, b)
				}
				if b.Worst > b.Lead+hair || b.Worst > b.Alike+hair || b.Best < b.Lead-hair || b.Best < b.Alike-hair || b.WorstRank < c.Rank || b.BestRank > c.Rank {
					t.Errorf("out of order: %+v, rank %d", b, c.Rank)
				}
				if l := lead(f); l < b.Worst-hair || l > b.Best+hair {
					t.Errorf("%d of %d prompts, %d replies each: the lead of all replies, %v, lies outside %+v", amount, n, each, l, b)
				}
				if r := f.Comparison.Rank; r > b.WorstRank || r < b.BestRank {
					t.Errorf("%d of %d prompts, %d replies each: the rank of all replies, %d, lies outside %+v", amount, n, each, r, b)
				}
			}
		}
	}
	if bounded < 8 {
		t.Errorf("only %d of 20 were bounded", bounded)
	}
}

// Where each reply of the rival moves the scale on which all are measured, or could change
// who is compared, a missing one is said to be without bounds.
func TestMissingWithoutBounds(t *testing.T) {
	t.Parallel()
	for family, q := range map[string][]ledger.Prompt{
		ReasoningStyle: stylePrompts(t, 4, reading.KindPuzzle), Stylometry: stylePrompts(t, 4, reading.KindStyle), TokenizerSlope: unitPrompts(t, 6, 0, 8, 24),
	} {
		w := newWithheld(scripted(t, newPopulation(family, 1, q), 5, scenery{controls: 5}))
		unread := []int(nil)
		if family == TokenizerSlope {
			unread = []int{0} // a prompt without a repeat
		}
		if out := w.without(t, unread, len(unread)); out.Finding.Comparison == nil || slices.Contains(out.Warnings, WarnUnbounded) {
			t.Errorf("%s: nothing that is read is missing, and it warns: %v", family, out.Warnings)
		}
		out := w.without(t, []int{len(q) - 1}, 1)
		if c := out.Finding.Comparison; c == nil || c.Missing != nil || !slices.Contains(out.Warnings, WarnUnbounded) {
			t.Errorf("%s: %+v, warnings %v", family, c, out.Warnings)
		}
	}
	// A control that answered half of the items is one only while the rival lacks some.
	p := scripted(t, newPopulation(RandomChoice, 2, randomPrompts(t, 12)), 5, scenery{controls: 5})
	w := newWithheld(p)
	clear(p.targets["control00"].attempts[20:]) // five items in two languages are left
	if out := w.without(t, []int{18, 19, 20, 21, 22, 23}, 2); len(out.Finding.Comparison.Controls) != 5 || out.Finding.Comparison.Missing != nil || !slices.Contains(out.Warnings, WarnUnbounded) {
		t.Errorf("who is compared depends on missing replies: %+v, %v", out.Finding.Comparison.Missing, out.Warnings)
	}
}

// The largest weighted mean is that of the best corner of all weights.
func TestHighest(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(3, 4))
	for range 300 {
		spans := make([]span, 1+rng.IntN(7))
		for i := range spans {
			a, b := rng.NormFloat64(), float64(rng.IntN(3))
			spans[i] = span{a - rng.Float64(), a, b, b + rng.Float64()}
		}
		best := math.Inf(-1)
		for corner := range 1 << len(spans) {
			num, den := 0., 0.
			for i, s := range spans {
				w := s.least
				if corner>>i&1 == 1 {
					w = s.most
				}
				num, den = num+w*s.hi, den+w
			}
			if den > 0 {
				best = max(best, num/den)
			}
		}
		if got := highest(spans); math.Abs(got-best) > 1e-9 {
			t.Fatalf("%v, not %v, of %+v", got, best, spans)
		}
	}
}
