package strength

import (
	"context"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stillmark/stillmark/watermark"
)

// bytesEncoding is a tokenizer whose tokens are bytes.
type bytesEncoding struct{}

func (bytesEncoding) Name() string   { return "bytes" }
func (bytesEncoding) VocabSize() int { return 256 }
func (bytesEncoding) Encode(text string) ([]int32, error) {
	ids := make([]int32, len(text))
	for i := range len(text) {
		ids[i] = int32(text[i])
	}
	return ids, nil
}

func (bytesEncoding) Decode(ids []int32) []byte {
	out := make([]byte, len(ids))
	for i, id := range ids {
		out[i] = byte(id)
	}
	return out
}

const alphabet = "abcdefghijklmnopqrstuvwxyz ABCDEFGHIJKLMNOPQRSTUVWXYZ."

// toy is a memoryless model over an alphabet, of about 5 bits per token.
type toy struct{}

func (toy) Generate(_ context.Context, prompt []int32, n int, seed uint64, mark Mark) (Text, error) {
	random := rand.New(rand.NewPCG(seed, uint64(len(prompt))))
	var t Text
	ids, logits := make([]int32, len(alphabet)), make([]float32, len(alphabet))
	for range n {
		for i := range len(alphabet) {
			ids[i], logits[i] = int32(alphabet[i]), -float32(i%9)/6
		}
		plain := softmax(logits)
		if mark != nil {
			mark.ProcessCandidates(t.Tokens, ids, logits)
		}
		u, pick := random.Float64(), 0
		for i, p := range softmax(logits) {
			if p == 0 {
				continue
			}
			pick = i
			if u -= p; u < 0 {
				break
			}
		}
		t.Tokens = append(t.Tokens, ids[pick])
		t.Logprobs = append(t.Logprobs, math.Log(plain[pick]))
	}
	return t, nil
}

// small is a benchmark that takes tens of milliseconds.
func small(schemes ...string) Config {
	base := watermark.Spec{Tokenizer: "bytes", Vocab: 256}
	c := Standard(base, true)
	c.Settings, _ = OfSchemes(c.Settings, schemes)
	c.Texts, c.Lengths, c.AttackTokens, c.NullKeys, c.NullTokens = 30, []int{10, 40, 160}, 120, 0, 100
	c.Generator, c.Tokenizer = toy{}, bytesEncoding{}
	c.Attacks = append(c.Attacks, Retokenise(bytesEncoding{}))
	for i := range c.Texts {
		c.Prompts = append(c.Prompts, []int32{'?', int32(i)})
	}
	return c
}

func measured(t *testing.T, c Config) *Run {
	t.Helper()
	r, err := Measure(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return r
}
