package watermark

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// vocabularies of GPT-2, Llama-3 and o200k.
var vocabularies = []int{50_257, 128_256, 200_019}

func benchSpec(scheme, prf string) Spec {
	return Spec{Scheme: scheme, PRF: prf, Tokenizer: "bench", Vocab: 200_019}.withDefaults()
}

// BenchmarkDetect is the cost of one fresh unit, detector and all.
func BenchmarkDetect(b *testing.B) {
	for _, scheme := range Schemes() {
		for _, prf := range PRFs() {
			b.Run(fmt.Sprintf("scheme=%s/prf=%s", scheme, prf), func(b *testing.B) {
				b.ReportAllocs()
				s := decoy(b, benchSpec(scheme, prf), 1)
				tokens := randomTokens(2000, 200_019, 1)
				d := NewDetector(s, Options{})
				var done int
				for b.Loop() {
					if done%(50*len(tokens)) == 0 {
						d = NewDetector(s, Options{}) // 100,000 tokens are a run
					}
					tokens[0] = int32(done % 200_000)
					for i := range tokens { // other windows in every item, at 1 ns per token
						tokens[i] = (tokens[i]*13 + 7) % 200_003
					}
					d.Add(Item{Tokens: tokens})
					done += len(tokens)
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(done), "ns/token")
			})
		}
	}
}

// BenchmarkScore is the scheme alone: one token under a new window.
func BenchmarkScore(b *testing.B) {
	for _, scheme := range Schemes() {
		for _, prf := range PRFs() {
			b.Run(fmt.Sprintf("scheme=%s/prf=%s", scheme, prf), func(b *testing.B) {
				b.ReportAllocs()
				s := decoy(b, benchSpec(scheme, prf), 1)
				window := []int32{1, 2}
				var sum float64
				for i := int32(0); b.Loop(); i++ {
					window[0] = i & 0xffff
					sum += s.Score(window, i&0xffff)
				}
				sinkFloat = sum
			})
		}
	}
}

// BenchmarkProcess is one embedding step over the whole vocabulary, the copy of
// its logits (about 5 to 20 µs) included.
func BenchmarkProcess(b *testing.B) {
	for _, scheme := range Schemes() {
		for _, prf := range PRFs() {
			for _, vocab := range vocabularies {
				b.Run(fmt.Sprintf("scheme=%s/prf=%s/vocab=%d", scheme, prf, vocab), func(b *testing.B) {
					b.ReportAllocs()
					s := decoy(b, benchSpec(scheme, prf), 1)
					plain := newToy(vocab, 2.5).logits(nil)
					logits := make([]float32, vocab)
					history := []int32{0, 1}
					copy(logits, plain)
					s.Process(history, logits)
					for b.Loop() {
						history[1]++
						copy(logits, plain)
						s.Process(history, logits)
					}
				})
			}
		}
	}
}

// BenchmarkProcessCandidates is one step over a truncated list.
func BenchmarkProcessCandidates(b *testing.B) {
	for _, scheme := range Schemes() {
		for _, k := range []int{50, 200, 1000} {
			b.Run(fmt.Sprintf("scheme=%s/k=%d", scheme, k), func(b *testing.B) {
				b.ReportAllocs()
				s := decoy(b, benchSpec(scheme, AESCTR), 1)
				plain := newToy(k, 2.5).logits(nil)
				logits := make([]float32, k)
				ids := randomTokens(k, 128_256, 2)
				history := []int32{0, 1}
				s.ProcessCandidates(history, ids, logits)
				for b.Loop() {
					history[1]++
					copy(logits, plain)
					s.ProcessCandidates(history, ids, logits)
				}
			})
		}
	}
}

// BenchmarkMaskRepeats is the search for an earlier occurrence of the window in
// a long reply.
func BenchmarkMaskRepeats(b *testing.B) {
	history := randomTokens(4000, 128_256, 3)
	for b.Loop() {
		if occursBefore(history, history[len(history)-2:]) {
			b.Fatal("random windows repeat")
		}
	}
}

// BenchmarkDecoys is 100 keys over text-like units, derivation of the keys included:
// 20,000 units, and the 100,000 of a large run, which do not fit into the second
// cache. ns/unit/key is wall time on all processors.
func BenchmarkDecoys(b *testing.B) {
	for _, scheme := range NativeSchemes() {
		for _, tokens := range []int{23_000, 120_000} {
			b.Run(fmt.Sprintf("scheme=%s/tokens=%d", scheme, tokens), func(b *testing.B) {
				b.ReportAllocs()
				d := NewDetector(decoy(b, benchSpec(scheme, AESCTR), 1), Options{})
				d.Add(Item{Tokens: zipf(60_000, tokens)}) // a third of the units share their window with another
				n := d.Result().N
				for b.Loop() {
					if _, _, err := d.Decoys(b.Context(), [32]byte{1}, 100, nil); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/100/float64(n), "ns/unit/key")
			})
		}
	}
}

// BenchmarkNewDecoy is the cost of drawing one decoy key.
func BenchmarkNewDecoy(b *testing.B) {
	b.ReportAllocs()
	spec := benchSpec(Gumbel, AESCTR)
	for i := 0; b.Loop(); i++ {
		decoy(b, spec, i)
	}
}

func randomTokens(n, vocab int, seed uint64) []int32 {
	r := rand.New(rand.NewPCG(seed, seed))
	ids := make([]int32, n)
	for i := range ids {
		ids[i] = r.Int32N(int32(vocab))
	}
	return ids
}

var sinkFloat float64
