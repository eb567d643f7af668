package wire

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/stillmark/stillmark/probe/ledger"
)

// Alt is an alternative token with its natural log-probability.
type Alt struct {
	Token   string
	Logprob float64
}

// TokenLogprob is one token of a reply (with echo: of the prompt, too).
type TokenLogprob struct {
	Token   string
	Bytes   []byte  // the token's raw bytes where the server gives them, else nil
	Logprob float64 // natural logarithm; meaningful only if Known
	Known   bool    // false where the server says null: the first token of an echoed prompt has no probability, which is not p = 1
	Top     []Alt   // as sent, in their order; strings that collide are all kept
	Offset  int     // text_offset of completions, -1 where absent
}

// DecodeLogprobs reads the log-probabilities of the reply's tokens, from
// completions and from chat completions, whole or streamed. It returns nil and
// no error when the reply has none. A reply that is cut gives what could be
// read: judge it by [Decode] first. Errors: a body that is malformed, lists of
// unequal length, a probability above 1.
func DecodeLogprobs(x Exchange) ([]TokenLogprob, error) {
	d := decoder{kind: x.Kind, collect: true}
	if r := d.run(x); r.Outcome == ledger.Malformed {
		return nil, errors.New("read log-probabilities: " + r.Detail)
	}
	for i, t := range d.logprobs {
		// 1e-3 allows for servers that round sums of float16 probabilities.
		if t.Known && t.Logprob > 1e-3 {
			return nil, fmt.Errorf("read log-probabilities: token %d has log-probability %g, above 0", i, t.Logprob)
		}
	}
	return d.logprobs, nil
}

// Candidate is one token that a server weighed at a position of the prompt.
type Candidate struct {
	ID      int32 // in the server's vocabulary
	Token   string
	Logprob float64
	Rank    int // 1 is the arg-max; 0 where the server does not say
}

// PromptToken is one token of a prompt: Candidates[0] is the token itself, the
// others are what else was likely there. It has none where the server says null:
// the first token of a prompt has no probability.
type PromptToken struct{ Candidates []Candidate }

// DecodePromptLogprobs reads the log-probabilities of the prompt's tokens, which
// vLLM sends as "prompt_logprobs". It returns nil and no error when the reply has
// none. Errors are those of [DecodeLogprobs].
func DecodePromptLogprobs(x Exchange) ([]PromptToken, error) {
	d := decoder{kind: x.Kind, collect: true}
	if r := d.run(x); r.Outcome == ledger.Malformed {
		return nil, errors.New("read log-probabilities of the prompt: " + r.Detail)
	}
	for i, t := range d.prompt {
		for _, c := range t.Candidates {
			if c.Logprob > 1e-3 {
				return nil, fmt.Errorf("read log-probabilities of the prompt: token %d has log-probability %g, above 0", i, c.Logprob)
			}
		}
	}
	return d.prompt, nil
}

// readPrompt reads a list with, for every token of the prompt, null or an object
// from the ids of candidates to what is known of them, the token's own first.
func (d *decoder) readPrompt(p *parser) error {
	if !d.collect || p.peek() != '[' {
		return p.skip()
	}
	if d.prompt != nil {
		return p.fail("two lists of prompt_logprobs")
	}
	d.prompt = []PromptToken{}
	return p.array(func() error {
		var t PromptToken
		if !p.null() {
			err := p.object(func(name []byte) error {
				id, err := strconv.ParseInt(string(name), 10, 32)
				if err != nil || id < 0 {
					return p.fail("expected a token id")
				}
				c, err := candidate(p)
				c.ID = int32(id)
				t.Candidates = append(t.Candidates, c)
				return err
			})
			if err != nil {
				return err
			}
		}
		d.prompt = append(d.prompt, t)
		return nil
	})
}

func candidate(p *parser) (Candidate, error) {
	var c Candidate
	said := false
	err := p.object(func(name []byte) error {
		var err error
		switch string(name) {
		case "logprob":
			said = true
			c.Logprob, err = p.float()
		case "rank":
			if p.null() {
				return nil
			}
			var n int64
			n, err = p.count()
			c.Rank = int(n)
		case "decoded_token":
			if p.null() {
				return nil
			}
			var b []byte
			b, err = p.str()
			c.Token = string(joinSurrogates(b))
		default:
			err = p.skip()
		}
		return err
	})
	if err == nil && !said {
		err = p.fail("a candidate without a log-probability")
	}
	return c, err
}

// readLogprobs reads the logprobs member of a choice. Its columns are those of
// completions; "content" is the list of chat completions, which llama.cpp
// writes for completions, too.
func (d *decoder) readLogprobs(p *parser) error {
	var (
		rows    []TokenLogprob
		probs   []TokenLogprob // Logprob and Known only
		top     [][]Alt
		offsets []int
		columns bool
	)
	err := p.object(func(name []byte) error {
		if p.null() {
			return nil
		}
		switch string(name) {
		case "tokens":
			columns = true
			return p.array(func() error {
				b, err := p.str()
				rows = append(rows, TokenLogprob{Token: string(joinSurrogates(b)), Offset: -1})
				return err
			})
		case "token_logprobs":
			return p.array(func() error {
				var t TokenLogprob
				err := t.logprob(p)
				probs = append(probs, t)
				return err
			})
		case "top_logprobs":
			return p.array(func() error {
				alts, err := topMap(p)
				top = append(top, alts)
				return err
			})
		case "text_offset":
			return p.array(func() error {
				n, err := p.count()
				offsets = append(offsets, int(n))
				return err
			})
		case "content":
			return p.array(func() error {
				t, err := chatToken(p)
				d.logprobs = append(d.logprobs, t)
				return err
			})
		}
		return p.skip()
	})
	if err != nil || !columns {
		return err
	}
	if len(probs) != len(rows) || top != nil && len(top) != len(rows) || offsets != nil && len(offsets) != len(rows) {
		return p.fail("lists of log-probabilities of unequal length")
	}
	for i := range rows {
		rows[i].Logprob, rows[i].Known = probs[i].Logprob, probs[i].Known
		if top != nil {
			rows[i].Top = top[i]
		}
		if offsets != nil {
			rows[i].Offset = offsets[i]
		}
	}
	d.logprobs = append(d.logprobs, rows...)
	return nil
}

// logprob reads a number or null.
func (t *TokenLogprob) logprob(p *parser) error {
	if p.null() {
		return nil
	}
	var err error
	t.Logprob, err = p.float()
	t.Known = err == nil
	return err
}

// topMap reads the alternatives of completions: an object from token to
// logprob, or null. Equal names are kept.
func topMap(p *parser) ([]Alt, error) {
	if p.null() {
		return nil, nil
	}
	alts := []Alt{}
	err := p.object(func(name []byte) error {
		lp, err := p.float()
		alts = append(alts, Alt{string(joinSurrogates(name)), lp})
		return err
	})
	return alts, err
}

// chatToken reads one element of a chat's logprobs.content.
func chatToken(p *parser) (TokenLogprob, error) {
	t := TokenLogprob{Offset: -1}
	err := p.object(func(name []byte) error {
		switch string(name) {
		case "token":
			b, err := p.str()
			t.Token = string(joinSurrogates(b))
			return err
		case "logprob":
			return t.logprob(p)
		case "bytes":
			if p.null() {
				return nil
			}
			t.Bytes = []byte{}
			return p.array(func() error {
				n, err := p.count()
				if err == nil && n > 255 {
					return p.fail("expected a byte")
				}
				t.Bytes = append(t.Bytes, byte(n))
				return err
			})
		case "top_logprobs":
			if p.null() {
				return nil
			}
			return p.array(func() error {
				a, err := chatToken(p)
				if a.Known {
					t.Top = append(t.Top, Alt{a.Token, a.Logprob})
				}
				return err
			})
		}
		return p.skip()
	})
	return t, err
}
