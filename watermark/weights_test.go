package watermark

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stillmark/stillmark/watermark/evidence"
)

// entropic is the null text with entropies that its tokens decide, as a proxy
// model's do.
func entropic(vocab int) []Item {
	items := nullText(vocab)
	for i := range items {
		for _, id := range items[i].Tokens {
			items[i].Entropies = append(items[i].Entropies, float64(id*7919%100)/20)
		}
	}
	return items
}

// weighable are specs of every kind of scheme that takes entropies.
func weighable(t *testing.T) []Spec {
	specs := []Spec{scanSpec(Gumbel), scanSpec(KGW), scanSpec(Tournament), {Scheme: KGW, Tokenizer: "toy", Vocab: 500, Params: Params{Window: 3, Seeding: SelfHash}}}
	for _, name := range []string{"textseal-gumbel", "textseal-greenlist", "textseal-synthid", "lm-watermarking", "sglang-gumbel"} {
		params := map[string]string{}
		switch name {
		case "lm-watermarking":
			params["seeding"] = "minhash"
		case "sglang-gumbel":
			params["key"] = "977"
		}
		specs = append(specs, importedKey(t, name, 500, params).Spec)
	}
	return specs
}

func TestEntropyWeights(t *testing.T) {
	t.Parallel()
	s := decoy(t, scanSpec(Gumbel), 1)
	weights := func(entropies ...float64) []uint8 {
		d := NewDetector(s, Options{Weights: WeightsEntropy})
		d.Add(Item{Tokens: make([]int32, len(entropies)), Entropies: entropies})
		return d.heft
	}
	for _, c := range []struct {
		entropies []float64
		want      []uint8
	}{
		{[]float64{0, 1, 2}, []uint8{1, 4, 8}}, // .1, .55, 1 in eighths: .8, 4.4, 8
		{[]float64{5, 5}, []uint8{8, 8}},       // nothing tells them apart
		{[]float64{3, 3 + 1e-12, 7}, []uint8{1, 1, 8}},
		{nil, nil},
	} {
		if got := weights(c.entropies...); !slices.Equal(got, c.want) {
			t.Errorf("entropies %v weigh %v, want %v", c.entropies, got, c.want)
		}
	}
	// Of a repeated unit the greatest weight counts, once.
	d := NewDetector(s, Options{Weights: WeightsEntropy})
	d.Add(Item{Tokens: []int32{1, 2, 3, 1, 2, 3, 9}, Entropies: []float64{0, 0, 1, 2, 2, 2, 0}})
	r := d.Result()
	score := func(a, b, c int32) float64 { return s.Score([]int32{a, b}, c) }
	want := 8*score(1, 2, 3) + 8*score(2, 3, 1) + 8*score(3, 1, 2) + score(2, 3, 9)
	if r.N != 4 || r.Counts[8] != 3 || r.Counts[1] != 1 || math.Abs(r.Score-want) > 1e-9 || r.Dropped.Repeat != 1 {
		t.Errorf("%+v, want a score of %v", r, want)
	}
	if math.Abs(r.Plain.Score-(score(1, 2, 3)+score(2, 3, 1)+score(3, 1, 2)+score(2, 3, 9))) > 1e-9 {
		t.Errorf("unweighted %v", r.Plain.Score)
	}
	defer func() {
		if recover() == nil {
			t.Error("an item without entropies is weighed")
		}
	}()
	d.Add(Item{Tokens: []int32{1, 2, 3}})
}

// TestEntropyWeightsAgree: the run's own key, scored as decoys are, gives the run's
// score and counts, for schemes whose units the key decides, too.
func TestEntropyWeightsAgree(t *testing.T) {
	t.Parallel()
	for _, spec := range weighable(t) {
		for _, weights := range []string{WeightsEntropy, WeightsMin8} {
			s := decoy(t, spec, 3)
			d := NewDetector(s, Options{Weights: weights})
			for _, it := range entropic(spec.Vocab) {
				d.Add(it)
			}
			x := d.grouped().score(t.Context(), s)
			if x.counts != d.weight || math.Abs(x.score-d.weighted) > 1e-9*d.weighted {
				t.Errorf("%s, %s: as a decoy %+v, the run has %v, %v", spec.Scheme, weights, x, d.weighted, d.weight)
			}
		}
	}
}

// TestEntropyWeightsNull: over random keys the p-values of one text under entropy
// weights are uniform, for every scheme with a law.
func TestEntropyWeightsNull(t *testing.T) {
	t.Parallel()
	keys := 2000
	if testing.Short() {
		keys = 500
	}
	for i, spec := range weighable(t) {
		t.Run(fmt.Sprint(i, spec.Scheme), func(t *testing.T) {
			t.Parallel()
			coin := rand.New(rand.NewPCG(7, 7))
			n := keys
			if spec.Scheme == "lm-watermarking" || spec.Scheme == Tournament {
				n = 200 // a permutation for each seed; a sum over a wide lattice for each key
			}
			d := NewDetector(decoy(t, spec, 0), Options{Weights: WeightsEntropy})
			for _, it := range entropic(spec.Vocab) {
				d.Add(it)
			}
			if !d.null.analytic() {
				t.Skip("only decoys know its law")
			}
			spec = d.scheme.Spec()
			scores, err := d.underKeys(t.Context(), n, nil, func(i int) ([]byte, error) { return decoySubkey([32]byte{'w'}, i, spec) })
			if err != nil {
				t.Fatal(err)
			}
			p := make([]float64, n)
			for k, x := range scores {
				p[k] = d.null.randomised(x.score, x.counts, coin.Float64())
			}
			if stat, ks := evidence.KolmogorovSmirnov(p); !(ks > 1e-3) {
				t.Errorf("KS distance %v, p %v", stat, ks)
			}
		})
	}
}

// TestWeightedMean: the declared statistic has a rank and no p, its null mean over
// random keys is that it states, and it finds the mark.
func TestWeightedMean(t *testing.T) {
	t.Parallel()
	k := importedKey(t, "dm-synthid-2025", 500, map[string]string{"keys": "77,1234567,99,1000003,5,60007,7,88001,912345,10"})
	s, err := k.Mark()
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(2, 2))
	text := write(newToy(500, 2), s, nil, 300, r)
	var rank, spread, stated [2]float64
	for i, statistic := range []string{StatisticSum, StatisticWeightedMean} {
		d := NewDetector(s, Options{Weights: WeightsNone, Statistic: statistic})
		d.Add(Item{Tokens: text})
		j, scores, err := d.Decoys(t.Context(), [32]byte{4}, 999, nil)
		if err != nil {
			t.Fatal(err)
		}
		res := d.Result()
		if res.Tail.Method != MethodDecoysOnly || res.Tail.Log10P != 0 || j.Pass || res.Log10E != 0 {
			t.Errorf("%s has a p: %+v, %+v", statistic, res.Tail, j)
		}
		var mean, ss float64
		for _, x := range scores {
			mean += x / float64(len(scores))
		}
		for _, x := range scores {
			ss += (x - mean) * (x - mean)
		}
		sd := math.Sqrt(ss / float64(len(scores)-1))
		if math.Abs(mean-res.Tail.Mean) > 4*sd/math.Sqrt(999) {
			t.Errorf("%s: decoys have mean %v, stated is %v", statistic, mean, res.Tail.Mean)
		}
		rank[i], spread[i], stated[i] = j.RankP, sd, res.Tail.SD
	}
	// The layers correlate, so both spread wider than stated; by how much the weights
	// widen it further is known.
	if got, want := spread[1]/spread[0], stated[1]/stated[0]; math.Abs(got/want-1) > .1 {
		t.Errorf("weights widen the spread by %v, stated is %v", got, want)
	}
	if rank != [2]float64{.001, .001} {
		t.Errorf("ranks %v", rank)
	}
	for _, scheme := range []string{Gumbel, Tournament, "textseal-gumbel", "tgi"} {
		if CheckStatistic(StatisticWeightedMean, scheme) == nil {
			t.Errorf("%s has layers to weigh", scheme)
		}
	}
	if CheckStatistic("median", "hf-synthid") == nil || CheckStatistic("", Gumbel) != nil {
		t.Error("statistics are not checked")
	}
	if w := s.(*rounds).weighLayers().weights; math.Abs(w[0]/w[9]-10) > 1e-12 || math.Abs(w[0]+w[9]-2) > 1e-12 {
		t.Errorf("weights %v", w)
	}
}
