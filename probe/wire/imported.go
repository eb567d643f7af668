package wire

import (
	"fmt"
	"math"
	"unicode/utf8"

	"github.com/stillmark/stillmark/probe/ledger"
)

// Line is a reply that was gathered elsewhere, as one line of a file of JSON
// objects. Of its members prompt is needed, and text or tokens; null is as good
// as absent.
type Line struct {
	ID     string // of the prompt
	Prompt string
	System string
	Lang   string
	Silent bool         // it has neither text, reasoning nor tokens, nor says that it was refused
	Reply  ledger.Reply // class, text, reasoning, finish reason, model, ids, usage
}

// ParseLine reads a line strictly: an unknown member, one that is given twice,
// trailing text and bytes that are no UTF-8 are errors.
func ParseLine(b []byte) (Line, error) {
	d := decoder{kind: ledger.KindImported}
	l, err := d.parseLine(b)
	if err != nil {
		return Line{}, err
	}
	l.Reply = Decode(Exchange{Kind: ledger.KindImported, Body: b, Complete: true})
	// A filter, a refusal or a spent budget leaves no text: that is the reply.
	l.Silent = d.text == nil && d.reasoning == nil && d.tokens == nil && l.Reply.Outcome == ledger.Empty
	return l, nil
}

// lineMembers are the members of a line, for the message about another one.
const lineMembers = "id, prompt, system, lang, text, reasoning, prompt_tokens, tokens, finish_reason, model, usage"

func (d *decoder) parseLine(b []byte) (Line, error) {
	var (
		l Line
		p = parser{b: b}
	)
	text := func(dst *string) error {
		var s []byte
		if err := appendString(&p, &s); err != nil {
			return err
		}
		if *dst = string(joinSurrogates(s)); !utf8.ValidString(*dst) {
			return p.fail("text that is not UTF-8")
		}
		return nil
	}
	err := p.object(func(name []byte) error {
		switch string(name) {
		case "id":
			return text(&l.ID)
		case "prompt":
			return text(&l.Prompt)
		case "system":
			return text(&l.System)
		case "lang":
			return text(&l.Lang)
		case "text":
			if p.null() {
				return nil
			}
			if d.text == nil {
				d.text = []byte{} // an empty reply is one
			}
			return appendString(&p, &d.text)
		case "reasoning":
			return appendString(&p, &d.reasoning)
		case "prompt_tokens":
			return ids(&p, &d.promptTokens)
		case "tokens":
			return ids(&p, &d.tokens)
		case "finish_reason":
			return d.label(&p, &d.finish)
		case "model":
			return d.label(&p, &d.model)
		case "usage":
			return d.readUsage(&p)
		}
		return p.fail(fmt.Sprintf("unknown member %s; known are %s", quote(name), lineMembers))
	})
	if err == nil {
		err = p.end()
	}
	if err == nil && l.Prompt == "" {
		err = p.fail("no prompt")
	}
	return l, err
}

// ids reads a list of token ids.
func ids(p *parser, dst *[]int32) error {
	if p.null() {
		return nil
	}
	*dst = []int32{}
	return p.array(func() error {
		n, err := p.count()
		if err == nil && n > math.MaxInt32 {
			err = p.fail("expected a token id")
		}
		*dst = append(*dst, int32(n))
		return err
	})
}

// line classes an imported reply.
func (d *decoder) line(x Exchange) (ledger.Outcome, string) {
	if len(x.Body) > MaxBody {
		return ledger.Malformed, fmt.Sprintf("the line is larger than %d MiB", MaxBody>>20)
	}
	if _, err := d.parseLine(x.Body); err != nil {
		return ledger.Malformed, "the line is no reply: " + err.Error()
	}
	d.join()
	if !utf8.Valid(d.text) || !utf8.Valid(d.reasoning) {
		return ledger.Malformed, "the text is not UTF-8"
	}
	if len(d.tokens) > 0 && len(d.text) == 0 {
		return ledger.OK, "" // ids alone
	}
	return d.whole()
}
