package prf

import "math/bits"

// Seed rules: what the published green-list and Gumbel watermarks make of a
// context window before they seed a generator. A rule takes the window, oldest
// token first, and returns the seed as an unsigned number.
//
// Several of them reduce by Python's % (2^64-1), which is never negative: -1
// becomes 2^64-2, whose low 32 bits, all that a CPU generator uses, are not
// those of -1.

// seedModulus is 2^64 - 1.
const seedModulus = 1<<64 - 1

// productMod is a*b mod 2^64-1, as Python has it, of the product without bounds.
func productMod(a, b int64) uint64 {
	hi, lo := bits.Mul64(magnitude(a), magnitude(b))
	r := foldMod(hi, lo)
	if r != 0 && (a < 0) != (b < 0) {
		r = seedModulus - r
	}
	return r
}

func magnitude(v int64) uint64 {
	if v < 0 {
		return -uint64(v)
	}
	return uint64(v)
}

// foldMod is hi*2^64 + lo mod 2^64-1: 2^64 is 1.
func foldMod(hi, lo uint64) uint64 {
	r, carry := bits.Add64(hi, lo, 0)
	r += carry
	if r == seedModulus {
		return 0
	}
	return r
}

// hashTableSize is the number of entries of a HashTable.
const hashTableSize = 1000003

// HashTable is the permutation that lm-watermarking and transformers hash
// integers with: h(x) = T[x mod 1000003] + 1. It takes 4 MB.
type HashTable struct{ entries []int32 }

// LMHashTableSeed is the seed of lm-watermarking's table, on a CPU always.
const LMHashTableSeed = 2971215073

// NewHashTable draws the table on a CPU: lm-watermarking's from LMHashTableSeed,
// transformers' from the hashing key. It takes some ten milliseconds.
func NewHashTable(seed uint64) *HashTable {
	t := &HashTable{make([]int32, hashTableSize)}
	NewMT19937(seed).Randperm(t.entries)
	return t
}

// NewCUDAHashTable is the table of transformers on a CUDA model, with all that
// [CUDARandperm] says of it.
func NewCUDAHashTable(seed uint64, resident int) *HashTable {
	return &HashTable{NewCUDARandperm(hashTableSize, resident, false).List(nil, seed, hashTableSize)}
}

// Hash is T[x mod 1000003] + 1, with Python's sign: 1 to 1000003.
func (t *HashTable) Hash(x int64) int64 {
	x %= hashTableSize
	if x < 0 {
		x += hashTableSize
	}
	return int64(t.entries[x]) + 1
}

// ThreeBricksSeed is the seed of three_bricks (facebookresearch/three_bricks
// ee9c7a2) and radioactive-watermark (19c6dc9) under seeding "hash":
// s = (s*salt + t) mod (2^64-1) over the window, from the generator's seed. Their
// salt is 35317. Ids must not be negative.
func ThreeBricksSeed(seed, salt uint64, window []int32) uint64 {
	for _, t := range window {
		hi, lo := bits.Mul64(seed, salt)
		lo, carry := bits.Add64(lo, uint64(t), 0)
		seed = foldMod(hi+carry, lo)
	}
	return seed
}
