package watermark

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stillmark/stillmark/watermark/prf"
)

// variants are presets with parameters besides the defaults.
var variants = map[string][]map[string]string{
	"hf-kgw-lefthash":  {{}, {"context_width": "3"}, {"device": "cuda:221184"}},
	"hf-kgw-selfhash":  {{"context_width": "2"}, {"context_width": "4"}},
	"lm-watermarking":  {{}, {"seeding": "minhash"}, {"seeding": "selfhash"}, {"seeding": "skipgram"}, {"seeding": "ff-noncomm_prf-3-False"}, {"list": "last"}},
	"tgi":              {{}, {"device": "cuda:40960"}},
	"three-bricks-kgw": {{"ngram": "2"}, {"ngram": "1", "payload": "77"}},
	"markllm-kgw":      {{}, {"f_scheme": "min", "prefix_length": "2"}},
	"vllm-sbw":         {{}, {"seeding": "selfhash"}},
	"textseal-gumbel":  {{}, {"keys": "two"}},
	"hf-synthid":       {{}, {"ngram_len": "3", "context_history_size": "16"}, {"device": "cuda:221184", "leaves": "3"}},
}

// private are keys that are published nowhere.
func private(p Preset, seed uint64) map[string]string {
	r := rand.New(rand.NewPCG(seed, 5))
	keys := map[string]string{}
	for _, x := range p.Params {
		switch {
		case x.Secret && x.Kind == kindKeys:
			var list []string
			for range 20 {
				list = append(list, x.decoy(r.Uint64()))
			}
			keys[x.Name] = strings.Join(list, ",")
		case x.Secret:
			keys[x.Name] = x.decoy(r.Uint64())
		}
	}
	return keys
}

// eachPreset runs a test on every preset and variant.
func eachPreset(t *testing.T, run func(t *testing.T, p Preset, params map[string]string)) {
	for _, p := range Presets() {
		list := variants[p.Name]
		if list == nil {
			list = []map[string]string{{}}
		}
		for i, given := range list {
			t.Run(fmt.Sprintf("%s/%d", p.Name, i), func(t *testing.T) {
				t.Parallel()
				params := private(p, uint64(i+1))
				for name, value := range given {
					params[name] = value
				}
				run(t, p, params)
			})
		}
	}
}

// write samples text marked by s as a server would: the prompt is part of the
// history where the preset says so.
func write(m *toy, s Scheme, prompt []int32, n int, r *rand.Rand) []int32 {
	var out []int32
	history := func() []int32 {
		if s.Spec().Params.Contexts == WithPrompt {
			return slices.Concat(prompt, out)
		}
		return out
	}
	for range n {
		logits := m.logits(out)
		s.Process(history(), logits)
		out = append(out, sample(logits, r))
	}
	return out
}

// TestPresetConformance: what a preset marks, its detector reads, under its key
// and no other.
func TestPresetConformance(t *testing.T) {
	t.Parallel()
	eachPreset(t, func(t *testing.T, p Preset, params map[string]string) {
		const vocab = 400
		s := imported(t, p.Name, vocab, params)
		m := newToy(vocab, 1)
		r := rand.New(rand.NewPCG(7, 7))
		own, other := NewDetector(s, Options{Weights: WeightsNone}), NewDetector(imported(t, p.Name, vocab, private(p, 99)), Options{Weights: WeightsNone})
		for i := range 8 {
			prompt := []int32{int32(i), 11, 12, 13, 14, 15, 16, 17}
			it := Item{Prompt: prompt, Tokens: write(m, s, prompt, 150, r)}
			own.Add(it)
			other.Add(it)
		}
		d := own.Result()
		if d.N < 20 {
			t.Errorf("only %d units, dropped %+v", d.N, d.Dropped)
		}
		j, _, err := own.Decoys(t.Context(), [32]byte{3}, 40, nil)
		if err != nil {
			t.Fatal(err)
		}
		if j.RankP != 1./41 {
			t.Errorf("rank p %v among %d decoys", j.RankP, j.N)
		}
		if p.DecoysOnly || params["keys"] == "two" {
			if d.Tail.Method != MethodDecoysOnly || d.Tail.Log10P != 0 || j.Pass {
				t.Errorf("tail %+v, gate %v: these layers have no analytic law", d.Tail, j.Pass)
			}
			return
		}
		if d.Tail.Log10P > -6 {
			t.Errorf("log10 p %.1f of %d units", d.Tail.Log10P, d.N)
		}
		if q := other.Result(); q.Tail.Log10P < -4 {
			t.Errorf("another key has log10 p %.1f", q.Tail.Log10P)
		}
		if math.Abs(j.SDRatio-1) > j.SDTolerance {
			t.Errorf("the decoys' spread is %v of the law's", j.SDRatio)
		}
	})
}

// TestPresetForms: a dense step and a step on all ids as candidates agree, a
// clone is independent, and unscored ids are left alone.
func TestPresetForms(t *testing.T) {
	t.Parallel()
	eachPreset(t, func(t *testing.T, p Preset, params map[string]string) {
		const vocab = 300
		s := imported(t, p.Name, vocab, params)
		ids := make([]int32, vocab)
		for i := range ids {
			ids[i] = int32(i)
		}
		history := []int32{9, 8, 7, 6, 5, 4, 3, 2, 1}
		dense := newToy(vocab, 2).logits(history)
		before := slices.Clone(dense)
		sparse := slices.Clone(dense)
		s.Process(history, dense)
		s.Clone().ProcessCandidates(history, ids, sparse)
		if slices.Equal(dense, before) {
			t.Error("a step was not marked")
		}
		if !slices.Equal(dense, sparse) {
			t.Error("the dense and the sparse form differ")
		}
		window, ok := s.WindowOf(history)
		if !ok || len(window) != s.Window() {
			t.Fatalf("window %v, %v", window, ok)
		}
		window = slices.Clone(window)
		for _, id := range ids {
			if x := s.Score(window, id); math.IsNaN(x) || math.IsInf(x, 0) || x < 0 || x != s.Clone().Score(window, id) {
				t.Fatalf("token %d scores %v", id, x)
			}
		}
	})
}

// TestPresetKeys: a key survives its file and a disclosure, never shows its
// secret, and says when it is public.
func TestPresetKeys(t *testing.T) {
	t.Parallel()
	eachPreset(t, func(t *testing.T, p Preset, params map[string]string) {
		k, err := Import(Spec{Scheme: p.Name, Vocab: 1000}, params, new(counting))
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "k.json")
		if err := k.Save(path); err != nil {
			t.Fatal(err)
		}
		again, err := LoadKey(path)
		if err != nil {
			t.Fatal(err)
		}
		if again.ID != k.ID || again.Spec != k.Spec {
			t.Errorf("%+v came back as %+v", k.Spec, again.Spec)
		}
		c, err := k.Commit()
		if err != nil {
			t.Fatal(err)
		}
		disclosed, err := c.Disclose(k)
		if err != nil {
			t.Fatal(err)
		}
		data, err := disclosed.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if open, err := OpenDisclosure(data); err != nil || open.ID != k.ID {
			t.Errorf("disclosure: %v", err)
		}
		shown := fmt.Sprintf("%v %+v %#v %s", k, k, k.Spec, k.Warnings())
		for name, value := range private(p, 1) {
			if len(value) > 6 && params[name] == value && strings.Contains(shown, value) {
				t.Errorf("%s is shown in %s", name, shown)
			}
		}
		if k.Published() {
			t.Error("a random key is called public")
		}
		for _, x := range p.Params {
			for _, value := range x.Published {
				given := map[string]string{x.Name: value}
				public, err := Import(Spec{Scheme: p.Name, Vocab: 1000}, given, new(counting))
				if err != nil {
					t.Fatal(err)
				}
				if !public.Published() || !strings.HasPrefix(public.Warnings()[0], PublicKeyWarning) {
					t.Errorf("%s = %s is not called public: %q", x.Name, value, public.Warnings())
				}
			}
		}
	})
}

func TestImportRefuses(t *testing.T) {
	t.Parallel()
	for what, c := range map[string]struct {
		spec   Spec
		params map[string]string
		want   string
	}{
		"scheme":            {Spec{Scheme: "hf-kgw", Vocab: 10}, nil, `preset "hf-kgw" is not known`},
		"no key":            {Spec{Scheme: "vllm-gumbel", Vocab: 10}, nil, "needs the parameter key"},
		"key too long":      {Spec{Scheme: "vllm-gumbel", Vocab: 10}, map[string]string{"key": "18446744073709551616"}, "parameter key: not a 64-bit integer"},
		"negative key":      {Spec{Scheme: "vllm-gumbel", Vocab: 10}, map[string]string{"key": "-1"}, "parameter key: not a key from 0"},
		"width":             {Spec{Scheme: "vllm-gumbel", Vocab: 10}, map[string]string{"key": "1", "context_width": "0"}, "context_width"},
		"no vocabulary":     {Spec{Scheme: "tgi"}, nil, "vocabulary width 0"},
		"empty list":        {Spec{Scheme: "tgi", Vocab: 10}, map[string]string{"gamma": "0.05"}, "leaves the green list empty"},
		"device":            {Spec{Scheme: "tgi", Vocab: 10}, map[string]string{"device": "cuda"}, "cuda:T"},
		"window":            {Spec{Scheme: "tgi", Vocab: 10, Params: Params{Window: 1}}, nil, "takes its parameters by name"},
		"derived":           {Spec{Scheme: "hf-synthid", Vocab: 10}, map[string]string{"depth": "3"}, `has no parameter "depth"`},
		"two keys":          {Spec{Scheme: "lm-watermarking", Vocab: 10}, map[string]string{"seeding": "ff-additive_prf-2-False-7", "hash_key": "8"}, "differ"},
		"seeding":           {Spec{Scheme: "lm-watermarking", Vocab: 10}, map[string]string{"seeding": "ff-additive-2-False-7"}, "seeding"},
		"prf of another":    {Spec{Scheme: "tgi", PRF: AESCTR, Vocab: 10}, nil, "runs on"},
		"keys with a space": {Spec{Scheme: "hf-synthid", Vocab: 10}, map[string]string{"keys": "1,x"}, "parameter keys: not a list"},
	} {
		_, err := Import(c.spec, c.params, new(counting))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", what, err, c.want)
		}
	}
	_, err := Import(Spec{Scheme: "tgi", Vocab: 10}, map[string]string{"gama": ".5"}, new(counting))
	var unknown *UnknownParamError
	if !errors.As(err, &unknown) || unknown.Name != "gama" || !slices.Contains(unknown.Known, "gamma") {
		t.Errorf("unknown parameter: %v", err)
	}
}

// TestKeyOfSeeding: the key at the end of lm-watermarking's long form is kept
// where keys are kept.
func TestKeyOfSeeding(t *testing.T) {
	t.Parallel()
	k, err := Import(Spec{Scheme: "lm-watermarking", Vocab: 100}, map[string]string{"seeding": "ff-minhash_prf-3-False-987654321"}, new(counting))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(fmt.Sprint(k.Spec), "987654321") {
		t.Errorf("the spec shows the key: %v", k.Spec)
	}
	a, err := k.Mark()
	if err != nil {
		t.Fatal(err)
	}
	b := imported(t, "lm-watermarking", 100, map[string]string{"seeding": "ff-minhash_prf-3-False", "hash_key": "987654321"})
	for token := range int32(100) {
		if a.Score([]int32{1, 2, 3}, token) != b.Score([]int32{1, 2, 3}, token) {
			t.Fatalf("token %d differs", token)
		}
	}
}

func TestWeakKeys(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		scheme, want string
		params       map[string]string
	}{
		{"hf-synthid", "keys 1 and 3 are equal modulo 2^16", map[string]string{"keys": "70000,5,4464"}},
		{"vllm-gumbel", "small integer", map[string]string{"key": "12345"}},
		{"textseal-gumbel", "linear in its key", map[string]string{"secret_key": "1234567"}},
		{"tgi", "--ids", nil},
		{"tgi", "not run on hardware", map[string]string{"device": "cuda:270336"}},
	} {
		k, err := Import(Spec{Scheme: c.scheme, Vocab: 100}, c.params, new(counting))
		if err != nil {
			t.Fatal(err)
		}
		if w := strings.Join(k.Warnings(), "\n"); !strings.Contains(w, c.want) {
			t.Errorf("%s: %q lacks %q", c.scheme, w, c.want)
		}
	}
}

// TestKeyless: what is not scored for want of a key has the same seed under every
// key, at least under one in two, and what is scored never has.
func TestKeyless(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(5, 6))
	for _, c := range []struct {
		scheme string
		params map[string]string
		ids    []int32 // windows and tokens are drawn from these
	}{
		{"hf-kgw-lefthash", map[string]string{"context_width": "2"}, []int32{0, 0, 1, 7}},
		{"tgi", nil, []int32{0, 1, 7}},
		{"lm-watermarking", map[string]string{"seeding": "minhash"}, []int32{0, 1, 5, 7, 9}},
		{"lm-watermarking", map[string]string{"seeding": "skipgram"}, []int32{0, 1, 7}},
		{"lm-watermarking", map[string]string{"seeding": "selfhash"}, []int32{0, 0, 1}},
		{"lm-watermarking", map[string]string{"seeding": "ff-additive_prf-2-True"}, []int32{0, 0, 1}},
		{"lm-watermarking", map[string]string{"seeding": "ff-multiplicative_prf-2-False"}, []int32{0, 1, 7}},
		{"lm-watermarking", map[string]string{"seeding": "ff-minfunc_prf-2-False"}, []int32{0, 1, 7}},
		{"lm-watermarking", map[string]string{"seeding": "ff-simple_skip_prf-3-False"}, []int32{0, 0, 1}},
		{"lm-watermarking", map[string]string{"seeding": "ff-anchored_skipgram_prf-2-False"}, []int32{0, 0, 1}},
		{"lm-watermarking", map[string]string{"seeding": "ff-minskipgram_prf-3-False"}, []int32{0, 1, 7, 9}},
		{"lm-watermarking", map[string]string{"seeding": "ff-noncomm_prf-2-False"}, []int32{0, 0, 1}},
		{"lm-watermarking", map[string]string{"seeding": "ff-position_prf-2-False"}, []int32{0, 0, 1}},
		{"markllm-exp", map[string]string{"prefix_length": "2"}, []int32{0, 10, 20, 30, 7}},
	} {
		p, _ := PresetByName(c.scheme)
		var keys []seeded
		for k := range 60 {
			params := private(p, uint64(100+k))
			for name, value := range c.params {
				params[name] = value
			}
			s, _ := imported(t, c.scheme, 100, params).(seeded)
			keys = append(keys, s)
		}
		rule, ok := keys[0].(keyless)
		if !ok {
			t.Fatalf("%s says nothing of keys", c.scheme)
		}
		dropped := 0
		window := make([]int32, keys[0].Window())
		for range 300 {
			for i := range window {
				window[i] = c.ids[random.IntN(len(c.ids))]
			}
			token := max(c.ids[random.IntN(len(c.ids))], 0)
			times := map[uint64]int{}
			most := 0
			for _, s := range keys {
				seed := s.seedOf(window, token)
				times[seed]++
				most = max(most, times[seed])
			}
			switch bare := rule.keyless(window, token); {
			case bare && most < 2:
				t.Fatalf("%s %v: %v, %d is not scored, and keys have seeds %v", c.scheme, c.params, window, token, times)
			case !bare && most > 2: // two of 60 tables may agree by chance
				t.Fatalf("%s %v: %v, %d is scored, and %d of 60 keys have one seed", c.scheme, c.params, window, token, most)
			case bare:
				dropped++
			}
		}
		never := strings.Contains(c.params["seeding"], "noncomm") || c.params["seeding"] == "selfhash"
		if (dropped == 0) != never {
			t.Errorf("%s %v: %d of 300 positions without a key", c.scheme, c.params, dropped)
		}
	}
}

// TestSeedIsTheUnit: windows that a scheme's generator cannot tell apart are one
// unit, and decoys find the units of their own key.
func TestSeedIsTheUnit(t *testing.T) {
	t.Parallel()
	text := []int32{1, 2, 50, 2, 1, 50, 1, 2, 51}
	for _, c := range []struct {
		scheme string
		params map[string]string
		n      int64
	}{
		{"lm-watermarking", map[string]string{"seeding": "ff-additive_prf-2-False"}, 6},       // 1+2 = 2+1 before 50
		{"lm-watermarking", map[string]string{"seeding": "ff-multiplicative_prf-2-False"}, 6}, // likewise
		{"lm-watermarking", map[string]string{"seeding": "ff-noncomm_prf-2-False"}, 7},
		{"three-bricks-kgw", map[string]string{"ngram": "2"}, 6}, // one position is not scored
		{"vllm-sbw", map[string]string{"context_width": "2"}, 7}, // nine positions; -1 + 1 = 0 before the second leaves no key
	} {
		p, _ := PresetByName(c.scheme)
		params := private(p, 4)
		for k, v := range c.params {
			params[k] = v
		}
		s := imported(t, c.scheme, 100, params)
		d := NewDetector(s, Options{Weights: WeightsNone})
		d.Add(Item{Tokens: text})
		r := d.Result()
		if r.N != c.n {
			t.Errorf("%s %v: %d units, want %d (%+v)", c.scheme, c.params, r.N, c.n, r.Dropped)
		}
		if own := d.grouped().score(t.Context(), s); own.score != r.Score || own.counts != r.Counts {
			t.Errorf("%s %v: decoys would score %+v, not %v of %v", c.scheme, c.params, own, r.Score, r.Counts)
		}
		units := 0
		for u := range d.Pairs {
			units += u.Count
		}
		if int64(units) != r.N+r.Dropped.Repeat {
			t.Errorf("%s: the units' counts sum to %d", c.scheme, units)
		}
	}
}

// TestPresetNull: over random keys the randomised p of one text is uniform.
func TestPresetNull(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	text := newToy(500, 2).generate(nil, 250, r, nil)
	for i := range text {
		text[i] = max(text[i], 1) // products with id 0 hold no key
	}
	eachPreset(t, func(t *testing.T, p Preset, params map[string]string) {
		s := imported(t, p.Name, 500, params)
		for _, weights := range []string{WeightsNone, WeightsMin8} {
			if _, err := ResolveWeights(weights, p.Name); err != nil {
				continue
			}
			d := NewDetector(s, Options{Weights: weights})
			d.Add(Item{Tokens: text})
			keys := 400
			if params["device"] != "" || p.Name == "hf-kgw-selfhash" {
				keys = 40 // a key costs a table of a million entries, a list a whole permutation
			}
			j, _, err := d.Decoys(t.Context(), sha256.Sum256([]byte(p.Name)), keys, nil)
			if err != nil {
				t.Fatal(err)
			}
			if analytic := !p.DecoysOnly && params["keys"] != "two"; analytic && !j.Pass {
				t.Errorf("weights %s: %+v", weights, j)
			}
		}
	})
}

// The second implementations below are the plainest reading of each scheme, for
// presets that no peer's numbers check.

func TestNaiveTGI(t *testing.T) {
	t.Parallel()
	const vocab, key = 777, 15485863
	s := imported(t, "tgi", vocab, map[string]string{"hash_key": strconv.Itoa(key)})
	modulus := new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 64), big.NewInt(1))
	for _, last := range []int32{0, 1, 5, 776} {
		seed := new(big.Int).Mod(new(big.Int).Mul(big.NewInt(key), big.NewInt(int64(last))), modulus)
		list := make([]int32, vocab)
		prf.NewMT19937(seed.Uint64()).Randperm(list)
		for token := range int32(vocab) {
			want := 0.
			if slices.Contains(list[:vocab/2], token) {
				want = 1
			}
			if got := s.Score([]int32{last}, token); got != want {
				t.Fatalf("after %d, token %d scores %v", last, token, got)
			}
		}
	}
	if rate := s.Law().P; rate != 388./777 {
		t.Errorf("null rate %v", rate)
	}
}

func TestNaiveSBW(t *testing.T) {
	t.Parallel()
	const vocab = 500
	key := uint64(0x9E3779B97F4A7C15)
	mix := func(x int32) int64 { return int64(prf.JenkinsMix(x)) }
	for _, seeding := range []string{"lefthash", "selfhash"} {
		s := imported(t, "vllm-sbw", vocab, map[string]string{"key": strconv.FormatUint(key, 10), "context_width": "3", "seeding": seeding, "gamma": "0.3"})
		for _, window := range [][]int32{{1, 2, 3}, {-1, -1, 7}, {499, 0, 499}, {-1, -1, -1}} {
			for token := range int32(vocab) {
				var seed int64
				if seeding == "lefthash" {
					seed = int64(key) * int64(window[0]+window[1]+window[2])
				} else {
					seed = int64(key) * mix(token) * mix(token)
					for _, c := range window[1:] {
						seed = min(seed, int64(key)*mix(c)*mix(token))
					}
				}
				want := 0.
				if naivePhilox(uint32(token)/4, 0, 0, 0, uint64(seed))[token%4]&0x7fffffff < uint32(644245093) { // int(.3 (2^31-1))
					want = 1
				}
				if got := s.Score(window, token); got != want {
					t.Fatalf("%s, window %v, token %d scores %v", seeding, window, token, got)
				}
			}
		}
	}
}

// naivePhilox is Philox4x32-10 by big integers.
func naivePhilox(c0, c1, c2, c3 uint32, key uint64) [4]uint32 {
	c := [4]uint32{c0, c1, c2, c3}
	k0, k1 := uint32(key), uint32(key>>32)
	for range 10 {
		a, b := uint64(c[0])*0xD2511F53, uint64(c[2])*0xCD9E8D57
		c = [4]uint32{uint32(b>>32) ^ c[1] ^ k0, uint32(b), uint32(a>>32) ^ c[3] ^ k1, uint32(a)}
		k0, k1 = k0+0x9E3779B9, k1+0xBB67AE85
	}
	return c
}

func TestNaiveVLLMDual(t *testing.T) {
	t.Parallel()
	const alpha = .3
	s := imported(t, VLLMGumbelDual, 100, map[string]string{"key": "42", "context_width": "2", "alpha": "0.3"})
	half := func(name string) Scheme {
		d := sha256.Sum256(append([]byte(name), binary.BigEndian.AppendUint64(nil, 42)...))
		return imported(t, "vllm-gumbel", 100, map[string]string{"key": strconv.FormatUint(binary.BigEndian.Uint64(d[:8]), 10), "context_width": "2"})
	}
	a, b := half("key_a"), half("key_b")
	for token := range int32(100) {
		w := []int32{-1, token / 2}
		if got, want := s.Score(w, token), (1-alpha)*a.Score(w, token)+alpha*b.Score(w, token); math.Abs(got-want) > 1e-14 {
			t.Fatalf("token %d scores %v, want %v", token, got, want)
		}
	}
	// Under speculative decoding the draft's tokens are key A's, the target's B's.
	m := newToy(100, 1)
	for role, key := range map[Role]Scheme{RoleDraft: a, RoleTarget: b} {
		s.(Dual).SetRole(role)
		r := rand.New(rand.NewPCG(3, 3))
		d := NewDetector(key, Options{})
		d.Add(Item{Tokens: write(m, s, nil, 100, r)})
		if got := d.Result(); got.Tail.Log10P > -20 {
			t.Errorf("role %d: log10 p %.1f under its own key", role, got.Tail.Log10P)
		}
	}
}

// FuzzImport: no parameters crash, and what is taken survives its file.
func FuzzImport(f *testing.F) {
	for _, p := range Presets() {
		f.Add(p.Name, "key", "42", 1000)
		for _, x := range p.Params {
			f.Add(p.Name, x.Name, x.Default, 1000)
		}
	}
	f.Add("lm-watermarking", "seeding", "ff-noncomm_prf-3-True-9", 50)
	f.Fuzz(func(t *testing.T, scheme, name, value string, vocab int) {
		p, ok := PresetByName(scheme)
		if !ok {
			return
		}
		params := private(p, 1)
		params[name] = value
		k, err := Import(Spec{Scheme: scheme, Vocab: vocab}, params, new(counting))
		if err != nil {
			return
		}
		data, err := k.encode()
		if err != nil {
			t.Fatal(err)
		}
		again, err := parseKey(data)
		if err != nil {
			t.Fatalf("a key that Import made is refused: %v", err)
		}
		if again.ID != k.ID {
			t.Errorf("key %s came back as %s", k.ID, again.ID)
		}
	})
}

func TestPayloadsRefuse(t *testing.T) {
	t.Parallel()
	k, err := Import(Spec{Scheme: "tgi", Vocab: 50}, nil, new(counting))
	if err != nil {
		t.Fatal(err)
	}
	s, err := k.Mark()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := NewDetector(s, Options{}).Payloads(t.Context(), k, 4); err == nil || !strings.Contains(err.Error(), "carries no payload") {
		t.Errorf("tgi: %v", err)
	}
	if got, want := bestOf(-2, 16), math.Log10(1-math.Pow(.99, 16)); math.Abs(got-want) > 1e-12 {
		t.Errorf("best of 16 at p .01: %v, want %v", got, want)
	}
	if got, want := bestOf(-300, 16), -300+math.Log10(16); got != want {
		t.Errorf("best of 16 at p 1e-300: %v, want %v", got, want)
	}
}
