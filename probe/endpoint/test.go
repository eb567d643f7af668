package endpoint

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/stillmark/stillmark/probe/ledger"
	"github.com/stillmark/stillmark/probe/wire"
)

// The capabilities that [Test] asks about: the names in Capabilities.Support.
const (
	CapChat            = "chat"
	CapCompletions     = "completions"
	CapStream          = "stream"
	CapUsage           = "usage"
	CapStreamUsage     = "stream_usage"     // usage in streams; "no" also means: do not ask for it
	CapSeed            = "seed"             // equal seeds give equal replies, others do not
	CapTemperatureZero = "temperature_zero" // accepted, and replies repeat
	CapMaxTokens       = "max_tokens"
	CapLogprobs        = "logprobs"
	CapEchoLogprobs    = "echo_logprobs"   // log-probabilities of a prompt, for reading mode
	CapPromptLogprobs  = "prompt_logprobs" // those that vLLM sends beside a reply
	CapSystemPrompt    = "system_prompt"
	CapModelName       = "model_name" // replies name the model that was asked for
)

// Refused begins the detail of a capability that is No because the target rejects what
// asks for it, rather than taking no notice.
const Refused = "refused"

// The states of a capability.
const (
	Yes     = "yes"
	No      = "no"
	Unknown = "unknown"
)

const (
	// testTokens is enough for two equal replies not to be chance, and little to pay for.
	testTokens = 24
	// reasoningTokens is the second try when reasoning used up testTokens.
	reasoningTokens = 1024
	// testTries and testWait bound how long a busy target is waited for.
	testTries = 3
	testWait  = 30 * time.Second
)

// testPrompt has very many good answers, so that different seeds differ.
const testPrompt = "Describe an imaginary town by the sea: its streets, its people and what they trade."

// Test asks a target about a dozen small questions (fewer than 300 tokens in all
// unless it reasons) and says what it can do. Unknown means that an answer was
// not to be had or says nothing; the detail says why.
//
// Errors: *ConfigError, and *TargetError when the target cannot be reached, does
// not accept the key, or answers neither chats nor completions.
func Test(ctx context.Context, t ledger.Target, opt Options) (ledger.Capabilities, error) {
	t.Capabilities = nil // what an earlier test found is not taken for granted
	c, err := New(t, opt)
	if err != nil {
		return ledger.Capabilities{}, err
	}
	defer c.Close()
	q := &questioner{ctx: ctx, c: c, caps: ledger.Capabilities{TestedAt: time.Now().UTC(), Support: map[string]ledger.Support{}}}
	for _, name := range []string{
		CapChat, CapCompletions, CapStream, CapUsage, CapStreamUsage, CapSeed, CapTemperatureZero,
		CapMaxTokens, CapLogprobs, CapEchoLogprobs, CapPromptLogprobs, CapSystemPrompt, CapModelName,
	} {
		q.set(name, Unknown, "not asked")
	}
	return q.caps, q.run()
}

// questioner asks the questions of one test.
type questioner struct {
	ctx   context.Context
	c     *Client
	caps  ledger.Capabilities
	fatal *TargetError // an answer after which no question makes sense
}

func (q *questioner) set(name, state, format string, args ...any) {
	q.caps.Support[name] = ledger.Support{State: state, Detail: fmt.Sprintf(format, args...)}
}

func (q *questioner) run() error {
	q.models()
	text, base, ok := q.text()
	if q.fatal != nil {
		return q.fatal
	}
	if !ok {
		return &TargetError{
			q.c.target.Name, text.Meta.Outcome, "it answers neither chats nor completions (" + text.Meta.Detail + ")",
			"check the base URL and the model's name",
		}
	}
	q.first(text, base)
	for _, ask := range []func(Request, Attempt){q.seed, q.zero, q.stream, q.completions, q.chatLogprobs, q.promptLogprobs, q.system} {
		if q.fatal == nil {
			ask(base, text)
		}
	}
	if q.fatal != nil {
		return q.fatal
	}
	return nil
}

// ask sends a request, waiting a little for a target that is busy.
func (q *questioner) ask(r Request) Attempt {
	for try := 1; ; try++ {
		a := q.c.Send(q.ctx, r)
		hint := "try again later"
		switch a.Meta.Outcome {
		case ledger.RateLimited, ledger.Transport, ledger.Truncated:
			wait := max(a.RetryAfter, Backoff{}.Delay("test", try))
			if try == testTries || wait > testWait {
				if try == testTries && a.Meta.Status == 0 {
					q.stop(a, "check the base URL and that the server is running")
				}
				return a
			}
			select {
			case <-time.After(wait):
				continue
			case <-q.ctx.Done():
				a.Meta.Outcome, a.Meta.Detail = ledger.Cancelled, "cancelled while waiting for the target"
			}
		case ledger.Auth:
			hint = "check the API key"
			if env := q.c.target.APIKeyEnv; env != "" {
				hint = "set " + env + " to a valid API key"
			}
		case ledger.Quota:
			hint = "top up the account"
		case ledger.Cancelled:
		default:
			return a
		}
		q.stop(a, hint)
		return a
	}
}

func (q *questioner) stop(a Attempt, hint string) {
	q.fatal = &TargetError{q.c.target.Name, a.Meta.Outcome, a.Meta.Detail, hint + ", then run the same command again"}
}

// text finds a request that the target answers with text, and answers it: a chat
// with seed and temperature, without them where they are refused, or else a
// completion.
func (q *questioner) text() (Attempt, Request, bool) {
	one, seed := 1.0, int64(1)
	for _, kind := range []string{wire.Chat, wire.Completion} {
		name := CapChat
		if kind == wire.Completion {
			name = CapCompletions
		}
		r := Request{Kind: kind, Prompt: testPrompt, Params: ledger.Params{MaxTokens: testTokens, Temperature: &one, Seed: &seed}}
		a := q.ask(r)
		for _, fewer := range []struct {
			temperature *float64
			seed        *int64
		}{{&one, nil}, {nil, &seed}, {nil, nil}} {
			if a.Meta.Outcome != ledger.Rejected || q.fatal != nil {
				break
			}
			refused := a.Meta.Detail
			r.Params.Temperature, r.Params.Seed = fewer.temperature, fewer.seed
			if a = q.ask(r); a.Meta.Outcome == ledger.Rejected {
				continue
			}
			if fewer.seed == nil {
				q.set(CapSeed, No, "refused: %s", refused)
			}
			if fewer.temperature == nil {
				q.set(CapTemperatureZero, No, "refused: %s", refused)
			}
		}
		if a.Meta.Outcome == ledger.Exhausted && q.fatal == nil {
			r.Params.MaxTokens = reasoningTokens
			a = q.ask(r)
		}
		switch a.Meta.Outcome {
		case ledger.OK, ledger.Exhausted, ledger.Empty, ledger.Filtered, ledger.Refused:
			q.set(name, Yes, "")
			return a, r, true
		}
		q.set(name, No, "%s: %s", a.Meta.Outcome, a.Meta.Detail)
		if q.fatal != nil || kind == wire.Completion {
			return a, r, false
		}
	}
	panic("unreachable")
}

// first reads what the first answer tells by the way.
func (q *questioner) first(a Attempt, r Request) {
	m := a.Meta
	q.caps.Model, q.caps.Fingerprint, q.caps.Server = m.Model, m.Fingerprint, m.Headers["server"]
	q.caps.LatencyMS, q.caps.TLSCertSHA = m.TotalMS, a.TLSCertSHA
	switch asked := q.c.target.Model; {
	case m.Model == "":
		q.set(CapModelName, No, "replies name no model: drift cannot be seen")
	case wire.SameModel(asked, m.Model):
		q.set(CapModelName, Yes, "%s", m.Model)
	default:
		q.set(CapModelName, No, "replies name %s", m.Model)
	}
	if u := m.Usage; u == nil {
		q.set(CapUsage, No, "replies carry no token counts")
	} else {
		q.set(CapUsage, Yes, "")
	}
	limit := int64(r.Params.MaxTokens)
	words := int64(len(strings.Fields(a.Reply.Text)))
	switch u := m.Usage; {
	case u != nil && u.CompletionTokens > limit:
		q.set(CapMaxTokens, No, "%d tokens where %d were asked for", u.CompletionTokens, limit)
	case words > limit: // a word is a token at least
		q.set(CapMaxTokens, No, "%d words where %d tokens were asked for", words, limit)
	case a.Reply.Finish == "length":
		q.set(CapMaxTokens, Yes, "")
	default:
		q.set(CapMaxTokens, Unknown, "the reply ended by itself (%s)", a.Reply.Finish)
	}
}

// seed asks twice under one seed and once under another.
func (q *questioner) seed(r Request, first Attempt) {
	switch {
	case r.Params.Seed == nil:
		return // refused
	case first.Meta.Outcome != ledger.OK:
		q.set(CapSeed, Unknown, "no text to compare: %s", first.Meta.Detail)
		return
	}
	again := q.ask(r)
	other := r
	other.Sample = 1
	different := q.ask(other)
	switch {
	case again.Meta.Outcome != ledger.OK:
		q.set(CapSeed, Unknown, "no second reply: %s", again.Meta.Detail)
	case different.Meta.Outcome != ledger.OK:
		q.set(CapSeed, Unknown, "no third reply: %s", different.Meta.Detail)
	case first.Reply.Text != again.Reply.Text:
		q.set(CapSeed, No, "the same seed gave two different replies")
	case first.Reply.Text == different.Reply.Text:
		q.set(CapSeed, No, "different seeds gave the same reply")
	default:
		q.set(CapSeed, Yes, "")
	}
}

// zero asks twice at temperature 0.
func (q *questioner) zero(r Request, _ Attempt) {
	if r.Params.Temperature == nil {
		return // refused
	}
	zero := 0.0
	r.Params.Temperature, r.Params.Seed = &zero, nil
	a := q.ask(r)
	switch {
	case a.Meta.Outcome == ledger.Rejected:
		q.set(CapTemperatureZero, No, "refused: %s", a.Meta.Detail)
		return
	case a.Meta.Outcome != ledger.OK:
		q.set(CapTemperatureZero, Unknown, "no reply: %s", a.Meta.Detail)
		return
	}
	b := q.ask(r)
	switch {
	case b.Meta.Outcome != ledger.OK:
		q.set(CapTemperatureZero, Unknown, "no second reply: %s", b.Meta.Detail)
	case a.Reply.Text != b.Reply.Text:
		q.set(CapTemperatureZero, No, "accepted, but two replies differ")
	default:
		q.set(CapTemperatureZero, Yes, "")
	}
}

// stream asks for a stream, and again without stream_options if those are what
// is refused.
func (q *questioner) stream(r Request, _ Attempt) {
	r.Params.Stream = true
	a := q.ask(r)
	if a.Meta.Outcome == ledger.Rejected && q.c.streamUsage() {
		plain := *q.c
		plain.target.Capabilities = &ledger.Capabilities{Support: map[string]ledger.Support{CapStreamUsage: {State: No}}}
		refused := a.Meta.Detail
		with := q.c
		q.c = &plain
		a = q.ask(r)
		q.c = with
		if a.Meta.Outcome != ledger.Rejected {
			q.set(CapStreamUsage, No, "stream_options is refused: %s", refused)
		}
	}
	switch a.Meta.Outcome {
	case ledger.OK, ledger.Exhausted, ledger.Empty, ledger.Filtered, ledger.Refused:
		q.set(CapStream, Yes, "")
	case ledger.Rejected, ledger.Truncated, ledger.Malformed:
		q.set(CapStream, No, "%s: %s", a.Meta.Outcome, a.Meta.Detail)
		return
	default:
		q.set(CapStream, Unknown, "%s: %s", a.Meta.Outcome, a.Meta.Detail)
		return
	}
	switch s := q.caps.Support[CapStreamUsage]; {
	case a.Meta.Usage != nil:
		q.set(CapStreamUsage, Yes, "")
	case s.State != No:
		q.set(CapStreamUsage, No, "streams carry no token counts")
	}
}

// completions asks for a completion with log-probabilities, and for those of a
// prompt.
func (q *questioner) completions(base Request, _ Attempt) {
	alternatives := 1
	r := Request{Kind: wire.Completion, Prompt: testPrompt, Params: ledger.Params{MaxTokens: 4, Temperature: base.Params.Temperature, Logprobs: &alternatives}}
	a := q.ask(r)
	refused := ""
	if a.Meta.Outcome == ledger.Rejected {
		refused = a.Meta.Detail
		r.Params.Logprobs = nil
		a = q.ask(r)
	}
	switch a.Meta.Outcome {
	case ledger.OK, ledger.Exhausted, ledger.Empty:
		q.set(CapCompletions, Yes, "")
	case ledger.Rejected:
		q.set(CapCompletions, No, "%s", a.Meta.Detail)
		q.set(CapEchoLogprobs, No, "no completions")
		return
	default:
		q.set(CapCompletions, Unknown, "%s: %s", a.Meta.Outcome, a.Meta.Detail)
		return
	}
	if refused != "" {
		q.set(CapLogprobs, No, "refused: %s", refused)
		q.set(CapEchoLogprobs, No, "refused: %s", refused)
		return
	}
	q.set(CapLogprobs, No, "asked for and not sent")
	if known(a) > 0 {
		q.set(CapLogprobs, Yes, "with completions")
	}
	q.echo(r)
}

// echo asks for the log-probabilities of a prompt.
func (q *questioner) echo(r Request) {
	r.Params.Echo, r.Params.MaxTokens = true, 1
	a := q.ask(r)
	tokens, err := wire.DecodeLogprobs(exchange(a))
	switch {
	case a.Meta.Outcome == ledger.Rejected:
		q.set(CapEchoLogprobs, No, "refused: %s", a.Meta.Detail)
	case a.Meta.Outcome != ledger.OK && a.Meta.Outcome != ledger.Empty && a.Meta.Outcome != ledger.Exhausted:
		q.set(CapEchoLogprobs, Unknown, "%s: %s", a.Meta.Outcome, a.Meta.Detail)
	case !strings.HasPrefix(strings.TrimSpace(a.Reply.Text), r.Prompt):
		q.set(CapEchoLogprobs, No, "the prompt is not echoed")
	case err != nil:
		q.set(CapEchoLogprobs, No, "%v", err)
	case known(a) < len(tokens)/2 || len(tokens) < 3:
		q.set(CapEchoLogprobs, No, "the echoed prompt has no log-probabilities")
	default:
		q.set(CapEchoLogprobs, Yes, "%d of %d tokens", known(a), len(tokens))
	}
}

// chatLogprobs asks for log-probabilities of a chat where completions have none.
func (q *questioner) chatLogprobs(r Request, _ Attempt) {
	if q.caps.Support[CapLogprobs].State == Yes || q.caps.Support[CapChat].State != Yes {
		return
	}
	alternatives := 1
	r.Kind, r.Params.Logprobs = wire.Chat, &alternatives
	a := q.ask(r)
	switch {
	case a.Meta.Outcome == ledger.Rejected:
		q.set(CapLogprobs, No, "refused: %s", a.Meta.Detail)
	case a.Meta.Outcome != ledger.OK:
		q.set(CapLogprobs, Unknown, "%s: %s", a.Meta.Outcome, a.Meta.Detail)
	case known(a) == 0:
		q.set(CapLogprobs, No, "asked for and not sent")
	default:
		q.set(CapLogprobs, Yes, "with chats")
	}
}

// promptLogprobs asks for the log-probabilities of a prompt in vLLM's way, which does not
// echo it: with a completion, or with a chat where there are none. A server that ignores
// the member sends none.
func (q *questioner) promptLogprobs(r Request, _ Attempt) {
	alternatives, how := 1, "with chats"
	if q.caps.Support[CapCompletions].State == Yes {
		r.Kind, r.System, r.Prompt, how = wire.Completion, "", testPrompt, "with completions"
	}
	r.Params.PromptLogprobs, r.Params.MaxTokens, r.Params.Stream = &alternatives, 1, false
	a := q.ask(r)
	tokens, err := wire.DecodePromptLogprobs(exchange(a))
	scored := 0
	for _, t := range tokens {
		if len(t.Candidates) > 0 {
			scored++
		}
	}
	switch {
	case a.Meta.Outcome == ledger.Rejected:
		q.set(CapPromptLogprobs, No, "refused: %s", a.Meta.Detail)
	case a.Meta.Outcome != ledger.OK && a.Meta.Outcome != ledger.Empty && a.Meta.Outcome != ledger.Exhausted:
		q.set(CapPromptLogprobs, Unknown, "%s: %s", a.Meta.Outcome, a.Meta.Detail)
	case err != nil:
		q.set(CapPromptLogprobs, No, "%v", err)
	case scored < 3:
		q.set(CapPromptLogprobs, No, "asked for and not sent")
	default:
		q.set(CapPromptLogprobs, Yes, "%d of %d tokens, %s", scored, len(tokens), how)
	}
}

// system asks the first question under a system prompt. That it is heard shows
// in the reply, in the count of prompt tokens, or, where seeds are honoured, in
// another reply.
func (q *questioner) system(r Request, first Attempt) {
	if q.caps.Support[CapChat].State != Yes {
		return
	}
	const word = "cerulean"
	r.System = "Whatever you are asked, answer with the single word " + word + "."
	a := q.ask(r)
	longer := a.Meta.Usage != nil && first.Meta.Usage != nil && a.Meta.Usage.PromptTokens > first.Meta.Usage.PromptTokens
	switch {
	case a.Meta.Outcome == ledger.Rejected:
		q.set(CapSystemPrompt, No, "refused: %s", a.Meta.Detail)
	case a.Meta.Outcome != ledger.OK:
		q.set(CapSystemPrompt, Unknown, "%s: %s", a.Meta.Outcome, a.Meta.Detail)
	case strings.Contains(strings.ToLower(a.Reply.Text), word):
		q.set(CapSystemPrompt, Yes, "followed")
	case longer:
		q.set(CapSystemPrompt, Yes, "counted in the prompt, not followed")
	case q.caps.Support[CapSeed].State == Yes && a.Reply.Text != first.Reply.Text:
		q.set(CapSystemPrompt, Yes, "it changes the reply, but is not followed")
	default:
		q.set(CapSystemPrompt, Unknown, "accepted, without an effect that can be seen")
	}
}

// known is how many tokens of a reply have a log-probability.
func known(a Attempt) int {
	tokens, err := wire.DecodeLogprobs(exchange(a))
	if err != nil {
		return 0
	}
	n := 0
	for _, t := range tokens {
		if t.Known {
			n++
		}
	}
	return n
}

func exchange(a Attempt) wire.Exchange {
	return wire.Exchange{Status: a.Meta.Status, Kind: a.Meta.Kind, Stream: a.Meta.Stream, Body: a.Response, Complete: a.Meta.Complete}
}

// models reads the context length from the model list. Servers need not have
// one; nothing follows from its absence.
func (q *questioner) models() {
	f := &flight{}
	if _, err := q.c.openai.ListModels(withFlight(q.ctx, f)); err != nil {
		return
	}
	if n, err := contextLength(f.response, q.c.target.Model); err == nil {
		q.caps.ContextLimit = n
	}
}

// contextLength finds a model's context length in a model list, under the names
// that servers give it: max_model_len (vLLM, SGLang), context_length
// (OpenRouter, Together, Moonshot), max_context_length (Mistral), meta.n_ctx_train
// (llama.cpp).
func contextLength(list []byte, model string) (int, error) {
	var in struct {
		Data []struct {
			ID     string `json:"id"`
			VLLM   int    `json:"max_model_len"`
			Router int    `json:"context_length"`
			Max    int    `json:"max_context_length"`
			Meta   struct {
				Train int `json:"n_ctx_train"`
			} `json:"meta"`
		} `json:"data"`
	}
	if err := json.Unmarshal(list, &in); err != nil {
		return 0, fmt.Errorf("read the model list: %w", err)
	}
	for _, m := range in.Data {
		if m.ID == model {
			return max(m.VLLM, m.Router, m.Max, m.Meta.Train, 0), nil
		}
	}
	return 0, errors.New("read the model list: the model is not in it")
}
