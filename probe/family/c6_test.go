package family

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stillmark/stillmark/corpora/reading"
	"github.com/stillmark/stillmark/corpora/tokens"
	"github.com/stillmark/stillmark/probe/endpoint/mock/persona"
	"github.com/stillmark/stillmark/probe/ledger"
)

// neuralReplies reads the replies of a small real neural model (see
// probe/testdata/neural/README.md), decoded from its token ids.
func neuralReplies(t testing.TB, model string) map[string]string {
	t.Helper()
	dir := filepath.Join("..", "testdata", "neural")
	enc, err := tokens.LoadTiktoken(filepath.Join(dir, "tiny.tiktoken"), `'(?:s|t|re|ve|ll|d|m)| ?[A-Za-z]+| ?[0-9]| ?[^\sA-Za-z0-9]+|\s+`)
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(dir, model+".jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for s := bufio.NewScanner(bytes.NewReader(data)); s.Scan(); {
		var line struct {
			ID     string  `json:"id"`
			Tokens []int32 `json:"tokens"`
		}
		if err := json.Unmarshal(s.Bytes(), &line); err != nil {
			t.Fatal(err)
		}
		out[line.ID] = strings.ToValidUTF8(string(enc.Decode(line.Tokens)), "�")
	}
	if len(out) != 320 {
		t.Fatalf("%s has %d replies", model, len(out))
	}
	return out
}

// neural is the audit of plain, which was fine-tuned on the teacher's unmarked replies,
// against innocent, the base model of both.
func neural(t testing.TB, control ledger.Target) *population {
	t.Helper()
	of := map[string]map[string]string{}
	for _, m := range []string{"teacher", "plain", "innocent"} {
		of[m] = neuralReplies(t, m)
	}
	var q []ledger.Prompt
	for id := range of["teacher"] {
		q = append(q, ledger.Prompt{ID: id, Suite: "s", Lang: "en", Text: id})
	}
	slices.SortFunc(q, func(a, b ledger.Prompt) int { return strings.Compare(a.ID, b.ID) })
	p := newPopulation(Stylometry, 1, q)
	from := func(m string) func(*ledger.Prompt, int) (string, string) {
		return func(q *ledger.Prompt, _ int) (string, string) { return of[m][q.ID], "" }
	}
	p.answer(t, ledger.Target{Name: "teacher", Role: ledger.Ours}, from("teacher"))
	p.answer(t, ledger.Target{Name: "rival", Role: ledger.Rival}, from("plain"))
	p.answer(t, control, from("innocent"))
	return p
}

// Real small models: paired and clustered by prompt, plain is closer to the teacher
// than innocent is, and the interval of 99 % excludes 0. With one control that is
// nothing to speak of, and the program says so.
func TestNeuralStyle(t *testing.T) {
	t.Parallel()
	for _, control := range []ledger.Target{
		{Name: "innocent", Role: ledger.Control},
		{Name: "innocent", Role: ledger.Control, PreviousOf: "rival"}, // as it is
	} {
		p := neural(t, control)
		out := p.find(t, 1)
		f, c := out.Finding, out.Finding.Comparison
		if c == nil || f.N != 320 || f.Replies != 320 {
			t.Fatalf("%+v", f)
		}
		lead := c.Controls[0]
		t.Logf("closeness to the teacher: plain %.4f, innocent %.4f; lead %.4f, 99 %% interval %.4f to %.4f", c.Matrix.Values[0][0], c.Matrix.Values[1][0], lead.Lead, lead.LeadLo, lead.LeadHi)
		if !(lead.LeadLo > 0 && lead.LeadLo < lead.Lead && lead.Lead < lead.LeadHi) {
			t.Errorf("plain leads innocent by %.4f (%.4f to %.4f)", lead.Lead, lead.LeadLo, lead.LeadHi)
		}
		f.Verdict, f.Tier, f.Family, f.Target = JudgeComparison(c), ledger.Comparative, Stylometry, "plain"
		if f.Verdict != ledger.VerdictFewControls {
			t.Errorf("verdict %s", f.Verdict)
		}
		if st := Say(&f, -6); st.Headline != "Too few controls in C6 (stylometry) for plain: with 1 control the rank cannot reach below a floor of 1/2, and at least 19 controls are needed for a word." {
			t.Errorf("headline: %s", st.Headline)
		}
		if (c.Previous == "innocent") != (control.PreviousOf != "") || (c.Permutation != nil) != (control.PreviousOf != "") {
			t.Errorf("previous version %q, permutation %+v", c.Previous, c.Permutation)
		}
		if c.Permutation != nil && (c.Permutation.Log10P > -3.9 || c.Permutation.N != 320) {
			t.Errorf("paired permutation: %+v", c.Permutation)
		}
		if !slices.Contains(out.Warnings, WarnNoTeachers) {
			t.Errorf("a comparison without another teacher passes without a warning: %v", out.Warnings)
		}
	}
}

// Halves of one model's replies do not lead each other.
func TestNeuralStyleNull(t *testing.T) {
	t.Parallel()
	p := neural(t, ledger.Target{Name: "innocent", Role: ledger.Control, PreviousOf: "rival"})
	// The rival answers with innocent's replies to prompts of the same place in another
	// order: the same model, other samples.
	rival, innocent := p.targets["rival"], p.targets["innocent"]
	for i := range rival.attempts {
		rival.held[i].Response = innocent.held[(i+7)%len(innocent.held)].Response
	}
	c := p.find(t, 1).Finding.Comparison
	if lead := c.Controls[0]; lead.LeadLo > 0 || lead.LeadHi < 0 || c.Permutation.Log10P < -2.5 {
		t.Errorf("a model leads itself: %+v, %+v", lead, c.Permutation)
	}
}

func stylePrompts(t testing.TB, n int, kind reading.Kind) []ledger.Prompt {
	return prompts(t, n, []string{"en"}, func(i int) (string, reading.Reading) {
		return fmt.Sprintf("Write about %d.", i), reading.Reading{Kind: kind}
	})
}

func TestStylometryIsCalibrated(t *testing.T) {
	t.Parallel()
	q := stylePrompts(t, 40, reading.KindStyle)
	calibrated(t, worlds(16), []float64{.25, .5, .9}, func(world uint64, rate float64) *population {
		return scripted(t, newPopulation(Stylometry, 1, q), world, scenery{controls: 19, rate: rate})
	})
}

func TestReasoningStyleIsCalibrated(t *testing.T) {
	t.Parallel()
	q := stylePrompts(t, 20, reading.KindPuzzle)
	calibrated(t, worlds(16), []float64{.25, .5, .9}, func(world uint64, rate float64) *population {
		return scripted(t, newPopulation(ReasoningStyle, 1, q), world, scenery{controls: 19, rate: rate})
	})
}

// The rival's previous version is the base of the effect: what the two have in common
// is no effect, what the rival learnt since is.
func TestDifferenceInDifferences(t *testing.T) {
	t.Parallel()
	q := stylePrompts(t, 40, reading.KindPuzzle)
	for _, rate := range []float64{0, .6} {
		p := scripted(t, newPopulation(ReasoningStyle, 1, q), 8, scenery{controls: 19, rate: rate, each: func(i int, tr *persona.Traits) {
			if i == 4 {
				tr.School, tr.Vendor, tr.Ability = "s3", "Rowan", .6
			}
		}})
		for i := range p.plan.Targets {
			if p.plan.Targets[i].Name == "control04" {
				p.plan.Targets[i].PreviousOf = "rival"
			}
		}
		f := p.find(t, 8).Finding
		c := f.Comparison
		if c.Previous != "control04" || c.Permutation == nil || !strings.HasSuffix(f.EffectUnit, "previous version, control04") {
			t.Fatalf("%+v", f)
		}
		if math.Abs(f.Effect-c.Controls[4].Lead) > 1e-12 || len(c.Controls) != 19 {
			t.Errorf("effect %v, lead over the previous version %v, %d controls", f.Effect, c.Controls[4].Lead, len(c.Controls))
		}
		if learnt := f.EffectLo > 0; learnt != (rate > 0) {
			t.Errorf("rate %v: effect %.4f (%.4f to %.4f)", rate, f.Effect, f.EffectLo, f.EffectHi)
		}
	}
}

// Where reasoning stands, and that what surrounds it is not read.
func TestReasoningOf(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ reasoning, text, want, where string }{
		{"Wait, let me check.", "42", "Wait, let me check.", "separate"},
		{"", "<think>Hmm, so 42?</think>42", "Hmm, so 42?", "inline"},
		{"", "Let me see</think>42", "Let me see", "inline"},
		{"", "First, 6 times 7. So 42.", "First, 6 times 7. So 42.", "visible"},
		{" \n", "x", "x", "visible"},
	} {
		if text, where := reasoningOf(&ledger.Reply{Reasoning: tc.reasoning, Text: tc.text}); text != tc.want || where != tc.where {
			t.Errorf("%q + %q: %q (%s)", tc.reasoning, tc.text, text, where)
		}
	}
}

// Features see what they are named for, and survive hostile text.
func TestStyleFeatures(t *testing.T) {
	t.Parallel()
	at := func(f []feature, k int) float64 {
		for _, x := range f {
			if x.at == k {
				return x.value
			}
		}
		return 0
	}
	place := placesOf("en")
	f := styleOf("en", "The cat and the dog. The bird, and the fish.")
	if got, want := at(f, place["the"]), 4./13; math.Abs(got-want) > 1e-12 {
		t.Errorf("rate of the: %v, want %v", got, want)
	}
	if got := at(styleOf("ja", "猫は魚が好きです。"), placesOf("ja")["は"]); got == 0 {
		t.Error("a Japanese particle is not seen")
	}
	r := reasoningForm("en", "Wait, that is wrong. Let me check: 6*7 = 42. 所以 so 42.")
	if at(r, slices.Index(pivots["en"], "wait")) == 0 || at(r, pivotFeatures+backtracking) == 0 || at(r, pivotFeatures+20) == 0 {
		t.Errorf("pivot, back-tracking or foreign script is not seen: %v", r)
	}
	rng := rand.New(rand.NewPCG(1, 1))
	junk := make([]byte, 1<<20)
	for i := range junk {
		junk[i] = byte(rng.Uint32())
	}
	for _, text := range []string{"", " ", "\x00", string(junk), strings.Repeat("(", 1<<20), "\u202e\u200d", strings.Repeat("\n", 1000)} {
		for _, f := range [][]feature{styleOf("en", text), reasoningForm("zh", text)} {
			for i, x := range f {
				if math.IsNaN(x.value) || math.IsInf(x.value, 0) || x.at < 0 || x.at >= wordFeatures+sequenceFeatures+skeletonFeatures || i > 0 && f[i-1].at >= x.at {
					t.Fatalf("%.20q: feature %+v", text, x)
				}
			}
		}
	}
	for lang, list := range functionWords {
		if len(list) > wordFeatures {
			t.Errorf("%s has %d function words, more than the block", lang, len(list))
		}
	}
	for lang, list := range pivots {
		if len(list) > pivotFeatures {
			t.Errorf("%s has %d pivots, more than the block", lang, len(list))
		}
	}
}

// BenchmarkStyle reads 2,000 replies of 300 words.
func BenchmarkStyle(b *testing.B) {
	m := persona.NewWorld(1).Model(persona.Traits{Name: "m"})
	var text strings.Builder
	for i := range 5 {
		s, err := m.Answer(&ledger.Prompt{ID: fmt.Sprint(i), Text: "x"}, i)
		if err != nil {
			b.Fatal(err)
		}
		text.WriteString(s + " ")
	}
	b.SetBytes(int64(text.Len()))
	for b.Loop() {
		styleOf("en", text.String())
	}
}
