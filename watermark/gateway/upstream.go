package gateway

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
)

// The wires that an upstream may speak.
const (
	WireVLLM     = "vllm"     // vLLM's /v1/completions and /tokenize
	WireLlamaCpp = "llamacpp" // llama.cpp's server: /completion, /tokenize, /apply-template
)

// Wires lists them, the default first.
func Wires() []string { return []string{WireVLLM, WireLlamaCpp} }

// UpstreamOptions say how the server with the model is reached.
type UpstreamOptions struct {
	// URL is the server's, with or without a /v1 at its end.
	URL string
	// Wire is one of [Wires].
	Wire string
	// Model is the name that the upstream serves it under; empty for the only one.
	Model string
	// APIKey is sent as the bearer token; empty for none. It is never printed.
	APIKey string
	// Candidates is how many of the most probable tokens are asked for at a step.
	Candidates int
	// StepTimeout bounds one attempt at one step, prompt processing included.
	StepTimeout time.Duration
	// Connections is how many are kept open: as many as there are streams.
	Connections int
}

// Limits of what an upstream may answer, and of how often it is asked again.
const (
	maxAnswer = 16 << 20 // bytes; a thousand candidates are 30 kB, ids of a long prompt 1 MB
	maxTries  = 3        // of one step
	tryAfter  = 50 * time.Millisecond
	// maxPause is the longest Retry-After that a step waits out: a client waits too.
	maxPause = 5 * time.Second
)

// upstream asks a server for the distribution of one token after another.
type upstream struct {
	opt    UpstreamOptions
	base   string // without /v1
	wire   wire
	client *http.Client
	auth   func() string // the Authorization header; a closure does not print
	// context is the number of tokens that prompt and reply may have together; 0 if
	// the upstream does not say.
	context int
	vocab   int
}

// wire is what differs between servers.
type wire interface {
	// step is the path of a request for one step and its body, but for the ids of the
	// prompt, which stand between head and tail.
	step(model string, candidates int) (path string, head, tail []byte)
	// candidates reads the answer. They need not be sorted, and may repeat.
	candidates(answer []byte) ([]candidate, error)
	// tokenize is the path and the body that asks for the ids of a text: as a prompt,
	// with what the model's tokenizer puts around one, such as BOS, or by itself.
	tokenize(model, text string, prompt bool) (path string, body any)
	// chat gives the ids of a conversation in the model's own template.
	chat(ctx context.Context, u *upstream, messages, tools json.RawMessage) ([]int32, error)
	// about finds out the model's name, where it was left open, and its context.
	about(ctx context.Context, u *upstream) error
}

func newUpstream(o UpstreamOptions, vocab int) (*upstream, error) {
	base, err := url.Parse(o.URL)
	if err != nil || base.Scheme != "http" && base.Scheme != "https" || base.Host == "" {
		return nil, errors.New("the upstream is no http or https URL") // it may hold a password: not printed
	}
	u := &upstream{opt: o, vocab: vocab, base: strings.TrimSuffix(strings.TrimSuffix(base.String(), "/"), "/v1")}
	switch o.Wire {
	case WireVLLM:
		u.wire = vllm{}
	case WireLlamaCpp:
		u.wire = llamaCpp{}
	default:
		return nil, fmt.Errorf("wire %q is not known; use one of %s", o.Wire, strings.Join(Wires(), ", "))
	}
	u.auth = func() string { return "" }
	if o.APIKey != "" {
		u.auth = func() string { return "Bearer " + o.APIKey }
		u.opt.APIKey = ""
	}
	u.client = &http.Client{
		Transport: &http.Transport{
			DialContext:         (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
			MaxIdleConns:        o.Connections,
			MaxIdleConnsPerHost: o.Connections,
			IdleConnTimeout:     90 * time.Second,
			TLSHandshakeTimeout: 10 * time.Second,
			DisableCompression:  true, // a step's answer is small, and every step waits for it
			ForceAttemptHTTP2:   true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return u, nil
}

// secret reports whether requests carry an API key of the upstream.
func (u *upstream) secret() bool { return u.auth() != "" }

// shows reports whether a text has the upstream's API key in it.
func (u *upstream) shows(text string) bool {
	key := strings.TrimPrefix(u.auth(), "Bearer ")
	return key != "" && strings.Contains(text, key)
}

// privateStatus reports whether an answer is about the upstream's API key, which is no
// client's affair.
func privateStatus(status int) bool {
	return status == http.StatusUnauthorized || status == http.StatusForbidden
}

// next is the distribution after a sequence: at most the candidates that were asked for,
// sorted, most probable first, equals by id, each id once.
func (u *upstream) next(ctx context.Context, s *sequence, into []candidate) ([]candidate, error) {
	path, head, tail := u.wire.step(u.opt.Model, u.opt.Candidates)
	answer, err := u.ask(ctx, path, func() (io.Reader, int64) { return s.body(head, tail) })
	if err != nil {
		return nil, err
	}
	cands, err := u.wire.candidates(answer)
	if err != nil {
		return nil, fmt.Errorf("the upstream's answer: %w", err)
	}
	return u.clean(append(into[:0], cands...))
}

// clean sorts candidates and refuses what no distribution of this vocabulary is.
func (u *upstream) clean(cands []candidate) ([]candidate, error) {
	slices.SortFunc(cands, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(b.logprob, a.logprob), cmp.Compare(a.id, b.id))
	})
	kept := cands[:0]
	for _, c := range cands {
		switch {
		case c.id < 0 || int(c.id) >= u.vocab:
			return nil, fmt.Errorf("the upstream named token %d, and the key's vocabulary has %d: the key is for another model", c.id, u.vocab)
		case !(c.logprob <= 1e-3): // NaN too; rounding may lift a sure token above 0
			return nil, fmt.Errorf("the upstream named %v as a log-probability", c.logprob)
		case len(kept) > 0 && kept[len(kept)-1].id == c.id || c.logprob < -1000: // -9999 stands for none
			continue
		}
		kept = append(kept, c)
	}
	if len(kept) == 0 {
		return nil, errors.New("the upstream named no candidate")
	}
	// vLLM names the token that it sampled beside the most probable ones. It may lie far
	// below them, and what was not named is at most as probable as the last of them.
	return kept[:min(len(kept), u.opt.Candidates)], nil
}

// statusError is an answer that is none.
type statusError struct {
	status int
	code   string // the upstream's word for it
	// message is what the upstream says, where a client may see it. It may repeat the
	// request, and is never logged.
	message string
	after   time.Duration
}

// Error is what may be logged.
func (e *statusError) Error() string {
	if e.code == "" {
		return fmt.Sprintf("the upstream answered HTTP %d", e.status)
	}
	return fmt.Sprintf("the upstream answered HTTP %d (%s)", e.status, e.code)
}

// ask posts a body and returns the answer, again after what may pass: a step changes
// nothing at the upstream, so that it may be asked twice.
func (u *upstream) ask(ctx context.Context, path string, body func() (io.Reader, int64)) ([]byte, error) {
	for try := 1; ; try++ {
		answer, err := u.askOnce(ctx, path, body)
		if err == nil || try == maxTries || ctx.Err() != nil {
			return answer, err
		}
		pause := tryAfter << (try - 1)
		var status *statusError
		if errors.As(err, &status) {
			if status.status < 500 && status.status != http.StatusTooManyRequests || status.after > maxPause {
				return nil, err
			}
			pause = max(pause, status.after)
		}
		t := time.NewTimer(pause + rand.N(pause))
		select {
		case <-ctx.Done():
			t.Stop()
			return nil, context.Cause(ctx)
		case <-t.C:
		}
	}
}

func (u *upstream) askOnce(ctx context.Context, path string, body func() (io.Reader, int64)) ([]byte, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, u.opt.StepTimeout, fmt.Errorf("the upstream did not answer within %s", u.opt.StepTimeout))
	defer cancel()
	method := http.MethodPost
	var reader io.Reader
	var length int64
	if body == nil {
		method = http.MethodGet
	} else {
		reader, length = body()
	}
	request, err := http.NewRequestWithContext(ctx, method, u.base+path, reader)
	if err != nil {
		return nil, errors.New("the upstream's URL cannot be asked")
	}
	if body != nil {
		request.ContentLength = length
		request.Header.Set("Content-Type", "application/json")
	}
	if auth := u.auth(); auth != "" {
		request.Header.Set("Authorization", auth)
	}
	response, err := u.client.Do(request)
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			return nil, cause
		}
		var named *url.Error
		if errors.As(err, &named) { // the URL may hold a password
			err = named.Err
		}
		return nil, fmt.Errorf("the upstream cannot be reached: %w", err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	switch {
	case err != nil:
		if cause := context.Cause(ctx); cause != nil {
			return nil, cause
		}
		return nil, fmt.Errorf("the upstream's answer broke off: %w", err)
	case len(answer) > maxAnswer:
		return nil, fmt.Errorf("the upstream's answer is longer than %d bytes", maxAnswer)
	case response.StatusCode != http.StatusOK:
		return nil, u.refused(response, answer)
	}
	return answer, nil
}

// refused reads an error. Its message is kept where it is about the client's request,
// and does not show the key of the upstream.
func (u *upstream) refused(r *http.Response, answer []byte) *statusError {
	e := &statusError{status: r.StatusCode, after: retryAfter(r.Header)}
	code, message := readError(answer)
	if word.MatchString(code) && !u.shows(code) {
		e.code = code
	}
	if e.status < 500 && !privateStatus(e.status) && !u.shows(message) {
		e.message = cut(message)
	}
	return e
}

// word is a code that is one, such as invalid_api_key, and no sentence.
var word = regexp.MustCompile(`^[a-z][a-z_]{1,39}$`)

// cut bounds a sentence: upstreams put whole requests into some.
func cut(message string) string {
	const most = 300 // bytes
	if len(message) > most {
		message = message[:most] + "…"
	}
	return strings.ToValidUTF8(message, "")
}

// readError is the code and the message of an error's body, in the forms of OpenAI,
// vLLM and llama.cpp; empty where it has none.
func readError(body []byte) (code, message string) {
	var in struct {
		Error   json.RawMessage `json:"error"`
		Message string          `json:"message"`
	}
	if json.Unmarshal(body, &in) != nil {
		return "", ""
	}
	var object struct {
		Code    any    `json:"code"` // some give the status once more
		Message string `json:"message"`
	}
	if json.Unmarshal(in.Error, &object) == nil && object.Message != "" {
		in.Message = object.Message
	} else if in.Message == "" {
		_ = json.Unmarshal(in.Error, &in.Message) // "error": "text"
	}
	code, _ = object.Code.(string)
	return code, in.Message
}

func retryAfter(h http.Header) time.Duration {
	d, err := time.ParseDuration(h.Get("Retry-After") + "s")
	if err != nil || d < 0 {
		return 0
	}
	return d
}

// call posts a value and decodes the answer.
func (u *upstream) call(ctx context.Context, path string, in, out any) error {
	var body func() (io.Reader, int64)
	if in != nil {
		data, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = func() (io.Reader, int64) { return bytes.NewReader(data), int64(len(data)) }
	}
	answer, err := u.ask(ctx, path, body)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(answer, out); err != nil {
		return fmt.Errorf("the upstream's answer to %s is not what was expected: %w", path, err)
	}
	return nil
}

// tokenize is the ids of a text by the upstream's own tokenizer.
func (u *upstream) tokenize(ctx context.Context, text string, special bool) ([]int32, error) {
	path, body := u.wire.tokenize(u.opt.Model, text, special)
	var out struct {
		Tokens []int32 `json:"tokens"`
	}
	if err := u.call(ctx, path, body, &out); err != nil {
		return nil, err
	}
	return out.Tokens, nil
}

// close gives the connections back.
func (u *upstream) close() { u.client.CloseIdleConnections() }
