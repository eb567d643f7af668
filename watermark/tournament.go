package watermark

import (
	"encoding/binary"
	"math"
	"math/bits"

	"github.com/stillmark/stillmark/watermark/evidence"
)

// layers is the depth of the tournament: bit l of a word is the token's g-value
// in layer l. 30 is the depth that SynthID-Text is served with.
const layers = 30

// tournament is the two-way tournament of SynthID-Text (Dathathri et al.,
// "Scalable watermarking for identifying large language model outputs", Nature
// 634, 2024) on independent g-values. In each layer two draws from p meet and
// the one with the larger g wins, a coin deciding ties, which turns p into
//
//	p*(t) = p(t) * (1 + g(t) - G),  G = sum over t of p(t) g(t).
//
// Over the key p* averages to p. The score is the number of ones among the
// token's 30 g-values: Binomial(30, 1/2) under the null.
type tournament struct {
	core
	// Scratch of Process: the support of truncated logits, and probabilities.
	ids   []int32
	words []uint32
	p     []float64
	// Scratch of large supports: see bucketed.
	buckets *buckets
}

func newTournament(c core) *tournament { return &tournament{core: c} }

func (t *tournament) Law() evidence.Law { return evidence.FairBits(layers) }

func (t *tournament) Score(window []int32, token int32) float64 {
	return float64(bits.OnesCount32(t.word(window, token) & (1<<layers - 1)))
}

// smallSupport is the number of candidates up to which layer after layer over
// the candidates beats the bucketed form, whose cost starts at its table size.
const smallSupport = 1024

func (t *tournament) Process(history []int32, logits []float32) {
	if !t.begin(history) {
		return
	}
	// Truncated logits are a short candidate list in disguise.
	t.ids = t.ids[:0]
	top := math.Inf(-1)
	for id, logit := range logits {
		if x := float64(logit); x > math.Inf(-1) {
			top = max(top, x)
			if len(t.ids) <= smallSupport {
				t.ids = append(t.ids, int32(id))
			}
		}
	}
	if len(t.ids) > smallSupport {
		t.bucketed(t.src.Stream(len(logits)), logits, top)
		return
	}
	t.begins(len(t.ids))
	for i, id := range t.ids {
		t.words[i], t.p[i] = t.src.Word(id), float64(logits[id])
	}
	if t.play(t.words, t.p, top) {
		for i, id := range t.ids {
			logits[id] = float32(math.Log(t.p[i]))
		}
	}
}

func (t *tournament) ProcessCandidates(history, ids []int32, logits []float32) {
	if !t.begin(history) {
		return
	}
	t.begins(len(ids))
	top := math.Inf(-1)
	for i, id := range ids {
		t.words[i], t.p[i] = t.src.Word(id), float64(logits[i])
		top = max(top, t.p[i])
	}
	if t.play(t.words, t.p, top) {
		for i, p := range t.p {
			logits[i] = float32(math.Log(p))
		}
	}
}

// begins makes room for n candidates.
func (t *tournament) begins(n int) {
	if cap(t.words) < n {
		t.words, t.p = make([]uint32, n), make([]float64, n)
	}
	t.words, t.p = t.words[:n], t.p[:n]
}

// play turns the candidates' logits in p, of which top is the largest, into
// probabilities after all layers. It reports false, leaving nothing usable in
// p, where the logits are no distribution (all -Inf, or a NaN or +Inf).
func (t *tournament) play(words []uint32, p []float64, top float64) bool {
	var sum float64
	for i, x := range p {
		p[i] = math.Exp(x - top)
		sum += p[i]
	}
	if !(sum > 0) {
		return false
	}
	words = words[:len(p)]
	var green float64 // G of the layer
	for i := range p {
		p[i] /= sum
		green += p[i] * float64(words[i]&1)
	}
	for l := range layers {
		factor := matchFactors(green)
		green = 0
		for i, w := range words {
			p[i] *= factor[w>>l&1]
			green += p[i] * float64(w>>(l+1)&1)
		}
	}
	return true
}

// matchFactors returns 1 + g - G for g = 0 and 1. G is a sum of probabilities:
// rounding may carry it past 1 by an ulp, which must not make a negative p.
func matchFactors(green float64) [2]float64 {
	green = min(green, 1)
	return [2]float64{1 - green, 2 - green}
}

func (t *tournament) Clone() Scheme { return &tournament{core: t.clone()} }

// buckets is the scratch of the tournament over a large support.
type buckets struct {
	p      []float64                       // per token: probability after the groups so far
	mass   [1 << groupBits]float64         // per pattern of the group's bits: probability before it
	factor [1 << groupBits]float64         // product of the group's match factors
	log    [groups][1 << groupBits]float64 // its logarithm
}

// Layers in groups of ten: see bucketed.
const (
	groupBits = 10
	groups    = layers / groupBits
)

// bucketed plays the tournament over a whole vocabulary in four passes instead
// of thirty. A layer multiplies p(t) by a factor that depends on t only through
// its g-value, so the ten layers of a group see t only through ten bits of its
// word: the probability of each of the 1024 patterns is all that they need. One
// pass adds it up, the layers run on the patterns, and the next pass applies
// each pattern's factor. The log of the modified probability is the logit less
// the log of the normalising sum, plus the logs of three factors, which are
// tabulated: no logarithm is taken per token.
func (t *tournament) bucketed(words []byte, logits []float32, top float64) {
	if t.buckets == nil {
		t.buckets = new(buckets)
	}
	b := t.buckets
	if cap(b.p) < len(logits) {
		b.p = make([]float64, len(logits))
	}
	b.p = b.p[:len(logits)]
	var sum float64
	clear(b.mass[:])
	for i, logit := range logits {
		p := math.Exp(float64(logit) - top)
		b.p[i] = p
		sum += p
		b.mass[binary.LittleEndian.Uint32(words[4*i:])%(1<<groupBits)] += p
	}
	if !(sum > 0) {
		return
	}
	for g := range groups {
		if g > 0 {
			shift := groupBits * (g - 1)
			clear(b.mass[:])
			for i := range b.p {
				w := binary.LittleEndian.Uint32(words[4*i:]) >> shift
				b.p[i] *= b.factor[w%(1<<groupBits)]
				b.mass[w>>groupBits%(1<<groupBits)] += b.p[i]
			}
		}
		b.playGroup(g, sum)
	}
	norm := top + math.Log(sum)
	for i, logit := range logits {
		w := binary.LittleEndian.Uint32(words[4*i:])
		x := float64(logit) - norm
		for g := range groups {
			x += b.log[g][w>>(groupBits*g)%(1<<groupBits)]
		}
		logits[i] = float32(x)
	}
}

// playGroup runs the ten layers of one group on the patterns' masses, which add
// up to sum, and sets the patterns' factors and their logarithms.
func (b *buckets) playGroup(g int, sum float64) {
	for i := range b.factor {
		b.factor[i] = 1
	}
	for l := range groupBits {
		var green float64
		for i, m := range b.mass {
			green += m * b.factor[i] * float64(i>>l&1)
		}
		match := matchFactors(green / sum)
		for i := range b.factor {
			b.factor[i] *= match[i>>l&1]
		}
	}
	for i, f := range b.factor {
		b.log[g][i] = math.Log(f)
	}
}
