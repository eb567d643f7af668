package tokens

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// TestTranslate: the pieces are those that the library's own regular
// expressions (Oniguruma, in the npm package tokenizers 0.23.2) give.
func TestTranslate(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ pattern, own, text, pieces string }{
		{`\d++\d|.`, `(?>\d+)\d|.`, "1234", "1|2|3|4"},
		{`[a-c]?+c|.`, `(?>[a-c]?)c|.`, "cc", "cc"},
		{`\d{1,2}+`, `(?:\d{1,2})+`, "123456x", "123456|x"},
		{`\d{1,2}+\d|.`, `(?:\d{1,2})+\d|.`, "1234", "1234"},
		{`(?i:'s|'t|'k)|.`, `(?i:'[sſ]|'t|'k)|.`, "'ſ'K'S", "'ſ|'K|'S"},
		{`(?i:'[ks])|.`, `(?i:'[ksſ])|.`, "'ſ'K'S", "'ſ|'K|'S"},
		{`[a-d&&[^b]]+|.`, `[a-d-[b]]+|.`, "abcd", "a|b|cd"},
		{`[a-d&&[b-c]]+|.`, `[a-d-[^b-c]]+|.`, "abcd", "a|bc|d"},
		{`[\p{Lu}\p{Ll}&&[^\p{Latin}]]+|.`, `[\p{Lu}\p{Ll}-[\p{Latin}]]+|.`, "abГгcd", "a|b|Гг|c|d"},
		{`(a)(?=b)`, `(?:a)(?=b)`, "abab", "a|b|a|b"},
		{`(?<!a)b|.`, `(?<!a)b|.`, "abb", "a|b|b"},
		{`[a-]+|[^\]b-]`, `[a\-]+|[^\]b\-]`, "a-bc]", "a-|b|c|]"},
		{`[a&b]|.`, `[a\&b]|.`, "&a", "&|a"},
		{`\s+`, `\s+`, "a\v\u0085\u180e\u200b\u00a0b", "a|\v\u0085|\u180e\u200b|\u00a0|b"},
		{`a*?b|#|.`, `a*?b|#|.`, "aab#", "aab|#"},
		{`(?:ab|c)++.|.`, `(?>(?:ab|c)+).|.`, "abcabd", "abcabd"},
		{`\p{Han}+|.`, `\p{Han}+|.`, "漢字a〇々ー", "漢字|a|〇々|ー"},
		{`\P{L}`, `\P{L}`, "ab12", "ab|1|2"},
	} {
		own, err := translate(tt.pattern)
		if err != nil || own != tt.own {
			t.Errorf("%s: %s, error %v, want %s", tt.pattern, own, err, tt.own)
			continue
		}
		split, err := newIsolated([]string{tt.pattern})
		if err != nil {
			t.Errorf("%s: %v", tt.pattern, err)
			continue
		}
		var got collect
		if err := split.split(tt.text, &got); err != nil || !slices.Equal(got, strings.Split(tt.pieces, "|")) {
			t.Errorf("%s on %q: %q, error %v, want %s", tt.pattern, tt.text, got, err, tt.pieces)
		}
	}
}

type collect []string

func (c *collect) piece(s string) error {
	*c = append(*c, s)
	return nil
}

func TestTranslateRefuses(t *testing.T) {
	t.Parallel()
	for pattern, want := range map[string]string{
		`a$`: "'$' is not taken", `^a`: "'^' is not taken", `*a`: "'*' is not taken", `a]`: "']' is not taken", `a{x`: "{ is taken in",
		`a{,2}`: "{ is taken in", `a{2}?`: "{n}? is not taken", `a**`: "follows a quantifier", `a+++`: "follows a quantifier",
		`(a`: "not closed", `a)`: "not opened", `(?<n>a)`: "this kind of group", `(?i)a`: "this kind of group", `(?x: a)`: "this kind of group",
		`\w`: `escape \w`, `\h`: `escape \h`, `\b`: `escape \b`, `\x41`: `escape \x`, `\1`: `escape \1`, `a\`: "ends after a backslash",
		`\p{Letter}`: `property \p{Letter}`, `\P{Cn}`: "property", `\p{^L}`: "property", `\p{L`: "property", `\pL`: "escape",
		`[]a]`: "empty", `[a`: "not closed", `[a[b]]`: "class inside a class", `[[:alpha:]]`: "class inside a class",
		`[a&&b]`: "in brackets only", `[^a&&[b]]`: "neither negated", `[&&[b]]`: "neither negated", `[a&&[b]c]`: "goes on", `[a&&[b]&&[c]]`: "goes on", `[a&&[b&&[c]]]`: "neither negated",
		`[a-\d]`: "ends with a class", `(?i:[a-z])`: "range inside", `(?i:é)`: "only ASCII", `(?i:[é])`: "only ASCII", `(?i:Ss)`: "single character", `(?i:a(?:fi))`: "single character",
		"a\xff": "no UTF-8", "[\xff]": "no UTF-8",
	} {
		if own, err := translate(pattern); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %s, error %v, want one with %q", pattern, own, err, want)
		}
	}
}

// TestPublishedPatternsByHand compares the hand-written splitters with the
// patterns themselves.
func TestPublishedPatternsByHand(t *testing.T) {
	t.Parallel()
	for _, pattern := range []string{cl100kPattern, o200kPattern, qwen2Pattern, gpt2Pattern} {
		own, err := translate(pattern)
		if err != nil {
			t.Fatal(err)
		}
		re, err := compile(own)
		if err != nil {
			t.Fatal(err)
		}
		slow := regexpSplitter{re: re}
		fast := published(pattern)
		for _, item := range readGolden(t).Texts {
			var got, want collect
			if err := fast.split(item.Text, &got); err != nil {
				t.Fatal(err)
			}
			if err := slow.split(item.Text, &want); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s: %s: %q, want %q", pattern, item.Name, got, want)
			}
		}
	}
}

func FuzzTranslate(f *testing.F) {
	for _, pattern := range []string{cl100kPattern, o200kPattern, gpt2Pattern, `[\p{Han}]++|[a-z&&[^aeiou]]{1,3}+`, `(?i:[st]?+|'ll)(?=\s)`} {
		f.Add(pattern)
	}
	f.Fuzz(func(t *testing.T, pattern string) {
		own, err := translate(pattern)
		if err != nil || len(pattern) > maxPattern {
			return
		}
		if _, err := translate(pattern); err != nil {
			t.Fatal(err)
		}
		compile(own) // may refuse, must not panic
	})
}

// TestSplitGivesUp: a pattern that backtracks without end is an error, at one
// position and over many.
func TestSplitGivesUp(t *testing.T) {
	t.Parallel()
	for pattern, text := range map[string]string{
		`(a+)+b`: strings.Repeat("a", 60),
		`\s*x`:   strings.Repeat(" ", 20000),
	} {
		re, err := compile(pattern)
		if err != nil {
			t.Fatal(err)
		}
		re.MatchTimeout = 200 * time.Millisecond
		err = regexpSplitter{re: re, gaps: true}.split(text, pieces{})
		if err == nil || !strings.Contains(err.Error(), "gave up at byte") || len(err.Error()) > 200 {
			t.Errorf("%s: error %v, want a short one that says where it gave up", pattern, err)
		}
	}
}

type pieces struct{}

func (pieces) piece(string) error { return nil }
