package model

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stillmark/stillmark/probe/family"
	"github.com/stillmark/stillmark/probe/ledger"
)

// Events that an opponent would ask about are worded, whoever wrote them.
func TestNotedEvents(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		typ  string
		data any
		want string
	}{
		{ledger.EventDrift, family.DriftEvent{Target: "nova", Field: "model", From: "a", To: "b"}, `The target changed. nova: model was "a" and became "b".`},
		{ledger.EventPause, family.PauseEvent{Target: "nova", Reason: "rate limit", WaitMS: 2500}, "Collection paused. nova: rate limit, for 2.5s."},
		{ledger.EventResume, family.SessionEvent{Kind: family.KindTarget, Target: "nova"}, "Collection resumed. nova answers again."},
		{ledger.EventResume, family.SessionEvent{Kind: family.KindSession, Number: 2, Settled: 1234}, "A run of the program began. Number 2; 1,234 settled before it."},
		{ledger.EventConfigChange, family.SessionEvent{Kind: family.KindSession, Number: 1, Changed: []string{"on-drift", "cap"}}, "A run of the program began. Number 1; 0 settled before it. Changed: on-drift and cap."},
		{ledger.EventStop, family.StopEvent{Reason: "complete", Settled: 9, Missing: 1}, "Collection ended. Reason: complete; 9 settled, 1 missing."},
		{ledger.EventClockJump, ledger.ClockJump{Seconds: -3.25}, "The wall clock jumped against the monotonic clock. By -3.2 s."},
		{ledger.EventFault, ledger.Fault{Kind: "torn_line", Detail: "gone"}, "A fault was recorded. torn_line: gone"},
		{ledger.EventFault, "garbage", `A fault was recorded. "garbage"`},
		{"unheard-of", nil, "unheard-of"},
	} {
		data, err := json.Marshal(c.data)
		if err != nil {
			t.Fatal(err)
		}
		r := &record{text: english()}
		r.note(ledger.Event{Type: c.typ, Data: data})
		if got := r.noted[0].Text; got != c.want {
			t.Errorf("%s: %q, want %q", c.typ, got, c.want)
		}
	}
	r := &record{text: english()}
	for range maxNoted + 7 {
		r.note(ledger.Event{Type: ledger.EventPause, Data: json.RawMessage(`{}`)})
	}
	if len(r.noted) != maxNoted || r.unnoted != 7 {
		t.Errorf("%d noted, %d counted", len(r.noted), r.unnoted)
	}
}

func TestFingerprintTimeline(t *testing.T) {
	t.Parallel()
	s := &seen{}
	at := time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC)
	for i, fingerprint := range []string{"a", "a", "b", "b", "b", "a"} {
		s.epoch(at.Add(time.Duration(i)*time.Second), "m", fingerprint, "")
	}
	if len(s.epochs) != 3 || s.changes() != 2 || s.epochs[1].Replies != 3 || !s.epochs[1].To.Equal(at.Add(4*time.Second)) {
		t.Errorf("%+v", s.epochs)
	}
	for i := range 3 * maxEpochs {
		s.epoch(at, "m", strings.Repeat("x", 1+i%2), "")
	}
	if len(s.epochs) != maxEpochs || s.changes() < 3*maxEpochs {
		t.Errorf("%d stretches, %d changes", len(s.epochs), s.changes())
	}
}

func TestParametersAsSent(t *testing.T) {
	t.Parallel()
	r := &record{text: english(), variants: map[string]int64{}}
	r.sent([]byte(`{"model":"m","messages":[],"temperature":0,"seed":1,"max_tokens":5}`))
	r.sent([]byte(`{"max_tokens":5,"seed":2,"model":"n","temperature":0,"messages":[{"x":1}]}`))
	r.sent([]byte(`not JSON`))
	if r.variants[`{"max_tokens":5,"temperature":0}`] != 2 || r.variants["not a JSON object"] != 1 || len(r.variants) != 2 {
		t.Errorf("%v", r.variants)
	}
}

func TestMedian(t *testing.T) {
	t.Parallel()
	for want, v := range map[float64][]float64{0: nil, 2: {3, 1, 2}, 2.5: {4, 1, 2, 3}} {
		if got := median(v); got != want {
			t.Errorf("median(%v) = %v", v, got)
		}
	}
}
