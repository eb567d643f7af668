package serve

import (
	"encoding/json"
	"net/http"
	"strings"
)

// completion is POST /completion of llama.cpp's server, one answer without a stream:
// with n_probs each token has its candidates, by the softmax of the model's logits.
func (s *Server) completion(w http.ResponseWriter, r *http.Request) {
	var in struct {
		settings
		Prompt   json.RawMessage `json:"prompt"`
		Predict  int             `json:"n_predict"`
		Probs    int             `json:"n_probs"`
		Post     bool            `json:"post_sampling_probs"`
		Samplers []string        `json:"samplers"`
		Stream   bool            `json:"stream"`
	}
	type token struct {
		ID      int32   `json:"id"`
		Token   string  `json:"token"`
		Bytes   []int   `json:"bytes"`
		Logprob float64 `json:"logprob"`
		Top     []token `json:"top_logprobs,omitempty"`
	}
	m := s.models[0]
	err := read(w, r, &in)
	j := &job{served: m, max: in.Predict, top: -1}
	if err == nil {
		switch {
		case in.Post || in.Stream:
			err = bad("post_sampling_probs and stream are not served")
		case in.Predict < 1:
			err = bad("n_predict must be at least 1")
		case in.Probs < 0 || in.Probs > maxLogprobs:
			err = bad("n_probs must be from 0 to %d", maxLogprobs)
		case in.Probs > 0:
			j.top = in.Probs
		}
	}
	if err == nil {
		j.prompt, err = promptIDs(m, in.Prompt)
	}
	if err == nil && len(j.prompt) == 0 {
		err = bad("the prompt has no tokens")
	}
	if err == nil {
		j.sampler, err = in.sampler(m)
	}
	var text []byte
	var steps []token
	var finish string
	if err == nil {
		named := func(c candidate) token {
			t := token{ID: c.id, Logprob: c.logprob, Bytes: []int{}}
			piece := m.Model.Piece(nil, c.id)
			t.Token = strings.ToValidUTF8(string(piece), "\uFFFD")
			for _, b := range piece {
				t.Bytes = append(t.Bytes, int(b))
			}
			return t
		}
		finish, err = j.generate(r.Context(), func(st step) error {
			if !st.end {
				text = m.Model.Piece(text, st.id)
			}
			if j.top >= 0 {
				t := named(st.candidate)
				for _, c := range st.top {
					t.Top = append(t.Top, named(c))
				}
				steps = append(steps, t)
			}
			return nil
		})
	}
	if err != nil {
		refuse(w, err)
		return
	}
	stop := map[string]string{finishStop: "eos", finishLength: "limit"}[finish]
	answer(w, map[string]any{
		"content": strings.ToValidUTF8(string(text), "\uFFFD"), "stop": true, "stop_type": stop, "model": m.Name,
		"tokens_evaluated": len(j.prompt), "completion_probabilities": steps,
	})
}
