package strength

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"

	"github.com/stillmark/stillmark/watermark"
	"github.com/stillmark/stillmark/watermark/evidence"
)

// nullTails are the levels at which tails of the null are counted, by the keys
// that it takes to expect ten below them.
var nullTails = []struct {
	name  string
	alpha float64
}{{"1e-2", 1e-2}, {"1e-3", 1e-3}, {"1e-4", 1e-4}, {"1e-5", 1e-5}}

const (
	// nullConfidence is that of the interval in which a tail count must lie, and
	// nullKSP the p below which uniformity is rejected: both are met by chance
	// about once in a thousand.
	nullConfidence = .999
	nullKSP        = 1e-3
	// nullTexts is the number of unmarked texts that the keys are shared out to, and
	// leastKeys what one gets at least: the null is over keys, and several texts
	// show that it does not hang on one.
	nullTexts = 20
	leastKeys = 500
)

// uniforms are the randomised p-values of n random keys on unmarked texts, which
// are uniform if the null law holds.
func uniforms(ctx context.Context, spec watermark.Spec, texts []watermark.Item, n int, seed [32]byte) ([]float64, error) {
	out := make([]float64, 0, n)
	perText := max(leastKeys, (n+nullTexts-1)/nullTexts)
	for i := 0; len(out) < n; i++ {
		binary.LittleEndian.PutUint32(seed[:], uint32(i)) // other keys on every text
		keys, it := min(perText, n-len(out)), texts[i%len(texts)]
		if spec.Params.Seeding == watermark.SelfHash {
			u, err := apart(ctx, spec, it, keys, seed)
			if err != nil {
				return nil, err
			}
			out = append(out, u...)
			continue
		}
		s, err := watermark.DecoyKey(seed, 0, spec)
		if err != nil {
			return nil, err
		}
		d := watermark.NewDetector(s, watermark.Options{Weights: watermark.WeightsNone})
		d.Add(it)
		_, scores, err := d.Decoys(ctx, seed, keys, nil)
		if err != nil {
			return nil, fmt.Errorf("scoring random keys: %w", err)
		}
		out = append(out, randomised(s, d.Result().N, scores, binary.LittleEndian.Uint64(seed[:]))...)
	}
	return out, nil
}

// apart scores each key on its own, for schemes whose key decides which positions
// are one unit: every key has a number of units and a null law of its own.
func apart(ctx context.Context, spec watermark.Spec, it watermark.Item, keys int, seed [32]byte) ([]float64, error) {
	out := make([]float64, 0, keys)
	for k := range keys {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		s, err := watermark.DecoyKey(seed, k, spec)
		if err != nil {
			return nil, err
		}
		d := watermark.NewDetector(s, watermark.Options{Weights: watermark.WeightsNone})
		d.Add(it)
		r := d.Result()
		out = append(out, randomised(s, r.N, []float64{r.Score}, binary.LittleEndian.Uint64(seed[:])+uint64(k))...)
	}
	return out, nil
}

func randomised(s watermark.Scheme, n int64, scores []float64, seed uint64) []float64 {
	if spec := s.Spec(); spec.Scheme == watermark.GumbelDual {
		return dualPs(n, spec.Params.Alpha, scores)
	}
	null := s.Law().Null(evidence.Plain(n))
	random := rand.New(rand.NewPCG(seed, 1))
	out := make([]float64, len(scores))
	for i, x := range scores {
		out[i] = null.RandomizedP(x, (float64(random.Uint64()>>12)+.5)*0x1p-52)
	}
	return out
}

// nullMeasurements are the figures of a null calibration.
func nullMeasurements(labels string, u []float64) []Measurement {
	_, p := evidence.KolmogorovSmirnov(u)
	n := int64(len(u))
	out := []Measurement{{Metric: "null-ks-p", Labels: labels, Value: Number(p), Lo: Number(p), Hi: Number(p), N: n}}
	for _, t := range nullTails {
		if float64(n)*t.alpha < 10 {
			continue
		}
		var hits int64
		for _, x := range u {
			if x <= t.alpha {
				hits++
			}
		}
		out = append(out, rate("null-tail@"+t.name, labels, hits, n, nullConfidence))
	}
	return out
}

// Uncalibrated names the null calibrations that failed: Kolmogorov-Smirnov
// rejects uniformity, or a tail holds more or fewer keys than chance allows. A
// strength measured with such p-values means nothing.
func (r *Run) Uncalibrated() []Measurement {
	var out []Measurement
	for _, m := range r.Measurements {
		bad := m.Metric == "null-ks-p" && float64(m.Value) < nullKSP
		for _, t := range nullTails {
			if m.Metric == "null-tail@"+t.name {
				bad = t.alpha < float64(m.Lo) || t.alpha > float64(m.Hi)
			}
		}
		if bad {
			out = append(out, m)
		}
	}
	return out
}
