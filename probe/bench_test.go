package probe

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stillmark/stillmark/probe/ledger"
)

// BenchmarkRun is what the runner costs per reply on top of the target: two
// fsync'd events, two blobs, the recorder and the decoder. The target answers at
// once and is reached without a network.
func BenchmarkRun(b *testing.B) {
	reply := `{"id":"r","object":"chat.completion","model":"nova","choices":[{"index":0,"message":{"role":"assistant","content":"` +
		strings.Repeat("A quiet morning by the river. ", 60) + `"},"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":400,"total_tokens":409}}`
	target := roundTripper(func(r *http.Request) (*http.Response, error) {
		if r.Body != nil {
			_, _ = io.Copy(io.Discard, r.Body)
			r.Body.Close()
		}
		return &http.Response{
			StatusCode: 200, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: r,
			Header: http.Header{"Content-Type": {"application/json"}}, ContentLength: int64(len(reply)), Body: io.NopCloser(strings.NewReader(reply)),
		}, nil
	})
	for _, concurrency := range []int{1, 16, 256} {
		b.Run(fmt.Sprintf("concurrency=%d", concurrency), func(b *testing.B) {
			in := input(b, nowhere, b.N)
			in.Targets = in.Targets[:1]
			in.Params.Stream = false
			dir := sealed(b, in)
			opt := RunOptions{Concurrency: concurrency, pace: quick}
			opt.Endpoint.Transport = target
			b.ReportAllocs()
			b.ResetTimer()
			begun := time.Now()
			sum, err := Run(b.Context(), dir, opt)
			if err != nil || sum.Classes[ledger.OK] != int64(b.N) {
				b.Fatalf("%+v, %v", sum, err)
			}
			b.ReportMetric(float64(b.N)/time.Since(begun).Seconds(), "replies/s")
		})
	}
}
