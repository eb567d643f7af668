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
