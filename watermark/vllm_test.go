package watermark

import (
	"fmt"
	"strconv"
	"testing"

	"github.com/stillmark/stillmark/watermark/prf"
)

// newVLLM is native gumbel on philox-v1, which is vLLM's scheme.
func newVLLM(key uint64, width int) Scheme {
	spec := Spec{
		Scheme: Gumbel, PRF: Philox, Tokenizer: "vllm", Vocab: maxVocab,
		Params: Params{Window: width, Repeats: MarkRepeats},
	}.withDefaults()
	s, err := newScheme(spec, prf.NewPhilox(key), nil)
	if err != nil {
		panic(err)
	}
	return s
}

// TestVectorVLLM reproduces vLLM's sums and p-values, by the preset and by native
// gumbel on philox-v1 alike.
func TestVectorVLLM(t *testing.T) {
	t.Parallel()
	type sum struct {
		N      int64   `json:"n"`
		Score  float64 `json:"score"`
		Log10P float64 `json:"log10_p"`
	}
	type run struct {
		Key     string         `json:"key"`
		Width   int            `json:"context_width"`
		Tokens  []int32        `json:"tokens"`
		Results map[string]sum `json:"results"`
		Dedup   string         `json:"dedup"`
		sum
	}
	var v struct {
		Published, Configs []run
		Dual               []struct {
			Master string `json:"master"`
			A      string `json:"key_a"`
			B      string `json:"key_b"`
		} `json:"dual_key_derivation"`
	}
	loadVectors(t, "vllm.json", &v)
	for i, c := range append(v.Published, v.Configs...) {
		t.Run(fmt.Sprintf("vllm/%d-w%d", i, c.Width), func(t *testing.T) {
			t.Parallel()
			key, err := strconv.ParseUint(c.Key, 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			params := map[string]string{"key": c.Key, "context_width": strconv.Itoa(c.Width)}
			want := map[string]sum{c.Dedup: c.sum}
			if c.Results != nil {
				want = c.Results
			}
			for _, s := range []Scheme{newVLLM(key, c.Width), imported(t, "vllm-gumbel", maxVocab, params)} {
				check := func(rule string, n int64, score, log10P float64) {
					if w := want[rule]; n != w.N || !within(score, w.Score, 1e-9) || !within(log10P, w.Log10P, 1e-9) {
						t.Errorf("%s, %s: %v of %d, log10 p %v; want %+v", s.Name(), rule, score, n, log10P, w)
					}
				}
				for rule := range want {
					n, score, _ := tally(s, c.Tokens, rule)
					check(rule, n, score, s.Law().Tail(score, plainCounts(n)).Log10P)
					if rule == peerPair {
						d := NewDetector(s, Options{Weights: WeightsNone})
						d.Add(Item{Tokens: c.Tokens})
						r := d.Result()
						check(rule, r.N, r.Score, r.Tail.Log10P)
					}
				}
				if _, ok := want[peerContext]; ok && s.Name() == "vllm-gumbel" {
					r := peer(s, c.Tokens)
					check(peerContext, r.N, r.Score, r.Tail.Log10P)
				}
			}
		})
	}
	for _, c := range v.Dual {
		t.Run("vllm/dual-"+c.Master, func(t *testing.T) {
			t.Parallel()
			master, err := strconv.ParseUint(c.Master, 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			if a, b := vllmDualKeys(master); strconv.FormatUint(a, 10) != c.A || strconv.FormatUint(b, 10) != c.B {
				t.Errorf("keys %d and %d, want %s and %s", a, b, c.A, c.B)
			}
		})
	}
}

// TestVLLMTextIsRead: text that the padded convention marks is found by the
// native gumbel under the imported key.
func TestVLLMTextIsRead(t *testing.T) {
	t.Parallel()
	server := newVLLM(7, 4)
	var text []int32
	logits := make([]float32, 500)
	for range 300 {
		clear(logits)
		server.Process(text, logits)
		for id, l := range logits {
			if l == 0 {
				text = append(text, int32(id))
				break
			}
		}
	}
	spec := Spec{Scheme: Gumbel, PRF: Philox, Tokenizer: "vllm", Vocab: 500, Params: Params{Window: 4}}
	k, err := NewImportedKey(spec, 7, new(counting))
	if err != nil {
		t.Fatal(err)
	}
	s, err := k.Mark()
	if err != nil {
		t.Fatal(err)
	}
	d := NewDetector(s, Options{})
	d.Add(Item{Tokens: text})
	if r := d.Result(); r.Dropped.Short != 0 || r.Tail.Log10P > -300 {
		t.Errorf("log10 p %.1f, dropped %+v", r.Tail.Log10P, r.Dropped)
	}
}
