package replies

import (
	"errors"
	"io"
	"math"
	"strings"
	"testing"
)

func TestEntropies(t *testing.T) {
	t.Parallel()
	in := `{"id":"a","entropies":[1.5,0],"other":1}

{"id":7,"logprobs":[[-0.6931471805599453],[-0.6931471805599453,-0.6931471805599453],[0]]}
{"entropies":[]}`
	e := NewEntropies(strings.NewReader(in), "in")
	for _, want := range []struct {
		id     string
		values []float64
	}{{"a", []float64{1.5, 0}}, {"7", []float64{math.Ln2, math.Ln2, 0}}, {"", nil}} {
		id, values, err := e.Next()
		if err != nil || id != want.id || len(values) != len(want.values) {
			t.Fatalf("%q %v %v, want %+v", id, values, err, want)
		}
		for i, v := range values {
			if math.Abs(v-want.values[i]) > 1e-12 {
				t.Errorf("%s: %v, want %v", id, values, want.values)
			}
		}
	}
	if _, _, err := e.Next(); err != io.EOF {
		t.Errorf("at the end: %v", err)
	}
}

func TestEntropiesRefuse(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		`{"entropies":[1,-1]}`:             "token 1: -1 is no entropy",
		`{"entropies":["1"]}`:              "no JSON object of the expected form",
		`{}`:                               "neither",
		`{"logprobs":{"content":[]}}`:      "neither",
		`{"logprobs":[[0.5]]}`:             "no logarithm",
		`{"logprobs":[[]]}`:                "no candidate",
		`{"logprobs":[[-0.01,-0.01]]}`:     "add up to",
		`[1]`:                              "no JSON object",
		"\n{\"entropies\":[1]":             "line 2",
		`{"entropies":[1e999]}`:            "no JSON object",
		`{"entropies":null,"logprobs":[]}`: "",
	} {
		_, _, err := NewEntropies(strings.NewReader(in), "in").Next()
		var bad *Error
		if want == "" {
			if err != nil {
				t.Errorf("%s: %v", in, err)
			}
		} else if !errors.As(err, &bad) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", in, err, want)
		}
	}
}

func FuzzEntropies(f *testing.F) {
	f.Add([]byte(`{"id":"a","entropies":[1.5,0]}`))
	f.Add([]byte(`{"logprobs":[[-0.7],[-0.7,-0.7],[0]]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		e := NewEntropies(strings.NewReader(string(data)), "in")
		for {
			_, values, err := e.Next()
			if err != nil {
				return
			}
			for _, h := range values {
				if !(h >= 0) || math.IsInf(h, 0) {
					t.Fatalf("entropy %v", h)
				}
			}
		}
	})
}
