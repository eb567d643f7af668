package strength

// Token edits stand for light rewording: each edit breaks the windows that hold it.
// Positions are drawn without replacement, so a rate is met exactly; new tokens
// come from unmarked text of the same model, in its own frequencies.

func deleteTokens(rate float64, v victim) ([]int32, error) {
	gone := chosen(v.random, len(v.tokens), share(rate, len(v.tokens)))
	out := make([]int32, 0, len(v.tokens))
	for i, t := range v.tokens {
		if !gone[i] {
			out = append(out, t)
		}
	}
	return out, nil
}

func insertTokens(rate float64, v victim) ([]int32, error) {
	before := chosen(v.random, len(v.tokens), share(rate, len(v.tokens)))
	var out []int32
	for i, t := range v.tokens {
		if before[i] {
			out = append(out, v.foreign())
		}
		out = append(out, t)
	}
	return out, nil
}

func substituteTokens(rate float64, v victim) ([]int32, error) {
	changed := chosen(v.random, len(v.tokens), share(rate, len(v.tokens)))
	out := make([]int32, len(v.tokens))
	for i, t := range v.tokens {
		out[i] = t
		// A filler of one token repeated could never differ: give up in time.
		for tries := 0; changed[i] && out[i] == t && tries < 100; tries++ {
			out[i] = v.foreign()
		}
	}
	return out, nil
}

// foreign draws a token of the filler.
func (v victim) foreign() int32 { return v.filler[v.random.IntN(len(v.filler))] }
