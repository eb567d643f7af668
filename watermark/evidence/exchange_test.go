package evidence

import (
	"math"
	"math/rand/v2"
	"testing"
)

// pooled are the kernel values of points on a line: exp(-distance²).
func pooled(x []float64) []float64 {
	k := make([]float64, 0, len(x)*len(x))
	for _, a := range x {
		for _, b := range x {
			k = append(k, math.Exp(-(a-b)*(a-b)))
		}
	}
	return k
}

func TestMeanDiscrepancy(t *testing.T) {
	t.Parallel()
	x := []float64{0, .3, 1, 5, 6}
	n, m := 2, 3
	k := pooled(x)
	got := MeanDiscrepancy(k, n, m)
	if len(got) != 10 {
		t.Fatalf("%d relabellings of 2 + 3, want 10", len(got))
	}
	at := func(i, j int) float64 { return k[i*5+j] }
	want := at(0, 1) + (at(2, 3)+at(2, 4)+at(3, 4))/3 - (at(0, 2)+at(0, 3)+at(0, 4)+at(1, 2)+at(1, 3)+at(1, 4))/3
	if math.Abs(got[0]-want) > 1e-12 {
		t.Errorf("observed %v, want %v", got[0], want)
	}
	if big := MeanDiscrepancy(pooled(make([]float64, MaxPool)), 8, 8); len(big) != 12870 || big[0] != 0 {
		t.Errorf("%d relabellings of equal members, the first is %v", len(big), big[0])
	}
}

// Under one distribution p is uniform, whatever the prompts do; where two differ in
// their own way in every block, it is small.
func TestExchangeIsCalibrated(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(21, 22))
	run := func(shift float64) float64 {
		e := NewExchange(rng, 199)
		for range 15 {
			centre, direction := 3*rng.NormFloat64(), float64(1-2*rng.IntN(2))
			x := make([]float64, 7)
			for i := range x {
				x[i] = centre + .6*rng.NormFloat64()
				if i < 4 {
					x[i] += shift * direction
				}
			}
			e.Add(MeanDiscrepancy(pooled(x), 4, 3))
		}
		return e.Log10P()
	}
	p := make([]float64, 300)
	for i := range p {
		p[i] = math.Pow(10, run(0)) - rng.Float64()/200
	}
	if _, ks := KolmogorovSmirnov(p); ks < 1e-3 {
		t.Errorf("p is not uniform under the null: KS p = %v", ks)
	}
	if got := run(1); got > -2 {
		t.Errorf("two distributions: log10 p = %v", got)
	}
	if e := NewExchange(rng, 99); e.Log10P() != 0 || e.Blocks() != 0 {
		t.Error("no blocks")
	}
	if e := NewExchange(rng, 99); true {
		e.Add([]float64{.5})
		if e.Log10P() != 0 {
			t.Error("a block with one labelling says nothing")
		}
	}
}

// BenchmarkExchange: 9,999 permutations of 10,000 blocks of two and two are to take
// seconds at most.
func BenchmarkExchange(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 1))
	blocks := make([][]float64, 10_000)
	for i := range blocks {
		blocks[i] = MeanDiscrepancy(pooled([]float64{rng.Float64(), rng.Float64(), rng.Float64(), rng.Float64()}), 2, 2)
	}
	for b.Loop() {
		e := NewExchange(rng, 9999)
		for _, v := range blocks {
			e.Add(v)
		}
		e.Log10P()
	}
}
