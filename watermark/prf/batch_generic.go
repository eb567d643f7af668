package prf

import (
	"crypto/aes"
	"crypto/cipher"
)

// blockCipher encrypts a batch's blocks one by one through crypto/aes.
type blockCipher struct{ block cipher.Block }

func (c *blockCipher) set(key *[16]byte) {
	block, err := aes.NewCipher(key[:])
	if err != nil {
		panic("prf: " + err.Error()) // 16 bytes are always a valid key
	}
	c.block = block
}

func (c *blockCipher) encrypt(data *[batchChunk * aes.BlockSize]byte, blocks int) {
	for i := range blocks {
		b := data[i*aes.BlockSize : (i+1)*aes.BlockSize]
		c.block.Encrypt(b, b)
	}
}
