package prf

import (
	"fmt"
	"math/bits"
)

// Randperm sets dst to torch.randperm(len(dst)) drawn from the generator's next
// len(dst)-1 outputs, as pytorch's CPU kernel does (aten/src/ATen/native/
// TensorFactories.cpp, randperm_cpu): r is the identity and, for i from 0 to
// n-2, r[i] and r[i + output mod (n-i)] change places.
func (m *MT19937) Randperm(dst []int32) {
	for i := range dst {
		dst[i] = int32(i)
	}
	for n := len(dst); len(dst) > 1; dst = dst[1:] {
		z := m.Uint32() % uint32(n)
		dst[0], dst[z] = dst[z], dst[0]
		n--
	}
}

// Randperm answers questions about the first k entries of torch.randperm(n) on
// the CPU, under any number of seeds: a KGW green list is such a prefix.
//
// Entry i of the permutation is final after draw i, so a prefix of k costs k
// draws, and whether one token is in it needs no array: following the token's
// place p through the exchanges is enough. While p stands still, the draw u of
// step i meets it when u mod (n-i) = p-i, that is, when n-i divides u + (n-p);
// one multiplication by a prepared reciprocal decides that exactly (Lemire,
// Kaser and Kurz, "Faster remainder by direct computation", 2019).
//
// The permutation is that of every torch up to early 2025, and of later ones
// for n < (2^32-1)/20 (pytorch pull requests 143682 and 144735).
//
// A Randperm holds scratch space and is not safe for concurrent use: give each
// goroutine its own Clone.
type Randperm struct {
	n, k       int
	draws      int         // that the prefix takes: k, but n-1 for all of n
	reciprocal [][2]uint64 // of draws i and i+1: ceil(2^64 / (n-i)), 0 past the last; shared by clones
	mt         MT19937

	moved   []int32  // array entries XOR their places: all zero is the identity
	list    []int32  // of Mask
	watched []uint64 // of HasEach: bit p is set while a target is at place p
	place   []int32  // of HasEach: where each target is, -1 once it is found
}

// maxRandperm is the largest permutation for which every torch draws alike.
const maxRandperm = (1<<32 - 1) / 20

// NewRandperm prepares for prefixes of k entries of permutations of n. It panics
// unless 0 <= k <= n and 0 < n < maxRandperm. It holds 8k bytes, from the
// first List on another 4n, and for Mask 4k.
func NewRandperm(n, k int) *Randperm {
	if n <= 0 || n >= maxRandperm || k < 0 || k > n {
		panic(fmt.Sprintf("prf: NewRandperm(%d, %d): need 0 <= k <= n and 0 < n < %d", n, k, maxRandperm))
	}
	p := &Randperm{n: n, k: k, draws: min(k, n-1)}
	p.reciprocal = make([][2]uint64, (p.draws+1)/2)
	for i := range p.draws {
		p.reciprocal[i/2][i%2] = ^uint64(0)/uint64(n-i) + 1
	}
	return p
}

// Clone returns an independent Randperm that shares the prepared reciprocals.
func (p *Randperm) Clone() *Randperm {
	return &Randperm{n: p.n, k: p.k, draws: p.draws, reciprocal: p.reciprocal}
}

// Has reports whether token is among the first k under a seed: whether it is
// green. A token outside 0..n-1 is not. It does not allocate.
func (p *Randperm) Has(seed uint64, token int32) bool {
	place := int(token)
	if place < 0 || place >= p.n || p.k == p.n {
		return place >= 0 && place < p.n
	}
	p.mt.Seed(seed)
	for from := 0; from < p.draws; from += mtChunk {
		words, r := p.chunk(from)
		i, end := 0, min(mtChunk, p.draws-from)
		for place-from < end {
			// Draws up to the token's own place can only meet it, the
			// draw there carries it away unless it stays for good.
			own := place - from
			if meets(words, r, i, own, p.n-place) {
				return true
			}
			z := place + remainder(half(words[own/2], own), r[own/2][own%2], p.n-place)
			if z == place {
				return true
			}
			place, i = z, own+1
		}
		if meets(words, r, i, end, p.n-place) {
			return true
		}
	}
	return false
}

// chunk is the next words, from draw number from on, and their reciprocals, of
// which there are fewer in the last chunk.
func (p *Randperm) chunk(from int) ([]uint64, [][2]uint64) {
	r := p.reciprocal[from/2:]
	r = r[:min(len(r), mtChunk/2)]
	return p.mt.chunk()[:len(r)], r
}

// half is the word of a pair that has number i.
func half(pair uint64, i int) uint32 { return uint32(pair >> (uint(i) % 2 * 32)) }

// remainder is u mod m by r = ceil(2^64 / m), exact for all u and m below 2^32.
func remainder(u uint32, r uint64, m int) int {
	hi, _ := bits.Mul64(uint64(u)*r, uint64(m))
	return int(hi)
}

// meets reports whether one of the words i..end-1 meets a token that is behind
// places from the end of the array: whether word + behind is a multiple of the
// divisor that the word's reciprocal is of. The sum has 33 bits and the divisor
// fewer than 28, well within the 64 that the test is exact for.
func meets(words []uint64, r [][2]uint64, i, end, behind int) bool {
	b := uint64(behind)
	if i%2 == 1 && i < end {
		if (words[i/2]>>32+b)*r[i/2][1] < r[i/2][1] {
			return true
		}
		i++
	}
	if i >= end {
		return false
	}
	whole := r[i/2 : end/2]
	for j, pair := range words[i/2 : end/2][:len(whole)] {
		r := &whole[j]
		if (pair&(1<<32-1)+b)*r[0] < r[0] || (pair>>32+b)*r[1] < r[1] {
			return true
		}
	}
	return end%2 == 1 && (words[end/2]&(1<<32-1)+b)*r[end/2][0] < r[end/2][0]
}

// HasEach is Has of several tokens in one walk: has[j] is set to whether
// tokens[j] is among the first k. The cost hardly depends on how many they are,
// so a candidate list or the places of a multi-bit payload cost one walk. It
// panics when the slices differ in length, and allocates only when a call has
// more tokens than any before.
func (p *Randperm) HasEach(seed uint64, tokens []int32, has []bool) {
	if len(has) != len(tokens) {
		panic(fmt.Sprintf("prf: HasEach of %d tokens into %d answers", len(tokens), len(has)))
	}
	if p.watched == nil {
		p.watched = make([]uint64, (p.n+63)/64)
	}
	p.place = p.place[:0]
	left := 0
	for j, token := range tokens {
		known := token >= 0 && int(token) < p.n
		has[j] = known && p.k == p.n
		if !known || has[j] {
			token = -1
		} else {
			p.watched[token/64] |= 1 << (token % 64)
			left++
		}
		p.place = append(p.place, token)
	}
	if left > 0 {
		p.walk(seed, has, left)
	}
	for _, place := range p.place {
		if place >= 0 {
			p.watched[place/64] &^= 1 << (place % 64)
		}
	}
}

// walk follows the watched places until the prefix ends or none is left.
func (p *Randperm) walk(seed uint64, has []bool, left int) {
	p.mt.Seed(seed)
	first := p.first()
	for from := 0; from < p.draws; from += mtChunk {
		words, r := p.chunk(from)
		watched := p.watched
		for j, pair := range words {
			i := from + 2*j
			z0 := uint(i + remainder(uint32(pair), r[j][0], p.n-i))
			z1 := uint(i + 1 + remainder(uint32(pair>>32), r[j][1], p.n-i-1))
			hit := watched[z0/64]>>(z0%64) | watched[z1/64]>>(z1%64)
			if hit&1 == 0 && i < first-1 {
				continue
			}
			left = p.exchange(i, int(z0), has, left)
			if i+1 < p.draws {
				left = p.exchange(i+1, int(z1), has, left)
			}
			if left == 0 {
				return
			}
			first = p.first()
		}
	}
}

// exchange follows the exchange of places i and z: whoever is at z is in the
// prefix now, and whoever is at i, which the walk leaves behind, goes to z. It
// returns how many targets are left.
func (p *Randperm) exchange(i, z int, has []bool, left int) int {
	p.watched[i/64] &^= 1 << (i % 64)
	p.watched[z/64] &^= 1 << (z % 64)
	for t, place := range p.place {
		switch int(place) {
		case z:
			has[t] = true
			p.place[t] = -1
			left--
		case i:
			p.place[t] = int32(z)
			p.watched[z/64] |= 1 << (z % 64)
		}
	}
	return left
}

// first is the frontmost watched place, n when there is none.
func (p *Randperm) first() int {
	first := p.n
	for _, place := range p.place {
		if place >= 0 {
			first = min(first, int(place))
		}
	}
	return first
}

// List returns the first k entries under a seed, in the permutation's order, in
// dst, which grows where it is too short.
func (p *Randperm) List(dst []int32, seed uint64) []int32 {
	if cap(dst) < p.k {
		dst = make([]int32, p.k)
	}
	dst = dst[:p.k]
	if p.moved == nil {
		p.moved = make([]int32, p.n)
	}
	moved := p.moved
	p.mt.Seed(seed)
	for from := 0; from < p.draws; from += mtChunk {
		words, r := p.chunk(from)
		out := dst[from:min(from+mtChunk, p.draws)]
		for j := range out {
			i := from + j
			z := i + remainder(half(words[uint(j)/2], j), r[uint(j)/2][uint(j)%2], p.n-i)
			here := moved[i] ^ int32(i)
			out[j] = moved[z] ^ int32(z)
			moved[z] = here ^ int32(z)
		}
	}
	if p.k == p.n {
		dst[p.n-1] = moved[p.n-1] ^ int32(p.n-1)
	}
	clear(moved)
	return dst
}

// Mask sets bit token%64 of mask[token/64] for the first k entries under a seed
// and clears the other bits of tokens 0..n-1: the green list of a whole
// vocabulary. It panics when mask has fewer than ceil(n/64) words.
func (p *Randperm) Mask(mask []uint64, seed uint64) {
	mask = mask[:(p.n+63)/64]
	clear(mask)
	p.list = p.List(p.list, seed)
	for _, token := range p.list {
		mask[token/64] |= 1 << (token % 64)
	}
}
