package gateway

import (
	"bytes"
	"io"
	"strconv"
)

// candidate is one of the most probable next tokens: its natural log-probability is
// the model's own, at temperature 1 and without any truncation.
type candidate struct {
	id      int32
	logprob float64
}

// sequence is what a model is asked to go on from: the prompt and what was generated
// after it, as ids and as the JSON that the next request holds of them. It grows by
// appending alone, so that a body that is still being sent stays as it is.
type sequence struct {
	ids    []int32
	prompt int // ids of the prompt
	text   []byte
}

func newSequence(prompt []int32, room int) *sequence {
	s := &sequence{ids: make([]int32, 0, len(prompt)+room), prompt: len(prompt)}
	for _, id := range prompt {
		s.add(id)
	}
	return s
}

func (s *sequence) add(id int32) {
	if len(s.ids) > 0 {
		s.text = append(s.text, ',')
	}
	s.text = strconv.AppendInt(s.text, int64(id), 10)
	s.ids = append(s.ids, id)
}

// generated are the ids after the prompt.
func (s *sequence) generated() []int32 { return s.ids[s.prompt:] }

// body is head, the ids and tail as one reader of a known length.
func (s *sequence) body(head, tail []byte) (io.Reader, int64) {
	return io.MultiReader(bytes.NewReader(head), bytes.NewReader(s.text), bytes.NewReader(tail)), int64(len(head) + len(s.text) + len(tail))
}
