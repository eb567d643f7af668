package watermark

import (
	"math/bits"
	"sync"

	"github.com/stillmark/stillmark/watermark/prf"
)

// torchSeed is what is left of Python's v % (2^64-1) of a signed 64-bit v in
// torch's CPU generator, which takes the low 32 bits of a seed: a negative v
// becomes v + 2^64 - 1.
func torchSeed(v int64) uint64 {
	s := uint64(v)
	if v < 0 || s == 1<<64-1 {
		s--
	}
	return uint64(uint32(s))
}

// bigProduct is a·b mod 2^64-1: with 2^64 ≡ 1 the high word of the product is
// added to the low one.
func bigProduct(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	sum, carry := bits.Add64(lo, hi, 0)
	sum += carry
	if sum == 1<<64-1 {
		sum = 0
	}
	return sum
}

// bigSigned is bigSeed of signed factors: Python's remainder is never negative.
func bigSigned(key, x int64) uint64 {
	a, b := uint64(key), uint64(x)
	if key < 0 {
		a = -a
	}
	if x < 0 {
		b = -b
	}
	s := bigProduct(a, b)
	if (key < 0) != (x < 0) && s != 0 {
		s = 1<<64 - 1 - s
	}
	return uint64(uint32(s))
}

// tableSize is the length of the hashing tables of Hugging Face and lm-watermarking.
const tableSize = 1_000_003

// hashTable is 1 + torch.randperm(1000003) under a seed.
func hashTable(seed uint64) []int32 {
	table := make([]int32, tableSize)
	prf.NewMT19937(seed).Randperm(table)
	for i := range table {
		table[i]++
	}
	return table
}

// fixedTable is lm-watermarking's one table; its seed is the largest Fibonacci
// prime below 2^32.
var fixedTable = sync.OnceValue(func() []int32 { return hashTable(2971215073) })

// lookup is the table's entry of an integer, by floor modulo as torch takes it.
func lookup(table []int32, x int64) int64 {
	x %= tableSize
	if x < 0 {
		x += tableSize
	}
	return int64(table[x])
}

// anchoredMin is min over j of K·h(t_j)·h(t_last), wrapping to int64.
func anchoredMin(table []int32, key int64, window []int32, token int32) int64 {
	anchor := lookup(table, int64(token))
	low := key * anchor * anchor
	for _, t := range window {
		low = min(low, key*lookup(table, int64(t))*anchor)
	}
	return low
}

// anchoredMinOf is anchoredMin with the last token of the window as anchor.
func anchoredMinOf(table []int32, key int64, window []int32) int64 {
	return anchoredMin(table, key, window[:len(window)-1], window[len(window)-1])
}
