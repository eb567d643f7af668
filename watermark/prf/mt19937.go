package prf

// MT19937 is the Mersenne Twister (Matsumoto and Nishimura, ACM TOMACS 8, 1998)
// with the semantics of torch's CPU generator (pytorch
// aten/src/ATen/core/MT19937RNGEngine.h and DistributionsHelper.h):
//
//   - manual_seed(s) uses the low 32 bits of s alone. A negative seed is its
//     two's complement, so convert with uint64(int64(s)); 2^32 is seed 0.
//   - torch.rand of float32 is the low 24 bits of a 32-bit draw over 2^24;
//     of float64 the low 53 bits of a 64-bit draw over 2^53.
//   - A 64-bit draw is two 32-bit draws, the first one the high half.
//   - torch.randint is a draw modulo the range, without rejection.
//
// Whatever a scheme's key, 32 bits of seed mean at most 2^32 different
// sequences.
//
// Words are made lazily, 208 at a time. No method allocates. An MT19937
// is not safe for concurrent use; a copy by value is an independent generator
// in the same state.
type MT19937 struct {
	history [(mtN + mtSlide*mtChunk) / 2]uint64 // untempered words in pairs, the earlier one low
	at      int                                 // history[at : at+mtN/2] is the state
	words   [mtChunk / 2]uint64                 // the chunk being handed out, tempered, in pairs
	next    int                                 // words from here on are still to be handed out
}

// The generator's parameters: table II of the paper, mt19937.
const (
	mtN     = 624        // n: words of state
	mtM     = 397        // m: distance of the middle word
	mtA     = 0x9908b0df // a: bottom row of the twist matrix
	mtUpper = 0x80000000 // r = 31: one upper bit ...
	mtLower = 0x7fffffff // ... and 31 lower ones
	mtB     = 0x9d2c5680 // tempering mask b
	mtC     = 0xefc60000 // tempering mask c
	mtF     = 1812433253 // initialisation multiplier of the 2002 reference code
)

const (
	// mtChunk is how many words are made at once: at most mtN - mtM = 227, so
	// that no word of a chunk depends on another, and a multiple of 4.
	mtChunk = 208
	// mtSlide is after how many chunks the state moves back to the front of
	// the history: often enough to stay in 8 kB of cache, seldom enough for
	// the move to cost nothing.
	mtSlide = 6
)

// NewMT19937 returns a generator after torch's manual_seed(int64(seed)).
func NewMT19937(seed uint64) *MT19937 {
	m := new(MT19937)
	m.Seed(seed)
	return m
}

// Seed restarts the generator as manual_seed does: low 32 bits only.
func (m *MT19937) Seed(seed uint64) {
	x := uint32(seed)
	low := x
	for i := uint32(1); i < mtN; i += 2 {
		x = mtF*(x^x>>30) + i
		m.history[i/2] = uint64(x)<<32 | uint64(low)
		x = mtF*(x^x>>30) + i + 1
		low = x
	}
	m.at = 0
	m.next = mtChunk
}

// Uint32 is the next 32-bit output.
func (m *MT19937) Uint32() uint32 {
	if m.next == mtChunk {
		m.chunk()
		m.next = 0
	}
	w := uint32(m.words[m.next/2] >> (m.next % 2 * 32))
	m.next++
	return w
}

// Uint64 is torch's random64: two 32-bit outputs, the first one high.
func (m *MT19937) Uint64() uint64 {
	high := m.Uint32()
	return uint64(high)<<32 | uint64(m.Uint32())
}

// Float32 is the next element of torch.rand(n): a multiple of 2^-24 in [0, 1).
func (m *MT19937) Float32() float32 {
	return float32(m.Uint32()&(1<<24-1)) / (1 << 24)
}

// Float64 is the next element of torch.rand(n, dtype=torch.float64): a multiple
// of 2^-53 in [0, 1).
func (m *MT19937) Float64() float64 {
	return float64(m.Uint64()&(1<<53-1)) / (1 << 53)
}

// IntN is the next element of torch.randint(0, n) for 0 < n < 2^32, the output
// modulo n. It panics when n is 0.
func (m *MT19937) IntN(n uint32) uint32 {
	if n == 0 {
		panic("prf: MT19937.IntN of an empty range")
	}
	return m.Uint32() % n
}

// Skip drops n 32-bit outputs, so that entry n of torch.rand is the next one.
func (m *MT19937) Skip(n int) {
	for left := mtChunk - m.next; n > left; left = mtChunk {
		n -= left
		m.chunk()
		m.next = 0
	}
	m.next += n
}

// chunk makes the next mtChunk outputs into words, which it returns.
func (m *MT19937) chunk() *[mtChunk / 2]uint64 {
	if m.at == mtSlide*mtChunk/2 {
		copy(m.history[:mtN/2], m.history[m.at:])
		m.at = 0
	}
	x := (*[(mtN + mtChunk) / 2]uint64)(m.history[m.at:])
	m.at += mtChunk / 2
	mtGenerate(x, &m.words)
	return &m.words
}

// mtGeneratePairs extends x by mtChunk words and puts them, tempered, into out:
//
//	x[k] = x[k-227] ^ twist(upper bit of x[k-624], lower bits of x[k-623])
//
// Both words of a pair are worked on in one 64-bit register: a left shift's
// carry into the high word falls on bits that b and c clear, a right shift's
// carry into the low one is masked away.
func mtGeneratePairs(x *[(mtN + mtChunk) / 2]uint64, out *[mtChunk / 2]uint64) {
	const (
		upper = mtUpper<<32 | mtUpper
		lower = (mtLower-1)<<32 | (mtLower - 1) // without bit 0, which the shift drops
		odd   = 1<<32 | 1
		b     = mtB<<32 | mtB
		c     = mtC<<32 | mtC
		low21 = (1<<21-1)<<32 | (1<<21 - 1)
		low14 = (1<<14-1)<<32 | (1<<14 - 1)
	)
	cur, mid := x[0], x[mtM/2]
	for i := range out {
		// Places one word on straddle two pairs; so does mtM, which is odd.
		after, middle := x[i+1], x[i+mtM/2+1]
		next := cur>>32 | after<<32
		y := (cur&upper | next&lower) >> 1
		y ^= next & odd * mtA
		y ^= mid>>32 | middle<<32
		x[i+mtN/2] = y
		y ^= y >> 11 & low21
		y ^= y << 7 & b
		y ^= y << 15 & c
		y ^= y >> 18 & low14
		out[i] = y
		cur, mid = after, middle
	}
}
