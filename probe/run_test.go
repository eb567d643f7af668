package probe

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stillmark/stillmark/corpora/tokens"
	"github.com/stillmark/stillmark/probe/endpoint/mock"
	"github.com/stillmark/stillmark/probe/family"
	"github.com/stillmark/stillmark/probe/ledger"
	"github.com/stillmark/stillmark/probe/wire"
	"github.com/stillmark/stillmark/watermark"
)

// TestBeyondChat: completions with echo and log-probabilities, other samples,
// budgets and temperatures, all as single prompts say.
func TestBeyondChat(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	d, err := NewPlan(input(t, s.URL(), 4))
	if err != nil {
		t.Fatal(err)
	}
	zero, one, off, on := 0.0, 1, false, true
	q := d.Plan.Prompts
	q[0].Kind, q[0].Text = ledger.KindCompletion, "It was a bright cold day"
	q[0].Params = &ledger.PromptParams{MaxTokens: 1, Temperature: &zero, Stream: &off, Logprobs: &one, Echo: &on}
	q[1].Kind = ledger.KindCompletion
	q[1].Params = &ledger.PromptParams{MaxTokens: 2, Stream: &off, PromptLogprobs: &one}
	q[2].Samples, q[2].System = 3, "Be brief."
	q[2].Params = &ledger.PromptParams{Logprobs: &one, User: "u-7", Metadata: map[string]string{"slot": "3"}}
	dir := sealDraft(t, d)
	sum, err := Run(t.Context(), dir, RunOptions{pace: quick})
	if err != nil || sum.Planned != 12 || sum.Classes[ledger.OK] != 12 {
		t.Fatalf("%+v, %v", sum, err)
	}
	c, err := ledger.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	err = c.Replies(func(rec ledger.ReplyRecord) error {
		seen[rec.Item.Prompt.ID]++
		x := wire.Exchange{Status: rec.Attempt.Status, Kind: rec.Attempt.Kind, Stream: rec.Attempt.Stream, Body: rec.Response, Complete: rec.Attempt.Complete}
		r := wire.Decode(x)
		tokens, err := wire.DecodeLogprobs(x)
		if err != nil {
			return err
		}
		prompt, err := wire.DecodePromptLogprobs(x)
		if err != nil {
			return err
		}
		switch rec.Item.Prompt.ID {
		case "p0000":
			// Six words of prompt, of which the first has no probability, and one of reply.
			if !strings.HasPrefix(r.Text, "It was a bright cold day") || len(tokens) != 7 || tokens[0].Known || !tokens[1].Known || len(tokens[6].Top) != 1 || rec.Attempt.Stream {
				t.Errorf("%s: %q %+v", rec.Item.ID, r.Text, tokens)
			}
		case "p0001":
			if rec.Attempt.Kind != ledger.KindCompletion || len(prompt) != 5 || len(prompt[0].Candidates) != 0 || len(prompt[1].Candidates) != 2 || prompt[1].Candidates[0].Token != "me " {
				t.Errorf("%s: %+v", rec.Item.ID, prompt)
			}
		case "p0002":
			if len(tokens) != 24 || rec.Item.Sample > 2 || !rec.Attempt.Stream {
				t.Errorf("%s: %d tokens with probabilities", rec.Item.ID, len(tokens))
			}
		default:
			if len(tokens) > 0 {
				t.Errorf("%s has log-probabilities that were not asked for", rec.Item.ID)
			}
		}
		return nil
	})
	if err != nil || seen["p0000"] != 2 || seen["p0002"] != 6 {
		t.Errorf("%v, %v", seen, err)
	}
	for _, r := range s.Requests() {
		if body := string(r.Body); strings.Contains(body, "u-7") != strings.Contains(body, "number 2.") || strings.Contains(body, `"temperature":0`) != strings.Contains(body, "bright") {
			t.Errorf("sent %s", body)
		}
	}
}

func TestRunToTheEnd(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	in := input(t, s.URL(), 30)
	in.Samples = 2
	in.Params.Stream = false
	dir := sealed(t, in)
	var last Status
	var calls atomic.Int64
	sum, err := Run(t.Context(), dir, RunOptions{pace: quick, Progress: func(st Status) { last = st; calls.Add(1) }})
	if err != nil {
		t.Fatal(err)
	}
	if sum.Planned != 120 || sum.Settled != 120 || sum.Sent != 120 || sum.Missing != 0 || sum.Classes[ledger.OK] != 120 || sum.Stopped != family.StopComplete {
		t.Errorf("%+v", sum)
	}
	if last.Phase != PhaseDone || last.Settled != 120 || calls.Load() == 0 || len(last.Targets) != 2 {
		t.Errorf("progress ended at %+v after %d calls", last, calls.Load())
	}
	all := events(t, dir)
	if len(all[ledger.EventIntent]) != 120 || len(all[ledger.EventReply]) != 120 || len(all[ledger.EventConfigChange]) != 1 ||
		len(all[ledger.EventStop]) != 1 || len(all[ledger.EventResume]) != 0 {
		t.Errorf("events: %v", count(all))
	}
	// Seeds and nothing else tell the samples of a prompt apart, and nothing is
	// sent that the plan does not say.
	for _, r := range s.Requests() {
		body := string(r.Body)
		if strings.Contains(body, "temperature") || strings.Contains(body, "top_p") || !strings.Contains(body, `"seed":`) {
			t.Fatalf("sent %s", body)
		}
	}
	before, err := os.ReadFile(filepath.Join(dir, "ledger.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	sum, err = Run(t.Context(), dir, RunOptions{pace: quick})
	if err != nil || !sum.AlreadyDone || sum.SentNow != 0 || sum.Settled != 120 {
		t.Errorf("again: %+v, %v", sum, err)
	}
	after, err := os.ReadFile(filepath.Join(dir, "ledger.jsonl"))
	if err != nil || string(before) != string(after) {
		t.Errorf("running a finished case changed its ledger (%v)", err)
	}
	f := findings(t, dir, in.Keys[0].Key)
	if f.Accounting[0].Analysed != 60 || len(f.Deviations) != 0 {
		t.Errorf("%+v, %q", f.Accounting, f.Deviations)
	}
}

func count(all map[string][]ledger.Event) map[string]int {
	n := map[string]int{}
	for typ, list := range all {
		n[typ] = len(list)
	}
	return n
}

// Faults of transport are retried until the reply is there; the record has every
// attempt.
func TestFaultsOfTransport(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		fault  mock.Fault
		class  ledger.Outcome
		failed int64
	}{
		"429 with Retry-After": {mock.Fault{Kind: mock.FaultStatus, Status: 429, Header: map[string]string{"Retry-After": "0.05"}, At: []int{2, 9}}, ledger.RateLimited, 4},
		"429 without":          {mock.Fault{Kind: mock.FaultStatus, Status: 429, At: []int{3, 4, 5}}, ledger.RateLimited, 6},
		"500":                  {mock.Fault{Kind: mock.FaultStatus, Status: 500, At: oneIn(4)}, ledger.Transport, 0},
		"503 with Retry-After": {mock.Fault{Kind: mock.FaultStatus, Status: 503, Header: map[string]string{"Retry-After-Ms": "30"}, At: []int{1}}, ledger.Transport, 2},
		"dropped stream":       {mock.Fault{Kind: mock.FaultDrop, AfterPieces: 5, At: oneIn(7)}, ledger.Truncated, 0},
		"no [DONE]":            {mock.Fault{Kind: mock.FaultNoDone, At: []int{6}}, ledger.Truncated, 2},
		"an HTML page":         {mock.Fault{Kind: mock.FaultHTML, At: []int{1, 2}}, ledger.Malformed, 4},
		"nothing at all":       {mock.Fault{Kind: mock.FaultEmpty, At: []int{8}}, "", 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			clean, faulty := serve(t, nil), serve(t, &mock.Script{Faults: []mock.Fault{tc.fault}})
			in := input(t, faulty.URL(), 20)
			dir := sealed(t, in)
			sum, err := Run(t.Context(), dir, RunOptions{pace: quick})
			if err != nil || sum.Classes[ledger.OK] != 40 {
				t.Fatalf("%+v, %v", sum, err)
			}
			var failed int64
			for class, n := range sum.Failed {
				if tc.class != "" && class != tc.class {
					t.Errorf("%d attempts of class %s", n, class)
				}
				failed += n
			}
			if failed == 0 || tc.failed > 0 && failed != tc.failed || sum.Sent != 40+failed {
				t.Errorf("%d failed attempts of %d sent: %v", failed, sum.Sent, sum.Failed)
			}
			// The replies are those that a clean run gets.
			in2 := input(t, clean.URL(), 20)
			ref := sealed(t, in2)
			if _, err := Run(t.Context(), ref, RunOptions{pace: quick}); err != nil {
				t.Fatal(err)
			}
			sameNumbers(t, findings(t, dir, in.Keys[0].Key), findings(t, ref, in.Keys[0].Key))
		})
	}
}

// Content is never asked for twice.
func TestContentIsNotRetried(t *testing.T) {
	t.Parallel()
	empty := generator(func(mock.GenRequest) string { return "" })
	s := serveModels(t, nil, map[string]mock.Generator{"nova": empty, "plain": mock.Words{}})
	dir := sealed(t, input(t, s.URL(), 10))
	sum, err := Run(t.Context(), dir, RunOptions{pace: quick})
	if err != nil || sum.Sent != 20 || sum.Classes[ledger.Empty] != 10 || sum.Classes[ledger.OK] != 10 {
		t.Errorf("%+v, %v", sum, err)
	}
}

// generator answers with a fixed text per request.
type generator func(mock.GenRequest) string

func (g generator) Generate(ctx context.Context, req mock.GenRequest, emit func(mock.Piece) error) (string, error) {
	for i, word := range strings.SplitAfter(g(req), " ") {
		if err := ctx.Err(); err != nil {
			return "", err
		}
		if err := emit(mock.Piece{Text: word, Token: int32(i)}); err != nil {
			return "", err
		}
	}
	return "stop", nil
}

func TestKeyRefusedThenResumed(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		status, code int
		say          string
	}{
		"401": {401, CodeAuth, "Set NOVA_API_KEY, then run the same command again."},
		"402": {402, CodeQuota, "Top up the account"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, &mock.Script{Faults: []mock.Fault{{Kind: mock.FaultStatus, Model: "nova", Status: tc.status, From: 12}}})
			in := input(t, s.URL(), 25)
			in.Targets[0].APIKeyEnv = "NOVA_API_KEY"
			d, err := NewPlan(in)
			if err != nil {
				t.Fatal(err)
			}
			dir := sealDraft(t, d)
			opt := RunOptions{pace: quick, Concurrency: 2}
			opt.Endpoint.LookupEnv = func(string) string { return "sk-test-0123456789" }
			sum, err := Run(t.Context(), dir, opt)
			wantError(t, err, tc.code, fmt.Sprintf("HTTP %d from nova", tc.status), tc.say, "replies are saved")
			if sum.Settled < 11 || sum.Missing == 0 || sum.Planned != 50 {
				t.Errorf("%+v", sum)
			}
			if stop := decode[family.StopEvent](t, events(t, dir)[ledger.EventStop][0]); stop.Missing != sum.Missing || stop.Settled != sum.Settled {
				t.Errorf("stop event %+v", stop)
			}
			// The account works again: the same command at the same address.
			healed := serve(t, nil)
			rewired := opt
			rewired.Endpoint.Transport = redirect(s.URL(), healed.URL())
			sum, err = Run(t.Context(), dir, rewired)
			if err != nil || sum.Settled != 50 || !sum.Resumed {
				t.Fatalf("%+v, %v", sum, err)
			}
			ref := sealDraft(t, d)
			if _, err := Run(t.Context(), ref, rewired); err != nil {
				t.Fatal(err)
			}
			got := findings(t, dir, in.Keys[0].Key)
			sameNumbers(t, got, findings(t, ref, in.Keys[0].Key))
			if !slices.Contains(got.Deviations, "Collection was resumed once.") {
				t.Errorf("%q", got.Deviations)
			}
		})
	}
}

func TestTargetThatIsNotThere(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	url := s.URL()
	in := input(t, url, 30)
	dir := sealed(t, in)
	s.Close()
	sum, err := Run(t.Context(), dir, RunOptions{pace: quick})
	wantError(t, err, CodeUnavailable, "cannot be reached", "connection refused", "run the same command again")
	// What was under way at once, and a probe for each target.
	if sum.Settled != 0 || sum.Sent < 2 || sum.Sent > 2*(autoStart+1) {
		t.Errorf("%+v", sum)
	}
	if n := len(events(t, dir)[ledger.EventPause]); n == 0 || n > 2 {
		t.Errorf("%d pauses for targets that never were there", n)
	}
}

// Under the waits of a real run, too, a wrong address ends the run at once.
func TestAbsentTargetEndsSoon(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	dir := sealed(t, input(t, s.URL(), 30))
	s.Close()
	begun := time.Now()
	_, err := Run(t.Context(), dir, RunOptions{Concurrency: 1})
	wantError(t, err, CodeUnavailable, "cannot be reached", "connection refused")
	if took := time.Since(begun); took > 4*time.Second {
		t.Errorf("a target that was never there was waited for %s", took)
	}
}

// An outage of a target that was there is waited for.
func TestOutage(t *testing.T) {
	t.Parallel()
	var at []int
	for i := range inARow + 1 { // the retries and the first probe
		at = append(at, 10+i)
	}
	s := serve(t, &mock.Script{Faults: []mock.Fault{{Kind: mock.FaultStatus, Model: "nova", Status: 502, At: at}}})
	in := input(t, s.URL(), 40)
	dir := sealed(t, in)
	// One at a time: a reply under way would end the row.
	sum, err := Run(t.Context(), dir, RunOptions{pace: quick, Concurrency: 1})
	if err != nil || sum.Classes[ledger.OK] != 80 || sum.Failed[ledger.Transport] != inARow+1 {
		t.Fatalf("%+v, %v", sum, err)
	}
	all := events(t, dir)
	if len(all[ledger.EventPause]) != 2 || len(all[ledger.EventResume]) != 1 {
		t.Errorf("events: %v", count(all))
	}
	f := findings(t, dir, in.Keys[0].Key)
	if want := "nova could not be reached at times: collection from it paused twice."; !slices.Contains(f.Deviations, want) {
		t.Errorf("%q", f.Deviations)
	}
}

func TestEverythingRejected(t *testing.T) {
	t.Parallel()
	s := serve(t, &mock.Script{Faults: []mock.Fault{{Kind: mock.FaultStatus, Model: "nova", Status: 400, Body: `{"error":{"message":"seed is not supported"}}`, From: 1}}})
	dir := sealed(t, input(t, s.URL(), 60))
	sum, err := Run(t.Context(), dir, RunOptions{pace: quick, Concurrency: 1})
	wantError(t, err, CodeUnavailable, "nova rejects every request", "seed is not supported")
	if got := sum.Classes[ledger.Rejected]; got != inARow {
		t.Errorf("%d rejected", got)
	}
}

// What fails eight times is left, the rest is collected, and the next run tries
// it again.
func TestGivenUp(t *testing.T) {
	t.Parallel()
	var broken atomic.Bool
	broken.Store(true)
	stubborn := failing{func(req mock.GenRequest) bool { return broken.Load() && strings.Contains(req.Prompt, "number 3.") }}
	s := serveModels(t, nil, map[string]mock.Generator{"nova": stubborn, "plain": mock.Words{}})
	dir := sealed(t, input(t, s.URL(), 12))
	sum, err := Run(t.Context(), dir, RunOptions{pace: quick})
	wantError(t, err, CodeIncomplete, "1 of 24 items got no reply after 8 tries each", "23 of 24 replies are saved", "Run the same command again")
	if sum.Missing != 1 || sum.Sent != 31 || sum.Stopped != family.StopGivenUp {
		t.Errorf("%+v", sum)
	}
	broken.Store(false)
	sum, err = Run(t.Context(), dir, RunOptions{pace: quick})
	if err != nil || sum.Missing != 0 || sum.SentNow != 1 || sum.Stopped != family.StopComplete {
		t.Errorf("%+v, %v", sum, err)
	}
}

// failing is a generator that errs, which the server makes a cut reply of.
type failing struct{ when func(mock.GenRequest) bool }

func (g failing) Generate(ctx context.Context, req mock.GenRequest, emit func(mock.Piece) error) (string, error) {
	if g.when(req) {
		return "", errors.New("out of order")
	}
	return mock.Words{}.Generate(ctx, req, emit)
}

func TestModelSwitch(t *testing.T) {
	t.Parallel()
	script := func() *mock.Script {
		return &mock.Script{Faults: []mock.Fault{{Kind: mock.FaultModelSwitch, Model: "nova", As: "nova-2", From: 8}}}
	}
	t.Run("stop", func(t *testing.T) {
		t.Parallel()
		s := serve(t, script())
		in := input(t, s.URL(), 30)
		dir := sealed(t, in)
		sum, err := Run(t.Context(), dir, RunOptions{pace: quick, Concurrency: 1})
		wantError(t, err, CodeDrift, `answered by "nova-2", not by "nova"`, "--on-drift split")
		if sum.Classes[ledger.Drifted] != 1 || sum.Drift != 1 || sum.Missing == 0 {
			t.Errorf("%+v", sum)
		}
		if d := decode[family.DriftEvent](t, events(t, dir)[ledger.EventDrift][0]); d != (family.DriftEvent{Target: "nova", Field: "model", From: "nova", To: "nova-2"}) {
			t.Errorf("%+v", d)
		}
		// Another option needs the operator's word, and is a deviation.
		_, err = Run(t.Context(), dir, RunOptions{pace: quick, OnDrift: DriftSplit})
		wantError(t, err, CodeUsage, "on-drift: stop -> split", "same options")
		sum, err = Run(t.Context(), dir, RunOptions{pace: quick, OnDrift: DriftSplit, AcceptChanges: true})
		if err != nil || sum.Missing != 0 || sum.Classes[ledger.Drifted] != 1 {
			t.Fatalf("%+v, %v", sum, err)
		}
		f := findings(t, dir, in.Keys[0].Key)
		text := strings.Join(f.Deviations, "\n")
		for _, want := range []string{
			"An option was changed while collection went on: on-drift: stop -> split.", `of class "drifted"`,
			`the model changed from "nova" to "nova-2"`, `"nova", "nova-2"`, "Collection was resumed once.",
		} {
			if !strings.Contains(text, want) {
				t.Errorf("%q is not in\n%s", want, text)
			}
		}
	})
	// What was under way with the last prompts settles everything, and is drift all the same.
	t.Run("in the last batch", func(t *testing.T) {
		t.Parallel()
		s := serve(t, script())
		in := input(t, s.URL(), 12)
		dir := sealed(t, in)
		for i := range 2 {
			sum, err := Run(t.Context(), dir, RunOptions{pace: quick, Concurrency: 64})
			// Of replies that were under way together either may be read first.
			wantError(t, err, CodeDrift, `nova is no longer the model it was: answered by "nova`, "24 of 24 replies are saved", "--on-drift split --accept-changes")
			if sum.Missing != 0 || sum.Classes[ledger.Drifted] == 0 || sum.Stopped != family.StopDrift || sum.AlreadyDone != (i == 1) {
				t.Errorf("run %d: %+v", i+1, sum)
			}
		}
		if stops := events(t, dir)[ledger.EventStop]; len(stops) != 1 || decode[family.StopEvent](t, stops[0]).Reason != family.StopDrift {
			t.Errorf("stops: %v", stops)
		}
		sum, err := Run(t.Context(), dir, RunOptions{pace: quick, OnDrift: DriftSplit, AcceptChanges: true})
		if err != nil || sum.SentNow != 0 || sum.Stopped != family.StopComplete {
			t.Errorf("%+v, %v", sum, err)
		}
	})
	t.Run("split", func(t *testing.T) {
		t.Parallel()
		s := serve(t, script())
		in := input(t, s.URL(), 30)
		dir := sealed(t, in)
		sum, err := Run(t.Context(), dir, RunOptions{pace: quick, Concurrency: 4, OnDrift: DriftSplit}) // so few that the first one is read first
		if err != nil || sum.Classes[ledger.OK] != 60 || sum.Drift != 1 {
			t.Errorf("%+v, %v", sum, err)
		}
		f := findings(t, dir, in.Keys[0].Key)
		if x := f.Findings[0]; x.Epochs != 2 || len(x.Parts) != 2 || x.Parts[0].Name != "epoch: model nova" || x.Parts[1].Name != "epoch: model nova-2" {
			t.Errorf("%d epochs: %+v", x.Epochs, x.Parts)
		}
	})
	t.Run("after a resume", func(t *testing.T) {
		t.Parallel()
		s := serve(t, script())
		dir := sealed(t, input(t, s.URL(), 30))
		// The first run ends before the switch; the second has to know the model.
		ctx, cancel := context.WithCancel(t.Context())
		_, err := Run(ctx, dir, RunOptions{pace: quick, Concurrency: 1, Progress: func(st Status) {
			if st.Settled >= 4 {
				cancel()
			}
		}})
		wantError(t, err, CodeInterrupted)
		if got := len(s.Requests()); got >= 40 {
			t.Skipf("the machine was too slow: %d requests were made before the stop", got)
		}
		_, err = Run(t.Context(), dir, RunOptions{pace: quick, Concurrency: 1})
		wantError(t, err, CodeDrift)
	})
}

// A change of the fingerprint is noted and stops nothing.
func TestFingerprintChange(t *testing.T) {
	t.Parallel()
	l := newLane(&ledger.Plan{}, &ledger.Target{Name: "nova"}, 0)
	var all []family.DriftEvent
	for _, v := range []string{"a", "a", "", "b", "a", "b", "c"} {
		all = l.note(all, fieldFingerprint, v)
	}
	want := []family.DriftEvent{
		{Target: "nova", Field: "fingerprint", From: "a", To: "b", Epoch: 2, Accepted: true},
		{Target: "nova", Field: "fingerprint", From: "b", To: "c", Epoch: 3, Accepted: true},
	}
	if !slices.Equal(all, want) {
		t.Errorf("%+v", all)
	}
	for i := range 1000 {
		all = l.note(all, fieldProvider, fmt.Sprint(i))
	}
	if len(all) > 2+maxKnown {
		t.Errorf("%d events of one target", len(all))
	}
}

func TestCaps(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		caps ledger.Caps
		say  string
		ok   func(Summary) bool
	}{
		"requests": {ledger.Caps{MaxRequests: 17}, "cap of 17 requests", func(s Summary) bool { return s.Sent == 17 }},
		// Each reply has 24 tokens and its prompt a few words, but none is sent
		// that might cost more than is left.
		"tokens": {ledger.Caps{MaxTokens: 800}, "cap of 800 tokens", func(s Summary) bool { return s.Tokens <= 800 && s.Tokens > 700 }},
		"cost":   {ledger.Caps{MaxCost: .01}, "cap of $0.01", func(s Summary) bool { return s.Cost <= .01 && s.Cost > .008 }},
		"time":   {ledger.Caps{MaxTime: time.Millisecond}, "cap of 1ms of run time", func(s Summary) bool { return s.Missing > 0 }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, nil)
			in := input(t, s.URL(), 40)
			in.Caps = tc.caps
			for i := range in.Targets {
				in.Targets[i].Price = &ledger.Price{Input: 1, Output: 10, Currency: "USD"}
			}
			dir := sealed(t, in)
			sum, err := Run(t.Context(), dir, RunOptions{pace: quick})
			wantError(t, err, CodeIncomplete, tc.say)
			if !tc.ok(sum) || sum.Settled != sum.Sent {
				t.Errorf("%+v", sum)
			}
			// The cap holds for all runs together.
			again, err := Run(t.Context(), dir, RunOptions{pace: quick})
			wantError(t, err, CodeIncomplete, tc.say)
			if again.SentNow != 0 || again.Tokens != sum.Tokens {
				t.Errorf("again: %+v", again)
			}
			f := findings(t, dir, in.Keys[0].Key)
			// Only time is in somebody's hands; the idle second run changes nothing.
			said := strings.Join(f.Deviations, "\n")
			if !strings.Contains(said, "Collection ended before the plan was done (cap on ") ||
				strings.Contains(said, "the end of collection was not fixed by the plan (cap on time)") != (name == "time") {
				t.Errorf("%q", f.Deviations)
			}
		})
	}
}

func TestOperatorStops(t *testing.T) {
	t.Parallel()
	slow := generator(func(mock.GenRequest) string {
		time.Sleep(20 * time.Millisecond)
		return "It is a quiet day by the river."
	})
	hang := []mock.Fault{{Kind: mock.FaultHang, Model: "nova", From: 6}}
	const answered = 40 + 5 // all of one model's, the other's until it hangs
	models := map[string]mock.Generator{"nova": slow, "plain": slow}
	t.Run("drains", func(t *testing.T) {
		t.Parallel()
		s := serveModels(t, nil, models)
		dir := sealed(t, input(t, s.URL(), 40))
		ctx, cancel := context.WithCancel(t.Context())
		sum, err := Run(ctx, dir, RunOptions{pace: quick, Progress: func(st Status) {
			if st.InFlight > 0 {
				cancel()
			}
		}})
		wantError(t, err, CodeInterrupted, "stopped by the operator", "Run the same command again")
		if sum.Sent == 0 || sum.Settled != sum.Sent {
			t.Errorf("what was under way was to end: %+v", sum)
		}
		sum, err = Run(t.Context(), dir, RunOptions{pace: quick})
		if err != nil || sum.Settled != 80 || sum.Sent != 80 {
			t.Errorf("%+v, %v", sum, err)
		}
	})
	t.Run("not for ever", func(t *testing.T) {
		t.Parallel()
		s := serveModels(t, &mock.Script{Faults: hang}, models)
		dir := sealed(t, input(t, s.URL(), 40))
		ctx, cancel := context.WithCancel(t.Context())
		short := quick
		short.drain = 100 * time.Millisecond
		var begun time.Time
		sum, err := Run(ctx, dir, RunOptions{pace: short, Progress: func(st Status) {
			if begun.IsZero() && st.Settled == answered {
				begun = time.Now()
				cancel()
			}
		}})
		wantError(t, err, CodeInterrupted)
		if took := time.Since(begun); took > 10*time.Second {
			t.Errorf("draining took %v", took)
		}
		if sum.Failed[ledger.Cancelled] == 0 {
			t.Errorf("%+v", sum)
		}
		if n := len(decodeOrphans(t, dir)); n != 0 {
			t.Errorf("%d attempts have no outcome", n)
		}
	})
	t.Run("at once", func(t *testing.T) {
		t.Parallel()
		s := serveModels(t, &mock.Script{Faults: hang}, models)
		dir := sealed(t, input(t, s.URL(), 40))
		abort := make(chan struct{})
		stop := sync.OnceFunc(func() { close(abort) })
		long := quick
		long.drain = time.Hour
		_, err := Run(t.Context(), dir, RunOptions{pace: long, Abort: abort, Progress: func(st Status) {
			if st.Settled == answered {
				stop()
			}
		}})
		wantError(t, err, CodeInterrupted, "at once")
	})
}

func decodeOrphans(t *testing.T, dir string) []string {
	t.Helper()
	c, err := ledger.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	state, err := c.State()
	if err != nil {
		t.Fatal(err)
	}
	return state.Orphans()
}

// failingJournal refuses intents after a while, as a full disk does.
type failingJournal struct {
	journal
	left atomic.Int64
}

func (j *failingJournal) Append(typ, item string, attempt int, data any) (ledger.Event, error) {
	if typ == ledger.EventIntent && j.left.Add(-1) < 0 {
		return ledger.Event{}, fmt.Errorf("no space left on device: %w", ledger.ErrStorage)
	}
	return j.journal.Append(typ, item, attempt, data)
}

func TestDiskFull(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	in := input(t, s.URL(), 30)
	dir := sealed(t, in)
	w, err := ledger.OpenWriter(dir, ledger.WriterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	j := &failingJournal{journal: w}
	j.left.Store(21)
	r, err := newRunner(j, RunOptions{pace: quick})
	if err != nil {
		t.Fatal(err)
	}
	err = r.run(t.Context())
	wantError(t, err, CodeStorage, "no space left on device", "21 of 60 replies are saved", "Free some space")
	if !errors.Is(err, ledger.ErrStorage) {
		t.Errorf("%v does not wrap ErrStorage", err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if stop := decode[family.StopEvent](t, events(t, dir)[ledger.EventStop][0]); stop.Reason != family.StopStorage || stop.Settled != 21 {
		t.Errorf("%+v", stop)
	}
	sum, err := Run(t.Context(), dir, RunOptions{pace: quick})
	if err != nil || sum.Settled != 60 || sum.Sent != 60 {
		t.Errorf("%+v, %v", sum, err)
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	in := input(t, s.URL(), 3)
	dir := sealed(t, in)
	w, err := ledger.OpenWriter(dir, ledger.WriterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = Run(t.Context(), dir, RunOptions{})
	wantError(t, err, CodeUsage, "in use by another process")
	w.Close()
	_, err = Run(t.Context(), filepath.Join(t.TempDir(), "nowhere"), RunOptions{})
	wantError(t, err, CodeUsage, "probe plan")
	_, err = Run(t.Context(), dir, RunOptions{OnDrift: "shrug"})
	if !strings.Contains(fmt.Sprint(err), `on-drift "shrug" is not known`) {
		t.Errorf("%v", err)
	}
	if n := len(s.Requests()); n != 0 {
		t.Errorf("%d requests were sent", n)
	}
	in.Targets[0].APIKeyEnv = "NOVA_API_KEY"
	opt := RunOptions{}
	opt.Endpoint.LookupEnv = func(string) string { return "" }
	dir = sealed(t, in)
	_, err = Run(t.Context(), dir, opt)
	wantError(t, err, CodeUsage, "NOVA_API_KEY")
	if all := events(t, dir); len(all) != 1 {
		t.Errorf("a run that could not begin left events: %v", count(all))
	}
}

// The targets are asked side by side, also when one of them is slow.
func TestInterleaved(t *testing.T) {
	t.Parallel()
	slow := generator(func(mock.GenRequest) string { time.Sleep(3 * time.Millisecond); return "A short reply of some words." })
	s := serveModels(t, nil, map[string]mock.Generator{"nova": slow, "plain": mock.Words{}})
	prompts := 300
	if testing.Short() {
		prompts = 2 * lead
	}
	in := input(t, s.URL(), prompts)
	dir := sealed(t, in)
	if _, err := Run(t.Context(), dir, RunOptions{pace: quick, Concurrency: 2}); err != nil {
		t.Fatal(err)
	}
	sent := map[string]int{}
	for _, e := range events(t, dir)[ledger.EventIntent] {
		target, _, _ := strings.Cut(e.Item, "/")
		sent[target]++
		if ahead := sent["control"] - sent["nova"]; ahead > lead+8 && sent["nova"] < prompts {
			t.Fatalf("the control was %d prompts ahead", ahead)
		}
	}
}

// A run whose plan allows it stops when the evidence suffices, and stays stopped.
func TestStopOnEvidence(t *testing.T) {
	t.Parallel()
	k := testKey(t, watermark.KGW)
	e, err := tokens.Get("cl100k")
	if err != nil {
		t.Fatal(err)
	}
	mark, err := k.Mark()
	if err != nil {
		t.Fatal(err)
	}
	marked := func(req mock.GenRequest) string { return green(e, mark, req.Prompt, 60) }
	plain := func(req mock.GenRequest) string { return green(e, nil, req.Prompt, 60) }
	s := serveModels(t, nil, map[string]mock.Generator{"nova": generator(marked), "plain": generator(plain)})
	in := input(t, s.URL(), 200)
	in.Keys = []PlanKey{{Key: k}}
	in.Params.MaxTokens = 80
	in.Mode, in.StopOnEvidence, in.CheckEvery = ledger.ModeAnytime, true, 5
	d, err := NewPlan(in)
	if err != nil {
		t.Fatal(err)
	}
	dir := sealDraft(t, d)
	var last Status
	sum, err := Run(t.Context(), dir, RunOptions{pace: quick, Concurrency: 4, Keys: []*watermark.Key{k}, Progress: func(st Status) { last = st }})
	if err != nil || sum.Stopped != family.StopEvidence || sum.Missing == 0 {
		t.Fatalf("%+v, %v", sum, err)
	}
	if len(last.Evidence) != 1 || last.Evidence[0].Log10E < last.Evidence[0].Threshold {
		t.Errorf("%+v", last.Evidence)
	}
	f := findings(t, dir, k)
	if got := f.Findings[0]; got.Log10P != nil || *got.Log10E < 6 || got.Verdict != ledger.VerdictExploratory {
		t.Errorf("%+v", got)
	}
	if !strings.Contains(strings.Join(f.Deviations, "\n"), "Collection stopped early on the evidence, as the plan allows") {
		t.Errorf("%q", f.Deviations)
	}
	again, err := Run(t.Context(), dir, RunOptions{pace: quick, Keys: []*watermark.Key{k}})
	if err != nil || !again.AlreadyDone || again.Sent != sum.Sent {
		t.Errorf("%+v, %v", again, err)
	}
	// Without the key nobody looks, and everything is collected.
	blind := sealDraft(t, d)
	if sum, err := Run(t.Context(), blind, RunOptions{pace: quick}); err != nil || sum.Missing != 0 {
		t.Errorf("%+v, %v", sum, err)
	}
}
