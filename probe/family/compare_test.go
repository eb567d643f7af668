package family

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/stillmark/stillmark/corpora/reading"
	"github.com/stillmark/stillmark/probe/endpoint/mock/persona"
	"github.com/stillmark/stillmark/probe/ledger"
)

// A case on disk with comparative tests, through the whole analysis: tier, verdict,
// correction among the comparative tests only, words, and the same bytes again.
func TestComparativeCase(t *testing.T) {
	t.Parallel()
	const controls = 19
	names := []string{"rival", "us", "other"}
	for i := range controls {
		names = append(names, fmt.Sprintf("control%02d", i))
	}
	s := newScenario(t, names, nil)
	q := prompts(t, 12, []string{"en"}, func(i int) (string, reading.Reading) {
		return fmt.Sprintf("Colour %d?", i), reading.Reading{Kind: reading.KindPick, Options: [][]string{{"red"}, {"blue"}, {"green"}, {"black"}, {"white"}}}
	})
	s.plan.Prompts, s.plan.Samples = q, 6
	w := persona.NewWorld(12)
	models := map[string]*persona.Model{}
	for i := range s.plan.Targets {
		target := &s.plan.Targets[i]
		traits := persona.Traits{Name: target.Name, School: fmt.Sprint(i % 4), Vendor: vendorsOf[i%len(vendorsOf)]}
		switch target.Name {
		case "us":
			target.Role, traits.Vendor = ledger.Ours, "Stillwater"
		case "other":
			target.Role, traits.Vendor = ledger.Teacher, "Teacher"
		}
		target.Vendor, target.BaseURL = traits.Vendor, "http://"+target.Name+"/v1"
		models[target.Name] = w.Model(traits)
	}
	models["rival"].Transfer, models["rival"].Teacher = .9, models["us"]
	for name, m := range models {
		for i := range s.plan.Prompts {
			for k := range 6 {
				text, err := m.Answer(&s.plan.Prompts[i], k)
				if err != nil {
					t.Fatal(err)
				}
				s.body[ledger.ItemID(name, "s", s.plan.Prompts[i].ID, k)] = chatBody(text, "")
			}
		}
	}
	for _, fam := range []string{RandomChoice, TokenizerSlope} {
		s.plan.Tests = append(s.plan.Tests, ledger.Test{ID: fam + "/rival", Family: fam, Target: "rival", Mode: ledger.ModeFixedN, Primary: true, Null: "No closer."})
	}
	c := s.build()
	f := analyze(t, c)
	first, second := f.Findings[0], f.Findings[1]
	if first.Tier != ledger.Comparative || first.Verdict != ledger.VerdictLead || first.M != 2 || first.Hypothesis == "" {
		t.Errorf("tier %s, verdict %s, m = %d", first.Tier, first.Verdict, first.M)
	}
	if want := math.Log10(2. / 20); math.Abs(*first.HolmLog10P-want) > 1e-12 {
		t.Errorf("log10 p after correction %v, want %v", *first.HolmLog10P, want)
	}
	// Prompts of another kind than the family reads are no data.
	if second.Verdict != ledger.VerdictInsufficient || second.Comparison != nil || second.HolmLog10P != nil {
		t.Errorf("a tokenizer test without units: %s", second.Verdict)
	}
	st := Say(&first, -6)
	if !strings.Contains(st.Headline, "in C2 (random choice), rival agrees with our model more than any of 19 controls (rank 1 of 20, log10 p of the rank = -1.30, -1.00 after correction for 2 comparative tests)") {
		t.Error(st.Headline)
	}
	if len(st.NotShown) == 0 || !slices.ContainsFunc(st.NotShown, func(s string) bool { return strings.Contains(s, "no error rate") }) {
		t.Errorf("not shown: %q", st.NotShown)
	}
	a, err := Encode(f)
	if err != nil {
		t.Fatal(err)
	}
	b, err := Encode(analyze(t, c))
	if err != nil || string(a) != string(b) {
		t.Error("the same case gives other bytes")
	}
	var back ledger.Findings
	if err := json.Unmarshal(a, &back); err != nil || back.Findings[0].Comparison.Rank != 1 {
		t.Errorf("findings cannot be read back: %v", err)
	}
}

// Whoever waits sees how many replies were read of how many, and never more.
func TestComparisonReportsProgress(t *testing.T) {
	t.Parallel()
	p := scripted(t, newPopulation(ReasoningStyle, 1, stylePrompts(t, 6, reading.KindPuzzle)), 1, scenery{controls: 5})
	p.quick = true
	in := p.input(1)
	last, steps := map[string][2]int{}, 0
	in.step = func(step string, done, of int) {
		if was := last[step]; done < was[0] || of != was[1] && was[1] > 0 || done > of {
			t.Errorf("%s: %d of %d after %v", step, done, of, was)
		}
		last[step] = [2]int{done, of}
		steps++
	}
	fam, _ := ByID(ReasoningStyle)
	if _, err := fam.run(t.Context(), []*Input{in}); err != nil {
		t.Fatal(err)
	}
	replies := 0
	for _, g := range p.targets {
		replies += 2 * len(g.attempts)
		if g.target.Role == ledger.Ours || g.target.Role == ledger.Teacher {
			replies -= len(g.attempts)
		}
	}
	if got := last[StepReplies]; steps < 9 || got != [2]int{replies, replies} {
		t.Errorf("%d steps, replies %v of %d in two passes", steps, got, replies)
	}
}

// The planner promises what the floor allows: with few controls nothing, and the floor
// beside every promise.
func TestPlannedRank(t *testing.T) {
	t.Parallel()
	q := randomPrompts(t, 40)
	few, enough, many := newPopulation(RandomChoice, 1, q), newPopulation(RandomChoice, 1, q), newPopulation(RandomChoice, 1, q)
	scripted(t, few, 1, scenery{controls: 3})
	scripted(t, enough, 1, scenery{controls: 19})
	scripted(t, many, 1, scenery{controls: 30})
	none, err := PlannedPower(few.plan, &few.plan.Tests[0], -6)
	if err != nil {
		t.Fatal(err)
	}
	if none.Effect != 0 || len(none.At) != 3 || none.At[0].Effect == 0 || none.At[2].Power != 0 || math.Abs(none.Log10Floor+math.Log10(4)) > 1e-12 {
		t.Errorf("among three controls %+v", none)
	}
	a, err := PlannedPower(enough.plan, &enough.plan.Tests[0], -6)
	if err != nil {
		t.Fatal(err)
	}
	b, err := PlannedPower(many.plan, &many.plan.Tests[0], -6)
	if err != nil {
		t.Fatal(err)
	}
	if a.Units != 40 || math.Abs(a.Log10Floor+math.Log10(20)) > 1e-12 || math.Abs(b.Log10Floor+math.Log10(31)) > 1e-12 || b.Log10Alpha != b.Log10Floor {
		t.Errorf("enough %+v, many %+v", a, b)
	}
	if a.Test != "C2/rival" || !(a.Effect > 0) || !(b.Effect > a.Effect) {
		t.Errorf("to come first among more takes a larger lead: %+v, %+v", a, b)
	}
	// The promise is kept at its own effect, powers rise, and the units that would be
	// needed for an effect are those of a plan that promises it.
	if c, err := PlannedPower(enough.plan, &enough.plan.Tests[0], -6, a.Effect); err != nil || len(c.At) != 1 || math.Abs(c.At[0].Power-PowerLevel) > 1e-6 || c.At[0].Units != 40 {
		t.Errorf("at its own effect: %+v, %v", c.At, err)
	}
	if len(a.At) != 3 || !(a.At[0].Power < a.At[1].Power && a.At[1].Power < PowerLevel && a.At[2].Power > PowerLevel) {
		t.Errorf("stated: %+v", a.At)
	}
	need := newPopulation(RandomChoice, 1, q[:2*int(a.At[2].Units)])
	scripted(t, need, 1, scenery{controls: 19})
	if c, err := PlannedPower(need.plan, &need.plan.Tests[0], -6); err != nil || c.Effect > a.At[2].Effect {
		t.Errorf("%d units (%d) promise %v, not %v (%v)", a.At[2].Units, c.Units, c.Effect, a.At[2].Effect, err)
	}
}
