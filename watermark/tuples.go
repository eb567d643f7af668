package watermark

import (
	"math/bits"
	"math/rand/v2"
	"slices"
)

// tuples is an exact set of int32 tuples of one length, numbered in the order
// in which they came. Entries lie one after another in a flat array and the
// hash table holds their numbers, so an entry of s ids costs 4s bytes and, at
// loads between 3/8 and 3/4, 5.3 to 10.7 bytes of table; growing arrays add up
// to a quarter to the former.
type tuples struct {
	stride int
	seed   uint64 // random: nobody can choose text whose tuples collide
	flat   []int32
	table  []uint32 // entry number + 1; 0 is free; length a power of two
}

func newTuples(stride int) tuples {
	return tuples{stride: stride, seed: rand.Uint64(), table: make([]uint32, 16)}
}

func (t *tuples) len() int { return len(t.flat) / t.stride }

// at is entry i. The slice must not be written to.
func (t *tuples) at(i int) []int32 { return t.flat[i*t.stride : (i+1)*t.stride] }

// reset empties the set and keeps its memory.
func (t *tuples) reset() {
	if len(t.flat) > 0 {
		t.flat = t.flat[:0]
		clear(t.table)
	}
}

// home is where the search for key begins.
func (t *tuples) home(key []int32) int {
	h := t.seed
	for _, id := range key {
		hi, lo := bits.Mul64(h^uint64(uint32(id)), 0x9E3779B97F4A7C15) // 2^64 / golden ratio, odd
		h = hi ^ lo
	}
	return int(h>>32) & (len(t.table) - 1)
}

// slot is where key is or would be in the table.
func (t *tuples) slot(key []int32) int {
	for s := t.home(key); ; s = (s + 1) & (len(t.table) - 1) {
		if e := t.table[s]; e == 0 || slices.Equal(t.at(int(e-1)), key) {
			return s
		}
	}
}

func (t *tuples) has(key []int32) bool { return t.table[t.slot(key)] != 0 }

// insert returns the number of key's entry and whether it is new.
func (t *tuples) insert(key []int32) (entry int, added bool) {
	s := t.slot(key)
	if e := t.table[s]; e != 0 {
		return int(e - 1), false
	}
	t.flat = append(t.flat, key...)
	n := t.len()
	t.table[s] = uint32(n)
	if 4*n > 3*len(t.table) {
		t.grow()
	}
	return n - 1, true
}

// grow doubles the table. Entries are distinct: any free slot will do.
func (t *tuples) grow() {
	t.table = make([]uint32, 2*len(t.table))
	for i := range t.len() {
		s := t.home(t.at(i))
		for t.table[s] != 0 {
			s = (s + 1) & (len(t.table) - 1)
		}
		t.table[s] = uint32(i + 1)
	}
}
