package trial

import (
	"fmt"

	"github.com/stillmark/stillmark/corpora/refmodel"
	"github.com/stillmark/stillmark/watermark"
)

// Entropies trains the reference model of the seed and gives the entropy, in bits,
// of its next-token distribution at every position of a text, at temperature 1: a
// proxy that no key enters. The texts must be in its tokenizer, the key's.
func Entropies(spec watermark.Spec, seed uint64) (func(ids []int32) ([]float64, error), error) {
	model, enc, _, err := reference(derived(seed, streamTeacherText))
	if err != nil {
		return nil, err
	}
	if spec.TokenizerSHA256 != enc.SHA256() {
		return nil, &UsageError{fmt.Sprintf("the reference model speaks %s and the key is for the tokenizer %q: give entropies of your own", enc.Name(), spec.Tokenizer)}
	}
	return func(ids []int32) ([]float64, error) {
		return model.StepEntropies(ids, refmodel.DefaultSampling())
	}, nil
}
