package evidence

import (
	"math"
	"slices"
)

// KolmogorovSmirnov tests whether u is a sample of the uniform law on (0,1): d is
// sup |F_n(t)-t| and p = P(D_n >= d) under the null. An empty sample gives d = 0,
// p = 1.
//
// p is computed by
//   - twice the exact one-sided tail when n·d² >= 4, where both sides at once have
//     probability below 1e-13 (Smirnov 1944, Birnbaum & Tingey 1951); for
//     n > 100,000 its expansion exp(-(6nd+1)²/18n), relative error below 2e-2 to
//     p = 1e-55 (Maag & Dicaire 1971);
//   - else the exact matrix form to n = 1000 (Marsaglia, Tsang & Wang 2003, J. Stat.
//     Softw. 8(18)), absolute error below 1e-11;
//   - else the expansion of Pelz & Good (1976, J. R. Stat. Soc. B 38), absolute
//     error below 1e-7.
func KolmogorovSmirnov(u []float64) (d, p float64) {
	s := slices.Sorted(slices.Values(u))
	n := float64(len(s))
	if n == 0 {
		return 0, 1
	}
	for i, v := range s {
		d = max(d, float64(i+1)/n-v, v-float64(i)/n)
	}
	return d, ksSurvival(len(s), d)
}

const (
	ksTailFrom    = 4.      // n·d² from which the two one-sided tails do not meet
	ksExactUpTo   = 1000    // largest n for the matrix form: 10-20 ms there
	ksSmirnovUpTo = 100_000 // largest n for the exact one-sided sum: 10 ms there
)

// ksSurvival is P(D_n >= d).
func ksSurvival(n int, d float64) float64 {
	nf := float64(n)
	switch {
	case d >= 1:
		return 0
	case d <= 0.5/nf:
		return 1 // D_n >= 1/2n always
	case nf*d*d >= ksTailFrom:
		if n > ksSmirnovUpTo {
			a := 6*nf*d + 1
			return 2 * math.Exp(-a*a/(18*nf))
		}
		return min(1, 2*ksOneSided(n, d))
	case n <= ksExactUpTo:
		return min(max(1-ksMatrix(n, d), 0), 1)
	}
	return min(max(1-ksPelzGood(nf, math.Sqrt(nf)*d), 0), 1)
}

// ksOneSided is P(D_n⁺ >= d) = d·Σ_j C(n,j)(d+j/n)^{j-1}(1-d-j/n)^{n-j}, j from 0
// to ⌊n(1-d)⌋, all terms positive.
func ksOneSided(n int, d float64) float64 {
	total := 0.
	for j := 0; j <= n; j++ {
		q := d + float64(j)/float64(n)
		if q >= 1 {
			break
		}
		total += d / q * math.Exp(lnBinomial(int64(j), int64(n), q))
	}
	return total
}

// ksMatrix is P(D_n < d) = n!/n^n · (H^n)[k,k], H of order m = 2k-1, k = ⌊nd⌋+1.
// Only one row of the power is needed, so a row vector is multiplied n times, and
// divided by e each time to stay of order one: n!e^n/n^n = √(2πn)·e^δ(n).
func ksMatrix(n int, d float64) float64 {
	nf := float64(n)
	k := int(nf*d) + 1
	m := 2*k - 1
	h := float64(k) - nf*d
	// inverse[i] = 1/i!; H[i][j] = 1/(i-j+1)! on and below the superdiagonal, with
	// corrected first column and last row.
	inverse := make([]float64, m+1)
	inverse[0] = 1
	for i := 1; i <= m; i++ {
		inverse[i] = inverse[i-1] / float64(i)
	}
	column := make([]float64, m) // H[i][0]
	for i := range column {
		column[i] = (1 - math.Pow(h, float64(i+1))) * inverse[i+1]
	}
	row := make([]float64, m) // H[m-1][j]
	for j := range row {
		row[j] = column[m-1-j]
	}
	row[0] = 1 - 2*math.Pow(h, float64(m))
	if 2*h > 1 {
		row[0] += math.Pow(2*h-1, float64(m))
	}
	row[0] *= inverse[m]

	v, next := make([]float64, m), make([]float64, m)
	v[k-1] = 1
	for range n {
		for j := range next {
			t := v[m-1] * row[j]
			if j == 0 {
				for i := range m - 1 {
					t += v[i] * column[i]
				}
			} else {
				for i := j - 1; i < m-1; i++ {
					t += v[i] * inverse[i-j+1]
				}
			}
			next[j] = t / math.E
		}
		v, next = next, v
	}
	return v[k-1] * math.Exp(halfLn2Pi+0.5*math.Log(nf)+stirlingError(nf))
}

// ksPelzGood is P(√n·D_n < z) to order n^{-3/2}.
func ksPelzGood(n, z float64) float64 {
	const terms = 20 // e^{-π²k²/2z²} at k = 20, z = 2 is below 1e-200
	z2 := z * z
	z4, z6, z8 := z2*z2, z2*z2*z2, z2*z2*z2*z2
	pi2 := math.Pi * math.Pi
	var k0, k1, k2, k3 float64
	for k := range terms {
		a := float64(k) + 0.5
		a2 := pi2 * a * a
		e := math.Exp(-a2 / (2 * z2))
		k0 += e
		k1 += (a2 - z2) * e
		k2 += (6*z6 + 2*z4 + (2*z4-5*z2)*a2 + (1-2*z2)*a2*a2) * e
		k3 += (-30*z6 - 90*z8 + (135*z4-96*z6)*a2 + (212*z4-60*z2)*a2*a2 + (5-30*z2)*a2*a2*a2) * e
	}
	var l2, l3 float64
	for k := 1; k <= terms; k++ {
		a2 := pi2 * float64(k) * float64(k)
		e := math.Exp(-a2 / (2 * z2))
		l2 += a2 * e
		l3 += (3*z2*a2 - a2*a2) * e
	}
	// Each sum over all integers is twice the sum over its positive half.
	root := math.Sqrt(math.Pi / 2)
	sq := math.Sqrt(n)
	k0 *= math.Sqrt(2*math.Pi) / z
	k1 *= 2 * root / (6 * z4)
	k2 = 2 * root * (k2/(72*z6*z) - l2/(36*z2*z))
	k3 = 2 * root * (k3/(6480*z8*z2) + l3/(216*z6))
	return k0 + k1/sq + k2/n + k3/(n*sq)
}
