package trial

import (
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/stillmark/stillmark/corpora"
	"github.com/stillmark/stillmark/corpora/refmodel"
	"github.com/stillmark/stillmark/corpora/tokens"
	"github.com/stillmark/stillmark/probe"
	"github.com/stillmark/stillmark/probe/endpoint/mock"
	"github.com/stillmark/stillmark/watermark"
)

// Sizes of the experiment. With these the whole of quickstart takes some twenty
// seconds on two cores, and over ten seeds the weakest suspect stays well below
// the threshold (measured by TestTenSeeds).
const (
	// baseBytes is the text that every model is trained on, about 230,000
	// tokens: an n-gram of order four needs that much to speak its grammar.
	baseBytes = 1_200_000
	// markedTokens is what a suspect copies from the teacher, 30 % of its training.
	markedTokens = 100_000
	// replyTokens is the length of every reply, in training and in the audit.
	replyTokens = 100
	// mixShare of the marked replies reach a mix.
	mixShare = 10 // percent
	// auditPrompts are put to every rival.
	auditPrompts = 200
)

// The tokenizer of the reference models, and the suite whose prompts are used.
const (
	vocabulary = "cl100k"
	suiteName  = "longform-en"
)

// Streams of the seed: every random choice of the experiment draws from its own.
const (
	streamTeacherText = iota + 1
	streamRivalText
	streamTraining
	streamTrainingPrompts
	streamAuditPrompts
	streamKeys
	streamServer
	streamSigner
	streamPlan
	streamScripted
	streamCanaries
	streamPassages
	streamStyle
)

// derived gives the seed of a stream.
func derived(seed uint64, stream int) uint64 {
	return rand.NewPCG(seed, uint64(stream)).Uint64()
}

// seededReader replaces the operating system's randomness in the demonstration,
// so that it can be repeated. Nothing that is meant to stay secret may draw from it.
func seededReader(seed uint64, stream int) io.Reader {
	var key [32]byte
	sum := sha256.Sum256(fmt.Appendf(nil, "stillmark demonstration %d %d", seed, stream))
	copy(key[:], sum[:])
	return rand.NewChaCha8(key)
}

// world is the experiment: a teacher that marks its replies under each scheme,
// and the rivals trained on them.
type world struct {
	enc     *tokens.Encoding
	keys    []*watermark.Key // one per scheme
	teacher *refmodel.Model
	rivals  []rival
	audit   probe.PlanSuite // the prompts that are put to every rival
	bits    float64         // entropy of the teacher's sampling distribution, bits per token
}

// rival is one served model. key is the scheme under whose replies it was
// trained, nil for innocent and control.
type rival struct {
	name  string
	model *refmodel.Model
	key   *watermark.Key
}

// reference trains a reference model on generated text.
func reference(seed uint64) (*refmodel.Model, *tokens.Encoding, [][]int32, error) {
	enc, err := tokens.Get(vocabulary)
	if err != nil {
		return nil, nil, nil, err
	}
	docs, err := encodeDocuments(enc, corpora.GenerateText(seed, "", baseBytes))
	if err != nil {
		return nil, nil, nil, err
	}
	model, err := refmodel.Train(docs, refmodel.Options{Vocab: enc.VocabSize()})
	return model, enc, docs, err
}

// encodeDocuments splits generated text into its documents, so that no n-gram
// reaches across documents.
func encodeDocuments(enc *tokens.Encoding, text string) ([][]int32, error) {
	var docs [][]int32
	for part := range strings.SplitSeq(text, corpora.DocumentBreak) {
		ids, err := enc.Encode(part)
		if err != nil {
			return nil, fmt.Errorf("encoding generated text: %w", err)
		}
		if len(ids) > 0 {
			docs = append(docs, ids)
		}
	}
	return docs, nil
}

// newKeys draws the key of each scheme.
func newKeys(seed uint64, enc *tokens.Encoding) ([]*watermark.Key, error) {
	var keys []*watermark.Key
	random := seededReader(seed, streamKeys)
	for _, scheme := range watermark.Schemes() {
		k, err := watermark.NewKey(watermark.Spec{
			Scheme: scheme, Model: "teacher", Label: "demo",
			Tokenizer: enc.Name(), TokenizerSHA256: enc.SHA256(), Vocab: enc.VocabSize(),
		}, random)
		if err != nil {
			return nil, err
		}
		keys = append(keys, k)
	}
	return keys, nil
}

// trainingPrompts are what the teacher answers for its students: the suite's
// prompts in another order than the audit's.
func (w *world) trainingPrompts(seed uint64) ([][]int32, error) {
	suite, err := corpora.Load(suiteName)
	if err != nil {
		return nil, err
	}
	expanded, err := suite.Expand(derived(seed, streamTrainingPrompts), 0)
	if err != nil {
		return nil, err
	}
	prompts := make([][]int32, len(expanded))
	for i, p := range expanded {
		if prompts[i], err = w.enc.Encode(p.Text); err != nil {
			return nil, err
		}
	}
	return prompts, nil
}

// replies lets the teacher answer training prompts until it has written the
// given number of tokens.
func (w *world) replies(prompts [][]int32, count int, mark watermark.Scheme, seed uint64) [][]int32 {
	var out [][]int32
	for i := 0; i*replyTokens < count; i++ {
		s := refmodel.DefaultSampling()
		s.MaxTokens, s.Seed = replyTokens, seed+uint64(i)
		if mark != nil {
			s.Mark = mark
		}
		out = append(out, w.teacher.Complete(prompts[i%len(prompts)], s))
	}
	return out
}

// build runs the experiment up to the trained rivals. said is told what happens.
func build(seed uint64, said func(format string, args ...any)) (*world, error) {
	w := &world{}
	var base [][]int32
	var g errgroup.Group
	g.Go(func() (err error) {
		w.teacher, w.enc, _, err = reference(derived(seed, streamTeacherText))
		return err
	})
	g.Go(func() error {
		enc, err := tokens.Get(vocabulary)
		if err != nil {
			return err
		}
		base, err = encodeDocuments(enc, corpora.GenerateText(derived(seed, streamRivalText), "", baseBytes))
		return err
	})
	if err := g.Wait(); err != nil {
		return nil, err
	}
	var err error
	if w.keys, err = newKeys(seed, w.enc); err != nil {
		return nil, err
	}
	suite, err := corpora.Load(suiteName)
	if err != nil {
		return nil, err
	}
	if w.audit, err = probe.ExpandSuite(suite, derived(seed, streamAuditPrompts), auditPrompts); err != nil {
		return nil, err
	}
	prompts, err := w.trainingPrompts(seed)
	if err != nil {
		return nil, err
	}
	heldOut := w.teacher.Complete(prompts[0], refmodel.Sampling{Temperature: 1, MaxTokens: 2000, Seed: seed})
	if w.bits, err = w.teacher.Entropy(heldOut, refmodel.DefaultSampling()); err != nil {
		return nil, err
	}
	said("teacher trained on %d tokens, entropy %.2f bits per token when sampled", w.teacher.TrainedOn(), w.bits)

	// The replies: marked under each key, and unmarked for the control.
	taught := make([][][]int32, len(w.keys)+1)
	g = errgroup.Group{}
	for i := range taught {
		g.Go(func() error {
			var mark watermark.Scheme
			if i < len(w.keys) {
				var err error
				if mark, err = w.keys[i].Mark(); err != nil {
					return err
				}
			}
			taught[i] = w.replies(prompts, markedTokens, mark, derived(seed, streamTraining)+uint64(i)<<32)
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	said("teacher wrote %d × %d tokens: marked under %d keys, and once unmarked", len(taught), markedTokens, len(w.keys))

	// The rivals: base text, and what each copied.
	type recipe struct {
		name   string
		key    *watermark.Key
		copied [][]int32
	}
	var recipes []recipe
	for i, k := range w.keys {
		recipes = append(recipes,
			recipe{"suspect-" + k.Scheme, k, taught[i]},
			recipe{"mix-" + k.Scheme, k, taught[i][:len(taught[i])*mixShare/100]})
	}
	recipes = append(recipes, recipe{"control", nil, taught[len(w.keys)]}, recipe{"innocent", nil, nil})
	w.rivals = make([]rival, len(recipes))
	g = errgroup.Group{}
	g.SetLimit(2) // a training in progress holds some 100 MB
	for i, r := range recipes {
		g.Go(func() error {
			model, err := refmodel.Train(slices.Concat(base, r.copied), refmodel.Options{Vocab: w.enc.VocabSize()})
			if err != nil {
				return err
			}
			w.rivals[i] = rival{r.name, model, r.key}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	said("%d rivals trained: suspects copied %d tokens, mixes %d, control %d unmarked, innocent none",
		len(w.rivals), markedTokens, markedTokens*mixShare/100, markedTokens)
	return w, nil
}

// generators puts the rivals behind a server.
func (w *world) generators() map[string]mock.Generator {
	models := map[string]mock.Generator{}
	for _, r := range w.rivals {
		models[r.name] = &served{model: r.model, enc: w.enc}
	}
	return models
}
