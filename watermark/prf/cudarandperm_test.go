package prf

import (
	"fmt"
	"slices"
	"sort"
	"testing"
)

// TestCUDAUniforms: the draws under the derivation are those of
// torch.manual_seed(0); torch.rand(8, device="cuda"), as printed in public
// threads: a word times 2^-32 plus 2^-33, the word x of each thread's block.
func TestCUDAUniforms(t *testing.T) {
	t.Parallel()
	for i, want := range []string{"0.3990", "0.5167", "0.0249", "0.9401", "0.9459", "0.7967", "0.4150", "0.8203"} {
		w := philox10([4]uint32{0, 0, uint32(i), 0}, 0, 0)
		if got := fmt.Sprintf("%.4f", (float64(w[0])+0.5)/(1<<32)); got != want {
			t.Errorf("uniform %d is %s, want %s", i, got, want)
		}
	}
}

// TestCUDARandpermDerived: the head of the GPT-2 green list after token 262 as
// derived apart from this code. No device has confirmed it.
func TestCUDARandpermDerived(t *testing.T) {
	t.Parallel()
	seed := AdditivePRF.Seed(nil, 15485863, []int32{262})
	for _, resident := range []int{50432, 221184, 270336} {
		list := NewCUDARandperm(50257, resident, false).List(nil, seed, 6)
		if want := []int32{32481, 30783, 14096, 13714, 32061, 19858}; !slices.Equal(list, want) {
			t.Errorf("%d threads: %v, want %v", resident, list, want)
		}
	}
	if list := NewCUDARandperm(50257, 40960, false).List(nil, seed, 6); list[0] == 32481 && list[1] == 30783 {
		t.Errorf("a smaller device has the same list %v", list)
	}
}

// plainCUDARandperm follows the kernels element by element. It returns how many
// elements share a key with another one, too.
func plainCUDARandperm(n, resident, bits int, perKey int, modulus, seed uint64) ([]int32, int) {
	threads := min(resident, (n+255)/256*256)
	k0, k1 := uint32(seed), uint32(seed>>32)
	type item struct {
		key uint64
		id  int32
	}
	items := make([]item, n)
	for li := range n {
		thread, slot := li%threads, li/threads
		w := philox10([4]uint32{uint32(slot / perKey), 0, uint32(thread), 0}, k0, k1)
		var draw uint64
		if perKey == 4 {
			draw = uint64(w[slot%4])
		} else {
			draw = uint64(w[slot%2*2])<<32 | uint64(w[slot%2*2+1])
		}
		items[li] = item{draw % modulus % (1 << bits), int32(li)}
	}
	sort.SliceStable(items, func(a, b int) bool { return items[a].key < items[b].key })
	rounds, shared := 0, 0
	for base := 0; base < n; base += threads * perKey {
		rounds++
	}
	for s := 0; s < n; s++ {
		if s > 0 && items[s].key == items[s-1].key {
			continue
		}
		size := 1
		for s+size < n && items[s+size].key == items[s].key {
			size++
		}
		if size > 1 {
			shared += size
		}
		for i, drawn := size-1, 0; i > 0; i-- {
			w := philox10([4]uint32{uint32(rounds + drawn/4), 0, uint32(s), 0}, k0, k1)
			r := int(w[drawn%4]) % (i + 1)
			items[s+i], items[s+r] = items[s+r], items[s+i]
			drawn++
		}
	}
	ids := make([]int32, n)
	for i, it := range items {
		ids[i] = it.id
	}
	return ids, shared
}

// TestCUDARandpermPlain compares lists with the element-wise form over sizes,
// devices and both kinds of 32-bit keys; equal keys occur on the way.
func TestCUDARandpermPlain(t *testing.T) {
	t.Parallel()
	shared := 0
	for _, c := range []struct {
		n, resident, bits int
		words32           bool
		perKey            int
		modulus           uint64
	}{
		{1, 256, 3, false, 2, 1<<32 - 1},
		{2, 256, 5, true, 4, 1<<32 - 1},
		{300, 256, 19, false, 2, 1<<32 - 1},
		{300, 256, 19, true, 4, 1<<32 - 1},
		{1000, 512, 23, false, 2, 1<<32 - 1},
		{30083, 40960, 32, false, 2, 1<<32 - 1},
		{30083, 1024, 32, true, 4, 1<<32 - 1},
		{30084, 40960, 33, true, 2, 1<<64 - 1},
		{50257, 4096, 34, false, 2, 1<<64 - 1},
		{128256, 89088, 37, false, 2, 1<<64 - 1},
	} {
		p := NewCUDARandperm(c.n, c.resident, c.words32)
		if p.keyBits != c.bits {
			t.Errorf("n %d: %d key bits, want %d", c.n, p.keyBits, c.bits)
			continue
		}
		for seed := range uint64(max(1, min(100, 10000/c.n))) {
			seed = seed * 0x9e3779b97f4a7c15
			want, equal := plainCUDARandperm(c.n, c.resident, c.bits, c.perKey, c.modulus, seed)
			shared += equal
			if got := p.List(nil, seed, c.n); !slices.Equal(got, want) {
				t.Fatalf("n %d, %d threads, seed %d differs", c.n, c.resident, seed)
			}
		}
	}
	if shared == 0 {
		t.Error("no equal keys in the sample: the shuffle of runs is not tested")
	}
}

// TestCUDASynthIDTable: ones and head of the table of seed 0 as derived apart
// from this code, and its independence of the device from 65536 threads on.
func TestCUDASynthIDTable(t *testing.T) {
	t.Parallel()
	table := NewCUDASynthIDTable(0, 221184)
	ones, agree := 0, 0
	cpu := NewSynthIDTable(0)
	for i := range uint64(SynthIDTableSize) {
		ones += int(table.Bit(i))
		if table.Bit(i) == cpu.Bit(i) {
			agree++
		}
	}
	if ones != 32787 {
		t.Errorf("%d ones, want 32787", ones)
	}
	if head := bitsOf(table[0], 32); head != "11101011010100000101011101001101" {
		t.Errorf("starts %s", head)
	}
	if share := float64(agree) / SynthIDTableSize; share < .5025 || share > .5035 {
		t.Errorf("agrees with the CPU's on %.4f, want .503", share)
	}
	if *NewCUDASynthIDTable(0, 65536) != *table {
		t.Error("65536 threads make another table")
	}
	if *NewCUDASynthIDTable(0, 40960) == *table {
		t.Error("40960 threads make the same table")
	}
}

func BenchmarkCUDARandperm(b *testing.B) {
	for _, v := range vocabularies {
		b.Run(fmt.Sprintf("V=%d", v.n), func(b *testing.B) {
			p := NewCUDARandperm(v.n, 221184, false)
			list := p.List(nil, 0, v.k)
			b.ReportAllocs()
			var seed uint64
			for b.Loop() {
				seed++
				list = p.List(list, seed, v.k)
			}
		})
	}
}
