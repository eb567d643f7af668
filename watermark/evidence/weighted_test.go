package evidence

import (
	"fmt"
	"math"
	"math/big"
	"testing"
)

// bigLattice is the pmf of Σ w·Bin(n_w,p) by multiplying one trial at a time.
func bigLattice(s sum) []*big.Float {
	p := bf(s.p)
	q := sub(bi(1), p)
	d := []*big.Float{bi(1)}
	for _, c := range s.parts {
		w := int(c.w)
		for range int(c.n) {
			next := make([]*big.Float, len(d)+w)
			for i := range next {
				next[i] = nb()
			}
			for i, v := range d {
				next[i].Add(next[i], mul(v, q))
				next[i+w].Add(next[i+w], mul(v, p))
			}
			d = next
		}
	}
	return d
}

var latticeCases = []struct {
	law Law
	c   Counts
}{
	{Bernoulli(0.25), Counts{1: 2, 2: 1}},
	{Bernoulli(0.25), Counts{1: 30, 2: 11, 3: 4, 8: 2}},
	{Bernoulli(0.25), Counts{2: 20, 6: 9}},
	{Bernoulli(0.1), Counts{1: 100, 3: 50, 7: 20, 8: 30}},
	{Bernoulli(536870911. / (1 << 31)), Counts{1: 300, 2: 60, 3: 20, 4: 8, 5: 4, 6: 2, 7: 1, 8: 5}},
	{FairBits(30), Counts{1: 3, 2: 2, 8: 1}},
	{FairBits(30), Counts{1: 15, 2: 6, 3: 3, 5: 1, 8: 2}},
	{FairBits(3), Counts{3: 10, 4: 10}},
}

func TestExactLattice(t *testing.T) {
	t.Parallel()
	worst, deepest := 0., 0.
	estimate := 0.
	for _, c := range latticeCases {
		s := c.law.sum(c.c)
		d := bigLattice(s)
		sf := nb()
		for x := len(d) - 1; x >= 0; x-- {
			sf.Add(sf, d[x])
			want := bigLn(sf)
			score := float64(x) * s.unit
			got := c.law.Tail(score, c.c)
			if got.Method != MethodDP || got.Log10Estimate != got.Log10P {
				t.Fatalf("%v %v: %+v", c.law, c.c, got)
			}
			e := relError(got.Log10P, want)
			if e > tailTolerance || math.IsNaN(e) {
				t.Errorf("%v %v score %v: log10 p = %v, relative error %.2g", c.law, c.c, score, got.Log10P, e)
			}
			worst, deepest = max(worst, e), min(deepest, got.Log10P)
			// The bound is a bound, the estimate is close.
			if b := s.chernoff(float64(x)); relErrorSigned(b*math.Log10E, want) < -1e-10 {
				t.Errorf("%v %v score %v: Chernoff's bound %v is below p", c.law, c.c, score, b*math.Log10E)
			}
			if c.c.N() >= 30 && float64(x) < s.mean()+6*math.Sqrt(s.variance()) {
				lr := s.lugannaniRice(float64(x)) * math.Log10E
				estimate = max(estimate, math.Abs(relErrorSigned(lr, want)))
			}
		}
	}
	// From 30 units on and within six standard deviations; the estimate is
	// reported only for sums a thousand times larger.
	if estimate > 0.03 {
		t.Errorf("Lugannani-Rice is off by %.2g of p", estimate)
	}
	t.Logf("exact lattice: worst relative error %.2g, deepest log10 p %.0f; Lugannani-Rice off by at most %.2g", worst, deepest, estimate)
}

func relErrorSigned(log10p float64, ln0 *big.Float) float64 {
	d, _ := sub(mul(bf(log10p), bigLn10), ln0).Float64()
	return math.Expm1(d)
}

// A large tournament: the convolution under the tilt against the reference
// multiplied out in big arithmetic, at every depth to -1200.
func TestExactLatticeDeep(t *testing.T) {
	t.Parallel()
	law, c := FairBits(30), Counts{1: 60, 2: 20, 3: 10, 4: 10, 8: 40}
	s := law.sum(c)
	// The number of bit patterns with each sum, exactly.
	ways := make([]big.Int, int(s.span())+1)
	ways[0].SetInt64(1)
	filled := 0
	for _, part := range s.parts {
		for range int(part.n) {
			w := int(part.w)
			filled += w
			for i := filled; i >= w; i-- {
				ways[i].Add(&ways[i], &ways[i-w])
			}
		}
	}
	trials := 30 * c.N()
	sf, worst, deepest, estimate := new(big.Int), 0., 0., 0.
	for x := len(ways) - 1; x >= 0; x-- {
		sf.Add(sf, &ways[x])
		if x%97 != 0 {
			continue
		}
		want := sub(bigLn(nb().SetInt(sf)), mul(bi(trials), bigLn2))
		got := law.Tail(float64(x), c)
		e := relError(got.Log10P, want)
		if e > tailTolerance || math.IsNaN(e) {
			t.Errorf("score %d: log10 p = %v, relative error %.2g", x, got.Log10P, e)
		}
		worst, deepest = max(worst, e), min(deepest, got.Log10P)
		if x < len(ways)-1000 {
			lr := s.lugannaniRice(float64(x)) * math.Log10E
			estimate = max(estimate, math.Abs(relErrorSigned(lr, want)))
		}
	}
	if estimate > 2e-3 {
		t.Errorf("Lugannani-Rice is off by %.2g of p", estimate)
	}
	if deepest > -1150 {
		t.Errorf("only reached log10 p = %v", deepest)
	}
	t.Logf("deep lattice: worst relative error %.2g down to %.0f; Lugannani-Rice off by at most %.2g", worst, deepest, estimate)
}

// bigTwoGammas is ln P(b1·Gamma(n1) + b2·Gamma(n2) >= x) by partial fractions of
// the generating function, an alternating sum that 320 bits can afford:
//
//	Σ_j C1(j) P(Gamma(j) >= x/b1) + Σ_j C2(j) P(Gamma(j) >= x/b2),
//	C1(j) = C(n1+n2-j-1, n1-j) (-r)^{n1-j} / (1-r)^{n1+n2-j},  r = b2/b1.
func bigTwoGammas(b1, b2 float64, n1, n2 int64, x float64) *big.Float {
	half := func(b1, b2 float64, n1, n2 int64) *big.Float {
		r := quo(bf(b2), bf(b1))
		one := sub(bi(1), r)
		X := quo(bf(x), bf(b1))
		total := nb()
		pois, sf := bigExp(nb().Neg(X)), nb()
		for j := int64(1); j <= n1; j++ {
			sf.Add(sf, pois) // P(Gamma(j) >= X)
			pois = quo(mul(pois, X), bi(j))
			c := nb().SetInt(new(big.Int).Binomial(n1+n2-j-1, n1-j))
			for range n1 - j {
				c.Mul(c, r).Neg(c)
			}
			for range n1 + n2 - j {
				c.Quo(c, one)
			}
			total.Add(total, mul(c, sf))
		}
		return total
	}
	return bigLn(add(half(b1, b2, n1, n2), half(b2, b1, n2, n1)))
}

func TestExactMixtureSmall(t *testing.T) {
	t.Parallel()
	worst, cases := 0., 0
	check := func(name string, got float64, want *big.Float, tolerance float64) {
		e := relError(got, want)
		if e > tolerance || math.IsNaN(e) {
			t.Errorf("%s: log10 p = %v, relative error %.2g", name, got, e)
		}
		worst, cases = max(worst, e), cases+1
	}
	for _, n := range []int64{1, 2, 5, 20} {
		for _, alpha := range []float64{0.1, 0.3, 0.9, 0.97} {
			for _, z := range []float64{-0.9, -0.3, 0, 0.5, 2, 8, 40, 400} {
				x := float64(n) * (1 + z)
				check(fmt.Sprintf("dual n=%d alpha=%v x=%v", n, alpha, x), Log10DualGammaSF(n, alpha, x),
					bigTwoGammas(1-alpha, alpha, n, n, x), 1e-10)
			}
		}
	}
	for _, c := range []Counts{{1: 1, 2: 1}, {1: 12, 8: 3}, {3: 7, 7: 9}, {2: 5, 8: 1}} {
		var w []int
		mean := 0.
		for i, n := range c {
			if n > 0 {
				w = append(w, i)
				mean += float64(i) * float64(n)
			}
		}
		for _, f := range []float64{0.1, 0.6, 1, 1.5, 4, 20, 80} {
			x := mean * f
			got := Exponential().Tail(x, c)
			if got.Method != MethodDP {
				t.Fatalf("%v: method %s", c, got.Method)
			}
			check(fmt.Sprintf("weights %v x=%v", c, x), got.Log10P,
				bigTwoGammas(float64(w[0]), float64(w[1]), c[w[0]], c[w[1]], x), tailTolerance)
		}
	}
	// All eight weights once: P = Σ_i e^{-x/w_i} Π_{j≠i} w_i/(w_i-w_j).
	c := Counts{0, 1, 1, 1, 1, 1, 1, 1, 1}
	for _, x := range []float64{1, 20, 36, 60, 200, 2000, 20000} {
		want := nb()
		for i := int64(1); i <= 8; i++ {
			term := bigExp(quo(bf(-x), bi(i)))
			for j := int64(1); j <= 8; j++ {
				if j != i {
					term = quo(mul(term, bi(i)), bi(i-j))
				}
			}
			want.Add(want, term)
		}
		check(fmt.Sprintf("hypoexponential x=%v", x), Exponential().Tail(x, c).Log10P, bigLn(want), tailTolerance)
	}
	t.Logf("mixtures of gammas: worst relative error %.2g over %d cases", worst, cases)
}

// bigMixture is the untilted mixture in 320 bits, as long as it takes.
func bigMixture(s sum, x float64) *big.Float {
	w0 := s.parts[0].w
	shape := int64(0)
	lnP0 := nb()
	type mix struct{ a, na, s *big.Float }
	var mixes []mix
	for _, c := range s.parts {
		w0 = min(w0, c.w)
	}
	for _, c := range s.parts {
		shape += int64(c.n)
		r := quo(bf(w0), bf(c.w))
		if c.w > w0 {
			a := sub(bi(1), r)
			mixes = append(mixes, mix{a, mul(a, bf(c.n)), nb()})
			lnP0.Add(lnP0, mul(bf(c.n), bigLn(r)))
		}
	}
	X := quo(bf(x), bf(w0))
	pois, cdf := bigExp(nb().Neg(X)), nb()
	m := int64(0)
	for ; m < shape; m++ {
		cdf.Add(cdf, pois)
		pois = quo(mul(pois, X), bi(m+1))
	}
	mass := bigExp(lnP0)
	acc := mul(mass, cdf)
	for j := int64(1); ; j++ {
		next := nb()
		for i := range mixes {
			mixes[i].s = add(mass, mul(mixes[i].a, mixes[i].s))
			next.Add(next, mul(mixes[i].na, mixes[i].s))
		}
		mass = quo(next, bi(j))
		cdf.Add(cdf, pois)
		pois = quo(mul(pois, X), bi(m+1))
		m++
		term := mul(mass, cdf)
		acc.Add(acc, term)
		if xf, _ := X.Float64(); float64(m) > xf && term.MantExp(nil) < acc.MantExp(nil)-90 {
			return bigLn(acc)
		}
	}
}

func TestExactMixtureLarge(t *testing.T) {
	t.Parallel()
	worst := 0.
	for _, c := range []struct {
		parts []part
		tol   float64
	}{
		{[]part{{1, 3000}, {2, 900}, {3, 400}, {4, 200}, {5, 90}, {6, 60}, {7, 40}, {8, 200}}, tailTolerance},
		{[]part{{1, 40}, {8, 700}}, tailTolerance},
		{[]part{{0.3, 5000}, {0.7, 5000}}, 1e-10},
		{[]part{{1 - 0.95, 1000}, {0.95, 1000}}, 1e-10},
	} {
		s := sum{parts: c.parts, exp: true, unit: 1}
		for _, z := range []float64{-3, 0.2, 3, 12, 40, 70} {
			x := s.mean() + z*math.Sqrt(s.variance())
			got, ok := exactMixture(c.parts, x)
			if !ok {
				t.Fatalf("%v: gave up", c.parts)
			}
			e := relError(got*math.Log10E, bigMixture(s, x))
			if e > c.tol || math.IsNaN(e) {
				t.Errorf("%v z=%v: log10 p = %v, relative error %.2g", c.parts, z, got*math.Log10E, e)
			}
			worst = max(worst, e)
			if z > 0 {
				if lr := s.lugannaniRice(x); math.Abs(math.Expm1(lr-got)) > 2e-3 {
					t.Errorf("%v z=%v: Lugannani-Rice is off by %.2g", c.parts, z, math.Expm1(lr-got))
				}
				if b := s.chernoff(x); b < got {
					t.Errorf("%v z=%v: Chernoff's bound %v is below %v", c.parts, z, b, got)
				}
			}
		}
	}
	t.Logf("large mixtures: worst relative error %.2g", worst)
}

func TestDualGammaEdges(t *testing.T) {
	t.Parallel()
	for _, alpha := range []float64{0, 1} {
		if got := Log10DualGammaSF(7, alpha, 12); got != Log10GammaSF(7, 12) {
			t.Errorf("alpha %v: %v", alpha, got)
		}
	}
	if got := Log10DualGammaSF(7, 0.5, 12); got != Log10GammaSF(14, 24) {
		t.Errorf("alpha ½: %v", got)
	}
	for _, x := range []float64{0, -3} {
		if got := Log10DualGammaSF(7, 0.9, x); got != 0 {
			t.Errorf("x = %v: %v", x, got)
		}
	}
	// Continuous in alpha at the middle, symmetric about it.
	for _, x := range []float64{6000, 6400, 9000} {
		a, b := Log10DualGammaSF(6000, 0.5, x), Log10DualGammaSF(6000, 0.5+1e-9, x)
		if math.Abs(a-b) > 1e-8*(1-a) {
			t.Errorf("x = %v: %v at ½, %v beside it", x, a, b)
		}
		if a, b := Log10DualGammaSF(6000, 0.3, x), Log10DualGammaSF(6000, 1-0.3, x); math.Abs(a-b) > 1e-10*(1-a) {
			t.Errorf("x = %v: %v and %v for mirrored alpha", x, a, b)
		}
	}
	// Far from the middle the bound takes over; beside one gamma it is too large by
	// the bound's cost, never too small.
	exact, bound := Log10GammaSF(200_000, 203_000), Log10DualGammaSF(200_000, 1e-6, 203_000)
	if bound < exact || bound > exact+2 {
		t.Errorf("alpha 1e-6: %v beside %v", bound, exact)
	}
	defer func() {
		if recover() == nil {
			t.Error("alpha 1.1 did not panic")
		}
	}()
	Log10DualGammaSF(5, 1.1, 3)
}
