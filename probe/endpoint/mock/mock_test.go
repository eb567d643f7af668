package mock

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stillmark/stillmark/probe/wire"
)

func newServer(t *testing.T, opt Options) *Server {
	t.Helper()
	if opt.Models == nil {
		opt.Models = map[string]Generator{"nova": Words{}}
	}
	s, err := New(opt)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// post sends a body to the handler and returns status and body.
func post(t *testing.T, s *Server, path, body string) (int, []byte) {
	t.Helper()
	rec := httptest.NewRecorder()
	s.ServeHTTP(rec, httptest.NewRequest(http.MethodPost, path, strings.NewReader(body)))
	return rec.Code, rec.Body.Bytes()
}

func chatBody(extra string) string {
	return `{"model":"nova","messages":[{"role":"system","content":"be brief"},{"role":"user","content":"tell me a story"}],"max_tokens":40` + extra + `}`
}

func textOf(t *testing.T, kind string, stream bool, status int, body []byte) string {
	t.Helper()
	r := wire.Decode(wire.Exchange{Status: status, Kind: kind, Stream: stream, Body: body, Complete: true})
	if r.Outcome != "ok" {
		t.Fatalf("%s (%s): %s", r.Outcome, r.Detail, body)
	}
	return r.Text
}

// TestDeterministic: given model, prompt and seed the text is the same, streamed
// or not, by chat or by parts; another seed or prompt gives another.
func TestDeterministic(t *testing.T) {
	t.Parallel()
	s := newServer(t, Options{})
	ask := func(body string, stream bool) string {
		code, b := post(t, s, "/v1/chat/completions", body)
		return textOf(t, wire.Chat, stream, code, b)
	}
	one := ask(chatBody(`,"seed":1`), false)
	if !strings.Contains(one, " ") || !utf8.ValidString(one) {
		t.Errorf("text %q", one)
	}
	for name, got := range map[string]string{
		"again":    ask(chatBody(`,"seed":1`), false),
		"streamed": ask(chatBody(`,"seed":1,"stream":true`), true),
		"parts":    ask(strings.Replace(chatBody(`,"seed":1`), `"tell me a story"`, `[{"type":"text","text":"tell me a story"}]`, 1), false),
	} {
		if got != one {
			t.Errorf("%s: %q, want %q", name, got, one)
		}
	}
	for name, got := range map[string]string{
		"another seed":   ask(chatBody(`,"seed":2`), false),
		"no seed":        ask(chatBody(``), false),
		"another prompt": ask(strings.Replace(chatBody(`,"seed":1`), "story", "tale", 1), false),
		"another system": ask(strings.Replace(chatBody(`,"seed":1`), "brief", "long", 1), false),
	} {
		if got == one {
			t.Errorf("%s gave the same text", name)
		}
	}
	if a, b := ask(chatBody(`,"temperature":0,"seed":1`), false), ask(chatBody(`,"temperature":0`), false); a != b {
		t.Error("temperature 0 depends on the seed")
	}
	if a, b := ask(chatBody(``), false), ask(chatBody(``), false); a == b {
		t.Error("two requests without a seed are equal")
	}
	// A second server answers the same sequence in the same way.
	other := newServer(t, Options{})
	_, a := post(t, other, "/v1/completions", `{"model":"nova","prompt":"x","max_tokens":9}`)
	_, b := post(t, newServer(t, Options{}), "/v1/completions", `{"model":"nova","prompt":"x","max_tokens":9}`)
	if textOf(t, wire.Completion, false, 200, a) != textOf(t, wire.Completion, false, 200, b) {
		t.Error("unseeded requests differ between equal servers")
	}
}

// bytewise emits a text byte by byte, as the most awkward tokenizer would.
type bytewise string

func (g bytewise) Generate(_ context.Context, _ GenRequest, emit func(Piece) error) (string, error) {
	for i := range len(g) {
		if err := emit(Piece{Text: string(g[i : i+1]), Token: int32(g[i]), Logprob: -1, Top: []Alt{{string(g[i : i+1]), int32(g[i]), -1}, {"\xe4", 0xe4, -2}}}); err != nil {
			return "", err
		}
	}
	return "stop", nil
}

func TestRunesAreHeldBack(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"naïve 你好 😀!":   "naïve 你好 😀!",
		"cut 😀\xf0\x9f": "cut 😀\uFFFD",
		"bad \xff end":  "bad \uFFFD end",
		"\xe4\xbd":      "\uFFFD",
		"bad \xe4 mid":  "bad \uFFFD mid",
	} {
		s := newServer(t, Options{Models: map[string]Generator{"nova": bytewise(in)}})
		for _, path := range []string{"/v1/chat/completions", "/v1/completions"} {
			kind, body := wire.Chat, chatBody(`,"stream":true,"logprobs":true,"top_logprobs":2`)
			if path == "/v1/completions" {
				kind, body = wire.Completion, `{"model":"nova","prompt":"x","stream":true,"logprobs":2}`
			}
			_, raw := post(t, s, path, body)
			if !utf8.Valid(raw) {
				t.Errorf("%s: %q: the stream is not UTF-8", path, in)
			}
			if got := textOf(t, kind, true, 200, raw); got != want {
				t.Errorf("%s: got %q, want %q", path, got, want)
			}
			lps, err := wire.DecodeLogprobs(wire.Exchange{Status: 200, Kind: kind, Stream: true, Body: raw, Complete: true})
			if err != nil || len(lps) != len(in) {
				t.Fatalf("%s: %d log-probabilities for %d tokens: %v", path, len(lps), len(in), err)
			}
			var back []byte
			for _, l := range lps {
				back = append(back, l.Bytes...)
				if len(l.Top) == 0 || !l.Known {
					t.Fatalf("token %+v", l)
				}
			}
			if kind == wire.Chat && string(back) != in {
				t.Errorf("bytes %q, want %q", back, in)
			}
		}
	}
}

func TestCompletionsWithEcho(t *testing.T) {
	t.Parallel()
	s := newServer(t, Options{})
	_, raw := post(t, s, "/v1/completions", `{"model":"nova","prompt":"the old harbour","max_tokens":3,"seed":5,"logprobs":2,"echo":true}`)
	lps, err := wire.DecodeLogprobs(wire.Exchange{Status: 200, Kind: wire.Completion, Body: raw, Complete: true})
	if err != nil || len(lps) != 6 {
		t.Fatalf("%d tokens: %v", len(lps), err)
	}
	if lps[0].Known || !lps[1].Known || lps[3].Offset != len("the old harbour") || len(lps[4].Top) != 2 {
		t.Errorf("%+v", lps)
	}
	if text := textOf(t, wire.Completion, false, 200, raw); !strings.HasPrefix(text, "the old harbour") {
		t.Errorf("%q", text)
	}
	_, raw = post(t, s, "/v1/completions", `{"model":"nova","prompt":"the old harbour","max_tokens":0,"echo":true}`)
	if text := textOf(t, wire.Completion, false, 200, raw); text != "the old harbour" {
		t.Errorf("max_tokens 0: %q", text)
	}
}

func TestUsage(t *testing.T) {
	t.Parallel()
	s := newServer(t, Options{})
	for body, want := range map[string]bool{
		chatBody(``): true,
		chatBody(`,"stream":true,"stream_options":{"include_usage":true}`): true,
		chatBody(`,"stream":true`): false,
	} {
		stream := strings.Contains(body, "stream")
		_, raw := post(t, s, "/v1/chat/completions", body)
		r := wire.Decode(wire.Exchange{Status: 200, Kind: wire.Chat, Stream: stream, Body: raw, Complete: true})
		if (r.Usage != nil) != want {
			t.Errorf("%s: usage %v", body, r.Usage)
		}
		if want && (r.Usage.CompletionTokens != 40 || r.Usage.PromptTokens != 6 || r.Finish != "length") {
			t.Errorf("%+v %s", r.Usage, r.Finish)
		}
	}
}

func TestRefusedRequests(t *testing.T) {
	t.Parallel()
	s := newServer(t, Options{
		Models: map[string]Generator{"nova": bytewise("x"), "strict": Words{}},
		Script: &Script{Models: map[string]Personality{"strict": {NoEcho: true, NoCompletions: true, NoStream: true, NoSystem: true, NoZeroTemp: true}}},
	})
	for _, tt := range []struct {
		path, body string
		want       int
		says       string
	}{
		{"/v1/chat/completions", `{`, 400, "not valid"},
		{"/v1/chat/completions", `{"model":"nova"}`, 400, "messages"},
		{"/v1/chat/completions", `{"model":"other","messages":[{"role":"user","content":"x"}]}`, 404, "does not exist"},
		{"/v1/chat/completions", chatBody(`,"n":2`), 400, "n must be 1"},
		{"/v1/chat/completions", chatBody(`,"temperature":-1`), 400, "temperature"},
		{"/v1/chat/completions", chatBody(`,"top_p":2`), 400, "top_p"},
		{"/v1/chat/completions", chatBody(`,"logprobs":3`), 400, "logprobs"},
		{"/v1/chat/completions", chatBody(`,"stream_options":{"include_usage":true}`), 400, "stream_options"},
		{"/v1/chat/completions", `{"model":"nova","messages":[{"role":"user","content":3}]}`, 400, "content"},
		{"/v1/completions", `{"model":"nova"}`, 400, "prompt"},
		{"/v1/completions", `{"model":"nova","prompt":"x","logprobs":true}`, 400, "logprobs"},
		{"/v1/completions", `{"model":"nova","prompt":"x","max_tokens":0}`, 400, "max_tokens"},
		{"/v1/completions", `{"model":"nova","prompt":"x","echo":true}`, 400, "echo"},
		{"/v1/completions", `{"model":"strict","prompt":"x","echo":true}`, 404, "completions"},
		{"/v1/chat/completions", `{"model":"strict","messages":[{"role":"system","content":"x"}]}`, 400, "system"},
		{"/v1/chat/completions", `{"model":"strict","stream":true,"messages":[{"role":"user","content":"x"}]}`, 400, "stream"},
		{"/v1/chat/completions", `{"model":"strict","temperature":0,"messages":[{"role":"user","content":"x"}]}`, 400, "temperature"},
		{"/v1/embeddings", `{}`, 404, "no such path"},
	} {
		code, b := post(t, s, tt.path, tt.body)
		if code != tt.want || !bytes.Contains(b, []byte(tt.says)) || !bytes.Contains(b, []byte(`"error"`)) {
			t.Errorf("%s %s: %d %s", tt.path, tt.body, code, b)
		}
	}
}

func TestModelsAndKey(t *testing.T) {
	t.Parallel()
	s := newServer(t, Options{APIKey: "sk-mock"})
	rec := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodGet, "/v1/models", nil)
	s.ServeHTTP(rec, r)
	if rec.Code != http.StatusUnauthorized {
		t.Errorf("without a key: %d", rec.Code)
	}
	rec = httptest.NewRecorder()
	r.Header.Set("Authorization", "Bearer sk-mock")
	s.ServeHTTP(rec, r)
	if rec.Code != http.StatusOK || !strings.Contains(rec.Body.String(), `"id":"nova"`) {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
}

type failing struct{ after int }

func (g failing) Generate(_ context.Context, _ GenRequest, emit func(Piece) error) (string, error) {
	for range g.after {
		if err := emit(Piece{Text: "x"}); err != nil {
			return "", err
		}
	}
	return "", errors.New("out of memory")
}

func TestFailingGenerator(t *testing.T) {
	t.Parallel()
	s := newServer(t, Options{Models: map[string]Generator{"nova": failing{}}})
	for _, extra := range []string{``, `,"stream":true`} {
		if code, b := post(t, s, "/v1/chat/completions", chatBody(extra)); code != 500 || !bytes.Contains(b, []byte("out of memory")) {
			t.Errorf("%d %s", code, b)
		}
	}
}

func TestStartAndClose(t *testing.T) {
	t.Parallel()
	s := newServer(t, Options{Script: &Script{Faults: []Fault{{Kind: FaultHang, At: []int{1}}}}})
	if err := s.Start(0); err != nil {
		t.Fatal(err)
	}
	if err := s.Start(0); err == nil {
		t.Error("started twice")
	}
	if !strings.HasPrefix(s.URL(), "http://127.0.0.1:") || !strings.HasSuffix(s.URL(), "/v1") {
		t.Errorf("URL %s", s.URL())
	}
	hung := make(chan error, 1)
	go func() {
		resp, err := http.Post(s.URL()+"/chat/completions", "application/json", strings.NewReader(chatBody(``)))
		if err == nil {
			resp.Body.Close()
		}
		hung <- err
	}()
	for len(s.Requests()) == 0 {
		time.Sleep(time.Millisecond)
	}
	start := time.Now()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if d := time.Since(start); d > grace {
		t.Errorf("closing took %s", d)
	}
	if err := <-hung; err == nil {
		t.Error("the hung request was answered")
	}
	if err := s.Close(); err != nil {
		t.Errorf("second close: %v", err)
	}
	if _, err := http.Get(s.URL() + "/models"); err == nil {
		t.Error("still listening")
	}
	log := s.Requests()
	if len(log) != 1 || log[0].Model != "nova" || log[0].N != 1 || log[0].Fault != FaultHang || !bytes.Contains(log[0].Body, []byte("tell me a story")) {
		t.Errorf("log %+v", log)
	}
}

func TestWhenFaultsArePlayed(t *testing.T) {
	t.Parallel()
	s := newServer(t, Options{
		Models: map[string]Generator{"nova": Words{}, "luna": Words{}},
		Script: &Script{Faults: []Fault{
			{Kind: FaultStatus, Model: "nova", At: []int{2, 3}, Status: 429, Header: map[string]string{"Retry-After": "7"}},
			{Kind: FaultStatus, Model: "nova", Every: 5, Status: 500},
			{Kind: FaultStatus, Model: "nova", From: 11, Status: 401},
		}},
	})
	var got []int
	for range 12 {
		code, _ := post(t, s, "/v1/chat/completions", chatBody(``))
		got = append(got, code)
		if code, _ := post(t, s, "/v1/completions", `{"model":"luna","prompt":"x"}`); code != 200 {
			t.Errorf("luna: %d", code)
		}
	}
	if want := "[200 429 429 200 500 200 200 200 200 500 401 401]"; fmt.Sprint(got) != want {
		t.Errorf("got %v, want %s", got, want)
	}
}

func TestParseScript(t *testing.T) {
	t.Parallel()
	good := `{"models":{"nova":{"ignore_seed":true}},"faults":[{"kind":"drop","model":"nova","every":50,"after_pieces":10},{"kind":"status","at":[3],"status":429,"header":{"Retry-After":"2"}}]}`
	s, err := ParseScript([]byte(good))
	if err != nil || len(s.Faults) != 2 || !s.Models["nova"].IgnoreSeed || s.Faults[0].AfterPieces != 10 {
		t.Fatalf("%+v %v", s, err)
	}
	path := filepath.Join(t.TempDir(), "script.json")
	if err := os.WriteFile(path, []byte(good), 0o600); err != nil {
		t.Fatal(err)
	}
	if s, err := LoadScript(path); err != nil || len(s.Faults) != 2 {
		t.Errorf("%+v %v", s, err)
	}
	if _, err := LoadScript(path + ".none"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing file: %v", err)
	}
	for body, says := range map[string]string{
		`{"fault":[]}`: "unknown field",
		`{} {}`:        "more than one",
		`[]`:           "cannot unmarshal",
		`{"faults":[{"kind":"explode","at":[1]}]}`:      "unknown kind",
		`{"faults":[{"kind":"hang"}]}`:                  "not when",
		`{"faults":[{"kind":"hang","at":[0]}]}`:         "counted from 1",
		`{"faults":[{"kind":"hang","every":-1}]}`:       "negative",
		`{"faults":[{"kind":"status","at":[1]}]}`:       "status must be",
		`{"faults":[{"kind":"redirect","at":[1]}]}`:     "location",
		`{"faults":[{"kind":"trickle","at":[1]}]}`:      "delay_ms",
		`{"faults":[{"kind":"comments","at":[1]}]}`:     "count",
		`{"faults":[{"kind":"model_switch","at":[1]}]}`: "needs as",
		`{"faults":[{"kind":"trailing","at":[1]}]}`:     "body",
		strings.Repeat(" ", maxScript+1):                "1 MiB",
	} {
		if _, err := ParseScript([]byte(body)); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%.60s: %v, want %q", body, err, says)
		}
	}
	for name, opt := range map[string]Options{
		"no models":     {},
		"wrong model":   {Models: map[string]Generator{"nova": Words{}}, Script: &Script{Models: map[string]Personality{"luna": {}}}},
		"wrong fault":   {Models: map[string]Generator{"nova": Words{}}, Script: &Script{Faults: []Fault{{Kind: "x"}}}},
		"fault's model": {Models: map[string]Generator{"nova": Words{}}, Script: &Script{Faults: []Fault{{Kind: FaultHang, At: []int{1}, Model: "luna"}}}},
	} {
		if _, err := New(opt); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func FuzzParseScript(f *testing.F) {
	f.Add([]byte(`{"faults":[{"kind":"status","at":[3],"status":429}]}`))
	f.Add([]byte(`{"models":{"a":{}}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := ParseScript(b)
		if err != nil {
			return
		}
		for _, fault := range s.Faults {
			played := false
			for n := range 100 {
				played = played || fault.matches(fault.Model, n+1)
			}
			if !played && len(fault.At) == 0 && fault.Every <= 100 && fault.From <= 100 {
				t.Fatalf("never played: %+v", fault)
			}
		}
	})
}

// FuzzRequest looks for request bodies that make the server panic.
func FuzzRequest(f *testing.F) {
	f.Add([]byte(chatBody(`,"logprobs":true,"top_logprobs":3,"stream":true`)), true)
	f.Add([]byte(`{"model":"nova","prompt":"x","max_tokens":2,"logprobs":1,"echo":true}`), false)
	s, err := New(Options{Models: map[string]Generator{"nova": Words{}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, body []byte, chat bool) {
		if q, err := parseRequest(body, chat); err == nil && (q.gen.MaxTokens > 1000 || q.gen.Logprobs > 20) {
			t.Skip("too long for a fuzz test")
		}
		path := "/v1/completions"
		if chat {
			path = "/v1/chat/completions"
		}
		rec := httptest.NewRecorder()
		s.ServeHTTP(rec, httptest.NewRequest(http.MethodPost, path, bytes.NewReader(body)))
		if b, _ := io.ReadAll(rec.Body); rec.Code != 200 && !bytes.Contains(b, []byte(`"error"`)) {
			t.Fatalf("%d %s", rec.Code, b)
		}
	})
}

func TestPersonasOfScripts(t *testing.T) {
	t.Parallel()
	if s, err := ParseScript([]byte(`{"models":{"a":{"persona":{"teacher":"b","transfer":0.5,"impostor":0.1,"impostor_vendor":"X"}},"b":{"persona":{}}}}`)); err != nil || s.Models["a"].Persona.Transfer != .5 {
		t.Fatalf("%+v, %v", s, err)
	}
	for script, want := range map[string]string{
		`{"models":{"a":{"persona":{"ability":1.5}}}}`:                     "ability is 1.5",
		`{"models":{"a":{"persona":{"transfer":-1,"teacher":"a"}}}}`:       "transfer is -1",
		`{"models":{"a":{"persona":{"transfer":0.5,"teacher":"a"}}}}`:      "no other persona",
		`{"models":{"a":{"persona":{"teacher":"b","transfer":1}},"b":{}}}`: "no other persona",
		`{"models":{"a":{"persona":{"teacher":"b"}}}}`:                     "belong together",
		`{"models":{"a":{"persona":{"impostor":0.5}}}}`:                    "belong together",
		`{"models":{"a":{"persona":{"boundary":9}}}}`:                      "boundary is 9",
		`{"models":{"a":{"persona":{"vendors":"X"}}}}`:                     "vendors",
	} {
		if _, err := ParseScript([]byte(script)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", script, err, want)
		}
	}
}
