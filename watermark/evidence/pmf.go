package evidence

import "math"

// halfLn2Pi is ½ ln 2π.
const halfLn2Pi = 0.918938533204672741780329736405617639861397473637783

// stirlingSmall[n] = ln n! - ½ ln(2πn) - n ln n + n for n = 1..15, to 50 digits
// before rounding; entry 0 is unused, because ½ ln(2π0) has no value.
var stirlingSmall = [16]float64{
	0,
	0.08106146679532725821967,
	0.04134069595540929409382,
	0.02767792568499833914879,
	0.02079067210376509311152,
	0.01664469118982119216319,
	0.01387612882307074799875,
	0.01189670994589177009506,
	0.01041126526197209649748,
	0.009255462182712732917729,
	0.008330563433362871256469,
	0.007573675487951840794972,
	0.006942840107209529865664,
	0.00640899418800420706844,
	0.005951370112758847735624,
	0.005554733551962801371039,
}

// stirlingError is δ(n) = ln n! - [½ ln(2πn) + n ln n - n] for an integer n >= 1:
// a table to 15, then 1/12n - 1/360n³ + 1/1260n⁵ - … (Loader 2000, "Fast and
// accurate computation of binomial probabilities", section 2). The first term
// left out is below 1e-17 for n > 15.
func stirlingError(n float64) float64 {
	if n < float64(len(stirlingSmall)) {
		return stirlingSmall[int(n)]
	}
	r := 1 / n
	q := r * r
	return r * (1./12 - q*(1./360-q*(1./1260-q*(1./1680-q*(1./1188-q*(691./360360))))))
}

// deviance is Loader's bd0: D(x, m) = x ln(x/m) + m - x >= 0 for x >= 0, m > 0,
// where the mean is m+lo; lo is what rounding m left over. While x and m are
// within a factor of 5/2 the difference is summed as a series in
// v = (x-m)/(x+m), which does not cancel:
//
//	D = (x-m)·v + 2xv·Σ_{j>=1} v^{2j}/(2j+1)
//
// (Loader 2000, section 3; he switches at |v| = 0.1, but at |v| = 0.1 the
// closed form still loses one digit, and log10 p = -1200 has none to spare).
func deviance(x, m, lo float64) float64 {
	if x == 0 {
		return m + lo
	}
	d := x - m
	correction := -lo * (d / m)
	if v := d / (x + m); math.Abs(v) < 3./7 {
		sum, term, q := d*v, 2*x*v, v*v
		for j := 3.; ; j += 2 {
			term *= q
			next := sum + term/j
			if next == sum {
				return sum + correction
			}
			sum = next
		}
	}
	return x*math.Log(x/m) - d + correction
}

// lnPoisson is ln(m^k e^-m / k!) for an integer k >= 0 and m > 0, in Loader's
// form -δ(k) - D(k,m) - ½ ln 2πk.
func lnPoisson(k, m float64) float64 {
	if k == 0 {
		return -m
	}
	return -deviance(k, m, 0) - (stirlingError(k) + halfLn2Pi + 0.5*math.Log(k))
}

// lnBinomial is ln C(n,k) p^k (1-p)^(n-k) for 0 <= k <= n, 0 < p < 1, in
// Loader's form
//
//	δ(n) - δ(k) - δ(n-k) - D(k,np) - D(n-k,n(1-p)) + ½ ln(n / 2πk(n-k)).
func lnBinomial(k, n int64, p float64) float64 {
	x, y, t := float64(k), float64(n-k), float64(n)
	switch {
	case k == 0:
		return t * math.Log1p(-p)
	case k == n:
		return t * math.Log(p)
	}
	s := stirlingError(t) - stirlingError(x) - stirlingError(y)
	return -binomialDeviance(x, y, p) + (s - halfLn2Pi + 0.5*math.Log(t/x/y))
}

// binomialDeviance is D(x, np) + D(y, n(1-p)), n = x+y: n times the divergence of
// the observed rate from p. The two means are carried with their rounding
// errors: at n = 1e7 a rounded mean alone costs 1e-11 of the probability at
// log10 p = -1200.
func binomialDeviance(x, y, p float64) float64 {
	n := x + y
	np := n * p
	npLo := math.FMA(n, p, -np)
	nq := n - np
	nqLo := (n - nq - np) - npLo // n >= np, so the first difference is exact (Dekker 1971)
	return deviance(x, np, npLo) + deviance(y, nq, nqLo)
}
