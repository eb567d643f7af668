package prf

import (
	"encoding/binary"
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
	stream []byte // the last Stream
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
	for o := 0; o < len(window); o += 4 {
		for i := range s {
			word := ^uint32(i)
			if o+i < len(window) {
				word = uint32(window[o+i])
			}
			s[i] ^= word
		}
		s = philox10(s, p.k0^uint32(o), p.k1)
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

// Stream takes a block for every four tokens.
func (p *Philox) Stream(vocab int) []byte {
	if vocab <= 0 {
		return nil
	}
	blocks := (vocab + 3) / 4
	if cap(p.stream) < 16*blocks {
		p.stream = make([]byte, 16*blocks)
	}
	s := p.stream[:16*blocks]
	for n := range blocks {
		w := p.block(uint32(n))
		out := s[16*n : 16*n+16]
		binary.LittleEndian.PutUint64(out, uint64(w[1])<<32|uint64(w[0]))
		binary.LittleEndian.PutUint64(out[8:], uint64(w[3])<<32|uint64(w[2]))
	}
	return s[:4*vocab]
}

// Clone returns an independent copy.
func (p *Philox) Clone() Source {
	c := *p
	c.stream = nil
	return &c
}

// Format writes the generator's name and never its key, whatever the verb.
func (p *Philox) Format(s fmt.State, _ rune) { fmt.Fprint(s, "philox-v1") }

// philox10 is ten rounds of Philox4x32 on one counter. Multipliers and Weyl
// increments are those of the paper's table 2.
func philox10(c [4]uint32, k0, k1 uint32) [4]uint32 {
	c0, c1, c2, c3 := c[0], c[1], c[2], c[3]
	for range 10 {
		h0, l0 := bits.Mul32(0xD2511F53, c0)
		h1, l1 := bits.Mul32(0xCD9E8D57, c2)
		c0, c1, c2, c3 = h1^c1^k0, l1, h0^c3^k1, l0
		k0 += 0x9E3779B9
		k1 += 0xBB67AE85
	}
	return [4]uint32{c0, c1, c2, c3}
}
