package evidence

import (
	"fmt"
	"math"
)

// Log10BinomialSF is log10 P(Bin(n,p) >= k). For k > np it sums the tail
// outwards, all terms positive,
//
//	SF(k) = pmf(k)·(1 + Σ_j Π_{i=1..j} (n-k-i+1)/(k+i)·p/(1-p)),
//
// with Loader's pmf; else 1 minus the mirrored sum. Relative error of p at most
// 1e-11 to log10 p = -1200. It is 0 for k <= 0 and -Inf for k > n. p is
// clamped by its meaning: p <= 0 never hits, p >= 1 always does. It panics for
// n < 0 and for a p that is no number.
func Log10BinomialSF(k, n int64, p float64) float64 {
	return log10(lnBinomialSF(k, n, p))
}

func lnBinomialSF(k, n int64, p float64) float64 {
	switch {
	case n < 0 || math.IsNaN(p):
		panic(fmt.Sprintf("evidence: binomial tail of n = %d, p = %v", n, p))
	case k <= 0:
		return 0
	case k > n:
		return math.Inf(-1)
	case p <= 0:
		return math.Inf(-1)
	case p >= 1:
		return 0
	}
	if float64(k) > float64(n)*p {
		return min(0, lnBinomial(k, n, p)+math.Log(outwards(float64(n-k), float64(k), p/(1-p))))
	}
	// Everything below k, summed from k-1 downwards.
	below := lnBinomial(k-1, n, p) + math.Log(outwards(float64(k-1), float64(n-k+1), (1-p)/p))
	return ln1mExp(below)
}

// outwards is 1 + Σ_j Π_{i=1..j} (a-i+1)/(b+i)·odds, a sum of positive falling
// terms. It stops when what is left, a geometric series at most, is below 2^-60
// of the sum.
func outwards(a, b, odds float64) float64 {
	sum, term := 1., 1.
	for i := 1.; i <= a; i++ {
		r := (a - i + 1) / (b + i) * odds
		term *= r
		sum += term
		if term < sum*(1-r)*0x1p-60 {
			break
		}
	}
	return sum
}

// Log10GammaSF is log10 P(Gamma(n,1) >= x), the tail of the sum of n
// exponentials of mean 1. For x > n-1 it is
//
//	pois(n-1; x)·(1 + (n-1)/x + (n-1)(n-2)/x² + …),
//
// all terms positive, with Loader's Poisson pmf; else 1 minus
// pois(n; x)·(1 + x/(n+1) + x²/((n+1)(n+2)) + …). Relative error of p at most
// 1e-11 to log10 p = -1200. n = 0 is the sum of nothing: p = 1 for x <= 0, else
// impossible. It panics for n < 0 and for x that is no number.
func Log10GammaSF(n int64, x float64) float64 { return log10(lnGammaSF(n, x)) }

func lnGammaSF(n int64, x float64) float64 {
	switch {
	case n < 0 || math.IsNaN(x):
		panic(fmt.Sprintf("evidence: gamma tail of n = %d, x = %v", n, x))
	case x <= 0:
		return 0
	case n == 0 || math.IsInf(x, 1):
		return math.Inf(-1)
	}
	if x > float64(n-1) {
		sum, term := 1., 1.
		for i := float64(n - 1); i > 0; i-- {
			r := i / x
			term *= r
			sum += term
			if term < sum*(1-r)*0x1p-60 {
				break
			}
		}
		return min(0, lnPoisson(float64(n-1), x)+math.Log(sum))
	}
	return ln1mExp(lnPoisson(float64(n), x) + math.Log(risingSeries(float64(n), x)))
}

// risingSeries is 1 + x/(n+1) + x²/((n+1)(n+2)) + … for 0 <= x < n+1.
func risingSeries(n, x float64) float64 {
	sum, term := 1., 1.
	for i := n + 1; ; i++ {
		r := x / i
		term *= r
		sum += term
		if term < sum*(1-r)*0x1p-60 {
			return sum
		}
	}
}

// Log10NormalSF is log10 P(N(0,1) >= z): the complementary error function to
// z = 5, beyond it density times Mills' ratio by Laplace's continued fraction
// 1/(z+1/(z+2/(z+3/(z+…)))). Relative error of p at most 1e-11 to log10 p = -1200.
// No z-score is ever turned into a reported p here; the function serves as the
// leading term of saddlepoint estimates and in planning.
func Log10NormalSF(z float64) float64 { return log10(lnNormalSF(z)) }

func lnNormalSF(z float64) float64 {
	switch {
	case z < 0:
		return math.Log1p(-0.5 * math.Erfc(-z/math.Sqrt2))
	case z < millsFrom:
		return math.Log(0.5 * math.Erfc(z/math.Sqrt2))
	}
	sq := z * z
	lo := math.FMA(z, z, -sq)
	return -0.5*sq + (math.Log(mills(z)) - halfLn2Pi - 0.5*lo)
}

// millsFrom is where the continued fraction takes over from math.Erfc: there 60
// levels of it are exact to rounding, and Erfc is still far from underflow.
const millsFrom = 5

// mills is P(N >= z)/φ(z).
func mills(z float64) float64 {
	if z < millsFrom {
		return 0.5 * math.Erfc(z/math.Sqrt2) * math.Exp(0.5*z*z+halfLn2Pi)
	}
	f := z
	for i := 60.; i >= 1; i-- {
		f = z + i/f
	}
	return 1 / f
}

// normalQuantile is the z with ln P(N >= z) = lnP, for lnP < 0. The tail is
// log-concave, so Newton's steps from any start end in a monotone approach.
func normalQuantile(lnP float64) float64 {
	z := 0.
	for range 100 {
		f := lnNormalSF(z) - lnP
		step := f * math.Exp(lnNormalSF(z)+0.5*z*z+halfLn2Pi)
		z += step
		if math.Abs(step) <= 1e-14*(1+math.Abs(z)) {
			break
		}
	}
	return z
}

// ln1mExp is ln(1 - e^x) for x <= 0, without cancellation (Mächler 2012).
func ln1mExp(x float64) float64 {
	if x > -math.Ln2 {
		return math.Log(-math.Expm1(x))
	}
	return math.Log1p(-math.Exp(x))
}

// log10 converts a natural logarithm; adding zero turns -0, which JSON would
// print, into 0.
func log10(ln float64) float64 { return ln*math.Log10E + 0 }
