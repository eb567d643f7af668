package watermark

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
)

// roundTrip exports a key and imports what a stack would be served with.
func roundTrip(t *testing.T, k *Key, stack string) *Key {
	t.Helper()
	e, err := k.Export(stack)
	if err != nil {
		t.Fatal(err)
	}
	if !json.Valid(e.Config) || e.Use == "" || e.Source == "" || e.Checked == "" {
		t.Fatalf("export %+v\n%s", e, e.Config)
	}
	scheme, params, err := ParseServed(stack, e.Config)
	if err != nil {
		t.Fatalf("%v\n%s", err, e.Config)
	}
	back, err := Import(Spec{Scheme: scheme, Vocab: k.Vocab}, params, new(counting))
	if err != nil {
		t.Fatal(err)
	}
	return back
}

// TestExportRoundTrip: what a stack is served with scores every token as the key
// does.
func TestExportRoundTrip(t *testing.T) {
	t.Parallel()
	philox := func(scheme string, p Params) *Key {
		p.Window = 4
		return testKey(t, Spec{Scheme: scheme, PRF: Philox, Tokenizer: "toy", Vocab: 300, Params: p})
	}
	preset := func(scheme string, params ...string) *Key {
		m := map[string]string{}
		for _, p := range params {
			name, value, _ := strings.Cut(p, "=")
			m[name] = value
		}
		return importedKey(t, scheme, 300, m)
	}
	dual := philox(GumbelDual, Params{Alpha: .25})
	derived, err := philox(Gumbel, Params{}).Derive("cohort-a", "7")
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]bool{}
	for _, c := range []struct {
		stack string
		key   *Key
	}{
		{StackVLLM, philox(Gumbel, Params{})},
		{StackVLLM, philox(Gumbel, Params{Repeats: MarkRepeats})},
		{StackVLLM, derived},
		{StackVLLM, dual},
		{StackVLLM, preset("vllm-gumbel", "key=18446744073709551615", "context_width=3")},
		{StackVLLM, preset("vllm-gumbel-dual", "key=12345678901234567890", "alpha=0.3")},
		{StackVLLM, preset("vllm-sbw", "key=9876543210", "seeding=selfhash", "gamma=0.25", "delta=1.5")},
		{StackVLLM, preset("vllm-sbw", "key=9876543210", "seeding=lefthash", "context_width=1")},
		{StackSGLang, preset("sglang-gumbel", "key=0xfedcba9876543210", "context_width=5")},
		{StackSGLang, preset("sglang-gumbel", "key=1")},
		{StackTensorRT, philox(Gumbel, Params{})},
		{StackTensorRT, preset("vllm-gumbel", "key=77", "context_width=2")},
		{StackTensorRT, preset("vllm-gumbel-dual", "key=77")},
		{StackHuggingFace, preset("hf-kgw-lefthash", "hashing_key=-17", "greenlist_ratio=0.5", "bias=1.5")},
		{StackHuggingFace, preset("hf-kgw-selfhash", "hashing_key=10000019", "context_width=4")},
		{StackHuggingFace, preset("lm-watermarking", "hash_key=10000019", "gamma=0.25")},
		{StackHuggingFace, preset("tgi", "hash_key=10000019")},
		{StackHuggingFace, preset("hf-synthid", "keys=9,-8,7,70000,5", "ngram_len=4", "context_history_size=12", "sampling_table_seed=3")},
	} {
		t.Run(c.stack+"/"+c.key.Scheme, func(t *testing.T) {
			back := roundTrip(t, c.key, c.stack)
			rows[c.stack+" "+back.Scheme] = true
			a, err := c.key.Mark()
			if err != nil {
				t.Fatal(err)
			}
			b, err := back.Mark()
			if err != nil {
				t.Fatal(err)
			}
			r := rand.New(rand.NewPCG(3, 3))
			history := make([]int32, 0, 200)
			differ := 0
			for range 200 {
				wa, oka := a.WindowOf(history)
				wb, okb := b.WindowOf(history)
				token := r.Int32N(300)
				if oka != okb || oka && a.Score(wa, token) != b.Score(wb, token) {
					differ++
				}
				history = append(history, token)
			}
			if differ > 0 {
				t.Errorf("%d of 200 tokens score otherwise", differ)
			}
			// And it marks: each step leaves the same logits, greedy dedup apart.
			la, lb := make([]float32, 300), make([]float32, 300)
			a.Process(history, la)
			b.Process(history, lb)
			for i := range la {
				if la[i] != lb[i] && c.key.Scheme != GumbelDual && c.key.Scheme != VLLMGumbelDual {
					t.Fatalf("token %d: logit %v, the other %v", i, la[i], lb[i])
				}
			}
		})
	}
	// Every row of the table was taken.
	for _, s := range servedTable() {
		name := s.scheme
		if name == "tgi" || name == "lm-watermarking" {
			name = "hf-kgw-lefthash"
		}
		if !rows[s.stack+" "+name] {
			t.Errorf("%s for %s was not tried", s.scheme, s.stack)
		}
	}
}

// importedKey is a preset's key.
func importedKey(t *testing.T, scheme string, vocab int, params map[string]string) *Key {
	t.Helper()
	k, err := Import(Spec{Scheme: scheme, Vocab: vocab}, params, new(counting))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// TestVectorExport: the sums that vLLM publishes come out under what a native key
// is exported as.
func TestVectorExport(t *testing.T) {
	t.Parallel()
	var v struct {
		Published []struct {
			Key    string
			Width  int `json:"context_width"`
			Tokens []int32
			N      int64
			Score  float64 `json:"published_score"`
			Dedup  string
		}
	}
	loadVectors(t, "vllm.json", &v)
	tried := 0
	for _, c := range v.Published {
		if c.Score == 0 || c.Dedup != peerContext {
			continue
		}
		key, err := strconv.ParseUint(c.Key, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		native, err := NewImportedKey(Spec{Scheme: Gumbel, PRF: Philox, Tokenizer: "x", Vocab: 128, Params: Params{Window: c.Width}}, key, new(counting))
		if err != nil {
			t.Fatal(err)
		}
		s, err := roundTrip(t, native, StackVLLM).Mark()
		if err != nil {
			t.Fatal(err)
		}
		d := NewDetector(s, Options{Dedup: DedupPeer})
		d.Add(Item{Tokens: c.Tokens})
		if r := d.Result(); r.N != c.N || !within(r.Score, c.Score, 1e-9) {
			t.Errorf("key %s: score %v of %d, vLLM says %v of %d", c.Key, r.Score, r.N, c.Score, c.N)
		}
		tried++
	}
	if tried < 2 {
		t.Errorf("%d sums were compared", tried)
	}
}

func TestExportRefuses(t *testing.T) {
	t.Parallel()
	native := func(scheme, prf string, p Params) *Key {
		return testKey(t, Spec{Scheme: scheme, PRF: prf, Tokenizer: "toy", Vocab: 300, Params: p})
	}
	for _, c := range []struct {
		stack string
		key   *Key
		want  string
	}{
		{StackVLLM, native(Gumbel, AESCTR, Params{}), "no server has the generator aes-ctr-v1"},
		{StackSGLang, native(Gumbel, Philox, Params{}), "murmur3"},
		{StackHuggingFace, native(Gumbel, Philox, Params{}), "two green lists"},
		{StackVLLM, native(KGW, Philox, Params{}), "hashes otherwise"},
		{StackVLLM, native(Tournament, Philox, Params{}), "plans SynthID"},
		{StackVLLM, native(Gumbel, Philox, Params{Contexts: WithPrompt}), "reach into the prompt"},
		{StackVLLM, native(Gumbel, Philox, Params{Tracing: .5}), "two channels"},
		{StackVLLM, importedKey(t, "hf-synthid", 300, nil), "plans SynthID"},
		{StackSGLang, importedKey(t, "dm-synthid-2025", 300, nil), "was not found out"},
		{StackTensorRT, importedKey(t, "vllm-gumbel-dual", 300, map[string]string{"key": "5", "alpha": "0.2"}), "names no alpha"},
		{StackTensorRT, importedKey(t, "sglang-gumbel", 300, map[string]string{"key": "5"}), "gumbel_dual_key only"},
		{StackHuggingFace, importedKey(t, "lm-watermarking", 300, map[string]string{"seeding": "selfhash"}), "another table"},
		{StackHuggingFace, importedKey(t, "hf-synthid", 300, map[string]string{"leaves": "3"}), "two leaves"},
	} {
		if _, err := c.key.Export(c.stack); !errors.Is(err, ErrNoCounterpart) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s for %s: %v, want %q", c.key.Scheme, c.stack, err, c.want)
		}
	}
	if _, err := native(Gumbel, Philox, Params{}).Export("ollama"); err == nil || errors.Is(err, ErrNoCounterpart) {
		t.Errorf("an unknown stack: %v", err)
	}
	canary, err := NewKey(Spec{Scheme: Canary}, new(counting))
	if err != nil {
		t.Fatal(err)
	}
	for _, stack := range Stacks() {
		if _, err := canary.Export(stack); err == nil || !strings.Contains(err.Error(), "canary") {
			t.Errorf("a canary key for %s: %v", stack, err)
		}
	}
}

// TestExportSecrets: the key is in the configuration and nowhere else.
func TestExportSecrets(t *testing.T) {
	t.Parallel()
	const key = "12345678901234567890"
	k := importedKey(t, "vllm-gumbel", 300, map[string]string{"key": key})
	for _, stack := range []string{StackVLLM, StackTensorRT, StackJSON} {
		e, err := k.Export(stack)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(e.Config, []byte(key)) {
			t.Errorf("%s: the configuration has no key: %s", stack, e.Config)
		}
		config := e.Config
		e.Config = nil
		if shown, _ := json.Marshal(e); bytes.Contains(shown, []byte(key)) || strings.Contains(fmt.Sprintf("%+v", e), key) {
			t.Errorf("%s: the key is shown", stack)
		}
		broken := bytes.Replace(config, []byte(key), []byte(key+"x"), 1)
		if _, _, err := ParseServed(stack, broken); err == nil || strings.Contains(err.Error(), key) {
			t.Errorf("%s: a broken configuration gives %v", stack, err)
		}
	}
	native := testKey(t, plainSpec)
	e, err := native.Export(StackJSON)
	if err != nil || !bytes.Contains(e.Config, []byte(hex.EncodeToString(native.subkey()))) || bytes.Contains(e.Config, []byte(hex.EncodeToString(native.secret.reveal()))) {
		t.Errorf("our own form: %v, %s", err, e.Config)
	}
}

func TestParseServed(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ stack, config, scheme, want string }{
		{StackVLLM, `{"key":42}`, "vllm-gumbel", ""},
		{StackVLLM, `{"key":42,"algorithm":"dual_key_gumbel","deduplicate_contexts":"all"}`, "vllm-gumbel-dual", ""},
		{StackVLLM, `{"key":42,"algorithm":"sbw","sbw_gamma":0.25}`, "vllm-sbw", ""},
		{StackSGLang, `{"key":"0xABC","context_window":4,"enforce_all":true}`, "sglang-gumbel", ""},
		{StackHuggingFace, `{"hashing_key":5}`, "hf-kgw-lefthash", ""},
		{StackHuggingFace, `{"keys":[1,2,3],"ngram_len":5}`, "hf-synthid", ""},
		{StackHuggingFace, `{"seeding_scheme":"selfhash"}`, "hf-kgw-selfhash", ""},
		{StackVLLM, `{"key":42,"algorithm":"synthid"}`, "", "none of the forms"},
		{StackVLLM, `{"key":42,"prf":"hmac_sha256"}`, "", "none of the forms"},
		{StackVLLM, `{"algorithm":"gumbel"}`, "", "none of the forms"},
		{StackVLLM, `{"key":"42"}`, "", "another kind"},
		{StackVLLM, `{"key":42,"depth":30}`, "", `"depth" is not known`},
		{StackSGLang, `{"key":"ab","key_b":"cd"}`, "", `"key_b" is not known`},
		{StackSGLang, `{"key":"11223344556677889"}`, "", "another kind"},
		{StackSGLang, `{"keys":[1],"ngram_len":5}`, "", "none of the forms"},
		{StackHuggingFace, `{"keys":["1"]}`, "", "another kind"},
		{StackHuggingFace, `[1]`, "", "no JSON object"},
		{StackHuggingFace, `{} {}`, "", "no JSON object"},
		{StackJSON, `{}`, "", "cannot be read from it"},
	} {
		scheme, params, err := ParseServed(c.stack, []byte(c.config))
		if scheme != c.scheme || (err == nil) != (c.want == "") || err != nil && (!strings.Contains(err.Error(), c.want) || !errors.Is(err, ErrMalformed)) {
			t.Errorf("%s %s: %q %v %v", c.stack, c.config, scheme, params, err)
		}
		if err == nil {
			if _, err := Import(Spec{Scheme: scheme, Vocab: 300}, params, new(counting)); err != nil {
				t.Errorf("%s %s: %v", c.stack, c.config, err)
			}
		}
	}
}

func FuzzParseServed(f *testing.F) {
	f.Add(0, []byte(`{"key":42,"algorithm":"sbw","sbw_gamma":0.25}`))
	f.Add(3, []byte(`{"keys":[1,2,3],"ngram_len":5}`))
	f.Fuzz(func(t *testing.T, i int, data []byte) {
		scheme, params, err := ParseServed(Stacks()[uint(i)%uint(len(Stacks()))], data)
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Errorf("error %v does not wrap ErrMalformed", err)
			}
			return
		}
		if _, ok := PresetByName(scheme); !ok || params == nil {
			t.Errorf("scheme %q, %v", scheme, params)
		}
	})
}
