package refmodel

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
)

// naive is a second implementation of the same estimate, written from the
// formula with maps and recursion, and slow.
type naive struct {
	order, vocab int
	count        []map[string]float64            // by n-gram length; continuation counts below the top
	after        []map[string]map[int32]struct{} // distinct words after a context, by n-gram length
}

func gram(ids []int32) string { return fmt.Sprint(ids) }

func trainNaive(docs [][]int32, order, vocab int) *naive {
	n := &naive{order: order, vocab: vocab}
	for k := 0; k <= order; k++ {
		left := map[string]map[string]struct{}{}
		count := map[string]float64{}
		after := map[string]map[int32]struct{}{}
		for _, doc := range docs {
			for i := 0; k > 0 && i+k <= len(doc); i++ {
				g := doc[i : i+k]
				if after[gram(g[:k-1])] == nil {
					after[gram(g[:k-1])] = map[int32]struct{}{}
				}
				after[gram(g[:k-1])][g[k-1]] = struct{}{}
				if k == order {
					count[gram(g)]++
					continue
				}
				if left[gram(g)] == nil {
					left[gram(g)] = map[string]struct{}{}
				}
				neighbour := "beginning"
				if i > 0 {
					neighbour = fmt.Sprint(doc[i-1])
				}
				left[gram(g)][neighbour] = struct{}{}
			}
		}
		for g, l := range left {
			count[g] = float64(len(l))
		}
		n.count = append(n.count, count)
		n.after = append(n.after, after)
	}
	return n
}

func (n *naive) discount(k int) float64 {
	var n1, n2 float64
	for _, c := range n.count[k] {
		if c == 1 {
			n1++
		} else if c == 2 {
			n2++
		}
	}
	if n1 == 0 || n2 == 0 {
		return .5
	}
	return n1 / (n1 + 2*n2)
}

// prob is p_k(w | context), with a context of k-1 tokens.
func (n *naive) prob(context []int32, w int32) float64 {
	k := len(context) + 1
	lower := 1 / float64(n.vocab)
	if k > 1 {
		lower = n.prob(context[1:], w)
	}
	following := n.after[k][gram(context)]
	if len(following) == 0 {
		return lower
	}
	total := 0.0
	for v := range following {
		total += n.count[k][gram(append(slices.Clone(context), v))]
	}
	d := n.discount(k)
	c := n.count[k][gram(append(slices.Clone(context), w))]
	return max(c-d, 0)/total + d*float64(len(following))/total*lower
}

// corpus draws documents of words with falling frequency, with some empty and
// some very short ones.
func corpus(rng *rand.Rand, docs, vocab int) [][]int32 {
	out := make([][]int32, docs)
	for i := range out {
		n := rng.IntN(80)
		if i%5 == 0 {
			n = i % 4
		}
		for range n {
			out[i] = append(out[i], int32(float64(vocab)*math.Pow(rng.Float64(), 3)))
		}
	}
	return out
}

func mustTrain(t testing.TB, docs [][]int32, opt Options) *Model {
	t.Helper()
	m, err := Train(docs, opt)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// histories are suffixes that occur, that do not, and that hold foreign ids.
func histories(rng *rand.Rand, docs [][]int32, vocab, n int) [][]int32 {
	out := [][]int32{nil, {-1}, {int32(vocab)}, {int32(vocab - 1)}}
	for len(out) < n {
		doc := docs[rng.IntN(len(docs))]
		if len(doc) == 0 {
			continue
		}
		end := rng.IntN(len(doc)) + 1
		h := slices.Clone(doc[max(0, end-rng.IntN(6)):end])
		if len(h) > 0 && rng.IntN(4) == 0 {
			h[rng.IntN(len(h))] = rng.Int32N(int32(vocab))
		}
		out = append(out, h)
	}
	return out
}

func TestAgreesWithNaiveKneserNey(t *testing.T) {
	t.Parallel()
	for order := 1; order <= 5; order++ {
		t.Run(fmt.Sprint("order ", order), func(t *testing.T) {
			t.Parallel()
			const vocab = 40
			rng := rand.New(rand.NewPCG(uint64(order), 1))
			docs := corpus(rng, 20, vocab-3) // some ids never occur
			m := mustTrain(t, docs, Options{Order: order, Vocab: vocab})
			n := trainNaive(docs, order, vocab)
			for _, h := range histories(rng, docs, vocab, 60) {
				context := h[max(0, len(h)-order+1):]
				for w := range int32(vocab) {
					got, want := math.Exp(m.Logprob(h, w)), n.prob(context, w)
					if math.Abs(got-want) > 1e-12*want {
						t.Fatalf("p(%d | %v) = %.17g, want %.17g", w, h, got, want)
					}
				}
			}
		})
	}
}

func TestProbabilitiesSumToOne(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(2, 2))
	const vocab = 5000
	docs := corpus(rng, 200, vocab)
	m := mustTrain(t, docs, Options{Vocab: vocab})
	for _, h := range histories(rng, docs, vocab, 100) {
		sum := 0.0
		for w := range int32(vocab) {
			p := math.Exp(m.Logprob(h, w))
			if !(p > 0) {
				t.Fatalf("p(%d | %v) = %v is not positive", w, h, p)
			}
			sum += p
		}
		if math.Abs(sum-1) > 1e-11 {
			t.Errorf("after %v the probabilities sum to 1%+.3g", h, sum-1)
		}
	}
	for _, w := range []int32{-1, vocab, math.MaxInt32, math.MinInt32} {
		if p := m.Logprob([]int32{1}, w); !math.IsInf(p, -1) {
			t.Errorf("log p of id %d, outside the vocabulary, is %v, want -Inf", w, p)
		}
	}
}

func TestTinyCorpora(t *testing.T) {
	t.Parallel()
	for _, docs := range [][][]int32{{{0}}, {{0, 0, 0, 0, 0}}, {{}, {1}}, {{0, 1}, {1, 0}}, {{0, 1, 2, 3}}} {
		m := mustTrain(t, docs, Options{Vocab: 4})
		n := trainNaive(docs, DefaultOrder, 4)
		for _, h := range [][]int32{nil, {0}, {1}, {0, 0, 0}, {0, 1, 2}} {
			sum := 0.0
			for w := range int32(4) {
				got, want := math.Exp(m.Logprob(h, w)), n.prob(h, w)
				sum += got
				if math.Abs(got-want) > 1e-12 {
					t.Errorf("%v: p(%d | %v) = %v, want %v", docs, w, h, got, want)
				}
			}
			if math.Abs(sum-1) > 1e-12 {
				t.Errorf("%v: after %v the probabilities sum to %v", docs, h, sum)
			}
		}
		if got := m.Complete(nil, Sampling{Temperature: 1, MaxTokens: 5}); len(got) != 5 {
			t.Errorf("%v: %d tokens were generated, want 5", docs, len(got))
		}
	}
}

func TestNoNGramSpansDocuments(t *testing.T) {
	t.Parallel()
	m := mustTrain(t, [][]int32{{1, 2}, {3, 4}, {2, 5}}, Options{Vocab: 10})
	if got := m.Top([]int32{2}, 1)[0].ID; got != 5 {
		t.Errorf("after 2 the model expects %d, want 5: 3 begins another document", got)
	}
	var buf [maxOrder]int32
	if c := m.contexts(&buf, []int32{4}); c[0] != -1 {
		t.Error("something follows 4, which only ends a document")
	}
	joined := mustTrain(t, [][]int32{{1, 2, 3, 4, 2, 5}}, Options{Vocab: 10})
	if a, b := m.Logprob([]int32{2}, 3), joined.Logprob([]int32{2}, 3); a >= b {
		t.Errorf("log p(3 | 2) is %v apart and %v joined", a, b)
	}
}

func TestOrderOfDocumentsDoesNotMatter(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(3, 3))
	docs := corpus(rng, 60, 300)
	m := mustTrain(t, docs, Options{Vocab: 300})
	shuffled := slices.Clone(docs)
	rng.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
	other := mustTrain(t, shuffled, Options{Vocab: 300})
	for seed := range uint64(20) {
		s := DefaultSampling()
		s.Seed = seed
		if a, b := m.Complete([]int32{1}, s), other.Complete([]int32{1}, s); !slices.Equal(a, b) {
			t.Fatalf("seed %d: %v and %v", seed, a, b)
		}
	}
}

func TestTrainRefuses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		docs [][]int32
		opt  Options
		want string
	}{
		{[][]int32{{0}}, Options{Order: 9, Vocab: 2}, "order 9"},
		{[][]int32{{0}}, Options{Order: -1, Vocab: 2}, "order -1"},
		{[][]int32{{0}}, Options{}, "vocabulary of 0"},
		{[][]int32{{0}, {1, 2}}, Options{Vocab: 2}, "document 1 holds token id 2"},
		{[][]int32{{-1}}, Options{Vocab: 2}, "token id -1"},
		{[][]int32{{}, nil}, Options{Vocab: 2}, "no training tokens"},
		{nil, Options{Vocab: 2}, "no training tokens"},
	} {
		if _, err := Train(c.docs, c.opt); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: error %v, want one with %q", c.docs, err, c.want)
		}
	}
}

// TestCandidatesAreTheMostProbable compares the merged lists with the whole
// distribution.
func TestCandidatesAreTheMostProbable(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(4, 4))
	const vocab = 400
	docs := corpus(rng, 150, vocab)
	m := mustTrain(t, docs, Options{Vocab: vocab})
	followers := map[int32]map[int32]bool{}
	occurs := map[int32]bool{}
	for _, doc := range docs {
		for i, id := range doc {
			occurs[id] = true
			if i == 0 {
				continue
			}
			if followers[doc[i-1]] == nil {
				followers[doc[i-1]] = map[int32]bool{}
			}
			followers[doc[i-1]][id] = true
		}
	}
	for _, limit := range []int{1, 7, 50, vocab} {
		c := newCandidates(limit)
		for _, h := range histories(rng, docs, vocab, 120) {
			for _, all := range []bool{false, true} {
				pool := occurs
				if !all && len(h) > 0 && followers[h[len(h)-1]] != nil {
					pool = followers[h[len(h)-1]]
				}
				var want []float64
				for id := range pool {
					want = append(want, math.Exp(m.Logprob(h, id)))
				}
				slices.Sort(want)
				slices.Reverse(want)
				want = want[:min(limit, len(want))]
				c.collect(m, h, all)
				if len(c.ids) != len(want) {
					t.Fatalf("limit %d after %v: %d candidates, want %d", limit, h, len(c.ids), len(want))
				}
				seen := map[int32]bool{}
				for i, id := range c.ids {
					if seen[id] {
						t.Fatalf("after %v candidate %d stands twice", h, id)
					}
					seen[id] = true
					if p := math.Exp(m.Logprob(h, id)); math.Abs(c.prob[i]-p) > 1e-12*p || math.Abs(want[i]-p) > 1e-12*p {
						t.Fatalf("limit %d after %v: candidate %d has %v, the model says %v, rank %d has %v", limit, h, id, c.prob[i], p, i, want[i])
					}
				}
			}
		}
	}
}

func trained(t testing.TB) (*Model, [][]int32) {
	t.Helper()
	rng := rand.New(rand.NewPCG(5, 5))
	docs := corpus(rng, 300, 200)
	return mustTrain(t, docs, Options{Vocab: 200}), docs
}

func TestGenerationIsReproducible(t *testing.T) {
	t.Parallel()
	m, docs := trained(t)
	s := DefaultSampling()
	s.Seed = 7
	want := m.Complete(docs[1], s)
	if len(want) != 100 {
		t.Fatalf("%d tokens, want 100", len(want))
	}
	if got := m.Complete(docs[1], s); !slices.Equal(got, want) {
		t.Error("equal seeds give different texts")
	}
	longer := s
	longer.MaxTokens = 150
	if got := m.Complete(docs[1], longer); !slices.Equal(got[:100], want) {
		t.Error("a longer reply begins differently")
	}
	other := s
	other.Seed = 8
	if slices.Equal(m.Complete(docs[1], other), want) {
		t.Error("two seeds give the same text")
	}
	// The zero values of top-k and top-p are the defaults.
	if got := m.Complete(docs[1], Sampling{Temperature: 1, MaxTokens: 100, Seed: 7}); !slices.Equal(got, want) {
		t.Error("zero values do not stand for the defaults")
	}
	// Only the last tokens of a prompt matter.
	long := append(make([]int32, 1000), docs[1]...)
	if got := m.Complete(long, s); !slices.Equal(got, want) && len(docs[1]) >= m.Order()-1 {
		t.Error("tokens beyond the model's reach changed the text")
	}
}

func TestConcurrentGeneration(t *testing.T) {
	t.Parallel()
	m, docs := trained(t)
	s := DefaultSampling()
	want := m.Complete(docs[1], s)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 20 {
				if !slices.Equal(m.Complete(docs[1], s), want) {
					t.Error("a concurrent generation differs")
					return
				}
			}
		})
	}
	wg.Wait()
}

func TestTemperatureLimits(t *testing.T) {
	t.Parallel()
	m, docs := trained(t)
	greedy := m.Complete(docs[1], Sampling{MaxTokens: 60})
	past := slices.Clone(docs[1])
	for i, id := range greedy {
		if top := m.Top(past, 1)[0]; m.Logprob(past, id) < top.Logprob {
			t.Fatalf("token %d is %d, the most probable is %d", i, id, top.ID)
		}
		past = append(past, id)
	}
	// Ties fall to the lower id at temperature 0 and to chance above it, so the
	// probabilities are compared, not the ids.
	cold := m.Complete(docs[1], Sampling{Temperature: 1e-9, MaxTokens: 60, Seed: 3})
	past = slices.Clone(docs[1])
	for i, id := range cold {
		if m.Logprob(past, id) < m.Top(past, 1)[0].Logprob-1e-9 {
			t.Fatalf("at temperature 1e-9 token %d is %d, which is not the most probable", i, id)
		}
		past = append(past, id)
	}
	c := newCandidates(DefaultTopK)
	c.collect(m, docs[1], false)
	if len(c.ids) < 5 {
		t.Fatalf("only %d candidates to look at", len(c.ids))
	}
	c.truncate(Sampling{Temperature: 1e9, TopP: 1})
	for i, w := range c.weight {
		if math.Abs(w-1) > 1e-6 {
			t.Errorf("at temperature 1e9 candidate %d weighs %v, want 1", i, w)
		}
	}
	c.truncate(Sampling{Temperature: 2, TopP: 1})
	for i, w := range c.weight {
		if want := math.Sqrt(c.prob[i] / c.prob[0]); math.Abs(w-want) > 1e-12 {
			t.Errorf("at temperature 2 candidate %d weighs %v, want %v", i, w, want)
		}
	}
}

func TestNucleus(t *testing.T) {
	t.Parallel()
	m, docs := trained(t)
	for _, temperature := range []float64{.5, 1, 1.5} {
		for _, topP := range []float64{1e-9, .3, .6, .9, .999} {
			c := newCandidates(DefaultTopK)
			c.collect(m, docs[1], false)
			full := len(c.ids)
			c.truncate(Sampling{Temperature: temperature, TopP: 1})
			total := 0.0
			for _, w := range c.weight {
				total += w
			}
			c.truncate(Sampling{Temperature: temperature, TopP: topP})
			kept := 0.0
			for _, w := range c.weight {
				kept += w
			}
			n := len(c.weight)
			if n == 0 || len(c.ids) != n || len(c.prob) != n {
				t.Fatalf("the nucleus holds %d weights, %d ids, %d probabilities", n, len(c.ids), len(c.prob))
			}
			if kept < topP*total*(1-1e-12) && n < full {
				t.Errorf("top-p %v at temperature %v keeps %v of the mass", topP, temperature, kept/total)
			}
			if less := kept - c.weight[n-1]; less >= topP*total {
				t.Errorf("top-p %v at temperature %v keeps %d candidates where fewer hold the mass", topP, temperature, n)
			}
		}
	}
}

// TestDrawsFollowTheDistribution is Pearson's chi-square of 40,000 first tokens.
func TestDrawsFollowTheDistribution(t *testing.T) {
	t.Parallel()
	m, docs := trained(t)
	prompt := docs[1]
	for _, marked := range []bool{false, true} {
		c := newCandidates(DefaultTopK)
		c.collect(m, prompt, false)
		total := 0.0
		for _, p := range c.prob {
			total += p
		}
		const draws = 40_000
		got := map[int32]float64{}
		s := DefaultSampling()
		s.MaxTokens = 1
		if marked {
			s.Mark = markFunc(func(_, _ []int32, _ []float32) {})
		}
		for seed := range uint64(draws) {
			s.Seed = seed
			got[m.Complete(prompt, s)[0]]++
		}
		chi2, cells, restWant, restGot := 0.0, 0, 0.0, 0.0
		for i, id := range c.ids {
			want := draws * c.prob[i] / total
			if want < 20 {
				restWant += want
				restGot += got[id]
				continue
			}
			chi2 += (got[id] - want) * (got[id] - want) / want
			cells++
		}
		chi2 += (restGot - restWant) * (restGot - restWant) / restWant
		// Wilson and Hilferty: five standard deviations above the mean.
		if limit := float64(cells) * math.Pow(1-2/(9*float64(cells))+5*math.Sqrt(2/(9*float64(cells))), 3); chi2 > limit || cells < 5 {
			t.Errorf("marked %v: chi-square %.1f over %d cells, limit %.1f", marked, chi2, cells, limit)
		}
	}
}

type markFunc func(history, ids []int32, logits []float32)

func (f markFunc) ProcessCandidates(history, ids []int32, logits []float32) { f(history, ids, logits) }

func TestMarkSeesWhatItIsPromised(t *testing.T) {
	t.Parallel()
	m, docs := trained(t)
	prompt := docs[1]
	var generated []int32
	s := Sampling{Temperature: .7, TopP: .95, MaxTokens: 30, Seed: 4}
	s.Mark = markFunc(func(history, ids []int32, logits []float32) {
		if !slices.Equal(history, generated) {
			t.Fatalf("history %v, generated so far %v", history, generated)
		}
		if len(ids) != len(logits) || len(ids) == 0 {
			t.Fatalf("%d ids and %d logits", len(ids), len(logits))
		}
		for i, id := range ids {
			want := m.Logprob(append(slices.Clone(prompt), history...), id) / .7
			if math.Abs(float64(logits[i])-want) > 1e-6*math.Abs(want) {
				t.Fatalf("logit of %d is %v, want %v", id, logits[i], want)
			}
		}
		// Only the last candidate may be taken.
		for i := range len(ids) - 1 {
			logits[i] = float32(math.Inf(-1))
		}
	})
	err := m.Generate(t.Context(), prompt, s, func(tok Token) error {
		generated = append(generated, tok.ID)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	past := slices.Clone(prompt)
	for i, id := range generated {
		c := newCandidates(DefaultTopK)
		c.collect(m, past, false)
		c.truncate(Sampling{Temperature: .7, TopP: .95})
		if last := c.ids[len(c.ids)-1]; id != last {
			t.Fatalf("token %d is %d; the mark had left only %d", i, id, last)
		}
		past = append(past, id)
	}
}

func TestMarkAtTemperatureZero(t *testing.T) {
	t.Parallel()
	m, docs := trained(t)
	s := Sampling{MaxTokens: 1}
	s.Mark = markFunc(func(_, ids []int32, logits []float32) {
		for i, id := range ids {
			if want := m.Logprob(docs[1], id); math.Abs(float64(logits[i])-want) > 1e-6*math.Abs(want) {
				t.Fatalf("logit of %d is %v, want its log-probability %v", id, logits[i], want)
			}
		}
		logits[2] += 100
	})
	c := newCandidates(DefaultTopK)
	c.collect(m, docs[1], false)
	if got := m.Complete(docs[1], s)[0]; got != c.ids[2] {
		t.Errorf("the token is %d, want %d, whose logit is highest after the mark", got, c.ids[2])
	}
}

func TestGenerateErrors(t *testing.T) {
	t.Parallel()
	m, docs := trained(t)
	none := func(Token) error { return nil }
	for _, c := range []struct {
		s    Sampling
		want string
	}{
		{Sampling{Temperature: -1}, "temperature -1"},
		{Sampling{Temperature: math.NaN()}, "temperature NaN"},
		{Sampling{Temperature: math.Inf(1)}, "temperature +Inf"},
		{Sampling{TopP: 1.5}, "top-p 1.5"},
		{Sampling{TopP: -.1}, "top-p -0.1"},
		{Sampling{TopK: -1}, "top-k -1"},
		{Sampling{MaxTokens: -1}, "-1 tokens"},
	} {
		if err := m.Generate(t.Context(), nil, c.s, none); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: error %v, want one with %q", c.s, err, c.want)
		}
		if _, err := m.Entropy(docs[1], c.s); err == nil {
			t.Errorf("%+v: no error from Entropy", c.s)
		}
	}
	s := DefaultSampling()
	s.Mark = markFunc(func(_, _ []int32, logits []float32) {
		for i := range logits {
			logits[i] = float32(math.Inf(-1))
		}
	})
	if err := m.Generate(t.Context(), nil, s, none); err == nil || !strings.Contains(err.Error(), "left no candidate") {
		t.Errorf("error %v, want that the mark left no candidate", err)
	}
	s.Mark = nil
	stop := errors.New("enough")
	n := 0
	if err := m.Generate(t.Context(), nil, s, func(Token) error {
		if n++; n == 3 {
			return stop
		}
		return nil
	}); !errors.Is(err, stop) || n != 3 {
		t.Errorf("error %v after %d tokens, want emit's own after 3", err, n)
	}
	ctx, cancel := context.WithCancel(t.Context())
	n = 0
	if err := m.Generate(ctx, nil, s, func(Token) error {
		if n++; n == 5 {
			cancel()
		}
		return nil
	}); !errors.Is(err, context.Canceled) || n != 5 {
		t.Errorf("error %v after %d tokens, want cancellation after 5", err, n)
	}
}

func TestReportedLogprobs(t *testing.T) {
	t.Parallel()
	m, docs := trained(t)
	past := slices.Clone(docs[1])
	s := Sampling{Temperature: .8, TopP: .9, MaxTokens: 40, Logprobs: 5}
	if err := m.Generate(t.Context(), docs[1], s, func(tok Token) error {
		if want := m.Logprob(past, tok.ID); math.Abs(tok.Logprob-want) > 1e-9 {
			t.Errorf("log-probability of %d is %v, want %v", tok.ID, tok.Logprob, want)
		}
		if len(tok.Top) != 5 {
			t.Fatalf("%d alternatives, want 5", len(tok.Top))
		}
		for i, a := range tok.Top {
			if want := m.Logprob(past, a.ID); math.Abs(a.Logprob-want) > 1e-9 {
				t.Errorf("alternative %d has %v, want %v", a.ID, a.Logprob, want)
			}
			if i > 0 && a.Logprob > tok.Top[i-1].Logprob {
				t.Error("the alternatives are not in order")
			}
		}
		past = append(past, tok.ID)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if len(past) != len(docs[1])+40 {
		t.Errorf("%d tokens were generated, want 40", len(past)-len(docs[1]))
	}
	if m.Top(nil, 0) != nil {
		t.Error("no alternatives were asked for and some were given")
	}
}

func TestMeasures(t *testing.T) {
	t.Parallel()
	m, docs := trained(t)
	ids := docs[1]
	want := 0.0
	for i := range ids {
		want -= m.Logprob(ids[:i], ids[i]) / math.Ln2
	}
	if got := m.CrossEntropy(ids); math.Abs(got-want/float64(len(ids))) > 1e-9 {
		t.Errorf("cross-entropy %v, want %v", got, want/float64(len(ids)))
	}
	if got := m.CrossEntropy([]int32{1, 200}); !math.IsInf(got, 1) {
		t.Errorf("cross-entropy with a foreign id is %v, want +Inf", got)
	}
	want = 0
	for i := range ids {
		c := newCandidates(DefaultTopK)
		c.collect(m, ids[:i], false)
		total := 0.0
		for _, p := range c.prob {
			total += p
		}
		for _, p := range c.prob {
			want -= p / total * math.Log2(p/total)
		}
	}
	got, err := m.Entropy(ids, DefaultSampling())
	if err != nil || math.Abs(got-want/float64(len(ids))) > 1e-9 {
		t.Errorf("entropy %v, want %v (%v)", got, want/float64(len(ids)), err)
	}
	narrow, err := m.Entropy(ids, Sampling{Temperature: 1, TopP: .5})
	if err != nil || narrow >= got {
		t.Errorf("entropy of the nucleus %v is not below the whole's %v (%v)", narrow, got, err)
	}
	for _, c := range []struct {
		ids []int32
		s   Sampling
	}{{nil, DefaultSampling()}, {ids, Sampling{}}} {
		if got, err := m.Entropy(c.ids, c.s); got != 0 || err != nil {
			t.Errorf("entropy %v of no choice, want 0 (%v)", got, err)
		}
	}
	if m.CrossEntropy(nil) != 0 {
		t.Error("the cross-entropy of nothing is not 0")
	}
}

func TestGenerationDoesNotAllocatePerToken(t *testing.T) {
	m, docs := trained(t)
	s := DefaultSampling()
	s.Mark = markFunc(func(_, _ []int32, logits []float32) { logits[0]++ })
	allocs := func(tokens int) float64 {
		s.MaxTokens = tokens
		return testing.AllocsPerRun(20, func() {
			if err := m.Generate(t.Context(), docs[1], s, func(Token) error { return nil }); err != nil {
				t.Fatal(err)
			}
		})
	}
	if a, b := allocs(10), allocs(1000); a != b || b > 12 {
		t.Errorf("%v allocations for 10 tokens, %v for 1,000; want the same, at most 12", a, b)
	}
}
