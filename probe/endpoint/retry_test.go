package endpoint

import (
	"net/http"
	"testing"
	"time"
)

func TestParseRetryAfter(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		header map[string]string
		want   time.Duration
		ok     bool
	}{
		{nil, 0, false},
		{map[string]string{"Retry-After": ""}, 0, false},
		{map[string]string{"Retry-After": "soon"}, 0, false},
		{map[string]string{"Retry-After": "inf"}, 0, false},
		{map[string]string{"Retry-After": "0x10"}, 0, false},
		{map[string]string{"Retry-After": "0"}, 0, true},
		{map[string]string{"Retry-After": "-3"}, 0, true},
		{map[string]string{"Retry-After": " 120 "}, 2 * time.Minute, true},
		{map[string]string{"Retry-After": "1.5"}, 1500 * time.Millisecond, true},
		{map[string]string{"Retry-After": "6m0s"}, 6 * time.Minute, true},
		{map[string]string{"Retry-After": "17ms"}, 17 * time.Millisecond, true},
		{map[string]string{"Retry-After": "1e300"}, maxAsked, true},
		{map[string]string{"Retry-After": "7200"}, 2 * time.Hour, true},
		{map[string]string{"Retry-After": "Mon, 23 Nov 2026 10:01:30 GMT"}, 90 * time.Second, true},
		{map[string]string{"Retry-After": "Monday, 23-Nov-26 10:01:30 GMT"}, 90 * time.Second, true},
		{map[string]string{"Retry-After": "Mon, 23 Nov 2026 09:00:00 GMT"}, 0, true},
		{map[string]string{"Retry-After-Ms": "250"}, 250 * time.Millisecond, true},
		{map[string]string{"Retry-After-Ms": "250", "Retry-After": "1"}, 250 * time.Millisecond, true},
		{map[string]string{"Retry-After": "2", "X-Ratelimit-Reset-Tokens": "6m0s"}, 2 * time.Second, true},
		{map[string]string{"X-Ratelimit-Reset-Tokens": "6m0s", "X-Ratelimit-Reset-Requests": "1s"}, 6 * time.Minute, true},
		{map[string]string{"X-Ratelimit-Reset-Tokens": "6m0s", "X-Ratelimit-Remaining-Tokens": "12000", "X-Ratelimit-Reset-Requests": "1s", "X-Ratelimit-Remaining-Requests": "0"}, time.Second, true},
		{map[string]string{"X-Ratelimit-Reset": "1795428060"}, time.Minute, true},
		{map[string]string{"X-Ratelimit-Reset": "1795428060000"}, time.Minute, true},
		{map[string]string{"X-Ratelimit-Reset": "30"}, 30 * time.Second, true},
		{map[string]string{"Anthropic-Ratelimit-Requests-Reset": "2026-11-23T10:00:45Z", "Anthropic-Ratelimit-Requests-Remaining": "0"}, 45 * time.Second, true},
		{map[string]string{"X-Ratelimit-Limit-Requests": "60"}, 0, false},
	} {
		h := http.Header{}
		for k, v := range tt.header {
			h.Set(k, v)
		}
		if got, ok := ParseRetryAfter(h, now); got != tt.want || ok != tt.ok {
			t.Errorf("%v: %s %v, want %s %v", tt.header, got, ok, tt.want, tt.ok)
		}
	}
}

func FuzzParseRetryAfter(f *testing.F) {
	for _, s := range []string{"120", "6m0s", "Mon, 23 Nov 2026 10:01:30 GMT", "1e999", "-1", "9223372036854775807h"} {
		f.Add(s, s)
	}
	now := time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, a, b string) {
		d, ok := ParseRetryAfter(http.Header{"Retry-After": {a}, "X-Ratelimit-Reset-Requests": {b}}, now)
		if d < 0 || d > maxAsked || !ok && d != 0 {
			t.Fatalf("%q %q: %s %v", a, b, d, ok)
		}
	})
}

func TestBackoff(t *testing.T) {
	t.Parallel()
	b := Backoff{Seed: 42}
	for attempt, limit := range map[int]time.Duration{1: time.Second, 2: 2 * time.Second, 4: 8 * time.Second, 7: time.Minute, 60: time.Minute, 1 << 20: time.Minute} {
		var sum, most time.Duration
		const n = 2000
		for i := range n {
			d := b.Delay(string(rune(i)), attempt)
			if d <= 0 || d > limit {
				t.Fatalf("attempt %d: %s", attempt, d)
			}
			sum += d
			most = max(most, d)
		}
		// Uniform on (0, limit]: mean 1/2, sd of the mean 0.289/sqrt(2000) = 0.0065.
		if mean := float64(sum) / n / float64(limit); mean < .47 || mean > .53 || float64(most) < .98*float64(limit) {
			t.Errorf("attempt %d: mean %.3f of the limit, most %s", attempt, mean, most)
		}
	}
	same := Backoff{Seed: 42, Base: time.Second, Cap: time.Minute}
	if b.Delay("a", 1) != same.Delay("a", 1) || b.Delay("a", 3) == b.Delay("b", 3) || b.Delay("a", 3) == (Backoff{Seed: 43}).Delay("a", 3) || b.Delay("a", 7) == b.Delay("a", 8) {
		t.Error("a delay must depend on seed, item and attempt, and on nothing else")
	}
	if d := (Backoff{Base: time.Millisecond, Cap: 2 * time.Millisecond}).Delay("a", 9); d > 2*time.Millisecond {
		t.Errorf("%s", d)
	}
}
