package evidence

import (
	"fmt"
	"math"
	"math/rand/v2"
)

// Exchange is a permutation test within blocks: the labels of two samples are
// exchanged within each block only (the replies to one prompt), and the statistic is a
// sum over blocks. Since a block has few members, all of its relabellings are worked
// out at once and then drawn by number: a permutation of the whole costs one
// look-up per block.
type Exchange struct {
	src    rand.Source
	sums   []int64
	seen   int64
	blocks int
}

// NewExchange prepares a test of so many permutations.
func NewExchange(src rand.Source, permutations int) *Exchange {
	return &Exchange{src: src, sums: make([]int64, permutations)}
}

// exchangeScale turns statistics of size 1 into integers, whose sums are exact and
// the same on every machine; 2^20 blocks fit.
const exchangeScale = 0x1p40

// Add enters a block by its statistic under each equally likely relabelling, the
// observed one first. Statistics must lie within ±4. It panics on none, or on one
// that does not.
func (e *Exchange) Add(values []float64) {
	if len(values) == 0 {
		panic("evidence: a block without its statistic")
	}
	table := make([]int64, len(values))
	for i, v := range values {
		if !(math.Abs(v) <= 4) {
			panic(fmt.Sprintf("evidence: a block's statistic is %v", v))
		}
		table[i] = int64(math.RoundToEven(v * exchangeScale))
	}
	e.blocks++
	e.seen += table[0]
	if len(table) == 1 {
		for i := range e.sums {
			e.sums[i] += table[0]
		}
		return
	}
	for i := range e.sums {
		e.sums[i] += table[below(e.src, uint64(len(table)))]
	}
}

// Log10P is log10 of (1 + #{permutations >= observed})/(1 + permutations); sums that
// differ by the rounding of their blocks only are ties. It is 0 without blocks.
func (e *Exchange) Log10P() float64 {
	if e.blocks == 0 {
		return 0
	}
	reached := 1
	for _, s := range e.sums {
		if s >= e.seen-int64(e.blocks) {
			reached++
		}
	}
	return math.Log10(float64(reached)/float64(1+len(e.sums))) + 0
}

// Blocks is how many were added.
func (e *Exchange) Blocks() int { return e.blocks }

// MeanDiscrepancy is the unbiased estimate of the squared maximum mean discrepancy of
// two samples whose pooled kernel values are k, row by row, under each way to call n
// of the pooled members the first sample (Gretton et al., JMLR 13, 2012, lemma 6):
//
//	ΣΣ k(x,x')/(n(n-1)) + ΣΣ k(y,y')/(m(m-1)) - 2 ΣΣ k(x,y)/(nm),
//
// the observed labelling (the first n) first. With values of k in [-1,1] it lies within
// ±4. It panics where a sample has fewer than two members or the pool more than
// [MaxPool].
func MeanDiscrepancy(k []float64, n, m int) []float64 {
	all := n + m
	if n < 2 || m < 2 || all > MaxPool || len(k) != all*all {
		panic(fmt.Sprintf("evidence: discrepancy of %d and %d members with %d kernel values", n, m, len(k)))
	}
	var out []float64
	first := uint32(1)<<n - 1
	for labels := first; labels < 1<<all; {
		var xx, yy, xy float64
		for i := range all {
			for j := range i {
				v := k[i*all+j]
				switch labels>>i&1 + labels>>j&1 {
				case 2:
					xx += v
				case 0:
					yy += v
				default:
					xy += v
				}
			}
		}
		out = append(out, min(max(float64(2*xx)/float64(n*(n-1))+float64(2*yy)/float64(m*(m-1))-float64(2*xy)/float64(n*m), -4), 4))
		// The next number with as many bits (Gosper; Knuth, TAOCP 4A, 7.1.3).
		low := labels & -labels
		high := labels + low
		labels = high | (labels^high)/low>>2
	}
	return out
}

// MaxPool is how many members two samples of a block may have together: eight and
// eight have 12,870 relabellings.
const MaxPool = 16
