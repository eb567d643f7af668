package refmodel

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
)

// DefaultTopK keeps the tail of the distribution out of a text, as servers do,
// and bounds what a mark has to look at per token.
const DefaultTopK = 200

// Mark reshapes the logits of a candidate list in place: logits[i] belongs to
// ids[i], history is the tokens generated so far, without the prompt. It is
// called after temperature and truncation; a logit of -Inf excludes its
// candidate. A Mark is used by one generation at a time.
type Mark interface {
	ProcessCandidates(history, ids []int32, logits []float32)
}

// Sampling says how tokens are drawn. The zero values of TopP and TopK stand
// for their defaults; a Temperature of zero is greedy, so start from
// DefaultSampling.
type Sampling struct {
	// Temperature divides the log-probabilities. At 0 the most probable token
	// is taken; a mark then sees the log-probabilities of temperature 1, and
	// the highest logit that it leaves is taken.
	Temperature float64
	// TopP keeps the smallest set of most probable candidates that holds this
	// share of the probability left by TopK, at the temperature given. 0 means 1.
	TopP float64
	// TopK keeps the K most probable candidates. 0 means DefaultTopK.
	TopK int
	// MaxTokens is the number of tokens to generate.
	MaxTokens int
	// Seed fixes the generator's random choices.
	Seed uint64
	// Mark, if not nil, is the watermark to embed.
	Mark Mark
	// Logprobs is the number of alternatives reported with every token.
	Logprobs int
}

// DefaultSampling is temperature 1, top-k 200, no nucleus, 100 tokens.
func DefaultSampling() Sampling {
	return Sampling{Temperature: 1, TopP: 1, TopK: DefaultTopK, MaxTokens: 100}
}

func (s Sampling) withDefaults() Sampling {
	if s.TopP == 0 {
		s.TopP = 1
	}
	if s.TopK == 0 {
		s.TopK = DefaultTopK
	}
	return s
}

func (s Sampling) check() error {
	switch {
	case !(s.Temperature >= 0) || math.IsInf(s.Temperature, 1):
		return fmt.Errorf("refmodel: temperature %v is not a number from 0 up", s.Temperature)
	case !(s.TopP > 0 && s.TopP <= 1):
		return fmt.Errorf("refmodel: top-p %v is not above 0 and at most 1", s.TopP)
	case s.TopK < 1:
		return fmt.Errorf("refmodel: top-k %d is not at least 1", s.TopK)
	case s.MaxTokens < 0:
		return fmt.Errorf("refmodel: %d tokens cannot be generated", s.MaxTokens)
	}
	return nil
}

// Token is one generated token.
type Token struct {
	ID int32
	// Logprob is the natural log-probability of the token under the model over
	// the whole vocabulary, before temperature, truncation and mark.
	Logprob float64
	// Top holds the most probable alternatives, as Model.Top gives them.
	Top []Alt
}

// Generate draws s.MaxTokens tokens after prompt and hands each to emit. It
// ends early with the context's error or emit's. A mark that excludes every
// candidate is an error.
func (m *Model) Generate(ctx context.Context, prompt []int32, s Sampling, emit func(Token) error) error {
	s = s.withDefaults()
	if err := s.check(); err != nil {
		return err
	}
	// Only the last tokens of the prompt can matter; they and the generated
	// tokens lie side by side, so that both views of the past are slices.
	prompt = prompt[max(0, len(prompt)-m.order+1):]
	past := append(make([]int32, 0, len(prompt)+min(s.MaxTokens, maxReserve)), prompt...)
	rng := rand.New(rand.NewPCG(s.Seed, pcgStream))
	c := newCandidates(min(s.TopK, m.vocab))
	for range s.MaxTokens {
		if err := ctx.Err(); err != nil {
			return err
		}
		c.collect(m, past, false)
		c.truncate(s)
		pick, err := c.pick(s, past[len(prompt):], rng)
		if err != nil {
			return err
		}
		t := Token{ID: c.ids[pick], Logprob: math.Log(c.prob[pick]), Top: m.Top(past, s.Logprobs)}
		past = append(past, t.ID)
		if err := emit(t); err != nil {
			return err
		}
	}
	return nil
}

// maxReserve bounds the room that is set aside for a reply before it exists.
const maxReserve = 1 << 16

// pcgStream is the second word of the generator's seed: any fixed number keeps
// seeds comparable between runs (this one is "refmodel" in ASCII).
const pcgStream = 0x7265666d6f64656c

// Complete returns the ids that Generate draws. It panics where Generate would
// return an error, which only invalid settings or a broken mark can cause.
func (m *Model) Complete(prompt []int32, s Sampling) []int32 {
	ids := make([]int32, 0, max(0, min(s.MaxTokens, maxReserve)))
	err := m.Generate(context.Background(), prompt, s, func(t Token) error {
		ids = append(ids, t.ID)
		return nil
	})
	if err != nil {
		panic("refmodel: Complete: " + err.Error())
	}
	return ids
}

// truncate forms the weights at the temperature and keeps the nucleus. The
// candidates are sorted, so both are a prefix.
func (c *candidates) truncate(s Sampling) {
	c.weight = c.weight[:len(c.prob)]
	switch s.Temperature {
	case 0, 1:
		copy(c.weight, c.prob)
	default:
		// Relative to the largest, so that no weight overflows and not all
		// underflow, however small the temperature.
		for i, p := range c.prob {
			c.weight[i] = math.Exp(math.Log(p/c.prob[0]) / s.Temperature)
		}
	}
	if s.TopP == 1 {
		return
	}
	total := 0.0
	for _, w := range c.weight {
		total += w
	}
	keep, mass := 0, 0.0
	for keep < len(c.weight) && mass < s.TopP*total {
		mass += c.weight[keep]
		keep++
	}
	c.ids, c.prob, c.weight = c.ids[:keep], c.prob[:keep], c.weight[:keep]
}

// pick draws the index of a candidate.
func (c *candidates) pick(s Sampling, history []int32, rng *rand.Rand) (int, error) {
	if s.Mark != nil {
		if err := c.mark(s, history); err != nil {
			return 0, err
		}
	}
	if s.Temperature == 0 {
		best := 0
		for i, w := range c.weight {
			if w > c.weight[best] {
				best = i
			}
		}
		return best, nil
	}
	total := 0.0
	for _, w := range c.weight {
		total += w
	}
	u := rng.Float64() * total
	last := 0
	for i, w := range c.weight {
		if w == 0 {
			continue
		}
		last = i
		if u -= w; u < 0 {
			break
		}
	}
	return last, nil
}

// mark replaces the weights by the softmax of the logits that the mark leaves.
func (c *candidates) mark(s Sampling, history []int32) error {
	t := s.Temperature
	if t == 0 {
		t = 1
	}
	c.logits = c.logits[:len(c.prob)]
	for i, p := range c.prob {
		c.logits[i] = float32(math.Log(p) / t)
	}
	s.Mark.ProcessCandidates(history, c.ids, c.logits)
	top := float32(math.Inf(-1))
	for _, l := range c.logits {
		top = max(top, l)
	}
	if math.IsInf(float64(top), 0) || math.IsNaN(float64(top)) {
		return errors.New("refmodel: the mark left no candidate to draw; nothing more was generated")
	}
	for i, l := range c.logits {
		if math.IsInf(float64(l), -1) {
			c.weight[i] = 0
			continue
		}
		c.weight[i] = math.Exp(float64(l - top))
	}
	return nil
}
