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
// hands them on in order.
type splitter interface {
	split(text string, to receiver) error
}

// receiver takes pieces: the merger, or the next splitter.
type receiver interface {
	piece(s string) error
}

const (
	// maxPattern bounds a user's pattern; published ones have at most 400 bytes.
	maxPattern = 4096
	// matchTimeout bounds one match of a user's pattern. Ordinary matches take
	// microseconds; only catastrophic backtracking gets near.
	matchTimeout = 5 * time.Second
)

func newSplitter(pattern string) (splitter, error) {
	if fast := published(pattern); fast != nil {
		return fast, nil
	}
	if pattern == "" {
		return nil, errors.New("the split pattern is empty: a rank file needs the pattern that its vocabulary was made with")
	}
	if strings.Contains(pattern, "&&") {
		return nil, errors.New("the split pattern has a class intersection [a&&b], which would mean something else here: write it as a subtraction, [a-[b]] for [a&&[^b]]")
	}
	re, err := compile(pattern)
	if err != nil {
		return nil, fmt.Errorf("%w (possessive quantifiers such as ++ are not supported)", err)
	}
	return regexpSplitter{re: re}, nil
}

// newIsolated splits by the patterns of a tokenizer.json, one after the other:
// what a pattern matches and what lies between are pieces. Without a pattern
// the text is one piece.
func newIsolated(patterns []string) (splitter, error) {
	var stages chain
	for _, pattern := range patterns {
		if fast := published(pattern); fast != nil {
			stages = append(stages, fast)
			continue
		}
		if len(pattern) > maxPattern {
			return nil, tooLong(pattern)
		}
		own, err := translate(pattern)
		if err != nil {
			return nil, err
		}
		re, err := compile(own)
		if err != nil {
			return nil, err
		}
		stages = append(stages, regexpSplitter{re: re, gaps: true})
	}
	if len(stages) == 1 {
		return stages[0], nil
	}
	return stages, nil
}

// published returns the hand-written form of a published pattern, nil if there
// is none.
func published(pattern string) splitter {
	var next func(c *classes, s string, i int) int
	switch pattern {
	case cl100kPattern:
		next = nextCL100K
	case o200kPattern:
		next = nextO200K
	case qwen2Pattern:
		next = nextQwen2
	case gpt2Pattern:
		next = nextGPT2
	default:
		return nil
	}
	return scanner{classes: classTable(), next: next}
}

func tooLong(pattern string) error {
	return fmt.Errorf("the split pattern has %d bytes, at most %d are taken", len(pattern), maxPattern)
}

func compile(pattern string) (*regexp2.Regexp, error) {
	if len(pattern) > maxPattern {
		return nil, tooLong(pattern)
	}
	re, err := regexp2.Compile(pattern, regexp2.None)
	if err != nil {
		return nil, fmt.Errorf("the split pattern does not compile: %w", err)
	}
	re.MatchTimeout = matchTimeout
	return re, nil
}

// chain splits by each splitter the pieces of the one before.
type chain []splitter

func (c chain) split(text string, to receiver) error {
	if len(c) == 0 {
		return to.piece(text)
	}
	return c[0].split(text, stage{c[1:], to})
}

type stage struct {
	rest chain
	to   receiver
}

func (s stage) piece(text string) error { return s.rest.split(text, s.to) }

// regexpSplitter splits by any pattern. Text that the pattern does not match is
// an error, or with gaps a piece.
type regexpSplitter struct {
	re   *regexp2.Regexp
	gaps bool
}

func (r regexpSplitter) split(text string, to receiver) error {
	runes, at := 0, 0 // position of the next piece in runes and in bytes
	match, err := r.re.FindStringMatch(text)
	for ; match != nil && err == nil; match, err = r.re.FindNextMatch(match) {
		if match.Length == 0 {
			return fmt.Errorf("the split pattern matches the empty string at byte %d", at)
		}
		if match.Index != runes {
			if !r.gaps {
				return unmatched(at)
			}
			end := skip(text, at, match.Index-runes)
			if err := to.piece(text[at:end]); err != nil {
				return err
			}
			runes, at = match.Index, end
		}
		end := skip(text, at, match.Length)
		if err := to.piece(text[at:end]); err != nil {
			return err
		}
		runes, at = runes+match.Length, end
	}
	if err != nil {
		return fmt.Errorf("the split pattern gave up at byte %d: %w", at, err)
	}
	switch {
	case at == len(text):
		return nil
	case r.gaps:
		return to.piece(text[at:])
	}
	return unmatched(at)
}

// skip returns the position n runes after at.
func skip(text string, at, n int) int {
	for range n {
		_, size := utf8.DecodeRuneInString(text[at:])
		at += size
	}
	return at
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

func (sc scanner) split(text string, to receiver) error {
	for i := 0; i < len(text); {
		end := sc.next(sc.classes, text, i)
		if err := to.piece(text[i:end]); err != nil {
			return err
		}
		i = end
	}
	return nil
}
