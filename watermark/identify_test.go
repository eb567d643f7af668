package watermark

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stillmark/stillmark/watermark/evidence"
)

// accounts are n labels.
func accounts(n int) []string {
	labels := make([]string, n)
	for i := range labels {
		labels[i] = fmt.Sprintf("account-%05d", i)
	}
	return labels
}

func masterKey(t testing.TB, spec Spec, seed uint64) *Key {
	t.Helper()
	k, err := NewKey(spec, rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), 'i'}))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// run scores texts under the master's own key.
func run(t testing.TB, k *Key, weights string, texts ...[]int32) *Detector {
	t.Helper()
	s, err := k.Mark()
	if err != nil {
		t.Fatal(err)
	}
	d := NewDetector(s, Options{Weights: weights})
	for _, ids := range texts {
		d.Add(Item{Tokens: ids})
	}
	return d
}

func TestIdentify(t *testing.T) {
	t.Parallel()
	labels := accounts(500)
	self := Spec{Scheme: KGW, Tokenizer: "toy", Vocab: 500, Params: Params{Window: 3, Seeding: SelfHash}}
	philox := scanSpec(Gumbel)
	philox.PRF = Philox
	for _, test := range []struct {
		spec Spec
		n    int
	}{{scanSpec(Gumbel), 150}, {philox, 150}, {scanSpec(KGW), 300}, {scanSpec(Tournament), 150}, {self, 400}} {
		t.Run(test.spec.Scheme+test.spec.Params.Seeding+test.spec.PRF, func(t *testing.T) {
			t.Parallel()
			k := masterKey(t, test.spec, 1)
			m := newToy(500, 2)
			r := rand.New(rand.NewPCG(9, 9))
			text := func(label string) []int32 {
				derived, err := k.Derive(label, "1")
				if err != nil {
					t.Fatal(err)
				}
				s, err := derived.Mark()
				if err != nil {
					t.Fatal(err)
				}
				return m.generate(s, test.n, r, nil)
			}
			one := run(t, k, WeightsAuto, text("account-00042"))
			id, err := one.Identify(t.Context(), k, "", labels, -3, nil)
			if err != nil {
				t.Fatal(err)
			}
			if id.Identified != 1 || id.Suspects[0].Label != "account-00042" || id.Gap < 3 || len(id.Suspects) != shownSuspects {
				t.Errorf("identification %+v", id)
			}
			// The figures are those of a detector under that account's key, and Holm's.
			derived, _ := k.Derive("account-00042", "1")
			mark, _ := derived.Mark()
			own := NewDetector(mark, Options{Weights: WeightsAuto})
			r2 := rand.New(rand.NewPCG(9, 9))
			own.Add(Item{Tokens: m.generate(mark, test.n, r2, nil)})
			want := own.Result()
			if first := id.Suspects[0]; math.Abs(first.Score-want.Score) > 1e-9*want.Score || math.Abs(first.Log10P-want.Tail.Log10P) > 1e-9*-want.Tail.Log10P {
				t.Errorf("suspect %+v, a detector under its key says %v, %v", first, want.Score, want.Tail.Log10P)
			}
			p := make([]float64, len(labels))
			for i, s := range id.Suspects {
				p[i] = s.Log10P
			}
			for i, h := range evidence.Holm(p)[:len(id.Suspects)] {
				if math.Abs(h-id.Suspects[i].Log10Holm) > 1e-12 {
					t.Errorf("suspect %d: adjusted %v, Holm says %v", i, id.Suspects[i].Log10Holm, h)
				}
			}
			both, err := run(t, k, WeightsAuto, text("account-00007"), text("account-00499")).Identify(t.Context(), k, "1", labels, -3, nil)
			if err != nil {
				t.Fatal(err)
			}
			got := []string{both.Suspects[0].Label, both.Suspects[1].Label}
			if slices.Sort(got); both.Identified != 2 || !slices.Equal(got, []string{"account-00007", "account-00499"}) {
				t.Errorf("two accounts mixed give %+v", both)
			}
			none, err := run(t, k, WeightsAuto, m.generate(nil, test.n, r, nil)).Identify(t.Context(), k, "", labels, -3, nil)
			if err != nil || none.Identified != 0 || len(none.Suspects) != shownSuspects {
				t.Errorf("unmarked text gives %+v, %v", none, err)
			}
		})
	}
}

// TestIdentifyNull is the family-wise error over random master keys on one text.
func TestIdentifyNull(t *testing.T) {
	t.Parallel()
	tokens := newToy(500, 2).generate(nil, 300, rand.New(rand.NewPCG(4, 4)), nil)
	labels := accounts(20)
	const keys = 600
	errors := 0
	for i := range uint64(keys) {
		k := masterKey(t, scanSpec(Gumbel), i)
		id, err := run(t, k, WeightsNone, tokens).Identify(t.Context(), k, "", labels, math.Log10(.05), nil)
		if err != nil {
			t.Fatal(err)
		}
		if id.Identified > 0 {
			errors++
		}
	}
	// Bin(600, .05) lies in [11, 53] but for 1e-4.
	if errors < 11 || errors > 53 {
		t.Errorf("%d of %d master keys identify an account at level .05", errors, keys)
	}
}

func TestIdentifyRefuses(t *testing.T) {
	t.Parallel()
	k := masterKey(t, scanSpec(Gumbel), 3)
	sub, err := k.Derive("a", "1")
	if err != nil {
		t.Fatal(err)
	}
	d := run(t, k, WeightsNone, randomTokens(100, 500, 1))
	for _, test := range []struct {
		name   string
		key    *Key
		labels []string
		alpha  float64
		want   string
	}{
		{"a subkey", sub, []string{"b"}, -3, "needs the master key"},
		{"another spec", masterKey(t, scanSpec(KGW), 3), []string{"b"}, -3, "another specification"},
		{"no labels", k, nil, -3, "0 labels"},
		{"an empty label", k, []string{"a", ""}, -3, "empty"},
		{"a double label", k, []string{"a", "b", "a"}, -3, `"a" is listed twice`},
		{"a level above 1", k, []string{"a"}, 1, "significance level"},
		{"a label that no key takes", k, []string{"a\nb"}, -3, `label "a\nb"`},
	} {
		if _, err := d.Identify(t.Context(), test.key, "", test.labels, test.alpha, nil); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error %v, want %q", test.name, err, test.want)
		}
	}
	empty, err := run(t, k, WeightsNone).Identify(t.Context(), k, "", []string{"a"}, -3, nil)
	if err != nil || empty.Identified != 0 || len(empty.Suspects) != 0 {
		t.Errorf("nothing to score gives %+v, %v", empty, err)
	}
}

// BenchmarkIdentify is 200 accounts over 20,000 units, derivation included; two
// such runs of 24,000 accounts are what an operator asks for.
func BenchmarkIdentify(b *testing.B) {
	for _, scheme := range Schemes() {
		b.Run("scheme="+scheme, func(b *testing.B) {
			b.ReportAllocs()
			k := masterKey(b, benchSpec(scheme, AESCTR), 1)
			r := rand.New(rand.NewPCG(1, 2))
			tokens := make([]int32, 23_000)
			for i := range tokens {
				tokens[i] = int32(math.Exp(r.Float64() * math.Log(60_000)))
			}
			d := run(b, k, WeightsNone, tokens)
			labels := accounts(200)
			for b.Loop() {
				if _, err := d.Identify(b.Context(), k, "", labels, -3, nil); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/200/float64(d.Result().N), "ns/unit/key")
		})
	}
}
