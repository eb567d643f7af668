package prf

import (
	"fmt"
	"slices"
	"testing"
)

// plainRandperm is torch's loop over the textbook generator.
func plainRandperm(seed uint32, n int) []int32 {
	p := newPlainMT(seed)
	r := make([]int32, n)
	for i := range r {
		r[i] = int32(i)
	}
	for i := range n - 1 {
		z := i + int(p.next()%uint32(n-i))
		r[i], r[z] = r[z], r[i]
	}
	return r
}

// TestRandpermAllWays: every token of small and awkward permutations, by list,
// mask, single walk and walk of several, for every kind of prefix.
func TestRandpermAllWays(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 2, 3, 7, 64, 65, 207, 208, 209, 211, 417, 700, 1000} {
		for _, k := range []int{0, 1, n / 4, n / 2, n - 1, n} {
			if k > n {
				continue
			}
			t.Run(fmt.Sprintf("%d of %d", k, n), func(t *testing.T) {
				t.Parallel()
				p := NewRandperm(n, k)
				tokens := []int32{-1, int32(n), 0, 0} // outside, twice the same
				for token := range int32(n) {
					tokens = append(tokens, token)
				}
				has := make([]bool, len(tokens))
				mask := make([]uint64, (n+63)/64)
				var list []int32
				for seed := range uint64(12) {
					want := plainRandperm(uint32(seed), n)[:k]
					if list = p.List(list, seed); !slices.Equal(list, want) {
						t.Fatalf("seed %d: List %v, want %v", seed, list, want)
					}
					p.Mask(mask, seed)
					p.HasEach(seed, tokens, has)
					for j, token := range tokens {
						green := slices.Contains(want, token)
						if got := p.Has(seed, token); got != green {
							t.Fatalf("seed %d: Has(%d) = %v", seed, token, got)
						}
						if has[j] != green {
							t.Fatalf("seed %d: HasEach(%d) = %v", seed, token, has[j])
						}
						if token >= 0 && int(token) < n && mask[token/64]>>(token%64)&1 == 1 != green {
							t.Fatalf("seed %d: Mask has %d: %v", seed, token, !green)
						}
					}
				}
			})
		}
	}
}

// TestRandpermVocabularies: single walks and pairs of walks agree with the list
// at the vocabularies that are served, whatever the seed.
func TestRandpermVocabularies(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ n, k int }{{50257, 12564}, {128256, 64128}, {200019, 50004}} {
		p := NewRandperm(c.n, c.k)
		q := p.Clone()
		var list []int32
		green := make([]uint64, (c.n+63)/64)
		for seed := range uint64(20) {
			seed = seed*0x9e3779b97f4a7c15 + 1
			list = p.List(list, seed)
			p.Mask(green, seed)
			want := func(token int32) bool { return green[token/64]>>(token%64)&1 == 1 }
			tokens := []int32{0, 1, int32(c.n - 1), int32(c.k - 1), int32(c.k), list[0], list[c.k-1], list[c.k/2]}
			for range 8 {
				tokens = append(tokens, int32(newPlainMT(uint32(seed)+uint32(len(tokens))).next()%uint32(c.n)))
			}
			has := make([]bool, len(tokens))
			q.HasEach(seed, tokens, has)
			for j, token := range tokens {
				if w := want(token); q.Has(seed, token) != w || has[j] != w {
					t.Errorf("n %d, seed %d, token %d: Has %v, HasEach %v, listed %v",
						c.n, seed, token, !w, has[j], w)
				}
			}
		}
	}
}

// TestRandpermRemainder: the reciprocals' remainder and divisibility are those
// of the operators, at the ends of the range and across it.
func TestRandpermRemainder(t *testing.T) {
	t.Parallel()
	u := newPlainMT(3)
	for _, m := range []int{2, 3, 4, 5, 7, 255, 256, 50257, 65536, 128256, 1<<20 - 1, maxRandperm - 1} {
		r := ^uint64(0)/uint64(m) + 1
		check := func(w uint32) {
			if got, want := remainder(w, r, m), int(w%uint32(m)); got != want {
				t.Fatalf("%d mod %d = %d, want %d", w, m, got, want)
			}
			for _, behind := range []int{0, 1, m - 1, m, maxRandperm} {
				sum := uint64(w) + uint64(behind)
				if got, want := sum*r < r, sum%uint64(m) == 0; got != want {
					t.Fatalf("%d divides %d: %v", m, sum, got)
				}
			}
		}
		for w := uint32(0); w < 70; w++ {
			check(w)
			check(^w)
			check(uint32(m)*(w+1) - 1)
			check(uint32(m) * (w + 1))
		}
		for range 20000 {
			check(u.next())
		}
	}
}

func TestRandpermRefuses(t *testing.T) {
	t.Parallel()
	for _, c := range [][2]int{{0, 0}, {-1, 0}, {5, 6}, {5, -1}, {maxRandperm, 1}} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("NewRandperm(%d, %d) is accepted", c[0], c[1])
				}
			}()
			NewRandperm(c[0], c[1])
		}()
	}
}

func TestRandpermDoesNotAllocate(t *testing.T) {
	p := NewRandperm(5000, 1250)
	tokens, has := make([]int32, 16), make([]bool, 16)
	list, mask := make([]int32, 1250), make([]uint64, 79)
	all := func() {
		p.Has(3, 17)
		p.HasEach(4, tokens, has)
		list = p.List(list, 5)
		p.Mask(mask, 6)
	}
	all()
	if n := testing.AllocsPerRun(10, all); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// vocabularies are those of the published timings: GPT-2, Llama 3 and o200k, at
// a green fraction of a quarter.
var vocabularies = []struct{ n, k int }{{50257, 12564}, {128256, 32064}, {200019, 50004}}

func benchRandperm(b *testing.B, name string, run func(p *Randperm, seed uint64, token int32)) {
	for _, v := range vocabularies {
		b.Run(fmt.Sprintf("%s/V=%d", name, v.n), func(b *testing.B) {
			p := NewRandperm(v.n, v.k)
			run(p, 0, 0)
			b.ReportAllocs()
			var seed uint64
			for b.Loop() {
				seed++
				run(p, seed, int32(seed*7919%uint64(v.n)))
			}
		})
	}
}

// BenchmarkRandperm times what a detector and an embedder ask of one context:
// the token that followed, four and sixteen candidates, the list and the mask.
func BenchmarkRandperm(b *testing.B) {
	benchRandperm(b, "Has", func(p *Randperm, seed uint64, token int32) { p.Has(seed, token) })
	for _, n := range []int{4, 16, 64} {
		tokens, has := make([]int32, n), make([]bool, n)
		benchRandperm(b, fmt.Sprintf("HasEach%d", n), func(p *Randperm, seed uint64, token int32) {
			for j := range tokens {
				tokens[j] = (token + int32(j)*31) % int32(p.n)
			}
			p.HasEach(seed, tokens, has)
		})
	}
	var list []int32
	benchRandperm(b, "List", func(p *Randperm, seed uint64, _ int32) { list = p.List(list, seed) })
	mask := make([]uint64, 200019/64+1)
	benchRandperm(b, "Mask", func(p *Randperm, seed uint64, _ int32) { p.Mask(mask, seed) })
	for _, v := range vocabularies {
		b.Run(fmt.Sprintf("Full/V=%d", v.n), func(b *testing.B) {
			p := NewRandperm(v.n, v.n)
			b.ReportAllocs()
			for b.Loop() {
				list = p.List(list, 7)
			}
		})
		b.Run(fmt.Sprintf("Textbook/V=%d", v.n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				plainRandperm(7, v.n)
			}
		})
	}
}
