package watermark

import (
	"math"
	"testing"
)

// A mask has exactly the tokens that Process favours, for every scheme that has
// one list per context, native or not. The vocabulary is no multiple of 32.
func TestGreenMask(t *testing.T) {
	t.Parallel()
	const vocab = 1003
	for _, name := range PRFs() {
		l, ok := Lister(drawn(t, Spec{Scheme: KGW, PRF: name, Tokenizer: "ids", Vocab: vocab}))
		if !ok {
			t.Fatalf("kgw on %s has no list", name)
		}
		sameList(t, l)
	}
	eachPreset(t, func(t *testing.T, p Preset, params map[string]string) {
		if l, ok := Lister(imported(t, p.Name, vocab, params)); ok {
			sameList(t, l)
		}
	})
	for _, name := range []string{"hf-kgw-lefthash", "tgi", "vllm-sbw", "three-bricks-kgw"} {
		p, _ := PresetByName(name)
		if _, ok := Lister(imported(t, name, vocab, private(p, 1))); !ok {
			t.Errorf("%s has no list", name)
		}
	}
}

func sameList(t *testing.T, s GreenLister) {
	t.Helper()
	vocab := s.Spec().Vocab
	mask, logits := make([]uint32, MaskWords(vocab)), make([]float32, vocab)
	history := []int32{5, 9, 2, 7, 7, 1, 3}
	for n := range len(history) + 1 {
		clear(logits)
		s.Process(history[:n], logits)
		marked := s.GreenMask(history[:n], mask)
		green := 0
		for i, x := range logits {
			bit := mask[i/32]>>(i%32)&1 == 1
			if bit != (x != 0) || bit && x != s.Bias() {
				t.Fatalf("%s after %d tokens: token %d has bit %v and gains %v; the bias is %v", s.Name(), n, i, bit, x, s.Bias())
			}
			if bit {
				green++
			}
		}
		if mask[len(mask)-1]>>(vocab%32) != 0 {
			t.Errorf("%s: bits beyond the vocabulary are set", s.Name())
		}
		if marked != (green > 0) {
			t.Errorf("%s after %d tokens: marked %v with %d green tokens", s.Name(), n, marked, green)
		}
	}
}

func drawn(t testing.TB, s Spec) Scheme {
	t.Helper()
	d, err := DecoyKey([32]byte{3}, 0, s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestNoLists(t *testing.T) {
	t.Parallel()
	for _, s := range []Spec{
		{Scheme: KGW, Params: Params{Seeding: SelfHash}, Tokenizer: "ids", Vocab: 500},
		{Scheme: Gumbel, Tokenizer: "ids", Vocab: 500},
	} {
		if _, ok := Lister(drawn(t, s)); ok {
			t.Errorf("%s %s has one list for all candidates", s.Scheme, s.Params.Seeding)
		}
	}
	p, _ := PresetByName("hf-kgw-selfhash")
	if _, ok := Lister(imported(t, p.Name, 500, private(p, 1))); ok {
		t.Error("a self-salted preset has one list for all candidates")
	}
}

// The token with the largest logit plus noise is the one that Process leaves.
func TestNoise(t *testing.T) {
	t.Parallel()
	for _, name := range PRFs() {
		s := drawn(t, Spec{Scheme: Gumbel, PRF: name, Tokenizer: "ids", Vocab: 400})
		n, ok := s.(Noiser)
		if !ok {
			t.Fatal("gumbel has no noise")
		}
		ids, noise := make([]int32, 400), make([]float32, 400)
		for i := range ids {
			ids[i] = int32(i)
		}
		history := []int32{3, 1, 4, 1, 5, 9, 2, 6}
		for k := range len(history) + 1 {
			logits := make([]float32, 400)
			for i := range logits {
				logits[i] = float32(math.Sin(float64(i*i + k)))
			}
			marked := n.Noise(history[:k], ids, noise)
			best := 0
			for i := range logits {
				if logits[i]+noise[i] > logits[best]+noise[best] {
					best = i
				}
			}
			s.Process(history[:k], logits)
			left := 0
			for _, x := range logits {
				if !math.IsInf(float64(x), -1) {
					left++
				}
			}
			if marked != (left == 1) || marked && math.IsInf(float64(logits[best]), -1) {
				t.Errorf("%s after %d tokens: marked %v, %d tokens left, best %d", name, k, marked, left, best)
			}
		}
	}
}

func TestEmbedDoesNotAllocate(t *testing.T) {
	history := []int32{3, 1, 4, 1, 5}
	k := drawn(t, Spec{Scheme: KGW, Tokenizer: "ids", Vocab: 5000}).(GreenLister)
	g := drawn(t, Spec{Scheme: Gumbel, Tokenizer: "ids", Vocab: 5000}).(Noiser)
	mask, ids, noise := make([]uint32, MaskWords(5000)), []int32{1, 2, 3}, make([]float32, 3)
	k.GreenMask(history, mask)
	g.Noise(history, ids, noise)
	if n := testing.AllocsPerRun(50, func() { k.GreenMask(history, mask); g.Noise(history, ids, noise) }); n > 0 {
		t.Errorf("%v allocations a step", n)
	}
}

func BenchmarkGreenMask(b *testing.B) {
	k := drawn(b, Spec{Scheme: KGW, Tokenizer: "ids", Vocab: 200_019}).(GreenLister)
	mask, history := make([]uint32, MaskWords(200_019)), []int32{1, 2, 3}
	b.ReportAllocs()
	for b.Loop() {
		history[2]++
		k.GreenMask(history, mask)
	}
}
