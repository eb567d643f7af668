package evidence

import (
	"fmt"
	"math"
)

// maxTableWork bounds the multiply-adds spent on the table of a [Null]: about
// 20 ms, spent once for all scores.
const maxTableWork = 2e7

// Null is the null law of T = Σ w·x for fixed counts, prepared for judging many
// scores (decoy keys, calibration). It is safe for concurrent use.
type Null struct {
	sum   sum
	table []float64 // weighted lattices within the budget: P(T >= lo+i), with a final 0
	lo    float64
}

// Null prepares the null law of the weighted sum.
func (l Law) Null(c Counts) *Null {
	nl := &Null{sum: l.sum(c)}
	s := nl.sum
	if s.simple() || s.exp || s.latticeCost() > maxTableWork {
		return nl
	}
	d := s.tiltedPMF(0)
	nl.lo = d.lo
	nl.table = make([]float64, len(d.q)+1)
	for i := len(d.q) - 1; i >= 0; i-- {
		nl.table[i] = nl.table[i+1] + d.q[i]
	}
	return nl
}

// RandomizedP is one p-value in (0,1) that is uniform under the null when u is
// uniform in (0,1) and independent of the score:
//
//	P(T > t) + u·P(T = t)
//
// on a lattice (Lehmann & Romano, Testing Statistical Hypotheses, 3.2), P(T >= t)
// for exponentials, which make no use of u. It is exact for equal weights and for
// tabled lattices; large weighted lattices and weighted exponentials use the
// saddlepoint estimate, good to 1e-3 of p. With no units at all it is u. For
// checks of uniformity, not for reporting: a reported p is never randomised.
func (nl *Null) RandomizedP(score, u float64) float64 {
	if !(u > 0 && u < 1) || math.IsNaN(score) {
		panic(fmt.Sprintf("evidence: randomised p of score %v with u = %v outside (0,1)", score, u))
	}
	if len(nl.sum.parts) == 0 {
		return u
	}
	x := nl.sum.units(score)
	at := nl.upper(x)
	if !nl.sum.exp {
		above := nl.upper(x + 1)
		at = above + u*(at-above)
	}
	return min(max(at, math.SmallestNonzeroFloat64), 1-0x1p-53)
}

// upper is P(T >= x).
func (nl *Null) upper(x float64) float64 {
	switch {
	case nl.sum.simple():
		ln, _ := nl.sum.simpleTail(x)
		return math.Exp(ln)
	case nl.table != nil:
		i := min(max(x-nl.lo, 0), float64(len(nl.table)-1))
		return nl.table[int(i)]
	}
	return math.Exp(nl.sum.lugannaniRice(x))
}

// RandomizedP is [Null.RandomizedP] for a single score; for many scores on the
// same counts prepare a [Null] once.
func (l Law) RandomizedP(score float64, c Counts, u float64) float64 {
	return l.Null(c).RandomizedP(score, u)
}
