package watermark

import (
	"encoding/binary"
	"math"

	"github.com/stillmark/stillmark/watermark/evidence"
)

// kgw is the green list of Kirchenbauer et al. ("A watermark for large language
// models", ICML 2023) in its Bernoulli form: a token is green if its word is
// below gamma * 2^32, independently of all others, and green logits gain delta.
// The paper's list is a permutation's prefix of fixed size; independent draws
// make the null count of green tokens exactly binomial, and one token's colour
// cost one word.
type kgw struct {
	core
	threshold int64  // green words are below it; at most 2^32
	delta     uint32 // bits of float32(delta)
}

func newKGW(c core) *kgw {
	return &kgw{
		core:      c,
		threshold: int64(math.Ceil(math.Ldexp(c.spec.Params.Gamma, 32))),
		delta:     math.Float32bits(float32(c.spec.Params.Delta)),
	}
}

// Law has the rate at which words are green, which is gamma rounded up to a
// multiple of 2^-32.
func (k *kgw) Law() evidence.Law {
	return evidence.Bernoulli(math.Ldexp(float64(k.threshold), -32))
}

func (k *kgw) Score(window []int32, token int32) float64 {
	if int64(k.word(window, token)) < k.threshold {
		return 1
	}
	return 0
}

// bonus is delta (its bits) for a green word and 0 for another, without a
// branch: one token in four is green at random, which no branch predictor
// follows, and a mispredicted branch costs five times as much as all the rest.
func bonus(word uint32, threshold int64, delta uint32) float32 {
	return math.Float32frombits(uint32((int64(word)-threshold)>>63) & delta)
}

func (k *kgw) Process(history []int32, logits []float32) {
	if !k.begin(history) {
		return
	}
	words, threshold, delta := k.src.Stream(len(logits)), k.threshold, k.delta
	for len(logits) >= 4 && len(words) >= 16 {
		a, b := binary.LittleEndian.Uint64(words), binary.LittleEndian.Uint64(words[8:])
		logits[0] += bonus(uint32(a), threshold, delta)
		logits[1] += bonus(uint32(a>>32), threshold, delta)
		logits[2] += bonus(uint32(b), threshold, delta)
		logits[3] += bonus(uint32(b>>32), threshold, delta)
		logits, words = logits[4:], words[16:]
	}
	for i := range logits {
		logits[i] += bonus(binary.LittleEndian.Uint32(words[4*i:]), threshold, delta)
	}
}

func (k *kgw) ProcessCandidates(history, ids []int32, logits []float32) {
	if !k.begin(history) {
		return
	}
	for i, id := range ids {
		logits[i] += bonus(k.src.Word(id), k.threshold, k.delta)
	}
}

func (k *kgw) Clone() Scheme {
	return &kgw{core: k.clone(), threshold: k.threshold, delta: k.delta}
}
