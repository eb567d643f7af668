package evidence

import (
	"math"
	"math/rand/v2"
	"testing"
)

// Closed forms of P(D_n < d) near both ends (Marsaglia, Tsang & Wang 2003, section
// 1): n!(2d-1/n)^n for 1/2n <= d <= 1/n, and 1-2(1-d)^n for d >= 1-1/n.
func TestKolmogorovSmirnovEnds(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 2, 3, 5, 10, 20} {
		nf := float64(n)
		for _, f := range []float64{0.1, 0.5, 0.9, 1} {
			d := (1 + f) / (2 * nf)
			want := math.Gamma(nf+1) * math.Pow(2*d-1/nf, nf)
			if got := ksMatrix(n, d); math.Abs(got-want) > 1e-11 {
				t.Errorf("n=%d d=%v: P(D<d) = %v, want %v", n, d, got, want)
			}
			if n == 1 {
				continue // there the two ranges are one
			}
			d = 1 - (1-f*0.99)/nf
			want = 2 * math.Pow(1-d, nf)
			if got := ksSurvival(n, d); math.Abs(got-want) > 1e-9*want+1e-12 {
				t.Errorf("n=%d d=%v: p = %v, want %v", n, d, got, want)
			}
		}
		if p := ksSurvival(n, 0.5/nf); p != 1 {
			t.Errorf("n=%d: p at the least distance is %v", n, p)
		}
	}
	if d, p := KolmogorovSmirnov(nil); d != 0 || p != 1 {
		t.Errorf("empty sample: d=%v p=%v", d, p)
	}
	// Three points by hand: u = .1, .5, .6 has its largest gap 1 - .6.
	if d, _ := KolmogorovSmirnov([]float64{0.6, 0.1, 0.5}); math.Abs(d-0.4) > 1e-15 {
		t.Errorf("d = %v, want 0.4", d)
	}
}

// The three forms of p agree where they meet.
func TestKolmogorovSmirnovSeams(t *testing.T) {
	t.Parallel()
	worst := 0.
	const n = ksExactUpTo
	for z := 0.3; z < 2; z += 0.05 {
		e := math.Abs(ksMatrix(n, z/math.Sqrt(n)) - ksPelzGood(n, z))
		worst = max(worst, e)
		if e > 1e-7 {
			t.Errorf("z=%.2f: matrix and expansion differ by %.2g", z, e)
		}
	}
	t.Logf("matrix and Pelz-Good differ by at most %.2g", worst)
	for _, n := range []int{4, 30, 200, 1000} {
		for _, z := range []float64{2, 2.2} { // n·d² = 4, 4.84
			d := z / math.Sqrt(float64(n))
			if d >= 1 {
				continue
			}
			exact, tail := 1-ksMatrix(n, d), 2*ksOneSided(n, d)
			if math.Abs(tail-exact) > 1e-11 {
				t.Errorf("n=%d z=%v: two tails %v, exact %v", n, z, tail, exact)
			}
		}
	}
	for _, z := range []float64{2, 4, 8} {
		d := z / math.Sqrt(100_000)
		a, b := 2*ksOneSided(100_000, d), ksSurvival(100_001, d)
		if math.Abs(a/b-1) > 0.02 {
			t.Errorf("z=%v: exact tail %v, expansion %v", z, a, b)
		}
	}
}

// p is itself uniform under the null.
func TestKolmogorovSmirnovCalibration(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(11, 7))
	for _, n := range []int{1, 3, 25, 150} {
		p := make([]float64, 4000)
		u := make([]float64, n)
		for i := range p {
			for j := range u {
				u[j] = random.Float64()
			}
			_, p[i] = KolmogorovSmirnov(u)
		}
		checkUniform(t, "KS", p)
	}
}

// checkUniform tests p-values that should be uniform: Kolmogorov-Smirnov at 1e-3,
// and the counts below 1e-2 and 1e-3 inside their 99.9 % binomial intervals.
func checkUniform(t *testing.T, name string, p []float64) {
	t.Helper()
	if d, ks := KolmogorovSmirnov(p); ks < 1e-3 {
		t.Errorf("%s: not uniform, d = %.4f, KS p = %.2g over %d", name, d, ks, len(p))
	}
	checkSize(t, name, p, true)
}

// checkSize tests that p-values are not too small too often (and, if exact, not too
// seldom).
func checkSize(t *testing.T, name string, p []float64, exact bool) {
	t.Helper()
	n := int64(len(p))
	for _, level := range []float64{0.05, 1e-2, 1e-3, 1e-4} {
		var k int64
		for _, v := range p {
			if v <= level {
				k++
			}
		}
		if Log10BinomialSF(k, n, level) < math.Log10(0.0005) {
			t.Errorf("%s: %d of %d p-values at or below %v", name, k, n, level)
		}
		if exact && Log10BinomialSF(n-k, n, 1-level) < math.Log10(0.0005) {
			t.Errorf("%s: only %d of %d p-values at or below %v", name, k, n, level)
		}
	}
}

func BenchmarkKolmogorovSmirnov(b *testing.B) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, n := range []int{99, 999, 9999} {
		u := make([]float64, n)
		for i := range u {
			u[i] = random.Float64()
		}
		b.Run(map[int]string{99: "99", 999: "999", 9999: "9999"}[n], func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				KolmogorovSmirnov(u)
			}
		})
	}
}
