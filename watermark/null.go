package watermark

import (
	"math"
	"math/rand/v2"

	"github.com/stillmark/stillmark/watermark/evidence"
)

// null is the null law of a run's score.
type null interface {
	tail(score float64, c evidence.Counts) evidence.Tail
	log10E(n int64, score float64) float64
	moments(c evidence.Counts) (mean, sd float64)
	// randomised is one p-value, uniform under the null for u uniform.
	randomised(score float64, c evidence.Counts, u float64) float64
	// analytic says whether tail is a p-value at all.
	analytic() bool
}

// MethodDecoysOnly, as evidence.Tail.Method, says that the score has no analytic
// null law: Log10P is 0 whatever the score, and the rank among decoy keys is the
// result.
const MethodDecoysOnly = "decoys-only"

// MethodDual is the exact tail of a sum under two keys.
const MethodDual = "exact-dual-gamma"

// nullOf is the null law of a scheme.
func nullOf(s Scheme) null {
	if d, ok := s.(interface{ mixture() float64 }); ok {
		return dualNull{d.mixture()}
	}
	if f, ok := s.(interface{ fixed() (vocab, green int64) }); ok {
		if vocab, green := f.fixed(); vocab > 0 {
			return fixedNull{unitNull{law: s.Law(), noE: true}, vocab, green}
		}
	}
	p, isPreset := PresetByName(s.Spec().Scheme)
	if d, ok := s.(interface{ decoysOnly() bool }); isPreset && p.DecoysOnly || ok && d.decoysOnly() {
		spread := 1.
		if r, ok := s.(*rounds); ok {
			spread = r.spread()
		}
		return ranked{unitNull{law: s.Law()}, spread}
	}
	return unitNull{law: s.Law(), noE: isPreset && !p.words}
}

// hasE reports whether there is an e-process under a law. Where there is none its log10 e
// is 0, which is no result.
func hasE(n null) bool {
	switch n := n.(type) {
	case ranked, fixedNull:
		return false
	case unitNull:
		return !n.noE
	}
	return true
}

// unitNull is a law that evidence knows.
type unitNull struct {
	law evidence.Law
	noE bool // units are not independent enough for an e-value
}

func (l unitNull) tail(score float64, c evidence.Counts) evidence.Tail { return l.law.Tail(score, c) }

func (l unitNull) log10E(n int64, score float64) float64 {
	if l.noE {
		return 0
	}
	return l.law.Log10E(n, score)
}

func (l unitNull) moments(c evidence.Counts) (mean, sd float64) {
	w, w2 := squares(c)
	return w * l.law.Mean(), math.Sqrt(w2 * l.law.Variance())
}

func (l unitNull) randomised(score float64, c evidence.Counts, u float64) float64 {
	return l.law.RandomizedP(score, c, u)
}

func (unitNull) analytic() bool { return true }

// squares are the sums of weights and of their squares.
func squares(c evidence.Counts) (sum, squares float64) {
	for w := 1; w <= evidence.WeightCap; w++ {
		sum += float64(w) * float64(c[w])
		squares += float64(w*w) * float64(c[w])
	}
	return sum, squares
}

// ranked is a score whose law only decoys know. Mean and sd are those of
// independent layers, for orientation; spread is the variance of a unit against
// its law's.
type ranked struct {
	unitNull
	spread float64
}

func (r ranked) moments(c evidence.Counts) (mean, sd float64) {
	mean, sd = r.unitNull.moments(c)
	return mean, sd * math.Sqrt(r.spread)
}

func (r ranked) tail(_ float64, c evidence.Counts) evidence.Tail {
	mean, sd := r.moments(c)
	return evidence.Tail{Method: MethodDecoysOnly, Mean: mean, SD: sd}
}

func (ranked) log10E(int64, float64) float64 { return 0 }

func (ranked) analytic() bool { return false }

// fixedNull is one list of green tokens for all windows: the distinct tokens of a
// run are drawn from it without replacement, so that their green ones follow the
// hypergeometric law. Units have weight 1.
type fixedNull struct {
	unitNull
	vocab, green int64
}

// MethodHypergeometric is the exact tail of draws from one list.
const MethodHypergeometric = "exact-hypergeometric"

func (f fixedNull) tail(score float64, c evidence.Counts) evidence.Tail {
	mean, sd := f.moments(c)
	p := log10Hypergeometric(int64(math.Ceil(score)), c.N(), f.green, f.vocab)
	return evidence.Tail{Log10P: p, Method: MethodHypergeometric, Log10Estimate: p, Mean: mean, SD: sd}
}

func (f fixedNull) moments(c evidence.Counts) (mean, sd float64) {
	mean, sd = f.unitNull.moments(c)
	return mean, sd * math.Sqrt(float64(f.vocab-c.N())/float64(f.vocab-1))
}

func (f fixedNull) randomised(score float64, c evidence.Counts, u float64) float64 {
	k := int64(score)
	above := math.Pow(10, log10Hypergeometric(k+1, c.N(), f.green, f.vocab))
	return above + u*(math.Pow(10, log10Hypergeometric(k, c.N(), f.green, f.vocab))-above)
}

// log10Hypergeometric is log10 P(X >= k) for X green tokens among n distinct ones
// of a vocabulary with that many green: the mass at k times a sum of positive,
// falling terms, or one minus that of the other side.
func log10Hypergeometric(k, n, green, vocab int64) float64 {
	switch {
	case k <= max(0, n+green-vocab):
		return 0
	case k > min(n, green):
		return math.Inf(-1)
	}
	if float64(k) <= float64(n)*float64(green)/float64(vocab) {
		// P(X < k): the red tokens are at least n-k+1.
		p := math.Pow(10, log10Hypergeometric(n-k+1, n, vocab-green, vocab))
		return math.Log1p(-p) * math.Log10E
	}
	choose := func(n, k int64) float64 {
		a, _ := math.Lgamma(float64(n + 1))
		b, _ := math.Lgamma(float64(k + 1))
		c, _ := math.Lgamma(float64(n - k + 1))
		return a - b - c
	}
	sum, term := 1., 1.
	for i := k; i < min(n, green); i++ {
		term *= float64(green-i) / float64(i+1) * float64(n-i) / float64(vocab-green-n+i+1)
		sum += term
		if term < sum*0x1p-60 {
			break
		}
	}
	return min(0, (choose(green, k)+choose(vocab-green, n-k)-choose(vocab, n)+math.Log(sum))*math.Log10E)
}

// dualNull is (1-alpha)·Gamma(n,1) + alpha·Gamma(n,1). Units have weight 1.
type dualNull struct{ alpha float64 }

func (d dualNull) tail(score float64, c evidence.Counts) evidence.Tail {
	p := evidence.Log10DualGammaSF(c.N(), d.alpha, score)
	mean, sd := d.moments(c)
	return evidence.Tail{Log10P: p, Method: MethodDual, Log10Estimate: p, Mean: mean, SD: sd}
}

func (d dualNull) log10E(n int64, score float64) float64 { return dualLog10E(n, d.alpha, score) }

func (d dualNull) moments(c evidence.Counts) (mean, sd float64) {
	n := float64(c.N())
	return n, math.Sqrt(n * (d.alpha*d.alpha + (1-d.alpha)*(1-d.alpha)))
}

func (d dualNull) randomised(score float64, c evidence.Counts, _ float64) float64 {
	return math.Pow(10, evidence.Log10DualGammaSF(c.N(), d.alpha, score))
}

func (dualNull) analytic() bool { return true }

// scored is a run's score with the counts that it was summed over, which under
// a scheme with seeds depend on the key.
type scored struct {
	score  float64
	counts evidence.Counts
}

// judge is evidence.JudgeDecoys for laws and counts that it does not take: each
// score is compared in standard deviations of its own null law. The gate is the
// same; without an analytic law it never passes, since there is no p for it to
// vouch for.
func judge(l null, observed scored, decoys []scored, seed uint64) evidence.Decoys {
	j := evidence.Decoys{N: len(decoys), KSP: 1}
	standard := func(s scored) float64 {
		mean, sd := l.moments(s.counts)
		if sd == 0 {
			return 0
		}
		return (s.score - mean) / sd
	}
	random := rand.New(rand.NewPCG(seed, 0))
	z, u := make([]float64, len(decoys)), make([]float64, len(decoys))
	reached, mean := 0, 0.
	at := standard(observed)
	for i, s := range decoys {
		z[i] = standard(s)
		mean += z[i] / float64(len(decoys))
		if z[i] >= at {
			reached++
		}
		if l.analytic() && s.counts.N() > 0 {
			u[i] = clampP(l.randomised(s.score, s.counts, (float64(random.Uint64()>>12)+.5)*0x1p-52))
		}
	}
	j.RankP = float64(1+reached) / float64(len(decoys)+1)
	if len(decoys) < minDecoys || observed.counts.N() == 0 {
		return j
	}
	df := float64(len(decoys) - 1)
	j.SDTolerance = 4 / math.Sqrt(2*df)
	var ss float64
	for _, x := range z {
		ss += (x - mean) * (x - mean)
	}
	j.SDRatio = math.Sqrt(ss / df)
	j.SDRatioLo, j.SDRatioHi = j.SDRatio/chiOverRoot(df, 1.959963984540054), j.SDRatio/chiOverRoot(df, -1.959963984540054)
	if l.analytic() {
		_, j.KSP = evidence.KolmogorovSmirnov(u)
		j.Pass = math.Abs(j.SDRatio-1) <= j.SDTolerance && j.KSP >= 1e-3
	}
	return j
}

// minDecoys is the least number with which the gate can fail both ways; see
// evidence.JudgeDecoys.
const minDecoys = 10

func clampP(p float64) float64 { return min(max(p, math.SmallestNonzeroFloat64), 1-0x1p-53) }

// chiOverRoot is √(χ²_q/df) at the normal point z, by Wilson and Hilferty (1931).
func chiOverRoot(df, z float64) float64 {
	a := 2 / (9 * df)
	return math.Pow(max(1-a+z*math.Sqrt(a), 0), 1.5)
}
