package evidence

import (
	"fmt"
	"math"
)

// gridPoints is the number of alternatives in the grid of green rates. The last
// one, q-g = .6(1-g)/512, is a lift below .001 at g = ¼, the smallest that any
// affordable number of tokens can show.
const gridPoints = 10

// Log10E is log10 of an e-value for n first occurrences, unweighted, with total
// score S: a number with null expectation at most 1 whenever one stops (Ville
// 1939: P(sup_n e_n >= 1/α) <= α; Robbins 1970 for mixtures). It depends on n and
// S alone. Stable to 1e9 trials.
//
// Bits (green list hits; a FairBits unit counts as Bits trials at g = ½): the
// average of
//
//	grid: mean_j (q_j/g)^S ((1-q_j)/(1-g))^{n-S}, q_j = g + .6(1-g)·2^-j, j = 0..9
//	beta: B(S+½,n-S+½)/B(½,½) · P(Beta(S+½,n-S+½)>g)/P(Beta(½,½)>g) / (g^S (1-g)^{n-S})
//
// The grid is best for tiny effects, the one-sided Beta(½,½) mixture for large.
//
// Exponentials: the mixture of the rates λ in (0,1], uniform,
//
//	∫₀¹ λ^n e^{(1-λ)S} dλ:  ln e = S + lnΓ(n+1) + ln P(n+1,S) - (n+1) ln S,
//
// P the lower regularised incomplete gamma function.
//
// Weighted scores have no such form, since a weight is not known at the first
// occurrence. It panics on a score that n unweighted units cannot have.
func (l Law) Log10E(n int64, score float64) float64 {
	if n < 0 || math.IsNaN(score) || score < 0 {
		panic(fmt.Sprintf("evidence: e-value of n = %d, score %v", n, score))
	}
	if l.Kind == KindExponential {
		return log10(lnGumbelMixture(float64(n), score))
	}
	bits, g := l.lattice()
	trials := float64(n * bits)
	if score > trials {
		panic(fmt.Sprintf("evidence: score %v exceeds %v unweighted trials", score, trials))
	}
	if n == 0 {
		return 0
	}
	a, b := lnGridMixture(trials, score, g), lnBetaMixture(trials, score, g)
	return log10(max(a, b) + math.Log1p(math.Exp(-math.Abs(a-b))) - math.Ln2)
}

// lnGridMixture is ln of the grid's e-value.
func lnGridMixture(n, s, g float64) float64 {
	var ln [gridPoints]float64
	top := math.Inf(-1)
	lift := 0.6 * (1 - g)
	for j := range ln {
		ln[j] = s*math.Log1p(lift/g) + (n-s)*math.Log1p(-lift/(1-g))
		top = max(top, ln[j])
		lift /= 2
	}
	mean := 0.
	for _, v := range ln {
		mean += math.Exp(v-top) / gridPoints
	}
	return top + math.Log(mean)
}

// lnBetaMixture is ln of the one-sided Beta(½,½) mixture, n >= 1. The powers of g
// are never formed. At or below the null mean the incomplete beta function is its
// positive series (DLMF 8.17.8), in which B(S+½,n-S+½) cancels,
//
//	e = √(g(1-g)) / (π (n-S+½) P₀) · Σ_i Π_{m<i} (n+1+m)/(n-S+3/2+m)·(1-g),
//
// with P₀ = P(Beta(½,½) > g) = (2/π)·arccos √g. Above it
//
//	ln B(S+½,n-S+½) - S ln g - (n-S) ln(1-g)
//	  = D(S,ng) + D(n-S,n(1-g)) + ½ ln(2π/n) + δ½(S) + δ½(n-S) - δ(n),
//
// and the complement of the mirrored series gives the one-sidedness.
func lnBetaMixture(n, s, g float64) float64 {
	lnP0 := math.Log(2 / math.Pi * math.Acos(math.Sqrt(g)))
	lnPi := math.Log(math.Pi)
	if s <= n*g {
		return 0.5*math.Log(g*(1-g)) - lnPi - math.Log(n-s+0.5) - lnP0 +
			math.Log(betaSeries(n+1, n-s+1.5, 1-g))
	}
	lnB := binomialDeviance(s, n-s, g) + halfLn2Pi - 0.5*math.Log(n) +
		stirlingErrorHalf(s) + stirlingErrorHalf(n-s) - stirlingError(n)
	below := 0.5*math.Log(g*(1-g)) - math.Log(s+0.5) - lnB + math.Log(betaSeries(n+1, s+1.5, g))
	return lnB - lnPi - lnP0 + ln1mExp(min(below, 0))
}

// betaSeries is 1 + Σ_i Π_{m<i} (a+m)/(b+m)·x, 0 < x < 1, whose ratios tend to x.
func betaSeries(a, b, x float64) float64 {
	sum, term := 1., 1.
	for m := 0.; ; m++ {
		r := (a + m) / (b + m) * x
		term *= r
		sum += term
		if r < 1 && term < sum*(1-max(r, x))*0x1p-60 {
			return sum
		}
	}
}

// stirlingErrorHalf is δ½(x) = lnΓ(x+½) - [x ln x - x + ½ ln 2π] for x >= 0: the
// series -1/24x + 7/2880x³ - 31/40320x⁵ + … from x = 15 on (first term left out
// below 1e-16), else by lnΓ itself.
func stirlingErrorHalf(x float64) float64 {
	if x < 15 {
		lg, _ := math.Lgamma(x + 0.5)
		if x > 0 {
			lg -= x*math.Log(x) - x
		}
		return lg - halfLn2Pi
	}
	r := 1 / x
	q := r * r
	return -r * (1./24 - q*(7./2880-q*(31./40320-q*(127./215040-q*(511./608256)))))
}

// lnGumbelMixture is ln ∫₀¹ λ^n e^{(1-λ)S} dλ. For S <= n+1 it is
// -ln(n+1) + ln(1 + S/(n+2) + S²/((n+2)(n+3)) + …); above, with Loader's Poisson
// pmf, -ln pois(n;S) - ln S + ln(1 - Q(n+1,S)).
func lnGumbelMixture(n, s float64) float64 {
	if s <= n+1 {
		return -math.Log(n+1) + math.Log(risingSeries(n+1, s))
	}
	return -lnPoisson(n, s) - math.Log(s) + ln1mExp(lnGammaSF(int64(n)+1, s))
}
