package strength

// retokenise sends the text through another model's tokenizer and back. A
// byte-level tokenizer loses no byte: what changes is that sampled tokens come
// back as the canonical tokenisation of their text, which windows may not survive.
func retokenise(_ float64, v victim) ([]int32, error) {
	ids, err := v.other.Encode(string(v.enc.Decode(v.tokens)))
	if err != nil {
		return nil, err
	}
	return v.enc.Encode(string(v.other.Decode(ids)))
}
