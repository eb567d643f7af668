package endpoint

import (
	"container/list"
	"context"
	"sync"
	"time"

	"github.com/stillmark/stillmark/probe/ledger"
)

// AIMD limits the attempts under way at a target. The first round of successes
// only measures; then, as TCP does, it doubles the limit with every round until the first sign of overload, halves
// it there, and adds one per round after that. Signs of attempts that were under
// way when the limit was halved do not halve it again.
//
// Not every server says 429: many queue, and then time out. So, as TCP Vegas
// does (Brakmo and Peterson, 1995), the limit does not grow while attempts take
// more than twice as long as in their best time (the server is busy, and more
// requests would only wait longer), and is halved when they take over four times
// as long, though not below where it began: a server that became slower for good
// is still asked.
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
	limited   bool      // a sign of overload was seen
	took      float64   // seconds of a successful attempt, moving average
	best      float64   // least took since averaging began; 0 before
	first     int       // attempts of the first round
	successes int
}

// How the duration of attempts is averaged: over about eight of them, replies
// being of different lengths, and a limit that grows only while the average is
// below twice its best value keeps at most about as many requests queued as are
// being served.
const (
	tookShare = 1. / 8
	busyRatio = 2
	overRatio = 4
)

// NewAIMD makes a controller that starts at start and never exceeds most. Both
// are at least 1.
func NewAIMD(start, most int) *AIMD {
	most = max(most, 1)
	start = min(max(start, 1), most)
	return &AIMD{limit: float64(start), most: float64(most), first: start}
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
		a.halve(s.start)
	case ledger.OK, ledger.Filtered, ledger.Refused, ledger.Empty, ledger.Exhausted:
		a.observe(time.Since(s.start).Seconds())
		switch {
		case a.best > 0 && a.took > overRatio*a.best && int(a.limit) > a.first:
			a.halve(s.start)
		case a.successes <= a.first && !a.limited, a.full.Before(s.start), a.took > busyRatio*a.best:
		case a.limited:
			a.limit = min(a.most, a.limit+1/a.limit)
		default:
			a.limit = min(a.most, a.limit+1)
		}
	}
	a.wake()
}

// Overloaded gives the slot back after an attempt that the target was too busy
// for: no answer in time, 503, 529. It counts like a 429.
func (s *Slot) Overloaded() { s.Release(ledger.RateLimited) }

// halve halves the limit, unless it was halved since the attempt began.
func (a *AIMD) halve(begun time.Time) {
	if begun.After(a.halved) || !a.limited {
		a.limit = max(1, a.limit/2)
		a.halved, a.limited = time.Now(), true
	}
}

// observe takes the duration of a successful attempt into the average.
func (a *AIMD) observe(seconds float64) {
	if a.successes++; a.successes == 1 {
		a.took = seconds
	}
	a.took += tookShare * (seconds - a.took)
	if a.successes >= a.first && (a.best == 0 || a.took < a.best) {
		a.best = a.took
	}
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
