package serve

import (
	"math"
	"math/rand/v2"
	"slices"

	"github.com/stillmark/stillmark/watermark"
)

// Sampler draws tokens as servers do: temperature, then truncation, then the mark,
// then the draw. It is for one reply.
type Sampler struct {
	// Temperature 0 takes the likeliest token. There only green lists can mark: they
	// move the logits before the choice, the other schemes choose among what a
	// distribution leaves open.
	Temperature float64
	TopK        int     // 0: all
	TopP        float64 // 0 or 1: all
	Random      *rand.Rand
	// Mark is nil for text without one.
	Mark watermark.Scheme

	order []int32
	p     []float64
}

// Next draws the token that follows history. It changes logits, and allocates in its
// first call only.
func (s *Sampler) Next(history []int32, logits []float32) int32 {
	if s.Temperature == 0 {
		if s.Mark != nil && watermark.MarksGreedy(s.Mark) {
			s.Mark.Process(history, logits)
		}
		return likeliest(logits)
	}
	if s.Temperature != 1 {
		for i := range logits {
			logits[i] = float32(float64(logits[i]) / s.Temperature)
		}
	}
	s.truncate(logits)
	if s.Mark != nil {
		s.Mark.Process(history, logits)
	}
	return s.draw(logits)
}

func likeliest(logits []float32) int32 {
	best := 0
	for i, x := range logits {
		if x > logits[best] {
			best = i
		}
	}
	return int32(best)
}

// truncate sets the logits of what may not be drawn to -Inf: all but the TopK
// likeliest, and of these all but the shortest beginning that has TopP of the whole.
func (s *Sampler) truncate(logits []float32) {
	nucleus := s.TopP > 0 && s.TopP < 1
	if (s.TopK <= 0 || s.TopK >= len(logits)) && !nucleus {
		return
	}
	s.order = slices.Grow(s.order[:0], len(logits))
	for i := range logits {
		s.order = append(s.order, int32(i))
	}
	slices.SortFunc(s.order, func(a, b int32) int {
		switch {
		case logits[a] > logits[b]:
			return -1
		case logits[a] < logits[b]:
			return 1
		}
		return int(a - b)
	})
	keep := len(logits)
	if s.TopK > 0 {
		keep = min(keep, s.TopK)
	}
	if nucleus {
		top := float64(logits[s.order[0]])
		var sum, reached float64
		for _, id := range s.order[:keep] {
			sum += math.Exp(float64(logits[id]) - top)
		}
		for n, id := range s.order[:keep] {
			if reached += math.Exp(float64(logits[id]) - top); reached >= s.TopP*sum {
				keep = n + 1
				break
			}
		}
	}
	for _, id := range s.order[keep:] {
		logits[id] = float32(math.Inf(-1))
	}
}

// draw is a plain multinomial draw from the softmax of the logits.
func (s *Sampler) draw(logits []float32) int32 {
	s.p = slices.Grow(s.p[:0], len(logits))[:len(logits)]
	top := float64(slices.Max(logits))
	var sum float64
	for i, x := range logits {
		s.p[i] = math.Exp(float64(x) - top)
		sum += s.p[i]
	}
	x := s.Random.Float64() * sum
	last := 0
	for i, p := range s.p {
		if p == 0 {
			continue
		}
		if x -= p; x < 0 {
			return int32(i)
		}
		last = i // what rounding leaves over is the last one's
	}
	return int32(last)
}
