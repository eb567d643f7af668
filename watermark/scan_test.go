package watermark

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// scanSpec is a scheme over the toy language, whose text has about 4.5 bits per
// token at the spread of these tests.
func scanSpec(scheme string) Spec {
	return Spec{Scheme: scheme, Model: "toy", Tokenizer: "toy", Vocab: 500}.withDefaults()
}

// mixed is unmarked text with marked passages of the given lengths in it, and
// where they stand.
func mixed(s Scheme, seed uint64, plain int, passages ...int) (tokens []int32, at []span) {
	m := newToy(500, 2)
	r := rand.New(rand.NewPCG(seed, 1))
	tokens = m.generate(nil, plain, r, nil)
	for _, n := range passages {
		from := len(tokens)
		tokens = append(tokens, m.generate(s, n, r, nil)...)
		at = append(at, span{int32(from), int32(len(tokens))})
		tokens = append(tokens, m.generate(nil, plain, r, nil)...)
	}
	return tokens, at
}

func TestFamilyOfWindows(t *testing.T) {
	t.Parallel()
	if got := family(49, 50); got != nil {
		t.Errorf("49 positions have windows %v", got)
	}
	for _, n := range []int{50, 51, 99, 100, 130, 1000, 1025, 5003} {
		all := family(n, 50)
		seen := map[span]bool{}
		covered := make([]bool, n)
		for _, w := range all {
			if w.from < 0 || int(w.to) > n || seen[w] {
				t.Errorf("n=%d: window %v is outside or double", n, w)
			}
			seen[w] = true
			for length := 50; ; length *= 2 { // no clipped windows: dyadic lengths, or everything
				if int(w.to-w.from) == length || w == (span{0, int32(n)}) {
					break
				}
				if length > n {
					t.Fatalf("n=%d: window %v has a length of its own", n, w)
				}
			}
			if int(w.to-w.from) == 50 {
				for i := w.from; i < w.to; i++ {
					covered[i] = true
				}
			}
		}
		if slices.Contains(covered, false) || !seen[span{0, int32(n)}] {
			t.Errorf("n=%d: positions without a shortest window, or no window for all", n)
		}
		if len(all) > 4*n/50+2*int(math.Log2(float64(n))) {
			t.Errorf("n=%d: %d windows", n, len(all))
		}
	}
}

// TestScanWindowCountsAUnitOnce compares the window sums with a plain count on
// repetitive text, for a scheme whose unit is the pair and one whose unit is a seed.
func TestScanWindowCountsAUnitOnce(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(3, 3))
	tokens := make([]int32, 900)
	for i := range tokens {
		tokens[i] = int32(r.ExpFloat64() * 2) // a few tokens, so that nearly all pairs repeat
	}
	self := Spec{Scheme: KGW, Tokenizer: "toy", Vocab: 500, Params: Params{Window: 3, Seeding: SelfHash}}.withDefaults()
	for _, spec := range []Spec{scanSpec(Gumbel), scanSpec(KGW), scanSpec(Tournament), self} {
		s := decoy(t, spec, 1)
		c := NewScan(s, Item{Tokens: tokens}, ScanOptions{})
		h := s.Window()
		for _, w := range c.windows {
			type unit struct {
				seed  uint64
				token int32
			}
			units := map[any]float64{}
			for _, i := range c.at[w.from:w.to] {
				window, token := tokens[int(i)-h:i], tokens[i]
				var id any = fmt.Sprint(window, token)
				if s, ok := s.(seeded); ok {
					id = unit{s.seedOf(window, token), token}
				}
				units[id] = s.Score(window, token)
			}
			var want float64
			for _, x := range units {
				want += x
			}
			score, n := c.own.window(w)
			if n != int64(len(units)) || math.Abs(score-want) > 1e-9*(1+want) {
				t.Fatalf("%s: window %v has %d units with score %v, want %d with %v", name(spec), w, n, score, len(units), want)
			}
		}
		total := NewDetector(s, Options{Weights: WeightsNone})
		total.Add(Item{Tokens: tokens})
		if got := total.Result(); got.N != c.own.total.counts.N() || math.Abs(got.Score-c.own.total.score) > 1e-9*got.Score {
			t.Errorf("%s: the document has %d units with %v, the detector says %d with %v", name(spec), c.own.total.counts.N(), c.own.total.score, got.N, got.Score)
		}
	}
}

// TestScanNull is the family-wise error over random keys, on a text with many
// repetitions: at level α no more than α of the keys may see any region, and the
// rank must be uniform.
func TestScanNull(t *testing.T) {
	t.Parallel()
	tokens, _ := mixed(nil, 7, 700)
	tokens = slices.Concat(tokens, tokens[200:500], tokens[:150], tokens[:150]) // quotes itself
	const keys = 2000
	for _, scheme := range Schemes() {
		t.Run(scheme, func(t *testing.T) {
			t.Parallel()
			spec := scanSpec(scheme)
			c := NewScan(decoy(t, spec, 0), Item{Tokens: tokens}, ScanOptions{Log10Alpha: math.Log10(.05)})
			var k keyed
			tops := map[int64]float64{}
			errors := 0
			minima := make([]float64, keys)
			for i := range keys {
				c.score(decoy(t, spec, 100+i), &k)
				minima[i] = c.minimum(&k, tops)
				if c.corrected(minima[i]) <= c.opt.Log10Alpha {
					errors++
				}
			}
			// P(Bin(2000, .05) > 141) < 1e-4.
			if errors > 141 {
				t.Errorf("%d of %d keys see a marked passage at level .05", errors, keys)
			}
			if errors == 0 {
				t.Error("Bonferroni never rejects: the windows' p-values are too large")
			}
			if err := c.Decoys(t.Context(), [32]byte{2}, 399, nil); err != nil {
				t.Fatal(err)
			}
			if !c.gate.Pass {
				t.Errorf("gate: %+v", *c.gate)
			}
			// At the levels .01 to .5 the share of keys with rank p <= level must not be
			// above it, nor, ties apart, far below. It scatters with the decoys, which
			// are the same for all keys, and with the keys: 4 standard deviations.
			for _, level := range []float64{.01, .05, .2, .5} {
				reached := 0
				for _, m := range minima {
					if c.rank(m) <= level {
						reached++
					}
				}
				share := float64(reached) / keys
				slack := 4 * math.Sqrt(level*(1-level)*(1./399+1./keys))
				if share > level+slack || share < level/2-slack {
					t.Errorf("rank p <= %v for a share of %v", level, share)
				}
			}
		})
	}
}

// TestScanFindsPassages plants passages in unmarked text.
func TestScanFindsPassages(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		scheme   string
		passages []int
		within   int // tokens of error at an edge
	}{
		{Gumbel, []int{120, 400}, 15},
		{Tournament, []int{150, 400}, 20},
		{KGW, []int{300, 600}, 30},
	} {
		t.Run(test.scheme, func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(8) {
				s := decoy(t, scanSpec(test.scheme), int(seed))
				tokens, want := mixed(s, seed, 700, test.passages...)
				c := NewScan(s, Item{Tokens: tokens}, ScanOptions{})
				r := c.Result()
				if len(r.Regions) != len(want) {
					t.Errorf("seed %d: %d regions, want %v: %+v", seed, len(r.Regions), want, r.Regions)
					continue
				}
				for i, g := range r.Regions {
					off := max(abs(g.From-int(want[i].from)), abs(g.To-int(want[i].to)))
					if off > test.within {
						t.Errorf("seed %d: region %d-%d, planted %v", seed, g.From, g.To, want[i])
					}
					if *g.Log10P > -3 || math.Abs(*g.Log10P-min(0, g.Best.Log10P+math.Log10(float64(r.Windows)))) > 1e-12 {
						t.Errorf("seed %d: corrected p %v of %+v", seed, *g.Log10P, g.Best)
					}
				}
				if wrong := NewScan(decoy(t, scanSpec(test.scheme), 99), Item{Tokens: tokens}, ScanOptions{}).Result(); len(wrong.Regions) > 0 {
					t.Errorf("seed %d: regions under another key: %+v", seed, wrong.Regions)
				}
			}
		})
	}
}

func abs(x int) int { return max(x, -x) }

// TestScanRepeatedPassage: a passage that quotes an earlier one is found too, and
// quoting it inside one window adds nothing.
func TestScanRepeatedPassage(t *testing.T) {
	t.Parallel()
	s := decoy(t, scanSpec(Gumbel), 5)
	tokens, at := mixed(s, 5, 600, 200)
	quoted := slices.Concat(tokens, tokens[at[0].from:at[0].to], tokens[:600])
	r := NewScan(s, Item{Tokens: quoted}, ScanOptions{}).Result()
	if len(r.Regions) != 2 {
		t.Fatalf("regions %+v, want the passage and its quotation", r.Regions)
	}
	one := slices.Clone(tokens[at[0].from:at[0].to])
	whole := func(ids []int32) Passage {
		c := NewScan(s, Item{Tokens: ids}, ScanOptions{})
		score, n := c.own.window(span{0, int32(len(c.at))})
		return c.passage(test{span: span{0, int32(len(c.at))}, n: n, score: score, log10p: c.log10P(score, n)})
	}
	once, often := whole(one), whole(slices.Concat(one, one, one, one))
	if often.N > once.N+int64(2) || often.Log10P < once.Log10P-2 {
		t.Errorf("four copies give %+v, one gives %+v", often, once)
	}
}

// TestScanPrompt: windows of the prompt are no position.
func TestScanPrompt(t *testing.T) {
	t.Parallel()
	s := decoy(t, scanSpec(Gumbel), 6)
	tokens, _ := mixed(s, 6, 300, 200)
	c := NewScan(s, Item{Prompt: tokens, Tokens: tokens}, ScanOptions{})
	if r := c.Result(); r.Positions != 0 || r.Best != nil || len(r.Regions) != 0 {
		t.Errorf("a quotation of the prompt gives %+v", r)
	}
	if err := c.Decoys(t.Context(), [32]byte{1}, 20, nil); err != nil {
		t.Error(err)
	}
}

// TestScanWithoutALaw: where only decoys know the law, regions rest on the rank.
func TestScanWithoutALaw(t *testing.T) {
	t.Parallel()
	s := decoy(t, scanSpec(Gumbel), 8)
	tokens, want := mixed(s, 8, 500, 300)
	c := NewScan(s, Item{Tokens: tokens}, ScanOptions{Log10Alpha: -2})
	c.null = ranked{unitNull{law: s.Law()}, 1}
	if r := c.Result(); len(r.Regions) != 0 || r.Log10P != nil {
		t.Errorf("without decoys: %+v", r)
	}
	if err := c.Decoys(t.Context(), [32]byte{1}, 199, nil); err != nil {
		t.Fatal(err)
	}
	r := c.Result()
	if len(r.Regions) != 1 || r.Regions[0].Log10P != nil || r.Regions[0].RankP != 1./200 || r.RankP != 1./200 {
		t.Fatalf("result %+v", r)
	}
	if g := r.Regions[0]; abs(g.From-int(want[0].from)) > 15 || abs(g.To-int(want[0].to)) > 15 {
		t.Errorf("region %+v, planted %v", g, want[0])
	}
}

// BenchmarkScanDecoys is 20 keys over a document of 20,000 tokens, all windows.
func BenchmarkScanDecoys(b *testing.B) {
	for _, scheme := range Schemes() {
		b.Run("scheme="+scheme, func(b *testing.B) {
			b.ReportAllocs()
			r := rand.New(rand.NewPCG(1, 2))
			tokens := make([]int32, 20_000)
			for i := range tokens {
				tokens[i] = int32(math.Exp(r.Float64() * math.Log(60_000)))
			}
			c := NewScan(decoy(b, benchSpec(scheme, AESCTR), 1), Item{Tokens: tokens}, ScanOptions{})
			for b.Loop() {
				if err := c.Decoys(b.Context(), [32]byte{1}, 20, nil); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/20/20_000, "ns/token/key")
		})
	}
}
