package gateway

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stillmark/stillmark/watermark"
)

const sglangKey = "1122334455667788"

// sglangServer marks under sglangKey; what wrap answers, it does not see.
func sglangServer(t *testing.T, k *watermark.Key, wrap func(w http.ResponseWriter, body string) bool) string {
	t.Helper()
	inner := &marking{t: t, keys: map[string]watermark.Scheme{sglangKey: markOf(t, k)}}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		if wrap(w, string(body)) {
			return
		}
		r.Body = io.NopCloser(strings.NewReader(string(body)))
		inner.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// A refusal of the upstream repeats the request in whatever form: no client sees the
// watermark key in it.
func TestNativeRefusalHidesTheKey(t *testing.T) {
	t.Parallel()
	key := imported(t, "sglang-gumbel", "0x"+sglangKey)
	var status atomic.Int32
	upstream := sglangServer(t, key, func(w http.ResponseWriter, body string) bool {
		if status.Load() == 0 || body == "" {
			return false
		}
		w.Header().Set("Content-Encoding", "gzip")
		w.Header().Set("Retry-After", "7")
		w.Header().Set("X-Request", strings.ReplaceAll(body, "\n", " "))
		w.WriteHeader(int(status.Load()))
		z := gzip.NewWriter(w)
		io.WriteString(z, body)
		z.Close()
		return true
	})
	url := start(t, Options{Upstream: UpstreamOptions{URL: upstream}, Keys: OneKey(key), Native: watermark.StackSGLang})
	for _, code := range []int32{400, 422, 500} {
		status.Store(code)
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/v1/completions", strings.NewReader(`{"prompt":"a"}`))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Accept-Encoding", "gzip")
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		var reader io.Reader = response.Body
		if response.Header.Get("Content-Encoding") == "gzip" {
			if reader, err = gzip.NewReader(reader); err != nil {
				t.Fatal(err)
			}
		}
		data, err := io.ReadAll(reader)
		response.Body.Close()
		if err != nil || response.StatusCode != int(code) || !strings.Contains(string(data), keyHidden) || response.Header.Get("Retry-After") != "7" {
			t.Errorf("HTTP %d %v %s %v", response.StatusCode, response.Header, data, err)
		}
		if whole := fmt.Sprint(response.Header, string(data)); strings.Contains(whole, sglangKey) {
			t.Errorf("the key is in %s", whole)
		}
	}
}

// While one key's mark is looked for, other cohorts are served; those who wait are one
// look's, and leave when they like; a look that failed is not repeated at once.
func TestNativeLooks(t *testing.T) {
	t.Parallel()
	good, late := imported(t, "sglang-gumbel", "0x"+sglangKey), imported(t, "sglang-gumbel", "0x99aabbccddeeff00")
	var asked atomic.Int32
	release := make(chan struct{})
	upstream := sglangServer(t, good, func(_ http.ResponseWriter, body string) bool {
		if strings.Contains(body, "99aabbccddeeff00") {
			asked.Add(1)
			<-release // then it is refused as not known
		}
		return false
	})
	var more atomic.Bool
	few := accounts(t, "key_sha256,cohort\n"+hashOf("good")+",good\n")
	all := accounts(t, "key_sha256,cohort\n"+hashOf("good")+",good\n"+hashOf("late")+",late\n")
	keys := OneKey(good)
	keys.serving = func(cohort string, _ time.Time) (*watermark.Key, error) {
		k := good
		if cohort == "late" {
			k = late
		}
		labelled := *k
		labelled.Label = cohort
		return &labelled, nil
	}
	s, err := New(t.Context(), Options{
		Upstream: UpstreamOptions{URL: upstream}, Keys: keys, Native: watermark.StackSGLang, Tokenizer: encoding(),
		Accounts: func() *Accounts {
			if more.Load() {
				return all()
			}
			return few()
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	h := httptest.NewServer(s)
	t.Cleanup(h.Close)
	more.Store(true)
	const body = `{"prompt":"The harbour","max_tokens":5}`
	waiting := make(chan answer, 3)
	for range cap(waiting) {
		go func() { waiting <- postAs(t, h.URL, "/v1/completions", body, "late") }()
	}
	for deadline := time.Now().Add(10 * time.Second); len(s.slots) < cap(waiting) || asked.Load() == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("nobody looks")
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := s.native.look(s, late, nil).wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("who waits does not leave: %v", err)
	}
	if a := postAs(t, h.URL, "/v1/completions", body, "good"); a.status != 200 {
		t.Errorf("%+v", a)
	}
	close(release)
	for range cap(waiting) {
		if a := <-waiting; a.status != 503 {
			t.Errorf("%+v", a)
		}
	}
	if a := postAs(t, h.URL, "/v1/completions", body, "late"); a.status != 503 || asked.Load() != 1 {
		t.Errorf("%d looks, %+v", asked.Load(), a)
	}
	s.native.looks[late.ID].ended = time.Now().Add(-lookAgain - time.Second)
	if a := postAs(t, h.URL, "/v1/completions", body, "late"); a.status != 503 || asked.Load() != 2 {
		t.Errorf("later: %d looks, %+v", asked.Load(), a)
	}
}

// A client that does not read gives its place back.
func TestNativeClientDoesNotRead(t *testing.T) {
	t.Parallel()
	key := imported(t, "sglang-gumbel", "0x"+sglangKey)
	chunk := make([]byte, 64<<10)
	upstream := sglangServer(t, key, func(w http.ResponseWriter, body string) bool {
		if !strings.Contains(body, "endless") {
			return false
		}
		for {
			if _, err := w.Write(chunk); err != nil {
				return true
			}
		}
	})
	var log lockedBuffer
	h := startServer(t, Options{
		Upstream: UpstreamOptions{URL: upstream}, Keys: OneKey(key), Native: watermark.StackSGLang,
		ClientTimeout: 200 * time.Millisecond, Log: slog.New(slog.NewJSONHandler(&log, nil)),
	})
	c, err := net.Dial("tcp", h.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	const body = `{"prompt":"endless","stream":true}`
	fmt.Fprintf(c, "POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	for deadline := time.Now().Add(10 * time.Second); !strings.Contains(log.String(), `"status":499`); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("its place is still taken: %s", log.String())
		}
	}
}

// A mark was seen on one model: another is refused as it is without --native.
func TestNativeOtherModel(t *testing.T) {
	t.Parallel()
	key := imported(t, "sglang-gumbel", "0x"+sglangKey)
	upstream := sglangServer(t, key, func(_ http.ResponseWriter, body string) bool {
		if strings.Contains(body, `"other"`) {
			t.Error("the upstream was asked for another model")
		}
		return false
	})
	url := start(t, Options{Upstream: UpstreamOptions{URL: upstream}, Keys: OneKey(key), Native: watermark.StackSGLang})
	if a := post(t, url, "/v1/completions", `{"model":"other","prompt":"a"}`); a.status != 404 || !strings.Contains(a.errMsg, "there is nova") {
		t.Errorf("%+v", a)
	}
	if a := post(t, url, "/v1/completions", `{"model":"nova","prompt":"a","max_tokens":2}`); a.status != 200 {
		t.Errorf("%+v", a)
	}
}
