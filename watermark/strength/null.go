package strength

import (
	"context"
	"encoding/binary"
	"math/rand/v2"

	"github.com/stillmark/stillmark/watermark"
	"github.com/stillmark/stillmark/watermark/evidence"
)

// nullTails are the levels at which tails of the null are counted.
var nullTails = []struct {
	name  string
	alpha float64
}{{"1e-2", 1e-2}, {"1e-3", 1e-3}, {"1e-4", 1e-4}, {"1e-5", 1e-5}}

const (
	// leastTail is the number of keys to expect below a level before they are counted.
	leastTail = 10
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
	var law *watermark.NullLaw
	for i := 0; len(out) < n; i++ {
		binary.LittleEndian.PutUint32(seed[:], uint32(i)) // other keys on every text
		s, err := watermark.DecoyKey(seed, 0, spec)
		if err != nil {
			return nil, err
		}
		if law == nil {
			law = watermark.NewNullLaw(s)
		}
		d := watermark.NewDetector(s, watermark.Options{Weights: watermark.WeightsNone})
		d.Add(texts[i%len(texts)])
		scores, err := d.RandomKeys(ctx, seed, 0, min(perText, n-len(out)))
		if err != nil {
			return nil, err
		}
		random := rand.New(rand.NewPCG(binary.LittleEndian.Uint64(seed[:]), 1))
		for _, x := range scores {
			out = append(out, law.RandomizedP(x, (float64(random.Uint64()>>12)+.5)*0x1p-52))
		}
	}
	return out, nil
}

// nullMeasurements are the figures of a null calibration.
func nullMeasurements(labels string, u []float64) []Measurement {
	_, p := evidence.KolmogorovSmirnov(u)
	n := int64(len(u))
	out := []Measurement{{Metric: "null-ks-p", Labels: labels, Value: Number(p), Lo: Number(p), Hi: Number(p), N: n}}
	for _, t := range nullTails {
		if float64(n)*t.alpha >= leastTail {
			out = append(out, rate("null-tail@"+t.name, labels, below(u, t.alpha), n, nullConfidence))
		}
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
