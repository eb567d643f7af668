package tokens

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/dlclark/regexp2"
)

// splitter cuts valid UTF-8 text into pieces that cover it without gaps and
// hands them to m in order.
type splitter interface {
	split(text string, m *merger) error
}

const (
	// maxPattern bounds a user's pattern; published ones have at most 400 bytes.
	maxPattern = 4096
	// matchTimeout bounds one match of a user's pattern. Ordinary matches take
	// microseconds; only catastrophic backtracking gets near.
	matchTimeout = 5 * time.Second
)

func newSplitter(pattern string) (splitter, error) {
	switch pattern {
	case cl100kPattern:
		return scanner{classes: classTable(), next: nextCL100K}, nil
	case o200kPattern:
		return scanner{classes: classTable(), next: nextO200K}, nil
	case "":
		return nil, errors.New("the split pattern is empty: a rank file needs the pattern that its vocabulary was made with")
	}
	if len(pattern) > maxPattern {
		return nil, fmt.Errorf("the split pattern has %d bytes, at most %d are taken", len(pattern), maxPattern)
	}
	if strings.Contains(pattern, "&&") {
		return nil, errors.New("the split pattern has a class intersection [a&&b], which would mean something else here: write it as a subtraction, [a-[b]] for [a&&[^b]]")
	}
	re, err := regexp2.Compile(pattern, regexp2.None)
	if err != nil {
		return nil, fmt.Errorf("the split pattern does not compile (possessive quantifiers such as ++ are not supported): %w", err)
	}
	re.MatchTimeout = matchTimeout
	return regexpSplitter{re}, nil
}

// regexpSplitter splits by a user's pattern.
type regexpSplitter struct{ re *regexp2.Regexp }

func (r regexpSplitter) split(text string, m *merger) error {
	runes, at := 0, 0 // position of the next piece in runes and in bytes
	match, err := r.re.FindStringMatch(text)
	for ; match != nil && err == nil; match, err = r.re.FindNextMatch(match) {
		if match.Index != runes {
			return unmatched(at)
		}
		if match.Length == 0 {
			return fmt.Errorf("the split pattern matches the empty string at byte %d", at)
		}
		end := at
		for range match.Length {
			_, size := utf8.DecodeRuneInString(text[end:])
			end += size
		}
		if err := m.piece(text[at:end]); err != nil {
			return err
		}
		runes, at = runes+match.Length, end
	}
	if err != nil {
		return fmt.Errorf("the split pattern gave up at byte %d: %w", at, err)
	}
	if at != len(text) {
		return unmatched(at)
	}
	return nil
}

func unmatched(at int) error {
	return fmt.Errorf("the split pattern matches nothing at byte %d, and text is never dropped: add an alternative to the pattern for it", at)
}

// scanner splits by a hand-written equivalent of a published pattern, about
// ten times as fast as the regular expression. next returns the end of the
// piece that starts at i.
type scanner struct {
	classes *classes
	next    func(c *classes, s string, i int) int
}

func (sc scanner) split(text string, m *merger) error {
	for i := 0; i < len(text); {
		end := sc.next(sc.classes, text, i)
		if err := m.piece(text[i:end]); err != nil {
			return err
		}
		i = end
	}
	return nil
}
