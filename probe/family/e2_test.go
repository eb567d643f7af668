package family

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stillmark/stillmark/corpora/reading"
	"github.com/stillmark/stillmark/corpora/tokens"
	"github.com/stillmark/stillmark/probe/ledger"
	"github.com/stillmark/stillmark/watermark"
	"github.com/stillmark/stillmark/watermark/evidence"
)

// continuing is a scenario of passages that were written under a key; next says what
// the rival continues a prefix with, the control draws words.
func continuing(t testing.TB, k *watermark.Key, passages, cuts int, seed uint64, next func(rng *rand.Rand, prefix []int32) int32) *scenario {
	t.Helper()
	e, err := tokens.Get("cl100k")
	if err != nil {
		t.Fatal(err)
	}
	m := mark(t, k)
	rng := rand.New(rand.NewPCG(seed, 4))
	s := newScenario(t, []string{"rival", "control-a"}, nil)
	s.kind = ledger.KindCompletion
	s.test(k, ledger.ModeFixedN)
	for i := range s.plan.Tests {
		u := &s.plan.Tests[i]
		u.ID, u.Family, u.Weights = strings.Replace(u.ID, "E1/", "E2/", 1), ReadingMode, watermark.WeightsNone
	}
	var texts []string
	for range passages {
		texts = append(texts, text(speak(rng, 40+6*cuts, m, 1)))
	}
	prefixes, of, err := CutAll(m, e, texts, Cuts{First: 40, Step: 6, Most: cuts})
	if err != nil {
		t.Fatal(err)
	}
	for i, prefix := range prefixes {
		s.ask([]string{"en", "fr"}[of[i]%2], "", prefix, reading.Reading{Item: fmt.Sprint("p", of[i]), Kind: reading.KindPassage}).Kind = ledger.KindCompletion
	}
	for i := range s.plan.Prompts {
		p := &s.plan.Prompts[i]
		ids, err := e.Encode(p.Text)
		if err != nil {
			t.Fatal(err)
		}
		s.body[ledger.ItemID("rival", "s", p.ID, 0)] = completionBody(string(e.Decode([]int32{next(rng, ids)})))
		s.body[ledger.ItemID("control-a", "s", p.ID, 0)] = completionBody(string(e.Decode([]int32{draw(rng)})))
	}
	return s
}

func completionBody(text string) string {
	return fmt.Sprintf(`{"id":"c","object":"text_completion","model":"m","choices":[{"index":0,"text":%q,"finish_reason":"length"}],"usage":{"prompt_tokens":7,"completion_tokens":1,"total_tokens":8}}`, text)
}

// leaning continues with the better of two draws at a share of the positions.
func leaning(m watermark.Scheme, share float64) func(*rand.Rand, []int32) int32 {
	return func(rng *rand.Rand, prefix []int32) int32 {
		token := draw(rng)
		if window, ok := m.WindowOf(prefix); ok && rng.Float64() < share {
			if other := draw(rng); m.Score(window, other) > m.Score(window, token) {
				token = other
			}
		}
		return token
	}
}

func TestReadingMode(t *testing.T) {
	t.Parallel()
	for _, scheme := range schemes {
		t.Run(scheme, func(t *testing.T) {
			t.Parallel()
			k := newKey(t, scheme, 51)
			s := continuing(t, k, 40, 15, 1, leaning(mark(t, k), 1))
			s.commit(k, testTime.Add(-48*time.Hour))
			f := analyze(t, s.build(), k)
			rival, control := f.Findings[0], f.Findings[1]
			if rival.Verdict != ledger.VerdictSingleRun || rival.N < 580 || rival.Replies != int64(len(s.plan.Prompts)) || !rival.Decoys.Pass {
				t.Errorf("rival: %s, %d positions of %d, log10 p %v, decoys %+v, %v", rival.Verdict, rival.N, rival.Replies, rival.Log10P, rival.Decoys, rival.Warnings)
			}
			if !(rival.EffectLo > 0 && rival.EffectLo < rival.Effect && rival.Effect < rival.EffectHi) || len(rival.Parts) != 2 || rival.Parts[0].Lo <= 0 {
				t.Errorf("effect %v [%v, %v], parts %+v", rival.Effect, rival.EffectLo, rival.EffectHi, rival.Parts)
			}
			if control.Verdict != ledger.VerdictNone || control.Power.Effect <= 0 || control.Power.Effect >= rival.Effect {
				t.Errorf("control: %s, power %+v, rival's effect %v", control.Verdict, control.Power, rival.Effect)
			}
		})
	}
}

// induction continues as the prefix did the last time that it said the same: the last
// two tokens, else the last one, else a draw. It knows no key, and reads marked text.
func induction(window int) func(*rand.Rand, []int32) int32 {
	return func(rng *rand.Rand, prefix []int32) int32 {
		for h := window; h > 0; h-- {
			last := prefix[len(prefix)-h:]
			for i := len(prefix) - 1; i >= h; i-- {
				if slices.Equal(prefix[i-h:i], last) {
					return prefix[i]
				}
			}
		}
		return draw(rng)
	}
}

// A rival that knows no key and repeats what it reads is innocent of it: over keys, with
// passages written under each, p is uniform where windows are fresh. Were windows that
// the prefix had before scored, too, p would be below 1e-3 for nearly every key: for 292 of
// these 300, where a valid p is for one key in a thousand.
func TestReadingModeOfInnocents(t *testing.T) {
	t.Parallel()
	e, err := tokens.Get("cl100k")
	if err != nil {
		t.Fatal(err)
	}
	keys := keysPerCell(300)
	p, guilty := make([]float64, keys), 0
	for i := range p {
		k := newKey(t, watermark.KGW, uint64(4000+i))
		m := mark(t, k)
		rng := rand.New(rand.NewPCG(uint64(i), 5))
		d := watermark.NewDetector(m, watermark.Options{Weights: watermark.WeightsNone})
		all := watermark.NewDetector(m, watermark.Options{Weights: watermark.WeightsNone})
		next := induction(m.Window())
		for range 18 {
			// Half of the passage is said again, so that windows recur.
			half := speak(rng, 60, m, 1)
			passage := slices.Concat(half, half[20:], half[20:], speak(rng, 30, m, 1))
			for cut := 40; cut < len(passage); cut += 2 {
				prefix := passage[:cut]
				token := next(rng, prefix)
				at := position{prefix[cut-m.Window():], token}
				all.Add(watermark.Item{Tokens: append(slices.Clone(at.window), token)})
				at, ok, err := read(m, e, prefix, text(prefix), text([]int32{token}))
				if err != nil {
					t.Fatal(err)
				}
				if ok {
					d.Add(watermark.Item{Tokens: append(slices.Clone(at.window), at.token)})
				}
			}
		}
		r := d.Result()
		p[i] = r.Law.RandomizedP(r.Score, r.Counts, rng.Float64()*(1-0x1p-40)+0x1p-41)
		if all.Result().Tail.Log10P <= -3 {
			guilty++
		}
	}
	uniform(t, "reading mode", p)
	if guilty < keys*9/10 {
		t.Errorf("the trap did not close: only %d of %d keys look learned where stale windows are scored", guilty, keys)
	}
}

func TestPrefixes(t *testing.T) {
	t.Parallel()
	e, err := tokens.Get("cl100k")
	if err != nil {
		t.Fatal(err)
	}
	k := newKey(t, watermark.Gumbel, 52)
	m := mark(t, k)
	rng := rand.New(rand.NewPCG(6, 6))
	ids := speak(rng, 120, m, 1)
	passage := text(ids)
	prefixes, err := Prefixes(m, e, passage, Cuts{First: 30, Step: 10, Most: 5})
	if err != nil || len(prefixes) != 5 {
		t.Fatalf("%d prefixes, %v", len(prefixes), err)
	}
	at := 0
	for _, prefix := range prefixes {
		got, err := e.Encode(prefix)
		if err != nil || len(got) < at+10 || !strings.HasPrefix(passage, prefix) || !fresh(m, got) {
			t.Errorf("a prefix of %d tokens after one of %d: %v", len(got), at, err)
		}
		at = len(got)
	}
	// Whatever follows, the prefixes are the same.
	for range 20 {
		other, err := Prefixes(m, e, prefixes[2]+text(speak(rng, 40, nil, 0)), Cuts{First: 30, Step: 10, Most: 3})
		if err != nil || !slices.Equal(other, prefixes[:3]) {
			t.Fatalf("what follows decides on the cuts: %v", err)
		}
	}
	loop := strings.Repeat(text(ids[:8]), 20)
	if got, err := Prefixes(m, e, loop, Cuts{First: 30, Step: 1, Most: 9}); err != nil || len(got) > 0 {
		t.Errorf("%d positions of a passage that repeats itself, %v", len(got), err)
	}
	self := newKey(t, watermark.KGW, 53, func(s *watermark.Spec) { s.Params.Seeding, s.Params.Window = watermark.SelfHash, 4 })
	if _, err := Prefixes(mark(t, self), e, passage, DefaultCuts()); err == nil || !strings.Contains(err.Error(), "whole window") {
		t.Errorf("a scheme of seeds: %v", err)
	}
	if _, _, err := CutAll(m, e, []string{"Too short."}, DefaultCuts()); err == nil {
		t.Error("nothing to ask is no error")
	}
}

func TestReadingPower(t *testing.T) {
	t.Parallel()
	law := evidence.Bernoulli(.25)
	row := PlannedReading(law, 3112, ledger.ModeFixedN, -6)
	if row.Units != 2801 || math.Abs(row.Effect-.05) > 1e-3 || len(row.At) != 4 || math.Abs(float64(row.At[2].Units)-2800) > .03*2800 {
		t.Errorf("%+v", row)
	}
	rng := rand.New(rand.NewPCG(7, 7))
	for _, effect := range []float64{0, .03, .04, row.Effect} {
		found, runs := 0, 400
		for range runs {
			hits := int64(0)
			for range row.Units {
				if rng.Float64() < .25+effect {
					hits++
				}
			}
			if evidence.Log10BinomialSF(hits, row.Units, .25) <= -6 {
				found++
			}
		}
		within(t, fmt.Sprint("effect ", effect), found, runs, law.Power(evidence.Plain(row.Units), effect, -6))
	}
}
