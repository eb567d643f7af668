package tokens

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// translate rewrites a split pattern of a tokenizer.json, which is in
// Oniguruma's dialect, into package regexp2's:
//
//	x++, x*+, x?+   (?>x+), (?>x*), (?>x?)   possessive
//	x{1,3}+         (?:x{1,3})+              not possessive in that dialect
//	[a&&[^b]]       [a-[b]]
//	[a&&[b]]        [a-[^b]]
//	(?i:s)          (?i:[sſ])                simple case folding
//	(x)             (?:x)                    there are no back references
//
// It knows what published patterns are made of: literals, classes, \p{…} of
// general categories and scripts, \s, \d, groups, (?i:…), look-around and
// quantifiers. Everything else is refused by name rather than passed on, since
// the two dialects give many constructs different meanings.
func translate(pattern string) (string, error) {
	t := translator{in: pattern}
	if err := t.run(); err != nil {
		return "", fmt.Errorf("the split pattern %q, at byte %d: %w", pattern, t.at, err)
	}
	return string(t.out), nil
}

type translator struct {
	in   string
	at   int
	out  []byte
	open []group
	fold bool // inside (?i:…)
	last rune // the literal just written under fold, 0 after anything else
}

type group struct {
	start int // offset in out
	fold  bool
}

// multiFolds are the pairs of letters that fold to one character (ß, ligatures)
// in Oniguruma and not in regexp2.
const multiFolds = "ss ff fi fl st"

func (t *translator) run() error {
	for t.at < len(t.in) {
		start := len(t.out)
		before := t.last
		t.last = 0
		r, size := utf8.DecodeRuneInString(t.in[t.at:])
		switch r {
		case utf8.RuneError:
			return fmt.Errorf("the character is U+FFFD or no UTF-8")
		case '(':
			if err := t.openGroup(); err != nil {
				return err
			}
			continue
		case '|':
			t.at++
			t.out = append(t.out, '|')
			continue
		case ')':
			if len(t.open) == 0 {
				return fmt.Errorf("a group is closed that was not opened")
			}
			g := t.open[len(t.open)-1]
			t.open = t.open[:len(t.open)-1]
			t.at++
			t.out = append(t.out, ')')
			start, t.fold = g.start, g.fold
		case '[':
			t.at++
			class, err := t.class(0)
			if err != nil {
				return err
			}
			t.out = append(t.out, class...)
		case '\\':
			if err := t.escape(); err != nil {
				return err
			}
		case '^', '$', '*', '+', '?', '{', '}', ']':
			return fmt.Errorf("%q is not taken here; a literal one is written \\%c", r, r)
		case '.':
			t.at++
			t.out = append(t.out, '.')
		default:
			if err := t.literal(r, before); err != nil {
				return err
			}
			t.at += size
		}
		if err := t.quantifier(start); err != nil {
			return err
		}
	}
	if len(t.open) > 0 {
		return fmt.Errorf("a group is not closed")
	}
	return nil
}

func (t *translator) openGroup() error {
	for _, kind := range []string{"(?:", "(?i:", "(?=", "(?!", "(?<=", "(?<!", "(?>"} {
		if strings.HasPrefix(t.in[t.at:], kind) {
			t.open = append(t.open, group{len(t.out), t.fold})
			t.at += len(kind)
			t.out = append(t.out, kind...)
			t.fold = t.fold || kind == "(?i:"
			return nil
		}
	}
	if strings.HasPrefix(t.in[t.at:], "(?") {
		return fmt.Errorf("this kind of group is not taken")
	}
	t.open = append(t.open, group{len(t.out), t.fold})
	t.at++
	t.out = append(t.out, "(?:"...)
	return nil
}

func (t *translator) literal(r, before rune) error {
	if !t.fold {
		t.out = utf8.AppendRune(t.out, r)
		return nil
	}
	if r >= utf8.RuneSelf {
		return fmt.Errorf("%q inside (?i:…): only ASCII letters are folded here", r)
	}
	r = unicode.ToLower(r)
	if before != 0 && strings.Contains(multiFolds, string([]rune{before, r})) {
		return fmt.Errorf("%q inside (?i:…) also stands for a single character: not taken", []rune{before, r})
	}
	t.last = r
	if r == 's' {
		t.out = append(t.out, "[sſ]"...)
		return nil
	}
	t.out = utf8.AppendRune(t.out, r)
	return nil
}

func (t *translator) escape() error {
	piece, _, err := t.readEscape()
	if err != nil {
		return err
	}
	t.out = append(t.out, piece...)
	return nil
}

// readEscape reads an escape, inside a class or out of one. literal tells that
// it stands for one character.
func (t *translator) readEscape() (piece string, literal bool, err error) {
	rest := t.in[t.at:]
	if len(rest) < 2 {
		return "", false, fmt.Errorf("the pattern ends after a backslash")
	}
	c := rest[1]
	switch {
	case strings.IndexByte("rnt", c) >= 0, c > ' ' && c < utf8.RuneSelf && !isWord(c):
		t.at += 2
		return rest[:2], true, nil
	case strings.IndexByte("sSdD", c) >= 0:
		t.at += 2
		return rest[:2], false, nil
	case (c == 'p' || c == 'P') && len(rest) > 2 && rest[2] == '{':
		name, _, found := strings.Cut(rest[3:], "}")
		if !found || !knownProperty(name) {
			return "", false, fmt.Errorf("the property \\%c{%s} is not taken; general categories and scripts are, by names such as Lu and Han", c, name)
		}
		t.at += len(`\p{}`) + len(name)
		return fmt.Sprintf(`\%c{%s}`, c, name), false, nil
	}
	return "", false, fmt.Errorf("the escape \\%c is not taken", c)
}

func isWord(c byte) bool {
	return c == '_' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

// knownProperty leaves out unassigned code points, which differ from one version
// of Unicode to the next.
func knownProperty(name string) bool {
	if name == "C" || name == "Cn" {
		return false
	}
	return unicode.Categories[name] != nil || unicode.Scripts[name] != nil
}

// class reads a class after its opening bracket; depth 1 is the right side of
// an intersection.
func (t *translator) class(depth int) (string, error) {
	out := []byte{'['}
	negated := strings.HasPrefix(t.in[t.at:], "^")
	if negated {
		t.at++
		out = append(out, '^')
	}
	for items := 0; ; items++ {
		rest := t.in[t.at:]
		switch {
		case rest == "":
			return "", fmt.Errorf("a class is not closed")
		case rest[0] == ']' && items == 0:
			return "", fmt.Errorf("the class is empty, or ] is not written \\]")
		case rest[0] == ']':
			t.at++
			return string(append(out, ']')), nil
		case strings.HasPrefix(rest, "&&["):
			if depth > 0 || negated || items == 0 {
				return "", fmt.Errorf("an intersection is taken in a class that is neither negated nor nested, after what it restricts")
			}
			t.at += len("&&[")
			other, err := t.class(1)
			if err != nil {
				return "", err
			}
			if !strings.HasPrefix(t.in[t.at:], "]") {
				return "", fmt.Errorf("the class goes on after its intersection")
			}
			t.at++
			complement, ok := strings.CutPrefix(other, "[^")
			if ok {
				other = "[" + complement
			} else {
				other = "[^" + other[1:]
			}
			return string(append(append(append(out, '-'), other...), ']')), nil
		case strings.HasPrefix(rest, "&&"):
			return "", fmt.Errorf("an intersection is taken with a class in brackets only, as in [a&&[^b]]")
		}
		item, err := t.classItem()
		if err != nil {
			return "", err
		}
		out = append(out, item...)
	}
}

// classItem reads one member of a class: an escape, a character or a range.
func (t *translator) classItem() (string, error) {
	from, literal, err := t.classChar()
	if err != nil || !literal {
		return from, err
	}
	rest := t.in[t.at:]
	if len(rest) < 2 || rest[0] != '-' || rest[1] == ']' {
		if t.fold && (from == "s" || from == "S") {
			from += "ſ"
		}
		return from, nil
	}
	if t.fold {
		return "", fmt.Errorf("a range inside (?i:…) is not taken")
	}
	t.at++
	to, literal, err := t.classChar()
	if err != nil {
		return "", err
	}
	if !literal {
		return "", fmt.Errorf("the range ends with a class")
	}
	return from + "-" + to, nil
}

func (t *translator) classChar() (piece string, literal bool, err error) {
	r, size := utf8.DecodeRuneInString(t.in[t.at:])
	switch {
	case r == utf8.RuneError:
		return "", false, fmt.Errorf("the character is U+FFFD or no UTF-8")
	case r == '\\':
		return t.readEscape()
	case r == '[':
		return "", false, fmt.Errorf("a class inside a class is taken after && only; a literal bracket is written \\[")
	case t.fold && r >= utf8.RuneSelf:
		return "", false, fmt.Errorf("%q inside (?i:…): only ASCII letters are folded here", r)
	}
	t.at += size
	if strings.ContainsRune("-^&", r) {
		return `\` + string(r), true, nil
	}
	return string(r), true, nil
}

// quantifier reads what follows an atom that was written from start on.
func (t *translator) quantifier(start int) error {
	rest := t.in[t.at:]
	if rest == "" || strings.IndexByte("*+?{", rest[0]) < 0 {
		return nil
	}
	t.last = 0
	size := 1
	var exact bool
	if rest[0] == '{' {
		if size, exact = interval(rest); size == 0 {
			return fmt.Errorf("{ is taken in {n}, {n,} and {n,m} only; a literal one is written \\{")
		}
	}
	t.at += size
	t.out = append(t.out, rest[:size]...)
	rest = rest[size:]
	switch {
	case strings.HasPrefix(rest, "?"):
		if exact {
			return fmt.Errorf("{n}? is not taken")
		}
		t.out = append(t.out, '?')
		t.at++
	case strings.HasPrefix(rest, "+"):
		opening, closing := "(?>", ")"
		if size > 1 {
			opening, closing = "(?:", ")+"
		}
		t.out = append(t.out[:start], opening+string(t.out[start:])+closing...)
		t.at++
	}
	if rest = t.in[t.at:]; rest != "" && strings.IndexByte("*+?{", rest[0]) >= 0 {
		return fmt.Errorf("a quantifier follows a quantifier")
	}
	return nil
}

// interval returns the length of {n}, {n,} or {n,m} at the start of s, 0 if
// there is none, and whether it is the first of them. Counts have up to three
// digits.
func interval(s string) (size int, exact bool) {
	number := func(i int) int {
		start := i
		for i < len(s) && i < start+3 && '0' <= s[i] && s[i] <= '9' {
			i++
		}
		return i
	}
	i := number(1)
	if i == 1 {
		return 0, false
	}
	exact = true
	if i < len(s) && s[i] == ',' {
		exact = false
		i = number(i + 1)
	}
	if i >= len(s) || s[i] != '}' {
		return 0, false
	}
	return i + 1, exact
}
