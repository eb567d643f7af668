package prf

import (
	"math/big"
	"slices"
	"testing"
)

// The values of HF and lm-watermarking that are published beside the vectors:
// seeds and heads of lists for three vocabularies, and two self-hash seeds.
func TestSeedsPublished(t *testing.T) {
	t.Parallel()
	const key = 15485863
	for _, c := range []struct {
		vocab int
		ratio float64
		token int32
		head  []int32
	}{
		{50257, .25, 262, []int32{47375, 29106, 18490, 7127, 43201, 8728, 4306, 32882}},
		{151936, .25, 1000, []int32{21339, 24582, 37084, 31449, 98394, 83137, 34113, 71235}},
		{128256, .5, 791, []int32{91927, 69902, 113238, 91055, 57136, 35685, 87683, 42657}},
	} {
		p := NewRandperm(c.vocab, greenCount(c.vocab, c.ratio))
		seed := AdditivePRF.Seed(nil, key, []int32{c.token})
		if list := p.List(nil, seed); !slices.Equal(list[:8], c.head) {
			t.Errorf("V %d after %d: %v, want %v", c.vocab, c.token, list[:8], c.head)
		}
	}
	table := NewHashTable(key)
	for _, c := range []struct {
		gram []int32
		want uint64
	}{
		{[]int32{464, 3290, 318, 845}, 335000298051942290},
		{[]int32{50000, 262, 11, 198}, 10676468542921103866},
	} {
		if got := AnchoredMinHashPRF.Seed(table, key, c.gram); got != c.want {
			t.Errorf("seed of %v is %d, want %d", c.gram, got, c.want)
		}
	}
	if got := ThreeBricksSeed(0, 35317, []int32{464, 3290}); got != 16390378 {
		t.Errorf("three_bricks seed %d, want 16390378", got)
	}
	m := NewMT19937(16390378)
	m.Skip(318)
	if u := m.Float32(); float64(u) < .15987193575 || float64(u) > .15987193585 {
		t.Errorf("three_bricks uniform %.10f, want .1598719358", u)
	}
}

// seedRules are references in integers without bounds, wrapped where a tensor
// wraps; the window has two tokens at least.
func seedRules(table *HashTable) map[ContextPRF]func(key int64, w []int32) *big.Int {
	num := big.NewInt
	wrap := func(x *big.Int) *big.Int {
		bound := new(big.Int).Lsh(num(1), 64)
		x = new(big.Int).Mod(x, bound)
		if x.Bit(63) == 1 {
			x.Sub(x, bound)
		}
		return x
	}
	mul := func(a, b *big.Int) *big.Int { return wrap(new(big.Int).Mul(a, b)) }
	h := func(x *big.Int) *big.Int {
		i := new(big.Int).Mod(x, num(hashTableSize)).Int64() // Euclidean: Python's, for a positive modulus
		return num(int64(table.entries[i]) + 1)
	}
	of := func(key int64, t int32) *big.Int { return h(mul(num(key), num(int64(t)))) }
	least := func(v []*big.Int) *big.Int { return slices.MinFunc(v, (*big.Int).Cmp) }
	fold := func(w []int32, start int64, f func(acc, t *big.Int) *big.Int) *big.Int {
		acc := num(start)
		for _, t := range w {
			acc = f(acc, num(int64(t)))
		}
		return acc
	}
	return map[ContextPRF]func(int64, []int32) *big.Int{
		AdditivePRF: func(key int64, w []int32) *big.Int {
			sum := fold(w, 0, func(a, t *big.Int) *big.Int { return wrap(new(big.Int).Add(a, t)) })
			return sum.Mul(sum, num(key))
		},
		MultiplicativePRF: func(key int64, w []int32) *big.Int {
			p := fold(w, 1, mul)
			return p.Mul(p, num(key))
		},
		MinFuncPRF: func(key int64, w []int32) *big.Int {
			return new(big.Int).Mul(num(key), num(int64(slices.Min(w))))
		},
		SimpleSkipPRF: func(key int64, w []int32) *big.Int {
			p := num(1)
			for i, t := range w {
				if i%2 == 0 {
					p = mul(p, of(key, t))
				}
			}
			return p
		},
		SkipgramPRF: func(key int64, w []int32) *big.Int { return of(key, w[0]) },
		AnchoredSkipgramPRF: func(key int64, w []int32) *big.Int {
			return mul(of(key, w[0]), of(key, w[len(w)-1]))
		},
		MinHashPRF: func(key int64, w []int32) *big.Int {
			var v []*big.Int
			for _, t := range w {
				v = append(v, of(key, t))
			}
			return least(v)
		},
		AnchoredMinHashPRF: func(key int64, w []int32) *big.Int {
			var v []*big.Int
			for _, t := range w {
				v = append(v, mul(mul(num(key), of(1, t)), of(1, w[len(w)-1])))
			}
			return least(v)
		},
		MinSkipgramPRF: func(key int64, w []int32) *big.Int {
			var v []*big.Int
			for i := range w {
				for j := i + 1; j < len(w); j++ {
					v = append(v, mul(of(key, w[i]), of(key, w[j])))
				}
			}
			return least(v)
		},
		NonCommPRF: func(key int64, w []int32) *big.Int {
			k := num(key)
			for _, t := range w {
				k = mul(k, h(mul(k, num(int64(t)))))
				k.Mod(k, num(1<<32))
			}
			return k
		},
		PositionPRF: func(key int64, w []int32) *big.Int {
			sum := num(0)
			for i, t := range w {
				sum = wrap(sum.Add(sum, mul(mul(num(key), num(int64(t))), num(int64(i+1)))))
			}
			return sum
		},
	}
}

// TestContextPRFs compares every rule with its reference, under keys small,
// large and negative, and windows up to ten tokens of the largest ids.
func TestContextPRFs(t *testing.T) {
	t.Parallel()
	table := NewHashTable(LMHashTableSeed)
	modulus := new(big.Int).SetUint64(seedModulus)
	rules := seedRules(table)
	u := newPlainMT(11)
	negative := 0
	for rule, reference := range rules {
		for _, key := range []int64{15485863, 1, -1, 0, 1<<31 - 1, 1<<62 + 12345, -1 << 63} {
			for size := rule.MinWindow(); size <= 10; size++ {
				for _, vocab := range []uint32{3, 50257, 1 << 31} {
					w := make([]int32, size)
					for i := range w {
						w[i] = int32(u.next() % vocab)
					}
					want := reference(key, w)
					if want.Sign() < 0 {
						negative++
					}
					want.Mod(want, modulus)
					if got := rule.Seed(table, key, w); got != want.Uint64() {
						t.Errorf("%s, key %d, window %v: %d, want %d", rule, key, w, got, want)
					}
				}
			}
		}
	}
	if len(rules) != 11 || negative == 0 {
		t.Errorf("%d rules, %d negative values", len(rules), negative)
	}
	for _, c := range []struct {
		rule   ContextPRF
		window []int32
	}{{"no_such_prf", []int32{1, 2}}, {AdditivePRF, nil}, {MinSkipgramPRF, []int32{1}}} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s takes a window of %d", c.rule, len(c.window))
				}
			}()
			c.rule.Seed(table, 1, c.window)
		}()
	}
}

// TestThreeBricksSeed: the reduction by 2^64-1 after every token, at the border.
func TestThreeBricksSeed(t *testing.T) {
	t.Parallel()
	m := new(big.Int).SetUint64(seedModulus)
	u := newPlainMT(5)
	for _, salt := range []uint64{1, 35317, 1<<64 - 1, 1<<64 - 2} {
		for _, seed := range []uint64{0, 1, 1<<64 - 3, 1<<64 - 2} {
			w := []int32{1, 0, 2, int32(u.next() >> 1), 1<<31 - 1, 7}
			want := new(big.Int).SetUint64(seed)
			for _, token := range w {
				want.Mul(want, new(big.Int).SetUint64(salt))
				want.Add(want, big.NewInt(int64(token)))
				want.Mod(want, m)
			}
			if got := ThreeBricksSeed(seed, salt, w); got != want.Uint64() {
				t.Errorf("seed %d, salt %d, window %v: %d, want %d", seed, salt, w, got, want)
			}
		}
	}
}

func TestCUDAHashTable(t *testing.T) {
	t.Parallel()
	table := NewCUDAHashTable(15485863, 221184)
	seen := make([]bool, hashTableSize+1)
	for x := range int64(hashTableSize) {
		h := table.Hash(x)
		if seen[h] {
			t.Fatalf("value %d twice", h)
		}
		seen[h] = true
		if h != table.Hash(x-hashTableSize) || h != table.Hash(x+5*hashTableSize) {
			t.Fatalf("hash of %d is not periodic", x)
		}
	}
	if seen[0] {
		t.Error("0 is a value")
	}
}

func BenchmarkSeeds(b *testing.B) {
	table := NewHashTable(LMHashTableSeed)
	window := []int32{464, 3290, 318, 845}
	for _, rule := range []ContextPRF{AdditivePRF, MinHashPRF, AnchoredMinHashPRF} {
		b.Run(string(rule), func(b *testing.B) {
			b.ReportAllocs()
			for i := range b.N {
				window[0] = int32(i & 0xffff)
				sink += uint32(rule.Seed(table, 15485863, window))
			}
		})
	}
	b.Run("three_bricks", func(b *testing.B) {
		b.ReportAllocs()
		for i := range b.N {
			window[0] = int32(i & 0xffff)
			sink += uint32(ThreeBricksSeed(0, 35317, window))
		}
	})
	b.Run("hash table", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			NewHashTable(LMHashTableSeed)
		}
	})
}
