package watermark

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
)

// PayloadResult is a payload read from a run.
type PayloadResult struct {
	Payload int `json:"payload"`
	// Log10P is the payload's own p, corrected for the payloads that were tried.
	Log10P float64   `json:"log10_p"`
	Each   []float64 `json:"log10_p_each"` // by payload, uncorrected
}

// maxPayloads bounds a reading: each costs a pass over the units.
const maxPayloads = 1 << 16

// Payloads reads the message of a multi-bit preset (three_bricks, radioactive):
// the run's units are scored under payloads 0 .. n-1, and the least p wins, at
// 1-(1-p)^n. The payloads' scores are of one key and depend on each other; the
// correction is Bonferroni's where that matters.
func (d *Detector) Payloads(ctx context.Context, k *Key, n int) (PayloadResult, error) {
	spec := d.scheme.Spec()
	if spec.Params.Preset.Get("payload") == "" {
		return PayloadResult{}, fmt.Errorf("%s carries no payload", spec.Scheme)
	}
	if n < 1 || n > min(spec.Vocab, maxPayloads) {
		return PayloadResult{}, fmt.Errorf("%d payloads are outside 1 .. %d", n, min(spec.Vocab, maxPayloads))
	}
	if k.Spec != spec {
		return PayloadResult{}, fmt.Errorf("key %s is not that of the run", k.ID)
	}
	units := d.grouped()
	p, _ := PresetByName(spec.Scheme)
	var r PayloadResult
	for m := range n {
		a := p.args(spec, Values{string(k.subkey())})
		a.m["payload"] = strconv.Itoa(m)
		s, err := p.build(spec, a)
		if err != nil {
			return PayloadResult{}, fmt.Errorf("payload %d: %w", m, err)
		}
		x := units.score(ctx, s)
		if err := ctx.Err(); err != nil {
			return PayloadResult{}, fmt.Errorf("reading payloads: %w", err)
		}
		r.Each = append(r.Each, d.null.tail(x.score, x.counts).Log10P)
	}
	r.Payload = slices.Index(r.Each, slices.Min(r.Each))
	r.Log10P = bestOf(r.Each[r.Payload], n)
	return r, nil
}

// bestOf is log10 of 1-(1-p)^n, which is n·p as long as that is small.
func bestOf(log10P float64, n int) float64 {
	if p := math.Pow(10, log10P); p > 1e-9 {
		return math.Log10(-math.Expm1(float64(n) * math.Log1p(-p)))
	}
	return log10P + math.Log10(float64(n))
}
