package watermark

import (
	"errors"
	"math/bits"

	"github.com/stillmark/stillmark/watermark/prf"
)

// permuted colours tokens by torch's permutations: green is whoever stands among
// the first size of randperm(vocab) under the seed, on a CPU (perm) or a GPU (cuda).
//
// One walk of at most size draws answers for any number of tokens of a seed; a
// whole list costs about five walks. The fifth question about a seed therefore
// makes its list and keeps it as a bitmap, as long as there is room: whatever comes,
// that costs at most twice what the better of the two would have (and on text-like
// ids 1.12 times). Text that uses a seed a few times, as wide windows do, never
// pays for a list.
type permuted struct {
	perm  *prf.Randperm
	cuda  *prf.CUDARandperm
	fresh func() *prf.CUDARandperm // for clones
	vocab int
	size  int
	shift int // payload: token t stands at (t + shift) mod vocab
	// last takes the last size entries, as lm-watermarking's old versions do.
	last bool

	asked  map[uint64]uint8
	bitmap map[uint64][]uint64
	room   int // bytes left for bitmaps
	places []int32
	has    []bool
}

// Limits of what a permuted remembers.
const (
	bitmapBytes  = 64 << 20 // 2,600 lists of 200,000 ids, or 200,000 of 2,048
	askedSeeds   = 1 << 18  // at some 10 bytes
	walksToLists = 4        // walks of a seed before its list is made
)

// newPermuted takes the number of green tokens as peers do: int(gamma·vocab).
func newPermuted(vocab int, gamma float64) *permuted {
	size := int(gamma * float64(vocab))
	return &permuted{perm: prf.NewRandperm(vocab, size), vocab: vocab, size: size}
}

// newPermutedLast is newPermuted on the end of the permutation.
func newPermutedLast(vocab int, gamma float64) *permuted {
	p := newPermuted(vocab, gamma)
	p.perm, p.last = prf.NewRandperm(vocab, vocab-p.size), true
	return p
}

func (p *permuted) rate() float64 { return float64(p.size) / float64(p.vocab) }

func (p *permuted) colour(seed uint64, tokens []int32, scores []float64) {
	list, ok := p.bitmap[seed]
	if !ok && (p.cuda != nil || p.asked[seed] >= walksToLists) {
		list, ok = p.remember(seed), true
	}
	if !ok {
		if p.asked == nil || len(p.asked) >= askedSeeds {
			p.asked = map[uint64]uint8{}
		}
		p.asked[seed]++
		p.walk(seed, tokens, scores)
		return
	}
	for i, t := range tokens {
		at := p.place(t)
		scores[i] = float64(list[at>>6] >> (at & 63) & 1)
	}
}

func (p *permuted) place(token int32) int32 {
	if p.shift == 0 {
		return token
	}
	return int32((int(token) + p.shift) % p.vocab)
}

func (p *permuted) walk(seed uint64, tokens []int32, scores []float64) {
	p.places, p.has = p.places[:0], p.has[:0]
	for _, t := range tokens {
		p.places, p.has = append(p.places, p.place(t)), append(p.has, false)
	}
	if len(tokens) == 1 {
		p.has[0] = p.perm.Has(seed, p.places[0])
	} else {
		p.perm.HasEach(seed, p.places, p.has)
	}
	for i, in := range p.has {
		scores[i] = 0
		if in != p.last {
			scores[i] = 1
		}
	}
}

// remember draws a seed's list and keeps it.
func (p *permuted) remember(seed uint64) []uint64 {
	list := make([]uint64, (p.vocab+63)/64)
	cost := 8*len(list) + 64
	if p.bitmap == nil || p.room < cost {
		p.bitmap, p.room = map[uint64][]uint64{}, bitmapBytes
	}
	p.mask(list, seed)
	p.bitmap[seed] = list
	p.room -= cost
	return list
}

// mask sets the green places of a seed.
func (p *permuted) mask(list []uint64, seed uint64) {
	if p.cuda != nil {
		p.places = p.cuda.List(p.places[:0], seed, p.size)
		for _, t := range p.places {
			list[t>>6] |= 1 << (t & 63)
		}
		return
	}
	p.perm.Mask(list, seed)
	if p.last {
		for i := range list {
			list[i] = ^list[i]
		}
		if rest := p.vocab & 63; rest != 0 {
			list[len(list)-1] &= 1<<rest - 1
		}
	}
}

func (p *permuted) list(seed uint64, vocab int, mark func(token int32)) {
	list, ok := p.bitmap[seed]
	if !ok {
		list = p.remember(seed)
	}
	for i, word := range list {
		for ; word != 0; word &= word - 1 {
			token := 64*i + bits.TrailingZeros64(word) - p.shift
			if token < 0 {
				token += p.vocab
			}
			if token < vocab {
				mark(int32(token))
			}
		}
	}
}

func (p *permuted) clone() colours {
	c := &permuted{fresh: p.fresh, vocab: p.vocab, size: p.size, shift: p.shift, last: p.last}
	if p.cuda != nil {
		c.cuda = p.fresh()
	} else {
		c.perm = p.perm.Clone()
	}
	return c
}

// newPermutedCUDA is newPermuted on a GPU that runs so many threads at once.
func newPermutedCUDA(vocab int, gamma float64, threads int) (*permuted, error) {
	if vocab > 1<<20 {
		return nil, errors.New("permutations of a GPU end at 2^20 entries")
	}
	fresh := func() *prf.CUDARandperm { return prf.NewCUDARandperm(vocab, threads, false) }
	return &permuted{cuda: fresh(), fresh: fresh, vocab: vocab, size: int(gamma * float64(vocab))}, nil
}
