package monitor

import (
	"math"

	"github.com/stillmark/stillmark/watermark"
	"github.com/stillmark/stillmark/watermark/evidence"
)

// Statistic is the mean bounded score of a reply's distinct units, in [0,1], and how
// many units it has. Without units it is 0 of 0.
func Statistic(s watermark.Scheme, it watermark.Item) (y float64, units int) {
	law, sum := s.Law(), 0.
	for _, t := range watermark.ScoreTokens(s, it) {
		switch t.Fate {
		case watermark.FateScored:
			sum += bounded(law, t.Score)
			units++
		case watermark.FateOutOfVocab:
			units++
		}
	}
	if units == 0 {
		return 0, 0
	}
	return min(max(sum/float64(units), 0), 1), units
}

func bounded(law evidence.Law, score float64) float64 {
	switch law.Kind {
	case evidence.KindExponential:
		return -math.Expm1(-score)
	case evidence.KindFairBits:
		return score / float64(law.Bits)
	}
	return score
}

// Unmarked is the mean of the statistic on text that is independent of the key, over
// the key: what an absent mark is expected to show. For two keys mixed with weight a,
// 1 - E[e^-(1-a)A] E[e^-aB] = 1 - 1/((2-a)(1+a)).
func Unmarked(s watermark.Scheme) float64 {
	switch law := s.Law(); law.Kind {
	case evidence.KindExponential:
		if a := s.Spec().Params.Alpha; a > 0 {
			return 1 - 1/((2-a)*(1+a))
		}
		return .5
	case evidence.KindFairBits:
		return .5
	default:
		return law.P
	}
}
