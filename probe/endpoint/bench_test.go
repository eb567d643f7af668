package endpoint

import (
	"fmt"
	"testing"

	"github.com/stillmark/stillmark/probe/endpoint/mock"
	"github.com/stillmark/stillmark/probe/ledger"
)

// BenchmarkSend sends requests for replies of 40 tokens to a mock server on
// loopback, client and server on the same cores.
func BenchmarkSend(b *testing.B) {
	s := start(b, mock.Options{})
	c := client(b, target(s.URL()), Options{})
	for _, stream := range []bool{false, true} {
		b.Run(fmt.Sprintf("stream=%v", stream), func(b *testing.B) {
			b.ReportAllocs()
			b.SetParallelism(16)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if a := c.Send(b.Context(), request(stream)); a.Meta.Outcome != ledger.OK {
						b.Error(a.Meta)
						return
					}
				}
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "req/s")
		})
	}
}
