package watermark

import (
	"context"
	"fmt"
	"math"
	"math/bits"

	"github.com/stillmark/stillmark/watermark/evidence"
	"github.com/stillmark/stillmark/watermark/prf"
)

// underKeys scores the run's units, under the run's weights, under n keys of the
// detector's spec on all processors; subkey gives key i's secret as [Spec.scheme]
// takes it. The result does not depend on the parallelism. progress is as in
// [Detector.Decoys].
//
// Beside what the detector holds, a unit takes 4(h+1)+5 bytes, and in a batch 8 to
// 24 more: at h = 2 up to 41 bytes, whatever the number of keys.
func (d *Detector) underKeys(ctx context.Context, n int, progress func(done int), subkey func(i int) ([]byte, error)) ([]scored, error) {
	var (
		spec  = d.scheme.Spec()
		units = d.grouped()
		out   = make([]scored, n)
		batch *prf.Batch
	)
	if newSummer(d.scheme) != nil && !units.seeded && units.times == nil {
		batch = prf.NewBatch(units.stride, units.flat)
	}
	err := spread(ctx, n, progress, func(ctx context.Context) func(i int) error {
		var own batchScorer
		if batch != nil {
			own = batchScorer{batch: batch, weights: units.weights, summer: newSummer(d.scheme)}
		}
		return func(i int) error {
			secret, err := subkey(i)
			if err != nil {
				return err
			}
			if batch != nil {
				out[i] = scored{own.under(secret), d.weight}
				return nil
			}
			s, err := spec.scheme(secret)
			if err != nil {
				return fmt.Errorf("key %d: %w", i, err)
			}
			out[i] = units.score(ctx, d.withStatistic(s))
			return nil
		}
	})
	return out, err
}

// batchScorer scores the units of a run under one aes-ctr-v1 key after another:
// the sums of unitList.score, without its rounding.
type batchScorer struct {
	batch   *prf.Batch
	weights []uint8 // nil: all 1
	reader  prf.BatchReader
	summer  summer
}

// under is the weighted score under a subkey of aes-ctr-v1, or of two of them.
func (b *batchScorer) under(subkey []byte) float64 {
	score := b.sum(subkey[:32])
	if d, ok := b.summer.(*dualSum); ok {
		score = (1-d.alpha)*score + d.alpha*b.sum(subkey[32:])
	}
	return score
}

func (b *batchScorer) sum(subkey []byte) float64 {
	b.reader.Read(b.batch, [16]byte(subkey[:16]), [16]byte(subkey[16:]), func(from int, words []uint32) {
		if b.weights == nil {
			b.summer.add(words)
			return
		}
		b.summer.weigh(words, b.weights[from:from+len(words)])
	})
	return b.summer.take()
}

// summer sums the scores of units.
type summer interface {
	add(words []uint32)
	weigh(words []uint32, weights []uint8)
	take() float64 // the sum, and begins anew
}

// newSummer is that of a scheme whose score is a function of aes-ctr-v1's word; nil
// for others.
func newSummer(s Scheme) summer {
	if s.PRF() != AESCTR {
		return nil
	}
	switch s := s.(type) {
	case *gumbel:
		return newLogSum()
	case *dual:
		return &dualSum{newLogSum(), s.alpha}
	case *kgw:
		return &greenSum{threshold: int64(s.threshold)}
	case *tournament:
		return &bitSum{}
	}
	return nil
}

// greenSum counts green words.
type greenSum struct{ threshold, sum int64 }

func (t *greenSum) add(words []uint32) {
	sum := t.sum
	for _, word := range words {
		sum -= (int64(word) - t.threshold) >> 63
	}
	t.sum = sum
}

func (t *greenSum) weigh(words []uint32, weights []uint8) {
	sum := t.sum
	for i, word := range words {
		sum += (int64(word) - t.threshold) >> 63 & int64(weights[i])
	}
	t.sum = sum
}

func (t *greenSum) take() float64 {
	sum := t.sum
	t.sum = 0
	return float64(sum)
}

// bitSum counts the ones of the tournament's layers.
type bitSum struct{ sum int64 }

func (t *bitSum) add(words []uint32) {
	sum := t.sum
	for _, word := range words {
		sum += int64(bits.OnesCount32(word & (1<<layers - 1)))
	}
	t.sum = sum
}

func (t *bitSum) weigh(words []uint32, weights []uint8) {
	sum := t.sum
	for i, word := range words {
		sum += int64(bits.OnesCount32(word&(1<<layers-1))) * int64(weights[i])
	}
	t.sum = sum
}

func (t *bitSum) take() float64 {
	sum := t.sum
	t.sum = 0
	return float64(sum)
}

// logSum sums -w·log u by multiplying the u of each weight, and takes a logarithm
// when the product comes near the end of float64's range: every thirtieth time at
// least, every seven-hundredth on average. A product of a few hundred factors is
// right to some 1e-14, so its logarithm is nearer to the exact sum than the sum of
// as many rounded logarithms is.
type logSum struct {
	product [evidence.WeightCap + 1]float64 // by weight
	sum     float64
}

// lowProduct leaves room for one more uniform, which is at least 2^-33.
const lowProduct = 0x1p-960

func newLogSum() *logSum {
	t := &logSum{}
	for w := range t.product {
		t.product[w] = 1
	}
	return t
}

func (t *logSum) add(words []uint32) {
	p := t.product[1]
	for _, word := range words {
		if p *= uniform(^word); p < lowProduct {
			p = t.enter(p, 1)
		}
	}
	t.product[1] = p
}

func (t *logSum) weigh(words []uint32, weights []uint8) {
	p := t.product[1] // most units weigh 1: their product stays in a register
	for i, word := range words {
		w, u := weights[i], uniform(^word)
		if w != 1 {
			if u *= t.product[w]; u < lowProduct {
				u = t.enter(u, w)
			}
			t.product[w] = u
			continue
		}
		if p *= u; p < lowProduct {
			p = t.enter(p, 1)
		}
	}
	t.product[1] = p
}

// enter moves a product of units of a weight into the sum; the next begins at 1.
func (t *logSum) enter(product float64, weight uint8) float64 {
	t.sum -= float64(weight) * math.Log(product)
	return 1
}

func (t *logSum) take() float64 {
	for w := range t.product {
		t.product[w] = t.enter(t.product[w], uint8(w))
	}
	sum := t.sum
	t.sum = 0
	return sum
}

// dualSum is for the sum under one of two keys.
type dualSum struct {
	*logSum
	alpha float64
}
