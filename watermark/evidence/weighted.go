package evidence

import "math"

// Names of the ways a p-value was reached, in [Tail].Method.
const (
	MethodBinomial = "exact-binomial" // all weights equal, bits
	MethodGamma    = "exact-gamma"    // all weights equal, exponentials
	MethodDP       = "exact-dp"       // unequal weights: exact sum over the lattice of the weights
	MethodChernoff = "chernoff-bound" // unequal weights, too many units for the exact sum: an upper bound on p
)

// Tail says what a score is worth under the null law.
type Tail struct {
	Log10P float64 `json:"log10_p"` // log10 P(T >= score), exact or an upper bound: the p that is reported
	Method string  `json:"method"`  // one of the Method constants
	// Log10Estimate is the Lugannani-Rice estimate where Log10P is a bound,
	// which costs about one decade; it equals Log10P where that is exact. It is
	// an estimate: shown beside the bound, never instead of it.
	Log10Estimate float64 `json:"log10_estimate"`
	Mean          float64 `json:"mean"` // of T under the null
	SD            float64 `json:"sd"`   // of T under the null
}

// Tail is the upper tail of T = Σ w·x at score, x independent with law l, c[w]
// of them with weight w. Where all weights are equal it is a binomial or gamma
// tail; else the exact sum over the lattice (see exactLattice, exactMixture)
// while that costs less than about a third of a second; else Chernoff's bound.
// All of them are valid: which one is used never makes p smaller than the true
// tail probability (beyond 1e-11 of it). No units at all give p = 1.
func (l Law) Tail(score float64, c Counts) Tail {
	mean, sd := l.moments(c)
	s := l.sum(c)
	p, method, estimate := s.tail(s.units(score))
	return Tail{
		Log10P: log10(p), Method: method, Log10Estimate: log10(estimate),
		Mean: mean, SD: sd,
	}
}

// A part is n independent trials of weight w each.
type part struct{ w, n float64 }

// A sum is the null law of T = Σ w·x, cut down to what tails need: weights
// divided by their greatest common divisor, units of several bits split into
// their bits, and a single per-trial law: Bernoulli(p), or the exponential.
type sum struct {
	parts []part
	exp   bool
	p     float64 // Bernoulli rate of a trial
	unit  float64 // what the weights were divided by
}

func (l Law) sum(c Counts) sum {
	s := sum{exp: l.Kind == KindExponential}
	trials := 1.
	if !s.exp {
		t, p := l.lattice()
		trials, s.p = float64(t), p
	}
	g := 0
	for w := 1; w <= WeightCap; w++ {
		if c[w] < 0 {
			panic("evidence: negative count of units")
		}
		if c[w] > 0 {
			g = gcd(g, w)
			s.parts = append(s.parts, part{w: float64(w), n: float64(c[w]) * trials})
		}
	}
	s.unit = float64(max(g, 1))
	for i := range s.parts {
		s.parts[i].w /= s.unit
	}
	return s
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// units converts a score to the sum's own scale; on a lattice T >= score means
// T >= the next lattice point.
func (s sum) units(score float64) float64 {
	x := score / s.unit
	if !s.exp {
		x = math.Ceil(x)
	}
	return x
}

// span is the largest value of a lattice sum; mean its null mean.
func (s sum) span() float64 {
	t := 0.
	for _, c := range s.parts {
		t += c.w * c.n
	}
	return t
}

func (s sum) mean() float64 {
	if s.exp {
		return s.span()
	}
	return s.span() * s.p
}

func (s sum) variance() float64 {
	v := 0.
	for _, c := range s.parts {
		v += c.w * c.w * c.n
	}
	if s.exp {
		return v
	}
	return v * s.p * (1 - s.p)
}

// simple reports whether the sum has one weight, hence a textbook law.
func (s sum) simple() bool { return len(s.parts) <= 1 }

// trials is the number of trials of a simple sum.
func (s sum) trials() int64 {
	if len(s.parts) == 0 {
		return 0
	}
	return int64(s.parts[0].n)
}

// tail is ln P(T >= x): as reported, how, and as estimated.
func (s sum) tail(x float64) (lnP float64, method string, estimate float64) {
	if s.simple() {
		lnP, method = s.simpleTail(x)
		return lnP, method, lnP
	}
	if x <= 0 {
		return 0, MethodDP, 0
	}
	if lnP, ok := s.exactTail(x); ok {
		return lnP, MethodDP, lnP
	}
	return s.chernoff(x), MethodChernoff, s.lugannaniRice(x)
}

func (s sum) simpleTail(x float64) (float64, string) {
	if s.exp {
		if x <= 0 {
			return 0, MethodGamma
		}
		return lnGammaSF(s.trials(), x), MethodGamma
	}
	n := s.trials()
	if x > float64(n) {
		return math.Inf(-1), MethodBinomial
	}
	return lnBinomialSF(int64(max(x, 0)), n, s.p), MethodBinomial
}

func (s sum) exactTail(x float64) (lnP float64, ok bool) {
	if s.exp {
		return exactMixture(s.parts, x)
	}
	if s.latticeCost() > maxLatticeWork {
		return 0, false
	}
	return s.exactLattice(x), true
}

// cgf is the cumulant generating function of one trial of weight 1 at t and its
// first three derivatives:
//
//	Bernoulli:   κ = ln(1-p+pe^t), κ' = pe^t/(1-p+pe^t) = q, κ” = q(1-q), κ”' = κ”(1-2q)
//	exponential: κ = -ln(1-t), κ' = β = 1/(1-t), κ” = β², κ”' = 2β³
func (s sum) cgf(t float64) (k, k1, k2, k3 float64) {
	if s.exp {
		b := 1 / (1 - t)
		return -math.Log1p(-t), b, b * b, 2 * b * b * b
	}
	q, r := s.tilted(t)
	k2 = q * r
	if t > 0 { // ln(pe^t) + ln(1 + (1-p)/p·e^-t), which cannot overflow
		k = t + math.Log(s.p) + math.Log1p((1-s.p)/s.p*math.Exp(-t))
		if t < 1 {
			k = math.Log1p(s.p * math.Expm1(t))
		}
	} else {
		k = math.Log1p(s.p * math.Expm1(t))
	}
	return k, q, k2, k2 * (r - q)
}

// tilted is the Bernoulli rate under an exponential tilt t, and its complement,
// neither of them by subtraction.
func (s sum) tilted(t float64) (q, r float64) {
	up := s.p * math.Exp(t/2)
	down := (1 - s.p) * math.Exp(-t/2)
	return up / (up + down), down / (up + down)
}

// sums adds up the parts' cumulants at tilt t: K, K', K”, K”'.
func (s sum) sums(t float64) (k, k1, k2, k3 float64) {
	for _, c := range s.parts {
		a, b1, b2, b3 := s.cgf(c.w * t)
		k += c.n * a
		k1 += c.n * c.w * b1
		k2 += c.n * c.w * c.w * b2
		k3 += c.n * c.w * c.w * c.w * b3
	}
	return k, k1, k2, k3
}

// saddlepoint solves K'(t) = x by Newton's steps inside a bracket. x must lie
// strictly inside the support: (0, span) on a lattice, (0, ∞) for exponentials.
// What is left of K'(t)-x does not matter for validity: any t >= 0 gives a
// Chernoff bound, and exact sums are exact at any tilt.
func (s sum) saddlepoint(x float64) float64 {
	mean := s.mean()
	if x == mean {
		return 0
	}
	lo, hi := 0., 0.
	step := 1 / math.Sqrt(s.variance())
	limit := math.Inf(1)
	if s.exp {
		for _, c := range s.parts {
			limit = min(limit, 1/c.w)
		}
	}
	if x > mean {
		for hi = step; ; hi *= 2 {
			if hi >= limit {
				hi = limit
				break
			}
			if _, k1, _, _ := s.sums(hi); k1 >= x {
				break
			}
			lo = hi
		}
	} else {
		for lo = -step; ; lo *= 2 {
			if _, k1, _, _ := s.sums(lo); k1 <= x {
				break
			}
			hi = lo
		}
	}
	t := lo + (hi-lo)/2
	for range 200 {
		_, k1, k2, _ := s.sums(t)
		if k1 < x {
			lo = t
		} else {
			hi = t
		}
		next := t + (x-k1)/k2
		if !(next > lo && next < hi) {
			next = lo + (hi-lo)/2
		}
		if math.Abs(next-t) <= 1e-13*math.Abs(t) {
			return next
		}
		t = next
	}
	return t
}

// chernoff is the bound ln P(T >= x) <= inf_{0<=t<tmax} K(t)-tx, and 0 for x at
// or below the mean (Chernoff 1952). At the top of a lattice it is the limit
// t → ∞, n·ln p, which is exact; above the top the score is impossible.
func (s sum) chernoff(x float64) float64 {
	if x <= s.mean() {
		return 0
	}
	if !s.exp {
		if top := s.span(); x >= top {
			return s.atTop(x, top)
		}
	}
	t := s.saddlepoint(x)
	return min(0, s.exponent(t, x))
}

// atTop is the tail at or above the largest value of a lattice sum.
func (s sum) atTop(x, top float64) float64 {
	if x > top {
		return math.Inf(-1)
	}
	n := 0.
	for _, c := range s.parts {
		n += c.n
	}
	return n * math.Log(s.p)
}

// exponent is K(t)-tx, written as -Σ n·KL(tilted ‖ null) + t·(K'(t)-x): the two
// big terms of the plain form cancel and would leave 1e-16·tx, the divergences
// are sums of positive terms, and the last difference is taken in double-double.
func (s sum) exponent(t, x float64) float64 {
	kl, hi, lo := 0., -x, 0.
	for _, c := range s.parts {
		var m float64
		if s.exp {
			m = 1 / (1 - c.w*t)
			kl += c.n * deviance(1, m, 0)
		} else {
			var r float64
			m, r = s.tilted(c.w * t)
			kl += c.n * (deviance(m, s.p, 0) + deviance(r, 1-s.p, 0))
		}
		a := c.n * c.w
		prod := a * m
		lo += math.FMA(a, m, -prod) + math.FMA(c.n, c.w, -a)*m
		next := hi + prod
		b := next - hi
		lo += (hi - (next - b)) + (prod - b)
		hi = next
	}
	return -kl + t*(hi+lo)
}

// nearMean is the |r| below which 1/u-1/r is replaced by its limit: rounding in
// it grows as 1e-16·√n/r², the limit's own error is of order r/n.
const nearMean = 1e-3

// lugannaniRice estimates ln P(T >= x) (Lugannani & Rice 1980, Adv. Appl. Prob.
// 12, 475-490; for lattices Daniels 1987, Int. Stat. Rev. 55, first continuity
// correction):
//
//	P ≈ Φ̄(r) + φ(r)·(1/u - 1/r),  r = sign(t)·√(2(tx-K)),
//	u = t·√K” (density), u = (1-e^-t)·√K” (lattice of span 1),
//
// with the limit 1/u-1/r → -K”'/(6K”^{3/2}) (+ 1/(2√K”) on a lattice) at the
// mean. Relative error of p about 1e-2 for a handful of units, 1e-4 for
// thousands, at any depth.
func (s sum) lugannaniRice(x float64) float64 {
	if x <= 0 {
		return 0
	}
	if !s.exp {
		if top := s.span(); x >= top {
			return s.atTop(x, top)
		}
	}
	t := s.saddlepoint(x)
	_, _, k2, k3 := s.sums(t)
	r := math.Copysign(math.Sqrt(max(0, -2*s.exponent(t, x))), t)
	root := math.Sqrt(k2)
	var d float64
	if math.Abs(r) < nearMean {
		d = -k3 / (6 * k2 * root)
		if !s.exp {
			d += 1 / (2 * root)
		}
	} else {
		u := t * root
		if !s.exp {
			u = -math.Expm1(-t) * root
		}
		d = 1/u - 1/r
	}
	if r <= 0 {
		// Below the mean the tail is near 1: take the complement's logarithm.
		return ln1mExp(min(0, -0.5*r*r-halfLn2Pi+math.Log(max(math.SmallestNonzeroFloat64, mills(-r)-d))))
	}
	return min(0, -0.5*r*r-halfLn2Pi+math.Log(max(math.SmallestNonzeroFloat64, mills(r)+d)))
}
