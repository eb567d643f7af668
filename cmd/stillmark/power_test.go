package main

import (
	"bytes"
	"math"
	"strings"
	"testing"
)

func TestParseSteps(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, data string
		steps      int
		first      []float64
		want       string // of the error
	}{
		{"plain lists", `{"logprobs":[-0.6931471805599453]}` + "\n" + `{"logprobs":[0]}`, 2, []float64{.5, .5}, ""},
		{"a reply", `{"choices":[{"logprobs":{"content":[{"token":"a","logprob":-1,"top_logprobs":[{"token":"a","logprob":-0.6931471805599453},{"token":"b","logprob":-1.3862943611198906}]},{"top_logprobs":[{"logprob":0}]}]}}]}`, 2, []float64{.5, .25, .25}, ""},
		{"a token, rounded up", `{"token":"a","logprob":0,"top_logprobs":[{"logprob":0.0},{"logprob":-9.0}]}`, 1, []float64{1 / (1 + math.Exp(-9)), math.Exp(-9) / (1 + math.Exp(-9))}, ""},
		{"no candidates", `{"choices":[{"logprobs":{"content":[{"logprob":-1}]}}]}`, 0, nil, "ask the endpoint for top_logprobs"},
		{"nothing", ``, 0, nil, "no step"},
		{"above 1", `{"logprobs":[0.5]}`, 0, nil, "value 1: 0.5 is no logarithm"},
		{"a sum above 1", `{"logprobs":[0,0]}`, 0, nil, "add up to 2"},
		{"cut off", `{"logprobs":[0]}{"logprobs":[`, 0, nil, "value 2"},
	} {
		steps, err := parseSteps(strings.NewReader(test.data))
		if test.want != "" {
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%s: error %v, want %q", test.name, err, test.want)
			}
			continue
		}
		if err != nil || len(steps) != test.steps || len(steps[0]) != len(test.first) {
			t.Errorf("%s: %v, %v", test.name, steps, err)
			continue
		}
		for i, p := range test.first {
			if math.Abs(steps[0][i]-p) > 1e-12 {
				t.Errorf("%s: %v, want %v", test.name, steps[0], test.first)
			}
		}
	}
}

func FuzzParseSteps(f *testing.F) {
	f.Add([]byte(`{"logprobs":[-1,-2]}{"top_logprobs":[{"logprob":-3}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		steps, err := parseSteps(bytes.NewReader(data))
		for _, step := range steps {
			var sum float64
			for _, p := range step {
				sum += p
			}
			if err == nil && math.Abs(sum-1) > 1e-9 {
				t.Errorf("%q: probabilities add up to %v", data, sum)
			}
		}
	})
}
