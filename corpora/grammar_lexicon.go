package corpora

import (
	"fmt"
	"strings"
)

// wordClass is one class of the lexicon, in order of frequency.
type wordClass struct {
	name  string
	words []word
}

// word is one entry with its forms. Words that do not inflect have only base.
type word struct {
	base   string // singular, infinitive, or the word itself
	plural string
	kind   nounKind
	third  string // she walks
	past   string
	part   string // participle: has walked
	ing    string
}

type nounKind uint8

const (
	countable  nounKind = iota
	mass                // no plural, no article: "rice"
	pluralOnly          // "scissors"
)

// parseLexicon reads "@class" headers and comma-separated entries.
func parseLexicon(file, text string, classes map[string]*wordClass) error {
	var class *wordClass
	for n, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		switch {
		case line == "" || line[0] == '#':
			continue
		case line[0] == '@':
			name := line[1:]
			if classes[name] != nil {
				return fmt.Errorf("%s:%d: class %s is defined twice", file, n+1, name)
			}
			class = &wordClass{name: name}
			classes[name] = class
		case class == nil:
			return fmt.Errorf("%s:%d: a word before the first class", file, n+1)
		default:
			for _, entry := range strings.Split(line, ",") {
				entry = strings.TrimSpace(entry)
				if entry == "" {
					return fmt.Errorf("%s:%d: an empty entry in class %s", file, n+1, class.name)
				}
				w, err := parseWord(class.name, entry)
				if err != nil {
					return fmt.Errorf("%s:%d: %w", file, n+1, err)
				}
				class.words = append(class.words, w)
			}
		}
	}
	return nil
}

func parseWord(class, entry string) (word, error) {
	switch {
	case strings.HasPrefix(class, "n."):
		return parseNoun(entry)
	case strings.HasPrefix(class, "v."):
		return parseVerb(entry)
	}
	return word{base: entry}, nil
}

func parseNoun(entry string) (word, error) {
	if base, ok := strings.CutSuffix(entry, "~"); ok {
		return word{base: base, plural: base, kind: mass}, nil
	}
	if base, ok := strings.CutSuffix(entry, "^"); ok {
		return word{base: base, plural: base, kind: pluralOnly}, nil
	}
	forms := strings.Split(entry, "/")
	switch len(forms) {
	case 1:
		return word{base: entry, plural: pluralOf(entry)}, nil
	case 2:
		return word{base: forms[0], plural: forms[1]}, nil
	}
	return word{}, fmt.Errorf("noun %q has %d forms, at most 2 are known", entry, len(forms))
}

func parseVerb(entry string) (word, error) {
	forms := strings.Split(entry, "/")
	switch len(forms) {
	case 1:
		head, rest := cutHead(entry)
		head, double := strings.CutSuffix(head, "+")
		stem := head
		if double {
			stem += head[len(head)-1:]
		}
		return word{
			base: head + rest, third: thirdOf(head) + rest,
			past: pastOf(stem) + rest, part: pastOf(stem) + rest, ing: ingOf(stem) + rest,
		}, nil
	case 3:
		head, rest := cutHead(forms[0])
		stem := head
		if doublesInIng(head) {
			stem += head[len(head)-1:]
		}
		return word{
			base: forms[0], third: thirdOf(head) + rest,
			past: forms[1], part: forms[2], ing: ingOf(stem) + rest,
		}, nil
	}
	return word{}, fmt.Errorf("verb %q has %d forms, 1 or 3 are known", entry, len(forms))
}

// cutHead splits "pick up" into the word that inflects and the rest.
func cutHead(s string) (head, rest string) {
	if i := strings.IndexByte(s, ' '); i >= 0 {
		return s[:i], s[i:]
	}
	return s, ""
}

func endsIn(s string, suffixes ...string) bool {
	for _, x := range suffixes {
		if strings.HasSuffix(s, x) {
			return true
		}
	}
	return false
}

func isVowel(c byte) bool { return strings.IndexByte("aeiou", c) >= 0 }

// consonantY reports whether s ends in a consonant and y.
func consonantY(s string) bool {
	return len(s) > 1 && s[len(s)-1] == 'y' && !isVowel(s[len(s)-2])
}

func pluralOf(s string) string {
	switch {
	case consonantY(s):
		return s[:len(s)-1] + "ies"
	case endsIn(s, "s", "x", "z", "ch", "sh"):
		return s + "es"
	}
	return s + "s"
}

func thirdOf(s string) string {
	if s == "be" {
		return "is"
	}
	if s == "have" {
		return "has"
	}
	if endsIn(s, "o") {
		return s + "es"
	}
	return pluralOf(s)
}

func pastOf(s string) string {
	switch {
	case endsIn(s, "e"):
		return s + "d"
	case endsIn(s, "c"):
		return s + "ked"
	case consonantY(s):
		return s[:len(s)-1] + "ied"
	}
	return s + "ed"
}

func ingOf(s string) string {
	switch {
	case s == "be":
		return "being"
	case endsIn(s, "ie"):
		return s[:len(s)-2] + "ying"
	case endsIn(s, "ee", "oe", "ye"):
		return s + "ing"
	case endsIn(s, "e"):
		return s[:len(s)-1] + "ing"
	case endsIn(s, "c"):
		return s + "king"
	}
	return s + "ing"
}

// doublesInIng tells for irregular verbs, which carry no mark, whether the last
// letter doubles before -ing: one syllable of consonants, one vowel and one
// consonant, and the stressed endings of begin and forget.
func doublesInIng(s string) bool {
	if s == "begin" || s == "forget" {
		return true
	}
	n := len(s)
	if n < 3 || isVowel(s[n-1]) || strings.IndexByte("wxy", s[n-1]) >= 0 || !isVowel(s[n-2]) || isVowel(s[n-3]) {
		return false
	}
	for i := range n - 2 {
		if isVowel(s[i]) {
			return false
		}
	}
	return true
}

// startsWithVowelSound decides between "a" and "an".
func startsWithVowelSound(s string) bool {
	s = strings.ToLower(s)
	for _, p := range []string{"uni", "use", "usu", "usa", "eu", "one", "once", "ut", "ubi"} {
		if strings.HasPrefix(s, p) {
			return strings.HasPrefix(s, "unin") || strings.HasPrefix(s, "unim") || strings.HasPrefix(s, "utter")
		}
	}
	for _, p := range []string{"hour", "honest", "honour", "heir", "8", "11", "18"} {
		if strings.HasPrefix(s, p) {
			return p != "11" && p != "18" || len(s) == 2 || s[2] < '0' || s[2] > '9'
		}
	}
	return s != "" && isVowel(s[0])
}
