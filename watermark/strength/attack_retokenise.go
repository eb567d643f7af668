package strength

import "github.com/stillmark/stillmark/watermark"

// Retokenise sends a text through another model's tokenizer and back. A byte-level
// tokenizer loses no byte: what changes then is that sampled tokens come back as the
// canonical tokenisation of their text, which windows may not survive. One that
// normalises (to NFC, say) changes the text, too.
func Retokenise(through watermark.Tokenizer) Attack {
	return Attack{Name: "retokenise", Through: through.Name(), apply: func(_ float64, v victim) ([]int32, error) {
		ids, err := through.Encode(string(v.enc.Decode(v.tokens)))
		if err != nil {
			return nil, err
		}
		return v.enc.Encode(string(through.Decode(ids)))
	}}
}
