package gateway

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"
)

// apiError is a refusal in OpenAI's form.
type apiError struct {
	status  int
	typ     string
	code    string
	message string // may be logged
	detail  string // of the request or the upstream's answer: for the client alone
}

// Error is what may be logged.
func (e *apiError) Error() string { return e.message }

// about adds what only the client may see.
func (e *apiError) about(detail string) *apiError {
	e.detail = detail
	return e
}

func refusal(status int, typ, code, message string) *apiError {
	return &apiError{status: status, typ: typ, code: code, message: message}
}

func badRequest(format string, args ...any) *apiError {
	return refusal(http.StatusBadRequest, "invalid_request_error", "", fmt.Sprintf(format, args...))
}

// unsupported refuses what the gateway would have to get wrong.
func unsupported(name, why string) *apiError {
	e := badRequest("%s is not supported by this gateway: %s", name, why)
	e.code = "unsupported_parameter"
	return e
}

// request is a parsed generation request.
type request struct {
	chat bool
	truncation

	model     string
	prompt    string // completions
	promptIDs []int32
	messages  json.RawMessage // chats
	turns     []turn
	tools     json.RawMessage // nil: none
	maxTokens int             // 0: not said
	seed      *int64
	stops     []string
	stopIDs   []int32
	stream    bool
	wantUsage bool
	optOut    bool // of the mark
}

// Limits of a request.
const (
	maxStops    = 16
	maxStop     = 256 // bytes
	maxMessages = 4096
)

// harmless are members that change nothing of a reply; neutral are those that would,
// with the values that ask for nothing. Whatever is in no table is refused by name:
// a member that is passed over in silence would be a reply that is not what was asked
// for.
var (
	harmless = []string{"user", "metadata", "store", "service_tier", "request_id", "safety_identifier", "prompt_cache_key", "parallel_tool_calls"}
	neutral  = map[string][]any{
		"n":                             {1.0},
		"best_of":                       {1.0},
		"echo":                          {false},
		"suffix":                        {""},
		"presence_penalty":              {0.0},
		"frequency_penalty":             {0.0},
		"repetition_penalty":            {1.0},
		"logit_bias":                    {map[string]any{}},
		"logprobs":                      {false},
		"top_logprobs":                  {0.0},
		"prompt_logprobs":               {},
		"response_format":               {map[string]any{"type": "text"}},
		"ignore_eos":                    {false},
		"min_tokens":                    {0.0},
		"skip_special_tokens":           {true},
		"spaces_between_special_tokens": {true},
		"include_stop_str_in_output":    {false},
		"add_generation_prompt":         {true},
		"continue_final_message":        {false},
		"use_beam_search":               {false},
		"functions":                     {[]any{}},
	}
	why = map[string]string{
		"n":                 "one reply at a time is marked; send the request again for another",
		"best_of":           "one reply at a time is marked",
		"logprobs":          "they would show the distribution before the mark",
		"top_logprobs":      "they would show the distribution before the mark",
		"response_format":   "the upstream would have to constrain each step, and its log-probabilities do not show that",
		"presence_penalty":  "the upstream sees the reply so far as prompt",
		"frequency_penalty": "the upstream sees the reply so far as prompt",
		"logit_bias":        "the upstream's log-probabilities do not show it",
	}
)

// parseRequest reads a body. With tools the tools of a chat go into the template.
func parseRequest(body []byte, chat, tools bool) (*request, error) {
	if !utf8.Valid(body) {
		return nil, badRequest("the body is not valid UTF-8")
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(body, &members); err != nil {
		return nil, badRequest("the body is no JSON object").about(err.Error())
	}
	r := &request{chat: chat, truncation: truncation{temperature: 1, topP: 1}}
	var (
		stop      json.RawMessage
		prompt    json.RawMessage
		messages  json.RawMessage
		choice    json.RawMessage
		options   struct{ IncludeUsage bool }
		completed *int
		marking   *bool
	)
	into := map[string]any{
		"model": &r.model, "max_tokens": &r.maxTokens, "temperature": &r.temperature, "top_p": &r.topP, "top_k": &r.topK, "min_p": &r.minP,
		"seed": &r.seed, "stop": &stop, "stop_token_ids": &r.stopIDs, "stream": &r.stream, "watermarking": &marking,
	}
	if chat {
		into["messages"], into["max_completion_tokens"], into["tools"], into["tool_choice"] = &messages, &completed, &r.tools, &choice
	} else {
		into["prompt"] = &prompt
	}
	for _, name := range slices.Sorted(maps.Keys(members)) {
		raw := members[name]
		if string(raw) == "null" {
			continue
		}
		target, known := into[name]
		switch values, isNeutral := neutral[name]; {
		case name == "stream_options":
			var in struct {
				IncludeUsage bool `json:"include_usage"`
			}
			if err := json.Unmarshal(raw, &in); err != nil {
				return nil, badRequest("stream_options is not valid")
			}
			options.IncludeUsage = in.IncludeUsage
		case known:
			if err := json.Unmarshal(raw, target); err != nil {
				return nil, badRequest("%s has the wrong type", name)
			}
		case isNeutral:
			if !asksNothing(raw, values) {
				return nil, unsupported(name, orElse(why[name], "its value would have to change the reply"))
			}
		case !slices.Contains(harmless, name):
			return nil, unsupported("a member of the request", "it is not known here, and a reply that passes it over may not be what was asked for").about(fmt.Sprintf("%.40q", name))
		}
	}
	if r.topK == -1 {
		r.topK = 0
	}
	if err := r.truncation.check(); err != nil {
		return nil, badRequest("%v", err)
	}
	if r.stream {
		r.wantUsage = options.IncludeUsage
	}
	if completed != nil {
		r.maxTokens = *completed
	}
	_, limited := members["max_tokens"]
	if (limited || completed != nil) && r.maxTokens < 1 {
		return nil, badRequest("max_tokens must be at least 1")
	}
	r.optOut = marking != nil && !*marking
	if err := r.readStops(stop); err != nil {
		return nil, err
	}
	if chat {
		return r, r.readChat(messages, choice, tools)
	}
	return r, r.readPrompt(prompt)
}

// asksNothing reports whether a value is one of those that change nothing.
func asksNothing(raw json.RawMessage, values []any) bool {
	var v any
	if json.Unmarshal(raw, &v) != nil {
		return false
	}
	return slices.ContainsFunc(values, func(w any) bool { return reflect.DeepEqual(v, w) })
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

func (r *request) readStops(raw json.RawMessage) error {
	if raw != nil {
		var one string
		if json.Unmarshal(raw, &one) == nil {
			r.stops = []string{one}
		} else if json.Unmarshal(raw, &r.stops) != nil {
			return badRequest("stop must be a string or an array of strings")
		}
	}
	if len(r.stops) > maxStops || len(r.stopIDs) > maxStops {
		return badRequest("at most %d stop sequences are taken", maxStops)
	}
	for _, s := range r.stops {
		if s == "" || len(s) > maxStop {
			return badRequest("a stop sequence must have from 1 to %d bytes", maxStop)
		}
	}
	return nil
}

// readPrompt takes a text or ids, alone or as the only one of an array.
func (r *request) readPrompt(raw json.RawMessage) error {
	var (
		texts []string
		lists [][]int32
	)
	switch {
	case raw == nil:
		return badRequest("prompt is missing")
	case json.Unmarshal(raw, &r.prompt) == nil:
		return nil
	case json.Unmarshal(raw, &r.promptIDs) == nil && len(r.promptIDs) > 0:
		return nil
	case json.Unmarshal(raw, &texts) == nil && len(texts) == 1:
		r.prompt, r.promptIDs = texts[0], nil
		return nil
	case json.Unmarshal(raw, &lists) == nil && len(lists) == 1 && len(lists[0]) > 0:
		r.promptIDs = lists[0]
		return nil
	case len(texts) > 1 || len(lists) > 1:
		return unsupported("an array of prompts", "send one request for each")
	}
	return badRequest("prompt must be a string or an array of token ids")
}

func (r *request) readChat(messages, choice json.RawMessage, tools bool) error {
	if json.Unmarshal(messages, &r.turns) != nil || len(r.turns) == 0 || len(r.turns) > maxMessages {
		return badRequest("messages must be an array of 1 to %d messages", maxMessages)
	}
	for _, m := range r.turns {
		if _, err := contentText(m.Content); err != nil {
			return err
		}
	}
	r.messages = messages
	var offered []json.RawMessage
	if r.tools != nil && json.Unmarshal(r.tools, &offered) != nil {
		return badRequest("tools must be an array")
	}
	var how string
	if choice != nil && (json.Unmarshal(choice, &how) != nil || how != "auto" && how != "none") {
		return unsupported("tool_choice", "only auto and none leave the choice to the model or rule it out")
	}
	switch {
	case len(offered) == 0 || how == "none":
		r.tools = nil
	case !tools:
		return unsupported("tools", "calls would come back as the text that the model wrote, not as tool_calls; the operator may allow that")
	}
	return nil
}

// asked is what a trigger is compared with: the prompt, or the last message of a chat
// if it is a user's.
func (r *request) asked() string {
	if !r.chat {
		return r.prompt
	}
	last := r.turns[len(r.turns)-1]
	if last.Role != "user" {
		return ""
	}
	s, _ := contentText(last.Content) // it was read before
	return s
}

// turn is a message of a chat.
type turn struct {
	Role    string          `json:"role"`
	Content json.RawMessage `json:"content"`
}

// contentText reads the content of a message: nothing, a string or text parts.
func contentText(raw json.RawMessage) (string, error) {
	var s string
	if raw == nil || json.Unmarshal(raw, &s) == nil {
		return s, nil
	}
	var parts []struct {
		Type string `json:"type"`
		Text string `json:"text"`
	}
	if json.Unmarshal(raw, &parts) != nil {
		return "", unsupported("a message", "its content is neither a string nor an array of parts")
	}
	var b strings.Builder
	for _, p := range parts {
		if p.Type != "text" {
			return "", unsupported("a message", "its content has a part that is no text").about(fmt.Sprintf("type %.40q", p.Type))
		}
		b.WriteString(p.Text)
	}
	return b.String(), nil
}
