package strength

// repeated is the share of the n-grams of a text that occurred before in it; 0
// for a text without n-grams. 1 minus it is distinct-n (Li et al., "A
// diversity-promoting objective function", NAACL 2016).
func repeated(tokens []int32, n int) float64 {
	total := len(tokens) - n + 1
	if total < 1 {
		return 0
	}
	seen := make(map[[maxGram]int32]bool, total)
	for i := range total {
		var gram [maxGram]int32
		copy(gram[:], tokens[i:i+n])
		seen[gram] = true
	}
	return 1 - float64(len(seen))/float64(total)
}

// maxGram is the longest n-gram that is counted.
const maxGram = 4

// surprise is the mean negative log-probability of a text, in nats per token,
// missing where the generator tells none.
func surprise(t Text) float64 {
	if len(t.Logprobs) == 0 {
		return missing
	}
	var sum float64
	for _, l := range t.Logprobs {
		sum -= l
	}
	return sum / float64(len(t.Logprobs))
}
