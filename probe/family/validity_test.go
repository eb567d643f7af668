package family

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stillmark/stillmark/corpora/tokens"
	"github.com/stillmark/stillmark/probe/ledger"
	"github.com/stillmark/stillmark/watermark"
	"github.com/stillmark/stillmark/watermark/evidence"
	"github.com/stillmark/stillmark/watermark/served"
)

// collected is one target's replies without a case around them, read once, so that
// many keys can be tried on them through the test's own path.
func collected(t testing.TB, r *reader, replies, prompts []string) []watermark.Item {
	t.Helper()
	items := make([]watermark.Item, len(replies))
	for i, reply := range replies {
		it := ledger.Item{Target: &ledger.Target{Name: "t", Role: ledger.Rival}, Prompt: &ledger.Prompt{ID: fmt.Sprint(i), Text: prompts[i]}}
		var err error
		if items[i], err = r.item(it, reply); err != nil {
			t.Fatal(err)
		}
	}
	return items
}

func newReader(t testing.TB) *reader {
	t.Helper()
	e, err := tokens.Get("cl100k")
	if err != nil {
		t.Fatal(err)
	}
	return &reader{tokenizer: e, prompts: map[*ledger.Prompt][]int32{}}
}

// score runs one key over the replies.
func score(t testing.TB, items []watermark.Item, k *watermark.Key, keep func([]int32) bool) ledger.Finding {
	t.Helper()
	e := &e1{
		test:       &ledger.Test{Mode: ledger.ModeFixedN, Weights: watermark.WeightsAuto},
		log10Alpha: -6, replies: int64(len(items)), stretches: map[stretch]*stretchPart{},
	}
	spill := &watermark.Spill{Units: unitsInMemory, Each: e.note}
	e.detector = watermark.NewDetector(mark(t, k), watermark.Options{Weights: watermark.WeightsAuto, Keep: keep, Spill: spill})
	for _, it := range items {
		if err := e.add(it, stretch{lang: "en"}); err != nil {
			t.Fatal(err)
		}
	}
	out, err := e.finish(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return out.Finding
}

// uniform checks that p-values are uniform: Kolmogorov and Smirnov's test at
// 1e-3, and no more small ones than the 99.9 % binomial bound allows.
func uniform(t *testing.T, what string, p []float64) {
	t.Helper()
	if _, ks := evidence.KolmogorovSmirnov(p); ks < 1e-3 {
		t.Errorf("%s: %d p-values are not uniform: KS p = %.2g", what, len(p), ks)
	}
	for _, level := range []float64{.05, .01} {
		var hits int64
		for _, v := range p {
			if v <= level {
				hits++
			}
		}
		if tail := evidence.Log10BinomialSF(hits, int64(len(p)), level); tail < -3 {
			t.Errorf("%s: %d of %d p-values are below %v", what, hits, len(p), level)
		}
	}
}

// keysPerCell is the number of random keys per calibration cell. 200 see a
// false alarm rate of .05 as 10 ± 3; the deep tails rest on the exactness of the
// law, which package evidence tests with a million keys. With -short a gross
// error is still seen: half of 24 p-values below .05 fail both tests.
func keysPerCell(full int) int {
	if testing.Short() {
		return 24
	}
	return full
}

// Over random keys the p-values of an innocent's replies are uniform, with its
// repetitions, prompts and weights, through the whole path of the test.
func TestNullIsCalibrated(t *testing.T) {
	t.Parallel()
	for _, scheme := range schemes {
		t.Run(scheme, func(t *testing.T) {
			t.Parallel()
			rng := rand.New(rand.NewPCG(17, 18))
			var replies, prompts []string
			for range 20 {
				prompt := speak(rng, 20, nil, 0)
				reply := speak(rng, 60, nil, 0)
				// Quote the prompt, and repeat a phrase of an earlier reply.
				replies = append(replies, text(slices.Concat(reply, prompt[5:15], reply[10:30])))
				prompts = append(prompts, text(prompt))
			}
			g := collected(t, newReader(t), replies, prompts)
			p := make([]float64, keysPerCell(200))
			for i := range p {
				f := score(t, g, newKey(t, scheme, uint64(1000+i)), nil)
				if i == 0 && (f.Dropped.Prompt == 0 || f.Dropped.Repeat == 0) {
					t.Fatalf("the text was to have repeats and quotes: %+v", f.Dropped)
				}
				// Where p is a bound, the estimate beside it is what is uniform.
				p[i] = math.Pow(10, *f.Log10PEstimate)
				if *f.Log10P < *f.Log10PEstimate-.01 {
					t.Fatalf("the reported log10 p %v is below its estimate %v", *f.Log10P, *f.Log10PEstimate)
				}
			}
			uniform(t, scheme, p)
		})
	}
}

// A filter of served windows keeps the null: the windows come from traffic that
// was marked under the very key of the test.
func TestFilterKeepsTheNull(t *testing.T) {
	t.Parallel()
	for _, scheme := range schemes {
		t.Run(scheme, func(t *testing.T) {
			t.Parallel()
			rng := rand.New(rand.NewPCG(27, 28))
			var replies []string
			for range 20 {
				replies = append(replies, text(speak(rng, 100, nil, 0)))
			}
			g := collected(t, newReader(t), replies, neutral(len(replies)))
			var p []float64
			for i := range keysPerCell(80) {
				k := newKey(t, scheme, uint64(2000+i), func(s *watermark.Spec) { s.Params.Window = 1 })
				windows := watermark.NewWindowSet(1)
				for range 20 {
					windows.Add(speak(rng, 100, mark(t, k), 1))
				}
				f := score(t, g, k, windows.Has)
				if f.Dropped.Filtered == 0 || f.N == 0 {
					t.Fatalf("the filter was to keep some units: %d of them, %+v", f.N, f.Dropped)
				}
				p = append(p, math.Pow(10, *f.Log10PEstimate))
			}
			uniform(t, scheme, p)
		})
	}
}

// An innocent whose replies quote prompts that contain marked text stays
// innocent. The same replies without their prompts show what is at stake.
func TestQuotingInnocents(t *testing.T) {
	t.Parallel()
	for _, scheme := range schemes {
		t.Run(scheme, func(t *testing.T) {
			t.Parallel()
			k := newKey(t, scheme, 61)
			rng := rand.New(rand.NewPCG(37, 38))
			var replies, prompts []string
			for range 30 {
				prompt := speak(rng, 40, mark(t, k), 1)
				quote := prompt[rng.IntN(10):]
				replies = append(replies, text(slices.Concat(speak(rng, 50, nil, 0), quote, speak(rng, 30, nil, 0))))
				prompts = append(prompts, text(prompt))
			}
			s := newScenario(t, []string{"rival"}, prompts)
			s.test(k, ledger.ModeFixedN)
			for i, r := range replies {
				s.reply("rival", i, r)
			}
			f := analyze(t, s.build(), k).Findings[0]
			if *f.Log10P < -4 || f.Verdict != ledger.VerdictNone || f.Dropped.Prompt < 30*20 {
				t.Errorf("a quoting innocent: log10 p = %v, %s, dropped %+v", *f.Log10P, f.Verdict, f.Dropped)
			}
			// A quote in the system text counts as well.
			for i := range s.plan.Prompts {
				s.plan.Prompts[i].System, s.plan.Prompts[i].Text = s.plan.Prompts[i].Text, "Go on."
			}
			if f := analyze(t, s.build(), k).Findings[0]; *f.Log10P < -4 || f.Dropped.Prompt < 30*20 {
				t.Errorf("quotes of the system text: log10 p = %v, dropped %+v", *f.Log10P, f.Dropped)
			}
			for i := range s.plan.Prompts {
				s.plan.Prompts[i].System = ""
			}
			if f := analyze(t, s.build(), k).Findings[0]; *f.Log10P > -6 {
				t.Errorf("the negative control is no longer one: log10 p = %v", *f.Log10P)
			}
		})
	}
}

// The same words again, in another reply, are no new evidence.
func TestDedupAcrossReplies(t *testing.T) {
	t.Parallel()
	k := newKey(t, watermark.KGW, 71)
	rng := rand.New(rand.NewPCG(47, 48))
	words := text(speak(rng, 300, mark(t, k), .7))
	once, often := newScenario(t, []string{"rival"}, neutral(1)), newScenario(t, []string{"rival"}, neutral(30))
	once.test(k, ledger.ModeFixedN)
	often.test(k, ledger.ModeFixedN)
	once.reply("rival", 0, words)
	for i := range 30 {
		often.reply("rival", i, words)
	}
	a, b := analyze(t, once.build(), k).Findings[0], analyze(t, often.build(), k).Findings[0]
	if a.N != b.N || a.Score != b.Score || *a.Log10P != *b.Log10P || *a.Log10E != *b.Log10E {
		t.Errorf("once: %d units, %v; thirty times: %d units, %v", a.N, *a.Log10P, b.N, *b.Log10P)
	}
	if want := a.Dropped.Repeat + 29*(a.N+a.Dropped.Repeat); b.Dropped.Repeat != want {
		t.Errorf("%d repeats, want %d", b.Dropped.Repeat, want)
	}
}

// A secondary test with a filter stands outside Holm and never reaches the exact
// tier, whatever its number.
func TestSecondaryTest(t *testing.T) {
	t.Parallel()
	k := newKey(t, watermark.Gumbel, 81)
	rng := rand.New(rand.NewPCG(57, 58))
	s := newScenario(t, []string{"rival"}, neutral(20))
	s.test(k, ledger.ModeFixedN)
	s.commit(k, testTime.Add(-48*3600e9))
	windows := watermark.NewWindowSet(2)
	for i := range 20 {
		ids := speak(rng, 120, mark(t, k), 1)
		windows.Add(ids)
		s.reply("rival", i, text(ids))
	}
	var file bytes.Buffer
	if err := served.Write(&file, windows); err != nil {
		t.Fatal(err)
	}
	name := WindowsName(file.Bytes())
	s.files = append(s.files, ledger.File{Name: name, Data: file.Bytes()})
	filtered := s.plan.Tests[0]
	filtered.ID, filtered.Primary, filtered.Filter = filtered.ID+"/served", false, name
	s.plan.Tests = append(s.plan.Tests, filtered)
	f := analyze(t, s.build(), k)
	first, second := f.Findings[0], f.Findings[1]
	if first.Verdict != ledger.VerdictSingleRun || first.M != 1 {
		t.Errorf("primary: %s, m = %d", first.Verdict, first.M)
	}
	if second.Verdict != ledger.VerdictExploratory || second.Tier != ledger.Exploratory || second.HolmLog10P != nil || second.N != first.N {
		t.Errorf("secondary: %+v", second)
	}
	if st := Say(&second, -6); !strings.Contains(st.Headline, "without correction") {
		t.Errorf("secondary: %s", st.Headline)
	}
	// A filter file that was exchanged is refused.
	s.files[len(s.files)-1].Data = append(bytes.Clone(file.Bytes()), 0)
	if _, err := Analyze(t.Context(), s.build(), []*watermark.Key{k}, Options{}); err == nil || !strings.Contains(err.Error(), "hash differs") {
		t.Errorf("an exchanged filter: %v", err)
	}
}
