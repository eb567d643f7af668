package mock

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// letters is a generator whose tokens are the letters: id 0 is a. It goes on with the
// alphabet after the last id of the prompt.
type letters struct{}

func (letters) Encode(text string) ([]int32, error) {
	var ids []int32
	for _, b := range []byte(text) {
		ids = append(ids, int32(b-'a'))
	}
	return ids, nil
}

func (letters) Decode(ids []int32) []byte {
	var b []byte
	for _, id := range ids {
		b = append(b, byte('a'+id))
	}
	return b
}

func (l letters) Generate(_ context.Context, req GenRequest, emit func(Piece) error) (string, error) {
	ids := req.PromptIDs
	if ids == nil {
		ids, _ = l.Encode(req.Prompt)
	}
	next := ids[len(ids)-1]
	for range req.MaxTokens {
		next++
		p := Piece{Token: next, Text: string(l.Decode([]int32{next})), Logprob: -.5}
		for i := range max(0, req.Logprobs) {
			p.Top = append(p.Top, Alt{Token: next + int32(i), Text: "x", Logprob: -.5 - float64(i)})
		}
		if err := emit(p); err != nil {
			return "", err
		}
	}
	return "length", nil
}

// Prompts and log-probabilities by token id, and the tokenizer's paths, are vLLM's.
func TestTokenIDs(t *testing.T) {
	t.Parallel()
	s, err := New(Options{Models: map[string]Generator{"m": letters{}, "words": Words{}, "plain": letters{}}, Script: &Script{Models: map[string]Personality{
		"plain": {NoTokenIDs: true}, "m": {MaxLogprobs: 3, MaxModelLen: 6},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	post := func(path, body string) (int, map[string]any) {
		response, err := http.Post(strings.TrimSuffix(s.URL(), "/v1")+path, "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		var out map[string]any
		if err := json.NewDecoder(response.Body).Decode(&out); err != nil {
			t.Fatal(err)
		}
		return response.StatusCode, out
	}
	_, out := post("/v1/completions", `{"model":"m","prompt":[3,4],"max_tokens":2,"logprobs":2,"return_tokens_as_token_ids":true,"return_token_ids":true}`)
	got, err := json.Marshal(out["choices"].([]any)[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"text":"fg"`, `"tokens":["token_id:5","token_id:6"]`, `{"token_id:5":-0.5,"token_id:6":-1.5}`, `"token_ids":[5,6]`, `"prompt_token_ids":[3,4]`} {
		if !strings.Contains(string(got), want) {
			t.Errorf("%s has no %s", got, want)
		}
	}
	if out["usage"].(map[string]any)["prompt_tokens"] != 2.0 {
		t.Errorf("usage %v", out["usage"])
	}
	for _, c := range []struct {
		path, body string
		status     int
		says       string
	}{
		{"/tokenize", `{"model":"m","prompt":"abc"}`, 200, `"tokens":[0,1,2]`},
		{"/tokenize", `{"model":"m","messages":[{"role":"user","content":"ab"}]}`, 200, `"tokens":[0,1]`},
		{"/tokenize", `{"model":"m","messages":[{"role":"user","content":7}]}`, 400, "content"},
		{"/tokenize", `{"model":"words","prompt":"abc"}`, 404, "no tokenizer"},
		{"/tokenize", `{"model":"plain","prompt":"abc"}`, 404, "no tokenizer"},
		{"/tokenize", `{`, 400, "not valid"},
		{"/detokenize", `{"model":"m","tokens":[0,1,2]}`, 200, `"prompt":"abc"`},
		{"/v1/completions", `{"model":"plain","prompt":[1]}`, 400, "must be a string"},
		{"/v1/completions", `{"model":"words","prompt":[1]}`, 400, "must be a string"},
		{"/v1/completions", `{"model":"m","prompt":null}`, 400, "a string or an array"},
		{"/v1/completions", `{"model":"m","prompt":[]}`, 400, "a string or an array"},
		{"/v1/completions", `{"model":"m","prompt":[1],"logprobs":4}`, 400, "max allowed: 3"},
		{"/v1/completions", `{"model":"m","prompt":[1,2,3,4,5,6]}`, 400, "maximum context length is 6"},
	} {
		status, out := post(c.path, c.body)
		got, err := json.Marshal(out)
		if err != nil || status != c.status || !strings.Contains(string(got), c.says) {
			t.Errorf("%s %s: %d %s, want %d %s", c.path, c.body, status, got, c.status, c.says)
		}
	}
	if !slices.ContainsFunc(s.Requests(), func(r Record) bool { return r.Path == "/v1/completions" }) {
		t.Error("nothing was logged")
	}
}
