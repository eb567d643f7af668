package strength

import (
	"math"
	"slices"

	"github.com/stillmark/stillmark/watermark/evidence"
)

// dualNodes are the points at which the tail of a dual key is computed, at about
// a millisecond each. Between them its logarithm, which is concave, is taken as
// linear: over eight standard deviations that is right to 1e-3 of p.
const dualNodes = 128

// dualPs are the p-values of sums under two keys: their law is continuous, so
// that nothing is randomised.
func dualPs(n int64, alpha float64, scores []float64) []float64 {
	lo, hi := slices.Min(scores), slices.Max(scores)
	step := (hi - lo) / dualNodes
	if step == 0 {
		step = 1
	}
	var tail [dualNodes + 1]float64
	for i := range tail {
		tail[i] = evidence.Log10DualGammaSF(n, alpha, lo+step*float64(i))
	}
	out := make([]float64, len(scores))
	for k, x := range scores {
		at := (x - lo) / step
		i := min(int(at), dualNodes-1)
		f := at - float64(i)
		out[k] = math.Pow(10, (1-f)*tail[i]+f*tail[i+1])
	}
	return out
}
