package evidence

import (
	"math"
	"math/rand/v2"
	"testing"

	"gonum.org/v1/gonum/integrate/quad"
	"gonum.org/v1/gonum/mathext"
)

// The beta mixture against its integral, ∫_g^1 (q/g)^S((1-q)/(1-g))^{n-S} dBeta(q),
// by 2000-point Gauss-Legendre after q = sin²(θ), which removes both singularities:
// the Beta(½,½) density becomes the constant 2/π.
func TestBetaMixtureIntegral(t *testing.T) {
	t.Parallel()
	for _, g := range []float64{0.25, 0.5, 0.01, 0.9} {
		for _, n := range []float64{1, 2, 7, 60, 800} {
			for _, f := range []float64{0, 0.1, 0.25, 0.3, 0.5, 0.77, 1} {
				s := math.Round(f * n)
				lr := func(q float64) float64 {
					v := 0.
					if s > 0 {
						v += s * math.Log(q/g)
					}
					if n > s {
						v += (n - s) * math.Log((1-q)/(1-g))
					}
					return v
				}
				top := lr(max(g, min(s/n, 1)))
				lo := math.Asin(math.Sqrt(g))
				integral := quad.Fixed(func(th float64) float64 {
					q := math.Sin(th) * math.Sin(th)
					return math.Exp(lr(q) - top)
				}, lo, math.Pi/2, 2000, quad.Legendre{}, 0)
				want := top + math.Log(integral/(math.Pi/2-lo))
				if got := lnBetaMixture(n, s, g); math.Abs(got-want) > 1e-9*(1+math.Abs(want)) {
					t.Errorf("g=%v n=%v S=%v: ln e = %v, integral %v", g, n, s, got, want)
				}
			}
		}
	}
}

// The gumbel mixture against ∫₀¹ λ^n e^{(1-λ)S} dλ.
func TestGumbelMixtureIntegral(t *testing.T) {
	t.Parallel()
	for _, n := range []float64{0, 1, 2, 15, 400} {
		for _, f := range []float64{0, 0.2, 0.9, 1, 1.02, 1.5, 4} {
			s := f * (n + 0.5)
			ln := func(l float64) float64 {
				if n == 0 {
					return (1 - l) * s
				}
				return n*math.Log(l) + (1-l)*s
			}
			at := 1.
			if s > 0 {
				at = min(1, n/s)
			}
			top := ln(max(at, 1e-300))
			integral := quad.Fixed(func(l float64) float64 { return math.Exp(ln(l) - top) }, 0, 1, 2000, quad.Legendre{}, 0)
			want := top + math.Log(integral)
			if got := lnGumbelMixture(n, s); math.Abs(got-want) > 1e-9*(1+math.Abs(want)) {
				t.Errorf("n=%v S=%v: ln e = %v, integral %v", n, s, got, want)
			}
		}
	}
}

// At a billion trials: the published form with gonum's Lbeta, whose absolute error
// there is about 1e-6; continuity across the switch at the null mean; and the
// growth rate n·KL.
func TestEValueHuge(t *testing.T) {
	t.Parallel()
	const n, g = 1e9, 0.25
	for _, s := range []float64{0, 1e6, 2.4999e8, 2.5e8, 2.5e8 + 1, 2.5001e8, 2.6e8, 9e8, 1e9} {
		e := Bernoulli(g).Log10E(n, s)
		if math.IsNaN(e) || math.IsInf(e, 0) {
			t.Fatalf("S=%v: log10 e = %v", s, e)
		}
		if s > 2.5001e8 {
			want := mathext.Lbeta(s+0.5, n-s+0.5) - math.Log(math.Pi) - math.Log(2./3) -
				s*math.Log(g) - (n-s)*math.Log(1-g)
			if got := lnBetaMixture(n, s, g); math.Abs(got-want) > 1e-5*(1+1e-6*math.Abs(want)) {
				t.Errorf("S=%v: ln e = %v, by Lbeta %v", s, got, want)
			}
		}
	}
	below, above := lnBetaMixture(n, 2.5e8, g), lnBetaMixture(n, 2.5e8+1, g)
	if d := above - below; d < 0 || d > 1e-3 {
		t.Errorf("the two forms of the mixture meet with a jump of %g", d)
	}
	below, above = lnGumbelMixture(n, n+1), lnGumbelMixture(n, n+2)
	if d := above - below; d < 0 || d > 1e-3 {
		t.Errorf("the two forms of the gumbel mixture meet with a jump of %g", d)
	}
	for _, s := range []float64{0, 1e8, 1e9, 1.0001e9, 3e9} {
		if e := Exponential().Log10E(n, s); math.IsNaN(e) || math.IsInf(e, 0) {
			t.Errorf("gumbel S=%v: log10 e = %v", s, e)
		}
	}
}

// E[e_n] <= 1 exactly: the sum over all outcomes at fixed n. For the mixtures it is 1.
func TestEValueExpectation(t *testing.T) {
	t.Parallel()
	for _, l := range []Law{Bernoulli(0.25), Bernoulli(0.03), FairBits(30), FairBits(1)} {
		bits, g := l.lattice()
		for _, n := range []int64{1, 3, 40} {
			mean := 0.
			for s := int64(0); s <= n*bits; s++ {
				mean += math.Exp(lnBinomial(s, n*bits, g) + l.Log10E(n, float64(s))*math.Ln10)
			}
			if math.Abs(mean-1) > 1e-10 {
				t.Errorf("%v n=%d: E[e] = %v", l, n, mean)
			}
		}
	}
	for _, n := range []int64{1, 5, 50} {
		mean := quad.Fixed(func(s float64) float64 {
			return math.Exp(lnPoisson(float64(n-1), s) + Exponential().Log10E(n, s)*math.Ln10)
		}, 0, 40, 4000, quad.Legendre{}, 0)
		// The mixture has mass at all rates to 0: what lies beyond S = 40 is the
		// probability of Gamma(n) under a uniform rate, computed alike.
		beyond := quad.Fixed(func(l float64) float64 { return math.Exp(lnGammaSF(n, 40*l)) }, 0, 1, 2000, quad.Legendre{}, 0)
		if math.Abs(mean+beyond-1) > 1e-9 {
			t.Errorf("gumbel n=%d: E[e] = %v", n, mean+beyond)
		}
	}
	if e := Bernoulli(0.25).Log10E(0, 0); e != 0 {
		t.Errorf("nothing seen: log10 e = %v", e)
	}
	if e := Exponential().Log10E(0, 0); e != 0 {
		t.Errorf("nothing seen: log10 e = %v", e)
	}
}

// Ville's inequality, watched after every unit: P(sup e_n >= 1/α) <= α.
func TestEValueTypeI(t *testing.T) {
	t.Parallel()
	streams, length := 2000, int64(300)
	if testing.Short() {
		streams = 600
	}
	for _, l := range []Law{Bernoulli(0.25), FairBits(30), Exponential()} {
		random := rand.New(rand.NewPCG(5, 23))
		p := make([]float64, streams) // min(1, 1/sup e)
		for i := range p {
			s, sup := 0., 0.
			for n := int64(1); n <= length; n++ {
				s += drawUnit(l, random)
				sup = max(sup, l.Log10E(n, s))
			}
			p[i] = math.Pow(10, -sup)
		}
		checkSize(t, string(l.Kind), p, false)
		if lowest := minOf(p); lowest > 0.05 {
			t.Errorf("%v: the largest e-value of %d streams is only %v", l, streams, 1/lowest)
		}
	}
}

// drawUnit draws one unit's score under the null law.
func drawUnit(l Law, r *rand.Rand) float64 {
	switch l.Kind {
	case KindExponential:
		return r.ExpFloat64()
	case KindBernoulli:
		if r.Float64() < l.P {
			return 1
		}
		return 0
	}
	s := 0.
	for w, i := r.Uint64(), 0; i < l.Bits; i++ {
		s += float64(w >> i & 1)
	}
	return s
}

func minOf(p []float64) float64 {
	m := math.Inf(1)
	for _, v := range p {
		m = min(m, v)
	}
	return m
}

// The cost of optional stopping: 2 to 5 decades beside the fixed-n p, at a mark
// that is clearly there.
func TestEValueBesideP(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		l     Law
		n     int64
		score float64
	}{
		{Bernoulli(0.25), 2000, 700},
		{Bernoulli(0.25), 50_000, 13_500},
		{FairBits(30), 300, 5000},
		{Exponential(), 3000, 3500},
	} {
		p, e := c.l.Tail(c.score, Plain(c.n)).Log10P, c.l.Log10E(c.n, c.score)
		if cost := -p - e; cost < 1 || cost > 5 {
			t.Errorf("%v n=%d: log10 p = %.2f, log10 e = %.2f", c.l, c.n, p, e)
		}
	}
}

func TestEValuePanics(t *testing.T) {
	t.Parallel()
	for _, f := range []func(){
		func() { Bernoulli(0.25).Log10E(3, 4) },
		func() { FairBits(30).Log10E(1, 31) },
		func() { Exponential().Log10E(-1, 0) },
		func() { Exponential().Log10E(1, -1) },
		func() { Law{}.Log10E(1, 1) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Error("a programmer's error did not panic")
				}
			}()
			f()
		}()
	}
}

func BenchmarkLog10E(b *testing.B) {
	for _, c := range []struct {
		name  string
		l     Law
		n     int64
		score float64
	}{
		{"green-20k", Bernoulli(0.25), 20_000, 5300},
		{"tournament-20k", FairBits(30), 20_000, 303_000},
		{"gumbel-20k", Exponential(), 20_000, 21_000},
		{"green-1e9", Bernoulli(0.25), 1_000_000_000, 250_010_000},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				c.l.Log10E(c.n, c.score)
			}
		})
	}
}
