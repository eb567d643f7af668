package family

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stillmark/stillmark/corpora/reading"
	"github.com/stillmark/stillmark/corpora/tokens"
	"github.com/stillmark/stillmark/probe/endpoint/mock/persona"
	"github.com/stillmark/stillmark/probe/ledger"
)

// unitPrompts repeat n units.
func unitPrompts(t testing.TB, n int, repeats ...int) []ledger.Prompt {
	var out []ledger.Prompt
	for _, k := range repeats {
		for _, p := range prompts(t, n, []string{"en"}, func(i int) (string, reading.Reading) {
			unit := fmt.Sprintf(" %s%c", strings.Repeat("quix", 1+i%3), 'a'+i%26)
			return "Repeat nothing of this:" + strings.Repeat(unit, k), reading.Reading{
				Item: fmt.Sprintf("u%02d", i), Kind: reading.KindUnits, Unit: unit, Repeats: k,
			}
		}) {
			p.ID = fmt.Sprintf("%s-%d", p.ID, k)
			out = append(out, p)
		}
	}
	return out
}

func TestTokenizerSlopeIsCalibrated(t *testing.T) {
	t.Parallel()
	q := unitPrompts(t, 20, 8, 24)
	calibrated(t, worlds(24), []float64{.2, .4, .7}, func(world uint64, rate float64) *population {
		// Twelve tokenizers among nineteen controls are twelve controls.
		return scripted(t, newPopulation(TokenizerSlope, 1, q), world, scenery{controls: 19, rate: rate, each: func(i int, tr *persona.Traits) {
			tr.Tokenizer = fmt.Sprint("shared ", i%12)
		}})
	})
}

// A rival that counts as we do is found, whatever its frame adds; an endpoint that
// hides its usage is no control.
func TestTokenizerSlopeFinding(t *testing.T) {
	t.Parallel()
	q := unitPrompts(t, 26, 0, 8, 16, 24)
	o200k, err := tokens.Get("o200k")
	if err != nil {
		t.Fatal(err)
	}
	cl100k, err := tokens.Get("cl100k")
	if err != nil {
		t.Fatal(err)
	}
	p := scripted(t, newPopulation(TokenizerSlope, 1, q), 3, scenery{controls: 20})
	count := func(e *tokens.Encoding, frame int) func(*ledger.Prompt, int) (string, string) {
		return func(q *ledger.Prompt, _ int) (string, string) {
			ids, err := e.Encode(q.Text)
			if err != nil {
				t.Fatal(err)
			}
			return "ok", fmt.Sprintf(`,"usage":{"prompt_tokens":%d,"completion_tokens":1}`, frame+len(ids))
		}
	}
	// The scripted rival and ours make way for two whose tokenizers are real.
	p.plan.Targets = p.plan.Targets[4:]
	p.plan.Targets = append([]ledger.Target{}, p.plan.Targets...)
	p.answer(t, ledger.Target{Name: "us", Role: ledger.Ours, Vendor: "Stillwater"}, count(o200k, 7))
	p.answer(t, ledger.Target{Name: "rival", Role: ledger.Rival}, count(o200k, 31))
	p.answer(t, ledger.Target{Name: "older", Role: ledger.Teacher}, count(cl100k, 3))
	p.answer(t, ledger.Target{Name: "silent", Role: ledger.Control}, func(*ledger.Prompt, int) (string, string) { return "ok", "" })
	out := p.find(t, 3)
	f, c := out.Finding, out.Finding.Comparison
	if c == nil || c.Rank != 1 || c.Of != 21 || f.N != 26 {
		t.Fatalf("%+v", f)
	}
	if c.Traits[0].Rival != "26 of 26" || c.Traits[1].Rival != "o200k (26 of 26 units)" || c.Traits[1].Ours != c.Traits[1].Rival {
		t.Errorf("traits %+v", c.Traits)
	}
	if c.NotControls[len(c.NotControls)-1] != "silent could be read on 0 of the 26 items that the rival could be read on" {
		t.Errorf("no controls: %q", c.NotControls)
	}
	if len(out.Warnings) != 1 || out.Warnings[0] != WarnFewUnits {
		t.Errorf("26 units pass for enough: %v", out.Warnings)
	}
}
