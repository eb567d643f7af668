package endpoint

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync/atomic"
	"time"

	"github.com/stillmark/stillmark/probe/wire"
)

// Timeouts bound one attempt. A zero member means its default.
type Timeouts struct {
	Connect time.Duration // TCP and TLS each, 10 s
	Headers time.Duration // from the start to the response's headers, 120 s
	Idle    time.Duration // between two reads of the body, 60 s
	Total   time.Duration // the whole attempt, 600 s
}

// The defaults: slow reasoning models take a minute to their first byte when
// they do not stream, and servers that stream send keep-alives every 15 s or so.
var defaultTimeouts = Timeouts{Connect: 10 * time.Second, Headers: 120 * time.Second, Idle: 60 * time.Second, Total: 600 * time.Second}

func (t Timeouts) withDefaults() Timeouts {
	for _, m := range []struct {
		have *time.Duration
		def  time.Duration
	}{
		{&t.Connect, defaultTimeouts.Connect},
		{&t.Headers, defaultTimeouts.Headers},
		{&t.Idle, defaultTimeouts.Idle},
		{&t.Total, defaultTimeouts.Total},
	} {
		if *m.have <= 0 {
			*m.have = m.def
		}
	}
	return t
}

// doneGrace is how long a stream may stay open after [DONE]: the reply is whole,
// only the connection would be lost for reuse.
const doneGrace = 2 * time.Second

// recorder is the flight recorder: the HTTPDoer under go-openai. It sends the
// bytes of the flight that the request's context carries, whatever body the
// library has built, and records what comes back.
type recorder struct {
	transport http.RoundTripper
	timeouts  Timeouts
	secret    Secret
}

// flight is one exchange: what to send, and what was recorded of it. Nothing in
// it is redacted yet.
type flight struct {
	body   []byte // nil for a GET
	stream bool

	flown     bool
	sent      atomic.Bool // the request's headers were written
	status    int
	header    http.Header
	response  []byte
	complete  bool
	err       error
	certSHA   string
	firstByte time.Duration // to the first byte of the response's body, 0 if none
	total     time.Duration
}

type flightKey struct{}

func withFlight(ctx context.Context, f *flight) context.Context {
	return context.WithValue(ctx, flightKey{}, f)
}

// timeoutError is a deadline of ours; cancelling with it tells it from the
// caller's cancellation.
type timeoutError struct{ sentence string }

func (e *timeoutError) Error() string { return e.sentence }

// Do flies the flight of the request's context. The library gets the status and
// an empty object for a body: it has nothing to say about the reply, and hostile
// bytes do not reach its decoder.
func (r *recorder) Do(req *http.Request) (*http.Response, error) {
	f, ok := req.Context().Value(flightKey{}).(*flight)
	if !ok || f.flown {
		return nil, errors.New("endpoint: a request without a flight of its own")
	}
	f.flown = true
	start := time.Now()
	ctx, cancel := context.WithCancelCause(req.Context())
	defer cancel(nil)
	total := time.AfterFunc(r.timeouts.Total, func() {
		cancel(&timeoutError{fmt.Sprintf("the attempt took longer than %s", r.timeouts.Total)})
	})
	defer total.Stop()

	f.err = r.fly(ctx, cancel, f, req, start)
	f.total = time.Since(start)
	if f.err != nil && req.Context().Err() == nil {
		if t := (*timeoutError)(nil); errors.As(context.Cause(ctx), &t) {
			f.err = t
		}
	}
	if f.status == 0 {
		return nil, f.err
	}
	return &http.Response{StatusCode: f.status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader("{}")), ContentLength: 2, Request: req}, nil
}

func (r *recorder) fly(ctx context.Context, cancel context.CancelCauseFunc, f *flight, req *http.Request, start time.Time) error {
	waiting := time.AfterFunc(r.timeouts.Headers, func() {
		cancel(&timeoutError{fmt.Sprintf("no response within %s", r.timeouts.Headers)})
	})
	resp, err := r.transport.RoundTrip(r.outgoing(ctx, f, req))
	waiting.Stop()
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	f.sent.Store(true)
	f.status, f.header = resp.StatusCode, resp.Header
	if resp.TLS != nil && len(resp.TLS.PeerCertificates) > 0 {
		sum := sha256.Sum256(resp.TLS.PeerCertificates[0].Raw)
		f.certSHA = hex.EncodeToString(sum[:])
	}
	return r.read(cancel, f, resp, start)
}

// outgoing is the request that is sent: method and URL of the library's, headers
// and body of ours. The user agent is Go's own: one that names an auditor would
// tell the target that it is being audited.
func (r *recorder) outgoing(ctx context.Context, f *flight, req *http.Request) *http.Request {
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteHeaders: func() { f.sent.Store(true) }})
	out := req.Clone(ctx)
	out.Header = http.Header{"Accept": {"application/json"}}
	out.Body, out.ContentLength, out.GetBody = nil, 0, nil
	if f.body != nil {
		out.Header.Set("Content-Type", "application/json")
		out.ContentLength = int64(len(f.body))
		// With GetBody the transport may take another connection when a kept one
		// turns out to be closed before anything was written to it.
		out.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(f.body)), nil }
		out.Body, _ = out.GetBody()
	}
	if f.stream {
		out.Header.Set("Accept", "text/event-stream")
	}
	if key := r.secret.key(); key != "" {
		out.Header.Set("Authorization", "Bearer "+key)
	}
	return out
}

// read reads the body to its end, to a deadline or to one byte beyond the cap.
func (r *recorder) read(cancel context.CancelCauseFunc, f *flight, resp *http.Response, start time.Time) error {
	idle := time.AfterFunc(r.timeouts.Idle, func() {
		cancel(&timeoutError{fmt.Sprintf("the response paused for more than %s", r.timeouts.Idle)})
	})
	defer idle.Stop()
	size := 4096
	if n := resp.ContentLength; n > 0 && n <= wire.MaxBody {
		size = int(n) + 512 // io.EOF needs a read of its own
	}
	buf := make([]byte, 0, size)
	wait := r.timeouts.Idle
	for {
		if len(buf) == cap(buf) {
			buf = append(buf, 0)[:len(buf)]
		}
		end := min(cap(buf), wire.MaxBody+1)
		n, err := resp.Body.Read(buf[len(buf):end])
		if n > 0 && len(buf) == 0 {
			f.firstByte = time.Since(start)
		}
		buf = buf[:len(buf)+n]
		f.response = buf
		switch {
		case err == io.EOF:
			f.complete = true
			return nil
		case err != nil:
			return err
		case len(buf) > wire.MaxBody:
			return nil // too large: the byte beyond the cap says so
		}
		if f.stream && hasDone(buf, n) {
			wait = min(wait, doneGrace)
		}
		idle.Reset(wait)
	}
}

// hasDone reports whether the last n bytes of a stream, or the line that they
// continue, hold the line data: [DONE].
func hasDone(b []byte, n int) bool {
	tail := b[max(0, len(b)-n-len("\ndata: [DONE]")):]
	return bytes.Contains(tail, []byte("\ndata: [DONE]")) || bytes.Contains(tail, []byte("\ndata:[DONE]"))
}
