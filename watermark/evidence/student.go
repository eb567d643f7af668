package evidence

import (
	"fmt"
	"math"
)

// Log10StudentSF is log10 P(T >= t) for Student's t with nu > 0 degrees of freedom.
// With x = nu/(nu+t²) it is half the regularised incomplete beta function
// I_x(nu/2, 1/2), summed as the positive series
//
//	I_x(a,b) = x^a (1-x)^b / (a B(a,b)) · Σ_n Π_{m=1..n} (a+b+m-1)/(a+m) x^n
//
// (DLMF 8.17.8); for small t its mirror I_{1-x}(1/2, nu/2) is subtracted from 1/2,
// which loses one bit at most. Relative error of p at most 1e-10 for nu <= 1e4. It
// panics for a nu that is not positive and for a t that is no number.
func Log10StudentSF(t, nu float64) float64 {
	if !(nu > 0) || math.IsInf(nu, 1) || math.IsNaN(t) {
		panic(fmt.Sprintf("evidence: Student's tail of t = %v, nu = %v", t, nu))
	}
	return log10(lnStudentSF(t, nu))
}

func lnStudentSF(t, nu float64) float64 {
	if t < 0 {
		return ln1mExp(lnStudentSF(-t, nu))
	}
	a, q := nu/2, t*t/nu
	// ln x and ln(1-x), neither of them by subtraction. Beyond overflow x is nu/t².
	lnX, lnY := -math.Log1p(q), -math.Log1p(1/q)
	if math.IsInf(q, 1) {
		lnX, lnY = math.Log(nu)-2*math.Log(t), 0
	}
	// The series in x falls by x(a+b)/(a+1) at worst; where that is slow, the mirror's
	// ratio (1-x) is small.
	x := math.Exp(lnX)
	if x < (a+1)/(a+2.5) {
		return lnHalfBeta(a, 0.5, x, lnX, lnY)
	}
	return math.Log(0.5 - math.Exp(lnHalfBeta(0.5, a, math.Exp(lnY), lnY, lnX)))
}

// lnHalfBeta is ln(I_x(a,b)/2) by the positive series.
func lnHalfBeta(a, b, x, lnX, lnY float64) float64 {
	if x == 0 && math.IsInf(lnX, -1) {
		return math.Inf(-1)
	}
	la, _ := math.Lgamma(a)
	lb, _ := math.Lgamma(b)
	lab, _ := math.Lgamma(a + b)
	sum, term := 1., 1.
	for m := 1.; term > sum*0x1p-60; m++ {
		term *= (a + b + m - 1) / (a + m) * x
		sum += term
	}
	return a*lnX + b*lnY - math.Log(a) - la - lb + lab + math.Log(sum) - math.Ln2
}

// studentPoint is the upper point of Student's t: the t with P(T >= t) = tail, for a
// tail in (0, 1/2), by bisection of the logarithm.
func studentPoint(tail, nu float64) float64 {
	lnTail := math.Log(tail)
	lo, hi := 0., 1.
	for lnStudentSF(hi, nu) > lnTail {
		hi *= 2
	}
	for range 200 {
		mid := lo + (hi-lo)/2
		if mid == lo || mid == hi {
			break
		}
		if lnStudentSF(mid, nu) > lnTail {
			lo = mid
		} else {
			hi = mid
		}
	}
	return hi
}
