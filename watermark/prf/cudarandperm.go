package prf

import (
	"fmt"
	"math"
)

// CUDARandperm computes torch.randperm(n, device="cuda") of a generator fresh
// from manual_seed.
//
// It is DERIVED from the source text of pytorch (aten/src/ATen/native/cuda/
// Randperm.cu, Randperm.cuh and DistributionTemplates.h) and of curand's Philox
// state, and HAS NOT BEEN RUN AGAINST HARDWARE. Its draws reproduce the
// published torch.manual_seed(0) uniforms of CUDA; whole permutations rest on
// the derivation. Report results under it as such.
//
// The kernel gives every element an independent key and sorts:
//
//   - A launch has T = min(resident, 256*ceil(n/256)) threads. Thread t draws
//     Philox4x32-10 blocks with the seed's halves as key and the counter
//     (round, 0, t low, t high); it makes the keys of elements
//     t + (round*u + j)*T, where u is how many keys a block holds.
//   - For n above 30083 a key has 64 bits, two to a block (u = 2, the words
//     x<<32|y and z<<32|w), modulo 2^64-1. Below, keys have 32 bits: the same
//     draws modulo 2^32-1, or in older releases four words to a block modulo
//     2^32-1.
//   - The elements are sorted, stably, by the low
//     ceil(log2(n - (6n^2+1) / (12 ln 0.9))) bits of their keys.
//   - Where keys are equal, the run that starts at place s is shuffled: from
//     its end to its second place i, with place (word mod (i+1)), by the words
//     of Philox counters (rounds, 0, s, 0), (rounds+1, 0, s, 0), ...
//
// So the permutation depends on the GPU once n exceeds its resident threads,
// SMs * maxThreadsPerSM: 40960 on a T4, 89088 on an L4, 125952 on an RTX 3090,
// 196608 on an RTX 4090, 221184 on an A100 and 270336 on an H100.
//
// A CUDARandperm holds scratch space and is not safe for concurrent use.
type CUDARandperm struct {
	n       int
	threads int
	perKey  int    // keys of one Philox block, u above: 2 or 4
	modulus uint64 // of the draw
	mask    uint64 // the bits that are sorted by
	shift   int    // bits of an element's number
	keyBits int

	packed, spare []uint64 // masked key << shift | element
}

// maxCUDARandperm bounds n so that a sorting key and an element's number fit 64
// bits together: it has room for every vocabulary and for the hash table of
// 1000003 entries.
const maxCUDARandperm = 1 << 20

// NewCUDARandperm prepares for permutations of n on a device that holds
// resident threads at once. words32 says that 32-bit keys come from 32-bit
// draws, as in releases that drew 64 bits only for ranges of 2^32 and more
// (newer ones do from 2^28); it has no effect for n above 30083. It panics
// unless 0 < n <= 2^20 and resident is a positive multiple of 256. It holds 16n
// bytes.
func NewCUDARandperm(n, resident int, words32 bool) *CUDARandperm {
	if n <= 0 || n > maxCUDARandperm {
		panic(fmt.Sprintf("prf: NewCUDARandperm: n is %d, need 1 to %d", n, maxCUDARandperm))
	}
	p := &CUDARandperm{n: n, threads: cudaThreads(n, resident), perKey: 2, modulus: math.MaxUint64}
	nd := float64(n)
	p.keyBits = int(math.Ceil(math.Log2(nd - (6*nd*nd+1)/(12*math.Log(0.9)))))
	p.mask = 1<<p.keyBits - 1
	if p.keyBits <= 32 {
		p.modulus = math.MaxUint32
		if words32 {
			p.perKey = 4
		}
	}
	for 1<<p.shift < n {
		p.shift++
	}
	p.packed, p.spare = make([]uint64, n), make([]uint64, n)
	return p
}

// cudaThreads is how many threads draw for n elements.
func cudaThreads(n, resident int) int {
	if resident <= 0 || resident%256 != 0 {
		panic(fmt.Sprintf("prf: %d resident threads, need a positive multiple of 256", resident))
	}
	return min(resident, (n+255)/256*256)
}

// List returns the first k entries under a seed, in the permutation's order, in
// dst, which grows where it is too short. It panics unless 0 <= k <= n. The work
// is that of the whole permutation.
func (p *CUDARandperm) List(dst []int32, seed uint64, k int) []int32 {
	if k < 0 || k > p.n {
		panic(fmt.Sprintf("prf: CUDARandperm.List: k is %d of %d", k, p.n))
	}
	p.draw(seed)
	p.sort()
	p.shuffleRuns(seed)
	if cap(dst) < k {
		dst = make([]int32, k)
	}
	dst = dst[:k]
	for i := range dst {
		dst[i] = int32(p.packed[i] & (1<<p.shift - 1))
	}
	return dst
}

// draw packs every element with its key.
func (p *CUDARandperm) draw(seed uint64) {
	k0, k1 := uint32(seed), uint32(seed>>32)
	for round, base := 0, 0; base < p.n; round, base = round+1, base+p.perKey*p.threads {
		for t := range min(p.threads, p.n-base) {
			w := philox10([4]uint32{uint32(round), 0, uint32(t), 0}, k0, k1)
			keys := [4]uint64{uint64(w[0])<<32 | uint64(w[1]), uint64(w[2])<<32 | uint64(w[3])}
			if p.perKey == 4 {
				keys = [4]uint64{uint64(w[0]), uint64(w[1]), uint64(w[2]), uint64(w[3])}
			}
			for j, key := range keys[:p.perKey] {
				if e := base + j*p.threads + t; e < p.n {
					p.packed[e] = key%p.modulus&p.mask<<p.shift | uint64(e)
				}
			}
		}
	}
}

// sort sorts packed by the key, stably: a radix sort, 11 bits at a time, so that
// the counts stay in the first-level cache.
func (p *CUDARandperm) sort() {
	const digit = 11
	for at := p.shift; at < p.shift+p.keyBits; at += digit {
		var place [1 << digit]int32
		for _, v := range p.packed {
			place[v>>at&(1<<digit-1)]++
		}
		var sum int32
		for d, count := range place {
			place[d] = sum
			sum += count
		}
		for _, v := range p.packed {
			d := v >> at & (1<<digit - 1)
			p.spare[place[d]] = v
			place[d]++
		}
		p.packed, p.spare = p.spare, p.packed
	}
}

// shuffleRuns shuffles each run of equal keys.
func (p *CUDARandperm) shuffleRuns(seed uint64) {
	rounds := (p.n-1)/(p.perKey*p.threads) + 1
	for start := 0; start < p.n; {
		end := start + 1
		for end < p.n && p.packed[end]>>p.shift == p.packed[start]>>p.shift {
			end++
		}
		run := p.packed[start:end]
		var w [4]uint32
		for i, drawn := len(run)-1, 0; i > 0; i, drawn = i-1, drawn+1 {
			if drawn%4 == 0 {
				c := [4]uint32{uint32(rounds + drawn/4), 0, uint32(start), 0}
				w = philox10(c, uint32(seed), uint32(seed>>32))
			}
			r := int(w[drawn%4] % uint32(i+1))
			run[i], run[r] = run[r], run[i]
		}
		start = end
	}
}
