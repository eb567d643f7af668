package probe

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stillmark/stillmark/probe/endpoint"
	"github.com/stillmark/stillmark/probe/ledger"
)

// answering is a target without a network: whole replies, but for the n-th request
// (from 1) whatever instead says.
func answering(instead func(n int64) (status int, header http.Header, body string, err error)) http.RoundTripper {
	var n atomic.Int64
	return roundTripper(func(r *http.Request) (*http.Response, error) {
		if r.Body != nil {
			_, _ = io.Copy(io.Discard, r.Body)
			r.Body.Close()
		}
		status, header, body, err := instead(n.Add(1))
		if err != nil {
			return nil, err
		}
		if status == 0 {
			status, body = 200, `{"model":"nova","choices":[{"index":0,"message":{"content":"It is a quiet day by the river."},"finish_reason":"stop"}]}`
		}
		if header == nil {
			header = http.Header{}
		}
		header.Set("Content-Type", "application/json")
		return &http.Response{
			StatusCode: status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: r,
			Header: header, ContentLength: int64(len(body)), Body: io.NopCloser(strings.NewReader(body)),
		}, nil
	})
}

// alone is a plan of one target, not streamed.
func alone(t *testing.T, prompts int) PlanInput {
	t.Helper()
	in := input(t, nowhere, prompts)
	in.Targets, in.Params.Stream = in.Targets[:1], false
	return in
}

// TestWaitsAsAsked runs whole runs at the real pace in no real time: every form of
// Retry-After is obeyed to the second, and one beyond half an hour ends the run.
func TestWaitsAsAsked(t *testing.T) {
	t.Parallel()
	limited := func(header http.Header) (int, http.Header, string, error) {
		return 429, header, `{"error":{"message":"slow down"}}`, nil
	}
	for name, tt := range map[string]struct {
		header func() http.Header
		wait   time.Duration // 0: the run ends
		say    string
	}{
		"seconds":      {func() http.Header { return http.Header{"Retry-After": {"70"}} }, 70 * time.Second, ""},
		"milliseconds": {func() http.Header { return http.Header{"Retry-After-Ms": {"1500"}} }, 1500 * time.Millisecond, ""},
		"a date": {func() http.Header {
			return http.Header{"Retry-After": {time.Now().UTC().Add(5 * time.Minute).Format(http.TimeFormat)}}
		}, 5 * time.Minute, ""},
		"a reset": {func() http.Header {
			return http.Header{"X-Ratelimit-Remaining-Requests": {"0"}, "X-Ratelimit-Reset-Requests": {"6m0s"}}
		}, 6 * time.Minute, ""},
		"29 minutes": {func() http.Header { return http.Header{"Retry-After": {"1740"}} }, 29 * time.Minute, ""},
		"an hour":    {func() http.Header { return http.Header{"Retry-After": {"3600"}} }, 0, "nova asks to wait for 1h00m"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				dir := sealed(t, alone(t, 6))
				opt := RunOptions{Concurrency: 1}
				opt.Endpoint.Transport = answering(func(n int64) (int, http.Header, string, error) {
					if n == 3 || n == 4 {
						return limited(tt.header())
					}
					return 0, nil, "", nil
				})
				begun := time.Now()
				sum, err := Run(t.Context(), dir, opt)
				if tt.wait == 0 {
					wantError(t, err, CodeIncomplete, tt.say, "2 of 6 replies are saved", "Run the same command again later")
					return
				}
				// Two waits; a date is whole seconds.
				if took := time.Since(begun); err != nil || sum.Settled != 6 || sum.Failed[ledger.RateLimited] != 2 || took < 2*tt.wait-2*time.Second || took > 2*tt.wait+2*time.Second {
					t.Errorf("%+v, %v, took %s for two waits of %s", sum, err, took, tt.wait)
				}
			})
		})
	}
}

// TestLimitedForHalfAnHour: a target that never lets anything through ends the run
// after thirty minutes, however short the waits that it asks for.
func TestLimitedForHalfAnHour(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dir := sealed(t, alone(t, 3))
		opt := RunOptions{Concurrency: 1}
		opt.Endpoint.Transport = answering(func(int64) (int, http.Header, string, error) {
			return 429, http.Header{"Retry-After": {"20"}}, `{"error":{"message":"slow down"}}`, nil
		})
		begun := time.Now()
		_, err := Run(t.Context(), dir, opt)
		wantError(t, err, CodeIncomplete, "nova has let nothing through for 30m", "0 of 3 replies are saved")
		if took := time.Since(begun); took < endpoint.MaxRetryAfter || took > endpoint.MaxRetryAfter+time.Minute {
			t.Errorf("took %s", took)
		}
	})
}

// TestRetriesAtTheRealPace: full jitter, at most eight tries or a quarter of an hour,
// then the item is left; twenty failures in a row are an outage, which is probed for a
// minute.
func TestRetriesAtTheRealPace(t *testing.T) {
	t.Parallel()
	t.Run("eight tries", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			in := alone(t, 30)
			dir := sealed(t, in)
			first := ""
			opt := RunOptions{Concurrency: 4}
			opt.Endpoint.Transport = roundTripper(func(r *http.Request) (*http.Response, error) {
				body, _ := io.ReadAll(r.Body)
				r.Body.Close()
				if first == "" {
					first = string(body)
				}
				status := 0
				if string(body) == first {
					status = 500
				}
				return answering(func(int64) (int, http.Header, string, error) { return status, nil, `{"error":{"message":"x"}}`, nil }).RoundTrip(r)
			})
			begun := time.Now()
			sum, err := Run(t.Context(), dir, opt)
			wantError(t, err, CodeIncomplete, "1 of 30 items got no reply after 8 tries each")
			if took := time.Since(begun); sum.Failed[ledger.Transport] != endpoint.MaxTries || took > endpoint.MaxElapsed+10*time.Minute || took < time.Second {
				t.Errorf("%+v in %s", sum, took)
			}
		})
	})
	t.Run("outage", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			dir := sealed(t, alone(t, 40))
			opt := RunOptions{Concurrency: 8}
			opt.Endpoint.Transport = answering(func(n int64) (int, http.Header, string, error) {
				if n > 10 {
					return 503, nil, `{"error":{"message":"down"}}`, nil
				}
				return 0, nil, "", nil
			})
			begun := time.Now()
			sum, err := Run(t.Context(), dir, opt)
			wantError(t, err, CodeUnavailable, "nova answers, but gives no whole reply: HTTP 503: down", "10 of 40 replies are saved")
			if took := time.Since(begun); took < time.Minute || sum.Failed[ledger.Transport] < inARow {
				t.Errorf("%+v in %s", sum, took)
			}
		})
	})
}

// TestUnknownOutcomeIsOnRecord: a request that was never answered may have been
// billed, and the ledger says so.
func TestUnknownOutcomeIsOnRecord(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dir := sealed(t, alone(t, 2))
		var n atomic.Int64
		opt := RunOptions{Concurrency: 1}
		opt.Endpoint.Transport = roundTripper(func(r *http.Request) (*http.Response, error) {
			if n.Add(1) == 1 {
				_, _ = io.Copy(io.Discard, r.Body)
				httptrace.ContextClientTrace(r.Context()).WroteHeaders()
				<-r.Context().Done()
				return nil, r.Context().Err()
			}
			return answering(func(int64) (int, http.Header, string, error) { return 0, nil, "", nil }).RoundTrip(r)
		})
		if sum, err := Run(t.Context(), dir, opt); err != nil || sum.Settled != 2 {
			t.Fatalf("%+v, %v", sum, err)
		}
		a := decode[ledger.Attempt](t, events(t, dir)[ledger.EventAttemptFailed][0])
		if !a.MayBeBilled || a.Outcome != ledger.Transport || a.Detail != "no response within 2m0s" || a.TotalMS != 120_000 {
			t.Errorf("%+v", a)
		}
	})
}

// TestClockJumpsDuringARun: a wall clock that is set while replies come in is on
// record and in the findings, and changes no number.
func TestClockJumpsDuringARun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		in := alone(t, 30)
		dir, ref := sealed(t, in), sealed(t, alone(t, 30))
		opt := RunOptions{Concurrency: 2}
		opt.Endpoint.Transport = answering(func(n int64) (int, http.Header, string, error) {
			time.Sleep(time.Second)
			return 0, nil, "", nil
		})
		begun := time.Now()
		jumping := opt
		jumping.Writer.Now = func() time.Time {
			switch now := time.Now(); {
			case now.Sub(begun) > 8*time.Second:
				return now.Add(-time.Hour)
			case now.Sub(begun) > 4*time.Second:
				return now.Add(3 * time.Second)
			default:
				return now
			}
		}
		if sum, err := Run(t.Context(), dir, jumping); err != nil || sum.Settled != 30 {
			t.Fatalf("%+v, %v", sum, err)
		}
		var jumps []float64
		for _, e := range events(t, dir)[ledger.EventClockJump] {
			jumps = append(jumps, decode[ledger.ClockJump](t, e).Seconds)
		}
		if len(jumps) != 2 || jumps[0] != 3 || jumps[1] != -3603 {
			t.Errorf("jumps of %v s", jumps)
		}
		if _, err := Run(t.Context(), ref, opt); err != nil {
			t.Fatal(err)
		}
		got := findings(t, dir, in.Keys[0].Key)
		if !strings.Contains(strings.Join(got.Deviations, "\n"), "The clock jumped twice.") {
			t.Errorf("%q", got.Deviations)
		}
		sameNumbers(t, got, findings(t, ref, in.Keys[0].Key))
	})
}

// TestRealFullDisk fills a small file system under a run: it stops before anything
// is lost, says so, and goes on once there is room.
func TestRealFullDisk(t *testing.T) {
	t.Parallel()
	disk := t.TempDir()
	// The reserve is 64 MiB; some more for the case, and 8 MiB that others used.
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=76m"); err != nil {
		t.Skipf("a file system cannot be mounted here: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(disk, 0); err != nil {
			t.Error(err)
		}
	})
	ballast := filepath.Join(disk, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 8<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	in := alone(t, 400)
	d, err := NewPlan(in)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(disk, "case")
	if _, err := SealPlan(dir, d, testSigner(), nil); err != nil {
		t.Fatal(err)
	}
	text := strings.Repeat("A quiet morning by the river. ", 800)
	opt := RunOptions{pace: quick, Concurrency: 8}
	opt.Endpoint.Transport = answering(func(int64) (int, http.Header, string, error) {
		return 200, nil, `{"model":"nova","choices":[{"index":0,"message":{"content":"` + text + `"},"finish_reason":"stop"}]}`, nil
	})
	sum, err := Run(t.Context(), dir, opt)
	wantError(t, err, CodeStorage, "the disk is full", "replies are saved", "Free some space, then run the same command again")
	if sum.Settled == 0 || sum.Settled == 400 || sum.Settled != sum.Sent {
		t.Errorf("what was sent was to be saved: %+v", sum)
	}
	kinds := map[string]int{}
	for _, e := range events(t, dir)[ledger.EventFault] {
		kinds[decode[ledger.Fault](t, e).Kind]++
	}
	if kinds[ledger.FaultDiskFull] != 1 {
		t.Errorf("faults on record: %v", kinds)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	sum, err = Run(t.Context(), dir, opt)
	if err != nil || sum.Settled != 400 || sum.Sent != 400 {
		t.Errorf("%+v, %v", sum, err)
	}
	f := findings(t, dir, in.Keys[0].Key)
	if f.Accounting[0].Analysed != 400 || !strings.Contains(fmt.Sprint(f.Deviations), "1 faults of storage are on record.") {
		t.Errorf("%+v, %q", f.Accounting[0], f.Deviations)
	}
}
