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
// Beside what the detector holds, a unit takes 4 bytes, and those that are scored at a
// time some ten megabytes, whatever the number of keys.
func (d *Detector) underKeys(ctx context.Context, n int, progress func(done int), subkey func(i int) ([]byte, error)) ([]scored, error) {
	var (
		spec   = d.scheme.Spec()
		out    = make([]scored, n)
		sums   []keySum
		before int // chunks that are done
	)
	if d.batched() {
		sums = make([]keySum, n)
	}
	err := d.chunks(func(units unitList, all int) error {
		var batch *prf.Batch
		if sums != nil {
			batch = prf.NewBatch(units.stride, units.flat)
		}
		report := progress
		if report != nil {
			report = func(done int) { progress((before*n + done) / all) }
		}
		err := spread(ctx, n, report, func(ctx context.Context) func(i int) error {
			var reader prf.BatchReader
			return func(i int) error {
				secret, err := subkey(i)
				if err != nil {
					return err
				}
				if sums != nil {
					if before == 0 {
						sums[i] = newKeySum(d.scheme)
					}
					sums[i].read(&reader, batch, units.weights, secret)
					if before == all-1 {
						out[i], sums[i] = scored{sums[i].take(), d.weight}, keySum{}
					}
					return nil
				}
				s, err := spec.scheme(secret)
				if err != nil {
					return fmt.Errorf("key %d: %w", i, err)
				}
				out[i] = units.addTo(ctx, out[i], d.withStatistic(s))
				return nil
			}
		})
		before++
		return err
	})
	return out, err
}

// batched reports whether the run's units are scored in batches.
func (d *Detector) batched() bool {
	return newSummer(d.scheme) != nil && d.seeded == nil && d.multiple == nil
}

// keySum is the score under one aes-ctr-v1 key, or under two of them: the sums of
// unitList.score, without its rounding.
type keySum struct {
	parts []summer // one for each key
	alpha float64  // the second key's share
}

func newKeySum(s Scheme) keySum {
	if d, ok := s.(*dual); ok {
		return keySum{[]summer{newSummer(s), newSummer(s)}, d.alpha}
	}
	return keySum{[]summer{newSummer(s)}, 0}
}

// read adds the units of a batch; weights are nil where all are 1.
func (k *keySum) read(r *prf.BatchReader, batch *prf.Batch, weights []uint8, subkey []byte) {
	for i, sum := range k.parts {
		key := subkey[32*i:]
		r.Read(batch, [16]byte(key[:16]), [16]byte(key[16:32]), func(from int, words []uint32) {
			if weights == nil {
				sum.add(words)
				return
			}
			sum.weigh(words, weights[from:from+len(words)])
		})
	}
}

func (k *keySum) take() float64 {
	score := k.parts[0].take()
	if len(k.parts) > 1 {
		score = (1-k.alpha)*score + k.alpha*k.parts[1].take()
	}
	return score
}

// summer sums the scores of units.
type summer interface {
	add(words []uint32)
	weigh(words []uint32, weights []uint8)
	take() float64 // the sum, once
}

// newSummer is that of a scheme whose score is a function of aes-ctr-v1's word; nil
// for others.
func newSummer(s Scheme) summer {
	if s.PRF() != AESCTR {
		return nil
	}
	switch s := s.(type) {
	case *gumbel, *dual:
		return newLogSum()
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

func (t *greenSum) take() float64 { return float64(t.sum) }

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

func (t *bitSum) take() float64 { return float64(t.sum) }

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
	return t.sum
}
