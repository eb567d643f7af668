package strength

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/stillmark/stillmark/watermark"
	"github.com/stillmark/stillmark/watermark/evidence"
)

// Case is one null law that is calibrated: random keys under one spec, on texts
// that know nothing of them.
type Case struct {
	Labels  string // as in Setting
	Spec    watermark.Spec
	Weights string
	Units   int // distinct (window, token) pairs of a text
	Keys    int // what a release takes

	shard int // keys that share a text, drawn and kept together
}

// Sizes of a calibration. A million keys leave ten below 1e-5, the tail that a
// release must show; presets pay for a permutation at every unit, and one of them
// for a table of a million entries with every key.
const (
	nativeKeys, nativeUnits = 1_000_000, 200
	presetKeys, presetUnits = 100_000, 50
	tableKeys               = 2_000
	nativeVocab             = 100_277 // cl100k's; independent words do not depend on it
	presetVocab             = 1_000
	calibrationShard        = 5_000
	tableShard              = 500
)

// Cases are the null laws of a release: each native scheme with its options on
// each generator, under both weightings where it has two; then the presets of
// other stacks at their defaults and with the hashing that their users choose.
func Cases() []Case {
	var out []Case
	for _, name := range watermark.PRFs() {
		for _, c := range []struct {
			labels string
			spec   watermark.Spec
		}{
			{"scheme=gumbel", watermark.Spec{Scheme: watermark.Gumbel}},
			{"scheme=gumbel-dual", watermark.Spec{Scheme: watermark.GumbelDual}},
			{"scheme=kgw", watermark.Spec{Scheme: watermark.KGW}},
			{"scheme=kgw/seeding=self", watermark.Spec{Scheme: watermark.KGW, Params: watermark.Params{Seeding: watermark.SelfHash}}},
			{"scheme=tournament", watermark.Spec{Scheme: watermark.Tournament}},
			// Two channels: of 200 pairs a random route gives some 100 to either key.
			{"scheme=gumbel/channel=provenance", watermark.Spec{Scheme: watermark.Gumbel, Params: watermark.Params{Tracing: 0.5}}},
			{"scheme=kgw/channel=tracing", watermark.Spec{Scheme: watermark.KGW, Account: "any", Params: watermark.Params{Tracing: 0.5}}},
		} {
			c.spec.PRF, c.spec.Vocab, c.spec.Tokenizer = name, nativeVocab, "any"
			plain := Case{c.labels + "/prf=" + name, c.spec, watermark.WeightsNone, nativeUnits, nativeKeys, calibrationShard}
			out = append(out, plain)
			if w, err := watermark.ResolveWeights(watermark.WeightsAuto, c.spec.Scheme); err == nil && w != plain.Weights {
				plain.Labels, plain.Weights = plain.Labels+"/weights="+w, w
				out = append(out, plain)
			}
		}
	}
	for _, p := range watermark.Presets() {
		for _, values := range presetVariants[p.Name] {
			out = append(out, presetCase(p, values))
		}
	}
	return out
}

// presetVariants are the values, beside the defaults, under which presets are
// calibrated: every hashing that leads to other seeds, and a GPU.
var presetVariants = map[string][]string{
	"hf-kgw-lefthash":     {"", "device=cuda:221184"},
	"hf-kgw-selfhash":     {"", "context_width=4"},
	"lm-watermarking":     {"", "seeding=minhash", "seeding=selfhash", "seeding=skipgram", "seeding=ff-noncomm_prf-3-False", "list=last"},
	"tgi":                 {""},
	"three-bricks-kgw":    {""},
	"three-bricks-gumbel": {""},
	"radioactive-kgw":     {""},
	"radioactive-gumbel":  {""},
	"textseal-greenlist":  {""},
	"textseal-gumbel":     {"", "keys=two"},
	"textseal-synthid":    {""},
	"markllm-kgw":         {"", "f_scheme=min"},
	"markllm-unigram":     {""},
	"markllm-exp":         {""},
	"vllm-gumbel":         {""},
	"vllm-gumbel-dual":    {""},
	"vllm-sbw":            {"", "seeding=selfhash"},
	"sglang-gumbel":       {""},
	"hf-synthid":          {""},
	"dm-synthid-2025":     {""},
}

// presetCase is a preset with one value other than its default, "name=value".
func presetCase(p watermark.Preset, value string) Case {
	c := Case{Labels: "scheme=" + p.Name, Weights: watermark.WeightsNone, Units: presetUnits, Keys: presetKeys, shard: calibrationShard}
	params := map[string]string{}
	if value != "" {
		c.Labels += "/" + value
		name, text, _ := strings.Cut(value, "=")
		params[name] = text
	}
	for _, x := range p.Params {
		if x.Secret && x.Default == "" {
			params[x.Name] = "1" // stands for a key: only the spec is taken
		}
	}
	if p.Name == "hf-kgw-selfhash" {
		c.Keys, c.shard = tableKeys, tableShard
	}
	key, err := watermark.Import(watermark.Spec{Scheme: p.Name, Vocab: presetVocab}, params, noSalt{})
	if err != nil {
		panic(fmt.Sprintf("strength: %s: %v", c.Labels, err))
	}
	c.Spec = key.Spec
	return c
}

// noSalt is the salt of a key that nobody commits to.
type noSalt struct{}

func (noSalt) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// CalibrationConfig says what is drawn.
type CalibrationConfig struct {
	Cases []Case
	// Keys bounds the keys of each case; 0 takes each case's own number.
	Keys int
	Seed uint64
	// State is a folder that keeps what was drawn, so that the next run with it
	// goes on; empty for none.
	State string
	// Progress, if set, is told the share of the work that is done, from 0 when it
	// begins, and at what it is.
	Progress func(share float64, at string)
}

// Calibrated is what the random keys of one case show.
type Calibrated struct {
	Labels string  `json:"labels"`
	Vocab  int     `json:"vocab"`
	Units  int     `json:"units"`
	Keys   int     `json:"keys"`
	KSD    float64 `json:"ks_d"` // Kolmogorov and Smirnov's distance from uniformity
	KSP    float64 `json:"ks_p"`
	// Tails are the keys whose p is at most a level, beside the 99.9 % interval of
	// that count under uniformity; levels that expect ten keys or more.
	Tails   []TailCount `json:"tails"`
	Verdict string      `json:"verdict"`
	// Prefix are the p-values of the first keys, for tests that draw them again.
	Prefix []float64 `json:"prefix"`
}

// TailCount is a tail of a calibration.
type TailCount struct {
	Alpha float64 `json:"alpha"`
	Count int64   `json:"count"`
	Lo    int64   `json:"lo"`
	Hi    int64   `json:"hi"`
}

// The verdicts of a calibration.
const (
	// Uniform: Kolmogorov and Smirnov do not reject at 1e-3, and every tail lies in
	// its interval.
	Uniform = "uniform"
	// NotUniform: the null law that p-values of this scheme rest on is wrong.
	NotUniform = "not-uniform"
	// Approximate: the generator of a preset is known not to behave as random (see
	// watermark.Preset), and it shows; but no tail holds more keys than its interval.
	Approximate = "approximate"
	// Withheld: the figures are those of a law that is no more than orientation. No
	// p is reported for the scheme, only a rank among decoys.
	Withheld = "withheld"
)

// Calibration is the table.
type Calibration struct {
	Format  int          `json:"format"`
	Seed    uint64       `json:"seed"`
	Date    string       `json:"date,omitempty"`
	Command string       `json:"command,omitempty"`
	Cases   []Calibrated `json:"cases"`
}

// NotUniform names the cases that failed.
func (c *Calibration) NotUniform() []string {
	var out []string
	for _, x := range c.Cases {
		if x.Verdict == NotUniform {
			out = append(out, x.Labels)
		}
	}
	return out
}

// prefixKeys are kept with the table: drawing them again takes a test a second.
const prefixKeys = 32

// Calibrate draws random keys for every case, on all cores. Equal cases, keys and
// seeds give equal results, in one run or in several.
func Calibrate(ctx context.Context, c CalibrationConfig) (*Calibration, error) {
	r := &Calibration{Format: calibrationFormat, Seed: c.Seed}
	p := pace{report: c.Progress}
	drawings := make([]*drawing, len(c.Cases))
	for i, x := range c.Cases {
		if c.Keys > 0 {
			x.Keys = min(x.Keys, c.Keys)
		}
		d, err := newDrawing(x, c.Seed)
		if err == nil && c.State != "" {
			err = d.restore(ctx, c.State)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", x.Labels, err)
		}
		defer d.close()
		drawings[i] = d
		if err := p.plan(ctx, d); err != nil {
			return nil, fmt.Errorf("%s: %w", x.Labels, err)
		}
	}
	if p.total > 0 {
		p.report(0, "first keys")
	}
	for i, d := range drawings {
		for d.missing() > 0 {
			if err := d.next(ctx); err != nil {
				return nil, fmt.Errorf("%s: %w", d.Labels, err)
			}
			p.done(i, d.shard, fmt.Sprintf("%s, %d of %d keys", d.Labels, min(len(d.p), d.Keys), d.Keys))
		}
		r.Cases = append(r.Cases, d.judge())
		d.p = slices.Clone(d.p[:min(len(d.p), prefixKeys)]) // the rest is not needed any more
	}
	return r, nil
}

// pace weighs the cases by what their keys cost.
type pace struct {
	report          func(share float64, at string)
	each            []float64 // seconds per key
	total, finished float64
}

// plan times some keys of a case, so that the time left can be told.
func (p *pace) plan(ctx context.Context, d *drawing) error {
	p.each = append(p.each, 0)
	if p.report == nil || d.missing() == 0 {
		return nil
	}
	detector, err := d.detector(0)
	if err != nil {
		return err
	}
	pilot := 4 * runtime.GOMAXPROCS(0)
	begun := time.Now()
	if _, err := detector.RandomKeys(ctx, d.seed, 0, pilot); err != nil {
		return err
	}
	each := time.Since(begun).Seconds() / float64(pilot)
	p.each[len(p.each)-1] = each
	p.total += each * float64(d.missing()*d.shard)
	return nil
}

func (p *pace) done(i, keys int, at string) {
	if p.report == nil {
		return
	}
	p.finished += float64(keys) * p.each[i]
	p.report(min(p.finished/p.total, 1), at)
}

// drawing is a case under way: its p-values in the order of the keys.
type drawing struct {
	Case
	seed [32]byte
	law  *watermark.NullLaw
	// analytic says that p-values of the scheme are reported at all, approximate that
	// they are reported as no more than that.
	analytic, approximate bool
	p                     []float64
	file                  *stateFile
}

func newDrawing(c Case, seed uint64) (*drawing, error) {
	d := &drawing{Case: c, seed: sha256.Sum256(fmt.Appendf(nil, "stillmark calibration %d %s", seed, c.Labels))}
	s, err := watermark.DecoyKey(d.seed, 0, c.Spec)
	if err != nil {
		return nil, err
	}
	d.law = watermark.NewNullLaw(s)
	d.analytic = d.law.Analytic()
	if p, ok := watermark.PresetByName(c.Spec.Scheme); ok {
		d.approximate = p.Approximate != ""
	}
	return d, nil
}

// missing is the number of shards that are not drawn yet.
func (d *drawing) missing() int { return (d.Keys - len(d.p) + d.shard - 1) / d.shard }

// next draws a shard: a whole one where it is kept, since what is kept must not
// depend on how many keys this run wants.
func (d *drawing) next(ctx context.Context) error {
	shard, n := len(d.p)/d.shard, d.shard
	if d.file == nil {
		n = min(n, d.Keys-len(d.p))
	}
	u, err := d.draw(ctx, shard, n)
	if err != nil {
		return err
	}
	d.p = append(d.p, u...)
	if d.file != nil {
		return d.file.write(shard, u)
	}
	return nil
}

// detector holds the text of a shard.
func (d *drawing) detector(shard int) (*watermark.Detector, error) {
	text, err := d.text(shard)
	if err != nil {
		return nil, err
	}
	own, err := watermark.DecoyKey(d.seed, 0, d.Spec)
	if err != nil {
		return nil, err
	}
	detector := watermark.NewDetector(own, watermark.Options{Weights: d.Weights})
	detector.Add(watermark.Item{Tokens: text})
	return detector, nil
}

// draw are the randomised p-values of the first n keys of a shard, on its text.
func (d *drawing) draw(ctx context.Context, shard, n int) ([]float64, error) {
	detector, err := d.detector(shard)
	if err != nil {
		return nil, err
	}
	scores, err := detector.RandomKeys(ctx, d.seed, shard*d.shard, n)
	if err != nil {
		return nil, err
	}
	random := rand.New(rand.NewPCG(binary.LittleEndian.Uint64(d.seed[:]), uint64(shard)))
	out := make([]float64, n)
	for i, x := range scores {
		out[i] = d.law.RandomizedP(x, (float64(random.Uint64()>>12)+.5)*0x1p-52)
	}
	return out, nil
}

// text is a shard's: words by Zipf's law (Zipf 1935; rank r has weight 1/(r+2.7),
// Mandelbrot's form), which repeat as those of a language do, until it has as many
// distinct (window, token) pairs as the case asks for. Where a key decides which
// pairs are one unit, they are counted under a key that no other text meets.
func (d *drawing) text(shard int) ([]int32, error) {
	random := rand.New(rand.NewPCG(binary.LittleEndian.Uint64(d.seed[8:]), uint64(shard)))
	layout, err := watermark.DecoyKey(sha256.Sum256(d.seed[:]), shard, d.Spec)
	if err != nil {
		return nil, err
	}
	vocab := d.Spec.Vocab
	ids := random.Perm(vocab)
	for i, id := range ids { // some schemes multiply their key with ids: 0 must be common
		if id == 0 {
			ids[2], ids[i] = ids[i], ids[2]
			break
		}
	}
	sum := make([]float64, vocab)
	total := 0.
	for r := range sum {
		total += 1 / (float64(r) + 2.7)
		sum[r] = total
	}
	tokens := make([]int32, 40*d.Units)
	for i := range tokens {
		r, _ := slices.BinarySearch(sum, random.Float64()*total)
		tokens[i] = int32(ids[min(r, vocab-1)])
	}
	units := 0
	for _, t := range watermark.ScoreTokens(layout, watermark.Item{Tokens: tokens}) {
		if t.Fate == watermark.FateScored {
			if units++; units == d.Units {
				return tokens[:t.Index+1], nil
			}
		}
	}
	return nil, fmt.Errorf("a text of %d tokens has %d units, not %d", len(tokens), units, d.Units)
}

// judge takes the figures.
func (d *drawing) judge() Calibrated {
	u := d.p[:d.Keys]
	r := Calibrated{Labels: d.Labels, Vocab: d.Spec.Vocab, Units: d.Units, Keys: d.Keys, Prefix: slices.Clone(u[:min(len(u), prefixKeys)])}
	r.KSD, r.KSP = evidence.KolmogorovSmirnov(u)
	for _, t := range nullTails {
		if float64(len(u))*t.alpha < leastTail {
			continue
		}
		tail := TailCount{Alpha: t.alpha, Count: below(u, t.alpha)}
		tail.Lo, tail.Hi = binomialInterval(int64(len(u)), t.alpha, nullConfidence)
		r.Tails = append(r.Tails, tail)
	}
	r.Verdict = d.verdict(&r)
	return r
}

// verdict is what the figures say of the law.
func (d *drawing) verdict(r *Calibrated) string {
	uniform, overstated := r.KSP >= nullKSP, false
	for _, t := range r.Tails {
		uniform = uniform && t.Lo <= t.Count && t.Count <= t.Hi
		overstated = overstated || t.Count > t.Hi
	}
	switch {
	case !d.analytic:
		return Withheld
	case uniform:
		return Uniform
	case d.approximate && !overstated:
		return Approximate
	}
	return NotUniform
}

// below counts values at or below a level.
func below(u []float64, level float64) int64 {
	var n int64
	for _, x := range u {
		if x <= level {
			n++
		}
	}
	return n
}

// binomialInterval are the quantiles of Bin(n, p) that leave at most half of what
// confidence leaves below the one and above the other.
func binomialInterval(n int64, p, confidence float64) (lo, hi int64) {
	tail := math.Log10((1 - confidence) / 2)
	// P(X >= k) falls in k: the first k with less than the tail above it ends the set.
	first := func(from, to int64, holds func(k int64) bool) int64 {
		for from < to {
			if m := (from + to) / 2; holds(m) {
				to = m
			} else {
				from = m + 1
			}
		}
		return from
	}
	hi = first(0, n, func(k int64) bool { return evidence.Log10BinomialSF(k+1, n, p) <= tail })
	// P(X <= k) = P(n-X >= n-k).
	lo = first(0, n, func(k int64) bool { return evidence.Log10BinomialSF(n-k, n, 1-p) > tail })
	return lo, hi
}
