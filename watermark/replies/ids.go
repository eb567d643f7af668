package replies

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"math"
	"math/bits"
	"strings"
	"unicode/utf8"

	"github.com/stillmark/stillmark/watermark"
)

// idsReader reads JSON lines of token ids, twenty times faster than encoding/json:
// logs of served ids run to terabytes. Lines in any form that it does not know are
// left to encoding/json, and so are all errors.
//
// It keeps the items' memory for the next line.
type idsReader struct {
	tokens, prompt string // names of the members
	item           watermark.Item
	at             int
	raw            []byte
	id             []byte // as it stands
	hasTokens      bool
}

// names takes the members' names from the options, and reports whether this reader
// knows lines of them: those with all of them at the top.
func (r *idsReader) names(opt Options) bool {
	r.tokens, r.prompt = "tokens", "prompt_tokens"
	if opt.Field != "" {
		r.tokens, r.prompt = opt.Field, cmp.Or(opt.PromptField, "\x00") // which no JSON has: no prompt is read
	} else if opt.PromptField != "" {
		return false
	}
	return opt.IDs && !strings.ContainsAny(r.tokens+r.prompt, `.\"`) && r.tokens != r.prompt && r.tokens != "id" && r.prompt != "id"
}

// read is the item of a line and true, or false for a line that encoding/json is to
// judge. Members that are not asked for are skipped and not checked.
func (r *idsReader) read(raw []byte) bool {
	r.raw, r.at, r.id, r.hasTokens = raw, 0, nil, false
	r.item.Tokens, r.item.Prompt = r.item.Tokens[:0], r.item.Prompt[:0]
	if !utf8.Valid(raw) || !r.next('{') {
		return false
	}
	for first := true; ; first = false {
		if first && r.next('}') {
			break
		}
		key, ok := r.text()
		if !ok || !r.next(':') {
			return false
		}
		r.space()
		begin := r.at
		switch string(key) {
		case r.tokens:
			r.item.Tokens, ok = r.ids(r.item.Tokens[:0])
			r.hasTokens = true
		case r.prompt:
			r.item.Prompt, ok = r.ids(r.item.Prompt[:0])
		case "id":
			ok = r.skip()
			r.id = bytes.TrimSpace(raw[begin:r.at])
		default:
			ok = r.skip() && !r.known(key)
		}
		if !ok {
			return false
		}
		if r.next('}') {
			break
		}
		if !r.next(',') {
			return false
		}
	}
	r.space()
	if r.at != len(raw) || !r.hasTokens {
		return false
	}
	r.item.ID = idOf(r.id)
	return true
}

// known reports names that encoding/json would take for one of ours in other
// letters.
func (r *idsReader) known(key []byte) bool {
	return strings.EqualFold(string(key), r.tokens) || strings.EqualFold(string(key), r.prompt) || strings.EqualFold(string(key), "id")
}

func (r *idsReader) space() {
	for r.at < len(r.raw) && (r.raw[r.at] == ' ' || r.raw[r.at] == '\t' || r.raw[r.at] == '\r' || r.raw[r.at] == '\n') {
		r.at++
	}
}

// next takes one character after white space.
func (r *idsReader) next(c byte) bool {
	r.space()
	if r.at < len(r.raw) && r.raw[r.at] == c {
		r.at++
		return true
	}
	return false
}

// text takes a string without escapes.
func (r *idsReader) text() ([]byte, bool) {
	if !r.next('"') {
		return nil, false
	}
	n := bytes.IndexByte(r.raw[r.at:], '"')
	if n < 0 || bytes.IndexByte(r.raw[r.at:r.at+n], '\\') >= 0 {
		return nil, false
	}
	s := r.raw[r.at : r.at+n]
	r.at += n + 1
	return s, true
}

// ids takes a list of numbers, each from 0 to 2^31-1.
func (r *idsReader) ids(out []int32) ([]int32, bool) {
	if !r.next('[') {
		return out, false
	}
	if r.next(']') {
		return out, true
	}
	raw, i := r.raw, r.at
	for {
		for i < len(raw) && raw[i] == ' ' {
			i++
		}
		id, n := number(raw[i:])
		if n == 0 || n > 10 || id > math.MaxInt32 || n > 1 && raw[i] == '0' {
			return out, false
		}
		i += n
		out = append(out, int32(id))
		for i < len(raw) && raw[i] == ' ' {
			i++
		}
		switch {
		case i < len(raw) && raw[i] == ',':
			i++
		case i < len(raw) && raw[i] == ']':
			r.at = i + 1
			return out, true
		default:
			return out, false
		}
	}
}

// number is the number in the leading digits of raw, and how many they are; of more
// than ten the value means nothing.
//
// Ids are of all lengths, so a loop over their digits ends where no branch predictor
// expects it. Up to seven digits are therefore found and added up side by side in one
// register: bytes to pairs, to fours, to eight.
func number(raw []byte) (value uint64, digits int) {
	if len(raw) >= 8 {
		x := binary.LittleEndian.Uint64(raw) ^ 0x3030303030303030  // digits become 0 to 9
		other := (x + 0x7676767676767676 | x) & 0x8080808080808080 // their top bits stay clear
		if n := bits.TrailingZeros64(other) / 8; n > 0 && n < 8 {
			x <<= 64 - 8*n // leading zeros
			x = (x*10 + x>>8) & 0x00ff00ff00ff00ff
			x = (x*100 + x>>16) & 0x0000ffff0000ffff
			return (x*10_000 + x>>32) & 0xffffffff, n
		}
	}
	for digits < len(raw) && digits <= 10 && raw[digits]-'0' <= 9 {
		value = value*10 + uint64(raw[digits]-'0')
		digits++
	}
	return value, digits
}

// skip takes any value: to the end of its string or of its brackets, or up to what
// cannot belong to it.
func (r *idsReader) skip() bool {
	depth := 0
	begin := r.at
	for ; r.at < len(r.raw); r.at++ {
		switch r.raw[r.at] {
		case '"':
			if !r.skipString() {
				return false
			}
			r.at-- // the loop takes the closing quote
			if depth == 0 {
				r.at++
				return true
			}
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 {
				return r.at > begin
			}
			if depth--; depth == 0 {
				r.at++
				return true
			}
		case ',':
			if depth == 0 {
				return r.at > begin
			}
		}
	}
	return false
}

// skipString takes a string with its quotes.
func (r *idsReader) skipString() bool {
	for r.at++; ; {
		n := bytes.IndexByte(r.raw[r.at:], '"')
		if n < 0 {
			return false
		}
		r.at += n + 1
		escapes := 0
		for i := r.at - 2; r.raw[i] == '\\'; i-- {
			escapes++
		}
		if escapes%2 == 0 {
			return true
		}
	}
}
