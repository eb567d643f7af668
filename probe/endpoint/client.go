package endpoint

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/stillmark/stillmark/probe/ledger"
)

// Timeouts bound one attempt. A zero member means its default.
type Timeouts struct {
	Connect time.Duration // TCP and TLS, 10 s
	Headers time.Duration // from sending to the response's headers, 120 s
	Idle    time.Duration // between two reads of the body, 60 s
	Total   time.Duration // the whole attempt, 600 s
}

// Options are the settings of a client. The zero value is usable.
type Options struct {
	MaxConcurrency int                 // connections kept for reuse, 0 means 256
	Timeouts       Timeouts            // zero members mean the defaults
	LookupEnv      func(string) string // os.Getenv if nil
	Transport      http.RoundTripper   // for tests; nil means the client's own pool
}

// Request is one request to a target.
type Request struct {
	Item   string // id of the item, for messages only: it is not sent
	Kind   string // wire.Chat (also the meaning of "") or wire.Completion
	System string // system prompt, not sent when empty
	Prompt string // user message, or the prompt of a completion
	Params ledger.Params
	Sample int // sample k is sent seed Params.Seed + k

	Logprobs *int                       // completions: logprobs; chat: logprobs true and top_logprobs; nil is not sent
	Echo     bool                       // completions only: return the prompt, too
	Extra    map[string]json.RawMessage // further members of the body, sent in order of their names
}

// RequestFor is the request that asks for an item of a plan.
func RequestFor(it ledger.Item, p ledger.Params) Request {
	return Request{Item: it.ID, System: it.Prompt.System, Prompt: it.Prompt.Text, Params: p, Sample: it.Sample}
}

// Client sends requests to one target. It is safe for concurrent use.
type Client struct{}

// New makes a client for a target. A key that is named but not set, and a base
// URL that cannot be used, are a [*ConfigError].
func New(t ledger.Target, opt Options) (*Client, error) { return &Client{}, nil }

// Close closes idle connections.
func (c *Client) Close() {}

// Prepared is a request whose bytes are fixed and which has not been sent yet:
// the runner writes its intent line between Prepare and Do.
type Prepared struct {
	Body []byte // the request body, exactly as it will be sent
	URL  string
}

// Prepare fixes the bytes of a request.
func (c *Client) Prepare(req Request) (*Prepared, error) { return &Prepared{}, nil }

// Attempt is one attempt: what was sent, what came back, and what it is. Key
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
func (p *Prepared) Do(ctx context.Context) Attempt { return Attempt{} }

// Send is Prepare and Do. A request that cannot be prepared gives an attempt of
// class rejected with status 0.
func (c *Client) Send(ctx context.Context, req Request) Attempt { return Attempt{} }
