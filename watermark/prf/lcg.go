package prf

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/bits"
)

// SynthIDTableSize is the number of entries of a [SynthIDTable].
const SynthIDTableSize = 1 << 16

// SynthIDTable is the sampling table of SynthID Text as Hugging Face
// transformers and google-deepmind/synthid-text up to v0.2 (37fa9b2) have it:
// torch.randint(0, 2, (65536,)) of a generator with a fixed seed, on the model's
// device. A text is read with the table of the device that wrote it: those of
// seed 0 on a CPU (32743 ones) and on CUDA (32787) agree on half their entries.
type SynthIDTable [SynthIDTableSize / 64]uint64

// NewSynthIDTable is the table that a CPU draws: outputs of [MT19937] modulo 2.
func NewSynthIDTable(seed uint64) *SynthIDTable {
	m := NewMT19937(seed)
	s := new(SynthIDTable)
	for i := range SynthIDTableSize {
		s[i/64] |= uint64(m.IntN(2)) << (i % 64)
	}
	return s
}

// NewCUDASynthIDTable is the table that a CUDA device with so many resident
// threads draws, a multiple of 256; all with at least 65536 agree. It is DERIVED
// from pytorch's source and HAS NOT BEEN RUN AGAINST HARDWARE: thread t of the T
// that draw makes entries t, t+T, t+2T and t+3T from one Philox4x32-10 block
// with the seed as key and the counter (0, 0, t, 0).
func NewCUDASynthIDTable(seed uint64, resident int) *SynthIDTable {
	threads := cudaThreads(SynthIDTableSize, resident)
	s := new(SynthIDTable)
	for i := range SynthIDTableSize {
		block, t := i/threads, i%threads
		w := philox10([4]uint32{uint32(block / 4), 0, uint32(t), 0}, uint32(seed), uint32(seed>>32))
		s[i/64] |= uint64(w[block%4]&1) << (i % 64)
	}
	return s
}

// Bit is entry i mod 65536, 0 or 1.
func (s *SynthIDTable) Bit(i uint64) uint64 {
	i %= SynthIDTableSize
	return s[i/64] >> (i % 64) & 1
}

// MaxSynthIDLayers is the most layer keys that a [SynthID] takes: its g-values
// are the bits of one word.
const MaxSynthIDLayers = 64

// SynthID computes the g-values of SynthID Text (Dathathri et al., Nature 634,
// 2024) from the hash that the released implementations share. With
//
//	f(h, d) = (h + d) * 6364136223846793005 + 1
//
// in wrapping signed 64-bit arithmetic, a window t_1 .. t_H and the token t, the
// key of layer l is K_l = f(f(... f(f(IV, t_1), t_2) ..., t), k_l). Then
//
//   - with a table (transformers 00857b6, synthid-text v0.2 37fa9b2): IV = 1 and
//     g_l is entry K_l mod 65536;
//   - without one (synthid-text v0.2.1, addb4a1, of June 2025): IV is SHA-256 of
//     the layer keys as little-endian int64, read big-endian, mod 2^63-1; twelve
//     times K_l = f(K_l, 1) >> 5, keeping the sign; g_l is bit 30 of K_l.
//
// Neither is a PRF. With a table g depends on the low 16 bits of every input
// alone: at most 65536 vectors exist and tokens 65536 apart are alike. Without
// one the layers are correlated, and the variance of a sum of 30 is that of
// fair coins only to within several per cent, by the keys.
//
// A SynthID is not safe for concurrent use; it is copied by Clone.
type SynthID struct {
	keys    []int64 // shared by clones
	table   *SynthIDTable
	iv      uint64
	context uint64
}

// lcgMultiplier is Knuth's MMIX multiplier.
const lcgMultiplier = 6364136223846793005

func lcg(h, d uint64) uint64 { return (h+d)*lcgMultiplier + 1 }

// NewSynthID returns the generator under the layer keys, in layer order, with a
// table or, when table is nil, by the rule of synthid-text v0.2.1. It panics
// unless there are 1 to 64 keys.
func NewSynthID(keys []int64, table *SynthIDTable) *SynthID {
	if len(keys) < 1 || len(keys) > MaxSynthIDLayers {
		panic(fmt.Sprintf("prf: NewSynthID of %d layer keys, need 1 to %d", len(keys), MaxSynthIDLayers))
	}
	g := &SynthID{keys: append([]int64(nil), keys...), table: table, iv: 1}
	if table == nil {
		g.iv = synthIDIV(keys)
	}
	g.SetWindow(nil)
	return g
}

// synthIDIV is the initial hash of synthid-text v0.2.1.
func synthIDIV(keys []int64) uint64 {
	var b []byte
	for _, k := range keys {
		b = binary.LittleEndian.AppendUint64(b, uint64(k))
	}
	var iv uint64
	for _, c := range sha256.Sum256(b) {
		hi, lo := bits.Mul64(iv, 256)
		_, iv = bits.Div64(hi, lo|uint64(c), 1<<63-1)
	}
	return iv
}

// SetWindow absorbs the context window of ngram_len-1 tokens. At the start of a
// text the released implementations put zeros where there are no tokens.
func (g *SynthID) SetWindow(window []int32) {
	h := g.iv
	for _, t := range window {
		h = lcg(h, uint64(int64(t)))
	}
	g.context = h
}

// Context is the hash of the window, by which the implementations recognise a
// repeated one.
func (g *SynthID) Context() int64 { return int64(g.context) }

// G is the g-values of a token under the window: bit l is that of layer l.
func (g *SynthID) G(token int32) uint64 {
	h := lcg(g.context, uint64(int64(token)))
	var values uint64
	for l, key := range g.keys {
		k := lcg(h, uint64(key))
		if g.table != nil {
			values |= g.table.Bit(k) << l
			continue
		}
		for range 12 {
			k = uint64(int64(lcg(k, 1)) >> 5)
		}
		values |= k >> 30 & 1 << l
	}
	return values
}

// Clone returns an independent copy.
func (g *SynthID) Clone() *SynthID {
	c := *g
	return &c
}

// Format writes the generator's name and never its keys, whatever the verb.
func (g *SynthID) Format(s fmt.State, _ rune) {
	if g.table == nil {
		fmt.Fprint(s, "synthid-hash")
		return
	}
	fmt.Fprint(s, "synthid-table")
}
