package endpoint

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stillmark/stillmark/probe/ledger"
)

// take acquires n slots that must be free.
func take(t *testing.T, a *AIMD, n int) []*Slot {
	t.Helper()
	var slots []*Slot
	for range n {
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		s, err := a.Acquire(ctx)
		cancel()
		if err != nil {
			t.Fatalf("slot %d of %d: %v", len(slots)+1, n, err)
		}
		slots = append(slots, s)
	}
	return slots
}

func release(slots []*Slot, o ledger.Outcome) {
	for _, s := range slots {
		s.Release(o)
	}
}

func limit(a *AIMD) int {
	l, _ := a.State()
	return l
}

func TestAIMD(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := NewAIMD(2, 16)
		// Slow start: after the first round, which measures, a round of successes
		// doubles the limit.
		var rounds []int
		for range 4 {
			slots := take(t, a, limit(a))
			time.Sleep(time.Second)
			release(slots, ledger.OK)
			rounds = append(rounds, limit(a))
		}
		if want := []int{2, 4, 8, 16}; !slices.Equal(rounds, want) {
			t.Errorf("rounds %v", rounds)
		}
		// A burst of 429s halves once.
		time.Sleep(time.Second)
		slots := take(t, a, 16)
		time.Sleep(time.Second)
		release(slots[:8], ledger.RateLimited)
		if limit(a) != 8 {
			t.Errorf("after a burst: %d", limit(a))
		}
		// A later 429 halves again; those of before do not.
		time.Sleep(time.Second)
		release(slots[8:], ledger.RateLimited)
		if limit(a) != 8 {
			t.Errorf("old attempts halved the limit: %d", limit(a))
		}
		slots = take(t, a, 8)
		time.Sleep(time.Second)
		release(slots, ledger.RateLimited)
		if limit(a) != 4 {
			t.Errorf("after a second burst: %d", limit(a))
		}
		// Additive increase: one per round.
		for want := 5; want <= 7; want++ {
			for range 2 { // the fraction may need a second round
				release(take(t, a, limit(a)), ledger.OK)
				if limit(a) >= want {
					break
				}
			}
			if limit(a) != want {
				t.Errorf("limit %d, want %d", limit(a), want)
			}
		}
		// A limit that is not reached does not grow.
		time.Sleep(time.Second)
		for range 50 {
			time.Sleep(time.Second)
			release(take(t, a, 2), ledger.OK)
		}
		if limit(a) != 7 {
			t.Errorf("an idle limit grew to %d", limit(a))
		}
		// Never below one; other faults leave it alone.
		for range 9 {
			time.Sleep(time.Second)
			release(take(t, a, 1), ledger.RateLimited)
		}
		if limit(a) != 1 {
			t.Errorf("limit %d", limit(a))
		}
		release(take(t, a, 1), ledger.Transport)
		if limit(a) != 1 {
			t.Errorf("a transport error changed the limit to %d", limit(a))
		}
		s := take(t, a, 1)[0]
		s.Release(ledger.OK)
		s.Release(ledger.OK)
		if l, n := a.State(); n != 0 || l != 2 {
			t.Errorf("limit %d, %d in flight", l, n)
		}
	})
}

func TestAIMDOrderAndCancel(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := NewAIMD(1, 1)
		first := take(t, a, 1)[0]
		var order []int
		ctx, cancel := context.WithCancel(t.Context())
		for i := range 4 {
			go func() {
				c := t.Context()
				if i == 1 {
					c = ctx
				}
				s, err := a.Acquire(c)
				if err != nil {
					if !errors.Is(err, context.Canceled) || i != 1 {
						t.Errorf("%d: %v", i, err)
					}
					return
				}
				order = append(order, i)
				time.Sleep(time.Second)
				s.Release(ledger.OK)
			}()
			synctest.Wait()
		}
		cancel()
		synctest.Wait()
		first.Release(ledger.OK)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if len(order) != 3 || order[0] != 0 || order[1] != 2 || order[2] != 3 {
			t.Errorf("order %v", order)
		}
		if _, err := a.Acquire(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
		if _, n := a.State(); n != 0 {
			t.Errorf("%d in flight", n)
		}
	})
}

func TestHold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := NewAIMD(2, 2)
		begin := time.Now()
		a.Hold(70 * time.Second)
		a.Hold(5 * time.Second) // the longer one stands
		a.Hold(-time.Second)
		slots := make(chan *Slot)
		for range 2 {
			go func() {
				s, err := a.Acquire(t.Context())
				if err != nil {
					t.Error(err)
				}
				slots <- s
			}()
		}
		for range 2 {
			(<-slots).Release(ledger.OK)
		}
		if d := time.Since(begin); d != 70*time.Second {
			t.Errorf("held for %s", d)
		}
	})
}

// TestAIMDQueueingServer models a server that works on two requests at a time,
// queues the rest and never says 429: the limit stops growing soon after the
// server is busy, instead of running into its time-outs.
func TestAIMDQueueingServer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const capacity, service = 2, 3 * time.Second
		a := NewAIMD(2, 256)
		work := make(chan struct{}, capacity)
		var wg sync.WaitGroup
		for range 400 {
			wg.Go(func() {
				slot, err := a.Acquire(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				work <- struct{}{}
				time.Sleep(service)
				<-work
				slot.Release(ledger.OK)
			})
		}
		wg.Wait()
		if l := limit(a); l > 4*capacity || l < capacity {
			t.Errorf("limit %d at a server that serves %d at a time", l, capacity)
		}
	})
}

// TestAIMDOverloaded: an attempt that was never answered counts like a 429.
func TestAIMDOverloaded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := NewAIMD(16, 64)
		time.Sleep(time.Second)
		slots := take(t, a, 16)
		time.Sleep(time.Minute)
		for _, s := range slots {
			s.Overloaded()
		}
		if l := limit(a); l != 8 {
			t.Errorf("limit %d after a round without answers, want it halved once to 8", l)
		}
	})
}

func TestExitCodes(t *testing.T) {
	t.Parallel()
	if code := (&ConfigError{}).ExitCode(); code != 2 {
		t.Errorf("configuration error has exit code %d", code)
	}
	for outcome, want := range map[ledger.Outcome]int{
		ledger.Auth: 21, ledger.Quota: 22, ledger.RateLimited: 20, ledger.Rejected: 2,
		ledger.Cancelled: 130, ledger.Transport: 25, ledger.Malformed: 25, ledger.Truncated: 25,
	} {
		if code := (&TargetError{Outcome: outcome}).ExitCode(); code != want {
			t.Errorf("%s has exit code %d, want %d", outcome, code, want)
		}
	}
}
