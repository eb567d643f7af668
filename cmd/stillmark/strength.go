package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/stillmark/stillmark/corpora"
	"github.com/stillmark/stillmark/corpora/refmodel"
	"github.com/stillmark/stillmark/corpora/tokens"
	"github.com/stillmark/stillmark/watermark"
	"github.com/stillmark/stillmark/watermark/strength"
)

// strengthOptions are the flags that say what is measured.
type strengthOptions struct {
	schemes   []string
	keyPath   string
	number    int
	nullKeys  int
	quick     bool
	seed      uint64
	weakening string
	through   []string
	outputs   []string

	given givenOptions
}

func (o *strengthOptions) bind(c *cobra.Command) {
	f := c.Flags()
	f.StringArrayVar(&o.schemes, "scheme", nil, "scheme to measure (repeatable; default all native ones)")
	f.StringVar(&o.keyPath, "key", "", "measure this key's spec, all texts marked under it (default: a fresh key per text)")
	f.IntVarP(&o.number, "number", "n", 0, "texts per setting (default 100, with --quick 40)")
	f.IntVar(&o.nullKeys, "null-keys", -1, "random keys that check the null (default 10,000, with --quick or texts of presets 2,000; 0 for none)")
	f.BoolVar(&o.quick, "quick", false, "defaults of the schemes only, texts of 200 tokens, one rate of each attack")
	f.Uint64Var(&o.seed, "seed", 1, "seed of the texts, the keys and the attacks")
	f.StringVar(&o.weakening, "weaken", "", "damage the mark on purpose, to see a gate fail: "+strings.Join(strength.Weakenings(), ", "))
	f.StringArrayVar(&o.through, "through", nil, "tokenizer that texts are tokenised again through, as an attack: built in, or a tokenizer.json (repeatable; default the other built-in ones)")
	f.StringArrayVarP(&o.outputs, "output", "o", nil, "file to write, its kind by the ending: .json, .txt (benchstat), .xml (JUnit), .md, .svg (repeatable)")
	o.given.bind(c)
}

// The embedded model of the benchmark: the size of the quickstart's teacher.
const (
	strengthModel     = "embedded n-gram reference model"
	strengthText      = 1_200_000 // bytes; an n-gram of order four needs that much to speak its grammar
	strengthTokenizer = "cl100k"
	strengthSuite     = "longform-en"
	presetNullKeys    = 2_000 // a permutation of a large vocabulary costs some 50 µs a token
)

// config is what the flags ask for, texts and generator apart.
func (o *strengthOptions) config() (strength.Config, error) {
	var none strength.Config
	for _, path := range o.outputs {
		if _, err := strengthWriter(path); err != nil {
			return none, err
		}
	}
	var k *watermark.Key
	var err error
	if o.keyPath != "" {
		if len(o.schemes) > 0 {
			return none, usageError(errors.New("--key and --scheme exclude each other: a key has its scheme"))
		}
		if k, err = loadKey(o.keyPath); err != nil {
			return none, err
		}
	}
	if err := o.given.check(k != nil); err != nil {
		return none, usageError(err)
	}
	enc, err := o.tokenizer(k)
	if err != nil {
		return none, err
	}
	base := watermark.Spec{Model: "reference", Tokenizer: enc.Name(), TokenizerSHA256: enc.SHA256(), Vocab: enc.VocabSize()}
	c := strength.Standard(base, o.quick)
	if c.Settings, err = strength.OfSchemes(c.Settings, o.schemes); err != nil {
		return none, err
	}
	if k != nil {
		if _, preset := watermark.PresetByName(k.Scheme); preset {
			c.NullKeys = presetNullKeys
		}
		c.Key, c.Settings = k, []strength.Setting{{Labels: "scheme=" + k.Scheme, Spec: k.Spec}}
	}
	if o.number != 0 {
		c.Texts = o.number
	}
	if o.nullKeys >= 0 {
		c.NullKeys = o.nullKeys
	}
	c.Foreign, c.Scored = o.given.any(), o.given.scorer != ""
	c.Seed, c.Weakening, c.Model, c.Tokenizer = o.seed, o.weakening, strengthModel, enc
	return c, o.addThrough(&c, enc)
}

// tokenizer is that of the texts: a key's, or the embedded model's, with which a
// key must agree where that model writes.
func (o *strengthOptions) tokenizer(k *watermark.Key) (*tokens.Encoding, error) {
	if o.given.any() {
		return tokenizerOf(k.Spec, &o.given.tokenizers)
	}
	enc, err := tokens.Get(strengthTokenizer)
	if err == nil && k != nil && (k.TokenizerSHA256 != enc.SHA256() || k.Vocab < enc.VocabSize()) {
		return nil, usageError(fmt.Errorf("the key is for tokenizer %s with %d ids, the embedded model speaks %s with %d; measure texts of its own model with --texts or --target", orNone(k.Tokenizer), k.Vocab, enc.Name(), enc.VocabSize()))
	}
	return enc, err
}

// addThrough adds the attacks by other tokenizers.
func (o *strengthOptions) addThrough(c *strength.Config, enc *tokens.Encoding) error {
	names := o.through
	if len(names) == 0 {
		names = []string{"cl100k", "o200k"}
	}
	for _, name := range names {
		other, err := openFileOrBuiltin(name, "")
		if err != nil {
			return usageError(fmt.Errorf("--through %s: %w", name, err))
		}
		if other.SHA256() == enc.SHA256() {
			if len(o.through) > 0 {
				return usageError(fmt.Errorf("--through %s is the texts' own tokenizer", name))
			}
			continue
		}
		c.Attacks = append(c.Attacks, strength.Retokenise(other))
	}
	return nil
}

// ngram is the embedded model as the benchmark's generator.
type ngram struct{ model *refmodel.Model }

func (g ngram) Generate(ctx context.Context, prompt []int32, n int, seed uint64, mark strength.Mark) (strength.Text, error) {
	s := refmodel.DefaultSampling()
	s.MaxTokens, s.Seed, s.Mark = n, seed, mark
	var text strength.Text
	err := g.model.Generate(ctx, prompt, s, func(t refmodel.Token) error {
		text.Tokens = append(text.Tokens, t.ID)
		text.Logprobs = append(text.Logprobs, t.Logprob)
		return nil
	})
	return text, err
}

// measure runs the benchmark on what the flags name: texts, a target, or else the
// embedded model.
func (a *app) measure(ctx context.Context, o *strengthOptions, c strength.Config) (*strength.Run, error) {
	prepare := embeddedModel
	if o.given.any() {
		prepare = func(c *strength.Config) error { return a.readGiven(ctx, &o.given, c) }
	}
	if err := prepare(&c); err != nil {
		return nil, err
	}
	m := a.newMeter()
	defer m.clear()
	c.Progress = func(done, total int) { m.count("texts", done, total) }
	return strength.Measure(ctx, c)
}

// embeddedModel trains the generator.
func embeddedModel(c *strength.Config) error {
	enc := c.Tokenizer
	var docs [][]int32
	for part := range strings.SplitSeq(corpora.GenerateText(c.Seed, "", strengthText), corpora.DocumentBreak) {
		ids, err := enc.Encode(part)
		if err != nil {
			return fmt.Errorf("encoding generated text: %w", err)
		}
		docs = append(docs, ids)
	}
	model, err := refmodel.Train(docs, refmodel.Options{Vocab: enc.VocabSize()})
	if err != nil {
		return err
	}
	c.Generator = ngram{model}
	prompts, err := longform(c.Seed)
	if err != nil {
		return err
	}
	for _, p := range prompts {
		ids, err := enc.Encode(p.Text)
		if err != nil {
			return err
		}
		c.Prompts = append(c.Prompts, ids)
	}
	return nil
}

func (a *app) strengthCommand() *cobra.Command {
	var o strengthOptions
	c := &cobra.Command{
		Use:   "strength",
		Short: "measure marks: tokens to detect, quality cost, what attacks leave, calibration of the null",
		Long: `Writes marked texts with the embedded reference model, one for each prompt of the suite
longform-en and each setting, and takes all figures from them: the share of texts
detected at false-positive rates 1e-3 and 1e-6 by length, tokens to detect, KL
divergence and perplexity, repetition, detection after attacks, and whether p-values
of random keys are uniform on unmarked text. Rates have exact 95 % intervals over
texts; every text has its own prompt and key.

The embedded model is an n-gram with little entropy: its figures compare settings and
versions, and say nothing about how many tokens a large model needs. For that, measure
texts of the model itself, marked under --key: those of a file (--texts), or those that
a server writes which marks what it serves (--target, or --base-url and --model). A
text counts at the lengths that it has; KL divergence, which only the model could tell,
is left out, and so is perplexity unless --scorer names a server of the same model
without the mark that scores texts. --unmarked names texts of the same model without the
mark; they show what repetition the mark costs, and random keys are put to them.

With --target the prompts of longform-en are sent, each once; what comes back is kept
in the file that --save names, and the same command goes on where it was interrupted.`,
		Example: `  stillmark watermark strength --quick
  stillmark watermark strength --scheme kgw -o strength.json -o strength.svg -o strength.txt
  stillmark watermark strength --key key.json --texts replies.jsonl --unmarked plain.jsonl
  stillmark watermark strength --key key.json --base-url http://127.0.0.1:8461/v1 --model teacher --save replies.jsonl`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			config, err := o.config()
			if err != nil {
				return err
			}
			run, err := a.measure(c.Context(), &o, config)
			if err != nil {
				return err
			}
			if err := a.writeStrength(run, nil, o.outputs); err != nil {
				return err
			}
			if a.asJSON {
				return a.printJSON(run)
			}
			return run.WriteTable(a.out)
		},
	}
	o.bind(c)
	c.AddCommand(a.calibrateCommand())
	return c
}

// strengthWriter is the writer of a file's ending.
func strengthWriter(path string) (func(*strength.Run, []strength.Verdict, *bufio.Writer) error, error) {
	switch filepath.Ext(path) {
	case ".json":
		return func(r *strength.Run, _ []strength.Verdict, w *bufio.Writer) error {
			data, err := r.Encode()
			if err != nil {
				return err
			}
			_, err = w.Write(data)
			return err
		}, nil
	case ".txt":
		return func(r *strength.Run, _ []strength.Verdict, w *bufio.Writer) error { return r.WriteBenchmarks(w) }, nil
	case ".xml":
		return func(r *strength.Run, v []strength.Verdict, w *bufio.Writer) error { return r.WriteJUnit(w, v) }, nil
	case ".md":
		return func(r *strength.Run, v []strength.Verdict, w *bufio.Writer) error { return r.WriteMarkdown(w, v) }, nil
	case ".svg":
		return func(r *strength.Run, _ []strength.Verdict, w *bufio.Writer) error { return r.WriteSVG(w) }, nil
	}
	return nil, usageError(fmt.Errorf("-o %s: the ending says what to write: .json, .txt (benchstat), .xml (JUnit), .md or .svg", path))
}

func (a *app) writeStrength(run *strength.Run, verdicts []strength.Verdict, outputs []string) error {
	for _, path := range outputs {
		write, err := strengthWriter(path)
		if err != nil {
			return err
		}
		if err := a.writeTo(path, func(w *bufio.Writer) error { return write(run, verdicts, w) }); err != nil {
			return err
		}
	}
	return nil
}
