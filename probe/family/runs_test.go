package family

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stillmark/stillmark/corpora/reading"
	"github.com/stillmark/stillmark/probe/ledger"
	"github.com/stillmark/stillmark/watermark"
)

// twoRuns are a first run that is sealed and a second one that names it, with the
// given texts as replies of the rival.
func twoRuns(t *testing.T, k *watermark.Key, first, second []string, apart time.Duration) *ledger.Case {
	t.Helper()
	make := func(texts []string) *scenario {
		s := newScenario(t, []string{"rival"}, neutral(len(texts)))
		s.test(k, ledger.ModeFixedN)
		s.commit(k, testTime.Add(-48*time.Hour))
		for i, text := range texts {
			s.reply("rival", i, text)
		}
		return s
	}
	return secondRun(t, make(first).build(), make(second), apart)
}

// secondRun seals the first run and builds the second, which names it.
func secondRun(t *testing.T, one *ledger.Case, b *scenario, apart time.Duration) *ledger.Case {
	t.Helper()
	w, err := ledger.OpenWriter(one.Dir(), ledger.WriterOptions{Now: func() time.Time { return testTime.Add(time.Hour) }})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Append(ledger.EventSeal, "", 0, map[string]string{}); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	head, err := one.LedgerHead()
	if err != nil {
		t.Fatal(err)
	}
	b.plan.CaseID = "2026-11-30_test_0000000B"
	b.plan.OrderSeed = 9
	b.plan.After = &ledger.Cached{CaseID: one.Plan().CaseID, Ledger: head, KeyID: "k", First: testTime, Last: testTime}
	b.first, b.late = one.Dir(), apart
	if err := b.plan.Repeats(one.Plan()); err != nil {
		t.Fatal(err)
	}
	return b.build()
}

// markedTexts are replies that follow a key at half of their positions.
func markedTexts(t *testing.T, k *watermark.Key, seed uint64, n int) []string {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, 3))
	m := mark(t, k)
	out := make([]string, n)
	for i := range out {
		out[i] = text(speak(rng, 80, m, .7))
	}
	return out
}

// Two runs that both meet the threshold, a week apart and on different units, are
// worded as a dependence; either condition alone is not enough.
func TestTwoRuns(t *testing.T) {
	t.Parallel()
	const week = 8 * 24 * time.Hour
	for _, scheme := range []string{watermark.Gumbel, watermark.KGW, watermark.Tournament} {
		k := newKey(t, scheme, 31)
		one, two := markedTexts(t, k, 1, 40), markedTexts(t, k, 2, 40)
		plain := func(seed uint64) []string {
			rng := rand.New(rand.NewPCG(seed, 3))
			var out []string
			for range 40 {
				out = append(out, text(speak(rng, 80, nil, 0)))
			}
			return out
		}
		for _, tt := range []struct {
			name          string
			first, second []string
			apart         time.Duration
			want          ledger.Verdict
			why           string
		}{
			{"both", one, two, week, ledger.VerdictDependence, ""},
			{"too close", one, two, 6 * 24 * time.Hour, ledger.VerdictSingleRun, "days apart"},
			{"first without a trace", plain(5), two, week, ledger.VerdictSingleRun, ""},
			{"second without a trace", one, plain(6), week, ledger.VerdictNone, ""},
			{"the same replies again", one, one, week, ledger.VerdictInsufficient, ""},
		} {
			t.Run(scheme+"/"+tt.name, func(t *testing.T) {
				t.Parallel()
				f := analyze(t, twoRuns(t, k, tt.first, tt.second, tt.apart), k).Findings[0]
				if f.Verdict != tt.want || f.Earlier == nil || f.Joint == nil || !strings.Contains(f.Earlier.Apart, tt.why) || (tt.why == "") != (f.Earlier.Apart == "") {
					t.Fatalf("verdict %s, n %d, first run %+v", f.Verdict, f.N, f.Earlier)
				}
				if tt.want == ledger.VerdictDependence {
					said := Say(&f, -6).Headline
					weakest := math.Floor(-math.Max(*f.HolmLog10P, *f.Earlier.HolmLog10P))
					if !strings.Contains(said, "On two runs, 8 days apart") && !strings.Contains(said, "On two runs, 7 days apart") || !strings.Contains(said, "10^"+number10(weakest)+" ") {
						t.Errorf("%s (weaker of the two: %v)", said, weakest)
					}
				}
			})
		}
	}
}

func number10(v float64) string { return audits(number(-v)) }

// What the two runs and their pool count: nothing twice.
func TestTwoRunsCountUnitsOnce(t *testing.T) {
	t.Parallel()
	k := newKey(t, watermark.Gumbel, 33)
	one, two := markedTexts(t, k, 1, 20), markedTexts(t, k, 2, 20)
	both := append(append([]string(nil), two...), one[:10]...) // half of the first run comes again
	c := twoRuns(t, k, one, both, 10*24*time.Hour)
	f := analyze(t, c, k).Findings[0]
	spilled, err := Analyze(t.Context(), c, []*watermark.Key{k}, Options{units: 50})
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(spilled.Findings[0], f) {
		t.Errorf("with units on disk %+v, else %+v", spilled.Findings[0], f)
	}
	alone := newScenario(t, []string{"rival"}, neutral(40))
	alone.test(k, ledger.ModeFixedN)
	for i, text := range append(append([]string(nil), one...), two...) {
		alone.reply("rival", i, text)
	}
	all := analyze(t, alone.build(), k).Findings[0]
	if f.N+f.Earlier.N != all.N || f.Joint.N != all.N {
		t.Errorf("first run %d, second %d, pool %d; all replies once have %d units", f.Earlier.N, f.N, f.Joint.N, all.N)
	}
	if math.Abs(f.Joint.Score-all.Score) > all.Score {
		t.Errorf("pool %v, all once %v", f.Joint.Score, all.Score)
	}
	if f.Decoys == nil || !f.Decoys.Pass {
		t.Errorf("the decoys of the second run: %+v", f.Decoys)
	}
}

// Over random keys the second run's p-values on an innocent are uniform, although
// it repeats much of the first.
func TestSecondRunIsCalibrated(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(3, 9))
	var one, two []string
	for range 12 {
		a, b := speak(rng, 60, nil, 0), speak(rng, 60, nil, 0)
		one = append(one, text(a))
		two = append(two, text(append(a[10:40:40], b...)))
	}
	r := newReader(t)
	first, second := collected(t, r, one, neutral(len(one))), collected(t, r, two, neutral(len(two)))
	for _, scheme := range schemes {
		p := make([]float64, keysPerCell(200))
		for i := range p {
			k := newKey(t, scheme, uint64(5000+i))
			seen := watermark.NewDetector(mark(t, k), watermark.Options{})
			for _, it := range first {
				seen.Add(it)
			}
			again := watermark.NewDetector(mark(t, k), watermark.Options{Skip: seen.Has})
			for _, it := range second {
				again.Add(it)
			}
			p[i] = math.Pow(10, again.Result().Tail.Log10Estimate)
		}
		uniform(t, scheme, p)
	}
}

// A first run that is not the one that the plan names is no first run.
func TestFirstRunIsPinned(t *testing.T) {
	t.Parallel()
	k := newKey(t, watermark.KGW, 35)
	c := twoRuns(t, k, markedTexts(t, k, 1, 5), markedTexts(t, k, 2, 5), 240*time.Hour)
	inside := c.Dir() + "/" + ledger.EarlierPath(c.Plan().After.CaseID) + "/ledger.jsonl"
	data, err := os.ReadFile(inside)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(strings.TrimSuffix(string(data), "\n"), "\n")
	if err := os.WriteFile(inside, []byte(strings.Join(lines[:len(lines)-1], "")), 0o600); err != nil {
		t.Fatal(err)
	}
	again, err := ledger.Open(c.Dir())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Analyze(t.Context(), again, []*watermark.Key{k}, Options{}); err == nil || !strings.Contains(err.Error(), "not the case that the plan names") {
		t.Errorf("%v", err)
	}
}

// The families of canary keys score in the second run what the first did not have, and
// pool both.
func TestTwoRunsOfCanaries(t *testing.T) {
	t.Parallel()
	const week = 8 * 24 * time.Hour
	k := newCanary(t, 91)
	// Items 0 to 9 are canaries and 10 to 19 placebos in both runs; the second has 20
	// more, all canaries. The rival knows every fifth canary.
	triggers := func(items int) *scenario {
		s := asking(t, k, items, func(i int, _ bool, r string) string {
			if i%5 > 0 || 10 <= i && i < 20 {
				return "No idea."
			}
			return r
		})
		for j := range s.plan.Prompts {
			r, err := reading.Parse(s.plan.Prompts[j].Reading)
			if err != nil {
				t.Fatal(err)
			}
			r.Placebo = 10 <= j/2 && j/2 < 20
			if s.plan.Prompts[j].Reading, err = json.Marshal(r); err != nil {
				t.Fatal(err)
			}
		}
		s.commit(k, testTime.Add(-48*time.Hour))
		return s
	}
	f := analyze(t, secondRun(t, triggers(10).build(), triggers(20), week), k).Findings[0]
	if f.Verdict != ledger.VerdictDependence || f.N != 20 || f.Score != 4 || f.Earlier.N != 10 || f.Joint.N != 30 || f.Joint.Score != 6 || *f.Joint.Log10P >= *f.Log10P {
		t.Errorf("triggers: %s, %v of %d, earlier %+v, joint %+v", f.Verdict, f.Score, f.N, f.Earlier, f.Joint)
	}

	nonces := func(from, to int, seen []string) *scenario {
		s, sent, _ := forwarding(t, k, 64)
		s.plan.Prompts = s.plan.Prompts[from:to]
		s.commit(k, testTime.Add(-48*time.Hour))
		var found []Sighting
		for _, n := range sent[from:to] {
			found = append(found, Sighting{testTime.Add(week + time.Hour), "line", n})
		}
		s.seen = [][]byte{sightings(t, found...)}
		return s
	}
	f = analyze(t, secondRun(t, nonces(0, 48, nil).build(), nonces(0, 64, nil), week), k).Findings[0]
	if f.N != 8 || f.Score != 8 || f.Joint == nil || f.Joint.N != 32 || f.Joint.Score != 32 || f.Earlier.N != 24 {
		t.Errorf("nonces: %v of %d, joint %+v, earlier %+v", f.Score, f.N, f.Joint, f.Earlier)
	}
}
