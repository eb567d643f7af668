package watermark

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/stillmark/stillmark/watermark/evidence"
)

// Decoys scores the run's units, under the run's weights, with n keys that were
// never served, and judges the run's score among them. Decoy i depends on seed
// and i only, and the scores come back in that order whatever the parallelism.
//
// progress, if set, is called with the number of decoys done, one call at a
// time, from the goroutines that do the work. Cancelling ctx ends the scoring
// with its error.
func (d *Detector) Decoys(ctx context.Context, seed [32]byte, n int, progress func(done int)) (evidence.Decoys, []float64, error) {
	if n < 1 {
		return evidence.Decoys{}, nil, errors.New("at least one decoy is needed")
	}
	spec := d.scheme.Spec()
	samples, err := d.underKeys(ctx, n, progress, func(i int) ([]byte, error) { return decoySubkey(seed, i, spec) })
	if err != nil {
		return evidence.Decoys{}, nil, fmt.Errorf("scoring decoys: %w", err)
	}
	observed := scored{d.weighted, d.weight}
	scores := make([]float64, n)
	for i, x := range samples {
		scores[i] = d.comparable(x)
	}
	start := binary.LittleEndian.Uint64(seed[:])
	if plain, ok := d.null.(unitNull); ok && d.seeded == nil {
		return evidence.JudgeDecoys(plain.law, d.weighted, scores, d.weight, start), scores, nil
	}
	return judge(d.null, observed, samples, start), scores, nil
}

// comparable puts a decoy's score on the scale of the run's own counts.
func (d *Detector) comparable(x scored) float64 {
	if x.counts == d.weight {
		return x.score
	}
	mean, sd := d.null.moments(x.counts)
	if sd == 0 {
		return 0
	}
	m, s := d.null.moments(d.weight)
	return m + (x.score-mean)/sd*s
}

// unitList is the run's units ordered by window, so that each key computes a
// window's nonce once. Under a scheme with seeds it holds the distinct windows
// with their tokens: which of them are one unit is each key's to say.
type unitList struct {
	stride  int
	flat    []int32
	weights []uint8 // nil: all 1
	times   []int64 // DedupPeer: occurrences; else nil
	seeded  bool
	// heaviest: a unit of several pairs has the greatest of their weights, not the sum.
	heaviest bool
}

// chunkUnits is how many units are laid out at a time: with what a batch adds some ten
// megabytes, and the keys' own work for a chunk is ten times that of deriving a key.
const chunkUnits = 1 << 18

// chunks calls yield with the run's units in the order of their windows, some at a
// time, and with the number of such calls. A key of a scheme with seeds needs to see
// all of them at once.
func (d *Detector) chunks(yield func(l unitList, of int) error) error {
	if d.disk != nil {
		return d.merged(yield)
	}
	order := d.pairs.sorted()
	size := max(len(order), 1)
	if d.seeded == nil && d.multiple == nil {
		size = chunkUnits
	}
	of := (len(order) + size - 1) / size
	for part := range slices.Chunk(order, size) {
		if err := yield(d.list(part), of); err != nil {
			return err
		}
	}
	return nil
}

// grouped is the list of all units.
func (d *Detector) grouped() unitList {
	d.inMemory("the list of units")
	return d.list(d.pairs.sorted())
}

// list are the pairs with these numbers.
func (d *Detector) list(numbers []uint32) unitList {
	l := unitList{stride: d.pairs.stride, flat: make([]int32, 0, len(numbers)*d.pairs.stride), seeded: d.seeded != nil, heaviest: d.weights == WeightsEntropy}
	for _, u := range numbers {
		l.flat = append(l.flat, d.pairs.at(int(u))...)
		if d.weights != WeightsNone {
			l.weights = append(l.weights, d.times[u])
		}
		if d.multiple != nil {
			l.times = append(l.times, d.multiple[u])
		}
	}
	return l
}

// score is the weighted score of the units under one key. It looks at ctx now
// and then; what it returns after cancellation is meaningless.
func (l unitList) score(ctx context.Context, s Scheme) scored { return l.addTo(ctx, scored{}, s) }

// addTo is score on top of that of earlier units.
func (l unitList) addTo(ctx context.Context, sum scored, s Scheme) scored {
	if l.seeded {
		return l.scoreSeeds(ctx, s.(seeded))
	}
	h := l.stride - 1
	for i := 0; i*l.stride < len(l.flat); i++ {
		if i%(1<<10) == 1<<10-1 && ctx.Err() != nil {
			return scored{}
		}
		u := l.flat[i*l.stride:][:l.stride]
		x, w := s.Score(u[:h], u[h]), 1
		switch {
		case l.weights != nil:
			w = int(l.weights[i])
			x *= float64(w)
		case l.times != nil:
			x *= float64(l.times[i])
			sum.counts[1] += l.times[i] - 1
		}
		sum.score += x
		sum.counts[w]++
	}
	return sum
}

// seedUnit is a unit of a scheme with seeds.
type seedUnit struct {
	seed  uint64
	token int32
	count uint8
}

// scoreSeeds finds the units of the key itself, then scores all tokens of a seed
// together: a permutation is walked once for them.
func (l unitList) scoreSeeds(ctx context.Context, s seeded) scored {
	h := l.stride - 1
	n := len(l.flat) / l.stride
	units := make([]seedUnit, n)
	for i := range units {
		u := l.flat[i*l.stride:][:l.stride]
		units[i] = seedUnit{s.seedOf(u[:h], u[h]), u[h], 1}
		if l.weights != nil {
			units[i].count = l.weights[i]
		}
	}
	slices.SortFunc(units, func(a, b seedUnit) int {
		return cmp.Or(cmp.Compare(a.seed, b.seed), cmp.Compare(a.token, b.token))
	})
	var (
		sum    scored
		tokens []int32
		counts []uint8
		scores []float64
	)
	for i := 0; i < n; {
		if ctx.Err() != nil {
			return scored{}
		}
		tokens, counts = tokens[:0], counts[:0]
		seed := units[i].seed
		for ; i < n && units[i].seed == seed; i++ {
			if k := len(tokens); k > 0 && tokens[k-1] == units[i].token {
				if l.heaviest {
					counts[k-1] = max(counts[k-1], units[i].count)
				} else {
					counts[k-1] = min(counts[k-1]+units[i].count, evidence.WeightCap) // both are at most 8
				}
				continue
			}
			tokens, counts = append(tokens, units[i].token), append(counts, units[i].count)
		}
		scores = slices.Grow(scores[:0], len(tokens))[:len(tokens)]
		s.scoreSeed(seed, tokens, scores)
		for k, x := range scores {
			w := 1
			if l.weights != nil {
				w = int(counts[k])
			}
			sum.score += float64(w) * x
			sum.counts[w]++
		}
	}
	return sum
}
