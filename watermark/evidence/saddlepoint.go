package evidence

import "math"

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
