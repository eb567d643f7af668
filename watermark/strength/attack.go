package strength

import (
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/stillmark/stillmark/watermark"
)

// Attack is something that happens to a text between sampling and detection.
type Attack struct {
	Name string
	// Rate is the share of what the attack touches: of tokens, words, gaps or
	// letters; of the text that is kept, for truncation and mixing. 0 where an
	// attack has no rate.
	Rate  float64
	apply func(rate float64, v victim) ([]int32, error)
}

// victim is a marked text under attack.
type victim struct {
	tokens []int32
	filler []int32 // unmarked text of the same model, independent of the key
	enc    watermark.Tokenizer
	other  watermark.Tokenizer // another model's
	random *rand.Rand
}

// Labels names the attack in figures, as "attack=deletion/rate=0.1".
func (a Attack) Labels() string {
	if a.Rate == 0 {
		return "attack=" + a.Name
	}
	return fmt.Sprintf("attack=%s/rate=%g", a.Name, a.Rate)
}

// Attacks is the whole list; few is a short one with one rate of each family.
func Attacks(few bool) []Attack {
	families := []struct {
		name  string
		rates []float64 // the first is that of the short list
		apply func(rate float64, v victim) ([]int32, error)
	}{
		{"deletion", []float64{.1, .05, .2, .3, .5}, deleteTokens},
		{"insertion", []float64{.1, .05, .2, .3, .5}, insertTokens},
		{"substitution", []float64{.1, .05, .2, .3, .5}, substituteTokens},
		{"case", []float64{.1, .5}, changeCase},
		{"whitespace", []float64{.1, .5}, doubleSpaces},
		{"homoglyph", []float64{.05, .2}, replaceLetters},
		{"synonym", []float64{.5, 1}, replaceWords},
		{"sentence-shuffle", []float64{0}, shuffleSentences},
		{"copy-paste", []float64{.5, .25, .1}, mixIn},
		{"retokenise", []float64{0}, retokenise},
		{"truncation", []float64{.5, .25}, truncate},
	}
	var out []Attack
	for _, f := range families {
		rates := f.rates
		if few {
			rates = rates[:1]
		}
		for _, rate := range rates {
			out = append(out, Attack{f.name, rate, f.apply})
		}
	}
	return out
}

// share is the number of n things that a rate touches.
func share(rate float64, n int) int { return int(math.Round(rate * float64(n))) }

// chosen marks exactly k of n positions, uniformly.
func chosen(random *rand.Rand, n, k int) []bool {
	out := make([]bool, n)
	for _, i := range random.Perm(n)[:k] {
		out[i] = true
	}
	return out
}

// edited decodes a text, changes it and encodes it again, as whoever republishes
// text does.
func edited(v victim, change func(text string) string) ([]int32, error) {
	return v.enc.Encode(change(string(v.enc.Decode(v.tokens))))
}
