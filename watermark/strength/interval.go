package strength

import (
	"encoding/json"
	"math"
	"slices"

	"gonum.org/v1/gonum/mathext"
	"gonum.org/v1/gonum/stat/distuv"

	"github.com/stillmark/stillmark/watermark/evidence"
)

// level is the two-sided confidence of all intervals, unless said otherwise.
const level = .95

// Number is a float64 that JSON can hold when it is infinite, as a string: a
// quantile beyond the longest text is "+inf".
type Number float64

// MarshalJSON writes a number, or "+inf" or "-inf".
func (n Number) MarshalJSON() ([]byte, error) {
	switch {
	case math.IsInf(float64(n), 1):
		return []byte(`"+inf"`), nil
	case math.IsInf(float64(n), -1):
		return []byte(`"-inf"`), nil
	}
	return json.Marshal(float64(n))
}

// UnmarshalJSON reads what MarshalJSON writes.
func (n *Number) UnmarshalJSON(data []byte) error {
	switch string(data) {
	case `"+inf"`:
		*n = Number(math.Inf(1))
	case `"-inf"`:
		*n = Number(math.Inf(-1))
	default:
		return json.Unmarshal(data, (*float64)(n))
	}
	return nil
}

// ClopperPearson is the exact interval of a rate of which k of n were seen, at a
// two-sided confidence (C. Clopper, E. Pearson, Biometrika 26, 1934).
func ClopperPearson(k, n int64, confidence float64) (lo, hi float64) {
	tail := (1 - confidence) / 2
	lo, hi = 0, 1
	if k > 0 {
		lo = mathext.InvRegIncBeta(float64(k), float64(n-k+1), tail)
	}
	if k < n {
		hi = mathext.InvRegIncBeta(float64(k+1), float64(n-k), 1-tail)
	}
	return lo, hi
}

// quantile is the order statistic of rank ceil(q·n) and an interval for the true
// quantile made of two other order statistics, which holds whatever the
// distribution (W. Conover, Practical Nonparametric Statistics, 3.2). A side
// that n values cannot bound is infinite.
func quantile(values []float64, q float64) (value, lo, hi float64) {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	value = sorted[max(int(math.Ceil(q*float64(n)))-1, 0)]
	lo, hi = math.Inf(-1), math.Inf(1)
	const side = 1 - (1-level)/2
	for rank := 1; rank <= n; rank++ {
		atLeast := math.Pow(10, evidence.Log10BinomialSF(int64(rank), int64(n), q))
		if atLeast >= side { // P(x_(rank) <= quantile)
			lo = sorted[rank-1]
		}
		if 1-atLeast >= side { // P(quantile <= x_(rank))
			hi = sorted[rank-1]
			break
		}
	}
	return value, lo, hi
}

// difference is the mean of a less that of b with Welch's interval (B. Welch,
// Biometrika 34, 1947), infinite where a sample has fewer than two values.
func difference(a, b []float64) (d, lo, hi float64) {
	ma, va := moments(a)
	mb, vb := moments(b)
	d = ma - mb
	if len(a) < 2 || len(b) < 2 {
		return d, math.Inf(-1), math.Inf(1)
	}
	sa, sb := va/float64(len(a)), vb/float64(len(b))
	if sa+sb == 0 {
		return d, d, d
	}
	nu := (sa + sb) * (sa + sb) / (sa*sa/float64(len(a)-1) + sb*sb/float64(len(b)-1))
	half := distuv.StudentsT{Mu: 0, Sigma: 1, Nu: nu}.Quantile(1-(1-level)/2) * math.Sqrt(sa+sb)
	return d, d - half, d + half
}

// moments are the mean and the variance of a sample.
func moments(values []float64) (mean, variance float64) {
	n := float64(len(values))
	for _, x := range values {
		mean += x / n
	}
	for _, x := range values {
		variance += (x - mean) * (x - mean) / (n - 1)
	}
	return mean, variance
}

// mean is the mean of one value per text with Student's interval, infinite for
// fewer than two texts.
func mean(values []float64) (m, lo, hi float64) {
	m, variance := moments(values)
	n := float64(len(values))
	if n < 2 {
		return m, math.Inf(-1), math.Inf(1)
	}
	half := distuv.StudentsT{Mu: 0, Sigma: 1, Nu: n - 1}.Quantile(1-(1-level)/2) * math.Sqrt(variance/n)
	return m, m - half, m + half
}
