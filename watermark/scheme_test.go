package watermark

import (
	"fmt"
	"math"
	"math/bits"
	"math/rand/v2"
	"slices"
	"testing"

	"gonum.org/v1/gonum/mathext"
)

// TestEmbedDetect samples from the toy language through each scheme, checks the
// mark's strength against theory, and detects it.
func TestEmbedDetect(t *testing.T) {
	t.Parallel()
	for _, spec := range combinations() {
		t.Run(name(spec), func(t *testing.T) {
			t.Parallel()
			s := decoy(t, spec, 1)
			scorer := s.Clone()
			language := newToy(spec.Vocab, 2)
			type step struct{ mean, variance float64 } // of the score, given the model's probabilities
			var steps []step
			text := language.generate(s, 1500, rand.New(rand.NewPCG(1, 1)), func(history []int32, plain, marked []float32) {
				if len(history) < 2 {
					if !padded(spec) && !slices.Equal(plain, marked) {
						t.Fatal("a position without a window was marked")
					}
					return
				}
				window := history[len(history)-2:]
				masked := spec.Params.Repeats == MaskRepeats && occursBefore(history, window)
				if masked != slices.Equal(plain, marked) {
					t.Fatalf("position %d: masked %v, changed %v", len(history), masked, !masked)
				}
				p := softmax(marked)
				if masked {
					p = softmax(plain)
				}
				var m step
				if spec.Scheme == Gumbel && !masked {
					// Given that a token of probability p was chosen, its uniform is U^p:
					// E(-ln(1-U^p)) = psi(1/p+1) + Euler's constant, and the variance of
					// the maximum of 1/p exponentials is the sum of 1/i^2 up to 1/p.
					chosen := slices.Max(p)
					q := softmax(plain)[slices.Index(p, chosen)]
					m.mean = mathext.Digamma(1/q+1) + 0.57721566490153286
					m.variance = math.Pi * math.Pi / 6
				} else {
					for id, q := range p {
						if q > 0 {
							x := scorer.Score(window, int32(id))
							m.mean += q * x
							m.variance += q * x * x
						}
					}
					m.variance -= m.mean * m.mean
				}
				steps = append(steps, m)
			})
			var got, want, variance float64
			for i, m := range steps {
				got += scorer.Score(text[i:i+2], text[i+2])
				want += m.mean
				variance += m.variance
			}
			if z := (got - want) / math.Sqrt(variance); math.Abs(z) > 4 {
				t.Errorf("score %.1f over %d positions; theory says %.1f (z = %.2f)", got, len(steps), want, z)
			}
			if null := s.Law().Mean() * float64(len(steps)); got < 1.1*null {
				t.Errorf("score %.1f is hardly above the null's %.1f", got, null)
			}

			d := NewDetector(s, Options{})
			d.Add(Item{Tokens: text})
			r := d.Result()
			if r.Tail.Log10P > -20 || r.Log10E < 15 || r.Effect.Lo <= 0 {
				t.Errorf("right key: log10 p %.1f, log10 e %.1f, effect %+v", r.Tail.Log10P, r.Log10E, r.Effect)
			}
			d = NewDetector(decoy(t, spec, 2), Options{})
			d.Add(Item{Tokens: text})
			if r := d.Result(); r.Tail.Log10P < -3.5 || r.Log10E > 3 {
				t.Errorf("wrong key: log10 p %.1f, log10 e %.1f", r.Tail.Log10P, r.Log10E)
			}
		})
	}
}

// TestUnbiased: over random keys a step's distribution averages to the model's,
// for gumbel and tournament; kgw moves it.
func TestUnbiased(t *testing.T) {
	t.Parallel()
	const keys, vocab = 4000, 24
	for _, spec := range combinations() {
		t.Run(name(spec), func(t *testing.T) {
			t.Parallel()
			spec.Vocab = vocab
			plain := newToy(vocab, .7).logits(nil) // no token so rare that few keys choose it
			want := softmax(plain)
			var sum, squares [vocab]float64
			for i := range keys {
				marked := slices.Clone(plain)
				decoy(t, spec, i).Process([]int32{3, 4}, marked)
				for id, p := range softmax(marked) {
					sum[id] += p
					squares[id] += p * p
				}
			}
			var worst float64
			for id := range want {
				mean := sum[id] / keys
				se := math.Sqrt((squares[id]/keys - mean*mean) / keys)
				worst = max(worst, math.Abs(mean-want[id])/se)
			}
			if biased := worst > 4.5; biased != (spec.Scheme == KGW) {
				t.Errorf("largest |z| of a token's mean probability: %.1f", worst)
			}
		})
	}
}

// TestDenseIsSparse compares Process on a vocabulary with ProcessCandidates on
// all of it, in reverse order, and on the candidates left by truncation. The
// widths take the tournament through both of its forms.
func TestDenseIsSparse(t *testing.T) {
	t.Parallel()
	for _, spec := range combinations() {
		for _, vocab := range []int{2, 3, 50, wideFrom, wideFrom + 1, 5003} {
			for _, keep := range []int{vocab, max(1, vocab/7)} {
				t.Run(fmt.Sprintf("%s/%d/%d", name(spec), vocab, keep), func(t *testing.T) {
					t.Parallel()
					spec := spec // subtests run side by side
					spec.Vocab = vocab
					r := rand.New(rand.NewPCG(uint64(vocab), uint64(keep)))
					dense := make([]float32, vocab)
					for i := range dense {
						dense[i] = float32(math.Inf(-1))
					}
					var ids []int32
					var sparse []float32
					for _, id := range r.Perm(vocab)[:keep] {
						dense[id] = float32(3*r.NormFloat64()) + 5 // logits are not log probabilities
						ids, sparse = append(ids, int32(id)), append(sparse, dense[id])
					}
					history := []int32{0, 1, 0, 0}
					s := decoy(t, spec, 3)
					s.Process(history, dense)
					s.Clone().ProcessCandidates(history, ids, sparse)
					for i, id := range ids {
						a, b := float64(dense[id]), float64(sparse[i])
						if a != b && !(math.Abs(a-b) <= 1e-5*max(1, math.Abs(b))) {
							t.Fatalf("token %d: dense %v, sparse %v", id, a, b)
						}
					}
					in := map[int32]bool{}
					for _, id := range ids {
						in[id] = true
					}
					for id, l := range dense {
						if !in[int32(id)] && !math.IsInf(float64(l), -1) {
							t.Fatalf("token %d was not to be sampled and got logit %v", id, l)
						}
					}
				})
			}
		}
	}
}

// TestTruncated: where truncation left few tokens, Process does to them what it does
// where the others are there and next to impossible, and leaves the others away.
func TestTruncated(t *testing.T) {
	t.Parallel()
	const vocab = 5000
	for _, spec := range append(combinations(), options()...) {
		spec.Vocab = vocab
		s := decoy(t, spec, 1)
		history := []int32{9, 8, 7, 6, 5, 4, 3, 2, 1}
		for _, kept := range []int{0, 1, 2, 40, vocab / fewShare, vocab/fewShare + 1} {
			truncated, dense := newToy(vocab, 2).logits(nil), newToy(vocab, 2).logits(nil)
			for id := range vocab {
				if id*kept/vocab == (id+1)*kept/vocab { // all but kept ids, evenly spread
					truncated[id], dense[id] = float32(math.Inf(-1)), -1e6
				}
			}
			s.Process(history, truncated)
			s.Process(history, dense)
			finite := 0
			for id, x := range truncated {
				if !math.IsInf(float64(x), -1) {
					finite++
					if math.Abs(float64(x-dense[id])) > 1e-4 {
						t.Fatalf("%s, %d tokens left: token %d has %v, want %v", name(spec), kept, id, x, dense[id])
					}
				}
			}
			// Of two tokens a tournament may leave one with all of the probability.
			least, most := min(kept, 1), kept
			switch spec.Scheme {
			case KGW:
				least = kept
			case Gumbel, GumbelDual:
				most = least
			}
			if finite < least || finite > most {
				t.Errorf("%s, %d tokens left: %d after the mark, want %d to %d", name(spec), kept, finite, least, most)
			}
		}
	}
}

// TestLeft: tokens with any logit but -Inf are found, wherever they stand.
func TestLeft(t *testing.T) {
	t.Parallel()
	for _, x := range []float32{0, float32(math.Copysign(0, -1)), 1, -1, math.SmallestNonzeroFloat32, -math.MaxFloat32, float32(math.Inf(1))} {
		for id := range 640 {
			all := make([]float32, 640)
			for i := range all {
				all[i] = float32(math.Inf(-1))
			}
			all[id], all[(id+200)%640] = x, x
			var l left
			ids, logits, few := l.of(all)
			want := []int32{int32(min(id, (id+200)%640)), int32(max(id, (id+200)%640))}
			if !few || !slices.Equal(ids, want) || logits[0] != x || logits[1] != x {
				t.Fatalf("%v at %v: found %v, %v", x, want, ids, logits)
			}
		}
	}
	var l left
	if _, _, few := l.of(make([]float32, 5000)); few {
		t.Error("5,000 zeros are few")
	}
}

// TestTournamentDefinition compares with the definition written out, layer by
// layer over the whole vocabulary.
func TestTournamentDefinition(t *testing.T) {
	t.Parallel()
	for _, vocab := range []int{20, 4001} {
		spec := Spec{Scheme: Tournament, Tokenizer: "toy", Vocab: vocab}.withDefaults()
		s := decoy(t, spec, 4)
		logits := newToy(vocab, 3).logits(nil)
		p := softmax(logits)
		window := []int32{5, 6}
		word := func(id int) uint32 { return s.(*tournament).word(window, int32(id)) }
		for l := range 30 {
			var g float64
			for id := range p {
				g += p[id] * float64(word(id)>>l&1)
			}
			for id := range p {
				p[id] *= 1 + float64(word(id)>>l&1) - g
			}
		}
		s.Process(window, logits)
		var sum float64
		for id, l := range logits {
			sum += p[id]
			if p[id] < 1e-9 {
				continue // 1+g-G cancels in the definition as it stands
			}
			if want := math.Log(p[id]); math.Abs(float64(l)-want) > 1e-6*math.Abs(want)+1e-6 {
				t.Fatalf("vocabulary %d, token %d: log p %v, want %v", vocab, id, l, want)
			}
		}
		if math.Abs(sum-1) > 1e-9 {
			t.Errorf("vocabulary %d: the definition's probabilities add up to %v", vocab, sum)
		}
	}
}

// TestGumbelDefinition compares the pruned search with a plain argmax.
func TestGumbelDefinition(t *testing.T) {
	t.Parallel()
	spec := Spec{Scheme: Gumbel, Tokenizer: "toy", Vocab: 3000}.withDefaults()
	language := newToy(spec.Vocab, 2)
	for key := range 40 {
		g := decoy(t, spec, key).(*gumbel)
		logits := language.logits([]int32{int32(key)})
		best, chosen := math.Inf(-1), -1
		for id, l := range logits {
			u := (float64(g.word([]int32{8, 9}, int32(id))) + .5) / (1 << 32)
			if x := float64(l) - math.Log(-math.Log(u)); x > best {
				best, chosen = x, id
			}
		}
		kept := logits[chosen]
		g.Process([]int32{8, 9}, logits)
		for id, l := range logits {
			if id == chosen && l != kept || id != chosen && !math.IsInf(float64(l), -1) {
				t.Fatalf("key %d: token %d has %v; token %d with %v should be the only one left", key, id, l, chosen, kept)
			}
		}
	}
}

// TestScore pins each scheme's score to the word it reads.
func TestScore(t *testing.T) {
	t.Parallel()
	for _, spec := range combinations() {
		s := decoy(t, spec, 5)
		clone := s.Clone()
		source := wordOf(s)
		for id := range int32(500) {
			window := []int32{id, 499 - id}
			word := source(window, id)
			var want float64
			switch spec.Scheme {
			case Gumbel:
				want = -math.Log1p(-(float64(word) + .5) / (1 << 32))
				if padded(spec) {
					want = -math.Log1p(-float64(float32(float64(word>>8+1) / (1<<24 + 1))))
				}
			case KGW:
				if word < 1<<30 {
					want = 1
				}
			case Tournament:
				want = float64(bits.OnesCount32(word & 0x3fffffff))
			}
			if got := clone.Score(window, id); math.Abs(got-want) > 1e-15*want {
				t.Fatalf("%s: token %d scores %v, want %v", name(spec), id, got, want)
			}
		}
	}
}

func wordOf(s Scheme) func(window []int32, token int32) uint32 {
	switch s := s.(type) {
	case *gumbel:
		return s.word
	case *kgw:
		return s.word
	case *tournament:
		return s.word
	}
	panic("not a native scheme")
}

// TestExtremeWords: no word gives a score or a noise that is not finite.
func TestExtremeWords(t *testing.T) {
	t.Parallel()
	for _, word := range []uint32{0, 1, 1<<31 - 1, 1 << 31, math.MaxUint32 - 1, math.MaxUint32} {
		y, g := -math.Log1p(-uniform(word)), gumbelNoise(word)
		if !(y > 0 && y < 23) || !(g > -4 && g < 23) {
			t.Errorf("word %#x: score %v, noise %v", word, y, g)
		}
	}
	bounds := newGumbelBounds(gumbelNoise)
	for i := range bounds {
		for _, word := range []uint32{uint32(i) << 22, uint32(i)<<22 | 1<<22 - 1} {
			if g := gumbelNoise(word); g > bounds[i] {
				t.Errorf("word %#x: noise %v above its bound %v", word, g, bounds[i])
			}
		}
	}
}

// TestNothingToSample: logits that are no distribution come back as they were.
func TestNothingToSample(t *testing.T) {
	t.Parallel()
	inf, nan := float32(math.Inf(-1)), float32(math.NaN())
	for _, spec := range combinations() {
		s := decoy(t, spec, 6)
		for _, logits := range [][]float32{{}, {inf, inf}, slices.Repeat([]float32{inf}, 2000)} {
			before := slices.Clone(logits)
			s.Process([]int32{1, 2}, logits)
			if !slices.Equal(logits, before) {
				t.Errorf("%s: dense %v became %v", name(spec), before, logits)
			}
			ids := make([]int32, len(logits))
			for i := range ids {
				ids[i] = int32(i)
			}
			s.ProcessCandidates([]int32{1, 2}, ids, logits)
			if !slices.Equal(logits, before) {
				t.Errorf("%s: sparse %v became %v", name(spec), before, logits)
			}
		}
		// A NaN is never chosen and never spreads to a choice.
		logits := []float32{nan, 1, 2, nan}
		s.ProcessCandidates([]int32{1, 2}, []int32{0, 1, 2, 3}, logits)
		if spec.Scheme == Gumbel && math.IsNaN(float64(logits[1]+logits[2])) {
			t.Errorf("%s: %v", name(spec), logits)
		}
	}
}

// TestRepeats covers both settings of Params.Repeats and histories too short.
func TestRepeats(t *testing.T) {
	t.Parallel()
	for _, spec := range combinations() {
		for _, repeats := range []string{MaskRepeats, MarkRepeats} {
			spec.Params.Repeats = repeats
			s := decoy(t, spec, 7)
			for _, c := range []struct {
				history []int32
				marked  bool
			}{
				{nil, padded(spec)},
				{[]int32{1}, padded(spec)},
				{[]int32{1, 2}, true},
				{[]int32{1, 2, 1, 2}, repeats == MarkRepeats},
				{[]int32{1, 2, 3, 1}, true},
				{[]int32{1, 2, 3, 1, 2}, repeats == MarkRepeats},
				{[]int32{1, 1, 1}, repeats == MarkRepeats}, // windows overlap
				{[]int32{2, 2, 1, 2}, true},
			} {
				logits := newToy(200, 1).logits(nil)
				before := slices.Clone(logits)
				s.Process(c.history, logits)
				if marked := !slices.Equal(logits, before); marked != c.marked {
					t.Errorf("%s, %s, history %v: marked %v", name(spec), repeats, c.history, marked)
				}
			}
		}
	}
}

func TestSchemesDoNotAllocate(t *testing.T) {
	for _, spec := range combinations() {
		spec.Vocab = 5000
		s := decoy(t, spec, 8)
		plain := newToy(5000, 2).logits(nil)
		logits, few := slices.Clone(plain), slices.Clone(plain[:200])
		ids := make([]int32, 200)
		for i := range ids {
			ids[i] = int32(20 * i)
		}
		history := []int32{4, 5, 6, 7, 8, 9}
		var sum float64
		step := func() {
			history[5]++
			copy(logits, plain)
			s.Process(history, logits)
			copy(few, plain)
			s.ProcessCandidates(history, ids, few)
			window, _ := s.WindowOf(history)
			sum += s.Score(window, 7)
		}
		step()
		if n := testing.AllocsPerRun(20, step); n != 0 {
			t.Errorf("%s: %v allocations per step", name(spec), n)
		}
	}
}

// TestScoreRefusesOtherWindows: a window of the wrong length is a bug of the caller.
func TestScoreRefusesOtherWindows(t *testing.T) {
	t.Parallel()
	defer func() {
		if recover() == nil {
			t.Error("a window of 3 tokens was scored under a scheme of 2")
		}
	}()
	decoy(t, combinations()[0], 1).Score([]int32{1, 2, 3}, 4)
}

// padded reports whether windows before the first whole one are padded and scored.
func padded(spec Spec) bool { return spec.Scheme == Gumbel && spec.PRF == Philox }
