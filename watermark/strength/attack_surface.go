package strength

import (
	"strings"
	"unicode"
)

// Surface edits leave the reading as it is and change the tokens: text is
// decoded, edited and tokenised again.

// changeCase swaps the case of the first letter of a share of the words.
func changeCase(rate float64, v victim) ([]int32, error) {
	return edited(v, func(text string) string {
		runes := []rune(text)
		return rewrite(v, rate, runes, func(i int) bool {
			return unicode.IsLetter(runes[i]) && (i == 0 || !unicode.IsLetter(runes[i-1]))
		}, func(r rune) string {
			if unicode.IsUpper(r) {
				return string(unicode.ToLower(r))
			}
			return string(unicode.ToUpper(r))
		})
	})
}

// doubleSpaces doubles a share of the spaces.
func doubleSpaces(rate float64, v victim) ([]int32, error) {
	return edited(v, func(text string) string {
		runes := []rune(text)
		return rewrite(v, rate, runes, func(i int) bool { return runes[i] == ' ' }, func(rune) string { return "  " })
	})
}

// homoglyphs are Cyrillic letters that look as the Latin ones do in common fonts
// (Unicode Technical Standard 39, confusables).
var homoglyphs = strings.NewReplacer("a", "а", "c", "с", "e", "е", "i", "і", "o", "о", "p", "р", "s", "ѕ", "x", "х", "y", "у")

// replaceLetters replaces a share of the letters that have a homoglyph.
func replaceLetters(rate float64, v victim) ([]int32, error) {
	return edited(v, func(text string) string {
		runes := []rune(text)
		return rewrite(v, rate, runes, func(i int) bool { return strings.ContainsRune("aceiopsxy", runes[i]) },
			func(r rune) string { return homoglyphs.Replace(string(r)) })
	})
}

// rewrite replaces exactly a share of the characters that qualify.
func rewrite(v victim, rate float64, runes []rune, qualifies func(i int) bool, replace func(r rune) string) string {
	var at []int
	for i := range runes {
		if qualifies(i) {
			at = append(at, i)
		}
	}
	hit := make(map[int]bool, len(at))
	for i, yes := range chosen(v.random, len(at), share(rate, len(at))) {
		if yes {
			hit[at[i]] = true
		}
	}
	var b strings.Builder
	for i, r := range runes {
		if hit[i] {
			b.WriteString(replace(r))
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}
