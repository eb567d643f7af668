package endpoint

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stillmark/stillmark/probe/endpoint/mock"
	"github.com/stillmark/stillmark/probe/ledger"
	"github.com/stillmark/stillmark/probe/wire"
)

// TestFaults plays every scripted fault over real HTTP on loopback.
func TestFaults(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		fault  mock.Fault
		stream bool
		want   ledger.Outcome
		detail string // part of the detail
		kept   bool   // some text is kept
		billed bool
	}{
		{name: "429", fault: mock.Fault{Kind: mock.FaultStatus, Status: 429}, want: ledger.RateLimited, detail: "HTTP 429: rate limit"},
		{name: "429 on a stream", fault: mock.Fault{Kind: mock.FaultStatus, Status: 429}, stream: true, want: ledger.RateLimited},
		{name: "429, quota", fault: mock.Fault{Kind: mock.FaultStatus, Status: 429, Body: `{"error":{"message":"pay","code":"insufficient_quota"}}`}, stream: true, want: ledger.Quota},
		{name: "500", fault: mock.Fault{Kind: mock.FaultStatus, Status: 500}, want: ledger.Transport, detail: "HTTP 500"},
		{name: "504", fault: mock.Fault{Kind: mock.FaultStatus, Status: 504}, want: ledger.Transport, billed: true},
		{name: "401", fault: mock.Fault{Kind: mock.FaultStatus, Status: 401}, stream: true, want: ledger.Auth},
		{name: "402", fault: mock.Fault{Kind: mock.FaultStatus, Status: 402}, want: ledger.Quota},
		{name: "redirect", fault: mock.Fault{Kind: mock.FaultRedirect, Location: "http://127.0.0.1:1/elsewhere"}, want: ledger.Transport, detail: "redirects are refused"},
		{name: "redirect of a stream", fault: mock.Fault{Kind: mock.FaultRedirect, Status: 302, Location: "/v1/models"}, stream: true, want: ledger.Transport, detail: "HTTP 302"},
		{name: "200 with an error", fault: mock.Fault{Kind: mock.FaultError200}, want: ledger.Transport, detail: "overloaded", billed: true},
		{name: "200 with an error, stream", fault: mock.Fault{Kind: mock.FaultError200}, stream: true, want: ledger.Transport, detail: "overloaded", billed: true},
		{name: "html", fault: mock.Fault{Kind: mock.FaultHTML}, want: ledger.Malformed, detail: "HTML", billed: true},
		{name: "html, stream", fault: mock.Fault{Kind: mock.FaultHTML}, stream: true, want: ledger.Malformed, detail: "HTML", billed: true},
		{name: "empty", fault: mock.Fault{Kind: mock.FaultEmpty}, want: ledger.Malformed, detail: "empty", billed: true},
		{name: "empty, stream", fault: mock.Fault{Kind: mock.FaultEmpty}, stream: true, want: ledger.Malformed, detail: "empty", billed: true},
		{name: "garbage", fault: mock.Fault{Kind: mock.FaultGarbage}, want: ledger.Malformed, billed: true},
		{name: "garbage, stream", fault: mock.Fault{Kind: mock.FaultGarbage}, stream: true, want: ledger.Malformed, billed: true},
		{name: "oversize", fault: mock.Fault{Kind: mock.FaultOversize, Count: 17}, want: ledger.Malformed, detail: "16 MiB", billed: true},
		{name: "hang", fault: mock.Fault{Kind: mock.FaultHang}, want: ledger.Transport, detail: "no response within 300ms", billed: true},
		{name: "hang in a stream", fault: mock.Fault{Kind: mock.FaultHang, AfterPieces: 5}, stream: true, want: ledger.Truncated, detail: "paused for more than 200ms", kept: true, billed: true},
		{name: "slow trickle", fault: mock.Fault{Kind: mock.FaultTrickle, DelayMS: 40}, stream: true, want: ledger.Truncated, detail: "longer than 1s", kept: true, billed: true},
		{name: "drop at byte 0", fault: mock.Fault{Kind: mock.FaultDrop}, want: ledger.Transport, detail: "before the first byte", billed: true},
		{name: "drop at byte 90", fault: mock.Fault{Kind: mock.FaultDrop, AfterBytes: 90}, want: ledger.Truncated, billed: true},
		{name: "drop at byte 1500 of a stream", fault: mock.Fault{Kind: mock.FaultDrop, AfterBytes: 1500}, stream: true, want: ledger.Truncated, kept: true, billed: true},
		{name: "drop after 7 pieces", fault: mock.Fault{Kind: mock.FaultDrop, AfterPieces: 7}, stream: true, want: ledger.Truncated, detail: "broke", kept: true, billed: true},
		{name: "drop after the last byte", fault: mock.Fault{Kind: mock.FaultDrop, AfterBytes: 1 << 20}, stream: true, want: ledger.OK, kept: true},
		{name: "cut cleanly", fault: mock.Fault{Kind: mock.FaultCut, AfterBytes: 60}, want: ledger.Malformed, billed: true},
		{name: "cut cleanly, stream", fault: mock.Fault{Kind: mock.FaultCut, AfterPieces: 7}, stream: true, want: ledger.Truncated, detail: "without [DONE]", kept: true, billed: true},
		{name: "cut inside an event", fault: mock.Fault{Kind: mock.FaultCut, AfterBytes: 1234}, stream: true, want: ledger.Truncated, detail: "inside an event", kept: true, billed: true},
		{name: "no [DONE]", fault: mock.Fault{Kind: mock.FaultNoDone}, stream: true, want: ledger.Truncated, detail: "[DONE]", kept: true, billed: true},
		{name: "no finish reason", fault: mock.Fault{Kind: mock.FaultNoFinish}, want: ledger.Truncated, detail: "finish reason", kept: true, billed: true},
		{name: "no finish reason, stream", fault: mock.Fault{Kind: mock.FaultNoFinish}, stream: true, want: ledger.Truncated, detail: "finish reason", kept: true, billed: true},
		{name: "trailing garbage", fault: mock.Fault{Kind: mock.FaultTrailing, Body: "{}"}, want: ledger.Malformed, detail: "trailing", kept: true, billed: true},
		{name: "an event after [DONE]", fault: mock.Fault{Kind: mock.FaultTrailing, Body: "data: {}\n\n"}, stream: true, want: ledger.Malformed, detail: "after [DONE]", kept: true, billed: true},
		{name: "comment flood", fault: mock.Fault{Kind: mock.FaultComments, Count: 400}, stream: true, want: ledger.OK, kept: true},
		{name: "duplicated chunks", fault: mock.Fault{Kind: mock.FaultDuplicate}, stream: true, want: ledger.OK, kept: true},
		{name: "model switch", fault: mock.Fault{Kind: mock.FaultModelSwitch, As: "luna-2"}, want: ledger.OK, kept: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.fault.At = []int{1}
			s := start(t, mock.Options{Script: &mock.Script{Faults: []mock.Fault{tt.fault}}})
			var timeouts Timeouts
			if tt.fault.Kind == mock.FaultHang || tt.fault.Kind == mock.FaultTrickle {
				timeouts = Timeouts{Headers: 300 * time.Millisecond, Idle: 200 * time.Millisecond, Total: time.Second}
			}
			c := client(t, target(s.URL()), Options{Timeouts: timeouts})
			a := c.Send(t.Context(), request(tt.stream))
			m := a.Meta
			if m.Outcome != tt.want || !strings.Contains(m.Detail, tt.detail) {
				t.Errorf("%s (%s), want %s (%s)", m.Outcome, m.Detail, tt.want, tt.detail)
			}
			if m.MayBeBilled != tt.billed {
				t.Errorf("may be billed: %v", m.MayBeBilled)
			}
			if (a.Reply.Text != "") != tt.kept {
				t.Errorf("text %q", a.Reply.Text)
			}
			if m.Outcome != ledger.OK && m.Detail == "" || m.Outcome != a.Reply.Outcome || m.TotalMS <= 0 || a.Started.IsZero() {
				t.Errorf("%+v", m)
			}
			if again := wire.Decode(exchange(a)); again.Outcome != a.Reply.Outcome || again.Text != a.Reply.Text {
				t.Errorf("the record decodes to %s %q", again.Outcome, again.Text)
			}
			// The next request, without the fault, is answered, and the text of a
			// fault's reply is the beginning of it.
			b := client(t, target(s.URL()), Options{}).Send(t.Context(), request(tt.stream))
			if b.Meta.Outcome != ledger.OK {
				t.Fatalf("the next request: %s (%s)", b.Meta.Outcome, b.Meta.Detail)
			}
			if tt.fault.Kind == mock.FaultDuplicate {
				// Nothing on the wire tells a repeated chunk from a repeated word.
				if len(a.Reply.Text) != 2*len(b.Reply.Text) {
					t.Errorf("%q", a.Reply.Text)
				}
			} else if !strings.HasPrefix(b.Reply.Text, a.Reply.Text) {
				t.Errorf("%q is no part of %q", a.Reply.Text, b.Reply.Text)
			}
			if tt.fault.Kind == mock.FaultModelSwitch && (m.Model != "luna-2" || wire.SameModel(b.Meta.Model, m.Model)) {
				t.Errorf("the switch is not seen: %s, %s", m.Model, b.Meta.Model)
			}
			if n := len(s.Requests()); n != 2 {
				t.Errorf("%d requests were sent", n)
			}
		})
	}
}

// TestRetryAfterOfStreams: the header is there although go-openai loses it.
func TestRetryAfterOfStreams(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]time.Duration{"2": 2 * time.Second, "6m0s": 6 * time.Minute, time.Now().Add(time.Hour).UTC().Format(http.TimeFormat): time.Hour} {
		s := start(t, mock.Options{Script: &mock.Script{Faults: []mock.Fault{{Kind: mock.FaultStatus, At: []int{1}, Status: 429, Header: map[string]string{"Retry-After": value, "X-Request-Id": "req-1"}}}}})
		a := client(t, target(s.URL()), Options{}).Send(t.Context(), request(true))
		if d := want - a.RetryAfter; d < 0 || d > 3*time.Second {
			t.Errorf("%s: %s, want %s", value, a.RetryAfter, want)
		}
		if a.Meta.RetryAfterMS != a.RetryAfter.Milliseconds() || a.Meta.Headers["retry-after"] != value || a.Meta.RequestID != "req-1" {
			t.Errorf("%+v", a.Meta)
		}
	}
}

func TestUnreachable(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	selfSigned := httptest.NewTLSServer(http.NotFoundHandler())
	selfSigned.Config.ErrorLog = quiet()
	defer selfSigned.Close()
	for url, says := range map[string]string{
		"http://" + addr + "/v1":           "nothing listens on " + addr,
		"http://no-such-host.invalid/v1":   "cannot be resolved",
		"https://" + plain.URL[7:] + "/v1": "does not speak TLS",
		selfSigned.URL + "/v1":             "certificate is not valid",
	} {
		a := client(t, target(url), Options{}).Send(t.Context(), request(false))
		if a.Meta.Outcome != ledger.Transport || a.Meta.Status != 0 || a.Meta.MayBeBilled || !strings.Contains(a.Meta.Detail, says) {
			t.Errorf("%s: %s (%s), billed %v", url, a.Meta.Outcome, a.Meta.Detail, a.Meta.MayBeBilled)
		}
	}
}

func TestCancel(t *testing.T) {
	t.Parallel()
	s := start(t, mock.Options{Script: &mock.Script{Faults: []mock.Fault{
		{Kind: mock.FaultHang, At: []int{1}},
		{Kind: mock.FaultHang, At: []int{2}, AfterPieces: 6},
	}}})
	c := client(t, target(s.URL()), Options{})
	for i, part := range []bool{false, true} {
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		a := c.Send(ctx, request(true))
		cancel()
		if a.Meta.Outcome != ledger.Cancelled || !a.Meta.MayBeBilled || (a.Reply.Text != "") != part || (len(a.Response) > 0) != part {
			t.Errorf("request %d: %+v, text %q", i, a.Meta, a.Reply.Text)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if a := c.Send(ctx, request(false)); a.Meta.Outcome != ledger.Cancelled || a.Meta.MayBeBilled {
		t.Errorf("cancelled before: %+v", a.Meta)
	}
}

func TestSentOnce(t *testing.T) {
	t.Parallel()
	s := start(t, mock.Options{})
	p, err := client(t, target(s.URL()), Options{}).Prepare(request(false))
	if err != nil {
		t.Fatal(err)
	}
	p.Do(t.Context())
	defer func() {
		if recover() == nil || len(s.Requests()) != 1 {
			t.Errorf("sent %d times", len(s.Requests()))
		}
	}()
	p.Do(t.Context())
}

// TestNeverBare: a request that does not come from a flight is refused.
func TestNeverBare(t *testing.T) {
	t.Parallel()
	s := start(t, mock.Options{})
	c := client(t, target(s.URL()), Options{})
	if _, err := c.openai.ListModels(t.Context()); err == nil {
		t.Error("a bare request was sent")
	}
	f := &flight{}
	if _, err := c.openai.ListModels(withFlight(t.Context(), f)); err != nil || f.status != 200 || !f.complete {
		t.Errorf("%v", err)
	}
	if _, err := c.openai.ListModels(withFlight(t.Context(), f)); err == nil {
		t.Error("a flight was flown twice")
	}
}

// TestRefusedModelNames: the library refuses these names with parameters that
// the plan may well ask for.
func TestRefusedModelNames(t *testing.T) {
	t.Parallel()
	for _, model := range []string{"o1-mini", "o3", "o4-mini", "gpt-5-nano", "gpt-4o", "text-davinci-003"} {
		s := start(t, mock.Options{Models: map[string]mock.Generator{model: mock.Words{}}})
		tg := target(s.URL())
		tg.Model = model
		c := client(t, tg, Options{})
		for _, kind := range []string{wire.Chat, wire.Completion} {
			r := request(false)
			r.Kind, r.Params.Logprobs, r.Params.Temperature = kind, ptr(1), ptr(0.5)
			if a := c.Send(t.Context(), r); a.Meta.Outcome != ledger.OK || a.Meta.Model != model {
				t.Errorf("%s %s: %+v", model, kind, a.Meta)
			}
		}
	}
}

func TestManyStreams(t *testing.T) {
	t.Parallel()
	s := start(t, mock.Options{Script: &mock.Script{Faults: []mock.Fault{{Kind: mock.FaultTrickle, Every: 1, DelayMS: 2}}}})
	c := client(t, target(s.URL()), Options{})
	const n = 200
	results := make(chan Attempt)
	for i := range n {
		go func() {
			r := request(true)
			r.Sample = i
			results <- c.Send(t.Context(), r)
		}()
	}
	texts := map[string]bool{}
	for range n {
		a := <-results
		if a.Meta.Outcome != ledger.OK {
			t.Errorf("%+v", a.Meta)
		}
		texts[a.Reply.Text] = true
	}
	if len(texts) != n {
		t.Errorf("%d different texts of %d", len(texts), n)
	}
	if got := fmt.Sprint(len(s.Requests())); got != "200" {
		t.Errorf("%s requests", got)
	}
}

// TestCutAtEveryByte cuts a real stream at every byte, as a broken connection and as
// a clean end: a part is never taken for a reply, and what came is kept.
func TestCutAtEveryByte(t *testing.T) {
	t.Parallel()
	s := start(t, mock.Options{})
	r := request(true)
	r.Params.MaxTokens = 8
	whole := client(t, target(s.URL()), Options{}).Send(t.Context(), r)
	if whole.Meta.Outcome != ledger.OK || len(whole.Response) < 800 {
		t.Fatalf("%+v", whole.Meta)
	}
	done := strings.Index(string(whole.Response), "data: [DONE]") + len("data: [DONE]")
	for _, broken := range []bool{true, false} {
		for cut := range len(whole.Response) {
			c := client(t, target("http://127.0.0.1/v1"), Options{Transport: roundTripper(func(req *http.Request) (*http.Response, error) {
				httptrace.ContextClientTrace(req.Context()).WroteHeaders()
				var body io.Reader = strings.NewReader(string(whole.Response[:cut]))
				if broken {
					body = io.MultiReader(body, iotest.ErrReader(io.ErrUnexpectedEOF))
				}
				return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(body), Request: req, ContentLength: -1}, nil
			})})
			a := c.Send(t.Context(), r)
			m := a.Meta
			ok := cut >= done && !broken || cut > done && broken // a line without its end may have been cut
			if (m.Outcome == ledger.OK) != ok || string(a.Response) != string(whole.Response[:cut]) || !strings.HasPrefix(whole.Reply.Text, a.Reply.Text) {
				t.Fatalf("cut at %d of %d (broken: %v): %s (%s), text %q", cut, len(whole.Response), broken, m.Outcome, m.Detail, a.Reply.Text)
			}
			if !ok && (!m.Outcome.Retryable() || m.Detail == "" || !m.MayBeBilled) {
				t.Fatalf("cut at %d: %+v", cut, m)
			}
		}
	}
}
