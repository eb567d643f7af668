package serve

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"
)

// maxLogprobs is how many candidates of a step may be asked for; vLLM has --max-logprobs.
const maxLogprobs = 5000

// request is what both OpenAI forms may hold. N, Stop and Echo are read to be refused.
type request struct {
	settings
	Model               string          `json:"model"`
	Prompt              json.RawMessage `json:"prompt"`
	Messages            []message       `json:"messages"`
	MaxTokens           *int            `json:"max_tokens"`
	MaxCompletionTokens *int            `json:"max_completion_tokens"`
	Logprobs            json.RawMessage `json:"logprobs"`
	TopLogprobs         int             `json:"top_logprobs"`
	NamedByID           bool            `json:"return_tokens_as_token_ids"`
	WithIDs             bool            `json:"return_token_ids"`
	Stream              bool            `json:"stream"`
	StreamOptions       struct {
		IncludeUsage bool `json:"include_usage"`
	} `json:"stream_options"`
	N    *int            `json:"n"`
	Stop json.RawMessage `json:"stop"`
	Echo bool            `json:"echo"`
}

// job reads a request.
func (s *Server) job(q *request, chat bool) (*job, error) {
	m, err := s.model(q.Model)
	if err != nil {
		return nil, err
	}
	j := &job{served: m, max: m.Model.Context(), top: -1}
	if chat {
		text, err := conversation(q.Messages)
		if err != nil {
			return nil, err
		}
		if j.prompt, err = tokens(m.Model, text); err != nil {
			return nil, err
		}
		if q.MaxTokens == nil {
			q.MaxTokens = q.MaxCompletionTokens
		}
	} else {
		if j.prompt, err = promptIDs(m, q.Prompt); err != nil {
			return nil, err
		}
		j.max = 16 // OpenAI's default
	}
	if q.MaxTokens != nil {
		j.max = *q.MaxTokens
	}
	switch {
	case j.max < 1:
		return nil, bad("max_tokens must be at least 1")
	case len(j.prompt) == 0:
		return nil, bad("the prompt has no tokens")
	case q.N != nil && *q.N != 1:
		return nil, bad("n must be 1")
	case len(q.Stop) > 0 && string(q.Stop) != "null" || q.Echo:
		return nil, bad("stop and echo are not served")
	}
	if j.top, err = wanted(q, chat); err != nil {
		return nil, err
	}
	j.sampler, err = q.sampler(m)
	return j, err
}

// wanted is how many candidates of each token are asked for, -1 for no log-probabilities.
func wanted(q *request, chat bool) (int, error) {
	n := -1
	if chat {
		var on bool
		if len(q.Logprobs) > 0 && json.Unmarshal(q.Logprobs, &on) != nil {
			return 0, bad("logprobs must be true or false")
		}
		if on {
			n = q.TopLogprobs
		}
	} else if len(q.Logprobs) > 0 && string(q.Logprobs) != "null" {
		if json.Unmarshal(q.Logprobs, &n) != nil || n < 0 {
			return 0, bad("logprobs must be a number")
		}
	}
	if n < -1 || n > maxLogprobs {
		return 0, bad("at most %d candidates of a token can be had", maxLogprobs)
	}
	return n, nil
}

type usage struct {
	Prompt     int `json:"prompt_tokens"`
	Completion int `json:"completion_tokens"`
	Total      int `json:"total_tokens"`
}

type choice struct {
	Index     int      `json:"index"`
	Text      *string  `json:"text,omitempty"`
	Message   *said    `json:"message,omitempty"`
	Delta     *said    `json:"delta,omitempty"`
	Logprobs  any      `json:"logprobs"`
	Finish    *string  `json:"finish_reason"`
	TokenIDs  []int32  `json:"token_ids,omitempty"`
	PromptIDs *[]int32 `json:"prompt_token_ids,omitempty"`
}

type said struct {
	Role    string `json:"role,omitempty"`
	Content string `json:"content"`
}

type envelope struct {
	ID      string   `json:"id"`
	Object  string   `json:"object"`
	Created int64    `json:"created"`
	Model   string   `json:"model"`
	Choices []choice `json:"choices"`
	Usage   *usage   `json:"usage,omitempty"`
}

// textLogprobs are those of /v1/completions, one entry for each token.
type textLogprobs struct {
	Tokens   []string             `json:"tokens"`
	Logprobs []float64            `json:"token_logprobs"`
	Top      []map[string]float64 `json:"top_logprobs"`
	Offsets  []int                `json:"text_offset"`
}

// chatLogprobs are those of chats.
type chatLogprobs struct {
	Content []chatToken `json:"content"`
}

type chatToken struct {
	Token   string      `json:"token"`
	Logprob float64     `json:"logprob"`
	Bytes   []int       `json:"bytes"`
	Top     []chatToken `json:"top_logprobs,omitempty"`
}

// reply collects what one answer, or one piece of a stream, holds.
type reply struct {
	q       *request
	j       *job
	chat    bool
	ids     []int32
	pending []byte // bytes that end within a character
	text    strings.Builder
	offset  int
	lines   textLogprobs
	content chatLogprobs
}

func (r *reply) add(s step) {
	r.ids = append(r.ids, s.id)
	if !s.end {
		r.pending = r.j.served.Model.Piece(r.pending, s.id)
	}
	if r.j.top >= 0 {
		if r.chat {
			t := r.token(s.candidate)
			for _, c := range s.top {
				t.Top = append(t.Top, r.token(c))
			}
			r.content.Content = append(r.content.Content, t)
		} else {
			// The token itself stands among the candidates, too: one more where it
			// is none of the likeliest.
			top := map[string]float64{r.name(s.id): s.logprob}
			for _, c := range s.top {
				top[r.name(c.id)] = c.logprob
			}
			r.lines.Tokens = append(r.lines.Tokens, r.name(s.id))
			r.lines.Logprobs = append(r.lines.Logprobs, s.logprob)
			r.lines.Top = append(r.lines.Top, top)
			r.lines.Offsets = append(r.lines.Offsets, r.offset)
		}
	}
	whole := r.pending
	for cut := 1; cut <= min(utf8.UTFMax-1, len(r.pending)); cut++ {
		if tail := r.pending[len(r.pending)-cut:]; utf8.RuneStart(tail[0]) {
			if !utf8.FullRune(tail) {
				whole = r.pending[:len(r.pending)-cut]
			}
			break
		}
	}
	r.write(whole)
	r.pending = append(r.pending[:0], r.pending[len(whole):]...)
}

func (r *reply) write(b []byte) {
	text := strings.ToValidUTF8(string(b), "\uFFFD")
	r.text.WriteString(text)
	r.offset += utf8.RuneCountInString(text)
}

func (r *reply) name(id int32) string {
	if r.q.NamedByID {
		return fmt.Sprintf("token_id:%d", id)
	}
	return strings.ToValidUTF8(string(r.j.served.Model.Piece(nil, id)), "\uFFFD")
}

func (r *reply) token(c candidate) chatToken {
	t := chatToken{Token: r.name(c.id), Logprob: c.logprob, Bytes: []int{}}
	for _, b := range r.j.served.Model.Piece(nil, c.id) {
		t.Bytes = append(t.Bytes, int(b))
	}
	return t
}

// take is the choice of what came since the last call. A finish reason is given at
// the end.
func (r *reply) take(finish string) choice {
	if finish != "" {
		r.write(r.pending)
		r.pending = nil
	}
	text := r.text.String()
	c := choice{Text: &text}
	if r.j.top >= 0 {
		c.Logprobs = r.lines
	}
	if r.chat {
		c.Text = nil
		if said := (&said{"assistant", text}); r.q.Stream {
			c.Delta = said
		} else {
			c.Message = said
		}
		if r.j.top >= 0 {
			c.Logprobs = r.content
		}
	}
	if r.q.WithIDs {
		c.TokenIDs = r.ids
		if !r.q.Stream {
			c.PromptIDs = &r.j.prompt
		}
	}
	if finish != "" {
		c.Finish = &finish
	}
	r.text.Reset()
	r.ids, r.lines, r.content = nil, textLogprobs{}, chatLogprobs{}
	return c
}

func (s *Server) generation(chat bool) http.HandlerFunc {
	id, object := "cmpl-", "text_completion"
	if chat {
		id, object = "chatcmpl-", "chat.completion"
	}
	return func(w http.ResponseWriter, r *http.Request) {
		q := &request{}
		err := read(w, r, q)
		var j *job
		if err == nil {
			j, err = s.job(q, chat)
		}
		if err != nil {
			refuse(w, err)
			return
		}
		e := envelope{ID: fmt.Sprintf("%s%d", id, time.Now().UnixNano()), Object: object, Created: time.Now().Unix(), Model: j.served.Name}
		out := &reply{q: q, j: j, chat: chat}
		n := 0
		use := func() *usage { return &usage{len(j.prompt), n, len(j.prompt) + n} }
		if !q.Stream {
			finish, err := j.generate(r.Context(), func(st step) error {
				n++
				out.add(st)
				return nil
			})
			if err != nil {
				refuse(w, err)
				return
			}
			e.Choices, e.Usage = []choice{out.take(finish)}, use()
			answer(w, e)
			return
		}
		if chat {
			e.Object += ".chunk"
		}
		w.Header().Set("Content-Type", "text/event-stream")
		flush := http.NewResponseController(w)
		event := func(v any) error {
			data, err := json.Marshal(v)
			if err == nil {
				_, err = fmt.Fprintf(w, "data: %s\n\n", data)
			}
			if err == nil {
				err = flush.Flush()
			}
			return err
		}
		finish, err := j.generate(r.Context(), func(st step) error {
			n++
			out.add(st)
			e.Choices = []choice{out.take("")}
			return event(e)
		})
		if err != nil {
			return // the stream ends without [DONE]: a client sees that it is cut
		}
		e.Choices = []choice{out.take(finish)}
		if event(e) != nil {
			return
		}
		if q.StreamOptions.IncludeUsage {
			e.Choices, e.Usage = []choice{}, use()
			if event(e) != nil {
				return
			}
		}
		fmt.Fprint(w, "data: [DONE]\n\n")
	}
}
