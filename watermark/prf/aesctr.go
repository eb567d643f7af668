package prf

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"fmt"
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
	nonce, token cipher.Block
	bulk         cipher.AEAD // GCM over the token key, made by the first Stream
	// Blocks passed through the cipher.Block interface would escape to the
	// heap if they were local: the scratch lives here.
	mac    [aes.BlockSize]byte // CBC-MAC state, then its result
	ctr    [aes.BlockSize]byte // N || counter
	out    [aes.BlockSize]byte // E_Kt(ctr)
	block  uint32              // counter whose output is in out
	valid  bool                // out holds that output
	stream []byte              // the last Stream
}

// NewAESCTR returns the source under the two 128-bit subkeys: kn for the
// nonce of a window, kt for the tokens.
func NewAESCTR(kn, kt [16]byte) *AESCTR {
	n, err := aes.NewCipher(kn[:])
	if err != nil {
		panic("prf: " + err.Error()) // 16 bytes are always a valid key
	}
	t, err := aes.NewCipher(kt[:])
	if err != nil {
		panic("prf: " + err.Error())
	}
	a := &AESCTR{nonce: n, token: t}
	a.SetWindow(nil)
	return a
}

// SetWindow computes the window's nonce: one AES block up to 3 tokens, two up
// to 7. Windows of 2^24 tokens and more panic.
func (a *AESCTR) SetWindow(window []int32) {
	if len(window) >= 1<<24 {
		panic("prf: context window of 2^24 tokens or more")
	}
	clear(a.mac[:])
	binary.LittleEndian.PutUint32(a.mac[:], nonceTag<<24|uint32(len(window)))
	at := 4
	for _, id := range window {
		if at == aes.BlockSize {
			a.nonce.Encrypt(a.mac[:], a.mac[:])
			at = 0
		}
		word := a.mac[at : at+4]
		binary.LittleEndian.PutUint32(word, binary.LittleEndian.Uint32(word)^uint32(id))
		at += 4
	}
	a.nonce.Encrypt(a.mac[:], a.mac[:])
	copy(a.ctr[:12], a.mac[:12])
	a.valid = false
}

// Word is one AES block; the other three tokens of the block come free.
func (a *AESCTR) Word(token int32) uint32 {
	t := uint32(token)
	if block := t >> 2; !a.valid || block != a.block {
		binary.BigEndian.PutUint32(a.ctr[12:], block)
		a.token.Encrypt(a.out[:], a.ctr[:])
		a.block, a.valid = block, true
	}
	return binary.LittleEndian.Uint32(a.out[4*(t&3):])
}

// Stream is the key stream from counter 0.
//
// [cipher.NewCTR] is the plain way to it, but allocates half a kilobyte for
// every window. The same key stream is inside GCM, whose AEAD value is reusable:
// with a 12-byte nonce N it encrypts under the counter blocks N||2, N||3, ...
// (NIST SP 800-38D, 7.1), so sealing zeros yields all but the first two blocks.
// Its authentication tag is thrown away; computing it costs a quarter of the time.
// Go's FIPS 140-only mode refuses GCM with a chosen nonce: there it is NewCTR.
func (a *AESCTR) Stream(vocab int) []byte {
	if vocab <= 0 {
		return nil
	}
	// Whole blocks, at least the two that GCM does not give, and room for the tag.
	n := max(4*vocab+aes.BlockSize-1, 2*aes.BlockSize) &^ (aes.BlockSize - 1)
	if cap(a.stream) < n+aes.BlockSize {
		a.stream = make([]byte, n+aes.BlockSize)
	}
	s := a.stream[:n]
	clear(s)
	a.valid = false
	binary.BigEndian.PutUint32(a.ctr[12:], 0)
	if a.bulk == nil {
		a.bulk, _ = cipher.NewGCM(a.token)
	}
	if a.bulk == nil {
		cipher.NewCTR(a.token, a.ctr[:]).XORKeyStream(s, s)
		return s[:4*vocab]
	}
	a.token.Encrypt(s[:16], a.ctr[:])
	a.ctr[15] = 1
	a.token.Encrypt(s[16:32], a.ctr[:])
	a.bulk.Seal(s[32:32], a.ctr[:12], s[32:], nil)
	return s[:4*vocab]
}

// Clone shares the key schedules, which are read-only, and nothing else.
func (a *AESCTR) Clone() Source {
	c := *a
	c.stream = nil
	return &c
}

// Format writes the generator's name and never its keys, whatever the verb.
func (a *AESCTR) Format(s fmt.State, _ rune) { fmt.Fprint(s, "aes-ctr-v1") }
