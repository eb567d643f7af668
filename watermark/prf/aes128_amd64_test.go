package prf

import (
	"fmt"
	"slices"
	"testing"
)

// TestLevels compares what instructions the machine offers with crypto/aes.
func TestLevels(t *testing.T) {
	t.Parallel()
	if machineLevel() == levelStd {
		t.Skip("no AES instructions")
	}
	for _, level := range levels()[1:] {
		for k := range 20 {
			var std, fast aes128
			key := [16]byte{0x2b, 0x7e, 0x15, byte(k)}
			std.setLevel(&key, levelStd)
			fast.setLevel(&key, level)
			lo, hi := uint64(k)*0x9E3779B97F4A7C15, uint64(k)<<40|7
			wantLo, wantHi := std.encrypt(lo, hi)
			if gotLo, gotHi := fast.encrypt(lo, hi); gotLo != wantLo || gotHi != wantHi {
				t.Fatalf("%v: one block differs", level)
			}
			var a, b blocks
			for i := range a {
				a[i] = [2]uint64{uint64(i) * 0x9E3779B97F4A7C15, uint64(k)}
			}
			b = a
			n := []int{0, 1, 7, 8, 31, 32, 33, 64, 255, batchChunk}[k%10]
			std.encryptBlocks(&a, n)
			fast.encryptBlocks(&b, n)
			if !slices.Equal(a[:n], b[:n]) {
				t.Fatalf("%v: %d blocks differ", level, n)
			}
			for _, n := range []int{0, 1, 4, 31, 32, 33, 127, 128, 129, 160, 1000} {
				x, y := make([]uint32, n), make([]uint32, n)
				first := uint32(0xfffe00 + k)
				std.counter(lo, hi&0xffffffff, first, x)
				fast.counter(lo, hi&0xffffffff, first, y)
				if !slices.Equal(x, y) {
					t.Fatalf("%v: %d words from block %d differ", level, n, first)
				}
			}
		}
	}
}

// BenchmarkLevels is the words of 200,019 ids on what this machine offers.
func BenchmarkLevels(b *testing.B) {
	for _, level := range levels() {
		b.Run(fmt.Sprint(level), func(b *testing.B) {
			var c aes128
			words := make([]uint32, 1024)
			c.setLevel(&[16]byte{}, level)
			b.ReportAllocs()
			for n := uint64(0); b.Loop(); n++ {
				for first := 0; first < largest; first += len(words) {
					c.counter(n, 0, uint32(first)>>2, words)
				}
			}
		})
	}
}
