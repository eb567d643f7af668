package wire

import (
	"bytes"
	"fmt"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// maxDepth is how deep values may nest. Replies of the protocol nest 7 deep
// (choices, choice, logprobs, content, token, top_logprobs, alternative); 64
// leaves room for vendors and keeps hostile input off the stack.
const maxDepth = 64

// parser is a strict pull parser of one JSON text (RFC 8259). It is used
// instead of encoding/json because a recorded reply must not be read in two
// ways: duplicate members are an error here, not "the last one wins", and bytes
// that are no UTF-8 are handed on as they are instead of becoming U+FFFD, so
// that a rune cut in two by a stream is whole again when the parts are joined.
type parser struct {
	b     []byte
	i     int
	depth int
	// loose allows duplicate members. It is set inside logprobs only: there
	// names are token strings, and different tokens can have the same string,
	// for instance parts of runes that are all written U+FFFD.
	loose bool
}

type syntaxError struct {
	off int
	msg string
}

func (e *syntaxError) Error() string { return fmt.Sprintf("%s at byte %d", e.msg, e.off) }

func (p *parser) fail(msg string) error { return &syntaxError{p.i, msg} }

func (p *parser) space() {
	for p.i < len(p.b) {
		switch p.b[p.i] {
		case ' ', '\t', '\n', '\r':
			p.i++
		default:
			return
		}
	}
}

// peek returns the first byte of the next token, 0 at the end.
func (p *parser) peek() byte {
	p.space()
	if p.i < len(p.b) {
		return p.b[p.i]
	}
	return 0
}

// end checks that nothing but white space is left.
func (p *parser) end() error {
	if p.peek() != 0 || p.i < len(p.b) {
		return p.fail("trailing bytes after the JSON value")
	}
	return nil
}

// smallObject is how many names are compared one by one before a set is built.
const smallObject = 32

// object reads an object and calls member with each name; member must consume
// the value. Duplicate names are an error.
func (p *parser) object(member func(name []byte) error) error {
	if p.peek() != '{' {
		return p.fail("expected an object")
	}
	if p.depth++; p.depth > maxDepth {
		return p.fail("nested too deep")
	}
	p.i++
	if p.peek() == '}' {
		p.i++
		p.depth--
		return nil
	}
	var (
		few  [smallObject][]byte
		n    int
		many map[string]struct{}
	)
	for {
		if p.peek() != '"' {
			return p.fail("expected a member name")
		}
		name, err := p.str()
		if err != nil {
			return err
		}
		if !p.loose {
			dup := false
			for _, s := range few[:n] {
				dup = dup || string(s) == string(name)
			}
			if n < smallObject {
				few[n] = name
				n++
			} else if !dup {
				if many == nil {
					many = map[string]struct{}{}
				}
				_, dup = many[string(name)]
				many[string(name)] = struct{}{}
			}
			if dup {
				return p.fail("duplicate member " + strconv.Quote(clean(string(name))))
			}
		}
		if p.peek() != ':' {
			return p.fail("expected a colon")
		}
		p.i++
		if err := member(name); err != nil {
			return err
		}
		switch p.peek() {
		case ',':
			p.i++
		case '}':
			p.i++
			p.depth--
			return nil
		default:
			return p.fail("expected a comma or the end of the object")
		}
	}
}

// array reads an array and calls element for each one; element must consume it.
func (p *parser) array(element func() error) error {
	if p.peek() != '[' {
		return p.fail("expected an array")
	}
	if p.depth++; p.depth > maxDepth {
		return p.fail("nested too deep")
	}
	p.i++
	if p.peek() == ']' {
		p.i++
		p.depth--
		return nil
	}
	for {
		if err := element(); err != nil {
			return err
		}
		switch p.peek() {
		case ',':
			p.i++
		case ']':
			p.i++
			p.depth--
			return nil
		default:
			return p.fail("expected a comma or the end of the array")
		}
	}
}

// null consumes a null if one is next.
func (p *parser) null() bool {
	if p.peek() == 'n' && p.literal("null") == nil {
		return true
	}
	return false
}

func (p *parser) literal(s string) error {
	if len(p.b)-p.i < len(s) || string(p.b[p.i:p.i+len(s)]) != s {
		return p.fail("expected a JSON value")
	}
	p.i += len(s)
	return nil
}

// str reads a string. The result may share the input's memory.
func (p *parser) str() ([]byte, error) {
	if p.peek() != '"' {
		return nil, p.fail("expected a string")
	}
	p.i++
	start := p.i
	for p.i < len(p.b) {
		switch c := p.b[p.i]; {
		case c == '"':
			p.i++
			return p.b[start : p.i-1], nil
		case c == '\\':
			return p.escaped(append(make([]byte, 0, p.i-start+64), p.b[start:p.i]...))
		case c < 0x20:
			return nil, p.fail("control character in a string")
		}
		p.i++
	}
	return nil, p.fail("unfinished string")
}

// escaped reads the rest of a string from its first backslash on.
func (p *parser) escaped(out []byte) ([]byte, error) {
	for p.i < len(p.b) {
		switch c := p.b[p.i]; {
		case c == '"':
			p.i++
			return out, nil
		case c < 0x20:
			return nil, p.fail("control character in a string")
		case c != '\\':
			start := p.i
			for p.i < len(p.b) && p.b[p.i] != '"' && p.b[p.i] != '\\' && p.b[p.i] >= 0x20 {
				p.i++
			}
			out = append(out, p.b[start:p.i]...)
			continue
		}
		p.i++
		if p.i >= len(p.b) {
			break
		}
		c := p.b[p.i]
		p.i++
		switch c {
		case '"', '\\', '/':
			out = append(out, c)
		case 'b':
			out = append(out, '\b')
		case 'f':
			out = append(out, '\f')
		case 'n':
			out = append(out, '\n')
		case 'r':
			out = append(out, '\r')
		case 't':
			out = append(out, '\t')
		case 'u':
			r, ok := p.hex4()
			if !ok {
				return nil, p.fail("bad \\u escape")
			}
			out = appendUTF16(out, r)
		default:
			return nil, p.fail("bad escape")
		}
	}
	return nil, p.fail("unfinished string")
}

func (p *parser) hex4() (rune, bool) {
	if len(p.b)-p.i < 4 {
		return 0, false
	}
	var r rune
	for _, c := range p.b[p.i : p.i+4] {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	p.i += 4
	return r, true
}

// appendUTF16 appends one UTF-16 code unit. A surrogate is written in the three
// bytes that its number would have in UTF-8 (WTF-8), and a low one that follows
// a high one is joined with it, so that a pair joins across strings, too:
// servers that stream by UTF-16 units cut pairs between two events.
func appendUTF16(out []byte, u rune) []byte {
	if !utf16.IsSurrogate(u) {
		return utf8.AppendRune(out, u)
	}
	if n := len(out); u >= 0xDC00 && n >= 3 {
		if hi, ok := surrogate(out[n-3:]); ok && hi < 0xDC00 {
			return utf8.AppendRune(out[:n-3], utf16.DecodeRune(hi, u))
		}
	}
	return append(out, 0xE0|byte(u>>12), 0x80|byte(u>>6)&0xBF, 0x80|byte(u)&0xBF)
}

// surrogate reads a surrogate in its three-byte form.
func surrogate(b []byte) (rune, bool) {
	if len(b) < 3 || b[0] != 0xED || b[1] < 0xA0 || b[1] > 0xBF || b[2]&0xC0 != 0x80 {
		return 0, false
	}
	return 0xD000 | rune(b[1]&0x3F)<<6 | rune(b[2]&0x3F), true
}

// joinSurrogates joins the pairs that appending strings has brought together.
// A surrogate that stays alone is no character: it becomes U+FFFD, as in every
// JSON decoder.
func joinSurrogates(b []byte) []byte {
	if !hasSurrogate(b) {
		return b
	}
	out := make([]byte, 0, len(b))
	for i := 0; i < len(b); {
		u, ok := surrogate(b[i:])
		if !ok {
			out = append(out, b[i])
			i++
			continue
		}
		i += 3
		if lo, ok := surrogate(b[i:]); ok && u < 0xDC00 && lo >= 0xDC00 {
			out = utf8.AppendRune(out, utf16.DecodeRune(u, lo))
			i += 3
			continue
		}
		out = utf8.AppendRune(out, utf8.RuneError)
	}
	return out
}

func hasSurrogate(b []byte) bool {
	for {
		i := bytes.IndexByte(b, 0xED)
		if i < 0 || i+2 >= len(b) {
			return false
		}
		if b[i+1] >= 0xA0 {
			return true
		}
		b = b[i+1:]
	}
}

// number reads a number and returns its text.
func (p *parser) number() ([]byte, error) {
	p.space()
	start := p.i
	if p.i < len(p.b) && p.b[p.i] == '-' {
		p.i++
	}
	switch {
	case p.i < len(p.b) && p.b[p.i] == '0':
		p.i++
	case !p.digits():
		return nil, p.fail("expected a JSON value")
	}
	if p.i < len(p.b) && p.b[p.i] == '.' {
		p.i++
		if !p.digits() {
			return nil, p.fail("bad number")
		}
	}
	if p.i < len(p.b) && p.b[p.i]|0x20 == 'e' {
		p.i++
		if p.i < len(p.b) && (p.b[p.i] == '+' || p.b[p.i] == '-') {
			p.i++
		}
		if !p.digits() {
			return nil, p.fail("bad number")
		}
	}
	return p.b[start:p.i], nil
}

// digits consumes digits and reports whether there was one.
func (p *parser) digits() bool {
	start := p.i
	for p.i < len(p.b) && '0' <= p.b[p.i] && p.b[p.i] <= '9' {
		p.i++
	}
	return p.i > start
}

// float reads a finite number.
func (p *parser) float() (float64, error) {
	s, err := p.number()
	if err != nil {
		return 0, err
	}
	f, err := strconv.ParseFloat(string(s), 64)
	if err != nil {
		return 0, p.fail("number out of range")
	}
	return f, nil
}

// count reads a number of tokens: a whole number from 0 to 2^53.
func (p *parser) count() (int64, error) {
	f, err := p.float()
	if err != nil {
		return 0, err
	}
	if f < 0 || f > 1<<53 || f != float64(int64(f)) {
		return 0, p.fail("expected a count")
	}
	return int64(f), nil
}

// skip consumes any value, checking all of it.
func (p *parser) skip() error {
	switch p.peek() {
	case '{':
		return p.object(func([]byte) error { return p.skip() })
	case '[':
		return p.array(p.skip)
	case '"':
		_, err := p.str()
		return err
	case 't':
		return p.literal("true")
	case 'f':
		return p.literal("false")
	case 'n':
		return p.literal("null")
	}
	_, err := p.number()
	return err
}
