package evidence

import (
	"fmt"
	"math"
	"sort"
)

// Effects, everywhere below: Bernoulli, the lift of the rate; Exponential, the
// relative lift of the mean (units of mean 1+ε, still exponential); FairBits, the
// lift of P(bit = 1) over ½. The alternative lifts every unit alike, a
// simplification: learned text lifts few units much and most not at all. For plain
// counts the mean lift decides all the same, to first order.

// Power is the probability that T = Σ w·x reaches log10 p <= log10Alpha, under the
// tail that is reported, when every unit is lifted by effect (see above). Exact for
// equal weights. For unequal weights both the critical score and its probability
// under the alternative are saddlepoint estimates (the critical score from
// Chernoff's bound where that is what [Law.Tail] reports), good to about 1e-3.
func (l Law) Power(c Counts, effect, log10Alpha float64) float64 {
	mustLevel(log10Alpha)
	s := l.sum(c)
	return s.powerAt(s.critical(log10Alpha*math.Ln10), effect)
}

func mustLevel(log10Alpha float64) {
	if !(log10Alpha < 0) || math.IsInf(log10Alpha, -1) {
		panic(fmt.Sprintf("evidence: log10 of a significance level must be negative and finite, got %v", log10Alpha))
	}
}

// lifted is the sum's law under the alternative: a rate, or a factor of scale.
func (s sum) lifted(effect float64) (alt sum, scale float64) {
	if s.exp {
		return s, max(1+effect, 0)
	}
	s.p = min(max(s.p+effect, 0), 1)
	return s, 1
}

// powerAt is P(T >= x) under the alternative.
func (s sum) powerAt(x, effect float64) float64 {
	if math.IsInf(x, 1) {
		return 0
	}
	alt, scale := s.lifted(effect)
	switch {
	case scale == 0 || (!s.exp && alt.p == 0):
		return 0
	case !s.exp && alt.p == 1:
		return 1 // critical scores beyond the span are +Inf
	case s.simple():
		ln, _ := alt.simpleTail(x / scale)
		return math.Exp(ln)
	}
	return math.Exp(alt.lugannaniRice(x / scale))
}

// critical is the smallest score whose reported ln p is at or below lnAlpha; +Inf
// if no score is.
func (s sum) critical(lnAlpha float64) float64 {
	tail := s.lugannaniRice
	switch {
	case s.simple() && s.exp:
		return gammaQuantile(s.trials(), lnAlpha)
	case s.simple():
		n := s.trials()
		if k := binomialCritical(n, s.p, lnAlpha); k <= n {
			return float64(k)
		}
		return math.Inf(1)
	case !s.exp && s.latticeCost() > maxLatticeWork,
		s.exp && s.mean() > maxMixtureSteps/4:
		tail = s.chernoff
	}
	lo, hi := s.mean(), s.span()
	if s.exp {
		for hi = lo; tail(hi) > lnAlpha; {
			lo, hi = hi, hi+2*(hi+1)
		}
	} else if tail(hi) > lnAlpha {
		return math.Inf(1)
	}
	for hi-lo > 1e-12*hi {
		x := lo + (hi-lo)/2
		if !s.exp {
			if x = math.Ceil(x); x >= hi {
				if x = hi - 1; x <= lo {
					break
				}
			}
		}
		if tail(x) > lnAlpha {
			lo = x
		} else {
			hi = x
		}
	}
	return hi
}

// gammaQuantile is the x with ln P(Gamma(n,1) >= x) = lnP. The tail is log-concave,
// so Newton's steps overshoot at most once and then fall onto the root.
func gammaQuantile(n int64, lnP float64) float64 {
	if n == 0 {
		return math.Inf(1)
	}
	x := float64(n)
	for range 200 {
		sf := lnGammaSF(n, x)
		step := (sf - lnP) * math.Exp(sf-lnPoisson(float64(n-1), x))
		next := x + step
		if next <= 0 {
			next = x / 2
		}
		if math.Abs(next-x) <= 1e-14*x {
			return next
		}
		x = next
	}
	return x
}

// binomialCritical is the smallest k with ln P(Bin(n,p) >= k) <= lnAlpha; n+1 if
// there is none.
func binomialCritical(n int64, p, lnAlpha float64) int64 {
	nf := float64(n)
	z := normalQuantile(lnAlpha)
	guess := nf*p + z*math.Sqrt(nf*p*(1-p)) + (z*z-1)*(1-2*p)/6
	return firstTrue(int64(guess), 0, n+1, func(k int64) bool {
		return lnBinomialSF(k, n, p) <= lnAlpha
	})
}

// firstTrue is the smallest i in [lo, hi] for which f holds, f monotone and true at
// hi by assumption. It gallops away from a guess, so that a good one costs two
// evaluations.
func firstTrue(guess, lo, hi int64, f func(int64) bool) int64 {
	guess = min(max(guess, lo), hi)
	if guess == hi || f(guess) {
		hi = guess
		for step := int64(1); hi > lo; step *= 2 {
			i := max(hi-step, lo)
			if !f(i) {
				lo = i + 1
				break
			}
			hi = i
		}
	} else {
		lo = guess + 1
		for step := int64(1); lo < hi; step *= 2 {
			i := min(lo+step-1, hi)
			if i == hi || f(i) {
				hi = i
				break
			}
			lo = i + 1
		}
	}
	return lo + int64(sort.Search(int(hi-lo), func(i int) bool { return f(lo + int64(i)) }))
}

// maxUnits is the largest sample a plan may ask for: ten billion scored units is
// beyond any budget.
const maxUnits = 10_000_000_000

// firstGuess is the normal approximation of the sample size in trials,
// ((z_α√(g(1-g)) + z_β√(p₁(1-p₁)))/ε)², from which the search starts.
func firstGuess(g, effect, lnAlpha, power float64) float64 {
	p1 := min(g+effect, 1)
	a := normalQuantile(lnAlpha) * math.Sqrt(g*(1-g))
	b := -normalQuantile(math.Log(power)) * math.Sqrt(p1*(1-p1))
	return (a + b) * (a + b) / (effect * effect)
}

// UnitsNeeded is the smallest number of distinct units, all of weight 1, whose
// power under the reported tail is at least power, in (0,1). It is exact: the power
// of a discrete test rises in a saw-tooth, and the first tooth that reaches the goal
// is found; beyond 20 million trials the search may land up to 4g/ε trials later
// (below 1e-4 of n). It is math.MaxInt64 if effect <= 0, or if more than ten billion
// units would be needed.
func (l Law) UnitsNeeded(effect, log10Alpha, power float64) int64 {
	mustLevel(log10Alpha)
	if !(power > 0 && power < 1) {
		panic(fmt.Sprintf("evidence: power %v is not in (0,1)", power))
	}
	if !(effect > 0) {
		return math.MaxInt64
	}
	lnAlpha := log10Alpha * math.Ln10
	if l.Kind == KindExponential {
		return exponentialUnits(effect, lnAlpha, power)
	}
	bits, g := l.lattice()
	return latticeUnits(bits, g, effect, lnAlpha, power)
}

func exponentialUnits(effect, lnAlpha, power float64) int64 {
	z := normalQuantile(lnAlpha) - normalQuantile(math.Log(power))*(1+effect)
	guess := z * z / (effect * effect)
	if guess > maxUnits {
		return math.MaxInt64
	}
	return firstTrue(int64(guess), 1, 2*maxUnits, func(n int64) bool {
		return lnGammaSF(n, gammaQuantile(n, lnAlpha)/(1+effect)) >= math.Log(power)
	})
}

// exactSearchUpTo is the number of trials to which the saw-tooth is searched tooth
// by tooth, at a cost of up to a quarter of a second.
const exactSearchUpTo = 20_000_000

// latticeUnits searches by critical count k. The test "S >= k" has level α up to
// n = most(k) trials and power β from n = least(k) on; without rounding,
// most(k)-least(k) grows with k, and rounding takes off less than 2. So below a k
// where the difference is under -2 no k serves, and the first k from there whose
// interval [least(k), most(k)] holds a whole number of units gives the answer.
func latticeUnits(bits int64, g, effect, lnAlpha, power float64) int64 {
	p1 := min(g+effect, 1)
	lnPower := math.Log(power)
	guess := firstGuess(g, effect, lnAlpha, power)
	if guess/float64(bits) > maxUnits {
		return math.MaxInt64
	}
	limit := int64(4*guess) + 1_000_000
	most := func(k, near int64) int64 { // largest n with P(Bin(n,g) >= k) <= α
		return firstTrue(near+1, k, limit, func(n int64) bool { return lnBinomialSF(k, n, g) > lnAlpha }) - 1
	}
	least := func(k, near int64) int64 { // smallest n with P(Bin(n,p1) >= k) >= β
		return firstTrue(near, k, limit, func(n int64) bool { return lnBinomialSF(k, n, p1) >= lnPower })
	}
	start := binomialCritical(int64(guess)+1, g, lnAlpha)
	n := int64(guess)
	gap := func(k int64) int64 {
		near := n + int64(float64(k-start)/(g+effect/2))
		return most(k, near) - least(k, near)
	}
	wanted := int64(-2)
	if guess > exactSearchUpTo {
		wanted = 0
	}
	k := firstTrue(start, 1, limit, func(k int64) bool { return gap(k) >= wanted })
	if wanted < 0 {
		// Rounding makes the gap jitter by one: step back until it is clearly below.
		for k > 1 && gap(k-1) >= wanted {
			k--
		}
	}
	near := n + int64(float64(k-start)/(g+effect/2))
	up, low := near, near
	for ; ; k++ {
		low, up = least(k, low), most(k, up)
		if units := (low + bits - 1) / bits; units*bits <= up {
			return units
		}
	}
}

// DetectableEffect is the smallest effect that these counts find at the level with
// the given power; a null result states it. Approximations as for [Law.Power]: none
// for equal weights; for unequal ones the saddlepoint estimate, which moves the
// effect by less than 1e-3 of itself. +Inf if even the largest effect is not found,
// as when n is so small that no score reaches the level.
func (l Law) DetectableEffect(c Counts, log10Alpha, power float64) float64 {
	mustLevel(log10Alpha)
	if !(power > 0 && power < 1) {
		panic(fmt.Sprintf("evidence: power %v is not in (0,1)", power))
	}
	s := l.sum(c)
	x := s.critical(log10Alpha * math.Ln10)
	if math.IsInf(x, 1) {
		return x
	}
	hi := 1.
	if s.exp {
		for s.powerAt(x, hi) < power {
			hi *= 2
		}
	} else {
		hi = 1 - s.p
	}
	lo := 0.
	for hi-lo > 1e-10*hi {
		mid := lo + (hi-lo)/2
		if s.powerAt(x, mid) < power {
			lo = mid
		} else {
			hi = mid
		}
	}
	return hi
}
