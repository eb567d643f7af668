package evidence

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"sort"
	"sync"
)

// Draw is one secret that was drawn uniformly among len(d) possible ones: d[j] is
// what the j-th would score on what was observed. A keyed bit whose item agreed
// with it by s scores {+s, -s}; the arm that a slot of a schedule serves scores
// what the slot's text shows of each arm.
type Draw []int64

// DrawSum is the null law of T = Σ_i d_i[J_i], the J_i independent and uniform: the
// law of a score of independent secrets, given all that was observed. It is exact,
// since the scores are integers. Make it with [NewDrawSum]. It is safe for
// concurrent use once made.
type DrawSum struct {
	lists []drawList // the smallest possible value of each taken off, divided by unit
	base  float64    // what was taken off, in all
	unit  float64

	mean, variance float64 // of T, in the score's own scale

	tabled sync.Once
	table  []float64 // P(T >= base + unit·(lo+i)), with a final 0; nil where it would cost too much
	lo     float64
}

// drawList is a kind of draw: distinct values in ascending order with their
// probabilities, and how many draws are of this kind.
type drawList struct {
	v []float64
	p []float64
	n int
}

// MethodConvolution, in Tail.Method, is the exact law of a sum of drawn secrets.
const MethodConvolution = "exact-convolution"

// NewDrawSum prepares the law. Draws of one choice, or whose choices all score the
// same, shift the sum and decide nothing. It panics on a draw without choices.
func NewDrawSum(draws []Draw) *DrawSum {
	s := &DrawSum{unit: 1}
	g := 0
	kinds := map[string]int{}
	for _, d := range draws {
		if len(d) == 0 {
			panic("evidence: a draw without choices")
		}
		l := newDrawList(d)
		low := float64(slices.Min(d))
		s.base += low
		m, sq := 0., 0.
		for i, v := range l.v {
			m += l.p[i] * v
			sq += l.p[i] * v * v
			g = gcd(g, int(v))
		}
		s.mean += low + m
		s.variance += sq - m*m
		if len(l.v) == 1 {
			continue
		}
		id := l.key()
		if k, ok := kinds[id]; ok {
			s.lists[k].n++
			continue
		}
		kinds[id] = len(s.lists)
		s.lists = append(s.lists, l)
	}
	if g > 0 {
		s.unit = float64(g)
	}
	for k := range s.lists {
		for i := range s.lists[k].v {
			s.lists[k].v[i] /= s.unit
		}
	}
	// Narrow draws first keep the convolution short for long.
	slices.SortStableFunc(s.lists, func(a, b drawList) int {
		return int(math.Copysign(1, a.v[len(a.v)-1]-b.v[len(b.v)-1]))
	})
	return s
}

// makeTable convolves the law once, for many scores.
func (s *DrawSum) makeTable() {
	if s.cost() > maxDrawTable {
		return
	}
	d := s.tilted(0)
	s.lo = d.lo
	s.table = make([]float64, len(d.q)+1)
	for i := len(d.q) - 1; i >= 0; i-- {
		s.table[i] = s.table[i+1] + d.q[i]
	}
}

// key is the same for equal kinds.
func (l *drawList) key() string {
	b := make([]byte, 0, 16*len(l.v))
	for i := range l.v {
		b = binary.BigEndian.AppendUint64(b, math.Float64bits(l.v[i]))
		b = binary.BigEndian.AppendUint64(b, math.Float64bits(l.p[i]))
	}
	return string(b)
}

func newDrawList(d Draw) drawList {
	values := slices.Clone(d)
	slices.Sort(values)
	l := drawList{n: 1}
	for i, v := range values {
		if i > 0 && v == values[i-1] {
			l.p[len(l.p)-1] += 1 / float64(len(d))
			continue
		}
		l.v = append(l.v, float64(v-values[0]))
		l.p = append(l.p, 1/float64(len(d)))
	}
	return l
}

// maxDrawTable bounds the multiply-adds of a table for many scores: about two
// seconds, spent once. Without it a score's tail is still exact, and its
// randomised p a normal approximation, which serves as a check only.
const maxDrawTable = 2e9

// cost is the number of multiply-adds of a convolution, at the widths that are
// kept of it.
func (s *DrawSum) cost() float64 {
	cost, span, v := 0., 0., 0.
	for _, l := range s.lists {
		top := l.v[len(l.v)-1]
		for range l.n {
			cost += float64(len(l.v)) * (min(span, 20*math.Sqrt(v)+40) + 1)
			span += top
			v += top * top / 4
		}
	}
	return cost
}

// Mean and SD are those of T under the null law.
func (s *DrawSum) Mean() float64 { return s.mean }

// SD is the standard deviation of T under the null law.
func (s *DrawSum) SD() float64 { return math.Sqrt(max(s.variance, 0)) }

// Tail is what a score is worth: log10 P(T >= score), exact however deep.
func (s *DrawSum) Tail(score int64) Tail {
	p := log10(s.lnTail(s.units(float64(score))))
	return Tail{Log10P: p, Method: MethodConvolution, Log10Estimate: p, Mean: s.mean, SD: s.SD()}
}

// Estimate is Lugannani and Rice's of log10 P(T >= score), within a few hundredths where
// it is small: for planning, which asks for many. It is never a reported p.
func (s *DrawSum) Estimate(score float64) float64 {
	x := (score - s.base) / s.unit
	_, mean, v := s.cumulants(0)
	switch {
	case v == 0 || x <= mean:
		return 0
	case x >= s.top():
		return log10(s.lnTop())
	}
	t := s.saddlepoint(x)
	k, _, k2 := s.cumulants(t)
	r := math.Sqrt(max(0, 2*(t*x-k)))
	d := 0.
	if r > nearMean {
		d = 1/(-math.Expm1(-t)*math.Sqrt(k2)) - 1/r
	}
	return log10(min(0, -r*r/2-halfLn2Pi+math.Log(max(math.SmallestNonzeroFloat64, mills(r)+d))))
}

// Floor is the smallest log10 p that any outcome of the draws can have.
func (s *DrawSum) Floor() float64 { return log10(s.lnTop()) }

// units is the first point of the sum's own lattice at or above a score.
func (s *DrawSum) units(score float64) float64 { return math.Ceil((score - s.base) / s.unit) }

func (s *DrawSum) top() float64 {
	t := 0.
	for _, l := range s.lists {
		t += float64(l.n) * l.v[len(l.v)-1]
	}
	return t
}

func (s *DrawSum) lnTop() float64 {
	ln := 0.
	for _, l := range s.lists {
		ln += float64(l.n) * math.Log(l.p[len(l.p)-1])
	}
	return ln
}

// lnTail is ln P(T >= x) on the sum's own lattice, by the identity that
// exactLattice rests on: with any tilt t,
//
//	P(T >= x) = e^{K(t)-tx} · E_t[ e^{-t(T-x)}; T >= x ].
func (s *DrawSum) lnTail(x float64) float64 {
	top := s.top()
	switch {
	case x <= 0:
		return 0
	case x > top:
		return math.Inf(-1)
	case x == top:
		return s.lnTop()
	}
	t := s.saddlepoint(x)
	return s.tailUnder(t, s.tilted(t), x)
}

// tailUnder is ln P(T >= x) from the law under a tilt.
func (s *DrawSum) tailUnder(t float64, d pmf, x float64) float64 {
	total, factor, fall := 0., 1., math.Exp(-t)
	if d.lo > x {
		factor = math.Exp(-t * (d.lo - x))
	}
	for i := int(max(0, x-d.lo)); i < len(d.q); i++ {
		total += d.q[i] * factor
		factor *= fall
	}
	k, _, _ := s.cumulants(t)
	return min(0, k-t*x+math.Log(total))
}

// cumulants are K(t), K'(t), K”(t) on the sum's own lattice.
func (s *DrawSum) cumulants(t float64) (k, k1, k2 float64) {
	for _, l := range s.lists {
		top := l.v[len(l.v)-1]
		shift := max(0, t*top) // of the exponents, so that none overflows
		z, m, sq := 0., 0., 0.
		for i, v := range l.v {
			w := l.p[i] * math.Exp(t*v-shift)
			z += w
			m += w * v
			sq += w * v * v
		}
		m /= z
		n := float64(l.n)
		k += n * (shift + math.Log(z))
		k1 += n * m
		k2 += n * max(sq/z-m*m, 0)
	}
	return k, k1, k2
}

// saddlepoint solves K'(t) = x for 0 < x < top; 0 at or below the mean. It need not
// be good: the tail is exact at any tilt.
func (s *DrawSum) saddlepoint(x float64) float64 {
	_, mean, v := s.cumulants(0)
	if x <= mean || v == 0 {
		return 0
	}
	lo, hi := 0., 1/math.Sqrt(v)
	for range 200 {
		if _, k1, _ := s.cumulants(hi); k1 >= x {
			break
		}
		lo, hi = hi, 2*hi
	}
	t := lo + (hi-lo)/2
	for range 100 {
		_, k1, k2 := s.cumulants(t)
		if k1 < x {
			lo = t
		} else {
			hi = t
		}
		next := t + (x-k1)/k2
		if !(next > lo && next < hi) {
			next = lo + (hi-lo)/2
		}
		if math.Abs(next-t) <= 1e-10*t {
			return next
		}
		t = next
	}
	return t
}

// tilted is the law of T under the tilt t, cut to where it is not negligible.
func (s *DrawSum) tilted(t float64) pmf {
	acc := pmf{q: []float64{1}}
	for _, l := range s.lists {
		top := l.v[len(l.v)-1]
		q := make([]float64, len(l.v))
		z := 0.
		for i, v := range l.v {
			q[i] = l.p[i] * math.Exp(t*(v-top))
			z += q[i]
		}
		for i := range q {
			q[i] /= z
		}
		for range l.n {
			next := make([]float64, len(acc.q)+int(top))
			for i, v := range l.v {
				dst, w := next[int(v):][:len(acc.q)], q[i]
				for j, a := range acc.q {
					dst[j] += w * a
				}
			}
			acc = trim(pmf{lo: acc.lo, q: next})
		}
	}
	return acc
}

// Critical is the smallest score whose log10 p is at or below log10Alpha, and
// whether there is one.
func (s *DrawSum) Critical(log10Alpha float64) (score float64, ok bool) {
	mustLevel(log10Alpha)
	ln := log10Alpha * math.Ln10
	top := s.top()
	if top == 0 || s.lnTop() > ln {
		return 0, false
	}
	// Where the estimate puts it one convolution under the tilt does for all scores within
	// three standard deviations, far more than the estimate is wrong by.
	at := float64(sort.Search(int(top), func(i int) bool { return s.Estimate(s.base+s.unit*float64(i)) <= log10Alpha }))
	t := s.saddlepoint(min(at, top-1))
	d := s.tilted(t)
	_, _, v := s.cumulants(t)
	reach := 3*math.Sqrt(v) + 3
	from := int(max(0, math.Floor(at-reach)))
	i := sort.Search(int(min(top, at+reach))-from, func(i int) bool {
		return s.tailUnder(t, d, float64(from+i)) <= ln
	})
	return s.base + s.unit*float64(from+i), true
}

// RandomizedP is one p-value in (0,1) that is uniform under the null when u is
// uniform in (0,1) and independent of the score; see [Null.RandomizedP].
func (s *DrawSum) RandomizedP(score, u float64) float64 {
	if !(u > 0 && u < 1) || math.IsNaN(score) {
		panic(fmt.Sprintf("evidence: randomised p of score %v with u = %v outside (0,1)", score, u))
	}
	if len(s.lists) == 0 {
		return u
	}
	x := s.units(score)
	above, at := s.upper(x+1), s.upper(x)
	return min(max(above+u*(at-above), math.SmallestNonzeroFloat64), 1-0x1p-53)
}

// upper is P(T >= x).
func (s *DrawSum) upper(x float64) float64 {
	s.tabled.Do(s.makeTable)
	if s.table != nil {
		i := min(max(x-s.lo, 0), float64(len(s.table)-1))
		return s.table[int(i)]
	}
	z := (s.base + s.unit*(x-.5) - s.mean) / s.SD()
	return math.Exp(lnNormalSF(z))
}

// JudgeDecoys compares the score of the true secrets with those of redrawn ones;
// see [JudgeDecoys], whose gate is the same.
func (s *DrawSum) JudgeDecoys(observed float64, decoys []float64, seed uint64) Decoys {
	return judgeDecoys(s.RandomizedP, s.SD(), observed, decoys, seed)
}

// Log10SignBound is log10 of Hoeffding's bound exp(-x²/(2Σs²)) on P(Σ±s_i >= x) for
// fair independent signs, from Σs² (Hoeffding 1963, J. Am. Stat. Assoc. 58, 13-30):
// cruder than the exact law, and checked with a pencil.
func Log10SignBound(x, squares float64) float64 {
	if x <= 0 || squares <= 0 {
		return 0
	}
	return -x * x / (2 * squares) * math.Log10E
}

// Power is the probability that T reaches a critical score when each secret is
// followed with probability known, scoring the most that its draw can, and is as any
// other else: a keyed bit is hit with probability (1+known)/2. It is Edgeworth's
// expansion to the skewness with the lattice's correction for continuity (Feller, An
// Introduction to Probability Theory II, XVI.4), good to about 1e-2 for a handful of
// draws and 1e-3 for hundreds, near the middle, where powers are asked for.
func (s *DrawSum) Power(known, critical float64) float64 {
	m, v, third := 0., 0., 0.
	for _, l := range s.lists {
		top := len(l.v) - 1
		mean, c2, c3 := 0., 0., 0.
		prob := func(i int) float64 {
			p := (1 - known) * l.p[i]
			if i == top {
				p += known
			}
			return p
		}
		for i, x := range l.v {
			mean += prob(i) * x
		}
		for i, x := range l.v {
			d := x - mean
			c2 += prob(i) * d * d
			c3 += prob(i) * d * d * d
		}
		n := float64(l.n)
		m, v, third = m+n*mean, v+n*c2, third+n*c3
	}
	x := s.units(critical)
	if v == 0 {
		if x <= m {
			return 1
		}
		return 0
	}
	sd := math.Sqrt(v)
	z := (x - .5 - m) / sd
	p := math.Exp(lnNormalSF(z)) + math.Exp(-z*z/2)/math.Sqrt(2*math.Pi)*third/(6*v*sd)*(z*z-1)
	return min(max(p, 0), 1)
}

// Detectable is the smallest share of secrets that, when followed, is found with the
// given power at a level; see [DrawSum.Power]. It is +Inf where there is none.
func (s *DrawSum) Detectable(log10Alpha, power float64) float64 {
	critical, ok := s.Critical(log10Alpha)
	if !ok || s.Power(1, critical) < power {
		return math.Inf(1)
	}
	lo, hi := 0., 1.
	for hi-lo > 1e-9 {
		if mid := lo + (hi-lo)/2; s.Power(mid, critical) < power {
			lo = mid
		} else {
			hi = mid
		}
	}
	return hi
}
