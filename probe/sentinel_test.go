package probe

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stillmark/stillmark/probe/endpoint/mock"
	"github.com/stillmark/stillmark/probe/family"
	"github.com/stillmark/stillmark/probe/ledger"
)

// swapped is another model under the same name from request after on; with noise
// it never says the same twice.
type swapped struct {
	mock.Words
	after int64
	noise bool
	n     *atomic.Int64
}

func (s swapped) Generate(ctx context.Context, req mock.GenRequest, emit func(mock.Piece) error) (string, error) {
	n := s.n.Add(1)
	switch {
	case s.noise:
		req.Model = fmt.Sprint(n)
	case n > s.after:
		req.Model += "-2"
	}
	return s.Words.Generate(ctx, req, emit)
}

func sentinelInput(t *testing.T, gen mock.Generator, prompts int) PlanInput {
	t.Helper()
	s := serveModels(t, nil, map[string]mock.Generator{"nova": gen, "plain": mock.Words{}})
	in := input(t, s.URL(), prompts)
	in.Sentinels = 6
	return in
}

// TestSilentSwap: a model that changes under the same name, fingerprint and
// headers is found by its answers to the sentinels.
func TestSilentSwap(t *testing.T) {
	t.Parallel()
	in := sentinelInput(t, swapped{after: 40, n: new(atomic.Int64)}, 60)
	dir := sealed(t, in)
	sum, err := Run(t.Context(), dir, RunOptions{pace: quick, Concurrency: 1})
	wantError(t, err, CodeDrift, "nova is no longer the model it was", "sentinels", "8 of 8 answers of round", "--on-drift split")
	if sum.Missing == 0 || sum.Drift != 1 || sum.Classes[ledger.Drifted] != 0 {
		t.Errorf("%+v", sum)
	}
	d := decode[family.DriftEvent](t, events(t, dir)[ledger.EventDrift][0])
	if d.Target != "nova" || d.Field != fieldSentinels || d.Epoch != 2 || d.Accepted {
		t.Errorf("%+v", d)
	}
	// The same command again sends nothing.
	again, err := Run(t.Context(), dir, RunOptions{pace: quick})
	wantError(t, err, CodeDrift, "nova is no longer the model it was")
	if again.SentNow != 0 {
		t.Errorf("%d requests were sent to another model", again.SentNow)
	}
	sum, err = Run(t.Context(), dir, RunOptions{pace: quick, OnDrift: DriftSplit, AcceptChanges: true})
	if err != nil || sum.Missing != 0 || sum.Planned != 2*(60+6*8) || sum.Drift != 1 {
		t.Fatalf("%+v, %v", sum, err)
	}
	f := findings(t, dir, in.Keys[0].Key)
	if f.Accounting[0].Planned != 108 || f.Accounting[0].Analysed != 60 || f.Findings[0].Replies != 60 {
		t.Errorf("%+v", f.Accounting[0])
	}
	if text := strings.Join(f.Deviations, "\n"); !strings.Contains(text, "the sentinels changed from") {
		t.Errorf("the change is not in\n%s", text)
	}
}

// TestSentinelsOfTheSameModel: neither a model that repeats itself nor one that
// never does is said to have changed.
func TestSentinelsOfTheSameModel(t *testing.T) {
	t.Parallel()
	for name, gen := range map[string]mock.Generator{
		"steady": mock.Words{},
		"noisy":  swapped{noise: true, n: new(atomic.Int64)},
	} {
		dir := sealed(t, sentinelInput(t, gen, 30))
		sum, err := Run(t.Context(), dir, RunOptions{pace: quick})
		if err != nil || sum.Drift != 0 || sum.Missing != 0 || slices.Equal(sum.Unsteady, []string{"nova"}) != (name == "noisy") {
			t.Errorf("%s: %+v, %v", name, sum, err)
		}
	}
}

// TestChangeWithoutItsEvent: a run that died between the reply and the event
// leaves the change to the next one.
func TestChangeWithoutItsEvent(t *testing.T) {
	t.Parallel()
	in := sentinelInput(t, swapped{after: 20, n: new(atomic.Int64)}, 10)
	dir := sealed(t, in)
	w, err := ledger.OpenWriter(dir, ledger.WriterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	// Rounds 1 to 3 of nova, the third by another model.
	for _, it := range w.Case().Plan().Items() {
		if !it.Prompt.Sentinel || it.Target.Name != "nova" || it.Sample > 2 {
			continue
		}
		body := fmt.Sprintf(`{"model":"nova","choices":[{"index":0,"message":{"content":"answer %d to %s"},"finish_reason":"stop"}]}`, it.Sample/2, it.Prompt.ID)
		ref, err := w.PutBlob([]byte(body))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Append(ledger.EventIntent, it.ID, 1, ledger.Intent{Target: "nova", Request: ref}); err != nil {
			t.Fatal(err)
		}
		a := ledger.Attempt{Target: "nova", Outcome: ledger.OK, Kind: "chat", Status: 200, Complete: true, Response: &ref, Model: "nova"}
		if _, err := w.Append(ledger.EventReply, it.ID, 1, a); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	sum, err := Run(t.Context(), dir, RunOptions{pace: quick})
	wantError(t, err, CodeDrift, "8 of 8 answers of round 3")
	if d := events(t, dir)[ledger.EventDrift]; sum.SentNow != 0 || len(d) != 1 {
		t.Errorf("%d sent, %d events", sum.SentNow, len(d))
	}
}

func TestAutoSentinels(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]int{0: 0, 99: 0, 100: 3, 1500: 17, 1_000_000: maxAutoRounds} {
		if got := AutoSentinels(n); got != want {
			t.Errorf("%d replies: %d rounds, want %d", n, got, want)
		}
	}
	in := input(t, "http://127.0.0.1:1/v1", 120)
	in.Sentinels = -1
	in.Targets[0].Capabilities = &ledger.Capabilities{Support: map[string]ledger.Support{"temperature_zero": {State: "no", Detail: "refused: only 1"}}}
	d, err := NewPlan(in)
	if err != nil {
		t.Fatal(err)
	}
	if d.Plan.Sentinels.Rounds != 3 || len(d.Plan.Prompts) != 128 || d.Estimate.Requests != 2*(120+24) {
		t.Errorf("%+v, %d prompts, %d requests", d.Plan.Sentinels, len(d.Plan.Prompts), d.Estimate.Requests)
	}
	if p := d.Plan.Prompts[127]; p.Params.Temperature != nil || !strings.Contains(strings.Join(d.Warnings, "\n"), "nova does not repeat itself at temperature 0 (refused: only 1)") {
		t.Errorf("%+v, %q", p, d.Warnings)
	}
}
