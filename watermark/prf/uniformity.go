package prf

import (
	"fmt"
	"math"
	"math/bits"
)

// Property is one score of the uniformity battery.
type Property struct {
	Name string  `json:"name"`
	Z    float64 `json:"z"` // standard normal for independent uniform words
}

// BatteryLimit is the |z| that fails: the battery's scores of a sound generator exceed
// it about once in 150,000 runs.
const BatteryLimit = 5

// Battery looks at words(window of 2, tokens) for 500 windows and 1,000 tokens and
// their reverses, a million words, and returns one z-score for each property. A
// watermark's null laws rest on exactly these: uniform words, and independence between
// tokens, between windows, and between windows of the same tokens in another order.
// The slice that words returns may be its scratch.
func Battery(words func(a, b int32, tokens int) []uint32) []Property {
	const windows, tokens = 500, 1000
	var (
		bytes                [4][256]float64
		next, window, swap   agreement
		nextGreen, lastGreen joint
		dispersion           float64
		last                 []uint32
	)
	greens := make([]float64, tokens) // per token, over windows
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
				nextGreen.add(x, row[i-1])
			}
			if last != nil {
				window.add(x, last[i])
				lastGreen.add(x, last[i])
			}
			if isGreen(x) {
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
	var out []Property
	for j := range bytes {
		var chi float64
		const expected = windows * tokens / 256.0
		for _, n := range bytes[j] {
			chi += square(n-expected) / expected
		}
		out = append(out, Property{fmt.Sprintf("byte %d uniform", j), (chi - 255) / math.Sqrt(2*255)})
	}
	// A permutation's green lists would be under-dispersed, a bad hash's over-.
	perWindow := (dispersion - windows) / math.Sqrt(2*windows)
	dispersion = 0
	for _, n := range greens {
		dispersion += square(n-.25*windows) / (.1875 * windows)
	}
	return append(
		out,
		Property{"neighbouring tokens agree in half the bits", next.z()},
		Property{"neighbouring windows agree in half the bits", window.z()},
		Property{"swapped windows agree in half the bits", swap.z()},
		Property{"neighbouring tokens are green together one time in 16", nextGreen.z()},
		Property{"a token is green under neighbouring windows one time in 16", lastGreen.z()},
		Property{"greens per window are dispersed as binomial", perWindow},
		Property{"greens per token are dispersed as binomial", (dispersion - tokens) / math.Sqrt(2*tokens)},
	)
}

// Worst is the property with the largest |z|; one that is no number is the largest.
func Worst(properties []Property) Property {
	var worst Property
	for _, p := range properties {
		if math.IsNaN(p.Z) {
			return p
		}
		if math.Abs(p.Z) >= math.Abs(worst.Z) {
			worst = p
		}
	}
	return worst
}

func isGreen(word uint32) bool { return word < 1<<30 }

// agreement counts equal bits of pairs of words.
type agreement struct{ pairs, equal float64 }

func (a *agreement) add(x, y uint32) {
	a.pairs++
	a.equal += float64(bits.OnesCount32(^(x ^ y)))
}

func (a *agreement) z() float64 { return (a.equal - 16*a.pairs) / math.Sqrt(8*a.pairs) }

// joint counts pairs of neighbours that are both green.
type joint struct{ pairs, both float64 }

func (j *joint) add(x, y uint32) {
	j.pairs++
	if isGreen(x) && isGreen(y) {
		j.both++
	}
}

// z allows for pairs that share a word: with g = 1/4 a pair adds g²(1-g²) to the
// variance, and 2(g³-g⁴) with the next one.
func (j *joint) z() float64 {
	const g = .25
	return (j.both - g*g*j.pairs) / math.Sqrt((g*g*(1-g*g)+2*(g*g*g-g*g*g*g))*j.pairs)
}

func square(x float64) float64 { return x * x }
