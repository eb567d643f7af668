package watermark

import (
	"math"
	"math/rand/v2"
	"testing"
)

// The logarithm of pairs' scores is math.Log's to a few units of the last place, at both
// ends, at the borders of its table's entries and anywhere.
func TestNegLog(t *testing.T) {
	t.Parallel()
	check := func(word uint32) float64 {
		want := -math.Log(uniform(word))
		if want < .5 {
			want = -math.Log1p(-uniform(^word)) // exact where the argument is near 1
		}
		got := negLog(word)
		off := math.Abs(got-want) / want
		if !(off <= 1e-15) {
			t.Fatalf("word %#x: %v, math.Log says %v", word, got, want)
		}
		return off
	}
	worst := 0.
	for i := range uint32(1 << 16) {
		worst = max(worst, check(i), check(^i), check(i<<16), check(i<<16-1), check(1<<31+i), check(1<<31-i))
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for range 1_000_000 {
		worst = max(worst, check(rng.Uint32()>>rng.IntN(32)))
	}
	t.Logf("largest relative difference %.1e", worst)
}

func BenchmarkNegLog(b *testing.B) {
	sum, word := 0., uint32(1)
	for b.Loop() {
		word = word*1664525 + 1013904223
		sum += negLog(word)
	}
	if sum == 0 {
		b.Fatal("no sum")
	}
}
