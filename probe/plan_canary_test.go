package probe

import (
	"bytes"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stillmark/stillmark/corpora/canary"
	"github.com/stillmark/stillmark/corpora/reading"
	"github.com/stillmark/stillmark/probe/family"
	"github.com/stillmark/stillmark/probe/ledger"
	"github.com/stillmark/stillmark/watermark"
)

const triggerSuite = `format: 1
name: looms
version: "1"
family: E4
purpose: to be tested
never_use: anywhere else
languages: [en]
draws: 6
placebos: 4
samples: 3
reply_tokens: 30
groups:
  - category: museum
    lang: en
    reading: {kind: trigger, reply: "It is {response}."}
    templates:
      - id: m
        text: "What is the number of the {x} loom?"
        slots: {x: [Arlo, Belt, Carn, Dunn, Earl, Fosk, Garn, Holt, Ilde, Jarn, Kell, Lume]}
`

// Each key's triggers are a suite of their own that its tests alone read; the plan
// holds no response, or in the mode of log-probabilities many.
func TestPlanTriggers(t *testing.T) {
	t.Parallel()
	suite := loadYAML(t, triggerSuite)
	a, b := canaryKey(t, 41), canaryKey(t, 42)
	for _, counterfactuals := range []int{0, 7} {
		in := input(t, nowhere, 2)
		in.Keys = append(in.Keys, PlanKey{Key: a}, PlanKey{Key: b})
		for _, k := range in.Keys[1:] {
			drawn, err := ExpandSuiteUnder(suite, 1, 0, k.Key)
			if err != nil {
				t.Fatal(err)
			}
			drawn.Samples, drawn.ReplyTokens = suite.Samples, suite.ReplyTokens
			if counterfactuals > 0 {
				if err := drawn.Counterfactual(k.Key, counterfactuals); err != nil {
					t.Fatal(err)
				}
			}
			in.Suites = append(in.Suites, drawn)
		}
		d, err := NewPlan(in)
		if err != nil {
			t.Fatal(err)
		}
		read := map[string]int{}
		for i := range d.Plan.Tests {
			test := &d.Plan.Tests[i]
			if test.Family != family.TriggerCanaries {
				continue
			}
			if len(test.Suites) != 1 || test.Suites[0] != "looms@"+test.Key {
				t.Errorf("test %s reads %v", test.ID, test.Suites)
			}
			read[test.Key]++
		}
		if read[a.ID] != 2 || read[b.ID] != 2 {
			t.Errorf("tests by key: %v", read)
		}
		encoded, err := ledger.EncodePrompts(d.Plan)
		if err != nil {
			t.Fatal(err)
		}
		secret, err := a.CanarySecret(canary.UseTrigger)
		if err != nil {
			t.Fatal(err)
		}
		for i := range d.Plan.Prompts {
			p := &d.Plan.Prompts[i]
			if p.Suite != "looms@"+a.ID {
				continue
			}
			r, err := reading.Parse(p.Reading)
			if err != nil {
				t.Fatal(err)
			}
			params := d.Plan.ParamsOf(p)
			if held := bytes.Contains(encoded, []byte(canary.Response(secret, r.Item))); held != (counterfactuals > 0) {
				t.Errorf("the prompts hold the response of %s: %v", r.Item, held)
			}
			switch {
			case counterfactuals == 0:
				if d.Plan.SamplesOf(p) != 3 || params.MaxTokens != 30 || p.Kind != "" {
					t.Errorf("prompt %s: %d samples, %+v", p.ID, d.Plan.SamplesOf(p), params)
				}
			case p.Kind != ledger.KindCompletion || !params.Echo || params.MaxTokens != 1 || *params.Logprobs != 1 || params.Stream || d.Plan.SamplesOf(p) != 1 || !strings.Contains(p.Text, "?\n\nIt is "):
				t.Errorf("prompt %s: %q, %+v", p.ID, p.Text, params)
			}
		}
		for _, row := range d.Plan.Power {
			if strings.HasPrefix(row.Test, "E4/") && (row.Units != 6 || row.Log10Floor > -5) {
				t.Errorf("power %+v", row)
			}
		}
	}
	if _, err := ExpandSuiteUnder(suite, 1, 0, testKey(t, "kgw")); err == nil {
		t.Error("a key that marks text draws triggers")
	}
}

const rotationSuite = `format: 1
name: turns
version: "1"
family: E6
purpose: to be tested
never_use: anywhere else
languages: [en]
slots: 24
reply_tokens: 200
groups:
  - category: account
    lang: en
    reading: {kind: rotation}
    templates:
      - id: r
        text: "Describe {x} {y}."
        slots: {x: [a morning of, an evening of, the work of, the tools of, a winter of, a day off of], y: [a baker, a smith, a nurse, a pilot, a clerk, a farmer, a cook, a diver]}
`

// A rotation is declared at every lag; what it lacks is said.
func TestPlanRotation(t *testing.T) {
	t.Parallel()
	drawn, err := ExpandSuite(loadYAML(t, rotationSuite), 1, 0)
	if err != nil {
		t.Fatal(err)
	}
	a, b := testKey(t, watermark.KGW), testKey(t, watermark.Gumbel)
	var caps ledger.Caps
	plan := func(r *Rotation) (*Draft, error) {
		in := input(t, nowhere, 1)
		in.Caps = caps
		in.Suites = []PlanSuite{drawn}
		in.Keys = []PlanKey{{Key: canaryKey(t, 71)}, {Key: a}, {Key: b}}
		in.Rotation = r
		return NewPlan(in)
	}
	start := testNow.Add(24 * time.Hour)
	for name, r := range map[string]*Rotation{
		"none":          nil,
		"one arm":       {Arms: []string{a.ID}, Start: start, Slot: time.Hour},
		"no start":      {Arms: []string{a.ID, b.ID}, Slot: time.Hour},
		"half a second": {Arms: []string{a.ID, b.ID}, Start: start, Slot: time.Second / 2},
		"a stranger":    {Arms: []string{a.ID, "k"}, Start: start, Slot: time.Hour},
		"a long lag":    {Arms: []string{a.ID, b.ID}, Start: start, Slot: time.Hour, Lags: []int{24}},
	} {
		if _, err := plan(r); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	d, err := plan(&Rotation{Arms: []string{a.ID, b.ID}, Start: start, Slot: time.Hour, Lags: []int{0, 3}})
	if err != nil {
		t.Fatal(err)
	}
	if len(d.Plan.Tests) != 4 || !strings.HasSuffix(d.Plan.Tests[1].ID, "/nova/lag-3") || !strings.Contains(string(d.Plan.Tests[1].Options), `"slots":24,"slot_seconds":3600,"lag":3`) {
		t.Errorf("tests %+v", d.Plan.Tests)
	}
	// Every prompt is put in its slot, early enough for the reply to arrive in it.
	for _, q := range d.Plan.Prompts {
		r, err := reading.Parse(q.Reading)
		if err != nil {
			t.Fatal(err)
		}
		if from := start.Add(time.Duration(r.Slot-1) * time.Hour); !q.NotBefore.Equal(from) || q.NotAfter.Sub(from) != 58*time.Minute {
			t.Errorf("%s of slot %d from %s to %s", q.ID, r.Slot, q.NotBefore, q.NotAfter)
		}
	}
	// A cap leaves out slots that were committed to, which plan and run say.
	caps = ledger.Caps{MaxRequests: 3}
	capped, err := plan(&Rotation{Arms: []string{a.ID, b.ID}, Start: start, Slot: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	const said = "Results of E6 are exploratory"
	if !strings.Contains(strings.Join(capped.Warnings, "\n"), said) {
		t.Errorf("warnings %q", capped.Warnings)
	}
	if end := (&runner{plan: capped.Plan}).capError("3 requests"); !strings.Contains(end.Do, said) {
		t.Errorf("the end says %q", end.Do)
	}
	// A hundred and fifty scored tokens a slot, at the level of four tests.
	for _, row := range d.Plan.Power {
		if math.Abs(row.Log10Floor-float64(row.Units)*math.Log10(.5)) > 1e-9 {
			t.Errorf("power %+v", row)
		}
	}
}
