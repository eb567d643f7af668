package endpoint

import (
	"net/http"
	"time"
)

// Limits of the retry loop.
const (
	MaxTries      = 8                // attempts of one item
	MaxElapsed    = 15 * time.Minute // from the first attempt of an item to the last, waits for Retry-After apart
	MaxRetryAfter = 30 * time.Minute // a target that asks for more is not waited for
)

// ParseRetryAfter reads how long a target asks to wait.
func ParseRetryAfter(h http.Header, now time.Time) (time.Duration, bool) { return 0, false }

// Backoff gives the waits between attempts: full jitter, uniform in
// (0, min(Cap, Base·2^(attempt-1))].
type Backoff struct {
	Base time.Duration // 1 s if zero
	Cap  time.Duration // 60 s if zero
	Seed uint64
}

// Delay is the wait after the given attempt (1, 2, …) of an item failed. It
// depends on seed, item and attempt only, not on the order of calls.
func (b Backoff) Delay(item string, attempt int) time.Duration { return 0 }
