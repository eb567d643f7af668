package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
)

// llamaCpp is the wire of llama.cpp's server; see the package comment.
type llamaCpp struct{}

// step asks for one token. Without post_sampling_probs the log-probabilities are the
// softmax of the logits, before any sampler.
func (llamaCpp) step(_ string, candidates int) (string, []byte, []byte) {
	head := fmt.Appendf(nil, `{"n_predict":1,"n_probs":%d,"post_sampling_probs":false,"temperature":1,"samplers":[],"repeat_penalty":1,"presence_penalty":0,"frequency_penalty":0,"cache_prompt":true,"stream":false,"prompt":[`, candidates)
	return "/completion", head, []byte("]}")
}

func (llamaCpp) candidates(answer []byte) ([]candidate, error) {
	type token struct {
		ID      *int32   `json:"id"`
		Logprob *float64 `json:"logprob"`
	}
	var in struct {
		Steps []struct {
			Top []token `json:"top_logprobs"`
		} `json:"completion_probabilities"`
	}
	if err := json.Unmarshal(answer, &in); err != nil {
		return nil, err
	}
	if len(in.Steps) == 0 { // there are two where the first token ends within a character
		return nil, errors.New("it has no completion_probabilities")
	}
	var out []candidate
	for _, t := range in.Steps[0].Top {
		if t.ID == nil || t.Logprob == nil {
			return nil, errors.New("its top_logprobs lack id or logprob")
		}
		out = append(out, candidate{*t.ID, *t.Logprob})
	}
	return out, nil
}

func (llamaCpp) tokenize(_, text string, special bool) (string, any) {
	return "/tokenize", map[string]any{"content": text, "add_special": special, "parse_special": special}
}

// chat: the template comes as text, in which the control tokens stand as such.
func (llamaCpp) chat(ctx context.Context, u *upstream, messages, tools json.RawMessage) ([]int32, error) {
	in := map[string]any{"messages": messages}
	if tools != nil {
		in["tools"] = tools
	}
	var prompt struct {
		Prompt *string `json:"prompt"`
	}
	if err := u.call(ctx, "/apply-template", in, &prompt); err != nil {
		return nil, err
	}
	if prompt.Prompt == nil {
		return nil, errors.New("the upstream's /apply-template gives no prompt")
	}
	var out struct {
		Tokens []int32 `json:"tokens"`
	}
	err := u.call(ctx, "/tokenize", map[string]any{"content": *prompt.Prompt, "add_special": true, "parse_special": true}, &out)
	return out.Tokens, err
}

// about: the server has one model, whatever it is called.
func (llamaCpp) about(ctx context.Context, u *upstream) error {
	var props struct {
		Settings struct {
			Context int `json:"n_ctx"`
		} `json:"default_generation_settings"`
		Alias string `json:"model_alias"`
	}
	if err := u.call(ctx, "/props", nil, &props); err != nil {
		return err
	}
	u.context = props.Settings.Context
	if u.opt.Model == "" {
		u.opt.Model = props.Alias
	}
	return nil
}
