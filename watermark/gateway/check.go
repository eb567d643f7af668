package gateway

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
)

// probes are tokenised on both sides: words, numbers, indentation, other scripts,
// composed and decomposed letters, characters beyond the basic plane.
var probes = []string{
	"The quick brown fox isn't 1,234,567.89 metres away; it's at https://example.org/a?b=c.",
	"func main() {\n\tfor i := range 10 {\n\t\tprintln(i)   \n\t}\n}\r\n\r\n",
	"Größe, café, cafe\u0301, naïve; Ελληνικά, кириллица, עברית, العربية, हिन्दी, ไทย",
	"東京都の天気は晴れ。中文分词测试。한국어 띄어쓰기 🙂👩‍👩‍👧",
}

// check asks the upstream for everything that the gateway needs, and names the first
// thing that is missing.
func (s *Server) check(ctx context.Context) error {
	missing := func(what string, err error) error {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return fmt.Errorf("the upstream lacks what the gateway needs: %s: %w", what, err)
	}
	if err := s.up.wire.about(ctx, s.up); err != nil {
		return missing("it does not say what it serves", err)
	}
	if err := s.checkTokenizer(ctx); err != nil {
		return missing("the key's tokenizer", err)
	}
	prompt, err := s.textPrompt(ctx, "Once upon a time")
	if err != nil {
		return missing("prompts as token ids", err)
	}
	first, err := s.up.next(ctx, newSequence(prompt, 0), nil)
	var status *statusError
	switch {
	case errors.As(err, &status) && status.status == http.StatusBadRequest:
		return missing(fmt.Sprintf("prompts of token ids with %d log-probabilities (ask for fewer, or let it give more: vLLM's --max-logprobs)", s.up.opt.Candidates), err)
	case errors.Is(err, errNames):
		return missing("log-probabilities by token id (return_tokens_as_token_ids)", err)
	case err != nil:
		return missing("log-probabilities of the next token", err)
	}
	if want := min(s.up.opt.Candidates, s.up.vocab); len(first) < want {
		return missing("enough candidates", fmt.Errorf("%d were asked for and %d came", want, len(first)))
	}
	total := 0.0
	for _, c := range first {
		total += math.Exp(c.logprob)
	}
	if total > 1.01 || total < 1e-6 {
		return missing("log-probabilities", fmt.Errorf("those of the first step add up to %.3g", total))
	}
	again, err := s.up.next(ctx, newSequence(prompt, 0), nil)
	if err != nil {
		return missing("log-probabilities of the next token", err)
	}
	return s.checkRepeats(first, again, missing)
}

// drift is how far a log-probability may move between two requests for the same step:
// batches of another size round otherwise, by hundredths in bfloat16. What moves
// further is no distribution that could be sampled from twice.
const drift = .25 // nats

func (s *Server) checkRepeats(first, again []candidate, missing func(string, error) error) error {
	for _, c := range first[:min(5, len(first))] {
		i := slices.IndexFunc(again, func(o candidate) bool { return o.id == c.id })
		if i < 0 || math.Abs(again[i].logprob-c.logprob) > drift {
			return missing("log-probabilities that repeat", fmt.Errorf("token %d had %.3f, and another value when the same was asked again", c.id, c.logprob))
		}
	}
	return nil
}

// checkTokenizer compares the upstream's tokenizer with the key's on a few texts.
func (s *Server) checkTokenizer(ctx context.Context) error {
	for _, text := range probes {
		theirs, err := s.up.tokenize(ctx, text, false)
		var status *statusError
		if errors.As(err, &status) && (status.status == http.StatusNotFound || status.status == http.StatusNotImplemented || status.status == http.StatusMethodNotAllowed) {
			if s.opt.TrustTokenizer {
				s.noTokenize = true
				return nil
			}
			return fmt.Errorf("it has no /tokenize to compare it with, and whether its model has the tokenizer %s is for you to know and to say: %w", s.opt.Tokenizer.Name(), err)
		}
		if err != nil {
			return err
		}
		ours, err := s.opt.Tokenizer.Encode(text)
		if err != nil {
			return err
		}
		if slices.ContainsFunc(theirs, func(id int32) bool { return id < 0 || int(id) >= s.up.vocab }) {
			return fmt.Errorf("its model has token ids of %d and more, the width of the key's vocabulary", s.up.vocab)
		}
		if !slices.Equal(theirs, ours) {
			return fmt.Errorf("its model has another one than %s: the text %q has the ids %v there and %v here", s.opt.Tokenizer.Name(), text, theirs, ours)
		}
	}
	return nil
}

// textPrompt is the ids of a completion's prompt, with what the model's tokenizer puts
// before a text.
func (s *Server) textPrompt(ctx context.Context, text string) ([]int32, error) {
	if s.noTokenize {
		return s.opt.Tokenizer.Encode(text)
	}
	ids, err := s.up.tokenize(ctx, text, true)
	return ids, s.inside(ids, err)
}

// chatPrompt is the ids of a conversation in the upstream's template.
func (s *Server) chatPrompt(ctx context.Context, r *request) ([]int32, error) {
	ids, err := s.up.wire.chat(ctx, s.up, r.messages, r.tools)
	var status *statusError
	if errors.As(err, &status) {
		switch {
		case s.noTokenize || status.status == http.StatusNotFound:
			return nil, refusal(http.StatusNotImplemented, "invalid_request_error", "no_template", "the upstream does not apply its chat template on request: send completions")
		case status.status < 500 && status.status != http.StatusTooManyRequests:
			return nil, badRequest("the upstream's chat template refused the conversation").about(status.message)
		}
	}
	return ids, s.inside(ids, err)
}

// inside refuses ids outside of the vocabulary.
func (s *Server) inside(ids []int32, err error) error {
	if err != nil {
		return err
	}
	for _, id := range ids {
		if id < 0 || int(id) >= s.up.vocab {
			return fmt.Errorf("the upstream's tokenizer gave id %d, and the key's vocabulary has %d", id, s.up.vocab)
		}
	}
	return nil
}
