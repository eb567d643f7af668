package watermark

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// Step is the next step of one reply in a batch.
type Step struct {
	Request *Request
	// IDs are the candidates that Logits belong to; nil for the whole vocabulary.
	IDs    []int32
	Logits []float32
}

// Batcher marks the steps of many replies at once, on several processors: with
// continuous batching a server has a step of every reply at the same time. It does
// not allocate. Process is for one goroutine; Close ends the workers.
type Batcher struct {
	steps   []Step
	next    atomic.Int64
	wake    chan struct{}
	working sync.WaitGroup
	helpers int
}

// NewBatcher starts a batcher of some workers, one for each processor if 0. The
// caller of Process is one of them.
func NewBatcher(workers int) *Batcher {
	if workers <= 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	b := &Batcher{wake: make(chan struct{}), helpers: workers - 1}
	for range b.helpers {
		go func() {
			for range b.wake {
				b.work()
				b.working.Done()
			}
		}()
	}
	return b
}

// Process marks every step, each as its Request's Process or ProcessCandidates does;
// the result is the same on any number of workers. No two steps are of one Request.
func (b *Batcher) Process(steps []Step) {
	b.steps = steps
	b.next.Store(0)
	helpers := min(b.helpers, len(steps)-1)
	for range helpers {
		b.working.Add(1)
		b.wake <- struct{}{}
	}
	b.work()
	b.working.Wait()
	b.steps = nil
}

func (b *Batcher) work() {
	for {
		i := int(b.next.Add(1) - 1)
		if i >= len(b.steps) {
			return
		}
		s := &b.steps[i]
		if s.IDs != nil {
			s.Request.ProcessCandidates(s.IDs, s.Logits)
		} else {
			s.Request.Process(s.Logits)
		}
	}
}

// Close ends the workers.
func (b *Batcher) Close() { close(b.wake) }
