package strength

import "unicode/utf8"

// truncate keeps a contiguous share of the text, cut at a random character: the
// first and the last token may be halves.
func truncate(rate float64, v victim) ([]int32, error) {
	return edited(v, func(text string) string {
		keep := share(rate, len(text))
		from := 0
		if len(text) > keep {
			from = v.random.IntN(len(text) - keep)
		}
		for from > 0 && !utf8.RuneStart(text[from]) {
			from--
		}
		end := from + keep
		for end < len(text) && !utf8.RuneStart(text[end]) {
			end++
		}
		return text[from:end]
	})
}
