package collect

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stillmark/stillmark/probe/endpoint"
	"github.com/stillmark/stillmark/probe/ledger"
)

// server answers prompt "pN" with text N, refuses p3, and asks for patience at
// every fifth request.
func server(t *testing.T, requests *atomic.Int64) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := requests.Add(1)
		body, _ := io.ReadAll(r.Body)
		var asked struct{ Messages []struct{ Content string } }
		json.Unmarshal(body, &asked)
		if n%5 == 0 {
			w.WriteHeader(http.StatusTooManyRequests)
			return
		}
		prompt := asked.Messages[0].Content
		message := fmt.Sprintf(`{"role":"assistant","content":"text of %s"}`, prompt)
		if prompt == "p3" {
			message = `{"role":"assistant","content":null,"refusal":"no"}`
		}
		fmt.Fprintf(w, `{"id":"x","object":"chat.completion","model":"nova","choices":[{"index":0,"finish_reason":"stop","message":%s}]}`, message)
	}))
	t.Cleanup(s.Close)
	return s
}

func options(s *httptest.Server, path string) Options {
	opt := Options{
		Target: ledger.Target{Name: "nova", Model: "nova", BaseURL: s.URL + "/v1"}, Params: ledger.Params{MaxTokens: 50},
		Concurrency: 3, Path: path, backoff: endpoint.Backoff{Base: time.Millisecond, Cap: time.Millisecond},
	}
	for i := range 8 {
		opt.Prompts = append(opt.Prompts, Prompt{fmt.Sprintf("id%d", i), fmt.Sprintf("p%d", i)})
	}
	return opt
}

func TestCollectGoesOn(t *testing.T) {
	t.Parallel()
	var requests atomic.Int64
	opt := options(server(t, &requests), filepath.Join(t.TempDir(), "texts.jsonl"))
	ctx, cancel := context.WithCancel(t.Context())
	opt.Progress = func(done, total int) {
		if total != 8 {
			t.Errorf("total %d", total)
		}
		if done == 3 {
			cancel()
		}
	}
	if _, err := Collect(ctx, opt); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "goes on") {
		t.Fatalf("cancelled: %v", err)
	}
	// kill -9 in the middle of a line.
	f, err := os.OpenFile(opt.Path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	f.WriteString(`{"id":"id7","prompt":"p7","te`)
	f.Close()
	opt.Progress = nil
	replies, err := Collect(t.Context(), opt)
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range replies {
		want, outcome := fmt.Sprintf("text of p%d", i), ledger.OK
		if i == 3 {
			want, outcome = "", ledger.Refused
		}
		if r.Text != want || r.Outcome != outcome || r.ID != fmt.Sprintf("id%d", i) {
			t.Errorf("reply %d: %+v", i, r)
		}
	}
	sent := requests.Load()
	again, err := Collect(t.Context(), opt)
	if err != nil || len(again) != 8 || requests.Load() != sent {
		t.Errorf("all was there, and %d requests were sent: %v", requests.Load()-sent, err)
	}
	for name, change := range map[string]func(o *Options){
		"another model": func(o *Options) { o.Target.Model = "other" },
		"other setting": func(o *Options) { o.Params.MaxTokens = 51 },
	} {
		other := opt
		change(&other)
		var usage *Error
		if _, err := Collect(t.Context(), other); !errors.As(err, &usage) || usage.ExitCode() != 2 {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := os.WriteFile(opt.Path, []byte("no JSON\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Collect(t.Context(), opt); err == nil || !strings.Contains(err.Error(), "line 1") {
		t.Errorf("a damaged file: %v", err)
	}
}

func TestCollectStops(t *testing.T) {
	t.Parallel()
	for status, code := range map[int]int{401: 21, 402: 22, 400: 2, 503: 25} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
		defer s.Close()
		_, err := Collect(t.Context(), options(s, ""))
		var stopped *endpoint.TargetError
		if !errors.As(err, &stopped) || stopped.ExitCode() != code {
			t.Errorf("status %d: %v", status, err)
		}
	}
}

// TestSurprise scores with a server that gives every token of the prompt but the
// first a probability of one in four, and the generated one another.
func TestSurprise(t *testing.T) {
	t.Parallel()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var asked struct {
			Prompt string
			Echo   bool
		}
		json.NewDecoder(r.Body).Decode(&asked)
		words := strings.Fields(asked.Prompt)
		tokens, logprobs := []string{}, []string{}
		for i, word := range words {
			tokens = append(tokens, fmt.Sprintf("%q", word))
			logprobs = append(logprobs, "-1.3862943611198906")
			if i == 0 {
				logprobs[0] = "null"
			}
		}
		if !asked.Echo {
			t.Error("the prompt is not to come back")
		}
		fmt.Fprintf(w, `{"id":"x","object":"text_completion","model":"nova","choices":[{"index":0,"finish_reason":"length","text":%q,"logprobs":{"tokens":[%s,"!"],"token_logprobs":[%s,-9]}}]}`,
			asked.Prompt+"!", strings.Join(tokens, ","), strings.Join(logprobs, ","))
	}))
	defer s.Close()
	target := ledger.Target{Name: "nova", Model: "nova", BaseURL: s.URL + "/v1"}
	got, err := Surprise(t.Context(), Scoring{Target: target, Texts: []string{"one two three", "one"}, Concurrency: 2})
	if err != nil || math.Abs(got[0]-math.Log(4)) > 1e-12 || !math.IsNaN(got[1]) {
		t.Errorf("%v, %v", got, err)
	}
	mute := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"id":"x","object":"text_completion","model":"nova","choices":[{"index":0,"finish_reason":"length","text":"one two!"}]}`)
	}))
	defer mute.Close()
	target.BaseURL = mute.URL + "/v1"
	var usage *Error
	if _, err := Surprise(t.Context(), Scoring{Target: target, Texts: []string{"one two"}}); !errors.As(err, &usage) {
		t.Errorf("a server without log-probabilities: %v", err)
	}
}
