package trial

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"

	"github.com/stillmark/stillmark/corpora"
	"github.com/stillmark/stillmark/corpora/refmodel"
	"github.com/stillmark/stillmark/watermark"
)

// Generation says what the reference model is to write.
type Generation struct {
	Key         *watermark.Key // nil: unmarked
	Account     string         // whose text, under a key with two channels
	N           int
	MaxTokens   int
	Temperature float64
	TopP        float64
	Prompt      string // "" means the suite's prompts
	Seed        uint64
}

// Sample is one generated text, a line of JSON.
type Sample struct {
	ID           string  `json:"id"`
	Prompt       string  `json:"prompt"`
	Text         string  `json:"text"`
	PromptTokens []int32 `json:"prompt_tokens"`
	Tokens       []int32 `json:"tokens"`
}

// UsageError is a request that the reference model cannot serve.
type UsageError struct{ Problem string }

func (e *UsageError) Error() string { return e.Problem }

// ExitCode is that of usage errors.
func (e *UsageError) ExitCode() int { return 2 }

// mark is what the key marks with; of a key with two channels and no account the
// provenance channel alone.
func (g *Generation) mark() (refmodel.Mark, error) {
	if g.Account == "" {
		return g.Key.Mark()
	}
	return g.Key.TwoChannel(g.Account)
}

// Generate trains the reference model of the seed and writes its texts to out.
func Generate(ctx context.Context, g Generation, out *bufio.Writer, progress func(done int)) error {
	if g.N < 1 || g.MaxTokens < 1 {
		return &UsageError{fmt.Sprintf("%d texts of %d tokens cannot be written", g.N, g.MaxTokens)}
	}
	model, enc, _, err := reference(derived(g.Seed, streamTeacherText))
	if err != nil {
		return err
	}
	sampling := refmodel.Sampling{Temperature: g.Temperature, TopP: g.TopP, MaxTokens: g.MaxTokens}
	if g.Key != nil {
		if g.Key.TokenizerSHA256 != enc.SHA256() || g.Key.Vocab < enc.VocabSize() {
			return &UsageError{fmt.Sprintf("the key is for tokenizer %s with %d ids, the reference model speaks %s with %d: make a key with --tokenizer %s",
				g.Key.Tokenizer, g.Key.Vocab, enc.Name(), enc.VocabSize(), enc.Name())}
		}
		if sampling.Mark, err = g.mark(); err != nil {
			return &UsageError{err.Error()}
		}
	}
	prompts := []corpora.Prompt{{ID: "prompt", Text: g.Prompt}}
	if g.Prompt == "" {
		suite, err := corpora.Load(suiteName)
		if err != nil {
			return err
		}
		if prompts, err = suite.Expand(derived(g.Seed, streamAuditPrompts), 0); err != nil {
			return err
		}
	}
	e := json.NewEncoder(out)
	e.SetEscapeHTML(false)
	for i := range g.N {
		if err := ctx.Err(); err != nil {
			return err
		}
		p := prompts[i%len(prompts)]
		ids, err := enc.Encode(p.Text)
		if err != nil {
			return &UsageError{"the prompt cannot be encoded: " + err.Error()}
		}
		sampling.Seed = derived(g.Seed, streamTraining) + uint64(i)
		reply := []int32{}
		err = model.Generate(ctx, ids, sampling, func(t refmodel.Token) error {
			reply = append(reply, t.ID)
			return nil
		})
		if err != nil {
			return &UsageError{err.Error()}
		}
		if err := e.Encode(Sample{fmt.Sprintf("%s#%d", p.ID, i), p.Text, string(enc.Decode(reply)), ids, reply}); err != nil {
			return err
		}
		progress(i + 1)
	}
	return nil
}
