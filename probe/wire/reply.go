package wire

import (
	"strings"
	"unicode"

	"github.com/stillmark/stillmark/probe/ledger"
)

// decoder gathers one reply from its JSON text or from the events of a stream.
type decoder struct {
	kind     string
	collect  bool // keep log-probabilities, too
	logprobs []TokenLogprob
	prompt   []PromptToken

	id, model, otherModel, fingerprint, provider string

	choices   int  // choices read; chunks of a stream count each
	answered  bool // a choice had its message, delta or text
	text      []byte
	reasoning []byte // reasoning_content, or thinking parts
	reasonAlt []byte // "reasoning": the same under the name that other servers use
	refusal   bool
	toolCall  bool
	finish    string
	usage     *ledger.Usage
	fault     fault

	tokens, promptTokens []int32 // of imported replies
}

// join settles what only the whole reply can tell.
func (d *decoder) join() {
	if len(d.reasoning) == 0 {
		d.reasoning = d.reasonAlt
	}
	d.text = joinSurrogates(d.text)
	d.reasoning = joinSurrogates(d.reasoning)
}

// member is the name under which a choice holds its text.
func (d *decoder) member(chunk bool) string {
	switch {
	case d.kind == Completion:
		return "text"
	case chunk:
		return "delta"
	}
	return "message"
}

// document reads one JSON text: a whole reply, a chunk of a stream, or an error.
func (d *decoder) document(b []byte, chunk bool) error {
	var (
		p     = parser{b: b}
		known bool  // choices, usage or an error was there
		flat  fault // error members at the top level, as some servers write them
	)
	err := p.object(func(name []byte) error {
		switch string(name) {
		case "id":
			return d.label(&p, &d.id)
		case "model":
			return d.readModel(&p)
		case "system_fingerprint":
			return d.label(&p, &d.fingerprint)
		case "provider":
			return d.label(&p, &d.provider)
		case "choices":
			known = true
			if p.null() {
				return nil
			}
			return p.array(func() error { return d.choice(&p, chunk) })
		case "usage":
			known = true
			return d.readUsage(&p)
		case "prompt_logprobs": // of chats
			return d.readPrompt(&p)
		case "error":
			if p.null() {
				return nil
			}
			known = true
			d.fault.set = true
			return d.fault.read(&p)
		case "base_resp":
			if p.null() {
				return nil
			}
			return d.fault.baseResp(&p)
		case "object":
			if p.peek() != '"' {
				return p.skip()
			}
			b, err := p.str()
			flat.set = flat.set || string(b) == "error"
			return err
		case "message", "detail", "code", "type", "status":
			return flat.member(&p, name)
		}
		return p.skip()
	})
	if err == nil {
		err = p.end()
	}
	if err != nil {
		return err
	}
	if !d.fault.set && (flat.set || !known && (flat.message != "" || flat.code != "")) {
		d.fault = flat
		d.fault.set = true
		known = true
	}
	if !known {
		return p.fail("neither choices nor an error")
	}
	return nil
}

// maxLabel bounds ids, model names and other labels, in bytes: they are printed.
const maxLabel = 256

// label reads a string that identifies something. What is no string is skipped:
// it is not part of the reply, and null is common. The first one is kept.
func (d *decoder) label(p *parser, dst *string) error {
	if p.peek() != '"' {
		return p.skip()
	}
	b, err := p.str()
	if err != nil || *dst != "" {
		return err
	}
	*dst = clean(string(b[:min(len(b), maxLabel)]))
	return nil
}

// readModel reads the model's name, and notices when a stream changes it.
func (d *decoder) readModel(p *parser) error {
	if d.model == "" || p.peek() != '"' {
		return d.label(p, &d.model)
	}
	b, err := p.str()
	if err != nil || len(b) == 0 || string(b) == d.model || d.otherModel != "" {
		return err
	}
	if m := clean(string(b[:min(len(b), maxLabel)])); m != d.model {
		d.otherModel = m
	}
	return nil
}

// choice reads one choice. The plan asks for one; a second is malformed.
func (d *decoder) choice(p *parser, chunk bool) error {
	d.choices++
	member := d.member(chunk)
	ended := d.finish != ""
	before := len(d.text)
	err := p.object(func(name []byte) error {
		switch string(name) {
		case "index":
			i, err := p.count()
			if err == nil && i != 0 {
				return p.fail("more than one choice")
			}
			return err
		case "finish_reason":
			if p.null() {
				return nil
			}
			b, err := p.str()
			if err != nil || len(b) == 0 {
				return err
			}
			f := clean(string(b[:min(len(b), maxLabel)]))
			if d.finish != "" && d.finish != f {
				return p.fail("two finish reasons")
			}
			d.finish = f
			return nil
		case "message", "delta":
			if string(name) != member {
				return p.skip()
			}
			d.answered = true
			if p.null() {
				return nil
			}
			return d.message(p)
		case "text":
			if string(name) != member {
				return p.skip()
			}
			d.answered = true
			return appendString(p, &d.text)
		case "logprobs":
			p.loose = true
			defer func() { p.loose = false }()
			if !d.collect || p.peek() != '{' {
				return p.skip()
			}
			return d.readLogprobs(p)
		case "prompt_logprobs": // of completions
			return d.readPrompt(p)
		case "error": // OpenRouter puts errors of upstream servers here
			if p.null() {
				return nil
			}
			d.fault.set = true
			return d.fault.read(p)
		}
		return p.skip()
	})
	switch {
	case err != nil:
		return err
	case !chunk && d.choices > 1:
		return p.fail("more than one choice")
	case ended && len(d.text) > before:
		return p.fail("text after the finish reason")
	}
	return nil
}

// message reads a message or a delta.
func (d *decoder) message(p *parser) error {
	return p.object(func(name []byte) error {
		switch string(name) {
		case "content":
			if p.peek() == '[' {
				return p.array(func() error { return d.part(p) })
			}
			return appendString(p, &d.text)
		case "reasoning_content":
			return appendString(p, &d.reasoning)
		case "reasoning":
			if p.peek() != '"' {
				return p.skip()
			}
			return appendString(p, &d.reasonAlt)
		case "refusal":
			var s []byte
			if err := appendString(p, &s); err != nil {
				return err
			}
			d.refusal = d.refusal || len(s) > 0
			return nil
		case "tool_calls":
			if p.null() {
				return nil
			}
			return p.array(func() error {
				d.toolCall = true
				return p.skip()
			})
		case "function_call":
			if p.null() {
				return nil
			}
			d.toolCall = true
			return p.skip()
		}
		return p.skip()
	})
}

// part reads one element of a content array. Text parts are joined; thinking
// parts (Mistral) are reasoning; others carry no text.
func (d *decoder) part(p *parser) error {
	if p.peek() == '"' {
		return appendString(p, &d.text)
	}
	var text, thinking, refusal []byte
	var typ string
	err := p.object(func(name []byte) error {
		switch string(name) {
		case "type":
			return d.label(p, &typ)
		case "text":
			return appendString(p, &text)
		case "refusal":
			return appendString(p, &refusal)
		case "thinking", "reasoning":
			if p.peek() != '[' {
				return appendString(p, &thinking)
			}
			inner := decoder{kind: d.kind}
			err := p.array(func() error { return inner.part(p) })
			thinking = append(thinking, inner.text...)
			return err
		}
		return p.skip()
	})
	switch typ {
	case "thinking", "reasoning":
		d.reasoning = append(append(d.reasoning, thinking...), text...)
	default:
		d.text = append(d.text, text...)
		d.refusal = d.refusal || len(refusal) > 0
	}
	return err
}

// readUsage reads the target's count of tokens. Streams may repeat it; the last
// one stands.
func (d *decoder) readUsage(p *parser) error {
	if p.null() {
		return nil
	}
	var u ledger.Usage
	count := func(dst *int64) error {
		if p.null() {
			return nil
		}
		var err error
		*dst, err = p.count()
		return err
	}
	err := p.object(func(name []byte) error {
		switch string(name) {
		case "prompt_tokens":
			return count(&u.PromptTokens)
		case "completion_tokens":
			return count(&u.CompletionTokens)
		case "completion_tokens_details":
			if p.null() {
				return nil
			}
			return p.object(func(name []byte) error {
				if string(name) == "reasoning_tokens" {
					return count(&u.ReasoningTokens)
				}
				return p.skip()
			})
		case "cost":
			// A number with OpenRouter; other vendors put an object here.
			if c := p.peek(); c != '-' && (c < '0' || c > '9') {
				return p.skip()
			}
			var err error
			u.Cost, err = p.float()
			return err
		}
		return p.skip()
	})
	if err == nil {
		d.usage = &u
	}
	return err
}

// appendString appends a string; null is none.
func appendString(p *parser, dst *[]byte) error {
	if p.null() {
		return nil
	}
	b, err := p.str()
	*dst = append(*dst, b...)
	return err
}

// maxDetail bounds what is quoted from a target in a sentence, in runes.
const maxDetail = 300

// clean makes text of a target fit for a line of our own: no control or format
// characters (a hostile server could write to the terminal), no line breaks, at
// most maxDetail runes.
func clean(s string) string {
	var b strings.Builder
	n, space := 0, false
	for _, r := range s {
		if unicode.IsSpace(r) || !unicode.IsPrint(r) {
			space = b.Len() > 0
			continue
		}
		if n >= maxDetail {
			b.WriteString("…")
			break
		}
		if space {
			b.WriteByte(' ')
			space = false
		}
		b.WriteRune(r)
		n++
	}
	return b.String()
}

// quote is clean text in quotation marks.
func quote(b []byte) string { return `"` + clean(string(b[:min(len(b), 4*maxDetail)])) + `"` }
