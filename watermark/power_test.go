package watermark

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stillmark/stillmark/watermark/evidence"
)

func TestHarmonic(t *testing.T) {
	t.Parallel()
	for x, want := range map[float64]float64{
		1: 1, 2: 1.5, 4: 25. / 12, 1.5: 2*(1+1./3) - 2*math.Ln2, 100: 5.187377517639621, // DLMF 5.4.14 at half-integers
	} {
		if got := harmonic(x); math.Abs(got-want) > 1e-13*want {
			t.Errorf("H(%v) = %v, want %v", x, got, want)
		}
	}
}

func TestGeometricStep(t *testing.T) {
	t.Parallel()
	for _, bits := range []float64{.01, .5, 2, 4, 8, MaxEntropy} {
		step, err := GeometricStep(bits)
		if err != nil {
			t.Fatal(err)
		}
		var sum, entropy float64
		for _, p := range step {
			sum += p
			entropy -= p * math.Log2(p)
		}
		if math.Abs(sum-1) > 1e-9 || math.Abs(entropy-bits) > 1e-3*(bits+.01) {
			t.Errorf("%v bits: probabilities add up to %v, entropy %v", bits, sum, entropy)
		}
	}
	for _, bits := range []float64{0, -1, MaxEntropy + 1, math.NaN()} {
		if _, err := GeometricStep(bits); err == nil {
			t.Errorf("%v bits are taken", bits)
		}
	}
}

// simulate draws the scores of n tokens of one step's distribution under the mark.
func simulate(t testing.TB, spec Spec, step []float64, n int, seed uint64, each func(x float64)) {
	spec.Vocab = len(step)
	spec.Params.Repeats = MarkRepeats
	s := decoy(t, spec, int(seed))
	r := rand.New(rand.NewPCG(seed, 5))
	window := make([]int32, s.Window())
	logits := make([]float32, len(step))
	for range n {
		for i := range window {
			window[i] = int32(r.Uint32() >> 1)
		}
		for i, p := range step {
			logits[i] = float32(math.Log(p))
		}
		s.Process(window, logits)
		each(s.Score(window, sample(logits, r)))
	}
}

// TestExpectedLift compares the lift with the schemes at work.
func TestExpectedLift(t *testing.T) {
	t.Parallel()
	steps := map[string][]float64{"two": {.7, .3}, "many": {.3, .2, .1, .1, .1, .05, .05, .05, .05}}
	for _, bits := range []float64{.5, 3} {
		steps["geometric"], _ = GeometricStep(bits)
		for _, scheme := range NativeSchemes() {
			for label, step := range steps {
				spec := scanSpec(scheme)
				lift, err := ExpectedLift(spec, [][]float64{step})
				if err != nil {
					t.Fatal(err)
				}
				law := decoy(t, spec, 0).Law()
				var n, mean, squares float64
				simulate(t, spec, step, 8000, 3, func(x float64) {
					x = (x - law.Mean()) / float64(max(law.Bits, 1))
					n++
					d := x - mean
					mean += d / n
					squares += d * (x - mean)
				})
				se := math.Hypot(math.Sqrt(squares/n/n), lift.SE)
				if math.Abs(mean-lift.Value) > 4.5*se {
					t.Errorf("%s, %s: lift %v, simulated %v with standard error %v", scheme, label, lift.Value, mean, se)
				}
			}
		}
	}
	sure, err := ExpectedLift(scanSpec(Gumbel), [][]float64{{1}})
	if err != nil || math.Abs(sure.Value) > 1e-13 {
		t.Errorf("a sure step lifts by %v, %v", sure.Value, err)
	}
	// One layer of two leaves lifts by (1-Σp²)/4; two equal candidates are played
	// out by the first layer in which their bits differ.
	if half, _ := ExpectedLift(scanSpec(KGW), [][]float64{{.5, .5}}); true {
		e := math.Exp(2)
		want := .0625*1 + 2*.25*.75*e/(1+e) - .25 // both green; one green
		if math.Abs(half.Value-want) > 1e-12 {
			t.Errorf("kgw on two equal candidates: %v, want %v", half.Value, want)
		}
	}
	for _, test := range []struct {
		spec  Spec
		steps [][]float64
		want  string
	}{
		{scanSpec(Gumbel), nil, "no steps"},
		{scanSpec(Gumbel), [][]float64{{1}, {.5, .4}}, "step 2: the probabilities add up to 0.9"},
		{scanSpec(Gumbel), [][]float64{{1.5, -.5}}, "no probability"},
		{Spec{Scheme: "gumble", Tokenizer: "toy"}, [][]float64{{1}}, "not known"},
	} {
		if _, err := ExpectedLift(test.spec, test.steps); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%v: error %v, want %q", test.steps, err, test.want)
		}
	}
}

// TestPresetLift compares the lift with presets at work, and what it cannot say.
func TestPresetLift(t *testing.T) {
	t.Parallel()
	step, _ := GeometricStep(2)
	for _, scheme := range []string{"tgi", "hf-kgw-lefthash", "vllm-gumbel", VLLMGumbelDual} {
		p, _ := PresetByName(scheme)
		key, err := Import(Spec{Scheme: scheme, Vocab: len(step)}, private(p, 1), new(counting))
		if err != nil {
			t.Fatal(err)
		}
		lift, err := ExpectedLift(key.Spec, [][]float64{step})
		if err != nil {
			t.Fatal(err)
		}
		var n, mean, squares float64
		law := decoy(t, key.Spec, 0).Law()
		for k := range 20 { // lists repeat within a key, so many keys
			simulate(t, key.Spec, step, 300, uint64(k), func(x float64) {
				x -= law.Mean()
				n++
				d := x - mean
				mean += d / n
				squares += d * (x - mean)
			})
		}
		if se := math.Sqrt(squares / n / n); math.Abs(mean-lift.Value) > 5*se {
			t.Errorf("%s: lift %v, simulated %v with standard error %v", scheme, lift.Value, mean, se)
		}
		if d, err := TokensNeeded(key.Spec, lift, 0, -6, .9, 1); err != nil || d.Units < 10 {
			t.Errorf("%s: %+v, %v", scheme, d, err)
		}
	}
	for scheme, want := range map[string]string{"hf-synthid": "no null law", MarkLLMUnigram: "one list"} {
		p, _ := PresetByName(scheme)
		key, err := Import(Spec{Scheme: scheme, Vocab: 1000}, private(p, 1), new(counting))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ExpectedLift(key.Spec, [][]float64{step}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", scheme, err)
		}
	}
}

// TestTokensNeeded writes as many tokens as are asked for and counts how often
// the mark is found.
func TestTokensNeeded(t *testing.T) {
	t.Parallel()
	const texts = 200
	for _, scheme := range NativeSchemes() {
		for _, bits := range []float64{1, 3} {
			spec := scanSpec(scheme)
			step, _ := GeometricStep(bits)
			lift, err := ExpectedLift(spec, [][]float64{step})
			if err != nil {
				t.Fatal(err)
			}
			need, err := TokensNeeded(spec, lift, 0, -3, .9, 1)
			if err != nil || need.Tokens != need.Units+2 {
				t.Fatalf("%+v, %v", need, err)
			}
			found, n := 0, int64(0)
			var score float64
			null := nullOf(decoy(t, spec, 0))
			simulate(t, spec, step, texts*int(need.Units), 6, func(x float64) {
				score += x
				if n++; n == need.Units {
					if null.tail(score, evidence.Plain(n)).Log10P <= -3 {
						found++
					}
					n, score = 0, 0
				}
			})
			// The alternative behind the number of units spreads wider than gumbel's
			// scores do, so that more is found there. 4 standard deviations below .9.
			if share := float64(found) / texts; share < .9-.085 {
				t.Errorf("%s, %v bits: %d units find the mark in a share of %v", scheme, bits, need.Units, share)
			}
		}
	}
}

func TestTokensNeededGrow(t *testing.T) {
	t.Parallel()
	spec := scanSpec(KGW)
	need := func(lift, edits, alpha float64, keys int) Demand {
		d, err := TokensNeeded(spec, Lift{Value: lift}, edits, alpha, .9, keys)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	// The figures of a green list's plan: lift .05 and .01 at 1e-6 and power .9.
	if n := need(.05, 0, -6, 1).Units; math.Abs(float64(n)/2850-1) > .02 {
		t.Errorf("lift .05 needs %d units, want about 2,850", n)
	}
	base := need(.3, 0, -6, 1)
	edited := need(.3, .2, -6, 1)
	if math.Abs(edited.Effect-.3*.8*.8*.8) > 1e-12 || edited.Units < 3*base.Units {
		t.Errorf("with 20 %% edits %+v, without %+v", edited, base)
	}
	if keyed, strict := need(.3, 0, -6, 1000), need(.3, 0, -9, 1); keyed.Units != strict.Units {
		t.Errorf("a thousand keys at 1e-6 need %d units, one at 1e-9 %d", keyed.Units, strict.Units)
	}
	if d := need(0, 0, -6, 1); d.Units != 0 {
		t.Errorf("no lift needs %d units", d.Units)
	}
	for _, bad := range []struct {
		edits, alpha, power float64
		keys                int
	}{{1, -6, .9, 1}, {-.1, -6, .9, 1}, {0, 0, .9, 1}, {0, -6, 1, 1}, {0, -6, .9, 0}, {math.NaN(), -6, .9, 1}} {
		if _, err := TokensNeeded(spec, Lift{Value: .3}, bad.edits, bad.alpha, bad.power, bad.keys); err == nil {
			t.Errorf("%+v is taken", bad)
		}
	}
}
