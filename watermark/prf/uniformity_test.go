package prf

import (
	"fmt"
	"math"
	"math/bits"
	"testing"
)

// The battery looks at words(window of 2, tokens) for 500 windows and 1,000
// tokens, half a million words, and returns one z-score for each property,
// standard normal for independent uniform words. A watermark's null laws rest
// on exactly these properties: uniform words, and independence between tokens,
// between windows, and between windows of the same tokens in another order.
func battery(words func(a, b int32, tokens int) []uint32) map[string]float64 {
	const windows, tokens = 500, 1000
	z := map[string]float64{}
	var bytes [4][256]float64
	var next, window, swap agreement
	var dispersion float64
	greens := make([]float64, tokens) // per token, over windows
	var last []uint32
	for w := range int32(windows) {
		a, b := 1000+w%25, 2000+w/25 // many windows share a token, as text does
		row := append([]uint32(nil), words(a, b, tokens)...)
		var green float64
		for i, x := range row {
			for j := range bytes {
				bytes[j][x>>(8*j)&255]++
			}
			if i > 0 {
				next.add(x, row[i-1])
			}
			if last != nil {
				window.add(x, last[i])
			}
			if x < 1<<30 {
				green++
				greens[i]++
			}
		}
		dispersion += square(green-.25*tokens) / (.1875 * tokens)
		last = row
		for i, x := range words(b, a, tokens) {
			swap.add(x, row[i])
		}
	}
	for j := range bytes {
		var chi float64
		const expected = windows * tokens / 256.0
		for _, n := range bytes[j] {
			chi += square(n-expected) / expected
		}
		z[fmt.Sprintf("byte %d uniform", j)] = (chi - 255) / math.Sqrt(2*255)
	}
	z["neighbouring tokens agree in half the bits"] = next.z()
	z["neighbouring windows agree in half the bits"] = window.z()
	z["swapped windows agree in half the bits"] = swap.z()
	// A permutation's green lists would be under-dispersed, a bad hash's over-.
	z["greens per window are dispersed as binomial"] = (dispersion - windows) / math.Sqrt(2*windows)
	dispersion = 0
	for _, n := range greens {
		dispersion += square(n-.25*windows) / (.1875 * windows)
	}
	z["greens per token are dispersed as binomial"] = (dispersion - tokens) / math.Sqrt(2*tokens)
	return z
}

// agreement counts equal bits of pairs of words.
type agreement struct{ pairs, equal float64 }

func (a *agreement) add(x, y uint32) {
	a.pairs++
	a.equal += float64(bits.OnesCount32(^(x ^ y)))
}

func (a *agreement) z() float64 { return (a.equal - 16*a.pairs) / math.Sqrt(8*a.pairs) }

func square(x float64) float64 { return x * x }

// worst is the property with the largest |z|.
func worst(z map[string]float64) (name string, max float64) {
	for property, v := range z {
		if math.Abs(v) > max || math.IsNaN(v) {
			name, max = property, math.Abs(v)
		}
	}
	return name, max
}

// batteryLimit: nine scores of a sound generator exceed 5 about once in 200,000.
const batteryLimit = 5

func TestUniformity(t *testing.T) {
	t.Parallel()
	for name, s := range sources() {
		z := battery(func(a, b int32, tokens int) []uint32 {
			s.SetWindow([]int32{a, b})
			return stream(s, tokens)
		})
		if property, v := worst(z); !(v < batteryLimit) {
			t.Errorf("%s: %s: |z| = %.1f (all: %v)", name, property, v, z)
		}
	}
}

// TestBatteryCatchesAdditiveHash is the battery's own test: a context hash that
// adds the window's tokens, in the manner of the additive KGW variants, cannot
// tell a window from its reverse nor (a, b+1) from (a+1, b), and must fail far
// beyond chance on both counts.
func TestBatteryCatchesAdditiveHash(t *testing.T) {
	t.Parallel()
	z := battery(func(a, b int32, tokens int) []uint32 {
		row := make([]uint32, tokens)
		for i := range row {
			// The 64-bit LCG and permutation of PCG-XSH-RR: sound by itself.
			x := (uint64(a+b)*15485863 + uint64(i)) * 6364136223846793005
			x = (x + 1442695040888963407) * 6364136223846793005
			row[i] = bits.RotateLeft32(uint32((x>>18^x)>>27), -int(x>>59))
		}
		return row
	})
	if v := z["swapped windows agree in half the bits"]; v < 1000 {
		t.Errorf("swapped windows: z = %.1f, far too small for a hash that cannot tell them apart", v)
	}
	if v := z["greens per token are dispersed as binomial"]; v < 2*batteryLimit {
		t.Errorf("greens per token: z = %.1f, although windows of equal sums share their lists", v)
	}
}
