package collect

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"

	"github.com/stillmark/stillmark/probe/endpoint"
	"github.com/stillmark/stillmark/probe/ledger"
	"github.com/stillmark/stillmark/probe/wire"
)

// Scoring says which texts a target scores.
type Scoring struct {
	Target      ledger.Target
	Texts       []string
	Concurrency int
	Progress    func(done, total int)

	client  endpoint.Options // for tests
	backoff endpoint.Backoff
}

// Surprise is the mean negative log-probability of each text under a target, in
// nats per token of the target's own: completions that echo their prompt. The first
// token has no probability and does not count; a text of fewer than two tokens is
// NaN. A target that gives no log-probabilities of a prompt is an [*Error].
func Surprise(ctx context.Context, opt Scoring) ([]float64, error) {
	c, err := endpoint.New(opt.Target, opt.client)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	q := &asker{client: c, target: opt.Target, backoff: opt.backoff}
	out := make([]float64, len(opt.Texts))
	err = opt.each(ctx, 0, func(ctx context.Context, i int) (err error) {
		out[i], err = q.surprise(ctx, fmt.Sprintf("text %d", i+1), opt.Texts[i])
		return err
	})
	return out, err
}

// each does something for all texts but the first few, and tells of the progress.
func (opt *Scoring) each(ctx context.Context, from int, do func(ctx context.Context, i int) error) error {
	var mu sync.Mutex
	done := from
	return each(ctx, len(opt.Texts)-from, opt.Concurrency, func(ctx context.Context, i int) error {
		if err := do(ctx, from+i); err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		if done++; opt.Progress != nil {
			opt.Progress(done, len(opt.Texts))
		}
		return nil
	})
}

func (q *asker) surprise(ctx context.Context, item, text string) (float64, error) {
	var zero float64
	one := 1 // some servers give no log-probabilities at 0
	a, err := q.ask(ctx, endpoint.Request{
		Item: item, Kind: wire.Completion, Prompt: text,
		Params: ledger.Params{MaxTokens: 1, Temperature: &zero, Echo: true, Logprobs: &one},
	})
	if err != nil {
		return 0, err
	}
	tokens, err := wire.DecodeLogprobs(exchange(a))
	if err != nil {
		return 0, fmt.Errorf("target %s, %s: %w", q.target.Name, item, err)
	}
	if len(tokens) < 2 {
		return 0, &Error{fmt.Sprintf("target %s gives no log-probabilities of a prompt (completions with echo): it cannot score texts", q.target.Name)}
	}
	var sum, n float64
	for _, t := range tokens[:len(tokens)-1] { // the last is the one that was generated
		if t.Known {
			sum -= t.Logprob
			n++
		}
	}
	if n == 0 {
		return math.NaN(), nil
	}
	return sum / n, nil
}

// alternatives is how many other tokens are asked for at each token of a text: as many
// as vLLM gives unless it is told otherwise (--max-logprobs).
const alternatives = 20

// Candidates are what a target weighs at each token of each text, given as token ids of
// its own vocabulary: the token itself first. It is nil and no error for a target
// that gives none (vLLM's prompt_logprobs of completions).
func Candidates(ctx context.Context, opt Scoring) ([][]wire.PromptToken, error) {
	c, err := endpoint.New(opt.Target, opt.client)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	q := &asker{client: c, target: opt.Target, backoff: opt.backoff}
	out := make([][]wire.PromptToken, len(opt.Texts))
	// The first text shows whether the target knows the question.
	out[0], err = q.candidates(ctx, "text 1", opt.Texts[0])
	var stopped *endpoint.TargetError
	switch {
	case errors.As(err, &stopped) && stopped.Outcome == ledger.Rejected, err == nil && out[0] == nil:
		return nil, nil
	case err != nil:
		return nil, err
	}
	err = opt.each(ctx, 1, func(ctx context.Context, i int) (err error) {
		out[i], err = q.candidates(ctx, fmt.Sprintf("text %d", i+1), opt.Texts[i])
		return err
	})
	return out, err
}

func (q *asker) candidates(ctx context.Context, item, text string) ([]wire.PromptToken, error) {
	var zero float64
	n := alternatives
	a, err := q.ask(ctx, endpoint.Request{
		Item: item, Kind: wire.Completion, Prompt: text,
		Params: ledger.Params{MaxTokens: 1, Temperature: &zero, PromptLogprobs: &n},
	})
	if err != nil {
		return nil, err
	}
	rows, err := wire.DecodePromptLogprobs(exchange(a))
	if err != nil {
		return nil, fmt.Errorf("target %s, %s: %w", q.target.Name, item, err)
	}
	return rows, nil
}

func exchange(a endpoint.Attempt) wire.Exchange {
	return wire.Exchange{Status: a.Meta.Status, Kind: a.Meta.Kind, Body: a.Response, Complete: a.Meta.Complete}
}
