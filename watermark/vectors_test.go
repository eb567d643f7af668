package watermark

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stillmark/stillmark/watermark/evidence"
	"github.com/stillmark/stillmark/watermark/prf"
)

// The vectors were made by running the peers: testdata/vectors/README.md. Keys,
// widths and vocabularies come from the files. STILLMARK_VECTORS names another
// folder: of the files known here, what it lacks is skipped by name.

var knownVectors = []string{
	"hf_kgw.json", "lm_watermarking.json", "synthid.json", "three_bricks.json", "radioactive.json",
	"textseal.json", "markllm.json", "vllm.json", "sglang.json", "torch_rng.json", "e2e_*.json",
}

func vectorFolder() string {
	if dir := os.Getenv("STILLMARK_VECTORS"); dir != "" {
		return dir
	}
	return filepath.Join("testdata", "vectors")
}

// loadVectors reads a file, or skips the test that needs it.
func loadVectors(t *testing.T, name string, v any) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(vectorFolder(), name))
	if errors.Is(err, fs.ErrNotExist) {
		t.Skipf("%s is not in %s", name, vectorFolder())
	}
	if err == nil {
		err = json.Unmarshal(data, v)
	}
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

func TestVectorFolder(t *testing.T) {
	t.Parallel()
	found := 0
	for _, name := range knownVectors {
		files, err := filepath.Glob(filepath.Join(vectorFolder(), name))
		if err != nil {
			t.Fatal(err)
		}
		if len(files) == 0 {
			t.Logf("%s holds no %s: its tests are skipped", vectorFolder(), name)
		}
		found += len(files)
	}
	if found == 0 {
		t.Fatalf("%s holds none of the vectors %s", vectorFolder(), strings.Join(knownVectors, ", "))
	}
}

// num is a number that may be written as a string.
type num float64

func (n *num) UnmarshalJSON(data []byte) error {
	s := strings.Trim(string(data), `"`)
	f, err := strconv.ParseFloat(s, 64)
	*n = num(f)
	return err
}

func text(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	case []any:
		var list []string
		for _, x := range v {
			list = append(list, text(x))
		}
		return strings.Join(list, ",")
	}
	return fmt.Sprint(v)
}

// imported is the scheme of a preset under the parameters of a file.
func imported(t testing.TB, scheme string, vocab int, params map[string]string) Scheme {
	t.Helper()
	k, err := Import(Spec{Scheme: scheme, Vocab: vocab}, params, new(counting))
	if err != nil {
		t.Fatal(err)
	}
	s, err := k.Mark()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// tally scores every position of a text by a rule of repetition.
func tally(s Scheme, tokens []int32, rule string) (n int64, score float64, hits string) {
	seen := map[string]bool{}
	for i, token := range tokens {
		window, ok := s.WindowOf(tokens[:i])
		if !ok {
			continue
		}
		unit := fmt.Sprint(window)
		if rule == peerPair {
			unit = fmt.Sprint(window, token)
		}
		if seen[unit] && rule != peerNone {
			continue
		}
		seen[unit] = true
		x := s.Score(window, token)
		n++
		score += x
		hits += strconv.Itoa(min(int(x), 9))
	}
	return n, score, hits
}

// peer is what the Detector makes of a text under the peer's rule.
func peer(s Scheme, tokens []int32) Detection {
	d := NewDetector(s, Options{Dedup: DedupPeer})
	d.Add(Item{Tokens: tokens})
	return d.Result()
}

// within reports whether two numbers agree to a relative tolerance.
func within(got, want, tolerance float64) bool {
	return got == want || math.Abs(got-want) <= tolerance*max(math.Abs(want), 1e-300)
}

func zScore(green, n, gamma float64) float64 {
	return (green - gamma*n) / math.Sqrt(n*gamma*(1-gamma))
}

func idsHash(ids []int32) string {
	h := sha256.New()
	binary.Write(h, binary.LittleEndian, ids)
	return hex.EncodeToString(h.Sum(nil))
}

func scoresHash(scores []float32) string {
	h := sha256.New()
	binary.Write(h, binary.LittleEndian, scores)
	return hex.EncodeToString(h.Sum(nil))
}

// toyScores are the vectors' scores: MT19937's outputs as multiples of 2^-24.
func toyScores(seed uint64, vocab int, scale float64) []float32 {
	g := prf.NewMT19937(seed)
	scores := make([]float32, vocab)
	for i := range scores {
		scores[i] = float32(float64(g.Uint32()&0xFFFFFF)/(1<<24)*(2*scale) - scale)
	}
	return scores
}

// biased are the ids that Process changes, in order, and the processed scores.
func biased(s Scheme, history []int32, scores []float32) ([]int32, []float32) {
	after := slices.Clone(scores)
	s.Process(history, after)
	var ids []int32
	for i := range scores {
		if scores[i] != after[i] {
			ids = append(ids, int32(i))
		}
	}
	return ids, after
}

// greenList is the list of a preset under a seed, sorted.
func greenList(s Scheme, seed uint64) (ids []int32) {
	g := s.(*green)
	g.list(seed, s.Spec().Vocab, func(token int32) { ids = append(ids, token) })
	slices.Sort(ids)
	return ids
}

type vectorStep struct {
	InputIDs []int32 `json:"input_ids"`
	Seed     uint64  `json:"scores_seed"`
	Scale    float64 `json:"scores_scale"`
	Count    int     `json:"biased_count"`
	SHA      string  `json:"biased_sha256_int32le_sorted"`
	First    []int32 `json:"biased_first10_sorted"`
	Scores   string  `json:"processed_sha256_f32le"`
}

func checkSteps(t *testing.T, s Scheme, vocab int, steps []vectorStep) {
	t.Helper()
	for i, p := range steps {
		ids, after := biased(s, p.InputIDs, toyScores(p.Seed, vocab, p.Scale))
		if len(ids) != p.Count || idsHash(ids) != p.SHA || scoresHash(after) != p.Scores {
			t.Errorf("processor step %d: %d biased, first %v; want %d, first %v", i, len(ids), ids[:min(10, len(ids))], p.Count, p.First)
		}
	}
}

type vectorContext struct {
	Context []int32 `json:"context"`
	Seed    string  `json:"seed"`
	First   []int32 `json:"first10"`
	SHA     string  `json:"sha256_int32le"`
}

// checkContexts compares seeds (in what the generator sees of them) and lists.
// self: the context's last token is the candidate.
func checkContexts(t *testing.T, s Scheme, contexts []vectorContext, self bool) {
	t.Helper()
	g := s.(*green)
	for _, c := range contexts {
		seed, err := strconv.ParseUint(c.Seed, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		window, token := c.Context, int32(-1)
		if self {
			token = window[len(window)-1]
			window = window[:len(window)-1]
		}
		window = window[max(0, len(window)-s.Window()):]
		if got := g.seedOf(window, token); got != uint64(uint32(seed)) {
			t.Errorf("context %v: seed %d, want %d", c.Context, got, uint32(seed))
		}
		p := g.colours.(*permuted)
		inOrder := p.perm.List(nil, seed)
		if idsHash(inOrder) != c.SHA || !slices.Equal(inOrder[:len(c.First)], c.First) {
			t.Errorf("context %v: list begins with %v, want %v", c.Context, inOrder[:min(len(inOrder), len(c.First))], c.First)
		}
		slices.Sort(inOrder)
		if !slices.Equal(greenList(s, seed), inOrder) {
			t.Errorf("context %v: the bitmap's list differs from the permutation's", c.Context)
		}
	}
}

func hfParams(c map[string]any) map[string]string {
	p := map[string]string{}
	for _, name := range []string{"hashing_key", "greenlist_ratio", "bias", "context_width"} {
		p[name] = text(c[name])
	}
	return p
}

func TestVectorHuggingFaceKGW(t *testing.T) {
	t.Parallel()
	type count struct {
		N     float64 `json:"num_tokens_scored"`
		Green float64 `json:"num_green_tokens"`
		Z     float64 `json:"z_score"`
	}
	var v struct {
		Configs []json.RawMessage `json:"configs"`
	}
	loadVectors(t, "hf_kgw.json", &v)
	for i, raw := range v.Configs {
		var params map[string]any
		var c struct {
			Vocab     int             `json:"vocab_size"`
			Seeding   string          `json:"seeding_scheme"`
			Gamma     float64         `json:"greenlist_ratio"`
			Contexts  []vectorContext `json:"contexts"`
			Sequences []struct {
				Tokens []int32 `json:"tokens"`
				Plain  count   `json:"ignore_repeated_ngrams_false"`
				Hits   string  `json:"hits"`
				Dedup  count   `json:"true_dedup_not_from_hf"`
			} `json:"sequences"`
			Steps []vectorStep `json:"processor"`
		}
		mustUnmarshal(t, raw, &params, &c)
		if params["context_width"] == nil {
			params["context_width"] = float64(len(c.Contexts[0].Context))
		}
		t.Run(fmt.Sprintf("hf_kgw/%d-%s-w%s-v%d", i, c.Seeding, text(params["context_width"]), c.Vocab), func(t *testing.T) {
			t.Parallel()
			s := imported(t, "hf-kgw-"+c.Seeding, c.Vocab, hfParams(params))
			checkContexts(t, s, c.Contexts, c.Seeding == "selfhash")
			checkSteps(t, s, c.Vocab, c.Steps)
			for j, q := range c.Sequences {
				n, score, hits := tally(s, q.Tokens, peerNone)
				if float64(n) != q.Plain.N || score != q.Plain.Green || hits != q.Hits || !within(zScore(score, float64(n), c.Gamma), q.Plain.Z, 1e-9) {
					t.Errorf("sequence %d: %d of %d\n%s\nwant %+v\n%s", j, int(score), n, hits, q.Plain, q.Hits)
				}
				if r := peer(s, q.Tokens); r.N != n || r.Score != score {
					t.Errorf("sequence %d under the peer's rule: %v of %d", j, r.Score, r.N)
				}
				n, score, _ = tally(s, q.Tokens, peerPair)
				if float64(n) != q.Dedup.N || score != q.Dedup.Green {
					t.Errorf("sequence %d without repeats: %v of %d, want %+v", j, score, n, q.Dedup)
				}
			}
		})
	}
}

func mustUnmarshal(t *testing.T, data []byte, into ...any) {
	t.Helper()
	for _, v := range into {
		if err := json.Unmarshal(data, v); err != nil {
			t.Fatal(err)
		}
	}
}

func TestVectorLMWatermarking(t *testing.T) {
	t.Parallel()
	type count struct {
		N     float64 `json:"num_tokens_scored"`
		Green float64 `json:"num_green_tokens"`
		Z     float64 `json:"z_score"`
		P     float64 `json:"p_value"`
	}
	var v struct {
		Configs []struct {
			Seeding   string          `json:"seeding_scheme"`
			PRF       string          `json:"prf_type"`
			Width     int             `json:"context_width"`
			Self      bool            `json:"self_salt"`
			Key       num             `json:"hash_key"`
			Vocab     int             `json:"vocab_size"`
			Gamma     float64         `json:"gamma"`
			Delta     float64         `json:"delta"`
			Contexts  []vectorContext `json:"contexts"`
			Sequences []struct {
				Tokens []int32 `json:"tokens"`
				Dedup  count   `json:"ignore_repeated_ngrams_true"`
				Plain  count   `json:"ignore_repeated_ngrams_false"`
				Mask   string  `json:"green_token_mask"`
			} `json:"sequences"`
			Steps []vectorStep `json:"processor"`
		} `json:"configs"`
	}
	loadVectors(t, "lm_watermarking.json", &v)
	for i, c := range v.Configs {
		self := "False"
		if c.Self {
			self = "True"
		}
		long := fmt.Sprintf("ff-%s-%d-%s-%.0f", c.PRF, c.Width, self, float64(c.Key))
		for form, params := range map[string]map[string]string{
			c.Seeding: {"seeding": c.Seeding, "hash_key": fmt.Sprintf("%.0f", float64(c.Key))},
			"ff":      {"seeding": long},
		} {
			t.Run(fmt.Sprintf("lm_watermarking/%d-%s-v%d", i, form, c.Vocab), func(t *testing.T) {
				t.Parallel()
				params["gamma"], params["delta"] = text(c.Gamma), text(c.Delta)
				s := imported(t, "lm-watermarking", c.Vocab, params)
				checkContexts(t, s, c.Contexts, c.Self)
				checkSteps(t, s, c.Vocab, c.Steps)
				for j, q := range c.Sequences {
					n, score, hits := tally(s, q.Tokens, peerNone)
					if float64(n) != q.Plain.N || score != q.Plain.Green || hits != q.Mask ||
						!within(zScore(score, float64(n), c.Gamma), q.Plain.Z, 1e-9) {
						t.Errorf("sequence %d: %v of %d, want %+v\n%s\n%s", j, score, n, q.Plain, hits, q.Mask)
					}
					r := peer(s, q.Tokens)
					if float64(r.N) != q.Dedup.N || r.Score != q.Dedup.Green || !within(zScore(r.Score, float64(r.N), c.Gamma), q.Dedup.Z, 1e-9) {
						t.Errorf("sequence %d under the peer's rule: %v of %d, want %+v", j, r.Score, r.N, q.Dedup)
					}
					if p := .5 * math.Erfc(zScore(r.Score, float64(r.N), c.Gamma)/math.Sqrt2); !within(p, q.Dedup.P, 1e-9) {
						t.Errorf("sequence %d: the peer's p is %v, not %v", j, q.Dedup.P, p)
					}
				}
			})
		}
	}
}

func TestVectorSynthID(t *testing.T) {
	t.Parallel()
	type result struct {
		G    []string `json:"g_values"`
		Mask string   `json:"context_repetition_mask"`
		Mean float64  `json:"mean_score"`
		WM   float64  `json:"weighted_mean_score"`
	}
	var v struct {
		Configs []struct {
			Keys      any     `json:"keys"`
			Ngram     float64 `json:"ngram_len"`
			History   float64 `json:"context_history_size"`
			Vocab     int     `json:"vocab"`
			Size      float64 `json:"sampling_table_size"`
			Seed      float64 `json:"sampling_table_seed"`
			Sequences []struct {
				Tokens []int32 `json:"tokens"`
				HF     result  `json:"hf"`
				DM     result  `json:"deepmind_v0.2.1_hash_fix"`
			} `json:"sequences"`
			Processors []struct {
				Impl        string  `json:"impl"`
				Leaves      int     `json:"num_leaves"`
				Temperature float64 `json:"temperature"`
				TopK        int     `json:"top_k"`
				Vocab       int     `json:"vocab"`
				Scale       float64 `json:"scores_scale"`
				Steps       []struct {
					Seed      uint64    `json:"scores_seed"`
					IDs       []int32   `json:"topk_ids"`
					Out       []float64 `json:"out"`
					Unchanged bool      `json:"unchanged_because_context_repeated"`
					Next      int32     `json:"next_token_fed"`
				} `json:"steps"`
			} `json:"processors"`
		} `json:"configs"`
	}
	loadVectors(t, "synthid.json", &v)
	for i, c := range v.Configs {
		params := map[string]string{"keys": text(c.Keys), "ngram_len": text(c.Ngram), "context_history_size": text(c.History)}
		hf := map[string]string{"sampling_table_size": text(c.Size), "sampling_table_seed": text(c.Seed)}
		for k, x := range params {
			hf[k] = x
		}
		for _, impl := range []struct {
			name   string
			params map[string]string
		}{{"hf-synthid", hf}, {"dm-synthid-2025", params}} {
			t.Run(fmt.Sprintf("synthid/%d-%s-v%d", i, impl.name, c.Vocab), func(t *testing.T) {
				t.Parallel()
				s := imported(t, impl.name, c.Vocab, impl.params)
				depth := s.Law().Bits
				for j, q := range c.Sequences {
					want := q.HF
					if impl.name != "hf-synthid" {
						want = q.DM
					}
					var masked float64
					var mask strings.Builder
					h := s.Window()
					d := NewDetector(s, Options{Dedup: DedupPeer})
					d.add(Item{Tokens: q.Tokens}, func(i int, f Fate, x float64) {
						if f == FateShort {
							return
						}
						window := q.Tokens[i-h : i]
						s.(*rounds).enter(window)
						g := s.(*rounds).bits(q.Tokens[i])
						var got strings.Builder
						for l := range depth {
							fmt.Fprint(&got, g>>l&1)
						}
						if got.String() != want.G[i-h] {
							t.Errorf("sequence %d, position %d: g %s, want %s", j, i, got.String(), want.G[i-h])
						}
						if f == FateScored {
							masked += x
							mask.WriteByte('1')
						} else {
							mask.WriteByte('0')
						}
					})
					r := d.Result()
					if mask.String() != want.Mask || r.Score != masked || !within(r.Score/float64(r.N)/float64(depth), want.Mean, 1e-6) {
						t.Errorf("sequence %d: mask %s, mean %v; want %s, %v", j, mask.String(), r.Score/float64(r.N)/float64(depth), want.Mask, want.Mean)
					}
					heavy := NewDetector(s, Options{Dedup: DedupPeer, Statistic: StatisticWeightedMean})
					heavy.Add(Item{Tokens: q.Tokens})
					if w := heavy.Result(); w.N != r.N || w.Statistic != StatisticWeightedMean || !within(w.Score/float64(w.N)/float64(depth), want.WM, 1e-6) {
						t.Errorf("sequence %d: weighted mean %v of %d, want %v", j, w.Score/float64(w.N)/float64(depth), w.N, want.WM)
					}
					if r.Tail.Method != MethodDecoysOnly || r.Tail.Log10P != 0 || r.Log10E != 0 {
						t.Errorf("sequence %d: a score of correlated layers has %+v", j, r.Tail)
					}
				}
			})
		}
		for j, p := range c.Processors {
			t.Run(fmt.Sprintf("synthid/%d-processor-%d-%s-%d-leaves", i, j, p.Impl, p.Leaves), func(t *testing.T) {
				t.Parallel()
				name, given := "hf-synthid", map[string]string{"leaves": strconv.Itoa(p.Leaves)}
				for k, x := range hf {
					given[k] = x
				}
				if strings.Contains(p.Impl, "0.2.1") {
					name = "dm-synthid-2025"
					delete(given, "sampling_table_size")
					delete(given, "sampling_table_seed")
				}
				s := imported(t, name, p.Vocab, given)
				var history []int32
				for k, step := range p.Steps {
					scores := toyScores(step.Seed, p.Vocab, p.Scale)
					logits := make([]float32, len(step.IDs))
					for n, id := range step.IDs {
						logits[n] = scores[id] / float32(p.Temperature)
					}
					plain := slices.Clone(logits)
					s.ProcessCandidates(history, step.IDs, logits)
					if slices.Equal(plain, logits) != step.Unchanged {
						t.Errorf("step %d: unchanged %v, want %v", k, !step.Unchanged, step.Unchanged)
					}
					got, want := probabilities(logits), make([]float32, len(step.Out))
					for n, x := range step.Out {
						want[n] = float32(x)
					}
					for n, q := range probabilities(want) {
						if math.Abs(got[n]-q) > 1e-5+1e-2*q {
							t.Errorf("step %d, token %d: probability %v, want %v", k, step.IDs[n], got[n], q)
						}
					}
					history = append(history, step.Next)
				}
			})
		}
	}
}

func probabilities(logits []float32) []float64 { return softmax(logits) }

func TestVectorThreeBricks(t *testing.T) {
	t.Parallel()
	var v struct {
		Configs []struct {
			Ngram    float64 `json:"ngram"`
			Seed     num     `json:"seed"`
			Salt     float64 `json:"salt_key"`
			Gamma    float64 `json:"gamma"`
			Vocab    int     `json:"vocab"`
			Contexts []struct {
				Ngram []int32   `json:"ngram"`
				Seed  string    `json:"seed"`
				First []int32   `json:"greenlist_first10"`
				SHA   string    `json:"greenlist_sha256_int32le"`
				Rand  []float64 `json:"rand_first5"`
			} `json:"contexts"`
			Steps []struct {
				Vocab   int     `json:"vocab"`
				Ngram   []int32 `json:"ngram_tokens"`
				Payload float64 `json:"payload"`
				Seed    uint64  `json:"logits_seed"`
				Scale   float64 `json:"logits_scale"`
				Delta   float64 `json:"maryland_delta"`
				Count   int     `json:"maryland_biased_count"`
				SHA     string  `json:"maryland_biased_sha256_int32le_sorted"`
				Heat    float64 `json:"openai_temperature"`
				TopP    float64 `json:"openai_top_p"`
				Next    int32   `json:"openai_next_token"`
			} `json:"generator_steps"`
			Sequences []struct {
				Tokens  []int32 `json:"tokens"`
				Results []struct {
					Detector string    `json:"detector"`
					Method   string    `json:"scoring_method"`
					N        int64     `json:"ntoks"`
					Sums     []float64 `json:"score_sum_by_payload"`
					P        []num     `json:"pvalue_by_payload"`
					Decoded  int       `json:"decoded_payload"`
					Adjusted num       `json:"pvalue_adjusted_for_16"`
				} `json:"results"`
			} `json:"sequences"`
		} `json:"configs"`
		Grid []struct {
			N      int64   `json:"ntoks"`
			Score  float64 `json:"score"`
			Gamma  float64 `json:"gamma"`
			P      num     `json:"maryland"`
			G      float64 `json:"gumbel_score"`
			Openai num     `json:"openai"`
		} `json:"pvalue_grid"`
	}
	loadVectors(t, "three_bricks.json", &v)
	t.Run("three_bricks/pvalue_grid", func(t *testing.T) {
		t.Parallel()
		for _, g := range v.Grid {
			if p := math.Pow(10, evidence.Log10BinomialSF(int64(g.Score), g.N, g.Gamma)); !math.IsNaN(float64(g.P)) && !peerP(p, float64(g.P)) {
				t.Errorf("%+v: binomial %v", g, p)
			}
			if p := math.Pow(10, evidence.Log10GammaSF(g.N, g.G)); !peerP(p, float64(g.Openai)) {
				t.Errorf("%+v: gamma %v", g, p)
			}
		}
	})
	for i, c := range v.Configs {
		base := func(payload int) map[string]string {
			return map[string]string{
				"ngram": text(c.Ngram), "seed": fmt.Sprintf("%.0f", float64(c.Seed)), "salt_key": text(c.Salt),
				"payload": strconv.Itoa(payload),
			}
		}
		kgw := func(t *testing.T, vocab, payload int) Scheme {
			p := base(payload)
			p["gamma"] = text(c.Gamma)
			return imported(t, "three-bricks-kgw", vocab, p)
		}
		t.Run(fmt.Sprintf("three_bricks/%d-h%.0f-v%d", i, c.Ngram, c.Vocab), func(t *testing.T) {
			t.Parallel()
			s, g := kgw(t, c.Vocab, 0), imported(t, "three-bricks-gumbel", c.Vocab, base(0))
			for _, x := range c.Contexts {
				checkContexts(t, s, []vectorContext{{x.Ngram, x.Seed, x.First, x.SHA}}, false)
				for token, u := range x.Rand {
					if y := g.Score(x.Ngram, int32(token)); !within(y, -math.Log1p(-u), 1e-12) {
						t.Errorf("context %v: token %d scores %v under %v", x.Ngram, token, y, u)
					}
				}
			}
			for j, step := range c.Steps {
				s := kgw(t, step.Vocab, int(step.Payload))
				logits := toyScores(step.Seed, step.Vocab, step.Scale)
				if ids, _ := biased(s, step.Ngram, logits); len(ids) != step.Count || idsHash(ids) != step.SHA {
					t.Errorf("generator step %d: %d biased", j, len(ids))
				}
				ids, logits := nucleus(logits, step.Heat, step.TopP)
				g := imported(t, "three-bricks-gumbel", step.Vocab, base(int(step.Payload)))
				g.ProcessCandidates(step.Ngram, ids, logits)
				for n, x := range logits {
					if chosen := !math.IsInf(float64(x), -1); chosen != (ids[n] == step.Next) {
						t.Errorf("generator step %d: token %d chosen %v, want %d", j, ids[n], chosen, step.Next)
					}
				}
			}
			for j, q := range c.Sequences {
				for _, r := range q.Results {
					rule := map[string]string{"none": peerNone, "v1": peerContext, "v2": peerPair}[r.Method]
					best, at, whole := math.Inf(1), 0, true
					for payload, want := range r.Sums {
						var s Scheme
						if strings.HasPrefix(r.Detector, "maryland") {
							s = kgw(t, c.Vocab, payload)
						} else {
							s = imported(t, "three-bricks-gumbel", c.Vocab, base(payload))
						}
						n, score, _ := tally(s, q.Tokens, rule)
						if n != r.N || !within(score, want, 3e-6) {
							t.Fatalf("sequence %d, %s, %s, payload %d: %v of %d, want %v of %d", j, r.Detector, r.Method, payload, score, n, want, r.N)
						}
						tail := peerLaw(s, c.Gamma).Tail(want, evidence.Plain(n)) // the peer's own rounded sum
						if strings.HasSuffix(r.Detector, "z") {
							continue // no z-score becomes a p here
						}
						if tail.Log10P < best {
							best, at = tail.Log10P, payload
						}
						if math.IsNaN(float64(r.P[payload])) { // the peer's answer to a score of 0
							whole = false
							if want != 0 || tail.Log10P != 0 {
								t.Errorf("sequence %d, payload %d: score %v has log10 p %v", j, payload, want, tail.Log10P)
							}
						} else if p := math.Pow(10, tail.Log10P); !peerP(p, float64(r.P[payload])) {
							t.Errorf("sequence %d, %s, payload %d: p %v, want %v", j, r.Detector, payload, p, float64(r.P[payload]))
						}
						if rule == peerPair {
							if r := peer(s, q.Tokens); r.N != n || !within(r.Score, score, 1e-12) {
								t.Errorf("sequence %d, payload %d: the peer's rule gives %v of %d", j, payload, r.Score, r.N)
							}
						}
					}
					if rule == peerPair && whole && !strings.HasSuffix(r.Detector, "z") && (r.Detector != "maryland" || float64(int(c.Gamma*float64(c.Vocab))) == c.Gamma*float64(c.Vocab)) {
						params, name := base(0), "three-bricks-gumbel"
						if r.Detector == "maryland" {
							params["gamma"], name = text(c.Gamma), "three-bricks-kgw"
						}
						k, err := Import(Spec{Scheme: name, Vocab: c.Vocab}, params, new(counting))
						if err != nil {
							t.Fatal(err)
						}
						s, err := k.Mark()
						if err != nil {
							t.Fatal(err)
						}
						d := NewDetector(s, Options{Dedup: DedupPeer})
						d.Add(Item{Tokens: q.Tokens})
						got, err := d.Payloads(t.Context(), k, len(r.Sums))
						if p := math.Pow(10, got.Log10P); err != nil || got.Payload != r.Decoded || !within(p, float64(r.Adjusted), 1e-5) && p > 1e-190 {
							t.Errorf("sequence %d, %s: payload %d at p %v, want %d at %v (%v)", j, r.Detector, got.Payload, p, r.Decoded, float64(r.Adjusted), err)
						}
					}
					if !strings.HasSuffix(r.Detector, "z") && whole && at != r.Decoded {
						t.Errorf("sequence %d, %s: payload %d decoded, want %d", j, r.Detector, at, r.Decoded)
					}
				}
			}
		})
	}
}

// peerLaw is the law of a scheme with gamma itself for a list's rate, as peers
// compute with it.
func peerLaw(s Scheme, gamma float64) evidence.Law {
	if s.Law().Kind == evidence.KindBernoulli {
		return evidence.Bernoulli(gamma)
	}
	return s.Law()
}

// nominal is the gamma among parameters, 0 for none.
func nominal(params map[string]string) float64 {
	g, _ := strconv.ParseFloat(params["gamma"]+params["greenlist_ratio"], 64)
	return g
}

// peerP compares p-values; peers floor theirs at 1e-200.
func peerP(got, want float64) bool {
	return within(got, want, 1e-6) || got <= 1e-199 && want <= 1e-199
}

// nucleus are the candidates of temperature and top-p sampling, as logits.
func nucleus(scores []float32, temperature, topP float64) ([]int32, []float32) {
	heated := make([]float32, len(scores))
	order := make([]int32, len(scores))
	for i, x := range scores {
		heated[i], order[i] = float32(float64(x)/temperature), int32(i)
	}
	p := softmax(heated)
	slices.SortStableFunc(order, func(a, b int32) int {
		switch {
		case p[a] > p[b]:
			return -1
		case p[a] < p[b]:
			return 1
		}
		return 0
	})
	var sum float64
	var logits []float32
	for i, id := range order {
		if sum > topP {
			return order[:i], logits
		}
		sum += p[id]
		logits = append(logits, heated[id])
	}
	return order, logits
}

func TestVectorRadioactive(t *testing.T) {
	t.Parallel()
	var v struct {
		Configs []struct {
			Ngram   float64   `json:"ngram"`
			Seed    num       `json:"seed"`
			Salt    float64   `json:"salt_key"`
			Gamma   float64   `json:"gamma"`
			Vocab   int       `json:"vocab"`
			Texts   [][]int32 `json:"texts"`
			Prompts [][]int32 `json:"prompts"`
			Results []struct {
				Detector string  `json:"detector"`
				Method   string  `json:"scoring_method"`
				Exclude  bool    `json:"exclude_prompt_windows"`
				Filter   bool    `json:"filter_even_windows"`
				N        int64   `json:"n_scored"`
				Sum      float64 `json:"sum"`
				P        num     `json:"pvalue"`
				SHA      string  `json:"mask_sha256"`
			} `json:"results"`
		} `json:"configs"`
	}
	loadVectors(t, "radioactive.json", &v)
	for i, c := range v.Configs {
		t.Run(fmt.Sprintf("radioactive/%d-h%.0f-v%d", i, c.Ngram, c.Vocab), func(t *testing.T) {
			t.Parallel()
			params := map[string]string{"ngram": text(c.Ngram), "seed": fmt.Sprintf("%.0f", float64(c.Seed)), "salt_key": text(c.Salt)}
			gumbel := imported(t, "radioactive-gumbel", c.Vocab, params)
			params["gamma"] = text(c.Gamma)
			kgw := imported(t, "radioactive-kgw", c.Vocab, params)
			even := evenWindows(c.Texts, int(c.Ngram))
			checked := 0
			for _, r := range c.Results {
				s := gumbel
				if strings.HasPrefix(r.Detector, "maryland") {
					s = kgw
				}
				n, sum, mask := readStream(s, c.Texts, c.Prompts, r.Method, r.Exclude, r.Filter, even)
				digest := sha256.Sum256(mask)
				if n != r.N || !within(sum, r.Sum, 3e-6) || hex.EncodeToString(digest[:]) != r.SHA {
					t.Errorf("%+v: %v of %d", r, sum, n)
				}
				if !strings.HasSuffix(r.Detector, "z") {
					if p := math.Pow(10, peerLaw(s, c.Gamma).Tail(r.Sum, evidence.Plain(n)).Log10P); !peerP(p, float64(r.P)) {
						t.Errorf("%+v: p %v", r, p)
					}
				}
				if r.Method != "v2" {
					continue
				}
				opt := Options{Dedup: DedupPeer}
				if r.Filter {
					opt.Keep = func(window []int32) bool { return even[fmt.Sprint(window)] }
				}
				d := NewDetector(s, opt)
				for k, tokens := range c.Texts {
					it := Item{Tokens: tokens}
					if r.Exclude { // the peer leaves out the prompt's last window
						it.Prompt = c.Prompts[k][:len(c.Prompts[k])-1]
					}
					d.Add(it)
				}
				if got := d.Result(); got.N != n || !within(got.Score, sum, 1e-12) {
					t.Errorf("%+v: the Detector scores %v of %d", r, got.Score, got.N)
				}
				checked++
			}
			if checked == 0 {
				t.Error("no result was compared with the Detector's")
			}
		})
	}
}

// evenWindows is the vectors' filter: every second window in lexicographic order.
func evenWindows(texts [][]int32, h int) map[string]bool {
	seen := map[string][]int32{}
	for _, tokens := range texts {
		for i := h; i < len(tokens); i++ {
			seen[fmt.Sprint(tokens[i-h:i])] = tokens[i-h : i]
		}
	}
	var all [][]int32
	for _, w := range seen {
		all = append(all, w)
	}
	slices.SortFunc(all, slices.Compare[[]int32])
	even := map[string]bool{}
	for i := 0; i < len(all); i += 2 {
		even[fmt.Sprint(all[i])] = true
	}
	return even
}

// readStream scores the texts as one stream, in the plainest way.
func readStream(s Scheme, texts, prompts [][]int32, method string, exclude, filter bool, even map[string]bool) (n int64, sum float64, mask []byte) {
	if method == "none" {
		exclude, filter = false, false
	}
	seen := map[string]bool{}
	h := s.Window()
	for k, tokens := range texts {
		inPrompt := map[string]bool{}
		for i := h; exclude && i < len(prompts[k]); i++ { // the peer leaves out the prompt's last window
			inPrompt[fmt.Sprint(prompts[k][i-h:i])] = true
		}
		for i, token := range tokens {
			window, ok := s.WindowOf(tokens[:i])
			if !ok {
				continue
			}
			unit := fmt.Sprint(window)
			if inPrompt[unit] || filter && !even[unit] {
				mask = append(mask, '0')
				continue
			}
			if method == "v2" {
				unit = fmt.Sprint(window, token)
			}
			if method != "none" && seen[unit] {
				mask = append(mask, '0')
				continue
			}
			seen[unit] = true
			mask = append(mask, '1')
			n++
			sum += s.Score(window, token)
		}
	}
	return n, sum, mask
}

func TestVectorTextSeal(t *testing.T) {
	t.Parallel()
	var v struct {
		Configs []struct {
			Key   num     `json:"secret_key"`
			Ngram float64 `json:"ngram"`
			Gamma float64 `json:"gamma"`
			Depth float64 `json:"depth"`
			Vocab int     `json:"vocab"`
			PRF   []struct {
				Window  []int32 `json:"window"`
				Targets []int32 `json:"targets"`
				Levels  []int32 `json:"uniform_times_8191"`
				Binary  []int   `json:"binary"`
			} `json:"prf"`
			Sequences []struct {
				Tokens  []int32 `json:"tokens"`
				Results []struct {
					Detector string  `json:"detector"`
					Method   string  `json:"scoring_method"`
					Seen     bool    `json:"seen_windows"` // false: the rule has no effect
					N        int64   `json:"n"`
					Sum      float64 `json:"sum"`
					P        num     `json:"pvalue"`
					Mask     string  `json:"mask"`
				} `json:"results"`
			} `json:"sequences"`
		} `json:"configs"`
	}
	loadVectors(t, "textseal.json", &v)
	for i, c := range v.Configs {
		t.Run(fmt.Sprintf("textseal/%d-h%.0f-v%d", i, c.Ngram, c.Vocab), func(t *testing.T) {
			t.Parallel()
			base := func() map[string]string {
				return map[string]string{"secret_key": fmt.Sprintf("%.0f", float64(c.Key)), "ngram": text(c.Ngram)}
			}
			gumbel := imported(t, "textseal-gumbel", c.Vocab, base())
			p := base()
			p["gamma"] = text(c.Gamma)
			list := imported(t, "textseal-greenlist", c.Vocab, p)
			p["depth"] = text(c.Depth)
			synthid := imported(t, "textseal-synthid", c.Vocab, p)
			for _, x := range c.PRF {
				for k, target := range x.Targets {
					u := float64(float32(x.Levels[k]) / prf.TextSealLevels)
					if list.Score(x.Window, target) != float64(x.Binary[k]) || !within(gumbel.Score(x.Window, target), -math.Log1p(-u), 1e-12) {
						t.Errorf("window %v, target %d: green %v, score %v; want %d, level %d", x.Window, target,
							list.Score(x.Window, target), gumbel.Score(x.Window, target), x.Binary[k], x.Levels[k])
					}
				}
			}
			for j, q := range c.Sequences {
				for _, r := range q.Results {
					var s Scheme
					switch r.Detector {
					case "greenlist":
						s = list
					case "gumbelmax":
						s = gumbel
					case "synthid":
						s = synthid
					case "synthid-weighted":
						s = synthid.(*rounds).weighLayers()
					default:
						t.Fatalf("detector %q", r.Detector)
					}
					rule := map[string]string{"none": peerNone, "v1": peerContext, "v2": peerPair}[r.Method]
					if !r.Seen {
						rule = peerNone
					}
					n, score, _ := tally(s, q.Tokens, rule)
					if n != r.N || !within(score, r.Sum, 3e-6) {
						t.Errorf("sequence %d, %s, %s: %v of %d, want %v of %d", j, r.Detector, r.Method, score, n, r.Sum, r.N)
					}
					if rule == peerPair && r.Detector != "synthid-weighted" {
						if d := peer(s, q.Tokens); d.N != n || !within(d.Score, score, 1e-12) {
							t.Errorf("sequence %d, %s: the peer's rule gives %v of %d", j, r.Detector, d.Score, d.N)
						}
					}
				}
			}
		})
	}
}

func TestVectorMarkLLM(t *testing.T) {
	t.Parallel()
	var v struct {
		Configs []struct {
			Algorithm string          `json:"algorithm"`
			Window    string          `json:"window_scheme"`
			F         string          `json:"f_scheme"`
			Prefix    float64         `json:"prefix_length"`
			Key       num             `json:"hash_key"`
			Gamma     float64         `json:"gamma"`
			Vocab     int             `json:"vocab"`
			Contexts  []vectorContext `json:"contexts"`
			Mask      string          `json:"mask"`
			Sequences []struct {
				Tokens []int32         `json:"tokens"`
				Z      float64         `json:"z_score"`
				P      num             `json:"p_value"`
				Flags  json.RawMessage `json:"flags"`
			} `json:"sequences"`
		} `json:"configs"`
	}
	loadVectors(t, "markllm.json", &v)
	for i, c := range v.Configs {
		t.Run(fmt.Sprintf("markllm/%d-%s%s-h%.0f-v%d", i, c.Algorithm, c.F, c.Prefix, c.Vocab), func(t *testing.T) {
			t.Parallel()
			params := map[string]string{"hash_key": fmt.Sprintf("%.0f", float64(c.Key))}
			switch c.Algorithm {
			case "KGW":
				params["f_scheme"], params["prefix_length"], params["gamma"] = c.F, text(c.Prefix), text(c.Gamma)
				params["window_scheme"] = c.Window
				s := imported(t, "markllm-kgw", c.Vocab, params)
				checkContexts(t, s, c.Contexts, false)
				for j, q := range c.Sequences {
					var flags []int
					mustUnmarshal(t, q.Flags, &flags)
					want := ""
					for _, f := range flags {
						if f >= 0 {
							want += strconv.Itoa(f)
						}
					}
					n, score, hits := tally(s, q.Tokens, peerNone)
					if hits != want || !within(zScore(score, float64(n), c.Gamma), q.Z, 1e-9) {
						t.Errorf("sequence %d: z %v, want %v\n%s\n%s", j, zScore(score, float64(n), c.Gamma), q.Z, hits, want)
					}
				}
			case "Unigram":
				params["gamma"] = text(c.Gamma)
				s := imported(t, "markllm-unigram", c.Vocab, params)
				for token, bit := range c.Mask {
					if s.Score(nil, int32(token)) != float64(bit-'0') {
						t.Fatalf("token %d is not %c", token, bit)
					}
				}
				for j, q := range c.Sequences {
					r := peer(s, q.Tokens)
					if !within(zScore(r.Score, float64(r.N), c.Gamma), q.Z, 1e-9) {
						t.Errorf("sequence %d: z %v, want %v", j, zScore(r.Score, float64(r.N), c.Gamma), q.Z)
					}
				}
			case "EXP":
				params["prefix_length"] = text(c.Prefix)
				s := imported(t, "markllm-exp", c.Vocab, params)
				for j, q := range c.Sequences {
					r := peer(s, q.Tokens)
					if p := math.Pow(10, r.Tail.Log10P); !within(p, float64(q.P), 1e-6) {
						t.Errorf("sequence %d: p %v, want %v", j, p, float64(q.P))
					}
				}
			default:
				t.Errorf("algorithm %q is not known", c.Algorithm)
			}
		})
	}
}

func TestVectorSGLang(t *testing.T) {
	t.Parallel()
	type sum struct {
		N      int64   `json:"n"`
		Score  float64 `json:"score"`
		Log10P float64 `json:"log10_p"`
	}
	var v struct {
		Published []struct {
			Key     string  `json:"key"`
			Context []int32 `json:"context"`
			Token   int32   `json:"token"`
			Hash    uint32  `json:"hash"`
		} `json:"published"`
		Configs []struct {
			Key     string         `json:"key"`
			Width   int            `json:"context_width"`
			Vocab   int            `json:"vocab_size"`
			Tokens  []int32        `json:"tokens"`
			Results map[string]sum `json:"results"`
		} `json:"configs"`
	}
	loadVectors(t, "sglang.json", &v)
	for i, c := range v.Published {
		t.Run(fmt.Sprintf("sglang/published-%d", i), func(t *testing.T) {
			t.Parallel()
			s := imported(t, "sglang-gumbel", int(slices.Max(append(c.Context, c.Token)))+1, map[string]string{"key": c.Key, "context_width": strconv.Itoa(len(c.Context))})
			if got := s.(*gumbel).word(c.Context, c.Token); got != c.Hash {
				t.Errorf("hash %d, want %d", got, c.Hash)
			}
		})
	}
	for i, c := range v.Configs {
		t.Run(fmt.Sprintf("sglang/%d-w%d-v%d", i, c.Width, c.Vocab), func(t *testing.T) {
			t.Parallel()
			s := imported(t, "sglang-gumbel", c.Vocab, map[string]string{"key": c.Key, "context_width": strconv.Itoa(c.Width)})
			for rule, want := range c.Results {
				n, score, _ := tally(s, c.Tokens, rule)
				if p := s.Law().Tail(score, evidence.Plain(n)).Log10P; n != want.N || !within(score, want.Score, 1e-9) || !within(p, want.Log10P, 1e-9) {
					t.Errorf("%s: %v of %d, log10 p %v; want %+v", rule, score, n, p, want)
				}
				if rule == peerPair {
					d := NewDetector(s, Options{Weights: WeightsNone})
					d.Add(Item{Tokens: c.Tokens})
					if r := d.Result(); r.N != n || !within(r.Score, score, 1e-12) {
						t.Errorf("the Detector scores %v of %d", r.Score, r.N)
					}
				}
			}
		})
	}
}

// e2ePresets are the presets of the schemes in e2e files, by how their names begin.
var e2ePresets = []struct{ begins, preset string }{
	{"hf_lefthash", "hf-kgw-lefthash"},
	{"hf_selfhash", "hf-kgw-selfhash"},
	{"lmw_", "lm-watermarking"},
	{"hf_synthid", "hf-synthid"},
	{"dm_synthid", "dm-synthid-2025"},
	{"tb_maryland", "three-bricks-kgw"},
	{"tb_openai", "three-bricks-gumbel"},
	{"ts_greenlist", "textseal-greenlist"},
	{"ts_gumbel", "textseal-gumbel"},
	{"ts_synthid", "textseal-synthid"},
	{"ml_kgw", "markllm-kgw"},
	{"ml_unigram", "markllm-unigram"},
	{"ml_exp", "markllm-exp"},
}

// renamed are parameters that an e2e file calls otherwise.
var renamed = map[string]string{"seeding_scheme": "seeding", "num_leaves": "leaves"}

type e2eDetect map[string]json.RawMessage

// TestVectorEndToEnd reads text that each peer generated, and unmarked text, with
// generated tokens only, as the peers' detectors did.
func TestVectorEndToEnd(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join(vectorFolder(), "e2e_*.json"))
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		t.Skipf("no e2e_*.json is in %s", vectorFolder())
	}
	type sequence struct {
		Prompt []int32   `json:"prompt"`
		Tokens []int32   `json:"tokens"`
		Detect e2eDetect `json:"detect"`
	}
	for _, path := range files {
		var v struct {
			Parameters struct {
				Vocab int `json:"vocab"`
			} `json:"parameters"`
			Schemes map[string]struct {
				Parameters map[string]any `json:"parameters"`
				Sequences  []sequence     `json:"sequences"`
			} `json:"schemes"`
		}
		loadVectors(t, filepath.Base(path), &v)
		for name, scheme := range v.Schemes {
			if name == "unwatermarked" {
				continue
			}
			t.Run(strings.TrimSuffix(filepath.Base(path), ".json")+"/"+name, func(t *testing.T) {
				t.Parallel()
				i := slices.IndexFunc(e2ePresets, func(p struct{ begins, preset string }) bool { return strings.HasPrefix(name, p.begins) })
				if i < 0 {
					t.Fatalf("no preset is known for %s", name)
				}
				preset, _ := PresetByName(e2ePresets[i].preset)
				params := map[string]string{}
				for k, x := range scheme.Parameters {
					if other, ok := renamed[k]; ok {
						k = other
					}
					if slices.Contains(preset.ParamNames(), k) {
						params[k] = text(x)
					}
				}
				s := imported(t, preset.Name, v.Parameters.Vocab, params)
				for j, q := range scheme.Sequences {
					checkDetect(t, fmt.Sprintf("sequence %d", j), preset, s, params, q.Tokens, q.Detect, true)
				}
				for j, q := range v.Schemes["unwatermarked"].Sequences {
					if raw, ok := q.Detect[name]; ok {
						detect := e2eDetect{}
						mustUnmarshal(t, raw, &detect)
						checkDetect(t, fmt.Sprintf("unmarked sequence %d", j), preset, s, params, q.Tokens, detect, false)
					}
				}
			})
		}
	}
}

// checkDetect compares one text with what the peer's detector said of it.
func checkDetect(t *testing.T, what string, preset Preset, s Scheme, params map[string]string, tokens []int32, want e2eDetect, marked bool) {
	t.Helper()
	number := func(d e2eDetect, name string) float64 {
		t.Helper()
		var n num
		if d[name] == nil {
			t.Fatalf("%s: the file has no %s", what, name)
		}
		mustUnmarshal(t, d[name], &n)
		return float64(n)
	}
	equal := func(name string, got, want, tolerance float64) {
		t.Helper()
		if !within(got, want, tolerance) {
			t.Errorf("%s: %s %v, want %v", what, name, got, want)
		}
	}
	gamma := nominal(params)
	r := peer(s, tokens)
	d := NewDetector(s, Options{Weights: WeightsNone})
	d.Add(Item{Tokens: tokens})
	if own := d.Result(); marked && own.Tail.Method != MethodDecoysOnly && own.Tail.Log10P > -3 && preset.Name != "markllm-exp" {
		t.Errorf("%s: marked text has log10 p %v", what, own.Tail.Log10P)
	}
	switch {
	case strings.HasPrefix(preset.Name, "hf-kgw"):
		n, score, hits := tally(s, tokens, peerNone)
		var wantHits string
		mustUnmarshal(t, want["hits"], &wantHits)
		if hits != wantHits {
			t.Errorf("%s: hits %s, want %s", what, hits, wantHits)
		}
		equal("scored", float64(n), number(want, "num_tokens_scored"), 0)
		equal("green", score, number(want, "num_green_tokens"), 0)
		equal("z", zScore(r.Score, float64(r.N), gamma), number(want, "z_score"), 1e-9)
		n, score, _ = tally(s, tokens, peerPair)
		equal("distinct", float64(n), number(want, "dedup_T"), 0)
		equal("distinct green", score, number(want, "dedup_green"), 0)
	case preset.Name == "lm-watermarking":
		dedup, plain := e2eDetect{}, e2eDetect{}
		mustUnmarshal(t, want["dedup"], &dedup)
		mustUnmarshal(t, want["nodedup"], &plain)
		equal("scored", float64(r.N), number(dedup, "num_tokens_scored"), 0)
		equal("green", r.Score, number(dedup, "num_green_tokens"), 0)
		equal("z", zScore(r.Score, float64(r.N), gamma), number(dedup, "z_score"), 1e-9)
		n, score, _ := tally(s, tokens, peerNone)
		equal("scored with repeats", float64(n), number(plain, "num_tokens_scored"), 0)
		equal("green with repeats", score, number(plain, "num_green_tokens"), 0)
	case preset.Name == "hf-synthid" || preset.Name == "dm-synthid-2025":
		equal("unmasked", float64(r.N), number(want, "unmasked"), 0)
		equal("ones", r.Score, number(want, "g_sum"), 0)
		equal("mean", r.Score/float64(r.N)/float64(s.Law().Bits), number(want, "mean_score"), 1e-6)
		var by []float64
		mustUnmarshal(t, want["g_sum_by_depth"], &by)
		layers := make([]float64, len(by))
		dd := NewDetector(s, Options{Dedup: DedupPeer})
		dd.add(Item{Tokens: tokens}, func(i int, f Fate, _ float64) {
			if f == FateScored {
				s.(*rounds).enter(tokens[i-s.Window() : i])
				g := s.(*rounds).bits(tokens[i])
				for l := range layers {
					layers[l] += float64(g >> l & 1)
				}
			}
		})
		if !slices.Equal(layers, by) {
			t.Errorf("%s: ones by layer %v, want %v", what, layers, by)
		}
	case strings.HasPrefix(preset.Name, "three-bricks"):
		kind := map[string]string{"three-bricks-kgw": "maryland_", "three-bricks-gumbel": "openai_"}[preset.Name]
		for method, rule := range map[string]string{"v1": peerContext, "v2": peerPair} {
			var q struct {
				N    int64     `json:"ntoks"`
				Sums []float64 `json:"score_sum"`
				P    []num     `json:"pvalue"`
			}
			mustUnmarshal(t, want[kind+method], &q)
			for payload, sum := range q.Sums {
				given := map[string]string{}
				for k, x := range params {
					given[k] = x
				}
				given["payload"] = strconv.Itoa(payload)
				m := imported(t, preset.Name, s.Spec().Vocab, given)
				n, score, _ := tally(m, tokens, rule)
				equal("scored by "+method, float64(n), float64(q.N), 0)
				equal(fmt.Sprintf("sum of payload %d by %s", payload, method), score, sum, 3e-6)
				p := math.Pow(10, peerLaw(m, gamma).Tail(sum, evidence.Plain(n)).Log10P)
				if !peerP(p, float64(q.P[payload])) {
					t.Errorf("%s: p %v, want %v", what, p, float64(q.P[payload]))
				}
			}
		}
	case strings.HasPrefix(preset.Name, "textseal"):
		equal("scored", float64(r.N), number(want, "n"), 0)
		equal("sum", r.Score, number(want, "sum"), 3e-6)
	case preset.Name == "markllm-kgw" || preset.Name == "markllm-unigram":
		equal("z", zScore(r.Score, float64(r.N), gamma), number(want, "score"), 1e-9)
	case preset.Name == "markllm-exp":
		if p := math.Pow(10, r.Tail.Log10P); !within(p, number(want, "score"), 1e-6) && !(p < 1e-15 && number(want, "score") == 0) {
			t.Errorf("%s: p %v, want %v", what, p, number(want, "score"))
		}
	default:
		t.Fatalf("nothing is compared for %s", preset.Name)
	}
}
