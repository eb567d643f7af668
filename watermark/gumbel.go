package watermark

import (
	"math"

	"github.com/stillmark/stillmark/watermark/evidence"
)

// gumbel is Aaronson's sampler (S. Aaronson, "Watermarking of large language
// models", Simons Institute, 2022) in its Gumbel-max form: the token with the
// largest logit + Gumbel noise is chosen, the noise being a function of the
// word. Over the key each token is chosen with its own probability, so one
// step's distribution is unchanged; under one key the choice is deterministic.
//
// With u = (word + 1/2) / 2^32 the noise is -ln(-ln u) and the score
// -ln(1-u): exponential with mean 1 under the null, at most 22.9, never infinite.
//
// On philox-v1 the scheme is vLLM's, byte for byte: its uniform has 24 bits in
// float32, ((word>>8) + 1) / (2^24 + 1), which bounds the score by 16.6, and its
// windows are padded with -1, so that every generated token is marked and scored.
type gumbel struct {
	core
	vllm   bool
	bounds *gumbelBounds // made by the first Process, shared by clones
}

func newGumbel(c core) *gumbel {
	vllm := c.spec.PRF == Philox
	if vllm {
		c.conv.first, c.conv.pad = 0, true
	}
	return &gumbel{core: c, vllm: vllm}
}

func (g *gumbel) Law() evidence.Law { return evidence.Exponential() }

func (g *gumbel) Score(window []int32, token int32) float64 {
	if g.vllm {
		return -math.Log1p(-vllmUniform(g.word(window, token)))
	}
	// 1 - u is exact, so this is -log1p(-u).
	return negLog(^g.word(window, token))
}

// uniform maps a word into the open unit interval: (word + 1/2) / 2^32, which
// float64 holds exactly. 1 - uniform(word) is uniform(^word).
func uniform(word uint32) float64 { return (float64(word) + .5) * 0x1p-32 }

// vllmUniform is vLLM's: rounded to float32, never 0 and never 1.
func vllmUniform(word uint32) float64 {
	return float64(float32(float64(word>>8+1) / (1<<24 + 1)))
}

// noise is the standard Gumbel variate of a word under the scheme's uniform.
func (g *gumbel) noise(word uint32) float64 {
	if g.vllm {
		return -math.Log(-math.Log(vllmUniform(word)))
	}
	return gumbelNoise(word)
}

// gumbelNoise is the standard Gumbel variate of a word.
func gumbelNoise(word uint32) float64 { return -math.Log(-math.Log(uniform(word))) }

// gumbelBounds holds, by a word's top ten bits, an upper bound of its noise.
// The two logarithms of a token are then taken only where the bound could still
// beat the best token so far: for a few in a thousand.
type gumbelBounds [1 << 10]float64

func (g *gumbel) noiseBounds() *gumbelBounds {
	if g.bounds == nil {
		g.bounds = newGumbelBounds(g.noise)
	}
	return g.bounds
}

func newGumbelBounds(noise func(word uint32) float64) *gumbelBounds {
	var b gumbelBounds
	for i := range b {
		// Noise grows with the word: the bucket's last word bounds it. The
		// slack is far above the rounding of two logarithms (1e-14).
		b[i] = noise(uint32(i)<<22|(1<<22-1)) + 1e-9
	}
	return &b
}

func (g *gumbel) Process(history []int32, logits []float32) {
	if !g.begin(history) {
		return
	}
	ids, kept, few := g.left.of(logits)
	if !few {
		keepOnly(logits, g.chooseAll(logits))
		return
	}
	keepOnly(kept, g.choose(ids, kept))
	for i, id := range ids {
		logits[id] = kept[i]
	}
}

// chooseAll is choose on the whole vocabulary.
func (g *gumbel) chooseAll(logits []float32) int {
	bounds := g.noiseBounds()
	best, chosen := math.Inf(-1), -1
	for from := 0; from < len(logits); from += piece {
		for i, word := range g.pieces.of(g.src, from, len(logits)) {
			x := float64(logits[from+i])
			if x+bounds[word>>22] <= best {
				continue
			}
			if x += g.noise(word); x > best {
				best, chosen = x, from+i
			}
		}
	}
	return chosen
}

func (g *gumbel) ProcessCandidates(history, ids []int32, logits []float32) {
	if g.begin(history) {
		keepOnly(logits, g.choose(ids, logits))
	}
}

// choose is the index of the token that the step takes, -1 where nothing can be.
func (g *gumbel) choose(ids []int32, logits []float32) int {
	bounds := g.noiseBounds()
	best, chosen := math.Inf(-1), -1
	for i, id := range ids {
		word, x := g.src.Word(id), float64(logits[i])
		if x+bounds[word>>22] <= best {
			continue
		}
		// Among equals the smallest id wins, as in Process.
		if x += g.noise(word); x > best || x == best && chosen >= 0 && id < ids[chosen] {
			best, chosen = x, i
		}
	}
	return chosen
}

// keepOnly sets all logits but one to -Inf. Without a chosen one (nothing can
// be sampled) they stay as they are.
func keepOnly(logits []float32, chosen int) {
	if chosen < 0 {
		return
	}
	kept := logits[chosen]
	never := float32(math.Inf(-1))
	for i := range logits {
		logits[i] = never
	}
	logits[chosen] = kept
}

func (g *gumbel) Clone() Scheme { return &gumbel{core: g.clone(), vllm: g.vllm, bounds: g.bounds} }
