package trial

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"io"
	"slices"

	"github.com/stillmark/stillmark/corpora/refmodel"
	"github.com/stillmark/stillmark/corpora/tokens"
	"github.com/stillmark/stillmark/probe/endpoint/mock"
	"github.com/stillmark/stillmark/probe/endpoint/mock/persona"
	"github.com/stillmark/stillmark/watermark"
)

// served puts a reference model behind the server.
type served struct {
	model *refmodel.Model
	enc   *tokens.Encoding
	mark  watermark.Scheme // nil: unmarked
	// temperature, unless 0, is taken in place of a request's.
	temperature float64
}

// defaultMaxTokens is used when a request does not say.
const defaultMaxTokens = 100

func (s *served) sampling(req mock.GenRequest) refmodel.Sampling {
	sampling := refmodel.DefaultSampling()
	sampling.Temperature, sampling.TopP = cmp.Or(s.temperature, req.Temperature), req.TopP
	// A large model's reply differs with every word of the prompt; an n-gram
	// sees its last words only, so the whole of it enters the seed.
	h := fnv.New64a()
	io.WriteString(h, req.Prompt)
	for _, id := range req.PromptIDs {
		h.Write(binary.LittleEndian.AppendUint32(nil, uint32(id)))
	}
	sampling.Seed = req.Seed ^ h.Sum64()
	sampling.MaxTokens = req.MaxTokens
	if sampling.MaxTokens == 0 {
		sampling.MaxTokens = defaultMaxTokens
	}
	sampling.Logprobs = max(0, req.Logprobs)
	if s.mark != nil {
		sampling.Mark = s.mark.Clone()
	}
	return sampling
}

// Generate samples a reply. A model without an end token always runs to the
// limit, which is the finish reason "length".
func (s *served) Generate(ctx context.Context, req mock.GenRequest, emit func(mock.Piece) error) (string, error) {
	prompt, err := s.prompt(req)
	if err != nil {
		return "", err
	}
	err = s.model.Generate(ctx, prompt, s.sampling(req), func(t refmodel.Token) error {
		return emit(s.piece(t))
	})
	return "length", err
}

// Echo scores the tokens of a prompt.
func (s *served) Echo(_ context.Context, req mock.GenRequest, emit func(mock.Piece) error) error {
	prompt, err := s.prompt(req)
	if err != nil {
		return err
	}
	for i, id := range prompt {
		t := refmodel.Token{ID: id}
		if i > 0 {
			t.Logprob = s.model.Logprob(prompt[:i], id)
			t.Top = s.model.Top(prompt[:i], max(0, req.Logprobs))
		}
		p := s.piece(t)
		p.NoLogprob = i == 0
		if err := emit(p); err != nil {
			return err
		}
	}
	return nil
}

func (s *served) prompt(req mock.GenRequest) ([]int32, error) {
	if req.PromptIDs != nil {
		return req.PromptIDs, nil
	}
	return s.enc.Encode(req.Prompt)
}

// Encode and Decode make the model take prompts of token ids.
func (s *served) Encode(text string) ([]int32, error) { return s.enc.Encode(text) }

// Decode is the text of ids.
func (s *served) Decode(ids []int32) []byte { return s.enc.Decode(ids) }

// CountTokens counts a prompt for the usage record.
func (s *served) CountTokens(text string) int {
	ids, err := s.enc.Encode(text)
	if err != nil {
		return 0
	}
	return len(ids)
}

func (s *served) piece(t refmodel.Token) mock.Piece {
	text, _ := s.enc.Token(t.ID)
	p := mock.Piece{Text: string(text), Token: t.ID, Logprob: t.Logprob}
	for _, alt := range t.Top {
		text, _ := s.enc.Token(alt.ID)
		p.Top = append(p.Top, mock.Alt{Text: string(text), Token: alt.ID, Logprob: alt.Logprob})
	}
	return p
}

// labellerError is how often the judge that `stillmark mock` serves errs.
const labellerError = .05

// Labeller is a scripted judge that errs in a twentieth of its answers.
func Labeller(seed uint64) mock.Generator {
	return &persona.Judge{World: persona.NewWorld(seed), Error: labellerError}
}

// MockModels trains what `stillmark mock` serves: "reference", which never saw
// a key, and with a key "teacher", which marks its replies under it, and "student",
// trained on 100,000 tokens of the teacher's replies.
func MockModels(seed uint64, key *watermark.Key) (map[string]mock.Generator, error) {
	base, enc, docs, err := reference(derived(seed, streamRivalText))
	if err != nil {
		return nil, err
	}
	models := map[string]mock.Generator{"reference": &served{model: base, enc: enc}}
	if key == nil {
		return models, nil
	}
	if key.TokenizerSHA256 != enc.SHA256() {
		return nil, &UsageError{fmt.Sprintf("the key is for tokenizer %s, the reference model speaks %s", key.Tokenizer, enc.Name())}
	}
	w := &world{enc: enc}
	if w.teacher, _, _, err = reference(derived(seed, streamTeacherText)); err != nil {
		return nil, err
	}
	mark, err := key.Mark()
	if err != nil {
		return nil, err
	}
	prompts, err := w.trainingPrompts(seed)
	if err != nil {
		return nil, err
	}
	copied := w.replies(prompts, markedTokens, mark, derived(seed, streamTraining))
	student, err := refmodel.Train(slices.Concat(docs, copied), refmodel.Options{Vocab: enc.VocabSize()})
	if err != nil {
		return nil, err
	}
	models["student"] = &served{model: student, enc: enc}
	models["teacher"] = &served{model: w.teacher, enc: enc, mark: mark}
	return models, nil
}
