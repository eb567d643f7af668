package evidence

import (
	"math"
	"math/rand/v2"
)

const (
	// decoyKSLevel is the level of the uniformity test in the decoys' gate.
	decoyKSLevel = 1e-3
	// decoySigmas is how many standard errors of a standard deviation,
	// 1/√(2(D-1)), the decoys' spread may differ from the null law's.
	decoySigmas = 4
	// minDecoys is the least number with which the gate can fail both ways: with
	// fewer the tolerance is 1 or more, and even a score that never varies passes.
	minDecoys = 10
)

// Decoys is the judgement of a score against keys that were never served. Decoys
// test the null law of the score on a fixed text; they say nothing of leakage,
// filtering, spoofing or a leaked key.
type Decoys struct {
	N int `json:"n"`
	// RankP is (1 + #{decoys >= observed})/(N+1), exact whatever the repetition in
	// the text, provided prompts, filter and stop rule do not depend on the key.
	RankP float64 `json:"rank_p"`
	// SDRatio is v, the decoys' standard deviation over the null law's, with a
	// 95 % interval; |v-1| <= SDTolerance is the first half of the gate.
	SDRatio     float64 `json:"sd_ratio"`
	SDRatioLo   float64 `json:"sd_ratio_lo"`
	SDRatioHi   float64 `json:"sd_ratio_hi"`
	SDTolerance float64 `json:"sd_tolerance"`
	// KSP is the Kolmogorov-Smirnov p of the decoys' randomised p-values; at least
	// 1e-3 is the second half.
	KSP float64 `json:"ks_p"`
	// Pass is the gate. If it fails, the analytic p and the e-value are both to be
	// withheld, and RankP alone is reported.
	Pass bool `json:"pass"`
}

// JudgeDecoys compares the observed score with the same units' scores under decoy
// keys. seed drives only the randomisation of the p-values: same input, same
// judgement. v's tolerance is 4/√(2(D-1)); its interval is v·√((D-1)/χ²) at the
// 2.5 and 97.5 % points of χ² with D-1 degrees of freedom (Wilson & Hilferty 1931).
// With fewer than 10 decoys, or no units, nothing can be said beyond the rank: the
// gate does not pass, the ratios are 0 and the KS p is 1.
func JudgeDecoys(l Law, observed float64, decoys []float64, c Counts, seed uint64) Decoys {
	_, sd := l.moments(c)
	return judgeDecoys(l.Null(c).RandomizedP, sd, observed, decoys, seed)
}

// judgeDecoys is [JudgeDecoys] for any law: its randomised p and standard deviation.
func judgeDecoys(randomized func(score, u float64) float64, sd, observed float64, decoys []float64, seed uint64) Decoys {
	d := len(decoys)
	j := Decoys{N: d, KSP: 1}
	random := rand.New(rand.NewPCG(seed, 0))
	u := make([]float64, d)
	mean, reached := 0., 0
	for i, s := range decoys {
		mean += s / float64(d)
		if s >= observed {
			reached++
		}
		u[i] = randomized(s, (float64(random.Uint64()>>12)+0.5)*0x1p-52)
	}
	j.RankP = float64(1+reached) / float64(d+1)
	if d < minDecoys || sd == 0 {
		return j
	}
	_, j.KSP = KolmogorovSmirnov(u)
	j.SDTolerance = decoySigmas / math.Sqrt(2*float64(d-1))
	ss := 0.
	for _, s := range decoys {
		ss += (s - mean) * (s - mean)
	}
	df := float64(d - 1)
	j.SDRatio = math.Sqrt(ss/df) / sd
	j.SDRatioLo = j.SDRatio / chiOverRoot(df, z975)
	j.SDRatioHi = j.SDRatio / chiOverRoot(df, -z975)
	j.Pass = math.Abs(j.SDRatio-1) <= j.SDTolerance && j.KSP >= decoyKSLevel
	return j
}

// z975 is the 97.5 % point of the standard normal law.
const z975 = 1.959963984540054

// chiOverRoot is √(χ²_q/df) with q the normal point z, by Wilson & Hilferty's cube
// (1 - 2/9df + z√(2/9df))³; relative error 5e-3 at 9 degrees of freedom, 1e-4 from 98 on.
func chiOverRoot(df, z float64) float64 {
	a := 2 / (9 * df)
	return math.Pow(max(1-a+z*math.Sqrt(a), 0), 1.5)
}
