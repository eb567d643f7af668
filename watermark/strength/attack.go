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
	Rate float64
	// Through names the tokenizer of retokenise.
	Through string
	apply   func(rate float64, v victim) ([]int32, error)
}

// victim is a marked text under attack.
type victim struct {
	tokens []int32
	filler []int32 // unmarked text of the same model, independent of the key
	enc    watermark.Tokenizer
	random *rand.Rand
}

// Labels names the attack in figures, as "attack=deletion/rate=0.1".
func (a Attack) Labels() string {
	s := "attack=" + a.Name
	if a.Through != "" {
		s += "/through=" + a.Through
	}
	if a.Rate != 0 {
		s += fmt.Sprintf("/rate=%g", a.Rate)
	}
	return s
}

// Attacks is the whole list but for [Retokenise]; few is a short one with one rate
// of each family.
func Attacks(few bool) []Attack {
	families := []struct {
		name  string
		short float64 // the rate of the short list
		rates []float64
		apply func(rate float64, v victim) ([]int32, error)
	}{
		{"deletion", .1, []float64{.05, .1, .2, .3, .5}, deleteTokens},
		{"insertion", .1, []float64{.05, .1, .2, .3, .5}, insertTokens},
		{"substitution", .1, []float64{.05, .1, .2, .3, .5}, substituteTokens},
		{"case", .1, []float64{.1, .5}, changeCase},
		{"whitespace", .1, []float64{.1, .5}, doubleSpaces},
		{"homoglyph", .05, []float64{.05, .2}, replaceLetters},
		{"synonym", .5, []float64{.5, 1}, replaceWords},
		{"sentence-shuffle", 0, []float64{0}, shuffleSentences},
		{"copy-paste", .5, []float64{.5, .25, .1}, mixIn},
		{"truncation", .5, []float64{.5, .25}, truncate},
	}
	var out []Attack
	for _, f := range families {
		rates := f.rates
		if few {
			rates = []float64{f.short}
		}
		for _, rate := range rates {
			out = append(out, Attack{Name: f.name, Rate: rate, apply: f.apply})
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
