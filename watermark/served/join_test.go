package served

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/stillmark/stillmark/watermark"
)

// zipf is text-like ids: rank r with probability about 1/r.
func zipf(r *rand.Rand, vocab, n int) []int32 {
	ids := make([]int32, n)
	for i := range ids {
		ids[i] = int32(math.Exp(r.Float64()*math.Log(float64(vocab)))) - 1
	}
	return ids
}

// TestJoin compares with a map of strings, on windows of every parity and on four
// streams at a time.
func TestJoin(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	for h, vocab := range map[int]int{1: 5000, 2: 60, 3: 30, 4: 10, 5: 8, 8: 4} {
		rival := watermark.NewWindowSet(h)
		rival.Add(zipf(r, vocab, 3000))
		rival.Add(append([]int32{-1, -1, 0, math.MaxInt32}, make([]int32, h)...))
		j := NewJoin(rival)
		served := map[string]bool{}
		var (
			mu   sync.Mutex
			work sync.WaitGroup
			seen int64
		)
		for range 4 {
			text := zipf(r, vocab, 1000+r.IntN(100))
			for i := h; i < len(text); i++ {
				served[fmt.Sprint(text[i-h:i])] = true
			}
			work.Go(func() {
				s := j.Stream()
				for i := h; i < len(text); i++ {
					s.Add(text[i-h : i])
				}
				s.Flush()
				mu.Lock()
				seen += s.Seen() - int64(len(text)-h)
				mu.Unlock()
			})
		}
		work.Wait()
		if seen != 0 {
			t.Errorf("h = %d: %d more windows seen than there were", h, seen)
		}
		found, want := j.Found(), 0
		for i := range rival.Len() {
			w := rival.At(i)
			if served[fmt.Sprint(w)] {
				want++
			}
			if found.Has(w) != served[fmt.Sprint(w)] {
				t.Fatalf("h = %d: %v found %v, served %v", h, w, found.Has(w), served[fmt.Sprint(w)])
			}
		}
		if want == 0 || want == rival.Len() || found.Len() != want {
			t.Errorf("h = %d: %d of %d found, want %d", h, found.Len(), rival.Len(), want)
		}
	}
	empty := NewJoin(watermark.NewWindowSet(2))
	s := empty.Stream()
	s.Add([]int32{1, 2})
	s.Flush()
	if empty.Found().Len() != 0 {
		t.Error("windows found among none")
	}
}

// TestJoinHashIsOneToOne: windows of up to two tokens are told apart by their hashes,
// which are never those of a free slot.
func TestJoinHashIsOneToOne(t *testing.T) {
	t.Parallel()
	for range 100 {
		j := NewJoin(watermark.NewWindowSet(2))
		seen := map[uint64][]int32{}
		for _, a := range []int32{-1, 0, 1, 2, math.MaxInt32} {
			for b := int32(-1); b < 50; b++ {
				h := j.hash([]int32{a, b})
				if h == 0 || seen[h] != nil {
					t.Fatalf("%v and %v have hash %d", seen[h], []int32{a, b}, h)
				}
				seen[h] = []int32{a, b}
			}
		}
	}
	// mix can be undone.
	undo := func(x uint64, shift int) uint64 {
		y := x
		for range 64/shift + 1 {
			y = x ^ y>>shift
		}
		return y
	}
	inverse := func(m uint64) uint64 {
		x := m
		for range 6 {
			x *= 2 - m*x
		}
		return x
	}
	for range 1000 {
		x := rand.Uint64()
		y := undo(mix(x), 31) * inverse(0x94d049bb133111eb)
		y = undo(y, 27) * inverse(0xbf58476d1ce4e5b9)
		if undo(y, 30) != x {
			t.Fatalf("mix(%x) cannot be undone", x)
		}
	}
}

// BenchmarkJoin is a token of traffic past a rival's windows, the cutting of its
// windows included. The traffic is 8 million text-like tokens in items of 1,000, so
// that neither it nor, from a million windows on, the table stays in a cache; a third
// to a half of its windows are the rival's.
func BenchmarkJoin(b *testing.B) {
	const vocab, item = 100_000, 1000
	r := rand.New(rand.NewPCG(1, 1))
	traffic := slices.Collect(slices.Chunk(zipf(r, vocab, 8_000_000), item))
	for _, h := range []int{2, 4} {
		for _, n := range []int{100_000, 1_000_000, 10_000_000} {
			b.Run(fmt.Sprintf("h=%d/windows=%d", h, n), func(b *testing.B) {
				rival := watermark.NewWindowSet(h)
				for text := r; rival.Len() < n; {
					rival.Add(zipf(text, vocab, item))
				}
				j := NewJoin(rival)
				cutter, err := watermark.NewPlainCutter(h)
				if err != nil {
					b.Fatal(err)
				}
				s := j.Stream()
				b.ReportAllocs()
				for b.Loop() {
					for _, ids := range traffic {
						cutter.Each(watermark.Item{Tokens: ids}, s.Add)
					}
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/8e6, "ns/token")
				b.ReportMetric(float64(j.Found().Len())/float64(rival.Len()), "found")
			})
		}
	}
}
