package wire

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/stillmark/stillmark/probe/ledger"
)

// The kinds of exchange.
const (
	Chat       = ledger.KindChat       // POST /chat/completions
	Completion = ledger.KindCompletion // POST /completions
)

// MaxBody is the largest response body that is read: 16 MiB. A reply of 100,000
// tokens with five logprobs each is about 10 MiB; what is larger is hostile.
const MaxBody = 16 << 20

// Exchange is what was recorded of one response.
type Exchange struct {
	Status   int    // HTTP status, 0 when no response came
	Kind     string // Chat or Completion
	Stream   bool   // a stream was asked for
	Body     []byte // raw bytes of the response body, as far as they came
	Complete bool   // the body was read to its end without an error
}

// Decode classes an exchange and reads the reply out of it. The outcome is OK
// only for a whole reply: for one JSON body, a complete body with a finish
// reason; for a stream, a finish reason and the [DONE] that follows it.
// Whatever text could be read is in the result whichever the outcome is.
//
// Two faults cannot be seen on the wire: a server that repeats a chunk of text
// (equal chunks occur in good streams), and a text cut by a server that then
// ends the protocol properly.
func Decode(x Exchange) ledger.Reply {
	d := decoder{kind: x.Kind}
	return d.run(x)
}

// run decodes the exchange; what was read is in d afterwards.
func (d *decoder) run(x Exchange) ledger.Reply {
	outcome, detail := d.exchange(x)
	r := ledger.Reply{
		Outcome:     outcome,
		Finish:      d.finish,
		Text:        string(d.text),
		Reasoning:   string(d.reasoning),
		Model:       d.model,
		Fingerprint: d.fingerprint,
		Provider:    d.provider,
		ResponseID:  d.id,
		Usage:       d.usage,
		Detail:      detail,

		Tokens: d.tokens, PromptTokens: d.promptTokens,
	}
	return r
}

func (d *decoder) exchange(x Exchange) (ledger.Outcome, string) {
	switch {
	case x.Kind == ledger.KindImported:
		return d.line(x)
	case x.Status == 0:
		return ledger.Transport, "no response came"
	case x.Status < 200 || x.Status > 299:
		return d.failure(x)
	case len(x.Body) > MaxBody:
		return ledger.Malformed, fmt.Sprintf("the body is larger than %d MiB", MaxBody>>20)
	}
	first := firstByte(x.Body)
	switch {
	case first == 0 && x.Complete:
		return ledger.Malformed, "the body is empty"
	case first == 0:
		return ledger.Transport, "the connection broke before the first byte of the body"
	case first == '<':
		return ledger.Malformed, "the body is HTML or XML, not a reply"
	case x.Stream && first != '{':
		return d.streamBody(x)
	}
	return d.jsonBody(x)
}

// firstByte is the first byte that is not white space, 0 if there is none.
func firstByte(b []byte) byte {
	for _, c := range b {
		if c != ' ' && c != '\t' && c != '\n' && c != '\r' {
			return c
		}
	}
	return 0
}

// failure classes a response whose status says that there is no reply.
func (d *decoder) failure(x Exchange) (ledger.Outcome, string) {
	if len(x.Body) <= MaxBody && firstByte(x.Body) == '{' {
		// The error's text is for people; a body that cannot be read wholly
		// still has its status.
		_ = d.document(x.Body, false)
	}
	outcome := statusOutcome(x.Status, d.fault)
	detail := fmt.Sprintf("HTTP %d", x.Status)
	if x.Status >= 300 && x.Status <= 399 {
		detail += ": redirects are refused; set the base URL to the final address"
	} else if s := d.fault.sentence(); s != "" {
		detail += ": " + s
	}
	// What an error page says is neither text nor model of a reply.
	*d = decoder{kind: d.kind, id: d.id}
	return outcome, detail
}

// jsonBody decodes a reply in one JSON text.
func (d *decoder) jsonBody(x Exchange) (ledger.Outcome, string) {
	err := d.document(x.Body, false)
	d.join()
	switch {
	case !x.Complete:
		return ledger.Truncated, "the connection broke before the end of the body"
	case err != nil:
		return ledger.Malformed, "the body is no reply: " + err.Error()
	case d.fault.set:
		return d.fault.outcome(), "the reply is an error: " + d.fault.sentence()
	case d.choices == 0:
		return ledger.Malformed, "the reply has no choices"
	case !d.answered:
		return ledger.Malformed, "the choice has no " + d.member(false)
	case !utf8.Valid(d.text) || !utf8.Valid(d.reasoning):
		return ledger.Malformed, "the text is not UTF-8"
	case d.finish == "":
		return ledger.Truncated, "the reply has no finish reason"
	}
	return d.whole()
}

// streamBody decodes a reply in server-sent events.
func (d *decoder) streamBody(x Exchange) (ledger.Outcome, string) {
	var (
		s    = events{b: x.Body, complete: x.Complete}
		n    int  // events read
		done bool // [DONE] was seen
		cut  bool // the last event was cut
	)
	for !d.fault.set {
		ev, bad, ok := s.next()
		if bad != nil {
			d.join()
			return ledger.Malformed, "the stream has a line that is no server-sent event: " + quote(bad)
		}
		if !ok {
			break
		}
		n++
		data := bytes.TrimSpace(ev.data)
		switch {
		case done:
			d.join()
			return ledger.Malformed, "the stream goes on after [DONE]"
		case string(data) == "[DONE]":
			done = true
			continue
		case !ev.closed && !x.Complete:
			// More data lines may have belonged to it.
			cut = true
			continue
		case len(data) == 0 || ev.name == "ping":
			continue
		}
		if ev.name == "error" {
			d.faultEvent(data)
			break
		}
		if err := d.document(data, true); err != nil {
			if !ev.closed {
				cut = true
				continue
			}
			d.join()
			return ledger.Malformed, fmt.Sprintf("event %d is no part of a reply: %v", n, err)
		}
	}
	d.join()
	switch {
	case d.fault.set:
		o := d.fault.outcome()
		if len(d.text) > 0 && (o == ledger.Rejected || o == ledger.Malformed || o == ledger.Transport) {
			o = ledger.Truncated
		}
		return o, "the stream ends with an error: " + d.fault.sentence()
	case n == 0 && x.Complete:
		return ledger.Malformed, "the stream has no events"
	case d.otherModel != "":
		return ledger.Drifted, fmt.Sprintf("the stream names two models: %s, then %s", quote([]byte(d.model)), quote([]byte(d.otherModel)))
	case !done && !x.Complete:
		return ledger.Truncated, "the connection broke before the end of the stream"
	case !done && cut:
		return ledger.Truncated, "the stream ends inside an event"
	case !done:
		return ledger.Truncated, "the stream ends without [DONE]"
	case d.finish == "":
		return ledger.Truncated, "the stream has no finish reason"
	case !utf8.Valid(d.text) || !utf8.Valid(d.reasoning):
		return ledger.Malformed, "the text is not UTF-8"
	}
	return d.whole()
}

// whole classes a reply that came to its end.
func (d *decoder) whole() (ledger.Outcome, string) {
	finish := strings.ToLower(d.finish)
	switch finish {
	case "content_filter", "sensitive", "safety", "recitation", "prohibited_content", "blocklist", "spii":
		return ledger.Filtered, "finish reason " + quote([]byte(d.finish))
	case "error", "abort", "aborted", "cancelled", "canceled", "timeout", "network_error", "insufficient_system_resource":
		return ledger.Truncated, "the target broke the reply off: finish reason " + quote([]byte(d.finish))
	}
	switch {
	case d.refusal:
		return ledger.Refused, "the message is a refusal"
	case finish == "refusal":
		return ledger.Refused, "finish reason refusal"
	case len(bytes.TrimSpace(d.text)) > 0 || d.kind == Completion && len(d.text) > 0:
		// A text may well go on with a line break; a chat does not answer with one.
		return ledger.OK, ""
	case d.toolCall:
		return ledger.Empty, "the reply calls a tool and has no text"
	case finish == "length" && (d.usage == nil || d.usage.CompletionTokens > 0):
		return ledger.Exhausted, "the whole budget was used before the first word of the answer"
	}
	return ledger.Empty, "the reply has no text"
}

// SameModel reports whether answered may stand for the model that was asked
// for. A server that says nothing, or says the name with another case, with its
// vendor before a slash, or with a version after it ("-2024-08-06", "-0613",
// "-001", ":latest", "@001") is taken at its word. Whether another name is drift
// is the caller's decision, as is comparing with the very name that a
// capability test saw.
func SameModel(expected, answered string) bool {
	if answered == "" {
		return true
	}
	base := func(s string) string {
		s = strings.ToLower(s)
		return s[strings.LastIndexByte(s, '/')+1:]
	}
	e, a := base(expected), base(answered)
	rest, ok := strings.CutPrefix(a, e)
	if !ok || e == "" {
		return false
	}
	if rest == "" || rest == ":latest" {
		return true
	}
	if rest[0] != '-' && rest[0] != '@' {
		return false
	}
	// A version is digits in groups: at least three of them, so that
	// "-2" or "-70b", which name other models, are not versions.
	digits := 0
	for _, c := range rest[1:] {
		switch {
		case '0' <= c && c <= '9':
			digits++
		case c != '-':
			return false
		}
	}
	return digits >= 3
}
