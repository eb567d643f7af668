package evidence

func (l Law) Power(c Counts, effect, log10Alpha float64) float64       { return 0 }
func (l Law) UnitsNeeded(effect, log10Alpha, power float64) int64      { return 0 }
func (l Law) DetectableEffect(c Counts, log10Alpha, p float64) float64 { return 0 }
