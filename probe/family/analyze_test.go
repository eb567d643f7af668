package family

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stillmark/stillmark/corpora/tokens"
	"github.com/stillmark/stillmark/probe/ledger"
	"github.com/stillmark/stillmark/watermark"
	"github.com/stillmark/stillmark/watermark/evidence"
)

var schemes = []string{watermark.Gumbel, watermark.KGW, watermark.Tournament}

// A signal of known size is found, in the rival and not in the control, and
// everything that a finding must say is there.
func TestPlantedSignal(t *testing.T) {
	t.Parallel()
	for _, scheme := range schemes {
		t.Run(scheme, func(t *testing.T) {
			t.Parallel()
			k := newKey(t, scheme, 11)
			rng := rand.New(rand.NewPCG(3, 4))
			s := newScenario(t, []string{"rival", "control-a"}, neutral(40))
			s.test(k, ledger.ModeFixedN)
			s.commit(k, testTime.Add(-48*time.Hour))
			for i := range 40 {
				s.reply("rival", i, text(speak(rng, 150, mark(t, k), .4)))
				s.reply("control-a", i, text(speak(rng, 150, nil, 0)))
			}
			f := analyze(t, s.build(), k)
			rival, control := f.Findings[0], f.Findings[1]
			if rival.Verdict != ledger.VerdictSingleRun || rival.Tier != ledger.Exact {
				t.Errorf("rival: %s at tier %s, log10 p %v, %v", rival.Verdict, rival.Tier, *rival.HolmLog10P, rival.Warnings)
			}
			if control.Verdict != ledger.VerdictNone {
				t.Errorf("control: %s", control.Verdict)
			}
			if rival.M != 2 || *rival.HolmLog10P < *rival.Log10P || *rival.HolmLog10P > *rival.Log10P+math.Log10(2)+1e-9 {
				t.Errorf("Holm over two tests made %v of %v", *rival.HolmLog10P, *rival.Log10P)
			}
			if rival.Replies != 40 || rival.Tokens < 40*150 || rival.N == 0 || rival.Decoys.N != 99 || !rival.Decoys.Pass {
				t.Errorf("rival: %d replies, %d tokens, %d units, decoys %+v", rival.Replies, rival.Tokens, rival.N, rival.Decoys)
			}
			if rival.Decoys.RankP != .01 {
				t.Errorf("rank p = %v", rival.Decoys.RankP)
			}
			if len(rival.Curve) != curvePoints || rival.Curve[curvePoints-1].Log10P != *rival.Log10P ||
				rival.Curve[curvePoints-1].Tokens != rival.Tokens {
				t.Errorf("the curve must end at the result: %+v", rival.Curve)
			}
			if !(rival.EffectLo < rival.Effect && rival.Effect < rival.EffectHi && rival.EffectLo > 0) {
				t.Errorf("effect %v [%v, %v]", rival.Effect, rival.EffectLo, rival.EffectHi)
			}
			if control.Power.Effect <= 0 || control.Power.Effect >= rival.Effect {
				t.Errorf("power: the control was tested for %v, the rival showed %v", control.Power.Effect, rival.Effect)
			}
			if rival.PlainLog10P == nil || rival.Log10E == nil || *rival.Log10E <= 0 {
				t.Error("the unweighted figure and the e-value stand beside")
			}
			if got := f.Accounting[0]; got.Planned != 40 || got.Sent != 40 || got.Analysed != 40 || got.Missing != 0 ||
				got.Classes[ledger.OK] != 40 || got.Models["m"] != 40 || got.Usage.CompletionTokens != 440 {
				t.Errorf("accounting: %+v", got)
			}
			if len(f.Deviations) != 0 {
				t.Errorf("deviations of a plain run: %q", f.Deviations)
			}
		})
	}
}

// The analysis is a function of what was received, not of when it arrived, and
// gives the same bytes each time.
func TestSameBytes(t *testing.T) {
	t.Parallel()
	k := newKey(t, watermark.Gumbel, 12)
	replies := make([]string, 12)
	rng := rand.New(rand.NewPCG(5, 6))
	for i := range replies {
		replies[i] = text(speak(rng, 80, mark(t, k), .5))
	}
	build := func(shuffle bool) *ledger.Case {
		s := newScenario(t, []string{"rival"}, neutral(len(replies)))
		s.test(k, ledger.ModeFixedN)
		for i, r := range replies {
			s.reply("rival", i, r)
		}
		for _, it := range s.plan.Items() {
			s.order = append(s.order, it.ID)
		}
		if shuffle {
			slices.Reverse(s.order)
		}
		return s.build()
	}
	c := build(false)
	first, again, other := analyze(t, c, k), analyze(t, c, k), analyze(t, build(true), k)
	encode := func(f *ledger.Findings) []byte {
		data, err := Encode(f)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	if !bytes.Equal(encode(first), encode(again)) {
		t.Error("the same case gave other bytes the second time")
	}
	other.LedgerHead = first.LedgerHead
	if !bytes.Equal(encode(first), encode(other)) {
		t.Error("the order of arrival changed the findings")
	}
	spilled, err := Analyze(t.Context(), c, []*watermark.Key{k}, Options{units: 50})
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(encode(first), encode(spilled)) {
		t.Error("units on disk changed the findings")
	}
}

func TestKeyWithheld(t *testing.T) {
	t.Parallel()
	given, withheld := newKey(t, watermark.KGW, 1), newKey(t, watermark.KGW, 2)
	s := newScenario(t, []string{"rival"}, neutral(5))
	s.test(given, ledger.ModeFixedN)
	s.test(withheld, ledger.ModeFixedN)
	rng := rand.New(rand.NewPCG(1, 1))
	for i := range 5 {
		s.reply("rival", i, text(speak(rng, 400, nil, 0)))
	}
	f := analyze(t, s.build(), given)
	if got := f.Findings[0].Verdict; got != ledger.VerdictNone {
		t.Errorf("given key: %s", got)
	}
	w := f.Findings[1]
	if w.Verdict != ledger.VerdictUnverified || w.Log10P != nil || w.HolmLog10P != nil || w.N != 0 {
		t.Errorf("withheld key: %+v", w)
	}
	if f.Findings[0].M != 2 {
		t.Errorf("a withheld test still counts: m = %d", f.Findings[0].M)
	}
	other := *given
	other.Spec.Model = "another"
	if _, err := Analyze(t.Context(), s.build(), []*watermark.Key{&other}, Options{}); err == nil {
		t.Error("a key whose spec is not the plan's was taken")
	}
}

func TestCommitmentTiers(t *testing.T) {
	t.Parallel()
	serving := testTime.Add(-24 * time.Hour)
	for name, tc := range map[string]struct {
		arrange func(s *scenario, k *watermark.Key)
		noTime  bool // the key does not say when serving began
		state   string
	}{
		"before":     {func(s *scenario, k *watermark.Key) { s.commit(k, serving.Add(-2*time.Second)) }, false, CommitBeforeServing},
		"at serving": {func(s *scenario, k *watermark.Key) { s.commit(k, serving) }, false, CommitLate},
		"too close":  {func(s *scenario, k *watermark.Key) { s.commit(k, serving.Add(-time.Second)) }, false, CommitLate},
		"close to reply": {func(s *scenario, k *watermark.Key) {
			s.commit(k, testTime.Add(-time.Second))
			s.plan.Keys[0].ServingFrom = testTime.Add(-time.Millisecond)
		}, true, CommitLate},
		"served later": {func(s *scenario, k *watermark.Key) {
			s.commit(k, serving.Add(-time.Hour))
			s.plan.Keys[0].ServingFrom = testTime.Add(time.Minute)
		}, true, CommitInconsistent},
		"after reply":     {func(s *scenario, k *watermark.Key) { s.commit(k, testTime.Add(time.Hour)) }, false, CommitLate},
		"not stamped":     {func(s *scenario, k *watermark.Key) { s.commit(k, time.Time{}) }, false, CommitUnstamped},
		"absent":          {func(*scenario, *watermark.Key) {}, false, CommitAbsent},
		"serving unknown": {func(s *scenario, k *watermark.Key) { s.commit(k, serving.Add(-2*time.Second)) }, true, CommitServingUnknown},
		"declared in the plan": {func(s *scenario, k *watermark.Key) {
			s.commit(k, serving.Add(-2*time.Second))
			s.plan.Keys[0].ServingFrom = serving
		}, true, CommitBeforeServing},
		"the earlier one counts": {func(s *scenario, k *watermark.Key) {
			s.commit(k, serving.Add(-2*time.Second))
			s.plan.Keys[0].ServingFrom = serving.Add(-time.Hour)
		}, false, CommitLate},
		"another key's": {func(s *scenario, k *watermark.Key) {
			other := newKey(t, watermark.Gumbel, 99)
			s.commit(other, serving.Add(-2*time.Second))
		}, false, CommitMismatch},
		"another file's token": {func(s *scenario, k *watermark.Key) {
			s.commit(k, time.Time{})
			authority := *s
			authority.plan = &ledger.Plan{Keys: []ledger.KeyRef{{}}}
			authority.files = nil
			authority.commit(newKey(t, watermark.Gumbel, 98), serving.Add(-2*time.Second))
			s.files = append(s.files, ledger.File{Name: "commitments/x.tsr", Data: authority.files[1].Data})
			s.plan.Keys[0].Stamp = "x.tsr"
		}, false, CommitUnstamped},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := newKey(t, watermark.Gumbel, 7, func(s *watermark.Spec) {
				if tc.noTime {
					s.ServingFrom = time.Time{}
				}
			})
			s := newScenario(t, []string{"rival"}, neutral(2))
			s.test(k, ledger.ModeFixedN)
			tc.arrange(s, k)
			rng := rand.New(rand.NewPCG(1, 1))
			for i := range 2 {
				s.reply("rival", i, text(speak(rng, 200, mark(t, k), .9)))
			}
			f := analyze(t, s.build(), k).Findings[0]
			if f.Committed.State != tc.state {
				t.Fatalf("state %q, want %q", f.Committed.State, tc.state)
			}
			if tc.state != CommitUnstamped && tc.state != CommitAbsent && tc.state != CommitMismatch {
				if f.Committed.Accuracy != time.Second {
					t.Errorf("the authority states a second, not %s", f.Committed.Accuracy)
				}
				declared := f.Committed.ServingSource == ledger.ServingDeclared
				if want := s.plan.Keys[0].ServingFrom; declared != !want.IsZero() || declared && !f.Committed.ServingFrom.Equal(want) {
					t.Errorf("serving from %s, %q", f.Committed.ServingFrom, f.Committed.ServingSource)
				}
				if slices.Contains(f.Warnings, warningText[WarnServingDeclared]) != declared {
					t.Errorf("declared %v: %q", declared, f.Warnings)
				}
			}
			exact := tc.state == CommitBeforeServing
			wantVerdict := ledger.VerdictExploratory
			if exact {
				wantVerdict = ledger.VerdictSingleRun
			}
			if (f.Tier == ledger.Exact) != exact || f.Verdict != wantVerdict {
				t.Errorf("tier %s, verdict %s, Holm %v", f.Tier, f.Verdict, *f.HolmLog10P)
			}
			if want := warningText[commitmentWarning(tc.state)]; !slices.Contains(f.Warnings, want) {
				t.Errorf("no warning %q in %q", want, f.Warnings)
			}
		})
	}
}

// TestPublishedKey: a key that everybody can read is exploratory, though it was
// committed to before serving.
func TestPublishedKey(t *testing.T) {
	t.Parallel()
	spec := newKey(t, watermark.Gumbel, 1).Spec
	for value, public := range map[string]bool{"42": true, "16045690984503098046": false} {
		k, err := watermark.Import(watermark.Spec{
			Scheme: "vllm-gumbel", Model: spec.Model, Tokenizer: spec.Tokenizer, TokenizerSHA256: spec.TokenizerSHA256,
			Vocab: spec.Vocab, ServingFrom: spec.ServingFrom,
		}, map[string]string{"key": value, "context_width": "2"}, random(5))
		if err != nil {
			t.Fatal(err)
		}
		s := newScenario(t, []string{"rival"}, neutral(2))
		s.test(k, ledger.ModeFixedN)
		s.commit(k, spec.ServingFrom.Add(-2*time.Second))
		rng := rand.New(rand.NewPCG(1, 1))
		for i := range 2 {
			s.reply("rival", i, text(speak(rng, 200, mark(t, k), .9)))
		}
		f := analyze(t, s.build(), k).Findings[0]
		if f.Committed.State != CommitBeforeServing {
			t.Fatalf("commitment %s", f.Committed.State)
		}
		if exact := f.Tier == ledger.Exact; exact == public {
			t.Errorf("public %v: tier %s, verdict %s", public, f.Tier, f.Verdict)
		}
		if slices.Contains(f.Warnings, warningText[WarnPublished]) != public {
			t.Errorf("public %v: warnings %q", public, f.Warnings)
		}
	}
}

// Everything but OK is counted and nothing else of it enters.
func TestOnlyOKEnters(t *testing.T) {
	t.Parallel()
	k := newKey(t, watermark.Gumbel, 21)
	rng := rand.New(rand.NewPCG(1, 2))
	marked := func() string { return text(speak(rng, 100, mark(t, k), 1)) }
	s := newScenario(t, []string{"rival"}, neutral(8))
	s.test(k, ledger.ModeFixedN)
	id := func(i int) string { return ledger.ItemID("rival", "s", s.plan.Prompts[i].ID, 0) }
	s.reply("rival", 0, text(speak(rng, 100, nil, 0)))
	s.reply("rival", 1, "")
	s.body[id(2)] = strings.Replace(chatBody(marked(), ""), `"finish_reason":"stop"`, `"finish_reason":"content_filter"`, 1)
	s.body[id(3)] = chatBody(marked(), `,"refusal":"I cannot help with that."`)
	s.body[id(4)] = chatBody(text(speak(rng, 100, nil, 0)), `,"reasoning_content":"`+marked()+`"`)
	s.reply("rival", 5, "x") // too short for a window
	// 6 and 7 were never asked.
	f := analyze(t, s.build(), k)
	got, acc := f.Findings[0], f.Accounting[0]
	want := map[ledger.Outcome]int64{ledger.OK: 3, ledger.Empty: 1, ledger.Filtered: 1, ledger.Refused: 1}
	for class, n := range want {
		if acc.Classes[class] != n {
			t.Errorf("%s: %d, want %d (all: %v)", class, acc.Classes[class], n, acc.Classes)
		}
	}
	if acc.Missing != 2 || acc.Analysed != 3 || got.Replies != 3 {
		t.Errorf("missing %d, analysed %d, replies %d", acc.Missing, acc.Analysed, got.Replies)
	}
	if *got.Log10P < -3 {
		t.Errorf("marked text of another class than ok entered: log10 p = %v", *got.Log10P)
	}
	if !slices.Contains(got.Warnings, warningText[WarnReasoning]) {
		t.Errorf("reasoning text is not mentioned: %q", got.Warnings)
	}
	for _, want := range []string{"2 of 8 planned replies are missing", `of class "empty"`, `of class "filtered"`, `of class "refused"`} {
		if !strings.Contains(strings.Join(f.Deviations, "\n"), want) {
			t.Errorf("deviations do not mention %q: %q", want, f.Deviations)
		}
	}
}

func TestNothingToScore(t *testing.T) {
	t.Parallel()
	k := newKey(t, watermark.KGW, 31)
	s := newScenario(t, []string{"rival"}, neutral(3))
	s.test(k, ledger.ModeFixedN)
	for i := range 3 {
		s.reply("rival", i, "no")
	}
	f := analyze(t, s.build(), k).Findings[0]
	if f.Verdict != ledger.VerdictInsufficient || f.N != 0 || f.HolmLog10P != nil || f.Dropped.Short == 0 {
		t.Errorf("%s with %d units, dropped %+v", f.Verdict, f.N, f.Dropped)
	}
	if _, err := Encode(&ledger.Findings{Findings: []ledger.Finding{f}}); err != nil {
		t.Errorf("an empty result must still be written: %v", err)
	}
}

// A plan that says e-process gets an e-value and no p, and the running evidence
// of the stopper is that of the analysis.
func TestAnytime(t *testing.T) {
	t.Parallel()
	for _, scheme := range schemes {
		t.Run(scheme, func(t *testing.T) {
			t.Parallel()
			k := newKey(t, scheme, 41)
			s := newScenario(t, []string{"rival", "control"}, neutral(20))
			s.test(k, ledger.ModeAnytime)
			s.plan.Stop = ledger.StopRule{OnEvidence: true, CheckEvery: 4}
			rng := rand.New(rand.NewPCG(7, 7))
			for i := range 20 {
				s.reply("rival", i, text(speak(rng, 200, mark(t, k), .6)))
				s.reply("control", i, text(speak(rng, 200, nil, 0)))
			}
			c := s.build()
			f := analyze(t, c, k)
			rival := f.Findings[0]
			if rival.Log10P != nil || rival.PlainLog10P != nil || rival.Log10E == nil || rival.Weights != watermark.WeightsNone {
				t.Fatalf("e-process prints e only: %+v", rival)
			}
			if want := math.Min(0, -*rival.Log10E) + math.Log10(2); math.Abs(*rival.HolmLog10P-want) > 1e-9 {
				t.Errorf("Holm of 1/e is %v, want %v", *rival.HolmLog10P, want)
			}
			stopper, err := NewStopper(c.Plan(), nil, []*watermark.Key{k}, nil)
			if err != nil {
				t.Fatal(err)
			}
			looks, stoppedAt, added := 0, 0, 0
			err = c.Replies(func(rec ledger.ReplyRecord) error {
				if rec.Item.Target.Role == ledger.Rival {
					added++
				}
				if err := stopper.Add(rec.Item, Decode(rec)); err != nil {
					return err
				}
				due, ev, enough := stopper.Check()
				if due {
					looks++
				}
				if enough && stoppedAt == 0 {
					stoppedAt = added
					if ev[0].Log10E < ev[0].Threshold || math.Abs(ev[0].Threshold-(6+math.Log10(2))) > 1e-9 {
						t.Errorf("stopped at %+v", ev)
					}
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			if looks != 10 || stoppedAt == 0 || stoppedAt == 20 {
				t.Errorf("%d looks, enough after %d of 20 replies", looks, stoppedAt)
			}
			if got := stopper.tests[0].log10E(); math.Abs(got-*rival.Log10E) > 1e-9 {
				t.Errorf("running evidence %v, analysed %v", got, *rival.Log10E)
			}
		})
	}
	t.Run("needs its key", func(t *testing.T) {
		t.Parallel()
		k := newKey(t, watermark.KGW, 42)
		s := newScenario(t, []string{"rival"}, neutral(1))
		s.test(k, ledger.ModeAnytime)
		if _, err := NewStopper(s.plan, nil, nil, nil); err == nil || !strings.Contains(err.Error(), k.ID) {
			t.Errorf("got %v", err)
		}
	})
}

// named gives a tokenizer another name.
type named struct {
	watermark.Tokenizer
	name string
}

func (n named) Name() string { return n.name }

// A tokenizer is known by its hash: two files of one name are two tokenizers, and
// each key is scored in its own.
func TestTokenizersOfOneName(t *testing.T) {
	t.Parallel()
	files := map[string]watermark.Tokenizer{}
	open := func(name, sha256 string) (watermark.Tokenizer, error) {
		if files[sha256] == nil {
			return nil, fmt.Errorf("tokenizer %s is not here", name)
		}
		return files[sha256], nil
	}
	s := newScenario(t, []string{"rival"}, neutral(2))
	var keys []*watermark.Key
	var want []int64
	replies := []string{"Größenwahn überall, naïveté sometimes.", "Привет, 世界: двадцать три."}
	for i, builtin := range []string{"cl100k", "o200k"} {
		e, err := tokens.Get(builtin)
		if err != nil {
			t.Fatal(err)
		}
		files[e.SHA256()] = named{e, "tokenizer"}
		k := newKey(t, watermark.KGW, uint64(60+i), func(s *watermark.Spec) {
			s.Tokenizer, s.TokenizerSHA256, s.Vocab = "tokenizer", e.SHA256(), e.VocabSize()
		})
		keys = append(keys, k)
		s.test(k, ledger.ModeAnytime)
		var n int64
		for _, r := range replies {
			ids, err := e.Encode(r)
			if err != nil {
				t.Fatal(err)
			}
			n += int64(len(ids))
		}
		want = append(want, n)
	}
	for i, r := range replies {
		s.reply("rival", i, r)
	}
	if want[0] == want[1] {
		t.Fatal("the two tokenizers were to cut the replies differently")
	}
	f, err := Analyze(t.Context(), s.build(), keys, Options{Tokenizer: open})
	if err != nil {
		t.Fatal(err)
	}
	for i, x := range f.Findings {
		if x.Tokens != want[i] {
			t.Errorf("key %d: %d tokens, want %d", i, x.Tokens, want[i])
		}
	}
	if _, err := NewStopper(s.plan, nil, keys, open); err != nil {
		t.Errorf("stopper: %v", err)
	}
	delete(files, keys[1].TokenizerSHA256)
	for name, err := range map[string]error{
		"stopper": func() error { _, err := NewStopper(s.plan, nil, keys, open); return err }(),
		"none":    func() error { _, err := NewStopper(s.plan, nil, keys, nil); return err }(),
		"analysis": func() error {
			_, err := Analyze(t.Context(), s.build(), keys, Options{Tokenizer: open})
			return err
		}(),
	} {
		var input *InputError
		if !errors.As(err, &input) {
			t.Errorf("%s without a tokenizer: %v", name, err)
		}
	}
	// A built-in tokenizer of the name, but with another hash, is another one.
	other := newKey(t, watermark.KGW, 62, func(s *watermark.Spec) { s.TokenizerSHA256 = strings.Repeat("ab", 32) })
	if _, err := OpenTokenizer(nil).ForKey(other); err == nil || !strings.Contains(err.Error(), "the built-in tokenizer cl100k has the SHA-256") {
		t.Errorf("another hash: %v", err)
	}
}

// When the gate fails nothing analytic is shown.
func TestGateFailed(t *testing.T) {
	t.Parallel()
	p := &ledger.Plan{Alpha: 1e-6, Tests: []ledger.Test{{Primary: true}}}
	a := &analysis{
		plan: p, given: []bool{true}, own: make([][]Warning, 1), log10P: []float64{0}, targets: map[string]*gathered{"rival": {}},
		history: &history{},
		results: []ledger.Finding{{
			Target: "rival", Role: ledger.Rival, N: 100, Primary: true, Tier: ledger.Exact, PRF: watermark.AESCTR,
			Decoys: &ledger.DecoyFinding{N: 999, RankP: .001}, Committed: &ledger.CommitmentCheck{State: CommitBeforeServing},
			Power: ledger.PowerRow{Effect: .1},
		}},
	}
	a.judge()
	f := a.results[0]
	if f.Verdict != ledger.VerdictWithheld || f.HolmLog10P != nil || !slices.Contains(f.Warnings, warningText[WarnGate]) {
		t.Errorf("%+v", f)
	}
	if got := Say(&f, -6).Meaning; !strings.Contains(got, "log10 p = -3.00") {
		t.Errorf("the rank is reported: %s", got)
	}
}

// A fixed-n test cannot be stopped, or gone on with, after a look at it.
func TestStoppedByHand(t *testing.T) {
	t.Parallel()
	none, caps := ledger.Caps{}, ledger.Caps{MaxRequests: 9, MaxTokens: 1e6, MaxCost: 5, MaxTime: time.Hour}
	for _, tc := range []struct {
		mode, stop string
		replies    int // of 8
		caps       ledger.Caps
		again      bool
		open       bool
	}{
		{ledger.ModeFixedN, "", 8, none, false, false},
		{ledger.ModeFixedN, "", 8, none, true, false},
		{ledger.ModeFixedN, "none", 8, none, false, false},
		{ledger.ModeFixedN, "none", 7, none, false, true},
		{ledger.ModeFixedN, StopOperator, 7, none, false, true},
		{ledger.ModeFixedN, StopAuth, 7, none, false, true},
		{ledger.ModeFixedN, StopGivenUp, 7, none, false, true},
		{ledger.ModeFixedN, "cap:requests", 7, caps, false, false},
		{ledger.ModeFixedN, "cap:tokens", 7, caps, false, false},
		{ledger.ModeFixedN, "cap:cost", 7, caps, false, false},
		{ledger.ModeFixedN, "cap:time", 7, caps, false, true},
		{ledger.ModeFixedN, "cap:requests", 7, caps, true, true},
		{ledger.ModeFixedN, "cap:requests", 7, none, false, true}, // the plan has no such cap
		{ledger.ModeFixedN, "cap:patience", 7, caps, false, true},
		{ledger.ModeFixedN, StopCap, 7, ledger.Caps{MaxRequests: 9}, false, false}, // records without the cap's name
		{ledger.ModeFixedN, StopCap, 7, caps, false, true},
		{ledger.ModeAnytime, StopOperator, 7, none, true, false},
	} {
		k := newKey(t, watermark.Gumbel, 95)
		s := newScenario(t, []string{"rival"}, neutral(8))
		s.test(k, tc.mode)
		s.commit(k, testTime.Add(-48*time.Hour))
		s.stop, s.again, s.plan.Caps = tc.stop, tc.again, tc.caps
		s.idle = true
		rng := rand.New(rand.NewPCG(1, 2))
		for i := range tc.replies {
			s.reply("rival", i, text(speak(rng, 150, mark(t, k), 1)))
		}
		all := analyze(t, s.build(), k)
		f := all.Findings[0]
		if open := slices.Contains(f.Warnings, warningText[WarnOpen]); open != tc.open || (f.Verdict == ledger.VerdictSingleRun) == tc.open {
			t.Errorf("%+v: %s, %q", tc, f.Verdict, f.Warnings)
		}
		if said := strings.Contains(strings.Join(all.Deviations, " "), "was not fixed by the plan"); said != tc.open {
			t.Errorf("%+v: deviations %q", tc, all.Deviations)
		}
	}
}

func TestDecoysOverride(t *testing.T) {
	t.Parallel()
	k := newKey(t, watermark.KGW, 51)
	s := newScenario(t, []string{"rival"}, neutral(3))
	s.test(k, ledger.ModeFixedN)
	s.commit(k, testTime.Add(-48*time.Hour))
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range 3 {
		s.reply("rival", i, text(speak(rng, 400, mark(t, k), 1)))
	}
	none := 0
	f, err := Analyze(t.Context(), s.build(), []*watermark.Key{k}, Options{Decoys: &none})
	if err != nil {
		t.Fatal(err)
	}
	got := f.Findings[0]
	if got.Decoys != nil || got.Verdict != ledger.VerdictExploratory || !slices.Contains(got.Warnings, warningText[WarnNoDecoys]) {
		t.Errorf("without decoys: %s, %q", got.Verdict, got.Warnings)
	}
	// Other numbers than the planned one are another gate, though they pass it.
	for _, n := range []int{199, 99} {
		f, err := Analyze(t.Context(), s.build(), []*watermark.Key{k}, Options{Decoys: &n})
		if err != nil {
			t.Fatal(err)
		}
		got, planned := f.Findings[0], n == 99
		if !got.Decoys.Pass || (got.Verdict == ledger.VerdictSingleRun) != planned ||
			slices.Contains(got.Warnings, warningText[WarnDecoysPlan]) == planned {
			t.Errorf("%d decoys: %s, %q", n, got.Verdict, got.Warnings)
		}
		if got.Decoys.Tolerance != GateTolerance(n) {
			t.Errorf("%d decoys are judged by %v, the plan would seal %v", n, got.Decoys.Tolerance, GateTolerance(n))
		}
	}
	sealed := s.plan.Decoys
	for _, gate := range [][2]float64{{.5, GateKSLevel}, {sealed.SDTolerance, 1e-4}, {0, 0}} {
		s.plan.Decoys.SDTolerance, s.plan.Decoys.KSLevel = gate[0], gate[1]
		got, earlier := analyze(t, s.build(), k).Findings[0], gate[0] == 0
		if (got.Verdict == ledger.VerdictSingleRun) != earlier || slices.Contains(got.Warnings, warningText[WarnDecoysPlan]) == earlier {
			t.Errorf("a sealed gate of %v: %s, %q", gate, got.Verdict, got.Warnings)
		}
	}
	s.plan.Decoys = sealed
	if want := "0 decoy keys were scored instead of the planned 99."; !slices.Contains(f.Deviations, want) {
		t.Errorf("deviations %q", f.Deviations)
	}
	// A seed that is not the committed one is refused.
	s.files[0].Data = []byte(`{"format":1,"seed":"` + strings.Repeat("00", 32) + `"}`)
	if _, err := Analyze(t.Context(), s.build(), []*watermark.Key{k}, Options{}); err == nil || !strings.Contains(err.Error(), "not the one that the plan commits to") {
		t.Errorf("another seed: %v", err)
	}
}

// BenchmarkAnalyze reads 1,000 replies of 100 tokens under one key, with and
// without decoys.
func BenchmarkAnalyze(b *testing.B) {
	for _, decoys := range []int{0, 999} {
		for _, scheme := range schemes {
			b.Run(fmt.Sprintf("scheme=%s/decoys=%d", scheme, decoys), func(b *testing.B) {
				k := newKey(b, scheme, 91)
				s := newScenario(b, []string{"rival"}, neutral(1000))
				s.test(k, ledger.ModeFixedN)
				rng := rand.New(rand.NewPCG(1, 1))
				for i := range 1000 {
					s.reply("rival", i, text(speak(rng, 100, mark(b, k), .1)))
				}
				c := s.build()
				b.ReportAllocs()
				for b.Loop() {
					if _, err := Analyze(b.Context(), c, []*watermark.Key{k}, Options{Decoys: &decoys}); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// A commitment that holds more keys than the plan declares costs the declared
// ones the choice among all of them.
func TestSelectionIsCharged(t *testing.T) {
	t.Parallel()
	labels := []string{"a", "b", "c"}
	for _, tc := range []struct {
		declared int
		exact    bool
	}{{1, true}, {2, true}, {4, true}, {1, false}} {
		master := newKey(t, watermark.Gumbel, 96)
		keys := []*watermark.Key{master}
		for _, label := range labels {
			k, err := master.Derive(label, master.Epoch)
			if err != nil {
				t.Fatal(err)
			}
			keys = append(keys, k)
		}
		keys = keys[:tc.declared]
		s := newScenario(t, []string{"rival"}, neutral(8))
		s.test(master, ledger.ModeFixedN)
		var at time.Time
		if tc.exact {
			at = testTime.Add(-48 * time.Hour)
		}
		s.commit(master, at, labels...)
		for _, k := range keys[1:] {
			s.test(k, ledger.ModeFixedN)
		}
		// Listing a key without testing it lowers no charge.
		if idle, err := master.Derive("c", master.Epoch); err != nil {
			t.Fatal(err)
		} else if tc.declared < 4 {
			s.key(idle)
		}
		rng := rand.New(rand.NewPCG(1, 2))
		for i := range 8 {
			s.reply("rival", i, text(speak(rng, 150, mark(t, master), 1)))
		}
		f := analyze(t, s.build(), keys...).Findings[0]
		want := math.Log10(4 / float64(tc.declared))
		if !tc.exact {
			want = 0
		}
		c := f.Committed
		if c.Leaves != 4 || c.Declared != tc.declared || c.SelectionLog10 != want || (f.Tier == ledger.Exact) != tc.exact {
			t.Errorf("%+v: %+v at tier %s", tc, c, f.Tier)
		}
		if got := *f.HolmLog10P - *f.Log10P; math.Abs(got-want-math.Log10(float64(tc.declared))) > 1e-9 {
			t.Errorf("%+v: log10 p is corrected by %v", tc, got)
		}
		if level := -6 - math.Log10(float64(tc.declared)) - want; math.Abs(f.Power.Log10Alpha-level) > 1e-9 {
			t.Errorf("%+v: power at log10 level %v, want %v", tc, f.Power.Log10Alpha, level)
		}
		if said := strings.Contains(strings.Join(f.Warnings, " "), "The commitment holds 4 keys"); said != (want > 0) {
			t.Errorf("%+v: %q", tc, f.Warnings)
		}
	}
}

// A run that stops on the evidence waits for what the charge adds, too.
func TestStopperIsCharged(t *testing.T) {
	t.Parallel()
	k := newKey(t, watermark.Gumbel, 97)
	s := newScenario(t, []string{"rival"}, neutral(2))
	s.test(k, ledger.ModeAnytime)
	s.commit(k, testTime.Add(-48*time.Hour), "a", "b", "c", "d", "e", "f", "g", "h", "i")
	c := s.build()
	stopper, err := NewStopper(c.Plan(), c.FS(), []*watermark.Key{k}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := stopper.tests[0].threshold; math.Abs(got-7) > 1e-9 {
		t.Errorf("one of ten keys at a level of 1e-6: the threshold is %v, want 7", got)
	}
}

// Cohort, epoch and public keys stand side by side: the key whose text the rival learned
// from is found, the others are not, and Holm corrects over all of them and over the
// control; what is shown by language adds up to the whole.
func TestKeysSideBySide(t *testing.T) {
	t.Parallel()
	label := func(l string) func(*watermark.Spec) { return func(s *watermark.Spec) { s.Label = l } }
	cohort := newKey(t, watermark.KGW, 71, label("acme"))
	other := newKey(t, watermark.KGW, 72, label("globex"))
	public := newKey(t, watermark.Gumbel, 73, label("public"))
	rng := rand.New(rand.NewPCG(74, 75))
	s := newScenario(t, []string{"rival", "control-a"}, neutral(40))
	for _, k := range []*watermark.Key{cohort, other, public} {
		s.test(k, ledger.ModeFixedN)
		s.commit(k, testTime.Add(-48*time.Hour))
	}
	for i := range s.plan.Prompts {
		s.plan.Prompts[i].Lang = []string{"en", "ja"}[i%2]
		s.reply("rival", i, text(speak(rng, 150, mark(t, cohort), .5)))
		s.reply("control-a", i, text(speak(rng, 150, nil, 0)))
	}
	f := analyze(t, s.build(), cohort, other, public)
	var raw []float64
	for i := range f.Findings {
		x := &f.Findings[i]
		raw = append(raw, *x.Log10P)
		want := ledger.VerdictNone
		if x.Key == cohort.ID && x.Target == "rival" {
			want = ledger.VerdictSingleRun
		}
		if x.Verdict != want || x.M != 6 {
			t.Errorf("%s under %s: %s of %d tests, log10 p %v", x.Target, x.Key, x.Verdict, x.M, *x.Log10P)
		}
		if len(x.Parts) != 2 || x.Parts[0].Name != "en" || x.Parts[0].N+x.Parts[1].N != x.N {
			t.Errorf("%s under %s: parts %+v of %d units", x.Target, x.Key, x.Parts, x.N)
		}
		if want == ledger.VerdictSingleRun && (x.Parts[0].Lo <= 0 || x.Parts[1].Lo <= 0) {
			t.Errorf("the effect by language: %+v", x.Parts)
		}
	}
	for i, p := range evidence.Holm(raw) {
		if got := *f.Findings[i].HolmLog10P; math.Abs(got-p) > 1e-12 {
			t.Errorf("%s: %v after correction, want %v", f.Findings[i].Test, got, p)
		}
	}
}

// TestProgress: the case is read, then the replies of a test, then its decoys, each to
// its end.
func TestProgress(t *testing.T) {
	t.Parallel()
	k := newKey(t, watermark.Gumbel, 13)
	rng := rand.New(rand.NewPCG(7, 8))
	s := newScenario(t, []string{"rival"}, neutral(150))
	s.test(k, ledger.ModeFixedN)
	for i := range 150 {
		s.reply("rival", i, text(speak(rng, 20, nil, 0)))
	}
	var steps []Progress
	_, err := Analyze(t.Context(), s.build(), []*watermark.Key{k}, Options{Progress: func(p Progress) {
		if n := len(steps); n == 0 || steps[n-1].Index != p.Index || steps[n-1].Step != p.Step {
			steps = append(steps, p)
			if p.Done != 0 {
				t.Errorf("a step begins with %+v", p)
			}
			return
		}
		if last := &steps[len(steps)-1]; p.Done < last.Done || p.Done > p.Of || p.Of != last.Of {
			t.Errorf("%+v after %+v", p, *last)
		} else {
			*last = p
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	want := []Progress{
		{Tests: 1, Step: StepReplies, Done: 128, Of: 150}, // every 64 replies
		{Test: s.plan.Tests[0].ID, Index: 1, Tests: 1, Step: StepReplies, Done: 150, Of: 150},
		{Test: s.plan.Tests[0].ID, Index: 1, Tests: 1, Step: StepDecoys, Done: 99, Of: 99},
	}
	if !slices.Equal(steps, want) {
		t.Errorf("steps %+v, want %+v", steps, want)
	}
}
