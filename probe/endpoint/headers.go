package endpoint

import (
	"net/http"
	"strings"
)

// keptHeaders are the response headers that are recorded: those that identify
// the request, the server and its model, and the limits in force. Cookies and
// account names are not.
var keptHeaders = []string{
	"Content-Type", "Content-Length", "Date", "Server", "Via", "Location",
	"Retry-After", "Retry-After-Ms", "X-Should-Retry",
	"X-Request-Id", "Request-Id", "X-Ds-Trace-Id", "X-Trace-Id", "Trace-Id", "Cf-Ray", "Msh-Request-Id",
	"Openai-Model", "Openai-Version", "Openai-Processing-Ms", "X-Model", "X-Model-Id", "X-Served-Model",
}

// keptPrefixes are families of headers that are recorded.
var keptPrefixes = []string{"X-Ratelimit-", "Anthropic-Ratelimit-"}

const (
	// maxHeader bounds a recorded header, in bytes; request ids have up to 100.
	maxHeader = 256
	// maxHeaders bounds their number: a server may invent any number of
	// X-Ratelimit headers.
	maxHeaders = 40
)

// keepHeaders picks the headers to record, with lower-case names, cut, redacted
// and without control characters.
func (c *Client) keepHeaders(h http.Header) map[string]string {
	kept := map[string]string{}
	keep := func(name string, values []string) {
		if len(values) == 0 || len(kept) >= maxHeaders {
			return
		}
		v := string(c.redact([]byte(strings.Join(values, ", "))))
		v = strings.Map(func(r rune) rune {
			if r < ' ' || r > '~' {
				return '?'
			}
			return r
		}, v)
		kept[strings.ToLower(name)] = v[:min(len(v), maxHeader)]
	}
	for _, name := range keptHeaders {
		keep(name, h[name])
	}
	for name, values := range h {
		for _, prefix := range keptPrefixes {
			if strings.HasPrefix(name, prefix) {
				keep(string(c.redact([]byte(name[:min(len(name), maxHeader)]))), values)
			}
		}
	}
	if len(kept) == 0 {
		return nil
	}
	return kept
}

// requestID is the id by which the target's operator can find the request:
// a header, or else the reply's own id.
func requestID(headers map[string]string, responseID string) string {
	for _, name := range []string{"x-request-id", "request-id", "msh-request-id", "x-ds-trace-id", "x-trace-id", "trace-id", "cf-ray"} {
		if v := headers[name]; v != "" {
			return v
		}
	}
	return responseID
}
