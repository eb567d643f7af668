package persona

import (
	"context"
	"fmt"
	"strings"

	"github.com/stillmark/stillmark/probe/endpoint/mock"
	"github.com/stillmark/stillmark/probe/ledger"
)

// Generator puts a model behind the scripted server for the prompts of a plan. The
// sample is the request's seed, at temperature 0 always the same; a prompt that the plan
// does not have is answered in prose.
func (m *Model) Generator(prompts []ledger.Prompt) mock.Generator {
	g := &generator{model: m, prompts: map[string]*ledger.Prompt{}, unknown: &ledger.Prompt{ID: "unknown"}}
	for i := range prompts {
		p := &prompts[i]
		g.prompts[asked(p.System, p.Text)] = p
	}
	return g
}

type generator struct {
	model   *Model
	prompts map[string]*ledger.Prompt
	unknown *ledger.Prompt
}

func asked(system, text string) string { return strings.TrimPrefix(system+"\n\n"+text, "\n\n") }

// Generate answers, word by word.
func (g *generator) Generate(_ context.Context, req mock.GenRequest, emit func(mock.Piece) error) (string, error) {
	p := g.prompts[req.Prompt]
	if p == nil {
		p = g.unknown
	}
	sample := int(req.Seed & 0x7fffffff)
	if req.Temperature == 0 {
		sample = 0
	}
	text, err := g.model.Answer(p, sample)
	if err != nil {
		return "", fmt.Errorf("persona %s: %w", g.model.Name, err)
	}
	for i, word := range strings.SplitAfter(text, " ") {
		if req.MaxTokens > 0 && i == req.MaxTokens {
			return "length", nil
		}
		if err := emit(mock.Piece{Text: word, Token: int32(i)}); err != nil {
			return "", err
		}
	}
	return "stop", nil
}

// CountTokens counts by the model's tokenizer.
func (g *generator) CountTokens(text string) int { return g.model.CountTokens(text) }
