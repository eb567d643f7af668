package endpoint

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"unicode/utf8"

	"github.com/stillmark/stillmark/probe/ledger"
	"github.com/stillmark/stillmark/probe/wire"
)

// Request is one request to a target.
type Request struct {
	Item   string // id of the item, for messages only: it is not sent
	Kind   string // wire.Chat (also the meaning of "") or wire.Completion
	System string // system prompt of a chat, not sent when empty
	Prompt string // user message, or the prompt of a completion
	Params ledger.Params
	Sample int // sample k is sent seed Params.Seed + k

	Extra map[string]json.RawMessage // further members of the body, beside the target's own
}

// RequestFor is the request that asks for an item of a plan.
func RequestFor(it ledger.Item, p *ledger.Plan) Request {
	r := Request{
		Item: it.ID, Kind: it.Prompt.Kind, System: it.Prompt.System, Prompt: it.Prompt.Text,
		Params: p.ParamsFor(&it), Sample: it.Sample,
	}
	if it.Prompt.Sentinel {
		r.Sample = 0 // every round asks the very same
	}
	return r
}

func (r *Request) kind() string {
	if r.Kind == "" {
		return wire.Chat
	}
	return r.Kind
}

// body builds the bytes of a request: the members that the plan says and no
// other, in a fixed order, so that equal requests have equal bytes. Members that
// are nil are left out, zeros are written. stream is always said, and with it
// stream_options where the server knows them: without, streams carry no usage
// and caps on cost could not be kept.
func (c *Client) body(r Request) ([]byte, error) {
	b := bodyWriter{names: map[string]bool{}}
	b.add("model", c.target.Model)
	type message struct {
		Role    string `json:"role"`
		Content string `json:"content"`
	}
	limit := "max_tokens"
	switch r.kind() {
	case wire.Chat:
		if r.Params.Echo {
			return nil, errors.New("echo is for completions only")
		}
		var m []message
		if r.System != "" {
			m = append(m, message{"system", r.System})
		}
		b.add("messages", append(m, message{"user", r.Prompt}))
		limit = either(c.quirks.MaxTokensField, limit)
	case wire.Completion:
		if r.System != "" {
			return nil, errors.New("completions have no system prompt")
		}
		b.add("prompt", r.Prompt)
	default:
		return nil, fmt.Errorf("unknown kind of request %q", r.Kind)
	}
	if !utf8.ValidString(r.System) || !utf8.ValidString(r.Prompt) {
		return nil, errors.New("the prompt is not UTF-8")
	}
	if r.Params.MaxTokens < 0 {
		return nil, errors.New("max_tokens is negative")
	}
	b.add(limit, r.Params.MaxTokens)
	if r.Params.Temperature != nil {
		b.add("temperature", *r.Params.Temperature)
	}
	if r.Params.TopP != nil {
		b.add("top_p", *r.Params.TopP)
	}
	if s := r.Params.Seed; s != nil {
		if r.Sample < 0 || *s > math.MaxInt64-int64(r.Sample) {
			return nil, errors.New("the seed of this sample is out of range")
		}
		b.add(either(c.quirks.SeedField, "seed"), *s+int64(r.Sample))
	}
	b.add("stream", r.Params.Stream)
	if r.Params.Stream && c.streamUsage() {
		b.add("stream_options", map[string]bool{"include_usage": true})
	}
	if n := r.Params.Logprobs; n != nil {
		if r.kind() == wire.Chat {
			b.add("logprobs", true)
			b.add("top_logprobs", *n)
		} else {
			b.add("logprobs", *n)
		}
	}
	if n := r.Params.PromptLogprobs; n != nil {
		b.add("prompt_logprobs", *n)
	}
	if r.Params.Echo {
		b.add("echo", true)
	}
	if r.Params.User != "" {
		b.add("user", r.Params.User)
	}
	if len(r.Params.Metadata) > 0 {
		b.add("metadata", r.Params.Metadata)
	}
	for _, extra := range []map[string]json.RawMessage{c.target.ExtraBody, r.Extra} {
		for _, name := range slices.Sorted(maps.Keys(extra)) {
			if b.names[name] {
				return nil, fmt.Errorf("the extra member %q is set already", name)
			}
			b.add(name, extra[name])
		}
	}
	return b.end()
}

// streamUsage reports whether streams are asked for their usage. What a
// capability test found out is sealed in the plan and goes before the preset.
func (c *Client) streamUsage() bool {
	if caps := c.target.Capabilities; caps != nil {
		if s, ok := caps.Support[CapStreamUsage]; ok {
			return s.State != No
		}
	}
	return !c.quirks.NoStreamUsage
}

func either(s, otherwise string) string {
	if s != "" {
		return s
	}
	return otherwise
}

// bodyWriter writes one JSON object, member by member.
type bodyWriter struct {
	buf   bytes.Buffer
	names map[string]bool
	err   error
}

func (w *bodyWriter) add(name string, value any) {
	w.names[name] = true
	sep := byte(',')
	if w.buf.Len() == 0 {
		sep = '{'
	}
	w.buf.WriteByte(sep)
	w.encode(name)
	w.buf.WriteByte(':')
	w.encode(value)
}

// encode writes a value without the escapes of <, > and & that encoding/json
// adds for HTML: the prompt is sent as it is written.
func (w *bodyWriter) encode(v any) {
	enc := json.NewEncoder(&w.buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		w.err = errors.Join(w.err, err)
		return
	}
	w.buf.Truncate(w.buf.Len() - 1) // Encode ends with a line break
}

func (w *bodyWriter) end() ([]byte, error) {
	w.buf.WriteByte('}')
	if w.err != nil {
		return nil, fmt.Errorf("the request cannot be encoded: %w", w.err)
	}
	return w.buf.Bytes(), nil
}
