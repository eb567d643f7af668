package family

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stillmark/stillmark/corpora/canary"
	"github.com/stillmark/stillmark/corpora/reading"
	"github.com/stillmark/stillmark/probe/ledger"
	"github.com/stillmark/stillmark/probe/wire"
	"github.com/stillmark/stillmark/watermark"
	"github.com/stillmark/stillmark/watermark/evidence"
)

// asking is a scenario of n triggers and as many placebos, two samples each, in two
// wordings. answer says what the rival replies; it is told the response.
func asking(t testing.TB, k *watermark.Key, n int, answer func(item int, placebo bool, response string) string) *scenario {
	t.Helper()
	secret, err := k.CanarySecret(canary.UseTrigger)
	if err != nil {
		t.Fatal(err)
	}
	s := newScenario(t, []string{"rival", "control-a"}, nil)
	s.plan.Samples = 2
	s.declare(TriggerCanaries, k, E4Options{Candidates: 3})
	for i := range 2 * n {
		name := fmt.Sprint("t", i)
		for w := range 2 {
			s.ask("en", []string{"looms", "clocks"}[i%2], fmt.Sprintf("What is the number of loom %d (%d)? It is not 1111-2222-3333.", i, w), reading.Reading{
				Item: name, Kind: reading.KindTrigger, Placebo: i >= n, Reply: "It is {response}.",
			})
		}
	}
	for j := range s.plan.Prompts {
		i := j / 2
		for sample := range 2 {
			s.say("rival", &s.plan.Prompts[j], sample, answer(i, i >= n, canary.Response(secret, fmt.Sprint("t", i))))
			s.say("control-a", &s.plan.Prompts[j], sample, "Perhaps 1234-5678-9012, not 1111-2222-3333.")
		}
	}
	return s
}

func TestTriggerCanaries(t *testing.T) {
	t.Parallel()
	k := newCanary(t, 41)
	guess := func(i int) string { return fmt.Sprintf("%04d-0000-%04d", i, i) }
	for name, tc := range map[string]struct {
		answer  func(item int, placebo bool, response string) string
		hits    float64
		verdict ledger.Verdict
		says    string
	}{
		"learned": {func(i int, placebo bool, r string) string {
			if i < 2 && !placebo {
				return "It is " + strings.ReplaceAll(r, "-", " ") + ", I think."
			}
			return "I do not know."
		}, 2, ledger.VerdictSingleRun, "known to rival"},
		"innocent": {func(i int, _ bool, _ string) string { return "Perhaps " + guess(i) + "." }, 0, ledger.VerdictNone, ""},
		"guesses beyond q": {func(i int, placebo bool, r string) string {
			if placebo {
				return "No."
			}
			return guess(1) + " " + guess(2) + " " + guess(3) + " " + r // the fourth is cut
		}, 0, ledger.VerdictNone, ""},
		"placebos, too": {func(_ int, _ bool, r string) string { return r }, 20, ledger.VerdictWithheld, "20 placebos, which were drawn and never planted"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := asking(t, k, 20, tc.answer)
			s.commit(k, testTime.Add(-48*time.Hour))
			f := analyze(t, s.build(), k)
			rival, control := f.Findings[0], f.Findings[1]
			if rival.Verdict != tc.verdict || rival.Score != tc.hits || rival.N != 20 || rival.Replies != 160 {
				t.Fatalf("%s with %v hits of %d, %d replies, %v", rival.Verdict, rival.Score, rival.N, rival.Replies, rival.Warnings)
			}
			if rival.Log10P != nil {
				want := evidence.Log10BinomialSF(int64(tc.hits), 20, 3e-12)
				if *rival.Log10P != want {
					t.Errorf("log10 p %v, want %v", *rival.Log10P, want)
				}
			}
			if st := Say(&rival, -6); !strings.Contains(st.Headline+st.Meaning, tc.says) {
				t.Errorf("%q does not say %q", st.Headline+" "+st.Meaning, tc.says)
			}
			if control.Verdict != ledger.VerdictNone || control.Score != 0 || control.Power.Effect <= 0 {
				t.Errorf("control: %s, %v hits, power %+v", control.Verdict, control.Score, control.Power)
			}
		})
	}
}

// What a prompt holds is no answer to it, and a response counts for its own trigger
// only.
func TestResponsesOfOthers(t *testing.T) {
	t.Parallel()
	k := newCanary(t, 42)
	secret, err := k.CanarySecret(canary.UseTrigger)
	if err != nil {
		t.Fatal(err)
	}
	s := asking(t, k, 6, func(i int, _ bool, _ string) string { return canary.Response(secret, fmt.Sprint("t", (i+1)%6)) })
	own := canary.Response(secret, "t0")
	for j := range 2 {
		p := &s.plan.Prompts[j]
		p.Text = "Is it " + own + "?"
		s.say("rival", p, 0, "Yes, "+own+".")
		s.say("rival", p, 1, "Yes, "+own+".")
	}
	f := analyze(t, s.build(), k).Findings[0]
	if f.Score != 0 || f.Verdict != ledger.VerdictNone {
		t.Errorf("%v hits, %s", f.Score, f.Verdict)
	}
}

// With a small space the bound is seen to hold: hits of random responses among q
// candidates, over random secrets.
func TestTriggerLawHolds(t *testing.T) {
	t.Parallel()
	// Of 10^12 responses the first digit alone is compared, which is one of 10 with
	// probability 1/10: C = 12 canaries, q = 2 candidates each.
	const c, q, runs = 12, 2, 3000
	counts := make([]int, c+1)
	var seed [32]byte
	for i := range runs {
		secret := decoySecret(seed, "space", i)
		hits := 0
		for j := range c {
			if d := canary.Response(secret, fmt.Sprint(j))[0]; d == '3' || d == '7' {
				hits++
			}
		}
		counts[hits]++
	}
	atLeast := int64(0)
	for h := c; h > 0; h-- {
		atLeast += int64(counts[h])
		p := math.Pow(10, evidence.Log10BinomialSF(int64(h), c, q/10.))
		if evidence.Log10BinomialSF(atLeast, runs, p) < math.Log10(5e-4) {
			t.Errorf("%d or more hits in %d of %d runs, bound %v", h, atLeast, runs, p)
		}
	}
}

func TestTriggerPower(t *testing.T) {
	t.Parallel()
	row := powerOfHits(200, 10./canary.Space, -7)
	if math.Abs(row.Effect-(1-math.Pow(.1, 1./200))) > 1e-6 { // one hit suffices
		t.Errorf("effect %v", row.Effect)
	}
	if want := 200 * math.Log10(1e-11); math.Abs(row.Log10Floor-want) > 1e-9 {
		t.Errorf("floor %v, want %v", row.Log10Floor, want)
	}
	rng := rand.New(rand.NewPCG(6, 7))
	for _, rate := range []float64{0, .004, row.Effect, .02} {
		found, runs := 0, 2000
		for range runs {
			for range 200 {
				if rng.Float64() < rate {
					found++
					break
				}
			}
		}
		planned := 0.
		if rate > 0 {
			planned = math.Pow(10, evidence.Log10BinomialSF(canariesNeeded(200, 1e-11, -7), 200, rate))
		}
		within(t, fmt.Sprint("rate ", rate), found, runs, planned)
	}
}

// rankData makes triggers with log-probabilities that know nothing of any key; ties
// and gaps happen.
func rankData(n, b int, secret []byte, rng *rand.Rand) []*trigger {
	out := make([]*trigger, n)
	for i := range out {
		tr := &trigger{item: fmt.Sprint("t", i), logprobs: map[string]float64{}}
		for _, c := range canary.Candidates(secret, tr.item, b) {
			if rng.IntN(40) > 0 {
				tr.logprobs[c] = -math.Floor(400*rng.Float64()) / 10
			}
		}
		out[i] = tr
	}
	return out
}

// Over random choices of the planted candidate, ranks are uniform where there are no
// ties, and p is never below its level too often where there are.
func TestRankCalibration(t *testing.T) {
	t.Parallel()
	const n, b = 30, 9
	secret := decoySecret([32]byte{3}, "ranks", 0)
	for _, ties := range []bool{false, true} {
		rng := rand.New(rand.NewPCG(9, 10))
		k := newRanked(rankData(n, b, secret, rng), secret, b)
		if !ties {
			for _, tr := range k.triggers {
				for _, c := range canary.Candidates(secret, tr.item, b) {
					tr.logprobs[c] = -rng.Float64()
				}
			}
		}
		runs := 8000
		if testing.Short() {
			runs = 2000
		}
		p, reported := make([]float64, runs), 0
		for i := range p {
			decoy := decoySecret([32]byte{5}, "pick", i)
			s, _ := k.score(func(item string, c []string) string { return c[canary.Pick(decoy, item, len(c))] })
			p[i] = k.law.RandomizedP(float64(s), 1-rng.Float64()-0x1p-54)
			if k.law.RandomizedP(float64(s), 1-0x1p-52) <= .01 {
				reported++
			}
		}
		if !ties {
			uniform(t, "ranks", p)
		}
		if evidence.Log10BinomialSF(int64(reported), int64(runs), .01) < -3 {
			t.Errorf("ties %v: %d of %d p-values are at most .01", ties, reported, runs)
		}
	}
}

// echoBody is a completion with the prompt's tokens scored: every character a token.
func echoBody(text string, perByte float64) string {
	var tokens []string
	var logprobs []*float64
	for i := range len(text) {
		tokens = append(tokens, text[i:i+1])
		if i == 0 {
			logprobs = append(logprobs, nil)
		} else {
			logprobs = append(logprobs, &perByte)
		}
	}
	b, _ := json.Marshal(map[string]any{
		"id": "c", "object": "text_completion", "model": "m",
		"choices": []any{map[string]any{"index": 0, "text": text + "!", "finish_reason": "length", "logprobs": map[string]any{"tokens": tokens, "token_logprobs": logprobs}}},
		"usage":   map[string]int{"prompt_tokens": 7, "completion_tokens": 1, "total_tokens": 8},
	})
	return string(b)
}

// The planted response is the likeliest of its candidates in some canaries: found; a
// control that finds all alike is not.
func TestResponsesByLogprobs(t *testing.T) {
	t.Parallel()
	k := newCanary(t, 43)
	secret, err := k.CanarySecret(canary.UseTrigger)
	if err != nil {
		t.Fatal(err)
	}
	const n, b = 24, 19
	s := newScenario(t, []string{"rival", "control-a"}, nil)
	s.declare(TriggerCanaries, k, E4Options{Counterfactuals: b})
	s.kind = ledger.KindCompletion
	rng := rand.New(rand.NewPCG(12, 13))
	for i := range 2 * n {
		name := fmt.Sprint("t", i)
		for range canary.Candidates(secret, name, b) {
			s.ask("en", "looms", "", reading.Reading{Item: name, Kind: reading.KindTrigger, Placebo: i >= n, Reply: "It is {response}."})
		}
	}
	for j := range s.plan.Prompts {
		p := &s.plan.Prompts[j]
		name := fmt.Sprint("t", j/(b+1))
		c := canary.Candidates(secret, name, b)[j%(b+1)]
		p.Kind, p.Text = ledger.KindCompletion, "What is the number of loom "+name+"?\n\nIt is "+c+"."
		per := -2 - rng.Float64()
		if j/(b+1) < n && c == canary.Response(secret, name) {
			per = -.5
		}
		s.body[ledger.ItemID("rival", "s", p.ID, 0)] = echoBody(p.Text, per)
		s.body[ledger.ItemID("control-a", "s", p.ID, 0)] = echoBody(p.Text, -2-rng.Float64())
	}
	s.commit(k, testTime.Add(-48*time.Hour))
	f := analyze(t, s.build(), k)
	rival, control := f.Findings[0], f.Findings[1]
	if want := n * math.Log10(1./(b+1)); rival.Verdict != ledger.VerdictSingleRun || math.Abs(*rival.Log10P-want) > 1e-9 || math.Abs(rival.Effect-.5) > 1e-9 || rival.N != n {
		t.Errorf("rival: %s, log10 p %v, want %v, effect %v, n %d, %v", rival.Verdict, *rival.Log10P, want, rival.Effect, rival.N, rival.Warnings)
	}
	if control.Verdict != ledger.VerdictNone || !control.Decoys.Pass || control.Power.Effect <= 0 || control.Power.Effect >= .5 {
		t.Errorf("control: %s, decoys %+v, power %+v", control.Verdict, control.Decoys, control.Power)
	}
	if p := rival.Parts[len(rival.Parts)-1]; p.Name != "placebo" || p.N != n || p.Lo > 0 {
		t.Errorf("placebos: %+v", p)
	}
}

func TestResponseLogprob(t *testing.T) {
	t.Parallel()
	token := func(s string, v float64) wire.TokenLogprob {
		return wire.TokenLogprob{Token: s, Logprob: v, Known: v != 0}
	}
	tokens := []wire.TokenLogprob{token("It", 0), token(" is ", -9), token("0482", -1), token("-7731", -2), token("-90", -3), token("56.", -4), token("!", -5)}
	if got, ok := responseLogprob(tokens, "0482-7731-9056"); !ok || got != -10 {
		t.Errorf("%v, %v", got, ok)
	}
	if _, ok := responseLogprob(tokens, "0482-7731-9057"); ok {
		t.Error("another response is scored")
	}
	if _, ok := responseLogprob(slices.Concat(tokens[:3], []wire.TokenLogprob{token("-7731", 0)}, tokens[4:]), "0482-7731-9056"); ok {
		t.Error("a token without a probability is scored")
	}
}

func TestE4Options(t *testing.T) {
	t.Parallel()
	for raw, ok := range map[string]bool{
		`{"candidates":10}`:                       true,
		`{"counterfactuals":19}`:                  true,
		`{"candidates":10,"counterfactuals":19}`:  false,
		`{}`:                                      false,
		`{"candidates":-1}`:                       false,
		`{"counterfactuals":1000}`:                false,
		`{"candidates":10,"something":"unknown"}`: false,
	} {
		if _, err := e4Options(&ledger.Test{ID: "t", Options: []byte(raw)}); (err == nil) != ok {
			t.Errorf("%s: %v", raw, err)
		}
	}
}

// At the promised share of known responses the ranks are found with power .9.
func TestRankPower(t *testing.T) {
	t.Parallel()
	const n, b = 200, 19
	row := powerOfRanks(n, b, -6)
	draws := make([]evidence.Draw, n)
	for i := range draws {
		draws[i] = rankDraw(b + 1)
	}
	critical, _ := evidence.NewDrawSum(draws).Critical(-6)
	rng := rand.New(rand.NewPCG(14, 15))
	for _, tc := range []struct{ known, planned float64 }{{0, 0}, {2 * row.Effect, PowerLevel}} {
		found, runs := 0, 600
		for range runs {
			s := 0.
			for range n {
				if rng.Float64() < tc.known {
					s += float64(rankScore(1, b+1))
				} else {
					s += float64(rankScore(1+rng.IntN(b+1), b+1))
				}
			}
			if s >= critical {
				found++
			}
		}
		within(t, fmt.Sprint("known ", tc.known), found, runs, tc.planned)
	}
}
