package prf

import (
	"math"
	"strconv"
	"testing"
)

// TestPhiloxKnownAnswers are the philox4x32-10 lines of Random123's
// kat_vectors file.
func TestPhiloxKnownAnswers(t *testing.T) {
	t.Parallel()
	const all = 0xffffffff
	for _, c := range []struct {
		ctr    [4]uint32
		k0, k1 uint32
		want   [4]uint32
	}{
		{[4]uint32{}, 0, 0, [4]uint32{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
		{[4]uint32{all, all, all, all}, all, all, [4]uint32{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
		{
			[4]uint32{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
			0xa4093822, 0x299f31d0,
			[4]uint32{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1},
		},
	} {
		if got := philox10(c.ctr, c.k0, c.k1); got != c.want {
			t.Errorf("philox10(%x, %x, %x) = %x, want %x", c.ctr, c.k0, c.k1, got, c.want)
		}
	}
}

type vllmSum struct {
	N     int     `json:"n"`
	Score float64 `json:"score"`
}

type vllmCase struct {
	Key        string  `json:"key"`
	Width      int     `json:"context_width"`
	Tokens     []int32 `json:"tokens"`
	FirstWords []struct {
		Context []int32 `json:"context"`
		Token   int32   `json:"token"`
		Word    uint32  `json:"word"`
	} `json:"first_words"`
	Results map[string]vllmSum `json:"results"` // by dedup rule

	Dedup     string  `json:"dedup"`
	N         int     `json:"n"`
	Score     float64 `json:"score"`
	Published float64 `json:"published_score"`
}

// TestVLLM reproduces vLLM's published detector sums and the configurations.
func TestVLLM(t *testing.T) {
	t.Parallel()
	var v struct {
		Published []vllmCase `json:"published"`
		Configs   []vllmCase `json:"configs"`
	}
	readVectors(t, "vllm.json", &v)
	if len(v.Published) != 4 || len(v.Configs) != 16 {
		t.Fatalf("%d published cases and %d configurations", len(v.Published), len(v.Configs))
	}
	for _, c := range v.Published {
		n, score := vllmScore(vllmSource(t, c.Key), c.Width, c.Tokens, c.Dedup)
		if n != c.N || !near(score, c.Score) || !near(score, c.Published) {
			t.Errorf("key %s, width %d: n %d, score %v; published %d, %v", c.Key, c.Width, n, score, c.N, c.Published)
		}
	}
	for _, c := range v.Configs {
		p := vllmSource(t, c.Key)
		if len(c.FirstWords) == 0 || len(c.Results) != 3 {
			t.Fatalf("key %s: %d words and %d results", c.Key, len(c.FirstWords), len(c.Results))
		}
		for _, w := range c.FirstWords {
			p.SetWindow(w.Context)
			if got := p.Word(w.Token); got != w.Word {
				t.Errorf("key %s, context %v, token %d: word %d, want %d", c.Key, w.Context, w.Token, got, w.Word)
			}
		}
		for rule, want := range c.Results {
			if n, score := vllmScore(p, c.Width, c.Tokens, rule); n != want.N || !near(score, want.Score) {
				t.Errorf("key %s, width %d, dedup %s: n %d, score %v; want %d, %v", c.Key, c.Width, rule, n, score, want.N, want.Score)
			}
		}
	}
}

func near(got, want float64) bool { return math.Abs(got-want) <= 1e-12*math.Abs(want) }

func vllmSource(t *testing.T, key string) *Philox {
	t.Helper()
	k, err := strconv.ParseUint(key, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return NewPhilox(k)
}

// vllmScore is vLLM's detector: contexts of the last width tokens, left-padded
// with -1, every position scored, u of 24 bits in float32.
func vllmScore(p *Philox, width int, tokens []int32, dedup string) (n int, score float64) {
	type unit struct {
		context [8]int32
		token   int32
	}
	seen := map[unit]bool{}
	for i, token := range tokens {
		u := unit{token: token}
		for j := range width {
			u.context[j] = -1
			if at := i - width + j; at >= 0 {
				u.context[j] = tokens[at]
			}
		}
		key := u
		if dedup == "context" {
			key.token = 0
		}
		if dedup != "none" && seen[key] {
			continue
		}
		seen[key] = true
		p.SetWindow(u.context[:width])
		uniform := float32(float64(p.Word(token)>>8+1) / (1<<24 + 1))
		score -= math.Log1p(-float64(uniform))
		n++
	}
	return n, score
}
