package watermark

import (
	"encoding/json"
	"math"
	"os"
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
	s, err := newScheme(spec, prf.NewPhilox(key))
	if err != nil {
		panic(err)
	}
	return s
}

// TestVLLMDetection reproduces vLLM's sums and p-values through the Detector:
// the convention of another server is a window rule and a score, no more.
func TestVLLMDetection(t *testing.T) {
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
	data, err := os.ReadFile("testdata/vectors/vllm.json")
	if err != nil {
		t.Fatal(err)
	}
	var v struct{ Published, Configs []run }
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatal(err)
	}
	if len(v.Published) != 4 || len(v.Configs) != 16 {
		t.Fatalf("%d published cases and %d configurations", len(v.Published), len(v.Configs))
	}
	close := func(got, want float64) bool { return math.Abs(got-want) <= 1e-9*math.Abs(want) }
	for _, c := range append(v.Published, v.Configs...) {
		key, err := strconv.ParseUint(c.Key, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		s := newVLLM(key, c.Width)
		want := map[string]sum{c.Dedup: c.sum}
		if c.Results != nil {
			want = c.Results
		}
		for rule, want := range want {
			var got sum
			switch rule {
			case "pair": // the Detector's own rule
				d := NewDetector(s, Options{Weights: WeightsNone})
				d.Add(Item{Tokens: c.Tokens})
				r := d.Result()
				got = sum{r.N, r.Score, r.Tail.Log10P}
			case "context", "none":
				seen := newTuples(c.Width)
				for i, token := range c.Tokens {
					window, _ := s.WindowOf(c.Tokens[:i])
					if _, added := seen.insert(window); added || rule == "none" {
						got.N++
						got.Score += s.Score(window, token)
					}
				}
				got.Log10P = s.Law().Tail(got.Score, plainCounts(got.N)).Log10P
			default:
				t.Fatalf("dedup rule %q", rule)
			}
			if got.N != want.N || !close(got.Score, want.Score) || !close(got.Log10P, want.Log10P) {
				t.Errorf("key %s, width %d, dedup %s: %+v, want %+v", c.Key, c.Width, rule, got, want)
			}
		}
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
