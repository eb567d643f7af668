package tokens

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Limits on rank files. The largest vocabularies in use have 262,144 tokens,
// files of 4 MB and pieces of 256 bytes; each limit leaves a factor of four or
// more and bounds what a hostile file can make the program allocate.
const (
	maxRankFile = 32 << 20
	maxRank     = 1<<20 - 1
	maxToken    = 1024
)

// table is a byte-level BPE vocabulary. In rank files ids are merge ranks; with
// merge rules of its own a table has ids and ranks that are unrelated.
type table struct {
	ranks   map[string]int32 // ids of the pieces that are taken whole
	pieces  []string         // by id; "" where the file skips an id
	bytes   [256]int32       // id of each single byte
	pairs   [256 * 256]int32 // rank at which two single bytes merge, none if they do not
	longest int              // bytes of the longest piece
	merges  *mergeRules      // nil in rank files
}

// none is the rank of what is no token; above every rank.
const none int32 = 1<<31 - 1

// rank returns the rank of s, none if s is no token.
func (t *table) rank(s string) int32 {
	if len(s) == 2 {
		return t.pairs[int(s[0])<<8|int(s[1])]
	}
	if len(s) > t.longest {
		return none
	}
	if r, ok := t.ranks[s]; ok {
		return r
	}
	return none
}

// hash is documented at Encoding.SHA256.
func (t *table) hash(pattern string) string {
	h := sha256.New()
	var line []byte
	for rank, piece := range t.pieces {
		if piece == "" {
			continue
		}
		line = base64.StdEncoding.AppendEncode(line[:0], []byte(piece))
		line = append(line, ' ')
		line = strconv.AppendInt(line, int64(rank), 10)
		line = append(line, '\n')
		h.Write(line)
	}
	io.WriteString(h, pattern)
	return hex.EncodeToString(h.Sum(nil))
}

// LoadTiktoken reads a .tiktoken rank file (lines of base64 piece, space,
// rank) for use with the split pattern that belongs to it. The encoding's name
// is the file's base name without its ending, and its VocabSize is the largest
// rank plus one: special tokens are not in the file, so a model's logits may be
// wider.
//
// The pattern is a Perl-like regular expression (package regexp2). Possessive
// quantifiers do not exist there and a class intersection [a&&b] would mean
// something else, so both are refused; write [a-[^b]] for the latter. Its
// Unicode tables are 15.0, and its (?i:'s) does not match a long s. A pattern
// that leaves any text unmatched is an error when such a text is encoded.
//
// Refused with an error naming the line: bad base64, a rank that is no number
// or above 1,048,575, a piece that is empty or over 1,024 bytes, a piece or
// rank given twice. Refused as a whole: a file over 32 MiB, or one in which a
// single byte has no token, because then some text could not be encoded.
func LoadTiktoken(path, pattern string) (*Encoding, error) {
	data, err := readLimited(path, maxRankFile, ".tiktoken")
	if err != nil {
		return nil, err
	}
	t, err := parseRanks(data)
	if err != nil {
		return nil, fmt.Errorf("rank file %s: %w", path, err)
	}
	e, err := newEncoding(baseName(path), pattern, t, nil)
	if err != nil {
		return nil, fmt.Errorf("rank file %s: %w", path, err)
	}
	return e, nil
}

// baseName is the name of a tokenizer that is read from a file.
func baseName(path string) string {
	name := filepath.Base(path)
	return strings.TrimSuffix(name, filepath.Ext(name))
}

func readLimited(path string, limit int64, kind string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("tokenizer file: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, fmt.Errorf("tokenizer file: %w", err)
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("tokenizer file %s: larger than %d bytes, which no %s file is", path, limit, kind)
	}
	return data, nil
}

func parseRanks(data []byte) (*table, error) {
	lines := bytes.Count(data, []byte{'\n'}) + 1
	t := &table{ranks: make(map[string]int32, lines)}
	for n := 1; len(data) > 0; n++ {
		line, rest, _ := bytes.Cut(data, []byte{'\n'})
		data = rest
		if len(line) == 0 {
			continue
		}
		piece, rank, err := parseRankLine(line)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		if err := t.add(piece, rank); err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
	}
	return t, t.index()
}

func parseRankLine(line []byte) (piece string, rank int32, err error) {
	code, number, ok := bytes.Cut(line, []byte{' '})
	if !ok {
		return "", 0, errors.New("want a base64 piece, one space and a rank")
	}
	if len(code) > base64.StdEncoding.EncodedLen(maxToken) {
		return "", 0, fmt.Errorf("the piece is longer than %d bytes", maxToken)
	}
	raw, err := base64.StdEncoding.Strict().AppendDecode(nil, code)
	if err != nil {
		return "", 0, fmt.Errorf("the piece is not base64: %w", err)
	}
	if len(raw) == 0 {
		return "", 0, errors.New("the piece is empty")
	}
	if len(raw) > maxToken {
		return "", 0, fmt.Errorf("the piece is longer than %d bytes", maxToken)
	}
	value, err := strconv.ParseUint(string(number), 10, 31)
	if err != nil {
		return "", 0, fmt.Errorf("the rank is not a whole number: %w", err)
	}
	if value > maxRank {
		return "", 0, fmt.Errorf("rank %d is above %d", value, maxRank)
	}
	return string(raw), int32(value), nil
}

func (t *table) add(piece string, rank int32) error {
	if _, dup := t.ranks[piece]; dup {
		return fmt.Errorf("piece %q occurs twice", piece)
	}
	if n := int(rank) + 1 - len(t.pieces); n > 0 {
		t.pieces = append(t.pieces, make([]string, n)...)
	}
	if t.pieces[rank] != "" {
		return fmt.Errorf("rank %d occurs twice", rank)
	}
	t.ranks[piece] = rank
	t.pieces[rank] = piece
	t.longest = max(t.longest, len(piece))
	return nil
}

// index fills the direct tables once all pieces are known.
func (t *table) index() error {
	var missing []int
	for b := range t.bytes {
		r, ok := t.ranks[string([]byte{byte(b)})]
		if !ok {
			missing = append(missing, b)
		}
		t.bytes[b] = r
	}
	if len(missing) > 0 {
		return fmt.Errorf("%d of 256 single bytes have no token (the first is 0x%02x), so not every text can be encoded: the file is cut off or no byte-level vocabulary", len(missing), missing[0])
	}
	for i := range t.pairs {
		t.pairs[i] = none
	}
	for piece, r := range t.ranks {
		if len(piece) == 2 {
			t.pairs[int(piece[0])<<8|int(piece[1])] = r
		}
	}
	return nil
}
