package prf

import (
	"crypto/aes"
	"crypto/subtle"
	"encoding/binary"
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
	nonce, token aes128
	nonces, ctr  [batchChunk * aes.BlockSize]byte
	words        [batchChunk]uint32
}

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
			part := mac[int(first)*aes.BlockSize:][:windows*aes.BlockSize]
			if block == 0 {
				copy(r.nonces[:], part)
			} else {
				subtle.XORBytes(r.nonces[:], r.nonces[:len(part)], part)
			}
			r.nonce.encryptBlocks(&r.nonces, windows)
		}
		for i, token := range tokens {
			n := r.nonces[int(window[i]-first)*aes.BlockSize:]
			c := r.ctr[i*aes.BlockSize:]
			hi := uint64(binary.LittleEndian.Uint32(n[8:])) | uint64(bits.ReverseBytes32(uint32(token)>>2))<<32
			binary.LittleEndian.PutUint64(c, binary.LittleEndian.Uint64(n))
			binary.LittleEndian.PutUint64(c[8:], hi)
		}
		r.token.encryptBlocks(&r.ctr, len(tokens))
		words := r.words[:len(tokens)]
		for i, token := range tokens {
			words[i] = binary.LittleEndian.Uint32(r.ctr[i*aes.BlockSize+4*int(token&3):])
		}
		yield(from, words)
	}
}
