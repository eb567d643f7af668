package prf

import "fmt"

// MarkLLMScheme is MarkLLM's f_scheme: how KGW makes one number of a window.
type MarkLLMScheme string

// The rules of watermark/kgw/kgw.py, with P the permutation of [MarkLLM], w
// tokens t_1 .. t_w and V the vocabulary.
const (
	MarkLLMTime     MarkLLMScheme = "time"     // P[t_1 * ... * t_w mod V]
	MarkLLMAdditive MarkLLMScheme = "additive" // P[t_1 + ... + t_w mod V]
	MarkLLMSkip     MarkLLMScheme = "skip"     // P[t_1]
	MarkLLMMin      MarkLLMScheme = "min"      // the least P[t_i]
)

// MarkLLM is the seed rule of MarkLLM's KGW (THU-BPM/MarkLLM 112fa74,
// window_scheme left): key * f(window) mod V, with P = randperm(V) seeded by the
// key; the product wraps to signed 64 bits and the remainder is Python's. There
// are at most V different seeds, so at most V green lists.
type MarkLLM struct {
	key     int64
	scheme  MarkLLMScheme
	entries []int32
}

// NewMarkLLM draws P on a CPU for a vocabulary. It panics on an unknown scheme.
func NewMarkLLM(scheme MarkLLMScheme, key int64, vocab int) *MarkLLM {
	switch scheme {
	case MarkLLMTime, MarkLLMAdditive, MarkLLMSkip, MarkLLMMin:
	default:
		panic(fmt.Sprintf("prf: MarkLLM scheme %q", string(scheme)))
	}
	m := &MarkLLM{key: key, scheme: scheme, entries: make([]int32, vocab)}
	NewMT19937(uint64(key)).Randperm(m.entries)
	return m
}

// Seed is the generator's seed for a window of prefix_length tokens, at least
// one, all in the vocabulary.
func (m *MarkLLM) Seed(window []int32) uint64 {
	v := int64(len(m.entries))
	f := m.entries[window[0]]
	switch m.scheme {
	case MarkLLMTime:
		f = m.entries[productOf(window, v)]
	case MarkLLMAdditive:
		var sum int64
		for _, t := range window {
			sum += int64(t)
		}
		f = m.entries[sum%v]
	case MarkLLMMin:
		for _, t := range window[1:] {
			f = min(f, m.entries[t])
		}
	}
	seed := m.key * int64(f) % v
	if seed < 0 {
		seed += v
	}
	return uint64(seed)
}

// productOf is the product of a window modulo the vocabulary.
func productOf(window []int32, vocab int64) int64 {
	product := int64(1)
	for _, t := range window {
		product = product * int64(t) % vocab
	}
	return product
}

// MarkLLMEXPSeed is the seed of MarkLLM's EXP (112fa74, watermark/exp): key times
// the product of the window modulo the vocabulary. Once a factor of the
// vocabulary is used up the product stays there: much text has seed 0.
func MarkLLMEXPSeed(key int64, vocab int, window []int32) uint64 {
	return uint64(key * productOf(window, int64(vocab)))
}
