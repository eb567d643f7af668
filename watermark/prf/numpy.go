package prf

import (
	"crypto/sha256"
	"encoding/binary"
	"math/bits"
)

// numPy is numpy's default_rng(seed) for a non-negative integer seed below 2^64:
// PCG64 (O'Neill's PCG XSL RR 128/64) seeded through SeedSequence, checked on
// numpy 1.24.2 (numpy/random/_pcg64.pyx, bit_generator.pyx).
type numPy struct {
	hi, lo       uint64 // state
	incHi, incLo uint64
	spare        uint32 // the high half of a split output
	hasSpare     bool
}

// newNumPy returns default_rng(seed).
func newNumPy(seed uint64) *numPy {
	w := seedSequence(seed)
	// The stream number is doubled and made odd; the state takes one step from
	// zero, the seed, and another step.
	g := &numPy{incHi: w[2]<<1 | w[3]>>63, incLo: w[3]<<1 | 1}
	g.step()
	var carry uint64
	g.lo, carry = bits.Add64(g.lo, w[1], 0)
	g.hi, _ = bits.Add64(g.hi, w[0], carry)
	g.step()
	return g
}

// step is state*M + increment modulo 2^128, M of O'Neill's reference code.
func (g *numPy) step() {
	const mulHi, mulLo = 2549297995355413924, 4865540595714422341
	hi, lo := bits.Mul64(g.lo, mulLo)
	hi += g.hi*mulLo + g.lo*mulHi
	var carry uint64
	g.lo, carry = bits.Add64(lo, g.incLo, 0)
	g.hi, _ = bits.Add64(hi, g.incHi, carry)
}

// uint32 is the low and then the high half of a 64-bit output.
func (g *numPy) uint32() uint32 {
	if g.hasSpare {
		g.hasSpare = false
		return g.spare
	}
	g.step()
	v := bits.RotateLeft64(g.hi^g.lo, -int(g.hi>>58))
	g.spare, g.hasSpare = uint32(v>>32), true
	return uint32(v)
}

// shuffle is Generator.shuffle of a one-dimensional array of n entries, n at
// most 2^32: for i from n-1 to 1 it calls swap(i, j) with j random in 0..i. The
// number comes of random_interval: 32-bit outputs, cut to as many bits as i has,
// until one is not above i.
func (g *numPy) shuffle(n int, swap func(i, j int)) {
	for i := n - 1; i > 0; i-- {
		mask := uint32(1)<<bits.Len32(uint32(i)) - 1
		j := g.uint32() & mask
		for j > uint32(i) {
			j = g.uint32() & mask
		}
		swap(i, int(j))
	}
}

// seedSequence is SeedSequence(seed).generate_state(4, uint64) with the pool of
// four words; the constants are numpy's.
func seedSequence(seed uint64) [4]uint64 {
	hash := uint32(0x43b0d7e5)
	mix := func(v uint32) uint32 {
		v ^= hash
		hash *= 0x931e8875
		v *= hash
		return v ^ v>>16
	}
	merge := func(x, y uint32) uint32 {
		v := 0xca01f9dd*x - 0x4973f715*y
		return v ^ v>>16
	}
	pool := [4]uint32{uint32(seed), uint32(seed >> 32)}
	for i := range pool {
		pool[i] = mix(pool[i])
	}
	for from := range pool {
		for to := range pool {
			if from != to {
				pool[to] = merge(pool[to], mix(pool[from]))
			}
		}
	}
	var state [4]uint64
	hash = 0x8b51f9dd
	for i := range 8 {
		v := pool[i%4] ^ hash
		hash *= 0x58f38ded
		v *= hash
		v ^= v >> 16
		state[i/2] |= uint64(v) << (i % 2 * 32)
	}
	return state
}

// UnigramMask is MarkLLM's Unigram green list (THU-BPM/MarkLLM 112fa74,
// watermark/unigram): bit token%64 of word token/64 is set for the green tokens
// of a vocabulary. int(gamma*vocab) places are green before a shuffle by numpy's
// default_rng of the first four bytes, little-endian, of SHA-256 of the key as a
// little-endian int64. The list is one for all contexts.
func UnigramMask(key int64, gamma float64, vocab int) []uint64 {
	digest := sha256.Sum256(binary.LittleEndian.AppendUint64(nil, uint64(key)))
	mask := make([]uint64, (vocab+63)/64)
	for t := range int(gamma * float64(vocab)) {
		mask[t/64] |= 1 << (t % 64)
	}
	g := newNumPy(uint64(binary.LittleEndian.Uint32(digest[:])))
	g.shuffle(vocab, func(i, j int) {
		if differ := (mask[i/64]>>(i%64) ^ mask[j/64]>>(j%64)) & 1; differ == 1 {
			mask[i/64] ^= 1 << (i % 64)
			mask[j/64] ^= 1 << (j % 64)
		}
	})
	return mask
}
