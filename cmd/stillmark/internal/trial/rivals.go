package trial

import (
	"context"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/stillmark/stillmark/corpora"
	"github.com/stillmark/stillmark/corpora/refmodel"
	"github.com/stillmark/stillmark/probe/endpoint/mock"
	"github.com/stillmark/stillmark/watermark"
)

// train makes a model of a text.
func (l *lab) train(text string) (*served, error) {
	docs, err := encodeDocuments(l.enc, text)
	if err != nil {
		return nil, err
	}
	m, err := refmodel.Train(docs, refmodel.Options{Vocab: l.enc.VocabSize()})
	return &served{model: m, enc: l.enc}, err
}

// innocent makes a rival that has never met the key.
func (l *lab) innocent(kind int, seed uint64) (g mock.Generator, temperature float64, suite string, err error) {
	train := func(text string) (mock.Generator, error) { return l.train(text) }
	domains := corpora.TextDomains()
	temperature, suite = 1, suiteName
	switch innocentKinds[kind] {
	case "one topic":
		temperature = .7
		g, err = train(corpora.GenerateText(seed, domains[seed%uint64(len(domains))], baseBytes/4))
	case "cold and repetitive":
		temperature = .3
		g, err = train(corpora.GenerateText(seed, "", baseBytes/4))
	case "from templates":
		g = templated{seed: seed}
	case "five languages":
		var text string
		if text, suite, err = manyTongues(seed); err == nil {
			g, err = train(text)
		}
	case "large and hot":
		temperature = 1.2
		g, err = train(corpora.GenerateText(seed, "", baseBytes))
	default:
		g, err = train(corpora.GenerateText(seed, "", baseBytes/2))
	}
	return g, temperature, suite, err
}

// manyTongues is text in five languages, and the suite whose prompts are put.
func manyTongues(seed uint64) (text, suite string, err error) {
	langs := []string{"de", "es", "fr", "ja", "zh"}
	var b strings.Builder
	for _, lang := range langs {
		s, err := corpora.Load("longform-" + lang)
		if err != nil {
			return "", "", err
		}
		prompts, err := s.Expand(seed, 0)
		if err != nil {
			return "", "", err
		}
		for _, p := range prompts {
			b.WriteString(p.Text + corpora.DocumentBreak)
		}
	}
	return b.String(), "longform-" + langs[seed%uint64(len(langs))], nil
}

// templated answers every prompt with sentences of few moulds, as service desks do.
type templated struct{ seed uint64 }

// Generate writes a reply word by word.
func (g templated) Generate(_ context.Context, req mock.GenRequest, emit func(mock.Piece) error) (string, error) {
	h := sha256.Sum256(fmt.Appendf(nil, "%d %d %s", g.seed, req.Seed, req.Prompt))
	rng := rand.New(rand.NewChaCha8(h))
	pick := func(words ...string) string { return words[rng.IntN(len(words))] }
	n := 0
	for range 12 {
		sentence := fmt.Sprintf("Thank you for asking about the %s. We %s that the %s is %s, and you will hear from us within %s days. ",
			pick("order", "invoice", "account", "parcel"), pick("confirm", "regret", "are happy"), pick("delivery", "refund", "change", "request"),
			pick("on its way", "under way", "complete", "delayed"), pick("two", "three", "five", "ten"))
		for _, word := range strings.SplitAfter(sentence, " ") {
			if word == "" {
				continue
			}
			if n++; n > req.MaxTokens && req.MaxTokens > 0 {
				return "length", nil
			}
			if err := emit(mock.Piece{Text: word}); err != nil {
				return "", err
			}
		}
	}
	return "stop", nil
}

// student is trained on base text and on replies of the teacher: so many tokens of marked
// ones, and of others.
func (l *lab) student(mark watermark.Scheme, marked, others int, seed uint64) (mock.Generator, error) {
	w := &world{enc: l.enc, teacher: l.teacher}
	prompts := slices.Clone(l.prompts)
	rng := rand.New(rand.NewPCG(seed, 1))
	rng.Shuffle(len(prompts), func(i, j int) { prompts[i], prompts[j] = prompts[j], prompts[i] })
	copied := slices.Concat(w.replies(prompts, marked, mark, seed), w.replies(prompts, others, nil, seed+1<<40))
	m, err := refmodel.Train(slices.Concat(l.base, copied), refmodel.Options{Vocab: l.enc.VocabSize()})
	return &served{model: m, enc: l.enc}, err
}
