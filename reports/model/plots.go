package model

import (
	"math"

	"github.com/stillmark/stillmark/probe/family"
	"github.com/stillmark/stillmark/probe/ledger"
)

// The decoys' histogram: standardised scores from -4.5 to 4.5 in bins of a
// quarter. Of 9,999 decoys under a normal law 0.07 lie outside.
const (
	histFrom  = -4.5
	histWidth = 0.25
	histBins  = 36
)

func (b *builder) plots() Plots {
	p := Plots{Forest: []ForestPanel{}, Decoys: []Histogram{}, Curves: []CurvePanel{}}
	panels, curves := map[string]int{}, map[string]int{}
	for i := range b.f.Findings {
		f := &b.f.Findings[i]
		if !f.Primary || f.Verdict == ledger.VerdictUnverified || f.N == 0 {
			continue
		}
		name := f.Scheme
		if f.Family != family.Radioactivity {
			name = f.Family + " " + b.familyName(f.Family)
		}
		at, ok := panels[name]
		if !ok {
			at = len(p.Forest)
			panels[name] = at
			p.Forest = append(p.Forest, ForestPanel{Scheme: name, Unit: b.book.Phrase(f.EffectUnit, f), Rows: []ForestRow{}})
		}
		p.Forest[at].Rows = append(p.Forest[at].Rows, ForestRow{
			Target: f.Target, Test: f.Test, Role: f.Role, Effect: f.Effect, Lo: f.EffectLo, Hi: f.EffectHi,
		})
		if f.Decoys != nil && len(f.Decoys.Scores) > 0 {
			p.Decoys = append(p.Decoys, histogram(f))
		}
		if len(f.Curve) == 0 {
			continue
		}
		at, ok = curves[f.Key+f.Mode]
		if !ok {
			at = len(p.Curves)
			curves[f.Key+f.Mode] = at
			p.Curves = append(p.Curves, CurvePanel{Key: f.Key, Scheme: f.Scheme, Mode: f.Mode, Threshold: b.limit(f), Curves: []Curve{}})
		}
		p.Curves[at].Curves = append(p.Curves[at].Curves, Curve{Target: f.Target, Role: f.Role, Points: f.Curve})
	}
	return p
}

// limit is the evidence, in decades, that a test must reach by itself at the
// least: alpha over the number of tests.
func (b *builder) limit(f *ledger.Finding) float64 {
	return -b.alpha + math.Log10(float64(max(1, f.M)))
}

func histogram(f *ledger.Finding) Histogram {
	d := f.Decoys
	h := Histogram{
		Test: f.Test, Target: f.Target, Role: f.Role, Scheme: f.Scheme, N: d.N, RankP: d.RankP,
		From: histFrom, Width: histWidth, Bins: make([]int, histBins), Largest: math.Inf(-1),
	}
	if f.SD > 0 {
		h.Observed = (f.Score - f.Mean) / f.SD
	}
	for _, z := range d.Scores {
		h.Largest = math.Max(h.Largest, z)
		switch bin := math.Floor((z - histFrom) / histWidth); {
		case bin < 0:
			h.Below++
		case bin >= histBins:
			h.Above++
		default:
			h.Bins[int(bin)]++
		}
	}
	return h
}
