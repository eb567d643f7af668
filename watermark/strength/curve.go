package strength

import (
	"math"

	"github.com/stillmark/stillmark/watermark"
	"github.com/stillmark/stillmark/watermark/evidence"
)

// curve is the unweighted evidence of every prefix of one text.
type curve struct {
	law   *watermark.NullLaw
	n     []int64   // distinct units up to a position
	score []float64 // and their score
}

func newCurve(s watermark.Scheme, prompt, tokens []int32) curve {
	c := curve{law: watermark.NewNullLaw(s), n: make([]int64, len(tokens)+1), score: make([]float64, len(tokens)+1)}
	for i, t := range watermark.ScoreTokens(s, watermark.Item{Prompt: prompt, Tokens: tokens}) {
		c.n[i+1], c.score[i+1] = c.n[i], c.score[i]
		if t.Fate == watermark.FateScored {
			c.n[i+1]++
			c.score[i+1] += t.Score
		}
	}
	return c
}

// at is the evidence of the first tokens of the text.
func (c curve) at(tokens int) watermark.KeyScore {
	return watermark.KeyScore{Score: c.score[tokens], Counts: evidence.Plain(c.n[tokens])}
}

// log10P is the exact tail of the first tokens of the text.
func (c curve) log10P(tokens int) float64 {
	if c.n[tokens] == 0 {
		return 0
	}
	return c.law.Tail(c.at(tokens)).Log10P
}

// z is the standardised score: a description, from which no p is made.
func (c curve) z(tokens int) float64 { return c.law.Z(c.at(tokens)) }

// stride is the resolution of tokens-to-detect.
const stride = 5

// first is the shortest prefix, to the next multiple of stride, whose p is at
// most 10^log10Alpha; infinite if there is none.
func (c curve) first(log10Alpha float64) float64 {
	for i := stride; i < len(c.n); i += stride {
		if c.log10P(i) <= log10Alpha {
			return float64(i)
		}
	}
	return math.Inf(1)
}
