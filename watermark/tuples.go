package watermark

import (
	"math/bits"
	"math/rand/v2"
	"slices"
)

// tuples is an exact set of int32 tuples of one length, numbered in the order
// in which they came. Entries lie one after another in a flat array and the
// hash table holds their numbers beside a byte of their hash, which tells strangers
// apart without a look at the entry, for that lies in no cache. An entry of s ids
// costs 4s bytes and, at loads between 3/8 and 3/4, 6.7 to 13.3 bytes of table;
// growing arrays add up to a quarter to the former.
type tuples struct {
	stride int
	seed   uint64 // random: nobody can choose text whose tuples collide
	flat   []int32
	tags   []uint8  // 0 is free; length a power of two
	table  []uint32 // entry number, where tags is not 0
}

func newTuples(stride int) tuples {
	return tuples{stride: stride, seed: rand.Uint64(), tags: make([]uint8, 16), table: make([]uint32, 16)}
}

func (t *tuples) len() int { return len(t.flat) / t.stride }

// at is entry i. The slice must not be written to.
func (t *tuples) at(i int) []int32 { return t.flat[i*t.stride : (i+1)*t.stride] }

// sorted are the numbers of the entries in the order of their ids.
func (t *tuples) sorted() []uint32 {
	order := make([]uint32, t.len())
	for i := range order {
		order[i] = uint32(i)
	}
	slices.SortFunc(order, func(a, b uint32) int { return slices.Compare(t.at(int(a)), t.at(int(b))) })
	return order
}

// reset empties the set and keeps its memory.
func (t *tuples) reset() {
	if len(t.flat) > 0 {
		t.flat = t.flat[:0]
		clear(t.tags)
	}
}

// home is where the search for key begins, and the tag that key has.
func (t *tuples) home(key []int32) (slot int, tag uint8) {
	h := t.seed
	for _, id := range key {
		hi, lo := bits.Mul64(h^uint64(uint32(id)), 0x9E3779B97F4A7C15) // 2^64 / golden ratio, odd
		h = hi ^ lo
	}
	return int(h>>32) & (len(t.tags) - 1), uint8(h) | 1
}

// slot is where key is or would be in the table, and its tag.
func (t *tuples) slot(key []int32) (slot int, tag uint8) {
	slot, tag = t.home(key)
	for {
		switch t.tags[slot] {
		case 0:
			return slot, tag
		case tag:
			if slices.Equal(t.at(int(t.table[slot])), key) {
				return slot, tag
			}
		}
		slot = (slot + 1) & (len(t.tags) - 1)
	}
}

func (t *tuples) has(key []int32) bool {
	slot, _ := t.slot(key)
	return t.tags[slot] != 0
}

// insert returns the number of key's entry and whether it is new.
func (t *tuples) insert(key []int32) (entry int, added bool) {
	slot, tag := t.slot(key)
	if t.tags[slot] != 0 {
		return int(t.table[slot]), false
	}
	n := t.len()
	t.flat = append(t.flat, key...)
	t.tags[slot], t.table[slot] = tag, uint32(n)
	if 4*(n+1) > 3*len(t.tags) {
		t.grow()
	}
	return n, true
}

// grow doubles the table. Entries are distinct: any free slot will do.
func (t *tuples) grow() {
	size := 2 * len(t.tags)
	t.tags, t.table = make([]uint8, size), make([]uint32, size)
	for i := range t.len() {
		slot, tag := t.home(t.at(i))
		for t.tags[slot] != 0 {
			slot = (slot + 1) & (size - 1)
		}
		t.tags[slot], t.table[slot] = tag, uint32(i)
	}
}
