package evidence

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"testing"
)

func drawSum(l Law, c Counts, r *rand.Rand) float64 {
	t := 0.
	for w := 1; w <= WeightCap; w++ {
		for range c[w] {
			t += float64(w) * drawUnit(l, r)
		}
	}
	return t
}

var calibrationCounts = []Counts{
	{1: 1},
	{1: 40},
	{3: 12},
	{1: 20, 2: 7, 3: 3, 5: 1, 8: 2},
	{1: 3, 8: 1},
}

// Randomised p-values are uniform under the null, whatever path computes them; the
// reported p is not below its level too often.
func TestNullCalibration(t *testing.T) {
	t.Parallel()
	draws := 20_000
	if testing.Short() {
		draws = 3000
	}
	for li, l := range []Law{Bernoulli(0.25), FairBits(30), Exponential()} {
		for ci, c := range calibrationCounts {
			random := rand.New(rand.NewPCG(uint64(li), uint64(ci)))
			nl := l.Null(c)
			p, reported := make([]float64, draws), make([]float64, draws/8)
			for i := range p {
				score := drawSum(l, c, random)
				p[i] = nl.RandomizedP(score, 1-random.Float64()-0x1p-54)
				if i < len(reported) {
					reported[i] = math.Pow(10, l.Tail(score, c).Log10P)
				}
			}
			name := fmt.Sprintf("%v %v", l, c)
			checkUniform(t, name, p)
			checkSize(t, name+" reported", reported, false)
		}
	}
}

// The paths of RandomizedP agree: a table, and the saddlepoint estimate that takes
// over for larger lattices.
func TestRandomizedPEstimate(t *testing.T) {
	t.Parallel()
	c := Counts{1: 60, 2: 21, 3: 9, 4: 5, 5: 3, 6: 2, 7: 1, 8: 6}
	nl := FairBits(30).Null(c)
	if nl.table == nil {
		t.Fatal("no table for a small lattice")
	}
	estimate := &Null{sum: nl.sum}
	mean, sd := FairBits(30).moments(c)
	for z := -4.; z <= 4; z += 0.25 {
		score := math.Round(mean + z*sd)
		for _, u := range []float64{0.01, 0.5, 0.99} {
			a, b := nl.RandomizedP(score, u), estimate.RandomizedP(score, u)
			if math.Abs(a-b) > 1e-3*min(a, 1-a) {
				t.Errorf("z=%v u=%v: exact %v, estimate %v", z, u, a, b)
			}
		}
		if p := FairBits(30).RandomizedP(score, c, 0.5); p != nl.RandomizedP(score, 0.5) {
			t.Errorf("z=%v: the method of Law gives %v", z, p)
		}
	}
	if p := Bernoulli(0.25).RandomizedP(0, Counts{}, 0.3); p != 0.3 {
		t.Errorf("no units: %v", p)
	}
}

func TestTailKinds(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		l      Law
		score  float64
		c      Counts
		method string
		want   float64
	}{
		{Bernoulli(0.25), 3, Counts{1: 5}, MethodBinomial, Log10BinomialSF(3, 5, 0.25)},
		{Bernoulli(0.25), 12, Counts{4: 5}, MethodBinomial, Log10BinomialSF(3, 5, 0.25)},
		{Bernoulli(0.25), 9, Counts{4: 5}, MethodBinomial, Log10BinomialSF(3, 5, 0.25)},
		{FairBits(30), 60, Counts{1: 3}, MethodBinomial, Log10BinomialSF(60, 90, 0.5)},
		{FairBits(30), 480, Counts{8: 3}, MethodBinomial, Log10BinomialSF(60, 90, 0.5)},
		{Exponential(), 50, Counts{5: 7}, MethodGamma, Log10GammaSF(7, 10)},
		{Exponential(), 0, Counts{}, MethodGamma, 0},
		{Bernoulli(0.25), 0, Counts{}, MethodBinomial, 0},
		{Bernoulli(0.25), 1, Counts{}, MethodBinomial, math.Inf(-1)},
		{Bernoulli(0.25), 0, Counts{1: 3, 2: 1}, MethodDP, 0},
		{Bernoulli(0.25), 5, Counts{1: 3, 2: 1}, MethodDP, 4 * math.Log10(0.25)},
		{Bernoulli(0.25), 6, Counts{1: 3, 2: 1}, MethodDP, math.Inf(-1)},
	} {
		got := c.l.Tail(c.score, c.c)
		if got.Method != c.method || math.Signbit(got.Log10P) && got.Log10P == 0 ||
			got.Log10P != c.want && math.Abs(got.Log10P-c.want) > 1e-13 {
			t.Errorf("%v score %v of %v: %+v, want %v by %s", c.l, c.score, c.c, got, c.want, c.method)
		}
	}
	// Beyond the budget of the exact sum: the bound is reported, the estimate stands
	// beside it, and lies one to two decades below.
	c := Counts{1: 300_000, 2: 100_000, 8: 50_000}
	for _, l := range []Law{FairBits(30), FairBits(255)} {
		mean, sd := l.moments(c)
		got := l.Tail(math.Round(mean+20*sd), c)
		if got.Method != MethodChernoff || got.Log10Estimate > got.Log10P-1 || got.Log10Estimate < got.Log10P-2.5 {
			t.Errorf("%v: %+v", l, got)
		}
		if at := l.Tail(math.Floor(mean), c); at.Log10P != 0 {
			t.Errorf("%v: the bound at the mean is %v", l, at.Log10P)
		}
	}
	// Moments.
	got := FairBits(30).Tail(10, Counts{1: 2, 3: 1})
	if got.Mean != 75 || math.Abs(got.SD-math.Sqrt(82.5)) > 1e-12 {
		t.Errorf("moments: %+v", got)
	}
}

// The p-values that another implementation computes with its own special functions.
func TestPeerGrid(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("testdata/peer_grid.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Grid []struct {
			N         int64    `json:"n"`
			Gamma     float64  `json:"gamma"`
			Green     int64    `json:"green"`
			BinomialP *float64 `json:"binomial_p"`
			Gumbel    float64  `json:"gumbel_score"`
			GammaP    float64  `json:"gamma_p"`
		} `json:"grid"`
	}
	if err := json.Unmarshal(raw, &file); err != nil {
		t.Fatal(err)
	}
	if len(file.Grid) != 8 {
		t.Fatalf("%d rows", len(file.Grid))
	}
	const floor = 1e-200
	check := func(n int64, name string, got, peer float64) {
		if peer <= floor {
			if got > math.Log10(floor) {
				t.Errorf("n=%d %s: log10 p = %v above the peer's floor", n, name, got)
			}
		} else if math.Abs(got-math.Log10(peer)) > 1e-9 {
			t.Errorf("n=%d %s: log10 p = %v, peer %v", n, name, got, math.Log10(peer))
		}
	}
	for _, r := range file.Grid {
		binomial := Log10BinomialSF(r.Green, r.N, r.Gamma)
		if r.BinomialP == nil {
			if binomial != 0 {
				t.Errorf("n=%d: nothing green gives %v", r.N, binomial)
			}
		} else {
			check(r.N, "binomial", binomial, *r.BinomialP)
		}
		check(r.N, "gamma", Log10GammaSF(r.N, r.Gumbel), r.GammaP)
	}
}

// Whatever the counts and the score: p is a number in [0,1] that falls with the
// score, the bound is no smaller than the estimate, randomised p lies in (0,1).
func TestTailProperties(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(3, 9))
	for range 400 {
		l := []Law{Bernoulli(0.02 + 0.9*random.Float64()), FairBits(1 + random.IntN(40)), Exponential()}[random.IntN(3)]
		var c Counts
		for w := 1; w <= WeightCap; w++ {
			if random.IntN(3) == 0 {
				c[w] = int64(math.Exp(random.Float64() * 7))
			}
		}
		mean, sd := l.moments(c)
		previous := 0.
		for _, z := range []float64{-30, -3, -0.01, 0, 0.01, 1, 6, 30, 1e3} {
			score := math.Round(mean + z*sd)
			got := l.Tail(score, c)
			if math.IsNaN(got.Log10P) || got.Log10P > previous+1e-12 || got.Log10Estimate > got.Log10P+1e-9 {
				t.Fatalf("%v %v z=%v: %+v after %v", l, c, z, got, previous)
			}
			previous = got.Log10P
			if p := l.RandomizedP(score, c, 0.5); !(p > 0 && p < 1) {
				t.Fatalf("%v %v z=%v: randomised p %v", l, c, z, p)
			}
		}
	}
}

func BenchmarkTail(b *testing.B) {
	type row struct {
		name  string
		l     Law
		c     Counts
		sigma float64
	}
	repeated := Counts{1: 12000, 2: 4000, 3: 1500, 4: 800, 5: 500, 6: 300, 7: 200, 8: 700}
	for _, r := range []row{
		{"green-200", Bernoulli(0.25), Plain(200), 5},
		{"green-20k", Bernoulli(0.25), Plain(20_000), 5},
		{"green-1M-near-mean", Bernoulli(0.25), Plain(1_000_000), 0.1},
		{"green-1M-deep", Bernoulli(0.25), Plain(1_000_000), 50},
		{"gumbel-20k", Exponential(), Plain(20_000), 5},
		{"gumbel-1M-near-mean", Exponential(), Plain(1_000_000), 0.1},
		{"tournament-20k", FairBits(30), Plain(20_000), 5},
		{"green-weighted-20k", Bernoulli(0.25), repeated, 50},
		{"gumbel-weighted-20k", Exponential(), repeated, 50},
		{"tournament-weighted-20k", FairBits(30), repeated, 50},
	} {
		mean, sd := r.l.moments(r.c)
		score := math.Round(mean + r.sigma*sd)
		b.Run(r.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				r.l.Tail(score, r.c)
			}
		})
	}
	b.Run("dual-gamma-20k", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			Log10DualGammaSF(20_000, 0.9, 21_000)
		}
	})
}

func BenchmarkRandomizedP(b *testing.B) {
	repeated := Counts{1: 12000, 2: 4000, 3: 1500, 4: 800, 5: 500, 6: 300, 7: 200, 8: 700}
	for _, l := range []Law{Bernoulli(0.25), Exponential(), FairBits(30)} {
		mean, sd := l.moments(repeated)
		nl := l.Null(repeated)
		b.Run(string(l.Kind)+"-weighted-20k", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				nl.RandomizedP(math.Round(mean+sd), 0.5)
			}
		})
	}
}
