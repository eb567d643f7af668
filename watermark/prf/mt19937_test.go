package prf

import "testing"

// plainMT is the textbook generator, one word at a time.
type plainMT struct {
	s [624]uint32
	i int
}

func newPlainMT(seed uint32) *plainMT {
	p := &plainMT{i: 624}
	p.s[0] = seed
	for i := uint32(1); i < 624; i++ {
		p.s[i] = 1812433253*(p.s[i-1]^(p.s[i-1]>>30)) + i
	}
	return p
}

func (p *plainMT) next() uint32 {
	if p.i == 624 {
		for i := range p.s {
			y := p.s[i]&0x80000000 | p.s[(i+1)%624]&0x7fffffff
			v := p.s[(i+397)%624] ^ y>>1
			if y&1 == 1 {
				v ^= 0x9908b0df
			}
			p.s[i] = v
		}
		p.i = 0
	}
	y := p.s[p.i]
	p.i++
	y ^= y >> 11
	y ^= y << 7 & 0x9d2c5680
	y ^= y << 15 & 0xefc60000
	return y ^ y>>18
}

// TestMT19937Textbook compares the paired generator with the textbook one over
// several blocks, and with the reference code's tenth thousandth output for its
// default seed (the value that C++ demands of std::mt19937).
func TestMT19937Textbook(t *testing.T) {
	t.Parallel()
	for _, seed := range []uint32{0, 1, 5489, 1<<31 + 7, 1<<32 - 1} {
		m, p := NewMT19937(uint64(seed)|0xabcd<<32), newPlainMT(seed)
		var last uint32
		for i := range 10000 {
			var want uint32
			last, want = m.Uint32(), p.next()
			if last != want {
				t.Fatalf("seed %d: output %d is %d, want %d", seed, i, last, want)
			}
		}
		if seed == 5489 && last != 4123659995 {
			t.Errorf("output 10000 of seed 5489 is %d, want 4123659995", last)
		}
	}
}

// TestMT19937Pairs: the generator of machines without assembly makes the same
// words, and leaves the same history, as the one in use here.
func TestMT19937Pairs(t *testing.T) {
	t.Parallel()
	m := NewMT19937(77)
	for chunk := range 20 {
		if m.at == mtSlide*mtChunk/2 {
			copy(m.history[:mtN/2], m.history[m.at:])
			m.at = 0
		}
		x := (*[(mtN + mtChunk) / 2]uint64)(m.history[m.at:])
		y := *x
		var out [mtChunk / 2]uint64
		mtGeneratePairs(&y, &out)
		if got := *m.chunk(); got != out {
			t.Fatalf("chunk %d differs", chunk)
		}
		if *x != y {
			t.Fatalf("history after chunk %d differs", chunk)
		}
	}
}

func TestMT19937Skip(t *testing.T) {
	t.Parallel()
	for _, before := range []int{0, 1, 100, 208, 300} {
		for _, n := range []int{0, 1, 107, 108, 207, 208, 209, 416, 623, 624, 625, 5000} {
			m, p := NewMT19937(9), newPlainMT(9)
			for range before {
				m.Uint32()
			}
			m.Skip(n)
			for range before + n {
				p.next()
			}
			for i := range 700 {
				if got, want := m.Uint32(), p.next(); got != want {
					t.Fatalf("%d outputs, Skip(%d), output %d: %d, want %d", before, n, i, got, want)
				}
			}
		}
	}
}

func TestMT19937DoesNotAllocate(t *testing.T) {
	m := NewMT19937(1)
	if n := testing.AllocsPerRun(10, func() {
		m.Seed(7)
		m.Skip(1000)
		_, _ = m.Float64(), m.IntN(50257)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkMT19937(b *testing.B) {
	b.Run("seed", func(b *testing.B) {
		b.ReportAllocs()
		m := NewMT19937(0)
		for i := range b.N {
			m.Seed(uint64(i))
			sink += uint32(m.history[mtN/2-1])
		}
	})
	b.Run("chunk", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(4 * mtChunk)
		m := NewMT19937(0)
		for range b.N {
			m.chunk()
		}
	})
	b.Run("pairs", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(4 * mtChunk)
		m := NewMT19937(0)
		x := (*[(mtN + mtChunk) / 2]uint64)(m.history[:])
		for range b.N {
			mtGeneratePairs(x, &m.words)
		}
	})
	b.Run("textbook-208", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(4 * mtChunk)
		p := newPlainMT(0)
		var sum uint32
		for range b.N {
			for range mtChunk {
				sum += p.next()
			}
		}
		sink = sum
	})
}
