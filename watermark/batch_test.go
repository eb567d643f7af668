package watermark

import (
	"context"
	"math"
	"math/rand/v2"
	"testing"
)

// TestUnderKeys compares scores in a batch with those of the scheme, unit by unit:
// equal for whole numbers, to twelve digits for sums of logarithms, which the plain
// way rounds after every unit.
func TestUnderKeys(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(6, 6))
	tokens := make([]int32, 3000)
	for i := range tokens {
		tokens[i] = int32(r.ExpFloat64() * 9)
	}
	self := Spec{Scheme: KGW, Tokenizer: "toy", Vocab: 500, Params: Params{Seeding: SelfHash}}
	philox := Spec{Scheme: KGW, PRF: Philox, Tokenizer: "toy", Vocab: 500}
	for _, test := range []struct {
		name    string
		spec    Spec
		weights string
		batch   bool
		within  float64
	}{
		{"kgw", scanSpec(KGW), WeightsNone, true, 0},
		{"kgw weighted", scanSpec(KGW), WeightsMin8, true, 0},
		{"tournament", scanSpec(Tournament), WeightsNone, true, 0},
		{"tournament weighted", scanSpec(Tournament), WeightsMin8, true, 0},
		{"gumbel", scanSpec(Gumbel), WeightsNone, true, 1e-12},
		{"gumbel weighted", scanSpec(Gumbel), WeightsMin8, true, 1e-12},
		{"gumbel-dual", scanSpec(GumbelDual), WeightsNone, true, 1e-12},
		{"selfhash", self, WeightsNone, false, 0},
		{"philox", philox, WeightsNone, false, 0},
	} {
		d := run(t, masterKey(t, test.spec, 5), test.weights, tokens)
		if d.batched() != test.batch {
			t.Errorf("%s: batch %v, want %v", test.name, !test.batch, test.batch)
		}
		got, err := d.underKeys(t.Context(), 5, nil, func(i int) ([]byte, error) { return decoySubkey([32]byte{9}, i, test.spec) })
		if err != nil {
			t.Fatal(err)
		}
		units := d.grouped()
		for i, x := range got {
			s, err := DecoyKey([32]byte{9}, i, test.spec)
			if err != nil {
				t.Fatal(err)
			}
			want := units.score(context.Background(), s)
			if math.Abs(x.score-want.score) > test.within*want.score || x.counts != want.counts || want.score == 0 {
				t.Errorf("%s, key %d: %v, want %v", test.name, i, x, want)
			}
		}
	}
}
