package mock

import (
	"encoding/json"
	"net/http"
	"strings"
)

// coder is the tokenizer of the model that a request of a tokenizer's path names, or
// nil after the refusal was written. in is what the body is decoded into.
func (s *Server) coder(w http.ResponseWriter, r *http.Request, in any, model *string) Coder {
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxRequest)).Decode(in); err != nil {
		writeError(w, http.StatusBadRequest, "the request is not valid: "+err.Error(), "invalid_request_error", "")
		return nil
	}
	c, ok := s.opt.Models[*model].(Coder)
	if !ok || s.opt.Script.Models[*model].NoTokenIDs {
		writeError(w, http.StatusNotFound, "no tokenizer of a model "+*model, "invalid_request_error", "not_found")
		return nil
	}
	return c
}

// tokenize answers as vLLM does, for a text or for the messages of a chat. The
// template of a chat is the contents of its messages, joined by blank lines.
func (s *Server) tokenize(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Model    string `json:"model"`
		Prompt   string `json:"prompt"`
		Messages []struct {
			Content json.RawMessage `json:"content"`
		} `json:"messages"`
	}
	c := s.coder(w, r, &in, &in.Model)
	if c == nil {
		return
	}
	var parts []string
	for _, m := range in.Messages {
		text, err := contentText(m.Content)
		if err != nil {
			writeError(w, http.StatusBadRequest, err.Error(), "invalid_request_error", "")
			return
		}
		parts = append(parts, text)
	}
	if in.Messages != nil {
		in.Prompt = strings.Join(parts, "\n\n")
	}
	ids, err := c.Encode(in.Prompt)
	if err != nil {
		writeError(w, http.StatusBadRequest, err.Error(), "invalid_request_error", "")
		return
	}
	writeJSON(w, http.StatusOK, struct {
		Count  int     `json:"count"`
		Length int     `json:"max_model_len"`
		Tokens []int32 `json:"tokens"`
	}{len(ids), s.opt.Script.Models[in.Model].MaxModelLen, append([]int32{}, ids...)})
}

// detokenize answers as vLLM does.
func (s *Server) detokenize(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Model  string  `json:"model"`
		Tokens []int32 `json:"tokens"`
	}
	if c := s.coder(w, r, &in, &in.Model); c != nil {
		writeJSON(w, http.StatusOK, map[string]string{"prompt": string(c.Decode(in.Tokens))})
	}
}
