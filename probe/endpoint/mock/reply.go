package mock

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// reply answers one generation request.
type reply struct {
	server  *Server
	q       *request
	gen     Generator
	person  Personality
	fault   Fault // zero if none
	n       int
	w       http.ResponseWriter
	r       *http.Request
	created int64

	pieces  int // generated, without echo
	sent    int // bytes of the body
	flushed time.Time
	err     error // errDropped or errCut once the body has ended early
}

type usage struct {
	PromptTokens     int `json:"prompt_tokens"`
	CompletionTokens int `json:"completion_tokens"`
	TotalTokens      int `json:"total_tokens"`
}

type envelope struct {
	ID          string  `json:"id"`
	Object      string  `json:"object"`
	Created     int64   `json:"created"`
	Model       string  `json:"model"`
	Fingerprint *string `json:"system_fingerprint,omitempty"`
	Choices     []any   `json:"choices"`
	Usage       *usage  `json:"usage,omitempty"`
	// PromptLogprobs stand here in chats, in the choice of completions.
	PromptLogprobs []promptRow `json:"prompt_logprobs,omitempty"`
}

type message struct {
	Role    string `json:"role,omitempty"`
	Content any    `json:"content,omitempty"`
}

type chatChoice struct {
	Index    int           `json:"index"`
	Message  *message      `json:"message,omitempty"`
	Delta    *message      `json:"delta,omitempty"`
	Logprobs *chatLogprobs `json:"logprobs"`
	Finish   *string       `json:"finish_reason"`
}

type textChoice struct {
	Index    int           `json:"index"`
	Text     string        `json:"text"`
	Logprobs *textLogprobs `json:"logprobs"`
	Finish   *string       `json:"finish_reason"`

	PromptLogprobs []promptRow `json:"prompt_logprobs,omitempty"`
	TokenIDs       []int32     `json:"token_ids,omitempty"`
	PromptTokenIDs []int32     `json:"prompt_token_ids,omitempty"`
}

type chatLogprobs struct {
	Content []chatToken `json:"content"`
}

type chatToken struct {
	Token   string      `json:"token"`
	Logprob float64     `json:"logprob"`
	Bytes   []int       `json:"bytes"`
	Top     []chatToken `json:"top_logprobs,omitempty"`
}

// promptToken is what vLLM says of a candidate for a token of the prompt.
type promptToken struct {
	id int32

	Logprob float64 `json:"logprob"`
	Rank    int     `json:"rank"`
	Token   string  `json:"decoded_token"`
}

// promptRow are the candidates for one token of the prompt, the token itself
// first: an object by their ids in this very order, or null.
type promptRow []promptToken

// MarshalJSON keeps the order, which a map would lose.
func (r promptRow) MarshalJSON() ([]byte, error) {
	if r == nil {
		return []byte("null"), nil
	}
	b := []byte{'{'}
	for i, t := range r {
		if i > 0 {
			b = append(b, ',')
		}
		value, err := json.Marshal(t)
		if err != nil {
			return nil, err
		}
		b = append(fmt.Appendf(b, `"%d":`, t.id), value...)
	}
	return append(b, '}'), nil
}

type textLogprobs struct {
	Tokens        []string             `json:"tokens"`
	TokenLogprobs []*float64           `json:"token_logprobs"`
	TopLogprobs   []map[string]float64 `json:"top_logprobs"`
	TextOffset    []int                `json:"text_offset"`
}

func (p *reply) envelope(choices ...any) envelope {
	e := envelope{Created: p.created, Model: p.q.gen.Model, Choices: choices}
	if e.Choices == nil {
		e.Choices = []any{}
	}
	switch {
	case p.q.chat && p.q.stream:
		e.ID, e.Object = "chatcmpl-", "chat.completion.chunk"
	case p.q.chat:
		e.ID, e.Object = "chatcmpl-", "chat.completion"
	default:
		e.ID, e.Object = "cmpl-", "text_completion"
	}
	e.ID += strconv.FormatUint(p.server.freshSeed(p.q.gen.Model, p.n), 16)
	if p.person.ReportAs != "" {
		e.Model = p.person.ReportAs
	}
	if p.fault.Kind == FaultModelSwitch {
		e.Model = p.fault.As
	}
	if p.person.Fingerprint != "" {
		e.Fingerprint = &p.person.Fingerprint
	}
	return e
}

func (p *reply) usage() *usage {
	if p.person.NoUsage {
		return nil
	}
	u := &usage{CompletionTokens: p.pieces}
	if p.q.gen.PromptIDs != nil {
		u.PromptTokens = len(p.q.gen.PromptIDs)
	} else if c, ok := p.gen.(PromptCounter); ok {
		u.PromptTokens = c.CountTokens(p.q.gen.Prompt)
	} else {
		u.PromptTokens = len(strings.Fields(p.q.gen.Prompt))
	}
	u.TotalTokens = u.PromptTokens + u.CompletionTokens
	return u
}

// run generates the pieces (with echo, those of the prompt first) and returns
// the finish reason.
func (p *reply) run(emit func(Piece) error) (string, error) {
	ctx := p.r.Context()
	if p.q.echo {
		if err := p.gen.(Echoer).Echo(ctx, p.q.gen, emit); err != nil {
			return "", err
		}
		if p.q.echoOnly {
			return "length", nil
		}
	}
	return p.gen.Generate(ctx, p.q.gen, func(piece Piece) error {
		if p.fault.Kind == FaultTrickle && !p.server.wait(p.r, time.Duration(p.fault.DelayMS)*time.Millisecond) {
			return errDropped
		}
		p.pieces++
		return emit(piece)
	})
}

var (
	errDropped = errors.New("mock: the connection is dropped")
	errCut     = errors.New("mock: the body ends early")
)

// whole answers with one JSON body.
func (p *reply) whole() {
	var (
		text   strings.Builder
		pieces []Piece
		ids    []int32
	)
	finish, err := p.run(func(piece Piece) error {
		text.WriteString(piece.Text)
		ids = append(ids, piece.Token)
		if p.q.gen.Logprobs >= 0 {
			pieces = append(pieces, piece)
		}
		return nil
	})
	if err != nil {
		p.fail(err)
		return
	}
	scored, err := p.promptLogprobs()
	if err != nil {
		p.fail(err)
		return
	}
	choice := p.choice(strings.ToValidUTF8(text.String(), "\uFFFD"), pieces, 0, p.finish(finish))
	e := p.envelope(choice)
	if text, ok := choice.(textChoice); ok {
		text.PromptLogprobs = scored
		if coder, ok := p.gen.(Coder); ok && p.q.returnIDs && !p.person.NoTokenIDs {
			text.TokenIDs, text.PromptTokenIDs = ids, p.q.gen.PromptIDs
			if text.PromptTokenIDs == nil {
				text.PromptTokenIDs, _ = coder.Encode(p.q.gen.Prompt) // it was encoded to generate
			}
		}
		e.Choices[0] = text
	} else {
		e.PromptLogprobs = scored
	}
	e.Usage = p.usage()
	p.w.Header().Set("Content-Type", "application/json")
	p.write(p.encode(e))
	p.end()
}

// finish is the finish reason to send; the fault no_finish makes it null.
func (p *reply) finish(s string) *string {
	if p.fault.Kind == FaultNoFinish {
		return nil
	}
	return &s
}

// fail ends a reply whose generation ended early: by a fault, or by an error of
// the generator, which is answered if the headers are not out yet.
func (p *reply) fail(err error) {
	switch {
	case p.err != nil:
		p.end()
		return
	case p.sent > 0 || err == errDropped || p.r.Context().Err() != nil:
		panic(http.ErrAbortHandler)
	}
	writeError(p.w, http.StatusInternalServerError, err.Error(), "server_error", "")
}

// choice builds the choice of a reply or of a chunk. offset is where its text
// begins, in runes.
func (p *reply) choice(text string, pieces []Piece, offset int, finish *string) any {
	if !p.q.chat {
		return textChoice{Text: text, Logprobs: p.textLogprobs(pieces, offset), Finish: finish}
	}
	c := chatChoice{Finish: finish, Logprobs: p.chatLogprobs(pieces)}
	m := &message{Content: text}
	if p.person.ContentParts {
		m.Content = []map[string]string{{"type": "text", "text": text}}
	}
	if p.q.stream {
		if text == "" {
			m.Content = nil
		}
		c.Delta = m
	} else {
		m.Role = "assistant"
		c.Message = m
	}
	return c
}

func (p *reply) chatLogprobs(pieces []Piece) *chatLogprobs {
	if p.q.gen.Logprobs < 0 || len(pieces) == 0 {
		return nil
	}
	token := func(text string, lp float64) chatToken {
		t := chatToken{Token: tokenString(text), Logprob: finite(lp), Bytes: make([]int, len(text))}
		for i := range len(text) {
			t.Bytes[i] = int(text[i])
		}
		return t
	}
	out := &chatLogprobs{}
	for _, piece := range pieces {
		t := token(piece.Text, piece.Logprob)
		for _, a := range piece.Top {
			t.Top = append(t.Top, token(a.Text, a.Logprob))
		}
		out.Content = append(out.Content, t)
	}
	return out
}

func (p *reply) textLogprobs(pieces []Piece, offset int) *textLogprobs {
	if p.q.gen.Logprobs < 0 {
		return nil
	}
	name := func(text string, token int32) string {
		if p.q.idNames {
			return "token_id:" + strconv.Itoa(int(token))
		}
		return tokenString(text)
	}
	out := &textLogprobs{Tokens: []string{}, TokenLogprobs: []*float64{}, TopLogprobs: []map[string]float64{}, TextOffset: []int{}}
	for _, piece := range pieces {
		out.Tokens = append(out.Tokens, name(piece.Text, piece.Token))
		out.TextOffset = append(out.TextOffset, offset)
		offset += utf8.RuneCountInString(piece.Text)
		if piece.NoLogprob {
			out.TokenLogprobs = append(out.TokenLogprobs, nil)
			out.TopLogprobs = append(out.TopLogprobs, nil)
			continue
		}
		lp := finite(piece.Logprob)
		out.TokenLogprobs = append(out.TokenLogprobs, &lp)
		top := map[string]float64{}
		for _, a := range piece.Top {
			top[name(a.Text, a.Token)] = finite(a.Logprob)
		}
		out.TopLogprobs = append(out.TopLogprobs, top)
	}
	return out
}

// promptLogprobs scores the prompt as vLLM does, the most probable tokens beside
// those of the prompt.
func (p *reply) promptLogprobs() ([]promptRow, error) {
	if p.q.scored < 0 {
		return nil, nil
	}
	req := p.q.gen
	req.Logprobs = p.q.scored
	var rows []promptRow
	err := p.gen.(Echoer).Echo(p.r.Context(), req, func(piece Piece) error {
		if piece.NoLogprob {
			rows = append(rows, nil)
			return nil
		}
		// Below the alternatives its rank is not known; vLLM would count on.
		row := promptRow{{piece.Token, finite(piece.Logprob), len(piece.Top) + 1, tokenString(piece.Text)}}
		for i, a := range piece.Top {
			if a.Token == piece.Token {
				row[0].Rank = i + 1
				continue
			}
			row = append(row, promptToken{a.Token, finite(a.Logprob), i + 1, tokenString(a.Text)})
		}
		rows = append(rows, row)
		return nil
	})
	return rows, err
}

// tokenString writes a token that is no UTF-8 as OpenAI does: bytes:\xe4\xbd.
func tokenString(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	var b strings.Builder
	b.WriteString("bytes:")
	for i := range len(s) {
		fmt.Fprintf(&b, `\x%02x`, s[i])
	}
	return b.String()
}

// finite replaces what JSON cannot say; -9999 is what OpenAI writes for a token
// of no probability.
func finite(lp float64) float64 {
	if math.IsNaN(lp) || lp < -9999 {
		return -9999
	}
	return lp
}

func (p *reply) encode(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic("mock: " + err.Error()) // v is made of strings and finite numbers
	}
	return b
}
