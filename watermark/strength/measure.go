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
	// Tokenizer is the model's, Other another one, for attacks on text.
	Tokenizer, Other watermark.Tokenizer

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
	case len(c.Settings) == 0 || c.Generator == nil || c.Tokenizer == nil:
		return &UsageError{"there is nothing to measure: settings, a generator and its tokenizer are needed"}
	case c.Key != nil && len(c.Settings) != 1:
		return &UsageError{"one key has one setting"}
	case c.Texts < 2 || len(c.Prompts) < c.Texts:
		return &UsageError{fmt.Sprintf("%d texts cannot be written: at least 2 are needed, and each a prompt of its own, of which there are %d", c.Texts, len(c.Prompts))}
	case len(c.Lengths) == 0 || c.Lengths[0] < 1 || !slices.IsSorted(c.Lengths):
		return &UsageError{fmt.Sprintf("lengths %v are not ascending numbers of tokens", c.Lengths)}
	case len(c.Attacks) > 0 && (c.AttackTokens < pasted || c.Other == nil):
		return &UsageError{"attacks need tokens to work on and a second tokenizer"}
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
	w := &work{Config: c, total: c.Texts * (1 + len(c.Settings))}
	plain := make([]Text, c.Texts)
	err := w.each(ctx, c.Texts, func(ctx context.Context, i int) (err error) {
		plain[i], err = w.generate(ctx, i, nil)
		return err
	})
	if err != nil {
		return nil, err
	}
	outcomes := make([]outcome, len(c.Settings)*c.Texts)
	err = w.each(ctx, len(outcomes), func(ctx context.Context, job int) (err error) {
		outcomes[job], err = w.text(ctx, c.Settings[job/c.Texts], job%c.Texts, plain)
		return err
	})
	if err != nil {
		return nil, err
	}
	run := &Run{Format: runFormat, Recorded: c.record()}
	for s, setting := range c.Settings {
		run.Measurements = append(run.Measurements, c.summary(setting.Labels, outcomes[s*c.Texts:(s+1)*c.Texts])...)
		if c.NullKeys == 0 {
			continue
		}
		items := make([]watermark.Item, c.Texts)
		for i, t := range plain {
			items[i] = watermark.Item{Prompt: c.Prompts[i], Tokens: t.Tokens[:c.NullTokens]}
		}
		u, err := uniforms(ctx, setting.Spec, items, c.NullKeys, c.keySeed("null "+setting.Labels))
		if err != nil {
			return nil, err
		}
		run.Measurements = append(run.Measurements, nullMeasurements(setting.Labels, u)...)
	}
	return run, nil
}

// work is a benchmark under way.
type work struct {
	Config
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

// text writes and reads text i of a setting.
func (w *work) text(ctx context.Context, s Setting, i int, plain []Text) (outcome, error) {
	embed, detect, err := w.keys(s, i)
	if err != nil {
		return outcome{}, err
	}
	moved := &divergence{mark: embed}
	marked, err := w.generate(ctx, i, moved)
	if err != nil {
		return outcome{}, err
	}
	prompt := w.Prompts[i]
	whole := newCurve(detect, prompt, marked.Tokens)
	o := outcome{kl: moved.sum / float64(moved.steps), surprise: surprise(marked) - surprise(plain[i])}
	for _, n := range w.Lengths {
		o.log10P = append(o.log10P, whole.log10P(n))
		o.z = append(o.z, whole.z(n))
	}
	for _, l := range levels {
		o.first = append(o.first, whole.first(l.log10Alpha))
	}
	for n := range maxGram {
		o.repeated[n] = repeated(marked.Tokens, n+1)
	}
	for _, a := range w.Attacks {
		h := fnv.New64a()
		h.Write([]byte(a.Labels()))
		attacked, err := a.apply(a.Rate, victim{
			tokens: marked.Tokens[:w.AttackTokens], filler: plain[(i+1)%len(plain)].Tokens,
			enc: w.Tokenizer, other: w.Other, random: rand.New(rand.NewPCG(w.Seed^h.Sum64(), uint64(i))),
		})
		if err != nil {
			return outcome{}, fmt.Errorf("%s on text %d: %w", a.Labels(), i, err)
		}
		o.attacked = append(o.attacked, newCurve(detect, prompt, attacked).log10P(len(attacked)))
	}
	return o, nil
}

// summary turns the outcomes of one setting into figures.
func (c *Config) summary(setting string, outcomes []outcome) []Measurement {
	var out []Measurement
	column := func(get func(o outcome) float64) []float64 {
		values := make([]float64, len(outcomes))
		for i, o := range outcomes {
			values[i] = get(o)
		}
		return values
	}
	detected := func(labels string, log10P []float64) {
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
		detected(labels, column(func(o outcome) float64 { return o.log10P[k] }))
		out = append(out, ofMean("z", labels, column(func(o outcome) float64 { return o.z[k] })))
	}
	for k, l := range levels {
		first := column(func(o outcome) float64 { return o.first[k] })
		out = append(out, ofQuantile("tokens50@"+l.name, setting, first, .5), ofQuantile("tokens95@"+l.name, setting, first, .95))
	}
	out = append(out, ofMean("kl", setting, column(func(o outcome) float64 { return o.kl })))
	ratio := ofMean("perplexity-ratio", setting, column(func(o outcome) float64 { return o.surprise }))
	for _, x := range []*Number{&ratio.Value, &ratio.Lo, &ratio.Hi} {
		*x = Number(math.Exp(float64(*x)))
	}
	out = append(out, ratio, ofMean("repetition", setting, column(func(o outcome) float64 { return o.repeated[maxGram-1] })))
	for n := 1; n < maxGram; n++ {
		out = append(out, ofMean(fmt.Sprintf("distinct-%d", n), setting, column(func(o outcome) float64 { return 1 - o.repeated[n-1] })))
	}
	for k, a := range c.Attacks {
		detected(fmt.Sprintf("%s/tokens=%d/%s", setting, c.AttackTokens, a.Labels()), column(func(o outcome) float64 { return o.attacked[k] }))
	}
	return out
}
