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

// forwarding is a scenario of n nonces, every second one put to the rival and the
// others to another rival.
func forwarding(t testing.TB, k *watermark.Key, n int) (s *scenario, sent, held []string) {
	t.Helper()
	secret, err := k.CanarySecret(canary.UseNonce)
	if err != nil {
		t.Fatal(err)
	}
	sent, held = canary.Nonces(secret, n)
	s = newScenario(t, []string{"rival", "second"}, nil)
	s.declare(NonceForwarding, k, E5Options{Nonces: n})
	for i, nonce := range sent {
		p := s.ask("en", "notes", "Reference "+nonce+": name a planet.", reading.Reading{Item: fmt.Sprint("n", i), Kind: reading.KindNonce})
		p.Targets = []string{[]string{"rival", "second"}[i%2]}
	}
	for i := range s.plan.Prompts {
		p := &s.plan.Prompts[i]
		s.say(p.Targets[0], p, 0, "Mars.")
	}
	return s, sent, held
}

func sightings(t testing.TB, found ...Sighting) []byte {
	t.Helper()
	data, err := EncodeSightings(NonceSearch{Source: "gateway", Lines: 1000, From: testTime.Add(-time.Hour), Until: testTime.Add(time.Hour)}, found)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestNonceForwarding(t *testing.T) {
	t.Parallel()
	k := newCanary(t, 21)
	const n = 64
	after := testTime.Add(time.Minute)
	at := func(nonces []string, when time.Time) []Sighting {
		var out []Sighting
		for _, v := range nonces {
			out = append(out, Sighting{when, "line 7", v}, Sighting{when, "line 8", v}) // retried
		}
		return out
	}
	own := func(sent []string, k int) []string { // of the rival's
		var out []string
		for i := 0; len(out) < k; i += 2 {
			out = append(out, sent[i])
		}
		return out
	}
	for name, tc := range map[string]struct {
		seen    func(sent, held []string) []Sighting
		nothing bool // no search on record
		hits    int64
		verdict ledger.Verdict
		says    string
	}{
		"forwarded":   {seen: func(sent, _ []string) []Sighting { return at(own(sent, 20), after) }, hits: 20, verdict: ledger.VerdictSingleRun, says: "forwarding of requests"},
		"a few":       {seen: func(sent, _ []string) []Sighting { return at(own(sent, 2), after) }, hits: 2, verdict: ledger.VerdictNone},
		"none":        {seen: func(_, _ []string) []Sighting { return nil }, verdict: ledger.VerdictNone},
		"of the next": {seen: func(sent, _ []string) []Sighting { return at([]string{sent[1], sent[3]}, after) }, verdict: ledger.VerdictNone},
		"of a stranger": {
			seen:    func(_, _ []string) []Sighting { return at([]string{strings.Repeat("ab", 16)}, after) },
			verdict: ledger.VerdictNone,
		},
		"held back": {
			seen: func(sent, held []string) []Sighting { return at(append(own(sent, 20), held[3]), after) }, hits: 20,
			verdict: ledger.VerdictWithheld, says: "1 nonce that was never sent",
		},
		"too early": {
			seen: func(sent, _ []string) []Sighting { return at(own(sent, 20), testTime.Add(-time.Hour)) }, hits: 0,
			verdict: ledger.VerdictWithheld, says: "20 of the nonces from before they were sent",
		},
		"undated":   {seen: func(sent, _ []string) []Sighting { return at(own(sent, 20), time.Time{}) }, hits: 20, verdict: ledger.VerdictSingleRun},
		"no search": {nothing: true, verdict: ledger.VerdictInsufficient},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, sent, held := forwarding(t, k, n)
			s.commit(k, testTime.Add(-48*time.Hour))
			if !tc.nothing {
				s.seen = [][]byte{sightings(t, tc.seen(sent, held)...)}
			}
			f := analyze(t, s.build(), k).Findings[0]
			if f.Verdict != tc.verdict || f.Score != float64(tc.hits) {
				t.Fatalf("%s with %v hits, %v", f.Verdict, f.Score, f.Warnings)
			}
			st := Say(&f, -6)
			if !strings.Contains(st.Headline+st.Meaning, tc.says) {
				t.Errorf("%q does not say %q", st.Headline+" "+st.Meaning, tc.says)
			}
			if (f.Log10P == nil) != (tc.verdict == ledger.VerdictWithheld || tc.nothing) {
				t.Errorf("log10 p %v", f.Log10P)
			}
			if f.Log10P != nil {
				// By hand: the product of (n-i)/(n+m-i), here 32 sent and 64 held back.
				want := 0.
				for i := range tc.hits {
					want += math.Log10(float64(32-i) / float64(96-i))
				}
				if f.N != 32 || math.Abs(*f.Log10P-want) > 1e-9 {
					t.Errorf("%d nonces, log10 p %v, want %v", f.N, *f.Log10P, want)
				}
			}
			if strings.Contains(strings.Join(f.Warnings, " "), "No control") {
				t.Error("what was held back is the control")
			}
		})
	}
}

// The hits' share of a random split is what the law says: over splits, with a fixed
// log that holds h nonces.
func TestNonceSplitIsCalibrated(t *testing.T) {
	t.Parallel()
	const n, h = 8, 4
	all, runs := 0, 40_000
	if testing.Short() {
		runs = 10_000
	}
	var seed [32]byte
	for i := range runs {
		secret := decoySecret(seed, "split", i)
		sent, held := canary.Nonces(secret, n)
		// The log holds the nonces of h numbers of the draw, whatever side they fell on:
		// the smallest ones, which the split knows nothing of.
		both := append(append([]string{}, sent...), held...)
		k := 0
		for _, s := range sent {
			rank := 0
			for _, o := range both {
				if o < s {
					rank++
				}
			}
			if rank < h {
				k++
			}
		}
		if k == h {
			all++
		}
	}
	p := math.Pow(10, log10AllSent(n, n, h))
	lower, upper := evidence.Log10BinomialSF(int64(all), int64(runs), p), evidence.Log10BinomialSF(int64(runs-all), int64(runs), 1-p)
	if lower < math.Log10(5e-4) || upper < math.Log10(5e-4) {
		t.Errorf("all %d hits were sent in %d of %d splits, expected a share of %v", h, all, runs, p)
	}
}

func TestNoncePower(t *testing.T) {
	t.Parallel()
	row := powerOfNonces(64, 64, -6)
	if math.Abs(row.Log10Floor-log10AllSent(64, 64, 64)) > 1e-12 || row.Log10Floor > -37 {
		t.Errorf("floor %v", row.Log10Floor)
	}
	need := hitsNeeded(64, 64, -6)
	if log10AllSent(64, 64, need) > -6 || log10AllSent(64, 64, need-1) <= -6 {
		t.Errorf("%d hits are needed: log10 p %v, one fewer %v", need, log10AllSent(64, 64, need), log10AllSent(64, 64, need-1))
	}
	rng := rand.New(rand.NewPCG(4, 4))
	for _, rate := range []float64{0, row.Effect, .35, .2} {
		found, runs := 0, 3000
		for range runs {
			h := int64(0)
			for range 64 {
				if rng.Float64() < rate {
					h++
				}
			}
			if h > 0 && log10AllSent(64, 64, h) <= -6 {
				found++
			}
		}
		planned := 0.
		if rate > 0 {
			planned = math.Pow(10, evidence.Log10BinomialSF(need, 64, rate))
		}
		within(t, fmt.Sprint("rate ", rate), found, runs, planned)
	}
	if few := powerOfNonces(8, 8, -6); few.Effect != 0 || few.Log10Floor < -6 {
		t.Errorf("eight nonces cannot reach 1e-6: %+v", few)
	}
}

func TestParseSightings(t *testing.T) {
	t.Parallel()
	good := string(sightings(t, Sighting{testTime, "l", strings.Repeat("0f", 16)}))
	search, found, err := ParseSightings([]byte(good))
	if err != nil || search.Lines != 1000 || len(found) != 1 || !found[0].Time.Equal(testTime) {
		t.Fatalf("%+v, %+v, %v", search, found, err)
	}
	head, line, _ := strings.Cut(good, "\n")
	for name, bad := range map[string]string{
		"empty":         "",
		"no head":       line,
		"unknown":       strings.Replace(good, `"where"`, `"place"`, 1),
		"another kind":  strings.Replace(good, `"nonces"`, `"bits"`, 1),
		"newer":         strings.Replace(good, `"format":1`, `"format":2`, 1),
		"upper case":    head + "\n" + strings.Replace(line, "0f0f", "0F0F", 1),
		"short":         head + "\n" + strings.Replace(line, "0f0f", "", 1),
		"two values":    head + "\n" + strings.TrimSpace(line) + "{}\n",
		"no source":     strings.Replace(good, "gateway", "", 1),
		"backwards":     strings.Replace(head, "2026-11-20T10", "2025-11-20T10", 1),
		"not UTF-8":     good + "\xff",
		"array":         "[]\n",
		"long place":    head + "\n" + strings.Replace(line, `"l"`, `"`+strings.Repeat("l", 201)+`"`, 1),
		"blank line":    head + "\n\n" + line,
		"negative":      strings.Replace(good, `"lines":1000`, `"lines":-1`, 1),
		"time is bogus": head + "\n" + strings.Replace(line, "2026-11-20", "yesterday", 1),
	} {
		if _, _, err := ParseSightings([]byte(bad)); err == nil {
			t.Errorf("%s: no error for %q", name, bad)
		}
	}
}

func FuzzParseSightings(f *testing.F) {
	f.Add([]byte(`{"format":1,"kind":"nonces","source":"g","lines":2}` + "\n" + `{"where":"x","nonce":"000102030405060708090a0b0c0d0e0f"}` + "\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		search, found, err := ParseSightings(data)
		if err != nil {
			return
		}
		again, err := EncodeSightings(search, found)
		if err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
		if s, v, err := ParseSightings(again); err != nil || s.Lines != search.Lines || len(v) != len(found) {
			t.Fatalf("read again: %v", err)
		}
	})
}
