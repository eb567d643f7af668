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

	mu   sync.Mutex
	seen map[string]bool // ids of keys whose mark was seen in the upstream's replies
}

func (s *Server) newNative(stack string) (*native, error) {
	if !slices.Contains(Natives(), stack) {
		return nil, fmt.Errorf("%q is no stack that marks by itself; use one of %s", stack, strings.Join(Natives(), ", "))
	}
	base, err := url.Parse(s.up.base)
	if err != nil {
		return nil, errors.New("the upstream is no URL")
	}
	n := &native{stack: stack, seen: map[string]bool{}}
	n.proxy = &httputil.ReverseProxy{
		Rewrite: func(p *httputil.ProxyRequest) {
			p.SetURL(base)
			p.Out.Header.Del("Authorization") // the client's key is for this gateway
			p.Out.Header.Del("Cookie")
			if auth := s.up.auth(); auth != "" {
				p.Out.Header.Set("Authorization", auth)
			}
		},
		Transport:      s.up.client.Transport,
		FlushInterval:  -1, // a stream is passed on as it comes
		ModifyResponse: hideKey,
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
	seen := map[string]bool{}
	for a := range s.opt.Accounts().All {
		if a.Mark == MarkNever || seen[a.Cohort] {
			continue
		}
		seen[a.Cohort] = true
		with, err := s.opt.Keys.signing(&a, time.Now())
		if err != nil {
			return err
		}
		if _, _, err := s.native.marked(ctx, s, with); err != nil {
			return fmt.Errorf("the upstream does not mark as key %s does: %w", with.key.ID, err)
		}
	}
	return nil
}

// keyInRequest is where a request's context has the watermark key that it is sent with.
type keyInRequest struct{}

// hideKey replaces a refusal that shows the request, in which there is a key.
func hideKey(r *http.Response) error {
	secret, _ := r.Request.Context().Value(keyInRequest{}).(string)
	if r.StatusCode < http.StatusBadRequest || secret == "" {
		return nil
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	r.Body.Close()
	if err != nil || strings.Contains(string(body), secret) {
		body, err = json.Marshal(map[string]any{"error": badRequest("%s", keyShown).object()})
	}
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	r.Header.Set("Content-Length", fmt.Sprint(len(body)))
	return err
}

const keyShown = "the upstream refused the request; its reason showed the key and is left out"

// passed is the client's side of a reply that is passed on.
type passed struct {
	http.ResponseWriter
	status int
	err    error
}

func (p *passed) WriteHeader(status int) {
	p.status = status
	p.ResponseWriter.WriteHeader(status)
}

// Unwrap is for http.ResponseController.
func (p *passed) Unwrap() http.ResponseWriter { return p.ResponseWriter }

// passOn chooses what is done to the reply and passes the request on. Nothing of it is
// changed but the one member that says how the upstream marks.
func (g *generation) passOn(ctx context.Context, w http.ResponseWriter, r *http.Request) {
	body, secret, err := g.s.native.prepare(ctx, g, w, r)
	if err != nil {
		g.failed(ctx, w, nil, err)
		return
	}
	if g.policy == policyPlanted {
		g.reply(ctx, w)
		return
	}
	out := &passed{ResponseWriter: w, status: http.StatusOK}
	r = r.Clone(context.WithValue(ctx, keyInRequest{}, secret))
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	defer func() {
		// The proxy aborts the connection of a reply that breaks off, so that the client
		// sees no end of it.
		if broken := recover(); broken != nil {
			status, err := http.StatusBadGateway, errors.New("the upstream's reply broke off")
			if ctx.Err() != nil {
				status, err = statusClientGone, errClient
			}
			g.done(status, err)
			panic(broken)
		}
	}()
	g.s.native.proxy.ServeHTTP(out, r)
	if errors.Is(out.err, context.Canceled) {
		out.status = statusClientGone
	}
	g.done(out.status, out.err)
}

// prepare reads what decides how the reply is marked, and gives the body to pass on,
// and the key in it, if there is one.
func (n *native) prepare(ctx context.Context, g *generation, w http.ResponseWriter, r *http.Request) (out []byte, secret string, err error) {
	body, err := g.read(w, r)
	if err != nil {
		return nil, "", err
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(body, &members); err != nil || members == nil {
		return nil, "", badRequest("the body is no JSON object")
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
		return nil, "", err
	}
	if err := g.choose(); err != nil || g.policy == policyPlanted {
		return nil, "", err
	}
	var value json.RawMessage
	switch {
	case g.policy == policyMarked:
		if value, secret, err = n.marked(ctx, g.s, g.signing); err != nil {
			g.s.opt.Log.LogAttrs(ctx, slog.LevelError, "the upstream does not mark", slog.String("id", g.id), slog.String("key", g.signing.key.ID), slog.String("error", err.Error()))
			return nil, "", &apiError{http.StatusServiceUnavailable, "server_error", "no_key", "the upstream does not mark under the account's key now; the operator of this gateway was told"}
		}
	case g.reason == reasonGreedy || g.reason == reasonSingle: // nothing is drawn that could be marked
	case n.stack == watermark.StackVLLM:
		value = json.RawMessage("false")
	default:
		value = json.RawMessage(`{"enabled":false}`)
	}
	out, err = insert(body, members, member, value)
	return out, secret, err
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
		return "", &apiError{http.StatusForbidden, "invalid_request_error", "watermark_required", "the key is chosen here: leave it out of watermark"}
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

// marked is what the upstream is told so that it marks under a key, nil for nothing,
// and the key in it. The first time, it is seen that it does.
func (n *native) marked(ctx context.Context, s *Server, with *signing) (value json.RawMessage, secret string, err error) {
	export, err := with.key.Export(n.stack)
	if err != nil {
		return nil, "", err
	}
	if n.stack == watermark.StackSGLang {
		var config struct {
			Key    string `json:"key"`
			Window int    `json:"context_window"`
		}
		if err := json.Unmarshal(export.Config, &config); err != nil || config.Key == "" {
			return nil, "", errors.New("the key's export has no key")
		}
		secret = config.Key
		value = fmt.Appendf(nil, `{"key":%q,"context_window":%d}`, config.Key, config.Window)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.seen[with.key.ID] {
		return value, secret, nil
	}
	if err := n.see(ctx, s, with.key, value); err != nil {
		if secret != "" && strings.Contains(err.Error(), secret) {
			err = errors.New(keyShown)
		}
		return nil, "", err
	}
	n.seen[with.key.ID] = true
	return value, secret, nil
}

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
