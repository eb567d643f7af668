package prf

import (
	"math"
	"math/bits"
	"slices"
)

// Batch is a list of (window, token) pairs that are read under many keys of
// aes-ctr-v1: identification among accounts, decoy keys. Its words are those of
// [AESCTR]. What does not depend on the key is prepared once, and blocks are
// encrypted eight at a time, which hides the latency that one after another pays:
// where the machine has AES instructions, about a tenth of the time per pair.
//
// A Batch is read-only and safe for concurrent use; each goroutine has its own
// [BatchReader].
type Batch struct {
	tokens []int32
	window []int32       // number of each pair's window, not descending
	mac    [][][2]uint64 // per block of the CBC-MAC: that block of every window
}

// batchChunk is the number of pairs that are read together: their blocks and
// those of their windows, 4 KiB each, stay in the first cache.
const batchChunk = 256

// NewBatch prepares pairs of stride-1 window ids and a token each, which lie one
// after another in flat. Pairs of one window should be neighbours: a window's
// nonce is then computed once.
func NewBatch(stride int, flat []int32) *Batch {
	h := stride - 1
	b := &Batch{mac: make([][][2]uint64, (h+1+3)/4)}
	var last []int32
	for i := 0; i < len(flat); i += stride {
		window := flat[i : i+h]
		if i == 0 || !slices.Equal(window, last) {
			b.add(window)
			last = window
		}
		b.tokens = append(b.tokens, flat[i+h])
		b.window = append(b.window, int32(len(b.mac[0])-1))
	}
	return b
}

// add lays out the blocks that a window's MAC absorbs; see [AESCTR.SetWindow].
func (b *Batch) add(window []int32) {
	words := [2]uint64{uint64(nonceTag<<24 | len(window))}
	at := 1
	for block := range b.mac {
		for ; at < 4 && len(window) > 0; at++ {
			words[at>>1] |= uint64(uint32(window[0])) << (32 * (at & 1))
			window = window[1:]
		}
		b.mac[block] = append(b.mac[block], words)
		words, at = [2]uint64{}, 0
	}
}

// Len is the number of pairs.
func (b *Batch) Len() int { return len(b.tokens) }

// BatchReader is scratch space for reading batches.
type BatchReader struct {
	nonce, token aes128
	nonces, ctr  blocks
	words        [batchChunk]uint32
}

// blocks are AES blocks as their little-endian halves.
type blocks [batchChunk][2]uint64

// Read calls yield with the words of all pairs in their order, some at a time,
// under the subkeys of [NewAESCTR]. The slice is valid until yield returns.
func (r *BatchReader) Read(b *Batch, kn, kt [16]byte, yield func(from int, words []uint32)) {
	r.nonce.set(&kn)
	r.token.set(&kt)
	for from := 0; from < len(b.tokens); from += batchChunk {
		tokens := b.tokens[from:min(from+batchChunk, len(b.tokens))]
		window := b.window[from:][:len(tokens)]
		first := window[0]
		windows := int(window[len(window)-1]-first) + 1
		for block, mac := range b.mac {
			part := mac[first:][:windows]
			if block == 0 {
				copy(r.nonces[:], part)
			} else {
				for i, x := range part {
					n := &r.nonces[i&(batchChunk-1)] // spares the bounds check
					n[0], n[1] = n[0]^x[0], n[1]^x[1]
				}
			}
			r.nonce.encryptBlocks(&r.nonces, windows)
		}
		for i, token := range tokens {
			n, c := &r.nonces[(window[i]-first)&(batchChunk-1)], &r.ctr[i&(batchChunk-1)]
			c[0], c[1] = n[0], n[1]&math.MaxUint32|uint64(bits.ReverseBytes32(uint32(token)>>2))<<32
		}
		r.token.encryptBlocks(&r.ctr, len(tokens))
		for i, token := range tokens {
			i &= batchChunk - 1
			r.words[i] = uint32(r.ctr[i][token>>1&1] >> (32 * (token & 1)))
		}
		yield(from, r.words[:len(tokens)])
	}
}
