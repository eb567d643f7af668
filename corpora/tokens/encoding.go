package tokens

import (
	"fmt"
	"unicode/utf8"
)

const (
	// MaxText is the largest text in bytes that Encode takes: far above any
	// reply or document, and low enough that the 4 bytes per id and the 4
	// bytes per rune of a regexp splitter stay under half a gigabyte.
	MaxText = 64 << 20

	// MaxPiece is the longest piece in bytes that is merged. Merging holds 24
	// bytes and more per byte of the piece, so this is about 200 MB at worst.
	// No language has undivided runs of that length; files of zeros do.
	MaxPiece = 8 << 20
)

// Encoding is one tokenizer: a byte-level BPE rank table, a split pattern and
// special tokens. It is immutable and safe for concurrent use. It satisfies
// the Tokenizer interface of package watermark.
type Encoding struct {
	name    string
	hash    string
	nfc     bool // normalization form C comes first
	split   splitter
	table   *table
	pieces  []string         // by id, special tokens included; "" where the id is unused
	special map[string]int32 // text of a special token to its id
	control map[int32]bool   // special tokens that are no part of a text
}

func newEncoding(name, pattern string, t *table, special map[string]int32) (*Encoding, error) {
	split, err := newSplitter(pattern)
	if err != nil {
		return nil, err
	}
	e := &Encoding{name: name, split: split, table: t, hash: t.hash(pattern)}
	e.addSpecial(special)
	return e, nil
}

// addSpecial completes the list of pieces.
func (e *Encoding) addSpecial(special map[string]int32) {
	e.special = special
	e.control = make(map[int32]bool, len(special))
	e.pieces = append(e.pieces, e.table.pieces...)
	for text, id := range special {
		e.control[id] = true
		for int(id) >= len(e.pieces) {
			e.pieces = append(e.pieces, "")
		}
		e.pieces[id] = text
	}
}

// Name returns the short name, such as "cl100k", or the base name of the file
// that it was read from, without the ending.
func (e *Encoding) Name() string { return e.name }

// VocabSize returns the width of the logits that a model over this vocabulary
// has: the largest id, special tokens included, plus one. Some ids below it
// may be unused.
func (e *Encoding) VocabSize() int { return len(e.pieces) }

// SHA256 identifies the tokenizer in keys and plans: the hexadecimal SHA-256 of
// the rank file in canonical form (one "base64 rank" line per token in rank
// order, each ended by one line feed) followed directly by the pattern:
//
//	(cat cl100k_base.tiktoken; printf %s "$PATTERN") | sha256sum
//
// Special tokens are not part of it because text never encodes to them.
//
// For a tokenizer.json it is the SHA-256 of these lines, each ended by one line
// feed: "byte-level BPE with merges, 1"; "base64 id" per ordinary token in id
// order; "id id" per merge in rank order; "ignore_merges true" or "false";
// "normalizer NFC" or "none"; "split" and the pattern in base64 for Split, then
// the same with GPT-2's pattern if ByteLevel has use_regex. So files that differ
// only in form or in special tokens have one hash.
func (e *Encoding) SHA256() string { return e.hash }

// Encode returns the ids of text. Special tokens in it are ordinary text.
//
// Invalid UTF-8 is kept: text is cut into maximal spans of valid UTF-8 and
// maximal runs of invalid bytes; each valid span is encoded as if it were a
// whole text, each invalid run is one piece of raw bytes, merged by rank like
// any other piece. So Decode gives back exactly the bytes of text, or, where
// the tokenizer has the normalizer NFC, of its normal form.
//
// Errors: the text is longer than MaxText, one undivided piece is longer than
// MaxPiece, or, for a custom pattern, the pattern skips text or takes too long.
// No ids are returned with an error.
func (e *Encoding) Encode(text string) ([]int32, error) {
	if len(text) > MaxText {
		return nil, fmt.Errorf("encode with %s: the text has %d bytes and at most %d are encoded at once: cut it at paragraph ends", e.name, len(text), MaxText)
	}
	m := merger{table: e.table, ids: make([]int32, 0, len(text)/4+4)} // English has 4 to 5 bytes per token
	for start := 0; start < len(text); {
		end := start + invalidPrefix(text[start:])
		if end > start {
			if err := m.piece(text[start:end]); err != nil {
				return nil, fmt.Errorf("encode with %s: bytes from %d: %w", e.name, start, err)
			}
			start = end
			continue
		}
		end += validPrefix(text[start:])
		span := text[start:end]
		if e.nfc {
			span = nfc(span)
		}
		if err := e.split.split(span, &m); err != nil {
			return nil, fmt.Errorf("encode with %s: text from byte %d: %w", e.name, start, err)
		}
		start = end
	}
	return m.ids, nil
}

// Decode returns the bytes of ids, special tokens as their text. The result
// need not be valid UTF-8: a token may hold part of a character.
//
// An id that names no token does not vanish: it is written as
// "<|unknown 123|>". Use Token where an unknown id must be an error.
func (e *Encoding) Decode(ids []int32) []byte {
	out := make([]byte, 0, 4*len(ids))
	for _, id := range ids {
		if id < 0 || int(id) >= len(e.pieces) || e.pieces[id] == "" {
			out = fmt.Appendf(out, "<|unknown %d|>", id)
			continue
		}
		out = append(out, e.pieces[id]...)
	}
	return out
}

// Token returns the bytes of one id, and false if the id names no token.
func (e *Encoding) Token(id int32) ([]byte, bool) {
	if id < 0 || int(id) >= len(e.pieces) || e.pieces[id] == "" {
		return nil, false
	}
	return []byte(e.pieces[id]), true
}

// Special returns the id of a special token such as "<|endoftext|>".
func (e *Encoding) Special(text string) (int32, bool) {
	id, ok := e.special[text]
	return id, ok
}

// Control reports whether an id is a special token that servers leave out of the text
// of a reply, such as <|endoftext|>. Tokens that a tokenizer.json adds without the
// special mark, such as <think> of Qwen, are part of the text.
func (e *Encoding) Control(id int32) bool { return e.control[id] }

// validPrefix returns the length of the longest valid UTF-8 prefix of s.
func validPrefix(s string) int {
	if utf8.ValidString(s) {
		return len(s)
	}
	n := 0
	for n < len(s) {
		r, size := utf8.DecodeRuneInString(s[n:])
		if r == utf8.RuneError && size == 1 {
			break
		}
		n += size
	}
	return n
}

// invalidPrefix returns the number of bytes at the start of s that are not
// part of any valid UTF-8 sequence.
func invalidPrefix(s string) int {
	n := 0
	for n < len(s) {
		if r, size := utf8.DecodeRuneInString(s[n:]); r != utf8.RuneError || size != 1 {
			break
		}
		n++
	}
	return n
}
