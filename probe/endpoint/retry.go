package endpoint

import (
	"hash/fnv"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Limits of the retry loop.
const (
	MaxTries      = 8                // attempts of one item
	MaxElapsed    = 15 * time.Minute // from the first attempt of an item to the last, waits for Retry-After apart
	MaxRetryAfter = 30 * time.Minute // a target that asks for more is not waited for
)

// maxAsked bounds what a header may say, so that sums of durations stay in
// range; beyond MaxRetryAfter nothing depends on it.
const maxAsked = 30 * 24 * time.Hour

// ParseRetryAfter reads how long a target asks to wait: retry-after-ms, then
// Retry-After (seconds, also with a fraction; an HTTP date; 6m0s), then the times
// at which exhausted limits are reset (x-ratelimit-reset-requests and -tokens and
// their kin, as 6m0s, seconds, or a time). The result is not negative and not
// capped to MaxRetryAfter. False means that the headers do not say.
func ParseRetryAfter(h http.Header, now time.Time) (time.Duration, bool) {
	if d, ok := explicitWait(h, now); ok {
		return d, true
	}
	return resetWait(h, now)
}

// explicitWait reads the headers that ask for a wait.
func explicitWait(h http.Header, now time.Time) (time.Duration, bool) {
	if ms, ok := number(h.Get("Retry-After-Ms")); ok {
		return bounded(ms * float64(time.Millisecond)), true
	}
	return parseWait(h.Get("Retry-After"), now)
}

// resetWait reads when limits are reset: the latest of those that are exhausted,
// or, where no header says which are, of all.
func resetWait(h http.Header, now time.Time) (time.Duration, bool) {
	var spent, all time.Duration
	var anySpent, anyAll bool
	for name, values := range h {
		name = strings.ToLower(name)
		if len(values) == 0 || !strings.Contains(name, "ratelimit") || !strings.Contains(name, "reset") {
			continue
		}
		d, ok := parseWait(values[0], now)
		if !ok {
			continue
		}
		all, anyAll = max(all, d), true
		if left, ok := number(h.Get(strings.Replace(name, "reset", "remaining", 1))); ok && left <= 0 {
			spent, anySpent = max(spent, d), true
		}
	}
	if anySpent {
		return spent, true
	}
	return all, anyAll
}

// parseWait reads seconds, a duration, an HTTP or RFC 3339 date, or a Unix time
// in seconds or milliseconds, which as a wait would be decades.
func parseWait(s string, now time.Time) (time.Duration, bool) {
	s = strings.TrimSpace(s)
	if n, ok := number(s); ok {
		switch {
		case n > 1e11:
			return bounded(float64(time.UnixMilli(int64(min(n, 1e15))).Sub(now))), true
		case n > 1e9:
			return bounded(float64(time.Unix(int64(n), 0).Sub(now))), true
		}
		return bounded(n * float64(time.Second)), true
	}
	if d, err := time.ParseDuration(s); err == nil {
		return bounded(float64(d)), true
	}
	t, err := http.ParseTime(s)
	if err != nil {
		t, err = time.Parse(time.RFC3339, s)
	}
	if err != nil {
		return 0, false
	}
	return bounded(float64(t.Sub(now))), true
}

// number reads a plain decimal number; "inf", "nan" and hexadecimal are none.
func number(s string) (float64, bool) {
	s = strings.TrimSpace(s)
	if s == "" || strings.Trim(s, "0123456789.-+eE") != "" {
		return 0, false
	}
	f, err := strconv.ParseFloat(s, 64)
	return f, err == nil
}

func bounded(ns float64) time.Duration {
	return time.Duration(min(max(ns, 0), float64(maxAsked)))
}

// Backoff gives the waits between attempts: full jitter, uniform in
// (0, min(Cap, Base·2^(attempt-1))], which spreads the clients that a fault has
// hit at the same time (M. Brooker, "Exponential Backoff and Jitter", AWS
// Architecture Blog, 2015).
type Backoff struct {
	Base time.Duration // 1 s if zero
	Cap  time.Duration // 60 s if zero
	Seed uint64
}

// Delay is the wait after the given attempt (1, 2, …) of an item failed. It
// depends on seed, item and attempt only, not on the order of calls.
func (b Backoff) Delay(item string, attempt int) time.Duration {
	limit, top := b.Base, b.Cap
	if limit <= 0 {
		limit = time.Second
	}
	if top <= 0 {
		top = time.Minute
	}
	for range attempt - 1 {
		if limit >= top {
			break
		}
		limit *= 2
	}
	limit = min(limit, top)
	h := fnv.New64a()
	_, _ = h.Write([]byte(item))
	rng := rand.New(rand.NewPCG(b.Seed^h.Sum64(), uint64(attempt)))
	return 1 + time.Duration(rng.Int64N(int64(limit)))
}
