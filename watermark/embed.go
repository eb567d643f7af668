package watermark

import (
	"fmt"
	"math"
)

// GreenLister is a scheme whose green list depends on the context alone, so that
// the list can be handed to a sampler elsewhere, such as a kernel that applies
// bit masks on an accelerator. kgw with left hashing and the presets of green
// lists without self-salt are ones; [Lister] finds out.
type GreenLister interface {
	Scheme
	// GreenMask writes the green list of the step after history, one bit for each
	// token of the vocabulary: token t is bit t mod 32 of mask[t/32]. mask has
	// MaskWords(Vocab) words; bits beyond the vocabulary are 0. Where the step is
	// not marked (see Process) it reports false and mask is all 0.
	GreenMask(history []int32, mask []uint32) (marked bool)
	// Bias is what a green logit gains, in nats.
	Bias() float32
}

// Noiser is a scheme that samples by the maximum of logit plus keyed noise, which
// a sampler elsewhere can add itself.
type Noiser interface {
	Scheme
	// Noise writes the standard Gumbel variate of each token under the step after
	// history: the token with the largest logit (natural logarithms, after
	// temperature and truncation) plus noise is the one to take. Where the step is
	// not marked it reports false and noise is all 0: sample as ever.
	Noise(history, ids []int32, noise []float32) (marked bool)
}

// MaskWords is the number of 32-bit words of a mask over a vocabulary.
func MaskWords(vocab int) int { return (vocab + 31) / 32 }

// Lister returns a scheme as a [GreenLister], or false where it has no list of
// that kind.
func Lister(s Scheme) (GreenLister, bool) {
	switch g := s.(type) {
	case *selfHash: // each candidate has a list of its own
		return nil, false
	case *green:
		if g.top > 0 {
			return nil, false
		}
	case *sbw:
		if g.colours.(*sbwColours).self {
			return nil, false
		}
	}
	l, ok := s.(GreenLister)
	return l, ok
}

func checkMask(s Spec, mask []uint32) {
	if want := MaskWords(s.Vocab); len(mask) != want {
		panic(fmt.Sprintf("watermark: a mask of %d words, where %d tokens need %d", len(mask), s.Vocab, want))
	}
}

// GreenMask implements [GreenLister].
func (k *kgw) GreenMask(history []int32, mask []uint32) bool {
	checkMask(k.spec, mask)
	if !k.begin(history) {
		clear(mask)
		return false
	}
	for from := 0; from < k.spec.Vocab; from += piece {
		words := k.pieces.of(k.src, from, k.spec.Vocab)
		for i := 0; i < len(words); i += 32 {
			group := words[i:min(i+32, len(words))]
			var bits uint32
			for _, word := range group {
				// The sign of word - threshold is set where the word is green.
				bits = bits>>1 | uint32((int64(word)-int64(k.threshold))>>32)&(1<<31)
			}
			mask[(from+i)/32] = bits >> (32 - len(group))
		}
	}
	return true
}

// Bias implements [GreenLister].
func (k *kgw) Bias() float32 { return math.Float32frombits(k.delta) }

// GreenMask implements [GreenLister] where the rule is not self-salted.
func (g *green) GreenMask(history []int32, mask []uint32) bool {
	checkMask(g.spec, mask)
	clear(mask)
	window, ok := g.marked(history)
	if !ok {
		return false
	}
	g.list(g.seed(window, -1), g.spec.Vocab, func(token int32) { mask[token>>5] |= 1 << (token & 31) })
	return true
}

// Bias implements [GreenLister].
func (g *green) Bias() float32 { return g.bias }

// Noise implements [Noiser].
func (g *gumbel) Noise(history, ids []int32, noise []float32) bool {
	if len(ids) != len(noise) {
		panic("watermark: as many variates as ids are wanted")
	}
	if !g.begin(history) {
		clear(noise)
		return false
	}
	for i, id := range ids {
		noise[i] = float32(g.noise(g.src.Word(id)))
	}
	return true
}
