package evidence

import (
	"fmt"
	"math"
	"slices"
)

// Rank is a value's place among those of control models.
type Rank struct {
	Rank int // 1 is the highest of Of; a tie counts against being first
	Of   int // C + 1
	// Log10P is log10 of Rank/Of, the rank p-value (1 + #{controls >= value})/(C+1):
	// valid if the value would as soon have been any of the controls'. Log10Floor is
	// what it reaches at best.
	Log10P, Log10Floor float64
	// Log10Parametric is the tail of t = (value - mean)/(s·√(1+1/C)) under Student's
	// law with C-1 degrees of freedom: a companion that supposes normal controls, and
	// NaN for fewer than three or for ones that do not differ.
	Log10Parametric float64
	Mean, SD        float64 // of the controls
}

// tieTolerance is how close two statistics count as equal, relative to the largest
// of them: far above the rounding of sums, far below any real difference.
const tieTolerance = 1e-9

// RankAmong ranks a value among those of controls. Numbers that differ by rounding
// only are ties. It panics on a value that is no finite number.
func RankAmong(value float64, controls []float64) Rank {
	c := len(controls)
	scale := math.Abs(value)
	for _, x := range controls {
		if scale = max(scale, math.Abs(x)); math.IsNaN(x) {
			scale = x
		}
	}
	if math.IsNaN(scale) || math.IsInf(scale, 0) {
		panic(fmt.Sprintf("evidence: rank of %v among %v", value, controls))
	}
	r := Rank{Rank: 1, Of: c + 1, Log10Parametric: math.NaN()}
	for _, x := range controls {
		if x >= value-tieTolerance*scale {
			r.Rank++
		}
		r.Mean += x / float64(c)
	}
	r.Log10P = math.Log10(float64(r.Rank)/float64(r.Of)) + 0
	r.Log10Floor = -math.Log10(float64(r.Of)) + 0
	if c < 2 {
		return r
	}
	ss := 0.
	for _, x := range controls {
		ss += (x - r.Mean) * (x - r.Mean)
	}
	r.SD = math.Sqrt(ss / float64(c-1))
	if c >= 3 && r.SD > tieTolerance*scale {
		r.Log10Parametric = Log10StudentSF((value-r.Mean)/(r.SD*math.Sqrt(1+1/float64(c))), float64(c-1))
	}
	return r
}

// RankPower is the probability that a value from N(shift, sd²) ranks first among
// controls that are independent N(0, 1):
//
//	∫ φ(u) Φ(shift + sd·u)^controls du,
//
// by the trapezoidal rule, whose error on such an integrand is below 1e-12. It is
// 1 without controls, and panics for fewer than none. A student of whom each item was
// learnt or not varies more than a control: sd is then above 1.
func RankPower(controls int, shift, sd float64) float64 {
	if controls < 0 || math.IsNaN(shift) || !(sd > 0) {
		panic(fmt.Sprintf("evidence: power of a rank among %d controls at shift %v, sd %v", controls, shift, sd))
	}
	const step, reach = 0.02, 9.
	sum := 0.
	for u := -reach; u <= reach; u += step {
		lnCDF := lnNormalSF(-(shift + sd*u))
		sum += math.Exp(-0.5*u*u - halfLn2Pi + float64(controls)*lnCDF)
	}
	return min(sum*step, 1)
}

// RankPowerAmong is [RankPower] where the controls are not normal: they are drawn from a
// pilot's values, by their empirical distribution, and the value from N(mean, sd²). Where
// controls lean to one side, as shares near their bound do, normal ones promise up to a
// tenth too much. The pilot must hold a value at least; sd 0 stands for a fixed value.
func RankPowerAmong(pilot []float64, controls int, mean, sd float64) float64 {
	if len(pilot) == 0 || controls < 0 || math.IsNaN(mean) || !(sd >= 0) {
		panic(fmt.Sprintf("evidence: power of a rank among %d controls of %d in a pilot, at %v, sd %v", controls, len(pilot), mean, sd))
	}
	pilot = slices.Sorted(slices.Values(pilot))
	const step, reach = 0.01, 6.
	sum := 0.
	for u := -reach; u <= reach; u += step {
		at, _ := slices.BinarySearch(pilot, mean+sd*u)
		f := (float64(at) + .5) / float64(len(pilot)+1)
		sum += math.Exp(-0.5*u*u-halfLn2Pi) * math.Pow(f, float64(controls))
	}
	return min(sum*step, 1)
}

// RankShift is the smallest shift, in standard deviations of the controls, whose
// [RankPower] is at least power, which must lie in (0,1), for a value that varies as
// they do.
func RankShift(controls int, power float64) float64 {
	if !(power > 0 && power < 1) {
		panic(fmt.Sprintf("evidence: power %v is not in (0,1)", power))
	}
	lo, hi := 0., 1.
	for RankPower(controls, hi, 1) < power {
		hi *= 2
	}
	for hi-lo > 1e-9 {
		if mid := lo + (hi-lo)/2; RankPower(controls, mid, 1) < power {
			lo = mid
		} else {
			hi = mid
		}
	}
	return hi
}

// Residuals are the double-centred agreements of sources (rows) with teachers
// (columns), r_st = A_st - Ā_s. - Ā_.t + Ā_..: what is left of an agreement after a
// source's general agreement with everybody (stronger models agree more) and a
// teacher's with everybody are taken off. With one teacher they are all zero. It
// panics for rows of unequal length.
func Residuals(agreement [][]float64) [][]float64 {
	if len(agreement) == 0 {
		return nil
	}
	rows, columns := len(agreement), len(agreement[0])
	ofRow, ofColumn, all := make([]float64, rows), make([]float64, columns), 0.
	for s, row := range agreement {
		if len(row) != columns {
			panic(fmt.Sprintf("evidence: an agreement matrix with rows of %d and %d columns", columns, len(row)))
		}
		for t, a := range row {
			ofRow[s] += a / float64(columns)
			ofColumn[t] += a / float64(rows)
			all += a / float64(rows*columns)
		}
	}
	r := make([][]float64, rows)
	for s, row := range agreement {
		r[s] = make([]float64, columns)
		for t, a := range row {
			r[s][t] = a - ofRow[s] - ofColumn[t] + all
		}
	}
	return r
}

// JensenShannon is the Jensen-Shannon divergence of two distributions, in bits (0 to
// 1): the mean of the relative entropies to their average (Lin, IEEE Trans. Inf.
// Theory 37, 1991). The arguments are counts or shares of the same outcomes, of any
// positive sum. It is NaN if one of them has no counts, and panics if their lengths
// differ.
func JensenShannon(p, q []float64) float64 {
	if len(p) != len(q) {
		panic(fmt.Sprintf("evidence: divergence of %d and %d outcomes", len(p), len(q)))
	}
	var np, nq float64
	for i := range p {
		np += p[i]
		nq += q[i]
	}
	if !(np > 0) || !(nq > 0) {
		return math.NaN()
	}
	d := 0.
	for i := range p {
		a, b := p[i]/np, q[i]/nq
		m := (a + b) / 2
		if a > 0 {
			d += a / 2 * math.Log2(a/m)
		}
		if b > 0 {
			d += b / 2 * math.Log2(b/m)
		}
	}
	return min(max(d, 0), 1)
}

// MinStudents is how many students of our own calibrate a likelihood ratio: with three
// its inverse has a mean of 1.5 over students, with five of 1.4, with ten of 1.2.
const MinStudents = 5

// LikelihoodRatio is f1(value)/f0(value): how much likelier a value is among our own
// students than among controls. Both densities are the predictive ones of a normal
// law with unknown mean and variance, Student's t about the mean with scale
// s·√(1+1/n) and n-1 degrees of freedom (Gelman et al., Bayesian Data Analysis, 3.2).
// The ratio is cut to [1/(S+1), C+1]: S students and C controls cannot show that
// anything is rarer among them than that. With 20 controls its mean over controls is
// 1.11 at most, whatever the students, where that of exact densities would be 1. It is
// NaN with fewer than [MinStudents] students or three controls, or where either
// do not differ.
func LikelihoodRatio(value float64, students, controls []float64) float64 {
	if len(students) < MinStudents {
		return math.NaN()
	}
	ln1, ln0 := lnPredictive(value, students), lnPredictive(value, controls)
	if math.IsNaN(ln1) || math.IsNaN(ln0) {
		return math.NaN()
	}
	return min(max(math.Exp(ln1-ln0), 1/float64(len(students)+1)), float64(len(controls)+1))
}

// lnPredictive is the log density of Student's predictive law.
func lnPredictive(value float64, sample []float64) float64 {
	r := RankAmong(value, sample)
	if math.IsNaN(r.Log10Parametric) {
		return math.NaN()
	}
	n := float64(len(sample))
	scale := r.SD * math.Sqrt(1+1/n)
	t, nu := (value-r.Mean)/scale, n-1
	g1, _ := math.Lgamma((nu + 1) / 2)
	g0, _ := math.Lgamma(nu / 2)
	return g1 - g0 - 0.5*math.Log(nu*math.Pi) - math.Log(scale) - (nu+1)/2*math.Log1p(t*t/nu)
}

// Support is the verbal scale of a likelihood ratio or e-value (European Network of
// Forensic Science Institutes, Guideline for evaluative reporting, 2015). It must
// never be put beside a p-value. Ratios below 1 are worded for the other side.
func Support(ratio float64) string {
	if ratio < 1 {
		if s := Support(1 / ratio); s != noSupport {
			return s + " for the opposite"
		}
		return noSupport
	}
	for _, level := range []struct {
		below float64
		word  string
	}{{2, noSupport}, {10, "weak support"}, {1e2, "moderate support"}, {1e3, "moderately strong support"}, {1e4, "strong support"}, {1e6, "very strong support"}} {
		if ratio < level.below {
			return level.word
		}
	}
	return "extremely strong support"
}

const noSupport = "no support"
