package prf

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// The TestVector tests compare the primitives with numbers that the published
// implementations gave. They read ../testdata/vectors, or the folder that
// STILLMARK_VECTORS names: there a file may be missing, and its test is skipped
// by name, but not all of them.
const vectorsEnv = "STILLMARK_VECTORS"

var vectorFiles = []string{
	"hf_kgw.json", "lm_watermarking.json", "markllm.json", "radioactive.json", "sglang.json",
	"synthid.json", "textseal.json", "three_bricks.json", "torch_rng.json",
}

func vectorsDir() (dir string, elsewhere bool) {
	if dir := os.Getenv(vectorsEnv); dir != "" {
		return dir, true
	}
	return filepath.Join("..", "testdata", "vectors"), false
}

// peerVectors decodes a vector file's body into v.
func peerVectors(t *testing.T, name string, v any) {
	t.Helper()
	dir, elsewhere := vectorsDir()
	data, err := os.ReadFile(filepath.Join(dir, name))
	if elsewhere && errors.Is(err, fs.ErrNotExist) {
		t.Skipf("%s is not in %s", name, dir)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, v); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

func TestVectorFolder(t *testing.T) {
	t.Parallel()
	dir, elsewhere := vectorsDir()
	found := 0
	for _, name := range vectorFiles {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			found++
		}
	}
	if found == 0 || !elsewhere && found < len(vectorFiles) {
		t.Errorf("%d of the %d known vector files are in %s", found, len(vectorFiles), dir)
	}
}

// decimal is an integer of up to 64 bits, signed or not, in a decimal string;
// it holds its two's complement.
type decimal uint64

func (d *decimal) UnmarshalJSON(data []byte) error {
	s := strings.Trim(string(data), `"`)
	if v, err := strconv.ParseInt(s, 10, 64); err == nil {
		*d = decimal(v)
		return nil
	}
	v, err := strconv.ParseUint(s, 10, 64)
	*d = decimal(v)
	return err
}

// listed is a green list as the files give it.
type listed struct {
	First  []int32 `json:"first10"`
	SHA256 string  `json:"sha256_int32le"`
}

func (want listed) check(t *testing.T, what string, list []int32) {
	t.Helper()
	if got := digest32(list); got != want.SHA256 || !slices.Equal(list[:len(want.First)], want.First) {
		t.Errorf("%s: list starts %v, sha256 %s, want %v, %s", what, list[:len(want.First)], got, want.First, want.SHA256)
	}
}

// digest32 is SHA-256 over little-endian 32-bit words.
func digest32[T int32 | uint32](v []T) string {
	h := sha256.New()
	for _, w := range v {
		_ = binary.Write(h, binary.LittleEndian, w)
	}
	return hex.EncodeToString(h.Sum(nil))
}

func digestF32(v []float32) string {
	w := make([]uint32, len(v))
	for i, f := range v {
		w[i] = math.Float32bits(f)
	}
	return digest32(w)
}

func digestBytes(v []byte) string {
	sum := sha256.Sum256(v)
	return hex.EncodeToString(sum[:])
}

// bitString is hits as the files write them.
func bitString(hits []bool) string {
	var b strings.Builder
	for _, h := range hits {
		b.WriteByte('0' + byte(map[bool]int{true: 1}[h]))
	}
	return b.String()
}

// greenCount is Python's int(V*ratio).
func greenCount(vocab int, ratio float64) int { return int(float64(vocab) * ratio) }

func TestVectorTorchRNG(t *testing.T) {
	t.Parallel()
	var v struct {
		Parameters struct {
			Draws int `json:"n_draws"`
		}
		Randperm []struct {
			Seed   decimal
			Low32  uint32
			V      int
			First  []int32 `json:"first20"`
			Last   []int32 `json:"last5"`
			SHA256 string  `json:"sha256_int32le"`
			Next   uint32  `json:"next_draw_mod_2_31"`
		}
		Draws []struct {
			Seed      decimal
			U32       []uint32  `json:"u32_mod_2p32m1_first20"`
			U32SHA    string    `json:"u32_sha256_uint32le"`
			F32       []float64 `json:"rand_f32_first20"`
			F32Units  []uint32  `json:"rand_f32_times_2p24_first20"`
			F32SHA    string    `json:"rand_f32_sha256"`
			F64       []float64 `json:"rand_f64_first20"`
			F64SHA    string    `json:"rand_f64_sha256"`
			Random64  []decimal `json:"random64_and_2p63m1_first10"`
			Randint   []int32   `json:"randint_50257_first20"`
			RandintSH string    `json:"randint_50257_sha256_int32le"`
		}
		Tables []struct {
			Seed    uint64
			Ones    int
			First64 string
			SHA256  string `json:"sha256_uint8"`
		} `json:"synthid_sampling_tables"`
	}
	peerVectors(t, "torch_rng.json", &v)
	for _, c := range v.Randperm {
		t.Run(fmt.Sprintf("randperm/seed=%d,V=%d", int64(c.Seed), c.V), func(t *testing.T) {
			t.Parallel()
			if uint32(c.Seed) != c.Low32 {
				t.Fatalf("low 32 bits of the seed: %d, want %d", uint32(c.Seed), c.Low32)
			}
			m := NewMT19937(uint64(c.Seed))
			perm := make([]int32, c.V)
			m.Randperm(perm)
			if got := digest32(perm); got != c.SHA256 {
				t.Errorf("sha256 %s, want %s", got, c.SHA256)
			}
			if !slices.Equal(perm[:20], c.First) || !slices.Equal(perm[c.V-5:], c.Last) {
				t.Errorf("%v ... %v, want %v ... %v", perm[:20], perm[c.V-5:], c.First, c.Last)
			}
			if got := m.IntN(1 << 31); got != c.Next {
				t.Errorf("next draw %d, want %d", got, c.Next)
			}
			// The same permutation in full, and a prefix of it by each road.
			if full := NewRandperm(c.V, c.V).List(nil, uint64(c.Seed)); !slices.Equal(full, perm) {
				t.Error("List of all differs")
			}
			k := c.V / 4
			p := NewRandperm(c.V, k)
			if list := p.List(nil, uint64(c.Seed)); !slices.Equal(list, perm[:k]) {
				t.Error("List of a quarter differs")
			}
			ends := []int32{perm[0], perm[k-1], perm[k], perm[c.V-1]}
			has := make([]bool, 4)
			p.HasEach(uint64(c.Seed), ends, has)
			if bitString(has) != "1100" {
				t.Errorf("HasEach at the border: %v", has)
			}
			for i, token := range ends {
				if p.Has(uint64(c.Seed), token) != (i < 2) {
					t.Errorf("Has at the border: entry %d is wrong", i)
				}
			}
		})
	}
	for _, c := range v.Draws {
		t.Run(fmt.Sprintf("draws/seed=%d", int64(c.Seed)), func(t *testing.T) {
			t.Parallel()
			n := v.Parameters.Draws
			fresh := func() *MT19937 { return NewMT19937(uint64(c.Seed)) }

			m, u32 := fresh(), make([]uint32, n)
			for i := range u32 {
				// torch's integer draw of the widest 32-bit range.
				u32[i] = m.IntN(math.MaxUint32)
			}
			if !slices.Equal(u32[:20], c.U32) || digest32(u32) != c.U32SHA {
				t.Errorf("32-bit outputs %v, want %v", u32[:20], c.U32)
			}
			m, f32 := fresh(), make([]float32, n)
			for i := range f32 {
				f32[i] = m.Float32()
			}
			for i, want := range c.F32 {
				if float64(f32[i]) != want || uint32(f32[i]*(1<<24)) != c.F32Units[i] {
					t.Errorf("float32 %d: %v, want %v", i, f32[i], want)
				}
			}
			if got := digestF32(f32); got != c.F32SHA {
				t.Errorf("float32 sha256 %s, want %s", got, c.F32SHA)
			}
			m = fresh()
			var f64 []byte
			for i := range n {
				f := m.Float64()
				if i < len(c.F64) && f != c.F64[i] {
					t.Errorf("float64 %d: %v, want %v", i, f, c.F64[i])
				}
				f64 = binary.LittleEndian.AppendUint64(f64, math.Float64bits(f))
			}
			if got := digestBytes(f64); got != c.F64SHA {
				t.Errorf("float64 sha256 %s, want %s", got, c.F64SHA)
			}
			m = fresh()
			for i, want := range c.Random64 {
				if got := m.Uint64() & math.MaxInt64; got != uint64(want) {
					t.Errorf("random64 %d: %d, want %d", i, got, want)
				}
			}
			m = fresh()
			ints := make([]int32, n)
			for i := range ints {
				ints[i] = int32(m.IntN(50257))
			}
			if !slices.Equal(ints[:20], c.Randint) || digest32(ints) != c.RandintSH {
				t.Errorf("randint %v, want %v", ints[:20], c.Randint)
			}
		})
	}
	for _, c := range v.Tables {
		t.Run(fmt.Sprintf("synthid table/seed=%d", c.Seed), func(t *testing.T) {
			t.Parallel()
			table := NewSynthIDTable(c.Seed)
			entries := make([]byte, SynthIDTableSize)
			var first strings.Builder
			ones := 0
			for i := range entries {
				entries[i] = byte(table.Bit(uint64(i)))
				ones += int(entries[i])
				if i < 64 {
					first.WriteByte('0' + entries[i])
				}
			}
			if ones != c.Ones || first.String() != c.First64 || digestBytes(entries) != c.SHA256 {
				t.Errorf("%d ones, %s ..., want %d, %s", ones, first.String(), c.Ones, c.First64)
			}
		})
	}
	if len(v.Randperm) == 0 || len(v.Draws) == 0 || len(v.Tables) == 0 {
		t.Errorf("%d permutations, %d draws, %d tables", len(v.Randperm), len(v.Draws), len(v.Tables))
	}
}

// processed is one step of a logits processor: which ids were raised.
type processed struct {
	Input  []int32 `json:"input_ids"`
	Seed   uint32  `json:"scores_seed"`
	Scale  float32 `json:"scores_scale"`
	Count  int     `json:"biased_count"`
	SHA256 string  `json:"biased_sha256_int32le_sorted"`
	First  []int32 `json:"biased_first10_sorted"`
	Result string  `json:"processed_sha256_f32le"`
}

// toyScores are the files' logits: MT19937 outputs as float32 in +-scale.
func toyScores(seed uint32, vocab int, scale float32) []float32 {
	m := NewMT19937(uint64(seed))
	s := make([]float32, vocab)
	for i := range s {
		s[i] = m.Float32()*(2*scale) - scale
	}
	return s
}

// check compares the raised ids, and the logits after bias.
func (want processed) check(t *testing.T, raised []int32, scores []float32, bias float32) {
	t.Helper()
	slices.Sort(raised)
	if len(raised) != want.Count || !slices.Equal(raised[:len(want.First)], want.First) || digest32(raised) != want.SHA256 {
		t.Errorf("after %v: %d ids raised, %v, want %d, %v", want.Input, len(raised), raised[:min(10, len(raised))], want.Count, want.First)
	}
	for _, id := range raised {
		scores[id] += bias
	}
	if got := digestF32(scores); got != want.Result {
		t.Errorf("after %v: logits %s, want %s", want.Input, got, want.Result)
	}
}

// selfSalted are those of the top candidates that are in their own green list.
func selfSalted(p *Randperm, rule ContextPRF, table *HashTable, key int64, window []int32, scores []float32, top int) []int32 {
	ids := make([]int32, len(scores))
	for i := range ids {
		ids[i] = int32(i)
	}
	slices.SortStableFunc(ids, func(a, b int32) int {
		switch {
		case scores[a] > scores[b]:
			return -1
		case scores[a] < scores[b]:
			return 1
		}
		return 0
	})
	var raised []int32
	for _, id := range ids[:top] {
		w := append(slices.Clone(window), id)
		if p.Has(rule.Seed(table, key, w), id) {
			raised = append(raised, id)
		}
	}
	return raised
}

func TestVectorHFKGW(t *testing.T) {
	t.Parallel()
	var v struct {
		Configs []struct {
			Key       int64   `json:"hashing_key"`
			Ratio     float64 `json:"greenlist_ratio"`
			Bias      float32
			Vocab     int    `json:"vocab_size"`
			Seeding   string `json:"seeding_scheme"`
			Width     int    `json:"context_width"`
			Size      int    `json:"greenlist_size"`
			Table     string `json:"fixed_table_sha256_int32le"`
			TableHead []int  `json:"fixed_table_first5"`
			Contexts  []struct {
				Context []int32
				Seed    decimal
				listed
			}
			Sequences []struct {
				Tokens []int32
				From   int `json:"hits_from_position"`
				Hits   string
			}
			Processor []processed
		}
	}
	peerVectors(t, "hf_kgw.json", &v)
	if len(v.Configs) == 0 {
		t.Fatal("no configurations")
	}
	table := NewHashTable(uint64(v.Configs[0].Key))
	for _, c := range v.Configs {
		t.Run(fmt.Sprintf("%s,width=%d,V=%d", c.Seeding, c.Width, c.Vocab), func(t *testing.T) {
			t.Parallel()
			if got := digest32(table.entries); got != c.Table {
				t.Errorf("table %s, want %s", got, c.Table)
			}
			for i, want := range c.TableHead {
				if got := table.Hash(int64(i)) - 1; got != int64(want) {
					t.Errorf("table entry %d is %d, want %d", i, got, want)
				}
			}
			p := NewRandperm(c.Vocab, greenCount(c.Vocab, c.Ratio))
			if p.k != c.Size {
				t.Fatalf("green list of %d, want %d", p.k, c.Size)
			}
			self := c.Seeding == "selfhash"
			// seed is of an n-gram, the scored token last under selfhash and
			// left out under lefthash.
			seed := func(gram []int32) uint64 {
				if self {
					return AnchoredMinHashPRF.Seed(table, c.Key, gram[max(0, len(gram)-c.Width):])
				}
				return AdditivePRF.Seed(nil, c.Key, gram[len(gram)-1:])
			}
			for _, x := range c.Contexts {
				got := seed(x.Context)
				if got != uint64(x.Seed) {
					t.Errorf("seed of %v is %d, want %d", x.Context, got, uint64(x.Seed))
				}
				x.check(t, fmt.Sprint(x.Context), p.List(nil, got))
			}
			for _, s := range c.Sequences {
				var hits []bool
				for i := s.From; i < len(s.Tokens); i++ {
					gram := s.Tokens[:i]
					if self {
						gram = s.Tokens[:i+1]
					}
					hits = append(hits, p.Has(seed(gram), s.Tokens[i]))
				}
				if got := bitString(hits); got != s.Hits {
					t.Errorf("hits %s, want %s", got, s.Hits)
				}
			}
			for _, step := range c.Processor {
				scores := toyScores(step.Seed, c.Vocab, step.Scale)
				raised := p.List(nil, seed(step.Input))
				if self {
					window := step.Input[len(step.Input)-(c.Width-1):]
					raised = selfSalted(p, AnchoredMinHashPRF, table, c.Key, window, scores, 40)
				}
				step.check(t, raised, scores, c.Bias)
			}
		})
	}
}

func TestVectorLMWatermarking(t *testing.T) {
	t.Parallel()
	type detected struct {
		Scored float64 `json:"num_tokens_scored"`
		Green  float64 `json:"num_green_tokens"`
	}
	var v struct {
		Parameters struct {
			Table struct {
				Seed   uint64
				SHA256 string `json:"sha256_int32le"`
				First  []int  `json:"first5"`
			} `json:"hash_table"`
		}
		Configs []struct {
			Seeding  string     `json:"seeding_scheme"`
			Rule     ContextPRF `json:"prf_type"`
			Width    int        `json:"context_width"`
			Self     bool       `json:"self_salt"`
			Key      int64      `json:"hash_key"`
			Vocab    int        `json:"vocab_size"`
			Gamma    float64
			Delta    float32
			Size     int `json:"greenlist_size"`
			Contexts []struct {
				Context []int32
				Value   string `json:"prf_value"`
				Seed    decimal
				listed
			}
			Sequences []struct {
				Tokens []int32
				Mask   string   `json:"green_token_mask"`
				Dedup  detected `json:"ignore_repeated_ngrams_true"`
				All    detected `json:"ignore_repeated_ngrams_false"`
			}
			Processor []processed
		}
	}
	peerVectors(t, "lm_watermarking.json", &v)
	if len(v.Configs) == 0 || v.Parameters.Table.Seed != LMHashTableSeed {
		t.Fatalf("%d configurations, table seed %d", len(v.Configs), v.Parameters.Table.Seed)
	}
	table := NewHashTable(LMHashTableSeed)
	if got := digest32(table.entries); got != v.Parameters.Table.SHA256 {
		t.Errorf("table %s, want %s", got, v.Parameters.Table.SHA256)
	}
	for i, want := range v.Parameters.Table.First {
		if got := table.Hash(int64(i)) - 1; got != int64(want) {
			t.Errorf("table entry %d is %d, want %d", i, got, want)
		}
	}
	for _, c := range v.Configs {
		t.Run(fmt.Sprintf("%s,V=%d", c.Seeding, c.Vocab), func(t *testing.T) {
			t.Parallel()
			p := NewRandperm(c.Vocab, greenCount(c.Vocab, c.Gamma))
			if p.k != c.Size {
				t.Fatalf("green list of %d, want %d", p.k, c.Size)
			}
			// seed is of the last tokens of what comes before a token and,
			// self-salted, of that token.
			seed := func(ids []int32) uint64 {
				return c.Rule.Seed(table, c.Key, ids[len(ids)-c.Width:])
			}
			for _, x := range c.Contexts {
				a, b := c.Rule.value(table, c.Key, x.Context[len(x.Context)-c.Width:])
				if got := new(big.Int).Mul(big.NewInt(a), big.NewInt(b)); got.String() != x.Value {
					t.Errorf("PRF of %v is %s, want %s", x.Context, got, x.Value)
				}
				got := seed(x.Context)
				if got != uint64(x.Seed) {
					t.Errorf("seed of %v is %d, want %d", x.Context, got, uint64(x.Seed))
				}
				x.check(t, fmt.Sprint(x.Context), p.List(nil, got))
			}
			first, reach := c.Width, 0
			if c.Self {
				first, reach = c.Width-1, 1
			}
			for _, s := range c.Sequences {
				var hits []bool
				green := map[string]bool{}
				for i := first; i < len(s.Tokens); i++ {
					hit := p.Has(seed(s.Tokens[:i+reach]), s.Tokens[i])
					hits = append(hits, hit)
					green[fmt.Sprint(s.Tokens[i-first:i+1])] = hit
				}
				if got := bitString(hits); got != s.Mask {
					t.Errorf("hits %s, want %s", got, s.Mask)
				}
				count := func(hits []bool) float64 { return float64(strings.Count(bitString(hits), "1")) }
				if n, g := float64(len(hits)), count(hits); n != s.All.Scored || g != s.All.Green {
					t.Errorf("%v of %v green, want %v of %v", g, n, s.All.Green, s.All.Scored)
				}
				var distinct []bool
				for _, hit := range green {
					distinct = append(distinct, hit)
				}
				if n, g := float64(len(distinct)), count(distinct); n != s.Dedup.Scored || g != s.Dedup.Green {
					t.Errorf("distinct: %v of %v green, want %v of %v", g, n, s.Dedup.Green, s.Dedup.Scored)
				}
			}
			for _, step := range c.Processor {
				scores := toyScores(step.Seed, c.Vocab, step.Scale)
				var raised []int32
				if c.Self {
					window := step.Input[len(step.Input)-(c.Width-1):]
					raised = selfSalted(p, c.Rule, table, c.Key, window, scores, 41)
				} else {
					raised = p.List(nil, seed(step.Input))
				}
				step.check(t, raised, scores, c.Delta)
			}
		})
	}
}
