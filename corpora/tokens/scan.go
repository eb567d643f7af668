package tokens

import (
	"strings"
	"unicode/utf8"
)

// The functions below are the published patterns written out, alternative by
// alternative, in the order in which a backtracking matcher tries them. Each
// returns the end of the piece that starts at i < len(s).

func nextCL100K(c *classes, s string, i int) int { return nextLetters(c, s, i, 3) }

func nextQwen2(c *classes, s string, i int) int { return nextLetters(c, s, i, 1) }

// nextLetters is cl100k's pattern with at most so many digits to a piece.
func nextLetters(c *classes, s string, i, most int) int {
	// (?i:'s|'t|'re|'ve|'m|'ll|'d)
	if n := contraction(s[i:]); n > 0 {
		return i + n
	}
	// [^\r\n\p{L}\p{N}]?\p{L}+
	k, size := c.at(s, i)
	if k&letter != 0 {
		return c.run(s, i+size, letter)
	}
	if k&(newline|number) == 0 {
		if end := c.run(s, i+size, letter); end > i+size {
			return end
		}
	}
	if end := digits(c, s, i, k, size, most); end > i {
		return end
	}
	//  ?[^\s\p{L}\p{N}]+[\r\n]*
	if end := symbols(c, s, i); end > i {
		return c.run(s, end, newline)
	}
	return blanks(c, s, i)
}

func nextGPT2(c *classes, s string, i int) int {
	// 's|'t|'re|'ve|'m|'ll|'d
	for _, end := range []string{"s", "t", "re", "ve", "m", "ll", "d"} {
		if s[i] == '\'' && strings.HasPrefix(s[i+1:], end) {
			return i + 1 + len(end)
		}
	}
	start := i
	if s[i] == ' ' {
		i++
	}
	//  ?\p{L}+
	if end := c.run(s, i, letter); end > i {
		return end
	}
	//  ?\p{N}+
	if end := c.run(s, i, number); end > i {
		return end
	}
	//  ?[^\s\p{L}\p{N}]+
	if end := c.runNot(s, i, space|letter|number); end > i {
		return end
	}
	// \s+(?!\S)|\s+
	end := c.run(s, start, space)
	if end == len(s) {
		return end
	}
	_, size := utf8.DecodeLastRuneInString(s[start:end])
	if last := end - size; last > start {
		return last
	}
	return end
}

func nextO200K(c *classes, s string, i int) int {
	k, size := c.at(s, i)
	prefix := k&(newline|letter|number) == 0 // [^\r\n\p{L}\p{N}]
	// [^\r\n\p{L}\p{N}]?[head]*[tail]+(contraction)?
	if prefix {
		if end := headTail(c, s, i+size); end > i+size {
			return end + contraction(s[end:])
		}
	}
	if end := headTail(c, s, i); end > i {
		return end + contraction(s[end:])
	}
	// [^\r\n\p{L}\p{N}]?[head]+[tail]*(contraction)?
	if prefix {
		if end := c.run(s, i+size, head); end > i+size {
			end = c.run(s, end, tail)
			return end + contraction(s[end:])
		}
	}
	if end := c.run(s, i, head); end > i {
		end = c.run(s, end, tail)
		return end + contraction(s[end:])
	}
	if end := digits(c, s, i, k, size, 3); end > i {
		return end
	}
	//  ?[^\s\p{L}\p{N}]+[\r\n/]*
	if end := symbols(c, s, i); end > i {
		for end < len(s) && (s[end] == '\r' || s[end] == '\n' || s[end] == '/') {
			end++
		}
		return end
	}
	return blanks(c, s, i)
}

// headTail matches [head]*[tail]+ at i; i if it does not match. After the
// greedy first star, either a pure tail rune follows, or the star gives back
// runes down to the last that is both head and tail, which then stands alone
// as the tail.
func headTail(c *classes, s string, i int) int {
	start, both := i, i
	for {
		k, size := c.at(s, i)
		if k&head == 0 {
			break
		}
		i += size
		if k&tail != 0 {
			both = i
		}
	}
	if end := c.run(s, i, tail); end > i {
		return end
	}
	if both > start {
		return both
	}
	return start
}

// contraction returns the length of (?i:'s|'t|'re|'ve|'m|'ll|'d) at the start
// of s, 0 if there is none. Simple case folding also maps the long s (U+017F)
// to s.
func contraction(s string) int {
	if len(s) < 2 || s[0] != '\'' {
		return 0
	}
	switch s[1] | 0x20 {
	case 's', 't', 'm', 'd':
		return 2
	case 'r', 'v':
		if len(s) > 2 && s[2]|0x20 == 'e' {
			return 3
		}
	case 'l':
		if len(s) > 2 && s[2]|0x20 == 'l' {
			return 3
		}
	}
	if strings.HasPrefix(s[1:], "ſ") {
		return 1 + len("ſ")
	}
	return 0
}

// digits matches \p{N}{1,most} at i, whose rune has class k and the given size.
func digits(c *classes, s string, i int, k class, size, most int) int {
	for n := 0; n < most && k&number != 0; n++ {
		i += size
		k, size = c.at(s, i)
	}
	return i
}

// symbols matches " ?[^\s\p{L}\p{N}]+" at i; i if it does not match.
func symbols(c *classes, s string, i int) int {
	start := i
	if s[i] == ' ' {
		i++
	}
	if end := c.runNot(s, i, space|letter|number); end > i {
		return end
	}
	return start
}

// blanks matches \s*[\r\n]+|\s+(?!\S)|\s+ at white space: up to the last line
// end of the run, else the run without the last blank (which goes with the
// next piece) unless the text ends or the run is a single blank.
func blanks(c *classes, s string, i int) int {
	start, last, lastNewline := i, i, 0
	for {
		k, size := c.at(s, i)
		if k&space == 0 {
			break
		}
		last = i
		i += size
		if k&newline != 0 {
			lastNewline = i
		}
	}
	switch {
	case lastNewline > 0:
		return lastNewline
	case i == len(s) || last == start:
		return i
	}
	return last
}
