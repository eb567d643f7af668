package family

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxRead is how much of a reply an extractor looks at, in bytes, half of it from
// each end: an answer stands at the beginning or at the end, and a reply of
// megabytes is hostile.
const maxRead = 64 << 10

// clip bounds a text to maxRead bytes without cutting a character.
func clip(text string) string { return clipTo(text, maxRead, "") }

// clipTo bounds a text to so many bytes, half of them from each end, with a mark on the
// line break between.
func clipTo(text string, size int, mark string) string {
	if len(text) <= size {
		return text
	}
	head, tail := text[:size/2], text[len(text)-size/2:]
	for len(head) > 0 && !utf8.RuneStart(text[len(head)]) {
		head = head[:len(head)-1]
	}
	for len(tail) > 0 && !utf8.RuneStart(tail[0]) {
		tail = tail[1:]
	}
	if mark != "" {
		mark = "\n" + mark
	}
	return head + mark + "\n" + tail
}

// The marks between which models write reasoning into the text itself.
const (
	thinkOpen  = "<think>"
	thinkClose = "</think>"
)

// splitThinking parts reasoning that is written into the text from the answer. A
// reply that begins within the reasoning has the closing mark alone.
func splitThinking(text string) (reasoning, answer string) {
	end := strings.LastIndex(text, thinkClose)
	if end < 0 {
		if rest, ok := strings.CutPrefix(strings.TrimSpace(text), thinkOpen); ok {
			return rest, "" // it never came to an answer
		}
		return "", text
	}
	reasoning = strings.TrimPrefix(strings.TrimSpace(text[:end]), thinkOpen)
	return reasoning, text[end+len(thinkClose):]
}

// plain is the answer of a reply as bare text: without inline reasoning, emphasis,
// code and heading marks and invisible characters, and with full-width forms as
// their ordinary ones.
func plain(text string) string {
	_, text = splitThinking(text)
	return strings.Map(func(r rune) rune {
		switch {
		case r == '*' || r == '`' || r == '#' || r == '\\' || r == '$':
			return -1
		case r >= 0xff01 && r <= 0xff5e: // full-width ASCII
			return r - 0xfee0
		case r == 0x3000:
			return ' '
		case r == '\n':
			return r
		case unicode.In(r, unicode.Cf, unicode.Cc, unicode.Co) || r == utf8.RuneError:
			if r == '\t' {
				return ' '
			}
			return -1
		}
		return r
	}, clip(text))
}

// maxName bounds an answer that is compared as it stands, in characters.
const maxName = 40

// name is a short answer in a form that can be compared: the first line that says
// anything, in lower case, without quotes, punctuation at its ends and blanks. It is
// "" where the answer is longer than a name.
func name(answer string) string {
	for line := range strings.Lines(answer) {
		line = strings.TrimFunc(strings.ToLower(line), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsNumber(r) })
		if line == "" {
			continue
		}
		if utf8.RuneCountInString(line) > maxName {
			return ""
		}
		return strings.Join(strings.Fields(line), " ")
	}
	return ""
}

// emphasised returns what a reply sets in bold, if it is one single thing.
func emphasised(text string) string {
	_, text = splitThinking(clip(text))
	found := ""
	for i, part := range strings.Split(text, "**") {
		if i%2 == 0 {
			continue
		}
		n := name(part)
		if n == "" || found != "" && found != n {
			return ""
		}
		found = n
	}
	return found
}

// numbers lists the whole numbers of a text in order. Digits of every script count,
// and groups of three may be parted by a comma, dot, apostrophe or thin blank.
func numbers(text string) []int {
	const most = 1 << 40
	var out []int
	runes := []rune(text)
	digit := func(i int) int {
		if i >= len(runes) || !unicode.IsDigit(runes[i]) {
			return -1
		}
		return digitValue(runes[i])
	}
	for i := 0; i < len(runes); {
		if digit(i) < 0 {
			i++
			continue
		}
		v, start := 0, i
		for ; digit(i) >= 0; i++ {
			v = min(v*10+digit(i), most)
		}
		for i-start <= 3 && i < len(runes) && strings.ContainsRune(",.'’\u00a0\u2009\u202f", runes[i]) &&
			digit(i+1) >= 0 && digit(i+2) >= 0 && digit(i+3) >= 0 && digit(i+4) < 0 {
			v = min(v*1000+100*digit(i+1)+10*digit(i+2)+digit(i+3), most)
			i += 4
			start = i - 3
		}
		out = append(out, v)
	}
	return out
}

// decimal prints a description with two decimals.
func decimal(v float64) string { return strconv.FormatFloat(v, 'f', 2, 64) }

// digitValue is the value of a decimal digit: Unicode's are in runs of ten that begin
// with zero.
func digitValue(r rune) int {
	n := 0
	for unicode.IsDigit(r-1) && n < 9 {
		r--
		n++
	}
	if r >= 0x1d7ce && r <= 0x1d7ff { // five runs of mathematical digits side by side
		return int(r-0x1d7ce+rune(n)) % 10
	}
	return n
}
