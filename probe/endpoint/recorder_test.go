package endpoint

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	openai "github.com/sashabaranov/go-openai"

	"github.com/stillmark/stillmark/probe/endpoint/mock"
	"github.com/stillmark/stillmark/probe/ledger"
)

func quiet() *log.Logger { return log.New(io.Discard, "", 0) }

const (
	sseText = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"hi\"},\"finish_reason\":null}]}\n\n"
	sseEnd  = "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n"
	sseDone = "data: [DONE]\n\n"
)

// TestDeadlines runs the default deadlines in no real time.
func TestDeadlines(t *testing.T) {
	t.Parallel()
	keepAlives := strings.Split(strings.Repeat(": keep-alive\n\n|", 30), "|")
	for _, tt := range []struct {
		name   string
		pause  time.Duration // before every part
		never  bool          // no headers
		parts  []string
		took   time.Duration
		want   ledger.Outcome
		detail string
	}{
		{name: "headers", never: true, took: 120 * time.Second, want: ledger.Transport, detail: "no response within 2m0s"},
		{name: "idle", pause: 61 * time.Second, parts: []string{sseText}, took: 60 * time.Second, want: ledger.Transport, detail: "paused for more than 1m0s"},
		{name: "just not idle", pause: 59 * time.Second, parts: []string{sseText, sseEnd, sseDone}, took: 177 * time.Second, want: ledger.OK},
		{name: "total", pause: 50 * time.Second, parts: append([]string{sseText}, keepAlives...), took: 600 * time.Second, want: ledger.Truncated, detail: "longer than 10m0s"},
		{name: "open after [DONE]", pause: 40 * time.Second, parts: []string{sseText + sseEnd + sseDone, ": nothing more"}, took: 42 * time.Second, want: ledger.OK},
		{name: "[DONE] in two parts", pause: 10 * time.Second, parts: []string{sseText + sseEnd + "data: [DO", "NE]\n\n", ": nothing more"}, took: 22 * time.Second, want: ledger.OK},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c := client(t, target("http://127.0.0.1/v1"), Options{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
					httptrace.ContextClientTrace(r.Context()).WroteHeaders()
					if tt.never {
						<-r.Context().Done()
						return nil, r.Context().Err()
					}
					return response(r, 200, nil, tt.pause, tt.parts...), nil
				})})
				begin := time.Now()
				a := c.Send(t.Context(), request(true))
				if d := time.Since(begin); d != tt.took {
					t.Errorf("took %s, want %s", d, tt.took)
				}
				if a.Meta.Outcome != tt.want || !strings.Contains(a.Meta.Detail, tt.detail) || a.Meta.MayBeBilled != (tt.want != ledger.OK) {
					t.Errorf("%+v", a.Meta)
				}
				if a.Meta.TotalMS != milliseconds(tt.took) {
					t.Errorf("recorded %v ms", a.Meta.TotalMS)
				}
				if len(a.Response) > 0 && a.Meta.FirstByteMS != milliseconds(tt.pause) {
					t.Errorf("first byte after %v ms", a.Meta.FirstByteMS)
				}
			})
		})
	}
}

// TestThreeRetryAfters: three waits of 70 s pass in no real time.
func TestThreeRetryAfters(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := 0
		c := client(t, target("http://127.0.0.1/v1"), Options{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
			if n++; n <= 3 {
				return response(r, 429, http.Header{"Retry-After": {"70"}}, 0, `{"error":{"message":"slow down"}}`), nil
			}
			return response(r, 200, nil, 0, sseText, sseEnd, sseDone), nil
		})})
		a := NewAIMD(8, 8)
		begin := time.Now()
		for {
			slot, err := a.Acquire(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			att := c.Send(t.Context(), request(true))
			slot.Release(att.Meta.Outcome)
			if att.Meta.Outcome == ledger.OK {
				break
			}
			a.Hold(att.RetryAfter)
		}
		if d := time.Since(begin); d != 210*time.Second || n != 4 || limit(a) != 2 { // 8, 4, 2, 1, and one more for the success
			t.Errorf("%s, %d requests, limit %d", d, n, limit(a))
		}
	})
}

// TestTLS: the certificate's hash is recorded, over HTTP/1.1 and HTTP/2.
func TestTLS(t *testing.T) {
	t.Parallel()
	for _, http2 := range []bool{false, true} {
		m, err := mock.New(mock.Options{Models: map[string]mock.Generator{"nova": mock.Words{}}, Script: &mock.Script{
			Faults: []mock.Fault{{Kind: mock.FaultDrop, At: []int{2}, AfterPieces: 5}},
		}})
		if err != nil {
			t.Fatal(err)
		}
		srv := httptest.NewUnstartedServer(m)
		srv.EnableHTTP2 = http2
		srv.StartTLS()
		defer srv.Close()
		c := client(t, target(srv.URL+"/v1"), Options{Transport: srv.Client().Transport})
		sum := sha256.Sum256(srv.Certificate().Raw)
		a := c.Send(t.Context(), request(true))
		if a.Meta.Outcome != ledger.OK || a.TLSCertSHA != hex.EncodeToString(sum[:]) {
			t.Errorf("HTTP/2 %v: %+v, certificate %s", http2, a.Meta, a.TLSCertSHA)
		}
		a = c.Send(t.Context(), request(true))
		if a.Meta.Outcome != ledger.Truncated || a.Reply.Text == "" {
			t.Errorf("HTTP/2 %v, dropped: %+v", http2, a.Meta)
		}
	}
}

// TestRedirectTarget: a redirect's destination is not contacted, and gets no key.
func TestRedirectTarget(t *testing.T) {
	t.Parallel()
	var reached bool
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached = true }))
	defer other.Close()
	s := start(t, mock.Options{Script: &mock.Script{Faults: []mock.Fault{{Kind: mock.FaultRedirect, From: 1, Location: other.URL + "/v1/chat/completions"}}}})
	for _, stream := range []bool{false, true} {
		a := client(t, target(s.URL()), Options{}).Send(t.Context(), request(stream))
		if a.Meta.Status != 307 || a.Meta.Headers["location"] == "" || !a.Meta.Outcome.Retryable() {
			t.Errorf("%+v", a.Meta)
		}
	}
	if reached {
		t.Error("the redirect was followed")
	}
}

func TestRecordedHeaders(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Server", "uvicorn")
		h.Set("Set-Cookie", "session=1")
		h.Set("Openai-Organization", "our-company")
		h.Set("X-Request-Id", strings.Repeat("r", 500))
		h.Set("Openai-Model", "caf\xe9")
		for i := range 100 {
			h.Set("X-Ratelimit-"+strings.Repeat("A", i+1), "1")
		}
		if ua := r.Header.Get("User-Agent"); ua != "Go-http-client/1.1" || r.Header.Get("Accept-Encoding") != "" || r.Header.Get("Authorization") != "" {
			t.Errorf("request headers %v", r.Header)
		}
		io.WriteString(w, `{"id":"c-9","choices":[{"message":{"content":"hi"},"finish_reason":"stop"}]}`)
	}))
	defer srv.Close()
	a := client(t, target(srv.URL+"/v1"), Options{}).Send(t.Context(), request(false))
	h := a.Meta.Headers
	if h["server"] != "uvicorn" || len(h["x-request-id"]) != maxHeader || h["openai-model"] != "caf??" && h["openai-model"] != "caf?" || len(h) > maxHeaders {
		t.Errorf("%d headers: %v", len(h), h)
	}
	for _, name := range []string{"set-cookie", "openai-organization"} {
		if _, ok := h[name]; ok {
			t.Errorf("%s is recorded", name)
		}
	}
}

// TestAgreesWithTheLibrary: on good replies our decoding is go-openai's.
func TestAgreesWithTheLibrary(t *testing.T) {
	t.Parallel()
	s := start(t, mock.Options{})
	config := openai.DefaultConfig("")
	config.BaseURL = s.URL()
	bare := openai.NewClientWithConfig(config)
	c := client(t, target(s.URL()), Options{})
	for sample := range 5 {
		r := request(sample%2 == 0)
		r.Sample = sample
		ours := c.Send(t.Context(), r)
		seed := 7 + sample
		theirs, err := bare.CreateChatCompletion(t.Context(), openai.ChatCompletionRequest{
			Model: "nova", MaxCompletionTokens: 40, Temperature: 1, Seed: &seed,
			Messages: []openai.ChatCompletionMessage{{Role: "user", Content: "tell me a story"}},
		})
		if err != nil {
			t.Fatal(err)
		}
		if got := theirs.Choices[0]; ours.Reply.Text != got.Message.Content || ours.Reply.Finish != string(got.FinishReason) || ours.Reply.Usage.CompletionTokens != int64(theirs.Usage.CompletionTokens) {
			t.Errorf("%q and %q", ours.Reply.Text, got.Message.Content)
		}
	}
}
