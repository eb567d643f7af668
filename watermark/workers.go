package watermark

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
)

// spread does n pieces of work on all processors. start makes the work function
// of one goroutine, with what scratch it needs; piece i writes to slot i only, so
// that the result does not depend on who did what. The first error ends the rest.
// progress, if set, is called with the number done, one call at a time.
func spread(ctx context.Context, n int, progress func(done int), start func(ctx context.Context) func(i int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var (
		next    atomic.Int64
		mu      sync.Mutex
		done    int
		workers sync.WaitGroup
	)
	for range min(runtime.GOMAXPROCS(0), n) {
		workers.Go(func() {
			work := start(ctx)
			for ctx.Err() == nil {
				i := int(next.Add(1) - 1)
				if i >= n {
					return
				}
				if err := work(i); err != nil {
					cancel(err)
					return
				}
				if progress != nil {
					mu.Lock()
					done++
					progress(done)
					mu.Unlock()
				}
			}
		})
	}
	workers.Wait()
	return context.Cause(ctx)
}
