package verify

import (
	"flag"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stillmark/stillmark/reports/verify/integrity"
)

// The figures of the README are measured by
//
//	TMPDIR=/dev/shm go test ./reports/verify -run TestLarge -v -timeout 60m -replies 100000 -decoys 99
var (
	replies = flag.Int("replies", 0, "replies of the case that TestLarge measures; 0: none")
	decoys  = flag.Int("decoys", 99, "decoys of its tests")
)

// peak samples the heap until stop is called, and returns its highest size in MiB:
// what is reachable or not yet swept, under the collector's ordinary settings.
func peak() (stop func() uint64) {
	runtime.GC()
	var highest atomic.Uint64
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			highest.Store(max(highest.Load(), m.HeapAlloc))
			select {
			case <-done:
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	}()
	return func() uint64 {
		close(done)
		<-ended
		return highest.Load() >> 20
	}
}

// A case of a hundred thousand replies verifies in minutes, with memory that does not
// grow with the bytes of the replies.
func TestLarge(t *testing.T) {
	if *replies == 0 {
		t.Skip("it takes minutes: give -replies")
	}
	start := time.Now()
	f := build(t, design{prompts: *replies / 2, tokens: 120, decoys: *decoys, noStamps: true, noPaperKey: true})
	t.Logf("%d replies, %d decoys: made in %.0f s", *replies, *decoys, time.Since(start).Seconds())
	for _, path := range []string{f.dir, f.zip} {
		start, stop := time.Now(), peak()
		p := must[*integrity.Package](t)(integrity.Open(path))
		s := must[*integrity.Sealed](t)(integrity.Check(p))
		t.Logf("integrity: %.1f s, heap %d MiB at most (%d events, %d blocks, %d MiB)", time.Since(start).Seconds(), stop(), s.Ledger.Events, s.Blobs, p.Bytes>>20)
		p.Close()
		start, stop = time.Now(), peak()
		r := f.verify(t, path, f.trust())
		t.Logf("verified: %.1f s, heap %d MiB at most: %s", time.Since(start).Seconds(), stop(), r.Verdict)
		if r.State != Trusted {
			t.Errorf("%s", text(t, r))
		}
	}
}
