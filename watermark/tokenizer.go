package watermark

// Tokenizer is all that this package's callers need of one: text in, ids out.
type Tokenizer interface {
	Name() string
	Encode(text string) ([]int32, error)
	Decode(ids []int32) []byte
	VocabSize() int // width of the logits
}
