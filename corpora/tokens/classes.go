package tokens

import (
	"sync"
	"unicode"
	"unicode/utf8"
)

// class is a set of bits: which of the patterns' character classes hold a rune.
type class uint8

const (
	letter  class = 1 << iota // \p{L}
	number                    // \p{N}
	space                     // \s: the White_Space property
	newline                   // [\r\n]
	head                      // [\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}] of o200k
	tail                      // [\p{Ll}\p{Lm}\p{Lo}\p{M}] of o200k
)

// classes maps every rune to its class; 1.1 MB, shared.
type classes [utf8.MaxRune + 1]class

var classTable = sync.OnceValue(func() *classes {
	c := new(classes)
	mark := func(bits class, tables ...*unicode.RangeTable) {
		for _, t := range tables {
			for _, r := range t.R16 {
				for x := rune(r.Lo); x <= rune(r.Hi); x += rune(r.Stride) {
					c[x] |= bits
				}
			}
			for _, r := range t.R32 {
				for x := rune(r.Lo); x <= rune(r.Hi); x += rune(r.Stride) {
					c[x] |= bits
				}
			}
		}
	}
	mark(letter, unicode.L)
	mark(number, unicode.N)
	mark(space, unicode.White_Space)
	mark(head, unicode.Lu, unicode.Lt, unicode.Lm, unicode.Lo, unicode.M)
	mark(tail, unicode.Ll, unicode.Lm, unicode.Lo, unicode.M)
	c['\r'] |= newline
	c['\n'] |= newline
	return c
})

// at returns the class and the length in bytes of the rune at i; 0, 0 at the end.
func (c *classes) at(s string, i int) (class, int) {
	if i >= len(s) {
		return 0, 0
	}
	if b := s[i]; b < utf8.RuneSelf {
		return c[b], 1
	}
	r, size := utf8.DecodeRuneInString(s[i:])
	return c[r], size
}

// run returns the end of the longest run from i of runes that have any of the
// bits in want.
func (c *classes) run(s string, i int, want class) int {
	for {
		k, size := c.at(s, i)
		if size == 0 || k&want == 0 {
			return i
		}
		i += size
	}
}

// runNot returns the end of the longest run from i of runes that have none of
// the bits in bar.
func (c *classes) runNot(s string, i int, bar class) int {
	for {
		k, size := c.at(s, i)
		if size == 0 || k&bar != 0 {
			return i
		}
		i += size
	}
}
