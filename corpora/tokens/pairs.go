package tokens

import (
	"math/bits"
	"math/rand/v2"
)

// mergeRules is the merge list of a tokenizer.json. There the order of merging
// is a list of its own and not the order of ids: what a pair of parts becomes
// depends on the two ids, not only on the bytes that they join.
type mergeRules struct {
	pairs   pairTable
	results []int32 // id that the merge of each rank makes
}

// pairTable maps pairs of ids to the rank of their merge: open addressing with
// linear probing, at most half full. A lookup is a third of that of a Go map,
// and merging does little else.
type pairTable struct {
	slots []pairSlot
	mul   uint64 // random and odd, so that no file can aim at one slot
	shift int
}

type pairSlot struct {
	key  uint64 // 1 + the pair; 0 where the slot is free
	rank int32
}

func newPairTable(n int) pairTable {
	size := bits.Len(uint(2*n + 1))
	return pairTable{slots: make([]pairSlot, 1<<size), mul: rand.Uint64() | 1, shift: 64 - size}
}

func pairKey(left, right int32) uint64 { return uint64(left)<<32 + uint64(right) + 1 }

// slot returns the index of the pair's slot, or of the free one where it belongs.
func (t *pairTable) slot(key uint64) int {
	i := int(key * t.mul >> t.shift)
	for t.slots[i].key != key && t.slots[i].key != 0 {
		i = (i + 1) & (len(t.slots) - 1)
	}
	return i
}

// set stores the rank of a pair; of a pair given twice the later rank counts.
func (t *pairTable) set(left, right, rank int32) {
	key := pairKey(left, right)
	t.slots[t.slot(key)] = pairSlot{key, rank}
}

// rank returns the rank of a pair's merge, none if the pair does not merge.
func (t *pairTable) rank(left, right int32) int32 {
	if s := &t.slots[t.slot(pairKey(left, right))]; s.key != 0 {
		return s.rank
	}
	return none
}

// ordered lists the pairs that merge by rank. A rank whose pair was given again
// later is left out.
func (r *mergeRules) ordered() [][2]int32 {
	byRank := make([][2]int32, len(r.results))
	used := make([]bool, len(r.results))
	for _, s := range r.pairs.slots {
		if s.key != 0 {
			pair := s.key - 1
			byRank[s.rank], used[s.rank] = [2]int32{int32(pair >> 32), int32(uint32(pair))}, true
		}
	}
	out := byRank[:0]
	for rank, pair := range byRank {
		if used[rank] {
			out = append(out, pair)
		}
	}
	return out
}
