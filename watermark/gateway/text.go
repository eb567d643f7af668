package gateway

import (
	"bytes"
	"strings"
	"unicode/utf8"
)

// text turns tokens' bytes into what may be sent: whole runes only, and nothing that
// may turn out to be the beginning of a stop sequence.
type text struct {
	stops   []string
	pending []byte
}

// push adds a token's bytes. It returns what may be sent now, and whether a stop
// sequence has been met, which ends the text before it.
func (t *text) push(b []byte) (send string, stopped bool) {
	before := len(t.pending)
	t.pending = append(t.pending, b...)
	// A stop sequence that ends in b began at most its length before b.
	end := -1
	for _, stop := range t.stops {
		from := max(0, before-len(stop)+1)
		if i := bytes.Index(t.pending[from:], []byte(stop)); i >= 0 && (end < 0 || from+i < end) {
			end = from + i
		}
	}
	if end >= 0 {
		t.pending = t.pending[:end]
		return t.flush(), true
	}
	n := wholeRunes(t.pending)
	for _, stop := range t.stops {
		for l := min(len(stop)-1, len(t.pending)); l > 0; l-- {
			if strings.HasPrefix(stop, string(t.pending[len(t.pending)-l:])) {
				n = min(n, len(t.pending)-l)
				break
			}
		}
	}
	return t.take(n), false
}

// flush is all that is left; bytes that are no UTF-8 become U+FFFD, as they do in
// every server that answers in JSON.
func (t *text) flush() string { return t.take(len(t.pending)) }

func (t *text) take(n int) string {
	s := strings.ToValidUTF8(string(t.pending[:n]), "\uFFFD")
	t.pending = append(t.pending[:0], t.pending[n:]...)
	return s
}

// wholeRunes is how many bytes of b are not part of a rune whose end may still come.
// Bytes that are no UTF-8 count as whole.
func wholeRunes(b []byte) int {
	for i := len(b) - 1; i >= 0 && i >= len(b)-utf8.UTFMax; i-- {
		if utf8.RuneStart(b[i]) {
			if !utf8.FullRune(b[i:]) {
				return i
			}
			break
		}
	}
	return len(b)
}
