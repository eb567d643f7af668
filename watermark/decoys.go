package watermark

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

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
	units := d.grouped()
	scores := make([]float64, n)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var (
		next    atomic.Int64
		mu      sync.Mutex
		done    int
		workers sync.WaitGroup
	)
	for range min(runtime.GOMAXPROCS(0), n) {
		workers.Go(func() {
			for ctx.Err() == nil {
				i := int(next.Add(1) - 1)
				if i >= n {
					return
				}
				s, err := DecoyKey(seed, i, d.scheme.Spec())
				if err != nil {
					cancel(fmt.Errorf("drawing decoy %d: %w", i, err))
					return
				}
				scores[i] = units.score(ctx, s)
				if progress != nil {
					mu.Lock()
					done++
					progress(done)
					mu.Unlock()
				}
			}
		})
	}
	workers.Wait()
	if err := context.Cause(ctx); err != nil {
		return evidence.Decoys{}, nil, fmt.Errorf("scoring decoys: %w", err)
	}
	judged := evidence.JudgeDecoys(d.law, d.weighted, scores, d.weight, binary.LittleEndian.Uint64(seed[:]))
	return judged, scores, nil
}

// unitList is the run's units ordered by window, so that each key computes a
// window's nonce once.
type unitList struct {
	stride  int
	flat    []int32
	weights []uint8 // nil: all 1
}

func (d *Detector) grouped() unitList {
	n := d.units.len()
	order := make([]uint32, n)
	for i := range order {
		order[i] = uint32(i)
	}
	slices.SortFunc(order, func(a, b uint32) int {
		return slices.Compare(d.units.at(int(a)), d.units.at(int(b)))
	})
	l := unitList{stride: d.units.stride, flat: make([]int32, 0, len(d.units.flat))}
	for _, u := range order {
		l.flat = append(l.flat, d.units.at(int(u))...)
		if d.weights == WeightsMin8 {
			l.weights = append(l.weights, d.counts[u])
		}
	}
	return l
}

// score is the weighted score of the units under one key. It looks at ctx now
// and then; what it returns after cancellation is meaningless.
func (l unitList) score(ctx context.Context, s Scheme) float64 {
	var sum float64
	h := l.stride - 1
	for i := 0; i*l.stride < len(l.flat); i++ {
		if i%(1<<16) == 1<<16-1 && ctx.Err() != nil {
			return 0
		}
		u := l.flat[i*l.stride:][:l.stride]
		x := s.Score(u[:h], u[h])
		if l.weights != nil {
			x *= float64(l.weights[i])
		}
		sum += x
	}
	return sum
}
