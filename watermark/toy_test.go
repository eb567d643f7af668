package watermark

import (
	"math"
	"math/rand/v2"
	"testing"
)

// toy is a first-order language over a small vocabulary: the logits of a step
// are a fixed function of the last token, normal with the given spread.
type toy struct {
	vocab  int
	spread float64
	table  map[int32][]float32
}

func newToy(vocab int, spread float64) *toy {
	return &toy{vocab: vocab, spread: spread, table: map[int32][]float32{}}
}

func (m *toy) logits(history []int32) []float32 {
	last := int32(-1)
	if len(history) > 0 {
		last = history[len(history)-1]
	}
	l, ok := m.table[last]
	if !ok {
		r := rand.New(rand.NewPCG(uint64(m.vocab), uint64(last+1)))
		l = make([]float32, m.vocab)
		for i := range l {
			l[i] = float32(m.spread * r.NormFloat64())
		}
		m.table[last] = l
	}
	return append([]float32(nil), l...)
}

// generate samples n tokens, under s if it is not nil. each, if not nil, sees
// every step before the token is chosen.
func (m *toy) generate(s Scheme, n int, r *rand.Rand, each func(history []int32, plain, marked []float32)) []int32 {
	out := make([]int32, 0, n)
	for range n {
		plain := m.logits(out)
		marked := append([]float32(nil), plain...)
		if s != nil {
			s.Process(out, marked)
		}
		if each != nil {
			each(out, plain, marked)
		}
		out = append(out, sample(marked, r))
	}
	return out
}

func softmax(logits []float32) []float64 {
	top := math.Inf(-1)
	for _, l := range logits {
		top = max(top, float64(l))
	}
	p := make([]float64, len(logits))
	var sum float64
	for i, l := range logits {
		p[i] = math.Exp(float64(l) - top)
		sum += p[i]
	}
	for i := range p {
		p[i] /= sum
	}
	return p
}

func sample(logits []float32, r *rand.Rand) int32 {
	x := r.Float64()
	p := softmax(logits)
	for i, q := range p {
		if x -= q; x < 0 {
			return int32(i)
		}
	}
	for i := len(p) - 1; ; i-- { // rounding left a crumb
		if p[i] > 0 {
			return int32(i)
		}
	}
}

// combinations are the schemes under each PRF.
func combinations() (all []Spec) {
	for _, scheme := range Schemes() {
		for _, prf := range PRFs() {
			all = append(all, Spec{Scheme: scheme, PRF: prf, Model: "toy", Tokenizer: "toy", Vocab: 500}.withDefaults())
		}
	}
	return all
}

// decoy is one keyed scheme of a spec; another number is another key.
func decoy(t testing.TB, spec Spec, number int) Scheme {
	t.Helper()
	s, err := DecoyKey([32]byte{'t', 'e', 's', 't'}, number, spec)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func name(spec Spec) string { return spec.Scheme + "/" + spec.PRF }
