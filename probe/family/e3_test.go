package family

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stillmark/stillmark/corpora/canary"
	"github.com/stillmark/stillmark/corpora/reading"
	"github.com/stillmark/stillmark/probe/ledger"
	"github.com/stillmark/stillmark/watermark"
	"github.com/stillmark/stillmark/watermark/evidence"
)

func newCanary(t testing.TB, seed uint64) *watermark.Key {
	t.Helper()
	k, err := watermark.NewKey(watermark.Spec{Scheme: watermark.Canary, Model: "teacher", Label: "acme", ServingFrom: testTime.Add(-24 * time.Hour)}, random(seed))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// ask adds a prompt with a reading to a scenario and returns it.
func (s *scenario) ask(lang, category, text string, r reading.Reading) *ledger.Prompt {
	s.t.Helper()
	data, err := json.Marshal(r)
	if err != nil {
		s.t.Fatal(err)
	}
	s.plan.Prompts = append(s.plan.Prompts, ledger.Prompt{
		ID: fmt.Sprintf("q%04d", len(s.plan.Prompts)), Suite: "s", Lang: lang, Category: category, Text: text, Reading: data,
	})
	return &s.plan.Prompts[len(s.plan.Prompts)-1]
}

// declare declares a test of a family under a canary key on every target.
func (s *scenario) declare(family string, k *watermark.Key, options any) {
	s.t.Helper()
	s.key(k)
	var raw json.RawMessage
	if options != nil {
		var err error
		if raw, err = json.Marshal(options); err != nil {
			s.t.Fatal(err)
		}
	}
	for _, t := range s.plan.Targets {
		s.plan.Tests = append(s.plan.Tests, ledger.Test{
			ID: family + "/" + k.ID + "/" + t.Name, Family: family, Key: k.ID, Target: t.Name,
			Mode: ledger.ModeFixedN, Weights: watermark.WeightsNone, Primary: true, Options: raw, Null: "Independent.",
		})
	}
}

// say sets the text of one sample of a target's reply.
func (s *scenario) say(target string, p *ledger.Prompt, sample int, text string) {
	s.body[ledger.ItemID(target, p.Suite, p.ID, sample)] = chatBody(text, "")
}

// choosing is a scenario of keyed choices: items in two languages, a share of which
// the rival answers as the key says, the rest by its own coin; placebos by the coin.
func choosing(t testing.TB, k *watermark.Key, items, placebos int, rate float64, seed uint64) *scenario {
	t.Helper()
	secret, err := k.CanarySecret(canary.UseFreeChoice)
	if err != nil {
		t.Fatal(err)
	}
	s := newScenario(t, []string{"rival", "control-a"}, nil)
	s.plan.Samples = 2
	s.plan.Suites[0].Version = "1.4"
	s.declare(KeyedChoice, k, nil)
	rng := rand.New(rand.NewPCG(seed, 3))
	type asked struct {
		p      *ledger.Prompt
		chosen map[string]int
		forms  [2]string
	}
	var all []asked
	for i := range items + placebos {
		name := fmt.Sprintf("item-%d", i)
		own := map[string]int{"rival": rng.IntN(2), "control-a": rng.IntN(2)}
		if i < items && rng.Float64() < rate {
			own["rival"] = canary.Bit(secret, name, "1")
		}
		for _, lang := range []string{"en", "fr"} {
			forms := [2]string{"amber" + lang, "cobalt" + lang}
			s.ask(lang, []string{"colours", "shades"}[i%2], fmt.Sprintf("Which one, %d?", i), reading.Reading{
				Item: name, Kind: reading.KindFreeChoice, Placebo: i >= items, Options: [][]string{{forms[0]}, {forms[1]}},
			})
			all = append(all, asked{chosen: own, forms: forms})
		}
	}
	for i := range all { // the plan's prompts have stopped moving
		all[i].p = &s.plan.Prompts[i]
		for target, option := range all[i].chosen {
			for sample := range 2 {
				s.say(target, all[i].p, sample, "I would take "+all[i].forms[option]+".")
			}
		}
	}
	return s
}

func TestKeyedChoiceFindsWhatWasPlanted(t *testing.T) {
	t.Parallel()
	k := newCanary(t, 5)
	s := choosing(t, k, 120, 30, .8, 1)
	s.commit(k, testTime.Add(-48*time.Hour))
	c := s.build()
	f := analyze(t, c, k)
	rival, control := f.Findings[0], f.Findings[1]
	if rival.Verdict != ledger.VerdictSingleRun || rival.Tier != ledger.Exact || rival.N != 120 || rival.Replies != 600 {
		t.Errorf("rival: %s, tier %s, %d items, %d replies, %v", rival.Verdict, rival.Tier, rival.N, rival.Replies, rival.Warnings)
	}
	// All four replies to an item agree, so that the law is a binomial.
	hits := int64(60 + rival.Score/2)
	if want := evidence.Log10BinomialSF(hits, 120, .5); math.Abs(*rival.Log10P-want) > 1e-9 {
		t.Errorf("%d hits of 120: log10 p %v, want %v", hits, *rival.Log10P, want)
	}
	if *rival.Log10PBound < *rival.Log10P || *rival.Log10E < 3 || *rival.Log10E > -*rival.Log10P {
		t.Errorf("beside log10 p %v: bound %v, log10 e %v", *rival.Log10P, *rival.Log10PBound, *rival.Log10E)
	}
	if !(rival.EffectLo > .2 && rival.Effect > .3 && rival.EffectHi < .5) || rival.Extractor != choiceExtractor {
		t.Errorf("effect %v [%v, %v], extractor %s", rival.Effect, rival.EffectLo, rival.EffectHi, rival.Extractor)
	}
	names := map[string]ledger.Part{}
	for _, p := range rival.Parts {
		names[p.Name] = p
	}
	for _, name := range []string{"en", "fr", "colours", "shades"} {
		if p := names[name]; p.Lo <= 0 {
			t.Errorf("part %s: %+v", name, p)
		}
	}
	if p := names["placebo"]; p.N != 30 || p.Lo > 0 {
		t.Errorf("placebo: %+v", p)
	}
	if rival.Decoys == nil || !rival.Decoys.Pass || rival.Decoys.RankP != .01 {
		t.Errorf("decoys: %+v", rival.Decoys)
	}
	if control.Verdict != ledger.VerdictNone || control.Power.Effect <= 0 || control.Power.Effect > rival.Effect {
		t.Errorf("control: %s, power %+v", control.Verdict, control.Power)
	}
}

// Bits that were never followed and show a signal all the same mean that the key
// came in otherwise: nothing analytic is reported.
func TestKeyedChoicePlaceboFails(t *testing.T) {
	t.Parallel()
	k := newCanary(t, 6)
	s := choosing(t, k, 60, 0, 1, 2)
	for i := range s.plan.Prompts {
		if i/2%2 == 1 {
			r, err := reading.Parse(s.plan.Prompts[i].Reading)
			if err != nil {
				t.Fatal(err)
			}
			r.Placebo = true
			s.plan.Prompts[i].Reading, _ = json.Marshal(r)
		}
	}
	f := analyze(t, s.build(), k).Findings[0]
	if f.Verdict != ledger.VerdictWithheld || f.Log10P != nil || f.Log10E != nil || f.Log10PBound != nil || f.HolmLog10P != nil {
		t.Errorf("%s, %+v", f.Verdict, f)
	}
	if st := Say(&f, -6); !strings.Contains(st.Headline, "never followed show a signal") {
		t.Errorf("headline %q", st.Headline)
	}
}

// choiceData makes the items of a rival whose replies have nothing to do with any
// key: lopsided, repeated, undecided, of unequal numbers.
func choiceData(items int, rng *rand.Rand) []*choiceItem {
	out := make([]*choiceItem, items)
	for i := range out {
		it := &choiceItem{name: fmt.Sprint("i", i), version: "1", planned: 8, got: 8, last: uint64(rng.IntN(1000))}
		p := rng.Float64()
		for range rng.IntN(9) {
			v := 0
			if rng.Float64() < p {
				v = 1
			}
			it.votes[v]++
		}
		out[i] = it
	}
	return out
}

// p is uniform over random secrets, whatever the replies are; an e-value exceeds
// 1/α no more than a share α of the time.
func TestKeyedChoiceCalibration(t *testing.T) {
	t.Parallel()
	secrets := 6000
	if testing.Short() {
		secrets = 1500
	}
	rng := rand.New(rand.NewPCG(11, 12))
	k := newKeyedChoice(choiceData(80, rng))
	p, above := make([]float64, secrets), 0
	var seed [32]byte
	for i := range p {
		signs := k.signs(decoySecret(seed, "calibration", i))
		p[i] = k.law.RandomizedP(float64(k.score(signs)), 1-rng.Float64()-0x1p-54)
		if k.anytime(signs, false) >= 2 {
			above++
		}
	}
	uniform(t, "keyed choice", p)
	if above > secrets/100 {
		t.Errorf("an e-value of 100 turned up in %d of %d nulls", above, secrets)
	}
}

// The numbers of items of the published table: by the normal formula that it was made
// with to its rounding of the normal points, by the planner's exact search within
// half a percent.
func TestKeyedChoiceItemsNeeded(t *testing.T) {
	t.Parallel()
	// Normal points of 1e-6 and of [PowerLevel].
	const zAlpha, zPower = 4.753424308817087, 1.2815515655446004
	law := evidence.Bernoulli(.5)
	for lift, want := range map[float64]int64{.2: 220, .1: 903, .05: 3634, .02: 22753} {
		a := zAlpha/2 + zPower*math.Sqrt((.5+lift)*(.5-lift))
		if got := a * a / (lift * lift); math.Abs(got-float64(want)) > .5+2e-4*float64(want) {
			t.Errorf("lift %v: the formula gives %.1f items, want %d", lift, got, want)
		}
		if got := law.UnitsNeeded(lift, -6, PowerLevel); math.Abs(float64(got-want)) > .006*float64(want) {
			t.Errorf("lift %v: the search gives %d items, the formula %d", lift, got, want)
		}
	}
}

// The planner's power lies inside the 95 % interval of the seen detection rate, at
// several planted rates; at rate 0 nothing is found.
func TestKeyedChoicePower(t *testing.T) {
	t.Parallel()
	const items = 150
	runs := 400
	if testing.Short() {
		runs = 100
	}
	for _, lift := range []float64{0, .15, .2, .25} {
		planned := evidence.Bernoulli(.5).Power(evidence.Plain(items), lift, -6)
		rng := rand.New(rand.NewPCG(uint64(lift*100), 8))
		found := 0
		for r := range runs {
			secret := decoySecret([32]byte{9}, fmt.Sprint(lift), r)
			data := make([]*choiceItem, items)
			for i := range data {
				data[i] = &choiceItem{name: fmt.Sprint("i", i), version: "1", planned: 1, got: 1}
				bit := canary.Bit(secret, data[i].name, "1")
				if rng.Float64() >= .5+lift {
					bit = 1 - bit
				}
				data[i].votes[bit] = 1
			}
			k := newKeyedChoice(data)
			if k.law.Tail(k.score(k.signs(secret))).Log10P <= -6 {
				found++
			}
		}
		within(t, fmt.Sprintf("lift %v", lift), found, runs, planned)
	}
}

// within checks that a probability lies inside the 95 % interval (Wilson's) of a
// seen share.
func within(t *testing.T, name string, found, runs int, planned float64) {
	t.Helper()
	const z = 1.96
	n, p := float64(runs), float64(found)/float64(runs)
	mid := (p + z*z/(2*n)) / (1 + z*z/n)
	half := z / (1 + z*z/n) * math.Sqrt(p*(1-p)/n+z*z/(4*n*n))
	if planned < mid-half-1e-12 || planned > mid+half+1e-12 {
		t.Errorf("%s: found in %d of %d runs, [%.3f, %.3f], planned power %.3f", name, found, runs, mid-half, mid+half, planned)
	}
}

func TestDecides(t *testing.T) {
	t.Parallel()
	r := &reading.Reading{Options: [][]string{{"grey", "greyish"}, {"gray"}}}
	for reply, want := range map[string]int{
		"I would say grey.":                 0,
		"GRAY it is":                        1,
		"Either grey or gray will do: gray": -1, // which comes first may echo the prompt
		"neither":                           -1,
		"":                                  -1,
		"greyhound":                         -1,
	} {
		got, ok := decides(r, reply)
		if !ok {
			got = -1
		}
		if got != want {
			t.Errorf("%q chooses %d, want %d", reply, got, want)
		}
	}
}

// Items that share a bit are one unit: the same item in two languages counts once,
// and a model that always takes what the prompt shows first gains nothing by it.
func TestKeyedChoiceUnits(t *testing.T) {
	t.Parallel()
	k := newCanary(t, 7)
	s := newScenario(t, []string{"rival"}, nil)
	s.declare(KeyedChoice, k, nil)
	for i := range 40 {
		for _, lang := range []string{"de", "en", "fr"} {
			s.ask(lang, "c", "?", reading.Reading{Item: fmt.Sprint("i", i), Kind: reading.KindFreeChoice, Options: [][]string{{"one"}, {"two"}}, Order: []int{i % 2, 1 - i%2}})
		}
	}
	for i := range s.plan.Prompts {
		s.say("rival", &s.plan.Prompts[i], 0, []string{"one", "two"}[i/3%2])
	}
	f := analyze(t, s.build(), k).Findings[0]
	if f.N != 40 || f.Replies != 120 || math.Abs(f.SD-math.Sqrt(40)) > 1e-9 {
		t.Errorf("%d units of %d replies, sd %v", f.N, f.Replies, f.SD)
	}
	if *f.Log10P < -4 || f.Verdict != ledger.VerdictNone {
		t.Errorf("an order of options is no bit: log10 p %v, %s", *f.Log10P, f.Verdict)
	}
	if !strings.Contains(strings.Join(f.Warnings, " "), "No placebo") {
		t.Errorf("warnings %q", f.Warnings)
	}
}
