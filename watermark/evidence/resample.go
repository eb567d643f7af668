package evidence

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
)

// Bootstrap draws resamples of clusters, as many as there are, with replacement, and
// calls stat with how often each cluster was drawn, to fill k statistics. The
// clusters are the independent units: all that belongs together (the samples,
// wordings and languages of one item) is one of them, and stat weighs it by its
// count (Davison & Hinkley 1997, Bootstrap Methods, 3.8). The result holds the k
// statistics' values, each sorted, without those that were no number. It is a
// function of src alone.
func Bootstrap(src rand.Source, clusters, resamples, k int, stat func(count, out []float64)) [][]float64 {
	values := make([][]float64, k)
	count, out := make([]float64, clusters), make([]float64, k)
	for range resamples {
		clear(count)
		for range clusters {
			count[below(src, uint64(clusters))]++
		}
		stat(count, out)
		for i, v := range out {
			if !math.IsNaN(v) {
				values[i] = append(values[i], v)
			}
		}
	}
	for _, v := range values {
		slices.Sort(v)
	}
	return values
}

// Percentiles is the expanded percentile interval of a value from its sorted
// bootstrap values, at a two-sided confidence: the order statistics at
// Φ(∓√(n/(n-1))·t_{n-1}), which for few clusters are farther out than the plain
// percentiles by what Student's t and the bootstrap's smaller variance ask for
// (Hesterberg, American Statistician 69, 2015, 371-386). With fewer than two clusters,
// or where fewer than half of resamples gave a number, both ends are infinite.
func Percentiles(value float64, sorted []float64, clusters, resamples int, confidence float64) Interval {
	if !(confidence > 0 && confidence < 1) {
		panic(fmt.Sprintf("evidence: confidence %v is not in (0,1)", confidence))
	}
	if clusters < 2 || len(sorted) == 0 || 2*len(sorted) < resamples {
		return Interval{Value: value, Lo: math.Inf(-1), Hi: math.Inf(1)}
	}
	n := float64(clusters)
	z := math.Sqrt(n/(n-1)) * studentPoint((1-confidence)/2, n-1)
	tail := math.Exp(lnNormalSF(z))
	m := float64(len(sorted))
	at := func(q float64) float64 {
		h := min(max(q*(m+1)-1, 0), m-1) // (Davison & Hinkley 1997, 2.4)
		i := min(int(h), len(sorted)-2)
		if i < 0 {
			return sorted[0]
		}
		return sorted[i] + float64((h-float64(i))*(sorted[i+1]-sorted[i]))
	}
	return Interval{Value: value, Lo: at(tail), Hi: at(1 - tail)}
}

// below is uniform in 0 … n-1, by Lemire's method (ACM Trans. Model. Comput. Simul.
// 29, 2019). It is written out because a finding must not change with a later library.
func below(src rand.Source, n uint64) int {
	hi, lo := bits.Mul64(src.Uint64(), n)
	if lo < n {
		for limit := -n % n; lo < limit; {
			hi, lo = bits.Mul64(src.Uint64(), n)
		}
	}
	return int(hi)
}

// SignFlips is the paired permutation test of differences. Each item holds a vector
// of dim differences between two arms (all of its samples and languages summed), and
// under the null hypothesis that the arms may be exchanged within items its sign is
// as soon + as -. The statistic is the sum over items, if one-sided its first and
// only component, else the squared length of the sum; the p-value
// (1 + #{flips >= seen})/(1 + flips) is exact at any number of flips. It returns
// log10 p, 0 without items.
//
// Differences are rounded to integers of 40 bits, so that sums are exact on every
// machine, and what is equal but for this rounding is a tie. The signed sums of eight items at a time are tabled
// and then looked up by random bytes (Arlazarov et al. 1970): n/8 vector additions
// per flip in place of n.
func SignFlips(src rand.Source, items [][]float64, flips int, oneSided bool) float64 {
	if len(items) == 0 {
		return 0
	}
	dim := len(items[0])
	if dim == 0 || oneSided && dim != 1 {
		panic(fmt.Sprintf("evidence: a sign test of %d dimensions (one-sided: %v)", dim, oneSided))
	}
	q := quantise(items, dim)
	seen := make([]int64, dim)
	for i, v := range q {
		seen[i%dim] += v
	}
	statistic := func(sum []int64) float64 {
		if oneSided {
			return float64(sum[0])
		}
		s := 0.
		for _, v := range sum {
			x := float64(v)
			s += float64(x * x) // no fused multiply-add: the same on every machine
		}
		return s
	}
	bound := statistic(seen)
	if oneSided {
		bound -= float64(len(items)) // half a unit for each rounded item, on both sides
	} else {
		bound *= 1 - tieTolerance
	}
	blocks := (flips + flipBlock - 1) / flipBlock
	seeds := make([][32]byte, blocks)
	for i := range seeds {
		for w := range 4 {
			binary.LittleEndian.PutUint64(seeds[i][8*w:], src.Uint64())
		}
	}
	reached := make([]int, blocks)
	var wg sync.WaitGroup
	slots := make(chan struct{}, runtime.GOMAXPROCS(0))
	for b := range blocks {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			n := min(flipBlock, flips-b*flipBlock)
			sums := flip(rand.NewChaCha8(seeds[b]), q, dim, n)
			for f := range n {
				if statistic(sums[f*dim:(f+1)*dim]) >= bound {
					reached[b]++
				}
			}
		})
	}
	wg.Wait()
	total := 0
	for _, r := range reached {
		total += r
	}
	return math.Log10(float64(1+total)/float64(1+flips)) + 0
}

// flipBlock is how many flips are summed at a time: the sums of 64 dimensions then
// take half a megabyte, which stays in the cache. Each block has a seed of its own,
// so that the result does not depend on the number of cores.
const flipBlock = 1024

// quantise scales the differences by a power of two so that the largest has 40 bits,
// which leaves 23 bits for the number of items.
func quantise(items [][]float64, dim int) []int64 {
	largest := 0.
	for _, v := range items {
		if len(v) != dim {
			panic(fmt.Sprintf("evidence: items of %d and %d dimensions", dim, len(v)))
		}
		for _, x := range v {
			if math.IsNaN(x) || math.IsInf(x, 0) {
				panic(fmt.Sprintf("evidence: a difference is %v", x))
			}
			largest = max(largest, math.Abs(x))
		}
	}
	q := make([]int64, 0, len(items)*dim)
	_, exponent := math.Frexp(largest)
	for _, v := range items {
		for _, x := range v {
			q = append(q, int64(math.RoundToEven(math.Ldexp(x, 40-exponent))))
		}
	}
	return q
}

// flip sums the items under n random sign patterns.
func flip(src rand.Source, q []int64, dim, n int) []int64 {
	sums := make([]int64, n*dim)
	table := make([]int64, 256*dim)
	signs := make([]byte, (n+7)/8*8)
	for from := 0; from < len(q); from += 8 * dim {
		group := q[from:min(from+8*dim, len(q))]
		width := len(group) / dim
		first := table[:dim]
		clear(first)
		for i, v := range group {
			first[i%dim] -= v
		}
		for m := 1; m < 1<<width; m++ {
			low := bits.TrailingZeros(uint(m))
			base, add, to := table[(m&(m-1))*dim:][:dim], group[low*dim:][:dim], table[m*dim:][:dim]
			for d := range to {
				to[d] = base[d] + 2*add[d]
			}
		}
		for i := 0; i < len(signs); i += 8 {
			binary.LittleEndian.PutUint64(signs[i:], src.Uint64())
		}
		mask := byte(1<<width - 1)
		for f := range n {
			row, sum := table[int(signs[f]&mask)*dim:][:dim], sums[f*dim:][:dim]
			for d := range sum {
				sum[d] += row[d]
			}
		}
	}
	return sums
}
