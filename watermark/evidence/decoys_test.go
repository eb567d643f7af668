package evidence

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"gonum.org/v1/gonum/stat/distuv"
)

func nullScores(l Law, c Counts, n int, seed uint64) []float64 {
	random := rand.New(rand.NewPCG(seed, 1))
	s := make([]float64, n)
	for i := range s {
		s[i] = drawSum(l, c, random)
	}
	return s
}

func TestJudgeDecoys(t *testing.T) {
	t.Parallel()
	c := Counts{1: 80, 2: 20, 3: 8, 8: 3}
	for _, l := range []Law{Bernoulli(0.25), Exponential(), FairBits(30)} {
		mean, sd := l.moments(c)
		s := nullScores(l, c, 999, 42)
		j := JudgeDecoys(l, mean+20*sd, s, c, 7)
		if !j.Pass || j.N != 999 || j.RankP != 0.001 {
			t.Errorf("%v: sound decoys judged %+v", l, j)
		}
		if want := 4 / math.Sqrt(2*998); j.SDTolerance != want {
			t.Errorf("tolerance %v, want %v", j.SDTolerance, want)
		}
		if !(j.SDRatioLo < j.SDRatio && j.SDRatio < j.SDRatioHi) || math.Abs(j.SDRatioHi-j.SDRatioLo-0.088) > 0.01 {
			t.Errorf("%v: interval %v to %v of %v", l, j.SDRatioLo, j.SDRatioHi, j.SDRatio)
		}
		if again := JudgeDecoys(l, mean+20*sd, s, c, 7); again != j {
			t.Errorf("%v: not reproducible: %+v, %+v", l, j, again)
		}
		if low := JudgeDecoys(l, s[0], s, c, 7); low.RankP < 2./1000 {
			t.Errorf("%v: a tie does not count: %+v", l, low)
		}

		// Overdispersed, as by repeats that were counted as fresh units.
		wide, narrow, shifted := make([]float64, 999), make([]float64, 999), make([]float64, 999)
		for i, v := range s {
			wide[i] = math.Round(mean + 1.2*(v-mean))
			narrow[i] = math.Round(mean + 0.8*(v-mean))
			shifted[i] = math.Round(v + 0.25*sd)
		}
		for name, bad := range map[string][]float64{"wide": wide, "narrow": narrow, "shifted": shifted} {
			if j := JudgeDecoys(l, mean, bad, c, 7); j.Pass {
				t.Errorf("%v: %s decoys pass: %+v", l, name, j)
			}
		}
	}
}

func TestJudgeFewDecoys(t *testing.T) {
	t.Parallel()
	l, c := Bernoulli(0.25), Plain(100)
	s := nullScores(l, c, 20, 3)
	for n := range 12 {
		j := JudgeDecoys(l, 90, s[:n], c, 1)
		if j.N != n || j.RankP != 1/float64(n+1) {
			t.Errorf("%d decoys: %+v", n, j)
		}
		if n < minDecoys && j.Pass {
			t.Errorf("%d decoys pass", n)
		}
		if _, err := json.Marshal(j); err != nil {
			t.Errorf("%d decoys: %v", n, err)
		}
	}
	if !JudgeDecoys(l, 90, s, c, 1).Pass {
		t.Error("twenty sound decoys do not pass")
	}
	if j := JudgeDecoys(l, 0, make([]float64, 99), Counts{}, 1); j.Pass || j.RankP != 1 {
		t.Errorf("no units: %+v", j)
	}
	b, err := json.Marshal(JudgeDecoys(l, 90, s, c, 1))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"n", "rank_p", "sd_ratio", "sd_ratio_lo", "sd_ratio_hi", "sd_tolerance", "ks_p", "pass"} {
		if !strings.Contains(string(b), `"`+name+`":`) {
			t.Errorf("no member %q in %s", name, b)
		}
	}
}

// Sound decoys fail the gate about once in a thousand times by KS and 6e-5 by spread.
func TestDecoyGateSize(t *testing.T) {
	t.Parallel()
	fails := 0
	for i := range 1500 {
		if !JudgeDecoys(FairBits(30), 0, nullScores(FairBits(30), Plain(20), 99, uint64(i)), Plain(20), uint64(i)).Pass {
			fails++
		}
	}
	if fails > 8 {
		t.Errorf("%d of 1500 sound sets fail", fails)
	}
}

func TestChiInterval(t *testing.T) {
	t.Parallel()
	for _, df := range []float64{9, 19, 98, 998, 9998} {
		for _, side := range []struct{ q, z float64 }{{0.025, -z975}, {0.975, z975}} {
			want := math.Sqrt(distuv.ChiSquared{K: df}.Quantile(side.q) / df)
			tolerance := 1e-4
			if df < 98 {
				tolerance = 5e-3
			}
			if got := chiOverRoot(df, side.z); math.Abs(got/want-1) > tolerance {
				t.Errorf("df=%v q=%v: %v, want %v", df, side.q, got, want)
			}
		}
	}
}

func TestHolm(t *testing.T) {
	t.Parallel()
	// Holm's own scheme by hand: .01, .04, .03, .005 of four.
	p := []float64{0.01, 0.04, 0.03, 0.005}
	want := []float64{0.03, 0.06, 0.06, 0.02}
	in := make([]float64, len(p))
	for i, v := range p {
		in[i] = math.Log10(v)
	}
	for i, v := range Holm(in) {
		if math.Abs(v-math.Log10(want[i])) > 1e-14 {
			t.Errorf("test %d: %v, want %v", i, math.Pow(10, v), want[i])
		}
	}
	for i, v := range Holm([]float64{-1100, -0.1, math.Inf(-1), 0, math.NaN()}) {
		want := []float64{-1100 + math.Log10(4), 0, math.Inf(-1), 0, 0}[i]
		if v != want && math.Abs(v-want) > 1e-12 {
			t.Errorf("deep test %d: %v, want %v", i, v, want)
		}
	}
	if len(Holm(nil)) != 0 {
		t.Error("no tests, some results")
	}
}

// The familywise error rate under the global null.
func TestHolmFWER(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(8, 8))
	const families, m = 20_000, 7
	errors := int64(0)
	p := make([]float64, m)
	for range families {
		for i := range p {
			p[i] = math.Log10(1 - random.Float64())
		}
		for _, v := range Holm(p) {
			if v <= math.Log10(0.05) {
				errors++
				break
			}
		}
	}
	if Log10BinomialSF(errors, families, 0.05) < -4 || errors < families/25 {
		t.Errorf("%d of %d families err at level .05", errors, families)
	}
}

func BenchmarkJudgeDecoys(b *testing.B) {
	repeated := Counts{1: 12000, 2: 4000, 3: 1500, 4: 800, 5: 500, 6: 300, 7: 200, 8: 700}
	for _, l := range []Law{Bernoulli(0.25), Exponential(), FairBits(30)} {
		mean, sd := l.moments(repeated)
		random := rand.New(rand.NewPCG(2, 2))
		s := make([]float64, 999)
		for i := range s {
			s[i] = math.Round(mean + sd*random.NormFloat64())
		}
		b.Run(string(l.Kind)+"-999", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				JudgeDecoys(l, mean, s, repeated, 1)
			}
		})
	}
}
