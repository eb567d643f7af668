package watermark

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// zipf is text-like ids: rank r with probability about 1/r.
func zipf(vocab, n int) []int32 {
	r := rand.New(rand.NewPCG(1, 1))
	tokens := make([]int32, n)
	for i := range tokens {
		tokens[i] = int32(math.Exp(r.Float64()*math.Log(float64(vocab)))) - 1
	}
	return tokens
}

// BenchmarkPresetDetect is a whole detection of 4,000 tokens, dedup included, per
// token, under every preset at its defaults.
func BenchmarkPresetDetect(b *testing.B) {
	const n = 4000
	for _, vocab := range []int{50_257, 128_256, 200_019} {
		tokens := zipf(vocab, n)
		for _, p := range Presets() {
			b.Run(fmt.Sprintf("%s/%d", p.Name, vocab), func(b *testing.B) {
				s := imported(b, p.Name, vocab, private(p, 1))
				b.ReportAllocs()
				for b.Loop() {
					d := NewDetector(s, Options{Weights: WeightsNone})
					d.Add(Item{Tokens: tokens})
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/token")
			})
		}
	}
}

// BenchmarkPresetScore is one unit of a seed that was not asked for before.
func BenchmarkPresetScore(b *testing.B) {
	for _, p := range Presets() {
		b.Run(p.Name, func(b *testing.B) {
			s := imported(b, p.Name, 128_256, private(p, 1))
			window := make([]int32, s.Window())
			i := int32(0)
			b.ReportAllocs()
			for b.Loop() {
				i = (i*1103 + 12345) & (1<<16 - 1)
				for k := range window {
					window[k] = i + int32(k)
				}
				s.Score(window, i)
			}
		})
	}
}

// BenchmarkPresetProcess is a whole-vocabulary step with a window not seen before.
func BenchmarkPresetProcess(b *testing.B) {
	for _, name := range []string{"hf-kgw-lefthash", "hf-kgw-selfhash", "lm-watermarking", "vllm-gumbel", "sglang-gumbel", "vllm-sbw", "textseal-gumbel", "hf-synthid", "dm-synthid-2025"} {
		p, _ := PresetByName(name)
		b.Run(name, func(b *testing.B) {
			s := imported(b, name, 128_256, private(p, 1))
			plain := newToy(128_256, 2).logits(nil)
			logits := make([]float32, len(plain))
			history := make([]int32, 8)
			i := int32(0)
			b.ReportAllocs()
			for b.Loop() {
				i = (i*1103 + 12345) & (1<<16 - 1)
				for k := range history {
					history[k] = i + int32(k)
				}
				copy(logits, plain)
				s.Process(history, logits)
			}
		})
	}
}
