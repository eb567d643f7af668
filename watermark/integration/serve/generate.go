package serve

import (
	"cmp"
	"context"
	"encoding/json"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/stillmark/stillmark/watermark"
)

// job is one reply to be generated.
type job struct {
	served  Served
	prompt  []int32
	max     int
	sampler Sampler
	top     int // candidates wanted beside each token; -1: none, nor its log-probability
}

// candidate is a token with its log-probability (natural) under the model itself,
// before temperature, truncation and mark.
type candidate struct {
	id      int32
	logprob float64
}

// step is one token of a reply.
type step struct {
	candidate
	top []candidate // sorted, the likeliest first; valid until the next step
	// end says that it is the model's end token, which has no text and is counted.
	end bool
}

// Finish reasons.
const (
	finishStop   = "stop"
	finishLength = "length"
)

// promptIDs reads a prompt: a text or token ids.
func promptIDs(m Served, raw json.RawMessage) ([]int32, error) {
	var text string
	var ids []int32
	switch {
	case len(raw) == 0:
		return nil, bad("prompt is missing")
	case json.Unmarshal(raw, &text) == nil:
		return tokens(m.Model, text)
	case json.Unmarshal(raw, &ids) != nil:
		return nil, bad("prompt must be a string or an array of token ids")
	}
	for _, id := range ids {
		if id < 0 || int(id) >= m.Model.Vocab() {
			return nil, bad("token id %d is outside the vocabulary of %d", id, m.Model.Vocab())
		}
	}
	return ids, nil
}

// settings are the sampling parameters that servers share. What is left out has
// OpenAI's default.
type settings struct {
	Temperature *float64 `json:"temperature"`
	TopP        *float64 `json:"top_p"`
	TopK        *int     `json:"top_k"`
	MinP        float64  `json:"min_p"`
	Seed        *int64   `json:"seed"`
	Presence    float64  `json:"presence_penalty"`
	Frequency   float64  `json:"frequency_penalty"`
	Repetition  *float64 `json:"repetition_penalty"`
	Repeat      *float64 `json:"repeat_penalty"` // llama.cpp's name
}

func (in settings) sampler(m Served) (Sampler, error) {
	s := Sampler{Temperature: 1}
	if in.Temperature != nil {
		s.Temperature = *in.Temperature
	}
	if in.TopP != nil {
		s.TopP = *in.TopP
	}
	if in.TopK != nil {
		s.TopK = *in.TopK // 0 and -1 are all
	}
	switch {
	case !(s.Temperature >= 0 && s.Temperature <= 100):
		return s, bad("temperature must be from 0 to 100")
	case !(s.TopP >= 0 && s.TopP <= 1):
		return s, bad("top_p must be from 0 to 1")
	case s.TopK < -1:
		return s, bad("top_k must be -1, or 0 and above")
	case in.MinP != 0 || in.Presence != 0 || in.Frequency != 0 || in.Repetition != nil && *in.Repetition != 1 || in.Repeat != nil && *in.Repeat != 1:
		return s, bad("min_p and penalties are not served")
	}
	seed := rand.Uint64()
	if in.Seed != nil {
		seed = uint64(*in.Seed)
	}
	s.Random = rand.New(rand.NewPCG(seed, 0))
	if m.Mark != nil {
		s.Mark = m.Mark.Clone()
	}
	return s, nil
}

// generate runs a job; each sees every token of the reply.
func (j *job) generate(ctx context.Context, each func(step) error) (finish string, err error) {
	history := make([]int32, 0, len(j.prompt)+min(j.max, j.served.Model.Context()))
	if m := j.sampler.Mark; m != nil && m.Spec().Params.Contexts == watermark.WithPrompt {
		history = append(history, j.prompt...)
	}
	finish = finishLength
	var failed error
	var own []float64
	var order []candidate
	sampled := 0
	err = j.served.Model.Generate(ctx, j.prompt, func(logits []float32) (int32, bool) {
		if j.top >= 0 {
			own = logSoftmax(own[:0], logits)
		}
		st := step{candidate: candidate{id: j.sampler.Next(history, logits)}}
		st.end = st.id == j.served.Model.End()
		if j.top >= 0 {
			st.logprob = own[st.id]
			order = likeliestOf(order[:0], own, j.top)
			st.top = order
		}
		if failed = each(st); failed != nil {
			return st.id, false
		}
		if st.end {
			finish = finishStop
			return st.id, false
		}
		history = append(history, st.id)
		sampled++
		return st.id, sampled < j.max
	})
	return finish, cmp.Or(failed, err)
}

func logSoftmax(into []float64, logits []float32) []float64 {
	top := float64(slices.Max(logits))
	var sum float64
	for _, x := range logits {
		sum += math.Exp(float64(x) - top)
	}
	norm := top + math.Log(sum)
	for _, x := range logits {
		into = append(into, float64(x)-norm)
	}
	return into
}

// likeliestOf are the n likeliest tokens, sorted.
func likeliestOf(into []candidate, logprobs []float64, n int) []candidate {
	if n == 0 {
		return into
	}
	for id, l := range logprobs {
		into = append(into, candidate{int32(id), l})
	}
	slices.SortFunc(into, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(b.logprob, a.logprob), cmp.Compare(a.id, b.id))
	})
	return into[:min(n, len(into))]
}
