package prf

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// bitsOf writes g-values as the files do, layer 0 first.
func bitsOf(g uint64, n int) string {
	b := make([]byte, n)
	for l := range b {
		b[l] = '0' + byte(g>>l&1)
	}
	return string(b)
}

// nearly is relative closeness, tolerance as the vectors' README has it.
func nearly(got, want, tolerance float64) bool {
	return math.Abs(got-want) <= tolerance*math.Max(1, math.Abs(want))
}

func TestVectorSynthID(t *testing.T) {
	t.Parallel()
	type scored struct {
		G    []string    `json:"g_values"`
		Mask string      `json:"context_repetition_mask"`
		Mean float64     `json:"mean_score"`
		Keys [][]decimal `json:"ngram_keys_int64_first2x3"`
		IV   decimal     `json:"hash_iv"`
	}
	var v struct {
		Configs []struct {
			Keys      []decimal
			Ngram     int    `json:"ngram_len"`
			History   int    `json:"context_history_size"`
			Vocab     int    `json:"vocab"`
			TableSeed uint64 `json:"sampling_table_seed"`
			Sequences []struct {
				Tokens []int32
				HF     scored
				DM     scored `json:"deepmind_v0.2.1_hash_fix"`
			}
		}
	}
	peerVectors(t, "synthid.json", &v)
	if len(v.Configs) == 0 {
		t.Fatal("no configurations")
	}
	for _, c := range v.Configs {
		keys := make([]int64, len(c.Keys))
		for l, k := range c.Keys {
			keys[l] = int64(k)
		}
		h := c.Ngram - 1
		for _, table := range []*SynthIDTable{NewSynthIDTable(c.TableSeed), nil} {
			g := NewSynthID(keys, table)
			t.Run(fmt.Sprintf("%v,V=%d,history=%d", g, c.Vocab, c.History), func(t *testing.T) {
				t.Parallel()
				for _, s := range c.Sequences {
					want := s.HF
					if table == nil {
						want = s.DM
						if g.iv != uint64(want.IV) {
							t.Errorf("IV %d, want %d", g.iv, uint64(want.IV))
						}
					}
					if len(want.G) != len(s.Tokens)-h {
						t.Fatalf("%d rows of g-values for %d tokens", len(want.G), len(s.Tokens))
					}
					ring := make([]int64, c.History) // of zeros, as theirs
					var mask []bool
					var ones, rows float64
					for i := range want.G {
						window, token := s.Tokens[i:i+h], s.Tokens[i+h]
						g.SetWindow(window)
						values := g.G(token)
						row := bitsOf(values, len(keys))
						if row != want.G[i] {
							t.Fatalf("g-values of %d after %v: %s, want %s", token, window, row, want.G[i])
						}
						fresh := !slices.Contains(ring, g.Context())
						mask = append(mask, fresh)
						ring = append(ring[1:], g.Context())
						if fresh {
							rows++
							ones += float64(strings.Count(row, "1"))
						}
					}
					if got := bitString(mask); got != want.Mask {
						t.Errorf("repetition mask %s, want %s", got, want.Mask)
					}
					if mean := ones / rows / float64(len(keys)); !nearly(mean, want.Mean, 1e-12) {
						t.Errorf("mean %v, want %v", mean, want.Mean)
					}
					for i, row := range want.Keys {
						g.SetWindow(s.Tokens[i : i+h])
						hash := lcg(g.context, uint64(s.Tokens[i+h]))
						for l, k := range row {
							if got := lcg(hash, uint64(keys[l])); got != uint64(k) {
								t.Errorf("key %d of n-gram %d: %d, want %d", l, i, int64(got), int64(k))
							}
						}
					}
				}
			})
		}
	}
}

// brick is one configuration of three_bricks or radioactive-watermark.
type brick struct {
	Ngram int
	Seed  uint64
	Salt  uint64 `json:"salt_key"`
	Gamma float64
	Vocab int
}

func (b brick) prefix() *Randperm { return NewRandperm(b.Vocab, greenCount(b.Vocab, b.Gamma)) }

func (b brick) seed(window []int32) uint64 { return ThreeBricksSeed(b.Seed, b.Salt, window) }

// increments are the score increments of a token under payloads 0 .. n-1: the
// value of payload j is that of token+j. Green lists give 0 or 1, the Gumbel
// detectors -ln(1-u).
func (b brick) increments(p *Randperm, detector string, window []int32, token int32, n int) []float64 {
	seed := b.seed(window)
	out := make([]float64, n)
	tokens := make([]int32, n)
	for j := range tokens {
		tokens[j] = (token + int32(j)) % int32(b.Vocab)
	}
	if strings.HasPrefix(detector, "maryland") {
		has := make([]bool, n)
		p.HasEach(seed, tokens, has)
		for j, h := range has {
			if h {
				out[j] = 1
			}
		}
		return out
	}
	for j, token := range tokens {
		m := NewMT19937(seed)
		m.Skip(int(token))
		out[j] = -math.Log1p(-float64(m.Float32()))
	}
	return out
}

func TestVectorThreeBricks(t *testing.T) {
	t.Parallel()
	var v struct {
		Configs []struct {
			brick
			Contexts []struct {
				Ngram  []int32
				Seed   decimal
				First  []int32   `json:"greenlist_first10"`
				SHA256 string    `json:"greenlist_sha256_int32le"`
				Rand   []float64 `json:"rand_first5"`
				RandSH string    `json:"rand_sha256_f32le"`
			}
			Steps []struct {
				Vocab   int
				Tokens  []int32 `json:"ngram_tokens"`
				Payload int32
				Count   int     `json:"maryland_biased_count"`
				First   []int32 `json:"maryland_biased_first10"`
				SHA256  string  `json:"maryland_biased_sha256_int32le_sorted"`
			} `json:"generator_steps"`
			Sequences []struct {
				Tokens  []int32
				Results []struct {
					Detector string
					Method   string    `json:"scoring_method"`
					N        int       `json:"ntoks"`
					Sums     []float64 `json:"score_sum_by_payload"`
				}
			}
		}
	}
	peerVectors(t, "three_bricks.json", &v)
	if len(v.Configs) == 0 {
		t.Fatal("no configurations")
	}
	for _, c := range v.Configs {
		t.Run(fmt.Sprintf("ngram=%d,seed=%d,V=%d", c.Ngram, c.Seed, c.Vocab), func(t *testing.T) {
			t.Parallel()
			p := c.prefix()
			for _, x := range c.Contexts {
				seed := c.seed(x.Ngram)
				if seed != uint64(x.Seed) {
					t.Errorf("seed of %v is %d, want %d", x.Ngram, seed, uint64(x.Seed))
				}
				listed{x.First, x.SHA256}.check(t, fmt.Sprint(x.Ngram), p.List(nil, seed))
				m := NewMT19937(seed)
				u := make([]float32, c.Vocab)
				for i := range u {
					u[i] = m.Float32()
				}
				for i, want := range x.Rand {
					if float64(u[i]) != want {
						t.Errorf("uniform %d of %v: %v, want %v", i, x.Ngram, u[i], want)
					}
				}
				if got := digestF32(u); got != x.RandSH {
					t.Errorf("uniforms of %v: %s, want %s", x.Ngram, got, x.RandSH)
				}
			}
			for _, x := range c.Steps {
				b := c.brick
				b.Vocab = x.Vocab
				raised := b.prefix().List(nil, b.seed(x.Tokens))
				for i := range raised {
					raised[i] = (raised[i] - x.Payload + int32(b.Vocab)) % int32(b.Vocab)
				}
				slices.Sort(raised)
				if len(raised) != x.Count {
					t.Errorf("%d ids raised, want %d", len(raised), x.Count)
				}
				listed{x.First, x.SHA256}.check(t, fmt.Sprintf("%v, payload %d", x.Tokens, x.Payload), raised)
			}
			for _, s := range c.Sequences {
				type key struct {
					detector string
					at       int
				}
				memo := map[key][]float64{} // detectors with and without z score alike
				for _, r := range s.Results {
					kind := strings.TrimSuffix(r.Detector, "z")
					sums := make([]float64, len(r.Sums))
					seen := map[string]bool{}
					n := 0
					for i := c.Ngram + 1; i < len(s.Tokens); i++ {
						window := s.Tokens[i-c.Ngram : i]
						unit := map[string]string{
							"none": strconv.Itoa(i), "v1": fmt.Sprint(window), "v2": fmt.Sprint(window, s.Tokens[i]),
						}[r.Method]
						if seen[unit] {
							continue
						}
						seen[unit] = true
						n++
						inc, ok := memo[key{kind, i}]
						if !ok {
							inc = c.increments(p, kind, window, s.Tokens[i], len(r.Sums))
							memo[key{kind, i}] = inc
						}
						for j, x := range inc {
							sums[j] += x
						}
					}
					if n != r.N {
						t.Errorf("%s, %s: %d tokens, want %d", r.Detector, r.Method, n, r.N)
					}
					for j, want := range r.Sums {
						// Theirs adds float32 logarithms.
						if !nearly(sums[j], want, 3e-6) {
							t.Errorf("%s, %s, payload %d: %v, want %v", r.Detector, r.Method, j, sums[j], want)
						}
					}
				}
			}
		})
	}
}

func TestVectorRadioactive(t *testing.T) {
	t.Parallel()
	var v struct {
		Configs []struct {
			brick
			Texts, Prompts [][]int32
			FilterSize     int `json:"filter_size"`
			Results        []struct {
				Detector string
				Method   string `json:"scoring_method"`
				Prompts  bool   `json:"exclude_prompt_windows"`
				Filter   bool   `json:"filter_even_windows"`
				N        int    `json:"n_scored"`
				Sum      float64
				Mask     string `json:"mask_sha256"`
			}
		}
	}
	peerVectors(t, "radioactive.json", &v)
	if len(v.Configs) == 0 {
		t.Fatal("no configurations")
	}
	for _, c := range v.Configs {
		t.Run(fmt.Sprintf("ngram=%d,seed=%d,V=%d", c.Ngram, c.Seed, c.Vocab), func(t *testing.T) {
			t.Parallel()
			p := c.prefix()
			var windows [][]int32
			for _, text := range c.Texts {
				for i := c.Ngram; i < len(text); i++ {
					windows = append(windows, text[i-c.Ngram:i])
				}
			}
			slices.SortFunc(windows, slices.Compare)
			windows = slices.CompactFunc(windows, slices.Equal)
			filter := map[string]bool{}
			for i := 0; i < len(windows); i += 2 {
				filter[fmt.Sprint(windows[i])] = true
			}
			if len(filter) != c.FilterSize {
				t.Fatalf("filter of %d windows, want %d", len(filter), c.FilterSize)
			}
			for _, r := range c.Results {
				seen := map[string]bool{}
				var mask []byte
				var sum float64
				n := 0
				for k, text := range c.Texts {
					prompt := map[string]bool{}
					for i := c.Ngram; r.Prompts && i < len(c.Prompts[k]); i++ {
						prompt[fmt.Sprint(c.Prompts[k][i-c.Ngram:i])] = true
					}
					for i := c.Ngram + 1; i < len(text); i++ {
						window := text[i-c.Ngram : i]
						name, unit := fmt.Sprint(window), fmt.Sprint(window)
						if r.Method == "v2" {
							unit = fmt.Sprint(window, text[i])
						}
						if r.Method != "none" && (seen[unit] || prompt[name] || r.Filter && !filter[name]) {
							mask = append(mask, '0')
							continue
						}
						seen[unit] = true
						mask = append(mask, '1')
						n++
						sum += c.increments(p, r.Detector, window, text[i], 1)[0]
					}
				}
				if n != r.N || digestBytes(mask) != r.Mask || !nearly(sum, r.Sum, 3e-6) {
					t.Errorf("%+v: n %d, sum %v, mask %s", r, n, sum, digestBytes(mask))
				}
			}
		})
	}
}

func TestVectorTextSeal(t *testing.T) {
	t.Parallel()
	var v struct {
		Configs []struct {
			Key   int64 `json:"secret_key"`
			Ngram int
			Gamma float32
			Depth int32
			Vocab int
			PRF   []struct {
				Window, Targets []int32
				Uniform         []int32   `json:"uniform_times_8191"`
				F32             []float64 `json:"uniform_f32"`
				Binary          []int32
			}
			Sequences []struct {
				Tokens  []int32
				Results []struct {
					Detector, Mask string
					Method         string `json:"scoring_method"`
					N              int
					Sum            float64
					Scores         any
				}
			}
		}
	}
	peerVectors(t, "textseal.json", &v)
	if len(v.Configs) == 0 {
		t.Fatal("no configurations")
	}
	for _, c := range v.Configs {
		t.Run(fmt.Sprintf("key=%d,ngram=%d,V=%d", c.Key, c.Ngram, c.Vocab), func(t *testing.T) {
			t.Parallel()
			uniform := func(window []int32, token int32) float32 {
				return float32(TextSeal(window, token, c.Key)) / TextSealLevels
			}
			for _, x := range c.PRF {
				for i, token := range x.Targets {
					u := uniform(x.Window, token)
					green := int32(0)
					if u < c.Gamma {
						green = 1
					}
					if got := TextSeal(x.Window, token, c.Key); got != x.Uniform[i] || float64(u) != x.F32[i] || green != x.Binary[i] {
						t.Errorf("%d after %v: %d, %v, %d, want %d, %v, %d",
							token, x.Window, got, u, green, x.Uniform[i], x.F32[i], x.Binary[i])
					}
				}
			}
			checked := 0
			for _, s := range c.Sequences {
				for _, r := range s.Results {
					score := func(window []int32, token int32) float64 {
						switch r.Detector {
						case "greenlist":
							if uniform(window, token) < c.Gamma {
								return 1
							}
							return 0
						case "gumbelmax":
							return -math.Log1p(-float64(uniform(window, token)))
						}
						var ones float64
						for l := range c.Depth {
							if uniform(window, token+l) < c.Gamma {
								ones++
							}
						}
						return ones
					}
					if r.Scores == nil || r.Detector == "synthid-weighted" {
						continue // weights are a detector's, not the hash's
					}
					checked++
					var sum float64
					n := 0
					for i := c.Ngram + 1; i < len(s.Tokens); i++ {
						got := score(s.Tokens[i-c.Ngram:i], s.Tokens[i])
						var want float64
						switch scores := r.Scores.(type) {
						case string:
							want = float64(scores[n] - '0')
						case []any:
							want = scores[n].(float64)
						}
						if !nearly(got, want, 1e-6) {
							t.Fatalf("%s: score %d is %v, want %v", r.Detector, n, got, want)
						}
						sum += got
						n++
					}
					if r.Method == "none" && (n != r.N || !nearly(sum, r.Sum, 3e-6)) {
						t.Errorf("%s: n %d, sum %v, want %d, %v", r.Detector, n, sum, r.N, r.Sum)
					}
				}
			}
			if checked == 0 {
				t.Error("no score lists")
			}
		})
	}
}

func TestVectorMarkLLM(t *testing.T) {
	t.Parallel()
	var v struct {
		Configs []struct {
			Algorithm string
			Scheme    MarkLLMScheme `json:"f_scheme"`
			Prefix    int           `json:"prefix_length"`
			Key       int64         `json:"hash_key"`
			Gamma     float64
			Vocab     int
			Mask      string
			Contexts  []struct {
				Context []int32
				Seed    decimal
				listed
			}
			Sequences []struct {
				Tokens []int32
				Flags  any
				PValue float64 `json:"p_value"`
			}
		}
	}
	peerVectors(t, "markllm.json", &v)
	if len(v.Configs) == 0 {
		t.Fatal("no configurations")
	}
	flags := func(f any) (out string) {
		switch f := f.(type) {
		case string:
			return f
		case []any:
			for _, x := range f {
				if x.(float64) >= 0 { // -1 is a token of the prefix
					out += strconv.Itoa(int(x.(float64)))
				}
			}
		}
		return out
	}
	for _, c := range v.Configs {
		t.Run(fmt.Sprintf("%s,%s,prefix=%d,V=%d", c.Algorithm, c.Scheme, c.Prefix, c.Vocab), func(t *testing.T) {
			t.Parallel()
			last := func(ids []int32) []int32 { return ids[len(ids)-c.Prefix:] }
			switch c.Algorithm {
			case "KGW":
				rule := NewMarkLLM(c.Scheme, c.Key, c.Vocab)
				p := NewRandperm(c.Vocab, greenCount(c.Vocab, c.Gamma))
				for _, x := range c.Contexts {
					seed := rule.Seed(last(x.Context))
					if seed != uint64(x.Seed) {
						t.Errorf("seed of %v is %d, want %d", x.Context, seed, uint64(x.Seed))
					}
					x.check(t, fmt.Sprint(x.Context), p.List(nil, seed))
				}
				for _, s := range c.Sequences {
					var hits []bool
					for i := c.Prefix; i < len(s.Tokens); i++ {
						hits = append(hits, p.Has(rule.Seed(last(s.Tokens[:i])), s.Tokens[i]))
					}
					if got, want := bitString(hits), flags(s.Flags); got != want {
						t.Errorf("hits %s, want %s", got, want)
					}
				}
			case "Unigram":
				mask := UnigramMask(c.Key, c.Gamma, c.Vocab)
				green := func(token int32) bool { return mask[token/64]>>(token%64)&1 == 1 }
				var all []bool
				for token := range int32(c.Vocab) {
					all = append(all, green(token))
				}
				if got := bitString(all); got != c.Mask {
					t.Errorf("mask %s, want %s", got, c.Mask)
				}
				for _, s := range c.Sequences {
					var hits []bool
					for _, token := range s.Tokens {
						hits = append(hits, green(token))
					}
					if got, want := bitString(hits), flags(s.Flags); got != want {
						t.Errorf("hits %s, want %s", got, want)
					}
				}
			case "EXP":
				for _, s := range c.Sequences {
					var sum float64
					for i := c.Prefix; i < len(s.Tokens); i++ {
						m := NewMT19937(MarkLLMEXPSeed(c.Key, c.Vocab, last(s.Tokens[:i])))
						m.Skip(int(s.Tokens[i]))
						sum -= math.Log1p(-float64(m.Float32()))
					}
					// P(Gamma(n, 1) >= sum) is a Poisson sum's lower tail.
					n := len(s.Tokens) - c.Prefix
					term, p := math.Exp(-sum), 0.0
					for k := range n {
						p += term
						term *= sum / float64(k+1)
					}
					if !nearly(p, s.PValue, 1e-6) {
						t.Errorf("p %v, want %v", p, s.PValue)
					}
				}
			default:
				t.Fatalf("algorithm %q", c.Algorithm)
			}
		})
	}
}

func TestVectorSGLang(t *testing.T) {
	t.Parallel()
	var v struct {
		Published []struct {
			Key         string
			Context     []int32
			Token       int32
			ContextHash uint32 `json:"context_hash"`
			Hash        uint32
		}
		Configs []struct {
			Key        decimal
			Vocab      int `json:"vocab_size"`
			Width      int `json:"context_width"`
			Tokens     []int32
			FirstWords []struct {
				Context     []int32
				Token       int32
				Word        uint32
				ContextHash uint32 `json:"context_hash"`
			} `json:"first_words"`
			Results map[string]struct {
				N     int
				Score float64
			}
		}
	}
	peerVectors(t, "sglang.json", &v)
	if len(v.Published) == 0 || len(v.Configs) == 0 {
		t.Fatalf("%d published, %d configurations", len(v.Published), len(v.Configs))
	}
	for _, c := range v.Published {
		t.Run("published/"+c.Key, func(t *testing.T) {
			t.Parallel()
			key, err := strconv.ParseUint(c.Key, 0, 64)
			if err != nil {
				t.Fatal(err)
			}
			m := NewMurmur3(key)
			m.SetWindow(c.Context)
			if m.Context() != c.ContextHash || m.Word(c.Token) != c.Hash {
				t.Errorf("%d, %d, want %d, %d", m.Context(), m.Word(c.Token), c.ContextHash, c.Hash)
			}
		})
	}
	for _, c := range v.Configs {
		t.Run(fmt.Sprintf("width=%d,V=%d", c.Width, c.Vocab), func(t *testing.T) {
			t.Parallel()
			m := NewMurmur3(uint64(c.Key))
			for _, x := range c.FirstWords {
				m.SetWindow(x.Context)
				if m.Context() != x.ContextHash || m.Word(x.Token) != x.Word {
					t.Errorf("%d after %v: %d, %d, want %d, %d",
						x.Token, x.Context, m.Context(), m.Word(x.Token), x.ContextHash, x.Word)
				}
			}
			for rule, want := range c.Results {
				seen := map[string]bool{}
				var sum float64
				n := 0
				for i, token := range c.Tokens {
					window := c.Tokens[max(0, i-c.Width):i]
					unit := map[string]string{
						"none": strconv.Itoa(i), "context": fmt.Sprint(window), "pair": fmt.Sprint(window, token),
					}[rule]
					if seen[unit] {
						continue
					}
					seen[unit] = true
					n++
					m.SetWindow(window)
					sum -= math.Log1p(-(float64(m.Word(token)) + 0.5) / (1 << 32))
				}
				if n != want.N || !nearly(sum, want.Score, 1e-9) {
					t.Errorf("%s: n %d, score %v, want %d, %v", rule, n, sum, want.N, want.Score)
				}
			}
		})
	}
}
