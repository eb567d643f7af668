package prf

import (
	"fmt"
	"math"
	"math/bits"
)

// nonceTag is the first byte of every CBC-MAC input of aes-ctr-v1. It is the
// version of the construction: another layout gets another tag, so that no
// input of one can be an input of the other under a shared key.
const nonceTag = 1

// AESCTR is aes-ctr-v1. With E the AES-128 encryption of one block and all
// integers little-endian unless said otherwise:
//
//	N(window) = first 12 bytes of CBC-MAC_Kn(u32(tag<<24 | len) || u32 ids..., zero padded)
//	W(window, t) = u32 number t mod 4 of E_Kt(N || big-endian u32(t/4))
//
// The length stands first, which makes the MAC's inputs prefix-free, and
// CBC-MAC over prefix-free inputs is a PRF (Petrank and Rackoff, J. Cryptology
// 13, 2000). The words of tokens 0, 1, 2, ... are the counter-mode key stream with
// initial counter block N || 0.
type AESCTR struct {
	nonce, token aes128
	lo, hi       uint64    // N: the first 12 bytes of a counter block, little-endian
	block        uint32    // the counter whose output is in out
	valid        bool      // out holds that output
	out          [2]uint64 // four words
}

// NewAESCTR returns the source under the two 128-bit subkeys: kn for the
// nonce of a window, kt for the tokens.
func NewAESCTR(kn, kt [16]byte) *AESCTR {
	a := &AESCTR{}
	a.nonce.set(&kn)
	a.token.set(&kt)
	a.SetWindow(nil)
	return a
}

// SetWindow computes the window's nonce: one AES block up to 3 tokens, two up
// to 7. Windows of 2^24 tokens and more panic.
func (a *AESCTR) SetWindow(window []int32) {
	a.lo, a.hi = windowMAC(&a.nonce, window)
	a.hi &= math.MaxUint32
	a.valid = false
}

// windowMAC is the CBC-MAC of a window, as little-endian halves.
func windowMAC(c *aes128, window []int32) (lo, hi uint64) {
	if len(window) >= 1<<24 {
		panic("prf: context window of 2^24 tokens or more")
	}
	state := [2]uint64{uint64(nonceTag<<24 | len(window))}
	at := 1
	for _, id := range window {
		if at == 4 {
			state[0], state[1] = c.encrypt(state[0], state[1])
			at = 0
		}
		state[at>>1] ^= uint64(uint32(id)) << (32 * (at & 1))
		at++
	}
	return c.encrypt(state[0], state[1])
}

// Word is one AES block; the other three tokens of the block come free.
func (a *AESCTR) Word(token int32) uint32 {
	t := uint32(token)
	if block := t >> 2; !a.valid || block != a.block {
		a.out[0], a.out[1] = a.token.encrypt(a.lo, a.hi|uint64(bits.ReverseBytes32(block))<<32)
		a.block, a.valid = block, true
	}
	return uint32(a.out[t>>1&1] >> (32 * (t & 1)))
}

// Words is the key stream from counter first/4. Without AES instructions of the
// machine, or in FIPS 140 mode, it allocates half a kilobyte for each window.
func (a *AESCTR) Words(first int32, words []uint32) {
	checkFirst(first)
	a.token.counter(a.lo, a.hi, uint32(first)>>2, words)
}

// Clone shares the key schedules, which are read-only, and nothing else.
func (a *AESCTR) Clone() Source {
	c := *a
	c.nonce.detach()
	c.token.detach()
	return &c
}

// Format writes the generator's name and never its keys, whatever the verb.
func (a *AESCTR) Format(s fmt.State, _ rune) { fmt.Fprint(s, "aes-ctr-v1") }
