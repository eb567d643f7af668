package probe

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stillmark/stillmark/probe/ledger"
)

// timed plans six prompts, of which p0002 to p0005 are put in two slots of an hour.
func timed(t *testing.T, start time.Time) string {
	t.Helper()
	in := alone(t, 6)
	in.Put = func(q *ledger.Prompt) {
		if q.ID >= "p0002" {
			slot := time.Duration(q.ID[4]-'2') / 2
			q.NotBefore = start.Add(slot * time.Hour).UTC()
			q.NotAfter = q.NotBefore.Add(50 * time.Minute)
		}
	}
	return sealed(t, in)
}

// TestAskedAtTheirTime: what is to be asked at set times waits for them, and holds
// nothing else up.
func TestAskedAtTheirTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		dir := timed(t, begun.Add(time.Hour))
		opt := RunOptions{Concurrency: 2}
		opt.Endpoint.Transport = answering(func(n int64) (int, http.Header, string, error) {
			if n == 4 { // the first of slot 1 is tried again, in time
				return 503, nil, `{"error":{"message":"busy"}}`, nil
			}
			return 0, nil, "", nil
		})
		notes := map[string]bool{}
		opt.Progress = func(s Status) {
			if s.Phase == PhaseWaiting {
				notes[s.Note] = true
			}
		}
		sum, err := Run(t.Context(), dir, opt)
		if err != nil || sum.Settled != 6 {
			t.Fatalf("%+v, %v", sum, err)
		}
		if took := time.Since(begun); took < 2*time.Hour || took > 2*time.Hour+time.Minute {
			t.Errorf("took %s", took)
		}
		for _, e := range events(t, dir)[ledger.EventReply] {
			after := e.Time.Sub(begun)
			var want time.Duration
			switch {
			case strings.Contains(e.Item, "p0002"), strings.Contains(e.Item, "p0003"):
				want = time.Hour
			case strings.Contains(e.Item, "p0004"), strings.Contains(e.Item, "p0005"):
				want = 2 * time.Hour
			}
			if after < want || after > want+time.Minute {
				t.Errorf("%s after %s, want %s", e.Item, after, want)
			}
		}
		if want := "the next prompts are put at " + begun.Add(2*time.Hour).UTC().Format(time.DateTime) + " UTC"; !notes[want] {
			t.Errorf("%q is not among %v", want, notes)
		}
	})
}

// TestMissedTheirTime: what was not asked at its time is missing for good.
func TestMissedTheirTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		dir := timed(t, begun.Add(time.Hour))
		opt := RunOptions{Concurrency: 2}
		opt.Endpoint.Transport = answering(func(int64) (int, http.Header, string, error) { return 0, nil, "", nil })
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(30*time.Minute, cancel)
		sum, err := Run(ctx, dir, opt)
		wantError(t, err, CodeInterrupted, "2 of 6 replies are saved")
		if sum.Settled != 2 {
			t.Errorf("%+v", sum)
		}
		time.Sleep(time.Until(begun.Add(110 * time.Minute))) // slot 1 is over
		sum, err = Run(t.Context(), dir, opt)
		wantError(t, err, CodeIncomplete, "2 of 6 items were not asked at their time", "They cannot be asked later")
		if sum.Settled != 4 || time.Since(begun) < 2*time.Hour {
			t.Errorf("%+v after %s", sum, time.Since(begun))
		}
		again, err := Run(t.Context(), dir, opt)
		wantError(t, err, CodeIncomplete, "not asked at their time")
		if again.SentNow != 0 {
			t.Errorf("%+v", again)
		}
	})
}
