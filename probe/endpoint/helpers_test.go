package endpoint

import (
	"context"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/stillmark/stillmark/probe/endpoint/mock"
	"github.com/stillmark/stillmark/probe/ledger"
)

// planted is the key that must appear in no output.
const planted = "sk-planted/7Q\"x+é-KEY=="

// plantedKey is a planted key without characters that no key has.
const plantedKey = "sk-planted/7Qx+KEY-0123456789=="

func start(t testing.TB, opt mock.Options) *mock.Server {
	t.Helper()
	if opt.Models == nil {
		opt.Models = map[string]mock.Generator{"nova": mock.Words{}}
	}
	s, err := mock.New(opt)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func target(url string) ledger.Target {
	return ledger.Target{Name: "acme-nova", Role: ledger.Rival, BaseURL: url, Model: "nova"}
}

func client(t testing.TB, tg ledger.Target, opt Options) *Client {
	t.Helper()
	c, err := New(tg, opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func ptr[T any](v T) *T { return &v }

func request(stream bool) Request {
	return Request{
		Item: "acme-nova/longform/p1/0", Prompt: "tell me a story",
		Params: ledger.Params{MaxTokens: 40, Temperature: ptr(1.0), Seed: ptr(int64(7)), Stream: stream},
	}
}

// roundTripper is a transport made of a function.
type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// response makes a response whose body gives its parts with a pause before each,
// for as long as the request's context lives.
func response(r *http.Request, status int, header http.Header, pause time.Duration, parts ...string) *http.Response {
	pr, pw := io.Pipe()
	go func() {
		for _, p := range parts {
			if err := wait(r.Context(), pause); err != nil {
				pw.CloseWithError(err)
				return
			}
			if _, err := pw.Write([]byte(p)); err != nil {
				return
			}
		}
		pw.Close()
	}()
	if header == nil {
		header = http.Header{}
	}
	return &http.Response{StatusCode: status, Header: header, Body: pr, ContentLength: -1, Request: r}
}

func wait(ctx context.Context, d time.Duration) error {
	if d == 0 {
		return nil
	}
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
