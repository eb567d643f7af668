package prf

import (
	"fmt"
	"math/bits"
)

// Philox is philox-v1: Philox4x32-10 (Salmon et al., "Parallel random numbers:
// as easy as 1, 2, 3", SC 2011) in the layout that vLLM calls
// philox4x32-10-v1. With P(counter, key) the generator, w the window's length
// and k0, k1 the low and high halves of the 64-bit key:
//
//	state = (0x574D4358, w, 0, 0)
//	for the four tokens from offset o: state = P(state XOR tokens, (k0 XOR o, k1))
//	W(window, t) = word t mod 4 of P((t/4, state0, state1, state2), (k0 XOR state3, k1 XOR 0x574D544B))
//
// A token enters as its 32 bits, so the -1 that stands for a missing token of
// a left-padded window is 0xffffffff; place i of a short last block is
// 0xffffffff - i.
type Philox struct {
	k0, k1 uint32
	state  [4]uint32
}

// NewPhilox returns the source under a 64-bit key.
func NewPhilox(key uint64) *Philox {
	p := &Philox{k0: uint32(key), k1: uint32(key >> 32)}
	p.SetWindow(nil)
	return p
}

// The layout's domain constants: "WMCX" for contexts and "WMTK" for tokens.
const (
	philoxContext = 0x574D4358
	philoxToken   = 0x574D544B
)

// SetWindow absorbs the window, four tokens per block.
func (p *Philox) SetWindow(window []int32) {
	s := [4]uint32{philoxContext, uint32(len(window)), 0, 0}
	for o := uint32(0); len(window) > 0; o += 4 {
		t := [4]uint32{^uint32(0), ^uint32(1), ^uint32(2), ^uint32(3)} // a short block's padding
		n := min(len(window), 4)
		for i, id := range window[:n] {
			t[i] = uint32(id)
		}
		s = philox10([4]uint32{s[0] ^ t[0], s[1] ^ t[1], s[2] ^ t[2], s[3] ^ t[3]}, p.k0^o, p.k1)
		window = window[n:]
	}
	p.state = s
}

// block is the four words of tokens 4n .. 4n+3.
func (p *Philox) block(n uint32) [4]uint32 {
	s := &p.state
	return philox10([4]uint32{n, s[0], s[1], s[2]}, p.k0^s[3], p.k1^philoxToken)
}

// Word is one Philox block.
func (p *Philox) Word(token int32) uint32 {
	t := uint32(token)
	return p.block(t >> 2)[t&3]
}

// Words takes a block for every four tokens.
func (p *Philox) Words(first int32, words []uint32) {
	checkFirst(first)
	n := uint32(first) >> 2
	for ; len(words) >= 8; n, words = n+2, words[8:] {
		v, w := p.pair(n)
		*(*[4]uint32)(words), *(*[4]uint32)(words[4:]) = v, w
	}
	for ; len(words) > 0; n++ {
		v := p.block(n)
		words = words[copy(words, v[:]):]
	}
}

// pair is block(n) and block(n+1). A round waits for the multiplications of the
// one before; two counters side by side fill the wait.
func (p *Philox) pair(n uint32) (v, w [4]uint32) {
	s := &p.state
	k0, k1 := p.k0^s[3], p.k1^philoxToken
	a0, a1, a2, a3 := n, s[0], s[1], s[2]
	b0, b1, b2, b3 := n+1, s[0], s[1], s[2]
	for range 10 {
		h0, l0 := bits.Mul32(philoxM0, a0)
		h1, l1 := bits.Mul32(philoxM1, a2)
		g0, m0 := bits.Mul32(philoxM0, b0)
		g1, m1 := bits.Mul32(philoxM1, b2)
		a0, a1, a2, a3 = h1^a1^k0, l1, h0^a3^k1, l0
		b0, b1, b2, b3 = g1^b1^k0, m1, g0^b3^k1, m0
		k0 += philoxW0
		k1 += philoxW1
	}
	return [4]uint32{a0, a1, a2, a3}, [4]uint32{b0, b1, b2, b3}
}

// Clone returns an independent copy.
func (p *Philox) Clone() Source {
	c := *p
	return &c
}

// Format writes the generator's name and never its key, whatever the verb.
func (p *Philox) Format(s fmt.State, _ rune) { fmt.Fprint(s, "philox-v1") }

// Multipliers and Weyl increments of Philox4x32: the paper's table 2.
const (
	philoxM0 = 0xD2511F53
	philoxM1 = 0xCD9E8D57
	philoxW0 = 0x9E3779B9
	philoxW1 = 0xBB67AE85
)

// philox10 is ten rounds of Philox4x32 on one counter.
func philox10(c [4]uint32, k0, k1 uint32) [4]uint32 {
	c0, c1, c2, c3 := c[0], c[1], c[2], c[3]
	for range 10 {
		h0, l0 := bits.Mul32(philoxM0, c0)
		h1, l1 := bits.Mul32(philoxM1, c2)
		c0, c1, c2, c3 = h1^c1^k0, l1, h0^c3^k1, l0
		k0 += philoxW0
		k1 += philoxW1
	}
	return [4]uint32{c0, c1, c2, c3}
}
