package strength

// pasted is the number of passages that a marked text is cut into.
const pasted = 3

// mixIn pastes the marked text, in three passages, into unmarked text of the
// same model. The whole is as long as the marked text was; rate is the share
// that is marked.
func mixIn(rate float64, v victim) ([]int32, error) {
	n := len(v.tokens)
	marked, filler := v.tokens[:share(rate, n)], v.filler
	need := n - len(marked)
	for len(filler) < need { // short texts: repeat, which only dilutes
		filler = append(filler[:len(filler):len(filler)], v.filler...)
	}
	var out []int32
	for i := range pasted {
		out = append(out, filler[need*i/pasted:need*(i+1)/pasted]...)
		out = append(out, marked[len(marked)*i/pasted:len(marked)*(i+1)/pasted]...)
	}
	return out, nil
}
