//go:build !amd64

package watermark

// addBonus adds delta (its bits) to the logits whose words are below the threshold.
func addBonus(logits []float32, words []uint32, threshold, delta uint32) {
	addBonusEach(logits, words, threshold, delta)
}
