package family

import (
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

// rotating is a scenario of some slots of an hour in which our own service marks its
// text as the schedule says. The rival repeats a share of it: at once, or with a lag.
type rotating struct {
	*scenario
	key  *watermark.Key
	arms []*watermark.Key
}

func newRotating(t testing.TB, slots, lag int, share float64) *rotating {
	t.Helper()
	r := &rotating{key: newCanary(t, 61)}
	for i := range 2 {
		r.arms = append(r.arms, newKey(t, watermark.KGW, uint64(62+i)))
	}
	secret, err := r.key.CanarySecret(canary.UseRotation)
	if err != nil {
		t.Fatal(err)
	}
	schedule := canary.Rotation(secret, slots, 2)
	s := newScenario(t, []string{"rival", "control-a", "service"}, nil)
	s.plan.Targets[2].Role = ledger.Ours
	r.scenario = s
	s.declare(RotationLag, r.key, E6Options{
		Arms: []string{r.arms[0].ID, r.arms[1].ID}, Start: testTime, Slots: slots, Seconds: 3600, Lag: lag,
	})
	s.plan.Tests = s.plan.Tests[:2] // our own service is compared with, not tested
	for _, k := range r.arms {
		s.key(k)
	}
	for i := range 2 * slots {
		s.ask("en", "account", fmt.Sprintf("Q%d?", i), reading.Reading{Item: fmt.Sprint("r", i), Kind: reading.KindRotation, Slot: i/2 + 1})
	}
	rng := rand.New(rand.NewPCG(63, 64))
	for i := range s.plan.Prompts {
		p := &s.plan.Prompts[i]
		slot := i / 2
		served := mark(t, r.arms[schedule[slot]])
		s.say("service", p, 0, text(speak(rng, 60, served, 1)))
		s.say("control-a", p, 0, text(speak(rng, 60, nil, 0)))
		var learned watermark.Scheme
		if slot >= lag {
			learned = mark(t, r.arms[schedule[slot-lag]])
		}
		s.say("rival", p, 0, text(speak(rng, 60, learned, share)))
		for _, target := range []string{"rival", "control-a", "service"} {
			s.when[ledger.ItemID(target, p.Suite, p.ID, 0)] = testTime.Add(time.Duration(slot)*time.Hour + time.Duration(20+i%2)*time.Minute)
		}
	}
	return r
}

func (r *rotating) keys() []*watermark.Key { return append([]*watermark.Key{r.key}, r.arms...) }

func TestRotationForwarding(t *testing.T) {
	t.Parallel()
	r := newRotating(t, 40, 0, .9)
	r.commit(r.key, testTime.Add(-48*time.Hour))
	r.plan.Keys[0].Commitment, r.plan.Keys[0].Stamp = r.plan.Keys[2].Commitment, r.plan.Keys[2].Stamp
	r.plan.Keys[2].Commitment, r.plan.Keys[2].Stamp = "", ""
	c := r.build()
	f := analyze(t, c, r.keys()...)
	rival, control := f.Findings[0], f.Findings[1]
	if rival.Verdict != ledger.VerdictSingleRun || rival.N != 40 || rival.Replies != 80 || *rival.Log10P > -8 || *rival.Log10P < 40*math.Log10(.5)-1e-9 {
		t.Errorf("rival: %s, %d slots of %d replies, log10 p %v, %v", rival.Verdict, rival.N, rival.Replies, *rival.Log10P, rival.Warnings)
	}
	if all := strings.Join(rival.Warnings, " "); !strings.Contains(all, "at least half of our own service's") {
		t.Errorf("the lift is not placed: %q, parts %+v", all, rival.Parts)
	}
	if ratio := rival.Parts[1]; ratio.Effect < .7 || ratio.Effect > 1.1 {
		t.Errorf("share of our own lift: %+v", ratio)
	}
	if control.Verdict != ledger.VerdictNone || control.Power.Effect <= 0 || control.Power.Effect >= rival.Effect || !control.Decoys.Pass {
		t.Errorf("control: %s, power %+v, decoys %+v", control.Verdict, control.Power, control.Decoys)
	}
	// An arm's key that is withheld withholds the test.
	if got := analyze(t, c, r.key, r.arms[0]).Findings[0].Verdict; got != ledger.VerdictUnverified {
		t.Errorf("without an arm's key: %s", got)
	}
}

// A rival that follows three slots later is found at that lag and at no other; one
// that carries the marks of all arms in every slot at none.
func TestRotationLag(t *testing.T) {
	t.Parallel()
	r := newRotating(t, 40, 3, .9)
	for _, lag := range []int{0, 2} {
		test := r.plan.Tests[0]
		test.ID += fmt.Sprint("/lag-", lag)
		test.Options = []byte(strings.Replace(string(test.Options), `"lag":3`, fmt.Sprintf(`"lag":%d`, lag), 1))
		r.plan.Tests = append(r.plan.Tests, test)
	}
	f := analyze(t, r.build(), r.keys()...)
	if got := f.Findings[0]; got.Verdict != ledger.VerdictExploratory || got.N != 37 {
		t.Errorf("at its lag: %s, %d slots, log10 p %v", got.Verdict, got.N, *got.Log10P)
	}
	for _, got := range f.Findings[2:] {
		if got.Verdict != ledger.VerdictNone {
			t.Errorf("%s: %s, log10 p %v", got.Test, got.Verdict, *got.Log10P)
		}
	}
}

// Whatever the texts are, p is uniform over schedules: here text that carries both
// marks strongly, in every slot alike.
func TestRotationCalibration(t *testing.T) {
	t.Parallel()
	const slots = 24
	rng := rand.New(rand.NewPCG(65, 66))
	r := &rotation{slots: make([]slotText, slots)}
	for s := range r.slots {
		n := int64(rng.IntN(400))
		r.slots[s] = slotText{excess: []float64{20 + 5*rng.NormFloat64(), 18 + 9*rng.NormFloat64(), -3}, tokens: []int64{n, n, n}}
	}
	k := r.at(0)
	runs := 8000
	if testing.Short() {
		runs = 2000
	}
	p := make([]float64, runs)
	for i := range p {
		schedule := canary.Rotation(decoySecret([32]byte{7}, "schedule", i), slots, 3)
		p[i] = k.law.RandomizedP(float64(k.score(schedule)), 1-rng.Float64()-0x1p-54)
	}
	uniform(t, "schedules", p)
}

// The planned lift is found with power .9, and none at lift 0.
func TestRotationPower(t *testing.T) {
	t.Parallel()
	const slots, n = 48, 500
	in := &Input{Log10Alpha: -6}
	rng := rand.New(rand.NewPCG(67, 68))
	texts := func(schedule []int, lift float64) *scheduled {
		r := &rotation{slots: make([]slotText, slots)}
		for s := range r.slots {
			x := slotText{excess: make([]float64, 2), tokens: []int64{n, n}}
			for j := range x.excess {
				x.excess[j] = math.Sqrt(n) * rng.NormFloat64()
			}
			x.excess[schedule[s]] += n * lift
			r.slots[s] = x
		}
		return r.at(0)
	}
	secret := decoySecret([32]byte{8}, "power", 0)
	schedule := canary.Rotation(secret, slots, 2)
	test := &ledger.Test{Options: []byte(fmt.Sprintf(`{"arms":["a","b"],"start":"2027-01-01T00:00:00Z","slots":%d,"slot_seconds":3600}`, slots))}
	planned := &PlannedTest{Input: &Input{Test: test, Log10Alpha: -6, plan: &ledger.Plan{
		Samples: 1, Params: ledger.Params{MaxTokens: slots * n * 8 / 3},
		Prompts: []ledger.Prompt{{ID: "p", Suite: "s", Reading: []byte(`{"item":"i","kind":"rotation"}`)}},
	}}}
	row, err := powerE6(planned)
	if err != nil {
		t.Fatal(err)
	}
	asRun := texts(schedule, 0).power(in, 2)
	if math.Abs(row.Effect-asRun.Effect) > .1*row.Effect || math.Abs(row.Log10Floor-slots*math.Log10(.5)) > 1e-9 {
		t.Errorf("planned %v, as run %v, floor %v", row.Effect, asRun.Effect, row.Log10Floor)
	}
	tokens := make([]float64, slots)
	for i := range tokens {
		tokens[i] = n
	}
	planner := newLiftPower(tokens, 2, -6)
	for _, lift := range []float64{0, .04, .05, row.Effect} {
		found, runs := 0, 300
		for range runs {
			k := texts(schedule, lift)
			if k.law.Tail(k.score(schedule)).Log10P <= -6 {
				found++
			}
		}
		want := 0.
		if lift > 0 {
			want = planner.at(lift)
		}
		within(t, fmt.Sprint("lift ", lift), found, runs, want)
	}
	// Whole replies that are forwarded or not, four to a slot: less is found than at the
	// same mean lift, and as much as is reckoned.
	for _, share := range []float64{.06, .1} {
		found, runs := 0, 300
		for range runs {
			k := texts(schedule, 0)
			for s := range k.slots {
				for range 4 {
					if rng.Float64() < share {
						k.slots[s].excess[schedule[s]] += n / 4
					}
				}
			}
			k = (&rotation{slots: k.slots}).at(0)
			if k.law.Tail(k.score(schedule)).Log10P <= -6 {
				found++
			}
		}
		want := planner.forwarded(4, share, 1)
		within(t, fmt.Sprint("forwarded ", share), found, runs, want)
		if want >= planner.at(share) {
			t.Errorf("forwarding %v of the replies is found with power %.2f, an even lift with %.2f", share, want, planner.at(share))
		}
	}
	if evidence.NewDrawSum(make([]evidence.Draw, 0)).SD() != 0 {
		t.Error("no slots have no spread")
	}
}

func TestSlotOf(t *testing.T) {
	t.Parallel()
	o := &E6Options{Start: testTime, Slots: 3, Seconds: 3600}
	for name, tc := range map[string]struct {
		at   time.Duration
		took float64 // ms
		slot int     // -1: none
	}{
		"first":           {10 * time.Minute, 1000, 0},
		"third":           {2*time.Hour + time.Minute, 1000, 2},
		"across":          {time.Hour + time.Second, 5000, -1},
		"before":          {-time.Minute, 1000, -1},
		"across the rim":  {time.Second, 5000, -1},
		"after the last":  {3 * time.Hour, 0, -1},
		"at the boundary": {time.Hour, 0, 1},
	} {
		got, ok := o.slotOf(&Answer{At: testTime.Add(tc.at), Attempt: &ledger.Attempt{TotalMS: tc.took}})
		if !ok {
			got = -1
		}
		if got != tc.slot {
			t.Errorf("%s: slot %d, want %d", name, got, tc.slot)
		}
	}
}

// The slots that a plan says would find a lift find it, and a fifth fewer do not.
func TestSlotsNeeded(t *testing.T) {
	t.Parallel()
	const tokens = 500.
	power := func(slots int, lift float64) float64 {
		of := make([]float64, slots)
		for i := range of {
			of[i] = tokens
		}
		return newLiftPower(of, 2, -6).at(lift)
	}
	p := newLiftPower([]float64{tokens, tokens}, 2, -6)
	for _, lift := range []float64{.05, .1} {
		n := int(p.slotsNeeded(lift))
		if got := power(n, lift); got < PowerLevel {
			t.Errorf("lift %g: %d slots have power %.2f", lift, n, got)
		}
		if got := power(n*4/5, lift); got >= PowerLevel {
			t.Errorf("lift %g: %d of %d slots have power %.2f", lift, n*4/5, n, got)
		}
	}
	// Beyond what is tried the normal law speaks: close to 400 both nearly agree.
	if n := p.slotsNeeded(.019); n <= fewSlots || n > 500 {
		t.Errorf("lift .019: %d slots", n)
	}
	if n := newLiftPower(nil, 2, -6); n.possible() {
		t.Error("no slots can reach the level")
	}
}
