package evidence

import "math"

// maxLatticeWork bounds the multiply-adds of an exact lattice sum: about a
// quarter of a second. A tournament of 30 bits reaches it near 50,000 weighted
// units, a green list far later.
const maxLatticeWork = 3e8

// negligible cuts the ends of a probability mass function, relative to its
// largest entry: what is cut sums to less than 1e-17 of what is kept.
const negligible = 0x1p-66

// latticeCost is the number of multiply-adds of the convolutions, from the
// counts alone (not from the score), so that the method does not depend on the
// outcome. Widths are 20 standard deviations, the bit variance at its largest.
func (s sum) latticeCost() float64 {
	width := func(n float64) float64 { return min(n, 20*math.Sqrt(n/4)+40) + 1 }
	cost, acc, v := 0., 0., 0.
	for i, c := range s.parts {
		l := width(c.n)
		if i > 0 {
			cost += acc * l
		}
		v += c.w * c.w * c.n / 4
		acc = min(acc+c.w*(l-1)+1, 20*math.Sqrt(v)+40*c.w)
	}
	return cost
}

// A pmf is a probability mass function on lo, lo+1, …
type pmf struct {
	lo float64
	q  []float64
}

// binomialWindow is the pmf of Bin(n,p), odds = p/(1-p), normalised over the
// window where it is not negligible: outwards from the mode by the ratios of
// neighbours, all positive.
func binomialWindow(n, p, odds float64) pmf {
	mode := min(n, math.Floor((n+1)*p))
	var down []float64
	for k, q := mode, 1.; k >= 1; k-- {
		q *= k / (n - k + 1) / odds
		if q < negligible {
			break
		}
		down = append(down, q)
	}
	out := pmf{lo: mode - float64(len(down)), q: make([]float64, len(down), 2*len(down)+2)}
	for i, q := range down {
		out.q[len(down)-1-i] = q
	}
	out.q = append(out.q, 1)
	for k, q := mode, 1.; k < n; k++ {
		q *= (n - k) / (k + 1) * odds
		if q < negligible {
			break
		}
		out.q = append(out.q, q)
	}
	total := 0.
	for _, q := range out.q {
		total += q
	}
	for i := range out.q {
		out.q[i] /= total
	}
	return out
}

// tiltedPMF is the pmf of T under the exponential tilt t, by convolving the
// parts' binomials on their lattices, cut to where it is not negligible.
func (s sum) tiltedPMF(t float64) pmf {
	acc := pmf{q: []float64{1}}
	for _, c := range s.parts {
		p, r := s.tilted(c.w * t)
		b := binomialWindow(c.n, p, p/r)
		w := int(c.w)
		next := make([]float64, len(acc.q)+w*(len(b.q)-1))
		for i, q := range b.q {
			dst := next[i*w:][:len(acc.q)]
			for j, a := range acc.q {
				dst[j] += q * a
			}
		}
		acc = trim(pmf{lo: acc.lo + c.w*b.lo, q: next})
	}
	return acc
}

func trim(d pmf) pmf {
	top := 0.
	for _, q := range d.q {
		top = max(top, q)
	}
	i, j := 0, len(d.q)
	for d.q[i] < top*negligible {
		i++
	}
	for d.q[j-1] < top*negligible {
		j--
	}
	return pmf{lo: d.lo + float64(i), q: d.q[i:j]}
}

// exactLattice is ln P(T >= x) for a lattice sum, by
//
//	P(T >= x) = e^{K(t)-tx} · E_t[ e^{-t(T-x)}; T >= x ]
//
// with t the saddlepoint of x: under the tilted law T has mean x, so the pmf that
// is convolved is of order one however deep the tail (at 1e-300 as at 1e-3), and
// the identity is exact for every t (Esscher 1932). x is an integer.
func (s sum) exactLattice(x float64) float64 {
	top := s.span()
	if x >= top {
		return s.atTop(x, top)
	}
	t := 0.
	if x > s.mean() {
		t = s.saddlepoint(x)
	}
	d := s.tiltedPMF(t)
	total := 0.
	fall := math.Exp(-t)
	factor := 1.
	if d.lo > x {
		factor = math.Exp(-t * (d.lo - x))
	}
	for i := int(max(0, x-d.lo)); i < len(d.q); i++ {
		total += d.q[i] * factor
		factor *= fall
	}
	if t == 0 {
		// At or below the mean: one minus the mass below, for p near 1.
		below := 0.
		for i := 0; i < len(d.q) && d.lo+float64(i) < x; i++ {
			below += d.q[i]
		}
		if below < 0.5 {
			return math.Log1p(-below)
		}
		return min(0, math.Log(total))
	}
	return min(0, s.exponent(t, x)+math.Log(total))
}

// maxMixtureSteps bounds the exact sum over a mixture of gammas: about a fifth
// of a second.
const maxMixtureSteps = 2e7

// exactMixture is ln P(T >= x) for T = Σ w_i·Gamma(n_i,1), any positive scales w_i.
//
// A gamma of larger scale is a gamma of the smallest scale whose shape is raised
// by a negative binomial: Gamma(n, scale b) = Gamma(n+J, scale b0) with
// P(J=j) = C(n+j-1,j) (b0/b)^n (1-b0/b)^j. Hence, with N = Σ n_i and J the sum of
// the parts' J_i,
//
//	P(T >= x) = Σ_j P(J=j)·P(Poisson(x/b0) < N+j),
//
// all terms positive (Moschopoulos 1985, Ann. Inst. Stat. Math. 37, 541-544).
// P(J=j) follows from its generating function's logarithmic derivative,
//
//	j·P(j) = Σ_i n_i a_i S_i(j),  S_i(j) = P(j-1) + a_i S_i(j-1),  a_i = 1-b0/b_i
//
// (Panjer 1981, ASTIN Bull. 12, 22-26), again without subtraction. Everything is
// done under the tilt t of the saddlepoint, where b_i = w_i/(1-w_i t) and the
// Poisson sum becomes h(m) = Σ_{i<m} pois(i; x/b0) (1-w0 t)^{m-i}, so that nothing
// underflows. ok is false when the sum would take too long.
func exactMixture(parts []part, x float64) (lnP float64, ok bool) {
	s := sum{parts: parts, exp: true}
	t := 0.
	if x > s.mean() {
		t = s.saddlepoint(x)
	}
	w0 := math.Inf(1)
	shape := 0.
	for _, c := range parts {
		w0 = min(w0, c.w)
		shape += c.n
	}
	rho := 1 - w0*t
	mean := x * rho / w0 // x/b0

	type mix struct{ a, na, s float64 }
	var mixes []mix
	top, expected := 0., 0. // the largest a, the mean of J
	for _, c := range parts {
		if c.w > w0 {
			a := (c.w - w0) / (c.w * rho)
			mixes = append(mixes, mix{a: a, na: c.n * a})
			top = max(top, a)
			expected += c.n * a / (1 - a)
		}
	}
	if !(expected < maxMixtureSteps) {
		return 0, false
	}

	// h(m), from far enough below its Poisson's mean.
	m := max(0, math.Floor(mean-12*math.Sqrt(mean)-40))
	f, h := math.Exp(lnPoisson(m, mean)), 0.
	steps := 0
	for ; m < shape; m++ {
		h = (h + f) * rho
		f *= mean / (m + 1)
		if steps++; steps > maxMixtureSteps {
			return 0, false
		}
	}

	const big = 0x1p600
	mass, total, acc := 1., 1., 0.
	if m == shape {
		acc = h
	}
	previous := 0.
	for j := 1.; ; j++ {
		next := 0.
		for i := range mixes {
			c := &mixes[i]
			c.s = mass + c.a*c.s
			next += c.na * c.s
		}
		previous, mass = mass, next/j
		total += mass
		if shape+j > m {
			h = (h + f) * rho
			f *= mean / (m + 1)
			m++
			acc += mass * h
		}
		if mass > big {
			mass, total, acc = mass/big, total/big, acc/big
			previous /= big
			for i := range mixes {
				mixes[i].s /= big
			}
		}
		if mass < previous && mass < total*(1-top)*negligible {
			break
		}
		if steps++; steps > maxMixtureSteps {
			return 0, false
		}
	}
	return min(0, s.exponent(t, x)+math.Log(acc/total)), true
}

// Log10DualGammaSF is log10 P((1-alpha)·A + alpha·B >= x) for independent A and B,
// both Gamma(n,1): the score of two keys, by the exact convolution (see
// exactMixture), relative error of p at most 1e-10. A moment-matched gamma would
// overstate the evidence. alpha 0 or 1 leaves one gamma, alpha ½ is
// Gamma(2n)/2. For alpha so near 0 or 1 that the sum would exceed 2e7 terms,
// Chernoff's bound is given, which never understates p. It panics for n < 0 and
// alpha outside [0,1].
func Log10DualGammaSF(n int64, alpha, x float64) float64 {
	switch {
	case n < 0 || !(alpha >= 0 && alpha <= 1) || math.IsNaN(x):
		panic("evidence: dual gamma tail needs n >= 0, alpha in [0,1] and a number x")
	case alpha == 0 || alpha == 1 || n == 0:
		return Log10GammaSF(n, x)
	case alpha == 0.5:
		return Log10GammaSF(2*n, 2*x)
	case x <= 0:
		return 0
	}
	parts := []part{{w: 1 - alpha, n: float64(n)}, {w: alpha, n: float64(n)}}
	if lnP, ok := exactMixture(parts, x); ok {
		return log10(lnP)
	}
	return log10(sum{parts: parts, exp: true, unit: 1}.chernoff(x))
}
