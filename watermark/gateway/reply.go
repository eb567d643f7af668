package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"time"
)

// usage counts tokens.
type usage struct {
	Prompt     int `json:"prompt_tokens"`
	Completion int `json:"completion_tokens"`
	Total      int `json:"total_tokens"`
}

type envelope struct {
	ID      string   `json:"id"`
	Object  string   `json:"object"`
	Created int64    `json:"created"`
	Model   string   `json:"model"`
	Choices []choice `json:"choices"`
	Usage   *usage   `json:"usage,omitempty"`
}

// choice is that of a completion (Text), of a chat (Message) or of a chunk of one
// (Delta).
type choice struct {
	Index    int      `json:"index"`
	Text     *string  `json:"text,omitempty"`
	Message  *message `json:"message,omitempty"`
	Delta    *message `json:"delta,omitempty"`
	Logprobs *bool    `json:"logprobs"` // always null
	Finish   *string  `json:"finish_reason"`
}

type message struct {
	Role    string  `json:"role,omitempty"`
	Content *string `json:"content,omitempty"`
}

// reply generates and answers.
func (g *generation) reply(ctx context.Context, w http.ResponseWriter) {
	run := func(emit func(string) error) (string, error) {
		if g.policy == policyPlanted {
			return g.canary(emit)
		}
		return g.tokens(ctx, emit)
	}
	if g.req.stream {
		g.stream(ctx, w, run)
		return
	}
	var text strings.Builder
	finish, err := run(func(s string) error {
		text.WriteString(s)
		return nil
	})
	if err != nil {
		g.failed(ctx, w, nil, err)
		return
	}
	e := g.envelope(g.choice(text.String(), &finish))
	e.Usage = g.usage()
	g.finish = finish
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(g.s.opt.ClientTimeout)) // not every writer has one
	writeJSON(w, http.StatusOK, e)
	g.tap()
	g.done(http.StatusOK, nil)
}

// errClient says that the client cannot be written to.
var errClient = errors.New("the client went away")

// events writes server-sent events.
type events struct {
	w       http.ResponseWriter
	control *http.ResponseController
	timeout time.Duration
	begun   bool
}

func (e *events) send(v any) error {
	if !e.begun {
		h := e.w.Header()
		h.Set("Content-Type", "text/event-stream")
		h.Set("Cache-Control", "no-cache")
		h.Set("X-Accel-Buffering", "no") // nginx would hold tokens back
		e.begun = true
	}
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return e.write(append(append([]byte("data: "), b...), "\n\n"...))
}

func (e *events) write(b []byte) error {
	_ = e.control.SetWriteDeadline(time.Now().Add(e.timeout)) // not every writer has one
	if _, err := e.w.Write(b); err != nil {
		return errClient
	}
	if err := e.control.Flush(); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return errClient
	}
	return nil
}

// stream answers with server-sent events: the role first (chat), a chunk for each
// piece of text, one with the finish reason, one with the usage if asked for, [DONE].
func (g *generation) stream(ctx context.Context, w http.ResponseWriter, run func(func(string) error) (string, error)) {
	out := &events{w: w, control: http.NewResponseController(w), timeout: g.s.opt.ClientTimeout}
	finish, err := run(func(s string) error {
		if !out.begun && g.chat {
			role := message{Role: "assistant", Content: new(string)}
			if err := out.send(g.envelope(choice{Delta: &role})); err != nil {
				return err
			}
		}
		if s == "" {
			return nil
		}
		return out.send(g.envelope(g.choice(s, nil)))
	})
	if err == nil {
		err = out.send(g.envelope(g.choice("", &finish)))
	}
	if err == nil && g.req.wantUsage {
		e := g.envelope()
		e.Usage = g.usage()
		err = out.send(e)
	}
	if err == nil {
		err = out.write([]byte("data: [DONE]\n\n"))
	}
	if err != nil {
		g.failed(ctx, w, out, err)
		return
	}
	g.finish = finish
	g.tap()
	g.done(http.StatusOK, nil)
}

func (g *generation) envelope(choices ...choice) envelope {
	e := envelope{ID: "cmpl-" + g.id, Object: "text_completion", Created: g.began.Unix(), Model: g.s.Model(), Choices: choices}
	if g.chat {
		e.ID, e.Object = "chatcmpl-"+g.id, "chat.completion"
		if g.req.stream {
			e.Object = "chat.completion.chunk"
		}
	}
	if e.Choices == nil {
		e.Choices = []choice{}
	}
	return e
}

func (g *generation) choice(text string, finish *string) choice {
	switch {
	case !g.chat:
		return choice{Text: &text, Finish: finish}
	case !g.req.stream:
		return choice{Message: &message{Role: "assistant", Content: &text}, Finish: finish}
	case text == "":
		return choice{Delta: &message{}, Finish: finish}
	}
	return choice{Delta: &message{Content: &text}, Finish: finish}
}

func (g *generation) usage() *usage {
	u := &usage{Prompt: g.promptTokens(), Completion: len(g.seq.generated())}
	u.Total = u.Prompt + u.Completion
	return u
}

// promptTokens of a planted reply are counted here: the upstream was not asked.
func (g *generation) promptTokens() int {
	if g.policy != policyPlanted {
		return g.seq.prompt
	}
	ids, _ := g.s.opt.Tokenizer.Encode(g.req.asked()) // a count, nothing rests on it
	return len(ids)
}

// refused answers an error before anything else.
func (g *generation) refused(w http.ResponseWriter, err error) {
	g.done(writeError(w, err), err)
}

// failed ends a reply that could not be finished. Once a stream has begun its end is
// an event with the error and nothing after it: neither a finish reason nor [DONE],
// so that no client takes the part for a whole.
func (g *generation) failed(ctx context.Context, w http.ResponseWriter, out *events, err error) {
	if cause := context.Cause(ctx); cause != nil && !errors.Is(err, errClient) {
		err = cause
	}
	if errors.Is(err, errClient) || errors.Is(err, context.Canceled) { // nobody is there to be told
		g.done(statusClientGone, errClient)
		return
	}
	if out == nil || !out.begun {
		g.refused(w, err)
		return
	}
	e := asAPIError(err)
	_ = out.send(map[string]any{"error": e.object()}) // the reply failed already
	g.done(e.status, err)
}

// statusClientGone stands in the log where no status was sent: nginx's number.
const statusClientGone = 499

// done records what was done. No content is in it.
func (g *generation) done(status int, err error) {
	took := time.Since(g.began)
	m := g.s.metrics
	m.count(outcome{g.route, g.policy, status})
	m.request.observe(took)
	level := slog.LevelInfo
	attrs := []slog.Attr{
		slog.String("id", g.id), slog.String("route", g.route), slog.Int("status", status), slog.Float64("seconds", took.Seconds()),
	}
	if g.account != nil {
		attrs = append(attrs, slog.String("account", g.account.short()), slog.String("cohort", g.cohort))
	}
	if g.policy != "" {
		attrs = append(attrs, slog.String("policy", g.policy))
	}
	if g.reason != "" {
		attrs = append(attrs, slog.String("reason", g.reason))
	}
	if g.signing != nil {
		k := g.signing.key
		attrs = append(attrs, slog.String("key", k.ID), slog.String("epoch", k.Epoch), slog.String("scheme", k.Scheme))
	}
	if g.seq != nil {
		attrs = append(attrs, slog.Int("prompt_tokens", g.seq.prompt), slog.Int("completion_tokens", len(g.seq.generated())), slog.String("finish", g.finish))
	}
	if g.s.native != nil && g.policy != policyPlanted {
		attrs = append(attrs, slog.String("by", g.s.native.stack))
	}
	if l := &g.loss; l.steps > 0 {
		m.prompt.Add(uint64(g.seq.prompt))
		m.completion.Add(uint64(len(g.seq.generated())))
		m.steps.Add(uint64(l.steps))
		m.missing.add(l.missing)
		m.kl.add(l.kl)
		attrs = append(attrs,
			slog.Float64("upstream_seconds", g.waited.Seconds()), slog.Float64("first_token_seconds", g.first.Seconds()),
			slog.Float64("missing_mass_mean", l.mean(l.missing)), slog.Float64("missing_mass_max", l.mostMissing),
			slog.Float64("kl_nats_mean", l.mean(l.kl)), slog.Float64("kl_nats_max", l.mostKL))
	}
	if err != nil {
		attrs = append(attrs, slog.String("error", err.Error()))
		if status >= 500 {
			level = slog.LevelError
		}
	}
	g.s.opt.Log.LogAttrs(context.Background(), level, "request", attrs...)
}
