package prf

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
)

// stdPath names it.
const stdPath = "crypto/aes"

// stdAES does the work of aes128 through crypto/aes, on every machine.
type stdAES struct {
	block cipher.Block
	buf   [aes.BlockSize]byte // what passes through an interface would escape
	// The stream of the last counter, and where it stands: a vocabulary that is
	// asked for in pieces takes one stream, hence one allocation of half a
	// kilobyte for each window.
	stream cipher.Stream
	lo, hi uint64
	next   uint32
	bytes  []byte
}

func (c *stdAES) set(key *[16]byte) {
	block, err := aes.NewCipher(key[:])
	if err != nil {
		panic("prf: " + err.Error()) // 16 bytes are always a valid key
	}
	*c = stdAES{block: block}
}

func (c *stdAES) encrypt(lo, hi uint64) (uint64, uint64) {
	c.put(lo, hi)
	c.block.Encrypt(c.buf[:], c.buf[:])
	return binary.LittleEndian.Uint64(c.buf[:]), binary.LittleEndian.Uint64(c.buf[8:])
}

func (c *stdAES) put(lo, hi uint64) {
	binary.LittleEndian.PutUint64(c.buf[:], lo)
	binary.LittleEndian.PutUint64(c.buf[8:], hi)
}

func (c *stdAES) encryptBlocks(data *blocks, n int) {
	for i := range data[:n] {
		b := &data[i]
		b[0], b[1] = c.encrypt(b[0], b[1])
	}
}

func (c *stdAES) counter(lo, hi uint64, first uint32, words []uint32) {
	if c.stream == nil || c.lo != lo || c.hi != hi || c.next != first {
		c.put(lo, hi)
		binary.BigEndian.PutUint32(c.buf[12:], first)
		c.stream, c.lo, c.hi, c.next = cipher.NewCTR(c.block, c.buf[:]), lo, hi, first
	}
	n := (len(words) + 3) / 4
	if cap(c.bytes) < n*aes.BlockSize {
		c.bytes = make([]byte, n*aes.BlockSize)
	}
	b := c.bytes[:n*aes.BlockSize]
	clear(b)
	c.stream.XORKeyStream(b, b)
	c.next += uint32(n)
	for len(words) >= 4 && len(b) >= 16 {
		x, y := binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[8:])
		words[0], words[1], words[2], words[3] = uint32(x), uint32(x>>32), uint32(y), uint32(y>>32)
		words, b = words[4:], b[16:]
	}
	for i := range words {
		words[i] = binary.LittleEndian.Uint32(b[4*i:])
	}
}

func (c *stdAES) detach() { c.stream, c.bytes = nil, nil }
