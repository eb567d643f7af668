package probe

import (
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stillmark/stillmark/probe/ledger"
	"github.com/stillmark/stillmark/watermark/strength"
)

// How many runs of every kind TestSentinelAlarms makes. The table in the README:
//
//	go test -run TestSentinelAlarms -v -timeout 0 ./probe -sentinel-runs 20000
var flagSentinelRuns = flag.Int("sentinel-runs", 200, "runs of each kind of model in TestSentinelAlarms")

// speaker answers sentinels at temperature 0. It has one answer to each, and gives
// another one at the rate of its flips: for equal weights of two words are decided by
// what else a server computes in the same batch.
type speaker struct {
	flips float64
	// others is how many other answers there are to a prompt; 0: each is a new one.
	others int
	// shared is how many prompts a second model answers as the first does.
	shared int
}

func (s *speaker) answer(rng *rand.Rand, model, prompt int) string {
	if prompt < s.shared {
		model = 0
	}
	switch {
	case rng.Float64() >= s.flips:
		return fmt.Sprintf("model %d, prompt %d", model, prompt)
	case s.others > 0:
		return fmt.Sprintf("model %d, prompt %d, otherwise %d", model, prompt, rng.IntN(s.others))
	}
	return fmt.Sprintf("model %d, prompt %d, otherwise %d", model, prompt, rng.Uint64())
}

// run asks a speaker so many rounds, the second model from round swap on (none: at the
// end), and says in which round a change was found, -1 for none, and whether the
// sentinels said that they tell nothing.
func (s *speaker) run(rng *rand.Rand, p *ledger.Plan, rounds, swap int) (found int, unstable bool) {
	w := newWatch(p)
	for r := range rounds {
		model := 0
		if r >= swap {
			model = 1
		}
		for i := range p.Prompts {
			it := &ledger.Item{Prompt: &p.Prompts[i], Sample: r}
			if _, _, changed := w.take(it, &ledger.Reply{Outcome: ledger.OK, Text: s.answer(rng, model, i)}); changed {
				return r, w.unstable
			}
		}
	}
	return -1, w.unstable
}

// A target that repeats itself, or nearly, is seldom said to have changed, and one that
// changed is found, if its sentinels tell anything.
func TestSentinelAlarms(t *testing.T) {
	t.Parallel()
	d := &Draft{Plan: &ledger.Plan{}}
	if err := d.addSentinels(maxAutoRounds); err != nil {
		t.Fatal(err)
	}
	p := d.Plan
	const short = 12 // rounds of a plan of a thousand prompts
	runs := *flagSentinelRuns
	rate := func(k, n int64) string {
		lo, hi := strength.ClopperPearson(k, n, .95)
		return fmt.Sprintf("%.4f (%.4f–%.4f)", float64(k)/float64(n), lo, hi)
	}
	t.Logf("| flips | another answer is | answers shared | tell nothing | false alarms in %d rounds | in %d rounds | swap found | rounds until then |", short, maxAutoRounds)
	for _, s := range []speaker{
		{},
		{flips: .01},
		{flips: .02},
		{flips: .05},
		{flips: .1},
		{flips: .15},
		{flips: .2},
		{flips: .3},
		{flips: .4},
		{flips: .5},
		{flips: 1},
		{flips: .05, others: 1},
		{flips: .1, others: 1},
		{flips: .2, others: 1},
		{flips: .3, others: 1},
		{flips: .5, others: 1},
		{shared: 1},
		{shared: 2},
		{shared: 3},
		{flips: .05, shared: 1},
		{flips: .05, shared: 2},
	} {
		rng := rand.New(rand.NewPCG(uint64(1e6*s.flips), uint64(s.others)))
		var silent, early, late, found, waited int64
		n := int64(runs)
		for range runs {
			at, unstable := s.run(rng, p, maxAutoRounds, math.MaxInt)
			if at >= 0 {
				late++
			}
			if at >= 0 && at < short {
				early++
			}
			if unstable {
				silent++
			}
			swap := 2 + rng.IntN(short-3) // two rounds at least are left
			if at, _ := s.run(rng, p, short, swap); at >= swap {
				found++
				waited += int64(at - swap + 1)
			}
		}
		others := fmt.Sprintf("one of %d", s.others)
		if s.others == 0 {
			others = "always a new one"
		}
		t.Logf("| %g %% | %s | %d | %s | %s | %s | %s | %.2f |", 100*s.flips, others, s.shared, rate(silent, n), rate(early, n), rate(late, n), rate(found, n), float64(waited)/float64(max(1, found)))
		steady, apart := s.flips == 0, s.shared <= len(p.Prompts)-sentinelChanged
		if lo, _ := strength.ClopperPearson(late, n, .99); lo > .01 || steady && late > 0 {
			t.Errorf("%+v: %d false alarms in %d runs", s, late, n)
		}
		if _, hi := strength.ClopperPearson(found, n, .99); apart && s.flips <= .02 && hi < .99 || steady && apart && (found < n || waited > found) || !apart && found > 0 {
			t.Errorf("%+v: %d swaps of %d were found, in %d rounds", s, found, n, waited)
		}
		if steady && silent > 0 || s.flips == 1 && silent < n {
			t.Errorf("%+v: the sentinels of %d runs of %d tell nothing", s, silent, n)
		}
	}
}

// A round of other answers means another model at once where the target never gave a
// second answer, or where the plan is of a version that asked for no more; else if the
// next round is like it.
func TestSentinelConfirmed(t *testing.T) {
	t.Parallel()
	d := &Draft{Plan: &ledger.Plan{}}
	if err := d.addSentinels(8); err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct {
		rounds  string // by letters of answers; a digit: so many of them are others
		confirm bool
		alarm   int // in which round, 0: none
	}{
		{"aab", true, 3},
		{"aaab", true, 4},
		{"a1b", true, 0},
		{"a1bb", true, 4},
		{"a1bab", true, 0},
		{"a1bc", true, 4},
		{"aa1aba", true, 0},
		{"aa1abbb", true, 6},
		{"a2abb", true, 5},
		{"a3bbb", true, 0},
		{"a1b", false, 3},
		{"a2bb", false, 3},
		{"aa5a", true, 0},
		{"aa6a", true, 3},
	} {
		rule := *d.Plan.Sentinels
		rule.Confirm = x.confirm
		p := *d.Plan
		p.Sentinels = &rule
		alarm := 0
		if all := sentinelAlarms(&p, x.rounds); len(all) > 0 {
			alarm = all[0]
		}
		if alarm != x.alarm {
			t.Errorf("%s, confirm %v: alarm in round %d, not %d", x.rounds, x.confirm, alarm, x.alarm)
		}
	}
}

// sentinelAlarms are the rounds at which another model is said to answer. Rounds are given
// by letters of answers; a digit: so many of them are others.
func sentinelAlarms(p *ledger.Plan, rounds string) (alarms []int) {
	w := newWatch(p)
	for r, what := range rounds {
		for i := range p.Prompts {
			text := string(what)
			if what < 'a' {
				text = "a"
				if i < int(what-'0') {
					text = fmt.Sprint("other ", r)
				}
			}
			if _, _, changed := w.take(&ledger.Item{Prompt: &p.Prompts[i], Sample: r}, &ledger.Reply{Outcome: ledger.OK, Text: text}); changed {
				alarms = append(alarms, r+1)
			}
		}
	}
	return alarms
}

// A change says nothing of how steady the new model is: the next one is met at once again.
func TestSentinelsAfterAChange(t *testing.T) {
	t.Parallel()
	d := &Draft{Plan: &ledger.Plan{}}
	if err := d.addSentinels(8); err != nil {
		t.Fatal(err)
	}
	for rounds, want := range map[string][]int{
		"aabc":     {3, 4},
		"aabbc":    {3, 5},
		"a1bbc":    {4, 5}, // both rounds of b agree
		"a1bcd":    {4},    // those of b and c do not
		"a1bcdd":   {4, 6},
		"aabbbaaa": {3, 6},
	} {
		if got := sentinelAlarms(d.Plan, rounds); !slices.Equal(got, want) {
			t.Errorf("%s: alarms in rounds %v, not %v", rounds, got, want)
		}
	}
}
