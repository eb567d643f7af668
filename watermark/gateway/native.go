package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/stillmark/stillmark/watermark"
)

// Natives are the stacks that mark by themselves and that a gateway can choose for:
// vLLM marks under the key that it was started with, and a request may ask it not to;
// SGLang takes a key with each request.
func Natives() []string { return []string{watermark.StackVLLM, watermark.StackSGLang} }

// native passes requests on to an upstream that marks by itself.
type native struct {
	stack string
	proxy *httputil.ReverseProxy

	mu    sync.Mutex
	looks map[string]*look // for the mark of each key, by its id
}

func (s *Server) newNative(stack string) (*native, error) {
	if !slices.Contains(Natives(), stack) {
		return nil, fmt.Errorf("%q is no stack that marks by itself; use one of %s", stack, strings.Join(Natives(), ", "))
	}
	base, err := url.Parse(s.up.base)
	if err != nil {
		return nil, errors.New("the upstream is no URL")
	}
	n := &native{stack: stack, looks: map[string]*look{}}
	n.proxy = &httputil.ReverseProxy{
		Rewrite: func(p *httputil.ProxyRequest) {
			p.SetURL(base)
			p.Out.Header.Del("Authorization") // the client's key is for this gateway
			p.Out.Header.Del("Cookie")
			if auth := s.up.auth(); auth != "" {
				p.Out.Header.Set("Authorization", auth)
			}
			if s.up.secret() || carriesKey(p.In.Context()) { // a refusal is looked at
				p.Out.Header.Set("Accept-Encoding", "identity")
			}
		},
		Transport:      s.up.client.Transport,
		FlushInterval:  -1, // a stream is passed on as it comes
		ModifyResponse: s.hideKey,
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			if cause := context.Cause(r.Context()); cause != nil {
				err = cause
			} else {
				err = fmt.Errorf("the upstream cannot be reached: %w", err)
			}
			w.(*passed).err = err
			if !errors.Is(err, context.Canceled) {
				writeError(w, err)
			}
		},
		ErrorLog: slog.NewLogLogger(s.opt.Log.Handler(), slog.LevelWarn),
	}
	return n, nil
}

// startNative sees that the upstream marks under the keys of all cohorts.
func (s *Server) startNative(ctx context.Context) error {
	var err error
	if s.native, err = s.newNative(s.opt.Native); err != nil {
		return err
	}
	if err := (vllm{}).about(ctx, s.up); err != nil { // SGLang lists its models as vLLM does
		return fmt.Errorf("the upstream does not say what it serves: %w", err)
	}
	now := time.Now()
	for a := range s.opt.signers(now) {
		with, err := s.opt.Keys.signing(&a, now)
		if err != nil {
			return err
		}
		if _, err := s.native.marked(ctx, s, with); err != nil {
			return fmt.Errorf("the upstream does not mark as key %s does: %w", with.key.ID, err)
		}
	}
	return nil
}

// keyInRequest is where a request's context says that a watermark key is sent with it.
type keyInRequest struct{}

// hideKey replaces a refusal that may show a secret of the request: the watermark key,
// of which no part of a refusal is passed on, or the upstream's API key.
func (s *Server) hideKey(r *http.Response) error {
	if r.StatusCode < http.StatusBadRequest {
		return nil
	}
	if !carriesKey(r.Request.Context()) {
		if !s.up.secret() {
			return nil
		}
		const most = 1 << 20
		body, err := io.ReadAll(io.LimitReader(r.Body, most+1))
		hidden := err != nil || len(body) > most || r.Header.Get("Content-Encoding") != "" || s.up.shows(string(body))
		if !hidden && !privateStatus(r.StatusCode) {
			r.Body = struct {
				io.Reader
				io.Closer
			}{bytes.NewReader(body), r.Body}
			return nil
		}
	}
	r.Body.Close()
	body, err := json.Marshal(map[string]any{"error": badRequest("%s", keyHidden).object()})
	header := http.Header{"Content-Type": {"application/json"}, "Content-Length": {fmt.Sprint(len(body))}}
	if after := r.Header["Retry-After"]; after != nil {
		header["Retry-After"] = after
	}
	r.Header, r.Trailer = header, nil
	r.Body, r.ContentLength, r.TransferEncoding = io.NopCloser(bytes.NewReader(body)), int64(len(body)), nil
	return err
}

// carriesKey reports whether a request goes on with a watermark key in it.
func carriesKey(ctx context.Context) bool {
	with, _ := ctx.Value(keyInRequest{}).(bool)
	return with
}

const keyHidden = "the upstream refused the request; its reason may show a key and is left out"

// passed is the client's side of a reply that is passed on.
type passed struct {
	http.ResponseWriter
	timeout time.Duration // of one write
	status  int
	err     error
}

func (p *passed) WriteHeader(status int) {
	p.status = status
	p.ResponseWriter.WriteHeader(status)
}

// Write gives up on a client that does not read.
func (p *passed) Write(b []byte) (int, error) {
	_ = http.NewResponseController(p.ResponseWriter).SetWriteDeadline(time.Now().Add(p.timeout)) // not every writer has one
	n, err := p.ResponseWriter.Write(b)
	if err != nil {
		p.err = errClient
	}
	return n, err
}

// Unwrap is for http.ResponseController.
func (p *passed) Unwrap() http.ResponseWriter { return p.ResponseWriter }

// passOn chooses what is done to the reply and passes the request on. Nothing of it is
// changed but the one member that says how the upstream marks.
func (g *generation) passOn(ctx context.Context, w http.ResponseWriter, r *http.Request) {
	body, withKey, err := g.s.native.prepare(ctx, g, w, r)
	if err != nil {
		g.failed(ctx, w, nil, err)
		return
	}
	if g.policy == policyPlanted {
		g.reply(ctx, w)
		return
	}
	out := &passed{ResponseWriter: w, timeout: g.s.opt.ClientTimeout, status: http.StatusOK}
	r = r.Clone(context.WithValue(ctx, keyInRequest{}, withKey))
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	defer func() {
		// The proxy aborts the connection of a reply that breaks off, so that the client
		// sees no end of it.
		if broken := recover(); broken != nil {
			status, err := http.StatusBadGateway, errors.New("the upstream's reply broke off")
			if ctx.Err() != nil || errors.Is(out.err, errClient) {
				status, err = statusClientGone, errClient
			}
			g.done(status, err)
			panic(broken)
		}
	}()
	g.s.native.proxy.ServeHTTP(out, r)
	if errors.Is(out.err, context.Canceled) || errors.Is(out.err, errClient) {
		out.status = statusClientGone
	}
	g.done(out.status, out.err)
}

// prepare reads what decides how the reply is marked, and gives the body to pass on,
// and whether there is a watermark key in it.
func (n *native) prepare(ctx context.Context, g *generation, w http.ResponseWriter, r *http.Request) (out []byte, withKey bool, err error) {
	body, err := g.read(w, r)
	if err != nil {
		return nil, false, err
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(body, &members); err != nil || members == nil {
		return nil, false, badRequest("the body is no JSON object")
	}
	var model string
	_ = json.Unmarshal(members["model"], &model) // the mark was seen on one model
	if err := g.s.hasModel(model); err != nil {
		return nil, false, err
	}
	g.req = &request{chat: g.chat, truncation: truncation{temperature: 1}}
	// What has the wrong type, the upstream refuses.
	_ = json.Unmarshal(members["temperature"], &g.req.temperature)
	_ = json.Unmarshal(members["top_k"], &g.req.topK)
	_ = json.Unmarshal(members["prompt"], &g.req.prompt)
	_ = json.Unmarshal(members["stream"], &g.req.stream)
	if json.Unmarshal(members["messages"], &g.req.turns) != nil || len(g.req.turns) == 0 {
		g.req.turns = []turn{{}}
	}
	member, err := n.asked(members, g.req)
	if err != nil {
		return nil, false, err
	}
	if err := g.choose(); err != nil || g.policy == policyPlanted {
		return nil, false, err
	}
	var value json.RawMessage
	switch {
	case g.policy == policyMarked:
		if value, err = n.marked(ctx, g.s, g.signing); err != nil {
			if ctx.Err() != nil { // nothing is known of the upstream
				return nil, false, err
			}
			g.s.opt.Log.LogAttrs(ctx, slog.LevelError, "the upstream does not mark", slog.String("id", g.id), slog.String("key", g.signing.key.ID), slog.String("error", err.Error()))
			return nil, false, refusal(http.StatusServiceUnavailable, "server_error", "no_key", "the upstream does not mark under the account's key now; the operator of this gateway was told")
		}
		withKey = value != nil
	case g.reason == reasonGreedy || g.reason == reasonSingle: // nothing is drawn that could be marked
	case n.stack == watermark.StackVLLM:
		value = json.RawMessage("false")
	default:
		value = json.RawMessage(`{"enabled":false}`)
	}
	out, err = insert(body, members, member, value)
	return out, withKey, err
}

// asked reads what the client itself asks of the mark, and names the member.
func (n *native) asked(members map[string]json.RawMessage, r *request) (string, error) {
	if n.stack == watermark.StackVLLM {
		var on *bool
		if raw := members["watermarking"]; raw != nil && json.Unmarshal(raw, &on) != nil {
			return "", badRequest("watermarking is neither true nor false")
		}
		r.optOut = on != nil && !*on
		return "watermarking", nil
	}
	var own struct {
		Enabled *bool           `json:"enabled"`
		Key     json.RawMessage `json:"key"`
	}
	if raw := members["watermark"]; raw != nil && json.Unmarshal(raw, &own) != nil {
		return "", badRequest("watermark is no object")
	}
	if own.Key != nil && string(own.Key) != "null" {
		return "", refusal(http.StatusForbidden, "invalid_request_error", "watermark_required", "the key is chosen here: leave it out of watermark")
	}
	r.optOut = own.Enabled != nil && !*own.Enabled
	return "watermark", nil
}

// insert puts the member in front, where the client has none of that name and there is
// one to put; the body is then otherwise the client's, byte for byte.
func insert(body []byte, members map[string]json.RawMessage, name string, value json.RawMessage) ([]byte, error) {
	if _, there := members[name]; there {
		delete(members, name)
		if value != nil {
			members[name] = value
		}
		return json.Marshal(members)
	}
	if value == nil {
		return body, nil
	}
	rest := bytes.TrimLeft(body, " \t\r\n")[1:] // it is an object
	head := fmt.Sprintf("{%q:%s", name, value)
	if len(members) > 0 {
		head += ","
	}
	return append([]byte(head), rest...), nil
}

// marked is what the upstream is told so that it marks under a key, nil for nothing.
// The first time, it is seen that it does.
func (n *native) marked(ctx context.Context, s *Server, with *signing) (json.RawMessage, error) {
	export, err := with.key.Export(n.stack)
	if err != nil {
		return nil, err
	}
	var value json.RawMessage
	if n.stack == watermark.StackSGLang {
		var config struct {
			Key    string `json:"key"`
			Window int    `json:"context_window"`
		}
		if err := json.Unmarshal(export.Config, &config); err != nil || config.Key == "" {
			return nil, errors.New("the key's export has no key")
		}
		value = fmt.Appendf(nil, `{"key":%q,"context_window":%d}`, config.Key, config.Window)
	}
	return value, n.look(s, with.key, value).wait(ctx)
}

// look is one look for a key's mark in the upstream's replies, which all requests under
// the key wait for.
type look struct {
	done chan struct{} // closed at its end; err and ended hold from then on
	err  error
	// ended is when it failed.
	ended time.Time
}

// wait gives what came of it, or the end of ctx.
func (l *look) wait(ctx context.Context) error {
	select {
	case <-l.done:
		return l.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// stale reports whether it failed so long ago that the upstream may have changed.
func (l *look) stale() bool {
	select {
	case <-l.done:
		return l.err != nil && time.Since(l.ended) > lookAgain
	default:
		return false
	}
}

// look is the look for a key's mark: the one that is under way or has ended, or a new
// one, which belongs to the server and not to the request that was first.
func (n *native) look(s *Server, k *watermark.Key, value json.RawMessage) *look {
	n.mu.Lock()
	defer n.mu.Unlock()
	if l := n.looks[k.ID]; l != nil && !l.stale() {
		return l
	}
	l := &look{done: make(chan struct{})}
	n.looks[k.ID] = l
	go func() {
		ctx, cancel := context.WithTimeout(s.life, s.opt.MaxTime)
		defer cancel()
		l.err = n.see(ctx, s, k, value)
		l.ended = time.Now()
		close(l.done)
	}()
	return l
}

// lookAgain is how long a failed look stands: each costs the upstream 600 tokens.
const lookAgain = 30 * time.Second

// What a new key's mark is looked for in.
const (
	seenTokens = 200 // of each reply
	seenLog10P = -6  // of all
)

var seenPrompts = []string{
	"Write a long story about a lighthouse keeper who finds a letter in a bottle.\n\n",
	"A walk through the old town, street by street, and what one sees there:\n\n",
	"Dear friend, it has been a strange year, and there is much to tell. First of all,",
}

// see asks the upstream for a few replies and looks for the mark in them.
func (n *native) see(ctx context.Context, s *Server, k *watermark.Key, value json.RawMessage) error {
	mark, err := k.Mark()
	if err != nil {
		return err
	}
	d := watermark.NewDetector(mark, watermark.Options{})
	for _, prompt := range seenPrompts {
		in := map[string]any{"model": s.up.opt.Model, "prompt": prompt, "max_tokens": seenTokens, "temperature": 1, "top_p": 1, "return_token_ids": true}
		if value != nil {
			in["watermark"] = value
		}
		var out struct {
			Choices []struct {
				Tokens []int32 `json:"token_ids"`
				Prompt []int32 `json:"prompt_token_ids"`
			} `json:"choices"`
		}
		if err := s.up.call(ctx, "/v1/completions", in, &out); err != nil {
			return err
		}
		if len(out.Choices) != 1 || len(out.Choices[0].Tokens) == 0 {
			return errors.New("it returns no token ids (return_token_ids), in which its mark could be looked for")
		}
		d.Add(watermark.Item{Prompt: out.Choices[0].Prompt, Tokens: out.Choices[0].Tokens})
	}
	if r := d.Result(); !(r.Tail.Log10P <= seenLog10P) {
		return fmt.Errorf("its replies do not carry the mark: log10 p is %.1f over %d tokens, and at most %d was wanted; was it started with this key (stillmark key export)?", r.Tail.Log10P, r.N, seenLog10P)
	}
	return nil
}
