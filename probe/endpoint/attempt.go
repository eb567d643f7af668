package endpoint

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	openai "github.com/sashabaranov/go-openai"

	"github.com/stillmark/stillmark/probe/ledger"
	"github.com/stillmark/stillmark/probe/wire"
)

// Prepared is a request whose bytes are fixed and which has not been sent yet:
// the runner writes its intent line between Prepare and Do.
type Prepared struct {
	Body []byte // the request body, exactly as it will be sent; must not be changed
	URL  string

	client *Client
	kind   string
	stream bool
	used   atomic.Bool
}

// Prepare fixes the bytes of a request. Errors: a request that cannot be
// written, or a prompt that contains the API key, which must not reach the disk.
func (c *Client) Prepare(req Request) (*Prepared, error) {
	body, err := c.body(req)
	if err != nil {
		return nil, fmt.Errorf("prepare %s: %w", either(req.Item, "request"), err)
	}
	if c.secret.occursIn(string(body), req.Prompt, req.System) {
		return nil, fmt.Errorf("prepare %s: the request contains the API key of target %s; take it out of the prompt", either(req.Item, "request"), c.target.Name)
	}
	p := &Prepared{Body: body, URL: strings.TrimRight(c.target.BaseURL, "/") + "/chat/completions", client: c, kind: req.kind(), stream: req.Params.Stream}
	if p.kind == wire.Completion {
		p.URL = strings.TrimRight(c.target.BaseURL, "/") + "/completions"
	}
	return p, nil
}

// Attempt is one attempt: what was sent, what came back, and what it is. The key
// and echoes of it are redacted in all of it.
type Attempt struct {
	Meta       ledger.Attempt // Response is nil: the caller stores the bytes
	Reply      ledger.Reply   // decoded from Response
	Request    []byte         // request body as sent
	Response   []byte         // raw response body as far as it came
	Started    time.Time
	RetryAfter time.Duration // as the target asks, uncapped; see MaxRetryAfter
	TLSCertSHA string        // hex SHA-256 of the server's certificate, "" without TLS
}

// Do sends the prepared request: one attempt, no retry. It never fails: what
// went wrong is the attempt's outcome and detail. It may be called once.
//
// Cancelling ctx, or its deadline, gives the outcome cancelled unless the reply
// was whole by then; what had come is kept.
func (p *Prepared) Do(ctx context.Context) Attempt {
	if p.used.Swap(true) {
		panic("endpoint: a prepared request was sent twice")
	}
	c := p.client
	f := &flight{body: p.Body, stream: p.stream}
	started := time.Now()
	c.call(withFlight(ctx, f), p.kind, p.stream)
	a := c.attempt(p, f, ctx.Err() != nil)
	a.Started = started
	return a
}

// Send is Prepare and Do. A request that cannot be prepared gives an attempt of
// class rejected with status 0.
func (c *Client) Send(ctx context.Context, req Request) Attempt {
	p, err := c.Prepare(req)
	if err != nil {
		r := ledger.Reply{Outcome: ledger.Rejected, Detail: err.Error()}
		return Attempt{Reply: r, Meta: ledger.Attempt{Target: c.target.Name, Outcome: r.Outcome, Detail: r.Detail, Kind: req.kind(), Stream: req.Params.Stream}, Started: time.Now()}
	}
	return p.Do(ctx)
}

// placeholder is the model that the library is told. It builds the path and a
// body that the recorder replaces; under this name it refuses nothing, as it
// does for some names and parameters.
const placeholder = "as-planned"

// call lets the library make the request. Its results are not used: all that
// counts is in the flight, errors included.
func (c *Client) call(ctx context.Context, kind string, stream bool) {
	chat := openai.ChatCompletionRequest{Model: placeholder, Messages: []openai.ChatCompletionMessage{{Role: openai.ChatMessageRoleUser, Content: placeholder}}}
	text := openai.CompletionRequest{Model: placeholder, Prompt: placeholder}
	switch {
	case kind == wire.Chat && stream:
		if s, err := c.openai.CreateChatCompletionStream(ctx, chat); err == nil {
			s.Close()
		}
	case kind == wire.Chat:
		_, _ = c.openai.CreateChatCompletion(ctx, chat)
	case stream:
		if s, err := c.openai.CreateCompletionStream(ctx, text); err == nil {
			s.Close()
		}
	default:
		_, _ = c.openai.CreateCompletion(ctx, text)
	}
}

// attempt reads a flight: redacts, decodes, classes.
func (c *Client) attempt(p *Prepared, f *flight, cancelled bool) Attempt {
	if f.err == nil && !f.flown {
		f.err = errors.New("the request was not sent") // the library refused it
	}
	a := Attempt{Request: p.Body, Response: c.redact(f.response), TLSCertSHA: f.certSHA}
	a.Reply = wire.Decode(wire.Exchange{Status: f.status, Kind: p.kind, Stream: p.stream, Body: a.Response, Complete: f.complete})
	if r := &a.Reply; c.secret.occursIn(r.Text, r.Reasoning, r.Detail, r.Model, r.ResponseID, r.Fingerprint, r.Provider, r.Finish) {
		// In pieces or escaped: redaction byte by byte cannot reach it.
		a.Response = nil
		a.Reply = ledger.Reply{Outcome: ledger.Malformed, Detail: "the response spells out the API key; nothing of it was kept"}
	}
	r := &a.Reply
	detail := r.Detail
	switch r.Outcome {
	case ledger.Transport, ledger.Truncated, ledger.Malformed:
		// The reply was not whole; the cause stands in the record of the attempt,
		// since it cannot be read from the bytes.
		switch {
		case f.err == nil:
		case cancelled:
			r.Outcome, r.Detail = ledger.Cancelled, "cancelled before the reply was whole"
			detail = r.Detail
		case f.status == 0:
			detail = c.networkError(f.err)
		default:
			detail += ": " + c.networkError(f.err)
		}
	}
	a.Meta = ledger.Attempt{
		Target: c.target.Name, Outcome: r.Outcome, Detail: detail, Kind: p.kind, Stream: p.stream,
		Status: f.status, Complete: f.complete, Headers: c.keepHeaders(f.header),
		Model: r.Model, Fingerprint: r.Fingerprint, Provider: r.Provider, Usage: r.Usage,
		FirstByteMS: milliseconds(f.firstByte), TotalMS: milliseconds(f.total),
		MayBeBilled: f.mayBeBilled(r.Outcome),
	}
	a.Meta.RequestID = requestID(a.Meta.Headers, r.ResponseID)
	if f.status >= 400 {
		now := time.Now()
		if d, ok := explicitWait(f.header, now); ok {
			a.RetryAfter = d
		} else if d, ok := resetWait(f.header, now); ok && f.status == http.StatusTooManyRequests {
			a.RetryAfter = d
		}
		a.Meta.RetryAfterMS = a.RetryAfter.Milliseconds()
	}
	return a
}

// mayBeBilled reports whether the target may have done the work although no
// reply can be counted: the request went out, and its outcome is unknown. 504 and
// 524 are gateways that gave up waiting for a server that may still be busy.
func (f *flight) mayBeBilled(o ledger.Outcome) bool {
	switch o {
	case ledger.Transport, ledger.Truncated, ledger.Malformed, ledger.Cancelled:
	default:
		return false
	}
	return f.sent.Load() && (f.status == 0 || f.status/100 == 2 || f.status == 504 || f.status == 524)
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// networkError words what went wrong on the way.
func (c *Client) networkError(err error) string {
	return string(c.redact([]byte(faultSentence(err))))
}

func faultSentence(err error) string {
	var (
		timeout *timeoutError
		dns     *net.DNSError
		op      *net.OpError
		cert    *tls.CertificateVerificationError
		record  tls.RecordHeaderError
	)
	switch {
	case errors.As(err, &timeout):
		return timeout.sentence
	case errors.As(err, &dns):
		return fmt.Sprintf("the name %s cannot be resolved", dns.Name)
	case errors.As(err, &cert):
		return "the server's certificate is not valid: " + cert.Err.Error()
	case errors.As(err, &record):
		return "the server does not speak TLS: try an http:// base URL if it is a local one"
	case errors.As(err, &op) && op.Op == "dial":
		switch {
		case op.Timeout():
			return fmt.Sprintf("no connection to %s in time", address(op))
		case errors.Is(err, syscall.ECONNREFUSED):
			return fmt.Sprintf("nothing listens on %s (connection refused)", address(op))
		}
		return fmt.Sprintf("no connection to %s: %v", address(op), op.Err)
	case errors.Is(err, syscall.ECONNRESET):
		return "the connection was reset"
	}
	return "the connection failed: " + err.Error()
}

func address(op *net.OpError) string {
	if op.Addr == nil {
		return "the target"
	}
	return op.Addr.String()
}
