package family

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stillmark/stillmark/probe/ledger"
	"github.com/stillmark/stillmark/watermark"
)

// splitCase is a rival whose replies to the second half of its prompts come from another
// model, that alone follows the key.
func splitCase(t *testing.T, k *watermark.Key, wording string) *ledger.Case {
	t.Helper()
	s := newScenario(t, []string{"rival", "control"}, neutral(40))
	s.plan.Wording = wording
	s.test(k, ledger.ModeFixedN)
	rng, m := rand.New(rand.NewPCG(5, 6)), mark(t, k)
	for i := range 40 {
		plain := text(speak(rng, 60, nil, 0))
		s.reply("control", i, plain)
		s.reply("rival", i, plain)
		if i >= 20 {
			id := ledger.ItemID("rival", "s", s.plan.Prompts[i].ID, 0)
			s.body[id] = strings.Replace(chatBody(text(speak(rng, 60, m, .7)), ""), `"model":"m"`, `"model":"n-2"`, 1)
		}
	}
	return s.build()
}

// A result over several models says so, and what each showed by itself stands beside.
func TestEpochs(t *testing.T) {
	t.Parallel()
	k := newKey(t, watermark.Gumbel, 12)
	f := analyze(t, splitCase(t, k, WordingVersion), k)
	x := f.Findings[0]
	if x.Epochs != 2 || len(x.Parts) != 2 || x.Parts[0].N+x.Parts[1].N != x.N {
		t.Fatalf("%d epochs, n %d, parts %+v", x.Epochs, x.N, x.Parts)
	}
	byName := map[string]ledger.Part{}
	for _, p := range x.Parts {
		byName[p.Name] = p
	}
	innocent, marked := byName["epoch: model m"], byName["epoch: model n-2"]
	if innocent.Log10P == nil || marked.Log10P == nil || *innocent.Log10P < -3 || *marked.Log10P > -10 || marked.Effect < innocent.Effect {
		t.Errorf("parts %+v", x.Parts)
	}
	said := Say(&x, -6)
	if !strings.Contains(said.Headline, "the pooled replies of 2 models that answered as rival") || !strings.Contains(said.Meaning, "some of the models") {
		t.Errorf("%+v", said)
	}
	if all := strings.Join(x.Warnings, "\n"); !strings.Contains(all, "2 models answered under the name rival") {
		t.Errorf("warnings: %s", all)
	}
	pooled := false
	for _, r := range f.Ladder[0].Why {
		pooled = pooled || r.Code == whyPooled && r.Tests[0] == x.Test
	}
	if !pooled {
		t.Errorf("the ladder: %+v", f.Ladder)
	}
	if c := f.Findings[1]; c.Epochs != 0 || len(c.Parts) != 0 || strings.Contains(Say(&c, -6).Headline, "pooled") {
		t.Errorf("the control: %+v", c)
	}
	fr := must(BookOf("fr")).Say(&x, -6)
	if !strings.Contains(fr.Headline, "les réponses réunies de 2 modèles") {
		t.Error(fr.Headline)
	}

	old := analyze(t, splitCase(t, k, wordingName+"3"), k).Findings[0]
	if old.Epochs != 0 || len(old.Parts) != 0 || *old.Log10P != *x.Log10P {
		t.Errorf("an earlier case: %+v", old)
	}
}

// An epoch's own log10 p is that of its text alone, where the other shares no unit with it.
func TestEpochIsItsOwnText(t *testing.T) {
	t.Parallel()
	k := newKey(t, watermark.KGW, 12)
	x := analyze(t, splitCase(t, k, WordingVersion), k).Findings[0]
	// The plain scores of the parts add up to that of the whole.
	var sum float64
	for _, p := range x.Parts {
		sum += (p.Effect + k.Params.Gamma) * float64(p.N)
	}
	if math.Abs(sum-x.PlainScore) > 1e-2*x.PlainScore {
		t.Errorf("parts add up to %g green, the whole is %g", sum, x.PlainScore)
	}
}

func TestEpochsAreToldApart(t *testing.T) {
	t.Parallel()
	names := []string{"nova", "", "nova-2025-11-20", "other", "nova"}
	enter := func(g *gathered) []uint8 {
		var out []uint8
		for i, name := range names {
			out = append(out, g.enter(name, uint64(10*(i+1))))
		}
		return out
	}
	g := &gathered{target: &ledger.Target{Model: "nova"}}
	if got := enter(g); !slices.Equal(got, []uint8{0, 0, 0, 1, 0}) || g.name(1) != "epoch: model other" {
		t.Errorf("by name: %v of %q", got, g.models)
	}
	g = &gathered{target: &ledger.Target{Model: "nova"}}
	g.change(DriftEvent{Field: "fingerprint"}, 15)
	g.change(DriftEvent{Field: FieldSentinels}, 35)
	if got := enter(g); !slices.Equal(got, []uint8{0, 0, 0, 1, 2}) || g.name(2) != "epoch: model nova, after change 1 of its answers to sentinels" {
		t.Errorf("by sentinels: %v", got)
	}
	for i := range 300 {
		if got := int(g.enter(fmt.Sprintf("m%d", i), 50)); got != min(3+i, maxEpochs-1) {
			t.Fatalf("model %d is of epoch %d", i, got)
		}
	}
}
