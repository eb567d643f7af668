package gateway

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
)

// truncation is what a request asks of the distribution, applied in the order
// temperature, min_p, top_k, top_p, which is vLLM's.
type truncation struct {
	temperature float64 // 0: the most probable token
	topP        float64 // in (0, 1]
	topK        int     // 0: no limit
	minP        float64 // in [0, 1)
}

func (t truncation) check() error {
	switch {
	case !(t.temperature >= 0 && t.temperature <= 10):
		return fmt.Errorf("temperature must be from 0 to 10")
	case !(t.topP > 0 && t.topP <= 1):
		return errors.New("top_p must be above 0 and at most 1")
	case t.topK < 0:
		return errors.New("top_k must be at least 1, or 0 or -1 for no limit")
	case !(t.minP >= 0 && t.minP < 1):
		return errors.New("min_p must be from 0 to below 1")
	}
	return nil
}

// marker marks a step; it is a [watermark.Request].
type marker interface {
	ProcessCandidates(ids []int32, logits []float32)
}

// step is the distribution of one step as far as the upstream's candidates reach:
// the ids that the request's truncation leaves, most probable first, with their
// logits, natural logarithms of probabilities that add up to 1. A step is reused.
type step struct {
	ids    []int32
	logits []float32
	weight []float64

	// missing is the probability at temperature 1 of what the upstream did not
	// name: measured.
	missing float64
	// kl bounds from above, in nats, what the reply's distribution lost because the
	// request's own truncation would have kept tokens that the upstream did not name:
	// the divergence of what is sampled from what was asked for, -ln(1 - lost share).
	// It is 0 where the request's truncation surely lies within the candidates, and
	// exact at temperature 1 without min_p and top_k.
	kl float64
}

// set takes the candidates, which are sorted, most probable first, and not empty.
// vocab is the width of the logits.
func (s *step) set(cands []candidate, t truncation, vocab int) {
	s.ids, s.weight, s.kl = s.ids[:0], s.weight[:0], 0
	known := 0.0
	for _, c := range cands {
		known += math.Exp(c.logprob)
	}
	// Rounding, float32 on the upstream's side: what is below it is nothing.
	if s.missing = 1 - known; s.missing < 1e-6 || len(cands) >= vocab {
		s.missing = 0
	}
	first, last := cands[0].logprob, cands[len(cands)-1].logprob
	heat := t.temperature
	if heat == 0 {
		heat = 1
	}
	for _, c := range cands {
		s.ids = append(s.ids, c.id)
		s.weight = append(s.weight, math.Exp((c.logprob-first)/heat))
	}
	outside := s.outside(first, last, heat, vocab-len(cands))
	if more := t.topK - len(cands); more > 0 {
		outside = min(outside, float64(more)*s.weight[len(s.weight)-1])
	}
	if t.temperature == 0 {
		outside = 0 // whatever is taken is among the most probable
	}
	keep := len(s.ids)
	if t.minP > 0 {
		for keep > 1 && s.weight[keep-1] < t.minP {
			keep--
		}
		if keep < len(s.ids) {
			outside = 0
		}
	}
	if t.topK > 0 && t.topK <= keep {
		keep, outside = t.topK, 0
	}
	inside := 0.0
	for _, w := range s.weight[:keep] {
		inside += w
	}
	whole := inside + outside // of what was asked for, at most
	if t.topP < 1 {
		// The nucleus ends between where it would if nothing were outside but what is
		// sure, and where it would if all were that may be. No token is drawn that may
		// lie beyond it: what is in doubt is lost.
		least := inside
		if heat == 1 && t.topK == 0 && t.minP == 0 {
			least = whole // measured
		}
		share, last := t.topP*whole, s.weight[keep-1]
		_, whole = nucleus(s.weight[:keep], share)
		if whole < share { // it goes on, and past its share by less than a token
			whole += min(outside, share-whole+last)
		}
		keep, inside = nucleus(s.weight[:keep], t.topP*least)
	}
	s.ids, s.weight = s.ids[:keep], s.weight[:keep]
	s.kl = math.Log(whole / inside)
	s.logits = s.logits[:0]
	for _, w := range s.weight {
		s.logits = append(s.logits, float32(math.Log(w/inside)))
	}
}

// nucleus is how many of the weights, the greatest first, it takes to reach a share,
// and what they add up to; all of them, where they do not.
func nucleus(weights []float64, share float64) (n int, mass float64) {
	for n < len(weights) && mass < share {
		mass += weights[n]
		n++
	}
	return n, mass
}

// outside bounds the weight of what was not named, in units of the first candidate's
// weight: n tokens of missing probability in all, each at most as probable as the last
// candidate. At temperature 1 it is exact. Below, weights p^(1/T) are convex in p, and
// Σ p^(1/T) <= missing · last^(1/T-1); above they are concave, and the sum is the
// greatest where all n are equal.
func (s *step) outside(first, last, heat float64, n int) float64 {
	if s.missing == 0 || n <= 0 {
		return 0
	}
	log := math.Log(s.missing)
	if heat <= 1 {
		log += (1/heat - 1) * last
	} else {
		log = log/heat + (1-1/heat)*math.Log(float64(n))
	}
	return math.Exp(log - first/heat)
}

// draw marks the step, unless mark is nil, and draws its token. At temperature 0 the
// highest logit is taken.
func (s *step) draw(mark marker, greedy bool, random *rand.Rand) (int32, error) {
	if mark != nil {
		mark.ProcessCandidates(s.ids, s.logits)
	}
	best := 0
	for i, l := range s.logits {
		if l > s.logits[best] {
			best = i
		}
	}
	top := float64(s.logits[best])
	if math.IsInf(top, 0) || math.IsNaN(top) {
		return 0, errors.New("the mark left no candidate to draw")
	}
	if greedy {
		return s.ids[best], nil
	}
	total := 0.0
	for i, l := range s.logits {
		s.weight[i] = math.Exp(float64(l) - top)
		total += s.weight[i]
	}
	u := uniform(random) * total
	for i, w := range s.weight {
		if u -= w; u < 0 {
			return s.ids[i], nil
		}
	}
	return s.ids[best], nil // rounding ate the last weight
}

// uniform draws from [0, 1): from the request's seed, or the process's generator.
func uniform(random *rand.Rand) float64 {
	if random == nil {
		return rand.Float64()
	}
	return random.Float64()
}
