package prf

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// batchPairs are n pairs, the window of some shared with the one before.
func batchPairs(stride, n int, seed uint64) []int32 {
	r := rand.New(rand.NewPCG(seed, seed))
	var flat []int32
	for i := range n {
		if i > 0 && r.IntN(3) == 0 {
			flat = append(flat, flat[len(flat)-stride:len(flat)-1]...)
		} else {
			for range stride - 1 {
				flat = append(flat, r.Int32()-r.Int32N(2)*1_000) // padding may be negative
			}
		}
		flat = append(flat, r.Int32N(300_000))
	}
	return flat
}

// TestBatch compares a batch with AESCTR, word by word.
func TestBatch(t *testing.T) {
	t.Parallel()
	var r BatchReader
	for _, stride := range []int{1, 2, 3, 4, 5, 6, 9} {
		for _, n := range []int{0, 1, 7, 8, 9, 255, 256, 257, 1000} {
			kn, kt := [16]byte{1, byte(n)}, [16]byte{2, byte(stride)}
			flat := batchPairs(stride, n, uint64(n))
			b := NewBatch(stride, flat)
			a := NewAESCTR(kn, kt)
			seen := 0
			r.Read(b, kn, kt, func(from int, words []uint32) {
				if from != seen {
					t.Fatalf("stride %d, %d pairs: words from %d after %d", stride, n, from, seen)
				}
				for i, word := range words {
					p := flat[(from+i)*stride:][:stride]
					a.SetWindow(p[:stride-1])
					if want := a.Word(p[stride-1]); word != want {
						t.Fatalf("stride %d, %d pairs: word %d is %08x, want %08x", stride, n, from+i, word, want)
					}
				}
				seen += len(words)
			})
			if seen != n || b.Len() != n {
				t.Errorf("stride %d: %d words of %d pairs", stride, seen, n)
			}
		}
	}
}

// BenchmarkBatch is a pair under a new key; two thirds of the pairs have a window
// of their own.
func BenchmarkBatch(b *testing.B) {
	for _, h := range []int{2, 4} {
		b.Run(fmt.Sprintf("window=%d", h), func(b *testing.B) {
			b.ReportAllocs()
			batch := NewBatch(h+1, batchPairs(h+1, 20_000, 1))
			var (
				r   BatchReader
				sum uint32
			)
			key := [16]byte{}
			for b.Loop() {
				key[0]++
				r.Read(batch, key, key, func(_ int, words []uint32) { sum += words[0] })
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/20_000, "ns/pair")
			_ = sum
		})
	}
}
