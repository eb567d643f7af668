package prf

import "fmt"

// SBW is the generator under vLLM's Stateless Bernoulli Watermark (Ceppi and
// Sanchez, arXiv:2609.03844; vllm-project/vllm, vllm/v1/watermarking/sbw.py at
// d6d2f2c of pull request 56859). A seed gives
// word t mod 4 of Philox4x32-10 under the seed's halves and the counter
// (t/4, 0, 0, 0); token t is green when the word's low 31 bits are below
// int(gamma * (2^31-1)). With products and sums wrapped to 64 bits, h the
// [JenkinsMix] and the window c_1 .. c_w (the last w generated tokens, -1
// where there are none yet):
//
//	lefthash: seed = K * (c_1 + ... + c_w)
//	selfhash: seed = min(K*h(c_2)*h(t), ..., K*h(c_w)*h(t), K*h(t)*h(t)), signed
//
// selfhash never looks at c_1. At caaac7c the lefthash detector sums h(c_i)
// where the generator sums c_i, so vLLM's own detector cannot read that text;
// this is the generator's rule.
//
// An integer hash and a statistical generator make no PRF: a result is exact if
// they behave as random.
type SBW struct {
	key    int64
	self   bool
	seed   int64   // lefthash
	window []int64 // selfhash: h(c_2) .. h(c_w)
}

// NewSBW returns the source under a 64-bit key: selfhash, or lefthash.
func NewSBW(key uint64, selfhash bool) *SBW {
	return &SBW{key: int64(key), self: selfhash}
}

// SetWindow absorbs the window.
func (b *SBW) SetWindow(window []int32) {
	b.seed = 0
	b.window = b.window[:0]
	for i, id := range window {
		b.seed += int64(id)
		if i > 0 {
			b.window = append(b.window, int64(JenkinsMix(id)))
		}
	}
	b.seed *= b.key
}

// seedOf is the seed that decides on a token.
func (b *SBW) seedOf(token int32) int64 {
	if !b.self {
		return b.seed
	}
	h := int64(JenkinsMix(token))
	seed := b.key * h * h
	for _, c := range b.window {
		seed = min(seed, b.key*(c*h))
	}
	return seed
}

// Word is one Philox block.
func (b *SBW) Word(token int32) uint32 {
	seed := b.seedOf(token)
	return philox10([4]uint32{uint32(token) / 4}, uint32(seed), uint32(seed>>32))[uint32(token)%4]
}

// Words takes a block for every four tokens, under selfhash one for each.
func (b *SBW) Words(first int32, words []uint32) {
	checkFirst(first)
	if b.self {
		for i := range words {
			words[i] = b.Word(first + int32(i))
		}
		return
	}
	for n := uint32(first) >> 2; len(words) > 0; n++ {
		v := philox10([4]uint32{n}, uint32(b.seed), uint32(b.seed>>32))
		words = words[copy(words, v[:]):]
	}
}

// Clone returns an independent copy.
func (b *SBW) Clone() Source {
	c := *b
	c.window = append([]int64(nil), b.window...)
	return &c
}

// Format writes the generator's name and never its key, whatever the verb.
func (b *SBW) Format(s fmt.State, _ rune) {
	if b.self {
		fmt.Fprint(s, "vllm-sbw-selfhash")
		return
	}
	fmt.Fprint(s, "vllm-sbw-lefthash")
}

// JenkinsMix is the SBW hash of a token id: an integer hash from Jenkins'
// collection (burtleburtle.net/bob/hash/integer.html) of id+1 in wrapping
// signed 32-bit arithmetic, where right shifts keep the sign.
func JenkinsMix(id int32) int32 {
	i := id + 1
	i -= i << 6
	i ^= i >> 17
	i -= i << 9
	i ^= i << 4
	i -= i << 3
	i ^= i << 10
	i ^= i >> 15
	return i
}
