package watermark

import (
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stillmark/stillmark/watermark/evidence"
)

// options are the native schemes with what Schemes() leaves at its default.
func options() (all []Spec) {
	for _, prf := range PRFs() {
		for _, s := range []Spec{
			{Scheme: GumbelDual},
			{Scheme: GumbelDual, Params: Params{Alpha: .4, Window: 1}},
			{Scheme: KGW, Params: Params{Seeding: SelfHash, Window: 3}},
			{Scheme: Tournament, Params: Params{Leaves: 4}},
			{Scheme: KGW, Params: Params{Contexts: WithPrompt, Window: 4}},
			{Scheme: Gumbel, Params: Params{Contexts: WithPrompt, Window: 8}},
		} {
			s.PRF, s.Tokenizer, s.Vocab = prf, "toy", 400
			all = append(all, s.withDefaults())
		}
	}
	return all
}

// TestNativeOptions: each is found again under its key and no other, its null
// law holds on the text, and dense and sparse steps agree.
func TestNativeOptions(t *testing.T) {
	t.Parallel()
	for i, spec := range options() {
		t.Run(fmt.Sprintf("%d-%s-%s", i, spec.Scheme, spec.PRF), func(t *testing.T) {
			t.Parallel()
			s := decoy(t, spec, 1)
			m := newToy(spec.Vocab, 1)
			r := rand.New(rand.NewPCG(1, 1))
			own, other := NewDetector(s, Options{}), NewDetector(decoy(t, spec, 2), Options{})
			for k := range int32(6) {
				it := Item{Prompt: []int32{k, 1, 2, 3, 4, 5, 6, 7, 8, 9}}
				it.Tokens = write(m, s, it.Prompt, 120, r)
				own.Add(it)
				other.Add(it)
			}
			d := own.Result()
			if d.Tail.Log10P > -10 || d.Log10E < 6 {
				t.Errorf("log10 p %.1f, log10 e %.1f of %d units", d.Tail.Log10P, d.Log10E, d.N)
			}
			if spec.Params.Contexts == WithPrompt && d.Dropped.Short != 0 {
				t.Errorf("%d positions were too short for a window, with a prompt before them", d.Dropped.Short)
			}
			if q := other.Result(); q.Tail.Log10P < -4 || q.Log10E > 3 {
				t.Errorf("another key: log10 p %.1f, log10 e %.1f", q.Tail.Log10P, q.Log10E)
			}
			j, _, err := own.Decoys(t.Context(), [32]byte{9}, 200, nil)
			if err != nil || !j.Pass || j.RankP != 1./201 {
				t.Errorf("decoys %+v, %v", j, err)
			}
			history := []int32{9, 8, 7, 6, 5, 4, 3, 2, 1}
			dense := m.logits(history)
			sparse, ids := slices.Clone(dense), make([]int32, len(dense))
			for id := range ids {
				ids[id] = int32(id)
			}
			s.Process(history, dense)
			s.Clone().ProcessCandidates(history, ids, sparse)
			for id := range dense {
				if math.Abs(float64(dense[id]-sparse[id])) > 1e-4 {
					t.Fatalf("token %d: dense %v, sparse %v", id, dense[id], sparse[id])
				}
			}
		})
	}
}

// TestLeaves: n leaves give the distribution of the best of n draws, layer by layer.
func TestLeaves(t *testing.T) {
	t.Parallel()
	for _, red := range []float64{0, .1, .5, .999, 1} {
		for n := 2; n <= 5; n++ {
			lose, win := outcome(red, n)
			if total := red*lose + (1-red)*win; math.Abs(total-1) > 1e-14 {
				t.Errorf("R %v, %d leaves: the probabilities sum to %v", red, n, total)
			}
			// All n draws must have g = 0 for the winner to have it.
			if want := math.Pow(red, float64(n)); math.Abs(red*lose-want) > 1e-14 {
				t.Errorf("R %v, %d leaves: P(g = 0) %v, want %v", red, n, red*lose, want)
			}
		}
	}
}

// TestDualEValue: under the null the mean of e is at most 1, and the e-process
// rarely exceeds 1/alpha.
func TestDualEValue(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(2, 2))
	const alpha, runs = .2, 4000
	exceeded := 0
	for range runs {
		var score, top float64
		for n := int64(1); n <= 200; n++ {
			score += (1-alpha)*r.ExpFloat64() + alpha*r.ExpFloat64()
			top = max(top, dualLog10E(n, alpha, score))
		}
		if top >= 2 {
			exceeded++
		}
	}
	if exceeded > runs/100 {
		t.Errorf("e reached 100 in %d of %d null runs", exceeded, runs)
	}
}

// TestDualNull: the gate's two figures on simulated scores.
func TestDualNull(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(3, 3))
	l := dualNull{.3}
	c := evidence.Plain(50)
	var decoys []scored
	for range 400 {
		var s float64
		for range 50 {
			s += .7*r.ExpFloat64() + .3*r.ExpFloat64()
		}
		decoys = append(decoys, scored{s, c})
	}
	if j := judge(l, scored{50, c}, decoys, 1); !j.Pass {
		t.Errorf("%+v", j)
	}
	for i := range decoys {
		decoys[i].score *= 1.5
	}
	if j := judge(l, scored{50, c}, decoys, 1); j.Pass {
		t.Errorf("inflated scores pass: %+v", j)
	}
}

// TestHypergeometric compares tails with exact sums of binomial coefficients.
func TestHypergeometric(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ n, green, vocab int64 }{{10, 20, 50}, {40, 20, 50}, {1, 1, 2}, {300, 500, 1000}} {
		total := new(big.Int).Binomial(c.vocab, c.n)
		tail := new(big.Int)
		for k := min(c.n, c.green); k >= 0; k-- {
			tail.Add(tail, new(big.Int).Mul(new(big.Int).Binomial(c.green, k), new(big.Int).Binomial(c.vocab-c.green, c.n-k)))
			ratio, _ := new(big.Rat).SetFrac(tail, total).Float64()
			want := math.Log10(ratio)
			if got := log10Hypergeometric(k, c.n, c.green, c.vocab); math.Abs(got-want) > 1e-9*(1-want) {
				t.Errorf("%+v, k %d: log10 p %v, want %v", c, k, got, want)
			}
		}
	}
}
