package prf

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// TestSBW: mix and words as a transcription of sbw.py into Python integers
// gives them, with 32-bit and 64-bit wrapping spelled out.
func TestSBW(t *testing.T) {
	t.Parallel()
	for id, want := range map[int32]int32{
		-1: 0, 0: 638944058, 1: 1362763215, 50256: 1136891807, 1<<31 - 1: 597326027, -1 << 31: 2146332876,
	} {
		if got := JenkinsMix(id); got != want {
			t.Errorf("JenkinsMix(%d) = %d, want %d", id, got, want)
		}
	}
	tokens := []int32{0, 1, 13, 50256}
	for _, c := range []struct {
		key        uint64
		window     []int32
		left, self []uint32
	}{
		{15485863, []int32{7}, []uint32{124104176, 872538391, 124953226, 244929876}, []uint32{2063113663, 2246203468, 3332487734, 2727541478}},
		{15485863, []int32{464, 3290, 318, 845}, []uint32{2510867259, 1201987908, 3229030958, 1656900981}, []uint32{2063113663, 957234985, 3422181284, 2727541478}},
		{15485863, []int32{-1, -1, 5, 200018}, []uint32{89964851, 1024468218, 943187630, 2359970950}, []uint32{2063113663, 436800536, 4032631339, 2727541478}},
		{42, []int32{464, 3290, 318, 845}, []uint32{3724768690, 557846593, 2027503331, 1509058093}, []uint32{1200464593, 1613355029, 3679345590, 2925877896}},
		{4294967303, []int32{-1, -1, 5, 200018}, []uint32{694574507, 1576359979, 3356389724, 241492451}, []uint32{1713891541, 3781805453, 863523822, 3842548990}},
		{18446744073709551557, []int32{7}, []uint32{2021616302, 1674086112, 811960735, 3579555170}, []uint32{2011695074, 860556420, 2511435604, 3457849177}},
		{18446744073709551557, []int32{464, 3290, 318, 845}, []uint32{3162599203, 4257475101, 1106518673, 3694875923}, []uint32{1750330885, 1228381512, 2511435604, 2984796032}},
	} {
		for _, self := range []bool{false, true} {
			s, want := NewSBW(c.key, self), c.left
			if self {
				want = c.self
			}
			s.SetWindow(c.window)
			for i, token := range tokens {
				if got := s.Word(token); got != want[i] {
					t.Errorf("key %d, window %v, %v, token %d: %d, want %d", c.key, c.window, s, token, got, want[i])
				}
			}
		}
	}
}

// TestImportedSources: streams are the words, clones are independent, and
// nothing that prints shows a key.
func TestImportedSources(t *testing.T) {
	const key = 0x0123456789abcdef
	for _, s := range []Source{NewMurmur3(key), NewSBW(key, false), NewSBW(key, true)} {
		s.SetWindow([]int32{464, 3290, 318})
		for _, vocab := range []int{0, 1, 2, 3, 4, 5, 1001} {
			for token, got := range stream(s, vocab) {
				if want := s.Word(int32(token)); got != want {
					t.Fatalf("%v: stream of %d has %d at %d, want %d", s, vocab, got, token, want)
				}
			}
		}
		was := s.Word(13)
		c := s.Clone()
		c.SetWindow([]int32{1, 2, 3, 4, 5})
		if c.Word(13) == was || s.Word(13) != was {
			t.Errorf("%v: a clone shares its window", s)
		}
		printed := fmt.Sprintf("%v %+v %#v %s %x %d", s, s, s, s, s, s)
		if strings.Contains(printed, "123456789") || strings.Contains(printed, "81985529216486895") {
			t.Errorf("prints its key: %s", printed)
		}
		window, words := []int32{1, 2, 3}, make([]uint32, 1001)
		if n := testing.AllocsPerRun(10, func() {
			s.SetWindow(window)
			s.Word(9)
			s.Words(0, words)
		}); n != 0 {
			t.Errorf("%v: %v allocations", s, n)
		}
	}
	g := NewSynthID([]int64{654, 400, key}, nil)
	if printed := fmt.Sprintf("%v %+v %#v %d", g, g, g, g); strings.Contains(printed, "654") || strings.Contains(printed, "81985529216486895") {
		t.Errorf("prints its keys: %s", printed)
	}
}

// TestSynthIDPublished are the values of one n-gram under the demonstration
// keys, by both rules.
func TestSynthIDPublished(t *testing.T) {
	t.Parallel()
	keys := demoKeys()
	for _, c := range []struct {
		table *SynthIDTable
		want  string
	}{
		{NewSynthIDTable(0), "010100110101101010101000100000"},
		{nil, "011001001111001101011001100000"},
	} {
		g := NewSynthID(keys, c.table)
		g.SetWindow([]int32{2, 651, 573, 8203})
		if got := bitsOf(g.G(235265), len(keys)); got != c.want {
			t.Errorf("%v: %s, want %s", g, got, c.want)
		}
		if c.table != nil && g.Context() != 7627306171292717242 {
			t.Errorf("%v: context hash %d", g, g.Context())
		}
		other := g.Clone()
		other.SetWindow([]int32{1})
		if got := bitsOf(g.G(235265), len(keys)); got != c.want {
			t.Errorf("%v: a clone shares its window", g)
		}
	}
}

// demoKeys are the thirty layer keys that the released implementations show.
func demoKeys() []int64 {
	return []int64{
		654, 400, 836, 123, 340, 443, 597, 160, 57, 29, 590, 639, 13, 715, 468,
		990, 966, 226, 324, 585, 118, 504, 421, 521, 129, 669, 732, 225, 90, 960,
	}
}

// TestTextSealPublished are a window's values under a key and its second key.
func TestTextSealPublished(t *testing.T) {
	t.Parallel()
	for key, want := range map[int64]int32{42: 5149, 42 + 12345: 4748} {
		if got := TextSeal([]int32{464, 3290}, 318, key); got != want {
			t.Errorf("key %d: %d, want %d", key, got, want)
		}
	}
	// Negative sums come out in range too.
	for key := range int64(1000) {
		if got := TextSeal([]int32{-1}, int32(key), -key*1e15); got < 0 || got >= TextSealLevels {
			t.Fatalf("hash %d", got)
		}
	}
}

// TestNumPyPublished: numpy's documentation shows default_rng(42).random() and
// its quick start default_rng(0).random(); a float is 53 high bits.
func TestNumPyPublished(t *testing.T) {
	t.Parallel()
	for seed, want := range map[uint64]float64{42: 0.7739560485559633, 0: 0.6369616873214543} {
		g := newNumPy(seed)
		low := uint64(g.uint32())
		v := uint64(g.uint32())<<32 | low
		if got := float64(v>>11) / (1 << 53); got != want {
			t.Errorf("seed %d: %v, want %v", seed, got, want)
		}
	}
	ids := make([]int, 300)
	for i := range ids {
		ids[i] = i
	}
	newNumPy(1<<40+3).shuffle(len(ids), func(i, j int) { ids[i], ids[j] = ids[j], ids[i] })
	if slices.IsSorted(ids) {
		t.Error("a shuffle changes nothing")
	}
	slices.Sort(ids)
	for i, id := range ids {
		if id != i {
			t.Fatalf("a shuffle loses %d", i)
		}
	}
}

func BenchmarkHashes(b *testing.B) {
	window := []int32{464, 3290, 318, 845}
	for _, s := range []Source{NewMurmur3(7), NewSBW(7, false), NewSBW(7, true)} {
		b.Run(fmt.Sprintf("%v/one", s), func(b *testing.B) {
			b.ReportAllocs()
			for i := range b.N {
				window[0] = int32(i)
				s.SetWindow(window)
				sink += s.Word(13)
			}
		})
		b.Run(fmt.Sprintf("%v/V=200019", s), func(b *testing.B) {
			b.ReportAllocs()
			words := make([]uint32, 200_019)
			for i := range b.N {
				window[0] = int32(i)
				s.SetWindow(window)
				s.Words(0, words)
			}
		})
	}
	for _, g := range []*SynthID{NewSynthID(demoKeys(), NewSynthIDTable(0)), NewSynthID(demoKeys(), nil)} {
		b.Run(fmt.Sprintf("%v/one", g), func(b *testing.B) {
			b.ReportAllocs()
			for i := range b.N {
				window[0] = int32(i)
				g.SetWindow(window)
				sink += uint32(g.G(13))
			}
		})
	}
	b.Run("textseal/one", func(b *testing.B) {
		b.ReportAllocs()
		for i := range b.N {
			sink += uint32(TextSeal(window, int32(i), 42))
		}
	})
	b.Run("markllm-unigram/V=200019", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			sink += uint32(UnigramMask(15485863, .5, 200019)[0])
		}
	})
}
