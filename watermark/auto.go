package watermark

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"time"
)

// autoDecoys are the numbers of decoys that AutoDecoys chooses from.
var autoDecoys = []int{999, 199, 99}

// AutoDecoys is the largest of 999, 199 and 99 decoys that end within the limit
// on this machine, by the time that one of them takes, and how long they are
// expected to take. Where even 99 do not, it is 99. The number is declared before
// any decoy's score is seen, and depends on the clock: for the same output every
// time, ask for a number.
func (d *Detector) AutoDecoys(ctx context.Context, seed [32]byte, limit time.Duration) (n int, expected time.Duration, err error) {
	units := d.grouped()
	begun := time.Now()
	s, err := DecoyKey(seed, 0, d.scheme.Spec())
	if err != nil {
		return 0, 0, fmt.Errorf("drawing a decoy: %w", err)
	}
	units.score(ctx, d.withStatistic(s))
	if err := ctx.Err(); err != nil {
		return 0, 0, err
	}
	one := time.Since(begun)
	for _, n = range autoDecoys {
		if expected = one * time.Duration(n) / time.Duration(runtime.GOMAXPROCS(0)); expected <= limit {
			break
		}
	}
	return n, expected, nil
}

// Candidate is one combination of a preset, its parameters and a key that a
// search tries.
type Candidate struct {
	Scheme string            `json:"scheme"`
	Params map[string]string `json:"params"` // without keys
	Key    string            `json:"key"`    // what the key is called, never the key
	Spec   Spec              `json:"-"`
	secret map[string]string
}

// autoVariants are the settings of the presets that a search tries beside their
// defaults: those that the peers' examples use.
var autoVariants = map[string][]map[string]string{
	"hf-kgw-lefthash":    {{}}, // at a ratio of 0.5 it is tgi
	"hf-kgw-selfhash":    {{"context_width": "1"}, {"context_width": "4"}},
	"lm-watermarking":    {{"gamma": "0.25", "seeding": "minhash"}, {"gamma": "0.25", "seeding": "selfhash"}, {"gamma": "0.25", "seeding": "skipgram"}, {"gamma": "0.5", "seeding": "selfhash"}},
	"three-bricks-kgw":   {{"ngram": "1"}, {"ngram": "2"}, {"ngram": "4"}},
	"textseal-greenlist": {{"ngram": "1"}, {"ngram": "2"}},
	"textseal-gumbel":    {{"ngram": "1"}, {"ngram": "2"}},
	"textseal-synthid":   {{"ngram": "1"}, {"ngram": "2"}},
	"three-bricks-gumbel": {
		{"ngram": "1"}, {"ngram": "2"}, {"ngram": "4"},
	},
	"radioactive-kgw":    {}, // the hashing of three-bricks, and its keys
	"radioactive-gumbel": {},
}

// Candidates is the grid of a search over a vocabulary: every preset at its usual
// settings, under its published keys and under the given ones that it can carry.
// Equal lists by another name are left out.
func Candidates(vocab int, tokenizer Spec, keys []string) ([]Candidate, error) {
	var grid []Candidate
	for _, p := range Presets() {
		settings, ok := autoVariants[p.Name]
		if !ok {
			settings = []map[string]string{{}}
		}
		for _, params := range settings {
			for _, x := range p.Params {
				if !x.Secret {
					continue
				}
				for i, value := range slices.Concat(x.Published, keys) {
					name := fmt.Sprintf("published %s %d", x.Name, i+1)
					if n := i - len(x.Published); n >= 0 {
						name = fmt.Sprintf("given key %d", n+1)
						if strings.Contains(value, ",") != (x.Kind == kindKeys) {
							continue // a list is for presets of many keys
						}
					}
					if _, err := x.canonical(value); err != nil {
						if i < len(x.Published) {
							return nil, fmt.Errorf("%s: %w", p.Name, err)
						}
						continue // too wide, or negative, for this preset
					}
					grid = append(grid, Candidate{
						Scheme: p.Name, Params: params, Key: name, secret: map[string]string{x.Name: value},
						Spec: Spec{Scheme: p.Name, Vocab: vocab, Tokenizer: tokenizer.Tokenizer, TokenizerSHA256: tokenizer.TokenizerSHA256},
					})
				}
			}
		}
	}
	return grid, nil
}

// Open makes the candidate's key. Its salt is that of no commitment.
func (c Candidate) Open() (*Key, error) {
	params := map[string]string{}
	for _, m := range []map[string]string{c.Params, c.secret} {
		for name, value := range m {
			params[name] = value
		}
	}
	return Import(c.Spec, params, zeros{})
}

// zeros is the salt of a key that nobody commits to.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
