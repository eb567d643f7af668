package watermark_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"gonum.org/v1/gonum/mathext"

	"github.com/stillmark/stillmark/watermark"
)

// The tests of this file sample as a server that knows nothing of marks does: a plain
// multinomial draw from the softmax of the logits, after Process.

// distribution is the softmax of logits.
func distribution(logits []float32) []float64 {
	p := make([]float64, len(logits))
	var sum float64
	for i, l := range logits {
		p[i] = math.Exp(float64(l))
		sum += p[i]
	}
	for i := range p {
		p[i] /= sum
	}
	return p
}

// multinomial draws an index.
func multinomial(p []float64, r *rand.Rand) int {
	x := r.Float64()
	for i, q := range p {
		if x -= q; x < 0 {
			return i
		}
	}
	return len(p) - 1
}

// chiSquare is Pearson's test of counts against probabilities: its p-value.
func chiSquare(counts []int, p []float64, n int) float64 {
	var x float64
	cells := 0
	for i, c := range counts {
		if p[i] == 0 {
			continue
		}
		want := p[i] * float64(n)
		x += (float64(c) - want) * (float64(c) - want) / want
		cells++
	}
	return mathext.GammaIncRegComp(float64(cells-1)/2, x/2)
}

// logitsOfSampler are of ten tokens, after temperature and top-8: two cannot be drawn.
func logitsOfSampler() []float32 {
	never := float32(math.Inf(-1))
	return []float32{.3, -1, 2.4, 0, never, -.4, .9, never, -2, .1}
}

// overGreenLists is what kgw makes of a distribution, averaged over the key: every
// subset of the tokens is the green list with probability γ^g (1-γ)^(n-g), and
//
//	p'(t) = p(t) e^(δ·green(t)) / Σ p(s) e^(δ·green(s)).
func overGreenLists(p []float64, gamma, delta float64) []float64 {
	mean := make([]float64, len(p))
	for list := range 1 << len(p) {
		weight, sum := 1.0, 0.0
		moved := make([]float64, len(p))
		for t := range p {
			moved[t] = p[t]
			if list>>t&1 == 1 {
				weight *= gamma
				moved[t] *= math.Exp(delta)
			} else {
				weight *= 1 - gamma
			}
			sum += moved[t]
		}
		for t := range mean {
			mean[t] += weight * moved[t] / sum
		}
	}
	return mean
}

// A foreign sampler after Process draws, over random keys, what theory says: gumbel,
// gumbel-dual and tournament (of two leaves) the model's own distribution, kgw its
// average over green lists. One draw per key makes draws independent, and Pearson's test exact in the
// limit; 20,000 keys see a cell that is off by 2 % of the whole.
func TestForeignSampler(t *testing.T) {
	t.Parallel()
	keys := 20_000
	if testing.Short() {
		keys = 4000
	}
	plain := distribution(logitsOfSampler())
	for _, s := range []watermark.Spec{
		{Scheme: watermark.Gumbel},
		{Scheme: watermark.Gumbel, PRF: watermark.Philox},
		{Scheme: watermark.GumbelDual},
		{Scheme: watermark.Tournament},
		{Scheme: watermark.Tournament, PRF: watermark.Philox},
		{Scheme: watermark.KGW},
		{Scheme: watermark.KGW, PRF: watermark.Philox, Params: watermark.Params{Gamma: .5, Delta: 2}},
		{Scheme: watermark.KGW, Params: watermark.Params{Seeding: watermark.SelfHash}},
	} {
		s.Tokenizer, s.Vocab = "ids", len(plain)
		t.Run(s.Scheme+s.PRF+s.Params.Seeding, func(t *testing.T) {
			t.Parallel()
			want, moved := plain, false
			if s.Scheme == watermark.KGW {
				gamma, delta := s.Params.Gamma, s.Params.Delta
				if gamma == 0 {
					gamma, delta = .25, 2 // the defaults
				}
				want, moved = overGreenLists(plain, gamma, delta), true
			}
			r := rand.New(rand.NewPCG(3, 5))
			counts := make([]int, len(plain))
			for i := range keys {
				mark, err := watermark.DecoyKey([32]byte{'f'}, i, s)
				if err != nil {
					t.Fatal(err)
				}
				logits := logitsOfSampler()
				mark.Process([]int32{4, 2}, logits)
				counts[multinomial(distribution(logits), r)]++
			}
			for i, c := range counts {
				if plain[i] == 0 && c > 0 {
					t.Errorf("token %d was drawn %d times, and truncation had taken it away", i, c)
				}
			}
			// Seeds are fixed: the bound is for the day when a scheme changes.
			if p := chiSquare(counts, want, keys); p < 1e-4 {
				t.Errorf("chi-square p %.2g against theory; counts %v", p, counts)
			}
			if p := chiSquare(counts, plain, keys); moved && p > 1e-3 {
				t.Errorf("chi-square p %.2g against the model's own distribution: a bias is expected", p)
			}
		})
	}
}
