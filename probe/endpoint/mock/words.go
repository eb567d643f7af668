package mock

import (
	"context"
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"strings"
)

// Words is a generator for tests and for `stillmark mock` without a model: words
// drawn from a short list. Its text depends on the messages, on the seed unless
// the temperature is 0, and on nothing else.
type Words struct{}

// wordList has words of several bytes a rune, cut inside a rune, as byte-level
// tokenizers do.
var wordList = strings.Fields("river stone lantern quiet morning copper garden window letter harbour winter answer " +
	"small bright narrow early while under across before naïve façade Übung 你好 😀 and the a of")

// defaultWords is the length of a reply without max_tokens.
const defaultWords = 64

// Generate emits MaxTokens pieces, or 64, and ends by length.
func (Words) Generate(ctx context.Context, req GenRequest, emit func(Piece) error) (string, error) {
	rng := rand.New(rand.NewPCG(req.hash(), 0x57))
	limit := req.MaxTokens
	if limit == 0 {
		limit = defaultWords
	}
	for n := 0; n < limit; {
		if err := ctx.Err(); err != nil {
			return "", err
		}
		word := wordList[rng.IntN(len(wordList))]
		lp := -math.Log(float64(len(wordList)))
		if n > 0 {
			word = " " + word
		}
		// The last byte of a word that is not ASCII is a piece of its own.
		parts := []string{word}
		if i := len(word) - 1; word[i] >= 0x80 && n+1 < limit {
			parts = []string{word[:i], word[i:]}
		}
		for _, s := range parts {
			if err := emit(Piece{Text: s, Token: int32(n), Logprob: lp, Top: alternatives(req.Logprobs, lp)}); err != nil {
				return "", err
			}
			lp = 0 // the rest of a word is certain
			n++
		}
	}
	return "length", nil
}

// alternatives are n words, all as probable.
func alternatives(n int, logprob float64) []Alt {
	var top []Alt
	for k := range min(max(n, 0), len(wordList)) {
		top = append(top, Alt{" " + wordList[k], int32(k), logprob})
	}
	return top
}

// Echo emits the prompt word by word; the first has no probability.
func (Words) Echo(_ context.Context, req GenRequest, emit func(Piece) error) error {
	for i, w := range strings.SplitAfter(req.Prompt, " ") {
		lp := -math.Log(float64(len(wordList)))
		p := Piece{Text: w, Token: int32(len(wordList) + i), Logprob: lp, NoLogprob: i == 0}
		if i > 0 {
			p.Top = alternatives(req.Logprobs, lp)
		}
		if err := emit(p); err != nil {
			return err
		}
	}
	return nil
}

// CountTokens counts words.
func (Words) CountTokens(text string) int { return len(strings.Fields(text)) }

// hash is a seed made of all that a reply depends on.
func (r *GenRequest) hash() uint64 {
	h := fnv.New64a()
	fmt.Fprintf(h, "%q %q", r.Model, r.Prompt)
	for _, m := range r.Messages {
		fmt.Fprintf(h, "%q %q", m.Role, m.Content)
	}
	if r.Temperature > 0 {
		fmt.Fprintf(h, "%d", r.Seed)
	}
	return h.Sum64()
}
