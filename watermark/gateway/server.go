package gateway

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/stillmark/stillmark/corpora/tokens"
)

// Options of a [Server].
type Options struct {
	Upstream UpstreamOptions
	// Keys say under which key a request is marked.
	Keys *Keyring
	// Accounts gives the accounts as they are now; nil for [Anybody].
	Accounts func() *Accounts
	// Tokenizer is that of the keys: the upstream's model must have the very same. May
	// be nil where the upstream marks and nothing is planted.
	Tokenizer *tokens.Encoding
	// Ends are the ids that end a reply, such as <|endoftext|>.
	Ends []int32
	// Planted gives the planted reply to what a cohort asks, if there is one; nil for
	// none.
	Planted func(cohort, asked string) (reply string, ok bool)
	// Rotated gives the cohort whose key serves instead of another's now; nil for none.
	Rotated func(cohort string, now time.Time) string
	// Arms gives all cohorts that Rotated may give for a cohort from now on, each of which
	// must have a key; nil for none.
	Arms func(cohort string, now time.Time) []string
	// Tools lets tools of chats through to the upstream's template. What the model
	// then writes comes back as text.
	Tools bool
	// TrustTokenizer goes on where the upstream has no tokenizer that could be compared.
	TrustTokenizer bool
	// Native names the stack of an upstream that marks by itself, one of [Natives]:
	// requests are passed on. Empty: the gateway marks.
	Native string
	// Tap, if set, is where marked replies are written for the monitor.
	Tap *Tap
	// Log gets a record for each request, without any of its content.
	Log *slog.Logger

	MaxConcurrent int           // requests under way; others get 429
	MaxBody       int64         // bytes of a request
	MaxTokens     int           // of a reply
	MaxTime       time.Duration // of a request
	ClientTimeout time.Duration // for reading a request's body, and for one write
}

// Default limits.
const (
	DefaultCandidates    = 20      // what vLLM gives unless it is started with more
	DefaultMaxConcurrent = 256     //
	DefaultMaxBody       = 8 << 20 // a prompt of two million tokens
	DefaultMaxTokens     = 32_768  //
	DefaultMaxTime       = 15 * time.Minute
	DefaultStepTimeout   = 60 * time.Second
	DefaultClientTimeout = 30 * time.Second

	completionTokens = 16 // max_tokens of a completion that does not say, as OpenAI has it
)

// Server is the gateway. It is an http.Handler.
type Server struct {
	opt   Options
	up    *upstream
	slots chan struct{}

	native *native // nil: the gateway marks
	// life ends with the server: what no single request stands for runs under it.
	life    context.Context
	end     context.CancelFunc
	metrics *metrics
	known   []bool // ids that are tokens
	ends    map[int32]bool
	mux     *http.ServeMux
	// noTokenize: the upstream has no tokenizer to ask, and prompts are encoded here.
	noTokenize bool
}

// New makes a gateway in front of an upstream that has what it takes: see the package
// comment. It asks the upstream a few questions, and refuses with one sentence that
// names what is missing.
func New(ctx context.Context, o Options) (*Server, error) {
	setDefault(&o.Upstream.Wire, WireVLLM)
	setDefault(&o.Upstream.Candidates, DefaultCandidates)
	setDefault(&o.Upstream.StepTimeout, DefaultStepTimeout)
	setDefault(&o.MaxConcurrent, DefaultMaxConcurrent)
	setDefault(&o.MaxBody, DefaultMaxBody)
	setDefault(&o.MaxTokens, DefaultMaxTokens)
	setDefault(&o.MaxTime, DefaultMaxTime)
	setDefault(&o.ClientTimeout, DefaultClientTimeout)
	if o.Accounts == nil {
		anybody := Anybody()
		o.Accounts = func() *Accounts { return anybody }
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	spec, err := o.Keys.Spec()
	if err != nil {
		return nil, err
	}
	o.Keys.tokenizer, o.Keys.vocab, o.Keys.native = spec.TokenizerSHA256, spec.Vocab, o.Native != ""
	if o.Native == "" && spec.TokenizerSHA256 != "" && spec.TokenizerSHA256 != o.Tokenizer.SHA256() {
		return nil, fmt.Errorf("the key was made for the tokenizer %s, and %s is another", spec.Tokenizer, o.Tokenizer.Name())
	}
	if o.Tokenizer == nil && (o.Native == "" || o.Planted != nil) {
		return nil, errors.New("the key's tokenizer is needed, and was not given")
	}
	if o.Tap != nil {
		if err := o.Tap.check(); err != nil {
			return nil, err
		}
	}
	if err := o.servable(); err != nil {
		return nil, err
	}
	o.Upstream.Connections = o.MaxConcurrent
	s := &Server{opt: o, metrics: newMetrics(), slots: make(chan struct{}, o.MaxConcurrent), ends: map[int32]bool{}, mux: http.NewServeMux()}
	s.life, s.end = context.WithCancel(context.WithoutCancel(ctx))
	if o.Tokenizer != nil {
		s.known = make([]bool, o.Tokenizer.VocabSize())
		for id := range s.known {
			_, s.known[id] = o.Tokenizer.Token(int32(id))
		}
	}
	for _, id := range o.Ends {
		s.ends[id] = true
	}
	if s.up, err = newUpstream(o.Upstream, spec.Vocab); err != nil {
		s.end()
		return nil, err
	}
	s.opt.Upstream.APIKey = ""
	if o.Native != "" {
		err = s.startNative(ctx)
	} else {
		err = s.check(ctx)
	}
	if err != nil {
		s.end()
		return nil, err
	}
	s.mux.HandleFunc("POST /v1/completions", func(w http.ResponseWriter, r *http.Request) { s.generate(w, r, false) })
	s.mux.HandleFunc("POST /v1/chat/completions", func(w http.ResponseWriter, r *http.Request) { s.generate(w, r, true) })
	s.mux.HandleFunc("GET /v1/models", s.models)
	s.mux.HandleFunc("GET /health", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ok\n") })
	s.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		writeError(w, refusal(http.StatusNotFound, "invalid_request_error", "not_found", fmt.Sprintf("no such path: %.20s %.100s", r.Method, r.URL.Path)))
	})
	return s, nil
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// ServeHTTP serves /v1/completions, /v1/chat/completions, /v1/models and /health.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

// Model is the name under which the upstream serves the model.
func (s *Server) Model() string { return s.up.opt.Model }

// hasModel refuses a request that names another model.
func (s *Server) hasModel(name string) error {
	if name == "" || name == s.Model() {
		return nil
	}
	return refusal(http.StatusNotFound, "invalid_request_error", "model_not_found", "the model does not exist here; there is "+s.Model())
}

// errDraining ends the requests that are under way when their time to end is over.
var errDraining = errors.New("the gateway is shutting down")

// Run serves on a listener until ctx ends, then lets requests under way end within
// drain, and ends the rest with an error. Metrics are served on a listener of their
// own, if there is one, until the end.
func (s *Server) Run(ctx context.Context, l, metrics net.Listener, drain time.Duration) error {
	if metrics != nil {
		counts := &http.Server{Handler: s.Metrics(), ReadHeaderTimeout: 10 * time.Second, ErrorLog: slog.NewLogLogger(s.opt.Log.Handler(), slog.LevelWarn)}
		go counts.Serve(metrics) // ends with ErrServerClosed
		defer counts.Close()
	}
	base, stop := context.WithCancelCause(context.WithoutCancel(ctx))
	defer stop(nil)
	server := &http.Server{
		Handler:           s,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		BaseContext:       func(net.Listener) context.Context { return base },
		ErrorLog:          slog.NewLogLogger(s.opt.Log.Handler(), slog.LevelWarn),
	}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(l) }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), drain)
	defer cancel()
	err := server.Shutdown(grace)
	if err != nil { // the time is over: what is left gets an error, then the door closes
		stop(errDraining)
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		if server.Shutdown(last) != nil {
			server.Close()
		}
	}
	s.end()
	s.up.close()
	return nil
}

func (s *Server) models(w http.ResponseWriter, r *http.Request) {
	if _, err := s.account(r); err != nil {
		writeError(w, err)
		return
	}
	model := map[string]any{"id": s.Model(), "object": "model", "created": 0, "owned_by": "stillmark"}
	if s.up.context > 0 {
		model["max_model_len"] = s.up.context
	}
	writeJSON(w, http.StatusOK, map[string]any{"object": "list", "data": []any{model}})
}

// account is whose request it is.
func (s *Server) account(r *http.Request) (*Account, error) {
	key, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if a := s.opt.Accounts().find(key); a != nil {
		return a, nil
	}
	return nil, refusal(http.StatusUnauthorized, "invalid_request_error", "invalid_api_key", "the API key is missing or not known here")
}

// generate serves one generation request.
func (s *Server) generate(w http.ResponseWriter, r *http.Request, chat bool) {
	g := &generation{s: s, id: newID(), began: time.Now(), chat: chat, route: "completions"}
	if chat {
		g.route = "chat"
	}
	ctx, cancel := context.WithTimeoutCause(r.Context(), s.opt.MaxTime, refusal(http.StatusGatewayTimeout, "server_error", "timeout", fmt.Sprintf("the request took longer than %s", s.opt.MaxTime)))
	defer cancel()
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	default:
		w.Header().Set("Retry-After", "1")
		g.refused(w, refusal(http.StatusTooManyRequests, "rate_limit_error", "overloaded", fmt.Sprintf("%d requests are under way, which is as many as this gateway takes", s.opt.MaxConcurrent)))
		return
	}
	if s.native != nil {
		g.passOn(ctx, w, r)
		return
	}
	if err := g.prepare(ctx, w, r); err != nil {
		g.failed(ctx, w, nil, err)
		return
	}
	g.reply(ctx, w)
}

// newID names a request.
func newID() string {
	var b [12]byte
	rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// writeError writes a refusal. An error of another kind is the upstream's.
func writeError(w http.ResponseWriter, err error) int {
	e := asAPIError(err)
	writeJSON(w, e.status, map[string]any{"error": e.object()})
	return e.status
}

func asAPIError(err error) *apiError {
	var e *apiError
	var status *statusError
	switch {
	case errors.As(err, &e):
		return e
	case errors.Is(err, errDraining):
		return refusal(http.StatusServiceUnavailable, "server_error", "shutting_down", err.Error())
	case errors.As(err, &status) && status.status == http.StatusTooManyRequests:
		return refusal(http.StatusTooManyRequests, "rate_limit_error", "upstream_overloaded", err.Error()).about(status.message)
	case status != nil:
		return refusal(http.StatusBadGateway, "upstream_error", "upstream_failed", err.Error()).about(status.message)
	}
	return refusal(http.StatusBadGateway, "upstream_error", "upstream_failed", err.Error())
}

func (e *apiError) object() map[string]any {
	o := map[string]any{"message": e.message, "type": e.typ, "param": nil, "code": nil}
	if e.detail != "" {
		o["message"] = e.message + ": " + e.detail
	}
	if e.code != "" {
		o["code"] = e.code
	}
	return o
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		panic("gateway: " + err.Error()) // v is made of strings and numbers
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(b)
}
