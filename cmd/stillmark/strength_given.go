package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/spf13/cobra"

	"github.com/stillmark/stillmark/cmd/stillmark/internal/collect"
	"github.com/stillmark/stillmark/cmd/stillmark/internal/config"
	"github.com/stillmark/stillmark/corpora"
	"github.com/stillmark/stillmark/probe/ledger"
	"github.com/stillmark/stillmark/watermark"
	"github.com/stillmark/stillmark/watermark/strength"
)

// givenOptions are the flags that name texts of another model than the embedded one.
type givenOptions struct {
	texts, unmarked []string
	ids             bool
	inputForm

	scorer      string
	target      string
	adHoc       adHoc
	save        string
	maxTokens   int
	temperature float64
	concurrency int

	tokenizers tokenizerFiles
}

func (o *givenOptions) bind(c *cobra.Command) {
	f := c.Flags()
	f.StringArrayVar(&o.texts, "texts", nil, "file of texts marked under --key, as detect reads them, - for standard input (repeatable)")
	f.StringArrayVar(&o.unmarked, "unmarked", nil, "file of unmarked texts of the same model (repeatable)")
	f.BoolVar(&o.ids, "ids", false, "with --texts: JSON lines of token ids")
	o.inputForm.bind(f)
	f.StringVar(&o.scorer, "scorer", "", "configured target that is the same model without the mark and echoes log-probabilities: gives the texts' perplexity, with --unmarked, and where it gives prompt_logprobs the KL divergence of its steps, over 20 candidates")
	f.StringVar(&o.target, "target", "", "configured target that marks what it serves under --key")
	o.adHoc.flags(c)
	f.StringVar(&o.save, "save", "", "with a target: JSON lines that keep its replies")
	f.IntVar(&o.maxTokens, "max-tokens", 0, "with a target: tokens per reply (default those of the longest length)")
	f.Float64Var(&o.temperature, "temperature", notSent, "with a target: sampling temperature (default: not sent)")
	f.IntVarP(&o.concurrency, "concurrency", "j", 4, "with a target: requests at a time")
	f.Lookup("temperature").DefValue = "0" // shown as no default
	o.tokenizers.bind(f)
}

// notSent leaves the temperature to the target.
const notSent = -1

func (o *givenOptions) asked() bool {
	return o.target != "" || o.adHoc.baseURL != "" || o.adHoc.model != ""
}

func (o *givenOptions) any() bool { return len(o.texts) > 0 || o.asked() }

// check says what does not go together.
func (o *givenOptions) check(haveKey bool) error {
	switch {
	case o.any() && !haveKey:
		return errors.New("texts of another model need the --key that they were marked under")
	case o.asked() && len(o.texts) > 0:
		return errors.New("--texts and a target exclude each other: the replies of a target are kept with --save, and read again with --texts")
	case o.target != "" && (o.adHoc.baseURL != "" || o.adHoc.model != ""):
		return errors.New("name a configured --target, or give --base-url and --model, not both")
	case !o.any() && (len(o.unmarked) > 0 || o.ids || o.inputForm != inputForm{} || len(o.tokenizers.names) > 0):
		return errors.New("--unmarked, --ids, --format, --field and --tokenizer belong to --texts or a target")
	case o.scorer != "" && (!o.any() || len(o.unmarked) == 0):
		return errors.New("--scorer compares marked texts with those of --unmarked")
	case !o.asked() && (o.save != "" || o.maxTokens != 0 || o.temperature != notSent):
		return errors.New("--save, --max-tokens and --temperature belong to a target")
	case o.temperature != notSent && !(o.temperature >= 0):
		return fmt.Errorf("--temperature %v is below 0", o.temperature)
	case o.maxTokens < 0 || o.concurrency < 1 || o.concurrency > 256:
		return fmt.Errorf("--max-tokens %d or -j %d is out of range: tokens from 1, requests at a time from 1 to 256", o.maxTokens, o.concurrency)
	}
	return nil
}

// readGiven puts the texts into the configuration, and fits the lengths to them.
func (a *app) readGiven(ctx context.Context, o *givenOptions, c *strength.Config) error {
	opt := o.options(o.ids)
	opt.Tokenizer = c.Tokenizer
	read := func(files []string) (items []watermark.Item, err error) {
		for _, name := range files {
			err := a.readInput(name, opt, a.newMeter(), func(it watermark.Item) error {
				if len(it.Tokens) > 0 {
					items = append(items, it)
				}
				return ctx.Err()
			})
			if err != nil {
				return nil, err
			}
		}
		return items, nil
	}
	var err error
	if c.Plain, err = read(o.unmarked); err != nil {
		return err
	}
	c.Model = "given texts"
	if c.Key.Model != "" {
		c.Model += " of " + c.Key.Model
	}
	if o.asked() {
		err = a.askTarget(ctx, o, c)
	} else {
		c.Given, err = read(o.texts)
	}
	if err != nil {
		return err
	}
	if len(c.Given) < 2 {
		return usageError(fmt.Errorf("%d texts with something in them: at least 2 are needed", len(c.Given)))
	}
	if o.scorer != "" {
		if err := a.askScorer(ctx, o, c); err != nil {
			return err
		}
	}
	return fitLengths(c)
}

// askScorer has the model without the mark score all texts.
func (a *app) askScorer(ctx context.Context, o *givenOptions, c *strength.Config) error {
	file, err := config.Load(a.config)
	if err != nil {
		return err
	}
	target, err := resolve(file, o.scorer)
	if err != nil {
		return err
	}
	opt := collect.Scoring{Target: target, Concurrency: o.concurrency}
	for _, it := range slices.Concat(c.Given, c.Plain) {
		opt.Texts = append(opt.Texts, string(c.Tokenizer.Decode(it.Tokens)))
	}
	m := a.newMeter()
	defer m.clear()
	opt.Progress = func(done, total int) { m.count("texts scored", done, total) }
	surprise, err := collect.Surprise(ctx, opt)
	if err != nil {
		return err
	}
	c.Surprise, c.PlainSurprise = surprise[:len(c.Given)], surprise[len(c.Given):]

	// What the mark does to its steps is seen where the scorer names the candidates of
	// each, unless windows reach into prompts that it does not see.
	if c.Key.Params.Contexts == watermark.WithPrompt {
		return nil
	}
	opt.Texts = opt.Texts[:len(c.Given)]
	opt.Progress = func(done, total int) { m.count("texts weighed", done, total) }
	weighed, err := collect.Candidates(ctx, opt)
	if err != nil || weighed == nil {
		return err
	}
	mark, err := c.Key.Mark()
	if err != nil {
		return err
	}
	for i, it := range c.Given {
		var steps []strength.Step
		for _, row := range weighed[i] {
			s := strength.Step{}
			for _, x := range row.Candidates {
				s.IDs, s.Logprobs = append(s.IDs, x.ID), append(s.Logprobs, x.Logprob)
			}
			steps = append(steps, s)
		}
		c.KL = append(c.KL, strength.Divergence(mark, it.Tokens, steps))
	}
	m.clear()
	if !slices.ContainsFunc(c.KL, func(x float64) bool { return !math.IsNaN(x) }) {
		fmt.Fprintln(a.err, "stillmark: warning: the scorer cuts these texts into other tokens than the key's tokenizer: the KL divergence is not measured")
	}
	return nil
}

// fitLengths leaves out lengths that fewer than two texts have, and has attacks work
// on as many tokens as half of the texts have. It looks at no score.
func fitLengths(c *strength.Config) error {
	var sizes []int
	for _, it := range c.Given {
		sizes = append(sizes, len(it.Tokens))
	}
	slices.Sort(sizes)
	second, middle := sizes[len(sizes)-2], sizes[(len(sizes)-1)/2]
	shortest := c.Lengths[0]
	c.Lengths = slices.DeleteFunc(slices.Clone(c.Lengths), func(n int) bool { return n > second })
	if len(c.Lengths) == 0 {
		return usageError(fmt.Errorf("only one of the %d texts has %d tokens, the shortest length that is measured", len(c.Given), shortest))
	}
	fit := 0
	for _, n := range []int{25, 50, 100, 200} {
		if n <= middle && n <= c.AttackTokens {
			fit = n
		}
	}
	if c.AttackTokens = fit; fit == 0 {
		c.Attacks = nil
	}
	return nil
}

// askTarget has a target write the texts.
func (a *app) askTarget(ctx context.Context, o *givenOptions, c *strength.Config) error {
	var name []string
	if o.target != "" {
		name = []string{o.target}
	}
	target, err := o.adHoc.target(a, name)
	if err != nil {
		return err
	}
	prompts, err := longform(c.Seed)
	if err != nil {
		return err
	}
	if c.Texts > len(prompts) {
		return usageError(fmt.Errorf("-n %d: the suite %s has %d prompts", c.Texts, strengthSuite, len(prompts)))
	}
	opt := collect.Options{Target: target, Path: o.save, Concurrency: o.concurrency, Params: ledger.Params{MaxTokens: o.maxTokens}}
	if opt.Params.MaxTokens == 0 {
		opt.Params.MaxTokens = slices.Max(c.Lengths)
	}
	if o.temperature != notSent {
		opt.Params.Temperature = &o.temperature
	}
	for _, p := range prompts[:c.Texts] {
		opt.Prompts = append(opt.Prompts, collect.Prompt{ID: p.ID, Text: p.Text})
	}
	m := a.newMeter()
	defer m.clear()
	opt.Progress = func(done, total int) { m.count("replies", done, total) }
	got, err := collect.Collect(ctx, opt)
	if err != nil {
		return err
	}
	m.clear()
	lost := map[ledger.Outcome]int{}
	for _, r := range got {
		if r.Outcome != ledger.OK {
			lost[r.Outcome]++
			continue
		}
		it := watermark.Item{ID: r.ID}
		if it.Tokens, err = c.Tokenizer.Encode(r.Text); err != nil {
			return err
		}
		if it.Prompt, err = c.Tokenizer.Encode(r.Prompt); err != nil {
			return err
		}
		c.Given = append(c.Given, it)
	}
	if n := len(got) - len(c.Given); n > 0 {
		fmt.Fprintf(a.err, "stillmark: %d of %d prompts have no text and do not count: %v\n", n, len(got), lost)
	}
	c.Model = "replies of " + target.Model
	return nil
}

// longform are the prompts that texts are written for.
func longform(seed uint64) ([]corpora.Prompt, error) {
	suite, err := corpora.Load(strengthSuite)
	if err != nil {
		return nil, err
	}
	return suite.Expand(seed, 0)
}
