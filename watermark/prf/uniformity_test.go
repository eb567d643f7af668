package prf

import (
	"math"
	"math/bits"
	"testing"
)

func TestUniformity(t *testing.T) {
	t.Parallel()
	for name, s := range sources() {
		z := Battery(func(a, b int32, tokens int) []uint32 {
			s.SetWindow([]int32{a, b})
			return stream(s, tokens)
		})
		if w := Worst(z); !(math.Abs(w.Z) < BatteryLimit) {
			t.Errorf("%s: %s: |z| = %.1f (all: %v)", name, w.Name, w.Z, z)
		}
	}
}

// TestBatteryCatchesAdditiveHash is the battery's own test: a context hash that
// adds the window's tokens, in the manner of the additive KGW variants, cannot
// tell a window from its reverse nor (a, b+1) from (a+1, b), and must fail far
// beyond chance on both counts.
func TestBatteryCatchesAdditiveHash(t *testing.T) {
	t.Parallel()
	z := map[string]float64{}
	for _, p := range Battery(func(a, b int32, tokens int) []uint32 {
		row := make([]uint32, tokens)
		for i := range row {
			// The 64-bit LCG and permutation of PCG-XSH-RR: sound by itself.
			x := (uint64(a+b)*15485863 + uint64(i)) * 6364136223846793005
			x = (x + 1442695040888963407) * 6364136223846793005
			row[i] = bits.RotateLeft32(uint32((x>>18^x)>>27), -int(x>>59))
		}
		return row
	}) {
		z[p.Name] = p.Z
	}
	if v := z["swapped windows agree in half the bits"]; v < 1000 {
		t.Errorf("swapped windows: z = %.1f, far too small for a hash that cannot tell them apart", v)
	}
	if v := z["greens per token are dispersed as binomial"]; v < 2*BatteryLimit {
		t.Errorf("greens per token: z = %.1f, although windows of equal sums share their lists", v)
	}
}

// TestBatteryCatches are generators with one flaw each, and the property that sees it.
func TestBatteryCatches(t *testing.T) {
	t.Parallel()
	good := NewAESCTR([16]byte{1}, [16]byte{2})
	row := func(a, b int32, tokens int) []uint32 {
		good.SetWindow([]int32{a, b})
		return stream(good, tokens)
	}
	for want, bad := range map[string]func(a, b int32, tokens int) []uint32{
		"byte 3 uniform": func(a, b int32, tokens int) []uint32 {
			words := row(a, b, tokens)
			for i := range words {
				words[i] &^= uint32(i%10/9) << 31
			}
			return words
		},
		"neighbouring tokens are green together one time in 16": func(a, b int32, tokens int) []uint32 {
			words := row(a, b, tokens)
			for i := 1; i < tokens; i += 2 {
				words[i] = words[i]&(1<<30-1) | words[i-1]&^(1<<30-1)
			}
			return words
		},
		"a token is green under neighbouring windows one time in 16": func(a, b int32, tokens int) []uint32 { return row(a/2, b, tokens) },
		"greens per window are dispersed as binomial": func(a, b int32, tokens int) []uint32 { // a list of fixed size
			words := row(a, b, tokens)
			for i := range words {
				words[i] = words[i]&(1<<30-1) | uint32(i*7%4)<<30
			}
			return words
		},
		"swapped windows agree in half the bits": func(a, b int32, tokens int) []uint32 { return row(min(a, b), max(a, b), tokens) },
	} {
		found := false
		for _, p := range Battery(bad) {
			found = found || p.Name == want && math.Abs(p.Z) > 2*BatteryLimit
		}
		if !found {
			t.Errorf("nobody saw that not: %s", want)
		}
	}
	if w := Worst([]Property{{"a", 3}, {"b", math.NaN()}, {"c", -9}}); w.Name != "b" {
		t.Errorf("the worst is %v", w)
	}
	if w := Worst([]Property{{"a", 3}, {"c", -9}}); w.Name != "c" {
		t.Errorf("the worst is %v", w)
	}
}

func TestKnownAnswers(t *testing.T) {
	t.Parallel()
	answers := KnownAnswers()
	for _, a := range answers {
		if !a.OK {
			t.Errorf("%s does not give the answer of %s", a.Generator, a.Source)
		}
	}
	if n := len(levels()) + 6; len(answers) != n || AESPath() == "" {
		t.Errorf("%d answers, want %d", len(answers), n)
	}
}
