package evidence

type Tail struct {
	Log10P        float64 `json:"log10_p"`
	Method        string  `json:"method"`
	Log10Estimate float64 `json:"log10_estimate"`
	Mean          float64 `json:"mean"`
	SD            float64 `json:"sd"`
}

type Decoys struct {
	N           int     `json:"n"`
	RankP       float64 `json:"rank_p"`
	SDRatio     float64 `json:"sd_ratio"`
	SDRatioLo   float64 `json:"sd_ratio_lo"`
	SDRatioHi   float64 `json:"sd_ratio_hi"`
	SDTolerance float64 `json:"sd_tolerance"`
	KSP         float64 `json:"ks_p"`
	Pass        bool    `json:"pass"`
}

type Cluster struct {
	N     int64
	Score float64
}

type Interval struct {
	Value float64 `json:"value"`
	Lo    float64 `json:"lo"`
	Hi    float64 `json:"hi"`
}

func Log10DualGammaSF(n int64, alpha, x float64) float64               { return 0 }
func (l Law) Tail(score float64, c Counts) Tail                        { return Tail{} }
func (l Law) RandomizedP(score float64, c Counts, u float64) float64   { return 0 }
func (l Law) Log10E(n int64, score float64) float64                    { return 0 }
func Holm(log10p []float64) []float64                                  { return nil }
func KolmogorovSmirnov(u []float64) (d, p float64)                     { return 0, 0 }
func (l Law) Power(c Counts, effect, log10Alpha float64) float64       { return 0 }
func (l Law) UnitsNeeded(effect, log10Alpha, power float64) int64      { return 0 }
func (l Law) DetectableEffect(c Counts, log10Alpha, p float64) float64 { return 0 }
func (l Law) Effect(clusters []Cluster) Interval                       { return Interval{} }
func JudgeDecoys(l Law, observed float64, decoys []float64, c Counts, seed uint64) Decoys {
	return Decoys{}
}
