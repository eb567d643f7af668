package family

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stillmark/stillmark/corpora/canary"
	"github.com/stillmark/stillmark/corpora/reading"
	"github.com/stillmark/stillmark/probe/ledger"
	"github.com/stillmark/stillmark/watermark"
)

// The evidence of keyed choices that a run watches is what the analysis computes of the
// same ledger, and a rival that follows the key is left before all is asked.
func TestStopperOfKeyedChoice(t *testing.T) {
	t.Parallel()
	k := newCanary(t, 81)
	s := choosing(t, k, 120, 10, .9, 82)
	for i := range s.plan.Tests {
		s.plan.Tests[i].Mode = ledger.ModeAnytime
	}
	s.plan.Stop = ledger.StopRule{OnEvidence: true, CheckEvery: 5}
	// One reply is refused: it completes its item all the same.
	s.body[ledger.ItemID("rival", "s", s.plan.Prompts[4].ID, 1)] = `{"id":"r","choices":[{"index":0,"message":{"role":"assistant","content":""},"finish_reason":"content_filter"}]}`
	c := s.build()
	f := analyze(t, c, k).Findings[0]
	stopper, err := NewStopper(c.Plan(), c.FS(), []*watermark.Key{k}, nil)
	if err != nil {
		t.Fatal(err)
	}
	added, stopped := 0, 0
	if err := c.Replies(func(rec ledger.ReplyRecord) error {
		if rec.Item.Target.Name == "rival" {
			added++
		}
		if err := stopper.Add(rec.Item, Decode(rec)); err != nil {
			return err
		}
		if due, running, enough := stopper.Check(); due && enough && stopped == 0 {
			stopped = added
			if running[0].Log10E < running[0].Threshold || math.Abs(running[0].Threshold-6-math.Log10(2)) > 1e-9 {
				t.Errorf("stopped at %+v", running)
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if got := stopper.tests[0].log10E(); f.Log10E == nil || math.Abs(got-*f.Log10E) > 1e-9 {
		t.Errorf("running evidence %v, analysed %v", got, f.Log10E)
	}
	if stopped == 0 || stopped > added*9/10 {
		t.Errorf("enough after %d of %d replies", stopped, added)
	}
}

// choices is a plan of keyed choices on one rival, asked some times each.
func choices(t testing.TB, k *watermark.Key, items, samples int) *ledger.Plan {
	t.Helper()
	spec, err := json.Marshal(k.Spec)
	if err != nil {
		t.Fatal(err)
	}
	p := &ledger.Plan{
		Alpha: .1, Samples: samples, Suites: []ledger.SuiteRef{{Name: "s", Version: "1"}}, Stop: ledger.StopRule{OnEvidence: true, CheckEvery: 1},
		Targets: []ledger.Target{{Name: "rival", Role: ledger.Rival}}, Keys: []ledger.KeyRef{{ID: k.ID, Spec: spec}},
		Tests: []ledger.Test{{ID: "E3", Family: KeyedChoice, Key: k.ID, Target: "rival", Mode: ledger.ModeAnytime, Primary: true}},
	}
	for i := range items {
		data, err := json.Marshal(reading.Reading{Item: fmt.Sprint("i", i), Kind: reading.KindFreeChoice, Options: [][]string{{"amber"}, {"cobalt"}}})
		if err != nil {
			t.Fatal(err)
		}
		p.Prompts = append(p.Prompts, ledger.Prompt{ID: fmt.Sprint("p", i), Suite: "s", Lang: "en", Text: fmt.Sprint(i), Reading: data})
	}
	return p
}

// An innocent run that looks after every reply and stops at the first evidence of 1/α
// does so in no more than a share α of the worlds, whatever order replies come in and
// however its replies lean, repeat or fail; one that follows the key nearly always does.
func TestStopperIsCalibrated(t *testing.T) {
	t.Parallel()
	worlds := 2000
	if testing.Short() {
		worlds = 500
	}
	const items, samples = 40, 3
	stops := map[bool]int{}
	for _, follows := range []bool{false, true} {
		n := worlds
		if follows {
			n = 50
		}
		for world := range n {
			k := newCanary(t, uint64(1000+world))
			p := choices(t, k, items, samples)
			s, err := NewStopper(p, nil, []*watermark.Key{k}, nil)
			if err != nil {
				t.Fatal(err)
			}
			secret, err := k.CanarySecret(canary.UseFreeChoice)
			if err != nil {
				t.Fatal(err)
			}
			rng := rand.New(rand.NewPCG(uint64(world), 9))
			for _, j := range rng.Perm(items * samples) {
				q := &p.Prompts[j/samples]
				taste := rng.Float64()
				reply := ledger.Reply{Outcome: ledger.OK}
				switch option := 0; {
				case rng.Float64() < .1:
					reply.Outcome = ledger.Filtered
				default:
					if rng.Float64() < taste {
						option = 1
					}
					if follows {
						option = canary.Bit(secret, fmt.Sprint("i", j/samples), "1")
					}
					reply.Text = []string{"Amber.", "Cobalt."}[option]
				}
				it := ledger.Item{Target: &p.Targets[0], Prompt: q, Sample: j % samples}
				if err := s.Add(it, reply); err != nil {
					t.Fatal(err)
				}
				if _, _, enough := s.Check(); enough {
					stops[follows]++
					break
				}
			}
		}
	}
	if most := .1*float64(worlds) + 3.3*math.Sqrt(float64(worlds)*.09); float64(stops[false]) > most {
		t.Errorf("%d of %d innocents were stopped on the evidence at alpha .1", stops[false], worlds)
	}
	if stops[true] < 49 {
		t.Errorf("%d of 50 that follow the key were stopped", stops[true])
	}
	t.Logf("false stops: %d of %d at alpha .1", stops[false], worlds)
}

// In a second run the items of the first do not count, as in its analysis.
func TestStopperLeavesFirstRunOut(t *testing.T) {
	t.Parallel()
	k := newCanary(t, 84)
	p := choices(t, k, 6, 1)
	r, err := newRunningChoice(&Input{Test: &p.Tests[0], Key: k, plan: p}, map[[2]string]bool{{"i2", "1"}: true})
	if err != nil {
		t.Fatal(err)
	}
	say := func(i int) float64 {
		if err := r.add(&Answer{Item: ledger.Item{Prompt: &p.Prompts[i]}, Reply: ledger.Reply{Outcome: ledger.OK, Text: "Amber."}}); err != nil {
			t.Fatal(err)
		}
		return r.log10E()
	}
	if e := say(2); e != 0 {
		t.Errorf("an item of the first run counts: %v", e)
	}
	if e := say(3); e == 0 {
		t.Error("a new item does not count")
	}
	p.Tests[0].Family = TriggerCanaries
	if _, err := NewStopper(p, nil, []*watermark.Key{k}, nil); err == nil || !strings.Contains(err.Error(), "no anytime test") {
		t.Errorf("nothing to watch: %v", err)
	}
}
