package gateway

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stillmark/stillmark/watermark"
)

// Nothing of what is asked and no API key reaches the log, whatever the upstream
// repeats in its errors; the client sees what is about its own request.
func TestErrorsShowNoContentAndNoKey(t *testing.T) {
	t.Parallel()
	const secret, planted = "sk-upstream-4711", "the planted sentence"
	behind, err := url.Parse(strings.TrimSuffix(startUpstream(t, nil, nil).URL(), "/v1"))
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(behind)
	var fail atomic.Pointer[func(body string) (status int, code, message string)]
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f := fail.Load()
		if f == nil {
			proxy.ServeHTTP(w, r)
			return
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		status, code, message := (*f)(string(body))
		w.WriteHeader(status)
		json.NewEncoder(w).Encode(map[string]any{"error": map[string]any{"message": message, "code": code}})
	}))
	t.Cleanup(upstream.Close)
	var log lockedBuffer
	url := start(t, Options{
		Upstream: UpstreamOptions{URL: upstream.URL, APIKey: secret}, Keys: OneKey(newKey(t, watermark.Spec{Scheme: watermark.Gumbel})),
		Log: slog.New(slog.NewJSONHandler(&log, nil)),
	})
	echo := func(status int) func(string) (int, string, string) {
		return func(body string) (int, string, string) { return status, "invalid_prompt", "cannot take " + body }
	}
	bad := func(status int) func(string) (int, string, string) {
		return func(string) (int, string, string) {
			return status, secret, strings.Repeat("x", 290) + "Incorrect API key provided: " + secret
		}
	}
	for i, c := range []struct {
		fail         func(string) (int, string, string)
		status       int
		shown, never string // of the upstream's message, to the client
	}{
		{echo(400), 400, planted, secret},
		{echo(401), 400, "", planted},
		{echo(403), 400, "", planted},
		{echo(500), 502, "", planted},
		{bad(400), 400, "", "sk-up"},
		{bad(401), 400, "", "sk-up"},
		{bad(500), 502, "", "sk-up"},
	} {
		fail.Store(&c.fail)
		for _, stream := range []bool{false, true} {
			a := post(t, url, "/v1/chat/completions", fmt.Sprintf(`{"messages":[{"role":"user","content":%q}],"stream":%t}`, planted, stream))
			if a.status != c.status || !strings.Contains(a.errMsg, c.shown) || strings.Contains(a.errMsg, c.never) {
				t.Errorf("%d: %+v", i, a)
			}
			// The completion's tokens are asked for as ids.
			a = post(t, url, "/v1/completions", fmt.Sprintf(`{"prompt":%q,"stream":%t}`, planted, stream))
			if a.status != 502 || !strings.Contains(a.errMsg, c.shown) || strings.Contains(a.errMsg, c.never) {
				t.Errorf("%d: %+v", i, a)
			}
		}
	}
	fail.Store(nil)
	for _, body := range []string{
		`{"messages":[{"role":"user","content":[{"type":"the planted sentence"}]}]}`,
		`{"messages":[{"role":"user","content":"a"}],"the planted sentence":1}`,
		`{"messages":[{"role":"the planted sentence","content":5}]}`,
		`the planted sentence`,
	} {
		if a := post(t, url, "/v1/chat/completions", body); a.status != 400 {
			t.Errorf("%s: %+v", body, a)
		}
	}
	if a := post(t, url, "/v1/completions", `{"prompt":[99999999]}`); a.status != 400 || !strings.Contains(a.errMsg, "99999999") {
		t.Errorf("%+v", a)
	}
	for _, never := range []string{"planted", "sk-up", "99999999", "cannot take"} {
		if strings.Contains(log.String(), never) {
			t.Errorf("the log shows %q:\n%s", never, log.String())
		}
	}
	for _, want := range []string{"HTTP 400 (invalid_prompt)", "HTTP 401", "is not known here"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log has no %q", want)
		}
	}
}

// Where replies are passed on, the upstream's own key is in none of its refusals.
func TestNativeRefusalHidesTheUpstreamsKey(t *testing.T) {
	t.Parallel()
	const secret = "sk-upstream-4711"
	key := imported(t, "vllm-gumbel", "987654321")
	inner := &marking{t: t, one: markOf(t, key)}
	var fail atomic.Pointer[string]
	var status atomic.Int32
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if f := fail.Load(); f != nil {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(int(status.Load()))
			io.WriteString(w, *f)
			return
		}
		inner.ServeHTTP(w, r)
	}))
	t.Cleanup(upstream.Close)
	url := start(t, Options{Upstream: UpstreamOptions{URL: upstream.URL, APIKey: secret}, Keys: OneKey(key), Native: watermark.StackVLLM})
	for _, c := range []struct {
		status int
		says   string
		want   string
	}{
		{401, "Incorrect API key provided: sk-up…11", keyHidden},
		{400, "the request of " + secret, keyHidden},
		{400, "max_tokens is too large", "max_tokens is too large"},
	} {
		body := fmt.Sprintf(`{"error":{"message":%q}}`, c.says)
		status.Store(int32(c.status))
		fail.Store(&body)
		if a := post(t, url, "/v1/completions", `{"prompt":"a"}`); a.status != c.status || a.errMsg != c.want {
			t.Errorf("%+v, want %q", a, c.want)
		}
	}
}
