package evidence

import (
	"math"
	"slices"
)

// Holm adjusts the log10 p-values of m declared tests so that rejecting those at
// or below log10 α keeps the family-wise error rate at α under any dependence:
//
//	p̃_(i) = max_{j<=i} min(1, (m-j+1)·p_(j)),
//
// in logarithms (Holm 1979, Scand. J. Stat. 6, 65-70). The result is in the order
// of the input, which must hold all declared tests, nulls included. A value that
// is no number, or is above 0, counts as p = 1.
func Holm(log10p []float64) []float64 {
	m := len(log10p)
	at := func(i int) float64 {
		if p := log10p[i]; p < 0 {
			return p
		}
		return 0
	}
	order := make([]int, m)
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		switch pa, pb := at(a), at(b); {
		case pa < pb:
			return -1
		case pa > pb:
			return 1
		}
		return 0
	})
	adjusted := make([]float64, m)
	running := math.Inf(-1)
	for j, i := range order {
		running = max(running, min(0, math.Log10(float64(m-j))+at(i)))
		adjusted[i] = running
	}
	return adjusted
}
