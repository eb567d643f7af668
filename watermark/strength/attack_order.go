package strength

import "strings"

// shuffleSentences puts the sentences into another order. A sentence ends after
// '.', '!' or '?' before white space; the last may have no end.
func shuffleSentences(_ float64, v victim) ([]int32, error) {
	return edited(v, func(text string) string {
		parts := sentences(text)
		v.random.Shuffle(len(parts), func(i, j int) { parts[i], parts[j] = parts[j], parts[i] })
		return strings.Join(parts, " ")
	})
}

func sentences(text string) []string {
	var out []string
	start := 0
	for i := 0; i+1 < len(text); i++ {
		if strings.IndexByte(".!?", text[i]) >= 0 && strings.IndexByte(" \n\t", text[i+1]) >= 0 {
			out = append(out, strings.TrimSpace(text[start:i+1]))
			start = i + 1
		}
	}
	if rest := strings.TrimSpace(text[start:]); rest != "" {
		out = append(out, rest)
	}
	return out
}
