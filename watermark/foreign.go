package watermark

import (
	"fmt"
	"math"
	"slices"

	"github.com/stillmark/stillmark/watermark/evidence"
)

// foreign is what the presets share that do not run on a prf.Source: a window
// convention, and a seed that is all their generator sees of a window.
type foreign struct {
	spec    Spec
	conv    convention
	seed    seedRule
	scratch []int32
}

// seedRule is the seed of a token under a window. It is a pure function, shared
// by clones. Rules that do not salt a token with itself ignore it.
type seedRule func(window []int32, token int32) uint64

func newForeign(spec Spec, conv convention, seed seedRule) foreign {
	return foreign{spec: spec, conv: conv, seed: seed, scratch: make([]int32, conv.width)}
}

func (f *foreign) Name() string { return f.spec.Scheme }
func (f *foreign) PRF() string  { return f.spec.PRF }
func (f *foreign) Window() int  { return f.conv.width }
func (f *foreign) Spec() Spec   { return f.spec }

// Format writes the scheme's name, whatever the verb: no key may be printed.
func (f *foreign) Format(s fmt.State, _ rune) { fmt.Fprintf(s, "%s on %s", f.spec.Scheme, f.spec.PRF) }

func (f *foreign) WindowOf(history []int32) ([]int32, bool) {
	return f.conv.window(history, f.scratch)
}

func (f *foreign) seedOf(window []int32, token int32) uint64 { return f.seed(window, token) }

func (f *foreign) clone() foreign {
	c := *f
	c.scratch = slices.Clone(f.scratch)
	return c
}

// marked is the window of the next step, if that is marked. Embedding begins
// where there is a window; peers that waste a position waste it in detection.
func (f *foreign) marked(history []int32) ([]int32, bool) {
	conv := f.conv
	if !conv.pad {
		conv.first = conv.width
	}
	window, ok := conv.window(history, f.scratch)
	return window, ok && !(f.spec.Params.Repeats == MaskRepeats && occursBefore(history, window))
}

// colours says which tokens are green under a seed.
type colours interface {
	// colour sets scores[i] to 1 where tokens[i] is green, else to 0.
	colour(seed uint64, tokens []int32, scores []float64)
	// list calls mark for the green tokens among 0 .. vocab-1, in any order.
	list(seed uint64, vocab int, mark func(token int32))
	// rate is the share of green tokens over random seeds.
	rate() float64
	clone() colours
}

// green is a preset that adds a bias to green tokens.
type green struct {
	foreign
	colours
	bias float32
	// top is the number of candidates that a self-salted rule tests at each
	// step, the highest logits; 0 for rules whose list is the same for all.
	top   int
	order []int32
	// bare is keyless; nil where the key enters every seed.
	bare  func(window []int32, token int32) bool
	one   [1]float64
	token [1]int32
}

func (g *green) keyless(window []int32, token int32) bool {
	return g.bare != nil && g.bare(window, token)
}

func (g *green) Law() evidence.Law { return evidence.Bernoulli(g.rate()) }

func (g *green) Score(window []int32, token int32) float64 {
	g.token[0] = token
	g.colour(g.seed(window, token), g.token[:], g.one[:])
	return g.one[0]
}

func (g *green) scoreSeed(seed uint64, tokens []int32, scores []float64) {
	g.colour(seed, tokens, scores)
}

func (g *green) Process(history []int32, logits []float32) {
	window, ok := g.marked(history)
	if !ok {
		return
	}
	if g.top > 0 {
		g.boost(window, nil, logits)
		return
	}
	g.list(g.seed(window, -1), len(logits), func(token int32) { logits[token] += g.bias })
}

func (g *green) ProcessCandidates(history, ids []int32, logits []float32) {
	window, ok := g.marked(history)
	if !ok {
		return
	}
	if g.top > 0 {
		g.boost(window, ids, logits)
		return
	}
	scores := make([]float64, len(ids))
	g.colour(g.seed(window, -1), ids, scores)
	for i, x := range scores {
		logits[i] += float32(x) * g.bias
	}
}

// boost tests the top candidates, each against its own list. ids nil stands for 0, 1, 2, …
func (g *green) boost(window, ids []int32, logits []float32) {
	g.order = g.order[:0]
	for i, x := range logits {
		if math.IsInf(float64(x), -1) || len(g.order) == g.top && x <= logits[g.order[g.top-1]] {
			continue
		}
		at := len(g.order)
		for at > 0 && x > logits[g.order[at-1]] { // equals stay in their order
			at--
		}
		if len(g.order) == g.top {
			g.order = g.order[:g.top-1]
		}
		g.order = slices.Insert(g.order, at, int32(i))
	}
	for _, i := range g.order {
		id := i
		if ids != nil {
			id = ids[i]
		}
		if g.Score(window, id) == 1 {
			logits[i] += g.bias
		}
	}
}

func (g *green) Clone() Scheme {
	c := *g
	c.foreign, c.colours, c.order = g.foreign.clone(), g.colours.clone(), nil
	return &c
}

// draws gives the uniform of a token under a seed.
type draws interface {
	// uniforms sets u[i] to the uniform of tokens[i], in [0, 1).
	uniforms(seed uint64, tokens []int32, u []float64)
	clone() draws
}

// maximal is a preset that chooses the token with the largest u^(1/p), which is
// the one with the largest logit - ln(-ln u).
type maximal struct {
	foreign
	draws
	tokens []int32
	u      []float64
	one    [1]float64
	token  [1]int32
}

func (m *maximal) Law() evidence.Law { return evidence.Exponential() }

func (m *maximal) Score(window []int32, token int32) float64 {
	m.token[0] = token
	m.scoreSeed(m.seed(window, token), m.token[:], m.one[:])
	return m.one[0]
}

func (m *maximal) scoreSeed(seed uint64, tokens []int32, scores []float64) {
	m.uniforms(seed, tokens, scores)
	for i, u := range scores {
		scores[i] = -math.Log1p(-u)
	}
}

func (m *maximal) Process(history []int32, logits []float32) {
	for i := len(m.tokens); i < len(logits); i++ {
		m.tokens = append(m.tokens, int32(i))
	}
	m.ProcessCandidates(history, m.tokens[:len(logits)], logits)
}

func (m *maximal) ProcessCandidates(history, ids []int32, logits []float32) {
	window, ok := m.marked(history)
	if !ok {
		return
	}
	m.u = slices.Grow(m.u[:0], len(ids))[:len(ids)]
	m.uniforms(m.seed(window, -1), ids, m.u)
	best, chosen := math.Inf(-1), -1
	for i, u := range m.u {
		x := float64(logits[i]) - math.Log(-math.Log(u))
		if x > best || x == best && chosen >= 0 && ids[i] < ids[chosen] {
			best, chosen = x, i
		}
	}
	keepOnly(logits, chosen)
}

func (m *maximal) Clone() Scheme {
	c := *m
	c.foreign, c.draws, c.u, c.tokens = m.foreign.clone(), m.draws.clone(), nil, nil
	return &c
}
