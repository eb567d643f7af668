package watermark

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/stillmark/stillmark/watermark/evidence"
)

// KeyScore is a run's score under one key, with the units that it was summed
// over: where a key decides which pairs are one unit, every key has its own.
type KeyScore struct {
	Score  float64
	Counts evidence.Counts
}

// RandomKeys scores the run's units, under the run's weights, with n keys that
// were never served: those that [DecoyKey] numbers from, from+1, …. What comes
// back depends on seed and numbers only, whatever the parallelism. It is what a
// calibration of the null law draws; [Detector.Decoys] judges a score with it.
func (d *Detector) RandomKeys(ctx context.Context, seed [32]byte, from, n int) ([]KeyScore, error) {
	if n < 1 {
		return nil, errors.New("at least one key is needed")
	}
	spec := d.scheme.Spec()
	scores, err := d.underKeys(ctx, n, nil, func(i int) ([]byte, error) { return decoySubkey(seed, from+i, spec) })
	if err != nil {
		return nil, fmt.Errorf("scoring random keys: %w", err)
	}
	out := make([]KeyScore, n)
	for i, x := range scores {
		out[i] = KeyScore{x.score, x.counts}
	}
	return out, nil
}

// NullLaw is the law of a scheme's score over random keys. It prepares what it
// needs for some counts once, for all scores that follow, and is not safe for
// concurrent use.
type NullLaw struct {
	null
	law      evidence.Law
	prepared map[evidence.Counts]func(score, u float64) float64
}

// NewNullLaw is the null law of a scheme.
func NewNullLaw(s Scheme) *NullLaw {
	return &NullLaw{null: nullOf(s), law: s.Law(), prepared: map[evidence.Counts]func(score, u float64) float64{}}
}

// Analytic reports whether the law is known. Where it is not, a score gets a rank
// among decoy keys and no p; the law at hand is then that of independent layers.
func (l *NullLaw) Analytic() bool { return l.analytic() }

// Tail is the upper tail of a score; see [Detection.Tail].
func (l *NullLaw) Tail(k KeyScore) evidence.Tail { return l.tail(k.Score, k.Counts) }

// Z is the score in standard deviations of the law above its mean: a description,
// from which no p is made. It is 0 without units.
func (l *NullLaw) Z(k KeyScore) float64 {
	mean, sd := l.moments(k.Counts)
	if sd == 0 {
		return 0
	}
	return (k.Score - mean) / sd
}

// RandomizedP is one p-value in (0,1) that is uniform over random keys when u is
// uniform in (0,1); see [evidence.Null.RandomizedP]. Under two keys it is
// interpolated, right to 1e-3 of p.
func (l *NullLaw) RandomizedP(k KeyScore, u float64) float64 {
	f, ok := l.prepared[k.Counts]
	if !ok {
		f = l.prepare(k.Counts)
		if len(l.prepared) >= maxPrepared {
			clear(l.prepared)
		}
		l.prepared[k.Counts] = f
	}
	return f(k.Score, u)
}

// maxPrepared bounds what a NullLaw keeps: tables of weighted sums are some 100 KB.
const maxPrepared = 256

func (l *NullLaw) prepare(c evidence.Counts) func(score, u float64) float64 {
	if c.N() == 0 {
		return func(_, u float64) float64 { return u }
	}
	switch law := l.null.(type) {
	case dualNull:
		return law.prepare(c)
	case fixedNull:
		return func(score, u float64) float64 { return clampP(law.randomised(score, c, u)) }
	}
	return l.law.Null(c).RandomizedP
}

// prepare tables the tail of a sum under two keys, at about a millisecond a point,
// from 6 standard deviations below the mean to 10 above, where all but one of
// 1e15 scores lie. Between points its logarithm, which is concave, is taken as
// linear: with steps of 1/16 that is too small by 5e-4 of p at most. Scores
// beyond the table are computed.
func (d dualNull) prepare(c evidence.Counts) func(score, u float64) float64 {
	const (
		from, to = -6, 10
		perSD    = 16
	)
	mean, sd := d.moments(c)
	tail := make([]float64, (to-from)*perSD+1)
	for i := range tail {
		tail[i] = d.tail(max(mean+sd*(from+float64(i)/perSD), 0), c).Log10P
	}
	return func(score, _ float64) float64 {
		at := ((score-mean)/sd - from) * perSD
		if at < 0 || at >= float64(len(tail)-1) {
			return clampP(d.randomised(score, c, 0))
		}
		i := int(at)
		f := at - float64(i)
		return clampP(math.Pow(10, (1-f)*tail[i]+f*tail[i+1]))
	}
}
