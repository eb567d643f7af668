package probe

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stillmark/stillmark/probe/endpoint/mock"
	"github.com/stillmark/stillmark/probe/family"
	"github.com/stillmark/stillmark/probe/ledger"
)

func TestParseLimit(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]Limit{"10": {1, 10}, "1": {1, 1}, "11-20": {11, 20}, "7-7": {7, 7}} {
		if got, err := ParseLimit(s); err != nil || got != want {
			t.Errorf("%q: %v, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "0", "-5", "5-", "9-3", "a", "1-2-3", "0-4"} {
		_, err := ParseLimit(s)
		wantError(t, err, CodeUsage, "such as 10")
	}
}

// TestLimitedRun: a limited run asks the first prompts of the plan's order, of all
// targets, and the next one goes on.
func TestLimitedRun(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	in := input(t, s.URL(), 20)
	dir := sealed(t, in)
	sum, err := Run(t.Context(), dir, RunOptions{pace: quick, Limit: Limit{1, 3}})
	wantError(t, err, CodeIncomplete, "the limit of 1-3 is reached", "6 of 40 replies are saved")
	if sum.Settled != 6 || sum.Stopped != family.StopOperator {
		t.Errorf("%+v", sum)
	}
	c, err := ledger.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	first := map[string]bool{}
	for _, it := range c.Plan().Items()[:6] {
		first[it.ID] = true
	}
	for _, e := range events(t, dir)[ledger.EventReply] {
		if !first[e.Item] {
			t.Errorf("%s is not among the first three prompts", e.Item)
		}
	}
	again, err := Run(t.Context(), dir, RunOptions{pace: quick, Limit: Limit{1, 3}})
	wantError(t, err, CodeIncomplete, "all prompts within the limit of 1-3 have their replies")
	if again.SentNow != 0 {
		t.Errorf("%+v", again)
	}
	if sum, err = Run(t.Context(), dir, RunOptions{pace: quick}); err != nil || sum.Settled != 40 || sum.SentNow != 34 {
		t.Errorf("%+v, %v", sum, err)
	}
}

// TestCapsOfOneRun: they bound a single run, and the next one goes on.
func TestCapsOfOneRun(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	in := input(t, s.URL(), 20)
	for i := range in.Targets {
		in.Targets[i].Price = &ledger.Price{Input: 1, Output: 10, Currency: "USD"}
	}
	dir := sealed(t, in)
	var sent int64
	for name, caps := range map[string]ledger.Caps{
		"7 requests": {MaxRequests: 7}, "300 tokens": {MaxTokens: 300}, "$0.00": {MaxCost: .002}, "0s": {MaxTime: time.Nanosecond},
	} {
		sum, err := Run(t.Context(), dir, RunOptions{pace: quick, Caps: caps})
		wantError(t, err, CodeIncomplete, "this run's cap of "+name+" is reached", "to go on, before any analysis")
		if caps.MaxRequests > 0 && sum.SentNow != 7 || sum.Stopped != family.StopOperator {
			t.Errorf("%s: %+v", name, sum)
		}
		sent = sum.Sent
	}
	sum, err := Run(t.Context(), dir, RunOptions{pace: quick})
	if err != nil || sum.Missing != 0 || sum.Sent != 40 || sent == 0 {
		t.Errorf("%+v, %v", sum, err)
	}
	in.Targets[0].Price, in.Rand = nil, source(5)
	_, err = Run(t.Context(), sealed(t, in), RunOptions{pace: quick, Caps: ledger.Caps{MaxCost: 5}})
	wantError(t, err, CodeUsage, "nova has no price")
}

// TestReadStatus: what is read from the ledger is what the run itself said, while
// it goes on and afterwards.
func TestReadStatus(t *testing.T) {
	t.Parallel()
	s := serve(t, &mock.Script{Faults: []mock.Fault{{Kind: mock.FaultDrop, Model: "nova", At: []int{2}, AfterPieces: 3}}})
	in := input(t, s.URL(), 20)
	in.Targets[0].Price = &ledger.Price{Input: 1, Output: 10, Currency: "USD"}
	in.Targets[1].Price = in.Targets[0].Price
	dir := sealed(t, in)
	c, err := ledger.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	read := func() Status {
		st, err := ReadStatus(c, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		return st
	}
	if st := read(); st.Phase != PhaseUnknown || st.Note != "not begun" || st.Planned != 40 {
		t.Errorf("before: %+v", st)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var during Status
	_, err = Run(ctx, dir, RunOptions{pace: quick, Concurrency: 1, Progress: func(p Status) {
		if p.Settled >= 5 && during.Phase == "" {
			during = read()
			cancel()
		}
	}})
	wantError(t, err, CodeInterrupted)
	if during.Phase != PhaseRunning || during.Settled < 5 || during.PerMinute == 0 || during.ETA == 0 {
		t.Errorf("during: %+v", during)
	}
	if st := read(); st.Phase != PhaseStopped || st.Note != "stopped by the operator" || st.InFlight != 0 {
		t.Errorf("stopped: %+v", st)
	}
	sum, err := Run(t.Context(), dir, RunOptions{pace: quick})
	if err != nil {
		t.Fatal(err)
	}
	st := read()
	if st.Phase != PhaseDone || st.Settled != 40 || st.Sent != sum.Sent || st.Tokens != sum.Tokens || st.Cost != sum.Cost ||
		st.Failed[ledger.Truncated] != 1 || st.Classes[ledger.OK] != 40 || st.Targets[0].Sent != 21 || st.Targets[1].Classes[ledger.OK] != 20 {
		t.Errorf("after: %+v, the run said %+v", st, sum)
	}
	if line := st.Line(); !strings.HasPrefix(line, "40/40 100% | ok 40 err 1 |") {
		t.Errorf("%q", line)
	}
}
