package prf

import (
	"fmt"
	"math/bits"
)

// Murmur3 is the generator under SGLang's Gumbel watermark (sgl-project/sglang
// 131c491, python/sglang/srt/sampling/watermark.py): MurmurHash3_x86_32 with
// seed 0 over 32-bit words,
//
//	context  = Murmur3(window)
//	W(window, t) = Murmur3(key low, key high, context, t)
//
// The window has its real length: up to w tokens, the prompt's tail among them,
// and no padding. SGLang's uniform is (W+0.5)/2^32; it compares contexts by
// their hash when it looks for repeats.
//
// MurmurHash3 is a hash for tables and not a PRF: a result under it is exact if
// the hash behaves as random.
type Murmur3 struct {
	key     uint64
	context uint32
	state   uint32 // after key and context
}

// NewMurmur3 returns the source under SGLang's key, at most 16 hexadecimal
// digits read as an unsigned number.
func NewMurmur3(key uint64) *Murmur3 {
	m := &Murmur3{key: key}
	m.SetWindow(nil)
	return m
}

// SetWindow absorbs the window.
func (m *Murmur3) SetWindow(window []int32) {
	var h uint32
	for _, id := range window {
		h = murmurMix(h, uint32(id))
	}
	m.context = murmurFinish(h ^ uint32(4*len(window)))
	h = murmurMix(murmurMix(0, uint32(m.key)), uint32(m.key>>32))
	m.state = murmurMix(h, m.context)
}

// Context is the hash of the window alone.
func (m *Murmur3) Context() uint32 { return m.context }

// Word mixes one token in.
func (m *Murmur3) Word(token int32) uint32 {
	return murmurFinish(murmurMix(m.state, uint32(token)) ^ 16)
}

// Words mixes them in one by one.
func (m *Murmur3) Words(first int32, words []uint32) {
	checkFirst(first)
	for i := range words {
		words[i] = m.Word(first + int32(i))
	}
}

// Clone returns an independent copy.
func (m *Murmur3) Clone() Source {
	c := *m
	return &c
}

// Format writes the generator's name and never its key, whatever the verb.
func (m *Murmur3) Format(s fmt.State, _ rune) { fmt.Fprint(s, "sglang-murmur3") }

// murmurMix is the body of MurmurHash3_x86_32 (Appleby, public domain).
func murmurMix(h, k uint32) uint32 {
	k = bits.RotateLeft32(k*0xcc9e2d51, 15) * 0x1b873593
	return bits.RotateLeft32(h^k, 13)*5 + 0xe6546b64
}

// murmurFinish is its finaliser fmix32.
func murmurFinish(h uint32) uint32 {
	h = (h ^ h>>16) * 0x85ebca6b
	h = (h ^ h>>13) * 0xc2b2ae35
	return h ^ h>>16
}
