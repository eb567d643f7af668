package integration_test

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stillmark/stillmark/watermark"
	"github.com/stillmark/stillmark/watermark/integration/llama"
	"github.com/stillmark/stillmark/watermark/integration/models"
	"github.com/stillmark/stillmark/watermark/integration/serve"
)

// BenchmarkGenerate is generation in llama.cpp end to end, sampling and mark
// included, one reply of 128 tokens after another. best-tokens/s is by the fastest of
// all tokens, what is generated where nothing else runs; tokens/s is the whole, as the
// machine was.
func BenchmarkGenerate(b *testing.B) {
	const length = 128
	set := models.Find(b)
	m := open(b, set.Teacher, llama.Options{Sequences: 1})
	asked := prompts(b, set, 1)
	run := func(b *testing.B, s watermark.Scheme) {
		tokens, began, best := 0, time.Now(), time.Duration(math.MaxInt64)
		for b.Loop() {
			var last time.Time
			for _, it := range generate(b, m, asked, length, func(int) *serve.Sampler {
				p := &serve.Sampler{Temperature: 1, Random: rand.New(rand.NewPCG(2, uint64(tokens)))}
				if s != nil {
					p.Mark = s.Clone()
				}
				return p
			}, func(_, n int) {
				now := time.Now()
				if n > 4 {
					best = min(best, now.Sub(last))
				}
				last = now
			}) {
				tokens += len(it.Tokens)
			}
		}
		b.ReportMetric(float64(tokens)/time.Since(began).Seconds(), "tokens/s")
		b.ReportMetric(1/best.Seconds(), "best-tokens/s")
		b.ReportMetric(0, "ns/op")
	}
	b.Run("mark=none", func(b *testing.B) { run(b, nil) })
	specs := native(m.Vocab())
	for _, name := range slices.Sorted(maps.Keys(specs)) {
		b.Run("mark="+name, func(b *testing.B) { run(b, mark(b, specs[name], 1)) })
	}
}

// BenchmarkProcess is one embedding step on the logits that a trained model gives,
// 2,048 wide, and on made ones of 200,019, whole and truncated, the
// copy of the logits included. best-µs/step
// is the fastest group of steps: what a step takes where nothing else runs.
func BenchmarkProcess(b *testing.B) {
	set := models.Find(b)
	m := open(b, set.Teacher, llama.Options{Sequences: 1})
	ids, err := m.Tokenize(prompts(b, set, 1)[0])
	if err != nil {
		b.Fatal(err)
	}
	var real []float32
	if err := m.Generate(b.Context(), ids, func(logits []float32) (int32, bool) {
		real = slices.Clone(logits)
		return 0, false
	}); err != nil {
		b.Fatal(err)
	}
	r := rand.New(rand.NewPCG(1, 1))
	made := make([]float32, 200_019)
	for i := range made {
		made[i] = float32(2.5 * r.NormFloat64())
	}
	for _, c := range []struct {
		logits []float32
		kept   int // the others are -Inf, as truncation leaves them
	}{{real, len(real)}, {real, 100}, {made, len(made)}, {made, 1000}} {
		logits := truncated(c.logits, c.kept)
		specs := native(len(logits))
		for _, name := range slices.Sorted(maps.Keys(specs)) {
			s := mark(b, specs[name], 1)
			b.Run(fmt.Sprintf("vocab=%d/kept=%d/mark=%s", len(logits), c.kept, name), func(b *testing.B) {
				b.ReportAllocs()
				step := slices.Clone(logits)
				history := []int32{1, 2, 3, 4}
				const group = 1 << 16
				best, done, began := time.Duration(math.MaxInt64), 0, time.Now()
				for b.Loop() {
					history[3] = (history[3] + 1) % 2048
					copy(step, logits)
					s.Process(history, step)
					if done++; done*len(logits) >= group {
						now := time.Now()
						best = min(best, now.Sub(began)/time.Duration(done))
						done, began = 0, now
					}
				}
				b.ReportMetric(float64(best.Nanoseconds())/1000, "best-µs/step")
			})
		}
	}
}

// truncated leaves the kept largest logits.
func truncated(logits []float32, kept int) []float32 {
	least := slices.Sorted(slices.Values(logits))[len(logits)-kept]
	out := slices.Clone(logits)
	for i := range out {
		if out[i] < least {
			out[i] = float32(math.Inf(-1))
		}
	}
	return out
}

// BenchmarkServed is what a client sees: replies of 64 tokens over HTTP from the server
// itself, which does not mark, and through the gateway, which asks it for every token.
// best-tokens/s is by the fastest reply of all, times the streams; tokens/s is the whole,
// as the machine was.
func BenchmarkServed(b *testing.B) {
	const length = 64
	models.Init(b)
	set := models.Find(b)
	asked := prompts(b, set, 16)
	m := open(b, set.Teacher, llama.Options{Sequences: 16})
	direct := listen(b, serve.Served{Name: "teacher", Model: m})
	p := newProgram(b, set)
	p.key(b, "key.json", "gumbel")
	through := startGateway(b, p, "--upstream", direct, "--key", "key.json", "--candidates", "100", "--eos", "none")
	for _, c := range []struct{ name, url string }{{"direct", direct + "/v1"}, {"gateway", through}} {
		for _, streams := range []int{1, 16} {
			b.Run(fmt.Sprintf("%s/streams=%d", c.name, streams), func(b *testing.B) {
				var mu sync.Mutex
				began, replies, best := time.Now(), 0, time.Duration(math.MaxInt64)
				for b.Loop() {
					var all sync.WaitGroup
					for i := range streams {
						all.Go(func() {
							began := time.Now()
							ask(b, c.url, "/completions", map[string]any{"prompt": asked[i], "max_tokens": length, "temperature": 1, "top_k": 100})
							mu.Lock()
							defer mu.Unlock()
							best = min(best, time.Since(began))
						})
					}
					all.Wait()
					replies += streams
				}
				b.ReportMetric(float64(replies*length)/time.Since(began).Seconds(), "tokens/s")
				b.ReportMetric(float64(streams*length)/best.Seconds(), "best-tokens/s")
				b.ReportMetric(0, "ns/op")
			})
		}
	}
}
