package prf

import "fmt"

// ContextPRF names a seed rule of lm-watermarking (jwkirchenbauer/
// lm-watermarking fb602de, alternative_prf_schemes.py, prf_lookup) as its
// "ff-<prf>-<width>-<selfsalt>-<key>" schemes do. With K the hash key, t_1 .. t_w
// the window and h the [HashTable]:
//
//	additive_prf           K * (t_1 + ... + t_w)             K's product unbounded
//	multiplicative_prf     K * (t_1 * ... * t_w)             K's product unbounded
//	minfunc_prf            K * min t_i                       K's product unbounded
//	simple_skip_prf        h(K t_1) * h(K t_3) * h(K t_5) ...
//	skipgram_prf           h(K t_1)
//	anchored_skipgram_prf  h(K t_1) * h(K t_w)
//	minhash_prf            min h(K t_i)
//	anchored_minhash_prf   min K * h(t_i) * h(t_w)
//	minskipgram_prf        min over i < j of h(K t_i) * h(K t_j)
//	noncomm_prf            k = K; for every t: k = (k * h(k t)) mod 2^32
//	position_prf           sum of K * t_i * i, i from 1
//
// All sums and products of tensors wrap to signed 64 bits and minima are signed;
// only where marked is K multiplied as a Python integer. Under self-salt the
// last token of the window is the candidate.
//
// The schemes by name: simple_1 and lefthash are additive_prf of width 1;
// selfhash and algorithm-3 are anchored_minhash_prf of width 4 with self-salt;
// minhash is minhash_prf of width 4; skipgram is skipgram_prf of width 5.
//
// transformers (00857b6) has two of them: its lefthash is additive_prf of the
// last token, its selfhash anchored_minhash_prf of the last tokens and the
// candidate, with a table drawn from the hashing key.
type ContextPRF string

// The rules of prf_lookup.
const (
	AdditivePRF         ContextPRF = "additive_prf"
	MultiplicativePRF   ContextPRF = "multiplicative_prf"
	MinFuncPRF          ContextPRF = "minfunc_prf"
	SimpleSkipPRF       ContextPRF = "simple_skip_prf"
	SkipgramPRF         ContextPRF = "skipgram_prf"
	AnchoredSkipgramPRF ContextPRF = "anchored_skipgram_prf"
	MinHashPRF          ContextPRF = "minhash_prf"
	AnchoredMinHashPRF  ContextPRF = "anchored_minhash_prf"
	MinSkipgramPRF      ContextPRF = "minskipgram_prf"
	NonCommPRF          ContextPRF = "noncomm_prf"
	PositionPRF         ContextPRF = "position_prf"
)

// MinWindow is the shortest window that the rule is defined on, 0 when the name
// is none of the rules.
func (p ContextPRF) MinWindow() int {
	switch p {
	case MinSkipgramPRF:
		return 2
	case AdditivePRF, MultiplicativePRF, MinFuncPRF, SimpleSkipPRF, SkipgramPRF, AnchoredSkipgramPRF,
		MinHashPRF, AnchoredMinHashPRF, NonCommPRF, PositionPRF:
		return 1
	}
	return 0
}

// Seed is the generator's seed for a window, the rule's value mod 2^64-1. It
// panics on an unknown rule or a window shorter than MinWindow. The table may be
// nil for the rules that have no h. It does not allocate.
func (p ContextPRF) Seed(table *HashTable, key int64, window []int32) uint64 {
	return productMod(p.value(table, key, window))
}

// value is the rule's value as a product of two integers without bounds.
func (p ContextPRF) value(table *HashTable, key int64, window []int32) (a, b int64) {
	if least := p.MinWindow(); least == 0 || len(window) < least {
		panic(fmt.Sprintf("prf: rule %q of a window of %d", string(p), len(window)))
	}
	first, last := int64(window[0]), int64(window[len(window)-1])
	switch p {
	case AdditivePRF:
		var sum int64
		for _, t := range window {
			sum += int64(t)
		}
		return key, sum
	case MultiplicativePRF:
		product := int64(1)
		for _, t := range window {
			product *= int64(t)
		}
		return key, product
	case MinFuncPRF:
		least := first
		for _, t := range window {
			least = min(least, int64(t))
		}
		return key, least
	case SimpleSkipPRF:
		product := int64(1)
		for i := 0; i < len(window); i += 2 {
			product *= table.Hash(key * int64(window[i]))
		}
		return product, 1
	case SkipgramPRF:
		return table.Hash(key * first), 1
	case AnchoredSkipgramPRF:
		return table.Hash(key*first) * table.Hash(key*last), 1
	case MinHashPRF:
		least := table.Hash(key * first)
		for _, t := range window[1:] {
			least = min(least, table.Hash(key*int64(t)))
		}
		return least, 1
	case AnchoredMinHashPRF:
		anchor := table.Hash(last)
		least := key * anchor * anchor
		for _, t := range window[:len(window)-1] {
			least = min(least, key*table.Hash(int64(t))*anchor)
		}
		return least, 1
	case MinSkipgramPRF:
		least := int64(hashTableSize) * hashTableSize
		for i, t := range window {
			h := table.Hash(key * int64(t))
			for _, u := range window[i+1:] {
				least = min(least, h*table.Hash(key*int64(u)))
			}
		}
		return least, 1
	case NonCommPRF:
		for _, t := range window {
			key = key * table.Hash(key*int64(t)) & (1<<32 - 1)
		}
		return key, 1
	default: // PositionPRF
		var sum int64
		for i, t := range window {
			sum += key * int64(t) * int64(i+1)
		}
		return sum, 1
	}
}
