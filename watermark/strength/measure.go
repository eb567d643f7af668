package strength

import (
	"context"
	"crypto/sha256"
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"

	"github.com/stillmark/stillmark/watermark"
)

// Config says what is measured. Equal configurations give equal runs.
type Config struct {
	Settings []Setting
	// Key, if set, marks all texts of the one setting: its figures are given
	// this key. Without it every text has a key of its own.
	Key *watermark.Key
	// Texts is the number of texts per setting, Lengths the prefixes that are
	// tested, ascending; texts are generated at the longest.
	Texts   int
	Lengths []int
	// Attacks are put to the first AttackTokens tokens.
	Attacks      []Attack
	AttackTokens int
	// NullKeys random keys are put to unmarked texts of NullTokens tokens; 0 for none.
	NullKeys   int
	NullTokens int
	Seed       uint64
	// Weakening damages the mark on purpose; see Weakenings.
	Weakening string

	// Model names the generator, in records only.
	Model     string
	Prompts   [][]int32 // at least Texts of them
	Generator Generator
	// Given are measured instead of texts of a Generator: texts that somebody else
	// wrote and marked under Key. A text counts at the lengths that it has. What
	// only the model could tell, KL divergence and perplexity, is measured where
	// somebody asked the model: KL and Surprise.
	Given []watermark.Item
	// Scored says that Surprise is given, or will be before anything is measured.
	Scored bool
	// Foreign says that texts are given, or will be before anything is measured.
	Foreign bool
	// Surprise, if not nil, are the mean negative log-probabilities of the given
	// texts, in nats per token, under the model without the mark, and PlainSurprise
	// those of the unmarked ones; NaN where unknown.
	Surprise, PlainSurprise []float64
	// KL, if not nil, are the given texts' divergences, see [Divergence]; NaN where unknown.
	KL []float64
	// Plain are unmarked texts of the same model, where Given is set: attacks insert
	// their tokens, and random keys are put to them. Without any, Given stands in.
	Plain []watermark.Item
	// Tokenizer is the model's.
	Tokenizer watermark.Tokenizer

	// Progress, if set, is told of texts done: one call at a time.
	Progress func(done, total int)
}

// Standard sizes. A hundred texts bound a perfect rate below by .964; forty, for
// a quick look, by .912.
const (
	standardTexts    = 100
	quickTexts       = 40
	attackTokens     = 200
	nullTokens       = 200
	standardNullKeys = 10_000
	quickNullKeys    = 2_000
)

// Standard is the benchmark as it is meant to be run; quick ends within seconds:
// defaults of the schemes, 200 tokens at most, one rate of each attack.
func Standard(base watermark.Spec, quick bool) Config {
	c := Config{
		Settings: Settings(base, !quick), Texts: standardTexts, Lengths: []int{25, 50, 100, 200, 400, 800},
		Attacks: Attacks(quick), AttackTokens: attackTokens, NullKeys: standardNullKeys, NullTokens: nullTokens, Seed: 1,
	}
	if quick {
		c.Texts, c.Lengths, c.NullKeys = quickTexts, []int{25, 50, 100, 200}, quickNullKeys
	}
	return c
}

// check says what is wrong with the configuration.
func (c *Config) check() error {
	switch {
	case len(c.Settings) == 0 || c.Generator == nil && !c.Foreign || c.Tokenizer == nil:
		return &UsageError{"there is nothing to measure: settings, a tokenizer, and a generator or texts are needed"}
	case c.Key != nil && len(c.Settings) != 1:
		return &UsageError{"one key has one setting"}
	case c.Foreign != (len(c.Given) > 0):
		return &UsageError{"texts that are given are Foreign, and no others"}
	case c.Surprise != nil && (len(c.Surprise) != len(c.Given) || len(c.PlainSurprise) != len(c.Plain)):
		return &UsageError{"every text, marked or not, has its surprise or none has"}
	case c.KL != nil && len(c.KL) != len(c.Given):
		return &UsageError{"every given text has its divergence or none has"}
	case c.Foreign && c.Key == nil:
		return &UsageError{"texts that are given need the key that they were marked under"}
	case len(c.Given) == 1:
		return &UsageError{"one text says nothing about others: at least 2 are needed"}
	case !c.Foreign && (c.Texts < 2 || len(c.Prompts) < c.Texts):
		return &UsageError{fmt.Sprintf("%d texts cannot be written: at least 2 are needed, and each a prompt of its own, of which there are %d", c.Texts, len(c.Prompts))}
	case len(c.Lengths) == 0 || c.Lengths[0] < 1 || !slices.IsSorted(c.Lengths):
		return &UsageError{fmt.Sprintf("lengths %v are not ascending numbers of tokens", c.Lengths)}
	case len(c.Attacks) > 0 && c.AttackTokens < pasted:
		return &UsageError{"attacks need tokens to work on"}
	}
	for _, s := range c.Settings {
		scheme, err := watermark.DecoyKey([32]byte{}, 0, s.Spec)
		if err != nil {
			return fmt.Errorf("%s: %w", s.Labels, err)
		}
		if !watermark.NewNullLaw(scheme).Analytic() {
			return &UsageError{fmt.Sprintf("%s has no null law, only a rank among decoys: detection at 1e-3 and 1e-6 cannot be measured", s.Labels)}
		}
	}
	return c.checkWeakening()
}

// tokens is the length at which texts are generated.
func (c *Config) tokens() int {
	n := c.Lengths[len(c.Lengths)-1]
	if len(c.Attacks) > 0 {
		n = max(n, c.AttackTokens)
	}
	if c.NullKeys > 0 {
		n = max(n, c.NullTokens)
	}
	return n
}

// outcome is what one marked text shows.
type outcome struct {
	log10P, z []float64 // by length
	first     []float64 // by level
	attacked  []float64 // log10 p, by attack
	kl        float64
	surprise  float64 // beyond that of the unmarked text, nats per token
	repeated  [maxGram]float64
}

// Measure runs the benchmark, on all cores.
func Measure(ctx context.Context, c Config) (*Run, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	texts := c.Texts
	if c.Foreign {
		texts = len(c.Given)
	}
	w := &work{Config: c, total: texts * len(c.Settings)}
	if err := w.writePlain(ctx); err != nil {
		return nil, err
	}
	outcomes := make([]outcome, len(c.Settings)*texts)
	err := w.each(ctx, len(outcomes), func(ctx context.Context, job int) (err error) {
		outcomes[job], err = w.text(ctx, c.Settings[job/texts], job%texts)
		return err
	})
	if err != nil {
		return nil, err
	}
	run := &Run{Format: runFormat, Recorded: c.record()}
	for s, setting := range c.Settings {
		run.Measurements = append(run.Measurements, c.summary(setting.Labels, outcomes[s*texts:(s+1)*texts])...)
		if c.NullKeys == 0 {
			continue
		}
		u, err := uniforms(ctx, setting.Spec, w.nullTexts(), c.NullKeys, c.keySeed("null "+setting.Labels))
		if err != nil {
			return nil, err
		}
		run.Measurements = append(run.Measurements, nullMeasurements(setting.Labels, u)...)
	}
	var plain []outcome
	for _, t := range w.plain {
		plain = append(plain, outcome{repeated: c.repeats(t.Tokens)})
	}
	run.Measurements = append(run.Measurements, wording(unmarked, plain)...)
	return run, nil
}

// unmarked labels the figures of unmarked texts, which those of the mark compare with.
const unmarked = "text=unmarked"

// writePlain has the unmarked texts written, or takes those that were given.
func (w *work) writePlain(ctx context.Context) error {
	if w.Foreign {
		for _, it := range w.Plain {
			w.plain = append(w.plain, Text{Tokens: it.Tokens})
		}
		return nil
	}
	w.total += w.Texts
	w.plain = make([]Text, w.Texts)
	return w.each(ctx, w.Texts, func(ctx context.Context, i int) (err error) {
		w.plain[i], err = w.generate(ctx, i, nil)
		return err
	})
}

// nullTexts are what random keys are put to: unmarked texts, or the given ones,
// which know nothing of these keys either.
func (w *work) nullTexts() []watermark.Item {
	items := w.Plain
	switch {
	case !w.Foreign:
		items = make([]watermark.Item, w.Texts)
		for i, t := range w.plain {
			items[i] = watermark.Item{Prompt: w.Prompts[i], Tokens: t.Tokens}
		}
	case len(items) == 0:
		items = w.Given
	}
	out := slices.Clone(items)
	for i := range out {
		out[i].Tokens = out[i].Tokens[:min(len(out[i].Tokens), w.NullTokens)]
	}
	return out
}

// filler is unmarked text for the attacks on text i.
func (w *work) filler(i int) []int32 {
	if len(w.plain) > 0 {
		return w.plain[(i+1)%len(w.plain)].Tokens
	}
	// Another text under the same key would be marked in its own windows; shuffled
	// it has the model's frequencies and no window of its own.
	words := slices.Clone(w.Given[(i+1)%len(w.Given)].Tokens)
	random := rand.New(rand.NewPCG(w.Seed, ^uint64(i)))
	random.Shuffle(len(words), func(a, b int) { words[a], words[b] = words[b], words[a] })
	return words
}

// work is a benchmark under way.
type work struct {
	Config
	plain       []Text // unmarked
	mu          sync.Mutex
	done, total int
}

// each does n jobs on all cores and ends with the first error.
func (w *work) each(ctx context.Context, n int, do func(ctx context.Context, i int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	jobs := make(chan int)
	var workers sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), n) {
		workers.Go(func() {
			for i := range jobs {
				if err := do(ctx, i); err != nil {
					cancel(err)
					continue
				}
				w.mu.Lock()
				w.done++
				if w.Progress != nil {
					w.Progress(w.done, w.total)
				}
				w.mu.Unlock()
			}
		})
	}
	for i := range n {
		if ctx.Err() != nil {
			break
		}
		jobs <- i
	}
	close(jobs)
	workers.Wait()
	return context.Cause(ctx)
}

// generate writes text i. Its seed does not depend on the setting, so that
// settings are compared on the same draws.
func (w *work) generate(ctx context.Context, i int, mark Mark) (Text, error) {
	n := w.tokens()
	t, err := w.Generator.Generate(ctx, w.Prompts[i], n, rand.NewPCG(w.Seed, uint64(i)).Uint64(), mark)
	if err != nil {
		return Text{}, fmt.Errorf("generating text %d: %w", i, err)
	}
	if len(t.Tokens) != n {
		return Text{}, fmt.Errorf("generating text %d: %d tokens came back, %d were asked for", i, len(t.Tokens), n)
	}
	return t, nil
}

// keySeed is the seed of the keys drawn for a purpose.
func (c *Config) keySeed(purpose string) [32]byte {
	return sha256.Sum256(fmt.Appendf(nil, "stillmark strength %d %s", c.Seed, purpose))
}

// keys are the marks with which text i is written and read.
func (w *work) keys(s Setting, i int) (Mark, watermark.Scheme, error) {
	embedded := s.Spec
	if w.Weakening == HalfBias {
		embedded.Params.Delta /= 2
	}
	var embed, detect watermark.Scheme
	var err error
	seed := w.keySeed(s.Labels)
	if w.Key != nil {
		k := *w.Key
		k.Spec.Params = embedded.Params
		if embed, err = k.Mark(); err == nil {
			detect, err = w.Key.Mark()
		}
	} else if embed, err = watermark.DecoyKey(seed, i, embedded); err == nil {
		detect, err = watermark.DecoyKey(seed, i, s.Spec)
	}
	if err == nil && w.Weakening == WrongKey {
		detect, err = watermark.DecoyKey(w.keySeed("wrong key"), i, s.Spec)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", s.Labels, err)
	}
	if w.Weakening == ShuffledContext {
		return &shuffled{mark: embed}, detect, nil
	}
	return embed, detect, nil
}

// missing stands for what a text does not show: it is too short, or nobody knows
// the model. Figures are taken over the texts that show it.
var missing = math.NaN()

// text writes text i of a setting, or takes the one that was given, and reads it.
func (w *work) text(ctx context.Context, s Setting, i int) (outcome, error) {
	embed, detect, err := w.keys(s, i)
	if err != nil {
		return outcome{}, err
	}
	o := outcome{kl: missing, surprise: missing}
	var prompt, tokens []int32
	if w.Foreign {
		prompt, tokens = w.Given[i].Prompt, w.Given[i].Tokens
		if w.Surprise != nil {
			o.surprise = w.Surprise[i]
		}
		if w.KL != nil {
			o.kl = w.KL[i]
		}
	} else {
		moved := &divergence{mark: embed}
		marked, err := w.generate(ctx, i, moved)
		if err != nil {
			return outcome{}, err
		}
		prompt, tokens = w.Prompts[i], marked.Tokens
		o.kl, o.surprise = moved.mean(), surprise(marked)-surprise(w.plain[i])
	}
	whole := newCurve(detect, prompt, tokens)
	for _, n := range w.Lengths {
		p, z := missing, missing
		if n <= len(tokens) {
			p, z = whole.log10P(n), whole.z(n)
		}
		o.log10P, o.z = append(o.log10P, p), append(o.z, z)
	}
	for _, l := range levels {
		o.first = append(o.first, whole.first(l.log10Alpha))
	}
	o.repeated = w.repeats(tokens)
	for _, a := range w.Attacks {
		if len(tokens) < w.AttackTokens {
			o.attacked = append(o.attacked, missing)
			continue
		}
		h := fnv.New64a()
		h.Write([]byte(a.Labels()))
		attacked, err := a.apply(a.Rate, victim{
			tokens: tokens[:w.AttackTokens], filler: w.filler(i),
			enc: w.Tokenizer, random: rand.New(rand.NewPCG(w.Seed^h.Sum64(), uint64(i))),
		})
		if err != nil {
			return outcome{}, fmt.Errorf("%s on text %d: %w", a.Labels(), i, err)
		}
		o.attacked = append(o.attacked, newCurve(detect, prompt, attacked).log10P(len(attacked)))
	}
	return o, nil
}

// repeats are the shares of repeated n-grams of a text: of all of it, or where texts
// differ in length, of as much as attacks work on.
func (c *Config) repeats(tokens []int32) (out [maxGram]float64) {
	if c.Foreign {
		if len(tokens) < c.AttackTokens {
			return [maxGram]float64{missing, missing, missing, missing}
		}
		tokens = tokens[:c.AttackTokens]
	}
	for n := range maxGram {
		out[n] = repeated(tokens, n+1)
	}
	return out
}

// column is one figure of all texts that show it.
func column(outcomes []outcome, get func(o outcome) float64) []float64 {
	var values []float64
	for _, o := range outcomes {
		if x := get(o); !math.IsNaN(x) {
			values = append(values, x)
		}
	}
	return values
}

func plainSurprise(c *Config) []outcome {
	out := make([]outcome, len(c.PlainSurprise))
	for i, x := range c.PlainSurprise {
		out[i].surprise = x
	}
	return out
}

// wording are the figures on repetition.
func wording(labels string, outcomes []outcome) []Measurement {
	var out []Measurement
	for n := maxGram; n >= 1; n-- {
		values := column(outcomes, func(o outcome) float64 { return o.repeated[n-1] })
		metric := "repetition"
		if n < maxGram {
			metric = fmt.Sprintf("distinct-%d", n)
			for i := range values {
				values[i] = 1 - values[i]
			}
		}
		if len(values) > 0 {
			out = append(out, ofMean(metric, labels, values))
		}
	}
	return out
}

// summary turns the outcomes of one setting into figures.
func (c *Config) summary(setting string, outcomes []outcome) []Measurement {
	var out []Measurement
	detected := func(labels string, log10P []float64) {
		if len(log10P) == 0 {
			return
		}
		for _, l := range levels {
			var hits int64
			for _, p := range log10P {
				if p <= l.log10Alpha {
					hits++
				}
			}
			out = append(out, rate("tpr@"+l.name, labels, hits, int64(len(log10P)), level))
		}
		out = append(out, ofQuantile("log10p", labels, log10P, .5))
	}
	for k, n := range c.Lengths {
		labels := fmt.Sprintf("%s/tokens=%d", setting, n)
		detected(labels, column(outcomes, func(o outcome) float64 { return o.log10P[k] }))
		if z := column(outcomes, func(o outcome) float64 { return o.z[k] }); len(z) > 0 {
			out = append(out, ofMean("z", labels, z))
		}
	}
	for k, l := range levels {
		first := column(outcomes, func(o outcome) float64 { return o.first[k] })
		out = append(out, ofQuantile("tokens50@"+l.name, setting, first, .5), ofQuantile("tokens95@"+l.name, setting, first, .95))
	}
	if kl := column(outcomes, func(o outcome) float64 { return o.kl }); len(kl) > 0 {
		out = append(out, ofMean("kl", setting, kl))
	}
	if surprise := column(outcomes, func(o outcome) float64 { return o.surprise }); len(surprise) > 0 {
		// Texts of the benchmark are pairs with and without the mark; given ones are two
		// samples.
		ratio := ofMean("perplexity-ratio", setting, surprise)
		if c.Foreign {
			ratio = ofDifference("perplexity-ratio", setting, surprise, column(plainSurprise(c), func(o outcome) float64 { return o.surprise }))
		}
		for _, x := range []*Number{&ratio.Value, &ratio.Lo, &ratio.Hi} {
			*x = Number(math.Exp(float64(*x)))
		}
		out = append(out, ratio)
	}
	out = append(out, wording(setting, outcomes)...)
	for k, a := range c.Attacks {
		labels := fmt.Sprintf("%s/tokens=%d/%s", setting, c.AttackTokens, a.Labels())
		detected(labels, column(outcomes, func(o outcome) float64 { return o.attacked[k] }))
	}
	return out
}
