package refmodel

import "math"

// Entropy is the mean entropy, in bits per token, of the distribution that s
// draws from (after temperature and truncation, without its mark) at every
// position of ids. On the model's own text it is the room that a watermark
// has. It is 0 for no ids and for temperature 0.
func (m *Model) Entropy(ids []int32, s Sampling) (float64, error) {
	steps, err := m.StepEntropies(ids, s)
	if err != nil || len(ids) == 0 {
		return 0, err
	}
	sum := 0.0
	for _, h := range steps {
		sum += h
	}
	return sum / float64(len(ids)), nil
}

// StepEntropies are the entropies, in bits, that [Model.Entropy] is the mean of, one
// for each position of ids.
func (m *Model) StepEntropies(ids []int32, s Sampling) ([]float64, error) {
	s = s.withDefaults()
	if err := s.check(); err != nil {
		return nil, err
	}
	steps := make([]float64, len(ids))
	if s.Temperature == 0 {
		return steps, nil
	}
	c := newCandidates(min(s.TopK, m.vocab))
	for i := range ids {
		c.collect(m, ids[max(0, i-m.order+1):i], false)
		c.truncate(s)
		total, plogp := 0.0, 0.0
		for _, w := range c.weight {
			if w > 0 {
				total += w
				plogp += w * math.Log2(w)
			}
		}
		steps[i] = max(0, math.Log2(total)-plogp/total)
	}
	return steps, nil
}

// CrossEntropy is the mean surprise, in bits per token, of held-out ids read as
// one document under the full distribution; 2 to its power is the perplexity.
// It is 0 for no ids and +Inf if an id lies outside the vocabulary.
func (m *Model) CrossEntropy(ids []int32) float64 {
	if len(ids) == 0 {
		return 0
	}
	sum := 0.0
	for i, id := range ids {
		sum -= m.Logprob(ids[max(0, i-m.order+1):i], id)
	}
	return sum / math.Ln2 / float64(len(ids))
}
