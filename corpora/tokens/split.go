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
	// matchTimeout bounds one match of a user's pattern at one position, and with
	// runeTimeout for each character what a text takes. Ordinary patterns take a
	// microsecond for a character, and a blank run of a megabyte milliseconds at one
	// position; only backtracking without end gets near, on however busy a machine.
	matchTimeout = 30 * time.Second
	runeTimeout  = 100 * time.Microsecond
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
	re, err := regexp2.Compile(`\G(?:`+pattern+`)`, regexp2.None) // \G: where the search begins
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

// It asks at one position after the other instead of letting the matcher look for
// the next match: what the matcher's timeout bounds is then the backtracking at one
// position, and not the length of what does not match.
func (r regexpSplitter) split(text string, to receiver) error {
	runes := []rune(text)
	deadline := time.Now().Add(r.re.MatchTimeout + time.Duration(len(runes))*runeTimeout)
	from, at := 0, 0 // bytes: the start of a gap, and the position
	for i, step := 0, 0; i < len(runes); step++ {
		if step%64 == 63 && time.Now().After(deadline) {
			return fmt.Errorf("the split pattern gave up at byte %d: it takes more than %v a character", at, runeTimeout)
		}
		match, err := r.re.FindRunesMatchStartingAt(runes, i)
		switch {
		case err != nil:
			return fmt.Errorf("the split pattern gave up at byte %d: it backtracks there for more than %v", at, r.re.MatchTimeout) // err has the whole text
		case match == nil && !r.gaps:
			return unmatched(at)
		case match == nil:
			at += utf8.RuneLen(runes[i])
			i++
			continue
		case match.Length == 0:
			return fmt.Errorf("the split pattern matches the empty string at byte %d", at)
		}
		if from < at {
			if err := to.piece(text[from:at]); err != nil {
				return err
			}
		}
		end := at
		for _, c := range runes[i : i+match.Length] {
			end += utf8.RuneLen(c)
		}
		if err := to.piece(text[at:end]); err != nil {
			return err
		}
		i += match.Length
		from, at = end, end
	}
	if from < len(text) {
		return to.piece(text[from:])
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
