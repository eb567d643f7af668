package replies

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
)

// Entropies reads the entropies of texts' tokens, one JSON line for each text, in
// the order of the texts, one line in memory at a time:
//
//	{"id": "reply-1", "entropies": [2.31, 0.02, …]}
//	{"id": "reply-1", "logprobs": [[-0.1, -2.4], [-0.01], …]}
//
// The first has one number, at least 0, for each token; the second the natural
// logarithms of the candidates' probabilities at each token, of which the entropy
// in nats is taken, what they leave to 1 counting as one more candidate. Other
// members are ignored, so that a file of replies may carry them.
type Entropies struct {
	br     *bufio.Reader
	name   string
	number int
	buffer []byte
}

// NewEntropies reads from r; name stands in messages.
func NewEntropies(r io.Reader, name string) *Entropies {
	return &Entropies{br: bufio.NewReaderSize(r, 1<<16), name: name}
}

// Next is the next text's id, which may be empty, and entropies. At the end the
// error is io.EOF; any other is an [Error].
func (e *Entropies) Next() (id string, entropies []float64, err error) {
	for {
		e.number++
		raw, err := readLine(e.br, e.buffer[:0])
		e.buffer = raw
		if err != nil && !errors.Is(err, io.EOF) {
			return "", nil, &Error{e.name, e.number, err}
		}
		if len(bytes.TrimSpace(raw)) > 0 {
			id, entropies, bad := decodeEntropies(raw)
			if bad != nil {
				return "", nil, &Error{e.name, e.number, bad}
			}
			return id, entropies, nil
		}
		if err != nil {
			return "", nil, io.EOF
		}
	}
}

func decodeEntropies(raw []byte) (string, []float64, error) {
	var l struct {
		ID        json.RawMessage `json:"id"`
		Entropies []float64       `json:"entropies"`
		Logprobs  json.RawMessage `json:"logprobs"`
	}
	if err := json.Unmarshal(raw, &l); err != nil {
		return "", nil, fmt.Errorf("no JSON object of the expected form: %w", err)
	}
	if l.Entropies == nil {
		var lists [][]float64
		if len(l.Logprobs) == 0 || json.Unmarshal(l.Logprobs, &lists) != nil || lists == nil {
			return "", nil, errors.New(`neither "entropies" (a list of numbers) nor "logprobs" (a list of lists of numbers)`)
		}
		l.Entropies = make([]float64, len(lists))
		for i, list := range lists {
			h, err := entropyOf(list)
			if err != nil {
				return "", nil, fmt.Errorf("token %d: %w", i, err)
			}
			l.Entropies[i] = h
		}
	}
	for i, h := range l.Entropies {
		if !(h >= 0) || math.IsInf(h, 0) {
			return "", nil, fmt.Errorf("token %d: %v is no entropy", i, h)
		}
	}
	return idOf(l.ID), l.Entropies, nil
}

// entropyOf is the entropy in nats of the candidates and of what they leave to 1.
func entropyOf(logprobs []float64) (float64, error) {
	var h, sum float64
	for _, l := range logprobs {
		if !(l <= 0) {
			return 0, fmt.Errorf("%v is no logarithm of a probability", l)
		}
		p := math.Exp(l)
		sum += p
		if p > 0 {
			h -= p * l
		}
	}
	switch {
	case len(logprobs) == 0:
		return 0, errors.New("there is no candidate")
	case sum > 1.01: // endpoints round
		return 0, fmt.Errorf("the candidates' probabilities add up to %v", sum)
	case sum < 1:
		h -= (1 - sum) * math.Log(1-sum)
	}
	return h, nil
}
