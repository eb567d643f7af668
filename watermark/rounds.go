package watermark

import (
	"math"
	"math/bits"

	"github.com/stillmark/stillmark/watermark/evidence"
)

// rounds is the tournament of SynthID-Text on g-values of another stack. Their
// layers correlate, so that the sum of ones has no analytic law: presets on it
// are ranked among decoys only, and Law is that of independent layers.
type rounds struct {
	foreign
	layered
	depth, leaves int
	ring          int       // contexts remembered for masking; 0 for all
	weights       []float64 // of the layers in the score; nil: all 1
	ids           []int32
	g             []uint64
	p             []float64
}

// layered gives the g-values of a token: bit l is layer l's.
type layered interface {
	enter(window []int32)
	bits(token int32) uint64
	clone() layered
}

func newRounds(f foreign, g layered, depth, leaves int) *rounds {
	return &rounds{foreign: f, layered: g, depth: depth, leaves: leaves}
}

func (r *rounds) Law() evidence.Law { return evidence.FairBits(r.depth) }

func (r *rounds) Score(window []int32, token int32) float64 {
	r.enter(window)
	g := r.bits(token)
	if r.weights == nil {
		return float64(bits.OnesCount64(g))
	}
	var sum float64
	for l, w := range r.weights {
		sum += w * float64(g>>l&1)
	}
	return sum
}

// weighLayers is the scheme whose score is SynthID-Text's weighted mean (Dathathri
// et al., Nature 634, 2024, supplementary C): layer weights fall linearly from 10 to
// 1 and add up to the number of layers, so that the null mean is as without them.
func (r *rounds) weighLayers() *rounds {
	c := r.Clone().(*rounds)
	c.weights = make([]float64, r.depth)
	var sum float64
	for l := range c.weights {
		c.weights[l] = 10
		if r.depth > 1 {
			c.weights[l] -= 9 * float64(l) / float64(r.depth-1)
		}
		sum += c.weights[l]
	}
	for l := range c.weights {
		c.weights[l] *= float64(r.depth) / sum
	}
	return c
}

// spread is the variance of a score of independent layers against that without
// weights.
func (r *rounds) spread() float64 {
	if r.weights == nil {
		return 1
	}
	var squares float64
	for _, w := range r.weights {
		squares += w * w
	}
	return squares / float64(r.depth)
}

func (r *rounds) Process(history []int32, logits []float32) { r.play(history, nil, logits) }

func (r *rounds) ProcessCandidates(history, ids []int32, logits []float32) {
	r.play(history, ids, logits)
}

// play replaces logits by logs of the modified probabilities.
func (r *rounds) play(history, ids []int32, logits []float32) {
	window, ok := r.step(history)
	if !ok {
		return
	}
	r.enter(window)
	top := math.Inf(-1)
	for _, x := range logits {
		top = math.Max(top, float64(x))
	}
	if math.IsInf(top, 0) || math.IsNaN(top) {
		return
	}
	r.ids, r.g, r.p = r.ids[:0], r.g[:0], r.p[:0]
	var sum float64
	for i, x := range logits {
		if math.IsInf(float64(x), -1) {
			continue
		}
		p := math.Exp(float64(x) - top)
		r.ids, r.g, r.p = append(r.ids, int32(i)), append(r.g, r.bits(idAt(ids, i))), append(r.p, p)
		sum += p
	}
	// One pass for each layer: it applies the factors of the layer before and adds
	// up this layer's probability of g = 0, by the bit and without a branch.
	factor := [2]float64{1, 1}
	for l := range r.depth {
		var mass [2]float64
		before := max(l-1, 0)
		for i, g := range r.g {
			p := r.p[i] * factor[g>>before&1]
			r.p[i] = p
			mass[g>>l&1] += p
		}
		factor[0], factor[1] = outcome(mass[0]/sum, r.leaves)
	}
	for i, g := range r.g {
		r.p[i] *= factor[g>>(r.depth-1)&1]
	}
	for i, at := range r.ids {
		logits[at] = float32(math.Log(r.p[i] / sum))
	}
}

// step is the window of the next step, if that is marked: with masking, if it is
// none of the last ring ones.
func (r *rounds) step(history []int32) ([]int32, bool) {
	if r.ring == 0 {
		return r.marked(history)
	}
	window := r.padded(history)
	if r.spec.Params.Repeats != MaskRepeats {
		return window, true
	}
	for n := len(history) - 1; n >= max(0, len(history)-r.ring); n-- {
		if r.same(history, n) {
			return nil, false
		}
	}
	return window, true
}

// padded is the last tokens with zeros before the first.
func (r *rounds) padded(history []int32) []int32 {
	clear(r.scratch)
	h := min(len(history), len(r.scratch))
	copy(r.scratch[len(r.scratch)-h:], history[len(history)-h:])
	return r.scratch
}

// same reports whether the window after n tokens is the one after all.
func (r *rounds) same(history []int32, n int) bool {
	for i := 1; i <= r.conv.width; i++ {
		var a, b int32
		if n >= i {
			a = history[n-i]
		}
		if len(history) >= i {
			b = history[len(history)-i]
		}
		if a != b {
			return false
		}
	}
	return true
}

func (r *rounds) Clone() Scheme {
	c := newRounds(r.foreign.clone(), r.layered.clone(), r.depth, r.leaves)
	c.ring, c.weights = r.ring, r.weights
	return c
}
