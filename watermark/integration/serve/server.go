package serve

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/stillmark/stillmark/watermark"
	"github.com/stillmark/stillmark/watermark/integration/llama"
)

// Served is a model under a name.
type Served struct {
	Name  string
	Model *llama.Model
	// Mark is embedded in all its replies; nil for none.
	Mark watermark.Scheme
}

// Server is the handler. Its models stay the caller's.
type Server struct {
	http.ServeMux
	models []Served
}

// maxRequest bounds a request's body: a prompt of a context's ids is far smaller.
const maxRequest = 4 << 20

// New serves models, the first of them where a request names none.
func New(models ...Served) *Server {
	if len(models) == 0 {
		panic("serve: no model")
	}
	s := &Server{models: models}
	s.HandleFunc("GET /health", func(w http.ResponseWriter, _ *http.Request) { answer(w, struct{}{}) })
	s.HandleFunc("GET /v1/models", s.list)
	s.HandleFunc("GET /props", s.props)
	s.HandleFunc("POST /v1/completions", s.generation(false))
	s.HandleFunc("POST /v1/chat/completions", s.generation(true))
	s.HandleFunc("POST /completion", s.completion)
	s.HandleFunc("POST /tokenize", s.tokenize)
	s.HandleFunc("POST /apply-template", s.template)
	return s
}

// badRequest is the client's mistake.
type badRequest struct{ error }

func bad(format string, args ...any) error { return badRequest{fmt.Errorf(format, args...)} }

var errUnknownModel = errors.New("the model does not exist")

func (s *Server) model(name string) (Served, error) {
	if name == "" {
		return s.models[0], nil
	}
	for _, m := range s.models {
		if m.Name == name {
			return m, nil
		}
	}
	return Served{}, fmt.Errorf("%w: %q", errUnknownModel, name)
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // a client that is gone is no fault
}

func refuse(w http.ResponseWriter, err error) {
	status, kind := http.StatusInternalServerError, "server_error"
	var client badRequest
	switch {
	case errors.As(err, &client), errors.Is(err, llama.ErrTooLong):
		status, kind = http.StatusBadRequest, "invalid_request_error"
	case errors.Is(err, errUnknownModel):
		status, kind = http.StatusNotFound, "not_found_error"
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	answer(w, map[string]any{"error": map[string]any{"message": err.Error(), "type": kind, "code": status}})
}

// read decodes a body of at most maxRequest bytes.
func read(w http.ResponseWriter, r *http.Request, v any) error {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequest))
	if err != nil {
		return bad("the request was not read: %w", err)
	}
	if err := json.Unmarshal(body, v); err != nil {
		return bad("the request is not valid: %w", err)
	}
	return nil
}

func (s *Server) list(w http.ResponseWriter, _ *http.Request) {
	type model struct {
		ID     string `json:"id"`
		Object string `json:"object"`
		Owner  string `json:"owned_by"`
		Length int    `json:"max_model_len"`
	}
	var data []model
	for _, m := range s.models {
		data = append(data, model{m.Name, "model", "stillmark", m.Model.Context()})
	}
	answer(w, map[string]any{"object": "list", "data": data})
}

// props is what llama.cpp's server says of itself: it has one model.
func (s *Server) props(w http.ResponseWriter, _ *http.Request) {
	m := s.models[0]
	answer(w, map[string]any{"model_alias": m.Name, "default_generation_settings": map[string]any{"n_ctx": m.Model.Context()}})
}

// message is one of a conversation.
type message struct {
	Role    string          `json:"role"`
	Content json.RawMessage `json:"content"`
}

// conversation is the template of a base model: what was said, line by line.
func conversation(messages []message) (string, error) {
	if len(messages) == 0 {
		return "", bad("messages must not be empty")
	}
	var lines []string
	for _, m := range messages {
		var text string
		var parts []struct {
			Type string `json:"type"`
			Text string `json:"text"`
		}
		switch {
		case json.Unmarshal(m.Content, &text) == nil:
		case json.Unmarshal(m.Content, &parts) == nil:
			for _, p := range parts {
				if p.Type != "text" {
					return "", bad("content of type %q is not read", p.Type)
				}
				text += p.Text
			}
		default:
			return "", bad("content must be a string or an array of text parts")
		}
		lines = append(lines, text)
	}
	return strings.Join(lines, "\n"), nil
}

// tokenize is both servers': vLLM's names the text prompt or messages, llama.cpp's
// content.
func (s *Server) tokenize(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Model    string    `json:"model"`
		Prompt   *string   `json:"prompt"`
		Content  *string   `json:"content"`
		Messages []message `json:"messages"`
	}
	err := read(w, r, &in)
	text := in.Content
	if text == nil {
		text = in.Prompt
	}
	if err == nil && text == nil {
		var said string
		said, err = conversation(in.Messages)
		text = &said
	}
	var m Served
	if err == nil {
		m, err = s.model(in.Model)
	}
	var ids []int32
	if err == nil {
		ids, err = tokens(m.Model, *text)
	}
	if err != nil {
		refuse(w, err)
		return
	}
	answer(w, map[string]any{"tokens": slices.Concat([]int32{}, ids), "count": len(ids), "max_model_len": m.Model.Context()})
}

func tokens(m *llama.Model, text string) ([]int32, error) {
	ids, err := m.Tokenize(text)
	if err != nil {
		return nil, badRequest{err}
	}
	return ids, nil
}

func (s *Server) template(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Messages []message `json:"messages"`
	}
	err := read(w, r, &in)
	var text string
	if err == nil {
		text, err = conversation(in.Messages)
	}
	if err != nil {
		refuse(w, err)
		return
	}
	answer(w, map[string]any{"prompt": text})
}
