package endpoint

import (
	"container/list"
	"context"
	"sync"
	"time"

	"github.com/stillmark/stillmark/probe/ledger"
)

// AIMD limits the attempts under way at a target. As TCP does, it doubles the
// limit with every round of successes until the first 429, halves it at a 429,
// and adds one per round after that. 429s of attempts that were under way when
// the limit was halved do not halve it again.
//
// It is safe for concurrent use; slots are given in the order of asking.
type AIMD struct {
	mu        sync.Mutex
	limit     float64
	most      float64
	inFlight  int
	waiting   list.List // of chan struct{}
	heldUntil time.Time
	full      time.Time // when the limit was reached last: one that is not reached proves nothing
	halved    time.Time // when the limit was halved last
	limited   bool      // a 429 was seen
}

// NewAIMD makes a controller that starts at start and never exceeds most. Both
// are at least 1.
func NewAIMD(start, most int) *AIMD {
	most = max(most, 1)
	return &AIMD{limit: float64(min(max(start, 1), most)), most: float64(most)}
}

// Slot is permission for one attempt.
type Slot struct {
	a     *AIMD
	start time.Time
	done  bool
}

// Acquire waits for a slot, and for the end of a hold. The error is that of ctx.
func (a *AIMD) Acquire(ctx context.Context) (*Slot, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	a.mu.Lock()
	if a.waiting.Len() == 0 && a.free() {
		a.grant()
		a.mu.Unlock()
		return &Slot{a: a, start: time.Now()}, nil
	}
	granted := make(chan struct{})
	place := a.waiting.PushBack(granted)
	a.mu.Unlock()
	select {
	case <-granted:
		return &Slot{a: a, start: time.Now()}, nil
	case <-ctx.Done():
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	select {
	case <-granted: // at the same moment: give it back
		a.inFlight--
		a.wake()
	default:
		a.waiting.Remove(place)
	}
	return nil, ctx.Err()
}

// free reports whether an attempt may start now.
func (a *AIMD) free() bool {
	return a.inFlight < int(a.limit) && !time.Now().Before(a.heldUntil)
}

// grant counts an attempt as under way.
func (a *AIMD) grant() {
	if a.inFlight++; a.inFlight >= int(a.limit) {
		a.full = time.Now()
	}
}

// wake gives slots to those who wait.
func (a *AIMD) wake() {
	for a.waiting.Len() > 0 && a.free() {
		a.grant()
		close(a.waiting.Remove(a.waiting.Front()).(chan struct{}))
	}
}

// Release gives the slot back and tells how its attempt ended. Outcomes that say
// nothing about load (transport errors, rejections, cancellation) leave the limit
// alone. Releasing twice does nothing.
func (s *Slot) Release(o ledger.Outcome) {
	a := s.a
	a.mu.Lock()
	defer a.mu.Unlock()
	if s.done {
		return
	}
	s.done = true
	if a.inFlight >= int(a.limit) {
		a.full = time.Now()
	}
	a.inFlight--
	switch o {
	case ledger.RateLimited:
		if s.start.After(a.halved) || !a.limited {
			a.limit = max(1, a.limit/2)
			a.halved, a.limited = time.Now(), true
		}
	case ledger.OK, ledger.Filtered, ledger.Refused, ledger.Empty, ledger.Exhausted:
		switch {
		case a.full.Before(s.start):
		case a.limited:
			a.limit = min(a.most, a.limit+1/a.limit)
		default:
			a.limit = min(a.most, a.limit+1)
		}
	}
	a.wake()
}

// Hold lets no attempt start for d: what a Retry-After asks for. Holds do not
// add up; the longest stands.
func (a *AIMD) Hold(d time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	until := time.Now().Add(d)
	if d <= 0 || until.Before(a.heldUntil) {
		return
	}
	a.heldUntil = until
	time.AfterFunc(d, func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.wake()
	})
}

// State is the limit in force and the attempts under way.
func (a *AIMD) State() (limit, inFlight int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return int(a.limit), a.inFlight
}
