package prf

import (
	"crypto/aes"
	"encoding/binary"
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
	window []int32  // number of each pair's window, not descending
	mac    [][]byte // per block of the CBC-MAC: that block of every window
}

// batchChunk is the number of pairs that are read together: their blocks and
// those of their windows, 4 KiB each, stay in the first cache.
const batchChunk = 256

// NewBatch prepares pairs of stride-1 window ids and a token each, which lie one
// after another in flat. Pairs of one window should be neighbours: a window's
// nonce is then computed once.
func NewBatch(stride int, flat []int32) *Batch {
	h := stride - 1
	b := &Batch{mac: make([][]byte, (h+1+3)/4)}
	var last []int32
	for i := 0; i < len(flat); i += stride {
		window := flat[i : i+h]
		if i == 0 || !slices.Equal(window, last) {
			b.add(window)
			last = window
		}
		b.tokens = append(b.tokens, flat[i+h])
		b.window = append(b.window, int32(len(b.mac[0])/aes.BlockSize-1))
	}
	return b
}

// add lays out the blocks that a window's MAC absorbs; see [AESCTR.SetWindow].
func (b *Batch) add(window []int32) {
	var words [4]uint32
	words[0] = nonceTag<<24 | uint32(len(window))
	at := 1
	for block := range b.mac {
		for ; at < 4 && len(window) > 0; at++ {
			words[at], window = uint32(window[0]), window[1:]
		}
		for _, w := range words {
			b.mac[block] = binary.LittleEndian.AppendUint32(b.mac[block], w)
		}
		words, at = [4]uint32{}, 0
	}
}

// Len is the number of pairs.
func (b *Batch) Len() int { return len(b.tokens) }

// BatchReader is scratch space for reading batches.
type BatchReader struct {
	nonce, token batchCipher
	nonces, ctr  [batchChunk * aes.BlockSize]byte
	words        [batchChunk]uint32
}

// Read calls yield with the words of all pairs in their order, some at a time,
// under the subkeys of [NewAESCTR]. The slice is valid until yield returns.
func (r *BatchReader) Read(b *Batch, kn, kt [16]byte, yield func(from int, words []uint32)) {
	r.nonce.set(&kn)
	r.token.set(&kt)
	for from := 0; from < len(b.tokens); from += batchChunk {
		to := min(from+batchChunk, len(b.tokens))
		first := int(b.window[from])
		windows := int(b.window[to-1]) + 1 - first
		for block, mac := range b.mac {
			part := mac[first*aes.BlockSize : (first+windows)*aes.BlockSize]
			if block == 0 {
				copy(r.nonces[:], part)
			} else {
				for i, x := range part {
					r.nonces[i] ^= x
				}
			}
			r.nonce.encrypt(&r.nonces, windows)
		}
		for i, token := range b.tokens[from:to] {
			n := (int(b.window[from+i]) - first) * aes.BlockSize
			c := r.ctr[i*aes.BlockSize : (i+1)*aes.BlockSize]
			copy(c, r.nonces[n:n+12])
			binary.BigEndian.PutUint32(c[12:], uint32(token)>>2)
		}
		r.token.encrypt(&r.ctr, to-from)
		for i, token := range b.tokens[from:to] {
			r.words[i] = binary.LittleEndian.Uint32(r.ctr[i*aes.BlockSize+4*int(token&3):])
		}
		yield(from, r.words[:to-from])
	}
}
