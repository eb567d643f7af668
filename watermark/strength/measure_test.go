package strength

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"testing"

	"golang.org/x/perf/benchfmt"

	"github.com/stillmark/stillmark/watermark"
)

func TestMeasureFindsTheMark(t *testing.T) {
	t.Parallel()
	r := measured(t, small())
	for _, scheme := range watermark.NativeSchemes() {
		last := -1.
		for _, n := range r.Recorded.Lengths {
			m, ok := r.find("tpr@fpr1e-3", fmt.Sprintf("scheme=%s/tokens=%d", scheme, n))
			if !ok {
				t.Fatalf("%s at %d tokens was not measured", scheme, n)
			}
			if v := float64(m.Value); v < last-.1 || m.Lo > m.Value || m.Hi < m.Value {
				t.Errorf("%s at %d tokens: rate %v [%v, %v] after %v", scheme, n, m.Value, m.Lo, m.Hi, last)
			}
			last = float64(m.Value)
		}
		if last < .95 {
			t.Errorf("%s: %v of the texts of 160 tokens detected, nearly all expected at 5 bits per token", scheme, last)
		}
		low, _ := r.find("tokens50@fpr1e-3", "scheme="+scheme)
		high, _ := r.find("tokens50@fpr1e-6", "scheme="+scheme)
		if !(low.Value > 0 && low.Value <= high.Value) {
			t.Errorf("%s: %v tokens for 1e-3, %v for 1e-6", scheme, low.Value, high.Value)
		}
	}
	// A green list moves the distribution to less probable tokens; its KL at
	// delta 2 is below ln(e²) and below gumbel's, which leaves one candidate.
	kgw, _ := r.find("kl", "scheme=kgw")
	gumbel, _ := r.find("kl", "scheme=gumbel")
	if !(kgw.Value > .1 && kgw.Value < 2 && gumbel.Value > kgw.Value) {
		t.Errorf("KL divergence %v for kgw, %v for gumbel", kgw.Value, gumbel.Value)
	}
}

func TestMeasureIsReproducible(t *testing.T) {
	t.Parallel()
	c := small(watermark.KGW)
	c.NullKeys = 1000
	var first []byte
	for round := range 2 {
		data, err := measured(t, c).Encode()
		if err != nil {
			t.Fatal(err)
		}
		if round == 0 {
			first = data
		} else if !bytes.Equal(first, data) {
			t.Error("two runs of one configuration differ")
		}
	}
	c.Seed++
	if data, _ := measured(t, c).Encode(); bytes.Equal(first, data) {
		t.Error("another seed gives the same run")
	}
}

func TestWeakenings(t *testing.T) {
	t.Parallel()
	for _, scheme := range watermark.NativeSchemes() {
		for _, weakening := range Weakenings() {
			if weakening == HalfBias && scheme != watermark.KGW {
				c := small(scheme)
				c.Weakening = weakening
				if _, err := Measure(t.Context(), c); err == nil {
					t.Errorf("%s: half a bias that is not there was measured", scheme)
				}
				continue
			}
			t.Run(scheme+" "+weakening, func(t *testing.T) {
				t.Parallel()
				c := small(scheme)
				sound := measured(t, c)
				c.Weakening = weakening
				weak := measured(t, c)
				labels := "scheme=" + scheme + "/tokens=160"
				before, _ := sound.find("log10p", labels)
				after, _ := weak.find("log10p", labels)
				limit := .7 * before.Value // half a bias leaves a third of the evidence
				if weakening != HalfBias {
					limit = -1.5 // nothing is left: log10 p of chance
				}
				if after.Value < limit {
					t.Errorf("median log10 p %v of the sound mark, %v of the weakened one", before.Value, after.Value)
				}
			})
		}
	}
}

func TestGivenKey(t *testing.T) {
	t.Parallel()
	c := small(watermark.KGW)
	key, err := watermark.NewKey(c.Settings[0].Spec, bytes.NewReader(make([]byte, 64)))
	if err != nil {
		t.Fatal(err)
	}
	c.Key, c.Settings[0].Spec = key, key.Spec
	r := measured(t, c)
	m, _ := r.find("tpr@fpr1e-3", "scheme=kgw/tokens=160")
	if m.Value < .9 || r.Recorded.Key != key.ID {
		t.Errorf("rate %v under key %s", m.Value, r.Recorded.Key)
	}
	c.Weakening = WrongKey
	if m, _ := measured(t, c).find("tpr@fpr1e-3", "scheme=kgw/tokens=160"); m.Value > .1 {
		t.Errorf("rate %v under a wrong key", m.Value)
	}
}

func TestNullIsUniform(t *testing.T) {
	t.Parallel()
	c := small()
	c.NullKeys, c.Attacks = 1500, nil
	c.Settings = Settings(watermark.Spec{Tokenizer: "bytes", Vocab: 256}, true)
	if s := c.Settings[0].Spec; s.PRF != watermark.AESCTR || s.Params.Window != 2 {
		t.Errorf("the record does not say the defaults: %+v", s)
	}
	c.Settings = slices.DeleteFunc(c.Settings, func(s Setting) bool { // the same law and no code of their own
		return strings.Contains(s.Labels, "window=") || strings.Contains(s.Labels, "prf=") || strings.Contains(s.Labels, "delta=") || strings.Contains(s.Labels, "gamma=")
	})
	c.Texts, c.Prompts, c.Lengths = 8, c.Prompts[:8], []int{10}
	r := measured(t, c)
	if bad := r.Uncalibrated(); len(bad) > 0 {
		t.Errorf("null calibration failed: %v", bad)
	}
	// The check itself can fail: p-values that are too small.
	u := make([]float64, 4000)
	for i := range u {
		u[i] = math.Pow((float64(i)+.5)/4000, 1.3)
	}
	wrong := Run{Measurements: nullMeasurements("scheme=kgw", u)}
	if bad := wrong.Uncalibrated(); len(bad) != 2 { // KS and the tail at 1e-2
		t.Errorf("p-values that are too small were not noticed: %v", bad)
	}
}

func TestMeasureRefuses(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*Config){
		"no settings":    func(c *Config) { c.Settings = nil },
		"one text":       func(c *Config) { c.Texts = 1 },
		"few prompts":    func(c *Config) { c.Prompts = c.Prompts[:3] },
		"no lengths":     func(c *Config) { c.Lengths = nil },
		"lengths fall":   func(c *Config) { c.Lengths = []int{20, 10} },
		"weakening":      func(c *Config) { c.Weakening = "half-bais" },
		"key, two marks": func(c *Config) { c.Key = &watermark.Key{} },
	} {
		c := small()
		change(&c)
		_, err := Measure(t.Context(), c)
		var usage *UsageError
		if !errors.As(err, &usage) || usage.ExitCode() != 2 {
			t.Errorf("%s: %v", name, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Measure(ctx, small()); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestWriters(t *testing.T) {
	t.Parallel()
	c := small(watermark.Gumbel, watermark.KGW)
	c.NullKeys = 1000
	r := measured(t, c)
	verdicts := []Verdict{
		{Outcome: Pass, Condition: "a"},
		{Outcome: Fail, Condition: "b"},
		{Outcome: Inconclusive, Condition: "c"},
	}
	data, err := r.Encode()
	if err != nil {
		t.Fatal(err)
	}
	again, err := ParseRun(data)
	if err != nil {
		t.Fatal(err)
	}
	if copied, _ := again.Encode(); !bytes.Equal(copied, data) {
		t.Error("a run does not survive writing and reading")
	}
	var bench, markdown, junit, svg, table bytes.Buffer
	for _, err := range []error{
		r.WriteBenchmarks(&bench), r.WriteMarkdown(&markdown, verdicts), r.WriteJUnit(&junit, verdicts), r.WriteSVG(&svg), r.WriteTable(&table),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	checkBenchmarks(t, r, bench.String())
	if got := strings.Count(svg.String(), "<polyline"); got != 4 {
		t.Errorf("%d curves for two settings at two rates", got)
	}
	var suite junitSuite
	if err := xml.Unmarshal(junit.Bytes(), &suite); err != nil || suite.Failures != 1 || suite.Skipped != 1 || suite.Tests != len(r.Measurements)+3 {
		t.Errorf("JUnit: %v, %d tests, %d failures, %d skipped", err, suite.Tests, suite.Failures, suite.Skipped)
	}
	for d := xml.NewDecoder(&svg); ; {
		if _, err := d.Token(); err == io.EOF {
			break
		} else if err != nil {
			t.Fatalf("the SVG is no XML: %v", err)
		}
	}
	if !strings.Contains(markdown.String(), "## Gate: fail") || !strings.Contains(table.String(), "copy-paste 0.5") {
		t.Error("the tables lack the gate or the attacks")
	}
}

// checkBenchmarks reads the benchmark lines as benchstat does, and wants every finite
// figure of the run in them, with the direction of its unit.
func checkBenchmarks(t *testing.T, r *Run, text string) {
	t.Helper()
	got := map[string]float64{}
	lines := benchfmt.NewReader(strings.NewReader(text), "strength.txt")
	for lines.Scan() {
		switch x := lines.Result().(type) {
		case *benchfmt.SyntaxError:
			t.Errorf("benchstat does not read it: %v", x)
		case *benchfmt.Result:
			if x.Iters != 1 || x.GetConfig("tokenizer") != "bytes" {
				t.Errorf("%s: %d iterations, tokenizer %q", x.Name, x.Iters, x.GetConfig("tokenizer"))
			}
			for _, v := range x.Values {
				got[v.Unit+" "+string(x.Name)] = v.Value
			}
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	finite := 0
	for _, m := range r.Measurements {
		if math.IsInf(float64(m.Value), 0) {
			continue
		}
		finite++
		value, ok := got[unit(m.Metric)+" Watermark/"+m.Labels]
		if !ok || math.Abs(value-float64(m.Value)) > 1e-5*math.Abs(value) {
			t.Errorf("%s is %v, among the benchmark lines %v", m.Name(), m.Value, value)
		}
	}
	if len(got) != finite || finite < 100 {
		t.Errorf("%d figures and %d in the benchmark lines", finite, len(got))
	}
	for _, m := range Metrics() {
		if d := lines.Units().GetBetter(unit(m.Name)); d != m.Better {
			t.Errorf("%s: better is %d, not %d", unit(m.Name), d, m.Better)
		}
	}
}

func TestMarkdownIsBounded(t *testing.T) {
	t.Parallel()
	r := &Run{}
	verdicts := make([]Verdict, 30_000)
	for i := range verdicts {
		verdicts[i] = Verdict{Outcome: Pass, Condition: strings.Repeat("x", 100)}
	}
	var b bytes.Buffer
	if err := r.WriteMarkdown(&b, verdicts); err != nil || b.Len() >= 1<<20 || b.Len() < 1<<19 || !strings.Contains(b.String(), "cut at 1 MiB") {
		t.Errorf("%d bytes of Markdown, %v", b.Len(), err)
	}
}
