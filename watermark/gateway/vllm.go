package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
)

// vllm is the wire of vLLM's OpenAI-compatible server; see the package comment.
type vllm struct{}

// step asks for one token at temperature 1 without truncation: the sampled token is
// thrown away, the log-probabilities are what is wanted. All sampling parameters are
// named, because vLLM would take those left out from the model's generation_config.
func (vllm) step(model string, candidates int) (string, []byte, []byte) {
	name, _ := json.Marshal(model) // a string
	head := fmt.Appendf(nil, `{"model":%s,"max_tokens":1,"temperature":1,"top_p":1,"top_k":0,"min_p":0,"repetition_penalty":1,"presence_penalty":0,"frequency_penalty":0,"n":1,"stream":false,"logprobs":%d,"return_tokens_as_token_ids":true,"add_special_tokens":false,"prompt":[`, name, candidates)
	return "/v1/completions", head, []byte("]}")
}

func (vllm) candidates(answer []byte) ([]candidate, error) {
	var in struct {
		Choices []struct {
			Logprobs *struct {
				Top []namedLogprobs `json:"top_logprobs"`
			} `json:"logprobs"`
		} `json:"choices"`
	}
	if err := json.Unmarshal(answer, &in); err != nil {
		return nil, err
	}
	if len(in.Choices) != 1 || in.Choices[0].Logprobs == nil || len(in.Choices[0].Logprobs.Top) == 0 {
		return nil, errors.New("it has no log-probabilities")
	}
	return in.Choices[0].Logprobs.Top[0], nil
}

// namedLogprobs reads {"token_id:12": -0.5, …} without a map and a string for each.
type namedLogprobs []candidate

var errNames = errors.New(`its tokens are not named "token_id:N"`)

// UnmarshalJSON gets valid JSON.
func (n *namedLogprobs) UnmarshalJSON(b []byte) error {
	*n = (*n)[:0]
	b = bytes.TrimSpace(b)
	if len(b) < 2 || b[0] != '{' {
		return errNames
	}
	b = bytes.TrimSpace(b[1 : len(b)-1])
	for len(b) > 0 {
		rest, ok := bytes.CutPrefix(b, []byte(`"token_id:`))
		name, value, cut := bytes.Cut(rest, []byte(`"`))
		if !ok || !cut {
			return errNames
		}
		value, ok = bytes.CutPrefix(bytes.TrimSpace(value), []byte(":"))
		value, rest, _ = bytes.Cut(value, []byte(","))
		id, err := strconv.ParseInt(string(name), 10, 32)
		logprob, bad := strconv.ParseFloat(string(bytes.TrimSpace(value)), 64)
		if !ok || err != nil || bad != nil {
			return errNames
		}
		*n = append(*n, candidate{int32(id), logprob})
		b = bytes.TrimSpace(rest)
	}
	return nil
}

func (vllm) tokenize(model, text string, special bool) (string, any) {
	return "/tokenize", map[string]any{"model": model, "prompt": text, "add_special_tokens": special}
}

func (vllm) chat(ctx context.Context, u *upstream, messages, tools json.RawMessage) ([]int32, error) {
	in := map[string]any{"model": u.opt.Model, "messages": messages, "add_generation_prompt": true}
	if tools != nil {
		in["tools"] = tools
	}
	var out struct {
		Tokens []int32 `json:"tokens"`
	}
	err := u.call(ctx, "/tokenize", in, &out)
	return out.Tokens, err
}

func (vllm) about(ctx context.Context, u *upstream) error {
	var list struct {
		Data []struct {
			ID     string `json:"id"`
			Length int    `json:"max_model_len"`
		} `json:"data"`
	}
	if err := u.call(ctx, "/v1/models", nil, &list); err != nil {
		return err
	}
	var names []string
	for _, m := range list.Data {
		names = append(names, m.ID)
		if m.ID == u.opt.Model || u.opt.Model == "" && len(list.Data) == 1 {
			u.opt.Model, u.context = m.ID, m.Length
			return nil
		}
	}
	if u.opt.Model == "" {
		return fmt.Errorf("it serves %d models, and none was named: %q", len(names), names)
	}
	return fmt.Errorf("it serves no model %q, but %q", u.opt.Model, names)
}
