package watermark

import (
	"math"
	"slices"
	"testing"
)

// TestAddBonus compares eight at a time with one by one, bit for bit, at the ends
// of the word's range and of the threshold's, and on logits that are no numbers.
func TestAddBonus(t *testing.T) {
	t.Parallel()
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	for _, threshold := range []uint32{1 << 24, 1<<30 + 1, 1 << 31, 1<<31 + 1, 255 << 24} {
		words := []uint32{0, 1, threshold - 1, threshold, threshold + 1, 1<<31 - 1, 1 << 31, math.MaxUint32}
		for range 3 {
			words = append(words, words...)
		}
		for n := range len(words) {
			logits := make([]float32, n)
			for i := range logits {
				logits[i] = []float32{0, -3.5, -inf, 1e-40, nan, inf, float32(i)}[i%7]
			}
			want := slices.Clone(logits)
			delta := math.Float32bits(1.7)
			addBonus(logits, words[:n], threshold, delta)
			for i := range want {
				if words[i] < threshold {
					want[i] += 1.7
				}
			}
			for i := range want {
				if math.Float32bits(logits[i]) != math.Float32bits(want[i]) {
					t.Fatalf("threshold %d, word %d: %v, want %v", threshold, words[i], logits[i], want[i])
				}
			}
		}
	}
}
