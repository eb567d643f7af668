package mock

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	// maxRequest bounds request bodies: prompts of the suites are below 100 kB.
	maxRequest = 4 << 20
	// maxLog bounds the request log; later requests are counted, not logged.
	maxLog = 1 << 16
	// grace is how long Close waits for requests under way.
	grace = 2 * time.Second
)

// Server is the mock server. It is an http.Handler; Start listens on loopback.
type Server struct {
	opt     Options
	closing chan struct{} // closed first by Close: faults that wait give up

	mu     sync.Mutex
	counts map[string]int
	log    []Record
	http   *http.Server
	url    string
	closed bool
}

// New makes a server. Errors: no model, a script that is wrong or names a model
// that is not served.
func New(opt Options) (*Server, error) {
	if len(opt.Models) == 0 {
		return nil, errors.New("mock server: no models")
	}
	if opt.Script == nil {
		opt.Script = &Script{}
	}
	if err := opt.Script.check(); err != nil {
		return nil, err
	}
	names := slices.Collect(maps.Keys(opt.Script.Models))
	for _, f := range opt.Script.Faults {
		if f.Model != "" {
			names = append(names, f.Model)
		}
	}
	for _, n := range names {
		if opt.Models[n] == nil {
			return nil, fmt.Errorf("mock server: the script names model %q, which is not served; models are %s", n, strings.Join(slices.Sorted(maps.Keys(opt.Models)), ", "))
		}
	}
	return &Server{opt: opt, closing: make(chan struct{}), counts: map[string]int{}}, nil
}

// Start listens on 127.0.0.1; port 0 takes a free one.
func (s *Server) Start(port int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.http != nil || s.closed {
		return errors.New("mock server: already started")
	}
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return fmt.Errorf("mock server: %w", err)
	}
	s.url = "http://" + l.Addr().String() + "/v1"
	s.http = &http.Server{Handler: s, ReadHeaderTimeout: 10 * time.Second}
	go s.http.Serve(l) // ends with ErrServerClosed in Close
	return nil
}

// URL is the base URL of a started server, up to and including /v1.
func (s *Server) URL() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.url
}

// Close lets requests under way end, for two seconds at most, and stops. It may
// be called again.
func (s *Server) Close() error {
	s.mu.Lock()
	srv := s.http
	if !s.closed {
		s.closed = true
		close(s.closing)
	}
	s.mu.Unlock()
	if srv == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	if err := srv.Shutdown(ctx); err != nil {
		return srv.Close()
	}
	return nil
}

// Requests is a copy of the request log (its first 65,536 lines), in order of
// arrival.
func (s *Server) Requests() []Record {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.log)
}

// ServeHTTP serves /v1/chat/completions, /v1/completions and /v1/models, and for
// generators that are [Coder]s vLLM's /tokenize and /detokenize.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s.opt.APIKey != "" && r.Header.Get("Authorization") != "Bearer "+s.opt.APIKey {
		writeError(w, http.StatusUnauthorized, "incorrect API key provided", "invalid_request_error", "invalid_api_key")
		return
	}
	switch r.Method + " " + r.URL.Path {
	case "GET /v1/models":
		s.models(w)
	case "POST /v1/chat/completions":
		s.generate(w, r, true)
	case "POST /v1/completions":
		s.generate(w, r, false)
	case "POST /tokenize":
		s.tokenize(w, r)
	case "POST /detokenize":
		s.detokenize(w, r)
	default:
		writeError(w, http.StatusNotFound, "no such path: "+r.Method+" "+r.URL.Path, "invalid_request_error", "not_found")
	}
}

func (s *Server) models(w http.ResponseWriter) {
	type model struct {
		ID      string `json:"id"`
		Object  string `json:"object"`
		OwnedBy string `json:"owned_by"`
		Length  int    `json:"max_model_len,omitempty"`
	}
	list := struct {
		Object string  `json:"object"`
		Data   []model `json:"data"`
	}{Object: "list"}
	for _, n := range slices.Sorted(maps.Keys(s.opt.Models)) {
		list.Data = append(list.Data, model{n, "model", "mock", s.opt.Script.Models[n].MaxModelLen})
	}
	writeJSON(w, http.StatusOK, list)
}

// generate serves one generation request.
func (s *Server) generate(w http.ResponseWriter, r *http.Request, chat bool) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequest))
	if err != nil {
		writeError(w, http.StatusRequestEntityTooLarge, "the request body cannot be read: "+err.Error(), "invalid_request_error", "")
		return
	}
	q, err := parseRequest(body, chat)
	if err != nil {
		writeError(w, http.StatusBadRequest, err.Error(), "invalid_request_error", "")
		return
	}
	gen := s.opt.Models[q.gen.Model]
	if gen == nil {
		writeError(w, http.StatusNotFound, fmt.Sprintf("the model %q does not exist", q.gen.Model), "invalid_request_error", "model_not_found")
		return
	}
	n, fault := s.arrive(r, q, body)
	if fault != nil && s.refuse(w, r, fault) {
		return
	}
	person := s.opt.Script.Models[q.gen.Model]
	if msg, status := person.objects(q, gen); msg != "" {
		writeError(w, status, msg, "invalid_request_error", "unsupported_parameter")
		return
	}
	if !q.seeded || person.IgnoreSeed {
		q.gen.Seed = s.freshSeed(q.gen.Model, n)
	}
	if person.IgnoreMax {
		q.gen.MaxTokens = 0
	}
	if person.NoLogprobs {
		q.gen.Logprobs = -1
	}
	q.idNames = q.idNames && !person.NoTokenIDs
	rep := &reply{server: s, q: q, gen: gen, person: person, n: n, w: w, r: r, created: time.Now().Unix()}
	if fault != nil {
		rep.fault = *fault
	}
	if q.stream {
		rep.stream()
	} else {
		rep.whole()
	}
}

// arrive counts and logs a generation request and finds its fault.
func (s *Server) arrive(r *http.Request, q *request, body []byte) (int, *Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts[q.gen.Model]++
	rec := Record{Time: time.Now(), Path: r.URL.Path, Model: q.gen.Model, N: s.counts[q.gen.Model], Stream: q.stream, Body: body}
	var fault *Fault
	for i := range s.opt.Script.Faults {
		if f := &s.opt.Script.Faults[i]; f.matches(rec.Model, rec.N) {
			fault = f
			rec.Fault = f.Kind
			break
		}
	}
	if !s.opt.NoLog && len(s.log) < maxLog {
		s.log = append(s.log, rec)
	}
	return rec.N, fault
}

// freshSeed is the seed of the n-th request of a model when the request has none.
func (s *Server) freshSeed(model string, n int) uint64 {
	h := fnv.New64a()
	fmt.Fprintf(h, "%d\x00%s\x00%d", s.opt.Seed, model, n)
	return h.Sum64()
}

// objects says what a model refuses in a request.
func (p *Personality) objects(q *request, gen Generator) (string, int) {
	_, canEcho := gen.(Echoer)
	_, canCode := gen.(Coder)
	switch {
	case q.gen.PromptIDs != nil && (p.NoTokenIDs || !canCode):
		return "prompt must be a string", http.StatusBadRequest
	case p.MaxLogprobs > 0 && q.gen.Logprobs > p.MaxLogprobs:
		return fmt.Sprintf("requested sample logprobs of %d, which is greater than max allowed: %d", q.gen.Logprobs, p.MaxLogprobs), http.StatusBadRequest
	case p.MaxModelLen > 0 && len(q.gen.PromptIDs) >= p.MaxModelLen:
		return fmt.Sprintf("this model's maximum context length is %d tokens; your prompt contains %d", p.MaxModelLen, len(q.gen.PromptIDs)), http.StatusBadRequest
	case p.NoCompletions && !q.chat:
		return "this is not supported in the v1/completions endpoint", http.StatusNotFound
	case p.NoStream && q.stream:
		return "streaming is not supported", http.StatusBadRequest
	case p.NoZeroTemp && q.gen.Temperature == 0:
		return "unsupported value: 'temperature' does not support 0", http.StatusBadRequest
	case p.NoSystem && slices.ContainsFunc(q.gen.Messages, func(m Message) bool { return m.Role == "system" }):
		return "system messages are not supported", http.StatusBadRequest
	case q.echo && (p.NoEcho || !canEcho):
		return "echo is not supported", http.StatusBadRequest
	case q.scored >= 0 && (p.NoLogprobs || !canEcho):
		return "prompt_logprobs are not supported", http.StatusBadRequest
	}
	return "", 0
}

// refuse plays the faults that replace the whole reply, and reports whether this
// was one.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, f *Fault) bool {
	h := w.Header()
	fill := func(v string) string { return strings.ReplaceAll(v, "{authorization}", r.Header.Get("Authorization")) }
	for k, v := range f.Header {
		h.Set(k, fill(v))
	}
	switch f.Kind {
	case FaultStatus:
		if f.Body == "" {
			writeError(w, f.Status, statusWords[f.Status], "", "")
			return true
		}
		h.Set("Content-Type", "application/json")
		w.WriteHeader(f.Status)
		io.WriteString(w, fill(f.Body))
	case FaultRedirect:
		h.Set("Location", f.Location)
		if f.Status == 0 {
			w.WriteHeader(http.StatusTemporaryRedirect)
		} else {
			w.WriteHeader(f.Status)
		}
	case FaultError200:
		if f.Body != "" {
			h.Set("Content-Type", "application/json")
			io.WriteString(w, fill(f.Body))
			return true
		}
		writeError(w, http.StatusOK, "the engine is overloaded", "server_error", "")
	case FaultHTML:
		h.Set("Content-Type", "text/html")
		io.WriteString(w, "<!doctype html><html><head><title>Just a moment</title></head><body><script>alert(1)</script></body></html>\n")
	case FaultEmpty:
		h.Set("Content-Length", "0")
	case FaultGarbage:
		h.Set("Content-Type", "application/json")
		io.WriteString(w, "\x00\x1b[2J{]\xff garbage")
	case FaultOversize:
		h.Set("Content-Type", "application/json")
		space := []byte(strings.Repeat(" ", 1<<20))
		for range f.Count {
			if _, err := w.Write(space); err != nil {
				return true
			}
		}
	case FaultHang:
		if f.AfterPieces > 0 {
			return false
		}
		s.wait(r, 0)
		panic(http.ErrAbortHandler)
	default:
		return false
	}
	return true
}

// wait waits for d, or for ever if d is 0, and reports false when the client
// went away or the server closes before.
func (s *Server) wait(r *http.Request, d time.Duration) bool {
	var timer <-chan time.Time
	if d > 0 {
		t := time.NewTimer(d)
		defer t.Stop()
		timer = t.C
	}
	select {
	case <-timer:
		return true
	case <-r.Context().Done():
	case <-s.closing:
	}
	return false
}

// statusWords are the messages of scripted statuses.
var statusWords = map[int]string{
	401: "incorrect API key provided",
	402: "insufficient balance",
	403: "forbidden",
	429: "rate limit reached for requests",
	500: "the server had an error while processing your request",
	503: "the engine is currently overloaded",
}

func writeError(w http.ResponseWriter, status int, message, typ, code string) {
	type object struct {
		Message string  `json:"message"`
		Type    string  `json:"type"`
		Param   *string `json:"param"`
		Code    *string `json:"code"`
	}
	o := object{Message: message, Type: typ}
	if code != "" {
		o.Code = &code
	}
	writeJSON(w, status, map[string]object{"error": o})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		panic("mock: " + err.Error()) // v is made of strings and numbers
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(b)))
	w.WriteHeader(status)
	w.Write(b)
}
