package tokens

import (
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// nfc returns valid UTF-8 in normalization form C. The algorithm of UAX 15 is
// written out here and only the data come from package norm, whose own result
// is another one in three cases that tokenizers' libraries get right: it breaks
// up runs of more than 30 marks by inserting U+034F (the stream-safe format), it
// composes across a vowel sign of class 0 that stays (U+0065 U+0B56 U+0327), and
// it takes some characters above U+FFFF for others (U+11F41 U+0301).
func nfc(s string) string {
	if norm.NFC.IsNormalString(s) {
		return s
	}
	var c composer
	c.out.Grow(len(s))
	for start := 0; start < len(s); {
		end := start + segment(s[start:])
		c.compose(s[start:end])
		start = end
	}
	return c.out.String()
}

// segment returns the length of the first part of s that is composed on its
// own: a character and all that can combine with what precedes it.
func segment(s string) int {
	_, i := utf8.DecodeRuneInString(s)
	for i < len(s) && s[i] >= utf8.RuneSelf {
		p := norm.NFC.PropertiesString(s[i:])
		if p.BoundaryBefore() {
			break
		}
		i += p.Size()
	}
	return i
}

type composer struct {
	out   strings.Builder
	chars []char
	whole map[[2]rune]rune // primary composites met so far, 0 for none
}

type char struct {
	r   rune
	ccc int // canonical combining class
}

// compose appends the normal form of one segment: decompose, sort each run of
// marks by class, compose each with the starter before it unless blocked.
func (c *composer) compose(s string) {
	if len(s) == 1 {
		c.out.WriteString(s)
		return
	}
	c.decompose(s)
	for i := 0; i < len(c.chars); i++ {
		start := i
		for i < len(c.chars) && c.chars[i].ccc != 0 {
			i++
		}
		slices.SortStableFunc(c.chars[start:i], func(a, b char) int { return a.ccc - b.ccc })
	}
	out := c.chars[:0]
	starter, last := -1, -1 // index in out; class of what follows it last, -1 for nothing
	for _, x := range c.chars {
		if starter >= 0 && last < x.ccc {
			if whole := c.composite(out[starter].r, x.r); whole != 0 {
				out[starter].r = whole
				continue
			}
		}
		last = x.ccc
		if x.ccc == 0 {
			starter, last = len(out), -1
		}
		out = append(out, x)
	}
	for _, x := range out {
		c.out.WriteRune(x.r)
	}
}

func (c *composer) decompose(s string) {
	c.chars = c.chars[:0]
	for i, r := range s {
		p := norm.NFD.PropertiesString(s[i:])
		if p.Decomposition() == nil && !isHangul(r) {
			c.chars = append(c.chars, char{r, int(p.CCC())})
			continue
		}
		for _, d := range norm.NFD.String(string(r)) {
			c.chars = append(c.chars, char{d, int(norm.NFD.PropertiesString(string(d)).CCC())})
		}
	}
}

// isHangul tells the syllables, whose decomposition is computed.
func isHangul(r rune) bool { return r >= 0xac00 && r <= 0xd7a3 }

// composite returns the primary composite of two characters, 0 if there is none.
func (c *composer) composite(a, b rune) rune {
	pair := [2]rune{a, b}
	whole, known := c.whole[pair]
	if known {
		return whole
	}
	s := string(pair[:])
	composed := norm.NFC.String(s)
	if r, size := utf8.DecodeRuneInString(composed); size == len(composed) && norm.NFD.String(composed) == norm.NFD.String(s) {
		whole = r
	}
	if c.whole == nil {
		c.whole = map[[2]rune]rune{}
	}
	c.whole[pair] = whole
	return whole
}
