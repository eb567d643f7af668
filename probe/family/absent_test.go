package family

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stillmark/stillmark/probe/ledger"
	"github.com/stillmark/stillmark/watermark"
)

// A test of reasoning text that has nothing to read says what it was to read, and holds
// no number that was not measured; an earlier case holds the zeros that it held.
func TestUnmeasured(t *testing.T) {
	t.Parallel()
	k := newKey(t, watermark.Gumbel, 12)
	build := func(wording string) ledger.Finding {
		s := newScenario(t, []string{"rival"}, neutral(5))
		s.plan.Wording = wording
		s.test(k, ledger.ModeFixedN)
		reasoning := s.plan.Tests[0]
		reasoning.ID += "/reasoning"
		reasoning.Options = []byte(`{"part":"reasoning"}`)
		s.plan.Tests = append(s.plan.Tests, reasoning)
		rng := rand.New(rand.NewPCG(5, 6))
		for i := range 5 {
			s.reply("rival", i, text(speak(rng, 60, nil, 0)))
		}
		f := analyze(t, s.build(), k)
		if x := f.Findings[0]; x.N == 0 || math.IsNaN(x.Effect) || x.Text != "" {
			t.Errorf("%s: the answers: %+v", wording, x)
		}
		data, err := Encode(f)
		if err != nil {
			t.Fatal(err)
		}
		if old := wording != WordingVersion; strings.Contains(string(data), `"effect": null`) == old {
			t.Errorf("%s:\n%s", wording, data)
		}
		return f.Findings[1]
	}
	x := build(WordingVersion)
	if !math.IsNaN(x.Effect) || !math.IsNaN(x.EffectLo) || !math.IsNaN(x.Power.Effect) || x.Text != PartReasoning {
		t.Errorf("%+v", x)
	}
	if said := Say(&x, -6).Headline; !strings.Contains(said, "and rival (reasoning text): 0 scored units") {
		t.Error(said)
	}
	if said := must(BookOf("fr")).Say(&x, -6).Headline; !strings.Contains(said, "rival (texte de raisonnement)") {
		t.Error(said)
	}
	for _, v := range allVerdicts {
		y := x
		y.Verdict = v
		if said := Say(&y, -6).Headline; !strings.Contains(said, "reasoning text") && v != ledger.VerdictLead && v != ledger.VerdictNoLead && v != ledger.VerdictFewControls {
			t.Errorf("%s hides what was read: %s", v, said)
		}
	}
	if old := build(wordingName + "3"); old.Effect != 0 || old.Power.Effect != 0 || old.Text != "" {
		t.Errorf("an earlier case: %+v", old)
	}
}

// The sentence of a test counts those that it is corrected for, and what stands apart.
func TestTiersAreCountedApart(t *testing.T) {
	t.Parallel()
	k := newCanary(t, 5)
	s := choosing(t, k, 60, 6, 1, 1)
	if f := analyze(t, s.build(), k).Findings[0]; f.M != len(s.plan.Tests) || f.Beside != 0 {
		t.Errorf("%d exact tests alone: %d of their kind, %d beside", len(s.plan.Tests), f.M, f.Beside)
	}
	f := someFinding(Radioactivity, ledger.VerdictWeak, ledger.Exact, new(float64))
	*f.HolmLog10P, f.M, f.Primary = -3, 4, true
	if said := Say(f, -6).Headline; !strings.Contains(said, "after correction for 4 tests)") {
		t.Error(said)
	}
	f.Beside = 8
	if said := Say(f, -6).Headline; !strings.Contains(said, "after correction for 4 exact tests; comparative ones (8) are corrected apart") {
		t.Error(said)
	}
}
