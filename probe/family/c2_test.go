package family

import (
	"fmt"
	"math"
	"testing"

	"github.com/stillmark/stillmark/corpora/reading"
	"github.com/stillmark/stillmark/probe/endpoint/mock/persona"
	"github.com/stillmark/stillmark/probe/ledger"
	"github.com/stillmark/stillmark/watermark/evidence"
)

func TestPick(t *testing.T) {
	t.Parallel()
	number := &reading.Reading{Kind: reading.KindNumber, Low: 1, High: 100}
	city := &reading.Reading{Kind: reading.KindPick, Options: [][]string{{"Lisbon", "Lisbonne"}, {"Rome"}, {"New York"}, {"東京", "Tokyo"}}}
	coin := &reading.Reading{Kind: reading.KindCoin, Options: [][]string{{"heads"}, {"tails"}}}
	free := &reading.Reading{Kind: reading.KindPick}
	for _, tc := range []struct {
		r          *reading.Reading
		text, want string
	}{
		{number, "37", "37"},
		{number, "**42**", "42"},
		{number, "Between 1 and 100 I pick 73.", "73"},
		{number, "1", "1"},
		{number, "４２です", "42"},
		{number, "٣٧", "37"},
		{number, "1,000? No: 57.", "57"},
		{number, "I have no preference", ""},
		{number, "<think>7? 8? No.</think> 64", "64"},
		{number, "Out of 17 and 23 I take **23**.", "23"},
		{city, "Lisbonne.", "option 0"},
		{city, "I love Rome, though New York is fine.", "option 1"},
		{city, "Rome is nice but **New York** wins", "option 2"},
		{city, "東京！", "option 3"},
		{city, "Ouagadougou", "ouagadougou"},
		{coin, "It landed on heads!", "option 0"},
		{coin, "Heads or tails? **Tails**", "option 1"},
		{coin, "heads or tails, who knows", ""},
		{coin, "the edge", ""},
		{free, "\n  “Mira”!  ", "mira"},
		{free, "I would call the cat **Smokey**, since it is grey and moves like smoke.", "smokey"},
		{free, "There are so many names that I would rather not choose one for you at all today", ""},
		{free, "", ""},
	} {
		if got := pick(tc.r, tc.text); got != tc.want {
			t.Errorf("pick(%s, %q) = %q, want %q", tc.r.Kind, tc.text, got, tc.want)
		}
	}
}

// randomPrompts are some numbers and some choices.
func randomPrompts(t testing.TB, n int) []ledger.Prompt {
	return prompts(t, n, []string{"en", "fr"}, func(i int) (string, reading.Reading) {
		if i%2 == 0 {
			return fmt.Sprintf("Number %d?", i), reading.Reading{Kind: reading.KindNumber, Low: 1, High: 20}
		}
		return fmt.Sprintf("Colour %d?", i), reading.Reading{Kind: reading.KindPick, Options: [][]string{{"red"}, {"blue"}, {"green"}, {"black"}, {"white"}, {"pink"}}}
	})
}

func TestRandomChoiceIsCalibrated(t *testing.T) {
	t.Parallel()
	q := randomPrompts(t, 8)[:8]
	calibrated(t, worlds(24), []float64{.1, .25, .5}, func(world uint64, rate float64) *population {
		return scripted(t, newPopulation(RandomChoice, 15, q), world, scenery{controls: 19, rate: rate})
	})
}

func TestRandomChoiceFinding(t *testing.T) {
	t.Parallel()
	q := randomPrompts(t, 12)
	out := scripted(t, newPopulation(RandomChoice, 20, q), 5, scenery{controls: 20, rate: .6}).find(t, 5)
	f, c := out.Finding, out.Finding.Comparison
	if c.Rank != 1 || c.Of != 21 || len(c.Controls) != 20 || c.Vendors != 10 || f.N != 12 {
		t.Errorf("rank %d of %d, %d controls of %d vendors, %d items", c.Rank, c.Of, len(c.Controls), c.Vendors, f.N)
	}
	if !(f.EffectLo > 0 && f.EffectLo < f.Effect && f.Effect < f.EffectHi) {
		t.Errorf("effect %v from %v to %v", f.Effect, f.EffectLo, f.EffectHi)
	}
	if JudgeComparison(c) != ledger.VerdictLead || len(f.Parts) != 4 || f.Power.Effect <= 0 {
		t.Errorf("verdict %s, parts %+v, power %+v", JudgeComparison(c), f.Parts, f.Power)
	}
	if len(c.Matrix.Teachers) != 3 || c.Matrix.Teachers[0] != "us" || len(c.Matrix.Sources) != 21 || c.Matrix.Sources[0] != "rival" {
		t.Errorf("matrix of %v and %v", c.Matrix.Sources, c.Matrix.Teachers)
	}
	r := evidence.Residuals(c.Matrix.Values)
	if math.Abs(r[0][0]-c.Rival) > 1e-12 || f.Score != c.Rival {
		t.Errorf("the ranked statistic %v is not the matrix's residual %v", c.Rival, r[0][0])
	}
	if *f.Log10P != c.Log10P || out.Log10P != c.Log10P || math.Abs(c.Log10Floor+math.Log10(21)) > 1e-12 {
		t.Errorf("log10 p %v, floor %v", c.Log10P, c.Log10Floor)
	}
	// The same again is the same to the last bit.
	again := scripted(t, newPopulation(RandomChoice, 20, q), 5, scenery{controls: 20, rate: .6}).find(t, 5)
	if again.Finding.EffectLo != f.EffectLo || again.Finding.Parts[0] != f.Parts[0] {
		t.Error("a second computation differs")
	}
}

// Whoever may be kin of a teacher, or is no stranger for another reason, is no control.
func TestWhoIsNoControl(t *testing.T) {
	t.Parallel()
	q := randomPrompts(t, 2)
	p := newPopulation(RandomChoice, 2, q)
	scripted(t, p, 1, scenery{controls: 6, each: func(i int, tr *persona.Traits) {
		switch i {
		case 0:
			tr.Vendor = "stillwater " // ours, written otherwise
		case 1:
			tr.Vendor = "Teacher1"
		}
	}})
	last := len(p.plan.Targets) - 1
	p.plan.Targets[last].Model = "host/Rival"                   // served elsewhere
	p.plan.Targets[last-1].Model = p.plan.Targets[last-2].Model // control04 is control03
	p.plan.Tests[0].Options = []byte(`{"students":["control02"]}`)
	w := persona.NewWorld(1)
	p.add(t, ledger.Rival, w.Model(persona.Traits{Name: "other"}))
	p.add(t, ledger.Ours, w.Model(persona.Traits{Name: "us2"}))
	c := p.find(t, 1).Finding.Comparison
	want := []string{
		"us is our model", "teacher0 serves as a teacher", "teacher1 serves as a teacher", "control00 is of the same vendor as us, a teacher",
		"control01 is of the same vendor as teacher1, a teacher", "control02 is a student of our own model",
		"control04 is the same model as control03, which counts once", "control05 is the same model as rival", "other is another rival", "us2 is another endpoint of our model",
	}
	if fmt.Sprint(c.NotControls) != fmt.Sprint(want) {
		t.Errorf("no controls:\n%q, want\n%q", c.NotControls, want)
	}
	if len(c.Controls) != 1 || JudgeComparison(c) != ledger.VerdictFewControls || c.Vendors != 1 {
		t.Errorf("controls %+v, verdict %s", c.Controls, JudgeComparison(c))
	}
	p.plan.Tests[0].Options = []byte(`{"students":["nobody"]}`)
	fam, _ := ByID(RandomChoice)
	if _, err := fam.run(t.Context(), []*Input{p.input(1)}); err == nil {
		t.Error("an unknown student was accepted")
	}
}

// Students of ours calibrate the likelihood ratio; without them there is none.
func TestLikelihoodRatioNeedsStudents(t *testing.T) {
	t.Parallel()
	q := randomPrompts(t, 12)
	p := newPopulation(RandomChoice, 10, q)
	students := `{"students":[`
	scripted(t, p, 3, scenery{controls: 26, rate: .6, each: func(i int, tr *persona.Traits) {
		if i >= 20 {
			tr.Transfer, tr.Teacher = .6, persona.NewWorld(3).Model(persona.Traits{Name: "us", Vendor: "Stillwater", School: "s0", Ability: .75})
			students += fmt.Sprintf("%q,", tr.Name)
		}
	}})
	if c := p.find(t, 1).Finding.Comparison; c.LikelihoodRatio != nil || c.Cap != 0 {
		t.Errorf("without students: %v", *c.LikelihoodRatio)
	}
	p.plan.Tests[0].Options = []byte(students[:len(students)-1] + "]}")
	c := p.find(t, 1).Finding.Comparison
	if c.LikelihoodRatio == nil || *c.LikelihoodRatio < 10 || *c.LikelihoodRatio > 21 || c.Cap != 21 || len(c.Controls) != 20 {
		t.Errorf("with six students: ratio %v, cap %v, %d controls", c.LikelihoodRatio, c.Cap, len(c.Controls))
	}
}

func TestNothingToCompare(t *testing.T) {
	t.Parallel()
	q := randomPrompts(t, 2)
	p := newPopulation(RandomChoice, 2, q)
	p.add(t, ledger.Rival, persona.NewWorld(1).Model(persona.Traits{Name: "rival"}))
	out := p.find(t, 1)
	if out.Finding.Comparison != nil || out.Log10P != 0 || len(out.Warnings) != 1 || out.Warnings[0] != WarnNothingOfOurs {
		t.Errorf("without ours: %+v", out)
	}
	// A control that answered nothing is none, and says so.
	scripted(t, newPopulation(RandomChoice, 2, q), 1, scenery{})
	p = scripted(t, newPopulation(RandomChoice, 4, q), 1, scenery{controls: 2})
	p.answer(t, ledger.Target{Name: "mute", Role: ledger.Control}, func(*ledger.Prompt, int) (string, string) {
		return "I would rather not choose, since all of them are equally good.", ""
	})
	if c := p.find(t, 1).Finding.Comparison; len(c.Controls) != 2 || c.NotControls[len(c.NotControls)-1] != "mute could be read on 0 of the 2 items that the rival could be read on" {
		t.Errorf("a mute control: %+v", c)
	}
}
