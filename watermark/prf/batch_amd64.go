package prf

import "crypto/aes"

// batchCipher encrypts eight blocks at a time with the machine's AES
// instructions, and without them one by one.
type batchCipher struct {
	blockCipher
	keys [11 * aes.BlockSize]byte // round keys
	fast bool
}

func (c *batchCipher) set(key *[16]byte) {
	if c.fast = hasAES(); !c.fast {
		c.blockCipher.set(key)
		return
	}
	aesExpand(key, &c.keys)
}

// encrypt also changes what follows the blocks up to a multiple of eight.
func (c *batchCipher) encrypt(data *[batchChunk * aes.BlockSize]byte, blocks int) {
	if !c.fast {
		c.blockCipher.encrypt(data, blocks)
		return
	}
	if blocks > 0 {
		aesEncrypt8(&c.keys, data, (blocks+7)/8)
	}
}

// hasAES reports whether the machine has AES-NI.
func hasAES() bool

// aesExpand is the key schedule of AES-128 (FIPS 197, 5.2).
//
//go:noescape
func aesExpand(key *[16]byte, keys *[11 * aes.BlockSize]byte)

// aesEncrypt8 encrypts groups of eight blocks in place. There is at least one.
//
//go:noescape
func aesEncrypt8(keys *[11 * aes.BlockSize]byte, data *[batchChunk * aes.BlockSize]byte, groups int)
