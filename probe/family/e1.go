package family

import (
	"context"
	"fmt"
	"math"

	"github.com/stillmark/stillmark/probe/ledger"
	"github.com/stillmark/stillmark/watermark"
	"github.com/stillmark/stillmark/watermark/evidence"
)

// Radioactivity is the family of this file: E1, radioactivity on text (Sander et
// al., "Watermarking makes language models radioactive", NeurIPS 2024, closed
// model). The target's replies are read with the marked model's own tokenizer
// and scored under the secret key as one stream; a model that learned from
// marked text repeats some of its choices.
const Radioactivity = "E1"

// Exported constants of the test, fixed in the plan.
const (
	// PowerLevel is the power that every promise of an effect refers to.
	PowerLevel = .9
	// curvePoints is how finely the evidence is shown against the tokens read.
	curvePoints = 20
	// anytimeCost is how many decades of p an e-process costs, at the dear end
	// (measured: 3 to 4): the power of an anytime test is that of a fixed-n test
	// at a level lower by as much.
	anytimeCost = 4
)

// rung is what a positive of E1 reaches on the ladder of hypotheses: which of
// the ways the text took is for other tests to tell.
const rung = "H_any: trained on, or otherwise dependent on, some text of ours generated under this key"

// e1 is one test with all it needs.
type e1 struct {
	test       *ledger.Test
	target     *gathered
	scheme     watermark.Scheme
	reader     *reader
	keep       func(window []int32) bool
	log10Alpha float64 // per test: alpha/m
	decoys     int
	seed       [32]byte
	progress   func(done int)
}

// run scores the target's replies. Verdict, Holm and commitment are not its
// business. The second result is the logarithm of the p-value that enters Holm.
func (e *e1) run(ctx context.Context) (ledger.Finding, float64, error) {
	detector := watermark.NewDetector(e.scheme, watermark.Options{Weights: e.test.Weights, Keep: e.keep})
	curve, err := e.read(ctx, detector)
	if err != nil {
		return ledger.Finding{}, 0, err
	}
	d := detector.Result()
	f := ledger.Finding{
		Test: e.test.ID, Family: e.test.Family, Target: e.target.target.Name, Role: e.target.target.Role,
		Key: e.test.Key, Scheme: d.Scheme, PRF: d.PRF, Primary: e.test.Primary, Mode: e.test.Mode,
		Hypothesis: rung, Null: e.test.Null,
		Replies: d.Items, Tokens: d.Tokens, N: d.N, Dropped: ledger.Dropped{
			Prompt: d.Dropped.Prompt, Repeat: d.Dropped.Repeat, Short: d.Dropped.Short,
			Filtered: d.Dropped.Filtered, OutOfVocab: d.Dropped.OutOfVocab,
		},
		Weights: d.Weights, Score: d.Score, Mean: d.Tail.Mean, SD: d.Tail.SD,
		EffectUnit: EffectUnit(d.Law), PlainScore: d.Plain.Score, Curve: []ledger.CurvePoint{},
		Power: e.power(&d),
	}
	if d.N == 0 {
		return f, 0, nil
	}
	f.Effect, f.EffectLo, f.EffectHi = d.Effect.Value, d.Effect.Lo, d.Effect.Hi
	gate := GateUnchecked
	if e.decoys > 0 {
		judged, scores, err := detector.Decoys(ctx, e.seed, e.decoys, e.progress)
		if err != nil {
			return ledger.Finding{}, 0, fmt.Errorf("test %s: %w", e.test.ID, err)
		}
		f.Decoys = decoyFinding(judged, scores, d.Tail)
		if gate = GatePassed; !judged.Pass {
			gate = GateFailed
		}
	}
	if gate == GateFailed {
		return f, 0, nil // nothing analytic is shown, and nothing enters Holm
	}
	f.Curve = curve
	f.Log10E = number(d.Log10E)
	if e.test.Mode == ledger.ModeAnytime {
		return f, math.Min(0, -d.Log10E), nil
	}
	f.Log10P, f.Log10PMethod = number(d.Tail.Log10P), d.Tail.Method
	f.Log10PEstimate = number(d.Tail.Log10Estimate)
	f.PlainLog10P = number(d.Plain.Tail.Log10P)
	return f, d.Tail.Log10P, nil
}

// read feeds the replies to the detector, in the plan's order, and notes the
// evidence now and then. The curve is a description: the fixed-n test looks at
// its end only.
func (e *e1) read(ctx context.Context, d *watermark.Detector) ([]ledger.CurvePoint, error) {
	replies := e.target.accounting.Analysed
	curve := make([]ledger.CurvePoint, 0, curvePoints)
	var done, tokens int64
	err := e.target.items(e.reader, func(it watermark.Item) {
		if ctx.Err() != nil {
			return
		}
		d.Add(it)
		done++
		tokens += int64(len(it.Tokens))
		// Points lie at equal numbers of replies, the last one at the end.
		if done*curvePoints/replies == (done-1)*curvePoints/replies {
			return
		}
		r := d.Result()
		p := ledger.CurvePoint{Tokens: tokens, Log10E: finite(r.Log10E)}
		if e.test.Mode == ledger.ModeFixedN {
			p.Log10P = finite(r.Tail.Log10P)
		}
		curve = append(curve, p)
	})
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return nil, fmt.Errorf("test %s: %w", e.test.ID, err)
	}
	return curve, nil
}

// power is the smallest effect that the test, as it was run, would have found
// with power .9 at its share of the family-wise level. Effect 0 means none.
func (e *e1) power(d *watermark.Detection) ledger.PowerRow {
	row := ledger.PowerRow{Test: e.test.ID, Units: d.N, Log10Alpha: e.log10Alpha, EffectUnit: EffectUnit(d.Law)}
	if d.N > 0 {
		row.Effect = DetectableEffect(d.Law, d.Counts, e.test.Mode, e.log10Alpha)
	}
	return row
}

// DetectableEffect is the smallest effect that a test of the given mode finds
// with [PowerLevel] at a level of log10Alpha, or 0 if there is none.
func DetectableEffect(l evidence.Law, c evidence.Counts, mode string, log10Alpha float64) float64 {
	if mode == ledger.ModeAnytime {
		log10Alpha -= anytimeCost
	}
	effect := l.DetectableEffect(c, log10Alpha, PowerLevel)
	if math.IsNaN(effect) || math.IsInf(effect, 0) || effect < 0 {
		return 0
	}
	return effect
}

// EffectUnit says what the effect of a scheme's law counts.
func EffectUnit(l evidence.Law) string {
	switch l.Kind {
	case evidence.KindBernoulli:
		return "share of green tokens above the null rate"
	case evidence.KindFairBits:
		return "share of one-bits above 1/2"
	}
	return "mean score per token above the null mean of 1"
}

// decoyFinding puts the decoys' scores on the scale of the null law.
func decoyFinding(d evidence.Decoys, scores []float64, t evidence.Tail) *ledger.DecoyFinding {
	f := &ledger.DecoyFinding{
		N: d.N, RankP: d.RankP, SDRatio: finite(d.SDRatio), SDRatioLo: finite(d.SDRatioLo), SDRatioHi: finite(d.SDRatioHi),
		Tolerance: finite(d.SDTolerance), KSP: finite(d.KSP), Pass: d.Pass, Scores: make([]float64, len(scores)),
	}
	for i, s := range scores {
		if t.SD > 0 {
			// Four digits are what a histogram can show; the rest would only
			// make the file of findings larger.
			f.Scores[i] = math.Round((s-t.Mean)/t.SD*1e4) / 1e4
		}
	}
	return f
}

// number makes a value that JSON can hold.
func number(v float64) *float64 {
	v = finite(v)
	return &v
}

// finite replaces what JSON cannot hold: an impossible score (-Inf) by the most
// negative number, anything undefined by 0.
func finite(v float64) float64 {
	switch {
	case math.IsNaN(v):
		return 0
	case math.IsInf(v, -1):
		return -math.MaxFloat64
	case math.IsInf(v, 1):
		return math.MaxFloat64
	}
	return v
}
