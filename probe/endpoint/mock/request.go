package mock

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// request is a parsed generation request.
type request struct {
	gen       GenRequest
	chat      bool
	returnIDs bool // of the reply, beside its text
	idNames   bool // tokens of log-probabilities are named "token_id:N"
	stream    bool
	wantUsage bool // stream_options.include_usage
	seeded    bool
	echo      bool
	echoOnly  bool // max_tokens is 0: nothing is generated
	scored    int  // prompt_logprobs: alternatives wanted per token of the prompt; -1: none
}

// parseRequest reads a request body as lenient servers do: unknown members are
// ignored, known ones must have their type.
func parseRequest(body []byte, chat bool) (*request, error) {
	var in struct {
		Model    string `json:"model"`
		Messages []struct {
			Role    string          `json:"role"`
			Content json.RawMessage `json:"content"`
		} `json:"messages"`
		Prompt              json.RawMessage `json:"prompt"`
		MaxTokens           *int            `json:"max_tokens"`
		MaxCompletionTokens *int            `json:"max_completion_tokens"`
		Temperature         *float64        `json:"temperature"`
		TopP                *float64        `json:"top_p"`
		Seed                *int64          `json:"seed"`
		Stream              bool            `json:"stream"`
		StreamOptions       *streamOptions  `json:"stream_options"`
		Logprobs            json.RawMessage `json:"logprobs"`
		TopLogprobs         int             `json:"top_logprobs"`
		PromptLogprobs      *int            `json:"prompt_logprobs"`
		TokensAsIDs         bool            `json:"return_tokens_as_token_ids"`
		ReturnIDs           bool            `json:"return_token_ids"`
		Echo                bool            `json:"echo"`
		N                   *int            `json:"n"`
	}
	if err := json.Unmarshal(body, &in); err != nil {
		return nil, fmt.Errorf("the request is not valid: %w", err)
	}
	q := &request{chat: chat, stream: in.Stream, echo: in.Echo && !chat, scored: -1}
	if in.PromptLogprobs != nil {
		if q.scored = *in.PromptLogprobs; q.scored < 0 || in.Stream {
			return nil, errors.New("prompt_logprobs must be at least 0, and are not streamed")
		}
	}
	g := &q.gen
	g.Model = in.Model
	g.Temperature, g.TopP, g.Logprobs = 1, 1, -1
	if in.N != nil && *in.N != 1 {
		return nil, errors.New("n must be 1")
	}
	if in.StreamOptions != nil {
		if !in.Stream {
			return nil, errors.New("stream_options is only allowed when stream is set")
		}
		q.wantUsage = in.StreamOptions.IncludeUsage
	}
	limit := in.MaxTokens
	if limit == nil && chat {
		limit = in.MaxCompletionTokens
	}
	if limit != nil {
		g.MaxTokens = *limit
		q.echoOnly = q.echo && *limit == 0
		if *limit < 1 && !q.echoOnly {
			return nil, errors.New("max_tokens must be at least 1")
		}
	}
	if in.Temperature != nil {
		if g.Temperature = *in.Temperature; g.Temperature < 0 || g.Temperature > 2 {
			return nil, errors.New("temperature must be from 0 to 2")
		}
	}
	if in.TopP != nil {
		if g.TopP = *in.TopP; g.TopP < 0 || g.TopP > 1 {
			return nil, errors.New("top_p must be from 0 to 1")
		}
	}
	if in.Seed != nil {
		g.Seed, q.seeded = uint64(*in.Seed), true
	}
	if !chat {
		q.idNames, q.returnIDs = in.TokensAsIDs, in.ReturnIDs && !in.Stream
		// An array of ids is what vLLM and llama.cpp take beside a text.
		if string(in.Prompt) == "null" || json.Unmarshal(in.Prompt, &g.Prompt) != nil && (json.Unmarshal(in.Prompt, &g.PromptIDs) != nil || len(g.PromptIDs) == 0) {
			return nil, errors.New("prompt must be a string or an array of token ids")
		}
		return q, completionLogprobs(in.Logprobs, g)
	}
	if len(in.Messages) == 0 {
		return nil, errors.New("messages must not be empty")
	}
	var parts []string
	for _, m := range in.Messages {
		text, err := contentText(m.Content)
		if err != nil {
			return nil, err
		}
		g.Messages = append(g.Messages, Message{m.Role, text})
		parts = append(parts, text)
	}
	g.Prompt = strings.Join(parts, "\n\n")
	var want bool
	if len(in.Logprobs) > 0 && json.Unmarshal(in.Logprobs, &want) != nil {
		return nil, errors.New("logprobs must be true or false")
	}
	if want {
		g.Logprobs = in.TopLogprobs
	}
	return q, nil
}

type streamOptions struct {
	IncludeUsage bool `json:"include_usage"`
}

// completionLogprobs reads the number of alternatives that completions ask for.
func completionLogprobs(raw json.RawMessage, g *GenRequest) error {
	var n *int
	if len(raw) > 0 && json.Unmarshal(raw, &n) != nil {
		return errors.New("logprobs must be a number")
	}
	if n != nil {
		g.Logprobs = *n
	}
	return nil
}

// contentText reads the content of a message: a string or text parts.
func contentText(raw json.RawMessage) (string, error) {
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return s, nil
	}
	var parts []struct {
		Text string `json:"text"`
	}
	if json.Unmarshal(raw, &parts) != nil {
		return "", errors.New("content must be a string or an array of text parts")
	}
	for _, p := range parts {
		s += p.Text
	}
	return s, nil
}
