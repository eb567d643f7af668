package strength

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/stillmark/stillmark/watermark"
)

// foreign is a run on texts that somebody else wrote: the toy, under a key, of
// different lengths.
func foreign(t *testing.T, scheme string, texts int) Config {
	t.Helper()
	c := small(scheme)
	key, err := watermark.NewKey(c.Settings[0].Spec, bytes.NewReader(make([]byte, 64)))
	if err != nil {
		t.Fatal(err)
	}
	c.Key, c.Settings[0].Spec, c.Foreign, c.Generator, c.Prompts = key, key.Spec, true, nil, nil
	mark, err := key.Mark()
	if err != nil {
		t.Fatal(err)
	}
	for i := range texts {
		n := 160
		if i%3 == 2 {
			n = 45
		}
		text, err := toy{}.Generate(t.Context(), []int32{'?'}, n, uint64(i), mark)
		if err != nil {
			t.Fatal(err)
		}
		plain, _ := toy{}.Generate(t.Context(), []int32{'?'}, 160, uint64(1000+i), nil)
		c.Given = append(c.Given, watermark.Item{ID: fmt.Sprint(i), Tokens: text.Tokens})
		c.Plain = append(c.Plain, watermark.Item{Tokens: plain.Tokens})
	}
	return c
}

func TestGivenTexts(t *testing.T) {
	t.Parallel()
	for _, scheme := range watermark.NativeSchemes() {
		c := foreign(t, scheme, 30)
		c.NullKeys = 1000
		r := measured(t, c)
		// Texts of 45 tokens count at 10 and 40 and not at 160.
		for tokens, n := range map[int]int64{10: 30, 40: 30, 160: 20} {
			m, ok := r.find("tpr@fpr1e-3", fmt.Sprintf("scheme=%s/tokens=%d", scheme, tokens))
			if !ok || m.N != n {
				t.Errorf("%s at %d tokens: %+v, want %d texts", scheme, tokens, m, n)
			}
			if tokens == 160 && m.Value < .9 {
				t.Errorf("%s: %v of the texts detected", scheme, m.Value)
			}
		}
		for _, metric := range []string{"kl", "perplexity-ratio"} {
			if m, ok := r.find(metric, "scheme="+scheme); ok {
				t.Errorf("%s of texts whose model nobody knows: %v", metric, m)
			}
		}
		if m, ok := r.find("repetition", unmarked); !ok || m.N != 30 {
			t.Errorf("repetition of unmarked texts: %+v", m)
		}
		if m, ok := r.find("tpr@fpr1e-3", "scheme="+scheme+"/tokens=120/attack=substitution/rate=0.1"); !ok || m.N != 20 {
			t.Errorf("attacks: %+v", m)
		}
		if bad := r.Uncalibrated(); len(bad) > 0 {
			t.Errorf("null: %v", bad)
		}
		var b strings.Builder
		if err := r.WriteTable(&b); err != nil || !strings.Contains(b.String(), "] of 20") || !strings.Contains(b.String(), "30 texts under key "+c.Key.ID) {
			t.Errorf("%v in %s", err, b.String())
		}
	}
}

// TestGivenAlone: without unmarked texts the marked ones stand in, and their
// figures stay right.
func TestGivenAlone(t *testing.T) {
	t.Parallel()
	c := foreign(t, watermark.KGW, 24)
	c.Plain, c.NullKeys = nil, 1000
	r := measured(t, c)
	if bad := r.Uncalibrated(); len(bad) > 0 {
		t.Errorf("null: %v", bad)
	}
	// Nine tenths of foreign text leave little: a filler that bore the mark would not.
	if m, _ := r.find("log10p", "scheme=kgw/tokens=120/attack=copy-paste/rate=0.5"); m.Value < -8 || m.Value > -.3 {
		t.Errorf("half of it pasted: log10 p %v", m.Value)
	}
	whole, _ := r.find("log10p", "scheme=kgw/tokens=160")
	c.Weakening = WrongKey
	wrong, _ := measured(t, c).find("log10p", "scheme=kgw/tokens=160")
	if whole.Value > -5 || wrong.Value < -1.5 {
		t.Errorf("log10 p %v under the key, %v under another", whole.Value, wrong.Value)
	}
	c.Weakening = HalfBias
	var usage *UsageError
	if _, err := Measure(t.Context(), c); !errors.As(err, &usage) {
		t.Errorf("half the bias of texts that are there: %v", err)
	}
}

// TestGivenSurprise: the perplexity of texts whose log-probabilities are known.
func TestGivenSurprise(t *testing.T) {
	t.Parallel()
	c := foreign(t, watermark.KGW, 24)
	c.Scored = true
	for i := range c.Given {
		c.Surprise = append(c.Surprise, 3+float64(i%4)/10)
		c.PlainSurprise = append(c.PlainSurprise, 2.8+float64(i%3)/10)
	}
	c.Surprise[5] = missing
	m, ok := measured(t, c).find("perplexity-ratio", "scheme=kgw")
	if !ok || m.N != 23 || math.Abs(math.Log(float64(m.Value))-.25) > .01 || m.Lo >= m.Value || m.Hi <= m.Value {
		t.Errorf("%+v", m)
	}
	c.PlainSurprise = c.PlainSurprise[1:]
	var usage *UsageError
	if _, err := Measure(t.Context(), c); !errors.As(err, &usage) {
		t.Errorf("a text without its surprise: %v", err)
	}
}

// recorder keeps what a mark was given at each step.
type recorder struct{ steps []Step }

func (r *recorder) ProcessCandidates(_, ids []int32, logits []float32) {
	s := Step{IDs: slices.Clone(ids)}
	for i, p := range softmax(logits) {
		s.Logprobs = append(s.Logprobs, math.Log(p))
		if p == 0 {
			s.Logprobs[i] = -745
		}
	}
	r.steps = append(r.steps, s)
}

// TestDivergence: what a mark does to a text's steps is told from the candidates that a
// model without the mark weighs, as it is told while the text is written.
func TestDivergence(t *testing.T) {
	t.Parallel()
	for _, scheme := range []string{watermark.KGW, watermark.Gumbel, watermark.Tournament} {
		c := foreign(t, scheme, 2)
		mark, err := c.Key.Mark()
		if err != nil {
			t.Fatal(err)
		}
		moved := &divergence{mark: mark.Clone()}
		text, err := toy{}.Generate(t.Context(), nil, 60, 7, moved)
		if err != nil {
			t.Fatal(err)
		}
		// The model without the mark weighs the same candidates at every step.
		r := &recorder{}
		if _, err := (toy{}).Generate(t.Context(), nil, 60, 8, r); err != nil {
			t.Fatal(err)
		}
		for i := range r.steps { // the token of the text stands first
			at := slices.Index(r.steps[i].IDs, text.Tokens[i])
			s := &r.steps[i]
			s.IDs[0], s.IDs[at] = s.IDs[at], s.IDs[0]
			s.Logprobs[0], s.Logprobs[at] = s.Logprobs[at], s.Logprobs[0]
		}
		got, want := Divergence(mark, text.Tokens, r.steps), moved.mean()
		if !(want > .1) || math.Abs(got/want-1) > 1e-6 {
			t.Errorf("%s: %v nats per step, %v while the text was written", scheme, got, want)
		}
		if again := Divergence(mark, text.Tokens, slices.Concat([]Step{{}}, r.steps)); again != got {
			t.Errorf("%s: %v with a step before the text", scheme, again)
		}
		other := slices.Clone(text.Tokens)
		other[30]++
		for name, steps := range map[string][]Step{"of another text": r.steps, "too few": r.steps[1:], "one too late": slices.Concat(r.steps, []Step{{}})} {
			tokens := text.Tokens
			if name == "of another text" {
				tokens = other
			}
			if got := Divergence(mark, tokens, steps); !math.IsNaN(got) {
				t.Errorf("%s: steps %s give %v", scheme, name, got)
			}
		}
		c.Scored, c.KL = true, []float64{got, missing}
		c.Surprise, c.PlainSurprise = make([]float64, len(c.Given)), make([]float64, len(c.Plain))
		if m, ok := measured(t, c).find("kl", "scheme="+scheme); !ok || m.N != 1 || float64(m.Value) != got {
			t.Errorf("%s: %+v", scheme, m)
		}
	}
}

// TestGivenBaseline: a baseline of other texts of the same model fits, whatever
// their number.
func TestGivenBaseline(t *testing.T) {
	t.Parallel()
	c := foreign(t, watermark.Gumbel, 30)
	past := measured(t, c)
	c.Given = c.Given[:27]
	v, err := measured(t, c).Compare(past, .3)
	if err != nil || Overall(v) == Fail {
		t.Errorf("%v, %v", v, err)
	}
	c.Lengths = []int{10, 40}
	if _, err := measured(t, c).Compare(past, .3); !errors.Is(err, ErrBaseline) {
		t.Errorf("other lengths: %v", err)
	}
}

func TestGivenRefusals(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(c *Config){
		"no key":      func(c *Config) { c.Key = nil },
		"one text":    func(c *Config) { c.Given = c.Given[:1] },
		"not foreign": func(c *Config) { c.Foreign = false },
		"no law": func(c *Config) {
			key, err := watermark.Import(watermark.Spec{Scheme: "hf-synthid", Vocab: 256}, nil, noSalt{})
			if err != nil {
				t.Fatal(err)
			}
			c.Key, c.Settings[0].Spec = key, key.Spec
		},
	} {
		c := foreign(t, watermark.KGW, 4)
		change(&c)
		var usage *UsageError
		if _, err := Measure(t.Context(), c); !errors.As(err, &usage) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
