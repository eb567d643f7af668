package evidence

import (
	"fmt"
	"math"
)

// WeightCap is the largest weight of a unit: a unit that occurred c times in a
// run weighs min(c, WeightCap). Uncapped counts let a single junk unit dominate
// the sum, and break the saddlepoint estimate.
const WeightCap = 8

// LawKind names the family of a [Law].
type LawKind string

// The kinds of null law that schemes with independent words have.
const (
	KindBernoulli   LawKind = "bernoulli"
	KindExponential LawKind = "exponential"
	KindFairBits    LawKind = "fair-bits"
)

// Law is the null law of the score x of ONE unit, over the random key; sums of
// units follow from it. Make one with [Bernoulli], [Exponential] or [FairBits].
type Law struct {
	Kind LawKind `json:"kind"`
	P    float64 `json:"p,omitempty"`    // Bernoulli: P(x = 1)
	Bits int     `json:"bits,omitempty"` // FairBits: number of fair bits summed
}

// Bernoulli is the law of a green-list hit: x = 1 with probability g, else 0.
// g must be the generator's true rate, in (0,1); it panics otherwise.
func Bernoulli(g float64) Law {
	if !(g > 0 && g < 1) {
		panic(fmt.Sprintf("evidence: Bernoulli rate %v is not in (0,1)", g))
	}
	return Law{Kind: KindBernoulli, P: g}
}

// Exponential is the law of a Gumbel score x = -ln(1-u): exponential, mean 1.
func Exponential() Law { return Law{Kind: KindExponential} }

// FairBits is the law of the number of ones among bits independent fair bits
// (a tournament's g-values). It panics if bits < 1.
func FairBits(bits int) Law {
	if bits < 1 {
		panic(fmt.Sprintf("evidence: FairBits needs at least one bit, got %d", bits))
	}
	return Law{Kind: KindFairBits, Bits: bits}
}

// Mean is the null mean of one unit's score.
func (l Law) Mean() float64 {
	if l.Kind == KindExponential {
		return 1
	}
	trials, p := l.lattice()
	return float64(trials) * p
}

// Variance is the null variance of one unit's score.
func (l Law) Variance() float64 {
	if l.Kind == KindExponential {
		return 1
	}
	trials, p := l.lattice()
	return float64(trials) * p * (1 - p)
}

// lattice returns a unit's law as Bin(trials, p). It panics for a law that has
// no such form, and for the zero Law.
func (l Law) lattice() (trials int64, p float64) {
	switch l.Kind {
	case KindBernoulli:
		return 1, l.P
	case KindFairBits:
		return int64(l.Bits), 0.5
	}
	panic(fmt.Sprintf("evidence: law %q is not a sum of bits", l.Kind))
}

// Counts[w] is the number of distinct units with weight w, 1 <= w <= WeightCap.
// Counts[0] is unused. Weights must be functions of the text alone, never of the
// key: then the null law of the weighted sum is exact given the text.
type Counts [WeightCap + 1]int64

// N is the number of distinct units.
func (c Counts) N() int64 {
	var n int64
	for w := 1; w <= WeightCap; w++ {
		n += c[w]
	}
	return n
}

// Plain returns the counts of n units of weight 1.
func Plain(n int64) Counts { return Counts{1: n} }

// moments returns the null mean and standard deviation of T = Σ w·x.
func (l Law) moments(c Counts) (mean, sd float64) {
	var m, v float64
	for w := 1; w <= WeightCap; w++ {
		m += float64(w) * float64(c[w])
		v += float64(w) * float64(w) * float64(c[w])
	}
	return m * l.Mean(), math.Sqrt(v * l.Variance())
}
