package watermark

import (
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
	threshold uint32 // green words are below it
	delta     uint32 // bits of float32(delta)
}

func newKGW(c core) *kgw {
	return &kgw{
		core:      c,
		threshold: uint32(math.Ceil(math.Ldexp(c.spec.Params.Gamma, 32))),
		delta:     math.Float32bits(float32(c.spec.Params.Delta)),
	}
}

// Law has the rate at which words are green, which is gamma rounded up to a
// multiple of 2^-32.
func (k *kgw) Law() evidence.Law {
	return evidence.Bernoulli(math.Ldexp(float64(k.threshold), -32))
}

func (k *kgw) Score(window []int32, token int32) float64 {
	if k.word(window, token) < k.threshold {
		return 1
	}
	return 0
}

// bonus is delta (its bits) for a green word and 0 for another, without a
// branch: one token in four is green at random, which no branch predictor
// follows, and a mispredicted branch costs five times as much as all the rest.
func bonus(word, threshold, delta uint32) float32 {
	return math.Float32frombits(uint32((int64(word)-int64(threshold))>>63) & delta)
}

func addBonusEach(logits []float32, words []uint32, threshold, delta uint32) {
	for i, word := range words {
		logits[i] += bonus(word, threshold, delta)
	}
}

func (k *kgw) Process(history []int32, logits []float32) {
	if !k.begin(history) {
		return
	}
	for from := 0; from < len(logits); from += piece {
		words := k.pieces.of(k.src, from, len(logits))
		addBonus(logits[from:from+len(words)], words, k.threshold, k.delta)
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
