package watermark

import (
	"math"
	"math/bits"

	"github.com/stillmark/stillmark/watermark/evidence"
	"github.com/stillmark/stillmark/watermark/prf"
)

// batchScorer scores the units of a run under one aes-ctr-v1 key after another.
// Its sums are those of unitList.score up to rounding.
type batchScorer struct {
	batch   *prf.Batch
	weights []uint8 // nil: all 1
	reader  prf.BatchReader
	sum     func(weights []uint8, words []uint32)
	score   func() float64 // of what sum was given, and starts anew
}

// newBatchScorer prepares the units, or says that the scheme's score is not that
// of one word.
func newBatchScorer(s Scheme, units unitList) (*batchScorer, bool) {
	b := &batchScorer{weights: units.weights}
	if s.PRF() != AESCTR || units.times != nil {
		return nil, false
	}
	switch s := s.(type) {
	case *gumbel:
		b.sumGumbel()
	case *kgw:
		b.sumCounts(func(word uint32) int64 { return (int64(word) - int64(s.threshold)) >> 63 & 1 })
	case *tournament:
		b.sumCounts(func(word uint32) int64 { return int64(bits.OnesCount32(word & (1<<layers - 1))) })
	default:
		return nil, false
	}
	b.batch = prf.NewBatch(units.stride, units.flat)
	return b, true
}

// clone shares the units, for another goroutine.
func (b *batchScorer) clone(s Scheme) *batchScorer {
	c, _ := newBatchScorer(s, unitList{stride: 1, weights: b.weights})
	c.batch = b.batch
	return c
}

// sumCounts is for scores that are whole numbers.
func (b *batchScorer) sumCounts(score func(word uint32) int64) {
	var total int64
	b.sum = func(weights []uint8, words []uint32) {
		for i, word := range words {
			x := score(word)
			if weights != nil {
				x *= int64(weights[i])
			}
			total += x
		}
	}
	b.score = func() float64 {
		x := total
		total = 0
		return float64(x)
	}
}

// sumGumbel multiplies the uniforms of each weight and takes a logarithm when the
// product comes near the end of float64's range: every thirtieth time at least.
func (b *batchScorer) sumGumbel() {
	const low = 0x1p-960 // a uniform is at least 2^-33
	var (
		product [evidence.WeightCap + 1]float64
		total   float64
	)
	for w := range product {
		product[w] = 1
	}
	b.sum = func(weights []uint8, words []uint32) {
		for i, word := range words {
			w := 1
			if weights != nil {
				w = int(weights[i])
			}
			if product[w] *= uniform(^word); product[w] < low {
				total -= float64(w) * math.Log(product[w])
				product[w] = 1
			}
		}
	}
	b.score = func() float64 {
		x := total
		for w := range product {
			x -= float64(w) * math.Log(product[w])
			product[w] = 1
		}
		total = 0
		return x
	}
}

// under is the weighted score under the subkey of aes-ctr-v1.
func (b *batchScorer) under(subkey []byte) float64 {
	b.reader.Read(b.batch, [16]byte(subkey[:16]), [16]byte(subkey[16:32]), func(from int, words []uint32) {
		var weights []uint8
		if b.weights != nil {
			weights = b.weights[from : from+len(words)]
		}
		b.sum(weights, words)
	})
	return b.score()
}
