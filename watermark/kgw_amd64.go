package watermark

// addBonus adds delta (its bits) to the logits whose words are below the threshold,
// eight at a time: SSE2 is part of every amd64.
func addBonus(logits []float32, words []uint32, threshold, delta uint32) {
	words = words[:len(logits)]
	groups := len(logits) / 8
	if groups > 0 {
		addBonus8(&logits[0], &words[0], groups, threshold, delta)
	}
	addBonusEach(logits[8*groups:], words[8*groups:], threshold, delta)
}

// addBonus8 does at least one group of eight.
//
//go:noescape
func addBonus8(logits *float32, words *uint32, groups int, threshold, delta uint32)
