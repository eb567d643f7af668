package integration_test

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
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
