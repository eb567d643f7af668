// Package replies reads the texts that a detector scores: a plain text, or
// JSON lines of texts or of token ids, from files or standard input, one item
// in memory at a time.
//
// It may import package watermark and the standard library.
package replies

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"unicode/utf8"

	"github.com/stillmark/stillmark/watermark"
)

// MaxItem bounds one plain text or one JSON line, in bytes. It is the size at
// which the probe runner refuses a reply: 16 MiB hold about four million
// tokens, a hundred times the longest context in service.
const MaxItem = 16 << 20

// Options say what the input holds.
type Options struct {
	// IDs: JSON lines with "id", "tokens" and optionally "prompt_tokens".
	// Otherwise texts: plain, or JSON lines with "id", "text" and optionally
	// "prompt". Other members are ignored.
	IDs bool
	// Format is "jsonl", "text" or "" to tell them apart: an input whose first
	// line is a JSON object is read as JSON lines.
	Format string
	// Field is where the text (with IDs the list of ids) stands in a JSON line, and
	// PromptField where the prompt does, if not at the top: names and numbers of
	// list entries, separated by dots, as in "choices.0.message.content". A dot in
	// a name is written "\.". What is null there is an empty text. PromptField may
	// be absent from a line.
	Field, PromptField string
	// Tokenizer encodes texts; unused with IDs.
	Tokenizer watermark.Tokenizer
}

// Error names the place in the input that cannot be read.
type Error struct {
	Name string
	Line int // from 1; 0 for a plain text
	Err  error
}

func (e *Error) Error() string {
	if e.Line == 0 {
		return fmt.Sprintf("%s: %v", e.Name, e.Err)
	}
	return fmt.Sprintf("%s, line %d: %v", e.Name, e.Line, e.Err)
}

func (e *Error) Unwrap() error { return e.Err }

// ExitCode is that of usage errors.
func (e *Error) ExitCode() int { return 2 }

// Read calls yield for every item of r in order; name stands in messages and is
// the id of a plain text. An input without any item is an error.
func Read(r io.Reader, name string, opt Options, yield func(watermark.Item) error) error {
	return ReadRaw(r, name, opt, func(_ []byte, it watermark.Item) error { return yield(it) })
}

// ReadRaw is [Read] for those who want more of a JSON line than its item: yield gets
// the line as well, nil for a plain text, valid until it returns.
func ReadRaw(r io.Reader, name string, opt Options, yield func(raw []byte, it watermark.Item) error) error {
	switch opt.Format {
	case "", "jsonl", "text":
	default:
		return &Error{name, 0, fmt.Errorf("format %q is neither jsonl nor text", opt.Format)}
	}
	pathed := opt.Field != "" || opt.PromptField != ""
	if pathed && opt.Format == "text" {
		return &Error{name, 0, errors.New("a plain text has no fields; leave the field or the format out")}
	}
	br := bufio.NewReaderSize(r, 1<<16)
	jsonl := opt.IDs || opt.Format == "jsonl" || pathed
	if !jsonl && opt.Format == "" {
		jsonl = looksLikeJSONLines(br)
	}
	if jsonl {
		return readLines(br, name, opt, yield)
	}
	data, err := io.ReadAll(io.LimitReader(br, MaxItem+1))
	switch {
	case err != nil:
		return &Error{name, 0, fmt.Errorf("reading: %w", err)}
	case len(data) > MaxItem:
		return &Error{name, 0, fmt.Errorf("the text is longer than %d MiB; split it, or give it as JSON lines", MaxItem>>20)}
	case len(bytes.TrimSpace(data)) == 0:
		return &Error{name, 0, errors.New("the file is empty, there is nothing to score")}
	}
	if err := checkText(data); err != nil {
		return &Error{name, 0, err}
	}
	ids, err := opt.Tokenizer.Encode(string(data))
	if err != nil {
		return &Error{name, 0, err}
	}
	return yield(nil, watermark.Item{ID: name, Tokens: ids})
}

// looksLikeJSONLines peeks at the first line: it is a JSON object, or begins
// like one and is too long to tell.
func looksLikeJSONLines(br *bufio.Reader) bool {
	head, _ := br.Peek(1 << 16)
	head = bytes.TrimLeft(bytes.TrimPrefix(head, []byte("\ufeff")), " \t\r\n")
	if len(head) == 0 || head[0] != '{' {
		return false
	}
	line, _, whole := bytes.Cut(head, []byte("\n"))
	return !whole && len(head) > 1<<15 || json.Valid(bytes.TrimSpace(line))
}

// checkText refuses what is no text, so that a wrong file is not scored.
func checkText(data []byte) error {
	if i := bytes.IndexByte(data, 0); i >= 0 {
		return fmt.Errorf("byte %d is NUL: this is a binary file, not a text", i)
	}
	if utf8.Valid(data) {
		return nil
	}
	for i := 0; i < len(data); {
		r, size := utf8.DecodeRune(data[i:])
		if r == utf8.RuneError && size == 1 {
			return fmt.Errorf("byte %d (0x%02x) is not UTF-8; convert the file first", i, data[i])
		}
		i += size
	}
	return nil
}

// line is the part of a JSON line that is read.
type line struct {
	ID           json.RawMessage `json:"id"`
	Text         *string         `json:"text"`
	Prompt       string          `json:"prompt"`
	Tokens       []int64         `json:"tokens"`
	PromptTokens []int64         `json:"prompt_tokens"`
}

// nested is a line whose text and prompt may stand elsewhere: only the id is read
// at the top, whatever else is there.
type nested struct {
	ID json.RawMessage `json:"id"`
}

func readLines(br *bufio.Reader, name string, opt Options, yield func(raw []byte, it watermark.Item) error) error {
	items := 0
	var buffer []byte
	for number := 1; ; number++ {
		raw, err := readLine(br, buffer[:0])
		buffer = raw
		if err != nil && !errors.Is(err, io.EOF) {
			return &Error{name, number, err}
		}
		atEnd := err != nil
		if number == 1 {
			raw = bytes.TrimPrefix(raw, []byte("\ufeff"))
		}
		if len(bytes.TrimSpace(raw)) > 0 {
			var d decoder // items may be kept: each has its own memory
			item, err := d.decode(raw, opt)
			if err != nil {
				return &Error{name, number, err}
			}
			if item.ID == "" {
				item.ID = fmt.Sprintf("%s:%d", name, number)
			}
			if err := yield(raw, item); err != nil {
				return err
			}
			items++
		}
		if atEnd {
			break
		}
	}
	if items == 0 {
		return &Error{name, 0, errors.New("the file is empty, there is nothing to score")}
	}
	return nil
}

// readLine appends the next line to buffer, without its newline.
func readLine(br *bufio.Reader, buffer []byte) ([]byte, error) {
	for {
		part, err := br.ReadSlice('\n')
		if len(buffer)+len(part) > MaxItem {
			return buffer, fmt.Errorf("the line is longer than %d MiB", MaxItem>>20)
		}
		buffer = append(buffer, part...)
		if !errors.Is(err, bufio.ErrBufferFull) {
			return bytes.TrimSuffix(buffer, []byte("\n")), err
		}
	}
}

func decode(raw []byte, opt Options) (watermark.Item, error) {
	var item watermark.Item
	if !utf8.Valid(raw) {
		return item, errors.New("not UTF-8, hence no JSON")
	}
	var l line
	into := any(&l)
	if opt.Field != "" {
		into = &nested{}
	}
	if err := json.Unmarshal(raw, into); err != nil {
		return item, fmt.Errorf("no JSON object of the expected form: %w", err)
	}
	if n, ok := into.(*nested); ok {
		l.ID = n.ID
	}
	item.ID = idOf(l.ID)
	var err error
	if opt.Field != "" || opt.PromptField != "" {
		if err := l.follow(raw, opt); err != nil {
			return item, err
		}
	}
	if opt.IDs {
		if l.Tokens == nil {
			return item, errors.New(`no "tokens" (a list of token ids); for texts leave --ids away`)
		}
		if item.Tokens, err = narrow(l.Tokens); err != nil {
			return item, err
		}
		item.Prompt, err = narrow(l.PromptTokens)
		return item, err
	}
	if l.Text == nil {
		return item, errors.New(`no "text"; for token ids give --ids`)
	}
	if item.Tokens, err = opt.Tokenizer.Encode(*l.Text); err != nil {
		return item, err
	}
	if l.Prompt != "" {
		item.Prompt, err = opt.Tokenizer.Encode(l.Prompt)
	}
	return item, err
}

// idOf shows an id that is a JSON string, or any other value as it stands.
func idOf(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return s
	}
	return string(raw)
}

func narrow(ids []int64) ([]int32, error) {
	out := make([]int32, len(ids))
	for i, id := range ids {
		if id < 0 || id > math.MaxInt32 {
			return nil, fmt.Errorf("token id %d at position %d is no vocabulary index", id, i)
		}
		out[i] = int32(id)
	}
	return out, nil
}
