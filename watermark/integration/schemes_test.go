package integration_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stillmark/stillmark/watermark"
	"github.com/stillmark/stillmark/watermark/integration/llama"
	"github.com/stillmark/stillmark/watermark/integration/models"
	"github.com/stillmark/stillmark/watermark/integration/serve"
)

// native are the native schemes in every form that a server can embed.
func native(vocab int) map[string]watermark.Spec {
	specs := map[string]watermark.Spec{
		"gumbel":          {Scheme: watermark.Gumbel},
		"gumbel philox":   {Scheme: watermark.Gumbel, PRF: watermark.Philox},
		"gumbel-dual":     {Scheme: watermark.GumbelDual},
		"kgw":             {Scheme: watermark.KGW},
		"kgw self-hashed": {Scheme: watermark.KGW, Params: watermark.Params{Seeding: watermark.SelfHash}},
		"tournament":      {Scheme: watermark.Tournament},
	}
	for name, s := range specs {
		s.Tokenizer, s.Vocab, s.Model = "tiny", vocab, "teacher"
		specs[name] = s
	}
	return specs
}

func mark(t testing.TB, s watermark.Spec, key byte) watermark.Scheme {
	t.Helper()
	k, err := watermark.NewKey(s, rand.NewChaCha8([32]byte{key}))
	if err != nil {
		t.Fatal(err)
	}
	m, err := k.Mark()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// prompts are what the trained models were asked, or words that random models say.
func prompts(t testing.TB, set models.Set, n int) (all []string) {
	t.Helper()
	if !set.Trained {
		words := []string{"stone", "river", "market", "garden", "winter", "summer", "letter", "window"}
		for i := range n {
			all = append(all, fmt.Sprintf(" %s %s %s", words[i%8], words[i/8%8], words[i/64%8]))
		}
		return all
	}
	f, err := os.Open(filepath.Join(filepath.Dir(set.Tokenizer), "innocent.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan() && len(all) < n; {
		var line struct{ Prompt string }
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			t.Fatal(err)
		}
		all = append(all, line.Prompt)
	}
	if len(all) < n {
		t.Fatalf("%d prompts of %d", len(all), n)
	}
	return all
}

func open(t testing.TB, path string, o llama.Options) *llama.Model {
	t.Helper()
	models.Init(t)
	m, err := llama.Open(path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	return m
}

// generate writes one reply to each prompt, several at a time. each, if given, is
// called before the n-th token of reply i is drawn.
func generate(t testing.TB, m *llama.Model, prompts []string, tokens int, sampler func(i int) *serve.Sampler, each ...func(i, n int)) []watermark.Item {
	t.Helper()
	items := make([]watermark.Item, len(prompts))
	var all sync.WaitGroup
	for i, text := range prompts {
		ids, err := m.Tokenize(text)
		if err != nil {
			t.Fatal(err)
		}
		all.Go(func() {
			s, reply := sampler(i), make([]int32, 0, tokens)
			err := m.Generate(t.Context(), ids, func(logits []float32) (int32, bool) {
				for _, f := range each {
					f(i, len(reply))
				}
				id := s.Next(reply, logits)
				if id == m.End() {
					return id, false
				}
				reply = append(reply, id)
				return id, len(reply) < tokens
			})
			if err != nil {
				t.Error(err)
			}
			items[i] = watermark.Item{Prompt: ids, Tokens: reply}
		})
	}
	all.Wait()
	return items
}

func detect(t testing.TB, s watermark.Scheme, items []watermark.Item) (*watermark.Detector, watermark.Detection) {
	t.Helper()
	d := watermark.NewDetector(s, watermark.Options{})
	for _, it := range items {
		d.Add(it)
	}
	return d, d.Result()
}

// Every native scheme marks what llama.cpp generates and is found in it; another
// key sees nothing, and the own key sees nothing in text without a mark.
func TestNativeSchemes(t *testing.T) {
	set := models.Find(t)
	m := open(t, set.Teacher, llama.Options{})
	asked := prompts(t, set, 16)
	plain := func(mark watermark.Scheme) func(i int) *serve.Sampler {
		return func(i int) *serve.Sampler {
			s := &serve.Sampler{Temperature: 1, TopK: 100, Random: rand.New(rand.NewPCG(1, uint64(i)))}
			if mark != nil {
				s.Mark = mark.Clone()
			}
			return s
		}
	}
	unmarked := generate(t, m, asked, 48, plain(nil))
	for name, spec := range native(m.Vocab()) {
		own, other := mark(t, spec, 1), mark(t, spec, 2)
		marked := generate(t, m, asked, 48, plain(own))
		d, found := detect(t, own, marked)
		_, elsewhere := detect(t, other, marked)
		_, nothing := detect(t, own, unmarked)
		verdict, _, err := d.Decoys(t.Context(), [32]byte{1}, 199, nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: %d units, log10 p %.1f, rank among 199 decoys %.3f; another key %.2f; text without a mark %.2f",
			name, found.N, found.Tail.Log10P, verdict.RankP, elsewhere.Tail.Log10P, nothing.Tail.Log10P)
		// The decoys' own gate closes once in a thousand times, by chance: it is no part
		// of this test.
		if found.Tail.Log10P > -8 || verdict.RankP > 1./200 {
			t.Errorf("%s: log10 p %.1f of %d units; decoys %+v", name, found.Tail.Log10P, found.N, verdict)
		}
		// Two draws of a uniform p, others on another processor: below -6 is one in a million.
		if elsewhere.Tail.Log10P < -6 || nothing.Tail.Log10P < -6 {
			t.Errorf("%s: another key %.2f, no mark %.2f", name, elsewhere.Tail.Log10P, nothing.Tail.Log10P)
		}
	}
}

// At temperature 0 a green list marks, and the other schemes leave the reply as it is.
func TestTemperatureZero(t *testing.T) {
	set := models.Find(t)
	m := open(t, set.Teacher, llama.Options{})
	asked := prompts(t, set, 48)
	greedy := generate(t, m, asked, 12, func(int) *serve.Sampler { return &serve.Sampler{} })
	for name, spec := range native(m.Vocab()) {
		s := mark(t, spec, 3)
		items := generate(t, m, asked, 12, func(int) *serve.Sampler { return &serve.Sampler{Mark: s.Clone()} })
		_, r := detect(t, s, items)
		t.Logf("%s: log10 p %.1f of %d units", name, r.Tail.Log10P, r.N)
		if spec.Scheme == watermark.KGW {
			// Random models say little at temperature 0: a few loops of words.
			if limit := map[bool]float64{true: -10, false: -1.5}[set.Trained]; r.Tail.Log10P > limit {
				t.Errorf("%s: log10 p %.1f at temperature 0", name, r.Tail.Log10P)
			}
			continue
		}
		for i := range items {
			if fmt.Sprint(items[i].Tokens) != fmt.Sprint(greedy[i].Tokens) {
				t.Fatalf("%s: reply %d differs from the greedy one", name, i)
			}
		}
	}
}
