package prf

import (
	"crypto/aes"
	"crypto/fips140"
	"sync"
)

// aes128 is AES-128 under one key in the three shapes that this package needs: a
// single block, many blocks in place, and the words of consecutive counter blocks.
// It uses the machine's AES instructions directly, because crypto/cipher has no
// counter mode without an allocation for each window, and no way at all to
// encrypt independent blocks side by side, which takes a fifth of the time.
// Without these instructions, and in Go's FIPS 140 mode, which is for the
// certified module alone, it goes through crypto/aes.
type aes128 struct {
	level aesLevel
	keys  roundKeys
	std   stdAES // under levelStd
}

type roundKeys [11 * aes.BlockSize]byte

// aesLevel is what the machine offers.
type aesLevel uint8

const (
	levelStd   aesLevel = iota
	levelAESNI          // AESENC: eight blocks side by side
	levelVAES           // VAESENC on 512 bits besides: 32 blocks
)

func (l aesLevel) String() string { return [...]string{stdPath, "AES-NI", "VAES"}[l] }

// levels are those that the machine has, the one in use last.
func levels() []aesLevel { return []aesLevel{levelStd, levelAESNI, levelVAES}[:machineLevel()+1] }

var machineLevel = sync.OnceValue(func() aesLevel {
	const (
		aesni, sse41, osxsave = 1 << 25, 1 << 19, 1 << 27 // leaf 1, ECX
		avx512f, avx512bw     = 1 << 16, 1 << 30          // leaf 7, EBX
		vaes                  = 1 << 9                    // leaf 7, ECX
		zmmState              = 0xe6                      // XCR0: SSE, AVX and the three parts of AVX-512
	)
	_, _, c := cpuid(1)
	if c&aesni == 0 || c&sse41 == 0 || fips140.Enabled() {
		return levelStd
	}
	if highest, _, _ := cpuid(0); highest < 7 || c&osxsave == 0 || xgetbv()&zmmState != zmmState {
		return levelAESNI
	}
	if _, b, c := cpuid(7); b&avx512f == 0 || b&avx512bw == 0 || c&vaes == 0 {
		return levelAESNI
	}
	return levelVAES
})

func (c *aes128) set(key *[16]byte) { c.setLevel(key, machineLevel()) }

func (c *aes128) setLevel(key *[16]byte, level aesLevel) {
	if c.level = level; level == levelStd {
		c.std.set(key)
		return
	}
	aesExpand(key, &c.keys)
}

// encrypt is one block, given and returned as its little-endian halves.
func (c *aes128) encrypt(lo, hi uint64) (uint64, uint64) {
	if c.level == levelStd {
		return c.std.encrypt(lo, hi)
	}
	return aesEncrypt1(&c.keys, lo, hi)
}

// encryptBlocks encrypts the first n blocks in place; what follows them up to a
// multiple of eight changes too.
func (c *aes128) encryptBlocks(data *blocks, n int) {
	if c.level == levelStd {
		c.std.encryptBlocks(data, n)
		return
	}
	done := 0
	if groups := n / 32; groups > 0 && c.level == levelVAES {
		aesEncrypt32(&c.keys, &data[0], groups)
		done = 32 * groups
	}
	if done < n {
		aesEncrypt8(&c.keys, &data[done], (n-done+7)/8)
	}
}

// counter fills words with the key stream of the counter blocks N || first,
// N || first+1, ...: N is lo and the low half of hi, the counter big-endian.
func (c *aes128) counter(lo, hi uint64, first uint32, words []uint32) {
	if c.level == levelStd {
		c.std.counter(lo, hi, first, words)
		return
	}
	if groups := len(words) / 128; groups > 0 && c.level == levelVAES {
		aesCounter32(&c.keys, lo, uint32(hi), first, &words[0], groups)
		first, words = first+uint32(32*groups), words[128*groups:]
	}
	if groups := len(words) / 32; groups > 0 {
		aesCounter8(&c.keys, lo, uint32(hi), first, &words[0], groups)
		first, words = first+uint32(8*groups), words[32*groups:]
	}
	if len(words) > 0 {
		var last [32]uint32
		aesCounter8(&c.keys, lo, uint32(hi), first, &last[0], 1)
		copy(words, last[:])
	}
}

// detach lets go of what a copy shares with its original, apart from the key.
func (c *aes128) detach() { c.std.detach() }

// cpuid is the CPUID instruction at sub-leaf 0.
func cpuid(leaf uint32) (eax, ebx, ecx uint32)

// xgetbv is the low half of XCR0.
func xgetbv() uint32

// aesExpand is the key schedule of AES-128 (FIPS 197, 5.2).
//
//go:noescape
func aesExpand(key *[16]byte, keys *roundKeys)

//go:noescape
func aesEncrypt1(keys *roundKeys, lo, hi uint64) (outLo, outHi uint64)

// aesEncrypt8 and aesEncrypt32 encrypt groups of 8 or 32 blocks in place;
// aesCounter8 and aesCounter32 write the key stream of such groups. There is at
// least one group.
//
//go:noescape
func aesEncrypt8(keys *roundKeys, data *[2]uint64, groups int)

//go:noescape
func aesEncrypt32(keys *roundKeys, data *[2]uint64, groups int)

//go:noescape
func aesCounter8(keys *roundKeys, lo uint64, hi, first uint32, words *uint32, groups int)

//go:noescape
func aesCounter32(keys *roundKeys, lo uint64, hi, first uint32, words *uint32, groups int)
