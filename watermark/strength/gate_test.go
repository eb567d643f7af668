package strength

import (
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/stillmark/stillmark/watermark"
)

func TestThresholdOutcomes(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		text   string
		lo, hi Number
		want   Outcome
	}{
		{"z/scheme=kgw>=0.9", .91, .99, Pass},
		{"z/scheme=kgw>=0.9", .9, .99, Pass},
		{"z/scheme=kgw>=0.9", .8, .95, Inconclusive},
		{"z/scheme=kgw>=0.9", .8, .9, Inconclusive},
		{"z/scheme=kgw>=0.9", .8, .89, Fail},
		{"z/scheme=kgw<=-3", -9, -4, Pass},
		{"z/scheme=kgw<=-3", -9, -2, Inconclusive},
		{"z/scheme=kgw<=-3", -2, -1, Fail},
		{"z/scheme=kgw<=100", 20, Number(math.Inf(1)), Inconclusive},
		{"z/scheme=kgw<=100", 120, Number(math.Inf(1)), Fail},
		{"z/scheme=*>=1", 2, 3, Pass},
	} {
		th, err := ParseThreshold(test.text)
		if err != nil {
			t.Fatal(err)
		}
		r := Run{Measurements: []Measurement{{Metric: "z", Labels: "scheme=kgw", Value: test.lo, Lo: test.lo, Hi: test.hi, N: 10}}}
		v, err := r.Judge([]Threshold{th})
		if err != nil || len(v) != 1 || v[0].Outcome != test.want {
			t.Errorf("%s on [%v, %v]: %v, %v; want %s", test.text, test.lo, test.hi, v, err, test.want)
		}
	}
}

func TestThresholdErrors(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"tpr@fpr1e-4/scheme=kgw>=0.9":          "did you mean",
		"strength/scheme=kgw>=0.9":             "not known",
		"z/scheme=kgw>0.9":                     "no >=",
		"z/scheme=kgw>=NaN":                    "no number",
		"z/scheme=kgw>=":                       "no number",
		"z/kgw>=1":                             "label=value",
		"z/scheme=kgw/scheme=gumbel>=1":        "twice",
		"z/scheme=kgw/tokens=200/tokens=50>=1": "twice",
	} {
		if _, err := ParseThreshold(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
	for text, want := range map[string]string{
		"z/tokens=40/scheme=kwg>=1":   `no scheme is "kwg"; did you mean "kgw"?`,
		"z/tokens=41/scheme=kgw>=1":   `no tokens is "41"; known are 10, 40, 160`,
		"z/token=40/scheme=kgw>=1":    `no label token; did you mean "tokens"?`,
		"z/tokens=40/scheme=gumbl>=1": `no scheme is "gumbl"; did you mean "gumbel"?`,
	} {
		th, err := ParseThreshold(text)
		if err != nil {
			t.Fatal(err)
		}
		c := small()
		if err := c.Narrow([]Threshold{th}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
	th, err := ParseThreshold("z/tokens=40/scheme=kwg>=1")
	if err != nil {
		t.Fatal(err)
	}
	c := small()
	var usage *UsageError
	if err := c.Narrow([]Threshold{th}); !errors.As(err, &usage) {
		t.Errorf("a threshold on a scheme that is not measured: %v", err)
	}
	if _, err := (&Run{}).Judge([]Threshold{th}); !errors.As(err, &usage) {
		t.Errorf("a threshold on a figure that is not there: %v", err)
	}
}

func FuzzParseThreshold(f *testing.F) {
	f.Add("tpr@fpr1e-3/tokens=200/scheme=kgw>=0.9")
	f.Add("log10p/scheme=*<=-3")
	f.Fuzz(func(t *testing.T, s string) {
		th, err := ParseThreshold(s)
		if err != nil {
			return
		}
		if _, ok := metricNamed(th.Metric); !ok || math.IsNaN(th.Value) || th.judge(th.Value, th.Value) != Pass {
			t.Errorf("%q was read as %+v", s, th)
		}
	})
}

func FuzzParseRun(f *testing.F) {
	f.Add([]byte(`{"format":1,"settings":{},"measurements":[{"metric":"z","labels":"a","value":"+inf","lo":1,"hi":2,"n":3}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := ParseRun(data)
		if err != nil {
			return
		}
		once, err := r.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ParseRun(once); err != nil {
			t.Errorf("what was written cannot be read: %v", err)
		}
	})
}

func TestOverall(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		outcomes []Outcome
		want     Outcome
	}{
		{nil, Inconclusive},
		{[]Outcome{Pass, Pass}, Pass},
		{[]Outcome{Pass, Inconclusive, Pass}, Inconclusive},
		{[]Outcome{Inconclusive, Fail}, Fail},
	} {
		var v []Verdict
		for _, o := range test.outcomes {
			v = append(v, Verdict{Outcome: o})
		}
		if got := Overall(v); got != test.want {
			t.Errorf("%v: %s", test.outcomes, got)
		}
	}
}

// TestNarrow: what a narrowed run measures is what the full run measures.
func TestNarrow(t *testing.T) {
	t.Parallel()
	var thresholds []Threshold
	for _, text := range []string{"tpr@fpr1e-3/tokens=40/scheme=kgw>=0.9", "log10p/scheme=kgw/tokens=120/attack=deletion/rate=0.1<=-1"} {
		th, err := ParseThreshold(text)
		if err != nil {
			t.Fatal(err)
		}
		thresholds = append(thresholds, th)
	}
	full, c := small(), small()
	c.NullKeys = 1000
	if err := c.Narrow(thresholds); err != nil {
		t.Fatal(err)
	}
	if len(c.Settings) != 1 || len(c.Attacks) != 1 || c.NullKeys != 0 || len(c.Lengths) != 1 {
		t.Errorf("narrowed to %d settings, %d attacks, %d keys, lengths %v", len(c.Settings), len(c.Attacks), c.NullKeys, c.Lengths)
	}
	a, err := measured(t, full).Judge(thresholds)
	if err != nil {
		t.Fatal(err)
	}
	b, err := measured(t, c).Judge(thresholds)
	if err != nil || len(a) != 2 || a[0] != b[0] || a[1] != b[1] {
		t.Errorf("full %v, narrowed %v, %v", a, b, err)
	}
}

func TestCompare(t *testing.T) {
	t.Parallel()
	run := func(hits, n int64) *Run {
		return &Run{Format: runFormat, Measurements: []Measurement{rate("tpr@fpr1e-3", "scheme=kgw/tokens=50", hits, n, level)}}
	}
	for _, test := range []struct {
		old, new int64
		want     Outcome
	}{
		{90, 90, Pass},          // nothing changed
		{90, 30, Fail},          // lower for sure
		{90, 80, Inconclusive},  // may be chance
		{50, 90, Pass},          // better
		{100, 100, Pass},        // saturated
		{100, 60, Fail},         //
		{100, 97, Inconclusive}, //
	} {
		v, err := run(test.new, 100).Compare(run(test.old, 100), .05)
		if err != nil || len(v) != 1 || v[0].Outcome != test.want {
			t.Errorf("%d after %d of 100: %v, %v", test.new, test.old, v, err)
		}
	}
	if v, _ := run(9700, 10000).Compare(run(9750, 10000), .05); v[0].Outcome != Pass {
		t.Errorf("a loss of half a percent within a margin of five: %v", v)
	}
	other := run(90, 100)
	other.Recorded.Texts = 7
	if _, err := run(90, 100).Compare(other, .05); !errors.Is(err, ErrBaseline) || !strings.Contains(err.Error(), "texts") {
		t.Errorf("other settings: %v", err)
	}
	if _, err := run(90, 100).Compare(&Run{}, .05); !errors.Is(err, ErrBaseline) {
		t.Errorf("an empty baseline: %v", err)
	}
}

// TestGateCatchesARegression: a run against its own past, sound and weakened.
func TestGateCatchesARegression(t *testing.T) {
	t.Parallel()
	c := small(watermark.KGW)
	c.Texts = 30
	past := measured(t, c)
	same, err := measured(t, c).Compare(past, 0)
	if err != nil || Overall(same) != Pass {
		t.Errorf("unchanged: %v, %v", same, err)
	}
	c.Weakening = ShuffledContext
	worse, err := measured(t, c).Compare(past, .1)
	if err != nil || Overall(worse) != Fail {
		t.Errorf("weakened: %v, %v", worse, err)
	}
}
