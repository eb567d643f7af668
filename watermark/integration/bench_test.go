package integration_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/stillmark/stillmark/watermark"
	"github.com/stillmark/stillmark/watermark/integration/llama"
	"github.com/stillmark/stillmark/watermark/integration/models"
	"github.com/stillmark/stillmark/watermark/integration/serve"
)

// cpuTime is what the process has used: on a machine that does other work, too, it
// says more than the clock.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkGenerate is generation in llama.cpp end to end, sampling and mark
// included: eight replies of 128 tokens side by side.
func BenchmarkGenerate(b *testing.B) {
	set := models.Find(b)
	m := open(b, set.Teacher, llama.Options{})
	asked := prompts(b, set, 8)
	run := func(b *testing.B, s watermark.Scheme) {
		tokens := 0
		began, cpu := time.Now(), cpuTime(b)
		for b.Loop() {
			for _, it := range generate(b, m, asked, 128, func(i int) *serve.Sampler {
				p := &serve.Sampler{Temperature: 1, Random: rand.New(rand.NewPCG(2, uint64(i)))}
				if s != nil {
					p.Mark = s.Clone()
				}
				return p
			}) {
				tokens += len(it.Tokens)
			}
		}
		b.ReportMetric(float64(tokens)/time.Since(began).Seconds(), "tokens/s")
		b.ReportMetric(float64((cpuTime(b)-cpu).Microseconds())/float64(tokens), "cpu-µs/token")
		b.ReportMetric(0, "ns/op")
	}
	b.Run("mark=none", func(b *testing.B) { run(b, nil) })
	specs := native(m.Vocab())
	for _, name := range slices.Sorted(maps.Keys(specs)) {
		b.Run("mark="+name, func(b *testing.B) { run(b, mark(b, specs[name], 1)) })
	}
}

// BenchmarkProcess is one embedding step on the logits that a trained model gives,
// 2,048 wide, and on made ones of 200,019.
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
	for _, logits := range [][]float32{real, made} {
		specs := native(len(logits))
		for _, name := range slices.Sorted(maps.Keys(specs)) {
			s := mark(b, specs[name], 1)
			b.Run(fmt.Sprintf("vocab=%d/mark=%s", len(logits), name), func(b *testing.B) {
				b.ReportAllocs()
				step := slices.Clone(logits)
				history := []int32{1, 2, 3, 4}
				for b.Loop() {
					history[3] = (history[3] + 1) % 2048
					copy(step, logits)
					s.Process(history, step)
				}
			})
		}
	}
}
