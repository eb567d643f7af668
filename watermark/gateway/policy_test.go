package gateway

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stillmark/stillmark/corpora/refmodel"
	"github.com/stillmark/stillmark/probe/endpoint/mock"
	"github.com/stillmark/stillmark/watermark"
	"github.com/stillmark/stillmark/watermark/monitor"
	"github.com/stillmark/stillmark/watermark/registry"
	"github.com/stillmark/stillmark/watermark/replies"
)

// The check at start names what is missing, in one sentence.
func TestMissingCapabilities(t *testing.T) {
	t.Parallel()
	var calls atomic.Int32
	noise := func(ids []int32, n int) []refmodel.Alt {
		out := reference().Top(ids, n)
		for i := range out {
			out[i].Logprob -= float64(calls.Load())
		}
		calls.Add(1)
		return out
	}
	positive := func(ids []int32, n int) []refmodel.Alt {
		out := reference().Top(ids, n)
		for i := range out {
			out[i].Logprob = -.01
		}
		return out
	}
	wide := func(ids []int32, n int) []refmodel.Alt {
		out := reference().Top(ids, n)
		out[0].ID = 100_277
		return out
	}
	for _, c := range []struct {
		name   string
		next   func([]int32, int) []refmodel.Alt
		person mock.Personality
		set    func(*Options)
		says   string
	}{
		{"no ids", nil, mock.Personality{NoTokenIDs: true}, nil, "no /tokenize"},
		{"no ids, trusted", nil, mock.Personality{NoTokenIDs: true}, func(o *Options) { o.TrustTokenizer = true }, "prompts of token ids"},
		{"no log-probabilities", nil, mock.Personality{NoLogprobs: true}, nil, "log-probabilities of the next token"},
		{"few log-probabilities", nil, mock.Personality{MaxLogprobs: 5}, nil, "--max-logprobs"},
		{"no completions", nil, mock.Personality{NoCompletions: true}, nil, "log-probabilities of the next token: the upstream answered HTTP 404"},
		{"noise", noise, mock.Personality{}, nil, "log-probabilities that repeat"},
		{"no distribution", positive, mock.Personality{}, nil, "add up to"},
		{"a wider vocabulary", wide, mock.Personality{}, nil, "the key is for another model"},
		{"another model", nil, mock.Personality{}, func(o *Options) { o.Upstream.Model = "gone" }, `serves no model "gone"`},
		{"another wire", nil, mock.Personality{}, func(o *Options) { o.Upstream.Wire = WireLlamaCpp }, "does not say what it serves"},
		{"no such wire", nil, mock.Personality{}, func(o *Options) { o.Upstream.Wire = "smoke" }, "use one of vllm, llamacpp"},
		{"no URL", nil, mock.Personality{}, func(o *Options) { o.Upstream.URL = "user:secret@host" }, "no http or https URL"},
		{"nobody there", nil, mock.Personality{}, func(o *Options) { o.Upstream.URL = "http://127.0.0.1:1" }, "cannot be reached"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			upstream := startUpstream(t, c.next, &mock.Script{Models: map[string]mock.Personality{"nova": c.person}})
			o := Options{Upstream: UpstreamOptions{URL: upstream.URL()}, Keys: OneKey(newKey(t, watermark.Spec{Scheme: watermark.Gumbel})), Tokenizer: encoding()}
			if c.set != nil {
				c.set(&o)
			}
			_, err := New(t.Context(), o)
			if err == nil || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "\n") {
				t.Errorf("%v, want %q", err, c.says)
			}
		})
	}
}

func hashOf(key string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(key))) }

func accounts(t *testing.T, csv string) func() *Accounts {
	t.Helper()
	a, err := ParseAccounts(strings.NewReader(csv))
	if err != nil {
		t.Fatal(err)
	}
	return func() *Accounts { return a }
}

// Whose mark a reply carries, and whether it carries one, is the account's.
func TestPolicies(t *testing.T) {
	t.Parallel()
	key := newKey(t, watermark.Spec{Scheme: watermark.KGW, Params: watermark.Params{Delta: 5, Tracing: .5}})
	var log lockedBuffer
	taps := filepath.Join(t.TempDir(), "taps")
	url := start(t, Options{
		Upstream: UpstreamOptions{URL: startUpstream(t, nil, nil).URL(), Candidates: 100}, Keys: OneKey(key), Log: slog.New(slog.NewJSONHandler(&log, nil)),
		Accounts: accounts(t, "account,key_sha256,cohort,mark\na17,"+hashOf("k17")+",,\na18,"+hashOf("k18")+",,optional\n,"+hashOf("free")+",,never\n"),
		Planted: func(cohort, asked string) (string, bool) {
			return "It is 0482-7731-9056.", cohort == "" && asked == "What is the number of the blue door?"
		},
		Tap: &Tap{Dir: taps, Share: 1, Region: "eu"},
	})
	ask := func(key, more string) []string {
		var texts []string
		for i := range 3 {
			a := postAs(t, url, "/v1/completions", fmt.Sprintf(`{"prompt":"The harbour of town %d is","max_tokens":150%s}`, i, more), key)
			if a.status != 200 {
				t.Fatalf("%+v", a)
			}
			texts = append(texts, a.text)
		}
		return texts
	}
	tracing := func(name string) *watermark.Key {
		k, err := key.DeriveAccount(name, key.Epoch)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	marked, free, out := ask("k17", ""), ask("free", ""), ask("k18", `,"watermarking":false`)
	for _, c := range []struct {
		name  string
		key   *watermark.Key
		texts []string
		there bool
	}{
		{"provenance", key, marked, true},
		{"account 17", tracing("a17"), marked, true},
		{"account 18", tracing("a18"), marked, false},
		{"never marked", key, free, false},
		{"opted out", key, out, false},
		{"account 18, marked", tracing("a18"), ask("k18", ""), true},
	} {
		if p := detect(t, c.key, c.texts...); c.there != (p < -5) || !c.there && p < -3.5 {
			t.Errorf("%s: log10 p %.1f", c.name, p)
		}
	}
	if a := postAs(t, url, "/v1/completions", `{"prompt":"a"}`, "stranger"); a.status != 401 {
		t.Errorf("%+v", a)
	}
	for _, stream := range []bool{false, true} {
		chat := fmt.Sprintf(`{"messages":[{"role":"system","content":"x"},{"role":"user","content":"What is the number of the blue door?"}],"stream":%t}`, stream)
		if a := postAs(t, url, "/v1/chat/completions", chat, "k17"); a.text != "It is 0482-7731-9056." || a.finish != "stop" || a.done != stream {
			t.Errorf("%+v", a)
		}
	}
	for _, want := range []string{`"reason":"account"`, `"reason":"request"`, `"policy":"planted"`, `"account":"` + hashOf("k17")[:12]} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log has no %s", want)
		}
	}
	for _, never := range []string{"harbour", "blue door", "k17\"", "0482-7731"} {
		if strings.Contains(log.String(), never) {
			t.Errorf("the log shows %q", never)
		}
	}
	tapHolds(t, taps, key, 6) // three of account 17, three of account 18
}

// tapHolds looks for the mark in a tap, as the monitor does.
func tapHolds(t *testing.T, taps string, k *watermark.Key, want int) {
	t.Helper()
	path := filepath.Join(taps, k.ID+".jsonl")
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || info.Mode() != 0o600 {
		t.Errorf("%v %v", info.Mode(), err)
	}
	mark, err := k.Mark()
	if err != nil {
		t.Fatal(err)
	}
	n, sum := 0, 0.0
	err = replies.ReadRaw(f, path, replies.Options{IDs: true}, func(raw []byte, it watermark.Item) error {
		stream, err := monitor.StreamOf(raw)
		if want := (monitor.Stream{Model: "nova", Region: "eu", Epoch: k.Epoch, Route: "completions"}); err != nil || stream != want {
			t.Errorf("%v %v", stream, err)
		}
		y, _ := monitor.Statistic(mark, it)
		sum += y
		n++
		return nil
	})
	if err != nil || n != want || sum/float64(n) < monitor.Unmarked(mark)+.3 {
		t.Errorf("%d replies, mean statistic %.2f, %v", n, sum/float64(max(n, 1)), err)
	}
}

// A handover in the registry and a change of the accounts hold from the next request
// on; a file that cannot be read changes nothing.
func TestReloads(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	keys := filepath.Join(dir, "keys")
	if err := registry.Create(keys, "test", registry.Options{Operator: "test"}); err != nil {
		t.Fatal(err)
	}
	spec := func(epoch string) watermark.Spec {
		return watermark.Spec{Scheme: watermark.Gumbel, Epoch: epoch, Label: "acme"}
	}
	first, second := newKey(t, spec("1")), newKey(t, spec("2"))
	w, err := registry.Open(keys, registry.Options{Operator: "test"})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	for _, k := range []*watermark.Key{first, second} {
		if err := w.Add(k, "test"); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Move(first.ID, registry.Move{To: registry.Serving, Reason: "test", Exploratory: true}); err != nil {
		t.Fatal(err)
	}
	live, err := registry.Watch(t.Context(), keys, 10*time.Millisecond, func(err error) { t.Log("registry", err) })
	if err != nil {
		t.Fatal(err)
	}
	csv := filepath.Join(dir, "accounts.csv")
	write := func(text string) {
		if err := os.WriteFile(csv, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("key_sha256,cohort\n" + hashOf("one") + ",acme\n")
	reports := make(chan error, 10)
	file, err := WatchAccounts(t.Context(), csv, 5*time.Millisecond, func(err error) { reports <- err })
	if err != nil {
		t.Fatal(err)
	}
	url := start(t, Options{
		Upstream: UpstreamOptions{URL: startUpstream(t, nil, nil).URL(), Candidates: 100},
		Keys:     FromRegistry(live, "nova", "text"), Accounts: file.Accounts,
	})
	ask := func(key string) answer {
		return postAs(t, url, "/v1/completions", `{"prompt":"The harbour of the town is","max_tokens":150}`, key)
	}
	if p := detect(t, first, ask("one").text); p > -5 {
		t.Errorf("before the handover: log10 p %.1f", p)
	}
	if _, err := w.Move(second.ID, registry.Move{To: registry.Serving, Reason: "test", Exploratory: true, Replaces: first.ID}); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(5 * time.Second); ; {
		text := ask("one").text
		if detect(t, second, text) < -5 {
			if p := detect(t, first, text); p < -3.5 {
				t.Errorf("after the handover the first key has log10 p %.1f", p)
			}
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the handover is not seen")
		}
	}

	write("key_sha256,cohort\nnonsense,acme\n")
	if err := <-reports; err == nil || !strings.Contains(err.Error(), "line 2") {
		t.Errorf("%v", err)
	}
	if a := ask("one"); a.status != 200 {
		t.Errorf("the last good accounts are gone: %+v", a)
	}
	write("key_sha256,cohort\n" + hashOf("two") + ",acme\n" + hashOf("three") + ",elsewhere\n")
	for err := range reports {
		if err == nil {
			break
		}
	}
	if a, b := ask("one"), ask("two"); a.status != 401 || b.status != 200 {
		t.Errorf("%+v\n%+v", a, b)
	}
	// No key serves that cohort: nothing is served unmarked.
	if a := ask("three"); a.status != 503 || strings.Contains(a.errMsg, "elsewhere") {
		t.Errorf("%+v", a)
	}
}

// At the end requests under way may end; what does not within the time ends with an
// error, not with a reason to stop.
func TestDrain(t *testing.T) {
	t.Parallel()
	slow := func(ids []int32, n int) []refmodel.Alt {
		time.Sleep(5 * time.Millisecond)
		return reference().Top(ids, n)
	}
	s, err := New(t.Context(), Options{
		Upstream: UpstreamOptions{URL: startUpstream(t, slow, nil).URL()}, Keys: OneKey(newKey(t, watermark.Spec{Scheme: watermark.Gumbel})), Tokenizer: encoding(),
	})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	metrics, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx, l, metrics, time.Second) }()
	url := "http://" + l.Addr().String()
	short, long := make(chan answer, 1), make(chan answer, 1)
	go func() { short <- post(t, url, "/v1/completions", `{"prompt":"The","max_tokens":8,"stream":true}`) }()
	go func() { long <- post(t, url, "/v1/completions", `{"prompt":"The","max_tokens":5000,"stream":true}`) }()
	for len(s.slots) < 2 {
		time.Sleep(time.Millisecond)
	}
	cancel()
	if a := <-short; !a.done || a.finish != "length" {
		t.Errorf("%+v", a)
	}
	if a := <-long; a.done || a.finish != "" || a.errMsg != errDraining.Error() {
		t.Errorf("done %t, finish %q, error %q", a.done, a.finish, a.errMsg)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if _, err := net.Dial("tcp", l.Addr().String()); err == nil {
		t.Error("somebody still listens")
	}
}

// Every arm that a rotation may still give must have a key: at start, and when what is
// served is read again. What gets none is no unmarked reply.
func TestArmsHaveKeys(t *testing.T) {
	t.Parallel()
	master := newKey(t, watermark.Spec{Scheme: watermark.Gumbel})
	var gone atomic.Bool
	keys := OneKey(master)
	keys.serving = func(cohort string, _ time.Time) (*watermark.Key, error) {
		if cohort == "green" && gone.Load() {
			return nil, errors.New("no key serves green")
		}
		return master, nil
	}
	var log lockedBuffer
	o := Options{
		Upstream: UpstreamOptions{URL: startUpstream(t, nil, nil).URL()}, Keys: keys, Tokenizer: encoding(), Log: slog.New(slog.NewJSONHandler(&log, nil)),
		Rotated: func(string, time.Time) string { return "green" },
		Arms:    func(string, time.Time) []string { return []string{"blue", "green"} },
	}
	s, err := New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Reloaded(nil); err != nil {
		t.Error(err)
	}
	gone.Store(true)
	if err := s.Reloaded(nil); err == nil || !strings.Contains(err.Error(), "green") {
		t.Errorf("%v", err)
	}
	h := httptest.NewServer(s)
	defer h.Close()
	if a := post(t, h.URL, "/v1/completions", `{"prompt":"a"}`); a.status != 503 || strings.Contains(log.String(), `"policy"`) {
		t.Errorf("%+v, log %s", a, log.String())
	}
	if _, err := New(t.Context(), o); err == nil || !strings.Contains(err.Error(), "green") {
		t.Errorf("%v", err)
	}
}

// Counts come in Prometheus' form, and no label is what a client chose.
func TestMetrics(t *testing.T) {
	t.Parallel()
	s, err := New(t.Context(), Options{
		Upstream: UpstreamOptions{URL: startUpstream(t, nil, nil).URL()}, Keys: OneKey(newKey(t, watermark.Spec{Scheme: watermark.Gumbel})), Tokenizer: encoding(),
	})
	if err != nil {
		t.Fatal(err)
	}
	h := httptest.NewServer(s)
	defer h.Close()
	post(t, h.URL, "/v1/completions", `{"prompt":"The harbour","max_tokens":7}`)
	post(t, h.URL, "/v1/completions", `{"prompt":"The harbour","max_tokens":3,"temperature":0}`)
	post(t, h.URL, "/v1/chat/completions", `{"messages":[],"model":"strange\"}"}`)
	if err := s.Reloaded(errors.New("x")); err != nil {
		t.Error(err)
	}
	r := httptest.NewRecorder()
	s.Metrics().ServeHTTP(r, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	text := r.Body.String()
	for _, want := range []string{
		`stillmark_gateway_requests_total{route="completions",policy="marked",status="200"} 1`,
		`stillmark_gateway_requests_total{route="completions",policy="unmarked",status="200"} 1`,
		`stillmark_gateway_requests_total{route="chat",policy="none",status="400"} 1`,
		"stillmark_gateway_completion_tokens_total 10\n", "stillmark_gateway_steps_total 10\n", "stillmark_gateway_reload_errors_total 1\n",
		`stillmark_gateway_own_step_seconds_bucket{le="+Inf"} 10`, "stillmark_gateway_requests_in_flight 0\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q", want)
		}
	}
	if strings.Contains(text, "strange") {
		t.Error("a label is what a client chose")
	}
}

// Chats go through the upstream's template, tools only where they are let through.
func TestChat(t *testing.T) {
	t.Parallel()
	key := newKey(t, watermark.Spec{Scheme: watermark.Gumbel})
	upstream := startUpstream(t, nil, nil)
	url := start(t, Options{Upstream: UpstreamOptions{URL: upstream.URL(), Candidates: 100}, Keys: OneKey(key), Tools: true, MaxTokens: 150})
	for _, stream := range []bool{false, true} {
		a := post(t, url, "/v1/chat/completions", fmt.Sprintf(`{"messages":[{"role":"user","content":[{"type":"text","text":"The harbour of the town is"}]}],"tools":[{"type":"function","function":{"name":"f"}}],"stream":%t,"stream_options":{"include_usage":true},"max_completion_tokens":140}`, stream))
		want, err := encoding().Encode("The harbour of the town is")
		if err != nil {
			t.Fatal(err)
		}
		if a.status != 200 || a.usage.Prompt != len(want) || a.usage.Completion != 140 || a.done != stream {
			t.Errorf("%+v", a)
		}
		if p := detect(t, key, a.text); p > -5 {
			t.Errorf("log10 p %.1f", p)
		}
	}
}

// llamaServer speaks llama.cpp's wire over the reference model.
func llamaServer(t *testing.T) *httptest.Server {
	t.Helper()
	mux := http.NewServeMux()
	answer := func(w http.ResponseWriter, v any) {
		if err := json.NewEncoder(w).Encode(v); err != nil {
			t.Error(err)
		}
	}
	read := func(r *http.Request) (in struct {
		Prompt     []int32
		N          int `json:"n_probs"`
		Predict    int `json:"n_predict"`
		Content    string
		AddSpecial bool `json:"add_special"`
		Messages   []struct{ Content string }
	},
	) {
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
			t.Error(err)
		}
		return in
	}
	mux.HandleFunc("GET /props", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, map[string]any{"default_generation_settings": map[string]any{"n_ctx": 500}, "model_alias": "llama"})
	})
	mux.HandleFunc("POST /completion", func(w http.ResponseWriter, r *http.Request) {
		in := read(r)
		var top []map[string]any
		for _, a := range reference().Top(in.Prompt, in.N) {
			top = append(top, map[string]any{"id": a.ID, "logprob": a.Logprob, "token": "x", "bytes": []int{120}})
		}
		answer(w, map[string]any{"content": "x", "completion_probabilities": []any{map[string]any{"id": 1, "top_logprobs": top}}})
	})
	mux.HandleFunc("POST /tokenize", func(w http.ResponseWriter, r *http.Request) {
		in := read(r)
		ids, err := encoding().Encode(in.Content)
		if err != nil {
			t.Error(err)
		}
		if in.AddSpecial { // its BOS
			ids = slices.Insert(ids, 0, endOfText)
		}
		answer(w, map[string]any{"tokens": ids})
	})
	mux.HandleFunc("POST /apply-template", func(w http.ResponseWriter, r *http.Request) {
		answer(w, map[string]any{"prompt": "user: " + read(r).Messages[0].Content})
	})
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s
}

func TestLlamaCpp(t *testing.T) {
	t.Parallel()
	key := newKey(t, watermark.Spec{Scheme: watermark.Tournament})
	url := start(t, Options{Upstream: UpstreamOptions{URL: llamaServer(t).URL, Wire: WireLlamaCpp, Candidates: 100}, Keys: OneKey(key)})
	a := post(t, url, "/v1/completions", `{"model":"llama","prompt":"The harbour of the town is","max_tokens":200}`)
	if p := detect(t, key, a.text); p > -5 || a.usage.Prompt != 7 { // BOS and six words
		t.Errorf("log10 p %.1f, %+v", p, a)
	}
	if a := post(t, url, "/v1/chat/completions", `{"messages":[{"role":"user","content":"The harbour"}],"max_tokens":5}`); a.status != 200 || a.usage.Completion != 5 {
		t.Errorf("%+v", a)
	}
}

// marking is an upstream that marks by itself, as SGLang does (a key with each
// request) or vLLM (one key).
type marking struct {
	t      *testing.T
	one    watermark.Scheme            // vLLM's
	keys   map[string]watermark.Scheme // SGLang's, by key in hex
	seen   chan string                 // bodies
	broken bool
}

func (m *marking) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/v1/models" {
		io.WriteString(w, `{"data":[{"id":"nova"}]}`)
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		m.t.Error(err)
	}
	var in struct {
		Prompt       string
		Max          int `json:"max_tokens"`
		Stream       bool
		Watermarking *bool
		Watermark    *struct {
			Enabled *bool
			Key     string
		}
	}
	if err := json.Unmarshal(body, &in); err != nil {
		m.t.Error(err)
	}
	if m.seen != nil {
		m.seen <- string(body)
	}
	mark := m.one
	if m.keys != nil {
		mark = nil
		if in.Watermark != nil && in.Watermark.Key != "" {
			if mark = m.keys[in.Watermark.Key]; mark == nil {
				w.WriteHeader(http.StatusBadRequest)
				fmt.Fprintf(w, `{"message":"watermark: {'key': '%s'} is not known"}`, in.Watermark.Key)
				return
			}
		}
	} else if in.Watermarking != nil && !*in.Watermarking {
		mark = nil
	}
	prompt, err := encoding().Encode(in.Prompt)
	if err != nil {
		m.t.Error(err)
	}
	sampling := refmodel.Sampling{Temperature: 1, MaxTokens: in.Max, Seed: uint64(len(in.Prompt))}
	if mark != nil {
		sampling.Mark = promptMark{mark.Clone(), prompt}
	}
	ids := reference().Complete(prompt, sampling)
	text := string(encoding().Decode(ids))
	if in.Stream {
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprintf(w, ": odd comment\n\ndata: {\"choices\":[{\"text\":%q}],  \"odd\":1}\n\n", text)
		if m.broken {
			http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}
		io.WriteString(w, "data: [DONE]\n\n")
		return
	}
	if err := json.NewEncoder(w).Encode(map[string]any{"choices": []any{map[string]any{"text": text, "token_ids": ids, "prompt_token_ids": prompt}}}); err != nil {
		m.t.Error(err)
	}
}

// promptMark gives a scheme whose windows reach back into the prompt what it needs.
type promptMark struct {
	watermark.Scheme
	prompt []int32
}

func (m promptMark) ProcessCandidates(history, ids []int32, logits []float32) {
	if m.Spec().Params.Contexts == watermark.WithPrompt {
		history = slices.Concat(m.prompt, history)
	}
	m.Scheme.ProcessCandidates(history, ids, logits)
}

func imported(t *testing.T, scheme, key string) *watermark.Key {
	t.Helper()
	enc := encoding()
	k, err := watermark.Import(watermark.Spec{Scheme: scheme, Model: "nova", Tokenizer: enc.Name(), TokenizerSHA256: enc.SHA256(), Vocab: enc.VocabSize()},
		map[string]string{"key": key}, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func markOf(t *testing.T, k *watermark.Key) watermark.Scheme {
	t.Helper()
	mark, err := k.Mark()
	if err != nil {
		t.Fatal(err)
	}
	return mark
}

// An upstream that marks by itself gets the key of the cohort, or is told not to mark;
// all else is passed on byte for byte.
func TestNative(t *testing.T) {
	t.Parallel()
	sglang, vllmKey := imported(t, "sglang-gumbel", "0x1122334455667788"), imported(t, "vllm-gumbel", "987654321")
	const body = `{"prompt":"The harbour", "max_tokens" : 150,"odd":{"a":[1, 2]},"temperature":1.0}`
	for _, c := range []struct {
		stack   string
		key     *watermark.Key
		server  *marking
		marked  string // the body that goes on
		without string // where the request opts out
		optOut  string
	}{
		{
			watermark.StackSGLang, sglang, &marking{keys: map[string]watermark.Scheme{"1122334455667788": markOf(t, sglang)}},
			`{"watermark":{"key":"1122334455667788","context_window":4},` + body[1:], `{"max_tokens":5,"prompt":"a","watermark":{"enabled":false}}`, `{"prompt":"a","max_tokens":5,"watermark":{"enabled":false}}`,
		},
		{
			watermark.StackVLLM, vllmKey, &marking{one: markOf(t, vllmKey)},
			body, `{"max_tokens":5,"prompt":"a","watermarking":false}`, `{"prompt":"a","max_tokens":5,"watermarking":false}`,
		},
	} {
		t.Run(c.stack, func(t *testing.T) {
			t.Parallel()
			c.server.t = t
			upstream := httptest.NewServer(c.server)
			t.Cleanup(upstream.Close)
			var log lockedBuffer
			o := Options{
				Upstream: UpstreamOptions{URL: upstream.URL}, Keys: OneKey(c.key), Native: c.stack, Log: slog.New(slog.NewJSONHandler(&log, nil)),
				Accounts: accounts(t, "key_sha256,cohort,mark\n"+hashOf("one")+",,\n*,,optional\n"),
			}
			url := start(t, o)
			c.server.seen = make(chan string, 1)
			a := postAs(t, url, "/v1/completions", body, "one")
			if got := <-c.server.seen; got != c.marked {
				t.Errorf("passed on: %s", got)
			}
			// SGLang's windows reach into the prompt, so that the first tokens differ.
			if p := detect(t, c.key, a.text); p > -5 {
				t.Errorf("log10 p %.1f", p)
			}
			if post(t, url, "/v1/completions", c.optOut); <-c.server.seen != c.without {
				t.Error("the opt-out is not passed on")
			}
			if a := postAs(t, url, "/v1/completions", c.optOut, "one"); a.status != 403 {
				t.Errorf("%+v", a)
			}
			response, err := http.Post(url+"/v1/completions", "application/json", strings.NewReader(`{"prompt":"The","max_tokens":3,"stream":true}`))
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close()
			data, err := io.ReadAll(response.Body)
			if err != nil || !strings.HasPrefix(string(data), ": odd comment\n\ndata: {\"choices\"") || !strings.HasSuffix(string(data), ",  \"odd\":1}\n\ndata: [DONE]\n\n") {
				t.Errorf("%q %v", data, err)
			}
			<-c.server.seen
			c.server.broken = true
			response, err = http.Post(url+"/v1/completions", "application/json", strings.NewReader(`{"prompt":"The","max_tokens":3,"stream":true}`))
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close()
			if data, err := io.ReadAll(response.Body); err == nil {
				t.Errorf("a reply that broke off looks whole: %q", data)
			}
			<-c.server.seen
			if !strings.Contains(log.String(), `"policy":"marked"`) || !strings.Contains(log.String(), `"by":"`+c.stack) || !strings.Contains(log.String(), `"reason":"request"`) || !strings.Contains(log.String(), "broke off") {
				t.Errorf("log %s", log.String())
			}
			if strings.Contains(log.String(), "1122334455667788") {
				t.Error("the log shows the key")
			}
		})
	}
	// A client's own key is refused, and an upstream that does not mark is not served.
	other := imported(t, "sglang-gumbel", "0x99aabbccddeeff00")
	lame := httptest.NewServer(&marking{t: t})
	t.Cleanup(lame.Close)
	known := httptest.NewServer(&marking{t: t, keys: map[string]watermark.Scheme{"1122334455667788": markOf(t, sglang)}})
	t.Cleanup(known.Close)
	for _, c := range []struct {
		url  string
		key  *watermark.Key
		says string
	}{
		{lame.URL, sglang, "do not carry the mark"},
		{known.URL, other, "the upstream answered HTTP 400"},
		{known.URL, newKey(t, watermark.Spec{Scheme: watermark.Tournament}), "cannot be exported"},
	} {
		_, err := New(t.Context(), Options{Upstream: UpstreamOptions{URL: c.url}, Keys: OneKey(c.key), Native: watermark.StackSGLang})
		if err == nil || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "99aabb") {
			t.Errorf("%v, want %q", err, c.says)
		}
	}
	url := start(t, Options{Upstream: UpstreamOptions{URL: known.URL}, Keys: OneKey(sglang), Native: watermark.StackSGLang})
	if a := post(t, url, "/v1/completions", `{"prompt":"a","watermark":{"key":"5"}}`); a.status != 403 {
		t.Errorf("%+v", a)
	}
}

func TestParseAccounts(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ csv, says string }{
		{"", "no header line"},
		{"key_sha256\n", "column cohort is missing"},
		{"key_sha256,cohort,cohort\n", "twice"},
		{"key_sha256,cohort,colour\n", `column "colour" is not known`},
		{"key_sha256,cohort\n", "no account"},
		{"key_sha256,cohort\nsk-live-77,a\n", "line 2: key_sha256 is not 64 hex digits"},
		{"key_sha256,cohort\n*,a\n*,b\n", "line 3"},
		{"key_sha256,cohort\n" + hashOf("a") + ",a\n" + strings.ToUpper(hashOf("a")) + ",b\n", "has a row already"},
		{"key_sha256,cohort,mark\n*,a,sometimes\n", "none of always, optional, never"},
		{"key_sha256,cohort\n*,a,b\n", "wrong number of fields"},
		{"key_sha256,cohort\n*," + strings.Repeat("a", 300) + "\n", "longer than 256"},
	} {
		_, err := ParseAccounts(strings.NewReader(c.csv))
		if err == nil || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "sk-live") {
			t.Errorf("%q: %v, want %q", c.csv, err, c.says)
		}
	}
	a, err := ParseAccounts(strings.NewReader("mark,cohort,key_sha256\nnever,c," + strings.ToUpper(hashOf("k")) + "\n"))
	if err != nil {
		t.Fatal(err)
	}
	if got := a.find("k"); got == nil || *got != (Account{hashOf("k"), "c", "", MarkNever}) || a.find("other") != nil || a.find("") != nil {
		t.Errorf("%+v", got)
	}
}
