package strength

import (
	"context"
	"math"
)

// Mark reshapes the logits of a candidate list in place: logits[i] belongs to
// ids[i], after temperature and truncation. history is what was generated so
// far, without the prompt. watermark.Scheme is one.
type Mark interface {
	ProcessCandidates(history, ids []int32, logits []float32)
}

// Text is what a generator wrote.
type Text struct {
	Tokens []int32
	// Logprobs are the natural log-probabilities of the tokens under the model
	// itself, without the mark. Empty if the generator cannot tell.
	Logprobs []float64
}

// Generator is a language model. It is used by several goroutines at a time,
// each with a mark of its own.
type Generator interface {
	// Generate draws exactly n tokens after a prompt. The same arguments give
	// the same text. mark may be nil.
	Generate(ctx context.Context, prompt []int32, n int, seed uint64, mark Mark) (Text, error)
}

// divergence stands between generator and mark and adds up how far the mark
// moves each step's distribution: KL(marked ‖ unmarked) over the candidates, in
// nats, given the key. Over keys gumbel and tournament leave the distribution
// as it is; given the key gumbel leaves one candidate, so that its divergence is
// the step's surprise. It is the room that the mark uses.
type divergence struct {
	mark   Mark
	before []float64
	sum    float64
	steps  int
}

func (d *divergence) ProcessCandidates(history, ids []int32, logits []float32) {
	d.before = append(d.before[:0], softmax(logits)...)
	d.mark.ProcessCandidates(history, ids, logits)
	for i, q := range softmax(logits) {
		if q > 0 && d.before[i] > 0 {
			d.sum += q * math.Log(q/d.before[i])
		}
	}
	d.steps++
}

// Step is what a model without the mark weighs at one token of a text: the token and
// others that were likely there, with their natural log-probabilities.
type Step struct {
	IDs      []int32
	Logprobs []float64
}

// Divergence is the mean of what a mark does to the steps of a text that somebody else
// wrote, KL(marked ‖ unmarked) in nats per step, given the key. It is taken over the
// candidates of each step, as if there were no others; steps without candidates do not
// count. Steps that the model put before the text (a BOS token's) are passed over. It is
// NaN without any step, and where one is about another token than the text has: the
// model cut the text in another way.
func Divergence(mark Mark, tokens []int32, steps []Step) float64 {
	d := divergence{mark: mark}
	if len(steps) < len(tokens) {
		return missing
	}
	var logits []float32
	for i, s := range steps[len(steps)-len(tokens):] {
		if len(s.IDs) > 0 && s.IDs[0] != tokens[i] {
			return missing
		}
		if len(s.IDs) < 2 {
			continue
		}
		logits = logits[:0]
		for _, l := range s.Logprobs {
			logits = append(logits, float32(l))
		}
		d.ProcessCandidates(tokens[:i], s.IDs, logits)
	}
	return d.mean()
}

// mean is NaN before the first step.
func (d *divergence) mean() float64 { return d.sum / float64(d.steps) }

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
