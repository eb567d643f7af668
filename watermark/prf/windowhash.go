package prf

import "fmt"

// WindowHash is a keyed 64-bit hash of context windows and a PRF: the first half
// of the CBC-MAC that [AESCTR] takes a window's nonce from, little-endian,
//
//	H(window) = first 8 bytes of CBC-MAC_K(u32(1<<24 | len) || u32 ids..., zero padded).
//
// Without the key nobody tells hashes from random numbers, nor finds the window of
// one; with it both are a matter of trying windows. K must be a key of its own.
//
// It is not safe for concurrent use: give each goroutine its own.
type WindowHash struct{ c aes128 }

// NewWindowHash returns the hash under a 128-bit key.
func NewWindowHash(key [16]byte) *WindowHash {
	h := &WindowHash{}
	h.c.set(&key)
	return h
}

// Sum is the hash of a window of fewer than 2^24 tokens.
func (h *WindowHash) Sum(window []int32) uint64 {
	lo, _ := windowMAC(&h.c, window)
	return lo
}

// Format writes the hash's name and never its key, whatever the verb.
func (h *WindowHash) Format(s fmt.State, _ rune) { fmt.Fprint(s, "window hash") }
