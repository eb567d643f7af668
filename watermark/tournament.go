package watermark

import (
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
// With n leaves, n draws meet: the factors are in outcome. Computed with R = 1 - G, the probability of g = 0, a factor is R or 1 + R and
// nothing cancels. Over the key p* averages to p. The score is the number of ones among the
// token's 30 g-values: Binomial(30, 1/2) under the null.
type tournament struct {
	core
	// The candidates of a step: ids, their words, and logits that become probabilities.
	ids   []int32
	drawn []uint32
	p     []float64

	width  int              // layers of a group: see play
	mass   [maxMass]float64 // by pattern of a group's bits: probability before the group
	factor [maxMass]float64 // by pattern: what the group multiplies p by
	logs   [3 * maxMass]float64
}

// Layers are played in groups of 5 or 10: see play.
const (
	narrow   = 5
	wide     = 10
	maxMass  = 1 << wide
	wideFrom = 2000 // candidates from which five passes saved pay for 1024 patterns
	// streamFrom is the number of candidates from which taking the whole
	// vocabulary's words as a stream beats asking one by one.
	streamFrom = 2500
)

func newTournament(c core) *tournament { return &tournament{core: c} }

func (t *tournament) Law() evidence.Law { return evidence.FairBits(layers) }

func (t *tournament) Score(window []int32, token int32) float64 {
	return float64(bits.OnesCount32(t.word(window, token) & (1<<layers - 1)))
}

func (t *tournament) Process(history []int32, logits []float32) {
	if !t.begin(history) {
		return
	}
	// Truncated logits are a short candidate list in disguise.
	t.room(len(logits))
	t.ids = t.ids[:0]
	for id, logit := range logits {
		if !math.IsInf(float64(logit), -1) {
			t.ids = append(t.ids, int32(id))
		}
	}
	t.room(len(t.ids))
	if len(t.ids) < streamFrom {
		for i, id := range t.ids {
			t.drawn[i], t.p[i] = t.src.Word(id), float64(logits[id])
		}
	} else {
		i := 0
		for from := 0; from < len(logits); from += piece {
			words := t.pieces.of(t.src, from, len(logits))
			for ; i < len(t.ids) && int(t.ids[i]) < from+len(words); i++ {
				id := t.ids[i]
				t.drawn[i], t.p[i] = words[int(id)-from], float64(logits[id])
			}
		}
	}
	norm, ok := t.play()
	if !ok {
		return
	}
	for i, id := range t.ids {
		logits[id] = float32(float64(logits[id]) - norm + t.logFactor(t.drawn[i]))
	}
}

func (t *tournament) ProcessCandidates(history, ids []int32, logits []float32) {
	if !t.begin(history) {
		return
	}
	t.room(len(ids))
	for i, id := range ids {
		t.drawn[i], t.p[i] = t.src.Word(id), float64(logits[i])
	}
	norm, ok := t.play()
	if !ok {
		return
	}
	for i, w := range t.drawn {
		logits[i] = float32(float64(logits[i]) - norm + t.logFactor(w))
	}
}

// room makes the scratch n candidates long.
func (t *tournament) room(n int) {
	if cap(t.ids) < n {
		t.ids, t.drawn, t.p = make([]int32, n), make([]uint32, n), make([]float64, n)
	}
	t.ids, t.drawn, t.p = t.ids[:n], t.drawn[:n], t.p[:n]
}

// play runs all layers on the candidates' words and logits (in p). The log of a
// candidate's modified probability is its logit - norm + logFactor(its word).
// It reports false where the logits are no distribution: all -Inf, a NaN, +Inf.
//
// It takes a pass over the candidates for each group of layers instead of one
// for each layer. A layer multiplies p(t) by a factor that depends on t only
// through its g-value, so the layers of a group see t only through the pattern
// of the group's bits in its word: the probability of each pattern is all that
// they need. One pass adds these up, the layers run on the patterns, and the
// next pass applies each pattern's factor.
func (t *tournament) play() (norm float64, ok bool) {
	words, p := t.drawn, t.p[:len(t.drawn)]
	t.width = narrow
	if len(p) >= wideFrom {
		t.width = wide
	}
	mask := uint32(1)<<t.width - 1
	top := math.Inf(-1)
	for _, x := range p {
		if x > top { // the built-in max would spread a NaN, at five times the cost
			top = x
		}
	}
	var sum float64
	clear(t.mass[:])
	for i, x := range p {
		x = math.Exp(x - top)
		p[i] = x
		sum += x
		t.mass[words[i]&mask] += x
	}
	if !(sum > 0) {
		return 0, false
	}
	t.group(0, sum)
	for shift := t.width; shift < layers; shift += t.width {
		clear(t.mass[:mask+1])
		for i, w := range words {
			w >>= shift - t.width
			x := p[i] * t.factor[w&mask]
			p[i] = x
			t.mass[w>>t.width&mask] += x
		}
		t.group(shift, sum)
	}
	return top + math.Log(sum), true
}

// group runs the layers whose bits begin at shift on the patterns' masses, which
// add up to sum, and sets the patterns' factors and their logarithms. After its
// own layer a bit matters to no later one of the group: pairs of patterns that
// differ only there are folded into one.
func (t *tournament) group(shift int, sum float64) {
	mass := t.mass[:1<<t.width]
	logs := t.logs[shift/t.width<<t.width:][:1<<t.width]
	t.factor[0], logs[0] = 1, 0
	for l := range t.width {
		var red float64
		for i := 0; i < len(mass); i += 2 {
			red += mass[i]
		}
		red /= sum
		lose, win := t.outcome(red)
		half := mass[:len(mass)/2]
		for i := range half {
			half[i] = mass[2*i]*lose + mass[2*i+1]*win
		}
		mass = half
		logLose, logWin := math.Log(lose), math.Log(win)
		for i := range 1 << l {
			t.factor[i|1<<l], logs[i|1<<l] = t.factor[i]*win, logs[i]+logWin
			t.factor[i], logs[i] = t.factor[i]*lose, logs[i]+logLose
		}
	}
}

func (t *tournament) outcome(red float64) (lose, win float64) {
	if t.spec.Params.Leaves == 0 {
		return red, 1 + red
	}
	return outcome(red, t.spec.Params.Leaves)
}

// outcome is what a layer multiplies the probability of a token by whose g is 0
// or 1, when the tokens with g = 0 have probability red together and n draws
// meet: red^(n-1), and (1-red^n)/(1-red) summed term by term.
func outcome(red float64, n int) (lose, win float64) {
	lose, win = 1, 1
	for range n - 1 {
		lose *= red
		win += lose
	}
	return lose, win
}

// logFactor is the logarithm of what all layers multiplied a word's p by.
func (t *tournament) logFactor(w uint32) float64 {
	if t.width == wide {
		const size = 1 << wide
		return t.logs[w%size] + t.logs[size+w>>wide%size] + t.logs[2*size+w>>(2*wide)%size]
	}
	const size = 1 << narrow
	return t.logs[w%size] + t.logs[size+w>>narrow%size] + t.logs[2*size+w>>(2*narrow)%size] +
		t.logs[3*size+w>>(3*narrow)%size] + t.logs[4*size+w>>(4*narrow)%size] + t.logs[5*size+w>>(5*narrow)%size]
}

func (t *tournament) Clone() Scheme { return &tournament{core: t.clone()} }
